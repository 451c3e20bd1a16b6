//! Networks: subnets with their routes, gateways, endpoints, security groups.

use serde::{Deserialize, Serialize};

use crate::readiness::known::Known;

/// A subnet (Amazon EC2 API, "DescribeSubnets").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its VPC's id.
    pub vpc: String,
    /// Its Availability Zone.
    pub zone: String,
    /// The routes of its route table; the VPC's main one where none is associated (Amazon VPC User Guide, "Configure route
    /// tables").
    pub routes: Known<Vec<Route>>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads to: a CIDR block or the id of a prefix list.
    pub destination: String,
    /// By what.
    pub by: Hop,
    /// Whether what it leads to is there; otherwise it is a black hole.
    pub active: bool,
}

/// What a route leads by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// Within the VPC.
    Local,
    /// An internet gateway: addresses of the internet reach what has a public address.
    InternetGateway(String),
    /// A NAT gateway, or an egress-only internet gateway: only ways out.
    Nat(String),
    /// A VPC endpoint.
    Endpoint(String),
    /// Something else, such as a transit gateway.
    Other(String),
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Whether it is the one that every region of an account comes with.
    pub is_default: bool,
    /// Its endpoints (Amazon EC2 API, "DescribeVpcEndpoints").
    pub endpoints: Known<Vec<Endpoint>>,
    /// Its NAT gateways (Amazon EC2 API, "DescribeNatGateways").
    pub nats: Known<Vec<Nat>>,
}

/// A VPC endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// The service without its prefix, such as `ecr.api` or `s3`.
    pub service: String,
    /// Whether it is a gateway; otherwise an interface.
    pub gateway: bool,
    /// Whether it is `available`.
    pub available: bool,
    /// Whether the service's own name leads to it within the VPC. Always for a gateway.
    pub private_dns: bool,
    /// The subnets that it is in.
    pub subnets: Vec<String>,
}

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nat {
    /// Its id.
    pub id: String,
    /// Its Availability Zone, where that is known.
    pub zone: Option<String>,
    /// Whether it is `available`.
    pub available: bool,
}

/// A security group (Amazon EC2 API, "DescribeSecurityGroups").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its name. `default` is the one that every VPC comes with.
    pub name: String,
    /// Its VPC's id.
    pub vpc: String,
    /// What it lets in.
    pub ingress: Vec<Ingress>,
}

/// What a security group lets in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ingress {
    /// `tcp`, `udp`, `icmp`, or `-1` for everything.
    pub protocol: String,
    /// The first port.
    pub from: u16,
    /// The last port.
    pub to: u16,
    /// From where.
    pub source: Source,
}

impl Ingress {
    /// One port of TCP.
    #[must_use]
    pub fn tcp(port: u16, source: Source) -> Self {
        Self {
            protocol: "tcp".to_owned(),
            from: port,
            to: port,
            source,
        }
    }
}

/// Where something may come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Addresses.
    Cidr(String),
    /// Whatever is in a security group.
    Group(String),
    /// The addresses of a prefix list, such as CloudFront's.
    PrefixList(String),
}

impl Source {
    /// Whether it is the whole internet.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        matches!(self, Self::Cidr(block) if block == "0.0.0.0/0" || block == "::/0")
    }
}
