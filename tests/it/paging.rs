//! Reads that come page after page, and reads that go on where an earlier one ended.

use concordia::engine::{
    error::{Code, StorageFailure},
    id::{ItemId, Key},
    input::{Cursor, Input, Next, Rows, StoreOptions},
    outcome::{Answer, Body, Response},
    output::Reading,
    time::Millis,
};

use crate::page::{Failure, Page, empty, json, options, remote};
use crate::row::MapRow;

/// A page of a collection.
fn rows(keys: &[&str], next: Option<&str>) -> Rows<MapRow> {
    Rows {
        rows: keys.iter().map(|key| remote(key, &[(0, 1)])).collect(),
        complete: true,
        deleted: Vec::new(),
        problem: None,
        next: next.map_or(Next::None, |next| Next::Page(next.into())),
        cursor: Cursor::Kept,
    }
}

/// What has changed since a cursor.
fn delta(keys: &[&str], deleted: &[&str], cursor: &str) -> Rows<MapRow> {
    let deleted = deleted.iter().map(|key| Key::new(key, false)).collect();
    Rows { complete: false, deleted, cursor: Cursor::At(cursor.into()), ..rows(keys, None) }
}

fn unchanged() -> Answer<Rows<MapRow>> {
    empty(304)
}

/// A page whose store has the rows a, b and c, which came as a whole.
fn known() -> Page {
    let mut page = Page::start(options());
    page.answer_read(json(200, rows(&["a", "b", "c"], None)));
    page
}

fn keys(page: &Page) -> Vec<String> {
    let key = |id: ItemId| page.engine.row(id).and_then(MapRow::remote_key).map(|key| key.text().to_owned());
    page.items().into_iter().filter_map(key).collect()
}

fn page_asked(page: &Page) -> Option<String> {
    page.readings.last().and_then(|reading| reading.page.clone())
}

fn cursor_asked(page: &Page) -> Option<String> {
    page.readings.last().and_then(|reading| reading.cursor.clone())
}

#[test]
fn a_read_goes_from_page_to_page_and_ends_with_the_last() {
    let mut page = Page::start(options());
    let loaded = page.once_loaded();
    page.answer_read(json(200, rows(&["a", "b"], Some("2"))));
    assert_eq!((page_asked(&page).as_deref(), page.outcome(loaded)), (Some("2"), None));
    page.answer_read(json(200, rows(&["c", "d"], Some("3"))));
    page.answer_read(json(200, rows(&["e"], None)));
    assert_eq!(keys(&page), ["a", "b", "c", "d", "e"]);
    assert_eq!(page.outcome(loaded), Some(Ok(())));
    assert!(page.network.is_empty(), "{:?}", page.network);
}

#[test]
fn what_is_on_none_of_all_pages_was_deleted_elsewhere() {
    let mut page = known();
    page.fetch();
    page.answer_read(json(200, rows(&["c"], Some("2"))));
    assert_eq!(keys(&page), ["a", "b", "c"], "nothing goes before the last page");
    page.answer_read(json(200, rows(&["a"], None)));
    assert_eq!(keys(&page), ["a", "c"]);
}

#[test]
fn a_page_that_fails_deletes_nothing_keeps_those_before_it_and_is_where_the_next_fetch_goes_on() {
    let mut page = known();
    let first = page.fetch();
    page.answer_read(json(200, rows(&["d"], Some("2"))));
    page.answer_read(Failure::Status(500, None).answer());
    assert_eq!(page.outcome(first), Some(Err(Code::Server)));
    assert_eq!(keys(&page), ["a", "b", "c", "d"]);
    let second = page.fetch();
    assert_eq!(page_asked(&page).as_deref(), Some("2"));
    page.answer_read(json(200, rows(&["e"], None)));
    assert_eq!(page.outcome(second), Some(Ok(())));
    assert_eq!(keys(&page), ["a", "b", "c", "d", "e"], "a read with a gap proves nothing");
    page.fetch();
    assert_eq!(page_asked(&page), None);
    page.answer_read(json(200, rows(&["d", "e"], None)));
    assert_eq!(keys(&page), ["d", "e"]);
}

#[test]
fn a_first_read_whose_page_fails_goes_on_by_itself() {
    let mut page = Page::start(options());
    page.answer_read(json(200, rows(&["a"], Some("2"))));
    page.answer_read(Answer::TimedOut);
    while page.network.is_empty() {
        assert!(page.wake());
    }
    assert_eq!(page_asked(&page).as_deref(), Some("2"));
    page.answer_read(json(200, rows(&["b"], None)));
    assert_eq!(keys(&page), ["a", "b"]);
}

#[test]
fn a_page_that_is_refused_twice_is_given_up_and_the_read_begins_anew() {
    let mut page = known();
    page.fetch();
    page.answer_read(json(200, rows(&["a"], Some("old"))));
    page.answer_read(Failure::Status(410, None).answer());
    let again = page.fetch();
    assert_eq!(page_asked(&page).as_deref(), Some("old"));
    page.answer_read(Failure::Status(410, None).answer());
    assert_eq!(page.outcome(again), Some(Err(Code::NotFound)));
    page.fetch();
    assert_eq!(page_asked(&page), None);
}

#[test]
fn pages_that_lead_in_a_circle_end_with_a_bad_answer() {
    let mut page = known();
    let fetched = page.fetch();
    page.answer_read(json(200, rows(&["a"], Some("2"))));
    page.answer_read(json(200, rows(&["b"], Some("1"))));
    page.answer_read(json(200, rows(&["a"], Some("2"))));
    assert_eq!(page.outcome(fetched), Some(Err(Code::BadAnswer)));
    assert_eq!(page.status().last_error.map(|fault| fault.code), Some(Code::BadAnswer));
    assert_eq!(keys(&page), ["a", "b", "c"]);
    assert!(page.network.is_empty());
}

#[test]
fn pages_without_end_are_given_up() {
    let mut page = Page::start(options());
    let mut pages = 0;
    while !page.network.is_empty() {
        pages += 1;
        page.said.clear();
        page.readings.clear();
        page.answer_read(json(200, rows(&["a"], Some(&pages.to_string()))));
    }
    assert_eq!(pages, concordia::engine::config::MAX_PAGES + 1);
    assert_eq!(page.status().last_error.map(|fault| fault.code), Some(Code::BadAnswer));
}

#[test]
fn a_next_page_that_cannot_be_asked_for_ends_the_read_with_a_bad_answer() {
    let mut page = known();
    let fetched = page.fetch();
    page.answer_read(json(200, Rows { next: Next::Refused, ..rows(&["d"], None) }));
    assert_eq!(page.outcome(fetched), Some(Err(Code::BadAnswer)));
    assert_eq!(keys(&page), ["a", "b", "c", "d"]);
}

#[test]
fn a_row_that_was_left_out_of_one_page_is_still_told_after_the_others_and_nothing_is_deleted() {
    let mut page = known();
    page.fetch();
    let problem = Some(concordia::engine::error::Fault::new(Code::BadAnswer, "1 of 2 rows were left out"));
    page.answer_read(json(200, Rows { problem, ..rows(&["a"], Some("2")) }));
    page.answer_read(json(200, rows(&["b"], None)));
    assert_eq!(page.status().last_error.map(|fault| fault.code), Some(Code::BadAnswer));
    assert_eq!(keys(&page), ["a", "b", "c"]);
}

#[test]
fn a_fetch_in_the_middle_of_a_read_is_served_by_another_one() {
    let mut page = known();
    page.fetch();
    page.answer_read(json(200, rows(&["a"], Some("2"))));
    let late = page.fetch();
    page.answer_read(json(200, rows(&["b"], None)));
    assert_eq!((page.outcome(late), page_asked(&page)), (None, None));
    page.answer_read(json(200, rows(&["a"], None)));
    assert_eq!(page.outcome(late), Some(Ok(())));
}

#[test]
fn a_read_in_a_way_of_its_own_has_pages_of_its_own() {
    let mut page = known();
    let own = page.fetch_own();
    page.answer_read(json(200, Rows { complete: false, ..rows(&["d"], Some("own 2")) }));
    let last = page.readings.last().cloned();
    assert_eq!(last, Some(Reading { own: Some(own), page: Some("own 2".into()), ..Reading::default() }));
    page.answer_read(json(200, rows(&["e"], None)));
    assert_eq!(page.outcome(own), Some(Ok(())));
    page.fetch();
    assert_eq!(page.readings.last(), Some(&Reading::default()));
}

#[test]
fn an_item_that_was_edited_or_created_during_a_read_of_pages_does_not_go() {
    let mut page = known();
    page.fetch();
    page.answer_read(json(200, rows(&["c"], Some("2"))));
    let [a, ..] = page.items()[..] else { panic!() };
    page.update(a, &[(0, 7)]);
    let new = page.create(&[(0, 8)]);
    page.accept(new, "new");
    page.accept(a, "a");
    page.answer_read(json(200, rows(&[], None)));
    assert_eq!(keys(&page), ["a", "c", "new"]);
    assert_eq!((page.value(a, 0), page.value(new, 0)), (Some(7), Some(8)));
}

#[test]
fn a_cursor_is_kept_with_its_rows_and_is_where_the_next_page_load_goes_on() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("7".into()), ..rows(&["a", "b"], None) }));
    assert_eq!(page.cursors.get(&0).map(String::as_str), Some("7"));
    let mut page = page.restart();
    assert_eq!(cursor_asked(&page).as_deref(), Some("7"));
    page.answer_read(json(200, delta(&["c"], &["a"], "9")));
    assert_eq!(keys(&page), ["b", "c"]);
    let page = page.restart();
    assert_eq!(cursor_asked(&page).as_deref(), Some("9"));
    assert_eq!(keys(&page), ["b", "c"]);
}

#[test]
fn a_cursor_is_never_written_before_the_rows_that_it_covers() {
    let mut page = Page::start(options());
    page.slow_disk = true;
    page.answer_read(json(200, Rows { cursor: Cursor::At("7".into()), ..rows(&["a"], Some("2")) }));
    page.answer_read(json(200, rows(&["b"], None)));
    assert_eq!(page.batches.len(), 2, "the second page does not wait for the first");
    page.abort(StorageFailure::Aborted("test".into()));
    let (command, _) = page.batches.pop_front().unwrap_or_else(|| panic!("there is no batch"));
    page.does(Input::Persisted(command, Ok(())));
    // With the rows that were not written the first time.
    page.commit();
    assert_eq!(page.cursors.get(&0).map(String::as_str), Some("7"));
    assert!(page.disk.keys().count() >= 1);
}

#[test]
fn the_first_cursor_of_a_read_of_pages_counts() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("first".into()), ..rows(&["a"], Some("2")) }));
    assert!(page.cursors.is_empty());
    page.answer_read(json(200, Rows { cursor: Cursor::At("last".into()), ..rows(&["b"], None) }));
    assert_eq!(page.cursors.get(&0).map(String::as_str), Some("first"));
}

#[test]
fn what_is_missing_from_an_answer_to_a_cursor_stays() {
    let mut page = known();
    page.fetch();
    page.answer_read(json(200, delta(&[], &[], "1")));
    page.fetch();
    page.answer_read(json(200, delta(&["d"], &[], "2")));
    assert_eq!(keys(&page), ["a", "b", "c", "d"]);
}

#[test]
fn not_modified_changes_nothing_and_counts_as_an_answer() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("tag".into()), ..rows(&["a", "b"], None) }));
    let mut page = page.restart();
    let loaded = page.once_loaded();
    page.answer_read(unchanged());
    assert_eq!((page.outcome(loaded), keys(&page)), (Some(Ok(())), vec!["a".into(), "b".into()]));
    assert!(page.status().last_error.is_none());
    page.fetch();
    assert_eq!(cursor_asked(&page).as_deref(), Some("tag"));
}

#[test]
fn not_modified_to_somebody_who_has_shown_nothing_is_a_bad_answer() {
    let mut page = Page::open();
    let fetched = page.fetch();
    page.answer_read(unchanged());
    assert_eq!(page.outcome(fetched), Some(Err(Code::BadAnswer)));
}

#[test]
fn an_answer_that_says_so_begins_anew() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("tag".into()), ..rows(&["a"], None) }));
    page.fetch();
    page.answer_read(json(200, Rows { cursor: Cursor::Dropped, ..rows(&["a"], None) }));
    assert!(page.cursors.is_empty());
    page.fetch();
    assert_eq!(cursor_asked(&page), None);
}

#[test]
fn a_cursor_does_not_move_past_a_row_that_was_left_out() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("1".into()), ..rows(&["a"], None) }));
    page.fetch();
    let problem = Some(concordia::engine::error::Fault::new(Code::BadAnswer, "1 of 2 rows were left out"));
    page.answer_read(json(200, Rows { problem, ..delta(&["b"], &[], "2") }));
    page.fetch();
    assert_eq!(cursor_asked(&page).as_deref(), Some("1"));
}

#[test]
fn a_cursor_does_not_move_past_a_row_that_was_passed_over_for_a_newer_edit() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("1".into()), ..rows(&["a"], None) }));
    page.fetch();
    let [item] = page.items()[..] else { panic!() };
    page.update(item, &[(0, 9)]);
    let told = remote("a", &[(0, 5), (1, 5)]);
    page.answer_read(json(200, Rows { rows: vec![told], ..delta(&[], &[], "2") }));
    assert_eq!(page.value(item, 0), Some(9));
    page.accept(item, "a");
    page.fetch();
    assert_eq!(cursor_asked(&page).as_deref(), Some("1"));
}

#[test]
fn a_read_that_went_on_behind_a_gap_takes_its_cursor_only_if_nothing_may_have_been_deleted() {
    let cursor = || Cursor::At("1".into());
    let interrupted = |mut page: Page| {
        page.fetch();
        page.answer_read(json(200, Rows { cursor: cursor(), ..rows(&["a"], Some("2")) }));
        page.answer_read(Answer::TimedOut);
        page.fetch();
        page.answer_read(json(200, rows(&["b"], None)));
        page.fetch();
        cursor_asked(&page)
    };
    assert_eq!(interrupted(Page::open()).as_deref(), Some("1"));
    assert_eq!(interrupted(known()), None, "c may have been deleted");
}

#[test]
fn rows_that_cannot_be_read_again_take_their_cursor_along() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("1".into()), ..rows(&["a"], None) }));
    page.disk.clear();
    let mut page = page.restart();
    assert_eq!(cursor_asked(&page), None);
    page.end_turn();
    assert!(page.cursors.is_empty());
}

#[test]
fn the_pages_of_a_read_wait_as_the_server_asks() {
    let mut page = known();
    let fetched = page.fetch();
    page.answer_read(json(200, rows(&["a"], Some("2"))));
    page.answer_read(Failure::Status(429, Some("30")).answer());
    assert_eq!(page.outcome(fetched), Some(Err(Code::Server)));
    let asked = page.now;
    page.fetch();
    assert!(page.network.is_empty());
    while page.network.is_empty() && page.wake() {}
    assert!(page.network.is_empty() || page.now >= asked.after(Millis(30_000)));
}

#[test]
fn a_body_without_rows_deletes_nothing() {
    for answer in [empty(200), empty(204), crate::page::body(200, Body::Malformed)] {
        let mut page = known();
        let fetched = page.fetch();
        page.answer_read(answer);
        assert!(page.outcome(fetched).is_some_and(|result| result.is_err()));
        assert_eq!(keys(&page), ["a", "b", "c"]);
    }
}

#[test]
fn an_empty_list_that_is_complete_deletes_what_has_no_edit() {
    let mut page = known();
    let [a, ..] = page.items()[..] else { panic!() };
    page.does(Input::Pause(page.store));
    page.update(a, &[(0, 2)]);
    page.does(Input::Resume(page.store));
    page.answer(a, Failure::Status(500, None).answer());
    page.fetch();
    let Answer::Response(response) = json(200, rows(&[], None)) else { unreachable!() };
    page.answer_read(Answer::Response(Response { version: Some("\"0\"".into()), ..response }));
    assert_eq!(keys(&page), ["a"]);
}

/// The cursor that is kept after a read of the whole collection, `a` to `c`, with what happens before and during it.
fn cursor_kept(before: fn(&mut Page, ItemId), during: fn(&mut Page, ItemId), listed: &[&str]) -> Option<String> {
    let mut page = known();
    let item = page.items()[0];
    before(&mut page, item);
    page.fetch();
    during(&mut page, item);
    page.answer_read(json(200, Rows { cursor: Cursor::At("2".into()), ..rows(listed, None) }));
    page.commit();
    page.cursors.get(&0).cloned()
}

#[test]
fn a_cursor_is_kept_only_if_the_read_saw_what_every_edit_and_every_other_read_has_come_to() {
    let nothing = |_: &mut Page, _: ItemId| {};
    let all = ["a", "b", "c"];
    let taken = Some("2".to_owned());
    assert_eq!(cursor_kept(nothing, nothing, &all), taken);
    // Edits of items that the server has.
    let edits = |page: &mut Page, item: ItemId| page.update(item, &[(0, 5)]);
    let is_answered = |page: &mut Page, item: ItemId| page.accept(item, "a");
    let fails = |page: &mut Page, item: ItemId| page.answer(item, Failure::Status(500, None).answer());
    let is_refused = |page: &mut Page, item: ItemId| page.answer(item, empty(422));
    let is_refused_before = |page: &mut Page, item: ItemId| {
        page.update(item, &[(0, 5)]);
        page.answer(item, empty(422));
    };
    assert_eq!(cursor_kept(edits, nothing, &all), None, "its answer is not here");
    assert_eq!(cursor_kept(edits, is_answered, &all), None, "its answer came since");
    assert_eq!(cursor_kept(edits, fails, &all), None, "it may have arrived");
    assert_eq!(cursor_kept(nothing, edits, &all), None, "it was made since");
    assert_eq!(cursor_kept(edits, is_refused, &all), taken, "it was not taken, and will not be");
    assert_eq!(cursor_kept(is_refused_before, nothing, &all), taken);
    // An item that is not listed, and here for its edits alone.
    assert_eq!(cursor_kept(is_refused_before, nothing, &["b", "c"]), None, "should they be given up, it has to go");
    let is_gone_before = |page: &mut Page, item: ItemId| {
        page.update(item, &[(0, 5)]);
        page.answer(item, empty(404));
    };
    assert_eq!(cursor_kept(is_gone_before, nothing, &["b", "c"]), taken, "that it is gone is known");
    // What the server has never had.
    let is_created_and_refused = |page: &mut Page, _: ItemId| {
        let item = page.create(&[(0, 7)]);
        page.answer(item, empty(422));
    };
    assert_eq!(cursor_kept(is_created_and_refused, nothing, &all), taken);
    let is_created_under_a_key_and_refused = |page: &mut Page, _: ItemId| {
        let item = page.create_with(&[(0, 7)], Some("z"));
        page.answer(item, empty(422));
    };
    assert_eq!(cursor_kept(is_created_under_a_key_and_refused, nothing, &all), taken);
    let is_being_stored = |page: &mut Page, item: ItemId| {
        page.slow_disk = true;
        page.update(item, &[(0, 5)]);
    };
    assert_eq!(cursor_kept(is_being_stored, nothing, &all), taken, "it has not left");
    let is_created = |page: &mut Page, _: ItemId| {
        page.create(&[(0, 7)]);
    };
    assert_eq!(cursor_kept(nothing, is_created, &all), None, "it may be there");
    // Reads of one item.
    let is_read = |page: &mut Page, item: ItemId| {
        page.does(Input::FetchOne(item));
        page.end_turn();
    };
    let is_read_and_answered = |page: &mut Page, item: ItemId| {
        page.does(Input::FetchOne(item));
        page.end_turn();
        page.answer_one(json(200, remote("a", &[(0, 1)])));
    };
    assert_eq!(cursor_kept(is_read, nothing, &all), None, "it may have been answered before the item was deleted");
    assert_eq!(cursor_kept(nothing, is_read_and_answered, &all), None);
    assert_eq!(cursor_kept(is_read_and_answered, nothing, &all), taken);
}

#[test]
fn a_cursor_is_kept_whatever_happens_in_another_store() {
    let mut page = known();
    let (first, other) = (page.store, page.open_store(StoreOptions { name: "places".into(), ..options() }));
    page.store = other;
    page.answer_all(&[("x", &[(0, 1)]), ("y", &[(0, 1)])]);
    let [edited, read] = page.items()[..] else { panic!("{:?}", page.items()) };
    page.store = first;
    page.fetch();
    page.update(edited, &[(0, 2)]);
    page.does(Input::FetchOne(read));
    page.end_turn();
    page.answer_read(json(200, Rows { cursor: Cursor::At("2".into()), ..rows(&["a", "b", "c"], None) }));
    assert_eq!(page.cursors.get(&0).map(String::as_str), Some("2"));
}

#[test]
fn a_read_in_a_way_of_its_own_that_nobody_waits_for_any_longer_is_not_gone_on_with() {
    let mut page = known();
    page.fetch_own();
    page.does(Input::Pause(page.store));
    page.answer_read(json(200, rows(&["a"], Some("2"))));
    page.does(Input::Resume(page.store));
    assert!(page.network.is_empty() && page_asked(&page).is_none(), "{:?}", page.network);
}

#[test]
fn a_page_that_is_less_complete_than_those_before_it_holds_the_cursor() {
    let mut page = known();
    page.fetch();
    page.answer_read(json(200, Rows { cursor: Cursor::At("1".into()), ..rows(&["a", "b", "c"], Some("2")) }));
    page.answer_read(json(200, Rows { complete: false, ..rows(&["d"], None) }));
    assert!(page.cursors.is_empty() && page.items().len() == 4);
}

#[test]
fn neither_a_read_in_a_way_of_its_own_nor_a_page_behind_the_first_goes_on_from_the_cursor() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("1".into()), ..rows(&["a"], None) }));
    page.fetch_own();
    assert_eq!(cursor_asked(&page), None);
    page.answer_read(json(200, rows(&["a"], None)));
    page.fetch();
    assert_eq!(cursor_asked(&page).as_deref(), Some("1"));
    page.answer_read(json(200, Rows { next: Next::Page("2".into()), ..delta(&["b"], &[], "3") }));
    assert_eq!((page_asked(&page).as_deref(), cursor_asked(&page)), (Some("2"), None));
}

#[test]
fn a_read_from_a_cursor_that_fails_is_no_answer_that_nothing_has_changed() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("1".into()), ..rows(&["a"], None) }));
    let fetch = page.fetch();
    page.answer_read(Failure::Status(500, None).answer());
    assert_eq!(page.outcome(fetch), Some(Err(Code::Server)));
}

#[test]
fn an_answer_to_a_cursor_that_is_everything_all_the_same_drops_it_while_an_edit_is_unanswered() {
    let mut page = Page::start(options());
    page.answer_read(json(200, Rows { cursor: Cursor::At("1".into()), ..rows(&["a"], None) }));
    let item = page.items()[0];
    page.update(item, &[(0, 2)]);
    page.fetch();
    page.answer_read(json(200, Rows { cursor: Cursor::At("2".into()), ..rows(&["a"], None) }));
    assert!(page.cursors.is_empty(), "{:?}", page.cursors);
}
