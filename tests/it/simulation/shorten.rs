//! Makes a history that breaks an invariant as short as it can: what is not needed for that is left out, act by act.

use std::panic;

use super::{
    reference::Check,
    tabs::Tabs,
    world::{Act, Dice, What, World},
};

/// A shortened history is good enough after so many tries.
const TRIES: u32 = 4_000;

/// The invariant that is broken, and how.
#[derive(Clone, Debug)]
pub struct Broken {
    pub invariant: &'static str,
    text: String,
}

/// Lives a history. What it breaks, if anything; a panic counts.
pub fn verdict<W>(world: &mut W, live: impl FnOnce(&mut W) -> Check) -> Option<Broken> {
    match panic::catch_unwind(panic::AssertUnwindSafe(|| live(world))) {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(Broken { invariant: violation.invariant, text: violation.text }),
        Err(_) => Some(Broken { invariant: "panic", text: String::new() }),
    }
}

/// What is left of a history that still breaks the same invariant.
pub struct Shortened {
    script: Vec<Act>,
    whole: usize,
}

/// Leaves out ever smaller pieces of the script, and then the faults of its acts, while the same invariant is broken.
pub fn shorten(seed: u64, script: Vec<Act>, broken: &Broken) -> Shortened {
    shorten_in(|| World::new(seed), script, broken)
}

pub fn shorten_in(new: impl Fn() -> World, script: Vec<Act>, broken: &Broken) -> Shortened {
    let whole = script.len();
    let mut fails = failing(new, World::replay, broken);
    let mut script = leave_out(script, &mut fails);
    for place in 0..script.len() {
        let mut calmer = script.clone();
        calmer[place].calm = true;
        if script[place].what == What::Step && fails(&calmer) {
            script = calmer;
        }
    }
    Shortened { script, whole }
}

/// Whether a script breaks the same invariant still, as long as there are tries.
fn failing<W, A>(
    new: impl Fn() -> W,
    replay: impl Fn(&mut W, &[A]) -> Check,
    broken: &Broken,
) -> impl FnMut(&[A]) -> bool {
    let mut tries = TRIES;
    move |script| {
        tries = tries.saturating_sub(1);
        let again = |world: &mut W| replay(world, script);
        tries > 0 && verdict(&mut new(), again).is_some_and(|again| again.invariant == broken.invariant)
    }
}

/// Leaves out what is not needed for the rest to fail.
fn leave_out<A: Clone>(mut script: Vec<A>, fails: &mut impl FnMut(&[A]) -> bool) -> Vec<A> {
    let mut size = script.len();
    while size > 0 {
        let mut from = 0;
        let before = script.len();
        while from < script.len() {
            let until = (from + size).min(script.len());
            let rest = [&script[..from], &script[until..]].concat();
            if fails(&rest) {
                script = rest;
            } else {
                from = until;
            }
        }
        // One act may have been needed only for another that is left out by now.
        if size > 1 || script.len() == before {
            size /= 2;
        }
    }
    script
}

/// The report of a history of several tabs, without the steps that are not needed to break the same invariant.
pub fn shorten_tabs(seed: u64, script: Vec<Dice>, broken: &Broken) -> String {
    let whole = script.len();
    let mut fails = failing(|| Tabs::new(seed), Tabs::replay, broken);
    let script = leave_out(script, &mut fails);
    let mut tabs = Tabs::new(seed);
    tabs.steps = Some(String::new());
    let broken = verdict(&mut tabs, |tabs| tabs.replay(&script));
    let steps = tabs.steps.as_deref().unwrap_or_default();
    conclude(&format!("SEED={seed}"), script.len(), whole, steps, broken)
}

fn conclude(name: &str, left: usize, whole: usize, shown: &str, broken: Option<Broken>) -> String {
    let (what, text) = broken.map_or(("nothing any more", String::new()), |broken| (broken.invariant, broken.text));
    format!("{name}, {left} of {whole} acts are left\n{shown}\n{name} breaks [{what}] {text}")
}

impl Shortened {
    /// The acts that are left, in words, and what they break.
    pub fn report(&self, new: impl Fn() -> World, name: &str) -> String {
        let mut world = new();
        world.steps = Some(String::new());
        let script = &self.script;
        let broken = verdict(&mut world, |world| world.replay(script));
        let steps = world.steps.as_deref().unwrap_or_default();
        let shown = format!("{steps}{}", world.describe());
        conclude(name, script.len(), self.whole, &shown, broken)
    }
}
