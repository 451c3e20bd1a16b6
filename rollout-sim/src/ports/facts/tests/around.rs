//! One thing at a time that is wrong around the storefront: the check that finds it, what it is, and how it comes about.

use core::time::Duration;

use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::fact::data::Database;
use rollout_core::readiness::fact::edge::{Action, Balancer, Certificate, Listener};
use rollout_core::readiness::fact::identity::Statement;
use rollout_core::readiness::fact::network::{Hop, Ingress, SecurityGroup, Source, Subnet, Vpc};
use rollout_core::readiness::fact::task::{Container, DeploymentAlarms, Variable};
use rollout_core::readiness::known::{Known, Table};
use rollout_core::time::Timestamp;

pub(super) type Fault = (&'static str, &'static str, fn(&mut Snapshot));

/// Every resource of a kind that is there.
fn all<T>(table: &mut Table<T>) -> impl Iterator<Item = &mut T> {
    table.iter_mut().filter_map(|(_, known)| match known {
        Known::Seen(value) => Some(value),
        Known::Missing | Known::Unknown(_) => None,
    })
}

fn subnet(facts: &mut Snapshot) -> &mut Subnet {
    all(&mut facts.subnets).next().expect("there is one")
}

fn vpc(facts: &mut Snapshot) -> &mut Vpc {
    all(&mut facts.vpcs).next().expect("there is one")
}

fn group<'a>(facts: &'a mut Snapshot, name: &str) -> &'a mut SecurityGroup {
    let mut groups = all(&mut facts.security_groups);
    groups
        .find(|group| group.name == format!("production-{name}"))
        .expect("there is one")
}

fn balancer(facts: &mut Snapshot) -> &mut Balancer {
    all(&mut facts.balancers).next().expect("there is one")
}

fn listener(facts: &mut Snapshot, port: u16) -> &mut Listener {
    let Known::Seen(listeners) = &mut balancer(facts).listeners else {
        panic!("they are told");
    };
    listeners
        .iter_mut()
        .find(|listener| listener.port == port)
        .expect("there is one")
}

fn seen<T>(known: &mut Known<T>) -> &mut T {
    match known {
        Known::Seen(value) => value,
        Known::Missing | Known::Unknown(_) => panic!("it is told"),
    }
}

fn anyone(port: u16) -> Ingress {
    Ingress::tcp(port, Source::Cidr("0.0.0.0/0".to_owned()))
}

pub(super) fn faults() -> Vec<Fault> {
    [network(), edge(), tasks(), watch(), data(), names()].concat()
}

fn network() -> Vec<Fault> {
    vec![
        ("ec2_task_subnet_public", "a way in from the internet", |facts| {
            let route = seen(&mut subnet(facts).routes)
                .iter_mut()
                .find(|route| matches!(route.by, Hop::Nat(_)));
            route.expect("there is one").by = Hop::InternetGateway("igw-1".to_owned());
        }),
        ("ec2_task_zones_few", "all subnets in one zone", |facts| {
            let nat = seen(&mut vpc(facts).nats)[0].clone();
            for subnet in all(&mut facts.subnets) {
                subnet.zone = nat.zone.clone().expect("it is told");
                for route in seen(&mut subnet.routes) {
                    if let Hop::Nat(id) = &mut route.by {
                        nat.id.clone_into(id);
                    }
                }
            }
        }),
        ("ec2_task_route_dead", "a black hole", |facts| {
            seen(&mut subnet(facts).routes)[1].active = false;
        }),
        ("ec2_nat_zone_shared", "one NAT gateway for all", |facts| {
            let nat = seen(&mut vpc(facts).nats)[0].id.clone();
            for subnet in all(&mut facts.subnets) {
                for route in seen(&mut subnet.routes) {
                    if let Hop::Nat(id) = &mut route.by {
                        nat.clone_into(id);
                    }
                }
            }
        }),
        ("ec2_task_vpc_default", "the default VPC", |facts| {
            vpc(facts).is_default = true
        }),
        ("ec2_default_group_used", "the default group", |facts| {
            group(facts, "worker").name = "default".to_owned();
        }),
        ("ec2_balancer_group_wide", "SSH to the load balancer", |facts| {
            group(facts, "balancers").ingress.push(anyone(22));
        }),
        ("ec2_balancer_group_closed", "no port 80", |facts| {
            group(facts, "balancers").ingress.retain(|rule| rule.from != 80);
        }),
        ("ec2_task_group_wide", "the backend for anyone", |facts| {
            group(facts, "backend").ingress.push(anyone(8787));
        }),
        ("ec2_task_group_closed", "the backend for nobody", |facts| {
            group(facts, "backend").ingress.clear()
        }),
        ("ec2_database_group_wide", "the database for anyone", |facts| {
            group(facts, "databases").ingress.push(anyone(5432));
        }),
        ("ec2_cache_group_wide", "the cache for anyone", |facts| {
            group(facts, "caches").ingress.push(anyone(6379));
        }),
        ("ecs_service_public_ip", "public addresses", |facts| {
            facts.services.seen_mut("worker").expect("it is told").public_ip = true;
        }),
    ]
}

fn edge() -> Vec<Fault> {
    vec![
        ("elbv2_https_listener_missing", "443 speaks HTTP", |facts| {
            listener(facts, 443).protocol = "HTTP".to_owned();
        }),
        ("elbv2_tls_policy_old", "TLS 1.0", |facts| {
            listener(facts, 443).tls_policy = Some("ELBSecurityPolicy-2016-08".to_owned());
        }),
        (
            "elbv2_http_redirect_missing",
            "a redirect that nobody may keep",
            |facts| {
                if let Action::Redirect { status, .. } = &mut listener(facts, 80).default_action {
                    *status = 302;
                }
            },
        ),
        ("elbv2_access_logs_off", "no logs", |facts| {
            seen(&mut balancer(facts).attributes).access_logs = None;
        }),
        ("elbv2_deletion_protection_off", "anyone may delete it", |facts| {
            seen(&mut balancer(facts).attributes).deletion_protection = false;
        }),
        ("elbv2_zones_few", "one zone", |facts| {
            balancer(facts).zones.truncate(1)
        }),
        ("wafv2_balancer_unprotected", "no web ACL", |facts| {
            balancer(facts).web_acl = Known::Missing;
        }),
        ("wafv2_sqli_rules_missing", "a group that only counts", |facts| {
            let acl = all(&mut facts.web_acls).next().expect("there is one");
            acl.rules[2].blocks = false;
        }),
        ("wafv2_logging_off", "no log", |facts| {
            all(&mut facts.web_acls).next().expect("there is one").logging = Known::Seen(false);
        }),
    ]
}

fn container<'a>(facts: &'a mut Snapshot, service: &str) -> &'a mut Container {
    let mut definitions = all(&mut facts.task_definitions).flat_map(|definition| &mut definition.containers);
    definitions
        .find(|container| container.name == service)
        .expect("it is there")
}

fn tasks() -> Vec<Fault> {
    vec![
        ("ecs_container_secret_plaintext", "a password in clear", |facts| {
            container(facts, "backend")
                .variables
                .push(Variable::of("DB_PASSWORD", "hunter2"));
        }),
        ("ecs_container_user_root", "root", |facts| {
            container(facts, "backend").user = Some("0".to_owned());
        }),
        ("ecs_container_log_driver_missing", "no log driver", |facts| {
            let container = container(facts, "worker");
            (container.log_driver, container.log_group) = (None, None);
        }),
        (
            "ecs_container_stop_slow",
            "longer than its target drains",
            |facts| {
                container(facts, "frontend").stop_seconds = Some(60);
            },
        ),
        ("elbv2_target_port_mismatch", "another port", |facts| {
            container(facts, "frontend").ports = vec![8080];
        }),
        ("ecs_service_platform_outdated", "an old platform", |facts| {
            let service = facts.services.seen_mut("worker").expect("it is told");
            service.platform_version = Some("1.3.0".to_owned());
        }),
        ("ecs_service_alarms_off", "no deployment alarms", |facts| {
            facts.services.seen_mut("worker").expect("it is told").alarms = DeploymentAlarms::default();
        }),
        ("secretsmanager_secret_missing", "no such secret", |facts| {
            let name = facts.secrets.names().next().expect("there is one").to_owned();
            facts.secrets.put(name, Known::Missing);
        }),
        ("secretsmanager_secret_stale", "a value of long ago", |facts| {
            all(&mut facts.secrets).next().expect("there is one").changed_at = Some(Timestamp::EPOCH);
        }),
        (
            "secretsmanager_secret_unreadable",
            "nobody may read it",
            |facts| {
                let asked: Vec<String> = facts.allowed.names().map(ToOwned::to_owned).collect();
                for ask in asked.iter().filter(|ask| ask.contains("GetSecretValue")) {
                    facts.allowed.seen(ask.as_str(), false);
                }
            },
        ),
        ("ecr_image_vulnerable", "never scanned", |facts| {
            all(&mut facts.images).next().expect("there is one").findings = Known::Missing;
        }),
        ("ecr_repository_scan_off", "no scans", |facts| {
            facts
                .repositories
                .seen_mut("storefront/worker")
                .expect("it is told")
                .scan_on_push = Known::Seen(false);
        }),
        ("ecr_repository_tags_mutable", "tags that move", |facts| {
            facts
                .repositories
                .seen_mut("storefront/worker")
                .expect("it is told")
                .immutable_tags = false;
        }),
        (
            "iam_deployer_permission_missing",
            "no permission to release",
            |facts| {
                let asked: Vec<String> = facts.allowed.names().map(ToOwned::to_owned).collect();
                let ask = asked
                    .iter()
                    .find(|ask| ask.contains("ecs:UpdateService"))
                    .expect("it is asked");
                facts.allowed.seen(ask.as_str(), false);
            },
        ),
        ("iam_oidc_subject_open", "any branch", |facts| {
            let deployer = all(&mut facts.roles)
                .find(|role| role.arn.ends_with("/deployer"))
                .expect("it is told");
            for values in deployer.trust[0]
                .conditions
                .values_mut()
                .filter(|values| values[0].starts_with("repo:"))
            {
                *values = vec!["repo:example/storefront:*".to_owned()];
            }
        }),
        ("iam_task_role_secrets_open", "every secret", |facts| {
            let role = all(&mut facts.roles)
                .find(|role| role.arn.ends_with("-backend"))
                .expect("it is told");
            seen(&mut role.statements).push(Statement {
                allows: true,
                actions: vec!["secretsmanager:GetSecretValue".to_owned()],
                resources: vec!["*".to_owned()],
            });
        }),
    ]
}

fn watch() -> Vec<Fault> {
    vec![
        ("cloudwatch_cpu_alarm_missing", "no alarm on CPU", |facts| {
            seen(&mut facts.alarms).retain(|name, _| name != "production-frontend-cpu");
            // It is not named by a deployment either: that would be another fault.
            let service = facts.services.seen_mut("frontend").expect("it is told");
            service
                .alarms
                .names
                .retain(|name| name != "production-frontend-cpu");
        }),
        (
            "cloudwatch_alarm_actions_off",
            "an alarm that says nothing",
            |facts| {
                let alarm = seen(&mut facts.alarms).get_mut("storefront-backend-5xx");
                alarm.expect("the world has it").actions_enabled = false;
            },
        ),
        ("cloudwatch_alarm_unheard", "nobody listens", |facts| {
            all(&mut facts.topics).next().expect("there is one").confirmed = 0;
        }),
        ("cloudwatch_slot_alarm_missing", "no alarm for a slot", |facts| {
            seen(&mut facts.alarms).remove("storefront-checkout-errors");
        }),
        ("cloudwatch_dashboard_missing", "no dashboard", |facts| {
            facts.dashboards.put("storefront", Known::Missing);
        }),
        ("logs_group_retention_unfit", "logs for ever", |facts| {
            all(&mut facts.log_groups)
                .next()
                .expect("there is one")
                .retention_days = None;
        }),
    ]
}

fn data() -> Vec<Fault> {
    vec![
        ("rds_instance_missing", "no database", |facts| {
            facts.databases.put("storefront", Known::Missing);
        }),
        ("rds_instance_single_zone", "no standby", |facts| {
            database(facts).multi_az = false
        }),
        ("rds_instance_public", "a public database", |facts| {
            database(facts).public = true
        }),
        ("rds_connections_short", "nearly all connections taken", |facts| {
            database(facts).peak_connections = Known::Seen(400);
        }),
        ("elasticache_failover_off", "nobody takes over", |facts| {
            facts.caches.seen_mut("storefront").expect("it is told").failover = false;
        }),
        ("s3_public_access_open", "a bucket for anyone", |facts| {
            facts
                .buckets
                .seen_mut("storefront-assets")
                .expect("it is told")
                .public_access_blocked = Known::Seen(false);
        }),
        ("s3_cors_wide", "pages of everybody", |facts| {
            let bucket = facts.buckets.seen_mut("storefront-assets").expect("it is told");
            seen(&mut bucket.cors)[0].origins = vec!["*".to_owned()];
        }),
        ("s3_preflight_wrong", "a preflight that is refused", |facts| {
            let asked: Vec<String> = facts.answers.names().map(ToOwned::to_owned).collect();
            let ask = asked
                .iter()
                .find(|ask| ask.starts_with("OPTIONS") && ask.contains("shop.example.com"));
            facts
                .answers
                .seen_mut(ask.expect("it is asked"))
                .expect("it is told")
                .status = 403;
        }),
        ("rds_restore_untested", "never restored", |facts| {
            facts.records.restore_test = Known::Missing
        }),
        ("rollback_drill_stale", "never", |facts| {
            facts.records.rollback_drill = Known::Missing
        }),
        ("budgets_budget_missing", "none", |facts| {
            facts.budgets = Known::Seen([].into())
        }),
        ("budgets_notification_missing", "nobody is told", |facts| {
            for budget in seen(&mut facts.budgets).values_mut() {
                budget.notifications = Known::Seen(Vec::new());
            }
        }),
    ]
}

fn database(facts: &mut Snapshot) -> &mut Database {
    facts.databases.seen_mut("storefront").expect("it is told")
}

fn names() -> Vec<Fault> {
    vec![
        (
            "acm_certificate_not_issued",
            "a certificate that waits",
            |facts| {
                let certificate = certificate(facts);
                certificate.status = "PENDING_VALIDATION".to_owned();
                certificate.not_after = None;
            },
        ),
        ("acm_certificate_ending", "a week left", |facts| {
            let now = facts.at;
            certificate(facts).not_after = Some(now.after(Duration::from_secs(7 * 24 * 60 * 60)));
        }),
        ("acm_host_uncovered", "another name", |facts| {
            certificate(facts).names = vec!["other.example.com".to_owned()];
        }),
        ("route53_delegation_wrong", "other name servers", |facts| {
            let zone = facts.zones.seen_mut("Z0STOREFRONT").expect("it is told");
            zone.delegated_to = Known::Seen(vec!["ns1.example.net".to_owned()]);
        }),
        ("cloudfront_distribution_off", "it is switched off", |facts| {
            facts
                .distributions
                .seen_mut("E2STOREFRONT0")
                .expect("it is told")
                .enabled = false;
        }),
        (
            "cloudfront_web_acl_missing",
            "a distribution without a web ACL",
            |facts| {
                facts
                    .distributions
                    .seen_mut("E2STOREFRONT0")
                    .expect("it is told")
                    .web_acl = None;
            },
        ),
    ]
}

/// The certificate of the load balancer.
fn certificate(facts: &mut Snapshot) -> &mut Certificate {
    let mut certificates = all(&mut facts.certificates);
    certificates
        .find(|one| one.names == ["shop.example.com"])
        .expect("it is told")
}
