//! What wasm exports to the package: handles and short methods. No rule lives here.
//!
//! A refusal is thrown as `{code, message, status?, body?}`; the package makes it a `ConcordiaError`.

#![allow(unreachable_pub, reason = "what wasm exports is reached from JavaScript")]

mod options;
mod store;

use wasm_bindgen::prelude::*;

use crate::{engine::error::Fault, web::record::fault_object};

type Thrown<T> = Result<T, JsValue>;

#[allow(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn thrown(fault: Fault) -> JsValue {
    fault_object(&fault)
}

/// Makes the page's engine. `page` has the callbacks `changed`, `settled` and `turned`.
#[wasm_bindgen]
pub fn start(page: &JsValue) {
    crate::web::driver::start(page);
}

/// Whether the engine still works. A trap in the middle of a step leaves it borrowed for ever.
#[wasm_bindgen(js_name = isSound)]
pub fn is_sound() -> bool {
    crate::web::driver::driver().is_ok_and(|driver| driver.read(|_| ()).is_ok())
}
