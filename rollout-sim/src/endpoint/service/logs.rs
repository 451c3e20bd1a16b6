//! CloudWatch Logs: groups, streams and lines of tasks.

use std::collections::BTreeMap;

use rollout_core::time::Timestamp;
use serde::Deserialize;

use super::{Answer, Operation, Service};
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::logs::{Line, LogStream};

pub(crate) static SERVICE: Service = Service {
    signing_name: "logs",
    target: Some("Logs_20140328"),
    query: None,
    namespace: "",
    global: false,
    throttled: "ThrottlingException",
    operations: &[&[
        Operation::read("DescribeLogGroups", describe_log_groups),
        Operation::read("DescribeLogStreams", describe_log_streams),
        Operation::read("FilterLogEvents", filter_log_events),
        Operation::read("GetLogEvents", get_log_events),
    ]],
};

/// The most events of one answer (CloudWatch Logs API, "GetLogEvents", "FilterLogEvents").
const EVENTS: usize = 10_000;
/// Groups or streams of one answer (CloudWatch Logs API, "DescribeLogStreams").
const NAMES: usize = 50;

/// A moment as this service writes it: milliseconds, as a plain number.
fn millis(at: Timestamp) -> Document {
    Document::from(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
}

fn streams(call: &Call<'_>) -> Vec<LogStream> {
    let now = call.now();
    call.environments().flat_map(|e| e.log_streams(now)).collect()
}

fn not_found(what: &str) -> Refusal {
    Refusal::client(
        "ResourceNotFoundException",
        format!("The specified log {what} does not exist."),
    )
}

fn bad_token() -> Refusal {
    Refusal::client("InvalidParameterException", "The specified nextToken is invalid.")
}

/// A group by its name, or by its ARN with or without the star at its end.
fn group_name<'a>(name: &'a str, identifier: &'a str) -> &'a str {
    if !name.is_empty() {
        return name;
    }
    let resource = identifier
        .rsplit_once(":log-group:")
        .map_or(identifier, |(_, name)| name);
    resource.strip_suffix(":*").unwrap_or(resource)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DescribeLogGroups {
    log_group_name_prefix: String,
    log_group_name_pattern: String,
    next_token: Option<String>,
    limit: Option<usize>,
}

fn describe_log_groups(call: &mut Call<'_>) -> Answer {
    let input: DescribeLogGroups = call.input()?;
    let mut groups: BTreeMap<String, (Timestamp, u64)> = BTreeMap::new();
    for stream in streams(call) {
        let bytes = stored(&stream);
        let group = groups.entry(stream.group).or_insert((stream.created_at, 0));
        *group = (group.0.min(stream.created_at), group.1 + bytes);
    }
    let wanted: Vec<_> = groups
        .into_iter()
        .filter(|(name, _)| {
            name.starts_with(&input.log_group_name_prefix) && name.contains(&input.log_group_name_pattern)
        })
        .collect();
    let most = input.limit.unwrap_or(NAMES).clamp(1, NAMES);
    let (here, next) = page(&wanted, input.next_token.as_deref(), most).ok_or_else(bad_token)?;
    let groups = here.iter().map(|(name, (created, bytes))| {
        let arn = call.arn("logs", &format!("log-group:{name}"));
        map! {
            "logGroupName": name.as_str(),
            "creationTime": millis(*created),
            "metricFilterCount": 0,
            "arn": format!("{arn}:*"),
            "logGroupArn": arn,
            "storedBytes": i64::try_from(*bytes).unwrap_or(i64::MAX),
            "logGroupClass": "STANDARD",
        }
    });
    Ok(map! { "logGroups": Document::list(groups), "nextToken": next })
}

fn stored(stream: &LogStream) -> u64 {
    stream.lines.iter().map(|line| line.message.len() as u64).sum()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DescribeLogStreams {
    log_group_name: String,
    log_group_identifier: String,
    log_stream_name_prefix: String,
    order_by: String,
    descending: bool,
    next_token: Option<String>,
    limit: Option<usize>,
}

fn describe_log_streams(call: &mut Call<'_>) -> Answer {
    let input: DescribeLogStreams = call.input()?;
    let group = group_name(&input.log_group_name, &input.log_group_identifier);
    let mut wanted = of_group(call, group)?;
    wanted.retain(|s| s.name.starts_with(&input.log_stream_name_prefix));
    if input.order_by == "LastEventTime" {
        if !input.log_stream_name_prefix.is_empty() {
            return Err(Refusal::client(
                "InvalidParameterException",
                "Cannot order by LastEventTime with a logStreamNamePrefix.",
            ));
        }
        wanted.sort_by_key(|s| s.lines.last().map(|line| line.at));
    }
    if input.descending {
        wanted.reverse();
    }
    let most = input.limit.unwrap_or(NAMES).clamp(1, NAMES);
    let (here, next) = page(&wanted, input.next_token.as_deref(), most).ok_or_else(bad_token)?;
    let streams = here.iter().map(|stream| {
        let mut one = map! {
            "logStreamName": stream.name.as_str(),
            "creationTime": millis(stream.created_at),
            "arn": call.arn("logs", &format!("log-group:{}:log-stream:{}", stream.group, stream.name)),
            "storedBytes": 0,
        };
        if let (Some(first), Some(last)) = (stream.lines.first(), stream.lines.last()) {
            one.put("firstEventTimestamp", millis(first.at));
            one.put("lastEventTimestamp", millis(last.at));
            one.put("lastIngestionTime", millis(last.at));
        }
        one
    });
    Ok(map! { "logStreams": Document::list(streams), "nextToken": next })
}

/// The streams of a group, by name.
fn of_group(call: &Call<'_>, group: &str) -> Result<Vec<LogStream>, Refusal> {
    let all: Vec<_> = streams(call).into_iter().filter(|s| s.group == group).collect();
    if all.is_empty() {
        Err(not_found("group"))
    } else {
        Ok(all)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GetLogEvents {
    log_group_name: String,
    log_group_identifier: String,
    log_stream_name: String,
    start_time: Option<u64>,
    end_time: Option<u64>,
    next_token: Option<String>,
    limit: Option<usize>,
    start_from_head: bool,
}

/// Lines of one stream. The tokens for both ways are always there, and the same again at an end (CloudWatch Logs API,
/// "GetLogEvents").
fn get_log_events(call: &mut Call<'_>) -> Answer {
    let input: GetLogEvents = call.input()?;
    let group = group_name(&input.log_group_name, &input.log_group_identifier);
    let all = of_group(call, group)?;
    let stream = all.into_iter().find(|s| s.name == input.log_stream_name);
    let lines = stream.ok_or_else(|| not_found("stream"))?.lines;
    let lines: Vec<_> = lines
        .into_iter()
        .filter(|l| within(l, input.start_time, input.end_time))
        .collect();
    let most = input.limit.unwrap_or(EVENTS).clamp(1, EVENTS);
    let last = lines.len();
    let (from, to) = match input.next_token.as_deref().map(place) {
        None if input.start_from_head => (0, most.min(last)),
        None => (last.saturating_sub(most), last),
        Some(Some((true, at))) => (at.min(last), (at + most).min(last)),
        Some(Some((false, at))) => (at.min(last).saturating_sub(most), at.min(last)),
        Some(None) => return Err(bad_token()),
    };
    let now = call.now();
    let events = lines[from..to].iter().map(|line| {
        map! {
            "timestamp": millis(line.at),
            "message": line.message.as_str(),
            "ingestionTime": millis(line.at.min(now)),
        }
    });
    Ok(map! {
        "events": Document::list(events),
        "nextForwardToken": format!("f/{to:056}"),
        "nextBackwardToken": format!("b/{from:056}"),
    })
}

/// Whether a token leads forward, and from where.
fn place(token: &str) -> Option<(bool, usize)> {
    let (way, at) = token.split_once('/')?;
    let forward = match way {
        "f" => true,
        "b" => false,
        _ => return None,
    };
    Some((forward, at.parse().ok()?))
}

/// From the start on, and before the end.
fn within(line: &Line, start: Option<u64>, end: Option<u64>) -> bool {
    let at = line.at.as_millis();
    start.is_none_or(|start| at >= start) && end.is_none_or(|end| at < end)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FilterLogEvents {
    log_group_name: String,
    log_group_identifier: String,
    log_stream_names: Vec<String>,
    log_stream_name_prefix: String,
    start_time: Option<u64>,
    end_time: Option<u64>,
    filter_pattern: String,
    next_token: Option<String>,
    limit: Option<usize>,
}

/// Lines of a group, oldest first. Of the pattern language only plain terms are known: all must be in the line.
fn filter_log_events(call: &mut Call<'_>) -> Answer {
    let input: FilterLogEvents = call.input()?;
    let group = group_name(&input.log_group_name, &input.log_group_identifier);
    let terms: Vec<&str> = input
        .filter_pattern
        .split_whitespace()
        .map(|t| t.trim_matches('"'))
        .collect();
    if terms
        .iter()
        .any(|t| t.contains(['{', '[', '?', '%']) || t.starts_with('-'))
    {
        return Err(Refusal::client(
            "InvalidParameterException",
            "the simulated cloud knows plain terms in filterPattern, and nothing else of its language",
        ));
    }
    let mut found: Vec<(Line, String, usize)> = Vec::new();
    for stream in of_group(call, group)? {
        let wanted = input.log_stream_names.is_empty() || input.log_stream_names.contains(&stream.name);
        if !wanted || !stream.name.starts_with(&input.log_stream_name_prefix) {
            continue;
        }
        for (index, line) in stream.lines.into_iter().enumerate() {
            let fits = within(&line, input.start_time, input.end_time)
                && terms.iter().all(|term| line.message.contains(term));
            if fits {
                found.push((line, stream.name.clone(), index));
            }
        }
    }
    found.sort_by(|a, b| (a.0.at, &a.1, a.2).cmp(&(b.0.at, &b.1, b.2)));
    let most = input.limit.unwrap_or(EVENTS).clamp(1, EVENTS);
    let (here, next) = page(&found, input.next_token.as_deref(), most).ok_or_else(bad_token)?;
    let events = here.iter().map(|(line, stream, index)| {
        map! {
            "logStreamName": stream.as_str(),
            "timestamp": millis(line.at),
            "message": line.message.as_str(),
            "ingestionTime": millis(line.at),
            "eventId": format!("{:038}{index:018}", line.at.as_millis()),
        }
    });
    Ok(map! {
        "events": Document::list(events),
        "searchedLogStreams": Document::list::<Document>([]),
        "nextToken": next,
    })
}
