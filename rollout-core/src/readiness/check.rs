//! What a check is.

use core::fmt;
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::fact::Snapshot;
use super::intent::{Intent, Tier};
use super::known::Unseen;

/// How bad it is when a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to have.
    Low,
    /// Something will hurt one day.
    Medium,
    /// A fault that is to be expected takes the service down, or lets the wrong people in.
    High,
    /// It is down, open or beyond recovery now, or the release cannot go well.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// What a check belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Who calls, and what they may do.
    Identity,
    /// Subnets, routes, security groups.
    Network,
    /// Secrets.
    Secrets,
    /// Images and their registry.
    Image,
    /// Tasks and services.
    Service,
    /// Load balancers and target groups.
    Balancer,
    /// Certificates and records.
    Dns,
    /// Web ACLs.
    Waf,
    /// Alarms, dashboards, logs.
    Observability,
    /// Databases, caches, buckets.
    Data,
    /// Distributions.
    Cdn,
    /// Money.
    Cost,
    /// The way back.
    Rollback,
    /// What people do.
    Procedure,
    /// The team's own.
    Own,
}

impl Area {
    /// Every area, in the order of a report.
    pub const ALL: [Self; 15] = [
        Self::Identity,
        Self::Network,
        Self::Secrets,
        Self::Image,
        Self::Service,
        Self::Balancer,
        Self::Dns,
        Self::Waf,
        Self::Observability,
        Self::Data,
        Self::Cdn,
        Self::Cost,
        Self::Rollback,
        Self::Procedure,
        Self::Own,
    ];

    /// Its title, for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            Self::Network => "Network",
            Self::Secrets => "Secrets",
            Self::Image => "Image",
            Self::Service => "Task and service",
            Self::Balancer => "Load balancer",
            Self::Dns => "TLS and DNS",
            Self::Waf => "WAF",
            Self::Observability => "Observability",
            Self::Data => "Data",
            Self::Cdn => "CDN",
            Self::Cost => "Cost",
            Self::Rollback => "Rollback",
            Self::Procedure => "Procedure",
            Self::Own => "Own checks",
        }
    }
}

/// What can be done about a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// In words.
    pub text: Cow<'static, str>,
    /// A line for the AWS CLI, with `<…>` for what the reader fills in; empty when none would do.
    pub cli: Cow<'static, str>,
    /// Where it is in Terraform, such as `aws_lb_target_group.deregistration_delay`; empty when it is not there.
    pub terraform: Cow<'static, str>,
    /// Where it is in the CDK, such as `ApplicationTargetGroup deregistrationDelay`; empty when it is not there.
    pub cdk: Cow<'static, str>,
}

impl Remedy {
    /// A remedy with nothing but words.
    #[must_use]
    pub const fn words(text: &'static str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            cli: Cow::Borrowed(""),
            terraform: Cow::Borrowed(""),
            cdk: Cow::Borrowed(""),
        }
    }
}

/// Everything that a person wants to know of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// `service_resource_condition`, such as `ecs_service_breaker_off`: what is wrong when it fails.
    pub id: Cow<'static, str>,
    /// What it makes sure of, in one line.
    pub title: Cow<'static, str>,
    /// What happens to those who do without.
    pub why: Cow<'static, str>,
    /// What it belongs to.
    pub area: Area,
    /// How bad a failure is.
    pub severity: Severity,
    /// Whether a failure refuses a release; otherwise it only advises.
    pub blocking: bool,
    /// The environments that it is about.
    pub tiers: Cow<'static, [Tier]>,
    /// What to do.
    pub remedy: Remedy,
    /// The title of the page that says so.
    pub source: Cow<'static, str>,
}

/// Every tier.
pub const EVERYWHERE: &[Tier] = &[Tier::Development, Tier::Staging, Tier::Production];
/// Where releases are proven, and where customers are served.
pub const STAGING_TOO: &[Tier] = &[Tier::Staging, Tier::Production];
/// Where customers are served.
pub const PRODUCTION: &[Tier] = &[Tier::Production];

/// What a check says of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it should be.
    Pass,
    /// It is not.
    Fail(Fault),
    /// There is nothing to judge.
    NotApplicable {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// It is not as it should be.
    #[must_use]
    pub fn fail(seen: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self::Fail(Fault {
            seen: seen.into(),
            wanted: wanted.into(),
        })
    }

    /// A pass if `good`; otherwise a failure.
    #[must_use]
    pub fn when(good: bool, seen: impl FnOnce() -> String, wanted: impl Into<String>) -> Self {
        if good {
            Self::Pass
        } else {
            Self::fail(seen(), wanted)
        }
    }

    /// A failure that names everything that is wrong; a pass when that is nothing.
    #[must_use]
    pub fn unless(wrong: &[String], wanted: impl Into<String>) -> Self {
        Self::when(wrong.is_empty(), || wrong.join("; "), wanted)
    }

    /// There is nothing to judge.
    #[must_use]
    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self::NotApplicable { why: why.into() }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    /// What was seen: one fragment that stays the same as long as the fault does, since accepted risks name it.
    pub seen: String,
    /// What is wanted.
    pub wanted: String,
}

/// A verdict, or what would have to be known for one.
pub type Ruling = Result<Verdict, Unseen>;

/// What checks judge: facts beside what they should be.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// What was seen.
    pub facts: &'a Snapshot,
    /// What is meant.
    pub intent: &'a Intent,
}

/// A check. It is pure: the same scene gives the same rulings.
///
/// # Example
/// A team's own check:
/// ```
/// use rollout_core::readiness::check::{About, Area, Check, PRODUCTION, Remedy, Ruling, Scene, Severity, Verdict};
///
/// struct EvenTasks(About);
///
/// impl Check for EvenTasks {
///     fn about(&self) -> &About {
///         &self.0
///     }
///     fn judge(&self, scene: &Scene<'_>) -> Vec<(String, Ruling)> {
///         let services = scene.intent.services.iter().map(|service| service.name.to_string());
///         services
///             .map(|name| {
///                 // What is not known is never a pass: `?` says so.
///                 let ruling = scene.facts.services.get(&name).map(|service| {
///                     let desired = service.desired;
///                     Verdict::when(desired % 2 == 0, || format!("{desired} tasks"), "as many in each of two zones")
///                 });
///                 (name, ruling)
///             })
///             .collect()
///     }
/// }
///
/// let check = EvenTasks(About {
///     id: "own_service_odd".into(),
///     title: "As many tasks in each zone".into(),
///     why: "With an odd number one zone carries more than its half.".into(),
///     area: Area::Own,
///     severity: Severity::Low,
///     blocking: false,
///     tiers: PRODUCTION.into(),
///     remedy: Remedy::words("set an even desired count"),
///     source: "our runbook".into(),
/// });
/// assert_eq!(check.about().id, "own_service_odd");
/// ```
pub trait Check: Send + Sync {
    /// What it is.
    fn about(&self) -> &About;

    /// Judges each resource that it is about, by name. Nothing at all means that there is no such resource.
    fn judge(&self, scene: &Scene<'_>) -> Vec<(String, Ruling)>;
}

/// What a rule of the catalogue looks at.
#[derive(Clone, Copy, Debug)]
pub enum Over {
    /// The environment as a whole.
    Environment(fn(&Scene<'_>) -> Ruling),
    /// Each of some resources: which they are, and what is said of one.
    Each {
        /// Their names; what would have to be known to tell.
        which: fn(&Scene<'_>) -> Result<Vec<String>, Unseen>,
        /// What is said of one.
        judge: fn(&Scene<'_>, &str) -> Ruling,
    },
}

/// A check of the catalogue.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it is.
    pub about: About,
    /// What it looks at.
    pub over: Over,
}

impl Check for Rule {
    fn about(&self) -> &About {
        &self.about
    }

    fn judge(&self, scene: &Scene<'_>) -> Vec<(String, Ruling)> {
        let environment = || scene.intent.environment.to_string();
        match self.over {
            Over::Environment(judge) => vec![(environment(), judge(scene))],
            Over::Each { which, judge } => match which(scene) {
                Ok(names) => names
                    .into_iter()
                    .map(|name| {
                        let ruling = judge(scene, &name);
                        (name, ruling)
                    })
                    .collect(),
                Err(unseen) => vec![(environment(), Err(unseen))],
            },
        }
    }
}
