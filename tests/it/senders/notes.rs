//! What a tab that writes no records leaves to the one that does.

use concordia::engine::{
    Attempt, AttemptState, Edit, Engine, Sync,
    error::{Code, Fault},
    id::{IdempotencyKey, Key, Seq, Token},
    input::{Input, Record, Source, StoreOptions},
    lifecycle::{Action, Settled},
    output::{Command, Write},
    row::FieldSet,
    sender::{Deed, Mark, News, Word},
};

use super::{NOW, STORE, answer, follower, loaded, record, rows, tell, written};
use crate::{page::options, row::MapRow};

fn deeds(engine: &mut Engine<MapRow>) -> Vec<Deed> {
    let commands = tell(engine, Input::TurnEnded);
    let (_, notes) = written(&commands);
    notes.iter().flat_map(|notes| &notes.list).map(|note| note.deed).collect()
}

fn set(engine: &mut Engine<MapRow>, field: usize, value: i64) {
    let item = engine.items(STORE).next().expect("the item");
    let (row, fields) = (MapRow::of(&[(field, value)]), FieldSet::one(field));
    tell(engine, Input::Update { item, row, fields, source: Source::State });
}

#[test]
fn edits_of_one_turn_are_one_note() {
    let mut engine = follower(vec![record(None)]);
    set(&mut engine, 0, 2);
    set(&mut engine, 1, 3);
    assert_eq!(deeds(&mut engine), [Deed::Edit(Action::Update)]);
    set(&mut engine, 0, 4);
    assert_eq!(deeds(&mut engine), [Deed::Edit(Action::Update)], "of another turn");
    let row = MapRow::of(&[(0, 1)]);
    let mut engine = follower(Vec::new());
    tell(&mut engine, Input::Create { store: STORE, row, key: None, source: Source::State });
    set(&mut engine, 0, 2);
    assert_eq!(deeds(&mut engine), [Deed::Edit(Action::Create)]);
}

#[test]
fn what_becomes_of_a_parked_edit_is_decided_where_it_is_sent() {
    for deed in [Deed::Retry, Deed::Discard] {
        let mut sync = Sync::new(Settled::Existent);
        let (action, fields, first) = (Action::Update, FieldSet::one(0), Seq(1));
        let mut attempt = Attempt::new(Edit { action, fields, first, last: first, key: IdempotencyKey(1) });
        attempt.state = AttemptState::Parked(Fault::new(Code::Validation, "no"));
        sync.in_flight = Some(attempt);
        let mut engine = follower(vec![record(Some(sync))]);
        let item = engine.items(STORE).next().expect("the item");
        let input = if deed == Deed::Retry { Input::Retry(item) } else { Input::Discard(item) };
        let output = engine.handle(NOW, input).expect("it is done");
        assert!(output.end_turn);
        assert_eq!(engine.parked(item).map(|fault| fault.code), Some(Code::Validation), "until the sender has done it");
        assert_eq!(deeds(&mut engine), [deed]);
    }
}

/// Of what is done in a store without a server nothing is to be sent; the other tabs hear of it all the same.
#[test]
fn a_store_without_a_server_is_shared_as_well() {
    for leads in [true, false] {
        let mut engine = Engine::new([7; 32]);
        let options = StoreOptions { shared: true, origin: None, ..options() };
        tell(&mut engine, Input::Open(options, MapRow::default()));
        tell(&mut engine, loaded(STORE, Vec::new(), None));
        tell(&mut engine, Input::Leads(STORE, leads));
        tell(&mut engine, Input::NotesRead(STORE, Ok(Vec::new())));
        let row = MapRow::of(&[(0, 1)]);
        tell(&mut engine, Input::Create { store: STORE, row, key: None, source: Source::State });
        let item = engine.items(STORE).next().expect("the item");
        let writes = everything_written(&mut engine);
        assert!(engine.pending(STORE).is_empty() && has_note(&writes, Action::Create) != leads, "{writes:?}");
        assert_eq!(
            writes.iter().any(|write| matches!(write, Write::Put(_, _, record) if record.sync.is_none())),
            leads
        );

        tell(&mut engine, Input::Remove { item, source: Source::State });
        let writes = everything_written(&mut engine);
        assert_eq!(writes.iter().any(|write| matches!(write, Write::Erase(..))), leads, "{writes:?}");
        assert!(has_note(&writes, Action::Delete) != leads, "{writes:?}");
        assert_eq!(engine.items(STORE).count(), 0);
    }
}

fn has_note(writes: &[Write<MapRow>], action: Action) -> bool {
    let has = |write: &Write<MapRow>| match write {
        Write::Notes { list, .. } => list.iter().any(|note| note.deed == Deed::Edit(action)),
        _ => false,
    };
    writes.iter().any(has)
}

/// What is written, one batch after the other.
fn everything_written(engine: &mut Engine<MapRow>) -> Vec<Write<MapRow>> {
    let (mut commands, mut all) = (tell(engine, Input::TurnEnded), Vec::new());
    while let Some(command) = commands.pop() {
        if let Command::Persist(batch, _, writes) = command {
            all.extend(writes);
            commands.extend(tell(engine, Input::Persisted(batch, Ok(()))));
        }
    }
    all
}

/// The server has taken a create for a row that is here already: both are one item from then on.
#[test]
fn what_is_edited_in_the_turn_in_which_its_item_turns_out_to_be_another_is_noted_of_that() {
    let mut engine = follower(Vec::new());
    let commands = tell(&mut engine, Input::Fetch { store: STORE, token: Token(1), own: false });
    answer(&mut engine, &commands, rows(&[("b", &[(0, 1)])]));
    tell(&mut engine, Input::TurnEnded);
    set(&mut engine, 1, 2);
    tell(&mut engine, Input::TurnEnded);
    let row = MapRow::of(&[(0, 1)]);
    tell(&mut engine, Input::Create { store: STORE, row, key: None, source: Source::State });
    let (_, notes) = written(&tell(&mut engine, Input::TurnEnded));
    let [made] = &notes[..] else { panic!("{notes:?}") };
    set(&mut engine, 0, 5);

    let key = Key::new("b", false);
    let (storage_key, row) = (made.list[0].storage_key.clone(), MapRow::of(&[(0, 1)]).with_key(&key));
    let put = Record { storage_key: storage_key.clone(), remote_key: Some(key), row, ..record(None) };
    let news = News { puts: vec![put], erased: Vec::new(), taken: vec![(made.tab, made.number)] };
    let mark = Mark { tab: 99, count: 1 };
    let commands = tell(&mut engine, Input::Told(STORE, Word::Committed(mark, Some(news))));
    let commands = [commands, tell(&mut engine, Input::TurnEnded)].concat();
    let (_, notes) = written(&commands);
    let [note] = &notes.iter().flat_map(|notes| &notes.list).collect::<Vec<_>>()[..] else { panic!("{notes:?}") };
    assert_eq!((&note.storage_key, note.deed), (&storage_key, Deed::Edit(Action::Update)));
    assert_eq!((note.fields, note.row.get(0)), (FieldSet::one(0), Some(5)));
}
