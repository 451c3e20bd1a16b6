//! The calls of the script about one service.

use std::collections::BTreeMap;

use aws_sdk_ecs::operation::create_service::builders::CreateServiceFluentBuilder;
use aws_sdk_ecs::operation::update_service::builders::UpdateServiceFluentBuilder;
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, ContainerDefinition, DeploymentCircuitBreaker, DeploymentConfiguration, LaunchType,
    LoadBalancer, NetworkConfiguration, NetworkMode, PortMapping,
};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ProtocolEnum, TargetGroupAttribute, TargetTypeEnum,
};

use super::stage::{CLUSTER, Stage};

const CONTAINER: &str = "app";
const PORT: i32 = 8080;

/// A service and the revisions that it was given.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, and its family's.
    pub name: String,
    /// Where its targets are.
    pub group: Option<String>,
    /// Revisions: ARN, and the tag of the image.
    pub revisions: BTreeMap<String, String>,
    /// Whether the breaker goes back.
    pub goes_back: bool,
}

impl Service {
    /// One that does not exist yet.
    #[must_use]
    pub fn new(name: &str, group: Option<String>, goes_back: bool) -> Self {
        Self {
            name: name.to_owned(),
            group,
            revisions: BTreeMap::new(),
            goes_back,
        }
    }

    /// The tag of a revision's image.
    #[must_use]
    pub fn tag(&self, revision: &str) -> &str {
        self.revisions
            .get(revision)
            .map_or("another revision", String::as_str)
    }

    /// Registers a revision that runs an image.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn register(&mut self, stage: &Stage, tag: &str) -> String {
        let container = ContainerDefinition::builder()
            .name(CONTAINER)
            .image(Stage::image(tag))
            .essential(true)
            .port_mappings(PortMapping::builder().container_port(PORT).build())
            .build();
        let registered = stage
            .ecs
            .register_task_definition()
            .family(&self.name)
            .network_mode(NetworkMode::Awsvpc)
            .requires_compatibilities("FARGATE".into())
            .cpu("256")
            .memory("512")
            .container_definitions(container)
            .send()
            .await
            .expect("RegisterTaskDefinition");
        let arn = registered.task_definition.and_then(|d| d.task_definition_arn);
        let arn = arn.expect("an ARN");
        self.revisions.insert(arn.clone(), tag.to_owned());
        arn
    }

    /// Its creation, with a revision.
    #[must_use]
    pub fn create(&self, stage: &Stage, revision: &str, desired: i32) -> CreateServiceFluentBuilder {
        let breaker = DeploymentCircuitBreaker::builder()
            .enable(true)
            .rollback(self.goes_back)
            .build();
        let balancers = self.group.as_ref().map(|group| {
            let balancer = LoadBalancer::builder()
                .target_group_arn(group)
                .container_name(CONTAINER)
                .container_port(PORT);
            vec![balancer.build()]
        });
        stage
            .ecs
            .create_service()
            .cluster(CLUSTER)
            .service_name(&self.name)
            .task_definition(revision)
            .desired_count(desired)
            .launch_type(LaunchType::Fargate)
            .network_configuration(network(stage))
            .set_load_balancers(balancers)
            .deployment_configuration(
                DeploymentConfiguration::builder()
                    .deployment_circuit_breaker(breaker)
                    .minimum_healthy_percent(100)
                    .maximum_percent(200)
                    .build(),
            )
    }

    /// A change of it.
    #[must_use]
    pub fn update(&self, stage: &Stage) -> UpdateServiceFluentBuilder {
        stage.ecs.update_service().cluster(CLUSTER).service(&self.name)
    }
}

/// Where tasks are.
///
/// # Panics
/// Never: it is whole.
#[must_use]
pub fn network(stage: &Stage) -> NetworkConfiguration {
    let subnets = stage.network.subnets.clone();
    let vpc = AwsVpcConfiguration::builder().set_subnets(Some(subnets)).build();
    NetworkConfiguration::builder()
        .awsvpc_configuration(vpc.expect("a network"))
        .build()
}

/// A load balancer that forwards to a target group with a short deregistration delay: the group's ARN.
///
/// # Panics
/// When it is refused.
pub async fn balancer(stage: &Stage, name: &str) -> String {
    let elb = &stage.elb;
    let made = elb
        .create_target_group()
        .name(name)
        .protocol(ProtocolEnum::Http)
        .port(PORT)
        .vpc_id(&stage.network.vpc)
        .target_type(TargetTypeEnum::Ip)
        .send()
        .await
        .expect("CreateTargetGroup");
    let group = made.target_groups.and_then(|mut all| all.pop()?.target_group_arn);
    let group = group.expect("an ARN");
    let delay = TargetGroupAttribute::builder()
        .key("deregistration_delay.timeout_seconds")
        .value("5")
        .build();
    elb.modify_target_group_attributes()
        .target_group_arn(&group)
        .attributes(delay)
        .send()
        .await
        .expect("ModifyTargetGroupAttributes");
    let made = elb
        .create_load_balancer()
        .name(name)
        .set_subnets(Some(stage.network.subnets.clone()))
        .send()
        .await
        .expect("CreateLoadBalancer");
    let balancer = made
        .load_balancers
        .and_then(|mut all| all.pop()?.load_balancer_arn);
    let forward = Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .target_group_arn(&group)
        .build();
    elb.create_listener()
        .load_balancer_arn(balancer.expect("an ARN"))
        .protocol(ProtocolEnum::Http)
        .port(80)
        .default_actions(forward)
        .send()
        .await
        .expect("CreateListener");
    group
}
