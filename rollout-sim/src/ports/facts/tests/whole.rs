//! A world in which nothing is sketched: what its facts say is its own, as far as it has a notion of it.

use core::time::Duration;

use rollout_core::dns::{Record, RecordData, RecordKey, RecordType};
use rollout_core::readiness::intent::{HostIntent, Intent};
use serde_json::{Value, json};

use super::live::{Fault, env};
use crate::elb::{Action, Redirect};
use crate::surroundings::well_built;
use crate::waf::{Named, Place, Scope, WebAcls};
use crate::{AlarmState, Finding, WebAclBuilder, World, storefront, storefront_intent};

const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:222222222222:secret:production/storefront-AbCdEf";
const PARAMETER: &str = "arn:aws:ssm:eu-central-1:222222222222:parameter/production/api-key";
const CERTIFICATE: &str =
    "arn:aws:acm:eu-central-1:222222222222:certificate/7b1d6c0e-2f7a-4c9b-8f0e-6a3f5d1c2b4a";
const POLICY: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan",
    "countNumber":50},"action":{"type":"expire"}}]}"#;

/// The world, and what it is meant to be.
pub(super) fn built() -> (World, Intent) {
    let mut world = described();
    let env = env(&mut world);
    let balancer = env
        .balancers
        .iter_mut()
        .find(|b| b.name == "storefront")
        .expect("described");
    let rule = balancer.listeners[0]
        .rules
        .last_mut()
        .expect("it has a default rule");
    rule.action = Action::Redirect(Redirect {
        protocol: "HTTPS".to_owned(),
        host: "#{host}".to_owned(),
        port: "443".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
        status: "HTTP_301".to_owned(),
    });
    let repository = "storefront/backend".parse().expect("a name");
    let held = env.registry.repository_mut(&repository).expect("described");
    (held.scan_on_push, held.lifecycle) = (true, Some(POLICY.to_owned()));
    let intent = intent();
    let around = well_built(&world, "production", &intent).expect("it is there");
    *world.surroundings_mut("production").expect("it is there") = around;
    (world, intent)
}

fn described() -> World {
    let world = World::builder(1)
        .environment("production", |e| {
            e.account("222222222222")
                .immutable_repository("storefront/backend")
                .image("storefront/backend", "2.3.0")
                .secret(SECRET, "x")
                .service("backend", |s| {
                    s.container("backend", "storefront/backend", "2.3.0")
                        .task_definition(definition())
                        .desired(2)
                        .load_balanced(8787)
                        .check_path("/health/ready")
                        .grace(Duration::from_secs(60))
                        .deregistration_delay(Duration::from_secs(30))
                        .deployment_alarms(&["backend-5xx", "backend-unhealthy"], true)
                        .host("backend.production.internal")
                })
                .alarm_on_errors("backend-5xx", "backend", 100)
                .alarm_on_unhealthy_targets("backend-unhealthy", "backend", 0)
                .balancer("storefront", |b| {
                    b.listener(443).certificate(CERTIFICATE).route("/", "backend")
                })
                .web_acl("storefront", |acl| {
                    rules()
                        .into_iter()
                        .fold(acl, WebAclBuilder::rule)
                        .protecting("storefront")
                })
        })
        .zone("Z0STOREFRONT", "example.com", |z| {
            z.alias("shop.example.com", "production", "storefront")
        });
    world.build().expect("well described")
}

fn definition() -> Value {
    let role = |name: &str| format!("arn:aws:iam::222222222222:role/storefront-{name}");
    json!({
        "family": "storefront-backend", "cpu": "512", "memory": "1024", "networkMode": "awsvpc",
        "executionRoleArn": role("execution"), "taskRoleArn": role("backend"),
        "runtimePlatform": { "cpuArchitecture": "X86_64" },
        "containerDefinitions": [{
            "name": "backend", "essential": true, "image": "", "user": "10001", "readonlyRootFilesystem": true,
            "stopTimeout": 20, "portMappings": [{ "containerPort": 8787 }],
            "environment": [{ "name": "LOG_LEVEL", "value": "info" }],
            "secrets": [
                { "name": "DATABASE_URL", "valueFrom": SECRET }, { "name": "API_KEY", "valueFrom": PARAMETER },
            ],
            "healthCheck": { "command": ["CMD", "/bin/check"], "interval": 10, "retries": 3, "startPeriod": 10 },
            "linuxParameters": { "capabilities": { "drop": ["ALL"] } },
            "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/ecs/backend" } },
        }],
    })
}

/// Rules of a web ACL, as `CreateWebACL` takes them.
fn rules() -> Vec<Value> {
    let visibility = |name: &str| json!({ "SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": true, "MetricName": name });
    let managed = |priority: u32, name: &str| {
        json!({
            "Name": name, "Priority": priority, "OverrideAction": { "None": {} }, "VisibilityConfig": visibility(name),
            "Statement": { "ManagedRuleGroupStatement": { "VendorName": "AWS", "Name": name } },
        })
    };
    let rate = |priority: u32, name: &str, scope: Value| {
        let mut statement = json!({ "Limit": 2_000, "AggregateKeyType": "IP" });
        if !scope.is_null() {
            statement["ScopeDownStatement"] = scope;
        }
        json!({
            "Name": name, "Priority": priority, "Action": { "Block": {} }, "VisibilityConfig": visibility(name),
            "Statement": { "RateBasedStatement": statement },
        })
    };
    // `/api/` in base64, as clients send bytes.
    let api = json!({ "ByteMatchStatement": {
        "SearchString": "L2FwaS8=", "FieldToMatch": { "UriPath": {} }, "PositionalConstraint": "STARTS_WITH",
        "TextTransformations": [{ "Priority": 0, "Type": "NONE" }],
    } });
    vec![
        managed(0, "AWSManagedRulesCommonRuleSet"),
        managed(1, "AWSManagedRulesKnownBadInputsRuleSet"),
        managed(2, "AWSManagedRulesSQLiRuleSet"),
        rate(3, "everything", Value::Null),
        rate(4, "api", api),
    ]
}

/// That of the storefront with one service, and without a cutover ahead.
fn intent() -> Intent {
    let mut intent = storefront_intent(&storefront(1), "production").expect("it is there");
    intent
        .services
        .retain(|service| service.name.as_str() == "backend");
    intent.services[0].paths = vec!["/*".to_owned()];
    intent.hosts[0] = HostIntent {
        target: None,
        cutover_ahead: false,
        kept_seconds: None,
        ..intent.hosts[0].clone()
    };
    intent
}

/// Changes a web ACL's rules, as `UpdateWebACL` does.
fn change_rules(world: &mut World, change: impl FnOnce(&mut Value)) {
    let place = Place {
        account: "222222222222",
        region: "eu-central-1",
        scope: Scope::Regional,
    };
    let acl = world.web_acls.of(place).next().expect("it is there").clone();
    let mut content = acl.content.clone();
    change(&mut content["Rules"]);
    let named = Named {
        name: &acl.name,
        id: &acl.id,
    };
    let acls: &mut WebAcls = &mut world.web_acls;
    acls.update(&mut world.kernel, (place, named), &acl.token, content)
        .expect("its token is right");
}

pub(super) fn faults() -> Vec<Fault> {
    [tasks(), images(), edge()].concat()
}

fn tasks() -> Vec<Fault> {
    vec![
        (&["ecs_service_tasks_too_few"], "one task", |world| {
            env(world).services[0].desired = 1
        }),
        (&["ecs_service_breaker_off"], "no circuit breaker", |world| {
            env(world).services[0].breaker.enabled = false;
        }),
        (
            &["ecs_service_percent_stuck"],
            "neither one more nor one less",
            |world| {
                env(world).services[0].maximum_percent = 100;
            },
        ),
        (
            &["ecs_service_alarm_ringing"],
            "an alarm of deployments",
            |world| {
                world
                    .set_alarm("production", "backend-5xx", AlarmState::Alarm)
                    .expect("it is there");
            },
        ),
        (&["ecs_service_alarms_off"], "nobody looks at alarms", |world| {
            env(world).services[0].plan.alarms = crate::ecs::plan::Watched::default();
        }),
        (
            &["ecs_service_ready_failing"],
            "tasks that are not ready",
            |world| {
                let now = world.now();
                for task in env(world).tasks.values_mut() {
                    task.bad_at = now;
                }
            },
        ),
        (
            &["secretsmanager_secret_missing", "rollback_secret_missing"],
            "a deleted secret",
            |world| world.delete_secret("production", SECRET).expect("it is there"),
        ),
        (
            &["secretsmanager_secret_missing", "rollback_secret_missing"],
            "a deleted parameter",
            |world| {
                let name = "/production/api-key";
                world.delete_parameter("production", name).expect("it is there");
            },
        ),
        (
            &["ecs_task_definition_inactive", "rollback_revision_inactive"],
            "a deregistered revision",
            |world| env(world).revisions[0].active = false,
        ),
        (
            &["ecs_container_user_root"],
            "a release of somebody's without a user",
            |world| {
                let env = env(world);
                let containers = env.revisions[0].content["containerDefinitions"]
                    .as_array_mut()
                    .expect("a list");
                containers[0].as_object_mut().expect("a map").remove("user");
            },
        ),
    ]
}

fn images() -> Vec<Fault> {
    vec![
        (
            &["ecr_image_missing", "rollback_image_missing"],
            "a deleted image",
            |world| {
                let image = world
                    .image("production", "storefront/backend", "2.3.0")
                    .expect("it is there");
                world
                    .expire_image("production", "storefront/backend", &image)
                    .expect("it is there");
            },
        ),
        (
            &["ecr_image_vulnerable"],
            "a scan that finds something",
            |world| {
                let image = world
                    .image("production", "storefront/backend", "2.3.0")
                    .expect("it is there");
                let finding = Finding {
                    name: "CVE-2026-0001".to_owned(),
                    severity: "CRITICAL".to_owned(),
                    description: "x".to_owned(),
                };
                world
                    .find_in_scan("production", "storefront/backend", &image, &[finding])
                    .expect("it is there");
            },
        ),
        (&["ecr_repository_tags_mutable"], "tags that move", |world| {
            let repository = "storefront/backend".parse().expect("a name");
            env(world)
                .registry
                .repository_mut(&repository)
                .expect("it is there")
                .immutable = false;
        }),
        (&["ecr_repository_lifecycle_missing"], "no policy", |world| {
            let repository = "storefront/backend".parse().expect("a name");
            env(world)
                .registry
                .repository_mut(&repository)
                .expect("it is there")
                .lifecycle = None;
        }),
    ]
}

fn edge() -> Vec<Fault> {
    vec![
        (&["elbv2_health_path_mismatch"], "another check path", |world| {
            env(world).groups[0].probe.path = "/ping".to_owned();
        }),
        (&["elbv2_http_redirect_missing"], "no redirect", |world| {
            let listener = &mut env(world).balancers[0].listeners[0];
            listener.rules[0].action = Action::to(0);
        }),
        (&["wafv2_balancer_unprotected"], "a removed web ACL", |world| {
            let arn = env(world).balancers[0].arn.clone();
            assert!(world.web_acls.disassociate(&mut world.kernel, &arn));
        }),
        (
            &["wafv2_sqli_rules_missing"],
            "a group that only counts",
            |world| {
                change_rules(world, |rules| rules[2]["OverrideAction"] = json!({ "Count": {} }));
            },
        ),
        (
            &["wafv2_common_rules_missing"],
            "a rule of a group that only counts",
            |world| {
                change_rules(world, |rules| {
                    rules[0]["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"] =
                        json!([{ "Name": "SizeRestrictions_BODY", "ActionToUse": { "Count": {} } }]);
                });
            },
        ),
        (&["wafv2_api_rate_rule_missing"], "no bound on the API", |world| {
            change_rules(world, |rules| {
                rules.as_array_mut().expect("a list").truncate(4);
            });
        }),
        (
            &["route53_record_astray"],
            "a record that leads elsewhere",
            |world| {
                let key = RecordKey {
                    name: "shop.example.com".parse().expect("a name"),
                    record_type: RecordType::A,
                    set_identifier: None,
                };
                let data = RecordData::Values {
                    ttl: 60,
                    values: vec!["192.0.2.1".to_owned()],
                };
                world.zones[0].put(Record {
                    key,
                    weight: None,
                    data,
                });
            },
        ),
    ]
}
