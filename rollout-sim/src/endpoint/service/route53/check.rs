//! Health checks of endpoints by their names.

use http::header::LOCATION;
use serde::Deserialize;

use super::{invalid, most, not_modelled};
use crate::dns::health::HealthCheck;
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};

const ONE: &str = "/2013-04-01/healthcheck/{HealthCheckId}";
const ALL: &str = "/2013-04-01/healthcheck";
const STATUS: &str = "/2013-04-01/healthcheck/{HealthCheckId}/status";

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::write("CreateHealthCheck", create_health_check)
        .at("POST", ALL)
        .status(201),
    Operation::read("GetHealthCheck", get_health_check).at("GET", ONE),
    Operation::read("GetHealthCheckStatus", get_health_check_status).at("GET", STATUS),
    Operation::write("DeleteHealthCheck", delete_health_check).at("DELETE", ONE),
    Operation::read("ListHealthChecks", list_health_checks).at("GET", ALL),
];

/// The regions that Route 53 checks from unless told otherwise (Amazon Route 53 API, "HealthCheckConfig").
const REGIONS: [&str; 8] = [
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
];

/// The most health checks of a page (Amazon Route 53 API, "ListHealthChecks").
const PAGE: usize = 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    health_check_id: String,
    caller_reference: String,
    health_check_config: Config,
    #[serde(rename = "marker")]
    marker: Option<String>,
    #[serde(rename = "maxitems")]
    maxitems: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    r#type: String,
    fully_qualified_domain_name: Option<String>,
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    port: Option<u16>,
    resource_path: Option<String>,
    request_interval: Option<u64>,
    failure_threshold: Option<u32>,
    inverted: bool,
    disabled: bool,
}

fn create_health_check(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let config = input.health_check_config;
    let usual = match config.r#type.as_str() {
        "HTTP" => 80,
        "HTTPS" => 443,
        other => return Err(not_modelled(&format!("health checks of type {other}"))),
    };
    let host = match (config.fully_qualified_domain_name, config.ip_address) {
        (Some(host), None) => host,
        (_, Some(_)) => return Err(not_modelled("health checks of an IP address")),
        (None, None) => {
            return Err(invalid(
                "Either IPAddress or FullyQualifiedDomainName is required",
            ));
        }
    };
    let (seconds, threshold) = (
        config.request_interval.unwrap_or(30),
        config.failure_threshold.unwrap_or(3),
    );
    if !matches!(seconds, 10 | 30) || !(1..=10).contains(&threshold) {
        return Err(invalid(
            "A request interval is 10 or 30 seconds, a failure threshold 1 to 10",
        ));
    }
    let mut checks = call.world.checks.iter().flatten();
    if checks.any(|c| c.caller_reference == input.caller_reference) {
        let text = "A health check with the same caller reference exists";
        return Err(Refusal::new(409, "HealthCheckAlreadyExists", text));
    }
    let id = call.world.kernel.dice.uuid();
    let check = HealthCheck {
        id: id.clone(),
        caller_reference: input.caller_reference,
        kind: config.r#type,
        host,
        port: config.port.unwrap_or(usual),
        path: config.resource_path.unwrap_or_else(|| "/".to_owned()),
        interval: seconds * 1_000,
        threshold,
        inverted: config.inverted,
        disabled: config.disabled,
        passes: true,
        otherwise: 0,
        checked_at: call.now(),
        status: "Success: health checks have not begun".to_owned(),
    };
    let made = check_out(&check);
    call.world.add_health_check(check);
    call.changed();
    let location = format!("https://route53.amazonaws.com/2013-04-01/healthcheck/{id}");
    call.headers.push((LOCATION, location));
    Ok(map! { "HealthCheck": made })
}

fn check_out(check: &HealthCheck) -> Document {
    map! {
        "Id": &check.id,
        "CallerReference": &check.caller_reference,
        "HealthCheckConfig": map! {
            "Port": check.port,
            "Type": &check.kind,
            "ResourcePath": &check.path,
            "FullyQualifiedDomainName": &check.host,
            "RequestInterval": check.interval / 1_000,
            "FailureThreshold": check.threshold,
            "MeasureLatency": false,
            "Inverted": check.inverted,
            "Disabled": check.disabled,
        },
        "HealthCheckVersion": 1,
    }
}

fn find(call: &Call<'_>, id: &str) -> Result<usize, Refusal> {
    let mut all = call.world.checks.iter();
    let found = all.position(|c| c.as_ref().is_some_and(|c| c.id == id));
    found.ok_or_else(|| {
        let text = format!("A health check with id {id} does not exist.");
        Refusal::new(404, "NoSuchHealthCheck", text)
    })
}

fn get_health_check(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let place = find(call, &input.health_check_id)?;
    Ok(map! { "HealthCheck": call.world.checks[place].as_ref().map(check_out) })
}

/// Every region sees the same: the simulation has one observer.
fn get_health_check_status(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let place = find(call, &input.health_check_id)?;
    let check = call.world.checks[place].as_ref();
    let seen = check.into_iter().flat_map(|check| {
        REGIONS.iter().zip(1_u32..).map(|(region, n)| {
            map! {
                "Region": *region,
                "IPAddress": format!("192.0.2.{n}"),
                "StatusReport": map! { "Status": &check.status, "CheckedTime": check.checked_at },
            }
        })
    });
    Ok(map! { "HealthCheckObservations": Document::items("HealthCheckObservation", seen) })
}

fn delete_health_check(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let place = find(call, &input.health_check_id)?;
    call.world.checks[place] = None;
    call.changed();
    Ok(Document::map())
}

fn list_health_checks(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let most = most(input.maxitems.as_deref(), PAGE)?;
    let mut all: Vec<&HealthCheck> = call.world.checks.iter().flatten().collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let from = input.marker.as_deref().filter(|m| !m.is_empty());
    let rest: Vec<&&HealthCheck> = all
        .iter()
        .filter(|c| from.is_none_or(|m| c.id.as_str() >= m))
        .collect();
    let next = rest.get(most).map(|c| c.id.as_str());
    Ok(map! {
        "HealthChecks": Document::items("HealthCheck", rest.iter().take(most).map(|c| check_out(c))),
        "Marker": from.unwrap_or(""),
        "IsTruncated": next.is_some(),
        "NextMarker": next,
        "MaxItems": most.to_string(),
    })
}
