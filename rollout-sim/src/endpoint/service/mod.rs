//! The services and their operations: one table, from which routing and documentation are made.
//!
//! # Another service
//! A file of its own with a `static SERVICE`, listed in [`SERVICES`]; one with many operations is a directory whose files
//! each hold a `const OPERATIONS: &[Operation]`. An operation is a function: it reads its input by `call.input::<T>()`, where
//! `T` names the members as the service does (`#[serde(rename_all = "PascalCase", default)]`), asks or changes the world,
//! says [`Call::changed`] when it did, and answers with `map! { "Name": value, ... }`. It never looks at the protocol: moments
//! are `Timestamp` and `Moment`, lists are `Document::list`, or `Document::items("ResourceRecord", ..)` where XML names the
//! items otherwise than `member`. Lists in pages use [`page`](super::call::page).

pub(crate) mod acm;
pub(crate) mod cloudwatch;
pub(crate) mod ecr;
pub(crate) mod ecs;
pub(crate) mod elbv2;
pub(crate) mod logs;
pub(crate) mod route53;
pub(crate) mod secretsmanager;
pub(crate) mod sqs;
pub(crate) mod ssm;
pub(crate) mod sts;
pub(crate) mod wafv2;

use super::call::Call;
use super::document::Document;
use super::refusal::Refusal;

/// What an operation answers.
pub(crate) type Answer = Result<Document, Refusal>;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Whether it may change anything.
    pub(crate) mutates: bool,
    /// Method and path, where they name the operation (restXml).
    pub(crate) route: Option<(&'static str, &'static str)>,
    /// The status of success.
    pub(crate) status: u16,
    pub(crate) run: fn(&mut Call<'_>) -> Answer,
}

impl Operation {
    /// One that only looks.
    pub(crate) const fn read(name: &'static str, run: fn(&mut Call<'_>) -> Answer) -> Self {
        Self {
            name,
            mutates: false,
            route: None,
            status: 200,
            run,
        }
    }

    /// One that may change something.
    pub(crate) const fn write(name: &'static str, run: fn(&mut Call<'_>) -> Answer) -> Self {
        let mut operation = Self::read(name, run);
        operation.mutates = true;
        operation
    }

    /// Where it is in restXml, such as `("GET", "/2013-04-01/change/{Id}")`. Labels and the query string's fields are
    /// members of the input by their names there; so are the members of the body's root element.
    pub(crate) const fn at(mut self, method: &'static str, path: &'static str) -> Self {
        self.route = Some((method, path));
        self
    }

    /// Another status of success.
    pub(crate) const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// One service.
#[derive(Debug)]
pub(crate) struct Service {
    /// The name in the credential scope.
    pub(crate) signing_name: &'static str,
    /// The part of `X-Amz-Target` before the point; also what the CBOR protocol calls the service.
    pub(crate) target: Option<&'static str>,
    /// The version in a form of the query protocol.
    pub(crate) query: Option<&'static str>,
    /// The namespace of its XML.
    pub(crate) namespace: &'static str,
    /// Whether its resources belong to no region.
    pub(crate) global: bool,
    /// The code with which it throttles.
    pub(crate) throttled: &'static str,
    /// In parts, so that each file has its own.
    pub(crate) operations: &'static [&'static [Operation]],
}

impl Service {
    pub(crate) fn operations(&self) -> impl Iterator<Item = &'static Operation> + use<> {
        self.operations.iter().copied().flatten()
    }

    pub(crate) fn operation(&self, name: &str) -> Option<&'static Operation> {
        self.operations().find(|o| o.name == name)
    }
}

/// All of them.
#[rustfmt::skip] // one a line
pub(crate) static SERVICES: &[&Service] = &[
    &acm::SERVICE,
    &cloudwatch::SERVICE,
    &ecr::SERVICE,
    &ecs::SERVICE,
    &elbv2::SERVICE,
    &logs::SERVICE,
    &route53::SERVICE,
    &secretsmanager::SERVICE,
    &sqs::SERVICE,
    &ssm::SERVICE,
    &sts::SERVICE,
    &wafv2::SERVICE,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_is_there_once() {
        let all: Vec<_> = SERVICES
            .iter()
            .flat_map(|s| s.operations().map(|o| (s.signing_name, o.name)))
            .collect();
        let once: BTreeSet<_> = all.iter().collect();
        assert_eq!(once.len(), all.len(), "{all:?}");
        let names: BTreeSet<_> = SERVICES.iter().map(|s| s.signing_name).collect();
        assert_eq!(names.len(), SERVICES.len());
    }

    #[test]
    fn every_operation_can_be_reached() {
        for service in SERVICES {
            let by_name = service.target.is_some() || service.query.is_some();
            for operation in service.operations() {
                assert!(by_name || operation.route.is_some(), "{}", operation.name);
            }
        }
    }
}
