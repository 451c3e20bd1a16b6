//! What is asked of load balancers: look-ups, and changes that are made whole or refused.

use super::balancer::{Action, Condition, Listener, LoadBalancer, Priority, Rule, Weighted};
use super::group::{Machine, TargetGroup};
use super::{Checks, Refused};
use crate::ecs::Environment;
use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

/// The most target groups of one forward action (Elastic Load Balancing user guide, "Quotas for your Application Load
/// Balancers").
const GROUPS: usize = 5;
/// The heaviest weight of a target group (Elastic Load Balancing API, "TargetGroupTuple").
const HEAVIEST: u32 = 999;
/// The last priority of a rule (Elastic Load Balancing API, "CreateRule").
const LAST_PRIORITY: u32 = 50_000;

/// What a new listener is.
#[derive(Clone, Debug)]
pub(crate) struct NewListener {
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) certificates: Vec<String>,
    pub(crate) action: Action,
}

/// The last part of an ARN of this service that belongs below another: `listener/app/x/1` of `loadbalancer/app/x/1`.
fn below(arn: &str, from: &str, to: &str, id: &str) -> String {
    format!("{}/{id}", arn.replacen(from, to, 1))
}

/// The ARN of a listener.
pub(crate) fn listener_arn(balancer: &str, id: &str) -> String {
    below(balancer, ":loadbalancer/", ":listener/", id)
}

/// The ARN of a rule.
pub(crate) fn rule_arn(listener: &str, id: &str) -> String {
    below(listener, ":listener/", ":listener-rule/", id)
}

impl Environment {
    /// A target group's place, by its ARN.
    pub(crate) fn group_index(&self, arn: &str) -> Option<u16> {
        let all = self.groups.iter().zip(0_u16..);
        all.into_iter()
            .find(|(g, _)| g.arn == arn && !g.gone)
            .map(|(_, i)| i)
    }

    /// A listener, by its ARN.
    pub(crate) fn listener(&self, arn: &str) -> Option<&Listener> {
        self.balancers
            .iter()
            .flat_map(|b| &b.listeners)
            .find(|l| l.arn == arn)
    }

    fn listener_mut(&mut self, arn: &str) -> Result<&mut Listener, Refused> {
        let mut all = self.balancers.iter_mut().flat_map(|b| &mut b.listeners);
        all.find(|l| l.arn == arn).ok_or(Refused::NoListener)
    }

    /// A rule, by its ARN, or a listener's default rule, by the listener's ARN.
    pub(crate) fn rule(&self, arn: &str) -> Option<&Rule> {
        let mut listeners = self.balancers.iter().flat_map(|b| &b.listeners);
        listeners.find_map(|l| {
            let default = || l.rules.last().filter(|_| l.arn == arn);
            l.rules.iter().find(|r| r.arn == arn).or_else(default)
        })
    }

    fn rule_mut(&mut self, arn: &str) -> Result<&mut Rule, Refused> {
        let found = self.rule(arn).map(|r| r.arn.clone()).ok_or(Refused::NoRule)?;
        let mut rules = self
            .balancers
            .iter_mut()
            .flat_map(|b| &mut b.listeners)
            .flat_map(|l| &mut l.rules);
        rules.find(|r| r.arn == found).ok_or(Refused::NoRule)
    }

    /// The target groups of a rule's forward action and their weights. The rule is named as in [`Environment::rule`].
    pub(crate) fn weights(&self, rule: &str) -> Result<&[Weighted], Refused> {
        Ok(self.rule(rule).ok_or(Refused::NoRule)?.action.groups())
    }

    /// Lets a rule forward to target groups by these weights. What else its action says, its stickiness, stays.
    pub(crate) fn set_weights(&mut self, rule: &str, weights: &[Weighted]) -> Result<(), Refused> {
        let sticky = match &self.rule(rule).ok_or(Refused::NoRule)?.action {
            Action::Forward { sticky, .. } => *sticky,
            Action::Fixed { .. } | Action::Redirect(_) => None,
        };
        let groups = weights.to_vec();
        self.modify_rule(rule, None, Some(Action::Forward { groups, sticky }))
    }

    /// Changes a rule: what is `None` stays. A default rule has no conditions.
    pub(crate) fn modify_rule(
        &mut self,
        arn: &str,
        conditions: Option<Vec<Condition>>,
        action: Option<Action>,
    ) -> Result<(), Refused> {
        let rule = self.rule(arn).ok_or(Refused::NoRule)?;
        if conditions.is_some() && rule.priority == Priority::Default {
            return Err(Refused::NotPermitted(
                "Default rule conditions cannot be modified".to_owned(),
            ));
        }
        if let Some(action) = &action {
            self.check_action(&self.balancer_of(arn).ok_or(Refused::NoRule)?.arn, action)?;
        }
        let rule = self.rule_mut(arn)?;
        if let Some(conditions) = conditions {
            rule.conditions = conditions;
        }
        if let Some(action) = action {
            rule.action = action;
        }
        Ok(())
    }

    /// The load balancer that a listener or a rule belongs to.
    pub(crate) fn balancer_of(&self, arn: &str) -> Option<&LoadBalancer> {
        let holds = |l: &Listener| l.arn == arn || l.rules.iter().any(|r| r.arn == arn);
        self.balancers.iter().find(|b| b.listeners.iter().any(holds))
    }

    /// Whether a load balancer may have an action.
    fn check_action(&self, balancer: &str, action: &Action) -> Result<(), Refused> {
        let Action::Forward { groups, .. } = action else {
            return Ok(());
        };
        if groups.is_empty() || groups.len() > GROUPS {
            let text = format!(
                "A forward action has 1 to {GROUPS} target groups, not {}",
                groups.len()
            );
            return Err(Refused::Invalid(text));
        }
        for (place, (group, weight)) in groups.iter().enumerate() {
            let held = self
                .groups
                .get(*group as usize)
                .filter(|g| !g.gone)
                .ok_or(Refused::NoGroup)?;
            if *weight > HEAVIEST {
                let text = format!("Target group weight '{weight}' must be between 0 and {HEAVIEST}");
                return Err(Refused::Invalid(text));
            }
            if groups[..place].iter().any(|(g, _)| g == group) {
                let text = format!("Target group '{}' must be listed once", held.arn);
                return Err(Refused::Invalid(text));
            }
            let mut others = self.balancers.iter().filter(|b| b.arn != balancer);
            if others.any(|b| b.groups().any(|(g, _)| g == *group)) {
                return Err(Refused::AnotherBalancer(held.arn.clone()));
            }
        }
        Ok(())
    }

    /// Makes a target group.
    pub(crate) fn create_group(&mut self, group: TargetGroup) -> Result<u16, Refused> {
        if self.groups.iter().any(|g| g.name == group.name && !g.gone) {
            return Err(Refused::Duplicate {
                code: "DuplicateTargetGroupName",
                message: format!(
                    "A target group with the same name '{}' exists, but with different settings",
                    group.name
                ),
            });
        }
        check_checks(&group.checks, group.probe.timeout)?;
        let index = u16::try_from(self.groups.len());
        let index = index.map_err(|_| Refused::Invalid("too many target groups".to_owned()))?;
        self.groups.push(group);
        Ok(index)
    }

    /// Changes how a group checks its targets.
    pub(crate) fn modify_group(
        &mut self,
        k: &mut Kernel,
        index: u16,
        checks: Checks,
        probe: super::Probe,
    ) -> Result<(), Refused> {
        check_checks(&checks, probe.timeout)?;
        let group = self.groups.get_mut(index as usize).ok_or(Refused::NoGroup)?;
        group.check_by(k.now, checks);
        group.probe = probe;
        let tasks: Vec<u64> = self.target_tasks(index).map(|(id, _)| id).collect();
        for id in tasks {
            self.plan_target(k, id);
        }
        Ok(())
    }

    /// Deletes a target group that no rule names.
    pub(crate) fn delete_group(&mut self, arn: &str) -> Result<(), Refused> {
        // One that is not there is no error.
        let Some(index) = self.group_index(arn) else {
            return Ok(());
        };
        if self.in_use(index) {
            return Err(Refused::InUse(arn.to_owned()));
        }
        let group = &mut self.groups[index as usize];
        group.gone = true;
        group.machines.clear();
        Ok(())
    }

    /// Makes a load balancer.
    pub(crate) fn create_balancer(&mut self, balancer: LoadBalancer) -> Result<(), Refused> {
        if self.balancers.iter().any(|b| b.name == balancer.name) {
            return Err(Refused::Duplicate {
                code: "DuplicateLoadBalancerName",
                message: format!(
                    "A load balancer with the same name '{}' exists, but with different settings",
                    balancer.name
                ),
            });
        }
        self.balancers.push(balancer);
        Ok(())
    }

    /// Deletes a load balancer with its listeners. One that is not there is no error.
    pub(crate) fn delete_balancer(&mut self, arn: &str) {
        self.balancers.retain(|b| b.arn != arn);
    }

    /// Makes a listener with its default rule.
    pub(crate) fn create_listener(
        &mut self,
        k: &mut Kernel,
        balancer: &str,
        new: NewListener,
    ) -> Result<String, Refused> {
        let held = self
            .balancers
            .iter()
            .find(|b| b.arn == balancer)
            .ok_or(Refused::NoBalancer)?;
        if held.listeners.iter().any(|l| l.port == new.port) {
            return Err(Refused::Duplicate {
                code: "DuplicateListener",
                message: "A listener already exists on this port for this load balancer".to_owned(),
            });
        }
        if new.protocol == "HTTPS" && new.certificates.is_empty() {
            let text = "A certificate must be specified for HTTPS listeners";
            return Err(Refused::Invalid(text.to_owned()));
        }
        self.check_action(balancer, &new.action)?;
        let arn = listener_arn(balancer, &k.dice.hex(1));
        let default = Rule {
            arn: rule_arn(&arn, &k.dice.hex(1)),
            priority: Priority::Default,
            conditions: Vec::new(),
            action: new.action,
        };
        let listener = Listener {
            arn: arn.clone(),
            port: new.port,
            protocol: new.protocol,
            certificates: new.certificates,
            rules: vec![default],
        };
        let held = self.balancers.iter_mut().find(|b| b.arn == balancer);
        held.ok_or(Refused::NoBalancer)?.listeners.push(listener);
        Ok(arn)
    }

    /// Changes a listener: what is `None` stays.
    pub(crate) fn modify_listener(
        &mut self,
        arn: &str,
        port: Option<u16>,
        protocol: Option<String>,
        certificates: Option<Vec<String>>,
        action: Option<Action>,
    ) -> Result<(), Refused> {
        let balancer = self.balancer_of(arn).ok_or(Refused::NoListener)?;
        if port.is_some_and(|port| balancer.listeners.iter().any(|l| l.arn != arn && l.port == port)) {
            return Err(Refused::Duplicate {
                code: "DuplicateListener",
                message: "A listener already exists on this port for this load balancer".to_owned(),
            });
        }
        if let Some(action) = &action {
            self.check_action(&balancer.arn, action)?;
        }
        let held = self.listener_mut(arn)?;
        held.port = port.unwrap_or(held.port);
        if let Some(protocol) = protocol {
            held.protocol = protocol;
        }
        if let Some(certificates) = certificates {
            held.certificates = certificates;
        }
        if let (Some(action), Some(default)) = (action, held.rules.last_mut()) {
            default.action = action;
        }
        Ok(())
    }

    /// Gives rules of one listener other priorities, all at once.
    pub(crate) fn set_priorities(&mut self, wanted: &[(String, u32)]) -> Result<(), Refused> {
        let (first, _) = wanted.first().ok_or(Refused::NoRule)?;
        let holds = |l: &Listener| l.rules.iter().any(|r| r.arn == *first);
        let listeners = self.balancers.iter_mut().flat_map(|b| &mut b.listeners);
        let listener = listeners.into_iter().find(|l| holds(l)).ok_or(Refused::NoRule)?;
        let mut rules = listener.rules.clone();
        for (arn, priority) in wanted {
            let rule = rules.iter_mut().find(|r| r.arn == *arn).ok_or(Refused::NoRule)?;
            if rule.priority == Priority::Default {
                return Err(Refused::NotPermitted(format!(
                    "Default rule '{arn}' cannot have another priority"
                )));
            }
            if !(1..=LAST_PRIORITY).contains(priority) {
                let text = format!("Rule priority '{priority}' must be between 1 and {LAST_PRIORITY}");
                return Err(Refused::Invalid(text));
            }
            rule.priority = Priority::At(*priority);
        }
        rules.sort_by_key(|r| r.priority);
        let twice = rules
            .windows(2)
            .find_map(|pair| match (pair[0].priority, pair[1].priority) {
                (Priority::At(a), Priority::At(b)) if a == b => Some(a),
                _ => None,
            });
        if let Some(priority) = twice {
            return Err(Refused::PriorityInUse(priority));
        }
        listener.rules = rules;
        Ok(())
    }

    /// Deletes a listener with its rules.
    pub(crate) fn delete_listener(&mut self, arn: &str) -> Result<(), Refused> {
        self.listener(arn).ok_or(Refused::NoListener)?;
        for balancer in &mut self.balancers {
            balancer.listeners.retain(|l| l.arn != arn);
        }
        Ok(())
    }

    /// Makes a rule.
    pub(crate) fn create_rule(
        &mut self,
        k: &mut Kernel,
        listener: &str,
        priority: u32,
        conditions: Vec<Condition>,
        action: Action,
    ) -> Result<String, Refused> {
        let held = self.listener(listener).ok_or(Refused::NoListener)?;
        if !(1..=LAST_PRIORITY).contains(&priority) {
            let text = format!("Rule priority '{priority}' must be between 1 and {LAST_PRIORITY}");
            return Err(Refused::Invalid(text));
        }
        if held.rules.iter().any(|r| r.priority == Priority::At(priority)) {
            return Err(Refused::PriorityInUse(priority));
        }
        if conditions.is_empty() {
            return Err(Refused::Invalid(
                "A rule must have at least one condition".to_owned(),
            ));
        }
        let balancer = self.balancer_of(listener).ok_or(Refused::NoListener)?.arn.clone();
        self.check_action(&balancer, &action)?;
        let arn = rule_arn(listener, &k.dice.hex(1));
        self.listener_mut(listener)?.insert(Rule {
            arn: arn.clone(),
            priority: Priority::At(priority),
            conditions,
            action,
        });
        Ok(arn)
    }

    /// Deletes a rule; a default rule goes with its listener only.
    pub(crate) fn delete_rule(&mut self, arn: &str) -> Result<(), Refused> {
        if self.rule(arn).ok_or(Refused::NoRule)?.priority == Priority::Default {
            let text = format!("Default rule '{arn}' cannot be deleted");
            return Err(Refused::NotPermitted(text));
        }
        let mut listeners = self.balancers.iter_mut().flat_map(|b| &mut b.listeners);
        listeners.try_for_each(|l| {
            l.rules.retain(|r| r.arn != arn);
            Ok(())
        })
    }

    /// Registers targets that are no tasks, all or none. One that is there already stays; one that drains is new again.
    pub(crate) fn register(
        &mut self,
        k: &mut Kernel,
        group: u16,
        targets: &[(String, Option<u16>)],
    ) -> Result<(), Refused> {
        let held = self
            .groups
            .get_mut(group as usize)
            .filter(|g| !g.gone)
            .ok_or(Refused::NoGroup)?;
        if held.target_type == "ip"
            && let Some((id, _)) = targets
                .iter()
                .find(|(id, _)| id.parse::<std::net::IpAddr>().is_err())
        {
            let text = format!("The IP address '{id}' is not a valid IPv4 or IPv6 address");
            return Err(Refused::Invalid(text));
        }
        held.sweep(k.now);
        for (id, port) in targets {
            let port = port.unwrap_or(held.port);
            held.machines
                .retain(|m| !(m.id == *id && m.port == port && m.leaves_at.is_some()));
            if held.machines.iter().any(|m| m.id == *id && m.port == port) {
                continue;
            }
            let wait = k.draw(Stream::Health, Span::millis(0, held.checks.interval));
            held.machines.push(Machine::new(k.now, wait, id.clone(), port));
        }
        Ok(())
    }

    /// Lets targets that are no tasks drain. One that is not there is no error.
    pub(crate) fn deregister(
        &mut self,
        k: &Kernel,
        group: u16,
        targets: &[(String, Option<u16>)],
    ) -> Result<(), Refused> {
        let tasks: Vec<String> = self
            .target_tasks(group)
            .map(|(id, _)| super::address(id))
            .collect();
        if let Some((id, _)) = targets.iter().find(|(id, _)| tasks.contains(id)) {
            let text = format!(
                "Target '{id}' is a service's task: the simulation lets only its service deregister it"
            );
            return Err(Refused::InvalidTarget(text));
        }
        let held = self
            .groups
            .get_mut(group as usize)
            .filter(|g| !g.gone)
            .ok_or(Refused::NoGroup)?;
        let leaves_at = plus(k.now, held.deregistration_delay);
        for machine in &mut held.machines {
            let named = |(id, port): &(String, Option<u16>)| {
                *id == machine.id && port.is_none_or(|port| port == machine.port)
            };
            if machine.leaves_at.is_none() && targets.iter().any(named) {
                machine.leaves_at = Some(leaves_at);
            }
        }
        held.sweep(k.now);
        Ok(())
    }
}

/// Whether health checks are within their bounds (Elastic Load Balancing API, "CreateTargetGroup").
fn check_checks(checks: &Checks, timeout: u64) -> Result<(), Refused> {
    let within = |what: &str, value: u64, from: u64, to: u64| {
        if (from..=to).contains(&value) {
            return Ok(());
        }
        let text = format!("{what} '{value}' must be between {from} and {to}");
        Err(Refused::Invalid(text))
    };
    within("Health check interval", checks.interval / 1_000, 5, 300)?;
    within("Health check timeout", timeout / 1_000, 2, 120)?;
    within("Healthy threshold count", checks.healthy, 2, 10)?;
    within("Unhealthy threshold count", checks.unhealthy, 2, 10)?;
    if timeout >= checks.interval {
        let text = "Health check timeout must be smaller than the interval";
        return Err(Refused::Invalid(text.to_owned()));
    }
    Ok(())
}
