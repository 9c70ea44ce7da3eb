//! A client storage written in page script: what `pkg/link.js` makes of it.
//!
//! Owns the names by which script is asked, and what its failures are called. Script answers by calling `loaded` and `persisted`.
//! Knows nothing of items, edits or requests.

use js_sys::{Array, Reflect};
use wasm_bindgen::prelude::*;

use crate::engine::error::StorageFailure;

#[wasm_bindgen]
extern "C" {
    /// One store's client storage. Its methods never throw.
    #[derive(Clone)]
    pub type Keeper;
    /// All records.
    #[wasm_bindgen(method, structural)]
    pub fn load(this: &Keeper, store: u16);
    /// Writes records and erases others; what needs no waiting is done when it returns. `items` are those of both, in order.
    #[wasm_bindgen(method, structural)]
    pub fn write(this: &Keeper, command: u32, records: &Array, erased: &Array, items: &[u32]);
}

/// What a storage's error means: nothing is known to be written, and the same is written again. `undefined`: there was none.
///
/// # Errors
/// If there was one.
pub fn outcome(error: &JsValue) -> Result<(), StorageFailure> {
    if error.is_undefined() {
        return Ok(());
    }
    let text = |name: &str| Reflect::get(error, &name.into()).ok().and_then(|value| value.as_string());
    let is_full = text("name").is_some_and(|name| name == "QuotaExceededError");
    if is_full || text("code").is_some_and(|code| code == "E_QUOTA") {
        return Err(StorageFailure::Quota);
    }
    Err(StorageFailure::Aborted(text("message").unwrap_or_else(|| "the client storage failed".into())))
}
