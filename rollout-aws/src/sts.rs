//! Who is calling, and whether it is who it should be.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_sts::Client;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::service::Identity;
use rollout_core::time::Timestamp;

use crate::config;
use crate::error::from_sdk;
use crate::guard::Guard;
use crate::observer::{Meter, SharedObserver, Toll};

const OPERATION: &str = "sts:GetCallerIdentity";

/// Who the environment says is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The account, 12 digits.
    pub account: String,
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The caller's ARN, where `*` stands for any characters: `arn:aws:sts::123456789012:assumed-role/deploy/*`.
    pub caller: Option<String>,
}

/// Refuses to let an adapter change anything with the wrong account, region or caller.
///
/// Adapters that change something hold an `Arc` of it and ask before their first mutating call. The answer is kept once
/// it was right; a wrong one is asked for again, so that a corrected session needs no restart.
///
/// # IAM actions
/// `sts:GetCallerIdentity`, which needs no permission and cannot be denied (AWS STS API, "GetCallerIdentity").
pub struct IdentityGuard {
    client: Client,
    region: Option<String>,
    expected: Expected,
    ends: Option<Timestamp>,
    toll: Toll,
    right: Mutex<Option<Identity>>,
}

/// The IAM actions of this adapter.
pub const ACTIONS: &[&str] = &[OPERATION];

impl IdentityGuard {
    /// A guard for the account and caller of `config`, and for its region.
    #[must_use]
    pub fn from_config(config: &SdkConfig, expected: Expected) -> Self {
        Self::with_client(Client::new(&config::prepare(config)), expected)
    }

    /// A guard with a ready client. The region that is checked is the client's.
    #[must_use]
    pub fn with_client(client: Client, expected: Expected) -> Self {
        let region = client.config().region().map(|region| region.as_ref().to_owned());
        Self {
            client,
            region,
            expected,
            ends: None,
            toll: Toll::default(),
            right: Mutex::new(None),
        }
    }

    /// Tells when the credentials end, for credentials that **nothing renews**: keys and a session token that were handed in as
    /// such. A rollout that could outlast them is then refused at its start.
    ///
    /// It has to be told, for it cannot be found out. The SDK's credentials carry a time at which they are to be asked for
    /// anew (`Credentials::expiry`), and nothing tells a provider that gives newer ones (IMDS, ECS and EKS, SSO, a web identity,
    /// an assumed role, a credential process) from one that gives the same again. The SDK's environment provider, whose keys are
    /// never renewed, knows no end; tools that fill the environment put it in `AWS_CREDENTIAL_EXPIRATION`, which is read by
    /// whoever calls this. That a renewal may fail, because an SSO session or a web identity's token has ended, nobody knows
    /// before it does.
    #[must_use]
    pub fn ending(mut self, at: Option<Timestamp>) -> Self {
        self.ends = at;
        self
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(metered.interceptor(Meter::new(observer, "sts")).build());
        self.toll = Toll::of(observer);
        self
    }

    /// What is expected.
    #[must_use]
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Who is calling, asked now.
    ///
    /// # Errors
    /// What STS says; no credentials is [`ErrorKind::PermissionDenied`].
    pub async fn identity(&self, ctx: &OpContext) -> Result<Identity, Error> {
        self.toll.pay(ctx, OPERATION).await?;
        let answer = self
            .client
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| from_sdk(OPERATION, "the caller", false, error))?;
        let found = Identity {
            account: answer.account.unwrap_or_default(),
            region: self.region.clone().unwrap_or_default(),
            caller: answer.arn.unwrap_or_default(),
            expires_at: self.ends,
        };
        // Whoever asked, the answer holds: the check before the first change need not ask again.
        let right = self.judge(&found).is_ok().then(|| found.clone());
        *self.right.lock().unwrap_or_else(PoisonError::into_inner) = right;
        Ok(found)
    }

    /// Passes when account, region and caller are the expected ones.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] that names what was expected, what was found and what to do; nothing has been
    /// called but STS. A wrong region is found without any call.
    pub async fn check(&self, ctx: &OpContext) -> Result<(), Error> {
        self.check_region()?;
        if self
            .right
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
        {
            return Ok(());
        }
        let found = self.identity(ctx).await?;
        self.judge(&found)
    }

    /// Whether this is who is expected.
    fn judge(&self, found: &Identity) -> Result<(), Error> {
        self.check_region()?;
        if found.account != self.expected.account {
            return Err(mismatch("account", &self.expected.account, &found.account));
        }
        if let Some(pattern) = &self.expected.caller
            && !matches(pattern, &found.caller)
        {
            return Err(mismatch("caller", pattern, &found.caller));
        }
        Ok(())
    }

    fn check_region(&self) -> Result<(), Error> {
        let found = self.region.as_deref().unwrap_or("none");
        if found == self.expected.region {
            Ok(())
        } else {
            Err(mismatch("region", &self.expected.region, found))
        }
    }
}

fn mismatch(what: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Error {
    Error::new(
        ErrorKind::PermissionDenied,
        OPERATION,
        format!(
            "the {what} is {found} and the environment expects {expected}; nothing was changed. Use the credentials, \
             profile or region of the environment, or correct the environment's configuration"
        ),
    )
}

/// `*` stands for any characters, none included.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else {
        return false;
    };
    let Some(tail) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(tail)
}

#[async_trait]
impl Guard for IdentityGuard {
    async fn check(&self, ctx: &OpContext) -> Result<(), Error> {
        // The inherent method, which takes precedence in a path.
        Self::check(self, ctx).await
    }
}

impl fmt::Debug for IdentityGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityGuard")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let role = "arn:aws:sts::123456789012:assumed-role/deploy/ci-17";
        for (pattern, found, expected) in [
            (role, role, true),
            ("arn:aws:sts::123456789012:assumed-role/deploy/*", role, true),
            ("arn:*:assumed-role/*/ci-17", role, true),
            ("*", role, true),
            ("arn:aws:sts::123456789012:assumed-role/deploy", role, false),
            ("arn:aws:sts::123456789012:assumed-role/admin/*", role, false),
            ("*deploy*deploy*", role, false),
            ("ab*ba", "aba", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, found), expected, "{pattern}");
        }
    }
}
