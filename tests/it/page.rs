//! A page for stories: one engine, a disk that commits at once unless it is told to wait, a network that the story plays,
//! and a clock that jumps to the next wake-up.

use std::collections::{BTreeMap, VecDeque};

use concordia::engine::{
    Engine, PendingEdit, Status,
    error::{Code, Fault, StorageFailure},
    id::{CommandId, ItemId, Key, StorageId, StoreId, Token},
    input::{Cursor, Input, Lost, Next, Others, Policy, Record, Resolution, Rows, Source, StoreOptions},
    outcome::{Answer, Body, Response},
    output::{Command, Conflict, Made, Output, Reading, Request, Write},
    row::{FieldSet, Reference, RemoteRow, Row},
    time::Millis,
};

use crate::row::{FIELDS, Fields, MapRow, OPENED, deep_record};

/// What a page has asked the network for.
#[derive(Clone, Debug)]
pub enum Asked {
    Write(Request<MapRow>),
    All,
    One(Key),
    Probe,
}

/// A request under way.
#[derive(Clone, Debug)]
pub struct Leaving {
    pub command: CommandId,
    pub store: StoreId,
    pub what: Asked,
}

/// What the next load finds beside the records.
#[derive(Default)]
pub struct Found {
    pub lost: Option<Lost>,
    pub failure: Option<StorageFailure>,
    pub slow_disk: bool,
}

type Disk = BTreeMap<(u16, Key), Record<MapRow>>;

/// What a page shows of an item: its values, its key on the server, whether the server has its edits, and why not.
type Shown = (Fields, Option<Key>, bool, Option<Fault>);

pub struct Page {
    pub engine: Engine<MapRow>,
    pub now: Millis,
    /// The first store.
    pub store: StoreId,
    /// Requests under way, oldest first.
    pub network: Vec<Leaving>,
    /// How many requests have left so far.
    pub requests: usize,
    pub batches: VecDeque<(CommandId, Vec<Write<MapRow>>)>,
    pub disk: Disk,
    /// The cursor of each store, as the disk has it.
    pub cursors: BTreeMap<u16, String>,
    /// Whether batches wait for `commit`.
    pub slow_disk: bool,
    pub wake_at: Option<Millis>,
    /// How the collection was asked for, each time.
    pub readings: Vec<Reading>,
    /// What the app is asked about, oldest first.
    pub conflicts: VecDeque<(CommandId, ItemId, Conflict<MapRow>)>,
    /// Everything that the engine has said.
    pub said: Vec<String>,
    /// Those of the first store.
    pub options: StoreOptions,
    found: Found,
    settled: BTreeMap<Token, Result<(), Fault>>,
    tokens: u32,
    /// What somebody shows who looks at nothing but what the engine lists as changed.
    shown: BTreeMap<StoreId, (Status, BTreeMap<ItemId, Shown>)>,
}

pub fn options() -> StoreOptions {
    StoreOptions {
        name: "people".into(),
        origin: Some("https://api.example".into()),
        storage: Some(StorageId(0)),
        fields: FIELDS,
        refers: FieldSet::NONE,
        patches: true,
        numeric_storage_key: false,
        conditional: false,
        policy: Policy::Local,
        asks_uncertain: false,
        probes: false,
        shared: false,
    }
}

// Opening.
impl Page {
    /// A page with an empty store, after its first read.
    pub fn open() -> Self {
        let mut page = Self::start(options());
        page.answer_all(&[]);
        page
    }

    /// A page whose first read is under way.
    pub fn start(options: StoreOptions) -> Self {
        Self::start_on(options, Disk::new(), BTreeMap::new(), Millis(1_700_000_000_000), Found::default())
    }

    fn start_on(options: StoreOptions, disk: Disk, cursors: BTreeMap<u16, String>, now: Millis, found: Found) -> Self {
        OPENED.set(0);
        // Two pages never roll the same dice.
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&now.0.to_le_bytes());
        let mut page = Self {
            engine: Engine::new(seed),
            now,
            store: StoreId(0),
            network: Vec::new(),
            requests: 0,
            batches: VecDeque::new(),
            disk,
            cursors,
            slow_disk: found.slow_disk,
            wake_at: None,
            readings: Vec::new(),
            conflicts: VecDeque::new(),
            said: Vec::new(),
            options: options.clone(),
            found,
            settled: BTreeMap::new(),
            tokens: 0,
            shown: BTreeMap::new(),
        };
        page.store = page.open_store(options);
        page
    }

    pub fn open_store(&mut self, options: StoreOptions) -> StoreId {
        OPENED.set(OPENED.get() + 1);
        let made = self.does(Input::Open(options, MapRow::default()));
        self.end_turn();
        match made {
            Made::Store(store) => store,
            other => panic!("{other:?}"),
        }
    }

    /// The page is killed, and another one opens over the same disk. Nothing is answered yet.
    pub fn restart(self) -> Self {
        self.restart_and_find(Found::default())
    }

    pub fn restart_and_find(self, found: Found) -> Self {
        Self::start_on(self.options, self.disk, self.cursors, self.now.after(Millis(1_000)), found)
    }
}

// What the app does.
impl Page {
    /// Hands an input to the engine, which must take it.
    pub fn does(&mut self, input: Input<MapRow>) -> Made {
        self.tries(input).unwrap_or_else(|fault| panic!("{fault}"))
    }

    pub fn tries(&mut self, input: Input<MapRow>) -> Result<Made, Fault> {
        let output = self.engine.handle(self.now, input)?;
        let made = output.made;
        self.listen(&output);
        self.carry_out(output);
        Ok(made)
    }

    pub fn end_turn(&mut self) {
        self.does(Input::TurnEnded);
    }

    pub fn create(&mut self, values: &[(usize, i64)]) -> ItemId {
        self.create_with(values, None)
    }

    pub fn create_with(&mut self, values: &[(usize, i64)], key: Option<&str>) -> ItemId {
        let key = key.map(|key| Key::new(key, false));
        let made = self.does(Input::Create { store: self.store, row: MapRow::of(values), key, source: Source::State });
        self.end_turn();
        item(made)
    }

    pub fn update(&mut self, item: ItemId, values: &[(usize, i64)]) {
        self.tries_update(item, values).unwrap_or_else(|fault| panic!("{fault}"));
    }

    pub fn tries_update(&mut self, item: ItemId, values: &[(usize, i64)]) -> Result<(), Fault> {
        let fields = values.iter().fold(FieldSet::NONE, |set, (field, _)| set.with(FieldSet::one(*field)));
        self.tries(Input::Update { item, row: MapRow::of(values), fields, source: Source::State })?;
        self.end_turn();
        Ok(())
    }

    pub fn remove(&mut self, item: ItemId) {
        self.does(Input::Remove { item, source: Source::State });
        self.end_turn();
    }

    /// The item with this key, which the app asks for.
    pub fn find_or_fetch(&mut self, key: &str) -> ItemId {
        let key = Key::new(key, false);
        let made = self.does(Input::Await { store: self.store, row: MapRow::default(), key });
        self.end_turn();
        item(made)
    }

    fn asks(&mut self, input: impl FnOnce(Token) -> Input<MapRow>) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.does(input(token));
        token
    }

    pub fn once_stored(&mut self, item: ItemId) -> Token {
        self.asks(|token| Input::OnceStored(item, token))
    }

    pub fn once_synced(&mut self, item: ItemId) -> Token {
        self.asks(|token| Input::OnceSynced(item, token))
    }

    pub fn once_ready(&mut self, item: ItemId) -> Token {
        self.asks(|token| Input::OnceReady(item, token))
    }

    pub fn once_loaded(&mut self) -> Token {
        let store = self.store;
        self.asks(|token| Input::OnceLoaded(store, token))
    }

    pub fn fetch(&mut self) -> Token {
        let store = self.store;
        self.asks(|token| Input::Fetch { store, token, own: false })
    }

    /// A read in a way of its own.
    pub fn fetch_own(&mut self) -> Token {
        let store = self.store;
        self.asks(|token| Input::Fetch { store, token, own: true })
    }

    pub fn flush(&mut self) -> Token {
        let store = self.store;
        self.asks(|token| Input::Flush(store, token))
    }

    pub fn close(&mut self) -> Token {
        let store = self.store;
        self.asks(|token| Input::Close(store, token))
    }

    /// What became of a promise: nothing yet, settled, or rejected with a code.
    pub fn outcome(&self, token: Token) -> Option<Result<(), Code>> {
        self.settled.get(&token).map(|result| result.clone().map_err(|fault| fault.code))
    }
}

// What is to be seen.
impl Page {
    pub fn value(&self, item: ItemId, field: usize) -> Option<i64> {
        self.engine.row(item).and_then(|row| row.get(field))
    }

    pub fn items(&self) -> Vec<ItemId> {
        self.engine.items(self.store).collect()
    }

    pub fn pending(&self) -> Vec<PendingEdit> {
        self.engine.pending(self.store)
    }

    pub fn status(&self) -> Status {
        self.engine.status(self.store)
    }

    /// The writes under way, oldest first.
    pub fn writes(&self) -> Vec<Request<MapRow>> {
        let write = |leaving: &Leaving| match &leaving.what {
            Asked::Write(request) => Some(request.clone()),
            Asked::All | Asked::One(_) | Asked::Probe => None,
        };
        self.network.iter().filter_map(write).collect()
    }

    /// The one write that is under way.
    pub fn write(&self) -> Request<MapRow> {
        let writes = self.writes();
        assert_eq!(writes.len(), 1, "{:?}", self.network);
        writes[0].clone()
    }
}

// What the world does.
impl Page {
    fn carry_out(&mut self, output: Output<MapRow>) {
        self.said.push(format!("{output:?}"));
        self.wake_at = output.wake_at;
        assert!(output.wake_at.is_none_or(|at| at > self.now), "wants to be woken in the past: {output:?}");
        for (token, result) in output.settled {
            assert!(self.settled.insert(token, result).is_none(), "{token:?} is settled twice");
        }
        let mut loads = Vec::new();
        for command in output.commands {
            let (command, store, what) = match command {
                Command::Load(store) => {
                    loads.push(store);
                    continue;
                }
                Command::Persist(command, _, writes) => {
                    self.batches.push_back((command, writes.iter().map(deep).collect()));
                    continue;
                }
                Command::Send(command, store, request) => {
                    (command, store, Asked::Write(Request { row: request.row.deep(), ..request }))
                }
                Command::FetchAll(command, store, reading) => {
                    self.readings.push(reading);
                    (command, store, Asked::All)
                }
                Command::FetchOne(command, store, _, key) => (command, store, Asked::One(key)),
                Command::Resolve(command, _, item, conflict) => {
                    self.conflicts.push_back((command, item, conflict));
                    continue;
                }
                Command::Probe(command, store) => (command, store, Asked::Probe),
                Command::Lead(..) | Command::ReadNotes(_) | Command::Say(..) => panic!("there is one tab: {command:?}"),
            };
            self.requests += 1;
            self.network.push(Leaving { command, store, what });
        }
        for store in loads {
            let records = self.disk.iter().filter(|((of, _), _)| *of == store.0).map(|(_, record)| deep_record(record));
            let records = self.found.failure.take().map_or_else(|| Ok(records.collect()), Err);
            let (cursor, lost) = (self.cursors.get(&store.0).cloned(), self.found.lost.take());
            self.does(Input::Loaded { store, records, problem: None, cursor, lost, others: Others::default() });
        }
        if !self.slow_disk {
            self.commit();
        }
    }

    /// Whoever draws an item when it is listed as changed shows what the engine has.
    fn listen(&mut self, output: &Output<MapRow>) {
        if let Made::Store(store) = output.made {
            self.shown.insert(store, (self.engine.status(store), BTreeMap::new()));
        }
        let engine = &self.engine;
        self.shown.retain(|store, _| engine.is_open(*store));
        for changes in output.changes.iter().filter(|changes| engine.is_open(changes.store)) {
            let (went, updated) = (&changes.removed, &changes.updated);
            // What came and went in one step is listed as both.
            let came: Vec<_> = changes.added.iter().filter(|id| !went.contains(id)).collect();
            let now = |id: &ItemId| self.show(*id).unwrap_or_else(|| panic!("{id:?} is not there: {changes:?}"));
            let drawn: Vec<_> = came.iter().copied().chain(updated).map(|id| (*id, now(id))).collect();
            let Some((status, items)) = self.shown.get_mut(&changes.store) else { panic!("no store: {changes:?}") };
            *status = self.engine.status(changes.store);
            went.iter().for_each(|id| drop(items.remove(id)));
            for (place, (id, shown)) in drawn.into_iter().enumerate() {
                let is_new = items.insert(id, shown).is_none();
                assert!(is_new || place >= came.len(), "{id:?} came, and was here: {changes:?}");
            }
            let mut once: Vec<_> = came.iter().copied().chain(updated).chain(went).collect();
            let listed = once.len();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), listed, "an item is listed twice: {changes:?}");
        }
        let stores = output.changes.iter().map(|changes| changes.store);
        assert_eq!(stores.clone().collect::<std::collections::BTreeSet<_>>().len(), stores.count(), "{output:?}");
        // Of many items that would take its time.
        for (store, (status, items)) in self.shown.iter().filter(|(_, (_, items))| items.len() < 30) {
            assert_eq!(*status, self.engine.status(*store), "{output:?}");
            let there: BTreeMap<_, _> = self.engine.items(*store).filter_map(|id| Some((id, self.show(id)?))).collect();
            assert_eq!(*items, there, "{output:?}");
        }
    }

    fn show(&self, id: ItemId) -> Option<Shown> {
        let row = self.engine.row(id)?;
        Some((row.fields(), row.remote_key(), self.engine.is_synced(id), self.engine.parked(id).cloned()))
    }

    /// The disk commits everything that it was given.
    pub fn commit(&mut self) {
        while let Some((command, writes)) = self.batches.pop_front() {
            for write in writes {
                match write {
                    Write::Put(store, _, record) => {
                        self.disk.insert((store.0, record.storage_key.clone()), record);
                    }
                    Write::Erase(store, _, key) => {
                        self.disk.remove(&(store.0, key));
                    }
                    Write::Cursor(store, Some(cursor)) => {
                        self.cursors.insert(store.0, cursor);
                    }
                    Write::Cursor(store, None) => {
                        self.cursors.remove(&store.0);
                    }
                    Write::After(_) | Write::Fence { .. } | Write::Notes { .. } | Write::Forget { .. } => {
                        panic!("there is one tab: {write:?}")
                    }
                }
            }
            self.does(Input::Persisted(command, Ok(())));
        }
    }

    /// The disk does not commit the oldest batch.
    pub fn abort(&mut self, failure: StorageFailure) {
        let (command, _) = self.batches.pop_front().unwrap_or_else(|| panic!("there is no batch"));
        self.does(Input::Persisted(command, Err(failure)));
    }

    /// Time goes on to the next moment that the engine waits for. False if it waits for nothing.
    pub fn wake(&mut self) -> bool {
        let Some(at) = self.wake_at else { return false };
        self.now = self.now.max(at);
        self.does(Input::Woken);
        true
    }

    /// Takes the request that `which` describes off the network.
    fn take(&mut self, which: impl Fn(&Leaving) -> bool) -> Leaving {
        let place = self.network.iter().position(which);
        let place = place.unwrap_or_else(|| panic!("nothing such was asked: {:?}", self.network));
        self.network.remove(place)
    }

    /// The oldest write of an item is answered.
    pub fn answer(&mut self, item: ItemId, answer: Answer<RemoteRow<MapRow>>) {
        let leaving = self.take(|leaving| matches!(&leaving.what, Asked::Write(request) if request.item == item));
        self.does(Input::Answered(leaving.command, answer));
    }

    /// A request is answered, whatever it asks for, with something that is no success.
    pub fn answer_any(&mut self, leaving: &Leaving, failure: &Failure) {
        self.network.retain(|other| other.command != leaving.command);
        match &leaving.what {
            Asked::Write(_) => self.does(Input::Answered(leaving.command, failure.answer())),
            Asked::All => self.does(Input::Fetched(leaving.command, failure.answer())),
            Asked::One(_) => self.does(Input::FetchedOne(leaving.command, failure.answer())),
            Asked::Probe => self.does(Input::Probed(leaving.command, false)),
        };
    }

    /// The read of the collection is answered with everything there is.
    pub fn answer_all(&mut self, rows: &[(&str, &[(usize, i64)])]) {
        let rows = rows.iter().map(|(key, values)| remote(key, values)).collect();
        self.answer_read(json(
            200,
            Rows { rows, complete: true, deleted: Vec::new(), problem: None, next: Next::None, cursor: Cursor::Kept },
        ));
    }

    pub fn answer_read(&mut self, answer: Answer<Rows<MapRow>>) {
        let store = self.store;
        let leaving = self.take(|leaving| leaving.store == store && matches!(leaving.what, Asked::All));
        self.does(Input::Fetched(leaving.command, answer));
    }

    pub fn answer_one(&mut self, answer: Answer<RemoteRow<MapRow>>) {
        let leaving = self.take(|leaving| matches!(leaving.what, Asked::One(_)));
        self.does(Input::FetchedOne(leaving.command, answer));
    }

    /// The server takes the oldest write of an item and says what it holds.
    pub fn accept(&mut self, item: ItemId, key: &str) {
        let of = |asked: &Asked| matches!(asked, Asked::Write(request) if request.item == item);
        let place = self.network.iter().position(|leaving| of(&leaving.what));
        let Some(Asked::Write(request)) = place.map(|place| &self.network[place].what) else {
            panic!("nothing was sent for {item:?}: {:?}", self.network)
        };
        let fields = request.row.fields();
        let values: Vec<_> = fields.iter().enumerate().filter_map(|(field, value)| Some((field, (*value)?))).collect();
        // A server knows its own keys only.
        let references = request
            .row
            .references(request.fields)
            .into_iter()
            .map(|reference| Reference { storage_key: None, ..reference });
        let references: Vec<Reference> = references.filter(|reference| reference.key.is_some()).collect();
        let told = remote(key, &values);
        self.answer(item, json(200, RemoteRow { row: told.row.with_references(&references), ..told }));
    }

    /// The app decides about the oldest conflict.
    pub fn resolve(&mut self, resolution: Resolution<MapRow>) {
        let (command, ..) = self.conflicts.pop_front().unwrap_or_else(|| panic!("nothing is asked"));
        self.does(Input::Resolved(command, resolution));
    }

    /// An item of which the server tells, and which client storage does not have yet.
    pub fn settled_unstored(&mut self, key: &str) -> ItemId {
        let rows = vec![remote(key, &[(0, 1)])];
        let problem = None;
        let deleted = Vec::new();
        let rows = Rows { rows, complete: false, deleted, problem, next: Next::None, cursor: Cursor::Kept };
        self.does(Input::Heard(self.store, rows));
        let item = self.engine.find_by_remote_key(self.store, &Key::new(key, false));
        item.unwrap_or_else(|| panic!("{key} is not here"))
    }

    /// An item that both sides hold.
    pub fn settled_item(&mut self, key: &str, values: &[(usize, i64)]) -> ItemId {
        let item = self.create(values);
        self.accept(item, key);
        assert!(self.engine.is_synced(item));
        item
    }
}

/// What may come instead of a success.
#[derive(Clone, Debug)]
pub enum Failure {
    Unreachable,
    TimedOut,
    Cut,
    Status(u16, Option<&'static str>),
    Foreign,
    Malformed,
}

impl Failure {
    pub fn answer<B>(&self) -> Answer<B> {
        match self {
            Self::Unreachable => Answer::Unreachable { message: "Failed to fetch".into() },
            Self::TimedOut => Answer::TimedOut,
            Self::Cut => Answer::Cut,
            Self::Status(status, retry_after) => {
                let Answer::Response(response) = empty(*status) else { unreachable!() };
                Answer::Response(Response { retry_after: retry_after.map(str::to_owned), ..response })
            }
            Self::Foreign => body(200, Body::Foreign),
            Self::Malformed => body(200, Body::Malformed),
        }
    }
}

pub fn body<B>(status: u16, body: Body<B>) -> Answer<B> {
    Answer::Response(Response {
        status,
        body,
        text: None,
        retry_after: None,
        location: None,
        version: None,
        problem: None,
        said: None,
    })
}

pub fn json<B>(status: u16, value: B) -> Answer<B> {
    body(status, Body::Json(value))
}

pub fn empty<B>(status: u16) -> Answer<B> {
    body(status, Body::Empty)
}

/// The same answer, which says which state of the row it shows.
pub fn versioned<B>(version: &str, answer: Answer<B>) -> Answer<B> {
    match answer {
        Answer::Response(response) => Answer::Response(Response { version: Some(version.into()), ..response }),
        Answer::Unreachable { .. } | Answer::TimedOut | Answer::Cut => answer,
    }
}

/// A row as a server gives it.
pub fn remote(key: &str, values: &[(usize, i64)]) -> RemoteRow<MapRow> {
    let key = Key::new(key, false);
    RemoteRow { row: MapRow::of(values).with_key(&key), present: FieldSet::first(FIELDS), key: Some(key) }
}

fn deep(write: &Write<MapRow>) -> Write<MapRow> {
    match write {
        Write::Put(store, item, record) => Write::Put(*store, *item, deep_record(record)),
        Write::Erase(store, item, key) => Write::Erase(*store, *item, key.clone()),
        Write::Cursor(store, cursor) => Write::Cursor(*store, cursor.clone()),
        Write::After(_) | Write::Fence { .. } | Write::Notes { .. } | Write::Forget { .. } => {
            panic!("there is one tab: {write:?}")
        }
    }
}

fn item(made: Made) -> ItemId {
    match made {
        Made::Item(item) => item,
        Made::Nothing | Made::Store(_) => panic!("{made:?}"),
    }
}
