//! Thousands of histories, each from a seed: app, engine, disk, network and server, with crashes and faults at any step.
//!
//! `npm run simulate -- --seed 42` lives one history and prints its steps, `npm run simulate -- --histories 1000000
//! --from 7` as many from that seed on. A history that breaks an invariant is shortened first, and printed.

mod disk;
mod every_step;
mod reference;
mod seeds;
mod server;
mod shorten;
mod tabs;
mod world;

use std::thread;

use shorten::{shorten, verdict};
use tabs::{Seen, Tabs};
use world::{Tally, World};

/// How many histories `cargo test` lives.
const HISTORIES: u64 = 100_000;
/// Threads that share them.
const THREADS: u64 = 2;

/// Lives one history; the report if an invariant is broken.
fn live(seed: u64) -> Result<Tally, String> {
    let mut world = World::new(seed);
    match verdict(&mut world, World::run) {
        None => Ok(world.tally),
        Some(broken) if count("SHORTEN", 1) == 0 => Err(format!("SEED={seed} breaks [{}]", broken.invariant)),
        Some(broken) => {
            let shortened = shorten(seed, world.script.clone(), &broken);
            Err(shortened.report(|| World::new(seed), &format!("SEED={seed}")))
        }
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
    #[allow(clippy::disallowed_methods, reason = "how fast it is, for the report alone")]
    let began = std::time::Instant::now();
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|part| scope.spawn(move || live_all(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut tally = Tally::default();
    for result in results {
        match result {
            Ok(part) => tally.add(part),
            Err((seed, report)) => {
                println!("broken after {} histories", seed - from + 1);
                panic!("{report}");
            }
        }
    }
    #[allow(clippy::disallowed_methods, reason = "how fast it is, for the report alone")]
    let rate = u128::from(tally.histories) * 1_000 / began.elapsed().as_millis().max(1);
    println!(
        "{} histories ({} a second and thread): {} steps, {} edits, {} requests, {} crashes, {} faults",
        tally.histories,
        rate / u128::from(THREADS),
        tally.steps,
        tally.edits,
        tally.requests,
        tally.crashes,
        tally.faults
    );
}

#[test]
fn no_history_that_once_broke_an_invariant_breaks_it_again() {
    for seed in seeds::ONCE_BROKEN {
        if let Err(report) = live(seed) {
            panic!("{report}");
        }
    }
}

/// Invariant 13.
#[test]
fn the_same_seed_gives_the_same_outputs() {
    for seed in 0..300 {
        let (first, second) = (World::hash_of(seed).unwrap(), World::hash_of(seed).unwrap());
        assert_eq!(first, second, "SEED={seed}");
    }
}

/// Printed for the same test under wasm, in `tests/browser/simulation.rs`.
#[test]
fn a_thousand_histories_have_a_hash() {
    let hash = World::hash_of_all(0..1_000).unwrap();
    println!("hash of a thousand histories: {hash:016x}");
    assert_eq!(hash, World::hash_of_all(0..1_000).unwrap());
    assert_ne!(hash, World::hash_of_all(1..1_001).unwrap());
}

/// How many histories of several tabs `cargo test` lives.
const HISTORIES_OF_TABS: u64 = 20_000;

#[test]
fn every_invariant_holds_in_every_history_of_several_tabs() {
    let seed = count("SEED", u64::MAX);
    if seed != u64::MAX {
        let mut world = Tabs::new(seed);
        world.steps = Some(String::new());
        let result = world.run();
        println!("{}\n{result:?}", world.steps.as_deref().unwrap_or_default());
        assert!(result.is_ok(), "{result:?}");
        return;
    }
    let (histories, from) = (count("HISTORIES", HISTORIES_OF_TABS), count("FROM", 0));
    let mut seen = Seen::default();
    for seed in from..from + histories {
        let mut world = Tabs::new(seed);
        let result = world.run();
        seen.add(world.seen_by_now);
        if let Err(violation) = result {
            println!("broken after {} histories", seed - from + 1);
            panic!("SEED={seed} breaks [{}] {}", violation.invariant, violation.text);
        }
    }
    println!("{histories} histories of several tabs: {seen:?}");
}
