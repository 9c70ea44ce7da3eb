//! The IndexedDB room: records in blocks and deltas, through rexie.
//!
//! It owns the one connection to a database and the order in which batches reach it; how records lie there is told and
//! done in `jobs.js`. It knows nothing of items, edits or requests, and decides nothing about a failed batch but whether
//! the connection was at fault: then it opens again and repeats, else the caller hears why.
//!
//! The object stores are made once: adding a `Store` to an app never upgrades the database. Other tabs may write to the
//! same database at any time, so every rule that must hold is checked inside the transaction; what is counted in memory
//! only decides when to fold.

mod connection;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;

use crate::engine::{error::StorageFailure, input::Lost, sender::Mark};
use connection::{Broken, Connection, Gate, idle, pause, settle};

#[wasm_bindgen(module = "/src/web/client_storage/indexed_db/jobs.js")]
extern "C" {
    type Shelves;
    #[wasm_bindgen(constructor)]
    fn new(database: &str) -> Shelves;
    #[wasm_bindgen(method)]
    fn note(this: &Shelves, store: &str, records: u32, unsynced: u32);
    #[wasm_bindgen(method)]
    fn load(this: &Shelves, store: &str, key_name: &str, version: u32, again: bool) -> Job;
    #[wasm_bindgen(method)]
    fn notes(this: &Shelves, store: &str, key_name: &str) -> Job;
    #[wasm_bindgen(method)]
    fn strays(this: &Shelves, store: &str, rows: &Array, whys: &Array) -> Job;
    #[wasm_bindgen(method)]
    fn quarantine(this: &Shelves, store: &str, key_name: &str, keys: &Array, whys: &Array) -> Job;
    #[wasm_bindgen(method)]
    fn write(this: &Shelves) -> Job;
    #[wasm_bindgen(method)]
    fn told(this: &Shelves, number: u32);
    #[wasm_bindgen(method)]
    fn fold(this: &Shelves) -> Option<Job>;

    /// What is to be done in one transaction.
    #[derive(Clone)]
    type Job;
    #[wasm_bindgen(method)]
    fn add(this: &Job, store: &str, key_name: &str, puts: &Array, erased: &[JsValue], version: u32);
    #[wasm_bindgen(method, js_name = setMark)]
    fn set_mark(this: &Job, store: &str, mark: Option<String>);
    #[wasm_bindgen(method)]
    fn fence(this: &Job, tab: f64, seen_tab: f64, seen_count: f64);
    #[wasm_bindgen(method)]
    fn keep(this: &Job, tab: f64, number: u32, rows: &Array);
    #[wasm_bindgen(method)]
    fn forget(this: &Job, tab: f64, number: u32);
    #[wasm_bindgen(method)]
    fn chain(this: &Job, number: u32, after: Option<u32>);
    #[wasm_bindgen(method, getter, js_name = isEmpty)]
    fn is_empty(this: &Job) -> bool;
    #[wasm_bindgen(method, getter)]
    fn writes(this: &Job) -> bool;
    #[wasm_bindgen(method, getter)]
    fn meta(this: &Job) -> bool;
    #[wasm_bindgen(method, getter)]
    fn blocks(this: &Job) -> bool;
    #[wasm_bindgen(method, getter)]
    fn sets(this: &Job) -> bool;
    #[wasm_bindgen(method, getter)]
    fn verdict(this: &Job) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn culprit(this: &Job) -> Option<String>;
    #[wasm_bindgen(method)]
    fn finish(this: &Job, committed: bool) -> JsValue;

    type Read;
    #[wasm_bindgen(method, getter)]
    fn records(this: &Read) -> Array;
    #[wasm_bindgen(method, getter)]
    fn lost(this: &Read) -> Option<Vec<u32>>;
    #[wasm_bindgen(method, getter)]
    fn mark(this: &Read) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn sender(this: &Read) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn notes(this: &Read) -> Array;

    fn persist();
    #[wasm_bindgen(js_name = refreshEstimate)]
    fn refresh_estimate();
    fn estimate() -> JsValue;
}

/// What the browser said last of the room for this site: `{usage, quota, persisted}`, or undefined.
pub fn room_left() -> JsValue {
    estimate()
}

#[wasm_bindgen(module = "/src/web/client_storage/indexed_db/jobs.js")]
extern "C" {
    type Queue;
    #[wasm_bindgen(constructor)]
    fn new() -> Queue;
    #[wasm_bindgen(method)]
    fn enter(this: &Queue) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = isJammed)]
    fn is_jammed(this: &Queue) -> bool;
    #[wasm_bindgen(method)]
    fn turn(this: &Queue, ticket: &JsValue) -> Promise;
    #[wasm_bindgen(method)]
    fn leave(this: &Queue, ticket: &JsValue);
}

/// What to write to and erase from one store.
#[derive(Clone, Debug, Default)]
pub struct StoreWrites {
    /// The store's name.
    pub store: String,
    /// The property of a record that holds its storage key.
    pub key_name: String,
    /// Record objects, each with its storage key (string or number) under `key_name`.
    pub puts: Array,
    /// The storage keys of records to erase; none of them is among `puts`.
    pub erased: Vec<JsValue>,
    /// Text to keep beside the records of the store in the place of what is kept there, or to forget that.
    pub mark: Option<Option<String>>,
    /// The version of their schema. Nothing is written where a newer one has been.
    pub version: u32,
    /// This tab and the mark that was read: nothing of the batch is written if another tab has written records since.
    pub fence: Option<(u64, Mark)>,
    /// Notes to keep behind all others: of this tab, with this number, as rows.
    pub notes: Option<(u64, u32, Array)>,
    /// Notes to erase: those of a tab up to this number.
    pub forgotten: Vec<(u64, u32)>,
    /// The number of the batch, and that of an earlier one: nothing of it is written if that was not. `told` ends it.
    pub chain: Option<(u32, Option<u32>)>,
}

/// What was read of one store.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// All records, in the order in which their keys were first written.
    pub records: Array,
    /// Who wrote them.
    pub sender: Mark,
    /// Notes of edits that are not in them: for each transaction `[place, tab, number, rows]`.
    pub notes: Array,
    /// The text that is kept beside them.
    pub mark: Option<String>,
    /// What was in the database when it was last used, if that was another one than this: it is gone.
    pub lost: Option<Lost>,
}

/// A result to come. One type for all, since each type of future makes another copy of what drives it.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StorageFailure>>>>;

/// Pauses between the attempts to open a lost connection again.
const REOPEN_PAUSES_MS: [u16; 8] = [100, 200, 400, 800, 1600, 3200, 5000, 5000];

/// How long an open may take. A private window or a stuck other tab can leave it hanging for ever.
const OPEN_LIMIT_MS: u32 = 3000;

/// One database. It is opened at its first use, by whoever comes first.
pub struct IndexedDb {
    database: String,
    strict: bool,
    shelves: Shelves,
    queue: Queue,
    connection: RefCell<Option<Rc<Connection>>>,
    /// An open that is under way: it settles when that ends, or when the time for it is over.
    opening: RefCell<Option<Promise>>,
    /// Why there is no connection.
    refusal: RefCell<StorageFailure>,
    /// Opened when somebody else has upgraded or deleted the database.
    end: Gate,
    /// Whether the browser is still to be asked to keep the site's data.
    keeps: Cell<bool>,
}

type Opened = Result<Rc<Connection>, StorageFailure>;

impl IndexedDb {
    /// The room of one database. Nothing is opened yet.
    ///
    /// `strict`: a batch counts as committed only when the operating system has been told to write it to the disk. The
    /// default of browsers, relaxed, survives a crash of the browser but not always a power cut.
    #[must_use]
    pub fn new(database: &str, strict: bool) -> Rc<Self> {
        Rc::new(Self {
            database: database.to_owned(),
            strict,
            shelves: Shelves::new(database),
            queue: Queue::new(),
            connection: RefCell::default(),
            opening: RefCell::default(),
            refusal: RefCell::new(blocked()),
            end: Gate::new(None),
            keeps: Cell::new(false),
        })
    }

    /// Settles when somebody else has upgraded or deleted the database: why it cannot be used any more.
    pub async fn ended(self: &Rc<Self>) -> StorageFailure {
        settle(self.end.passed()).await;
        match self.known() {
            Some(Err(failure)) => failure,
            Some(Ok(_)) | None => StorageFailure::NewerVersion,
        }
    }

    /// All records of a store; `version` is that of its schema.
    ///
    /// # Errors
    /// When the database cannot be opened or read, or, `again`, is another one than was read before; `NewerVersion` when the store was
    /// written with a newer schema.
    pub fn load(self: &Rc<Self>, store: &str, key_name: &str, version: u32, again: bool) -> Pending<Stored> {
        let loading = self.start(self.shelves.load(store, key_name, version, again));
        Box::pin(async move {
            let read: Read = loading.await?.unchecked_into();
            refresh_estimate();
            let lost = read.lost().map(|counts| Lost {
                records: counts.first().copied().unwrap_or(0),
                unsynced: counts.get(1).copied().unwrap_or(0),
            });
            let sender = read.sender();
            let get = |name: &str| Reflect::get(&sender, &name.into()).ok().and_then(|value| value.as_f64());
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
            let count = |name: &str| get(name).unwrap_or(0.0) as u64;
            let sender = Mark { tab: count("tab"), count: count("count") };
            Ok(Stored { records: read.records(), sender, notes: read.notes(), mark: read.mark(), lost })
        })
    }

    /// The notes of a store alone, as in `Stored`.
    ///
    /// # Errors
    /// When the database cannot be opened or read.
    pub fn notes(self: &Rc<Self>, store: &str, key_name: &str) -> Pending<Array> {
        let reading = self.start(self.shelves.notes(store, key_name));
        Box::pin(async move {
            let read: Read = reading.await?.unchecked_into();
            Ok(read.notes())
        })
    }

    /// Keeps notes that make no sense where the records are that make none. It need not be polled.
    pub fn keep_strays(self: &Rc<Self>, store: &str, rows: &Array, whys: &Array) {
        drop(self.start(self.shelves.strays(store, rows, whys)));
    }

    /// Sets records that make no sense apart, where nobody writes over them: those with these keys, for these reasons, and all
    /// without a usable key. It need not be polled; what could not be set apart is found again by the next page.
    pub fn set_apart(self: &Rc<Self>, store: &str, key_name: &str, keys: &Array, whys: &Array) -> Pending<()> {
        let setting = self.start(self.shelves.quarantine(store, key_name, keys, whys));
        Box::pin(async move { setting.await.map(drop) })
    }

    /// Notes outside of the database how much of a store is in it, after a commit or a load, so that a loss can be told.
    pub fn note(&self, store: &str, records: u32, unsynced: u32) {
        if matches!(self.known(), Some(Ok(_))) {
            self.shelves.note(store, records, unsynced);
        }
        refresh_estimate();
    }

    /// From now on `edited` asks the browser.
    pub fn keep(&self) {
        self.keeps.set(true);
    }

    /// There is something in it that is nowhere else: asks the browser, once for a page, not to clear the site's data by itself.
    pub fn edited(&self) {
        if self.keeps.take() {
            persist();
        }
    }

    /// Whether `edited` is to be told.
    pub fn keeps(&self) -> bool {
        self.keeps.get()
    }

    /// Writes a batch in one transaction over all its stores. The future is `Ok` only after the commit, and need not be
    /// polled for the batch to be written.
    ///
    /// When the database is open already, every record has been handed over (and cloned) when this returns, so that
    /// edits survive a `location.reload()` in the same task. Batches take effect in the order of the calls, but for one
    /// that fails: what a later batch has written since must not be overwritten by repeating the failed one.
    ///
    /// # Errors
    /// When the batch was not written: nothing of it was.
    pub fn persist(self: &Rc<Self>, batch: Vec<StoreWrites>) -> Pending<()> {
        let job = self.shelves.write();
        for StoreWrites { store, key_name, puts, erased, mark, version, fence, notes, forgotten, chain } in batch {
            job.add(&store, &key_name, &puts, &erased, version);
            if let Some(mark) = mark {
                job.set_mark(&store, mark);
            }
            if let Some((tab, seen)) = fence {
                job.fence(number(tab), number(seen.tab), number(seen.count));
            }
            if let Some((tab, count, rows)) = notes {
                job.keep(number(tab), count, &rows);
            }
            for (tab, count) in forgotten {
                job.forget(number(tab), count);
            }
            if let Some((batch, after)) = chain {
                job.chain(batch, after);
            }
        }
        let writing = (!job.is_empty()).then(|| self.start(job));
        Box::pin(async move {
            match writing {
                Some(writing) => writing.await.map(drop),
                None => Ok(()),
            }
        })
    }

    /// Whoever has issued the batch with this number knows what has become of it.
    pub fn told(&self, batch: u32) {
        self.shelves.told(batch);
    }

    /// Closes the connection once the transactions under way have ended. A later call opens it again.
    pub fn close(&self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }

    /// Starts a job at once; it goes on whether or not anybody waits for it.
    fn start(self: &Rc<Self>, job: Job) -> Pending<JsValue> {
        let (gate, result) = (Gate::new(None), Rc::new(Cell::new(None)));
        let (passed, room, filled) = (gate.passed(), Rc::clone(self), Rc::clone(&result));
        self.go(async move {
            filled.set(Some(room.run(job).await));
            gate.open();
            room.fold_what_is_due();
        });
        Box::pin(async move {
            settle(passed).await;
            result.take().unwrap_or_else(|| Err(blocked()))
        })
    }

    async fn run(self: &Rc<Self>, job: Job) -> Result<JsValue, StorageFailure> {
        let ticket = job.writes().then(|| self.queue.enter());
        let result = self.attempt(&job, ticket.as_ref()).await;
        if let Some(ticket) = &ticket {
            self.queue.leave(ticket);
        }
        let outcome = job.finish(result.is_ok());
        result.map(|()| outcome)
    }

    async fn attempt(self: &Rc<Self>, job: &Job, ticket: Option<&JsValue>) -> Result<(), StorageFailure> {
        let mut wait = self.queue.is_jammed() || !matches!(self.known(), Some(Ok(_)));
        let mut pauses = REOPEN_PAUSES_MS.iter();
        loop {
            if let Some(ticket) = ticket.filter(|_| wait) {
                // Out of the fast lane, one after the other: repeated batches must not overtake each other.
                settle(self.queue.turn(ticket)).await;
            }
            wait = true;
            let done = match self.connected().await {
                Ok(connection) => connection.transact(job.clone()).await,
                Err(failure) => Err(Broken::Failed(failure)),
            };
            let failure = match done {
                Ok(()) => return Ok(()),
                Err(Broken::Lost) => StorageFailure::Refused("its connection was lost".into()),
                Err(Broken::Failed(failure @ StorageFailure::Refused(_))) if pauses.len() < REOPEN_PAUSES_MS.len() => {
                    failure
                }
                Err(Broken::Failed(failure)) => return Err(failure),
            };
            let Some(ms) = pauses.next() else { return Err(failure) };
            settle(pause((*ms).into())).await;
        }
    }

    /// The connection, or why there will be none, as far as it is known without waiting.
    fn known(&self) -> Option<Opened> {
        let connection = self.connection.borrow().clone()?;
        match connection.usable() {
            Ok(()) => Some(Ok(connection)),
            Err(Broken::Failed(failure)) => {
                connection.close();
                Some(Err(failure))
            }
            Err(Broken::Lost) => {
                self.close();
                None
            }
        }
    }

    /// The connection, opened if need be; one open serves all who wait for it.
    async fn connected(self: &Rc<Self>) -> Opened {
        if let Some(known) = self.known() {
            return known;
        }
        let opening = self.opening.borrow().clone();
        let opening = opening.unwrap_or_else(|| self.start_opening());
        settle(opening).await;
        self.known().unwrap_or_else(|| Err(self.refusal.borrow().clone()))
    }

    /// Opens in a task of its own: an open that comes too late for those who waited still serves those who come later.
    /// Who comes while it is overdue is told at once.
    fn start_opening(self: &Rc<Self>) -> Promise {
        let gate = Gate::new(Some(OPEN_LIMIT_MS));
        let passed = gate.passed();
        self.opening.replace(Some(passed.clone()));
        self.refusal.replace(blocked());
        let room = Rc::clone(self);
        self.go(async move {
            match Connection::open(&room.database, room.strict, &room.end).await {
                Ok(connection) => drop(room.connection.replace(Some(connection))),
                Err(failure) => drop(room.refusal.replace(failure)),
            }
            room.opening.take();
            gate.open();
        });
        passed
    }

    /// Folds in idle time what deltas or overwritten records have grown too many of.
    fn fold_what_is_due(self: &Rc<Self>) {
        while let Some(job) = self.shelves.fold() {
            let room = Rc::clone(self);
            self.go(async move {
                settle(idle()).await;
                let folded = match room.known() {
                    Some(Ok(connection)) => connection.transact(job.clone()).await.is_ok(),
                    _ => false,
                };
                job.finish(folded);
            });
        }
    }

    /// Carries out a task: at once as far as it goes without waiting, the rest in its own time.
    fn go(&self, task: impl Future<Output = ()> + 'static) {
        let mut task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending {
            spawn_local(task);
        }
    }
}

/// As JavaScript has it.
#[allow(clippy::cast_precision_loss, reason = "they are safe integers")]
pub const fn number(count: u64) -> f64 {
    count as f64
}

fn blocked() -> StorageFailure {
    StorageFailure::Refused(
        "blocked by another tab, which does not let go of an older version of it, or deletes it".into(),
    )
}
