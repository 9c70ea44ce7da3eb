//! Who is next: which edit or read leaves when there is a lane, and how an attempt begins.
//!
//! Per item the order is: the attempt in flight, then the pending edit. An edit that may have left is frozen: one
//! idempotency key never stands for two payloads. Between items there is only fairness: oldest edit first, six lanes an
//! origin, and no item waits for another one's refusal.

use super::{
    Engine,
    connectivity::{Slot, Task},
    id::{CommandId, ItemId, StoreId, Token},
    item::{Attempt, AttemptState, Edit, Item},
    lifecycle::Action,
    output::{Command, Request},
    row::Row,
    store::Phase,
    time::Instant,
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
    /// For this promise alone, if it is read in a way of its own.
    Collection(Option<Token>),
    Single(ItemId),
    /// Whether the server can be reached.
    Probe,
}

// The place in the queue.
impl<R: Row> Engine<R> {
    /// Finds the item's place in the queue of its origin.
    pub(super) fn reslot(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let item_store = item.store;
        let wanted = self.may_ask(item_store)
            && !item.awaited
            && item.deciding.is_none()
            && !item.is_stillborn()
            && self.may_leave(id).is_some()
            && self.leads(item_store)
            && !self.looks_first(id);
        let Some(item) = self.items.get(id) else { return };
        let slot = if wanted { item.wanted_slot(id) } else { Slot::Out };
        let Some(place) = self.stores[item.store].origin else { return };
        if slot == item.slot {
            return;
        }
        self.unslot(id);
        self.origins[place].put(slot);
        if let Some(item) = self.items.get_mut(id) {
            item.slot = slot;
        }
    }

    /// Takes the item out of the queue.
    pub(super) fn unslot(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(id) else { return };
        let Some(place) = self.stores[item.store].origin else { return };
        self.origins[place].take(std::mem::take(&mut item.slot));
    }

    /// Whether the store is one that asks its server for anything.
    pub(super) fn may_ask(&self, store: StoreId) -> bool {
        self.stores[store].phase == Phase::Open && !self.stores[store].paused
    }

    /// Ends the wait of an attempt.
    pub(super) fn end_wait(&mut self, id: ItemId) {
        let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) else { return };
        if matches!(attempt.state, AttemptState::Waiting(_)) {
            self.ready_again(id);
        }
    }

    /// The attempt may be sent once more.
    pub(super) fn ready_again(&mut self, id: ItemId) {
        if let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) {
            attempt.state = AttemptState::Ready;
        }
        self.reslot(id);
    }

    /// Ends the wait of anything that is in the queue.
    pub(super) fn make_ready(&mut self, place: usize, task: Task) {
        match task {
            Task::Collection(_) | Task::Single(_) => self.origins[place].ask(task),
            Task::Edit(_, id) => {
                self.unslot(id);
                self.end_wait(id);
                self.reslot(id);
            }
        }
    }
}

// Who leaves.
impl<R: Row> Engine<R> {
    /// Gives every free lane something to do.
    pub(super) fn dispatch(&mut self) {
        for place in 0..self.origins.len() {
            self.origins[place].prober = self.prober(place);
            self.ask_something(place);
            while let Some(task) = self.origins[place].pop_due(self.now) {
                self.make_ready(place, task);
            }
            while self.origins[place].admits(self.now) {
                if self.probe(place) {
                    break;
                }
                if self.origins[place].is_offline() && !self.origins[place].probes_by_anything() {
                    match self.next_probe(place) {
                        Some(task) => self.start(place, task),
                        None => break,
                    }
                } else if let Some(task) = self.origins[place].pop_ready() {
                    self.start(place, task);
                } else if self.origins[place].is_troubled()
                    && let Some(task) = self.origins[place].pop_lost()
                {
                    self.make_ready(place, task);
                } else {
                    break;
                }
            }
        }
    }

    fn start(&mut self, place: usize, task: Task) {
        match task {
            Task::Edit(_, id) => {
                self.unslot(id);
                self.start_edit(place, id);
            }
            Task::Collection(store) => {
                // One at a time: of two answers nobody could tell which is the newer state.
                if self.is_fetching(store) {
                    self.stores[store].fetch_again = true;
                } else if self.may_ask(store) {
                    self.send_fetch(place, store);
                }
            }
            Task::Single(id) => {
                let store = self.items.get(id).map(|item| item.store);
                if store.is_some_and(|store| self.may_ask(store)) {
                    self.send_fetch_one(place, id);
                }
            }
        }
    }

    /// Freezes the pending edit, if nothing is in flight, and sends: at once, or when client storage has it.
    fn start_edit(&mut self, place: usize, id: ItemId) {
        let key = self.random.uuid();
        let Some((store, Some(sync))) = self.items.get(id).map(|item| (item.store, item.sync.as_ref())) else { return };
        let is_new = sync.in_flight.is_none();
        if is_new {
            let Some(late) = self.may_leave(id) else { return self.reslot(id) };
            self.bind(id);
            let pending = |item: &mut Item<R>| item.sync.as_mut()?.pending.take();
            let Some(edit) = self.items.get_mut(id).and_then(pending) else { return };
            let edit = self.split(id, edit, late);
            let Some(item) = self.items.get_mut(id) else { return };
            let validator = item.validator.clone().filter(|_| edit.action != Action::Create);
            let Some(sync) = &mut item.sync else { return };
            // Never the key that may be stored with the edit: should this attempt leave without being stored, that one
            // comes back after a restart, for whatever the payload is then.
            sync.in_flight = Some(Attempt { validator, ..Attempt::new(Edit { key, ..edit }) });
        }
        // Of one that was sent before, the write is the proof that no other tab sends it.
        let writes = is_new || self.may_be_deposed(store);
        if writes {
            self.touch(id);
        }
        let probe = self.origins[place].reserve();
        if (writes || self.is_rekeyed(id)) && self.writes_ahead(store) {
            self.store_first(id, probe);
        } else {
            self.send(place, id, probe);
        }
    }

    /// Whether the attempt has a key that client storage does not have yet.
    fn is_rekeyed(&self, id: ItemId) -> bool {
        let Some(item) = self.items.get(id).filter(|item| item.committed < item.version) else { return false };
        item.sync.as_ref().and_then(|sync| sync.in_flight.as_ref()).is_some_and(|attempt| attempt.rekeyed)
    }

    /// Client storage has to have the attempt before it leaves.
    fn store_first(&mut self, id: ItemId, probe: bool) {
        let Some(item) = self.items.get_mut(id) else { return };
        let version = item.version;
        if let Some(attempt) = item.in_flight_mut() {
            attempt.state = AttemptState::Storing { version, probe };
        }
    }

    /// Client storage has the attempt, or never will: send it, if the server can still be reached.
    pub(super) fn released(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let (store, Some((_, probe))) = (item.store, item.storing()) else { return };
        let Some(place) = self.stores[store].origin else { return };
        let may_send = self.may_ask(store) && !self.may_be_deposed(store);
        if may_send && self.origins[place].still_admits(probe, self.now) {
            self.send(place, id, probe);
        } else {
            self.unstore(id);
        }
    }

    /// An attempt that waits for client storage, and so has not left, becomes a pending edit again; one that left before,
    /// under another key, stays.
    pub(super) fn unstore(&mut self, id: ItemId) {
        if !self.free_lane(id) {
            return;
        }
        let attempts = self.items.get_mut(id).and_then(Item::in_flight_mut).map_or(0, |attempt| attempt.attempts);
        if attempts == 0 { self.unstart(id) } else { self.reslot(id) }
    }

    /// Gives back the lane of an attempt that waits for client storage. False if there is none.
    pub(super) fn free_lane(&mut self, id: ItemId) -> bool {
        let Some(item) = self.items.get_mut(id) else { return false };
        let (store, Some((_, probe))) = (item.store, item.storing()) else { return false };
        if let Some(attempt) = item.in_flight_mut() {
            attempt.state = AttemptState::Ready;
        }
        if let Some(place) = self.stores[store].origin {
            self.origins[place].release(probe);
        }
        true
    }

    fn send(&mut self, place: usize, id: ItemId, probe: bool) {
        let (command, asked) = (self.next_command(), self.clock);
        let Some(item) = self.items.get_mut(id) else { return };
        let (store, key, row) = (item.store, item.remote_key.clone(), item.row.clone());
        let Some(attempt) = item.in_flight_mut() else { return };
        attempt.state = AttemptState::Sending(command, asked);
        attempt.attempts += 1;
        let request = Request {
            action: attempt.edit.action,
            item: id,
            key,
            row: attempt.frozen.clone().unwrap_or(row),
            fields: self.stores[store].sent_fields(&attempt.edit),
            idempotency_key: attempt.edit.key,
            validator: attempt.validator.clone(),
        };
        self.origins[place].sent();
        self.requests.insert(command, Sent { what: What::Edit(id), store, origin: place, asked, probe });
        self.out.commands.push(Command::Send(command, store, request));
        self.tell(id);
    }

    fn send_fetch(&mut self, place: usize, store: StoreId) {
        let initial = !self.stores[store].fetched && self.items.iter().all(|(_, item)| item.store != store);
        let reading = self.next_reading(store, initial);
        let command = self.send_read(place, store, What::Collection(reading.own));
        self.out.commands.push(Command::FetchAll(command, store, reading));
    }

    fn send_fetch_one(&mut self, place: usize, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let (store, Some(key)) = (item.store, item.remote_key.clone()) else { return };
        let command = self.send_read(place, store, What::Single(id));
        self.out.commands.push(Command::FetchOne(command, store, id, key));
    }

    pub(super) fn send_read(&mut self, place: usize, store: StoreId, what: What) -> CommandId {
        let (command, probe) = (self.next_command(), self.origins[place].reserve());
        self.origins[place].sent();
        self.requests.insert(command, Sent { what, store, origin: place, asked: self.clock, probe });
        command
    }
}

impl<R: Row> Item<R> {
    /// Where the item's next request belongs, if it may be sent at all.
    fn wanted_slot(&self, id: ItemId) -> Slot {
        let Some(sync) = &self.sync else { return Slot::Out };
        match (&sync.in_flight, &sync.pending) {
            (Some(attempt), _) => {
                let task = Task::Edit(attempt.edit.first, id);
                match attempt.state {
                    AttemptState::Ready => Slot::Ready(task),
                    AttemptState::Waiting(until) if attempt.lost => Slot::Lost(until, task),
                    AttemptState::Waiting(until) => Slot::Waiting(until, task),
                    AttemptState::Storing { .. }
                    | AttemptState::Sending(..)
                    | AttemptState::Disputed(..)
                    | AttemptState::Parked(_) => Slot::Out,
                }
            }
            (None, Some(edit)) => Slot::Ready(Task::Edit(edit.first, id)),
            (None, None) => Slot::Out,
        }
    }
}
