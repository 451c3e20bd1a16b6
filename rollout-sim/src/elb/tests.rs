use core::time::Duration;

use rollout_core::time::Timestamp;

use super::balancer::fits;
use super::*;
use crate::ecs::Environment;
use crate::kernel::Kernel;
use crate::testkit::{Bench, world, world_with};
use crate::{Start, World};

const START: Timestamp = Timestamp::from_millis(1_000_000_000);

/// Two machines behind a load balancer with a test listener, and an empty group `green` beside the service's.
fn shop() -> World {
    let images = |e: crate::EnvironmentBuilder| e.image("app/api", "1");
    World::builder(3)
        .environment("prod", |e| {
            images(e)
                .service("api", |s| {
                    s.container("api", "app/api", "1").desired(2).load_balanced(8080)
                })
                .target_group("green", 8080)
                .balancer("main", |b| {
                    b.forward("/api/", &[("api", 100), ("green", 0)])
                        .machines(2, 1)
                        .listener(9000)
                        .forward("/", &[("green", 1)])
                })
        })
        .build()
        .expect("well described")
}

fn split(world: &mut World) -> (&mut Kernel, &mut Environment) {
    (&mut world.kernel, &mut world.environments[0])
}

fn group(env: &Environment, name: &str) -> u16 {
    let arn = env.groups.iter().find(|g| g.name == name).map(|g| g.arn.clone());
    env.group_index(&arn.expect("described")).expect("not deleted")
}

fn rule(env: &Environment, listener: usize, path: &str) -> Rule {
    let request = Request {
        path,
        ..Request::default()
    };
    env.balancers[0].listeners[listener]
        .route(&request)
        .expect("a default rule")
        .clone()
}

#[test]
fn patterns_know_stars_and_question_marks() {
    for (pattern, text, expected) in [
        ("/api/*", "/api/", true),
        ("/api/*", "/api/x/y", true),
        ("/api/*", "/api", false),
        ("*", "", true),
        ("/?/b", "/a/b", true),
        ("/?/b", "//b", false),
        ("*.example.com", "shop.example.com", true),
        ("*.example.com", "example.com", false),
        ("/a*b*c", "/aXbYbZc", true),
        ("/a*b*c", "/aXbYbZ", false),
        ("/API", "/api", false),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn the_first_rule_whose_conditions_all_hold_decides() {
    let mut world = shop();
    let (k, env) = split(&mut world);
    let listener = env.balancers[0].listeners[0].arn.clone();
    let fixed = |status| Action::Fixed {
        status,
        content_type: None,
        body: None,
    };
    let both = vec![
        Condition::Host(vec!["Shop.example.com".to_owned()]),
        Condition::Method(vec!["POST".to_owned()]),
    ];
    env.create_rule(k, &listener, 5, both, fixed(201)).expect("free");
    let canary = Condition::Header {
        name: "x-canary".to_owned(),
        values: vec!["yes*".to_owned()],
    };
    env.create_rule(k, &listener, 7, vec![canary], fixed(202))
        .expect("free");
    let version = Condition::Query(vec![(Some("v".to_owned()), "2".to_owned())]);
    env.create_rule(k, &listener, 9, vec![version], fixed(203))
        .expect("free");
    let mut seen = Vec::new();
    for (method, host, query, headers) in [
        ("POST", "shop.EXAMPLE.com", "", [("a", "b")]),
        ("GET", "shop.example.com", "v=2&w=1", [("X-Canary", "YES please")]),
        ("GET", "shop.example.com", "w=1&v=2", [("X-Canary", "no")]),
        ("GET", "shop.example.com", "v=3", [("a", "b")]),
    ] {
        let request = Request {
            method,
            host,
            port: 80,
            path: "/api/x",
            query,
            headers: &headers,
        };
        let rule = env.balancers[0].listeners[0]
            .route(&request)
            .expect("a default rule");
        seen.push(rule.priority.to_string());
    }
    assert_eq!(seen, ["5", "7", "9", "10"]);
    assert_eq!(rule(env, 0, "/other").priority.to_string(), "default");
}

#[test]
fn weights_are_set_whole_or_not_at_all() {
    let mut world = shop();
    let (_, env) = split(&mut world);
    let (blue, green) = (group(env, "prod-api"), group(env, "prod-green"));
    let at = rule(env, 0, "/api/x").arn;
    assert_eq!(env.weights(&at), Ok(&[(blue, 100), (green, 0)][..]));
    env.set_weights(&at, &[(blue, 90), (green, 10)])
        .expect("both exist");
    assert_eq!(env.weights(&at), Ok(&[(blue, 90), (green, 10)][..]));
    // A listener's ARN names its default rule.
    let test = env.balancers[0].listeners[1].arn.clone();
    assert_eq!(env.weights(&test), Ok(&[(green, 1)][..]));
    for (weights, code) in [
        (vec![(blue, 1_000)], "ValidationError"),
        (vec![], "ValidationError"),
        (vec![(blue, 1), (blue, 1)], "ValidationError"),
        (vec![(99, 1)], "TargetGroupNotFound"),
    ] {
        let refused = env.set_weights(&at, &weights).expect_err("not allowed");
        assert_eq!(refused.code(), code, "{refused}");
    }
    assert_eq!(env.weights(&at), Ok(&[(blue, 90), (green, 10)][..]));
    assert_eq!(
        env.set_weights("arn:none", &[(blue, 1)]).map_err(|r| r.code()),
        Err("RuleNotFound")
    );
    let elsewhere = env.balancers.len();
    assert_eq!(
        elsewhere, 1,
        "a group that a rule names gets no load balancer of its own"
    );
}

proptest::proptest! {
    #[test]
    fn a_weighted_choice_takes_each_group_as_often_as_its_weight(weights in proptest::collection::vec(0_u32..1_000, 1..6)) {
        let groups: Vec<Weighted> = (0_u16..).zip(weights.iter().copied()).collect();
        let action = Action::Forward { groups, sticky: None };
        let sum = action.weight();
        let mut counts = vec![0_u32; weights.len()];
        for place in 0..sum {
            counts[usize::from(action.group_at(place).expect("within the sum"))] += 1;
        }
        proptest::prop_assert_eq!(counts, weights);
        proptest::prop_assert_eq!(action.group_at(sum), None);
    }

    #[test]
    fn a_machine_is_what_its_checks_make_of_it(turns in proptest::collection::vec((1_u64..90, proptest::bool::ANY), 0..5), end in 0_u64..200) {
        let checks = Checks { interval: 10, healthy: 3, unhealthy: 2 };
        let at = |millis: u64| Timestamp::from_millis(START.as_millis() + millis);
        let mut machine = Machine::new(START, 4, "i-1".to_owned(), 80);
        // The same by doing every check.
        let (mut state, mut passes, mut fails) = (TargetState::Initial, 0, 0);
        let (mut now, mut answers, mut due) = (0, true, 4);
        let mut check_until = |until: u64, answers: bool| {
            while due <= until {
                (passes, fails) = if answers { (passes + 1, 0) } else { (0, fails + 1) };
                match state {
                    TargetState::Initial if passes >= 1 => state = TargetState::Healthy,
                    TargetState::Unhealthy if passes >= 3 => state = TargetState::Healthy,
                    TargetState::Initial | TargetState::Healthy if fails >= 2 => state = TargetState::Unhealthy,
                    _ => {}
                }
                due += 10;
            }
            state
        };
        for (span, up) in turns {
            // A moment between two checks, so that which of the two comes first does not matter; and long enough apart for
            // every run of checks to be whole: a closed form does not carry half a run over a turn.
            let then = now + (span / 10 + 4) * 10;
            check_until(then, answers);
            machine.turn(&checks, at(then), (!up).then_some(Failure::Timeout));
            (now, answers) = (then, up);
        }
        let end = now + end;
        proptest::prop_assert_eq!(machine.state(&checks, at(end)), Some(check_until(end, answers)));
    }
}

#[test]
fn health_has_the_reason_codes_of_aws() {
    let mut world = shop();
    let now = world.now();
    let (k, env) = split(&mut world);
    let (machines, green) = (group(env, "prod-main"), group(env, "prod-green"));
    let seen = |env: &Environment,
                now: Timestamp,
                group: u16|
     -> Vec<(TargetState, Option<&'static str>, Option<String>)> {
        let targets = env.targets(now, group).into_iter();
        targets.map(|t| (t.state, t.reason, t.description)).collect()
    };
    let text = |t: &str| Some(t.to_owned());
    assert_eq!(
        seen(env, now, machines),
        [
            (TargetState::Healthy, None, None),
            (TargetState::Healthy, None, None),
            (
                TargetState::Unhealthy,
                Some("Target.FailedHealthChecks"),
                text("Health checks failed")
            ),
        ]
    );
    let targets = [("10.9.0.1".to_owned(), None), ("10.9.0.2".to_owned(), Some(81))];
    env.register(k, green, &targets).expect("addresses");
    assert_eq!(
        env.register(k, green, &[("i-1".to_owned(), None)])
            .map_err(|r| r.code()),
        Err("ValidationError")
    );
    assert_eq!(
        seen(env, now, green)[0],
        (
            TargetState::Initial,
            Some("Elb.RegistrationInProgress"),
            text("Target registration is in progress")
        )
    );
    let checks = env.groups[green as usize].checks;
    env.groups[green as usize].machines[1].turn(&checks, now, Some(Failure::Status(500)));
    k.now = now.after(Duration::from_secs(60));
    assert_eq!(env.healthy(k.now, green), 1);
    assert_eq!(
        seen(env, k.now, green)[1],
        (
            TargetState::Unhealthy,
            Some("Target.ResponseCodeMismatch"),
            text("Health checks failed with these codes: [500]")
        )
    );
    env.groups[green as usize].machines[1].failure = Failure::Timeout;
    assert_eq!(seen(env, k.now, green)[1].1, Some("Target.Timeout"));
    // The delay of 300 s is that of AWS.
    env.deregister(k, green, &targets[..1]).expect("it is a machine");
    assert_eq!(
        seen(env, k.now, green)[0],
        (
            TargetState::Draining,
            Some("Target.DeregistrationInProgress"),
            text("Target deregistration is in progress")
        )
    );
    assert_eq!(seen(env, k.now.after(Duration::from_secs(299)), green).len(), 2);
    assert_eq!(seen(env, k.now.after(Duration::from_secs(300)), green).len(), 1);
    let gone = Environment::not_registered(&env.groups[green as usize], "10.9.0.1", None);
    assert_eq!(
        (gone.state.name(), gone.reason),
        ("unused", Some("Target.NotRegistered"))
    );
    // A group that no rule names checks nothing.
    let test = env.balancers[0].listeners[1].arn.clone();
    env.delete_listener(&test).expect("it is there");
    let at = rule(env, 0, "/api/x").arn;
    let blue = group(env, "prod-api");
    env.set_weights(&at, &[(blue, 1)]).expect("it is there");
    assert_eq!(seen(env, k.now, green)[1].1, Some("Target.NotInUse"));
}

#[test]
fn a_task_is_initial_until_its_first_check_and_then_healthy_after_one() {
    let bench = Bench::new(world(4, Start::Ok));
    bench.update("2").expect("nobody else deploys");
    let mut reasons = Vec::new();
    for _ in 0..400 {
        bench.cloud.with(|w| {
            w.pass(Duration::from_millis(250));
            let env = &w.environments[0];
            for target in env.targets(w.now(), 0) {
                let seen = (target.state.name(), target.reason.unwrap_or(""));
                if !reasons.contains(&seen) {
                    reasons.push(seen);
                }
            }
        });
    }
    assert_eq!(
        reasons,
        [
            ("healthy", ""),
            ("initial", "Elb.RegistrationInProgress"),
            ("initial", "Elb.InitialHealthChecking"),
            ("draining", "Target.DeregistrationInProgress"),
        ]
    );
}

#[test]
fn a_task_that_answers_503_says_so_in_its_service_event() {
    let bench = Bench::new(world_with(8, Start::Unhealthy, |s| s.load_balanced(8080)));
    bench.update("2").expect("nobody else deploys");
    let text = "due to (reason Health checks failed with these codes: [503])";
    bench.until("says why", |s| s.events.iter().any(|e| e.detail.contains(text)));
}

#[test]
fn an_unhealthy_group_fails_open() {
    let mut world = shop();
    let now = world.now();
    let env = &mut world.environments[0];
    let machines = group(env, "prod-main");
    assert_eq!(
        env.serving_machine(now, machines).map(|m| m.reply(now).0),
        Some(200)
    );
    let checks = env.groups[machines as usize].checks;
    for machine in &mut env.groups[machines as usize].machines {
        machine.turn(&checks, now, Some(Failure::Status(500)));
    }
    let later = now.after(Duration::from_secs(60));
    assert_eq!(env.healthy(later, machines), 0);
    assert_eq!(
        env.serving_machine(later, machines).map(|m| m.reply(later).0),
        Some(500)
    );
}

#[test]
fn what_aws_refuses_is_refused() {
    let mut world = shop();
    let (k, env) = split(&mut world);
    let (blue, machines) = (group(env, "prod-api"), group(env, "prod-main"));
    let listener = env.balancers[0].listeners[0].arn.clone();
    let path = || vec![Condition::Path(vec!["/x*".to_owned()])];
    let code = |answer: Result<String, Refused>| answer.map_err(|r| r.code());
    assert_eq!(
        code(env.create_rule(k, &listener, 10, path(), Action::to(blue))),
        Err("PriorityInUse")
    );
    assert_eq!(
        code(env.create_rule(k, &listener, 0, path(), Action::to(blue))),
        Err("ValidationError")
    );
    assert_eq!(
        code(env.create_rule(k, &listener, 1, vec![], Action::to(blue))),
        Err("ValidationError")
    );
    assert_eq!(
        code(env.create_rule(k, "arn:none", 1, path(), Action::to(blue))),
        Err("ListenerNotFound")
    );
    let made = env
        .create_rule(k, &listener, 20, path(), Action::to(blue))
        .expect("free");
    env.delete_rule(&made).expect("it is there");
    assert_eq!(env.delete_rule(&made).map_err(|r| r.code()), Err("RuleNotFound"));
    let default = rule(env, 0, "/other").arn;
    assert_eq!(
        env.delete_rule(&default).map_err(|r| r.code()),
        Err("OperationNotPermitted")
    );
    let modified = env.modify_rule(&default, Some(path()), None);
    assert_eq!(modified.map_err(|r| r.code()), Err("OperationNotPermitted"));
    // A target group belongs to one load balancer.
    let balancer = env.balancers[0].clone();
    let other = LoadBalancer {
        arn: balancer.arn.replace("main", "other"),
        name: "other".to_owned(),
        listeners: Vec::new(),
        ..balancer.clone()
    };
    env.create_balancer(other.clone()).expect("a new name");
    assert_eq!(
        env.create_balancer(other.clone()).map_err(|r| r.code()),
        Err("DuplicateLoadBalancerName")
    );
    let new = |port: u16, protocol: &str, group: u16| NewListener {
        port,
        protocol: protocol.to_owned(),
        certificates: Vec::new(),
        action: Action::to(group),
    };
    let refused = env.create_listener(k, &other.arn, new(80, "HTTP", blue));
    assert_eq!(code(refused), Err("TargetGroupAssociationLimit"));
    assert_eq!(
        code(env.create_listener(k, &balancer.arn, new(80, "HTTP", blue))),
        Err("DuplicateListener")
    );
    assert_eq!(
        code(env.create_listener(k, &balancer.arn, new(443, "HTTPS", blue))),
        Err("ValidationError")
    );
    let arn = env.groups[machines as usize].arn.clone();
    assert_eq!(env.delete_group(&arn).map_err(|r| r.code()), Err("ResourceInUse"));
    env.delete_balancer(&balancer.arn);
    env.delete_group(&arn).expect("nothing names it now");
    assert_eq!(env.group_index(&arn), None);
    let again = TargetGroup::new(arn, "prod-main".to_owned(), 80, env.groups[0].checks);
    env.create_group(again.clone()).expect("the name is free again");
    assert_eq!(
        env.create_group(again).map_err(|r| r.code()),
        Err("DuplicateTargetGroupName")
    );
    let checks = Checks {
        interval: 3_000,
        ..env.groups[0].checks
    };
    let refused = env.modify_group(k, blue, checks, Probe::default());
    assert_eq!(refused.map_err(|r| r.code()), Err("ValidationError"));
    let checks = Checks {
        interval: 20_000,
        ..env.groups[0].checks
    };
    env.modify_group(k, blue, checks, Probe::default())
        .expect("within bounds");
    assert_eq!(env.groups[blue as usize].checks.interval, 20_000);
}

#[test]
fn requests_follow_the_weights() {
    let mut world = shop();
    let name = crate::builder::name_of_balancer("main", "prod", "eu-central-1");
    let (_, env) = split(&mut world);
    let (blue, machines) = (group(env, "prod-api"), group(env, "prod-main"));
    let (a, b) = (
        env.groups[blue as usize].arn.clone(),
        env.groups[machines as usize].arn.clone(),
    );
    let at = world.rule("prod", "main", 80, "/api/x").expect("described");
    world
        .set_weights("prod", &at, &[(&a, 75), (&b, 25)])
        .expect("both exist");
    assert_eq!(world.weights("prod", &at), Ok(vec![(a.clone(), 75), (b, 25)]));
    assert!(world.set_weights("prod", &at, &[(&a, 1_000)]).is_err());
    let answers = (0..400).filter(|_| {
        let group = world.serving_group(&name, "/api/x");
        group == Some(blue)
    });
    let by_tasks = answers.count();
    assert!((260..340).contains(&by_tasks), "{by_tasks} of 400");
}
