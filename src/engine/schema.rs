//! What a schema may say: checked once, when it is made.
//!
//! Owns the rules about properties and keys. Whether a value fits its property is the row's matter, because values never
//! come here.

use super::{
    error::{Code, Fault},
    row::{FieldSet, MAX_FIELDS},
};

/// The kinds of a property.
pub const KINDS: [&str; 8] = ["string", "number", "boolean", "date", "object", "array", "key", "numberKey"];

/// Names that an item uses itself, or that JavaScript gives a meaning of its own.
pub const RESERVED: [&str; 32] = [
    "__id",
    "removed",
    "stored",
    "synced",
    "error",
    "autoSave",
    "update",
    "remove",
    "delete",
    "fetch",
    "onceStored",
    "onceSynced",
    "onceReadyFor",
    "isReadyFor",
    "subscribe",
    "toJSON",
    "then",
    "constructor",
    "prototype",
    "__proto__",
    "_sync",
    "_schemaVersion",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];

/// One property as the app defined it.
#[derive(Clone, Debug, Default)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// One of [`KINDS`]; anything else is refused.
    pub kind: String,
    /// Whether it is the primary key.
    pub primary: bool,
    /// For a key: its name on the server.
    pub key: Option<String>,
    /// For a key: its name in client storage.
    pub storage_key: Option<String>,
    /// Whether it refers to another store.
    pub refers: bool,
    /// The properties of an object.
    pub properties: Vec<Self>,
    /// What an array holds.
    pub items: Option<Box<Self>>,
}

/// A schema that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The names of the fields, in their order; the primary key is not among them.
    pub fields: Vec<String>,
    /// The name of the property that is the primary key.
    pub primary: String,
    /// The name of the primary key on the server.
    pub key: String,
    /// The name of the primary key in client storage.
    pub storage_key: String,
    /// Whether keys are numbers.
    pub numeric: bool,
    /// The fields that refer to items, or have something in them that does.
    pub refers: FieldSet,
}

impl Schema {
    /// Reads a definition.
    ///
    /// # Errors
    /// `E_SCHEMA` with the property's name: an unknown type, two primary keys, a `key` equal to its `_key`, a reserved,
    /// empty or doubled name, more than 128 properties.
    pub fn new(properties: &[Property]) -> Result<Self, Fault> {
        check_level(properties, "")?;
        let mut primaries = properties.iter().filter(|property| property.primary);
        let primary = primaries.next().or_else(|| {
            properties.iter().find(|property| property.name == "id" && property.is_key() && !property.refers)
        });
        if let Some(second) = primaries.next() {
            return Err(refuse(&second.name, "is the second one that is `primary`; only one property can be"));
        }
        if let Some(property) = primary.filter(|property| !property.is_key()) {
            return Err(refuse(&property.name, "is `primary`, but its type is neither Key nor NumberKey"));
        }
        let key = primary.and_then(|property| property.key.clone()).unwrap_or_else(|| "id".into());
        let storage_key =
            primary.and_then(|property| property.storage_key.clone()).unwrap_or_else(|| ["_", &key].concat());
        let name = primary.map_or(&key, |property| &property.name);
        if key == storage_key {
            return Err(refuse(
                name,
                "has the same name for `key` and `_key`; they are kept side by side, so name them differently",
            ));
        }
        let is_field = |property: &&Property| primary.is_none_or(|primary| primary.name != property.name);
        let fields = || properties.iter().filter(is_field);
        let schema = Self {
            refers: fields()
                .enumerate()
                .filter(|(_, property)| property.has_references())
                .fold(FieldSet::NONE, |set, (place, _)| set.with(FieldSet::one(place))),
            fields: fields().map(|property| property.name.clone()).collect(),
            primary: name.clone(),
            numeric: primary.is_some_and(|property| property.kind == "numberKey"),
            key,
            storage_key,
        };
        schema.check_names()?;
        Ok(schema)
    }

    fn check_names(&self) -> Result<(), Fault> {
        for key in [&self.key, &self.storage_key] {
            if key.is_empty() || RESERVED.contains(&key.as_str()) {
                return Err(refuse(key, "cannot be the name of a key: items use it themselves"));
            }
            if self.fields.contains(key) {
                return Err(refuse(
                    key,
                    "is the name of the primary key; make it `{type: Key, primary: true}` or rename it",
                ));
            }
        }
        if self.fields.len() > MAX_FIELDS {
            return Err(Fault::new(Code::Schema, TOO_MANY));
        }
        Ok(())
    }
}

impl Property {
    fn is_key(&self) -> bool {
        matches!(self.kind.as_str(), "key" | "numberKey")
    }

    /// Whether it refers to an item, at any depth.
    fn has_references(&self) -> bool {
        self.refers || self.properties.iter().chain(self.items.as_deref()).any(Self::has_references)
    }
}

fn check_level(properties: &[Property], path: &str) -> Result<(), Fault> {
    for (at, property) in properties.iter().enumerate() {
        let name = [path, &property.name].concat();
        if property.name.is_empty() || RESERVED.contains(&property.name.as_str()) {
            return Err(refuse(&name, "cannot be the name of a property: items use it themselves; choose another one"));
        }
        if properties.iter().take(at).any(|other| other.name == property.name) {
            return Err(refuse(&name, "is defined twice"));
        }
        check_property(property, &name, !path.is_empty())?;
    }
    Ok(())
}

fn check_property(property: &Property, name: &str, nested: bool) -> Result<(), Fault> {
    if !KINDS.contains(&property.kind.as_str()) {
        return Err(refuse(
            name,
            "has an unknown type; use String, Number, Boolean, Date, Object, Array, Key or NumberKey",
        ));
    }
    if property.refers && (property.primary || !property.is_key()) {
        return Err(refuse(name, "has a `ref`, so its type must be Key or NumberKey, and it cannot be `primary`"));
    }
    if property.primary && nested {
        return Err(refuse(name, "is `primary` inside an object; the primary key stands at the top"));
    }
    check_level(&property.properties, &[name, "."].concat())?;
    property.items.as_ref().map_or(Ok(()), |items| check_property(items, &[name, "[]"].concat(), true))
}

fn refuse(name: &str, why: &str) -> Fault {
    Fault::new(Code::Schema, ["property \"", name, "\" ", why].concat())
}

const TOO_MANY: &str = "the schema has more than 128 properties; nest some of them";
const _: () = assert!(MAX_FIELDS == 128);
