//! The body of an answer: read as a stream, up to a cap, and judged by its media type.
//!
//! It owns caps and decoding. The bytes stay in JavaScript all the way.

use js_sys::{JsString, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Url};

use crate::engine::outcome::Body;

/// The most bytes that are read of a body. A hundred thousand rows of eight fields are some 20 MiB of JSON; parsed they
/// take several times as much memory, and a phone's tab is killed at a few hundred MiB.
pub const CAP: u64 = 32 << 20;

/// The most bytes that are kept of the text of a refusal.
pub const TEXT_CAP: u64 = 64 << 10;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = TextDecoder)]
    type Decoder;
    #[wasm_bindgen(constructor, js_class = "TextDecoder")]
    fn new() -> Decoder;
    #[wasm_bindgen(method)]
    fn decode(this: &Decoder, chunk: &Uint8Array, options: &JsValue) -> JsString;

    // js-sys takes a Rust string: the text would be copied into wasm and back.
    #[wasm_bindgen(catch, js_namespace = JSON, js_name = parse)]
    fn parse_json(text: &JsString) -> Result<JsValue, JsValue>;
}

/// Whether the media type is JSON: `application/json` or one with the suffix `+json` (RFC 6839), whatever its
/// parameters.
#[must_use]
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some((kind, name)) = essence.split_once('/') else { return false };
    let ends_with_json = name.len().checked_sub(5).and_then(|at| name.get(at..));
    (kind.eq_ignore_ascii_case("application") && name.eq_ignore_ascii_case("json"))
        || ends_with_json.is_some_and(|end| end.eq_ignore_ascii_case("+json"))
}

/// The body broke off.
#[derive(Debug)]
pub struct Cut;

/// What the body is, and its text if the status is 400 or more.
///
/// # Errors
/// [`Cut`] when the stream breaks.
pub async fn read(response: &web_sys::Response, origin: &str) -> Result<(Body<JsValue>, Option<String>), Cut> {
    let status = response.status();
    let stream = response.body();
    // An answer made by a service worker may have no address; any other must be the API's own.
    let address = response.url();
    let foreign = !address.is_empty() && Url::new(&address).map_or(true, |url| url.origin() != origin);
    let refused = status >= 400 && !foreign;
    let json = !foreign && response.headers().get("Content-Type").ok().flatten().is_some_and(|kind| is_json(&kind));
    let cap = if json {
        CAP
    } else if refused {
        TEXT_CAP
    } else {
        0
    };
    let Some(stream) = stream.filter(|_| !matches!(status, 204 | 205 | 304)) else {
        return Ok((if foreign { Body::Foreign } else { Body::Empty }, None));
    };
    let Ok(reader) = stream.get_reader().dyn_into::<ReadableStreamDefaultReader>() else { return Err(Cut) };
    let announced = response.headers().get("Content-Length").ok().flatten().and_then(|length| length.parse().ok());
    if foreign || (json && !refused && announced.is_some_and(|length: u64| length > CAP)) {
        give_up(&reader);
        return Ok((if foreign { Body::Foreign } else { Body::TooLarge }, None));
    }
    let content = content(&reader, cap).await?;
    let text = refused.then(|| excerpt(&content.text));
    let body = match content {
        Content { bytes: 0, .. } => Body::Empty,
        _ if !json => Body::Foreign,
        Content { bytes, .. } if bytes > cap => Body::TooLarge,
        Content { text, .. } => parse(&text),
    };
    Ok((body, text))
}

struct Content {
    text: JsString,
    bytes: u64,
}

/// Reads until the end, or until there are more bytes than the cap.
async fn content(reader: &ReadableStreamDefaultReader, cap: u64) -> Result<Content, Cut> {
    let decoder = Decoder::new();
    let more = Object::new();
    let _ = Reflect::set(&more, &"stream".into(), &JsValue::TRUE);
    let mut content = Content { text: "".into(), bytes: 0 };
    loop {
        let step = JsFuture::from(reader.read()).await.map_err(|_| Cut)?;
        let done = Reflect::get(&step, &"done".into()).map_err(|_| Cut)?;
        if done.is_truthy() {
            let rest = decoder.decode(&Uint8Array::new_with_length(0), &JsValue::UNDEFINED);
            content.text = content.text.concat(&rest);
            return Ok(content);
        }
        let chunk = Reflect::get(&step, &"value".into()).ok().and_then(|value| value.dyn_into::<Uint8Array>().ok());
        let Some(chunk) = chunk else {
            give_up(reader);
            return Err(Cut);
        };
        content.bytes += u64::from(chunk.byte_length());
        if cap > 0 {
            content.text = content.text.concat(&decoder.decode(&chunk, &more));
        }
        if content.bytes > cap {
            give_up(reader);
            return Ok(content);
        }
    }
}

/// Tells the browser to stop downloading. Nobody waits for it, and a failure changes nothing.
fn give_up(reader: &ReadableStreamDefaultReader) {
    let cancelled = reader.cancel();
    wasm_bindgen_futures::spawn_local(async move {
        let _ = JsFuture::from(cancelled).await;
    });
}

/// The parsed value is handed on as it is: copied property by property, an own `__proto__` would become a prototype.
fn parse(text: &JsString) -> Body<JsValue> {
    match parse_json(text) {
        Ok(value) => Body::Json(value),
        Err(_) => Body::Malformed,
    }
}

/// At most [`TEXT_CAP`] bytes of the text.
fn excerpt(text: &JsString) -> String {
    let mut excerpt = String::from(text.slice(0, TEXT_CAP as u32));
    let mut end = excerpt.len().min(TEXT_CAP as usize);
    while !excerpt.is_char_boundary(end) {
        end -= 1;
    }
    excerpt.truncate(end);
    excerpt
}
