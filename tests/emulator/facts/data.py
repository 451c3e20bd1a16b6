"""A database, a cache, a bucket."""
import datetime

from common import REGION, STRANGER, client, endpoint, fault, seen

CONNECTIONS = 405


def make(shop):
    client("rds").create_db_subnet_group(DBSubnetGroupName=shop.name, DBSubnetGroupDescription="x", SubnetIds=shop.private)
    client("rds").create_db_parameter_group(DBParameterGroupName=shop.name, DBParameterGroupFamily="postgres16", Description="x")
    allow_connections(shop, CONNECTIONS)
    database(shop)
    client("cloudwatch").put_metric_data(Namespace="AWS/RDS", MetricData=[{
        "MetricName": "DatabaseConnections", "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": shop.name}], "Value": 120,
        "Timestamp": datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)}])
    shop.facts["databases"][shop.name] = seen({
        "engine": "postgres", "class": "db.t4g.medium", "storage_gib": 100, "multi_az": True, "backup_days": 14, "encrypted": True, "deletion_protection": True,
        "public": False, "port": 5432, "security_groups": [shop.groups["database"]], "peak_connections": seen(120), "max_connections": seen(CONNECTIONS)})
    cache(shop)
    bucket(shop)


def allow_connections(shop, most):
    client("rds").modify_db_parameter_group(DBParameterGroupName=shop.name, Parameters=[
        {"ParameterName": "max_connections", "ParameterValue": str(most), "ApplyMethod": "pending-reboot"}])


def database(shop, encrypted=True):
    client("rds").create_db_instance(
        DBInstanceIdentifier=shop.name, Engine="postgres", DBInstanceClass="db.t4g.medium", AllocatedStorage=100, MultiAZ=True, MasterUsername="u",
        MasterUserPassword="not-a-secret-1", BackupRetentionPeriod=14, StorageEncrypted=encrypted, DeletionProtection=True, PubliclyAccessible=False, Port=5432,
        VpcSecurityGroupIds=[shop.groups["database"]], DBSubnetGroupName=shop.name, DBParameterGroupName=shop.name)


def modify(shop, fact, change, healthy):
    put = client("rds").modify_db_instance
    put(DBInstanceIdentifier=shop.name, ApplyImmediately=True, **change)
    yield {"databases": {shop.name: seen(fact)}}
    put(DBInstanceIdentifier=shop.name, ApplyImmediately=True, **healthy)


@fault("rds_instance_single_zone")
def no_standby(shop):
    yield from modify(shop, {"multi_az": False}, {"MultiAZ": False}, {"MultiAZ": True})


@fault("rds_backups_short")
def backups_of_a_day(shop):
    yield from modify(shop, {"backup_days": 1}, {"BackupRetentionPeriod": 1}, {"BackupRetentionPeriod": 14})


@fault("rds_deletion_protection_off")
def database_can_be_deleted(shop):
    yield from modify(shop, {"deletion_protection": False}, {"DeletionProtection": False}, {"DeletionProtection": True})


@fault("rds_instance_public")
def database_has_an_address(shop):
    yield from modify(shop, {"public": True}, {"PubliclyAccessible": True}, {"PubliclyAccessible": False})


@fault("rds_connections_short")
def few_connections(shop):
    allow_connections(shop, 130)
    yield {"databases": {shop.name: seen({"max_connections": seen(130)})}}
    allow_connections(shop, CONNECTIONS)


def delete_database(shop):
    client("rds").modify_db_instance(DBInstanceIdentifier=shop.name, DeletionProtection=False, ApplyImmediately=True)
    client("rds").delete_db_instance(DBInstanceIdentifier=shop.name, SkipFinalSnapshot=True)


@fault("rds_storage_unencrypted")
def storage_in_clear(shop):
    """It cannot be changed of one that is there."""
    delete_database(shop)
    database(shop, encrypted=False)
    yield {"databases": {shop.name: seen({"encrypted": False})}}
    delete_database(shop)
    database(shop)


@fault("rds_instance_missing")
def no_database(shop):
    """What only it names is not read then."""
    delete_database(shop)
    yield {"databases": {shop.name: "missing"}, "security_groups": {shop.groups["database"]: None}}
    database(shop)


def cache(shop):
    elasticache = client("elasticache")
    elasticache.create_replication_group(ReplicationGroupId=shop.name, ReplicationGroupDescription="x", CacheNodeType="cache.t4g.small", NumNodeGroups=1,
                                         ReplicasPerNodeGroup=1, MultiAZEnabled=True, AutomaticFailoverEnabled=True, Engine="redis",
                                         SecurityGroupIds=[shop.groups["cache"]])
    # moto makes no nodes for a replication group, only their names.
    for node in ("001", "002"):
        elasticache.create_cache_cluster(CacheClusterId=f"{shop.name}-{node}", ReplicationGroupId=shop.name, CacheNodeType="cache.t4g.small", Engine="redis",
                                         SecurityGroupIds=[shop.groups["cache"]])
    # Nor does it tell in which security groups a node is, so that theirs is not read.
    del shop.facts["security_groups"][shop.groups["cache"]]
    shop.facts["caches"][shop.name] = seen({"node_type": "cache.t4g.small", "nodes": 2, "multi_az": True, "failover": True, "port": 6379,
                                            "security_groups": seen([])})


def modify_cache(shop, fact, **change):
    put = client("elasticache").modify_replication_group
    put(ReplicationGroupId=shop.name, **change)
    yield {"caches": {shop.name: seen(fact)}}
    put(ReplicationGroupId=shop.name, MultiAZEnabled=True, AutomaticFailoverEnabled=True)


@fault("elasticache_group_single_zone")
def cache_in_one_zone(shop):
    yield from modify_cache(shop, {"multi_az": False}, MultiAZEnabled=False)


@fault("elasticache_failover_off")
def nobody_takes_over(shop):
    yield from modify_cache(shop, {"failover": False}, AutomaticFailoverEnabled=False)


def bucket(shop):
    client("s3").create_bucket(Bucket=shop.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    client("s3").put_bucket_versioning(Bucket=shop.bucket, VersioningConfiguration={"Status": "Enabled"})
    block(shop)
    cors(shop)
    # moto wraps this one answer in an element of another name than S3 does: what cannot be read is unknown, and no "off".
    unread = {"unknown": {"why": "failed"}}
    shop.facts["buckets"][shop.bucket] = seen({"versioning": unread, "public_access_blocked": seen(True), "cors": seen([cors_fact(shop)])})


def block(shop):
    client("s3").put_public_access_block(Bucket=shop.bucket, PublicAccessBlockConfiguration={
        "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True})


def cors(shop, more=(), methods=("PUT",)):
    client("s3").put_bucket_cors(Bucket=shop.bucket, CORSConfiguration={"CORSRules": [
        {"AllowedMethods": list(methods), "AllowedOrigins": [shop.origin, *more]}]})


def cors_fact(shop, more=(), methods=("PUT",)):
    return {"origins": [shop.origin, *more], "methods": list(methods)}


def preflight(shop):
    """The emulator itself answers it."""
    return {"url": f"{endpoint()}/{shop.bucket}/uploads/probe", "origin": shop.origin, "method": "PUT"}


@fault("s3_public_access_open")
def nothing_blocks_the_public(shop):
    client("s3").delete_public_access_block(Bucket=shop.bucket)
    yield {"buckets": {shop.bucket: seen({"public_access_blocked": seen(False)})}}
    block(shop)


@fault("s3_cors_wide")
def developers_pages(shop):
    more = ["http://localhost:3000"]
    cors(shop, more)
    yield {"buckets": {shop.bucket: seen({"cors": seen([cors_fact(shop, more)])})}}
    cors(shop)


def answers(shop, fact):
    """What is said of both answers: to a page of the shop, and to one that nobody knows."""
    asked = f"OPTIONS {preflight(shop)['url']} access-control-request-method=PUT origin="
    return {"answers": {asked + origin: seen(fact) for origin in (shop.origin, STRANGER)}}


@fault("s3_preflight_wrong")
def no_uploads(shop):
    cors(shop, methods=["GET"])
    rules = {"buckets": {shop.bucket: seen({"cors": seen([cors_fact(shop, methods=["GET"])])})}}
    yield rules | answers(shop, {"headers": {"access-control-allow-methods": "GET"}})
    cors(shop)


# Its name is answered for all the same, and nobody is let in.
@fault("s3_bucket_missing", "s3_preflight_wrong", stays=True)
def no_bucket(shop):
    client("s3").delete_bucket(Bucket=shop.bucket)
    yield {"buckets": {shop.bucket: "missing"}} | answers(shop, {"status": 403, "headers": "any", "body": "any"})
