//! What becomes of edits when client storage fails, ends, was emptied, or holds rows of another version.

use concordia::engine::{
    Engine,
    error::{Code, Fault, StorageFailure},
    id::{StorageId, StoreId},
    input::{Cursor, Input, Lost, Migrated, Next, Others, Rows, Source, StoreOptions},
    lifecycle::Action,
    time::Millis,
};

use crate::page::{Failure, Found, Page, json, options, remote};
use crate::row::MapRow;

fn code(fault: Option<Fault>) -> Option<Code> {
    fault.map(|fault| fault.code)
}

const GONE: Lost = Lost { records: 12, unsynced: 3 };

#[test]
fn a_database_that_is_gone_is_told_before_the_store_is_loaded_and_stays_told() {
    let mut page = Page::open().restart_and_find(Found { lost: Some(GONE), ..Found::default() });
    let loaded = page.once_loaded();
    assert_eq!(page.outcome(loaded), None, "the first read is under way");
    assert_eq!(code(page.status().last_error), Some(Code::DataLoss));
    page.answer_any(&page.network[0].clone(), &Failure::Unreachable);
    assert_eq!(page.outcome(loaded), Some(Ok(())));
    let status = page.status();
    let fault = status.storage_error.unwrap_or_else(|| panic!("nothing is said"));
    assert_eq!(fault.code, Code::DataLoss);
    assert!(fault.message.contains("12 records") && fault.message.contains("3 of them"), "{fault}");
    assert_eq!(fault.body.as_deref(), Some(r#"{"records":12,"unsynced":3}"#));
    assert!(status.durable, "the new database takes what it is given");
}

#[test]
fn a_loss_of_which_only_the_browser_has_told_is_told_without_counts() {
    let lost = Some(Lost { records: 0, unsynced: 0 });
    let page = Page::open().restart_and_find(Found { lost, ..Found::default() });
    let fault = page.status().storage_error.unwrap_or_else(|| panic!("nothing is said"));
    assert_eq!((fault.code, fault.body), (Code::DataLoss, None));
    assert!(fault.message.contains("not known"), "{}", fault.message);
    let page = Page::open().restart_and_find(Found::default());
    assert_eq!((page.status().storage_error, page.status().last_error), (None, None));
}

#[test]
fn a_failure_to_store_is_told_before_a_loss() {
    let mut page = Page::open().restart_and_find(Found { lost: Some(GONE), ..Found::default() });
    page.slow_disk = true;
    page.create(&[(0, 1)]);
    page.abort(StorageFailure::Quota);
    assert_eq!((page.status().durable, code(page.status().storage_error)), (false, Some(Code::Quota)));
}

#[test]
fn rows_of_a_newer_version_are_not_written_while_other_stores_go_on() {
    let mut page = Page::open();
    page.settled_item("a", &[(0, 1)]);
    let before = page.disk.len();
    let mut page = page.restart_and_find(Found { failure: Some(StorageFailure::NewerVersion), ..Found::default() });
    assert_eq!((page.status().durable, code(page.status().storage_error)), (false, Some(Code::NewerVersion)));
    let other = page.open_store(concordia::engine::input::StoreOptions { name: "pets".into(), ..options() });
    assert!(page.engine.status(other).durable, "its rows are of this version");
    page.answer_all(&[("a", &[(0, 2)]), ("b", &[(0, 3)])]);
    let item = page.create(&[(0, 4)]);
    let stored = page.once_stored(item);
    assert_eq!(page.outcome(stored), Some(Err(Code::NewerVersion)));
    assert_eq!(page.write().item, item, "it is sent all the same");
    assert_eq!((page.items().len(), page.disk.len()), (3, before), "nothing is written");
}

#[test]
fn a_storage_that_ends_finishes_its_batch_and_then_says_so() {
    let mut page = Page::open();
    page.slow_disk = true;
    let item = page.create(&[(0, 1)]);
    let stored = page.once_stored(item);
    page.does(Input::StorageEnded(StorageId(0), StorageFailure::NewerVersion));
    assert_eq!(page.outcome(stored), None, "its batch is under way");
    page.commit();
    assert_eq!(page.outcome(stored), Some(Ok(())));
    assert_eq!(page.write().item, item);
    assert_eq!((page.status().durable, code(page.status().storage_error)), (false, Some(Code::NewerVersion)));
    let late = page.create(&[(0, 2)]);
    assert!(page.batches.is_empty(), "nothing more is written");
    assert!(page.writes().iter().any(|write| write.item == late), "it is sent all the same");
}

#[test]
fn a_storage_that_ends_while_nothing_is_written_says_so_at_once() {
    let mut page = Page::open();
    page.does(Input::StorageEnded(StorageId(0), StorageFailure::NewerVersion));
    assert_eq!((page.status().durable, code(page.status().storage_error)), (false, Some(Code::NewerVersion)));
}

/// A page over a disk on which one create was sent and not answered, and which a migration has changed so.
fn migrated(migrated: Migrated, action: Action, patches: bool) -> (Page, concordia::engine::id::IdempotencyKey) {
    let mut page = Page::start(concordia::engine::input::StoreOptions { patches, ..options() });
    page.answer_all(&[]);
    let item = match action {
        Action::Create => page.create(&[(0, 1)]),
        Action::Update | Action::Delete => page.settled_item("a", &[(0, 1)]),
    };
    match action {
        Action::Create => {}
        Action::Update => page.update(item, &[(0, 2)]),
        Action::Delete => page.remove(item),
    }
    let key = page.write().idempotency_key;
    page.disk.values_mut().for_each(|record| record.migrated = Some(migrated));
    let mut page = page.restart();
    page.answer_all(&[]);
    (page, key)
}

#[test]
fn an_attempt_keeps_its_key_only_if_the_migration_leaves_its_payload_as_it_was() {
    let same = Migrated::default();
    let beside = Migrated { whole: true, edited: false };
    let other = Migrated { whole: true, edited: true };
    let table = [
        (Action::Create, false, same, true),
        (Action::Create, false, beside, false),
        (Action::Create, true, beside, false),
        (Action::Update, false, same, true),
        (Action::Update, false, beside, false),
        (Action::Update, true, beside, true),
        (Action::Update, true, other, false),
        (Action::Delete, false, other, true),
    ];
    for (action, patches, change, keeps) in table {
        let (page, key) = migrated(change, action, patches);
        let again = page.write();
        assert_eq!((again.action, again.idempotency_key == key), (action, keeps), "{action:?} {patches} {change:?}");
        let edit = &page.pending()[0];
        assert_eq!(edit.attempts, 2, "that it may have arrived is not forgotten");
    }
}

#[test]
fn an_attempt_with_a_new_key_leaves_when_that_is_stored() {
    let (page, _) = migrated(Migrated { whole: true, edited: true }, Action::Create, false);
    let key = page.write().idempotency_key;
    let mut page = page.restart();
    page.answer_all(&[]);
    assert_eq!(page.write().idempotency_key, key, "the same page after page");
}

#[test]
fn where_the_database_was_lost_or_rows_were_brought_along_everything_is_read_again() {
    for (lost, change) in [(Some(GONE), None), (None, Some(Migrated::default())), (None, None)] {
        let mut page = Page::open();
        page.settled_item("a", &[(0, 1)]);
        page.disk.values_mut().for_each(|record| record.migrated = change);
        page.cursors.insert(page.store.0, "later".into());
        let page = page.restart_and_find(Found { lost, ..Found::default() });
        let goes_on = page.readings.last().is_some_and(|reading| format!("{reading:?}").contains("later"));
        assert_eq!(goes_on, lost.is_none() && change.is_none(), "{:?}", page.readings);
    }
}

#[test]
fn what_was_brought_to_this_version_is_written_back_once() {
    let mut page = Page::open();
    page.settled_item("a", &[(0, 1)]);
    page.disk.values_mut().for_each(|record| record.migrated = Some(Migrated::default()));
    let page = page.restart();
    assert!(page.disk.values().all(|record| record.migrated.is_none()), "written as it is now");
    let said = page.restart().said.concat();
    assert!(!said.contains("Persist"), "{said}");
}

#[test]
fn an_attempt_with_a_new_key_does_not_leave_before_that_is_stored() {
    let mut page = Page::open();
    page.create(&[(0, 1)]);
    page.disk.values_mut().for_each(|record| record.migrated = Some(Migrated { whole: true, edited: true }));
    let mut page = page.restart_and_find(Found { slow_disk: true, ..Found::default() });
    page.answer_all(&[]);
    assert!(page.writes().is_empty(), "{:?}", page.network);
    page.commit();
    assert_eq!(page.writes().len(), 1);
}

fn places() -> StoreOptions {
    StoreOptions { name: "places".into(), ..options() }
}

#[test]
fn every_store_of_a_client_storage_is_told_when_it_fails_and_when_it_takes_writes_again() {
    let mut page = Page::open();
    let other = page.open_store(places());
    page.slow_disk = true;
    page.create(&[(0, 1)]);
    for _ in 0..4 {
        assert!(page.engine.status(other).durable, "an aborted batch is written again at once, three times");
        page.abort(StorageFailure::Aborted("test".into()));
    }
    assert!(!page.engine.status(other).durable);
    while page.batches.is_empty() {
        assert!(page.wake());
    }
    page.commit();
    assert!(page.engine.status(other).durable);
}

fn writes(page: &mut Page, store: StoreId) {
    page.does(Input::Create { store, row: MapRow::of(&[(0, 1)]), key: None, source: Source::State });
    page.end_turn();
}

#[test]
fn closing_waits_for_erasures_cursors_and_rows_of_its_own_store_and_of_no_other() {
    let closed = |prepare: fn(&mut Page)| {
        let mut page = Page::open();
        page.settled_item("a", &[(0, 1)]);
        page.open_store(places());
        page.slow_disk = true;
        prepare(&mut page);
        assert_eq!(page.batches.len(), 1);
        let closing = page.close();
        let at_once = page.outcome(closing).is_some();
        page.commit();
        assert_eq!(page.outcome(closing), Some(Ok(())));
        at_once
    };
    let erases = |page: &mut Page| {
        let item = page.items()[0];
        page.does(Input::Remove { item, source: Source::Transporter });
        page.end_turn();
    };
    let moves_the_cursor = |page: &mut Page| {
        let cursor = Cursor::At("1".into());
        let (rows, deleted, problem) = (vec![remote("a", &[(0, 1)])], Vec::new(), None);
        page.fetch();
        page.answer_read(json(200, Rows { rows, complete: true, deleted, problem, next: Next::None, cursor }));
    };
    let writes_another_store = |page: &mut Page| writes(page, StoreId(1));
    assert!(!closed(erases) && !closed(moves_the_cursor) && closed(writes_another_store));
}

#[test]
fn a_store_that_is_closed_while_its_storage_fails_writes_nothing_later() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    let other = page.open_store(places());
    page.slow_disk = true;
    page.does(Input::Remove { item, source: Source::Transporter });
    page.end_turn();
    page.abort(StorageFailure::Quota);
    page.close();
    let row = MapRow::of(&[(0, 1)]);
    page.does(Input::Create { store: other, row, key: None, source: Source::State });
    page.end_turn();
    while page.batches.is_empty() {
        assert!(page.wake());
    }
    page.commit();
    assert_eq!(page.disk.keys().map(|(store, _)| *store).collect::<Vec<_>>(), [0, 1], "what was not erased stays");
}

/// The app may edit before what is stored was read. It was edited later all the same.
#[test]
fn what_is_edited_before_the_stored_edits_are_read_comes_after_them() {
    let mut page = Page::open();
    page.create(&[(0, 1)]);
    let later = page.now.after(Millis(1_000));
    let mut engine = Engine::new([7; 32]);
    let mut tell = |input| engine.handle(later, input).map(drop).unwrap_or_else(|fault| panic!("{fault}"));
    tell(Input::Open(options(), MapRow::default()));
    tell(Input::Create { store: page.store, row: MapRow::of(&[(0, 2)]), key: None, source: Source::State });
    let records = Ok(page.disk.into_values().collect());
    let (problem, cursor, lost, others) = (None, None, None, Others::default());
    tell(Input::Loaded { store: page.store, records, problem, cursor, lost, others });
    let pending = engine.pending(page.store);
    let values = pending.iter().map(|edit| engine.row(edit.item).and_then(|row| row.get(0)));
    assert_eq!(values.collect::<Vec<_>>(), [Some(1), Some(2)]);
}
