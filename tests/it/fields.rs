//! Sets of fields.

use concordia::engine::row::FieldSet;

fn places(set: FieldSet) -> Vec<usize> {
    set.iter().collect()
}

#[test]
fn a_set_holds_up_to_128_fields_by_their_place() {
    assert_eq!((places(FieldSet::first(0)), places(FieldSet::first(3))), (vec![], vec![0, 1, 2]));
    for count in [127, 128, 129, 1_000] {
        assert_eq!(places(FieldSet::first(count)), (0..count.min(128)).collect::<Vec<_>>());
    }
    assert_eq!(
        (places(FieldSet::one(0)), places(FieldSet::one(127)), places(FieldSet::one(128))),
        (vec![0], vec![127], vec![])
    );
}

#[test]
fn sets_are_joined_and_taken_from_each_other() {
    let (three, two) = (FieldSet::first(3), FieldSet::one(2).with(FieldSet::one(5)));
    assert_eq!(
        (places(three.with(two)), places(three.and(two)), places(three.without(two))),
        (vec![0, 1, 2, 5], vec![2], vec![0, 1])
    );
    assert!(!two.is_empty() && two.without(two).is_empty() && FieldSet::NONE.is_empty());
}
