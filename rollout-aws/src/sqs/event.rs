//! What a message of EventBridge says of ECS, as far as anybody waits for it.
//!
//! ECS may add kinds of events, and members to them, at any time (Amazon ECS developer guide, "Amazon ECS events"): what is not
//! known is no mistake. Nothing is believed: what a message says is only where to look.

use core::fmt;

use rollout_core::hint::Hint;
use rollout_core::id::{ServiceName, TaskArn};
use serde_json::Value;

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Something of a service has changed. The cluster's name is `None` in ARNs of the old form, which do not tell it.
    Service {
        /// The cluster's name.
        cluster: Option<String>,
        /// The service.
        service: ServiceName,
        /// Whether it can change what a look shows that somebody waits for: a deployment's state, a steady state, a task that
        /// stopped otherwise than by scaling. A task that is on its way is not worth a look.
        matters: bool,
    },
    /// A task that belongs to no service.
    Task {
        /// The cluster's name.
        cluster: Option<String>,
        /// The task.
        task: TaskArn,
        /// The family of its definition, where its group tells it.
        family: Option<String>,
        /// Whether it has stopped.
        matters: bool,
    },
    /// A kind of event that nobody here waits for, by its source and name.
    Other(String),
}

/// Why a message cannot be read. `Display` is one fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Malformed {}

impl About {
    /// The hint that it is; `None` for what is not worth a look.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Service {
                service,
                matters: true,
                ..
            } => Some(Hint::Service(service.clone())),
            Self::Task {
                task, matters: true, ..
            } => Some(Hint::Task(task.clone())),
            Self::Service { .. } | Self::Task { .. } | Self::Other(_) => None,
        }
    }

    /// The cluster's name, if it is told.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Service { cluster, .. } | Self::Task { cluster, .. } => cluster.as_deref(),
            Self::Other(_) => None,
        }
    }
}

/// Reads the body of a message: one event as EventBridge sends it to a queue.
///
/// # Errors
/// [`Malformed`] for what is no event at all, or an event of a known kind that does not say what it is about.
pub fn read(body: &str) -> Result<About, Malformed> {
    let event: Value = serde_json::from_str(body).map_err(|_| Malformed("it is no JSON"))?;
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let source = text("source").ok_or(Malformed("it names no source"))?;
    let kind = text("detail-type").ok_or(Malformed("it names no detail-type"))?;
    if source != "aws.ecs" {
        return Ok(About::Other(format!("{source}: {kind}")));
    }
    let detail = event.get("detail").unwrap_or(&Value::Null);
    match kind {
        "ECS Deployment State Change" | "ECS Service Action" => {
            let arn = event.pointer("/resources/0").and_then(Value::as_str);
            let (cluster, service) = arn
                .and_then(of_service)
                .ok_or(Malformed("its first resource is no service"))?;
            Ok(About::Service {
                cluster: cluster.or_else(|| cluster_of(detail)),
                service,
                matters: true,
            })
        }
        "ECS Task State Change" => task(detail),
        other => Ok(About::Other(format!("{source}: {other}"))),
    }
}

fn task(detail: &Value) -> Result<About, Malformed> {
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    let arn = text("taskArn").ok_or(Malformed("it names no task"))?;
    let task = TaskArn::new(arn).map_err(|_| Malformed("it names no task"))?;
    let cluster = cluster_of(detail);
    let stopped = text("lastStatus") == Some("STOPPED");
    let group = text("group").unwrap_or_default();
    if let Some(name) = group.strip_prefix("service:") {
        let service = ServiceName::new(name).map_err(|_| Malformed("its group is no service"))?;
        // That old tasks go is what a deployment is; every other end of a task may be a failure.
        let scaling = text("stopCode") == Some("ServiceSchedulerInitiated")
            && text("stoppedReason").is_some_and(|why| why.starts_with("Scaling activity"));
        return Ok(About::Service {
            cluster,
            service,
            matters: stopped && !scaling,
        });
    }
    Ok(About::Task {
        cluster,
        task,
        family: group.strip_prefix("family:").map(str::to_owned),
        matters: stopped,
    })
}

fn cluster_of(detail: &Value) -> Option<String> {
    let arn = detail.get("clusterArn")?.as_str()?;
    let (_, name) = arn.rsplit_once(":cluster/")?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// `…:service/<cluster>/<name>`, or `…:service/<name>` of before 2018 (Amazon ECS developer guide, "Amazon Resource Names (ARNs)
/// and IDs").
fn of_service(arn: &str) -> Option<(Option<String>, ServiceName)> {
    let (_, path) = arn.split_once(":service/")?;
    let (cluster, name) = match path.rsplit_once('/') {
        Some(("", _)) => return None,
        Some((cluster, name)) => (Some(cluster.to_owned()), name),
        None => (None, path),
    };
    Some((cluster, ServiceName::new(name).ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(resource: &str) -> String {
        json!({
            "version": "0",
            "id": "ddca6449-b258-46c0-8653-e0e3aEXAMPLE",
            "detail-type": "ECS Deployment State Change",
            "source": "aws.ecs",
            "account": "111122223333",
            "time": "2020-05-23T12:31:14Z",
            "region": "us-west-2",
            "resources": [resource],
            "detail": {
                "eventType": "ERROR",
                "eventName": "SERVICE_DEPLOYMENT_FAILED",
                "deploymentId": "ecs-svc/123",
                "updatedAt": "2020-05-23T11:11:11Z",
                "reason": "ECS deployment circuit breaker: task failed to start.",
            },
        })
        .to_string()
    }

    fn of_task(detail: Value) -> Result<About, Malformed> {
        read(
            &json!({ "source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail })
                .to_string(),
        )
    }

    #[test]
    fn an_event_says_where_to_look() {
        let told =
            read(&deployment("arn:aws:ecs:us-west-2:111122223333:service/shop/api")).expect("an event");
        assert_eq!(told.cluster(), Some("shop"));
        assert_eq!(told.hint(), Some(Hint::Service("api".parse().expect("valid"))));
        let told = read(&deployment("arn:aws:ecs:us-west-2:111122223333:service/api")).expect("an event");
        assert_eq!(told.cluster(), None, "an ARN of the old form");
        assert!(told.hint().is_some());
    }

    #[test]
    fn only_the_end_of_a_task_is_worth_a_look() {
        let told = |status: &str, code: &str, reason: &str, group: &str| {
            let told = of_task(json!({
                "taskArn": "arn:aws:ecs:eu-central-1:1:task/shop/0",
                "clusterArn": "arn:aws:ecs:eu-central-1:1:cluster/shop",
                "lastStatus": status, "group": group, "stopCode": code, "stoppedReason": reason,
            }));
            told.expect("an event").hint()
        };
        let crash = ("EssentialContainerExited", "Essential container in task exited");
        assert!(matches!(
            told("STOPPED", crash.0, crash.1, "service:api"),
            Some(Hint::Service(_))
        ));
        assert_eq!(told("DEPROVISIONING", crash.0, crash.1, "service:api"), None);
        let scaling = (
            "ServiceSchedulerInitiated",
            "Scaling activity initiated by (deployment ecs-svc/1)",
        );
        assert_eq!(told("STOPPED", scaling.0, scaling.1, "service:api"), None);
        let checks = (
            "ServiceSchedulerInitiated",
            "Task failed ELB health checks in (target-group x)",
        );
        assert!(told("STOPPED", checks.0, checks.1, "service:api").is_some());
        assert!(matches!(
            told("STOPPED", crash.0, crash.1, "family:migrate"),
            Some(Hint::Task(_))
        ));
        assert_eq!(told("RUNNING", "", "", "family:migrate"), None);
    }

    #[test]
    fn what_is_not_known_is_carried_by_name_and_what_is_no_event_is_malformed() {
        let other =
            r#"{ "source": "aws.ecs", "detail-type": "ECS Container Instance State Change", "detail": 7 }"#;
        assert_eq!(
            read(other),
            Ok(About::Other(
                "aws.ecs: ECS Container Instance State Change".to_owned()
            ))
        );
        let foreign = r#"{ "source": "my.app", "detail-type": "Paid" }"#;
        assert_eq!(read(foreign), Ok(About::Other("my.app: Paid".to_owned())));
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{ "source": "aws.ecs" }"#,
            r#"{ "source": "aws.ecs", "detail-type": "ECS Task State Change" }"#,
            r#"{ "source": "aws.ecs", "detail-type": "ECS Service Action", "resources": ["arn:aws:ecs:x:1:cluster/a"] }"#,
            r#"{ "source": "aws.ecs", "detail-type": "ECS Deployment State Change", "resources": [] }"#,
            r#"{ "source": "aws.ecs", "detail-type": "ECS Service Action", "resources": ["arn:aws:ecs:x:1:service//a"] }"#,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
    }

    /// Whatever bytes a message has: an answer, never a panic.
    #[test]
    fn any_cut_or_changed_event_is_survived() {
        let whole = deployment("arn:aws:ecs:us-west-2:111122223333:service/shop/api");
        for cut in 0..whole.len() {
            let _ = read(&whole[..cut]);
            for odd in ["null", "{}", "[", "\"", "\u{0}", "9e999"] {
                let changed = format!("{}{odd}{}", &whole[..cut], &whole[cut + 1..]);
                let _ = read(&changed);
            }
        }
    }
}
