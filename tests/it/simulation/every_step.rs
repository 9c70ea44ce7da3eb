//! A crash after every single step, and every history that is small enough to try them all.

use std::{panic::resume_unwind, thread};

use super::{
    server::Class,
    shorten::{shorten_in, verdict},
    world::{Act, Turn, What, World},
};

const SCRIPTS: u64 = 500;

#[test]
fn a_crash_after_any_step_of_a_history_without_faults_breaks_nothing() {
    let crashes: u64 = on_both_cores(|part| (part..SCRIPTS).step_by(2).map(crash_everywhere).sum());
    println!("{crashes} histories: a crash after each step of {SCRIPTS} of them");
    assert!(crashes > 20 * SCRIPTS);
}

/// Lives a history without faults, and then again with a crash after each step. How often.
fn crash_everywhere(seed: u64) -> u64 {
    let mut world = World::without_faults(seed);
    let broken = verdict(&mut world, World::run);
    assert!(broken.is_none(), "SEED={seed} without faults: {broken:?}");
    let script = world.script;
    let steps = script.iter().take_while(|act| act.what == What::Step).count();
    let mut crashes = 0;
    for place in 1..=steps {
        // Of the transactions under way none is kept, or any.
        let crash = Act::crash(seed.wrapping_mul(31).wrapping_add(crashes));
        let script = [&script[..place], &[crash], &script[place..]].concat();
        let broken = verdict(&mut World::without_faults(seed), |world| world.replay(&script));
        crashes += 1;
        if let Some(broken) = broken {
            let new = || World::without_faults(seed);
            let name = format!("SEED={seed}, a crash after step {place}");
            panic!("{}", shorten_in(new, script, &broken).report(new, &name));
        }
    }
    crashes
}

fn on_both_cores<T: Send + std::iter::Sum>(live: impl Fn(u64) -> T + Sync) -> T {
    let live = &live;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|part| scope.spawn(move || live(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|cause| resume_unwind(cause))).sum()
    })
}

/// How much may happen in a small history.
#[derive(Clone, Copy)]
struct Scope {
    edits: usize,
    faults: usize,
    crashes: usize,
}

/// Every one of these is within two items, three edits, a fault and a crash; all four at once are too many for every test run.
const SCOPES: [Scope; 4] = [
    Scope { edits: 3, faults: 0, crashes: 0 },
    Scope { edits: 2, faults: 0, crashes: 1 },
    Scope { edits: 2, faults: 1, crashes: 0 },
    Scope { edits: 1, faults: 1, crashes: 1 },
];
/// All of it: tens of millions of histories.
const WHOLE: [Scope; 1] = [Scope { edits: 3, faults: 1, crashes: 1 }];

#[test]
fn every_small_history_keeps_every_invariant() {
    for scope in SCOPES {
        live_scope(scope);
    }
}

#[test]
#[ignore = "takes long: npm run simulate -- --whole"]
fn every_history_with_three_edits_a_fault_and_a_crash_keeps_every_invariant() {
    for scope in WHOLE {
        live_scope(scope);
    }
}

fn live_scope(scope: Scope) {
    let Scope { edits, faults, crashes } = scope;
    let histories: u64 = on_both_cores(|part| live_all(if part == 0 { Class::Keyed } else { Class::Plain }, scope));
    println!("{histories} histories: all with up to {edits} edits, {faults} faults and {crashes} crashes");
    assert!(histories > 1_000);
}

/// Choices that were made, each with how many there were: the next history takes another turn at the last that can.
#[derive(Default)]
struct Path {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Path {
    fn choose(&mut self, among: usize) -> usize {
        if self.at == self.taken.len() {
            self.taken.push((0, among));
        }
        self.at += 1;
        self.taken[self.at - 1].0
    }

    /// How much of all histories lies behind, in thousandths, if each choice led to as many as another.
    fn progress(&self) -> u64 {
        let (mut behind, mut share) = (0, u64::MAX / 1_000);
        for (choice, among) in &self.taken {
            let [choice, among] = [choice, among].map(|count| u64::try_from(*count).unwrap_or(1));
            share /= among;
            behind += choice * share;
        }
        behind / (u64::MAX / 1_000_000)
    }

    /// False if there are no other histories.
    fn turn(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, among)) = self.taken.pop() {
            if choice + 1 < among {
                self.taken.push((choice + 1, among));
                return true;
            }
        }
        false
    }
}

fn live_all(class: Class, scope: Scope) -> u64 {
    let (mut path, mut histories) = (Path::default(), 0_u64);
    loop {
        let mut world = World::small(class, class == Class::Plain).unwrap_or_else(|broken| panic!("{broken:?}"));
        if let Some(broken) = verdict(&mut world, |world| live_along(world, scope, &mut path)) {
            let mut again = World::small(class, class == Class::Plain).unwrap_or_else(|broken| panic!("{broken:?}"));
            again.steps = Some(String::new());
            path.at = 0;
            drop(verdict(&mut again, |world| live_along(world, scope, &mut path)));
            panic!("{}\n{:?} {broken:?}", again.steps.unwrap_or_default(), path.taken);
        }
        histories += 1;
        if histories.is_multiple_of(1_000_000) {
            println!("{class:?}: {histories} histories, {} thousandths of the way", path.progress());
        }
        if !path.turn() {
            return histories;
        }
    }
}

/// Lives one history: at every step what comes next comes, or it fails, or the app edits, or the page crashes.
fn live_along(world: &mut World, mut scope: Scope, path: &mut Path) -> super::reference::Check {
    loop {
        let edits = if scope.edits > 0 { world.edits() } else { 0 };
        let faults = if scope.faults > 0 { world.faults() } else { 0 };
        let crashes =
            if scope.crashes > 0 { (world.disk.issued() + 1) * (1 + usize::from(world.is_asking())) } else { 0 };
        match path.choose(1 + edits + faults + crashes) {
            0 if world.next() == Turn::Rest => return world.finish(),
            0 => world.go_on(None)?,
            choice if choice <= edits => {
                scope.edits -= 1;
                world.edit(choice - 1)?;
            }
            choice if choice <= edits + faults => {
                scope.faults -= 1;
                world.go_on(Some(choice - edits - 1))?;
            }
            choice => {
                scope.crashes -= 1;
                let which = choice - edits - faults - 1;
                let kinds = world.disk.issued() + 1;
                world.crash_here(which % kinds, which >= kinds)?;
            }
        }
    }
}
