//! Surroundings in which nothing is amiss, made for any intent.

mod data;
mod edge;
mod network;
mod task;
mod watch;

use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::intent::Intent;
use rollout_core::time::Timestamp;

use crate::builder::balancer::fingerprint;
use crate::ecs::Environment;
use crate::facts;
use crate::world::{Unknown, World};

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// An account around an environment in which everything is as the checks of the catalogue want it, as far as the world itself does
/// not say otherwise: private subnets in several zones with a NAT gateway each, roles that may do what they must and no more,
/// databases with a standby, alarms that reach somebody, services that answer. Nothing of it comes from chance: the same world and
/// intent give the same.
///
/// What the world knows itself it does not cover up: a service with one task is found to have one.
///
/// # Errors
/// [`Unknown`] when the environment does not exist.
pub fn well_built(world: &World, environment: &str, intent: &Intent) -> Result<Snapshot, Unknown> {
    let env = world.env(environment)?;
    let mut site = Site {
        world,
        env,
        intent,
        facts: Snapshot {
            at: world.now(),
            ..Snapshot::default()
        },
    };
    site.network();
    site.tasks();
    site.edge();
    site.watch();
    site.data();
    Ok(site.facts)
}

/// What is being built.
struct Site<'a> {
    world: &'a World,
    env: &'a Environment,
    intent: &'a Intent,
    facts: Snapshot,
}

impl<'a> Site<'a> {
    /// The services that the world has: name and index.
    fn services(&self) -> Vec<(&'a str, u16)> {
        let meant = self.intent.services.iter().map(|service| service.name.as_str());
        meant
            .filter_map(|name| Some((name, self.env.service_index(name)?)))
            .collect()
    }

    /// The load balancers that the services are behind: indices.
    fn balancers(&self) -> Vec<usize> {
        let groups: Vec<u16> = self
            .services()
            .into_iter()
            .flat_map(|(_, s)| {
                let service = &self.env.services[usize::from(s)];
                [service.group, service.alternate]
            })
            .flatten()
            .collect();
        let serves = |index: &usize| {
            self.env.balancers[*index]
                .groups()
                .any(|(g, _)| groups.contains(&g))
        };
        (0..self.env.balancers.len()).filter(serves).collect()
    }

    /// The zones that everything is in.
    fn zones(&self) -> Vec<String> {
        let wanted = self.intent.limits.zones.clamp(2, 6);
        let letters = ('a'..='f').take(usize::try_from(wanted).unwrap_or(2));
        letters
            .map(|letter| format!("{}{letter}", self.env.region))
            .collect()
    }

    /// What names of things begin with.
    fn prefix(&self) -> &'a str {
        self.intent
            .cluster
            .rsplit('/')
            .next()
            .unwrap_or(&self.intent.cluster)
    }

    /// An id such as `sg-0123456789abcdef0`, made from what it is for.
    fn id(&self, kind: &str, what: &str) -> String {
        let hex = fingerprint(&format!("{} {} {kind} {what}", self.env.account, self.env.name));
        format!("{kind}-0{hex:016x}")
    }

    /// The ARN of a role.
    fn role(&self, name: &str) -> String {
        format!("arn:aws:iam::{}:role/{}-{name}", self.env.account, self.prefix())
    }

    /// A UUID, made from what it is for.
    fn uuid(&self, what: &str) -> String {
        let of = |salt: &str| fingerprint(&format!("{} {} {what} {salt}", self.env.account, self.env.name));
        let (high, low) = (of("1"), of("2"));
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        let (d, e) = ((low >> 48) & 0xfff, low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-4{c:03x}-8{d:03x}-{e:012x}")
    }

    fn days_ago(&self, days: u64) -> Timestamp {
        Timestamp::from_millis(
            self.world
                .now()
                .as_millis()
                .saturating_sub(days.saturating_mul(DAY)),
        )
    }

    fn in_days(&self, days: u64) -> Timestamp {
        Timestamp::from_millis(
            self.world
                .now()
                .as_millis()
                .saturating_add(days.saturating_mul(DAY)),
        )
    }

    /// The ARN of a service's target group.
    fn target_group(&self, service: u16) -> Option<&'a str> {
        let group = self.env.services[usize::from(service)].group?;
        Some(&self.env.groups[usize::from(group)].arn)
    }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}
