//! Describes a hosted zone.

use rollout_core::dns::{Record, RecordData, RecordKey, RecordType};
use rollout_core::id::{DomainName, ZoneId};

use super::BuildError;
use super::balancer::{BALANCER_ZONE, balancer_name};
use crate::dns::resolver::Traffic;
use crate::dns::set::{Failover, RecordSet};
use crate::dns::{Spread, Zone};
use crate::world::World;

/// How many resolvers stand for all of them.
const RESOLVERS: usize = 250;

/// Describes a zone of a [`WorldBuilder`](crate::WorldBuilder).
#[derive(Clone, Debug)]
pub struct ZoneBuilder {
    id: String,
    name: String,
    spread: Spread,
    records: Vec<(String, RecordType, Route, Points)>,
    clients: Vec<(String, RecordType, u64)>,
}

/// How one of several records of a name and type is chosen.
#[derive(Clone, Debug)]
enum Route {
    Simple,
    Weighted(String, u64),
    Failover(String, Failover),
}

#[derive(Clone, Debug)]
enum Points {
    Balancer { environment: String, balancer: String },
    Data(RecordData),
}

impl ZoneBuilder {
    pub(super) fn new(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            spread: Spread::default(),
            records: Vec::new(),
            clients: Vec::new(),
        }
    }

    /// How long its changes take.
    #[must_use]
    pub const fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }

    /// Adds an alias record (type A) that points at a load balancer.
    #[must_use]
    pub fn alias(self, name: &str, environment: &str, balancer: &str) -> Self {
        self.alias_by(name, Route::Simple, environment, balancer)
    }

    /// Adds a weighted alias record (type A), told from others of its name by its set identifier.
    #[must_use]
    pub fn weighted_alias(
        self,
        name: &str,
        set: &str,
        weight: u64,
        environment: &str,
        balancer: &str,
    ) -> Self {
        self.alias_by(
            name,
            Route::Weighted(set.to_owned(), weight),
            environment,
            balancer,
        )
    }

    /// Adds a pair of failover alias records (type A): requests go to the second load balancer while the first has a target
    /// group without a healthy target. Their set identifiers are `primary` and `secondary`.
    #[must_use]
    pub fn failover_alias(self, name: &str, primary: (&str, &str), secondary: (&str, &str)) -> Self {
        let route = |set: &str, role| Route::Failover(set.to_owned(), role);
        self.alias_by(name, route("primary", Failover::Primary), primary.0, primary.1)
            .alias_by(
                name,
                route("secondary", Failover::Secondary),
                secondary.0,
                secondary.1,
            )
    }

    fn alias_by(mut self, name: &str, route: Route, environment: &str, balancer: &str) -> Self {
        let points = Points::Balancer {
            environment: environment.to_owned(),
            balancer: balancer.to_owned(),
        };
        self.records.push((name.to_owned(), RecordType::A, route, points));
        self
    }

    /// Adds a record with values.
    #[must_use]
    pub fn values(self, name: &str, record_type: RecordType, ttl: u32, values: &[&str]) -> Self {
        self.values_by(name, record_type, Route::Simple, ttl, values)
    }

    /// Adds a weighted record with values, told from others of its name and type by its set identifier.
    #[must_use]
    pub fn weighted_values(
        self,
        name: &str,
        record_type: RecordType,
        (set, weight): (&str, u64),
        ttl: u32,
        values: &[&str],
    ) -> Self {
        let route = Route::Weighted(set.to_owned(), weight);
        self.values_by(name, record_type, route, ttl, values)
    }

    fn values_by(mut self, name: &str, kind: RecordType, route: Route, ttl: u32, values: &[&str]) -> Self {
        let data = RecordData::Values {
            ttl,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        self.records
            .push((name.to_owned(), kind, route, Points::Data(data)));
        self
    }

    /// Lets clients behind a population of caching resolvers send so many requests a minute by the records of a name and
    /// type.
    #[must_use]
    pub fn clients(mut self, name: &str, record_type: RecordType, requests_per_minute: u64) -> Self {
        self.clients
            .push((name.to_owned(), record_type, requests_per_minute));
        self
    }

    pub(super) fn build(self, world: &mut World) -> Result<Zone, BuildError> {
        let mut zone = Zone::new(ZoneId::new(self.id)?, DomainName::new(self.name)?, self.spread);
        for (name, record_type, route, points) in self.records {
            let data = match points {
                Points::Data(data) => data,
                Points::Balancer {
                    environment,
                    balancer,
                } => {
                    let env = world.env(&environment);
                    let env = env.map_err(|_| BuildError::missing("environment", environment.as_str()))?;
                    let target = balancer_name(&balancer, &environment, &env.region);
                    if world.balancer(&target).is_none() {
                        return Err(BuildError::missing("load balancer", balancer));
                    }
                    RecordData::Alias {
                        target: DomainName::new(target)?,
                        zone: ZoneId::new(BALANCER_ZONE)?,
                        evaluate_target_health: true,
                    }
                }
            };
            let (set_identifier, weight, failover) = match route {
                Route::Simple => (None, None, None),
                Route::Weighted(set, weight) => (Some(set), Some(weight), None),
                Route::Failover(set, role) => (Some(set), None, Some(role)),
            };
            let key = RecordKey {
                set_identifier,
                ..key(&name, record_type)?
            };
            zone.put(RecordSet {
                record: Record { key, weight, data },
                failover,
                health_check: None,
            });
        }
        for (name, record_type, requests) in self.clients {
            let key = key(&name, record_type)?;
            let sets = zone.sets_of(&key);
            if sets.is_empty() {
                return Err(BuildError::missing("record", name));
            }
            let traffic = Traffic::new(&mut world.kernel, key, requests, RESOLVERS, &sets);
            zone.traffic.push(traffic);
        }
        Ok(zone)
    }
}

fn key(name: &str, record_type: RecordType) -> Result<RecordKey, BuildError> {
    Ok(RecordKey {
        name: DomainName::new(name)?,
        record_type,
        set_identifier: None,
    })
}
