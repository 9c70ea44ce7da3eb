//! One read of a collection, page after page, and where the next one goes on.
//!
//! Owns how far a read has come, what it proves, and the cursor. Each page is a request like any other, with its lane, its
//! backoff and its wait. A read that had to go on behind a failed page proves nothing about what it did not see. How rows
//! are joined with items is in `reconcile`.

use super::{
    Engine,
    config::MAX_PAGES,
    error::{Code, Fault},
    id::{CommandId, StoreId, Token},
    input::{Cursor, Next, Rows},
    item::{AttemptState, Item},
    lifecycle::Settled,
    outbox::{Sent, What},
    outcome::{Answer, Body, Outcome, fault, judge_read},
    output::Reading,
    reconcile::Served,
    row::Row,
    store::Phase,
    time::Instant,
};
use crate::engine::connectivity::Task;

/// A read of which some pages are here, and more are to come.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// The page that is next.
    next: String,
    /// All pages that it was sent to: one that comes again would be a circle.
    seen: Vec<String>,
    /// When its first page was asked for.
    began: Instant,
    /// Who wanted the collection up to this instant is served when it ends.
    serves: Instant,
    /// Whether every page said that the collection is in it, or in those before and behind it.
    complete: bool,
    /// Whether no row was left out.
    clean: bool,
    /// Whether no row was passed over.
    known: bool,
    /// Whether it began where an earlier read had said.
    delta: bool,
    /// The page that is next has failed; it is asked for again when the collection is wanted again.
    halted: bool,
    /// Whether it went on behind a page that had failed.
    resumed: bool,
    /// The first that a page gave: what changes while the others are read comes with the next read.
    cursor: Cursor,
}

impl Walk {
    fn new(reading: &Reading, asked: Instant) -> Self {
        Self {
            next: String::new(),
            seen: Vec::new(),
            began: asked,
            serves: asked,
            complete: true,
            clean: true,
            known: true,
            delta: reading.cursor.is_some(),
            halted: false,
            resumed: reading.page.is_some(),
            cursor: Cursor::Kept,
        }
    }

    /// Takes a page in. Where the next one is; nothing if this was the last.
    fn take<R>(&mut self, rows: &mut Rows<R>) -> Result<Option<()>, Fault> {
        // A page that is less complete than those before it leaves something out.
        self.known &= rows.complete || !self.complete || self.seen.is_empty();
        self.complete &= rows.complete;
        self.clean &= rows.problem.is_none();
        if self.cursor == Cursor::Kept {
            self.cursor = std::mem::take(&mut rows.cursor);
        }
        match std::mem::take(&mut rows.next) {
            Next::None => Ok(None),
            Next::Page(next) if !self.seen.contains(&next) && self.seen.len() < MAX_PAGES => {
                self.seen.push(next.clone());
                self.next = next;
                Ok(Some(()))
            }
            Next::Page(_) => Err(endless()),
            Next::Refused => Err(Fault::new(
                Code::BadAnswer,
                "the address of the next page makes no sense, or leads to another server; the rows up to here are taken",
            )),
        }
    }
}

fn endless() -> Fault {
    Fault::new(Code::BadAnswer, "the pages lead in a circle, or never end; the rows up to here are taken")
}

impl<R: Row> Engine<R> {
    /// What is to be read next of a collection: what the app wants in a way of its own, or else the usual.
    pub(super) fn next_reading(&mut self, store: StoreId, initial: bool) -> Reading {
        let clock = self.clock;
        let known = &mut self.stores[store];
        let own = match &known.aside {
            Some((token, _)) => Some(*token),
            None => known.fetching.iter().find(|wanted| wanted.own).map(|wanted| wanted.token),
        };
        let walk = if own.is_some() { known.aside.as_mut().map(|(_, walk)| walk) } else { known.walk.as_mut() };
        let page = walk.map(|walk| {
            if std::mem::take(&mut walk.halted) {
                (walk.resumed, walk.serves) = (true, clock);
            }
            walk.next.clone()
        });
        let cursor = known.cursor.clone().filter(|_| own.is_none() && page.is_none());
        let reading = Reading { own, initial, page, cursor };
        known.reading = reading.clone();
        reading
    }

    pub(super) fn fetched(&mut self, command: CommandId, answer: Answer<Rows<R>>) {
        let Some(sent) = self.requests.remove(&command) else { return };
        let What::Collection(own) = sent.what else { return };
        let (store, task) = (sent.store, Task::Collection(sent.store));
        let reading = std::mem::take(&mut self.stores[store].reading);
        let unchanged = reading.cursor.is_some() && answer.is_unchanged();
        let outcome = if unchanged { Outcome::Applied } else { judge_read(&answer) };
        let blocked = self.note_miss(task, &sent, outcome);
        self.hear(&sent, outcome, &answer, blocked);
        if self.stores[store].phase != Phase::Open {
            self.origins[sent.origin].forgive(task);
            return self.run();
        }
        let known = &mut self.stores[store];
        let walk = if own.is_some() { known.aside.take().map(|(_, walk)| walk) } else { known.walk.take() };
        let mut walk = walk.unwrap_or_else(|| Walk::new(&reading, sent.asked));
        let serves = walk.serves;
        let ended = match answer {
            Answer::Response(response) if outcome == Outcome::Applied => match response.body {
                Body::Json(rows) => self.turn_page(own, &sent, walk, rows),
                // Nothing has changed.
                Body::Empty | Body::Malformed | Body::Foreign | Body::TooLarge => Some(Ok(())),
            },
            answer => {
                let refused = matches!(outcome, Outcome::Parked(_));
                if let Some(page) = reading.page.filter(|_| own.is_none() && !(refused && walk.resumed)) {
                    (walk.next, walk.halted) = (page, true);
                    self.stores[store].walk = Some(walk);
                }
                // What has to be read is read until it succeeds; what the app asked for is the app's matter.
                let again = (self.stores[store].behind || self.has_nameless_dispute(store)) && !refused;
                if refused {
                    self.leave_nameless_disputes(store);
                }
                self.ask_again(task, &sent, again, self.asked_wait(&answer), blocked);
                Some(Err(fault(outcome, &answer)))
            }
        };
        self.stores[store].buried.clear();
        if let Some(result) = ended {
            self.end_read(store, own, serves, &result);
        }
        let known = &mut self.stores[store];
        let goes_on = known.aside.is_some() || known.walk.as_ref().is_some_and(|walk| !walk.halted);
        if std::mem::take(&mut known.fetch_again) || goes_on || !known.fetching.is_empty() {
            self.ask_collection(store);
        }
        self.run();
    }

    /// Takes in the rows of a page. What the read comes to, if it has ended.
    fn turn_page(
        &mut self,
        own: Option<Token>,
        sent: &Sent,
        mut walk: Walk,
        mut rows: Rows<R>,
    ) -> Option<Result<(), Fault>> {
        let store = sent.store;
        let earlier = if walk.clean { None } else { self.stores[store].last_error.clone() };
        let step = walk.take(&mut rows);
        walk.known &= self.reconcile(store, rows, sent.asked);
        if self.stores[store].last_error.is_none() {
            self.stores[store].last_error = earlier;
        }
        match step {
            Ok(Some(())) => {
                let known = &mut self.stores[store];
                match own {
                    // Nobody waits for it any longer.
                    Some(token) if !known.fetching.iter().any(|wanted| wanted.token == token) => return Some(Ok(())),
                    Some(token) => known.aside = Some((token, walk)),
                    None => known.walk = Some(walk),
                }
                None
            }
            Ok(None) => {
                if own.is_none() {
                    self.advance(store, &walk);
                }
                let is_whole = walk.complete && walk.clean && !walk.resumed;
                if own.is_none() {
                    self.conclude_losses(store, is_whole && !walk.delta, walk.began);
                }
                if is_whole {
                    self.remove_missing(store, walk.began);
                }
                Some(Ok(()))
            }
            Err(fault) => {
                self.stores[store].last_error = Some(fault.clone());
                self.changes(store);
                Some(Err(fault))
            }
        }
    }

    /// A read has ended, in one way or another.
    fn end_read(&mut self, store: StoreId, own: Option<Token>, serves: Instant, result: &Result<(), Fault>) {
        let known = &mut self.stores[store];
        let is_first = !std::mem::replace(&mut known.asked, true);
        if result.is_ok() {
            known.fetched = true;
            known.behind &= own.is_some();
        }
        if is_first {
            // Those that were to be looked at first know now whether they are.
            self.reslot_all(store);
        }
        let served = own.map_or(Served::Since(serves), Served::Own);
        self.settle_fetches(store, Some(served), result);
    }

    /// Whether an edit has left whose answer is not here, or came after the first page was asked for. A server that is sent it
    /// once more may answer as it did the first time, with a row that is older than what has been read since. So may a read of one
    /// item that was asked for at the same time: it was perhaps answered before the item was deleted elsewhere, and nothing else
    /// would tell of that.
    fn is_unanswered(&self, store: StoreId, began: Instant) -> bool {
        let stirred = |item: &Item<R>| item.store == store && item.remote_key.is_some() && item.touched >= began;
        let reads_one = |sent: &Sent| sent.store == store && matches!(sent.what, What::Single(_));
        self.items.iter().any(|(_, item)| stirred(item))
            || self.stores[store].single >= began
            || self.requests.values().any(reads_one)
            || self.stores[store].unsynced.iter().any(|id| {
                let sync = self.items.get(*id).and_then(|item| item.sync.as_ref());
                let attempt = sync.and_then(|sync| sync.in_flight.as_ref());
                attempt.is_some_and(|attempt| attempt.attempts > 0 && !matches!(attempt.state, AttemptState::Parked(_)))
            })
    }

    /// Whether an item was not listed and is here for its edits alone. Should they be given up, it is for a read to take it away.
    fn is_kept_by_edits(&self, store: StoreId, began: Instant) -> bool {
        self.stores[store].unsynced.iter().filter_map(|id| self.items.get(*id)).any(|item| {
            let settled = item.sync.as_ref().is_some_and(|sync| sync.settled == Settled::Existent);
            let is_known_gone = item.parked().is_some_and(|fault| fault.code == Code::GoneRemotely);
            settled && item.remote_key.is_some() && item.heard < began && !is_known_gone
        })
    }

    /// Notes where the next read goes on. Never behind something that may not be known here: a row that was left out, one
    /// that was deleted elsewhere while a page could not be read, one that an edit's late answer may still set back. And only by who
    /// writes the records: what another tab writes may be older than what was read here.
    fn advance(&mut self, store: StoreId, walk: &Walk) {
        let gone = !walk.delta && self.is_kept_by_edits(store, walk.began);
        let seen = walk.delta || !walk.resumed || self.missing_since(store, walk.began).is_empty();
        let known = walk.clean && walk.known && !self.is_unanswered(store, walk.began);
        let sure = known && seen && !gone && self.leads(store);
        match &walk.cursor {
            Cursor::At(cursor) if sure => self.set_cursor(store, Some(cursor.clone())),
            // It can go on where it did.
            Cursor::Kept => {}
            Cursor::At(_) if walk.delta && !walk.complete => {}
            Cursor::At(_) | Cursor::Dropped => self.set_cursor(store, None),
        }
    }
}

impl<B> Answer<B> {
    /// Whether the server says that what was asked about has not changed (RFC 9110 §15.4.5).
    fn is_unchanged(&self) -> bool {
        matches!(self, Self::Response(response) if response.status == 304)
    }
}
