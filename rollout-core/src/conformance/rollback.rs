//! Checks of [`Rollback`].

use async_trait::async_trait;

use super::environment::{EnvironmentFixture, Release, arrives, update};
use super::{Stop, answer, ctx, dated, hold, only_reads, refused, same, until};
use crate::error::{Applied, Error, ErrorKind};
use crate::id::{ServiceDeploymentArn, ServiceName};
use crate::port::Rollback;
use crate::service::{Captured, Found, PartKind, RestorePoint, Usability};

/// A world with an environment in which one can go back.
#[async_trait(?Send)]
pub trait RollbackFixture: EnvironmentFixture {
    /// The port.
    fn rollback(&self) -> &dyn Rollback;

    /// The image that the service runs disappears from the registry.
    async fn lose_image(&self, service: &ServiceName) -> Result<(), Stop>;
}

suite!(
    "Rollback",
    RollbackFixture {
        a_capture_is_true: "Captures what a service would go back to.",
        a_capture_changes_nothing: "A port observes, or ensures.",
        a_deployment_under_way_is_busy: "Someone is deploying right now: nothing can be captured.",
        a_missing_service_has_nothing: "There is nothing to go back to.",
        what_runs_can_be_gone_back_to: "Whether a service could still go back: the revision, each container's image.",
        a_look_at_what_it_rests_on_changes_nothing: "A port observes, or ensures.",
        a_lost_image_is_told: "Each container's image by its digest.",
        a_revision_that_is_not_there_is_told: "The revision.",
        a_restore_goes_back: "Makes the service go back to a restore point.",
        a_restore_said_twice_is_one_deployment: "When the service goes to that revision already its present deployment is the answer.",
        a_restore_of_what_runs_begins_nothing: "When the service goes to that revision already its present deployment is the answer.",
        a_restore_yields_to_another_deployer: "If `assumes` is the PRIMARY deployment; otherwise Conflict, Applied::No.",
        a_restore_of_nothing_is_refused: "NotFound: the subject does not exist.",
        a_deployment_under_way_is_turned_back: "Asks the platform to turn a deployment that is still under way back.",
        turning_back_yields_to_another_deployer: "`assumes` must be the PRIMARY deployment; otherwise Conflict, Applied::No.",
        what_is_done_is_not_turned_back: "Conflict, as when it is not under way any more.",
    }
);

async fn capture<F: RollbackFixture>(fixture: &F, service: &ServiceName) -> Result<Captured, Stop> {
    let captured = fixture
        .rollback()
        .capture(&ctx(fixture, "capture", 1), service)
        .await;
    answer("a capture", captured)
}

async fn point<F: RollbackFixture>(fixture: &F) -> Result<RestorePoint, Stop> {
    let service = fixture.settled().await?.service;
    match capture(fixture, &service).await? {
        Captured::Point(point) => Ok(point),
        other @ (Captured::Busy { .. } | Captured::Nothing { .. }) => Err(Stop::fail(
            "a restore point of a service that has come to rest",
            format!("{other:?}"),
        )),
    }
}

async fn a_capture_is_true<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let settled = fixture.settled().await?;
    let truth = fixture.truth(&settled.service).await?;
    let point = point(fixture).await?;
    dated(fixture, "the capture", point.captured_at)?;
    same("the service", &settled.service, &point.service)?;
    same("the deployment", &truth.primary, &Some(point.deployment))?;
    same(
        "the revision",
        &truth.task_definition,
        &Some(point.task_definition),
    )?;
    same("the images", &settled.images, &point.images)?;
    same("tasks wanted", &settled.desired, &point.desired)
}

async fn a_capture_changes_nothing<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let service = fixture.settled().await?.service;
    only_reads(fixture, async || capture(fixture, &service).await.map(drop)).await
}

async fn a_deployment_under_way_is_busy<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let (change, started) = update(fixture, Release::Good).await?;
    match capture(fixture, &change.service).await? {
        Captured::Busy { deployment, .. } => {
            same("the deployment under way", &started.deployment, &deployment)
        }
        other @ (Captured::Point(_) | Captured::Nothing { .. }) => Err(Stop::fail(
            "Busy: a deployment is under way",
            format!("{other:?}"),
        )),
    }
}

async fn a_missing_service_has_nothing<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let captured = capture(fixture, &fixture.absent_service()).await?;
    hold(
        matches!(&captured, Captured::Nothing { deployment: None, .. }),
        "Nothing, without a deployment",
        &captured,
    )
}

async fn usable<F: RollbackFixture>(fixture: &F, point: &RestorePoint) -> Result<Usability, Stop> {
    let seen = fixture.rollback().usable(&ctx(fixture, "usable", 1), point).await;
    answer("what a restore point rests on", seen)
}

/// What was found of the things of a kind.
fn found<'a>(seen: &'a Usability, of: impl Fn(&PartKind) -> bool + 'a) -> impl Iterator<Item = &'a Found> {
    seen.parts
        .iter()
        .filter(move |part| of(&part.kind))
        .map(|part| &part.found)
}

fn is_revision(kind: &PartKind) -> bool {
    *kind == PartKind::Revision
}

fn is_image(kind: &PartKind) -> bool {
    matches!(kind, PartKind::Image { .. })
}

async fn what_runs_can_be_gone_back_to<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let point = point(fixture).await?;
    let seen = usable(fixture, &point).await?;
    dated(fixture, "the look", seen.at)?;
    hold(
        found(&seen, is_revision).eq([&Found::Usable]),
        "one revision, and usable",
        &seen,
    )?;
    for container in point.images.keys() {
        let of = |kind: &PartKind| matches!(kind, PartKind::Image { container: c } if c == container);
        hold(
            found(&seen, of).count() == 1,
            "each container's image, once",
            &seen,
        )?;
    }
    // Not to know is no lie; that something is gone which runs would be one.
    let gone = seen.gone().count();
    same("what is gone", &0, &gone)
}

async fn a_look_at_what_it_rests_on_changes_nothing<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let point = point(fixture).await?;
    only_reads(fixture, async || usable(fixture, &point).await.map(drop)).await
}

async fn a_lost_image_is_told<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let point = point(fixture).await?;
    fixture.lose_image(&point.service).await?;
    let seen = usable(fixture, &point).await?;
    hold(
        found(&seen, is_image).any(|found| matches!(found, Found::Gone { .. })),
        "an image that is gone",
        &seen,
    )
}

async fn a_revision_that_is_not_there_is_told<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let mut point = point(fixture).await?;
    point.task_definition = fixture.absent_revision();
    let seen = usable(fixture, &point).await?;
    hold(
        found(&seen, is_revision).any(|found| matches!(found, Found::Gone { .. })),
        "a revision that is gone",
        &seen,
    )
}

async fn a_restore_goes_back<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let settled = fixture.settled().await?;
    let point = point(fixture).await?;
    let (_, bad) = update(fixture, Release::Failing).await?;
    let port = fixture.rollback();
    let restored = port
        .restore(&ctx(fixture, "restore", 1), &point, Some(&bad.deployment))
        .await;
    let restored = answer("a deployment that goes back", restored)?;
    dated(fixture, "the deployment's creation", restored.created_at)?;
    hold(
        restored.deployment != bad.deployment,
        "another deployment than the one that failed",
        &restored,
    )?;
    let truth = fixture.truth(&settled.service).await?;
    same(
        "the PRIMARY deployment",
        &Some(restored.deployment),
        &truth.primary,
    )?;
    arrives(fixture, &settled, &point.task_definition, |images| {
        *images == point.images
    })
    .await
}

async fn a_restore_said_twice_is_one_deployment<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let point = point(fixture).await?;
    let (_, bad) = update(fixture, Release::Good).await?;
    let port = fixture.rollback();
    let restore = async || {
        let restored = port
            .restore(&ctx(fixture, "restore", 1), &point, Some(&bad.deployment))
            .await;
        answer("a deployment that goes back", restored)
    };
    let first = restore().await?;
    let before = fixture.truth(&point.service).await?;
    same("the deployment", &first.deployment, &restore().await?.deployment)?;
    same(
        "the deployments",
        &before.deployments,
        &fixture.truth(&point.service).await?.deployments,
    )
}

async fn a_restore_of_what_runs_begins_nothing<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let point = point(fixture).await?;
    let restored = fixture
        .rollback()
        .restore(&ctx(fixture, "restore", 1), &point, None)
        .await;
    let restored = answer("the present deployment", restored)?;
    same("the deployment", &point.deployment, &restored.deployment)?;
    let truth = fixture.truth(&point.service).await?;
    same("the deployments", &vec![point.deployment], &truth.deployments)
}

async fn a_restore_yields_to_another_deployer<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let point = point(fixture).await?;
    let (change, bad) = update(fixture, Release::Good).await?;
    until(fixture, "our deployment as the PRIMARY one", async || {
        let truth = fixture.truth(&change.service).await?;
        let ours = truth.primary.as_ref() == Some(&bad.deployment);
        Ok(if ours { Ok(()) } else { Err(format!("{truth:?}")) })
    })
    .await?;
    fixture.deploy_foreign(&change.service).await?;
    let before = fixture.truth(&change.service).await?;
    let restored = fixture
        .rollback()
        .restore(&ctx(fixture, "restore", 1), &point, Some(&bad.deployment))
        .await;
    refused(
        "a restore after somebody else has deployed",
        restored,
        &[ErrorKind::Conflict],
    )?;
    let after = fixture.truth(&change.service).await?;
    same("the PRIMARY deployment", &before.primary, &after.primary)?;
    same("its revision", &before.task_definition, &after.task_definition)
}

async fn a_restore_of_nothing_is_refused<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let mut point = point(fixture).await?;
    point.service = fixture.absent_service();
    let restored = fixture
        .rollback()
        .restore(&ctx(fixture, "restore", 1), &point, None)
        .await;
    refused(
        "a restore of a service that never was",
        restored,
        &[ErrorKind::NotFound],
    )
}

/// The PRIMARY deployment's own record. A platform that keeps none has no short cut.
async fn record<F: RollbackFixture>(
    fixture: &F,
    service: &ServiceName,
) -> Result<ServiceDeploymentArn, Stop> {
    let seen = fixture
        .environment()
        .observe_service(&ctx(fixture, "record", 1), service)
        .await;
    let seen = answer("a look", seen)?;
    let record = seen.primary().and_then(|primary| primary.record.as_ref());
    match record {
        Some(record) => Ok(record.arn.clone()),
        None => Err(Stop::skip("the platform keeps no record of a deployment")),
    }
}

async fn a_deployment_under_way_is_turned_back<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let settled = fixture.settled().await?;
    let point = point(fixture).await?;
    // One that would arrive if nobody turned it back.
    let (_, bad) = update(fixture, Release::Good).await?;
    until(fixture, "our deployment as the PRIMARY one", async || {
        let truth = fixture.truth(&settled.service).await?;
        let ours = truth.primary.as_ref() == Some(&bad.deployment);
        Ok(if ours { Ok(()) } else { Err(format!("{truth:?}")) })
    })
    .await?;
    let record = record(fixture, &settled.service).await?;
    // Said twice it is one way back.
    for attempt in [1, 2] {
        let turned = fixture
            .rollback()
            .turn_back(&ctx(fixture, "turn", attempt), &point, &bad.deployment, &record)
            .await;
        // By the second time what was assumed may be over: then that is told, and nothing is done.
        let over = |error: &Error| error.kind == ErrorKind::Conflict && error.applied == Applied::No;
        if attempt == 1 || !turned.as_ref().is_err_and(over) {
            answer("nothing but that it was asked for", turned)?;
        }
    }
    arrives(fixture, &settled, &point.task_definition, |images| {
        *images == point.images
    })
    .await?;
    let truth = fixture.truth(&settled.service).await?;
    hold(
        truth.primary.as_ref() != Some(&bad.deployment),
        "another PRIMARY deployment than the one that was turned back",
        &truth,
    )
}

async fn turning_back_yields_to_another_deployer<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let point = point(fixture).await?;
    let (change, bad) = update(fixture, Release::Good).await?;
    let record = record(fixture, &change.service).await?;
    fixture.deploy_foreign(&change.service).await?;
    let before = fixture.truth(&change.service).await?;
    let turned = fixture
        .rollback()
        .turn_back(&ctx(fixture, "turn", 1), &point, &bad.deployment, &record)
        .await;
    refused(
        "a turn back after somebody else has deployed",
        turned,
        &[ErrorKind::Conflict],
    )?;
    let after = fixture.truth(&change.service).await?;
    same("the PRIMARY deployment", &before.primary, &after.primary)?;
    same("its revision", &before.task_definition, &after.task_definition)
}

async fn what_is_done_is_not_turned_back<F: RollbackFixture>(fixture: &F) -> Result<(), Stop> {
    let point = point(fixture).await?;
    let record = record(fixture, &point.service).await?;
    let before = fixture.truth(&point.service).await?;
    let turned = fixture
        .rollback()
        .turn_back(&ctx(fixture, "turn", 1), &point, &point.deployment, &record)
        .await;
    refused(
        "a turn back of a deployment that is done",
        turned,
        &[
            ErrorKind::Conflict,
            ErrorKind::NotFound,
            ErrorKind::InvalidRequest,
        ],
    )?;
    let after = fixture.truth(&point.service).await?;
    same("the deployments", &before.deployments, &after.deployments)
}
