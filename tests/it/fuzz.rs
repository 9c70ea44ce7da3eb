//! What reads foreign text and foreign facts, over whatever proptest draws: it never panics, and agrees with a plain reference.
//!
//! The seed is fixed, so that a run can be repeated. `FUZZ_TIMES=100` draws a hundred times as often; `FUZZ_SEED` draws other cases.

use concordia::engine::{
    error::Code,
    id::{IdempotencyKey, Key, Seq},
    input::{Cursor, Input, Next, Record, Rows, Source},
    lifecycle::{Action, Settled},
    outcome::{Answer, Body, Response, Said},
    retry_after,
    row::{FieldSet, RemoteRow},
    schema::{KINDS, Property, RESERVED, Schema},
    time::Instant,
    {Attempt, AttemptState, Edit, Sync},
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed},
};

use crate::{
    page::{Asked, Leaving, Page, empty, options},
    row::{FIELDS, MapRow},
};

const SEED: u64 = 562_024;
const HOUR: u64 = 3_600_000;

#[allow(clippy::disallowed_methods, reason = "how much is drawn is said from outside")]
fn from_outside(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn drawing(cases: u32) -> Config {
    let times = u32::try_from(from_outside("FUZZ_TIMES", 1)).unwrap_or(1);
    Config {
        cases: cases.saturating_mul(times),
        rng_seed: RngSeed::Fixed(from_outside("FUZZ_SEED", SEED)),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Texts that mean something in an address, in JavaScript or in Unicode.
const NASTY: [&str; 17] = [
    "",
    ".",
    "..",
    "%2e",
    "%",
    "%zz",
    "%00",
    "%ff",
    "/",
    "//",
    "a/b",
    "\0",
    "a\0b",
    "\u{fffd}",
    "é",
    "😀",
    "__proto__",
];

fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![select(NASTY.as_slice()).prop_map(str::to_owned), "\\PC{0,12}", any::<String>()]
}

// Retry-After.

/// What a `Retry-After` asks for, read as people would.
fn waited(value: &str) -> Option<u64> {
    let digits = value.trim();
    if digits.is_empty() || digits.chars().any(|digit| !digit.is_ascii_digit()) {
        return None;
    }
    let seconds = digits
        .chars()
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit.to_digit(10).unwrap_or(0))));
    Some(seconds.saturating_mul(1_000).min(HOUR))
}

proptest! {
    #![proptest_config(drawing(20_000))]

    #[test]
    fn a_retry_after_is_read_as_seconds_and_never_longer_than_an_hour(
        value in prop_oneof![" {0,2}[0-9]{1,40} {0,2}", "[0-9]{1,4}", "[-+0-9.eExX,; ]{0,12}", nasty()],
    ) {
        prop_assert_eq!(retry_after(&value).map(|span| span.0), waited(&value));
    }
}

// Keys.

proptest! {
    #![proptest_config(drawing(20_000))]

    #[test]
    fn an_idempotency_key_is_read_as_it_was_written(bits: u128) {
        let key = IdempotencyKey::random(bits);
        prop_assert_eq!(IdempotencyKey::parse(&key.text()), Some(key));
    }

    #[test]
    fn no_other_text_of_another_length_is_an_idempotency_key(text in prop_oneof!["[-0-9a-fA-F]{0,40}", nasty()]) {
        let digits: String = text.chars().filter(|char| *char != '-').collect();
        let is_key = text.len() == 36 && digits.len() == 32 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
        let expected = if is_key { u128::from_str_radix(&digits, 16).ok().map(IdempotencyKey) } else { None };
        prop_assert_eq!(IdempotencyKey::parse(&text), expected);
    }
}

/// Percent-encoded but for what RFC 3986 §2.3 leaves alone.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }).collect()
}

/// The key under which a create that is answered with this `Location` is known, or why it is parked.
fn located(location: &str, numeric: bool) -> Result<String, Option<Code>> {
    let mut page = Page::start(concordia::engine::input::StoreOptions { numeric_storage_key: numeric, ..options() });
    page.answer_all(&[]);
    let item = page.create(&[(0, 1)]);
    let Answer::Response(response) = empty(201) else { return Err(None) };
    page.answer(item, Answer::Response(Response { location: Some(location.to_owned()), ..response }));
    let key = page.engine.row(item).and_then(MapRow::remote_key);
    key.map(|key| key.text().to_owned()).ok_or_else(|| page.engine.parked(item).map(|fault| fault.code))
}

fn can_be_a_key(key: &str) -> bool {
    !matches!(key, "" | "." | "..") && !key.contains('\0')
}

proptest! {
    #![proptest_config(drawing(2_000))]

    #[test]
    fn a_key_is_found_again_in_its_location(
        key in nasty().prop_filter("a key", |key| can_be_a_key(key)),
        before in select(["/", "/people/", "https://api.example/", "//h/v1/", "people/", "/a//b/"].as_slice()),
        behind in select(["", "/", "?a=/b", "#/c", "/?d", "//"].as_slice()),
    ) {
        prop_assert_eq!(located(&[before, &encoded(&key), behind].concat(), false), Ok(key));
    }

    #[test]
    fn a_location_without_a_usable_key_parks_the_create(
        location in prop_oneof![
            nasty(),
            "(https?:)?//[a-z.]{0,4}(/[a-z%0-9.]{0,4}){0,3}[?#]?",
            "[/%0-9a-fA-F.?#:]{0,12}",
        ],
        numeric: bool,
    ) {
        match located(&location, numeric) {
            Ok(key) => {
                prop_assert!(can_be_a_key(&key), "{:?}", key);
                prop_assert!(!numeric || key.parse::<u64>().is_ok_and(|number| number.to_string() == key), "{:?}", key);
                // Never the host: there is a path, and the key is a part of it.
                let path = location.split(['?', '#']).next().unwrap_or_default();
                let rest = path.split_once("://").map(|(_, rest)| rest).or_else(|| path.strip_prefix("//"));
                prop_assert!(rest.unwrap_or(path).contains('/'), "{:?} of {:?}", key, location);
            }
            Err(code) => prop_assert_eq!(code, Some(Code::Uncertain)),
        }
    }
}

// Schemas.

fn property() -> impl Strategy<Value = Property> {
    let name = prop_oneof![
        3 => "[a-e]{1,2}",
        1 => select(RESERVED.as_slice()).prop_map(str::to_owned),
        1 => select(["id", "_id", "_a", "_b"].as_slice()).prop_map(str::to_owned),
        1 => nasty(),
    ];
    let kind = prop_oneof![8 => select(KINDS.as_slice()).prop_map(str::to_owned), 1 => nasty()];
    let key = option::weighted(0.2, prop_oneof!["[a-e]{1,2}", nasty()]);
    let leaf = (name, kind, any::<u8>(), key.clone(), key).prop_map(|(name, kind, flags, key, storage_key)| Property {
        name,
        kind,
        primary: flags < 24,
        refers: flags > 232,
        key,
        storage_key,
        properties: Vec::new(),
        items: None,
    });
    leaf.clone().prop_recursive(3, 12, 3, move |inner| {
        (leaf.clone(), vec(inner.clone(), 0..3), option::of(inner.prop_map(Box::new)))
            .prop_map(|(leaf, properties, items)| Property { properties, items, ..leaf })
    })
}

proptest! {
    #![proptest_config(drawing(20_000))]

    #[test]
    fn any_definition_is_refused_as_a_schema_or_names_each_thing_once(properties in vec(property(), 0..6)) {
        match Schema::new(&properties) {
            Err(fault) => prop_assert_eq!(fault.code, Code::Schema),
            Ok(schema) => {
                let mut names: Vec<&String> = schema.fields.iter().chain([&schema.key, &schema.storage_key]).collect();
                prop_assert!(names.iter().all(|name| !name.is_empty() && !RESERVED.contains(&name.as_str())));
                let count = names.len();
                names.sort();
                names.dedup();
                prop_assert_eq!(names.len(), count);
                prop_assert!(properties.iter().all(|property| KINDS.contains(&property.kind.as_str())));
                prop_assert!(schema.refers.iter().all(|place| place < schema.fields.len()));
            }
        }
    }
}

// Answers, one after the other, to everything that a page asks.

#[derive(Clone, Debug)]
enum Step {
    Create(i64, Option<String>),
    Update(usize, i64),
    Remove(usize),
    Fetch,
    FetchOne(usize),
    /// The request at this place is answered; `bool`: once more, under the same command.
    Answer(usize, Box<Told>, bool),
    Hear(Box<Told>),
    Retry(usize),
    Discard(usize),
    Wake,
    Restart,
}

/// What an answer says.
#[derive(Clone, Debug)]
struct Told {
    ending: u8,
    status: u16,
    body: u8,
    rows: Vec<(Option<(String, bool)>, i64)>,
    complete: bool,
    deleted: Vec<String>,
    next: Option<Option<String>>,
    cursor: Option<Option<String>>,
    texts: [Option<String>; 5],
}

fn told() -> impl Strategy<Value = Told> {
    let key = prop_oneof![8 => "[0-5]", 1 => nasty()];
    let status = prop_oneof![
        select([200, 201, 204, 304, 401, 404, 409, 410, 412, 428, 429, 500, 503, 511].as_slice()),
        any::<u16>(),
    ];
    let rows = vec((option::weighted(0.9, (key.clone(), any::<bool>())), any::<i64>()), 0..4);
    let texts = [(); 5].map(|()| option::weighted(0.3, nasty()));
    let [a, b, c, d, e] = texts;
    let waits = prop_oneof![a, option::of("[0-9]{1,25}")];
    (
        (prop_oneof![6 => Just(3_u8), 1 => 0..3_u8], status, prop_oneof![4 => Just(1_u8), 1 => 0..5_u8]),
        (rows, any::<bool>(), vec(key, 0..2)),
        (option::weighted(0.2, option::of(nasty())), option::weighted(0.3, option::of(nasty()))),
        (waits, b, c, d, e),
    )
        .prop_map(|((ending, status, body), (rows, complete, deleted), (next, cursor), (wait, b, c, d, e))| Told {
            ending,
            status,
            body,
            rows,
            complete,
            deleted,
            next,
            cursor,
            texts: [wait, b, c, d, e],
        })
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..4_usize;
    prop_oneof![
        2 => (any::<i64>(), option::weighted(0.3, prop_oneof!["[0-5]", nasty()])).prop_map(|(value, key)| Step::Create(value, key)),
        3 => (at.clone(), any::<i64>()).prop_map(|(at, value)| Step::Update(at, value)),
        1 => at.clone().prop_map(Step::Remove),
        1 => Just(Step::Fetch),
        1 => at.clone().prop_map(Step::FetchOne),
        8 => (at.clone(), told(), prop::bool::weighted(0.1)).prop_map(|(at, told, twice)| Step::Answer(at, Box::new(told), twice)),
        1 => told().prop_map(|told| Step::Hear(Box::new(told))),
        1 => at.clone().prop_map(Step::Retry),
        1 => at.prop_map(Step::Discard),
        3 => Just(Step::Wake),
        1 => Just(Step::Restart),
    ]
}

impl Told {
    fn row(&self, nth: usize) -> RemoteRow<MapRow> {
        let (key, value) = self.rows.get(nth).cloned().unwrap_or((None, 0));
        let key = key.map(|(key, numeric)| Key::new(&key, numeric));
        let row = MapRow::of(&[(0, value)]);
        let row = key.iter().fold(row, |row, key| row.with_key(key));
        RemoteRow { row, present: FieldSet::first(FIELDS), key }
    }

    fn rows(&self) -> Rows<MapRow> {
        Rows {
            rows: (0..self.rows.len()).map(|nth| self.row(nth)).filter(|row| row.key.is_some()).collect(),
            complete: self.complete,
            deleted: self.deleted.iter().map(|key| Key::new(key, false)).collect(),
            problem: None,
            next: self.next.clone().map_or(Next::None, |next| next.map_or(Next::Refused, Next::Page)),
            cursor: self.cursor.clone().map_or(Cursor::Kept, |cursor| cursor.map_or(Cursor::Dropped, Cursor::At)),
        }
    }

    fn answer<B>(&self, json: B) -> Answer<B> {
        let [retry_after, location, version, problem, message] = self.texts.clone();
        match self.ending {
            0 => return Answer::Unreachable { message: message.unwrap_or_default() },
            1 => return Answer::TimedOut,
            2 => return Answer::Cut,
            _ => {}
        }
        let body = match self.body {
            0 => Body::Empty,
            1 => Body::Json(json),
            2 => Body::Malformed,
            3 => Body::Foreign,
            _ => Body::TooLarge,
        };
        let said = message.clone().map(|message| Said { message, status: Some(self.status) });
        Answer::Response(Response {
            status: self.status,
            body,
            text: message,
            retry_after,
            location,
            version,
            problem,
            said,
        })
    }

    fn input(&self, Leaving { command, what, .. }: &Leaving) -> Input<MapRow> {
        match what {
            Asked::Write(_) => Input::Answered(*command, self.answer(self.row(0))),
            Asked::All => Input::Fetched(*command, self.answer(self.rows())),
            Asked::One(_) => Input::FetchedOne(*command, self.answer(self.row(0))),
            Asked::Probe => Input::Probed(*command, self.ending == 3),
        }
    }
}

/// Does it, if it can be done.
fn act(mut page: Page, step: &Step) -> Page {
    let item = |page: &Page, at: usize| page.items().get(at).copied();
    let store = page.store;
    let input = match step {
        Step::Create(value, key) => Some(Input::Create {
            store,
            row: MapRow::of(&[(0, *value)]),
            key: key.as_ref().map(|key| Key::new(key, false)),
            source: Source::State,
        }),
        Step::Update(at, value) => item(&page, *at).map(|item| Input::Update {
            item,
            row: MapRow::of(&[(0, *value)]),
            fields: FieldSet::one(0),
            source: Source::State,
        }),
        Step::Remove(at) => item(&page, *at).map(|item| Input::Remove { item, source: Source::State }),
        Step::Fetch => {
            page.fetch();
            None
        }
        Step::FetchOne(at) => item(&page, *at).map(Input::FetchOne),
        Step::Answer(at, told, twice) => {
            if page.network.is_empty() {
                return page;
            }
            let leaving = page.network.remove(at % page.network.len());
            if *twice {
                page.does(told.input(&leaving));
            }
            Some(told.input(&leaving))
        }
        Step::Hear(told) => Some(Input::Heard(store, told.rows())),
        Step::Retry(at) => page.pending().get(*at).map(|edit| Input::Retry(edit.item)),
        Step::Discard(at) => page.pending().get(*at).map(|edit| Input::Discard(edit.item)),
        Step::Wake => {
            page.wake();
            None
        }
        Step::Restart => return page.restart(),
    };
    if let Some(input) = input {
        drop(page.tries(input));
    }
    page.end_turn();
    page
}

/// What must hold after each step.
fn check(page: &Page) -> Result<(), TestCaseError> {
    let keys: Vec<Key> = page.items().iter().filter_map(|item| page.engine.row(*item)?.remote_key()).collect();
    for (at, key) in keys.iter().enumerate() {
        prop_assert!(key.is_safe(), "{:?} leads elsewhere", key);
        prop_assert!(!keys[..at].contains(key), "{:?} is the key of two items", key);
    }
    // Nobody waits longer than the longest pause for what the server has not forbidden.
    let last = page.wake_at.map_or(0, |at| at.0.saturating_sub(page.now.0));
    prop_assert!(last <= HOUR, "sleeps for {last} ms");
    Ok(())
}

proptest! {
    #![proptest_config(drawing(800))]

    #[test]
    fn whatever_a_server_answers_the_engine_goes_on(steps in vec(step(), 1..40)) {
        let mut page = Page::start(options());
        for step in &steps {
            page = act(page, step);
            check(&page)?;
        }
    }
}

// Stored records.

fn edit(action: Action) -> impl Strategy<Value = Edit> {
    let seq = prop_oneof![0..100_u64, any::<u32>().prop_map(u64::from), Just((1 << 53) - 1)];
    (any::<u128>(), seq.clone(), seq, 0..1_u128 << FIELDS).prop_map(move |(key, first, last, fields)| Edit {
        action,
        fields: FieldSet(fields),
        first: Seq(first),
        last: Seq(last),
        key: IdempotencyKey(key),
    })
}

fn any_edit() -> impl Strategy<Value = Edit> {
    select([Action::Create, Action::Update, Action::Delete].as_slice()).prop_flat_map(edit)
}

fn attempt() -> impl Strategy<Value = Attempt<MapRow>> {
    (any_edit(), any::<u32>(), option::of(any::<i64>()), option::weighted(0.2, nasty()), 0..3_u8).prop_map(
        |(edit, attempts, frozen, version, state)| {
            let fault = concordia::engine::error::Fault::new(Code::Rejected, "stored");
            Attempt {
                edit,
                attempts,
                frozen: frozen.map(|value| MapRow::of(&[(0, value)])),
                validator: version.as_deref().map(Into::into),
                state: match state {
                    0 => AttemptState::Ready,
                    1 => AttemptState::Parked(fault),
                    _ => AttemptState::Disputed(fault, Instant(0)),
                },
                strikes: 0,
                lost: false,
                rekeyed: false,
            }
        },
    )
}

fn sync() -> impl Strategy<Value = Sync<MapRow>> {
    let settled = select([Settled::New, Settled::Awaited, Settled::Existent].as_slice());
    (settled, option::of(any_edit()), option::of(attempt()), option::of(any::<i64>()), 0..1_u128 << FIELDS)
        .prop_filter("it has something to say", |(_, pending, attempt, ..)| pending.is_some() || attempt.is_some())
        .prop_map(|(settled, pending, in_flight, base, fields)| {
            let mut sync = Sync::new(settled);
            sync.pending = pending;
            sync.in_flight = in_flight;
            sync.base = base.map(|value| MapRow::of(&[(0, value)]));
            sync.base_fields = FieldSet(if sync.base.is_some() { fields } else { 0 });
            sync
        })
}

fn record() -> impl Strategy<Value = Record<MapRow>> {
    let key = prop_oneof![4 => "[a-h]", 1 => nasty()];
    (key, option::of("[0-5]"), any::<i64>(), option::weighted(0.6, sync()), option::weighted(0.2, nasty())).prop_map(
        |(storage_key, remote_key, value, sync, version)| {
            let remote_key = remote_key.map(|key| Key::new(&key, false));
            let row = remote_key.iter().fold(MapRow::of(&[(0, value)]), |row, key| row.with_key(key));
            Record {
                storage_key: Key::new(&storage_key, false),
                remote_key,
                row,
                sync: sync.map(Box::new),
                migrated: None,
                validator: version.as_deref().map(Into::into),
            }
        },
    )
}

proptest! {
    #![proptest_config(drawing(500))]

    #[test]
    fn whatever_was_stored_the_engine_loads_it_and_goes_on(records in vec(record(), 0..6), steps in vec(step(), 0..12)) {
        let mut page = Page::open();
        page.disk = records.into_iter().map(|record| ((page.store.0, record.storage_key.clone()), record)).collect();
        let mut page = page.restart();
        // A create of this page comes after all that was stored, and is there after the next start.
        let made = page.create(&[(0, 7)]);
        let key = page.engine.storage_key(made).cloned();
        for step in &steps {
            page = act(page, step);
            prop_assert!(page.wake_at.is_none_or(|at| at > page.now));
        }
        if steps.iter().all(|step| matches!(step, Step::Wake | Step::Fetch | Step::Restart)) {
            let page = page.restart();
            prop_assert!(page.items().iter().any(|item| page.engine.storage_key(*item) == key.as_ref()));
        }
    }
}
