//! What a tab reads of the server while another one writes the records.

use concordia::engine::{
    AttemptState, Engine,
    error::{Code, Fault},
    id::{CommandId, Key, Token},
    input::{Input, Record, Rows, Source, StoreOptions},
    lifecycle::{Action, Settled},
    output::{Command, Write},
    sender::{Mark, News, Word},
    time::Instant,
};

use super::{
    STORE, answer, asked_for_one, begun, cursor, follower, has, loaded, loaded_at, record, rows, settle, tab, tell,
};
use crate::{
    page::{json, options, remote},
    row::{Fields, MapRow},
};

fn fetch(engine: &mut Engine<MapRow>, rows: Rows<MapRow>) -> Vec<Command<MapRow>> {
    let commands = tell(engine, Input::Fetch { store: STORE, token: Token(1), own: false });
    answer(engine, &commands, rows)
}

fn commit(engine: &mut Engine<MapRow>, count: u64, puts: Vec<Record<MapRow>>) -> Vec<Command<MapRow>> {
    let news = News { puts, erased: Vec::new(), taken: Vec::new() };
    tell(engine, Input::Told(STORE, Word::Committed(Mark { tab: 99, count }, Some(news))))
}

fn shown(engine: &Engine<MapRow>) -> Vec<Fields> {
    engine.items(STORE).filter_map(|item| engine.row(item)).map(MapRow::fields).collect()
}

/// The records say what the sender knew when it wrote them.
#[test]
fn what_was_read_here_stands_until_the_record_says_something_else_of_it() {
    let mut engine = follower(vec![record(None)]);
    fetch(&mut engine, rows(&[("a", &[(0, 2)])]));
    fetch(&mut engine, rows(&[("a", &[(0, 3)])]));
    let with = |values: &[(usize, i64)]| Record { row: MapRow::of(values), ..record(None) };
    commit(&mut engine, 1, vec![with(&[(0, 1), (1, 9)])]);
    assert_eq!(shown(&engine), [[Some(3), Some(9), None, None]]);
    commit(&mut engine, 2, vec![with(&[(0, 4), (1, 9)])]);
    assert_eq!(shown(&engine), [[Some(4), Some(9), None, None]]);
}

/// What is here and in no record may be gone by the time that the cursor of the records stands for: then everything is read.
#[test]
fn who_has_read_nothing_that_is_not_in_the_records_goes_on_where_they_do() {
    for (read, goes_on) in [(1, true), (2, false)] {
        let mut engine = follower(vec![record(None)]);
        fetch(&mut engine, rows(&[("a", &[(0, read)])]));
        tell(&mut engine, Input::Told(STORE, Word::Here(Mark { tab: 99, count: 1 })));
        tell(&mut engine, loaded_at(1, vec![record(None)]));
        let commands = tell(&mut engine, Input::Fetch { store: STORE, token: Token(1), own: false });
        assert_eq!(cursor(&commands).as_deref(), goes_on.then_some("c"), "{read} was read");
    }
}

/// Another tab may have sent the create of an item that is here without its key: so as not to be seen twice, a new row waits.
#[test]
fn a_row_that_is_new_waits_while_an_item_has_no_key_that_another_tab_sends() {
    for is_keyless in [true, false] {
        let mut engine = follower(Vec::new());
        if is_keyless {
            let row = MapRow::of(&[(0, 1)]);
            tell(&mut engine, Input::Create { store: STORE, row, key: None, source: Source::State });
            tell(&mut engine, Input::TurnEnded);
        }
        fetch(&mut engine, rows(&[("b", &[(0, 2)])]));
        let [_] = shown(&engine)[..] else { panic!("{:?}", shown(&engine)) };
        let key = engine.items(STORE).next().and_then(|item| engine.row(item)).and_then(MapRow::remote_key);
        assert_eq!(key.is_none(), is_keyless);
    }
}

/// What another tab has written is stored, though the item was here before, without anything of it.
#[test]
fn an_item_that_was_waited_for_when_its_record_came_is_erased_with_that() {
    let mut engine = follower(Vec::new());
    wait_for(&mut engine, "a");
    commit(&mut engine, 1, vec![record(None)]);
    tell(&mut engine, Input::Leads(STORE, true));
    let commands = tell(&mut engine, loaded_at(1, vec![record(None)]));
    let sent = settle(&mut engine, commands);
    assert!(sent.is_empty());
    let commands = fetch(&mut engine, Rows { complete: true, ..rows(&[]) });
    assert!(has(&commands, |write| matches!(write, Write::Erase(_, _, key) if key.text() == "k")), "{commands:?}");
}

fn wait_for(engine: &mut Engine<MapRow>, key: &str) -> Option<CommandId> {
    tell(engine, Input::Await { store: STORE, row: MapRow::default(), key: Key::new(key, false) });
    asked_for_one(&tell(engine, Input::TurnEnded))
}

/// A tab that has just heard what others did does not believe what it had asked before.
#[test]
fn an_item_that_is_waited_for_is_asked_for_again_if_another_tab_may_have_deleted_it_since() {
    let mut engine = follower(Vec::new());
    let read = wait_for(&mut engine, "a").expect("it is asked for");
    tell(&mut engine, Input::Told(STORE, Word::Here(Mark { tab: 99, count: 1 })));
    tell(&mut engine, loaded_at(1, Vec::new()));
    let commands = tell(&mut engine, Input::FetchedOne(read, json(200, remote("a", &[(0, 1)]))));
    assert_eq!(shown(&engine), [[None; 4]]);
    let read = asked_for_one(&commands).expect("it is asked for again");
    tell(&mut engine, Input::FetchedOne(read, json(200, remote("a", &[(0, 1)]))));
    assert_eq!(shown(&engine), [[Some(1), None, None, None]]);
}

/// A tab that comes to send has asked for the collection when another one had not sent the create yet, perhaps.
#[test]
fn whether_the_server_has_a_create_is_said_by_what_is_asked_after_its_record_was_read() {
    for (has_read, lists) in [(true, true), (false, true), (false, false)] {
        let mut engine = Engine::new([7; 32]);
        let options = StoreOptions { shared: true, asks_uncertain: true, ..options() };
        tell(&mut engine, Input::Open(options, MapRow::default()));
        tell(&mut engine, Input::Leads(STORE, false));
        let commands = tell(&mut engine, loaded(STORE, Vec::new(), None));
        let listed = || Rows { complete: true, ..rows(&[("b", &[(0, 1)])]) };
        let none = || Rows { complete: true, ..rows(&[]) };
        answer(&mut engine, &commands, if has_read { listed() } else { none() });
        tell(&mut engine, Input::Told(STORE, Word::Here(Mark::default())));
        let before = tell(&mut engine, Input::Fetch { store: STORE, token: Token(1), own: false });
        tell(&mut engine, Input::Leads(STORE, true));
        let commands = tell(&mut engine, loaded(STORE, vec![undecided()], None));
        let mut sent = settle(&mut engine, commands);
        let again = answer(&mut engine, &before, if lists { listed() } else { none() });
        sent.extend(settle(&mut engine, again.clone()));
        let commands = answer(&mut engine, &again, listed());
        sent.extend(settle(&mut engine, commands));
        assert!(sent.is_empty(), "it has read it: {has_read}, it is listed: {lists}");
        let parked: Vec<_> = engine.items(STORE).map(|item| engine.parked(item).map(|fault| fault.code)).collect();
        assert_eq!(parked, [Some(Code::Uncertain)]);
    }
}

/// A create whose answer was lost, where the app wants to be asked.
fn undecided() -> Record<MapRow> {
    let lost = AttemptState::Disputed(Fault::new(Code::Uncertain, "its answer was lost"), Instant(0));
    let sync = begun(Settled::New, Action::Create, lost);
    Record { row: MapRow::of(&[(0, 1)]), remote_key: None, ..record(Some(sync)) }
}

/// The sender does, with the records that it writes.
#[test]
fn a_tab_that_does_not_send_erases_no_record_of_what_is_gone() {
    for leads in [false, true] {
        let mut engine = tab();
        tell(&mut engine, Input::Leads(STORE, leads));
        let mut commands = tell(&mut engine, loaded(STORE, vec![record(None)], None));
        commands.extend(tell(&mut engine, Input::NotesRead(STORE, Ok(Vec::new()))));
        let commands = answer(&mut engine, &commands, Rows { complete: true, ..rows(&[]) });
        assert_eq!(shown(&engine), [[None; 4]; 0]);
        assert_eq!(has(&commands, |write| matches!(write, Write::Erase(..))), leads, "{commands:?}");
    }
}
