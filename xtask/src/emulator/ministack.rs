//! MiniStack: ECS rolling deployments end to end, with containers that are timers.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::Kind;
use super::launch::{Plan, Ports, common_env, shim, url};
use super::layout::Layout;
use super::process::Spec;
use super::venv::{self, Environment};

pub(crate) const VERSION: &str = "1.5.33";

const ENVIRONMENT: Environment = Environment {
    name: "ministack",
    python: venv::Python::AtLeast(3, 10),
    build_first: None,
    from_source: &[],
};

/// MiniStack and, in front of it, the CloudWatch shim.
pub(crate) fn plan(layout: &Layout, ports: Ports) -> Result<Plan> {
    let python = install(layout)?;
    let mut env = common_env(Kind::Ministack, ports.main);
    env.insert("AWS_ENDPOINT_URL_CLOUDWATCH".to_owned(), url(ports.helper));
    let specs = vec![
        server(layout, python.clone(), ports.main),
        shim(layout, python, ports.helper, ports.main),
    ];
    Ok(Plan { specs, env })
}

/// Its Python; LocalStack starts one beside it.
pub(crate) fn install(layout: &Layout) -> Result<PathBuf> {
    venv::ensure(layout, &ENVIRONMENT)
}

pub(crate) fn server(layout: &Layout, python: PathBuf, port: u16) -> Spec {
    Spec {
        role: "ministack",
        program: python,
        args: vec!["-m".to_owned(), "ministack".to_owned()],
        env: vec![
            (
                "PYTHONPATH",
                layout.source("simdocker").to_string_lossy().into_owned(),
            ),
            // The default is every interface.
            ("BIND_HOST", "127.0.0.1".to_owned()),
            ("GATEWAY_PORT", port.to_string()),
            ("MINISTACK_HOST", "127.0.0.1".to_owned()),
        ],
        port,
        health: "/_ministack/health",
        deadline: Duration::from_secs(30),
    }
}
