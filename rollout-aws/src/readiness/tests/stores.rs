use rollout_core::readiness::fact::data::{CorsRule, Notification};
use rollout_core::readiness::fact::edge::ZoneRecord;
use rollout_core::readiness::fact::watch::Topic;
use serde_json::{Value, json};

use super::fake::{Fake, Said};
use super::*;

fn records(second: bool) -> String {
    let page = if second {
        "<IsTruncated>false</IsTruncated><ResourceRecordSets><ResourceRecordSet><Name>www.example.com.</Name><Type>CNAME</Type><TTL>60</TTL>
          <SetIdentifier>new</SetIdentifier><Weight>5</Weight>
          <ResourceRecords><ResourceRecord><Value>Target.example.com.</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></ResourceRecordSets>"
    } else {
        "<IsTruncated>true</IsTruncated><NextRecordName>www.example.com.</NextRecordName><NextRecordType>CNAME</NextRecordType>
          <ResourceRecordSets><ResourceRecordSet><Name>\\052.example.com.</Name><Type>A</Type><AliasTarget><HostedZoneId>Z1</HostedZoneId>
          <DNSName>storefront-1.elb.amazonaws.com.</DNSName><EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget></ResourceRecordSet></ResourceRecordSets>"
    };
    format!(
        "<?xml version=\"1.0\"?><ListResourceRecordSetsResponse>{page}<MaxItems>100</MaxItems></ListResourceRecordSetsResponse>"
    )
}

const ZONE: &str = "<?xml version=\"1.0\"?><GetHostedZoneResponse><HostedZone><Id>/hostedzone/Z0STOREFRONT</Id><Name>example.com.</Name>
    <CallerReference>1</CallerReference><Config><PrivateZone>false</PrivateZone></Config></HostedZone>
    <DelegationSet><NameServers><NameServer>ns-1.awsdns-01.com</NameServer></NameServers></DelegationSet></GetHostedZoneResponse>";

const DISTRIBUTION: &str = "<?xml version=\"1.0\"?><Distribution><Id>E2STOREFRONT0</Id><Status>Deployed</Status><DistributionConfig>
    <CallerReference>1</CallerReference><Comment></Comment><Enabled>true</Enabled>
    <Aliases><Quantity>1</Quantity><Items><CNAME>assets.example.com</CNAME></Items></Aliases>
    <Origins><Quantity>1</Quantity><Items><Origin><Id>assets</Id><DomainName>b.s3.amazonaws.com</DomainName><OriginPath>/current</OriginPath></Origin></Items></Origins>
    <DefaultCacheBehavior><TargetOriginId>assets</TargetOriginId><ViewerProtocolPolicy>redirect-to-https</ViewerProtocolPolicy>
      <CachePolicyId>4135ea2d-6df8-44a3-9df3-4b5a84be39ad</CachePolicyId></DefaultCacheBehavior>
    <CacheBehaviors><Quantity>1</Quantity><Items><CacheBehavior><PathPattern>/img/*</PathPattern><TargetOriginId>assets</TargetOriginId>
      <ViewerProtocolPolicy>allow-all</ViewerProtocolPolicy></CacheBehavior></Items></CacheBehaviors>
    <ViewerCertificate><ACMCertificateArn>arn:aws:acm:us-east-1:222222222222:certificate/cdn</ACMCertificateArn>
      <MinimumProtocolVersion>TLSv1.2_2021</MinimumProtocolVersion></ViewerCertificate>
    <WebACLId></WebACLId></DistributionConfig></Distribution>";

const TOPIC: &str = "arn:aws:sns:eu-central-1:222222222222:storefront-on-call";

fn alarms(second: bool) -> Value {
    if second {
        return json!({"CompositeAlarms": [{"AlarmName": "any", "StateValue": "ALARM", "ActionsEnabled": false}], "MetricAlarms": []});
    }
    let stat = json!({"MetricStat": {"Metric": {"Namespace": "AWS/ECS", "MetricName": "CPU", "Dimensions": []}, "Period": 60, "Stat": "Sum"}, "Id": "m1"});
    json!({"MetricAlarms": [
        {"AlarmName": "cpu", "StateValue": "OK", "ActionsEnabled": true, "AlarmActions": [TOPIC, "arn:aws:automate:eu-central-1:ec2:stop"],
         "Namespace": "AWS/ECS", "MetricName": "CPUUtilization", "Dimensions": [{"Name": "ClusterName", "Value": "storefront"}]},
        {"AlarmName": "math", "StateValue": "INSUFFICIENT_DATA", "Metrics": [{"Id": "e1", "Expression": "m1*2"}, stat]},
    ], "NextToken": "more"})
}

pub(super) fn shop(fake: Fake) -> Fake {
    fake.xml("GetHostedZone", ZONE)
        .on("ListResourceRecordSets", |sent| Said::Xml(records(sent.uri.contains("name=www"))))
        .xml("GetDistribution", DISTRIBUTION)
        .xml("GetBucketVersioning", "<?xml version=\"1.0\"?><VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        .xml("GetPublicAccessBlock", "<?xml version=\"1.0\"?><PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>
            <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>
            <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>")
        .xml("GetBucketCors", "<?xml version=\"1.0\"?><CORSConfiguration><CORSRule><AllowedOrigin>https://shop.example.com</AllowedOrigin>
            <AllowedMethod>PUT</AllowedMethod></CORSRule></CORSConfiguration>")
        .on("DescribeAlarms", {
            let calls = std::sync::atomic::AtomicU32::new(0);
            // The token is in CBOR; the first call has none.
            move |_| Said::Json(alarms(calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 == 1))
        })
        .json("GetDashboard", json!({"DashboardBody": r#"{"widgets":[{"properties":{"metrics":[["AWS/ECS","CPUUtilization","ClusterName","storefront"]]}}]}"#}))
        .json("GetMetricStatistics", json!({"Datapoints": [{"Maximum": 90.0}, {"Maximum": 119.5}]}))
        .xml("ListSubscriptionsByTopic", "<Subscriptions>
            <member><SubscriptionArn>arn:aws:sns:eu-central-1:222222222222:storefront-on-call:1</SubscriptionArn></member>
            <member><SubscriptionArn>PendingConfirmation</SubscriptionArn></member>
            <member><SubscriptionArn>Deleted</SubscriptionArn></member></Subscriptions>")
        .xml("DescribeDBInstances", "<DBInstances><DBInstance><Engine>postgres</Engine><DBInstanceClass>db.t4g.medium</DBInstanceClass>
            <AllocatedStorage>100</AllocatedStorage><MultiAZ>true</MultiAZ><BackupRetentionPeriod>14</BackupRetentionPeriod>
            <StorageEncrypted>true</StorageEncrypted><DeletionProtection>true</DeletionProtection><PubliclyAccessible>false</PubliclyAccessible>
            <Endpoint><Port>5432</Port></Endpoint>
            <VpcSecurityGroups><VpcSecurityGroupMembership><VpcSecurityGroupId>sg-db</VpcSecurityGroupId></VpcSecurityGroupMembership></VpcSecurityGroups>
            <DBParameterGroups><DBParameterGroup><DBParameterGroupName>own</DBParameterGroupName></DBParameterGroup></DBParameterGroups>
            </DBInstance></DBInstances>")
        .on("DescribeDBParameters", |sent| Said::Xml(if sent.body.contains("Marker=") {
            "<Parameters><Parameter><ParameterName>max_connections</ParameterName><ParameterValue>405</ParameterValue></Parameter></Parameters>".to_owned()
        } else {
            "<Parameters><Parameter><ParameterName>a</ParameterName></Parameter></Parameters><Marker>2</Marker>".to_owned()
        }))
        .xml("DescribeReplicationGroups", "<ReplicationGroups><ReplicationGroup><CacheNodeType>cache.t4g.small</CacheNodeType>
            <MemberClusters><ClusterId>storefront-1</ClusterId><ClusterId>storefront-2</ClusterId></MemberClusters>
            <MultiAZ>enabled</MultiAZ><AutomaticFailover>disabled</AutomaticFailover>
            <NodeGroups><NodeGroup><PrimaryEndpoint><Port>6379</Port></PrimaryEndpoint></NodeGroup></NodeGroups></ReplicationGroup></ReplicationGroups>")
        .xml("DescribeCacheClusters", "<CacheClusters><CacheCluster><SecurityGroups><member><SecurityGroupId>sg-cache</SecurityGroupId></member></SecurityGroups></CacheCluster></CacheClusters>")
        .json("DescribeBudgets", json!({"Budgets": [
            {"BudgetName": "storefront-production", "BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": "600.0", "Unit": "USD"}},
            {"BudgetName": "other", "BudgetType": "COST", "TimeUnit": "QUARTERLY"}]}))
        .json("DescribeNotificationsForBudget", json!({"Notifications": [
            {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0, "ThresholdType": "PERCENTAGE"}]}))
        .json("DescribeSubscribersForNotification", json!({"Subscribers": [{"SubscriptionType": "EMAIL", "Address": "a@example.com"}]}))
}

async fn facts() -> Snapshot {
    gathered(&shop(Fake::new()), &super::shop()).await
}

#[tokio::test]
async fn a_zone_is_seen_with_all_its_records() {
    let facts = facts().await;
    let zone = facts.zones.get(example::ZONE).expect("seen");
    assert_eq!((zone.name.as_str(), zone.private), ("example.com", false));
    assert_eq!(zone.name_servers, ["ns-1.awsdns-01.com"]);
    assert_eq!(why(&zone.delegated_to).expect("unknown").0, Why::NotAsked);
    let alias = ZoneRecord {
        name: "*.example.com".to_owned(),
        kind: "A".to_owned(),
        ttl: None,
        alias: Some("storefront-1.elb.amazonaws.com".to_owned()),
        values: Vec::new(),
        weight: None,
    };
    let weighted = ZoneRecord {
        name: "www.example.com".to_owned(),
        kind: "CNAME".to_owned(),
        ttl: Some(60),
        alias: None,
        values: vec!["target.example.com".to_owned()],
        weight: Some(5),
    };
    assert_eq!(zone.records.get().expect("seen"), &[alias, weighted]);
    assert_eq!(facts.calls.get("route53:ListResourceRecordSets"), Some(&2));
}

#[derive(Debug)]
struct Told(Result<Option<Vec<String>>, String>);

#[async_trait]
impl Delegation for Told {
    async fn name_servers(&self, zone: &str) -> Result<Option<Vec<String>>, String> {
        assert_eq!(zone, "example.com");
        self.0.clone()
    }
}

#[tokio::test]
async fn a_parent_sends_on_or_does_not_or_cannot_be_asked() {
    let fake = shop(Fake::new());
    let servers = vec!["ns-1.awsdns-01.com".to_owned()];
    for (told, wanted) in [
        (Ok(Some(servers.clone())), Ok(Some(&servers))),
        (Ok(None), Ok(None)),
        (
            Err("no answer in time".to_owned()),
            Err("dns:NS: no answer in time".to_owned()),
        ),
    ] {
        let source = AwsFacts::from_config(&fake.config()).with_delegation(Arc::new(Told(told)));
        let facts = source.gather(&context(), &super::shop()).await.expect("facts");
        let zone = facts.zones.get(example::ZONE).expect("seen");
        assert_eq!(zone.delegated_to.find().map_err(|unseen| unseen.text), wanted);
    }
}

#[tokio::test]
async fn a_database_is_seen_with_its_head_room() {
    let facts = facts().await;
    let database = facts.databases.get("storefront").expect("seen");
    assert_eq!(
        (database.engine.as_str(), database.class.as_str()),
        ("postgres", "db.t4g.medium")
    );
    assert_eq!(
        (database.storage_gib, database.backup_days, database.port),
        (100, 14, Some(5432))
    );
    assert!(database.multi_az && database.encrypted && database.deletion_protection && !database.public);
    assert_eq!(database.security_groups, ["sg-db"]);
    assert_eq!(database.peak_connections, Known::Seen(120));
    assert_eq!(database.max_connections, Known::Seen(405));
    assert_eq!(facts.calls.get("rds:DescribeDBParameters"), Some(&2));
}

#[tokio::test]
async fn a_formula_is_no_number_of_connections_and_no_data_no_peak() {
    let fake = shop(Fake::new())
        .xml("DescribeDBParameters", "<Parameters><Parameter><ParameterName>max_connections</ParameterName>
            <ParameterValue>LEAST({DBInstanceClassMemory/9531392},5000)</ParameterValue></Parameter></Parameters>")
        .json("GetMetricStatistics", json!({"Datapoints": []}));
    let facts = gathered(&fake, &super::shop()).await;
    let database = facts.databases.get("storefront").expect("seen");
    let (why_most, most) = why(&database.max_connections).expect("unknown");
    assert!(why_most == Why::Failed && most.contains("LEAST("), "{most}");
    assert!(
        why(&database.peak_connections)
            .expect("unknown")
            .1
            .contains("has no data")
    );
}

#[tokio::test]
async fn a_cache_and_a_bucket_are_seen() {
    let facts = facts().await;
    let cache = facts.caches.get("storefront").expect("seen");
    assert_eq!(
        (cache.node_type.as_str(), cache.nodes, cache.port),
        ("cache.t4g.small", 2, Some(6379))
    );
    assert!(cache.multi_az && !cache.failover);
    assert_eq!(cache.security_groups, Known::Seen(vec!["sg-cache".to_owned()]));
    let bucket = facts.buckets.get("storefront-assets").expect("seen");
    assert_eq!(bucket.versioning, Known::Seen(true));
    assert_eq!(bucket.public_access_blocked, Known::Seen(true));
    let rule = CorsRule {
        origins: vec!["https://shop.example.com".to_owned()],
        methods: vec!["PUT".to_owned()],
    };
    assert_eq!(bucket.cors, Known::Seen(vec![rule]));
}

#[tokio::test]
async fn a_distribution_is_seen_with_what_it_caches() {
    let facts = facts().await;
    let distribution = facts.distributions.get(example::DISTRIBUTION).expect("seen");
    assert!(distribution.enabled);
    assert_eq!(distribution.aliases, ["assets.example.com"]);
    assert_eq!(distribution.minimum_tls.as_deref(), Some("TLSv1.2_2021"));
    assert_eq!(distribution.web_acl, None);
    assert_eq!(
        distribution.origins.first().map(|origin| origin.path.as_str()),
        Some("/current")
    );
    let caches: Vec<_> = distribution
        .behaviours
        .iter()
        .map(|one| (one.paths.as_str(), one.viewers.as_str(), one.caches))
        .collect();
    assert_eq!(
        caches,
        [("/img/*", "allow-all", true), ("*", "redirect-to-https", false)]
    );
}

#[tokio::test]
async fn alarms_topics_and_a_dashboard_are_seen() {
    let facts = facts().await;
    let alarms = facts.alarms.get().expect("seen");
    let states: Vec<_> = alarms
        .iter()
        .map(|(name, alarm)| (name.as_str(), alarm.state.as_str(), alarm.actions_enabled))
        .collect();
    assert_eq!(
        states,
        [
            ("any", "ALARM", false),
            ("cpu", "OK", true),
            ("math", "INSUFFICIENT_DATA", true)
        ]
    );
    let metric = |name: &str| {
        alarms
            .get(name)
            .and_then(|alarm| alarm.metric.clone())
            .map(|metric| metric.name)
    };
    assert_eq!(metric("cpu").as_deref(), Some("CPUUtilization"));
    assert_eq!(metric("math"), None);
    let made_of = alarms.get("math").map(|alarm| alarm.expression.len());
    assert_eq!(made_of, Some(1));
    assert_eq!(metric("any"), None);
    let topic = Topic {
        confirmed: 1,
        pending: 1,
    };
    assert_eq!(facts.topics.get(TOPIC), Ok(&topic));
    // Only topics are asked for, not what else alarms do.
    assert_eq!(facts.topics.names().collect::<Vec<_>>(), [TOPIC]);
    let shown = facts.dashboards.get("storefront").expect("seen");
    assert_eq!(shown.metrics.len(), 1);
}

#[tokio::test]
async fn a_budget_is_seen_with_whom_it_tells() {
    let facts = facts().await;
    let budgets = facts.budgets.get().expect("seen");
    let meant = budgets.get("storefront-production").expect("seen");
    assert_eq!(
        (meant.limit_cents, meant.unit.as_str(), meant.period.as_str()),
        (60_000, "USD", "MONTHLY")
    );
    let notification = Notification {
        kind: "ACTUAL".to_owned(),
        threshold_percent: 80,
        subscribers: 1,
    };
    assert_eq!(meant.notifications, Known::Seen(vec![notification]));
    // Whom others tell is not asked for.
    let other = budgets.get("other").expect("seen");
    assert_eq!(why(&other.notifications).expect("unknown").0, Why::NotAsked);
    assert_eq!(
        facts.calls.get("budgets:DescribeNotificationsForBudget"),
        Some(&1)
    );
}

#[tokio::test]
async fn what_is_not_there_is_missing() {
    let fake = shop(Fake::new())
        .error("GetHostedZone", 404, "NoSuchHostedZone")
        .error("DescribeDBInstances", 404, "DBInstanceNotFound")
        .error("DescribeReplicationGroups", 404, "ReplicationGroupNotFoundFault")
        .error("GetDistribution", 404, "NoSuchDistribution")
        .error("GetBucketCors", 404, "NoSuchCORSConfiguration")
        .error(
            "GetPublicAccessBlock",
            404,
            "NoSuchPublicAccessBlockConfiguration",
        )
        .error("GetDashboard", 404, "ResourceNotFound")
        .error("ListSubscriptionsByTopic", 404, "NotFound")
        .error("DescribeBudgets", 400, "NotFoundException");
    let facts = gathered(&fake, &super::shop()).await;
    assert_eq!(facts.zones.find(example::ZONE), Ok(None));
    assert_eq!(facts.databases.find("storefront"), Ok(None));
    assert_eq!(facts.caches.find("storefront"), Ok(None));
    assert_eq!(facts.distributions.find(example::DISTRIBUTION), Ok(None));
    let bucket = facts.buckets.get("storefront-assets").expect("seen");
    assert_eq!(
        (&bucket.cors, &bucket.public_access_blocked),
        (&Known::Missing, &Known::Seen(false))
    );
    assert_eq!(facts.dashboards.find("storefront"), Ok(None));
    assert_eq!(facts.topics.find(TOPIC), Ok(None));
    assert_eq!(facts.budgets, Known::Seen([].into()));
    let fake = shop(Fake::new()).error("GetBucketVersioning", 404, "NoSuchBucket");
    let facts = gathered(&fake, &super::shop()).await;
    assert_eq!(facts.buckets.find("storefront-assets"), Ok(None));
}
