//! With the AWS adapters: the same adapters, SDK and wire protocols as on AWS, against the simulated cloud's endpoint in this
//! process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rollout_aws::connector::ConnectorHttp;
use rollout_aws::resolve::FixedResolver;
use rollout_sim::SimCloud;
use rollout_sim::endpoint::{Endpoint, InProcess};

use super::super::aws::{self, Outside};
use super::Bound;
use crate::config::Config;

/// What every host of the simulated cloud has for an address; the connector goes by the name. From the block that is
/// reserved for documentation (RFC 5737).
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// The ports and the clock of a run. `speed` is in simulated seconds a second; 0 does not wait at all.
pub(super) fn bind(cloud: &SimCloud, config: &Config, speed: u32) -> anyhow::Result<Bound> {
    let endpoint = Endpoint::new(cloud.clone());
    let wire = match speed {
        0 => {
            // Nobody waits: the runtime jumps to whatever comes next.
            tokio::time::pause();
            InProcess::new(endpoint)
        }
        speed => InProcess::paced(endpoint, speed),
    };
    let http = Arc::new(ConnectorHttp::new(wire.connector()));
    let clock = wire.clock();
    let now = Arc::clone(&clock);
    let known = cloud.clone();
    let balancer = move |host: &str, port| {
        let found = known.with(|world| world.addresses(host));
        Ok(found
            .into_iter()
            .map(|address| SocketAddr::from((address, port)))
            .collect())
    };
    let outside = Outside {
        balancers: Arc::new(balancer),
        fetch: Arc::clone(&http) as _,
        resolver: Arc::new(FixedResolver(ADDRESS)),
        layers: http,
        name_servers: false,
        now: Arc::new(move || now.now()),
        credentials_end: None,
        clock: Arc::clone(&clock),
        // The same simulation is the same run.
        seed: 1,
    };
    let (source, target) = (&config.promotion.from, &config.promotion.to);
    let sdk = wire.config(target.as_str())?;
    let (ports, observers) = aws::ports(config, &wire.config(source.as_str())?, &sdk, &outside);
    Ok(Bound {
        ports,
        clock,
        observers,
        target: sdk,
    })
}
