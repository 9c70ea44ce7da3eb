//! Histories that broke an invariant once. What a seed means changes when the world learns something new; they are kept
//! all the same, because they cost nothing.

pub const ONCE_BROKEN: [u64; 15] = [
    // Found while conflicts, paging and cursors came into the engine.
    412,
    428,
    1_064,
    1_923,
    8_752,
    9_692,
    // Found only by runs of a million histories and more.
    510_662,
    1_154_906,
    1_961_508,
    // An item that was read by itself while the collection was read, and deleted elsewhere between the two answers, stayed for
    // ever: the cursor was past its deletion.
    10_806_362,
    // An item that was deleted elsewhere while it had an unsent edit stayed for ever when that was given up, for the same reason.
    30_013_652,
    // A list and a read of one of its items crossed: the older row of the list kept the version of the newer one, so that the next edit
    // wrote over what somebody else had changed, and the server could not see it.
    701_231_150,
    // An edit that waited for a read of its item waited for ever when that item turned out to be another one.
    701_704_618,
    // A create under a key of the app's own was stored and sent, and the page killed before it knew; a read showed the row, the app removed
    // it, and since the create was refused the two counted as undone: the row stayed there, and was not here any more.
    711_173_978,
    // The app removed by its key, before the store was read, what had been stored as a create: it was created instead.
    711_203_792,
];

/// The same of histories with several tabs.
pub const ONCE_BROKEN_WITH_TABS: [u64; 36] = [
    // An edit that another tab's note had gone over came back older, by a tab whose records did not count.
    105_609,
    110_683,
    // An edit of a row that another tab had removed kept an attempt of a record that was gone; or its 404 was overlooked.
    32_076,
    2_035_531,
    // A create whose record was not written was sent, and sent again under another key.
    4_039_285,
    // The attempt of a sender that had to read the records again waited for ever for its own, and onceStored() with it; or its lane
    // came free when nobody looked any more.
    20_037_542,
    20_004_590,
    4_019_584,
    // A server without keys had made two rows of one create, and an edit of the one was taken into its record while the tab that had
    // made it took it for one of the other: there it waited for ever.
    40_016_759,
    // A frozen sender gave up an attempt that waited for its record, or took it back because it had lost the lock, as if nothing had been
    // sent of it; another had sent it meanwhile.
    500_306_379,
    700_075_202,
    // The lock was lost to a tab that froze with it, and nobody sent what was left; a new sender awaited a row that it did not ask for,
    // or passed over the answer; edits of others that were never written down waited in a tab for ever.
    501_280,
    505_355,
    579_542,
    700_334_029,
    // A tab that had been frozen brought back what another had deleted, from an answer or from what it had read before.
    501_364,
    531_039,
    // Of two items that turned out to be one, both had been edited: an older value covered a newer one.
    700_306_259,
    700_351_335,
    // What a page had stored in a store that it closed was not there when it opened the store anew, and lost.
    740_000_018,
    // A tab that did not write the records could not close when the server had told where the next read goes on.
    740_000_138,
    // The cursor was past what the records did not say: a row that was deleted elsewhere stayed for ever.
    740_004_710,
    741_024_964,
    741_052_860,
    // What was read before a tab was frozen, and deleted by another meanwhile, was written down by an answer of that time.
    59_059,
    745_199_987,
    // A row that was asked about before the tab came to send was not asked about again.
    740_053_892,
    // What was made under a key of the app's own and removed before it was sent was deleted under that key.
    740_004_384,
    740_022_146,
    // Items refer to items. A key of the app's own was named though its item had been removed before the server had it.
    78,
    // The record of an item that was waited for when it came was not erased with it.
    2_688,
    // Where updates are whole rows, an item lost what it refers to: its key was not known yet where its note was shown.
    800_005_390,
    // An item that was waited for because another one refers to it came back by an answer from before its removal, in the tab that had
    // removed it and in another one.
    800_012_516,
    800_071_486,
    // What an item refers to stayed another row than its record says.
    800_188_384,
    // What was edited and removed here was seen again as the edit alone, after another tab had removed it as well.
    810_106_984,
];
