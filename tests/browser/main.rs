//! The browser shell, in a real browser.
#![cfg_attr(not(target_arch = "wasm32"), allow(missing_docs, reason = "there is nothing in it on the host"))]
#![cfg(target_arch = "wasm32")]
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

mod http;
mod indexed_db;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
