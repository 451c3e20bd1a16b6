//! Names and strings as Route 53 writes them. It knows no SDK, so that the fuzz targets can take it as it is.

/// A name as Route 53 lists it, made comparable: `\052` and its like undone, lower case, no trailing dot
/// (Amazon Route 53 developer guide, "DNS domain name format": other characters are listed as `\` and three octal digits).
pub(crate) fn plain_name(listed: &str) -> String {
    let mut bytes = unescape(listed);
    if bytes.last() == Some(&b'.') {
        bytes.pop();
    }
    String::from_utf8_lossy(&bytes).to_ascii_lowercase()
}

/// Undoes `\ooo` (octal).
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            [next, after @ ..] => {
                bytes.push(*next);
                rest = after;
            }
            [] => bytes.push(first),
        }
    }
    bytes
}
