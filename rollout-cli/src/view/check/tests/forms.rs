//! The forms that go elsewhere: nothing of a report becomes markup there, and what must be there is.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use super::*;

/// What the name of the budget is on one line.
fn hostile() -> String {
    flow::one_line(HOSTILE)
}

#[test]
fn json_has_everything_and_is_read_back_as_a_baseline() {
    let text = rendered(Form::Json);
    let value: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(value["format"], 1);
    assert_eq!(value["result"], "not_ready");
    assert_eq!(value["exit_code"], Exit::Refused.number());
    assert_eq!(value["environment"], "production");
    assert_eq!(value["gathered"], "2026-11-20T10:00:00.000Z");
    assert_eq!(value["counts"]["fail"], 2);
    assert_eq!(value["findings"][0]["status"], "fail");
    assert_eq!(value["findings"][0]["check"], "wafv2_balancer_unprotected");
    assert_eq!(value["findings"][0]["seen"], "no web ACL");
    assert_eq!(value["idle"][0]["risk"]["owner"], "Ada");
    assert_eq!(value["calls"]["ecs:DescribeServices"], 3);
    assert_eq!(value["checks"].as_array().map(Vec::len), Some(CHECKS.len()));
    let changes = value["changes"].as_array().expect("there is a baseline");
    assert_eq!(
        (&changes[0]["was"]["status"], &changes[0]["is"]["status"]),
        (&"pass".into(), &"fail".into())
    );
    let present = estimates().present.expect("it is known");
    assert_eq!(value["cost"]["present"]["cents"], present.cents());
    assert!(value["cost"]["released"]["items"].is_array() && value["cost"]["starter"]["cents"].is_u64());
    assert_eq!(json::baseline(&text).expect("it was just written"), report());

    let report = good();
    let bare = render(Form::Json, &shown(&report, 80), Paint::always());
    let value: Value = serde_json::from_str(&bare).expect("it is JSON");
    assert!(
        value.get("changes").is_none() && value.get("cost").is_none(),
        "{bare}"
    );
}

#[test]
fn what_is_no_baseline_is_refused_with_why() {
    for (text, why) in [
        ("{", "it is not JSON"),
        ("{}", "it is not a readiness report of format 1"),
        ("{\"format\": 2}", "it is not a readiness report of format 1"),
        ("{\"format\": 1}", "it is not a readiness report"),
    ] {
        let error = json::baseline(text).expect_err(text);
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
}

#[test]
fn sarif_has_what_its_schema_requires() {
    let value: Value = serde_json::from_str(&rendered(Form::Sarif)).expect("it is JSON");
    assert_eq!(value["version"], "2.1.0");
    let [run] = value["runs"].as_array().expect("runs").as_slice() else {
        panic!("one run: {value}")
    };
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "rollout");
    let rules = driver["rules"].as_array().expect("rules");
    let ids: Vec<&str> = rules.iter().filter_map(|rule| rule["id"].as_str()).collect();
    assert_eq!(ids.len(), CHECKS.len());
    for rule in rules {
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(
                rule[text]["text"].as_str().is_some_and(|text| !text.is_empty()),
                "{text}: {rule}"
            );
        }
        assert!(rule.get("helpUri").is_none(), "{rule}");
    }
    let results = run["results"].as_array().expect("results");
    for result in results {
        let index = result["ruleIndex"]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok());
        assert_eq!(index.map(|index| ids[index]), result["ruleId"].as_str());
        assert!(
            result["message"]["text"]
                .as_str()
                .is_some_and(|text| !text.contains('\u{1b}')),
            "{result}"
        );
        let place = &result["locations"][0]["logicalLocations"][0];
        assert!(
            place["name"].is_string() && place["fullyQualifiedName"].is_string(),
            "{result}"
        );
        // Code scanning takes no result without a file.
        let file = &result["locations"][0]["physicalLocation"];
        assert_eq!(file["artifactLocation"]["uri"], "deploy/rollout.toml");
        assert_eq!(file["region"]["startLine"], 12);
    }
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    assert_eq!(run["invocations"][0]["exitCode"], Exit::Refused.number());
}

#[test]
fn sarif_tells_failures_unknowns_and_accepted_ones_apart() {
    let value: Value = serde_json::from_str(&rendered(Form::Sarif)).expect("it is JSON");
    let results = value["runs"][0]["results"].as_array().expect("results");
    let levels: Vec<(&str, &str)> = results
        .iter()
        .filter_map(|result| Some((result["ruleId"].as_str()?, result["level"].as_str()?)))
        .collect();
    assert_eq!(
        levels,
        [
            ("wafv2_balancer_unprotected", "error"),
            ("budgets_budget_missing", "warning"),
            ("rollback_point_missing", "warning"),
            ("procedure_owner_missing", "note"),
        ]
    );
    let suppressed = |index: usize| results[index].get("suppressions");
    assert!((0..3).all(|index| suppressed(index).is_none()));
    let suppression = &results[3]["suppressions"][0];
    assert_eq!(suppression["kind"], "external");
    assert_eq!(
        suppression["justification"],
        "accepted by Ada until 2027-01-01: the team is being formed <b>"
    );
    let print = |index: usize| results[index]["partialFingerprints"]["checkAndResource/v1"].as_str();
    assert_eq!(print(3), Some("procedure_owner_missing database"));
    // All are at one line, and none is another one.
    let hashes = results
        .iter()
        .filter_map(|result| result["partialFingerprints"]["primaryLocationLineHash"].as_str());
    let hashes: BTreeSet<&str> = hashes.collect();
    assert_eq!(hashes.len(), results.len());
    assert!(hashes.contains("d473d8447da23e27:1"), "{hashes:?}");
    assert_eq!(
        results[0]["locations"][0]["logicalLocations"][0]["name"],
        "storefront"
    );
    assert_eq!(
        results[0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
        example::BALANCER
    );
    assert_eq!(
        results[1]["locations"][0]["logicalLocations"][0]["name"],
        "production"
    );
}

#[test]
fn sarif_says_what_is_new_since_the_baseline() {
    let now = report();
    let mut before = report();
    before.findings[0].status = Status::Pass;
    before
        .findings
        .retain(|finding| finding.check != "procedure_owner_missing");
    let other = Unseen::new(
        Why::Failed,
        "backend",
        "ecs:ListServiceDeployments: internal error",
    );
    let unknown = before
        .findings
        .iter_mut()
        .find(|finding| finding.check == "rollback_point_missing");
    unknown.expect("it is in the report").status = Status::Unknown { unseen: other };
    let states = |earlier: Option<&Report>| -> Vec<Option<String>> {
        let shown = Shown {
            earlier,
            ..shown(&now, 80)
        };
        let text = render(Form::Sarif, &shown, Paint::plain());
        let value: Value = serde_json::from_str(&text).expect("it is JSON");
        let results = value["runs"][0]["results"].as_array().expect("results");
        results
            .iter()
            .map(|result| Some(result.get("baselineState")?.as_str()?.to_owned()))
            .collect()
    };
    let of = |words: [&str; 4]| words.map(|word| Some(word.to_owned())).to_vec();
    assert_eq!(states(Some(&before)), of(["new", "unchanged", "updated", "new"]));
    assert_eq!(states(Some(&now)), of(["unchanged"; 4]));
    assert_eq!(states(None), [const { None }; 4]);
}

/// An element with its attributes.
type Element = (String, BTreeMap<String, String>);

/// The elements of a document in order. The reader refuses what is not well-formed.
fn elements(xml: &str) -> Vec<Element> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut all = Vec::new();
    loop {
        let event = reader
            .read_event()
            .unwrap_or_else(|error| panic!("{error}:\n{xml}"));
        let start = match &event {
            Event::Start(start) | Event::Empty(start) => start,
            Event::Eof => return all,
            _ => continue,
        };
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.unwrap_or_else(|error| panic!("{error}:\n{xml}"));
            let value = quick_xml::escape::unescape(&attribute.value)
                .unwrap_or_else(|error| panic!("{error}:\n{xml}"));
            (attribute.key.as_ref().to_owned(), value.into_owned())
        });
        all.push((start.name().as_ref().to_owned(), attributes.collect()));
    }
}

#[test]
fn junit_is_well_formed_and_its_counts_are_right() {
    let xml = rendered(Form::Junit);
    let all = elements(&xml);
    let count = |name: &str| all.iter().filter(|(found, _)| found == name).count().to_string();
    let (root, attributes) = &all[0];
    assert_eq!(root, "testsuites");
    assert_eq!(attributes["name"], "rollout check production");
    for (attribute, element) in [
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ] {
        assert_eq!(attributes[attribute], count(element), "{xml}");
    }
    assert_eq!(
        (count("failure"), count("error"), count("skipped")),
        ("2".to_owned(), "1".to_owned(), "3".to_owned())
    );
    let suites = all.iter().filter(|(name, _)| name == "testsuite");
    let suites: Vec<&str> = suites
        .map(|(_, attributes)| attributes["name"].as_str())
        .collect();
    assert_eq!(suites, ["WAF", "Cost", "Rollback", "Procedure"]);
}

#[test]
fn junit_says_of_each_case_what_was_seen() {
    let all = elements(&rendered(Form::Junit));
    let told: Vec<(&str, &str)> = all
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "failure" | "error" | "skipped"))
        .map(|(name, attributes)| (name.as_str(), attributes["message"].as_str()))
        .collect();
    assert_eq!(told[0], ("failure", "no web ACL → a web ACL"));
    let name = hostile();
    assert!(
        told.iter()
            .any(|(name_of, said)| *name_of == "failure" && said.contains(&name)),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|(name, said)| *name == "error" && said.contains("not authorised")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|(name, said)| *name == "skipped" && said.contains("accepted by Ada")),
        "{told:?}"
    );
}

#[test]
fn markdown_has_a_table_of_what_is_wrong_and_folds_the_rest() {
    let text = rendered(Form::Markdown);
    let order = [
        "## ✗ production is not ready: 1 blocking failure\n",
        "\n|  | Check | Resource | Seen → wanted |\n|---|---|---|---|\n",
        "| ✗ high | ",
        "<br>`wafv2_balancer_unprotected` | `storefront` | no web ACL → a web ACL |\n",
        "| ! medium | ",
        "| ? critical | ",
        "<details><summary>6 changed since 2026-11-20T09:59:00Z</summary>\n\n",
        "<details><summary>1 accepted</summary>\n\n| Check |",
        " | Ada | 2027-01-01 | the team is being formed &lt;b&gt; |\n",
        "<details><summary>1 accepted for nothing</summary>\n\n- `wafv2_logging_off` `*`, of Ada",
        "<details><summary>7 passed</summary>\n\n",
        "Cost a month, estimated: **$520.34**, with this release **$520.34** (no change)",
    ];
    let places: Vec<usize> = order.into_iter().map(|part| place(&text, part)).collect();
    assert!(places.is_sorted(), "{places:?}\n{text}");
    // Every row has as many cells as its head.
    let mut cells = 0;
    for line in text.lines() {
        let bars = line.replace("\\|", "").matches('|').count();
        match (line.starts_with('|'), cells) {
            (true, 0) => cells = bars,
            (true, _) => assert_eq!(bars, cells, "{line}"),
            (false, _) => cells = 0,
        }
    }
    assert!(
        !text.contains("<script>") && text.contains("&lt;script&gt;"),
        "{text}"
    );

    let report = good();
    let text = render(Form::Markdown, &shown(&report, 80), Paint::plain());
    place(&text, "## ✓ production is ready: nothing blocks\n");
    place(&text, "Nothing fails, and nothing is unknown.\n");
}

/// The names of the tags in a page, `/p` for an end.
fn tags(page: &str) -> Vec<&str> {
    let tags = page.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    tags.map(|(tag, _)| tag.split(' ').next().unwrap_or(tag))
        .collect()
}

#[test]
fn html_is_one_page_by_itself_whose_elements_are_closed() {
    let page = rendered(Form::Html);
    assert!(
        page.starts_with("<!doctype html>\n<html lang=\"en\">\n"),
        "{page}"
    );
    for outside in [
        "http://", "https://", "<link", "<img", "<script", "url(", "@import", " src=", "href=",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    let mut open: Vec<&str> = Vec::new();
    for tag in tags(&page) {
        match tag.strip_prefix('/') {
            Some(end) => assert_eq!(open.pop(), Some(end), "{page}"),
            None if ["!doctype", "meta", "br"].contains(&tag) => {}
            None => open.push(tag),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn html_tells_everything_in_order_and_takes_no_text_for_markup() {
    let page = rendered(Form::Html);
    let order = [
        "<title>production is not ready on 2026-11-20</title>",
        "<p class=\"result\">✗ not ready: 1 blocking failure</p>",
        "<h2>Areas</h2>",
        "<h2>Failures</h2>",
        "<code>wafv2_balancer_unprotected</code>",
        "<dt>seen</dt><dd>no web ACL</dd>\n<dt>wanted</dt><dd>a web ACL</dd>",
        "<pre>aws wafv2 associate-web-acl ",
        "<dt>seen</dt><dd>no monthly budget `&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; | a &amp; b ]]&gt; `x` [31mred `</dd>",
        "<h2>Unknown</h2>",
        "ecs:ListServiceDeployments: not authorised",
        "<h2>Accepted</h2>",
        "<dt>accepted</dt><dd>until 2027-01-01: the team is being formed &lt;b&gt;</dd>\n<dt>owner</dt><dd>Ada</dd>",
        "<h2>Accepted risks that cover nothing</h2>",
        "<h2>Changed since 2026-11-20T09:59:00Z</h2>",
        "<h2>Passed</h2>",
        "<h2>Not applicable</h2>",
        "<h2>Cost a month</h2>",
        "<th scope=\"row\">together</th><td>$520.34</td><td>$520.34</td>",
        "<summary>4 calls were made to see this</summary>\n<p>ecs:DescribeServices 3, wafv2:GetWebACL 1</p>",
    ];
    let places: Vec<usize> = order.into_iter().map(|part| place(&page, part)).collect();
    assert!(places.is_sorted(), "{places:?}\n{page}");
    let text = page.replace('\n', "");
    assert!(
        !text.contains(char::is_control),
        "a control character got through"
    );
}

#[test]
fn html_leaves_out_what_there_is_nothing_of() {
    let report = good();
    let page = render(Form::Html, &shown(&report, 80), Paint::plain());
    for title in ["Failures", "Unknown", "Accepted", "Changed since", "Cost a month"] {
        assert!(!page.contains(&format!("<h2>{title}")), "{title}");
    }
    place(&page, "<p class=\"result\">✓ ready: nothing blocks</p>");
}

fn every_check() -> Vec<About> {
    catalogue::all()
        .iter()
        .map(|check| check.about().clone())
        .collect()
}

#[test]
fn the_page_of_the_catalogue_has_every_check_with_its_remedy() {
    let all = every_check();
    let text = page::catalogue_page(&all);
    let named = text
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let named: BTreeSet<&str> = named.collect();
    assert_eq!(named, all.iter().map(|about| about.id.as_ref()).collect());
    place(&text, "\n## WAF\n\n### `wafv2_balancer_unprotected`\n\n**");
    place(&text, "high, blocking, asked of: production.\n");
    place(&text, "\n- AWS CLI: `aws wafv2 associate-web-acl ");
}

/// After a change on purpose, `UPDATE_EXPECTED=1 cargo test -p rollout-cli` writes the new page; read its diff.
#[test]
fn the_page_of_the_catalogue_is_the_one_in_the_documentation() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/checks.md");
    let page = page::catalogue_page(&every_check());
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&file, &page).expect("writable");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    let same = committed
        .lines()
        .zip(page.lines())
        .take_while(|(old, new)| old == new)
        .count();
    assert!(
        committed == page,
        "docs/checks.md is not what the catalogue says, from line {} on: UPDATE_EXPECTED=1 writes it",
        same + 1
    );
}
