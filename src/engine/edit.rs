//! What the app does to an item, as edits.
//!
//! Owns how an edit is recorded, joined with others, sent again and given up. Sends nothing.

use super::{
    Engine,
    connectivity::Task,
    error::{Code, Fault},
    id::{IdempotencyKey, ItemId, Key, StoreId},
    input::Source,
    item::{Attempt, AttemptState, Edit, Item, Sync, removed},
    lifecycle::{Action, Coalesced, Settled, coalesce},
    output::Made,
    row::{FieldSet, RemoteRow, Row},
    sender::Deed,
    store::closed,
};

impl<R: Row> Engine<R> {
    pub(super) fn create(&mut self, store: StoreId, mut row: R, key: Option<Key>, source: Source) -> Result<(), Fault> {
        if !self.stores[store].is_open() {
            return Err(closed());
        }
        if let Some(key) = &key {
            self.plan_key(store, key)?;
            row.set_remote_key(key);
        }
        let id = self.insert_new(store, row, key);
        self.changes(store).added.push(id);
        self.out.made = Made::Item(id);
        if source == Source::State {
            let fields = self.stores[store].fields;
            self.record_edit(id, Action::Create, fields, Settled::New);
            self.own(id, Deed::Edit(Action::Create), fields);
            self.mean(id, fields);
        }
        self.touch(id);
        self.end_turn();
        Ok(())
    }

    /// Whether an item may be made under this key.
    fn plan_key(&self, store: StoreId, key: &Key) -> Result<(), Fault> {
        if !key.is_safe() {
            return Err(unsafe_id(key.text()));
        }
        if self.stores[store].by_remote.contains_key(key) {
            let message =
                ["an item with the key \"", key.text(), "\" is here already; use findById() and update() it"].concat();
            return Err(Fault::new(Code::NotAKey, message));
        }
        Ok(())
    }

    /// Makes an item with keys, and nothing to say about it. The row shows the server's key already.
    pub(super) fn insert_new(&mut self, store: StoreId, row: R, remote_key: Option<Key>) -> ItemId {
        let storage_key = self.make_storage_key(store);
        let mut item = Item::new(store, row, storage_key);
        item.remote_key = remote_key;
        item.touched = self.clock;
        self.add(item)
    }

    /// Storage keys ascend in the order in which items come, over reloads too, so that a store can be read in that order.
    fn make_storage_key(&mut self, store: StoreId) -> Key {
        let numeric = self.stores[store].numeric_storage_key;
        let (now, random) = (self.now, &mut self.random);
        self.keys.next(numeric, now, random)
    }

    pub(super) fn update(&mut self, id: ItemId, row: &R, fields: FieldSet, source: Source) -> Result<(), Fault> {
        let item = self.items.get(id).ok_or_else(removed)?;
        self.plan_edit(item, Action::Update)?;
        let fields = item.row.diff(row, fields);
        if source == Source::Transporter {
            let heard = RemoteRow { row: row.clone(), present: fields, key: None };
            self.merge(id, &heard, self.clock);
            self.touch(id);
            self.end_turn();
            return Ok(());
        }
        if fields.is_empty() {
            return Ok(());
        }
        self.keep_base(id, fields);
        self.overwrite(id, fields, row);
        self.mean(id, fields);
        self.record_edit(id, Action::Update, fields, Settled::Existent);
        self.own(id, Deed::Edit(Action::Update), fields);
        self.tell(id);
        self.touch(id);
        self.end_turn();
        Ok(())
    }

    /// Sets values, and keeps the payload of an attempt as it was.
    pub(super) fn overwrite(&mut self, id: ItemId, fields: FieldSet, row: &R) {
        let Some(item) = self.items.get_mut(id) else { return };
        item.freeze(self.stores[item.store].fields);
        item.row.merge(fields, row);
    }

    pub(super) fn remove(&mut self, id: ItemId, source: Source) -> Result<(), Fault> {
        let item = self.items.get(id).ok_or_else(removed)?;
        self.plan_edit(item, Action::Delete)?;
        self.end_turn();
        if source == Source::Transporter {
            self.forget(id);
        } else {
            self.own(id, Deed::Edit(Action::Delete), FieldSet::NONE);
            self.remove_item(id);
        }
        Ok(())
    }

    /// Removes an item that may be removed.
    pub(super) fn remove_item(&mut self, id: ItemId) {
        let Some(store) = self.items.get(id).map(|item| item.store) else { return };
        let is_shared = self.stores[store].tabs.is_some();
        if !is_shared && self.stores[store].origin.is_none() {
            return self.forget(id);
        }
        if self.keeps_records(store) {
            self.unpark(id, true);
        }
        let leaves_removal = self.leaves_removal(id);
        let Some(item) = self.items.get_mut(id) else { return };
        // To delete it its key is enough: it need not be here first.
        let settled = item.settled();
        item.awaited = false;
        if !leaves_removal && coalesce(item.pending_action(), Action::Delete) == Coalesced::Vanished {
            // A create that never left, or was refused, and its delete: there is nothing to say.
            self.forget(id);
        } else {
            self.changes(store).removed.push(id);
            self.record_edit(id, Action::Delete, FieldSet::NONE, settled);
            self.touch(id);
            self.release(Some(id));
        }
    }

    /// Whether a create and its removal leave the removal: other tabs may know more of the create, or a row was read under its key.
    fn leaves_removal(&self, id: ItemId) -> bool {
        self.items.get(id).is_some_and(|item| self.stores[item.store].tabs.is_some() || item.is_there())
    }

    fn plan_edit(&self, item: &Item<R>, action: Action) -> Result<(), Fault> {
        if !self.stores[item.store].is_open() {
            return Err(closed());
        }
        if item.is_removed() || coalesce(item.pending_action(), action) == Coalesced::Refused {
            return Err(removed());
        }
        Ok(())
    }

    /// Keeps the server's side of fields that are edited for the first time.
    pub(super) fn keep_base(&mut self, id: ItemId, fields: FieldSet) {
        let Some(item) = self.items.get_mut(id) else { return };
        let row = item.row.clone();
        // What the server holds of an awaited item is not known yet.
        let sync = item.sync_mut(item.settled());
        if sync.settled == Settled::Existent {
            sync.add_base(fields.without(sync.base_fields), &row);
        }
    }

    /// Puts an edit behind what the item already has to say.
    pub(super) fn record_edit(&mut self, id: ItemId, action: Action, fields: FieldSet, settled: Settled) {
        let (last, key, now) = (self.next_seq(), self.random.uuid(), self.clock);
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        let is_shared = self.stores[store].tabs.is_some();
        // Of a removal the other tabs have still to hear.
        if self.stores[store].origin.is_none() && !(is_shared && action == Action::Delete) {
            item.sync = None;
            return;
        }
        if !item.awaited {
            // What an awaited item is fetched for is older than every edit of it, and is wanted all the same.
            item.touched = now;
        }
        // What is edited while nobody can be asked may be old when it leaves.
        item.stale |= self.stores[store].origin.is_some_and(|place| self.origins[place].is_offline());
        let sync = item.sync_mut(settled);
        let edit = Edit { action, fields, first: last, last, key };
        sync.pending = Some(put_behind(sync.pending.take(), edit));
        self.stores[store].unsynced.insert(id);
        self.reslot(id);
    }

    /// The app sends a parked edit again, together with what was edited since.
    pub(super) fn retry(&mut self, id: ItemId) {
        if self.passes_on(id, Deed::Retry) {
            return;
        }
        self.retry_item(id);
        self.run();
    }

    /// The sender does it. False if that is this tab.
    fn passes_on(&mut self, id: ItemId, deed: Deed) -> bool {
        let passes = self.items.get(id).is_some_and(|item| !self.keeps_records(item.store));
        if passes {
            self.own(id, deed, FieldSet::NONE);
            self.touch(id);
            self.end_turn();
        }
        passes
    }

    pub(super) fn retry_item(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        item.disputes = 0;
        let store = item.store;
        match item.parked().map(|fault| fault.code) {
            // The server has it: the same request again asks for the key.
            Some(Code::Uncertain) => self.ready_again(id),
            Some(_) => self.unpark(id, false),
            None => {}
        }
        self.tell(id);
        self.touch(id);
        self.release_waits(store);
    }

    /// Makes a refused attempt a pending edit again, joined by what was edited since. An uncertain one stays: it was taken.
    /// `deletes`: to be deleted.
    pub(super) fn unpark(&mut self, id: ItemId, deletes: bool) {
        let Some(item) = self.items.get_mut(id) else { return };
        let removes = deletes || item.pending_action() == Some(Action::Delete);
        if removes && item.remote_key.is_some() {
            item.sync.iter_mut().for_each(|sync| sync.recognise());
        }
        let all = self.stores[item.store].fields;
        let code = item.parked().map(|fault| fault.code);
        if removes && code == Some(Code::Conflict) && item.remote_key.is_none() {
            // It may be there all the same, under a key that nobody knows here: what is removed is looked for once more.
            return self.dispute_again(id);
        }
        match code {
            None | Some(Code::Uncertain) => return,
            Some(_) => self.unstart(id),
        }
        if code == Some(Code::GoneRemotely)
            && let Some(sync) = self.items.get_mut(id).and_then(|item| item.sync.as_mut())
        {
            sync.recreate(all);
        }
        let is_over = |item: &Item<R>| item.is_stillborn() && self.stores[item.store].tabs.is_none();
        if self.items.get(id).is_some_and(is_over) {
            return self.forget(id);
        }
        self.reslot(id);
    }

    /// Makes the attempt, which the server does not have, a pending edit again, joined by what was edited since.
    pub(super) fn unstart(&mut self, id: ItemId) {
        let key = self.random.uuid();
        let leaves_removal = self.leaves_removal(id);
        let Some(sync) = self.items.get_mut(id).and_then(|item| item.sync.as_mut()) else { return };
        let Some(attempt) = sync.in_flight.take() else { return };
        match join(attempt.edit, sync.pending.clone(), key) {
            Some(edit) => sync.pending = Some(edit),
            // A create and its removal.
            None if leaves_removal => self.touch(id),
            None => self.forget(id),
        }
        self.reslot(id);
    }

    /// The app gives up what has not left for sure.
    pub(super) fn discard(&mut self, id: ItemId) {
        if self.passes_on(id, Deed::Discard) {
            return;
        }
        self.discard_item(id);
        self.run();
    }

    pub(super) fn discard_item(&mut self, id: ItemId) {
        self.unstore(id);
        self.drop_decision(id);
        self.give_up(id, &Fault::new(Code::Discarded, "the edit was given up by discard()"));
    }

    /// Gives up what was not taken for sure: the item goes back to what the server holds, or was sent.
    pub(super) fn give_up(&mut self, id: ItemId, fault: &Fault) {
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        let Some(sync) = &mut item.sync else { return };
        let not_taken = |attempt: &mut Attempt<R>| match &attempt.state {
            AttemptState::Parked(_) => true,
            AttemptState::Disputed(fault, _) => fault.code == Code::Conflict,
            AttemptState::Storing { .. }
            | AttemptState::Ready
            | AttemptState::Sending(..)
            | AttemptState::Waiting(_) => false,
        };
        let parked = sync.in_flight.take_if(not_taken);
        let kept = sync.in_flight.as_ref().map(|attempt| attempt.edit.last);
        match sync.what_is_left(parked.as_ref()) {
            Left::Nothing => {
                self.reject_item(id, fault);
                return self.forget(id);
            }
            Left::Key => self.await_again(id),
            Left::Row => {
                for (fields, row) in sync.give_up().into_iter().flatten() {
                    self.overwrite(id, fields, &row);
                }
            }
        }
        if let Some(item) = self.items.get_mut(id) {
            item.settle();
            if item.sync.is_none() {
                self.stores[store].unsynced.remove(&id);
            }
        }
        self.tell(id);
        self.reject_synced_after(id, kept, fault);
        self.touch(id);
        self.reslot(id);
    }

    /// Of the item nothing is known but its key: it is fetched once more.
    fn await_again(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        let nothing = item.row.pick(FieldSet::NONE);
        item.row.merge(self.stores[item.store].fields, &nothing);
        item.sync = None;
        item.awaited = true;
        let store = item.store;
        self.ask(store, Task::Single(id));
    }
}

/// What there is of an item without its edits.
enum Left {
    /// What the server holds, or was sent.
    Row,
    /// The key by which the app knows it.
    Key,
    Nothing,
}

impl<R: Row> Sync<R> {
    /// Keeps the server's values of more fields.
    pub(super) fn add_base(&mut self, fields: FieldSet, values: &R) {
        if fields.is_empty() {
            return;
        }
        match &mut self.base {
            Some(base) => base.merge(fields, values),
            none => *none = Some(values.pick(fields)),
        }
        self.base_fields = self.base_fields.with(fields);
    }

    /// Keeps the server's values of no other fields than these.
    pub(super) fn keep_base_of(&mut self, fields: FieldSet) {
        self.base_fields = self.base_fields.and(fields);
        if self.base_fields.is_empty() {
            self.base = None;
        }
    }

    /// What there will be of the item without its pending edit, and without the `parked` attempt that it had.
    fn what_is_left(&self, parked: Option<&Attempt<R>>) -> Left {
        let gone = matches!(parked, Some(Attempt { state: AttemptState::Parked(fault), .. }) if fault.code == Code::GoneRemotely);
        let first = parked.map(|attempt| attempt.edit.action).or(self.pending.as_ref().map(|edit| edit.action));
        match (self.settled, first) {
            _ if gone => Left::Nothing,
            (Settled::New, _) if self.in_flight.is_none() => Left::Nothing,
            // Edits of a row that never came.
            (Settled::Awaited, _) if self.in_flight.is_none() => Left::Key,
            (Settled::New | Settled::Awaited | Settled::Existent, _) => Left::Row,
        }
    }

    /// Drops the pending edit. What its fields go back to: to what was sent, the others to what the server holds. A
    /// pending delete no longer tells the fields of the edits that it replaced; `base_fields` and the attempt do.
    fn give_up(&mut self) -> [Option<(FieldSet, R)>; 2] {
        self.pending = None;
        let sent = self.in_flight.as_ref().map_or(FieldSet::NONE, |attempt| attempt.edit.fields);
        let to_base = self.base_fields.without(sent);
        let base = self.base.clone().filter(|_| !to_base.is_empty()).map(|base| (to_base, base));
        let frozen = self.in_flight.as_ref().and_then(|attempt| attempt.frozen.clone());
        self.keep_base_of(sent);
        [base, frozen.map(|frozen| (sent, frozen))]
    }

    /// A create that was repeated and met a row under the key that the app chose has most likely met itself: the answer
    /// was lost. To remove the item is then to delete that row.
    fn recognise(&mut self) {
        if let Some(attempt) = &mut self.in_flight
            && attempt.edit.action == Action::Create
            && attempt.attempts > 1
            && matches!(&attempt.state, AttemptState::Parked(fault) if fault.code == Code::Conflict)
        {
            attempt.edit.action = Action::Update;
            self.settled = Settled::Existent;
        }
    }

    /// The server has deleted the item: what is left to say is to make it anew.
    fn recreate(&mut self, all: FieldSet) {
        self.settled = Settled::New;
        self.keep_base_of(FieldSet::NONE);
        if let Some(edit) = self.pending.as_mut().filter(|edit| edit.action == Action::Update) {
            edit.action = Action::Create;
            edit.fields = all;
        }
    }
}

/// Two edits, neither of which has reached the server, as one; nothing if they undo each other. The key is always a new
/// one: what client storage failed to note may have been sent under the old one, and a key stands for one payload.
pub(super) fn join(first: Edit, second: Option<Edit>, key: IdempotencyKey) -> Option<Edit> {
    let Some(second) = second else { return Some(Edit { key, ..first }) };
    let (from, last) = (first.first.min(second.first), first.last.max(second.last));
    match coalesce(Some(first.action), second.action) {
        Coalesced::Edit(action) => {
            let fields = if action == Action::Delete { FieldSet::NONE } else { first.fields.with(second.fields) };
            Some(Edit { action, fields, first: from, last, key })
        }
        Coalesced::Vanished => None,
        // Only what follows a delete is refused, and the delete stands.
        Coalesced::Refused => Some(Edit { first: from, last, key, ..first }),
    }
}

/// Two edits as one, where a create and its delete leave the delete: what has become of the create another tab knows.
pub(super) fn put_behind(before: Option<Edit>, edit: Edit) -> Edit {
    let Some(before) = before else { return edit };
    let (key, delete) = (edit.key, edit.clone());
    join(before, Some(edit), key).unwrap_or(delete)
}

/// The refusal of an id that would lead a request astray.
pub(super) fn unsafe_id(id: &str) -> Fault {
    let message =
        ["\"", id, "\" cannot be an id: a URL path would lead elsewhere (RFC 3986 §5.2.4); use another one"].concat();
    Fault::new(Code::UnsafeId, message)
}
