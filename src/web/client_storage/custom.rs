//! A client storage written in page script: what `pkg/link.js` makes of it.
//!
//! Owns the names by which script is asked, and what its failures are called. Knows nothing of items, edits or requests.

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::engine::error::StorageFailure;

#[wasm_bindgen]
extern "C" {
    /// One store's client storage. Its methods never throw, and settle in every case.
    #[derive(Clone)]
    pub type Keeper;
    /// All records.
    #[wasm_bindgen(method, structural)]
    pub fn load(this: &Keeper) -> Promise;
    /// Writes records and erases others; what needs no waiting is done when it returns. `items` are those of both, in order.
    #[wasm_bindgen(method, structural)]
    pub fn write(this: &Keeper, records: &Array, erased: &Array, items: &[u32]) -> Promise;
}

/// What a storage's promise settles with.
///
/// # Errors
/// When it rejects: nothing is known to be written, and the same is written again.
pub async fn outcome(promise: Promise) -> Result<JsValue, StorageFailure> {
    JsFuture::from(promise).await.map_err(|error| {
        let text = |name: &str| Reflect::get(&error, &name.into()).ok().and_then(|value| value.as_string());
        match (text("name").as_deref(), text("code").as_deref()) {
            (Some("QuotaExceededError"), _) | (_, Some("E_QUOTA")) => StorageFailure::Quota,
            _ => StorageFailure::Aborted(text("message").unwrap_or_else(|| "the client storage failed".into())),
        }
    })
}
