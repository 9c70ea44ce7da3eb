//! Addresses: how a base, a path and an id become one.
//!
//! It owns joining, percent-encoding and templates. Resolving against the page is the browser's `URL`.

/// Percent-encodes everything but the unreserved characters of RFC 3986, section 2.3.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            let digits = [byte >> 4, byte & 15].map(|nibble| DIGITS.get(usize::from(nibble)).copied());
            encoded.extend(digits.into_iter().flatten());
        }
    }
    encoded
}

/// `base/path` with exactly one slash in between and none at the end.
#[must_use]
pub fn join(base: &str, path: &str) -> String {
    [base.trim_end_matches('/'), "/", path.trim_matches('/')].concat()
}

/// Fills `:basePath` and `:id` into a template, in one pass, so that a `:id` inside the base path stays what it is.
#[must_use]
pub fn fill(template: &str, base_path: &str, id: &str) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(':') {
        filled.push_str(before);
        let (name, tail) = split_name(after);
        match name {
            "basePath" => filled.push_str(base_path),
            "id" => filled.push_str(id),
            other => {
                filled.push(':');
                filled.push_str(other);
            }
        }
        rest = tail;
    }
    filled.push_str(rest);
    filled
}

/// Whether the template has this placeholder.
#[must_use]
pub fn has(template: &str, name: &str) -> bool {
    template.split(':').skip(1).any(|part| split_name(part).0 == name)
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}
