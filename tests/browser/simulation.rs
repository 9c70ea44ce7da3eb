//! The engine under wasm gives the outputs that it gives on the host (invariant 13): whole histories of the simulation, by a
//! hash of everything that the engine said.

use wasm_bindgen_test::wasm_bindgen_test;

#[path = "../it/simulation/disk.rs"]
mod disk;
#[path = "../it/simulation/reference.rs"]
mod reference;
#[path = "../it/simulation/server.rs"]
mod server;
#[path = "../it/simulation/world.rs"]
mod world;

/// What the host has found for the first thousand seeds; `scripts/test.js` asks it and tells the compiler.
const ON_THE_HOST: Option<&str> = option_env!("CONCORDIA_SIMULATION_HASH");

#[wasm_bindgen_test]
fn a_thousand_histories_have_the_same_outputs_as_on_the_host() {
    let hash = world::World::hash_of_all(0..1_000).expect("histories that keep the invariants");
    let host = ON_THE_HOST.expect("built by `npm test -- browser`, which says what the host has found");
    assert_eq!(format!("{hash:016x}"), host);
}
