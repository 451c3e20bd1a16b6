//! What a record points at, as far as its adapters need to know it. Route 53 itself knows neither the health of a load
//! balancer nor its requests; ELBv2 and CloudWatch do. These traits join them without joining their features.

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::dns::{OldTraffic, RecordData, TargetCheck};
use rollout_core::error::Error;
use rollout_core::id::DomainName;

/// Whether something healthy stands behind a record's data.
#[async_trait]
pub trait TargetHealth: Send + Sync {
    /// One look. What the implementation does not know is `healthy: None`, not an error.
    ///
    /// # Errors
    /// The source of data failed.
    async fn check(&self, ctx: &OpContext, data: &RecordData) -> Result<TargetCheck, Error>;
}

/// How many requests reach what a record's data points at.
#[async_trait]
pub trait RequestCount: Send + Sync {
    /// The last whole minute. No data is `None`, which is not zero.
    ///
    /// # Errors
    /// The source of data failed.
    async fn last_minute(&self, ctx: &OpContext, data: &RecordData) -> Result<OldTraffic, Error>;
}

/// A load balancer, as others refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: String,
    /// Whether it is an application load balancer: only these count requests.
    pub application: bool,
}

impl LoadBalancer {
    /// The value of the `LoadBalancer` dimension of its metrics: the end of its ARN (Elastic Load Balancing user guide,
    /// "CloudWatch metrics for your Application Load Balancer").
    #[must_use]
    pub fn dimension(&self) -> Option<&str> {
        self.arn
            .split_once(":loadbalancer/")
            .map(|(_, dimension)| dimension)
    }
}

/// Finds a load balancer by its DNS name.
#[async_trait]
pub trait LoadBalancerNames: Send + Sync {
    /// The load balancer of that name; `None` when this account and region have none.
    ///
    /// # Errors
    /// The source of data failed.
    async fn find(&self, ctx: &OpContext, name: &DomainName) -> Result<Option<LoadBalancer>, Error>;
}

/// The names that a record's data points at: an alias's target, or values that are names and not addresses.
#[must_use]
pub fn pointed_at(data: &RecordData) -> Vec<DomainName> {
    match data {
        RecordData::Alias { target, .. } => vec![target.clone()],
        RecordData::Values { values, .. } => values
            .iter()
            .filter(|value| value.parse::<std::net::IpAddr>().is_err())
            .filter_map(|value| DomainName::new(value.as_str()).ok())
            .collect(),
    }
}

/// The name of a load balancer as ELBv2 has it: in lower case, without the trailing dot and without the `dualstack.` that
/// the Route 53 console puts before it.
#[must_use]
pub fn load_balancer_name(name: &DomainName) -> String {
    let name = name.normalised();
    match name.strip_prefix("dualstack.") {
        Some(rest) => rest.to_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_addresses() {
        let values = |values: &[&str]| RecordData::Values {
            ttl: 60,
            values: values.iter().map(|&v| v.to_owned()).collect(),
        };
        let names = |data: &RecordData| {
            pointed_at(data)
                .iter()
                .map(load_balancer_name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&values(&["192.0.2.1", "2001:db8::1"])), [""; 0]);
        assert_eq!(names(&values(&["LB-1.example.com."])), ["lb-1.example.com"]);
        let alias = RecordData::Alias {
            target: "dualstack.LB-1.us-east-1.elb.amazonaws.com."
                .parse()
                .expect("a name"),
            zone: "Z1".parse().expect("an id"),
            evaluate_target_health: false,
        };
        assert_eq!(names(&alias), ["lb-1.us-east-1.elb.amazonaws.com"]);
    }

    #[test]
    fn the_metric_dimension_is_the_end_of_the_arn() {
        let arn = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/web/50dc6c495c0c9188";
        let found = LoadBalancer {
            arn: arn.to_owned(),
            application: true,
        };
        assert_eq!(found.dimension(), Some("app/web/50dc6c495c0c9188"));
    }
}
