//! Load balancers, their listeners and rules, and which rule a request meets.

use core::fmt;

use rollout_core::id::{DomainName, ZoneId};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A target group of a forward action and its weight, 0 to 999 (Elastic Load Balancing API, "TargetGroupTuple").
pub(crate) type Weighted = (u16, u32);

/// A load balancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LoadBalancer {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) dns_name: DomainName,
    /// The hosted zone of its DNS name.
    pub(crate) zone: ZoneId,
    pub(crate) internal: bool,
    pub(crate) created: Timestamp,
    pub(crate) listeners: Vec<Listener>,
}

/// A listener. Its rules are in the order in which they are tried; the last is the default rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listener {
    pub(crate) arn: String,
    pub(crate) port: u16,
    /// `HTTP` or `HTTPS`.
    pub(crate) protocol: String,
    pub(crate) certificates: Vec<String>,
    pub(crate) rules: Vec<Rule>,
}

/// Where a rule stands: the smallest first, the default rule last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Priority {
    /// 1 to 50,000.
    At(u32),
    Default,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(n) => write!(f, "{n}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A rule: all conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) arn: String,
    pub(crate) priority: Priority,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
}

/// A condition: one of its values must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Condition {
    /// Case counts.
    Path(Vec<String>),
    /// Case does not count.
    Host(Vec<String>),
    /// Exactly, no wildcards.
    Method(Vec<String>),
    /// A header, by its name; case counts in neither.
    Header { name: String, values: Vec<String> },
    /// Pairs of a query string; without a key any key will do.
    Query(Vec<(Option<String>, String)>),
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    Forward {
        groups: Vec<Weighted>,
        /// For how many seconds a client stays with its target group.
        sticky: Option<u32>,
    },
    Fixed {
        status: u16,
        content_type: Option<String>,
        body: Option<String>,
    },
    Redirect(Redirect),
}

/// A redirect (Elastic Load Balancing API, "RedirectActionConfig").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redirect {
    pub(crate) protocol: String,
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// `HTTP_301` or `HTTP_302`.
    pub(crate) status: String,
}

/// A request, as far as rules look at it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

impl Redirect {
    /// The address that a client is sent to, with the parts of its own that the redirect keeps (Elastic Load Balancing API,
    /// "RedirectActionConfig").
    pub(crate) fn location(&self, request: &Request<'_>, listener: &Listener) -> String {
        let fill = |text: &str| {
            text.replace("#{protocol}", &listener.protocol)
                .replace("#{host}", request.host)
                .replace("#{port}", &request.port.to_string())
                .replace("#{path}", request.path.trim_start_matches('/'))
                .replace("#{query}", request.query)
        };
        let (protocol, host, path) = (fill(&self.protocol), fill(&self.host), fill(&self.path));
        let query = fill(&self.query);
        let query = if query.is_empty() {
            query
        } else {
            format!("?{query}")
        };
        format!(
            "{}://{host}:{}{path}{query}",
            protocol.to_ascii_lowercase(),
            fill(&self.port)
        )
    }
}

impl Action {
    /// To one target group.
    pub(crate) fn to(group: u16) -> Self {
        Self::Forward {
            groups: vec![(group, 1)],
            sticky: None,
        }
    }

    /// The target groups and their weights.
    pub(crate) fn groups(&self) -> &[Weighted] {
        match self {
            Self::Forward { groups, .. } => groups,
            Self::Fixed { .. } | Self::Redirect(_) => &[],
        }
    }

    /// The sum of the weights.
    pub(crate) fn weight(&self) -> u64 {
        self.groups().iter().map(|(_, weight)| u64::from(*weight)).sum()
    }

    /// The group at a place between 0 and the sum of the weights.
    pub(crate) fn group_at(&self, mut place: u64) -> Option<u16> {
        for (group, weight) in self.groups() {
            let weight = u64::from(*weight);
            if place < weight {
                return Some(*group);
            }
            place -= weight;
        }
        None
    }
}

impl Condition {
    fn fits(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Path(patterns) => patterns.iter().any(|p| fits(p, request.path)),
            Self::Host(patterns) => {
                let host = request.host.to_ascii_lowercase();
                patterns.iter().any(|p| fits(&p.to_ascii_lowercase(), &host))
            }
            Self::Method(methods) => methods.iter().any(|m| m == request.method),
            Self::Header { name, values } => {
                let mine = request
                    .headers
                    .iter()
                    .filter(|(n, _)| n.eq_ignore_ascii_case(name));
                let mut mine = mine.map(|(_, value)| value.to_ascii_lowercase());
                mine.any(|value| values.iter().any(|p| fits(&p.to_ascii_lowercase(), &value)))
            }
            Self::Query(pairs) => {
                let given = request.query.to_ascii_lowercase();
                let given = given
                    .split('&')
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                given.into_iter().any(|(key, value)| {
                    pairs.iter().any(|(k, v)| {
                        k.as_ref().is_none_or(|k| fits(&k.to_ascii_lowercase(), key))
                            && fits(&v.to_ascii_lowercase(), value)
                    })
                })
            }
        }
    }
}

impl Listener {
    /// The rule that a request meets.
    pub(crate) fn route(&self, request: &Request<'_>) -> Option<&Rule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.conditions.iter().all(|c| c.fits(request)))
    }

    /// Puts a rule at its place.
    pub(crate) fn insert(&mut self, rule: Rule) {
        let place = self.rules.partition_point(|r| r.priority < rule.priority);
        self.rules.insert(place, rule);
    }
}

impl LoadBalancer {
    /// The target groups that any rule names, whatever their weight.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Weighted> {
        let rules = self.listeners.iter().flat_map(|l| &l.rules);
        rules.flat_map(|r| r.action.groups()).copied()
    }

    /// The target groups that get requests, each once, in the order of the rules.
    pub(crate) fn serving_groups(&self) -> Vec<u16> {
        let mut groups = Vec::new();
        for (group, weight) in self.groups() {
            if weight > 0 && !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }
}

/// Whether a text fits a pattern with `*` (any characters, or none) and `?` (exactly one).
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: that star takes one character more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            Some(_) | None => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}
