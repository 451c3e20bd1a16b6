//! Task definitions from JSON, as `register-task-definition --cli-input-json` takes it (Amazon ECS API,
//! "RegisterTaskDefinition").

use serde_json::Value;

use super::task::{Container, HealthCheck, SecretRef, TaskDefinition, Variable};

impl TaskDefinition {
    /// What a task definition says that is registered with this content. Variables' values are looked at and not kept.
    ///
    /// ```
    /// use rollout_core::readiness::fact::task::TaskDefinition;
    ///
    /// let content = serde_json::json!({
    ///     "family": "api", "cpu": "512", "memory": "1024",
    ///     "containerDefinitions": [{ "name": "api", "image": "api@sha256:00", "portMappings": [{ "containerPort": 80 }] }],
    /// });
    /// let definition = TaskDefinition::registered(&content);
    /// assert_eq!(definition.cpu, Some(512));
    /// assert_eq!(definition.containers[0].ports, [80]);
    /// assert!(definition.containers[0].essential, "as ECS takes one that does not say");
    /// ```
    #[must_use]
    pub fn registered(content: &Value) -> Self {
        Self {
            active: true,
            cpu: number(member(content, "cpu")),
            memory_mib: number(member(content, "memory")),
            network_mode: text(member(content, "networkMode")),
            architecture: text(member(member(content, "runtimePlatform"), "cpuArchitecture")),
            execution_role: text(member(content, "executionRoleArn")),
            task_role: text(member(content, "taskRoleArn")),
            containers: list(content, "containerDefinitions").map(container).collect(),
            registered_at: None,
        }
    }
}

fn container(content: &Value) -> Container {
    let log = member(content, "logConfiguration");
    let capabilities = member(member(content, "linuxParameters"), "capabilities");
    let driver = text(member(log, "logDriver"));
    let awslogs = driver.as_deref() == Some("awslogs");
    Container {
        name: text(member(content, "name")).unwrap_or_default(),
        image: text(member(content, "image")).unwrap_or_default(),
        essential: member(content, "essential").as_bool().unwrap_or(true),
        variables: list(content, "environment").map(variable).collect(),
        secrets: list(content, "secrets")
            .map(|secret| SecretRef {
                name: text(member(secret, "name")).unwrap_or_default(),
                from: text(member(secret, "valueFrom")).unwrap_or_default(),
            })
            .collect(),
        health_check: check(member(content, "healthCheck")),
        user: text(member(content, "user")),
        read_only_root: flag(content, "readonlyRootFilesystem"),
        privileged: flag(content, "privileged"),
        dropped: texts(capabilities, "drop"),
        added: texts(capabilities, "add"),
        log_group: text(member(member(log, "options"), "awslogs-group")).filter(|_| awslogs),
        log_driver: driver,
        ports: list(content, "portMappings")
            .filter_map(|port| number(member(port, "containerPort")))
            .filter_map(|port| u16::try_from(port).ok())
            .collect(),
        stop_seconds: number(member(content, "stopTimeout")),
    }
}

fn variable(content: &Value) -> Variable {
    let member = |name| member(content, name).as_str().unwrap_or_default();
    Variable::of(member("name"), member("value"))
}

/// A health check with the defaults of ECS (Amazon ECS API, "HealthCheck").
fn check(content: &Value) -> Option<HealthCheck> {
    let command = texts(content, "command");
    (!command.is_empty()).then(|| HealthCheck {
        command,
        interval_seconds: number(member(content, "interval")).unwrap_or(30),
        retries: number(member(content, "retries")).unwrap_or(3),
        start_seconds: number(member(content, "startPeriod")).unwrap_or(0),
    })
}

fn member<'a>(content: &'a Value, name: &str) -> &'a Value {
    content.get(name).unwrap_or(&Value::Null)
}

fn list<'a>(content: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    member(content, name).as_array().into_iter().flatten()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(ToOwned::to_owned)
}

fn texts(content: &Value, name: &str) -> Vec<String> {
    list(content, name).filter_map(text).collect()
}

fn flag(content: &Value, name: &str) -> bool {
    member(content, name).as_bool().unwrap_or(false)
}

/// A number, or one in a text as `cpu` and `memory` of a task are.
fn number(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        _ => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_checks_look_at_is_read() {
        let content = json!({
            "family": "api", "cpu": "256", "memory": 512, "networkMode": "awsvpc",
            "executionRoleArn": "e", "taskRoleArn": "t", "runtimePlatform": { "cpuArchitecture": "ARM64" },
            "containerDefinitions": [{
                "name": "api", "image": "i", "essential": false, "user": "10001", "readonlyRootFilesystem": true,
                "privileged": true, "stopTimeout": 20, "environment": [{ "name": "LOG", "value": "x" }],
                "secrets": [{ "name": "URL", "valueFrom": "arn:x" }],
                "healthCheck": { "command": ["CMD", "/check"], "interval": 5 },
                "linuxParameters": { "capabilities": { "drop": ["ALL"], "add": ["SYS_PTRACE"] } },
                "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/g" } },
            }],
        });
        let definition = TaskDefinition::registered(&content);
        assert_eq!((definition.cpu, definition.memory_mib), (Some(256), Some(512)));
        assert_eq!(definition.architecture.as_deref(), Some("ARM64"));
        assert_eq!(definition.execution_role.as_deref(), Some("e"));
        assert_eq!(definition.task_role.as_deref(), Some("t"));
        let container = &definition.containers[0];
        assert!(!container.essential && container.read_only_root && container.privileged);
        assert_eq!(container.user.as_deref(), Some("10001"));
        assert_eq!(
            (&*container.dropped, &*container.added),
            (&["ALL".to_owned()][..], &["SYS_PTRACE".to_owned()][..])
        );
        assert_eq!(container.log_group.as_deref(), Some("/g"));
        assert_eq!(container.stop_seconds, Some(20));
        assert_eq!(container.variables[0].name, "LOG");
        assert_eq!(container.secrets[0].from, "arn:x");
        let check = container.health_check.as_ref().expect("it has one");
        assert_eq!(
            (check.interval_seconds, check.retries, check.start_seconds),
            (5, 3, 0)
        );
    }
}
