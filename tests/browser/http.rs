//! The HTTP room: its options and addresses, and every way in which `fetch` can end, with a stand-in for `fetch`.

use concordia::engine::error::Code;
use concordia::engine::outcome::{Answer, Body, Response};
use concordia::web::transporter::custom::answer;
use concordia::web::transporter::http::{
    HttpTransporter, WireAction, fill, has_id, is_json, is_safe_id, is_token, is_value, join, percent_encode,
};
use js_sys::{Function, JSON};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::wasm_bindgen_test;

const API: &str = "https://api.example.org/v1";

fn js(script: &str) -> JsValue {
    Function::new_no_args(script).call0(&JsValue::UNDEFINED).expect("a script without errors")
}

/// A transporter over the options given as a JS expression; `baseUrl` and `path` are there already.
fn transporter(options: &str) -> HttpTransporter {
    try_transporter(options).expect("good options")
}

fn try_transporter(options: &str) -> Result<HttpTransporter, concordia::engine::error::Fault> {
    HttpTransporter::new(&js(&format!("return {{baseUrl: '{API}', path: 'people', ...{options}}}")))
}

/// One request.
struct WireRequest {
    action: WireAction,
    id: Option<String>,
    body: JsValue,
    idempotency_key: Option<String>,
}

/// Prepares it and sends it, with no middleware in between.
async fn send(http: &HttpTransporter, wire: WireRequest) -> Answer<JsValue> {
    let prepared = http.prepare(wire.action, wire.id.as_deref(), &wire.body, wire.idempotency_key.as_deref(), None);
    let prepared = prepared.expect("prepared");
    let facts = JsFuture::from(http.exchange(&prepared, wire.action)).await.expect("settled");
    answer(facts.unchecked_ref())
}

/// A named option as it was read.
fn known(http: &HttpTransporter, name: &str) -> JsValue {
    js_sys::Reflect::get(http.options(), &name.into()).expect("an option")
}

fn request(action: WireAction, id: Option<&str>, body: &str) -> WireRequest {
    let body = js(&format!("return {body}"));
    WireRequest { action, id: id.map(Into::into), body, idempotency_key: Some("key-1".into()) }
}

/// Lets one request be answered by the body of an `async (request) => …`, and remembers what was asked.
async fn answered(options: &str, wire: WireRequest, fetch: &str) -> Answer<JsValue> {
    js(&format!(
        "globalThis.realFetch ??= globalThis.fetch; globalThis.asked = undefined;
         globalThis.fetch = (request) => {{ asked = request.clone(); {fetch} }}"
    ));
    let answer = send(&transporter(options), wire).await;
    js("globalThis.fetch = realFetch");
    answer
}

async fn got(fetch: &str) -> Answer<JsValue> {
    answered("{timeout: 300}", request(WireAction::FetchAll, None, "undefined"), fetch).await
}

fn response(answer: Answer<JsValue>) -> Response<JsValue> {
    match answer {
        Answer::Response(response) => response,
        other => panic!("no response: {other:?}"),
    }
}

fn json(body: &Body<JsValue>) -> String {
    match body {
        Body::Json(value) => JSON::stringify(value).expect("JSON").into(),
        other => format!("{other:?}"),
    }
}

fn asked(expression: &str) -> String {
    js(&format!("return String({expression})")).as_string().expect("text")
}

#[wasm_bindgen_test]
fn ids_are_percent_encoded_but_for_unreserved_characters() {
    assert_eq!(percent_encode("aZ09-._~"), "aZ09-._~");
    assert_eq!(percent_encode("a/b?c#d e+f%&:'()*!"), "a%2Fb%3Fc%23d%20e%2Bf%25%26%3A%27%28%29%2A%21");
    assert_eq!(percent_encode("ü→"), "%C3%BC%E2%86%92");
}

#[wasm_bindgen_test]
fn a_base_and_a_path_are_joined_by_one_slash() {
    for (base, path) in [("a", "b"), ("a/", "b"), ("a", "/b"), ("a//", "/b/")] {
        assert_eq!(join(base, path), "a/b");
    }
    assert_eq!(join("", "people"), "/people");
}

#[wasm_bindgen_test]
fn a_template_is_filled_in_one_pass() {
    assert_eq!(fill(":basePath/:id", "https://h:8080/a:id/b", "7"), "https://h:8080/a:id/b/7");
    assert_eq!(fill(":basePath/x/:id/:idea", "b", "7"), "b/x/7/:idea");
    assert!(has_id(":basePath/:id.json") && !has_id(":basePath/:idea"));
}

#[wasm_bindgen_test]
fn json_media_types_are_known_whatever_their_case_and_parameters() {
    for kind in ["application/json", "Application/JSON ; charset=utf-8", "application/problem+json", "x/y+JSON;a=b"] {
        assert!(is_json(kind), "{kind}");
    }
    for kind in ["", "json", "text/json", "text/html", "application/jsonp", "application/xml;x=application/json"] {
        assert!(!is_json(kind), "{kind}");
    }
}

#[wasm_bindgen_test]
fn header_names_are_tokens_and_values_one_visible_line() {
    assert!(is_token("X-Api_Key.1") && !is_token("") && !is_token("a b") && !is_token("a:"));
    for good in ["", "Bearer abc", "a\tb", "caf\u{e9}"] {
        assert!(is_value(good), "{good:?}");
    }
    for bad in ["a\r\nb", "a\nb", "a\0", " a", "a ", "→", "\u{7f}"] {
        assert!(!is_value(bad), "{bad:?}");
    }
}

#[wasm_bindgen_test]
fn ids_that_mean_another_resource_are_not_safe() {
    assert!(!is_safe_id("") && !is_safe_id(".") && !is_safe_id(".."));
    assert!(is_safe_id("...") && is_safe_id("a/..") && is_safe_id(" "));
}

#[wasm_bindgen_test]
fn every_bad_option_is_refused_by_name() {
    let table = [
        ("{path: undefined}", "path"),
        ("{path: 7}", "path"),
        ("{path: '/'}", "path"),
        ("{path: 'a?b=1'}", "path"),
        ("{baseUrl: 7}", "baseUrl"),
        ("{baseUrl: 'ftp://example.org'}", "baseUrl"),
        ("{baseUrl: 'https://'}", "baseUrl"),
        ("{baseUrl: 'https://u:p@example.org'}", "baseUrl"),
        ("{baseUrl: 'https://example.org?x=1'}", "baseUrl"),
        ("{headers: 'x'}", "headers"),
        ("{headers: {'X-N': 7}}", "headers"),
        ("{headers: {'X-Injected': 'a\\r\\nb'}}", "X-Injected"),
        ("{headers: {'a b': 'c'}}", "a b"),
        ("{credentials: 'always'}", "credentials"),
        ("{update: 'POST'}", "update"),
        ("{idempotencyKey: 7}", "idempotencyKey"),
        ("{idempotencyKey: 'a b'}", "idempotencyKey"),
        ("{timeout: 0}", "timeout"),
        ("{timeout: -1}", "timeout"),
        ("{timeout: NaN}", "timeout"),
        ("{timeout: Infinity}", "timeout"),
        ("{timeout: '5'}", "timeout"),
        ("{rows: 'data'}", "rows"),
        ("{conditional: 1}", "conditional"),
        ("{methods: {update: {method: 'PUT'}}}", "methods"),
        ("{methods: {remove: {method: 'PUT', pathTemplate: ':basePath'}}}", "remove"),
        ("{methods: {update: {method: 'PUT', pathTemplate: ':basePath'}}}", ":id"),
        ("{methods: {create: {method: 'GET', pathTemplate: ':basePath'}}}", "create"),
        ("{methods: {fetch: {method: 'TRACE', pathTemplate: ':basePath'}}}", "fetch"),
        ("{methods: {fetch: {method: 'GET', pathTemplate: 'https://evil.example/'}}}", "pathTemplate"),
        ("{live: 'ftp://example.org'}", "live"),
        ("{since: {param: 'since', from: 'Date'}}", "since"),
        ("{pages: 'next'}", "pages"),
        ("{deleted: 'deleted'}", "deleted"),
    ];
    for (options, name) in table {
        let fault = try_transporter(options).err().unwrap_or_else(|| panic!("accepted: {options}"));
        assert_eq!(fault.code, Code::Options, "{options}");
        assert!(fault.message.contains(name), "{options}: {}", fault.message);
    }
    assert!(HttpTransporter::new(&JsValue::UNDEFINED).is_err());
    assert!(HttpTransporter::new(&"people".into()).is_err());
}

#[wasm_bindgen_test]
fn a_relative_base_is_resolved_against_the_page() {
    let transporter = transporter("{baseUrl: '/api', conditional: true}");
    assert_eq!(known(&transporter, "origin"), js("return location.origin"));
    assert_eq!(known(&transporter, "path"), "people");
    assert_eq!(known(&transporter, "patches"), false);
}

#[wasm_bindgen_test]
async fn the_default_methods_and_addresses_are_those_of_rest() {
    let table = [
        (WireAction::Create, None, "{a: 1}", "POST https://api.example.org/v1/people"),
        (WireAction::Update, Some("7/8"), "{a: 1}", "PUT https://api.example.org/v1/people/7%2F8"),
        (WireAction::Delete, Some("7"), "undefined", "DELETE https://api.example.org/v1/people/7"),
        (WireAction::FetchOne, Some("7"), "undefined", "GET https://api.example.org/v1/people/7"),
        (WireAction::FetchAll, None, "undefined", "GET https://api.example.org/v1/people"),
    ];
    for (action, id, body, line) in table {
        answered("{}", request(action, id, body), "return new Response(null, {status: 204})").await;
        assert_eq!(asked("asked.method + ' ' + asked.url"), line);
        assert_eq!(
            asked("asked.redirect + asked.credentials + asked.headers.get('Accept')"),
            "errorsame-originapplication/json"
        );
        let kind = if body == "undefined" { "null" } else { "application/json" };
        assert_eq!(asked("asked.headers.get('Content-Type')"), kind);
        assert_eq!(asked("asked.headers.get('Idempotency-Key')"), "null", "another origin has not allowed it");
    }
}

#[wasm_bindgen_test]
async fn options_shape_the_request() {
    let options = "{update: 'PATCH', credentials: 'include', idempotencyKey: 'X-Once', headers: {'X-A': 'b', accept: 'application/hal+json'},
        methods: {delete: {method: 'post', pathTemplate: ':basePath/:id/gone'}}}";
    assert_eq!(known(&transporter(options), "patches"), true);
    let wire = request(WireAction::Update, Some("ü"), "JSON.parse('{\"n\": 1, \"__proto__\": {\"x\": 1}}')");
    answered(options, wire, "globalThis.text = request.text(); return new Response(null, {status: 204})").await;
    assert_eq!(asked("asked.method + ' ' + asked.url"), "PATCH https://api.example.org/v1/people/%C3%BC");
    assert_eq!(
        asked("[asked.credentials, ...['X-A', 'Accept', 'X-Once'].map(n => asked.headers.get(n))]"),
        "include,b,application/hal+json,key-1"
    );
    let text = wasm_bindgen_futures::JsFuture::from(js_sys::Promise::resolve(&js("return text"))).await.expect("text");
    assert_eq!(text.as_string().as_deref(), Some(r#"{"n":1,"__proto__":{"x":1}}"#));
    answered(options, request(WireAction::Delete, Some("7"), "undefined"), "return new Response()").await;
    assert_eq!(asked("asked.method + ' ' + asked.url"), "POST https://api.example.org/v1/people/7/gone");
    answered("{baseUrl: '/api'}", request(WireAction::Create, None, "{}"), "return new Response()").await;
    assert_eq!(asked("asked.headers.get('Idempotency-Key')"), "key-1", "by default on the own origin");
}

#[wasm_bindgen_test]
fn what_cannot_be_addressed_is_not_prepared() {
    let http = transporter("{}");
    for (id, why) in
        [(Some(".."), "cannot be put into a path"), (Some(""), "cannot be put into a path"), (None, "no key")]
    {
        let reason = http.prepare(WireAction::Update, id, &JsValue::UNDEFINED, None, None).expect_err("refused");
        assert!(reason.contains(why), "{id:?}: {reason}");
    }
}

#[wasm_bindgen_test]
async fn what_cannot_be_sent_is_answered_as_a_server_that_cannot_process_it() {
    let table = [
        (WireAction::Create, None, "(() => { const a = {}; a.a = a; return a })()", "circular"),
        (WireAction::Create, None, "({n: 1n})", "BigInt"),
    ];
    for (action, id, body, why) in table {
        let answer = response(answered("{}", request(action, id, body), "throw 'must not be asked'").await);
        assert_eq!((answer.status, &answer.body), (422, &Body::Empty));
        assert!(answer.text.as_ref().is_some_and(|text| text.contains(why)), "{:?}", answer.text);
        assert_eq!(asked("asked"), "undefined");
    }
}

#[wasm_bindgen_test]
async fn json_is_parsed_and_the_headers_are_handed_on() {
    let answer = response(
        got("return Promise.resolve(new Response('[{\"a\":\"ü\"}]', {status: 201, headers: {'Content-Type': 'application/json; charset=utf-8',
            'Retry-After': 'Fri, 31 Dec 1999 23:59:59 GMT', Location: '/people/7', ETag: '\"x\"'}}))")
        .await,
    );
    assert_eq!((answer.status, json(&answer.body).as_str(), answer.text), (201, r#"[{"a":"ü"}]"#, None));
    assert_eq!(answer.retry_after.as_deref(), Some("0"), "a date that is past");
    assert_eq!(answer.location.as_deref(), Some("/people/7"));
    assert_eq!(answer.version.as_deref(), Some("\"x\""));
}

#[wasm_bindgen_test]
async fn the_state_of_a_row_is_a_strong_tag_or_a_date_and_is_said_again_as_a_precondition() {
    let date = "Fri, 31 Dec 1999 23:59:59 GMT";
    let (home, elsewhere) = ("{timeout: 300, baseUrl: location.origin}", "{timeout: 300}");
    let cases = [
        (home, "ETag: '\"x\"', 'Last-Modified': '{date}'", Some("\"x\"")),
        // A weak tag never matches in `If-Match`.
        (home, "ETag: 'W/\"x\"', 'Last-Modified': '{date}'", Some(date)),
        (home, "ETag: 'W/\"x\"'", None),
        (elsewhere, "ETag: '\"x\"'", Some("\"x\"")),
        // Every server gives one, and few allow the header to others.
        (elsewhere, "'Last-Modified': '{date}'", None),
    ];
    for (options, headers, version) in cases {
        let headers = headers.replace("{date}", date);
        let fetch = format!("return Promise.resolve(new Response(null, {{status: 204, headers: {{{headers}}}}}))");
        let answer = response(answered(options, request(WireAction::FetchAll, None, "undefined"), &fetch).await);
        assert_eq!(answer.version.as_deref(), version, "{headers}");
    }
    let http = HttpTransporter::new(&js("return {path: 'people'}")).expect("options");
    for (version, name) in [("\"x\"", "If-Match"), (date, "If-Unmodified-Since")] {
        let body = JsValue::UNDEFINED;
        let prepared = http.prepare(WireAction::Delete, Some("7"), &body, None, Some(version)).expect("prepared");
        let headers = js_sys::Reflect::get(&prepared, &"headers".into()).expect("headers");
        let said = js_sys::Reflect::get(&headers, &name.into()).expect("a header").as_string();
        assert_eq!(said.as_deref(), Some(version));
    }
}

#[wasm_bindgen_test]
async fn a_retry_after_is_made_seconds_in_each_of_its_forms() {
    // Half a minute from now as IMF-fixdate, as RFC 850 wrote it, and as asctime() does.
    let forms = [
        "d.toUTCString()",
        "['Sunday','Monday','Tuesday','Wednesday','Thursday','Friday','Saturday'][d.getUTCDay()] + ', ' \
         + d.toUTCString().slice(5, 16).replaceAll(' ', '-').replace('-20', '-') + d.toUTCString().slice(16)",
        "d.toUTCString().replace(/^(...), (..) (...) (....) (........) GMT$/, '$1 $3 $2 $5 $4')",
    ];
    for form in forms {
        let script = format!(
            "const d = new Date(Date.now() + 30000); \
             return Promise.resolve(new Response('', {{status: 503, headers: {{'Retry-After': {form}}}}}))"
        );
        let seconds = response(got(&script).await).retry_after.and_then(|seconds| seconds.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| (27..=31).contains(&seconds)), "{form}: {seconds:?}");
    }
    for verbatim in ["120", "soon", "-1", "1.5", "7, 8", "1994-11-06T08:49:47Z", "Sun, 06 Nov 1994 08:49:47 CET"] {
        let script = format!(
            "return Promise.resolve(new Response('', {{status: 503, headers: {{'Retry-After': '{verbatim}'}}}}))"
        );
        assert_eq!(response(got(&script).await).retry_after.as_deref(), Some(verbatim));
    }
}

#[wasm_bindgen_test]
async fn bodies_are_what_their_type_and_bytes_say() {
    let table = [
        ("new Response('{\"__proto__\": {\"polluted\": 1}}', J)", r#"{"__proto__":{"polluted":1}}"#),
        ("new Response('\\ufeff[]', J)", "[]"),
        ("new Response('[1,', J)", "Malformed"),
        ("new Response('<html>', {headers: {'Content-Type': 'text/html'}})", "Foreign"),
        ("new Response(new Uint8Array([1]))", "Foreign"),
        ("new Response('', J)", "Empty"),
        ("new Response('', {headers: {'Content-Type': 'text/html'}})", "Empty"),
        ("new Response(null, {status: 205})", "Empty"),
        (
            "new Response('[]', {headers: {'Content-Type': 'application/json', 'Content-Length': '40000000'}})",
            "TooLarge",
        ),
        ("Object.defineProperty(new Response('[]', J), 'url', {value: 'https://portal.example/login'})", "Foreign"),
        ("Object.defineProperty(new Response('[]', J), 'url', {value: 'https://api.example.org/other'})", "[]"),
    ];
    for (made, expected) in table {
        let fetch =
            format!("const J = {{headers: {{'Content-Type': 'application/json'}}}}; return Promise.resolve({made})");
        let answer = response(got(&fetch).await);
        assert_eq!(json(&answer.body), expected, "{made}");
    }
    assert!(js("return ({}).polluted").is_undefined());
}

#[wasm_bindgen_test]
async fn a_refusal_keeps_its_text_and_its_json() {
    let problem = "const h = {'Content-Type': 'application/problem+json'}; return new Response('{\"title\": \"no\"}', {status: 422, headers: h})";
    let answer = response(got(problem).await);
    assert_eq!(
        (json(&answer.body).as_str(), answer.text.as_deref()),
        (r#"{"title":"no"}"#, Some("{\"title\": \"no\"}"))
    );
    let page = "return new Response('ü'.repeat(100000), {status: 500, headers: {'Content-Type': 'text/html'}})";
    let answer = response(got(page).await);
    assert_eq!(answer.body, Body::Foreign);
    assert_eq!(answer.text.map(|text| text.len()), Some(65536));
}

#[wasm_bindgen_test]
async fn every_rejection_of_fetch_is_an_answer() {
    let table = [
        ("return Promise.reject(new TypeError('Failed to fetch'))", "Failed to fetch"),
        ("return Promise.reject('a string')", "a string"),
        ("return Promise.reject(undefined)", "the request failed"),
        ("return Promise.reject(Symbol('x'))", "the request failed"),
        ("return Promise.reject(Object.create(null))", "the request failed"),
        ("throw new Error('at once')", "at once"),
        ("return Promise.resolve('not a response')", "not a response"),
        ("return Response.error()", "an answer that hides its status"),
    ];
    for (fetch, expected) in table {
        assert_eq!(got(fetch).await, Answer::Unreachable { message: expected.into() }, "{fetch}");
    }
    js("globalThis.realFetch ??= globalThis.fetch; delete globalThis.fetch; globalThis.fetch = undefined");
    let missing = send(&transporter("{}"), request(WireAction::FetchAll, None, "undefined")).await;
    js("globalThis.fetch = realFetch");
    assert!(matches!(missing, Answer::Unreachable { .. }), "{missing:?}");
}

#[wasm_bindgen_test]
async fn a_request_that_hangs_is_given_up_and_aborted() {
    let hangs = [
        "return new Promise(() => {})",
        "return new Promise((_, no) => request.signal.addEventListener('abort', () => no('aborted')))",
        "return new Response(new ReadableStream({pull() { return new Promise(() => {}) }}), {headers: {'Content-Type': 'application/json'}})",
    ];
    for hang in hangs {
        let begun = js_sys::Date::now();
        assert_eq!(got(&format!("globalThis.signal = request.signal; {hang}")).await, Answer::TimedOut, "{hang}");
        assert!((250.0..1500.0).contains(&(js_sys::Date::now() - begun)));
        assert!(js("return signal.aborted").is_truthy());
    }
}

#[wasm_bindgen_test]
async fn a_body_that_breaks_off_is_cut() {
    let broken = "let n = 0; return new Response(new ReadableStream({pull(c) { n++ ? c.error(new TypeError('reset')) : c.enqueue(new Uint8Array([91])) }}),
        {headers: {'Content-Type': 'application/json'}})";
    assert_eq!(got(broken).await, Answer::Cut);
    let odd = "return new Response(new ReadableStream({pull(c) { c.enqueue('text') }}), {headers: {'Content-Type': 'application/json'}})";
    assert_eq!(got(odd).await, Answer::Cut);
}

#[wasm_bindgen_test]
async fn a_body_without_end_is_given_up_at_the_cap() {
    let endless = "globalThis.sent = 0; globalThis.stopped = false; const chunk = new Uint8Array(1 << 20).fill(32);
        return new Response(new ReadableStream({pull(c) { if (++sent > 100) c.close(); else c.enqueue(chunk) }, cancel() { stopped = true }}),
        {headers: {'Content-Type': 'application/json'}})";
    let wire = request(WireAction::FetchAll, None, "undefined");
    assert_eq!(response(answered("{}", wire, endless).await).body, Body::TooLarge);
    assert!(js("return stopped && sent < 40").is_truthy());
}

#[wasm_bindgen_test]
async fn characters_split_over_chunks_stay_whole() {
    let split = "const bytes = new TextEncoder().encode('[\"ü→😀\"]'); return new Response(new ReadableStream({start(c) {
        for (const b of bytes) c.enqueue(new Uint8Array([b])); c.close() }}), {headers: {'Content-Type': 'application/json'}})";
    assert_eq!(json(&response(got(split).await).body), r#"["ü→😀"]"#);
}

#[wasm_bindgen_test]
async fn rows_takes_the_rows_out_of_an_envelope() {
    let enveloped = "return new Response('{\"data\": [1, 2]}', {headers: {'Content-Type': 'application/json'}})";
    let all = || request(WireAction::FetchAll, None, "undefined");
    let ask = async |options, wire| json(&response(answered(options, wire, enveloped).await).body);
    assert_eq!(ask("{rows: b => b.data}", all()).await, "[1,2]");
    assert_eq!(ask("{rows: b => b.no.data}", all()).await, "Malformed");
    let one = request(WireAction::FetchOne, Some("7"), "undefined");
    assert_eq!(ask("{rows: b => b.data}", one).await, r#"{"data":[1,2]}"#);
}

#[wasm_bindgen_test]
async fn requests_to_a_real_server_arrive() {
    // The test page's own server: whatever it answers, it is no JSON.
    let transporter = transporter("{baseUrl: '', path: 'no-such-collection'}");
    let answer = response(send(&transporter, request(WireAction::FetchAll, None, "undefined")).await);
    assert!(answer.status >= 400 && !matches!(answer.body, Body::Json(_)), "{answer:?}");
    let nobody =
        HttpTransporter::new(&js("return {baseUrl: 'http://127.0.0.1:9', path: 'people'}")).expect("good options");
    assert!(matches!(
        send(&nobody, request(WireAction::FetchAll, None, "undefined")).await,
        Answer::Unreachable { .. }
    ));
}
