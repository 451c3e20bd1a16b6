//! Alarms.

use rollout_core::readiness::fact::watch::{Alarm, Metric};

use crate::alarm::{Alarm as Held, Rule};
use crate::ecs::Environment;

/// An alarm. What it does when it fires is the surroundings', and what it watches where only a script moves it.
pub(crate) fn alarm(env: &Environment, held: &Held, around: Option<&Alarm>) -> Alarm {
    Alarm {
        state: held.state.name().to_owned(),
        actions_enabled: around.is_some_and(|a| a.actions_enabled),
        actions: around.map(|a| a.actions.clone()).unwrap_or_default(),
        metric: metric_of(env, held).or_else(|| around.and_then(|a| a.metric.clone())),
        expression: around.map(|a| a.expression.clone()).unwrap_or_default(),
    }
}

/// What an alarm watches, as the world knows it.
pub(crate) fn metric_of(env: &Environment, held: &Held) -> Option<Metric> {
    match held.rule {
        Rule::Script => None,
        Rule::Metric => held.watch.as_ref().map(|watch| Metric {
            namespace: watch.metric.namespace.clone(),
            name: watch.metric.name.clone(),
            dimensions: watch.metric.dimensions.iter().cloned().collect(),
        }),
        Rule::UnhealthyTargets { group, .. } => Some(behind(env, group, "UnHealthyHostCount")),
        Rule::Errors { service, .. } => {
            let group = env.services[usize::from(service)].group?;
            Some(behind(env, group, "HTTPCode_Target_5XX_Count"))
        }
    }
}

/// A metric of a target group behind its load balancer. Dimensions are the ends of ARNs (User Guide for Application Load Balancers,
/// "Metric dimensions for Application Load Balancers").
fn behind(env: &Environment, group: u16, name: &str) -> Metric {
    let balancer = env.balancers.iter().find(|b| b.groups().any(|(g, _)| g == group));
    let balancer = balancer.and_then(|b| b.arn.rsplit_once(":loadbalancer/"));
    let group = env.groups[usize::from(group)].arn.rsplit_once(':');
    let dimensions = [
        ("LoadBalancer", balancer.map(|(_, end)| end)),
        ("TargetGroup", group.map(|(_, end)| end)),
    ];
    let dimensions = dimensions
        .into_iter()
        .filter_map(|(name, end)| Some((name.to_owned(), end?.to_owned())));
    Metric {
        namespace: "AWS/ApplicationELB".to_owned(),
        name: name.to_owned(),
        dimensions: dimensions.collect(),
    }
}
