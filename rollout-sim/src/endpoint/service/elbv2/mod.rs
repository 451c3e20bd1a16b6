//! Elastic Load Balancing, version 2: application load balancers.

mod action;
mod read;
mod target;
mod write;

use super::Service;
use crate::ecs::Environment;
use crate::elb::Refused;
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::Document;
use crate::endpoint::refusal::Refusal;
use crate::kernel::Kernel;

pub(crate) static SERVICE: Service = Service {
    signing_name: "elasticloadbalancing",
    target: None,
    query: Some("2015-12-01"),
    namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
    global: false,
    throttled: "Throttling",
    operations: &[read::OPERATIONS, target::OPERATIONS, write::OPERATIONS],
};

/// The most items of a page (Elastic Load Balancing API, `PageSize`).
const PAGE: usize = 400;

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::client(refused.code(), refused.to_string())
    }
}

/// Something of this service that the simulation lacks.
fn not_modelled(what: &str) -> Refusal {
    Refusal::new(
        501,
        "InvalidAction",
        format!("the simulated cloud does not model {what}"),
    )
}

/// The caller's first environment, in which new things are made.
fn home<'a>(call: &'a mut Call<'_>) -> Result<(&'a mut Kernel, &'a mut Environment), Refusal> {
    let first = call.place.environments.first().copied();
    let first =
        first.ok_or_else(|| not_modelled("accounts and regions that no environment of the world is in"))?;
    Ok(part(call, first))
}

/// An environment and the time, to change both.
fn part<'a>(call: &'a mut Call<'_>, env: u16) -> (&'a mut Kernel, &'a mut Environment) {
    let world = &mut *call.world;
    (&mut world.kernel, &mut world.environments[usize::from(env)])
}

/// The caller's environment that has a target group, and the group's place.
fn group_of(call: &Call<'_>, arn: &str) -> Result<(u16, u16), Refusal> {
    let found = call
        .environments()
        .find_map(|e| Some((e.index, e.group_index(arn)?)));
    found.ok_or_else(|| Refused::NoGroup.into())
}

/// The caller's environment of which something is true.
fn env_with(call: &Call<'_>, refused: Refused, holds: impl Fn(&Environment) -> bool) -> Result<u16, Refusal> {
    let found = call.environments().find(|e| holds(e)).map(|e| e.index);
    found.ok_or_else(|| refused.into())
}

/// A page of items as a member, with the marker of the next one.
fn paged(
    name: &str,
    items: &[Document],
    marker: Option<&str>,
    size: Option<u32>,
) -> Result<Document, Refusal> {
    let most = size.map_or(PAGE, |n| (n as usize).clamp(1, PAGE));
    let marker = marker.filter(|m| !m.is_empty());
    let (items, next) =
        page(items, marker, most).ok_or_else(|| Refusal::client("ValidationError", "Invalid marker"))?;
    let mut answer = Document::map();
    answer.put(name, Document::list(items.iter().cloned()));
    answer.put("NextMarker", next);
    Ok(answer)
}
