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

    /// A fresh random UUID (RFC 9562 version 4).
    pub(super) fn uuid(&mut self) -> IdempotencyKey {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        IdempotencyKey(uuid::Builder::from_random_bytes(bytes).into_uuid().as_u128())
    }

    /// A whole number that JavaScript holds exactly.
    pub(super) fn safe_integer(&mut self) -> u64 {
        self.0.next_u64() >> 11
    }
}

/// The span that a `Retry-After` asks for: seconds, or an HTTP date (RFC 9110 §10.2.3, §5.6.7).
/// Nothing if it is neither. At most one hour; a date in the past gives no wait.
pub fn retry_after(value: &str, now: Millis) -> Option<Millis> {
    let value = value.trim();
    let span = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too long to be read is a long time.
        Millis(value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000))
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        let since_epoch = date.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
        Millis(u64::try_from(since_epoch.as_millis()).ok()?).since(now)
    };
    Some(span.min(RETRY_AFTER_CAP))
}
