//! Several tabs over one disk, with one server: tabs that open, close, crash, freeze and thaw at any step, the lock that says
//! who sends, and what they tell each other.
//!
//! The checker sees only what the apps in the tabs did, what their promises said, and what the server holds. Every edit sets a
//! value that no other sets, and notes the value that the app saw in its place, so that each field of each item has a family
//! tree of values: nothing may end, or be seen again, that is an ancestor of something newer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
};

use concordia::engine::{
    Engine, PendingEdit, Status,
    config::LEASE,
    error::{Code, Fault, StorageFailure},
    id::{CommandId, ItemId, Key, StorageId, StoreId, Token},
    input::{Cursor, Input, Next, Others, Policy, Rows, Source, StoreOptions},
    lifecycle::Action,
    outcome::{Answer, Body, Response},
    output::{Command, Made, Output, Request, Say, Write},
    row::{FieldSet, Reference, RemoteRow, Row},
    sender::{Mark, News, Word},
    time::Millis,
};

use super::{
    disk::Disk,
    reference::{Check, broken},
    server::{Ask, Class, Order, REFERS, Server},
    world::{Dice, engine_seed, remote_row, response, success},
};
use crate::row::{FIELDS, MapRow, OWN_STORE, deep_record};

/// The store on the disk and at the server. A page that opens it anew has another number for it.
const STORE: StoreId = StoreId(0);
/// Set when an item is made, and never again: by it an item is known wherever it is.
const NAME: usize = 0;
/// The fields that are edited.
const EDITED: [usize; 2] = [1, 2];

/// What the histories of a run have seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub histories: u64,
    pub steps: u64,
    pub edits: u64,
    pub requests: u64,
    pub crashes: u64,
    pub freezes: u64,
    pub thefts: u64,
    pub overtaken: u64,
}

impl Seen {
    pub fn add(&mut self, other: Self) {
        self.histories += other.histories;
        self.steps += other.steps;
        self.edits += other.edits;
        self.requests += other.requests;
        self.crashes += other.crashes;
        self.freezes += other.freezes;
        self.thefts += other.thefts;
        self.overtaken += other.overtaken;
    }
}

enum Job {
    Write(CommandId, Vec<Write<MapRow>>),
    Load,
    Notes,
}

enum Post {
    Leads(bool),
    Word(Word<MapRow>),
}

struct Wire {
    command: CommandId,
    ask: Ask,
    answer: Option<Input<MapRow>>,
}

/// What was done up to a moment to one item in one tab.
#[derive(Clone, Debug, Default)]
struct Done {
    name: i64,
    values: Vec<(usize, i64)>,
    is_removed: bool,
    /// Whether the item had no key on the server then.
    was_keyless: bool,
}

#[derive(Debug)]
enum Promise {
    Stored(Done),
    Synced(Done),
    Other,
}

/// A page without a store. Answers to what it has sent are on their way.
struct Page {
    engine: Engine<MapRow>,
    next: StoreId,
    wire: Vec<Wire>,
}

/// A store that a page has open.
struct Tab {
    engine: Engine<MapRow>,
    store: StoreId,
    is_frozen: bool,
    jobs: VecDeque<Job>,
    told: VecDeque<Input<MapRow>>,
    posts: VecDeque<Post>,
    wire: Vec<Wire>,
    batches: BTreeMap<CommandId, Vec<Write<MapRow>>>,
    /// Those that were not committed.
    undone: BTreeSet<CommandId>,
    /// How many batches of records it has heard of, and how many it has read or written itself.
    heard: u64,
    known: u64,
    turn_open: bool,
    wake_at: Option<Millis>,
    promises: BTreeMap<u32, Promise>,
    /// What its app did, by the items' names.
    done: BTreeMap<i64, Done>,
    has_read: bool,
    /// What was said to be stored when the disk was read for it.
    read_then: BTreeMap<i64, Done>,
    /// The items that its page was told of, and not yet that they are gone.
    shown: BTreeSet<ItemId>,
    /// Items of which it has seen two at once.
    doubled: BTreeSet<i64>,
}

impl Tab {
    fn items(&self) -> impl Iterator<Item = ItemId> {
        self.engine.items(self.store)
    }

    fn pending(&self) -> Vec<PendingEdit> {
        self.engine.pending(self.store)
    }

    fn status(&self) -> Status {
        self.engine.status(self.store)
    }

    /// One transaction.
    fn write(&mut self, disk: &mut Disk, command: CommandId, writes: Vec<Write<MapRow>>) -> Result<(), StorageFailure> {
        let is_undone = |write: &Write<MapRow>| matches!(write, Write::After(before) if self.undone.contains(before));
        let result = if writes.iter().any(is_undone) { Err(StorageFailure::Outrun) } else { disk.write(writes) };
        if result.is_err() {
            self.undone.insert(command);
        }
        result
    }
}

pub struct Tabs {
    dice: Dice,
    now: Millis,
    tabs: BTreeMap<u32, Tab>,
    opened: u32,
    /// How many tabs there may be at once.
    most: usize,
    /// The page in which a store was closed, and none is open.
    left: Option<Page>,
    holder: Option<u32>,
    queue: Vec<u32>,
    disk: Disk,
    /// The tab that wrote records last, and since when no other did.
    writer: (u32, Millis),
    server: Server,
    patches: bool,
    /// Whether the server tells what has changed since a read, and others delete what others have made.
    deltas: bool,
    /// Whether the app gives keys of its own to some of what it makes.
    gives_keys: bool,
    /// Whether one of the fields that are edited also refers to another item.
    refers: bool,
    /// Whether what the lock says and what other tabs say comes in one order. Browsers promise it for each alone.
    in_order: bool,
    fault: u64,
    trouble: u64,
    healed: bool,
    values: i64,
    tokens: u32,
    /// The value that the app saw where it set this one.
    seen: BTreeMap<i64, Option<i64>>,
    /// The item to which the field refers that was set to this value.
    meant: BTreeMap<i64, i64>,
    /// What was said to be stored: the fields of items, and removals.
    stored: BTreeMap<i64, Done>,
    /// The tabs that edited an item after it was made.
    editors: BTreeMap<i64, BTreeSet<u32>>,
    /// The keys of the apps' own under which something was made there, or was to be made.
    made: BTreeSet<Key>,
    /// The tabs that removed an item.
    removers: BTreeMap<i64, BTreeSet<u32>>,
    /// Whether a create may have been sent twice, or its answer was lost.
    is_uncertain: bool,
    pub seen_by_now: Seen,
    pub steps: Option<String>,
    /// How the dice lay before each step.
    pub script: Vec<Dice>,
}

macro_rules! step {
    ($world:expr, $($what:tt)*) => {
        if let Some(steps) = &mut $world.steps {
            let _ = writeln!(steps, "{:>7} {}", $world.now.0 - START.0, format_args!($($what)*));
        }
    };
}

/// No tab has this number.
const SOMEBODY_ELSE: u32 = 0;
const START: Millis = Millis(1_700_000_000_000);

impl Tabs {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x7461_6273);
        let class = if dice.percent(70) { Class::Keyed } else { Class::Plain };
        let mut server = Server::new(class, dice.roll());
        server.is_conditional = dice.percent(40);
        let most = 1 + dice.below(4);
        Self {
            most,
            patches: dice.percent(60),
            in_order: dice.clone().percent(50),
            deltas: (dice.clone().roll() >> 20).is_multiple_of(2),
            gives_keys: (dice.clone().roll() >> 24).is_multiple_of(2),
            refers: (dice.clone().roll() >> 28).is_multiple_of(2),
            fault: [0, 10, 40][dice.below(3)],
            trouble: [0, 2, 6][dice.below(3)],
            dice,
            now: START,
            tabs: BTreeMap::new(),
            opened: 0,
            left: None,
            holder: None,
            queue: Vec::new(),
            disk: Disk::default(),
            writer: (0, START),
            server,
            healed: false,
            values: 0,
            tokens: 0,
            seen: BTreeMap::new(),
            meant: BTreeMap::new(),
            stored: BTreeMap::new(),
            editors: BTreeMap::new(),
            made: BTreeSet::new(),
            removers: BTreeMap::new(),
            is_uncertain: false,
            seen_by_now: Seen { histories: 1, ..Seen::default() },
            steps: None,
            script: Vec::new(),
        }
    }

    pub fn run(&mut self) -> Check {
        self.begin()?;
        for _ in 0..60 + self.dice.below(240) {
            self.script.push(self.dice.clone());
            self.step()?;
        }
        self.end()
    }

    /// The same with these steps alone.
    pub fn replay(&mut self, script: &[Dice]) -> Check {
        self.begin()?;
        for dice in script {
            self.dice.clone_from(dice);
            self.step()?;
        }
        self.end()
    }

    fn begin(&mut self) -> Check {
        for _ in 0..self.dice.below(3) {
            self.meddle();
        }
        self.open()
    }

    fn end(&mut self) -> Check {
        self.heal()?;
        // Whoever comes next finds the same.
        for tab in self.ids() {
            self.crash(tab);
        }
        self.open()?;
        self.heal()
    }

    fn ids(&self) -> Vec<u32> {
        self.tabs.keys().copied().collect()
    }

    fn step(&mut self) -> Check {
        self.seen_by_now.steps += 1;
        let awake: Vec<u32> = self.tabs.iter().filter(|(_, tab)| !tab.is_frozen).map(|(id, _)| *id).collect();
        let roll = self.dice.below(100);
        if awake.is_empty() || roll < 2 && self.tabs.len() < self.most {
            return if self.tabs.len() < self.most { self.open() } else { self.thaw() };
        }
        let tab = awake[self.dice.below(awake.len())];
        if self.tabs[&tab].turn_open {
            return if self.dice.percent(30) { self.app(tab) } else { self.end_turn(tab) };
        }
        match roll {
            2..20 => self.app(tab),
            20..23 => self.ask(tab),
            23..45 => self.turn_disk(tab),
            45..60 => self.read_post(tab),
            60..84 => self.turn_network(tab),
            84..92 => self.pass_time(),
            92..94 => {
                self.meddle();
                Ok(())
            }
            94 => self.thaw(),
            _ if self.dice.percent(self.trouble * 8) => match self.dice.below(4) {
                0 => {
                    step!(self, "{tab} FREEZES");
                    self.seen_by_now.freezes += 1;
                    self.tabs.entry(tab).and_modify(|tab| tab.is_frozen = true);
                    Ok(())
                }
                1 => self.close(tab),
                _ => {
                    self.crash(tab);
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    /// Somebody else adds a row, or changes or deletes one that somebody else has added. What it means that others change and delete what
    /// was made here is simulated with one tab.
    fn meddle(&mut self) {
        let names = |server: &Server| server.alive(STORE.0).filter_map(|row| row.fields[NAME]).collect::<Vec<i64>>();
        let before = names(&self.server);
        let theirs: Vec<bool> = self.server.alive(STORE.0).map(|row| row.fields[NAME] < Some(0)).collect();
        for _ in 0..50 {
            let pick = self.dice.roll() >> 16;
            let place = usize::try_from(pick / 8).unwrap_or(0) % theirs.len().max(1);
            let alters = if pick % 8 < 6 { !(pick / 64).is_multiple_of(3) } else { self.deltas };
            if pick % 8 < 2 || theirs.is_empty() || alters && theirs.get(place) == Some(&true) {
                let what = self.server.foreign(STORE.0, pick);
                step!(self, "server: {}", what.unwrap_or_default());
                let left = names(&self.server);
                for name in before.into_iter().filter(|name| !left.contains(name)) {
                    self.removers.entry(name).or_default().insert(SOMEBODY_ELSE);
                }
                return;
            }
        }
    }
}

// Tabs come and go.
impl Tabs {
    fn open(&mut self) -> Check {
        self.opened += 1;
        let id = self.opened;
        let engine = Engine::new(engine_seed(&mut self.dice));
        let page = self.left.take().unwrap_or_else(|| Page { engine, next: STORE, wire: Vec::new() });
        step!(self, "{id} OPENS {:?}", page.next);
        let tab = Tab {
            engine: page.engine,
            store: page.next,
            is_frozen: false,
            jobs: VecDeque::new(),
            told: VecDeque::new(),
            posts: VecDeque::new(),
            wire: page.wire,
            batches: BTreeMap::new(),
            undone: BTreeSet::new(),
            heard: 0,
            known: 0,
            turn_open: false,
            wake_at: None,
            promises: BTreeMap::new(),
            done: BTreeMap::new(),
            has_read: false,
            read_then: BTreeMap::new(),
            shown: BTreeSet::new(),
            doubled: BTreeSet::new(),
        };
        self.tabs.insert(id, tab);
        let options = StoreOptions {
            name: "store".into(),
            origin: Some("https://api.example".into()),
            storage: Some(StorageId(0)),
            fields: FIELDS,
            refers: if self.refers { FieldSet::one(REFERS) } else { FieldSet::NONE },
            patches: self.patches,
            numeric_storage_key: false,
            conditional: self.server.is_conditional,
            policy: Policy::Local,
            asks_uncertain: false,
            probes: false,
            shared: true,
        };
        self.input(id, Input::Open(options, MapRow::default()))
    }

    fn thaw(&mut self) -> Check {
        let frozen: Vec<u32> = self.tabs.iter().filter(|(_, tab)| tab.is_frozen).map(|(id, _)| *id).collect();
        if let Some(tab) = frozen.get(self.dice.below(frozen.len())) {
            step!(self, "{tab} THAWS");
            self.tabs.entry(*tab).and_modify(|tab| tab.is_frozen = false);
            return self.wake(*tab);
        }
        Ok(())
    }

    fn crash(&mut self, id: u32) {
        self.seen_by_now.crashes += 1;
        // An answer may have come that was not written down yet.
        self.is_uncertain = true;
        let Some(mut tab) = self.tabs.remove(&id) else { return };
        let kept = self.dice.below(tab.jobs.len() + 1);
        step!(self, "{id} CRASHES, {kept} of {} jobs are done", tab.jobs.len());
        for _ in 0..kept {
            if let Some(Job::Write(command, writes)) = tab.jobs.pop_front() {
                let before = self.disk.mark(STORE);
                drop(tab.write(&mut self.disk, command, writes));
                self.has_written(id, before);
            }
        }
        for wire in tab.wire {
            let Ask::Write(order) = wire.ask else { continue };
            if wire.answer.is_none() && self.dice.percent(50) {
                drop(self.server.write(STORE.0, &order, 0));
            }
        }
        self.let_go_lock(id);
    }

    fn let_go_lock(&mut self, id: u32) {
        self.queue.retain(|other| *other != id);
        if self.holder == Some(id) {
            self.holder = if self.queue.is_empty() { None } else { Some(self.queue.remove(0)) };
            if let Some(next) = self.holder {
                self.post(next, Post::Leads(true));
            }
        }
    }

    /// In good order: what was done is written first. The page may open the store anew.
    fn close(&mut self, id: u32) -> Check {
        step!(self, "{id} CLOSES");
        // What is closed shows nothing any more.
        self.tabs.get_mut(&id).into_iter().for_each(|tab| tab.has_read = true);
        let token = self.token(id, Promise::Other);
        self.input(id, Input::Close(self.tabs[&id].store, token))?;
        for _ in 0..100 {
            if self.tabs[&id].turn_open {
                self.end_turn(id)?;
            } else if !self.tabs[&id].jobs.is_empty() || !self.tabs[&id].told.is_empty() {
                self.disk_turn(id, None)?;
            } else {
                break;
            }
        }
        if !self.tabs[&id].promises.is_empty() {
            return broken("settles", format!("after close: {:?}", self.tabs[&id].promises));
        }
        if self.dice.clone().percent(50) {
            self.let_arrive(id)?;
            let Some(tab) = self.tabs.get_mut(&id) else { return Ok(()) };
            let wire = std::mem::take(&mut tab.wire);
            self.left = Some(Page { engine: tab.engine.clone(), next: StoreId(tab.store.0 + 1), wire });
        }
        self.crash(id);
        Ok(())
    }

    fn post(&mut self, id: u32, post: Post) {
        if let Some(tab) = self.tabs.get_mut(&id) {
            tab.posts.push_back(post);
        }
    }
}

// The engines.
impl Tabs {
    fn input(&mut self, id: u32, input: Input<MapRow>) -> Check {
        let output = self.hand(id, input)?;
        self.carry_out(id, output)?;
        self.look(id)
    }

    fn hand(&mut self, id: u32, input: Input<MapRow>) -> Result<Output<MapRow>, super::reference::Violation> {
        let text = self.steps.is_some().then(|| format!("{input:?}"));
        let now = self.now;
        let Some(tab) = self.tabs.get_mut(&id) else {
            return Err(super::reference::Violation { invariant: "test", text: "no such tab".into() });
        };
        OWN_STORE.set(Some(tab.store));
        let result = tab.engine.handle(now, input);
        if let Some(text) = text {
            step!(self, "{id}: {text}");
        }
        result.map_err(|fault| super::reference::Violation { invariant: "settles", text: format!("refused: {fault}") })
    }

    fn carry_out(&mut self, id: u32, output: Output<MapRow>) -> Check {
        step!(self, "     -> {output:?}");
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(()) };
        tab.turn_open |= output.end_turn;
        tab.wake_at = output.wake_at;
        if output.wake_at.is_some_and(|at| at <= self.now) {
            return broken("settles", format!("{id} wants to be woken at {:?}", output.wake_at));
        }
        for changes in &output.changes {
            let shown = &mut tab.shown;
            let told = changes.added.iter().all(|item| shown.insert(*item))
                && changes.removed.iter().all(|item| shown.remove(item))
                && changes.updated.iter().all(|item| shown.contains(item) && !changes.added.contains(item));
            let here: BTreeSet<ItemId> = tab.engine.items(changes.store).collect();
            if !told || *shown != here && tab.engine.is_open(changes.store) {
                return broken("tells", format!("{id} was told {changes:?}, shows {shown:?}, and has {here:?}"));
            }
        }
        for command in output.commands {
            self.command(id, command)?;
        }
        for (token, result) in output.settled {
            let promise = self.tabs.get_mut(&id).and_then(|tab| tab.promises.remove(&token.0));
            let Some(promise) = promise else { return broken("settles", format!("{token:?} is settled twice")) };
            self.kept(id, promise, &result)?;
        }
        Ok(())
    }

    fn command(&mut self, id: u32, command: Command<MapRow>) -> Check {
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(()) };
        match command {
            Command::Load(_) => tab.jobs.push_back(Job::Load),
            Command::ReadNotes(_) => tab.jobs.push_back(Job::Notes),
            Command::Persist(command, _, writes) => {
                let writes = on_disk(&writes);
                tab.batches.insert(command, Disk::copies(&writes));
                tab.jobs.push_back(Job::Write(command, writes));
            }
            Command::Send(command, _, request) => {
                let order = order(&request);
                self.put_on_wire(id, command, Ask::Write(order))?;
            }
            Command::FetchAll(command, _, reading) => {
                let since = reading.cursor.and_then(|cursor| cursor.parse().ok());
                self.put_on_wire(id, command, Ask::All { page: None, since })?;
            }
            Command::FetchOne(command, _, _, key) => self.put_on_wire(id, command, Ask::One(key))?,
            Command::Lead(store, steals) if store == tab.store => self.lead(id, steals),
            Command::Say(store, said) if store == tab.store => self.say(id, said),
            Command::Lead(..) | Command::Say(..) | Command::Resolve(..) | Command::Probe(..) => {
                return broken("no invention", format!("{command:?}"));
            }
        }
        Ok(())
    }

    fn lead(&mut self, id: u32, steals: bool) {
        match self.holder {
            Some(holder) if holder != id && !steals => {
                self.queue.push(id);
                self.post(id, Post::Leads(false));
            }
            Some(holder) if holder != id => {
                self.seen_by_now.thefts += 1;
                // What the one who was robbed has sent is answered where nobody can write it down.
                self.is_uncertain = true;
                self.queue.retain(|other| *other != id);
                self.holder = Some(id);
                self.post(holder, Post::Leads(false));
                self.post(id, Post::Leads(true));
            }
            Some(_) | None => {
                self.holder = Some(id);
                self.post(id, Post::Leads(true));
            }
        }
    }

    fn say(&mut self, id: u32, said: Say) {
        let tells = self.dice.percent(85);
        let word = |batch: Option<&Vec<Write<MapRow>>>| match &said {
            Say::Hello => Word::Hello,
            Say::Noted => Word::Noted,
            Say::Flush => Word::Flush,
            Say::Flushed => Word::Flushed,
            Say::Here(mark) => Word::Here(*mark),
            Say::Committed(mark, _) => Word::Committed(*mark, batch.filter(|_| tells).map(|batch| news(batch))),
        };
        let Say::Committed(_, command) = &said else {
            for other in self.ids().into_iter().filter(|other| *other != id) {
                self.post(other, Post::Word(word(None)));
            }
            return;
        };
        let batch = self.tabs.get_mut(&id).and_then(|tab| tab.batches.remove(command));
        for other in self.ids().into_iter().filter(|other| *other != id) {
            self.post(other, Post::Word(word(batch.as_ref())));
        }
    }

    fn put_on_wire(&mut self, id: u32, command: CommandId, ask: Ask) -> Check {
        self.seen_by_now.requests += 1;
        if let Ask::Write(order) = &ask {
            self.one_sender(id)?;
            self.made.extend(order.key.clone().filter(|_| order.action == Action::Create));
            if order.key.as_ref().is_some_and(|key| !self.may_be_made(key)) {
                return broken("no invention", format!("{id} writes under a key that was never made: {order:?}"));
            }
            let is_there = |key: &Key| self.server.find(STORE.0, key).is_some();
            if order
                .names
                .as_ref()
                .is_some_and(|key| !is_there(key) && (self.made.contains(key) || !self.may_be_made(key)))
            {
                return broken("relations", format!("{id} names what is not there: {order:?}"));
            }
        }
        if let Ask::Write(order) = &ask
            && order.action == Action::Create
            && self.is_deposed(id)
        {
            self.is_uncertain = true;
        }
        if let Some(tab) = self.tabs.get_mut(&id) {
            tab.wire.push(Wire { command, ask, answer: None });
        }
        Ok(())
    }

    /// Whether an item may have this key, as far as this tab can know.
    fn may_be_made(&self, key: &Key) -> bool {
        let name = key.text().strip_prefix('m').and_then(|name| name.parse().ok());
        name.is_none_or(|name| self.made.contains(key) || self.touchers(name).len() > 1)
    }

    /// The tabs that edited or removed an item after it was made. Of what one has removed before it was sent, another may still say
    /// what it did to it; then it is asked about under its key.
    fn touchers(&self, name: i64) -> BTreeSet<u32> {
        [&self.editors, &self.removers].into_iter().filter_map(|tabs| tabs.get(&name)).flatten().copied().collect()
    }

    /// Whether another tab has the lock, and this one does not know.
    fn is_deposed(&self, id: u32) -> bool {
        self.holder != Some(id)
    }

    fn end_turn(&mut self, id: u32) -> Check {
        self.tabs.entry(id).and_modify(|tab| tab.turn_open = false);
        self.input(id, Input::TurnEnded)
    }

    fn token(&mut self, id: u32, promise: Promise) -> Token {
        self.tokens += 1;
        self.tabs.entry(id).and_modify(|tab| drop(tab.promises.insert(self.tokens, promise)));
        Token(self.tokens)
    }
}

fn order(request: &Request<MapRow>) -> Order {
    let fields = request.row.fields();
    let body: [Option<Option<i64>>; FIELDS] = std::array::from_fn(|field| {
        let sent = request.action != Action::Delete && request.fields.iter().any(|other| other == field);
        sent.then_some(fields[field])
    });
    let (key, validator) = (request.key.clone(), request.validator.as_deref().map(str::to_owned));
    let names =
        named(&request.row.pick(if request.action == Action::Delete { FieldSet::NONE } else { request.fields }));
    Order { action: request.action, key, body, idempotency_key: request.idempotency_key.0, validator, names }
}

/// The key of the item that a row refers to.
fn named(row: &MapRow) -> Option<Key> {
    row.references(FieldSet::one(REFERS)).pop().and_then(|reference| reference.key)
}

fn news(batch: &[Write<MapRow>]) -> News<MapRow> {
    let mut news = News { puts: Vec::new(), erased: Vec::new(), taken: Vec::new() };
    for write in batch {
        match write {
            Write::Put(_, _, record) => news.puts.push(deep_record(record)),
            Write::Erase(_, _, key) => news.erased.push(key.clone()),
            Write::Forget { tab, number, .. } => news.taken.push((*tab, *number)),
            Write::Cursor(..) | Write::Fence { .. } | Write::Notes { .. } | Write::After(_) => {}
        }
    }
    news
}

/// What a transaction takes over, for the store on the disk.
fn on_disk(writes: &[Write<MapRow>]) -> Vec<Write<MapRow>> {
    let mut copies = Disk::copies(writes);
    for write in &mut copies {
        match write {
            Write::Put(store, ..)
            | Write::Erase(store, ..)
            | Write::Cursor(store, _)
            | Write::Fence { store, .. }
            | Write::Notes { store, .. }
            | Write::Forget { store, .. } => *store = STORE,
            Write::After(_) => {}
        }
    }
    copies
}

// The apps.
impl Tabs {
    fn app(&mut self, id: u32) -> Check {
        self.seen_by_now.edits += 1;
        let items: Vec<ItemId> = self.tabs[&id].items().collect();
        let roll = self.dice.below(12);
        if items.is_empty() || roll < 3 && items.len() < 6 {
            return self.create(id);
        }
        let item = items[self.dice.below(items.len())];
        let row = self.row(id, item);
        let Some(name) = row.get(NAME) else { return Ok(()) };
        // The other one of two that will turn out to be one.
        if self.tabs[&id].done.get(&name).is_some_and(|done| done.is_removed) {
            return Ok(());
        }
        if roll == 11 {
            self.removers.entry(name).or_default().insert(id);
            let was_keyless = row.remote_key().is_none();
            let done = self.done(id, name);
            (done.is_removed, done.was_keyless) = (true, was_keyless);
            self.input(id, Input::Remove { item, source: Source::State })?;
            return self.wait_for(id, item, name);
        }
        let (mut values, mut references) = ([None; FIELDS], Vec::new());
        let mut fields = FieldSet::NONE;
        for field in EDITED {
            if self.dice.percent(60) {
                let value = self.next_value(row.get(field));
                values[field] = Some(value);
                fields = fields.with(FieldSet::one(field));
                self.done(id, name).values.push((field, value));
                self.editors.entry(name).or_default().insert(id);
                references.extend(self.refer(id, field, value));
            }
        }
        let row = MapRow::new(values).with_references(&references);
        self.input(id, Input::Update { item, row, fields, source: Source::State })?;
        self.wait_for(id, item, name)
    }

    /// What a field refers to besides, if it is the one that does.
    fn refer(&mut self, id: u32, field: usize, value: i64) -> Option<Reference> {
        if !self.refers || field != REFERS || self.dice.percent(30) {
            return None;
        }
        let items: Vec<ItemId> = self.tabs[&id].items().collect();
        let item = items.get(self.dice.below(items.len().max(1)))?;
        let (row, store) = (self.row(id, *item), Some(self.tabs[&id].store));
        self.meant.insert(value, row.get(NAME)?);
        let storage_key = self.tabs[&id].engine.storage_key(*item).cloned();
        Some(Reference { field, store, key: row.remote_key(), storage_key })
    }

    fn row(&self, id: u32, item: ItemId) -> MapRow {
        self.tabs[&id].engine.row(item).map(MapRow::deep).unwrap_or_default()
    }

    fn next_value(&mut self, over: Option<i64>) -> i64 {
        self.values += 1;
        self.seen.insert(self.values, over);
        self.values
    }

    fn done(&mut self, id: u32, name: i64) -> &mut Done {
        let tab = self.tabs.get_mut(&id).unwrap_or_else(|| panic!("there is no tab {id}"));
        tab.done.entry(name).or_insert_with(|| Done { name, ..Done::default() })
    }

    fn create(&mut self, id: u32) -> Check {
        let name = self.next_value(None);
        let (mut values, mut references) = ([Some(name), None, None, None], Vec::new());
        for field in EDITED {
            let value = self.next_value(None);
            values[field] = Some(value);
            self.done(id, name).values.push((field, value));
            references.extend(self.refer(id, field, value));
        }
        let row = MapRow::new(values).with_references(&references);
        let store = self.tabs[&id].store;
        let key = (self.gives_keys && name % 3 == 0).then(|| Key::new(&format!("m{name}"), false));
        let create = Input::Create { store, row, key, source: Source::State };
        let output = self.hand(id, create)?;
        let Made::Item(item) = output.made else { return broken("no invention", "nothing was made") };
        self.carry_out(id, output)?;
        self.look(id)?;
        self.wait_for(id, item, name)
    }

    fn wait_for(&mut self, id: u32, item: ItemId, name: i64) -> Check {
        for stored in [true, false] {
            if !self.dice.percent(50) {
                continue;
            }
            let done = self.done(id, name).clone();
            let input = if stored {
                Input::OnceStored(item, self.token(id, Promise::Stored(done)))
            } else {
                Input::OnceSynced(item, self.token(id, Promise::Synced(done)))
            };
            self.input(id, input)?;
        }
        Ok(())
    }

    fn ask(&mut self, id: u32) -> Check {
        let (store, token) = (self.tabs[&id].store, self.token(id, Promise::Other));
        match self.dice.below(3) {
            0 => self.input(id, Input::Fetch { store, token, own: false }),
            1 => self.input(id, Input::Flush(store, token)),
            _ => self.input(id, Input::OnceLoaded(store, token)),
        }
    }

    /// A promise was settled.
    fn kept(&mut self, id: u32, promise: Promise, result: &Result<(), Fault>) -> Check {
        step!(self, "{id}: {promise:?} {result:?}");
        if result.is_err() {
            return Ok(());
        }
        match promise {
            Promise::Stored(done) => {
                let stored =
                    self.stored.entry(done.name).or_insert_with(|| Done { name: done.name, ..Done::default() });
                stored.values.extend(done.values);
                stored.is_removed |= done.is_removed;
                Ok(())
            }
            Promise::Synced(done) if self.tabs[&id].doubled.contains(&done.name) => Ok(()),
            Promise::Synced(done) => self.there(&done, "synced"),
            Promise::Other => Ok(()),
        }
    }
}

// What must hold.
impl Tabs {
    /// Whoever has heard that another tab writes records, or could have seen it for as long as a lease, sends nothing.
    fn one_sender(&self, id: u32) -> Check {
        let tab = &self.tabs[&id];
        let (writer, since) = self.writer;
        if !tab.status().durable {
            return Ok(());
        }
        if tab.heard > tab.known {
            return broken("one sender", format!("{id} has heard of batch {}, and knows {}", tab.heard, tab.known));
        }
        if writer != id && writer != 0 && self.now.since(since) > LEASE {
            return broken("one sender", format!("{id} sends, and {writer} writes since {since:?}"));
        }
        Ok(())
    }

    /// Whether the app saw `old`, at once or in the end, where it set `new`.
    fn is_ancestor(&self, old: i64, new: i64) -> bool {
        let mut at = self.seen.get(&new).copied().flatten();
        while let Some(value) = at {
            if value == old {
                return true;
            }
            at = self.seen.get(&value).copied().flatten();
        }
        false
    }

    /// What an app sees is never older than what was done in its tab, and what was removed there stays away.
    fn look(&mut self, id: u32) -> Check {
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(()) };
        let name = |item: ItemId| tab.engine.row(item).and_then(|row| row.get(NAME));
        let mut names: Vec<i64> = tab.items().filter_map(name).collect();
        names.sort_unstable();
        tab.doubled.extend(names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]));
        let creates: Vec<ItemId> =
            tab.pending().iter().filter(|edit| edit.action == Action::Create).map(|edit| edit.item).collect();
        let is_twin = |(item, row): &(ItemId, &MapRow)| {
            let done = row.get(NAME).and_then(|name| tab.done.get(&name)).filter(|done| done.is_removed);
            done.is_some_and(|done| {
                done.was_keyless != row.remote_key().is_none() || !done.was_keyless && creates.contains(item)
            })
        };
        let rows = tab.engine.items(tab.store).filter_map(|item| Some((item, tab.engine.row(item)?)));
        tab.doubled.extend(rows.filter(is_twin).filter_map(|(_, row)| row.get(NAME)));
        let Some(tab) = self.tabs.get(&id) else { return Ok(()) };
        for item in tab.items() {
            let Some(row) = tab.engine.row(item) else { continue };
            // A create that another tab has sent, and its row that was read here, are two items until they turn out to be one.
            if row.get(NAME).is_some_and(|name| tab.doubled.contains(&name)) {
                continue;
            }
            let Some(done) = row.get(NAME).and_then(|name| tab.done.get(&name)) else { continue };
            if self.may_be_two(done.name) {
                continue;
            }
            if done.is_removed && !self.is_edited_elsewhere(id, item) {
                return broken("no resurrection", format!("{id} sees {item:?} {row:?} again"));
            }
            // An edit of what is removed elsewhere is nothing, and so is not seen for the moment until that is heard of.
            if self.removers.contains_key(&done.name) {
                continue;
            }
            for (field, value) in &done.values {
                if row.get(*field).is_some_and(|seen| self.is_ancestor(seen, *value)) {
                    return broken("optimism", format!("{id} sees {row:?} after it set {value} in {field}"));
                }
            }
        }
        Ok(())
    }

    /// What was said to be stored, or something newer, is there when a tab opens.
    fn restarted(&self, id: u32) -> Check {
        let tab = &self.tabs[&id];
        for done in tab.read_then.values().filter(|done| !done.is_removed && !self.removers.contains_key(&done.name)) {
            let there = self.server.alive(STORE.0).find(|row| row.fields[NAME] == Some(done.name));
            let is_it = |row: &&MapRow| {
                let by_key = || there.is_some() && row.remote_key() == there.map(|row| row.key.clone());
                row.get(NAME).map_or_else(by_key, |name| name == done.name)
            };
            // Before an answer to its create was heard of, an edit of its row that was read in another tab is of another item.
            let rows: Vec<&MapRow> = tab.items().filter_map(|item| tab.engine.row(item)).filter(is_it).collect();
            let is_seen = |(field, value): &(usize, i64)| {
                rows.iter().any(|row| row.get(*field).is_some_and(|seen| !self.is_ancestor(seen, *value)))
            };
            if !done.values.iter().all(is_seen) && !self.may_be_two(done.name) {
                return broken("restart", format!("{id} opens with {rows:?}, and {done:?} was stored"));
            }
        }
        Ok(())
    }

    /// Whether another tab has edited it, and that is still to be sent or was refused: then it is there again, as what that is about.
    fn is_edited_elsewhere(&self, id: u32, item: ItemId) -> bool {
        let Some(tab) = self.tabs.get(&id) else { return false };
        let name = tab.engine.row(item).and_then(|row| row.get(NAME));
        let editors = name.and_then(|name| self.editors.get(&name));
        editors.is_some_and(|editors| editors.iter().any(|editor| *editor != id))
            && tab.pending().iter().any(|edit| edit.item == item && edit.action == Action::Update)
    }

    /// Whether a plain server has made two rows of one create whose answer was lost, or one once more that was deleted meanwhile.
    fn may_be_two(&self, name: i64) -> bool {
        let rows = || self.server.rows.iter().filter(|row| row.fields[NAME] == Some(name));
        let is_twice = rows().count() > 1 || rows().any(|row| row.is_revived);
        self.server.class == Class::Plain && self.is_uncertain && is_twice
    }

    /// The server has what was done, or something newer.
    fn there(&self, done: &Done, invariant: &'static str) -> Check {
        if self.may_be_two(done.name) {
            return Ok(());
        }
        let alive = self.server.alive(STORE.0).find(|row| row.fields[NAME] == Some(done.name));
        let Some(row) = alive else {
            let is_removed = self.removers.contains_key(&done.name);
            return if is_removed { Ok(()) } else { broken(invariant, format!("{done:?} is nowhere")) };
        };
        if done.is_removed && invariant != "synced" {
            return broken(invariant, format!("{done:?}, and there is {row:?}"));
        }
        for (field, value) in &done.values {
            let Some(there) = row.fields[*field] else {
                return broken(invariant, format!("{done:?}, and there is nothing in {field}"));
            };
            if self.is_ancestor(there, *value) {
                return broken(invariant, format!("{done:?}, and there is {row:?}"));
            }
        }
        Ok(())
    }
}

// The disk.
impl Tabs {
    fn turn_disk(&mut self, id: u32) -> Check {
        let fails = !self.healed && self.trouble > 0 && self.dice.percent(4);
        let failure = fails.then(|| StorageFailure::Aborted("test".into()));
        self.disk_turn(id, failure)
    }

    fn disk_turn(&mut self, id: u32, failure: Option<StorageFailure>) -> Check {
        let (both, before) = (self.dice.percent(50), self.disk.mark(STORE));
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(()) };
        if both && let Some(input) = tab.told.pop_front() {
            return self.be_told(id, input);
        }
        let input = match tab.jobs.pop_front() {
            Some(Job::Write(command, writes)) => {
                let result = match failure {
                    Some(failure) => {
                        tab.undone.insert(command);
                        Err(failure)
                    }
                    None => tab.write(&mut self.disk, command, writes),
                };
                let is_overtaken = matches!(result, Err(StorageFailure::Outrun));
                self.seen_by_now.overtaken += u64::from(is_overtaken);
                self.is_uncertain |= is_overtaken;
                Input::Persisted(command, result)
            }
            Some(Job::Load) => {
                let others = Others { mark: self.disk.mark(STORE), notes: self.disk.notes(STORE) };
                let records = Ok(self.disk.load(STORE));
                tab.read_then.clone_from(&self.stored);
                let cursor = self.disk.cursor(STORE);
                Input::Loaded { store: tab.store, records, problem: None, cursor, lost: None, others }
            }
            Some(Job::Notes) => Input::NotesRead(tab.store, Ok(self.disk.notes(STORE))),
            None => match tab.told.pop_front() {
                Some(input) => return self.be_told(id, input),
                None => return Ok(()),
            },
        };
        step!(self, "{id}: disk {input:?}");
        self.has_written(id, before);
        if let Some(tab) = self.tabs.get_mut(&id) {
            tab.told.push_back(input);
        }
        Ok(())
    }

    /// Whose records those on the disk are, and since when.
    fn has_written(&mut self, id: u32, before: Mark) {
        let count = self.disk.mark(STORE).count;
        if count > before.count {
            self.writer = if self.writer.0 == id { self.writer } else { (id, self.now) };
            self.tabs.entry(id).and_modify(|tab| tab.known = count);
        }
    }

    fn be_told(&mut self, id: u32, input: Input<MapRow>) -> Check {
        let is_load = matches!(input, Input::Loaded { .. });
        if let (Input::Loaded { others, .. }, Some(tab)) = (&input, self.tabs.get_mut(&id)) {
            tab.known = others.mark.count;
        }
        self.input(id, input)?;
        if is_load && self.tabs.get_mut(&id).is_some_and(|tab| !std::mem::replace(&mut tab.has_read, true)) {
            self.restarted(id)?;
        }
        // It sends what it cannot write down.
        self.is_uncertain |= !self.tabs[&id].status().durable;
        Ok(())
    }

    fn read_post(&mut self, id: u32) -> Check {
        let is_lock = self.dice.clone().percent(50);
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(()) };
        let of_kind = || tab.posts.iter().position(|post| matches!(post, Post::Leads(_)) == is_lock);
        let place = if self.in_order { 0 } else { of_kind().unwrap_or(0) };
        match tab.posts.remove(place) {
            Some(Post::Leads(won)) => {
                let store = tab.store;
                self.input(id, Input::Leads(store, won))
            }
            Some(Post::Word(word)) => {
                if let (Word::Here(mark) | Word::Committed(mark, _), Some(tab)) = (&word, self.tabs.get_mut(&id)) {
                    tab.heard = tab.heard.max(mark.count);
                }
                self.input(id, Input::Told(self.tabs[&id].store, word))
            }
            None => Ok(()),
        }
    }

    fn pass_time(&mut self) -> Check {
        let span = Millis([1, 50, 700, 3_000, 6_000, 30_000][self.dice.below(6)]);
        self.now = self.now.after(span);
        for id in self.ids() {
            self.wake(id)?;
        }
        Ok(())
    }

    fn wake(&mut self, id: u32) -> Check {
        let tab = &self.tabs[&id];
        if !tab.is_frozen && tab.wake_at.is_some_and(|at| at <= self.now) {
            return self.input(id, Input::Woken);
        }
        Ok(())
    }
}

// The network.
impl Tabs {
    fn turn_network(&mut self, id: u32) -> Check {
        let count = self.tabs[&id].wire.len();
        if count == 0 {
            return Ok(());
        }
        let place = self.dice.below(count);
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(()) };
        if tab.wire[place].answer.is_some() {
            let answer = tab.wire.remove(place).answer;
            return answer.map_or(Ok(()), |input| self.input(id, input));
        }
        self.arrive(id, place)
    }

    /// Everything that a tab has sent gets there, or is lost on the way. What would come later than newer edits is no matter of this
    /// simulation.
    fn let_arrive(&mut self, id: u32) -> Check {
        for place in 0..self.tabs[&id].wire.len() {
            if self.tabs[&id].wire[place].answer.is_none() {
                self.arrive(id, place)?;
            }
        }
        Ok(())
    }

    /// A request gets to the server, or is lost on the way.
    fn arrive(&mut self, id: u32, place: usize) -> Check {
        let Some(tab) = self.tabs.get_mut(&id) else { return Ok(()) };
        let (command, ask) = (tab.wire[place].command, tab.wire[place].ask.clone());
        let is_faulty = !self.healed && self.dice.percent(self.fault);
        let arrives = self.dice.percent(50);
        let lost = |dice: &mut Dice| match dice.below(3) {
            0 => Answer::TimedOut,
            1 => Answer::Unreachable { message: "test".into() },
            _ => Answer::Response(Response { retry_after: Some("2".into()), ..response(503, Body::Empty) }),
        };
        let answer = match ask {
            Ask::Write(order) => {
                let answer = if is_faulty && !arrives {
                    lost(&mut self.dice)
                } else {
                    let said = self.server.write(STORE.0, &order, u8::from(self.dice.percent(30)));
                    let (said, _) = said.map_err(|text| super::reference::Violation { invariant: "once", text })?;
                    step!(self, "server: {order:?} -> {said:?}");
                    if is_faulty {
                        self.is_uncertain = true;
                        if self.dice.percent(50) { Answer::Cut } else { Answer::TimedOut }
                    } else {
                        success(&said, &order)
                    }
                };
                Input::Answered(command, answer)
            }
            Ask::All { .. } if is_faulty => Input::Fetched(command, unread(&lost(&mut self.dice))),
            Ask::All { since, .. } => {
                let told = self.server.page(STORE.0, since, 0, usize::MAX);
                let cursor = if self.deltas { Cursor::At(told.until.to_string()) } else { Cursor::Kept };
                let rows = Rows {
                    rows: told.alive.into_iter().map(remote_row).collect(),
                    complete: since.is_none(),
                    deleted: told.dead.iter().map(|row| row.key.clone()).collect(),
                    problem: None,
                    next: Next::None,
                    cursor,
                };
                Input::Fetched(command, Answer::Response(response(200, Body::Json(rows))))
            }
            Ask::One(_) if is_faulty => Input::FetchedOne(command, lost(&mut self.dice)),
            Ask::One(key) => {
                let row = self.server.find(STORE.0, &key).map(|place| &self.server.rows[place]);
                let row = row.filter(|row| row.is_alive);
                let (status, body) = row.map_or((404, Body::Empty), |row| (200, Body::Json(remote_row(row))));
                let version = row.and_then(|row| self.server.validator(row));
                Input::FetchedOne(command, Answer::Response(Response { version, ..response(status, body) }))
            }
        };
        if let Some(tab) = self.tabs.get_mut(&id) {
            tab.wire[place].answer = Some(answer);
        }
        Ok(())
    }
}

fn unread(answer: &Answer<RemoteRow<MapRow>>) -> Answer<Rows<MapRow>> {
    match answer {
        Answer::Response(_) => Answer::Response(response(503, Body::Empty)),
        Answer::Unreachable { message } => Answer::Unreachable { message: message.clone() },
        Answer::TimedOut => Answer::TimedOut,
        Answer::Cut => Answer::Cut,
    }
}

// The end.
impl Tabs {
    /// Nothing fails any more: everything arrives, every promise settles, every tab shows what the server holds.
    fn heal(&mut self) -> Check {
        step!(self, "HEALED");
        if self.tabs.is_empty() {
            self.open()?;
        }
        self.healed = true;
        self.do_without_frozen()?;
        for id in self.ids() {
            self.tabs.entry(id).and_modify(|tab| tab.is_frozen = false);
            self.wake(id)?;
        }
        self.drain()?;
        for id in self.ids() {
            let (store, token) = (self.tabs[&id].store, self.token(id, Promise::Other));
            self.input(id, Input::Flush(store, token))?;
        }
        self.drain()?;
        self.give_up_what_is_gone()?;
        let tabs = self.ids();
        let reader = tabs[self.dice.clone().below(tabs.len())];
        // Who reads sees what there is, also if no other tab reads.
        self.read_twice(&[reader])?;
        self.shows_what_is_there(reader)?;
        self.read_twice(&tabs)?;
        self.converged()?;
        self.healed = false;
        Ok(())
    }

    fn read_twice(&mut self, tabs: &[u32]) -> Check {
        for _ in 0..2 {
            for id in tabs.iter().copied() {
                let (store, token) = (self.tabs[&id].store, self.token(id, Promise::Other));
                self.input(id, Input::Fetch { store, token, own: false })?;
            }
            self.drain()?;
            self.give_up_what_is_gone()?;
        }
        Ok(())
    }

    /// Nobody waits for a tab that is frozen: what the others have is sent without it.
    fn do_without_frozen(&mut self) -> Check {
        let are_frozen = self.tabs.values().filter(|tab| tab.is_frozen).count();
        if are_frozen == 0 || are_frozen == self.tabs.len() {
            return Ok(());
        }
        step!(self, "WITHOUT THE FROZEN");
        // What they have sent is on its way all the same.
        for id in self.ids().into_iter().filter(|id| self.tabs[id].is_frozen).collect::<Vec<_>>() {
            self.let_arrive(id)?;
        }
        self.drain()?;
        for (id, tab) in self.tabs.iter().filter(|(_, tab)| !tab.is_frozen) {
            let pending = tab.pending();
            // What was edited since waits behind what is parked.
            let is_parked = |item| pending.iter().any(|edit| edit.item == item && edit.reason.is_some());
            if let Some(edit) = pending.iter().find(|edit| !is_parked(edit.item)) {
                return broken("settles", format!("{id} waits for a frozen tab with {edit:?}"));
            }
        }
        Ok(())
    }

    /// What was removed in one tab while it was edited in another is parked.
    fn give_up_what_is_gone(&mut self) -> Check {
        for id in self.ids() {
            for edit in self.tabs[&id].pending() {
                if edit.reason.is_some_and(|fault| fault.code == Code::GoneRemotely) {
                    self.input(id, Input::Discard(edit.item))?;
                    self.drain()?;
                }
            }
        }
        Ok(())
    }

    fn drain(&mut self) -> Check {
        for _ in 0..6_000 {
            let mut is_idle = true;
            for id in self.ids() {
                let Some(tab) = self.tabs.get(&id).filter(|tab| !tab.is_frozen) else { continue };
                if tab.turn_open {
                    self.end_turn(id)?;
                } else if !tab.posts.is_empty() {
                    self.read_post(id)?;
                } else if !tab.jobs.is_empty() || !tab.told.is_empty() {
                    self.disk_turn(id, None)?;
                } else if !tab.wire.is_empty() {
                    self.turn_network(id)?;
                } else {
                    continue;
                }
                is_idle = false;
            }
            if is_idle {
                let awake = self.tabs.values().filter(|tab| !tab.is_frozen);
                let Some(at) = awake.filter_map(|tab| tab.wake_at).min() else { return Ok(()) };
                self.now = self.now.max(at);
                for id in self.ids() {
                    self.wake(id)?;
                }
            }
        }
        let left: Vec<_> = self.tabs.iter().map(|(id, tab)| (id, tab.pending())).collect();
        broken("settles", format!("does not come to rest: {left:?}"))
    }

    fn shows_what_is_there(&self, id: u32) -> Check {
        let rows = self.server.alive(STORE.0).map(|row| (row.key.clone(), row.fields, row.names.clone()));
        let mut there: Vec<_> = rows.collect();
        there.sort_by(|a, b| a.0.text().cmp(b.0.text()));
        let mut here = Vec::new();
        for item in self.tabs[&id].items() {
            let row = self.row(id, item);
            let Some(key) = row.remote_key() else {
                return broken("converges", format!("{id} has {row:?} without a key"));
            };
            here.push((key, row.fields(), named(&row)));
        }
        here.sort_by(|a, b| a.0.text().cmp(b.0.text()));
        if here != there {
            return broken("converges", format!("{id} has {here:?}\nand there is {there:?}"));
        }
        Ok(())
    }

    /// Whoever refers to an item that is there names its row.
    fn means_what_was_meant(&self) -> Check {
        for row in self.server.alive(STORE.0) {
            let meant = row.fields[REFERS].and_then(|value| self.meant.get(&value));
            let rows =
                self.server.alive(STORE.0).filter(|other| meant.is_some() && other.fields[NAME].as_ref() == meant);
            let keys: Vec<&Key> = rows.map(|row| &row.key).collect();
            let is_gone = meant.is_some_and(|name| self.removers.contains_key(name));
            if !keys.is_empty() && !is_gone && !row.names.as_ref().is_some_and(|named| keys.contains(&named)) {
                return broken("relations", format!("{row:?} means {meant:?}, which is {keys:?}"));
            }
            if meant.is_none() && row.names.is_some() {
                return broken("relations", format!("{row:?} means nothing"));
            }
        }
        Ok(())
    }

    fn converged(&self) -> Check {
        for (id, tab) in &self.tabs {
            if let Some((token, promise)) = tab.promises.first_key_value() {
                return broken("settles", format!("{id}: {token} {promise:?}"));
            }
            let pending = tab.pending();
            if !pending.is_empty() {
                return broken("durable", format!("{id} has left: {pending:?}"));
            }
            self.shows_what_is_there(*id)?;
        }
        let notes = self.disk.notes(STORE);
        if !notes.is_empty() {
            return broken("converges", format!("notes are left: {notes:?}"));
        }
        for done in self.stored.values() {
            self.there(done, "durable")?;
        }
        self.means_what_was_meant()?;
        for row in &self.server.rows {
            let twins = self.server.rows.iter().filter(|other| other.fields[NAME] == row.fields[NAME]).count();
            if row.fields[NAME].is_some_and(|name| name > 0 && !self.may_be_two(name)) && twins > 1 {
                return broken("once", format!("{twins} of {row:?}"));
            }
        }
        Ok(())
    }
}
