//! Describes web ACLs.

use rollout_core::time::Timestamp;
use serde_json::{Value, json};

use super::BuildError;
use crate::ecs::Environment;
use crate::waf::{Place, Scope, WebAcls, check};

/// Describes a web ACL. Unless told otherwise it has no rules, lets everything through, and protects nothing.
#[derive(Clone, Debug)]
pub struct WebAclBuilder {
    name: String,
    content: Value,
    balancers: Vec<String>,
}

impl WebAclBuilder {
    pub(super) fn new(name: &str) -> Self {
        let visibility = json!({
            "SampledRequestsEnabled": false, "CloudWatchMetricsEnabled": false, "MetricName": name,
        });
        Self {
            name: name.to_owned(),
            content: json!({ "DefaultAction": { "Allow": {} }, "Rules": [], "VisibilityConfig": visibility }),
            balancers: Vec::new(),
        }
    }

    /// Lets it block what no rule lets through. Without a rule that may, every request is answered with 403.
    #[must_use]
    pub fn blocking(mut self) -> Self {
        self.content["DefaultAction"] = json!({ "Block": {} });
        self
    }

    /// Adds a rule, as `CreateWebACL` takes it (AWS WAFV2 API, "Rule"). It is kept, and not evaluated.
    #[must_use]
    pub fn rule(mut self, rule: Value) -> Self {
        if let Some(rules) = self.content["Rules"].as_array_mut() {
            rules.push(rule);
        }
        self
    }

    /// Lets it protect a load balancer of the same environment, by its name.
    #[must_use]
    pub fn protecting(mut self, balancer: &str) -> Self {
        self.balancers.push(balancer.to_owned());
        self
    }

    pub(super) fn build(
        self,
        acls: &mut WebAcls,
        now: Timestamp,
        env: &Environment,
    ) -> Result<(), BuildError> {
        let place = Place {
            account: &env.account,
            region: &env.region,
            scope: Scope::Regional,
        };
        let name = self.name;
        check(&name, &self.content).map_err(|why| BuildError::WebAcl {
            name: name.clone(),
            why: why.to_string(),
        })?;
        if !acls.describe(now, place, &name, self.content) {
            return Err(BuildError::Twice {
                what: "web ACL",
                name,
            });
        }
        for balancer in self.balancers {
            let found = env.balancers.iter().find(|b| b.name == balancer);
            let found = found.ok_or_else(|| BuildError::missing("load balancer", balancer.as_str()))?;
            if acls.of_resource(&found.arn).is_some() {
                return Err(BuildError::Twice {
                    what: "the web ACL of load balancer",
                    name: balancer,
                });
            }
            acls.protect(now, place, &name, &found.arn);
        }
        Ok(())
    }
}
