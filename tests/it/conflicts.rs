//! The server holds something else than an edit was made on: what is read, merged, asked and sent again.

use concordia::engine::outcome::{Answer, Response};
use concordia::engine::{
    EditState,
    error::{Code, Fault},
    id::ItemId,
    input::{Cursor, Input, Next, Policy, Resolution, Rows, Source, StoreOptions},
    lifecycle::Action,
    outcome::Said,
    output::Request,
    row::FieldSet,
};

use crate::page::{Asked, Failure, Page, body, empty, json, options, remote, versioned};
use crate::row::MapRow;

/// A store over a server that says which state of a row its answers show.
fn conditional(policy: Policy) -> StoreOptions {
    StoreOptions { conditional: true, policy, ..options() }
}

/// A page with one item, `{0: 1, 1: 1}` in the state "v1".
fn opened(policy: Policy) -> (Page, ItemId) {
    let mut page = Page::start(conditional(policy));
    page.answer_all(&[]);
    let item = page.create(&[(0, 1), (1, 1)]);
    page.answer(item, versioned("v1", json(201, remote("a", &[(0, 1), (1, 1)]))));
    (page, item)
}

fn validator(request: &Request<MapRow>) -> Option<&str> {
    request.validator.as_deref()
}

fn sent(page: &Page) -> (Action, Option<String>, [Option<i64>; 2]) {
    let request = page.write();
    let value = |field| request.fields.iter().any(|sent| sent == field).then(|| request.row.get(field)).flatten();
    (request.action, validator(&request).map(str::to_owned), [value(0), value(1)])
}

fn reads_one(page: &Page) -> usize {
    page.network.iter().filter(|leaving| matches!(leaving.what, Asked::One(_))).count()
}

fn parked(page: &Page, item: ItemId) -> Option<Code> {
    page.engine.parked(item).map(|fault| fault.code)
}

// States of rows.

#[test]
fn an_edit_says_which_state_of_the_row_it_was_made_on_also_after_a_restart() {
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    assert_eq!(sent(&page), (Action::Update, Some("v1".into()), [Some(2), None]));
    page.answer(item, versioned("v2", json(200, remote("a", &[(0, 2), (1, 1)]))));
    page.does(Input::Pause(page.store));
    page.update(item, &[(1, 3)]);
    let mut page = page.restart();
    page.answer_all(&[("a", &[(0, 2), (1, 1)])]);
    assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [None, Some(3)]));
}

#[test]
fn an_attempt_keeps_the_state_it_was_made_on_though_a_read_shows_a_newer_one() {
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.answer(item, Failure::Status(500, None).answer());
    page.does(Input::FetchOne(item));
    page.end_turn();
    page.answer_one(versioned("v9", json(200, remote("a", &[(0, 1), (1, 7)]))));
    while page.writes().is_empty() {
        assert!(page.wake());
    }
    assert_eq!(validator(&page.write()), Some("v1"), "else it would take effect a second time over what came between");
}

#[test]
fn a_server_that_tells_no_states_is_sent_none() {
    let mut page = Page::start(conditional(Policy::Local));
    page.answer_all(&[]);
    let item = page.settled_item("a", &[(0, 1)]);
    page.update(item, &[(0, 2)]);
    assert_eq!(validator(&page.write()), None);
}

// The server contradicts.

#[test]
fn edits_of_different_fields_are_both_kept_and_nobody_is_asked() {
    for (policy, status) in [(Policy::Local, 412), (Policy::Remote, 412), (Policy::Ask, 412), (Policy::Ask, 409)] {
        let (mut page, item) = opened(policy);
        page.update(item, &[(0, 2)]);
        let first = page.write().idempotency_key;
        page.answer(item, empty(status));
        assert_eq!((page.writes().len(), reads_one(&page)), (0, 1), "it is read first");
        page.answer_one(versioned("v2", json(200, remote("a", &[(0, 1), (1, 9)]))));
        assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [Some(2), None]));
        assert_ne!(page.write().idempotency_key, first, "another request, another key");
        assert_eq!(page.value(item, 1), Some(9));
        page.answer(item, versioned("v3", json(200, remote("a", &[(0, 2), (1, 9)]))));
        assert!(page.engine.is_synced(item) && page.conflicts.is_empty());
    }
}

#[test]
fn what_the_server_holds_already_counts_as_taken() {
    for status in [409, 412] {
        let (mut page, item) = opened(Policy::Ask);
        page.update(item, &[(0, 2)]);
        let synced = page.once_synced(item);
        // It was taken, and the answer lost.
        page.answer(item, Failure::Unreachable.answer());
        while page.writes().is_empty() {
            assert!(page.wake());
        }
        page.answer(item, empty(status));
        page.answer_one(versioned("v2", json(200, remote("a", &[(0, 2), (1, 1)]))));
        assert_eq!((page.outcome(synced), page.writes().len()), (Some(Ok(())), 0));
        page.update(item, &[(0, 3)]);
        assert_eq!(validator(&page.write()), Some("v2"));
    }
}

#[test]
fn a_field_that_both_sides_changed_keeps_the_edit_or_takes_the_servers_value_as_the_store_says() {
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [Some(2), None]));

    let (mut page, item) = opened(Policy::Remote);
    page.update(item, &[(0, 2), (1, 2)]);
    page.answer(item, empty(412));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [None, Some(2)]), "the rest is sent");
    assert_eq!(page.value(item, 0), Some(8));

    let (mut page, item) = opened(Policy::Remote);
    page.update(item, &[(0, 2)]);
    let synced = page.once_synced(item);
    page.answer(item, empty(412));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    assert_eq!((page.outcome(synced), page.value(item, 0)), (Some(Err(Code::Discarded)), Some(8)));
    assert!(page.engine.is_synced(item) && page.network.is_empty());
}

#[test]
fn the_app_is_asked_once_with_all_three_sides_and_its_word_stands() {
    let (mut page, item) = opened(Policy::Ask);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 7)]))));
    assert_eq!((page.conflicts.len(), page.writes().len()), (1, 0), "nothing leaves before it has decided");
    let (_, of, conflict) = page.conflicts[0].clone();
    assert_eq!((of, conflict.status), (item, 412));
    assert_eq!(conflict.base.fields(), [Some(1), None, None, None]);
    assert_eq!(conflict.local.fields(), [Some(2), None, None, None]);
    assert_eq!(conflict.remote.fields(), [Some(8), Some(7), None, None]);
    page.resolve(Resolution::Values(MapRow::of(&[(0, 10)]), FieldSet::one(0)));
    assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [Some(10), None]));
    page.answer(item, versioned("v3", json(200, remote("a", &[(0, 10), (1, 7)]))));
    page.fetch();
    page.answer_all(&[("a", &[(0, 10), (1, 7)])]);
    assert!(page.engine.is_synced(item) && page.conflicts.is_empty());
}

#[test]
fn the_app_may_say_local_or_remote_or_fail() {
    let asked = || {
        let (mut page, item) = opened(Policy::Ask);
        page.update(item, &[(0, 2)]);
        page.answer(item, empty(409));
        page.answer_one(json(200, remote("a", &[(0, 8), (1, 1)])));
        assert_eq!(page.conflicts.len(), 1);
        (page, item)
    };
    let (mut page, _) = asked();
    page.resolve(Resolution::Local);
    assert_eq!(sent(&page), (Action::Update, None, [Some(2), None]));
    let (mut page, item) = asked();
    page.resolve(Resolution::Remote);
    assert_eq!((page.value(item, 0), page.engine.is_synced(item)), (Some(8), true));
    let (mut page, item) = asked();
    page.resolve(Resolution::Values(MapRow::of(&[(0, 8)]), FieldSet::one(0)));
    assert_eq!((page.value(item, 0), page.engine.is_synced(item)), (Some(8), true), "there is nothing left to say");
    let (mut page, item) = asked();
    page.resolve(Resolution::Failed(Fault::new(Code::Conflict, "onConflict threw")));
    assert_eq!((parked(&page, item), page.value(item, 0)), (Some(Code::Conflict), Some(2)));
    page.does(Input::Retry(item));
    assert_eq!(sent(&page).2, [Some(2), None]);
}

#[test]
fn what_is_edited_while_the_app_decides_is_newer_than_its_word() {
    let (mut page, item) = opened(Policy::Ask);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    page.update(item, &[(0, 3)]);
    assert!(page.writes().is_empty());
    page.resolve(Resolution::Remote);
    assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [Some(3), None]));
}

#[test]
fn a_removal_of_what_was_changed_elsewhere_stands_unless_somebody_says_otherwise() {
    for (policy, action) in [(Policy::Local, Some(Action::Delete)), (Policy::Remote, None)] {
        let (mut page, item) = opened(policy);
        page.remove(item);
        page.answer(item, empty(412));
        page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
        let again = page.writes().first().map(|request| (request.action, validator(request).map(str::to_owned)));
        assert_eq!(again, action.map(|action| (action, Some("v2".into()))));
        if action.is_none() {
            assert_eq!((page.items(), page.value(item, 0)), (vec![item], Some(8)), "it is back as it is there");
        }
    }
    let (mut page, item) = opened(Policy::Ask);
    page.remove(item);
    page.answer(item, empty(412));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    assert_eq!(page.conflicts[0].2.local.fields(), [None; 4]);
    page.resolve(Resolution::Local);
    assert_eq!(sent(&page).0, Action::Delete);
}

#[test]
fn an_item_that_is_gone_there_is_parked_or_gone_here_too() {
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(empty(404));
    assert_eq!(parked(&page, item), Some(Code::GoneRemotely));
    let (mut page, item) = opened(Policy::Local);
    page.remove(item);
    let synced = page.once_synced(item);
    page.answer(item, empty(412));
    page.answer_one(empty(410));
    assert_eq!((page.outcome(synced), page.pending().len()), (Some(Ok(())), 0));
}

#[test]
fn a_contradiction_that_a_read_does_not_explain_is_parked_with_what_the_server_said() {
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    let Answer::Response(response) = empty(409) else { unreachable!() };
    let text = Some("{\"title\":\"the month is closed\"}".to_owned());
    page.answer(item, Answer::Response(Response { text: text.clone(), ..response }));
    page.answer_one(versioned("v1", json(200, remote("a", &[(0, 1), (1, 1)]))));
    // Now that it is known for sure what it holds, once more.
    assert_eq!(validator(&page.write()), Some("v1"));
    let Answer::Response(response) = empty(409) else { unreachable!() };
    page.answer(item, Answer::Response(Response { text: text.clone(), ..response }));
    page.answer_one(versioned("v1", json(200, remote("a", &[(0, 1), (1, 1)]))));
    let Some(fault) = page.engine.parked(item) else { panic!("not parked") };
    assert_eq!((fault.code, fault.status, &fault.body), (Code::Conflict, Some(409), &text));
    // Also if the row cannot be read.
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(empty(403));
    assert_eq!(parked(&page, item), Some(Code::Conflict));
}

#[test]
fn who_loses_again_and_again_is_parked() {
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    for round in 0..100 {
        if parked(&page, item).is_some() {
            assert_eq!(round, 6);
            return;
        }
        page.answer(item, empty(412));
        page.answer_one(versioned(&format!("w{round}"), json(200, remote("a", &[(0, 100 + round), (1, 1)]))));
    }
    panic!("for ever");
}

#[test]
fn a_read_that_decides_is_made_until_it_is_answered_and_survives_a_restart() {
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(Failure::Status(500, None).answer());
    assert_eq!(page.pending()[0].state, EditState::Waiting);
    while reads_one(&page) == 0 {
        assert!(page.wake() && page.writes().is_empty(), "a stale precondition is not sent twice");
    }
    let mut page = page.restart();
    page.answer_all(&[("a", &[(0, 8), (1, 1)])]);
    assert_eq!((page.writes().len(), reads_one(&page)), (0, 1));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [Some(2), None]));
}

#[test]
fn a_server_that_wants_preconditions_is_given_them() {
    let mut page = Page::start(conditional(Policy::Local));
    page.answer_all(&[("a", &[(0, 1)])]);
    let item = page.items()[0];
    page.update(item, &[(0, 2)]);
    assert_eq!(validator(&page.write()), None);
    page.answer(item, empty(428));
    page.answer_one(versioned("v1", json(200, remote("a", &[(0, 1)]))));
    assert_eq!(validator(&page.write()), Some("v1"));
    // One that wants them and gives no states cannot be satisfied.
    page.answer(item, empty(428));
    page.answer_one(json(200, remote("a", &[(0, 1)])));
    assert_eq!(parked(&page, item), Some(Code::Conflict));
}

#[test]
fn a_transporter_that_says_what_the_server_holds_spares_the_read() {
    let (mut page, item) = opened(Policy::Ask);
    page.update(item, &[(0, 2)]);
    let said = Some(Said { message: "conflict".into(), status: None });
    let Answer::Response(response) = versioned("v2", json(409, remote("a", &[(0, 8), (1, 1)]))) else { unreachable!() };
    page.answer(item, Answer::Response(Response { said, ..response }));
    assert_eq!((page.network.len(), page.conflicts.len()), (0, 1));
    page.resolve(Resolution::Local);
    assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [Some(2), None]));
}

#[test]
fn a_disputed_edit_can_be_given_up() {
    let (mut page, item) = opened(Policy::Ask);
    page.update(item, &[(0, 2)]);
    let synced = page.once_synced(item);
    page.answer(item, empty(412));
    page.does(Input::Discard(item));
    assert_eq!((page.outcome(synced), page.value(item, 0)), (Some(Err(Code::Discarded)), Some(1)));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    assert_eq!(page.value(item, 0), Some(8));
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(versioned("v3", json(200, remote("a", &[(0, 9), (1, 1)]))));
    page.does(Input::Discard(item));
    assert_eq!(page.value(item, 0), Some(9));
    page.resolve(Resolution::Local);
    assert!(page.engine.is_synced(item) && page.writes().is_empty(), "the word comes too late");
}

// Reads.

#[test]
fn a_read_that_shows_another_value_of_an_edited_field_is_a_conflict_as_well() {
    for policy in [Policy::Local, Policy::Remote, Policy::Ask] {
        let (mut page, item) = opened(policy);
        page.does(Input::Pause(page.store));
        page.update(item, &[(0, 2)]);
        let mut page = page.restart();
        let item = page.items()[0];
        page.answer_all(&[("a", &[(0, 8), (1, 4)])]);
        match policy {
            Policy::Local => assert_eq!(sent(&page).2, [Some(2), None]),
            Policy::Remote => assert_eq!((page.value(item, 0), page.engine.is_synced(item)), (Some(8), true)),
            Policy::Ask => {
                assert_eq!((page.conflicts.len(), page.conflicts[0].2.status, page.writes().len()), (1, 200, 0));
                page.resolve(Resolution::Values(MapRow::of(&[(0, 5)]), FieldSet::one(0)));
                assert_eq!((sent(&page).2, page.value(item, 1)), ([Some(5), None], Some(4)));
            }
        }
    }
}

#[test]
fn after_a_restart_an_edit_on_an_unknown_state_is_preceded_by_a_read_of_its_item() {
    let mut page = Page::start(conditional(Policy::Local));
    page.answer_all(&[("a", &[(0, 1), (1, 1)]), ("b", &[(0, 1)])]);
    page.does(Input::Pause(page.store));
    for item in page.items() {
        page.update(item, &[(0, 2)]);
    }
    page.create(&[(0, 7)]);
    let mut page = page.restart();
    assert_eq!(page.writes().len(), 1, "a new item waits for nothing");
    assert_eq!(page.write().action, Action::Create);
    page.answer_all(&[("a", &[(0, 1), (1, 1)]), ("b", &[(0, 1)])]);
    assert_eq!((page.writes().len(), reads_one(&page)), (1, 2));
    page.answer_one(versioned("v5", json(200, remote("a", &[(0, 1), (1, 9)]))));
    let update = page.writes().into_iter().find(|request| request.action == Action::Update);
    assert_eq!(update.as_ref().and_then(|request| request.validator.as_deref()), Some("v5"));
    // What cannot be read is sent all the same, in the end.
    for _ in 0..2 {
        page.answer_one(Failure::Status(500, None).answer());
        assert_eq!(page.writes().len(), 2);
        while reads_one(&page) == 0 {
            assert!(page.wake());
        }
    }
    page.answer_one(Failure::Status(500, None).answer());
    assert_eq!(page.writes().len(), 3);
}

#[test]
fn a_server_that_gives_no_states_is_asked_for_them_once() {
    let mut page = Page::start(conditional(Policy::Local));
    page.answer_all(&[("a", &[(0, 1)])]);
    page.does(Input::Pause(page.store));
    let item = page.items()[0];
    page.update(item, &[(0, 2)]);
    let mut page = page.restart();
    page.answer_all(&[("a", &[(0, 1)])]);
    page.answer_one(json(200, remote("a", &[(0, 1)])));
    assert_eq!(validator(&page.write()), None);
    let item = page.items()[0];
    page.accept(item, "a");
    page.update(item, &[(0, 3)]);
    page.answer(item, Failure::Unreachable.answer());
    page.update(item, &[(1, 3)]);
    while page.writes().is_empty() {
        assert!(page.wake());
    }
    assert_eq!(reads_one(&page), 0);
}

/// A page whose item was edited while the server, which knows the states of its rows, could not be reached; and the create that has met that.
fn edited_in_an_outage() -> (Page, ItemId, ItemId) {
    let mut page = Page::start(conditional(Policy::Local));
    page.answer_all(&[("a", &[(0, 1), (1, 1)])]);
    let item = page.items()[0];
    let other = page.create(&[(0, 5)]);
    page.answer(other, Failure::Unreachable.answer());
    page.update(item, &[(0, 2)]);
    (page, item, other)
}

#[test]
fn what_was_edited_in_an_outage_is_read_before_it_is_sent() {
    let (mut page, item, other) = edited_in_an_outage();
    while page.network.is_empty() {
        assert!(page.wake());
    }
    if !page.writes().is_empty() {
        page.accept(other, "b");
    }
    assert!(page.writes().iter().all(|request| request.item != item), "{:?}", page.network);
    page.answer_one(versioned("v5", json(200, remote("a", &[(0, 1), (1, 9)]))));
    let update = page.writes().into_iter().find(|request| request.item == item);
    assert_eq!(update.as_ref().and_then(|request| request.validator.as_deref()), Some("v5"));
}

// Creates.

#[test]
fn a_create_that_is_refused_as_a_duplicate_of_its_own_lost_one_is_found_in_the_collection() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1), (1, 2)]);
    let synced = page.once_synced(item);
    page.answer(item, Failure::Unreachable.answer());
    while page.writes().is_empty() {
        assert!(page.wake());
    }
    page.answer(item, empty(409));
    assert_eq!(page.pending()[0].state, EditState::Waiting);
    page.answer_all(&[("x", &[(0, 4)]), ("a", &[(0, 1), (1, 2), (3, 9)])]);
    assert_eq!((page.items().len(), page.outcome(synced)), (2, Some(Ok(()))));
    assert_eq!((page.value(item, 3), page.engine.is_synced(item)), (Some(9), true));
    page.update(item, &[(0, 5)]);
    assert_eq!(page.write().key.map(|key| key.text().to_owned()), Some("a".into()));
}

#[test]
fn a_create_that_is_refused_and_not_found_is_parked() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, empty(409));
    page.answer_all(&[("x", &[(0, 4)])]);
    assert_eq!(parked(&page, item), Some(Code::Conflict));
    let item = page.create(&[(0, 2)]);
    page.answer(item, Failure::TimedOut.answer());
    while page.writes().is_empty() {
        assert!(page.wake());
    }
    page.answer(item, empty(409));
    page.answer_all(&[("x", &[(0, 4)])]);
    assert_eq!(parked(&page, item), Some(Code::Conflict));
}

#[test]
fn a_create_under_a_key_of_the_apps_own_is_compared_with_what_is_there() {
    for (values, code) in [([(0, 1)], None), ([(0, 9)], Some(Code::Conflict))] {
        let mut page = Page::open();
        let item = page.create_with(&[(0, 1)], Some("mine"));
        page.answer(item, empty(409));
        page.answer_one(json(200, remote("mine", &values)));
        assert_eq!((parked(&page, item), page.engine.is_synced(item)), (code, code.is_none()));
    }
}

#[test]
fn a_row_that_was_made_without_telling_its_key_is_found_at_the_next_read() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1), (1, 2)]);
    page.answer(item, empty(204));
    assert_eq!(parked(&page, item), Some(Code::Uncertain));
    page.answer_all(&[("a", &[(0, 1), (1, 2), (3, 9)])]);
    assert_eq!((page.items(), parked(&page, item), page.engine.is_synced(item)), (vec![item], None, true));
}

#[test]
fn a_create_whose_answer_was_lost_waits_for_the_apps_word_if_it_wants_to_be_asked() {
    let lost = |failure: Failure| {
        let mut page = Page::start(StoreOptions { asks_uncertain: true, ..options() });
        page.answer_all(&[]);
        let item = page.create(&[(0, 1)]);
        page.answer(item, failure.answer());
        while page.network.is_empty() {
            assert!(page.wake());
        }
        assert_eq!(page.writes().len(), 0, "first the collection is read");
        (page, item)
    };
    for failure in [Failure::Unreachable, Failure::TimedOut, Failure::Cut, Failure::Status(500, None)] {
        // It may be that row: only the app can say.
        let (mut page, item) = lost(failure.clone());
        page.answer_all(&[("a", &[(0, 1), (3, 9)])]);
        assert_eq!(parked(&page, item), Some(Code::Uncertain), "{failure:?}");
        page.does(Input::Discard(item));
        page.fetch();
        page.answer_all(&[("a", &[(0, 1), (3, 9)])]);
        assert_eq!(page.items().len(), 1, "{failure:?}");
        // It is not there.
        let (mut page, item) = lost(failure.clone());
        page.answer_all(&[]);
        assert_eq!(page.write().item, item, "{failure:?}");
        page.accept(item, "a");
        assert!(page.engine.is_synced(item));
        // Nobody knows.
        let (mut page, item) = lost(failure.clone());
        page.answer_read(empty(403));
        assert_eq!(parked(&page, item), Some(Code::Uncertain), "{failure:?}");
        page.does(Input::Retry(item));
        assert_eq!(page.write().item, item, "{failure:?}");
    }
}

#[test]
fn what_the_transporter_tells_unasked_is_merged_with_edits_that_wait() {
    let (mut page, item) = opened(Policy::Local);
    page.does(Input::Pause(page.store));
    page.update(item, &[(0, 2)]);
    page.does(Input::Update {
        item,
        row: MapRow::of(&[(0, 8), (1, 8)]),
        fields: FieldSet::first(2),
        source: Source::Transporter,
    });
    page.end_turn();
    assert_eq!([0, 1].map(|field| page.value(item, field)), [Some(2), Some(8)]);
    assert_eq!(body::<()>(200, concordia::engine::outcome::Body::Empty), empty(200));
}

#[test]
fn the_app_is_asked_again_after_a_restart_if_it_has_not_decided() {
    let (mut page, item) = opened(Policy::Ask);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    assert_eq!(page.conflicts.len(), 1);
    let mut page = page.restart();
    page.answer_all(&[("a", &[(0, 8), (1, 1)])]);
    assert_eq!((page.conflicts.len(), page.writes().len()), (1, 0));
    assert_eq!(page.conflicts[0].2.base.fields(), [Some(1), None, None, None]);
    page.resolve(Resolution::Local);
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
    assert_eq!(sent(&page), (Action::Update, Some("v2".into()), [Some(2), None]));
}

#[test]
fn a_removal_while_the_app_decides_is_newer_than_its_word() {
    for resolution in [Resolution::Remote, Resolution::Values(MapRow::of(&[(0, 5)]), FieldSet::one(0))] {
        let (mut page, item) = opened(Policy::Ask);
        page.update(item, &[(0, 2)]);
        page.answer(item, empty(412));
        page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8), (1, 1)]))));
        page.remove(item);
        page.resolve(resolution);
        assert_eq!((sent(&page).0, page.items().len()), (Action::Delete, 0));
    }
}

#[test]
fn a_create_that_was_refused_as_a_duplicate_is_looked_for_once_more_when_it_is_removed() {
    for there in [true, false] {
        let mut page = Page::open();
        let item = page.create(&[(0, 1)]);
        page.answer(item, Failure::TimedOut.answer());
        while page.writes().is_empty() {
            assert!(page.wake());
        }
        page.answer(item, empty(409));
        page.answer_all(&[]);
        assert_eq!(parked(&page, item), Some(Code::Conflict));
        page.remove(item);
        let synced = page.once_synced(item);
        let rows: &[(&str, &[(usize, i64)])] = if there { &[("a", &[(0, 1)])] } else { &[] };
        page.answer_all(rows);
        if there {
            assert_eq!(page.write().key.map(|key| key.text().to_owned()), Some("a".into()));
            page.answer(item, empty(204));
        }
        assert_eq!((page.outcome(synced), page.pending().len(), page.items().len()), (Some(Ok(())), 0, 0));
    }
}

/// A page with one item `{0: 1, 1: 1}` from a list, which does not say in which state it is.
fn listed(policy: Policy) -> (Page, ItemId) {
    let mut page = Page::start(conditional(policy));
    page.answer_all(&[("a", &[(0, 1), (1, 1)])]);
    let item = page.items()[0];
    (page, item)
}

#[test]
fn the_state_that_an_answer_without_a_row_tells_is_known_only_if_nothing_else_can_have_changed() {
    let (mut page, item) = listed(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.answer(item, versioned("v2", empty(204)));
    page.update(item, &[(0, 3)]);
    assert_eq!(validator(&page.write()), None, "somebody else may have changed another field before");

    let (mut page, item) = listed(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.answer(item, versioned("v2", json(200, remote("a", &[(0, 2), (1, 1)]))));
    page.update(item, &[(0, 3)]);
    assert_eq!(validator(&page.write()), Some("v2"), "it shows them all");
    page.answer(item, versioned("v3", empty(204)));
    page.update(item, &[(0, 4)]);
    assert_eq!(validator(&page.write()), Some("v3"), "it was made on a state that was known");

    let mut page = Page::start(conditional(Policy::Local));
    page.answer_all(&[]);
    let item = page.create_with(&[(0, 1)], Some("a"));
    page.answer(item, versioned("v1", empty(201)));
    page.update(item, &[(0, 2)]);
    assert_eq!(validator(&page.write()), Some("v1"), "it was made here");
}

#[test]
fn an_answer_that_is_older_than_a_read_leaves_the_state_unknown_so_that_the_item_is_read_before_what_waits() {
    let (mut page, item) = opened(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.does(Input::FetchOne(item));
    page.end_turn();
    page.answer_one(versioned("v9", json(200, remote("a", &[(0, 1), (1, 7)]))));
    page.update(item, &[(0, 3)]);
    page.answer(item, versioned("v2", json(200, remote("a", &[(0, 2), (1, 1)]))));
    assert_eq!(page.value(item, 1), Some(7), "the read is newer");
    assert_eq!((page.writes().len(), reads_one(&page)), (0, 1));
    page.answer_one(versioned("v10", json(200, remote("a", &[(0, 2), (1, 7)]))));
    assert_eq!(sent(&page), (Action::Update, Some("v10".into()), [Some(3), None]));
}

#[test]
fn a_list_that_has_crossed_a_read_of_the_item_is_no_reason_to_believe_that_its_row_is_the_state_of_that() {
    let (mut page, item) = opened(Policy::Local);
    page.does(Input::FetchOne(item));
    page.fetch();
    page.end_turn();
    page.answer_one(versioned("v9", json(200, remote("a", &[(0, 1), (1, 7)]))));
    // The server wrote it before "v9".
    page.answer_all(&[("a", &[(0, 1), (1, 1)])]);
    assert_eq!(reads_one(&page), 1, "it is asked for once more");
    page.update(item, &[(0, 5)]);
    assert_eq!(validator(&page.write()), None, "nobody knows which state that row is");
    page.answer(item, versioned("v10", json(200, remote("a", &[(0, 5), (1, 7)]))));
    page.answer_one(versioned("v10", json(200, remote("a", &[(0, 5), (1, 7)]))));
    assert_eq!(page.value(item, 1), Some(7));

    page.fetch();
    page.answer_all(&[("a", &[(0, 5), (1, 8)])]);
    page.update(item, &[(0, 3)]);
    assert_eq!(validator(&page.write()), Some("v10"), "a list that was asked for later can only be newer");
}

#[test]
fn who_removes_a_create_that_met_a_row_of_somebody_else_deletes_nothing_there() {
    let mut page = Page::open();
    let item = page.create_with(&[(0, 1)], Some("a"));
    page.answer(item, empty(409));
    page.answer_one(json(200, remote("a", &[(0, 7)])));
    assert_eq!(parked(&page, item), Some(Code::Conflict));
    page.remove(item);
    assert!(page.network.is_empty() && page.items().is_empty(), "{:?}", page.network);
}

#[test]
fn a_read_that_was_asked_for_before_an_edit_was_contradicted_does_not_decide_about_it() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1), (1, 1)]);
    page.does(Input::FetchOne(item));
    page.end_turn();
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(409));
    assert_eq!(reads_one(&page), 2);
    page.answer_one(json(200, remote("a", &[(0, 1), (1, 1)])));
    assert!(page.writes().is_empty());
    page.answer_one(json(200, remote("a", &[(0, 1), (1, 7)])));
    assert_eq!((page.value(item, 0), page.value(item, 1), page.writes().len()), (Some(2), Some(7), 1));
}

#[test]
fn without_states_the_same_contradiction_of_the_same_row_is_final_and_of_another_row_is_not() {
    let contradicted = |first: i64, second: i64| {
        let mut page = Page::open();
        let item = page.settled_item("a", &[(0, 1), (1, 1)]);
        page.update(item, &[(0, 2)]);
        page.answer(item, empty(409));
        page.answer_one(json(200, remote("a", &[(0, 1), (1, first)])));
        page.answer(item, empty(409));
        page.answer_one(json(200, remote("a", &[(0, 1), (1, second)])));
        (page.writes().len(), parked(&page, item))
    };
    assert_eq!(contradicted(1, 1), (0, Some(Code::Conflict)));
    assert_eq!(contradicted(5, 5), (0, Some(Code::Conflict)));
    assert_eq!(contradicted(5, 6), (1, None), "somebody is at it");
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(409));
    page.answer_one(json(200, remote("a", &[(0, 5)])));
    page.answer(item, empty(409));
    page.answer_one(json(200, remote("a", &[(0, 6)])));
    assert_eq!(page.writes().len(), 1, "it is the very field that others change");
}

#[test]
fn a_create_whose_answer_was_lost_is_not_sent_again_on_the_word_of_a_read_that_may_leave_it_out() {
    let mut page = Page::start(StoreOptions { asks_uncertain: true, ..options() });
    page.answer_all(&[]);
    let item = page.create(&[(0, 1)]);
    page.answer(item, Failure::TimedOut.answer());
    page.answer_read(json(200, rows(false, Cursor::Kept)));
    assert_eq!((parked(&page, item), page.writes().len()), (Some(Code::Uncertain), 0));
}

fn rows(complete: bool, cursor: Cursor) -> Rows<MapRow> {
    Rows { rows: Vec::new(), complete, deleted: Vec::new(), problem: None, next: Next::None, cursor }
}

#[test]
fn what_looks_for_a_create_reads_everything_and_what_decides_about_a_row_leaves_the_cursor_alone() {
    let mut page = Page::start(options());
    page.answer_read(json(200, rows(true, Cursor::At("1".into()))));
    let known = page.settled_item("a", &[(0, 1)]);
    page.update(known, &[(0, 2)]);
    page.answer(known, empty(409));
    assert!(page.cursors.values().eq(["1"]), "{:?}", page.cursors);
    page.answer_one(json(200, remote("a", &[(0, 2)])));
    let unknown = page.create(&[(0, 3)]);
    page.answer(unknown, empty(409));
    assert_eq!(page.readings.last().map(|reading| reading.cursor.clone()), Some(None));
}

#[test]
fn a_transporter_that_says_what_the_server_holds_does_not_say_which_of_its_rows_a_create_has_met() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    let said = Some(Said { message: "duplicate".into(), status: None });
    let Answer::Response(response) = json(409, remote("a", &[(0, 7)])) else { unreachable!() };
    page.answer(item, Answer::Response(Response { said, ..response }));
    assert!(matches!(page.network[0].what, Asked::All), "{:?}", page.network);
    assert_eq!(parked(&page, item), None);
}

#[test]
fn a_read_before_an_edit_that_fails_is_not_repeated_at_once_because_the_item_is_edited_again() {
    let (mut page, item, _) = edited_in_an_outage();
    page.does(Input::NetworkHinted);
    page.answer_any(&page.network[0].clone(), &Failure::Status(500, None));
    while page.network.iter().any(|leaving| matches!(leaving.what, Asked::One(_))) {
        page.answer_one(Failure::Status(500, None).answer());
    }
    page.update(item, &[(0, 3)]);
    assert_eq!(reads_one(&page), 0, "{:?}", page.network);
}

#[test]
fn what_had_not_left_when_an_outage_began_is_read_before_it_is_sent() {
    let mut page = Page::start(conditional(Policy::Local));
    let keys: Vec<_> = (0..7).map(|number| number.to_string()).collect();
    let listed: Vec<(&str, &[(usize, i64)])> = keys.iter().map(|key| (key.as_str(), &[(0, 1), (1, 1)][..])).collect();
    page.answer_all(&listed);
    let items = page.items();
    items.iter().for_each(|item| page.update(*item, &[(0, 2)]));
    assert_eq!(page.writes().len(), 6, "the last waits for a lane");
    page.answer(items[0], Failure::Unreachable.answer());
    for place in 1..6 {
        page.answer(items[place], versioned("v2", json(200, remote(&keys[place], &[(0, 2), (1, 1)]))));
    }
    assert!(page.writes().iter().all(|request| request.item != items[6]), "{:?}", page.network);
    assert_eq!(reads_one(&page), 1);
}

#[test]
fn after_one_row_without_a_state_no_other_is_read_for_one() {
    let mut page = Page::start(conditional(Policy::Local));
    page.answer_all(&[("a", &[(0, 1)]), ("b", &[(0, 1)])]);
    let [one, other] = page.items()[..] else { panic!("{:?}", page.items()) };
    page.does(Input::Lost(page.store));
    page.update(one, &[(0, 2)]);
    page.update(other, &[(0, 2)]);
    page.does(Input::NetworkHinted);
    while reads_one(&page) == 0 {
        if page.network.is_empty() {
            assert!(page.wake());
        } else {
            page.answer_all(&[("a", &[(0, 1)]), ("b", &[(0, 1)])]);
        }
    }
    page.answer_one(json(200, remote("a", &[(0, 1)])));
    assert_eq!(page.writes().len(), 2, "nobody waits for the other read: {:?}", page.network);
}

#[test]
fn what_was_sent_before_an_outage_is_sent_again_without_a_look_whatever_was_edited_since() {
    let (mut page, item) = listed(Policy::Local);
    page.update(item, &[(0, 2)]);
    page.answer(item, Failure::Unreachable.answer());
    page.update(item, &[(0, 3)]);
    page.does(Input::NetworkHinted);
    assert_eq!((reads_one(&page), page.write().row.get(0)), (0, Some(2)));
}

#[test]
fn a_cursor_does_not_move_past_a_row_of_an_item_about_which_the_app_decides() {
    let mut page = Page::start(conditional(Policy::Ask));
    let listed = |complete, cursor: &str| Rows {
        rows: vec![remote("a", &[(0, 1)])],
        ..rows(complete, Cursor::At(cursor.into()))
    };
    page.answer_read(json(200, listed(true, "1")));
    let item = page.items()[0];
    page.update(item, &[(0, 2)]);
    page.answer(item, empty(412));
    page.answer_one(versioned("v2", json(200, remote("a", &[(0, 8)]))));
    assert_eq!(page.conflicts.len(), 1);
    page.fetch();
    page.answer_read(json(200, listed(false, "2")));
    assert_eq!(page.cursors.get(&0).map(String::as_str), Some("1"));
}

/// Its own answer says what became of it.
#[test]
fn what_is_read_while_an_edit_is_on_its_way_is_no_conflict() {
    for policy in [Policy::Remote, Policy::Ask] {
        let (mut page, item) = opened(policy);
        page.update(item, &[(0, 5)]);
        page.fetch();
        page.answer_all(&[("a", &[(0, 9)])]);
        assert!(page.conflicts.is_empty(), "the app is asked: {:?}", page.conflicts);
        assert_eq!(page.value(item, 0), Some(5));
    }
}
