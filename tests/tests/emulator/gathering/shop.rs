//! The storefront that boto3 makes, breaks and mends: a Python process that takes commands.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use aws_sdk_ecs::config::Credentials;
use rollout_core::plan::window::Window;
use rollout_core::readiness::example;
use rollout_core::readiness::intent::{Intent, Preflight};
use serde_json::Value;

/// The account that moto has.
pub(super) const ACCOUNT: &str = "123456789012";

/// A fault that can be put in.
pub(super) struct Fault {
    pub(super) name: String,
    /// The checks that find it.
    pub(super) found_by: Vec<String>,
    /// Whether it cannot be put right again.
    pub(super) stays: bool,
}

/// The process, which ends with its input.
pub(super) struct Shop {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// What was made.
    made: Value,
    /// Whoever asks for facts.
    pub(super) credentials: Credentials,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.commands = None;
        self.process.wait().ok();
    }
}

fn credentials(answer: &Value) -> Credentials {
    let part = |index: usize| {
        let value = answer.get("credentials").and_then(|all| all.get(index));
        value.and_then(Value::as_str).map(ToOwned::to_owned)
    };
    let (key, secret) = (part(0).expect("a key"), part(1).expect("its secret"));
    Credentials::new(key, secret, part(2), None, "emulator")
}

impl Shop {
    /// Makes it with the emulator's own Python.
    pub(super) fn make(name: &str) -> Self {
        let python =
            std::env::var_os("ROLLOUT_EMULATOR_PYTHON").expect("`cargo xtask emulator test` sets it");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulator/facts/shop.py");
        let mut process = Command::new(python)
            .arg("-B")
            .arg(script)
            .arg(name)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script can be run");
        let commands = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let made = read(&mut answers, "make");
        Self {
            process,
            commands,
            answers,
            credentials: credentials(&made),
            made,
        }
    }

    fn tell(&mut self, command: &str) -> Value {
        let mut commands = self.commands.as_ref().expect("it runs");
        writeln!(commands, "{command}").unwrap_or_else(|error| panic!("{command}: {error}"));
        read(&mut self.answers, command)
    }

    /// Puts a fault in: what is true now and was not before.
    pub(super) fn put(&mut self, fault: &Fault) -> Value {
        let mut answer = self.tell(&format!("put {}", fault.name));
        self.credentials = credentials(&answer);
        answer.get_mut("facts").expect("facts").take()
    }

    /// Puts it right again.
    pub(super) fn heal(&mut self) {
        self.tell("heal");
    }

    /// What is true of it.
    pub(super) fn facts(&self) -> &Value {
        self.made.get("facts").expect("facts")
    }

    /// All faults, in the order that they can be put in.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let all = self.made.get("faults").and_then(Value::as_array).expect("faults");
        let fault = |one: &Value| {
            let found_by = one.get("found_by").and_then(Value::as_array).expect("checks");
            Fault {
                name: text(one, "name"),
                found_by: found_by
                    .iter()
                    .filter_map(Value::as_str)
                    .map(ToOwned::to_owned)
                    .collect(),
                stays: one.get("stays").and_then(Value::as_bool).expect("yes or no"),
            }
        };
        all.iter().map(fault).collect()
    }

    /// The id of the zone above its own.
    pub(super) fn parent(&self) -> String {
        self.intended("parent")
    }

    fn intended(&self, name: &str) -> String {
        text(self.made.get("intent").expect("an intent"), name)
    }

    /// What it is meant to be: the shop of the example, under the names that it has here.
    pub(super) fn intent(&self) -> Intent {
        let text = |name: &str| self.intended(name);
        let (_, mut intent) = example::shop();
        let (cluster, domain) = (text("cluster"), text("domain"));
        intent.release = None;
        intent.expects.account = ACCOUNT.to_owned();
        intent.expects.caller = Some(format!("arn:aws:sts::{ACCOUNT}:assumed-role/{cluster}-deploy/*"));
        for service in &mut intent.services {
            let base = self.made.pointer(&format!("/intent/bases/{}", service.name));
            service.base_url = base.and_then(Value::as_str).map(ToOwned::to_owned);
        }
        for host in &mut intent.hosts {
            let label = host.name.split('.').next().unwrap_or_default();
            host.name = format!("{label}.{domain}");
            host.zone = text("zone");
            host.target = host.target.as_ref().map(|_| text("target"));
        }
        intent.data.databases = vec![cluster.clone()];
        intent.data.caches = vec![cluster.clone()];
        intent.data.buckets = [(text("bucket"), "uploads/".to_owned())].into();
        intent.data.distributions = vec![text("distribution")];
        intent.data.invalidates = vec![text("distribution")];
        intent.data.origins = [text("origin")].into();
        intent.data.preflights = self.preflights();
        intent.deployer.role = Some(text("role"));
        for ask in &mut intent.deployer.asks {
            ask.principal = text("role");
        }
        intent.watch.dashboard = Some(cluster.clone());
        for alarm in intent.watch.slots.values_mut() {
            *alarm = format!("{cluster}-checkout-errors");
        }
        intent.cost.budget = Some(cluster.clone());
        // The test is run at any time.
        intent.procedure.window = Some(Window::default());
        intent.cluster = cluster;
        intent
    }

    fn preflights(&self) -> Vec<Preflight> {
        let all = self.made.pointer("/intent/preflights").and_then(Value::as_array);
        let preflight = |one: &Value| Preflight {
            url: text(one, "url"),
            origin: text(one, "origin"),
            method: text(one, "method"),
        };
        all.expect("preflights").iter().map(preflight).collect()
    }
}

fn read(answers: &mut BufReader<ChildStdout>, command: &str) -> Value {
    let mut line = String::new();
    answers.read_line(&mut line).expect("an answer");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: {error}: {line:?}"))
}

fn text(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("{name} is a text")).to_owned()
}
