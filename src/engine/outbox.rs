//! What is to be said to the server, in which order, and what becomes of it.
//!
//! Per item the order is: the attempt in flight, then the pending edit. An edit that may have left is frozen: one
//! idempotency key never stands for two payloads. Between items there is only fairness: oldest edit first, six lanes an
//! origin, and no item waits for another one's refusal.

use super::{
    Engine,
    backoff::retry_after,
    config::{BACKOFF_CAP, BLOCKED_AFTER, BLOCKED_CAP},
    error::{Code, Fault},
    id::{CommandId, ItemId, Key, Seq, StoreId},
    input::Source,
    item::{Attempt, AttemptState, Edit, Item, Slot, removed},
    lifecycle::{Action, Coalesced, Settled, coalesce},
    outcome::{Answer, Body, Outcome, fault, judge_write},
    output::{Command, Made, Request},
    row::{FieldSet, RemoteRow, Row},
    store::{Phase, closed},
    time::{Instant, Millis},
};

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) what: What,
    pub(super) store: StoreId,
    pub(super) origin: usize,
    pub(super) asked: Instant,
    pub(super) probe: bool,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Edit(ItemId),
    Collection,
    Single(ItemId),
}

// What the app does.
impl<R: Row> Engine<R> {
    pub(super) fn create(&mut self, store: StoreId, row: R, key: Option<Key>, source: Source) -> Result<(), Fault> {
        if !self.stores[store].is_open() {
            return Err(closed());
        }
        if let Some(key) = &key {
            self.plan_key(store, key)?;
        }
        let id = self.insert_new(store, row, key);
        self.changes(store).added.push(id);
        self.out.made = Made::Item(id);
        if source == Source::State {
            let fields = self.stores[store].fields;
            self.record_edit(id, Action::Create, fields, Settled::New);
        }
        self.touch(id);
        self.end_turn();
        Ok(())
    }

    /// Whether an item may be made under this key.
    fn plan_key(&self, store: StoreId, key: &Key) -> Result<(), Fault> {
        if matches!(key.text(), "" | "." | "..") {
            return Err(unsafe_id(key.text()));
        }
        if self.stores[store].by_remote.contains_key(key) {
            let message =
                format!("an item with the key \"{}\" is here already; use findById() and update() it", key.text());
            return Err(Fault::new(Code::NotAKey, message));
        }
        Ok(())
    }

    /// Makes an item with keys, and nothing to say about it.
    pub(super) fn insert_new(&mut self, store: StoreId, mut row: R, remote_key: Option<Key>) -> ItemId {
        let storage_key = self.make_storage_key(store);
        row.set_storage_key(&storage_key);
        if let Some(key) = &remote_key {
            row.set_remote_key(key);
        }
        let mut item = Item::new(store, row, storage_key);
        item.remote_key = remote_key;
        item.touched = self.clock;
        self.add(item)
    }

    fn make_storage_key(&mut self, store: StoreId) -> Key {
        if self.stores[store].numeric_storage_key {
            return Key::new(&self.random.safe_integer().to_string(), true);
        }
        self.keys_made += 1;
        let mut text = String::with_capacity(20);
        push_base36(&mut text, self.key_prefix);
        text.push('-');
        push_base36(&mut text, self.keys_made);
        Key::new(&text, false)
    }

    pub(super) fn update(&mut self, id: ItemId, row: &R, fields: FieldSet, source: Source) -> Result<(), Fault> {
        let item = self.items.get(id).ok_or_else(removed)?;
        let store = item.store;
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
        let all = self.stores[store].fields;
        if let Some(item) = self.items.get_mut(id) {
            item.freeze(all);
            item.row.merge(fields, row);
        }
        self.record_edit(id, Action::Update, fields, Settled::Existent);
        self.changes(store).updated.push(id);
        self.touch(id);
        self.end_turn();
        Ok(())
    }

    pub(super) fn remove(&mut self, id: ItemId, source: Source) -> Result<(), Fault> {
        let item = self.items.get(id).ok_or_else(removed)?;
        let store = item.store;
        let pending = item.sync.as_ref().and_then(|sync| sync.pending.as_ref()).map(|edit| edit.action);
        self.plan_edit(item, Action::Delete)?;
        if source == Source::Transporter || item.awaited || self.stores[store].origin.is_none() {
            self.forget(id);
        } else if coalesce(pending, Action::Delete) == Coalesced::Vanished {
            self.vanish(id);
        } else {
            self.changes(store).removed.push(id);
            self.record_edit(id, Action::Delete, FieldSet::NONE, Settled::Existent);
            self.touch(id);
        }
        self.end_turn();
        Ok(())
    }

    /// A create that never left was deleted: there is nothing to say.
    fn vanish(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        let untold = item.sync.as_ref().is_none_or(|sync| sync.in_flight.is_none());
        if untold {
            self.forget(id);
        }
    }

    fn plan_edit(&self, item: &Item<R>, action: Action) -> Result<(), Fault> {
        if !self.stores[item.store].is_open() {
            return Err(closed());
        }
        let pending = item.sync.as_ref().and_then(|sync| sync.pending.as_ref()).map(|edit| edit.action);
        if item.is_removed() || coalesce(pending, action) == Coalesced::Refused {
            return Err(removed());
        }
        Ok(())
    }

    /// Keeps the server's side of fields that are edited for the first time.
    fn keep_base(&mut self, id: ItemId, fields: FieldSet) {
        let Some(item) = self.items.get_mut(id) else { return };
        let row = item.row.clone();
        let sync = item.sync_mut(Settled::Existent);
        if sync.settled == Settled::New {
            return;
        }
        let new = fields.without(sync.base_fields);
        match &mut sync.base {
            Some(base) => base.merge(new, &row),
            none => *none = Some(row.pick(new)),
        }
        sync.base_fields = sync.base_fields.with(new);
    }

    /// Puts an edit behind what the item already has to say.
    fn record_edit(&mut self, id: ItemId, action: Action, fields: FieldSet, settled: Settled) {
        let (seq, key, now) = (self.next_seq(), self.random.uuid(), self.clock);
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        item.touched = now;
        if self.stores[store].origin.is_none() {
            item.sync = None;
            return;
        }
        let sync = item.sync_mut(settled);
        let before = sync.pending.take();
        let action = match coalesce(before.as_ref().map(|edit| edit.action), action) {
            Coalesced::Edit(action) => action,
            Coalesced::Vanished | Coalesced::Refused => action,
        };
        sync.pending = Some(match before {
            Some(edit) => Edit { action, fields: fields.with(edit.fields), last: seq, ..edit },
            None => Edit { action, fields, first: seq, last: seq, key },
        });
        if action == Action::Delete
            && let Some(edit) = &mut sync.pending
        {
            edit.fields = FieldSet::NONE;
        }
        self.stores[store].unsynced.insert(id);
        self.reslot(id);
    }

    /// The app sends a parked edit again, together with what was edited since.
    pub(super) fn retry(&mut self, id: ItemId) {
        let key = self.random.uuid();
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        if let Some(sync) = &mut item.sync
            && let Some(mut attempt) =
                sync.in_flight.take_if(|attempt| matches!(attempt.state, AttemptState::Parked(_)))
        {
            let uncertain = matches!(&attempt.state, AttemptState::Parked(fault) if fault.code == Code::Uncertain);
            let gone = matches!(&attempt.state, AttemptState::Parked(fault) if fault.code == Code::GoneRemotely);
            if uncertain {
                attempt.state = AttemptState::Ready;
                sync.in_flight = Some(attempt);
            } else {
                sync.pending = join(attempt.edit, sync.pending.take(), key);
                if gone {
                    sync.recreate(self.stores[store].fields);
                }
            }
            self.touch(id);
            self.reslot(id);
            self.changes(store).updated.push(id);
            if self.items.get(id).is_some_and(|item| item.sync.as_ref().is_some_and(|sync| sync.is_void())) {
                self.forget(id);
            }
        }
        self.release_waits(store);
        self.run();
    }

    /// The app gives up what has not left for sure: the item goes back to what the server holds, or was sent.
    pub(super) fn discard(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        let (store, was_removed) = (item.store, item.is_removed());
        let Some(sync) = &mut item.sync else { return };
        let gone = sync.parked().is_some_and(|fault| fault.code == Code::GoneRemotely);
        let fault = Fault::new(Code::Discarded, "the edit was given up by discard()");
        let given_up = sync.give_up();
        if gone || (sync.in_flight.is_none() && sync.settled == Settled::New) {
            self.reject_item(id, &fault);
            self.forget(id);
            return self.run();
        }
        match given_up {
            Some((fields, values)) => item.row.merge(fields, &values),
            None => {}
        }
        item.settle();
        let (settled, is_removed) = (item.sync.is_none(), item.is_removed());
        if settled {
            self.unslot(id);
            self.stores[store].unsynced.remove(&id);
        }
        let changes = self.changes(store);
        if was_removed && !is_removed {
            changes.added.push(id)
        } else {
            changes.updated.push(id)
        }
        self.reject_synced(id, &fault);
        self.touch(id);
        self.reslot(id);
        self.run();
    }
}

// Who is next.
impl<R: Row> Engine<R> {
    /// Finds the item's place in the outbox of its origin.
    pub(super) fn reslot(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let store = &self.stores[item.store];
        let Some(place) = store.origin else { return };
        let sends = store.phase == Phase::Open && !store.paused;
        let Some(sync) = &item.sync else { return };
        let slot = match (&sync.in_flight, &sync.pending) {
            _ if !sends || item.awaited => Slot::Out,
            (Some(attempt), _) => match attempt.state {
                AttemptState::Ready => Slot::Ready(attempt.edit.first),
                AttemptState::Waiting(until) => Slot::Waiting(until),
                AttemptState::Storing { .. } | AttemptState::Sending(..) | AttemptState::Parked(_) => Slot::Out,
            },
            (None, Some(edit)) => Slot::Ready(edit.first),
            (None, None) => Slot::Out,
        };
        if slot == sync.slot {
            return;
        }
        self.unslot(id);
        let origin = &mut self.origins[place];
        match slot {
            Slot::Out => {}
            Slot::Ready(seq) => {
                origin.ready.insert((seq, id));
            }
            Slot::Waiting(until) => {
                origin.waiting.insert((until, id));
            }
        }
        if let Some(sync) = self.items.get_mut(id).and_then(|item| item.sync.as_mut()) {
            sync.slot = slot;
        }
    }

    /// Takes the item out of the outbox.
    pub(super) fn unslot(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        let Some(place) = self.stores[item.store].origin else { return };
        let Some(sync) = &mut item.sync else { return };
        match std::mem::take(&mut sync.slot) {
            Slot::Out => {}
            Slot::Ready(seq) => {
                self.origins[place].ready.remove(&(seq, id));
            }
            Slot::Waiting(until) => {
                self.origins[place].waiting.remove(&(until, id));
            }
        }
    }

    /// Gives every free lane something to do.
    pub(super) fn dispatch(&mut self) {
        for place in 0..self.origins.len() {
            self.end_due_waits(place);
            while self.origins[place].admits(self.now) && self.dispatch_one(place) {}
        }
    }

    fn end_due_waits(&mut self, place: usize) {
        while let Some((until, id)) = self.origins[place].waiting.first().copied()
            && until <= self.now
        {
            self.end_wait(id, |_| true);
            self.origins[place].waiting.remove(&(until, id));
        }
    }

    /// Reads come first, because they are few and tell the most; then the oldest edit. False if there is nothing to do.
    fn dispatch_one(&mut self, place: usize) -> bool {
        if let Some(store) = self.origins[place].collections.pop_first() {
            if self.stores[store].phase == Phase::Open && !self.stores[store].paused {
                self.send_fetch(place, store);
            }
            return true;
        }
        if let Some(id) = self.origins[place].singles.pop_first() {
            self.send_fetch_one(place, id);
            return true;
        }
        let Some((_, id)) = self.origins[place].ready.first().copied() else { return false };
        self.unslot(id);
        self.start(place, id);
        true
    }

    /// Freezes the pending edit, if nothing is in flight, and sends: at once, or when client storage has it.
    fn start(&mut self, place: usize, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        let Some(sync) = &mut item.sync else { return };
        let probe = self.origins[place].reserve();
        if sync.in_flight.is_none()
            && let Some(edit) = sync.pending.take()
        {
            let state = AttemptState::Ready;
            sync.in_flight = Some(Attempt { edit, attempts: 0, frozen: None, state, strikes: 0, lost: false });
            if self.writes_ahead(store) {
                return self.store_first(id, probe);
            }
        }
        self.send(place, id, probe);
    }

    /// Client storage has to have the attempt before it leaves.
    fn store_first(&mut self, id: ItemId, probe: bool) {
        self.touch(id);
        let Some(item) = self.items.get_mut(id) else { return };
        let version = item.version;
        if let Some(attempt) = item.in_flight_mut() {
            attempt.state = AttemptState::Storing { version, probe };
        }
    }

    /// Client storage has the attempt, or never will: send it, if the server can still be reached.
    pub(super) fn released(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let Some((_, probe)) = item.storing() else { return };
        let store = &self.stores[item.store];
        let Some(place) = store.origin else { return };
        if store.phase == Phase::Open && !store.paused && self.origins[place].still_admits(probe, self.now) {
            self.send(place, id, probe);
        } else {
            self.origins[place].release(probe);
            self.thaw(id);
        }
    }

    /// An attempt that never left becomes a pending edit again, joined by what was edited since.
    fn thaw(&mut self, id: ItemId) {
        let key = self.random.uuid();
        let Some(item) = self.items.get_mut(id) else { return };
        let Some(sync) = &mut item.sync else { return };
        let Some(attempt) = sync.in_flight.take() else { return };
        if attempt.attempts > 0 {
            sync.in_flight = Some(Attempt { state: AttemptState::Ready, ..attempt });
        } else {
            sync.pending = join(attempt.edit, sync.pending.take(), key);
            if sync.is_void() {
                return self.forget(id);
            }
        }
        self.reslot(id);
    }

    fn send(&mut self, place: usize, id: ItemId, probe: bool) {
        let command = self.next_command();
        let asked = self.clock;
        let Some(item) = self.items.get_mut(id) else { return };
        let (store, key, row) = (item.store, item.remote_key.clone(), item.row.clone());
        let Some(attempt) = item.in_flight_mut() else { return };
        attempt.state = AttemptState::Sending(command, asked);
        attempt.attempts += 1;
        let (patches, all) = (self.stores[store].patches, self.stores[store].fields);
        let fields = if patches && attempt.edit.action == Action::Update { attempt.edit.fields } else { all };
        let request = Request {
            action: attempt.edit.action,
            item: id,
            key,
            row: attempt.frozen.clone().unwrap_or(row),
            fields,
            idempotency_key: attempt.edit.key,
        };
        self.origins[place].sent();
        self.requests.insert(command, Sent { what: What::Edit(id), store, origin: place, asked, probe });
        self.out.commands.push(Command::Send(command, store, request));
        self.changes(store).updated.push(id);
    }
}

// What the world answers.
impl<R: Row> Engine<R> {
    /// Notes what an answer says of the origin. Gives the lane back.
    pub(super) fn hear<B>(&mut self, sent: &Sent, outcome: Outcome, answer: &Answer<B>, blocked: bool) {
        let now = self.now;
        let origin = &mut self.origins[sent.origin];
        origin.release(sent.probe);
        let turned = match (outcome, answer) {
            (Outcome::Unreachable | Outcome::Intercepted, _) if blocked => false,
            (Outcome::Unreachable | Outcome::Intercepted, _) => origin.missed(sent.probe, now, &mut self.random),
            (_, Answer::Response(response)) => {
                match outcome {
                    Outcome::OriginLater => {
                        let span = response.retry_after.as_deref().and_then(|value| retry_after(value, now));
                        origin.refused(span, now, &mut self.random);
                    }
                    Outcome::Unauthorized => origin.held = Some(fault(outcome, answer)),
                    _ => origin.welcomed(),
                }
                origin.reached()
            }
            (_, Answer::Unreachable { .. } | Answer::TimedOut | Answer::Cut) if origin.is_out() => {
                origin.missed(sent.probe, now, &mut self.random)
            }
            (_, Answer::Unreachable { .. } | Answer::TimedOut | Answer::Cut) => false,
        };
        let out = self.origins[sent.origin].is_out();
        if turned && !out {
            self.end_lost_waits(sent.origin);
        }
        if turned || outcome == Outcome::Unauthorized {
            self.tell_origin(sent.origin);
        }
        if outcome != Outcome::Applied {
            self.stores[sent.store].last_error = Some(fault(outcome, answer));
            self.changes(sent.store);
        }
    }

    /// The server is back: whoever waits only because nothing answered goes on.
    fn end_lost_waits(&mut self, place: usize) {
        let waiting: Vec<ItemId> = self.origins[place].waiting.iter().map(|(_, id)| *id).collect();
        for id in waiting {
            self.end_wait(id, |attempt| attempt.lost && attempt.strikes < BLOCKED_AFTER);
        }
    }

    fn tell_origin(&mut self, place: usize) {
        let stores: Vec<StoreId> = self.stores.ids().filter(|id| self.stores[*id].origin == Some(place)).collect();
        for store in stores {
            self.changes(store);
            self.conclude_loading(store);
        }
    }

    /// The browser thinks that the network is back.
    pub(super) fn hurry(&mut self) {
        let now = self.now;
        self.origins.iter_mut().for_each(|origin| origin.hurry(now));
        for place in 0..self.origins.len() {
            if self.origins[place].is_out()
                && let Some((_, id)) = self.origins[place].waiting.first().copied()
            {
                self.end_wait(id, |attempt| attempt.lost);
            }
        }
        self.run();
    }

    pub(super) fn answered(&mut self, command: CommandId, answer: &Answer<RemoteRow<R>>) {
        let Some(sent) = self.requests.remove(&command) else { return };
        let What::Edit(id) = sent.what else { return };
        let action = self.items.get_mut(id).and_then(Item::in_flight_mut).map(|attempt| attempt.edit.action);
        let (Some(action), Phase::Open) = (action, self.stores[sent.store].phase) else {
            self.origins[sent.origin].release(sent.probe);
            return self.run();
        };
        let outcome = judge_write(action, answer);
        let blocked = self.note_strike(id, &sent, outcome);
        self.hear(&sent, outcome, answer, blocked);
        match outcome {
            Outcome::Applied => self.applied(id, action, &sent, answer),
            Outcome::Parked(_) => self.park(id, fault(outcome, answer)),
            Outcome::OriginLater => self.ready_again(id),
            Outcome::Unauthorized => {
                if let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) {
                    attempt.attempts -= 1;
                }
                self.ready_again(id);
            }
            Outcome::Unknown | Outcome::Later | Outcome::Unreachable | Outcome::Intercepted => {
                self.wait_again(id, blocked);
            }
        }
        self.touch(id);
        self.run();
    }

    /// Counts failures on an origin that answers others. True if the address counts as blocked.
    fn note_strike(&mut self, id: ItemId, sent: &Sent, outcome: Outcome) -> bool {
        let lost = matches!(outcome, Outcome::Unreachable | Outcome::Intercepted);
        let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) else { return false };
        attempt.lost = lost;
        if lost && !sent.probe {
            attempt.strikes += 1;
        }
        lost && !sent.probe && attempt.strikes > BLOCKED_AFTER
    }

    fn ready_again(&mut self, id: ItemId) {
        if let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) {
            attempt.state = AttemptState::Ready;
        }
        self.reslot(id);
    }

    fn wait_again(&mut self, id: ItemId, blocked: bool) {
        let now = self.now;
        let cap = if blocked { BLOCKED_CAP } else { BACKOFF_CAP };
        if let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) {
            let span = self.random.backoff(attempt.attempts, cap);
            // Never at once: an answer that comes in no time would make a hot loop.
            attempt.state = AttemptState::Waiting(now.after(span.max(Millis(1))));
        }
        self.reslot(id);
        let store = self.items.get(id).map(|item| item.store);
        if let Some(store) = store {
            self.changes(store).updated.push(id);
        }
    }

    /// Keeps the edit until somebody decides.
    pub(super) fn park(&mut self, id: ItemId, fault: Fault) {
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        if let Some(attempt) = item.in_flight_mut() {
            attempt.state = AttemptState::Parked(fault.clone());
        }
        self.reject_synced(id, &fault);
        self.stores[store].last_error = Some(fault);
        self.changes(store).updated.push(id);
        self.reslot(id);
    }

    /// The server has the edit.
    fn applied(&mut self, id: ItemId, action: Action, sent: &Sent, answer: &Answer<RemoteRow<R>>) {
        let Answer::Response(response) = answer else { return };
        let told = match &response.body {
            Body::Json(told) => Some(told),
            Body::Empty | Body::Malformed | Body::Foreign | Body::TooLarge => None,
        };
        if action == Action::Create && !self.adopt_key(id, told, response.location.as_deref()) {
            return self.park(id, fault(Outcome::Parked(Code::Uncertain), answer));
        }
        let clock = self.clock;
        let Some(item) = self.items.get_mut(id) else { return };
        let Some(sync) = &mut item.sync else { return };
        let Some(attempt) = sync.in_flight.take() else { return };
        let (last, store) = (attempt.edit.last, item.store);
        if action == Action::Delete {
            if let Some(key) = item.remote_key.clone() {
                self.stores[store].buried.push((key, clock));
            }
            self.settle_synced(id, last);
            return self.forget_deleted(id, attempt);
        }
        sync.settled = Settled::Existent;
        let values = attempt.frozen.unwrap_or_else(|| item.row.clone());
        sync.rebase(attempt.edit.fields, &values);
        if let Some(told) = told {
            self.merge(id, told, sent.asked);
        }
        if let Some(item) = self.items.get_mut(id) {
            item.touched = clock;
            item.settle();
            if item.sync.is_none() {
                self.stores[store].unsynced.remove(&id);
            }
        }
        self.changes(store).updated.push(id);
        self.reslot(id);
        self.settle_synced(id, last);
    }

    /// The item was removed here before and is now removed there: nothing is told twice.
    fn forget_deleted(&mut self, id: ItemId, attempt: Attempt<R>) {
        if let Some(sync) = self.items.get_mut(id).and_then(|item| item.sync.as_mut()) {
            sync.in_flight = Some(attempt);
        }
        self.forget(id);
    }

    /// Gives a created item the key that the server made. False if there is none to be found.
    fn adopt_key(&mut self, id: ItemId, told: Option<&RemoteRow<R>>, location: Option<&str>) -> bool {
        let own = self.items.get(id).and_then(|item| item.remote_key.clone());
        let said = told.and_then(|told| told.key.clone());
        let Some(key) = said.or(own).or_else(|| location.and_then(key_from_location)) else { return false };
        let Some(store) = self.items.get(id).map(|item| item.store) else { return false };
        if let Some(twin) = self.stores[store].by_remote.get(&key).copied()
            && twin != id
        {
            self.absorb(id, twin);
        }
        let Some(item) = self.items.get_mut(id) else { return false };
        let before = item.remote_key.replace(key.clone());
        item.row.set_remote_key(&key);
        let known = &mut self.stores[store].by_remote;
        if let Some(before) = before.filter(|before| *before != key) {
            known.remove(&before);
        }
        known.insert(key, id);
        self.settle_ready(id);
        true
    }

    /// A fetch brought the row of a create before its answer came: what was edited on that twin is edited here.
    fn absorb(&mut self, id: ItemId, twin: ItemId) {
        let Some(other) = self.items.get(twin) else { return };
        let edited = other.sync.as_ref().map_or(FieldSet::NONE, |sync| sync.edited());
        let (values, deleted) = (other.row.clone(), other.is_removed());
        self.forget(twin);
        if !edited.is_empty() {
            // Refused only if this item is removed here, which then stands.
            drop(self.update(id, &values, edited, Source::State));
        }
        if deleted {
            drop(self.remove(id, Source::State));
        }
    }
}

impl<R: Row> super::item::Sync<R> {
    /// Drops the pending edit and a parked attempt. What the given-up fields go back to: what was sent, else the base.
    fn give_up(&mut self) -> Option<(FieldSet, R)> {
        let dropped = self.pending.take().map_or(FieldSet::NONE, |edit| edit.fields);
        self.in_flight.take_if(|attempt| matches!(attempt.state, AttemptState::Parked(_)));
        match &self.in_flight {
            Some(attempt) => {
                self.base_fields = self.base_fields.and(attempt.edit.fields);
                attempt.frozen.clone().map(|sent| (dropped, sent))
            }
            None => self.base.take().map(|base| (std::mem::take(&mut self.base_fields), base)),
        }
    }

    /// What was sent is now what the server holds; `base` keeps it for fields that have been edited since.
    fn rebase(&mut self, fields: FieldSet, values: &R) {
        let kept = self.pending.as_ref().map_or(FieldSet::NONE, |edit| edit.fields);
        let base_fields = kept.and(self.base_fields.with(fields));
        if base_fields.is_empty() {
            self.base = None;
        } else {
            let told = fields.and(kept);
            match &mut self.base {
                Some(base) => base.merge(told, values),
                none => *none = Some(values.pick(told)),
            }
        }
        self.base_fields = base_fields;
    }

    /// The server has deleted the item: what is left to say is to make it anew.
    fn recreate(&mut self, all: FieldSet) {
        self.settled = Settled::New;
        self.base = None;
        self.base_fields = FieldSet::NONE;
        if let Some(edit) = self.pending.as_mut().filter(|edit| edit.action == Action::Update) {
            edit.action = Action::Create;
            edit.fields = all;
        }
    }

    /// A create that never left, and its delete.
    fn is_void(&self) -> bool {
        self.in_flight.is_none() && self.pending.is_none()
    }
}

/// Two edits, neither of which has reached the server, as one with a key of its own; nothing if they undo each other.
fn join(first: Edit, second: Option<Edit>, key: super::id::IdempotencyKey) -> Option<Edit> {
    let Some(second) = second else { return Some(Edit { key, ..first }) };
    match coalesce(Some(first.action), second.action) {
        Coalesced::Edit(action) => {
            let fields = if action == Action::Delete { FieldSet::NONE } else { first.fields.with(second.fields) };
            Some(Edit { action, fields, first: first.first, last: second.last, key })
        }
        Coalesced::Vanished => None,
        Coalesced::Refused => Some(Edit { key, first: first.first, ..second }),
    }
}

/// The last segment of a `Location`, decoded (RFC 9110 §10.2.2).
fn key_from_location(location: &str) -> Option<Key> {
    let path = location.split(['?', '#']).next()?.trim_end_matches('/');
    let (_, segment) = path.rsplit_once('/')?;
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let digits = if byte == b'%' { Some((rest.next()?, rest.next()?)) } else { None };
        bytes.push(match digits {
            Some((high, low)) => {
                let value = |digit: u8| char::from(digit).to_digit(16);
                u8::try_from(value(high)? * 16 + value(low)?).ok()?
            }
            None => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!matches!(text.as_str(), "" | "." | "..")).then(|| Key::new(&text, false))
}

/// The refusal of an id that would lead a request astray.
pub(super) fn unsafe_id(id: &str) -> Fault {
    let message =
        format!("\"{id}\" cannot be an id: a URL path would lead elsewhere (RFC 3986 §5.2.4); use another one");
    Fault::new(Code::UnsafeId, message)
}

fn push_base36(text: &mut String, mut number: u64) {
    let mut digits = [0; 13];
    let mut length = 0;
    while let Some(digit) = digits.get_mut(length) {
        *digit = b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::try_from(number % 36).unwrap_or(0)];
        length += 1;
        number /= 36;
        if number == 0 {
            break;
        }
    }
    text.extend(digits[..length].iter().rev().map(|byte| char::from(*byte)));
}

impl Seq {
    /// The place before all others.
    pub const FIRST: Self = Self(0);
}
