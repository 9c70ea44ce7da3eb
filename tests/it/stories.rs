//! Scenarios, told from the page's side.

use concordia::engine::{
    Connection, EditState, Engine,
    error::{Code, StorageFailure},
    id::{ItemId, Token},
    input::{Cursor, Input, Next, Others, Rows, Source, StoreOptions},
    lifecycle::Action,
    output::{Command, Made, Output},
    row::FieldSet,
    time::Millis,
};

use crate::page::{Asked, Failure, Page, empty, json, options, remote};
use crate::row::MapRow;

fn without_storage() -> StoreOptions {
    StoreOptions { storage: None, ..options() }
}

// Order and write-ahead.

#[test]
fn requests_of_one_item_leave_in_the_order_of_its_edits_and_one_at_a_time() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    let mut seen = Vec::new();
    for value in 2..6 {
        page.update(item, &[(0, value)]);
        seen.push(page.write().row.get(0));
        page.accept(item, "a");
    }
    page.remove(item);
    seen.push(page.write().row.get(0));
    page.accept(item, "a");
    assert_eq!(page.write().action, Action::Delete);
    assert_eq!(seen, [Some(1), Some(2), Some(3), Some(4), Some(5)]);
}

#[test]
fn nothing_leaves_before_its_edit_is_committed() {
    let mut page = Page::open();
    page.slow_disk = true;
    let item = page.create(&[(0, 1)]);
    let stored = page.once_stored(item);
    assert!(page.network.is_empty() && page.outcome(stored).is_none());
    assert_eq!(page.batches.len(), 1, "one turn is one batch");
    page.commit();
    assert_eq!(page.outcome(stored), Some(Ok(())));
    assert_eq!(page.write().item, item);
}

#[test]
fn a_batch_that_was_aborted_is_written_again_before_anything_leaves() {
    let mut page = Page::open();
    page.slow_disk = true;
    let item = page.create(&[(0, 1)]);
    for _ in 0..3 {
        page.abort(StorageFailure::Aborted("test".into()));
        assert!(page.network.is_empty() && page.status().durable);
    }
    page.commit();
    assert_eq!(page.write().item, item);
}

#[test]
fn what_cannot_be_stored_is_said_and_sent_all_the_same() {
    let failures =
        [StorageFailure::Quota, StorageFailure::Refused("private mode".into()), StorageFailure::NewerVersion];
    for failure in failures {
        let mut page = Page::open();
        page.slow_disk = true;
        let item = page.create(&[(0, 1)]);
        let stored = page.once_stored(item);
        page.abort(failure.clone());
        assert_eq!(page.outcome(stored), Some(Err(failure.fault().code)));
        assert_eq!(page.write().item, item);
        assert!(!page.status().durable && !page.engine.is_stored(item));
        let again = page.once_stored(item);
        assert_eq!(page.outcome(again), Some(Err(failure.fault().code)));
    }
}

#[test]
fn a_storage_that_could_not_be_read_is_not_waited_for_though_it_takes_what_is_written() {
    let (mut engine, now) = (Engine::new([7; 32]), Millis(1_700_000_000_000));
    let mut does = |input| engine.handle(now, input).unwrap_or_else(|fault| panic!("{fault}"));
    let Made::Store(store) = does(Input::Open(options(), MapRow::default())).made else { panic!("no store") };
    let create = |value| Input::Create { store, row: MapRow::of(&[(0, value)]), key: None, source: Source::State };
    let sends = |output: &Output<MapRow>| output.commands.iter().any(|command| matches!(command, Command::Send(..)));
    does(create(1));
    let written = does(Input::TurnEnded).commands;
    let Some(Command::Persist(batch, ..)) = written.first() else { panic!("{written:?}") };
    let failure = StorageFailure::Aborted("it gave no records".into());
    assert!(sends(&does(Input::Loaded {
        store,
        records: Err(failure),
        problem: None,
        cursor: None,
        lost: None,
        others: Others::default()
    })));
    does(Input::Persisted(*batch, Ok(())));
    does(create(2));
    assert!(sends(&does(Input::TurnEnded)));
    assert!(!engine.status(store).durable);
}

#[test]
fn when_there_is_room_again_everything_that_waited_is_written() {
    let mut page = Page::open();
    page.slow_disk = true;
    let item = page.create(&[(0, 1)]);
    page.abort(StorageFailure::Quota);
    page.accept(item, "a");
    assert!(page.batches.is_empty(), "it is not tried at once");
    while page.batches.is_empty() {
        assert!(page.wake());
    }
    page.commit();
    assert!(page.status().durable && page.engine.is_stored(item));
    assert!(page.disk.values().all(|record| record.remote_key.is_some() && record.sync.is_none()));
}

#[test]
fn without_client_storage_edits_are_sent_at_once() {
    let mut page = Page::start(without_storage());
    page.answer_all(&[]);
    let item = page.create(&[(0, 1)]);
    assert_eq!(page.write().item, item);
    assert!(!page.status().durable && page.engine.is_stored(item));
}

// Restarts.

#[test]
fn an_attempt_in_flight_at_a_crash_is_sent_again_with_the_same_key_and_payload() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    let first = page.write();
    page.update(item, &[(0, 2)]);
    let mut page = page.restart();
    assert_eq!(page.value(page.items()[0], 0), Some(2), "the stored edit shows at once");
    let again = page.write();
    assert_eq!((again.idempotency_key, again.row.get(0)), (first.idempotency_key, Some(1)));
    let item = page.items()[0];
    page.accept(item, "a");
    assert_eq!(page.write().row.get(0), Some(2));
}

#[test]
fn a_removed_item_stays_away_over_a_restart_until_the_server_has_deleted_it() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    page.remove(item);
    page.answer(item, Failure::Unreachable.answer());
    let mut page = page.restart();
    assert_eq!(page.items(), []);
    page.answer_all(&[("a", &[(0, 1)])]);
    assert_eq!(page.items(), [], "a fetch does not bring it back");
    let tombstone = page.write();
    assert_eq!(tombstone.action, Action::Delete);
    page.answer(tombstone.item, empty(204));
    assert!(page.disk.is_empty());
}

#[test]
fn a_parked_edit_is_parked_after_a_restart_with_its_reason() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, empty(422));
    let mut page = page.restart();
    page.answer_all(&[]);
    let item = page.items()[0];
    assert_eq!(page.engine.parked(item).and_then(|fault| fault.status), Some(422));
    assert!(page.writes().is_empty());
    page.does(Input::Retry(item));
    page.accept(item, "a");
    assert_eq!(page.pending(), []);
}

#[test]
fn the_edits_of_an_item_that_is_awaited_survive_a_restart() {
    let mut page = Page::open();
    let item = page.find_or_fetch("a");
    page.update(item, &[(0, 9)]);
    let stored = page.once_stored(item);
    assert_eq!(page.outcome(stored), Some(Ok(())));
    let mut page = page.restart();
    let item = page.items()[0];
    assert_eq!(page.value(item, 0), Some(9));
    assert!(page.writes().is_empty(), "nothing is known of the rest of the row yet");
    page.answer_one(json(200, remote("a", &[(0, 1), (1, 5)])));
    assert_eq!((page.value(item, 0), page.value(item, 1)), (Some(9), Some(5)));
    assert_eq!(page.write().fields.iter().collect::<Vec<_>>(), [0]);
}

#[test]
fn of_two_records_of_one_row_the_first_stands_and_takes_over_the_edits_of_the_second() {
    let mut page = Page::open();
    page.settled_item("a", &[(0, 1), (1, 1)]);
    let copy = page.disk.values().next().map(crate::row::deep_record);
    page.does(Input::Pause(page.store));
    let item = page.items()[0];
    page.update(item, &[(1, 8)]);
    let mut first = copy.unwrap_or_else(|| panic!("nothing is stored"));
    first.storage_key = concordia::engine::id::Key::new("0", false);
    page.disk.insert((0, first.storage_key.clone()), first);
    let page = page.restart();
    assert_eq!(page.items().len(), 1);
    assert_eq!(page.value(page.items()[0], 1), Some(8));
    assert_eq!(page.disk.len(), 1, "the second record is erased with the write of the first");
    assert_eq!(page.write().row.get(1), Some(8));
}

#[test]
fn of_two_records_of_one_row_of_which_one_is_removed_the_row_is_deleted() {
    let mut page = Page::open();
    page.does(Input::Pause(page.store));
    page.create_with(&[(0, 1)], Some("a"));
    let mut create =
        page.disk.values().next().map(crate::row::deep_record).unwrap_or_else(|| panic!("nothing is stored"));
    // As if it had been removed by its key before the store was read.
    let mut page = Page::open();
    page.does(Input::Pause(page.store));
    let item = page.find_or_fetch("a");
    page.remove(item);
    create.storage_key = concordia::engine::id::Key::new("z", false);
    page.disk.insert((0, create.storage_key.clone()), create);
    let mut page = page.restart();
    page.answer_all(&[]);
    assert_eq!(page.items(), []);
    assert_eq!(page.write().action, Action::Delete);
}

// Offline.

#[test]
fn offline_one_request_at_a_time_probes_and_everything_goes_when_the_server_is_back() {
    let mut page = Page::open();
    let items: Vec<_> = (0..5).map(|value| page.create(&[(0, value)])).collect();
    for item in &items {
        page.answer(*item, Failure::Unreachable.answer());
    }
    assert_eq!(page.status().connection, Connection::Offline);
    for _ in 0..4 {
        assert!(page.network.is_empty() && page.wake());
        assert_eq!(page.network.len(), 1, "one probe at a time");
        let probe = page.network[0].clone();
        page.answer_any(&probe, &Failure::Unreachable);
    }
    assert!(page.wake());
    let probe = page.write();
    page.accept(probe.item, "x");
    assert_eq!(page.status().connection, Connection::Online);
    assert_eq!(page.writes().len(), 4, "the others at once");
}

#[test]
fn the_browser_may_hint_that_the_network_is_back_but_not_more_often_than_an_outage_may_cost() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, Failure::Unreachable.answer());
    let began = page.requests;
    for _ in 0..1_000 {
        page.does(Input::NetworkHinted);
        if let Some(probe) = page.network.first().cloned() {
            page.answer_any(&probe, &Failure::Unreachable);
        }
    }
    assert!(page.requests > began, "a hint probes at once");
    assert!(page.requests - began <= 10, "{} requests in no time", page.requests - began);
}

/// Whatever happens, the server is left alone while it cannot answer.
fn requests_in_an_outage(failure: &Failure, hinted: bool, seconds: u64) -> usize {
    let mut page = Page::open();
    let before = page.requests;
    for value in 0..40 {
        page.create(&[(0, value)]);
    }
    let end = page.now.after(Millis(seconds * 1_000));
    while page.now < end {
        for leaving in page.network.clone() {
            page.answer_any(&leaving, failure);
        }
        if hinted {
            page.does(Input::NetworkHinted);
            page.flush();
        }
        if page.network.is_empty() {
            let hint = page.now.after(Millis(700));
            page.now = page.wake_at.unwrap_or(end).min(if hinted { hint } else { end });
            page.does(Input::Woken);
        }
    }
    page.requests - before
}

#[test]
fn an_outage_of_t_seconds_costs_at_most_ten_requests_and_one_every_five_seconds() {
    let outages = [Failure::Unreachable, Failure::Foreign, Failure::Status(511, None), Failure::Status(503, None)];
    for failure in outages {
        for seconds in [1, 10, 60, 600, 7_200] {
            for hinted in [false, true] {
                let requests = requests_in_an_outage(&failure, hinted, seconds);
                let allowed = 10 + seconds / 5;
                assert!(requests as u64 <= allowed, "{failure:?} {seconds} s, hinted {hinted}: {requests}");
            }
        }
    }
}

#[test]
fn a_server_that_asks_to_wait_is_not_asked_before() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, Failure::Status(503, Some("600")).answer());
    let (asked, began) = (page.requests, page.now);
    page.create(&[(0, 2)]);
    page.flush();
    page.does(Input::NetworkHinted);
    let fetch = page.fetch();
    assert_eq!(page.outcome(fetch), Some(Err(Code::Server)));
    while page.requests == asked {
        assert!(page.wake());
    }
    assert_eq!(page.now.since(began), Millis(600_000));
}

#[test]
fn while_the_server_wants_credentials_everything_is_kept_and_then_sent_with_the_same_keys() {
    let mut page = Page::open();
    let (one, two) = (page.create(&[(0, 1)]), page.create(&[(0, 2)]));
    let keys: Vec<_> = page.writes().iter().map(|request| request.idempotency_key).collect();
    page.answer(one, empty(401));
    page.answer(two, empty(401));
    let fetch = page.fetch();
    assert_eq!(page.outcome(fetch), Some(Err(Code::Unauthorized)));
    assert!(page.network.is_empty() && page.wake_at.is_none());
    page.does(Input::Resume(page.store));
    let again: Vec<_> = page.writes().iter().map(|request| request.idempotency_key).collect();
    assert_eq!(again, keys);
}

#[test]
fn new_credentials_end_the_hold_but_not_a_pause_of_the_app() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, empty(401));
    assert_eq!(page.status().connection, Connection::Held);
    page.does(Input::Pause(page.store));
    page.does(Input::Authorized(page.store));
    assert_eq!((page.status().connection, page.writes().len()), (Connection::Paused, 0));
    page.does(Input::Resume(page.store));
    page.answer(item, empty(401));
    page.does(Input::Authorized(page.store));
    assert_eq!((page.status().connection, page.writes().len()), (Connection::Online, 1));
    page.does(Input::Authorized(page.store));
    assert_eq!(page.writes().len(), 1, "nothing leaves twice");
}

#[test]
fn a_store_that_is_opened_or_closed_has_the_server_asked_anew_for_those_that_are_held() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, empty(401));
    assert_eq!(page.status().connection, Connection::Held);
    let other = page.open_store(StoreOptions { name: "others".into(), ..options() });
    assert_eq!(page.writes().len(), 1, "opened");
    page.answer(item, empty(401));
    assert_eq!((page.status().connection, page.writes().len()), (Connection::Held, 0));
    page.does(Input::Close(other, Token(u32::MAX)));
    assert_eq!(page.writes().len(), 1, "closed");
}

// Isolation.

#[test]
fn one_item_that_always_fails_delays_no_other() {
    let failures = [
        Failure::Status(422, None),
        Failure::Status(500, None),
        Failure::Status(503, None),
        Failure::Status(408, None),
        Failure::TimedOut,
        Failure::Unreachable,
        Failure::Foreign,
    ];
    for failure in failures {
        let mut page = Page::open();
        let bad = page.create(&[(0, 0)]);
        let mut taken = 0;
        let began = page.now;
        for value in 1..200 {
            let good = page.create(&[(0, value)]);
            while !page.engine.is_synced(good) {
                match page.network.first().cloned() {
                    Some(leaving) if matches!(&leaving.what, Asked::Write(request) if request.item == bad) => {
                        page.answer_any(&leaving, &failure);
                    }
                    Some(_) => page.accept(good, &format!("k{value}")),
                    None => assert!(page.wake(), "{failure:?}: {value} is never sent"),
                }
            }
            taken += 1;
        }
        assert_eq!(taken, 199);
        let spent = page.now.since(began);
        assert!(spent < Millis(30_000), "{failure:?}: the others took {spent:?}");
    }
}

#[test]
fn a_collection_that_cannot_be_read_delays_no_edit() {
    for failure in [Failure::Status(500, None), Failure::Unreachable, Failure::Status(503, None)] {
        let mut page = Page::start(options());
        let began = page.now;
        for value in 0..100 {
            let item = page.create(&[(0, value)]);
            while !page.engine.is_synced(item) {
                match page.network.first().cloned() {
                    Some(leaving) if matches!(leaving.what, Asked::All) => page.answer_any(&leaving, &failure),
                    Some(_) => page.accept(item, &format!("k{value}")),
                    None => assert!(page.wake(), "{failure:?}"),
                }
            }
        }
        let spent = page.now.since(began);
        assert!(spent < Millis(30_000), "{failure:?}: the edits took {spent:?}");
    }
}

// Answers that come late.

#[test]
fn a_late_fetch_takes_back_no_field() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1), (1, 1)]);
    page.fetch();
    page.update(item, &[(0, 2)]);
    page.accept(item, "a");
    page.answer_all(&[("a", &[(0, 1), (1, 1)])]);
    assert_eq!(page.value(item, 0), Some(2));
    page.fetch();
    page.answer_all(&[("a", &[(0, 2), (1, 7)])]);
    assert_eq!((page.value(item, 0), page.value(item, 1)), (Some(2), Some(7)));
}

#[test]
fn a_field_with_an_edit_keeps_it_and_the_others_take_what_the_server_says() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1), (1, 1)]);
    page.update(item, &[(0, 2)]);
    page.fetch();
    page.answer_all(&[("a", &[(0, 5), (1, 6)])]);
    assert_eq!((page.value(item, 0), page.value(item, 1)), (Some(2), Some(6)));
    page.answer(item, empty(422));
    page.does(Input::Discard(item));
    assert_eq!(page.value(item, 0), Some(5), "given up, it goes back to the server's newest");
}

#[test]
fn a_late_fetch_brings_back_no_item_that_went() {
    let mut page = Page::open();
    let (deleted, elsewhere) = (page.settled_item("a", &[(0, 1)]), page.settled_item("b", &[(0, 1)]));
    page.fetch();
    page.remove(deleted);
    page.answer(deleted, empty(204));
    page.does(Input::Remove { item: elsewhere, source: Source::Transporter });
    page.answer_all(&[("a", &[(0, 1)]), ("b", &[(0, 1)])]);
    assert_eq!(page.items(), []);
}

#[test]
fn the_collection_is_read_by_one_request_at_a_time() {
    let mut page = Page::open();
    let (first, second) = (page.fetch(), page.fetch());
    assert_eq!(page.network.len(), 1, "of two answers nobody could tell which is the newer state");
    page.answer_all(&[]);
    assert_eq!((page.outcome(first), page.outcome(second)), (Some(Ok(())), None));
    page.answer_all(&[]);
    assert_eq!(page.outcome(second), Some(Ok(())));
}

#[test]
fn an_empty_answer_removes_only_settled_items_and_only_if_it_is_complete() {
    let mut page = Page::open();
    let settled = page.settled_item("a", &[(0, 1)]);
    let edited = page.settled_item("b", &[(0, 1)]);
    page.update(edited, &[(0, 2)]);
    let created = page.create(&[(0, 3)]);
    page.fetch();
    page.answer_read(json(
        200,
        Rows {
            rows: Vec::new(),
            complete: false,
            deleted: Vec::new(),
            problem: None,
            next: Next::None,
            cursor: Cursor::Kept,
        },
    ));
    assert_eq!(page.items(), [settled, edited, created]);
    page.fetch();
    page.answer_all(&[]);
    assert_eq!(page.items(), [edited, created]);
}

#[test]
fn the_row_of_a_create_that_a_fetch_brings_first_is_not_seen_twice() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.fetch();
    page.answer_all(&[("a", &[(0, 1)]), ("b", &[(0, 2)])]);
    assert_eq!(page.items().len(), 2, "the created one and the foreign one");
    page.accept(item, "a");
    assert_eq!(page.engine.find_by_remote_key(page.store, &concordia::engine::id::Key::new("a", false)), Some(item));
}

#[test]
fn a_twin_whose_row_looked_different_is_absorbed_with_its_edits() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.update(item, &[(1, 5)]);
    page.fetch();
    // The server makes something else of a field, and writes one of its own.
    page.answer_all(&[("a", &[(0, 4), (3, 9)])]);
    let twin = page.items()[1];
    page.update(twin, &[(2, 6)]);
    let on_its_way = page.writes().into_iter().find(|request| request.item == twin);
    let synced = page.once_synced(twin);
    page.answer(item, json(201, remote("a", &[(0, 4), (3, 9)])));
    assert_eq!(page.items(), [item]);
    assert_eq!([1, 2, 3].map(|field| page.value(item, field)), [Some(5), Some(6), Some(9)]);
    assert_eq!(page.outcome(synced), None, "its promises wait on");
    let Some(request) = on_its_way else { panic!("the twin's edit was not sent") };
    assert!(page.network.iter().any(
        |leaving| matches!(&leaving.what, Asked::Write(other) if other.idempotency_key == request.idempotency_key)
    ));
    let leaving =
        page.network.iter().find(|leaving| matches!(leaving.what, Asked::Write(_))).map(|leaving| leaving.command);
    let Some(command) = leaving else { panic!("nothing is on its way") };
    page.network.clear();
    page.does(Input::Answered(command, json(200, remote("a", &[(0, 4), (2, 6), (3, 9)]))));
    assert_eq!(page.outcome(synced), Some(Ok(())));
    assert_eq!(page.write().row.get(1), Some(5), "then what was edited on the created one");
}

#[test]
fn a_create_that_met_its_own_row_is_deleted_there_when_the_app_removes_it() {
    let mut page = Page::open();
    let item = page.create_with(&[(0, 1)], Some("mine"));
    page.answer(item, Failure::TimedOut.answer());
    while page.writes().is_empty() {
        assert!(page.wake());
    }
    page.answer(item, empty(409));
    page.remove(item);
    // It may have been changed there since.
    page.answer_one(json(200, remote("mine", &[(0, 5)])));
    let delete = page.write();
    assert_eq!((delete.action, delete.key.map(|key| key.text().to_owned())), (Action::Delete, Some("mine".into())));
}

#[test]
fn what_is_removed_after_a_row_was_read_under_its_key_is_deleted_there() {
    let theirs: &[(&str, &[(usize, i64)])] = &[("mine", &[(0, 5)])];
    for is_refused in [false, true] {
        let mut page = Page::open();
        page.slow_disk = !is_refused;
        let item = page.create_with(&[(0, 1)], Some("mine"));
        if is_refused {
            page.answer(item, empty(409));
            page.answer_one(json(200, remote("mine", &[(0, 5)])));
            assert_eq!(page.engine.parked(item).map(|fault| fault.code), Some(Code::Conflict));
        }
        page.fetch();
        page.answer_all(theirs);
        page.remove(item);
        page.slow_disk = false;
        page.commit();
        if !is_refused {
            // It was on its way to client storage already.
            page.answer(item, empty(409));
            page.answer_one(json(200, remote("mine", &[(0, 5)])));
        }
        let delete = page.write();
        assert_eq!((delete.action, delete.key.map(|key| key.text().to_owned())), (Action::Delete, Some("mine".into())));
        page.answer(item, empty(204));
        assert!(page.pending().is_empty() && page.items().is_empty() && page.disk.is_empty());
    }
}

#[test]
fn a_row_of_somebody_else_under_the_key_of_what_was_made_and_removed_here_stays_and_is_shown() {
    let theirs: &[(&str, &[(usize, i64)])] = &[("mine", &[(0, 5)])];
    let mut page = Page::open();
    let item = page.create_with(&[(0, 1)], Some("mine"));
    page.remove(item);
    page.fetch();
    page.answer_all(theirs);
    page.answer(item, empty(409));
    page.answer_one(json(200, remote("mine", &[(0, 5)])));
    assert!(page.writes().is_empty() && page.pending().is_empty());
    page.fetch();
    page.answer_all(theirs);
    assert_eq!(page.items().iter().map(|item| page.value(*item, 0)).collect::<Vec<_>>(), [Some(5)]);
}

#[test]
fn an_item_that_is_awaited_can_be_removed_by_its_key() {
    let mut page = Page::open();
    let item = page.find_or_fetch("a");
    page.remove(item);
    assert_eq!((page.items().len(), page.write().action), (0, Action::Delete));
    page.answer(item, empty(403));
    page.does(Input::Discard(item));
    assert_eq!(page.items(), [item], "given up, it is awaited again");
    page.answer_one(json(200, remote("a", &[(0, 1)])));
    page.answer_one(json(200, remote("a", &[(0, 1)])));
    assert_eq!((page.value(item, 0), page.engine.is_synced(item)), (Some(1), true));
}

// Giving up.

#[test]
fn discard_goes_back_to_what_was_sent_and_what_was_not_sent_for_sure_is_given_up() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.update(item, &[(0, 2)]);
    page.remove(item);
    let synced = page.once_synced(item);
    page.does(Input::Discard(item));
    assert_eq!((page.items(), page.value(item, 0)), (vec![item], Some(1)));
    assert_eq!(page.outcome(synced), Some(Err(Code::Discarded)));
    page.accept(item, "a");
    assert!(page.engine.is_synced(item));
}

#[test]
fn a_create_that_was_refused_and_is_removed_leaves_nothing_behind() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, empty(422));
    page.remove(item);
    assert_eq!((page.items().len(), page.pending().len(), page.disk.len(), page.writes().len()), (0, 0, 0, 0));
}

#[test]
fn what_is_removed_while_its_edit_is_on_its_way_is_removed_though_that_is_refused() {
    for status in [422, 404, 409] {
        let mut page = Page::open();
        let item = page.settled_item("a", &[(0, 1)]);
        page.update(item, &[(0, 2)]);
        page.remove(item);
        let promises = [page.once_stored(item), page.once_synced(item)];
        page.answer(item, empty(status));
        if status != 404 {
            if status == 409 {
                // What contradicts it is read first, and cannot be.
                page.answer_one(empty(403));
            }
            assert_eq!(page.write().action, Action::Delete);
            page.answer(item, empty(204));
        }
        assert_eq!((page.items().len(), page.pending().len(), page.disk.len(), page.writes().len()), (0, 0, 0, 0));
        assert_eq!(promises.map(|promise| page.outcome(promise)), [Some(Ok(())), Some(Ok(()))]);
    }
}

#[test]
fn what_is_removed_while_its_create_is_on_its_way_leaves_nothing_behind_if_that_is_refused() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.remove(item);
    page.answer(item, empty(422));
    assert_eq!((page.items().len(), page.pending().len(), page.disk.len(), page.writes().len()), (0, 0, 0, 0));
}

#[test]
fn what_was_deleted_elsewhere_is_made_again_by_retry_and_let_go_by_discard() {
    for retried in [true, false] {
        let mut page = Page::open();
        let item = page.settled_item("a", &[(0, 1), (1, 1)]);
        page.update(item, &[(0, 2)]);
        page.answer(item, empty(404));
        assert_eq!(page.engine.parked(item).map(|fault| fault.code), Some(Code::GoneRemotely));
        if retried {
            page.does(Input::Retry(item));
            let create = page.write();
            assert_eq!((create.action, create.row.get(0), create.row.get(1)), (Action::Create, Some(2), Some(1)));
        } else {
            page.does(Input::Discard(item));
            assert_eq!((page.items().len(), page.disk.len()), (0, 0));
        }
    }
}

// Promises.

#[test]
fn a_removal_is_stored_when_the_record_of_what_was_removed_is_erased() {
    let mut page = Page::open();
    page.does(Input::Pause(page.store));
    let item = page.create(&[(0, 1)]);
    assert_eq!(page.disk.len(), 1);
    page.slow_disk = true;
    page.remove(item);
    let stored = page.once_stored(item);
    assert_eq!(page.outcome(stored), None);
    page.commit();
    assert_eq!((page.outcome(stored), page.disk.len()), (Some(Ok(())), 0));
}

#[test]
fn a_removal_that_cannot_be_stored_is_said_to_be_so() {
    for failure in [StorageFailure::Quota, StorageFailure::Refused("gone".into())] {
        let mut page = Page::open();
        page.does(Input::Pause(page.store));
        let item = page.create(&[(0, 1)]);
        page.slow_disk = true;
        page.remove(item);
        let before = page.once_stored(item);
        page.abort(failure.clone());
        let after = page.once_stored(item);
        let rejected = Some(Err(failure.fault().code));
        assert_eq!((page.outcome(before), page.outcome(after)), (rejected, rejected));
    }
}

#[test]
fn closing_settles_every_promise_and_loses_nothing_that_was_queued() {
    let mut page = Page::start(options());
    page.slow_disk = true;
    let item = page.create(&[(0, 1)]);
    let tokens =
        [page.once_stored(item), page.once_synced(item), page.once_ready(item), page.once_loaded(), page.fetch()];
    let flush = page.flush();
    let closing = page.close();
    assert_eq!(page.outcome(closing), None, "a write is under way");
    assert_eq!(page.tries_update(item, &[(0, 2)]).map_err(|fault| fault.code), Err(Code::Closed));
    page.commit();
    assert_eq!(page.outcome(closing), Some(Ok(())));
    assert_eq!(page.outcome(tokens[0]), Some(Ok(())), "it was stored");
    for token in [tokens[1], tokens[2], tokens[3], tokens[4]] {
        assert_eq!(page.outcome(token), Some(Err(Code::Closed)), "{token:?}");
    }
    assert_eq!(page.outcome(flush), Some(Ok(())));
    let late = page.once_synced(item);
    assert_eq!(page.outcome(late), Some(Err(Code::Closed)));
    assert!(page.writes().is_empty(), "what was stored for it does not leave any more");
    let page = page.restart();
    assert_eq!(page.value(page.items()[0], 0), Some(1));
}

#[test]
fn closing_does_not_wait_for_a_disk_that_cannot_write() {
    let mut page = Page::open();
    page.slow_disk = true;
    let item = page.create(&[(0, 1)]);
    page.abort(StorageFailure::Quota);
    page.accept(item, "a");
    let closing = page.close();
    assert_eq!(page.outcome(closing), Some(Ok(())));
}

#[test]
fn flush_settles_though_one_item_is_never_taken() {
    let failures = [
        Failure::Status(422, None),
        Failure::Status(500, None),
        Failure::Status(503, Some("3600")),
        Failure::Status(401, None),
        Failure::Unreachable,
        Failure::TimedOut,
    ];
    for failure in failures {
        let mut page = Page::open();
        let item = page.create(&[(0, 1)]);
        page.answer(item, failure.answer());
        let flush = page.flush();
        if let Some(leaving) = page.network.first().cloned() {
            assert_eq!(page.outcome(flush), None, "{failure:?}");
            page.answer_any(&leaving, &failure);
        }
        assert_eq!(page.outcome(flush), Some(Ok(())), "{failure:?}");
    }
}

#[test]
fn flush_waits_until_what_can_be_sent_is_answered() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.update(item, &[(0, 2)]);
    let flush = page.flush();
    page.accept(item, "a");
    assert_eq!(page.outcome(flush), None);
    page.accept(item, "a");
    assert_eq!(page.outcome(flush), Some(Ok(())));
}

#[test]
fn a_fetch_that_cannot_be_made_is_rejected_at_once() {
    let mut page = Page::open();
    page.does(Input::Pause(page.store));
    let paused = page.fetch();
    assert_eq!(page.outcome(paused), Some(Err(Code::Unreachable)));
    page.does(Input::Resume(page.store));
    let item = page.create(&[(0, 1)]);
    page.answer(item, Failure::Unreachable.answer());
    let before = page.requests;
    for _ in 0..50 {
        let offline = page.fetch();
        if let Some(probe) = page.network.first().cloned() {
            page.answer_any(&probe, &Failure::Unreachable);
        }
        assert_eq!(page.outcome(offline), Some(Err(Code::Unreachable)));
    }
    assert!(page.requests - before <= 10, "a fetch probes, but not more often than an outage may cost");
}

#[test]
fn a_page_that_starts_offline_is_loaded_from_its_client_storage() {
    let mut page = Page::open();
    page.settled_item("a", &[(0, 1)]);
    let mut page = page.restart();
    let loaded = page.once_loaded();
    assert_eq!(page.outcome(loaded), None, "the server is being asked");
    page.answer_read(Failure::Unreachable.answer());
    assert_eq!(page.outcome(loaded), Some(Ok(())));
    assert_eq!(page.items().len(), 1);
}

#[test]
fn a_page_that_starts_offline_without_client_storage_says_so() {
    let mut page = Page::start(without_storage());
    let loaded = page.once_loaded();
    page.answer_read(Failure::Unreachable.answer());
    assert_eq!(page.outcome(loaded), Some(Err(Code::Unreachable)));
}

#[test]
fn whoever_waits_for_a_key_is_told_when_there_will_be_none() {
    let mut page = Page::open();
    let (parked, removed) = (page.create(&[(0, 1)]), page.create(&[(0, 2)]));
    let (one, two) = (page.once_ready(parked), page.once_ready(removed));
    page.answer(parked, empty(422));
    page.answer(removed, empty(422));
    page.remove(removed);
    assert_eq!((page.outcome(one), page.outcome(two)), (Some(Err(Code::Rejected)), Some(Err(Code::Rejected))));
    let late = page.once_ready(removed);
    assert_eq!(page.outcome(late), Some(Err(Code::Removed)));
}

// Refusals.

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let mut page = Page::open();
    let before = format!("{:?}", page.items());
    for key in ["", ".", ".."] {
        let key = concordia::engine::id::Key::new(key, false);
        let row = crate::row::MapRow::of(&[(0, 1)]);
        let create =
            Input::Create { store: page.store, row: row.clone(), key: Some(key.clone()), source: Source::State };
        assert_eq!(page.tries(create).map_err(|fault| fault.code), Err(Code::UnsafeId));
        let awaited = Input::Await { store: page.store, row, key };
        assert_eq!(page.tries(awaited).map_err(|fault| fault.code), Err(Code::UnsafeId));
    }
    assert_eq!(page.tries(Input::Open(options(), MapRow::default())).map_err(|fault| fault.code), Err(Code::Options));
    assert_eq!((format!("{:?}", page.items()), page.network.len()), (before, 0));
    page.create_with(&[(0, 1)], Some("a"));
    let twice = Input::Create {
        store: page.store,
        row: crate::row::MapRow::of(&[(0, 1)]),
        key: Some(concordia::engine::id::Key::new("a", false)),
        source: Source::State,
    };
    assert_eq!(page.tries(twice).map_err(|fault| fault.code), Err(Code::NotAKey));
}

// Determinism.

#[test]
fn the_same_seed_and_the_same_inputs_give_the_same_outputs() {
    let story = || {
        let mut page = Page::open();
        let item = page.create(&[(0, 1)]);
        page.update(item, &[(0, 2)]);
        page.answer(item, Failure::Unreachable.answer());
        page.wake();
        page.wake();
        let other = page.create(&[(1, 3)]);
        page.remove(other);
        page.flush();
        page.said
    };
    assert_eq!(story(), story());
}

#[test]
fn edits_of_one_turn_leave_in_the_order_in_which_they_were_made() {
    let mut page = Page::open();
    let (older, newer) = (page.settled_item("a", &[(0, 1)]), page.settled_item("b", &[(0, 1)]));
    for item in [newer, older] {
        let (row, fields) = (MapRow::of(&[(0, 2)]), FieldSet::one(0));
        page.does(Input::Update { item, row, fields, source: Source::State });
    }
    page.end_turn();
    let order: Vec<ItemId> = page.writes().iter().map(|request| request.item).collect();
    assert_eq!(order, [newer, older]);
}

#[test]
fn an_edit_that_was_never_sent_is_no_probe_so_that_it_can_still_be_joined_with_others() {
    let mut page = Page::start(options());
    page.answer_read(Failure::Unreachable.answer());
    let kept = page.create(&[(0, 1)]);
    let removed = page.create(&[(0, 2)]);
    for _ in 0..3 {
        while page.network.is_empty() {
            assert!(page.wake());
        }
        assert!(page.writes().is_empty(), "{:?}", page.network);
        page.answer_read(Failure::Unreachable.answer());
    }
    page.update(kept, &[(0, 3)]);
    page.remove(removed);
    while page.network.is_empty() {
        assert!(page.wake());
    }
    page.answer_all(&[]);
    let write = page.write();
    assert_eq!((write.action, write.item, write.row.get(0)), (Action::Create, kept, Some(3)));
}

#[test]
fn in_a_long_outage_an_edit_probes_as_well_since_only_the_collection_may_be_blocked() {
    let mut page = Page::start(options());
    page.answer_read(Failure::Unreachable.answer());
    let item = page.create(&[(0, 1)]);
    for probe in 1..100 {
        while page.network.is_empty() {
            assert!(page.wake());
        }
        if !page.writes().is_empty() {
            assert_eq!(probe, 7);
            page.accept(item, "a");
            assert_eq!(page.status().connection, Connection::Online);
            return;
        }
        page.answer_read(Failure::Unreachable.answer());
    }
    panic!("for ever");
}

// What a store without a server, or a transporter itself, does.

#[test]
fn what_the_transporter_removes_is_gone_and_nobody_is_asked_to_delete_it() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    page.does(Input::Remove { item, source: Source::Transporter });
    page.end_turn();
    assert!(page.network.is_empty() && page.pending().is_empty() && page.disk.is_empty());
}

#[test]
fn without_a_server_edits_are_stored_and_there_is_nothing_to_say() {
    let mut page = Page::start(StoreOptions { origin: None, ..options() });
    let item = page.create(&[(0, 1)]);
    page.update(item, &[(0, 2)]);
    let synced = page.once_synced(item);
    assert_eq!((page.outcome(synced), page.pending().len(), page.disk.len()), (Some(Ok(())), 0, 1));
    page.remove(item);
    assert!(page.disk.is_empty() && page.items().is_empty());
}

#[test]
fn what_an_item_is_awaited_for_is_wanted_though_it_has_been_edited_since_it_was_asked_for() {
    let mut page = Page::open();
    let item = page.find_or_fetch("a");
    page.update(item, &[(0, 9)]);
    page.answer_one(json(200, remote("a", &[(0, 1), (1, 5)])));
    assert_eq!((page.value(item, 0), page.value(item, 1)), (Some(9), Some(5)));
    assert_eq!(page.write().item, item);
}

#[test]
fn a_removal_that_is_given_up_goes_back_to_what_the_server_has_taken_meanwhile() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    page.update(item, &[(0, 2)]);
    page.update(item, &[(0, 3)]);
    page.remove(item);
    page.does(Input::Pause(page.store));
    page.answer(item, empty(204));
    page.does(Input::Discard(item));
    assert_eq!((page.items(), page.value(item, 0)), (vec![item], Some(2)));
}

#[test]
fn an_item_that_went_with_its_store_is_stored_and_taken_only_as_far_as_it_was() {
    let mut page = Page::open();
    let settled = page.settled_item("a", &[(0, 1)]);
    page.slow_disk = true;
    let unstored = page.settled_unstored("b");
    page.abort(StorageFailure::Quota);
    let closing = page.close();
    assert_eq!(page.outcome(closing), Some(Ok(())));
    assert!(page.engine.row(settled).is_none() && page.engine.row(unstored).is_none());
    let tokens = [page.once_stored(settled), page.once_synced(settled), page.once_stored(unstored)];
    let [stored, synced, lost] = tokens.map(|token| page.outcome(token));
    assert_eq!((stored, synced, lost), (Some(Ok(())), Some(Ok(())), Some(Err(Code::Closed))));
}

#[test]
fn what_was_to_be_said_to_a_server_that_is_no_longer_there_is_waited_for_by_nobody() {
    let mut page = Page::open();
    page.does(Input::Pause(page.store));
    page.create(&[(0, 1)]);
    page.options.origin = None;
    let mut page = page.restart();
    let item = page.items()[0];
    let synced = page.once_synced(item);
    assert_eq!(page.outcome(synced), Some(Ok(())));
}

#[test]
fn whoever_waits_for_a_key_or_for_client_storage_is_told_when_the_item_is_removed_before() {
    let mut page = Page::open();
    let (row, store) = (MapRow::of(&[(0, 1)]), page.store);
    page.does(Input::Pause(store));
    let Made::Item(item) = page.does(Input::Create { store, row, key: None, source: Source::State }) else {
        panic!("no item")
    };
    let (ready, stored) = (page.once_ready(item), page.once_stored(item));
    page.does(Input::Remove { item, source: Source::State });
    page.end_turn();
    assert_eq!((page.outcome(ready), page.outcome(stored)), (Some(Err(Code::Removed)), Some(Ok(()))));
}

#[test]
fn an_item_whose_store_is_closed_will_have_no_key() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.close();
    let ready = page.once_ready(item);
    assert_eq!(page.outcome(ready), Some(Err(Code::Closed)));
}

#[test]
fn the_key_that_is_stored_with_an_edit_that_waits_is_not_the_one_it_leaves_with() {
    let mut page = Page::open();
    page.does(Input::Pause(page.store));
    page.create(&[(0, 1)]);
    let pending = |page: &Page| {
        let record = page.disk.values().next().and_then(|record| record.sync.as_ref()?.pending.clone());
        record.unwrap_or_else(|| panic!("{:?}", page.disk)).key
    };
    let stored = pending(&page);
    page.slow_disk = true;
    page.does(Input::Resume(page.store));
    page.abort(StorageFailure::Quota);
    assert_ne!(page.write().idempotency_key, stored, "after a crash that one stands for whatever is edited then");
    assert_eq!(pending(&page), stored);
}

// What a page can read.

#[test]
fn a_store_is_loaded_from_its_first_read_until_it_is_closed() {
    let mut page = Page::start(options());
    assert_eq!((page.engine.name(page.store), page.engine.is_loaded(page.store)), ("people", false));
    page.answer_all(&[]);
    let item = page.create(&[(0, 1)]);
    assert!(page.engine.is_loaded(page.store) && !page.engine.is_ready(item));
    page.accept(item, "a");
    assert!(page.engine.is_ready(item));
    page.close();
    assert!(!page.engine.is_loaded(page.store));
}

#[test]
fn an_edit_waits_as_long_as_its_server_asked_if_it_was_sent_and_else_is_queued() {
    let mut page = Page::open();
    let (held, waits) = (page.create(&[(0, 1)]), page.create(&[(0, 2)]));
    page.answer(held, empty(401));
    page.answer(waits, Failure::Status(503, Some("600")).answer());
    page.flush();
    let states: Vec<_> = page.pending().iter().map(|edit| edit.state).collect();
    assert_eq!(states, [EditState::Queued, EditState::Waiting]);

    let mut page = Page::open();
    let items = [page.create(&[(0, 1)]), page.create(&[(0, 2)])];
    items.iter().for_each(|item| page.answer(*item, Failure::Unreachable.answer()));
    for _ in 0..20 {
        page.flush();
    }
    let states: Vec<_> = page.pending().iter().map(|edit| edit.state).collect();
    assert!(states.contains(&EditState::Queued) && !states.contains(&EditState::Waiting), "{states:?}");
}

#[test]
fn a_flush_does_not_wait_for_what_cannot_leave_now() {
    let flushed = |prepare: fn(&mut Page)| {
        let mut page = Page::open();
        prepare(&mut page);
        let flush = page.flush();
        page.outcome(flush).is_some()
    };
    assert!(flushed(|page| {
        page.does(Input::Pause(page.store));
        page.create(&[(0, 1)]);
    }));
    assert!(flushed(|page| {
        let item = page.find_or_fetch("a");
        page.update(item, &[(0, 1)]);
    }));
    assert!(!flushed(|page| {
        page.slow_disk = true;
        page.create(&[(0, 1)]);
    }));
    assert!(flushed(|page| {
        let item = page.settled_item("a", &[(0, 1)]);
        page.update(item, &[(0, 2)]);
        page.answer(item, empty(412));
        page.does(Input::Pause(page.store));
    }));
    assert!(!flushed(|page| {
        let item = page.create(&[(0, 1)]);
        page.answer(item, empty(409));
    }));
    // For what is decided by a read it does.
    assert!(!flushed(|page| {
        let item = page.settled_item("a", &[(0, 1)]);
        page.update(item, &[(0, 2)]);
        page.answer(item, empty(412));
    }));
}

#[test]
fn a_client_storage_is_tried_anew_when_nobody_uses_it_any_longer_and_a_store_is_opened_again() {
    for is_used in [false, true] {
        let mut page = Page::open();
        if is_used {
            page.open_store(StoreOptions { name: "others".into(), ..options() });
        }
        page.slow_disk = true;
        page.create(&[(0, 1)]);
        page.abort(StorageFailure::Refused("private mode".into()));
        assert!(!page.status().durable);
        page.close();
        let again = page.open_store(options());
        assert_eq!(page.engine.status(again).durable, !is_used);
    }
}

/// A create and the row that a read has brought of it, before anybody knows that they are the same.
fn twins() -> (Page, ItemId, ItemId) {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.fetch();
    page.answer_all(&[("a", &[(0, 4)])]);
    let twin = page.items()[1];
    (page, item, twin)
}

#[test]
fn of_two_edits_of_a_field_of_twins_the_later_one_stands() {
    for is_later in [false, true] {
        let (mut page, item, twin) = twins();
        page.does(Input::Pause(page.store));
        if is_later {
            page.update(twin, &[(1, 6), (2, 6)]);
            page.update(item, &[(1, 5), (3, 5)]);
        } else {
            page.update(item, &[(1, 5), (3, 5)]);
            page.update(twin, &[(1, 6), (2, 6)]);
        }
        page.answer(item, json(201, remote("a", &[(0, 4)])));
        assert_eq!(page.items(), [item]);
        let values = [1, 2, 3].map(|field| page.value(item, field));
        assert_eq!(values, [Some(if is_later { 5 } else { 6 }), Some(6), Some(5)]);
        page.does(Input::Resume(page.store));
        let request = page.write();
        assert_eq!(request.fields.iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!([1, 2, 3].map(|field| request.row.get(field)), values);
    }
}

#[test]
fn of_twins_of_which_one_is_removed_none_is_left() {
    for removes_twin in [false, true] {
        let (mut page, item, twin) = twins();
        page.does(Input::Pause(page.store));
        page.update(if removes_twin { item } else { twin }, &[(1, 5)]);
        page.remove(if removes_twin { twin } else { item });
        page.answer(item, json(201, remote("a", &[(0, 4)])));
        assert_eq!(page.items(), []);
        page.does(Input::Resume(page.store));
        assert_eq!(page.write().action, Action::Delete);
        page.answer(item, empty(204));
        assert!(page.pending().is_empty() && page.disk.is_empty());
    }
}

#[test]
fn a_flush_waits_for_one_more_read_that_decides_and_not_for_the_next() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(Failure::Status(500, None).answer());
    let flush = page.flush();
    assert_eq!(page.outcome(flush), None);
    page.answer_one(Failure::Status(500, None).answer());
    assert_eq!(page.outcome(flush), Some(Ok(())));
}
