//! Systems Manager: the parameters of Parameter Store, and nothing else of it.
//!
//! Labels, policies, tags, the advanced tier and parameters that are shared with other accounts are not modelled; nothing is
//! encrypted.

use serde::{Deserialize, Deserializer};

use super::{Answer, Operation, Service};
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::parameter::{Kind, Parameter, Reference, Refused, Written};
use crate::secret::{Held, Place};

pub(crate) static SERVICE: Service = Service {
    signing_name: "ssm",
    target: Some("AmazonSSM"),
    query: None,
    namespace: "",
    global: false,
    throttled: "ThrottlingException",
    operations: &[&[
        Operation::write("PutParameter", put_parameter),
        Operation::read("GetParameter", get_parameter),
        Operation::read("GetParameters", get_parameters),
        Operation::read("DescribeParameters", describe_parameters),
        Operation::write("DeleteParameter", delete_parameter),
    ]],
};

/// The most items of a page, and the most names of one call (AWS Systems Manager API, "DescribeParameters" and
/// "GetParameters").
const PAGE: usize = 50;
const NAMES: usize = 10;
/// The most values of a filter (the same API, "ParameterStringFilter").
const VALUES: usize = 50;

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::client(refused.code(), refused.to_string())
    }
}

/// A text that no refusal quotes.
fn sealed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let wrong = |_| serde::de::Error::custom("Value is a text");
    String::deserialize(deserializer).map_err(wrong)
}

// No `Debug`: it holds a value.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Put {
    name: String,
    #[serde(deserialize_with = "sealed")]
    value: String,
    #[serde(rename = "Type")]
    kind: Option<String>,
    description: Option<String>,
    overwrite: bool,
    policies: Option<String>,
    tier: Option<String>,
    tags: Vec<serde::de::IgnoredAny>,
    allowed_pattern: Option<String>,
    data_type: Option<String>,
}

fn not_modelled(what: &str) -> Refusal {
    let text = format!("the simulated cloud does not model {what}");
    Refusal::new(501, "UnknownOperationException", text)
}

fn kind(name: &str) -> Result<Kind, Refusal> {
    let all = [Kind::String, Kind::StringList, Kind::SecureString];
    let found = all.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| Refused::Invalid("Type is String, StringList or SecureString").into())
}

fn put_parameter(call: &mut Call<'_>) -> Answer {
    let input: Put = call.input()?;
    let plain = |given: Option<&str>, usual: &str| given.is_none_or(|given| given == usual);
    if input.policies.is_some() || input.allowed_pattern.is_some() || !input.tags.is_empty() {
        return Err(not_modelled("policies, patterns and tags of parameters"));
    }
    if !plain(input.tier.as_deref(), "Standard") || !plain(input.data_type.as_deref(), "text") {
        return Err(not_modelled("parameters but of the standard tier, with text"));
    }
    let new = Written {
        kind: input.kind.as_deref().map(kind).transpose()?,
        name: input.name.trim().to_owned(),
        value: Held::Text(input.value),
        description: input.description,
        overwrite: input.overwrite,
    };
    let (now, place) = (call.now(), place(call));
    let put = call.world.parameters.put(now, place, new)?;
    let answer = map! { "Version": put.version, "Tier": "Standard" };
    call.changed();
    Ok(answer)
}

const fn place<'a>(call: &Call<'a>) -> Place<'a> {
    (call.place.account.as_str(), call.place.region.as_str())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Get {
    name: String,
    names: Vec<String>,
    with_decryption: bool,
}

/// A parameter with its value, which without decryption is as unreadable as AWS's.
fn read(call: &Call<'_>, named: &str, decrypted: bool) -> Result<Document, Refused> {
    let reference = Reference::read(named, place(call)).ok_or(Refused::NoParameter)?;
    // Nothing is shared with anybody.
    if reference.place != place(call) {
        return Err(Refused::NoParameter);
    }
    let held = call.world.parameters.resolve(&reference)?;
    let (version, value) = held.value(reference.version)?;
    let value = match (held.kind, value) {
        (Kind::SecureString, _) if !decrypted => "(encrypted)",
        (_, Held::Text(text)) => text,
        (_, Held::Binary(_)) => "",
    };
    Ok(map! {
        "Name": &held.name, "Type": held.kind.name(), "Value": value, "Version": version,
        "Selector": reference.version.map(|version| format!(":{version}")), "LastModifiedDate": held.changed,
        "ARN": held.arn(), "DataType": "text",
    })
}

fn get_parameter(call: &mut Call<'_>) -> Answer {
    let input: Get = call.input()?;
    let parameter = read(call, &input.name, input.with_decryption)?;
    Ok(map! { "Parameter": parameter })
}

fn get_parameters(call: &mut Call<'_>) -> Answer {
    let input: Get = call.input()?;
    if !(1..=NAMES).contains(&input.names.len()) {
        return Err(Refused::Invalid("Names are 1 to 10").into());
    }
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for name in &input.names {
        match read(call, name, input.with_decryption) {
            Ok(parameter) => found.push(parameter),
            Err(_) => invalid.push(name),
        }
    }
    Ok(map! { "Parameters": found, "InvalidParameters": Document::list(invalid) })
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    filters: Vec<serde::de::IgnoredAny>,
    parameter_filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
    shared: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    key: String,
    option: Option<String>,
    values: Vec<String>,
}

impl Filter {
    /// Whether it can be asked for.
    fn check(&self) -> Result<(), Refusal> {
        let options: &[&str] = match self.key.as_str() {
            "Name" => &["Equals", "BeginsWith", "Contains"],
            "Type" => &["Equals", "BeginsWith"],
            "KeyId" | "Path" | "Tier" | "DataType" => {
                return Err(not_modelled("filters of parameters but by Name and Type"));
            }
            key if key.starts_with("tag:") => return Err(not_modelled("tags of parameters")),
            _ => {
                return Err(Refusal::client(
                    "InvalidFilterKey",
                    "the key is none of DescribeParameters",
                ));
            }
        };
        if !options.contains(&self.option()) {
            let text = "the option is Equals, BeginsWith, or of a name Contains";
            return Err(Refusal::client("InvalidFilterOption", text));
        }
        if !(1..=VALUES).contains(&self.values.len()) {
            return Err(Refused::Invalid("a filter has 1 to 50 values").into());
        }
        Ok(())
    }

    fn option(&self) -> &str {
        self.option.as_deref().unwrap_or("Equals")
    }

    fn fits(&self, parameter: &Parameter) -> bool {
        let text = if self.key == "Name" {
            &parameter.name
        } else {
            parameter.kind.name()
        };
        self.values.iter().any(|wanted| match self.option() {
            "BeginsWith" => text.starts_with(wanted.as_str()),
            "Contains" => text.contains(wanted.as_str()),
            _ => text == wanted,
        })
    }
}

fn describe_parameters(call: &mut Call<'_>) -> Answer {
    let input: Describe = call.input()?;
    let most = input.max_results.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&most) {
        return Err(Refused::Invalid("MaxResults is 1 to 50").into());
    }
    if !input.filters.is_empty() {
        return Err(not_modelled("the older Filters of DescribeParameters"));
    }
    for filter in &input.parameter_filters {
        filter.check()?;
    }
    // Nothing is shared with anybody.
    let all = call.world.parameters.of(place(call)).filter(|_| !input.shared);
    let found: Vec<&Parameter> = all
        .filter(|parameter| {
            input
                .parameter_filters
                .iter()
                .all(|filter| filter.fits(parameter))
        })
        .collect();
    let (here, next) = page(&found, input.next_token.as_deref(), most)
        .ok_or_else(|| Refusal::client("InvalidNextToken", "the token is not valid"))?;
    let entries = here.iter().map(|parameter| {
        map! {
            "Name": &parameter.name, "ARN": parameter.arn(), "Type": parameter.kind.name(),
            "Description": parameter.description.as_ref(), "LastModifiedDate": parameter.changed,
            "Version": parameter.version, "Tier": "Standard", "DataType": "text",
        }
    });
    Ok(map! { "Parameters": Document::list(entries), "NextToken": next })
}

fn delete_parameter(call: &mut Call<'_>) -> Answer {
    let input: Get = call.input()?;
    let place = place(call);
    call.world.parameters.delete(place, &input.name)?;
    call.changed();
    Ok(Document::map())
}
