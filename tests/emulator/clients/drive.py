"""The AWS CLI, boto3 and ecs-deploy, unchanged, against `rollout sim serve`: a deployment, a failed one, a waiter,
secrets, parameters, web ACLs, the queue that is told of it, and a deployment in the middle of a release of `rollout`.

Run by `cargo xtask emulator clients`. Every check names the client and what it saw; the first that fails ends it with 1.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.config import Config

HERE = pathlib.Path(__file__).resolve().parent
CLUSTER, SERVICE = "production", "api"
# Seconds of the world in one of ours: a deployment takes one or two.
SPEED = 60
# No client may wait for longer than this, in real seconds.
PATIENCE = 180


def check(client, what, found, wanted):
    if found != wanted:
        sys.exit(f"{client}: {what} is {found!r}, not {wanted!r}")
    print(f"{client}: {what} is {wanted!r}")


def holds(client, what, condition, found):
    if not condition:
        sys.exit(f"{client}: {what}, but found {found!r}")
    print(f"{client}: {what}")


@contextlib.contextmanager
def served(rollout, scenario="scenario.toml", speed=SPEED):
    """A world of its own; ends with a signal, and must end well."""
    command = [rollout, "--json", "sim", "serve", "--port", "0", "--speed", str(speed)]
    command += ["--scenario", str(HERE / scenario)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        said = json.loads(server.stdout.readline())
        place = said["environments"][-1]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        environment |= {
            "AWS_ENDPOINT_URL": said["url"],
            "AWS_ACCESS_KEY_ID": place["account"],
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_REGION": place["region"],
            "AWS_DEFAULT_REGION": place["region"],
            # Nothing of this machine, and no look for credentials elsewhere.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        yield place, environment
    finally:
        server.terminate()
        ended = server.wait(timeout=30)
    check("rollout sim serve", "its exit code", ended, 0)


def image(place, tag):
    return f"{place['account']}.dkr.ecr.{place['region']}.amazonaws.com/shop/api:{tag}"


def definition(place, tag):
    return {
        "family": "api",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "api", "image": image(place, tag), "essential": True}],
    }


def aws_cli(programs, rollout):
    who = "aws"
    with served(rollout) as (place, environment):

        def aws(*words, fails=None):
            command = [str(programs / "aws"), *words, "--output", "json"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
            if fails is not None:
                holds(who, f"`{' '.join(words[:2])}` is refused with {fails}", fails in done.stderr, done.stderr)
                return None
            if done.returncode != 0:
                sys.exit(f"{who}: {' '.join(words)} ended with {done.returncode}: {done.stderr}")
            return json.loads(done.stdout) if done.stdout.strip() else None

        named = ["--cluster", CLUSTER, "--services", SERVICE]
        check(who, "the account", aws("sts", "get-caller-identity")["Account"], place["account"])
        before = aws("ecs", "describe-services", *named)["services"][0]["taskDefinition"]

        def deploy(tag):
            given = json.dumps(definition(place, tag))
            made = aws("ecs", "register-task-definition", "--cli-input-json", given)
            arn = made["taskDefinition"]["taskDefinitionArn"]
            aws("ecs", "update-service", "--cluster", CLUSTER, "--service", SERVICE, "--task-definition", arn)
            aws("ecs", "wait", "services-stable", *named)
            return arn, aws("ecs", "describe-services", *named)["services"][0]

        arn, after = deploy("1.1.0")
        check(who, "the deployment's state", after["deployments"][0]["rolloutState"], "COMPLETED")
        check(who, "the definition that runs", after["taskDefinition"], arn)
        holds(who, "it is another one than before", arn != before, arn)

        crashing, after = deploy("crashes")
        check(who, "the definition after the circuit breaker", after["taskDefinition"], arn)
        records = aws("ecs", "list-service-deployments", "--cluster", CLUSTER, "--service", SERVICE)
        newest = records["serviceDeployments"][0]
        check(who, "the failed deployment's record", newest["status"], "ROLLBACK_SUCCESSFUL")
        stopped = aws("ecs", "list-tasks", "--cluster", CLUSTER, "--desired-status", "STOPPED")["taskArns"]
        tasks = aws("ecs", "describe-tasks", "--cluster", CLUSTER, "--tasks", *stopped)["tasks"]
        # The scheduler stops others that it has started too many of; they have no exit code of their own.
        crashed = [
            t
            for t in tasks
            if t["taskDefinitionArn"] == crashing and t["stopCode"] == "EssentialContainerExited"
        ]
        codes = {c["exitCode"] for t in crashed for c in t["containers"]}
        check(who, "the exit codes of the crashed tasks", codes, {3})

        run = aws("ecs", "run-task", "--cluster", CLUSTER, "--task-definition", arn, "--launch-type", "FARGATE")
        task = ["--cluster", CLUSTER, "--tasks", run["tasks"][0]["taskArn"]]
        aws("ecs", "wait", "tasks-stopped", *task)
        ended = aws("ecs", "describe-tasks", *task)["tasks"][0]
        check(who, "the one-off task's exit code", ended["containers"][0]["exitCode"], 0)

        # Of SQS alone this client takes no notice of AWS_ENDPOINT_URL, and asks `<region>.queue.amazonaws.com`.
        here = ["--endpoint-url", environment["AWS_ENDPOINT_URL"]]
        queue = ["--queue-url", aws("sqs", "get-queue-url", "--queue-name", "shop-events", *here)["QueueUrl"]]
        message = aws("sqs", "receive-message", *queue, "--wait-time-seconds", "20", *here)["Messages"][0]
        check(who, "who has told the queue", json.loads(message["Body"])["source"], "aws.ecs")
        receipt = ["--receipt-handle", message["ReceiptHandle"]]
        aws("sqs", "delete-message", *queue, *receipt, *here)
        aws("sqs", "get-queue-url", "--queue-name", "nope", *here, fails="NonExistentQueue")

        nope = ["--cluster", "nope", "--services", SERVICE]
        aws("ecs", "describe-services", *nope, fails="ClusterNotFoundException")
        aws("dynamodb", "list-tables", fails="does not model the operation ListTables of dynamodb")


def boto_clients(environment, *services):
    session = boto3.session.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    # A dropped answer would be repeated: what is seen here was said the first time.
    config = Config(retries={"max_attempts": 1, "mode": "standard"})
    return [session.client(name, endpoint_url=environment["AWS_ENDPOINT_URL"], config=config) for name in services]


def boto(rollout):
    who = "boto3"
    with served(rollout) as (place, environment):
        ecs, sts = boto_clients(environment, "ecs", "sts")
        answer = sts.get_caller_identity()
        check(who, "the account", answer["Account"], place["account"])
        holds(who, "the request has an id", len(answer["ResponseMetadata"]["RequestId"]) == 36, answer)

        pages = ecs.get_paginator("list_tasks").paginate(
            cluster=CLUSTER, serviceName=SERVICE, PaginationConfig={"PageSize": 2}
        )
        sizes = [len(page["taskArns"]) for page in pages]
        check(who, "the pages of tasks", sizes, [2, 1])

        def deploy(tag):
            made = ecs.register_task_definition(**definition(place, tag))["taskDefinition"]
            begun = ecs.update_service(cluster=CLUSTER, service=SERVICE, taskDefinition=made["taskDefinitionArn"])
            check(who, "deployments at once", len(begun["service"]["deployments"]), 2)
            created = begun["service"]["deployments"][0]["createdAt"]
            holds(who, "createdAt is a moment", isinstance(created, datetime.datetime), created)
            waiter = ecs.get_waiter("services_stable")
            waiter.wait(cluster=CLUSTER, services=[SERVICE], WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE})
            service = ecs.describe_services(cluster=CLUSTER, services=[SERVICE])["services"][0]
            return made["taskDefinitionArn"], service

        arn, after = deploy("1.1.0")
        check(who, "the definition that runs", after["taskDefinition"], arn)
        _, after = deploy("crashes")
        check(who, "the definition after the circuit breaker", after["taskDefinition"], arn)
        records = ecs.list_service_deployments(cluster=CLUSTER, service=SERVICE)["serviceDeployments"]
        arns = [record["serviceDeploymentArn"] for record in records]
        told = ecs.describe_service_deployments(serviceDeploymentArns=arns[:1])["serviceDeployments"][0]
        check(who, "the failed deployment's record", told["status"], "ROLLBACK_SUCCESSFUL")
        holds(who, "the breaker has counted", told["deploymentCircuitBreaker"]["failureCount"] >= 3, told)
        try:
            ecs.update_service(cluster=CLUSTER, service="nope")
            sys.exit(f"{who}: a service that does not exist was updated")
        except ecs.exceptions.ServiceNotFoundException as error:
            check(who, "the status of the refusal", error.response["ResponseMetadata"]["HTTPStatusCode"], 400)


def fails(error, call, **given):
    """Whether a call is refused with this error of its service's model."""
    try:
        call(**given)
    except error:
        return True
    return False


def runner(ecs, place):
    """Runs a task whose container wants a secret, to its end."""
    def run(value_from):
        given = definition(place, "1.1.0")
        given["containerDefinitions"][0]["secrets"] = [{"name": "DB", "valueFrom": value_from}]
        family = ecs.register_task_definition(**given)["taskDefinition"]["taskDefinitionArn"]
        begun = ecs.run_task(cluster=CLUSTER, taskDefinition=family, launchType="FARGATE")["tasks"][0]["taskArn"]
        waiter = ecs.get_waiter("tasks_stopped")
        waiter.wait(cluster=CLUSTER, tasks=[begun], WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE})
        return ecs.describe_tasks(cluster=CLUSTER, tasks=[begun])["tasks"][0]
    return run


def boto_secrets(rollout):
    who = "boto3"
    with served(rollout) as (place, environment):
        ecs, vault = boto_clients(environment, "ecs", "secretsmanager")
        missing, invalid = vault.exceptions.ResourceNotFoundException, vault.exceptions.InvalidRequestException
        made = vault.create_secret(Name="shop/db", SecretString='{"user": "shop"}', Tags=[{"Key": "team", "Value": "shop"}])
        arn = made["ARN"]
        check(who, "the secret by its partial ARN", vault.describe_secret(SecretId=arn[:-7])["ARN"], arn)
        put = vault.put_secret_value(SecretId="shop/db", SecretBinary=b"\x00\x01")
        read = vault.get_secret_value(SecretId=arn)
        check(who, "the new version", (read["VersionId"], read["SecretBinary"]), (put["VersionId"], b"\x00\x01"))
        before = vault.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")
        check(who, "the version before", before["VersionId"], made["VersionId"])
        told = vault.describe_secret(SecretId=arn)
        stages = {made["VersionId"]: ["AWSPREVIOUS"], put["VersionId"]: ["AWSCURRENT"]}
        check(who, "the map of labels", told["VersionIdsToStages"], stages)
        holds(who, "moments are moments", isinstance(told["LastAccessedDate"], datetime.datetime), told)
        for name in ("a", "b", "c"):
            vault.create_secret(Name=name, SecretString=name)
        pages = vault.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 3})
        check(who, "the pages of secrets", [len(page["SecretList"]) for page in pages], [3, 1])
        holds(who, "a missing secret is told", fails(missing, vault.get_secret_value, SecretId="nope"), None)

        run = runner(ecs, place)
        check(who, "a task with its secret ends with", run(arn)["containers"][0]["exitCode"], 0)
        deleted = vault.delete_secret(SecretId=arn, RecoveryWindowInDays=7)
        holds(who, "a deletion has a date", isinstance(deleted["DeletionDate"], datetime.datetime), deleted)
        holds(who, "what is deleted is not read", fails(invalid, vault.get_secret_value, SecretId=arn), None)
        stopped = run(arn)
        check(who, "a task without its secret stops with", stopped["stopCode"], "TaskFailedToStart")
        reason = stopped["stoppedReason"]
        holds(who, "it says why", reason.startswith("ResourceInitializationError: unable to pull secrets"), reason)
        vault.restore_secret(SecretId=arn)
        check(who, "the restored secret", vault.get_secret_value(SecretId=arn)["VersionId"], put["VersionId"])


def boto_parameters(rollout):
    who = "boto3"
    with served(rollout) as (place, environment):
        ecs, store = boto_clients(environment, "ecs", "ssm")
        missing, exists = store.exceptions.ParameterNotFound, store.exceptions.ParameterAlreadyExists
        given = {"Name": "/shop/key", "Value": "one", "Type": "SecureString"}
        check(who, "the first version", store.put_parameter(**given)["Version"], 1)
        holds(who, "nothing is written over unasked", fails(exists, store.put_parameter, **given), None)
        check(who, "the second version", store.put_parameter(**given | {"Value": "two", "Overwrite": True})["Version"], 2)
        read = store.get_parameter(Name="/shop/key", WithDecryption=True)["Parameter"]
        check(who, "what is read", (read["Value"], read["Type"]), ("two", "SecureString"))
        before = store.get_parameter(Name="/shop/key:1", WithDecryption=True)["Parameter"]
        check(who, "the version before", before["Value"], "one")
        for name in ("a", "b", "c"):
            store.put_parameter(Name=name, Value=name, Type="String")
        several = store.get_parameters(Names=["a", "nope"])
        check(who, "those that are not there", several["InvalidParameters"], ["nope"])
        pages = store.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 3})
        check(who, "the pages of parameters", [len(page["Parameters"]) for page in pages], [3, 1])
        run = runner(ecs, place)
        check(who, "a task with its parameter ends with", run(read["ARN"])["containers"][0]["exitCode"], 0)
        store.delete_parameter(Name="/shop/key")
        holds(who, "a missing parameter is told", fails(missing, store.get_parameter, Name="/shop/key"), None)
        stopped = run("/shop/key")
        reason = stopped["stoppedReason"]
        holds(who, "a task without its parameter says why", "invalid ssm parameters: /shop/key" in reason, reason)


def boto_web_acls(rollout):
    who = "boto3"
    with served(rollout) as (place, environment):
        balancers, waf = boto_clients(environment, "elbv2", "wafv2")
        errors = waf.exceptions
        balancer = balancers.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
        visible = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "edge"}
        geo = {"GeoMatchStatement": {"CountryCodes": ["DE"]}}
        rule = {"Name": "de", "Priority": 0, "Action": {"Count": {}}, "Statement": geo, "VisibilityConfig": visible}
        given = {"Name": "edge", "Scope": "REGIONAL", "VisibilityConfig": visible, "Rules": [rule]}
        made = waf.create_web_acl(**given, DefaultAction={"Allow": {}})["Summary"]
        named = {"Name": "edge", "Scope": "REGIONAL", "Id": made["Id"]}
        got = waf.get_web_acl(**named)
        check(who, "the list of rules", got["WebACL"]["Rules"], [rule])
        check(who, "the lock token", got["LockToken"], made["LockToken"])
        change = {**given, **named, "DefaultAction": {"Block": {}}, "LockToken": made["LockToken"]}
        token = waf.update_web_acl(**change)["NextLockToken"]
        stale = errors.WAFOptimisticLockException
        holds(who, "a stale token is refused", fails(stale, waf.update_web_acl, **change), None)
        duplicate = errors.WAFDuplicateItemException
        again = {**given, "DefaultAction": {"Allow": {}}}
        holds(who, "a name is given once", fails(duplicate, waf.create_web_acl, **again), None)
        try:
            waf.list_web_acls(Scope="CLOUDFRONT")
            sys.exit(f"{who}: CloudFront's web ACLs were listed outside us-east-1")
        except errors.WAFInvalidParameterException as error:
            check(who, "the field of the refusal", error.response["Field"], "SCOPE_VALUE")

        both = {"WebACLArn": made["ARN"], "ResourceArn": balancer}
        end = time.monotonic() + PATIENCE
        # A new web ACL is not everywhere at once.
        while fails(errors.WAFUnavailableEntityException, waf.associate_web_acl, **both):
            holds(who, "the web ACL becomes available", time.monotonic() < end, both)
            time.sleep(0.2)
        check(who, "what protects", waf.get_web_acl_for_resource(ResourceArn=balancer)["WebACL"]["ARN"], made["ARN"])
        check(who, "what is protected", waf.list_resources_for_web_acl(WebACLArn=made["ARN"])["ResourceArns"], [balancer])
        gone = {**named, "LockToken": token}
        used = errors.WAFAssociatedItemException
        holds(who, "it is not deleted in use", fails(used, waf.delete_web_acl, **gone), None)
        waf.disassociate_web_acl(ResourceArn=balancer)
        while fails(used, waf.delete_web_acl, **gone):
            holds(who, "the web ACL can be deleted", time.monotonic() < end, gone)
            time.sleep(0.2)
        holds(who, "it is gone", fails(errors.WAFNonexistentItemException, waf.get_web_acl, **named), None)
        check(who, "the list of web ACLs that are left", waf.list_web_acls(Scope="REGIONAL")["WebACLs"], [])


def boto_queue(rollout):
    who = "boto3"
    with served(rollout) as (place, environment):
        ecs, sqs = boto_clients(environment, "ecs", "sqs")
        url = sqs.get_queue_url(QueueName="shop-events")["QueueUrl"]
        holds(who, "the queue is the account's", url.endswith(f"/{place['account']}/shop-events"), url)
        gone = sqs.exceptions.QueueDoesNotExist
        holds(who, "a missing queue is told", fails(gone, sqs.get_queue_url, QueueName="nope"), None)
        begun = ecs.update_service(cluster=CLUSTER, service=SERVICE, forceNewDeployment=True)["service"]
        ours = begun["deployments"][0]["id"]
        told, ends = [], {"SERVICE_DEPLOYMENT_COMPLETED", "SERVICE_DEPLOYMENT_FAILED"}
        end = time.monotonic() + PATIENCE
        while not told or told[-1] not in ends:
            if time.monotonic() > end:
                sys.exit(f"{who}: of its deployment the queue was told {told!r}, and no more")
            # boto3 checks the MD5 of each body by itself.
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20).get("Messages", [])
            events = [json.loads(message["Body"]) for message in got]
            told += [e["detail"]["eventName"] for e in events if e["detail"].get("deploymentId") == ours]
            for message in got[:1]:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            rest = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in got[1:]]
            if rest:
                answer = sqs.delete_message_batch(QueueUrl=url, Entries=rest)
                check(who, "messages that could not be deleted", answer.get("Failed", []), [])
        check(who, "what the queue is told last", told[-1], "SERVICE_DEPLOYMENT_COMPLETED")
        invalid = sqs.exceptions.ReceiptHandleIsInvalid
        holds(who, "a wrong receipt is told", fails(invalid, sqs.delete_message, QueueUrl=url, ReceiptHandle="x"), None)


def ecs_deploy(programs, rollout):
    who = "ecs-deploy"
    with served(rollout) as (place, environment):

        def ecs(*words):
            command = [str(programs / "ecs"), *words]
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)

        def deploy(tag):
            return ecs("deploy", CLUSTER, SERVICE, "-i", "api", image(place, tag), "--timeout", "60")

        good = deploy("1.1.0")
        check(who, "the exit code of a deployment", good.returncode, 0)
        holds(who, "it says that it was successful", "Deployment successful" in good.stdout, good.stdout)
        bad = deploy("crashes")
        check(who, "the exit code of a failed deployment", bad.returncode, 1)
        holds(who, "it says that it failed", "Deployment failed" in bad.stderr, bad.stderr)


RELEASE = """
release = "1.1.0"

[environments.staging]
account = "111122223333"
region = "eu-central-1"
cluster = "staging"
profile = "staging"

[environments.production]
account = "444455556666"
region = "eu-central-1"
cluster = "production"
profile = "production"

[promotion]
from = "staging"
to = "production"

[[services]]
name = "api"
task_definition = "api.json"
images = { api = "shop/api" }
deployment = { poll = "1s", stale_reads = "5s" }
"""


def yielded_to(rollout, who, theirs):
    """A release in whose middle `theirs(place, environment)` deploys the same service, as another program would."""
    with served(rollout, "rivals.toml", 20) as (place, environment), tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "rollout.toml").write_text(RELEASE)
        (folder / "api.json").write_text(json.dumps(definition(place, "1.1.0")))
        keys = "[{}]\naws_access_key_id = {}\naws_secret_access_key = simulated\n"
        profiles = keys.format("staging", "111122223333") + keys.format("production", place["account"])
        (folder / "credentials").write_text(profiles)
        ours = {key: value for key, value in environment.items() if "ACCESS_KEY" not in key}
        ours["AWS_SHARED_CREDENTIALS_FILE"] = str(folder / "credentials")
        command = [rollout, "--json", "--cloud", "aws", "--endpoint-url", environment["AWS_ENDPOINT_URL"]]
        command += ["--config", str(folder / "rollout.toml"), "--state-dir", str(folder / "state"), "run"]
        run = subprocess.Popen(command, env=ours, stdout=subprocess.PIPE, text=True)
        try:
            lines = (json.loads(line) for line in run.stdout)
            under_way = any("pending" in (line.get("note") or "") for line in lines if line.get("step") == "service/api")
            holds(who, "the release is under way", under_way, None)
            deployment = theirs(place, environment)
            *_, last = lines
            check(who, "the outcome of the release in whose middle it deploys", last["outcome"], "Superseded")
            holds(who, f"the release names {deployment}", deployment in last["why"], last["why"])
            check(who, "the exit code of the release", run.wait(timeout=PATIENCE), 12)
        finally:
            run.kill()
        (ecs,) = boto_clients(environment, "ecs")
        found = ecs.describe_services(cluster=CLUSTER, services=[SERVICE])["services"][0]["deployments"][0]["id"]
        check(who, "whose deployment is in front", found, deployment)


def rivals(programs, rollout):
    def run(environment, *words):
        command = [str(programs / words[0]), *words[1:]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            sys.exit(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def aws(place, environment):
        words = ["update-service", "--cluster", CLUSTER, "--service", SERVICE, "--force-new-deployment"]
        return json.loads(run(environment, "aws", "ecs", *words))["service"]["deployments"][0]["id"]

    def ecs(place, environment):
        run(environment, "ecs", "deploy", CLUSTER, SERVICE, "-i", "api", image(place, "1.0.0"), "--timeout", "100")
        (client,) = boto_clients(environment, "ecs")
        return client.describe_services(cluster=CLUSTER, services=[SERVICE])["services"][0]["deployments"][0]["id"]

    yielded_to(rollout, "aws", aws)
    yielded_to(rollout, "ecs-deploy", ecs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollout", required=True, help="the program `rollout`")
    rollout = parser.parse_args().rollout
    programs = pathlib.Path(sys.executable).parent
    boto(rollout)
    boto_secrets(rollout)
    boto_parameters(rollout)
    boto_web_acls(rollout)
    boto_queue(rollout)
    ecs_deploy(programs, rollout)
    aws_cli(programs, rollout)
    rivals(programs, rollout)
    print("all three work unchanged")


main()
