//! Which deployment's tasks answer: the shares of production and test traffic that ECS asks its load balancer for.

use serde::{Deserialize, Serialize};

use super::Environment;
use super::plan::ALL;
use super::task::Task;
use crate::elb::{Refused, Weighted};

/// Shares in thousandths by deployment. Empty where ECS moves no traffic; else each list adds up to [`ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) production: Vec<(u32, u16)>,
    pub(crate) test: Vec<(u32, u16)>,
}

fn split(from: Option<u32>, to: u32, share: u16) -> Vec<(u32, u16)> {
    let share = share.min(ALL);
    match from {
        Some(from) if from != to && share < ALL => vec![(from, ALL - share), (to, share)],
        _ => vec![(to, ALL)],
    }
}

impl Traffic {
    pub(crate) fn is_empty(&self) -> bool {
        self.production.is_empty()
    }

    fn of(list: &[(u32, u16)], number: u32) -> Option<u16> {
        list.iter().find(|(n, _)| *n == number).map(|(_, share)| *share)
    }

    pub(crate) fn production_of(&self, number: u32) -> Option<u16> {
        Self::of(&self.production, number)
    }

    pub(crate) fn test_of(&self, number: u32) -> Option<u16> {
        Self::of(&self.test, number)
    }

    /// The deployment with the largest share of production.
    pub(crate) fn carrier(&self) -> Option<u32> {
        self.production
            .iter()
            .max_by_key(|(_, share)| *share)
            .map(|(n, _)| *n)
    }

    /// Gives `to` this share of production, the rest stays with `from`.
    pub(crate) fn shift_production(&mut self, from: Option<u32>, to: u32, share: u16) {
        self.production = split(from, to, share);
    }

    /// Sends all test traffic to `to`.
    pub(crate) fn shift_test(&mut self, to: u32) {
        self.test = split(None, to, ALL);
    }
}

/// Weights of a rule's target groups for shares: those of a rule go up to 999, so all of it is 100 to 0.
fn weights(shares: &[(u16, u16)], groups: &[u16]) -> Vec<Weighted> {
    let whole = shares.iter().any(|(_, share)| *share >= ALL);
    let share = |group: &u16| {
        shares
            .iter()
            .filter(|(g, _)| g == group)
            .map(|(_, share)| *share)
            .sum::<u16>()
    };
    let weight = |share: u16| if whole { share / 10 } else { share };
    groups
        .iter()
        .map(|group| (*group, u32::from(weight(share(group)))))
        .collect()
}

impl Environment {
    /// The target groups of a service's production (or test) traffic, with their shares: one entry per group.
    fn shares(&self, s: u16, test: bool) -> Vec<(u16, u16)> {
        let service = &self.services[s as usize];
        let list = if test {
            &service.traffic.test
        } else {
            &service.traffic.production
        };
        let mut shares: Vec<(u16, u16)> = Vec::new();
        for (number, share) in list {
            let Some(group) = service.group_of_deployment(*number) else {
                continue;
            };
            match shares.iter_mut().find(|(g, _)| *g == group) {
                Some((_, held)) => *held += share,
                None => shares.push((group, *share)),
            }
        }
        shares
    }

    /// Errors in 10,000 answers of a service to its production traffic; `None` when nobody answers.
    pub(crate) fn error_rate(&self, service: u16) -> Option<u32> {
        let mean = |tasks: &[&Task]| {
            let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
            let errors: u32 = tasks.iter().map(|t| t.course.errors_per_10_000).sum();
            errors.checked_div(count)
        };
        let held = &self.services[service as usize];
        let rule = held.production_rules.first().and_then(|arn| self.rule(arn));
        let groups = rule.map_or(&[][..], |rule| rule.action.groups());
        if groups.is_empty() || held.alternate.is_none() {
            return mean(&self.serving(service));
        }
        let (mut errors, mut answered) = (0_u32, 0_u32);
        for (group, weight) in groups {
            if let Some(rate) = mean(&self.serving_tasks(*group)) {
                errors += rate * weight;
                answered += weight;
            }
        }
        errors.checked_div(answered)
    }

    /// Moves a service's production traffic: `to` gets this share, the rest stays with `from`.
    pub(crate) fn shift_production(
        &mut self,
        s: u16,
        from: Option<u32>,
        to: u32,
        share: u16,
    ) -> Result<(), Refused> {
        self.services[s as usize]
            .traffic
            .shift_production(from, to, share);
        self.steer(s, false)
    }

    /// Moves a service's test traffic, all of it.
    pub(crate) fn shift_test(&mut self, s: u16, to: u32) -> Result<(), Refused> {
        self.services[s as usize].traffic.shift_test(to);
        self.steer(s, true)
    }

    /// Gives the rules of a service the weights that follow from its shares.
    fn steer(&mut self, s: u16, test: bool) -> Result<(), Refused> {
        let service = &self.services[s as usize];
        let groups: Vec<u16> = service.group.into_iter().chain(service.alternate).collect();
        let rules = if test {
            service.test_rules.clone()
        } else {
            service.production_rules.clone()
        };
        let weights = weights(&self.shares(s, test), &groups);
        for rule in rules {
            self.set_weights(&rule, &weights)?;
        }
        Ok(())
    }

    /// Why the rules of a service cannot move its traffic, if so: both target groups must be named by them (Amazon ECS
    /// developer guide, "Troubleshooting Amazon ECS blue/green deployments").
    pub(crate) fn wrong_rules(&self, s: u16) -> Option<String> {
        let service = &self.services[s as usize];
        let (Some(group), Some(alternate)) = (service.group, service.alternate) else {
            return None;
        };
        if service.production_rules.is_empty() {
            return None;
        }
        let mut named = Vec::new();
        for rule in service.production_rules.iter().chain(&service.test_rules) {
            match self.rule(rule) {
                Some(rule) => named.extend(rule.action.groups().iter().map(|(g, _)| *g)),
                None => return Some(Refused::NoRule.to_string()),
            }
        }
        let both = named.contains(&group) && named.contains(&alternate);
        (!both).then(|| {
            "Both targetGroup and alternateTargetGroup must be associated with the productionListenerRule or \
             testListenerRule."
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_stay_below_a_thousand_and_keep_their_proportion() {
        assert_eq!(weights(&[(4, 1_000)], &[4, 7]), [(4, 100), (7, 0)]);
        assert_eq!(weights(&[(7, 1_000)], &[4, 7]), [(4, 0), (7, 100)]);
        assert_eq!(weights(&[(4, 999), (7, 1)], &[4, 7]), [(4, 999), (7, 1)]);
        assert_eq!(weights(&[(4, 500), (7, 500)], &[4, 7]), [(4, 500), (7, 500)]);
    }

    #[test]
    fn shares_add_up_to_all() {
        let mut traffic = Traffic::default();
        traffic.shift_production(Some(1), 2, 50);
        assert_eq!(traffic.production, [(1, 950), (2, 50)]);
        assert_eq!(traffic.carrier(), Some(1));
        traffic.shift_production(Some(1), 2, 1_000);
        assert_eq!(traffic.production, [(2, 1_000)]);
        traffic.shift_production(None, 3, 10);
        assert_eq!(traffic.production, [(3, 1_000)], "nobody else has the rest");
    }
}
