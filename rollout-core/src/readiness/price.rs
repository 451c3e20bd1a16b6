//! What an environment costs a month, as an estimate: from a table of prices that has a date and a source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::Scene;
use super::fact::task::TaskDefinition;
use super::known::Unseen;
use crate::id::ServiceName;

/// Hours of a month (AWS Pricing Calculator User Guide, "Pricing assumptions").
const HOURS: u64 = 730;
/// The region of prices that hold in all of them.
const ANYWHERE: &str = "*";

/// Prices by region and name, in millionths of a US dollar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// When they were read.
    pub dated: String,
    /// Where they come from.
    pub source: String,
    /// What the numbers are, for people.
    #[serde(default)]
    pub unit: String,
    /// By region, `*` for those that are the same in all, and name.
    pub regions: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Prices {
    /// The table that comes with this crate. It does not know every region and every size: lay your own over it.
    #[must_use]
    pub fn known() -> Self {
        // A test reads it; a table that cannot be read would know no price, and every estimate would say so.
        serde_json::from_str(include_str!("prices.json")).unwrap_or_default()
    }

    /// These, with others laid over them. Date and source are the others'.
    #[must_use]
    pub fn with(mut self, over: Self) -> Self {
        for (region, prices) in over.regions {
            self.regions.entry(region).or_default().extend(prices);
        }
        Self {
            dated: over.dated,
            source: over.source,
            ..self
        }
    }

    fn price(&self, region: &str, name: &str) -> Option<u64> {
        let of = |region: &str| {
            self.regions
                .get(region)
                .and_then(|prices| prices.get(name))
                .copied()
        };
        of(region).or_else(|| of(ANYWHERE))
    }
}

/// What something costs a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it belongs to, such as `tasks`.
    pub component: String,
    /// How it was counted, such as `3 × backend: 0.5 vCPU, 1 GiB`.
    pub counted: String,
    /// In US cents.
    pub cents: u64,
}

/// What an environment costs a month. Traffic, requests and log volume are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// What it is made of.
    pub items: Vec<Item>,
    /// What the table has no price for: it costs something, too.
    pub unpriced: Vec<String>,
    /// When the prices were read.
    pub dated: String,
    /// Where they come from.
    pub source: String,
}

impl Estimate {
    /// The sum in US cents, of what has a price.
    #[must_use]
    pub fn cents(&self) -> u64 {
        self.items
            .iter()
            .fold(0, |sum, item| sum.saturating_add(item.cents))
    }

    /// The sum of each component in US cents, dearest first.
    #[must_use]
    pub fn by_component(&self) -> Vec<(&str, u64)> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for item in &self.items {
            let sum = sums.entry(&item.component).or_default();
            *sum = sum.saturating_add(item.cents);
        }
        let mut all: Vec<_> = sums.into_iter().collect();
        all.sort_by_key(|(_, cents)| core::cmp::Reverse(*cents));
        all
    }
}

/// What is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The environment as it is.
    Present,
    /// As it is once the release is in it.
    Released,
    /// As the profile `starter` would have it: one task of each service, one NAT gateway, a database in one zone, no web ACL.
    Starter,
}

/// What an environment costs a month.
///
/// # Errors
/// [`Unseen`] when something that costs is not known.
pub fn estimate(scene: &Scene<'_>, shape: Shape) -> Result<Estimate, Unseen> {
    let mut bill = Bill {
        prices: &scene.intent.cost.prices,
        region: &scene.intent.expects.region,
        out: Estimate {
            dated: scene.intent.cost.prices.dated.clone(),
            source: scene.intent.cost.prices.source.clone(),
            ..Estimate::default()
        },
    };
    for service in &scene.intent.services {
        bill.tasks(scene, &service.name, shape)?;
    }
    bill.network(scene, shape)?;
    bill.edge(scene, shape)?;
    bill.data(scene, shape)?;
    bill.watch(scene)?;
    Ok(bill.out)
}

struct Bill<'a> {
    prices: &'a Prices,
    region: &'a str,
    out: Estimate,
}

impl Bill<'_> {
    /// Adds so many thousandths of a thing by its price an hour or a month.
    fn add(&mut self, component: &str, counted: String, name: &str, thousandths: u64) {
        let Some(price) = self.prices.price(self.region, name) else {
            let text = format!("{name} in {}", self.region);
            if !self.out.unpriced.contains(&text) {
                self.out.unpriced.push(text);
            }
            return;
        };
        let hours = if name.ends_with("_hour") { HOURS } else { 1 };
        // Millionths of a dollar times thousandths: ten million of them are a cent.
        let parts = price.saturating_mul(thousandths).saturating_mul(hours);
        self.out.items.push(Item {
            component: component.to_owned(),
            counted,
            cents: parts
                .saturating_add(5_000_000)
                .checked_div(10_000_000)
                .unwrap_or_default(),
        });
    }

    fn whole(&mut self, component: &str, counted: String, name: &str, count: u64) {
        if count > 0 {
            self.add(component, counted, name, count.saturating_mul(1_000));
        }
    }

    fn tasks(&mut self, scene: &Scene<'_>, name: &ServiceName, shape: Shape) -> Result<(), Unseen> {
        let service = scene.facts.services.get(name.as_str())?;
        let present = || scene.facts.task_definitions.get(&service.task_definition);
        let release = scene.intent.release.as_ref().filter(|_| shape == Shape::Released);
        let definition: &TaskDefinition = match release.and_then(|release| release.task_definitions.get(name))
        {
            Some(definition) => definition,
            None => present()?,
        };
        let tasks = if shape == Shape::Starter {
            1
        } else {
            service.desired
        };
        let (cpu, memory) = (
            definition.cpu.unwrap_or_default(),
            definition.memory_mib.unwrap_or_default(),
        );
        let kind = definition
            .architecture
            .as_deref()
            .unwrap_or("X86_64")
            .to_ascii_lowercase();
        let each = |units: u32| {
            let all = u64::from(units)
                .saturating_mul(u64::from(tasks))
                .saturating_mul(1_000);
            all.checked_div(1_024).unwrap_or_default()
        };
        let counted = |what: &str| format!("{tasks} × {name}: {what}");
        self.add(
            "tasks",
            counted(&format!("{cpu} CPU units")),
            &format!("fargate_{kind}_vcpu_hour"),
            each(cpu),
        );
        self.add(
            "tasks",
            counted(&format!("{memory} MiB")),
            &format!("fargate_{kind}_gib_hour"),
            each(memory),
        );
        Ok(())
    }

    fn network(&mut self, scene: &Scene<'_>, shape: Shape) -> Result<(), Unseen> {
        for (name, vpc) in scene.facts.vpcs.iter() {
            let vpc = vpc.get().map_err(|unseen| super::scene::about(unseen, name))?;
            let nats = count(vpc.nats.get()?.iter().filter(|nat| nat.available));
            let nats = if shape == Shape::Starter {
                nats.min(1)
            } else {
                nats
            };
            self.whole("network", format!("{nats} NAT gateways"), "nat_hour", nats);
            self.whole(
                "network",
                format!("{nats} public addresses of NAT gateways"),
                "public_ipv4_hour",
                nats,
            );
            let interfaces = vpc.endpoints.get()?.iter().filter(|endpoint| !endpoint.gateway);
            let cards = interfaces.fold(0, |sum: u64, endpoint| {
                sum.saturating_add(count(endpoint.subnets.iter()))
            });
            let counted = format!("{cards} interfaces of endpoints, one a subnet");
            self.whole("network", counted, "interface_endpoint_hour", cards);
        }
        Ok(())
    }

    fn edge(&mut self, scene: &Scene<'_>, shape: Shape) -> Result<(), Unseen> {
        let balancers = scene.all_balancers()?;
        let number = count(balancers.iter());
        self.whole(
            "edge",
            format!("{number} load balancers"),
            "balancer_hour",
            number,
        );
        for arn in &balancers {
            let balancer = scene.balancer(arn)?;
            if balancer.internet_facing {
                let zones = count(balancer.zones.iter());
                self.whole(
                    "edge",
                    format!("{zones} public addresses of {}", balancer.name),
                    "public_ipv4_hour",
                    zones,
                );
            }
            let acl = balancer.web_acl.find()?.filter(|_| shape != Shape::Starter);
            if let Some(name) = acl {
                let rules = count(scene.facts.web_acls.get(name)?.rules.iter());
                self.whole("edge", format!("web ACL {name}"), "web_acl_month", 1);
                self.whole(
                    "edge",
                    format!("{rules} rules of web ACL {name}"),
                    "web_acl_rule_month",
                    rules,
                );
            }
        }
        let zones = count(scene.facts.zones.names());
        self.whole("edge", format!("{zones} hosted zones"), "zone_month", zones);
        Ok(())
    }

    fn data(&mut self, scene: &Scene<'_>, shape: Shape) -> Result<(), Unseen> {
        for name in &scene.intent.data.databases {
            let database = scene.facts.databases.get(name)?;
            // A standby costs what the instance costs (Amazon RDS User Guide, "Multi-AZ DB instance deployments").
            let copies = if database.multi_az && shape != Shape::Starter {
                2
            } else {
                1
            };
            let (engine, class) = (&database.engine, &database.class);
            self.whole(
                "data",
                format!("{copies} × {name}: {class}"),
                &format!("{engine}_{class}_hour"),
                copies,
            );
            let storage = u64::from(database.storage_gib).saturating_mul(copies);
            self.whole(
                "data",
                format!("{storage} GiB of {name}"),
                &format!("{engine}_gib_month"),
                storage,
            );
        }
        for name in &scene.intent.data.caches {
            let cache = scene.facts.caches.get(name)?;
            let nodes = if shape == Shape::Starter {
                1
            } else {
                u64::from(cache.nodes)
            };
            let counted = format!("{nodes} × {name}: {}", cache.node_type);
            self.whole("data", counted, &format!("{}_hour", cache.node_type), nodes);
        }
        let secrets = count(scene.facts.secrets.names());
        self.whole("data", format!("{secrets} secrets"), "secret_month", secrets);
        Ok(())
    }

    fn watch(&mut self, scene: &Scene<'_>) -> Result<(), Unseen> {
        let alarms = count(scene.facts.alarms.get()?.keys());
        self.whole("watch", format!("{alarms} alarms"), "alarm_month", alarms);
        let dashboards = count(scene.facts.dashboards.names());
        self.whole(
            "watch",
            format!("{dashboards} dashboards"),
            "dashboard_month",
            dashboards,
        );
        Ok(())
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

/// Cents as dollars, such as `$12.34`.
#[must_use]
pub fn dollars(cents: u64) -> String {
    let (whole, rest) = (cents.checked_div(100), cents.checked_rem(100));
    format!("${}.{:02}", whole.unwrap_or_default(), rest.unwrap_or_default())
}
