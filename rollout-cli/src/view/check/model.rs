//! What every form needs to know of a report.

use rollout_core::readiness::check::{About, Area, Severity};
use rollout_core::readiness::intent::Tier;
use rollout_core::readiness::known::{Unseen, Why};
use rollout_core::readiness::report::{Change, Finding, Report, Result as Readiness, Status};
use rollout_core::readiness::risk::AcceptedRisk;
use rollout_core::time::Timestamp;

/// What a finding is for the reader, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// It fails, and refuses a release.
    Blocks,
    /// It fails, and advises.
    Fails,
    /// Nobody can say.
    Unknown,
    /// It fails, and somebody has accepted that.
    Accepted,
    /// It passes.
    Passed,
    /// There is nothing to judge.
    NotApplicable,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Blocks,
        Self::Fails,
        Self::Unknown,
        Self::Accepted,
        Self::Passed,
        Self::NotApplicable,
    ];

    /// The mark before it.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Blocks => "✗",
            Self::Fails => "!",
            Self::Unknown => "?",
            Self::Accepted => "~",
            Self::Passed => "✓",
            Self::NotApplicable => "·",
        }
    }

    /// What so many of it are called.
    const fn counted(self) -> &'static str {
        match self {
            Self::Blocks => "blocking",
            Self::Fails => "advisory",
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::Passed => "passed",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// A finding with its check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) finding: &'a Finding,
    /// Its check; `None` only in a report that somebody has written by hand.
    pub(super) about: Option<&'a About>,
}

impl<'a> Row<'a> {
    pub(super) fn kind(&self) -> Kind {
        match self.finding.status {
            Status::Fail { .. } if self.is_blocking() => Kind::Blocks,
            Status::Fail { .. } => Kind::Fails,
            Status::Unknown { .. } => Kind::Unknown,
            Status::Accepted { .. } => Kind::Accepted,
            Status::Pass => Kind::Passed,
            Status::NotApplicable { .. } => Kind::NotApplicable,
        }
    }

    /// Whether its check may refuse a release.
    pub(super) fn is_blocking(&self) -> bool {
        self.about.is_some_and(|about| about.blocking)
    }

    pub(super) fn severity(&self) -> Severity {
        self.about.map_or(Severity::Low, |about| about.severity)
    }

    pub(super) fn title(&self) -> &'a str {
        self.about.map_or("", |about| about.title.as_ref())
    }

    fn area(&self) -> Area {
        self.about.map_or(Area::Own, |about| about.area)
    }
}

/// The findings of one area, worst first.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) area: Area,
    pub(super) rows: Vec<Row<'a>>,
}

impl Group<'_> {
    /// The worst of it.
    pub(super) fn kind(&self) -> Kind {
        let worst = self.rows.iter().map(Row::kind).min();
        worst.unwrap_or(Kind::NotApplicable)
    }

    /// How many there are of each kind, such as `2 blocking, 7 passed`.
    pub(super) fn counted(&self) -> String {
        counted(&self.rows)
    }
}

/// A report's findings by area: the area with the worst first, else in the catalogue's order.
pub(super) fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Area::ALL
        .into_iter()
        .map(|area| Group {
            area,
            rows: Vec::new(),
        })
        .collect();
    for row in rows(report) {
        let area = row.area();
        groups
            .iter_mut()
            .filter(|group| group.area == area)
            .for_each(|group| group.rows.push(row));
    }
    groups.retain(|group| !group.rows.is_empty());
    groups.sort_by_key(Group::kind);
    groups
}

/// A report's findings, in its order.
pub(super) fn rows(report: &Report) -> impl Iterator<Item = Row<'_>> {
    report.findings.iter().map(|finding| Row {
        finding,
        about: report.about(&finding.check),
    })
}

/// How many there are of each kind, worst first.
pub(super) fn tally(rows: &[Row<'_>]) -> Vec<(Kind, usize)> {
    let count = |kind: Kind| rows.iter().filter(|row| row.kind() == kind).count();
    let all = Kind::ALL.into_iter().map(|kind| (kind, count(kind)));
    all.filter(|(_, count)| *count > 0).collect()
}

fn counted(rows: &[Row<'_>]) -> String {
    let parts = tally(rows)
        .into_iter()
        .map(|(kind, count)| format!("{count} {}", kind.counted()));
    parts.collect::<Vec<_>>().join(", ")
}

/// How many findings there are of each kind: `1 blocking, 2 unknown, 40 passed`.
pub(super) fn verdict(report: &Report) -> String {
    let all: Vec<Row<'_>> = rows(report).collect();
    let counted = if all.is_empty() {
        "nothing found".to_owned()
    } else {
        counted(&all)
    };
    format!("{} checks: {counted}", report.checks.len())
}

/// Why a report comes to what it does.
pub(super) fn because(report: &Report) -> String {
    let of = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    match report.result() {
        Readiness::NotReady => of(report.blocking().count(), "blocking failure", "blocking failures"),
        Readiness::Unknown => of(
            report.undecided().count(),
            "blocking unknown",
            "blocking unknowns",
        ),
        Readiness::Ready => "nothing blocks".to_owned(),
    }
}

/// The mark of a result.
pub(super) const fn mark(result: Readiness) -> &'static str {
    match result {
        Readiness::Ready => "✓",
        Readiness::Unknown => "?",
        Readiness::NotReady => "✗",
    }
}

/// The day of a moment, `2026-11-20`.
pub(super) fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('T')
        .map_or_else(|| text.clone(), |(day, _)| day.to_owned())
}

/// Why something is not known, in words.
pub(super) fn unseen(unseen: &Unseen) -> String {
    format!("{unseen}{}", why(unseen))
}

/// What the words of it may leave open.
const fn why(unseen: &Unseen) -> &'static str {
    match unseen.why {
        Why::Denied => " (the caller may not read it)",
        Why::Failed => " (the call failed)",
        Why::NotAsked | Why::Missing => "",
    }
}

/// Who has accepted a risk, until when and why.
pub(super) fn accepted(risk: &AcceptedRisk) -> String {
    format!(
        "accepted by {} until {}: {}",
        risk.owner,
        day(risk.until),
        risk.reason
    )
}

/// What a finding says of a resource, in words.
pub(super) fn said(resource: &str, status: &Status) -> String {
    match status {
        Status::Fail { fault, uncovered } => {
            let story = format!("{} → {}", fault.seen, fault.wanted);
            match uncovered {
                Some(why) => format!("{story} ({why})"),
                None => story,
            }
        }
        Status::Unknown { unseen: what } if what.subject == resource => {
            format!("{}{}", what.text, why(what))
        }
        Status::Unknown { unseen: what } => unseen(what),
        Status::Accepted { fault, risk } => format!("{} → {}; {}", fault.seen, fault.wanted, accepted(risk)),
        Status::NotApplicable { why } => why.clone(),
        Status::Pass => String::new(),
    }
}

/// Where a check is asked, in words.
pub(super) fn tiers(tiers: &[Tier]) -> String {
    let word = |tier: &Tier| match tier {
        Tier::Development => "development",
        Tier::Staging => "staging",
        Tier::Production => "production",
    };
    match tiers {
        [] => "nowhere".to_owned(),
        all if all.len() == 3 => "everywhere".to_owned(),
        some => some.iter().map(word).collect::<Vec<_>>().join(", "),
    }
}

/// `blocking` or `advisory`.
pub(super) const fn blocking(about: &About) -> &'static str {
    if about.blocking { "blocking" } else { "advisory" }
}

/// What has changed since the baseline, for people.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// What is told one by one.
    pub(super) told: Vec<Change>,
    /// How many passes (or nothing to judge) are new.
    pub(super) new: usize,
    /// How many of them are gone.
    pub(super) gone: usize,
}

/// What has changed; passes that come and go are only counted, since a new check or a new service brings many.
pub(super) fn changes(report: &Report, earlier: &Report) -> Changes {
    let calm = |status: &Option<Status>| matches!(status, Some(Status::Pass | Status::NotApplicable { .. }));
    let mut out = Changes::default();
    for change in report.since(earlier) {
        if change.was.is_none() && calm(&change.is) {
            out.new += 1;
        } else if change.is.is_none() && calm(&change.was) {
            out.gone += 1;
        } else {
            out.told.push(change);
        }
    }
    out
}

impl Changes {
    /// What is only counted, in one line; `None` when that is nothing.
    pub(super) fn counted(&self) -> Option<String> {
        let part = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let parts = [
            part(self.new, "new without a fault"),
            part(self.gone, "without a fault gone"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// How a change is told: `pass, now fail: no web ACL → a web ACL`.
pub(super) fn told(change: &Change) -> String {
    let was = change.was.as_ref().map_or("new", Status::word);
    let Some(is) = &change.is else {
        return format!("was {was}, is no longer there");
    };
    let said = said(&change.resource, is);
    let said = if said.is_empty() {
        said
    } else {
        format!(": {said}")
    };
    match &change.was {
        Some(before) if before.word() == is.word() => format!("still {}{said}", is.word()),
        Some(_) => format!("was {was}, now {}{said}", is.word()),
        None => format!("new, {}{said}", is.word()),
    }
}

/// Calls in all.
pub(super) fn calls(report: &Report) -> u64 {
    report.calls.values().map(|count| u64::from(*count)).sum()
}
