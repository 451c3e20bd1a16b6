//! What becomes of images: scans, lifecycle rules, deletion.

use rollout_core::id::{ImageDigest, RepositoryName};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::store::Refused;
use super::{Registry, Repository};
use crate::ecs::Environment;
use crate::kernel::{Happening, Kernel, plus};

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Something that a scan finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Its name, such as `CVE-2026-0001`.
    pub name: String,
    /// `CRITICAL`, `HIGH`, `MEDIUM`, `LOW`, `INFORMATIONAL` or `UNDEFINED` (Amazon ECR API, "ImageScanFinding").
    pub severity: String,
    /// What it is about.
    pub description: String,
}

/// A scan of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scan {
    pub(crate) started: Timestamp,
    pub(crate) ends: Timestamp,
}

/// Why a scan was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoScan {
    /// There is no such image.
    Missing,
    /// An index cannot be scanned, its images can (Amazon ECR user guide, "Scan images for OS vulnerabilities").
    Unsupported,
    /// Once in 24 hours (the same page).
    TooSoon,
}

/// Why an image was not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// There is no such image.
    Missing,
    /// An index refers to it.
    Referenced(Vec<ImageDigest>),
}

/// A rule of a lifecycle policy (Amazon ECR user guide, "Lifecycle policy properties in Amazon ECR").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    rule_priority: u32,
    selection: Selection,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    tag_status: String,
    #[serde(default)]
    tag_prefix_list: Vec<String>,
    count_type: String,
    count_number: u64,
}

/// The rules of a policy, in the order of their priorities; `None` when it is none.
fn rules(policy: &str) -> Option<Vec<Rule>> {
    let parsed: Value = serde_json::from_str(policy).ok()?;
    let mut rules: Vec<Rule> = Vec::<Rule>::deserialize(parsed.get("rules")?).ok()?;
    let known = |r: &Rule| {
        matches!(r.selection.tag_status.as_str(), "tagged" | "untagged" | "any")
            && matches!(
                r.selection.count_type.as_str(),
                "imageCountMoreThan" | "sinceImagePushed"
            )
            && r.selection.count_number > 0
    };
    rules.sort_by_key(|r| r.rule_priority);
    (!rules.is_empty() && rules.iter().all(known)).then_some(rules)
}

/// Whether a policy can be read.
pub(crate) fn is_policy(text: &str) -> bool {
    rules(text).is_some()
}

impl Registry {
    /// Says what scans find in an image from now on.
    pub(crate) fn set_findings(&mut self, digest: ImageDigest, findings: Vec<Finding>) {
        self.findings.insert(digest, findings);
    }

    pub(crate) fn findings(&self, digest: &ImageDigest) -> &[Finding] {
        self.findings.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Starts a scan that takes so many milliseconds.
    pub(crate) fn scan(
        &mut self,
        now: Timestamp,
        takes: u64,
        repository: &RepositoryName,
        digest: &ImageDigest,
    ) -> Result<(), NoScan> {
        let held = self.repositories.get_mut(repository).ok_or(NoScan::Missing)?;
        let image = held.manifests.get_mut(digest).ok_or(NoScan::Missing)?;
        if !image.refers().0.is_empty() {
            return Err(NoScan::Unsupported);
        }
        if image
            .scan
            .as_ref()
            .is_some_and(|scan| now < plus(scan.started, DAY))
        {
            return Err(NoScan::TooSoon);
        }
        image.scan = Some(Scan {
            started: now,
            ends: plus(now, takes),
        });
        Ok(())
    }

    /// Applies every repository's lifecycle policy; answers with what has gone.
    pub(crate) fn expire_by_rules(&mut self, now: Timestamp) -> Vec<(RepositoryName, ImageDigest)> {
        let mut gone = Vec::new();
        for (name, held) in &mut self.repositories {
            let expired = held.expired(now);
            for digest in expired {
                if held.delete(&digest).is_ok() {
                    gone.push((name.clone(), digest));
                }
            }
        }
        gone
    }

    /// Whether any repository has a lifecycle policy.
    pub(crate) fn has_rules(&self) -> bool {
        self.repositories.values().any(|r| r.lifecycle.is_some())
    }
}

impl Environment {
    /// The day's run of the lifecycle policies (Amazon ECR user guide, "Automate the cleanup of images by using lifecycle policies
    /// in Amazon ECR": images expire within 24 hours of meeting a rule).
    pub(crate) fn expire_images(&mut self, k: &mut Kernel) {
        for (_, digest) in self.registry.expire_by_rules(k.now) {
            k.mark_text(digest.as_str());
        }
        if self.registry.has_rules() {
            k.after(DAY, Happening::Lifecycle { env: self.index });
        }
    }

    /// Gives a repository a lifecycle policy, or takes it away.
    pub(crate) fn put_lifecycle(
        &mut self,
        k: &mut Kernel,
        repository: &RepositoryName,
        policy: Option<String>,
    ) -> Result<(), Refused> {
        let running = self.registry.has_rules();
        self.registry.repository_mut(repository)?.lifecycle = policy;
        if !running && self.registry.has_rules() {
            k.after(DAY, Happening::Lifecycle { env: self.index });
        }
        Ok(())
    }
}

impl Repository {
    /// The images that its rules expire: each image is taken by the first rule that selects it.
    fn expired(&self, now: Timestamp) -> Vec<ImageDigest> {
        let rules = self.lifecycle.as_deref().and_then(rules).unwrap_or_default();
        let mut free: Vec<(&ImageDigest, Timestamp)> = self.images().map(|(d, m)| (d, m.pushed)).collect();
        // The newest first; those pushed together in the order of their digests.
        free.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let mut expired = Vec::new();
        for rule in rules {
            let chosen: Vec<(&ImageDigest, Timestamp)> = free
                .iter()
                .copied()
                .filter(|(digest, _)| self.is_selected(&rule.selection, digest))
                .collect();
            free.retain(|image| !chosen.contains(image));
            let count = rule.selection.count_number;
            let old = chosen.into_iter().enumerate().filter(|(place, (_, pushed))| {
                match rule.selection.count_type.as_str() {
                    "imageCountMoreThan" => *place as u64 >= count,
                    _ => now >= plus(*pushed, count.saturating_mul(DAY)),
                }
            });
            expired.extend(old.map(|(_, (digest, _))| digest.clone()));
        }
        // What an index refers to goes after the index.
        expired.sort_by_key(|digest| self.image(digest).is_none_or(|m| m.refers().0.is_empty()));
        expired
    }

    fn is_selected(&self, selection: &Selection, digest: &ImageDigest) -> bool {
        // A part of an index is no image of its own.
        if !self.referring(digest).is_empty() {
            return false;
        }
        let mut tags = self.tags_of(digest).peekable();
        match selection.tag_status.as_str() {
            "untagged" => tags.peek().is_none(),
            "tagged" => tags.any(|tag| {
                let prefixes = &selection.tag_prefix_list;
                prefixes.is_empty() || prefixes.iter().any(|p| tag.as_str().starts_with(p.as_str()))
            }),
            _ => true,
        }
    }

    /// The indexes that refer to an image.
    fn referring(&self, digest: &ImageDigest) -> Vec<ImageDigest> {
        let holds = self.images().filter(|(_, m)| m.refers().0.contains(digest));
        holds.map(|(index, _)| index.clone()).collect()
    }

    /// Deletes an image with its tags. Images that an index refers to stay behind when it goes.
    pub(crate) fn delete(&mut self, digest: &ImageDigest) -> Result<(), Kept> {
        let referring = self.referring(digest);
        if !referring.is_empty() {
            return Err(Kept::Referenced(referring));
        }
        self.manifests.remove(digest).ok_or(Kept::Missing)?;
        self.tags.retain(|_, named| named != digest);
        Ok(())
    }

    /// Removes a tag; the image goes with its last one (Amazon ECR API, "BatchDeleteImage").
    pub(crate) fn untag(&mut self, tag: &str) -> Result<ImageDigest, Kept> {
        let digest = self.tagged(tag).cloned().ok_or(Kept::Missing)?;
        if self.tags_of(&digest).count() == 1 {
            self.delete(&digest)?;
        } else {
            self.tags.retain(|known, _| known.as_str() != tag);
        }
        Ok(digest)
    }
}
