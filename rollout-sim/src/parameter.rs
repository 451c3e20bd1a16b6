//! Parameter Store of AWS Systems Manager: parameters and their versions.
//!
//! A value never shows in `Debug`, in a refusal or in a task's reason. A stored world holds it, as it goes on with it.

use std::collections::BTreeSet;

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::secret::{Held, Place};

/// The most versions that are kept (AWS Systems Manager user guide, "Working with parameter versions").
const VERSIONS: usize = 100;
/// The most characters of an ARN, which the name is a part of, and of a value of the standard tier (AWS Systems Manager API,
/// "PutParameter").
const LONGEST_ARN: usize = 1_011;
const LONGEST_VALUE: usize = 4_096;
/// The most levels of a hierarchy (the same page).
const LEVELS: usize = 15;

/// Why a call was refused. The words are ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no parameter of this name")]
    NoParameter,
    #[error("the parameter has no such version")]
    NoVersion,
    #[error("the parameter already exists; to write over it, set Overwrite")]
    Exists,
    #[error("a parameter cannot change its type")]
    OtherKind,
    #[error("a hierarchy has 15 levels at most")]
    Levels,
    #[error("{0}")]
    Invalid(&'static str),
}

impl Refused {
    /// The code of the answer (AWS Systems Manager API, the errors of each action).
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NoParameter => "ParameterNotFound",
            Self::NoVersion => "ParameterVersionNotFound",
            Self::Exists => "ParameterAlreadyExists",
            Self::OtherKind => "HierarchyTypeMismatchException",
            Self::Levels => "HierarchyLevelLimitExceededException",
            Self::Invalid(_) => "ValidationException",
        }
    }
}

/// `Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    String,
    StringList,
    SecureString,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::SecureString => "SecureString",
        }
    }
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameter {
    account: String,
    region: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) changed: Timestamp,
    /// The number of the newest version.
    pub(crate) version: u32,
    /// The newest last.
    values: Vec<Held>,
    /// Versions and labels that are the newest one's, too: what services name was there when they were made.
    #[serde(default)]
    also: BTreeSet<String>,
}

impl Parameter {
    pub(crate) fn arn(&self) -> String {
        arn((&self.account, &self.region), &self.name)
    }

    fn is_of(&self, (account, region): Place<'_>) -> bool {
        self.account == account && self.region == region
    }

    /// The number and the value of a version; of the newest unless one is asked for. No call gives labels.
    pub(crate) fn value(&self, version: Option<&str>) -> Result<(u32, &Held), Refused> {
        let wanted = match version.filter(|version| !self.also.contains(*version)) {
            None => self.version,
            Some(version) => version.parse().map_err(|_| Refused::NoVersion)?,
        };
        let back = self.version.checked_sub(wanted).ok_or(Refused::NoVersion)?;
        let back = usize::try_from(back).map_err(|_| Refused::NoVersion)?;
        let value = self.values.iter().rev().nth(back);
        value.map(|value| (wanted, value)).ok_or(Refused::NoVersion)
    }
}

/// The slash before a path is the one behind `parameter`.
fn arn((account, region): Place<'_>, name: &str) -> String {
    let slash = if name.starts_with('/') { "" } else { "/" };
    format!("arn:aws:ssm:{region}:{account}:parameter{slash}{name}")
}

/// What is written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) value: Held,
    /// `None`: that of the parameter that is there.
    pub(crate) kind: Option<Kind>,
    pub(crate) description: Option<String>,
    pub(crate) overwrite: bool,
}

impl Written {
    /// A `SecureString` that is not there yet.
    pub(crate) fn secure(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: Held::Text(value.to_owned()),
            kind: Some(Kind::SecureString),
            description: None,
            overwrite: false,
        }
    }
}

/// All parameters of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    held: Vec<Parameter>,
    /// What is not here is taken to be there.
    #[serde(default)]
    lenient: bool,
}

impl Parameters {
    /// Those of a world that was stored before there were any: its services went on without them.
    pub(crate) fn of_before() -> Self {
        Self {
            lenient: true,
            ..Self::default()
        }
    }

    /// Whether the world does not hold what is named so, and tasks get it all the same: names of AWS's own (`/aws/…`) are such.
    pub(crate) fn is_granted(&self, reference: &Reference<'_>) -> bool {
        is_reserved(&reference.name) || (self.lenient && self.resolve(reference).is_err())
    }

    /// The parameter that is named.
    pub(crate) fn resolve(&self, reference: &Reference<'_>) -> Result<&Parameter, Refused> {
        Ok(&self.held[self.position(reference)?])
    }

    fn position(&self, reference: &Reference<'_>) -> Result<usize, Refused> {
        let first = self.index(reference.place, &reference.name);
        match &reference.or {
            Some(other) => first.or_else(|_| self.index(reference.place, other)),
            None => first,
        }
    }

    /// Makes sure that what is named is there, in the version that is meant.
    pub(crate) fn assume(&mut self, now: Timestamp, reference: &Reference<'_>, value: &str) {
        if self.position(reference).is_err() {
            // A name that cannot be is left to fail as it would.
            let _ = self.put(now, reference.place, Written::secure(&reference.name, value));
        }
        let Ok(index) = self.position(reference) else {
            return;
        };
        let held = &mut self.held[index];
        let lacks = |version: &&str| held.value(Some(version)).is_err();
        if let Some(version) = reference.version.filter(lacks) {
            held.also.insert(version.to_owned());
        }
    }

    /// The parameters of an account and region, in the order in which they were made.
    pub(crate) fn of<'a>(&'a self, place: Place<'a>) -> impl Iterator<Item = &'a Parameter> {
        self.held.iter().filter(move |p| p.is_of(place))
    }

    fn index(&self, place: Place<'_>, name: &str) -> Result<usize, Refused> {
        let mut all = self.held.iter();
        let found = all.position(|p| p.is_of(place) && p.name == name);
        found.ok_or(Refused::NoParameter)
    }

    #[cfg(test)]
    pub(crate) fn find(&self, place: Place<'_>, name: &str) -> Result<&Parameter, Refused> {
        Ok(&self.held[self.index(place, name)?])
    }

    /// Makes a parameter, or writes another version of one that is there.
    pub(crate) fn put(
        &mut self,
        now: Timestamp,
        place: Place<'_>,
        new: Written,
    ) -> Result<&Parameter, Refused> {
        check_name(place, &new.name)?;
        match &new.value {
            Held::Text(text) if (1..=LONGEST_VALUE).contains(&text.len()) => {}
            Held::Text(_) | Held::Binary(_) => {
                return Err(Refused::Invalid("a value has 1 to 4096 characters"));
            }
        }
        let Ok(index) = self.index(place, &new.name) else {
            let kind = new.kind.ok_or(Refused::Invalid("a new parameter needs a Type"))?;
            let (account, region) = place;
            self.held.push(Parameter {
                account: account.to_owned(),
                region: region.to_owned(),
                name: new.name,
                description: new.description,
                kind,
                changed: now,
                version: 1,
                values: vec![new.value],
                also: BTreeSet::new(),
            });
            return Ok(&self.held[self.held.len() - 1]);
        };
        let held = &mut self.held[index];
        if !new.overwrite {
            return Err(Refused::Exists);
        }
        if new.kind.is_some_and(|kind| kind != held.kind) {
            return Err(Refused::OtherKind);
        }
        if held.values.len() == VERSIONS {
            held.values.remove(0);
        }
        held.values.push(new.value);
        held.version += 1;
        held.changed = now;
        held.description = new.description.or_else(|| held.description.take());
        Ok(&self.held[index])
    }

    /// Deletes a parameter at once and for good.
    pub(crate) fn delete(&mut self, place: Place<'_>, name: &str) -> Result<(), Refused> {
        let index = self.index(place, name)?;
        self.held.remove(index);
        Ok(())
    }
}

/// Whether a parameter may have a name (AWS Systems Manager API, "PutParameter").
fn check_name(place: Place<'_>, name: &str) -> Result<(), Refused> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    if name.is_empty() || !name.bytes().all(allowed) || name.ends_with('/') {
        return Err(Refused::Invalid("a name is made of a-z, A-Z, 0-9, _, ., - and /"));
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(Refused::Invalid("a name in a hierarchy begins with a slash"));
    }
    let first = name.trim_start_matches('/').to_ascii_lowercase();
    if is_reserved(&first) {
        return Err(Refused::Invalid("a name does not begin with aws or ssm"));
    }
    if name.matches('/').count() > LEVELS {
        return Err(Refused::Levels);
    }
    if arn(place, name).len() > LONGEST_ARN {
        return Err(Refused::Invalid("an ARN has 1011 characters at most"));
    }
    Ok(())
}

/// Whether AWS has kept a name for itself.
fn is_reserved(name: &str) -> bool {
    let name = name.trim_start_matches('/').to_ascii_lowercase();
    name.starts_with("aws") || name.starts_with("ssm")
}

/// A parameter by its name or ARN, and a version behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) name: String,
    /// The other name that it may have: the ARN of `x` is that of `/x`.
    or: Option<String>,
    pub(crate) version: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// What is named in an account and region. `None` when it is an ARN of something else.
    pub(crate) fn read(named: &'a str, here: Place<'a>) -> Option<Self> {
        let is_arn = named.starts_with("arn:");
        let (place, rest) = if is_arn {
            let mut parts = named.splitn(6, ':').skip(2);
            let ("ssm", region, account) = (parts.next()?, parts.next()?, parts.next()?) else {
                return None;
            };
            ((account, region), parts.next()?.strip_prefix("parameter/")?)
        } else {
            (here, named)
        };
        let (name, version) = rest.split_once(':').map_or((rest, None), |(n, v)| (n, Some(v)));
        if name.is_empty() {
            return None;
        }
        let path = || format!("/{name}");
        let (name, or) = match (is_arn, name.contains('/')) {
            (false, _) => (name.to_owned(), None),
            (true, true) => (path(), None),
            (true, false) => (name.to_owned(), Some(path())),
        };
        Some(Self {
            place,
            name,
            or,
            version,
        })
    }

    /// As it is asked for.
    pub(crate) fn asked(&self) -> String {
        let version = self.version.map(|version| format!(":{version}"));
        format!("{}{}", self.name, version.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Place<'static> = ("111111111111", "eu-central-1");

    fn written(name: &str, value: &str) -> Written {
        Written {
            overwrite: true,
            ..Written::secure(name, value)
        }
    }

    fn put(all: &mut Parameters, new: Written) -> Result<u32, Refused> {
        let put = all.put(Timestamp::EPOCH, ME, new);
        put.map(|parameter| parameter.version)
    }

    #[test]
    fn each_write_is_a_version_and_a_hundred_are_kept() {
        let mut all = Parameters::default();
        for version in 1..=101 {
            let done = put(&mut all, written("/shop/db", &format!("v{version}")));
            assert_eq!(done, Ok(version));
        }
        let held = all.find(ME, "/shop/db").expect("it is there");
        assert_eq!(
            held.arn(),
            "arn:aws:ssm:eu-central-1:111111111111:parameter/shop/db"
        );
        let value = |version| held.value(version).map(|(_, value)| value.clone());
        assert_eq!(value(None), Ok(Held::Text("v101".to_owned())));
        assert_eq!(value(Some("101")), value(None));
        assert_eq!(value(Some("2")), Ok(Held::Text("v2".to_owned())));
        for gone in ["1", "0", "102", "live", ""] {
            assert_eq!(value(Some(gone)), Err(Refused::NoVersion), "{gone}");
        }
        assert_eq!(all.delete(ME, "/shop/db"), Ok(()));
        assert_eq!(all.delete(ME, "/shop/db"), Err(Refused::NoParameter));
        assert_eq!(put(&mut all, written("/shop/db", "x")), Ok(1));
    }

    #[test]
    fn what_is_there_is_written_over_only_where_that_is_asked_for() {
        let mut all = Parameters::default();
        let mut new = written("flag", "on");
        new.kind = None;
        assert!(
            matches!(put(&mut all, new.clone()), Err(Refused::Invalid(_))),
            "no type"
        );
        assert_eq!(put(&mut all, written("flag", "on")), Ok(1));
        let before = all.clone();
        new.overwrite = false;
        assert_eq!(put(&mut all, new.clone()), Err(Refused::Exists));
        new.overwrite = true;
        new.kind = Some(Kind::String);
        assert_eq!(put(&mut all, new.clone()), Err(Refused::OtherKind));
        assert_eq!(all, before);
        new.kind = None;
        assert_eq!(put(&mut all, new), Ok(2));
        let elsewhere = all.find(("111111111111", "eu-west-1"), "flag");
        assert_eq!(elsewhere, Err(Refused::NoParameter), "another region has its own");
    }

    #[test]
    fn names_are_as_systems_manager_takes_them() {
        let mut all = Parameters::default();
        let deep = |levels: usize| "/x".repeat(levels);
        let mut named = |name: &str| put(&mut all, written(name, "x"));
        for good in ["a", "/a", "/a/b-c_d.e", deep(15).as_str()] {
            assert_eq!(named(good), Ok(1), "{good}");
        }
        let long = format!("/{}", "x".repeat(LONGEST_ARN));
        for wrong in ["", "a b", "a/b", "/a/", "/aws/x", "SSM-x", "a:1", long.as_str()] {
            assert!(matches!(named(wrong), Err(Refused::Invalid(_))), "{wrong}");
        }
        assert_eq!(named(&deep(16)), Err(Refused::Levels));
    }

    #[test]
    fn an_arn_leads_back_to_the_parameter_that_has_it() {
        for name in ["flag", "/flag", "/shop/flag"] {
            let mut all = Parameters::default();
            put(&mut all, written(name, "x")).expect("a name");
            let arn = all.find(ME, name).expect("it is there").arn();
            let reference = Reference::read(&arn, ("999999999999", "us-east-1")).expect("it is one");
            assert_eq!(all.resolve(&reference).map(|found| found.name.as_str()), Ok(name));
        }
    }

    #[test]
    fn what_services_name_is_there_in_the_version_that_they_name() {
        let mut all = Parameters::default();
        for named in ["flag:7", "flag:live", "flag", "/aws/reference/secretsmanager/db"] {
            let reference = Reference::read(named, ME).expect("it is one");
            all.assume(Timestamp::EPOCH, &reference, "x");
            let value = all
                .resolve(&reference)
                .and_then(|held| held.value(reference.version));
            assert!(value.is_ok() || all.is_granted(&reference), "{named}");
        }
        assert_eq!(all.of(ME).count(), 1, "one parameter, and none of AWS's");
        let other = Reference::read("flag:8", ME).expect("it is one");
        assert!(
            all.resolve(&other)
                .and_then(|held| held.value(other.version))
                .is_err()
        );
        assert!(!all.is_granted(&other));
        assert!(Parameters::of_before().is_granted(&other));
    }

    #[test]
    fn a_reference_is_a_name_or_an_arn() {
        let there = ("222222222222", "eu-west-1");
        let arn = "arn:aws:ssm:eu-west-1:222222222222:parameter";
        for (named, place, name, or, version) in [
            ("flag".to_owned(), ME, "flag", None, None),
            ("/shop/db:3".to_owned(), ME, "/shop/db", None, Some("3")),
            (format!("{arn}/flag"), there, "flag", Some("/flag"), None),
            (format!("{arn}/shop/db:3"), there, "/shop/db", None, Some("3")),
        ] {
            let (name, or) = (name.to_owned(), or.map(str::to_owned));
            let wanted = Reference {
                place,
                name,
                or,
                version,
            };
            assert_eq!(Reference::read(&named, ME), Some(wanted), "{named}");
        }
        for other in [
            "",
            ":1",
            "arn:aws:s3:::x",
            &format!("{arn}/"),
            "arn:aws:ssm:eu-west-1",
        ] {
            assert_eq!(Reference::read(other, ME), None, "{other}");
        }
    }
}
