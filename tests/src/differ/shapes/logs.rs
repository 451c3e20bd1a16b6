//! CloudWatch Logs: what a task wrote.

use super::{Facts, Stage, refused, told};

/// The group of everything here.
const GROUP: &str = "/shapes";

pub(super) async fn play(stage: &Stage, facts: &mut Facts) {
    let client = &stage.logs;
    let Some(stream) = stage.written(GROUP).await else {
        facts.words("Logs", "a stream", "none");
        return;
    };
    let sent = client
        .describe_log_groups()
        .log_group_name_prefix(GROUP)
        .send()
        .await;
    told(facts, "Logs DescribeLogGroups", &sent);
    let sent = client.describe_log_streams().log_group_name(GROUP).send().await;
    told(facts, "Logs DescribeLogStreams", &sent);
    let get = |group: &str, stream: &str| {
        let call = client
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream);
        call.start_from_head(true).send()
    };
    told(facts, "Logs GetLogEvents", &get(GROUP, &stream).await);
    refused(
        facts,
        "Logs GetLogEvents",
        "an unknown stream",
        &get(GROUP, "nobody").await,
    );
    refused(
        facts,
        "Logs GetLogEvents",
        "an unknown group",
        &get("/nobody", &stream).await,
    );
    let sent = client.filter_log_events().log_group_name(GROUP).send().await;
    told(facts, "Logs FilterLogEvents", &sent);
    let sent = client.filter_log_events().log_group_name("/nobody").send().await;
    refused(facts, "Logs FilterLogEvents", "an unknown group", &sent);
}
