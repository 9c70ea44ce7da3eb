//! The engine's view of values that live in JavaScript: a row is a handle, its fields are moved by `row.js`.
//!
//! Owns the border between the two. Decides nothing: which fields, and when, is the engine's word.

use std::rc::Rc;

use js_sys::{Array, Float64Array, Function};
use wasm_bindgen::prelude::*;

use crate::engine::{
    error::{Code, Fault},
    id::{ItemId, Key, StoreId, decimal},
    input::{Cursor, Next, Rows},
    output::Changes,
    row::{FieldSet, Reference, RemoteRow, Row},
    schema::Schema,
};

#[wasm_bindgen(module = "/src/web/row.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = makeShape)]
    fn make_shape(
        names: Vec<String>,
        kinds: &JsValue,
        key: &str,
        storage_key: &str,
        numeric: bool,
        version: u32,
        migrations: &JsValue,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = emptyRow)]
    fn empty_row(shape: &JsValue) -> u32;
    fn release(number: u32);
    #[wasm_bindgen(js_name = rowAt)]
    fn row_at(number: u32) -> JsValue;
    #[wasm_bindgen(js_name = tellMade)]
    fn tell_made_js(made: &Function, store: u16, item: u32, number: u32);
    #[wasm_bindgen(js_name = tellChanged)]
    fn tell_changed_js(
        changed: &Function,
        store: u16,
        added: &[u32],
        numbers: &[u32],
        updated: &[u32],
        removed: &[u32],
    );
    #[wasm_bindgen(catch, js_name = take)]
    fn take_js(shape: &JsValue, values: &JsValue, whole: bool) -> Result<u32, JsValue>;
    #[wasm_bindgen(js_name = givenKey)]
    fn given_key(shape: &JsValue) -> Option<String>;
    #[wasm_bindgen(js_name = word)]
    fn word_js(shape: &JsValue, at: u32) -> u32;
    #[wasm_bindgen(catch, js_name = takeOne)]
    fn take_one_js(shape: &JsValue, place: u32, value: &JsValue) -> Result<u32, JsValue>;
    #[wasm_bindgen(catch, js_name = takeForeign)]
    fn take_foreign_js(shape: &JsValue, values: &JsValue) -> Result<Option<u32>, JsValue>;
    #[wasm_bindgen(catch, js_name = takeAll)]
    fn take_all_js(shape: &JsValue, list: &JsValue) -> Result<TakenAll, JsValue>;
    #[wasm_bindgen(js_name = takeKey)]
    fn take_key_js(key: &JsValue) -> String;
    #[wasm_bindgen(js_name = keyValue)]
    fn key_value_js(shape: &JsValue, text: &str, numeric: bool) -> JsValue;
    #[wasm_bindgen(js_name = setRemoteKey)]
    fn set_remote_key(shape: &JsValue, row: u32, text: &str, numeric: bool);
    #[wasm_bindgen(js_name = merge)]
    fn merge_js(row: u32, from: u32, a: u32, b: u32, c: u32, d: u32);
    #[wasm_bindgen(js_name = pick)]
    fn pick_js(shape: &JsValue, row: u32, a: u32, b: u32, c: u32, d: u32) -> u32;
    #[wasm_bindgen(js_name = references)]
    fn references_js(shape: &JsValue, row: u32, a: u32, b: u32, c: u32, d: u32) -> String;
    #[wasm_bindgen(js_name = bind)]
    fn bind_js(row: u32, texts: &str, a: u32, b: u32, c: u32, d: u32);
    #[wasm_bindgen(js_name = diff)]
    fn diff_js(shape: &JsValue, row: u32, other: u32, a: u32, b: u32, c: u32, d: u32) -> bool;
    #[wasm_bindgen(js_name = payload)]
    #[allow(clippy::too_many_arguments)]
    fn payload_js(
        shape: &JsValue,
        row: u32,
        text: Option<&str>,
        numeric: bool,
        a: u32,
        b: u32,
        c: u32,
        d: u32,
    ) -> JsValue;

    type TakenAll;
    #[wasm_bindgen(method, getter)]
    fn first(this: &TakenAll) -> u32;
    #[wasm_bindgen(method, getter)]
    fn count(this: &TakenAll) -> u32;
    #[wasm_bindgen(method, getter)]
    fn keys(this: &TakenAll) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn words(this: &TakenAll) -> Vec<u32>;
    #[wasm_bindgen(method, getter)]
    fn problems(this: &TakenAll) -> u32;
    #[wasm_bindgen(method, getter)]
    fn problem(this: &TakenAll) -> String;
}

/// The name of the place of client storage's key in a row.
pub const KEY_PLACE: &str = "0";

/// How the rows of one store look. Made once for a schema and kept as long as the page, so that a row carries no count.
#[derive(Clone, Copy)]
pub struct Shape {
    js: &'static JsValue,
    fields: usize,
    version: u32,
}

/// The values of one item: a handle to the array behind its properties.
#[derive(Clone)]
pub struct JsRow {
    held: Rc<Held>,
    shape: Shape,
}

/// The number under which `row.js` holds the array: rows cross the border by the thousand, and numbers do so for nothing.
struct Held(u32);

impl Drop for Held {
    fn drop(&mut self) {
        release(self.0);
    }
}

/// The app's values, checked.
pub struct TakenRow {
    /// The values.
    pub row: JsRow,
    /// Which fields were given.
    pub fields: FieldSet,
    /// The server's key, if the app chose it.
    pub key: Option<Key>,
}

impl Shape {
    /// `kinds` holds a definition for each field of `schema`, in the same order; `migrations[2]` brings what was stored under
    /// version 1 to version 2.
    ///
    /// # Errors
    /// `E_SCHEMA` with the name that two values would be sent or stored under.
    pub fn new(schema: &Schema, kinds: &JsValue, version: u32, migrations: &JsValue) -> Result<Self, Fault> {
        let names = schema.fields.clone();
        let (key, storage_key) = (&schema.key, &schema.storage_key);
        let js = make_shape(names, kinds, key, storage_key, schema.numeric, version, migrations).map_err(refusal)?;
        Ok(Self { js: Box::leak(Box::new(js)), fields: schema.fields.len(), version })
    }

    /// The object that `row.js` knows it by.
    pub const fn js(&self) -> &'static JsValue {
        self.js
    }

    /// The number of its fields.
    pub const fn fields(&self) -> usize {
        self.fields
    }

    /// The version of the schema.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// A handle to the array with this number, which has this shape.
    pub fn row(&self, number: u32) -> JsRow {
        JsRow { held: Rc::new(Held(number)), shape: *self }
    }

    /// A row without values.
    pub fn empty(&self) -> JsRow {
        self.row(empty_row(self.js))
    }

    /// Checks and copies the app's values.
    ///
    /// # Errors
    /// `E_TYPE`, `E_NOT_CLONEABLE`, each with the property's name; `E_UNSAFE_ID`.
    pub fn take(&self, values: &JsValue, whole: bool) -> Result<TakenRow, Fault> {
        let row = self.row(take_js(self.js, values, whole).map_err(refusal)?);
        let key = given_key(self.js).map(|key| read_key(&key)).transpose()?;
        // A new item has all fields.
        let fields = if whole { FieldSet::first(self.fields) } else { self.words() };
        Ok(TakenRow { row, fields, key })
    }

    /// Checks and copies one value.
    ///
    /// # Errors
    /// As `take`.
    pub fn take_one(&self, field: u32, value: &JsValue) -> Result<(JsRow, FieldSet), Fault> {
        let row = take_one_js(self.js, field, value).map_err(refusal)?;
        Ok((self.row(row), FieldSet::one(field as usize)))
    }

    /// A server's object as a row; nothing if it is none.
    pub fn take_remote(&self, values: &JsValue) -> Option<RemoteRow<JsRow>> {
        let row = take_foreign_js(self.js, values).ok()??;
        let key = given_key(self.js).and_then(|key| key_of(&key));
        Some(RemoteRow { row: self.row(row), present: self.words(), key })
    }

    /// A server's array as rows; nothing if it is none.
    pub fn take_all(&self, list: &JsValue, complete: bool, deleted: &Array) -> Option<Rows<JsRow>> {
        if !Array::is_array(list) {
            return None;
        }
        let taken = take_all_js(self.js, list).ok()?;
        let (present, keys) = (taken.words(), taken.keys());
        let problem = (taken.problems() > 0).then(|| {
            let (left_out, first) = (decimal(taken.problems().into()), taken.problem());
            let total = taken.count() + taken.problems();
            let message = [&left_out, " of ", &decimal(total.into()), " rows were left out; ", &first].concat();
            Fault::new(Code::BadAnswer, message)
        });
        let rows = self.rows(taken.first(), taken.count()).zip(many_keys(&keys)).enumerate();
        let told = rows.map(|(at, (row, key))| RemoteRow { row, present: words(&present, at * 4), key });
        let deleted = deleted.iter().filter_map(|key| key_of(&take_key_js(&key))).collect();
        Some(Rows { rows: told.collect(), complete, deleted, problem, next: Next::None, cursor: Cursor::Kept })
    }

    /// Handles to as many arrays, whose numbers follow each other.
    pub fn rows(&self, first: u32, count: u32) -> impl ExactSizeIterator<Item = JsRow> {
        make_room(count);
        (first..first + count).map(|number| self.row(number))
    }

    /// Reads a key that the app gave.
    ///
    /// # Errors
    /// `E_UNSAFE_ID`.
    pub fn key(&self, key: &JsValue) -> Result<Key, Fault> {
        read_key(&take_key_js(key))
    }

    /// A server's key as the server wrote it.
    pub fn key_value(&self, key: &Key) -> JsValue {
        key_value_js(self.js, key.text(), key.numeric)
    }

    /// The field set that `row.js` left behind.
    fn words(&self) -> FieldSet {
        let count = u32::try_from(self.fields.div_ceil(32)).unwrap_or(0);
        FieldSet((0..count).fold(0, |set, at| set | u128::from(word_js(self.js, at)) << (32 * at)))
    }
}

impl JsRow {
    /// The array itself.
    pub fn js(&self) -> JsValue {
        row_at(self.held.0)
    }

    /// The number by which `row.js` knows it.
    pub fn number(&self) -> u32 {
        self.held.0
    }

    /// What is sent of it.
    pub fn payload(&self, key: Option<&Key>, fields: FieldSet) -> JsValue {
        let [a, b, c, d] = split(fields);
        let numeric = key.is_some_and(|key| key.numeric);
        payload_js(self.shape.js, self.held.0, key.map(Key::text), numeric, a, b, c, d)
    }
}

impl Row for JsRow {
    fn merge(&mut self, fields: FieldSet, from: &Self) {
        let [a, b, c, d] = split(fields);
        merge_js(self.held.0, from.held.0, a, b, c, d);
    }

    fn pick(&self, fields: FieldSet) -> Self {
        let [a, b, c, d] = split(fields);
        self.shape.row(pick_js(self.shape.js, self.held.0, a, b, c, d))
    }

    fn diff(&self, other: &Self, among: FieldSet) -> FieldSet {
        let [a, b, c, d] = split(among);
        if diff_js(self.shape.js, self.held.0, other.held.0, a, b, c, d) { self.shape.words() } else { FieldSet::NONE }
    }

    fn set_remote_key(&mut self, key: &Key) {
        set_remote_key(self.shape.js, self.held.0, key.text(), key.numeric);
    }

    fn references(&self, fields: FieldSet) -> Vec<Reference> {
        let [a, b, c, d] = split(fields);
        let text = references_js(self.shape.js, self.held.0, a, b, c, d);
        let mut parts = text.split('\0');
        // A small number comes as one character.
        let number = |part: &str| u16::try_from(u32::from(part.chars().next()?) - 1).ok();
        let mut next = || {
            Some(Reference {
                field: usize::from(number(parts.next()?)?),
                store: number(parts.next()?).map(StoreId),
                key: key_of(parts.next()?),
                storage_key: key_of(parts.next()?),
            })
        };
        std::iter::from_fn(&mut next).collect()
    }

    fn bind(&mut self, fields: FieldSet, references: &[Reference]) {
        let [a, b, c, d] = split(fields);
        let mut texts = String::new();
        for key in references.iter().flat_map(|reference| [&reference.key, &reference.storage_key]) {
            if let Some(key) = key {
                texts.push(if key.numeric { 'n' } else { 's' });
                texts.push_str(key.text());
            }
            texts.push('\0');
        }
        bind_js(self.held.0, &texts, a, b, c, d);
    }
}

/// Tells the page of one new item.
pub fn tell_made(made: &Function, store: StoreId, item: ItemId, row: &JsRow) {
    tell_made_js(made, store.0, item.0, row.number());
}

/// Tells the page what changed in a store; `rows` are those of the items that came.
pub fn tell_changed(changed: &Function, changes: &Changes, rows: &[JsRow]) {
    let ids = |list: &[ItemId]| -> Vec<u32> { list.iter().map(|id| id.0).collect() };
    let numbers: Vec<u32> = rows.iter().map(JsRow::number).collect();
    let (added, updated, removed) = (ids(&changes.added), ids(&changes.updated), ids(&changes.removed));
    tell_changed_js(changed, changes.store.0, &added, &numbers, &updated, &removed);
}

/// What the engine needs for a row, about: the item, its keys, their places in the indexes.
const BYTES_PER_ROW: usize = 384;

/// Lets the module's memory grow once for many rows. The allocator would let it grow by 64 KiB and 64 KiB, which took
/// 8 ms of the load of 10 000 rows (measured).
fn make_room(rows: u32) {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(rows as usize * BYTES_PER_ROW)));
}

/// A storage key as the record holds it.
pub fn key_value(key: &Key) -> JsValue {
    if key.numeric {
        // JavaScript reads numbers: the tables for it in Rust are 10 kB that cannot be compressed.
        js_sys::parse_float(key.text()).into()
    } else {
        key.text().into()
    }
}

/// The four words of a field set.
#[allow(clippy::cast_possible_truncation, reason = "cut into its words on purpose")]
pub fn split(fields: FieldSet) -> [u32; 4] {
    [fields.0 as u32, (fields.0 >> 32) as u32, (fields.0 >> 64) as u32, (fields.0 >> 96) as u32]
}

/// The field set whose four words begin at `at`.
pub fn words(words: &[u32], at: usize) -> FieldSet {
    let word = |offset: usize| u128::from(words.get(at + offset).copied().unwrap_or(0)) << (32 * offset);
    FieldSet(word(0) | word(1) | word(2) | word(3))
}

/// A key for `key_of`.
pub fn take_key(key: &JsValue) -> String {
    take_key_js(key)
}

/// Reads what `takeKey` writes: "n" or "s" and the text; nothing for no key.
pub fn key_of(tagged: &str) -> Option<Key> {
    let (tag, text) = tagged.split_at_checked(1)?;
    Some(Key::new(text, tag == "n"))
}

/// Reads what `manyKeys` writes.
pub fn many_keys(keys: &JsValue) -> Vec<Option<Key>> {
    match keys.as_string() {
        Some(text) => text.split('\0').map(key_of).collect(),
        None => {
            let numbers = keys.unchecked_ref::<Float64Array>().to_vec();
            #[allow(clippy::cast_possible_truncation, reason = "they are whole, and no greater than 2^53")]
            let text = |number: f64| {
                let digits = decimal((number as i64).unsigned_abs());
                if number < 0.0 { ["-", &digits].concat() } else { digits }
            };
            numbers.iter().map(|number| Some(Key::new(&text(*number), true))).collect()
        }
    }
}

/// As `key_of`, for a key that the app gave.
fn read_key(tagged: &str) -> Result<Key, Fault> {
    key_of(tagged).ok_or_else(|| {
        Fault::new(
            Code::UnsafeId,
            "an id must be a finite number, or text that is not empty and holds no NUL; use another one",
        )
    })
}

/// What `row.js` threw.
fn refusal(thrown: JsValue) -> Fault {
    let get = |name: &str| js_sys::Reflect::get(&thrown, &name.into()).ok().and_then(|value| value.as_string());
    let code = get("code").and_then(|code| Code::from_name(&code)).unwrap_or(Code::NotCloneable);
    let message = get("message").unwrap_or_else(|| "the values could not be read".into());
    Fault::new(code, message)
}
