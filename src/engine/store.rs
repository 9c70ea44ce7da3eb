//! One store: how it is opened, loaded, paused, flushed and closed.

use super::{
    Engine,
    conflict::Validators,
    connectivity::{Connection, Origin, Task},
    error::{Code, Fault, StorageFailure},
    id::{ItemId, Key, StorageId, StoreId, Token, decimal},
    index::Index,
    input::{Lost, Migrated, Others, Policy, Record, StoreOptions},
    item::{AttemptState, Edit, Item, Sync},
    lifecycle::{Action, Settled},
    output::{Command, Made, Reading},
    row::{FieldSet, Row},
    sender::Tabs,
    sorted::Set,
    storage::Storage,
    time::Instant,
    walk::Walk,
};

/// One store.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) name: String,
    /// The place of its origin; nothing without a transporter.
    pub(super) origin: Option<usize>,
    pub(super) storage: Option<StorageId>,
    /// What is known of other tabs, where there may be any.
    pub(super) tabs: Option<Tabs>,
    /// Why its rows in client storage are not to be touched, if so.
    pub(super) barred: Option<Fault>,
    /// What is known to be gone from client storage, or was found in it and made no sense.
    pub(super) damage: Option<Fault>,
    pub(super) fields: FieldSet,
    pub(super) refers: FieldSet,
    /// Items that are fetched because its items refer to them.
    pub(super) related: Vec<ItemId>,
    /// Whether all that its first rows refer to was here once, as far as it could be had.
    pub(super) whole: bool,
    pub(super) patches: bool,
    pub(super) probes: bool,
    pub(super) numeric_storage_key: bool,
    pub(super) policy: Policy,
    pub(super) asks_uncertain: bool,
    /// What is known of the server's way to tell states of rows apart.
    pub(super) validators: Validators,
    pub(super) by_remote: Index,
    pub(super) by_storage: Index,
    /// Items with something to say to the server.
    pub(super) unsynced: Set<ItemId>,
    /// Keys whose deletion the server took, and when: an answer that was asked for before does not bring them back.
    pub(super) buried: Vec<(Key, Instant)>,
    /// When the newest answer about one item alone had been asked for.
    pub(super) single: Instant,
    pub(super) phase: Phase,
    /// Whether the first read of the collection has come to an end, good or bad.
    pub(super) asked: bool,
    /// Whether the collection was ever read here.
    pub(super) fetched: bool,
    /// Whether it has to be read, and so is until that succeeds.
    pub(super) behind: bool,
    /// Where the next usual read of it goes on, if not at the beginning.
    pub(super) cursor: Option<String>,
    /// Whether client storage has another cursor, or none.
    pub(super) cursor_is_news: bool,
    /// The usual read, while there are pages to come.
    pub(super) walk: Option<Walk>,
    /// A read in the way that the app gave with this promise, while there are pages to come.
    pub(super) aside: Option<(Token, Walk)>,
    /// The read that is under way.
    pub(super) reading: Reading,
    pub(super) paused: bool,
    pub(super) last_error: Option<Fault>,
    pub(super) loading: Vec<Token>,
    /// Whether the collection is to be read once more when the read under way is answered.
    pub(super) fetch_again: bool,
    /// Who waits for a read of the collection.
    pub(super) fetching: Vec<Wanted>,
    pub(super) flushing: Vec<Token>,
    pub(super) closing: Option<Token>,
}

/// A read of the collection that the app waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) token: Token,
    pub(super) since: Instant,
    /// Whether it is read in a way of its own.
    pub(super) own: bool,
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
    pub(super) fn open(&mut self, options: StoreOptions, blank: R) -> Result<(), Fault> {
        let taken = self.stores.ids().any(|id| self.stores[id].name == options.name && self.stores[id].is_open());
        if taken {
            return Err(Fault::new(
                Code::Options,
                [
                    "a store named \"",
                    &options.name,
                    "\" is open already; give this one another `name`, or close that one",
                ]
                .concat(),
            ));
        }
        let origin = options.origin.map(|name| self.origin(name));
        self.end_hold(origin);
        if let Some(storage) = options.storage {
            // Nobody uses it: what became of it for those who did is over.
            if !self.stores.ids().any(|id| self.stores[id].storage == Some(storage) && self.is_open(id)) {
                self.storages.remove(&storage);
            }
            self.storages.get_or_insert_with(storage, Storage::default);
        }
        let id = self.stores.insert(Store {
            name: options.name,
            origin,
            storage: options.storage,
            tabs: options.storage.filter(|_| options.shared).map(|_| Tabs::new()),
            barred: None,
            damage: None,
            fields: FieldSet::first(options.fields),
            refers: options.refers,
            related: Vec::new(),
            whole: options.refers.is_empty(),
            patches: options.patches,
            probes: options.probes,
            numeric_storage_key: options.numeric_storage_key,
            policy: options.policy,
            asks_uncertain: options.asks_uncertain,
            validators: if options.conditional { Validators::Unknown } else { Validators::Unused },
            by_remote: Index::default(),
            by_storage: Index::default(),
            unsynced: Set::new(),
            buried: Vec::new(),
            single: Instant(0),
            phase: if options.storage.is_some() { Phase::Loading } else { Phase::Open },
            asked: origin.is_none(),
            fetched: false,
            behind: true,
            cursor: None,
            cursor_is_news: false,
            walk: None,
            aside: None,
            reading: Reading::default(),
            paused: false,
            last_error: None,
            loading: Vec::new(),
            fetch_again: false,
            fetching: Vec::new(),
            flushing: Vec::new(),
            closing: None,
        });
        self.out.made = Made::Store(id);
        self.blanks.push(blank);
        self.store_came = true;
        if self.stores[id].tabs.is_some() {
            self.out.commands.push(Command::Lead(id, false));
        }
        if options.storage.is_some() {
            self.out.commands.push(Command::Load(id));
        } else {
            self.ask_collection(id);
        }
        self.end_turn();
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
        cursor: Option<String>,
        lost: Option<Lost>,
        others: Others<R>,
    ) {
        if self.is_catching_up(store) {
            match records {
                Ok(records) => {
                    self.go_on_at(store, cursor, problem.is_none(), &records);
                    self.read_again(store, records, others.notes, others.mark);
                }
                Err(failure @ StorageFailure::NewerVersion) => self.bar(store, &failure),
                Err(failure) => {
                    if let Some(id) = self.stores[store].storage {
                        self.abandon(id, &failure);
                    }
                }
            }
            return self.run();
        }
        if self.stores[store].phase != Phase::Loading {
            return;
        }
        self.stores[store].phase = Phase::Open;
        self.store_came = true;
        self.begin_at(store, others.mark);
        let whole = problem.is_none() && lost.is_none();
        if let Some(fault) = lost.map(loss).or(problem) {
            self.changes(store);
            self.stores[store].last_error = Some(fault.clone());
            self.stores[store].damage = Some(fault);
        }
        match records {
            Ok(records) => {
                self.go_on_at(store, cursor, whole, &records);
                let items: Vec<ItemId> = records.into_iter().filter_map(|record| self.load(store, record)).collect();
                if !self.stores[store].refers.is_empty() {
                    items.into_iter().for_each(|id| self.relate(id));
                }
                self.begin_with(store, others.notes);
            }
            // Other stores may have rows of this version. If it is the database that is newer, each of them hears so.
            Err(failure @ StorageFailure::NewerVersion) => self.bar(store, &failure),
            Err(failure) => {
                if let Some(id) = self.stores[store].storage {
                    self.abandon(id, &failure);
                }
            }
        }
        self.reslot_all(store);
        self.ask_collection(store);
        self.ask_awaited(store);
        self.run();
    }

    /// The next read goes on where the last one that is in these records did. Where rows are missing, or have got fields that the
    /// server was never asked for, everything is read again.
    fn go_on_at(&mut self, store: StoreId, cursor: Option<String>, whole: bool, records: &[Record<R>]) {
        let migrated = records.iter().any(|record| record.migrated.is_some());
        let usable = whole && !migrated && !records.is_empty();
        let known = &mut self.stores[store];
        known.cursor_is_news = cursor.is_some() && !usable;
        known.cursor = cursor.filter(|_| usable);
    }

    /// Takes in one stored record, unless its item is here already. Of two records of one row the first stands, and
    /// takes over what the second has to say.
    pub(super) fn load(&mut self, store: StoreId, record: Record<R>) -> Option<ItemId> {
        let known = &self.stores[store];
        if known.by_storage.contains_key(&record.storage_key) {
            return None;
        }
        let twin = record.remote_key.as_ref().and_then(|key| known.by_remote.get(key)).copied();
        let last = record.sync.as_ref().and_then(|sync| sync.last_seq());
        self.next_seq = self.next_seq.max(last.unwrap_or(self.next_seq));
        let mut item = Item::new(store, record.row, record.storage_key);
        item.remote_key = record.remote_key;
        item.sync = record.sync;
        item.validator = record.validator;
        item.stale = item.sync.is_some();
        item.kept = true;
        item.sync.iter_mut().for_each(|sync| sync.reload(self.clock));
        if let Some(migrated) = record.migrated {
            self.rekey(&mut item, migrated);
        }
        item.awaited = item.sync.as_ref().is_some_and(|sync| sync.awaits());
        let (unsynced, removed) = (item.sync.is_some(), item.is_removed());
        let id = self.add(item);
        if unsynced {
            self.stores[store].unsynced.insert(id);
        }
        if record.migrated.is_some() {
            self.touch(id);
        }
        if let Some(twin) = twin {
            self.join_loaded(twin, id);
            return Some(twin);
        }
        // Of a removed one nothing is to be seen but that the store has an edit to tell.
        let changes = self.changes(store);
        if !removed {
            changes.added.push(id);
        }
        Some(id)
    }

    /// One key never stands for two payloads: an attempt that a migration gave another payload gets another key, and leaves
    /// when client storage has that. Should the old one have arrived, its answer is lost like any other: the edit is sent
    /// once more, and `attempts` still says that it was sent before.
    fn rekey(&mut self, item: &mut Item<R>, migrated: Migrated) {
        let patches = self.stores[item.store].patches;
        let key = self.random.uuid();
        let Some(attempt) = item.in_flight_mut() else { return };
        let is_other = match attempt.edit.action {
            Action::Update if patches => migrated.edited,
            Action::Create | Action::Update => migrated.whole,
            Action::Delete => false,
        };
        if is_other {
            attempt.edit.key = key;
            attempt.rekeyed = true;
        }
    }

    /// What was loaded is the row of an item that is here already: made since, awaited, or stored twice.
    fn join_loaded(&mut self, here: ItemId, loaded: ItemId) {
        let awaited = self.items.get(loaded).is_some_and(|item| item.awaited);
        let Some(item) = self.items.get_mut(here) else { return };
        if let Some(key) = item.remote_key.clone() {
            self.stores[item.store].by_remote.insert(key, here);
        }
        item.awaited &= awaited;
        self.absorb(here, loaded);
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
        self.free_lane(id);
        self.unslot(id);
        let Some(item) = self.items.remove(id) else { return };
        self.bury(&item);
        if let Some(origin) = self.stores[item.store].origin {
            self.origins[origin].unask(Task::Single(id));
        }
        let store = &mut self.stores[item.store];
        store.by_storage.remove(&item.storage_key);
        store.unsynced.remove(&id);
        if let Some(key) = &item.remote_key
            && store.by_remote.get(key) == Some(&id)
        {
            store.by_remote.remove(key);
        }
        self.dirty.remove(&id);
        if item.kept || item.version > 0 {
            self.erase(item.store, item.storage_key.clone(), id);
        }
        // Of an item that was removed before, the store has now one edit less to tell: that is news as well.
        let changes = self.changes(item.store);
        if item.shown {
            changes.removed.push(id);
        } else {
            changes.removed.retain(|other| *other != id);
        }
        self.conclude_item(id, &item);
        self.release(Some(id));
    }

    /// Wants the collection read.
    pub(super) fn ask_collection(&mut self, store: StoreId) {
        self.ask(store, Task::Collection(store));
    }

    /// Wants a read of a store made, if there is a server.
    pub(super) fn ask(&mut self, store: StoreId, read: Task) {
        if let Some(origin) = self.stores[store].origin {
            self.origins[origin].ask(read);
        }
    }

    /// Wants those items read that are only awaited so far.
    pub(super) fn ask_awaited(&mut self, store: StoreId) {
        let Some(origin) = self.stores[store].origin else { return };
        for (id, item) in self.items.iter() {
            if item.store == store && item.awaited {
                self.origins[origin].ask(Task::Single(id));
            }
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
            Phase::Open if !store.asked && self.cannot_ask(id).is_none() => return,
            Phase::Open if self.is_relating(id) => return,
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

    /// Why nothing can be asked of the store's server now, if so.
    pub(super) fn cannot_ask(&self, id: StoreId) -> Option<Fault> {
        let store = &self.stores[id];
        let unreachable = |message: &str| Some(Fault::new(Code::Unreachable, message));
        let Some(origin) = store.origin.map(|place| &self.origins[place]) else {
            return unreachable("the store has no server");
        };
        if store.paused {
            return unreachable("the store is paused; resume() it");
        }
        if let Some(fault) = &origin.held {
            return Some(fault.clone());
        }
        match (origin.is_shut(self.now), origin.connection()) {
            (false, _) => None,
            (true, Connection::Offline) => unreachable("the server cannot be reached now; it is being probed"),
            (true, Connection::Online | Connection::Held | Connection::Paused) => {
                Some(Fault::new(Code::Server, "the server asked to wait"))
            }
        }
    }

    pub(super) fn flush(&mut self, store: StoreId, token: Token) {
        self.stores[store].flushing.push(token);
        self.pass_flush(store);
        self.look_for_notes(store);
        self.release_waits(store);
        self.run();
    }

    /// The app wants things sent: ends backoff and holds, but no wait that the server asked for.
    pub(super) fn release_waits(&mut self, store: StoreId) {
        let Some(origin) = self.stores[store].origin else { return };
        self.origins[origin].held = None;
        self.origins[origin].hurry(self.now);
        if self.origins[origin].is_asked(Task::Collection(store)) {
            self.origins[origin].ask(Task::Collection(store));
        }
        let waiting: Vec<ItemId> = self.stores[store].unsynced.iter().copied().collect();
        for id in waiting {
            self.end_wait(id);
            self.ask_about(id);
        }
        self.ask_awaited(store);
        self.changes(store);
    }

    /// Notes where the next read of the collection goes on.
    pub(super) fn set_cursor(&mut self, store: StoreId, cursor: Option<String>) {
        let known = &mut self.stores[store];
        if known.cursor != cursor {
            known.cursor = cursor;
            known.cursor_is_news = known.storage.is_some();
        }
    }

    /// There are new credentials: what waited for them goes on. A store that the app paused stays paused.
    pub(super) fn authorized(&mut self, store: StoreId) {
        self.end_hold(self.stores[store].origin);
        self.run();
    }

    /// Whoever asks next finds out whether the hold still stands, and then waits for its end. So it ends when a store is opened, and
    /// when one is closed, which may have been the one that waited.
    fn end_hold(&mut self, origin: Option<usize>) {
        let Some(place) = origin else { return };
        if self.origins[place].held.take().is_some() {
            self.tell_origin(place);
        }
    }

    /// Settles what waits for something that cannot come now.
    pub(super) fn conclude_waits(&mut self) {
        for id in self.stores.ids() {
            if !self.stores[id].whole && self.has_asked(id) && !self.is_relating(id) {
                self.stores[id].whole = true;
                self.stores[id].related.clear();
            }
            if !self.stores[id].loading.is_empty() {
                self.conclude_loading(id);
            }
            let waits_for_a_read = !self.stores[id].fetching.is_empty() && !self.is_fetching(id);
            if waits_for_a_read
                && self.stores[id].phase == Phase::Open
                && let Some(fault) = self.cannot_ask(id)
            {
                self.settle_fetches(id, None, &Err(fault));
            }
            let is_flushed = self.is_flushed(id);
            self.conclude_flush(id, is_flushed);
            if !self.stores[id].flushing.is_empty() && is_flushed {
                for token in std::mem::take(&mut self.stores[id].flushing) {
                    self.out.settled.push((token, Ok(())));
                }
            }
        }
    }

    /// Whether everything was sent that could be. Where another tab sends, that says so.
    fn is_flushed(&self, id: StoreId) -> bool {
        if self.leads(id) || self.stores[id].phase != Phase::Open {
            return !self.has_to_send(id);
        }
        let mut unsynced = self.stores[id].unsynced.iter().filter_map(|item| self.items.get(*item));
        unsynced.all(|item| item.parked().is_some())
    }

    /// Whether an edit of the store is on its way, or leaves as soon as there is a lane. What waits for its next try
    /// has had one since the app asked.
    fn has_to_send(&self, id: StoreId) -> bool {
        let store = &self.stores[id];
        let sends = |item: &Item<R>| self.has_to_leave(item);
        // What waits for another item leaves behind that one.
        let follows = |id| self.reach(id).iter().filter_map(|id| self.items.get(*id)).any(sends);
        let leaves = |id: &ItemId| {
            self.items.get(*id).is_some_and(|item| sends(item) || item.waits_for.is_some() && follows(*id))
        };
        match store.phase {
            Phase::Loading => store.origin.is_some(),
            Phase::Open => store.unsynced.iter().any(leaves),
            Phase::Closed => false,
        }
    }

    fn has_to_leave(&self, item: &Item<R>) -> bool {
        let blocked = self.cannot_ask(item.store).is_some();
        match item.sync.as_ref().map(|sync| (&sync.in_flight, &sync.pending)) {
            Some((Some(attempt), _)) => match attempt.state {
                AttemptState::Storing { .. } | AttemptState::Sending(..) => true,
                AttemptState::Ready => !blocked,
                AttemptState::Disputed(..) => !blocked && self.is_asking(item),
                AttemptState::Waiting(_) | AttemptState::Parked(_) => false,
            },
            Some((None, Some(_))) if item.is_stillborn() => false,
            Some((None, Some(_))) => !blocked && !item.awaited && item.waits_for.is_none() && item.deciding.is_none(),
            Some((None, None)) | None => false,
        }
    }

    pub(super) fn pause(&mut self, store: StoreId, paused: bool) {
        self.stores[store].paused = paused;
        self.reslot_all(store);
        if paused {
            self.unask_all(store);
        } else {
            self.release_waits(store);
            if self.stores[store].behind || self.stores[store].walk.is_some() {
                self.ask_collection(store);
            }
        }
        self.changes(store);
        self.run();
    }

    /// Wants nothing of the store read.
    fn unask_all(&mut self, store: StoreId) {
        let Some(origin) = self.stores[store].origin else { return };
        self.origins[origin].unask(Task::Collection(store));
        self.stores[store].fetch_again = false;
        for (id, item) in self.items.iter() {
            if item.store == store {
                self.origins[origin].unask(Task::Single(id));
            }
        }
    }

    /// Finds the place in the outbox anew for every item of the store that has something to say.
    pub(super) fn reslot_all(&mut self, store: StoreId) {
        let unsynced: Vec<ItemId> = self.stores[store].unsynced.iter().copied().collect();
        for id in unsynced {
            self.reslot(id);
            self.ask_about(id);
        }
    }

    pub(super) fn close(&mut self, id: StoreId, token: Token) {
        if !self.stores[id].is_open() {
            self.out.settled.push((token, Ok(())));
            return;
        }
        self.leave_notes(id);
        self.persist();
        let store = &mut self.stores[id];
        store.phase = Phase::Closed;
        store.closing = Some(token);
        self.settle_fetches(id, None, &Err(closed()));
        self.unask_all(id);
        self.reslot_all(id);
        self.conclude_loading(id);
        self.end_hold(self.stores[id].origin);
        self.run();
    }

    /// Lets go of closed stores whose last write is done.
    pub(super) fn conclude_closings(&mut self) {
        for id in self.stores.ids() {
            if self.stores[id].closing.is_none() || self.is_writing(id) {
                continue;
            }
            self.drop_writes(id);
            let items: Vec<ItemId> =
                self.items.iter().filter(|(_, item)| item.store == id).map(|(item, _)| item).collect();
            for item in items {
                self.free_lane(item);
                self.unslot(item);
                self.dirty.remove(&item);
                self.items.close(item);
                self.reject_item(item, &closed());
            }
            let store = &mut self.stores[id];
            store.by_remote.clear();
            store.by_storage.clear();
            store.unsynced.clear();
            store.buried.clear();
            if let Some(token) = store.closing.take() {
                self.out.settled.push((token, Ok(())));
            }
        }
    }
}

impl<R: Row> Sync<R> {
    /// Whether it has edits of a row that was never here: those of an item that is awaited.
    pub(super) fn awaits(&self) -> bool {
        self.settled == Settled::Awaited && self.in_flight.is_none() && !self.deletes()
    }

    /// As it is after a restart: what was on its way may have arrived, and is sent again as it was.
    pub(super) fn reload(&mut self, now: Instant) {
        let Some(attempt) = &mut self.in_flight else { return };
        match &mut attempt.state {
            AttemptState::Storing { .. } | AttemptState::Sending(..) | AttemptState::Waiting(_) => {
                attempt.state = AttemptState::Ready;
            }
            // What was asked for before may be older than what it was contradicted with.
            AttemptState::Disputed(_, since) => *since = now,
            AttemptState::Ready | AttemptState::Parked(_) => {}
        }
        attempt.attempts = attempt.attempts.max(1);
        attempt.strikes = 0;
        attempt.lost = false;
    }
}

impl Store {
    pub(super) fn is_open(&self) -> bool {
        self.phase != Phase::Closed
    }

    /// The fields that leave with an edit.
    pub(super) const fn sent_fields(&self, edit: &Edit) -> FieldSet {
        match edit.action {
            Action::Create => edit.fields,
            Action::Update if self.patches => edit.fields,
            Action::Update | Action::Delete => self.fields,
        }
    }
}

/// What was stored here is gone.
fn loss(Lost { records, unsynced }: Lost) -> Fault {
    if records == 0 {
        let message = "the browser has thrown the local database away; how much was in it is not known, and what the server holds is fetched anew";
        return Fault::new(Code::DataLoss, message);
    }
    let (count, edits) = (decimal(records.into()), decimal(unsynced.into()));
    let message = [
        "the local database is gone, or was emptied, since it was last used: ",
        &count,
        " records of this store were in it, ",
        &edits,
        " of them with edits that the server had not taken; what the server holds is fetched anew",
    ];
    let mut fault = Fault::new(Code::DataLoss, message.concat());
    fault.body = Some(["{\"records\":", &count, ",\"unsynced\":", &edits, "}"].concat());
    fault
}

/// The refusal of everything that comes after `close()`.
pub(super) fn closed() -> Fault {
    Fault::new(Code::Closed, "the store has been closed; make a new one with the same name to go on")
}
