//! Route 53: public zones, records, changes, health checks of endpoints. Zones belong to the world, not to an account.

mod check;
mod record;
mod zone;

use rollout_core::id::ZoneId;

use super::Service;
use crate::dns::Zone;
use crate::endpoint::call::Call;
use crate::endpoint::refusal::Refusal;

pub(crate) static SERVICE: Service = Service {
    signing_name: "route53",
    target: None,
    query: None,
    namespace: "https://route53.amazonaws.com/doc/2013-04-01/",
    global: true,
    throttled: "Throttling",
    operations: &[zone::OPERATIONS, record::OPERATIONS, check::OPERATIONS],
};

/// A zone's place in the world.
fn zone_of(call: &Call<'_>, id: &str) -> Result<usize, Refusal> {
    let id = id.strip_prefix("/hostedzone/").unwrap_or(id);
    let missing = || {
        Refusal::new(
            404,
            "NoSuchHostedZone",
            format!("No hosted zone found with ID: {id}"),
        )
    };
    let wanted = ZoneId::new(id).map_err(|_| missing())?;
    let mut zones = call.world.zones.iter();
    zones.position(|z: &Zone| z.id == wanted).ok_or_else(missing)
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::client("InvalidInput", text)
}

/// Something of this service that the simulation lacks.
fn not_modelled(what: &str) -> Refusal {
    let text = format!("the simulated cloud does not model {what}");
    Refusal::new(501, "UnknownOperationException", text)
}

/// How many items a page may have, from the text that a query string has.
fn most(text: Option<&str>, default: usize) -> Result<usize, Refusal> {
    match text.filter(|t| !t.is_empty()).map(str::parse::<usize>) {
        None => Ok(default),
        Some(Ok(n)) if n > 0 => Ok(n.min(default)),
        Some(Ok(_) | Err(_)) => Err(invalid("MaxItems must be a number above zero")),
    }
}
