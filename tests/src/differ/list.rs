//! The list of differences, as `docs/differential.md` has it for people to read.
//!
//! A heading of the second level begins with the emulator's name. Below it each difference is a heading of the third level,
//! `### step, step: aspect`, and one line for each of what the two did, what AWS documents, and who is right.

/// A difference that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The steps at which it occurs.
    pub steps: Vec<String>,
    /// What of them.
    pub aspect: String,
    /// What the endpoint does.
    pub endpoint: String,
    /// What the emulator does.
    pub emulator: String,
    /// What AWS documents, with the page's title.
    pub aws: String,
    /// Who is right.
    pub right: Right,
    /// Where it is in the file.
    pub line: usize,
}

/// Who does what AWS documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Right {
    /// The simulated cloud's endpoint.
    #[default]
    Endpoint,
    /// The emulator.
    Emulator,
    /// Both: AWS allows either.
    Both,
    /// Neither.
    Neither,
    /// AWS documents nothing that tells.
    Open,
}

impl Right {
    fn read(word: &str) -> Option<Self> {
        Some(match word {
            "endpoint" => Self::Endpoint,
            "emulator" => Self::Emulator,
            "both" => Self::Both,
            "neither" => Self::Neither,
            "open" => Self::Open,
            _ => return None,
        })
    }
}

/// The entries of one emulator.
///
/// # Errors
/// What cannot be read, with its line.
pub fn entries(text: &str, emulator: &str) -> Result<Vec<Entry>, String> {
    let mut list: Vec<Entry> = Vec::new();
    // The members of the last entry that were read.
    let mut members: Vec<&str> = Vec::new();
    let mut ours = false;
    let label = format!("- {emulator}: ");
    for (line, text) in (1..).zip(text.lines()) {
        if let Some(title) = text.strip_prefix("## ") {
            ours = title.split_whitespace().next() == Some(emulator);
        } else if !ours {
        } else if let Some(title) = text.strip_prefix("### ") {
            let (steps, aspect) = title
                .rsplit_once(": ")
                .ok_or_else(|| format!("line {line}: a heading is `step, step: aspect`"))?;
            list.push(Entry {
                steps: steps.split(", ").map(str::to_owned).collect(),
                aspect: aspect.to_owned(),
                line,
                ..Entry::default()
            });
            members.clear();
        } else if text.starts_with("- ") {
            let entry = list
                .last_mut()
                .ok_or_else(|| format!("line {line}: no difference is above"))?;
            let member = member(entry, text, &label).map_err(|why| format!("line {line}: {why}"))?;
            if members.contains(&member) {
                return Err(format!("line {line}: {member} twice"));
            }
            members.push(member);
        }
        if let (Some(entry), true) = (list.last(), text.is_empty() || text.starts_with("## "))
            && !members.is_empty()
            && members.len() < 4
        {
            return Err(format!("line {}: it has only {members:?}", entry.line));
        }
    }
    match list.last() {
        Some(entry) if members.len() < 4 => Err(format!("line {}: it has only {members:?}", entry.line)),
        Some(_) | None => Ok(list),
    }
}

/// Reads one line of an entry, and says which it is.
fn member<'a>(entry: &mut Entry, text: &'a str, label: &str) -> Result<&'a str, String> {
    let value = |name: &str| text.strip_prefix(name).map(|rest| rest.trim().replace('`', ""));
    if let Some(value) = value("- endpoint: ") {
        entry.endpoint = value;
        Ok("endpoint")
    } else if let Some(value) = value(label) {
        entry.emulator = value;
        Ok("emulator")
    } else if let Some(said) = text.strip_prefix("- AWS: ") {
        said.trim().clone_into(&mut entry.aws);
        Ok("AWS")
    } else if let Some(word) = text.strip_prefix("- right: ") {
        entry.right = Right::read(word.trim()).ok_or_else(|| format!("`{word}` is not who is right"))?;
        Ok("right")
    } else {
        Err(format!("`{text}` is no part of a difference"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\n- not an entry\n\n## ministack 1.5.33\n\nWords.\n\n### create, update: events\n\
        - endpoint: `a > b`\n- ministack: nothing\n- AWS: \"a\" then `b` (Service events)\n- right: endpoint\n\n\
        ### crash: reason\n- endpoint: x: y\n- ministack: z\n- AWS: nothing\n- right: open\n\n## moto 5\n\n";

    #[test]
    fn entries_are_read() {
        let list = entries(TEXT, "ministack").expect("a list");
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].steps, ["create", "update"]);
        assert_eq!(
            (list[0].endpoint.as_str(), list[0].emulator.as_str()),
            ("a > b", "nothing")
        );
        assert_eq!(list[0].aws, "\"a\" then `b` (Service events)");
        assert_eq!((list[1].endpoint.as_str(), list[1].right), ("x: y", Right::Open));
        assert_eq!(list[1].line, 15);
        assert_eq!(entries(TEXT, "moto"), Ok(vec![]));
    }

    #[test]
    fn what_lacks_a_part_is_refused() {
        for (from, to) in [
            ("- AWS: nothing\n", ""),
            ("- right: endpoint\n", ""),
            ("- right: open", "- right: perhaps"),
            ("- ministack: z", "- moto: z"),
            ("crash: reason", "crash"),
            ("- endpoint: x: y\n", "- endpoint: x: y\n- endpoint: x: y\n"),
        ] {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT);
            assert!(entries(&text, "ministack").is_err(), "{from}");
        }
    }
}
