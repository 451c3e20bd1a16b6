//! Describes load balancers, and target groups that are not a service's.

use rollout_core::id::{DomainName, ZoneId};

use super::BuildError;
use crate::ecs::Environment;
use crate::elb::{
    Action, Checks, Condition, Listener, LoadBalancer, Machine, Priority, Rule, TargetGroup, Weighted,
    listener_arn, rule_arn,
};
use crate::kernel::Kernel;

/// Describes a load balancer. Unless told otherwise it has one listener, HTTP on port 80.
#[derive(Clone, Debug)]
pub struct BalancerBuilder {
    name: String,
    listeners: Vec<ListenerPlan>,
    /// At which listener, and how many.
    machines: Option<(usize, u32, u32)>,
    dns_name: Option<String>,
}

#[derive(Clone, Debug)]
struct ListenerPlan {
    port: u16,
    certificate: Option<String>,
    /// Path prefix, and names of services or target groups with their weights.
    routes: Vec<(String, Vec<(String, u32)>)>,
}

impl ListenerPlan {
    const fn new(port: u16) -> Self {
        Self {
            port,
            certificate: None,
            routes: Vec::new(),
        }
    }
}

impl BalancerBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            listeners: vec![ListenerPlan::new(80)],
            machines: None,
            dns_name: None,
        }
    }

    /// Its DNS name, where another than the usual one is wanted: a configuration that names it decides.
    #[must_use]
    pub fn dns_name(mut self, name: &str) -> Self {
        self.dns_name = Some(name.to_owned());
        self
    }

    /// Adds another HTTP listener, such as one for test traffic. Routes that are added from here on are its.
    #[must_use]
    pub fn listener(mut self, port: u16) -> Self {
        self.listeners.push(ListenerPlan::new(port));
        self
    }

    /// Makes the listener that was described last an HTTPS one with this certificate.
    #[must_use]
    pub fn certificate(mut self, arn: &str) -> Self {
        if let Some(listener) = self.listeners.last_mut() {
            listener.certificate = Some(arn.to_owned());
        }
        self
    }

    /// Sends requests whose path begins with `prefix` to a service. The first that fits counts.
    #[must_use]
    pub fn route(self, prefix: &str, service: &str) -> Self {
        self.forward(prefix, &[(service, 1)])
    }

    /// Sends requests whose path begins with `prefix` to target groups by weight (0 to 999), each named by its service or by
    /// its own name ([`EnvironmentBuilder::target_group`](crate::EnvironmentBuilder::target_group)).
    #[must_use]
    pub fn forward(mut self, prefix: &str, to: &[(&str, u32)]) -> Self {
        let to = to
            .iter()
            .map(|(name, weight)| ((*name).to_owned(), *weight))
            .collect();
        if let Some(listener) = self.listeners.last_mut() {
            listener.routes.push((prefix.to_owned(), to));
        }
        self
    }

    /// Everything else that comes to the listener described last goes to targets that are no tasks, such as virtual
    /// machines: so many healthy and unhealthy ones.
    #[must_use]
    pub const fn machines(mut self, healthy: u32, unhealthy: u32) -> Self {
        self.machines = Some((self.listeners.len() - 1, healthy, unhealthy));
        self
    }

    pub(super) fn build(self, k: &Kernel, env: &mut Environment) -> Result<(), BuildError> {
        let hex = fingerprint(&format!("{} {}", env.name, self.name));
        let arn = format!(
            "arn:aws:elasticloadbalancing:{}:{}:loadbalancer/app/{}/{hex:016x}",
            env.region, env.account, self.name
        );
        let machines = self
            .machines
            .map(|(at, healthy, unhealthy)| (at, machines(k, env, &self.name, (healthy, unhealthy))));
        let mut listeners = Vec::new();
        let unavailable = || Action::Fixed {
            status: 503,
            content_type: Some("text/plain".to_owned()),
            body: Some("Service Temporarily Unavailable".to_owned()),
        };
        for (plan, place) in self.listeners.into_iter().zip(0..) {
            let rest = match machines {
                Some((at, group)) if at == place => Action::to(group),
                Some(_) | None => unavailable(),
            };
            listeners.push(plan.build(env, &arn, &rest)?);
        }
        let usual = || balancer_name(&self.name, env.name.as_str(), &env.region);
        env.balancers.push(LoadBalancer {
            arn,
            dns_name: DomainName::new(self.dns_name.unwrap_or_else(usual))?,
            name: self.name,
            zone: ZoneId::new(BALANCER_ZONE)?,
            internal: false,
            created: k.now,
            listeners,
        });
        Ok(())
    }
}

impl ListenerPlan {
    fn build(self, env: &Environment, balancer: &str, rest: &Action) -> Result<Listener, BuildError> {
        let id = |what: &str| {
            format!(
                "{:016x}",
                fingerprint(&format!("{balancer} {} {what}", self.port))
            )
        };
        let arn = listener_arn(balancer, &id("listener"));
        let mut rules = Vec::new();
        let mut default = rest.clone();
        for ((prefix, to), place) in self.routes.into_iter().zip(1_u32..) {
            let groups = to.iter().map(|(name, weight)| Ok((find(env, name)?, *weight)));
            let groups = groups.collect::<Result<Vec<Weighted>, BuildError>>()?;
            let action = Action::Forward { groups, sticky: None };
            // What fits every path is the default rule: nothing after it is ever asked.
            if matches!(prefix.as_str(), "" | "/") && rest.groups().is_empty() {
                default = action;
                break;
            }
            rules.push(Rule {
                arn: rule_arn(&arn, &id(&prefix)),
                priority: Priority::At(place * 10),
                conditions: vec![Condition::Path(vec![format!("{prefix}*")])],
                action,
            });
        }
        rules.push(Rule {
            arn: rule_arn(&arn, &id("default")),
            priority: Priority::Default,
            conditions: Vec::new(),
            action: default,
        });
        Ok(Listener {
            arn,
            port: self.port,
            protocol: if self.certificate.is_some() {
                "HTTPS"
            } else {
                "HTTP"
            }
            .to_owned(),
            certificates: self.certificate.into_iter().collect(),
            rules,
        })
    }
}

/// The target group of a service, or the one with this name.
fn find(env: &Environment, name: &str) -> Result<u16, BuildError> {
    if let Some(service) = env.service_index(name) {
        let group = env.services[service as usize].group;
        return group.ok_or_else(|| BuildError::missing("target group of service", name));
    }
    let full = group_name(env, name);
    let mut groups = env.groups.iter().zip(0_u16..);
    let found = groups.find(|(g, _)| g.name == full).map(|(_, i)| i);
    found.ok_or_else(|| BuildError::missing("service or target group", name))
}

/// The group of a load balancer's machines.
fn machines(k: &Kernel, env: &mut Environment, name: &str, (healthy, unhealthy): (u32, u32)) -> u16 {
    let mut group = TargetGroup::new(group_arn(env, name), group_name(env, name), 80, CHECKS);
    group.deregistration_delay = 0;
    group.target_type = "instance".to_owned();
    let hex = fingerprint(&group.arn);
    group.machines = (0..healthy + unhealthy)
        .map(|n| {
            let id = format!("i-{:017x}", hex.wrapping_add(u64::from(n)));
            Machine::new(k.now, 0, id, 80).settled(n < healthy)
        })
        .collect();
    env.groups.push(group);
    env.groups.len() as u16 - 1
}

/// Adds a target group without targets.
pub(super) fn empty_group(env: &mut Environment, name: &str, port: u16) {
    let group = TargetGroup::new(group_arn(env, name), group_name(env, name), port, CHECKS);
    env.groups.push(group);
}

/// A target group that no rule names checks nothing, and ECS takes none: each gets a load balancer of its own.
pub(super) fn serve_the_rest(k: &Kernel, env: &mut Environment) -> Result<(), BuildError> {
    for group in 0..env.groups.len() as u16 {
        if env.in_use(group) {
            continue;
        }
        own_balancer(k, env, group)?;
    }
    Ok(())
}

/// A load balancer whose default rule goes to a target group.
fn own_balancer(k: &Kernel, env: &mut Environment, group: u16) -> Result<(), BuildError> {
    let full = env.groups[group as usize].name.clone();
    BalancerBuilder::new(&full).build(k, env)?;
    let listener = env.balancers.last_mut().map(|b| &mut b.listeners[0]);
    if let Some(rule) = listener.and_then(|l| l.rules.last_mut()) {
        rule.action = Action::to(group);
    }
    Ok(())
}

/// The rules of a service with two target groups name both, by weight. Those of a load balancer's first listener are for
/// production traffic, those of the others for test traffic.
pub(super) fn pair_up(k: &Kernel, env: &mut Environment) -> Result<(), BuildError> {
    for s in 0..env.services.len() {
        let (Some(group), Some(alternate)) = (env.services[s].group, env.services[s].alternate) else {
            continue;
        };
        if !env.in_use(group) {
            own_balancer(k, env, group)?;
        }
        let (mut production, mut test) = (Vec::new(), Vec::new());
        for balancer in &mut env.balancers {
            for (listener, place) in balancer.listeners.iter_mut().zip(0..) {
                let named = |rule: &&mut Rule| rule.action.groups().iter().any(|(g, _)| *g == group);
                for rule in listener.rules.iter_mut().filter(named) {
                    rule.action = Action::Forward {
                        groups: vec![(group, 100), (alternate, 0)],
                        sticky: None,
                    };
                    let rules = if place == 0 { &mut production } else { &mut test };
                    rules.push(rule.arn.clone());
                }
            }
        }
        let service = &mut env.services[s];
        let advanced = &mut service.settings["loadBalancers"][0]["advancedConfiguration"];
        for (name, rules) in [
            ("productionListenerRule", &production),
            ("testListenerRule", &test),
        ] {
            if let Some(rule) = rules.first() {
                advanced[name] = rule.as_str().into();
            }
        }
        let held = service.service_revisions.last_mut();
        if let Some(held) = held {
            held.settings = service.settings.clone();
        }
        (service.production_rules, service.test_rules) = (production, test);
    }
    Ok(())
}

/// How target groups check that are described without their checks.
pub(super) const CHECKS: Checks = Checks {
    interval: 10_000,
    healthy: 5,
    unhealthy: 2,
};

/// The hosted zone of Application Load Balancers in eu-central-1 (AWS General Reference, "Elastic Load Balancing
/// endpoints"); one for all regions here.
pub(crate) const BALANCER_ZONE: &str = "Z215JYRZR1TBD5";

/// Digits or hex that follow from names alone, so that a file can hold them.
pub(crate) fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The DNS name of a load balancer.
pub(crate) fn balancer_name(name: &str, env: &str, region: &str) -> String {
    let digits = 1_000_000_000 + fingerprint(&format!("{env} {name}")) % 1_000_000_000;
    format!("{name}-{digits}.{region}.elb.amazonaws.com")
}

pub(super) fn group_name(env: &Environment, name: &str) -> String {
    format!("{}-{name}", env.name)
}

pub(super) fn group_arn(env: &Environment, name: &str) -> String {
    let name = group_name(env, name);
    format!(
        "arn:aws:elasticloadbalancing:{}:{}:targetgroup/{name}/{:016x}",
        env.region,
        env.account,
        fingerprint(&name)
    )
}
