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

/// The same of histories with several tabs.
pub const ONCE_BROKEN_WITH_TABS: [u64; 8] = [
    // An edit that another tab's note had gone over came back older, by a tab whose records did not count.
    105_609, 110_683,
    // An edit of a row that another tab had removed kept an attempt of a record that was gone; or its 404 was overlooked.
    32_076, 2_035_531,
    // A create whose record was not written was sent, and sent again under another key.
    4_039_285,
    // The attempt of a sender that had to read the records again waited for ever for its own, and onceStored() with it; or its lane
    // came free when nobody looked any more.
    20_037_542, 20_004_590, 4_019_584,
];
