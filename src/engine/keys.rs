//! The keys that are made here for client storage: ascending in one page and from page to page, unique among pages.

use super::{
    backoff::Random,
    id::{Key, decimal, push_digits},
    time::Millis,
};

/// 1 January 2020: with 4096 numbers for each millisecond since, keys are exact in JavaScript until 2089.
const NUMBERS_SINCE: Millis = Millis(1_577_836_800_000);
const NUMBERS_PER_MILLISECOND: u64 = 4096;

/// What the next key depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// When the first text key was made, and a number that no other page has.
    page: Option<(Millis, u64)>,
    texts: u64,
    last_number: u64,
}

impl Keys {
    pub(super) fn next(&mut self, numeric: bool, now: Millis, random: &mut Random) -> Key {
        if numeric {
            let fresh = now.since(NUMBERS_SINCE).0 * NUMBERS_PER_MILLISECOND;
            let fresh = fresh + random.safe_integer() % NUMBERS_PER_MILLISECOND;
            self.last_number = fresh.max(self.last_number + 1);
            return Key::new(&decimal(self.last_number), true);
        }
        let (since, page) = *self.page.get_or_insert_with(|| (now, random.safe_integer()));
        self.texts += 1;
        let mut text = String::with_capacity(26);
        push_digits(&mut text, since.0, 36, 9);
        push_digits(&mut text, self.texts, 36, 6);
        push_digits(&mut text, page, 36, 11);
        Key::new(&text, false)
    }
}
