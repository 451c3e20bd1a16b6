//! Describes a hosted zone.

use rollout_core::dns::{Record, RecordData, RecordKey, RecordType};
use rollout_core::id::{DomainName, ZoneId};

use super::BuildError;
use super::balancer::{BALANCER_ZONE, balancer_name};
use crate::dns::resolver::Traffic;
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
    records: Vec<(String, RecordType, Points)>,
    clients: Vec<(String, RecordType, u64)>,
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
    pub fn alias(mut self, name: &str, environment: &str, balancer: &str) -> Self {
        let points = Points::Balancer {
            environment: environment.to_owned(),
            balancer: balancer.to_owned(),
        };
        self.records.push((name.to_owned(), RecordType::A, points));
        self
    }

    /// Adds a record with values.
    #[must_use]
    pub fn values(mut self, name: &str, record_type: RecordType, ttl: u32, values: &[&str]) -> Self {
        let data = RecordData::Values {
            ttl,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        self.records
            .push((name.to_owned(), record_type, Points::Data(data)));
        self
    }

    /// Lets clients behind a population of caching resolvers send so many requests a minute by a record.
    #[must_use]
    pub fn clients(mut self, name: &str, record_type: RecordType, requests_per_minute: u64) -> Self {
        self.clients
            .push((name.to_owned(), record_type, requests_per_minute));
        self
    }

    pub(super) fn build(self, world: &mut World) -> Result<Zone, BuildError> {
        let mut zone = Zone::new(ZoneId::new(self.id)?, DomainName::new(self.name)?, self.spread);
        for (name, record_type, points) in self.records {
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
            zone.put(Record {
                key: key(&name, record_type)?,
                weight: None,
                data,
            });
        }
        for (name, record_type, requests) in self.clients {
            let key = key(&name, record_type)?;
            let record = zone.record(&key).cloned();
            let record = record.ok_or_else(|| BuildError::missing("record", name))?;
            let traffic = Traffic::new(&mut world.kernel, key, requests, RESOLVERS, Some(&record));
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
