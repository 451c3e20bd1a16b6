//! The view on a terminal: one line a step, drawn again in place.

use core::fmt::Write as _;
use std::io::{self, Write};

use rollout_core::time::{Timestamp, Wait};

use super::model::{Row, Snapshot, State, short};
use super::paint::{Colour, Paint};

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl Size {
    /// Of the terminal on standard output; 80 by 24 when it does not tell.
    pub(crate) fn of_terminal() -> Self {
        match terminal_size::terminal_size() {
            Some((width, height)) if width.0 > 0 && height.0 > 0 => Self {
                columns: usize::from(width.0),
                rows: usize::from(height.0),
            },
            _ => Self {
                columns: 80,
                rows: 24,
            },
        }
    }
}

/// Draws frames over each other.
pub(crate) struct Live<W> {
    out: W,
    paint: Paint,
    /// Lines of the last frame, which the next one covers.
    drawn: usize,
}

impl<W: Write> Live<W> {
    pub(crate) const fn new(out: W, paint: Paint) -> Self {
        Self { out, paint, drawn: 0 }
    }

    /// Draws a frame in place of the last one. One write, so that nothing flickers.
    pub(crate) fn draw(&mut self, snapshot: &Snapshot, now: Timestamp, size: Size) -> io::Result<()> {
        let lines = frame(snapshot, now, size, self.paint);
        let mut text = self.back();
        text.push_str("\x1b[?7l");
        for line in &lines {
            // To the end of the line first: what stood there is gone even when the new text is shorter.
            let _ = writeln!(text, "\r\x1b[2K{line}");
        }
        text.push_str("\x1b[J\x1b[?7h");
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Prints a line that stays, above the view.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        let text = format!("{}\x1b[J{line}\n", self.back());
        self.drawn = 0;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn back(&self) -> String {
        match self.drawn {
            0 => "\r".to_owned(),
            lines => format!("\x1b[{lines}A\r"),
        }
    }
}

/// The lines of one frame, none wider than the terminal.
pub(crate) fn frame(snapshot: &Snapshot, now: Timestamp, size: Size, paint: Paint) -> Vec<String> {
    // On a terminal narrower than this the rest is cut off by the terminal itself.
    let width = size.columns.saturating_sub(1).max(39);
    let mut lines = vec![headline(snapshot, now, width, paint), String::new()];
    let (rows, hidden) = fit(&snapshot.rows, size.rows.saturating_sub(4));
    if hidden > 0 {
        lines.push(paint.colour(Colour::Grey, &format!("  … {hidden} more")));
    }
    let names = rows
        .iter()
        .map(|row| row.title().1.chars().count())
        .max()
        .unwrap_or(0);
    let columns = Columns {
        name: names.min(width / 3),
        width,
    };
    lines.extend(rows.iter().map(|row| line(row, now, &columns, paint)));
    lines
}

fn headline(snapshot: &Snapshot, now: Timestamp, width: usize, paint: Paint) -> String {
    let elapsed = short(now.since(snapshot.began));
    let left = format!("{}  {}", snapshot.title, snapshot.phase);
    let room = width.saturating_sub(elapsed.len() + 1);
    let left = cut(&left, room);
    let gap = width.saturating_sub(left.chars().count() + elapsed.len());
    let title: String = left.chars().take(snapshot.title.chars().count()).collect();
    let rest: String = left.chars().skip(snapshot.title.chars().count()).collect();
    format!("{}{rest}{}{elapsed}", paint.strong(&title), " ".repeat(gap))
}

/// The rows for which there is room: what is over goes first, then what has not begun.
fn fit(rows: &[Row], room: usize) -> (Vec<&Row>, usize) {
    let mut shown: Vec<&Row> = rows.iter().collect();
    if shown.len() <= room {
        return (shown, 0);
    }
    let room = room.saturating_sub(1).max(1);
    while shown.len() > room {
        let place = shown
            .iter()
            .position(|row| row.state == State::Done)
            .or_else(|| shown.iter().rposition(|row| row.state == State::Pending))
            .unwrap_or(0);
        shown.remove(place);
    }
    let hidden = rows.len() - shown.len();
    (shown, hidden)
}

struct Columns {
    name: usize,
    width: usize,
}

/// `✓ service  backend   3 of 3 tasks   23s`.
fn line(row: &Row, now: Timestamp, columns: &Columns, paint: Paint) -> String {
    const KIND: usize = 8;
    let (mark, colour) = match row.state {
        State::Pending => ("·", Colour::Grey),
        State::Working => ("●", Colour::Yellow),
        State::Done => ("✓", Colour::Green),
        State::Failed => ("✗", Colour::Red),
    };
    let (kind, name) = row.title();
    let elapsed = row.elapsed(now).map(short).unwrap_or_default();
    let name = pad(&cut(&name, columns.name), columns.name);
    let fixed = 4 + KIND + 1 + columns.name + 2;
    let room = columns.width.saturating_sub(fixed + elapsed.len() + 2);
    let note = pad(&cut(&note(row, now), room), room);
    let text = format!("{} {name}  {note}  {elapsed}", pad(kind, KIND));
    let text = if row.state == State::Pending {
        paint.colour(Colour::Grey, &text)
    } else {
        text
    };
    format!("  {} {text}", paint.colour(colour, mark))
}

/// What it does and why it waits, with a countdown where waiting is all that happens.
fn note(row: &Row, now: Timestamp) -> String {
    let Some(wait) = row.wait.filter(|_| row.state == State::Working) else {
        return row.note.clone();
    };
    let left = wait.at.since(now);
    let why = match wait.why {
        // A look every few seconds is no news; a call under way is.
        Wait::Poll | Wait::GiveUp | Wait::Proceed => None,
        Wait::Answer => Some("waiting for an answer".to_owned()),
        Wait::Retry => Some(format!("again in {}", short(left))),
        other => Some(format!("{other}, {} left", short(left))),
    };
    match (row.note.is_empty(), why) {
        (_, None) => row.note.clone(),
        (true, Some(why)) => why,
        (false, Some(why)) => format!("{}; {why}", row.note),
    }
}

/// Cuts a text to a width, with an ellipsis.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        short.push('…');
    }
    short
}

/// A text, as wide as it must be with spaces after it.
pub(super) fn pad(text: &str, width: usize) -> String {
    let gap = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(gap))
}

#[cfg(test)]
mod tests {
    use rollout_core::time::Deadline;

    use super::*;

    const SIZE: Size = Size {
        columns: 80,
        rows: 24,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn working(step: &str, note: &str) -> Row {
        Row {
            state: State::Working,
            began: Some(at(10)),
            ..Row::pending(step, note)
        }
    }

    fn snapshot(rows: Vec<Row>) -> Snapshot {
        Snapshot {
            title: "2.4.0 → production".to_owned(),
            run: "r-1".to_owned(),
            phase: "changing".to_owned(),
            began: at(0),
            rows,
        }
    }

    #[test]
    fn a_frame_shows_every_step_with_its_time() {
        let done = Row {
            state: State::Done,
            ended: Some(at(15)),
            ..working("image/backend/app", "sha256:0123456789ab")
        };
        let rows = vec![
            done,
            working("service/backend", "2 of 3 tasks"),
            Row::pending("service/frontend", "after backend"),
        ];
        let lines = frame(&snapshot(rows), at(33), SIZE, Paint::plain());
        assert_eq!(
            lines.iter().map(|l| l.trim_end()).collect::<Vec<_>>(),
            [
                "2.4.0 → production  changing                                                33s",
                "",
                "  ✓ image    backend · app  sha256:0123456789ab                              5s",
                "  ● service  backend        2 of 3 tasks                                    23s",
                "  · service  frontend       after backend",
            ]
            .map(|l| l.trim_end())
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "the task stopped for a reason that goes on and on and on and on ".repeat(4);
        let rows = vec![working("service/a-service-with-quite-a-long-name-in-it", &long)];
        for columns in [40, 80, 200] {
            let size = Size { columns, ..SIZE };
            for line in frame(&snapshot(rows.clone()), at(33), size, Paint::plain()) {
                assert!(line.chars().count() < columns, "{columns}: {line:?}");
            }
        }
    }

    #[test]
    fn a_small_terminal_keeps_what_is_under_way() {
        let mut rows: Vec<Row> = (0..20)
            .map(|n| Row {
                state: State::Done,
                ..Row::pending(format!("image/{n}"), "")
            })
            .collect();
        rows.push(working("service/backend", "here"));
        let size = Size { rows: 10, ..SIZE };
        let lines = frame(&snapshot(rows), at(33), size, Paint::plain());
        assert!(lines.len() <= 9, "{lines:#?}");
        assert!(lines.iter().any(|l| l.contains("here")), "{lines:#?}");
        assert!(lines.iter().any(|l| l.contains("… 16 more")), "{lines:#?}");
    }

    #[test]
    fn a_wait_says_why_and_how_long() {
        let mut row = working("gate/backend/healthy", "4 of 4 probes hold");
        row.wait = Some(Deadline::new(at(100), Wait::Bake));
        assert_eq!(note(&row, at(40)), "4 of 4 probes hold; bake time, 1m 00s left");
        row.wait = Some(Deadline::new(at(45), Wait::Poll));
        assert_eq!(note(&row, at(40)), "4 of 4 probes hold");
    }

    #[test]
    fn a_second_frame_covers_the_first() {
        let mut out = Vec::new();
        let mut live = Live::new(&mut out, Paint::plain());
        live.draw(&snapshot(vec![working("service/a", "")]), at(11), SIZE)
            .expect("a vector takes everything");
        live.draw(&snapshot(Vec::new()), at(12), SIZE)
            .expect("a vector takes everything");
        let text = String::from_utf8(out).expect("it is text");
        let second = text.split("\x1b[J\x1b[?7h").nth(1).expect("two frames");
        assert!(second.starts_with("\x1b[3A\r"), "{second:?}");
        assert_eq!(second.matches('\n').count(), 2);
    }
}
