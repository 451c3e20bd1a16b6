"""A crashing release by ecs-deploy and by rollout, beside each other, on the emulator that AWS_ENDPOINT_URL names.

usage: crashing.py --ecs PATH --rollout PATH [--keep DIR]

Each tool gets a service of its own, made alike: two tasks, circuit breaker with rollback, release 1.0.0. Release 2.0.0
runs in staging; in production its container exits with code 3 after 0.3 s. While the tool works, another thread looks at
the service every 0.2 s. Prints Markdown for docs/comparison.md.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import boto3

REGION = "us-east-1"
STAGING, PRODUCTION = "111111111111", "222222222222"
LINE = "FATAL: column orders.total does not exist"
CRASH = {"SIM_EXIT_SECONDS": "0.3", "SIM_EXIT_CODE": "3", "SIM_LOG_LINE": LINE}
LONGEST = 90


class Account:
    """Emulators take an access key of twelve digits for the account."""

    def __init__(self, number):
        session = boto3.Session(aws_access_key_id=number, aws_secret_access_key="test", region_name=REGION)
        self.number = number
        self.ecs, self.ecr, self.logs = (session.client(name) for name in ("ecs", "ecr", "logs"))

    def push(self, repository, tag):
        blob = lambda what: "sha256:" + hashlib.sha256(f"{what} of {repository}:{tag}".encode()).hexdigest()
        manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob("config"), "size": 512},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": blob("layer"), "size": 4096}],
        })
        self.ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest,
                           imageManifestMediaType="application/vnd.oci.image.manifest.v1+json")
        digest = hashlib.sha256(manifest.encode()).hexdigest()
        return f"{self.number}.dkr.ecr.{REGION}.amazonaws.com/{repository}@sha256:{digest}"

    def service(self, cluster, definition, desired):
        self.ecs.create_cluster(clusterName=cluster)
        self.logs.create_log_group(logGroupName=definition["family"])
        arn = self.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
        self.ecs.create_service(
            cluster=cluster, serviceName="backend", taskDefinition=arn, desiredCount=desired, launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"]}},
            deploymentConfiguration={
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                # Room for three sets; docs/emulators.md says why.
                "minimumHealthyPercent": 100, "maximumPercent": 400,
            })
        deadline = time.monotonic() + 60
        while not self.look(cluster)["settled on"] == arn:
            if time.monotonic() > deadline:
                sys.exit(f"{cluster} did not settle")
            time.sleep(0.2)
        return arn

    def look(self, cluster):
        """Where the service goes, what runs, and the revision that it has settled on, if it has."""
        service = self.ecs.describe_services(cluster=cluster, services=["backend"])["services"][0]
        primary = next(d for d in service["deployments"] if d["status"] == "PRIMARY")
        arns = self.ecs.list_tasks(cluster=cluster, serviceName="backend")["taskArns"]
        tasks = self.ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        running = [t["taskDefinitionArn"] for t in tasks if t["lastStatus"] == "RUNNING"]
        goes_to = primary["taskDefinition"]
        settled = primary["rolloutState"] == "COMPLETED" and running == [goes_to] * service["desiredCount"]
        return {"goes to": goes_to, "running": sorted(running), "settled on": goes_to if settled else None}


def definition(family, image, environment):
    return {
        "family": family, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": [{
            "name": "app", "image": image, "essential": True, "portMappings": [{"containerPort": 8787}],
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
            "logConfiguration": {"logDriver": "awslogs", "options": {
                "awslogs-group": family, "awslogs-region": REGION, "awslogs-stream-prefix": "ecs"}},
        }],
    }


class Scene:
    """Staging runs 2.0.0, production 1.0.0."""

    def __init__(self, name):
        self.tag = f"c{uuid.uuid4().hex[:8]}-{name}"
        self.staging, self.production = Account(STAGING), Account(PRODUCTION)
        self.repository = f"{self.tag}/backend"
        for account in (self.staging, self.production):
            account.ecr.create_repository(repositoryName=self.repository)
        self.cluster = {a.number: f"{self.tag}-{which}" for a, which in
                        ((self.staging, "staging"), (self.production, "production"))}
        new = self.staging.push(self.repository, "2.0.0")
        self.staging.service(self.cluster[STAGING], definition(self.cluster[STAGING], new, {}), 1)
        old = self.production.push(self.repository, "1.0.0")
        self.old = self.production.service(self.cluster[PRODUCTION], definition(self.cluster[PRODUCTION], old, {}), 2)
        self.new_in_production = new.replace(STAGING, PRODUCTION)


def run(scene, command, environment, directory):
    """Runs the tool to its end, or for LONGEST; looks at the service meanwhile and afterwards."""
    over, seen = threading.Event(), []

    def look():
        while not over.wait(0.2):
            seen.append((time.monotonic(), scene.production.look(scene.cluster[PRODUCTION])))

    watcher = threading.Thread(target=look)
    begun = time.monotonic()
    watcher.start()
    try:
        done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, timeout=LONGEST)
        code, output = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        text = [(part or b"").decode() for part in (late.stdout, late.stderr)]
        code, output = None, "".join(text)
    ended = time.monotonic()
    # Not what the tool repeats of its own arguments.
    said = "\n".join(line for line in output.splitlines() if not line.startswith("Changed environment"))
    at_end = scene.production.look(scene.cluster[PRODUCTION])
    while scene.production.look(scene.cluster[PRODUCTION])["settled on"] != scene.old and time.monotonic() < ended + 30:
        time.sleep(0.2)
    time.sleep(0.5)
    over.set()
    watcher.join()
    broken = [at for at, look in seen if look["settled on"] != scene.old]
    back = next((at for at, look in seen if broken and at > broken[-1]), None)
    return {
        "exit code": "none: it was stopped" if code is None else code,
        "ended after": f"{ended - begun:.1f} s",
        "service as before after": f"{back - begun:.1f} s" if back else "not seen",
        "when it ended the service was": "as before" if at_end["settled on"] == scene.old else
                                         f"on its way, {len(at_end['running'])} tasks running",
        "says the exit code of the container": "yes" if re.search(r"exit(ed)?( code| with)+:? 3\b", said) else "no",
        "says the container's last line": "yes" if LINE in said else "no",
        "output": output,
    }


def environment_for(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") or k.startswith("AWS_ENDPOINT_URL")}
    return {**kept, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "NO_COLOR": "1", **more}


def ecs_deploy(ecs, directory, *more):
    scene = Scene("ecs-deploy")
    # It has no promotion: somebody has pushed the image to production before.
    scene.production.push(scene.repository, "2.0.0")
    command = [ecs, "deploy", scene.cluster[PRODUCTION], "backend", "--image", "app", scene.new_in_production, "--timeout", "20"]
    for name, value in CRASH.items():
        command += ["--env", "app", name, value]
    credentials = {"AWS_ACCESS_KEY_ID": PRODUCTION, "AWS_SECRET_ACCESS_KEY": "test"}
    return run(scene, command + list(more), environment_for(**credentials), directory)


def rollout(program, directory):
    scene = Scene("rollout")
    profiles = directory / "aws"
    profiles.write_text("".join(
        f"[profile {name}]\naws_access_key_id = {number}\naws_secret_access_key = test\n"
        for name, number in (("staging", STAGING), ("production", PRODUCTION))))
    (directory / "backend.json").write_text(json.dumps(definition(scene.cluster[PRODUCTION], "replaced", CRASH)))
    (directory / "rollout.toml").write_text(f"""
release = "2.0.0"
[environments.staging]
account = "{STAGING}"
region = "{REGION}"
cluster = "{scene.cluster[STAGING]}"
profile = "staging"
[environments.production]
account = "{PRODUCTION}"
region = "{REGION}"
cluster = "{scene.cluster[PRODUCTION]}"
profile = "production"
[promotion]
from = "staging"
to = "production"
soak = "1s"
[[services]]
name = "backend"
task_definition = "backend.json"
images = {{ app = "{scene.repository}" }}
deployment = {{ poll = "1s", stopped_tasks = 1, stale_reads = "3s" }}
""")
    time.sleep(1)  # the soak
    command = [str(pathlib.Path(program).resolve()), "--cloud", "aws", "run"]
    return run(scene, command, environment_for(AWS_CONFIG_FILE=str(profiles)), directory)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ecs", required=True, help="the program `ecs` of ecs-deploy")
    parser.add_argument("--rollout", required=True, help="the program `rollout`")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        results = {
            "`ecs deploy --timeout 20`": ecs_deploy(given.ecs, directory),
            "`ecs deploy --rollback --timeout 20`": ecs_deploy(given.ecs, directory, "--rollback"),
            "`rollout run`": rollout(given.rollout, directory),
        }
    outputs = {tool: result.pop("output") for tool, result in results.items()}
    print("| | " + " | ".join(results) + " |")
    print("|---|" + "---|" * len(results))
    for key in next(iter(results.values())):
        print(f"| {key} | " + " | ".join(str(result[key]) for result in results.values()) + " |")
    for tool, output in outputs.items():
        print(f"\n{tool}:\n\n```text\n{output.strip()}\n```")


if __name__ == "__main__":
    main()
