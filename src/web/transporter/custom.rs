//! The way to a server through page script: what `pkg/link.js` makes of a transporter, whichever it is.
//!
//! Owns the names by which script is asked, and the places at which the facts of an answer stand. Decides nothing about an
//! answer: `engine::outcome` does.

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::engine::outcome::{Answer, Body, Response, Said};

#[wasm_bindgen]
extern "C" {
    /// One store's transporter. Its methods never throw, and settle in every case.
    #[derive(Clone)]
    pub type Link;
    /// Which requests share lanes and troubles: for HTTP `scheme://host:port`.
    #[wasm_bindgen(method, getter, structural)]
    pub fn origin(this: &Link) -> String;
    /// Whether an update sends only the edited fields.
    #[wasm_bindgen(method, getter, structural)]
    pub fn patches(this: &Link) -> bool;
    /// Sends an edit.
    #[wasm_bindgen(method, structural)]
    pub fn push(
        this: &Link,
        action: &str,
        payload: &JsValue,
        id: &JsValue,
        item: u32,
        storage_key: &JsValue,
        key: &str,
    ) -> Promise;
    /// Reads the collection; `own`: in the way that the app gave with this promise.
    #[wasm_bindgen(method, structural, js_name = fetchAll)]
    pub fn fetch_all(this: &Link, own: Option<u32>, initial: bool) -> Promise;
    /// Reads one item.
    #[wasm_bindgen(method, structural, js_name = fetchOne)]
    pub fn fetch_one(this: &Link, id: &JsValue, item: u32) -> Promise;
}

/// The rows of a read, and what was said of those that are not among them.
pub struct Reply {
    /// What came back.
    pub answer: Answer<JsValue>,
    /// Whether it is everything there is.
    pub complete: bool,
    /// Keys of rows that were deleted.
    pub deleted: Array,
}

/// Waits for the facts of an answer.
pub async fn reply(asked: Promise) -> Reply {
    let facts: Array = JsFuture::from(asked).await.ok().and_then(|facts| facts.dyn_into().ok()).unwrap_or_default();
    let deleted = facts.get(10).dyn_into().unwrap_or_default();
    Reply { answer: answer(&facts), complete: facts.get(9).is_truthy(), deleted }
}

/// The facts that `wire.js` and `link.js` found, under their names.
#[must_use]
pub fn answer(facts: &Array) -> Answer<JsValue> {
    let text = |at| facts.get(at).as_string();
    let number = |at| facts.get(at).as_f64().map(|number| number as u16);
    match number(0) {
        Some(1) => return Answer::TimedOut,
        Some(2) => return Answer::Cut,
        Some(3) => {}
        _ => return Answer::Unreachable { message: text(1).unwrap_or_default() },
    }
    let body = match number(2) {
        Some(0) => Body::Empty,
        Some(1) => Body::Json(facts.get(3)),
        Some(2) => Body::Malformed,
        Some(3) => Body::Foreign,
        _ => Body::TooLarge,
    };
    let (status, retry_after, location, version) = (number(1).unwrap_or_default(), text(5), text(6), text(7));
    let said = text(11).map(|message| Said { message, status: number(12) });
    Answer::Response(Response { status, body, text: text(4), retry_after, location, version, said })
}
