//! How long to wait before trying again, and the one source of randomness.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{
    config::{BACKOFF_BASE, RETRY_AFTER_CAP},
    id::IdempotencyKey,
    time::Millis,
};

/// A generator whose seed is an input, so that the same inputs give the same outputs.
#[derive(Clone, Debug)]
pub(super) struct Random(Xoshiro256PlusPlus);

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self(Xoshiro256PlusPlus::from_seed(seed))
    }

    /// Full jitter: anything from nothing to `min(cap, base · 2^attempt)`.
    ///
    /// Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    pub(super) fn backoff(&mut self, attempt: u32, cap: Millis) -> Millis {
        let ceiling = BACKOFF_BASE.0.saturating_mul(1 << attempt.min(20)).min(cap.0);
        Millis(self.0.next_u64() % (ceiling + 1))
    }

    /// A key that nobody else makes.
    pub(super) fn uuid(&mut self) -> IdempotencyKey {
        let halves = [self.0.next_u64(), self.0.next_u64()].map(u128::from);
        IdempotencyKey::random((halves[0] << 64) | halves[1])
    }

    /// A whole number that JavaScript holds exactly.
    pub(super) fn safe_integer(&mut self) -> u64 {
        self.0.next_u64() >> 11
    }
}

/// The span that a `Retry-After` of so many seconds asks for (RFC 9110 §10.2.3), at most one hour; nothing if it is no
/// number. The shell turns a date into seconds, because only the platform knows the many forms of dates.
pub fn retry_after(value: &str) -> Option<Millis> {
    let value = value.trim_ascii();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A number that is too long to be read is a long time.
    Some(Millis(value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000)).min(RETRY_AFTER_CAP))
}
