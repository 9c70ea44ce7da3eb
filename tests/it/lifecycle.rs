//! How edits of one item become requests: what coalesces, and what is frozen.

use concordia::engine::{
    error::Code,
    id::ItemId,
    input::Input,
    lifecycle::{Action, COALESCE, Coalesced, coalesce},
    row::FieldSet,
};

use crate::page::{Failure, Page};
use crate::row::FIELDS;

const ACTIONS: [Action; 3] = [Action::Create, Action::Update, Action::Delete];

#[test]
fn the_table_lists_every_combination_once() {
    let pending = [None, Some(Action::Create), Some(Action::Update), Some(Action::Delete)];
    assert_eq!(COALESCE.len(), pending.len() * ACTIONS.len());
    for before in pending {
        for new in ACTIONS {
            let rows = COALESCE.iter().filter(|(b, n, _)| *b == before && *n == new);
            assert_eq!(rows.clone().count(), 1, "{before:?} {new:?}");
            assert_eq!(rows.map(|(_, _, result)| *result).next(), Some(coalesce(before, new)));
        }
    }
}

/// A page whose store is paused, and an item that has this to say and has not said it.
fn unsent(pending: Option<Action>) -> (Page, ItemId) {
    let mut page = Page::open();
    let store = page.store;
    if pending == Some(Action::Create) {
        page.does(Input::Pause(store));
        let item = page.create(&[(0, 1), (1, 1)]);
        return (page, item);
    }
    let item = page.settled_item("a", &[(0, 1), (1, 1)]);
    page.does(Input::Pause(store));
    match pending {
        None | Some(Action::Create) => {}
        Some(Action::Update) => page.update(item, &[(0, 2)]),
        Some(Action::Delete) => page.remove(item),
    }
    (page, item)
}

#[test]
fn before_its_first_attempt_an_edit_coalesces_as_the_table_says() {
    // An item is not created twice: that column is the app making another item.
    for (before, new, expected) in COALESCE.into_iter().filter(|(_, new, _)| *new != Action::Create) {
        let (mut page, item) = unsent(before);
        let result = match new {
            Action::Create | Action::Update => page.tries_update(item, &[(1, 3)]),
            Action::Delete => {
                page.tries(Input::Remove { item, source: concordia::engine::input::Source::State }).map(drop)
            }
        };
        page.end_turn();
        let actions: Vec<Action> = page.pending().iter().map(|edit| edit.action).collect();
        match expected {
            Coalesced::Edit(action) => assert_eq!(actions, [action], "{before:?} {new:?}"),
            Coalesced::Vanished => {
                assert_eq!(actions, [], "{before:?} {new:?}");
                assert!(page.disk.is_empty(), "{:?}", page.disk);
            }
            Coalesced::Refused => {
                assert_eq!(result.map_err(|fault| fault.code), Err(Code::Removed), "{before:?} {new:?}")
            }
        }
    }
}

#[test]
fn updates_before_the_first_attempt_leave_as_one_request_with_all_their_fields() {
    let (mut page, item) = unsent(Some(Action::Update));
    page.update(item, &[(2, 5)]);
    page.does(Input::Resume(page.store));
    let request = page.write();
    assert_eq!(request.action, Action::Update);
    assert_eq!(request.fields.iter().collect::<Vec<_>>(), [0, 2]);
    assert_eq!((request.row.get(0), request.row.get(2)), (Some(2), Some(5)));
}

#[test]
fn an_edit_made_while_a_request_is_in_flight_becomes_a_follow_up_with_another_key() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    let first = page.write();
    page.update(item, &[(0, 2)]);
    assert_eq!(page.writes().len(), 1, "one request in flight per item");
    page.accept(item, "a");
    let second = page.write();
    assert_eq!((first.action, second.action), (Action::Create, Action::Update));
    assert_eq!((first.row.get(0), second.row.get(0)), (Some(1), Some(2)));
    assert_ne!(first.idempotency_key, second.idempotency_key);
    assert_eq!(page.value(item, 0), Some(2), "the answer to the first does not take back the second");
}

#[test]
fn a_retry_carries_the_same_key_and_payload_whatever_was_edited_since() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    let first = page.write();
    page.update(item, &[(0, 2), (1, 9)]);
    page.answer(item, Failure::TimedOut.answer());
    while page.writes().is_empty() {
        assert!(page.wake());
    }
    let again = page.write();
    assert_eq!(again.idempotency_key, first.idempotency_key);
    assert_eq!(again.row.fields(), [Some(1), None, None, None]);
}

#[test]
fn with_whole_rows_a_retry_keeps_even_the_fields_that_the_server_has_changed_since() {
    let mut page = Page::start(concordia::engine::input::StoreOptions { patches: false, ..crate::page::options() });
    page.answer_all(&[("a", &[(0, 1), (1, 1)])]);
    let item = page.items()[0];
    page.update(item, &[(0, 2)]);
    let first = page.write();
    page.fetch();
    page.answer_all(&[("a", &[(0, 1), (1, 7)])]);
    assert_eq!(page.value(item, 1), Some(7));
    page.answer(item, Failure::TimedOut.answer());
    while page.writes().is_empty() {
        assert!(page.wake());
    }
    assert_eq!(page.write().row.fields(), first.row.fields(), "one key, one payload");
}

#[test]
fn actions_are_found_by_the_names_that_pages_and_records_use() {
    let names = ["create", "update", "delete"];
    assert_eq!(ACTIONS.map(Action::name), names);
    assert_eq!(names.map(Action::from_name), ACTIONS.map(Some));
    assert_eq!(Action::from_name("Create"), None);
}

#[test]
fn with_whole_rows_an_update_sends_every_field_and_else_those_that_were_edited() {
    for patches in [false, true] {
        let mut page = Page::start(concordia::engine::input::StoreOptions { patches, ..crate::page::options() });
        page.answer_all(&[("a", &[(0, 1), (1, 1)])]);
        let item = page.items()[0];
        page.update(item, &[(0, 2)]);
        let fields = page.write().fields;
        assert_eq!(fields, if patches { FieldSet::one(0) } else { FieldSet::first(FIELDS) });
    }
}
