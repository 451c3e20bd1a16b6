//! Alarms on what matters of each service, whom they tell, a dashboard; and what services answer.

use std::collections::BTreeMap;

use rollout_core::readiness::fact::answer::Answer;
use rollout_core::readiness::fact::task::DeploymentAlarms;
use rollout_core::readiness::fact::watch::{Alarm, Dashboard, Metric, Topic};
use rollout_core::readiness::known::Known;

use super::{Site, facts, texts};
use crate::ecs::plan::Watched;

impl Site<'_> {
    pub(super) fn watch(&mut self) {
        let topic = format!(
            "arn:aws:sns:{}:{}:{}-on-call",
            self.env.region,
            self.env.account,
            self.prefix()
        );
        let alarm = |metric: Option<Metric>| Alarm {
            state: "OK".to_owned(),
            actions_enabled: true,
            actions: texts(&[&topic]),
            metric,
            expression: Vec::new(),
        };
        let own: BTreeMap<&str, Option<Metric>> = self
            .env
            .alarms
            .iter()
            .map(|held| (held.name.as_str(), facts::metric_of(self.env, held)))
            .collect();
        let mut alarms: BTreeMap<String, Alarm> = own
            .iter()
            .map(|(name, metric)| ((*name).to_owned(), alarm(metric.clone())))
            .collect();
        let mut shown: Vec<Metric> = own.values().flatten().cloned().collect();
        for (name, index) in self.services() {
            let mut watching = Vec::new();
            for (what, metric) in self.watched(name, index) {
                let known = own.iter().find(|(_, other)| other.as_ref() == Some(&metric));
                let known = known.map(|(name, _)| (*name).to_owned());
                let of_it = known.unwrap_or_else(|| format!("{}-{name}-{what}", self.prefix()));
                if !shown.contains(&metric) {
                    shown.push(metric.clone());
                }
                alarms.entry(of_it.clone()).or_insert_with(|| alarm(Some(metric)));
                watching.push(of_it);
            }
            // What the world was told is not said again: then a change shows.
            let untold = self.env.services[usize::from(index)].plan.alarms == Watched::default();
            if let Some(service) = self.facts.services.seen_mut(name) {
                service.alarms = DeploymentAlarms {
                    enabled: untold,
                    rollback: untold,
                    names: if untold { watching } else { Vec::new() },
                };
            }
        }
        for (slot, name) in self
            .intent
            .watch
            .slots
            .iter()
            .filter(|(_, name)| !name.is_empty())
        {
            let metric = metric(self.prefix(), slot, BTreeMap::new());
            alarms.entry(name.clone()).or_insert_with(|| alarm(Some(metric)));
        }
        shown.extend(self.of_balancers());
        self.facts.alarms = Known::Seen(alarms);
        self.facts.topics.seen(
            topic,
            Topic {
                confirmed: 2,
                pending: 0,
            },
        );
        if let Some(name) = &self.intent.watch.dashboard {
            self.facts.dashboards.seen(name, Dashboard { metrics: shown });
        }
        self.answers();
    }

    /// What a service should be watched by: the end of the alarm's name, and the metric.
    fn watched(&self, name: &str, index: u16) -> Vec<(&'static str, Metric)> {
        let dimensions = |all: [(&str, &str); 2]| -> BTreeMap<String, String> {
            all.map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        };
        let of_service = || dimensions([("ClusterName", self.env.cluster.as_str()), ("ServiceName", name)]);
        let mut all = vec![
            ("cpu", metric("AWS/ECS", "CPUUtilization", of_service())),
            ("memory", metric("AWS/ECS", "MemoryUtilization", of_service())),
            (
                "running-low",
                metric("ECS/ContainerInsights", "RunningTaskCount", of_service()),
            ),
        ];
        let Some(group) = self.target_group(index) else {
            return all;
        };
        let serves = |index: &&usize| {
            let mut groups = self.env.balancers[**index].groups();
            groups.any(|(g, _)| self.env.groups[usize::from(g)].arn == group)
        };
        let balancers = self.balancers();
        let Some(balancer) = balancers.iter().find(serves) else {
            return all;
        };
        // Dimensions are the ends of ARNs (User Guide for Application Load Balancers, "Metric dimensions for Application Load Balancers").
        let group = group.rsplit_once(':').map_or(group, |(_, end)| end);
        let balancer = end_of_balancer(&self.env.balancers[*balancer].arn);
        let behind = || dimensions([("LoadBalancer", balancer), ("TargetGroup", group)]);
        for (what, name) in [
            ("unhealthy", "UnHealthyHostCount"),
            ("5xx", "HTTPCode_Target_5XX_Count"),
            ("latency", "TargetResponseTime"),
        ] {
            all.push((what, metric("AWS/ApplicationELB", name, behind())));
        }
        all
    }

    fn of_balancers(&self) -> Vec<Metric> {
        let mut all = Vec::new();
        for index in self.balancers() {
            let end = end_of_balancer(&self.env.balancers[index].arn);
            for name in [
                "HTTPCode_Target_2XX_Count",
                "HTTPCode_Target_4XX_Count",
                "HTTPCode_Target_5XX_Count",
            ] {
                let dimensions = [("LoadBalancer".to_owned(), end.to_owned())].into();
                all.push(metric("AWS/ApplicationELB", name, dimensions));
            }
        }
        all
    }

    /// Everything that services are asked is answered well.
    fn answers(&mut self) {
        for question in self.intent.asked() {
            let header = |name: &str| question.headers.get(name).cloned();
            let allowed = [
                ("access-control-allow-origin", header("origin")),
                (
                    "access-control-allow-methods",
                    header("access-control-request-method"),
                ),
            ];
            let allowed = allowed
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)));
            // Pages of other origins may do nothing: whoever asks before a request is refused, and no header lets the others read.
            let is_strange =
                header("origin").is_some_and(|origin| !self.intent.data.origins.contains(&origin));
            let is_plain = question.method == "GET";
            let answer = Answer {
                status: if is_strange && !is_plain { 403 } else { 200 },
                headers: if is_strange {
                    BTreeMap::new()
                } else {
                    allowed.collect()
                },
                body: if is_plain {
                    "{\"status\":\"ok\"}".to_owned()
                } else {
                    String::new()
                },
            };
            self.facts.answers.seen(question.key(), answer);
        }
    }
}

fn end_of_balancer(arn: &str) -> &str {
    arn.rsplit_once(":loadbalancer/").map_or(arn, |(_, end)| end)
}

fn metric(namespace: &str, name: &str, dimensions: BTreeMap<String, String>) -> Metric {
    Metric {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        dimensions,
    }
}
