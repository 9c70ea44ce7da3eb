//! The engine's native tests: rules that are tables, scenarios as stories, and a seeded simulation of crashes and faults.
#![cfg(not(target_arch = "wasm32"))]
#![allow(unreachable_pub, reason = "a test has no outside")]

mod lifecycle;
mod outcomes;
mod page;
mod row;
mod simulation;
mod stories;
