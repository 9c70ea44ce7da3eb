//! What a tab reads of the server while another one writes the records.

use concordia::engine::{
    Engine,
    id::Token,
    input::{Input, Others, Record, Rows, Source},
    output::Command,
    sender::{Mark, News, Word},
};

use super::{STORE, answer, cursor, follower, loaded, record, rows, tell};
use crate::row::{Fields, MapRow};

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

fn loaded_at(count: u64, records: Vec<Record<MapRow>>) -> Input<MapRow> {
    let Input::Loaded { store, records, problem, cursor, lost, .. } = loaded(STORE, records, Some("c")) else {
        panic!("something else is loaded")
    };
    let others = Others { mark: Mark { tab: 99, count }, ..Others::default() };
    Input::Loaded { store, records, problem, cursor, lost, others }
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
