//! One model of data for all protocols: what an operation reads and answers.

use rollout_core::id::{
    ContainerName, DeploymentId, EnvironmentName, ImageDigest, ImageTag, RepositoryName,
    ServiceDeploymentArn, ServiceName, TaskArn, TaskDefinitionArn, ZoneId,
};
use rollout_core::time::Timestamp;
use serde_json::Value;

/// Data on its way in or out. Which bytes it becomes is the protocol's business: a moment is seconds in JSON, a tagged
/// number in CBOR, and a date in XML.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Document {
    /// Nothing. A member that is nothing is left out.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Blob(Vec<u8>),
    Time(Timestamp),
    List(List),
    /// In the order of insertion. A name may come twice where it was read from XML.
    Map(Vec<(String, Self)>),
}

/// A list, and what XML calls its items.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct List {
    pub(crate) item: &'static str,
    pub(crate) items: Vec<Document>,
}

/// What the query protocol calls the items of a list, unless the service's model says otherwise.
pub(crate) const MEMBER: &str = "member";

impl Document {
    /// A map without members.
    pub(crate) const fn map() -> Self {
        Self::Map(Vec::new())
    }

    /// A list.
    pub(crate) fn list<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::items(MEMBER, items)
    }

    /// A list whose items XML calls `item`.
    pub(crate) fn items<T: Into<Self>>(item: &'static str, items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(Into::into).collect();
        Self::List(List { item, items })
    }

    /// Adds a member to a map, unless it is nothing.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Self>) {
        let value = value.into();
        if let (Self::Map(members), false) = (self, value == Self::Null) {
            members.push((name.to_owned(), value));
        }
    }
}

#[cfg(test)]
impl Document {
    /// The first member of a map with this name.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The text of a member.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A map: `map! { "name": value, ... }`. Members that are nothing (`None`) are left out.
macro_rules! map {
    ($($name:literal : $value:expr),* $(,)?) => {{
        let mut map = $crate::endpoint::document::Document::map();
        $( map.put($name, $value); )*
        map
    }};
}
pub(crate) use map;

macro_rules! from {
    ($($type:ty => |$value:ident| $document:expr;)*) => {$(
        impl From<$type> for Document {
            fn from($value: $type) -> Self {
                $document
            }
        }
    )*};
}

from! {
    bool => |v| Self::Bool(v);
    f64 => |v| Self::Float(v);
    i32 => |v| Self::Int(v.into());
    i64 => |v| Self::Int(v);
    u16 => |v| Self::Int(v.into());
    u32 => |v| Self::Int(v.into());
    u64 => |v| Self::Int(i64::try_from(v).unwrap_or(i64::MAX));
    usize => |v| Self::Int(i64::try_from(v).unwrap_or(i64::MAX));
    &str => |v| Self::Text(v.to_owned());
    &String => |v| Self::Text(v.clone());
    String => |v| Self::Text(v);
    Timestamp => |v| Self::Time(v);
    Value => |v| Self::from(&v);
}

/// Names and ids are text.
macro_rules! from_id {
    ($($type:ty),* $(,)?) => {$(
        impl From<&$type> for Document {
            fn from(id: &$type) -> Self {
                Self::Text(id.as_str().to_owned())
            }
        }
    )*};
}

from_id!(
    ContainerName,
    DeploymentId,
    EnvironmentName,
    ImageDigest,
    ImageTag,
    RepositoryName,
    ServiceDeploymentArn,
    ServiceName,
    TaskArn,
    TaskDefinitionArn,
    ZoneId,
);

impl<T: Into<Self>> From<Option<T>> for Document {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Document {
    fn from(items: Vec<T>) -> Self {
        Self::list(items)
    }
}

impl From<&Value> for Document {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(v) => Self::Bool(*v),
            Value::Number(n) => n
                .as_i64()
                .map_or_else(|| Self::Float(n.as_f64().unwrap_or(f64::NAN)), Self::Int),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::list(items),
            Value::Object(members) => Self::Map(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), value.into()))
                    .collect(),
            ),
        }
    }
}
