//! Secrets and web ACLs of a scenario.

use rollout_sim::WebAclBuilder;
use serde::Deserialize;

/// A secret of Secrets Manager. `Debug` does not show its value.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    /// Its name, or its whole ARN.
    pub(super) name: String,
    pub(super) value: String,
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Secret").field(&self.name).finish()
    }
}

/// A regional web ACL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebAcl {
    pub(super) name: String,
    /// Whether it blocks what no rule lets through.
    #[serde(default)]
    blocks: bool,
    /// The load balancers that it protects.
    #[serde(default)]
    protects: Vec<String>,
    /// Rules, as `create-web-acl --rules` takes them.
    #[serde(default)]
    rules: Vec<serde_json::Value>,
}

impl WebAcl {
    pub(super) fn describe(&self, mut a: WebAclBuilder) -> WebAclBuilder {
        if self.blocks {
            a = a.blocking();
        }
        let a = self.rules.iter().cloned().fold(a, WebAclBuilder::rule);
        self.protects.iter().fold(a, |a, balancer| a.protecting(balancer))
    }
}
