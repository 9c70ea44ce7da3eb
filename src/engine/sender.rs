//! Several tabs over one client storage: which of them is the sender, and how the edits of the others come to it.
//!
//! The records of a store have one writer, the sender: it alone sends edits and writes rows down. The other tabs write notes
//! of their edits, in the order of their commits; the sender takes them in, and erases them in the transaction that
//! writes what came of them. What it has committed it tells the others, whose items are what the records say, and on top
//! of it their own edits that are not in them yet. What a tab was told is a hint: who missed something reads the records.
//!
//! A lock of the browser says who the sender is. A tab that does not answer loses it, though it may be frozen and not know; so
//! every batch of records passes a fence, a mark that says who wrote last, and one that finds another tab's mark is not written.
//! For the same reason an attempt is not sent again without having passed it a short while ago.

use super::{
    Engine,
    config::{HEARTBEAT, LEASE, SILENCE},
    edit::join,
    id::{CommandId, ItemId, Key, Seq, StoreId},
    input::Record,
    item::{AttemptState, Edit, Item},
    lifecycle::{Action, Settled},
    output::{Command, Say},
    row::{FieldSet, RemoteRow, Row},
    sorted::Set,
    store::Phase,
    time::{Instant, Millis},
};

/// Who wrote the records of a store last, and how often they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The tab; 0 for nobody.
    pub tab: u64,
    /// The number of batches.
    pub count: u64,
}

/// What was done to an item in a tab that does not write records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It was edited.
    Edit(Action),
    /// Its parked edit is to be sent again.
    Retry,
    /// Its edits were given up.
    Discard,
}

/// Such a deed, as it is stored.
#[derive(Clone, Debug)]
pub struct Note<R> {
    /// The item's key in client storage.
    pub storage_key: Key,
    /// Its key on the server, if it has one.
    pub remote_key: Option<Key>,
    /// What was done.
    pub deed: Deed,
    /// The fields that were edited.
    pub fields: FieldSet,
    /// Their values.
    pub row: R,
}

/// The notes of one transaction.
#[derive(Clone, Debug)]
pub struct Notes<R> {
    /// Where they are: ascends over all tabs in the order of the commits.
    pub place: u64,
    /// The tab.
    pub tab: u64,
    /// Counts the transactions of that tab.
    pub number: u32,
    /// In the order in which it was done.
    pub list: Vec<Note<R>>,
}

/// What one tab says to the others.
#[derive(Clone, Debug)]
pub enum Word<R> {
    /// Is there a sender?
    Hello,
    /// There are notes.
    Noted,
    /// Send what can be sent.
    Flush,
    /// That was done.
    Flushed,
    /// The sender is there, and this is its last commit.
    Here(Mark),
    /// The sender has committed a batch; what was in it, unless that is too much to say.
    Committed(Mark, Option<News<R>>),
}

/// What was in a batch of records.
#[derive(Clone, Debug)]
pub struct News<R> {
    /// The records.
    pub puts: Vec<Record<R>>,
    /// The keys of records that were erased.
    pub erased: Vec<Key>,
    /// The notes that are in them now: those of a tab up to this number.
    pub taken: Vec<(u64, u32)>,
}

/// A deed in this tab that is not known to be in a record.
#[derive(Clone, Debug)]
pub(super) struct Own {
    deed: Deed,
    fields: FieldSet,
    /// The version of the item that has it.
    version: u32,
    /// The transaction whose notes have it; 0 for none yet.
    number: u32,
}

/// Notes that are in the records in memory, and still to be erased: those of a tab up to this number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) tab: u64,
    pub(super) number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Not known yet.
    Joining,
    Following,
    Leading,
}

/// What a store knows of the other tabs.
#[derive(Clone, Debug)]
pub(super) struct Tabs {
    role: Role,
    /// The last batch of records that is in memory here.
    mark: Mark,
    /// The newest of which was heard while the records were read.
    heard: u64,
    /// Whether the records have to be read again.
    behind: bool,
    /// Whether they are being read again.
    reading: bool,
    /// Whether there may be notes to take in.
    noted: bool,
    /// Whether they are being read.
    reading_notes: bool,
    /// Whether nothing is sent, and no record is written, before they were: other tabs' may be older than what it would write.
    notes_first: bool,
    /// Whether edits of other tabs are shown that were in no record when they were read.
    shows_notes: bool,
    /// Notes up to this place are taken in.
    last_note: u64,
    taken: Vec<Taken>,
    /// This tab's own up to this number as well.
    own_taken: u32,
    /// The transactions of notes so far.
    number: u32,
    /// And up to when the records were last begun to be read.
    number_read: u32,
    /// Since when an answer of the sender is waited for.
    waiting_since: Option<Millis>,
    /// When it was last heard.
    heard_at: Millis,
    /// When the records were last read again.
    caught_up: Instant,
    /// When a batch last passed the fence.
    passed: Millis,
    /// Whether another tab waits until everything is sent.
    flushes: bool,
}

impl Tabs {
    pub(super) const fn new() -> Self {
        Self {
            role: Role::Joining,
            mark: Mark { tab: 0, count: 0 },
            heard: 0,
            behind: false,
            reading: false,
            noted: false,
            reading_notes: false,
            notes_first: false,
            shows_notes: false,
            last_note: 0,
            taken: Vec::new(),
            own_taken: 0,
            number: 0,
            number_read: 0,
            waiting_since: None,
            heard_at: Millis(0),
            caught_up: Instant(0),
            passed: Millis(0),
            flushes: false,
        }
    }

    fn keeps_records(&self) -> bool {
        self.role == Role::Leading && !self.notes_first
    }

    const fn is_busy(&self) -> bool {
        self.behind || self.reading
    }

    /// Notes are to be erased. Of one tab they were committed in the order of their numbers.
    fn take(&mut self, Taken { tab, number }: Taken) {
        match self.taken.iter_mut().find(|taken| taken.tab == tab) {
            Some(taken) => taken.number = taken.number.max(number),
            None => self.taken.push(Taken { tab, number }),
        }
    }
}

/// What may be written of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// Its records; behind a fence, if there may be other tabs.
    Records(Option<Mark>),
    /// Notes.
    Notes,
}

// What this tab may do.
impl<R: Row> Engine<R> {
    /// Whether this tab sends the edits of the store. Where client storage is of no use, every tab is for itself.
    pub(super) fn leads(&self, store: StoreId) -> bool {
        match &self.stores[store].tabs {
            None => true,
            Some(tabs) => tabs.keeps_records() && !tabs.is_busy() || self.is_shut_out(store),
        }
    }

    /// Whether this tab writes the records of the store.
    pub(super) fn keeps_records(&self, store: StoreId) -> bool {
        self.stores[store].tabs.as_ref().is_none_or(Tabs::keeps_records) || self.is_shut_out(store)
    }

    /// Whether this tab is the one that sends.
    #[must_use]
    pub fn is_sender(&self, store: StoreId) -> bool {
        self.stores[store].tabs.as_ref().is_none_or(|tabs| tabs.role == Role::Leading) || self.is_shut_out(store)
    }

    pub(super) fn writes(&self, store: StoreId) -> Writes {
        match &self.stores[store].tabs {
            None => Writes::Records(None),
            Some(tabs) if tabs.keeps_records() && !tabs.is_busy() => Writes::Records(Some(tabs.mark)),
            Some(_) => Writes::Notes,
        }
    }

    /// Whether another tab may have become the sender without this one having heard of it.
    pub(super) fn may_be_deposed(&self, store: StoreId) -> bool {
        self.stores[store].tabs.as_ref().is_some_and(|tabs| self.now.since(tabs.passed) > LEASE)
    }

    /// The number of this tab.
    fn tab(&mut self) -> u64 {
        let random = &mut self.random;
        *self.tab.get_or_insert_with(|| random.safe_integer().max(1))
    }

    /// Notes what the app has done, until a record has it.
    pub(super) fn own(&mut self, id: ItemId, deed: Deed, fields: FieldSet) {
        let Some(store) = self.items.get(id).map(|item| item.store) else { return };
        if self.stores[store].tabs.is_none() {
            return;
        }
        let Some(item) = self.items.get_mut(id) else { return };
        if let Some((overruled, _)) = &mut item.overruled {
            *overruled = overruled.without(fields);
        }
        match item.own.last_mut() {
            // What is on its way as a record must not be taken for what is not.
            Some(before) if before.number == 0 && before.version > item.issued && before.deed.takes_in(deed) => {
                before.fields = before.fields.with(fields);
                before.version = item.version + 1;
            }
            _ => item.own.push(Own { deed, fields, version: item.version + 1, number: 0 }),
        }
    }

    /// What was done here to an item that turned out to be this one is of this one.
    pub(super) fn take_over_own(&mut self, id: ItemId, own: Vec<Own>) {
        let Some(item) = self.items.get_mut(id) else { return };
        let version = item.version + 1;
        // What is in a note comes with that.
        item.own.extend(own.into_iter().filter(|own| own.number == 0).map(|own| Own { version, ..own }));
    }

    /// What was done in this tab to an item and is not on its way yet, as notes with this number.
    pub(super) fn take_notes(&mut self, id: ItemId, number: u32, list: &mut Vec<Note<R>>) {
        let Some(item) = self.items.get_mut(id) else { return };
        let issued = std::mem::replace(&mut item.issued, item.version);
        // What is in a record on its way is not noted as well.
        for own in item.own.iter_mut().filter(|own| own.number == 0 && own.version > issued) {
            own.number = number;
            list.push(Note {
                storage_key: item.storage_key.clone(),
                remote_key: item.remote_key.clone(),
                deed: own.deed,
                fields: own.fields,
                row: item.row.clone(),
            });
        }
    }

    /// The number of the next transaction of notes, and who writes it.
    pub(super) fn number_notes(&mut self, store: StoreId) -> (u64, u32) {
        let tab = self.tab();
        let number = self.stores[store].tabs.as_mut().map_or(0, |tabs| {
            tabs.number += 1;
            tabs.number
        });
        (tab, number)
    }

    /// The mark that a batch of records leaves.
    pub(super) fn own_tab(&mut self) -> u64 {
        self.tab()
    }

    /// The notes to erase with the next batch of records.
    pub(super) fn taken_notes(&mut self, store: StoreId) -> Vec<Taken> {
        self.stores[store].tabs.as_mut().map_or_else(Vec::new, |tabs| std::mem::take(&mut tabs.taken))
    }

    /// They were not erased.
    pub(super) fn restore_taken(&mut self, store: StoreId, taken: Vec<Taken>) {
        if let Some(tabs) = &mut self.stores[store].tabs {
            taken.into_iter().for_each(|taken| tabs.take(taken));
        }
    }
}

// What is heard of other tabs.
impl<R: Row> Engine<R> {
    /// The lock is this tab's, or is not.
    pub(super) fn lock_turned(&mut self, store: StoreId, won: bool) {
        let (phase, now) = (self.stores[store].phase, self.now);
        let Some(tabs) = self.stores[store].tabs.as_mut().filter(|_| phase != Phase::Closed) else { return };
        let before = tabs.role;
        (tabs.waiting_since, tabs.heard_at) = (None, now);
        if (before, won) == (Role::Leading, true) {
            return;
        }
        tabs.role = if won { Role::Leading } else { Role::Following };
        (tabs.flushes, tabs.notes_first) = (false, false);
        match (before, won) {
            (Role::Joining, true) => {
                tabs.noted = true;
                tabs.notes_first = true;
            }
            (Role::Following, true) => tabs.behind = true,
            (Role::Leading, true) | (Role::Following, false) => {}
            (Role::Joining, false) => {
                tabs.waiting_since = Some(now);
                self.say(store, Say::Hello);
            }
            (Role::Leading, false) => {
                tabs.behind = true;
                tabs.taken.clear();
                self.out.commands.push(Command::Lead(store, false));
            }
        }
        self.recall(store);
        self.changes(store);
        self.run();
    }

    /// What waits to be stored before it leaves goes back, and everything finds its place anew.
    fn recall(&mut self, store: StoreId) {
        let unsynced: Vec<ItemId> = self.stores[store].unsynced.iter().copied().collect();
        if !self.leads(store) {
            unsynced.iter().for_each(|id| self.unstore(*id));
        }
        self.reslot_all(store);
    }

    fn say(&mut self, store: StoreId, word: Say) {
        self.out.commands.push(Command::Say(store, word));
    }

    /// Another tab has said something.
    pub(super) fn heard_tab(&mut self, store: StoreId, word: Word<R>) {
        let (phase, is_shut_out) = (self.stores[store].phase, self.is_shut_out(store));
        let Some(tabs) = self.stores[store].tabs.as_mut().filter(|_| phase != Phase::Closed) else { return };
        // Who cannot write leaves the place to another.
        let leads = tabs.role == Role::Leading && !is_shut_out;
        match word {
            Word::Hello | Word::Noted if leads => {
                // Who has come may have been here before, and have gone before it could say that there are notes.
                tabs.noted = true;
                let mark = tabs.mark;
                self.say(store, Say::Here(mark));
            }
            Word::Flush if leads => {
                tabs.flushes = true;
                self.release_waits(store);
            }
            Word::Hello | Word::Noted | Word::Flush => {}
            Word::Flushed => {
                (tabs.waiting_since, tabs.heard_at) = (None, self.now);
                for token in std::mem::take(&mut self.stores[store].flushing) {
                    self.out.settled.push((token, Ok(())));
                }
            }
            Word::Here(mark) => self.heard_commit(store, mark, None),
            Word::Committed(mark, news) => self.heard_commit(store, mark, news),
        }
        self.run();
    }

    fn heard_commit(&mut self, store: StoreId, mark: Mark, news: Option<News<R>>) {
        let (phase, now) = (self.stores[store].phase, self.now);
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        if tabs.role != Role::Leading {
            (tabs.waiting_since, tabs.heard_at) = (None, now);
        }
        tabs.heard = tabs.heard.max(mark.count);
        if phase == Phase::Loading || tabs.is_busy() || mark.count <= tabs.mark.count {
            return;
        }
        match news {
            Some(news) if mark.count == tabs.mark.count + 1 && tabs.role != Role::Leading => {
                tabs.mark = mark;
                self.follow_news(store, news);
            }
            _ => {
                tabs.behind = true;
                self.recall(store);
            }
        }
    }

    fn follow_news(&mut self, store: StoreId, News { puts, erased, taken }: News<R>) {
        let shows_notes = |tabs: &mut Tabs| std::mem::take(&mut tabs.shows_notes);
        let mut is_unclear = !taken.is_empty() && self.stores[store].tabs.as_mut().is_some_and(shows_notes);
        for (tab, number) in taken {
            // What was done here may be in the record of another item than here, where a server has made two of one create.
            let is_put = |item: &Item<R>| {
                let is_it = |record: &Record<R>| {
                    let is_same_row = record.remote_key.is_some() && record.remote_key == item.remote_key;
                    record.storage_key == item.storage_key || is_same_row
                };
                puts.iter().any(is_it) || erased.contains(&item.storage_key)
            };
            let let_go = self.notes_are_kept(store, Taken { tab, number });
            is_unclear |= let_go.into_iter().any(|id| self.items.get(id).is_some_and(|item| !is_put(item)));
        }
        if let Some(tabs) = &mut self.stores[store].tabs {
            tabs.behind |= is_unclear;
        }
        for record in puts {
            self.adopt(store, record);
        }
        for key in erased {
            if let Some(id) = self.stores[store].by_storage.get(&key).copied() {
                self.forget(id);
            }
        }
    }

    /// Notes are in the records, and erased; the items of those that are of this tab.
    pub(super) fn notes_are_kept(&mut self, store: StoreId, taken: Taken) -> Vec<ItemId> {
        if taken.tab != self.tab() {
            return Vec::new();
        }
        self.let_own_go(store, |number| number <= taken.number)
    }

    /// What was noted with these numbers is in the records; the items that it was done to.
    fn let_own_go(&mut self, store: StoreId, is_taken: impl Fn(u32) -> bool) -> Vec<ItemId> {
        let is_gone = |own: &Own| own.number != 0 && is_taken(own.number);
        let is_it = |item: &Item<R>| item.store == store && item.own.iter().any(is_gone);
        let let_go: Vec<ItemId> = self.items.iter().filter(|(_, item)| is_it(item)).map(|(id, _)| id).collect();
        for id in &let_go {
            let Some(item) = self.items.get_mut(*id) else { continue };
            let is_made = |item: &Item<R>| item.own.iter().any(|own| own.deed == Deed::Edit(Action::Create));
            let was_made = is_made(item);
            item.own.retain(|own| !is_gone(own));
            item.kept |= item.own.is_empty() || was_made && !is_made(item);
        }
        let_go
    }

    /// A batch of records was committed.
    pub(super) fn passed_fence(&mut self, store: StoreId, batch: CommandId, since: Millis) {
        let tab = self.tab();
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        tabs.mark = Mark { tab, count: tabs.mark.count + 1 };
        tabs.heard = tabs.heard.max(tabs.mark.count);
        // A page may be frozen between the two.
        tabs.passed = tabs.passed.max(since);
        let mark = tabs.mark;
        self.say(store, Say::Committed(mark, batch));
    }

    /// Another tab has written since: what is in memory here is not what is stored.
    pub(super) fn outrun(&mut self, store: StoreId) {
        if let Some(tabs) = &mut self.stores[store].tabs {
            tabs.behind = true;
            tabs.taken.clear();
        }
        if self.stores[store].phase == Phase::Closed {
            self.leave_notes(store);
        }
        self.recall(store);
    }

    /// Notes were committed.
    pub(super) fn have_noted(&mut self, store: StoreId) {
        let now = self.now;
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        if tabs.role == Role::Leading {
            tabs.noted = true;
        } else {
            tabs.waiting_since.get_or_insert(now);
            self.say(store, Say::Noted);
        }
    }

    /// The app has asked for something: a good moment to look for notes of a tab that was gone before it could tell of them.
    pub(super) fn look_for_notes(&mut self, store: StoreId) {
        if let Some(tabs) = self.stores[store].tabs.as_mut().filter(|tabs| tabs.role == Role::Leading) {
            tabs.noted = true;
        }
    }

    /// Asks the sender to send.
    pub(super) fn pass_flush(&mut self, store: StoreId) {
        let now = self.now;
        if let Some(tabs) = self.stores[store].tabs.as_mut().filter(|tabs| tabs.role == Role::Following) {
            tabs.waiting_since.get_or_insert(now);
            self.say(store, Say::Flush);
        }
    }

    /// Says that everything is sent to whoever asked for that.
    pub(super) fn conclude_flush(&mut self, store: StoreId, is_done: bool) {
        if is_done
            && self.leads(store)
            && self.stores[store].tabs.as_mut().is_some_and(|tabs| std::mem::take(&mut tabs.flushes))
        {
            self.say(store, Say::Flushed);
        }
    }

    /// Sees to what each store has to read or to ask because of other tabs.
    pub(super) fn keep_up(&mut self) {
        for store in self.stores.ids() {
            if self.stores[store].phase != Phase::Open || self.is_shut_out(store) {
                continue;
            }
            let (now, is_writing) = (self.now, self.is_recording(store));
            if self.asks_at(store).is_some_and(|at| at <= now) {
                self.stores[store].tabs.iter_mut().for_each(|tabs| tabs.waiting_since = Some(now));
                self.say(store, Say::Hello);
            }
            let Some(tabs) = &mut self.stores[store].tabs else { continue };
            if tabs.behind && !tabs.reading && !is_writing {
                (tabs.behind, tabs.reading, tabs.number_read) = (false, true, tabs.number);
                self.out.commands.push(Command::Load(store));
            } else if tabs.role == Role::Leading && tabs.noted && !tabs.reading_notes && !tabs.is_busy() {
                (tabs.noted, tabs.reading_notes) = (false, true);
                self.out.commands.push(Command::ReadNotes(store));
            }
            if tabs.waiting_since.is_some_and(|since| now.since(since) >= SILENCE) {
                tabs.waiting_since = Some(now);
                self.out.commands.push(Command::Lead(store, true));
            }
        }
    }

    /// When this tab asks whether there is a sender still: one that is stuck keeps the lock, and sends nothing.
    fn asks_at(&self, store: StoreId) -> Option<Millis> {
        let tabs = self.stores[store].tabs.as_ref()?;
        let is_unsent = |id: &ItemId| self.items.get(*id).is_some_and(|item| item.parked().is_none());
        let waits = tabs.role == Role::Following && tabs.waiting_since.is_none();
        (waits && self.stores[store].unsynced.iter().any(is_unsent)).then(|| tabs.heard_at.after(HEARTBEAT))
    }

    /// When the sender is to be asked for a word, or has been silent for too long.
    pub(super) fn silences(&self) -> impl Iterator<Item = Millis> {
        self.stores.ids().filter_map(|store| {
            let tabs = self.stores[store].tabs.as_ref().filter(|_| self.stores[store].phase == Phase::Open)?;
            let silent_at = tabs.waiting_since.map(|since| since.after(SILENCE));
            silent_at.or_else(|| self.asks_at(store)).filter(|_| !self.is_shut_out(store))
        })
    }
}

// Reading what other tabs have written.
impl<R: Row> Engine<R> {
    /// The records were read for the first time.
    pub(super) fn begin_at(&mut self, store: StoreId, mark: Mark) {
        if let Some(tabs) = &mut self.stores[store].tabs {
            tabs.mark = mark;
            tabs.behind |= tabs.heard > mark.count;
        }
    }

    /// Whether the records of an open store are being read again.
    #[must_use]
    pub fn is_catching_up(&self, store: StoreId) -> bool {
        self.stores[store].phase == Phase::Open && self.stores[store].tabs.as_ref().is_some_and(|tabs| tabs.reading)
    }

    /// Whether they were since: then another tab may have deleted what was listed before that, and this tab has not heard of it.
    pub(super) fn has_caught_up_since(&self, store: StoreId, asked: Instant) -> bool {
        self.stores[store].tabs.as_ref().is_some_and(|tabs| tabs.caught_up > asked)
    }

    /// They were. What is here becomes what they say, with this tab's own edits on top.
    pub(super) fn read_again(&mut self, store: StoreId, records: Vec<Record<R>>, notes: Vec<Notes<R>>, mark: Mark) {
        let (tab, clock) = (self.tab(), self.clock);
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        tabs.reading = false;
        tabs.caught_up = clock;
        tabs.mark = mark;
        tabs.behind |= tabs.heard > mark.count;
        (tabs.notes_first, tabs.shows_notes) = (false, false);
        (tabs.last_note, tabs.own_taken) = (0, 0);
        tabs.taken.clear();
        // To have read them is no proof that nobody else writes them.
        tabs.passed = Millis(0);
        let (leads, read) = (tabs.role == Role::Leading, tabs.number_read);
        let waiting: Vec<u32> = notes.iter().filter(|notes| notes.tab == tab).map(|notes| notes.number).collect();
        self.let_own_go(store, |number| number <= read && !waiting.contains(&number));
        let noted = notes.iter().flat_map(|notes| &notes.list).filter(|note| note.deed == Deed::Edit(Action::Create));
        let noted = noted.map(|note| note.storage_key.text());
        let there: Set<&str> = records.iter().map(|record| record.storage_key.text()).chain(noted).collect();
        // What was read here has another key here.
        let keyed: Set<&str> =
            records.iter().filter_map(|record| record.remote_key.as_ref()).map(|key| key.text()).collect();
        let is_gone = |item: &Item<R>| {
            let is_made_here = item.own.iter().any(|own| own.deed == Deed::Edit(Action::Create));
            let is_there = there.contains(&item.storage_key.text())
                || item.remote_key.as_ref().is_some_and(|key| keyed.contains(&key.text()));
            // What another tab has edited, and this one has not written down, is in the notes, or done.
            let is_of_others = item.sync.is_some() && item.own.is_empty();
            item.store == store && (item.kept || is_of_others) && !is_made_here && !is_there
        };
        let gone: Vec<ItemId> = self.items.iter().filter(|(_, item)| is_gone(item)).map(|(id, _)| id).collect();
        for id in gone {
            // What the server has may never have been written down.
            if self.items.get(id).is_some_and(|item| !item.own.is_empty() && item.remote_key.is_some()) {
                self.lose_record(id);
            } else {
                self.forget(id);
            }
        }
        records.into_iter().for_each(|record| self.adopt(store, record));
        self.ask_awaited(store);
        self.drop_erasures(store);
        if leads {
            notes.into_iter().for_each(|notes| self.take_in_notes(store, notes));
            self.end_joining(store);
            self.drop_stillborn(store);
        } else {
            self.show_notes(store, notes);
            self.touch_unkept(store);
        }
        self.reslot_all(store);
        self.changes(store);
    }

    /// The notes were read.
    pub(super) fn notes_read(&mut self, store: StoreId, notes: Vec<Notes<R>>) {
        let is_open = self.stores[store].phase == Phase::Open;
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        tabs.reading_notes = false;
        if is_open && tabs.role == Role::Leading && !tabs.is_busy() {
            let was_first = tabs.notes_first;
            notes.into_iter().for_each(|notes| self.take_in_notes(store, notes));
            if was_first {
                self.end_joining(store);
            }
            self.drop_stillborn(store);
        }
        self.run();
    }

    /// They could not be.
    pub(super) fn notes_not_read(&mut self, store: StoreId) {
        if let Some(tabs) = &mut self.stores[store].tabs {
            tabs.reading_notes = false;
            tabs.behind = true;
            self.recall(store);
        }
        self.run();
    }

    /// The first load has brought the notes as well.
    pub(super) fn begin_with(&mut self, store: StoreId, notes: Vec<Notes<R>>) {
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        if tabs.role == Role::Leading && !tabs.behind {
            tabs.noted = false;
            notes.into_iter().for_each(|notes| self.take_in_notes(store, notes));
            self.end_joining(store);
            self.drop_stillborn(store);
        } else {
            self.show_notes(store, notes);
        }
    }

    /// Edits of other tabs that are in no record yet are seen all the same. What the sender makes of them is read when it has.
    fn show_notes(&mut self, store: StoreId, notes: Vec<Notes<R>>) {
        let own = self.tab();
        for notes in notes.into_iter().filter(|notes| notes.tab != own) {
            if let Some(tabs) = &mut self.stores[store].tabs {
                tabs.shows_notes = true;
            }
            for note in notes.list {
                let found = self.noted_item(store, &note);
                let is_known = found.is_some() || note.remote_key.is_some() || note.deed == Deed::Edit(Action::Create);
                if is_known && matches!(note.deed, Deed::Edit(_)) {
                    self.follow_note(store, found, note);
                }
            }
        }
    }

    /// From now on this tab writes records. Its own notes are in memory, those that are on their way as well: they are erased with the
    /// first of them.
    fn end_joining(&mut self, store: StoreId) {
        let tab = self.tab();
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        tabs.notes_first = false;
        let (number, taken) = (tabs.number, tabs.own_taken);
        if number > taken {
            tabs.take(Taken { tab, number });
        }
        if std::mem::take(&mut tabs.shows_notes) {
            // They are in memory already, and in no record.
            let unsynced: Vec<ItemId> = self.stores[store].unsynced.iter().copied().collect();
            unsynced.into_iter().for_each(|id| self.touch(id));
        }
        self.do_what_was_passed_on(store, taken);
        self.touch_unkept(store);
        self.reslot_all(store);
    }

    /// What this tab has left to the sender, which it is now, and was not in the notes up to this number.
    fn do_what_was_passed_on(&mut self, store: StoreId, taken: u32) {
        let is_left = |own: &Own| !matches!(own.deed, Deed::Edit(_)) && (own.number == 0 || own.number > taken);
        let mut left = Vec::new();
        for (id, item) in self.items.iter().filter(|(_, item)| item.store == store) {
            left.extend(item.own.iter().filter(|own| is_left(own)).map(|own| (id, own.deed)));
        }
        for (id, deed) in left {
            self.items.get_mut(id).into_iter().for_each(|item| item.own.retain(|own| !is_left(own)));
            match deed {
                Deed::Retry => self.retry_item(id),
                Deed::Discard => self.discard_item(id),
                Deed::Edit(_) => {}
            }
            self.touch(id);
        }
    }

    /// What was read here while another tab wrote the records, and what was not committed as a record, is written by this one. What was
    /// read before this tab caught up with the records and is in none may be gone by now: it is read once more.
    fn touch_unkept(&mut self, store: StoreId) {
        let leads = self.keeps_records(store);
        let caught_up = self.stores[store].tabs.as_ref().map_or(Instant(0), |tabs| tabs.caught_up);
        let is_outdated =
            |item: &Item<R>| !item.kept && item.own.is_empty() && item.sync.is_none() && item.heard < caught_up;
        let is_unkept = |item: &Item<R>| {
            let has_own = if leads { !item.own.is_empty() } else { item.is_unwritten() };
            item.store == store && (has_own || leads && (!item.kept || item.ahead.is_some()))
        };
        let unkept: Vec<ItemId> = self.items.iter().filter(|(_, item)| is_unkept(item)).map(|(id, _)| id).collect();
        for id in unkept {
            if self.items.get(id).is_some_and(is_outdated) {
                self.ask_collection(store);
            } else {
                self.touch(id);
            }
        }
    }

    /// What was made and removed before the server heard of it goes when client storage knows that it was removed, and that nothing
    /// was sent of it: no tab can bring it back, or has sent it.
    pub(super) fn drop_stillborn(&mut self, store: StoreId) {
        if !self.leads(store) {
            return;
        }
        let writes_ahead = self.writes_ahead(store);
        let is_stored = |id: &ItemId, item: &Item<R>| item.issued <= item.committed && !self.dirty.contains(id);
        let is_known = |id: &ItemId, item: &Item<R>| !writes_ahead || item.own.is_empty() && is_stored(id, item);
        let has_origin = self.stores[store].origin.is_some();
        let is_over = |item: &Item<R>| item.is_stillborn() || !has_origin && item.is_removed();
        let is_it = |id: &ItemId| self.items.get(*id).is_some_and(|item| is_over(item) && is_known(id, item));
        let unsynced = self.stores[store].unsynced.iter().copied();
        let stillborn: Vec<ItemId> = unsynced.filter(is_it).collect();
        stillborn.into_iter().for_each(|id| self.forget(id));
    }

    /// The store is to be closed: what is not written yet is left as notes, which any tab can take in.
    pub(super) fn leave_notes(&mut self, store: StoreId) {
        if let Some(tabs) = self.stores[store].tabs.as_mut().filter(|tabs| tabs.is_busy() || tabs.notes_first) {
            (tabs.behind, tabs.reading, tabs.role) = (false, false, Role::Following);
            tabs.notes_first = false;
        }
    }

    fn take_in_notes(&mut self, store: StoreId, Notes { place, tab, number, list }: Notes<R>) {
        let is_own = self.tab() == tab;
        let Some(tabs) = &mut self.stores[store].tabs else { return };
        if place <= tabs.last_note {
            return;
        }
        tabs.last_note = place;
        tabs.take(Taken { tab, number });
        if is_own {
            tabs.own_taken = tabs.own_taken.max(number);
        }
        for note in list {
            let found = self.noted_item(store, &note);
            let is_here = |item: &Item<R>| item.own.iter().any(|own| own.number == number);
            match found {
                // What was done here is in memory; its record has still to say so.
                Some(id) if is_own && matches!(note.deed, Deed::Edit(_)) && self.items.get(id).is_some_and(is_here) => {
                    self.touch(id);
                }
                None if is_own => {}
                found => self.follow_note(store, found, note),
            }
        }
    }

    /// Does what was done in another tab. What was done here and is not in the records yet is newer.
    fn follow_note_of(&mut self, id: ItemId, note: &Note<R>) {
        let Some(item) = self.items.get_mut(id).filter(|item| !item.is_removed()) else { return };
        let own_taken = self.stores[item.store].tabs.as_ref().map_or(0, |tabs| tabs.own_taken);
        let newer = note.fields.without(item.own_fields(own_taken));
        item.overrule(newer);
        let fields = item.row.diff(&note.row, newer);
        match note.deed {
            Deed::Edit(Action::Create) if item.remote_key.is_none() && item.sync.is_none() => {
                self.overwrite(id, fields, &note.row);
                self.record_edit(id, Action::Create, note.fields, Settled::New);
            }
            Deed::Edit(Action::Create | Action::Update) => {
                self.keep_base(id, note.fields);
                self.overwrite(id, fields, &note.row);
                self.record_edit(id, Action::Update, note.fields, Settled::Existent);
            }
            Deed::Edit(Action::Delete) => self.remove_item(id),
            Deed::Retry => self.retry_item(id),
            Deed::Discard => self.discard_item(id),
        }
        self.tell(id);
        self.touch(id);
    }

    /// The item of a note. What was read in the tab of the note has another key in client storage there.
    fn noted_item(&self, store: StoreId, note: &Note<R>) -> Option<ItemId> {
        let known = &self.stores[store];
        let by_key = note.remote_key.as_ref().and_then(|key| known.by_remote.get(key));
        by_key.or_else(|| known.by_storage.get(&note.storage_key)).copied()
    }

    fn follow_note(&mut self, store: StoreId, found: Option<ItemId>, note: Note<R>) {
        if let Some(id) = found {
            return self.follow_note_of(id, &note);
        }
        let is_new = note.deed == Deed::Edit(Action::Create);
        let is_edit = matches!(note.deed, Deed::Edit(_));
        if !(is_new || is_edit && note.remote_key.is_some()) {
            // What is not here and has no key was removed in the meantime: whoever still shows it is told so.
            return self.erase(store, note.storage_key, ItemId(u32::MAX));
        }
        // The rest of it is as old as the note, and is read.
        let known = if is_new { note.fields } else { self.stores[store].fields.without(note.fields) };
        let mut item = Item::new(store, note.row.pick(known), note.storage_key.clone());
        // What is read of it now is older than the edit, and is wanted all the same.
        item.touched = if is_new { self.clock } else { item.touched };
        item.remote_key.clone_from(&note.remote_key);
        item.awaited = !is_new;
        item.kept = true;
        if let Some(key) = &note.remote_key {
            item.row.set_remote_key(key);
        }
        let id = self.add(item);
        self.changes(store).added.push(id);
        if is_new {
            self.record_edit(id, Action::Create, note.fields, Settled::New);
            self.touch(id);
        } else {
            self.ask_awaited(store);
            self.follow_note_of(id, &note);
        }
    }

    /// The item of a record becomes what that says.
    fn adopt(&mut self, store: StoreId, record: Record<R>) {
        let known = &self.stores[store];
        let here = known.by_storage.get(&record.storage_key).copied();
        let twin = record.remote_key.as_ref().and_then(|key| known.by_remote.get(key)).copied();
        let Some(id) = here.or(twin) else {
            if let Some(id) = self.load(store, record) {
                let clock = self.clock;
                self.items.get_mut(id).into_iter().for_each(|item| item.touched = clock);
                self.relate(id);
                self.drop_double(id);
            }
            return;
        };
        let key = record.remote_key.clone();
        self.replace(id, record);
        let twin = key.filter(|key| self.lacks_key(id, key)).and_then(|key| self.adopt_key(id, key));
        if let Some(twin) = twin {
            self.absorb(id, twin);
        }
        self.drop_double(id);
        self.release(Some(id));
    }

    /// A row that was read here and is that of a create which another tab has sent, as far as one can see: it comes again with the
    /// answer to that.
    fn drop_double(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id).filter(|item| item.remote_key.is_none() && item.may_have_been_created())
        else {
            return;
        };
        let all = self.stores[item.store].fields;
        let is_double = |other: &Item<R>| {
            let read = other.store == item.store && other.remote_key.is_some() && !other.kept && other.sync.is_none();
            read && item.is_written_in(&RemoteRow { row: other.row.clone(), present: all, key: None })
        };
        let double = self.items.iter().find(|(_, other)| is_double(other)).map(|(double, _)| double);
        if let Some(double) = double {
            self.forget(double);
        }
    }

    /// It is in no record any more, but was edited here since: as if that were an edit of what is not here yet, it is asked for.
    fn lose_record(&mut self, id: ItemId) {
        self.free_lane(id);
        self.unslot(id);
        let Some(item) = self.items.get_mut(id) else { return };
        let was_removed = item.is_removed();
        (item.sync, item.validator, item.ahead, item.deciding) = (None, None, None, None);
        item.kept = false;
        item.awaited = !item.own.iter().any(|own| own.deed == Deed::Edit(Action::Delete));
        let row = item.row.clone();
        self.put_own_on_top(id, &row);
        self.has_changed(id, was_removed);
        self.reslot(id);
    }

    /// The queue and the page learn what an item has become.
    fn has_changed(&mut self, id: ItemId, was_removed: bool) {
        let Some(item) = self.items.get(id) else { return };
        let (store, unsynced, removed) = (item.store, item.sync.is_some(), item.is_removed());
        let known = &mut self.stores[store];
        if unsynced {
            known.unsynced.insert(id);
        } else {
            known.unsynced.remove(&id);
        }
        match (was_removed, removed) {
            (false, true) => self.changes(store).removed.push(id),
            (true, false) => self.changes(store).added.push(id),
            (true, true) | (false, false) => self.tell(id),
        }
    }

    /// What was done here and is in no record yet comes after what is.
    fn put_own_on_top(&mut self, id: ItemId, base: &R) {
        let Some(item) = self.items.get(id) else { return };
        let (own, has_origin) = (item.own.clone(), self.stores[item.store].origin.is_some());
        let known = item.sync.as_ref().and_then(|sync| sync.last_seq());
        self.next_seq = self.next_seq.max(known.unwrap_or(self.next_seq));
        for Own { deed, fields, .. } in own {
            let (key, last) = (self.random.uuid(), self.next_seq());
            let Some(item) = self.items.get_mut(id) else { return };
            if let Deed::Edit(action) = deed
                && (has_origin || action == Action::Delete)
            {
                let sync = item.sync_mut(if item.awaited { Settled::New } else { Settled::Existent });
                if sync.settled == Settled::Existent {
                    sync.add_base(fields.without(sync.base_fields), base);
                }
                let edit = Edit { action, fields, first: last, last, key };
                sync.pending = Some(put_behind(sync.pending.take(), edit));
            }
        }
    }

    fn lacks_key(&self, id: ItemId, key: &Key) -> bool {
        self.items.get(id).is_some_and(|item| item.remote_key.as_ref() != Some(key))
    }

    fn replace(&mut self, id: ItemId, record: Record<R>) {
        self.free_lane(id);
        self.unslot(id);
        let Some(item) = self.items.get_mut(id) else { return };
        let (store, was_removed) = (item.store, item.is_removed());
        let (all, clock) = (self.stores[store].fields, self.clock);
        if item.storage_key != record.storage_key {
            let before = std::mem::replace(&mut item.storage_key, record.storage_key.clone());
            let known = &mut self.stores[store].by_storage;
            known.remove(&before);
            known.insert(record.storage_key, id);
        }
        // What was read here and is in no record stays, where the record has not changed since.
        let news = item.ahead.as_ref().map_or(all, |before| before.diff(&record.row, all));
        if let Some(before) = &mut item.ahead {
            *before = record.row.pick(all);
        }
        let own = item.own_fields(0);
        let news = item.row.diff(&record.row, news.without(own));
        item.row.merge(news, &record.row);
        if let Some((fields, row)) = item.overruled.take() {
            item.row.merge(item.row.diff(&row, fields.and(own)), &row);
        }
        let before = std::mem::replace(&mut item.sync, record.sync);
        if let Some(sync) = &mut item.sync {
            sync.reload();
            sync.keep_going(before.as_deref());
            // The row here may be another one than that of the record.
            if let Some(attempt) = sync.in_flight.as_mut().filter(|attempt| attempt.edit.action != Action::Delete) {
                attempt.frozen.get_or_insert_with(|| record.row.pick(all));
            }
        }
        if record.remote_key.is_none()
            && let Some(key) = item.remote_key.take()
        {
            // An answer that came here and was not written down: it is asked for again, in the same words.
            self.stores[store].by_remote.remove(&key);
        }
        item.validator = record.validator;
        item.stale = item.sync.is_some();
        item.awaited = item.sync.as_ref().is_some_and(|sync| sync.awaits());
        item.kept = true;
        item.deciding = None;
        // The sender has written it down just now: no answer that was asked for before takes it back.
        item.touched = clock;
        self.put_own_on_top(id, &record.row);
        let Some(item) = self.items.get(id) else { return };
        let unsynced = item.sync.is_some();
        // Which edit of this tab is in which of another's nobody knows: all of them have to be taken.
        if let Some(last) = item.sync.as_ref().and_then(|sync| sync.last_seq()) {
            self.postpone_synced(id, last);
        }
        self.has_changed(id, was_removed);
        self.reslot(id);
        self.relate(id);
        if !unsynced {
            self.settle_synced(id, Seq(u64::MAX));
        }
        if let Some(fault) = self.items.get(id).and_then(|item| item.parked()).cloned() {
            self.reject_synced_after(id, None, &fault);
            self.reject_ready(id, &fault);
        }
    }
}

/// Two edits as one, where a create and its delete leave the delete: what has become of the create another tab knows.
pub(super) fn put_behind(before: Option<Edit>, edit: Edit) -> Edit {
    let Some(before) = before else { return edit };
    let (key, delete) = (edit.key, edit.clone());
    join(before, Some(edit), key).unwrap_or(delete)
}

impl Deed {
    /// Whether another one right behind it is the same as one.
    fn takes_in(self, other: Self) -> bool {
        matches!(self, Self::Edit(Action::Create | Action::Update)) && other == Self::Edit(Action::Update)
    }
}

impl<R: Row> super::item::Sync<R> {
    /// A request of this tab goes on, if it is about the same attempt.
    fn keep_going(&mut self, before: Option<&Self>) {
        let before = before.and_then(|sync| sync.in_flight.as_ref());
        if let (Some(now), Some(before)) = (&mut self.in_flight, before)
            && now.edit.key == before.edit.key
            && now.state == AttemptState::Ready
            && matches!(before.state, AttemptState::Sending(..) | AttemptState::Waiting(_))
        {
            now.state = before.state.clone();
            now.attempts = now.attempts.max(before.attempts);
            (now.strikes, now.lost) = (before.strikes, before.lost);
        }
    }
}

impl<R: Row> Item<R> {
    /// The fields that were edited here and are in no record yet, later than in the notes with this number.
    fn own_fields(&self, after: u32) -> FieldSet {
        let later = self.own.iter().filter(|own| own.number == 0 || own.number > after);
        later.fold(FieldSet::NONE, |fields, own| fields.with(own.fields))
    }

    /// Another tab has edited these fields since. What they are here is kept: if it turns out that this tab is not the one whose
    /// records count, both are put in order anew.
    fn overrule(&mut self, fields: FieldSet) {
        let over = fields.and(self.own_fields(0));
        match &mut self.overruled {
            Some((overruled, row)) => {
                row.merge(over.without(*overruled), &self.row);
                *overruled = overruled.with(over);
            }
            None if over.is_empty() => {}
            None => self.overruled = Some((over, self.row.pick(over))),
        }
    }

    /// Whether something was done here that is in no note and no record yet.
    pub(super) fn is_unwritten(&self) -> bool {
        self.own.iter().any(|own| own.number == 0)
    }

    /// Whether such is not on its way as a record either.
    pub(super) fn has_to_be_noted(&self) -> bool {
        self.own.iter().any(|own| own.number == 0 && own.version > self.issued)
    }

    /// Whether there is no such, and nothing else of it is on its way.
    pub(super) fn has_nothing_to_write(&self) -> bool {
        !self.is_unwritten() && self.issued <= self.committed
    }

    /// The notes with this number were not committed.
    pub(super) fn not_noted(&mut self, number: u32) {
        self.own.iter_mut().filter(|own| own.number == number).for_each(|own| own.number = 0);
    }

    /// Whether it was removed before the server heard of it.
    pub(super) fn is_stillborn(&self) -> bool {
        self.remote_key.is_none()
            && self.sync.as_ref().is_some_and(|sync| {
                let deletes = sync.pending.as_ref().is_some_and(|edit| edit.action == Action::Delete);
                deletes && sync.in_flight.is_none()
            })
    }

    /// This version is committed as a record.
    pub(super) fn recorded(&mut self, version: u32) {
        self.kept = true;
        self.ahead = None;
        self.own.retain(|own| own.number != 0 || own.version > version);
    }
}
