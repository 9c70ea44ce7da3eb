//! Outages: who asks while they last, how often, and what is read when they are over.

use concordia::engine::{
    Connection,
    error::Code,
    id::{StoreId, Token},
    input::{Cursor, Input, Next, Rows, Source, StoreOptions},
    outcome::Answer,
    time::Millis,
};

use crate::page::{Asked, Failure, Page, empty, json, options, remote};
use crate::row::MapRow;

fn probing() -> StoreOptions {
    StoreOptions { probes: true, ..options() }
}

/// A page whose store has been read, over a transporter with a way of its own to probe.
fn open() -> Page {
    let mut page = Page::start(probing());
    page.answer_all(&[]);
    page
}

fn unreachable<B>() -> Answer<B> {
    Answer::Unreachable { message: "Failed to fetch".into() }
}

/// The one request that is under way.
fn only(page: &Page) -> crate::page::Leaving {
    assert_eq!(page.network.len(), 1, "{:?}", page.network);
    page.network[0].clone()
}

fn answer_probe(page: &mut Page, reached: bool) {
    let probe = only(page);
    assert!(matches!(probe.what, Asked::Probe), "{probe:?}");
    page.network.clear();
    page.does(Input::Probed(probe.command, reached));
}

fn until_asked(page: &mut Page) {
    while page.network.is_empty() {
        assert!(page.wake(), "nobody asks any more");
    }
}

fn with_cursor(keys: &[&str], cursor: &str) -> Answer<Rows<MapRow>> {
    let rows = keys.iter().map(|key| remote(key, &[(0, 1)])).collect();
    let cursor = Cursor::At(cursor.into());
    json(200, Rows { rows, complete: true, deleted: Vec::new(), problem: None, next: Next::None, cursor })
}

#[test]
fn a_checker_is_asked_in_the_place_of_the_request_that_failed_and_that_follows_when_it_succeeds() {
    let mut page = open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, unreachable());
    assert_eq!(page.status().connection, Connection::Offline);
    for _ in 0..3 {
        until_asked(&mut page);
        answer_probe(&mut page, false);
        assert_eq!(page.status().connection, Connection::Offline);
    }
    until_asked(&mut page);
    answer_probe(&mut page, true);
    until_asked(&mut page);
    page.accept(item, "a");
    assert_eq!(page.status().connection, Connection::Online);
    assert!(page.engine.is_synced(item));
}

#[test]
fn a_checker_that_succeeds_while_the_server_fails_makes_no_hot_loop() {
    let mut page = open();
    let items: Vec<_> = (0..20).map(|value| page.create(&[(0, value)])).collect();
    let began = page.now;
    let sent = page.requests;
    for leaving in page.network.clone() {
        page.answer_any(&leaving, &Failure::Unreachable);
    }
    while page.now < began.after(Millis(600_000)) {
        for leaving in page.network.clone() {
            match leaving.what {
                Asked::Probe => answer_probe(&mut page, true),
                Asked::Write(_) | Asked::All | Asked::One(_) => page.answer_any(&leaving, &Failure::Unreachable),
            }
        }
        assert!(!page.network.is_empty() || page.wake());
        let (asked, lasted) = (page.requests - sent + 6, page.now.since(began).0 / 1_000);
        assert!(asked as u64 <= 10 + lasted / 5 + 6, "{asked} requests in {lasted} s");
    }
    assert_eq!(page.status().pending, items.len());
}

#[test]
fn probes_count_as_requests_of_an_outage() {
    let mut page = open();
    page.fetch();
    let (began, sent) = (page.now, page.requests - 1);
    page.answer_read(unreachable());
    while page.now < began.after(Millis(3_600_000)) {
        if !page.network.is_empty() {
            answer_probe(&mut page, false);
        }
        assert!(page.wake(), "a checker is asked though nothing waits");
        // A user who presses a button does not make it more.
        page.does(Input::NetworkHinted);
        let (asked, lasted) = (page.requests - sent, page.now.since(began).0 / 1_000);
        assert!(asked as u64 <= 10 + lasted / 5, "{asked} requests in {lasted} s");
    }
}

#[test]
fn an_outage_that_the_transporter_reports_is_probed_though_nothing_failed() {
    let mut page = open();
    page.does(Input::Lost(page.store));
    assert_eq!(page.status().connection, Connection::Offline);
    until_asked(&mut page);
    answer_probe(&mut page, true);
    until_asked(&mut page);
    page.answer_all(&[("a", &[(0, 1)])]);
    assert_eq!((page.status().connection, page.items().len()), (Connection::Online, 1));
}

#[test]
fn a_server_out_of_reach_is_probed_though_nothing_waits() {
    let mut page = Page::open();
    let item = page.settled_item("a", &[(0, 1)]);
    page.does(Input::FetchOne(item));
    page.end_turn();
    page.answer_one(unreachable());
    assert_eq!(page.status().connection, Connection::Offline);
    until_asked(&mut page);
    page.answer_all(&[("a", &[(0, 1)])]);
    assert_eq!(page.status().connection, Connection::Online);
}

#[test]
fn a_paused_store_does_not_probe() {
    let mut page = open();
    page.does(Input::Lost(page.store));
    page.does(Input::Pause(page.store));
    while page.wake() {}
    assert!(page.network.is_empty());
    page.does(Input::Resume(page.store));
    until_asked(&mut page);
    answer_probe(&mut page, false);
}

#[test]
fn what_was_missed_in_an_outage_is_read_when_it_is_over() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    page.answer(item, unreachable());
    page.now = page.now.after(Millis(5_000));
    until_asked(&mut page);
    page.accept(item, "a");
    page.answer_all(&[("a", &[(0, 1)]), ("b", &[(0, 2)])]);
    assert_eq!(page.items().len(), 2);
}

#[test]
fn after_a_short_outage_only_what_has_a_cursor_is_read() {
    let short_outage = |answer| {
        let mut page = Page::start(options());
        page.answer_read(answer);
        let item = page.create(&[(0, 1)]);
        page.answer(item, unreachable());
        let began = page.now;
        until_asked(&mut page);
        assert!(page.now < began.after(Millis(5_000)));
        page.accept(item, "a");
        page.network.len()
    };
    assert_eq!(short_outage(with_cursor(&[], "1")), 1);
    let nothing = Rows {
        rows: Vec::new(),
        complete: true,
        deleted: Vec::new(),
        problem: None,
        next: Next::None,
        cursor: Cursor::Kept,
    };
    assert_eq!(short_outage(json(200, nothing)), 0);
}

#[test]
fn every_store_of_the_server_is_read_after_an_outage() {
    let mut page = Page::open();
    let other = page.open_store(StoreOptions { name: "places".into(), ..options() });
    let first = page.store;
    page.store = other;
    page.answer_all(&[]);
    page.store = first;
    page.fetch();
    page.answer_read(unreachable());
    page.now = page.now.after(Millis(10_000));
    page.does(Input::Reachable(first));
    page.answer_all(&[]);
    let asked: Vec<StoreId> = page.network.iter().map(|leaving| leaving.store).collect();
    assert_eq!(asked, [other], "the first has just been read");
}

#[test]
fn what_was_missed_is_read_until_that_succeeds() {
    let mut page = Page::open();
    page.does(Input::Missed(page.store));
    page.answer_read(Failure::Status(500, None).answer());
    until_asked(&mut page);
    page.answer_all(&[("a", &[(0, 1)])]);
    assert_eq!(page.items().len(), 1);
    assert!(!page.wake());
}

#[test]
fn what_was_missed_while_a_read_was_under_way_is_read_after_it() {
    let mut page = Page::open();
    page.fetch();
    page.does(Input::Missed(page.store));
    page.answer_all(&[]);
    page.answer_all(&[("a", &[(0, 1)])]);
    assert_eq!(page.items().len(), 1);
}

#[test]
fn a_paused_store_asks_for_nothing_and_sends_what_was_edited_when_it_is_resumed() {
    let mut page = Page::open();
    page.does(Input::Pause(page.store));
    assert_eq!(page.status().connection, Connection::Paused);
    let item = page.create(&[(0, 1)]);
    page.does(Input::Missed(page.store));
    assert!(page.network.is_empty());
    assert!(page.engine.is_stored(item));
    page.does(Input::Resume(page.store));
    assert_eq!(page.status().connection, Connection::Online);
    page.accept(item, "a");
    page.answer_all(&[("a", &[(0, 1)]), ("b", &[(0, 2)])]);
    assert_eq!(page.items().len(), 2);
}

#[test]
fn a_flush_settles_when_everything_is_sent_or_the_server_cannot_be_reached() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    let sent: Token = page.flush();
    assert_eq!(page.outcome(sent), None);
    page.accept(item, "a");
    assert_eq!(page.outcome(sent), Some(Ok(())));
    page.update(item, &[(0, 2)]);
    let lost = page.flush();
    page.answer(item, unreachable());
    assert_eq!(page.outcome(lost), Some(Ok(())));
    assert_eq!(page.status().pending, 1);
}

#[test]
fn an_address_that_fails_again_and_again_while_others_are_answered_is_blocked_and_its_origin_is_not_lost() {
    let mut page = Page::open();
    let bad = page.create(&[(0, 0)]);
    for failures in 1..=4 {
        let good = page.create(&[(0, failures)]);
        page.answer(bad, unreachable());
        let fault = page.status().last_error.unwrap_or_else(|| panic!("nothing is said"));
        if failures < 4 {
            assert_eq!((page.status().connection, fault.code), (Connection::Offline, Code::Unreachable));
        } else {
            assert_eq!((page.status().connection, fault.code), (Connection::Online, Code::Blocked));
            assert!(fault.message.contains("something may block this address"), "{fault}");
        }
        page.accept(good, &failures.to_string());
        assert_eq!(page.status().connection, Connection::Online);
        assert_eq!(page.writes().len(), usize::from(failures < 4), "once the others are answered it need not wait");
    }
    let began = page.now;
    until_asked(&mut page);
    page.accept(bad, "a");
    assert!(page.engine.is_synced(bad) && page.now.since(began) <= Millis(600_000));
}

#[test]
fn a_probe_that_times_out_is_followed_by_a_longer_wait_and_an_older_request_that_does_so_by_none() {
    let mut page = Page::open();
    let items: Vec<_> = (0..6).map(|value| page.create(&[(0, value)])).collect();
    items[1..].iter().for_each(|item| page.answer(*item, unreachable()));
    let next = page.wake_at;
    page.answer(items[0], Answer::TimedOut);
    assert_eq!(page.wake_at, next, "it left before the outage");
    let began = page.now;
    for probe in 1..40_u64 {
        until_asked(&mut page);
        assert_eq!(page.network.len(), 1, "one at a time");
        let leaving = only(&page);
        assert!(matches!(leaving.what, Asked::Write(_)), "what was sent before is sent again: {leaving:?}");
        page.answer_any(&leaving, &Failure::TimedOut);
        assert_eq!(page.status().connection, Connection::Offline);
        let lasted = page.now.since(began).0 / 1_000;
        assert!(probe <= 10 + lasted / 5, "{probe} probes in {lasted} s");
    }
}

#[test]
fn at_most_six_requests_are_under_way_at_once() {
    let mut page = Page::open();
    let items: Vec<_> = (0..10).map(|value| page.create(&[(0, value)])).collect();
    assert_eq!(page.network.len(), 6);
    page.accept(items[0], "a");
    assert_eq!(page.network.len(), 6, "the next at once");
}

#[test]
fn what_was_being_stored_when_the_server_went_away_does_not_leave() {
    for failure in [Failure::Status(401, None), Failure::Status(503, Some("600")), Failure::Unreachable] {
        let mut page = Page::open();
        let first = page.create(&[(0, 1)]);
        page.slow_disk = true;
        let second = page.create(&[(0, 2)]);
        page.answer(first, failure.answer());
        page.commit();
        assert!(page.network.is_empty() && page.engine.is_stored(second), "{failure:?}: {:?}", page.network);
    }
}

#[test]
fn what_failed_for_its_own_sake_still_waits_when_an_outage_is_over() {
    let mut page = Page::open();
    let (slow, lost) = (page.create(&[(0, 1)]), page.create(&[(0, 2)]));
    page.answer(lost, unreachable());
    page.answer(slow, Answer::TimedOut);
    page.does(Input::NetworkHinted);
    page.accept(lost, "b");
    assert_eq!((page.status().connection, page.writes().len()), (Connection::Online, 0));
    until_asked(&mut page);
    page.accept(slow, "a");
}

#[test]
fn what_the_server_itself_cannot_do_blocks_no_address() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    for _ in 0..6 {
        until_asked(&mut page);
        page.answer(item, Failure::Status(500, None).answer());
        assert_eq!(page.status().last_error.map(|fault| fault.code), Some(Code::Server));
        assert_eq!(page.status().connection, Connection::Online);
    }
}

#[test]
fn a_collection_whose_address_alone_fails_is_blocked_as_well() {
    let mut page = Page::open();
    page.does(Input::Missed(page.store));
    for failures in 1..=4 {
        let good = page.create(&[(0, failures)]);
        page.answer_read(unreachable());
        let blocked = page.status().last_error.is_some_and(|fault| fault.code == Code::Blocked);
        assert_eq!(blocked, failures == 4);
        page.accept(good, &failures.to_string());
        assert_eq!(page.network.len(), usize::from(failures < 4), "asked again at once when others are answered");
    }
}

#[test]
fn a_read_that_waits_is_not_made_again_when_somebody_else_has_made_it() {
    let mut page = Page::open();
    page.does(Input::Missed(page.store));
    page.answer_read(Failure::Status(500, None).answer());
    assert!(page.wake_at.is_some(), "it waits");
    page.fetch();
    page.answer_all(&[]);
    while page.wake() {}
    assert!(page.network.is_empty(), "{:?}", page.network);
}

#[test]
fn a_fetch_that_failed_is_not_made_again_unless_somebody_needs_it() {
    let mut page = Page::open();
    page.fetch();
    page.answer_read(Failure::Status(500, None).answer());
    assert!(page.network.is_empty() && !page.wake());
    // A create that was refused as a duplicate is looked for until the collection was read.
    let item = page.create(&[(0, 1)]);
    page.answer(item, empty(409));
    page.answer_read(Failure::Status(500, None).answer());
    until_asked(&mut page);
    page.answer_all(&[("a", &[(0, 1)])]);
    assert!(page.engine.is_synced(item));
}

#[test]
fn what_is_no_longer_there_is_not_read() {
    let mut page = Page::open();
    let (item, other) = (page.settled_item("a", &[(0, 1)]), page.create(&[(0, 2)]));
    page.answer(other, Failure::Status(503, Some("600")).answer());
    page.does(Input::FetchOne(item));
    page.end_turn();
    page.does(Input::Heard(page.store, told_deleted("a")));
    assert!(page.engine.row(item).is_none());
    until_asked(&mut page);
    assert!(matches!(only(&page).what, Asked::Write(_)), "{:?}", page.network);
}

fn told_deleted(key: &str) -> Rows<MapRow> {
    Rows {
        rows: Vec::new(),
        complete: false,
        deleted: vec![concordia::engine::id::Key::new(key, false)],
        problem: None,
        next: Next::None,
        cursor: Cursor::Kept,
    }
}

#[test]
fn an_edit_that_was_never_sent_leaves_an_outage_to_be_probed_by_the_collection() {
    let mut page = Page::open();
    let (row, store) = (MapRow::of(&[(0, 1)]), page.store);
    page.does(Input::Create { store, row, key: None, source: Source::State });
    page.does(Input::Lost(store));
    until_asked(&mut page);
    assert!(matches!(only(&page).what, Asked::All), "{:?}", page.network);
}

#[test]
fn an_outage_of_one_server_is_no_matter_of_another() {
    let mut page = Page::open();
    let other = page.open_store(StoreOptions {
        name: "places".into(),
        origin: Some("https://other.example".into()),
        ..options()
    });
    let first = page.store;
    page.store = other;
    page.answer_all(&[]);
    page.does(Input::Lost(other));
    assert_eq!(
        (page.status().connection, page.engine.status(first).connection),
        (Connection::Offline, Connection::Online)
    );
    page.now = page.now.after(Millis(10_000));
    until_asked(&mut page);
    assert_eq!(only(&page).store, other, "its own server is asked");
    page.answer_all(&[]);
    assert!(page.network.is_empty(), "and nothing was missed of the first: {:?}", page.network);
}

#[test]
fn a_read_that_failed_for_its_own_sake_still_waits_when_an_outage_is_over() {
    let mut page = Page::open();
    page.does(Input::Missed(page.store));
    page.answer_read(Failure::Status(500, None).answer());
    let item = page.create(&[(0, 1)]);
    page.answer(item, unreachable());
    page.does(Input::NetworkHinted);
    page.accept(item, "a");
    assert!(page.network.is_empty(), "{:?}", page.network);
}

#[test]
fn a_read_that_fails_again_and_again_is_made_less_and_less_often() {
    let mut page = Page::open();
    page.does(Input::Missed(page.store));
    let began = page.now;
    for _ in 0..20 {
        until_asked(&mut page);
        page.answer_read(Failure::Status(500, None).answer());
    }
    let spent = page.now.since(began);
    assert!(spent > Millis(60_000) && spent < Millis(1_200_000), "{spent:?}");
}

#[test]
fn a_read_that_an_outage_has_cut_off_is_not_made_again_when_somebody_has_made_it_as_a_probe() {
    let mut page = Page::open();
    page.does(Input::Missed(page.store));
    page.answer_read(unreachable());
    page.fetch();
    page.answer_all(&[]);
    assert_eq!((page.status().connection, page.network.len()), (Connection::Online, 0));
    while page.wake() {}
    assert!(page.network.is_empty(), "{:?}", page.network);
}

#[test]
fn a_paused_store_waits_for_no_moment_to_read_and_a_flush_ends_the_wait() {
    let waiting = || {
        let mut page = Page::open();
        page.does(Input::Missed(page.store));
        page.answer_read(Failure::Status(500, None).answer());
        assert!(page.wake_at.is_some() && page.network.is_empty());
        page
    };
    let mut page = waiting();
    page.does(Input::Pause(page.store));
    assert_eq!(page.wake_at, None);
    let mut page = waiting();
    page.flush();
    assert!(matches!(only(&page).what, Asked::All));
}

#[test]
fn a_paused_store_waits_for_no_moment_to_read_an_item_and_the_others_do() {
    let mut page = Page::open();
    let first = page.store;
    let other = page.open_store(StoreOptions { name: "places".into(), ..options() });
    page.store = other;
    page.answer_all(&[]);
    page.find_or_fetch("x");
    page.answer_one(Failure::Status(500, None).answer());
    let at = page.wake_at;
    assert!(at.is_some());
    page.does(Input::Pause(first));
    assert_eq!(page.wake_at, at);
    page.does(Input::Pause(other));
    assert_eq!(page.wake_at, None);
}
