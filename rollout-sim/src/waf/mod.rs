//! WAFv2: web ACLs with lock tokens, and the load balancers that they protect.
//!
//! Rules are kept as they were given and not evaluated: of a web ACL counts only whether it surely blocks everything
//! (`content::blocks`). What is told is up to date at once; what requests meet follows a little later.

mod content;
#[cfg(test)]
mod tests;

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

pub(crate) use content::{Block, check};

/// How long a change takes to be everywhere: "from a few seconds to a number of minutes" (AWS WAFV2 API, "AssociateWebACL"); the
/// figures are ours. A new web ACL can be unavailable for as long.
const SPREAD: Span = Span::secs(2, 90);
/// The most web ACLs of an account and region, and load balancers of a web ACL (AWS WAF developer guide, "AWS WAF quotas").
const MOST: usize = 100;
/// The most capacity units of a web ACL (the same page).
const CAPACITY: u64 = 5_000;

/// Why a call was refused. `Display` is the message: AWS's, as public reports quote it; where none was found the words are ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("AWS WAF couldn’t perform the operation because your resource doesn’t exist.")]
    Nonexistent,
    #[error(
        "AWS WAF couldn’t save your changes because someone changed the resource after you started to edit it. Reapply your \
         changes."
    )]
    Stale,
    #[error(
        "AWS WAF couldn’t perform the operation because some resource in your request is a duplicate of an existing one."
    )]
    Duplicate,
    #[error(
        "AWS WAF couldn’t perform the operation because your resource is being used by another resource or it’s associated \
         with another resource."
    )]
    Associated,
    #[error("AWS WAF couldn’t retrieve the resource that you requested. Retry your request.")]
    Unavailable,
    #[error("AWS WAF couldn’t perform the operation because you exceeded your resource limit.")]
    Limit,
    #[error("Error reason: {reason}, field: {field}, parameter: {parameter}")]
    Invalid {
        reason: &'static str,
        /// One of "ParameterExceptionField".
        field: &'static str,
        parameter: String,
    },
}

impl Refused {
    /// The code of the answer (AWS WAFV2 API, the errors of each action).
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Nonexistent => "WAFNonexistentItemException",
            Self::Stale => "WAFOptimisticLockException",
            Self::Duplicate => "WAFDuplicateItemException",
            Self::Associated => "WAFAssociatedItemException",
            Self::Unavailable => "WAFUnavailableEntityException",
            Self::Limit => "WAFLimitsExceededException",
            Self::Invalid { .. } => "WAFInvalidParameterException",
        }
    }

    pub(crate) fn invalid(reason: &'static str, field: &'static str, parameter: impl Into<String>) -> Self {
        Self::Invalid {
            reason,
            field,
            parameter: parameter.into(),
        }
    }
}

/// What a web ACL can protect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    Regional,
    /// Known in `us-east-1` only.
    CloudFront,
}

/// Whose web ACLs: account, region and scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) scope: Scope,
}

/// A web ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WebAcl {
    pub(crate) arn: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) scope: Scope,
    pub(crate) name: String,
    pub(crate) id: String,
    /// A change must name it, and makes another.
    pub(crate) token: String,
    /// Everything that `UpdateWebACL` replaces, as it was given.
    pub(crate) content: Value,
    pub(crate) capacity: u64,
    /// From then on it can be associated.
    available: Timestamp,
    blocks: Late<Option<Block>>,
}

/// Something that takes a while to be so everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Late<T> {
    said: T,
    before: T,
    since: Timestamp,
}

impl<T: Clone> Late<T> {
    fn at_once(now: Timestamp, said: T) -> Self {
        Self {
            before: said.clone(),
            said,
            since: now,
        }
    }

    /// Says something else. What is in force now stays so until then.
    fn say(&mut self, k: &mut Kernel, said: T) {
        self.before = self.at(k.now).clone();
        self.said = said;
        self.since = plus(k.now, k.draw(Stream::Ids, SPREAD));
    }

    fn at(&self, now: Timestamp) -> &T {
        if now < self.since {
            &self.before
        } else {
            &self.said
        }
    }
}

/// A load balancer and its web ACL, by ARN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Association {
    resource: String,
    acl: Late<Option<String>>,
}

/// How a call names a web ACL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
    pub(crate) id: &'a str,
}

/// All web ACLs of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WebAcls {
    acls: Vec<WebAcl>,
    associations: Vec<Association>,
}

impl WebAcls {
    /// The web ACLs of a place, in the order in which they were made.
    pub(crate) fn of<'a>(&'a self, place: Place<'a>) -> impl Iterator<Item = &'a WebAcl> {
        self.acls.iter().filter(move |acl| acl.is_of(place))
    }

    fn index(&self, place: Place<'_>, named: Named<'_>) -> Result<usize, Refused> {
        let fits = |acl: &WebAcl| acl.is_of(place) && acl.name == named.name && acl.id == named.id;
        self.acls.iter().position(fits).ok_or(Refused::Nonexistent)
    }

    /// A web ACL by name and id, which must both fit.
    pub(crate) fn find(&self, place: Place<'_>, named: Named<'_>) -> Result<&WebAcl, Refused> {
        Ok(&self.acls[self.index(place, named)?])
    }

    /// A web ACL by its ARN.
    pub(crate) fn by_arn(&self, arn: &str) -> Result<&WebAcl, Refused> {
        let found = self.acls.iter().find(|acl| acl.arn == arn);
        found.ok_or(Refused::Nonexistent)
    }

    /// Makes a web ACL of content that was [checked](check).
    pub(crate) fn create(
        &mut self,
        k: &mut Kernel,
        place: Place<'_>,
        name: &str,
        content: Value,
    ) -> Result<&WebAcl, Refused> {
        let capacity = content::capacity(&content);
        if self.of(place).any(|acl| acl.name == name) {
            return Err(Refused::Duplicate);
        }
        if capacity > CAPACITY || self.of(place).count() >= MOST {
            return Err(Refused::Limit);
        }
        let id = uuid(k);
        let token = uuid(k);
        let available = plus(k.now, k.draw(Stream::Ids, SPREAD));
        self.add(k.now, place, name, (id, token), available, content);
        Ok(&self.acls[self.acls.len() - 1])
    }

    fn add(
        &mut self,
        now: Timestamp,
        place: Place<'_>,
        name: &str,
        (id, token): (String, String),
        available: Timestamp,
        content: Value,
    ) {
        let scope = match place.scope {
            Scope::Regional => "regional",
            Scope::CloudFront => "global",
        };
        self.acls.push(WebAcl {
            arn: format!(
                "arn:aws:wafv2:{}:{}:{scope}/webacl/{name}/{id}",
                place.region, place.account
            ),
            account: place.account.to_owned(),
            region: place.region.to_owned(),
            scope: place.scope,
            name: name.to_owned(),
            id,
            token,
            capacity: content::capacity(&content),
            available,
            blocks: Late::at_once(now, content::blocks(&content)),
            content,
        });
    }

    /// Replaces a web ACL's content by other that was [checked](check); the new lock token.
    pub(crate) fn update(
        &mut self,
        k: &mut Kernel,
        (place, named): (Place<'_>, Named<'_>),
        token: &str,
        content: Value,
    ) -> Result<&str, Refused> {
        let index = self.index(place, named)?;
        let acl = &mut self.acls[index];
        if acl.token != token {
            return Err(Refused::Stale);
        }
        let capacity = content::capacity(&content);
        if capacity > CAPACITY {
            return Err(Refused::Limit);
        }
        acl.token = uuid(k);
        acl.capacity = capacity;
        acl.blocks.say(k, content::blocks(&content));
        acl.content = content;
        Ok(&self.acls[index].token)
    }

    /// Deletes a web ACL that protects nothing that `exists`. What it has protected until now counts for a while, too.
    pub(crate) fn delete(
        &mut self,
        now: Timestamp,
        (place, named): (Place<'_>, Named<'_>),
        token: &str,
        exists: impl Fn(&str) -> bool,
    ) -> Result<(), Refused> {
        let index = self.index(place, named)?;
        let acl = &self.acls[index];
        if acl.token != token {
            return Err(Refused::Stale);
        }
        let arn = Some(acl.arn.as_str());
        let uses = |a: &Association| a.acl.said.as_deref() == arn || a.acl.at(now).as_deref() == arn;
        if self.associations.iter().any(|a| uses(a) && exists(&a.resource)) {
            return Err(Refused::Associated);
        }
        self.acls.remove(index);
        Ok(())
    }

    /// Lets a web ACL protect a load balancer, which has one at most. Whether that is new.
    pub(crate) fn associate(&mut self, k: &mut Kernel, acl: &str, resource: &str) -> Result<bool, Refused> {
        let held = self.by_arn(acl)?;
        if held.scope == Scope::CloudFront {
            let reason = "The scope is not valid.";
            return Err(Refused::invalid(reason, "SCOPE_VALUE", "CLOUDFRONT"));
        }
        if k.now < held.available {
            return Err(Refused::Unavailable);
        }
        if self.of_resource(resource).is_some_and(|was| was.arn == acl) {
            return Ok(false);
        }
        if self.resources(acl).count() >= MOST {
            return Err(Refused::Limit);
        }
        self.set(k, resource, Some(acl.to_owned()));
        Ok(true)
    }

    /// Lets no web ACL protect a load balancer any more. Whether one did.
    pub(crate) fn disassociate(&mut self, k: &mut Kernel, resource: &str) -> bool {
        let was = self.of_resource(resource).is_some();
        if was {
            self.set(k, resource, None);
        }
        was
    }

    fn set(&mut self, k: &mut Kernel, resource: &str, acl: Option<String>) {
        let place = self.associations.iter().position(|a| a.resource == resource);
        let place = place.unwrap_or_else(|| {
            self.associations.push(Association {
                resource: resource.to_owned(),
                acl: Late::at_once(k.now, None),
            });
            self.associations.len() - 1
        });
        self.associations[place].acl.say(k, acl);
    }

    /// The web ACL that is said to protect a load balancer.
    pub(crate) fn of_resource(&self, resource: &str) -> Option<&WebAcl> {
        let held = self.associations.iter().find(|a| a.resource == resource)?;
        self.by_arn(held.acl.said.as_deref()?).ok()
    }

    /// The name of the web ACL that is said to protect a load balancer, if one does; `None` when nobody ever said anything of it.
    pub(crate) fn said_of(&self, resource: &str) -> Option<Option<&str>> {
        let known = self.associations.iter().any(|a| a.resource == resource);
        known.then(|| self.of_resource(resource).map(|acl| acl.name.as_str()))
    }

    /// The load balancers that a web ACL is said to protect, also those that are gone since.
    pub(crate) fn resources<'a>(&'a self, acl: &'a str) -> impl Iterator<Item = &'a str> {
        let held = self.associations.iter();
        held.filter(move |a| a.acl.said.as_deref() == Some(acl))
            .map(|a| a.resource.as_str())
    }

    /// A load balancer is gone, and with it what protected it.
    pub(crate) fn forget(&mut self, resource: &str) {
        self.associations.retain(|a| a.resource != resource);
    }

    /// What every request to a load balancer is answered with now, if its web ACL surely lets none through.
    pub(crate) fn blocked(&self, now: Timestamp, resource: &str) -> Option<&Block> {
        let held = self.associations.iter().find(|a| a.resource == resource)?;
        let acl = self.by_arn(held.acl.at(now).as_deref()?).ok()?;
        acl.blocks.at(now).as_ref()
    }

    /// Puts a web ACL into a world that is being built, with the load balancers that it protects, all of it in force. Nothing of
    /// it comes from chance, so that a configuration can name it. `false` when it is there already.
    pub(crate) fn describe(&mut self, now: Timestamp, place: Place<'_>, name: &str, content: Value) -> bool {
        if self.of(place).any(|acl| acl.name == name) {
            return false;
        }
        let of = format!("{} {} {name}", place.account, place.region);
        let ids = (fixed_uuid(&of, 0), fixed_uuid(&of, 2));
        self.add(now, place, name, ids, now, content);
        true
    }

    /// Lets a web ACL that was described protect a load balancer from the beginning. `false` when there is none of this name.
    pub(crate) fn protect(&mut self, now: Timestamp, place: Place<'_>, name: &str, resource: &str) -> bool {
        let Some(acl) = self.of(place).find(|acl| acl.name == name) else {
            return false;
        };
        let acl = Late::at_once(now, Some(acl.arn.clone()));
        self.associations.push(Association {
            resource: resource.to_owned(),
            acl,
        });
        true
    }
}

impl WebAcl {
    fn is_of(&self, place: Place<'_>) -> bool {
        self.account == place.account && self.region == place.region && self.scope == place.scope
    }
}

/// Hex digits in the form of a random UUID.
fn form(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0xfff,
        low & 0xffff_ffff_ffff
    )
}

fn uuid(k: &mut Kernel) -> String {
    let mut word = || k.dice.below(Stream::Ids, u64::MAX);
    form(word(), word())
}

/// One that follows from a text (FNV-1a).
fn fixed_uuid(of: &str, salt: u64) -> String {
    let word = |salt: u64| {
        of.bytes().fold(0xcbf2_9ce4_8422_2325 ^ salt, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    form(word(salt), word(salt + 1))
}
