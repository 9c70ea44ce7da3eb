//! One connection to the database: opened by rexie, with what rexie keeps to itself reached through `link.js`.
//!
//! It owns the opening, the fate of the connection, and the reason why a transaction failed. It does not know what lies
//! in the object stores.
//!
//! What rexie 0.6 cannot say and is asked of the browser directly: the name of the error behind a failed open or an
//! aborted transaction (rexie calls a quota abort `Ok(Aborted)`), `close` and `versionchange` events, and durability.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use js_sys::{JsString, Promise};
use rexie::{ObjectStore, Rexie, Transaction, TransactionMode};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::layout::{BLOCKS, DELTAS, META};
use crate::engine::error::StorageFailure;

#[wasm_bindgen(module = "/src/web/client_storage/indexed_db/link.js")]
extern "C" {
    type Link;
    #[wasm_bindgen(constructor)]
    fn new(strict: bool) -> Link;
    #[wasm_bindgen(method)]
    fn release(this: &Link);
    #[wasm_bindgen(method, getter)]
    fn fate(this: &Link) -> u32;
    #[wasm_bindgen(method, getter, js_name = openError)]
    fn open_error(this: &Link) -> String;
    #[wasm_bindgen(method, getter)]
    fn refusal(this: &Link) -> String;
    #[wasm_bindgen(method, getter)]
    fn begun(this: &Link) -> Option<Ending>;

    /// How one transaction ends.
    pub(super) type Ending;
    #[wasm_bindgen(method)]
    fn reason(this: &Ending) -> Promise;
    #[wasm_bindgen(method)]
    fn unhand(this: &Ending);
    #[wasm_bindgen(method)]
    fn abort(this: &Ending);

    fn pause(ms: u32) -> Promise;
    /// Settles when the promise does, or when the time is over.
    pub(super) fn within(promise: &Promise, ms: u32) -> Promise;
    fn idle() -> Promise;
}

/// Why something with the connection failed.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection is gone; with a new one the same may succeed.
    Lost,
    /// Something else, to be told to the caller.
    Failed(StorageFailure),
}

/// An open connection.
pub(super) struct Connection {
    rexie: RefCell<Option<Rexie>>,
    link: Link,
}

/// A transaction that has been begun.
pub(super) struct Begun {
    pub(super) transaction: Transaction,
    pub(super) ending: Ended,
}

/// How a transaction ends, as far as the browser lets us see it.
pub(super) struct Ended(Option<Ending>);

impl Connection {
    /// Opens the database, and makes its object stores if it is new.
    pub(super) async fn open(database: &str, strict: bool) -> Result<Rc<Self>, StorageFailure> {
        let builder = Rexie::builder(database)
            .version(1)
            .add_object_store(ObjectStore::new(BLOCKS))
            .add_object_store(ObjectStore::new(DELTAS))
            .add_object_store(ObjectStore::new(META));
        let mut build = pin!(builder.build());
        let link = Link::new(strict);
        // rexie calls `indexedDB.open` in the first poll; only then does the link look.
        let first = build.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        link.release();
        let built = match first {
            Poll::Ready(built) => built,
            Poll::Pending => build.await,
        };
        match built {
            Ok(rexie) => Ok(Rc::new(Self { rexie: RefCell::new(Some(rexie)), link })),
            Err(_) => Err(match link.open_error().as_str() {
                "VersionError" => StorageFailure::NewerVersion,
                "QuotaExceededError" => StorageFailure::Quota,
                "" => StorageFailure::Refused("there is no usable IndexedDB".into()),
                name => StorageFailure::Refused(name.into()),
            }),
        }
    }

    /// Whether transactions can still be begun.
    pub(super) fn usable(&self) -> Result<(), Broken> {
        match self.link.fate() {
            0 if self.rexie.borrow().is_some() => Ok(()),
            2 => Err(Broken::Failed(StorageFailure::NewerVersion)),
            3 => Err(Broken::Failed(StorageFailure::Refused("the database was deleted".into()))),
            _ => Err(Broken::Lost),
        }
    }

    /// Begins a transaction. It lives only as long as requests are issued to it without a break.
    pub(super) fn begin(&self, stores: &[&str], mode: TransactionMode) -> Result<Begun, Broken> {
        let begun = self.rexie.borrow().as_ref().and_then(|rexie| rexie.transaction(stores, mode).ok());
        if let Some(transaction) = begun {
            return Ok(Begun { transaction, ending: Ended(self.link.begun()) });
        }
        self.usable()?;
        match self.link.refusal() {
            // Nobody could see why: then as if the connection were gone.
            unknown if unknown.is_empty() => {
                self.close();
                Err(Broken::Lost)
            }
            // The database was made by somebody else, and has other object stores.
            name => Err(Broken::Failed(StorageFailure::Refused(name))),
        }
    }

    /// Closes the connection once its transactions have ended.
    pub(super) fn close(&self) {
        if let Some(rexie) = self.rexie.take() {
            rexie.close();
        }
    }

    /// Why a transaction that did not commit did not.
    pub(super) async fn reason(&self, ending: &Ended) -> Result<(), Broken> {
        let name = ending.name().await;
        match name.as_str() {
            "" => Ok(()),
            "QuotaExceededError" => Err(Broken::Failed(StorageFailure::Quota)),
            "InvalidStateError" => Err(Broken::Lost),
            _ => {
                // When the browser closes a connection by force, its transactions hear of it before the connection does.
                sleep(0).await;
                self.usable()?;
                Err(Broken::Failed(StorageFailure::Aborted(name)))
            }
        }
    }
}

impl Ended {
    /// Whether the transaction was committed. To be polled in the turn in which its requests were issued: attached
    /// after an automatic commit, rexie's `done()` never settles.
    pub(super) async fn committed(&self, transaction: Transaction) -> bool {
        let done = transaction.done().await;
        if let Some(ending) = &self.0 {
            ending.unhand();
        }
        done.is_ok_and(|result| result.is_committed())
    }

    /// Undoes the whole transaction, if it has not ended yet.
    pub(super) fn abort(&self) {
        if let Some(ending) = &self.0 {
            ending.abort();
        }
    }

    /// "" if it was committed, else the name of the error.
    async fn name(&self) -> String {
        let Some(ending) = &self.0 else { return "AbortError".into() };
        match JsFuture::from(ending.reason()).await {
            Ok(name) => name.unchecked_into::<JsString>().into(),
            Err(_) => "AbortError".into(),
        }
    }
}

/// Waits. A timer of its own, since rooms do not import each other.
pub(super) async fn sleep(ms: u32) {
    settle(pause(ms)).await;
}

/// Waits until the page has nothing better to do.
pub(super) async fn idle_moment() {
    settle(idle()).await;
}

/// Waits for a promise, whatever becomes of it.
pub(super) async fn settle(promise: Promise) {
    let _: Result<JsValue, JsValue> = JsFuture::from(promise).await;
}
