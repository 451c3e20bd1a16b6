//! Checks of [`Environment`].

use async_trait::async_trait;

use super::{
    Fixture, Stop, Trouble, answer, ctx, dated, error, hold, lost, only_reads, refused, same, until,
};
use crate::error::{Applied, ErrorKind, Retry};
use crate::id::{DeploymentId, ServiceName, TaskArn, TaskDefinitionArn};
use crate::image::Ensured;
use crate::port::Environment;
use crate::service::{
    DeploymentStarted, Identity, Images, RevisionSpec, ServiceChange, ServiceObservation, ServiceStatus,
    StoppedTask, TaskObservation, TaskSpec,
};

mod task;

use task::{
    a_lost_answer_to_a_start_is_found_again, a_missing_task_is_an_observation, a_task_can_be_stopped_twice,
    a_task_is_found_by_its_token, a_task_starts_once_for_each_token, a_task_that_fails_says_how,
    a_task_that_succeeds_has_no_cause, another_attempt_is_another_task,
};

/// A service that runs and has come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its name.
    pub service: ServiceName,
    /// What each of its tasks runs.
    pub images: Images,
    /// How many tasks it wants, and has.
    pub desired: u32,
}

/// What a release does once it is deployed to the service of [`EnvironmentFixture::settled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It runs. Its image is not the one that the service runs at first.
    Good,
    /// Another that runs.
    Other,
    /// Its tasks do not come up.
    Failing,
}

/// What a one-off task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// It ends with exit code 0.
    Succeeds,
    /// It ends with another exit code.
    Fails,
    /// It runs for longer than the [patience](Fixture::patience) of a check.
    Lasts,
}

/// What is true of a service, learned without the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The deployment that the platform steers towards.
    pub primary: Option<DeploymentId>,
    /// Its revision.
    pub task_definition: Option<TaskDefinitionArn>,
    /// Every deployment that the platform shows.
    pub deployments: Vec<DeploymentId>,
    /// The images of every running task.
    pub running: Vec<Images>,
}

/// A world with one environment in it.
#[async_trait(?Send)]
pub trait EnvironmentFixture: Fixture {
    /// The port.
    fn environment(&self) -> &dyn Environment;

    /// Who the port's caller is, and where.
    async fn identity(&self) -> Result<Identity, Stop>;

    /// The service of this world: always the same one.
    async fn settled(&self) -> Result<Settled, Stop>;

    /// What is true of a service.
    async fn truth(&self, service: &ServiceName) -> Result<Truth, Stop>;

    /// A revision for the service that nobody has registered yet.
    async fn release(&self, release: Release) -> Result<RevisionSpec, Stop>;

    /// Somebody else deploys to the service something that is none of the releases, and the platform has begun with it.
    async fn deploy_foreign(&self, service: &ServiceName) -> Result<(), Stop>;

    /// A one-off task that nobody has started yet.
    async fn task(&self, job: Job) -> Result<TaskSpec, Stop>;

    /// How many tasks were ever started by this description.
    async fn started(&self, spec: &TaskSpec) -> Result<usize, Stop>;

    /// A service that never was.
    fn absent_service(&self) -> ServiceName;

    /// A task that never was.
    fn absent_task(&self) -> TaskArn;

    /// A revision that never was.
    fn absent_revision(&self) -> TaskDefinitionArn;
}

suite!(
    "Environment",
    EnvironmentFixture {
        the_caller_is_named: "Who is calling, and where.",
        a_missing_service_is_an_observation: "A service that does not exist is an observation (ServiceStatus::Missing), not an error.",
        an_observation_is_true: "What a service looks like now.",
        an_observation_is_of_now: "What a service looks like now.",
        an_observation_is_not_dated_later_than_the_question: "An observation's `at` is a moment not later than the moment the other side was asked.",
        observing_changes_nothing: "A port observes, or ensures.",
        a_revision_is_there_once: "Makes sure that a usable revision with exactly this content exists, and names it.",
        another_content_is_another_revision: "Makes sure that a usable revision with exactly this content exists, and names it.",
        a_revision_that_is_wrong_is_refused: "InvalidRequest: the request itself is wrong.",
        an_update_goes_to_the_revision: "Makes the service go to a revision, if what the change assumes holds.",
        an_update_said_twice_is_one_deployment: "When the service already goes to that revision its present deployment is the answer.",
        an_update_yields_to_another_deployer: "A mutating call first checks what its argument assumes and answers Conflict, Applied::No, when it does not hold.",
        an_update_of_nothing_is_refused: "NotFound: the subject does not exist.",
        an_update_to_nothing_is_refused: "An error says whether the call may have taken effect.",
        a_failing_deployment_says_why: "What a service looks like now: tasks that stopped lately, and why.",
        a_lost_answer_to_an_update_is_not_a_no: "An implementation that cannot tell says `Maybe`; saying an effect twice is harmless.",
        a_throttled_call_may_be_said_again: "Throttled: a repeat may succeed, later; it has not taken effect.",
        a_forbidden_call_changes_nothing: "PermissionDenied: a repeat gives the same answer; it has not taken effect.",
        a_task_starts_once_for_each_token: "Starts a one-off task once per token of `ctx`; the same token again answers with the same task.",
        another_attempt_is_another_task: "Starts a one-off task once per token of `ctx`.",
        a_task_is_found_by_its_token: "Looks for the task that a lost answer to `start_task` with the same token may have started.",
        a_lost_answer_to_a_start_is_found_again: "Looks for the task that a lost answer to `start_task` with the same token may have started.",
        a_task_that_succeeds_has_no_cause: "`None` for a stop that is no failure.",
        a_task_that_fails_says_how: "What follows from the platform's stop code and reason; how its containers ended.",
        a_missing_task_is_an_observation: "The platform does not know it (any more).",
        a_task_can_be_stopped_twice: "Stops a one-off task. One that has ended already is no error.",
    }
);

/// Ensures a release's revision.
pub(super) async fn revision<F: EnvironmentFixture>(
    fixture: &F,
    release: Release,
) -> Result<TaskDefinitionArn, Stop> {
    let spec = fixture.release(release).await?;
    let made = fixture
        .environment()
        .ensure_revision(&ctx(fixture, "revision", 1), &spec)
        .await;
    Ok(answer("a revision", made)?.0)
}

/// The change that brings a release, as things are now.
async fn change<F: EnvironmentFixture>(fixture: &F, release: Release) -> Result<ServiceChange, Stop> {
    let service = fixture.settled().await?.service;
    let task_definition = revision(fixture, release).await?;
    let assumes = fixture.truth(&service).await?.primary;
    Ok(ServiceChange {
        service,
        task_definition,
        assumes,
    })
}

/// Deploys a release, as things are now.
pub(super) async fn update<F: EnvironmentFixture>(
    fixture: &F,
    release: Release,
) -> Result<(ServiceChange, DeploymentStarted), Stop> {
    let change = change(fixture, release).await?;
    let started = fixture
        .environment()
        .update_service(&ctx(fixture, "update", 1), &change)
        .await;
    Ok((change, answer("a deployment", started)?))
}

/// Waits until every task of the service is of this revision and runs these images.
pub(super) async fn arrives<F: EnvironmentFixture>(
    fixture: &F,
    settled: &Settled,
    revision: &TaskDefinitionArn,
    is_image: impl Fn(&Images) -> bool,
) -> Result<(), Stop> {
    until(
        fixture,
        &format!("{} tasks of {revision}", settled.desired),
        async || {
            let truth = fixture.truth(&settled.service).await?;
            let all = u32::try_from(truth.running.len()) == Ok(settled.desired)
                && truth.running.iter().all(&is_image);
            let there = all && truth.task_definition.as_ref() == Some(revision);
            Ok(if there { Ok(()) } else { Err(format!("{truth:?}")) })
        },
    )
    .await
}

async fn the_caller_is_named<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let wanted = fixture.identity().await?;
    let seen = fixture.environment().identity(&ctx(fixture, "identity", 1)).await;
    same("the caller", &wanted, &answer("an identity", seen)?)
}

async fn a_missing_service_is_an_observation<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let absent = fixture.absent_service();
    let (port, asked) = (fixture.environment(), ctx(fixture, "observe", 1));
    for seen in [
        port.observe_service(&asked, &absent).await,
        port.observe_running(&asked, &absent).await,
    ] {
        let seen = answer("an observation of a service that never was", seen)?;
        same("its status", &ServiceStatus::Missing, &seen.status)?;
        hold(
            seen.deployments.is_empty() && seen.tasks.is_empty() && seen.running == 0,
            "neither deployments nor tasks",
            &seen,
        )?;
    }
    Ok(())
}

async fn an_observation_is_true<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let settled = fixture.settled().await?;
    let truth = fixture.truth(&settled.service).await?;
    let port = fixture.environment();
    let asked = ctx(fixture, "observe", 1);
    for seen in [
        port.observe_service(&asked, &settled.service).await,
        port.observe_running(&asked, &settled.service).await,
    ] {
        is_true(&settled, &truth, &answer("an observation", seen)?)?;
    }
    Ok(())
}

fn is_true(settled: &Settled, truth: &Truth, seen: &ServiceObservation) -> Result<(), Stop> {
    same("its status", &ServiceStatus::Active, &seen.status)?;
    same("tasks wanted", &settled.desired, &seen.desired)?;
    same("tasks running", &settled.desired, &seen.running)?;
    same("tasks on their way", &0, &seen.pending)?;
    let primary = seen.primary();
    same(
        "the PRIMARY deployment",
        &truth.primary,
        &primary.map(|d| d.id.clone()),
    )?;
    same(
        "its revision",
        &truth.task_definition,
        &primary.map(|d| d.task_definition.clone()),
    )?;
    let images: Vec<&Images> = seen.tasks.iter().map(|task| &task.images).collect();
    let wanted: Vec<&Images> = truth.running.iter().collect();
    same("the images of its tasks", &wanted, &images)
}

async fn an_observation_is_of_now<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let settled = fixture.settled().await?;
    let port = fixture.environment();
    let look = async || {
        let seen = port
            .observe_service(&ctx(fixture, "observe", 1), &settled.service)
            .await;
        answer("an observation", seen)
    };
    let before = look().await?;
    let (_, started) = update(fixture, Release::Good).await?;
    until(
        fixture,
        "a later observation that shows the new deployment",
        async || {
            let seen = look().await?;
            let newer = seen.at > before.at && seen.primary().map(|d| &d.id) == Some(&started.deployment);
            Ok(if newer { Ok(()) } else { Err(format!("{seen:?}")) })
        },
    )
    .await
}

async fn an_observation_is_not_dated_later_than_the_question<F: EnvironmentFixture>(
    fixture: &F,
) -> Result<(), Stop> {
    let settled = fixture.settled().await?;
    let port = fixture.environment();
    let observe = ctx(fixture, "observe", 1);
    let seen = answer(
        "an observation",
        port.observe_service(&observe, &settled.service).await,
    )?;
    dated(fixture, "the observation of a service", seen.at)?;
    for deployment in &seen.deployments {
        dated(fixture, "a deployment's creation", deployment.created_at)?;
    }
    for event in &seen.events {
        dated(fixture, "an event", event.at)?;
    }
    for started_at in seen.tasks.iter().filter_map(|task| task.started_at) {
        dated(fixture, "a task's start", started_at)?;
    }
    let running = answer(
        "an observation",
        port.observe_running(&observe, &settled.service).await,
    )?;
    dated(fixture, "the observation of what runs", running.at)?;
    let missing = answer(
        "an observation",
        port.observe_service(&observe, &fixture.absent_service()).await,
    )?;
    dated(fixture, "the observation of a missing service", missing.at)?;
    match answer(
        "an observation",
        port.observe_task(&observe, &fixture.absent_task()).await,
    )? {
        TaskObservation::Running { at, .. } | TaskObservation::Missing { at } => {
            dated(fixture, "the observation of a missing task", at)
        }
        TaskObservation::Stopped(task) => dated(fixture, "a task's end", task.stopped_at),
    }
}

async fn observing_changes_nothing<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let settled = fixture.settled().await?;
    let task = fixture.task(Job::Succeeds).await?;
    let port = fixture.environment();
    let observe = ctx(fixture, "observe", 1);
    only_reads(fixture, async || {
        answer("an identity", port.identity(&observe).await)?;
        answer(
            "an observation",
            port.observe_service(&observe, &settled.service).await,
        )?;
        answer(
            "an observation",
            port.observe_running(&observe, &settled.service).await,
        )?;
        answer(
            "an observation",
            port.observe_service(&observe, &fixture.absent_service()).await,
        )?;
        answer(
            "an observation",
            port.observe_task(&observe, &fixture.absent_task()).await,
        )?;
        answer("no task", port.find_task(&observe, &task).await).map(drop)
    })
    .await
}

async fn a_revision_is_there_once<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let spec = fixture.release(Release::Good).await?;
    let port = fixture.environment();
    let (first, how) = answer(
        "a revision",
        port.ensure_revision(&ctx(fixture, "revision", 1), &spec).await,
    )?;
    hold(
        how != Ensured::AlreadyThere,
        "a revision that was not there before",
        &how,
    )?;
    // Another run asks for the same: what counts is the content.
    let (again, how) = answer(
        "the revision",
        port.ensure_revision(&ctx(fixture, "other", 7), &spec).await,
    )?;
    same("the revision, asked for again", &first, &again)?;
    same("how the second call ended", &Ensured::AlreadyThere, &how)
}

async fn another_content_is_another_revision<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let (good, other) = (
        revision(fixture, Release::Good).await?,
        revision(fixture, Release::Other).await?,
    );
    hold(good != other, "two revisions for two contents", &(&good, &other))
}

async fn a_revision_that_is_wrong_is_refused<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let mut spec = fixture.release(Release::Good).await?;
    let image = spec.images.values().next().cloned();
    let image = image.ok_or_else(|| Stop::fixture("the release brings no image"))?;
    let container = "conformance-no-such-container".parse().map_err(Stop::fixture)?;
    spec.images.insert(container, image);
    let made = fixture
        .environment()
        .ensure_revision(&ctx(fixture, "revision", 1), &spec)
        .await;
    refused(
        "a revision with an image for a container that it does not have",
        made,
        &[ErrorKind::InvalidRequest],
    )
}

async fn an_update_goes_to_the_revision<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let settled = fixture.settled().await?;
    let before = fixture.truth(&settled.service).await?;
    let (change, started) = update(fixture, Release::Good).await?;
    dated(fixture, "the deployment's creation", started.created_at)?;
    hold(
        !before.deployments.contains(&started.deployment),
        "a new deployment",
        &started,
    )?;
    let truth = fixture.truth(&settled.service).await?;
    same(
        "the PRIMARY deployment",
        &Some(started.deployment),
        &truth.primary,
    )?;
    let old = settled.images.clone();
    arrives(fixture, &settled, &change.task_definition, |images| {
        *images != old
    })
    .await
}

async fn an_update_said_twice_is_one_deployment<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let (change, first) = update(fixture, Release::Good).await?;
    let before = fixture.truth(&change.service).await?;
    let again = fixture
        .environment()
        .update_service(&ctx(fixture, "update", 1), &change)
        .await;
    let again = answer("the deployment that is under way", again)?;
    same("the deployment", &first.deployment, &again.deployment)?;
    let after = fixture.truth(&change.service).await?;
    same("the deployments", &before.deployments, &after.deployments)
}

async fn an_update_yields_to_another_deployer<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let change = change(fixture, Release::Good).await?;
    fixture.deploy_foreign(&change.service).await?;
    let before = fixture.truth(&change.service).await?;
    let made = fixture
        .environment()
        .update_service(&ctx(fixture, "update", 1), &change)
        .await;
    refused(
        "an update that assumes a deployment that was replaced",
        made,
        &[ErrorKind::Conflict],
    )?;
    let after = fixture.truth(&change.service).await?;
    same("the PRIMARY deployment", &before.primary, &after.primary)?;
    same("its revision", &before.task_definition, &after.task_definition)
}

async fn an_update_of_nothing_is_refused<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let mut change = change(fixture, Release::Good).await?;
    change.service = fixture.absent_service();
    change.assumes = None;
    let made = fixture
        .environment()
        .update_service(&ctx(fixture, "update", 1), &change)
        .await;
    refused(
        "an update of a service that never was",
        made,
        &[ErrorKind::NotFound],
    )
}

async fn an_update_to_nothing_is_refused<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let mut change = change(fixture, Release::Good).await?;
    change.task_definition = fixture.absent_revision();
    let before = fixture.truth(&change.service).await?;
    let made = fixture
        .environment()
        .update_service(&ctx(fixture, "update", 1), &change)
        .await;
    refused(
        "an update to a revision that never was",
        made,
        &[ErrorKind::InvalidRequest, ErrorKind::NotFound],
    )?;
    let after = fixture.truth(&change.service).await?;
    same("the deployments", &before.deployments, &after.deployments)
}

async fn a_failing_deployment_says_why<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let (change, started) = update(fixture, Release::Failing).await?;
    let port = fixture.environment();
    until(
        fixture,
        "a stopped task of the failing revision with a cause and a reason",
        async || {
            let seen = port
                .observe_service(&ctx(fixture, "observe", 1), &change.service)
                .await;
            let seen = answer("an observation", seen)?;
            let ours = |task: &&StoppedTask| {
                task.task_definition == change.task_definition
                    && task
                        .started_by
                        .as_ref()
                        .is_none_or(|by| *by == started.deployment)
            };
            let Some(task) = seen.stopped.iter().find(ours) else {
                return Ok(Err(format!("{seen:?}")));
            };
            dated(fixture, "a task's end", task.stopped_at)?;
            let says = task.cause.is_some() && !task.reason.is_empty();
            Ok(if says { Ok(()) } else { Err(format!("{task:?}")) })
        },
    )
    .await
}

async fn a_lost_answer_to_an_update_is_not_a_no<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let change = change(fixture, Release::Good).await?;
    let before = fixture.truth(&change.service).await?;
    fixture.trouble(Trouble::LostAnswers).await?;
    let port = fixture.environment();
    let lost_call = port.update_service(&ctx(fixture, "update", 1), &change).await;
    fixture.calm().await?;
    lost("the update", lost_call)?;
    let again = port.update_service(&ctx(fixture, "update", 1), &change).await;
    let again = answer("the deployment that the lost call began", again)?;
    let after = fixture.truth(&change.service).await?;
    same("the PRIMARY deployment", &after.primary, &Some(again.deployment))?;
    let new = after
        .deployments
        .iter()
        .filter(|id| !before.deployments.contains(id))
        .count();
    same("deployments that were begun", &1, &new)
}

async fn a_throttled_call_may_be_said_again<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let change = change(fixture, Release::Good).await?;
    let before = fixture.truth(&change.service).await?;
    fixture.trouble(Trouble::Throttled).await?;
    let port = fixture.environment();
    let made = port.update_service(&ctx(fixture, "update", 1), &change).await;
    fixture.calm().await?;
    let wanted = "Throttled, retry Later or Exhausted, applied No";
    let error = error(wanted, made)?;
    let fits =
        error.kind == ErrorKind::Throttled && error.retry != Retry::Never && error.applied == Applied::No;
    hold(fits, wanted, &(error.kind, error.retry, error.applied))?;
    same(
        "the deployments",
        &before.deployments,
        &fixture.truth(&change.service).await?.deployments,
    )?;
    let again = port.update_service(&ctx(fixture, "update", 1), &change).await;
    answer("a deployment, now that calls go through", again).map(drop)
}

async fn a_forbidden_call_changes_nothing<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let change = change(fixture, Release::Good).await?;
    let before = fixture.truth(&change.service).await?;
    fixture.trouble(Trouble::Denied).await?;
    let made = fixture
        .environment()
        .update_service(&ctx(fixture, "update", 1), &change)
        .await;
    fixture.calm().await?;
    refused(
        "an update without permission",
        made,
        &[ErrorKind::PermissionDenied],
    )?;
    same(
        "the deployments",
        &before.deployments,
        &fixture.truth(&change.service).await?.deployments,
    )
}
