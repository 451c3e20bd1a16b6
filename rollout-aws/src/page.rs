//! Lists come in pages; a list that never ends, or that repeats a page, is an error and not a hang.

use std::collections::BTreeSet;

use rollout_core::error::{Error, ErrorKind};

/// Follows the tokens of one list.
pub(crate) struct Pages {
    operation: &'static str,
    seen: BTreeSet<String>,
    left: usize,
}

impl Pages {
    /// At most `pages` pages.
    pub(crate) fn new(operation: &'static str, pages: usize) -> Self {
        Self {
            operation,
            seen: BTreeSet::new(),
            left: pages,
        }
    }

    /// The token of the next page, if there is one.
    pub(crate) fn next(&mut self, token: Option<String>) -> Result<Option<String>, Error> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        self.left = self.left.saturating_sub(1);
        let context = if self.left == 0 {
            "the list is longer than anything expected here"
        } else if !self.seen.insert(token.clone()) {
            "the list came back to a page that it had already given"
        } else {
            return Ok(Some(token));
        };
        Err(Error::new(ErrorKind::Unexpected, self.operation, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_the_end_at_a_repeat_and_at_the_bound() {
        let token = |text: &str| Some(text.to_owned());
        let mut pages = Pages::new("ecs:ListTasks", 3);
        assert_eq!(pages.next(token("a")).expect("a page"), token("a"));
        assert_eq!(pages.next(None).expect("the end"), None);
        assert_eq!(pages.next(token("")).expect("the end"), None);
        assert!(
            pages
                .next(token("a"))
                .is_err_and(|e| e.context.contains("already"))
        );

        let mut pages = Pages::new("ecs:ListTasks", 2);
        assert!(pages.next(token("a")).is_ok());
        assert!(
            pages
                .next(token("b"))
                .is_err_and(|e| e.context.contains("longer"))
        );
    }
}
