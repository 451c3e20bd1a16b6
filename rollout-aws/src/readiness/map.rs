//! Numbers, times and names of the SDK as facts have them.

use aws_smithy_types::DateTime;
use rollout_core::time::Timestamp;

/// Milliseconds; a time before 1970 is the epoch.
pub(super) fn time(time: &DateTime) -> Timestamp {
    let millis = time
        .to_millis()
        .ok()
        .and_then(|millis| u64::try_from(millis).ok());
    Timestamp::from_millis(millis.unwrap_or(0))
}

/// A count. Counts are never negative; if one is, it is none.
pub(super) fn count(count: impl TryInto<u32>) -> u32 {
    count.try_into().unwrap_or(0)
}

/// A port; one out of range is the last one.
pub(super) fn port(port: i32) -> u16 {
    u16::try_from(port.max(0)).unwrap_or(u16::MAX)
}

/// A text; none is empty.
pub(super) fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// A name of DNS without the dot at its end.
pub(super) fn name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

/// A number that comes as a float: rounded up, never below zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the number is whole and not negative"
)]
pub(super) fn whole(number: f64) -> u64 {
    number.ceil() as u64
}

/// The parts of an ARN behind the partition: service, region, account, and all the rest.
pub(super) fn arn(arn: &str) -> Option<(&str, &str, &str, &str)> {
    let mut parts = arn.splitn(6, ':');
    if parts.next() != Some("arn") {
        return None;
    }
    let _partition = parts.next()?;
    Some((parts.next()?, parts.next()?, parts.next()?, parts.next()?))
}
