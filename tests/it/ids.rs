//! How ids and numbers are written.

use concordia::engine::{
    Engine,
    id::{IdempotencyKey, Key, decimal},
    input::{Cursor, Input, Lost, Next, Rows, Source, StoreOptions},
    output::Made,
    time::Millis,
};

use crate::page::{Page, json, options, remote};
use crate::row::MapRow;

/// The keys of three items that a page makes at a time.
fn made(seed: u8, now: u64, numeric: bool) -> Vec<String> {
    let mut engine = Engine::new([seed; 32]);
    let mut does = |input| engine.handle(Millis(now), input).unwrap_or_else(|fault| panic!("{fault}")).made;
    let options = StoreOptions { numeric_storage_key: numeric, ..options() };
    let Made::Store(store) = does(Input::Open(options, MapRow::default())) else { panic!("no store") };
    let mut create = || does(Input::Create { store, row: MapRow::default(), key: None, source: Source::State });
    let items = [create(), create(), create()].map(|made| match made {
        Made::Item(item) => item,
        other => panic!("{other:?}"),
    });
    items.iter().filter_map(|item| engine.storage_key(*item)).map(|key| key.text().to_owned()).collect()
}

const NOW: u64 = 1_700_000_000_000;

#[test]
fn keys_made_here_ascend_as_text_from_page_to_page_and_no_other_page_makes_them() {
    let (one, other, later) = (made(1, NOW, false), made(2, NOW, false), made(3, NOW + 1, false));
    let all: Vec<_> = one.iter().chain(&later).collect();
    assert!(all.is_sorted_by(|before, after| before < after), "{all:?}");
    assert!(one.iter().all(|key| key.len() == 26 && !other.contains(key)), "{one:?} {other:?}");
}

#[test]
fn numbers_made_as_keys_ascend_start_from_the_time_and_are_exact_in_javascript() {
    let numbers = |seed, now| -> Vec<u64> { made(seed, now, true).iter().map(|key| key.parse().unwrap()).collect() };
    let (one, other, later) = (numbers(1, NOW), numbers(2, NOW), numbers(3, NOW + 1_000));
    let all: Vec<_> = one.iter().chain(&later).collect();
    assert!(all.is_sorted_by(|before, after| before < after), "{all:?}");
    assert_ne!(one[0], other[0]);
    // 4096 for each millisecond since 2020.
    assert!(one.iter().chain(&other).all(|number| number / 4096 - (NOW - 1_577_836_800_000) < 2), "{one:?} {other:?}");
    assert!(made(1, 3_755_376_000_000, true).iter().all(|key| key.parse::<u64>().unwrap() < 1 << 53), "in 2089");
}

#[test]
fn edits_have_no_half_of_an_idempotency_key_in_common() {
    let mut page = Page::open();
    page.create(&[(0, 1)]);
    page.create(&[(0, 2)]);
    let [one, other] = [0, 1].map(|place| page.writes()[place].idempotency_key.0);
    assert!(one >> 64 != other >> 64 && one << 64 != other << 64, "{one:x} {other:x}");
}

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

#[test]
fn keys_are_compared_as_text_and_shown_as_javascript_writes_them() {
    let (text, number) = (Key::new("1", false), Key::new("1", true));
    assert_eq!((format!("{text:?}"), format!("{number:?}")), ("\"1\"".into(), "1".into()));
    assert!(text == number && text < Key::new("2", true) && Key::new("10", false) < Key::new("9", false));
}

#[test]
fn many_items_are_found_by_their_keys_as_long_as_they_are_there() {
    let keys: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    let rows = |keys: &[String]| -> Vec<_> { keys.iter().map(|key| remote(key, &[])).collect() };
    let all = |keys: &[String]| Rows {
        rows: rows(keys),
        complete: true,
        deleted: Vec::new(),
        problem: None,
        next: Next::None,
        cursor: Cursor::Kept,
    };
    let mut page = Page::start(options());
    page.answer_read(json(200, all(&keys)));
    let found = |page: &Page, key: &String| {
        let item = page.engine.find_by_remote_key(page.store, &Key::new(key, false))?;
        let storage_key = page.engine.storage_key(item)?.clone();
        assert_eq!(page.engine.find_by_storage_key(page.store, &storage_key), Some(item));
        Some(item)
    };
    let items: Vec<_> = keys.iter().map(|key| found(&page, key).unwrap()).collect();
    assert_eq!(page.engine.kept(page.store), Lost { records: 300, unsynced: 0 });
    for left in [200, 10, 300] {
        page.fetch();
        page.answer_read(json(200, all(&keys[..left])));
        assert_eq!(keys.iter().filter(|key| found(&page, key).is_some()).count(), left);
        assert_eq!(found(&page, &keys[0]), Some(items[0]));
        assert_eq!(page.engine.kept(page.store).records as usize, left);
    }
    page.update(items[0], &[(0, 1)]);
    assert_eq!(page.engine.kept(page.store), Lost { records: 300, unsynced: 1 });
}
