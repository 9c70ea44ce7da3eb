//! concordia
#![allow(missing_docs)]
pub mod engine;
#[cfg(target_arch = "wasm32")]
pub mod web;
