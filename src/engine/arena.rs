//! Where stores and items live: by id, never moved, an id never used twice.

use std::ops::{Index, IndexMut};

use super::{
    id::{ItemId, StoreId},
    item::Item,
    sorted::Set,
    store::Store,
};

/// The items of all stores.
#[derive(Clone, Debug)]
pub(super) struct Items<R> {
    slots: Vec<Option<Box<Item<R>>>>,
    /// Those that went with their store before they were settled.
    closed: Set<ItemId>,
}

impl<R> Items<R> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), closed: Set::new() }
    }

    pub(super) fn get(&self, id: ItemId) -> Option<&Item<R>> {
        self.slots.get(id.0 as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: ItemId) -> Option<&mut Item<R>> {
        self.slots.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub(super) fn insert(&mut self, item: Item<R>) -> ItemId {
        let id = u32::try_from(self.slots.len()).map_or(ItemId(u32::MAX), ItemId);
        self.slots.push(Some(Box::new(item)));
        id
    }

    pub(super) fn remove(&mut self, id: ItemId) -> Option<Box<Item<R>>> {
        self.slots.get_mut(id.0 as usize)?.take()
    }

    /// Removes an item because its store is closed.
    pub(super) fn close(&mut self, id: ItemId) {
        if self.remove(id).is_some_and(|item| item.sync.is_some() || item.committed < item.version) {
            self.closed.insert(id);
        }
    }

    /// Whether an item went with its store before it was settled.
    pub(super) fn is_closed(&self, id: ItemId) -> bool {
        self.closed.contains(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ItemId, &Item<R>)> {
        (0..).map(ItemId).zip(&self.slots).filter_map(|(id, slot)| Some((id, slot.as_deref()?)))
    }
}

/// The stores, the closed ones included.
#[derive(Clone, Debug)]
pub(super) struct Stores(Vec<Store>);

impl Stores {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn insert(&mut self, store: Store) -> StoreId {
        let id = u16::try_from(self.0.len()).map_or(StoreId(u16::MAX), StoreId);
        self.0.push(store);
        id
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = StoreId> + use<> {
        (0..u16::try_from(self.0.len()).unwrap_or(u16::MAX)).map(StoreId)
    }
}

impl Index<StoreId> for Stores {
    type Output = Store;
    fn index(&self, id: StoreId) -> &Store {
        &self.0[usize::from(id.0)]
    }
}

impl IndexMut<StoreId> for Stores {
    fn index_mut(&mut self, id: StoreId) -> &mut Store {
        &mut self.0[usize::from(id.0)]
    }
}
