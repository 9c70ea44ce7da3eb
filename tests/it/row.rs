//! A row for tests: a few integers and the keys, behind a handle as in a page, so that an engine that keeps a handle where
//! it needs a copy is found out.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

use concordia::engine::{
    Attempt, Sync,
    id::{Key, StoreId},
    input::Record,
    row::{FieldSet, Reference, Row},
};

/// How many fields a row has. The app edits all but the last, which belongs to the server.
pub const FIELDS: usize = 4;

thread_local! {
    /// How many stores have been opened: one that is still to come is not known to those who refer to it.
    pub static OPENED: Cell<u16> = const { Cell::new(u16::MAX) };
    /// Where items refer to others of their own store: the number that this has in the page.
    pub static OWN_STORE: Cell<Option<StoreId>> = const { Cell::new(None) };
}

/// The values of one row.
pub type Fields = [Option<i64>; FIELDS];

#[derive(Default)]
struct Values {
    fields: Fields,
    references: Vec<Reference>,
    remote_key: Option<Key>,
}

/// A handle to the values; `clone` copies the handle.
#[derive(Clone, Default)]
pub struct MapRow(Rc<RefCell<Values>>);

impl MapRow {
    pub fn new(fields: Fields) -> Self {
        Self(Rc::new(RefCell::new(Values { fields, ..Values::default() })))
    }

    /// With the values of some fields, the others left out.
    pub fn of(values: &[(usize, i64)]) -> Self {
        let mut fields = [None; FIELDS];
        for (field, value) in values {
            fields[*field] = Some(*value);
        }
        Self::new(fields)
    }

    /// As the shell hands in what a server gave: the key shows already.
    pub fn with_key(mut self, key: &Key) -> Self {
        self.set_remote_key(key);
        self
    }

    /// With references.
    pub fn with_references(self, references: &[Reference]) -> Self {
        self.0.borrow_mut().references = references.to_vec();
        self
    }

    pub fn fields(&self) -> Fields {
        self.0.borrow().fields
    }

    pub fn get(&self, field: usize) -> Option<i64> {
        self.0.borrow().fields[field]
    }

    pub fn remote_key(&self) -> Option<Key> {
        self.0.borrow().remote_key.clone()
    }

    /// Values of its own, as a database or a wire makes them.
    pub fn deep(&self) -> Self {
        let values = self.0.borrow();
        Self(Rc::new(RefCell::new(Values {
            fields: values.fields,
            references: values.references.clone(),
            remote_key: values.remote_key.clone(),
        })))
    }
}

/// A record as a database would give it back.
pub fn deep_record(record: &Record<MapRow>) -> Record<MapRow> {
    let deep_attempt =
        |attempt: &Attempt<MapRow>| Attempt { frozen: attempt.frozen.as_ref().map(MapRow::deep), ..attempt.clone() };
    let deep_sync = |sync: &Sync<MapRow>| {
        let mut copy = sync.clone();
        copy.base = sync.base.as_ref().map(MapRow::deep);
        copy.in_flight = sync.in_flight.as_ref().map(deep_attempt);
        Box::new(copy)
    };
    Record {
        storage_key: record.storage_key.clone(),
        remote_key: record.remote_key.clone(),
        row: record.row.deep(),
        sync: record.sync.as_deref().map(deep_sync),
        migrated: record.migrated,
        validator: record.validator.clone(),
    }
}

impl fmt::Debug for MapRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.0.borrow();
        let key = |key: &Option<Key>| key.as_ref().map_or_else(String::new, |key| key.text().to_owned());
        let fields: Vec<String> =
            values.fields.iter().map(|value| value.map_or_else(|| "-".into(), |value| value.to_string())).collect();
        let names = |reference: &Reference| match &reference.key {
            Some(key) => format!("->{}", key.text()),
            None => format!("->[{}]", key(&reference.storage_key)),
        };
        let names: String = values.references.iter().map(names).collect();
        write!(f, "{}{{{}}}{names}", key(&values.remote_key), fields.join(" "))
    }
}

impl PartialEq for MapRow {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}

impl Row for MapRow {
    fn merge(&mut self, fields: FieldSet, from: &Self) {
        let references: Vec<Reference> =
            from.0.borrow().references.iter().filter(|reference| has(fields, reference.field)).cloned().collect();
        let from = from.fields();
        let mut values = self.0.borrow_mut();
        fields.iter().take_while(|field| *field < FIELDS).for_each(|field| values.fields[field] = from[field]);
        values.references.retain(|reference| !has(fields, reference.field));
        values.references.extend(references);
    }

    fn pick(&self, fields: FieldSet) -> Self {
        let mut copy = Self::default();
        copy.merge(fields, self);
        copy
    }

    fn diff(&self, other: &Self, among: FieldSet) -> FieldSet {
        let (mine, theirs) = (self.fields(), other.fields());
        (0..FIELDS)
            .filter(|field| {
                let one = FieldSet::one(*field);
                mine[*field] != theirs[*field] || !same(&self.references(one), &other.references(one))
            })
            .fold(FieldSet::NONE, |set, field| set.with(FieldSet::one(field)))
            .and(among)
    }

    fn set_remote_key(&mut self, key: &Key) {
        self.0.borrow_mut().remote_key = Some(key.clone());
    }

    fn references(&self, fields: FieldSet) -> Vec<Reference> {
        let known = |reference: &Reference| Reference {
            store: OWN_STORE.get().or_else(|| reference.store.filter(|store| store.0 < OPENED.get())),
            ..reference.clone()
        };
        self.0.borrow().references.iter().filter(|reference| has(fields, reference.field)).map(known).collect()
    }

    fn bind(&mut self, fields: FieldSet, references: &[Reference]) {
        let mut values = self.0.borrow_mut();
        values.references.retain(|reference| !has(fields, reference.field));
        values.references.extend(
            references.iter().filter(|reference| reference.key.is_some() || reference.storage_key.is_some()).cloned(),
        );
    }
}

fn has(fields: FieldSet, field: usize) -> bool {
    !fields.and(FieldSet::one(field)).is_empty()
}

/// Two references are the same if the server's keys say so, or, where one of them is not known, those of client storage.
fn same(mine: &[Reference], theirs: &[Reference]) -> bool {
    let one = |(mine, theirs): (&Reference, &Reference)| match (&mine.key, &theirs.key) {
        (Some(mine), Some(theirs)) => mine == theirs,
        _ => mine.storage_key.is_some() && mine.storage_key == theirs.storage_key,
    };
    mine.len() == theirs.len() && mine.iter().zip(theirs).all(one)
}
