//! Load balancers, listeners, rules, target groups.

use super::{Fault, fault};
use crate::readiness::example::BALANCER;
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::edge::{Action, Balancer, BalancerAttributes, Listener, Rule, TargetGroup};
use crate::readiness::known::Known;

fn balancer(facts: &mut Snapshot) -> &mut Balancer {
    facts.balancers.seen_mut(BALANCER).expect("the shop has one")
}

/// Changes the listeners.
fn listeners(facts: &mut Snapshot, change: impl FnOnce(&mut Vec<Listener>)) {
    if let Known::Seen(listeners) = &mut balancer(facts).listeners {
        change(listeners);
    }
}

/// Changes the listener at a port, if it is still there.
fn listener(facts: &mut Snapshot, port: u16, change: impl FnOnce(&mut Listener)) {
    listeners(facts, |all| {
        if let Some(listener) = all.iter_mut().find(|listener| listener.port == port) {
            change(listener);
        }
    });
}

/// Changes the rules at 443.
fn rules(facts: &mut Snapshot, change: impl FnOnce(&mut Vec<Rule>)) {
    listener(facts, 443, |listener| {
        if let Known::Seen(rules) = &mut listener.rules {
            change(rules);
        }
    });
}

fn attributes(facts: &mut Snapshot, change: impl FnOnce(&mut BalancerAttributes)) {
    if let Known::Seen(attributes) = &mut balancer(facts).attributes {
        change(attributes);
    }
}

/// Changes the target groups with a port.
fn groups(facts: &mut Snapshot, port: u16, change: impl Fn(&mut TargetGroup)) {
    for (_, group) in facts.target_groups.iter_mut() {
        if let Known::Seen(group) = group
            && group.port == port
        {
            change(group);
        }
    }
}

fn redirect(status: u16, port: &str) -> Action {
    Action::Redirect {
        status,
        protocol: "HTTPS".to_owned(),
        port: port.to_owned(),
    }
}

pub(super) fn faults() -> Vec<Fault> {
    let mut all = target_groups();
    all.extend(at_443());
    all.extend(at_80());
    all.extend(itself());
    all
}

fn target_groups() -> Vec<Fault> {
    vec![
        fault("elbv2_service_unattached", "no target group", |facts, _| {
            facts
                .services
                .seen_mut("frontend")
                .expect("the shop has it")
                .attachments
                .clear();
        }),
        fault(
            "elbv2_service_unattached",
            "nothing forwards to it",
            |facts, _| {
                groups(facts, 80, |group| group.balancers.clear());
            },
        ),
        fault("elbv2_deregistration_slow", "the default", |facts, _| {
            groups(facts, 80, |group| group.deregistration_seconds = Known::Seen(300));
        }),
        fault(
            "elbv2_target_port_mismatch",
            "health is asked elsewhere",
            |facts, _| {
                groups(facts, 8787, |group| group.health.port = "9000".to_owned());
            },
        ),
        fault(
            "elbv2_target_port_mismatch",
            "requests go elsewhere",
            |facts, _| {
                let service = facts.services.seen_mut("frontend").expect("the shop has it");
                service.attachments.iter_mut().for_each(|one| one.port = 8080);
            },
        ),
        fault(
            "elbv2_target_port_mismatch",
            "requests go to no container",
            |facts, _| {
                let service = facts.services.seen_mut("backend").expect("the shop has it");
                service
                    .attachments
                    .iter_mut()
                    .for_each(|one| one.container = "proxy".to_owned());
            },
        ),
        fault(
            "elbv2_health_path_mismatch",
            "the page of the shop",
            |facts, _| {
                groups(facts, 80, |group| group.health.path = Some("/".to_owned()));
            },
        ),
        fault("elbv2_health_path_mismatch", "only a connection", |facts, _| {
            groups(facts, 8787, |group| {
                group.health.protocol = "TCP".to_owned();
                group.health.path = None;
            });
        }),
    ]
}

fn at_443() -> Vec<Fault> {
    vec![
        fault("elbv2_https_listener_missing", "no listener", |facts, _| {
            listeners(facts, |all| all.retain(|listener| listener.port != 443));
        }),
        fault("elbv2_https_listener_missing", "it speaks HTTP", |facts, _| {
            listener(facts, 443, |listener| listener.protocol = "HTTP".to_owned());
        }),
        fault("elbv2_tls_policy_old", "the default of the API", |facts, _| {
            listener(facts, 443, |listener| {
                listener.tls_policy = Some("ELBSecurityPolicy-2016-08".to_owned())
            });
        }),
        fault("elbv2_tls_policy_old", "TLS 1.1 beside newer ones", |facts, _| {
            listener(facts, 443, |listener| {
                listener.tls_policy = Some("ELBSecurityPolicy-TLS13-1-1-2021-06".to_owned());
            });
        }),
        fault("elbv2_path_astray", "the wide rule comes first", |facts, _| {
            rules(facts, |rules| {
                for rule in rules.iter_mut().filter(|rule| rule.priority == 20) {
                    rule.priority = 5;
                }
            });
        }),
        fault("elbv2_path_astray", "no rule for the API", |facts, _| {
            rules(facts, |rules| rules.retain(|rule| rule.priority != 10));
        }),
        fault("elbv2_path_astray", "no rule for one of two paths", |facts, _| {
            rules(facts, |rules| {
                rules
                    .iter_mut()
                    .for_each(|rule| rule.paths.retain(|path| path != "/health/*"));
            });
        }),
        fault("elbv2_path_astray", "only one of two hosts", |facts, _| {
            rules(facts, |rules| {
                for rule in rules.iter_mut().filter(|rule| rule.priority == 10) {
                    rule.hosts = vec!["shop.example.com".to_owned()];
                }
            });
        }),
        fault(
            "elbv2_path_astray",
            "everything is answered with 503",
            |facts, _| {
                listener(facts, 443, |listener| {
                    listener.default_action = Action::Fixed(503);
                    listener.rules = Known::Seen(Vec::new());
                });
            },
        ),
        fault(
            "elbv2_path_astray",
            "a weight that nobody took back",
            |facts, _| {
                rules(facts, |rules| {
                    let pages = rules
                        .iter()
                        .find(|rule| rule.priority == 20)
                        .map(|rule| rule.action.clone());
                    for rule in rules.iter_mut().filter(|rule| rule.priority == 10) {
                        if let (Action::Forward(groups), Some(Action::Forward(pages))) =
                            (&mut rule.action, &pages)
                        {
                            groups.extend(pages.iter().cloned());
                        }
                    }
                });
            },
        ),
    ]
}

fn at_80() -> Vec<Fault> {
    vec![
        fault("elbv2_http_redirect_missing", "for a while only", |facts, _| {
            listener(facts, 80, |listener| {
                listener.default_action = redirect(302, "443")
            });
        }),
        fault("elbv2_http_redirect_missing", "to another port", |facts, _| {
            listener(facts, 80, |listener| {
                listener.default_action = redirect(301, "#{port}")
            });
        }),
        fault("elbv2_http_redirect_missing", "a rule forwards", |facts, _| {
            let mut pages = None;
            rules(facts, |rules| pages = rules.first().cloned());
            listener(facts, 80, |listener| {
                listener.rules = Known::Seen(pages.into_iter().collect())
            });
        }),
        fault("elbv2_http_redirect_missing", "it serves", |facts, _| {
            listener(facts, 80, |listener| listener.default_action = Action::Fixed(200));
        }),
        fault("elbv2_http_redirect_missing", "no listener", |facts, _| {
            listeners(facts, |all| all.retain(|listener| listener.port != 80));
        }),
    ]
}

fn itself() -> Vec<Fault> {
    vec![
        fault("elbv2_access_logs_off", "no bucket", |facts, _| {
            attributes(facts, |attributes| attributes.access_logs = None);
        }),
        fault("elbv2_zones_few", "one zone", |facts, _| {
            balancer(facts).zones.truncate(1);
        }),
        fault("elbv2_deletion_protection_off", "it is off", |facts, _| {
            attributes(facts, |attributes| attributes.deletion_protection = false);
        }),
    ]
}
