//! Conflicts: the server holds something else than what an edit was made on.
//!
//! Owns what follows when the server contradicts an edit (409, 412, 428), when a read shows that a field that was edited here
//! has been changed there, and when an edit is so old that it is worth to look first. A conflict is a field with three values:
//! the server's when it was edited, the one here, and the server's now. Fields that only one side has changed are no conflict.

use super::{
    Engine,
    config::{MAX_DISPUTES, MAX_LOOKS},
    connectivity::Task,
    error::{Code, Fault},
    id::{CommandId, ItemId, StoreId, Validator},
    input::{Policy, Resolution},
    item::{Attempt, AttemptState, Item, Sync},
    lifecycle::Action,
    outbox::{Sent, What},
    outcome::{Answer, Body, Outcome, Response},
    output::{Command, Conflict},
    row::{FieldSet, RemoteRow, Row},
    time::Instant,
};

/// RFC 9110 §15.5.10, for a transporter that said so in words.
const CONFLICT: u16 = 409;
/// RFC 9110 §15.3.1: the status of a conflict that a read brought to light.
pub(super) const OK: u16 = 200;
/// RFC 6585 §3.
const PRECONDITION_REQUIRED: u16 = 428;

/// Whether a server tells which state of a row an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validators {
    /// The transporter could not use it.
    Unused,
    /// Not known yet.
    Unknown,
    /// It does.
    Given,
    /// It does not.
    Absent,
}

/// A conflict that the app decides.
#[derive(Clone, Debug)]
pub(super) struct Decision<R> {
    item: ItemId,
    fields: FieldSet,
    /// The edited fields as they were when the app was asked.
    local: R,
    /// Whether the item was removed then.
    removed: bool,
    /// What the server said. Taken in only with the app's word: after a restart it would be asked anew.
    told: Learnt<R>,
}

/// The server's row, which state of it that is, and when it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Learnt<R> {
    pub(super) row: RemoteRow<R>,
    pub(super) validator: Option<Validator>,
    pub(super) asked: Instant,
}

impl<R: Row> Engine<R> {
    /// The server contradicts the attempt, or nobody knows whether it has it: what it holds is read first, unless it said so.
    pub(super) fn dispute(&mut self, id: ItemId, fault: Fault, answer: &Answer<RemoteRow<R>>) {
        let now = self.clock;
        let Some(item) = self.items.get_mut(id) else { return };
        let is_nameless = item.remote_key.is_none();
        item.validator = None;
        let Some(attempt) = item.in_flight_mut() else { return };
        // A create may have met itself even if it was sent once: browsers repeat a request by themselves when a connection ends
        // before its first byte (RFC 9110 §9.2.2 allows it only where it does no harm; Chromium does it for POST as well).
        attempt.state = AttemptState::Disputed(fault, now);
        match answer {
            Answer::Response(Response { body: Body::Json(told), said: Some(_), version, .. }) if !is_nameless => {
                let validator = version.as_deref().map(Into::into);
                self.settle_dispute(id, Learnt { row: told.clone(), validator, asked: now });
            }
            _ => self.ask_about(id),
        }
        self.reslot(id);
        self.tell(id);
    }

    /// What a dispute was parked for is read once more.
    pub(super) fn dispute_again(&mut self, id: ItemId) {
        let now = self.clock;
        let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) else { return };
        if let AttemptState::Parked(fault) = &attempt.state {
            attempt.state = AttemptState::Disputed(fault.clone(), now);
        }
        self.ask_about(id);
        self.reslot(id);
    }

    /// Wants to read what decides a dispute: the item, or for a create that has no key yet the collection.
    pub(super) fn ask_about(&mut self, id: ItemId) {
        let is_ours = |item: &&Item<R>| item.disputed().is_some() && self.leads(item.store);
        let Some(item) = self.items.get(id).filter(is_ours) else { return };
        let (store, has_key) = (item.store, item.remote_key.is_some());
        let Some(place) = self.stores[store].origin.filter(|_| self.may_ask(store)) else { return };
        if !has_key {
            // What was made before the last read ended may be in none that goes on from there.
            self.set_cursor(store, None);
        }
        // A read that was asked for before proves nothing.
        let decides = |sent: &Sent| sent.what == What::Single(id) && self.decides(id, sent.asked);
        if !self.requests.values().any(decides) {
            self.origins[place].ask(if has_key { Task::Single(id) } else { Task::Collection(store) });
        }
    }

    /// Whether the read that decides a dispute of the item is on its way, or leaves as soon as there is a lane.
    pub(super) fn is_asking(&self, item: &Item<R>) -> bool {
        let Some(place) = self.stores[item.store].origin else { return false };
        let id = item.remote_key.as_ref().and_then(|key| self.stores[item.store].by_remote.get(key)).copied();
        match id {
            Some(id) => self.origins[place].is_next(Task::Single(id)) || self.is_fetching_one(id),
            None => self.origins[place].is_next(Task::Collection(item.store)) || self.is_fetching(item.store),
        }
    }

    /// Creates without a key that wait for a read of the collection.
    fn nameless_disputes(&self, store: StoreId) -> impl Iterator<Item = ItemId> {
        let leads = self.leads(store);
        let is_it = move |item: &Item<R>| leads && item.remote_key.is_none() && item.disputed().is_some();
        self.stores[store].unsynced.iter().copied().filter(move |id| self.items.get(*id).is_some_and(is_it))
    }

    /// Whether there is one.
    pub(super) fn has_nameless_dispute(&self, store: StoreId) -> bool {
        self.nameless_disputes(store).next().is_some()
    }

    /// The collection was read, and no row in it looked like one of these creates.
    pub(super) fn conclude_losses(&mut self, store: StoreId, complete: bool, asked: Instant) {
        let lost: Vec<ItemId> = self.nameless_disputes(store).collect();
        for id in lost {
            let disputed = self.items.get(id).and_then(|item| item.disputed());
            match disputed.filter(|(_, since)| *since <= asked).map(|(fault, _)| fault.code) {
                // It is not there, so it can be sent again without making two.
                Some(Code::Uncertain) if complete => self.ready_again(id),
                // A create that was refused and never taken, and its removal.
                Some(_) if complete && self.items.get(id).is_some_and(Item::is_removed) => self.forget(id),
                Some(_) => self.leave_dispute(id),
                None => {}
            }
        }
    }

    /// The collection cannot be read.
    pub(super) fn leave_nameless_disputes(&mut self, store: StoreId) {
        let disputed: Vec<ItemId> = self.nameless_disputes(store).collect();
        disputed.into_iter().for_each(|id| self.leave_dispute(id));
    }

    /// The server's row is here: decides about an attempt that it contradicted. False if none waits for that.
    pub(super) fn settle_dispute(&mut self, id: ItemId, told: Learnt<R>) -> bool {
        let Some(item) = self.items.get(id) else { return false };
        let Some((fault, _)) = item.disputed().filter(|(_, since)| *since <= told.asked) else { return false };
        let fault = fault.clone();
        if item.heard > told.asked {
            // Somebody has heard of something newer meanwhile.
            self.ask_about(id);
            return true;
        }
        let Some(attempt) = item.sync.as_ref().and_then(|sync| sync.in_flight.as_ref()) else { return false };
        match attempt.edit.action {
            Action::Create if item.is_written_in(&told.row) => {
                match told.row.key.clone().or_else(|| item.remote_key.clone()) {
                    Some(key) => self.created(id, key, Some(&told.row), told.validator, told.asked),
                    None => self.park(id, fault),
                }
            }
            Action::Update if item.is_written_in(&told.row) => {
                self.taken(id, Some(&told.row), told.validator, told.asked);
            }
            Action::Create => self.park(id, fault),
            Action::Update | Action::Delete => self.reopen(id, told, fault),
        }
        self.touch(id);
        true
    }

    /// Whether an answer to a question of that moment decides a dispute of the item.
    pub(super) fn decides(&self, id: ItemId, asked: Instant) -> bool {
        self.items.get(id).and_then(Item::disputed).is_some_and(|(_, since)| since <= asked)
    }

    /// What decides a dispute cannot be read: somebody else has to.
    pub(super) fn leave_dispute(&mut self, id: ItemId) {
        if let Some((fault, _)) = self.items.get(id).and_then(Item::disputed) {
            self.park(id, fault.clone());
            self.touch(id);
        }
    }

    /// The contradicted edit is joined with what the server holds, and sent again.
    fn reopen(&mut self, id: ItemId, told: Learnt<R>, fault: Fault) {
        let Some(item) = self.items.get_mut(id) else { return };
        item.disputes += 1;
        let status = fault.status.unwrap_or(CONFLICT);
        // Once what the server holds is known for sure, the same edit may be sent once more on that.
        let is_again = item.disputes > 1;
        let is_hopeless =
            item.disputes > MAX_DISPUTES || is_again && item.would_repeat(&told.row, told.validator.as_ref(), status);
        if is_hopeless {
            return self.park(id, fault);
        }
        self.unstart(id);
        self.learn(id, told, status);
    }

    /// Takes in the server's row of an item whose edits have not left, or were not taken, and sees to conflicts.
    pub(super) fn learn(&mut self, id: ItemId, told: Learnt<R>, status: u16) {
        let Some(item) = self.items.get(id) else { return };
        let unsynced = item.sync.is_some();
        let (policy, fields) = (self.stores[item.store].policy, item.conflicts(&told.row));
        // A removal contradicts any change.
        let is_conflict = !fields.is_empty() || status != OK && item.is_removed();
        match policy {
            Policy::Ask if is_conflict => return self.ask_app(id, fields, told, status),
            Policy::Remote if is_conflict => {
                self.take_in(id, &told);
                self.give_way(id, fields);
            }
            Policy::Local | Policy::Remote | Policy::Ask => self.take_in(id, &told),
        }
        if unsynced {
            self.reslot(id);
        }
    }

    fn take_in(&mut self, id: ItemId, told: &Learnt<R>) {
        let (now, before) = (self.clock, self.items.get(id).map(|item| item.version));
        if self.merge(id, &told.row, told.asked)
            && let Some(item) = self.items.get_mut(id)
        {
            if told.validator.is_some() {
                item.validated = now;
                if item.validator != told.validator {
                    item.validator.clone_from(&told.validator);
                    self.touch(id);
                }
            } else if Some(item.version) != before && told.asked < item.validated {
                // The two reads have crossed, and this row may be older than the state that the other one named.
                item.validator = None;
                let store = item.store;
                self.ask(store, Task::Single(id));
            }
        }
        self.relate(id);
    }

    /// Asks the app what is to stand. Until it has said so nothing of the item is sent, and nothing of it is taken in.
    fn ask_app(&mut self, id: ItemId, fields: FieldSet, told: Learnt<R>, status: u16) {
        let command = self.next_command();
        let Some(item) = self.items.get_mut(id) else { return };
        let Some(sync) = item.sync.as_deref() else { return };
        let (edited, nothing, removed) = (sync.edited(), item.row.pick(FieldSet::NONE), sync.deletes());
        let local = item.row.pick(edited);
        let base = sync.base.as_ref().map_or(nothing, |base| base.pick(edited.and(sync.base_fields)));
        item.deciding = Some(command);
        let conflict = Conflict { base, local: local.clone(), remote: told.row.row.clone(), status };
        let store = item.store;
        self.out.commands.push(Command::Resolve(command, store, id, conflict));
        self.decisions.insert(command, Decision { item: id, fields, local, removed, told });
        self.reslot(id);
    }

    /// There is nothing left to decide: what the server said is taken in.
    pub(super) fn drop_decision(&mut self, id: ItemId) {
        let Some(command) = self.items.get_mut(id).and_then(|item| item.deciding.take()) else { return };
        if let Some(decision) = self.decisions.remove(&command) {
            self.take_in(id, &decision.told);
        }
    }

    /// The app has decided.
    pub(super) fn resolved(&mut self, command: CommandId, resolution: Resolution<R>) {
        if let Some(decision) = self.decisions.remove(&command) {
            let id = decision.item;
            if self.items.get(id).is_some_and(|item| item.deciding == Some(command)) {
                self.follow(decision, resolution);
                self.tell(id);
                self.touch(id);
                self.reslot(id);
            }
        }
        self.run();
    }

    fn follow(&mut self, decision: Decision<R>, resolution: Resolution<R>) {
        let Decision { item: id, fields, local, removed, told } = decision;
        self.take_in(id, &told);
        let Some(item) = self.items.get_mut(id) else { return };
        item.deciding = None;
        if item.is_removed() != removed {
            // The app has removed it meanwhile, and that is newer than its word.
            return;
        }
        let Some(sync) = item.sync.as_deref().filter(|sync| sync.in_flight.is_none() && sync.pending.is_some()) else {
            return;
        };
        // What was edited while the app thought about it is newer than its word.
        let since = item.row.diff(&local, sync.edited());
        let fields = fields.without(since);
        match resolution {
            Resolution::Local => {}
            Resolution::Remote => self.give_way(id, fields),
            Resolution::Values(row, given) => self.settle_on(id, &row, given.without(since)),
            Resolution::Failed(fault) => self.park_pending(id, fault),
        }
    }

    /// The server's values stand for these fields; of a removal, that the item is there.
    fn give_way(&mut self, id: ItemId, fields: FieldSet) {
        let fault = Fault::new(Code::Discarded, "the server holds a newer value, which stands as `onConflict` says");
        let Some(item) = self.items.get(id) else { return };
        let whole = item.is_removed() || item.sync.as_ref().is_none_or(|sync| sync.edited().without(fields).is_empty());
        if whole {
            return self.give_up(id, &fault);
        }
        let Some(base) = item.sync.as_ref().and_then(|sync| sync.base.clone()) else { return };
        self.settle_on(id, &base, fields);
    }

    /// These values stand. Where they are the server's, nothing is left to say.
    fn settle_on(&mut self, id: ItemId, row: &R, fields: FieldSet) {
        if self.items.get(id).is_none_or(Item::is_removed) {
            self.give_up(id, &Fault::new(Code::Discarded, "the removal was given up, as `onConflict` says"));
        }
        let Some(item) = self.items.get_mut(id) else { return };
        let before = item.row.clone();
        let news = before.diff(row, fields);
        let sync = item.sync_mut(super::lifecycle::Settled::Existent);
        sync.add_base(fields.without(sync.base_fields), &before);
        let differs = sync.base.as_ref().map_or(fields, |base| base.diff(row, fields));
        let edited = sync.edited().without(fields).with(differs);
        self.overwrite(id, news, row);
        self.mean(id, news);
        let (last, key) = (self.next_seq(), self.random.uuid());
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        let sync = item.sync_mut(super::lifecycle::Settled::Existent);
        sync.keep_base_of(edited);
        if edited.is_empty() {
            let fault = Fault::new(Code::Discarded, "the server holds what stands, as `onConflict` says");
            return self.give_up(id, &fault);
        }
        let first = sync.pending.as_ref().map_or(last, |edit| edit.first);
        sync.pending = Some(super::item::Edit { action: Action::Update, fields: edited, first, last, key });
        self.stores[store].unsynced.insert(id);
        self.postpone_synced(id, last);
        self.tell(id);
    }

    /// Parks an edit that has not been sent.
    pub(super) fn park_pending(&mut self, id: ItemId, fault: Fault) {
        if let Some(sync) = self.items.get_mut(id).and_then(|item| item.sync.as_mut())
            && sync.in_flight.is_none()
        {
            sync.in_flight = sync.pending.take().map(Attempt::new);
        }
        self.park(id, fault);
        self.touch(id);
    }
}

// Whether to look before an edit is sent.
impl<R: Row> Engine<R> {
    /// An answer about one row of the store did, or did not, tell which state it is.
    pub(super) fn note_validator(&mut self, store: StoreId, is_given: bool) {
        let known = &mut self.stores[store].validators;
        let before = *known;
        *known = match before {
            Validators::Unused => Validators::Unused,
            _ if is_given => Validators::Given,
            Validators::Unknown => Validators::Absent,
            Validators::Given | Validators::Absent => before,
        };
        if before != *known {
            // Those that were to be read first need not be, or the other way round.
            self.reslot_all(store);
        }
    }

    /// Whether the item has to be read before its pending edit is sent, because that has waited and nobody knows which state
    /// of the row it is made on. After a restart the first read of the collection comes before, and may tell enough.
    pub(super) fn looks_first(&mut self, id: ItemId) -> bool {
        let Some(item) = self.items.get_mut(id).filter(|item| item.stale) else { return false };
        let (of, key) = (item.store, item.remote_key.is_some());
        let store = &self.stores[of];
        let changes = item.sync.as_ref().is_some_and(|sync| {
            let action = sync.pending.as_ref().map(|edit| edit.action);
            sync.in_flight.is_none() && matches!(action, Some(Action::Update | Action::Delete))
        });
        let useless = matches!(store.validators, Validators::Unused | Validators::Absent) || item.validator.is_some();
        item.stale = changes && key && store.validators != Validators::Unused && !(useless && store.asked);
        if !item.stale {
            return false;
        }
        let place = store.origin.filter(|_| store.asked && self.may_ask(of));
        if let Some(place) = place
            && !self.origins[place].is_asked(Task::Single(id))
            && !self.is_fetching_one(id)
        {
            self.origins[place].ask(Task::Single(id));
        }
        true
    }

    /// The read of an item has ended. Whether its edit still waits for one: not for one that is refused, or fails again and again
    /// although the server can be reached.
    pub(super) fn looks_on(&mut self, id: ItemId, outcome: Outcome) -> bool {
        let Some(item) = self.items.get_mut(id).filter(|item| item.stale) else { return false };
        item.looks += u8::from(matches!(outcome, Outcome::Unknown | Outcome::Later));
        item.stale = !matches!(outcome, Outcome::Applied | Outcome::Parked(_)) && item.looks < MAX_LOOKS;
        item.looks *= u8::from(item.stale);
        item.stale
    }

    /// Edits of the origin's stores that have not left may be old when they do.
    pub(super) fn note_outage(&mut self, place: usize) {
        for store in self.stores.ids() {
            if self.stores[store].origin != Some(place) {
                continue;
            }
            for id in self.stores[store].unsynced.iter() {
                if let Some(item) = self.items.get_mut(*id) {
                    item.stale = true;
                }
            }
            self.reslot_all(store);
        }
    }
}

impl<R: Row> Item<R> {
    /// The fields that were edited here, and changed there to another value.
    fn conflicts(&self, told: &RemoteRow<R>) -> FieldSet {
        let Some(Sync { base: Some(base), base_fields, .. }) = self.sync.as_deref() else { return FieldSet::NONE };
        let edited = self.sync.as_ref().map_or(FieldSet::NONE, |sync| sync.edited());
        let there = base.diff(&told.row, edited.and(*base_fields).and(told.present));
        self.row.diff(&told.row, there)
    }

    /// Whether what was sent is what the server holds, as far as both say.
    pub(super) fn is_written_in(&self, told: &RemoteRow<R>) -> bool {
        let Some(attempt) = self.sync.as_ref().and_then(|sync| sync.in_flight.as_ref()) else { return false };
        let sent = attempt.frozen.as_ref().unwrap_or(&self.row);
        let nothing = sent.pick(FieldSet::NONE);
        let fields = match attempt.edit.action {
            // What was left out the server may have filled.
            Action::Create => sent.diff(&nothing, attempt.edit.fields),
            Action::Update => attempt.edit.fields,
            Action::Delete => FieldSet::NONE,
        };
        let fields = fields.and(told.present);
        !fields.is_empty() && sent.diff(&told.row, fields).is_empty()
    }

    /// Whether the same edit on what the server holds would be the same request: then it would be contradicted for ever.
    fn would_repeat(&self, told: &RemoteRow<R>, validator: Option<&Validator>, status: u16) -> bool {
        let Some(sync) = self.sync.as_deref() else { return false };
        let before = sync.in_flight.as_ref().and_then(|attempt| attempt.validator.as_ref());
        match (before, validator) {
            (Some(before), Some(now)) => before == now,
            (None, Some(_)) => false,
            (_, None) => status == PRECONDITION_REQUIRED || !self.has_news(sync, told),
        }
    }

    /// Whether the server's row is another than was thought.
    fn has_news(&self, sync: &Sync<R>, told: &RemoteRow<R>) -> bool {
        let kept = sync.unsettled();
        let of_edited =
            sync.base.as_ref().map_or(FieldSet::NONE, |base| base.diff(&told.row, sync.base_fields.and(told.present)));
        !of_edited.is_empty() || !self.row.diff(&told.row, told.present.without(kept)).is_empty()
    }
}

/// A create of which nobody knows whether the server has it, though the app wants to be asked.
pub(super) fn uncertain() -> Fault {
    let message =
        "the answer to the create was lost, so the server may have it; retry() sends it again, discard() gives it up";
    Fault::new(Code::Uncertain, message)
}
