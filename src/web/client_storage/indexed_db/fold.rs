//! The folding of deltas and overwritten records into fresh blocks, in one transaction.
//!
//! It owns the rewriting of a store. When it is worthwhile is decided in `indexed_db`.

use futures_util::future::{join, try_join3};
use js_sys::{Math, Set};
use rexie::{Store, TransactionMode};
use wasm_bindgen::JsValue;

use super::connection::{Broken, Connection};
use super::layout::{self, BLOCKS, DELTAS};

/// Folds a store: the keys now in its blocks, and the number of the next block.
///
/// One read-write transaction over both object stores: batches begun before are in it, batches begun later come on
/// top, and a crash leaves the store as it was. Nothing but requests to the database is awaited inside.
pub(super) async fn fold(connection: &Connection, store: &str, key_name: &str) -> Result<(Set, u32), Broken> {
    let begun = connection.begin(&[BLOCKS, DELTAS], TransactionMode::ReadWrite)?;
    let (transaction, ending) = (begun.transaction, begun.ending);
    let (Ok(blocks), Ok(deltas)) = (transaction.store(BLOCKS), transaction.store(DELTAS)) else {
        ending.abort();
        return Err(Broken::Lost);
    };
    let ids = Set::new(&JsValue::UNDEFINED);
    let work = async {
        let next = rewrite(&blocks, &deltas, store, key_name, &ids).await;
        if next.is_err() {
            ending.abort();
        }
        next
    };
    let (next, committed) = join(work, ending.committed(transaction)).await;
    if !committed {
        connection.reason(&ending).await?;
    }
    next.map(|next| (ids, next)).map_err(|_| Broken::Lost)
}

async fn rewrite(blocks: &Store, deltas: &Store, store: &str, key_name: &str, ids: &Set) -> rexie::Result<u32> {
    let (values, keys, changes) = layout::read(blocks, deltas, store).await?;
    let changed = Set::new(&JsValue::UNDEFINED);
    let records = layout::overlay(&values, &changes, key_name, ids, &changed);
    // Numbers only grow, so that a bulk numbered before this fold and written after it sees that it has to move.
    let first = layout::next_number(&keys, None);
    ids.clear();
    layout::note(ids, &records, key_name);
    try_join3(
        blocks.delete(layout::range(store)?.into()),
        deltas.delete(layout::range(store)?.into()),
        blocks.put_all(layout::blocks(store, first, Math::random(), &records).into_iter()),
    )
    .await?;
    Ok(first + layout::count(&records))
}
