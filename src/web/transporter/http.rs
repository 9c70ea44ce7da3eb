//! The HTTP room: one request, one answer, as facts.
//!
//! It owns how a request is built (by gloo-net), sent, limited in time and size, and how the answer's body is read. It
//! never retries, keeps no queue and does not judge an answer: `engine::outcome` does.
//!
//! `fetch` is bound here by hand: gloo-net panics when it rejects with something that is not an `Error`.

pub mod body;
pub mod header;
pub mod options;
pub mod url;

use std::future::Future;
use std::rc::Rc;

use futures_util::future::{Either, select};
use gloo_net::http::RequestBuilder;
use js_sys::{Function, JSON, Promise, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestCache, RequestRedirect};

use crate::engine::error::Fault;
use crate::engine::outcome::{Answer, Body, Response};
use options::Options;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = fetch)]
    fn fetch(request: &web_sys::Request) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, ms: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

/// One REST collection of one server. Cheap to clone.
#[derive(Clone)]
pub struct HttpTransporter(Rc<Options>);

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

/// True for an id that can be put into a path. `.` and `..` mean another resource even when percent-encoded (RFC 3986,
/// section 5.2.4), and the empty id means the collection.
#[must_use]
pub fn is_safe_id(id: &str) -> bool {
    !matches!(id, "" | "." | "..")
}

impl HttpTransporter {
    /// `options`: the `HttpTransporterOptions` object of the public types.
    ///
    /// # Errors
    /// `E_OPTIONS`, naming the option and what to do.
    pub fn new(options: &JsValue) -> Result<Self, Fault> {
        Ok(Self(Rc::new(Options::read(options)?)))
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
    pub fn send(&self, request: WireRequest) -> impl Future<Output = Answer<JsValue>> + 'static + use<> {
        let options = Rc::clone(&self.0);
        async move {
            let Ok(controller) = AbortController::new() else {
                return Answer::Unreachable { message: "there is no AbortController".into() };
            };
            let raw = match build(&options, &request, &controller) {
                Ok(raw) => raw,
                Err(reason) => return unsendable(&reason),
            };
            let deadline = Deadline::new(options.timeout_ms);
            let work = Box::pin(exchange(&options, request.action, raw));
            let answer = match select(work, JsFuture::from(deadline.over.clone())).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => {
                    controller.abort();
                    Answer::TimedOut
                }
            };
            drop(deadline);
            answer
        }
    }
}

fn unsendable(reason: &str) -> Answer<JsValue> {
    let text = Some(["the request was not sent: ", reason].concat());
    Answer::Response(Response {
        status: 422,
        body: Body::Empty,
        text,
        retry_after: None,
        location: None,
        version: None,
    })
}

/// The request, or why it cannot be written.
fn build(options: &Options, request: &WireRequest, controller: &AbortController) -> Result<web_sys::Request, String> {
    let route = options.route(request.action);
    let address = route.address(&options.base_path, request.id.as_deref())?;
    let mut builder = RequestBuilder::new(&address)
        .method(route.method.clone())
        .credentials(options.credentials)
        .redirect(RequestRedirect::Error)
        .abort_signal(Some(&controller.signal()))
        .header("Accept", "application/json");
    if matches!(request.action, WireAction::FetchAll | WireAction::FetchOne) {
        // The browser's cache may keep a collection for days if the server says nothing; revalidating is right.
        builder = builder.cache(RequestCache::NoCache);
    }
    let text = match request.body.is_undefined() {
        true => JsValue::UNDEFINED,
        false => JSON::stringify(&request.body).map_err(|error| message(&error))?.into(),
    };
    if !text.is_undefined() {
        builder = builder.header("Content-Type", "application/json");
    }
    for (name, value) in &options.headers {
        builder = builder.header(name, value);
    }
    if let (Some(name), Some(key)) = (&options.idempotency_key, &request.idempotency_key)
        && header::is_value(key)
    {
        builder = builder.header(name, key);
    }
    let built = if text.is_undefined() { builder.build() } else { builder.body(text) };
    match built {
        Ok(request) => Ok(request.into()),
        Err(_) => Err("the browser refused to build it".into()),
    }
}

/// Sends, and reads the answer.
async fn exchange(options: &Options, action: WireAction, request: web_sys::Request) -> Answer<JsValue> {
    let fetched = match fetch(&request) {
        Ok(promise) => JsFuture::from(Promise::resolve(&promise)).await,
        Err(error) => Err(error),
    };
    let response = match fetched.and_then(JsCast::dyn_into::<web_sys::Response>) {
        Ok(response) if response.status() >= 200 => response,
        Ok(_) => return Answer::Unreachable { message: "an answer that hides its status".into() },
        Err(error) => return Answer::Unreachable { message: message(&error) },
    };
    let Ok((mut body, text)) = body::read(&response, &options.origin).await else { return Answer::Cut };
    let status = response.status();
    if let (Body::Json(json), Some(rows), WireAction::FetchAll, 200..=299) = (&body, &options.rows, action, status) {
        body = match rows.call1(&JsValue::UNDEFINED, json) {
            Ok(rows) => Body::Json(rows),
            Err(_) => Body::Malformed,
        };
    }
    let headers = response.headers();
    let header = |name| headers.get(name).ok().flatten();
    Answer::Response(Response {
        status,
        body,
        text,
        retry_after: header("Retry-After"),
        location: header("Location"),
        version: header("ETag"),
    })
}

/// What was thrown, in words, whatever it is.
fn message(thrown: &JsValue) -> String {
    let of_error = Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string());
    of_error.or_else(|| thrown.as_string()).unwrap_or_else(|| "the request failed".into())
}

/// A promise that resolves when the time is over, or when this is dropped: who waits for it is never left behind.
struct Deadline {
    over: Promise,
    end: Option<Function>,
    timer: JsValue,
}

impl Deadline {
    fn new(ms: f64) -> Self {
        let mut end = None;
        let over = Promise::new(&mut |resolve: Function, _| end = Some(resolve));
        let timer = end.as_ref().map_or(JsValue::UNDEFINED, |end| set_timeout(end, ms));
        Self { over, end, timer }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        clear_timeout(&self.timer);
        if let Some(end) = &self.end {
            let _ = end.call0(&JsValue::UNDEFINED);
        }
    }
}
