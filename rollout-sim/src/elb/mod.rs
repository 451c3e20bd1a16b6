//! Application Load Balancers: listeners, rules with weights, target groups, targets and their health.
//!
//! A load balancer has listeners, a listener has rules in the order of their priorities with the default rule last, and a
//! rule's action says who answers: target groups by weight, or a fixed answer. Targets are the tasks of services, whose
//! state lives with the task, and machines, whose state lives here.

mod balancer;
mod check;
mod control;
mod group;
mod health;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "endpoint"))]
pub(crate) use balancer::Redirect;
pub(crate) use balancer::{Action, Condition, Listener, LoadBalancer, Priority, Request, Rule, Weighted};
pub(crate) use check::{Checks, TargetState};
#[cfg(any(test, feature = "endpoint"))]
pub(crate) use control::NewListener;
pub(crate) use control::{listener_arn, rule_arn};
pub(crate) use group::{Failure, Machine, Probe, TargetGroup};
#[cfg(feature = "endpoint")]
pub(crate) use health::TargetHealth;
pub(crate) use health::address;

/// Why a call about load balancers was refused. `Display` is the message; where it is not quoted from an answer of AWS that
/// has been published, the words are ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// `TargetGroupNotFound`.
    #[error("One or more target groups not found")]
    NoGroup,
    /// `LoadBalancerNotFound`.
    #[error("One or more load balancers not found")]
    NoBalancer,
    /// `ListenerNotFound`.
    #[error("One or more listeners not found")]
    NoListener,
    /// `RuleNotFound`.
    #[error("One or more rules not found")]
    NoRule,
    /// `PriorityInUse`.
    #[error("Priority '{0}' is currently in use")]
    PriorityInUse(u32),
    /// `ResourceInUse`.
    #[error("Target group '{0}' is currently in use by a listener or a rule")]
    InUse(String),
    /// `DuplicateTargetGroupName`, `DuplicateLoadBalancerName`, `DuplicateListener`.
    #[error("{message}")]
    Duplicate {
        /// Which of the three.
        code: &'static str,
        /// What is there already.
        message: String,
    },
    /// `OperationNotPermitted`.
    #[error("{0}")]
    NotPermitted(String),
    /// `InvalidTarget`.
    #[error("{0}")]
    InvalidTarget(String),
    /// `TargetGroupAssociationLimit`.
    #[error("The following target groups cannot be associated with more than one load balancer: {0}")]
    AnotherBalancer(String),
    /// `ValidationError`.
    #[error("{0}")]
    Invalid(String),
}

impl Refused {
    /// The code of the answer (Elastic Load Balancing API, the errors of each action).
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NoGroup => "TargetGroupNotFound",
            Self::NoBalancer => "LoadBalancerNotFound",
            Self::NoListener => "ListenerNotFound",
            Self::NoRule => "RuleNotFound",
            Self::PriorityInUse(_) => "PriorityInUse",
            Self::InUse(_) => "ResourceInUse",
            Self::Duplicate { code, .. } => code,
            Self::NotPermitted(_) => "OperationNotPermitted",
            Self::InvalidTarget(_) => "InvalidTarget",
            Self::AnotherBalancer(_) => "TargetGroupAssociationLimit",
            Self::Invalid(_) => "ValidationError",
        }
    }
}
