//! Records of Route 53, changed only by compare-and-set.
//!
//! A change is one batch of DELETE (the exact old record) and CREATE (the new one), with the marker in the same batch.
//! Route 53 applies a batch all or nothing and refuses a DELETE whose values are not the current ones (Amazon Route 53
//! API, "ChangeResourceRecordSets"), so the zone itself is the judge of who came first. UPSERT is never used.
//!
//! - **What cannot be carried exactly is refused**: a record with a routing policy other than simple and weighted, or with
//!   a health check, gives `Unsupported` that names it; its DELETE could not be exact.
//! - **A refused batch** is read again: when a record is not what the batch assumes the error is `Conflict`; when every
//!   record is, the batch itself is wrong and the error is `InvalidRequest`. Both carry Route 53's messages.
//! - **A busy zone** (`PriorRequestNotComplete`: one change at a time) is `Throttled`, `Applied::No`.
//! - **Lost answers** are `Applied::Maybe`: the SDK does not retry a change.
//!
//! # What the authoritative servers say
//! [`Authority`] says who is asked. Values are compared as DNS means them (case, trailing dot, order and spelling do not
//! count). The TTL is compared too: equal to an authority's, not above for a cache's.
//!
//! An alias has no values of its own. One whose target is in the same zone must answer as its target does on the same
//! server. One to a load balancer must answer with at least one of the addresses that the target's name has at that
//! moment, asked of the operating system's resolver: a load balancer answers with some of its addresses, so more cannot be
//! asked. When the target has no address the answer cannot be judged and `matches` is `None`.
//!
//! A weighted record shares its name with others, so an answer with other values says nothing; it is asked for several
//! times. With weight 0 it is never answered, and is read back through the API.
//!
//! # IAM actions
//! [`ACTIONS`]. `route53:GetHostedZone` only for [`Authority::NameServers`], `route53:TestDNSAnswer` only for
//! [`Authority::TestDnsAnswer`]. The keys `route53:ChangeResourceRecordSetsNormalizedRecordNames`, `…RecordTypes` and
//! `…Actions` can limit the change to the record, its marker (`_rollout.` before its name), CREATE and DELETE.

mod authority;
mod convert;
#[cfg(test)]
mod corpus;
#[cfg(feature = "readiness")]
mod delegation;
#[cfg(test)]
mod tests;
mod text;
mod wire;

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_route53::Client;
use aws_sdk_route53::error::SdkError;
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsError;
use aws_sdk_route53::types::{Change as SdkChange, ChangeAction, ChangeBatch as SdkBatch, ChangeStatus};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::dns::{
    AuthoritativeAnswer, Change, ChangeBatch, Marker, OldTraffic, Propagation, Record, RecordData, RecordKey,
    Snapshot, TargetCheck,
};
use rollout_core::error::{Error, ErrorKind, Retry};
use rollout_core::id::{ChangeId, ZoneId};
use rollout_core::port::DnsCutover;

#[cfg(feature = "readiness")]
pub use self::delegation::{Delegation, ParentServers};
pub(crate) use self::text::plain_name;
use crate::config;
use crate::edge::{RequestCount, TargetHealth};
use crate::error::from_sdk;
use crate::guard::Guard;
use crate::observer::{Meter, SharedObserver, Toll};
use crate::resolve::{Resolve, SystemResolver};
use crate::time::{self, Now};

const LIST: &str = "route53:ListResourceRecordSets";
const CHANGE: &str = "route53:ChangeResourceRecordSets";
const GET_CHANGE: &str = "route53:GetChange";
const GET_ZONE: &str = "route53:GetHostedZone";
const TEST: &str = "route53:TestDNSAnswer";
/// A question to a name server; no IAM action.
const ASK: &str = "dns:Query";

/// The IAM actions that this adapter needs.
pub const ACTIONS: &[&str] = &[LIST, CHANGE, GET_CHANGE, GET_ZONE, TEST];

/// Records of one name and type, a page.
const PAGE: i32 = 100;

/// The longest comment of a change batch (Amazon Route 53 API, "ChangeBatch").
const COMMENT_LIMIT: usize = 256;

/// Who says what the zone answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authority {
    /// Each of the zone's name servers, by UDP or TCP port 53. Public zones only.
    #[default]
    NameServers,
    /// Route 53's `TestDNSAnswer`, where port 53 is not open to the outside. It tells no TTL and asks one server of its
    /// choice. Public zones only.
    TestDnsAnswer,
    /// These servers: for a private zone the resolver of its VPC, or a test's own. They need not be authoritative.
    Servers(Vec<SocketAddr>),
    /// Nobody: the record is read back through the API. For emulators without name servers; the answer says so.
    RecordsApi,
}

/// The [`DnsCutover`] port on Route 53.
#[derive(Clone)]
pub struct Route53Cutover {
    client: Client,
    zones: BTreeSet<ZoneId>,
    authority: Authority,
    guard: Option<Arc<dyn Guard>>,
    target_health: Option<Arc<dyn TargetHealth>>,
    request_count: Option<Arc<dyn RequestCount>>,
    resolver: Arc<dyn Resolve>,
    toll: Toll,
    now: Now,
    name_servers: Arc<Mutex<BTreeMap<ZoneId, Vec<String>>>>,
}

impl fmt::Debug for Route53Cutover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route53Cutover")
            .field("zones", &self.zones)
            .field("authority", &self.authority)
            .field("guard", &self.guard.is_some())
            .field("target_health", &self.target_health.is_some())
            .field("request_count", &self.request_count.is_some())
            .finish_non_exhaustive()
    }
}

impl Route53Cutover {
    /// With a client of this configuration, for these zones: no other zone is ever touched.
    #[must_use]
    pub fn from_config(config: &SdkConfig, zones: impl IntoIterator<Item = ZoneId>) -> Self {
        Self::with_client(Client::new(&config::prepare(config)), zones)
    }

    /// With a ready client, for these zones.
    #[must_use]
    pub fn with_client(client: Client, zones: impl IntoIterator<Item = ZoneId>) -> Self {
        Self {
            client,
            zones: zones.into_iter().collect(),
            authority: Authority::default(),
            guard: None,
            target_health: None,
            request_count: None,
            resolver: Arc::new(SystemResolver),
            toll: Toll::default(),
            now: time::system(),
            name_servers: Arc::default(),
        }
    }

    /// Who is asked what the zone answers.
    #[must_use]
    pub fn with_authority(mut self, authority: Authority) -> Self {
        self.authority = authority;
        self
    }

    /// Asked before every change.
    #[must_use]
    pub fn with_guard(mut self, guard: Arc<dyn Guard>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Who knows whether a record's target is healthy. Without it `check_target` answers "nobody can tell".
    #[must_use]
    pub fn with_target_health(mut self, health: Arc<dyn TargetHealth>) -> Self {
        self.target_health = Some(health);
        self
    }

    /// Who counts the requests of a record's target. Without it `old_traffic` has no data.
    #[must_use]
    pub fn with_request_count(mut self, count: Arc<dyn RequestCount>) -> Self {
        self.request_count = Some(count);
        self
    }

    /// Who looks up name servers and alias targets.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Shares calls with all adapters of this account and region that are given the same observer. Route 53 counts by account
    /// alone: runners of several regions that change zones of one account want to leave each other a part.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(metered.interceptor(Meter::new(observer, "route53")).build());
        self.toll = Toll::of(observer);
        self
    }

    /// Another clock.
    #[must_use]
    pub fn with_now(mut self, now: Now) -> Self {
        self.now = now;
        self
    }

    fn check_zone(&self, operation: &'static str, zone: &ZoneId) -> Result<(), Error> {
        if self.zones.contains(zone) {
            return Ok(());
        }
        let known: Vec<&str> = self.zones.iter().map(ZoneId::as_str).collect();
        Err(Error::new(
            ErrorKind::InvalidRequest,
            operation,
            format!(
                "zone {zone} is not of this environment, whose zones are: {}",
                known.join(", ")
            ),
        ))
    }

    /// One record, or none. Never another one of the same name: those with set identifiers and those without do not mix.
    async fn find(&self, ctx: &OpContext, zone: &ZoneId, key: &RecordKey) -> Result<Option<Record>, Error> {
        let (name, wanted) = (key.name.normalised(), &key.record_type);
        let mut others: Vec<Option<String>> = Vec::new();
        let mut was_empty = false;
        let mut request = self
            .client
            .list_resource_record_sets()
            .hosted_zone_id(zone.as_str())
            // As Route 53 keeps names, so that a list that is sorted by letters begins in the right place.
            .start_record_name(&name)
            .start_record_type(convert::rr_type(wanted))
            .max_items(PAGE);
        loop {
            self.toll.pay(ctx, LIST).await?;
            let page = request
                .clone()
                .send()
                .await
                .map_err(|error| from_sdk(LIST, format!("{key} in zone {zone}"), false, error))?;
            // A list that is missing in the answer the SDK takes for an empty one: that there is nothing is believed when it is said twice.
            let is_empty = page.resource_record_sets().is_empty();
            if is_empty && !core::mem::replace(&mut was_empty, true) {
                continue;
            }
            // The list begins at the name and type asked for and is sorted by them: past them there is no more of them.
            for listed in page.resource_record_sets() {
                // What is required and missing, the SDK fills with something. Such a record may be the one asked for.
                let is_type = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
                if listed.name().is_empty() || !listed.r#type().as_str().bytes().all(is_type) {
                    let text = format!("{key} in zone {zone}: a record without a name or a type was listed");
                    return Err(Error::new(ErrorKind::Unexpected, LIST, text).retry(Retry::Later));
                }
                let ours =
                    plain_name(listed.name()) == name && convert::record_type(listed.r#type()) == *wanted;
                if !ours {
                    return mixed(key, others);
                }
                if listed.set_identifier() == key.set_identifier.as_deref() {
                    return convert::record(key, listed).map(Some);
                }
                others.push(listed.set_identifier().map(str::to_owned));
            }
            let next = page.next_record_name.zip(page.next_record_type);
            let Some((next_name, next_type)) = next else {
                if page.is_truncated {
                    let text = format!("{key} in zone {zone}: a list goes on, and does not say where");
                    return Err(Error::new(ErrorKind::Unexpected, LIST, text).retry(Retry::Later));
                }
                return mixed(key, others);
            };
            if plain_name(&next_name) != name || convert::record_type(&next_type) != *wanted {
                return mixed(key, others);
            }
            request = self
                .client
                .list_resource_record_sets()
                .hosted_zone_id(zone.as_str())
                .start_record_name(next_name)
                .start_record_type(next_type)
                .set_start_record_identifier(page.next_record_identifier)
                .max_items(PAGE);
        }
    }

    /// Whether every record is what the batch assumes: deleted ones are there exactly, created ones are not there.
    async fn assumptions_hold(&self, ctx: &OpContext, batch: &ChangeBatch) -> Result<bool, Error> {
        let deleted = |key: &RecordKey| {
            batch
                .changes()
                .iter()
                .any(|change| matches!(change, Change::Delete(old) if old.key.same_as(key)))
        };
        for change in batch.changes() {
            let holds = match change {
                Change::Delete(old) => {
                    let now = self.find(ctx, batch.zone(), &old.key).await?;
                    now.is_some_and(|now| same_record(&now, old))
                }
                Change::Create(new) => {
                    deleted(&new.key) || self.find(ctx, batch.zone(), &new.key).await?.is_none()
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn refused(
        &self,
        ctx: &OpContext,
        batch: &ChangeBatch,
        error: SdkError<ChangeResourceRecordSetsError, HttpResponse>,
    ) -> Error {
        let invalid = invalid_batch(&error);
        let mut mapped = from_sdk(CHANGE, format!("a change of zone {}", batch.zone()), true, error);
        if mapped.kind == ErrorKind::Throttled {
            // It was sent once, so nothing is used up.
            mapped.retry = Retry::Later;
        }
        if let Some(messages) = invalid {
            if !messages.is_empty() {
                mapped.context.push_str(": ");
                mapped.context.push_str(messages.trim());
            }
            // Route 53 has one code for a stale value and for a value that is no value; only a read tells them apart.
            // If it cannot be read, "someone else has acted" is the careful answer.
            mapped.kind = match self.assumptions_hold(ctx, batch).await {
                Ok(true) => ErrorKind::InvalidRequest,
                Ok(false) | Err(_) => ErrorKind::Conflict,
            };
        }
        mapped
    }

    fn known_name_servers(&self, zone: &ZoneId) -> Option<Vec<String>> {
        let known = self.name_servers.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(zone).cloned()
    }

    fn remember_name_servers(&self, zone: &ZoneId, names: &[String]) {
        let mut known = self.name_servers.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(zone.clone(), names.to_vec());
    }
}

/// The messages of `InvalidChangeBatch`, beyond what the SDK has as the error's own message.
///
/// Route 53 has two forms of it: the common one (`ErrorResponse`), and one whose root is `InvalidChangeBatch` (Amazon
/// Route 53 API, "ChangeResourceRecordSets", examples), which the SDK does not know and leaves without a code.
fn invalid_batch(error: &SdkError<ChangeResourceRecordSetsError, HttpResponse>) -> Option<String> {
    if let Some(ChangeResourceRecordSetsError::InvalidChangeBatch(invalid)) = error.as_service_error() {
        return Some(invalid.messages().join(" "));
    }
    let body = error.raw_response()?.body().bytes()?;
    let body = String::from_utf8_lossy(body);
    let (_, inner) = body.split_once("<InvalidChangeBatch")?;
    let messages: Vec<&str> = inner
        .split("<Message>")
        .skip(1)
        .filter_map(|part| part.split_once("</Message>"))
        .map(|(message, _)| message.trim())
        .collect();
    Some(messages.join(" "))
}

/// No record for the key; an error when its name has records that a CREATE for the key could not stand beside.
fn mixed(key: &RecordKey, others: Vec<Option<String>>) -> Result<Option<Record>, Error> {
    let refused = |context: String| Err(Error::new(ErrorKind::InvalidRequest, LIST, context));
    if key.set_identifier.is_none() && !others.is_empty() {
        let names: Vec<String> = others.into_iter().flatten().collect();
        return refused(format!(
            "{key} has several records, told apart by set identifiers; name one of: {}",
            names.join(", ")
        ));
    }
    if others.contains(&None) {
        return refused(format!(
            "{} {} is one record without a set identifier; leave the set identifier out",
            key.name, key.record_type
        ));
    }
    Ok(None)
}

/// Whether both are the same record in every field that Route 53 compares.
fn same_record(one: &Record, other: &Record) -> bool {
    let same_data = match (&one.data, &other.data) {
        (
            RecordData::Alias {
                evaluate_target_health: a,
                ..
            },
            RecordData::Alias {
                evaluate_target_health: b,
                ..
            },
        ) => a == b,
        (RecordData::Values { ttl: a, .. }, RecordData::Values { ttl: b, .. }) => a == b,
        (RecordData::Alias { .. }, RecordData::Values { .. })
        | (RecordData::Values { .. }, RecordData::Alias { .. }) => false,
    };
    one.key.same_as(&other.key)
        && one.weight == other.weight
        && same_data
        && one.data.same_target(&other.data)
}

fn sdk_batch(ctx: &OpContext, batch: &ChangeBatch) -> Result<SdkBatch, Error> {
    let mut comment = format!("rollout {} {} {}", ctx.run, ctx.step, ctx.generation);
    comment.truncate(COMMENT_LIMIT); // ids are ASCII
    let mut built = SdkBatch::builder().comment(comment);
    for change in batch.changes() {
        let (action, record) = match change {
            Change::Delete(record) => (ChangeAction::Delete, record),
            Change::Create(record) => (ChangeAction::Create, record),
        };
        let change = SdkChange::builder()
            .action(action)
            .resource_record_set(convert::resource_record_set(record)?)
            .build()
            .map_err(|error| convert::incomplete(&record.key, error))?;
        built = built.changes(change);
    }
    built
        .build()
        .map_err(|error| convert::incomplete(batch.zone(), error))
}

#[async_trait]
impl DnsCutover for Route53Cutover {
    async fn snapshot(&self, ctx: &OpContext, zone: &ZoneId, key: &RecordKey) -> Result<Snapshot, Error> {
        self.check_zone(LIST, zone)?;
        let marker = Marker::key(key).map_err(|error| {
            Error::new(
                ErrorKind::InvalidRequest,
                LIST,
                format!("{key} has no room for a marker"),
            )
            .caused_by(error)
        })?;
        let at = (self.now)();
        Ok(Snapshot {
            at,
            zone: zone.clone(),
            record: self.find(ctx, zone, key).await?,
            marker: self.find(ctx, zone, &marker).await?,
        })
    }

    async fn check_target(&self, ctx: &OpContext, data: &RecordData) -> Result<TargetCheck, Error> {
        match &self.target_health {
            Some(health) => health.check(ctx, data).await,
            None => Ok(TargetCheck {
                at: (self.now)(),
                healthy: None,
                evidence: Vec::new(),
            }),
        }
    }

    async fn apply(&self, ctx: &OpContext, batch: &ChangeBatch) -> Result<ChangeId, Error> {
        self.check_zone(CHANGE, batch.zone())?;
        batch.check().map_err(|refused| {
            Error::new(
                ErrorKind::InvalidRequest,
                CHANGE,
                format!("a change of zone {} is refused", batch.zone()),
            )
            .caused_by(refused)
        })?;
        let request = sdk_batch(ctx, batch)?;
        if let Some(guard) = &self.guard {
            guard.check(ctx).await?;
        }
        self.toll.pay(ctx, CHANGE).await?;
        let answer = self
            .client
            .change_resource_record_sets()
            .hosted_zone_id(batch.zone().as_str())
            .change_batch(request)
            .customize()
            .config_override(aws_sdk_route53::config::Builder::new().retry_config(config::once()))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(self.refused(ctx, batch, error).await),
        };
        let id = answer.change_info.map(|info| info.id).unwrap_or_default();
        ChangeId::new(id.strip_prefix("/change/").unwrap_or(&id)).map_err(|error| {
            Error::new(
                ErrorKind::Unexpected,
                CHANGE,
                "the change was accepted without an id",
            )
            .applied(rollout_core::error::Applied::Yes)
            .caused_by(error)
        })
    }

    async fn propagation(&self, ctx: &OpContext, change: &ChangeId) -> Result<Propagation, Error> {
        self.toll.pay(ctx, GET_CHANGE).await?;
        let answer = self
            .client
            .get_change()
            .id(change.as_str())
            .send()
            .await
            .map_err(|error| from_sdk(GET_CHANGE, change, false, error))?;
        // A status that is not INSYNC, known or new, is not "everywhere".
        Ok(match answer.change_info.map(|info| info.status) {
            Some(ChangeStatus::Insync) => Propagation::InSync,
            Some(_) | None => Propagation::Pending,
        })
    }

    async fn ask_authoritative(
        &self,
        ctx: &OpContext,
        zone: &ZoneId,
        expected: &Record,
    ) -> Result<Vec<AuthoritativeAnswer>, Error> {
        self.check_zone(ASK, zone)?;
        self.ask(ctx, zone, expected).await
    }

    async fn old_traffic(&self, ctx: &OpContext, data: &RecordData) -> Result<OldTraffic, Error> {
        match &self.request_count {
            Some(count) => count.last_minute(ctx, data).await,
            None => Ok(OldTraffic {
                at: (self.now)(),
                requests_per_minute: None,
            }),
        }
    }
}
