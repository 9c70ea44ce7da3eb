//! The options of an `HttpTransporter`: read once, checked once.
//!
//! It owns what is allowed and the sentence for what is not. What the options do is in `http`.

use gloo_net::http::Method;
use js_sys::{Function, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{RequestCredentials, Url};

use super::{WireAction, header, is_safe_id, url};
use crate::engine::error::{Code, Fault};

/// Half a minute: longer than any API takes, shorter than people wait.
const DEFAULT_TIMEOUT_MS: f64 = 30_000.0;

/// The most that `setTimeout` can count; beyond it fires at once.
const LONGEST_TIMEOUT_MS: f64 = 2_147_483_647.0;

/// Options of the public types that this version does not have yet.
const LATER: [&str; 4] = ["since", "pages", "live", "offlineChecker"];

/// The names of the actions in the option `methods`, in the order of the routes.
const ACTIONS: [&str; 5] = ["create", "update", "delete", "fetch", "fetchOne"];

/// The options, checked.
pub struct Options {
    /// `scheme://host:port`.
    pub origin: String,
    /// The option `path`, as given.
    pub path: String,
    /// What `:basePath` stands for: absolute.
    pub base_path: String,
    /// Headers for every request.
    pub headers: Vec<(String, String)>,
    /// When cookies are sent.
    pub credentials: RequestCredentials,
    /// Whether an update sends only the edited fields.
    pub patches: bool,
    /// The header for idempotency keys, if they are sent.
    pub idempotency_key: Option<String>,
    /// Milliseconds for one request.
    pub timeout_ms: f64,
    /// Takes the rows out of an enveloping body.
    pub rows: Option<Function>,
    routes: [Route; 5],
}

/// How one action is put into a request.
pub struct Route {
    /// The request's method.
    pub method: Method,
    template: String,
}

impl Route {
    /// The address for an id, or why there is none.
    ///
    /// # Errors
    /// When the id is missing, or cannot be put into a path.
    pub fn address(&self, base_path: &str, id: Option<&str>) -> Result<String, String> {
        match id {
            _ if !url::has(&self.template, "id") => Ok(url::fill(&self.template, base_path, "")),
            Some(id) if is_safe_id(id) => Ok(url::fill(&self.template, base_path, &url::percent_encode(id))),
            Some(_) => Err("the item's key cannot be put into a path".into()),
            None => Err("the item has no key yet".into()),
        }
    }
}

impl Options {
    /// Reads and checks the options.
    ///
    /// # Errors
    /// `E_OPTIONS`, naming the option and what to do.
    pub fn read(given: &JsValue) -> Result<Self, Fault> {
        if !given.is_object() {
            return Err(fault("HttpTransporter", "needs an object of options, for instance {path: \"people\"}"));
        }
        if let Some(name) = LATER.iter().find(|name| !get(given, name).is_undefined()) {
            return Err(fault(name, "is not available in this version yet; leave it out"));
        }
        flag(given, "conditional", true)?;
        let path = text(given, "path")?.unwrap_or_default();
        if path.trim_matches('/').is_empty() || path.contains(['?', '#']) {
            return Err(fault("path", "must be the path of the collection, for instance \"people\", without a query"));
        }
        let base = resolve(&text(given, "baseUrl")?.unwrap_or_default(), &path)?;
        let patches = match text(given, "update")?.as_deref() {
            None | Some("PUT") => false,
            Some("PATCH") => true,
            Some(_) => return Err(fault("update", "must be \"PUT\" or \"PATCH\"")),
        };
        let origin = base.origin();
        let options = Self {
            base_path: base.href().trim_end_matches('/').to_owned(),
            path,
            headers: headers(given)?,
            credentials: credentials(given)?,
            patches,
            idempotency_key: idempotency_key(given, &origin)?,
            timeout_ms: timeout(given)?,
            rows: rows(given)?,
            routes: routes(given, patches)?,
            origin,
        };
        options.check_origins()?;
        Ok(options)
    }

    /// The route of an action.
    #[must_use]
    pub fn route(&self, action: WireAction) -> &Route {
        let [create, update, delete, fetch_all, fetch_one] = &self.routes;
        match action {
            WireAction::Create => create,
            WireAction::Update => update,
            WireAction::Delete => delete,
            WireAction::FetchAll => fetch_all,
            WireAction::FetchOne => fetch_one,
        }
    }

    /// A template must not lead to another server: headers and cookies go to their own origin only.
    fn check_origins(&self) -> Result<(), Fault> {
        for route in &self.routes {
            let address = url::fill(&route.template, &self.base_path, "1");
            if Url::new(&address).map_or(true, |url| url.origin() != self.origin) {
                return Err(fault("methods", "has a pathTemplate that leads elsewhere; begin it with :basePath"));
            }
        }
        Ok(())
    }
}

fn fault(option: &str, what: &str) -> Fault {
    Fault::new(Code::Options, ["the option `", option, "` ", what].concat())
}

fn get(options: &JsValue, name: &str) -> JsValue {
    Reflect::get(options, &name.into()).unwrap_or_default()
}

fn text(options: &JsValue, name: &str) -> Result<Option<String>, Fault> {
    match get(options, name) {
        value if value.is_undefined() => Ok(None),
        value => value.as_string().map(Some).ok_or_else(|| fault(name, "must be a string")),
    }
}

fn flag(options: &JsValue, name: &str, default: bool) -> Result<bool, Fault> {
    match get(options, name) {
        value if value.is_undefined() => Ok(default),
        value => value.as_bool().ok_or_else(|| fault(name, "must be true or false")),
    }
}

/// The address of the collection.
fn resolve(base_url: &str, path: &str) -> Result<Url, Fault> {
    if base_url.contains(['?', '#']) {
        return Err(fault("baseUrl", "must not have a query or a fragment"));
    }
    // On its own first: joined with a path, "https://" would make the path a host.
    let base = if base_url.is_empty() { "/" } else { base_url };
    let resolved = match page() {
        Some(page) => Url::new_with_base(base, &page),
        None => Url::new(base),
    };
    let url = resolved.and_then(|base| Url::new(&url::join(&base.href(), path))).map_err(|_| {
        fault("baseUrl", "must be an address, and an absolute one (\"https://example.org/api\") where there is no page")
    })?;
    if !matches!(url.protocol().as_str(), "http:" | "https:") {
        return Err(fault("baseUrl", "must lead to an http: or https: address"));
    }
    if !url.username().is_empty() || !url.password().is_empty() {
        return Err(fault("baseUrl", "must not hold a user or a password; use the option `headers`"));
    }
    Ok(url)
}

/// The address of the page, or of the worker; nothing under Node.
fn page() -> Option<String> {
    let global = js_sys::global();
    let document = get(&get(&global, "document"), "baseURI").as_string();
    document.or_else(|| get(&get(&global, "location"), "href").as_string())
}

fn headers(options: &JsValue) -> Result<Vec<(String, String)>, Fault> {
    let mut headers = Vec::new();
    for (name, value) in entries(options, "headers")? {
        if !header::is_token(&name) {
            return Err(fault("headers", &["has the name `", &name, "`, which no header can have"].concat()));
        }
        let Some(value) = value.as_string().filter(|value| header::is_value(value)) else {
            let what =
                ["has for ", &name, " a value that is no text, or has a line break or such that no header can hold"];
            return Err(fault("headers", &what.concat()));
        };
        headers.push((name, value));
    }
    Ok(headers)
}

/// The names and values of an option that is an object; none if it is left out.
fn entries(options: &JsValue, name: &str) -> Result<Vec<(String, JsValue)>, Fault> {
    let given = get(options, name);
    if given.is_undefined() {
        return Ok(Vec::new());
    }
    if !given.is_object() {
        return Err(fault(name, "must be an object"));
    }
    let keys = Object::keys(given.unchecked_ref::<Object>());
    Ok(keys.iter().filter_map(|key| key.as_string()).map(|key| (key.clone(), get(&given, &key))).collect())
}

fn credentials(options: &JsValue) -> Result<RequestCredentials, Fault> {
    match text(options, "credentials")?.as_deref() {
        None | Some("same-origin") => Ok(RequestCredentials::SameOrigin),
        Some("include") => Ok(RequestCredentials::Include),
        Some("omit") => Ok(RequestCredentials::Omit),
        Some(_) => Err(fault("credentials", "must be \"same-origin\", \"include\" or \"omit\"")),
    }
}

/// By default only where no other server must allow the header. Node has no origin, and asks nobody.
fn idempotency_key(options: &JsValue, origin: &str) -> Result<Option<String>, Fault> {
    let given = get(options, "idempotencyKey");
    let name = match given.as_string() {
        Some(name) if header::is_token(&name) => return Ok(Some(name)),
        Some(_) => return Err(fault("idempotencyKey", "must be true, false or the name of a header")),
        None => "Idempotency-Key",
    };
    let here = get(&get(&js_sys::global(), "location"), "origin").as_string();
    let wanted = flag(options, "idempotencyKey", here.is_none_or(|here| here == origin))?;
    Ok(wanted.then(|| name.to_owned()))
}

fn timeout(options: &JsValue) -> Result<f64, Fault> {
    let given = get(options, "timeout");
    if given.is_undefined() {
        return Ok(DEFAULT_TIMEOUT_MS);
    }
    match given.as_f64() {
        Some(ms) if ms > 0.0 && ms <= LONGEST_TIMEOUT_MS => Ok(ms),
        _ => Err(fault("timeout", "must be a number of milliseconds, more than 0 and at most 2147483647")),
    }
}

fn rows(options: &JsValue) -> Result<Option<Function>, Fault> {
    match get(options, "rows") {
        value if value.is_undefined() => Ok(None),
        value => value.dyn_into().map(Some).map_err(|_| fault("rows", "must be a function, for instance b => b.data")),
    }
}

fn routes(options: &JsValue, patches: bool) -> Result<[Route; 5], Fault> {
    let route = |method, template: &str| Route { method, template: template.to_owned() };
    let update = if patches { Method::PATCH } else { Method::PUT };
    let mut routes = [
        route(Method::POST, ":basePath"),
        route(update, ":basePath/:id"),
        route(Method::DELETE, ":basePath/:id"),
        route(Method::GET, ":basePath"),
        route(Method::GET, ":basePath/:id"),
    ];
    for (action, given) in entries(options, "methods")? {
        let place = ACTIONS.iter().position(|name| *name == action);
        let Some(route) = place.and_then(|place| routes.get_mut(place)) else {
            return Err(fault("methods", &["has ", &action, ", which is no action of this version"].concat()));
        };
        let (method, template) = (get(&given, "method").as_string(), get(&given, "pathTemplate").as_string());
        let (Some(method), Some(template)) = (method, template) else {
            return Err(fault("methods", "must map an action to {method, pathTemplate}, both strings"));
        };
        // Without the id every item would have the same address.
        if url::has(&route.template, "id") && !url::has(&template, "id") {
            return Err(fault("methods", &["has for ", &action, " a pathTemplate without :id"].concat()));
        }
        let carries = matches!(action.as_str(), "create" | "update");
        let Some(method) = method_named(&method.to_ascii_uppercase(), carries) else {
            return Err(fault("methods", &["has for ", &action, " a method that it cannot be sent with"].concat()));
        };
        *route = Route { method, template };
    }
    Ok(routes)
}

/// The method, if browsers send it; `carries`: with a body.
fn method_named(name: &str, carries: bool) -> Option<Method> {
    let refused = matches!(name, "CONNECT" | "TRACE" | "TRACK") || (carries && matches!(name, "GET" | "HEAD"));
    if refused { None } else { Method::from_bytes(name.as_bytes()).ok() }
}
