//! The numbers that decide how patient the engine is, each with its reason.

use super::time::Millis;

/// Requests at once for each origin: what browsers allow over HTTP/1.1, and polite over HTTP/2.
pub const MAX_REQUESTS: usize = 6;
/// The first backoff span; doubled with each attempt.
pub const BACKOFF_BASE: Millis = Millis(500);
/// The longest backoff: somebody who looks at the page sees it recover within a minute.
pub const BACKOFF_CAP: Millis = Millis(60_000);
/// The longest backoff for one address that fails while the rest of its origin answers.
pub const BLOCKED_CAP: Millis = Millis(600_000);
/// How often an address must fail on a reachable origin until it counts as blocked.
pub const BLOCKED_AFTER: u32 = 3;
/// The longest `Retry-After` that is honoured.
pub const RETRY_AFTER_CAP: Millis = Millis(3_600_000);
/// Requests in an outage that are free; after them one every `OUTAGE_SPACING`.
pub const OUTAGE_FREE: u64 = 8;
/// One of so many probes of an outage may be an edit that was never sent; the others are reads, or edits that were. What has
/// been sent is frozen, and could not be joined with what is edited while the outage lasts.
pub const ANY_PROBE: u32 = 8;
/// The least span between requests of a long outage.
pub const OUTAGE_SPACING: Millis = Millis(5_000);
/// How often in a row the edits of one item are merged into what the server says it holds instead; then it is parked. Who
/// loses so often against others' edits contradicts a rule of the server rather than them.
pub const MAX_DISPUTES: u8 = 5;
/// How often an item is read in vain, by a server that can be reached, before its edit is sent without.
pub const MAX_LOOKS: u8 = 3;
/// How often an aborted batch is written again at once, before client storage counts as failed.
pub const BATCH_TRIES: u32 = 3;
/// An outage that is shorter is no reason to read whole collections again: nobody who looks at the page for as long as
/// that expects news. What has a cursor is read again after any outage, since that costs next to nothing.
pub const OUTAGE_MISSED: Millis = Millis(5_000);
/// How long a tab waits for a word of the sender before it takes its place: much longer than a page is busy, and short
/// enough that what is edited beside a frozen tab is sent while somebody looks.
pub const SILENCE: Millis = Millis(5_000);
/// How long a tab with unsent edits goes without a word of the sender before it asks for one. The sender may have been silent because
/// the server is out of reach; then this is one message and one look into the database.
pub const HEARTBEAT: Millis = Millis(30_000);
/// How long a sender that has written nothing may send an attempt again without writing. Shorter than the silence after which
/// another tab takes its place.
pub const LEASE: Millis = Millis(2_500);
/// Pages of one read: at ten rows a page more than memory holds, and an end for a server that always knows one more.
pub const MAX_PAGES: usize = 10_000;
