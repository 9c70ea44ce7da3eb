//! What a page does with a store.

use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::{Thrown, broken, options::SchemaHandle, page, thrown};
use crate::{
    engine::{
        Connection, EditState, Engine, PendingEdit,
        error::{Code, Fault},
        id::{ItemId, StorageId, StoreId, Token},
        input::{Input, Policy, Source, StoreOptions},
        output::Made,
    },
    web::{
        client_storage::indexed_db::room_left,
        driver::{Driver, StoreShell},
        record::fault_or_none,
        row::{JsRow, Shape, key_value},
        transporter::custom::Link,
    },
};

#[wasm_bindgen(module = "/src/web/row.js")]
extern "C" {
    #[wasm_bindgen(js_name = statusObject)]
    #[allow(clippy::too_many_arguments)]
    fn status_object(
        connection: &str,
        durable: bool,
        storage_error: &JsValue,
        pending: f64,
        parked: f64,
        sender: bool,
        estimate: &JsValue,
        last_error: &JsValue,
    ) -> JsValue;
    #[wasm_bindgen(js_name = pendingObject)]
    fn pending_object(item: u32, action: &str, attempts: u32, key: &str, state: &str, reason: &JsValue) -> JsValue;
}

/// One open store.
#[wasm_bindgen(js_name = StoreHandle)]
pub struct StoreHandle {
    driver: &'static Driver,
    id: StoreId,
    shape: Shape,
}

/// What a page can want that needs no values.
#[wasm_bindgen]
#[derive(Clone, Copy)]
pub enum Wish {
    /// To know when the store is loaded.
    OnceLoaded,
    /// To know when the item's edits so far are committed.
    OnceStored,
    /// To know when the item's edits so far are taken by the server.
    OnceSynced,
    /// To know when the item has its server key.
    OnceReady,
    /// The whole collection.
    Fetch,
    /// The collection, read in a way of its own.
    FetchOwn,
    /// One item anew.
    FetchOne,
    /// What can be sent to be sent.
    Flush,
    /// A parked edit to be sent again.
    Retry,
    /// An item's edits to be given up.
    Discard,
    /// To say that the server cannot be reached.
    Lost,
    /// To say that changes made elsewhere were not heard of for a while.
    Missed,
    /// To say that the server can be reached again.
    Reachable,
    /// There are new credentials.
    Authorized,
    /// No requests.
    Pause,
    /// Requests again.
    Resume,
    /// An end.
    Close,
}

/// What can be true of an item.
#[wasm_bindgen]
#[derive(Clone, Copy)]
pub enum Fact {
    /// Its last edit is committed.
    Stored,
    /// Its last edit is taken by the server.
    Synced,
    /// It has its server key.
    Ready,
}

const fn source(from_server: bool) -> Source {
    if from_server { Source::Transporter } else { Source::State }
}

#[wasm_bindgen(js_class = StoreHandle)]
impl StoreHandle {
    /// Opens a store. `storage` is a number that `database` or `keeper` gave; `policy`: "merge", "local", "remote" or "ask".
    #[wasm_bindgen(constructor)]
    pub fn new(
        name: String,
        schema: &SchemaHandle,
        link: Option<Link>,
        storage: Option<u32>,
        policy: &str,
        asks_uncertain: bool,
    ) -> Thrown<Self> {
        let driver = page()?;
        let storage = storage.and_then(|number| u16::try_from(number).ok()).map(StorageId);
        let shape = schema.shape;
        let options = StoreOptions {
            name: name.clone(),
            origin: link.as_ref().map(Link::origin),
            storage,
            fields: schema.schema.fields.len(),
            refers: schema.schema.refers,
            patches: link.as_ref().is_some_and(Link::patches),
            numeric_storage_key: schema.schema.numeric,
            conditional: link.as_ref().is_some_and(Link::conditional),
            policy: match policy {
                "ask" => Policy::Ask,
                "remote" => Policy::Remote,
                _ => Policy::Local,
            },
            asks_uncertain,
            probes: link.as_ref().is_some_and(Link::probes),
            shared: false,
        };
        let shell = StoreShell { name, shape, link, storage, tabs: None };
        let id = driver.open(shell, options).map_err(thrown)?;
        Ok(Self { driver, id, shape })
    }

    /// The number under which the page is called back.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> u16 {
        self.id.0
    }

    /// Makes an item; its number.
    pub fn create(&self, values: &JsValue, from_server: bool) -> Thrown<u32> {
        let taken = self.shape.take(values, true).map_err(thrown)?;
        let input = Input::Create { store: self.id, row: taken.row, key: taken.key, source: source(from_server) };
        self.make(input)
    }

    /// Makes an empty item that is fetched; its number.
    #[wasm_bindgen(js_name = awaitItem)]
    pub fn await_item(&self, key: &JsValue) -> Thrown<u32> {
        let key = self.shape.key(key).map_err(thrown)?;
        self.make(Input::Await { store: self.id, row: self.shape.empty(), key })
    }

    fn make(&self, input: Input<JsRow>) -> Thrown<u32> {
        match self.driver.handle(input).map_err(thrown)? {
            Made::Item(id) => Ok(id.0),
            Made::Store(_) | Made::Nothing => Ok(u32::MAX),
        }
    }

    /// Changes values of an item.
    pub fn update(&self, item: u32, values: &JsValue, from_server: bool) -> Thrown<()> {
        let taken = self.shape.take(values, false).map_err(thrown)?;
        let (row, fields) = (taken.row, taken.fields);
        self.act(Input::Update { item: ItemId(item), row, fields, source: source(from_server) })
    }

    /// Changes one value of an item.
    pub fn assign(&self, item: u32, field: u32, value: &JsValue) -> Thrown<()> {
        let (row, fields) = self.shape.take_one(field, value).map_err(thrown)?;
        self.act(Input::Update { item: ItemId(item), row, fields, source: Source::State })
    }

    /// Checks one value and gives back the copy that would be kept.
    pub fn check(&self, field: u32, value: &JsValue) -> Thrown<JsValue> {
        let (row, _) = self.shape.take_one(field, value).map_err(thrown)?;
        Ok(row.js())
    }

    /// Removes an item.
    pub fn remove(&self, item: u32, from_server: bool) -> Thrown<()> {
        self.act(Input::Remove { item: ItemId(item), source: source(from_server) })
    }

    /// What a page wants of the store, or of an item; `token` is settled when it is done.
    pub fn want(&self, wish: Wish, item: u32, token: u32) -> Thrown<()> {
        let (item, token) = (ItemId(item), Token(token));
        self.act(match wish {
            Wish::OnceLoaded => Input::OnceLoaded(self.id, token),
            Wish::OnceStored => Input::OnceStored(item, token),
            Wish::OnceSynced => Input::OnceSynced(item, token),
            Wish::OnceReady => Input::OnceReady(item, token),
            Wish::Fetch => Input::Fetch { store: self.id, token, own: false },
            Wish::FetchOwn => Input::Fetch { store: self.id, token, own: true },
            Wish::FetchOne => Input::FetchOne(item),
            Wish::Flush => Input::Flush(self.id, token),
            Wish::Retry => Input::Retry(item),
            Wish::Discard => Input::Discard(item),
            Wish::Lost => Input::Lost(self.id),
            Wish::Missed => Input::Missed(self.id),
            Wish::Reachable => Input::Reachable(self.id),
            Wish::Authorized => Input::Authorized(self.id),
            Wish::Pause => Input::Pause(self.id),
            Wish::Resume => Input::Resume(self.id),
            Wish::Close => Input::Close(self.id, token),
        })
    }

    /// Takes in what the server told without being asked: rows, keys of deleted ones, and what made no sense of it.
    pub fn heard(&self, rows: &Array, deleted: &Array, problem: Option<String>) -> Thrown<()> {
        let Some(mut rows) = self.shape.take_all(rows, false, deleted) else { return Ok(()) };
        rows.problem = rows.problem.or_else(|| problem.map(|problem| Fault::new(Code::BadAnswer, problem)));
        self.act(Input::Heard(self.id, rows))
    }

    /// Lets go of databases that no open store uses, and of the locks of closed stores.
    #[wasm_bindgen(js_name = releaseDatabases)]
    pub fn release_databases(&self) {
        self.driver.release_storages();
    }

    fn read<T>(&self, view: impl FnOnce(&Engine<JsRow>) -> T) -> Thrown<T> {
        self.driver.read(view).ok_or_else(broken)
    }

    fn act(&self, input: Input<JsRow>) -> Thrown<()> {
        self.driver.handle(input).map(drop).map_err(thrown)
    }

    /// What is true of an item.
    pub fn is(&self, fact: Fact, item: u32) -> Thrown<bool> {
        let item = ItemId(item);
        self.read(|engine| match fact {
            Fact::Stored => engine.is_stored(item),
            Fact::Synced => engine.is_synced(item),
            Fact::Ready => engine.is_ready(item),
        })
    }

    /// Why the item is parked, as `{code, message, status?, body?}`.
    pub fn parked(&self, item: u32) -> Thrown<JsValue> {
        let fault = self.read(|engine| engine.parked(ItemId(item)).cloned())?;
        Ok(fault_or_none(fault.as_ref()))
    }

    /// The row of an item, as it was given with `changed` for those that are not removed.
    pub fn row(&self, item: u32) -> Thrown<JsValue> {
        let row = self.read(|engine| engine.row(ItemId(item)).map(JsRow::js))?;
        Ok(row.unwrap_or_default())
    }

    /// The key of an item in client storage.
    #[wasm_bindgen(js_name = storageKey)]
    pub fn storage_key(&self, item: u32) -> Thrown<JsValue> {
        let key = self.read(|engine| engine.storage_key(ItemId(item)).cloned())?;
        Ok(key.map_or(JsValue::UNDEFINED, |key| key_value(&key)))
    }

    /// The number of the item with this key; nothing if there is none.
    pub fn find(&self, key: &JsValue, in_client_storage: bool) -> Thrown<Option<u32>> {
        let key = self.shape.key(key).map_err(thrown)?;
        self.read(|engine| {
            let found = if in_client_storage {
                engine.find_by_storage_key(self.id, &key)
            } else {
                engine.find_by_remote_key(self.id, &key)
            };
            found.map(|id| id.0)
        })
    }

    /// Whether the store is loaded.
    #[wasm_bindgen(getter)]
    pub fn loaded(&self) -> Thrown<bool> {
        self.read(|engine| engine.is_loaded(self.id))
    }

    /// How the store is: `StoreStatus`, with faults as `{code, message, status?, body?}`.
    #[wasm_bindgen(getter)]
    pub fn status(&self) -> Thrown<JsValue> {
        let (status, sender) = self.read(|engine| (engine.status(self.id), engine.is_sender(self.id)))?;
        let storage = self.driver.shell(self.id).and_then(|shell| shell.storage);
        let is_database = storage.is_some_and(|id| self.driver.database(id).is_some());
        Ok(status_object(
            connection(status.connection),
            status.durable,
            &fault_or_none(status.storage_error.as_ref()),
            status.pending as f64,
            status.parked as f64,
            sender,
            &if is_database { room_left() } else { JsValue::UNDEFINED },
            &fault_or_none(status.last_error.as_ref()),
        ))
    }

    /// The edits that the server has not taken: `{item, action, attempts, idempotencyKey, state, reason?}`.
    pub fn pending(&self) -> Thrown<Array> {
        let edits = self.read(|engine| engine.pending(self.id))?;
        Ok(edits.iter().map(pending_edit).collect())
    }
}

fn pending_edit(edit: &PendingEdit) -> JsValue {
    let state = match edit.state {
        EditState::Queued => "queued",
        EditState::Sending => "sending",
        EditState::Waiting => "waiting",
        EditState::Parked => "parked",
    };
    let (item, action, key) = (edit.item.0, edit.action.name(), edit.idempotency_key.text());
    pending_object(item, action, edit.attempts, &key, state, &fault_or_none(edit.reason.as_ref()))
}

const fn connection(connection: Connection) -> &'static str {
    match connection {
        Connection::Online => "online",
        Connection::Offline => "offline",
        Connection::Held => "held",
        Connection::Paused => "paused",
    }
}
