//! Subnets, VPCs and security groups: of services, load balancers, databases and caches.

use std::collections::BTreeSet;

use rollout_core::readiness::known::Known;

use super::ask::Asking;

impl Asking<'_> {
    pub(super) fn network(&mut self) {
        let (mut subnets, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for (_, service) in self.facts.services.iter() {
            if let Known::Seen(service) = service {
                subnets.extend(service.subnets.iter().cloned());
                groups.extend(service.security_groups.iter().cloned());
            }
        }
        for (_, balancer) in self.facts.balancers.iter() {
            if let Known::Seen(balancer) = balancer {
                groups.extend(balancer.security_groups.iter().cloned());
            }
        }
        for (_, database) in self.facts.databases.iter() {
            if let Known::Seen(database) = database {
                groups.extend(database.security_groups.iter().cloned());
            }
        }
        for (_, cache) in self.facts.caches.iter() {
            if let Known::Seen(cache) = cache {
                groups.extend(cache.security_groups.get().into_iter().flatten().cloned());
            }
        }
        let mut vpcs = BTreeSet::new();
        for id in subnets {
            let beside = self.beside(&id, |around| &around.subnets);
            let mut subnet = self.told("ec2:DescribeSubnets", &id, || beside);
            if let Known::Seen(subnet) = &mut subnet {
                self.part("ec2:DescribeRouteTables", &id, &mut subnet.routes);
                vpcs.insert(subnet.vpc.clone());
            }
            self.facts.subnets.put(id, subnet);
        }
        for id in vpcs {
            let beside = self.beside(&id, |around| &around.vpcs);
            let mut vpc = self.told("ec2:DescribeVpcs", &id, || beside);
            if let Known::Seen(vpc) = &mut vpc {
                self.part("ec2:DescribeVpcEndpoints", &id, &mut vpc.endpoints);
                self.part("ec2:DescribeNatGateways", &id, &mut vpc.nats);
            }
            self.facts.vpcs.put(id, vpc);
        }
        for id in groups {
            let beside = self.beside(&id, |around| &around.security_groups);
            let group = self.told("ec2:DescribeSecurityGroups", &id, || beside);
            self.facts.security_groups.put(id, group);
        }
    }
}
