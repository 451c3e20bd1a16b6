//! `rollout rollback`: takes the target environment back to what it ran before a run, and holds it.

use anyhow::bail;
use rollout_core::Machine as _;
use rollout_core::context::OpContext;
use rollout_core::driver::PortPerformer;
use rollout_core::evidence::Reason;
use rollout_core::id::{Generation, StepId};
use rollout_core::journal::FileJournal;
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::{Spec, Undo, Unwind};
use rollout_core::pace::Priority;
use rollout_core::plan::rollback::{Proof, RollbackPolicy, already_back};
use rollout_core::port::{Clock, Ports};

use super::resume;
use super::run::CALL;
use crate::args::{Global, Rollback};
use crate::cloud::{Cloud, Keeping};
use crate::config::Config;
use crate::exit::Exit;
use crate::hold::{HoldFiles, Holds as _, TakenBack};
use crate::outcome;
use crate::past::{self, Past, Unfinished};
use crate::runs::{RunDir, Runs};
use crate::session::{After, Ending, Session, Work};
use crate::view::report::Report;

pub(crate) fn execute(global: &Global, args: &Rollback) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let runs = Runs::new(&global.state_dir);
    let dir = runs.find(args.which.run.as_deref())?;
    let run = &dir.run;
    let why = args.reason.clone();
    let why = why.unwrap_or_else(|| "no reason was given (`--reason` takes one)".to_owned());
    let taken = TakenBack::now(&config.promotion.to, run, why, true, &config.rollback);
    match Unfinished::of(&dir)? {
        // What it has begun is known to its own machine only: that stops, and takes it back.
        Some(Unfinished::Release(journal)) => {
            HoldFiles::new(&global.state_dir).keep(&taken)?;
            resume::release(global, &config, &runs, &dir, &journal, After::Stop)
        }
        Some(Unfinished::Rollback(_)) => bail!(
            "a rollback of run {run} was begun and its process is gone; `rollout resume {run}` goes on with it"
        ),
        None => whole(global, &config, &runs, &dir, &taken),
    }
}

/// Takes back a run that has ended.
fn whole(
    global: &Global,
    config: &Config,
    runs: &Runs,
    dir: &RunDir,
    taken: &TakenBack,
) -> anyhow::Result<Exit> {
    let run = &dir.run;
    let past: Past<Rollout> = past::read(&dir.journal())?;
    let plan = past.replayed.machine.plan();
    super::same_target(dir, plan, config)?;
    let mut earlier = Vec::new();
    for journal in dir.rollbacks() {
        let rollback: Past<Unwind> = past::read(&journal)?;
        earlier.extend(rollback.replayed.machine.outcome());
    }
    if let Some(why) = already_back(past.replayed.machine.outcome().as_ref(), &earlier) {
        let why = format!("run {run} is back already: {why}; a rollback is not rolled back");
        return Ok(super::report(
            global,
            &refusal(why).here(global),
            run.as_str(),
            crate::runs::now(),
        ));
    }
    let mut machine = unwinding(&past.replayed.machine)?;
    super::block_on(async {
        let cloud = Cloud::open(global, config, runs, &plan.release, past.replayed.last).await?;
        let clock = cloud.clock();
        if let Err(why) = usable(
            global,
            &config.rollback,
            &past.replayed.machine,
            &cloud.ports(),
            clock.as_ref(),
        )
        .await
        {
            let mut report = refusal(why.text);
            report.evidence = why.evidence;
            return Ok(super::report(
                global,
                &report.here(global),
                run.as_str(),
                clock.now(),
            ));
        }
        // Before the first change: a rollback that is cut off holds the environment, too.
        HoldFiles::new(&global.state_dir).keep(taken)?;
        let performer = PortPerformer::new(
            cloud.ports(),
            cloud.clock(),
            run.clone(),
            StepId::new("rollback")?,
            CALL,
        );
        let journal = FileJournal::create(dir.next_rollback())?;
        let session = Session {
            global,
            dir,
            journal: &journal,
            performer: &Keeping::new(performer, &cloud, runs),
            clock: &cloud.clock(),
        };
        let ending = session.drive(Work::New(&mut machine)).await;
        cloud.keep(runs)?;
        Ok(match ending? {
            Ending::Outcome(outcome) => {
                let mut report = outcome::of_unwind(&outcome, &config.promotion.to).here(global);
                if taken.is_held() {
                    taken.tell(&mut report, global);
                }
                super::report(global, &report, run.as_str(), cloud.clock().now())
            }
            Ending::Left => super::left(global, run),
        })
    })?
}

/// The machine that undoes what a run has done.
fn unwinding(release: &Rollout) -> anyhow::Result<Unwind> {
    let run = &release.plan().run;
    if release.changed().is_empty() {
        bail!("run {run} has changed nothing that could go back; `rollout status {run}` shows how it ended");
    }
    let policy = &release.plan().policy;
    let spec = Spec {
        run: run.clone(),
        changed: release.changed().to_vec(),
        blocked_by: release.blocked_by().cloned(),
    };
    Ok(Unwind::new(spec, policy.unwind()))
}

/// The end of a rollback that is not begun.
fn refusal(why: String) -> Report {
    Report {
        name: "Refused",
        exit: Exit::Refused,
        summary: "nothing was touched".to_owned(),
        details: serde_json::json!({ "refused": { "why": why } }),
        why: Some(why),
        evidence: Vec::new(),
        facts: Vec::new(),
        next: vec![
            "rollout run --release TAG    goes forward, to a release that is known to be good".to_owned(),
        ],
    }
}

/// Looks whether what is to be gone back to can still run. What cannot be found out is told, and a person decides: this
/// one has.
async fn usable(
    global: &Global,
    policy: &RollbackPolicy,
    release: &Rollout,
    ports: &Ports,
    clock: &dyn Clock,
) -> Result<(), Reason> {
    if policy.usable == Proof::Unasked {
        return Ok(());
    }
    let by_hand = RollbackPolicy {
        usable: Proof::Known,
        ..*policy
    };
    for item in release.changed() {
        let Undo::Service {
            service,
            point: Some(point),
            ..
        } = &item.undo
        else {
            continue;
        };
        let ctx = OpContext {
            run: release.plan().run.clone(),
            step: rollout_core::plan::step::usable(service),
            attempt: 1,
            generation: Generation(1),
            deadline: clock.now().after(CALL),
            priority: Priority::Look,
        };
        if let Err(old) = policy.age(point, clock.now()) {
            super::say(global, &format!("note: {}", old.text));
        }
        match ports.rollback.usable(&ctx, point).await {
            Ok(seen) => {
                for told in by_hand.judge(point, &seen)? {
                    super::say(global, &format!("note: {}", told.detail));
                }
            }
            Err(error) => {
                let text = format!("note: whether {service} can go back cannot be found out: {error}");
                super::say(global, &text);
            }
        }
    }
    Ok(())
}
