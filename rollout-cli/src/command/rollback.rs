//! `rollout rollback`: takes the target environment back to what it ran before a run, and holds it.

use anyhow::bail;
use rollout_core::Machine as _;
use rollout_core::context::OpContext;
use rollout_core::evidence::Reason;
use rollout_core::id::Generation;
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::{Spec, Undo, Unwind};
use rollout_core::pace::Priority;
use rollout_core::plan::rollback::{Proof, RollbackPolicy, already_back};
use rollout_core::port::{Clock, Ports};

use super::drive::{CALL, Site, under_lease};
use super::resume;
use crate::args::{Global, Rollback};
use crate::config::Config;
use crate::exit::Exit;
use crate::hold::TakenBack;
use crate::outcome;
use crate::past::{self, Latest, Past};
use crate::session::{After, Work};
use crate::state::{Kept, Part, State};
use crate::tenure::Asked;
use crate::view::report::Report;

pub(crate) async fn execute(global: &Global, args: &Rollback) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let state = State::open(global).await?;
    let kept = state.find(args.which.run.as_deref()).await?;
    let (wait, run) = (args.wait.wait, &kept.run);
    let why = args.reason.clone();
    let why = why.unwrap_or_else(|| "no reason was given (`--reason` takes one)".to_owned());
    let taken = TakenBack::now(&config.promotion.to, run, why, !args.automatic, &config.rollback);
    under_lease((global, &config, &state), Asked { run, wait }, async |site| {
        match Latest::of(&kept).await? {
            // What it has begun is known to its own machine only: that stops, and takes it back.
            Latest::Release(left) if !left.past.replayed.closed => {
                super::keep(&state, &taken).await?;
                resume::release(site, &kept, left, After::Stop).await
            }
            Latest::Rollback(left) if !left.past.replayed.closed => bail!(
                "a rollback of run {run} was begun and its process is gone; `rollout resume {run}` goes on with it"
            ),
            Latest::Release(left) => whole(site, &kept, &left.past, &taken).await,
            Latest::Rollback(_) => {
                whole(site, &kept, &past::read(&kept, Part::Release).await?, &taken).await
            }
        }
    })
    .await
}

/// Takes back a run that has ended.
async fn whole(
    site: &Site<'_>,
    kept: &Kept,
    past: &Past<Rollout>,
    taken: &TakenBack,
) -> anyhow::Result<Exit> {
    let (run, release) = (&kept.run, &past.replayed.machine);
    let plan = release.plan();
    super::same_target(plan, site.config)?;
    let mut earlier = Vec::new();
    let mut next = 1;
    for part in kept.parts().await? {
        if let Part::Rollback(n) = part {
            let rollback: Past<Unwind> = past::read(kept, part).await?;
            earlier.extend(rollback.replayed.machine.outcome());
            next = n + 1;
        }
    }
    if let Some(why) = already_back(release.outcome().as_ref(), &earlier) {
        let why = format!("run {run} is back already: {why}; a rollback is not rolled back");
        let mut back = refusal(why);
        // For programs, which need not take the words apart.
        back.details["refused"]["back"] = true.into();
        return Ok(super::refused(site.global, back, run));
    }
    let mut machine = unwinding(release)?;
    let cloud = site.open(&plan.release, past.replayed.last).await?;
    let clock = cloud.clock();
    let policy = &site.config.rollback;
    if let Err(why) = usable(site.global, policy, release, &cloud.ports(), clock.as_ref()).await {
        let mut report = refusal(why.text);
        report.evidence = why.evidence;
        let report = report.here(site.global);
        return Ok(super::report(site.global, &report, run.as_str(), clock.now()));
    }
    // Before the first change: a rollback that is cut off holds the environment, too.
    super::keep(site.state, taken).await?;
    let journal = kept.begin(Part::Rollback(next)).await?;
    let told = async |outcome| {
        let mut report = outcome::of_unwind(&outcome, &plan.to);
        if taken.is_held() {
            taken.tell(&mut report);
        }
        Ok(report)
    };
    site.drive(
        &cloud,
        kept,
        ("rollback", &journal),
        Work::New(&mut machine),
        told,
    )
    .await
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
    let next = "rollout run --release TAG    goes forward, to a release that is known to be good";
    let details = serde_json::json!({ "refused": { "why": why } });
    Report::refused(why, vec![next.to_owned()], details)
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
