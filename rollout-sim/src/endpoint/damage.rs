//! Answers that are not what their caller expects.

use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};

use super::document::{Document, List};

/// How an answer is damaged on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// It ends in the middle.
    CutShort,
    /// One of its words in capitals, such as a status, is one that nobody knows yet: services add words.
    UnknownWord,
    /// One of its members is not there.
    MemberMissing,
}

/// The word that nobody knows.
const WORD: &str = "A_WORD_OF_THE_FUTURE";

impl Damage {
    /// Damages what is said, where it has something to damage; `pick` draws a number below another.
    pub(super) fn strike(self, said: &mut Document, pick: impl FnOnce(u64) -> u64) {
        let mut places = match self {
            Self::CutShort => return,
            Self::UnknownWord => Places::words(said),
            Self::MemberMissing => Places::members(said),
        };
        let Ok(count) = u64::try_from(places.0.len()) else {
            return;
        };
        if count == 0 {
            return;
        }
        let Ok(struck) = usize::try_from(pick(count)) else {
            return;
        };
        let path = places.0.swap_remove(struck);
        match self {
            Self::CutShort => {}
            Self::UnknownWord => {
                if let Some(word) = at(said, &path) {
                    *word = Document::Text(WORD.to_owned());
                }
            }
            Self::MemberMissing => {
                if let Some((last, above)) = path.split_last()
                    && let Some(Document::Map(members)) = at(said, above)
                {
                    members.remove(*last);
                }
            }
        }
    }

    /// Damages the bytes of an answer.
    pub(super) fn cut(self, answer: Response<Bytes>) -> Response<Bytes> {
        match self {
            Self::CutShort => answer.map(|body| body.slice(..body.len() / 2)),
            Self::UnknownWord | Self::MemberMissing => answer,
        }
    }
}

/// Places in a document: at each depth, which member or item.
struct Places(Vec<Vec<usize>>);

impl Places {
    /// Texts of capitals and underscores, except types: a record of another type is another record.
    fn words(of: &Document) -> Self {
        let is_word = |document: &Document| match document {
            Document::Text(text) => {
                text.len() > 2 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
            }
            _ => false,
        };
        let mut found = Self(Vec::new());
        let is_type = |name: Option<&str>| name.is_some_and(|name| name.eq_ignore_ascii_case("type"));
        found.walk(of, &mut Vec::new(), &|document, name| {
            is_word(document) && !is_type(name)
        });
        found
    }

    /// Members of maps, at any depth.
    fn members(of: &Document) -> Self {
        let mut found = Self(Vec::new());
        found.walk(of, &mut Vec::new(), &|_, name| name.is_some());
        found
    }

    fn walk(
        &mut self,
        here: &Document,
        path: &mut Vec<usize>,
        wanted: &impl Fn(&Document, Option<&str>) -> bool,
    ) {
        let below: Vec<(Option<&str>, &Document)> = match here {
            Document::Map(members) => {
                let named = members.iter();
                named.map(|(name, value)| (Some(name.as_str()), value)).collect()
            }
            Document::List(List { items, .. }) => items.iter().map(|item| (None, item)).collect(),
            _ => return,
        };
        for (index, (name, document)) in below.into_iter().enumerate() {
            path.push(index);
            if wanted(document, name) {
                self.0.push(path.clone());
            }
            self.walk(document, path, wanted);
            path.pop();
        }
    }
}

fn at<'a>(document: &'a mut Document, path: &[usize]) -> Option<&'a mut Document> {
    let Some((first, rest)) = path.split_first() else {
        return Some(document);
    };
    let below = match document {
        Document::Map(members) => members.get_mut(*first).map(|(_, value)| value),
        Document::List(List { items, .. }) => items.get_mut(*first),
        _ => None,
    };
    at(below?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::document::map;

    fn said() -> Document {
        map! { "status": "ACTIVE", "name": "shop", "type": "CNAME", "deployments": vec![
            map! { "rolloutState": "IN_PROGRESS", "desiredCount": 3 },
        ] }
    }

    fn all(damage: Damage) -> Vec<Document> {
        let mut count = 0;
        damage.strike(&mut said(), |places| {
            count = places;
            0
        });
        let struck = |place| {
            let mut said = said();
            damage.strike(&mut said, |_| place);
            said
        };
        (0..count).map(struck).collect()
    }

    #[test]
    fn each_word_may_be_unknown_and_nothing_else() {
        let all = all(Damage::UnknownWord);
        let texts: Vec<_> = all.iter().map(|said| format!("{said:?}")).collect();
        assert_eq!(all.len(), 2, "{texts:#?}");
        assert!(!texts[0].contains("\"ACTIVE\"") && texts[0].contains("\"IN_PROGRESS\""));
        assert!(texts[1].contains("\"ACTIVE\"") && !texts[1].contains("\"IN_PROGRESS\""));
        assert!(
            texts
                .iter()
                .all(|text| text.contains(WORD) && text.contains("\"shop\""))
        );
    }

    #[test]
    fn each_member_may_be_missing() {
        let mut all = all(Damage::MemberMissing);
        assert_eq!(all.len(), 6);
        assert_eq!(all[1].member("name"), None);
        let deployment = at(&mut all[5], &[3, 0]).expect("it is there");
        assert_eq!(deployment.member("desiredCount"), None);
        assert_eq!(deployment.text("rolloutState"), Some("IN_PROGRESS"));
    }

    #[test]
    fn what_has_nothing_to_damage_stays() {
        let mut empty = Document::map();
        Damage::MemberMissing.strike(&mut empty, |_| unreachable!("nothing to draw"));
        Damage::UnknownWord.strike(&mut empty, |_| unreachable!("nothing to draw"));
        assert_eq!(empty, Document::map());
    }
}
