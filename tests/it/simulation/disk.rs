//! A client storage that can crash: batches are committed in the order in which they were issued, each whole or not at
//! all; records are copies.

use std::collections::{BTreeMap, VecDeque};

use concordia::engine::{
    error::StorageFailure,
    id::{CommandId, Key, StoreId},
    input::Record,
    output::Write,
    sender::{Mark, Note, Notes},
};

use crate::row::{MapRow, deep_record};

#[derive(Default)]
pub struct Disk {
    records: BTreeMap<(u16, Key), Record<MapRow>>,
    cursors: BTreeMap<u16, String>,
    issued: VecDeque<(CommandId, Vec<Write<MapRow>>)>,
    /// Committed or not, but not told yet.
    done: VecDeque<(CommandId, Result<(), StorageFailure>)>,
    /// Works no more in this page.
    pub refusing: bool,
    marks: BTreeMap<u16, Mark>,
    notes: BTreeMap<(u16, u64), Notes<MapRow>>,
    places: u64,
}

impl Disk {
    pub fn issue(&mut self, command: CommandId, writes: &[Write<MapRow>]) {
        self.issued.push_back((command, Self::copies(writes)));
    }

    /// What a transaction takes over of what it is given.
    pub fn copies(writes: &[Write<MapRow>]) -> Vec<Write<MapRow>> {
        let copy = |write: &Write<MapRow>| match write {
            Write::Put(store, item, record) => Write::Put(*store, *item, deep_record(record)),
            Write::Erase(store, item, key) => Write::Erase(*store, *item, key.clone()),
            Write::Cursor(store, cursor) => Write::Cursor(*store, cursor.clone()),
            Write::Fence { store, tab, seen } => Write::Fence { store: *store, tab: *tab, seen: *seen },
            Write::Forget { store, tab, number } => Write::Forget { store: *store, tab: *tab, number: *number },
            Write::After(command) => Write::After(*command),
            Write::Notes { store, tab, number, list } => {
                let deep = |note: &Note<MapRow>| Note { row: note.row.deep(), ..note.clone() };
                Write::Notes { store: *store, tab: *tab, number: *number, list: list.iter().map(deep).collect() }
            }
        };
        writes.iter().map(copy).collect()
    }

    pub fn is_busy(&self) -> bool {
        !(self.issued.is_empty() && self.done.is_empty())
    }

    pub fn has_issued(&self) -> bool {
        !self.issued.is_empty()
    }

    /// Ends the oldest transaction.
    pub fn finish(&mut self, failure: Option<StorageFailure>) {
        let Some((command, writes)) = self.issued.pop_front() else { return };
        let failure = if self.refusing { Some(StorageFailure::Refused("gone".into())) } else { failure };
        let result = match failure {
            Some(failure) => {
                self.refusing |= matches!(failure, StorageFailure::Refused(_) | StorageFailure::NewerVersion);
                Err(failure)
            }
            None => self.write(writes),
        };
        self.done.push_back((command, result));
    }

    /// One transaction.
    pub fn write(&mut self, writes: Vec<Write<MapRow>>) -> Result<(), StorageFailure> {
        let is_behind = |write: &Write<MapRow>| match write {
            Write::Fence { store, tab, seen } => {
                let mark = self.mark(*store);
                mark.tab != *tab && mark != *seen
            }
            _ => false,
        };
        if writes.iter().any(is_behind) {
            return Err(StorageFailure::Outrun);
        }
        self.apply(writes);
        Ok(())
    }

    /// Who wrote the records of a store last.
    pub fn mark(&self, store: StoreId) -> Mark {
        self.marks.get(&store.0).copied().unwrap_or_default()
    }

    /// The notes of a store, as copies.
    pub fn notes(&self, store: StoreId) -> Vec<Notes<MapRow>> {
        let deep = |notes: &Notes<MapRow>| {
            let list = notes.list.iter().map(|note| Note { row: note.row.deep(), ..note.clone() }).collect();
            Notes { list, ..*notes }
        };
        self.notes.iter().filter(|((of, _), _)| *of == store.0).map(|(_, notes)| deep(notes)).collect()
    }

    /// What the page is told next.
    pub fn tell(&mut self) -> Option<(CommandId, Result<(), StorageFailure>)> {
        self.done.pop_front()
    }

    /// The page is gone: of what was under way, the first `kept` transactions are committed.
    pub fn crash(&mut self, kept: usize) {
        for _ in 0..kept {
            self.finish(None);
        }
        self.issued.clear();
        self.done.clear();
        self.refusing = false;
    }

    /// The browser throws the database away: the stores of which something is gone, and how many records.
    pub fn wipe(&mut self) -> BTreeMap<u16, u32> {
        let mut lost = BTreeMap::new();
        for ((store, _), _) in std::mem::take(&mut self.records) {
            *lost.entry(store).or_default() += 1;
        }
        self.cursors.clear();
        lost
    }

    pub fn issued(&self) -> usize {
        self.issued.len()
    }

    fn apply(&mut self, writes: Vec<Write<MapRow>>) {
        for write in writes {
            match write {
                Write::Put(store, _, record) => {
                    self.records.insert((store.0, record.storage_key.clone()), record);
                }
                Write::Erase(store, _, key) => {
                    self.records.remove(&(store.0, key));
                }
                Write::Cursor(store, Some(cursor)) => {
                    self.cursors.insert(store.0, cursor);
                }
                Write::Cursor(store, None) => {
                    self.cursors.remove(&store.0);
                }
                Write::Fence { store, tab, .. } => {
                    self.marks.insert(store.0, Mark { tab, count: self.mark(store).count + 1 });
                }
                Write::Notes { store, tab, number, list } => {
                    self.places += 1;
                    self.notes.insert((store.0, self.places), Notes { place: self.places, tab, number, list });
                }
                Write::Forget { store, tab, number } => {
                    self.notes.retain(|(of, _), notes| *of != store.0 || notes.tab != tab || notes.number > number);
                }
                Write::After(_) => {}
            }
        }
    }

    pub fn get(&self, store: StoreId, key: &Key) -> Option<&Record<MapRow>> {
        self.records.get(&(store.0, key.clone()))
    }

    /// Everything of a store, as copies.
    pub fn load(&self, store: StoreId) -> Vec<Record<MapRow>> {
        self.of(store).map(deep_record).collect()
    }

    /// Where the next read of a store goes on.
    pub fn cursor(&self, store: StoreId) -> Option<String> {
        self.cursors.get(&store.0).cloned()
    }

    pub fn of(&self, store: StoreId) -> impl Iterator<Item = &Record<MapRow>> {
        self.records.iter().filter(move |((of, _), _)| *of == store.0).map(|(_, record)| record)
    }
}
