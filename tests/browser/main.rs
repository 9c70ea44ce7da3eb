//! The browser shell, in a real browser.
#![cfg_attr(not(target_arch = "wasm32"), allow(missing_docs, reason = "there is nothing in it on the host"))]
#![cfg(target_arch = "wasm32")]
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

mod http;
mod indexed_db;
#[path = "../it/row.rs"]
#[allow(dead_code, unreachable_pub, reason = "part of it is for native tests")]
mod row;
#[allow(dead_code, unreachable_pub, reason = "part of it is for native tests")]
mod simulation;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
