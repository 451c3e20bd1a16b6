"""Repositories and their images; secrets."""
import hashlib
import json
import urllib.request

from common import PORTS, REGION, account, client, endpoint, fault, seen

INDEX = "application/vnd.oci.image.index.v1+json"
KEEPS = {"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 50}, "action": {"type": "expire"}}]}


def repository(shop, service):
    return f"{shop.name}/{service}"


def make(shop):
    """Secrets come before the roles that may read them, and images before the tasks that run them."""
    name = f"production/{shop.name}"
    shop.secret = secret(name)
    shop.facts["secrets"][shop.secret] = seen(secret_fact(shop.secret, name))
    shop.images, shop.spares = {}, {}
    for service in PORTS:
        client("ecr").create_repository(repositoryName=repository(shop, service), imageTagMutability="IMMUTABLE",
                                        imageScanningConfiguration={"scanOnPush": True})
        client("ecr").put_lifecycle_policy(repositoryName=repository(shop, service), lifecyclePolicyText=json.dumps(KEEPS))
        shop.images[service] = image(shop, service, "1.0.0", ["amd64", "arm64"], {"LOW": 2})
    # Images of the backend that nobody runs, for faults to come.
    shop.spares["arm"] = image(shop, "backend", "1.0.1", ["arm64"], {})
    shop.spares["vulnerable"] = image(shop, "backend", "1.0.2", ["amd64", "arm64"], {"CRITICAL": 1})
    shop.spares["unscanned"] = image(shop, "backend", "1.0.3", ["amd64", "arm64"], None)
    rule = {"priority": 1, "tag_status": "any", "tags": [], "deletes": {"more_than": 50}}
    for service in PORTS:
        pushed = {"1.0.0": shop.images[service]}
        if service == "backend":
            pushed |= zip(["1.0.1", "1.0.2", "1.0.3"], shop.spares.values())
        # The newest is the first, and those of one second are in the order of their digests: which of these it is cannot be said.
        shop.facts["repositories"][repository(shop, service)] = seen({
            "immutable_tags": True, "scan_on_push": seen(True), "lifecycle": seen([rule]),
            "images": seen("any" if len(pushed) > 1 else [{"digest": shop.images[service], "tags": ["1.0.0"]}])})
        shop.facts["images"][key(shop, service)] = seen({"architectures": seen(["ARM64", "X86_64"]), "findings": seen({"LOW": 2})})


def secret(name):
    return client("secretsmanager").create_secret(Name=name, SecretString="x")["ARN"]


def secret_fact(arn, name, store="secrets_manager", encrypted=True):
    return {"arn": arn, "name": name, "store": store, "deleted_at": None, "encrypted": encrypted, "changed_at": "any"}


def image(shop, service, tag, architectures, findings):
    """An index of images for some architectures. moto scans nothing: what a scan finds is said to it beforehand."""
    manifests = [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "platform": {"architecture": one, "os": "linux"},
         "digest": "sha256:" + hashlib.sha256(f"{shop.name} {service} {tag} {one}".encode()).hexdigest()}
        for one in architectures]
    manifest = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
    name = repository(shop, service)
    client("ecr").put_image(repositoryName=name, imageManifest=manifest, imageTag=tag, imageDigest=digest)
    if findings is not None:
        result = {"imageScanFindings": {"findingSeverityCounts": findings}, "repositoryName": name, "registryId": account(),
                  "imageId": {"imageDigest": digest}, "imageScanStatus": {"status": "COMPLETE"}}
        body = json.dumps({"results": [result], "region": REGION}).encode()
        asked = urllib.request.Request(f"{endpoint()}/moto-api/static/ecr/scan-finding-results", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(asked).close()
        client("ecr").start_image_scan(repositoryName=name, imageId={"imageDigest": digest})
    return digest


def key(shop, service, digest=None):
    return f"{repository(shop, service)}@{digest or shop.images[service]}"


def reference(shop, service, digest=None):
    """As a task definition has it."""
    return f"{account()}.dkr.ecr.{REGION}.amazonaws.com/{key(shop, service, digest)}"


def of_backend(shop, fact):
    return {"repositories": {repository(shop, "backend"): seen(fact)}}


@fault("ecr_repository_scan_off")
def nothing_is_scanned(shop):
    asked = {"repositoryName": repository(shop, "backend")}
    client("ecr").put_image_scanning_configuration(**asked, imageScanningConfiguration={"scanOnPush": False})
    yield of_backend(shop, {"scan_on_push": seen(False)})
    client("ecr").put_image_scanning_configuration(**asked, imageScanningConfiguration={"scanOnPush": True})


@fault("ecr_repository_tags_mutable")
def tags_can_be_moved(shop):
    client("ecr").put_image_tag_mutability(repositoryName=repository(shop, "backend"), imageTagMutability="MUTABLE")
    yield of_backend(shop, {"immutable_tags": False})
    client("ecr").put_image_tag_mutability(repositoryName=repository(shop, "backend"), imageTagMutability="IMMUTABLE")


@fault("ecr_repository_lifecycle_missing")
def images_pile_up(shop):
    client("ecr").delete_lifecycle_policy(repositoryName=repository(shop, "backend"))
    yield of_backend(shop, {"lifecycle": "missing"})
    client("ecr").put_lifecycle_policy(repositoryName=repository(shop, "backend"), lifecyclePolicyText=json.dumps(KEEPS))


@fault("secretsmanager_secret_missing")
def secret_is_deleted(shop):
    client("secretsmanager").delete_secret(SecretId=shop.secret, RecoveryWindowInDays=7)
    yield {"secrets": {shop.secret: seen({"deleted_at": "any"})}}
    client("secretsmanager").restore_secret(SecretId=shop.secret)
