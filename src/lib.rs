//! concordia: offline-first item stores for web apps, over the REST API they already have.
//!
//! The crate has three rooms. `engine` decides, purely, and is all there is on the host. `web` carries out what the engine
//! decides, in a browser or under Node. `bindings` is what wasm exports to the npm package in `pkg/`. See
//! ARCHITECTURE.md for the map and the invariants.

#[cfg(target_arch = "wasm32")]
mod bindings;
pub mod engine;
#[cfg(target_arch = "wasm32")]
pub mod web;
