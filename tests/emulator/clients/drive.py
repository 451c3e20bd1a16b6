"""The AWS CLI, boto3 and ecs-deploy, unchanged, against `rollout sim serve`: a deployment, a failed one, a waiter.

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
def served(rollout):
    """A world of its own; ends with a signal, and must end well."""
    command = [rollout, "--json", "sim", "serve", "--port", "0", "--speed", str(SPEED)]
    command += ["--scenario", str(HERE / "scenario.toml")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        said = json.loads(server.stdout.readline())
        place = said["environments"][0]
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

        nope = ["--cluster", "nope", "--services", SERVICE]
        aws("ecs", "describe-services", *nope, fails="ClusterNotFoundException")
        aws("dynamodb", "list-tables", fails="does not model the operation ListTables of dynamodb")


def boto(rollout):
    who = "boto3"
    with served(rollout) as (place, environment):
        session = boto3.session.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
        # A dropped answer would be repeated: what is seen here was said the first time.
        config = Config(retries={"max_attempts": 1, "mode": "standard"})
        options = {"endpoint_url": environment["AWS_ENDPOINT_URL"], "config": config}
        ecs, sts = session.client("ecs", **options), session.client("sts", **options)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollout", required=True, help="the program `rollout`")
    rollout = parser.parse_args().rollout
    programs = pathlib.Path(sys.executable).parent
    boto(rollout)
    ecs_deploy(programs, rollout)
    aws_cli(programs, rollout)
    print("all three work unchanged")


main()
