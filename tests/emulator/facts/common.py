"""What every area needs: clients, the form of a snapshot, and how a fault is written."""
import collections
import functools
import os

import boto3

REGION = "eu-central-1"
ZONES = [f"{REGION}a", f"{REGION}b"]
# The services and the ports that a load balancer sends requests to; a worker has none.
PORTS = {"backend": 8787, "frontend": 80, "worker": None}
BALANCED = [service for service, port in PORTS.items() if port]
TASKS = 2
# The origin of a page that no environment knows.
STRANGER = "https://stranger.invalid"


@functools.cache
def client(service, region=REGION):
    return boto3.client(service, region_name=region)


@functools.cache
def account():
    return client("sts").get_caller_identity()["Account"]


def endpoint():
    """Where the emulator listens."""
    return os.environ["AWS_ENDPOINT_URL"]


def seen(value):
    return {"seen": value}


def only(items):
    [one] = items
    return one


class Shop:
    """One environment: what of it was made, by attributes of the areas, and what is true of it."""

    def __init__(self, name):
        self.name = name
        self.domain = f"{name}.example.com"
        self.origin = f"https://shop.{self.domain}"
        self.bucket = f"{name}-assets"
        self.facts = collections.defaultdict(dict)

    def fact(self, table, name):
        """What was said of a resource when it was made."""
        return self.facts[table][name]["seen"]


Fault = collections.namedtuple("Fault", "name put found_by stays")
FAULTS = []


def fault(*found_by, stays=False):
    """A fault, and the checks that find it: a generator over the shop. It puts one thing wrong, yields what is true then and was not
    before, and puts it right again; one that `stays` cannot. In facts that are yielded None is nothing, "any" anything.
    """
    def keep(put):
        FAULTS.append(Fault(put.__name__, put, found_by, stays))
        return put
    return keep
