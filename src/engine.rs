//! The engine: decides what is stored, sent, merged and told, and does none of it.
//!
//! It is pure: no clock, no randomness, no IO, no JavaScript type, no `async`, no iteration over unordered maps. Everything
//! that happens is an [`Input`](input::Input), everything to do is a [`Command`](output::Command) that is answered by exactly one
//! input, everything to tell is in the [`Output`](output::Output). The same seed and the same inputs give the same outputs.
//!
//! How to drive it: make one [`Engine`] for a page; hand it each input with the time; carry out the commands of the
//! output in their order; hand in `TurnEnded` at the end of a turn that asked for it (`end_turn`), and `Woken` at `wake_at`.
#![forbid(unsafe_code)]

mod answer;
mod arena;
mod backoff;
pub mod config;
mod conflict;
mod connectivity;
mod edit;
pub mod error;
pub mod id;
mod index;
pub mod input;
mod item;
mod keys;
pub mod lifecycle;
mod outage;
mod outbox;
pub mod outcome;
pub mod output;
mod promise;
mod reconcile;
mod relation;
pub mod row;
pub mod schema;
pub mod sender;
mod sorted;
mod storage;
mod store;
pub mod time;
mod twin;
mod view;
mod walk;

pub use backoff::retry_after;
pub use connectivity::Connection;
pub use item::{Attempt, AttemptState, Edit, Sync};
pub use view::{EditState, PendingEdit, Status};

use arena::{Items, Stores};
use backoff::Random;
use conflict::Decision;
use connectivity::Origin;
use error::Fault;
use id::{CommandId, ItemId, Seq, StorageId, StoreId};
use input::Input;
use keys::Keys;
use outbox::Sent;
use output::{Changes, Made, Output};
use promise::Waiter;
use row::Row;
use sorted::{Map, Set};
use storage::{Batch, Erasure, Storage};
use time::{Instant, Millis};

/// So many bits of a `Seq` count within a millisecond; what is left is exact in JavaScript until the year 2248.
const SEQS_PER_MILLI: u32 = 10;

/// All stores of one page, and what is under way for them.
#[derive(Clone, Debug)]
pub struct Engine<R> {
    now: Millis,
    clock: Instant,
    random: Random,
    keys: Keys,
    next_seq: Seq,
    next_command: u32,
    stores: Stores,
    origins: Vec<Origin>,
    storages: Map<StorageId, Storage>,
    items: Items<R>,
    dirty: Set<ItemId>,
    erased: Vec<Erasure>,
    batches: Map<CommandId, Batch>,
    requests: Map<CommandId, Sent>,
    decisions: Map<CommandId, Decision<R>>,
    waiters: Map<ItemId, Vec<Waiter>>,
    /// For each store a row of it without values.
    blanks: Vec<R>,
    /// Items that refer to a store that is not loaded yet, or not known.
    unrelated: Vec<(Option<StoreId>, ItemId)>,
    /// Whether a store was opened or loaded since those were last looked at.
    store_came: bool,
    out: Output<R>,
}

impl<R: Row> Engine<R> {
    /// An engine without stores. `seed` is the only source of its randomness.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let random = Random::new(seed);
        Self {
            now: Millis(0),
            clock: Instant(0),
            keys: Keys::default(),
            random,
            next_seq: Seq(0),
            next_command: 0,
            stores: Stores::new(),
            origins: Vec::new(),
            storages: Map::new(),
            items: Items::new(),
            dirty: Set::new(),
            erased: Vec::new(),
            batches: Map::new(),
            requests: Map::new(),
            decisions: Map::new(),
            waiters: Map::new(),
            blanks: Vec::new(),
            unrelated: Vec::new(),
            store_came: false,
            out: Output::new(),
        }
    }

    /// Takes in one thing that happened at `now`, and says what follows.
    ///
    /// # Errors
    /// What the app asks for may be refused; then nothing has changed. Codes: `E_OPTIONS`, `E_REMOVED`, `E_CLOSED`,
    /// `E_UNSAFE_ID`, `E_NOT_A_KEY`. What the world answers is never refused.
    pub fn handle(&mut self, now: Millis, input: Input<R>) -> Result<Output<R>, Fault> {
        self.now = self.now.max(now);
        self.clock.0 += 1;
        match input {
            Input::Open(options, blank) => self.open(options, blank)?,
            Input::Create { store, row, key, source } => self.create(store, row, key, source)?,
            Input::Await { store, row, key } => self.await_item(store, row, key)?,
            Input::Update { item, row, fields, source } => self.update(item, &row, fields, source)?,
            Input::Remove { item, source } => self.remove(item, source)?,
            Input::OnceStored(item, token) => self.once_stored(item, token),
            Input::OnceSynced(item, token) => self.once_synced(item, token),
            Input::OnceReady(item, token) => self.once_ready(item, token),
            Input::OnceLoaded(store, token) => self.once_loaded(store, token),
            Input::Fetch { store, token, own } => self.fetch(store, token, own)?,
            Input::FetchOne(item) => self.fetch_one(item)?,
            Input::Flush(store, token) => self.flush(store, token),
            Input::Retry(item) => self.retry(item),
            Input::Discard(item) => self.discard(item),
            Input::Pause(store) => self.pause(store, true),
            Input::Resume(store) => self.pause(store, false),
            Input::Close(store, token) => self.close(store, token),
            Input::TurnEnded => self.run(),
            Input::Loaded { store, records, problem, cursor, lost, others } => {
                self.loaded(store, records, problem, cursor, lost, others)
            }
            Input::Leads(store, won) => self.lock_turned(store, won),
            Input::Told(store, word) => self.heard_tab(store, word),
            Input::NotesRead(store, Ok(notes)) => self.notes_read(store, notes),
            Input::NotesRead(store, Err(_)) => self.notes_not_read(store),
            Input::StorageEnded(storage, failure) => self.storage_ended(storage, failure),
            Input::Persisted(command, result) => self.persisted(command, result),
            Input::Answered(command, answer) => self.answered(command, &answer),
            Input::Fetched(command, answer) => self.fetched(command, answer),
            Input::Heard(store, rows) => self.heard(store, rows),
            Input::FetchedOne(command, answer) => self.fetched_one(command, &answer),
            Input::Resolved(command, resolution) => self.resolved(command, resolution),
            Input::Woken => self.run(),
            Input::NetworkHinted => self.hurry(),
            Input::Reachable(store) => self.reachable(store),
            Input::Authorized(store) => self.authorized(store),
            Input::Lost(store) => self.lost(store),
            Input::Missed(store) => self.missed(store),
            Input::Probed(command, reached) => self.probed(command, reached),
        }
        Ok(self.finish())
    }

    /// The app has edited: the rest follows when its turn is over, so that a turn is one batch.
    const fn end_turn(&mut self) {
        self.out.end_turn = true;
    }

    /// Lets everything that is due happen.
    fn run(&mut self) {
        self.retry_storages();
        self.keep_up();
        self.relate_waiting();
        self.dispatch();
        self.persist();
        self.conclude_waits();
        self.conclude_closings();
        let now = self.now;
        let origins = self.origins.iter().filter_map(|origin| origin.wake_at(now));
        let storages = self.storages.values().filter_map(|storage| storage.retry_at);
        self.out.wake_at = origins.chain(storages).chain(self.silences()).min();
    }

    fn finish(&mut self) -> Output<R> {
        let next = Output { wake_at: self.out.wake_at, ..Output::new() };
        let mut out = std::mem::replace(&mut self.out, next);
        out.changes.iter_mut().for_each(|changes| self.tidy(changes));
        out
    }

    /// Each item once, by what has become of it since the page was told of it last: one that came and went is not spoken of, one
    /// that went and came again has changed.
    fn tidy(&mut self, changes: &mut Changes) {
        let Changes { added, updated, removed, .. } = changes;
        let (came, changed, went) = (std::mem::take(added), std::mem::take(updated), std::mem::take(removed));
        // Of what is let go only what was shown is listed so.
        let gone: Set<ItemId> = went.iter().copied().collect();
        let is_one = came.len() + changed.len() + went.len() == 1;
        let mut seen = Set::new();
        for id in came.into_iter().chain(changed).chain(went) {
            if seen.contains(&id) {
                continue;
            }
            if !is_one {
                seen.insert(id);
            }
            let is_here = self.items.get(id).is_some_and(|item| !item.is_removed());
            let known = self.items.get_mut(id).map(|item| std::mem::replace(&mut item.shown, is_here));
            match (known.unwrap_or_else(|| gone.contains(&id)), is_here) {
                (false, true) => added.push(id),
                (true, true) => updated.push(id),
                (true, false) => removed.push(id),
                (false, false) => {}
            }
        }
    }

    const fn next_command(&mut self) -> CommandId {
        self.next_command = self.next_command.wrapping_add(1);
        CommandId(self.next_command)
    }

    /// Counts on, and starts from the time: an edit that is made before the stored ones are read comes after them.
    fn next_seq(&mut self) -> Seq {
        self.next_seq = Seq(self.next_seq.0 + 1).max(Seq(self.now.0 << SEQS_PER_MILLI));
        self.next_seq
    }

    /// Lists an item as changed; one that is removed here is not spoken of, but the status of its store has changed.
    fn tell(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let (store, is_removed) = (item.store, item.is_removed());
        let changes = self.changes(store);
        if !is_removed {
            changes.updated.push(id);
        }
    }

    /// The list of what changed in a store.
    fn changes(&mut self, store: StoreId) -> &mut Changes {
        let list = &mut self.out.changes;
        let place = list.iter().position(|changes| changes.store == store).unwrap_or_else(|| {
            list.push(Changes { store, added: Vec::new(), updated: Vec::new(), removed: Vec::new() });
            list.len() - 1
        });
        &mut list[place]
    }
}

impl<R> Output<R> {
    const fn new() -> Self {
        Self {
            commands: Vec::new(),
            changes: Vec::new(),
            settled: Vec::new(),
            made: Made::Nothing,
            end_turn: false,
            wake_at: None,
        }
    }
}
