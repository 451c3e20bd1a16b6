//! The state in a bucket that applies conditional writes: two machines that share nothing else, and a plug that is pulled.
//!
//! The cloud is the simulated one, so that a release takes a second; what is tried is the store. The emulator is spoken to by plain HTTP
//! where the program has no command, to make a bucket and to let a lease run out without waiting for it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::{ROLLOUT, accounts, said};

const REGION: &str = "eu-central-1";

/// Two folders that share a bucket.
struct Shared {
    /// Where the simulated cloud is kept, which is no part of the state.
    here: tempfile::TempDir,
    elsewhere: tempfile::TempDir,
    bucket: String,
    endpoint: String,
}

impl Shared {
    /// With a bucket that is named after the test: others begin in the same moment.
    fn create(test: &str) -> Self {
        let endpoint = std::env::var("AWS_ENDPOINT_URL_S3")
            .or_else(|_| std::env::var("AWS_ENDPOINT_URL"))
            .expect("run `cargo xtask emulator test`");
        let shared = Self {
            here: tempfile::tempdir().expect("a directory"),
            elsewhere: tempfile::tempdir().expect("a directory"),
            bucket: format!("{test}-{}", accounts().replace(',', "-")),
            endpoint,
        };
        let here = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        let (status, body) = shared.http("PUT", "", &here);
        // 409: it was made by a try that was not answered.
        assert!(matches!(status, 200 | 409), "the bucket: {body}");
        shared
    }

    fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(ROLLOUT);
        command
            .args(["--cloud", "sim", "--json", "--config"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/rollout.toml"))
            .args(["--state-dir", &format!("s3://{}/shop", self.bucket)])
            .args(args)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", REGION)
            .env("USER", "ann")
            .env_remove("ROLLOUT_OVERLAY")
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    }

    fn output(&self, folder: &Path, args: &[&str]) -> Output {
        self.command(folder, args).output().expect("it starts")
    }

    /// The exit code and the last line.
    fn end(&self, folder: &Path, args: &[&str]) -> (Option<i32>, Value) {
        let output = self.output(folder, args);
        let text = said(&output);
        let last = text.lines().last().expect("a line");
        let value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}"));
        (output.status.code(), value)
    }

    /// A run, after it has printed so many lines.
    fn begun(&self, run: &str, lines: usize) -> Child {
        let mut child = self
            .command(self.here.path(), &["run", "--run", run])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let _last = out.lines().take(lines).last();
        child
    }

    /// One request, with a signature that no emulator checks; moto wants one all the same. One that loads its S3 for the first time may hang up; it is asked again then.
    fn http(&self, method: &str, key: &str, body: &str) -> (u16, String) {
        let answered = || {
            let answer = self.asked(method, key, body).ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.to_owned(), body.to_owned()))
        };
        let (head, body) = (0..20).find_map(|_| answered()).expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body)
    }

    fn asked(&self, method: &str, key: &str, body: &str) -> io::Result<String> {
        let host = self.endpoint.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host)?;
        let path = format!("/{}/{key}", self.bucket);
        let path = path.trim_end_matches('/');
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"
        );
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {signed}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    const LEASE: &str = "shop/leases/production/default.json";
    const LEASE_OF_THE_FLEET: &str = "shop/fleets/leases/fleet/fleet.json";

    fn lease(&self) -> Value {
        self.object(Self::LEASE)
    }

    fn object(&self, key: &str) -> Value {
        let (status, body) = self.http("GET", key, "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// As if its time had passed.
    fn let_the_lease_run_out(&self) {
        self.let_run_out(Self::LEASE);
    }

    fn let_run_out(&self, key: &str) {
        let mut lease = self.object(key);
        lease["writes"] = (lease["writes"].as_u64().expect("a number") + 1).into();
        lease.as_object_mut().expect("an object").remove("holder");
        let (status, body) = self.http("PUT", key, &lease.to_string());
        assert_eq!(status, 200, "{body}");
    }
}

#[test]
fn another_machine_sees_a_run_is_kept_out_and_goes_on_with_it() {
    let shared = Shared::create("two-machines");
    let (here, elsewhere) = (shared.here.path(), shared.elsewhere.path());
    let mut first = shared.begun("one", 24);
    // SIGSTOP: it neither goes on nor gives anything back.
    let stopped = Command::new("kill")
        .args(["-STOP", &first.id().to_string()])
        .status();
    assert!(stopped.expect("there is a kill").success());

    let (code, status) = shared.end(elsewhere, &["status", "one"]);
    assert_eq!(
        (code, &status["status"]),
        (Some(0), &Value::from("under_way")),
        "{status}"
    );
    assert_eq!(status["by"]["holder"]["owner"]["who"], "ann", "{status}");
    let (code, listed) = shared.end(elsewhere, &["list"]);
    assert_eq!(
        (code, &listed["state"]),
        (Some(0), &Value::from("under way")),
        "{listed}"
    );
    let (code, refused) = shared.end(elsewhere, &["run", "--run", "two", "--wait", "0s"]);
    assert_eq!(
        (code, &refused["outcome"]),
        (Some(10), &Value::from("Refused")),
        "{refused}"
    );
    assert!(refused["why"].to_string().contains("run one"), "{refused}");

    // Its time runs out, and another runner goes on. The first one wakes up and finds the run gone on with.
    shared.let_the_lease_run_out();
    let (code, end) = shared.end(here, &["resume", "one", "--wait", "0s"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(0), &Value::from("Released")),
        "{end}"
    );
    let woken = Command::new("kill")
        .args(["-CONT", &first.id().to_string()])
        .status();
    assert!(woken.expect("there is a kill").success());
    assert_eq!(
        first.wait().expect("it ends").code(),
        Some(12),
        "another has been there since"
    );
    let (code, end) = shared.end(elsewhere, &["status", "one"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(0), &Value::from("Released")),
        "{end}"
    );
    let (code, whole) = shared.end(elsewhere, &["journal", "verify", "one"]);
    assert_eq!((code, &whole["whole"]), (Some(0), &Value::from(true)), "{whole}");
    assert_eq!(shared.lease()["generation"], 2);
}

#[test]
fn another_machine_stops_a_run() {
    let shared = Shared::create("stopped");
    let mut first = shared
        .command(shared.here.path(), &["run", "--run", "one", "--sim-speed", "20"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let out = BufReader::new(first.stdout.take().expect("a pipe"));
    let mut lines = out.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("service/backend") && line.contains("running")));
    let (code, asked) = shared.end(shared.elsewhere.path(), &["abort", "one"]);
    assert_eq!(code, Some(0), "{asked}");
    let all: Vec<String> = lines.collect();
    assert!(
        all.iter()
            .any(|line| line.contains("ann@") && line.contains("asks to stop")),
        "{all:?}"
    );
    assert!(
        all.last().is_some_and(|end| end.contains("\"Aborted\"")),
        "{all:?}"
    );
    assert_eq!(first.wait().expect("it ends").code(), Some(13));
}

/// A kill in every part of the release; nothing is done twice, the migration once at most, and every end is the right one.
#[test]
fn a_run_that_is_killed_at_any_moment_is_gone_on_with() {
    let shared = Shared::create("killed");
    let here = shared.here.path();
    let mut killed = 0;
    for (number, lines) in [
        0, 1, 2, 4, 7, 11, 16, 22, 29, 33, 37, 40, 43, 46, 49, 52, 55, 58, 61, 64,
    ]
    .into_iter()
    .enumerate()
    {
        let run = format!("run-{number:02}");
        let fresh = here.join(".rollout/sim.json");
        if fresh.exists() {
            std::fs::remove_file(&fresh).expect("a new cloud");
        }
        let mut child = shared.begun(&run, lines);
        child.kill().expect("it can be killed");
        if child.wait().expect("it ends").code().is_some() {
            continue;
        }
        let all = said(&shared.output(here, &["list"]));
        if !all.contains(&format!("\"{run}\"")) {
            // Killed before its first record: it has touched nothing. Its lease, if it had one, is nobody's.
            if shared.http("GET", Shared::LEASE, "").0 == 200 {
                shared.let_the_lease_run_out();
            }
            continue;
        }
        killed += 1;
        shared.let_the_lease_run_out();
        let (code, end) = shared.end(here, &["resume", &run, "--wait", "0s"]);
        assert_eq!(
            (code, &end["outcome"]),
            (Some(0), &Value::from("Released")),
            "{lines} lines: {end}"
        );
        let (code, whole) = shared.end(here, &["journal", "verify", &run]);
        assert_eq!(code, Some(0), "{lines} lines: {whole}");
        let journal = said(&shared.output(here, &["journal", "show", &run]));
        let begun = |name: &str| {
            let said = |line: &&str| line.contains("\"issued\"") && line.contains(&format!("\"{name}\":"));
            journal.lines().filter(said).count()
        };
        assert!(
            begun("start_task") == 1 || begun("start_task") == 2 && begun("find_task") >= 1,
            "{lines} lines: the migration was begun {} times",
            begun("start_task")
        );
    }
    assert!(killed >= 12, "only {killed} were killed in time");
}

/// A canary that bakes for half an hour, and then two members at once. Members outlive the process that drives the fleet.
#[test]
fn a_fleet_whose_process_was_killed_is_gone_on_with() {
    let shared = Shared::create("fleet");
    let here = shared.here.path();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/rollout.toml");
    let member = |name: &str| format!("[members.{name}]\nconfig = '{}'\n", config.display());
    let members = ["a", "b", "c"].map(member).concat();
    let waves = "[[waves]]\nname = \"canary\"\nmembers = [\"a\"]\nbake = \"30m\"\n\
        [[waves]]\nname = \"rest\"\nmembers = [\"b\", \"c\"]\nat_once = 2\n";
    let file = format!("release = \"2.4.0\"\n{members}{waves}");
    std::fs::write(here.join("fleet.toml"), file).expect("it can be written");
    let mut child = shared
        .command(here, &["fleet", "run", "--run", "f-1", "--sim-speed", "200"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = out.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("rest/b") && line.contains("working")));
    child.kill().expect("it can be killed");
    assert_eq!(child.wait().expect("it ends").code(), None);
    shared.let_run_out(Shared::LEASE_OF_THE_FLEET);
    let (code, end) = shared.end(here, &["fleet", "resume", "f-1", "--wait", "0s"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(0), &Value::from("Released")),
        "{end}"
    );
    for member in ["a", "b", "c"] {
        assert_eq!(
            end["details"]["released"]["members"][member]["ended"], "released",
            "{end}"
        );
        let cloud = here.join(".rollout/members").join(member).join("sim.json");
        assert!(cloud.exists(), "{member} has no cloud of its own");
    }
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let mut shared = Shared::create("no-bucket");
    shared.bucket = "nobodys-bucket-at-all".to_owned();
    let (code, error) = shared.end(shared.here.path(), &["run", "--run", "one"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error["error"].to_string().contains("nobodys-bucket-at-all"),
        "{error}"
    );
}
