//! Where stores and items live: by id, never moved, an id never used twice.

use std::ops::{Index, IndexMut};

use super::{
    id::{ItemId, StoreId},
    item::Item,
    store::Store,
};

/// The items of all stores.
#[derive(Clone, Debug)]
pub(super) struct Items<R>(Vec<Option<Box<Item<R>>>>);

impl<R> Items<R> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn get(&self, id: ItemId) -> Option<&Item<R>> {
        self.0.get(id.0 as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: ItemId) -> Option<&mut Item<R>> {
        self.0.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub(super) fn insert(&mut self, item: Item<R>) -> ItemId {
        let id = u32::try_from(self.0.len()).map_or(ItemId(u32::MAX), ItemId);
        self.0.push(Some(Box::new(item)));
        id
    }

    pub(super) fn remove(&mut self, id: ItemId) -> Option<Box<Item<R>>> {
        self.0.get_mut(id.0 as usize)?.take()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ItemId, &Item<R>)> {
        (0..).map(ItemId).zip(&self.0).filter_map(|(id, slot)| Some((id, slot.as_deref()?)))
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
