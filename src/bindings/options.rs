//! Handles for what a store is made of: its schema and its two ends. Made and checked before the store.

use std::rc::Rc;

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use super::{Thrown, page, thrown};
use crate::{
    engine::{
        error::{Code, Fault},
        id::StorageId,
        schema::{Property, Schema},
    },
    web::{
        client_storage::{
            custom::Keeper,
            indexed_db::{IndexedDb, StoreWrites},
        },
        row::{KEY_PLACE, Shape},
        transporter::http::{HttpTransporter, WireAction},
    },
};

/// A schema that was checked.
#[wasm_bindgen(js_name = SchemaHandle)]
pub struct SchemaHandle {
    pub(super) schema: Schema,
    pub(super) shape: Shape,
}

#[wasm_bindgen(js_class = SchemaHandle)]
impl SchemaHandle {
    /// Checks a definition: an array of `{name, kind, primary, key, storageKey, refers, properties, items}`. `migrations[2]` is a
    /// function that brings what was stored under version 1 to version 2.
    #[wasm_bindgen(constructor)]
    pub fn new(definition: Array, version: u32, migrations: &JsValue) -> Thrown<Self> {
        let properties: Vec<Property> = definition.iter().map(|described| property(&described)).collect();
        let schema = Schema::new(&properties).map_err(thrown)?;
        let kinds = Array::new();
        for (property, described) in properties.iter().zip(definition.iter()) {
            if schema.fields.contains(&property.name) {
                kinds.push(&described);
            }
        }
        let shape = Shape::new(&schema, &kinds, version, migrations).map_err(thrown)?;
        Ok(Self { schema, shape })
    }

    /// The names: the primary key's as a property, on the server and in client storage, then the fields' in their order.
    #[wasm_bindgen(getter)]
    pub fn names(&self) -> JsValue {
        let Schema { fields, primary, key, storage_key, .. } = &self.schema;
        let names: Vec<&String> = [primary, key, storage_key].into_iter().chain(fields).collect();
        serde_wasm_bindgen::to_value(&names).unwrap_or_default()
    }
}

/// Reads one property of a definition.
fn property(described: &JsValue) -> Property {
    let get = |name: &str| Reflect::get(described, &name.into()).unwrap_or_default();
    let text = |name: &str| get(name).as_string();
    let (properties, items) = (get("properties"), get("items"));
    Property {
        name: text("name").unwrap_or_default(),
        kind: text("kind").unwrap_or_default(),
        primary: get("primary").is_truthy(),
        key: text("key"),
        storage_key: text("storageKey"),
        refers: get("refers").is_truthy(),
        properties: match properties.dyn_into::<Array>() {
            Ok(list) => list.iter().map(|one| property(&one)).collect(),
            Err(_) => Vec::new(),
        },
        items: items.is_object().then(|| Box::new(property(&items))),
    }
}

/// Checks the options of an HTTP transporter and keeps it; its number.
#[wasm_bindgen(js_name = httpTransporter)]
pub fn http_transporter(options: &JsValue) -> Thrown<u32> {
    let driver = page()?;
    let http = HttpTransporter::new(options).map_err(thrown)?;
    Ok(driver.add_transporter(http))
}

fn http(number: u32) -> Thrown<HttpTransporter> {
    let found = page()?.transporter(number);
    found.ok_or_else(|| thrown(Fault::new(Code::Options, "this is no HttpTransporter")))
}

/// The options of an HTTP transporter as they were read.
#[wasm_bindgen(js_name = httpOptions)]
pub fn http_options(number: u32) -> Thrown<JsValue> {
    Ok(http(number)?.options().clone())
}

/// What a request says: `{method, url, headers, body}`.
#[wasm_bindgen(js_name = httpPrepare)]
#[allow(clippy::needless_pass_by_value, reason = "the form in which wasm-bindgen takes optional text")]
pub fn http_prepare(
    number: u32,
    action: WireAction,
    id: Option<String>,
    body: &JsValue,
    key: Option<String>,
    version: Option<String>,
) -> Thrown<JsValue> {
    let prepared = http(number)?.prepare(action, id.as_deref(), body, key.as_deref(), version.as_deref());
    prepared.map_err(|reason| thrown(Fault::new(Code::UnsafeId, reason)))
}

/// Sends what `httpPrepare` gave: the facts of the answer.
#[wasm_bindgen(js_name = httpExchange)]
pub fn http_exchange(number: u32, request: &JsValue, action: WireAction) -> Thrown<Promise> {
    Ok(http(number)?.exchange(request, action))
}

/// The number of a client storage written in page script.
#[wasm_bindgen(js_name = keeper)]
pub fn keeper(keeper: Keeper) -> Thrown<u32> {
    Ok(u32::from(page()?.keeper(keeper).0))
}

/// The rows of a store as they lie in a database.
#[wasm_bindgen(js_name = databaseLoad)]
pub fn database_load(number: u16, store: &str) -> Thrown<Promise> {
    // Each record says its version itself.
    let loading = opened(number)?.load(store, KEY_PLACE, u32::MAX, false);
    Ok(future_to_promise(async move {
        loading.await.map(|stored| stored.records.into()).map_err(|failure| thrown(failure.fault()))
    }))
}

/// Writes rows of a store into a database, and erases others; `version` is that of their schema.
#[wasm_bindgen(js_name = databaseWrite)]
pub fn database_write(number: u16, store: String, puts: Array, erased: Vec<JsValue>, version: u32) -> Thrown<Promise> {
    let batch =
        vec![StoreWrites { store, key_name: KEY_PLACE.into(), puts, erased, version, ..StoreWrites::default() }];
    let writing = opened(number)?.persist(batch);
    Ok(future_to_promise(async move {
        writing.await.map(|()| JsValue::UNDEFINED).map_err(|failure| thrown(failure.fault()))
    }))
}

fn opened(number: u16) -> Thrown<Rc<IndexedDb>> {
    let found = page()?.database(StorageId(number));
    found.ok_or_else(|| thrown(Fault::new(Code::Options, "this is no database")))
}

/// The number of the database with this name, opened at its first use; `strict` asks for durability `"strict"`, `keeps` the
/// browser to keep what is in it.
#[wasm_bindgen(js_name = database)]
pub fn database(name: &str, strict: bool, keeps: bool) -> Thrown<u32> {
    if name.is_empty() {
        return Err(thrown(Fault::new(Code::Options, "`database` must be a name; leave it out for \"concordia\"")));
    }
    Ok(u32::from(page()?.storage(name, strict, keeps).0))
}
