//! What the engine asks of an item's values. It never looks at a value: it names fields by their place in the schema.

use super::id::{Key, StoreId};

/// The values of one item. In a page a handle to the object behind the item's properties, in tests a small map.
/// `Clone` copies the handle, not the values.
pub trait Row: Clone {
    /// Takes over `fields` from `from`, in place; a field that `from` does not have is taken away.
    fn merge(&mut self, fields: FieldSet, from: &Self);
    /// A copy of its own that holds only `fields`.
    #[must_use]
    fn pick(&self, fields: FieldSet) -> Self;
    /// The fields among `among` whose values differ.
    #[must_use]
    fn diff(&self, other: &Self, among: FieldSet) -> FieldSet;
    /// Shows the server's key among the values.
    fn set_remote_key(&mut self, key: &Key);
    /// The references to items in `fields`.
    fn references(&self, fields: FieldSet) -> Vec<Reference>;
    /// Takes over the keys of `references`, which `references(fields)` gave; one without keys means nothing any more.
    fn bind(&mut self, fields: FieldSet, references: &[Reference]);
}

/// A reference to an item, by what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The field that it is in.
    pub field: usize,
    /// The store of the item; nothing if it has not been opened yet.
    pub store: Option<StoreId>,
    /// The item's key on the server.
    pub key: Option<Key>,
    /// The item's key in client storage.
    pub storage_key: Option<Key>,
}

/// The most properties that a schema can have.
pub const MAX_FIELDS: usize = 128;

/// A set of fields, by their place in the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(pub u128);

impl FieldSet {
    /// No field.
    pub const NONE: Self = Self(0);

    /// The first `count` fields.
    #[must_use]
    pub const fn first(count: usize) -> Self {
        if count >= MAX_FIELDS { Self(u128::MAX) } else { Self((1 << count) - 1) }
    }

    /// One field.
    #[must_use]
    pub const fn one(field: usize) -> Self {
        if field >= MAX_FIELDS { Self::NONE } else { Self(1 << field) }
    }

    /// The fields of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These fields without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The fields that both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is no field in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The places of the fields, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let field = left.trailing_zeros() as usize;
            (left != 0).then(|| {
                left &= left - 1;
                field
            })
        })
    }
}

/// A row as a server gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteRow<R> {
    /// The values, the key among them if there is one.
    pub row: R,
    /// Which fields were in the answer.
    pub present: FieldSet,
    /// The server's key, if it was in the answer.
    pub key: Option<Key>,
}
