//! ACM: public certificates validated by DNS.

use serde::Deserialize;

use super::{Answer, Operation, Service};
use crate::certificate::{Certificate, Proof};
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;

pub(crate) static SERVICE: Service = Service {
    signing_name: "acm",
    target: Some("CertificateManager"),
    query: None,
    namespace: "",
    global: false,
    throttled: "ThrottlingException",
    operations: &[&[
        Operation::write("RequestCertificate", request_certificate),
        Operation::read("DescribeCertificate", describe_certificate),
        Operation::read("ListCertificates", list_certificates),
        Operation::write("DeleteCertificate", delete_certificate),
    ]],
};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    domain_name: String,
    subject_alternative_names: Vec<String>,
    validation_method: Option<String>,
    idempotency_token: Option<String>,
    certificate_arn: String,
    certificate_statuses: Vec<String>,
    next_token: Option<String>,
    max_items: Option<usize>,
}

/// The caller's certificates of this region.
fn mine<'a>(call: &'a Call<'_>) -> impl Iterator<Item = &'a Certificate> {
    let place = call.place;
    let all = call.world.certificates.iter();
    all.filter(move |c| c.account == place.account && c.region == place.region && !c.arn.is_empty())
}

fn request_certificate(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    if input.validation_method.as_deref() != Some("DNS") {
        let text = "the simulated cloud does not model validation other than by DNS";
        return Err(Refusal::new(501, "UnknownOperationException", text));
    }
    let mut names = vec![input.domain_name.clone()];
    names.extend(
        input
            .subject_alternative_names
            .into_iter()
            .filter(|name| *name != input.domain_name),
    );
    let again = mine(call).find(|c| {
        let same = c.domains.iter().map(|p| &p.domain).eq(names.iter());
        same && c.token.is_some() && c.token == input.idempotency_token
    });
    if let Some(again) = again {
        return Ok(map! { "CertificateArn": &again.arn });
    }
    let mut domains: Vec<Proof> = Vec::new();
    for domain in names {
        // A name and its wildcard are proved by one record (AWS Certificate Manager user guide, "DNS validation").
        let bare = domain.trim_start_matches("*.").to_owned();
        let held = domains.iter().find(|p| p.domain.trim_start_matches("*.") == bare);
        let (record, value) = match held {
            Some(held) => (held.record.clone(), held.value.clone()),
            None => {
                let (one, two) = (call.world.kernel.dice.hex(2), call.world.kernel.dice.hex(2));
                (format!("_{one}.{bare}."), format!("_{two}.acm-validations.aws."))
            }
        };
        domains.push(Proof {
            domain,
            record,
            value,
            proven: false,
        });
    }
    let id = call.world.kernel.dice.uuid();
    let certificate = Certificate {
        arn: call.arn("acm", &format!("certificate/{id}")),
        account: call.place.account.clone(),
        region: call.place.region.clone(),
        domains,
        token: input.idempotency_token,
        created: call.now(),
        issued: None,
        timed_out: false,
    };
    let arn = certificate.arn.clone();
    call.world.request_certificate(certificate);
    call.changed();
    Ok(map! { "CertificateArn": arn })
}

fn find<'a>(call: &'a Call<'_>, arn: &str) -> Result<&'a Certificate, Refusal> {
    mine(call).find(|c| c.arn == arn).ok_or_else(|| {
        let text = format!("Could not find certificate {arn}.");
        Refusal::client("ResourceNotFoundException", text)
    })
}

fn describe_certificate(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let certificate = find(call, &input.certificate_arn)?;
    let proofs = certificate.domains.iter().map(|proof| {
        map! {
            "DomainName": &proof.domain,
            "ValidationDomain": &proof.domain,
            "ValidationStatus": if proof.proven {
                "SUCCESS"
            } else if certificate.timed_out {
                "FAILED"
            } else {
                "PENDING_VALIDATION"
            },
            "ResourceRecord": map! { "Name": &proof.record, "Type": "CNAME", "Value": &proof.value },
            "ValidationMethod": "DNS",
        }
    });
    let subject = certificate.domains.first().map_or("", |p| p.domain.as_str());
    let by = call.environments().flat_map(|e| &e.balancers);
    let by = by
        .filter(|b| {
            b.listeners
                .iter()
                .any(|l| l.certificates.contains(&certificate.arn))
        })
        .map(|b| &b.arn);
    Ok(map! { "Certificate": map! {
        "CertificateArn": &certificate.arn,
        "DomainName": subject,
        "SubjectAlternativeNames": Document::list(certificate.domains.iter().map(|p| &p.domain)),
        "DomainValidationOptions": Document::list(proofs),
        "Subject": format!("CN={subject}"),
        "Issuer": "Amazon",
        "CreatedAt": certificate.created,
        "IssuedAt": certificate.issued,
        "Status": certificate.status(),
        "NotBefore": certificate.issued,
        "NotAfter": certificate.ends(),
        "KeyAlgorithm": "RSA-2048",
        "SignatureAlgorithm": "SHA256WITHRSA",
        "InUseBy": Document::list(by),
        "Type": "AMAZON_ISSUED",
        "RenewalEligibility": "INELIGIBLE",
    } })
}

fn list_certificates(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let wanted = |c: &&Certificate| {
        input.certificate_statuses.is_empty() || input.certificate_statuses.iter().any(|s| s == c.status())
    };
    let all: Vec<Document> = mine(call)
        .filter(wanted)
        .map(|c| {
            map! {
                "CertificateArn": &c.arn,
                "DomainName": c.domains.first().map(|p| p.domain.as_str()),
                "Status": c.status(),
                "Type": "AMAZON_ISSUED",
                "CreatedAt": c.created,
                "IssuedAt": c.issued,
            }
        })
        .collect();
    let most = input.max_items.unwrap_or(1_000).clamp(1, 1_000);
    let (here, next) = page(&all, input.next_token.as_deref(), most)
        .ok_or_else(|| Refusal::client("InvalidArgsException", "Invalid NextToken"))?;
    Ok(map! { "CertificateSummaryList": Document::list(here.iter().cloned()), "NextToken": next })
}

/// A deleted certificate keeps its place and loses its name, as what is planned for it names its place.
fn delete_certificate(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    find(call, &input.certificate_arn)?;
    let used = {
        let mut listeners = call
            .environments()
            .flat_map(|e| &e.balancers)
            .flat_map(|b| &b.listeners);
        listeners.any(|l| l.certificates.contains(&input.certificate_arn))
    };
    if used {
        let text = format!("Certificate {} is in use.", input.certificate_arn);
        return Err(Refusal::client("ResourceInUseException", text));
    }
    if let Some(held) = call
        .world
        .certificates
        .iter_mut()
        .find(|c| c.arn == input.certificate_arn)
    {
        held.arn.clear();
    }
    call.changed();
    Ok(Document::map())
}
