//! Every form on one report: a shop with a fault that blocks, one that advises, an unknown, an accepted risk and an idle one, and
//! with names that mean harm.

mod forms;

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::readiness::check::{About, Check, Scene};
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::known::{Known, Unseen, Why};
use rollout_core::readiness::report::{self, Report, Status, judge};
use rollout_core::readiness::risk::AcceptedRisk;
use rollout_core::readiness::{catalogue, example};
use rollout_core::time::Timestamp;

use super::*;
use crate::config::readiness::Readiness;

/// The checks of the report, so that it stays the same while the catalogue grows.
const CHECKS: [&str; 9] = [
    "wafv2_balancer_unprotected",
    "wafv2_common_rules_missing",
    "wafv2_logging_off",
    "budgets_budget_missing",
    "rollback_point_missing",
    "rollback_drill_stale",
    "procedure_owner_missing",
    "procedure_release_frozen",
    "procedure_approval_missing",
];
/// The name of a budget that nobody should have chosen.
const HOSTILE: &str = "<script>alert(\"1\")</script> | a & b ]]> `x`\n\u{1b}[31mred\u{7f}";

fn checks() -> Vec<Box<dyn Check>> {
    let mut all = catalogue::all();
    all.retain(|check| CHECKS.contains(&check.about().id.as_ref()));
    assert_eq!(
        all.len(),
        CHECKS.len(),
        "one of them is no longer in the catalogue"
    );
    all
}

fn about(id: &str) -> About {
    let all = catalogue::all();
    let check = all.iter().find(|check| check.about().id == id);
    check.expect("it is in the catalogue").about().clone()
}

fn risk(check: &str, scope: &str, seen: &str) -> AcceptedRisk {
    AcceptedRisk {
        check: check.to_owned(),
        scope: scope.to_owned(),
        seen: seen.to_owned(),
        reason: "the team is being formed <b>".to_owned(),
        consequence: Some("nobody is called at night".to_owned()),
        owner: "Ada".to_owned(),
        approver: "Grace".to_owned(),
        // 2027-01-01T00:00:00Z.
        until: Timestamp::from_millis(1_798_761_600_000),
    }
}

fn broken() -> (Snapshot, Intent) {
    let (mut facts, mut intent) = example::shop();
    let balancer = facts.balancers.seen_mut(example::BALANCER);
    balancer.expect("the shop has one").web_acl = Known::Missing;
    intent.cost.budget = Some(HOSTILE.to_owned());
    let denied = Unseen::new(
        Why::Denied,
        "backend",
        "ecs:ListServiceDeployments: not authorised",
    );
    facts.ways_back.put("backend", Known::Unknown(denied));
    intent.procedure.owners.remove("database");
    facts.calls = [("ecs:DescribeServices", 3), ("wafv2:GetWebACL", 1)]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
    (facts, intent)
}

fn report() -> Report {
    let (facts, intent) = broken();
    let risks = [
        risk("procedure_owner_missing", "data*", "nobody"),
        risk("wafv2_logging_off", "*", "it is off"),
    ];
    let scene = Scene {
        facts: &facts,
        intent: &intent,
    };
    judge(&checks(), &scene, &risks, facts.at)
}

fn good() -> Report {
    let (mut facts, intent) = example::shop();
    facts.at = Timestamp::from_millis(facts.at.as_millis() - 60_000);
    let scene = Scene {
        facts: &facts,
        intent: &intent,
    };
    judge(&checks(), &scene, &[], facts.at)
}

fn estimates() -> Estimates {
    let (facts, intent) = broken();
    Estimates::of(&Scene {
        facts: &facts,
        intent: &intent,
    })
}

fn shown<'a>(report: &'a Report, columns: usize) -> Shown<'a> {
    Shown {
        report,
        earlier: None,
        estimate: None,
        declared: Declared {
            uri: "deploy/rollout.toml".to_owned(),
            line: 12,
        },
        exit: Exit::Refused,
        columns,
    }
}

fn rendered(form: Form) -> String {
    let (report, good, estimates) = (report(), good(), estimates());
    let shown = Shown {
        earlier: Some(&good),
        estimate: Some(&estimates),
        ..shown(&report, 80)
    };
    render(form, &shown, Paint::plain())
}

#[test]
fn the_report_holds_one_of_each() {
    let report = report();
    assert_eq!(report.result(), report::Result::NotReady);
    let words: Vec<&str> = report
        .findings
        .iter()
        .map(|finding| finding.status.word())
        .collect();
    for word in ["fail", "unknown", "accepted", "pass", "not applicable"] {
        assert!(words.contains(&word), "{word}: {words:?}");
    }
    assert_eq!(
        (
            report.blocking().count(),
            report.undecided().count(),
            report.idle.len()
        ),
        (1, 1, 1)
    );
}

/// Where a text stands in another; both are in the failure's message.
#[track_caller]
fn place(text: &str, part: &str) -> usize {
    text.find(part)
        .unwrap_or_else(|| panic!("no {part:?} in\n{text}"))
}

#[test]
fn text_says_what_is_wrong_worst_first_and_the_result_last() {
    let text = rendered(Form::Text);
    let order = [
        "✗ WAF               1 blocking, 2 not applicable\n",
        "  ✗ high      wafv2_balancer_unprotected  storefront  no web ACL → a web ACL\n",
        "! Cost              1 advisory\n  ! medium    budgets_budget_missing\n",
        "? Rollback          1 unknown, 3 passed\n  ? critical  rollback_point_missing  backend\n",
        "ecs:ListServiceDeployments: not authorised (the caller may not\n              read it)\n",
        "~ Procedure         1 accepted, 4 passed\n",
        "accepted by Ada until 2027-01-01: the team is",
        "\n\nAccepted risks that cover nothing\n  - wafv2_logging_off  *\n    Ada, until 2027-01-01: nothing that is known",
        "\n\nChanged since 2026-11-20T09:59:00Z\n  - wafv2_balancer_unprotected  storefront\n    was pass, now fail: no web ACL",
        "\n\nCost a month           now     released\n",
        "\n\nSeen at 2026-11-20T10:00:00Z with 4 calls: ecs:DescribeServices 3,",
        "\n9 checks: 1 blocking, 1 advisory, 1 unknown, 1 accepted, 7 passed, 2 not\n",
        "\n✗ production is not ready: 1 blocking failure\n",
    ];
    let places: Vec<usize> = order.into_iter().map(|part| place(&text, part)).collect();
    assert!(places.is_sorted(), "{places:?}\n{text}");
    assert!(text.ends_with("blocking failure\n"), "{text}");
}

#[test]
fn no_line_of_text_is_wider_than_the_terminal_and_nothing_moves_its_cursor() {
    let (report, estimates) = (report(), estimates());
    let (facts, intent) = broken();
    // With every check that there is.
    let all = judge(
        &catalogue::all(),
        &Scene {
            facts: &facts,
            intent: &intent,
        },
        &[],
        facts.at,
    );
    for columns in [56, 80, 120] {
        for report in [&report, &all] {
            let shown = Shown {
                estimate: Some(&estimates),
                ..shown(report, columns)
            };
            let text = render(Form::Text, &shown, Paint::plain());
            for line in text.lines() {
                assert!(line.chars().count() <= columns, "{columns}: {line}\n{text}");
            }
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}

#[test]
fn where_nothing_need_fit_each_finding_is_one_line() {
    let report = report();
    let text = render(Form::Text, &shown(&report, usize::MAX), Paint::plain());
    let bad = report
        .findings
        .iter()
        .filter(|finding| !matches!(finding.status, Status::Pass | Status::NotApplicable { .. }));
    for finding in bad {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(&finding.check))
            .collect();
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        assert!(line.contains(" → ") || line.contains("not authorised"), "{line}");
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let report = report();
    let plain = render(Form::Text, &shown(&report, 80), Paint::plain());
    let mut text = render(Form::Text, &shown(&report, 80), Paint::always());
    assert!(
        text.contains("\u{1b}[1;31m✗ production is not ready\u{1b}[0m"),
        "{text}"
    );
    while let Some((before, rest)) = text.split_once("\u{1b}[") {
        let (_, after) = rest.split_once('m').expect("a colour ends");
        text = format!("{before}{after}");
    }
    assert_eq!(text, plain);
}

#[test]
fn a_report_without_faults_is_short() {
    let report = good();
    let text = render(Form::Text, &shown(&report, 80), Paint::plain());
    assert!(
        text.ends_with("✓ production is ready: nothing blocks\n"),
        "{text}"
    );
    assert_eq!(
        text.lines().filter(|line| line.starts_with("✓ ")).count(),
        5,
        "{text}"
    );
    assert!(
        !text.contains("Changed") && !text.contains("Cost a month"),
        "{text}"
    );
}

#[test]
fn costs_that_are_not_known_say_so() {
    let unseen = Unseen::new(Why::Failed, "vpc-1", "ec2:DescribeNatGateways: internal error");
    let unknown = Estimates {
        present: Err(unseen.clone()),
        released: None,
        starter: Err(unseen.clone()),
    };
    let report = good();
    let text = |estimates: &Estimates| {
        render(
            Form::Text,
            &Shown {
                estimate: Some(estimates),
                ..shown(&report, 80)
            },
            Paint::plain(),
        )
    };
    let said = text(&unknown);
    place(
        &said,
        "Cost a month\n  unknown: vpc-1: ec2:DescribeNatGateways: internal error (the call failed)\n",
    );
    let known = estimates();
    let mut dearer = known.present.clone().expect("it is known");
    dearer.items[0].cents += 12_345;
    dearer
        .unpriced
        .push("cache.r7g.large_hour in eu-central-1".to_owned());
    let said = text(&Estimates {
        released: Some(Ok(dearer)),
        starter: Err(unseen),
        ..known
    });
    place(&said, "+$123.45\n");
    place(&said, "the starter profile: vpc-1: ec2:DescribeNatGateways");
    place(
        &said,
        "not in it, for want of a price: cache.r7g.large_hour in eu-central-1\n",
    );
}

#[test]
fn what_is_new_and_gone_without_a_fault_is_only_counted() {
    let (now, mut before) = (good(), good());
    before.findings.remove(0);
    before
        .findings
        .retain(|finding| finding.check != "procedure_release_frozen");
    let mut gone = before.findings[0].clone();
    gone.resource = "another".to_owned();
    before.findings.push(gone);
    let text = render(
        Form::Text,
        &Shown {
            earlier: Some(&before),
            ..shown(&now, 80)
        },
        Paint::plain(),
    );
    place(
        &text,
        "Changed since 2026-11-20T09:59:00Z\n  - 2 new without a fault, 1 without a fault gone\n",
    );
    let same = render(
        Form::Text,
        &Shown {
            earlier: Some(&now),
            ..shown(&now, 80)
        },
        Paint::plain(),
    );
    place(&same, "Changed since 2026-11-20T09:59:00Z\n  nothing\n");
}

#[test]
fn an_explanation_tells_the_whole_story() {
    let (about, report) = (about("wafv2_balancer_unprotected"), report());
    let text = explain::explain(&about, Some(&report), 80, Paint::plain());
    let order = [
        "wafv2_balancer_unprotected\n",
        "  WAF, high, blocking, asked of: production\n",
        "\nWhy\n",
        "\nWhat was found\n",
        example::BALANCER,
        "    seen       no web ACL\n    wanted     a web ACL\n",
        "\n[[accepted]]\ncheck = \"wafv2_balancer_unprotected\"\nscope = \"arn:",
        "\nseen = \"no web ACL\"\nreason = \"…\"\nowner = \"…\"\napprover = \"…\"\nuntil = YYYY-MM-DD\n",
        "\nWhat to do\n",
        "  AWS CLI    aws wafv2 associate-web-acl ",
        "  Terraform  ",
        "  CDK        ",
        "\nSource\n",
    ];
    let places: Vec<usize> = order.into_iter().map(|part| place(&text, part)).collect();
    assert!(places.is_sorted(), "{places:?}\n{text}");

    let said = |id: &str| explain::explain(&self::about(id), Some(&report), 80, Paint::plain());
    let accepted = said("procedure_owner_missing");
    for part in [
        "~ accepted: database\n",
        "    owner      Ada\n",
        "    approver   Grace\n",
        "    may mean   nobody",
    ] {
        place(&accepted, part);
    }
    assert!(!accepted.contains("[[accepted]]"), "{accepted}");
    place(
        &said("rollback_point_missing"),
        "? unknown: backend\n    because    ecs:ListServiceDeployments",
    );
    place(&said("wafv2_sqli_rules_missing"), "nothing: it was not asked");
    let bare = explain::explain(&about, None, 80, Paint::plain());
    assert!(
        !bare.contains("What was found") && bare.contains("What to do"),
        "{bare}"
    );
}

#[test]
fn what_an_explanation_writes_into_the_readiness_file_accepts_exactly_that() {
    let (facts, intent) = broken();
    let text = explain::explain(
        &about("budgets_budget_missing"),
        Some(&report()),
        80,
        Paint::plain(),
    );
    let (_, rest) = text
        .split_once("readiness file\n")
        .expect("it says how to accept it");
    let (entry, _) = rest.split_once("\nWhat to do\n").expect("more comes after it");
    let entry = entry.replace("YYYY-MM-DD", "2027-03-31");
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("readiness.toml");
    let whole = format!("[environments.production]\ntier = \"production\"\n\n{entry}");
    std::fs::write(&file, &whole).expect("writable");
    let read = Readiness::load(&file).unwrap_or_else(|invalid| panic!("{invalid}\n{whole}"));
    let scene = Scene {
        facts: &facts,
        intent: &intent,
    };
    let report = judge(&checks(), &scene, &read.accepted, facts.at);
    let accepted = report
        .findings
        .iter()
        .filter(|f| matches!(f.status, Status::Accepted { .. }));
    let accepted: Vec<&str> = accepted.map(|finding| finding.check.as_str()).collect();
    assert_eq!(accepted, ["budgets_budget_missing"]);
}

#[test]
fn a_risk_that_has_ended_is_told() {
    let (facts, intent) = broken();
    let mut over = risk("procedure_owner_missing", "*", "nobody");
    over.until = facts.at;
    let report = judge(
        &checks(),
        &Scene {
            facts: &facts,
            intent: &intent,
        },
        &[over],
        facts.at,
    );
    let text = render(Form::Text, &shown(&report, usize::MAX), Paint::plain());
    place(
        &text,
        "database  nobody → an owner (the accepted risk of Ada ended at ",
    );
    let told = explain::explain(
        &about("procedure_owner_missing"),
        Some(&report),
        80,
        Paint::plain(),
    );
    place(
        &told,
        "    accepted   no longer: the accepted risk of Ada ended at",
    );
}

#[test]
fn the_list_has_every_check() {
    let all: Vec<About> = catalogue::all()
        .iter()
        .map(|check| check.about().clone())
        .collect();
    for columns in [80, 200] {
        let text = list::list(&all, columns, Paint::plain());
        for about in &all {
            place(&text, &about.id);
        }
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        assert!(text.ends_with("of them blocking\n"), "{text}");
    }
    let wide = list::list(&all, 200, Paint::plain());
    let line = wide
        .lines()
        .find(|line| line.contains("wafv2_logging_off"))
        .expect("it is in the list");
    assert!(
        line.ends_with("  medium    advisory  The web ACL logs what it does (production)"),
        "{line}"
    );
}

#[test]
fn resources_that_would_be_called_the_same_keep_their_whole_name() {
    let mut report = report();
    let twin = example::BALANCER.replace("50dc6c495c0c9188", "0000000000000000");
    let mut other = report.findings[0].clone();
    other.resource.clone_from(&twin);
    report.findings.insert(1, other);
    let text = render(Form::Text, &shown(&report, usize::MAX), Paint::plain());
    place(
        &text,
        &format!("wafv2_balancer_unprotected  {}  no web ACL", example::BALANCER),
    );
    place(&text, &format!("wafv2_balancer_unprotected  {twin}  no web ACL"));
}
