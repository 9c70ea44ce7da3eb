//! Definitions of schemas: which make sense, and what is made of them.

use concordia::engine::{
    error::Code,
    row::FieldSet,
    schema::{Property, Schema},
};

fn property(name: &str, kind: &str) -> Property {
    Property { name: name.into(), kind: kind.into(), ..Property::default() }
}

fn refers(name: &str, kind: &str) -> Property {
    Property { refers: true, ..property(name, kind) }
}

fn primary(name: &str, kind: &str) -> Property {
    Property { primary: true, ..property(name, kind) }
}

fn object(name: &str, properties: &[Property]) -> Property {
    Property { properties: properties.to_vec(), ..property(name, "object") }
}

fn array(name: &str, items: Property) -> Property {
    Property { items: Some(Box::new(items)), ..property(name, "array") }
}

#[test]
fn a_definition_that_makes_no_sense_is_refused_with_the_name_of_the_property_and_the_reason() {
    let table: [(Vec<Property>, &str); 17] = [
        (vec![property("a", "text")], "property \"a\" has an unknown type"),
        (vec![property("", "string")], "property \"\" cannot be the name of a property"),
        (vec![property("removed", "string")], "property \"removed\" cannot be the name of a property"),
        (vec![property("a", "string"), property("a", "number")], "property \"a\" is defined twice"),
        (vec![primary("a", "key"), primary("b", "key")], "property \"b\" is the second one that is `primary`"),
        (vec![primary("a", "string")], "property \"a\" is `primary`, but its type is neither"),
        (vec![refers("a", "string")], "property \"a\" has a `ref`, so its type must be"),
        (vec![Property { primary: true, ..refers("a", "key") }], "property \"a\" has a `ref`, so its type must be"),
        (vec![object("a", &[primary("b", "key")])], "property \"a.b\" is `primary` inside an object"),
        (vec![array("a", primary("", "key"))], "property \"a[]\" is `primary` inside an object"),
        (vec![object("a", &[property("then", "string")])], "property \"a.then\" cannot be the name of a property"),
        (vec![array("a", property("", "text"))], "property \"a[]\" has an unknown type"),
        (
            vec![Property { key: Some("k".into()), storage_key: Some("k".into()), ..primary("a", "key") }],
            "property \"a\" has the same name for `key` and `_key`",
        ),
        (
            vec![Property { key: Some(String::new()), ..primary("a", "key") }],
            "property \"\" cannot be the name of a key",
        ),
        (
            vec![Property { storage_key: Some("_sync".into()), ..primary("a", "key") }],
            "property \"_sync\" cannot be the name of a key",
        ),
        (vec![property("id", "string")], "property \"id\" is the name of the primary key"),
        ((0..129).map(|number| property(&format!("p{number}"), "string")).collect(), "the schema has more than 128"),
    ];
    for (properties, message) in table {
        let fault = Schema::new(&properties).err().unwrap_or_else(|| panic!("{message}: accepted"));
        assert_eq!(fault.code, Code::Schema);
        assert!(fault.message.starts_with(message), "{message}: {}", fault.message);
    }
}

#[test]
fn a_schema_has_its_fields_in_order_its_key_and_what_refers_at_any_depth() {
    let schema = |properties: &[Property]| Schema::new(properties).unwrap_or_else(|fault| panic!("{fault}"));
    let made = schema(&[
        property("a", "string"),
        property("id", "numberKey"),
        refers("b", "key"),
        object("c", &[property("x", "date"), array("y", refers("", "numberKey"))]),
        array("d", property("", "boolean")),
        object("e", &[]),
    ]);
    assert_eq!(made.fields, ["a", "b", "c", "d", "e"]);
    assert_eq!((made.primary.as_str(), made.key.as_str(), made.storage_key.as_str()), ("id", "id", "_id"));
    assert_eq!((made.numeric, made.refers), (true, FieldSet::one(1).with(FieldSet::one(2))));

    let own = Property { key: Some("uuid".into()), ..primary("name", "key") };
    let made = schema(&[own, property("a", "string")]);
    assert_eq!((made.primary.as_str(), made.key.as_str(), made.storage_key.as_str()), ("name", "uuid", "_uuid"));
    assert_eq!((made.fields, made.numeric), (vec!["a".to_owned()], false));

    let own = Property { key: Some("uuid".into()), ..primary("own", "key") };
    let made = schema(&[refers("id", "key"), own]);
    assert_eq!((made.primary.as_str(), made.fields), ("own", vec!["id".to_owned()]));

    let most: Vec<_> = (0..128).map(|number| property(&format!("p{number}"), "string")).collect();
    assert_eq!(schema(&most).fields.len(), 128);
}
