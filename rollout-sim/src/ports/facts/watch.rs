//! Alarms, whom they tell, dashboards; and what services answer.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::readiness::fact::answer::Answer;
use rollout_core::readiness::fact::watch::Alarm;
use rollout_core::readiness::known::Known;

use super::ask::Asking;
use crate::facts;

impl Asking<'_> {
    pub(super) fn watch(&mut self) {
        let alarms = self.alarms();
        let alarms = self.told("cloudwatch:DescribeAlarms", "", || alarms);
        let all = alarms.get().into_iter().flat_map(BTreeMap::values);
        let actions = all.flat_map(|alarm| &alarm.actions);
        let topics: BTreeSet<String> = actions.filter(|arn| arn.contains(":sns:")).cloned().collect();
        self.facts.alarms = alarms;
        for arn in topics {
            let beside = self.beside(&arn, |around| &around.topics);
            let topic = self.told("sns:ListSubscriptionsByTopic", &arn, || beside);
            self.facts.topics.put(arn, topic);
        }
        if let Some(name) = self.intent.watch.dashboard.clone() {
            let beside = self.beside(&name, |around| &around.dashboards);
            let dashboard = self.told("cloudwatch:GetDashboard", &name, || beside);
            self.facts.dashboards.put(name, dashboard);
        }
    }

    /// All alarms: the world's own, and those that nothing in it moves.
    fn alarms(&self) -> Known<BTreeMap<String, Alarm>> {
        let around = self.around().map(|around| &around.alarms);
        let mut all = match around {
            Some(Known::Seen(alarms)) => alarms.clone(),
            Some(Known::Unknown(unseen)) => return Known::Unknown(unseen.clone()),
            Some(Known::Missing) | None => BTreeMap::new(),
        };
        for held in &self.env.alarms {
            let told = facts::alarm(self.env, held, all.get(&held.name));
            all.insert(held.name.clone(), told);
        }
        Known::Seen(all)
    }

    /// What services answer over HTTP: the world's tasks where a name leads to them, with the headers that the surroundings tell,
    /// and what those say everywhere else.
    pub(super) fn answers(&mut self) {
        // Asking the world draws from its dice, and looking must not change what comes.
        let mut copy = self.world.clone();
        for question in self.intent.asked() {
            let key = question.key();
            let mut answer = self.beside(&key, |around| &around.answers);
            let plain = question.method == "GET";
            if let Some((status, body)) = copy.answer_at(&question.url).filter(|_| plain) {
                let headers = match answer {
                    Known::Seen(answer) => answer.headers,
                    Known::Missing | Known::Unknown(_) => BTreeMap::new(),
                };
                answer = Known::Seen(Answer {
                    status,
                    headers,
                    body,
                });
            }
            let answer = self.told(&format!("http:{}", question.method), &question.url, || answer);
            self.facts.answers.put(key, answer);
        }
    }
}
