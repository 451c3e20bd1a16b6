//! Hints reach the machine that they concern, forward and back, and nobody else.

use core::time::Duration;

use super::*;
use crate::hint::Hint;
use crate::machine::deployment::Effect as Deploying;
use crate::machine::unwind;
use crate::service::RolloutState;

/// Whether the effect looks at a service, forward or back.
fn looks(action: &Action) -> bool {
    matches!(
        action,
        Action::Deployment(Deploying::Observe { .. })
            | Action::Unwind(unwind::Effect {
                action: unwind::Action::Deployment(Deploying::Observe { .. }),
                ..
            })
    )
}

/// Whether the effect is about a service.
fn changes(action: &Action) -> bool {
    matches!(
        action,
        Action::Deployment(_)
            | Action::Unwind(unwind::Effect {
                action: unwind::Action::Deployment(_),
                ..
            })
    )
}

/// Runs on to a look after our change that shows it half done, so that the service, whose name is the answer, waits for its next look.
fn paused(run: &mut Run, state: StateKind) -> ServiceName {
    let changed = |run: &Run| {
        let mut said = run.said.iter();
        said.any(|(kind, effect)| *kind == state && changes(&effect.action) && effect.mutates())
    };
    run.until(|run| {
        let looking = run.flight.first().is_some_and(|effect| looks(&effect.action));
        run.walk.machine.state_kind() == state && changed(run) && looking
    });
    let effect = run.flight.remove(0);
    let (Action::Deployment(Deploying::Observe { service, .. })
    | Action::Unwind(unwind::Effect {
        action: unwind::Action::Deployment(Deploying::Observe { service, .. }),
        ..
    })) = effect.action.clone()
    else {
        panic!("it looks: {effect:?}")
    };
    run.now = run.now.after(secs(1));
    let mut event = run.answer(effect, Luck::Good);
    let (Event::Deployment { event: inner, .. }
    | Event::Unwind(unwind::Event::Deployment { event: inner, .. })) = &mut event
    else {
        panic!("an answer to a look: {event:?}")
    };
    let deployment::Event::Observed(seen) = inner else {
        panic!("what was seen: {inner:?}")
    };
    for deployment in &mut seen.deployments {
        deployment.rollout = RolloutState::InProgress;
        deployment.running = 0;
        deployment.record = None;
    }
    run.give(event);
    // Whatever else is under way has its own time.
    run.flight.clear();
    service
}

/// What a hint about a service makes it say before its next look is due.
fn hinted(run: &mut Run, service: &ServiceName) -> Vec<Effect> {
    // Longer after the last look than looks keep apart, and before the next one is due.
    let due = run.walk.machine.deadline().expect("it waits").at;
    run.now = run.now.after(Duration::from_millis(400));
    assert!(run.now < due, "the next look is not due yet");
    let said = run.said.len();
    run.give(Event::Hinted(Hint::Service(service.clone())));
    run.said[said..]
        .iter()
        .map(|(_, effect)| effect.clone())
        .collect()
}

#[test]
fn a_hint_reaches_the_service_that_it_is_about_and_no_other() {
    let mut run = Run::new(plan(true));
    run.give(Event::Start);
    let service = paused(&mut run, StateKind::Changing);
    let other = "nobody".parse().expect("valid");
    assert_eq!(hinted(&mut run, &other), []);
    let said = hinted(&mut run, &service);
    assert!(matches!(&said[..], [effect] if looks(&effect.action)), "{said:?}");
}

#[test]
fn a_hint_reaches_the_service_that_goes_back() {
    let mut run = Run::new(plan(true));
    run.give(Event::Start);
    paused(&mut run, StateKind::Changing);
    run.give(Event::Abort);
    let service = paused(&mut run, StateKind::Unwinding);
    assert_eq!(hinted(&mut run, &"nobody".parse().expect("valid")), []);
    let said = hinted(&mut run, &service);
    assert!(matches!(&said[..], [effect] if looks(&effect.action)), "{said:?}");
}
