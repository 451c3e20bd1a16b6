"""LocalStack plugin: answers services that the community runtime leaves out with the moto it already ships.

Found through the `.dist-info` folder beside this file when the folder of both is on PYTHONPATH. ECS, ECR and ELBv2
are left out on purpose: moto has no ECS deployments, and MiniStack, which has, is started beside LocalStack.
"""
from localstack.services.plugins import Service, aws_provider

_NAMES = [
    "wafv2", "rds", "elasticache", "budgets", "cloudfront", "codedeploy", "application-autoscaling",
    "servicediscovery", "autoscaling", "ce", "backup", "fis", "synthetics", "inspector2",
]


def _make(api, name="default"):
    def factory():
        from localstack.aws.spec import load_service
        from localstack.services.moto import call_moto

        class Provider:
            service = api

        def table(_):
            return {op: (lambda context, request: call_moto(context)) for op in load_service(api).operation_names}

        return Service.for_provider(Provider(), dispatch_table_factory=table)

    factory.__name__ = api.replace("-", "_")
    return aws_provider(api=api, name=name)(factory)


for _name in _NAMES:
    globals()["p_" + _name.replace("-", "_")] = _make(_name)

# The runtime's own DynamoDB wants to download a Java program. PROVIDER_OVERRIDE_DYNAMODB=moto selects this one.
p_dynamodb_moto = _make("dynamodb", "moto")
