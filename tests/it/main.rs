//! The engine's native tests: rules that are tables, scenarios as stories, and a seeded simulation of crashes and faults.
#![cfg_attr(target_arch = "wasm32", allow(missing_docs, reason = "there is nothing in it for wasm"))]
#![cfg(not(target_arch = "wasm32"))]
#![allow(unreachable_pub, reason = "a test has no outside")]
#![allow(clippy::panic, reason = "that is how a test fails")]

mod conflicts;
mod fields;
mod fuzz;
mod ids;
mod lifecycle;
mod outcomes;
mod page;
mod paging;
mod reachability;
mod reads;
mod relations;
mod relations_at_random;
mod row;
mod schema;
mod senders;
mod simulation;
mod storage;
mod stories;
