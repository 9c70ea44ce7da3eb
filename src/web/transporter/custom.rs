//! The way to a server through page script: what `pkg/link.js` makes of a transporter, whichever it is.
//!
//! Owns the names by which script is asked, and the places at which the facts of an answer stand. Script answers by calling
//! `answered`, once for each thing that it was asked. Decides nothing about an answer: `engine::outcome` does.

use js_sys::Array;
use wasm_bindgen::prelude::*;

use crate::engine::{
    input::{Cursor, Next},
    outcome::{Answer, Body, Response, Said},
};

#[wasm_bindgen]
extern "C" {
    /// One store's transporter. Its methods never throw.
    #[derive(Clone)]
    pub type Link;
    /// Which requests share lanes and troubles: for HTTP `scheme://host:port`.
    #[wasm_bindgen(method, getter, structural)]
    pub fn origin(this: &Link) -> String;
    /// Whether an update sends only the edited fields.
    #[wasm_bindgen(method, getter, structural)]
    pub fn patches(this: &Link) -> bool;
    /// Whether it can say which state of a row a write means.
    #[wasm_bindgen(method, getter, structural)]
    pub fn conditional(this: &Link) -> bool;
    /// Sends an edit.
    #[wasm_bindgen(method, structural)]
    #[allow(clippy::too_many_arguments)]
    pub fn push(
        this: &Link,
        command: u32,
        store: u16,
        action: &str,
        payload: &JsValue,
        id: &JsValue,
        item: u32,
        storage_key: &JsValue,
        key: &str,
        version: Option<&str>,
    );
    /// What else must be the same for a cursor to mean the same: the address, and how rows look.
    #[wasm_bindgen(method, getter, structural)]
    pub fn scope(this: &Link) -> String;
    /// Whether it has a way of its own to see whether the server can be reached.
    #[wasm_bindgen(method, getter, structural)]
    pub fn probes(this: &Link) -> bool;
    /// Sees whether the server can be reached.
    #[wasm_bindgen(method, structural)]
    pub fn probe(this: &Link, command: u32, store: u16);
    /// Reads the collection; `own`: in the way that the app gave with this promise; `page` and `cursor`: JSON.
    #[wasm_bindgen(method, structural, js_name = fetchAll)]
    pub fn fetch_all(
        this: &Link,
        command: u32,
        store: u16,
        own: Option<u32>,
        initial: bool,
        page: Option<String>,
        cursor: Option<String>,
    );
    /// Reads one item.
    #[wasm_bindgen(method, structural, js_name = fetchOne)]
    pub fn fetch_one(this: &Link, command: u32, store: u16, id: &JsValue, item: u32);
    /// Asks the app about a conflict.
    #[wasm_bindgen(method, structural)]
    #[allow(clippy::too_many_arguments)]
    pub fn resolve(
        this: &Link,
        command: u32,
        store: u16,
        item: u32,
        base: &JsValue,
        local: &JsValue,
        remote: &JsValue,
        status: u16,
    );
}

/// What was asked of a link.
#[wasm_bindgen]
#[derive(Clone, Copy)]
pub enum Asked {
    /// To send an edit.
    Edit,
    /// To read the collection.
    All,
    /// To read one item.
    One,
    /// To see whether the server can be reached.
    Probe,
}

/// Whether the rows of a read are everything there is, and the keys of rows that were deleted.
pub fn completeness(facts: &Array) -> (bool, Array) {
    (facts.get(9).is_truthy(), facts.get(10).dyn_into().unwrap_or_default())
}

/// Where the rest of the rows is, and where the next read goes on: JSON, which is `null` for a page that cannot be asked for, and for
/// no cursor any more.
pub fn onward(facts: &Array) -> (Next, Cursor) {
    let next = match facts.get(14).as_string() {
        None => Next::None,
        Some(text) if text == "null" => Next::Refused,
        Some(text) => Next::Page(text),
    };
    let cursor = match facts.get(15).as_string() {
        None => Cursor::Kept,
        Some(text) if text == "null" => Cursor::Dropped,
        Some(text) => Cursor::At(text),
    };
    (next, cursor)
}

/// Whether there is an answer at all.
pub fn is_answered(facts: &Array) -> bool {
    facts.get(0).as_f64() == Some(3.0)
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
    let problem = text(13);
    Answer::Response(Response { status, body, text: text(4), retry_after, location, version, problem, said })
}
