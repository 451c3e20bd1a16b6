"""What tasks are: task definitions and the groups that they log to."""
from common import PORTS, REGION, client, fault, only, seen
from registry import key, reference, secret, secret_fact
from service import update


def make(shop):
    shop.log_groups, shop.revisions = {}, {}
    for service in PORTS:
        group = shop.log_groups[service] = f"/ecs/{shop.name}-{service}"
        log_group(group)
        shop.facts["log_groups"][group] = seen({"retention_days": 30})
        wanted = definition(shop, service)
        arn = shop.revisions[service] = register(wanted)
        shop.facts["task_definitions"][arn] = seen(definition_fact(wanted))


def log_group(name):
    client("logs").create_log_group(logGroupName=name)
    client("logs").put_retention_policy(logGroupName=name, retentionInDays=30)


def container(shop, service):
    port = PORTS[service]
    return {
        "name": service, "image": reference(shop, service), "essential": True, "user": "10001", "readonlyRootFilesystem": True, "stopTimeout": 20,
        "environment": [{"name": "LOG_LEVEL", "value": "info"}],
        "secrets": [] if service == "frontend" else [{"name": "DATABASE_URL", "valueFrom": shop.secret}],
        "portMappings": [{"containerPort": port, "protocol": "tcp"}] if port else [],
        "healthCheck": {"command": ["CMD", "/bin/check"], "interval": 10, "retries": 3, "startPeriod": 10},
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": shop.log_groups[service], "awslogs-region": REGION}},
    }


def definition(shop, service):
    return {
        "family": f"{shop.name}-{service}", "cpu": "512", "memory": "1024", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "executionRoleArn": shop.roles["execution"], "taskRoleArn": shop.roles[service], "containerDefinitions": [container(shop, service)],
    }


def register(wanted):
    return client("ecs").register_task_definition(**wanted)["taskDefinition"]["taskDefinitionArn"]


def definition_fact(wanted):
    one = only(wanted["containerDefinitions"])
    check, log, linux = one.get("healthCheck"), one.get("logConfiguration"), one["linuxParameters"]["capabilities"]
    # Only whether a value looks like a secret is kept; the one that does is that of a fault.
    variables = [{"name": pair["name"], "suspicion": "any" if "PASSWORD" in pair["name"] else None} for pair in one["environment"]]
    return {
        "active": True, "cpu": int(wanted["cpu"]), "memory_mib": int(wanted["memory"]), "network_mode": "awsvpc", "architecture": "X86_64",
        "execution_role": wanted["executionRoleArn"], "task_role": wanted["taskRoleArn"],
        "containers": [{
            "name": one["name"], "image": one["image"], "essential": True, "variables": variables,
            "secrets": [{"name": pair["name"], "from": pair["valueFrom"]} for pair in one["secrets"]],
            "user": one.get("user"), "read_only_root": one["readonlyRootFilesystem"], "privileged": one.get("privileged", False),
            "health_check": check and {"command": check["command"], "interval_seconds": 10, "retries": 3, "start_seconds": 10},
            "dropped": linux["drop"], "added": linux.get("add", []), "log_driver": log and log["logDriver"],
            "log_group": log and log["options"]["awslogs-group"], "ports": [pair["containerPort"] for pair in one["portMappings"]],
            "stop_seconds": one["stopTimeout"]}]}


def runs_another(shop, change=None, more=None, without=(), **task):
    """The backend runs a revision with something else in it, and then the one before."""
    wanted = definition(shop, "backend") | task
    one = only(wanted["containerDefinitions"])
    one.update(change or {})
    for name in without:
        del one[name]
    arn, old = register(wanted), shop.revisions["backend"]
    more = (more or {}) | {"task_definitions": {old: None, arn: seen(definition_fact(wanted))}}
    yield from update(shop, "backend", {"task_definition": arn}, taskDefinition=arn, more=more)


@fault("ecs_task_definition_inactive")
def revision_is_deregistered(shop):
    ecs, old = client("ecs"), shop.revisions["backend"]
    arn = register(definition(shop, "backend"))
    ecs.update_service(cluster=shop.name, service="backend", taskDefinition=arn)
    ecs.deregister_task_definition(taskDefinition=arn)
    fact = definition_fact(definition(shop, "backend")) | {"active": False}
    yield {"services": {"backend": seen({"task_definition": arn})}, "task_definitions": {old: None, arn: seen(fact)}}
    ecs.update_service(cluster=shop.name, service="backend", taskDefinition=old)


@fault("ecs_container_secret_plaintext")
def password_in_clear(shop):
    yield from runs_another(shop, {"environment": [{"name": "DB_PASSWORD", "value": "hunter2"}]})


def instead(shop, images=()):
    """What is read in the place of the image that nobody runs then, by digest."""
    return {"images": {key(shop, "backend"): None} | {key(shop, "backend", digest): fact for digest, fact in images}}


@fault("ecs_container_image_unpinned")
def image_by_tag(shop):
    tagged = reference(shop, "backend").split("@")[0] + ":1.0.0"
    yield from runs_another(shop, {"image": tagged}, more=instead(shop))


@fault("ecr_image_foreign")
def image_of_docker_hub(shop):
    image = f"example/backend@{shop.images['backend']}"
    yield from runs_another(shop, {"image": image}, more=instead(shop) | {"repositories": {f"{shop.name}/backend": None}})


@fault("ecr_image_missing")
def image_was_never_pushed(shop):
    digest = "sha256:" + "d" * 64
    yield from runs_another(shop, {"image": reference(shop, "backend", digest)}, more=instead(shop, [(digest, "missing")]))


def runs_spare(shop, which, architectures, findings):
    digest = shop.spares[which]
    fact = seen({"architectures": seen(architectures), "findings": findings})
    yield from runs_another(shop, {"image": reference(shop, "backend", digest)}, more=instead(shop, [(digest, fact)]))


@fault("ecr_image_architecture_wrong")
def image_for_arm(shop):
    yield from runs_spare(shop, "arm", ["ARM64"], seen({}))


@fault("ecr_image_vulnerable")
def critical_finding(shop):
    yield from runs_spare(shop, "vulnerable", ["ARM64", "X86_64"], seen({"CRITICAL": 1}))


@fault("ecr_image_vulnerable")
def never_scanned(shop):
    yield from runs_spare(shop, "unscanned", ["ARM64", "X86_64"], "missing")


def takes(shop, named, fact, read):
    """The backend takes another secret; whether it may read it is asked as well."""
    more = {"secrets": {named: seen(fact)}, "allowed": {f"{shop.roles['execution']} {read}": "any"}}
    yield from runs_another(shop, {"secrets": [{"name": "DATABASE_URL", "valueFrom": named}]}, more=more)


@fault("secretsmanager_secret_foreign")
def secret_of_staging(shop):
    name = f"staging/{shop.name}"
    arn = secret(name)
    yield from takes(shop, arn, secret_fact(arn, name), f"secretsmanager:GetSecretValue {arn}")


@fault("ssm_parameter_secret_plaintext")
def plain_parameter(shop):
    """moto does not tell its ARN."""
    name = f"/production/{shop.name}"
    client("ssm").put_parameter(Name=name, Type="String", Value="x")
    yield from takes(shop, name, secret_fact("", name, "parameter_store", encrypted=False), "ssm:GetParameters ")


@fault("ecs_container_health_check_missing")
def no_health_check(shop):
    yield from runs_another(shop, without=["healthCheck"])


@fault("ecs_container_user_root")
def root_runs_it(shop):
    yield from runs_another(shop, {"user": "0:10001"})


@fault("ecs_container_root_writable")
def programs_can_be_written(shop):
    yield from runs_another(shop, {"readonlyRootFilesystem": False})


@fault("ecs_container_capabilities_kept")
def one_capability_is_added(shop):
    yield from runs_another(shop, {"linuxParameters": {"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}})


@fault("ecs_container_privileged")
def privileged_container(shop):
    yield from runs_another(shop, {"privileged": True})


@fault("ecs_container_log_driver_missing")
def nothing_is_logged(shop):
    yield from runs_another(shop, without=["logConfiguration"], more={"log_groups": {shop.log_groups["backend"]: None}})


@fault("ecs_task_size_invalid")
def size_that_fargate_has_not(shop):
    yield from runs_another(shop, memory="1536")


@fault("ecs_container_stop_slow")
def stops_after_two_minutes(shop):
    yield from runs_another(shop, {"stopTimeout": 120})


@fault("budgets_limit_too_low")
def eight_times_the_size(shop):
    yield from runs_another(shop, cpu="4096", memory="16384")


@fault("logs_group_retention_unfit")
def logs_for_ever(shop):
    group = shop.log_groups["frontend"]
    client("logs").delete_retention_policy(logGroupName=group)
    yield {"log_groups": {group: seen({"retention_days": None})}}
    client("logs").put_retention_policy(logGroupName=group, retentionInDays=30)


@fault("logs_group_missing")
def no_log_group(shop):
    group = shop.log_groups["frontend"]
    client("logs").delete_log_group(logGroupName=group)
    yield {"log_groups": {group: "missing"}}
    log_group(group)
