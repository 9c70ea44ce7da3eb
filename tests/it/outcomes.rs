//! What every answer of the world means: one table for writes, one for reads, and what the engine does by them.

use concordia::engine::{
    Connection, EditState,
    error::{Code, Fault},
    id::{IdempotencyKey, ItemId},
    input::{Input, StoreOptions},
    lifecycle::Action,
    outcome::{Answer, Body, Outcome, Response, Said, fault, judge_read, judge_write},
    retry_after,
    time::Millis,
};

use crate::page::{Failure, Page, body, empty, json, options, remote};

const ACTIONS: [Action; 3] = [Action::Create, Action::Update, Action::Delete];

/// What becomes of the edit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    /// The server has it.
    Taken,
    /// Kept until somebody decides.
    Parked(Code),
    /// Sent again with the same key; the others go on.
    Retried,
    /// As `Retried`, and the origin is probed by one request at a time.
    Probed,
    /// As `Retried`, and the whole origin waits for as long as the server said.
    Waited,
    /// Kept until the app says that there are credentials; no attempt is counted.
    Held,
}

/// Answers to a write: statuses without a body, and the same effect for every action.
const WRITES: &[(Failure, Outcome, Effect)] = &[
    (Failure::Status(300, None), Outcome::Parked(Code::BadAnswer), Effect::Parked(Code::BadAnswer)),
    (Failure::Status(302, None), Outcome::Parked(Code::BadAnswer), Effect::Parked(Code::BadAnswer)),
    (Failure::Status(400, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(401, None), Outcome::Unauthorized, Effect::Held),
    (Failure::Status(402, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(403, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(405, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(406, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(407, None), Outcome::Unauthorized, Effect::Held),
    (Failure::Status(408, None), Outcome::Later, Effect::Retried),
    (Failure::Status(409, Some("7")), Outcome::Later, Effect::Retried),
    (Failure::Status(411, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(413, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(414, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(415, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(417, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(421, None), Outcome::Later, Effect::Retried),
    (Failure::Status(422, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(425, None), Outcome::Later, Effect::Retried),
    (Failure::Status(429, Some("7")), Outcome::OriginLater, Effect::Waited),
    (Failure::Status(431, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(451, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(499, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(500, None), Outcome::Unknown, Effect::Retried),
    (Failure::Status(501, None), Outcome::Parked(Code::Rejected), Effect::Parked(Code::Rejected)),
    (Failure::Status(502, None), Outcome::Unknown, Effect::Retried),
    (Failure::Status(503, Some("7")), Outcome::OriginLater, Effect::Waited),
    (Failure::Status(504, None), Outcome::Unknown, Effect::Retried),
    (Failure::Status(507, Some("7")), Outcome::OriginLater, Effect::Waited),
    (Failure::Status(511, None), Outcome::Intercepted, Effect::Probed),
    (Failure::Status(520, None), Outcome::Unknown, Effect::Retried),
    (Failure::Foreign, Outcome::Intercepted, Effect::Probed),
    (Failure::Malformed, Outcome::Unknown, Effect::Retried),
    (Failure::Unreachable, Outcome::Unreachable, Effect::Probed),
    (Failure::TimedOut, Outcome::Unknown, Effect::Retried),
    (Failure::Cut, Outcome::Unknown, Effect::Retried),
];

/// An edit of this kind, on its way.
fn sending(action: Action) -> (Page, ItemId) {
    let mut page = Page::open();
    let item = match action {
        Action::Create => page.create(&[(0, 1)]),
        Action::Update | Action::Delete => page.settled_item("a", &[(0, 1)]),
    };
    match action {
        Action::Create => {}
        Action::Update => page.update(item, &[(0, 2)]),
        Action::Delete => page.remove(item),
    }
    assert_eq!(page.write().action, action);
    (page, item)
}

/// Checks that `effect` is what became of the edit that was sent with `key`.
fn check(mut page: Page, item: ItemId, key: IdempotencyKey, effect: Effect, about: &str) {
    let state =
        page.pending().first().map(|edit| (edit.state, edit.attempts, edit.reason.clone().map(|fault| fault.code)));
    let connection = page.status().connection;
    if effect == Effect::Taken {
        assert_eq!((state, connection), (None, Connection::Online), "{about}");
        return;
    }
    let other = page.create(&[(0, 7)]);
    let others = page.writes().iter().filter(|request| request.item == other).count();
    let goes_again = |page: &mut Page| {
        while !page.writes().iter().any(|request| request.item == item) {
            assert!(page.wake(), "{about}: it is not sent again");
        }
        let again = page.writes().into_iter().find(|request| request.item == item);
        assert_eq!(again.map(|request| request.idempotency_key), Some(key), "{about}");
    };
    match effect {
        Effect::Taken => {}
        Effect::Parked(code) => {
            assert_eq!(state, Some((EditState::Parked, 1, Some(code))), "{about}");
            assert_eq!((connection, others), (Connection::Online, 1), "{about}");
            let token = page.once_synced(item);
            assert_eq!(page.outcome(token), Some(Err(code)), "{about}");
        }
        Effect::Retried => {
            assert_eq!(state, Some((EditState::Waiting, 1, None)), "{about}");
            assert_eq!((connection, others), (Connection::Online, 1), "{about}");
            goes_again(&mut page);
        }
        Effect::Probed => {
            assert_eq!((connection, others), (Connection::Offline, 0), "{about}");
            assert!(page.wake(), "{about}");
            assert_eq!(page.writes().len(), 1, "{about}: one probe");
            let probe = page.writes()[0].item;
            page.accept(probe, "b");
            assert_eq!(page.status().connection, Connection::Online, "{about}");
            assert!(page.writes().iter().all(|request| request.item != probe), "{about}");
            assert_eq!(page.writes().len(), 1, "{about}: the other one goes as soon as it is back");
        }
        Effect::Waited => {
            assert_eq!((connection, others), (Connection::Online, 0), "{about}");
            assert_eq!(page.wake_at, Some(page.now.after(Millis(7_000))), "{about}");
            assert!(page.wake(), "{about}");
            page.accept(other, "b");
            goes_again(&mut page);
        }
        Effect::Held => {
            assert_eq!((state.map(|state| state.1), connection, others), (Some(0), Connection::Held, 0), "{about}");
            assert_eq!(page.wake_at, None, "{about}: nothing is tried by itself");
            page.does(Input::Resume(page.store));
            goes_again(&mut page);
        }
    }
}

#[test]
fn every_answer_to_a_write_has_the_outcome_and_the_effect_of_the_table() {
    for action in ACTIONS {
        for (failure, outcome, effect) in WRITES {
            let about = format!("{action:?} {failure:?}");
            assert_eq!(judge_write(action, &failure.answer::<()>()), *outcome, "{about}");
            let (mut page, item) = sending(action);
            let key = page.write().idempotency_key;
            page.answer(item, failure.answer());
            check(page, item, key, *effect, &about);
        }
    }
}

/// A 404 or 410 means something else for each action.
const MISSING: [(Action, Effect); 3] = [
    (Action::Create, Effect::Parked(Code::NotFound)),
    (Action::Update, Effect::Parked(Code::GoneRemotely)),
    (Action::Delete, Effect::Taken),
];

#[test]
fn an_item_that_the_server_does_not_have_means_something_else_for_each_action() {
    for (action, effect) in MISSING {
        for status in [404, 410] {
            let (mut page, item) = sending(action);
            let key = page.write().idempotency_key;
            page.answer(item, empty(status));
            check(page, item, key, effect, &format!("{action:?} {status}"));
        }
    }
}

#[test]
fn a_success_is_taken_in_every_form_that_servers_give_it() {
    for action in ACTIONS {
        for status in [200, 201, 202, 204, 205] {
            let about = format!("{action:?} {status}");
            let (mut page, item) = sending(action);
            let key = page.write().idempotency_key;
            let answer = if status < 203 { json(status, remote("a", &[(0, 5)])) } else { empty(status) };
            assert_eq!(judge_write(action, &answer), Outcome::Applied, "{about}");
            page.answer(item, answer);
            let is_uncertain = action == Action::Create && status > 203;
            let effect = if is_uncertain { Effect::Parked(Code::Uncertain) } else { Effect::Taken };
            if status < 203 && action != Action::Delete {
                assert_eq!(page.value(item, 0), Some(5), "{about}: what the server says is merged");
            }
            check(page, item, key, effect, &about);
        }
    }
    assert_eq!(judge_write(Action::Update, &body::<()>(200, Body::TooLarge)), Outcome::Applied);
}

#[test]
fn a_create_takes_its_key_from_the_location_or_from_the_app() {
    let mut page = Page::open();
    let item = page.create(&[(0, 1)]);
    let location = Some("https://api.example/people/a%20b?x=1".to_owned());
    let Answer::Response(response) = empty(201) else { unreachable!() };
    page.answer(item, Answer::Response(concordia::engine::outcome::Response { location, ..response }));
    assert_eq!(
        page.engine.row(item).and_then(|row| row.remote_key()).map(|key| key.text().to_owned()),
        Some("a b".into())
    );
    let own = page.create_with(&[(0, 1)], Some("mine"));
    page.answer(own, empty(204));
    assert!(page.engine.is_synced(own));
    for unsafe_key in ["https://api.example/people/..", "https://api.example/people/%2E", "nothing"] {
        let item = page.create(&[(0, 1)]);
        let Answer::Response(response) = empty(201) else { unreachable!() };
        let location = Some(unsafe_key.to_owned());
        page.answer(item, Answer::Response(concordia::engine::outcome::Response { location, ..response }));
        assert_eq!(page.engine.parked(item).map(|fault| fault.code), Some(Code::Uncertain), "{unsafe_key}");
    }
}

/// What becomes of a read, and of the connection.
const READS: &[(Failure, Outcome, Code, Connection)] = &[
    (Failure::Status(204, None), Outcome::Parked(Code::BadAnswer), Code::BadAnswer, Connection::Online),
    (Failure::Status(304, None), Outcome::Parked(Code::BadAnswer), Code::BadAnswer, Connection::Online),
    (Failure::Status(400, None), Outcome::Parked(Code::Rejected), Code::Rejected, Connection::Online),
    (Failure::Status(401, None), Outcome::Unauthorized, Code::Unauthorized, Connection::Held),
    (Failure::Status(404, None), Outcome::Parked(Code::NotFound), Code::NotFound, Connection::Online),
    (Failure::Status(429, None), Outcome::OriginLater, Code::Server, Connection::Online),
    (Failure::Status(500, None), Outcome::Unknown, Code::Server, Connection::Online),
    (Failure::Status(503, Some("7")), Outcome::OriginLater, Code::Server, Connection::Online),
    (Failure::Status(511, None), Outcome::Intercepted, Code::Unreachable, Connection::Offline),
    (Failure::Foreign, Outcome::Intercepted, Code::Unreachable, Connection::Offline),
    (Failure::Malformed, Outcome::Unknown, Code::BadAnswer, Connection::Online),
    (Failure::Unreachable, Outcome::Unreachable, Code::Unreachable, Connection::Offline),
    (Failure::TimedOut, Outcome::Unknown, Code::Timeout, Connection::Online),
    (Failure::Cut, Outcome::Unknown, Code::Timeout, Connection::Online),
];

#[test]
fn every_answer_to_a_read_that_is_no_success_rejects_it_and_leaves_the_items_alone() {
    for (failure, outcome, code, connection) in READS {
        let about = format!("{failure:?}");
        assert_eq!(judge_read(&failure.answer::<()>()), *outcome, "{about}");
        let mut page = Page::open();
        let item = page.settled_item("a", &[(0, 1)]);
        let token = page.fetch();
        page.answer_read(failure.answer());
        assert_eq!(page.outcome(token), Some(Err(*code)), "{about}");
        assert_eq!(page.status().connection, *connection, "{about}");
        assert_eq!((page.items(), page.value(item, 0)), (vec![item], Some(1)), "{about}");
    }
    assert_eq!(judge_read(&body::<()>(200, Body::TooLarge)), Outcome::Parked(Code::TooLarge));
    assert_eq!(judge_read(&json(200, ())), Outcome::Applied);
}

#[test]
fn the_first_read_of_a_collection_is_made_again_until_it_succeeds() {
    for (failure, outcome, _, _) in READS {
        let mut page = Page::start(crate::page::options());
        page.answer_read(failure.answer());
        page.does(Input::Resume(page.store));
        let again = !matches!(outcome, Outcome::Parked(_)) || page.network.len() == 1;
        while again && page.network.is_empty() {
            assert!(page.wake(), "{failure:?}");
        }
        page.answer_all(&[("a", &[(0, 1)])]);
        assert_eq!(page.items().len(), 1, "{failure:?}");
    }
}

#[test]
fn an_item_that_is_gone_is_removed_by_its_own_read_unless_it_was_edited() {
    for status in [404, 410] {
        let mut page = Page::open();
        let (gone, edited) = (page.settled_item("a", &[(0, 1)]), page.settled_item("b", &[(0, 1)]));
        page.does(Input::Pause(page.store));
        page.update(edited, &[(0, 2)]);
        page.does(Input::Resume(page.store));
        page.answer(edited, Failure::Status(500, None).answer());
        page.does(Input::FetchOne(gone));
        page.end_turn();
        page.answer_one(empty(status));
        assert_eq!(page.items(), [edited]);
        while page.writes().is_empty() {
            assert!(page.wake());
        }
        page.answer(edited, empty(status));
        assert_eq!(page.engine.parked(edited).map(|fault| fault.code), Some(Code::GoneRemotely));
    }
}

/// What `Retry-After` may say, and the span in seconds. A date comes as seconds: the shell has turned it into them.
const RETRY_AFTERS: &[(&str, Option<u64>)] = &[
    ("0", Some(0)),
    ("7", Some(7)),
    (" 120 ", Some(120)),
    ("3600", Some(3_600)),
    ("3601", Some(3_600)),
    ("99999999999999999999999999", Some(3_600)),
    ("", None),
    (" ", None),
    ("-1", None),
    ("+1", None),
    ("1.5", None),
    ("1e3", None),
    ("soon", None),
    ("7, 8", None),
    ("Sun, 06 Nov 1994 08:49:47 GMT", None),
];

#[test]
fn retry_after_is_honoured_for_at_most_an_hour_and_nonsense_is_as_if_it_were_not_there() {
    for (value, seconds) in RETRY_AFTERS {
        assert_eq!(retry_after(value), seconds.map(|seconds| Millis(seconds * 1_000)), "{value:?}");
    }
}

#[test]
fn every_code_has_a_name_of_its_own_by_which_it_is_found() {
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    assert!(names.iter().all(|name| name.starts_with("E_")));
    assert!(Code::ALL.iter().all(|code| Code::from_name(code.name()) == Some(*code)));
}

#[test]
fn a_fault_is_shown_with_its_code() {
    assert_eq!(Fault::new(Code::Removed, "it is gone").to_string(), "E_REMOVED: it is gone");
}

#[test]
fn a_fault_says_what_came_and_what_follows() {
    let response = |status, body| Answer::Response(Response { status, body, ..plain() });
    let told = response(409, Body::Empty);
    let said = Answer::Response(Response { said: Some(Said { message: "no".into(), status: None }), ..plain() });
    let table: [(Outcome, Answer<()>, &str); 12] = [
        (
            Outcome::Unreachable,
            Answer::Unreachable { message: "Failed to fetch".into() },
            "no answer (Failed to fetch); edits are kept and sent when the server can be reached",
        ),
        (Outcome::Unknown, Answer::TimedOut, "no complete answer within the timeout; it is tried again"),
        (Outcome::Unknown, Answer::Cut, "the answer broke off; it is tried again"),
        (Outcome::Unknown, response(500, Body::Empty), "the server answered 500; it is tried again"),
        (
            Outcome::Unauthorized,
            response(401, Body::Empty),
            "the server answered 401; edits are held until there are new credentials: sign in and call resume()",
        ),
        (
            Outcome::Parked(Code::GoneRemotely),
            response(404, Body::Empty),
            "the server answered 404: the item was deleted elsewhere; retry() creates it again, discard() removes it here",
        ),
        (
            Outcome::Conflict,
            told,
            "the server answered 409: it holds something that contradicts the edit; retry() or discard() it",
        ),
        (
            Outcome::Parked(Code::Uncertain),
            response(201, Body::Empty),
            "the server answered 201 without saying under which key; retry() sends it again, discard() gives it up",
        ),
        (
            Outcome::Parked(Code::NotFound),
            response(404, Body::Empty),
            "the server answered 404: there is nothing at this address; check `baseUrl` and `path`",
        ),
        (
            Outcome::Parked(Code::TooLarge),
            response(200, Body::TooLarge),
            "the server answered 200 with a larger body than is read; ask for less at once",
        ),
        (
            Outcome::Unknown,
            response(200, Body::Malformed),
            "the server answered 200 with something that is not the JSON expected here",
        ),
        (Outcome::Parked(Code::Rejected), said, "no; the edit is kept: retry() or discard() it"),
    ];
    for (outcome, answer, message) in table {
        assert_eq!(fault(outcome, &answer).message, message);
    }
}

fn plain() -> Response<()> {
    let Answer::Response(response) = empty(422) else { unreachable!() };
    response
}

#[test]
fn a_create_has_no_state_that_a_precondition_could_mean() {
    let judged = [Action::Create, Action::Update, Action::Delete].map(|action| judge_write::<()>(action, &empty(428)));
    let parked = Outcome::Parked(Code::Rejected);
    assert_eq!(judged, [parked, Outcome::Preconditions, Outcome::Preconditions]);
}

#[test]
fn a_location_is_read_to_its_last_segment_and_as_a_number_only_if_it_is_one() {
    let key = |numeric: bool, location: &str| {
        let mut page = Page::start(StoreOptions { numeric_storage_key: numeric, ..options() });
        page.answer_all(&[]);
        let item = page.create(&[(0, 1)]);
        let Answer::Response(response) = empty(201) else { unreachable!() };
        let location = Some(location.to_owned());
        page.answer(item, Answer::Response(Response { location, ..response }));
        page.engine.row(item).and_then(|row| row.remote_key()).map(|key| (key.text().to_owned(), key.numeric))
    };
    let text = |key: &str| Some((key.to_owned(), false));
    let number = |key: &str| Some((key.to_owned(), true));
    let table = [
        ("https://api.example/people/7", text("7"), number("7")),
        ("//api.example/people/70/", text("70"), number("70")),
        ("/people//7#x", text("7"), number("7")),
        ("/people/0", text("0"), number("0")),
        ("/people/123456789012345", text("123456789012345"), number("123456789012345")),
        ("/people/1234567890123456", text("1234567890123456"), None),
        ("/people/07", text("07"), None),
        ("/people/1e3", text("1e3"), None),
        ("/people/a%2Fb", text("a/b"), None),
        ("/people/a%00b", None, None),
        ("/people/a%0", None, None),
        ("https://api.example", None, None),
        ("//7", None, None),
    ];
    for (location, as_text, as_number) in table {
        assert_eq!((key(false, location), key(true, location)), (as_text, as_number), "{location}");
    }
}
