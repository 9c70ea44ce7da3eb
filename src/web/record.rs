//! What client storage holds for one item: a copy of its row, with what is to be said to the server in it (`_sync`).
//!
//! `_sync` is absent when the item is settled and the server does not tell states of rows apart; `{version}` when it does;
//! `[first, last, key]` for an item that is simply new. Owns the names in it,
//! which are a stored format: they may be added to, never given another meaning.
//!
//! A note of another tab's edit is such a row as well, so that a migration brings it along: its edit is what is pending in its `_sync`,
//! with 0 for what only the sender gives it; `{version: "retry"}` and `{version: "discard"}` stand for what the app did about a parked one.

use js_sys::{Array, Reflect};
use wasm_bindgen::prelude::*;

use super::row::{JsRow, Shape, key_value, many_keys, split, words};
use crate::engine::{
    Attempt, AttemptState, Edit, Sync,
    error::{Code, Fault, StorageFailure},
    id::{IdempotencyKey, Seq, decimal},
    input::{Migrated, Record},
    lifecycle::{Action, Settled},
    row::FieldSet,
    sender::{Deed, Note, Notes},
    time::Instant,
};

#[wasm_bindgen(module = "/src/web/row.js")]
extern "C" {
    #[wasm_bindgen(js_name = packEdit)]
    #[allow(clippy::too_many_arguments)]
    fn pack_edit(
        shape: &JsValue,
        action: &str,
        first: f64,
        last: f64,
        key: &str,
        a: u32,
        b: u32,
        c: u32,
        d: u32,
    ) -> JsValue;
    #[wasm_bindgen(js_name = packAttempt)]
    fn pack_attempt(
        shape: &JsValue,
        edit: &JsValue,
        attempts: u32,
        frozen: Option<u32>,
        version: Option<&str>,
        name: &str,
        fault: &JsValue,
    ) -> JsValue;
    #[wasm_bindgen(js_name = packSync)]
    #[allow(clippy::too_many_arguments)]
    fn pack_sync(
        shape: &JsValue,
        settled: &str,
        in_flight: &JsValue,
        pending: &JsValue,
        base: Option<u32>,
        a: u32,
        b: u32,
        c: u32,
        d: u32,
    ) -> JsValue;
    #[wasm_bindgen(js_name = packAll)]
    fn pack_all_js(shape: &JsValue, rows: &[u32], texts: &str, numbers: &[f64]) -> Array;
    #[wasm_bindgen(js_name = recordsOf)]
    fn records_of_js(shape: &JsValue, rows: &Array) -> Array;
    #[wasm_bindgen(js_name = storedOf)]
    fn stored_of_js(shape: &JsValue, records: &JsValue) -> Array;
    #[wasm_bindgen(js_name = setSync)]
    fn set_sync(records: &Array, at: u32, sync: &JsValue, version: Option<&str>);
    #[wasm_bindgen(catch, js_name = unpackAll)]
    fn unpack_all(shape: &JsValue, records: &Array, are_notes: bool) -> Result<UnpackedRows, JsValue>;
    #[wasm_bindgen(js_name = fieldWords)]
    fn field_words(shape: &JsValue, names: &Array) -> Vec<u32>;
    #[wasm_bindgen(js_name = faultObject)]
    fn fault_object_js(code: &str, message: &str, status: Option<u16>, body: Option<&str>) -> JsValue;
    #[wasm_bindgen(catch, js_name = unpackRow)]
    fn unpack_row(shape: &JsValue, object: &JsValue) -> Result<u32, JsValue>;

    type UnpackedRows;
    #[wasm_bindgen(method, getter)]
    fn first(this: &UnpackedRows) -> u32;
    #[wasm_bindgen(method, getter)]
    fn count(this: &UnpackedRows) -> u32;
    #[wasm_bindgen(method, getter)]
    fn syncs(this: &UnpackedRows) -> Array;
    #[wasm_bindgen(method, getter, js_name = storageKeys)]
    fn storage_keys(this: &UnpackedRows) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = remoteKeys)]
    fn remote_keys(this: &UnpackedRows) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = badKeys)]
    fn bad_keys(this: &UnpackedRows) -> Array;
    #[wasm_bindgen(method, getter)]
    fn whys(this: &UnpackedRows) -> Array;
    #[wasm_bindgen(method, getter)]
    fn migrated(this: &UnpackedRows) -> Vec<u32>;
    #[wasm_bindgen(method, getter, js_name = isNewer)]
    fn is_newer(this: &UnpackedRows) -> bool;
}

/// The rows to store for items, in one crossing but for those that are neither settled nor simply new.
pub fn pack_all(shape: Shape, records: &[Record<JsRow>]) -> Array {
    let rows: Vec<u32> = records.iter().map(|record| record.row.number()).collect();
    let (mut texts, mut numbers) = (String::new(), Vec::with_capacity(records.len()));
    let mut others = Vec::new();
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            texts.push('\0');
        }
        texts.push_str(record.storage_key.text());
        let numeric = f64::from(u8::from(record.storage_key.numeric));
        match record.sync.as_deref() {
            None => {
                numbers.push(numeric);
                if record.validator.is_some() {
                    others.push((at, None, &record.validator));
                }
            }
            Some(Sync { settled: Settled::New, in_flight: None, pending: Some(edit), base: None, .. })
                if edit.action == Action::Create =>
            {
                numbers.extend([numeric + NEW, place(edit.first), place(edit.last)]);
                texts.push('\0');
                texts.push_str(&edit.key.text());
            }
            Some(sync) => {
                numbers.push(numeric);
                others.push((at, Some(sync), &record.validator));
            }
        }
    }
    let packed = pack_all_js(shape.js(), &rows, &texts, &numbers);
    for (at, sync, validator) in others {
        let sync = sync.map_or(JsValue::UNDEFINED, |sync| sync_object(shape, sync));
        set_sync(&packed, u32::try_from(at).unwrap_or(u32::MAX), &sync, validator.as_deref());
    }
    packed
}

/// Rows to be stored as the records of a storage written in page script.
pub fn records_of(shape: Shape, rows: &Array) -> Array {
    records_of_js(shape.js(), rows)
}

/// The records of a storage written in page script as stored rows.
pub fn stored_of(shape: Shape, records: &JsValue) -> Array {
    stored_of_js(shape.js(), records)
}

/// Marks a new item among the numbers of `packAll`.
const NEW: f64 = 2.0;

#[allow(clippy::cast_precision_loss, reason = "a device makes fewer than 2^53 edits")]
const fn place(seq: Seq) -> f64 {
    seq.0 as f64
}

fn sync_object(shape: Shape, sync: &Sync<JsRow>) -> JsValue {
    let in_flight = sync.in_flight.as_ref().map_or(JsValue::UNDEFINED, |attempt| {
        let frozen = attempt.frozen.as_ref().map(JsRow::number);
        let (name, fault) = refusal(&attempt.state);
        let edit = edit(shape, &attempt.edit);
        pack_attempt(shape.js(), &edit, attempt.attempts, frozen, attempt.validator.as_deref(), name, &fault)
    });
    let pending = sync.pending.as_ref().map_or(JsValue::UNDEFINED, |pending| edit(shape, pending));
    let base = sync.base.as_ref().map(JsRow::number);
    let [a, b, c, d] = split(sync.base_fields);
    let settled = match sync.settled {
        Settled::New => "new",
        Settled::Awaited => "awaited",
        Settled::Existent => "existent",
    };
    pack_sync(shape.js(), settled, &in_flight, &pending, base, a, b, c, d)
}

fn edit(shape: Shape, edit: &Edit) -> JsValue {
    let [a, b, c, d] = split(edit.fields);
    let (first, last) = (place(edit.first), place(edit.last));
    pack_edit(shape.js(), edit.action.name(), first, last, &edit.key.text(), a, b, c, d)
}

/// What was said against an attempt, and the name under which it is stored.
fn refusal(state: &AttemptState) -> (&'static str, JsValue) {
    match state {
        AttemptState::Parked(fault) => ("parked", fault_object(fault)),
        AttemptState::Disputed(fault, _) => ("disputed", fault_object(fault)),
        AttemptState::Storing { .. } | AttemptState::Ready | AttemptState::Sending(..) | AttemptState::Waiting(_) => {
            ("", JsValue::UNDEFINED)
        }
    }
}

/// A fault as `{code, message, status?, body?}`.
pub fn fault_object(fault: &Fault) -> JsValue {
    fault_object_js(fault.code.name(), &fault.message, fault.status, fault.body.as_deref())
}

/// The same; undefined for none.
pub fn fault_or_none(fault: Option<&Fault>) -> JsValue {
    fault.map_or(JsValue::UNDEFINED, fault_object)
}

/// What was stored, as far as it makes sense.
pub struct Unpacked {
    /// The engine's records.
    pub records: Vec<Record<JsRow>>,
    /// The keys of what makes no sense, as it was stored; undefined for what has none.
    pub bad_keys: Array,
    /// Why, in the same order.
    pub whys: Array,
}

impl Unpacked {
    /// What is said of the records that make no sense. `apart`: whether they are moved out of the way.
    pub fn problem(&self, apart: bool) -> Option<Fault> {
        let (count, why) = (self.whys.length(), self.whys.get(0).as_string().unwrap_or_default());
        let then = if apart {
            " set apart in the object store \"quarantine\" of the database"
        } else {
            " left out, and are still where they were"
        };
        let message =
            [&decimal(count.into()), " stored records make no sense and were", then, "; the first: ", &why].concat();
        (count > 0).then(|| Fault::new(Code::Quarantined, message))
    }
}

impl UnpackedNotes {
    /// What is said of the notes that make no sense.
    pub fn problem(&self) -> Option<Fault> {
        let why = self.whys.get(0).as_string()?;
        let message = [
            "edits that another tab has noted make no sense and were set apart in the object store \"quarantine\" of the database; the first: ",
            &why,
        ];
        Some(Fault::new(Code::Quarantined, message.concat()))
    }
}

/// Stored records as the engine's.
///
/// # Errors
/// `NewerVersion` when one of them was written under a newer version of the schema: then none is to be touched.
pub fn unpack(shape: Shape, records: &Array) -> Result<Unpacked, StorageFailure> {
    unpack_rows(shape, records, false)
}

fn unpack_rows(shape: Shape, records: &Array, are_notes: bool) -> Result<Unpacked, StorageFailure> {
    let unpacked = unpack_all(shape.js(), records, are_notes)
        .map_err(|_| StorageFailure::Refused("the stored records could not be read".into()))?;
    if unpacked.is_newer() {
        return Err(StorageFailure::NewerVersion);
    }
    let (bad_keys, whys) = (unpacked.bad_keys(), unpacked.whys());
    let (storage_keys, remote_keys) = (many_keys(&unpacked.storage_keys()), many_keys(&unpacked.remote_keys()));
    let mut list: Vec<Option<Record<JsRow>>> = shape
        .rows(unpacked.first(), unpacked.count())
        .zip(storage_keys.into_iter().zip(remote_keys))
        .map(|(row, (storage_key, remote_key))| {
            Some(Record { storage_key: storage_key?, remote_key, row, sync: None, validator: None, migrated: None })
        })
        .collect();
    for pair in unpacked.migrated().chunks_exact(2) {
        let [at, change] = pair else { continue };
        if let Some(Some(record)) = list.get_mut(*at as usize) {
            record.migrated = Some(Migrated { whole: change & 1 != 0, edited: change & 2 != 0 });
        }
    }
    let syncs = unpacked.syncs().to_vec();
    for pair in syncs.chunks_exact(2) {
        let [at, sync] = pair else { continue };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let slot = at.as_f64().and_then(|at| list.get_mut(at as usize));
        let Some(slot) = slot else { continue };
        let Some(record) = slot else { continue };
        let validator = text(sync, "version").map(Into::into);
        if validator.is_some() {
            record.validator = validator;
            if get(sync, "settled").is_none() {
                continue;
            }
        }
        if let Some(sync) = read_sync(shape, sync) {
            record.sync = Some(Box::new(sync));
        } else {
            bad_keys.push(&key_value(&record.storage_key));
            whys.push(&"what it has to say to the server cannot be read".into());
            *slot = None;
        }
    }
    Ok(Unpacked { records: list.into_iter().flatten().collect(), bad_keys, whys })
}

const RETRY: &str = "retry";
const DISCARD: &str = "discard";

/// The rows to store for notes.
pub fn pack_notes(shape: Shape, notes: Vec<Note<JsRow>>) -> Array {
    let records: Vec<Record<JsRow>> = notes.into_iter().map(noted).collect();
    pack_all(shape, &records)
}

fn noted(Note { storage_key, remote_key, deed, fields, row }: Note<JsRow>) -> Record<JsRow> {
    let (sync, validator) = match deed {
        Deed::Edit(action) => {
            let mut sync = Sync::new(if action == Action::Create { Settled::New } else { Settled::Existent });
            sync.pending = Some(Edit { action, fields, first: Seq(0), last: Seq(0), key: IdempotencyKey(0) });
            (Some(Box::new(sync)), None)
        }
        Deed::Retry => (None, Some(RETRY.into())),
        Deed::Discard => (None, Some(DISCARD.into())),
    };
    Record { storage_key, remote_key, row, sync, validator, migrated: None }
}

fn note_of(Record { storage_key, remote_key, row, sync, validator, .. }: Record<JsRow>) -> Option<Note<JsRow>> {
    let (deed, fields) = match (sync.and_then(|sync| sync.pending), validator.as_deref()) {
        (Some(edit), _) => (Deed::Edit(edit.action), edit.fields),
        (None, Some(RETRY)) => (Deed::Retry, FieldSet::NONE),
        (None, Some(DISCARD)) => (Deed::Discard, FieldSet::NONE),
        // A migration has left nothing to say of it.
        (None, _) => return None,
    };
    Some(Note { storage_key, remote_key, deed, fields, row })
}

/// Stored notes, as far as they make sense; with the rows of those of which some do not, and why.
pub struct UnpackedNotes {
    /// The engine's notes. What makes no sense is left out of them.
    pub list: Vec<Notes<JsRow>>,
    /// For each transaction in which something makes no sense all its rows.
    pub strays: Array,
    /// Why, in the same order.
    pub whys: Array,
}

/// Stored notes, `[place, tab, number, rows]` for each transaction, as the engine's.
///
/// # Errors
/// As `unpack`.
pub fn unpack_notes(shape: Shape, stored: &Array) -> Result<UnpackedNotes, StorageFailure> {
    let mut notes = UnpackedNotes { list: Vec::new(), strays: Array::new(), whys: Array::new() };
    for one in stored.iter() {
        let one: Array = one.unchecked_into();
        let number = |at| one.get(at).as_f64().and_then(count).unwrap_or(0);
        let rows: Array = one.get(3).unchecked_into();
        let unpacked = unpack_rows(shape, &rows, true)?;
        if unpacked.whys.length() > 0 {
            notes.strays.push(&rows);
            notes.whys.push(&unpacked.whys.get(0));
        }
        let list = unpacked.records.into_iter().filter_map(note_of).collect();
        let count = u32::try_from(number(2)).unwrap_or(0);
        notes.list.push(Notes { place: number(0), tab: number(1), number: count, list });
    }
    Ok(notes)
}

fn get(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok().filter(|value| !value.is_undefined())
}

fn text(object: &JsValue, name: &str) -> Option<String> {
    get(object, name)?.as_string()
}

/// The greatest count that is taken for one: what comes after it must be one as well, so that far above it JavaScript still counts
/// one by one.
const MAX_COUNT: f64 = 9_007_194_959_773_696.0;

/// A count, as it was stored.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is not a count becomes none")]
pub fn count(number: f64) -> Option<u64> {
    (0.0..=MAX_COUNT).contains(&number).then_some(number as u64)
}

fn number(object: &JsValue, name: &str) -> Option<u64> {
    count(get(object, name)?.as_f64()?)
}

fn list(object: &JsValue, name: &str) -> Option<Array> {
    get(object, name)?.dyn_into().ok()
}

fn read_sync(shape: Shape, stored: &JsValue) -> Option<Sync<JsRow>> {
    if let Some(create) = stored.dyn_ref::<Array>() {
        return read_create(shape, create);
    }
    let settled = match get(stored, "settled")?.as_string()?.as_str() {
        "new" => Settled::New,
        "awaited" => Settled::Awaited,
        "existent" => Settled::Existent,
        _ => return None,
    };
    let mut sync = Sync::new(settled);
    if let Some(pending) = get(stored, "pending") {
        sync.pending = Some(read_edit(shape, &pending)?);
    }
    if let Some(in_flight) = get(stored, "inFlight") {
        sync.in_flight = Some(read_attempt(shape, &in_flight)?);
    }
    if let Some(base) = get(stored, "base") {
        sync.base_fields = words(&field_words(shape.js(), &list(stored, "baseFields")?), 0);
        sync.base = Some(read_row(shape, &base)?);
    }
    (sync.pending.is_some() || sync.in_flight.is_some()).then_some(sync)
}

/// What `packAll` writes for an item that is simply new.
fn read_create(shape: Shape, create: &Array) -> Option<Sync<JsRow>> {
    let place = |at| create.get(at).as_f64().and_then(count).map(Seq);
    let (first, last) = (place(0)?, place(1)?);
    let key = IdempotencyKey::parse(&create.get(2).as_string()?)?;
    let mut sync = Sync::new(Settled::New);
    sync.pending = Some(Edit { action: Action::Create, fields: FieldSet::first(shape.fields()), first, last, key });
    Some(sync)
}

fn read_edit(shape: Shape, stored: &JsValue) -> Option<Edit> {
    let action = Action::from_name(&text(stored, "action")?)?;
    let fields = match action {
        Action::Create if get(stored, "fields").is_none() => FieldSet::first(shape.fields()),
        Action::Create | Action::Update => words(&field_words(shape.js(), &list(stored, "fields")?), 0),
        Action::Delete => FieldSet::NONE,
    };
    let key = IdempotencyKey::parse(&text(stored, "key")?)?;
    Some(Edit { action, fields, first: Seq(number(stored, "first")?), last: Seq(number(stored, "last")?), key })
}

fn read_row(shape: Shape, stored: &JsValue) -> Option<JsRow> {
    stored.is_object().then_some(())?;
    unpack_row(shape.js(), stored).ok().map(|number| shape.row(number))
}

fn read_fault(stored: &JsValue) -> Option<Fault> {
    let code = Code::from_name(&text(stored, "code")?).unwrap_or(Code::Rejected);
    let status = number(stored, "status").and_then(|status| u16::try_from(status).ok());
    Some(Fault { code, message: text(stored, "message")?, status, body: text(stored, "body") })
}

fn read_attempt(shape: Shape, stored: &JsValue) -> Option<Attempt<JsRow>> {
    let state = match (get(stored, "parked"), get(stored, "disputed")) {
        (Some(parked), _) => AttemptState::Parked(read_fault(&parked)?),
        (None, Some(disputed)) => AttemptState::Disputed(read_fault(&disputed)?, Instant(0)),
        (None, None) => AttemptState::Ready,
    };
    let attempts = u32::try_from(number(stored, "attempts")?).ok()?;
    let frozen = match get(stored, "frozen") {
        Some(frozen) => Some(read_row(shape, &frozen)?),
        None => None,
    };
    let edit = read_edit(shape, stored)?;
    let validator = text(stored, "version").map(Into::into);
    Some(Attempt { edit, attempts, frozen, validator, state, strikes: 0, lost: false, rekeyed: false })
}
