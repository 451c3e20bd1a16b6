//! The storefront on a local AWS emulator: staging and production made through the AWS API, as a team would have made them
//! with its own tools, and the overlay that fits `examples/storefront/rollout.toml` to them.
//!
//! Nothing here is for a real account: [`endpoint`] wants loopback, and the credentials are made up.

pub mod account;
pub mod files;
pub mod site;

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};
use url::{Host, Url};

use account::Account;
use files::Facts;
use site::Site;

/// The region of both environments, as in `rollout.toml`.
pub const REGION: &str = "eu-central-1";
/// The accounts of staging and production, as in `rollout.toml`.
pub const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];
/// What production runs.
pub const OLD: &str = "2.3.0";
/// What staging runs.
pub const NEW: &str = "2.4.0";
/// A release whose worker runs in staging and ends by itself in production.
pub const BAD: &str = "2.5.0";

/// One service of the storefront.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name, the end of its repository's name and of its family's.
    pub name: &'static str,
    /// Its container.
    pub container: &'static str,
    /// The port that a load balancer sends to.
    pub port: Option<i32>,
}

/// The services, as `examples/storefront/ecs` has them.
pub const PARTS: [Part; 3] = [
    Part {
        name: "backend",
        container: "app",
        port: Some(8787),
    },
    Part {
        name: "frontend",
        container: "web",
        port: Some(80),
    },
    Part {
        name: "worker",
        container: "worker",
        port: None,
    },
];

/// `AWS_ENDPOINT_URL`, if the SDK would reach nothing but loopback.
///
/// # Errors
/// When there is no endpoint, or one that is not on loopback, or the SDK is told to ignore them.
pub fn endpoint(variables: impl Iterator<Item = (String, String)>) -> Result<String> {
    let mut found = None;
    for (name, value) in variables {
        if name == "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" && value.eq_ignore_ascii_case("true") {
            bail!("{name} is set: the SDK would go to AWS itself");
        }
        if !name.starts_with("AWS_ENDPOINT_URL") || value.is_empty() {
            continue;
        }
        let url = Url::parse(&value).with_context(|| format!("{name}: `{value}` is not a URL"))?;
        let local = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        ensure!(
            local,
            "{name}: `{value}` is not on this machine; a world is made on an emulator only"
        );
        if name == "AWS_ENDPOINT_URL" {
            found = Some(value.trim_end_matches('/').to_owned());
        }
    }
    found.context(
        "AWS_ENDPOINT_URL is not set: start an emulator with `eval \"$(cargo xtask emulator start)\"`",
    )
}

/// Both environments.
#[derive(Debug)]
pub struct World {
    endpoint: String,
    staging: Site,
    production: Site,
}

impl World {
    /// Signs in to both accounts, staging's first.
    ///
    /// # Errors
    /// When the emulator does not answer, or does not keep accounts apart.
    pub async fn open(endpoint: String, accounts: [&str; 2]) -> Result<Self> {
        let site = async |name: &'static str, number: &str| -> Result<Site> {
            let account = Account::open(number).await;
            let (seen, _) = account.identity().await?;
            ensure!(
                seen == number,
                "{endpoint} puts everybody into account {seen}; MiniStack keeps accounts apart"
            );
            Ok(Site { account, name })
        };
        Ok(Self {
            staging: site("staging", accounts[0]).await?,
            production: site("production", accounts[1]).await?,
            endpoint,
        })
    }

    /// Makes everything that the release finds: images, services, alarms, load balancers, the record.
    ///
    /// # Errors
    /// When it is there already, or the emulator refuses something.
    pub async fn create(&self) -> Result<Facts> {
        let (staging, production) = (&self.staging, &self.production);
        if production.exists().await? {
            bail!(
                "{} has a storefront already; stop and start the emulator for a new one",
                self.endpoint
            );
        }
        for site in [staging, production] {
            site.cluster().await?;
            for group in ["backend", "frontend", "worker", "migrate"] {
                site.log_group(group).await?;
            }
        }
        for part in PARTS {
            for release in [OLD, NEW, BAD] {
                staging.push(part, release).await?;
            }
            production.push(part, OLD).await?;
        }
        let shop = production.balancer("storefront").await?;
        let before = production.balancer("storefront-before").await?;
        let mut groups = Vec::new();
        for part in PARTS {
            staging.service(part, NEW, 1, None).await?;
            let group = production.target_group(part).await?;
            if part.name == "backend" {
                let group = group.as_deref().context("the backend has a port")?;
                production.listen(&shop, group).await?;
                production.listen(&before, group).await?;
            }
            production.service(part, OLD, 2, group.as_deref()).await?;
            groups.extend(group.map(|arn| (part.name, arn)));
        }
        for alarm in [
            "storefront-backend-5xx",
            "storefront-backend-latency-p99",
            "storefront-frontend-5xx",
            "storefront-worker-backlog",
        ] {
            production.alarm(alarm).await?;
        }
        let zone = production
            .zone(
                "storefront.example.com",
                "api.storefront.example.com",
                &before.dns,
            )
            .await?;
        let (_, caller) = production.account.identity().await?;
        for site in [staging, production] {
            for part in PARTS {
                site.settled(part).await?;
            }
        }
        Ok(Facts {
            endpoint: self.endpoint.clone(),
            accounts: [staging, production].map(|site| site.account.number.clone()),
            caller,
            groups,
            zone,
            balancer: shop.dns,
        })
    }

    /// Deploys a release to staging by hand, so that it can be proven there.
    ///
    /// # Errors
    /// When there is no such release, or the emulator refuses something.
    pub async fn stage(&self, release: &str) -> Result<()> {
        ensure!(
            [OLD, NEW, BAD].contains(&release),
            "there is no release {release}: there are {OLD}, {NEW} and {BAD}"
        );
        for part in PARTS {
            self.staging.deploy(part, release).await?;
        }
        for part in PARTS {
            self.staging.settled(part).await?;
        }
        Ok(())
    }

    /// What serves, in lines: what ECS says of running tasks and Route 53 of the record, not what a tool believes.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn show(&self) -> Result<String> {
        let mut lines = String::new();
        for site in [&self.staging, &self.production] {
            for part in PARTS {
                let releases = site.running(part).await?;
                lines.push_str(&format!("{} {} {}\n", site.name, part.name, releases.join(" ")));
            }
        }
        for (name, value) in self.production.records().await? {
            lines.push_str(&format!("production {name} {value}\n"));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<String> {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        endpoint(owned)
    }

    #[test]
    fn only_loopback_is_taken() {
        for local in [
            "http://127.0.0.1:4566",
            "http://localhost:4566/",
            "http://[::1]:4566",
        ] {
            assert!(of(&[("AWS_ENDPOINT_URL", local)]).is_ok(), "{local}");
        }
        for other in [
            "https://ecs.eu-central-1.amazonaws.com",
            "http://10.0.0.1:4566",
            "http://localhost.example.com",
        ] {
            let error = of(&[("AWS_ENDPOINT_URL", other)]).expect_err(other);
            assert!(error.to_string().contains("is not on this machine"), "{error}");
            let both = [
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
                ("AWS_ENDPOINT_URL_ECS", other),
            ];
            assert!(of(&both).is_err(), "{other}");
        }
        assert!(of(&[]).is_err());
        let ignored = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ];
        assert!(of(&ignored).is_err());
    }
}
