"""An environment on an emulator, made with boto3, and what is true of it.

    python shop.py make NAME            makes it; prints {"intent": ..., "facts": ...}
    python shop.py break NAME FAULT     puts one fault in; prints {"facts": ..., "found_by": ...}: what is true now and was not before,
                                        and the checks that find it
    python shop.py faults               prints the names of the faults, in the order that they can be put in

`facts` is in the form of rollout's snapshot, and written here from what was asked of the API, never read back from rollout.
"""
import json
import sys

import boto3

REGION = "eu-central-1"


def client(service, region=REGION):
    return boto3.client(service, region_name=region)


def seen(value):
    return {"seen": value}


def account():
    return client("sts").get_caller_identity()["Account"]


def trust(service):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]})


def network(name, facts):
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{i}.0/24", AvailabilityZone=f"{REGION}{z}")["Subnet"]["SubnetId"]
               for i, z in enumerate("abc")]
    private, public = subnets[:2], subnets[2]
    igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=public, AllocationId=address)["NatGateway"]["NatGatewayId"]
    # The private subnets have a table of their own; the public one has the main table.
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat)
    for subnet in private:
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}])
    main = tables["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=main, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    endpoint = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.ecr.api", VpcEndpointType="Interface",
                                       SubnetIds=private, PrivateDnsEnabled=True)["VpcEndpoint"]["VpcEndpointId"]

    def group(what, lets_in):
        made = ec2.create_security_group(GroupName=f"{name}-{what}", Description=what, VpcId=vpc)["GroupId"]
        permissions, ingress = [], []
        for port, source in lets_in:
            permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
            if source.startswith("sg-"):
                permission["UserIdGroupPairs"] = [{"GroupId": source}]
                ingress.append({"protocol": "tcp", "from": port, "to": port, "source": {"group": source}})
            else:
                permission["IpRanges"] = [{"CidrIp": source}]
                ingress.append({"protocol": "tcp", "from": port, "to": port, "source": {"cidr": source}})
            permissions.append(permission)
        ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=permissions)
        facts["security_groups"][made] = seen({"name": f"{name}-{what}", "vpc": vpc, "ingress": ingress})
        return made

    way_in = group("balancer", [(443, "0.0.0.0/0")])
    tasks = group("tasks", [(8787, way_in)])
    database = group("database", [(5432, tasks)])
    local = {"destination": "10.7.0.0/16", "by": "local", "active": True}
    for subnet, zone in zip(private, "ab"):
        routes = [local, {"destination": "0.0.0.0/0", "by": {"nat": nat}, "active": True}]
        facts["subnets"][subnet] = seen({"vpc": vpc, "zone": f"{REGION}{zone}", "routes": seen(routes)})
    endpoints = [{"id": endpoint, "service": "ecr.api", "gateway": False, "available": True, "private_dns": True, "subnets": private}]
    nats = [{"id": nat, "zone": f"{REGION}c", "available": True}]
    facts["vpcs"][vpc] = seen({"is_default": False, "endpoints": seen(endpoints), "nats": seen(nats)})
    return {"vpc": vpc, "private": private, "public": public, "way_in": way_in, "tasks": tasks, "database": database,
            "table": table, "igw": igw}


def identity(name, facts, secret):
    iam = client("iam")
    roles = {}
    for what in ("execution", "task"):
        roles[what] = iam.create_role(RoleName=f"{name}-{what}", AssumeRolePolicyDocument=trust("ecs-tasks.amazonaws.com"))["Role"]["Arn"]
    read = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret}]}
    iam.put_role_policy(RoleName=f"{name}-execution", PolicyName="read", PolicyDocument=json.dumps(read))
    use = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{name}-assets/uploads/*"}}
    policy = iam.create_policy(PolicyName=f"{name}-use", PolicyDocument=json.dumps(use))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=f"{name}-task", PolicyArn=policy)
    trusts = [{"principals": ["ecs-tasks.amazonaws.com"], "conditions": {}}]
    for what, actions, resources in (("execution", ["secretsmanager:GetSecretValue"], [secret]),
                                     ("task", ["s3:GetObject", "s3:PutObject"], [f"arn:aws:s3:::{name}-assets/uploads/*"])):
        statement = {"allows": True, "actions": actions, "resources": resources}
        facts["roles"][roles[what]] = seen({"arn": roles[what], "trust": trusts, "statements": seen([statement])})
    return roles


def edge(name, facts, net):
    elb, acm, waf = client("elbv2"), client("acm"), client("wafv2")
    group = elb.create_target_group(Name=f"{name}-tg", Protocol="HTTP", Port=8787, VpcId=net["vpc"], TargetType="ip", HealthCheckPath="/health/ready",
                                    HealthCheckIntervalSeconds=10, HealthCheckTimeoutSeconds=5, HealthyThresholdCount=2,
                                    UnhealthyThresholdCount=3)["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}])
    made = elb.create_load_balancer(Name=f"{name}-lb", Subnets=net["private"], SecurityGroups=[net["way_in"]], Scheme="internet-facing")["LoadBalancers"][0]
    balancer = made["LoadBalancerArn"]
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}])
    certificate = acm.request_certificate(DomainName=f"{name}.example.com", ValidationMethod="DNS", SubjectAlternativeNames=[f"www.{name}.example.com"])["CertificateArn"]
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    secure = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTPS", Port=443, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
                                 Certificates=[{"CertificateArn": certificate}], DefaultActions=forward)["Listeners"][0]["ListenerArn"]
    redirect = [{"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}]
    plain = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=redirect)["Listeners"][0]["ListenerArn"]
    elb.create_rule(ListenerArn=secure, Priority=10, Actions=forward, Conditions=[{"Field": "path-pattern", "Values": ["/api/*"]}])
    metrics = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "m"}
    rules = [
        {"Name": "common", "Priority": 0, "OverrideAction": {"None": {}}, "VisibilityConfig": metrics,
         "Statement": {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesCommonRuleSet"}}},
        {"Name": "rate", "Priority": 1, "Action": {"Block": {}}, "VisibilityConfig": metrics,
         "Statement": {"RateBasedStatement": {"Limit": 2000, "AggregateKeyType": "IP"}}},
    ]
    acl = waf.create_web_acl(Name=f"{name}-acl", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=metrics, Rules=rules)["Summary"]
    waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=balancer)
    check = {"protocol": "HTTP", "port": "traffic-port", "path": "/health/ready", "interval_seconds": 10, "timeout_seconds": 5, "healthy": 2, "unhealthy": 3}
    facts["target_groups"][group] = seen({"name": f"{name}-tg", "port": 8787, "protocol": "HTTP", "health": check,
                                          "deregistration_seconds": seen(30), "balancers": [balancer], "targets": seen([])})
    to = {"forward": [[group, 1]]}
    listeners = [
        {"arn": secure, "port": 443, "protocol": "HTTPS", "tls_policy": "ELBSecurityPolicy-TLS13-1-2-2021-06", "certificates": seen([certificate]), "default_action": to,
         "rules": seen([{"priority": 10, "paths": ["/api/*"], "hosts": [], "more_conditions": False, "action": to}])},
        {"arn": plain, "port": 80, "protocol": "HTTP", "certificates": seen([]), "rules": seen([]),
         "default_action": {"redirect": {"status": 301, "protocol": "HTTPS", "port": "443"}}},
    ]
    facts["balancers"][balancer] = seen({
        "name": f"{name}-lb", "dns_name": made["DNSName"], "internet_facing": True, "zones": [f"{REGION}a", f"{REGION}b"],
        "security_groups": [net["way_in"]], "attributes": seen({"access_logs": None, "deletion_protection": True}),
        "listeners": seen(listeners), "web_acl": seen(f"{name}-acl")})
    facts["certificates"][certificate] = seen({"names": [f"{name}.example.com", f"www.{name}.example.com"], "issued_by_acm": True})
    managed = {"managed": {"vendor": "AWS", "group": "AWSManagedRulesCommonRuleSet", "counted": []}}
    rate = {"rate": {"limit": 2000, "window_seconds": 300, "key": "IP", "path": None}}
    facts["web_acls"][f"{name}-acl"] = seen({"logging": seen(False), "rules": [
        {"name": "common", "blocks": True, "statement": managed}, {"name": "rate", "blocks": True, "statement": rate}]})
    return group, made


def service(name, facts, net, group, roles, secret):
    ecs, logs, ecr = client("ecs"), client("logs"), client("ecr")
    logs.create_log_group(logGroupName=f"/ecs/{name}")
    logs.put_retention_policy(logGroupName=f"/ecs/{name}", retentionInDays=30)
    facts["log_groups"][f"/ecs/{name}"] = seen({"retention_days": 30})
    ecr.create_repository(repositoryName=f"{name}/api", imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True})
    keep = {"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 50}, "action": {"type": "expire"}}]}
    ecr.put_lifecycle_policy(repositoryName=f"{name}/api", lifecyclePolicyText=json.dumps(keep))
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": "sha256:" + "c" * 64}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": config, "layers": []}
    digest = ecr.put_image(repositoryName=f"{name}/api", imageManifest=json.dumps(manifest), imageTag="1.0.0")["image"]["imageId"]["imageDigest"]
    rule = {"priority": 1, "tag_status": "any", "tags": [], "deletes": {"more_than": 50}}
    facts["repositories"][f"{name}/api"] = seen({"immutable_tags": True, "scan_on_push": seen(True), "lifecycle": seen([rule]),
                                                 "images": seen([{"digest": digest, "tags": ["1.0.0"]}])})
    image = f"{account()}.dkr.ecr.{REGION}.amazonaws.com/{name}/api@{digest}"
    container = {
        "name": "api", "image": image, "essential": True, "user": "10001", "readonlyRootFilesystem": True, "stopTimeout": 20,
        "environment": [{"name": "LOG_LEVEL", "value": "info"}], "secrets": [{"name": "DATABASE_URL", "valueFrom": secret}],
        "portMappings": [{"containerPort": 8787, "protocol": "tcp"}],
        "healthCheck": {"command": ["CMD", "/bin/check"], "interval": 10, "retries": 3, "startPeriod": 10},
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": f"/ecs/{name}", "awslogs-region": REGION}},
    }
    definition = ecs.register_task_definition(
        family=f"{name}-api", cpu="512", memory="1024", networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
        runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        executionRoleArn=roles["execution"], taskRoleArn=roles["task"], containerDefinitions=[container])["taskDefinition"]["taskDefinitionArn"]
    ecs.create_cluster(clusterName=name)
    arn = ecs.create_service(
        cluster=name, serviceName="api", taskDefinition=definition, desiredCount=2, launchType="FARGATE", platformVersion="1.4.0",
        healthCheckGracePeriodSeconds=60,
        networkConfiguration={"awsvpcConfiguration": {"subnets": net["private"], "securityGroups": [net["tasks"]], "assignPublicIp": "DISABLED"}},
        loadBalancers=[{"targetGroupArn": group, "containerName": "api", "containerPort": 8787}])["service"]["serviceArn"]
    facts["services"]["api"] = seen({
        "arn": arn, "status": "ACTIVE", "desired": 2, "task_definition": definition, "subnets": net["private"],
        "security_groups": [net["tasks"]], "public_ip": False, "attachments": [{"target_group": group, "container": "api", "port": 8787}]})
    facts["task_definitions"][definition] = seen({
        "active": True, "cpu": 512, "memory_mib": 1024, "network_mode": "awsvpc", "architecture": "X86_64",
        "execution_role": roles["execution"], "task_role": roles["task"],
        "containers": [{
            "name": "api", "image": image, "essential": True, "variables": [{"name": "LOG_LEVEL", "suspicion": None}],
            "secrets": [{"name": "DATABASE_URL", "from": secret}], "user": "10001", "read_only_root": True, "privileged": False,
            "health_check": {"command": ["CMD", "/bin/check"], "interval_seconds": 10, "retries": 3, "start_seconds": 10},
            "dropped": ["ALL"], "log_driver": "awslogs", "log_group": f"/ecs/{name}", "ports": [8787], "stop_seconds": 20}]})


def stores(name, facts, net):
    rds, cache, s3 = client("rds"), client("elasticache"), client("s3")
    rds.create_db_subnet_group(DBSubnetGroupName=name, DBSubnetGroupDescription="x", SubnetIds=net["private"])
    rds.create_db_instance(DBInstanceIdentifier=name, Engine="postgres", DBInstanceClass="db.t4g.medium", AllocatedStorage=100, MultiAZ=True,
                           MasterUsername="u", MasterUserPassword="not-a-secret-1", BackupRetentionPeriod=14, StorageEncrypted=True,
                           DeletionProtection=True, PubliclyAccessible=False, Port=5432, VpcSecurityGroupIds=[net["database"]], DBSubnetGroupName=name)
    facts["databases"][name] = seen({"engine": "postgres", "class": "db.t4g.medium", "storage_gib": 100, "multi_az": True, "backup_days": 14, "encrypted": True,
                                     "deletion_protection": True, "public": False, "port": 5432, "security_groups": [net["database"]]})
    cache.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="x", CacheNodeType="cache.t4g.small", NumNodeGroups=1,
                                   ReplicasPerNodeGroup=1, MultiAZEnabled=True, AutomaticFailoverEnabled=True, Engine="redis")
    facts["caches"][name] = seen({"node_type": "cache.t4g.small", "nodes": 2, "multi_az": True, "failover": True})
    bucket = f"{name}-assets"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={
        "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True})
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{"AllowedMethods": ["PUT"], "AllowedOrigins": ["https://shop.example.com"]}]})
    # moto wraps this one answer in an element of another name than S3 does: what cannot be read is unknown, and no "off".
    facts["buckets"][bucket] = seen({"versioning": {"unknown": {"why": "failed"}}, "public_access_blocked": seen(True),
                                     "cors": seen([{"origins": ["https://shop.example.com"], "methods": ["PUT"]}])})


def watch(name, facts):
    cloudwatch, sns = client("cloudwatch"), client("sns")
    topic = sns.create_topic(Name=f"{name}-on-call")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{account()}:{name}")
    cloudwatch.put_metric_alarm(AlarmName=f"{name}-cpu", Namespace="AWS/ECS", MetricName="CPUUtilization", Statistic="Average", Period=60, EvaluationPeriods=1,
                                Threshold=80, ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic],
                                Dimensions=[{"Name": "ClusterName", "Value": name}, {"Name": "ServiceName", "Value": "api"}])
    body = {"widgets": [{"type": "metric", "properties": {"metrics": [["AWS/ECS", "CPUUtilization", "ClusterName", name], [".", "MemoryUtilization", ".", "."]]}}]}
    cloudwatch.put_dashboard(DashboardName=name, DashboardBody=json.dumps(body))
    of = {"namespace": "AWS/ECS", "name": "CPUUtilization", "dimensions": {"ClusterName": name, "ServiceName": "api"}}
    facts["alarms"] = seen({f"{name}-cpu": {"actions_enabled": True, "actions": [topic], "metric": of}})
    facts["topics"][topic] = seen({"confirmed": 1, "pending": 0})
    shown = [{"namespace": "AWS/ECS", "name": metric, "dimensions": {"ClusterName": name}} for metric in ("CPUUtilization", "MemoryUtilization")]
    facts["dashboards"][name] = seen({"metrics": shown})


def zone(name, facts, balancer):
    route53 = client("route53")
    made = route53.create_hosted_zone(Name=f"{name}.example.com", CallerReference=name)
    zone = made["HostedZone"]["Id"].split("/")[-1]
    alias = {"HostedZoneId": balancer["CanonicalHostedZoneId"], "DNSName": balancer["DNSName"], "EvaluateTargetHealth": False}
    changes = [
        {"Action": "CREATE", "ResourceRecordSet": {"Name": f"{name}.example.com", "Type": "A", "AliasTarget": alias}},
        {"Action": "CREATE", "ResourceRecordSet": {"Name": f"www.{name}.example.com", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": balancer["DNSName"]}]}},
    ]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    facts["zones"][zone] = seen({"name": f"{name}.example.com", "private": False, "name_servers": made["DelegationSet"]["NameServers"]})
    return zone


def distribution(facts):
    origin = {"Id": "assets", "DomainName": "b.s3.amazonaws.com", "OriginPath": "/current", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    config = {"CallerReference": "1", "Comment": "x", "Enabled": True, "Origins": {"Quantity": 1, "Items": [origin]},
              "DefaultCacheBehavior": {"TargetOriginId": "assets", "ViewerProtocolPolicy": "redirect-to-https", "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"}}
    made = client("cloudfront").create_distribution(DistributionConfig=config)["Distribution"]["Id"]
    facts["distributions"][made] = seen({"enabled": True, "origins": [{"id": "assets", "domain": "b.s3.amazonaws.com", "path": "/current"}],
                                         "behaviours": [{"paths": "*", "origin": "assets", "viewers": "redirect-to-https", "caches": True}]})
    return made


def budget(name, facts):
    notification = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80, "ThresholdType": "PERCENTAGE"}
    client("budgets", "us-east-1").create_budget(
        AccountId=account(), Budget={"BudgetName": name, "BudgetLimit": {"Amount": "600", "Unit": "USD"}, "TimeUnit": "MONTHLY", "BudgetType": "COST"},
        NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": [{"SubscriptionType": "EMAIL", "Address": "a@example.com"}]}])
    facts["budgets"] = seen({name: {"limit_cents": 60000, "unit": "USD", "period": "MONTHLY"}})


TABLES = ("roles", "services", "task_definitions", "repositories", "secrets", "subnets", "vpcs", "security_groups", "target_groups", "balancers",
          "certificates", "zones", "web_acls", "distributions", "topics", "dashboards", "log_groups", "databases", "caches", "buckets")


def make(name):
    facts = {table: {} for table in TABLES}
    secret = client("secretsmanager").create_secret(Name=f"production/{name}", SecretString="x")["ARN"]
    facts["secrets"][secret] = seen({"arn": secret, "name": f"production/{name}", "store": "secrets_manager", "deleted_at": None, "encrypted": True})
    net = network(name, facts)
    roles = identity(name, facts, secret)
    group, balancer = edge(name, facts, net)
    service(name, facts, net, group, roles, secret)
    stores(name, facts, net)
    watch(name, facts)
    zone_id = zone(name, facts, balancer)
    intent = {
        "cluster": name, "zone": zone_id, "host": f"{name}.example.com", "name": name, "bucket": f"{name}-assets", "service": "api",
        "distribution": distribution(facts), "role": roles["task"],
    }
    budget(name, facts)
    return {"intent": intent, "facts": facts}


# Faults. Each finds what it changes by name, and says what is true then.


def only(items):
    [one] = items
    return one


def balancer_of(name):
    return client("elbv2").describe_load_balancers(Names=[f"{name}-lb"])["LoadBalancers"][0]["LoadBalancerArn"]


def group_of(name, what):
    found = client("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": [f"{name}-{what}"]}])
    return found["SecurityGroups"][0]


def public_route(name):
    ec2 = client("ec2")
    vpc = group_of(name, "tasks")["VpcId"]
    igw = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])["InternetGateways"][0]["InternetGatewayId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    own = only([t for t in tables if any(a.get("SubnetId") for a in t["Associations"])])
    ec2.delete_route(RouteTableId=own["RouteTableId"], DestinationCidrBlock="0.0.0.0/0")
    ec2.create_route(RouteTableId=own["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
    routes = [{"destination": "10.7.0.0/16", "by": "local", "active": True},
              {"destination": "0.0.0.0/0", "by": {"internet_gateway": igw}, "active": True}]
    return {"subnets": {a["SubnetId"]: seen({"routes": seen(routes)}) for a in own["Associations"]}}


def open_database(name):
    group = group_of(name, "database")
    client("ec2").authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    tasks = group_of(name, "tasks")["GroupId"]
    ingress = [{"protocol": "tcp", "from": 5432, "to": 5432, "source": {"group": tasks}},
               {"protocol": "tcp", "from": 22, "to": 22, "source": {"cidr": "0.0.0.0/0"}}]
    return {"security_groups": {group["GroupId"]: seen({"ingress": ingress})}}


def no_web_acl(name):
    balancer = balancer_of(name)
    client("wafv2").disassociate_web_acl(ResourceArn=balancer)
    # An ACL that nothing leads to is not read any more.
    return {"balancers": {balancer: seen({"web_acl": "missing"})}, "web_acls": {f"{name}-acl": None}}


def slow_drain(name):
    elb = client("elbv2")
    group = elb.describe_target_groups(Names=[f"{name}-tg"])["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "300"}])
    return {"target_groups": {group: seen({"deregistration_seconds": seen(300)})}}


def unprotected(name):
    balancer = balancer_of(name)
    client("elbv2").modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}])
    return {"balancers": {balancer: seen({"attributes": seen({"deletion_protection": False})})}}


def one_task(name):
    client("ecs").update_service(cluster=name, service="api", desiredCount=1)
    return {"services": {"api": seen({"desired": 1, "running": 1})}}


def logs_for_ever(name):
    client("logs").delete_retention_policy(logGroupName=f"/ecs/{name}")
    return {"log_groups": {f"/ecs/{name}": seen({"retention_days": None})}}


def no_log_group(name):
    client("logs").delete_log_group(logGroupName=f"/ecs/{name}")
    return {"log_groups": {f"/ecs/{name}": "missing"}}


def movable_tags(name):
    client("ecr").put_image_tag_mutability(repositoryName=f"{name}/api", imageTagMutability="MUTABLE")
    return {"repositories": {f"{name}/api": seen({"immutable_tags": False})}}


def no_lifecycle(name):
    client("ecr").delete_lifecycle_policy(repositoryName=f"{name}/api")
    return {"repositories": {f"{name}/api": seen({"lifecycle": "missing"})}}


def wide_role(name):
    iam = client("iam")
    every = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}]}
    iam.put_role_policy(RoleName=f"{name}-task", PolicyName="read", PolicyDocument=json.dumps(every))
    arn = iam.get_role(RoleName=f"{name}-task")["Role"]["Arn"]
    own = {"allows": True, "actions": ["secretsmanager:GetSecretValue"], "resources": ["*"]}
    attached = {"allows": True, "actions": ["s3:GetObject", "s3:PutObject"], "resources": [f"arn:aws:s3:::{name}-assets/uploads/*"]}
    return {"roles": {arn: seen({"statements": seen([own, attached])})}}


def single_database(name):
    client("rds").modify_db_instance(DBInstanceIdentifier=name, MultiAZ=False, ApplyImmediately=True)
    return {"databases": {name: seen({"multi_az": False})}}


def short_backups(name):
    client("rds").modify_db_instance(DBInstanceIdentifier=name, BackupRetentionPeriod=1, ApplyImmediately=True)
    return {"databases": {name: seen({"backup_days": 1})}}


def public_bucket(name):
    client("s3").delete_public_access_block(Bucket=f"{name}-assets")
    return {"buckets": {f"{name}-assets": seen({"public_access_blocked": seen(False)})}}


def any_origin(name):
    client("s3").put_bucket_cors(Bucket=f"{name}-assets", CORSConfiguration={"CORSRules": [{"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"]}]})
    return {"buckets": {f"{name}-assets": seen({"cors": seen([{"origins": ["*"], "methods": ["PUT"]}])})}}


def silent_alarm(name):
    client("cloudwatch").disable_alarm_actions(AlarmNames=[f"{name}-cpu"])
    return {"alarms": seen({f"{name}-cpu": {"actions_enabled": False}})}


def no_dashboard(name):
    client("cloudwatch").delete_dashboards(DashboardNames=[name])
    return {"dashboards": {name: "missing"}}


def doomed_secret(name):
    secrets = client("secretsmanager")
    arn = secrets.delete_secret(SecretId=f"production/{name}", RecoveryWindowInDays=7)["ARN"]
    return {"secrets": {arn: seen({"deleted_at": "any"})}}


# Each with the checks that find it. Its order is the one that they are put in.
FAULTS = {
    # Through an internet gateway nothing without an address of its own goes out, so that this is two faults in one.
    public_route: ["ec2_task_egress_missing", "ec2_task_subnet_public"],
    open_database: ["ec2_database_group_wide"],
    no_web_acl: ["wafv2_balancer_unprotected"],
    slow_drain: ["elbv2_deregistration_slow"],
    unprotected: ["elbv2_deletion_protection_off"],
    one_task: ["ecs_service_tasks_too_few"],
    logs_for_ever: ["logs_group_retention_unfit"],
    no_log_group: ["logs_group_missing"],
    movable_tags: ["ecr_repository_tags_mutable"],
    no_lifecycle: ["ecr_repository_lifecycle_missing"],
    wide_role: ["iam_task_role_secrets_open"],
    single_database: ["rds_instance_single_zone"],
    short_backups: ["rds_backups_short"],
    public_bucket: ["s3_public_access_open"],
    any_origin: ["s3_cors_wide"],
    silent_alarm: ["cloudwatch_alarm_actions_off"],
    no_dashboard: ["cloudwatch_dashboard_missing"],
    doomed_secret: ["secretsmanager_secret_missing"],
}


def main(arguments):
    match arguments:
        case ["make", name]:
            answer = make(name)
        case ["break", name, fault]:
            put, found_by = only([one for one in FAULTS.items() if one[0].__name__ == fault])
            answer = {"facts": put(name), "found_by": found_by}
        case ["faults"]:
            answer = [put.__name__ for put in FAULTS]
        case _:
            sys.exit(__doc__)
    json.dump(answer, sys.stdout)


main(sys.argv[1:])
