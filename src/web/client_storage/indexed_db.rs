//! The IndexedDB room: records in blocks and deltas, through rexie.
//!
//! It owns how records lie in the database, the one connection to it, and the order in which batches reach it. It
//! knows nothing of items, edits or requests, and decides nothing about a failed batch but whether the connection was
//! at fault: then it opens again and repeats, else the caller hears why.
//!
//! The object stores are made once, at version 1 for ever: `blocks` (key `[store, number, write]`, value an array of
//! records), `deltas` (key `[store, _id]`, value the record, or its bare key when it was erased) and `meta`. Adding
//! a `Store` to an app never upgrades the database. Other tabs may write to the same database at any time, so every
//! rule that must hold is checked inside the transaction; what is counted in memory only decides when to fold.

mod batch;
mod connection;
mod fold;
mod layout;
mod queue;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use js_sys::{Array, Promise, Set};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};

use crate::engine::error::StorageFailure;
use connection::{Broken, Connection};
use queue::Queue;

/// What to write to and erase from one store.
#[derive(Clone, Debug)]
pub struct StoreWrites {
    /// The store's name.
    pub store: String,
    /// The property of a record that holds its storage key.
    pub key_name: String,
    /// Record objects, each with its storage key (string or number) under `key_name`.
    pub puts: Array,
    /// The storage keys of records to erase; none of them is among `puts`.
    pub erased: Vec<JsValue>,
}

/// Pauses between the attempts to open a lost connection again.
const REOPEN_PAUSES_MS: [u32; 8] = [100, 200, 400, 800, 1600, 3200, 5000, 5000];

/// How long an open may take. A private window or a stuck other tab can leave it hanging for ever.
const OPEN_LIMIT_MS: u32 = 3000;

/// One database. It is opened at its first use, by whoever comes first.
pub struct IndexedDb {
    database: String,
    strict: bool,
    queue: Queue,
    connection: RefCell<Option<Rc<Connection>>>,
    opening: RefCell<Option<Opening>>,
    shelves: RefCell<Vec<Shelf>>,
}

/// An open that is under way: the promise settles when `outcome` is filled, or when the time for it is over.
#[derive(Clone)]
struct Opening {
    settled: Promise,
    outcome: Rc<RefCell<Option<Opened>>>,
}

type Opened = Result<Rc<Connection>, StorageFailure>;

/// What is remembered of one store. But for `next` these are estimates: they decide when to fold, nothing else.
struct Shelf {
    store: String,
    key_name: String,
    /// The number of the next block. Only a guess: another tab may have written in between.
    next: u32,
    /// The keys found in or written to blocks.
    ids: Set,
    /// How many records in blocks were replaced by a later block.
    overwritten: u32,
    /// The keys found in or written to deltas.
    changed: Set,
    folding: bool,
}

impl Shelf {
    fn new(store: &str, key_name: &str) -> Self {
        let (ids, changed) = (Set::new(&JsValue::UNDEFINED), Set::new(&JsValue::UNDEFINED));
        Self {
            store: store.to_owned(),
            key_name: key_name.to_owned(),
            next: 0,
            ids,
            overwritten: 0,
            changed,
            folding: false,
        }
    }
}

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
            queue: Queue::default(),
            connection: RefCell::default(),
            opening: RefCell::default(),
            shelves: RefCell::default(),
        })
    }

    /// All records of a store, in the order in which their keys were first written.
    ///
    /// # Errors
    /// When the database cannot be opened or read.
    pub fn load(
        self: &Rc<Self>,
        store: &str,
        key_name: &str,
    ) -> impl Future<Output = Result<Array, StorageFailure>> + 'static {
        let (room, store, key_name) = (Rc::clone(self), store.to_owned(), key_name.to_owned());
        async move {
            let mut lost = 0;
            loop {
                let read = match room.connected().await {
                    Ok(connection) => layout::load(&connection, &store, &key_name).await,
                    Err(failure) => Err(Broken::Failed(failure)),
                };
                match read {
                    Ok((records, mut shelf)) => {
                        room.with_shelf(&store, &key_name, |known| {
                            shelf.folding = known.folding;
                            *known = shelf;
                        });
                        room.fold_if_worthwhile(&store);
                        return Ok(records);
                    }
                    Err(broken) => room.survive(broken, &mut lost).await?,
                }
            }
        }
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
    pub fn persist(
        self: &Rc<Self>,
        batch: Vec<StoreWrites>,
    ) -> impl Future<Output = Result<(), StorageFailure>> + 'static {
        let mut task = Box::pin(Rc::clone(self).write_in_turn(batch));
        let done = Rc::new(Cell::new(None));
        let first = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let pending = match first {
            Poll::Ready(result) => {
                done.set(Some(result));
                None
            }
            Poll::Pending => {
                let done = Rc::clone(&done);
                Some(future_to_promise(async move {
                    done.set(Some(task.await));
                    Ok(JsValue::UNDEFINED)
                }))
            }
        };
        async move {
            if let Some(promise) = pending {
                let _ = JsFuture::from(promise).await;
            }
            done.take().unwrap_or_else(|| Err(StorageFailure::Aborted("the write was given up".into())))
        }
    }

    /// Closes the connection once the transactions under way have ended. A later call opens it again.
    pub fn close(&self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }

    async fn write_in_turn(self: Rc<Self>, batch: Vec<StoreWrites>) -> Result<(), StorageFailure> {
        let ticket = self.queue.enter();
        let result = self.write(&batch, ticket).await;
        self.queue.leave(ticket);
        if result.is_ok() {
            for writes in &batch {
                self.fold_if_worthwhile(&writes.store);
            }
        }
        result
    }

    async fn write(self: &Rc<Self>, batch: &[StoreWrites], ticket: u64) -> Result<(), StorageFailure> {
        let mut wait = self.queue.is_jammed() || !matches!(self.known(), Some(Ok(_)));
        let mut lost = 0;
        loop {
            // Out of the fast lane, one after the other: repeated batches must not overtake each other.
            let _place = if wait { Some(self.queue.turn(ticket).await) } else { None };
            wait = true;
            let written = match self.connected().await {
                Ok(connection) => batch::write(self, &connection, batch).await,
                Err(failure) => Err(Broken::Failed(failure)),
            };
            match written {
                Ok(()) => return Ok(()),
                Err(broken) => self.survive(broken, &mut lost).await?,
            }
        }
    }

    /// Whether to try again: pauses when the connection was lost, fails when something else was wrong.
    async fn survive(&self, broken: Broken, lost: &mut usize) -> Result<(), StorageFailure> {
        let failure = match broken {
            Broken::Lost => StorageFailure::Refused("its connection was lost".into()),
            Broken::Failed(failure @ StorageFailure::Refused(_)) if *lost > 0 => failure,
            Broken::Failed(failure) => return Err(failure),
        };
        let Some(ms) = REOPEN_PAUSES_MS.get(*lost) else { return Err(failure) };
        *lost += 1;
        connection::sleep(*ms).await;
        Ok(())
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
                self.connection.take();
                connection.close();
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
        connection::settle(opening.settled).await;
        let outcome = opening.outcome.borrow().clone();
        match (self.known(), outcome) {
            (Some(known), _) => known,
            (None, Some(outcome)) => outcome,
            (None, None) => Err(StorageFailure::Refused("blocked".into())),
        }
    }

    /// Opens in a task of its own: an open that comes too late for those who waited still serves those who come later.
    /// Who comes while it is overdue is told at once.
    fn start_opening(self: &Rc<Self>) -> Opening {
        let outcome = Rc::new(RefCell::new(None));
        let (room, filled) = (Rc::clone(self), Rc::clone(&outcome));
        let ended = future_to_promise(async move {
            let result = Connection::open(&room.database, room.strict).await;
            if let Ok(connection) = &result {
                room.connection.replace(Some(Rc::clone(connection)));
            }
            room.opening.take();
            *filled.borrow_mut() = Some(result);
            Ok(JsValue::UNDEFINED)
        });
        let opening = Opening { settled: connection::within(&ended, OPEN_LIMIT_MS), outcome };
        self.opening.replace(Some(opening.clone()));
        opening
    }

    /// Starts a fold in idle time if deltas or overwritten records have grown too many.
    fn fold_if_worthwhile(self: &Rc<Self>, store: &str) {
        let key_name = self.with_shelf(store, "", |shelf| {
            let limit = (shelf.ids.size() / 4).max(layout::FOLD_FLOOR);
            let worthwhile = shelf.changed.size() > limit || shelf.overwritten > limit;
            if shelf.folding || !worthwhile {
                return None;
            }
            shelf.folding = true;
            Some(shelf.key_name.clone())
        });
        let Some(key_name) = key_name else { return };
        let (room, store) = (Rc::clone(self), store.to_owned());
        spawn_local(async move {
            connection::idle_moment().await;
            let folded = match room.known() {
                Some(Ok(connection)) => fold::fold(&connection, &store, &key_name).await,
                _ => Err(Broken::Lost),
            };
            room.with_shelf(&store, &key_name, |shelf| {
                shelf.folding = false;
                // After a failure nothing has changed; counting starts anew all the same, so that a fold that cannot
                // succeed is not tried at each write.
                if let Ok((ids, next)) = folded {
                    shelf.ids = ids;
                    shelf.next = shelf.next.max(next);
                }
                shelf.changed.clear();
                shelf.overwritten = 0;
            });
        });
    }

    fn with_shelf<T>(&self, store: &str, key_name: &str, act: impl FnOnce(&mut Shelf) -> T) -> T {
        let mut shelves = self.shelves.borrow_mut();
        if let Some(shelf) = shelves.iter_mut().find(|shelf| shelf.store == store) {
            return act(shelf);
        }
        let mut shelf = Shelf::new(store, key_name);
        let result = act(&mut shelf);
        shelves.push(shelf);
        result
    }
}

/// A future without a name.
type Step<'a> = Pin<Box<dyn Future<Output = rexie::Result<()>> + 'a>>;
