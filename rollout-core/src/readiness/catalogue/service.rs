//! Services: whether a deployment of them can go well, and whether one that cannot is noticed.

use super::task::STOP_SECONDS;
use super::{each_balanced, each_service};
use crate::readiness::check::{Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::task::{Service, Threshold};
use crate::readiness::fact::watch::Alarm;
use crate::readiness::known::{Unseen, Why};
use crate::readiness::scene::about;

/// How long a task takes to be placed, to pull its image and to start: a minute is slow, not rare.
const START_SECONDS: u64 = 60;
/// The platform version that `LATEST` stands for on Linux (Amazon ECS Developer Guide, "Fargate platform versions for Amazon ECS").
const PLATFORM: &str = "1.4.0";

pub(super) const RULES: &[Rule] = &[
    rule!(
        "ecs_service_missing", Service, Critical, BLOCKING, STAGING_TOO,
        title: "The service is there and active",
        why: "A release into a service that is not there, or that is being deleted, fails at its first change.",
        remedy: "Create the service, or correct its name or cluster in the readiness file.",
        cli: "aws ecs describe-services --cluster <cluster> --services <service>",
        terraform: "aws_ecs_service",
        cdk: "FargateService",
        source: "Amazon ECS API Reference, \"DescribeServices\"",
        over: each_service(present),
    ),
    rule!(
        "ecs_service_controller_foreign", Service, Critical, BLOCKING, STAGING_TOO,
        title: "ECS itself deploys the service",
        why: "A service that CodeDeploy or another controller deploys refuses a new task definition from anybody else.",
        remedy: "Create the service anew with the deployment controller ECS: it cannot be taken over in every direction.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --deployment-controller type=ECS",
        terraform: "aws_ecs_service.deployment_controller",
        cdk: "FargateService deploymentController",
        source: "Amazon ECS API Reference, \"DeploymentController\"",
        over: each_service(|scene, name| {
            let controller = &scene.service(name)?.controller;
            Ok(Verdict::when(controller == "ECS", || controller.clone(), "ECS"))
        }),
    ),
    rule!(
        "ecs_service_deployment_unfinished", Service, High, BLOCKING, STAGING_TOO,
        title: "No deployment of the service is under way",
        why: "A second deployment takes the first one's place: what it would go back to is then a revision that never proved itself.",
        remedy: "Wait until the deployment has completed, or roll it back.",
        cli: "aws ecs wait services-stable --cluster <cluster> --services <service>",
        terraform: "aws_ecs_service.wait_for_steady_state",
        cdk: "",
        source: "Amazon ECS Developer Guide, \"Deploy Amazon ECS services by replacing tasks\"",
        over: each_service(settled),
    ),
    rule!(
        "ecs_task_definition_inactive", Service, High, BLOCKING, STAGING_TOO,
        title: "The task definition that the service runs is ACTIVE",
        why: "Once it is deregistered the service can neither be updated to it nor go back to it.",
        remedy: "Register its content again and deploy it; keep revisions that run.",
        cli: "aws ecs describe-task-definition --task-definition <family:revision>",
        terraform: "aws_ecs_task_definition.skip_destroy",
        cdk: "CfnTaskDefinition with removalPolicy RETAIN",
        source: "Amazon ECS Developer Guide, \"Deregistering an Amazon ECS task definition revision using the console\"",
        over: each_service(|scene, name| {
            let arn = &scene.service(name)?.task_definition;
            let active = scene.facts.task_definitions.get(arn)?.active;
            Ok(Verdict::when(active, || format!("{arn} is not active"), "ACTIVE"))
        }),
    ),
    rule!(
        "ecs_service_tasks_too_few", Service, High, BLOCKING, PRODUCTION,
        title: "Two or more tasks are wanted",
        why: "One task is one host: when it goes, customers see nothing until another one has started.",
        remedy: "Set the desired count to 2 or more, and the minimum of its autoscaling too.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --desired-count 2",
        terraform: "aws_ecs_service.desired_count, aws_appautoscaling_target.min_capacity",
        cdk: "FargateService desiredCount",
        source: "AWS Well-Architected Framework, \"REL10-BP01 Deploy the workload to multiple locations\"",
        over: each_service(|scene, name| {
            let desired = scene.service(name)?.desired;
            let least = scene.intent.limits.tasks;
            Ok(Verdict::when(desired >= least, || format!("{desired} wanted"), format!("{least} or more")))
        }),
    ),
    rule!(
        "ecs_service_percent_stuck", Service, High, BLOCKING, EVERYWHERE,
        title: "Minimum and maximum percent leave room for a deployment",
        why: "ECS may start no task above the maximum and stop none below the minimum: where they meet it does neither, for ever.",
        remedy: "Use 100 and 200 percent, or a minimum that lets one task go.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration minimumHealthyPercent=100,maximumPercent=200",
        terraform: "aws_ecs_service.deployment_minimum_healthy_percent, aws_ecs_service.deployment_maximum_percent",
        cdk: "FargateService minHealthyPercent, maxHealthyPercent",
        source: "Amazon ECS Developer Guide, \"Deploy Amazon ECS services by replacing tasks\"",
        over: each_service(progress),
    ),
    rule!(
        "ecs_service_breaker_off", Service, High, BLOCKING, STAGING_TOO,
        title: "The deployment circuit breaker is on",
        why: "Without it ECS starts tasks that fail for as long as nobody looks.",
        remedy: "Turn the circuit breaker on, with rollback.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration 'deploymentCircuitBreaker={enable=true,rollback=true}'",
        terraform: "aws_ecs_service.deployment_circuit_breaker.enable",
        cdk: "FargateService circuitBreaker",
        source: "Amazon ECS Developer Guide, \"How the Amazon ECS deployment circuit breaker detects failures\"",
        over: each_service(|scene, name| {
            let on = scene.service(name)?.breaker.enabled;
            Ok(Verdict::when(on, || "off".to_owned(), "on, with rollback"))
        }),
    ),
    rule!(
        "ecs_service_breaker_without_rollback", Service, High, BLOCKING, STAGING_TOO,
        title: "The deployment circuit breaker goes back",
        why: "Without rollback a deployment that fails stays half done.",
        remedy: "Turn on the circuit breaker's rollback.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration 'deploymentCircuitBreaker={enable=true,rollback=true}'",
        terraform: "aws_ecs_service.deployment_circuit_breaker.rollback",
        cdk: "FargateService circuitBreaker",
        source: "Amazon ECS Developer Guide, \"How the Amazon ECS deployment circuit breaker detects failures\"",
        over: each_service(|scene, name| {
            let breaker = &scene.service(name)?.breaker;
            if !breaker.enabled {
                return Ok(Verdict::not_applicable("the circuit breaker is off"));
            }
            Ok(Verdict::when(breaker.rollback, || "no rollback".to_owned(), "rollback"))
        }),
    ),
    rule!(
        "ecs_service_breaker_unreachable", Service, Medium, BLOCKING, PRODUCTION,
        title: "The deployment circuit breaker can trip before the gate gives up",
        why: "A threshold of many failures takes few tasks longer to reach than anybody waits: the breaker is on and does nothing.",
        remedy: "Leave the threshold at its default, half of the desired count and at least 3, or lower it.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration <JSON with deploymentCircuitBreaker.thresholdConfiguration>",
        terraform: "",
        cdk: "",
        source: "Amazon ECS API Reference, \"ThresholdConfiguration\"",
        over: each_service(trips),
    ),
    rule!(
        "ecs_service_alarms_off", Service, High, BLOCKING, PRODUCTION,
        title: "Deployment alarms are named, watched, and go back",
        why: "Tasks that start and answer errors look healthy to ECS; only an alarm stops their deployment.",
        remedy: "Name alarms of errors and latency in the deployment configuration, with rollback.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --deployment-configuration 'alarms={alarmNames=[<alarm>],enable=true,rollback=true}'",
        terraform: "aws_ecs_service.alarms",
        cdk: "FargateService deploymentAlarms",
        source: "Amazon ECS Developer Guide, \"How CloudWatch alarms detect Amazon ECS deployment failures\"",
        over: each_service(alarms),
    ),
    rule!(
        "ecs_service_alarm_missing", Service, High, BLOCKING, PRODUCTION,
        title: "Every deployment alarm exists",
        why: "An alarm that is not there never goes off, and ECS does not say so.",
        remedy: "Create the alarm, or name the one that is meant.",
        cli: "aws cloudwatch describe-alarms --alarm-names <alarm>",
        terraform: "aws_cloudwatch_metric_alarm",
        cdk: "Alarm",
        source: "Amazon ECS Developer Guide, \"How CloudWatch alarms detect Amazon ECS deployment failures\"",
        over: each_service(|scene, name| {
            of_alarms(scene, name, "every named alarm", |alarm, known| {
                known.is_none().then(|| format!("there is no alarm {alarm}"))
            })
        }),
    ),
    rule!(
        "ecs_service_alarm_ringing", Service, High, BLOCKING, PRODUCTION,
        title: "No deployment alarm is in ALARM already",
        why: "The deployment is rolled back as soon as it has begun, whatever it brings.",
        remedy: "Mend what the alarm is about before the release.",
        cli: "aws cloudwatch describe-alarms --alarm-names <alarm> --query 'MetricAlarms[].StateReason'",
        terraform: "",
        cdk: "",
        source: "Amazon ECS Developer Guide, \"How CloudWatch alarms detect Amazon ECS deployment failures\"",
        over: each_service(|scene, name| {
            of_alarms(scene, name, "OK", |alarm, known| {
                known
                    .is_some_and(|known| known.state == "ALARM")
                    .then(|| format!("{alarm} is in ALARM"))
            })
        }),
    ),
    rule!(
        "ecs_service_grace_unfit", Service, Medium, BLOCKING, STAGING_TOO,
        title: "The health check grace period covers a start, and not more than the gate waits",
        why: "Too short, and tasks that still start are stopped, over and over; too long, and tasks that are broken are kept.",
        remedy: "Set the grace period to what a start takes at its slowest, for instance 60 seconds.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --health-check-grace-period-seconds 60",
        terraform: "aws_ecs_service.health_check_grace_period_seconds",
        cdk: "FargateService healthCheckGracePeriod",
        source: "Amazon ECS Developer Guide, \"Optimize load balancer health check parameters for Amazon ECS\"",
        over: each_balanced(grace),
    ),
    rule!(
        "ecs_service_platform_outdated", Service, Medium, ADVISORY, STAGING_TOO,
        title: "The service runs on the current platform version",
        why: "Old platform versions get no new features and one day no tasks.",
        remedy: "Set the platform version LATEST.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --platform-version LATEST --force-new-deployment",
        terraform: "aws_ecs_service.platform_version",
        cdk: "FargateService platformVersion",
        source: "Amazon ECS Developer Guide, \"Fargate platform versions for Amazon ECS\"",
        over: each_service(|scene, name| {
            let Some(version) = &scene.service(name)?.platform_version else {
                return Ok(Verdict::not_applicable("not on Fargate"));
            };
            let current = version == "LATEST" || version == PLATFORM;
            Ok(Verdict::when(current, || version.clone(), format!("LATEST or {PLATFORM}")))
        }),
    ),
    rule!(
        "ecs_service_deadline_short", Service, High, BLOCKING, STAGING_TOO,
        title: "The gate waits for as long as a deployment takes at least",
        why: "A gate that gives up before the bake time is over rolls every release back, good ones too.",
        remedy: "Give the gate more time, shorten the bake time, or let more tasks start at once.",
        cli: "",
        terraform: "aws_ecs_service.deployment_configuration.bake_time_in_minutes",
        cdk: "FargateService bakeTime",
        source: "Amazon ECS Developer Guide, \"Best practices for Amazon ECS service parameters\"",
        over: each_service(deadline),
    ),
];

fn present(scene: &Scene<'_>, name: &str) -> Ruling {
    let wanted = "an active service";
    Ok(match scene.facts.services.find(name)? {
        None => Verdict::fail("there is no such service", wanted),
        Some(service) => Verdict::when(service.status == "ACTIVE", || service.status.clone(), wanted),
    })
}

fn settled(scene: &Scene<'_>, name: &str) -> Ruling {
    let service = scene.service(name)?;
    if service.controller != "ECS" {
        return Ok(Verdict::not_applicable("another controller deploys it"));
    }
    let Some(state) = &service.rollout_state else {
        let text = "nothing says how its newest deployment stands";
        return Err(Unseen::new(Why::Failed, name, text));
    };
    Ok(Verdict::when(state == "COMPLETED", || state.clone(), "COMPLETED"))
}

/// The fewest and the most tasks that run during a deployment: the former is rounded up, the latter down (Amazon ECS API,
/// "DeploymentConfiguration").
fn bounds(service: &Service) -> (u64, u64) {
    let of = |percent: u32| u64::from(service.desired).saturating_mul(u64::from(percent));
    (
        of(service.minimum_healthy_percent).div_ceil(100),
        of(service.maximum_percent) / 100,
    )
}

/// How many tasks a deployment may replace at once; none where it cannot go on at all.
fn at_once(service: &Service) -> u64 {
    let (least, most) = bounds(service);
    most.saturating_sub(least)
}

fn progress(scene: &Scene<'_>, name: &str) -> Ruling {
    let service = scene.service(name)?;
    let desired = service.desired;
    if desired == 0 {
        return Ok(Verdict::not_applicable("no task is wanted"));
    }
    let (least, most) = bounds(service);
    let seen = || {
        let (minimum, maximum) = (service.minimum_healthy_percent, service.maximum_percent);
        format!("{minimum} to {maximum} % of {desired}: at least {least} and at most {most} tasks")
    };
    Ok(Verdict::when(
        at_once(service) > 0,
        seen,
        "room for one task more, or one less",
    ))
}

/// How many failures trip the breaker.
fn failures(threshold: Option<&Threshold>, desired: u32) -> Result<u64, Unseen> {
    let (kind, value) = threshold.map_or(("BOUNDED_PERCENT", 50), |given| {
        (given.kind.as_str(), given.value)
    });
    let share = u64::from(desired).saturating_mul(u64::from(value)).div_ceil(100);
    match kind {
        "BOUNDED_PERCENT" => Ok(share.clamp(3, 200)),
        "UNBOUNDED_PERCENT" => Ok(share.max(1)),
        "COUNT" => Ok(u64::from(value)),
        other => Err(Unseen::new(
            Why::Failed,
            "",
            format!("a threshold of the kind {other} is not understood"),
        )),
    }
}

/// How long failed checks of a task take to be seen, in seconds: those of its container or of its targets, whichever is slower.
fn notices(scene: &Scene<'_>, name: &str) -> Result<u64, Unseen> {
    let check = scene.main_container(name)?.health_check.as_ref();
    let times = |count: u32, seconds: u32| u64::from(count).saturating_mul(u64::from(seconds));
    let mut slowest = check.map_or(0, |check| {
        times(check.retries, check.interval_seconds).saturating_add(u64::from(check.start_seconds))
    });
    let patience = scene.meant(name)?.patience.as_secs();
    // A grace period that outlasts the gate is a failure of its own.
    let grace = scene.service(name)?.grace_seconds.map_or(0, u64::from);
    let grace = if grace < patience { grace } else { 0 };
    for (_, group) in scene.target_groups(name)? {
        let after = times(group.health.unhealthy, group.health.interval_seconds);
        slowest = slowest.max(after.saturating_add(grace));
    }
    Ok(slowest)
}

fn trips(scene: &Scene<'_>, name: &str) -> Ruling {
    let service = scene.service(name)?;
    if !service.breaker.enabled {
        return Ok(Verdict::not_applicable("the circuit breaker is off"));
    }
    if service.desired == 0 {
        return Ok(Verdict::not_applicable("no task is wanted"));
    }
    let needed = failures(service.breaker.threshold.as_ref(), service.desired)
        .map_err(|unseen| about(unseen, name))?;
    let rounds = needed.div_ceil(at_once(service).max(1));
    let round = START_SECONDS.saturating_add(notices(scene, name)?);
    let takes = rounds.saturating_mul(round);
    let patience = scene.meant(name)?.patience.as_secs();
    if least(scene, name)?.seconds() > patience {
        return Ok(Verdict::not_applicable(
            "the gate gives up before any deployment can end",
        ));
    }
    let seen = || {
        let desired = service.desired;
        format!("{needed} failures of {desired} tasks take about {takes} s")
    };
    Ok(Verdict::when(
        takes <= patience,
        seen,
        format!("at most the {patience} s that the gate waits"),
    ))
}

fn alarms(scene: &Scene<'_>, name: &str) -> Ruling {
    let alarms = &scene.service(name)?.alarms;
    let wanted = "alarms that are watched, with rollback";
    Ok(if alarms.names.is_empty() {
        Verdict::fail("no alarm is named", wanted)
    } else if !alarms.enabled {
        Verdict::fail("they are not watched", wanted)
    } else {
        Verdict::when(alarms.rollback, || "no rollback".to_owned(), wanted)
    })
}

fn of_alarms(
    scene: &Scene<'_>,
    name: &str,
    wanted: &str,
    wrong: fn(&str, Option<&Alarm>) -> Option<String>,
) -> Ruling {
    let named = &scene.service(name)?.alarms.names;
    if named.is_empty() {
        return Ok(Verdict::not_applicable("no alarm is named"));
    }
    let known = scene.facts.alarms.get().map_err(|unseen| about(unseen, name))?;
    let wrong: Vec<String> = named
        .iter()
        .filter_map(|alarm| wrong(alarm, known.get(alarm)))
        .collect();
    Ok(Verdict::unless(&wrong, wanted))
}

fn grace(scene: &Scene<'_>, name: &str) -> Ruling {
    let service = scene.service(name)?;
    let groups = scene.target_groups(name)?;
    if groups.is_empty() {
        return Ok(Verdict::not_applicable("it is behind no target group"));
    }
    let starts = scene
        .main_container(name)?
        .health_check
        .as_ref()
        .map_or(0, |check| check.start_seconds);
    let interval = groups
        .iter()
        .map(|(_, group)| group.health.interval_seconds)
        .max();
    let least = starts.saturating_add(interval.unwrap_or_default());
    let patience = scene.meant(name)?.patience.as_secs();
    let seen = || match service.grace_seconds {
        Some(grace) => format!("{grace} s"),
        None => "none".to_owned(),
    };
    let fits = service
        .grace_seconds
        .is_some_and(|grace| grace >= least && u64::from(grace) < patience);
    Ok(Verdict::when(
        fits,
        seen,
        format!("from {least} s, a start and a check, to less than {patience} s, the gate's wait"),
    ))
}

/// What a deployment takes at least, in seconds.
struct Least {
    /// Bake time.
    bake: u64,
    /// A start and one check for each batch.
    starts: u64,
    /// The end of what it replaces.
    ends: u64,
}

impl Least {
    const fn seconds(&self) -> u64 {
        self.bake.saturating_add(self.starts).saturating_add(self.ends)
    }
}

fn least(scene: &Scene<'_>, name: &str) -> Result<Least, Unseen> {
    let service = scene.service(name)?;
    let container = scene.main_container(name)?;
    let mut interval = container
        .health_check
        .as_ref()
        .map_or(0, |check| check.interval_seconds);
    let mut drains = 0;
    for (arn, group) in scene.target_groups(name)? {
        interval = interval.max(group.health.interval_seconds);
        let seconds = *group
            .deregistration_seconds
            .get()
            .map_err(|unseen| about(unseen, arn))?;
        drains = drains.max(seconds);
    }
    let batches = u64::from(service.desired).div_ceil(at_once(service).max(1));
    let stops = container.stop_seconds.unwrap_or(STOP_SECONDS);
    Ok(Least {
        bake: u64::from(service.bake_minutes.unwrap_or_default()).saturating_mul(60),
        starts: batches.saturating_mul(START_SECONDS.saturating_add(u64::from(interval))),
        ends: u64::from(drains).saturating_add(u64::from(stops)),
    })
}

fn deadline(scene: &Scene<'_>, name: &str) -> Ruling {
    let least = least(scene, name)?;
    let patience = scene.meant(name)?.patience.as_secs();
    let seen = || {
        let Least { bake, starts, ends } = least;
        let takes = least.seconds();
        format!(
            "{takes} s at least: {bake} s of bake time, {starts} s of starts and checks, {ends} s of ends"
        )
    };
    Ok(Verdict::when(
        least.seconds() <= patience,
        seen,
        format!("at most the {patience} s that the gate waits"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::example;

    fn with(desired: u32, minimum: u32, maximum: u32) -> Service {
        let (facts, _) = example::shop();
        let service = facts.services.get("backend").expect("the shop has one");
        Service {
            desired,
            minimum_healthy_percent: minimum,
            maximum_percent: maximum,
            ..service.clone()
        }
    }

    #[test]
    fn the_minimum_is_rounded_up_and_the_maximum_down() {
        for (desired, minimum, maximum, least, most) in [
            (4, 100, 200, 4, 8),
            (1, 100, 150, 1, 1),
            (3, 50, 100, 2, 3),
            (1, 50, 100, 1, 1),
            (2, 50, 100, 1, 2),
            (3, 100, 133, 3, 3),
            (3, 100, 134, 3, 4),
            (4, 76, 124, 4, 4),
        ] {
            let service = with(desired, minimum, maximum);
            assert_eq!(bounds(&service), (least, most), "{desired} {minimum} {maximum}");
            assert_eq!(at_once(&service), most - least);
        }
    }

    #[test]
    fn the_breaker_trips_where_the_page_says() {
        let by = |kind: &str, value| Threshold {
            kind: kind.to_owned(),
            value,
        };
        // Without a threshold of one's own: the table of the page.
        for (desired, needed) in [(1, 3), (6, 3), (7, 4), (25, 13), (400, 200), (800, 200)] {
            assert_eq!(failures(None, desired), Ok(needed), "{desired}");
        }
        for (threshold, desired, needed) in [
            (by("BOUNDED_PERCENT", 100), 10, 10),
            (by("BOUNDED_PERCENT", 10), 10, 3),
            (by("UNBOUNDED_PERCENT", 10), 10, 1),
            (by("UNBOUNDED_PERCENT", 50), 800, 400),
            (by("COUNT", 7), 800, 7),
        ] {
            assert_eq!(
                failures(Some(&threshold), desired),
                Ok(needed),
                "{threshold:?} {desired}"
            );
        }
        assert!(failures(Some(&by("MOOD", 1)), 2).is_err());
    }
}
