//! WAFv2: web ACLs, and which load balancers they protect.
//!
//! Rule groups, IP sets, logging and tags by themselves are not modelled; rules are kept and not evaluated.

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Operation, Service};
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::waf::{Named, Place, Refused, Scope, WebAcl, check};

pub(crate) static SERVICE: Service = Service {
    signing_name: "wafv2",
    target: Some("AWSWAF_20190729"),
    query: None,
    namespace: "",
    global: false,
    throttled: "ThrottlingException",
    operations: &[&[
        Operation::write("CreateWebACL", create_web_acl),
        Operation::read("GetWebACL", get_web_acl),
        Operation::read("ListWebACLs", list_web_acls),
        Operation::write("UpdateWebACL", update_web_acl),
        Operation::write("DeleteWebACL", delete_web_acl),
        Operation::write("AssociateWebACL", associate_web_acl),
        Operation::write("DisassociateWebACL", disassociate_web_acl),
        Operation::read("GetWebACLForResource", get_web_acl_for_resource),
        Operation::read("ListResourcesForWebACL", list_resources_for_web_acl),
    ]],
};

/// The region of what protects CloudFront (AWS WAFV2 API, "CreateWebACL").
const CLOUDFRONT: &str = "us-east-1";
/// The most items of a page (the same API, `PaginationLimit`).
const PAGE: usize = 100;
/// What can be protected (the same API, "ResourceType").
const RESOURCE_TYPES: [&str; 7] = [
    "APPLICATION_LOAD_BALANCER",
    "API_GATEWAY",
    "APPSYNC",
    "COGNITO_USER_POOL",
    "APP_RUNNER_SERVICE",
    "VERIFIED_ACCESS_INSTANCE",
    "AMPLIFY",
];

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let refusal = Self::client(refused.code(), refused.to_string());
        match refused {
            Refused::Invalid {
                reason,
                field,
                parameter,
            } => refusal
                .member("Reason", reason)
                .member("Field", field)
                .member("Parameter", parameter),
            _ => refusal,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    name: String,
    scope: String,
    id: String,
    #[serde(rename = "ARN")]
    arn: Option<String>,
    lock_token: String,
    next_marker: Option<String>,
    limit: Option<usize>,
    #[serde(rename = "WebACLArn")]
    web_acl_arn: String,
    resource_arn: String,
    resource_type: Option<String>,
}

impl Input {
    fn named(&self) -> Named<'_> {
        Named {
            name: &self.name,
            id: &self.id,
        }
    }
}

fn place<'a>(call: &Call<'a>, scope: &str) -> Result<Place<'a>, Refusal> {
    let (account, region) = (call.place.account.as_str(), call.place.region.as_str());
    let scope = match scope {
        "REGIONAL" => Scope::Regional,
        "CLOUDFRONT" if region == CLOUDFRONT => Scope::CloudFront,
        other => {
            let refused = Refused::invalid("The scope is not valid.", "SCOPE_VALUE", other);
            return Err(refused.into());
        }
    };
    Ok(Place {
        account,
        region,
        scope,
    })
}

/// What a web ACL is made of: all members of the input that do not name it.
fn content(call: &Call<'_>) -> Result<Value, Refusal> {
    let mut content: Value = call.input()?;
    if let Some(members) = content.as_object_mut() {
        for name in ["Name", "Scope", "Id", "LockToken", "Tags"] {
            members.remove(name);
        }
    }
    Ok(content)
}

fn summary(acl: &WebAcl) -> Document {
    map! {
        "Name": &acl.name,
        "Id": &acl.id,
        "Description": acl.content["Description"].as_str(),
        "LockToken": &acl.token,
        "ARN": &acl.arn,
    }
}

fn whole(acl: &WebAcl) -> Document {
    let mut whole = map! {
        "Name": &acl.name,
        "Id": &acl.id,
        "ARN": &acl.arn,
        "Capacity": acl.capacity,
        "ManagedByFirewallManager": false,
        "LabelNamespace": format!("awswaf:{}:webacl:{}:", acl.account, acl.name),
        "RetrofittedByFirewallManager": false,
    };
    for (name, member) in acl.content.as_object().into_iter().flatten() {
        whole.put(name, member);
    }
    if acl.content["Rules"].is_null() {
        whole.put("Rules", Document::list(Vec::<Document>::new()));
    }
    whole
}

/// A web ACL of the caller, by its ARN.
fn by_arn<'a>(call: &'a Call<'_>, arn: &str) -> Result<&'a WebAcl, Refusal> {
    if !arn.starts_with("arn:") {
        return Err(wrong_arn("WEB_ACL", arn).into());
    }
    let acl = call.world.web_acls.by_arn(arn)?;
    if acl.account != call.place.account || acl.region != call.place.region {
        return Err(Refused::Nonexistent.into());
    }
    Ok(acl)
}

fn wrong_arn(field: &'static str, arn: &str) -> Refused {
    let reason = "The ARN isn't valid. A valid ARN begins with arn: and includes other information separated by colons or \
                  slashes.";
    Refused::invalid(reason, field, arn)
}

/// Whether the caller has a load balancer; an error when the ARN is not that of one.
fn balancer(call: &Call<'_>, arn: &str) -> Result<(), Refusal> {
    if !arn.starts_with("arn:") {
        return Err(wrong_arn("RESOURCE_ARN", arn).into());
    }
    if !arn.contains(":elasticloadbalancing:") {
        let text = "the simulated cloud models web ACLs of load balancers only";
        return Err(Refusal::new(501, "UnknownOperationException", text));
    }
    if !arn.contains(":loadbalancer/app/") {
        return Err(wrong_arn("RESOURCE_ARN", arn).into());
    }
    if exists(call, arn) {
        Ok(())
    } else {
        Err(Refused::Nonexistent.into())
    }
}

fn exists(call: &Call<'_>, arn: &str) -> bool {
    call.environments()
        .flat_map(|e| &e.balancers)
        .any(|b| b.arn == arn)
}

fn create_web_acl(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (place, content) = (place(call, &input.scope)?, content(call)?);
    check(&input.name, &content)?;
    let world = &mut *call.world;
    let acl = world
        .web_acls
        .create(&mut world.kernel, place, &input.name, content)?;
    let answer = map! { "Summary": summary(acl) };
    call.changed();
    Ok(answer)
}

fn get_web_acl(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let acl = match &input.arn {
        Some(arn) => by_arn(call, arn)?,
        None => {
            let place = place(call, &input.scope)?;
            call.world.web_acls.find(place, input.named())?
        }
    };
    Ok(map! { "WebACL": whole(acl), "LockToken": &acl.token })
}

fn list_web_acls(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let place = place(call, &input.scope)?;
    let most = input.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&most) {
        let reason = "The limit must be between 1 and 100.";
        return Err(Refused::invalid(reason, "ENTITY_LIMIT", most.to_string()).into());
    }
    let all: Vec<&WebAcl> = call.world.web_acls.of(place).collect();
    let (here, next) = page(&all, input.next_marker.as_deref(), most)
        .ok_or_else(|| Refused::invalid("The marker is not valid.", "ENTITY_LIMIT", "NextMarker"))?;
    let summaries = here.iter().map(|acl| summary(acl));
    Ok(map! { "WebACLs": Document::list(summaries), "NextMarker": next })
}

fn update_web_acl(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (place, content) = (place(call, &input.scope)?, content(call)?);
    check(&input.name, &content)?;
    let world = &mut *call.world;
    let named = (place, input.named());
    let token = world
        .web_acls
        .update(&mut world.kernel, named, &input.lock_token, content)?;
    let answer = map! { "NextLockToken": token };
    call.changed();
    Ok(answer)
}

fn delete_web_acl(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = (place(call, &input.scope)?, input.named());
    let balancers = call.environments().flat_map(|e| &e.balancers);
    let there: Vec<String> = balancers.map(|b| b.arn.clone()).collect();
    let exists = |arn: &str| there.iter().any(|known| known == arn);
    let now = call.now();
    call.world
        .web_acls
        .delete(now, named, &input.lock_token, exists)?;
    call.changed();
    Ok(Document::map())
}

fn associate_web_acl(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    balancer(call, &input.resource_arn)?;
    by_arn(call, &input.web_acl_arn)?;
    let world = &mut *call.world;
    let acls = &mut world.web_acls;
    if acls.associate(&mut world.kernel, &input.web_acl_arn, &input.resource_arn)? {
        call.changed();
    }
    Ok(Document::map())
}

fn disassociate_web_acl(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    balancer(call, &input.resource_arn)?;
    let world = &mut *call.world;
    if world
        .web_acls
        .disassociate(&mut world.kernel, &input.resource_arn)
    {
        call.changed();
    }
    Ok(Document::map())
}

fn get_web_acl_for_resource(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    balancer(call, &input.resource_arn)?;
    let acl = call.world.web_acls.of_resource(&input.resource_arn);
    Ok(map! { "WebACL": acl.map(whole) })
}

fn list_resources_for_web_acl(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let acl = by_arn(call, &input.web_acl_arn)?;
    let kind = input.resource_type.as_deref().unwrap_or(RESOURCE_TYPES[0]);
    if !RESOURCE_TYPES.contains(&kind) {
        return Err(Refused::invalid("The resource type is not valid.", "RESOURCE_TYPE", kind).into());
    }
    let resources = call.world.web_acls.resources(&acl.arn);
    // Nothing but load balancers is protected here.
    let resources = resources.filter(|arn| kind == RESOURCE_TYPES[0] && exists(call, arn));
    Ok(map! { "ResourceArns": Document::list(resources) })
}
