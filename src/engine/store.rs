//! One store: how it is opened, loaded, paused, flushed and closed.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Engine,
    connectivity::{Connection, Origin},
    error::{Code, Fault, StorageFailure},
    id::{ItemId, Key, StorageId, StoreId, Token},
    input::{Record, StoreOptions},
    item::{AttemptState, Item},
    output::{Command, Made},
    row::{FieldSet, Row},
    storage::Storage,
    time::Instant,
};

/// One store.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) name: String,
    /// The place of its origin; nothing without a transporter.
    pub(super) origin: Option<usize>,
    pub(super) storage: Option<StorageId>,
    pub(super) fields: FieldSet,
    pub(super) patches: bool,
    pub(super) numeric_storage_key: bool,
    pub(super) by_remote: BTreeMap<Key, ItemId>,
    pub(super) by_storage: BTreeMap<Key, ItemId>,
    /// Items with something to say to the server.
    pub(super) unsynced: BTreeSet<ItemId>,
    /// Keys whose deletion the server took, and when: an answer that was asked for before does not bring them back.
    pub(super) buried: Vec<(Key, Instant)>,
    pub(super) phase: Phase,
    /// Whether the first read of the collection has come to an end, good or bad.
    pub(super) asked: bool,
    /// Whether the collection was ever read here.
    pub(super) fetched: bool,
    /// How often in a row the collection could not be read.
    pub(super) misses: u32,
    pub(super) paused: bool,
    pub(super) last_error: Option<Fault>,
    pub(super) loading: Vec<Token>,
    pub(super) fetching: Vec<Token>,
    pub(super) flushing: Vec<Token>,
    pub(super) closing: Option<Token>,
}

/// How far a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Client storage is being read; nothing is sent.
    Loading,
    /// Its items are here.
    Open,
    /// Takes nothing more.
    Closed,
}

impl<R: Row> Engine<R> {
    pub(super) fn open(&mut self, options: StoreOptions) -> Result<(), Fault> {
        let taken = self.stores.ids().any(|id| self.stores[id].name == options.name && self.stores[id].is_open());
        if taken {
            return Err(Fault::new(
                Code::Options,
                format!(
                    "a store named \"{}\" is open already; give this one another `name`, or close that one",
                    options.name
                ),
            ));
        }
        let origin = options.origin.map(|name| self.origin(name));
        if let Some(storage) = options.storage {
            self.storages.entry(storage).or_insert_with(Storage::default);
        }
        let id = self.stores.insert(Store {
            name: options.name,
            origin,
            storage: options.storage,
            fields: FieldSet::first(options.fields),
            patches: options.patches,
            numeric_storage_key: options.numeric_storage_key,
            by_remote: BTreeMap::new(),
            by_storage: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            buried: Vec::new(),
            phase: if options.storage.is_some() { Phase::Loading } else { Phase::Open },
            asked: origin.is_none(),
            fetched: false,
            misses: 0,
            paused: false,
            last_error: None,
            loading: Vec::new(),
            fetching: Vec::new(),
            flushing: Vec::new(),
            closing: None,
        });
        self.out.made = Made::Store(id);
        if options.storage.is_some() {
            self.out.commands.push(Command::Load(id));
        } else {
            self.ask_collection(id);
            self.end_turn();
        }
        Ok(())
    }

    fn origin(&mut self, name: String) -> usize {
        self.origins.iter().position(|origin| origin.name == name).unwrap_or_else(|| {
            self.origins.push(Origin::new(name));
            self.origins.len() - 1
        })
    }

    pub(super) fn loaded(
        &mut self,
        store: StoreId,
        records: Result<Vec<Record<R>>, StorageFailure>,
        problem: Option<Fault>,
    ) {
        if self.stores[store].phase != Phase::Loading {
            return;
        }
        self.stores[store].phase = Phase::Open;
        if problem.is_some() {
            self.stores[store].last_error = problem;
        }
        match records {
            Ok(records) => {
                for record in records {
                    self.load(store, record);
                }
            }
            Err(failure) => {
                if let Some(id) = self.stores[store].storage {
                    let storage = self.storages.entry(id).or_default();
                    storage.failure = Some(failure.fault());
                    storage.given_up = true;
                    self.degrade(id);
                }
            }
        }
        self.reslot_all(store);
        self.ask_collection(store);
        self.conclude_loading(store);
        self.run();
    }

    /// Takes in one stored record, unless its item is here already.
    fn load(&mut self, store: StoreId, record: Record<R>) {
        let known = &self.stores[store];
        let twin = record.remote_key.as_ref().is_some_and(|key| known.by_remote.contains_key(key));
        if known.by_storage.contains_key(&record.storage_key) {
            return;
        }
        if twin && record.sync.is_none() {
            // A second record of one row: the first stands, and this one is written over by nobody.
            return;
        }
        let last = record.sync.as_ref().and_then(|sync| sync.last_seq());
        self.next_seq = self.next_seq.max(last.unwrap_or(self.next_seq));
        let mut item = Item::new(store, record.row, record.storage_key);
        item.remote_key = record.remote_key;
        item.sync = record.sync;
        let (unsynced, removed) = (item.sync.is_some(), item.is_removed());
        let id = self.add(item);
        if unsynced {
            self.stores[store].unsynced.insert(id);
        }
        if !removed {
            self.changes(store).added.push(id);
        }
    }

    /// Puts an item into the store and its indexes.
    pub(super) fn add(&mut self, item: Item<R>) -> ItemId {
        let (store, storage_key, remote_key) = (item.store, item.storage_key.clone(), item.remote_key.clone());
        let id = self.items.insert(item);
        let store = &mut self.stores[store];
        store.by_storage.insert(storage_key, id);
        if let Some(key) = remote_key {
            store.by_remote.insert(key, id);
        }
        id
    }

    /// Takes an item out of the store, its indexes and client storage; its promises are kept.
    pub(super) fn forget(&mut self, id: ItemId) {
        self.unslot(id);
        let Some(item) = self.items.remove(id) else { return };
        let store = &mut self.stores[item.store];
        store.by_storage.remove(&item.storage_key);
        store.unsynced.remove(&id);
        if let Some(key) = &item.remote_key
            && store.by_remote.get(key) == Some(&id)
        {
            store.by_remote.remove(key);
        }
        self.dirty.remove(&id);
        if !item.awaited {
            self.erase(item.store, item.storage_key.clone(), id);
        }
        if !item.is_removed() {
            self.changes(item.store).removed.push(id);
        }
        self.conclude_item(id, &item);
    }

    /// Wants the collection read.
    pub(super) fn ask_collection(&mut self, store: StoreId) {
        if let Some(origin) = self.stores[store].origin {
            self.origins[origin].collections.insert(store);
        }
    }

    pub(super) fn once_loaded(&mut self, store: StoreId, token: Token) {
        self.stores[store].loading.push(token);
        self.conclude_loading(store);
    }

    /// Settles what waits for the store to be loaded, if it is.
    pub(super) fn conclude_loading(&mut self, id: StoreId) {
        let store = &self.stores[id];
        let result = match store.phase {
            Phase::Loading => return,
            Phase::Closed => Err(closed()),
            Phase::Open if !store.asked && !self.cannot_ask(id) => return,
            Phase::Open => {
                let readable = store.storage.is_some() && self.storage_failure(id).is_none();
                match &store.last_error {
                    Some(fault) if !readable && !store.fetched && store.origin.is_some() => Err(fault.clone()),
                    _ => Ok(()),
                }
            }
        };
        for token in std::mem::take(&mut self.stores[id].loading) {
            self.out.settled.push((token, result.clone()));
        }
    }

    /// Whether it is known that the first read cannot be made now.
    fn cannot_ask(&self, store: StoreId) -> bool {
        let Some(origin) = self.stores[store].origin else { return true };
        self.stores[store].paused
            || match self.origins[origin].connection() {
                Connection::Held => true,
                Connection::Offline => !self.origins[origin].is_probing(),
                Connection::Online | Connection::Paused => false,
            }
    }

    pub(super) fn flush(&mut self, store: StoreId, token: Token) {
        self.stores[store].flushing.push(token);
        self.release_waits(store);
        self.run();
    }

    /// The app wants things sent: ends backoff and holds, but no wait that the server asked for.
    pub(super) fn release_waits(&mut self, store: StoreId) {
        let Some(origin) = self.stores[store].origin else { return };
        self.origins[origin].held = None;
        self.origins[origin].hurry(self.now);
        let waiting: Vec<ItemId> = self.stores[store].unsynced.iter().copied().collect();
        for id in waiting {
            self.end_wait(id, |_| true);
        }
        self.changes(store);
    }

    /// Settles the flushes of stores that have nothing to send or cannot send it.
    pub(super) fn conclude_flushes(&mut self) {
        for id in self.stores.ids() {
            if self.stores[id].flushing.is_empty() || self.has_to_send(id) {
                continue;
            }
            for token in std::mem::take(&mut self.stores[id].flushing) {
                self.out.settled.push((token, Ok(())));
            }
        }
    }

    fn has_to_send(&self, id: StoreId) -> bool {
        let store = &self.stores[id];
        let Some(origin) = store.origin.map(|place| &self.origins[place]) else { return false };
        let cannot = match origin.connection() {
            Connection::Held => true,
            Connection::Offline => !origin.is_probing() && !origin.admits(self.now),
            Connection::Online | Connection::Paused => false,
        };
        let left = store.unsynced.iter().filter_map(|item| self.items.get(*item)?.sync.as_ref());
        store.is_open() && !store.paused && !cannot && left.into_iter().any(|sync| sync.parked().is_none())
    }

    pub(super) fn pause(&mut self, store: StoreId, paused: bool) {
        self.stores[store].paused = paused;
        self.reslot_all(store);
        if paused {
            self.conclude_loading(store);
            if let Some(origin) = self.stores[store].origin {
                self.origins[origin].collections.remove(&store);
            }
        } else {
            self.release_waits(store);
            if !self.stores[store].fetched {
                self.ask_collection(store);
            }
        }
        self.changes(store);
        self.run();
    }

    /// Finds the place in the outbox anew for every item of the store that has something to say.
    pub(super) fn reslot_all(&mut self, store: StoreId) {
        let unsynced: Vec<ItemId> = self.stores[store].unsynced.iter().copied().collect();
        for id in unsynced {
            self.reslot(id);
        }
    }

    pub(super) fn close(&mut self, id: StoreId, token: Token) {
        if !self.stores[id].is_open() {
            self.out.settled.push((token, Ok(())));
            return;
        }
        self.persist();
        let store = &mut self.stores[id];
        store.phase = Phase::Closed;
        store.closing = Some(token);
        let fetching = std::mem::take(&mut store.fetching);
        for token in fetching {
            self.out.settled.push((token, Err(closed())));
        }
        if let Some(origin) = self.stores[id].origin {
            self.origins[origin].collections.remove(&id);
        }
        self.reslot_all(id);
        self.conclude_loading(id);
        self.run();
    }

    /// Lets go of closed stores whose last write is done.
    pub(super) fn conclude_closings(&mut self) {
        for id in self.stores.ids() {
            if self.stores[id].closing.is_none() || self.is_writing(id) {
                continue;
            }
            let items: Vec<ItemId> =
                self.items.iter().filter(|(_, item)| item.store == id).map(|(item, _)| item).collect();
            for item in items {
                self.unslot(item);
                self.dirty.remove(&item);
                if let Some(origin) = self.stores[id].origin {
                    self.origins[origin].singles.remove(&item);
                    if let Some((_, probe)) = self.items.get(item).and_then(Item::storing) {
                        self.origins[origin].release(probe);
                    }
                }
                self.items.remove(item);
                self.reject_item(item, &closed());
            }
            let store = &mut self.stores[id];
            store.by_remote.clear();
            store.by_storage.clear();
            store.unsynced.clear();
            if let Some(token) = store.closing.take() {
                self.out.settled.push((token, Ok(())));
            }
        }
    }

    /// Ends the wait of an attempt to which `which` applies.
    pub(super) fn end_wait(&mut self, id: ItemId, which: impl Fn(&super::item::Attempt<R>) -> bool) {
        let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) else { return };
        if matches!(attempt.state, AttemptState::Waiting(_)) && which(attempt) {
            attempt.state = AttemptState::Ready;
            self.reslot(id);
        }
    }
}

impl Store {
    pub(super) fn is_open(&self) -> bool {
        self.phase != Phase::Closed
    }
}

/// The refusal of everything that comes after `close()`.
pub(super) fn closed() -> Fault {
    Fault::new(Code::Closed, "the store has been closed; make a new one with the same name to go on")
}
