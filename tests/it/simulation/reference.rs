//! What must hold, by what the app did, what its promises said, and the server's log. Each check is a function with the
//! name of its invariant in the design.

use concordia::engine::{
    Engine,
    error::{Code, Fault},
    id::{ItemId, Key, StoreId},
    input::Record,
    lifecycle::Action,
    output::Request,
};

use super::{
    disk::Disk,
    server::{Class, Effect, Order, Server, ServerRow},
};
use crate::row::{FIELDS, Fields, MapRow};

/// A broken invariant.
#[derive(Debug, Clone)]
pub struct Violation {
    pub invariant: &'static str,
    pub text: String,
}

pub type Check = Result<(), Violation>;

pub fn broken(invariant: &'static str, text: impl Into<String>) -> Check {
    Err(Violation { invariant, text: text.into() })
}

/// One item as the app knows it, over restarts: its key in client storage is its name.
#[derive(Clone, Debug)]
pub struct Thing {
    pub store: u16,
    pub storage_key: Key,
    pub remote_key: Option<Key>,
    pub item: ItemId,
    /// Made by the app.
    pub is_created: bool,
    /// Under a key of the app's own.
    pub is_own: bool,
    /// The app's last edit of each field, as the value that it set.
    pub expected: Fields,
    /// The last edits that were said to be stored.
    floor: Fields,
    is_stored: bool,
    pub is_removed: bool,
    removal_stored: bool,
    was_removed: bool,
    /// How often: a removal may be given up, and come again.
    removals: u32,
    /// It was two for a while, and both were edited: the edits of one of them stand.
    is_joined: bool,
    pub is_visible: bool,
    has_unsynced: bool,
    /// Went for good reason, as far as this page knows.
    is_gone: bool,
    /// Its edits were given up, which is not stored yet: after a crash they may be back.
    is_loose: bool,
    /// How often its edits were given up.
    discards: u32,
    /// Something of it was sent although it could not be stored: no promises about its requests over a restart.
    pub sent_unstored: bool,
    /// The answer to its create was lost at least once.
    pub answer_lost: bool,
    creates: u32,
}

/// A promise that the app waits for.
#[derive(Clone, Debug)]
pub enum Promise {
    Stored(Snapshot),
    Synced(Snapshot),
    Other,
}

/// What the app had done when it asked.
#[derive(Clone, Debug)]
pub struct Snapshot {
    thing: usize,
    expected: Fields,
    is_removed: bool,
    removals: u32,
    discards: u32,
}

#[derive(Default)]
pub struct Reference {
    pub things: Vec<Thing>,
    /// Whose edit each number is.
    edits: Vec<usize>,
    seen: Vec<(usize, Fields)>,
    /// Whether an edit may be given up for what the server holds.
    gives_way: bool,
}

impl Reference {
    /// `gives_way`: whether an edit may be given up for what the server holds.
    pub fn new(gives_way: bool) -> Self {
        Self { gives_way, ..Self::default() }
    }
}

/// The number of the edit that set an own value.
fn number(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0) / FIELDS
}

/// The item of a page that is gone.
const NO_ITEM: ItemId = ItemId(u32::MAX);

const APP_FIELDS: usize = FIELDS - 1;

// What the app does.
impl Reference {
    /// The values of the next edit, which sets these fields.
    pub fn next_values(&self, mask: u8) -> Fields {
        let number = i64::try_from(self.edits.len() + 1).unwrap_or(0);
        std::array::from_fn(|field| {
            let width = i64::try_from(FIELDS).unwrap_or(1);
            let place = i64::try_from(field).unwrap_or(0);
            (field < APP_FIELDS && mask & (1 << field) != 0).then_some(number * width + place)
        })
    }

    fn note_edit(&mut self, thing: usize, values: &Fields) {
        self.edits.push(thing);
        for (expected, value) in self.things[thing].expected.iter_mut().zip(values) {
            *expected = value.or(*expected);
        }
    }

    pub fn created(&mut self, engine: &Engine<MapRow>, item: ItemId, values: &Fields, is_own: bool) -> Check {
        let thing = self.meet(engine, item)?;
        self.things[thing].is_created = true;
        self.things[thing].is_own = is_own;
        self.note_edit(thing, values);
        Ok(())
    }

    pub fn updated(&mut self, thing: usize, values: &Fields) {
        self.note_edit(thing, values);
    }

    pub fn removed(&mut self, thing: usize) {
        let thing = &mut self.things[thing];
        thing.is_removed = true;
        thing.was_removed = true;
        thing.removals += 1;
        thing.removal_stored = false;
        thing.is_visible = false;
    }

    /// The app gave up its edits: what is visible now is what it expects.
    pub fn discarded(&mut self, thing: usize, item: ItemId, engine: &Engine<MapRow>) {
        let thing = &mut self.things[thing];
        thing.item = item;
        thing.is_loose = true;
        thing.discards += 1;
        thing.floor = [None; FIELDS];
        let id = thing.item;
        let store = engine.store_of(id);
        let is_visible = store.is_some_and(|store| engine.items(store).any(|item| item == id));
        if is_visible {
            thing.is_removed = false;
            let fields = engine.row(id).map(MapRow::fields).unwrap_or_default();
            thing.expected = fields.map(|value| value.filter(|value| *value > 0));
        } else if store.is_none() {
            // With its removal, if it was removed: a row that turns out to be there after all is no resurrection.
            thing.is_removed = false;
            thing.is_gone = true;
            thing.is_visible = false;
        }
    }

    pub fn snapshot(&self, thing: usize) -> Snapshot {
        let it = &self.things[thing];
        Snapshot {
            thing,
            expected: it.expected,
            is_removed: it.is_removed,
            removals: it.removals,
            discards: it.discards,
        }
    }

    pub fn find(&self, store: u16, storage_key: &Key) -> Option<usize> {
        self.things.iter().position(|thing| thing.store == store && thing.storage_key == *storage_key)
    }

    fn meet(&mut self, engine: &Engine<MapRow>, item: ItemId) -> Result<usize, Violation> {
        let found = (engine.store_of(item), engine.row(item), engine.storage_key(item).cloned());
        let (Some(store), Some(row), Some(storage_key)) = found else {
            return Err(Violation { invariant: "ids", text: format!("{item:?} has no key for client storage") });
        };
        if let Some(thing) = self.find(store.0, &storage_key) {
            return Ok(thing);
        }
        self.things.push(Thing {
            store: store.0,
            storage_key,
            remote_key: row.remote_key(),
            item,
            is_created: false,
            is_own: false,
            expected: [None; FIELDS],
            floor: [None; FIELDS],
            is_stored: false,
            is_removed: false,
            removal_stored: false,
            was_removed: false,
            removals: 0,
            is_joined: false,
            is_visible: true,
            has_unsynced: false,
            is_gone: false,
            is_loose: false,
            discards: 0,
            sent_unstored: false,
            answer_lost: false,
            creates: 0,
        });
        Ok(self.things.len() - 1)
    }

    /// The answer to the create that set this value was lost, or told no key.
    pub fn answer_lost(&mut self, value: Option<i64>) {
        if let Some(owner) = value.and_then(|value| self.edits.get(number(value).wrapping_sub(1)).copied()) {
            self.things[owner].answer_lost = true;
        }
    }

    /// The page is gone. What had been taken by the server but not noted here counts as a lost answer.
    pub fn crashed(&mut self, disk: &Disk) {
        for thing in &mut self.things {
            thing.is_visible = false;
            thing.item = NO_ITEM;
            let record = disk.get(StoreId(thing.store), &thing.storage_key);
            thing.remote_key = record.map_or(thing.remote_key.take(), |record| record.remote_key.clone());
        }
        for thing in self.things.iter_mut().filter(|thing| thing.creates > 0) {
            let record = disk.get(StoreId(thing.store), &thing.storage_key);
            thing.answer_lost |= record.is_none_or(|record| record.remote_key.is_none());
            thing.answer_lost |= record.is_some_and(|record| {
                let attempt = record.sync.as_ref().and_then(|sync| sync.in_flight.as_ref());
                attempt.is_some_and(|attempt| attempt.edit.action == Action::Create)
            });
        }
    }
}

// What the browser does.
impl Reference {
    /// It has thrown the database away: what was stored is gone, and what was sent of it nobody here knows any more.
    pub fn wiped(&mut self) {
        for thing in &mut self.things {
            (thing.expected, thing.floor) = ([None; FIELDS], [None; FIELDS]);
            (thing.is_stored, thing.is_removed, thing.removal_stored) = (false, false, false);
            (thing.is_gone, thing.is_loose, thing.has_unsynced) = (true, false, false);
            (thing.sent_unstored, thing.answer_lost) = (true, true);
            thing.discards += 1;
        }
    }
}

// What the app sees, after every step.
impl Reference {
    pub fn look(&mut self, engine: &Engine<MapRow>, server: &Server, stores: &[StoreId]) -> Check {
        let mut seen = std::mem::take(&mut self.seen);
        seen.clear();
        for store in stores {
            for item in engine.items(*store) {
                let Some(row) = engine.row(item) else { continue };
                let known = self.things.len();
                let thing = self.meet(engine, item)?;
                if thing == known {
                    self.no_doubles(thing, row, server)?;
                }
                if seen.iter().any(|(other, _)| *other == thing) {
                    return broken("no invention", format!("{row:?} is there twice"));
                }
                seen.push((thing, row.fields()));
                let it = &mut self.things[thing];
                it.item = item;
                it.remote_key = row.remote_key();
            }
        }
        for thing in self.things.iter_mut().filter(|thing| thing.is_removed && thing.remote_key.is_none()) {
            // Its key may have come since: then it shows on the handle that the app still has.
            thing.remote_key = engine.row(thing.item).and_then(MapRow::remote_key);
        }
        for thing in 0..self.things.len() {
            if self.things[thing].is_visible && !seen.iter().any(|(other, _)| *other == thing) {
                self.no_mass_deletion(thing, engine, server, &seen)?;
            }
        }
        for (thing, fields) in &seen {
            if self.gives_way {
                self.gave_way(*thing, fields, server);
            }
            self.no_resurrection(*thing, server)?;
            self.optimism(*thing, fields, server)?;
            let it = &mut self.things[*thing];
            it.is_visible = true;
            it.is_gone = false;
            it.has_unsynced = !engine.is_synced(it.item) && it.expected.iter().any(Option::is_some);
        }
        self.seen = seen;
        Ok(())
    }

    /// What the server holds may stand against an edit, if the app has said so.
    fn gave_way(&mut self, thing: usize, fields: &Fields, server: &Server) {
        let it = &self.things[thing];
        let row = it.remote_key.as_ref().and_then(|key| server.find(it.store, key)).map(|place| &server.rows[place]);
        let Some(row) = row else { return };
        let gone = |field: &usize| fields[*field] != it.expected[*field] && row.held(*field, fields[*field]);
        let gone: Vec<usize> = (0..FIELDS).filter(gone).collect();
        let it = &mut self.things[thing];
        let is_back = std::mem::take(&mut it.is_removed);
        if is_back {
            it.removal_stored = false;
        }
        let is_loss = gone.iter().any(|field| it.expected[*field].is_some());
        for field in gone {
            it.expected[field] = fields[field].filter(|value| *value > 0);
            it.floor[field] = None;
        }
        if is_back || is_loss {
            it.discards += 1;
            it.is_loose = true;
        }
    }

    /// Invariant 5: a read after a write gives the written value; no answer takes back a field with a newer edit.
    fn optimism(&self, thing: usize, fields: &Fields, server: &Server) -> Check {
        let it = &self.things[thing];
        for (field, value) in fields.iter().enumerate() {
            if *value == it.expected[field] {
                continue;
            }
            let row =
                it.remote_key.as_ref().and_then(|key| server.find(it.store, key)).map(|place| &server.rows[place]);
            let is_fair = match (row, it.expected[field]) {
                (Some(row), None) => row.held(field, *value),
                (Some(row), expected) => row.held_after(field, expected, *value),
                (None, _) => value.is_none() && it.expected[field].is_none(),
            };
            if !is_fair {
                let text = format!(
                    "field {field} shows {value:?}, the last edit was {:?}: {it:?} {row:?}",
                    it.expected[field]
                );
                return broken("optimism", text);
            }
        }
        Ok(())
    }

    /// Invariant 7: a deleted item never comes back by itself.
    fn no_resurrection(&self, thing: usize, server: &Server) -> Check {
        let it = &self.things[thing];
        if it.is_removed {
            return broken("no resurrection", format!("{it:?} is back {:?}", server.class));
        }
        Ok(())
    }

    /// Invariant 7, for rows that a fetch brought: none is one that was deleted, or that is here already.
    fn no_doubles(&self, thing: usize, row: &MapRow, server: &Server) -> Check {
        let it = &self.things[thing];
        if row.fields() == [None; FIELDS] {
            // The app itself asked for it, by its key.
            return Ok(());
        }
        let of_removed = |other: &Thing| {
            other.is_removed
                && other.store == it.store
                && other.remote_key.is_some()
                && other.remote_key == it.remote_key
        };
        let is_excused = |other: &Thing| {
            // It is not the row of an answer that was lost, or it does not look like it any longer.
            let altered = it.remote_key.as_ref().and_then(|key| server.find(it.store, key));
            altered.is_some_and(|place| server.rows[place].is_altered)
                || (server.class == Class::Plain && other.answer_lost)
                || other.sent_unstored
                || other.discards > 0
                || other.is_own
        };
        // A plain server answers the repeated create of a key of the app's own with a conflict; if the app has that sent
        // again and removes the item before it leaves, nothing is left that tells whose row it is.
        let is_unknown = |other: &Thing| other.is_own && other.answer_lost && server.class == Class::Plain;
        let is_back = |other: &Thing| of_removed(other) && !other.sent_unstored && !is_unknown(other);
        if self.things[..thing].iter().any(is_back) {
            return broken("no resurrection", format!("{row:?} was deleted"));
        }
        for value in row.fields().into_iter().flatten().filter(|value| *value > 0) {
            let Some(owner) = self.edits.get(number(value).wrapping_sub(1)).map(|owner| &self.things[*owner]) else {
                return broken("no invention", format!("{row:?} has a value that nobody wrote"));
            };
            let is_here = owner.is_visible && owner.remote_key.is_none();
            if owner.is_created && (owner.is_removed || is_here) && !is_excused(owner) {
                return broken("no resurrection", format!("{row:?} is the row of {owner:?}"));
            }
        }
        Ok(())
    }

    /// Invariant 8: an item disappears only by the app, or because it is gone on the server, and never with unsent edits.
    fn no_mass_deletion(
        &mut self,
        thing: usize,
        engine: &Engine<MapRow>,
        server: &Server,
        seen: &[(usize, Fields)],
    ) -> Check {
        let item = self.things[thing].item;
        let remote = engine.row(item).and_then(MapRow::remote_key).or(self.things[thing].remote_key.clone());
        self.things[thing].remote_key.clone_from(&remote);
        self.things[thing].is_visible = false;
        let it = self.things[thing].clone();
        let same = |other: &Thing| other.store == it.store && other.remote_key.is_some() && other.remote_key == remote;
        let twin = seen.iter().find(|(other, _)| same(&self.things[*other]));
        if let Some((twin, fields)) = twin {
            self.things[*twin].is_joined |= it.expected.iter().any(Option::is_some);
            for (field, value) in fields.iter().enumerate() {
                if it.expected[field].is_some() && *value == it.expected[field] {
                    self.things[*twin].expected[field] = *value;
                    self.things[*twin].floor[field] = None;
                }
            }
            self.unite(thing, *twin);
            self.things[thing].is_gone = true;
            return Ok(());
        }
        let row = remote.as_ref().and_then(|key| server.find(it.store, key)).map(|place| &server.rows[place]);
        // It was the row of a create that was removed before its key was known.
        let removed_twin = self.things.iter().any(|other| other.is_removed && same(other))
            || row.and_then(|row| self.writer(row)).is_some_and(|writer| self.things[writer].is_removed);
        if removed_twin {
            self.things[thing].is_removed = true;
            self.things[thing].was_removed = true;
            return Ok(());
        }
        let is_dead = row.is_some_and(|row| !row.is_alive) || (row.is_none() && remote.is_some());
        if !is_dead || it.has_unsynced {
            return broken("no mass deletion", format!("{it:?} went, the server has {row:?}"));
        }
        self.things[thing].is_gone = true;
        Ok(())
    }
}

// What leaves.
impl Reference {
    /// Invariant 4: no request leaves before its edit is committed; and what leaves is what was committed.
    pub fn write_ahead(
        &mut self,
        request: &Request<MapRow>,
        store: StoreId,
        engine: &Engine<MapRow>,
        disk: &Disk,
    ) -> Check {
        let durable = engine.status(store).durable;
        let Some(thing) = engine.storage_key(request.item) else {
            return broken("write-ahead", format!("a request for nothing: {request:?}"));
        };
        let Some(place) = self.find(store.0, thing) else {
            return broken("no invention", format!("a request for an item that was never seen: {request:?}"));
        };
        self.things[place].sent_unstored |= !durable;
        // What a twin has sent without storing it is sent again by the item that it turned out to be.
        let of_one_row =
            |other: &Thing| other.store == store.0 && request.key.is_some() && other.remote_key == request.key;
        if self.things[place].sent_unstored || self.things.iter().any(|other| other.sent_unstored && of_one_row(other))
        {
            return Ok(());
        }
        // By its key: the record may still be that of a twin.
        let stored = disk.of(store).find_map(|record| {
            let attempt = record.sync.as_ref()?.in_flight.as_ref()?;
            (attempt.edit.key == request.idempotency_key).then_some((record, attempt))
        });
        let Some((record, attempt)) = stored else {
            return broken("write-ahead", format!("{request:?} is not stored: {:?}", disk.get(store, thing)));
        };
        let stored = attempt.frozen.as_ref().unwrap_or(&record.row).fields();
        let sent = request.row.fields();
        let same = request.fields.iter().take(FIELDS).all(|field| stored[field] == sent[field]);
        if request.action != Action::Delete && !same {
            return broken("write-ahead", format!("{request:?} has not the stored values: {record:?}"));
        }
        Ok(())
    }
}

// What arrives.
impl Reference {
    /// A write has had an effect on the server.
    pub fn took_effect(&mut self, order: &Order, effect: &Effect, server: &Server, retried: bool) -> Check {
        let row = &server.rows[effect.row];
        let owner = self.no_invention(order, row)?;
        match order.action {
            Action::Create => self.once_created(owner, effect, server.class),
            Action::Update => {
                self.no_overwriting(owner, order, effect)?;
                self.order(owner, order, effect, retried)?;
                self.once(owner, order, effect, server.class, retried)
            }
            Action::Delete => Ok(()),
        }
    }

    /// Invariant 5, for others' edits: what names the state of a row that it means changes nothing there but by edits.
    fn no_overwriting(&self, owner: usize, order: &Order, effect: &Effect) -> Check {
        if order.validator.is_none() || self.is_excused(owner) {
            return Ok(());
        }
        for (field, told) in order.body.iter().enumerate() {
            let Some(told) = told else { continue };
            let is_edit = told.is_some_and(|told| effect.before[field].is_none_or(|before| told > before) && told > 0);
            if *told != effect.fields[field] && !is_edit && *told != self.things[owner].expected[field] {
                return broken("optimism", format!("{order:?} writes over {:?}", effect.fields));
            }
        }
        Ok(())
    }

    /// Invariant 7: a request covers only edits of one item, and deletes only what the app removed. The item.
    fn no_invention(&self, order: &Order, row: &ServerRow) -> Result<usize, Violation> {
        let by_key = |thing: &&Thing| thing.store == row.store && thing.remote_key.as_ref() == Some(&row.key);
        if order.action == Action::Delete {
            // By its key, or, if that was not known when it was removed, by its values.
            let by_key = self.things.iter().position(|thing| by_key(&thing) && thing.was_removed);
            return match by_key.or(self.writer(row).filter(|thing| self.things[*thing].was_removed)) {
                Some(thing) => Ok(thing),
                None => Err(Violation { invariant: "no invention", text: format!("nobody removed {order:?}") }),
            };
        }
        let own = || {
            order.body.iter().enumerate().filter_map(|(field, told)| Some((field, told.flatten().filter(|v| *v > 0)?)))
        };
        let of = |value: i64| self.edits.get(number(value).wrapping_sub(1)).copied();
        let owner = own().map(|(_, value)| value).max().and_then(of);
        for (field, value) in own() {
            let before = row.history[field].split_last().map_or(&[][..], |(_, before)| before);
            let was_there = before.iter().any(|(_, held)| *held == Some(value));
            // What two items were made one by may be lost in a crash, and then they are two again.
            let were_one = of(value).is_some_and(|other| self.things[other].is_joined);
            if of(value).is_none() || of(value) != owner && !was_there && !were_one {
                let text = format!("{order:?} covers edits of {owner:?} and {:?}", of(value));
                return Err(Violation { invariant: "no invention", text });
            }
        }
        owner.ok_or_else(|| Violation { invariant: "no invention", text: format!("{order:?} covers no edit") })
    }

    /// The item whose edit was the first in a row.
    fn writer(&self, row: &ServerRow) -> Option<usize> {
        let written = row.history.iter().flatten().filter_map(|(_, value)| *value);
        written.filter(|value| *value > 0).find_map(|value| self.edits.get(number(value).wrapping_sub(1)).copied())
    }

    /// Invariant 2, for creates: one row for each, but for a plain server whose answer was lost.
    fn once_created(&mut self, owner: usize, effect: &Effect, class: Class) -> Check {
        let it = &mut self.things[owner];
        if effect.before.iter().any(Option::is_some) && !effect.was_alive {
            // Deleted elsewhere and made again on request.
            return Ok(());
        }
        it.creates += 1;
        let is_excused = it.sent_unstored || (class == Class::Plain && it.answer_lost);
        if it.creates > 1 && !is_excused {
            return broken("once", format!("created {} times: {it:?}", it.creates));
        }
        Ok(())
    }

    /// Invariant 3: the edits of an item arrive in the order in which they were made.
    fn order(&self, owner: usize, order: &Order, effect: &Effect, retried: bool) -> Check {
        for (told, before) in order.body.iter().zip(effect.before) {
            let (Some(Some(told)), Some(before)) = (told, before) else { continue };
            let goes_back = *told > 0 && number(*told) < number(before);
            if goes_back && !retried && !self.is_excused(owner) {
                return broken("order", format!("{order:?} after {before}: {:?}", self.things[owner]));
            }
        }
        Ok(())
    }

    /// Invariant 2, for updates: each brings something new.
    fn once(&self, owner: usize, order: &Order, effect: &Effect, class: Class, retried: bool) -> Check {
        let own = |told: &Option<Option<i64>>| told.flatten().filter(|told| *told > 0);
        let news = order
            .body
            .iter()
            .zip(effect.before)
            .filter(|(told, before)| own(told).is_some_and(|told| before.is_none_or(|before| told > before)));
        // Without keys nobody can tell whether somebody else wrote over an edit whose answer was lost, or before it.
        let is_over_others =
            order.body.iter().zip(effect.fields).any(|(told, there)| told.is_some_and(|told| told != there));
        let is_doubt = class == Class::Plain && (retried || is_over_others);
        if news.count() == 0 && !is_doubt && !self.is_excused(owner) {
            return broken("once", format!("{order:?} says nothing new: {effect:?} {:?}", self.things[owner]));
        }
        Ok(())
    }

    fn is_excused(&self, owner: usize) -> bool {
        let it = &self.things[owner];
        let of_one_row = |other: &Thing| other.store == it.store && other.remote_key == it.remote_key;
        // What was sent without being stored may have been another item's, which then was lost in a crash.
        let unstored = self.things.iter().any(|other| other.sent_unstored && of_one_row(other));
        unstored || it.is_loose || it.discards > 0 || it.is_joined
    }
}

// What promises say.
impl Reference {
    pub fn kept(
        &mut self,
        promise: &Promise,
        result: &Result<(), Fault>,
        engine: &Engine<MapRow>,
        disk: &Disk,
        server: &Server,
    ) -> Check {
        match (promise, result) {
            (Promise::Stored(snapshot), Ok(())) => self.stored(snapshot, disk, server),
            (Promise::Synced(snapshot), Ok(())) => self.synced(snapshot, engine, server),
            (Promise::Stored(_) | Promise::Synced(_), Err(fault)) if fault.code == Code::Poisoned => {
                broken("settles", format!("{fault}"))
            }
            (Promise::Other | Promise::Stored(_) | Promise::Synced(_), _) => Ok(()),
        }
    }

    /// Invariant 1, first half: what is said to be stored is on the disk.
    fn stored(&mut self, snapshot: &Snapshot, disk: &Disk, server: &Server) -> Check {
        let it = &mut self.things[snapshot.thing];
        let record = disk.get(StoreId(it.store), &it.storage_key);
        if snapshot.is_removed {
            if !it.is_removed || it.removals != snapshot.removals || it.discards != snapshot.discards {
                return Ok(());
            }
            it.removal_stored = true;
            let is_tombstone = record.is_none_or(|record| record.sync.as_ref().is_some_and(|sync| sync.deletes()));
            if !is_tombstone {
                return broken("durable", format!("the removal is not stored: {record:?} {it:?}"));
            }
            return Ok(());
        }
        // What was given up since is no longer wanted.
        if !it.is_visible || it.is_gone || it.discards != snapshot.discards {
            return Ok(());
        }
        let Some(record) = record else {
            // Of an item that is only awaited there are but its edits to store, and they may have been given up.
            let nothing = snapshot.expected == [None; FIELDS];
            return if nothing { Ok(()) } else { broken("durable", format!("not stored: {it:?}")) };
        };
        let row = it.remote_key.as_ref().and_then(|key| server.find(it.store, key)).map(|place| &server.rows[place]);
        for (field, value) in record.row.fields().iter().enumerate() {
            let floor = snapshot.expected[field];
            if !at_least(floor, *value, field, row) && !it.is_joined {
                return broken("durable", format!("field {field}, {floor:?}, is not stored: {record:?} {it:?}"));
            }
            let is_own = |value: &i64| it.expected[field].is_some_and(|expected| *value <= expected);
            it.floor[field] = it.floor[field].max(floor.filter(is_own));
        }
        it.is_stored = true;
        it.is_loose = false;
        Ok(())
    }

    /// What is said to be synced is on the server, or was.
    fn synced(&self, snapshot: &Snapshot, engine: &Engine<MapRow>, server: &Server) -> Check {
        let it = &self.things[snapshot.thing];
        if it.is_gone
            || it.is_joined
            || it.sent_unstored
            || it.discards > 0
            || engine.row(it.item).is_none() && !snapshot.is_removed
        {
            return Ok(());
        }
        let key = engine.row(it.item).and_then(MapRow::remote_key).or(it.remote_key.clone());
        let row = key.as_ref().and_then(|key| server.find(it.store, key)).map(|place| &server.rows[place]);
        if snapshot.is_removed {
            // See `no_doubles` for a row of the app's own key that nobody recognises any longer.
            let is_unknown = it.is_own && it.answer_lost && server.class == Class::Plain;
            if row.is_some_and(|row| row.is_alive) && !is_unknown {
                return broken("durable", format!("said to be deleted, and is there: {it:?} {row:?}"));
            }
            return Ok(());
        }
        for field in 0..APP_FIELDS {
            let wanted = snapshot.expected[field];
            let has = |row: &ServerRow| {
                row.history[field].iter().any(|(_, value)| value.is_some_and(|value| Some(value) >= wanted))
            };
            if wanted.is_some() && !row.is_some_and(has) {
                return broken("durable", format!("field {field}, {wanted:?}, is not on the server: {row:?} {it:?}"));
            }
        }
        Ok(())
    }
}

/// Whether `value` is `floor`, an own edit after it, or something that the server held after it.
fn at_least(floor: Option<i64>, value: Option<i64>, field: usize, row: Option<&ServerRow>) -> bool {
    let is_newer = floor.is_none_or(|floor| value.is_some_and(|value| value >= floor));
    is_newer || row.is_some_and(|row| row.held_after(field, floor, value))
}

// After a restart.
impl Reference {
    /// Invariants 1 and 6: what was stored is here again, item by item, before anything else happens.
    pub fn restarted(
        &mut self,
        store: StoreId,
        records: &[Record<MapRow>],
        engine: &Engine<MapRow>,
        server: &Server,
    ) -> Check {
        self.restart(store, records, engine)?;
        for thing in 0..self.things.len() {
            // What was made since the page opened was not loaded.
            if self.things[thing].store != store.0 || self.things[thing].item != NO_ITEM {
                continue;
            }
            let key = self.things[thing].storage_key.clone();
            match engine.find_by_storage_key(store, &key) {
                Some(item) => self.came_back(thing, item, engine, server)?,
                None => self.stayed_away(thing, engine, server, records)?,
            }
        }
        Ok(())
    }

    /// Invariant 6: item = server base ⊕ stored edits.
    fn restart(&self, store: StoreId, records: &[Record<MapRow>], engine: &Engine<MapRow>) -> Check {
        for record in records {
            let is_double = records.iter().any(|other| {
                other.storage_key != record.storage_key
                    && other.remote_key.is_some()
                    && other.remote_key == record.remote_key
            });
            if is_double || self.was_met_before(store, record, engine) {
                continue;
            }
            let item = engine.find_by_storage_key(store, &record.storage_key);
            let is_removed = record.sync.as_ref().is_some_and(|sync| sync.deletes());
            let row = item.and_then(|item| engine.row(item)).map(MapRow::fields);
            if row != (!is_removed).then(|| record.row.fields()) {
                return broken("restart", format!("{record:?} was loaded as {row:?}"));
            }
        }
        Ok(())
    }

    /// Whether the app asked for the row by its key before it was loaded: then it is that item.
    fn was_met_before(&self, store: StoreId, record: &Record<MapRow>, engine: &Engine<MapRow>) -> bool {
        let Some(key) = &record.remote_key else { return false };
        let is_other = |thing: &Thing| thing.store == store.0 && thing.storage_key != record.storage_key;
        let removed = self
            .things
            .iter()
            .any(|thing| is_other(thing) && thing.is_removed && thing.remote_key.as_ref() == Some(key));
        let shown = engine.find_by_remote_key(store, key).and_then(|item| engine.storage_key(item));
        removed || shown.is_some_and(|shown| *shown != record.storage_key)
    }

    fn came_back(&mut self, thing: usize, item: ItemId, engine: &Engine<MapRow>, server: &Server) -> Check {
        let it = &mut self.things[thing];
        it.item = item;
        if it.is_removed && it.removal_stored && !it.is_loose {
            return broken("no resurrection", format!("{it:?} is back after a restart"));
        }
        let fields = engine.row(item).map(MapRow::fields).unwrap_or_default();
        it.remote_key = engine.row(item).and_then(MapRow::remote_key);
        let row = it.remote_key.as_ref().and_then(|key| server.find(it.store, key)).map(|place| &server.rows[place]);
        for (field, value) in fields.into_iter().enumerate() {
            let floor = it.floor[field];
            if !at_least(floor, value, field, row) && !it.is_loose && !it.is_removed && !it.is_gone {
                return broken("durable", format!("field {field} is {value:?} after a restart: {it:?}"));
            }
            let is_kept =
                value == it.expected[field] || row.is_some_and(|row| row.held_after(field, it.expected[field], value));
            if !is_kept || it.is_gone || it.is_removed || it.is_loose {
                it.expected[field] = value.filter(|value| *value > 0).or(floor.filter(|_| !it.is_loose && !it.is_gone));
            }
        }
        if it.is_removed || it.is_gone || it.is_loose {
            it.floor = [None; FIELDS];
        }
        it.is_removed = false;
        it.is_gone = false;
        it.is_visible = true;
        it.is_loose = false;
        Ok(())
    }

    fn stayed_away(
        &mut self,
        thing: usize,
        engine: &Engine<MapRow>,
        server: &Server,
        records: &[Record<MapRow>],
    ) -> Check {
        let it = self.things[thing].clone();
        let row = it.remote_key.as_ref().and_then(|key| server.find(it.store, key)).map(|place| &server.rows[place]);
        let twin = it.remote_key.as_ref().and_then(|key| engine.find_by_remote_key(StoreId(it.store), key));
        if let Some((shown, key)) = twin.and_then(|twin| Some((engine.row(twin)?, engine.storage_key(twin)?))) {
            return self.joined(thing, shown, key, server);
        }
        let has_edits = it.floor.iter().any(Option::is_some);
        let must_be_here = it.is_stored && has_edits && !it.is_removed && !it.is_gone && !it.is_loose;
        let removed_twin = self.things.iter().any(|other| {
            other.is_removed && other.store == it.store && it.remote_key.is_some() && other.remote_key == it.remote_key
        });
        // The app may have removed it by its key, before it was loaded, in a page that did not live to join the two.
        let has_tombstone = records.iter().any(|record| {
            record.remote_key.is_some()
                && record.remote_key == it.remote_key
                && record.sync.as_ref().is_some_and(|sync| sync.deletes())
        });
        if must_be_here && !removed_twin && !has_tombstone && row.is_none_or(|row| row.is_alive) {
            let record = records.iter().find(|record| record.storage_key == it.storage_key);
            return broken("durable", format!("{it:?} is not here after a restart: {record:?}"));
        }
        let has_tombstone = records.iter().any(|record| record.storage_key == it.storage_key);
        let it = &mut self.things[thing];
        // A removal that was not stored is as lost as its item; one that was given up may be back.
        it.is_removed = has_tombstone || it.is_removed && it.removal_stored;
        it.is_visible = false;
        it.is_gone = !it.is_removed;
        Ok(())
    }

    /// The app has asked for the row by its key before it was loaded: its stored edits are those of the new item now.
    fn joined(&mut self, thing: usize, shown: &MapRow, key: &Key, server: &Server) -> Check {
        let it = self.things[thing].clone();
        self.things[thing].is_gone = true;
        self.things[thing].is_visible = false;
        let twin = self.find(it.store, key);
        let Some(twin) = twin.filter(|twin| *twin != thing) else { return Ok(()) };
        let row = it.remote_key.as_ref().and_then(|key| server.find(it.store, key)).map(|place| &server.rows[place]);
        let is_wanted = !it.is_loose && !it.is_removed && !it.is_gone;
        for (field, value) in shown.fields().into_iter().enumerate() {
            let is_newer = value.is_some() && value == self.things[twin].expected[field];
            if !is_newer && !at_least(it.floor[field], value, field, row) && is_wanted {
                return broken("durable", format!("{shown:?} has lost the edits of {it:?}"));
            }
            if let Some(own) = value.filter(|value| *value > 0) {
                self.things[twin].expected[field] = Some(own);
            }
        }
        self.unite(thing, twin);
        Ok(())
    }

    /// One item has turned out to be another: its edits, and what is excused for it, are the other's.
    fn unite(&mut self, thing: usize, other: usize) {
        self.edits.iter_mut().filter(|owner| **owner == thing).for_each(|owner| *owner = other);
        let gone = self.things[thing].clone();
        let it = &mut self.things[other];
        it.is_own |= gone.is_own;
        it.answer_lost |= gone.answer_lost;
        it.sent_unstored |= gone.sent_unstored;
        it.is_joined |= gone.is_joined;
    }

    /// A page that closed in good order has stored everything.
    pub fn closed(&mut self) {
        for thing in self.things.iter_mut().filter(|thing| thing.is_visible && !thing.is_loose) {
            thing.is_stored = true;
            thing.floor = thing.expected;
        }
    }
}

// When nothing happens any more.
impl Reference {
    /// Invariants 1 and 7 at rest: everything that is not parked is the same here and there.
    pub fn converged(&self, engine: &Engine<MapRow>, server: &Server, store: StoreId) -> Check {
        let parked = engine.pending(store);
        let items: Vec<ItemId> = engine.items(store).collect();
        for item in &items {
            let Some(row) = engine.row(*item) else { continue };
            if parked.iter().any(|edit| edit.item == *item) {
                continue;
            }
            let there = row.remote_key().and_then(|key| server.find(store.0, &key)).map(|place| &server.rows[place]);
            let is_same = there.is_some_and(|there| there.is_alive && there.fields == row.fields());
            if !is_same {
                return broken("durable", format!("here {row:?}, there {there:?}"));
            }
        }
        for row in server.alive(store.0) {
            let here = items
                .iter()
                .filter(|item| engine.row(**item).and_then(MapRow::remote_key).is_some_and(|key| key == row.key));
            let is_expected = parked.iter().any(|edit| {
                let shown = engine.row(edit.item);
                shown.and_then(MapRow::remote_key).is_none_or(|key| key == row.key)
            });
            if here.count() != 1 && !is_expected {
                return broken("durable", format!("there and not here: {row:?}, parked {parked:?}"));
            }
        }
        Ok(())
    }
}
