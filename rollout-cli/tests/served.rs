//! The program with its AWS adapters, and the program as a simulated AWS on a socket: two processes, HTTP between them, and real
//! time, of which the simulated one has a hundred seconds in each. Nothing sleeps here: the lines that a run prints are waited for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::{Value, json};

const ROLLOUT: &str = env!("CARGO_BIN_EXE_rollout");

/// Seconds of the world in one real second.
const SPEED: &str = "100";

/// A `rollout sim serve` with a small storefront, a folder with its `rollout.toml`, and a state directory.
struct Served {
    server: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The world: staging runs 2.4.0, production 2.3.0. `does` says what the new worker does.
fn scenario(does: &str) -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    let image = |name: &str, tag: &str, more: &str| {
        format!("[[environments.images]]\nrepository = \"storefront/{name}\"\ntag = \"{tag}\"\n{more}\n")
    };
    let service = |name: &str, tag: &str, more: &str| {
        format!(
            "[[environments.services]]\nname = \"{name}\"\nfamily = \"storefront-{name}\"\ndesired = 2\nsettled_for = \"2d\"\n{more}\n\
             [[environments.services.containers]]\nname = \"{name}\"\nrepository = \"storefront/{name}\"\ntag = \"{tag}\"\n"
        )
    };
    let environment = |name: &str, account: &str, tag: &str| {
        let listens = "port = 8787\nderegistration_delay = \"5s\"\nhealth_check = { interval = \"5s\", healthy = 2, unhealthy = 2 }";
        let mut text = format!("[[environments]]\nname = \"{name}\"\naccount = \"{account}\"\n");
        for part in ["backend", "worker"] {
            text.push_str(&image(part, "2.3.0", ""));
        }
        if name == "staging" {
            text.push_str(&image("backend", "2.4.0", ""));
            text.push_str(&image("worker", "2.4.0", does));
        }
        text.push_str(&service("backend", tag, listens));
        text.push_str(&service("worker", tag, ""));
        text.push_str("[[environments.alarms]]\nname = \"storefront-backend-5xx\"\nservice = \"backend\"\nerrors_over = 100\n");
        text
    };
    format!(
        "start = \"{now}\"\n{}{}",
        environment("staging", "111111111111", "2.4.0"),
        environment("production", "222222222222", "2.3.0")
    )
}

/// Waits are real here, so they are short: `rollout.toml` as somebody in a hurry writes it.
const CONFIG: &str = r#"
release = "2.4.0"

[environments.staging]
account = "111111111111"
region = "eu-central-1"
cluster = "staging"
profile = "staging"

[environments.production]
account = "222222222222"
region = "eu-central-1"
cluster = "production"
profile = "production"

[promotion]
from = "staging"
to = "production"

[[tasks]]
name = "migrate"
task_definition = "migrate.json"
run = "migrate.run.json"
images = { migrate = "storefront/backend" }
reversible = true
poll = "1s"

[[services]]
name = "backend"
task_definition = "backend.json"
images = { backend = "storefront/backend" }
deployment = { poll = "1s", stale_reads = "5s" }

[[services.gates]]
name = "healthy"
bake = "1s"

[[services.gates.probes]]
name = "errors"
alarms = ["storefront-backend-5xx"]
every = "1s"

[[services]]
name = "worker"
after = ["backend"]
task_definition = "worker.json"
images = { worker = "storefront/worker" }
deployment = { poll = "1s", stale_reads = "5s" }
"#;

impl Served {
    fn new(does: &str) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("it can be written");
            path
        };
        let scenario = file("scenario.toml", &scenario(does));
        file("rollout.toml", CONFIG);
        for (family, container) in [
            ("backend", "backend"),
            ("worker", "worker"),
            ("migrate", "migrate"),
        ] {
            let definition = json!({
                "family": format!("storefront-{family}"),
                "networkMode": "awsvpc",
                "requiresCompatibilities": ["FARGATE"],
                "cpu": "256",
                "memory": "512",
                "containerDefinitions": [{
                    "name": container,
                    "image": "replaced",
                    "essential": true,
                    "portMappings": [{ "containerPort": 8787 }],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": format!("/storefront/{family}"),
                            "awslogs-region": "eu-central-1",
                            "awslogs-stream-prefix": family,
                        },
                    },
                }],
            });
            file(&format!("{family}.json"), &definition.to_string());
        }
        file(
            "migrate.run.json",
            r#"{ "launchType": "FARGATE", "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-1"] } } }"#,
        );
        let account = |id: &str| format!("aws_access_key_id = {id}\naws_secret_access_key = simulated\n");
        let (staging, production) = (account("111111111111"), account("222222222222"));
        file(
            "credentials",
            &format!("[staging]\n{staging}[production]\n{production}"),
        );
        file("config", "");

        let mut server = Command::new(ROLLOUT)
            .args([
                "--json",
                "sim",
                "serve",
                "--port",
                "0",
                "--speed",
                SPEED,
                "--scenario",
            ])
            .arg(scenario)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let out = server.stdout.take().expect("it is piped");
        BufReader::new(out)
            .read_line(&mut line)
            .expect("it says where it is");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let url = said["url"].as_str().expect("a URL").to_owned();
        Self { server, url, folder }
    }

    fn command(&self, args: &[&str]) -> Command {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(ROLLOUT);
        command
            .args(["--cloud", "aws", "--endpoint-url", &self.url, "--config"])
            .arg(path("rollout.toml"))
            .arg("--state-dir")
            .arg(path("state"))
            .args(args)
            .env("AWS_SHARED_CREDENTIALS_FILE", path("credentials"))
            .env("AWS_CONFIG_FILE", path("config"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("ROLLOUT_CLOUD")
            .env_remove("ROLLOUT_OVERLAY")
            .stdin(Stdio::null());
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_ENDPOINT_URL",
            "HTTP_PROXY",
            "http_proxy",
        ] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        said(&self.command(args).output().expect("it starts"))
    }

    /// With `--json`: the exit code, and every line.
    fn json(&self, args: &[&str]) -> (Option<i32>, Vec<Value>) {
        let output = self.command(args).arg("--json").output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
        let lines: Vec<Value> = lines.collect();
        assert!(!lines.is_empty(), "{args:?}: {}", said(&output).1);
        (output.status.code(), lines)
    }

    /// Which services would still change, as a plan sees them: those that do not run what staging runs.
    fn to_change(&self) -> Vec<String> {
        let (code, lines) = self.json(&["plan"]);
        // After a rollback by hand the environment is held: a plan says so, and shows what would change all the same.
        assert!(matches!(code, Some(0 | 10)), "{lines:?}");
        let services = lines[0]["services"].as_array().expect("a list");
        let changes = services.iter().filter(|service| {
            let images = service["images"].as_object().expect("images");
            images.values().any(|image| image["from"] != image["to"])
        });
        changes
            .map(|service| service["service"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// What another deployer does to a service of production, whatever it is written in: AWS's API takes it from anybody.
    fn deploys_again(&self, service: &str) {
        let host = self.url.trim_start_matches("http://").trim_end_matches('/');
        let body =
            json!({ "cluster": "production", "service": service, "forceNewDeployment": true }).to_string();
        let mut stream = TcpStream::connect(host).expect("it listens");
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: AmazonEC2ContainerServiceV20141113.UpdateService\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=222222222222/20260101/eu-central-1/ecs/aws4_request, SignedHeaders=host, \
             Signature=0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("it can be sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn journal(&self, run: &str) -> PathBuf {
        self.folder
            .path()
            .join("state/runs")
            .join(run)
            .join("journal.jsonl")
    }

    /// A run whose backend is being deployed, so that there is a way back to go, and what it prints from there on.
    fn under_way(&self) -> (Child, impl Iterator<Item = Value> + use<>) {
        let mut child = self
            .command(&["run", "--run", "one", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut lines = out
            .lines()
            .map_while(Result::ok)
            .map(|line| serde_json::from_str::<Value>(&line).unwrap_or_else(|e| panic!("{e}: {line}")));
        let begun = lines.any(|line| {
            let deploying = line["note"].as_str().is_some_and(|note| note.contains("running"));
            line["step"] == "service/backend" && line["state"] == "working" && deploying
        });
        assert!(begun, "it never came to the backend");
        (child, lines)
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_release_goes_to_production_through_the_sdk_and_a_socket_and_back() {
    let served = Served::new("");
    assert_eq!(served.to_change(), ["backend", "worker"]);
    let (code, lines) = served.json(&["run", "--run", "one"]);
    let last = lines.last().expect("the outcome");
    assert_eq!(code, Some(0), "{last}");
    assert_eq!(last["outcome"], "Released");
    for step in [
        "task/migrate",
        "service/backend",
        "gate/backend/healthy",
        "service/worker",
        "confirm",
    ] {
        let done = lines
            .iter()
            .any(|line| line["step"] == step && line["state"] == "done");
        assert!(done, "{step}: {lines:#?}");
    }
    assert_eq!(served.to_change(), [""; 0]);
    // The journal is whole: it ends with its last record, and says the same.
    let journal = std::fs::read_to_string(served.journal("one")).expect("there is one");
    let last = journal.lines().last().unwrap_or_default();
    assert!(last.contains("\"body\":\"closed\""), "{last}");
    let (code, status) = served.json(&["status", "one"]);
    assert_eq!(code, Some(0));
    assert_eq!(status.last().expect("the outcome")["outcome"], "Released");

    let (code, lines) = served.json(&["rollback"]);
    let last = lines.last().expect("the outcome");
    assert_eq!(code, Some(0), "{last}");
    assert_eq!(last["outcome"], "AtLastKnownGood");
    assert_eq!(served.to_change(), ["backend", "worker"]);
}

#[test]
fn a_release_that_crashes_goes_back_through_the_sdk_and_a_socket() {
    let served =
        Served::new("does = \"crash\"\nafter = \"3s\"\nexit_code = 78\nlog = [\"fatal: no QUEUE_URL\"]");
    let (code, lines) = served.json(&["run", "--run", "one"]);
    let last = lines.last().expect("the outcome");
    assert_eq!(code, Some(11), "{last}");
    assert_eq!(last["outcome"], "RolledBack");
    assert_eq!(last["exit_code"], 11);
    let text = last.to_string();
    for part in ["service/worker", "exited with 78", "fatal: no QUEUE_URL"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(served.to_change(), ["backend", "worker"]);
    let (_, status) = served.json(&["status"]);
    assert_eq!(status.last().expect("the outcome")["outcome"], "RolledBack");
}

/// Somebody else deploys the same service in the middle: we yield, say to what, and do not fight.
#[test]
fn another_deployer_in_the_middle_is_yielded_to() {
    let served = Served::new("");
    let (mut child, lines) = served.under_way();
    served.deploys_again("backend");
    let last = lines.last().expect("the outcome");
    assert_eq!(last["outcome"], "Superseded", "{last}");
    assert_eq!(child.wait().expect("it ends").code(), Some(12));
    let why = last["why"].as_str().expect("a reason");
    assert!(why.contains("backend") && why.contains("ecs-svc/"), "{why}");
    // It is theirs now: nothing of ours was put back over it, and the next runner may begin.
    let (code, status) = served.json(&["status", "one"]);
    assert_eq!(
        (code, &status.last().expect("the outcome")["outcome"]),
        (Some(0), &json!("Superseded"))
    );
}

/// F-24: what a CI system sends when its job is cancelled.
#[cfg(unix)]
fn terminate(child: &Child) {
    let status = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(status.expect("there is a kill").success());
}

#[cfg(unix)]
#[test]
fn a_job_that_is_cancelled_takes_its_release_back() {
    let served = Served::new("");
    let (mut child, lines) = served.under_way();
    terminate(&child);
    let last = lines.last().expect("the outcome");
    assert_eq!(last["outcome"], "Aborted", "{last}");
    assert_eq!(child.wait().expect("it ends").code(), Some(13));
    assert_eq!(served.to_change(), ["backend", "worker"]);
}

/// F-24: SIGTERM, and SIGKILL while it goes back. What is said of the run then is true, and it can be taken back.
#[cfg(unix)]
#[test]
fn a_job_that_is_killed_while_it_stops_leaves_a_journal_that_tells_the_truth() {
    let served = Served::new("");
    let (mut child, mut lines) = served.under_way();
    terminate(&child);
    assert!(
        lines.any(|line| line["kind"] == "message"),
        "the signal is answered"
    );
    child.kill().expect("it still runs");
    assert_eq!(child.wait().expect("it ends").code(), None);
    let left: Vec<Value> = lines.collect();
    assert!(left.iter().all(|line| line["kind"] != "outcome"), "{left:?}");

    // Whatever it had begun is there, to the last record that it needed.
    let (code, status) = served.json(&["status", "one"]);
    assert_eq!(code, Some(0));
    let last = status.last().expect("a status");
    assert_eq!(last["status"], "interrupted", "{last}");
    let (code, text) = served.run(&["status", "one"]);
    assert_eq!(code, Some(0));
    assert!(
        ["Interrupted", "rollout resume one", "rollout rollback one"]
            .into_iter()
            .all(|part| text.contains(part)),
        "{text}"
    );
    // Nobody is there to be asked, and the next process does not find the question.
    let (code, text) = served.run(&["abort", "one"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not under way"), "{text}");

    // A crash of the machine may have torn the last record: it is no record, and what is before it still holds.
    let mut journal = std::fs::OpenOptions::new()
        .append(true)
        .open(served.journal("one"))
        .expect("there is one");
    journal
        .write_all(br#"{"seq":99999,"at":"#)
        .expect("it can be written");
    drop(journal);
    let (code, lines) = served.json(&["rollback", "one"]);
    let last = lines.last().expect("the outcome");
    assert_eq!(code, Some(0), "{last}");
    assert_eq!(
        last["outcome"], "Aborted",
        "it had no end: it is stopped, which takes back what it changed"
    );
    assert_eq!(served.to_change(), ["backend", "worker"]);
    let (code, journal) = served.json(&["journal", "verify", "one"]);
    assert_eq!(code, Some(0));
    assert_eq!(journal[0]["state"], "closed", "{journal:?}");
    let (_, status) = served.json(&["status", "one"]);
    assert_eq!(status.last().expect("the outcome")["outcome"], "Aborted");
}

#[test]
fn keys_of_the_environment_that_end_before_the_worst_case_begin_nothing() {
    let served = Served::new("");
    let with = |expiration: &str| {
        let mut command = served.command(&["plan"]);
        command
            .env("AWS_ACCESS_KEY_ID", "222222222222")
            .env("AWS_SECRET_ACCESS_KEY", "simulated")
            .env("AWS_CREDENTIAL_EXPIRATION", expiration);
        said(&command.output().expect("it starts"))
    };
    // A profile that the configuration names goes before the environment, and its keys have no end that anyone knows.
    let (code, text) = with("2001-01-01T00:00:00Z");
    assert_eq!(code, Some(0), "{text}");

    let config = CONFIG.replace("profile = \"production\"\n", "");
    std::fs::write(served.folder.path().join("rollout.toml"), config).expect("it can be written");
    let (code, text) = with("2001-01-01T00:00:00+00:00");
    assert_eq!(code, Some(10), "{text}");
    assert!(
        text.contains("2001-01-01T00:00:00.000Z is the end of the credentials, which nothing renews"),
        "{text}"
    );
    let (code, text) = with("2999-01-01T00:00:00Z");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = with("soon");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("AWS_CREDENTIAL_EXPIRATION is `soon`"), "{text}");
}
