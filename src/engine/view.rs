//! What a page can read at any time. Changes nothing.

use super::{
    Engine,
    connectivity::Connection,
    error::{Code, Fault},
    id::{IdempotencyKey, ItemId, Key, StoreId},
    input::Lost,
    item::{AttemptState, Item},
    lifecycle::Action,
    row::Row,
    store::Phase,
};

/// How a store is.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Whether the server answers.
    pub connection: Connection,
    /// Whether edits are kept in client storage.
    pub durable: bool,
    /// Why not, if they are not; else what is known to be gone from there, or made no sense.
    pub storage_error: Option<Fault>,
    /// Edits that the server has not taken, the parked ones included.
    pub pending: usize,
    /// Edits that the server has refused.
    pub parked: usize,
    /// The last thing that went wrong.
    pub last_error: Option<Fault>,
}

/// Where an edit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditState {
    /// Waits for its turn.
    Queued,
    /// On its way.
    Sending,
    /// Tried, and to be tried again later; or waits for an item that it refers to.
    Waiting,
    /// Refused, and kept.
    Parked,
}

/// An edit that the server has not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingEdit {
    /// The item.
    pub item: ItemId,
    /// What the edit does.
    pub action: Action,
    /// How often it was sent.
    pub attempts: u32,
    /// What tells a repeated request.
    pub idempotency_key: IdempotencyKey,
    /// Where it is.
    pub state: EditState,
    /// Why it is parked; or for whom it waits.
    pub reason: Option<Fault>,
}

impl<R: Row> Engine<R> {
    /// How a store is.
    #[must_use]
    pub fn status(&self, id: StoreId) -> Status {
        let store = &self.stores[id];
        let syncs = || store.unsynced.iter().filter_map(|item| self.items.get(*item)?.sync.as_ref());
        let edits =
            |sync: &super::item::Sync<R>| usize::from(sync.in_flight.is_some()) + usize::from(sync.pending.is_some());
        Status {
            connection: match store.origin {
                _ if store.paused => Connection::Paused,
                Some(place) => self.origins[place].connection(),
                None => Connection::Online,
            },
            durable: store.storage.is_some() && self.storage_failure(id).is_none(),
            storage_error: self.storage_failure(id).or(store.damage.as_ref()).cloned(),
            pending: syncs().map(|sync| edits(sync)).sum(),
            parked: syncs().filter(|sync| sync.parked().is_some()).count(),
            last_error: store.last_error.clone(),
        }
    }

    /// The edits of a store that the server has not taken, oldest first.
    #[must_use]
    pub fn pending(&self, id: StoreId) -> Vec<PendingEdit> {
        let store = &self.stores[id];
        let origin_waits = store.origin.is_some_and(|place| self.origins[place].is_waiting(self.now));
        let mut edits = Vec::new();
        for item in store.unsynced.iter().copied() {
            let Some(sync) = self.items.get(item).and_then(|item| item.sync.as_ref()) else { continue };
            if let Some(attempt) = &sync.in_flight {
                let (state, reason) = match &attempt.state {
                    AttemptState::Ready if origin_waits && attempt.attempts > 0 => (EditState::Waiting, None),
                    AttemptState::Ready | AttemptState::Storing { .. } => (EditState::Queued, None),
                    AttemptState::Sending(..) => (EditState::Sending, None),
                    AttemptState::Waiting(_) | AttemptState::Disputed(..) => (EditState::Waiting, None),
                    AttemptState::Parked(fault) => (EditState::Parked, Some(fault.clone())),
                };
                let edit = &attempt.edit;
                let idempotency_key = edit.key;
                let (action, attempts) = (edit.action, attempt.attempts);
                edits.push((edit.first, PendingEdit { item, action, attempts, idempotency_key, state, reason }));
            }
            if let Some(edit) = &sync.pending {
                let reason = self.items.get(item).and_then(|item| self.why_waiting(item));
                let state = if reason.is_some() { EditState::Waiting } else { EditState::Queued };
                let idempotency_key = edit.key;
                let pending = PendingEdit { item, action: edit.action, attempts: 0, idempotency_key, state, reason };
                edits.push((edit.first, pending));
            }
        }
        edits.sort_by_key(|(seq, _)| *seq);
        edits.into_iter().map(|(_, edit)| edit).collect()
    }

    /// For whom the item's edit waits, if it does.
    fn why_waiting(&self, item: &Item<R>) -> Option<Fault> {
        let whom = item.waits_for.as_ref()?.first().and_then(|id| self.items.get(*id));
        let Some(whom) = whom else {
            let message = "it refers to an item of a store that is not open, or not loaded; open it";
            return Some(Fault::new(Code::Waiting, message));
        };
        let store = &self.stores[whom.store].name;
        let message = match whom.parked() {
            Some(fault) => {
                let why = fault.code.name();
                ["it refers to an item of \"", store, "\" that is parked (", why, "); retry() or discard() that one"]
                    .concat()
            }
            None => ["it refers to an item of \"", store, "\" that the server has not taken yet"].concat(),
        };
        Some(Fault::new(Code::Waiting, message))
    }

    /// The item with this key on the server.
    #[must_use]
    pub fn find_by_remote_key(&self, store: StoreId, key: &Key) -> Option<ItemId> {
        let id = *self.stores[store].by_remote.get(key)?;
        self.items.get(id).filter(|item| !item.is_removed()).map(|_| id)
    }

    /// The item with this key in client storage.
    #[must_use]
    pub fn find_by_storage_key(&self, store: StoreId, key: &Key) -> Option<ItemId> {
        let id = *self.stores[store].by_storage.get(key)?;
        self.items.get(id).filter(|item| !item.is_removed()).map(|_| id)
    }

    /// Whether the last edit of the item is committed in client storage. An item without one to commit is stored.
    #[must_use]
    pub fn is_stored(&self, id: ItemId) -> bool {
        self.items
            .get(id)
            .is_none_or(|item| self.stores[item.store].storage.is_none() || item.committed >= item.version)
    }

    /// Whether the server has taken the item's last edit.
    #[must_use]
    pub fn is_synced(&self, id: ItemId) -> bool {
        self.items.get(id).is_none_or(|item| item.sync.is_none() && !item.awaited)
    }

    /// Whether the item has its key on the server.
    #[must_use]
    pub fn is_ready(&self, id: ItemId) -> bool {
        self.items.get(id).is_some_and(|item| item.remote_key.is_some())
    }

    /// Why the item's edit is parked, if it is.
    #[must_use]
    pub fn parked(&self, id: ItemId) -> Option<&Fault> {
        self.items.get(id)?.sync.as_ref()?.parked()
    }

    /// The values of an item.
    #[must_use]
    pub fn row(&self, id: ItemId) -> Option<&R> {
        self.items.get(id).map(|item| &item.row)
    }

    /// The key of an item in client storage.
    #[must_use]
    pub fn storage_key(&self, id: ItemId) -> Option<&Key> {
        self.items.get(id).map(|item| &item.storage_key)
    }

    /// The store of an item.
    #[must_use]
    pub fn store_of(&self, id: ItemId) -> Option<StoreId> {
        self.items.get(id).map(|item| item.store)
    }

    /// The items of a store that are not removed, in their order.
    pub fn items(&self, store: StoreId) -> impl Iterator<Item = ItemId> {
        self.items.iter().filter(move |(_, item)| item.store == store && !item.is_removed()).map(|(id, _)| id)
    }

    /// Whether local rows and, if it could be made, the first read of the collection are in the store.
    #[must_use]
    pub fn is_loaded(&self, id: StoreId) -> bool {
        let store = &self.stores[id];
        store.phase == Phase::Open && store.asked && !self.is_relating(id)
    }

    /// How many records of a store client storage has, and how many of them have something to say to the server.
    #[must_use]
    pub fn kept(&self, id: StoreId) -> Lost {
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let store = &self.stores[id];
        Lost { records: count(store.by_storage.len()), unsynced: count(store.unsynced.iter().len()) }
    }

    /// Whether a store takes anything, or still has to write what it took.
    #[must_use]
    pub fn is_open(&self, id: StoreId) -> bool {
        self.stores[id].is_open() || self.stores[id].closing.is_some()
    }

    /// The name of a store.
    #[must_use]
    pub fn name(&self, id: StoreId) -> &str {
        &self.stores[id].name
    }
}
