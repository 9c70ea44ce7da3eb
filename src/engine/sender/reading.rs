//! What other tabs have written: records and notes are read, and what is here becomes what they say, with this tab's own edits on top.

use super::{Deed, Mark, Note, Notes, Own, Role, Taken, Writes};
use crate::engine::{
    Engine,
    edit::put_behind,
    id::{ItemId, Key, Seq, StoreId},
    input::Record,
    item::{AttemptState, Edit, Item, Sync},
    lifecycle::{Action, Settled},
    row::{RemoteRow, Row},
    sorted::Set,
    store::Phase,
    time::{Instant, Millis},
};

impl<R: Row> Engine<R> {
    /// The records were read for the first time.
    pub(in crate::engine) fn begin_at(&mut self, store: StoreId, mark: Mark) {
        if let Some(tabs) = &mut self.stores[store].tabs {
            tabs.mark = mark;
            tabs.behind |= tabs.heard > mark.count;
        }
    }

    /// Whether the records of an open store are being read again.
    #[must_use]
    pub fn is_catching_up(&self, store: StoreId) -> bool {
        self.stores[store].phase == Phase::Open && self.stores[store].tabs.as_ref().is_some_and(|tabs| tabs.reading)
    }

    /// Whether they were since: then another tab may have deleted what was listed before that, and this tab has not heard of it.
    pub(in crate::engine) fn has_caught_up_since(&self, store: StoreId, asked: Instant) -> bool {
        self.stores[store].tabs.as_ref().is_some_and(|tabs| tabs.caught_up > asked)
    }

    /// They were. What is here becomes what they say, with this tab's own edits on top.
    pub(in crate::engine) fn read_again(
        &mut self,
        store: StoreId,
        records: Vec<Record<R>>,
        notes: Vec<Notes<R>>,
        mark: Mark,
    ) {
        let (tab, clock) = (self.tab(store), self.clock);
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        tabs.reading = false;
        tabs.caught_up = clock;
        tabs.mark = mark;
        tabs.behind |= tabs.heard > mark.count;
        (tabs.notes_first, tabs.shows_notes) = (false, false);
        (tabs.last_note, tabs.own_taken) = (0, 0);
        tabs.taken.clear();
        // To have read them is no proof that nobody else writes them.
        tabs.passed = Millis(0);
        let (leads, read) = (tabs.role == Role::Leading, tabs.number_read);
        let waiting: Vec<u32> = notes.iter().filter(|notes| notes.tab == tab).map(|notes| notes.number).collect();
        self.let_own_go(store, |number| number <= read && !waiting.contains(&number));
        let noted = notes.iter().flat_map(|notes| &notes.list).filter(|note| note.deed == Deed::Edit(Action::Create));
        let noted = noted.map(|note| note.storage_key.text());
        let there: Set<&str> = records.iter().map(|record| record.storage_key.text()).chain(noted).collect();
        // What was read here has another key here.
        let keyed: Set<&str> =
            records.iter().filter_map(|record| record.remote_key.as_ref()).map(|key| key.text()).collect();
        let is_gone = |item: &Item<R>| {
            let is_made_here = item.own.iter().any(|own| own.deed == Deed::Edit(Action::Create));
            let is_there = there.contains(&item.storage_key.text())
                || item.remote_key.as_ref().is_some_and(|key| keyed.contains(&key.text()));
            // What another tab has edited, and this one has not written down, is in the notes, or done.
            let is_of_others = item.sync.is_some() && item.own.is_empty();
            item.store == store && (item.kept || is_of_others) && !is_made_here && !is_there
        };
        let gone: Vec<ItemId> = self.items.iter().filter(|(_, item)| is_gone(item)).map(|(id, _)| id).collect();
        for id in gone {
            self.lose_record(id);
        }
        records.into_iter().for_each(|record| self.adopt(store, record));
        if self.items.iter().any(|(_, item)| item.store == store && item.is_read_here()) {
            // The cursor of the records may be past what would tell of it.
            self.set_cursor(store, None);
        }
        self.drop_erasures(store);
        if leads {
            notes.into_iter().for_each(|notes| self.take_in_notes(store, notes));
            self.end_joining(store);
            self.drop_stillborn(store);
        } else {
            self.show_notes(store, notes);
            self.touch_unkept(store);
        }
        self.reslot_all(store);
        self.release(None);
        self.changes(store);
    }

    /// The notes were read.
    pub(in crate::engine) fn notes_read(&mut self, store: StoreId, notes: Vec<Notes<R>>) {
        let is_open = self.stores[store].phase == Phase::Open;
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        tabs.reading_notes = false;
        if is_open && tabs.role == Role::Leading && !tabs.is_busy() {
            let was_first = tabs.notes_first;
            notes.into_iter().for_each(|notes| self.take_in_notes(store, notes));
            if was_first {
                self.end_joining(store);
            }
            self.drop_stillborn(store);
        }
        self.release(None);
        self.run();
    }

    /// They could not be.
    pub(in crate::engine) fn notes_not_read(&mut self, store: StoreId) {
        if let Some(tabs) = &mut self.stores[store].tabs {
            tabs.reading_notes = false;
            tabs.behind = true;
            self.recall(store);
        }
        self.run();
    }

    /// The first load has brought the notes as well.
    pub(in crate::engine) fn begin_with(&mut self, store: StoreId, notes: Vec<Notes<R>>) {
        let Some(tabs) = &mut self.stores[store].tabs else { return self.drop_stillborn(store) };
        if tabs.role == Role::Leading && !tabs.behind {
            tabs.noted = false;
            notes.into_iter().for_each(|notes| self.take_in_notes(store, notes));
            self.end_joining(store);
            self.drop_stillborn(store);
        } else {
            self.show_notes(store, notes);
        }
    }

    /// Edits of other tabs that are in no record yet are seen all the same. What the sender makes of them is read when it has.
    fn show_notes(&mut self, store: StoreId, notes: Vec<Notes<R>>) {
        let own = self.tab(store);
        for notes in notes.into_iter().filter(|notes| notes.tab != own) {
            if let Some(tabs) = &mut self.stores[store].tabs {
                tabs.shows_notes = true;
            }
            for note in notes.list {
                let found = self.noted_item(store, &note);
                if matches!(note.deed, Deed::Edit(_)) && (found.is_some() || note.makes_an_item()) {
                    self.follow_note(store, found, note);
                }
            }
        }
    }

    /// From now on this tab writes records. Its own notes are in memory, those that are on their way as well: they are erased with the
    /// first of them.
    fn end_joining(&mut self, store: StoreId) {
        let tab = self.tab(store);
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        tabs.notes_first = false;
        let (number, taken) = (tabs.number, tabs.own_taken);
        if number > taken {
            tabs.take(Taken { tab, number });
        }
        if std::mem::take(&mut tabs.shows_notes) {
            // They are in memory already, and in no record.
            let unsynced: Vec<ItemId> = self.stores[store].unsynced.iter().copied().collect();
            unsynced.into_iter().for_each(|id| self.touch(id));
        }
        self.do_what_was_passed_on(store, taken);
        // What becomes of edits was not for this tab to decide when they were asked about first.
        self.ask_awaited(store);
        self.touch_unkept(store);
        self.reslot_all(store);
    }

    /// What this tab has left to the sender, which it is now, and was not in the notes up to this number.
    fn do_what_was_passed_on(&mut self, store: StoreId, taken: u32) {
        let is_left = |own: &Own| !matches!(own.deed, Deed::Edit(_)) && (own.number == 0 || own.number > taken);
        let mut left = Vec::new();
        for (id, item) in self.items.iter().filter(|(_, item)| item.store == store) {
            left.extend(item.own.iter().filter(|own| is_left(own)).map(|own| (id, own.deed)));
        }
        for (id, deed) in left {
            self.items.get_mut(id).into_iter().for_each(|item| item.own.retain(|own| !is_left(own)));
            match deed {
                Deed::Retry => self.retry_item(id),
                Deed::Discard => self.discard_item(id),
                Deed::Edit(_) => {}
            }
            self.touch(id);
        }
    }

    /// What was read here while another tab wrote the records, and what was not committed as a record, is written by this one. What was
    /// read before this tab caught up with the records and is in none may be gone by now: it is read once more.
    fn touch_unkept(&mut self, store: StoreId) {
        let leads = self.keeps_records(store);
        let caught_up = self.stores[store].tabs.as_ref().map_or(Instant(0), |tabs| tabs.caught_up);
        let is_outdated = |item: &Item<R>| item.is_in_no_record() && item.heard < caught_up;
        let is_unkept = |item: &Item<R>| {
            let has_own = if leads { !item.own.is_empty() } else { item.is_unwritten() };
            item.store == store && (has_own || leads && (!item.kept || item.ahead.is_some()))
        };
        let unkept: Vec<ItemId> = self.items.iter().filter(|(_, item)| is_unkept(item)).map(|(id, _)| id).collect();
        for id in unkept {
            if self.items.get(id).is_some_and(is_outdated) {
                self.ask_collection(store);
            } else {
                self.touch(id);
            }
        }
    }

    /// What was made and removed before the server heard of it goes when client storage knows that it was removed, and that nothing
    /// was sent of it: no tab can bring it back, or has sent it.
    pub(in crate::engine) fn drop_stillborn(&mut self, store: StoreId) {
        if !self.leads(store) {
            return;
        }
        let writes_ahead = self.writes_ahead(store);
        let is_stored = |id: &ItemId, item: &Item<R>| item.issued <= item.committed && !self.dirty.contains(id);
        let is_known = |id: &ItemId, item: &Item<R>| !writes_ahead || item.own.is_empty() && is_stored(id, item);
        let has_origin = self.stores[store].origin.is_some();
        let is_over = |item: &Item<R>| item.is_stillborn() || !has_origin && item.is_removed();
        let is_it = |id: &ItemId| self.items.get(*id).is_some_and(|item| is_over(item) && is_known(id, item));
        let unsynced = self.stores[store].unsynced.iter().copied();
        let stillborn: Vec<ItemId> = unsynced.filter(is_it).collect();
        stillborn.into_iter().for_each(|id| self.forget(id));
    }

    /// The store is to be closed: what is not written yet is left as notes, which any tab can take in.
    pub(in crate::engine) fn leave_notes(&mut self, store: StoreId) {
        if self.writes(store) == Writes::Notes
            && let Some(tabs) = &mut self.stores[store].tabs
        {
            (tabs.behind, tabs.reading, tabs.role) = (false, false, Role::Following);
            tabs.notes_first = false;
        }
    }

    fn take_in_notes(&mut self, store: StoreId, Notes { place, tab, number, list }: Notes<R>) {
        let is_own = self.tab(store) == tab;
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        if place <= tabs.last_note {
            return;
        }
        tabs.last_note = place;
        tabs.take(Taken { tab, number });
        if is_own {
            tabs.own_taken = tabs.own_taken.max(number);
        }
        if !self.stores[store].refers.is_empty() {
            self.look_elsewhere(store);
        }
        for note in list {
            let found = self.noted_item(store, &note);
            let is_here = |item: &Item<R>| item.own.iter().any(|own| own.number == number);
            match found {
                // What was done here is in memory; its record has still to say so.
                Some(id) if is_own && matches!(note.deed, Deed::Edit(_)) && self.items.get(id).is_some_and(is_here) => {
                    self.touch(id);
                }
                None if is_own => {}
                found => self.follow_note(store, found, note),
            }
        }
    }

    /// What other tabs have done in one store may refer to what they have made in another.
    fn look_elsewhere(&mut self, store: StoreId) {
        let storage = self.stores[store].storage;
        for other in self.stores.ids().filter(|other| *other != store) {
            let known = &mut self.stores[other];
            if let Some(tabs) = known.tabs.as_mut().filter(|_| known.storage == storage && known.phase == Phase::Open) {
                if tabs.role == Role::Leading {
                    tabs.noted = true;
                } else {
                    tabs.behind = true;
                }
            }
        }
    }

    /// Does what was done in another tab. What was done here and is not in the records yet is newer.
    fn follow_note_of(&mut self, id: ItemId, note: &Note<R>) {
        let Some(item) = self.items.get_mut(id).filter(|item| !item.is_removed()) else { return };
        let own_taken = self.stores[item.store].tabs.as_ref().map_or(0, |tabs| tabs.own_taken);
        let newer = note.fields.without(item.own_fields(own_taken));
        item.overrule(newer);
        let fields = item.row.diff(&note.row, newer);
        match note.deed {
            Deed::Edit(Action::Create) if item.remote_key.is_none() && item.sync.is_none() => {
                self.overwrite(id, fields, &note.row);
                self.record_edit(id, Action::Create, note.fields, Settled::New);
            }
            Deed::Edit(Action::Create | Action::Update) => {
                self.keep_base(id, note.fields);
                self.overwrite(id, fields, &note.row);
                self.record_edit(id, Action::Update, note.fields, Settled::Existent);
            }
            Deed::Edit(Action::Delete) => self.remove_item(id),
            Deed::Retry => self.retry_item(id),
            Deed::Discard => self.discard_item(id),
        }
        self.tell(id);
        self.touch(id);
    }

    /// The item of a note. What was read in the tab of the note has another key in client storage there.
    fn noted_item(&self, store: StoreId, note: &Note<R>) -> Option<ItemId> {
        let known = &self.stores[store];
        let by_key = note.remote_key.as_ref().and_then(|key| known.by_remote.get(key));
        by_key.or_else(|| known.by_storage.get(&note.storage_key)).copied()
    }

    fn follow_note(&mut self, store: StoreId, found: Option<ItemId>, note: Note<R>) {
        if let Some(id) = found {
            return self.follow_note_of(id, &note);
        }
        let is_new = note.deed == Deed::Edit(Action::Create);
        if !note.makes_an_item() || !is_new && self.stores[store].origin.is_none() {
            // What is not here and cannot be asked for was removed in the meantime: whoever still shows it is told so.
            return self.erase(store, note.storage_key, ItemId(u32::MAX));
        }
        // The rest of it is as old as the note, and is read.
        let known = if is_new { note.fields } else { self.stores[store].fields.without(note.fields) };
        let mut item = Item::new(store, note.row.pick(known), note.storage_key.clone());
        // What is read of it now is older than the edit, and is wanted all the same.
        item.touched = if is_new { self.clock } else { item.touched };
        item.remote_key.clone_from(&note.remote_key);
        item.awaited = !is_new;
        item.kept = true;
        if let Some(key) = &note.remote_key {
            item.row.set_remote_key(key);
        }
        let id = self.add(item);
        self.changes(store).added.push(id);
        if is_new {
            self.record_edit(id, Action::Create, note.fields, Settled::New);
            self.touch(id);
        } else {
            self.ask_awaited(store);
            self.follow_note_of(id, &note);
        }
    }

    /// The item of a record becomes what that says.
    pub(super) fn adopt(&mut self, store: StoreId, record: Record<R>) {
        let known = &self.stores[store];
        let here = known.by_storage.get(&record.storage_key).copied();
        let twin = record.remote_key.as_ref().and_then(|key| known.by_remote.get(key)).copied();
        let Some(id) = here.or(twin) else {
            if let Some(id) = self.load(store, record) {
                let clock = self.clock;
                self.items.get_mut(id).into_iter().for_each(|item| item.touched = clock);
                self.relate(id);
                self.drop_double(id);
            }
            return;
        };
        let key = record.remote_key.clone();
        self.replace(id, record);
        let twin = key.filter(|key| self.lacks_key(id, key)).and_then(|key| self.adopt_key(id, key));
        if let Some(twin) = twin {
            self.absorb(id, twin);
        }
        self.drop_double(id);
        self.release(Some(id));
    }

    /// A row that was read here and is that of a create which another tab has sent, as far as one can see: it comes again with the
    /// answer to that.
    fn drop_double(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id).filter(|item| item.remote_key.is_none() && item.may_have_been_created())
        else {
            return;
        };
        let all = self.stores[item.store].fields;
        let is_double = |other: &Item<R>| {
            let read = other.store == item.store && other.remote_key.is_some() && !other.kept && other.sync.is_none();
            read && item.is_written_in(&RemoteRow { row: other.row.clone(), present: all, key: None })
        };
        let double = self.items.iter().find(|(_, other)| is_double(other)).map(|(double, _)| double);
        if let Some(double) = double {
            self.forget(double);
        }
    }

    /// An item is in no record any more. What was done to it here since is an edit, or the removal, of what is not here yet, if the server
    /// may have it; else it goes.
    pub(super) fn lose_record(&mut self, id: ItemId) {
        let is_edit = |own: &Own| matches!(own.deed, Deed::Edit(_));
        let stays = |item: &Item<R>| item.remote_key.is_some() && item.own.iter().any(is_edit);
        if !self.items.get(id).is_some_and(stays) {
            return self.forget(id);
        }
        self.free_lane(id);
        self.unslot(id);
        let Some(item) = self.items.get_mut(id) else { return };
        let was_removed = item.is_removed();
        (item.sync, item.validator, item.ahead, item.deciding) = (None, None, None, None);
        item.kept = false;
        item.awaited = !item.own.iter().any(|own| own.deed == Deed::Edit(Action::Delete));
        let row = item.row.clone();
        self.put_own_on_top(id, &row);
        self.has_changed(id, was_removed);
        self.reslot(id);
    }

    /// The queue and the page learn what an item has become.
    fn has_changed(&mut self, id: ItemId, was_removed: bool) {
        let Some(item) = self.items.get(id) else { return };
        let (store, unsynced, removed) = (item.store, item.sync.is_some(), item.is_removed());
        let known = &mut self.stores[store];
        if unsynced {
            known.unsynced.insert(id);
        } else {
            known.unsynced.remove(&id);
        }
        match (was_removed, removed) {
            (false, true) => self.changes(store).removed.push(id),
            (true, false) => self.changes(store).added.push(id),
            (true, true) | (false, false) => self.tell(id),
        }
    }

    /// What was done here and is in no record yet comes after what is.
    fn put_own_on_top(&mut self, id: ItemId, base: &R) {
        let Some(item) = self.items.get(id) else { return };
        let (own, has_origin) = (item.own.clone(), self.stores[item.store].origin.is_some());
        let known = item.sync.as_ref().and_then(|sync| sync.last_seq());
        self.next_seq = self.next_seq.max(known.unwrap_or(self.next_seq));
        for Own { deed, fields, .. } in own {
            let (key, last) = (self.random.uuid(), self.next_seq());
            let Some(item) = self.items.get_mut(id) else { return };
            if let Deed::Edit(action) = deed
                && (has_origin || action == Action::Delete)
            {
                let sync = item.sync_mut(item.settled());
                if sync.settled == Settled::Existent {
                    sync.add_base(fields.without(sync.base_fields), base);
                }
                let edit = Edit { action, fields, first: last, last, key };
                sync.pending = Some(put_behind(sync.pending.take(), edit));
            }
        }
    }

    fn lacks_key(&self, id: ItemId, key: &Key) -> bool {
        self.items.get(id).is_some_and(|item| item.remote_key.as_ref() != Some(key))
    }

    fn replace(&mut self, id: ItemId, record: Record<R>) {
        self.free_lane(id);
        self.unslot(id);
        let Some(item) = self.items.get_mut(id) else { return };
        let (store, was_removed) = (item.store, item.is_removed());
        let (all, clock) = (self.stores[store].fields, self.clock);
        if item.storage_key != record.storage_key {
            let before = std::mem::replace(&mut item.storage_key, record.storage_key.clone());
            let known = &mut self.stores[store].by_storage;
            known.remove(&before);
            known.insert(record.storage_key, id);
        }
        // What was read here and is in no record stays, where the record has not changed since.
        let news = item.ahead.as_ref().map_or(all, |before| before.diff(&record.row, all));
        if let Some(before) = &mut item.ahead {
            *before = record.row.pick(all);
        }
        let own = item.own_fields(0);
        let news = item.row.diff(&record.row, news.without(own));
        item.row.merge(news, &record.row);
        if let Some((fields, row)) = item.overruled.take() {
            item.row.merge(item.row.diff(&row, fields.and(own)), &row);
        }
        let before = std::mem::replace(&mut item.sync, record.sync);
        if let Some(sync) = &mut item.sync {
            sync.reload(clock);
            sync.keep_going(before.as_deref());
            // The row here may be another one than that of the record.
            if let Some(attempt) = sync.in_flight.as_mut().filter(|attempt| attempt.edit.action != Action::Delete) {
                attempt.frozen.get_or_insert_with(|| record.row.pick(all));
            }
        }
        if record.remote_key.is_none()
            && let Some(key) = item.remote_key.take()
        {
            // An answer that came here and was not written down: it is asked for again, in the same words.
            self.stores[store].by_remote.remove(&key);
        }
        item.validator = record.validator;
        item.stale = item.sync.is_some();
        item.awaited = item.sync.as_ref().is_some_and(|sync| sync.awaits());
        item.kept = true;
        item.deciding = None;
        // The sender has written it down just now: no answer that was asked for before takes it back.
        item.touched = clock;
        self.put_own_on_top(id, &record.row);
        let Some(item) = self.items.get(id) else { return };
        let unsynced = item.sync.is_some();
        // Which edit of this tab is in which of another's nobody knows: all of them have to be taken.
        if let Some(last) = item.sync.as_ref().and_then(|sync| sync.last_seq()) {
            self.postpone_synced(id, last);
        }
        self.has_changed(id, was_removed);
        self.reslot(id);
        self.relate(id);
        if !unsynced {
            self.settle_synced(id, Seq(u64::MAX));
        }
        if let Some(fault) = self.items.get(id).and_then(|item| item.parked()).cloned() {
            self.reject_synced_after(id, None, &fault);
            self.reject_ready(id, &fault);
        }
    }
}

impl<R: Row> Sync<R> {
    /// A request of this tab goes on, if it is about the same attempt.
    fn keep_going(&mut self, before: Option<&Self>) {
        let before = before.and_then(|sync| sync.in_flight.as_ref());
        if let (Some(now), Some(before)) = (&mut self.in_flight, before)
            && now.edit.key == before.edit.key
            && now.state == AttemptState::Ready
            && matches!(before.state, AttemptState::Sending(..) | AttemptState::Waiting(_))
        {
            now.state = before.state.clone();
            now.attempts = now.attempts.max(before.attempts);
            (now.strikes, now.lost) = (before.strikes, before.lost);
        }
    }
}

impl<R> Note<R> {
    /// Whether there is an item after it though there was none before: of a create, or of an edit of what the server has.
    fn makes_an_item(&self) -> bool {
        match self.deed {
            Deed::Edit(Action::Create) => true,
            Deed::Edit(Action::Update | Action::Delete) => self.remote_key.is_some(),
            Deed::Retry | Deed::Discard => false,
        }
    }
}
