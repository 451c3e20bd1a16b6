//! One environment: its cluster, images, services, load balancers, alarms and zone.

use core::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_cloudwatch::types::{ComparisonOperator, StateValue, Statistic};
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, ContainerDefinition, DeploymentCircuitBreaker, DeploymentConfiguration,
    KeyValuePair, LaunchType, LoadBalancer, LogConfiguration, LogDriver, NetworkConfiguration, NetworkMode,
    PortMapping,
};
use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, ProtocolEnum, TargetTypeEnum};
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};
use rollout_core::id::ImageDigest;
use serde_json::json;

use super::account::Account;
use super::{BAD, NEW, OLD, PARTS, Part, REGION};

const SUBNET: &str = "subnet-0a1b2c3d4e5f60718";
/// For a service to have all its tasks; on a busy machine an emulator takes its time.
const SETTLE: Duration = Duration::from_secs(120);
/// The media type of a manifest for one platform.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An environment.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its account.
    pub account: Account,
    /// `staging` or `production`.
    pub name: &'static str,
}

/// A load balancer.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// Its DNS name.
    pub dns: String,
    arn: String,
}

impl Site {
    fn cluster_name(&self) -> String {
        format!("storefront-{}", self.name)
    }

    /// What ECS calls a service here; see `[services.environments.staging]`.
    fn service_name(&self, part: Part) -> String {
        match self.name {
            "staging" => format!("{}-staging", part.name),
            _ => part.name.to_owned(),
        }
    }

    pub(super) async fn exists(&self) -> Result<bool> {
        let ecs = &self.account.ecs;
        let found = ecs.describe_clusters().clusters(self.cluster_name()).send().await;
        Ok(!found.context("DescribeClusters")?.clusters().is_empty())
    }

    pub(super) async fn cluster(&self) -> Result<()> {
        let ecs = &self.account.ecs;
        let made = ecs
            .create_cluster()
            .cluster_name(self.cluster_name())
            .send()
            .await;
        made.context("CreateCluster").map(drop)
    }

    pub(super) async fn log_group(&self, name: &str) -> Result<()> {
        let group = format!("/storefront/{name}");
        let made = self
            .account
            .logs
            .create_log_group()
            .log_group_name(group)
            .send()
            .await;
        made.context("CreateLogGroup").map(drop)
    }

    /// Pushes the image of a release. Its bytes depend on the service and the release alone, so it is the same everywhere.
    pub(super) async fn push(&self, part: Part, release: &str) -> Result<()> {
        let ecr = &self.account.ecr;
        let repository = repository(part);
        let made = ecr.create_repository().repository_name(&repository).send().await;
        if let Err(error) = made {
            let there = error
                .as_service_error()
                .is_some_and(|error| error.is_repository_already_exists_exception());
            if !there {
                return Err(error).context("CreateRepository");
            }
        }
        let manifest = manifest(part, release);
        let pushed = ecr
            .put_image()
            .repository_name(&repository)
            .image_tag(release)
            .image_manifest(&manifest)
            .image_manifest_media_type(MANIFEST)
            .send()
            .await
            .context("PutImage")?;
        let stored = pushed.image.and_then(|image| image.image_id);
        let stored = stored.and_then(|image| image.image_digest);
        let digest = ImageDigest::of(manifest.as_bytes());
        ensure!(
            stored.as_deref() == Some(digest.as_str()),
            "{repository}:{release} is stored as {stored:?}, and is {digest}"
        );
        Ok(())
    }

    /// Registers a revision that runs a release, pinned by digest.
    async fn register(&self, part: Part, release: &str) -> Result<String> {
        let digest = ImageDigest::of(manifest(part, release).as_bytes());
        let image = format!("{}/{}@{digest}", self.account.registry(), repository(part));
        let logs = LogConfiguration::builder()
            .log_driver(LogDriver::Awslogs)
            .options("awslogs-group", format!("/storefront/{}", part.name))
            .options("awslogs-region", REGION)
            .options("awslogs-stream-prefix", part.name)
            .build()?;
        let mut container = ContainerDefinition::builder()
            .name(part.container)
            .image(image)
            .essential(true)
            .log_configuration(logs);
        if let Some(port) = part.port {
            container = container.port_mappings(PortMapping::builder().container_port(port).build());
        }
        if self.name == "staging" {
            // What is wrong with a release shows in production only: here its containers run until they are stopped.
            let forever = KeyValuePair::builder().name("SIM_EXIT_SECONDS").value("").build();
            container = container.environment(forever);
        }
        let ecs = &self.account.ecs;
        let answer = ecs
            .register_task_definition()
            .family(format!("storefront-{}", part.name))
            .network_mode(NetworkMode::Awsvpc)
            .cpu("256")
            .memory("512")
            .container_definitions(container.build())
            .send()
            .await
            .context("RegisterTaskDefinition")?;
        let arn = answer.task_definition.and_then(|d| d.task_definition_arn);
        arn.context("the revision has no ARN")
    }

    /// A service with the circuit breaker and its rollback switched on.
    pub(super) async fn service(
        &self,
        part: Part,
        release: &str,
        tasks: i32,
        target_group: Option<&str>,
    ) -> Result<()> {
        let revision = self.register(part, release).await?;
        let network = AwsVpcConfiguration::builder().subnets(SUBNET).build()?;
        let network = NetworkConfiguration::builder()
            .awsvpc_configuration(network)
            .build();
        let breaker = DeploymentCircuitBreaker::builder()
            .enable(true)
            .rollback(true)
            .build();
        let deployment = DeploymentConfiguration::builder()
            .deployment_circuit_breaker(breaker)
            .minimum_healthy_percent(100)
            .maximum_percent(200)
            .build();
        let balancers = target_group.map(|arn| {
            let balancer = LoadBalancer::builder()
                .target_group_arn(arn)
                .container_name(part.container)
                .set_container_port(part.port);
            vec![balancer.build()]
        });
        let made = self
            .account
            .ecs
            .create_service()
            .cluster(self.cluster_name())
            .service_name(self.service_name(part))
            .task_definition(revision)
            .desired_count(tasks)
            .launch_type(LaunchType::Fargate)
            .network_configuration(network)
            .deployment_configuration(deployment)
            .set_load_balancers(balancers)
            .send()
            .await;
        made.context("CreateService").map(drop)
    }

    /// Deploys a release by hand.
    pub(super) async fn deploy(&self, part: Part, release: &str) -> Result<()> {
        let revision = self.register(part, release).await?;
        let ecs = &self.account.ecs;
        let sent = ecs
            .update_service()
            .cluster(self.cluster_name())
            .service(self.service_name(part))
            .task_definition(revision)
            .send()
            .await;
        sent.context("UpdateService").map(drop)
    }

    /// Waits until a service has all its tasks, of its last deployment.
    pub(super) async fn settled(&self, part: Part) -> Result<()> {
        let name = self.service_name(part);
        let look = async || -> Result<bool> {
            let ecs = &self.account.ecs;
            let found = ecs
                .describe_services()
                .cluster(self.cluster_name())
                .services(&name)
                .send()
                .await
                .context("DescribeServices")?;
            let service = found.services().first().context("the service is gone")?;
            let primary = service
                .deployments()
                .iter()
                .find(|deployment| deployment.status() == Some("PRIMARY"));
            Ok(primary.is_some_and(|primary| {
                primary.running_count() == service.desired_count()
                    && service.running_count() == service.desired_count()
                    && primary
                        .rollout_state()
                        .is_some_and(|state| state.as_str() == "COMPLETED")
            }))
        };
        let wait = async {
            while !look().await? {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Ok(())
        };
        match tokio::time::timeout(SETTLE, wait).await {
            Ok(done) => done,
            Err(_) => bail!("{name} has not all its tasks after {SETTLE:?}"),
        }
    }

    /// The release of each running task of a service.
    pub(super) async fn running(&self, part: Part) -> Result<Vec<&'static str>> {
        let ecs = &self.account.ecs;
        let listed = ecs
            .list_tasks()
            .cluster(self.cluster_name())
            .service_name(self.service_name(part))
            .send()
            .await
            .context("ListTasks")?;
        if listed.task_arns().is_empty() {
            return Ok(Vec::new());
        }
        let described = ecs
            .describe_tasks()
            .cluster(self.cluster_name())
            .set_tasks(listed.task_arns)
            .send()
            .await
            .context("DescribeTasks")?;
        let release_of = |digest: &str| {
            let of = |release: &&str| ImageDigest::of(manifest(part, release).as_bytes()).as_str() == digest;
            [OLD, NEW, BAD].into_iter().find(of).unwrap_or("unknown")
        };
        Ok(described
            .tasks()
            .iter()
            .filter(|task| task.last_status() == Some("RUNNING"))
            .flat_map(|task| task.containers())
            .map(|container| release_of(container.image_digest().unwrap_or_default()))
            .collect())
    }

    /// The CNAME records of all zones.
    pub(super) async fn records(&self) -> Result<Vec<(String, String)>> {
        let route53 = &self.account.route53;
        let zones = route53
            .list_hosted_zones()
            .send()
            .await
            .context("ListHostedZones")?;
        let mut records = Vec::new();
        for zone in zones.hosted_zones() {
            let listed = route53
                .list_resource_record_sets()
                .hosted_zone_id(zone.id())
                .send()
                .await;
            let listed = listed.context("ListResourceRecordSets")?;
            for set in listed.resource_record_sets() {
                if *set.r#type() == RrType::Cname {
                    let name = set.name().trim_end_matches('.').to_owned();
                    records.extend(
                        set.resource_records()
                            .iter()
                            .map(|r| (name.clone(), r.value().to_owned())),
                    );
                }
            }
        }
        Ok(records)
    }

    /// A target group for a service that has a port.
    pub(super) async fn target_group(&self, part: Part) -> Result<Option<String>> {
        let Some(port) = part.port else { return Ok(None) };
        let elb = &self.account.elb;
        let made = elb
            .create_target_group()
            .name(format!("storefront-{}", part.name))
            .protocol(ProtocolEnum::Http)
            .port(port)
            .vpc_id("vpc-0123456789abcdef0")
            .target_type(TargetTypeEnum::Ip)
            .send()
            .await
            .context("CreateTargetGroup")?;
        let arn = made.target_groups().first().and_then(|g| g.target_group_arn());
        Ok(Some(arn.context("the target group has no ARN")?.to_owned()))
    }

    pub(super) async fn balancer(&self, name: &str) -> Result<Balancer> {
        let elb = &self.account.elb;
        let made = elb.create_load_balancer().name(name).subnets(SUBNET).send().await;
        let made = made.context("CreateLoadBalancer")?;
        let made = made.load_balancers().first().context("no load balancer")?;
        Ok(Balancer {
            dns: made.dns_name().context("it has no name")?.to_owned(),
            arn: made.load_balancer_arn().context("it has no ARN")?.to_owned(),
        })
    }

    pub(super) async fn listen(&self, balancer: &Balancer, target_group: &str) -> Result<()> {
        let forward = Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .target_group_arn(target_group)
            .build();
        let elb = &self.account.elb;
        let made = elb
            .create_listener()
            .load_balancer_arn(&balancer.arn)
            .protocol(ProtocolEnum::Http)
            .port(80)
            .default_actions(forward)
            .send()
            .await;
        made.context("CreateListener").map(drop)
    }

    /// An alarm that is OK.
    pub(super) async fn alarm(&self, name: &str) -> Result<()> {
        let cloudwatch = &self.account.cloudwatch;
        let made = cloudwatch
            .put_metric_alarm()
            .alarm_name(name)
            .namespace("Storefront")
            .metric_name(name)
            .statistic(Statistic::Sum)
            .period(60)
            .evaluation_periods(1)
            .threshold(5.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .treat_missing_data("notBreaching") // there is never a datapoint
            .send()
            .await;
        made.context("PutMetricAlarm")?;
        let set = cloudwatch
            .set_alarm_state()
            .alarm_name(name)
            .state_value(StateValue::Ok)
            .state_reason("nothing is wrong")
            .send()
            .await;
        set.context("SetAlarmState").map(drop)
    }

    /// A hosted zone with one CNAME record; its id.
    pub(super) async fn zone(&self, zone: &str, record: &str, value: &str) -> Result<String> {
        let route53 = &self.account.route53;
        let made = route53
            .create_hosted_zone()
            .name(zone)
            .caller_reference("storefront_world")
            .send()
            .await
            .context("CreateHostedZone")?;
        let id = made.hosted_zone.context("no zone")?.id;
        let id = id.trim_start_matches("/hostedzone/").to_owned();
        let set = ResourceRecordSet::builder()
            .name(record)
            .r#type(RrType::Cname)
            .ttl(super::files::TTL)
            .resource_records(ResourceRecord::builder().value(value).build()?)
            .build()?;
        let change = Change::builder()
            .action(ChangeAction::Create)
            .resource_record_set(set)
            .build()?;
        let batch = ChangeBatch::builder().changes(change).build()?;
        let sent = route53
            .change_resource_record_sets()
            .hosted_zone_id(&id)
            .change_batch(batch)
            .send()
            .await;
        sent.context("ChangeResourceRecordSets")?;
        Ok(id)
    }
}

fn repository(part: Part) -> String {
    format!("storefront/{}", part.name)
}

/// A manifest without anything behind it: emulators do not look for layers.
fn manifest(part: Part, release: &str) -> String {
    let blob = |what: &str| ImageDigest::of(format!("{what} of {} {release}", part.name).as_bytes());
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
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
    });
    if release == BAD && part.name == PARTS[2].name {
        // What the simulated containers of this image do (docs/emulators.md).
        manifest["annotations"] = json!({
            "SIM_EXIT_SECONDS": "0.5",
            "SIM_EXIT_CODE": "78",
            "SIM_LOG_LINE": "fatal: QUEUE_URL: no such queue",
        });
    }
    manifest.to_string()
}
