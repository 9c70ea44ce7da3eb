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

mod reading;

use super::{
    Engine,
    config::{HEARTBEAT, LEASE, SILENCE},
    id::{CommandId, ItemId, Key, StoreId},
    input::Record,
    item::{Item, Sync},
    lifecycle::{Action, Settled},
    output::{Command, Say},
    row::{FieldSet, Row},
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
    /// What tells this tab from others, once that matters: a store that a page opens anew is another tab of it, which has done nothing yet.
    own: Option<u64>,
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
            own: None,
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

    /// Whether there may be something of other tabs that is read presently.
    fn is_looking(&self) -> bool {
        self.is_busy() || self.role == Role::Leading && (self.noted || self.reading_notes)
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

    /// Whether what is not known here may have been made in another tab.
    pub(super) fn is_looking(&self, store: StoreId) -> bool {
        self.stores[store].tabs.as_ref().is_some_and(Tabs::is_looking) && !self.is_shut_out(store)
    }

    /// Whether it is still open who writes the records: then what the server has told of is this tab's to write, perhaps.
    pub(super) fn is_joining(&self, store: StoreId) -> bool {
        self.stores[store].tabs.as_ref().is_some_and(|tabs| tabs.role == Role::Joining || tabs.notes_first)
    }

    /// Whether another tab may have become the sender without this one having heard of it.
    pub(super) fn may_be_deposed(&self, store: StoreId) -> bool {
        self.stores[store].tabs.as_ref().is_some_and(|tabs| self.now.since(tabs.passed) > LEASE)
    }

    /// The number of this tab, for those of the store.
    pub(super) fn tab(&mut self, store: StoreId) -> u64 {
        let random = &mut self.random;
        let tabs = self.stores[store].tabs.as_mut();
        tabs.map_or(0, |tabs| *tabs.own.get_or_insert_with(|| random.safe_integer().max(1)))
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
        let tab = self.tab(store);
        let number = self.stores[store].tabs.as_mut().map_or(0, |tabs| {
            tabs.number += 1;
            tabs.number
        });
        (tab, number)
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
                self.lose_record(id);
            }
        }
    }

    /// Notes are in the records, and erased; the items of those that are of this tab.
    pub(super) fn notes_are_kept(&mut self, store: StoreId, taken: Taken) -> Vec<ItemId> {
        if taken.tab != self.tab(store) {
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
            item.own.retain(|own| !is_gone(own));
            item.kept = true;
        }
        let_go
    }

    /// A batch of records was committed.
    pub(super) fn passed_fence(&mut self, store: StoreId, batch: CommandId, since: Millis) {
        let tab = self.tab(store);
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

impl Deed {
    /// Whether another one right behind it is the same as one.
    fn takes_in(self, other: Self) -> bool {
        matches!(self, Self::Edit(Action::Create | Action::Update)) && other == Self::Edit(Action::Update)
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

    /// Whether some of it was read by this tab and is in no record.
    pub(super) fn is_read_here(&self) -> bool {
        self.ahead.is_some() || self.is_in_no_record()
    }

    /// Whether nothing but a read has brought it.
    pub(super) fn is_in_no_record(&self) -> bool {
        !self.kept && self.own.is_empty() && self.sync.is_none()
    }

    /// Whether it was removed before the server took it.
    pub(super) fn is_stillborn(&self) -> bool {
        let is_it = |sync: &Sync<R>| sync.settled == Settled::New && sync.in_flight.is_none() && sync.deletes();
        self.sync.as_deref().is_some_and(is_it)
    }

    /// This version is committed as a record.
    pub(super) fn recorded(&mut self, version: u32) {
        self.kept = true;
        self.ahead = None;
        self.own.retain(|own| own.number != 0 || own.version > version);
    }
}
