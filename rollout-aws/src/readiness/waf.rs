//! Web ACLs of load balancers.

use std::collections::BTreeMap;

use aws_sdk_wafv2::types::{self as waf, PositionalConstraint};
use rollout_core::readiness::fact::edge::{Balancer, WafRule, WafStatement, WebAcl};
use rollout_core::readiness::known::{Known, Table};

use super::call::Call;
use super::map::{count, text};
use super::round::{Asked, Refused, Round, each, known};

/// Finds the web ACL of each load balancer that can have one, and gives them by name.
pub(super) async fn web_acls(round: &Round<'_>, balancers: &mut Table<Balancer>) -> Table<WebAcl> {
    let asked: Vec<String> = super::round::seen(balancers)
        .filter(|(_, balancer)| balancer.web_acl != Known::Missing)
        .map(|(arn, _)| arn.to_owned())
        .collect();
    let answers = each(asked.iter().map(|arn| of(round, arn))).await;
    let mut found: BTreeMap<String, (String, WebAcl)> = BTreeMap::new();
    for (arn, answer) in asked.iter().zip(answers) {
        let name = answer.map(|acl| {
            let name = acl.name().to_owned();
            let fact = WebAcl {
                rules: acl.rules().iter().map(rule).collect(),
                logging: Known::default(),
            };
            found.insert(name.clone(), (acl.arn().to_owned(), fact));
            name
        });
        if let Some(balancer) = balancers.seen_mut(arn) {
            balancer.web_acl = known(name);
        }
    }
    let logging = each(found.values().map(|(arn, _)| logging(round, arn))).await;
    let mut table = Table::default();
    for ((name, (_, acl)), logging) in found.into_iter().zip(logging) {
        table.seen(
            name,
            WebAcl {
                logging: known(logging),
                ..acl
            },
        );
    }
    table
}

async fn of(round: &Round<'_>, balancer: &str) -> Asked<waf::WebAcl> {
    let request = round.aws.waf.get_web_acl_for_resource().resource_arn(balancer);
    let answer = round.ask(Call::GetWebAcl, balancer, request.send()).await?;
    // One that has none is answered with nothing (AWS WAFV2 API, "GetWebACLForResource").
    answer.web_acl.ok_or(Refused::Missing)
}

async fn logging(round: &Round<'_>, acl: &str) -> Asked<bool> {
    let request = round.aws.waf.get_logging_configuration().resource_arn(acl);
    match round.ask(Call::GetLogging, acl, request.send()).await {
        Ok(answer) => Ok(answer.logging_configuration().is_some()),
        Err(Refused::Missing) => Ok(false),
        Err(refused) => Err(refused),
    }
}

fn rule(rule: &waf::Rule) -> WafRule {
    let counts = rule.action().is_some_and(|action| action.count().is_some())
        || rule
            .override_action()
            .is_some_and(|action| action.count().is_some());
    let statement = rule.statement().map_or(WafStatement::Other, statement);
    // What lets requests in blocks none; what asks a visitor to prove himself does what it says.
    let allows = rule.action().is_some_and(|action| action.allow().is_some());
    WafRule {
        name: rule.name().to_owned(),
        blocks: !counts && !allows,
        statement,
    }
}

/// A managed group that looks at some requests only is something else: it does not stand for the whole of it.
fn statement(statement: &waf::Statement) -> WafStatement {
    if let Some(managed) = statement.managed_rule_group_statement()
        && managed.scope_down_statement().is_none()
    {
        let overridden = managed.rule_action_overrides().iter();
        let counted = overridden
            .filter(|one| one.action_to_use().is_some_and(|action| action.count().is_some()))
            .map(|one| one.name().to_owned());
        let excluded = managed.excluded_rules().iter().map(|one| one.name().to_owned());
        return WafStatement::Managed {
            vendor: managed.vendor_name().to_owned(),
            group: managed.name().to_owned(),
            counted: counted.chain(excluded).collect(),
        };
    }
    let Some(rate) = statement.rate_based_statement() else {
        return WafStatement::Other;
    };
    let path = match rate.scope_down_statement().map(path) {
        None => None,
        Some(Some(path)) => Some(path),
        // It counts some requests only, and which ones cannot be said here.
        Some(None) => return WafStatement::Other,
    };
    WafStatement::Rate {
        limit: u64::try_from(rate.limit()).unwrap_or(0),
        // Five minutes unless it says otherwise (AWS WAFV2 API, "RateBasedStatement").
        window_seconds: match rate.evaluation_window_sec() {
            0 => 300,
            seconds => count(seconds),
        },
        key: text(Some(rate.aggregate_key_type().as_str())),
        path,
    }
}

/// The beginning of the paths that a statement holds for, if it is about that and nothing else.
fn path(statement: &waf::Statement) -> Option<String> {
    let bytes = statement.byte_match_statement()?;
    bytes.field_to_match()?.uri_path()?;
    if bytes.positional_constraint() != &PositionalConstraint::StartsWith {
        return None;
    }
    String::from_utf8(bytes.search_string().as_ref().to_vec()).ok()
}
