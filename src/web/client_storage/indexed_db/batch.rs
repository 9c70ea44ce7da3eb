//! The writing of one batch, in one transaction.
//!
//! It owns which records become blocks and which deltas. It does not repeat anything: a batch is written whole, or not.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, Waker};

use futures_util::future::{join, try_join3};
use js_sys::{Array, Math, Reflect};
use rexie::{Store, TransactionMode};
use wasm_bindgen::JsValue;

use super::connection::{Broken, Connection, Ended};
use super::layout::{self, BLOCKS, BULK, DELTAS};
use super::{IndexedDb, Shelf, Step, StoreWrites};
use crate::engine::error::StorageFailure;

/// Writes the batch. Everything of it is handed to the database in the first poll.
pub(super) async fn write(room: &IndexedDb, connection: &Connection, batch: &[StoreWrites]) -> Result<(), Broken> {
    if batch.iter().all(|writes| writes.puts.length() == 0 && writes.erased.is_empty()) {
        return Ok(());
    }
    let stores: &[&str] = if batch.iter().any(is_bulk) { &[BLOCKS, DELTAS] } else { &[DELTAS] };
    let begun = connection.begin(stores, TransactionMode::ReadWrite)?;
    let (transaction, ending) = (begun.transaction, begun.ending);
    let (Ok(deltas), blocks) = (transaction.store(DELTAS), transaction.store(BLOCKS).ok()) else {
        ending.abort();
        return Err(Broken::Lost);
    };
    let bulks = note(room, batch);
    let mut steps = Vec::new();
    for (writes, first) in batch.iter().zip(&bulks) {
        let bulk = first.as_ref().zip(blocks.as_ref());
        let issued = match bulk {
            Some((first, blocks)) => issue_bulk(&mut steps, blocks, &deltas, writes, first),
            None => Ok(()),
        };
        if issued.and_then(|()| issue_deltas(&mut steps, &deltas, writes, bulk.is_some())).is_err() {
            // Left alone, what was issued until now would be committed.
            let _ = join(all(steps), transaction.abort()).await;
            connection.usable()?;
            return Err(Broken::Failed(StorageFailure::Aborted(culprit(batch))));
        }
    }
    let ((), committed) = join(finish(steps, &ending), ending.committed(transaction)).await;
    if !committed {
        connection.reason(&ending).await?;
    }
    remember_numbers(room, batch, &bulks);
    Ok(())
}

fn is_bulk(writes: &StoreWrites) -> bool {
    writes.puts.length() >= BULK
}

/// Counts the batch, and gives each bulk of it the number of its first block.
fn note(room: &IndexedDb, batch: &[StoreWrites]) -> Vec<Option<Cell<u32>>> {
    let numbered =
        batch.iter().map(|writes| room.with_shelf(&writes.store, &writes.key_name, |shelf| count(shelf, writes)));
    numbered.collect()
}

fn count(shelf: &mut Shelf, writes: &StoreWrites) -> Option<Cell<u32>> {
    for id in &writes.erased {
        shelf.changed.add(id);
    }
    if !is_bulk(writes) {
        layout::note(&shelf.changed, &writes.puts, &writes.key_name);
        return None;
    }
    shelf.overwritten += layout::note(&shelf.ids, &writes.puts, &writes.key_name);
    let first = shelf.next;
    shelf.next += layout::count(&writes.puts);
    Some(Cell::new(first))
}

/// A number that had to be raised inside the transaction raises the guess for the next batch.
fn remember_numbers(room: &IndexedDb, batch: &[StoreWrites], bulks: &[Option<Cell<u32>>]) {
    for (writes, first) in batch.iter().zip(bulks) {
        if let Some(first) = first {
            let next = first.get() + layout::count(&writes.puts);
            room.with_shelf(&writes.store, &writes.key_name, |shelf| shelf.next = shelf.next.max(next));
        }
    }
}

/// Puts to deltas: the records, unless they went into blocks, and the markers of what is erased.
fn issue_deltas<'a>(
    steps: &mut Vec<Step<'a>>,
    deltas: &'a Store,
    writes: &StoreWrites,
    bulk: bool,
) -> rexie::Result<()> {
    let mut entries = layout::Entries::new();
    if !bulk {
        let name = JsValue::from_str(&writes.key_name);
        for record in writes.puts.iter() {
            let id = Reflect::get(&record, &name).unwrap_or_default();
            entries.push((record, Some(layout::delta_key(&writes.store, &id))));
        }
    }
    for id in &writes.erased {
        // Always a marker, even if the record is in no block known here: another tab may have folded in between.
        entries.push((id.clone(), Some(layout::delta_key(&writes.store, id))));
    }
    if entries.is_empty() { Ok(()) } else { start(steps, deltas.put_all(entries.into_iter())) }
}

fn issue_bulk<'a>(
    steps: &mut Vec<Step<'a>>,
    blocks: &'a Store,
    deltas: &'a Store,
    writes: &'a StoreWrites,
    first: &'a Cell<u32>,
) -> rexie::Result<()> {
    start(steps, async move {
        let (store, puts, write) = (writes.store.as_str(), &writes.puts, Math::random());
        let ((), block_keys, delta_keys) = try_join3(
            blocks.put_all(layout::blocks(store, first.get(), write, puts).into_iter()),
            blocks.get_all_keys(Some(layout::range(store)?), None),
            deltas.get_all_keys(Some(layout::range(store)?), None),
        )
        .await?;
        let mut steps = Vec::new();
        // The records are newer than their deltas. The markers of this very batch are of other records.
        for key in layout::covered(&Array::from_iter(delta_keys), puts, &writes.key_name) {
            start(&mut steps, deltas.delete(key))?;
        }
        let (old, count) = (first.get(), layout::count(puts));
        let next = layout::next_number(&block_keys, Some(write));
        if next > old {
            // Another tab, or a fold, has numbered further: the blocks move to the end.
            for number in old..old + count {
                start(&mut steps, blocks.delete(layout::block_key(store, number, write)))?;
            }
            first.set(next);
            start(&mut steps, blocks.put_all(layout::blocks(store, next, write, puts).into_iter()))?;
        }
        all(steps).await
    })
}

/// Polls once, so that the requests are issued now; what is not ready is kept.
pub(super) fn start<'a>(
    steps: &mut Vec<Step<'a>>,
    step: impl Future<Output = rexie::Result<()>> + 'a,
) -> rexie::Result<()> {
    let mut step: Step<'a> = Box::pin(step);
    match step.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => return result,
        Poll::Pending => steps.push(step),
    }
    Ok(())
}

/// Waits for all steps, or for the first that fails.
async fn all(mut steps: Vec<Step<'_>>) -> rexie::Result<()> {
    let mut result = Ok(());
    poll_fn(|context| {
        steps.retain_mut(|step| match step.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => {
                result = Err(error);
                false
            }
        });
        if steps.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    result
}

/// Waits for all steps. One that failed takes the whole transaction with it.
async fn finish(steps: Vec<Step<'_>>, ending: &Ended) {
    if all(steps).await.is_err() {
        ending.abort();
    }
}

/// Which record could not be written.
fn culprit(batch: &[StoreWrites]) -> String {
    for writes in batch {
        let id = layout::unstorable(&writes.puts, &writes.key_name);
        if !id.is_empty() {
            return ["record ", &id, " of ", &writes.store, " cannot be cloned"].concat();
        }
    }
    "a record was refused".into()
}
