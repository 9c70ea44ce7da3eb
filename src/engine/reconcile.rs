//! How what the server says is joined with what is here.
//!
//! A field that was edited here keeps the edit; its base takes the server's value. An answer that was asked for before a
//! newer edit or a newer answer takes nothing back. An item goes away only by proof.

use super::{
    Engine,
    answer::is_lost,
    config::{BACKOFF_CAP, BLOCKED_CAP},
    conflict::{Learnt, OK},
    connectivity::{Slot, Task, is_blocked},
    edit::unsafe_id,
    error::{Code, Fault},
    id::{CommandId, ItemId, Key, StoreId, Token, Validator},
    input::Rows,
    item::{Attempt, AttemptState, Item, removed},
    lifecycle::{Action, Settled},
    outbox::{Sent, What},
    outcome::{Answer, Body, Outcome, fault, judge_read},
    output::Made,
    row::{FieldSet, RemoteRow, Row},
    store::{Phase, Wanted, closed},
    time::{Instant, Millis},
};

/// Which fetches of the app a read serves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Served {
    /// This one.
    Own(Token),
    /// Those that were wanted up to this instant.
    Since(Instant),
}

impl<R: Row> Engine<R> {
    /// Merges the server's row into an item. `asked`: when it was asked for. False if what is here may be newer.
    pub(super) fn merge(&mut self, id: ItemId, told: &RemoteRow<R>, asked: Instant) -> bool {
        let Some(store) = self.items.get(id).map(|item| item.store) else { return false };
        let (all, keeps_records) = (self.stores[store].fields, self.keeps_records(store));
        let Some(item) = self.items.get_mut(id) else { return false };
        if item.heard > asked {
            return false;
        }
        item.heard = asked;
        let kept = item.sync.as_ref().map_or(FieldSet::NONE, |sync| sync.unsettled());
        if let Some(sync) = &mut item.sync {
            sync.settled = Settled::Existent;
            sync.add_base(told.present.and(kept), &told.row);
        }
        let news = item.row.diff(&told.row, told.present.without(kept));
        if !news.is_empty() && item.kept && item.ahead.is_none() && !keeps_records {
            item.ahead = Some(item.row.pick(all));
        }
        if !news.is_empty() {
            self.overwrite(id, news, &told.row);
            self.touch(id);
            self.tell(id);
        }
        true
    }

    /// The app asks for the collection.
    pub(super) fn fetch(&mut self, store: StoreId, token: Token, own: bool) -> Result<(), Fault> {
        if !self.stores[store].is_open() {
            return Err(closed());
        }
        let Some(place) = self.stores[store].origin else {
            self.out.settled.push((token, Ok(())));
            return Ok(());
        };
        let since = self.clock;
        self.stores[store].fetching.push(Wanted { token, since, own });
        if self.may_ask(store) {
            self.ask_collection(store);
        }
        self.origins[place].hurry(self.now);
        self.look_for_notes(store);
        self.run();
        Ok(())
    }

    /// Whether the collection is being read.
    pub(super) fn is_fetching(&self, store: StoreId) -> bool {
        self.requests.values().any(|sent| sent.store == store && matches!(sent.what, What::Collection(_)))
    }

    /// Whether an item is being read.
    pub(super) fn is_fetching_one(&self, id: ItemId) -> bool {
        self.requests.values().any(|sent| sent.what == What::Single(id))
    }

    /// An answer to a question that was asked before the item went does not bring it back.
    pub(super) fn bury(&mut self, item: &Item<R>) {
        if let Some(key) = item.remote_key.clone()
            && self.is_fetching(item.store)
        {
            let now = self.clock;
            self.stores[item.store].buried.push((key, now));
        }
    }

    /// Counts failures of a read on an origin that answers others. True if its address counts as blocked.
    pub(super) fn note_miss(&mut self, task: Task, sent: &Sent, outcome: Outcome) -> bool {
        let origin = &mut self.origins[sent.origin];
        if outcome == Outcome::Applied {
            origin.forgive(task);
            return false;
        }
        let misses = origin.misses(task);
        misses.attempts += 1;
        if is_lost(outcome) && !sent.probe {
            misses.strikes += 1;
        }
        is_lost(outcome) && is_blocked(misses.strikes)
    }

    /// Makes a read that failed once more, if it is wanted, by the rules for edits.
    pub(super) fn ask_again(&mut self, task: Task, sent: &Sent, again: bool, asked: Option<Millis>, blocked: bool) {
        let (now, may_ask) = (self.now, self.may_ask(sent.store));
        let origin = &mut self.origins[sent.origin];
        if !again || !may_ask {
            return origin.forgive(task);
        }
        if origin.held.is_some() {
            return origin.ask(task);
        }
        let cap = if blocked { BLOCKED_CAP } else { BACKOFF_CAP };
        let span = self.random.backoff(origin.misses(task).attempts, cap).max(Millis(1));
        let until = |from: Millis| from.after(span).max(now.after(asked.unwrap_or_default()));
        let slot = if origin.is_troubled() && !blocked {
            Slot::Lost(until(origin.gate(now)), task)
        } else {
            Slot::Waiting(until(now), task)
        };
        origin.postpone(task, slot);
    }

    /// Settles the fetches that a read has served; without one, all of them.
    pub(super) fn settle_fetches(&mut self, store: StoreId, served: Option<Served>, result: &Result<(), Fault>) {
        if served.is_none() {
            self.stores[store].aside = None;
        }
        let out = &mut self.out.settled;
        self.stores[store].fetching.retain(|wanted| {
            let concerned = match served {
                Some(Served::Own(token)) => wanted.token == token,
                Some(Served::Since(asked)) => !wanted.own && wanted.since <= asked,
                None => true,
            };
            if concerned {
                out.push((wanted.token, result.clone()));
            }
            !concerned
        });
    }

    /// The server told of changes without being asked: they are as new as can be.
    pub(super) fn heard(&mut self, store: StoreId, rows: Rows<R>) {
        if self.stores[store].phase == Phase::Open {
            self.reconcile(store, rows, self.clock);
        }
        self.run();
    }

    /// Joins the rows of an answer with the items by the server's key. False if any was passed over, because what is here is newer
    /// than the question: then not all that the server holds is known.
    pub(super) fn reconcile(&mut self, store: StoreId, rows: Rows<R>, asked: Instant) -> bool {
        if rows.problem.is_some() {
            self.stores[store].last_error.clone_from(&rows.problem);
            self.changes(store);
        } else if self.stores[store].last_error.take().is_some() {
            self.changes(store);
        }
        let mut creating = self.unanswered_creates(store);
        // What another tab has sent is not known here: a row that is new may be that of an item which is not.
        let may_be_here = !self.leads(store) && self.has_keyless(store);
        let mut all = true;
        for told in rows.rows {
            let Some(key) = told.key.clone().filter(Key::is_safe) else { continue };
            all &= match self.stores[store].by_remote.get(&key).copied() {
                // It went, and is awaited by now, because another item refers to it.
                Some(_) if self.is_buried(store, &key, asked) => false,
                Some(id) => self.hear_row(id, &told, None, asked),
                None => match creating.iter().position(|id| self.looks_like(*id, &told)) {
                    Some(place) if self.leads(store) && self.recognise(creating[place], &told, asked) => {
                        creating.remove(place);
                        true
                    }
                    Some(_) => false,
                    None if may_be_here || self.is_buried(store, &key, asked) => false,
                    None => self.welcome(store, key, told, asked),
                },
            };
        }
        for key in rows.deleted {
            if let Some(id) = self.stores[store].by_remote.get(&key).copied() {
                all &= self.missing(id, asked, Fault::new(Code::NotFound, "it was deleted elsewhere"));
            }
        }
        all
    }

    /// Items whose create may have been taken without an answer that came here.
    fn unanswered_creates(&self, store: StoreId) -> Vec<ItemId> {
        let unanswered = |id: &ItemId| {
            self.items.get(*id).is_some_and(|item| item.remote_key.is_none() && item.may_have_been_created())
        };
        self.stores[store].unsynced.iter().copied().filter(unanswered).collect()
    }

    /// Whether an item waits for its key.
    fn has_keyless(&self, store: StoreId) -> bool {
        self.stores[store].unsynced.iter().any(|id| self.items.get(*id).is_some_and(|item| item.remote_key.is_none()))
    }

    /// Whether a row that is new here is likely the one of a create: it waits for the create's own answer, so that
    /// nothing is seen twice. If it is another's, the next answer brings it.
    fn looks_like(&self, id: ItemId, told: &RemoteRow<R>) -> bool {
        self.items.get(id).is_some_and(|item| item.is_written_in(told))
    }

    /// A row that looks like the one of this create. True if it is known to be that: the server has said that there is
    /// one, by refusing the create as a duplicate or by taking it without a key.
    fn recognise(&mut self, id: ItemId, told: &RemoteRow<R>, asked: Instant) -> bool {
        let Some(item) = self.items.get(id) else { return false };
        let was_taken = item.parked().is_some_and(|fault| fault.code == Code::Uncertain && fault.status.is_some());
        let is_duplicate = item.disputed().is_some_and(|(fault, since)| fault.code == Code::Conflict && since <= asked);
        let known = was_taken || is_duplicate;
        if let Some(key) = told.key.clone().filter(|_| known) {
            self.created(id, key, Some(told), None, asked);
            self.touch(id);
        } else if item.disputed().is_some_and(|(_, since)| since <= asked) {
            self.leave_dispute(id);
        }
        known
    }

    /// A row of an item that is here. False if it is passed over.
    fn hear_row(&mut self, id: ItemId, told: &RemoteRow<R>, validator: Option<Validator>, asked: Instant) -> bool {
        let Some(store) = self.items.get(id).map(|item| item.store) else { return true };
        let has_caught_up = self.has_caught_up_since(store, asked);
        let Some(item) = self.items.get_mut(id) else { return true };
        // What the app decides about is not changed under its hands.
        if item.deciding.is_some() {
            return false;
        }
        if item.touched > asked {
            item.heard = item.heard.max(asked);
            return false;
        }
        // Whether that is the row of the create, or another's under the same key, its answer tells. The app has not seen it.
        let is_made_here = item.in_flight_action() == Some(Action::Create) || item.is_stillborn();
        if item.is_removed() && !item.is_there() && is_made_here {
            return false;
        }
        // What is in no record may have been deleted by another tab before this one caught up, and after this was asked for.
        if has_caught_up && item.is_in_no_record() {
            let task = if item.awaited { Task::Single(id) } else { Task::Collection(store) };
            self.ask(store, task);
            return false;
        }
        let is_newest = item.heard <= asked;
        let awaited = std::mem::take(&mut item.awaited);
        let is_sent = item.sync.as_ref().is_some_and(|sync| sync.in_flight.is_some());
        // What becomes of edits is decided where they are sent from.
        if is_sent || item.sync.is_some() && !self.leads(store) {
            // What is on its way may be what the answer shows; its own answer tells.
            self.merge(id, told, asked);
            self.relate(id);
        } else {
            self.learn(id, Learnt { row: told.clone(), validator, asked }, OK);
        }
        // What was read when another tab wrote the records is in none.
        let is_unkept = self.items.get(id).is_some_and(|item| !item.kept);
        if awaited || is_unkept && self.stores[store].tabs.is_some() && self.keeps_records(store) {
            self.touch(id);
            self.reslot(id);
        }
        is_newest
    }

    /// Whether the item with this key went after this was asked for.
    fn is_buried(&self, store: StoreId, key: &Key, asked: Instant) -> bool {
        self.stores[store].buried.iter().any(|(dead, when)| dead == key && *when >= asked)
    }

    /// A row that is new here, unless another tab may have deleted it since it was asked for: then false.
    fn welcome(&mut self, store: StoreId, key: Key, told: RemoteRow<R>, asked: Instant) -> bool {
        if self.has_caught_up_since(store, asked) {
            self.ask_collection(store);
            return false;
        }
        let id = self.insert_new(store, told.row, Some(key));
        if let Some(item) = self.items.get_mut(id) {
            item.heard = asked;
            item.touched = Instant(0);
        }
        self.touch(id);
        self.changes(store).added.push(id);
        self.relate(id);
        true
    }

    /// Takes away what a complete answer does not list, unless there is something to say about it.
    pub(super) fn remove_missing(&mut self, store: StoreId, asked: Instant) {
        for id in self.missing_since(store, asked) {
            self.forget(id);
        }
    }

    /// What no answer to a question of that moment or later has listed.
    pub(super) fn missing_since(&self, store: StoreId, asked: Instant) -> Vec<ItemId> {
        let is_missing = |item: &super::item::Item<R>| {
            let settled = item.store == store && item.remote_key.is_some() && item.sync.is_none() && !item.awaited;
            settled && item.heard < asked && item.touched < asked
        };
        self.items.iter().filter(|(_, item)| is_missing(item)).map(|(id, _)| id).collect()
    }

    /// The app asks for an item that is not here.
    pub(super) fn await_item(&mut self, store: StoreId, mut row: R, key: Key) -> Result<(), Fault> {
        if !self.stores[store].is_open() {
            return Err(closed());
        }
        if !key.is_safe() {
            return Err(unsafe_id(key.text()));
        }
        if let Some(id) = self.stores[store].by_remote.get(&key).copied() {
            if self.items.get(id).is_none_or(Item::is_removed) {
                return Err(removed());
            }
            self.out.made = Made::Item(id);
            return Ok(());
        }
        row.set_remote_key(&key);
        let id = self.insert_new(store, row, Some(key));
        if let Some(item) = self.items.get_mut(id) {
            item.awaited = true;
        }
        self.changes(store).added.push(id);
        self.out.made = Made::Item(id);
        self.fetch_one(id)
    }

    /// The app asks for one item anew.
    pub(super) fn fetch_one(&mut self, id: ItemId) -> Result<(), Fault> {
        let item = self.items.get(id).ok_or_else(removed)?;
        if let (Some(place), true) = (self.stores[item.store].origin, item.remote_key.is_some()) {
            self.origins[place].ask(Task::Single(id));
            self.end_turn();
        }
        Ok(())
    }

    pub(super) fn fetched_one(&mut self, command: CommandId, answer: &Answer<RemoteRow<R>>) {
        let Some(sent) = self.requests.remove(&command) else { return };
        let What::Single(id) = sent.what else { return };
        let (outcome, task) = (judge_read(answer), Task::Single(id));
        let blocked = self.note_miss(task, &sent, outcome);
        self.hear(&sent, outcome, answer, blocked);
        let looks_on = self.looks_on(id, outcome);
        let single = &mut self.stores[sent.store].single;
        *single = sent.asked.max(*single);
        match (outcome, answer) {
            (Outcome::Applied, Answer::Response(response)) => {
                let validator: Option<Validator> = response.version.as_deref().map(Into::into);
                if let Body::Json(told) = &response.body {
                    let learnt = Learnt { row: told.clone(), validator: validator.clone(), asked: sent.asked };
                    if !self.leads(sent.store) || !self.settle_dispute(id, learnt) {
                        self.hear_row(id, told, validator.clone(), sent.asked);
                    }
                }
                self.note_validator(sent.store, validator.is_some());
                self.ask_for_awaited(id);
            }
            (Outcome::Parked(Code::NotFound), _) => {
                self.origins[sent.origin].forgive(task);
                let _ = self.missing(id, sent.asked, fault(outcome, answer));
                self.ask_for_awaited(id);
            }
            (
                Outcome::Applied
                | Outcome::Unknown
                | Outcome::Later
                | Outcome::OriginLater
                | Outcome::Unreachable
                | Outcome::Intercepted
                | Outcome::Unauthorized
                | Outcome::Conflict
                | Outcome::Preconditions
                | Outcome::Parked(_),
                _,
            ) => {
                // What is only awaited, and what decides a dispute, is asked for until it comes; a refresh is the app's matter.
                let wanted = self.items.get(id).is_some_and(|item| item.awaited || item.disputed().is_some());
                let again = (wanted || looks_on) && !matches!(outcome, Outcome::Parked(_));
                if !again && self.decides(id, sent.asked) && self.leads(sent.store) {
                    self.leave_dispute(id);
                }
                self.ask_again(task, &sent, again, self.asked_wait(answer), blocked);
            }
        }
        self.reslot(id);
        self.run();
    }

    /// An answer about what is still awaited was passed over, because the item has changed since the question: it is asked once more.
    fn ask_for_awaited(&mut self, id: ItemId) {
        let awaited = self.items.get(id).filter(|item| item.awaited && self.leads(item.store)).map(|item| item.store);
        if let Some(place) = awaited.and_then(|store| self.stores[store].origin) {
            self.origins[place].ask(Task::Single(id));
        }
    }

    /// The server does not have the item. False if that is left to what becomes of its edits.
    fn missing(&mut self, id: ItemId, asked: Instant, mut fault: Fault) -> bool {
        let disputed = self.decides(id, asked);
        let leads = self.items.get(id).is_none_or(|item| self.leads(item.store));
        let Some(item) = self.items.get_mut(id).filter(|item| leads || item.sync.is_none()) else { return leads };
        if item.touched >= asked && !disputed {
            return false;
        }
        item.awaited = false;
        if disputed {
            self.lose_dispute(id, fault);
            return true;
        }
        let Some(sync) = &mut item.sync else {
            self.reject_item(id, &fault);
            self.forget(id);
            return true;
        };
        let updates = sync.pending.as_ref().is_some_and(|edit| edit.action == Action::Update);
        if sync.in_flight.is_none() && updates {
            sync.in_flight = sync.pending.take().map(Attempt::new);
            fault.code = Code::GoneRemotely;
            self.park(id, fault);
            self.touch(id);
            return true;
        }
        false
    }

    /// The server contradicted an edit of an item that it does not have.
    fn lose_dispute(&mut self, id: ItemId, mut fault: Fault) {
        match self.items.get(id).and_then(Item::in_flight_action) {
            Some(Action::Delete) => self.forget(id),
            Some(Action::Update) => {
                fault.code = Code::GoneRemotely;
                self.park(id, fault);
                self.touch(id);
            }
            Some(Action::Create) | None => self.leave_dispute(id),
        }
    }
}

impl<R: Row> Item<R> {
    /// Whether a create of it has left, and was not refused.
    pub(super) fn may_have_been_created(&self) -> bool {
        let Some(attempt) = self.sync.as_ref().and_then(|sync| sync.in_flight.as_ref()) else { return false };
        attempt.edit.action == Action::Create
            && match &attempt.state {
                AttemptState::Storing { .. } => attempt.attempts > 0,
                AttemptState::Ready
                | AttemptState::Sending(..)
                | AttemptState::Waiting(_)
                | AttemptState::Disputed(..) => true,
                AttemptState::Parked(fault) => fault.code == Code::Uncertain,
            }
    }
}
