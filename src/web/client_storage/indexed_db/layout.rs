//! How records lie in the object stores, and how they are read from there.
//!
//! It owns names, keys, sizes and the reading of a whole store. `batch` writes, `fold` tidies up.

use futures_util::future::try_join3;
use js_sys::{Array, Set};
use rexie::{KeyRange, Store, TransactionMode};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::Shelf;
use super::connection::{Broken, Connection};

/// Arrays of records, key `[store, number, write]`: a higher number is newer. `write` is drawn at random for each bulk
/// and each fold, so that two of them, of two tabs or of one, never write the same key: each is numbered before it is
/// known what was committed in the meantime, and renumbered inside its transaction.
pub(super) const BLOCKS: &str = "blocks";
/// Records written one by one, key `[store, _id]`: newer than any block that is in the database with them.
pub(super) const DELTAS: &str = "deltas";
/// For later use, since object stores can only be made by an upgrade.
pub(super) const META: &str = "meta";

/// Records in a block. Measured with 10 000 rows of 8 fields: from 128 on, writing and reading cost next to nothing
/// over the bare clone; the smaller, the less is lost when a block cannot be read.
pub(super) const BLOCK: u32 = 256;

/// From how many puts of one store on a batch is written as blocks. Below, a put of its own for each record (some
/// 10 µs) costs less than the fold that overwritten blocks lead to.
pub(super) const BULK: u32 = 64;

/// The least number of deltas, or of overwritten records, that is worth a fold: below, the overlay costs less than 1 ms.
pub(super) const FOLD_FLOOR: u32 = 256;

#[wasm_bindgen(module = "/src/web/client_storage/indexed_db/overlay.js")]
extern "C" {
    pub(super) fn overlay(blocks: &Array, deltas: &Array, key_name: &str, ids: &Set, changed: &Set) -> Array;
    pub(super) fn total(blocks: &Array) -> u32;
    pub(super) fn note(ids: &Set, records: &Array, key_name: &str) -> u32;
    pub(super) fn covered(keys: &Array, records: &Array, key_name: &str) -> Array;
    pub(super) fn unstorable(records: &Array, key_name: &str) -> String;
}

/// All keys of a store: arrays sort after strings and numbers.
pub(super) fn range(store: &str) -> rexie::Result<KeyRange> {
    let name = JsValue::from_str(store);
    Ok(KeyRange::bound(&Array::of1(&name), &Array::of2(&name, &Array::new()), None, None)?)
}

/// A value and its key. One type of list for all puts: each type of iterator would make another copy of rexie's code.
pub(super) type Entries = Vec<(JsValue, Option<JsValue>)>;

/// `records` cut into blocks, with their keys.
pub(super) fn blocks(store: &str, first: u32, write: f64, records: &Array) -> Entries {
    let block = |nth| records.slice(nth * BLOCK, (nth + 1) * BLOCK).into();
    (0..count(records)).map(|nth| (block(nth), Some(block_key(store, first + nth, write)))).collect()
}

/// How many blocks the records make.
pub(super) fn count(records: &Array) -> u32 {
    records.length().div_ceil(BLOCK)
}

pub(super) fn block_key(store: &str, number: u32, write: f64) -> JsValue {
    Array::of3(&store.into(), &number.into(), &write.into()).into()
}

pub(super) fn delta_key(store: &str, id: &JsValue) -> JsValue {
    Array::of2(&store.into(), id).into()
}

/// The number after the highest one of another write than this.
pub(super) fn next_number(keys: &[JsValue], write: Option<f64>) -> u32 {
    let mut next = 0;
    for key in keys {
        let key: &Array = key.unchecked_ref();
        if write.is_none() || key.get(2).as_f64() != write {
            let number = key.get(1).as_f64().unwrap_or_default() as u32;
            next = next.max(number.saturating_add(1));
        }
    }
    next
}

/// What lies there of a store: blocks, their keys, deltas.
pub(super) async fn read(blocks: &Store, deltas: &Store, store: &str) -> rexie::Result<(Array, Vec<JsValue>, Array)> {
    let (values, keys, changes) = try_join3(
        blocks.get_all(Some(range(store)?), None),
        blocks.get_all_keys(Some(range(store)?), None),
        deltas.get_all(Some(range(store)?), None),
    )
    .await?;
    Ok((Array::from_iter(values), keys, Array::from_iter(changes)))
}

/// All records of a store, and what is to be remembered of it.
pub(super) async fn load(connection: &Connection, store: &str, key_name: &str) -> Result<(Array, Shelf), Broken> {
    let begun = connection.begin(&[BLOCKS, DELTAS], TransactionMode::ReadOnly)?;
    let stores = (begun.transaction.store(BLOCKS), begun.transaction.store(DELTAS));
    let result = match &stores {
        (Ok(blocks), Ok(deltas)) => read(blocks, deltas, store).await.ok(),
        _ => None,
    };
    let Some((blocks, keys, deltas)) = result else {
        begun.ending.abort();
        connection.reason(&begun.ending).await?;
        return Err(Broken::Lost);
    };
    let mut shelf = Shelf::new(store, key_name);
    let records = overlay(&blocks, &deltas, key_name, &shelf.ids, &shelf.changed);
    shelf.next = next_number(&keys, None);
    shelf.overwritten = total(&blocks).saturating_sub(shelf.ids.size());
    Ok((records, shelf))
}
