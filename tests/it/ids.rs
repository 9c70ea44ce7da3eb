//! How ids and numbers are written.

use concordia::engine::id::{IdempotencyKey, decimal};

#[test]
fn whole_numbers_are_written_as_the_standard_library_writes_them() {
    let around = |number: u64| [number.saturating_sub(1), number, number.saturating_add(1)];
    let powers = (0..20).map(|power| 10_u64.pow(power)).chain((0..64).map(|power| 1 << power)).chain([u64::MAX]);
    for number in powers.flat_map(around) {
        assert_eq!(decimal(number), number.to_string());
    }
}

#[test]
fn an_idempotency_key_is_a_uuid_of_version_4_and_is_read_as_it_was_written() {
    for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978] {
        let key = IdempotencyKey::random(bits);
        let text = key.text();
        assert_eq!(text.replace('-', ""), format!("{:032x}", key.0));
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(text[14..].starts_with('4') && "89ab".contains(&text[19..20]));
        assert_eq!(IdempotencyKey::parse(&text), Some(key));
    }
}
