//! Load balancers, listeners, rules, target groups.

mod path;

use super::{each_balanced, each_balancer};
use crate::readiness::check::{Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::edge::{Action, BalancerAttributes, Listener, TargetGroup};
use crate::readiness::fact::task::Attachment;
use crate::readiness::known::Unseen;
use crate::readiness::scene::about;

/// From how many tasks on a slow drain is no longer what a deployment mostly waits for.
const MANY: u32 = 10;

/// The beginnings of the names of security policies that take TLS 1.2 and newer only (User Guide for Application Load Balancers,
/// "Security policies for your Application Load Balancer").
const MODERN: [&str; 4] = [
    "ELBSecurityPolicy-TLS13-1-3-",
    "ELBSecurityPolicy-TLS13-1-2-",
    "ELBSecurityPolicy-TLS-1-2-",
    "ELBSecurityPolicy-FS-1-2-",
];

pub(super) const RULES: &[Rule] = &[
    rule!(
        "elbv2_service_unattached", Balancer, Critical, BLOCKING, EVERYWHERE,
        title: "A service that takes requests is behind a load balancer",
        why: "A release of it would be healthy, and nobody would reach it.",
        remedy: "Attach the service to a target group, and forward to that from a listener.",
        cli: "aws ecs update-service --cluster <cluster> --service <service> --load-balancers targetGroupArn=<target-group>,containerName=<container>,containerPort=<port>",
        terraform: "aws_ecs_service.load_balancer",
        cdk: "ApplicationTargetGroup targets: [service]",
        source: "Amazon ECS Developer Guide, \"Use load balancing to distribute Amazon ECS service traffic\"",
        over: each_balanced(attached),
    ),
    rule!(
        "elbv2_deregistration_slow", Balancer, Medium, ADVISORY, STAGING_TOO,
        title: "Targets that leave are drained for 30 seconds at most",
        why: "With few tasks the drain is most of what a deployment and a way back wait for; the default is 300 seconds.",
        remedy: "Set deregistration_delay.timeout_seconds to 30, or to the longest request if that is shorter.",
        cli: "aws elbv2 modify-target-group-attributes --target-group-arn <target-group> --attributes Key=deregistration_delay.timeout_seconds,Value=30",
        terraform: "aws_lb_target_group.deregistration_delay",
        cdk: "ApplicationTargetGroup deregistrationDelay",
        source: "Amazon ECS Developer Guide, \"Optimize load balancer connection draining parameters for Amazon ECS\"",
        over: each_balanced(drains),
    ),
    rule!(
        "elbv2_target_port_mismatch", Balancer, Critical, BLOCKING, EVERYWHERE,
        title: "Target group and health check use the container's port",
        why: "At any other port nothing answers, so that no target ever becomes healthy.",
        remedy: "Attach the service with the port of its container, and check health at `traffic-port`.",
        cli: "aws elbv2 modify-target-group --target-group-arn <target-group> --health-check-port traffic-port",
        terraform: "aws_lb_target_group.health_check.port; aws_ecs_service.load_balancer.container_port",
        cdk: "ApplicationTargetGroup healthCheck.port",
        source: "User Guide for Application Load Balancers, \"Health checks for Application Load Balancer target groups\"",
        over: each_balanced(port_matches),
    ),
    rule!(
        "elbv2_health_path_mismatch", Balancer, High, BLOCKING, EVERYWHERE,
        title: "The target group asks the path that says that a task is ready",
        why: "Any other path answers while the task cannot serve yet, or not at all.",
        remedy: "Set the health check's path to the service's readiness path.",
        cli: "aws elbv2 modify-target-group --target-group-arn <target-group> --health-check-path <path>",
        terraform: "aws_lb_target_group.health_check.path",
        cdk: "ApplicationTargetGroup healthCheck.path",
        source: "User Guide for Application Load Balancers, \"Health checks for Application Load Balancer target groups\"",
        over: each_balanced(path_matches),
    ),
    rule!(
        "elbv2_https_listener_missing", Balancer, Critical, BLOCKING, STAGING_TOO,
        title: "The load balancer takes HTTPS at 443",
        why: "Otherwise passwords and sessions cross the internet in the clear, or nobody is served.",
        remedy: "Make an HTTPS listener at port 443 with the certificate of the host names.",
        cli: "aws elbv2 create-listener --load-balancer-arn <load-balancer> --protocol HTTPS --port 443 --certificates CertificateArn=<certificate> --ssl-policy ELBSecurityPolicy-TLS13-1-2-2021-06 --default-actions Type=forward,TargetGroupArn=<target-group>",
        terraform: "aws_lb_listener",
        cdk: "ApplicationLoadBalancer addListener",
        source: "User Guide for Application Load Balancers, \"Create an HTTPS listener for your Application Load Balancer\"",
        over: each_balancer(takes_https),
    ),
    rule!(
        "elbv2_tls_policy_old", Balancer, Medium, BLOCKING, STAGING_TOO,
        title: "The listener at 443 takes TLS 1.2 and newer only",
        why: "TLS 1.0 and 1.1 are broken and forbidden by most rule books; a listener made without a policy takes them.",
        remedy: "Set a security policy whose name says TLS13-1-2, such as ELBSecurityPolicy-TLS13-1-2-2021-06.",
        cli: "aws elbv2 modify-listener --listener-arn <listener> --ssl-policy ELBSecurityPolicy-TLS13-1-2-2021-06",
        terraform: "aws_lb_listener.ssl_policy",
        cdk: "ApplicationListener sslPolicy",
        source: "User Guide for Application Load Balancers, \"Security policies for your Application Load Balancer\"",
        over: each_balancer(tls_policy),
    ),
    rule!(
        "elbv2_http_redirect_missing", Balancer, Medium, BLOCKING, STAGING_TOO,
        title: "Port 80 sends everybody to 443 with 301",
        why: "Who types a name without https:// is served in the clear, or not at all; 302 is asked again each time.",
        remedy: "Let the default action of the listener at 80 redirect to HTTPS, port 443, with 301, and keep no rule there that forwards.",
        cli: "aws elbv2 modify-listener --listener-arn <listener> --default-actions 'Type=redirect,RedirectConfig={Protocol=HTTPS,Port=443,StatusCode=HTTP_301}'",
        terraform: "aws_lb_listener.default_action.redirect",
        cdk: "ApplicationLoadBalancer addRedirect",
        source: "User Guide for Application Load Balancers, \"Action types for listener rules\"",
        over: each_balancer(redirects),
    ),
    rule!(
        "elbv2_path_astray", Balancer, Critical, BLOCKING, EVERYWHERE,
        title: "The rules at 443 send each path where the plan says",
        why: "The first rule that matches wins: a wide one with a lower number takes the requests of all behind it.",
        remedy: "Give narrow patterns lower numbers than wide ones, and forward each to its service's target group.",
        cli: "aws elbv2 set-rule-priorities --rule-priorities RuleArn=<rule>,Priority=<number>",
        terraform: "aws_lb_listener_rule.priority",
        cdk: "ApplicationListenerRule priority",
        source: "User Guide for Application Load Balancers, \"Listener rules for your Application Load Balancer\"",
        over: each_balanced(path::arrives),
    ),
    rule!(
        "elbv2_access_logs_off", Balancer, Medium, ADVISORY, PRODUCTION,
        title: "The load balancer writes access logs",
        why: "They are the only record of requests that no task ever saw.",
        remedy: "Send access logs to a bucket that lets the load balancer write.",
        cli: "aws elbv2 modify-load-balancer-attributes --load-balancer-arn <load-balancer> --attributes Key=access_logs.s3.enabled,Value=true Key=access_logs.s3.bucket,Value=<bucket>",
        terraform: "aws_lb.access_logs",
        cdk: "ApplicationLoadBalancer logAccessLogs",
        source: "User Guide for Application Load Balancers, \"Access logs for your Application Load Balancer\"",
        over: each_balancer(|scene, arn| {
            let logs = attributes(scene, arn)?.access_logs.is_some();
            Ok(Verdict::when(logs, || "no access logs".to_owned(), "access logs in a bucket"))
        }),
    ),
    rule!(
        "elbv2_zones_few", Balancer, High, BLOCKING, PRODUCTION,
        title: "The load balancer is in two Availability Zones or more",
        why: "Requests that arrive in a zone that failed are lost; targets in a zone that is not enabled get none.",
        remedy: "Add a public subnet of another zone.",
        cli: "aws elbv2 set-subnets --load-balancer-arn <load-balancer> --subnets <subnet-of-one-zone> <subnet-of-another>",
        terraform: "aws_lb.subnets",
        cdk: "ApplicationLoadBalancer vpcSubnets",
        source: "User Guide for Application Load Balancers, \"Application Load Balancers\"",
        over: each_balancer(zones),
    ),
    rule!(
        "elbv2_deletion_protection_off", Balancer, Medium, BLOCKING, PRODUCTION,
        title: "The load balancer cannot be deleted by mistake",
        why: "With it its DNS name is gone, and no new one gets the same.",
        remedy: "Turn deletion protection on.",
        cli: "aws elbv2 modify-load-balancer-attributes --load-balancer-arn <load-balancer> --attributes Key=deletion_protection.enabled,Value=true",
        terraform: "aws_lb.enable_deletion_protection",
        cdk: "ApplicationLoadBalancer deletionProtection: true",
        source: "User Guide for Application Load Balancers, \"Application Load Balancers\"",
        over: each_balancer(|scene, arn| {
            let protected = attributes(scene, arn)?.deletion_protection;
            Ok(Verdict::when(protected, || "deletion protection is off".to_owned(), "deletion protection"))
        }),
    ),
];

fn attached(scene: &Scene<'_>, name: &str) -> Ruling {
    let groups = scene.target_groups(name)?;
    let idle: Vec<_> = groups
        .iter()
        .filter(|(_, group)| group.balancers.is_empty())
        .map(|(_, group)| format!("no load balancer forwards to {}", group.name))
        .collect();
    let wanted = "a target group behind a load balancer";
    Ok(if groups.is_empty() {
        Verdict::fail("no target group", wanted)
    } else {
        Verdict::when(idle.len() < groups.len(), || idle.join("; "), wanted)
    })
}

/// Why nothing is said of a service without a target group.
const UNATTACHED: &str = "it has no target group";

/// A failure that names what is wrong with any target group of a service.
fn in_groups(
    scene: &Scene<'_>,
    name: &str,
    wanted: &str,
    mut wrong: impl FnMut(&Attachment, &TargetGroup) -> Result<Option<String>, Unseen>,
) -> Ruling {
    let attachments = &scene.service(name)?.attachments;
    if attachments.is_empty() {
        return Ok(Verdict::not_applicable(UNATTACHED));
    }
    let mut all = Vec::new();
    for (attachment, (_, group)) in attachments.iter().zip(scene.target_groups(name)?) {
        all.extend(wrong(attachment, group)?);
    }
    Ok(Verdict::unless(&all, wanted))
}

fn drains(scene: &Scene<'_>, name: &str) -> Ruling {
    if scene.service(name)?.desired >= MANY {
        return Ok(Verdict::not_applicable(format!("it has {MANY} tasks or more")));
    }
    let most = scene.intent.limits.deregistration_seconds;
    in_groups(scene, name, &format!("{most} s or less"), |_, group| {
        let seconds = group.deregistration_seconds.get();
        let seconds = *seconds.map_err(|unseen| about(unseen, &group.name))?;
        Ok((seconds > most).then(|| format!("{}: {seconds} s", group.name)))
    })
}

fn port_matches(scene: &Scene<'_>, name: &str) -> Ruling {
    let definition = scene.task_definition(name)?;
    in_groups(
        scene,
        name,
        "the port that the container listens on",
        |attachment, group| {
            let (container, port) = (&attachment.container, attachment.port);
            let listens = definition.containers.iter().find(|one| one.name == *container);
            let Some(listens) = listens else {
                return Ok(Some(format!("{}: there is no container {container}", group.name)));
            };
            let asked = match group.health.port.as_str() {
                "traffic-port" => Some(port),
                number => number.parse().ok(),
            };
            let open = |port: &u16| listens.ports.contains(port);
            Ok(if !open(&port) {
                Some(format!(
                    "{} sends to {port}, which {container} does not listen on",
                    group.name
                ))
            } else if !asked.as_ref().is_some_and(open) {
                let port = &group.health.port;
                Some(format!(
                    "{} asks {port}, which {container} does not listen on",
                    group.name
                ))
            } else {
                None
            })
        },
    )
}

fn path_matches(scene: &Scene<'_>, name: &str) -> Ruling {
    let Some(ready) = &scene.meant(name)?.ready else {
        return Ok(Verdict::not_applicable("no path says that it is ready"));
    };
    in_groups(scene, name, ready, |_, group| {
        let (protocol, path) = (&group.health.protocol, group.health.path.as_deref());
        Ok(match path {
            Some(path) if path == ready => None,
            Some(path) => Some(format!("{} asks {path}", group.name)),
            None => Some(format!("{} asks over {protocol} without a path", group.name)),
        })
    })
}

/// Whether a listener decrypts.
pub(super) fn is_secure(listener: &Listener) -> bool {
    matches!(listener.protocol.as_str(), "HTTPS" | "TLS")
}

fn takes_https(scene: &Scene<'_>, arn: &str) -> Ruling {
    let wanted = "an HTTPS listener at 443";
    Ok(match scene.listener(arn, 443)? {
        None => Verdict::fail("no listener at 443", wanted),
        Some(listener) => {
            let seen = || format!("the listener at 443 speaks {}", listener.protocol);
            Verdict::when(is_secure(listener), seen, wanted)
        }
    })
}

/// Whether a security policy takes TLS 1.2 and newer only.
fn is_modern(policy: &str) -> bool {
    MODERN.iter().any(|beginning| policy.starts_with(beginning))
}

fn tls_policy(scene: &Scene<'_>, arn: &str) -> Ruling {
    let Some(listener) = scene.listener(arn, 443)?.filter(|listener| is_secure(listener)) else {
        return Ok(Verdict::not_applicable("there is no HTTPS listener at 443"));
    };
    let policy = listener.tls_policy.as_deref().unwrap_or_default();
    let seen = || match policy {
        "" => "no security policy".to_owned(),
        policy => policy.to_owned(),
    };
    Ok(Verdict::when(
        is_modern(policy),
        seen,
        "a policy that takes TLS 1.2 and newer only",
    ))
}

fn redirects(scene: &Scene<'_>, arn: &str) -> Ruling {
    let wanted = "a redirect to HTTPS at 443 with 301";
    let Some(listener) = scene.listener(arn, 80)? else {
        return Ok(if scene.balancer(arn)?.internet_facing {
            Verdict::fail("no listener at 80", wanted)
        } else {
            Verdict::not_applicable("it is not for the internet, and has no listener at 80")
        });
    };
    let rules = listener
        .rules
        .get()
        .map_err(|unseen| about(unseen, &listener.arn))?;
    let forward = rules
        .iter()
        .filter(|rule| matches!(rule.action, Action::Forward(_)));
    let mut wrong: Vec<_> = forward
        .map(|rule| format!("rule {} at 80 forwards", rule.priority))
        .collect();
    match &listener.default_action {
        Action::Redirect {
            status: 301,
            protocol,
            port,
        } if protocol == "HTTPS" && port == "443" => {}
        Action::Redirect {
            status,
            protocol,
            port,
        } => {
            wrong.push(format!("it redirects to {protocol} at {port} with {status}"));
        }
        Action::Forward(_) => wrong.push("it forwards".to_owned()),
        Action::Fixed(status) => wrong.push(format!("it answers {status}")),
        Action::Other(kind) => wrong.push(format!("its default action is {kind}")),
    }
    Ok(Verdict::unless(&wrong, wanted))
}

fn attributes<'a>(scene: &Scene<'a>, arn: &str) -> Result<&'a BalancerAttributes, Unseen> {
    let attributes = scene.balancer(arn)?.attributes.get();
    attributes.map_err(|unseen| about(unseen, arn))
}

fn zones(scene: &Scene<'_>, arn: &str) -> Ruling {
    let (zones, wanted) = (&scene.balancer(arn)?.zones, scene.intent.limits.zones);
    let enough = u32::try_from(zones.len()).is_ok_and(|have| have >= wanted);
    Ok(Verdict::when(
        enough,
        || format!("only {}", zones.join(", ")),
        format!("{wanted} zones or more"),
    ))
}

#[cfg(test)]
mod tests;
