//! Which deployment's tasks answer: the shares of production and test traffic that ECS asks its load balancer for.

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Environment;
use super::plan::ALL;
use super::task::{Phase, Task};
use crate::kernel::Kernel;
use crate::rng::Stream;

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

impl Environment {
    /// The target groups that a service's production (or test) traffic goes to, with their weights: one entry per group.
    pub(crate) fn weights(&self, s: u16, test: bool) -> Vec<(u16, u16)> {
        let service = &self.services[s as usize];
        let shares = if test {
            &service.traffic.test
        } else {
            &service.traffic.production
        };
        let mut weights: Vec<(u16, u16)> = Vec::new();
        for (number, share) in shares {
            let Some(group) = service.group_of_deployment(*number) else {
                continue;
            };
            match weights.iter_mut().find(|(g, _)| *g == group) {
                Some((_, weight)) => *weight += share,
                None => weights.push((group, *share)),
            }
        }
        weights
    }

    /// Where a request to one of a service's target groups goes: by the service's weights, where ECS moves its traffic.
    pub(crate) fn forward(&self, k: &mut Kernel, group: u16) -> u16 {
        let Some(s) = self.groups[group as usize].service else {
            return group;
        };
        let weights = self.weights(s, false);
        if weights.len() < 2 {
            return weights.first().map_or(group, |(g, _)| *g);
        }
        let total: u64 = weights.iter().map(|(_, w)| u64::from(*w)).sum();
        let mut drawn = k.dice.below(Stream::Health, total);
        for (group, weight) in weights {
            match drawn.checked_sub(u64::from(weight)) {
                Some(rest) => drawn = rest,
                None => return group,
            }
        }
        group
    }

    /// The tasks that requests to a service reach now when nothing stands between: healthy ones or, when there is none, all
    /// that run (Elastic Load Balancing user guide, "Health checks for Application Load Balancer target groups": it fails
    /// open).
    pub(crate) fn serving(&self, service: u16) -> Vec<&Task> {
        self.serving_where(service, |_| true)
    }

    /// The tasks that requests to a target group reach now.
    pub(crate) fn serving_in(&self, group: u16) -> Vec<&Task> {
        match self.groups[group as usize].service {
            Some(service) => self.serving_where(service, |t| t.group == Some(group)),
            None => Vec::new(),
        }
    }

    fn serving_where(&self, service: u16, which: impl Fn(&Task) -> bool) -> Vec<&Task> {
        let tasks = self.services[service as usize].tasks.iter();
        let running: Vec<&Task> = tasks
            .map(|id| &self.tasks[id])
            .filter(|t| t.phase == Phase::Running && t.why.is_none() && which(t))
            .collect();
        let healthy: Vec<&Task> = running.iter().copied().filter(|t| t.is_healthy()).collect();
        if healthy.is_empty() { running } else { healthy }
    }

    /// Errors in 10,000 answers of a service to its production traffic; `None` when nobody answers.
    pub(crate) fn error_rate(&self, service: u16) -> Option<u32> {
        let mean = |tasks: Vec<&Task>| {
            let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
            let errors: u32 = tasks.iter().map(|t| t.course.errors_per_10_000).sum();
            errors.checked_div(count)
        };
        let weights = self.weights(service, false);
        if weights.len() < 2 {
            return mean(match weights.first() {
                Some((group, _)) => self.serving_in(*group),
                None => self.serving(service),
            });
        }
        let (mut errors, mut answered) = (0_u32, 0_u32);
        for (group, weight) in weights {
            if let Some(rate) = mean(self.serving_in(group)) {
                errors += rate * u32::from(weight);
                answered += u32::from(weight);
            }
        }
        errors.checked_div(answered)
    }

    /// Moves a service's production traffic: `to` gets this share, the rest stays with `from`.
    pub(crate) fn shift_production(
        &mut self,
        now: Timestamp,
        s: u16,
        from: Option<u32>,
        to: u32,
        share: u16,
    ) {
        let service = &mut self.services[s as usize];
        service.traffic.shift_production(from, to, share);
        if let Some(record) = service.records.iter_mut().rev().find(|r| !r.is_over()) {
            record.updated_at = now;
        }
    }
}
