use rollout_sim::endpoint::{Upset, Which};

use super::*;

const WHOLE: &str = r#"
seed = 9
start = "2026-03-01T12:00:00Z"

[[environments]]
name = "production"
account = "444455556666"
region = "eu-west-1"
cluster = "main"
launch = "ec2"
capacity = 20
repositories = ["shop/new"]
event_queues = ["shop-production"]

[[environments.images]]
repository = "shop/api"
tag = "1.0.0"

[[environments.images]]
repository = "shop/api"
tag = "1.1.0"
does = "crash"
after = "2s"
exit_code = 3
log = ["no database"]

[[environments.services]]
name = "api"
containers = [{ name = "api", repository = "shop/api", tag = "1.0.0" }]
desired = 3
port = 8080
circuit_breaker = { enable = true, rollback = true, count = 4 }
health_check = { interval = "10s", healthy = 2, unhealthy = 2 }
grace = "1m"

[[environments.balancers]]
name = "edge"
routes = { "/" = "api" }

[[environments.alarms]]
name = "errors"
service = "api"
errors_over = 100

[[environments.alarms]]
name = "by-hand"

[[environments.secrets]]
name = "shop/db"
value = "hunter2-canary"

[[environments.parameters]]
name = "/shop/key"
value = "hunter2-canary"

[[environments.web_acls]]
name = "shut"
blocks = true
protects = ["edge"]
rules = [{ Name = "de", Priority = 0, Action = { Count = {} }, Statement = { GeoMatchStatement = { CountryCodes = ["DE"] } }, VisibilityConfig = { SampledRequestsEnabled = false, CloudWatchMetricsEnabled = false, MetricName = "de" } }]

[[zones]]
id = "Z1"
name = "example.com"
records = [
  { name = "shop.example.com", type = "A", alias = { environment = "production", balancer = "edge" }, requests_per_minute = 60 },
  { name = "txt.example.com", type = "TXT", ttl = 300, values = ["\"x\""] },
]

[[incidents]]
environment = "production"
after = "5m"
what = { alarm = { alarm = "by-hand" } }

[[incidents]]
environment = "production"
deployment = "api"
plus = "10s"
what = { scaled = { service = "api", desired = 5 } }

[[faults]]
service = "ecs"
operation = "UpdateService"
call = 1
what = "lost-answer"

[[faults]]
what = "stale"
by = "30s"
share_per_10_000 = 500
"#;

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, false).expect(text)
}

#[test]
fn a_scenario_describes_a_world() {
    let scenario = scenario(WHOLE);
    let mut world = scenario.world(1).expect("a world");
    assert_eq!(world.seed(), 9);
    assert_eq!(world.now().to_string(), "2026-03-01T12:00:00.000Z");
    let place = &world.places()[0];
    let found = (
        place.account.as_str(),
        place.region.as_str(),
        place.cluster.as_str(),
    );
    assert_eq!(found, ("444455556666", "eu-west-1", "main"));
    assert_eq!(
        world.service("production", "api").expect("it is there").running,
        3
    );
    assert_eq!(
        world.alarm("production", "by-hand"),
        Ok(rollout_sim::AlarmState::Ok)
    );
    world.pass(Duration::from_secs(301));
    assert_eq!(
        world.alarm("production", "by-hand"),
        Ok(rollout_sim::AlarmState::Alarm)
    );
}

#[test]
fn a_secret_is_there_and_its_value_does_not_show() {
    let scenario = scenario(WHOLE);
    assert!(!format!("{scenario:?}").contains("canary"));
    let mut world = scenario.world(1).expect("a world");
    assert!(!format!("{world:?}").contains("canary"));
    assert_eq!(world.delete_secret("production", "shop/db"), Ok(()));
    assert!(world.delete_secret("production", "other").is_err());
}

#[test]
fn a_web_acl_protects_what_there_is() {
    assert!(scenario(WHOLE).world(1).is_ok());
    for (from, to) in [
        (r#"protects = ["edge"]"#, r#"protects = ["other"]"#),
        ("Priority = 0", "Priority = -1"),
    ] {
        let wrong = WHOLE.replace(from, to);
        assert_ne!(wrong, WHOLE);
        assert!(scenario(&wrong).world(1).is_err(), "{to}");
    }
}

#[test]
fn a_scenario_disturbs_the_wire() {
    let faults = scenario(WHOLE).faults().expect("they make sense");
    let seen: Vec<_> = faults
        .iter()
        .map(|f| (f.operation.as_deref(), f.which, f.what.clone()))
        .collect();
    let wanted = [
        (
            Some("UpdateService"),
            Which::Calls { from: 1, to: 1 },
            Upset::LostAnswer,
        ),
        (None, Which::Share(500), Upset::Stale(Duration::from_secs(30))),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn the_same_as_json() {
    let text = r#"{ "environments": [{ "name": "one", "images": [{ "repository": "a/b", "tag": "1" }] }] }"#;
    let world = Scenario::parse(text, true)
        .and_then(|s| s.world(5))
        .expect("a world");
    assert_eq!(world.seed(), 5);
    assert!(world.image("one", "a/b", "1").is_ok());
}

#[test]
fn what_makes_no_sense_is_said() {
    let one = "[[environments]]\nname = \"one\"\n";
    for (rest, said) in [
        ("colour = 1\n", "unknown field `colour`"),
        ("launch = \"lambda\"\n", "unknown variant `lambda`"),
        (
            "images = [{ repository = \"a/b\", tag = \"1\", does = \"crash\" }]\n",
            "what it does needs `after`",
        ),
        (
            "images = [{ repository = \"a/b\", tag = \"1\", does = \"crash\", after = \"soon\" }]\n",
            "`soon` is no duration",
        ),
        (
            "alarms = [{ name = \"x\", errors_over = 1 }]\n",
            "give `service` with either",
        ),
        (
            "images = [{ repository = \"a/b\", tag = \"1\" }]\n\
             services = [{ name = \"api\", containers = [{ name = \"api\", repository = \"a/b\", tag = \"1\" }] }]\n\
             alarms = [{ name = \"x\", service = \"web\", errors_over = 1 }]\n",
            "service web was not described",
        ),
        (
            "[[incidents]]\nenvironment = \"two\"\nwhat = { stall = { service = \"api\" } }\n",
            "there is no environment two",
        ),
        (
            "[[incidents]]\nenvironment = \"one\"\nplus = \"1s\"\nwhat = { capacity-short = { lasts = \"1m\" } }\n",
            "an incident has one of",
        ),
        (
            "[[zones]]\nid = \"Z1\"\nname = \"x.org\"\nrecords = [{ name = \"a.x.org\", type = \"A\" }]\n",
            "give either `values` or `alias`",
        ),
        ("[[faults]]\nwhat = \"stale\"\n", "says `by` how long"),
        (
            "[[faults]]\nwhat = \"twice\"\nby = \"1s\"\n",
            "only if it is late or stale",
        ),
    ] {
        let text = format!("{one}{rest}");
        let made = Scenario::parse(&text, false).and_then(|s| {
            let faults = s.faults()?;
            Ok((s.world(1)?, faults))
        });
        let error = made.map(|_| ()).expect_err(&text);
        assert!(format!("{error:#}").contains(said), "{rest}: {error:#}");
    }
    let nothing = Scenario::parse("seed = 1", false).expect_err("it is empty");
    assert!(nothing.to_string().contains("describes no environment"));
}

/// What the documentation shows is a scenario.
#[test]
fn the_documented_scenario_is_one() {
    let document = include_str!("../../../../../docs/simulated-aws.md");
    let (_, rest) = document.split_once("```toml\n").expect("it shows one");
    let (shown, _) = rest.split_once("```").expect("it ends");
    let scenario = scenario(shown);
    assert_eq!(scenario.faults().map(|f| f.len()).expect("they make sense"), 1);
    let world = scenario.world(1).expect("a world");
    assert_eq!(
        world.service("production", "api").expect("it is there").running,
        3
    );
}
