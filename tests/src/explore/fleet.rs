//! The world of a fleet: members that run, end and go back in every way, and calls about them that get lost at every point.

use std::collections::BTreeMap;

use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::evidence::{Cause, Reason, Stuck, StuckReason};
use rollout_core::id::MemberName;
use rollout_core::machine::fleet::{BackEnd, Effect, End, Event, Fleet, MemberEnd, Outcome, Standing};
use rollout_core::machine::rollout::{LeftAt, Superseding};
use rollout_core::machine::{Lifecycle as _, Machine as _};
use rollout_core::plan::fleet::WayBack;
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::failure;
use super::single::{Call, Reply, World};

/// What a member really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Truth {
    Untouched,
    /// Begun, and nobody drives it.
    Running,
    /// It serves the release, since then.
    Released(Timestamp),
    Back,
    /// Somebody else's, or a person's.
    Lost,
}

#[derive(Clone, Debug, Serialize)]
struct Member {
    truth: Truth,
    /// Said to begin for the first time.
    begun: bool,
    /// Its run has no end yet, as far as the machine was told.
    in_the_air: bool,
    told_to_stop: bool,
}

/// The world.
#[derive(Clone, Debug, Serialize)]
pub struct FleetWorld {
    members: BTreeMap<MemberName, Member>,
    /// Nothing may begin any more.
    failed: bool,
    faults: u8,
}

fn reason() -> Box<Reason> {
    Box::new(Reason::new(Cause::TaskStopped, "it fails"))
}

fn stuck() -> Box<Stuck> {
    Box::new(Stuck {
        reason: StuckReason::RollbackFailed,
        text: "nothing helps".to_owned(),
        evidence: Vec::new(),
        next: vec!["rollout status".to_owned()],
    })
}

fn someone() -> Box<Superseding> {
    Box::new(Superseding::Record(Reason::new(Cause::DnsConflict, "another")))
}

impl FleetWorld {
    /// Every member runs what was before.
    #[must_use]
    pub fn new(fleet: &Fleet, faults: u8) -> Self {
        let untouched = Member {
            truth: Truth::Untouched,
            begun: false,
            in_the_air: false,
            told_to_stop: false,
        };
        let members = fleet.plan().members();
        Self {
            members: members
                .map(|(_, member)| (member.clone(), untouched.clone()))
                .collect(),
            failed: false,
            faults,
        }
    }

    fn with(&self, member: &MemberName, truth: Truth) -> Self {
        let mut next = self.clone();
        if let Some(member) = next.members.get_mut(member) {
            member.truth = truth;
        }
        next
    }

    fn spend(&self) -> Option<Self> {
        let faults = self.faults.checked_sub(1)?;
        Some(Self {
            faults,
            ..self.clone()
        })
    }

    /// How the run of a member may end.
    fn ends(
        &self,
        now: Timestamp,
        call: &Call<Effect>,
        member: &MemberName,
        out: &mut Vec<Reply<Self, Event>>,
    ) {
        let known = &self.members[member];
        let ended = |end| Event::Ended {
            member: member.clone(),
            end,
        };
        let released = self.with(member, Truth::Released(now));
        let aborted = |left_at| ended(End::Aborted { left_at });
        let never = known.truth == Truth::Untouched && matches!(&call.effect, Effect::Resume { .. });
        if !known.told_to_stop {
            out.push(Reply::fair("is released", released, ended(End::Released)));
        } else if never {
            out.push(Reply::fair(
                "never began, and stops",
                self.clone(),
                aborted(LeftAt::Untouched),
            ));
        } else {
            let back = self.with(member, Truth::Back);
            out.push(Reply::fair(
                "stops and is back",
                back,
                aborted(LeftAt::LastKnownGood),
            ));
        }
        let Some(less) = self.spend() else { return };
        if known.told_to_stop && !never {
            let late = less.with(member, Truth::Released(now));
            out.push(Reply::fault(
                "was released before it could stop",
                late,
                ended(End::Released),
            ));
        }
        let mut fault = |label, truth, end| {
            out.push(Reply::fault(label, less.with(member, truth), ended(end)));
        };
        fault(
            "fails and is back",
            Truth::Back,
            End::RolledBack { why: reason() },
        );
        fault("refuses", Truth::Untouched, End::Refused { why: reason() });
        fault("is superseded", Truth::Lost, End::Superseded { by: someone() });
        fault("is stuck", Truth::Lost, End::Stuck(stuck()));
    }
}

impl World<Fleet> for FleetWorld {
    fn answers(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        let failed = |error| Fleet::failed(&call.effect, error);
        let unheard = || failed(failure(ErrorKind::TimedOut, Applied::Maybe));
        match &call.effect {
            Effect::Begin { member, .. } => {
                self.ends(now, call, member, out);
                let Some(less) = self.spend() else { return };
                out.extend(Reply::none(less.clone(), failed));
                let runs = less.with(member, Truth::Running);
                out.push(Reply::fault("is lost before it begins", less, unheard()));
                out.push(Reply::fault("is lost after it began", runs.clone(), unheard()));
                out.push(Reply::silent("runs for ever", runs));
            }
            Effect::Resume { member, .. } => {
                self.ends(now, call, member, out);
                let Some(less) = self.spend() else { return };
                out.push(Reply::fault("is lost again", less.clone(), unheard()));
                let denied = Error::new(ErrorKind::PermissionDenied, "model", "no");
                let denied = failed(denied.applied(Applied::Maybe).record());
                out.push(Reply::fault("cannot be gone on with", less.clone(), denied));
                out.push(Reply::silent("runs for ever", less));
            }
            Effect::Stop { member, .. } => {
                let sent = Event::StopSent {
                    member: member.clone(),
                };
                out.push(Reply::fair("is told to stop", self.clone(), sent));
                let Some(less) = self.spend() else { return };
                out.extend(Reply::none(less, failed));
            }
            Effect::TakeBack { member, .. } => {
                let taken = |end| Event::TakenBack {
                    member: member.clone(),
                    end,
                };
                let back = self.with(member, Truth::Back);
                out.push(Reply::fair("is back", back, taken(BackEnd::AtLastKnownGood)));
                let Some(less) = self.spend() else { return };
                let lost = less.with(member, Truth::Lost);
                let mut fault =
                    |label, world: &Self, event| out.push(Reply::fault(label, world.clone(), event));
                fault("cannot go back", &lost, taken(BackEnd::Stuck(stuck())));
                let by = BackEnd::Superseded { by: someone() };
                fault("is another's by now", &lost, taken(by));
                fault("is lost before it is back", &less, unheard());
                fault(
                    "is lost after it is back",
                    &less.with(member, Truth::Back),
                    unheard(),
                );
                out.extend(Reply::none(less, failed));
            }
            Effect::TakeSample { .. } => {}
        }
    }

    fn happenings(&self, _: Timestamp, _: &Fleet, _: &mut Vec<Reply<Self, Event>>) {}

    fn pass(&mut self, _: Timestamp) {}

    fn judge(
        &mut self,
        now: Timestamp,
        before: &Fleet,
        event: &Event,
        effects: &[Effect],
        after: &Fleet,
    ) -> Result<(), String> {
        match event {
            Event::Ended { member, end } => {
                self.failed |= *end != End::Released;
                if let Some(member) = self.members.get_mut(member) {
                    member.in_the_air = false;
                }
            }
            Event::Abort => self.failed = true,
            Event::Start
            | Event::TakenBack { .. }
            | Event::StopSent { .. }
            | Event::CallFailed { .. }
            | Event::Gate { .. }
            | Event::Elapsed => {}
        }
        for effect in effects {
            self.said(now, before, effect)?;
        }
        going_back(after)?;
        after
            .outcome()
            .map_or(Ok(()), |outcome| self.ended(before, &outcome))
    }

    fn end(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Released { .. } => "released",
            Outcome::RolledBack { .. } => "rolled back",
            Outcome::Refused { .. } => "refused",
            Outcome::Superseded { .. } => "superseded",
            Outcome::Aborted { .. } => "aborted",
            Outcome::Stuck { stuck, .. } if stuck.reason == StuckReason::PartlyReleased => "between",
            Outcome::Stuck { .. } => "stuck",
        }
    }
}

/// One wave at a time, and no more members at once than the plan allows.
fn going_back(fleet: &Fleet) -> Result<(), String> {
    let waves = &fleet.plan().waves;
    let wave_of = |member: &MemberName| waves.iter().position(|wave| wave.members.contains(member));
    let standings = fleet.standings();
    let mut going = standings
        .iter()
        .filter(|(_, standing)| matches!(standing, Standing::GoingBack { .. }));
    let Some((first, _)) = going.next() else {
        return Ok(());
    };
    let mut count = 1;
    for (member, _) in going {
        count += 1;
        if wave_of(member) != wave_of(first) {
            return Err("two waves go back at once".to_owned());
        }
    }
    if count > fleet.plan().policy.back_at_once {
        return Err("I-11: too many go back at once".to_owned());
    }
    Ok(())
}

impl FleetWorld {
    /// The rules, on one effect.
    fn said(&mut self, now: Timestamp, fleet: &Fleet, effect: &Effect) -> Result<(), String> {
        let waves = &fleet.plan().waves;
        let wave_of = |member: &MemberName| waves.iter().position(|wave| wave.members.contains(member));
        let policy = &fleet.plan().policy;
        match effect {
            Effect::Begin { member, attempt, .. } => {
                if self.failed {
                    return Err(format!("{member} begins after a failure"));
                }
                if self.members[member].truth != Truth::Untouched
                    || (*attempt == 1 && self.members[member].begun)
                {
                    return Err(format!("I-18: {member} is begun twice"));
                }
                if let Some(known) = self.members.get_mut(member) {
                    (known.begun, known.in_the_air) = (true, true);
                }
                let wave = wave_of(member).unwrap_or_default();
                let baked = |name: &MemberName, bake| matches!(self.members[name].truth, Truth::Released(at) if at.after(bake) <= now);
                for older in &waves[..wave] {
                    if let Some(raw) = older.members.iter().find(|name| !baked(name, older.bake)) {
                        return Err(format!("{member} begins before {raw} has baked"));
                    }
                }
                let air = self.members.values().filter(|known| known.in_the_air).count();
                let bake = waves[wave].bake;
                let at_stake = self.members.iter().filter(|(name, known)| {
                    let changed = matches!(known.truth, Truth::Released(_)) && wave_of(name) == Some(wave);
                    known.in_the_air || (changed && !baked(name, bake))
                });
                let bound = policy
                    .bounds
                    .unbaked
                    .map_or(u32::MAX, |share| share.of(fleet.plan().size()));
                if air > waves[wave].at_once as usize || at_stake.count() > bound as usize {
                    return Err(format!("I-11: {member} begins beyond the bounds"));
                }
            }
            Effect::Resume { member, stop, .. } => {
                let known = &self.members[member];
                if !known.begun || *stop != known.told_to_stop {
                    return Err(format!("{member} is resumed wrongly"));
                }
            }
            Effect::Stop { member, .. } => {
                self.failed = true;
                if let Some(known) = self.members.get_mut(member) {
                    known.told_to_stop = true;
                }
            }
            Effect::TakeBack { member, .. } => {
                self.failed = true;
                if !matches!(
                    self.members[member].truth,
                    Truth::Released(_) | Truth::Back | Truth::Lost
                ) {
                    return Err(format!("{member} goes back and was not released"));
                }
                if policy.back == WayBack::Member {
                    return Err(format!("{member} goes back where each is on its own"));
                }
            }
            Effect::TakeSample { .. } => {}
        }
        Ok(())
    }

    /// The rules, at the end.
    fn ended(&self, fleet: &Fleet, outcome: &Outcome) -> Result<(), String> {
        for (member, known) in &self.members {
            let end = &outcome.members()[member];
            let named = matches!(end, MemberEnd::Ended(End::Stuck(_) | End::Superseded { .. }));
            let right = match known.truth {
                Truth::Untouched => matches!(
                    end,
                    MemberEnd::NotBegun | MemberEnd::Ended(End::Refused { .. } | End::Aborted { .. })
                ),
                Truth::Running | Truth::Lost => false,
                Truth::Released(_) => {
                    let stays = matches!(outcome, Outcome::Released { .. })
                        || fleet.plan().policy.back != WayBack::Fleet;
                    stays && *end == MemberEnd::Ended(End::Released)
                }
                Truth::Back => {
                    matches!(
                        end,
                        MemberEnd::Ended(End::RolledBack { .. } | End::Aborted { .. })
                    )
                }
            };
            if !right && !named {
                return Err(format!(
                    "I-13: {member} is {:?}, and it ends as {end:?}",
                    known.truth
                ));
            }
        }
        let all = |wanted: fn(Truth) -> bool| self.members.values().all(|known| wanted(known.truth));
        let right = match outcome {
            Outcome::Released { .. } => all(|truth| matches!(truth, Truth::Released(_))),
            Outcome::RolledBack { .. } => all(|truth| matches!(truth, Truth::Untouched | Truth::Back)),
            Outcome::Refused { .. } => all(|truth| truth == Truth::Untouched),
            Outcome::Superseded { .. } => all(|truth| !matches!(truth, Truth::Released(_) | Truth::Running)),
            Outcome::Aborted { .. } => {
                fleet.plan().policy.back != WayBack::Fleet
                    || all(|truth| matches!(truth, Truth::Untouched | Truth::Back))
            }
            Outcome::Stuck { stuck, .. } => !stuck.next.is_empty(),
        };
        if right {
            Ok(())
        } else {
            Err(format!(
                "the fleet ends as {}, which it is not",
                Self::end(outcome)
            ))
        }
    }
}
