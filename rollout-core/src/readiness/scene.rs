//! Ways through the facts that several checks go.

use std::collections::BTreeSet;

use super::check::Scene;
use super::fact::edge::{Balancer, Listener, TargetGroup};
use super::fact::task::{Container, Service, TaskDefinition};
use super::intent::{HostIntent, ServiceIntent};
use super::known::Unseen;

impl<'a> Scene<'a> {
    /// The names of all services.
    pub(super) fn services(&self) -> Vec<String> {
        self.intent
            .services
            .iter()
            .map(|service| service.name.to_string())
            .collect()
    }

    /// The names of the services behind a load balancer: those that are meant to have a port.
    pub(super) fn balanced(&self) -> Vec<String> {
        let with_port = self
            .intent
            .services
            .iter()
            .filter(|service| service.port.is_some());
        with_port.map(|service| service.name.to_string()).collect()
    }

    /// What a service is meant to be.
    ///
    /// # Errors
    /// [`Unseen`] when it is not named.
    pub(super) fn meant(&self, service: &str) -> Result<&'a ServiceIntent, Unseen> {
        self.intent
            .service(service)
            .ok_or_else(|| Unseen::not_asked(service))
    }

    /// What a service is.
    pub(super) fn service(&self, name: &str) -> Result<&'a Service, Unseen> {
        self.facts.services.get(name)
    }

    /// The task definition that a service will run: the release's, where that is known; otherwise the one that it runs now.
    pub(super) fn task_definition(&self, service: &str) -> Result<&'a TaskDefinition, Unseen> {
        let released = self.intent.release.as_ref().and_then(|release| {
            let named = release
                .task_definitions
                .iter()
                .find(|(name, _)| name.as_str() == service);
            named.map(|(_, definition)| definition)
        });
        match released {
            Some(definition) => Ok(definition),
            None => self
                .facts
                .task_definitions
                .get(&self.service(service)?.task_definition),
        }
    }

    /// The container of a service that takes requests; of one that takes none, the first essential one.
    pub(super) fn main_container(&self, service: &str) -> Result<&'a Container, Unseen> {
        let definition = self.task_definition(service)?;
        let port = self.meant(service)?.port;
        let takes = |container: &&Container| port.is_some_and(|port| container.ports.contains(&port));
        let essential = |container: &&Container| container.essential;
        let containers = &definition.containers;
        containers
            .iter()
            .find(takes)
            .or_else(|| containers.iter().find(essential))
            .ok_or_else(|| Unseen::not_asked(service))
    }

    /// The security groups of all tasks.
    pub(super) fn task_groups(&self) -> Result<BTreeSet<String>, Unseen> {
        let mut all = BTreeSet::new();
        for name in self.services() {
            all.extend(self.service(&name)?.security_groups.iter().cloned());
        }
        Ok(all)
    }

    /// The target groups of a service, with their ARNs.
    pub(super) fn target_groups(&self, service: &str) -> Result<Vec<(&'a str, &'a TargetGroup)>, Unseen> {
        let attachments = self.service(service)?.attachments.iter();
        attachments
            .map(|attachment| {
                let arn = attachment.target_group.as_str();
                self.facts.target_groups.get(arn).map(|group| (arn, group))
            })
            .collect()
    }

    /// The ARNs of all target groups that services are behind.
    pub(super) fn all_target_groups(&self) -> Result<Vec<String>, Unseen> {
        let mut all = BTreeSet::new();
        for service in self.balanced() {
            all.extend(
                self.target_groups(&service)?
                    .into_iter()
                    .map(|(arn, _)| arn.to_owned()),
            );
        }
        Ok(all.into_iter().collect())
    }

    /// The ARNs of all load balancers that services are behind.
    pub(super) fn all_balancers(&self) -> Result<Vec<String>, Unseen> {
        let mut all = BTreeSet::new();
        for arn in self.all_target_groups()? {
            all.extend(self.facts.target_groups.get(&arn)?.balancers.iter().cloned());
        }
        Ok(all.into_iter().collect())
    }

    /// A load balancer.
    pub(super) fn balancer(&self, arn: &str) -> Result<&'a Balancer, Unseen> {
        self.facts.balancers.get(arn)
    }

    /// The listener of a load balancer at a port, if it has one.
    pub(super) fn listener(&self, arn: &str, port: u16) -> Result<Option<&'a Listener>, Unseen> {
        let listeners = self
            .balancer(arn)?
            .listeners
            .get()
            .map_err(|unseen| about(unseen, arn))?;
        Ok(listeners.iter().find(|listener| listener.port == port))
    }

    /// The load balancers that services are behind, with their ARNs.
    pub(super) fn balancers(&self) -> Result<Vec<(String, &'a Balancer)>, Unseen> {
        let arns = self.all_balancers()?.into_iter();
        arns.map(|arn| self.balancer(&arn).map(|balancer| (arn, balancer)))
            .collect()
    }

    /// The host names that a load balancer of the services serves, by the plan.
    pub(super) fn served_by_balancers(&self) -> Result<Vec<&'a HostIntent>, Unseen> {
        let balancers = self.balancers()?;
        let serves = |host: &&HostIntent| match &host.target {
            None => true,
            Some(target) => balancers.iter().any(|(_, one)| same_name(target, &one.dns_name)),
        };
        Ok(self.intent.hosts.iter().filter(serves).collect())
    }

    /// The names of all host names.
    pub(super) fn hosts(&self) -> Vec<String> {
        self.intent.hosts.iter().map(|host| host.name.clone()).collect()
    }
}

/// Whether two names are one to DNS: case does not count, nor does the dot at the end, nor the `dualstack.` that the console puts
/// before the name of a load balancer.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        let name = name.trim_end_matches('.').to_lowercase();
        name.strip_prefix("dualstack.")
            .map(ToOwned::to_owned)
            .unwrap_or(name)
    };
    plain(one) == plain(other)
}

/// Whether a name is one of some names. A wildcard stands for exactly one label, and not for the name beneath it (AWS Certificate
/// Manager User Guide, "AWS Certificate Manager public certificate characteristics and limitations").
pub(super) fn has_name(names: &[String], name: &str) -> bool {
    let above = name.split_once('.').map(|(_, above)| above);
    let one_label = |pattern: &str| {
        above.is_some_and(|above| {
            pattern
                .strip_prefix("*.")
                .is_some_and(|rest| same_name(rest, above))
        })
    };
    names
        .iter()
        .any(|pattern| same_name(pattern, name) || one_label(pattern))
}

/// The same, about a resource, where it does not say what it is about.
pub(super) fn about(unseen: Unseen, subject: &str) -> Unseen {
    Unseen {
        subject: if unseen.subject.is_empty() {
            subject.to_owned()
        } else {
            unseen.subject
        },
        ..unseen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(names: &[&str], name: &str) -> bool {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        has_name(&names, name)
    }

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        let names = ["*.example.com", "Example.org"];
        for name in [
            "shop.example.com",
            "SHOP.Example.com.",
            "example.org",
            "*.example.com",
        ] {
            assert!(covered(&names, name), "{name}");
        }
        for name in [
            "example.com",
            "a.shop.example.com",
            "shop.example.org",
            "shopexample.com",
            "com",
            "",
        ] {
            assert!(!covered(&names, name), "{name}");
        }
    }

    #[test]
    fn names_are_compared_as_dns_does() {
        assert!(same_name(
            "dualstack.Storefront-1.elb.amazonaws.com.",
            "storefront-1.elb.amazonaws.com"
        ));
        assert!(!same_name(
            "storefront-2.elb.amazonaws.com",
            "storefront-1.elb.amazonaws.com"
        ));
    }
}
