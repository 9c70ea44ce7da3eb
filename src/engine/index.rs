//! From a key to its item. Never iterated, so its order tells nobody anything.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::id::{ItemId, Key};

/// The items of a store by one of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Index(HashMap<Key, ItemId, BuildHasherDefault<Fnv>>);

impl Index {
    pub(super) fn get(&self, key: &Key) -> Option<&ItemId> {
        self.0.get(key)
    }

    pub(super) fn contains_key(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// The item that had the key before, if one had.
    pub(super) fn insert(&mut self, key: Key, item: ItemId) -> Option<ItemId> {
        self.0.insert(key, item)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.0.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// FNV-1a, 64 bits: the same everywhere, and small. Who can choose keys can make them collide, and only slow himself.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
