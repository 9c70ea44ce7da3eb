//! Thousands of histories, each from a seed: app, engine, disk, network and server, with crashes and faults at any step.
//!
//! `npm run simulate -- --seed 42` lives one history and prints its steps, `npm run simulate -- --histories 1000000
//! --from 7` as many from that seed on. A history that breaks an invariant is shortened first, and printed. `--tabs` does the same with
//! several tabs.

mod disk;
mod every_step;
mod reference;
mod seeds;
mod server;
mod shorten;
mod tabs;
mod world;

use std::thread;

use reference::Check;
use shorten::{shorten, shorten_tabs, verdict};
use tabs::{Seen, Tabs};
pub use world::Dice;
use world::{Tally, World};

/// How many histories `cargo test` lives with one tab, whose server and storage can do anything.
const HISTORIES: u64 = 160_000;
/// And with one to four tabs over one disk.
const HISTORIES_OF_TABS: u64 = 40_000;
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

/// The same with several tabs.
fn live_with_tabs(seed: u64) -> Result<Seen, String> {
    let mut tabs = Tabs::new(seed);
    match verdict(&mut tabs, Tabs::run) {
        None => Ok(tabs.seen_by_now),
        Some(broken) if count("SHORTEN", 1) == 0 => Err(format!("SEED={seed} breaks [{}]", broken.invariant)),
        Some(broken) => Err(shorten_tabs(seed, std::mem::take(&mut tabs.script), &broken)),
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
    let (tally, rate) = live_all(HISTORIES, live, Tally::add);
    println!(
        "{} histories ({rate} a second and thread): {} steps, {} edits, {} requests, {} crashes, {} faults, {} wipes",
        tally.histories, tally.steps, tally.edits, tally.requests, tally.crashes, tally.faults, tally.wipes
    );
}

/// Lives as many histories as are asked for, on all threads; what they have seen, and how many a thread lives in a second.
pub fn live_all<T: Default + Send>(histories: u64, live: fn(u64) -> Result<T, String>, add: fn(&mut T, T)) -> (T, u64) {
    let (histories, from) = (count("HISTORIES", histories), count("FROM", 0));
    let live_part = |part: u64| {
        let mut seen = T::default();
        for seed in (from + part..from + histories).step_by(usize::try_from(THREADS).unwrap_or(1)) {
            add(&mut seen, live(seed).map_err(|report| (seed, report))?);
        }
        Ok::<_, (u64, String)>(seen)
    };
    #[allow(clippy::disallowed_methods, reason = "how fast it is, for the report alone")]
    let began = std::time::Instant::now();
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|part| scope.spawn(move || live_part(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panic!("a thread has panicked"))).collect()
    });
    let mut seen = T::default();
    for result in results {
        match result {
            Ok(part) => add(&mut seen, part),
            Err((seed, report)) => {
                println!("broken after {} histories", seed - from + 1);
                panic!("{report}");
            }
        }
    }
    #[allow(clippy::disallowed_methods, reason = "how fast it is, for the report alone")]
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    (seen, histories * 1_000 / milliseconds / THREADS)
}

#[test]
fn no_history_that_once_broke_an_invariant_breaks_it_again() {
    for seed in seeds::ONCE_BROKEN {
        if let Err(report) = live(seed) {
            panic!("{report}");
        }
    }
}

#[test]
fn no_history_of_several_tabs_that_once_broke_an_invariant_breaks_it_again() {
    for seed in seeds::ONCE_BROKEN_WITH_TABS {
        if let Err(report) = live_with_tabs(seed) {
            panic!("{report}");
        }
    }
}

/// What is printed of a shortened history is what happened in it.
#[test]
fn the_same_steps_of_several_tabs_give_the_same_history() {
    for seed in 0..50 {
        let told = |live: &dyn Fn(&mut Tabs) -> Check| {
            let mut tabs = Tabs::new(seed);
            tabs.steps = Some(String::new());
            live(&mut tabs).unwrap();
            (tabs.steps.take(), tabs.script)
        };
        let (steps, script) = told(&Tabs::run);
        assert_eq!(told(&|tabs| tabs.replay(&script)).0, steps, "SEED={seed}");
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
    let (seen, rate) = live_all(HISTORIES_OF_TABS, live_with_tabs, Seen::add);
    println!(
        "{} histories of several tabs ({rate} a second and thread): {} steps, {} edits, {} requests, {} crashes, {} freezes, {} thefts, {} overtaken",
        seen.histories, seen.steps, seen.edits, seen.requests, seen.crashes, seen.freezes, seen.thefts, seen.overtaken
    );
}
