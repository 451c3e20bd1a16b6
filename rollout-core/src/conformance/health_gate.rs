//! Checks of [`HealthGate`].

use async_trait::async_trait;

use super::{Fixture, Stop, Trouble, answer, ctx, dated, hold, only_reads, same};
use crate::port::HealthGate;
use crate::probe::{ProbeTarget, Sample, SampleRequest, Subject, Verdict};
use crate::service::Images;

/// Where the data of a probe comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// [`ProbeTarget::Alarms`].
    Alarms,
    /// [`ProbeTarget::TargetHealth`].
    Targets,
    /// [`ProbeTarget::Http`].
    Http,
}

/// What the data says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Healthy,
    /// It is not.
    Failing,
    /// Nothing: an alarm with insufficient data.
    NoData,
}

/// A world with something to sample in it.
#[async_trait(?Send)]
pub trait HealthGateFixture: Fixture {
    /// The port.
    fn gate(&self) -> &dyn HealthGate;

    /// Something of its own that is in this state.
    async fn target(&self, source: Source, state: State) -> Result<ProbeTarget, Stop>;

    /// What `target` gave is in this state from now on.
    async fn turn(&self, target: &ProbeTarget, state: State) -> Result<(), Stop>;
}

suite!(
    "HealthGate",
    HealthGateFixture {
        alarms_that_are_ok_pass: "Pass: healthy.",
        an_alarm_that_fires_fails: "Alarms, none of which may be in ALARM.",
        an_alarm_without_data_is_unknown: "Unknown: no data, late data, or data that tells nothing. Never a pass.",
        an_alarm_that_is_not_there_is_unknown: "Unknown: no data, late data, or data that tells nothing. Never a pass.",
        no_alarms_are_no_pass: "Unknown: no data, late data, or data that tells nothing. Never a pass.",
        one_that_fires_outweighs_the_rest: "Alarms, none of which may be in ALARM.",
        one_without_data_is_no_pass: "Missing data is Unknown, never a pass.",
        an_alarm_that_turns_is_seen: "One sample: what the other side says when it is asked.",
        healthy_targets_pass: "Pass: healthy.",
        unhealthy_targets_fail: "Fail: not healthy.",
        too_few_targets_do_not_pass: "How many targets must be healthy.",
        a_good_answer_passes: "One HTTP request and what its answer must be.",
        a_bad_answer_fails: "One HTTP request and what its answer must be.",
        another_status_than_expected_fails: "The expected status codes; empty means 200 to 299.",
        another_body_than_expected_fails: "Text that the body must contain.",
        an_answer_without_its_version_names_none: "The version that the data speaks of, where the source can tell.",
        evidence_is_dated_when_it_was_asked_for: "The moment that the data speaks of: when the other side was asked, or the data point's own time if it is older.",
        sampling_changes_nothing: "A port observes, or ensures.",
        a_source_that_fails_is_no_pass: "An error means that the source of data itself failed.",
    }
);

fn subject(fixture: &impl Fixture) -> Subject {
    Subject {
        service: None,
        images: Images::new(),
        changed_at: fixture.now(),
    }
}

async fn sample<F: HealthGateFixture>(fixture: &F, target: ProbeTarget) -> Result<Sample, Stop> {
    let request = SampleRequest {
        probe: "conformance".parse().map_err(Stop::fixture)?,
        target,
        subject: subject(fixture),
    };
    let sample = fixture.gate().sample(&ctx(fixture, "gate", 1), &request).await;
    let sample = answer("a sample", sample)?;
    // A verdict without evidence explains nothing.
    hold(
        !sample.evidence.is_empty(),
        "evidence for what the sample says",
        &sample,
    )?;
    Ok(sample)
}

async fn says<F: HealthGateFixture>(fixture: &F, target: ProbeTarget, wanted: Verdict) -> Result<(), Stop> {
    let sample = sample(fixture, target).await?;
    hold(sample.verdict == wanted, &format!("{wanted:?}"), &sample)
}

/// An alarm that is `one` and one that is `other`.
async fn two_alarms<F: HealthGateFixture>(
    fixture: &F,
    one: State,
    other: State,
) -> Result<ProbeTarget, Stop> {
    let mut all = Vec::new();
    for state in [one, other] {
        match fixture.target(Source::Alarms, state).await? {
            ProbeTarget::Alarms { names } => all.extend(names),
            target => return Err(Stop::fixture(format!("asked for an alarm, got {target:?}"))),
        }
    }
    Ok(ProbeTarget::Alarms { names: all })
}

async fn alarms_that_are_ok_pass<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = two_alarms(fixture, State::Healthy, State::Healthy).await?;
    says(fixture, target, Verdict::Pass).await
}

async fn an_alarm_that_fires_fails<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Alarms, State::Failing).await?;
    says(fixture, target, Verdict::Fail).await
}

async fn an_alarm_without_data_is_unknown<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Alarms, State::NoData).await?;
    says(fixture, target, Verdict::Unknown).await
}

async fn an_alarm_that_is_not_there_is_unknown<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    // Where there are no alarms at all this is skipped, too.
    fixture.target(Source::Alarms, State::Healthy).await?;
    let names = vec!["conformance-no-such-alarm".to_owned()];
    says(fixture, ProbeTarget::Alarms { names }, Verdict::Unknown).await
}

async fn no_alarms_are_no_pass<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let request = SampleRequest {
        probe: "conformance".parse().map_err(Stop::fixture)?,
        target: ProbeTarget::Alarms { names: Vec::new() },
        subject: subject(fixture),
    };
    // To call the request wrong is as good.
    match fixture.gate().sample(&ctx(fixture, "gate", 1), &request).await {
        Ok(sample) => hold(sample.verdict != Verdict::Pass, "anything but a pass", &sample),
        Err(_) => Ok(()),
    }
}

async fn one_that_fires_outweighs_the_rest<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = two_alarms(fixture, State::Failing, State::Healthy).await?;
    says(fixture, target, Verdict::Fail).await?;
    let target = two_alarms(fixture, State::NoData, State::Failing).await?;
    says(fixture, target, Verdict::Fail).await
}

async fn one_without_data_is_no_pass<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = two_alarms(fixture, State::NoData, State::Healthy).await?;
    says(fixture, target, Verdict::Unknown).await
}

async fn an_alarm_that_turns_is_seen<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Alarms, State::Healthy).await?;
    says(fixture, target.clone(), Verdict::Pass).await?;
    fixture.turn(&target, State::Failing).await?;
    says(fixture, target, Verdict::Fail).await
}

async fn healthy_targets_pass<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Targets, State::Healthy).await?;
    says(fixture, target, Verdict::Pass).await
}

async fn unhealthy_targets_fail<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Targets, State::Failing).await?;
    says(fixture, target, Verdict::Fail).await
}

async fn too_few_targets_do_not_pass<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let mut target = fixture.target(Source::Targets, State::Healthy).await?;
    if let ProbeTarget::TargetHealth { at_least, .. } = &mut target {
        *at_least = 1_000;
    }
    let sample = sample(fixture, target).await?;
    hold(
        sample.verdict != Verdict::Pass,
        "anything but a pass: 1,000 were to be healthy",
        &sample,
    )
}

async fn a_good_answer_passes<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Http, State::Healthy).await?;
    says(fixture, target, Verdict::Pass).await
}

async fn a_bad_answer_fails<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Http, State::Failing).await?;
    says(fixture, target, Verdict::Fail).await
}

async fn another_status_than_expected_fails<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let mut target = fixture.target(Source::Http, State::Healthy).await?;
    if let ProbeTarget::Http(probe) = &mut target {
        probe.status = vec![299];
    }
    says(fixture, target, Verdict::Fail).await
}

async fn another_body_than_expected_fails<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let mut target = fixture.target(Source::Http, State::Healthy).await?;
    if let ProbeTarget::Http(probe) = &mut target {
        probe.body_contains = Some("conformance: no server says this".to_owned());
    }
    says(fixture, target, Verdict::Fail).await
}

async fn an_answer_without_its_version_names_none<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    // An alarm speaks of no version; to name the wanted one would turn any alarm into proof of it.
    let target = fixture.target(Source::Alarms, State::Healthy).await?;
    let container = "app".parse().map_err(Stop::fixture)?;
    let digest = crate::id::ImageDigest::of(b"wanted");
    let request = SampleRequest {
        probe: "conformance".parse().map_err(Stop::fixture)?,
        target,
        subject: Subject {
            images: [(container, digest)].into(),
            ..subject(fixture)
        },
    };
    let sample = fixture.gate().sample(&ctx(fixture, "gate", 1), &request).await;
    same(
        "the version that an alarm speaks of",
        &None,
        &answer("a sample", sample)?.images,
    )
}

async fn evidence_is_dated_when_it_was_asked_for<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let mut taken = 0_u32;
    let mut skipped = None;
    for source in [Source::Alarms, Source::Targets, Source::Http] {
        for state in [State::Healthy, State::Failing] {
            let target = match fixture.target(source, state).await {
                Ok(target) => target,
                Err(stop @ Stop::Skipped { .. }) => {
                    skipped = Some(stop);
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            let sample = sample(fixture, target).await?;
            dated(fixture, "the sample", sample.at)?;
            for evidence in &sample.evidence {
                dated(fixture, "the evidence", evidence.at)?;
            }
            taken = taken.saturating_add(1);
        }
    }
    match skipped {
        Some(stop) if taken == 0 => Err(stop),
        _ => Ok(()),
    }
}

async fn sampling_changes_nothing<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Alarms, State::Healthy).await?;
    only_reads(fixture, async || sample(fixture, target).await.map(drop)).await
}

async fn a_source_that_fails_is_no_pass<F: HealthGateFixture>(fixture: &F) -> Result<(), Stop> {
    let target = fixture.target(Source::Alarms, State::Healthy).await?;
    let request = SampleRequest {
        probe: "conformance".parse().map_err(Stop::fixture)?,
        target,
        subject: subject(fixture),
    };
    fixture.trouble(Trouble::Denied).await?;
    let sample = fixture.gate().sample(&ctx(fixture, "gate", 1), &request).await;
    fixture.calm().await?;
    hold(sample.is_err(), "an error: nobody could be asked", &sample)
}
