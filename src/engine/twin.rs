//! Two items that turn out to be one row of the server: the key shows it.
//!
//! It happens when a fetch brings the row of a create before the create's own answer comes. What was done to the twin
//! moves to the item that was created here, requests under way and promises included; the twin goes.

use super::{
    Engine,
    edit::put_behind,
    id::{IdempotencyKey, ItemId, Key, Seq},
    item::{Edit, Sync},
    lifecycle::{Action, Settled},
    outbox::What,
    row::{FieldSet, RemoteRow, Row},
};

impl<R: Row> Engine<R> {
    /// Gives a created item the key that the server made. The other item that had it, if there is one.
    pub(super) fn adopt_key(&mut self, id: ItemId, key: Key) -> Option<ItemId> {
        let item = self.items.get_mut(id)?;
        let before = item.remote_key.replace(key.clone());
        item.row.set_remote_key(&key);
        let known = &mut self.stores[item.store].by_remote;
        if let Some(before) = before.filter(|before| known.get(before) == Some(&id)) {
            known.remove(&before);
        }
        let twin = known.insert(key, id);
        self.settle_ready(id);
        twin.filter(|twin| *twin != id)
    }

    /// Moves everything that is to be said about `twin` to `id`, and lets the twin go.
    pub(super) fn absorb(&mut self, id: ItemId, twin: ItemId) {
        self.unstore(twin);
        self.unslot(twin);
        let Some(other) = self.items.get_mut(twin) else { return };
        let (store, row, heard) = (other.store, other.row.clone(), other.heard);
        let moved = other.sync.take();
        let own = std::mem::take(&mut other.own);
        let is_known = !other.awaited && moved.as_ref().is_none_or(|sync| sync.settled == Settled::Existent);
        let all = self.stores[store].fields;
        let edited = moved.as_ref().map_or(FieldSet::NONE, |sync| sync.unsettled());
        if is_known {
            // What a fetch brought is newer than the answer to a create, which may even be repeated from a record.
            let newest = self.items.get(id).map_or(heard, |item| item.heard.max(heard));
            let told = RemoteRow { row: row.clone(), present: all.without(edited), key: None };
            self.merge(id, &told, newest);
        }
        self.take_over_own(id, own);
        self.touch(id);
        match moved {
            Some(moved) => {
                let last = self.next_seq();
                self.postpone_synced(id, last);
                self.redirect(twin, id);
                self.take_over(id, *moved, &row, last);
            }
            None => self.redirect(twin, id),
        }
        self.forget(twin);
        if let Some(fault) = self.items.get(id).and_then(|item| item.parked()).cloned() {
            self.reject_synced_after(id, None, &fault);
        }
        // The read that decides about an edit of the twin goes with it.
        self.ask_about(id);
        self.tell(id);
        self.reslot(id);
    }

    /// Answers and promises of `twin` are from now on those of `id`.
    fn redirect(&mut self, twin: ItemId, id: ItemId) {
        for sent in self.requests.values_mut() {
            if sent.what == What::Edit(twin) {
                sent.what = What::Edit(id);
            }
        }
        self.move_waiters(twin, id);
    }

    /// Puts the edits of another item, whose values are `row`, to those of this one. Of two edits of a field the one of
    /// the item that was edited last stands.
    /// The last of them is `last`, for whom everybody waits who waited for this item.
    fn take_over(&mut self, id: ItemId, mut moved: Sync<R>, row: &R, last: Seq) {
        let key = self.random.uuid();
        let Some(item) = self.items.get_mut(id) else { return };
        let (store, was_removed, here) = (item.store, item.is_removed(), item.row.clone());
        let all = self.stores[store].fields;
        let sync = item.sync_mut(item.settled());
        let mut stands = moved.edited();
        if sync.last_seq() > moved.last_seq() {
            stands = stands.without(sync.edited());
            moved.pending = moved.pending.and_then(|edit| without(edit, sync.edited()));
        } else {
            sync.pending = sync.pending.take().and_then(|edit| without(edit, stands));
        }
        if let Some(base) = &moved.base {
            sync.add_base(moved.base_fields.without(sync.base_fields), base);
        }
        if sync.settled == Settled::Existent {
            sync.add_base(stands.without(sync.base_fields), &here);
        }
        if let Some(attempt) = moved.in_flight.as_mut().filter(|attempt| attempt.frozen.is_none()) {
            attempt.frozen = Some(row.pick(all));
        }
        self.overwrite(id, stands, row);
        let Some(item) = self.items.get_mut(id) else { return };
        let sync = item.sync_mut(Settled::Existent);
        if sync.in_flight.is_none() {
            sync.in_flight = moved.in_flight.take();
        }
        let rest = [moved.in_flight.map(|attempt| attempt.edit), moved.pending];
        for edit in rest.into_iter().flatten() {
            sync.pending = Some(both(sync.pending.take(), edit, key));
        }
        match (&mut sync.pending, &mut sync.in_flight) {
            (Some(edit), _) => edit.last = last,
            (None, Some(attempt)) => attempt.edit.last = last,
            (None, None) => {}
        }
        let is_removed = item.is_removed();
        self.stores[store].unsynced.insert(id);
        if is_removed && !was_removed {
            self.changes(store).removed.push(id);
        }
    }
}

/// What is left of an update when some of its fields are overridden.
fn without(edit: Edit, fields: FieldSet) -> Option<Edit> {
    let rest = edit.fields.without(fields);
    match edit.action {
        Action::Update => (!rest.is_empty()).then_some(Edit { fields: rest, ..edit }),
        Action::Create | Action::Delete => Some(edit),
    }
}

/// Two edits that were made side by side: a delete wins, whichever came first, and over a create too, which may have been sent.
fn both(mine: Option<Edit>, theirs: Edit, key: IdempotencyKey) -> Edit {
    let Some(mine) = mine else { return theirs };
    let (first, second) = if mine.action == Action::Delete { (theirs, mine) } else { (mine, theirs) };
    put_behind(Some(first), Edit { key, ..second })
}
