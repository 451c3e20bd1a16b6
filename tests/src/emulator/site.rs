//! An environment, as a team would have made it with its own tools: a cluster, repositories, services behind target groups,
//! alarms, logs. And what it looks like afterwards.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types::{ComparisonOperator, StateValue, Statistic};
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, ContainerDefinition, DeploymentCircuitBreaker,
    DeploymentConfiguration, KeyValuePair, LaunchType, LoadBalancer, LogConfiguration, LogDriver,
    NetworkConfiguration, NetworkMode, PortMapping, Service, Task,
};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ProtocolEnum, TargetDescription, TargetTypeEnum,
};
use rollout_core::id::{ImageDigest, ServiceName};
use serde_json::{Value, json};

use super::account::Account;
use super::{REGION, id, wait};

/// The one container of everything here.
pub const CONTAINER: &str = "app";
/// The port that it listens on.
const PORT: i32 = 8787;
/// For a service to have all its tasks; on a busy machine an emulator takes its time.
const SETTLE: Duration = Duration::from_secs(60);

/// An environment.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its account.
    pub account: Account,
    /// Its cluster.
    pub cluster: String,
}

/// A service's load balancer.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// Its DNS name.
    pub dns: String,
    /// Its target group.
    pub target_group: String,
}

/// What a service looks like from outside.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The PRIMARY deployment's id.
    pub primary: String,
    /// Its revision.
    pub task_definition: String,
    /// Its state.
    pub rollout: String,
    /// Tasks wanted.
    pub desired: i32,
    /// The revisions of running tasks, one entry a task.
    pub running: Vec<String>,
    /// The digests of running tasks.
    pub digests: BTreeSet<String>,
}

impl Seen {
    /// Whether every wanted task runs, on the PRIMARY deployment's revision, and that deployment is done.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.rollout == "COMPLETED"
            && i32::try_from(self.running.len()) == Ok(self.desired)
            && self
                .running
                .iter()
                .all(|running| *running == self.task_definition)
    }
}

impl Site {
    /// A new cluster.
    ///
    /// # Panics
    /// When the emulator does not make it.
    pub async fn create(account: Account, cluster: &str) -> Self {
        let made = account.ecs.create_cluster().cluster_name(cluster).send().await;
        made.expect("CreateCluster");
        Self {
            account,
            cluster: cluster.to_owned(),
        }
    }

    /// Makes the repository, if it is not there, and pushes an image whose bytes depend on `content` alone.
    ///
    /// # Panics
    /// When the emulator does not take it.
    pub async fn push(&self, repository: &str, tag: &str, content: &str) -> ImageDigest {
        let made = self
            .account
            .ecr
            .create_repository()
            .repository_name(repository)
            .send()
            .await;
        if let Err(error) = made {
            let error = error.into_service_error();
            assert!(
                error.is_repository_already_exists_exception(),
                "CreateRepository: {error:?}"
            );
        }
        let manifest = manifest(content);
        let pushed = self
            .account
            .ecr
            .put_image()
            .repository_name(repository)
            .image_tag(tag)
            .image_manifest(&manifest)
            .image_manifest_media_type("application/vnd.oci.image.manifest.v1+json")
            .send()
            .await
            .expect("PutImage");
        let stored = pushed
            .image
            .and_then(|image| image.image_id)
            .and_then(|image| image.image_digest);
        let digest = ImageDigest::of(manifest.as_bytes());
        assert_eq!(stored.as_deref(), Some(digest.as_str()));
        digest
    }

    /// The digests that a repository holds.
    ///
    /// # Panics
    /// When it cannot be listed.
    pub async fn images(&self, repository: &str) -> BTreeSet<String> {
        let listed = self
            .account
            .ecr
            .list_images()
            .repository_name(repository)
            .send()
            .await;
        let images = listed.expect("ListImages").image_ids.unwrap_or_default();
        images
            .into_iter()
            .filter_map(|image| image.image_digest)
            .collect()
    }

    /// An image reference by digest.
    #[must_use]
    pub fn image(&self, repository: &str, digest: &ImageDigest) -> String {
        format!("{}/{repository}@{digest}", self.account.registry())
    }

    /// The family of a service's or task's revisions, and the name of its log group.
    #[must_use]
    pub fn family(&self, name: &str) -> String {
        format!("{}-{name}", self.cluster)
    }

    /// A log group for a service or task.
    ///
    /// # Panics
    /// When the emulator does not make it.
    pub async fn log_group(&self, name: &str) {
        let group = self.family(name);
        let made = self
            .account
            .logs
            .create_log_group()
            .log_group_name(group)
            .send()
            .await;
        made.expect("CreateLogGroup");
    }

    /// What a team keeps in a file for `register-task-definition --cli-input-json`. `environment` says what the simulated
    /// container does.
    #[must_use]
    pub fn template(&self, name: &str, environment: &[(&str, &str)]) -> Value {
        let environment: Vec<Value> = environment
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        json!({
            "family": self.family(name),
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{
                "name": CONTAINER,
                "image": "replaced-by-the-release",
                "essential": true,
                "portMappings": [{ "containerPort": PORT, "protocol": "tcp" }],
                "environment": environment,
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": self.family(name),
                        "awslogs-region": REGION,
                        "awslogs-stream-prefix": "ecs",
                    },
                },
            }],
        })
    }

    /// Registers a revision by hand.
    ///
    /// # Panics
    /// When the emulator does not take it.
    pub async fn register(&self, name: &str, image: &str, environment: &[(&str, &str)]) -> String {
        let group = self.family(name);
        let logs = LogConfiguration::builder()
            .log_driver(LogDriver::Awslogs)
            .options("awslogs-group", &group)
            .options("awslogs-region", REGION)
            .options("awslogs-stream-prefix", "ecs")
            .build()
            .expect("a log configuration");
        let mut container = ContainerDefinition::builder()
            .name(CONTAINER)
            .image(image)
            .essential(true)
            .port_mappings(PortMapping::builder().container_port(PORT).build())
            .log_configuration(logs);
        for (name, value) in environment {
            container = container.environment(KeyValuePair::builder().name(*name).value(*value).build());
        }
        let answer = self
            .account
            .ecs
            .register_task_definition()
            .family(group)
            .network_mode(NetworkMode::Awsvpc)
            .cpu("256")
            .memory("512")
            .container_definitions(container.build())
            .send()
            .await
            .expect("RegisterTaskDefinition");
        let definition = answer.task_definition.expect("a task definition");
        definition.task_definition_arn.expect("an ARN")
    }

    /// A load balancer with one listener and one target group.
    ///
    /// # Panics
    /// When the emulator does not make it.
    pub async fn balancer(&self, name: &str) -> Balancer {
        let elb = &self.account.elb;
        let group = elb
            .create_target_group()
            .name(name)
            .protocol(ProtocolEnum::Http)
            .port(PORT)
            .vpc_id("vpc-0123456789abcdef0")
            .target_type(TargetTypeEnum::Ip)
            .send()
            .await
            .expect("CreateTargetGroup");
        let group = group.target_groups.unwrap_or_default().remove(0);
        let target_group = group.target_group_arn.expect("an ARN");
        let made = elb
            .create_load_balancer()
            .name(name)
            .subnets("subnet-0123456789abcdef0")
            .send()
            .await;
        let balancer = made
            .expect("CreateLoadBalancer")
            .load_balancers
            .unwrap_or_default()
            .remove(0);
        let forward = Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .target_group_arn(&target_group)
            .build();
        elb.create_listener()
            .load_balancer_arn(balancer.load_balancer_arn.expect("an ARN"))
            .protocol(ProtocolEnum::Http)
            .port(80)
            .default_actions(forward)
            .send()
            .await
            .expect("CreateListener");
        Balancer {
            dns: balancer.dns_name.expect("a name"),
            target_group,
        }
    }

    /// A load balancer in front of a machine that was there before any of this.
    ///
    /// # Panics
    /// When the emulator does not make it.
    pub async fn old_balancer(&self, name: &str) -> Balancer {
        let balancer = self.balancer(name).await;
        let machine = TargetDescription::builder().id("10.0.0.9").port(PORT).build();
        let register = self
            .account
            .elb
            .register_targets()
            .target_group_arn(&balancer.target_group);
        register.targets(machine).send().await.expect("RegisterTargets");
        balancer
    }

    /// A service with the circuit breaker and its rollback switched on, settled on a revision.
    ///
    /// # Panics
    /// When the emulator does not make it, or its tasks do not come.
    pub async fn service(
        &self,
        name: &str,
        revision: &str,
        desired: i32,
        balancer: Option<&Balancer>,
    ) -> ServiceName {
        let breaker = DeploymentCircuitBreaker::builder()
            .enable(true)
            .rollback(true)
            .build();
        let network = AwsVpcConfiguration::builder()
            .subnets("subnet-0123456789abcdef0")
            .assign_public_ip(AssignPublicIp::Disabled)
            .build()
            .expect("a network");
        let balancers = balancer.map(|balancer| {
            vec![
                LoadBalancer::builder()
                    .target_group_arn(&balancer.target_group)
                    .container_name(CONTAINER)
                    .container_port(PORT)
                    .build(),
            ]
        });
        self.account
            .ecs
            .create_service()
            .cluster(&self.cluster)
            .service_name(name)
            .task_definition(revision)
            .desired_count(desired)
            .launch_type(LaunchType::Fargate)
            .network_configuration(
                NetworkConfiguration::builder()
                    .awsvpc_configuration(network)
                    .build(),
            )
            .set_load_balancers(balancers)
            .deployment_configuration(
                DeploymentConfiguration::builder()
                    .deployment_circuit_breaker(breaker)
                    .minimum_healthy_percent(100)
                    // Room for three sets. With two MiniStack gets stuck when a deployment replaces one whose tasks are
                    // still on their way: it makes no room, and does not look again when they fail.
                    .maximum_percent(400)
                    .build(),
            )
            .send()
            .await
            .expect("CreateService");
        let seen = self.settled(name).await;
        assert_eq!(seen.task_definition, revision);
        id(name)
    }

    /// Deploys by hand, as somebody else would.
    ///
    /// # Panics
    /// When the emulator does not take it.
    pub async fn deploy(&self, service: &str, revision: &str) {
        let sent = self
            .account
            .ecs
            .update_service()
            .cluster(&self.cluster)
            .service(service)
            .task_definition(revision)
            .send()
            .await;
        sent.expect("UpdateService");
    }

    /// Waits until a service has all its tasks on one revision.
    pub async fn settled(&self, service: &str) -> Seen {
        wait::until(service, SETTLE, || async {
            let seen = self.look(service).await;
            if seen.is_settled() {
                Ok(seen)
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await
    }

    /// One look.
    ///
    /// # Panics
    /// When there is no such service.
    pub async fn look(&self, service: &str) -> Seen {
        let found = self.describe(service).await;
        let tasks = self.running(service).await;
        // Not always the first: MiniStack keeps a failed deployment before it.
        let primary = found
            .deployments()
            .iter()
            .find(|deployment| deployment.status() == Some("PRIMARY"))
            .expect("a PRIMARY deployment");
        let containers = tasks.iter().flat_map(Task::containers);
        Seen {
            primary: primary.id().unwrap_or_default().to_owned(),
            task_definition: primary.task_definition().unwrap_or_default().to_owned(),
            rollout: primary
                .rollout_state()
                .map(|s| s.as_str().to_owned())
                .unwrap_or_default(),
            desired: found.desired_count(),
            running: tasks
                .iter()
                .filter_map(|task| task.task_definition_arn.clone())
                .collect(),
            digests: containers
                .filter_map(|container| container.image_digest.clone())
                .collect(),
        }
    }

    /// Every deployment that a service shows, by id.
    ///
    /// # Panics
    /// When there is no such service.
    pub async fn deployments(&self, service: &str) -> Vec<String> {
        let found = self.describe(service).await;
        let ids = found
            .deployments()
            .iter()
            .filter_map(|deployment| deployment.id());
        ids.map(str::to_owned).collect()
    }

    /// The digest of every running task of a service, one entry a task.
    pub async fn running_digests(&self, service: &str) -> Vec<String> {
        let tasks = self.running(service).await;
        let containers = tasks
            .into_iter()
            .filter_map(|task| task.containers?.into_iter().next());
        containers
            .filter_map(|container| container.image_digest)
            .collect()
    }

    /// How many tasks of a family there are, whatever their state.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn started(&self, name: &str) -> usize {
        let mut count = 0;
        for status in [
            aws_sdk_ecs::types::DesiredStatus::Running,
            aws_sdk_ecs::types::DesiredStatus::Stopped,
        ] {
            let listed = self
                .account
                .ecs
                .list_tasks()
                .cluster(&self.cluster)
                .family(self.family(name))
                .desired_status(status)
                .send()
                .await;
            count += listed.expect("ListTasks").task_arns.unwrap_or_default().len();
        }
        count
    }

    /// Removes an image, as a lifecycle rule does.
    ///
    /// # Panics
    /// When the emulator does not take it.
    pub async fn delete_image(&self, repository: &str, digest: &ImageDigest) {
        let image = aws_sdk_ecr::types::ImageIdentifier::builder()
            .image_digest(digest.as_str())
            .build();
        let deleted = self
            .account
            .ecr
            .batch_delete_image()
            .repository_name(repository)
            .image_ids(image)
            .send()
            .await;
        deleted.expect("BatchDeleteImage");
    }

    async fn describe(&self, service: &str) -> Service {
        let answer = self
            .account
            .ecs
            .describe_services()
            .cluster(&self.cluster)
            .services(service)
            .send()
            .await
            .expect("DescribeServices");
        let mut services = answer.services.unwrap_or_default();
        services.pop().unwrap_or_else(|| panic!("no service {service}"))
    }

    async fn running(&self, service: &str) -> Vec<Task> {
        let ecs = &self.account.ecs;
        let listed = ecs
            .list_tasks()
            .cluster(&self.cluster)
            .service_name(service)
            .send()
            .await;
        let arns = listed.expect("ListTasks").task_arns.unwrap_or_default();
        if arns.is_empty() {
            return Vec::new();
        }
        let described = ecs
            .describe_tasks()
            .cluster(&self.cluster)
            .set_tasks(Some(arns))
            .send()
            .await;
        let tasks = described.expect("DescribeTasks").tasks.unwrap_or_default();
        tasks
            .into_iter()
            .filter(|task| task.last_status() == Some("RUNNING"))
            .collect()
    }

    /// The image of each container of a revision.
    ///
    /// # Panics
    /// When there is no such revision.
    pub async fn images_of(&self, revision: &str) -> BTreeMap<String, String> {
        let answer = self
            .account
            .ecs
            .describe_task_definition()
            .task_definition(revision)
            .send()
            .await;
        let definition = answer
            .expect("DescribeTaskDefinition")
            .task_definition
            .expect("a task definition");
        let containers = definition.container_definitions.unwrap_or_default();
        containers
            .into_iter()
            .map(|container| {
                (
                    container.name.unwrap_or_default(),
                    container.image.unwrap_or_default(),
                )
            })
            .collect()
    }

    /// The revisions of a family.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn revisions(&self, name: &str) -> Vec<String> {
        let family = self.family(name);
        let listed = self
            .account
            .ecs
            .list_task_definitions()
            .family_prefix(family)
            .send()
            .await;
        listed
            .expect("ListTaskDefinitions")
            .task_definition_arns
            .unwrap_or_default()
    }

    /// How many stopped tasks a family has, with their exit codes.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn exits(&self, name: &str) -> Vec<Option<i32>> {
        let ecs = &self.account.ecs;
        let listed = ecs
            .list_tasks()
            .cluster(&self.cluster)
            .family(self.family(name))
            .desired_status(aws_sdk_ecs::types::DesiredStatus::Stopped)
            .send()
            .await;
        let arns = listed.expect("ListTasks").task_arns.unwrap_or_default();
        if arns.is_empty() {
            return Vec::new();
        }
        let described = ecs
            .describe_tasks()
            .cluster(&self.cluster)
            .set_tasks(Some(arns))
            .send()
            .await;
        let tasks = described.expect("DescribeTasks").tasks.unwrap_or_default();
        tasks
            .iter()
            .flat_map(Task::containers)
            .map(|container| container.exit_code())
            .collect()
    }

    /// An alarm that is OK.
    ///
    /// # Panics
    /// When the emulator does not make it.
    pub async fn alarm(&self, name: &str) {
        self.put_alarm(name, "notBreaching", StateValue::Ok).await;
    }

    /// An alarm that fires.
    ///
    /// # Panics
    /// When the emulator does not make it.
    pub async fn firing_alarm(&self, name: &str) {
        self.put_alarm(name, "breaching", StateValue::Alarm).await;
    }

    /// An alarm that stays in `state` when the emulator evaluates it: there is never a datapoint.
    async fn put_alarm(&self, name: &str, missing: &str, state: StateValue) {
        let cloudwatch = &self.account.cloudwatch;
        cloudwatch
            .put_metric_alarm()
            .alarm_name(name)
            .namespace("AWS/ApplicationELB")
            .metric_name("HTTPCode_Target_5XX_Count")
            .statistic(Statistic::Sum)
            .period(60)
            .evaluation_periods(1)
            .threshold(5.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .treat_missing_data(missing)
            .send()
            .await
            .expect("PutMetricAlarm");
        let set = cloudwatch
            .set_alarm_state()
            .alarm_name(name)
            .state_value(state)
            .state_reason("the test")
            .send()
            .await;
        set.expect("SetAlarmState");
    }
}

/// A manifest without anything behind it: emulators do not look for layers.
fn manifest(content: &str) -> String {
    let blob = |what: &str| ImageDigest::of(format!("{what} of {content}").as_bytes());
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": blob("config"),
            "size": 512,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": blob("layer"),
            "size": 4096,
        }],
    })
    .to_string()
}
