//! What a tab that writes no records leaves to the one that does.

use concordia::engine::{
    AttemptState, Engine,
    error::{Code, Fault},
    id::{Key, StoreId, Token},
    input::{Input, Others, Record, Source, StoreOptions},
    lifecycle::{Action, Settled},
    output::{Command, Write},
    row::{FieldSet, Reference, Row},
    sender::{Deed, Mark, News, Word},
};

use super::{NOW, STORE, answer, begun, follower, loaded, record, rows, set, settle, tell, the_item, written};
use crate::{
    page::{json, options, remote},
    row::MapRow,
};

fn deeds(engine: &mut Engine<MapRow>) -> Vec<Deed> {
    let commands = tell(engine, Input::TurnEnded);
    let (_, notes) = written(&commands);
    notes.iter().flat_map(|notes| &notes.list).map(|note| note.deed).collect()
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
        let parked = AttemptState::Parked(Fault::new(Code::Validation, "no"));
        let mut engine = follower(vec![record(Some(begun(Settled::Existent, Action::Update, parked)))]);
        let item = the_item(&engine);
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
        let item = the_item(&engine);
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
    let new = engine.items(STORE).last().expect("what was made");
    for value in 2..6 {
        let (row, fields) = (MapRow::of(&[(1, value)]), FieldSet::one(1));
        tell(&mut engine, Input::Update { item: new, row, fields, source: Source::State });
        tell(&mut engine, Input::TurnEnded);
    }
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

/// Its record names its keys. Where updates are whole rows, what is not edited leaves as well.
#[test]
fn what_an_item_refers_to_that_was_shown_from_a_note_leaves_under_the_key_that_it_has_by_now() {
    let options = StoreOptions { shared: true, refers: FieldSet::one(2), patches: false, ..options() };
    let open = |leads| {
        let mut engine = Engine::new([7; 32]);
        tell(&mut engine, Input::Open(options.clone(), MapRow::default()));
        tell(&mut engine, Input::Leads(STORE, leads));
        engine
    };
    let mut other = open(false);
    tell(&mut other, loaded(STORE, Vec::new(), None));
    tell(&mut other, Input::Create { store: STORE, row: MapRow::of(&[(0, 1)]), key: None, source: Source::State });
    let item = the_item(&other);
    let itself = Reference { field: 2, store: Some(STORE), key: None, storage_key: other.storage_key(item).cloned() };
    let row = MapRow::default().with_references(std::slice::from_ref(&itself));
    tell(&mut other, Input::Update { item, row, fields: FieldSet::one(2), source: Source::State });
    let (_, mut notes) = written(&tell(&mut other, Input::TurnEnded));
    notes.iter_mut().for_each(|notes| notes.tab = 98);

    let mut engine = open(false);
    let Input::Loaded { store, records, problem, cursor, lost, .. } = loaded(STORE, Vec::new(), None) else { return };
    let others = Others { notes, ..Others::default() };
    tell(&mut engine, Input::Loaded { store, records, problem, cursor, lost, others });
    tell(&mut engine, Input::Leads(STORE, true));
    let key = Key::new("b", false);
    let row = MapRow::of(&[(0, 1)]).with_references(&[Reference { key: Some(key.clone()), ..itself.clone() }]);
    let storage_key = itself.storage_key.expect("its key");
    let stored = Record { storage_key, row: row.with_key(&key), remote_key: Some(key.clone()), ..record(None) };
    tell(&mut engine, loaded(STORE, vec![stored], None));
    set(&mut engine, 1, 5);
    let commands = tell(&mut engine, Input::TurnEnded);
    let sent = references_sent(&mut engine, commands);
    assert_eq!(sent.and_then(|sent| sent.first()?.key.clone()), Some(key));
}

/// Notes of two stores are written at once, and read one after the other.
#[test]
fn what_was_made_in_another_tab_together_with_what_refers_to_it_is_waited_for() {
    let (posts, people) = (StoreId(0), StoreId(1));
    for key in [None, Some(Key::new("mine", false))] {
        let open = |leads| {
            let mut engine = Engine::new([if leads { 7 } else { 8 }; 32]);
            let options = || StoreOptions { shared: true, refers: FieldSet::one(2), ..options() };
            tell(&mut engine, Input::Open(StoreOptions { name: "posts".into(), ..options() }, MapRow::default()));
            tell(&mut engine, Input::Open(options(), MapRow::default()));
            for store in [posts, people] {
                let mut commands = tell(&mut engine, loaded(store, Vec::new(), None));
                commands.extend(tell(&mut engine, Input::Leads(store, leads)));
                commands.extend(tell(&mut engine, Input::NotesRead(store, Ok(Vec::new()))));
                answer(&mut engine, &commands, rows(&[]));
            }
            engine
        };
        let mut other = open(false);
        let row = MapRow::of(&[(0, 1)]);
        tell(&mut other, Input::Create { store: people, row, key: key.clone(), source: Source::State });
        let author = other.items(people).next().expect("the author");
        let storage_key = other.storage_key(author).cloned();
        let author = Reference { field: 2, store: Some(people), key, storage_key };
        let row = MapRow::of(&[(0, 2)]).with_references(&[author]);
        tell(&mut other, Input::Create { store: posts, row, key: None, source: Source::State });
        let (_, notes) = written(&tell(&mut other, Input::TurnEnded));
        let (of_posts, of_people): (Vec<_>, Vec<_>) =
            notes.into_iter().partition(|notes| notes.list.iter().any(|note| note.row.get(0) == Some(2)));

        let mut engine = open(true);
        tell(&mut engine, Input::Told(posts, Word::Noted));
        let commands = tell(&mut engine, Input::NotesRead(posts, Ok(of_posts)));
        assert!(settle(&mut engine, commands.clone()).is_empty(), "the author is not here yet");
        assert!(commands.iter().any(|command| matches!(command, Command::ReadNotes(store) if *store == people)));
        let commands = tell(&mut engine, Input::NotesRead(people, Ok(of_people)));
        let [request] = settle(&mut engine, commands)[..] else { panic!("not the author alone is sent") };
        let commands = tell(&mut engine, Input::Answered(request, json(201, remote("mine", &[]))));
        let sent = references_sent(&mut engine, commands);
        assert_eq!(sent.and_then(|sent| sent.first()?.key.clone()), Some(Key::new("mine", false)));
    }
}

/// What leaves when everything is written, as its references.
fn references_sent(engine: &mut Engine<MapRow>, mut commands: Vec<Command<MapRow>>) -> Option<Vec<Reference>> {
    while let Some(command) = commands.pop() {
        match command {
            Command::Persist(batch, ..) => commands.extend(tell(engine, Input::Persisted(batch, Ok(())))),
            Command::Send(_, _, request) => return Some(request.row.references(FieldSet::one(2))),
            _ => {}
        }
    }
    None
}

#[test]
fn an_edit_is_stored_when_its_own_note_is_written() {
    let mut engine = follower(vec![record(None)]);
    let item = the_item(&engine);
    set(&mut engine, 0, 2);
    tell(&mut engine, Input::OnceStored(item, Token(1)));
    let (batch, _) = super::batch(&tell(&mut engine, Input::TurnEnded));
    set(&mut engine, 0, 3);
    tell(&mut engine, Input::OnceStored(item, Token(2)));
    let output = engine.handle(NOW, Input::Persisted(batch, Ok(()))).expect("the first is written");
    assert_eq!(output.settled, [(Token(1), Ok(()))]);
    let (batch, _) = super::batch(&output.commands);
    let output = engine.handle(NOW, Input::Persisted(batch, Ok(()))).expect("the second is written");
    assert_eq!(output.settled, [(Token(2), Ok(()))]);
}
