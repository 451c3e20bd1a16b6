//! One call of each operation that the endpoint and the emulators share: which members the answers have, and by which codes
//! calls are refused.

mod dns;
mod ecr;
mod ecs;
mod elb;
mod logs;
mod metrics;

use core::fmt::Debug;

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::errors::answer;
use super::fact::Facts;
use super::shape::paths;
use super::stage::Stage;

/// The services to ask. LocalStack has its own for some only; the others are MiniStack's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// STS, Route 53 and CloudWatch.
    Global,
    /// ECR, Elastic Load Balancing, CloudWatch Logs, and clusters and task definitions of ECS.
    Containers,
    /// Services of ECS, for an emulator that starts their tasks.
    Services,
}

/// Makes the calls of one part.
///
/// # Panics
/// When the stage refuses what it is set with.
pub async fn play(stage: &Stage, facts: &mut Facts, part: Part) {
    match part {
        Part::Global => {
            let sent = stage.sts.get_caller_identity().send().await;
            told(facts, "STS GetCallerIdentity", &sent);
            dns::play(stage, facts).await;
            metrics::play(stage, facts).await;
        }
        Part::Containers => {
            ecr::play(stage, facts).await;
            elb::play(stage, facts).await;
            logs::play(stage, facts).await;
            ecs::play(stage, facts).await;
        }
        Part::Services => ecs::services(stage, facts).await,
    }
}

/// How a call was answered, and with which members.
fn told<T: Debug, E: ProvideErrorMetadata>(
    facts: &mut Facts,
    step: &str,
    sent: &Result<T, SdkError<E, HttpResponse>>,
) {
    facts.words(step, "answer", answer(sent));
    if let Ok(sent) = sent {
        facts.names(step, "members", paths(sent));
    }
}

/// How a call was answered that should be refused.
fn refused<T, E: ProvideErrorMetadata>(
    facts: &mut Facts,
    step: &str,
    what: &str,
    sent: &Result<T, SdkError<E, HttpResponse>>,
) {
    facts.words(step, what, answer(sent));
}
