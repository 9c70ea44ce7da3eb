//! Histories that broke an invariant once. What a seed means changes when the world learns something new; they are kept
//! all the same, because they cost nothing.

pub const ONCE_BROKEN: [u64; 11] = [
    // Found while conflicts, paging and cursors came into the engine.
    412, 428, 1_064, 1_923, 8_752, 9_692, // Found only by runs of a million histories and more.
    510_662, 1_154_906, 1_961_508,
    // An item that was read by itself while the collection was read, and deleted elsewhere between the two answers, stayed for
    // ever: the cursor was past its deletion.
    10_806_362,
    // An item that was deleted elsewhere while it had an unsent edit stayed for ever when that was given up, for the same reason.
    30_013_652,
];
