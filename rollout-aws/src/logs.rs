//! The last lines of a container's log.

use std::sync::Arc;

use aws_sdk_cloudwatchlogs::Client;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};

use crate::config;
use crate::error::from_sdk;
use crate::observer::{Meter, SharedObserver, Toll};

const GET: &str = "logs:GetLogEvents";

/// The IAM actions of this adapter.
pub const ACTIONS: &[&str] = &[GET];

/// Reads log streams.
///
/// # IAM actions
/// `logs:GetLogEvents` on the log streams of the services.
#[derive(Clone, Debug)]
pub struct LogReader {
    client: Client,
    toll: Toll,
}

impl LogReader {
    /// A reader for the account and region of `config`.
    #[must_use]
    pub fn from_config(config: &SdkConfig) -> Self {
        Self::with_client(Client::new(&config::prepare(config)))
    }

    /// A reader with a ready client.
    #[must_use]
    pub fn with_client(client: Client) -> Self {
        Self {
            client,
            toll: Toll::default(),
        }
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(metered.interceptor(Meter::new(observer, "logs")).build());
        self.toll = Toll::of(observer);
        self
    }

    /// The region it reads in.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.client.config().region().map(AsRef::as_ref)
    }

    /// The last `lines` lines of a stream, oldest first, each cut after `width` characters. A stream that does not exist
    /// has none: a container that never ran has not made it.
    ///
    /// # Errors
    /// What CloudWatch Logs says.
    pub async fn tail(
        &self,
        ctx: &OpContext,
        group: &str,
        stream: &str,
        lines: u16,
        width: usize,
    ) -> Result<Vec<String>, Error> {
        self.toll.pay(ctx, GET).await?;
        let answer = self
            .client
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .limit(i32::from(lines))
            // Without it the answer begins at the latest events, which is what a tail is; said all the same, because the
            // default is the other way round in the command line tool.
            .start_from_head(false)
            .send()
            .await
            .map_err(|error| from_sdk(GET, format_args!("{group} {stream}"), false, error));
        let events = match answer {
            Ok(answer) => answer.events.unwrap_or_default(),
            Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let skip = events.len().saturating_sub(usize::from(lines));
        Ok(events
            .into_iter()
            .skip(skip)
            .filter_map(|event| event.message)
            .map(|line| line.trim_end().chars().take(width).collect())
            .collect())
    }
}
