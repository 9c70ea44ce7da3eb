//! What becomes of an edit that was sent, by what was answered.
//!
//! `outcome` says what an answer means; this room does it: to the item, and to the origin.

use super::{
    Engine,
    backoff::retry_after,
    config::{BACKOFF_CAP, BLOCKED_CAP},
    conflict::uncertain,
    connectivity::{Connection, is_blocked},
    error::{Code, Fault},
    id::{CommandId, ItemId, Key, Validator},
    item::{Attempt, AttemptState, Item, Sync},
    lifecycle::{Action, Settled},
    outbox::{Sent, What},
    outcome::{Answer, Body, Outcome, fault, judge_write},
    row::{FieldSet, RemoteRow, Row},
    time::{Instant, Millis},
};

/// What is said of an address that fails while the rest of its origin answers.
const BLOCKED: &str =
    "; others of this origin are answered, so something may block this address: CORS, an extension, a proxy";

impl<R: Row> Engine<R> {
    pub(super) fn answered(&mut self, command: CommandId, answer: &Answer<RemoteRow<R>>) {
        let Some(sent) = self.requests.remove(&command) else { return };
        let What::Edit(id) = sent.what else { return };
        let Some(action) = self.items.get(id).and_then(|item| item.sending(command)) else {
            // The item is gone; the answer still tells how its origin is.
            self.hear(&sent, judge_write(Action::Update, answer), answer, false);
            return self.run();
        };
        let outcome = judge_write(action, answer);
        let blocked = self.note_strike(id, &sent, outcome);
        self.hear(&sent, outcome, answer, blocked);
        match outcome {
            Outcome::Applied => self.applied(id, action, &sent, answer),
            Outcome::Parked(_) => self.park(id, fault(outcome, answer)),
            Outcome::Conflict | Outcome::Preconditions => self.dispute(id, fault(outcome, answer), answer),
            Outcome::Unauthorized => {
                if let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) {
                    attempt.attempts = attempt.attempts.saturating_sub(1);
                }
                self.ready_again(id);
            }
            Outcome::Unknown | Outcome::Unreachable if self.asks_about_loss(id, action) => {
                self.dispute(id, uncertain(), answer);
            }
            Outcome::Unknown | Outcome::Later | Outcome::OriginLater | Outcome::Unreachable | Outcome::Intercepted => {
                self.wait_again(id, sent.origin, self.asked_wait(answer), blocked);
            }
        }
        self.touch(id);
        self.run();
    }

    /// Whether the app wants to be asked about a create whose answer was lost. Under a key of the app's own a repeated one
    /// does no harm.
    fn asks_about_loss(&self, id: ItemId, action: Action) -> bool {
        let Some(item) = self.items.get(id) else { return false };
        action == Action::Create && item.remote_key.is_none() && self.stores[item.store].asks_uncertain
    }

    /// Notes what an answer says of the origin. Gives the lane back.
    pub(super) fn hear<B>(&mut self, sent: &Sent, outcome: Outcome, answer: &Answer<B>, blocked: bool) {
        let (now, asked) = (self.now, self.asked_wait(answer));
        let origin = &mut self.origins[sent.origin];
        let (connection, troubled, outage) = (origin.connection(), origin.is_troubled(), origin.outage());
        origin.release(sent.probe);
        match (outcome, answer) {
            // It fails alone: that says nothing of the others.
            (Outcome::Unreachable | Outcome::Intercepted | Outcome::OriginLater, _) if blocked => {}
            (Outcome::Unreachable | Outcome::Intercepted, _) => {
                origin.missed(sent.probe, Some(false), now, &mut self.random);
            }
            (Outcome::OriginLater, _) => {
                asked.into_iter().for_each(|span| origin.wait(span, now));
                origin.missed(sent.probe, Some(true), now, &mut self.random);
            }
            (Outcome::Unauthorized, _) => {
                origin.recovered();
                origin.held = Some(fault(outcome, answer));
            }
            (_, Answer::Response(_)) => origin.recovered(),
            // A timeout alone does not tell a slow request from a dead origin; for a probe it is no success.
            (_, Answer::Unreachable { .. } | Answer::TimedOut | Answer::Cut) if sent.probe && troubled => {
                origin.missed(true, None, now, &mut self.random);
            }
            (_, Answer::Unreachable { .. } | Answer::TimedOut | Answer::Cut) => {}
        }
        let origin = &self.origins[sent.origin];
        if troubled && !origin.is_troubled() {
            self.end_lost_waits(sent.origin);
            self.catch_up(sent, outage);
        }
        if connection != self.origins[sent.origin].connection() {
            self.tell_origin(sent.origin);
            if self.origins[sent.origin].connection() == Connection::Offline {
                self.note_outage(sent.origin);
            }
        }
        if outcome != Outcome::Applied {
            let mut fault = fault(outcome, answer);
            if blocked {
                fault.code = Code::Blocked;
                fault.message.push_str(BLOCKED);
            }
            self.stores[sent.store].last_error = Some(fault);
            self.changes(sent.store);
        }
    }

    /// How long the server asked to wait, if it did.
    pub(super) fn asked_wait<B>(&self, answer: &Answer<B>) -> Option<Millis> {
        match answer {
            Answer::Response(response) => response.retry_after.as_deref().and_then(retry_after),
            Answer::Unreachable { .. } | Answer::TimedOut | Answer::Cut => None,
        }
    }

    /// The trouble is over: whoever waited only because of it goes on.
    fn end_lost_waits(&mut self, place: usize) {
        while let Some(task) = self.origins[place].pop_lost() {
            self.make_ready(place, task);
        }
    }

    /// Lists the stores of an origin as changed.
    pub(super) fn tell_origin(&mut self, place: usize) {
        for store in self.stores.ids() {
            if self.stores[store].origin == Some(place) {
                self.changes(store);
            }
        }
    }

    /// Counts failures on an origin that answers others. True if the address counts as blocked.
    fn note_strike(&mut self, id: ItemId, sent: &Sent, outcome: Outcome) -> bool {
        let lost = is_lost(outcome);
        let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) else { return false };
        if lost && !sent.probe {
            attempt.strikes += 1;
        }
        let blocked = lost && is_blocked(attempt.strikes);
        attempt.lost = lost && !blocked;
        blocked
    }

    /// The attempt waits by itself; if its origin is in trouble, behind the next probe, so that another one can be that.
    fn wait_again(&mut self, id: ItemId, place: usize, asked: Option<Millis>, blocked: bool) {
        let cap = if blocked { BLOCKED_CAP } else { BACKOFF_CAP };
        let (now, gate) = (self.now, self.origins[place].gate(self.now));
        if let Some(attempt) = self.items.get_mut(id).and_then(Item::in_flight_mut) {
            // Never at once: an answer that comes in no time would make a hot loop.
            let span = self.random.backoff(attempt.attempts, cap).max(Millis(1));
            let from = if attempt.lost { gate } else { now };
            attempt.state = AttemptState::Waiting(from.after(span).max(now.after(asked.unwrap_or_default())));
        }
        self.reslot(id);
        self.tell(id);
    }

    /// Keeps the edit until somebody decides. What was removed since is only to be removed, as if that had been done after the
    /// refusal; but a create that may be there all the same has to be found first.
    pub(super) fn park(&mut self, id: ItemId, fault: Fault) {
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        if let Some(attempt) = item.in_flight_mut() {
            attempt.state = AttemptState::Parked(fault.clone());
        }
        let may_be_there = fault.code == Code::Uncertain || fault.code == Code::Conflict && item.remote_key.is_none();
        self.stores[store].last_error = Some(fault.clone());
        if item.pending_action() == Some(Action::Delete) && !may_be_there {
            self.unpark(id, true);
        } else {
            self.reject_synced_after(id, None, &fault);
            self.reject_ready(id, &fault);
            self.reslot(id);
        }
        self.tell(id);
    }

    /// The server has the edit.
    fn applied(&mut self, id: ItemId, action: Action, sent: &Sent, answer: &Answer<RemoteRow<R>>) {
        let Answer::Response(response) = answer else { return };
        let told = match &response.body {
            Body::Json(told) => Some(told),
            Body::Empty | Body::Malformed | Body::Foreign | Body::TooLarge => None,
        };
        let validator: Option<Validator> = response.version.as_deref().map(Into::into);
        if validator.is_some() {
            self.note_validator(sent.store, true);
        }
        match action {
            Action::Create => {
                let Some(key) = self.key_of_create(id, told, response.location.as_deref()) else {
                    self.park(id, fault(Outcome::Parked(Code::Uncertain), answer));
                    // The collection may show under which key it is.
                    return self.ask_collection(sent.store);
                };
                self.created(id, key, told, validator, sent.asked);
            }
            Action::Update => self.taken(id, told, validator, sent.asked),
            // The tombstone is no longer needed; who waits for it is told that it is gone.
            Action::Delete => self.forget(id),
        }
    }

    /// The server has a new item, under this key.
    pub(super) fn created(
        &mut self,
        id: ItemId,
        key: Key,
        told: Option<&RemoteRow<R>>,
        validator: Option<Validator>,
        asked: Instant,
    ) {
        let twin = self.adopt_key(id, key);
        self.taken(id, told, validator, asked);
        if let Some(twin) = twin {
            self.absorb(id, twin);
        }
        self.release(Some(id));
    }

    /// What was sent is what the server holds.
    pub(super) fn taken(
        &mut self,
        id: ItemId,
        told: Option<&RemoteRow<R>>,
        validator: Option<Validator>,
        asked: Instant,
    ) {
        let clock = self.clock;
        let Some(item) = self.items.get_mut(id) else { return };
        let store = item.store;
        let Some(sync) = &mut item.sync else { return };
        let Some(attempt) = sync.in_flight.take() else { return };
        let last = attempt.edit.last;
        // An answer without a row says which state that is, but not what else has changed, unless nothing else can have.
        let is_known = told.is_some() || attempt.validator.is_some() || attempt.edit.action == Action::Create;
        let validator = validator.filter(|_| is_known);
        sync.settled = Settled::Existent;
        sync.rebase(&attempt, &item.row);
        item.touched = clock;
        (item.validator, item.disputes) = (None, 0);
        let is_merged = told.is_none_or(|told| self.merge(id, told, asked));
        self.relate(id);
        if let Some(item) = self.items.get_mut(id) {
            // A row that was not merged may be newer than the one here, and so may its state.
            item.stale |= validator.is_some() && !is_merged;
            item.validator = validator.filter(|_| is_merged);
        }
        if let Some(item) = self.items.get_mut(id) {
            item.settle();
            if item.sync.is_none() {
                self.stores[store].unsynced.remove(&id);
            }
        }
        self.tell(id);
        self.reslot(id);
        self.settle_synced(id, last);
    }

    /// The key under which the server has a new item, if it can be found.
    fn key_of_create(&self, id: ItemId, told: Option<&RemoteRow<R>>, location: Option<&str>) -> Option<Key> {
        let item = self.items.get(id)?;
        let (own, numeric) = (item.remote_key.clone(), self.stores[item.store].numeric_storage_key);
        let said = told.and_then(|told| told.key.clone()).filter(Key::is_safe);
        said.or(own).or_else(|| key_from_location(location?, numeric))
    }
}

impl<R: Row> Item<R> {
    /// What the attempt does, if it was sent by this command.
    fn sending(&self, by: CommandId) -> Option<Action> {
        let attempt = self.sync.as_ref()?.in_flight.as_ref()?;
        match attempt.state {
            AttemptState::Sending(command, _) if command == by => Some(attempt.edit.action),
            AttemptState::Sending(..)
            | AttemptState::Storing { .. }
            | AttemptState::Ready
            | AttemptState::Waiting(_)
            | AttemptState::Disputed(..)
            | AttemptState::Parked(_) => None,
        }
    }
}

impl<R: Row> Sync<R> {
    /// What was sent is now what the server holds; `base` keeps it for fields that have been edited since.
    fn rebase(&mut self, taken: &Attempt<R>, row: &R) {
        let since = match &self.pending {
            // It may be given up, and then the fields of the edits that it replaced go back.
            Some(edit) if edit.action == Action::Delete => self.base_fields.with(taken.edit.fields),
            Some(edit) => edit.fields,
            None => FieldSet::NONE,
        };
        self.keep_base_of(since);
        self.add_base(taken.edit.fields.and(since), taken.frozen.as_ref().unwrap_or(row));
    }
}

/// Whether an outcome may be the origin's fault rather than the request's.
pub(super) const fn is_lost(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Unreachable | Outcome::Intercepted | Outcome::OriginLater => true,
        Outcome::Applied
        | Outcome::Unknown
        | Outcome::Later
        | Outcome::Unauthorized
        | Outcome::Conflict
        | Outcome::Preconditions
        | Outcome::Parked(_) => false,
    }
}

/// The last segment of the path of a `Location`, decoded (RFC 9110 §10.2.2). `numeric`: it has to be a number.
fn key_from_location(location: &str, numeric: bool) -> Option<Key> {
    let path = location.split(['?', '#']).next()?;
    let path = match path.split_once("//") {
        // A host is no key.
        Some((before, rest)) if before.is_empty() || before.ends_with(':') => rest.split_at(rest.find('/')?).1,
        _ => path,
    };
    let (_, segment) = path.trim_end_matches('/').rsplit_once('/')?;
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
    let key = Key::new(&text, numeric);
    // As text NUL separates keys; as a number it has to be one that JavaScript writes like that.
    let is_written_so = || text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() < 16 && !text.starts_with('0');
    (key.is_safe() && !text.contains('\0') && (!numeric || text == "0" || is_written_so())).then_some(key)
}
