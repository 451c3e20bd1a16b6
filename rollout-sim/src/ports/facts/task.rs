//! Services with what they run: task definitions, images, secrets, log groups.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::id::{ImageDigest, RepositoryName};
use rollout_core::readiness::fact::image::Image;
use rollout_core::readiness::fact::task::TaskDefinition;
use rollout_core::readiness::known::Known;

use super::ask::Asking;
use crate::ecs::revision::{Reference, Revision, Source};
use crate::ecs::service::Status;
use crate::facts;

/// Services that one call describes (Amazon ECS API, "DescribeServices").
const DESCRIBED: usize = 10;

impl Asking<'_> {
    pub(super) fn services(&mut self) {
        let names: Vec<&str> = self
            .intent
            .services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        for names in names.chunks(DESCRIBED) {
            let asked = self.call("ecs:DescribeServices", "");
            for name in names {
                let service = match &asked {
                    Ok(()) => self.service(name),
                    Err(unseen) => Known::Unknown(unseen.clone()),
                };
                self.facts.services.put(*name, service);
            }
        }
        let definitions: BTreeSet<String> = self
            .facts
            .services
            .iter()
            .filter_map(|(_, service)| service.get().ok())
            .map(|service| service.task_definition.clone())
            .collect();
        for arn in definitions {
            self.definition(&arn);
        }
        self.registry();
    }

    fn service(&self, name: &str) -> Known<rollout_core::readiness::fact::task::Service> {
        let index = self.env.service_index(name);
        let index = index.filter(|s| self.env.services[usize::from(*s)].status != Status::Inactive);
        let around = self
            .around()
            .and_then(|around| facts::beside(&around.services, name));
        index.map_or(Known::Missing, |s| {
            Known::Seen(facts::service(self.env, s, around))
        })
    }

    fn definition(&mut self, arn: &str) {
        let env = self.env;
        let around = self.around();
        let definition = self.told("ecs:DescribeTaskDefinition", arn, || {
            let held: Option<&Revision> = env.revisions.iter().rev().find(|held| held.arn.as_str() == arn);
            held.map_or(Known::Missing, |held| {
                let nothing = rollout_core::readiness::known::Table::default();
                let around = around.map_or(&nothing, |around| &around.task_definitions);
                Known::Seen(facts::task_definition(held, around))
            })
        });
        self.facts.task_definitions.put(arn, definition);
    }

    /// What the task definitions name, those of the release that are known already among them.
    fn registry(&mut self) {
        let running = self
            .facts
            .task_definitions
            .iter()
            .filter_map(|(_, known)| known.get().ok());
        let released = self
            .intent
            .release
            .iter()
            .flat_map(|release| release.task_definitions.values());
        let definitions: Vec<TaskDefinition> = running.chain(released).cloned().collect();
        let containers = definitions.iter().flat_map(|definition| &definition.containers);
        let mut images: BTreeSet<String> = containers
            .clone()
            .map(|container| container.image.clone())
            .collect();
        let host = self.env.registry_host();
        let released = self
            .intent
            .release
            .iter()
            .flat_map(|release| release.images.values());
        images.extend(
            released
                .flat_map(|images| images.values())
                .map(|image| format!("{host}/{image}")),
        );
        for image in images {
            self.image(&image);
        }
        let secrets: BTreeSet<&str> = containers
            .clone()
            .flat_map(|c| &c.secrets)
            .map(|secret| secret.from.as_str())
            .collect();
        for from in secrets {
            self.secret(from);
        }
        let groups: BTreeSet<&str> = containers
            .filter_map(|container| container.log_group.as_deref())
            .collect();
        for name in groups {
            let beside = self.beside(name, |around| &around.log_groups);
            let group = self.told("logs:DescribeLogGroups", name, || beside);
            self.facts.log_groups.put(name, group);
        }
    }

    fn image(&mut self, image: &str) {
        // What lies in other registries is not asked for.
        let Source::Here(repository, named) = self.env.source(image) else {
            return;
        };
        let (registry, name) = (&self.env.registry, repository.as_str());
        if !self.facts.repositories.has(name) {
            let around = self
                .around()
                .and_then(|around| facts::beside(&around.repositories, name));
            let mut held = self.told("ecr:DescribeRepositories", name, || {
                facts::repository(registry, &repository, around).map_or(Known::Missing, Known::Seen)
            });
            if let Known::Seen(held) = &mut held {
                self.part("ecr:GetLifecyclePolicy", name, &mut held.lifecycle);
                self.part(
                    "ecr:GetRegistryScanningConfiguration",
                    name,
                    &mut held.scan_on_push,
                );
                self.part("ecr:DescribeImages", name, &mut held.images);
            }
            self.facts.repositories.put(name, held);
        }
        let digest = match named {
            Reference::Digest(digest) => digest,
            Reference::Tag(tag) => match registry.resolve(&repository, &tag) {
                Some(digest) => digest.clone(),
                None => return,
            },
        };
        let key = format!("{repository}@{digest}");
        let around = self
            .around()
            .and_then(|around| facts::beside(&around.images, &key));
        let held = self.pinned(&repository, &digest, around);
        self.facts.images.put(key, held);
    }

    /// An image by its digest.
    fn pinned(
        &mut self,
        repository: &RepositoryName,
        digest: &ImageDigest,
        around: Option<&Image>,
    ) -> Known<Image> {
        let registry = &self.env.registry;
        let key = format!("{repository}@{digest}");
        let known = self.facts.repositories.get(repository.as_str()).ok();
        let scans = known.is_some_and(|known| known.scan_on_push == Known::Seen(true));
        let held = facts::image(registry, repository, digest, (around, scans));
        let mut held = self.told("ecr:DescribeImages", &key, || {
            held.map_or(Known::Missing, Known::Seen)
        });
        if let Known::Seen(held) = &mut held {
            self.part("ecr:BatchGetImage", &key, &mut held.architectures);
            self.part("ecr:DescribeImageScanFindings", &key, &mut held.findings);
        }
        held
    }

    /// The images that a run copies from here. What a scan would have to find is planned, so that nothing planned is nothing found.
    pub(super) fn copied(&mut self) {
        let scanned = Image {
            architectures: Known::default(),
            findings: Known::Seen(BTreeMap::new()),
        };
        let release = self.intent.release.as_ref();
        for key in release.iter().flat_map(|release| release.copies.values()) {
            let parsed = key
                .split_once('@')
                .and_then(|(repository, digest)| Some((repository.parse().ok()?, digest.parse().ok()?)));
            let held = match parsed {
                Some((repository, digest)) => self.pinned(&repository, &digest, Some(&scanned)),
                None => Known::Missing,
            };
            self.facts.source_images.put(key, held);
        }
    }

    fn secret(&mut self, from: &str) {
        let manager = from.starts_with("arn:") && from.split(':').nth(2) == Some("secretsmanager");
        let call = if manager {
            "secretsmanager:DescribeSecret"
        } else {
            "ssm:DescribeParameters"
        };
        let (world, here) = (self.world, self.env.home());
        let beside = self.beside(from, |around| &around.secrets);
        let secret = self.told(call, from, || {
            facts::secret(world, here, from).map_or(beside, Known::Seen)
        });
        self.facts.secrets.put(from, secret);
    }
}
