"""What watches: alarms, the topic that they tell, the dashboard."""
import json

from common import BALANCED, PORTS, REGION, account, client, fault, seen


def make(shop):
    sns = client("sns")
    shop.topic = sns.create_topic(Name=f"{shop.name}-on-call")["TopicArn"]
    shop.queue = f"arn:aws:sqs:{REGION}:{account()}:{shop.name}"
    subscribe(shop)
    shop.facts["topics"][shop.topic] = seen({"confirmed": 1, "pending": 0})
    facts = {}
    for name, metric in watched(shop).items():
        alarm(shop, name, metric)
        namespace, what, dimensions = metric
        facts[name] = {"state": "OK", "actions_enabled": True, "actions": [shop.topic], "expression": [],
                       "metric": {"namespace": namespace, "name": what, "dimensions": dimensions}}
    shop.facts["alarms"] = seen(facts)
    dashboard(shop, shown(shop))
    shop.facts["dashboards"][shop.name] = seen({"metrics": [metric_fact(one) for one in shown(shop)]})


def subscribe(shop):
    shop.subscription = client("sns").subscribe(TopicArn=shop.topic, Protocol="sqs", Endpoint=shop.queue)["SubscriptionArn"]


def target_group(shop, service):
    """The dimensions are the ends of ARNs."""
    return {"LoadBalancer": shop.balancer.split(":loadbalancer/")[1], "TargetGroup": shop.target_groups[service].split(":")[-1]}


def watched(shop):
    """Every alarm by its name, with its metric."""
    every = {f"{shop.name}-checkout-errors": ("Storefront", "CheckoutErrors", {})}
    for service in PORTS:
        own = {"ClusterName": shop.name, "ServiceName": service}
        of_it = {"cpu": ("AWS/ECS", "CPUUtilization", own), "memory": ("AWS/ECS", "MemoryUtilization", own),
                 "running-low": ("ECS/ContainerInsights", "RunningTaskCount", own)}
        if service in BALANCED:
            behind = target_group(shop, service)
            of_it |= {"unhealthy": ("AWS/ApplicationELB", "UnHealthyHostCount", behind), "5xx": ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", behind),
                      "latency": ("AWS/ApplicationELB", "TargetResponseTime", behind)}
        every |= {f"{shop.name}-{service}-{what}": metric for what, metric in of_it.items()}
    return every


def alarm(shop, name, metric, tells=True):
    namespace, what, dimensions = metric
    client("cloudwatch").put_metric_alarm(
        AlarmName=name, Namespace=namespace, MetricName=what, Statistic="Average", Period=60, EvaluationPeriods=1, Threshold=80,
        ComparisonOperator="GreaterThanThreshold", AlarmActions=[shop.topic] if tells else [],
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()])


def shown(shop):
    """What the dashboard shows: all that is watched, and how many requests went well or were refused."""
    every = [metric for metric in watched(shop).values() if metric[2]]
    behind = {"LoadBalancer": target_group(shop, "backend")["LoadBalancer"]}
    return every + [("AWS/ApplicationELB", f"HTTPCode_Target_{kind}_Count", behind) for kind in ("2XX", "4XX")]


def metric_fact(metric):
    namespace, what, dimensions = metric
    return {"namespace": namespace, "name": what, "dimensions": dimensions}


def dashboard(shop, metrics):
    lines = [[namespace, what, *(word for pair in dimensions.items() for word in pair)] for namespace, what, dimensions in metrics]
    # As people write it: a dot is what stands in the same place of the line before.
    short = [[word if place > 0 or line[0] != before[0] else "." for place, word in enumerate(line)] for before, line in zip([[""], *lines], lines)]
    body = {"widgets": [{"type": "metric", "properties": {"metrics": short}}]}
    client("cloudwatch").put_dashboard(DashboardName=shop.name, DashboardBody=json.dumps(body))


def no_alarm(shop, which):
    name = f"{shop.name}-{which}"
    client("cloudwatch").delete_alarms(AlarmNames=[name])
    yield {"alarms": seen({name: None})}
    alarm(shop, name, watched(shop)[name])


@fault("cloudwatch_unhealthy_hosts_alarm_missing")
def nobody_counts_the_unhealthy(shop):
    yield from no_alarm(shop, "backend-unhealthy")


@fault("cloudwatch_errors_alarm_missing")
def nobody_counts_errors(shop):
    yield from no_alarm(shop, "backend-5xx")


@fault("cloudwatch_latency_alarm_missing")
def nobody_measures_latency(shop):
    yield from no_alarm(shop, "frontend-latency")


# A deployment of the worker looks at the same alarm.
@fault("cloudwatch_running_tasks_alarm_missing", "ecs_service_alarm_missing")
def nobody_counts_tasks(shop):
    yield from no_alarm(shop, "worker-running-low")


@fault("cloudwatch_memory_alarm_missing")
def nobody_watches_memory(shop):
    yield from no_alarm(shop, "worker-memory")


@fault("cloudwatch_slot_alarm_missing")
def nobody_watches_checkouts(shop):
    yield from no_alarm(shop, "checkout-errors")


@fault("cloudwatch_cpu_alarm_missing")
def alarm_of_another_service(shop):
    name = f"{shop.name}-backend-cpu"
    namespace, what, dimensions = watched(shop)[name]
    other = dimensions | {"ServiceName": "legacy"}
    alarm(shop, name, (namespace, what, other))
    yield {"alarms": seen({name: {"metric": {"dimensions": other}}})}
    alarm(shop, name, watched(shop)[name])


@fault("cloudwatch_alarm_actions_off")
def alarm_is_muted(shop):
    name = f"{shop.name}-backend-5xx"
    client("cloudwatch").disable_alarm_actions(AlarmNames=[name])
    yield {"alarms": seen({name: {"actions_enabled": False}})}
    client("cloudwatch").enable_alarm_actions(AlarmNames=[name])


@fault("cloudwatch_alarm_unheard")
def alarm_tells_nobody(shop):
    name = f"{shop.name}-backend-latency"
    alarm(shop, name, watched(shop)[name], tells=False)
    yield {"alarms": seen({name: {"actions": []}})}
    alarm(shop, name, watched(shop)[name])


@fault("cloudwatch_alarm_unheard")
def nobody_listens(shop):
    client("sns").unsubscribe(SubscriptionArn=shop.subscription)
    yield {"topics": {shop.topic: seen({"confirmed": 0})}}
    subscribe(shop)


@fault("ecs_service_alarm_ringing")
def alarm_rings(shop):
    name = f"{shop.name}-backend-running-low"
    client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield {"alarms": seen({name: {"state": "ALARM"}})}
    client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


@fault("cloudwatch_dashboard_incomplete")
def dashboard_without_refusals(shop):
    kept = [metric for metric in shown(shop) if "4XX" not in metric[1]]
    dashboard(shop, kept)
    yield {"dashboards": {shop.name: seen({"metrics": [metric_fact(metric) for metric in kept]})}}
    dashboard(shop, shown(shop))


@fault("cloudwatch_dashboard_missing")
def no_dashboard(shop):
    client("cloudwatch").delete_dashboards(DashboardNames=[shop.name])
    yield {"dashboards": {shop.name: "missing"}}
    dashboard(shop, shown(shop))
