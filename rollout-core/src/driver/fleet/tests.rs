use std::collections::BTreeMap;

use futures_util::{FutureExt as _, StreamExt as _};

use super::*;
use crate::driver::Driver;
use crate::error::{Applied, Retry};
use crate::journal::{Body, MemoryJournal, Resumption, replay};
use crate::machine::fleet::{Call, MemberEnd, Outcome};
use crate::machine::rollout::LeftAt;
use crate::observer::Silent;
use crate::plan::fleet::{Draft, FleetBounds, FleetPlan, FleetPolicy, UnderWay, WavePlan, WayBack};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn plan(members: &[&str], at_once: u32) -> FleetPlan {
    FleetPlan::check(Draft {
        run: "f-1".parse().expect("valid"),
        release: "2.4.0".to_owned(),
        waves: vec![WavePlan {
            name: "all".parse().expect("valid"),
            members: members
                .iter()
                .map(|member| member.parse().expect("valid"))
                .collect(),
            at_once,
            bake: Duration::ZERO,
            gate: None,
        }],
        policy: FleetPolicy {
            bounds: FleetBounds::default(),
            under_way: UnderWay::Stop,
            back: WayBack::Fleet,
            back_at_once: 2,
            run_within: secs(600),
            stop_within: secs(300),
            back_within: secs(200),
            retry_every: secs(10),
            max_errors: 3,
        },
    })
    .expect("valid")
}

/// Time stands still: everything that happens here happens by answers.
struct Still;

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000)
    }
    async fn sleep_until(&self, _: Timestamp) {
        core::future::pending::<()>().await;
    }
}

/// Members that run until they are told to stop, or that fail at once.
#[derive(Default)]
struct Toys {
    switches: Mutex<BTreeMap<MemberName, StopSwitch>>,
    calls: Mutex<Vec<String>>,
    contexts: Mutex<Vec<OpContext>>,
    fails: Option<&'static str>,
}

impl Toys {
    fn said(&self, ctx: &OpContext, what: &str, member: &MemberName) {
        self.contexts.lock().unwrap().push(ctx.clone());
        self.calls.lock().unwrap().push(format!("{what} {member}"));
    }

    fn switch(&self, member: &MemberName) -> StopSwitch {
        self.switches
            .lock()
            .unwrap()
            .entry(member.clone())
            .or_default()
            .clone()
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl MemberRuns for Toys {
    async fn begin(&self, ctx: &OpContext, member: &MemberName) -> Result<End, Error> {
        self.said(ctx, "begin", member);
        if self.fails == Some(member.as_str()) {
            let why = Error::new(ErrorKind::PermissionDenied, "test:Begin", "no");
            return Err(why.retry(Retry::Never).applied(Applied::No));
        }
        let aborted = self.switch(member).signals::<Fleet>().next().await;
        assert_eq!(aborted, Some(Event::Abort));
        Ok(End::Aborted {
            left_at: LeftAt::Untouched,
        })
    }

    async fn resume(&self, ctx: &OpContext, member: &MemberName, stop: bool) -> Result<End, Error> {
        self.said(ctx, if stop { "stop in" } else { "resume" }, member);
        Ok(End::Released)
    }

    async fn stop(&self, ctx: &OpContext, member: &MemberName) -> Result<(), Error> {
        self.said(ctx, "stop", member);
        self.switch(member).stop();
        Ok(())
    }

    async fn take_back(&self, ctx: &OpContext, member: &MemberName) -> Result<BackEnd, Error> {
        self.said(ctx, "take back", member);
        Ok(BackEnd::AtLastKnownGood)
    }
}

fn performer(toys: &Arc<Toys>) -> FleetPerformer {
    let members = Arc::clone(toys) as Arc<dyn MemberRuns>;
    FleetPerformer::new("f-1".parse().expect("valid"), members, Arc::new(Still), secs(20))
        .under(Generation(7))
}

fn driver<'a>(performer: &'a FleetPerformer, journal: &'a MemoryJournal<Event, Effect>) -> Driver<'a, Fleet> {
    Driver {
        run: "f-1".parse().expect("valid"),
        performer,
        journal,
        clock: &Still,
        observer: &Silent,
    }
}

#[test]
fn members_run_side_by_side_and_are_told_to_stop_when_one_fails() {
    let toys = Arc::new(Toys {
        fails: Some("c"),
        ..Toys::default()
    });
    let (performer, journal) = (performer(&toys), MemoryJournal::new());
    let mut fleet = Fleet::new(plan(&["a", "b", "c", "d"], 3));
    let run = driver(&performer, &journal);
    let outcome = run
        .run(&mut fleet, futures_util::stream::pending())
        .now_or_never();
    let outcome = outcome
        .expect("nothing waits for time")
        .expect("it does not halt");
    assert!(matches!(&outcome, Outcome::Refused { .. }), "{outcome:?}");
    let d: MemberName = "d".parse().expect("valid");
    assert_eq!(outcome.members()[&d], MemberEnd::NotBegun);
    let mut calls = toys.calls();
    calls.sort();
    assert_eq!(calls, ["begin a", "begin b", "begin c", "stop a", "stop b"]);
    for ctx in toys.contexts.lock().unwrap().iter() {
        assert_eq!((ctx.generation, ctx.run.as_str()), (Generation(7), "f-1"));
        assert!(ctx.step.as_str().starts_with("member/"), "{ctx:?}");
        assert!(ctx.deadline > Still.now());
    }
}

#[test]
fn a_fleet_whose_runner_is_gone_resumes_its_members_and_begins_the_others() {
    let toys = Arc::new(Toys::default());
    let (performer, journal) = (performer(&toys), MemoryJournal::new());
    let fresh = Fleet::new(plan(&["a", "b", "c"], 2));
    let mut fleet = fresh.clone();
    // It is dropped while two members run.
    let run = driver(&performer, &journal);
    let gone = run
        .run(&mut fleet, futures_util::stream::pending())
        .now_or_never();
    assert!(gone.is_none());
    assert_eq!(toys.calls(), ["begin a", "begin b"]);
    let mut left = replay(fresh, &journal.records()).expect("it replays");
    assert_eq!(left.open.len(), 2);
    let by = Resumption::default();
    toys.calls.lock().unwrap().clear();
    // c waits to be told to stop, and is not: so the second drive is dropped, too.
    let gone = run
        .resume(&mut left, &by, futures_util::stream::pending())
        .now_or_never();
    assert!(gone.is_none());
    let mut calls = toys.calls();
    calls.sort();
    assert_eq!(calls, ["begin c", "resume a", "resume b"]);
    let begun = |record: &&crate::journal::Record<Event, Effect>| {
        matches!(
            &record.body,
            Body::Issued {
                effect: Effect::Begin { .. }
            }
        )
    };
    assert_eq!(journal.records().iter().filter(begun).count(), 3, "each once");
}

#[test]
fn a_gate_without_anybody_who_samples_fails() {
    let toys = Arc::new(Toys::default());
    let performer = performer(&toys);
    let request = SampleRequest {
        probe: "alarms".parse().expect("valid"),
        target: crate::probe::ProbeTarget::Alarms { names: vec![] },
        subject: crate::probe::Subject {
            service: None,
            images: BTreeMap::new(),
            changed_at: Timestamp::EPOCH,
        },
    };
    let effect = Effect::TakeSample {
        wave: "all".parse().expect("valid"),
        request,
    };
    let event = performer.perform(&effect).now_or_never().expect("at once");
    let Event::Gate {
        event: gate::Event::SampleFailed { error, .. },
        ..
    } = event
    else {
        panic!("{event:?}")
    };
    assert_eq!((error.kind, error.retry), (ErrorKind::Unsupported, Retry::Never));
}

#[test]
fn an_error_is_told_of_the_call_that_it_is_about() {
    let toys = Arc::new(Toys {
        fails: Some("a"),
        ..Toys::default()
    });
    let effect = Effect::Begin {
        member: "a".parse().expect("valid"),
        attempt: 1,
        until: Timestamp::MAX,
    };
    let event = performer(&toys).perform(&effect).now_or_never().expect("at once");
    assert!(
        matches!(event, Event::CallFailed { call: Call::Run, .. }),
        "{event:?}"
    );
}

#[test]
fn a_switch_is_heard_once_before_or_after() {
    let switch = StopSwitch::default();
    let mut early = switch.signals::<Fleet>();
    assert_eq!(early.next().now_or_never(), None);
    switch.stop();
    switch.stop();
    assert_eq!(early.next().now_or_never(), Some(Some(Event::Abort)));
    assert_eq!(early.next().now_or_never(), Some(None));
    let mut late = switch.signals::<Fleet>();
    assert_eq!(late.next().now_or_never(), Some(Some(Event::Abort)));
}
