//! The way in: load balancers, target groups, certificates, records, web ACLs, distributions.

use serde::{Deserialize, Serialize};

use crate::readiness::known::Known;
use crate::time::Timestamp;

/// A target group (Elastic Load Balancing API, "DescribeTargetGroups").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its name.
    pub name: String,
    /// The port of its targets, unless a target has its own.
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TCP` and so on.
    pub protocol: String,
    /// Its health check.
    pub health: TargetCheck,
    /// For how long a target that leaves is drained, in seconds.
    pub deregistration_seconds: Known<u32>,
    /// The load balancers that it is behind: ARNs.
    pub balancers: Vec<String>,
    /// Its targets (Elastic Load Balancing API, "DescribeTargetHealth").
    pub targets: Known<Vec<Target>>,
}

/// The health check of a target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCheck {
    /// `HTTP`, `HTTPS` or `TCP`.
    pub protocol: String,
    /// A number, or `traffic-port`: the target's own.
    pub port: String,
    /// Where it asks.
    pub path: Option<String>,
    /// Between two checks, in seconds.
    pub interval_seconds: u32,
    /// For how long it waits for an answer, in seconds.
    pub timeout_seconds: u32,
    /// Successes until a target is healthy.
    pub healthy: u32,
    /// Failures until a target is unhealthy.
    pub unhealthy: u32,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its id: an address or an instance.
    pub id: String,
    /// Its state, such as `healthy`.
    pub state: String,
}

/// A load balancer (Elastic Load Balancing API, "DescribeLoadBalancers").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balancer {
    /// Its name.
    pub name: String,
    /// The name that DNS has for it.
    pub dns_name: String,
    /// Whether the internet reaches it; otherwise only its VPC.
    pub internet_facing: bool,
    /// Its Availability Zones.
    pub zones: Vec<String>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Its attributes.
    pub attributes: Known<BalancerAttributes>,
    /// Its listeners.
    pub listeners: Known<Vec<Listener>>,
    /// The name of its web ACL; missing when it has none.
    pub web_acl: Known<String>,
}

/// What is set on a load balancer (Elastic Load Balancing API, "LoadBalancerAttribute").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerAttributes {
    /// The bucket that its access logs go to, if they do.
    pub access_logs: Option<String>,
    /// Whether it cannot be deleted.
    pub deletion_protection: bool,
}

/// A listener (Elastic Load Balancing API, "DescribeListeners").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its ARN.
    pub arn: String,
    /// Its port.
    pub port: u16,
    /// `HTTP`, `HTTPS` and so on.
    pub protocol: String,
    /// Its security policy, such as `ELBSecurityPolicy-TLS13-1-2-2021-06`.
    pub tls_policy: Option<String>,
    /// Its certificates, the default one first: ARNs.
    pub certificates: Known<Vec<String>>,
    /// What it does when no rule matches.
    pub default_action: Action,
    /// Its rules in their order, without the default one.
    pub rules: Known<Vec<Rule>>,
}

/// A rule of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Lower ones are asked first.
    pub priority: u32,
    /// Patterns of paths, with `*` and `?`; nothing is every path.
    pub paths: Vec<String>,
    /// Patterns of host names; nothing is every host.
    pub hosts: Vec<String>,
    /// Whether it has conditions of other kinds as well.
    pub more_conditions: bool,
    /// What it does.
    pub action: Action,
}

/// What a listener does with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It goes to target groups: ARN and weight.
    Forward(Vec<(String, u32)>),
    /// It is sent elsewhere.
    Redirect {
        /// The status code, 301 or 302.
        status: u16,
        /// `HTTPS`, `HTTP`, or `#{protocol}`.
        protocol: String,
        /// A number or `#{port}`.
        port: String,
    },
    /// It is answered at once, with this status code.
    Fixed(u16),
    /// The API's word for something else.
    Other(String),
}

/// A certificate (AWS Certificate Manager API, "DescribeCertificate").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// `ISSUED`, `PENDING_VALIDATION` and so on.
    pub status: String,
    /// The names that it is for, with `*.` as the first label of a wildcard.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: Option<Timestamp>,
    /// Whether ACM made it; one that was imported is renewed by nobody.
    pub issued_by_acm: bool,
    /// How each name is validated: name, method (`DNS`, `EMAIL`, `HTTP`) and whether it succeeded.
    pub validations: Vec<Validation>,
    /// How its renewal stands, if one is under way.
    pub renewal: Option<String>,
}

/// How a certificate's name is validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// The name.
    pub name: String,
    /// `DNS`, `EMAIL` or `HTTP`.
    pub method: String,
    /// Whether it is validated.
    pub succeeded: bool,
    /// The CNAME that keeps it validated: its name and value.
    pub record: Option<(String, String)>,
}

/// A hosted zone (Amazon Route 53 API, "GetHostedZone").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its name, without the dot at the end.
    pub name: String,
    /// Whether only VPCs see it.
    pub private: bool,
    /// The name servers that Route 53 gave it.
    pub name_servers: Vec<String>,
    /// The name servers that the world is sent to: what the parent says of it.
    pub delegated_to: Known<Vec<String>>,
    /// Its records.
    pub records: Known<Vec<ZoneRecord>>,
}

/// A record of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRecord {
    /// Its name, without the dot at the end.
    pub name: String,
    /// `A`, `AAAA`, `CNAME` and so on.
    pub kind: String,
    /// Its time to live in seconds; none of an alias.
    pub ttl: Option<u32>,
    /// What an alias points at.
    pub alias: Option<String>,
    /// Its values, none of an alias.
    pub values: Vec<String>,
    /// Its weight, if it is one of several.
    pub weight: Option<u32>,
}

/// A web ACL (AWS WAFV2 API, "GetWebACL").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebAcl {
    /// Its rules.
    pub rules: Vec<WafRule>,
    /// Whether what it does is logged (AWS WAFV2 API, "GetLoggingConfiguration").
    pub logging: Known<bool>,
}

/// A rule of a web ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WafRule {
    /// Its name.
    pub name: String,
    /// Whether it does what it says; otherwise it only counts: by its own action, or by an override.
    pub blocks: bool,
    /// What it looks at.
    pub statement: WafStatement,
}

/// What a rule of a web ACL looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WafStatement {
    /// A managed rule group.
    Managed {
        /// Who keeps it, such as `AWS`.
        vendor: String,
        /// Its name, such as `AWSManagedRulesCommonRuleSet`.
        group: String,
        /// Rules of it that only count.
        counted: Vec<String>,
    },
    /// More requests than this in the window.
    Rate {
        /// How many.
        limit: u64,
        /// The window in seconds.
        window_seconds: u32,
        /// What they are counted by, such as `IP`.
        key: String,
        /// The beginning of the paths that count, or every path.
        path: Option<String>,
    },
    /// Something else.
    Other,
}

/// A distribution of CloudFront (Amazon CloudFront API, "GetDistributionConfig").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Whether it serves.
    pub enabled: bool,
    /// `Deployed` or `InProgress`.
    pub status: String,
    /// The host names that it serves.
    pub aliases: Vec<String>,
    /// The ARN of its certificate; `None` is CloudFront's own.
    pub certificate: Option<String>,
    /// Its lowest TLS version, such as `TLSv1.2_2021`.
    pub minimum_tls: Option<String>,
    /// The ARN of its web ACL, if it has one.
    pub web_acl: Option<String>,
    /// Its origins.
    pub origins: Vec<Origin>,
    /// How it caches, the default behaviour last.
    pub behaviours: Vec<Behaviour>,
}

/// An origin of a distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name within the distribution.
    pub id: String,
    /// Where it is.
    pub domain: String,
    /// What is put before each path.
    pub path: String,
}

/// How a distribution treats some paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behaviour {
    /// The paths; `*` is the default.
    pub paths: String,
    /// The origin's name.
    pub origin: String,
    /// `redirect-to-https`, `https-only` or `allow-all`.
    pub viewers: String,
    /// Whether it caches at all: its policy is not the managed `CachingDisabled`, and no old setting's longest time is 0.
    pub caches: bool,
}
