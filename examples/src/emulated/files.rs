//! What is written beside the world: the overlay, the profiles that it names, and the ECS files as they fit the emulator.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The TTL of the record, in seconds: a cutover waits it out.
pub(super) const TTL: i64 = 5;

/// What only the emulator knows.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its endpoint.
    pub endpoint: String,
    /// The accounts of staging and production.
    pub accounts: [String; 2],
    /// The ARN of production's caller.
    pub caller: String,
    /// Target groups of production, by service.
    pub groups: Vec<(&'static str, String)>,
    /// The hosted zone's id.
    pub zone: String,
    /// The DNS name of the load balancer that the record shall point at.
    pub balancer: String,
}

impl Facts {
    /// Writes `overlay` and, beside it, `aws.config` and the ECS files.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn write(&self, overlay: &Path) -> Result<()> {
        let folder = std::path::absolute(overlay)?;
        let folder = folder.parent().context("the overlay is a file in a folder")?;
        let ecs = folder.join("ecs");
        fs::create_dir_all(&ecs).with_context(|| format!("{} cannot be made", ecs.display()))?;
        for part in ["backend", "frontend", "worker", "migrate"] {
            let mut definition = storefront(&format!("{part}.json"))?;
            without_secrets(&mut definition);
            write(&ecs.join(format!("{part}.json")), &format!("{definition:#}\n"))?;
        }
        let mut run = storefront("migrate.run.json")?;
        // A simulated container runs until it is told to end.
        run["overrides"] = json!({ "containerOverrides": [{
            "name": "migrate",
            "environment": [
                { "name": "SIM_EXIT_SECONDS", "value": "1" },
                { "name": "SIM_EXIT_CODE", "value": "0" },
            ],
        }] });
        write(&ecs.join("migrate.run.json"), &format!("{run:#}\n"))?;
        write(&folder.join("aws.config"), &self.profiles())?;
        write(overlay, &self.overlay(&ecs))
    }

    /// MiniStack takes an access key of twelve digits for the account's number.
    fn profiles(&self) -> String {
        let [staging, production] = &self.accounts;
        format!(
            "\
# Profiles of the storefront on an emulator; AWS itself knows none of these keys.
[profile storefront-staging]
aws_access_key_id = {staging}
aws_secret_access_key = emulator

[profile storefront-production]
aws_access_key_id = {production}
aws_secret_access_key = emulator
"
        )
    }

    fn overlay(&self, ecs: &Path) -> String {
        let group = |name: &str| {
            let found = self.groups.iter().find(|(service, _)| *service == name);
            found.map_or("", |(_, arn)| arn)
        };
        // A TOML string in single quotation marks takes paths of every system as they are.
        let file = |name: &str| format!("'{}'", ecs.join(name).display());
        let health = format!(
            "http = {{ url = \"{}/_ministack/health\", body_contains = '\"ecs\": \"available\"', latency = \"3s\" }}\nevery = \"1s\"",
            self.endpoint
        );
        format!(
            r#"# Lays examples/storefront/rollout.toml over a local emulator. Written by the example storefront_world; the identifiers are
# those of one start of the emulator.

[environments.staging]
account = "{staging}"
profile = "storefront-staging"

[environments.production]
account = "{production}"
profile = "storefront-production"
caller = "{caller}"
allow_addresses = ["127.0.0.0/8", "::1/128"] # the probes ask the emulator

[promotion]
soak = "0s"

[[tasks]]
name = "migrate"
task_definition = {migrate}
run = {migrate_run}
deadline = "2m"
poll = "1s"

[[services]]
name = "backend"
task_definition = {backend}
deployment = {{ deadline = "3m", poll = "1s", stale_reads = "5s" }}

[[services.gates]]
name = "healthy"
warm_up = "1s"
bake = "5s"
give_up = "2m"

[[services.gates.probes]]
name = "targets"
target_health = {{ target_group = "{backend_group}" }}
every = "1s"

[[services.gates.probes]]
name = "ready"
{health}

[[services.gates.probes]]
name = "live"
{health}

[[services.gates.probes]]
name = "errors"
every = "2s"

[[services]]
name = "frontend"
task_definition = {frontend}
deployment = {{ deadline = "3m", poll = "1s", stale_reads = "5s" }}

[[services.gates]]
name = "healthy"
bake = "5s"

[[services.gates.probes]]
name = "targets"
target_health = {{ target_group = "{frontend_group}" }}
every = "1s"

[[services.gates.probes]]
name = "page"
{health}

[[services]]
name = "worker"
task_definition = {worker}
deployment = {{ deadline = "3m", poll = "1s", stale_reads = "5s" }}

[[services.gates]]
name = "queue"
bake = "5s"

[[services.gates.probes]]
name = "backlog"
every = "2s"

[[gates]]
name = "shop"
bake = "5s"

[[gates.probes]]
name = "checkout"
{health}

[[gates.probes]]
name = "api-errors"
every = "2s"

[[gates.probes]]
name = "page-errors"
every = "2s"

[[dns]]
name = "api.storefront.example.com"
type = "CNAME"
zone = "{zone}"
values = ["{balancer}"]
ttl = {TTL}
lowered_ttl = 1
verify = "api" # emulators have no name servers
watch = "5s"
drain = {{ hold = "1s", give_up = "3s" }} # nobody sends a request, and nobody counts them
"#,
            staging = self.accounts[0],
            production = self.accounts[1],
            caller = self.caller,
            migrate = file("migrate.json"),
            migrate_run = file("migrate.run.json"),
            backend = file("backend.json"),
            frontend = file("frontend.json"),
            worker = file("worker.json"),
            backend_group = group("backend"),
            frontend_group = group("frontend"),
            zone = self.zone,
            balancer = self.balancer,
        )
    }
}

fn storefront(name: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("storefront/ecs")
        .join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// The world has no secrets, and a task whose secrets are missing does not start.
fn without_secrets(definition: &mut Value) {
    let containers = definition["containerDefinitions"].as_array_mut();
    for container in containers.into_iter().flatten() {
        if let Some(container) = container.as_object_mut() {
            container.remove("secrets");
        }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
