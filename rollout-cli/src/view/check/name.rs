//! What resources are called, for short.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::readiness::report::Report;

/// The names of a report's resources for short, each as long as it must be for no two of one check to be the same.
pub(super) struct Names<'a> {
    report: &'a Report,
    taken: BTreeMap<(String, String), BTreeSet<&'a str>>,
}

impl<'a> Names<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let mut taken: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for finding in &report.findings {
            let name = (finding.check.clone(), short(&finding.resource));
            taken.entry(name).or_default().insert(&finding.resource);
        }
        Self { report, taken }
    }

    /// A resource of a check for short; nothing for the environment as a whole.
    pub(super) fn short(&self, check: &str, resource: &str) -> String {
        if resource == self.report.environment.as_str() {
            return String::new();
        }
        let name = (check.to_owned(), short(resource));
        let one = self.taken.get(&name).is_none_or(|all| all.len() < 2);
        if one { name.1 } else { resource.to_owned() }
    }
}

/// A resource for short: what people know it by, word by word where it is more than one, such as a role and what it may do.
fn short(resource: &str) -> String {
    resource.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// What people know a resource by: the name in an ARN without what the service has added to it, an image by the beginning of its
/// digest, all else as it is.
fn word(resource: &str) -> String {
    let Some(rest) = resource.strip_prefix("arn:") else {
        return image(resource);
    };
    let parts: Vec<&str> = rest.splitn(5, ':').collect();
    let [_, service, _, _, name] = parts.as_slice() else {
        return resource.to_owned();
    };
    let path: Vec<&str> = name.split('/').collect();
    match (*service, path.as_slice()) {
        ("elasticloadbalancing", ["targetgroup", name, _] | ["loadbalancer", _, name, _])
        | ("wafv2", [.., name, _]) => (*name).to_owned(),
        ("elasticloadbalancing", ["listener" | "listener-rule", _, name, .., id]) => format!("{name}/{id}"),
        ("ecr" | "ssm", [_, name @ ..]) => name.join("/"),
        // Secrets Manager adds a dash and six characters (AWS Secrets Manager User Guide, "What's in a secret?").
        ("secretsmanager", _) => {
            let name = name.strip_prefix("secret:").unwrap_or(name);
            match name.rsplit_once('-') {
                Some((before, tail)) if tail.len() == 6 => before.to_owned(),
                Some(_) | None => name.to_owned(),
            }
        }
        (_, [kind, ..]) if kind.contains(':') => {
            name.split_once(':').map_or(*name, |(_, name)| name).to_owned()
        }
        (_, [.., before, "*"]) => format!("{before}/*"),
        (_, [.., last]) => (*last).to_owned(),
        (_, []) => resource.to_owned(),
    }
}

fn image(resource: &str) -> String {
    const SHOWN: usize = 12;
    match resource.split_once("@sha256:") {
        Some((repository, digest)) if digest.len() > SHOWN => {
            let digest: String = digest.chars().take(SHOWN).collect();
            format!("{repository}@sha256:{digest}…")
        }
        Some(_) | None => resource.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_called_by_the_name_that_people_gave_it() {
        let arn = |rest: &str| format!("arn:aws:{rest}");
        for (long, wanted) in [
            (
                "elasticloadbalancing:eu-central-1:1:loadbalancer/app/shop/50dc6c495c0c9188",
                "shop",
            ),
            (
                "elasticloadbalancing:eu-central-1:1:targetgroup/backend/73e2d6bc24d8a067",
                "backend",
            ),
            (
                "elasticloadbalancing:eu-central-1:1:listener/app/shop/50dc6c495c0c9188/f2f7dc8e",
                "shop/f2f7dc8e",
            ),
            ("ecs:eu-central-1:1:task-definition/backend:42", "backend:42"),
            ("ecs:eu-central-1:1:service/production/backend", "backend"),
            (
                "secretsmanager:eu-central-1:1:secret:production/shop-db-AbCdEf",
                "production/shop-db",
            ),
            (
                "secretsmanager:eu-central-1:1:secret:production/db",
                "production/db",
            ),
            ("ssm:eu-central-1:1:parameter/production/key", "production/key"),
            ("ecr:eu-central-1:1:repository/team/backend", "team/backend"),
            ("logs:eu-central-1:1:log-group:/ecs/backend", "/ecs/backend"),
            ("sns:eu-central-1:1:on-call", "on-call"),
            ("rds:eu-central-1:1:db:shop", "shop"),
            ("wafv2:eu-central-1:1:regional/webacl/shop/7b1d6c0e", "shop"),
            ("iam::1:role/path/deploy", "deploy"),
            ("s3:::assets", "assets"),
            ("odd", "arn:aws:odd"),
        ] {
            assert_eq!(short(&arn(long)), wanted, "{long}");
        }
        let image = format!("1.dkr.ecr/shop@sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(short(&image), "1.dkr.ecr/shop@sha256:0123456789ab…");
    }
}
