//! Handles for what a store is made of: its schema and its two ends. Made and checked before the store.

use js_sys::{Array, Reflect};
use wasm_bindgen::prelude::*;

use super::{Thrown, thrown};
use crate::{
    engine::{
        error::{Code, Fault},
        schema::{Property, Schema},
    },
    web::{driver::driver, row::Shape, transporter::http::HttpTransporter},
};

/// A schema that was checked.
#[wasm_bindgen(js_name = SchemaHandle)]
pub struct SchemaHandle {
    pub(super) schema: Schema,
    pub(super) shape: Shape,
}

#[wasm_bindgen(js_class = SchemaHandle)]
impl SchemaHandle {
    /// Checks a definition: an array of `{name, kind, primary, key, storageKey, refers, properties, items}`.
    #[wasm_bindgen(constructor)]
    pub fn new(definition: Array) -> Thrown<Self> {
        let properties: Vec<Property> = definition.iter().map(|described| property(&described)).collect();
        let schema = Schema::new(&properties).map_err(thrown)?;
        let kinds = Array::new();
        for (property, described) in properties.iter().zip(definition.iter()) {
            if schema.fields.contains(&property.name) {
                kinds.push(&described);
            }
        }
        let shape = Shape::new(&schema, &kinds).map_err(thrown)?;
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
    let driver = driver().map_err(thrown)?;
    let http = HttpTransporter::new(options).map_err(thrown)?;
    Ok(driver.add_transporter(http))
}

/// The path of an HTTP transporter, which is the default name of its store.
#[wasm_bindgen(js_name = httpPath)]
pub fn http_path(transporter: u32) -> Thrown<Option<String>> {
    let driver = driver().map_err(thrown)?;
    Ok(driver.transporter(transporter).map(|http| http.path().to_owned()))
}

/// The number of the database with this name, opened at its first use; `strict` asks for durability `"strict"`.
#[wasm_bindgen(js_name = database)]
pub fn database(name: &str, strict: bool) -> Thrown<u32> {
    if name.is_empty() {
        return Err(thrown(Fault::new(Code::Options, "`database` must be a name; leave it out for \"concordia\"")));
    }
    Ok(u32::from(driver().map_err(thrown)?.storage(name, strict).0))
}
