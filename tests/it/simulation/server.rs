//! A REST server with a log: of the class that knows idempotency keys, or plain. Faults are the world's matter.

use concordia::engine::{id::Key, lifecycle::Action, row::Reference};

use crate::row::{FIELDS, Fields};

/// The field that refers to a row, where one does.
pub const REFERS: usize = 2;

/// How a server treats a request that comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Gives the answer that it gave before.
    Keyed,
    /// Does it once more.
    Plain,
}

/// What a client asks, as it is on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Write(Order),
    /// The rows from a page on, and those alone that were written since then.
    All {
        page: Option<usize>,
        since: Option<u64>,
    },
    One(Key),
}

/// A write, as it is on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub action: Action,
    pub key: Option<Key>,
    /// The fields that are in the body, with their values.
    pub body: [Option<Option<i64>>; FIELDS],
    pub idempotency_key: u128,
    /// The state of the row that is meant, as the server names it.
    pub validator: Option<String>,
    /// The row that the field in the body that refers to one names.
    pub names: Option<Key>,
}

/// What the server says to a write, before the world has its way with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub status: u16,
    pub row: Option<(Key, Fields)>,
    /// Which of the forms of a success it has.
    pub form: u8,
    /// The state in which the row is now.
    pub validator: Option<String>,
    /// The row that it names.
    pub names: Option<Key>,
}

/// One row and everything that it ever held.
#[derive(Clone, Debug)]
pub struct ServerRow {
    pub store: u16,
    pub key: Key,
    pub fields: Fields,
    /// The row that it names.
    pub names: Option<Key>,
    pub is_alive: bool,
    /// For each field its values, each with the moment at which it was written.
    pub history: [Vec<(u64, Option<i64>)>; FIELDS],
    /// When it was last written, or deleted.
    pub changed: u64,
    /// Whether somebody but the client under test, or the server itself, wrote into it.
    pub is_altered: bool,
    /// Whether it was made anew after it had been deleted.
    pub is_revived: bool,
}

/// A write that had an effect.
#[derive(Debug)]
pub struct Effect {
    pub row: usize,
    /// For each field of the body the largest own edit's value that the row had held before.
    pub before: Fields,
    /// Whether the row was there.
    pub was_alive: bool,
    /// What it held.
    pub fields: Fields,
}

/// Some rows of a store.
pub struct Page<'a> {
    pub alive: Vec<&'a ServerRow>,
    pub dead: Vec<&'a ServerRow>,
    pub next: Option<usize>,
    pub until: u64,
}

pub struct Server {
    pub class: Class,
    pub rows: Vec<ServerRow>,
    answers: Vec<(Order, Said)>,
    time: u64,
    keys: u32,
    stamps: i64,
    salt: u64,
    /// Whether it writes a field of its own with every write.
    pub stamps_rows: bool,
    /// One of so many bodies is refused.
    pub refuses: u64,
    /// Whether it tells states of rows apart, and takes a write that names another one for a conflict.
    pub is_conditional: bool,
    /// Whether it takes no write that names none.
    pub demands: bool,
    /// Whether it refuses a row that is like another one.
    pub is_unique: bool,
}

impl Server {
    pub fn new(class: Class, salt: u64) -> Self {
        Self {
            class,
            rows: Vec::new(),
            answers: Vec::new(),
            time: 0,
            keys: 0,
            stamps: 0,
            salt,
            stamps_rows: false,
            refuses: 0,
            is_conditional: false,
            demands: false,
            is_unique: false,
        }
    }

    /// How it names the state of a row.
    pub fn validator(&self, row: &ServerRow) -> Option<String> {
        self.is_conditional.then(|| format!("v{}", row.changed))
    }

    /// Whether there is a row that holds just what is in the body.
    fn has_like(&self, store: u16, body: &[Option<Option<i64>>; FIELDS]) -> bool {
        let is_like = |row: &ServerRow| (0..FIELDS - 1).all(|field| body[field].flatten() == row.fields[field]);
        self.is_unique && self.alive(store).any(is_like)
    }

    pub fn find(&self, store: u16, key: &Key) -> Option<usize> {
        self.rows.iter().position(|row| row.store == store && row.key == *key)
    }

    pub fn alive(&self, store: u16) -> impl Iterator<Item = &ServerRow> {
        self.rows.iter().filter(move |row| row.store == store && row.is_alive)
    }

    /// Carries out a write. The second is what it changed, if anything; an error is a broken promise of the client.
    pub fn write(&mut self, store: u16, order: &Order, form: u8) -> Result<(Said, Option<Effect>), String> {
        if self.class == Class::Keyed
            && let Some((before, said)) = self.answers.iter().find(|(o, _)| o.idempotency_key == order.idempotency_key)
        {
            if before != order {
                return Err(format!("one key for two payloads: {before:?}, then {order:?}"));
            }
            return Ok((said.clone(), None));
        }
        let (said, effect) = self.carry_out(store, order, form);
        // A refusal too: what comes late with a key that was refused is not taken after all.
        self.answers.push((order.clone(), said.clone()));
        Ok((said, effect))
    }

    fn carry_out(&mut self, store: u16, order: &Order, form: u8) -> (Said, Option<Effect>) {
        let refusal = |status| (Said { status, row: None, form: 0, validator: None, names: None }, None);
        if self.is_refused(order) {
            return refusal(if order.action == Action::Delete { 403 } else { 422 });
        }
        let place = order.key.as_ref().and_then(|key| self.find(store, key));
        let was_alive = place.is_some_and(|place| self.rows[place].is_alive);
        let place = match (order.action, place) {
            (Action::Create, Some(_)) if was_alive => return refusal(409),
            (Action::Create, _) if self.has_like(store, &order.body) => return refusal(409),
            (Action::Create, Some(place)) => place,
            (Action::Create, None) => self.add(store, order.key.clone()),
            (Action::Update | Action::Delete, Some(place)) if was_alive && self.is_conditional => {
                match &order.validator {
                    None if self.demands => return refusal(428),
                    Some(meant) if self.validator(&self.rows[place]).as_ref() != Some(meant) => return refusal(412),
                    Some(_) | None => place,
                }
            }
            (Action::Update | Action::Delete, Some(place)) if was_alive => place,
            (Action::Update | Action::Delete, _) => return refusal(404),
        };
        let fields = self.rows[place].fields;
        let effect = Effect { row: place, before: self.largest_own(place), was_alive, fields };
        if order.action == Action::Delete {
            self.kill(place);
            return (Said { status: 204, row: None, form: 1, validator: None, names: None }, Some(effect));
        }
        self.rows[place].is_revived |= !self.rows[place].is_alive;
        self.rows[place].is_alive = true;
        self.put(place, &order.body, order.names.as_ref());
        let row = &self.rows[place];
        let status = if order.action == Action::Create { 201 } else { 200 };
        // Without the whole row only if what was sent is what it holds now (RFC 9110 §9.3.4).
        let validator = self.validator(row).filter(|_| form == 0 || !self.stamps_rows);
        (
            Said { status, row: Some((row.key.clone(), row.fields)), form, validator, names: row.names.clone() },
            Some(effect),
        )
    }

    /// Refuses some bodies, and the same ones always.
    fn is_refused(&self, order: &Order) -> bool {
        let mut hash = self.salt;
        let mut mix = |value: u64| hash = (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        match (&order.key, order.action) {
            (Some(key), Action::Delete) => key.text().bytes().for_each(|byte| mix(u64::from(byte))),
            _ => order.body.iter().flatten().flatten().for_each(|value| mix(value.unsigned_abs())),
        }
        self.refuses > 0 && (hash >> 7).is_multiple_of(self.refuses)
    }

    fn add(&mut self, store: u16, key: Option<Key>) -> usize {
        self.keys += 1;
        let key = key.unwrap_or_else(|| Key::new(&format!("s{}", self.keys), false));
        self.rows.push(ServerRow {
            store,
            key,
            fields: [None; FIELDS],
            names: None,
            is_alive: true,
            history: Default::default(),
            changed: 0,
            is_altered: false,
            is_revived: false,
        });
        self.rows.len() - 1
    }

    fn put(&mut self, place: usize, body: &[Option<Option<i64>>; FIELDS], names: Option<&Key>) {
        self.time += 1;
        let stamp = self.stamps_rows.then(|| {
            self.stamps -= 1;
            self.stamps
        });
        let row = &mut self.rows[place];
        row.changed = self.time;
        if body[REFERS].is_some() {
            row.names = names.cloned();
        }
        for (field, told) in body.iter().enumerate() {
            let value = match stamp {
                Some(stamp) if field == FIELDS - 1 => Some(Some(stamp)),
                _ => *told,
            };
            if let Some(value) = value {
                row.fields[field] = value;
                row.history[field].push((self.time, value));
            }
        }
        row.is_altered |= stamp.is_some();
    }

    fn kill(&mut self, place: usize) {
        self.time += 1;
        (self.rows[place].is_alive, self.rows[place].changed) = (false, self.time);
    }

    /// A page of the rows of a store that were written after `since`, from a place on: the alive and the dead, where the next
    /// page begins, and up to when what has happened is in it.
    pub fn page(&self, store: u16, since: Option<u64>, from: usize, size: usize) -> Page<'_> {
        let of = |row: &&ServerRow| row.store == store && since.is_none_or(|since| row.changed > since);
        let rest = || self.rows.iter().enumerate().skip(from).filter(|(_, row)| of(row));
        let next = rest().nth(size).map(|(place, _)| place);
        let (alive, dead) = rest().take(size).map(|(_, row)| row).partition(|row| row.is_alive);
        Page { alive, dead: if since.is_some() { dead } else { Vec::new() }, next, until: self.time }
    }

    /// The newest of the client's own edits in each field.
    fn largest_own(&self, place: usize) -> Fields {
        let newest = |history: &Vec<(u64, Option<i64>)>| history.iter().filter_map(|(_, value)| *value).max();
        let row = &self.rows[place];
        std::array::from_fn(|field| newest(&row.history[field]).filter(|value| *value > 0))
    }

    /// Somebody else writes: adds a row, changes one, or deletes one.
    pub fn foreign(&mut self, store: u16, pick: u64) -> Option<String> {
        self.stamps -= 1;
        let value = Some(Some(self.stamps));
        let places: Vec<usize> = (0..self.rows.len())
            .filter(|place| self.rows[*place].store == store && self.rows[*place].is_alive)
            .collect();
        // Reduced before it is made a place, which has fewer bits in a page than on the host.
        let below = |pick: u64, bound: usize| {
            let bound = u64::try_from(bound.max(1)).unwrap_or(1);
            usize::try_from(pick % bound).unwrap_or(0)
        };
        let chosen = places.get(below(pick / 8, places.len())).copied();
        match (pick % 8, chosen) {
            (0..=1, _) | (_, None) => {
                let place = self.add(store, None);
                self.put(place, &[value, value, value, None], None);
                self.rows[place].is_altered = true;
                Some(format!("somebody adds {}", self.rows[place].key.text()))
            }
            (2..=5, Some(place)) => {
                let mut body = [None; FIELDS];
                body[below(pick / 64, FIELDS - 1)] = value;
                self.put(place, &body, None);
                self.rows[place].is_altered = true;
                Some(format!("somebody changes {}: {:?}", self.rows[place].key.text(), self.rows[place].fields))
            }
            (_, Some(place)) => {
                self.kill(place);
                Some(format!("somebody deletes {}", self.rows[place].key.text()))
            }
        }
    }
}

/// The reference to a row of the same store, as a server tells it.
pub fn naming(key: Option<&Key>) -> Vec<Reference> {
    key.map(|key| Reference { field: REFERS, store: None, key: Some(key.clone()), storage_key: None })
        .into_iter()
        .collect()
}

impl ServerRow {
    /// Whether `field` held `newer` at some moment after it had first held the own value `older`, or a later own one.
    pub fn held_after(&self, field: usize, older: Option<i64>, newer: Option<i64>) -> bool {
        let history = &self.history[field];
        let first = history.iter().position(|(_, value)| value.is_some() && *value >= older);
        let last = history.iter().rposition(|(_, value)| *value == newer);
        matches!((first, last), (Some(first), Some(last)) if last >= first)
    }

    /// Whether `field` ever held `value`; every field once held nothing.
    pub fn held(&self, field: usize, value: Option<i64>) -> bool {
        value.is_none() || self.history[field].iter().any(|(_, held)| *held == value)
    }
}
