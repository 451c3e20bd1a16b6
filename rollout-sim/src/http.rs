//! HTTP requests from outside: from a host name through records and load balancers to a task.

use rollout_core::dns::{RecordData, RecordKey, RecordType};
use rollout_core::evidence::Evidence;
use rollout_core::id::DomainName;
use rollout_core::probe::{HttpProbe, Sample, Verdict};
use rollout_core::service::Images;
use rollout_core::time::human;

use crate::dns::answer::TICKETS;
use crate::dns::set::RecordSet;
use crate::ecs::Environment;
use crate::ecs::task::Owner;
use crate::elb::{Action, LoadBalancer, Request};
use crate::rng::Stream;
use crate::world::World;

/// What a load balancer says when nothing can answer.
const UNAVAILABLE: &str = "Service Temporarily Unavailable";

/// How many CNAMEs are followed.
const CHAIN: usize = 8;

/// An answer.
struct Answer {
    status: u16,
    body: String,
    millis: u64,
    images: Option<Images>,
}

/// Who answers a request.
enum Server {
    /// The tasks of a service, directly.
    Service(u16, u16),
    /// The targets of a group.
    Group(u16, u16),
    /// The load balancer itself.
    Balancer(u16, String),
    /// The load balancer, with a redirect to this address.
    #[cfg_attr(
        not(feature = "endpoint"),
        expect(dead_code, reason = "only a client of the endpoint follows it")
    )]
    Redirect(u16, String),
}

/// What a client outside sees of an answer.
#[cfg(feature = "endpoint")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) status: u16,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) took: core::time::Duration,
}

impl World {
    /// The load balancer with this DNS name, in lower case; `dualstack.` before it names the same.
    pub(crate) fn balancer(&self, name: &str) -> Option<(&Environment, &LoadBalancer)> {
        let name = name.strip_prefix("dualstack.").unwrap_or(name);
        self.environments.iter().find_map(|env| {
            let found = env.balancers.iter().find(|b| b.dns_name.normalised() == name)?;
            Some((env, found))
        })
    }

    /// Follows a host name through the zones to what it stands for.
    fn lead(&mut self, host: &str) -> String {
        let mut name = host.trim_end_matches('.').to_ascii_lowercase();
        for _ in 0..CHAIN {
            let Ok(domain) = DomainName::new(name.as_str()) else {
                break;
            };
            let Some(next) = self.points_at(&domain) else {
                break;
            };
            name = next;
        }
        name
    }

    /// Where a name's records lead, one step.
    fn points_at(&mut self, name: &DomainName) -> Option<String> {
        let zones = self.zones.iter().filter(|z| z.holds(name));
        let sets = zones
            .flat_map(|z| z.sets())
            .filter(|s| s.key().name.same_as(name));
        let routed = sets.clone().any(RecordSet::is_routed);
        let keys: Vec<RecordKey> = sets.map(|s| s.key().clone()).collect();
        // Chance is only asked where there is a choice.
        let ticket = if routed {
            self.settle_health();
            self.kernel.dice.below(Stream::Dns, TICKETS)
        } else {
            0
        };
        let now = self.kernel.now;
        let zones = self.zones.iter().filter(|z| z.holds(name));
        // A resolver asks any server; the first is as good as another.
        let mut told = zones.flat_map(|z| keys.iter().filter_map(|key| z.resolve(now, 0, key, ticket)));
        told.find_map(|r| match &r.data {
            RecordData::Alias { target, .. } => Some(target.normalised()),
            RecordData::Values { values, .. } if r.key.record_type == RecordType::Cname => {
                let first = values.first();
                first.map(|v| v.trim_end_matches('.').to_ascii_lowercase())
            }
            RecordData::Values { .. } => None,
        })
    }

    /// What one server of a zone answers to a question: the values of a record, of what its alias leads to within the zone, or
    /// the addresses of a load balancer. A name with a CNAME answers with that, whatever is asked. `None` without an answer.
    #[cfg(feature = "endpoint")]
    pub(crate) fn told(
        &self,
        zone: usize,
        server: usize,
        key: &RecordKey,
        ticket: u64,
    ) -> Option<Vec<String>> {
        let (now, held) = (self.kernel.now, &self.zones[zone]);
        let mut key = key.clone();
        for _ in 0..CHAIN {
            let cname = RecordKey {
                record_type: RecordType::Cname,
                ..key.clone()
            };
            let found = held.resolve(now, server, &key, ticket);
            let found = found.or_else(|| held.resolve(now, server, &cname, ticket))?;
            match &found.data {
                RecordData::Values { values, .. } => return Some(values.clone()),
                RecordData::Alias { target, .. } => {
                    let addresses = self.addresses(target.as_str());
                    if !addresses.is_empty() {
                        return (key.record_type == RecordType::A)
                            .then(|| addresses.iter().map(ToString::to_string).collect());
                    }
                    key.name = target.clone();
                }
            }
        }
        None
    }

    /// The addresses of a load balancer, by its DNS name; none for any other name. They are of the block for tests of networks
    /// (RFC 2544) and follow from the name alone.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Vec<std::net::Ipv4Addr> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let Some((_, balancer)) = self.balancer(&name) else {
            return Vec::new();
        };
        let name = balancer.dns_name.normalised();
        let hash = name
            .bytes()
            .fold(5_381_u32, |h, b| h.wrapping_mul(33) ^ u32::from(b));
        (0..3_u32)
            .map(|zone| {
                let host = hash.wrapping_add(zone.wrapping_mul(0x5555)) & 0x1_ffff;
                std::net::Ipv4Addr::from(u32::from_be_bytes([198, 18, 0, 0]) | host)
            })
            .collect()
    }

    /// The status code of an answer to a plain request; `None` when the name leads nowhere.
    pub(crate) fn status_of(&mut self, host: &str, path: &str) -> Option<u16> {
        let request = Request {
            method: "GET",
            host,
            path,
            ..Request::default()
        };
        let server = self.server(&request)?;
        Some(self.ask(&server, path).status)
    }

    /// Status code and body of the answer to a GET request; `None` when the host leads nowhere.
    pub(crate) fn answer_at(&mut self, url: &str) -> Option<(u16, String)> {
        let request = split(url)?;
        let server = self.server(&request)?;
        let answer = self.ask(&server, request.path);
        Some((answer.status, answer.body))
    }

    fn server(&mut self, request: &Request<'_>) -> Option<Server> {
        let name = self.lead(request.host);
        for env in &self.environments {
            if let Some(service) = env.hosts.get(&name) {
                return Some(Server::Service(env.index, *service));
            }
        }
        let (env, balancer) = self.balancer(&name)?;
        // A web ACL comes before the listener's rules.
        if let Some(block) = self.web_acls.blocked(self.kernel.now, &balancer.arn) {
            return Some(Server::Balancer(block.status, block.body.clone()));
        }
        let listener = balancer
            .listeners
            .iter()
            .find(|l| l.port == request.port)
            .or_else(|| balancer.listeners.first());
        let Some((listener, rule)) = listener.and_then(|l| Some((l, l.route(request)?))) else {
            return Some(Server::Balancer(503, UNAVAILABLE.to_owned()));
        };
        let (env, action) = (env.index, rule.action.clone());
        Some(match &action {
            Action::Fixed { status, body, .. } => Server::Balancer(*status, body.clone().unwrap_or_default()),
            Action::Redirect(to) => {
                let status = if to.status == "HTTP_301" { 301 } else { 302 };
                Server::Redirect(status, to.location(request, listener))
            }
            Action::Forward { groups, .. } => {
                let sum = action.weight();
                // One group that gets everything costs no draw.
                let place = match groups.iter().filter(|(_, weight)| *weight > 0).count() {
                    0 | 1 => 0,
                    _ => self.kernel.dice.below(Stream::Health, sum),
                };
                match action.group_at(place) {
                    Some(group) => Server::Group(env, group),
                    None => Server::Balancer(503, UNAVAILABLE.to_owned()),
                }
            }
        })
    }

    /// One request, judged as the probe says.
    pub(crate) fn http(&mut self, probe: &HttpProbe) -> Sample {
        let now = self.kernel.now;
        let mut sample = Sample {
            at: now,
            verdict: Verdict::Fail,
            images: None,
            evidence: Vec::new(),
        };
        let say = |sample: &mut Sample, detail: String| {
            sample
                .evidence
                .push(Evidence::new(now, "http", probe.url.as_str(), detail));
        };
        let Some(request) = split(&probe.url) else {
            say(&mut sample, "not a http or https URL".to_owned());
            return sample;
        };
        let Some(server) = self.server(&request) else {
            say(&mut sample, format!("the host {} does not resolve", request.host));
            return sample;
        };
        let answer = self.ask(&server, request.path);
        sample.images = answer.images;
        let took = core::time::Duration::from_millis(answer.millis);
        if took > probe.timeout {
            say(&mut sample, format!("no answer within {}", human(probe.timeout)));
            return sample;
        }
        let expected = if probe.status.is_empty() {
            (200..300).contains(&answer.status)
        } else {
            probe.status.contains(&answer.status)
        };
        let mut wrong = Vec::new();
        if !expected {
            wrong.push("another status was expected".to_owned());
        }
        if let Some(text) = probe
            .body_contains
            .as_ref()
            .filter(|t| !answer.body.contains(t.as_str()))
        {
            wrong.push(format!("the body does not contain `{text}`"));
        }
        if took > probe.latency {
            wrong.push(format!("it took longer than {}", human(probe.latency)));
        }
        if wrong.is_empty() {
            sample.verdict = Verdict::Pass;
        }
        let mut detail = format!("status {} after {}", answer.status, human(took));
        for text in wrong {
            detail.push_str("; ");
            detail.push_str(&text);
        }
        say(&mut sample, detail);
        sample
    }

    /// One GET request as a client sees it: status, headers that matter, body, and how long it took. `None` when the host
    /// leads nowhere.
    #[cfg(feature = "endpoint")]
    pub(crate) fn visit(&mut self, url: &str) -> Option<Visit> {
        let request = split(url)?;
        if request.host.ends_with(crate::ecr::LAYERS) {
            return Some(self.download(request.path, request.query));
        }
        let server = self.server(&request)?;
        let location = match &server {
            Server::Redirect(_, location) => Some(location.clone()),
            Server::Service(..) | Server::Group(..) | Server::Balancer(..) => None,
        };
        let answer = self.ask(&server, request.path);
        Some(Visit {
            status: answer.status,
            location,
            body: answer.body.into_bytes(),
            took: core::time::Duration::from_millis(answer.millis),
        })
    }

    /// A layer, by the path and query that [`layer_url`](crate::ecr::layer_url) made.
    #[cfg(feature = "endpoint")]
    fn download(&self, path: &str, query: &str) -> Visit {
        let refused = |status: u16, code: &str| Visit {
            status,
            location: None,
            body: format!("<Error><Code>{code}</Code></Error>").into_bytes(),
            took: core::time::Duration::from_millis(5),
        };
        let Some((env, repository, digest, until)) = crate::ecr::read_layer_url(path, query) else {
            return refused(404, "NoSuchKey");
        };
        if self.kernel.now > until {
            return refused(403, "AccessDenied");
        }
        let env = self.environments.get(usize::from(env));
        match env.and_then(|env| env.registry.layer(&repository, &digest).ok()) {
            Some(layer) => Visit {
                status: 200,
                location: None,
                body: layer.bytes().to_vec(),
                took: core::time::Duration::from_millis(20),
            },
            None => refused(404, "NoSuchKey"),
        }
    }

    /// The target group that a request reaches.
    #[cfg(test)]
    pub(crate) fn serving_group(&mut self, host: &str, path: &str) -> Option<u16> {
        let request = Request {
            method: "GET",
            host,
            path,
            ..Request::default()
        };
        match self.server(&request)? {
            Server::Group(_, group) => Some(group),
            Server::Service(..) | Server::Balancer(..) | Server::Redirect(..) => None,
        }
    }

    fn ask(&mut self, server: &Server, path: &str) -> Answer {
        let plain = |status: u16, body: &str| Answer {
            status,
            body: body.to_owned(),
            millis: 5,
            images: None,
        };
        let now = self.kernel.now;
        let (e, serving) = match server {
            Server::Balancer(status, body) => return plain(*status, body),
            Server::Redirect(status, _) => return plain(*status, ""),
            Server::Service(e, s) => (*e, self.environments[*e as usize].serving(*s)),
            Server::Group(e, g) => {
                let env = &self.environments[*e as usize];
                let tasks = env.serving_tasks(*g);
                if let Some(machine) = env.serving_machine(now, *g).filter(|_| tasks.is_empty()) {
                    let (status, body) = machine.reply(now);
                    return plain(status, body);
                }
                (*e, tasks)
            }
        };
        if serving.is_empty() {
            return plain(503, UNAVAILABLE);
        }
        let pick = self.kernel.dice.below(Stream::Health, serving.len() as u64);
        let task = serving[usize::try_from(pick).unwrap_or(0)];
        let course = &task.course;
        let millis = self.kernel.dice.draw(Stream::Health, course.latency);
        let errs = course.errors_per_10_000;
        let unlucky = errs > 0 && self.kernel.dice.below(Stream::Health, 10_000) < u64::from(errs);
        let ready = task.answers(self.kernel.now);
        let (status, body) = match (ready, path) {
            (_, "/health/live") => (200, course.body.clone()),
            (false, _) => (503, "not ready".to_owned()),
            (true, p) if unlucky && !p.starts_with("/health/") => (500, "internal server error".to_owned()),
            (true, _) => (200, course.body.clone()),
        };
        let tells = match task.owner {
            Owner::Service { service, .. } => {
                self.environments[e as usize].services[service as usize].tells_version
            }
            Owner::Job => false,
        };
        Answer {
            status,
            body,
            millis,
            images: tells.then(|| task.images.clone()),
        }
    }
}

/// The GET request that a URL stands for.
fn split(url: &str) -> Option<Request<'_>> {
    let (rest, default) = match url.strip_prefix("http://") {
        Some(rest) => (rest, 80),
        None => (url.strip_prefix("https://")?, 443),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, default),
    };
    let path = path.split('#').next().unwrap_or(path);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (!host.is_empty()).then_some(Request {
        method: "GET",
        host,
        port,
        path: if path.is_empty() { "/" } else { path },
        query,
        headers: &[],
    })
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn urls_are_taken_apart() {
        let split = |url| split(url).map(|r| (r.host, r.port, r.path, r.query));
        assert_eq!(
            split("https://shop.example/a/b?c=d#e"),
            Some(("shop.example", 443, "/a/b", "c=d"))
        );
        assert_eq!(
            split("http://shop.example:8787"),
            Some(("shop.example", 8787, "/", ""))
        );
        assert_eq!(
            split("http://shop.example?x"),
            Some(("shop.example", 80, "/", "x"))
        );
        assert_eq!(split("ftp://shop.example/"), None);
        assert_eq!(split("http:///path"), None);
    }
}
