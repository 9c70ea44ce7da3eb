//! What is to be written to client storage, in batches, and what is known to be written.
//!
//! One batch is one transaction over all items that changed in a turn. An edit is released to the server only by the
//! batch that holds it (write-ahead).

use super::{
    Engine,
    config::{BACKOFF_CAP, BATCH_TRIES},
    error::{Fault, StorageFailure},
    id::{CommandId, ItemId, Key, StorageId, StoreId},
    input::Record,
    item::Item,
    output::{Command, Write},
    row::Row,
    sender::{Taken, Writes},
    sorted::{Map, Set},
    store::closed,
    time::Millis,
};

/// One client storage.
#[derive(Clone, Debug, Default)]
pub(super) struct Storage {
    /// Why it cannot be relied on, if so.
    pub(super) failure: Option<Fault>,
    /// It will not work again in this page.
    pub(super) given_up: bool,
    /// Failures in a row.
    tries: u32,
    /// When a failed batch is tried again.
    pub(super) retry_at: Option<Millis>,
    /// It has ended; said when the batches under way have.
    ended: Option<StorageFailure>,
}

/// A batch that is being written.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    storage: StorageId,
    items: Vec<(ItemId, u32)>,
    erased: Vec<Erasure>,
    cursors: Vec<StoreId>,
    /// The stores whose records may be written by other tabs.
    fenced: Vec<StoreId>,
    /// The batch without which it is not committed.
    after: Option<CommandId>,
    /// The notes of this tab that are in it: the store and their number.
    notes: Vec<(StoreId, u32)>,
    /// The notes that it erases.
    taken: Vec<(StoreId, Vec<Taken>)>,
    /// When it was issued.
    since: Millis,
}

/// A record to erase.
#[derive(Clone, Debug)]
pub(super) struct Erasure {
    store: StoreId,
    key: Key,
    /// The item whose record it was: its promises wait for the commit.
    item: ItemId,
}

impl<R: Row> Engine<R> {
    /// Notes that the item's record is to be written.
    pub(super) fn touch(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        if self.stores[item.store].storage.is_some() {
            item.version += 1;
            self.dirty.insert(id);
        }
    }

    /// Notes that the record is to be erased.
    pub(super) fn erase(&mut self, store: StoreId, key: Key, item: ItemId) {
        if self.stores[store].storage.is_some() {
            self.erased.push(Erasure { store, key, item });
        }
    }

    /// The store of an item that is gone, if its record has still to be erased.
    pub(super) fn erasing(&self, id: ItemId) -> Option<StoreId> {
        let under_way = self.batches.values().flat_map(|batch| &batch.erased);
        self.erased.iter().chain(under_way).find(|erasure| erasure.item == id).map(|erasure| erasure.store)
    }

    /// Why the store's edits are not durable, if they are not.
    pub(super) fn storage_failure(&self, store: StoreId) -> Option<&Fault> {
        let storage = self.stores[store].storage?;
        self.stores[store].barred.as_ref().or(self.storages.get(&storage)?.failure.as_ref())
    }

    /// Whether edits of the store must be committed before they are sent.
    pub(super) fn writes_ahead(&self, store: StoreId) -> bool {
        self.stores[store].storage.is_some() && self.storage_failure(store).is_none()
    }

    /// Turns everything that is to be written into one batch for each client storage.
    pub(super) fn persist(&mut self) {
        let mut writes: Map<StorageId, (Batch, Vec<Write<R>>)> = Map::new();
        let mut later = Vec::new();
        for erasure in std::mem::take(&mut self.erased) {
            match self.open_storage(erasure.store) {
                Access::Open(_) if self.is_joining(erasure.store) => later.push(erasure),
                // Another tab erases it.
                Access::Open(_) if self.writes(erasure.store) == Writes::Notes => {
                    self.settle_stored(erasure.item, u32::MAX);
                }
                Access::Open(storage) => {
                    let (batch, list) = writes.get_or_insert_with(storage, || (Batch::new(storage), Vec::new()));
                    list.push(Write::Erase(erasure.store, erasure.item, erasure.key.clone()));
                    batch.erased.push(erasure);
                }
                // Never written, but known: whoever asks whether the removal is stored is told that it is not.
                Access::Later | Access::Never => later.push(erasure),
            }
        }
        self.erased = later;
        let mut waiting = Set::new();
        let mut notes: Map<StoreId, Vec<ItemId>> = Map::new();
        for id in std::mem::take(&mut self.dirty) {
            let Some(store) = self.items.get(id).map(|item| item.store) else { continue };
            match self.open_storage(store) {
                Access::Open(_) if self.writes(store) == Writes::Notes => {
                    notes.get_or_insert_with(store, Vec::new).push(id);
                }
                Access::Open(storage) => {
                    let (batch, list) = writes.get_or_insert_with(storage, || (Batch::new(storage), Vec::new()));
                    if let Some(item) = self.items.get_mut(id) {
                        item.issued = item.version;
                        batch.items.push((id, item.version));
                        list.push(item.write(id));
                    }
                }
                Access::Later => {
                    waiting.insert(id);
                }
                Access::Never => {}
            }
        }
        self.dirty = waiting;
        for store in self.stores.ids() {
            let Access::Open(storage) = self.open_storage(store) else { continue };
            // A cursor must not be kept before the rows that it covers: it goes with the last of them, or after them.
            let is_busy = self.batches.values().any(|batch| batch.storage == storage);
            let keeps_records = matches!(self.writes(store), Writes::Records(_));
            let taken = if keeps_records { self.taken_notes(store) } else { Vec::new() };
            if !taken.is_empty() {
                let (batch, list) = writes.get_or_insert_with(storage, || (Batch::new(storage), Vec::new()));
                let forget = |Taken { tab, number }: &Taken| Write::Forget { store, tab: *tab, number: *number };
                list.extend(taken.iter().map(forget));
                batch.taken.push((store, taken));
            }
            if self.stores[store].cursor_is_news && !is_busy && keeps_records {
                self.stores[store].cursor_is_news = false;
                let (batch, list) = writes.get_or_insert_with(storage, || (Batch::new(storage), Vec::new()));
                batch.cursors.push(store);
                list.push(Write::Cursor(store, self.stores[store].cursor.clone()));
            }
        }
        for (batch, list) in writes.values_mut() {
            self.fence(batch, list);
        }
        for (store, items) in notes {
            let Access::Open(storage) = self.open_storage(store) else { continue };
            let (batch, list) = writes.get_or_insert_with(storage, || (Batch::new(storage), Vec::new()));
            self.note(store, items, batch, list);
        }
        for (storage, (mut batch, mut list)) in writes {
            if list.is_empty() {
                continue;
            }
            batch.since = self.now;
            if list.iter().filter_map(Write::store).any(|store| self.stores[store].tabs.is_some()) {
                // What other tabs read must not have an edit without those before it.
                let before = self.batches.iter().rfind(|(_, batch)| batch.storage == storage);
                batch.after = before.map(|(command, _)| *command);
                list.extend(batch.after.map(Write::After));
            }
            let command = self.next_command();
            self.batches.insert(command, batch);
            self.out.commands.push(Command::Persist(command, storage, list));
        }
    }

    /// Lets no batch of records through that another tab's have overtaken.
    fn fence(&mut self, batch: &mut Batch, list: &mut Vec<Write<R>>) {
        let mut stores = Set::new();
        list.iter().filter_map(Write::store).for_each(|store| stores.insert(store));
        for store in stores {
            if let Writes::Records(Some(seen)) = self.writes(store) {
                let tab = self.tab(store);
                list.insert(0, Write::Fence { store, tab, seen });
                batch.fenced.push(store);
            }
        }
    }

    /// Notes what was done to these items here.
    fn note(&mut self, store: StoreId, items: Vec<ItemId>, batch: &mut Batch, list: &mut Vec<Write<R>>) {
        let (tab, number) = self.number_notes(store);
        let mut notes = Vec::new();
        for id in items {
            let Some(item) = self.items.get_mut(id) else { continue };
            if item.has_to_be_noted() {
                batch.items.push((id, item.version));
                self.take_notes(id, number, &mut notes);
            } else if item.has_nothing_to_write() {
                // What was read here is written by another tab.
                self.kept_elsewhere(id);
            }
        }
        if !notes.is_empty() {
            batch.notes.push((store, number));
            list.push(Write::Notes { store, tab, number, list: notes });
        }
    }

    /// There is nothing of the item that has to be noted.
    fn kept_elsewhere(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        item.committed = item.version;
        let version = item.version;
        self.settle_stored(id, version);
    }

    /// Whether records of the store, which other tabs may write as well, are being written.
    pub(super) fn is_recording(&self, store: StoreId) -> bool {
        self.batches.values().any(|batch| batch.fenced.contains(&store))
    }

    /// Whether client storage is of no use for the store in this page.
    #[must_use]
    pub fn is_shut_out(&self, store: StoreId) -> bool {
        let known = &self.stores[store];
        known.barred.is_some() || known.storage.and_then(|id| self.storages.get(&id)).is_some_and(|at| at.given_up)
    }

    /// What was to be erased is in the records as another tab left it.
    pub(super) fn drop_erasures(&mut self, store: StoreId) {
        let (ours, others) = std::mem::take(&mut self.erased).into_iter().partition(|erasure| erasure.store == store);
        self.erased = others;
        for erasure in Vec::<Erasure>::into_iter(ours) {
            self.settle_stored(erasure.item, u32::MAX);
        }
    }

    fn open_storage(&self, store: StoreId) -> Access {
        let Some(id) = self.stores[store].storage.filter(|_| self.stores[store].barred.is_none()) else {
            return Access::Never;
        };
        match self.storages.get(&id) {
            Some(storage) if storage.given_up => Access::Never,
            Some(storage) if storage.retry_at.is_some() => Access::Later,
            _ => Access::Open(id),
        }
    }

    /// A batch was committed, or was not.
    pub(super) fn persisted(&mut self, command: CommandId, result: Result<(), StorageFailure>) {
        let Some(batch) = self.batches.remove(&command) else { return };
        let storage = batch.storage;
        match result {
            Ok(()) => self.committed(command, batch),
            Err(StorageFailure::Outrun) => self.overtaken(command, batch),
            Err(failure) => self.not_committed(command, batch, &failure),
        }
        self.conclude_storage(storage);
        self.run();
    }

    /// The storage takes no more batches; those under way are still answered.
    pub(super) fn storage_ended(&mut self, storage: StorageId, failure: StorageFailure) {
        self.storages.get_or_insert_with(storage, Default::default).ended = Some(failure);
        self.conclude_storage(storage);
        self.run();
    }

    fn conclude_storage(&mut self, id: StorageId) {
        if self.batches.values().any(|batch| batch.storage == id) {
            return;
        }
        let Some(storage) = self.storages.get_mut(&id) else { return };
        let Some(failure) = storage.ended.take() else { return };
        self.abandon(id, &failure);
    }

    /// The storage is not relied on any more in this page.
    pub(super) fn abandon(&mut self, id: StorageId, failure: &StorageFailure) {
        let storage = self.storages.get_or_insert_with(id, Default::default);
        storage.failure = Some(failure.fault());
        storage.given_up = true;
        storage.retry_at = None;
        self.degrade(id);
    }

    /// The rows of one store are not this app's to touch.
    pub(super) fn bar(&mut self, store: StoreId, failure: &StorageFailure) {
        self.stores[store].barred = Some(failure.fault());
        self.degrade_stores(&[store], &failure.fault());
    }

    /// Another tab has written records since.
    fn overtaken(&mut self, command: CommandId, batch: Batch) {
        for store in &batch.fenced {
            self.outrun(*store);
        }
        self.put_back(command, batch);
    }

    fn committed(&mut self, command: CommandId, batch: Batch) {
        if let Some(storage) = self.storages.get_mut(&batch.storage) {
            storage.tries = 0;
            // It works: what waited for its next try need not wait.
            storage.retry_at = None;
            // What was given up because it could not be read is not relied on, though it takes what it is given.
            if !storage.given_up && storage.failure.take().is_some() {
                self.tell_storage(batch.storage);
            }
        }
        let noting: Set<StoreId> = self.stores.ids().filter(|store| self.writes(*store) == Writes::Notes).collect();
        // The oldest edit leaves first, whichever item it is of.
        let mut written = Set::new();
        for (id, version) in &batch.items {
            let Some(item) = self.items.get_mut(*id) else { continue };
            item.committed = item.committed.max(*version);
            if !batch.notes.iter().any(|(store, _)| *store == item.store) {
                item.recorded(*version);
            }
            if noting.contains(&item.store) && item.has_nothing_to_write() {
                self.kept_elsewhere(*id);
            }
            let Some(item) = self.items.get(*id) else { continue };
            let first = item.sync.as_ref().and_then(|sync| sync.in_flight.as_ref()).map(|attempt| attempt.edit.first);
            if let Some(first) = first.filter(|_| item.is_written()) {
                written.insert((first, *id));
            }
            self.tell(*id);
        }
        for (store, taken) in batch.taken {
            for taken in taken {
                self.notes_are_kept(store, taken);
            }
        }
        for store in &batch.fenced {
            self.passed_fence(*store, command, batch.since);
        }
        for (store, _) in batch.notes {
            self.have_noted(store);
        }
        for (_, id) in written.iter() {
            self.released(*id);
        }
        for (id, version) in batch.items {
            let committed = self.items.get(id).map_or(version, |item| item.committed.max(version));
            self.settle_stored(id, committed);
        }
        for erasure in batch.erased {
            self.settle_stored(erasure.item, u32::MAX);
        }
        for store in batch.fenced {
            self.drop_stillborn(store);
        }
    }

    fn not_committed(&mut self, command: CommandId, batch: Batch, failure: &StorageFailure) {
        let again = matches!(failure, StorageFailure::Aborted(_));
        let now = self.now;
        let storage = self.storages.get_or_insert_with(batch.storage, Default::default);
        storage.tries += 1;
        let failed = !again || storage.tries > BATCH_TRIES;
        if failed {
            storage.failure = Some(failure.fault());
            storage.given_up |= matches!(failure, StorageFailure::Refused(_) | StorageFailure::NewerVersion);
            let span = self.random.backoff(storage.tries, BACKOFF_CAP);
            storage.retry_at = (!storage.given_up).then(|| now.after(span));
        }
        let storage = batch.storage;
        self.put_back(command, batch);
        if failed {
            self.degrade(storage);
        }
    }

    /// What was in the batch is to be written again, with what was in those that are not committed without it.
    fn put_back(&mut self, command: CommandId, batch: Batch) {
        self.write_again(batch);
        let mut last = command;
        while let Some(next) = self.batch_after(last) {
            last = next;
            self.batches.remove(&next).into_iter().for_each(|batch| self.write_again(batch));
        }
        for (id, version) in self.batches.values().flat_map(|batch| &batch.items) {
            if let Some(item) = self.items.get_mut(*id) {
                item.issued = item.issued.max(*version);
            }
        }
    }

    fn batch_after(&self, command: CommandId) -> Option<CommandId> {
        self.batches.iter().find(|(_, batch)| batch.after == Some(command)).map(|(after, _)| *after)
    }

    fn write_again(&mut self, batch: Batch) {
        self.erased.extend(batch.erased);
        for store in batch.cursors {
            self.stores[store].cursor_is_news = true;
        }
        for (store, taken) in batch.taken {
            self.restore_taken(store, taken);
        }
        for (id, _) in &batch.items {
            if let Some(item) = self.items.get_mut(*id) {
                batch.notes.iter().for_each(|(_, number)| item.not_noted(*number));
                item.issued = item.committed;
                self.dirty.insert(*id);
            }
        }
    }

    /// Client storage cannot be relied on: say so, and send what waited for it.
    pub(super) fn degrade(&mut self, storage: StorageId) {
        let stores: Vec<StoreId> = self.stores.ids().filter(|id| self.stores[*id].storage == Some(storage)).collect();
        if let Some(fault) = self.storages.get(&storage).and_then(|storage| storage.failure.clone()) {
            self.degrade_stores(&stores, &fault);
        }
    }

    fn degrade_stores(&mut self, stores: &[StoreId], fault: &Fault) {
        for store in stores {
            self.changes(*store);
        }
        let ours = |erasure: &&Erasure| stores.contains(&erasure.store);
        let erased: Vec<ItemId> = self.erased.iter().filter(ours).map(|erasure| erasure.item).collect();
        erased.into_iter().for_each(|id| self.reject_item(id, fault));
        let held: Vec<ItemId> =
            self.items.iter().filter(|(_, item)| stores.contains(&item.store)).map(|(id, _)| id).collect();
        for id in held {
            if self.items.get(id).is_some_and(|item| item.storing().is_some()) {
                self.released(id);
            }
            self.reject_stored(id);
            self.reslot(id);
        }
        stores.iter().for_each(|store| self.drop_stillborn(*store));
    }

    /// The store is closed: what could not be written for it is no longer tried.
    pub(super) fn drop_writes(&mut self, store: StoreId) {
        let (dropped, kept) = std::mem::take(&mut self.erased).into_iter().partition(|erasure| erasure.store == store);
        self.erased = kept;
        self.stores[store].cursor_is_news = false;
        for erasure in Vec::<Erasure>::into_iter(dropped) {
            self.reject_item(erasure.item, &closed());
        }
    }

    /// Gives failed storages whose wait is over another try.
    pub(super) fn retry_storages(&mut self) {
        let now = self.now;
        for storage in self.storages.values_mut() {
            if storage.retry_at.is_some_and(|at| at <= now) {
                storage.retry_at = None;
            }
        }
    }

    fn tell_storage(&mut self, storage: StorageId) {
        let stores: Vec<StoreId> = self.stores.ids().filter(|id| self.stores[*id].storage == Some(storage)).collect();
        for store in stores {
            self.changes(store);
        }
    }

    /// Whether a write of the store is under way or to come.
    pub(super) fn is_writing(&self, store: StoreId) -> bool {
        let in_batch = self.batches.values().any(|batch| {
            batch.erased.iter().any(|erasure| erasure.store == store)
                || batch.cursors.contains(&store)
                || batch.items.iter().any(|(id, _)| self.items.get(*id).is_some_and(|item| item.store == store))
        });
        let failed = self.storage_failure(store).is_some();
        in_batch
            || !failed
                && (self.stores[store].cursor_is_news && self.writes(store) != Writes::Notes
                    || self.erased.iter().any(|erasure| erasure.store == store)
                    || self.dirty.iter().any(|id| self.items.get(*id).is_some_and(|item| item.store == store)))
    }
}

enum Access {
    Open(StorageId),
    Later,
    Never,
}

impl Batch {
    const fn new(storage: StorageId) -> Self {
        Self {
            storage,
            items: Vec::new(),
            erased: Vec::new(),
            cursors: Vec::new(),
            fenced: Vec::new(),
            after: None,
            notes: Vec::new(),
            taken: Vec::new(),
            since: Millis(0),
        }
    }
}

impl<R: Row> Item<R> {
    /// What client storage is to hold: of an item that is only awaited nothing but its edits.
    fn write(&self, id: ItemId) -> Write<R> {
        if self.awaited && self.sync.is_none() {
            return Write::Erase(self.store, id, self.storage_key.clone());
        }
        let record = Record {
            storage_key: self.storage_key.clone(),
            remote_key: self.remote_key.clone(),
            row: self.row.clone(),
            sync: self.sync.clone(),
            validator: self.validator.clone(),
            migrated: None,
        };
        Write::Put(self.store, id, record)
    }
}
