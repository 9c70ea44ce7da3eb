//! The HTTP room: one request, one answer, as facts.
//!
//! It owns what a request says; its headers are gloo-net's. It never retries, keeps no queue and does not judge an answer:
//! `engine::outcome` does. Between what it prepares and what it sends stand middleware and subclasses of page script.
//!
//! Reading options, sending and reading bodies are JavaScript (`http/*.js`): all of it is text, promises and streams that
//! live there, and the same in WebAssembly is three times as large.

use std::rc::Rc;

use gloo_net::http::Headers;
use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use crate::engine::error::{Code, Fault};

#[wasm_bindgen(module = "/src/web/transporter/http/wire.js")]
extern "C" {
    type Options;
    #[wasm_bindgen(catch, js_name = readOptions)]
    fn read_options(given: &JsValue) -> Result<Options, JsValue>;
    fn unsendable(reason: &str) -> JsValue;
}

#[wasm_bindgen(module = "/src/web/transporter/http/wire.js")]
extern "C" {
    /// Whether a media type is JSON.
    #[wasm_bindgen(js_name = isJson)]
    pub fn is_json(media_type: &str) -> bool;
    fn prepare(
        options: &Options,
        action: u32,
        id: Option<&str>,
        body: &JsValue,
        key: Option<&str>,
        version: Option<&str>,
    ) -> JsValue;
    #[wasm_bindgen(catch)]
    fn compose(options: &Options, request: &JsValue) -> Result<JsValue, JsValue>;
    fn exchange(composed: &Array, headers: &web_sys::Headers, options: &Options, reading: bool, all: bool) -> Promise;
}

// Asked by the tests.
#[wasm_bindgen(module = "/src/web/transporter/http/wire.js")]
extern "C" {
    /// Whether this can be a header's name.
    #[wasm_bindgen(js_name = isToken)]
    pub fn is_token(name: &str) -> bool;
    /// Whether this can be a header's value.
    #[wasm_bindgen(js_name = isValue)]
    pub fn is_value(value: &str) -> bool;
}
#[wasm_bindgen(module = "/src/web/transporter/http/wire.js")]
extern "C" {
    /// Percent-encodes an id for a path.
    #[wasm_bindgen(js_name = percentEncode)]
    pub fn percent_encode(text: &str) -> String;
    /// `base/path`.
    pub fn join(base: &str, path: &str) -> String;
    /// Fills a template.
    pub fn fill(template: &str, base_path: &str, id: &str) -> String;
    /// Whether a template has the placeholder `:id`.
    #[wasm_bindgen(js_name = hasId)]
    pub fn has_id(template: &str) -> bool;
    /// Whether an id can be put into a path.
    #[wasm_bindgen(js_name = isSafeId)]
    pub fn is_safe_id(id: &str) -> bool;
}

/// One REST collection of one server. Cheap to clone.
#[derive(Clone)]
pub struct HttpTransporter(Rc<Options>);

/// What a request is to do: the numbers that `wire.js` reads.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireAction {
    /// Make an item.
    Create,
    /// Change an item.
    Update,
    /// Remove an item.
    Delete,
    /// Read the whole collection.
    FetchAll,
    /// Read one item.
    FetchOne,
}

impl HttpTransporter {
    /// `options`: the `HttpTransporterOptions` object of the public types.
    ///
    /// # Errors
    /// `E_OPTIONS`, naming the option and what to do.
    pub fn new(options: &JsValue) -> Result<Self, Fault> {
        let options = read_options(options).map_err(|thrown| Fault::new(Code::Options, message(&thrown)))?;
        Ok(Self(Rc::new(options)))
    }

    /// The options as they were read: `{origin, path, patches, timeout, …}`.
    #[must_use]
    pub fn options(&self) -> &JsValue {
        &self.0
    }

    /// What a request says: `{method, url, headers, body}`. `id`: the server's key, needed for all but `Create` and `FetchAll`;
    /// `body`: a plain value that is sent as JSON, or `undefined`; `version`: which state of the row is meant.
    ///
    /// # Errors
    /// Why it cannot be written: an id that is not safe, or none.
    pub fn prepare(
        &self,
        action: WireAction,
        id: Option<&str>,
        body: &JsValue,
        key: Option<&str>,
        version: Option<&str>,
    ) -> Result<JsValue, String> {
        let prepared = prepare(&self.0, action as u32, id, body, key, version);
        prepared.as_string().map_or(Ok(prepared), Err)
    }

    /// Sends what `prepare` gave. Settles in every case, at the latest when the timeout is over, with the facts of the answer as
    /// `custom::answer` reads them. What cannot be sent is answered as a server would that cannot process it.
    pub fn exchange(&self, request: &JsValue, action: WireAction) -> Promise {
        let all = action == WireAction::FetchAll;
        let composed = match compose(&self.0, request) {
            Ok(composed) => composed,
            Err(thrown) => return Promise::resolve(&unsendable(&message(&thrown))),
        };
        match composed.as_string() {
            None => {
                let composed: Array = composed.unchecked_into();
                let headers = headers_of(composed.get(2).unchecked_ref());
                exchange(&composed, &headers, &self.0, all || action == WireAction::FetchOne, all)
            }
            Some(reason) => Promise::resolve(&unsendable(&reason)),
        }
    }
}

/// The headers of what `compose` made, names and values in turn.
fn headers_of(lines: &Array) -> web_sys::Headers {
    let text = |at| lines.get(at).as_string().unwrap_or_default();
    let headers = Headers::new();
    for at in (0..lines.length()).step_by(2) {
        headers.set(&text(at), &text(at + 1));
    }
    headers.into_raw()
}

/// What was thrown, in words.
fn message(thrown: &JsValue) -> String {
    let message = Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| "the request failed".into())
}
