//! What may stand in a header: validated, because a browser throws at the rest, and gloo-net panics at that.
//!
//! It owns the grammar. Which headers are sent is decided in `http`.

/// Whether this is a token (RFC 9110, section 5.6.2), as header names and methods must be.
#[must_use]
pub fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether this can be a header's value (RFC 9110, section 5.5): visible Latin-1, spaces and tabs within.
#[must_use]
pub fn is_value(value: &str) -> bool {
    value.trim_matches([' ', '\t']) == value
        && value.chars().all(|c| matches!(c, '\t' | ' '..='~' | '\u{a0}'..='\u{ff}'))
}
