//! Asking what the world will be told: each of the zone's name servers by itself.

use std::io;
use std::net::SocketAddr;

use futures_util::future::join_all;
use rollout_core::context::OpContext;
use rollout_core::dns::{AuthoritativeAnswer, Record, RecordData, RecordType};
use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::{DomainName, ZoneId};
use rollout_core::time::Timestamp;

use super::wire::{self, Code, Question, Reply, Value};
use super::{ASK, Authority, GET_ZONE, LIST, Route53Cutover, TEST};
use crate::error::from_sdk;

/// How often a weighted record is asked for before a server counts as not answering with it. A record of a tenth of
/// the weight is then missed by chance once in 20 times, and the machine asks again.
const WEIGHTED_TRIES: u32 = 28;

pub(super) const DNS_PORT: u16 = 53;

/// What an answer must be.
#[derive(Debug)]
enum Want {
    /// Exactly these values and this TTL.
    Exactly { ttl: u32, values: Vec<Value> },
    /// At least one of these: the addresses that the alias's target itself has. A load balancer with many addresses
    /// answers with some of them, so equality would be too much to ask.
    SomeOf(Vec<Value>),
    /// The same as this server says of another name: the alias's target is in the same zone.
    SameAs(Question),
    /// What it must be cannot be known.
    Unknown(String),
}

impl Route53Cutover {
    /// Every authoritative server's answer, in the way that was configured.
    pub(super) async fn ask(
        &self,
        ctx: &OpContext,
        zone: &ZoneId,
        expected: &Record,
    ) -> Result<Vec<AuthoritativeAnswer>, Error> {
        // A server never answers with a record of weight 0 while another has more.
        let unseen = expected.weight == Some(0);
        match &self.authority {
            _ if unseen => self.read_back(ctx, zone, expected).await,
            Authority::RecordsApi => self.read_back(ctx, zone, expected).await,
            Authority::TestDnsAnswer => self.test_dns_answer(ctx, zone, expected).await,
            Authority::NameServers => {
                let names = self.name_servers(ctx, zone).await?;
                let servers = join_all(names.iter().map(|name| self.locate(name))).await;
                self.ask_servers(zone, expected, servers, true).await
            }
            Authority::Servers(addresses) => {
                let servers = addresses
                    .iter()
                    .map(|&address| (address.to_string(), Ok(address)))
                    .collect();
                self.ask_servers(zone, expected, servers, false).await
            }
        }
    }

    async fn ask_servers(
        &self,
        zone: &ZoneId,
        expected: &Record,
        servers: Vec<(String, io::Result<SocketAddr>)>,
        must_be_authoritative: bool,
    ) -> Result<Vec<AuthoritativeAnswer>, Error> {
        let question = question(expected.key.name.as_str(), &expected.key.record_type)?;
        let want = &self.want(zone, expected).await?;
        let question = &question;
        let asked = servers.into_iter().map(|(server, address)| async move {
            let at = (self.now)();
            let (matches, detail) = match address {
                Ok(address) => ask_one(address, question, expected, want, must_be_authoritative).await,
                Err(error) => (None, format!("its address cannot be looked up: {error}")),
            };
            AuthoritativeAnswer {
                server,
                at,
                matches,
                detail,
            }
        });
        Ok(join_all(asked).await)
    }

    /// The zone's name servers. They do not change while the zone lives, so they are asked for once.
    async fn name_servers(&self, ctx: &OpContext, zone: &ZoneId) -> Result<Vec<String>, Error> {
        if let Some(known) = self.known_name_servers(zone) {
            return Ok(known);
        }
        self.toll.pay(ctx, GET_ZONE).await?;
        let answer = self
            .client
            .get_hosted_zone()
            .id(zone.as_str())
            .send()
            .await
            .map_err(|error| from_sdk(GET_ZONE, zone, false, error))?;
        let names = answer
            .delegation_set
            .map(|set| set.name_servers)
            .unwrap_or_default();
        if names.is_empty() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                GET_ZONE,
                format!(
                    "{zone} has no public name servers (a private zone?); name the servers to ask, or read records back"
                ),
            ));
        }
        self.remember_name_servers(zone, &names);
        Ok(names)
    }

    /// A name server's address, IPv4 before IPv6: not every build machine has IPv6.
    async fn locate(&self, name: &str) -> (String, io::Result<SocketAddr>) {
        let found = match self.resolver.resolve(name, DNS_PORT).await {
            Ok(found) => found
                .iter()
                .find(|address| address.is_ipv4())
                .or_else(|| found.first())
                .copied()
                .ok_or_else(|| io::Error::other("no address")),
            Err(error) => Err(error),
        };
        let label = match &found {
            Ok(address) => format!("{name} ({})", address.ip()),
            Err(_) => name.to_owned(),
        };
        (label, found)
    }

    async fn want(&self, zone: &ZoneId, expected: &Record) -> Result<Want, Error> {
        match &expected.data {
            RecordData::Values { ttl, values } => {
                let kind = question(expected.key.name.as_str(), &expected.key.record_type)?.kind;
                let mut values: Vec<Value> = values.iter().map(|v| Value::written(kind, v)).collect();
                values.sort();
                values.dedup();
                Ok(Want::Exactly { ttl: *ttl, values })
            }
            RecordData::Alias {
                target, zone: home, ..
            } if home == zone => Ok(Want::SameAs(question(
                target.as_str(),
                &expected.key.record_type,
            )?)),
            RecordData::Alias { target, .. } => {
                Ok(self.addresses_of(target, &expected.key.record_type).await)
            }
        }
    }

    async fn addresses_of(&self, target: &DomainName, kind: &RecordType) -> Want {
        let wanted = |address: &SocketAddr| match kind {
            RecordType::A => address.is_ipv4(),
            RecordType::Aaaa => address.is_ipv6(),
            RecordType::Cname | RecordType::Txt | RecordType::Other(_) => false,
        };
        // The port has no meaning here; a look-up has to be given one.
        match self.resolver.resolve(&target.normalised(), DNS_PORT).await {
            Ok(found) => {
                let values: Vec<Value> = found
                    .iter()
                    .filter(|a| wanted(a))
                    .map(|a| Value::Address(a.ip()))
                    .collect();
                if values.is_empty() {
                    Want::Unknown(format!(
                        "the alias's target {target} has no {kind} address itself"
                    ))
                } else {
                    Want::SomeOf(values)
                }
            }
            Err(error) => Want::Unknown(format!(
                "the alias's target {target} cannot be looked up: {error}"
            )),
        }
    }

    /// Route 53's own account of what its servers answer.
    async fn test_dns_answer(
        &self,
        ctx: &OpContext,
        zone: &ZoneId,
        expected: &Record,
    ) -> Result<Vec<AuthoritativeAnswer>, Error> {
        let want = match self.want(zone, expected).await? {
            Want::SameAs(target) => {
                let (_, theirs) = self
                    .test_one(ctx, zone, &target.name(), &expected.key.record_type)
                    .await?;
                Want::SomeOf(theirs.values)
            }
            want => want,
        };
        let at = (self.now)();
        let (server, reply) = self
            .test_one(ctx, zone, expected.key.name.as_str(), &expected.key.record_type)
            .await?;
        let (matches, detail) = judge(&want, &reply, false, is_weighted(expected));
        Ok(vec![AuthoritativeAnswer {
            server: format!("{server} ({TEST})"),
            at,
            matches,
            detail,
        }])
    }

    async fn test_one(
        &self,
        ctx: &OpContext,
        zone: &ZoneId,
        name: &str,
        record_type: &RecordType,
    ) -> Result<(String, Reply), Error> {
        let kind = question(name, record_type)?.kind;
        self.toll.pay(ctx, TEST).await?;
        let answer = self
            .client
            .test_dns_answer()
            .hosted_zone_id(zone.as_str())
            .record_name(name)
            .record_type(super::convert::rr_type(record_type))
            .send()
            .await
            .map_err(|error| from_sdk(TEST, format!("{name} {record_type}"), false, error))?;
        let mut values: Vec<Value> = answer
            .record_data
            .iter()
            .map(|text| Value::written(kind, text))
            .collect();
        values.sort();
        values.dedup();
        let code = match answer.response_code.as_str() {
            "NOERROR" => Code::NoError,
            "NXDOMAIN" => Code::NameDoesNotExist,
            other => Code::Other(other.to_owned()),
        };
        let reply = Reply {
            code,
            authoritative: None,
            ttl: None,
            values,
        };
        Ok((answer.nameserver, reply))
    }

    /// No server at all: the record as the API has it.
    async fn read_back(
        &self,
        ctx: &OpContext,
        zone: &ZoneId,
        expected: &Record,
    ) -> Result<Vec<AuthoritativeAnswer>, Error> {
        let at = (self.now)();
        let found = self.find(ctx, zone, &expected.key).await?;
        let matches = found
            .as_ref()
            .is_some_and(|found| super::same_record(found, expected));
        let detail = match &found {
            Some(found) => found.data.to_string(),
            None => "no such record".to_owned(),
        };
        Ok(vec![answer_read_back(at, matches, detail)])
    }
}

fn answer_read_back(at: Timestamp, matches: bool, detail: String) -> AuthoritativeAnswer {
    AuthoritativeAnswer {
        server: format!("{LIST} (read back; no name server was asked)"),
        at,
        matches: Some(matches),
        detail,
    }
}

fn question(name: &str, record_type: &RecordType) -> Result<Question, Error> {
    Question::new(name, &record_type.to_string()).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            ASK,
            format!("a name server cannot be asked for {name} {record_type}"),
        )
    })
}

/// Several records share the name: an answer with another one's values is not a wrong answer.
fn is_weighted(expected: &Record) -> bool {
    expected.key.set_identifier.is_some()
}

async fn ask_one(
    server: SocketAddr,
    question: &Question,
    expected: &Record,
    want: &Want,
    must_be_authoritative: bool,
) -> (Option<bool>, String) {
    let weighted = is_weighted(expected);
    let tries = if weighted { WEIGHTED_TRIES } else { 1 };
    let mut last = (None, String::new());
    for _ in 0..tries {
        let reply = match wire::ask(server, question).await {
            Ok(reply) => reply,
            Err(why) => return (None, why),
        };
        last = match want {
            Want::SameAs(other) => match wire::ask(server, other).await {
                Ok(theirs) => judge(
                    &Want::SomeOf(theirs.values),
                    &reply,
                    must_be_authoritative,
                    weighted,
                ),
                Err(why) => (None, format!("of the alias's target: {why}")),
            },
            want => judge(want, &reply, must_be_authoritative, weighted),
        };
        if last.0 == Some(true) {
            break;
        }
    }
    last
}

/// Compares a reply with what it must be.
fn judge(want: &Want, reply: &Reply, must_be_authoritative: bool, weighted: bool) -> (Option<bool>, String) {
    let says = describe(reply);
    match &reply.code {
        Code::Other(_) => return (None, says),
        Code::NoError | Code::NameDoesNotExist => {}
    }
    if must_be_authoritative && reply.authoritative == Some(false) {
        return (None, format!("{says}, not as an authority of the zone"));
    }
    if reply.values.is_empty() {
        return (Some(false), says);
    }
    let (same, why) = match want {
        Want::Exactly { ttl, values } => compare_values(*ttl, values, reply),
        Want::SomeOf(values) => {
            let same = reply.values.iter().any(|value| values.contains(value));
            (Some(same), (!same).then(|| format!("expected {}", list(values))))
        }
        // Replaced by the server's own answer before it comes here.
        Want::SameAs(_) => (None, None),
        Want::Unknown(why) => (None, Some(why.clone())),
    };
    let same = match same {
        Some(false) if weighted => None,
        other => other,
    };
    match why {
        Some(why) => (same, format!("{says}; {why}")),
        None => (same, says),
    }
}

fn compare_values(ttl: u32, values: &[Value], reply: &Reply) -> (Option<bool>, Option<String>) {
    if reply.values != values {
        let certain = reply.values.iter().chain(values).all(Value::is_exact);
        let verdict = certain.then_some(false);
        return (verdict, Some(format!("expected {}", list(values))));
    }
    // An authority answers with the whole TTL; a cache with what is left of it.
    let ttl_fits = match (reply.ttl, reply.authoritative) {
        (Some(theirs), Some(true)) => theirs == ttl,
        (Some(theirs), Some(false) | None) => theirs <= ttl,
        (None, _) => true,
    };
    let why = (!ttl_fits).then(|| format!("expected TTL {ttl} s"));
    (Some(ttl_fits), why)
}

fn describe(reply: &Reply) -> String {
    match &reply.code {
        Code::Other(code) => format!("no answer: {code}"),
        Code::NameDoesNotExist => "the name does not exist".to_owned(),
        Code::NoError if reply.values.is_empty() => "no record of this type".to_owned(),
        Code::NoError => match reply.ttl {
            Some(ttl) => format!("{} (TTL {ttl} s)", list(&reply.values)),
            None => list(&reply.values),
        },
    }
}

fn list(values: &[Value]) -> String {
    let values: Vec<String> = values.iter().map(Value::to_string).collect();
    values.join(", ")
}
