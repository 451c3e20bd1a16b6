//! Colour, where it is wanted.

use std::io::IsTerminal as _;

/// The few colours that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    Grey,
}

impl Colour {
    const fn code(self) -> &'static str {
        match self {
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Grey => "90",
        }
    }
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) const fn plain() -> Self {
        Self { on: false }
    }

    /// Whatever it is written to.
    #[cfg(test)]
    pub(crate) const fn always() -> Self {
        Self { on: true }
    }

    /// For standard output: a terminal that is not dumb, and nobody said no (no-color.org).
    pub(crate) fn for_stdout(no_color: bool) -> Self {
        Self::wanted(no_color, std::io::stdout().is_terminal())
    }

    /// For standard error.
    pub(crate) fn for_stderr(no_color: bool) -> Self {
        Self::wanted(no_color, std::io::stderr().is_terminal())
    }

    fn wanted(no_color: bool, terminal: bool) -> Self {
        let said_no = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            on: terminal && !said_no && !dumb(),
        }
    }

    pub(crate) fn colour(self, colour: Colour, text: &str) -> String {
        self.wrap(colour.code(), text)
    }

    pub(crate) fn bold(self, colour: Colour, text: &str) -> String {
        self.wrap(&format!("1;{}", colour.code()), text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A terminal that cannot move its cursor.
pub(crate) fn dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}
