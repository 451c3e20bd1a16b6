//! moto's server: broad and shallow; it starts no tasks for a service.

use std::time::Duration;

use anyhow::Result;

use super::Kind;
use super::launch::{Plan, Ports, common_env, shim, url};
use super::layout::Layout;
use super::process::Spec;
use super::venv::{self, Environment};

pub(crate) const VERSION: &str = "5.2.5";

const ENVIRONMENT: Environment = Environment {
    name: "moto",
    python: venv::Python::AtLeast(3, 10),
    build_first: None,
    from_source: &[],
};

/// moto and, in front of it, the CloudWatch shim.
pub(crate) fn plan(layout: &Layout, ports: Ports) -> Result<Plan> {
    let python = venv::ensure(layout, &ENVIRONMENT)?;
    let mut env = common_env(Kind::Moto, ports.main);
    env.insert("AWS_ENDPOINT_URL_CLOUDWATCH".to_owned(), url(ports.helper));
    // It has boto3, with which a test makes an environment without us.
    env.insert("ROLLOUT_EMULATOR_PYTHON".to_owned(), python.display().to_string());
    let server = Spec {
        role: "moto",
        program: python.clone(),
        args: [
            "-m",
            "moto.server",
            "-H",
            "127.0.0.1",
            "-p",
            &ports.main.to_string(),
        ]
        .map(str::to_owned)
        .into(),
        env: vec![
            // Seconds until a certificate is ISSUED; the default is 60.
            ("MOTO_ACM_VALIDATION_WAIT", "2".to_owned()),
            // Services of up to two tasks are COMPLETED when created; without it none ever is.
            ("MOTO_ECS_SERVICE_RUNNING", "2".to_owned()),
            // Otherwise every answer lets every page in, whatever the rules of a bucket say.
            ("MOTO_DISABLE_GLOBAL_CORS", "true".to_owned()),
        ],
        port: ports.main,
        health: "/moto-api/",
        deadline: Duration::from_secs(60),
    };
    Ok(Plan {
        specs: vec![server, shim(layout, python, ports.helper, ports.main)],
        env,
    })
}
