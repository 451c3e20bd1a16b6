"""A storefront on an emulator, made with boto3, what is true of it, and faults in it.

    python shop.py NAME

makes it and answers with one line of JSON: {"intent", "facts", "credentials", "faults"}. Then it takes commands, one a line, until
there are no more:

    put FAULT     puts one fault in; answers {"facts", "credentials"}: what is true now and was not before
    heal          puts it right again; answers {}

`facts` are in the form of rollout's snapshot, and written here from what was asked of the API, never read back from rollout.
`credentials` are the emulator's, of the role that asks for facts. Faults that stay come last.
"""
import json
import sys

import balancer
import cdn
import data
import firewall
import identity
import names
import network
import registry
import service
import task
import watch
import web
from common import FAULTS, PORTS, Shop


def make(shop):
    names.certificates(shop)
    for area in (registry, network, identity, balancer, firewall, task, service, data, watch, cdn, names, web):
        area.make(shop)


def intent(shop):
    """What the environment is meant to be, as far as it was not known before it was made."""
    return {
        "cluster": shop.name, "zone": shop.zone, "parent": shop.parent, "domain": shop.domain, "bucket": shop.bucket, "target": shop.cdn_name,
        "distribution": shop.distribution, "role": shop.roles["deploy"], "origin": shop.origin,
        "bases": {one: web.base(shop, one) for one in PORTS}, "preflights": [data.preflight(shop), web.font(shop)],
    }


def answer(said):
    print(json.dumps(said), flush=True)


def main(name):
    shop = Shop(name)
    make(shop)
    faults = sorted(FAULTS, key=lambda one: one.stays)
    answer({"intent": intent(shop), "facts": shop.facts, "credentials": shop.credentials,
            "faults": [{"name": one.name, "found_by": one.found_by, "stays": one.stays} for one in faults]})
    under_way = None
    for line in sys.stdin:
        match line.split():
            case ["put", wanted]:
                [under_way] = [one.put(shop) for one in faults if one.name == wanted]
                answer({"facts": next(under_way), "credentials": shop.credentials})
            case ["heal"]:
                if next(under_way, None) is not None:
                    sys.exit("a fault says only once what is true")
                answer({})
            case _:
                sys.exit(__doc__)


if len(sys.argv) != 2:
    sys.exit(__doc__)
main(sys.argv[1])
