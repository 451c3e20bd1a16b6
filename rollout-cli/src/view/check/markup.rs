//! Text within XML and HTML.

use quick_xml::escape::escape;

use super::flow::one_line;

/// A text for the content of an element or of an attribute in double quotes, on one line, without what XML 1.0 does not know
/// ("Characters"): control characters and the two that are no characters.
pub(super) fn text(text: &str) -> String {
    let known = one_line(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    escape(known).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(
            super::text("<script>\"a\" & 'b'</script>\u{1b}[0m\n]]>\u{0}\u{ffff}ü"),
            "&lt;script&gt;&quot;a&quot; &amp; &apos;b&apos;&lt;/script&gt; [0m ]]&gt; \u{fffd}ü"
        );
    }
}
