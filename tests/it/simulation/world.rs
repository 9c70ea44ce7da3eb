//! One history: an app, an engine, a disk, a network and a server, and faults, in an order that the seed decides.

use std::{collections::BTreeMap, fmt::Write as _};

use concordia::engine::{
    Engine,
    error::{Code, Fault, StorageFailure},
    id::{CommandId, ItemId, Key, StorageId, StoreId, Token},
    input::{Cursor, Input, Lost, Next, Others, Policy, Record, Resolution, Rows, Source, StoreOptions},
    lifecycle::Action,
    outcome::{Answer, Body, Response},
    output::{Command, Conflict, Made, Output, Request},
    row::{FieldSet, RemoteRow, Row},
    time::Millis,
};

use super::{
    disk::Disk,
    reference::{Check, Promise, Reference, Violation, broken},
    server::{Ask, Class, Order, Said, Server, ServerRow, naming},
};
use crate::row::{FIELDS, Fields, MapRow, deep_record};

/// In one history of so many the browser may throw the database away.
const WIPED_EVERY: u64 = 8;

/// What the histories of a run have seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub histories: u64,
    pub steps: u64,
    pub edits: u64,
    pub requests: u64,
    pub crashes: u64,
    pub faults: u64,
    pub wipes: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.edits += other.edits;
        self.requests += other.requests;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.wipes += other.wipes;
    }
}

/// A generator for the world (SplitMix64); the engine has its own.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Anything below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.roll() % 100 < chance
    }
}

/// One thing that happens, so that it can happen again without those before it: what it is, and how the dice lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    pub what: What,
    dice: u64,
    /// No fault comes up in it.
    pub calm: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Whatever the dice say.
    Step,
    Crash,
    /// No more faults, and everything comes to rest.
    Heal,
}

impl Act {
    /// The page is gone at this place.
    pub const fn crash(dice: u64) -> Self {
        Self { what: What::Crash, dice, calm: false }
    }
}

/// A request on its way there, or its answer on its way back.
struct Wire {
    command: CommandId,
    store: StoreId,
    ask: Ask,
    /// What comes back.
    answer: Option<Reply>,
}

enum Reply {
    Write(Answer<RemoteRow<MapRow>>),
    All(Answer<Rows<MapRow>>),
    One(Answer<RemoteRow<MapRow>>),
}

pub struct World {
    dice: Dice,
    now: Millis,
    pub engine: Engine<MapRow>,
    pub stores: Vec<StoreId>,
    patches: bool,
    policy: Policy,
    conditional: bool,
    asks_uncertain: bool,
    /// What the app is asked to decide.
    asked: Vec<(CommandId, Conflict<MapRow>)>,
    /// Chances in percent.
    fault: u64,
    disk_fault: u64,
    crash: u64,
    healed: bool,
    calm: bool,
    /// What has happened so far.
    pub script: Vec<Act>,
    pub server: Server,
    pub disk: Disk,
    wire: Vec<Wire>,
    /// How many rows the server gives at once.
    page_size: usize,
    /// Whether it can give what has changed.
    deltas: bool,
    /// The cursor that the read of each store began with.
    walking: BTreeMap<u16, Option<String>>,
    /// Requests of pages that are gone, which may still arrive.
    strays: Vec<(StoreId, Order)>,
    loads: Vec<(StoreId, Vec<Record<MapRow>>, Option<String>)>,
    /// Whether the browser may throw the database away.
    wipes: bool,
    /// How many records of which store are gone, until the page is told.
    lost: BTreeMap<u16, u32>,
    reference: Reference,
    promises: BTreeMap<u32, Promise>,
    /// Keys of requests that were carried out at least once.
    carried_out: Vec<u128>,
    tokens: u32,
    own_keys: u32,
    turn_open: bool,
    wake_at: Option<Millis>,
    pub tally: Tally,
    /// The steps, if somebody wants to read them.
    pub steps: Option<String>,
    /// The hash of all outputs, if somebody wants to compare them.
    pub hash: Option<u64>,
}

macro_rules! step {
    ($world:expr, $($what:tt)*) => {
        if let Some(steps) = &mut $world.steps {
            let _ = writeln!(steps, "{:>7} {}", $world.now.0, format_args!($($what)*));
        }
    };
}

pub fn engine_seed(dice: &mut Dice) -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_exact_mut(8) {
        chunk.copy_from_slice(&dice.roll().to_le_bytes());
    }
    seed
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let class = if dice.percent(60) { Class::Keyed } else { Class::Plain };
        let mut server = Server::new(class, dice.roll());
        server.stamps_rows = dice.percent(35);
        server.refuses = [0, 0, 17, 7][dice.below(4)];
        server.is_conditional = dice.percent(40);
        server.demands = dice.percent(30);
        server.is_unique = class == Class::Plain && dice.percent(40);
        let policy = [Policy::Local, Policy::Local, Policy::Remote, Policy::Ask][dice.below(4)];
        let engine = Engine::new(engine_seed(&mut dice));
        let stores = (0..1 + u16::from(dice.percent(30))).map(StoreId).collect();
        let (fault, disk_fault, crash) =
            ([0, 10, 30, 60][dice.below(4)], [0, 0, 5, 20][dice.below(4)], [0, 1, 2, 5][dice.below(4)]);
        Self {
            policy,
            conditional: dice.percent(70),
            asks_uncertain: dice.percent(20),
            asked: Vec::new(),
            patches: dice.percent(60),
            page_size: [usize::MAX, usize::MAX, 1, 3][dice.below(4)],
            deltas: dice.percent(50),
            fault,
            disk_fault,
            crash,
            dice,
            now: Millis(1_700_000_000_000),
            engine,
            stores,
            healed: false,
            calm: false,
            script: Vec::new(),
            server,
            disk: Disk::default(),
            wire: Vec::new(),
            strays: Vec::new(),
            walking: BTreeMap::new(),
            loads: Vec::new(),
            wipes: seed % WIPED_EVERY == WIPED_EVERY - 1,
            lost: BTreeMap::new(),
            reference: Reference::new(policy != Policy::Local),
            promises: BTreeMap::new(),
            carried_out: Vec::new(),
            tokens: 0,
            own_keys: 0,
            turn_open: false,
            wake_at: None,
            tally: Tally { histories: 1, ..Tally::default() },
            steps: None,
            hash: None,
        }
    }

    /// One in which nothing fails and no page crashes.
    pub fn without_faults(seed: u64) -> Self {
        Self { fault: 0, disk_fault: 0, crash: 0, ..Self::new(seed) }
    }

    /// The hash of all outputs of a history: the same wherever it is lived (invariant 13).
    pub fn hash_of(seed: u64) -> Result<u64, Violation> {
        let mut world = Self { hash: Some(0xcbf2_9ce4_8422_2325), ..Self::new(seed) };
        world.run().map(|()| world.hash.unwrap_or_default())
    }

    /// The hashes of many histories as one.
    pub fn hash_of_all(seeds: std::ops::Range<u64>) -> Result<u64, Violation> {
        seeds.into_iter().try_fold(0, |all: u64, seed| {
            let hash = Self::hash_of(seed)?;
            Ok(all.rotate_left(7).wrapping_mul(0x0000_0100_0000_01b3) ^ hash)
        })
    }

    /// Lives the whole history.
    pub fn run(&mut self) -> Check {
        self.begin()?;
        for _ in 0..20 + self.dice.below(70) {
            self.act(What::Step)?;
        }
        self.act(What::Heal)?;
        if self.dice.percent(50) {
            self.act(What::Crash)?;
            self.act(What::Heal)?;
        }
        Ok(())
    }

    /// Lives what is left of a history.
    pub fn replay(&mut self, script: &[Act]) -> Check {
        self.begin()?;
        for act in script {
            self.dice.0 = act.dice;
            self.calm = act.calm;
            self.act(act.what)?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Check {
        for _ in 0..self.dice.below(4) {
            let (store, pick) = (self.any_store(), self.dice.roll());
            self.server.foreign(store.0, pick);
        }
        self.open()
    }

    fn act(&mut self, what: What) -> Check {
        self.script.push(Act { what, dice: self.dice.0, calm: self.calm });
        match what {
            What::Step => self.step(),
            What::Crash => self.crash(),
            What::Heal => self.heal(),
        }
    }

    fn any_store(&mut self) -> StoreId {
        self.stores[self.dice.below(self.stores.len())]
    }

    fn step(&mut self) -> Check {
        self.tally.steps += 1;
        if self.turn_open {
            return if self.dice.percent(30) { self.app() } else { self.end_turn() };
        }
        match self.dice.below(100) {
            0..25 => self.app(),
            25..30 => self.ask(),
            30..32 => self.meddle(),
            32 => self.decide(),
            33..55 => self.turn_disk(),
            55..85 => self.turn_network(),
            85..95 => self.pass_time(),
            95..97 => {
                let (store, pick) = (self.any_store(), self.dice.roll());
                let what = self.server.foreign(store.0, pick);
                step!(self, "server: {}", what.unwrap_or_default());
                Ok(())
            }
            _ if self.dice.percent(self.crash * 20) => self.crash(),
            _ => Ok(()),
        }
    }
}

// The engine.
impl World {
    /// Hands an input to the engine and carries out what it wants; then looks at everything.
    fn input(&mut self, input: Input<MapRow>) -> Check {
        let output = self.hand(input)?;
        self.carry_out(output)?;
        self.look()
    }

    /// Hands an input to the engine that it must not refuse.
    fn hand(&mut self, input: Input<MapRow>) -> Result<Output<MapRow>, Violation> {
        let text = self.steps.is_some().then(|| format!("{input:?}"));
        let result = self.engine.handle(self.now, input);
        if let Some(text) = text {
            step!(self, "engine: {text}");
        }
        result.map_err(|fault| Violation { invariant: "settles", text: format!("refused: {fault}") })
    }

    fn look(&mut self) -> Check {
        self.reference.look(&self.engine, &self.server, &self.stores)
    }

    fn carry_out(&mut self, output: Output<MapRow>) -> Check {
        step!(self, "     -> {output:?}");
        if let Some(hash) = &mut self.hash {
            for byte in format!("{output:?}").bytes() {
                *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        self.turn_open |= output.end_turn;
        self.wake_at = output.wake_at;
        if output.wake_at.is_some_and(|at| at <= self.now) {
            return broken("settles", format!("wants to be woken at {:?}, and it is {:?}", output.wake_at, self.now));
        }
        for command in output.commands {
            match command {
                Command::Load(store) => self.loads.push((store, self.disk.load(store), self.disk.cursor(store))),
                Command::Persist(command, _, writes) => self.disk.issue(command, &writes),
                Command::Send(command, store, request) => self.send(command, store, &request)?,
                Command::FetchAll(command, store, reading) => {
                    let page = reading.page.and_then(|page| page.parse().ok());
                    // The address of a page has all that is asked for, as a link of a server has.
                    let cursor = reading.cursor.or_else(|| page.and(self.walking.get(&store.0).cloned().flatten()));
                    self.walking.insert(store.0, cursor.clone());
                    let since = cursor.and_then(|cursor| cursor.parse().ok());
                    self.put_on_wire(command, store, Ask::All { page, since })?;
                }
                // No transporter of these stores has a way of its own.
                Command::Probe(..) => return broken("no invention", "a probe"),
                Command::Lead(..) | Command::ReadNotes(_) | Command::Say(..) => {
                    return broken("no invention", "there is one tab");
                }
                Command::FetchOne(command, store, _, key) => self.put_on_wire(command, store, Ask::One(key))?,
                Command::Resolve(command, _, _, conflict) if self.policy == Policy::Ask => {
                    self.asked.push((command, conflict));
                }
                Command::Resolve(..) => return broken("no invention", "nobody wants to be asked"),
            }
        }
        for (token, result) in output.settled {
            step!(self, "        settled {token:?} {result:?}");
            let Some(promise) = self.promises.remove(&token.0) else {
                return broken("settles", format!("{token:?} is settled twice"));
            };
            self.reference.kept(&promise, &result, &self.engine, &self.disk, &self.server)?;
        }
        Ok(())
    }

    fn send(&mut self, command: CommandId, store: StoreId, request: &Request<MapRow>) -> Check {
        self.reference.write_ahead(request, store, &self.engine, &self.disk)?;
        let needs_key = request.action != Action::Create;
        if needs_key && request.key.as_ref().is_none_or(|key| !key.is_safe()) {
            return broken("ids", format!("no key: {request:?}"));
        }
        if request.action == Action::Delete {
            self.takes_no_edits(request.item)?;
        }
        let fields = request.row.fields();
        let body: [Option<Option<i64>>; FIELDS] = std::array::from_fn(|field| {
            let sent = request.action != Action::Delete && request.fields.iter().any(|other| other == field);
            sent.then_some(fields[field])
        });
        let key = request.key.clone();
        let validator = request.validator.as_deref().map(str::to_owned);
        let (idempotency_key, names) = (request.idempotency_key.0, None);
        let order = Order { action: request.action, key, body, idempotency_key, validator, names };
        self.put_on_wire(command, store, Ask::Write(order))
    }

    /// Invariant 7: what is removed here takes no edits, whatever has become of its removal.
    fn takes_no_edits(&mut self, item: ItemId) -> Check {
        let (row, fields) = (MapRow::new([Some(0); FIELDS]), FieldSet::one(0));
        match self.engine.handle(self.now, Input::Update { item, row, fields, source: Source::State }) {
            Err(fault) if fault.code == Code::Removed => Ok(()),
            result => broken("no resurrection", format!("{item:?} is removed and takes an edit: {result:?}")),
        }
    }

    fn put_on_wire(&mut self, command: CommandId, store: StoreId, ask: Ask) -> Check {
        self.tally.requests += 1;
        // Invariant 3: one request in flight per item.
        if let Ask::Write(order) = &ask {
            let same = |other: &Wire| match &other.ask {
                Ask::Write(other) => other.key.is_some() && other.key == order.key,
                Ask::All { .. } | Ask::One(_) => false,
            };
            if self.wire.iter().any(|wire| wire.store == store && same(wire)) {
                return broken("order", format!("two at once for one item: {order:?}"));
            }
        }
        self.wire.push(Wire { command, store, ask, answer: None });
        Ok(())
    }

    fn end_turn(&mut self) -> Check {
        self.turn_open = false;
        self.input(Input::TurnEnded)
    }

    fn token(&mut self, promise: Promise) -> Token {
        self.tokens += 1;
        self.promises.insert(self.tokens, promise);
        Token(self.tokens)
    }
}

// The app.
impl World {
    fn app(&mut self) -> Check {
        self.tally.edits += 1;
        let store = self.any_store();
        let items: Vec<_> = self.engine.items(store).collect();
        let roll = self.dice.below(10);
        if items.is_empty() || (roll < 3 && items.len() < 7) {
            return self.create(store);
        }
        let item = items[self.dice.below(items.len())];
        let thing = self.thing(store, item);
        let Some(thing) = thing else { return Ok(()) };
        if roll < 8 {
            let mask = [1, 2, 4, 3, 7][self.dice.below(5)];
            let values = self.reference.next_values(mask);
            self.reference.updated(thing, &values);
            let fields = FieldSet(u128::from(mask));
            self.input(Input::Update { item, row: MapRow::new(values), fields, source: Source::State })?;
        } else {
            self.reference.removed(thing);
            self.input(Input::Remove { item, source: Source::State })?;
        }
        self.wait_for(thing)
    }

    fn thing(&self, store: StoreId, item: ItemId) -> Option<usize> {
        self.reference.find(store.0, self.engine.storage_key(item)?)
    }

    fn create(&mut self, store: StoreId) -> Check {
        let values = self.reference.next_values(7);
        let key = self.dice.percent(30).then(|| {
            self.own_keys += 1;
            Key::new(&format!("own{}", self.own_keys), false)
        });
        let is_own = key.is_some();
        let output = self.hand(Input::Create { store, row: MapRow::new(values), key, source: Source::State })?;
        let Made::Item(item) = output.made else { return broken("no invention", "nothing was made") };
        self.reference.created(&self.engine, item, &values, is_own)?;
        self.carry_out(output)?;
        self.look()?;
        match self.thing(store, item) {
            Some(thing) => self.wait_for(thing),
            None => Ok(()),
        }
    }

    /// The app decides about a conflict.
    fn decide(&mut self) -> Check {
        if self.asked.is_empty() {
            return Ok(());
        }
        let (command, conflict) = self.asked.remove(self.dice.below(self.asked.len()));
        let resolution = match self.dice.below(4) {
            0 => Resolution::Remote,
            1 => {
                let set = (0..FIELDS).filter(|field| conflict.local.get(*field).is_some());
                let fields = set.fold(FieldSet::NONE, |all, field| all.with(FieldSet::one(field)));
                Resolution::Values(conflict.local, fields)
            }
            2 if !self.healed => Resolution::Failed(Fault::new(Code::Conflict, "test")),
            _ => Resolution::Local,
        };
        self.input(Input::Resolved(command, resolution))
    }

    /// The app may wait for what it has done.
    fn wait_for(&mut self, thing: usize) -> Check {
        let item = self.reference.things[thing].item;
        for kind in 0..3 {
            if !self.dice.percent(40) {
                continue;
            }
            let snapshot = self.reference.snapshot(thing);
            let input = match kind {
                0 => Input::OnceStored(item, self.token(Promise::Stored(snapshot))),
                1 => Input::OnceSynced(item, self.token(Promise::Synced(snapshot))),
                _ => Input::OnceReady(item, self.token(Promise::Other)),
            };
            self.input(input)?;
        }
        Ok(())
    }

    /// The app asks for something.
    fn ask(&mut self) -> Check {
        let store = self.any_store();
        match self.dice.below(10) {
            0..4 => {
                let token = self.token(Promise::Other);
                self.input(Input::Fetch { store, token, own: false })
            }
            4..6 => {
                let token = self.token(Promise::Other);
                self.input(Input::Flush(store, token))
            }
            6 => {
                let token = self.token(Promise::Other);
                self.input(Input::OnceLoaded(store, token))
            }
            7 => {
                let keys: Vec<Key> =
                    self.server.rows.iter().filter(|row| row.store == store.0).map(|r| r.key.clone()).collect();
                let Some(key) = keys.get(self.dice.below(keys.len())).cloned() else { return Ok(()) };
                if self.engine.find_by_remote_key(store, &key).is_some() {
                    return Ok(());
                }
                let input = Input::Await { store, row: MapRow::default(), key };
                match self.engine.handle(self.now, input) {
                    Ok(output) => {
                        self.carry_out(output)?;
                        self.look()
                    }
                    // The item is removed here and not yet there.
                    Err(fault) if fault.code == Code::Removed => Ok(()),
                    Err(fault) => broken("settles", format!("{fault}")),
                }
            }
            _ => {
                let items: Vec<_> = self.engine.items(store).collect();
                match items.get(self.dice.below(items.len())) {
                    Some(item) => self.input(Input::FetchOne(*item)),
                    None => Ok(()),
                }
            }
        }
    }

    /// The app decides about what is pending, pauses, closes; the browser has a hint.
    fn meddle(&mut self) -> Check {
        let store = self.any_store();
        let pending = self.engine.pending(store);
        let edit = pending.get(self.dice.below(pending.len())).cloned();
        match (self.dice.below(10), edit) {
            (0..3, Some(edit)) => self.input(Input::Retry(edit.item)),
            (3..5, Some(edit)) => {
                let Some(thing) = self.thing(store, edit.item) else { return Ok(()) };
                let output = self.hand(Input::Discard(edit.item))?;
                self.reference.discarded(thing, edit.item, &self.engine);
                self.carry_out(output)?;
                self.look()
            }
            (5, _) => self.input(Input::Pause(store)),
            (6 | 7, _) => self.input(Input::Resume(store)),
            (8, _) if self.dice.percent(30) => self.close(),
            _ => self.input(Input::NetworkHinted),
        }
    }

    /// The page closes in good order, and another one opens.
    fn close(&mut self) -> Check {
        step!(self, "app: closes");
        self.disk_fault = 0;
        while self.disk.is_busy() || !self.loads.is_empty() {
            self.turn_disk()?;
        }
        let was_durable = self.stores.iter().all(|store| self.engine.status(*store).durable);
        for store in self.stores.clone() {
            let token = self.token(Promise::Other);
            let output = self.hand(Input::Close(store, token))?;
            self.carry_out(output)?;
        }
        while self.disk.is_busy() {
            self.disk.finish(None);
            if let Some((command, result)) = self.disk.tell() {
                let output = self.hand(Input::Persisted(command, result))?;
                self.carry_out(output)?;
            }
        }
        if !self.promises.is_empty() {
            return broken("settles", format!("after close: {:?}", self.promises));
        }
        if was_durable {
            self.reference.closed();
        }
        self.crash()
    }

    /// Opens every store, as a page does when it starts.
    fn open(&mut self) -> Check {
        for store in self.stores.clone() {
            let options = StoreOptions {
                name: format!("store {}", store.0),
                origin: Some("https://api.example".into()),
                storage: Some(StorageId(0)),
                fields: FIELDS,
                refers: FieldSet::NONE,
                patches: self.patches,
                numeric_storage_key: store.0 == 1,
                conditional: self.conditional,
                policy: self.policy,
                asks_uncertain: self.asks_uncertain,
                probes: false,
                shared: false,
            };
            let output = self.hand(Input::Open(options, MapRow::default()))?;
            self.carry_out(output)?;
        }
        Ok(())
    }
}

// The disk and the clock.
impl World {
    fn turn_disk(&mut self) -> Check {
        if !self.loads.is_empty() && self.dice.percent(50) {
            return self.load();
        }
        if self.disk.has_issued() && self.dice.percent(60) {
            let failure = self.disk_failure();
            step!(self, "disk: {failure:?}");
            self.disk.finish(failure);
            return Ok(());
        }
        match self.disk.tell() {
            Some((command, result)) => self.input(Input::Persisted(command, result)),
            None if self.disk.has_issued() => {
                self.disk.finish(None);
                Ok(())
            }
            None if !self.loads.is_empty() => self.load(),
            None => Ok(()),
        }
    }

    fn disk_failure(&mut self) -> Option<StorageFailure> {
        if self.healed || !self.dice.percent(self.disk_fault) || self.calm {
            return None;
        }
        self.tally.faults += 1;
        Some(match self.dice.below(12) {
            0..7 => StorageFailure::Aborted("test".into()),
            7..11 => StorageFailure::Quota,
            _ => StorageFailure::Refused("test".into()),
        })
    }

    fn load(&mut self) -> Check {
        let (store, records, cursor) = self.loads.remove(0);
        let kept: Vec<_> = records.iter().map(deep_record).collect();
        let lost = self.lost.remove(&store.0).map(|records| Lost { records, unsynced: 0 });
        let output = self.hand(Input::Loaded {
            store,
            records: Ok(records),
            problem: None,
            cursor,
            lost,
            others: Others::default(),
        })?;
        let status = self.engine.status(store);
        let told = status.storage_error.map(|fault| fault.code);
        // While storage fails, that is said; the loss afterwards.
        if lost.is_some() && status.durable && told != Some(Code::DataLoss) {
            return broken("durable", format!("nothing tells of {lost:?}: {told:?}"));
        }
        self.reference.restarted(store, &kept, &self.engine, &self.server)?;
        self.carry_out(output)?;
        self.look()
    }

    fn pass_time(&mut self) -> Check {
        let span = Millis([1, 50, 700, 5_000, 90_000][self.dice.below(5)]);
        let target = match self.wake_at {
            Some(at) if self.dice.percent(60) => at,
            Some(_) | None => self.now.after(span),
        };
        self.now = self.now.max(target);
        match self.wake_at {
            Some(at) if at <= self.now => self.input(Input::Woken),
            Some(_) | None => Ok(()),
        }
    }

    /// The page is gone, and another one opens.
    fn crash(&mut self) -> Check {
        let kept = self.dice.below(self.disk.issued() + 1);
        self.crash_keeping(kept)
    }

    fn crash_keeping(&mut self, kept: usize) -> Check {
        self.tally.crashes += 1;
        step!(self, "CRASH, {kept} of {} batches are kept", self.disk.issued());
        // A page takes its time to start.
        self.now = self.now.after(Millis(20));
        self.disk.crash(kept);
        for wire in std::mem::take(&mut self.wire) {
            let Ask::Write(order) = wire.ask else { continue };
            if wire.answer.is_some() {
                continue;
            }
            match self.server.class {
                Class::Keyed if self.dice.percent(50) => self.strays.push((wire.store, order)),
                Class::Plain if self.dice.percent(50) => {
                    let form = self.form(order.action);
                    drop(self.write(wire.store, &order, form)?);
                }
                Class::Keyed | Class::Plain => {}
            }
        }
        self.promises.clear();
        self.asked.clear();
        self.loads.clear();
        self.turn_open = false;
        self.wake_at = None;
        self.reference.crashed(&self.disk);
        if self.wipes && self.dice.percent(30) {
            step!(self, "the database is WIPED");
            self.tally.wipes += 1;
            self.lost.extend(self.disk.wipe());
            self.reference.wiped();
        }
        self.engine = Engine::new(engine_seed(&mut self.dice));
        self.open()
    }
}

// The network.
impl World {
    fn turn_network(&mut self) -> Check {
        if !self.strays.is_empty() && self.dice.percent(20) {
            let (store, order) = self.strays.remove(0);
            step!(self, "server: a stray {order:?}");
            return self.write(store, &order, 0).map(drop);
        }
        if self.wire.is_empty() {
            return Ok(());
        }
        let place = self.dice.below(self.wire.len());
        if self.wire[place].answer.is_none() {
            return self.arrive(place);
        }
        let wire = self.wire.remove(place);
        self.deliver(wire)
    }

    fn deliver(&mut self, wire: Wire) -> Check {
        match wire.answer {
            Some(Reply::Write(answer)) => self.input(Input::Answered(wire.command, answer)),
            Some(Reply::All(answer)) => self.input(Input::Fetched(wire.command, answer)),
            Some(Reply::One(answer)) => self.input(Input::FetchedOne(wire.command, answer)),
            None => Ok(()),
        }
    }

    /// A request arrives at the server, or something happens to it.
    fn arrive(&mut self, place: usize) -> Check {
        let (store, ask) = (self.wire[place].store, self.wire[place].ask.clone());
        let is_faulty = !self.healed && self.dice.percent(self.fault) && !self.calm;
        self.tally.faults += u64::from(is_faulty);
        let reply = match ask {
            Ask::Write(order) => Reply::Write(self.answer_write(store, &order, is_faulty)?),
            Ask::All { page, since } => Reply::All(self.answer_all(store, page, since, is_faulty)),
            Ask::One(key) => Reply::One(self.answer_one(store, &key, is_faulty)),
        };
        self.wire[place].answer = Some(reply);
        Ok(())
    }

    fn form(&mut self, action: Action) -> u8 {
        match (self.dice.below(100), action) {
            (0..70, _) => 0,
            (70..84, _) => 1,
            (84..98, _) => 2,
            // Only here a create is answered without anything that tells its key.
            (_, Action::Create) => 3,
            (_, Action::Update | Action::Delete) => 0,
        }
    }

    /// Has the server carry out a write, and checks what that means.
    fn write(&mut self, store: StoreId, order: &Order, form: u8) -> Result<Said, Violation> {
        let retried = self.carried_out.contains(&order.idempotency_key);
        let result = self.server.write(store.0, order, form);
        let (said, effect) = result.map_err(|text| Violation { invariant: "once", text })?;
        step!(self, "server: {order:?} -> {said:?} {effect:?}");
        if let Some(effect) = effect {
            self.reference.took_effect(order, &effect, &self.server, retried)?;
            self.carried_out.push(order.idempotency_key);
        }
        Ok(said)
    }

    fn answer_write(
        &mut self,
        store: StoreId,
        order: &Order,
        is_faulty: bool,
    ) -> Result<Answer<RemoteRow<MapRow>>, Violation> {
        let form = self.form(order.action);
        if !is_faulty {
            let said = self.write(store, order, form)?;
            // The keys of the second store are numbers, and the last segment of this server's addresses is none.
            let says_no_key = said.form == 3 || said.form == 1 && store.0 == 1;
            if order.action == Action::Create && says_no_key {
                self.lose_answer(order);
            }
            return Ok(success(&said, order));
        }
        let (answer, arrives) = self.fault();
        if arrives {
            self.write(store, order, form)?;
            if order.action == Action::Create {
                self.lose_answer(order);
            }
        } else if self.server.class == Class::Keyed && self.dice.percent(10) && matches!(answer, Answer::TimedOut) {
            self.strays.push((store, order.clone()));
        }
        Ok(answer)
    }

    fn lose_answer(&mut self, order: &Order) {
        let value = order.body.iter().flatten().flatten().copied().max();
        self.reference.answer_lost(value);
    }

    /// What may go wrong, and whether the request arrives all the same.
    fn fault<B>(&mut self) -> (Answer<B>, bool) {
        let arrives = self.dice.percent(50);
        let answer = match self.dice.below(13) {
            0..3 => Answer::Unreachable { message: "test".into() },
            3 => Answer::TimedOut,
            4 => return (Answer::Cut, true),
            5 => Answer::Response(response(500, Body::Foreign)),
            6 => Answer::Response(response(502, Body::Foreign)),
            7 => return (Answer::Response(response(200, Body::Malformed)), true),
            8 => return (Answer::Response(response(200, Body::Foreign)), false),
            9 => return (Answer::Response(response(408, Body::Empty)), false),
            10 if self.dice.percent(50) => return (Answer::Response(response(401, Body::Empty)), false),
            _ => {
                let values = ["", "0", "2", "120", "Wed, 15 Nov 2023 00:00:00 GMT", "soon"];
                let retry_after = Some(values[self.dice.below(values.len())].to_owned());
                let status = if arrives { 503 } else { 429 };
                return (Answer::Response(Response { retry_after, ..response(status, Body::Empty) }), false);
            }
        };
        (answer, arrives)
    }

    fn answer_all(
        &mut self,
        store: StoreId,
        page: Option<usize>,
        since: Option<u64>,
        is_faulty: bool,
    ) -> Answer<Rows<MapRow>> {
        // Behind the first page of what has changed nobody can see that something is left out: no server may do that.
        let is_trusted = page.is_some() && since.is_some();
        if is_faulty && (self.dice.percent(70) || is_trusted) {
            return self.fault().0;
        }
        let told = self.server.page(store.0, since, page.unwrap_or(0), self.page_size);
        let mut rows: Vec<_> = told.alive.into_iter().map(remote_row).collect();
        let deleted = told.dead.into_iter().map(|row| row.key.clone()).collect();
        let next = told.next.filter(|_| !is_faulty).map_or(Next::None, |place| Next::Page(place.to_string()));
        let mut cursor = if self.deltas { Cursor::At(told.until.to_string()) } else { Cursor::Kept };
        if is_faulty {
            // Some of them, and nothing is said of the others.
            rows.truncate(self.dice.below(rows.len() + 1));
            cursor = Cursor::Kept;
        }
        let complete = !is_faulty && since.is_none();
        Answer::Response(response(200, Body::Json(Rows { rows, complete, deleted, problem: None, next, cursor })))
    }

    fn answer_one(&mut self, store: StoreId, key: &Key, is_faulty: bool) -> Answer<RemoteRow<MapRow>> {
        if is_faulty {
            return self.fault().0;
        }
        let row = self.server.find(store.0, key).map(|place| &self.server.rows[place]).filter(|row| row.is_alive);
        let (status, body) = row.map_or((404, Body::Empty), |row| (200, Body::Json(remote_row(row))));
        let version = row.and_then(|row| self.server.validator(row));
        Answer::Response(Response { version, ..response(status, body) })
    }
}

pub fn remote_row(row: &ServerRow) -> RemoteRow<MapRow> {
    let told = MapRow::new(row.fields).with_references(&naming(row.names.as_ref())).with_key(&row.key);
    RemoteRow { row: told, present: FieldSet::first(FIELDS), key: Some(row.key.clone()) }
}

/// The forms in which a server may say the same.
pub fn success(said: &Said, order: &Order) -> Answer<RemoteRow<MapRow>> {
    let told = |present: FieldSet, key: &Key, fields: &Fields| RemoteRow {
        // What an answer leaves out is not in it.
        row: MapRow::new(*fields).with_references(&naming(said.names.as_ref())).pick(present).with_key(key),
        present,
        key: Some(key.clone()),
    };
    let sent = (0..FIELDS)
        .filter(|field| order.body[*field].is_some())
        .fold(FieldSet::NONE, |set, field| set.with(FieldSet::one(field)));
    let (body, location) = match (&said.row, said.form) {
        (Some((key, fields)), 0) => (Body::Json(told(FieldSet::first(FIELDS), key, fields)), None),
        (Some((key, fields)), 2) => (Body::Json(told(sent, key, fields)), None),
        (Some((key, _)), 1) => (Body::Empty, Some(format!("https://api.example/rows/{}", key.text()))),
        (Some(_) | None, _) => (Body::Empty, None),
    };
    Answer::Response(Response { location, version: said.validator.clone(), ..response(said.status, body) })
}

pub fn response<B>(status: u16, body: Body<B>) -> Response<B> {
    Response { status, body, text: None, retry_after: None, location: None, version: None, problem: None, said: None }
}

// The end.
impl World {
    /// No more faults: everything that is not parked arrives, every promise settles, both sides are the same.
    fn heal(&mut self) -> Check {
        step!(self, "HEALED");
        self.healed = true;
        if self.turn_open {
            self.end_turn()?;
        }
        self.drain()?;
        for store in self.stores.clone() {
            self.input(Input::Resume(store))?;
            let token = self.token(Promise::Other);
            self.input(Input::Flush(store, token))?;
        }
        self.drain()?;
        // Twice: what the first shows may let an edit leave.
        for _ in 0..2 {
            for store in self.stores.clone() {
                let token = self.token(Promise::Other);
                self.input(Input::Fetch { store, token, own: false })?;
            }
            self.drain()?;
        }
        if let Some((token, promise)) = self.promises.first_key_value() {
            return broken("settles", format!("{token}: {promise:?}"));
        }
        for store in self.stores.clone() {
            let status = self.engine.status(store);
            if status.pending != status.parked && !self.waits_behind_parked(store) {
                return broken("durable", format!("left: {:?}", self.engine.pending(store)));
            }
            self.reference.converged(&self.engine, &self.server, store)?;
        }
        self.healed = false;
        Ok(())
    }

    /// Whether all that is left are parked edits and what was edited behind them.
    fn waits_behind_parked(&self, store: StoreId) -> bool {
        let pending = self.engine.pending(store);
        pending.iter().all(|edit| pending.iter().any(|other| other.item == edit.item && other.reason.is_some()))
    }

    fn drain(&mut self) -> Check {
        for _ in 0..3_000 {
            if self.turn_open {
                self.end_turn()?;
            } else if !self.loads.is_empty() {
                self.load()?;
            } else if self.disk.is_busy() {
                self.turn_disk()?;
            } else if !self.wire.is_empty() || !self.strays.is_empty() {
                self.turn_network()?;
                if self.wire.is_empty() && !self.strays.is_empty() {
                    let (store, order) = self.strays.remove(0);
                    drop(self.write(store, &order, 0)?);
                }
            } else if !self.asked.is_empty() {
                self.decide()?;
            } else if let Some(at) = self.wake_at {
                self.now = self.now.max(at);
                self.input(Input::Woken)?;
            } else {
                return Ok(());
            }
        }
        broken("settles", format!("does not come to rest: {:?}", self.engine.status(self.stores[0])))
    }

    /// What the app would see, for a report.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for store in &self.stores {
            for item in self.engine.items(*store) {
                let _ = writeln!(text, "  {item:?} {:?}", self.engine.row(item));
            }
            let _ = writeln!(text, "  {:?}", self.engine.pending(*store));
        }
        text
    }
}

// One step at a time, without dice: what the smallest histories are made of.
impl World {
    /// A page that has just opened, over a server with one row of somebody else's.
    pub fn small(class: Class, is_conditional: bool) -> Result<Self, Violation> {
        let mut world = Self {
            policy: Policy::Local,
            conditional: is_conditional,
            asks_uncertain: false,
            patches: true,
            page_size: usize::MAX,
            deltas: true,
            stores: vec![StoreId(0)],
            server: Server::new(class, 0),
            reference: Reference::new(false),
            ..Self::without_faults(SMALL)
        };
        world.server.is_conditional = is_conditional;
        world.server.foreign(0, 0);
        world.open()?;
        Ok(world)
    }

    /// What comes next if nothing else does.
    pub fn next(&self) -> Turn {
        if self.turn_open {
            Turn::Over
        } else if !self.loads.is_empty() {
            Turn::Load
        } else if self.disk.has_issued() {
            Turn::Commit
        } else if self.disk.is_busy() {
            Turn::Told
        } else if self.wire.iter().any(|wire| wire.answer.is_none()) {
            Turn::Arrival
        } else if !self.wire.is_empty() {
            Turn::Answer
        } else if self.wake_at.is_some() {
            Turn::Wake
        } else {
            Turn::Rest
        }
    }

    /// Lets that happen, with a fault or without.
    pub fn go_on(&mut self, fault: Option<usize>) -> Check {
        self.dice = Dice::new(SMALL);
        match self.next() {
            Turn::Over => self.end_turn(),
            Turn::Load => self.load(),
            Turn::Commit => {
                let failures = [StorageFailure::Aborted("test".into()), StorageFailure::Quota];
                self.disk.finish(fault.and_then(|fault| failures.into_iter().nth(fault)));
                Ok(())
            }
            Turn::Told => match self.disk.tell() {
                Some((command, result)) => self.input(Input::Persisted(command, result)),
                None => Ok(()),
            },
            Turn::Arrival => {
                let place = self.wire.iter().position(|wire| wire.answer.is_none()).unwrap_or(0);
                match fault {
                    Some(fault) => self.arrive_badly(place, fault),
                    None => self.arrive(place),
                }
            }
            Turn::Answer => {
                let wire = self.wire.remove(0);
                self.deliver(wire)
            }
            Turn::Wake => {
                self.now = self.now.max(self.wake_at.unwrap_or(self.now));
                self.input(Input::Woken)
            }
            Turn::Rest => Ok(()),
        }
    }

    /// In how many ways that may fail.
    pub fn faults(&self) -> usize {
        match self.next() {
            Turn::Commit => 2,
            Turn::Arrival => 2 * BAD,
            Turn::Over | Turn::Load | Turn::Told | Turn::Answer | Turn::Wake | Turn::Rest => 0,
        }
    }

    /// A request and what may go wrong with it: it arrives all the same, or it does not.
    fn arrive_badly(&mut self, place: usize, fault: usize) -> Check {
        let (store, ask) = (self.wire[place].store, self.wire[place].ask.clone());
        let arrives = fault >= BAD;
        let reply = match ask {
            Ask::Write(order) => {
                if arrives {
                    self.write(store, &order, 0)?;
                    if order.action == Action::Create {
                        self.lose_answer(&order);
                    }
                }
                Reply::Write(bad(fault % BAD))
            }
            Ask::All { .. } => Reply::All(bad(fault % BAD)),
            Ask::One(_) => Reply::One(bad(fault % BAD)),
        };
        self.wire[place].answer = Some(reply);
        Ok(())
    }

    /// The edits that the app can make: a create while there are fewer than two items, and of each an update and a removal.
    pub fn edits(&self) -> usize {
        let items = self.engine.items(self.stores[0]).count();
        2 * items + usize::from(self.own_keys + u32::try_from(self.server.rows.len()).unwrap_or(0) < 2)
    }

    pub fn edit(&mut self, which: usize) -> Check {
        let store = self.stores[0];
        let items: Vec<_> = self.engine.items(store).collect();
        let Some(item) = items.get(which / 2).copied() else {
            self.own_keys += 1;
            let values = self.reference.next_values(7);
            let output =
                self.hand(Input::Create { store, row: MapRow::new(values), key: None, source: Source::State })?;
            let Made::Item(item) = output.made else { return broken("no invention", "nothing was made") };
            self.reference.created(&self.engine, item, &values, false)?;
            self.carry_out(output)?;
            self.look()?;
            return self.wait_for_all(store, item);
        };
        let Some(thing) = self.thing(store, item) else { return Ok(()) };
        if which.is_multiple_of(2) {
            let values = self.reference.next_values(3);
            self.reference.updated(thing, &values);
            self.input(Input::Update { item, row: MapRow::new(values), fields: FieldSet(3), source: Source::State })?;
        } else {
            self.reference.removed(thing);
            self.input(Input::Remove { item, source: Source::State })?;
        }
        self.wait_for_all(store, item)
    }

    fn wait_for_all(&mut self, store: StoreId, item: ItemId) -> Check {
        let Some(thing) = self.thing(store, item) else { return Ok(()) };
        let snapshot = self.reference.snapshot(thing);
        let stored = self.token(Promise::Stored(snapshot.clone()));
        self.input(Input::OnceStored(item, stored))?;
        let synced = self.token(Promise::Synced(snapshot));
        self.input(Input::OnceSynced(item, synced))
    }

    /// The page is gone; of its transactions the first `kept` were committed. Requests under way arrive, or do not.
    pub fn crash_here(&mut self, kept: usize, arrive: bool) -> Check {
        self.dice = Dice::new(SMALL);
        let place = |wire: &Wire| wire.answer.is_none();
        while arrive && self.wire.iter().any(place) {
            self.arrive(self.wire.iter().position(place).unwrap_or(0))?;
        }
        self.wire.clear();
        self.crash_keeping(kept)
    }

    /// Whether a request is on its way.
    pub fn is_asking(&self) -> bool {
        self.wire.iter().any(|wire| wire.answer.is_none() && matches!(wire.ask, Ask::Write(_)))
    }

    pub fn finish(&mut self) -> Check {
        self.dice = Dice::new(SMALL);
        self.heal()
    }
}

/// With these dice a server answers in its plainest form.
const SMALL: u64 = 1;
/// How many answers [`bad`] knows.
const BAD: usize = 6;

fn bad<B>(which: usize) -> Answer<B> {
    let later = |status| Response { retry_after: Some("2".into()), ..response(status, Body::Empty) };
    match which {
        0 => Answer::Unreachable { message: "test".into() },
        1 => Answer::TimedOut,
        2 => Answer::Response(response(500, Body::Foreign)),
        3 => Answer::Response(response(200, Body::Malformed)),
        4 => Answer::Response(later(503)),
        _ => Answer::Response(response(401, Body::Empty)),
    }
}

/// What can come next in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Over,
    Load,
    Commit,
    Told,
    Arrival,
    Answer,
    Wake,
    Rest,
}
