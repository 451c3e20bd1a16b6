//! What a lifecycle policy of a repository comes to do with an image.
//!
//! Rules are applied in the order of their priority. An image that one rule's tags fit is out of the reach of every rule after it,
//! whether the first one deletes it or not (Amazon ECR User Guide, "Automate the cleanup of images by using lifecycle policies in
//! Amazon ECR"): so that the first rule that fits decides.

use crate::readiness::fact::image::{Expiry, LifecycleRule, ListedImage};
use crate::readiness::risk::matches;

/// What becomes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// No rule is about it.
    Kept,
    /// It is deleted so many days after it was pushed.
    Ages {
        /// How many.
        days: u32,
    },
    /// It is deleted once so many newer images are there that a rule fits as well.
    Counted {
        /// How many images the rule keeps.
        kept: u32,
        /// How many of those are newer now.
        newer: u32,
    },
    /// A rule is about it that is not understood: the policy's word.
    Unclear(String),
}

/// What becomes of an image among those of its repository.
pub(super) fn fate(rules: &[LifecycleRule], images: &[ListedImage], image: &ListedImage) -> Fate {
    let mut fitting: Vec<&LifecycleRule> = rules.iter().filter(|rule| fits(rule, image)).collect();
    fitting.sort_by_key(|rule| rule.priority);
    let Some(rule) = fitting.first() else {
        return Fate::Kept;
    };
    match &rule.deletes {
        Expiry::OlderThanDays(days) => Fate::Ages { days: *days },
        Expiry::Other(text) => Fate::Unclear(text.clone()),
        Expiry::MoreThan(kept) => {
            // A rule also counts what an earlier rule has taken for itself.
            let newer = images
                .iter()
                .filter(|other| fits(rule, other) && other.pushed_at > image.pushed_at)
                .count();
            Fate::Counted {
                kept: *kept,
                newer: u32::try_from(newer).unwrap_or(u32::MAX),
            }
        }
    }
}

/// Whether a rule is about an image. Of several tags it must have all (Amazon ECR User Guide, "Lifecycle policy properties in Amazon
/// ECR").
fn fits(rule: &LifecycleRule, image: &ListedImage) -> bool {
    let is_tagged = !image.tags.is_empty();
    match rule.tag_status.as_str() {
        "untagged" => !is_tagged,
        "tagged" => {
            let has = |wanted: &String| image.tags.iter().any(|tag| is_like(wanted, tag));
            is_tagged && rule.tags.iter().all(has)
        }
        _ => true,
    }
}

/// With a star it is a pattern; without one a beginning.
fn is_like(wanted: &str, tag: &str) -> bool {
    if wanted.contains('*') {
        matches(wanted, tag)
    } else {
        tag.starts_with(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn rule(priority: u32, tag_status: &str, tags: &[&str], deletes: Expiry) -> LifecycleRule {
        LifecycleRule {
            priority,
            tag_status: tag_status.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            deletes,
        }
    }

    /// Images by their tags, the newest first.
    fn images(all: &[&[&str]]) -> Vec<ListedImage> {
        let newest = all.len() as u64;
        (0_u64..)
            .zip(all)
            .map(|(age, tags)| ListedImage {
                digest: format!("sha256:{age:064}"),
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                pushed_at: Timestamp::from_millis(newest - age),
            })
            .collect()
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let images = images(&[&["pr-7"], &["v3"], &[], &["v2", "live"], &["v1"]]);
        let rules = [
            rule(9, "any", &[], Expiry::OlderThanDays(30)),
            rule(1, "tagged", &["v"], Expiry::MoreThan(2)),
            rule(2, "untagged", &[], Expiry::OlderThanDays(1)),
        ];
        let fates: Vec<Fate> = images.iter().map(|image| fate(&rules, &images, image)).collect();
        let counted = |newer| Fate::Counted { kept: 2, newer };
        assert_eq!(
            fates,
            [
                Fate::Ages { days: 30 },
                counted(0),
                Fate::Ages { days: 1 },
                counted(1),
                counted(2),
            ]
        );
    }

    #[test]
    fn an_image_needs_all_tags_of_a_rule() {
        let images = images(&[&["v2", "live"], &["v1"]]);
        let both = [rule(1, "tagged", &["v*", "li*e"], Expiry::OlderThanDays(1))];
        assert_eq!(fate(&both, &images, &images[0]), Fate::Ages { days: 1 });
        assert_eq!(fate(&both, &images, &images[1]), Fate::Kept);
    }

    #[test]
    fn what_no_rule_fits_is_kept_and_what_none_understands_is_unclear() {
        let images = images(&[&["v1"], &[]]);
        let rules = [rule(
            1,
            "untagged",
            &[],
            Expiry::Other("sinceImagePulled".to_owned()),
        )];
        assert_eq!(fate(&rules, &images, &images[0]), Fate::Kept);
        assert_eq!(
            fate(&rules, &images, &images[1]),
            Fate::Unclear("sinceImagePulled".to_owned())
        );
        assert_eq!(fate(&[], &images, &images[1]), Fate::Kept);
    }
}
