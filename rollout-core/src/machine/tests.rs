//! What holds of every machine.

use crate::id::{ServiceName, StepId};
use crate::image::ImageRef;
use crate::machine::testkit::Subject;
use crate::machine::world::{World, digest, images, plan, record_key};
use crate::machine::{
    Disposition, Effect as _, Lifecycle, Machine, Rejected, Step, Transitions, cutover, deployment, gate,
    promotion, rollout, task, unwind,
};
use crate::plan::RolloutPlan;
use crate::service::{Images, RevisionSpec, TaskSpec};
use crate::time::{Deadline, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(10_000_000);

fn image_machine(plan: &RolloutPlan) -> promotion::Promotion {
    let spec = plan.services[0].images.values().next().expect("there is one");
    promotion::Promotion::new(spec.clone(), plan.policy.promotion.clone())
}

fn task_spec(plan: &RolloutPlan) -> TaskSpec {
    let task = &plan.tasks[0];
    let revision = RevisionSpec {
        template: task.template.clone(),
        images: std::collections::BTreeMap::new(),
    };
    TaskSpec {
        name: task.name.clone(),
        revision,
        run: task.run.clone(),
    }
}

fn task_machine(plan: &RolloutPlan) -> task::OneOff {
    task::OneOff::new(task_spec(plan), plan.tasks[0].policy.clone())
}

fn gate_machine(plan: &RolloutPlan) -> gate::Gate {
    let subject = crate::probe::Subject {
        service: None,
        images: Images::new(),
        changed_at: NOW,
    };
    gate::Gate::new(plan.gates[0].judge(subject))
}

fn deployment_machine(plan: &RolloutPlan) -> deployment::Deployment {
    let spec = deployment::Spec {
        service: plan.services[0].name.clone(),
        target: deployment::Target::Release {
            revision: RevisionSpec {
                template: plan.services[0].template.clone(),
                images: std::collections::BTreeMap::new(),
            },
            assumes: None,
        },
        images: images("new"),
    };
    deployment::Deployment::new(spec, plan.services[0].deployment.clone())
}

fn cutover_machine(plan: &RolloutPlan) -> cutover::Cutover {
    let of = &plan.cutovers[0];
    let spec = cutover::Spec {
        run: plan.run.clone(),
        zone: of.zone.clone(),
        key: of.key.clone(),
        goal: cutover::Goal::Move {
            to: of.to.clone(),
            lowered_ttl: of.lowered_ttl,
        },
        allow_unhealthy_target: false,
        drain: None,
    };
    cutover::Cutover::new(spec, of.policy.clone())
}

fn unwind_machine(plan: &RolloutPlan) -> unwind::Unwind {
    let service: ServiceName = "backend".parse().expect("valid");
    let captured = World::new(plan).capture(&service, NOW);
    let crate::service::Captured::Point(point) = captured else {
        panic!("the world runs it: {captured:?}")
    };
    let spec = unwind::Spec {
        run: plan.run.clone(),
        changed: vec![unwind::Item {
            step: step(),
            undo: unwind::Undo::Service {
                service,
                point: Some(point),
                ours: None,
                our_revision: None,
            },
        }],
        blocked_by: None,
    };
    let policy = unwind::Policy {
        fast: true,
        deployment: plan.policy.unwind_deployment.clone(),
        cutover: plan.policy.unwind_cutover.clone(),
    };
    unwind::Unwind::new(spec, policy)
}

fn step() -> StepId {
    "a/step".parse().expect("valid")
}

/// Starts a machine, and tells it an hour that has passed already.
fn keeps_the_latest_moment<M: Subject + Lifecycle>(mut machine: M) {
    let seen = |machine: &M| serde_json::to_value(machine).expect("plain data")["seen"].clone();
    let hour_before = Timestamp::from_millis(NOW.as_millis() - 3_600_000);
    machine.handle(NOW, M::start()).expect("it begins");
    assert_eq!(seen(&machine), serde_json::json!(NOW), "{}", M::NAME);
    let (state, deadline) = (machine.state_kind(), machine.deadline());
    machine
        .handle(hour_before, M::elapsed())
        .expect("it is told the time");
    assert_eq!(seen(&machine), serde_json::json!(NOW), "{}", M::NAME);
    assert_eq!(
        (machine.state_kind(), machine.deadline()),
        (state, deadline),
        "{}",
        M::NAME
    );
}

#[test]
fn a_clock_that_goes_back_does_not_take_a_machine_back() {
    let plan = plan(true);
    keeps_the_latest_moment(image_machine(&plan));
    keeps_the_latest_moment(task_machine(&plan));
    keeps_the_latest_moment(gate_machine(&plan));
    keeps_the_latest_moment(deployment_machine(&plan));
    keeps_the_latest_moment(cutover_machine(&plan));
    keeps_the_latest_moment(unwind_machine(&plan));
    keeps_the_latest_moment(rollout::Rollout::new(plan));
}

/// One effect of each machine with its attempt and whether it mutates.
fn effects() -> Vec<(rollout::Action, u32, bool)> {
    use rollout::Action;
    let service: ServiceName = "backend".parse().expect("valid");
    let image = ImageRef {
        repository: "shop/backend".parse().expect("valid"),
        digest: digest("new"),
    };
    let subject = crate::probe::Subject {
        service: None,
        images: Images::new(),
        changed_at: NOW,
    };
    let request = crate::probe::SampleRequest {
        probe: "live".parse().expect("valid"),
        target: crate::probe::ProbeTarget::Alarms { names: Vec::new() },
        subject,
    };
    let zone: crate::id::ZoneId = "Z1".parse().expect("valid");
    let read = cutover::Effect::TakeSnapshot {
        zone: zone.clone(),
        key: record_key(),
    };
    let marker = crate::dns::Marker {
        generation: crate::id::Generation(3),
        run: "r-1".parse().expect("valid"),
    };
    let seen = World::new(&plan(true)).snapshot(&zone, &record_key(), NOW);
    let record = seen.record.clone().expect("it is there");
    let batch = crate::dns::ChangeBatch::compare_and_set(&seen, record, &marker).expect("a valid batch");
    let write = cutover::Effect::Apply { batch };
    let find = task::Effect::FindTask {
        spec: Box::new(task_spec(&plan(true))),
        attempt: 4,
    };
    let of_unwind = |action| Action::Unwind(unwind::Effect { step: step(), action });
    let look = deployment::Effect::Observe {
        service: service.clone(),
    };
    let revision = deployment::Effect::EnsureRevision(RevisionSpec {
        template: serde_json::json!({}),
        images: std::collections::BTreeMap::new(),
    });
    vec![
        (Action::CheckIdentity, 1, false),
        (
            Action::Capture {
                service: service.clone(),
            },
            1,
            false,
        ),
        (Action::SampleAlarm(request.clone()), 1, false),
        (
            Action::ReadRecord {
                zone,
                key: record_key(),
            },
            1,
            false,
        ),
        (Action::Confirm { service }, 1, false),
        (Action::Promotion(promotion::Effect::ReadBack { image }), 1, false),
        (Action::Task(find), 4, false),
        (Action::Deployment(look.clone()), 1, false),
        (Action::Deployment(revision.clone()), 1, true),
        (Action::Gate(gate::Effect::TakeSample(request)), 1, false),
        (Action::Cutover(read.clone()), 1, false),
        (Action::Cutover(write.clone()), 3, true),
        (of_unwind(unwind::Action::Deployment(look)), 1, false),
        (of_unwind(unwind::Action::Deployment(revision)), 1, true),
        (of_unwind(unwind::Action::Cutover(read)), 1, false),
        (of_unwind(unwind::Action::Cutover(write)), 3, true),
    ]
}

#[test]
fn a_parents_effect_is_what_its_childs_is() {
    for (action, attempt, mutates) in effects() {
        let effect = rollout::Effect { step: step(), action };
        assert_eq!(
            (effect.attempt(), effect.mutates()),
            (attempt, mutates),
            "{effect:?}"
        );
    }
}

/// A machine whose step does not keep to its table.
#[derive(Clone, Debug, Default)]
struct Stray {
    seen: Timestamp,
    kind: StrayKind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, strum::EnumIter)]
enum StrayKind {
    #[default]
    Here,
    There,
    Nowhere,
}

impl Machine for Stray {
    type Event = StrayKind;
    type Effect = StrayKind;
    type Outcome = ();

    fn handle(&mut self, now: Timestamp, event: StrayKind) -> Result<Vec<StrayKind>, Rejected> {
        super::handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        None
    }

    fn outcome(&self) -> Option<()> {
        None
    }
}

impl Transitions for Stray {
    const NAME: &'static str = "stray";
    type StateKind = StrayKind;
    type EventKind = StrayKind;

    fn state_kind(&self) -> StrayKind {
        self.kind
    }

    fn event_kind(event: &StrayKind) -> StrayKind {
        *event
    }

    fn disposition(_: StrayKind, _: StrayKind) -> Disposition<StrayKind> {
        Disposition::Moves(&[StrayKind::Here, StrayKind::There])
    }
}

impl Step for Stray {
    type State = StrayKind;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut StrayKind {
        &mut self.kind
    }

    fn admit(&self, _: &StrayKind) -> Result<(), String> {
        Ok(())
    }

    fn step(&self, _: StrayKind, _: Timestamp, event: StrayKind) -> (StrayKind, Vec<StrayKind>) {
        (event, vec![event])
    }
}

#[test]
fn a_step_that_leaves_its_table_is_found_and_does_nothing() {
    let mut stray = Stray::default();
    assert_eq!(stray.handle(NOW, StrayKind::There), Ok(vec![StrayKind::There]));
    let rejected = stray
        .handle(NOW, StrayKind::Nowhere)
        .expect_err("it is not in the table");
    assert_eq!(rejected.why, "the step led to Nowhere, which is not in the table");
}
