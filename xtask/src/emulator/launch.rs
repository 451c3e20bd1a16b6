//! From "start X" to a healthy instance, or to an error and nothing left running.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::instance::{Instance, Lock};
use super::layout::Layout;
use super::listen::{self, Exposure};
use super::process::{self, Running, Spec, pause};
use super::{Kind, Port, localstack, ministack, moto};

/// Whose life the servers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// They outlive xtask and do not hear its Ctrl-C.
    Detached,
    /// They hear the Ctrl-C of xtask.
    Shared,
}

/// An instance that is healthy.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) instance: Instance,
    /// It ran before.
    pub(crate) was_running: bool,
}

/// What an emulator's module plans: its servers, the emulator first, and the environment for programs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) specs: Vec<Spec>,
    pub(crate) env: BTreeMap<String, String>,
}

/// The ports of one start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// The emulator's.
    pub(crate) main: u16,
    /// Its helper's: the CloudWatch shim, or MiniStack beside LocalStack.
    pub(crate) helper: u16,
}

impl Ports {
    /// A port that the caller gave is the emulator's; its helper then takes a free one, so that nothing collides.
    fn choose(kind: Kind, wanted: Option<Port>) -> Result<Self> {
        let (main, helper) = match kind {
            Kind::Ministack => (4566, 4576),
            Kind::Localstack => (4567, 4577),
            Kind::Moto => (5000, 5010),
        };
        Ok(match wanted {
            None => Self { main, helper },
            Some(Port::Fixed(main)) => Self {
                main,
                helper: listen::free_port()?,
            },
            Some(Port::Auto) => Self {
                main: listen::free_port()?,
                helper: listen::free_port()?,
            },
        })
    }
}

/// What every SDK needs to talk to any of the emulators.
pub(crate) fn common_env(kind: Kind, port: u16) -> BTreeMap<String, String> {
    [
        ("AWS_ENDPOINT_URL", url(port)),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("ROLLOUT_EMULATOR", kind.name().to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The endpoint of a port.
pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The CloudWatch shim in front of `target`, run by the Python of its environment.
pub(crate) fn shim(layout: &Layout, python: PathBuf, port: u16, target: u16) -> Spec {
    let script = layout.source("cborshim.py");
    Spec {
        role: "cloudwatch",
        program: python,
        args: vec![
            script.to_string_lossy().into_owned(),
            port.to_string(),
            target.to_string(),
        ],
        env: vec![],
        port,
        health: "/_shim/health",
        deadline: Duration::from_secs(20),
    }
}

/// Installs if need be and starts, unless the instance runs and is healthy.
pub(crate) fn start(
    layout: &Layout,
    kind: Kind,
    name: &str,
    wanted: Option<Port>,
    session: Session,
) -> Result<Started> {
    let _held = Lock::take(layout, name)?;
    if let Some(instance) = Instance::load(layout, name)?
        && let Some(started) = reuse(layout, instance, kind, wanted)?
    {
        return Ok(started);
    }
    // A free port can be taken between the choice and the start, so a chosen one is tried again.
    let tries = if wanted == Some(Port::Auto) { 3 } else { 1 };
    let mut last = None;
    for _ in 0..tries {
        match start_once(layout, kind, name, wanted, session) {
            Ok(instance) => {
                return Ok(Started {
                    instance,
                    was_running: false,
                });
            }
            Err(error) if error.is::<super::Skipped>() => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("nothing was tried")))
}

/// A healthy instance is used as it is; one that is not is cleared away.
fn reuse(layout: &Layout, instance: Instance, kind: Kind, wanted: Option<Port>) -> Result<Option<Started>> {
    let alive = instance.parts.iter().any(Running::is_alive);
    let remedy = format!(
        "`cargo xtask emulator stop --name {}` first, or choose another --name",
        instance.name
    );
    if alive && instance.kind != kind {
        bail!("instance `{}` is {instance}: {remedy}", instance.name);
    }
    if instance.is_healthy() {
        let port = instance.parts.first().map(|part| part.port);
        if let Some(Port::Fixed(wanted)) = wanted
            && port != Some(wanted)
        {
            bail!(
                "instance `{}` runs as {instance}, not on port {wanted}: {remedy}",
                instance.name
            );
        }
        return Ok(Some(Started {
            instance,
            was_running: true,
        }));
    }
    if alive {
        eprintln!(
            "instance `{}` does not answer; it is stopped and started anew",
            instance.name
        );
    }
    instance.stop_held(layout)?;
    Ok(None)
}

fn start_once(
    layout: &Layout,
    kind: Kind,
    name: &str,
    wanted: Option<Port>,
    session: Session,
) -> Result<Instance> {
    let ports = Ports::choose(kind, wanted)?;
    for port in [ports.main, ports.helper] {
        listen::ensure_free(port).with_context(|| format!("{kind} is not started"))?;
    }
    let folder = layout.instance(name);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let plan = match kind {
        Kind::Ministack => ministack::plan(layout, ports)?,
        Kind::Localstack => localstack::plan(layout, &folder, ports)?,
        Kind::Moto => moto::plan(layout, ports)?,
    };
    let mut instance = Instance {
        name: name.to_owned(),
        kind,
        parts: Vec::new(),
        env: plan.env,
    };
    match bring_up(layout, &mut instance, &plan.specs, &folder, session) {
        Ok(()) => Ok(instance),
        Err(error) => match instance.stop_held(layout) {
            Ok(_) => Err(error),
            Err(second) => Err(error.context(format!("and then: {second:#}"))),
        },
    }
}

fn bring_up(
    layout: &Layout,
    instance: &mut Instance,
    specs: &[Spec],
    folder: &Path,
    session: Session,
) -> Result<()> {
    let mut children = Vec::new();
    for spec in specs {
        let (child, running) = process::spawn(spec, folder, session == Session::Detached)?;
        instance.parts.push(running);
        // Recorded at once, so that `stop` finds it whatever happens next.
        instance.save(layout)?;
        children.push(child);
    }
    for (spec, child) in specs.iter().zip(&mut children) {
        await_health(spec, child, folder)?;
    }
    for part in &instance.parts {
        match listen::exposure(part.pid) {
            Exposure::LoopbackOnly(_) => {}
            Exposure::Exposed(open) => bail!(
                "{} listens on {open:?}, beyond loopback, and was stopped: its settings are in xtask/src/emulator",
                part.role
            ),
            Exposure::NotChecked => {
                eprintln!(
                    "note: this system has no /proc/net/tcp, so it is not checked that {} listens on loopback only",
                    part.role
                );
            }
        }
    }
    Ok(())
}

fn await_health(spec: &Spec, child: &mut Child, folder: &Path) -> Result<()> {
    let log = folder.join(format!("{}.log", spec.role));
    let deadline = Instant::now() + spec.deadline;
    loop {
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("{} cannot be waited for", spec.role))?
        {
            bail!(
                "{} ended at its start with {status}; the end of {}:\n{}",
                spec.role,
                log.display(),
                process::tail(&log)
            );
        }
        if super::http::get_status(spec.port, spec.health) == Some(200) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "{} did not answer {}{} within {} s; the end of {}:\n{}",
                spec.role,
                url(spec.port),
                spec.health,
                spec.deadline.as_secs(),
                log.display(),
                process::tail(&log)
            );
        }
        pause(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_do_not_collide() {
        let mut seen = std::collections::HashSet::new();
        for kind in [Kind::Ministack, Kind::Localstack, Kind::Moto] {
            let ports = Ports::choose(kind, None).expect("defaults");
            assert!(
                seen.insert(ports.main) && seen.insert(ports.helper),
                "{kind}: {ports:?}"
            );
        }
    }

    #[test]
    fn a_given_port_is_the_emulators() {
        let ports = Ports::choose(Kind::Moto, Some(Port::Fixed(7000))).expect("ports");
        assert_eq!(ports.main, 7000);
        assert_ne!(ports.helper, 5010);
    }
}
