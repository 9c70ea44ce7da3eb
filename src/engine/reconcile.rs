//! How what the server says is joined with what is here.
//!
//! A field that was edited here keeps the edit; its base takes the server's value. An answer that was asked for before a
//! newer edit or a newer answer takes nothing back. An item goes away only by proof.

use super::{
    Engine,
    error::{Code, Fault},
    id::{CommandId, ItemId, Key, StoreId, Token},
    input::Rows,
    item::{Attempt, AttemptState, removed},
    lifecycle::{Action, Settled},
    outbox::{Sent, What, unsafe_id},
    outcome::{Answer, Body, Outcome, fault, judge_read},
    output::{Command, Made},
    row::{FieldSet, RemoteRow, Row},
    store::{Phase, closed},
    time::Instant,
};

impl<R: Row> Engine<R> {
    /// Merges the server's row into an item. `asked`: when it was asked for.
    pub(super) fn merge(&mut self, id: ItemId, told: &RemoteRow<R>, asked: Instant) {
        let Some(item) = self.items.get_mut(id) else { return };
        if item.heard > asked {
            return;
        }
        item.heard = asked;
        let kept = item.sync.as_ref().map_or(FieldSet::NONE, |sync| sync.edited());
        if let Some(sync) = &mut item.sync {
            sync.settled = Settled::Existent;
            let based = told.present.and(kept);
            match &mut sync.base {
                Some(base) => base.merge(based, &told.row),
                none if !based.is_empty() => *none = Some(told.row.pick(based)),
                none => *none = None,
            }
            sync.base_fields = sync.base_fields.with(based);
        }
        let news = item.row.diff(&told.row, told.present.without(kept));
        let store = item.store;
        if news.is_empty() {
            return;
        }
        item.freeze(self.stores[store].fields);
        item.row.merge(news, &told.row);
        let removed = item.is_removed();
        self.touch(id);
        if !removed {
            self.changes(store).updated.push(id);
        }
    }

    /// The app asks for the whole collection.
    pub(super) fn fetch(&mut self, store: StoreId, token: Token) -> Result<(), Fault> {
        if !self.stores[store].is_open() {
            return Err(closed());
        }
        let Some(place) = self.stores[store].origin else {
            self.out.settled.push((token, Ok(())));
            return Ok(());
        };
        self.stores[store].fetching.push(token);
        self.ask_collection(store);
        self.origins[place].hurry(self.now);
        if self.origins[place].is_out() && !self.origins[place].admits(self.now) {
            let fault = Fault::new(Code::Unreachable, "the server cannot be reached now; it is being probed");
            self.settle_fetches(store, &Err(fault));
        }
        self.run();
        Ok(())
    }

    pub(super) fn send_fetch(&mut self, place: usize, store: StoreId) {
        let (command, probe) = (self.next_command(), self.origins[place].reserve());
        let sent = Sent { what: What::Collection, store, origin: place, asked: self.clock, probe };
        self.origins[place].sent();
        self.requests.insert(command, sent);
        self.out.commands.push(Command::FetchAll(command, store));
    }

    pub(super) fn fetched(&mut self, command: CommandId, answer: Answer<Rows<R>>) {
        let Some(sent) = self.requests.remove(&command) else { return };
        let (store, outcome) = (sent.store, judge_read(&answer));
        self.hear(&sent, outcome, &answer, false);
        if self.stores[store].phase != Phase::Open {
            return self.run();
        }
        let result = match answer {
            Answer::Response(response) if outcome == Outcome::Applied => {
                if let Body::Json(rows) = response.body {
                    self.reconcile(store, rows, sent.asked);
                }
                self.stores[store].fetched = true;
                self.stores[store].misses = 0;
                Ok(())
            }
            answer => {
                self.ask_again(&sent, outcome);
                Err(fault(outcome, &answer))
            }
        };
        self.stores[store].asked = true;
        self.settle_fetches(store, &result);
        self.conclude_loading(store);
        self.run();
    }

    fn settle_fetches(&mut self, store: StoreId, result: &Result<(), Fault>) {
        for token in std::mem::take(&mut self.stores[store].fetching) {
            self.out.settled.push((token, result.clone()));
        }
    }

    /// The first read of a collection is made again until it succeeds; one that the app asked for is the app's matter.
    fn ask_again(&mut self, sent: &Sent, outcome: Outcome) {
        let store = sent.store;
        if self.stores[store].fetched || matches!(outcome, Outcome::Parked(_)) {
            return;
        }
        self.stores[store].misses += 1;
        if matches!(outcome, Outcome::Unknown | Outcome::Later) && !self.origins[sent.origin].is_out() {
            self.origins[sent.origin].refused(None, self.now, &mut self.random);
        }
        self.ask_collection(store);
    }

    /// Joins the rows of an answer with the items by the server's key.
    fn reconcile(&mut self, store: StoreId, rows: Rows<R>, asked: Instant) {
        if rows.problem.is_some() {
            self.stores[store].last_error.clone_from(&rows.problem);
            self.changes(store);
        } else {
            self.stores[store].last_error = None;
        }
        for told in rows.rows {
            let Some(key) = told.key.clone() else { continue };
            match self.stores[store].by_remote.get(&key).copied() {
                Some(id) => self.hear_row(id, &told, asked),
                None => self.welcome(store, key, told, asked),
            }
        }
        if rows.complete && rows.problem.is_none() {
            self.remove_missing(store, asked);
        }
        let still_asked = self.requests.values().any(|sent| sent.store == store && sent.what == What::Collection);
        if !still_asked {
            self.stores[store].buried.clear();
        }
    }

    /// A row of an item that is here.
    fn hear_row(&mut self, id: ItemId, told: &RemoteRow<R>, asked: Instant) {
        let Some(item) = self.items.get_mut(id) else { return };
        if item.touched >= asked {
            item.heard = item.heard.max(asked);
            return;
        }
        let awaited = std::mem::take(&mut item.awaited);
        self.merge(id, told, asked);
        if awaited {
            self.touch(id);
            self.reslot(id);
        }
    }

    /// A row that is new here, unless its deletion is newer than the question.
    fn welcome(&mut self, store: StoreId, key: Key, told: RemoteRow<R>, asked: Instant) {
        let buried = self.stores[store].buried.iter().any(|(dead, when)| *dead == key && *when >= asked);
        if buried {
            return;
        }
        let id = self.insert_new(store, told.row, Some(key));
        if let Some(item) = self.items.get_mut(id) {
            item.heard = asked;
            item.touched = Instant(0);
        }
        self.touch(id);
        self.changes(store).added.push(id);
    }

    /// Takes away what a complete answer does not list, unless there is something to say about it.
    fn remove_missing(&mut self, store: StoreId, asked: Instant) {
        let missing: Vec<ItemId> = self.stores[store]
            .by_remote
            .values()
            .copied()
            .filter(|id| {
                self.items.get(*id).is_some_and(|item| {
                    item.sync.is_none() && !item.awaited && item.heard < asked && item.touched < asked
                })
            })
            .collect();
        for id in missing {
            self.forget(id);
        }
    }

    /// The app asks for an item that is not here.
    pub(super) fn await_item(&mut self, store: StoreId, row: R, key: Key) -> Result<(), Fault> {
        if !self.stores[store].is_open() {
            return Err(closed());
        }
        if matches!(key.text(), "" | "." | "..") {
            return Err(unsafe_id(key.text()));
        }
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
            self.origins[place].singles.insert(id);
            self.end_turn();
        }
        Ok(())
    }

    pub(super) fn send_fetch_one(&mut self, place: usize, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let (store, Some(key)) = (item.store, item.remote_key.clone()) else { return };
        let (command, probe) = (self.next_command(), self.origins[place].reserve());
        let sent = Sent { what: What::Single(id), store, origin: place, asked: self.clock, probe };
        self.origins[place].sent();
        self.requests.insert(command, sent);
        self.out.commands.push(Command::FetchOne(command, store, key));
    }

    pub(super) fn fetched_one(&mut self, command: CommandId, answer: &Answer<RemoteRow<R>>) {
        let Some(sent) = self.requests.remove(&command) else { return };
        let What::Single(id) = sent.what else { return };
        let outcome = judge_read(answer);
        self.hear(&sent, outcome, answer, false);
        match (outcome, answer) {
            (Outcome::Applied, Answer::Response(response)) => {
                if let Body::Json(told) = &response.body {
                    self.hear_row(id, told, sent.asked);
                }
            }
            (Outcome::Parked(Code::NotFound), _) => self.missing(id, sent.asked, fault(outcome, answer)),
            (Outcome::Parked(_), _) => {}
            _ => {
                // What is only awaited is asked for until it comes; a refresh is the app's matter.
                if self.items.get(id).is_some_and(|item| item.awaited) {
                    self.origins[sent.origin].singles.insert(id);
                    if !self.origins[sent.origin].is_out() {
                        self.origins[sent.origin].refused(None, self.now, &mut self.random);
                    }
                }
            }
        }
        self.run();
    }

    /// The server does not have the item.
    fn missing(&mut self, id: ItemId, asked: Instant, mut fault: Fault) {
        let Some(item) = self.items.get_mut(id) else { return };
        if item.touched >= asked && !item.awaited {
            return;
        }
        item.awaited = false;
        let Some(sync) = &mut item.sync else {
            self.reject_item(id, &fault);
            return self.forget(id);
        };
        let updates = sync.pending.as_ref().is_some_and(|edit| edit.action == Action::Update);
        if sync.in_flight.is_none() && updates {
            let edit = sync.pending.take();
            sync.in_flight = edit.map(|edit| Attempt {
                edit,
                attempts: 0,
                frozen: None,
                state: AttemptState::Ready,
                strikes: 0,
                lost: false,
            });
            fault.code = Code::GoneRemotely;
            self.unslot(id);
            self.park(id, fault);
            self.touch(id);
        }
    }
}
