//! Stories of one tab that hears of others. What several of them make of each other is simulated.

use concordia::engine::{
    Engine,
    id::{CommandId, StoreId, Token},
    input::{Cursor, Input, Next, Others, Rows, Source, StoreOptions},
    output::{Command, Write},
    sender::{Mark, Notes, Word},
    time::Millis,
};

use crate::{
    page::{json, options},
    row::MapRow,
};

const STORE: StoreId = StoreId(0);
const NOW: Millis = Millis(1_700_000_000_000);

fn tell(engine: &mut Engine<MapRow>, input: Input<MapRow>) -> Vec<Command<MapRow>> {
    engine.handle(NOW, input).unwrap_or_else(|fault| panic!("{fault}")).commands
}

/// The tab that has the lock, over an empty store that was read.
fn sender() -> Engine<MapRow> {
    let mut engine = Engine::new([7; 32]);
    tell(&mut engine, Input::Open(StoreOptions { shared: true, ..options() }, MapRow::default()));
    let others = Others::default();
    let loaded =
        Input::Loaded { store: STORE, records: Ok(Vec::new()), problem: None, cursor: None, lost: None, others };
    let mut commands = tell(&mut engine, loaded);
    commands.extend(tell(&mut engine, Input::Leads(STORE, true)));
    commands.extend(tell(&mut engine, Input::NotesRead(STORE, Ok(Vec::new()))));
    let read = commands.iter().find_map(|command| match command {
        Command::FetchAll(read, ..) => Some(*read),
        _ => None,
    });
    let (rows, deleted) = (Vec::new(), Vec::new());
    let rows = Rows { rows, complete: true, deleted, problem: None, next: Next::None, cursor: Cursor::Kept };
    if let Some(read) = read {
        tell(&mut engine, Input::Fetched(read, json(200, rows)));
    }
    engine
}

/// An edit whose record is on its way.
fn edit(engine: &mut Engine<MapRow>) -> CommandId {
    let row = MapRow::of(&[(0, 1)]);
    tell(engine, Input::Create { store: STORE, row, key: None, source: Source::State });
    let commands = tell(engine, Input::TurnEnded);
    let batch = commands.iter().find_map(|command| match command {
        Command::Persist(batch, ..) => Some(*batch),
        _ => None,
    });
    batch.unwrap_or_else(|| panic!("nothing is written: {commands:?}"))
}

fn sends(commands: &[Command<MapRow>]) -> bool {
    commands.iter().any(|command| matches!(command, Command::Send(..)))
}

/// What the lock says and what tabs say to each other need not come in the order in which it was said.
#[test]
fn who_hears_that_another_tab_has_written_sends_nothing_before_it_has_read_that() {
    for hears in [false, true] {
        let mut engine = sender();
        let batch = edit(&mut engine);
        if hears {
            let other = Mark { tab: 99, count: 5 };
            assert!(!sends(&tell(&mut engine, Input::Told(STORE, Word::Committed(other, None)))));
        }
        let commands = tell(&mut engine, Input::Persisted(batch, Ok(())));
        assert_eq!(sends(&commands), !hears, "{commands:?}");
        assert_eq!(commands.iter().any(|command| matches!(command, Command::Load(_))), hears);
    }
}

/// What a page has done in a store that it closed is in notes, if another tab wrote the records: the store that it opens next has it.
#[test]
fn what_a_closed_store_has_left_as_notes_is_in_the_next_one_of_the_page() {
    for leads in [false, true] {
        let mut engine = Engine::new([7; 32]);
        let open = || Input::Open(StoreOptions { shared: true, ..options() }, MapRow::default());
        let loaded = |store, others| {
            let (records, problem, cursor, lost) = (Ok(Vec::new()), None, None, None);
            Input::Loaded { store, records, problem, cursor, lost, others }
        };
        tell(&mut engine, open());
        tell(&mut engine, loaded(STORE, Others::default()));
        tell(&mut engine, Input::Leads(STORE, false));
        let row = MapRow::of(&[(0, 1)]);
        tell(&mut engine, Input::Create { store: STORE, row, key: None, source: Source::State });
        let (batch, notes) = written(&tell(&mut engine, Input::TurnEnded));
        tell(&mut engine, Input::Persisted(batch, Ok(())));
        tell(&mut engine, Input::Close(STORE, Token(1)));

        let next = StoreId(1);
        tell(&mut engine, open());
        if leads {
            tell(&mut engine, Input::Leads(next, true));
        }
        let commands = tell(&mut engine, loaded(next, Others { notes, ..Others::default() }));
        let names: Vec<_> = engine.items(next).map(|item| engine.row(item).and_then(|row| row.get(0))).collect();
        assert_eq!(names, [Some(1)], "leads: {leads}");
        let commands = [commands, tell(&mut engine, Input::TurnEnded)].concat();
        let puts = |command: &Command<MapRow>| match command {
            Command::Persist(_, _, writes) => writes.iter().any(|write| matches!(write, Write::Put(..))),
            _ => false,
        };
        assert_eq!(commands.iter().any(puts), leads, "{commands:?}");
    }
}

/// The notes of a batch.
fn written(commands: &[Command<MapRow>]) -> (CommandId, Vec<Notes<MapRow>>) {
    let batch = commands.iter().find_map(|command| match command {
        Command::Persist(batch, _, writes) => Some((*batch, writes)),
        _ => None,
    });
    let (batch, writes) = batch.unwrap_or_else(|| panic!("nothing is written: {commands:?}"));
    let notes = writes.iter().filter_map(|write| match write {
        Write::Notes { tab, number, list, .. } => {
            Some(Notes { place: 1, tab: *tab, number: *number, list: list.clone() })
        }
        _ => None,
    });
    (batch, notes.collect())
}
