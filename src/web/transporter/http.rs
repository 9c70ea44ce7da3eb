//! The HTTP room: one request, one answer, as facts.
//!
//! It owns how a request is built (by gloo-net) and what an answer's facts are called. It never retries, keeps no queue
//! and does not judge an answer: `engine::outcome` does.
//!
//! Reading options, sending and reading bodies are JavaScript (`http/*.js`): all of it is text, promises and streams that
//! live there, and the same in WebAssembly is three times as large.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use gloo_net::http::{Headers, Method, RequestBuilder};
use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::engine::error::{Code, Fault};
use crate::engine::outcome::{Answer, Body, Response};

#[wasm_bindgen(module = "/src/web/transporter/http/wire.js")]
extern "C" {
    type Options;
    #[wasm_bindgen(catch, js_name = readOptions)]
    fn read_options(given: &JsValue) -> Result<Options, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn origin(this: &Options) -> String;
    #[wasm_bindgen(method, getter)]
    fn path(this: &Options) -> String;
    #[wasm_bindgen(method, getter)]
    fn patches(this: &Options) -> bool;
}

#[wasm_bindgen(module = "/src/web/transporter/http/wire.js")]
extern "C" {
    /// Whether a media type is JSON.
    #[wasm_bindgen(js_name = isJson)]
    pub fn is_json(media_type: &str) -> bool;
    fn compose(options: &Options, action: u32, id: Option<&str>, body: &JsValue, key: Option<&str>) -> JsValue;
    fn exchange(request: &web_sys::Request, options: &Options, reading: bool, all: bool) -> Promise;
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
pub struct HttpTransporter(Rc<Known>);

struct Known {
    options: Options,
    origin: String,
    path: String,
    patches: bool,
}

/// What a request is to do.
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

/// One request.
#[derive(Clone, Debug)]
pub struct WireRequest {
    /// What to do.
    pub action: WireAction,
    /// The server's key of the item; needed for all but `Create` and `FetchAll`.
    pub id: Option<String>,
    /// A plain object for `JSON.stringify`, or `undefined` for a request without a body.
    pub body: JsValue,
    /// Sent in `Idempotency-Key`, if the options say so.
    pub idempotency_key: Option<String>,
}

impl HttpTransporter {
    /// `options`: the `HttpTransporterOptions` object of the public types.
    ///
    /// # Errors
    /// `E_OPTIONS`, naming the option and what to do.
    pub fn new(options: &JsValue) -> Result<Self, Fault> {
        let options = read_options(options).map_err(|thrown| Fault::new(Code::Options, message(&thrown)))?;
        let (origin, path, patches) = (options.origin(), options.path(), options.patches());
        Ok(Self(Rc::new(Known { options, origin, path, patches })))
    }

    /// `scheme://host:port`, without the port if it is the scheme's own.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// The option `path`, as it was given.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Whether an update sends only the edited fields.
    #[must_use]
    pub fn patches(&self) -> bool {
        self.0.patches
    }

    /// Sends the request. It settles in every case, at the latest when the timeout is over.
    ///
    /// A request that cannot be written (an id that is not safe, a body that is not JSON) is not sent, and answered as a
    /// server would that cannot process it: 422 with the reason as text.
    #[must_use]
    pub fn send(&self, request: WireRequest) -> Pin<Box<dyn Future<Output = Answer<JsValue>>>> {
        let known = Rc::clone(&self.0);
        Box::pin(async move {
            let built = match build(&known.options, &request) {
                Ok(built) => built,
                Err(reason) => return unsendable(&reason),
            };
            let all = request.action == WireAction::FetchAll;
            let reading = all || request.action == WireAction::FetchOne;
            match JsFuture::from(exchange(&built, &known.options, reading, all)).await {
                Ok(facts) => answer(facts.unchecked_ref()),
                Err(error) => Answer::Unreachable { message: message(&error) },
            }
        })
    }
}

fn unsendable(reason: &str) -> Answer<JsValue> {
    Answer::Response(Response {
        status: 422,
        body: Body::Empty,
        text: Some(["the request was not sent: ", reason].concat()),
        retry_after: None,
        location: None,
        version: None,
    })
}

/// The request, or why it cannot be written.
fn build(options: &Options, request: &WireRequest) -> Result<web_sys::Request, String> {
    let (id, key) = (request.id.as_deref(), request.idempotency_key.as_deref());
    let composed = compose(options, request.action as u32, id, &request.body, key);
    if let Some(reason) = composed.as_string() {
        return Err(reason);
    }
    let part = |at| composed.unchecked_ref::<Array>().get(at);
    let text = |at| part(at).as_string().unwrap_or_default();
    let built = RequestBuilder::new(&text(0))
        .method(Method::from_bytes(text(1).as_bytes()).unwrap_or_default())
        .headers(Headers::from_raw(part(2).unchecked_into()))
        .body(part(3));
    built.map(Into::into).map_err(|_| "the browser refused to build it".into())
}

/// The facts that `wire.js` found, under their names.
fn answer(facts: &Array) -> Answer<JsValue> {
    let text = |at| facts.get(at).as_string();
    let number = |at| facts.get(at).as_f64().unwrap_or_default() as u16;
    match number(0) {
        0 => return Answer::Unreachable { message: text(1).unwrap_or_default() },
        1 => return Answer::TimedOut,
        2 => return Answer::Cut,
        _ => {}
    }
    let body = match number(2) {
        0 => Body::Empty,
        1 => Body::Json(facts.get(3)),
        2 => Body::Malformed,
        3 => Body::Foreign,
        _ => Body::TooLarge,
    };
    let (retry_after, location, version) = (text(5), text(6), text(7));
    Answer::Response(Response { status: number(1), body, text: text(4), retry_after, location, version })
}

/// What was thrown, in words.
fn message(thrown: &JsValue) -> String {
    let message = Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| "the request failed".into())
}
