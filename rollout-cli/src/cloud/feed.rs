//! Hints from the queue that the configuration names.

#[cfg(feature = "aws")]
pub(crate) use aws::Feed;
#[cfg(not(feature = "aws"))]
pub(crate) use none::Feed;

#[cfg(feature = "aws")]
mod aws {
    use rollout_aws::sqs::{EventQueue, Interest};
    use rollout_core::hint::HintSender;
    use rollout_core::port::Clock;

    use crate::config::Config;

    /// A queue of the target's events, and what of them a release of this configuration waits for.
    pub(crate) struct Feed {
        queue: EventQueue,
        interest: Interest,
    }

    impl Feed {
        /// `None` when the configuration names no queue.
        pub(in crate::cloud) fn new(sdk: &aws_config::SdkConfig, config: &Config) -> Option<Self> {
            let target = config.target();
            let url = target.events.as_deref()?;
            let to = &config.promotion.to;
            let family = |template: &serde_json::Value| template["family"].as_str().map(str::to_owned);
            let interest = Interest {
                cluster: target.cluster_name().to_owned(),
                services: config
                    .services
                    .iter()
                    .map(|service| service.name_in(to).clone())
                    .collect(),
                families: config
                    .tasks
                    .iter()
                    .filter_map(|task| family(&task.task_definition_in(to).json))
                    .collect(),
            };
            Some(Self {
                queue: EventQueue::from_config(sdk, url),
                interest,
            })
        }

        /// Gives hints until nobody takes them, or the queue is lost for good. `told` hears of trouble, in words.
        pub(crate) async fn listen(
            &self,
            clock: &dyn Clock,
            hints: &HintSender,
            mut told: impl FnMut(&str) + Send,
        ) {
            let mut told = |trouble: &rollout_aws::sqs::Trouble<'_>| told(&trouble.to_string());
            self.queue.listen(&self.interest, clock, hints, &mut told).await;
        }
    }
}

#[cfg(not(feature = "aws"))]
mod none {
    use rollout_core::hint::HintSender;
    use rollout_core::port::Clock;

    /// There is none: queues are read by the AWS adapters.
    pub(crate) enum Feed {}

    impl Feed {
        #[expect(clippy::unused_async, reason = "the same shape as with the feature `aws`")]
        pub(crate) async fn listen(&self, _: &dyn Clock, _: &HintSender, _: impl FnMut(&str) + Send) {
            match *self {}
        }
    }
}
