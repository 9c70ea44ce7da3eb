//! What tabs say to each other, and what each of them does about it.

use concordia::engine::{
    AttemptState, Engine,
    config::{HEARTBEAT, SILENCE},
    error::{Code, Fault, StorageFailure},
    id::{CommandId, Key, Token},
    input::{Input, Others, Record, Source},
    lifecycle::{Action, Settled},
    output::{Command, Output, Say},
    sender::{Mark, News, Word},
};

use super::{
    NOW, STORE, answer, begun, edit, follower, loaded_at, record, rows, sender, set, settle, tab, tell, the_item,
    waiting, written,
};
use crate::{
    page::{json, options, remote},
    row::MapRow,
};

/// The tab that sends, in the stories of one that does not.
const SENDER: u64 = 99;

const fn mark(count: u64) -> Mark {
    Mark { tab: SENDER, count }
}

fn say(engine: &mut Engine<MapRow>, word: Word<MapRow>) -> Vec<Command<MapRow>> {
    tell(engine, Input::Told(STORE, word))
}

fn said(commands: &[Command<MapRow>]) -> Vec<Say> {
    let word = |command: &Command<MapRow>| match command {
        Command::Say(_, word) => Some(word.clone()),
        _ => None,
    };
    commands.iter().filter_map(word).collect()
}

fn reads_notes(commands: &[Command<MapRow>]) -> bool {
    commands.iter().any(|command| matches!(command, Command::ReadNotes(_)))
}

fn reads_records(commands: &[Command<MapRow>]) -> bool {
    commands.iter().any(|command| matches!(command, Command::Load(_)))
}

fn news(puts: Vec<Record<MapRow>>) -> News<MapRow> {
    News { puts, erased: Vec::new(), taken: Vec::new() }
}

fn shown(engine: &Engine<MapRow>) -> Vec<Option<i64>> {
    engine.items(STORE).map(|item| engine.row(item).and_then(|row| row.get(0))).collect()
}

#[test]
fn who_sends_answers_who_comes_and_looks_for_its_notes() {
    for word in [Word::Hello, Word::Noted] {
        let mut leading = sender();
        let commands = say(&mut leading, word.clone());
        assert!(matches!(said(&commands)[..], [Say::Here(_)]) && reads_notes(&commands), "{commands:?}");
        for mut other in [tab(), follower(Vec::new())] {
            let commands = say(&mut other, word.clone());
            assert!(said(&commands).is_empty() && !reads_notes(&commands), "{commands:?}");
        }
    }
}

#[test]
fn the_page_learns_which_tab_sends() {
    let mut engine = tab();
    assert!(!engine.is_sender(STORE), "nobody knows yet");
    for leads in [true, false, true] {
        tell(&mut engine, Input::Leads(STORE, leads));
        assert_eq!(engine.is_sender(STORE), leads);
    }
    let mut alone = Engine::new([7; 32]);
    tell(&mut alone, Input::Open(options(), MapRow::default()));
    assert!(alone.is_sender(STORE), "there are no others");
}

#[test]
fn where_client_storage_is_of_no_use_every_tab_sends_its_own() {
    let mut engine = tab();
    tell(&mut engine, Input::Leads(STORE, false));
    let storage = options().storage.expect("it has one");
    tell(&mut engine, Input::StorageEnded(storage, StorageFailure::NewerVersion));
    assert!(engine.is_sender(STORE));
}

#[test]
fn another_tab_that_flushes_is_told_when_everything_is_sent() {
    let mut engine = sender();
    let request = made(&mut engine);
    assert_eq!(said(&say(&mut engine, Word::Flush)), []);
    let commands = tell(&mut engine, Input::Answered(request, json(201, remote("a", &[]))));
    assert_eq!(said(&commands), [Say::Flushed]);
    assert_eq!(said(&tell(&mut engine, Input::Woken)), [], "it is told once");
    assert_eq!(said(&say(&mut engine, Word::Flush)), [Say::Flushed], "there is nothing to send");
}

/// An edit that is on its way to the server.
fn made(engine: &mut Engine<MapRow>) -> CommandId {
    tell(engine, Input::Create { store: STORE, row: MapRow::of(&[(0, 1)]), key: None, source: Source::State });
    let [request] = settle(engine, Vec::new())[..] else { panic!("it is not sent") };
    request
}

/// Whoever asked has asked another tab meanwhile.
#[test]
fn a_flush_for_others_ends_with_the_lock() {
    let mut engine = sender();
    let request = made(&mut engine);
    assert_eq!(said(&say(&mut engine, Word::Flush)), []);
    tell(&mut engine, Input::Leads(STORE, false));
    tell(&mut engine, Input::Leads(STORE, true));
    let mut commands = tell(&mut engine, Input::Answered(request, json(201, remote("a", &[]))));
    commands.extend(tell(&mut engine, loaded_at(0, Vec::new())));
    assert!(!said(&commands).contains(&Say::Flushed), "{commands:?}");
}

#[test]
fn a_flush_in_a_tab_that_does_not_send_is_asked_of_the_one_that_does() {
    let mut engine = follower(Vec::new());
    edit(&mut engine);
    let Output { commands, settled, .. } = engine.handle(NOW, Input::Flush(STORE, Token(1))).expect("it flushes");
    assert_eq!((said(&commands), settled), (vec![Say::Flush], Vec::new()));
    let settled = engine.handle(NOW, Input::Told(STORE, Word::Flushed)).expect("it hears").settled;
    assert_eq!(settled, [(Token(1), Ok(()))]);
}

#[test]
fn a_flush_in_the_tab_that_sends_asks_nobody_and_looks_for_notes() {
    let mut engine = sender();
    let commands = tell(&mut engine, Input::Flush(STORE, Token(1)));
    assert!(said(&commands).is_empty() && reads_notes(&commands), "{commands:?}");
    let mut joining = tab();
    let commands = tell(&mut joining, Input::Flush(STORE, Token(1)));
    assert!(said(&commands).is_empty() && !reads_notes(&commands), "{commands:?}");
}

/// A sender that is frozen keeps the lock. What it says ends the wait, whatever it is.
#[test]
fn a_tab_whose_notes_or_whose_flush_nobody_answers_takes_the_lock() {
    let takes = |commands: &[Command<MapRow>]| commands.iter().any(|command| matches!(command, Command::Lead(_, true)));
    for flushes in [false, true] {
        for word in [None, Some(Word::Here(mark(0))), Some(Word::Committed(mark(1), None))] {
            let mut engine = follower(Vec::new());
            let batch = edit(&mut engine);
            if flushes {
                tell(&mut engine, Input::Flush(STORE, Token(1)));
            } else {
                assert_eq!(said(&tell(&mut engine, Input::Persisted(batch, Ok(())))), [Say::Noted]);
            }
            let is_answered = word.is_some();
            let wait = if is_answered { HEARTBEAT } else { SILENCE };
            word.into_iter().for_each(|word| drop(say(&mut engine, word)));
            let output = engine.handle(NOW, Input::Woken).expect("it wakes");
            assert_eq!(output.wake_at, Some(NOW.after(wait)));
            let commands = engine.handle(NOW.after(SILENCE), Input::Woken).expect("it wakes").commands;
            assert_eq!(takes(&commands), !is_answered, "flushes: {flushes}: {commands:?}");
        }
    }
}

#[test]
fn what_the_sender_has_committed_is_shown_without_reading_the_records() {
    let mut engine = follower(vec![record(None)]);
    let other = Record { row: MapRow::of(&[(0, 7)]), ..record(None) };
    let commands = say(&mut engine, Word::Committed(mark(1), Some(news(vec![other]))));
    assert!(!reads_records(&commands), "{commands:?}");
    assert_eq!(shown(&engine), [Some(7)]);
    let erased = vec![Key::new("k", false)];
    say(&mut engine, Word::Committed(mark(2), Some(News { erased, ..news(Vec::new()) })));
    assert_eq!(shown(&engine), []);
}

#[test]
fn who_has_missed_a_commit_reads_the_records() {
    for (count, reads) in [(0, false), (1, false), (2, true)] {
        let mut engine = follower(vec![record(None)]);
        let commands = say(&mut engine, Word::Committed(mark(count), Some(news(Vec::new()))));
        assert_eq!(reads_records(&commands), reads, "{count}: {commands:?}");
    }
    // Who writes them itself knows better than to go on with another's.
    let mut engine = sender();
    let commands = say(&mut engine, Word::Committed(mark(1), Some(news(vec![record(None)]))));
    assert!(reads_records(&commands), "{commands:?}");
}

/// A row of this key is another item here than there, where a server has made two of one create.
#[test]
fn a_commit_that_has_notes_of_this_tab_but_not_their_item_is_not_all_there_is_to_know() {
    let key = |text: &str| Key::new(text, false);
    for (storage_key, remote_key, erased, is_clear) in [
        (key("k"), Some(key("other")), None, true),
        (key("other"), Some(key("a")), None, true),
        (key("other"), Some(key("other")), Some(key("k")), true),
        (key("other"), Some(key("other")), None, false),
        (key("other"), None, None, false),
    ] {
        let mut engine = follower(vec![record(None)]);
        let own = change(&mut engine, 5);
        let put = Record { storage_key, remote_key, ..record(None) };
        let news = News { puts: vec![put], erased: erased.into_iter().collect(), taken: vec![own, (SENDER, 7)] };
        let commands = say(&mut engine, Word::Committed(mark(1), Some(news)));
        assert_eq!(reads_records(&commands), !is_clear, "{commands:?}");
    }
}

/// An edit of the first item, in notes that are written; whose they are, and their number.
fn change(engine: &mut Engine<MapRow>, value: i64) -> (u64, u32) {
    set(engine, 0, value);
    let (batch, notes) = written(&tell(engine, Input::TurnEnded));
    tell(engine, Input::Persisted(batch, Ok(())));
    let [notes] = &notes[..] else { panic!("not one list of notes: {notes:?}") };
    (notes.tab, notes.number)
}

#[test]
fn what_is_edited_here_stands_while_the_sender_takes_in_what_was_edited_before() {
    let mut engine = follower(vec![record(None)]);
    let first = change(&mut engine, 5);
    set(&mut engine, 0, 6);
    // In the turn of the second edit.
    let put = Record { row: MapRow::of(&[(0, 5)]), ..record(None) };
    let commands = say(&mut engine, Word::Committed(mark(1), Some(News { taken: vec![first], ..news(vec![put]) })));
    assert_eq!(shown(&engine), [Some(6)]);
    let commands = [commands, tell(&mut engine, Input::TurnEnded)].concat();
    let (_, notes) = written(&commands);
    assert_eq!(notes.iter().flat_map(|notes| &notes.list).count(), 1, "{notes:?}");
}

/// What another tab has edited is shown from its notes. Which of its items they have become is read.
#[test]
fn a_commit_that_has_notes_of_others_is_not_all_there_is_to_know_to_who_shows_them() {
    let mut writer = follower(vec![record(None)]);
    set(&mut writer, 0, 5);
    let (_, mut notes) = written(&tell(&mut writer, Input::TurnEnded));
    notes.iter_mut().for_each(|notes| notes.tab = 98);
    for (has_notes, is_taken) in [(true, true), (true, false), (false, true)] {
        let mut engine = tab();
        tell(&mut engine, Input::Leads(STORE, false));
        let notes = if has_notes { notes.clone() } else { Vec::new() };
        let (records, problem, cursor, lost) = (Ok(vec![record(None)]), None, None, None);
        let others = Others { notes, ..Others::default() };
        let commands = tell(&mut engine, Input::Loaded { store: STORE, records, problem, cursor, lost, others });
        assert_eq!(shown(&engine), [Some(if has_notes { 5 } else { 1 })]);
        answer(&mut engine, &commands, rows(&[]));
        let taken = if is_taken { vec![(98, 1)] } else { Vec::new() };
        let commands = say(&mut engine, Word::Committed(mark(1), Some(News { taken, ..news(Vec::new()) })));
        assert_eq!(reads_records(&commands), has_notes && is_taken, "{commands:?}");
    }
}

/// The lock was lost, the records are another tab's, and the store is to be closed: what was edited last is left as a note.
#[test]
fn a_store_that_closes_leaves_notes_of_what_another_tab_has_kept_it_from_writing() {
    let mut engine = sender();
    let batch = edit(&mut engine);
    assert!(engine.handle(NOW, Input::Close(STORE, Token(1))).expect("it closes").settled.is_empty());
    let commands = tell(&mut engine, Input::Persisted(batch, Err(StorageFailure::Outrun)));
    let (batch, notes) = written(&commands);
    assert_eq!(notes.iter().flat_map(|notes| &notes.list).count(), 1, "{commands:?}");
    let closed = engine.handle(NOW, Input::Persisted(batch, Ok(()))).expect("it closes").settled;
    assert_eq!(closed, [(Token(1), Ok(()))]);
}

/// The sender takes in the edit first, for which the item comes back in its records: until it reads of the removal.
#[test]
fn what_was_edited_and_removed_here_is_not_seen_again_after_another_tab_has_removed_it_as_well() {
    let mut engine = follower(vec![record(None)]);
    let edit = change(&mut engine, 5);
    let item = the_item(&engine);
    tell(&mut engine, Input::Remove { item, source: Source::State });
    tell(&mut engine, Input::TurnEnded);
    let erased = vec![Key::new("k", false)];
    say(&mut engine, Word::Committed(mark(1), Some(News { erased, ..news(Vec::new()) })));
    let put = Record { row: MapRow::of(&[(0, 5)]), ..record(Some(waiting(Settled::Awaited, Action::Update))) };
    say(&mut engine, Word::Committed(mark(2), Some(News { taken: vec![edit], ..news(vec![put]) })));
    assert_eq!(shown(&engine), []);
}

/// To give up an edit is no edit.
#[test]
fn what_is_gone_is_not_shown_again_because_its_edit_is_given_up_here() {
    let parked = AttemptState::Parked(Fault::new(Code::GoneRemotely, "it is gone"));
    let mut engine = follower(vec![record(Some(begun(Settled::Existent, Action::Update, parked)))]);
    let item = the_item(&engine);
    tell(&mut engine, Input::Discard(item));
    tell(&mut engine, Input::TurnEnded);
    let erased = vec![Key::new("k", false)];
    say(&mut engine, Word::Committed(mark(1), Some(News { erased, ..news(Vec::new()) })));
    assert_eq!(shown(&engine), []);
}

#[test]
fn a_tab_goes_on_from_the_records_that_it_has_read() {
    let load = |engine: &mut Engine<MapRow>, heard| {
        tell(engine, Input::Leads(STORE, false));
        say(engine, Word::Committed(mark(heard), None));
        tell(engine, loaded_at(3, Vec::new()))
    };
    for (heard, reads) in [(2, false), (3, false), (4, true)] {
        let commands = load(&mut tab(), heard);
        assert_eq!(reads_records(&commands), reads, "{heard} was heard: {commands:?}");
    }
    let mut engine = tab();
    load(&mut engine, 3);
    let commands = say(&mut engine, Word::Committed(mark(4), Some(news(vec![record(None)]))));
    assert!(!reads_records(&commands), "{commands:?}");
    assert_eq!(shown(&engine), [Some(1)]);
}

#[test]
fn what_is_heard_of_while_the_records_are_read_again_is_read_as_well() {
    for (heard, reads) in [(6, false), (7, true)] {
        let mut engine = follower(Vec::new());
        assert!(reads_records(&say(&mut engine, Word::Committed(mark(5), None))));
        assert!(!reads_records(&say(&mut engine, Word::Committed(mark(heard), None))), "one reading at a time");
        let commands = tell(&mut engine, loaded_at(6, Vec::new()));
        assert_eq!(reads_records(&commands), reads, "{heard} was heard: {commands:?}");
    }
}
