"""Roles: who deploys, and what tasks may do."""
import json

from common import PORTS, REGION, account, client, fault, seen

GITHUB = "token.actions.githubusercontent.com"
REPOSITORY, ENVIRONMENT = "example/storefront", "production"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions, resources):
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def statement(actions, resources):
    """The fact of such a statement."""
    return {"allows": True, "actions": actions, "resources": resources}


def trust(principal, conditions=None):
    """A trust policy with one statement, and the fact of it."""
    action = "sts:AssumeRoleWithWebIdentity" if conditions else "sts:AssumeRole"
    written = {"Effect": "Allow", "Principal": principal, "Action": action}
    if conditions:
        written["Condition"] = conditions
    # The conditions that the deployer's role has are said to be gone where they are.
    said = {f"StringEquals {GITHUB}:{claim}": None for claim in ("aud", "sub")}
    said |= {f"{operator} {key}": [value] for operator, pairs in (conditions or {}).items() for key, value in pairs.items()}
    return document(written), [{"principals": list(principal.values()), "conditions": said}]


def of_github(operator="StringEquals", subject=f"repo:{REPOSITORY}:environment:{ENVIRONMENT}", audience="sts.amazonaws.com"):
    conditions = {operator: {f"{GITHUB}:sub": subject}}
    if audience:
        conditions.setdefault("StringEquals", {})[f"{GITHUB}:aud"] = audience
    return trust({"Federated": f"arn:aws:iam::{account()}:oidc-provider/{GITHUB}"}, conditions)


def uploads(shop):
    return f"arn:aws:s3:::{shop.bucket}/uploads/*"


def make(shop):
    shop.roles = {}
    role(shop, "deploy", of_github(), ["ecs:UpdateService"], ["*"])
    shop.owns = trust({"Service": "ecs-tasks.amazonaws.com"})
    role(shop, "execution", shop.owns, ["secretsmanager:GetSecretValue"], [shop.secret])
    for service in PORTS:
        role(shop, service, shop.owns, ["s3:GetObject", "s3:PutObject"], [uploads(shop)], attached=service == "backend")
    session = client("sts").assume_role(RoleArn=shop.roles["deploy"], RoleSessionName="run")["Credentials"]
    shop.credentials = [session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]]
    caller = {"account": account(), "region": REGION, "caller": f"arn:aws:sts::{account()}:assumed-role/{shop.name}-deploy/run"}
    shop.facts["caller"] = seen({"identity": caller, "long_lived_key": seen(False)})


def role(shop, what, trusted, actions, resources, attached=False):
    """A role with one policy of its own, or an attached one."""
    iam, name = client("iam"), f"{shop.name}-{what}"
    text, said = trusted
    shop.roles[what] = iam.create_role(RoleName=name, AssumeRolePolicyDocument=text)["Role"]["Arn"]
    text = document(allow(actions, resources))
    if attached:
        policy = iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    else:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=text)
    fact = {"arn": shop.roles[what], "trust": said, "statements": seen([statement(actions, resources)])}
    shop.facts["roles"][shop.roles[what]] = seen(fact)


def trusts(shop, trusted):
    """The deployer's role trusts somebody else."""
    iam, name = client("iam"), f"{shop.name}-deploy"
    text, said = trusted
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=text)
    yield {"roles": {shop.roles["deploy"]: seen({"trust": said})}}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=of_github()[0])


@fault("iam_oidc_provider_untrusted")
def github_is_not_trusted(shop):
    yield from trusts(shop, trust({"AWS": "arn:aws:iam::111111111111:root"}))


@fault("iam_oidc_subject_open")
def every_branch_deploys(shop):
    yield from trusts(shop, of_github("StringLike", f"repo:{REPOSITORY}:*"))


@fault("iam_oidc_audience_open")
def every_token_will_do(shop):
    yield from trusts(shop, of_github(audience=None))


@fault("iam_deployer_long_lived_keys", "sts_caller_unexpected")
def user_with_a_key(shop):
    iam, name = client("iam"), f"{shop.name}-ada"
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    key = iam.create_access_key(UserName=name)["AccessKey"]
    session, shop.credentials = shop.credentials, [key["AccessKeyId"], key["SecretAccessKey"], None]
    yield {"caller": seen({"identity": {"caller": arn}, "long_lived_key": seen(True)})}
    shop.credentials = session
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)


def may_also(shop, actions, resources):
    """The backend's tasks have one more right. What a role's own policies say comes first."""
    iam, name = client("iam"), f"{shop.name}-backend"
    iam.put_role_policy(RoleName=name, PolicyName="more", PolicyDocument=document(allow(actions, resources)))
    own = shop.fact("roles", shop.roles["backend"])["statements"]["seen"]
    yield {"roles": {shop.roles["backend"]: seen({"statements": seen([statement(actions, resources), *own])})}}
    iam.delete_role_policy(RoleName=name, PolicyName="more")


@fault("iam_task_role_secrets_open")
def task_reads_every_secret(shop):
    yield from may_also(shop, ["secretsmanager:GetSecretValue"], ["*"])


@fault("s3_task_access_wide")
def task_reads_the_whole_bucket(shop):
    yield from may_also(shop, ["s3:GetObject"], [f"arn:aws:s3:::{shop.bucket}/*"])
