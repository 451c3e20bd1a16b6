//! Elastic Load Balancing: what is told of a load balancer and all that hangs on it.

use aws_sdk_elasticloadbalancingv2::types::TargetDescription;

use super::{Facts, Stage, refused, told};
use crate::differ::service::balancer;

pub(super) async fn play(stage: &Stage, facts: &mut Facts) {
    let client = &stage.elb;
    let group = balancer(stage, "shapes").await;
    let sent = client.describe_load_balancers().names("shapes").send().await;
    told(facts, "ELBv2 DescribeLoadBalancers", &sent);
    let balancer = sent
        .ok()
        .and_then(|sent| sent.load_balancers?.pop()?.load_balancer_arn);
    let balancer = balancer.unwrap_or_default();
    let sent = client.describe_load_balancers().names("nobody").send().await;
    refused(facts, "ELBv2 DescribeLoadBalancers", "an unknown name", &sent);
    let sent = client.describe_target_groups().names("shapes").send().await;
    told(facts, "ELBv2 DescribeTargetGroups", &sent);
    let sent = client.describe_target_groups().names("nobody").send().await;
    refused(facts, "ELBv2 DescribeTargetGroups", "an unknown name", &sent);
    let sent = client
        .describe_target_group_attributes()
        .target_group_arn(&group)
        .send()
        .await;
    facts.words(
        "ELBv2 DescribeTargetGroupAttributes",
        "answer",
        super::answer(&sent),
    );
    let keys = sent.ok().and_then(|sent| sent.attributes).unwrap_or_default();
    let keys = keys.into_iter().filter_map(|attribute| attribute.key);
    facts.names("ELBv2 DescribeTargetGroupAttributes", "keys", keys.collect());
    let sent = client
        .describe_listeners()
        .load_balancer_arn(&balancer)
        .send()
        .await;
    told(facts, "ELBv2 DescribeListeners", &sent);
    let listener = sent
        .ok()
        .and_then(|sent| sent.listeners?.pop()?.listener_arn)
        .unwrap_or_default();
    let sent = client
        .describe_listeners()
        .listener_arns(format!("{listener}0"))
        .send()
        .await;
    refused(facts, "ELBv2 DescribeListeners", "an unknown listener", &sent);
    let sent = client.describe_rules().listener_arn(&listener).send().await;
    told(facts, "ELBv2 DescribeRules", &sent);
    let target = TargetDescription::builder().id("10.0.0.9").port(8080).build();
    let sent = client
        .register_targets()
        .target_group_arn(&group)
        .targets(target)
        .send()
        .await;
    told(facts, "ELBv2 RegisterTargets", &sent);
    let sent = client
        .describe_target_health()
        .target_group_arn(&group)
        .send()
        .await;
    told(facts, "ELBv2 DescribeTargetHealth", &sent);
    let sent = client
        .describe_target_health()
        .target_group_arn(format!("{group}0"))
        .send()
        .await;
    refused(
        facts,
        "ELBv2 DescribeTargetHealth",
        "an unknown target group",
        &sent,
    );
}
