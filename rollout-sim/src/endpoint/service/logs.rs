//! CloudWatch Logs: the streams of tasks. Nothing is written by calls, only by containers.

use rollout_core::time::Timestamp;
use serde::Deserialize;

use super::{Answer, Operation, Service};
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::log::LogStream;

pub(crate) static SERVICE: Service = Service {
    signing_name: "logs",
    target: Some("Logs_20140328"),
    query: None,
    namespace: "",
    global: false,
    throttled: "ThrottlingException",
    operations: &[&[
        Operation::read("GetLogEvents", get_log_events),
        Operation::read("FilterLogEvents", filter_log_events),
        Operation::read("DescribeLogStreams", describe_log_streams),
        Operation::read("DescribeLogGroups", describe_log_groups),
    ]],
};

/// The most events of an answer, and the most streams or groups (Amazon CloudWatch Logs API, the limits of each action).
const EVENTS: usize = 10_000;
const STREAMS: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Input {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_group_name_prefix: Option<String>,
    log_stream_name: String,
    log_stream_names: Vec<String>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<u64>,
    end_time: Option<u64>,
    filter_pattern: Option<String>,
    start_from_head: bool,
    order_by: Option<String>,
    descending: bool,
    limit: Option<usize>,
    next_token: Option<String>,
}

fn group_arn(call: &Call<'_>, name: &str) -> String {
    call.arn("logs", &format!("log-group:{name}"))
}

/// The streams of the group that is asked for.
fn streams(call: &Call<'_>, input: &Input) -> Result<(String, Vec<LogStream>), Refusal> {
    let given = input
        .log_group_name
        .as_deref()
        .or(input.log_group_identifier.as_deref())
        .unwrap_or_default();
    let name = given
        .rsplit_once("log-group:")
        .map_or(given, |(_, name)| name)
        .trim_end_matches(":*");
    let now = call.now();
    let known: Vec<_> = call
        .environments()
        .filter(|e| e.log_groups().contains(&name))
        .collect();
    if known.is_empty() {
        let text = "The specified log group does not exist.";
        return Err(Refusal::client("ResourceNotFoundException", text));
    }
    let all = known.into_iter().flat_map(|e| e.log_streams(now, name)).collect();
    Ok((name.to_owned(), all))
}

fn within(input: &Input, at: Timestamp) -> bool {
    let at = at.as_millis();
    input.start_time.is_none_or(|from| from <= at) && input.end_time.is_none_or(|to| at < to)
}

/// A token of events: which way it leads and where. CloudWatch gives the same token back where there is no more.
fn token(forward: bool, place: usize) -> String {
    format!("{}/{place:056}", if forward { 'f' } else { 'b' })
}

fn place(token: &str) -> Option<(bool, usize)> {
    let (way, place) = token.split_once('/')?;
    Some((way == "f", place.parse().ok()?))
}

fn get_log_events(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (_, all) = streams(call, &input)?;
    let stream = all
        .iter()
        .find(|s| s.name == input.log_stream_name)
        .ok_or_else(|| {
            Refusal::client(
                "ResourceNotFoundException",
                "The specified log stream does not exist.",
            )
        })?;
    let events: Vec<&(Timestamp, String)> = stream
        .events
        .iter()
        .filter(|(at, _)| within(&input, *at))
        .collect();
    let most = input.limit.unwrap_or(EVENTS).clamp(1, EVENTS);
    let asked = input.next_token.as_deref().map(|t| {
        place(t).ok_or_else(|| {
            Refusal::client("InvalidParameterException", "The specified nextToken is invalid.")
        })
    });
    let (from, to) = match asked.transpose()? {
        Some((true, from)) => (
            from.min(events.len()),
            from.saturating_add(most).min(events.len()),
        ),
        Some((false, to)) => (to.saturating_sub(most), to.min(events.len())),
        None if input.start_from_head => (0, most.min(events.len())),
        None => (events.len().saturating_sub(most), events.len()),
    };
    let here = events.get(from..to).unwrap_or_default().iter().map(|(at, line)| {
        map! { "timestamp": at.as_millis(), "message": line, "ingestionTime": at.as_millis() }
    });
    Ok(map! {
        "events": Document::list(here),
        "nextForwardToken": token(true, to),
        "nextBackwardToken": token(false, from),
    })
}

/// Plain words in a pattern must all be in a message; quotation marks hold words together. Other patterns are not modelled.
fn fits(pattern: &str, line: &str) -> Result<bool, Refusal> {
    if pattern.contains(['{', '[', '?', '%']) || pattern.split(' ').any(|word| word.starts_with('-')) {
        return Err(Refusal::new(
            501,
            "UnknownOperationException",
            "the simulated cloud does not model filter patterns other than words",
        ));
    }
    let parts = pattern.split('"').enumerate();
    let words = parts.flat_map(|(n, part)| {
        let whole = n % 2 == 1;
        let one = whole.then_some(part).into_iter();
        one.chain((!whole).then(|| part.split_whitespace()).into_iter().flatten())
    });
    Ok(words.into_iter().all(|word| line.contains(word)))
}

fn filter_log_events(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (_, all) = streams(call, &input)?;
    let wanted = |name: &str| {
        let listed = input.log_stream_names.is_empty() || input.log_stream_names.iter().any(|n| n == name);
        listed
            && input
                .log_stream_name_prefix
                .as_ref()
                .is_none_or(|p| name.starts_with(p.as_str()))
    };
    let mut found = Vec::new();
    for stream in all.iter().filter(|s| wanted(&s.name)) {
        for (n, (at, line)) in stream.events.iter().enumerate() {
            if within(&input, *at) && fits(input.filter_pattern.as_deref().unwrap_or(""), line)? {
                found.push((*at, stream.name.as_str(), n, line));
            }
        }
    }
    found.sort();
    let events: Vec<Document> = found
        .iter()
        .map(|(at, stream, n, line)| {
            map! {
                "logStreamName": *stream,
                "timestamp": at.as_millis(),
                "message": *line,
                "ingestionTime": at.as_millis(),
                "eventId": format!("{:030}{n:026}", at.as_millis()),
            }
        })
        .collect();
    let most = input.limit.unwrap_or(EVENTS).clamp(1, EVENTS);
    let (here, next) = page(&events, input.next_token.as_deref(), most)
        .ok_or_else(|| Refusal::client("InvalidParameterException", "The specified nextToken is invalid."))?;
    Ok(map! {
        "events": Document::list(here.iter().cloned()),
        "searchedLogStreams": Document::list(Vec::<Document>::new()),
        "nextToken": next,
    })
}

fn describe_log_streams(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let (group, mut all) = streams(call, &input)?;
    all.retain(|s| {
        input
            .log_stream_name_prefix
            .as_ref()
            .is_none_or(|p| s.name.starts_with(p.as_str()))
    });
    if input.order_by.as_deref() == Some("LastEventTime") {
        all.sort_by_key(|s| s.events.last().map(|(at, _)| *at));
    }
    if input.descending {
        all.reverse();
    }
    let arn = group_arn(call, &group);
    let out: Vec<Document> = all
        .iter()
        .map(|stream| {
            let (first, last) = (stream.events.first(), stream.events.last());
            map! {
                "logStreamName": &stream.name,
                "creationTime": stream.created.as_millis(),
                "firstEventTimestamp": first.map(|(at, _)| at.as_millis()),
                "lastEventTimestamp": last.map(|(at, _)| at.as_millis()),
                "lastIngestionTime": last.map(|(at, _)| at.as_millis()),
                "arn": format!("{arn}:log-stream:{}", stream.name),
                "storedBytes": 0,
            }
        })
        .collect();
    listed("logStreams", &out, &input)
}

fn listed(name: &str, all: &[Document], input: &Input) -> Answer {
    let most = input.limit.unwrap_or(STREAMS).clamp(1, STREAMS);
    let (here, next) = page(all, input.next_token.as_deref(), most)
        .ok_or_else(|| Refusal::client("InvalidParameterException", "The specified nextToken is invalid."))?;
    let mut out = Document::map();
    out.put(name, Document::list(here.iter().cloned()));
    out.put("nextToken", next);
    Ok(out)
}

fn describe_log_groups(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let mut names: Vec<String> = call
        .environments()
        .flat_map(|e| e.log_groups().into_iter().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names.retain(|n| {
        input
            .log_group_name_prefix
            .as_ref()
            .is_none_or(|p| n.starts_with(p.as_str()))
    });
    let out: Vec<Document> = names
        .iter()
        .map(|name| {
            let arn = group_arn(call, name);
            map! {
                "logGroupName": name,
                "creationTime": crate::BEGINNING.as_millis(),
                "metricFilterCount": 0,
                "arn": format!("{arn}:*"),
                "storedBytes": 0,
                "logGroupClass": "STANDARD",
                "logGroupArn": arn,
            }
        })
        .collect();
    listed("logGroups", &out, &input)
}
