//! `rollout sim serve`: the simulated cloud as an AWS endpoint on a socket of this machine.

mod scenario;

use anyhow::Context as _;
use rollout_sim::endpoint::{Endpoint, ServeOptions, Server, Supported, supported};
use rollout_sim::{SimCloud, World, storefront};
use serde_json::json;

use self::scenario::Scenario;
use crate::args::{Global, Serve, SimCommand};
use crate::exit::Exit;

pub(crate) fn execute(global: &Global, command: &SimCommand) -> anyhow::Result<Exit> {
    match command {
        SimCommand::Serve(args) => serve(global, args),
        SimCommand::Operations => {
            super::print(&operations(global.json));
            Ok(Exit::Done)
        }
    }
}

/// One operation a line.
fn operations(as_json: bool) -> String {
    let line = |o: &Supported| {
        if as_json {
            let line = json!({
                "kind": "operation", "service": o.service, "operation": o.operation, "mutates": o.mutates
            });
            format!("{line}\n")
        } else {
            format!("{}:{}\n", o.service, o.operation)
        }
    };
    supported().iter().map(line).collect()
}

fn serve(global: &Global, args: &Serve) -> anyhow::Result<Exit> {
    let (world, faults) = match &args.scenario {
        Some(path) => {
            let scenario = Scenario::load(path)?;
            let in_file = || format!("{}", path.display());
            let world = scenario.world(global.sim.seed).with_context(in_file)?;
            (world, scenario.faults().with_context(in_file)?)
        }
        None => (storefront(global.sim.seed), Vec::new()),
    };
    let accounts = accounts(&world);
    let options = ServeOptions {
        port: args.port,
        speed: args.speed,
        upstream: args.upstream.clone(),
        ..ServeOptions::default()
    };
    let endpoint = Endpoint::new(SimCloud::new(world));
    for fault in faults {
        endpoint.disturb(fault);
    }
    super::block_on(async {
        let server = Server::bind(endpoint, &options).await;
        let server = server.with_context(|| format!("cannot serve on port {} of 127.0.0.1", args.port))?;
        super::print(&announce(global, args, &server.url(), &accounts));
        server.run(stop()).await;
        Ok(Exit::Done)
    })?
}

/// An environment, as a client must name it.
struct Account {
    name: String,
    account: String,
    region: String,
    cluster: String,
}

fn accounts(world: &World) -> Vec<Account> {
    let all = world.places().into_iter();
    all.map(|place| Account {
        name: place.name.to_string(),
        account: place.account,
        region: place.region,
        cluster: place.cluster,
    })
    .collect()
}

/// What to set, in a form that a shell takes: comments and `export` lines. In JSON one object.
fn announce(global: &Global, args: &Serve, url: &str, accounts: &[Account]) -> String {
    if global.json {
        let environments: Vec<_> = accounts
            .iter()
            .map(
                |a| json!({ "name": a.name, "account": a.account, "region": a.region, "cluster": a.cluster }),
            )
            .collect();
        let line =
            json!({ "kind": "serving", "url": url, "speed": args.speed, "environments": environments });
        return format!("{line}\n");
    }
    let mut text = format!(
        "# The simulated cloud answers at {url}; {} s of it pass in one second. Ctrl-C ends it.\n",
        args.speed
    );
    for a in accounts {
        text.push_str(&format!(
            "# environment {}: account {}, region {}, cluster {}\n",
            a.name, a.account, a.region, a.cluster
        ));
    }
    // The last environment is where a release goes to, the first where it comes from.
    if let Some(a) = accounts.last() {
        text.push_str(&format!(
            "# An access key id of 12 digits is the account; these are for {}.\n\
             export AWS_ENDPOINT_URL={url}\n\
             export AWS_ACCESS_KEY_ID={}\n\
             export AWS_SECRET_ACCESS_KEY=simulated\n\
             export AWS_REGION={}\n\
             export AWS_DEFAULT_REGION={}\n",
            a.name, a.account, a.region, a.region
        ));
    }
    text
}

/// Ctrl-C, or a request to end.
async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut end) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = end.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the signal ends the program anyhow.
        core::future::pending::<()>().await;
    }
}
