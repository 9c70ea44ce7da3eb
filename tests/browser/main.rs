#![cfg(target_arch = "wasm32")]
//! The browser shell, in a real browser.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

mod http;
mod indexed_db;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
