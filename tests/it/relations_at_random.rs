//! Histories at random of two stores whose items refer to each other, against a server that refuses a key it does not know.
//!
//! Apart from the large simulation, which knows no references: what is checked here is who waits for whom, whatever is lost,
//! refused, removed or interrupted. `npm run torture` lives more of them.

use std::collections::BTreeMap;

use concordia::engine::{
    EditState,
    id::{IdempotencyKey, ItemId, Key, StoreId},
    input::{Cursor, Input, Next, Rows, Source},
    lifecycle::Action,
    output::Request,
    row::{FieldSet, RemoteRow, Row},
};

use crate::{
    page::{Asked, Failure, Leaving, Page, empty, json, remote},
    relations::{OTHER, PEOPLE, POSTS, by_key, make, named, open_as, restart, to},
    row::MapRow,
    simulation::{Dice, live_all},
};

/// So many in `cargo test`; HISTORIES and FROM say otherwise.
const HISTORIES: u64 = 3_000;
const STEPS: u64 = 60;

fn store(dice: &mut Dice) -> StoreId {
    [PEOPLE, POSTS][dice.below(2)]
}

fn item(dice: &mut Dice, page: &Page) -> Option<ItemId> {
    let items: Vec<ItemId> = page.engine.items(store(dice)).collect();
    (!items.is_empty()).then(|| items[dice.below(items.len())])
}

/// What a row of the server has: a value, and the key that it refers to.
#[derive(Clone, Debug, PartialEq)]
struct Stored {
    value: Option<i64>,
    other: Option<(StoreId, String)>,
}

type Payload = (Action, Option<i64>, Option<Vec<Option<String>>>);

#[derive(Default)]
struct Server {
    rows: BTreeMap<(StoreId, String), Stored>,
    /// Every key that was ever given.
    given: usize,
    /// What was taken under a key, and the row's key.
    taken: BTreeMap<IdempotencyKeyBits, (Payload, String)>,
}

type IdempotencyKeyBits = u128;

impl Server {
    /// Takes a write, as a server with foreign keys and idempotency keys does; the row's key.
    fn take(&mut self, store: StoreId, request: &Request<MapRow>) -> String {
        let IdempotencyKey(bits) = request.idempotency_key;
        // A delete says nothing but its key.
        let says = request.action != Action::Delete;
        let names = named(request).filter(|_| says);
        let payload = (request.action, request.row.get(0).filter(|_| says), names.clone());
        if let Some((before, key)) = self.taken.get(&bits) {
            assert_eq!(*before, payload, "one key stands for one payload");
            return key.clone();
        }
        let key = match request.action {
            Action::Create => {
                self.given += 1;
                self.given.to_string()
            }
            Action::Update | Action::Delete => {
                let key = request.key.as_ref().unwrap_or_else(|| panic!("{request:?} has no key"));
                key.text().to_owned()
            }
        };
        let references = request.row.references(request.fields.and(FieldSet::one(OTHER)));
        for reference in references.iter().filter(|_| names.is_some()) {
            let named = reference.key.as_ref().map(|key| key.text().parse::<usize>());
            assert!(matches!(named, Some(Ok(named)) if named <= self.given), "{request:?} names what is not there");
        }
        match request.action {
            Action::Delete => drop(self.rows.remove(&(store, key.clone()))),
            Action::Create | Action::Update => {
                let row = self.rows.entry((store, key.clone())).or_insert(Stored { value: None, other: None });
                row.value = request.row.get(0);
                if names.is_some() {
                    let other =
                        references.first().and_then(|one| Some((one.store?, one.key.as_ref()?.text().to_owned())));
                    row.other = other;
                }
            }
        }
        self.taken.insert(bits, (payload, key.clone()));
        key
    }

    fn has_taken(&self, request: &Request<MapRow>) -> bool {
        self.taken.contains_key(&request.idempotency_key.0)
    }

    fn row(&self, store: StoreId, key: &str) -> Option<RemoteRow<MapRow>> {
        let stored = self.rows.get(&(store, key.to_owned()))?;
        let values: Vec<(usize, i64)> = stored.value.map(|value| (0, value)).into_iter().collect();
        let told = remote(key, &values);
        let other: Vec<_> = stored.other.iter().map(|(store, key)| by_key(*store, key)).collect();
        Some(RemoteRow { row: told.row.with_references(&other), ..told })
    }

    /// Answers a request, which it takes if it is a write.
    fn answer(&mut self, page: &mut Page, leaving: &Leaving) {
        page.network.retain(|other| other.command != leaving.command);
        let command = leaving.command;
        match &leaving.what {
            Asked::Write(request) => {
                let key = self.take(leaving.store, request);
                // The answer to a create is the same as ever, though the row may be gone by now.
                let bare = || RemoteRow { present: FieldSet::NONE, ..remote(&key, &[]) };
                let told = self.row(leaving.store, &key);
                let told = told.or_else(|| (request.action == Action::Create).then(bare));
                page.does(Input::Answered(command, told.map_or_else(|| empty(204), |told| json(200, told))));
            }
            Asked::All => {
                let keys = self.rows.keys().filter(|(of, _)| *of == leaving.store);
                let rows = keys.filter_map(|(_, key)| self.row(leaving.store, key)).collect();
                page.does(Input::Fetched(
                    command,
                    json(
                        200,
                        Rows {
                            rows,
                            complete: true,
                            deleted: Vec::new(),
                            problem: None,
                            next: Next::None,
                            cursor: Cursor::Kept,
                        },
                    ),
                ));
            }
            Asked::Probe => unreachable!("no transporter of these stores has a way of its own"),
            Asked::One(key) => {
                let told = self.row(leaving.store, key.text());
                page.does(Input::FetchedOne(command, told.map_or_else(|| empty(404), |told| json(200, told))));
            }
        }
    }
}

fn edit(page: &mut Page, dice: &mut Dice, count: &mut i64) {
    *count += 1;
    let other = item(dice, page).filter(|_| dice.below(4) > 0);
    let references = other.and_then(|id| Some(vec![to(page, page.engine.store_of(id)?, id)])).unwrap_or_default();
    match (dice.below(8), item(dice, page)) {
        (0..3, _) | (_, None) => {
            let store = store(dice);
            make(page, store, *count, &references);
        }
        (3..6, Some(item)) => {
            let row = MapRow::default().with_references(&references);
            let fields = FieldSet::one(OTHER);
            drop(page.tries(Input::Update { item, row, fields, source: Source::State }));
        }
        (6, Some(item)) => {
            let (row, fields) = (MapRow::of(&[(0, *count)]), FieldSet::one(0));
            drop(page.tries(Input::Update { item, row, fields, source: Source::State }));
        }
        (_, Some(item)) => drop(page.tries(Input::Remove { item, source: Source::State })),
    }
    // One turn may be several edits.
    if dice.below(3) > 0 {
        page.end_turn();
    }
}

fn world(page: &mut Page, dice: &mut Dice, server: &mut Server) {
    if page.network.is_empty() {
        page.wake();
        return;
    }
    let leaving = page.network[dice.below(page.network.len())].clone();
    match dice.below(10) {
        0 => page.answer_any(&leaving, &Failure::Unreachable),
        1 => page.answer_any(&leaving, &Failure::Status(500, None)),
        // It does not refuse what it has taken before.
        2 if matches!(&leaving.what, Asked::Write(request) if !server.has_taken(request)) => {
            page.answer_any(&leaving, &Failure::Status(422, None))
        }
        3 => {
            // Taken, and the answer is lost.
            if let Asked::Write(request) = &leaving.what {
                server.take(leaving.store, request);
            }
            page.answer_any(&leaving, &Failure::TimedOut);
        }
        _ => server.answer(page, &leaving),
    }
}

fn decide(page: &mut Page, dice: &mut Dice) {
    let edits: Vec<_> = [PEOPLE, POSTS].into_iter().flat_map(|store| page.engine.pending(store)).collect();
    if edits.is_empty() {
        return;
    }
    let edit = &edits[dice.below(edits.len())];
    page.does(if dice.below(3) == 0 { Input::Discard(edit.item) } else { Input::Retry(edit.item) });
}

/// The world is kind from now on: everything is sent, and both sides hold the same.
fn heal(page: &mut Page, server: &mut Server) {
    page.end_turn();
    for _ in 0..2_000 {
        for edit in [PEOPLE, POSTS].into_iter().flat_map(|store| page.engine.pending(store)).collect::<Vec<_>>() {
            if edit.state == EditState::Parked {
                page.does(Input::Retry(edit.item));
            }
        }
        match page.network.first().cloned() {
            Some(leaving) => server.answer(page, &leaving),
            None if page.wake() => {}
            None => break,
        }
    }
    for store in [PEOPLE, POSTS] {
        assert_eq!(page.engine.pending(store), [], "nothing waits for ever");
        let items: Vec<ItemId> = page.engine.items(store).collect();
        assert_eq!(items.len(), server.rows.keys().filter(|(of, _)| *of == store).count());
        for item in items {
            let row = page.engine.row(item).cloned().unwrap_or_default();
            let key = row.remote_key().map(|key| key.text().to_owned()).unwrap_or_default();
            let text = |key: Option<Key>| key.map(|key| key.text().to_owned());
            let other = row.references(FieldSet::one(OTHER)).into_iter().next();
            let other = other.and_then(|other| Some((other.store?, text(other.key)?)));
            let here = Stored { value: row.get(0), other };
            assert_eq!(Some(&here), server.rows.get(&(store, key)), "{item:?}");
        }
    }
}

#[test]
fn whatever_happens_a_server_with_foreign_keys_ends_with_what_is_here() {
    let live =
        |seed| std::panic::catch_unwind(|| history(seed)).map_err(|_| format!("SEED={seed} is broken, as told above"));
    let (seen, rate) = live_all(HISTORIES, live, Seen::add);
    let Seen { histories, edits, restarts, taken } = seen;
    println!(
        "{histories} histories of two stores that refer to each other ({rate} a second and thread): {edits} edits, {restarts} restarts, {taken} writes taken"
    );
}

#[derive(Default)]
struct Seen {
    histories: u64,
    edits: u64,
    restarts: u64,
    taken: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.histories += other.histories;
        self.edits += other.edits;
        self.restarts += other.restarts;
        self.taken += other.taken;
    }
}

fn history(seed: u64) -> Seen {
    let (mut dice, mut server, mut count) = (Dice::new(seed), Server::default(), 0);
    let mut page = open_as(seed.is_multiple_of(2));
    let mut seen = Seen { histories: 1, ..Seen::default() };
    for _ in 0..STEPS {
        match dice.below(20) {
            0..9 => {
                seen.edits += 1;
                edit(&mut page, &mut dice, &mut count);
            }
            9..18 => world(&mut page, &mut dice, &mut server),
            18 => decide(&mut page, &mut dice),
            _ => {
                seen.restarts += 1;
                page = restart(page);
            }
        }
    }
    heal(&mut page, &mut server);
    seen.taken = server.taken.len() as u64;
    seen
}
