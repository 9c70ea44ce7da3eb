//! The names of things: stores, items, commands, promises, keys.

use std::{fmt, rc::Rc};

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident($inner:ty),)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub struct $name(pub $inner);
        )+
    };
}

ids! {
    /// A store of this page, in the order in which the stores were opened.
    StoreId(u16),
    /// A client storage of this page; several stores may share one, and then share its transactions.
    StorageId(u16),
    /// The runtime key `__id` of an item: never changes, never used again.
    ItemId(u32),
    /// A command that the shell was asked to carry out, and will answer exactly once.
    CommandId(u32),
    /// A promise that a page waits for.
    Token(u32),
    /// The place of an edit in the order in which edits were made on this device.
    Seq(u64),
    /// The key that a server can tell a repeated request by.
    IdempotencyKey(u128),
}

/// What tells one state of a row from another, opaque as the server gave it (RFC 9110 §8.8: an entity tag, or a date).
pub type Validator = Rc<str>;

/// Before which bytes a UUID has its dashes (RFC 9562 §4).
const DASHES: [usize; 4] = [4, 6, 8, 10];

impl IdempotencyKey {
    /// A key made of random bits: a UUID of version 4 (RFC 9562 §5.4).
    #[must_use]
    pub const fn random(bits: u128) -> Self {
        let version = 4 << 76;
        let variant = 0b10 << 62;
        Self(bits & !(0xf << 76) & !(0b11 << 62) | version | variant)
    }

    /// As a UUID, the form that servers expect in `Idempotency-Key`.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = String::with_capacity(36);
        for (place, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            if DASHES.contains(&place) {
                text.push('-');
            }
            push_digits(&mut text, byte.into(), 16, 2);
        }
        text
    }

    /// Reads what `text` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte).to_digit(16));
        let (mut key, mut count) = (0_u128, 0);
        for digit in digits {
            key = (key << 4) | u128::from(digit?);
            count += 1;
        }
        (count == 32 && text.len() == 36).then_some(Self(key))
    }
}

/// Writes the last `width` digits of a number, so that text of the same width sorts as numbers do.
pub(super) fn push_digits(text: &mut String, number: u64, base: u64, width: u32) {
    if width > 0 {
        push_digits(text, number / base, base, width - 1);
        #[allow(clippy::cast_possible_truncation, reason = "a digit")]
        let digit = (number % base) as u8;
        text.push(char::from(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }));
    }
}

/// A whole number as text. The standard library's way brings all of its formatting with it, which is 0.7 kB of the package.
#[must_use]
pub fn decimal(number: u64) -> String {
    let mut text = String::with_capacity(20);
    push_digits(&mut text, number, 10, 1 + number.checked_ilog10().unwrap_or(0));
    text
}

/// The key of an item for one target. Compared as text, so `1` and `"1"` are one key; whether it was a number is kept,
/// because a server that said `1` wants to read `1` again.
#[derive(Clone)]
pub struct Key {
    text: Rc<str>,
    /// Whether the key is a JavaScript number.
    pub numeric: bool,
}

impl Key {
    /// A key with this text.
    #[must_use]
    pub fn new(text: &str, numeric: bool) -> Self {
        Self { text: text.into(), numeric }
    }

    /// Whether it can be a segment of a URL path: what is empty or means a folder leads elsewhere (RFC 3986 §5.2.4).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        !matches!(&*self.text, "" | "." | "..")
    }

    /// The text by which it is compared and put into a URL.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Key {
    /// As JavaScript writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.numeric { f.write_str(&self.text) } else { fmt::Debug::fmt(&self.text, f) }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}
