//! The community runtime of LocalStack without a container, and MiniStack for the services that it leaves out.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Kind;
use super::launch::{Plan, Ports, common_env, url};
use super::layout::Layout;
use super::ministack;
use super::process::Spec;
use super::venv::{self, Environment};

pub(crate) const VERSION: &str = "4.14.0";

const ENVIRONMENT: Environment = Environment {
    name: "localstack",
    // On 3.11 nine of its modules do not parse, and it looks healthy all the same.
    python: venv::Python::Exactly(3, 13),
    build_first: Some("localstack-build"),
    from_source: &["airspeed-ext", "crontab", "jsonpath-rw"],
};

/// What MiniStack answers beside LocalStack. The logs are there because ECS writes them to its own emulator.
const AT_MINISTACK: [&str; 4] = ["ECS", "ECR", "ELASTIC_LOAD_BALANCING_V2", "CLOUDWATCH_LOGS"];

/// LocalStack and, beside it, a MiniStack of its own.
pub(crate) fn plan(layout: &Layout, folder: &Path, ports: Ports) -> Result<Plan> {
    let python = venv::ensure(layout, &ENVIRONMENT)?;
    let beside = ministack::server(layout, ministack::install(layout)?, ports.helper);
    let mut env = common_env(Kind::Localstack, ports.main);
    for service in AT_MINISTACK {
        env.insert(format!("AWS_ENDPOINT_URL_{service}"), url(ports.helper));
    }
    let files = folder.join("files");
    let listen = format!("127.0.0.1:{}", ports.main);
    let server = Spec {
        role: "localstack",
        program: python,
        args: vec!["-m".to_owned(), "localstack.runtime.main".to_owned()],
        env: vec![
            (
                "PYTHONPATH",
                layout.source("lsmoto").to_string_lossy().into_owned(),
            ),
            ("GATEWAY_LISTEN", listen.clone()),
            ("LOCALSTACK_HOST", listen),
            // The default server ignores the host of GATEWAY_LISTEN and binds every interface.
            ("GATEWAY_SERVER", "hypercorn".to_owned()),
            // Otherwise a DNS server is started on port 53 of every interface.
            ("DNS_ADDRESS", "0".to_owned()),
            // Otherwise a machine with a marker file of Docker is taken for a container.
            ("OVERRIDE_IN_DOCKER", "0".to_owned()),
            // Otherwise it reaches out to the internet.
            ("SKIP_SSL_CERT_DOWNLOAD", "1".to_owned()),
            ("DISABLE_EVENTS", "1".to_owned()),
            ("FILESYSTEM_ROOT", files.to_string_lossy().into_owned()),
            // Its own DynamoDB wants to download a Java program; tests/emulator/lsmoto answers instead.
            ("PROVIDER_OVERRIDE_DYNAMODB", "moto".to_owned()),
        ],
        port: ports.main,
        health: "/_localstack/health",
        deadline: Duration::from_secs(120),
    };
    std::fs::create_dir_all(&files).with_context(|| format!("{} cannot be made", files.display()))?;
    Ok(Plan {
        specs: vec![server, beside],
        env,
    })
}
