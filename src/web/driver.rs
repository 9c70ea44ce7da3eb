//! Hands what happens to the engine, carries out what it wants done, and tells the page what changed.
//!
//! One for each page. Changes are told after the engine is free again, in the order in which they happened, so a listener
//! may edit.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    rc::Rc,
};

use js_sys::{Function, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::{
    client_storage::indexed_db::{IndexedDb, StoreWrites},
    clock::{Clock, now, seed},
    record::{fault_object, pack_all, unpack},
    row::{JsRow, KEY_PLACE, Shape, tell_changed, tell_made},
    transporter::http::{HttpTransporter, WireAction, WireRequest},
};
use crate::engine::{
    Engine,
    error::{Code, Fault},
    id::{CommandId, ItemId, Key, StorageId, StoreId, Token},
    input::{Input, Record},
    lifecycle::Action,
    outcome::{Answer, Body, Response},
    output::{Changes, Command, Made, Output, Request, Write},
    row::RemoteRow,
};

/// What the shell knows of one store.
#[derive(Clone)]
pub struct StoreShell {
    /// Its name in client storage.
    pub name: String,
    /// How its rows look.
    pub shape: Shape,
    /// Where its requests go.
    pub http: Option<HttpTransporter>,
    /// Where its records go.
    pub storage: Option<StorageId>,
}

/// The page's engine and what surrounds it. Lives as long as the page.
pub struct Driver {
    engine: RefCell<Engine<JsRow>>,
    stores: RefCell<Vec<StoreShell>>,
    transporters: RefCell<Vec<HttpTransporter>>,
    /// By the database's name.
    storages: RefCell<Vec<(String, Rc<IndexedDb>)>>,
    clock: Clock,
    page: Page,
    told: RefCell<VecDeque<Told>>,
    telling: Cell<bool>,
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
fn poisoned() -> Fault {
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
    };
    DRIVER.with(|slot| slot.set(Some(Box::leak(Box::new(driver)))));
}

fn with(act: impl FnOnce(&'static Driver)) {
    if let Some(driver) = DRIVER.with(Cell::get) {
        act(driver);
    }
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

    /// Reads from the engine.
    ///
    /// # Errors
    /// `E_POISONED`.
    pub fn read<T>(&self, view: impl FnOnce(&Engine<JsRow>) -> T) -> Result<T, Fault> {
        self.engine.try_borrow().map(|engine| view(&engine)).map_err(|_| poisoned())
    }

    /// Opens a store.
    ///
    /// # Errors
    /// What the engine refuses.
    pub fn open(
        &'static self,
        shell: StoreShell,
        options: crate::engine::input::StoreOptions,
    ) -> Result<StoreId, Fault> {
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
    pub fn storage(&self, database: &str, strict: bool) -> StorageId {
        let mut storages = self.storages.borrow_mut();
        let place = storages.iter().position(|(name, _)| name == database).unwrap_or_else(|| {
            storages.push((database.to_owned(), IndexedDb::new(database, strict)));
            storages.len() - 1
        });
        StorageId(u16::try_from(place).unwrap_or(u16::MAX))
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

    /// Releases databases that no open store uses.
    pub fn release_storages(&self) {
        let used: Vec<StorageId> = self
            .read(|engine| {
                let stores = self.stores.borrow();
                (0..stores.len())
                    .filter_map(|at| u16::try_from(at).ok().map(StoreId).filter(|id| engine.is_open(*id)))
                    .filter_map(|id| stores.get(usize::from(id.0))?.storage)
                    .collect()
            })
            .unwrap_or_default();
        for (place, (_, storage)) in self.storages.borrow().iter().enumerate() {
            if !used.iter().any(|id| usize::from(id.0) == place) {
                storage.close();
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
                    let fault = result.err().map_or(JsValue::UNDEFINED, |fault| fault_object(&fault));
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
            Command::FetchAll(id, store) => self.fetch(id, store, None),
            Command::FetchOne(id, store, key) => self.fetch(id, store, Some(key)),
        }
    }

    fn database(&self, id: StorageId) -> Option<Rc<IndexedDb>> {
        self.storages.borrow().get(usize::from(id.0)).map(|(_, storage)| storage.clone())
    }

    fn load(&self, store: StoreId) {
        let Some(shell) = self.shell(store) else { return };
        let Some(database) = shell.storage.and_then(|id| self.database(id)) else { return };
        let loading = database.load(&shell.name, KEY_PLACE);
        spawn_local(async move {
            let (records, problem) = match loading.await {
                Ok(records) => {
                    let (records, problem) = unpack(shell.shape, &records);
                    (Ok(records), problem)
                }
                Err(failure) => (Err(failure), None),
            };
            happened(Input::Loaded { store, records, problem });
        });
    }

    /// Issues the whole batch before it returns, so that edits survive a reload in the same task.
    fn persist(&self, id: CommandId, storage: StorageId, writes: Vec<Write<JsRow>>) {
        let Some(database) = self.database(storage) else { return };
        let mut batch: Vec<(StoreId, Vec<Record<JsRow>>, Vec<JsValue>)> = Vec::new();
        for write in writes {
            let (Write::Put(store, _) | Write::Erase(store, _)) = write;
            let place = batch.iter().position(|(of, ..)| *of == store).unwrap_or_else(|| {
                batch.push((store, Vec::new(), Vec::new()));
                batch.len() - 1
            });
            let Some((_, puts, erased)) = batch.get_mut(place) else { continue };
            match write {
                Write::Put(_, record) => puts.push(record),
                Write::Erase(_, key) => erased.push(storage_key(&key)),
            }
        }
        let batch = batch.into_iter().filter_map(|(store, puts, erased)| {
            let shell = self.shell(store)?;
            let puts = pack_all(shell.shape, &puts);
            Some(StoreWrites { store: shell.name, key_name: KEY_PLACE.into(), puts, erased })
        });
        let writing = database.persist(batch.collect());
        spawn_local(async move { happened(Input::Persisted(id, writing.await)) });
    }

    fn send(&self, id: CommandId, store: StoreId, request: &Request<JsRow>) {
        let Some(shell) = self.shell(store) else { return };
        let key = request.key.as_ref();
        let (action, body) = match request.action {
            Action::Create => (WireAction::Create, request.row.payload(key, request.fields)),
            Action::Update => (WireAction::Update, request.row.payload(key, request.fields)),
            Action::Delete => (WireAction::Delete, JsValue::UNDEFINED),
        };
        let idempotency_key = Some(request.idempotency_key.text());
        let wire = WireRequest { action, id: key.map(|key| key.text().to_owned()), body, idempotency_key };
        let answering = self.ask(&shell, wire);
        spawn_local(async move {
            let answer = map_answer(answering.await, |body| shell.shape.take_remote(&body));
            happened(Input::Answered(id, answer));
        });
    }

    fn fetch(&self, id: CommandId, store: StoreId, key: Option<Key>) {
        let Some(shell) = self.shell(store) else { return };
        let action = if key.is_some() { WireAction::FetchOne } else { WireAction::FetchAll };
        let wire = WireRequest {
            action,
            id: key.as_ref().map(|key| key.text().to_owned()),
            body: JsValue::UNDEFINED,
            idempotency_key: None,
        };
        let answering = self.ask(&shell, wire);
        spawn_local(async move {
            let answer = answering.await;
            let Some(key) = key else {
                return happened(Input::Fetched(id, map_answer(answer, |body| shell.shape.take_all(&body))));
            };
            let answer = map_answer(answer, |body| {
                let told: RemoteRow<JsRow> = shell.shape.take_remote(&body)?;
                Some(RemoteRow { key: Some(key), ..told })
            });
            happened(Input::FetchedOne(id, answer));
        });
    }

    /// Sends at once; a store whose transporter is gone gets the answer of a server that is.
    fn ask(&self, shell: &StoreShell, wire: WireRequest) -> impl Future<Output = Answer<JsValue>> + 'static + use<> {
        let answering = shell.http.as_ref().map(|http| http.send(wire));
        async move {
            match answering {
                Some(answering) => answering.await,
                None => Answer::Unreachable { message: "no transporter".into() },
            }
        }
    }
}

/// The same answer with its JSON read; JSON of another form counts as no body.
fn map_answer<T>(answer: Answer<JsValue>, read: impl FnOnce(JsValue) -> Option<T>) -> Answer<T> {
    match answer {
        Answer::Unreachable { message } => Answer::Unreachable { message },
        Answer::TimedOut => Answer::TimedOut,
        Answer::Cut => Answer::Cut,
        Answer::Response(Response { status, body, text, retry_after, location, version }) => {
            let body = match body {
                Body::Json(json) => read(json).map_or(Body::Empty, Body::Json),
                Body::Empty => Body::Empty,
                Body::Malformed => Body::Malformed,
                Body::Foreign => Body::Foreign,
                Body::TooLarge => Body::TooLarge,
            };
            Answer::Response(Response { status, body, text, retry_after, location, version })
        }
    }
}

/// A storage key as the record holds it.
pub fn storage_key(key: &Key) -> JsValue {
    if key.numeric {
        // JavaScript reads numbers: the tables for it in Rust are 10 kB that cannot be compressed.
        js_sys::parse_float(key.text()).into()
    } else {
        key.text().into()
    }
}
