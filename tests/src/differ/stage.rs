//! Where the script is played: clients, and how long things take there.

use core::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use rollout_sim::endpoint::{Endpoint, InProcess};
use rollout_sim::{Behaviour, Job, SimCloud, Start, World};
use serde_json::json;

use super::subnets::Network;
use crate::emulator::Emulator;
use crate::emulator::account::Account;
use crate::emulator::{REGION, wait};
use rollout_core::id::ImageDigest;

/// Emulators take twelve digits of an access key for the account, as the endpoint does.
pub(super) const ACCOUNT: &str = "222222222222";
/// The cluster of everything.
pub const CLUSTER: &str = "differ";
/// The one repository.
pub const REPOSITORY: &str = "shop/api";

/// The zone of the shapes.
const ZONE: &str = "shapes.example.com";

/// What an image does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// It runs until it is stopped.
    Well,
    /// Its process ends soon, with this code.
    Ends(i32),
}

/// The images: tags, and what they do. No other tag can be pulled.
const IMAGES: [(&str, Does); 5] = [
    ("1.0.0", Does::Well),
    ("1.1.0", Does::Well),
    ("crash", Does::Ends(3)),
    ("job", Does::Ends(0)),
    ("bad-job", Does::Ends(4)),
];

/// Clients for one side.
#[derive(Clone, Debug)]
pub struct Stage {
    /// For Amazon ECS.
    pub ecs: aws_sdk_ecs::Client,
    /// For Amazon ECR.
    pub ecr: aws_sdk_ecr::Client,
    /// For Elastic Load Balancing.
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    /// For AWS STS.
    pub sts: aws_sdk_sts::Client,
    /// For Amazon Route 53.
    pub route53: aws_sdk_route53::Client,
    /// For Amazon CloudWatch.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// For Amazon CloudWatch Logs.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// The hosted zone of the shapes.
    pub zone: String,
    /// Where load balancers and tasks are.
    pub network: Network,
    /// The simulated cloud, where this is it.
    wire: Option<InProcess>,
    /// Between two looks.
    pub every: Duration,
    /// For how long nothing changes once a step is over.
    pub calm: Duration,
    /// For how long a step may take.
    pub patience: Duration,
}

impl Stage {
    fn new(config: &SdkConfig) -> Self {
        Self {
            ecs: aws_sdk_ecs::Client::new(config),
            ecr: aws_sdk_ecr::Client::new(config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
            route53: aws_sdk_route53::Client::new(config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            zone: "Z0123456789ABCDEFGHIJ".to_owned(),
            network: Network::any(),
            wire: None,
            every: Duration::from_millis(500),
            calm: Duration::from_secs(60),
            patience: Duration::from_secs(7_200),
        }
    }

    /// The simulated cloud, in process. The runtime's time must be paused.
    ///
    /// # Panics
    /// When the world cannot be made, which it can.
    #[must_use]
    pub fn simulated() -> Self {
        let world = World::builder(3).environment("differ", |environment| {
            let mut environment = environment.account(ACCOUNT).region(REGION).cluster(CLUSTER);
            for (tag, does) in IMAGES {
                environment = environment.image_that(REPOSITORY, tag, behaviour(does));
            }
            environment
        });
        let world = world.zone("Z0123456789ABCDEFGHIJ", ZONE, |zone| zone);
        let world = world.build().expect("a world");
        let wire = InProcess::new(Endpoint::new(SimCloud::new(world)));
        let mut stage = Self::new(&wire.config("differ").expect("it was described"));
        stage.wire = Some(wire);
        stage
    }

    /// Now, in seconds, where it is played.
    #[must_use]
    pub fn now(&self) -> i64 {
        let now = self.wire.as_ref().map_or_else(wait::now, InProcess::now);
        i64::try_from(now.as_millis() / 1_000).unwrap_or(i64::MAX)
    }

    /// The emulator of the environment variables, with the images pushed and a zone made.
    ///
    /// # Panics
    /// When it does not take them.
    pub async fn emulated(emulator: Emulator) -> Self {
        let account = Account::open(ACCOUNT).await;
        let mut stage = Self::new(account.config());
        if emulator == Emulator::Moto {
            stage.network = Network::there().await;
        }
        stage.every = Duration::from_millis(40);
        stage.calm = Duration::from_secs(3);
        stage.patience = Duration::from_secs(60);
        let made = stage
            .ecr
            .create_repository()
            .repository_name(REPOSITORY)
            .send()
            .await;
        made.expect("CreateRepository");
        for (tag, does) in IMAGES {
            let pushed = stage
                .ecr
                .put_image()
                .repository_name(REPOSITORY)
                .image_tag(tag)
                .image_manifest(manifest(tag, does))
                .image_manifest_media_type("application/vnd.oci.image.manifest.v1+json")
                .send()
                .await;
            pushed.expect("PutImage");
        }
        let made = stage
            .route53
            .create_hosted_zone()
            .name(ZONE)
            .caller_reference(ZONE)
            .send()
            .await;
        let zone = made.expect("CreateHostedZone").hosted_zone.expect("a zone").id;
        zone.trim_start_matches("/hostedzone/")
            .clone_into(&mut stage.zone);
        stage
    }

    /// A stream with lines in a log group: those of a task on the simulated cloud, which has no other; elsewhere written by hand.
    pub(super) async fn written(&self, group: &str) -> Option<String> {
        if self.wire.is_some() {
            return super::rest::logging_task(self, group).await;
        }
        let logs = &self.logs;
        let made = logs.create_log_group().log_group_name(group).send().await;
        made.expect("CreateLogGroup");
        let stream = "ecs/app/0123456789abcdef0123456789abcdef";
        let made = logs
            .create_log_stream()
            .log_group_name(group)
            .log_stream_name(stream)
            .send()
            .await;
        made.expect("CreateLogStream");
        let line = InputLogEvent::builder()
            .message("one")
            .timestamp(self.now() * 1_000)
            .build();
        let put = logs
            .put_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .log_events(line.expect("a line"));
        put.send().await.expect("PutLogEvents");
        Some(stream.to_owned())
    }

    /// An image by its tag.
    #[must_use]
    pub fn image(tag: &str) -> String {
        format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}:{tag}")
    }
}

fn behaviour(does: Does) -> Behaviour {
    match does {
        Does::Well => Behaviour::default(),
        Does::Ends(exit_code) => Behaviour {
            start: Start::CrashAfter {
                millis: 1_500,
                exit_code,
            },
            job: Job {
                exit_code,
                ..Job::default()
            },
            ..Behaviour::default().logging(["one"])
        },
    }
}

/// The same for the simulated containers of MiniStack, which read the annotations.
fn manifest(tag: &str, does: Does) -> String {
    let blob = |what: &str| ImageDigest::of(format!("{what} of {tag}").as_bytes());
    let annotations = match does {
        Does::Well => json!({}),
        Does::Ends(code) => json!({ "SIM_EXIT_SECONDS": "0.4", "SIM_EXIT_CODE": code.to_string() }),
    };
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob("config"), "size": 512 },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": blob("layer"), "size": 4096,
        }],
        "annotations": annotations,
    })
    .to_string()
}
