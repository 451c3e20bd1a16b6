//! ACM certificates that are validated by DNS: issued once a zone of the world has the records that were asked for.

use rollout_core::dns::{RecordData, RecordKey, RecordType};
use rollout_core::id::DomainName;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kernel::{Happening, plus};
use crate::world::World;

/// How often ACM looks for the records. AWS says that it may take up to 30 minutes; the figure is ours.
const LOOK: u64 = 60_000;
/// For how long a request waits before it times out (AWS Certificate Manager user guide, "DNS validation").
const PATIENCE: u64 = 72 * 60 * 60 * 1_000;
/// For how long a public certificate is good: 395 days (the same guide, "Public certificate characteristics").
const LIFE: u64 = 395 * 24 * 60 * 60 * 1_000;

/// A public certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) arn: String,
    pub(crate) account: String,
    pub(crate) region: String,
    /// The first is its subject.
    pub(crate) domains: Vec<Proof>,
    pub(crate) token: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) issued: Option<Timestamp>,
    pub(crate) timed_out: bool,
}

/// A name of a certificate, and the CNAME that proves whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) domain: String,
    pub(crate) record: String,
    pub(crate) value: String,
    pub(crate) proven: bool,
}

impl Certificate {
    pub(crate) fn status(&self) -> &'static str {
        match (self.issued, self.timed_out) {
            (Some(_), _) => "ISSUED",
            (None, true) => "VALIDATION_TIMED_OUT",
            (None, false) => "PENDING_VALIDATION",
        }
    }

    pub(crate) fn ends(&self) -> Option<Timestamp> {
        self.issued.map(|at| plus(at, LIFE))
    }
}

impl World {
    /// Keeps a certificate that was asked for, and begins to look for its records.
    pub(crate) fn request_certificate(&mut self, certificate: Certificate) {
        let index = self.certificates.len() as u32;
        self.certificates.push(certificate);
        self.kernel.after(LOOK, Happening::Certificate { index });
    }

    /// Looks for the records of a certificate that is pending.
    pub(crate) fn validate_certificate(&mut self, index: u32) {
        let now = self.now();
        let Some(certificate) = self
            .certificates
            .get(index as usize)
            .filter(|c| c.issued.is_none())
        else {
            return;
        };
        let proven: Vec<bool> = certificate
            .domains
            .iter()
            .map(|p| p.proven || self.proves(now, p))
            .collect();
        let certificate = &mut self.certificates[index as usize];
        for (proof, proven) in certificate.domains.iter_mut().zip(proven) {
            proof.proven = proven;
        }
        if certificate.domains.iter().all(|p| p.proven) {
            certificate.issued = Some(now);
        } else if now >= plus(certificate.created, PATIENCE) {
            certificate.timed_out = true;
        } else {
            self.kernel.after(LOOK, Happening::Certificate { index });
        }
    }

    /// Whether every authoritative server has the record: the world is asked, not the control plane.
    fn proves(&self, now: Timestamp, proof: &Proof) -> bool {
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        let Ok(name) = DomainName::new(plain(&proof.record)) else {
            return false;
        };
        let key = RecordKey {
            name,
            record_type: RecordType::Cname,
            set_identifier: None,
        };
        let says = |data: &RecordData| match data {
            RecordData::Values { values, .. } => values.iter().any(|v| plain(v) == plain(&proof.value)),
            RecordData::Alias { .. } => false,
        };
        self.zones.iter().any(|zone| {
            let mut servers = 0..crate::dns::SERVERS;
            servers.all(|server| zone.answer(now, server, &key).is_some_and(|r| says(&r.data)))
        })
    }
}
