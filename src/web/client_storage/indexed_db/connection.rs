//! One connection to the database: opened by rexie, with what rexie keeps to itself reached through `jobs.js`.
//!
//! It owns the opening, the fate of the connection, the commit of a transaction, and the reason why one failed. It does
//! not know what lies in the object stores.
//!
//! What rexie 0.6 cannot say and is asked of the browser directly: the name of the error behind a failed open or an
//! aborted transaction (rexie calls a quota abort `Ok(Aborted)`), `close` and `versionchange` events, and durability.

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use js_sys::Promise;
use rexie::{Rexie, TransactionMode};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use super::Job;
use crate::engine::error::StorageFailure;

/// The object stores; what lies in them is told in `jobs.js`.
const BLOCKS: &str = "blocks";
const DELTAS: &str = "deltas";
const META: &str = "meta";
const QUARANTINE: &str = "quarantine";

/// Version 2 has brought the quarantine and the guard.
const VERSION: u32 = 2;

#[wasm_bindgen(module = "/src/web/client_storage/indexed_db/jobs.js")]
extern "C" {
    type Link;
    #[wasm_bindgen(constructor)]
    fn new(strict: bool, end: &Gate) -> Link;
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

    type Ending;
    #[wasm_bindgen(method)]
    fn issue(this: &Ending, job: &Job) -> bool;
    #[wasm_bindgen(method)]
    fn reason(this: &Ending) -> Promise;
    #[wasm_bindgen(method)]
    fn unhand(this: &Ending);

    /// Something to wait for, in JavaScript.
    pub(super) type Gate;
    #[wasm_bindgen(constructor)]
    pub(super) fn new(limit_ms: Option<u32>) -> Gate;
    #[wasm_bindgen(method, getter)]
    pub(super) fn passed(this: &Gate) -> Promise;
    #[wasm_bindgen(method)]
    pub(super) fn open(this: &Gate);

    pub(super) fn pause(ms: u32) -> Promise;
    pub(super) fn idle() -> Promise;
}

const EMPTIED: &str = "it was emptied while it was in use";

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

impl Connection {
    /// Opens the database, and makes its object stores if it is new.
    /// `end` is opened when somebody else upgrades or deletes it.
    pub(super) async fn open(database: &str, strict: bool, end: &Gate) -> Result<Rc<Self>, StorageFailure> {
        // The link makes the object stores: rexie's own way to do that weighs 6 kB.
        let mut build = pin!(Rexie::builder(database).version(VERSION).build());
        let link = Link::new(strict, end);
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

    /// Does a job in one transaction, `Ok` only after its commit. All its requests are issued in the first poll.
    pub(super) fn transact(self: Rc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Result<(), Broken>>>> {
        Box::pin(async move {
            let mut stores = vec![DELTAS];
            stores.extend(job.blocks().then_some(BLOCKS));
            stores.extend(job.meta().then_some(META));
            stores.extend(job.sets().then_some(QUARANTINE));
            let mode = if job.writes() { TransactionMode::ReadWrite } else { TransactionMode::ReadOnly };
            let begun = self.rexie.borrow().as_ref().and_then(|rexie| rexie.transaction(&stores, mode).ok());
            let (Some(transaction), Some(ending)) = (begun, self.link.begun()) else { return Err(self.refusal()) };
            let issued = ending.issue(&job);
            if issued {
                // Polled in the turn of the requests: attached after an automatic commit, it never settles.
                let done = transaction.done().await;
                ending.unhand();
                if done.is_ok_and(|result| result.is_committed()) {
                    return Ok(());
                }
            }
            match job.verdict().as_deref() {
                Some("newer") => return Err(Broken::Failed(StorageFailure::NewerVersion)),
                Some("outrun") => return Err(Broken::Failed(StorageFailure::Outrun)),
                Some("emptied") => return Err(Broken::Failed(StorageFailure::Refused(EMPTIED.into()))),
                Some(_) | None => {}
            }
            let name = JsFuture::from(ending.reason()).await.ok().and_then(|name| name.as_string());
            let name = name.unwrap_or_default();
            match name.as_str() {
                "" => return Ok(()),
                "QuotaExceededError" => return Err(Broken::Failed(StorageFailure::Quota)),
                "InvalidStateError" => return Err(Broken::Lost),
                _ => {}
            }
            // When the browser closes a connection by force, its transactions hear of it before the connection does.
            settle(pause(0)).await;
            self.usable()?;
            let culprit = if issued { None } else { job.culprit() };
            Err(Broken::Failed(StorageFailure::Aborted(culprit.unwrap_or(name))))
        })
    }

    /// Why no transaction could be begun.
    fn refusal(&self) -> Broken {
        if let Err(broken) = self.usable() {
            return broken;
        }
        match self.link.refusal() {
            // Nobody could see why: then as if the connection were gone.
            unknown if unknown.is_empty() => {
                self.close();
                Broken::Lost
            }
            // The database was made by somebody else, and has other object stores.
            name => Broken::Failed(StorageFailure::Refused(name)),
        }
    }

    /// Closes the connection once its transactions have ended.
    pub(super) fn close(&self) {
        if let Some(rexie) = self.rexie.take() {
            rexie.close();
        }
    }
}

/// Waits for a promise, whatever becomes of it.
pub(super) async fn settle(promise: Promise) {
    let _: Result<JsValue, JsValue> = JsFuture::from(promise).await;
}
