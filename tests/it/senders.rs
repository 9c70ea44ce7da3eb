//! Stories of one tab that hears of others. What several of them make of each other is simulated.

mod notes;
mod reads;
mod words;

use concordia::engine::{
    Attempt, AttemptState, Edit, Engine, Sync,
    error::{Code, StorageFailure},
    id::{CommandId, IdempotencyKey, ItemId, Key, Seq, StoreId, Token},
    input::{Cursor, Input, Next, Others, Record, Rows, Source, StoreOptions},
    lifecycle::{Action, Settled},
    output::{Command, Write},
    row::FieldSet,
    sender::{Mark, Notes, Word},
    time::Millis,
};

use crate::{
    page::{empty, json, options, remote},
    row::{FIELDS, MapRow},
};

const STORE: StoreId = StoreId(0);
const NOW: Millis = Millis(1_700_000_000_000);

fn tell(engine: &mut Engine<MapRow>, input: Input<MapRow>) -> Vec<Command<MapRow>> {
    engine.handle(NOW, input).unwrap_or_else(|fault| panic!("{fault}")).commands
}

/// A tab that knows nothing yet.
fn tab() -> Engine<MapRow> {
    let mut engine = Engine::new([7; 32]);
    tell(&mut engine, Input::Open(StoreOptions { shared: true, ..options() }, MapRow::default()));
    engine
}

/// The tab that has the lock, over an empty store that was read.
fn sender() -> Engine<MapRow> {
    let mut engine = tab();
    let mut commands = tell(&mut engine, loaded(STORE, Vec::new(), None));
    commands.extend(tell(&mut engine, Input::Leads(STORE, true)));
    commands.extend(tell(&mut engine, Input::NotesRead(STORE, Ok(Vec::new()))));
    answer(&mut engine, &commands, Rows { complete: true, ..rows(&[]) });
    engine
}

/// A tab beside the one that has the lock, over these records.
fn follower(records: Vec<Record<MapRow>>) -> Engine<MapRow> {
    let mut engine = tab();
    tell(&mut engine, Input::Leads(STORE, false));
    let commands = tell(&mut engine, loaded(STORE, records, None));
    answer(&mut engine, &commands, rows(&[]));
    tell(&mut engine, Input::Told(STORE, Word::Here(Mark::default())));
    engine
}

fn loaded(store: StoreId, records: Vec<Record<MapRow>>, cursor: Option<&str>) -> Input<MapRow> {
    let (cursor, others) = (cursor.map(str::to_owned), Others::default());
    Input::Loaded { store, records: Ok(records), problem: None, cursor, lost: None, others }
}

/// With so many batches of another tab's.
fn loaded_at(count: u64, records: Vec<Record<MapRow>>) -> Input<MapRow> {
    let others = Others { mark: Mark { tab: 99, count }, ..Others::default() };
    let (records, problem, cursor, lost) = (Ok(records), None, Some("c".into()), None);
    Input::Loaded { store: STORE, records, problem, cursor, lost, others }
}

/// That of a row with the key "a".
fn record(sync: Option<Sync<MapRow>>) -> Record<MapRow> {
    let key = Key::new("a", false);
    Record {
        storage_key: Key::new("k", false),
        row: MapRow::of(&[(0, 1)]).with_key(&key),
        remote_key: Some(key),
        sync: sync.map(Box::new),
        validator: None,
        migrated: None,
    }
}

/// An edit that has not left.
fn waiting(settled: Settled, action: Action) -> Sync<MapRow> {
    let fields = match action {
        Action::Create => FieldSet::first(FIELDS),
        Action::Update => FieldSet::one(0),
        Action::Delete => FieldSet::NONE,
    };
    let mut sync = Sync::new(settled);
    sync.pending = Some(Edit { action, fields, first: Seq(1), last: Seq(1), key: IdempotencyKey(1) });
    sync
}

/// One that has.
fn begun(settled: Settled, action: Action, state: AttemptState) -> Sync<MapRow> {
    let mut sync = waiting(settled, action);
    sync.in_flight = sync.pending.take().map(|edit| Attempt { state, ..Attempt::new(edit) });
    sync
}

/// The app sets a field of the first item.
fn set(engine: &mut Engine<MapRow>, field: usize, value: i64) {
    let item = the_item(engine);
    let (row, fields) = (MapRow::of(&[(field, value)]), FieldSet::one(field));
    tell(engine, Input::Update { item, row, fields, source: Source::State });
}

fn rows(rows: &[(&str, &[(usize, i64)])]) -> Rows<MapRow> {
    Rows {
        rows: rows.iter().map(|(key, values)| remote(key, values)).collect(),
        complete: false,
        deleted: Vec::new(),
        problem: None,
        next: Next::None,
        cursor: Cursor::Kept,
    }
}

/// The server answers the read of the collection.
fn answer(engine: &mut Engine<MapRow>, commands: &[Command<MapRow>], rows: Rows<MapRow>) -> Vec<Command<MapRow>> {
    let read = commands.iter().find_map(|command| match command {
        Command::FetchAll(read, ..) => Some(*read),
        _ => None,
    });
    let read = read.unwrap_or_else(|| panic!("the collection is not read: {commands:?}"));
    tell(engine, Input::Fetched(read, json(200, rows)))
}

fn batches(commands: &[Command<MapRow>]) -> impl Iterator<Item = (CommandId, &[Write<MapRow>])> {
    commands.iter().filter_map(|command| match command {
        Command::Persist(batch, _, writes) => Some((*batch, writes.as_slice())),
        _ => None,
    })
}

/// The only batch.
fn batch(commands: &[Command<MapRow>]) -> (CommandId, &[Write<MapRow>]) {
    let [batch] = batches(commands).collect::<Vec<_>>()[..] else { panic!("not one batch: {commands:?}") };
    batch
}

fn has(commands: &[Command<MapRow>], is_it: impl Fn(&Write<MapRow>) -> bool) -> bool {
    batches(commands).flat_map(|(_, writes)| writes).any(is_it)
}

/// An edit whose record is on its way.
fn edit(engine: &mut Engine<MapRow>) -> CommandId {
    let row = MapRow::of(&[(0, 1)]);
    tell(engine, Input::Create { store: STORE, row, key: None, source: Source::State });
    batch(&tell(engine, Input::TurnEnded)).0
}

fn the_item(engine: &Engine<MapRow>) -> ItemId {
    engine.items(STORE).next().unwrap_or_else(|| panic!("there is no item"))
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

#[test]
fn who_was_overtaken_reads_what_the_other_tab_has_written() {
    let mut engine = sender();
    let batch = edit(&mut engine);
    let commands = tell(&mut engine, Input::Persisted(batch, Err(StorageFailure::Outrun)));
    assert!(commands.iter().any(|command| matches!(command, Command::Load(_))), "{commands:?}");
    let commands = tell(&mut engine, loaded(STORE, Vec::new(), None));
    assert!(has(&commands, |write| matches!(write, Write::Put(..))), "{commands:?}");
}

/// What a page has done in a store that it closed is in notes, if another tab wrote the records: the store that it opens next has it.
#[test]
fn what_a_closed_store_has_left_as_notes_is_in_the_next_one_of_the_page() {
    for leads in [false, true] {
        let mut engine = Engine::new([7; 32]);
        let open = || Input::Open(StoreOptions { shared: true, ..options() }, MapRow::default());
        tell(&mut engine, open());
        tell(&mut engine, loaded(STORE, Vec::new(), None));
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
        let others = Others { notes, ..Others::default() };
        let (records, problem, cursor, lost) = (Ok(Vec::new()), None, None, None);
        let loaded = Input::Loaded { store: next, records, problem, cursor, lost, others };
        let commands = tell(&mut engine, loaded);
        let names: Vec<_> = engine.items(next).map(|item| engine.row(item).and_then(|row| row.get(0))).collect();
        assert_eq!(names, [Some(1)], "leads: {leads}");
        let commands = [commands, tell(&mut engine, Input::TurnEnded)].concat();
        assert_eq!(has(&commands, |write| matches!(write, Write::Put(..))), leads, "{commands:?}");
    }
}

/// The notes of a batch.
fn written(commands: &[Command<MapRow>]) -> (CommandId, Vec<Notes<MapRow>>) {
    let (batch, writes) = batch(commands);
    let notes = writes.iter().filter_map(|write| match write {
        Write::Notes { tab, number, list, .. } => {
            Some(Notes { place: 1, tab: *tab, number: *number, list: list.clone() })
        }
        _ => None,
    });
    (batch, notes.collect())
}

/// What was made under a key of the app's own is no reason to delete what somebody else has under it: neither if it never left, nor
/// if it was refused, before the removal or after it.
#[test]
fn what_the_server_has_not_taken_is_removed_without_a_word_though_it_has_a_key() {
    for (is_sent, is_removed_first) in [(false, true), (true, true), (true, false)] {
        let mut engine = sender();
        let key = Some(Key::new("mine", false));
        tell(&mut engine, Input::Create { store: STORE, row: MapRow::of(&[(0, 1)]), key, source: Source::State });
        let item = the_item(&engine);
        let mut sent = Vec::new();
        if is_sent {
            sent.extend(settle(&mut engine, Vec::new()));
        }
        if is_removed_first {
            tell(&mut engine, Input::Remove { item, source: Source::State });
        }
        for request in std::mem::take(&mut sent) {
            let commands = tell(&mut engine, Input::Answered(request, empty(409)));
            sent.extend(settle(&mut engine, commands));
        }
        if !is_removed_first {
            assert_eq!(engine.parked(item).map(|fault| fault.code), Some(Code::Conflict));
            tell(&mut engine, Input::Remove { item, source: Source::State });
        }
        sent.extend(settle(&mut engine, Vec::new()));
        assert!(sent.is_empty(), "sent: {is_sent}, removed first: {is_removed_first}");
        assert!(engine.pending(STORE).is_empty());
    }
}

/// Everything that is to be written is written, and who asks for an item gets somebody else's; the writes that are sent.
fn settle(engine: &mut Engine<MapRow>, mut commands: Vec<Command<MapRow>>) -> Vec<CommandId> {
    commands.extend(tell(engine, Input::TurnEnded));
    let mut sent = Vec::new();
    while let Some(command) = commands.pop() {
        commands.extend(match command {
            Command::Persist(batch, ..) => tell(engine, Input::Persisted(batch, Ok(()))),
            Command::FetchOne(read, ..) => tell(engine, Input::FetchedOne(read, json(200, remote("mine", &[(0, 5)])))),
            Command::Send(request, ..) => {
                sent.push(request);
                Vec::new()
            }
            _ => Vec::new(),
        });
    }
    sent
}

#[test]
fn a_tab_that_writes_no_records_closes_though_the_server_has_told_where_the_next_read_goes_on() {
    let mut engine = tab();
    let mut commands = tell(&mut engine, Input::Leads(STORE, false));
    commands.extend(tell(&mut engine, loaded(STORE, Vec::new(), None)));
    answer(&mut engine, &commands, Rows { cursor: Cursor::At("1".into()), complete: true, ..rows(&[]) });
    let closed = engine.handle(NOW, Input::Close(STORE, Token(1))).expect("it closes").settled;
    assert_eq!(closed, [(Token(1), Ok(()))]);
}

/// Between the load of a page and the moment at which it knows that it writes the records, the server may have told of a deletion.
#[test]
fn what_was_deleted_elsewhere_before_it_was_known_who_writes_the_records_is_erased() {
    let mut engine = tab();
    let commands = tell(&mut engine, loaded(STORE, vec![record(None)], Some("1")));
    let deleted = vec![Key::new("a", false)];
    answer(&mut engine, &commands, Rows { cursor: Cursor::At("2".into()), deleted, ..rows(&[]) });
    tell(&mut engine, Input::TurnEnded);
    tell(&mut engine, Input::Leads(STORE, true));
    let commands = tell(&mut engine, Input::NotesRead(STORE, Ok(Vec::new())));
    assert!(has(&commands, |write| matches!(write, Write::Erase(..))), "{commands:?}");
}

/// What another tab writes may be older than what this one has read: the next read goes on where the records are.
#[test]
fn the_cursor_is_moved_by_who_writes_the_records_alone() {
    for leads in [false, true] {
        let mut engine = tab();
        tell(&mut engine, Input::Leads(STORE, leads));
        let commands = tell(&mut engine, loaded(STORE, vec![record(None)], Some("1")));
        assert_eq!(cursor(&commands), Some("1".into()));
        answer(&mut engine, &commands, Rows { cursor: Cursor::At("2".into()), ..rows(&[("a", &[(0, 2)])]) });
        let commands = tell(&mut engine, Input::Fetch { store: STORE, token: Token(1), own: false });
        assert_eq!(cursor(&commands), Some(if leads { "2" } else { "1" }.into()));
    }
}

/// Where the read of the collection begins.
fn cursor(commands: &[Command<MapRow>]) -> Option<String> {
    commands.iter().find_map(|command| match command {
        Command::FetchAll(_, _, reading) => reading.cursor.clone(),
        _ => None,
    })
}

/// Only who sends decides what becomes of edits: what was answered before is asked once more.
#[test]
fn what_is_awaited_is_asked_for_again_by_the_tab_that_has_come_to_send() {
    let mut engine = tab();
    let sync = waiting(Settled::Awaited, Action::Update);
    let commands = tell(&mut engine, loaded(STORE, vec![record(Some(sync))], None));
    let read = asked_for_one(&commands).expect("it is asked for");
    tell(&mut engine, Input::FetchedOne(read, empty(404)));
    tell(&mut engine, Input::Leads(STORE, true));
    let commands = tell(&mut engine, Input::NotesRead(STORE, Ok(Vec::new())));
    let read = asked_for_one(&commands).expect("it is asked for again");
    tell(&mut engine, Input::FetchedOne(read, empty(404)));
    let item = the_item(&engine);
    assert_eq!(engine.parked(item).map(|fault| fault.code), Some(Code::GoneRemotely));
}

fn asked_for_one(commands: &[Command<MapRow>]) -> Option<CommandId> {
    commands.iter().find_map(|command| match command {
        Command::FetchOne(read, ..) => Some(*read),
        _ => None,
    })
}

/// A page that has no others, as in an insecure context, may find what one of several has left.
#[test]
fn a_removal_that_is_not_to_be_sent_goes_where_there_are_no_other_tabs() {
    let mut engine = Engine::new([7; 32]);
    tell(&mut engine, Input::Open(options(), MapRow::default()));
    let sync = waiting(Settled::New, Action::Delete);
    let commands = tell(&mut engine, loaded(STORE, vec![record(Some(sync))], None));
    assert!(engine.pending(STORE).is_empty() && !sends(&commands));
}
