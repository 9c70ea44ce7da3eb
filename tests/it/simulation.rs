//! Thousands of histories, each from a seed: app, engine, disk, network and server, with crashes and faults at any step.
//!
//! `SEED=42 cargo test --test it simulation -- --nocapture` lives one history and prints its steps. `HISTORIES=1000000`
//! and `FROM=7` say how many, and from which seed on.

mod disk;
mod reference;
mod server;
mod world;

use std::{panic, thread};

use world::{Tally, World};

/// How many histories `cargo test` lives.
const HISTORIES: u64 = 20_000;
/// Threads that share them.
const THREADS: u64 = 2;

/// Lives one history; the report if an invariant is broken.
fn live(seed: u64) -> Result<Tally, String> {
    let attempt = |steps: bool| {
        let mut world = World::new(seed);
        world.steps = steps.then(String::new);
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| world.run()));
        (world, result)
    };
    let (world, result) = attempt(false);
    let Err(text) = verdict(result) else { return Ok(world.tally) };
    let (world, _) = attempt(true);
    Err(format!("SEED={seed}\n{}{}\nSEED={seed} {text}", world.steps.as_deref().unwrap_or_default(), world.describe()))
}

fn verdict(result: thread::Result<reference::Check>) -> Result<(), String> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(violation)) => Err(format!("[{}] {}", violation.invariant, violation.text)),
        Err(_) => Err("[panic]".into()),
    }
}

fn count(name: &str, default: u64) -> u64 {
    #[allow(clippy::disallowed_methods, reason = "how many histories, and which, is for the person to say")]
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn every_invariant_holds_in_every_history() {
    let seed = count("SEED", u64::MAX);
    if seed != u64::MAX {
        let mut world = World::new(seed);
        world.steps = Some(String::new());
        let result = world.run();
        println!("{}\n{}{result:?}", world.steps.as_deref().unwrap_or_default(), world.describe());
        assert!(result.is_ok(), "{result:?}");
        return;
    }
    let (histories, from) = (count("HISTORIES", HISTORIES), count("FROM", 0));
    let live_all = |part: u64| {
        let mut tally = Tally::default();
        for seed in (from + part..from + histories).step_by(usize::try_from(THREADS).unwrap_or(1)) {
            tally.add(live(seed).map_err(|report| (seed, report))?);
        }
        Ok::<_, (u64, String)>(tally)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|part| scope.spawn(move || live_all(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut tally = Tally::default();
    for result in results {
        match result {
            Ok(part) => tally.add(part),
            Err((_, report)) => panic!("{report}"),
        }
    }
    println!(
        "{} histories: {} steps, {} edits, {} requests, {} crashes, {} faults",
        tally.histories, tally.steps, tally.edits, tally.requests, tally.crashes, tally.faults
    );
}

/// Invariant 13.
#[test]
fn the_same_seed_gives_the_same_outputs() {
    let hash = |seed| {
        let mut world = World::new(seed);
        world.hash = Some(0xcbf2_9ce4_8422_2325);
        assert!(world.run().is_ok());
        world.hash
    };
    for seed in 0..300 {
        assert_eq!(hash(seed), hash(seed), "SEED={seed}");
    }
}
