//! What wasm exports to the package: handles and short methods. No rule lives here.
//!
//! A refusal is thrown as `{code, message, status?, body?}`; the package makes it a `ConcordiaError`.

#![allow(unreachable_pub, reason = "what wasm exports is reached from JavaScript")]

mod options;
mod store;

use js_sys::Array;
use wasm_bindgen::prelude::*;

use crate::{
    engine::{
        error::Fault,
        id::{CommandId, StoreId},
        sender::Mark,
    },
    web::{
        driver::{Driver, driver, poisoned},
        record::fault_object,
        tabs::News,
        transporter::custom::Asked,
    },
};

type Thrown<T> = Result<T, JsValue>;

#[allow(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn thrown(fault: Fault) -> JsValue {
    fault_object(&fault)
}

/// The page's driver. One copy of the refusal for all that ask.
#[inline(never)]
fn page() -> Thrown<&'static Driver> {
    driver().map_err(thrown)
}

/// What is said when the engine has failed.
#[cold]
#[inline(never)]
fn broken() -> JsValue {
    thrown(poisoned())
}

/// Makes the page's engine. `page` has the callbacks that `web::driver` names.
#[wasm_bindgen]
pub fn start(page: &JsValue) {
    crate::web::driver::start(page);
}

/// A link answered: `facts` are read by `web::transporter::custom`.
#[wasm_bindgen]
pub fn answered(asked: Asked, command: u32, store: u16, facts: &Array) -> Thrown<()> {
    page()?.answered(asked, CommandId(command), StoreId(store), facts);
    Ok(())
}

/// The app has decided about a conflict; `error` says why it could not.
#[wasm_bindgen]
pub fn resolved(command: u32, store: u16, word: &JsValue, error: &JsValue) -> Thrown<()> {
    page()?.resolved(CommandId(command), StoreId(store), word, error).map_err(thrown)
}

/// A client storage of page script gave its records; `error` is undefined if it did.
#[wasm_bindgen]
pub fn loaded(store: u16, records: &JsValue, error: &JsValue) -> Thrown<()> {
    page()?.records_came(StoreId(store), records, error);
    Ok(())
}

/// A client storage of page script has written a batch; `error` is undefined if it did.
#[wasm_bindgen]
pub fn persisted(command: u32, error: &JsValue) {
    crate::web::driver::persisted(CommandId(command), error);
}

/// This tab has got the lock of a store; or it has not, or has lost it.
#[wasm_bindgen]
pub fn leads(store: u16, won: bool) {
    crate::web::driver::leads(StoreId(store), won);
}

/// Another tab has said something about a store: see `web::tabs`. Numbers that are no counts say nothing.
#[wasm_bindgen]
pub fn told(store: u16, word: u32, tab: f64, count: f64, news: Option<News>) {
    if let (Some(tab), Some(count)) = (crate::web::record::count(tab), crate::web::record::count(count)) {
        crate::web::driver::told(StoreId(store), word, Mark { tab, count }, news.as_ref());
    }
}

/// Whether the engine still works. A trap in the middle of a step leaves it borrowed for ever.
#[wasm_bindgen(js_name = isSound)]
pub fn is_sound() -> bool {
    driver().is_ok_and(|driver| driver.read(|_| ()).is_some())
}
