//! Hands what happens to the engine, carries out what it wants done, and tells the page what changed.
//!
//! One for each page. Changes are told after the engine is free again, in the order in which they happened, so a listener
//! may edit.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use js_sys::{Array, Function, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::{
    client_storage::{
        custom::{Keeper, outcome},
        indexed_db::{IndexedDb, StoreWrites, Stored},
    },
    clock::{Clock, now, seed},
    record::{UnpackedNotes, fault_or_none, pack_all, pack_notes, records_of, stored_of, unpack, unpack_notes},
    row::{JsRow, KEY_PLACE, Shape, key_value, tell_changed, tell_made},
    tabs::{News, Tabs, news_of, word_of},
    transporter::{
        custom::{Asked, Link, answer, completeness, is_answered, onward},
        http::HttpTransporter,
    },
};
use crate::engine::{
    Engine,
    error::{Code, Fault, StorageFailure},
    id::{CommandId, ItemId, Key, StorageId, StoreId, Token},
    input::{Input, Others, Record, Resolution, Rows},
    lifecycle::Action,
    outcome::{Answer, Body, Response},
    output::{Changes, Command, Conflict, Made, Output, Reading, Request, Say, Write},
    sender::{Mark, Note},
};

/// What the shell knows of one store.
#[derive(Clone)]
pub struct StoreShell {
    /// Its name in client storage.
    pub name: String,
    /// How its rows look.
    pub shape: Shape,
    /// Where its requests go.
    pub link: Option<Link>,
    /// Where its records go.
    pub storage: Option<StorageId>,
    /// The same store in other tabs, where there may be any.
    pub tabs: Option<Tabs>,
}

/// The page's engine and what surrounds it. Lives as long as the page.
pub struct Driver {
    engine: RefCell<Engine<JsRow>>,
    stores: RefCell<Vec<StoreShell>>,
    transporters: RefCell<Vec<HttpTransporter>>,
    storages: RefCell<Vec<Storage>>,
    clock: Clock,
    page: Page,
    told: RefCell<VecDeque<Told>>,
    telling: Cell<bool>,
    /// What other tabs will be told of the batches under way.
    news: RefCell<Vec<(CommandId, StoreId, News)>>,
}

/// Where records go.
#[derive(Clone)]
enum Storage {
    /// The browser's database of this name.
    IndexedDb(String, Rc<IndexedDb>),
    /// One store's own, written in page script.
    Custom(Keeper),
}

/// What the page is called back with.
struct Page {
    /// `(store, added, rows, updated, removed)`; lists that are empty are left out.
    changed: Function,
    /// `(store, item, row)`.
    made: Function,
    /// `(store, item)`.
    touched: Function,
    /// `(token, fault | undefined)`.
    settled: Function,
    /// `()`: what was assigned until now is on its way, so that the next assignment is an edit of its own.
    turned: Function,
    /// `(database, store)`: `Tabs`, or undefined where this browser cannot tell tabs apart.
    tabs: Function,
}

enum Told {
    Changed(Changes, Vec<JsRow>),
    /// One item came, and nothing else: the usual case, told without lists.
    Made(StoreId, ItemId, JsRow),
    /// One item changed, and nothing else.
    Touched(StoreId, ItemId),
    Settled(Token, Result<(), Fault>),
}

thread_local! {
    static DRIVER: Cell<Option<&'static Driver>> = const { Cell::new(None) };
}

/// The engine has failed: nothing goes in or out any more.
pub fn poisoned() -> Fault {
    Fault::new(Code::Poisoned, "reload the page")
}

/// Makes the page's driver. `page` has the callbacks of `Page`.
pub fn start(page: &JsValue) {
    let callback =
        |name: &str| Reflect::get(page, &name.into()).ok().and_then(|value| value.dyn_into::<Function>().ok());
    let page = || {
        Some(Page {
            changed: callback("changed")?,
            made: callback("made")?,
            touched: callback("touched")?,
            settled: callback("settled")?,
            turned: callback("turned")?,
            tabs: callback("tabs")?,
        })
    };
    let Some(page) = page() else { return };
    let driver = Driver {
        engine: RefCell::new(Engine::new(seed())),
        stores: RefCell::default(),
        transporters: RefCell::default(),
        storages: RefCell::default(),
        clock: Clock::new(
            || {
                with(|driver| driver.clock.woken());
                happened(Input::Woken);
            },
            || {
                with(|driver| driver.clock.turn_ended());
                happened(Input::TurnEnded);
            },
            || happened(Input::NetworkHinted),
        ),
        page,
        told: RefCell::default(),
        telling: Cell::new(false),
        news: RefCell::default(),
    };
    DRIVER.with(|slot| slot.set(Some(Box::leak(Box::new(driver)))));
}

fn with(act: impl FnOnce(&'static Driver)) {
    if let Some(driver) = DRIVER.with(Cell::get) {
        act(driver);
    }
}

/// A storage was read. `database`: if it is one, what makes no sense is set apart in it.
fn loaded(
    store: StoreId,
    shell: &StoreShell,
    stored: Result<Stored, StorageFailure>,
    database: Option<&Rc<IndexedDb>>,
) {
    let (mut cursor, mut others) = (None, Others::default());
    let (mut lost, mut problem) = (None, None);
    let records = stored.and_then(|stored| {
        lost = stored.lost;
        let notes = unpack_notes(shell.shape, &stored.notes)?;
        // It speaks of what was read of this very endpoint.
        let scope = shell.link.as_ref().map(Link::scope).unwrap_or_default();
        cursor = stored.mark.as_deref().and_then(|mark| mark.strip_prefix(&scope)).map(str::to_owned);
        let unpacked = unpack(shell.shape, &stored.records)?;
        problem = unpacked.problem(database.is_some());
        if let Some(database) = database.filter(|_| problem.is_some()) {
            drop(database.set_apart(&shell.name, KEY_PLACE, &unpacked.bad_keys, &unpacked.whys));
        }
        if problem.is_none() {
            problem = notes.problem();
        }
        set_strays_apart(store, shell, &notes, database);
        others = Others { mark: stored.sender, notes: notes.list };
        Ok(unpacked.records)
    });
    // What is lost stays noted until something has been stored anew: a page that is closed before it could say so says it again.
    let notes = records.is_ok() && lost.is_none();
    happened(Input::Loaded { store, records, problem, cursor, lost, others });
    if let Some(database) = database.filter(|_| notes) {
        note(database, &[(store, shell.name.clone())]);
    }
    with(Driver::leave_tabs);
}

/// Keeps notes that make no sense apart, before those beside them are taken in and all are erased: by who does that.
fn set_strays_apart(store: StoreId, shell: &StoreShell, notes: &UnpackedNotes, database: Option<&Rc<IndexedDb>>) {
    with(|driver| {
        let takes_in = driver.read(|engine| engine.is_sender(store)).unwrap_or_default();
        if let Some(database) = database.filter(|_| takes_in && notes.strays.length() > 0) {
            database.keep_strays(&shell.name, &notes.strays, &notes.whys);
        }
    });
}

/// Notes outside of a database how much of stores is in it.
fn note(database: &IndexedDb, stores: &[(StoreId, String)]) {
    with(|driver| {
        for (store, name) in stores {
            if let Some(kept) = driver.read(|engine| engine.kept(*store)) {
                database.note(name, kept.records, kept.unsynced);
            }
        }
    });
}

/// A batch was written, or was not.
pub fn persisted(id: CommandId, error: &JsValue) {
    happened(Input::Persisted(id, outcome(error)));
}

/// This tab has got the lock of a store; or it has not, or has lost it.
pub fn leads(store: StoreId, won: bool) {
    happened(Input::Leads(store, won));
}

/// Another tab has said something about a store.
pub fn told(store: StoreId, word: u32, mark: Mark, news: Option<&News>) {
    with(|driver| {
        let Some(shell) = driver.shell(store) else { return };
        if let Some(word) = word_of(shell.shape, word, mark, news) {
            happened(Input::Told(store, word));
        }
    });
}

/// Something happened in the world.
fn happened(input: Input<JsRow>) {
    // The world is never refused; what is left is a poisoned engine, of which the page already knows.
    with(|driver| drop(driver.handle(input)));
}

/// The page's driver.
///
/// # Errors
/// `E_NOT_INITIALISED` before `init()`.
pub fn driver() -> Result<&'static Driver, Fault> {
    DRIVER.with(Cell::get).ok_or_else(|| Fault::new(Code::NotInitialised, "`await init()` once before"))
}

impl Driver {
    /// Hands one input to the engine and lets follow what follows.
    ///
    /// # Errors
    /// What the engine refuses; `E_POISONED`.
    pub fn handle(&'static self, input: Input<JsRow>) -> Result<Made, Fault> {
        let output = self.engine.try_borrow_mut().map_err(|_| poisoned())?.handle(now(), input)?;
        let made = output.made;
        self.carry_out(output);
        Ok(made)
    }

    /// Reads from the engine; nothing if it has failed.
    pub fn read<T>(&self, view: impl FnOnce(&Engine<JsRow>) -> T) -> Option<T> {
        self.engine.try_borrow().ok().map(|engine| view(&engine))
    }

    /// Opens a store.
    ///
    /// # Errors
    /// What the engine refuses.
    pub fn open(
        &'static self,
        mut shell: StoreShell,
        mut options: crate::engine::input::StoreOptions,
    ) -> Result<StoreId, Fault> {
        if let Some(Storage::IndexedDb(database, _)) = options.storage.and_then(|id| self.storage_of(id)) {
            let tabs = self.page.tabs.call2(&JsValue::NULL, &database.into(), &shell.name.as_str().into());
            shell.tabs = tabs.ok().filter(JsValue::is_object).map(JsCast::unchecked_into);
        }
        options.shared = shell.tabs.is_some();
        let mut stores = self.stores.try_borrow_mut().map_err(|_| poisoned())?;
        let output = self
            .engine
            .try_borrow_mut()
            .map_err(|_| poisoned())?
            .handle(now(), Input::Open(options, shell.shape.empty()))?;
        let Made::Store(id) = output.made else { return Err(poisoned()) };
        stores.push(shell);
        drop(stores);
        self.carry_out(output);
        Ok(id)
    }

    /// The id of the database with this name; opened at its first use.
    /// `keeps`: whether the browser is to be asked to keep what is in it.
    pub fn storage(&self, database: &str, strict: bool, keeps: bool) -> StorageId {
        let mut storages = self.storages.borrow_mut();
        let is_it = |storage: &Storage| matches!(storage, Storage::IndexedDb(name, _) if name == database);
        let known = storages.iter().position(is_it);
        let place = known.unwrap_or(storages.len());
        let id = StorageId(u16::try_from(place).unwrap_or(u16::MAX));
        if known.is_none() {
            let room = IndexedDb::new(database, strict);
            if keeps {
                room.keep();
            }
            storages.push(Storage::IndexedDb(database.to_owned(), Rc::clone(&room)));
            spawn_local(async move {
                let failure = room.ended().await;
                happened(Input::StorageEnded(id, failure));
                with(Self::leave_tabs);
            });
        }
        id
    }

    /// The id of a storage written in page script.
    pub fn keeper(&self, keeper: Keeper) -> StorageId {
        let mut storages = self.storages.borrow_mut();
        storages.push(Storage::Custom(keeper));
        StorageId(u16::try_from(storages.len() - 1).unwrap_or(u16::MAX))
    }

    /// Keeps a transporter for stores; its number.
    pub fn add_transporter(&self, http: HttpTransporter) -> u32 {
        let mut transporters = self.transporters.borrow_mut();
        transporters.push(http);
        u32::try_from(transporters.len() - 1).unwrap_or(u32::MAX)
    }

    /// The transporter with this number.
    pub fn transporter(&self, number: u32) -> Option<HttpTransporter> {
        self.transporters.borrow().get(number as usize).cloned()
    }

    /// Leaves the lock and the channel of stores that are closed, or cannot use their database, to other tabs.
    fn leave_tabs(&self) {
        for (at, shell) in self.stores.borrow().iter().enumerate() {
            let id = StoreId(u16::try_from(at).unwrap_or(u16::MAX));
            if let Some(tabs) = &shell.tabs
                && self.read(|engine| !engine.is_open(id) || engine.is_shut_out(id)).unwrap_or_default()
            {
                tabs.leave();
            }
        }
    }

    /// Releases databases that no open store uses, and the locks of closed stores.
    pub fn release_storages(&self) {
        self.leave_tabs();
        let used: Vec<StorageId> = self
            .read(|engine| {
                let stores = self.stores.borrow();
                (0..stores.len())
                    .filter_map(|at| u16::try_from(at).ok().map(StoreId).filter(|id| engine.is_open(*id)))
                    .filter_map(|id| stores.get(usize::from(id.0))?.storage)
                    .collect()
            })
            .unwrap_or_default();
        for (place, storage) in self.storages.borrow().iter().enumerate() {
            if let Storage::IndexedDb(_, database) = storage
                && !used.iter().any(|id| usize::from(id.0) == place)
            {
                database.close();
            }
        }
    }

    /// What the shell knows of a store.
    pub fn shell(&self, id: StoreId) -> Option<StoreShell> {
        self.stores.borrow().get(usize::from(id.0)).cloned()
    }

    fn carry_out(&'static self, output: Output<JsRow>) {
        if !output.commands.is_empty() {
            drop(self.page.turned.call0(&JsValue::NULL));
        }
        for command in output.commands {
            self.command(command);
        }
        self.clock.wake_at(output.wake_at);
        if output.end_turn {
            self.clock.end_turn();
        }
        let mut told = self.told.borrow_mut();
        told.extend(output.changes.into_iter().map(|changes| self.news(changes)));
        told.extend(output.settled.into_iter().map(|(token, result)| Told::Settled(token, result)));
        drop(told);
        self.tell();
    }

    fn news(&self, changes: Changes) -> Told {
        let rows: Vec<JsRow> = match self.engine.try_borrow() {
            Ok(engine) => changes.added.iter().filter_map(|id| engine.row(*id).cloned()).collect(),
            Err(_) => Vec::new(),
        };
        match (changes.added.as_slice(), rows.as_slice(), changes.updated.as_slice(), changes.removed.as_slice()) {
            ([id], [row], [], []) => Told::Made(changes.store, *id, row.clone()),
            ([], [], [id], []) => Told::Touched(changes.store, *id),
            _ => Told::Changed(changes, rows),
        }
    }

    /// Tells the page what is to be told, in order. What a listener causes is told after it.
    fn tell(&self) {
        if self.telling.replace(true) {
            return;
        }
        loop {
            let Some(next) = self.told.borrow_mut().pop_front() else { break };
            let none = &JsValue::NULL;
            // The page's side catches what listeners throw.
            match next {
                Told::Changed(changes, rows) => tell_changed(&self.page.changed, &changes, &rows),
                Told::Made(store, item, row) => tell_made(&self.page.made, store, item, &row),
                Told::Touched(store, item) => {
                    drop(self.page.touched.call2(none, &store.0.into(), &item.0.into()));
                }
                Told::Settled(token, result) => {
                    let fault = fault_or_none(result.err().as_ref());
                    drop(self.page.settled.call2(none, &token.0.into(), &fault));
                }
            }
        }
        self.telling.set(false);
    }

    fn command(&self, command: Command<JsRow>) {
        match command {
            Command::Load(store) => self.load(store),
            Command::Persist(id, storage, writes) => self.persist(id, storage, writes),
            Command::Send(id, store, request) => self.send(id, store, &request),
            Command::FetchAll(id, store, reading) => self.fetch_all(id, store, reading),
            Command::FetchOne(id, store, item, key) => self.fetch_one(id, store, item, &key),
            Command::Resolve(id, store, item, conflict) => self.resolve(id, store, item, &conflict),
            Command::Probe(id, store) => {
                if let Some((_, link)) = self.linked(store) {
                    link.probe(id.0, store.0);
                }
            }
            Command::Lead(store, steals) => {
                if let Some(tabs) = self.shell(store).and_then(|shell| shell.tabs) {
                    tabs.lead(store.0, steals);
                }
            }
            Command::ReadNotes(store) => self.read_notes(store),
            Command::Say(store, say) => self.say(store, &say),
        }
    }

    fn read_notes(&self, store: StoreId) {
        let Some(shell) = self.shell(store) else { return };
        let Some(database) = shell.storage.and_then(|id| self.database(id)) else { return };
        spawn_local(async move {
            let notes = database.notes(&shell.name, KEY_PLACE).await.and_then(|stored| {
                let notes = unpack_notes(shell.shape, &stored)?;
                set_strays_apart(store, &shell, &notes, Some(&database));
                Ok(notes.list)
            });
            happened(Input::NotesRead(store, notes));
        });
    }

    fn say(&self, store: StoreId, say: &Say) {
        let Some(tabs) = self.shell(store).and_then(|shell| shell.tabs) else { return };
        let news = self.news.borrow();
        let news = match say {
            Say::Committed(_, batch) => news.iter().find(|(id, of, _)| id == batch && *of == store),
            Say::Hello | Say::Noted | Say::Flush | Say::Flushed | Say::Here(_) => None,
        };
        tabs.tell(say, news.map(|(_, _, news)| news));
    }

    fn storage_of(&self, id: StorageId) -> Option<Storage> {
        self.storages.borrow().get(usize::from(id.0)).cloned()
    }

    /// The browser's database with this number.
    pub fn database(&self, id: StorageId) -> Option<Rc<IndexedDb>> {
        match self.storage_of(id)? {
            Storage::IndexedDb(_, database) => Some(database),
            Storage::Custom(_) => None,
        }
    }

    fn load(&self, store: StoreId) {
        let Some(shell) = self.shell(store) else { return };
        let again = self.read(|engine| engine.is_catching_up(store)).unwrap_or_default();
        match shell.storage.and_then(|id| self.storage_of(id)) {
            Some(Storage::IndexedDb(_, database)) => spawn_local(async move {
                let stored = database.load(&shell.name, KEY_PLACE, shell.shape.version(), again).await;
                loaded(store, &shell, stored, Some(&database));
            }),
            Some(Storage::Custom(keeper)) => keeper.load(store.0),
            None => {}
        }
    }

    /// A storage of page script gave its records, or an error.
    pub fn records_came(&self, store: StoreId, records: &JsValue, error: &JsValue) {
        let Some(shell) = self.shell(store) else { return };
        let stored = outcome(error).map(|()| Stored { records: stored_of(shell.shape, records), ..Stored::default() });
        loaded(store, &shell, stored, None);
    }

    /// Issues the whole batch before it returns, so that edits survive a reload in the same task.
    fn persist(&self, id: CommandId, storage: StorageId, writes: Vec<Write<JsRow>>) {
        let Some(storage) = self.storage_of(storage) else { return };
        let mut batch: Vec<Batch> = Vec::new();
        let mut after = None;
        for write in writes {
            let Some(store) = write.store() else {
                if let Write::After(before) = write {
                    after = Some(before.0);
                }
                continue;
            };
            let place = batch.iter().position(|part| part.store == store).unwrap_or_else(|| {
                batch.push(Batch::new(store));
                batch.len() - 1
            });
            let Some(part) = batch.get_mut(place) else { continue };
            match write {
                Write::Put(_, item, record) => {
                    part.items.insert(part.puts.len(), item.0);
                    part.puts.push(record);
                }
                Write::Erase(_, item, key) => {
                    part.items.push(item.0);
                    part.erased.push(key_value(&key));
                }
                Write::Cursor(_, cursor) => part.mark = Some(cursor),
                Write::Fence { tab, seen, .. } => part.fence = Some((tab, seen)),
                Write::Notes { tab, number, list, .. } => part.notes = Some((tab, number, list)),
                Write::Forget { tab, number, .. } => part.forgotten.push((tab, number)),
                Write::After(_) => {}
            }
        }
        let parts = batch.into_iter().filter_map(|part| Some((self.shell(part.store)?, part)));
        match storage {
            Storage::IndexedDb(_, database) => {
                let mut stores = Vec::new();
                let parts = parts.map(|(shell, Batch { store, puts, erased, mark, fence, notes, forgotten, .. })| {
                    stores.push((store, shell.name.clone()));
                    // What only the server's rows led to is there as well.
                    let is_edit = |record: &Record<JsRow>| record.sync.is_some() || shell.link.is_none();
                    if database.keeps() && (notes.is_some() || puts.iter().any(is_edit)) {
                        database.edited();
                    }
                    let scope = || shell.link.as_ref().map(Link::scope).unwrap_or_default();
                    let puts = pack_all(shell.shape, &puts);
                    if shell.tabs.as_ref().is_some_and(Tabs::has_peers)
                        && let Some(news) = news_of(&puts, &erased, &forgotten)
                    {
                        self.news.borrow_mut().push((id, store, news));
                    }
                    StoreWrites {
                        key_name: KEY_PLACE.into(),
                        puts,
                        erased,
                        mark: mark.map(|cursor| cursor.map(|cursor| scope() + &cursor)),
                        version: shell.shape.version(),
                        store: shell.name,
                        fence,
                        notes: notes.map(|(tab, number, list)| (tab, number, pack_notes(shell.shape, list))),
                        forgotten,
                        chain: shell.tabs.is_some().then_some((id.0, after)),
                    }
                });
                let writing = database.persist(parts.collect());
                spawn_local(async move {
                    let written = writing.await;
                    let notes = written.is_ok();
                    happened(Input::Persisted(id, written));
                    database.told(id.0);
                    with(|driver| driver.news.borrow_mut().retain(|(of, ..)| *of != id));
                    if notes {
                        note(&database, &stores);
                    } else {
                        with(Self::leave_tabs);
                    }
                });
            }
            // It is one store's own, and keeps records only: without a cursor the next page load reads everything.
            Storage::Custom(keeper) => parts.for_each(|(shell, Batch { puts, erased, items, .. })| {
                let records = records_of(shell.shape, &pack_all(shell.shape, &puts));
                keeper.write(id.0, &records, &erased.into_iter().collect(), &items);
            }),
        }
    }

    fn send(&self, id: CommandId, store: StoreId, request: &Request<JsRow>) {
        let Some((shell, link)) = self.linked(store) else { return };
        let key = request.key.as_ref();
        let payload = match request.action {
            // The edited fields and nothing else (RFC 7396); the key is in the address.
            Action::Update if link.patches() => request.row.payload(None, request.fields),
            Action::Create | Action::Update => request.row.payload(key, request.fields),
            Action::Delete => JsValue::UNDEFINED,
        };
        let there = key.map_or(JsValue::UNDEFINED, |key| shell.shape.key_value(key));
        let here = self.read(|engine| engine.storage_key(request.item).map(key_value));
        let here = here.flatten().unwrap_or_default();
        let (action, name) = (request.action.name(), request.idempotency_key.text());
        let version = request.validator.as_deref();
        link.push(id.0, store.0, action, &payload, &there, request.item.0, &here, &name, version);
    }

    fn resolve(&self, id: CommandId, store: StoreId, item: ItemId, conflict: &Conflict<JsRow>) {
        let Some((_, link)) = self.linked(store) else { return };
        let Conflict { base, local, remote, status } = conflict;
        link.resolve(id.0, store.0, item.0, &base.js(), &local.js(), &remote.js(), *status);
    }

    /// The app has decided about a conflict: "local", "remote", its values, or an error.
    ///
    /// # Errors
    /// `E_POISONED`.
    pub fn resolved(
        &'static self,
        id: CommandId,
        store: StoreId,
        word: &JsValue,
        error: &JsValue,
    ) -> Result<(), Fault> {
        let Some(shell) = self.shell(store) else { return Ok(()) };
        let failed = |message: &str| Resolution::Failed(Fault::new(Code::Conflict, message));
        let resolution = match (error.as_string(), word.as_string().as_deref()) {
            (Some(message), _) => failed(&message),
            (None, Some("local")) => Resolution::Local,
            (None, Some("remote")) => Resolution::Remote,
            (None, _) => match shell.shape.take(word, false) {
                Ok(taken) => Resolution::Values(taken.row, taken.fields),
                Err(fault) => failed(&["`onConflict` gave values that cannot be kept: ", &fault.message].concat()),
            },
        };
        self.handle(Input::Resolved(id, resolution)).map(drop)
    }

    fn fetch_all(&self, id: CommandId, store: StoreId, reading: Reading) {
        if let Some((_, link)) = self.linked(store) {
            let Reading { own, initial, page, cursor } = reading;
            link.fetch_all(id.0, store.0, own.map(|token| token.0), initial, page, cursor);
        }
    }

    fn fetch_one(&self, id: CommandId, store: StoreId, item: ItemId, key: &Key) {
        if let Some((shell, link)) = self.linked(store) {
            link.fetch_one(id.0, store.0, &shell.shape.key_value(key), item.0);
        }
    }

    /// A link answered what it was asked.
    pub fn answered(&self, asked: Asked, id: CommandId, store: StoreId, facts: &Array) {
        let Some(StoreShell { shape, .. }) = self.shell(store) else { return };
        let one = || map_answer(answer(facts), |body| shape.take_remote(&body));
        happened(match asked {
            Asked::Edit => Input::Answered(id, one()),
            Asked::One => Input::FetchedOne(id, one()),
            Asked::All => {
                let (complete, deleted) = completeness(facts);
                let (next, cursor) = onward(facts);
                let read = |body| Some(Rows { next, cursor, ..shape.take_all(&body, complete, &deleted)? });
                Input::Fetched(id, map_answer(answer(facts), read))
            }
            Asked::Probe => Input::Probed(id, is_answered(facts)),
        });
    }

    /// Only a store with a transporter is asked to send.
    fn linked(&self, store: StoreId) -> Option<(StoreShell, Link)> {
        let shell = self.shell(store)?;
        let link = shell.link.clone()?;
        Some((shell, link))
    }
}

/// What is to be written for one store; `items` are those of the puts and then those of the erased.
struct Batch {
    store: StoreId,
    puts: Vec<Record<JsRow>>,
    erased: Vec<JsValue>,
    items: Vec<u32>,
    /// The cursor to keep, or none, if that is news.
    mark: Option<Option<String>>,
    fence: Option<(u64, Mark)>,
    notes: Option<(u64, u32, Vec<Note<JsRow>>)>,
    forgotten: Vec<(u64, u32)>,
}

impl Batch {
    const fn new(store: StoreId) -> Self {
        Self {
            store,
            puts: Vec::new(),
            erased: Vec::new(),
            items: Vec::new(),
            mark: None,
            fence: None,
            notes: None,
            forgotten: Vec::new(),
        }
    }
}

/// The same answer with its JSON read; JSON of another form counts as no body.
fn map_answer<T>(answer: Answer<JsValue>, read: impl FnOnce(JsValue) -> Option<T>) -> Answer<T> {
    match answer {
        Answer::Unreachable { message } => Answer::Unreachable { message },
        Answer::TimedOut => Answer::TimedOut,
        Answer::Cut => Answer::Cut,
        Answer::Response(Response { status, body, text, retry_after, location, version, problem, said }) => {
            let body = match body {
                Body::Json(json) => read(json).map_or(Body::Empty, Body::Json),
                Body::Empty => Body::Empty,
                Body::Malformed => Body::Malformed,
                Body::Foreign => Body::Foreign,
                Body::TooLarge => Body::TooLarge,
            };
            Answer::Response(Response { status, body, text, retry_after, location, version, problem, said })
        }
    }
}
