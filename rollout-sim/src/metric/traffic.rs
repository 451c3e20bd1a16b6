//! What traffic makes of metrics: a look every ten seconds, and a minute's counts at its end (Elastic Load Balancing user guide,
//! "CloudWatch metrics for your Application Load Balancer": names, dimensions, and when each is reported).

use core::time::Duration;

use rollout_core::dns::RecordData;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MINUTE, Metric, Point};
use crate::ecs::Environment;
use crate::elb::{Action, LoadBalancer, Request, TargetState};
use crate::kernel::{Happening, Kernel, plus};
use crate::world::{Unknown, World};

const NAMESPACE: &str = "AWS/ApplicationELB";
/// How often a look is taken, in milliseconds.
const LOOK: u64 = 10_000;

/// What the looks of a minute say of one target group behind one load balancer, or of nothing that answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Share {
    /// Its part of the requests, of its answers that are errors, and its answers' time in milliseconds: sums over the looks.
    requests: f64,
    errors: f64,
    millis: f64,
    looks: f64,
}

/// The part of an ARN that a dimension names.
fn dimension(arn: &str) -> String {
    let last = arn.rsplit(':').next().unwrap_or(arn);
    last.strip_prefix("loadbalancer/").unwrap_or(last).to_owned()
}

fn of_balancer(balancer: &LoadBalancer) -> Vec<(String, String)> {
    vec![("LoadBalancer".to_owned(), dimension(&balancer.arn))]
}

fn of_group(balancer: &LoadBalancer, group: &str) -> Vec<(String, String)> {
    let mut all = of_balancer(balancer);
    all.push(("TargetGroup".to_owned(), dimension(group)));
    all
}

impl Environment {
    /// Begins to measure, at the next look.
    pub(crate) fn measure(&mut self, k: &mut Kernel) {
        if self.metrics.on {
            return;
        }
        self.metrics.on = true;
        let next = (k.now.as_millis() / LOOK + 1) * LOOK;
        k.at(
            Timestamp::from_millis(next),
            Happening::Metrics { env: self.index },
        );
    }

    /// Errors of 10,000 answers, and an answer's time in milliseconds, of what serves a group now. `None` when nothing does.
    fn answers_of(&self, now: Timestamp, group: u16) -> Option<(f64, f64)> {
        let tasks = self.serving_tasks(group);
        if tasks.is_empty() {
            let machine = self.serving_machine(now, group)?;
            let errs = machine.reply(now).0 >= 500;
            return Some((if errs { 1.0 } else { 0.0 }, 5.0));
        }
        let (mut errors, mut millis) = (0.0, 0.0);
        for task in &tasks {
            let course = &task.course;
            errors += if task.answers(now) {
                f64::from(course.errors_per_10_000) / 10_000.0
            } else {
                1.0
            };
            #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53")]
            let middle = (course.latency.min + course.latency.max) as f64 / 2.0;
            millis += middle;
        }
        #[expect(clippy::cast_precision_loss, reason = "tasks are few")]
        let count = tasks.len() as f64;
        Some((errors / count, millis / count))
    }

    /// One look: the health of every group's targets, and who would answer a request now.
    fn look_at_traffic(&mut self, now: Timestamp) {
        // The look at the end of a minute is still that minute's.
        let at = Timestamp::from_millis(now.as_millis().saturating_sub(1));
        let mut points: Vec<(Metric, Point)> = Vec::new();
        let mut shares: Vec<(String, f64, f64, f64)> = Vec::new();
        for balancer in &self.balancers {
            let mut groups: Vec<u16> = balancer.groups().map(|(g, _)| g).collect();
            groups.sort_unstable();
            groups.dedup();
            for group in groups {
                let states = self.target_states(now, group);
                if states.is_empty() {
                    continue;
                }
                let count =
                    |wanted| f64::from(states.iter().find(|(s, _)| *s == wanted).map_or(0, |(_, n)| *n));
                let arn = &self.groups[usize::from(group)].arn;
                for (name, state) in [
                    ("HealthyHostCount", TargetState::Healthy),
                    ("UnHealthyHostCount", TargetState::Unhealthy),
                ] {
                    let metric = Metric::new(NAMESPACE, name, of_group(balancer, arn));
                    points.push((metric, Point::of(count(state))));
                }
            }
            let request = Request {
                method: "GET",
                host: balancer.dns_name.as_str(),
                path: "/",
                ..Request::default()
            };
            let rule = balancer.listeners.first().and_then(|l| l.route(&request));
            let Some(action @ Action::Forward { groups, .. }) = rule.map(|r| &r.action) else {
                continue;
            };
            #[expect(clippy::cast_precision_loss, reason = "weights are below 5,000 together")]
            let sum = action.weight() as f64;
            for (group, weight) in groups.iter().filter(|(_, weight)| *weight > 0) {
                let share = f64::from(*weight) / sum;
                let arn = &self.groups[usize::from(*group)].arn;
                match self.answers_of(now, *group) {
                    Some((errors, millis)) => {
                        shares.push((
                            format!("{} {arn}", balancer.arn),
                            share,
                            share * errors,
                            share * millis,
                        ));
                    }
                    // The load balancer answers 503 by itself.
                    None => shares.push((format!("{} -", balancer.arn), share, 0.0, 0.0)),
                }
            }
        }
        for (metric, point) in points {
            self.metrics.add(&metric, at, point);
        }
        for (key, requests, errors, millis) in shares {
            let share = self.metrics.shares.entry(key).or_default();
            share.requests += requests;
            share.errors += errors;
            share.millis += millis;
            share.looks += 1.0;
        }
    }

    /// A minute has ended: its requests by who answered them.
    fn count_requests(&mut self, now: Timestamp, requests: &[(usize, u64)]) {
        const LOOKS: f64 = (MINUTE / LOOK) as f64;
        let at = Timestamp::from_millis(now.as_millis().saturating_sub(1));
        let shares = core::mem::take(&mut self.metrics.shares);
        for (place, count) in requests {
            let balancer = self.balancers[*place].clone();
            #[expect(
                clippy::cast_precision_loss,
                reason = "requests of a minute are far below 2^53"
            )]
            let count = *count as f64;
            let total = Metric::new(NAMESPACE, "RequestCount", of_balancer(&balancer));
            self.metrics.count(&total, (now, at), count);
            if count == 0.0 {
                continue;
            }
            let mine = shares
                .iter()
                .filter_map(|(key, share)| Some((key.strip_prefix(&balancer.arn)?.trim(), share)));
            let mut failed = 0.0;
            for (group, share) in mine {
                let here = (count * share.requests / LOOKS).round();
                let errors = (count * share.errors / LOOKS).round();
                if group == "-" {
                    let metric = Metric::new(NAMESPACE, "HTTPCode_ELB_5XX_Count", of_balancer(&balancer));
                    self.metrics.count(&metric, (now, at), here);
                    continue;
                }
                failed += errors;
                let seconds = share.millis / share.requests.max(f64::MIN_POSITIVE) / 1_000.0;
                for (name, value) in [
                    ("RequestCount", here),
                    ("HTTPCode_Target_2XX_Count", here - errors),
                    ("HTTPCode_Target_5XX_Count", errors),
                ] {
                    // Codes are reported when there were any.
                    if value > 0.0 || name == "RequestCount" {
                        let metric = Metric::new(NAMESPACE, name, of_group(&balancer, group));
                        self.metrics.count(&metric, (now, at), value);
                    }
                }
                let metric = Metric::new(NAMESPACE, "TargetResponseTime", of_group(&balancer, group));
                let point = Point {
                    sum: seconds * here,
                    count: here,
                    min: seconds,
                    max: seconds,
                };
                if here > 0.0 {
                    self.metrics.add(&metric, at, point);
                }
            }
            if failed > 0.0 {
                let metric = Metric::new(NAMESPACE, "HTTPCode_Target_5XX_Count", of_balancer(&balancer));
                self.metrics.count(&metric, (now, at), failed);
            }
        }
    }
}

impl World {
    /// From now on so many hundredths of what a minute's requests and answers are counted to be are reported only so long after
    /// its end: its points are restated, as CloudWatch restates those of services that report late. Looks are taken every ten
    /// seconds.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn report_late(&mut self, environment: &str, percent: u8, after: Duration) -> Result<(), Unknown> {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.env_mut(environment)?.metrics.late = Some((percent.min(100), after));
        Ok(())
    }

    /// Begins to measure the traffic of every environment.
    #[cfg(feature = "endpoint")]
    pub(crate) fn measure(&mut self) {
        for env in &mut self.environments {
            env.measure(&mut self.kernel);
        }
    }

    /// The next look at an environment's traffic is due.
    pub(crate) fn measure_traffic(&mut self, index: u16) {
        let now = self.now();
        self.environments[usize::from(index)].metrics.report(now);
        self.environments[usize::from(index)].look_at_traffic(now);
        if now.as_millis().is_multiple_of(MINUTE) {
            self.settle_health();
            let balancers = self.environments[usize::from(index)].balancers.iter();
            let targets: Vec<RecordData> = balancers
                .map(|b| RecordData::Alias {
                    target: b.dns_name.clone(),
                    zone: b.zone.clone(),
                    evaluate_target_health: false,
                })
                .collect();
            // Requests by DNS; a load balancer that no record leads to has none.
            let requests = targets.iter().enumerate().map(|(place, data)| {
                let all = self.zones.iter_mut().filter_map(|z| z.requests(now, data));
                (place, all.sum())
            });
            let requests: Vec<(usize, u64)> = requests.collect();
            self.environments[usize::from(index)].count_requests(now, &requests);
        }
        self.kernel.at(plus(now, LOOK), Happening::Metrics { env: index });
    }
}
