//! From a key to its item, in constant time. Never iterated, so its order tells nobody anything.
//!
//! Open addressing with linear probing and FNV-1a: a tenth of the standard map's code, and the same on every platform.
//! Who can choose keys can make them collide, and only slow himself.

use super::id::{ItemId, Key};

type Slot = Option<(Key, ItemId)>;

/// The items of a store by one of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// None, or a power of two; at most three quarters are taken, so a search always ends.
    slots: Vec<Slot>,
    taken: usize,
}

impl Index {
    pub(super) fn get(&self, key: &Key) -> Option<&ItemId> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.place(key)].as_ref().map(|(_, item)| item)
    }

    pub(super) fn contains_key(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    pub(super) const fn len(&self) -> usize {
        self.taken
    }

    /// The item that had the key before, if one had.
    pub(super) fn insert(&mut self, key: Key, item: ItemId) -> Option<ItemId> {
        if (self.taken + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let place = self.place(&key);
        let before = self.slots[place].replace((key, item));
        self.taken += usize::from(before.is_none());
        before.map(|(_, item)| item)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if self.slots.is_empty() {
            return;
        }
        let mut place = self.place(key);
        if self.slots[place].take().is_none() {
            return;
        }
        self.taken -= 1;
        // Those behind it may have been pushed here by it: each is put where it belongs now.
        loop {
            place = self.after(place);
            let Some((key, item)) = self.slots[place].take() else { return };
            let home = self.place(&key);
            self.slots[home] = Some((key, item));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Where the key is, or would be.
    fn place(&self, key: &Key) -> usize {
        let mut hash = 0x811c_9dc5_u32;
        for byte in key.text().bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        let mut place = hash as usize & (self.slots.len() - 1);
        while self.slots[place].as_ref().is_some_and(|(known, _)| known != key) {
            place = self.after(place);
        }
        place
    }

    const fn after(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(16);
        let mut slots = Vec::new();
        slots.resize_with(size, || None);
        for (key, item) in std::mem::replace(&mut self.slots, slots).into_iter().flatten() {
            let place = self.place(&key);
            self.slots[place] = Some((key, item));
        }
    }
}
