//! Reads of the collection that are made in more than one way, and what a server tells without being asked.

use concordia::engine::{
    Connection,
    error::Code,
    id::Key,
    input::{Cursor, Input, Next, Rows},
    lifecycle::Action,
    outcome::Answer,
    output::Reading,
};

use crate::page::{Page, empty, json, options, remote};
use crate::row::MapRow;

fn told(keys: &[(&str, i64)], deleted: &[&str]) -> Rows<MapRow> {
    Rows {
        rows: keys.iter().map(|(key, value)| remote(key, &[(0, *value)])).collect(),
        complete: false,
        deleted: deleted.iter().map(|key| Key::new(key, false)).collect(),
        problem: None,
        next: Next::None,
        cursor: Cursor::Kept,
    }
}

#[test]
fn only_the_first_read_of_an_empty_store_is_an_initial_one() {
    let mut page = Page::start(options());
    page.answer_all(&[("a", &[(0, 1)])]);
    page.fetch();
    page.answer_all(&[("a", &[(0, 1)])]);
    let mut page = page.restart();
    page.answer_all(&[("a", &[(0, 1)])]);
    let usual = Reading::default();
    assert_eq!(page.readings, std::slice::from_ref(&usual), "after a restart there are rows");
    let mut fresh = Page::start(options());
    fresh.answer_all(&[]);
    fresh.fetch();
    assert_eq!(fresh.readings, [Reading { initial: true, ..usual.clone() }, usual]);
}

#[test]
fn a_read_in_a_way_of_its_own_serves_nobody_else_and_is_served_by_no_other() {
    let mut page = Page::open();
    let (usual, first, second) = (page.fetch(), page.fetch_own(), page.fetch_own());
    assert_eq!(page.readings.last().map(|reading| reading.own), Some(None));
    page.answer_all(&[]);
    assert_eq!((page.outcome(usual), page.outcome(first)), (Some(Ok(())), None));
    assert_eq!(page.readings.last().and_then(|reading| reading.own), Some(first));
    page.answer_all(&[]);
    assert_eq!((page.outcome(first), page.outcome(second)), (Some(Ok(())), None));
    assert_eq!(page.readings.last().and_then(|reading| reading.own), Some(second));
    page.answer_all(&[]);
    assert_eq!(page.outcome(second), Some(Ok(())));
    assert!(page.network.is_empty());
}

#[test]
fn keys_that_an_answer_says_were_deleted_take_their_items_along_but_no_edits() {
    let mut page = Page::open();
    let settled = page.settled_item("a", &[(0, 1)]);
    let kept = page.settled_item("b", &[(0, 1)]);
    let edited = page.settled_item("c", &[(0, 1)]);
    page.update(edited, &[(0, 2)]);
    page.fetch();
    page.answer_read(json(200, told(&[], &["a", "c", "unknown"])));
    assert_eq!(page.items(), [kept, edited]);
    assert!(page.engine.row(settled).is_none());
    assert_eq!(page.value(edited, 0), Some(2));
}

#[test]
fn what_the_server_tells_unasked_is_merged_and_deletes_nothing_that_it_does_not_name() {
    let mut page = Page::open();
    let one = page.settled_item("a", &[(0, 1), (1, 1)]);
    let other = page.settled_item("b", &[(0, 1)]);
    page.does(Input::Heard(page.store, told(&[("a", 5), ("new", 7)], &["b"])));
    assert_eq!(page.value(one, 0), Some(5));
    assert!(page.engine.row(other).is_none());
    let new = page.engine.find_by_remote_key(page.store, &Key::new("new", false)).expect("a new item");
    assert_eq!(page.value(new, 0), Some(7));
}

#[test]
fn what_the_server_tells_unasked_takes_no_edited_field_back() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1), (1, 1)]);
    page.update(item, &[(1, 9)]);
    page.does(Input::Heard(page.store, told(&[("a", 5)], &[])));
    assert_eq!(page.value(item, 1), Some(9));
    page.accept(item, "a");
    assert_eq!(page.value(item, 1), Some(9));
}

#[test]
fn an_edit_whose_item_the_server_says_is_deleted_is_kept_as_gone() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    page.does(Input::Pause(page.store));
    page.update(item, &[(0, 2)]);
    page.does(Input::Heard(page.store, told(&[], &["a"])));
    assert_eq!(page.engine.parked(item).map(|fault| fault.code), Some(Code::GoneRemotely));
}

#[test]
fn an_endpoint_that_is_known_to_be_back_is_read_though_nothing_waits() {
    let mut page = Page::open();
    page.fetch();
    page.answer_read(Answer::Unreachable { message: "no".into() });
    assert_eq!(page.status().connection, Connection::Offline);
    assert!(page.network.is_empty());
    page.does(Input::Reachable(page.store));
    page.answer_all(&[("a", &[(0, 1)])]);
    assert_eq!((page.status().connection, page.items().len()), (Connection::Online, 1));
}

#[test]
fn what_one_answer_changes_and_deletes_is_gone_and_told_to_be_nothing_else() {
    let mut page = Page::open();
    page.settled_item("a", &[(0, 1)]);
    let kept = page.settled_item("b", &[(0, 1)]);
    page.fetch();
    page.answer_read(json(200, told(&[("a", 5), ("b", 6)], &["a"])));
    assert_eq!((page.items(), page.value(kept, 0)), (vec![kept], Some(6)));
}

#[test]
fn what_went_during_a_read_keeps_away_its_own_row_alone() {
    let mut page = Page::open();
    page.settled_item("a", &[(0, 1)]);
    page.fetch();
    page.does(Input::Heard(page.store, told(&[], &["a"])));
    page.answer_all(&[("a", &[(0, 1)]), ("b", &[(0, 2)])]);
    let values: Vec<_> = page.items().iter().map(|item| page.value(*item, 0)).collect();
    assert_eq!(values, [Some(2)]);
}

#[test]
fn a_deletion_elsewhere_leaves_an_edit_that_is_on_its_way_to_its_own_answer() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    page.update(item, &[(0, 2)]);
    let key = page.write().idempotency_key;
    page.update(item, &[(0, 3)]);
    page.does(Input::Heard(page.store, told(&[], &["a"])));
    assert_eq!((page.engine.parked(item), page.pending()[0].idempotency_key), (None, key));
    page.accept(item, "a");
    assert_eq!(page.write().row.get(0), Some(3));
}

#[test]
fn a_row_that_looks_like_a_create_which_never_left_or_was_refused_is_somebody_elses() {
    let mut page = Page::open();
    page.slow_disk = true;
    page.create(&[(0, 1)]);
    page.does(Input::Heard(page.store, told(&[("a", 1)], &[])));
    assert_eq!(page.items().len(), 2, "it is still being stored");

    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, empty(422));
    page.does(Input::Heard(page.store, told(&[("a", 1)], &[])));
    assert_eq!(page.items().len(), 2, "it was refused");
}

/// What has left cannot be given up.
#[test]
fn the_removal_of_an_item_that_was_never_here_stands_when_it_has_left() {
    let mut page = Page::open();
    let item = page.find_or_fetch("7");
    page.remove(item);
    assert_eq!(page.write().action, Action::Delete);
    page.does(Input::Discard(item));
    assert_eq!((page.items(), page.pending().len()), (Vec::new(), 1));
    page.answer(item, empty(204));
    assert_eq!((page.items(), page.pending().len()), (Vec::new(), 0));
}
