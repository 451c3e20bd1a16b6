//! The world of one record: a zone that takes a batch as a whole or not at all, writes that are lost or land late, other
//! hands, servers and reads that lag behind, targets that are not healthy.

use rollout_core::dns::{
    AuthoritativeAnswer, Change, ChangeBatch, Marker, Propagation, Record, RecordData, RecordKey, RecordType,
    Snapshot, TargetCheck,
};
use rollout_core::error::{Applied, ErrorKind};
use rollout_core::id::Generation;
use rollout_core::machine::cutover::{Cutover, Effect, Event, Goal, Outcome, StateKind, Written};
use rollout_core::machine::{Machine as _, Transitions as _};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::ecs::STALE;
use super::failure;
use super::single::{BEGIN, Call, Reply, World};

/// Of our move.
const GENERATION: u64 = 3;

/// The TTL of the record before and after, in seconds.
pub const TTL: u32 = 20;

/// The record and its marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Pair {
    record: Option<Record>,
    marker: Option<Record>,
}

/// The world.
#[derive(Clone, Debug, Serialize)]
pub struct ZoneWorld {
    pair: Pair,
    /// As it was, and until when a read or a server may still show that.
    was: Option<(Pair, Timestamp)>,
    /// Whether the last batch is PENDING.
    pending: bool,
    /// A batch that may still land, and until when.
    late: Option<(ChangeBatch, Timestamp)>,
    /// Whether the machine has read the record: before that, another's change is merely what was there.
    opened: bool,
    faults: u8,
    others: u8,
    /// What someone else left.
    theirs: Option<Pair>,
    /// Whether a batch of ours took effect, and whether one did after another's change.
    written: bool,
    over: bool,
    /// What an authoritative server last confirmed.
    shown: Option<RecordData>,
}

/// The record's key.
///
/// # Panics
/// Never: the name is valid.
#[must_use]
pub fn key() -> RecordKey {
    RecordKey {
        name: "api.example.com".parse().expect("valid"),
        record_type: RecordType::A,
        set_identifier: None,
    }
}

/// What a record says.
#[must_use]
pub fn data(ttl: u32, value: &str) -> RecordData {
    RecordData::Values {
        ttl,
        values: vec![value.to_owned()],
    }
}

/// Where the record points before.
#[must_use]
pub fn old() -> RecordData {
    data(TTL, "10.0.0.1")
}

/// Where it shall point.
#[must_use]
pub fn new() -> RecordData {
    data(TTL, "10.0.0.2")
}

/// What our move wrote.
#[must_use]
pub fn ours() -> Vec<Written> {
    vec![Written {
        generation: Generation(GENERATION),
        data: new(),
    }]
}

fn record(data: RecordData) -> Record {
    Record {
        key: key(),
        weight: None,
        data,
    }
}

fn marker(generation: u64, run: &str) -> Record {
    let run = run.parse().expect("valid");
    let generation = Generation(generation);
    Marker { generation, run }.record(&key()).expect("valid")
}

/// What the zone held before the first change.
///
/// # Panics
/// Never: the names are valid.
#[must_use]
pub fn original() -> Snapshot {
    Snapshot {
        at: BEGIN,
        zone: "Z1".parse().expect("valid"),
        record: Some(record(old())),
        marker: None,
    }
}

impl ZoneWorld {
    /// The record as it was before.
    #[must_use]
    pub fn new(faults: u8, others: u8) -> Self {
        Self {
            pair: Pair {
                record: Some(record(old())),
                marker: None,
            },
            was: None,
            pending: false,
            late: None,
            opened: false,
            faults,
            others,
            theirs: None,
            written: false,
            over: false,
            shown: None,
        }
    }

    /// The same after our move.
    #[must_use]
    pub fn moved(mut self) -> Self {
        self.pair = Pair {
            record: Some(record(new())),
            marker: Some(marker(GENERATION, "r-1")),
        };
        self
    }

    /// The same while our move, whose answer was lost, may still land.
    ///
    /// # Panics
    /// Never: the batch fits.
    #[must_use]
    pub fn moving(mut self) -> Self {
        let marker = Marker {
            generation: Generation(GENERATION),
            run: "r-1".parse().expect("valid"),
        };
        let batch = ChangeBatch::compare_and_set(&original(), record(new()), &marker).expect("it fits");
        self.late = Some((batch, BEGIN.after(STALE)));
        self
    }

    /// Faults left.
    #[must_use]
    pub const fn faults(&self) -> u8 {
        self.faults
    }

    /// The same with so many faults left.
    #[must_use]
    pub fn with_faults(&self, faults: u8) -> Self {
        Self {
            faults,
            ..self.clone()
        }
    }

    /// The same where nothing goes wrong any more.
    #[must_use]
    pub fn healed(&self) -> Self {
        Self {
            faults: 0,
            others: 0,
            ..self.clone()
        }
    }

    /// What a reader finds.
    #[must_use]
    pub fn snapshot(&self, at: Timestamp) -> Snapshot {
        Snapshot {
            at,
            record: self.pair.record.clone(),
            marker: self.pair.marker.clone(),
            ..original()
        }
    }

    /// From when on another's change counts.
    pub const fn open(&mut self, opened: bool) {
        self.opened |= opened;
    }

    fn spend(&self) -> Option<Self> {
        let faults = self.faults.checked_sub(1)?;
        Some(Self {
            faults,
            ..self.clone()
        })
    }

    /// Whether the zone would take the batch: each deleted record is exactly there, each created one is not.
    fn takes(&self, batch: &ChangeBatch) -> Option<Pair> {
        let mut pair = self.pair.clone();
        for change in batch.changes() {
            let (Change::Delete(one) | Change::Create(one)) = change;
            let slot = if one.key.same_as(&key()) {
                &mut pair.record
            } else {
                &mut pair.marker
            };
            match change {
                Change::Delete(one) if slot.as_ref() == Some(one) => *slot = None,
                Change::Create(one) if slot.is_none() => *slot = Some(one.clone()),
                Change::Delete(_) | Change::Create(_) => return None,
            }
        }
        Some(pair)
    }

    fn turned(&self, now: Timestamp, pair: Pair) -> Self {
        Self {
            was: Some((self.pair.clone(), now.after(STALE))),
            pair,
            ..self.clone()
        }
    }

    /// A batch of ours reaches the zone: as it is after it, if it takes it.
    fn apply(&self, now: Timestamp, batch: &ChangeBatch) -> Option<Self> {
        let pair = self.takes(batch)?;
        Some(Self {
            pending: true,
            written: true,
            over: self.over || self.theirs.is_some(),
            ..self.turned(now, pair)
        })
    }

    fn says(&self, expected: &Record) -> bool {
        self.pair.record.as_ref() == Some(expected)
    }

    fn write(
        &self,
        now: Timestamp,
        call: &Call<Effect>,
        batch: &ChangeBatch,
        out: &mut Vec<Reply<Self, Event>>,
    ) {
        let lost = || Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
        // A call carries a hard deadline: past it nothing is sent any more.
        if now.since(call.asked) > STALE {
            out.push(Reply::fair(
                "write: past its deadline, not sent",
                self.clone(),
                lost(),
            ));
            return;
        }
        match self.apply(now, batch) {
            Some(done) => out.push(Reply::fair(
                "written",
                done,
                Event::Applied("C1".parse().expect("valid")),
            )),
            None => {
                let conflict = Event::CallFailed(failure(ErrorKind::Conflict, Applied::No));
                out.push(Reply::fair("write: conflict", self.clone(), conflict));
            }
        }
        let Some(less) = self.spend() else { return };
        if let Some(done) = less.apply(now, batch) {
            out.push(Reply::fault("write: done, answer lost", done, lost()));
        }
        if let Some(done) = less.apply(now, batch) {
            let conflict = Event::CallFailed(failure(ErrorKind::Conflict, Applied::No));
            out.push(Reply::fault(
                "write: arrives twice, refused the second time",
                done,
                conflict,
            ));
        }
        out.push(Reply::fault("write: not done, answer lost", less.clone(), lost()));
        let late = Self {
            late: Some((batch.clone(), now.after(STALE))),
            ..less
        };
        out.push(Reply::fault(
            "write: answer lost, lands later",
            late.clone(),
            lost(),
        ));
        out.push(Reply::silent("write: never answered, lands later", late));
    }

    fn look(&self, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        let seen = |pair: &Pair| {
            let world = Self {
                pair: pair.clone(),
                ..self.clone()
            };
            Event::SnapshotTaken(Box::new(world.snapshot(call.asked)))
        };
        out.push(Reply::fair("read", self.clone(), seen(&self.pair)));
        if let (Some((was, _)), Some(less)) = (&self.was, self.spend()) {
            out.push(Reply::fault("read: stale", less, seen(was)));
        }
    }

    fn ask(&self, call: &Call<Effect>, expected: &Record, out: &mut Vec<Reply<Self, Event>>) {
        let answer = |matches| {
            Event::Answered(vec![AuthoritativeAnswer {
                server: "ns-1".to_owned(),
                at: call.asked,
                matches,
                detail: String::new(),
            }])
        };
        let confirmed = |world: &Self| Self {
            shown: Some(expected.data.clone()),
            ..world.clone()
        };
        let right = self.says(expected) && !self.pending;
        let world = if right { confirmed(self) } else { self.clone() };
        out.push(Reply::fair("servers asked", world, answer(Some(right))));
        let Some(less) = self.spend() else { return };
        out.push(Reply::fault(
            "servers asked: none answers",
            less.clone(),
            answer(None),
        ));
        if right {
            out.push(Reply::fault("servers asked: one lags", less, answer(Some(false))));
        } else if self
            .was
            .as_ref()
            .is_some_and(|(was, _)| was.record.as_ref() == Some(expected))
        {
            out.push(Reply::fault(
                "servers asked: all lag",
                confirmed(&less),
                answer(Some(true)),
            ));
        }
    }

    /// Every way in which a call about the record may be answered.
    pub fn reply(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        match &call.effect {
            Effect::TakeSnapshot { .. } => self.look(call, out),
            Effect::CheckTarget { .. } => {
                let check = |healthy| {
                    Event::TargetChecked(TargetCheck {
                        at: call.asked,
                        healthy,
                        evidence: vec![],
                    })
                };
                out.push(Reply::fair("target healthy", self.clone(), check(Some(true))));
                if let Some(less) = self.spend() {
                    out.push(Reply::fault("target unhealthy", less.clone(), check(Some(false))));
                    out.push(Reply::fault("target unknown", less, check(None)));
                }
            }
            Effect::Apply { batch } => self.write(now, call, batch, out),
            Effect::SeePropagation { .. } => {
                let (label, how) = if self.pending {
                    ("PENDING", Propagation::Pending)
                } else {
                    ("INSYNC", Propagation::InSync)
                };
                out.push(Reply::fair(label, self.clone(), Event::PropagationSeen(how)));
            }
            Effect::AskAuthoritative { expected, .. } => self.ask(call, expected, out),
            Effect::SeeOldTraffic { .. } => {}
        }
        if let Some(less) = self.spend() {
            out.extend(Reply::none(less, Event::CallFailed));
        }
    }

    /// After the last change is everywhere, if it is not.
    #[must_use]
    pub fn spreads(&self) -> Option<Self> {
        self.pending.then(|| Self {
            pending: false,
            ..self.clone()
        })
    }

    /// What may happen to the record by itself or by others.
    pub fn happen(&self, now: Timestamp, out: &mut Vec<Reply<Self, Event>>) {
        if let Some(world) = self.spreads() {
            out.push(Reply::silent("the change is everywhere", world));
        }
        if let Some((batch, _)) = &self.late {
            let landed = self.apply(now, batch).unwrap_or_else(|| self.clone());
            out.push(Reply::silent("a lost write lands", Self { late: None, ..landed }));
        }
        let Some(others) = self.others.checked_sub(1).filter(|_| self.opened) else {
            return;
        };
        let theirs = || Some(record(data(TTL, "10.0.0.9")));
        let hands = [
            (
                "someone changes the record by hand",
                theirs(),
                self.pair.marker.clone(),
            ),
            ("another run changes the record", theirs(), Some(marker(9, "r-2"))),
            (
                "someone puts the old record back",
                Some(record(old())),
                self.pair.marker.clone(),
            ),
            ("someone deletes the record", None, self.pair.marker.clone()),
        ];
        for (label, record, marker) in hands {
            let pair = Pair { record, marker };
            if pair != self.pair {
                let world = Self {
                    others,
                    theirs: Some(pair.clone()),
                    ..self.turned(now, pair)
                };
                out.push(Reply::silent(label, world));
            }
        }
    }

    /// Time has passed.
    pub fn settle(&mut self, now: Timestamp) {
        self.was.take_if(|(_, until)| now >= *until);
        self.late.take_if(|(_, until)| now >= *until);
    }

    /// No write rests on what someone else left (I-5), and none took effect after it.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn allow<'a>(&self, effects: impl IntoIterator<Item = &'a Effect>) -> Result<(), String> {
        if self.over {
            return Err("I-5: a write took effect after someone else's change".to_owned());
        }
        let Some(theirs) = &self.theirs else { return Ok(()) };
        for effect in effects {
            let Effect::Apply { batch } = effect else { continue };
            let deleted: Vec<_> = batch
                .changes()
                .iter()
                .filter_map(|change| match change {
                    Change::Delete(record) => Some(record),
                    Change::Create(_) => None,
                })
                .collect();
            let left: Vec<_> = theirs.record.iter().chain(&theirs.marker).collect();
            if deleted == left {
                return Err("I-5: a write that rests on someone else's change".to_owned());
            }
        }
        Ok(())
    }

    /// What a write that may still land would make the record say.
    fn landing(&self) -> Option<RecordData> {
        let (batch, _) = self.late.as_ref()?;
        self.takes(batch)?.record.map(|record| record.data)
    }

    /// The record, the servers and what may still come all bear the claim; or someone else has come since.
    fn bears(&self, claim: &str, is: impl Fn(&RecordData) -> bool) -> Result<(), String> {
        if !self.shown.as_ref().is_some_and(&is) {
            return Err(format!("{claim}, and no server showed it"));
        }
        if self.theirs.is_some() {
            return Ok(());
        }
        if !self.pair.record.as_ref().is_some_and(|record| is(&record.data)) {
            return Err(format!("{claim}, and the zone says otherwise"));
        }
        if self.landing().is_some_and(|data| !is(&data)) {
            return Err(format!("{claim}, and a lost write can still undo it"));
        }
        Ok(())
    }

    /// It was moved.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn bears_moved(&self) -> Result<(), String> {
        self.bears("I-12: moved", |data| data.same_target(&new()))
    }

    /// It is back.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn bears_back(&self) -> Result<(), String> {
        self.bears("I-13: back", |data| *data == old())
    }

    /// Whether a batch of ours took effect, or still may.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.written || self.landing().is_some()
    }

    /// Whether it says what it said before, or what someone else made it say, and nothing of ours can come any more.
    #[must_use]
    pub fn is_old(&self) -> bool {
        let says_old = self
            .pair
            .record
            .as_ref()
            .is_some_and(|record| record.data == old());
        (says_old || self.is_foreign()) && self.landing().is_none_or(|data| data == old())
    }

    /// Whether someone else has changed it.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        self.theirs.is_some()
    }

    /// It was never touched, or is back, or is someone else's by now.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn bears_untouched(&self) -> Result<(), String> {
        if self.is_touched() && !self.is_foreign() {
            self.bears_back()
        } else {
            Ok(())
        }
    }

    fn hold(&self, goal: &Goal, outcome: &Outcome) -> Result<(), String> {
        match (outcome, goal) {
            (Outcome::Moved { .. }, Goal::Move { to, .. }) => {
                self.bears("I-12: moved", |data| data.same_target(to))
            }
            (Outcome::Moved { .. }, Goal::Restore { .. }) | (Outcome::Reverted(_), _) => self.bears_back(),
            (Outcome::Refused(_), Goal::Move { .. }) if self.is_touched() => {
                Err("I-1: it is said not to be touched, and is".to_owned())
            }
            (Outcome::Superseded(_), _) if !self.is_foreign() => Err("I-5: superseded by nobody".to_owned()),
            (Outcome::Stuck(stuck), _) if stuck.text.is_empty() || stuck.next.is_empty() => {
                Err("L-2: stuck without a word or a next step".to_owned())
            }
            (Outcome::Refused(_) | Outcome::Superseded(_) | Outcome::Stuck(_), _) => Ok(()),
        }
    }
}

impl World<Cutover> for ZoneWorld {
    fn answers(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        self.reply(now, call, out);
    }

    fn happenings(&self, now: Timestamp, _: &Cutover, out: &mut Vec<Reply<Self, Event>>) {
        self.happen(now, out);
    }

    fn pass(&mut self, now: Timestamp) {
        self.settle(now);
    }

    fn judge(
        &mut self,
        _: Timestamp,
        before: &Cutover,
        _: &Event,
        effects: &[Effect],
        after: &Cutover,
    ) -> Result<(), String> {
        self.allow(effects)?;
        self.opened |= !matches!(after.state_kind(), StateKind::Idle | StateKind::Snapshotting);
        after
            .outcome()
            .map_or(Ok(()), |outcome| self.hold(&before.spec().goal, &outcome))
    }

    fn end(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Moved { .. } => "moved",
            Outcome::Refused(_) => "refused",
            Outcome::Reverted(_) => "reverted",
            Outcome::Superseded(_) => "superseded",
            Outcome::Stuck(_) => "stuck",
        }
    }
}
