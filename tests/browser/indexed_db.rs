//! The IndexedDB room over a real IndexedDB, a fresh database for each test.

use std::rc::Rc;

use concordia::engine::{error::StorageFailure, input::Lost, sender::Mark};
use concordia::web::client_storage::indexed_db::{IndexedDb, StoreWrites};
use js_sys::{Array, Function, JSON, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{console_log, wasm_bindgen_test};

const STORE: &str = "people";

fn fresh_name() -> String {
    format!("test-{}", js_sys::Math::random())
}

fn js(body: &str) -> JsValue {
    Function::new_no_args(body).call0(&JsValue::UNDEFINED).expect("a script without errors")
}

async fn js_async(body: &str) -> JsValue {
    JsFuture::from(js(&format!("return (async () => {{ {body} }})()")).unchecked_into::<Promise>())
        .await
        .expect("no error")
}

fn rows(json: &str) -> Array {
    JSON::parse(json).expect("JSON").unchecked_into()
}

fn made(count: u32, mark: &str) -> Array {
    js(&format!("return Array.from({{length: {count}}}, (_, i) => ({{_id: `k${{i}}`, mark: '{mark}', i}}))"))
        .unchecked_into()
}

fn writes(puts: Array) -> StoreWrites {
    StoreWrites { store: STORE.into(), key_name: "_id".into(), puts, version: 1, ..StoreWrites::default() }
}

fn erasure(ids: &[&str]) -> StoreWrites {
    StoreWrites { erased: ids.iter().map(|id| JsValue::from_str(id)).collect(), ..writes(Array::new()) }
}

async fn put(room: &Rc<IndexedDb>, puts: Array) {
    room.persist(vec![writes(puts)]).await.expect("committed");
}

/// The stored records, sorted by key, as JSON.
async fn stored(database: &str) -> String {
    let room = IndexedDb::new(database, false);
    let records = room.load(STORE, "_id", 1, false).await.expect("loaded").records;
    room.close();
    records.sort_by(&mut |a, b| {
        let text = |v: &JsValue| js_sys::Reflect::get(v, &"_id".into()).expect("key").as_string().unwrap_or_default();
        text(&a).cmp(&text(&b)) as i32
    });
    JSON::stringify(&records).expect("JSON").into()
}

/// How many entries the object stores hold: `blocks,deltas`.
async fn entries(database: &str) -> String {
    js_async(&format!(
        "const db = await new Promise(r => {{ const o = indexedDB.open('{database}'); o.onsuccess = () => r(o.result) }});
         const n = s => new Promise(r => {{ const c = db.transaction(s).objectStore(s).count(IDBKeyRange.lowerBound([])); c.onsuccess = () => r(c.result) }});
         const text = `${{await n('blocks')}},${{await n('deltas')}}`; db.close(); return text;"
    ))
    .await
    .as_string()
    .expect("text")
}

fn is_blocked(failure: &StorageFailure) -> bool {
    matches!(failure, StorageFailure::Refused(why) if why.starts_with("blocked"))
}

async fn wait(ms: u32) {
    js_async(&format!("await new Promise(r => setTimeout(r, {ms}))")).await;
}

#[wasm_bindgen_test]
async fn an_empty_store_loads_as_an_empty_array() {
    let room = IndexedDb::new(&fresh_name(), false);
    assert_eq!(room.load(STORE, "_id", 1, false).await.expect("loaded").records.length(), 0);
    room.close();
}

#[wasm_bindgen_test]
async fn a_few_records_become_deltas_and_come_back_as_they_were() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    let json = r#"[{"_id":"a","n":1,"tags":["x","y"],"deep":{"z":null}},{"_id":"b"}]"#;
    put(&room, rows(json)).await;
    assert_eq!(stored(&name).await, json);
    assert_eq!(entries(&name).await, "0,2");
    room.close();
}

#[wasm_bindgen_test]
async fn many_records_become_blocks_of_256() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, made(1000, "first")).await;
    assert_eq!(entries(&name).await, "4,0");
    let again = IndexedDb::new(&name, false);
    assert_eq!(again.load(STORE, "_id", 1, false).await.expect("loaded").records.length(), 1000);
    again.close();
    room.close();
}

#[wasm_bindgen_test]
async fn a_delta_wins_over_its_block_and_a_marker_hides_it() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, made(64, "block")).await;
    put(&room, rows(r#"[{"_id":"k3","mark":"delta"}]"#)).await;
    room.persist(vec![erasure(&["k4", "never"])]).await.expect("committed");
    let text = stored(&name).await;
    assert!(text.contains(r#"{"_id":"k3","mark":"delta"}"#), "{text}");
    assert!(!text.contains(r#""_id":"k4","#), "{text}");
    assert_eq!(text.matches("_id").count(), 63);
    room.close();
}

#[wasm_bindgen_test]
async fn a_later_block_wins_over_an_earlier_one_and_over_the_deltas_that_it_covers() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, made(100, "old")).await;
    put(&room, rows(r#"[{"_id":"k1","mark":"delta"},{"_id":"other","mark":"delta"}]"#)).await;
    room.persist(vec![erasure(&["k2"])]).await.expect("committed");
    put(&room, made(70, "new")).await;
    assert_eq!(entries(&name).await, "2,1");
    let text = stored(&name).await;
    assert_eq!(text.matches(r#""mark":"new""#).count(), 70, "{text}");
    assert_eq!(text.matches(r#""mark":"old""#).count(), 30);
    assert_eq!(text.matches(r#""mark":"delta""#).count(), 1);
    room.close();
}

#[wasm_bindgen_test]
async fn string_and_number_keys_are_different_keys() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, rows(r#"[{"_id":1,"v":"number"},{"_id":"1","v":"string"}]"#)).await;
    let batch = StoreWrites { erased: vec![JsValue::from_f64(1.0)], ..writes(Array::new()) };
    room.persist(vec![batch]).await.expect("committed");
    assert_eq!(stored(&name).await, r#"[{"_id":"1","v":"string"}]"#);
    room.close();
}

#[wasm_bindgen_test]
async fn stores_whose_names_begin_alike_do_not_mix() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    let of = |store: &str, puts| StoreWrites { store: store.into(), ..writes(puts) };
    let batch = vec![of("people", made(70, "a")), of("people2", made(65, "b")), of("peopl", rows(r#"[{"_id":"x"}]"#))];
    room.persist(batch).await.expect("committed");
    assert_eq!(room.load("people", "_id", 1, false).await.expect("loaded").records.length(), 70);
    assert_eq!(room.load("people2", "_id", 1, false).await.expect("loaded").records.length(), 65);
    assert_eq!(room.load("peopl", "_id", 1, false).await.expect("loaded").records.length(), 1);
    room.close();
}

#[wasm_bindgen_test]
async fn a_batch_is_handed_over_before_the_call_returns_and_needs_no_polling() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, rows(r#"[{"_id":"first"}]"#)).await;
    let (few, many) = (rows(r#"[{"_id":"a","v":"as it was"}]"#), made(64, "as it was"));
    let futures = [room.persist(vec![writes(few.clone())]), room.persist(vec![writes(many.clone())])];
    for puts in [few, many] {
        js_sys::Reflect::set(&puts.get(0), &"v".into(), &"changed later".into()).expect("set");
    }
    drop(futures);
    wait(100).await;
    let text = stored(&name).await;
    assert_eq!(text.matches("_id").count(), 66);
    assert!(!text.contains("changed later"), "{text}");
    room.close();
}

#[wasm_bindgen_test]
async fn batches_issued_while_the_database_is_opening_keep_their_order() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    let futures: Vec<_> = (0..20)
        .map(|n| {
            room.persist(vec![writes(if n % 3 == 0 {
                made(64, &n.to_string())
            } else {
                rows(&format!(r#"[{{"_id":"k0","mark":"{n}"}}]"#))
            })])
        })
        .collect();
    for future in futures {
        future.await.expect("committed");
    }
    let text = stored(&name).await;
    assert!(text.contains(r#"{"_id":"k0","mark":"19"}"#), "{text}");
    room.close();
}

#[wasm_bindgen_test]
async fn a_record_that_cannot_be_cloned_is_named_and_nothing_of_its_batch_is_written() {
    for count in [3, 300] {
        let name = fresh_name();
        let room = IndexedDb::new(&name, false);
        put(&room, rows(r#"[{"_id":"before"}]"#)).await;
        let bad = made(count, "x");
        js_sys::Reflect::set(&bad.get(2), &"f".into(), &Function::new_no_args("")).expect("set");
        let failure = room.persist(vec![writes(bad)]).await.expect_err("refused");
        assert!(matches!(&failure, StorageFailure::Aborted(why) if why.contains("k2")), "{failure:?}");
        let without_key = room.persist(vec![writes(rows(r#"[{"_id":"fine"},{"name":"no key"}]"#))]).await;
        assert!(
            matches!(&without_key, Err(StorageFailure::Aborted(why)) if why.contains("without _id")),
            "{without_key:?}"
        );
        put(&room, rows(r#"[{"_id":"after"}]"#)).await;
        assert_eq!(stored(&name).await, r#"[{"_id":"after"},{"_id":"before"}]"#);
        room.close();
    }
}

#[wasm_bindgen_test]
async fn two_tabs_writing_bulks_do_not_overwrite_each_other() {
    let name = fresh_name();
    let (one, two) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    one.load(STORE, "_id", 1, false).await.expect("loaded");
    two.load(STORE, "_id", 1, false).await.expect("loaded");
    put(&one, made(300, "one")).await;
    put(&one, made(300, "one again")).await;
    put(&two, made(100, "two")).await;
    put(&two, rows(r#"[{"_id":"k7","mark":"delta of two"}]"#)).await;
    put(&one, made(64, "last")).await;
    let text = stored(&name).await;
    assert_eq!(text.matches(r#""mark":"last""#).count(), 64);
    assert_eq!(text.matches(r#""mark":"two""#).count(), 36);
    assert_eq!(text.matches(r#""mark":"one again""#).count(), 200);
    one.close();
    two.close();
}

#[wasm_bindgen_test]
async fn bulks_issued_together_from_a_stale_number_do_not_overwrite_each_other() {
    let name = fresh_name();
    let (stale, other) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    stale.load(STORE, "_id", 1, false).await.expect("loaded");
    for mark in ["o0", "o1"] {
        put(&other, made(64, mark)).await;
    }
    let bulk = |n: u32| -> Array {
        js(&format!("return Array.from({{length: 600}}, (_, i) => ({{_id: `b{n}-${{i}}`, mark: 'b{n}'}}))"))
            .unchecked_into()
    };
    let futures: Vec<_> = (0..4).map(|n| stale.persist(vec![writes(bulk(n))])).collect();
    for future in futures {
        future.await.expect("committed");
    }
    assert_eq!(stored(&name).await.matches("_id").count(), 64 + 4 * 600);
    stale.close();
    other.close();
}

#[wasm_bindgen_test]
async fn a_bulk_issued_while_a_fold_is_under_way_lands_on_top_of_it() {
    js(
        "globalThis.realIdle = globalThis.requestIdleCallback; globalThis.requestIdleCallback = f => { globalThis.idleNow = f }",
    );
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, made(600, "old")).await;
    put(&room, made(300, "newer")).await;
    put(&room, made(300, "newest")).await;
    js_async("idleNow(); globalThis.requestIdleCallback = realIdle; for (let i = 0; i < 20; i++) await 0").await;
    let batches = [vec![writes(made(200, "bulk"))], vec![writes(rows(r#"[{"_id":"k1","mark":"delta"}]"#))]];
    let futures: Vec<_> = batches.into_iter().map(|batch| room.persist(batch)).collect();
    for future in futures {
        future.await.expect("committed");
    }
    // Three blocks by the fold, of what were seven, and one by the bulk.
    assert_eq!(entries(&name).await, "4,1");
    let text = stored(&name).await;
    let count = |mark: &str| text.matches(&format!(r#""mark":"{mark}""#)).count();
    assert_eq!([count("bulk"), count("delta"), count("newest"), count("old")], [199, 1, 100, 300]);
    room.close();
}

#[wasm_bindgen_test]
async fn a_fold_leaves_fresh_blocks_and_nothing_is_lost_while_batches_go_on() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, made(600, "old")).await;
    for round in 0..6 {
        put(
            &room,
            rows(&format!(
                "[{}]",
                (0..63)
                    .map(|n| format!(r#"{{"_id":"k{}","mark":"delta"}}"#, round * 63 + n))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
        )
        .await;
    }
    room.persist(vec![erasure(&["k599"])]).await.expect("committed");
    // Idle time comes within these: some batches are issued before, some after, some during the fold.
    for n in 0..40 {
        put(&room, rows(&format!(r#"[{{"_id":"k{}","mark":"late"}}]"#, 400 + n))).await;
        if n % 10 == 0 {
            put(&room, made(64, &format!("bulk {n}"))).await;
            wait(20).await;
        }
    }
    wait(300).await;
    let counts = entries(&name).await;
    let (_, deltas) = counts.split_once(',').expect("two numbers");
    assert!(deltas.parse::<u32>().expect("a number") < 100, "not folded: {counts}");
    let text = stored(&name).await;
    assert_eq!(text.matches("_id").count(), 599);
    assert_eq!(text.matches(r#""mark":"late""#).count(), 40);
    assert_eq!(text.matches(r#""mark":"bulk 30""#).count(), 64);
    assert_eq!(text.matches(r#""mark":"delta""#).count(), 6 * 63 - 64);
    room.close();
}

#[wasm_bindgen_test]
async fn overwritten_blocks_are_folded() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    for round in 0..4 {
        put(&room, made(300, &round.to_string())).await;
    }
    wait(400).await;
    let before = entries(&name).await;
    let blocks: u32 = before.split(',').next().expect("a number").parse().expect("a number");
    assert!(blocks <= 4, "{before}");
    assert_eq!(stored(&name).await.matches(r#""mark":"3""#).count(), 300);
    room.close();
}

#[wasm_bindgen_test]
async fn a_newer_database_is_left_alone() {
    let name = fresh_name();
    js_async(&format!(
        "await new Promise(r => {{ const o = indexedDB.open('{name}', 3); o.onsuccess = () => {{ o.result.close(); r() }} }})"
    ))
    .await;
    let room = IndexedDb::new(&name, false);
    assert_eq!(room.load(STORE, "_id", 1, false).await.expect_err("refused"), StorageFailure::NewerVersion);
    assert_eq!(room.persist(vec![erasure(&["a"])]).await.expect_err("refused"), StorageFailure::NewerVersion);
}

#[wasm_bindgen_test]
async fn a_database_of_somebody_else_is_refused_at_once_and_left_as_it_is() {
    for version in [1, 2] {
        let name = fresh_name();
        js_async(&format!(
            "await new Promise(r => {{ const o = indexedDB.open('{name}', {version}); o.onupgradeneeded = () => o.result.createObjectStore('theirs'); o.onsuccess = () => {{ o.result.close(); r() }} }})"
        ))
        .await;
        let room = IndexedDb::new(&name, false);
        let failure = room.load(STORE, "_id", 1, false).await.expect_err("refused");
        assert!(matches!(failure, StorageFailure::Refused(_)), "{failure:?}");
        room.close();
        let left = js_async(&format!(
            "const db = await new Promise(r => {{ const o = indexedDB.open('{name}'); o.onsuccess = () => r(o.result) }});
             const text = `${{db.version}} ${{[...db.objectStoreNames]}}`; db.close(); return text"
        ))
        .await;
        assert_eq!(left.as_string(), Some(format!("{version} theirs")));
    }
}

#[wasm_bindgen_test]
async fn an_upgrade_by_another_tab_is_not_held_up_and_later_writes_say_why() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    let last = room.persist(vec![writes(rows(r#"[{"_id":"b"}]"#))]);
    js_async(&format!(
        "await new Promise((r, e) => {{ const o = indexedDB.open('{name}', 3); o.onsuccess = () => {{ o.result.close(); r() }}; setTimeout(e, 2000, 'hung') }})"
    ))
    .await;
    last.await.expect("what was under way is finished");
    assert_eq!(room.persist(vec![erasure(&["a"])]).await.expect_err("refused"), StorageFailure::NewerVersion);
    assert_eq!(room.load(STORE, "_id", 1, false).await.expect_err("refused"), StorageFailure::NewerVersion);
}

#[wasm_bindgen_test]
async fn a_missing_indexed_db_is_refused_without_a_panic() {
    js("globalThis.keptDescriptor = Object.getOwnPropertyDescriptor(globalThis, 'indexedDB');
        Object.defineProperty(globalThis, 'indexedDB', {value: undefined, configurable: true})");
    let room = IndexedDb::new(&fresh_name(), false);
    let loaded = room.load(STORE, "_id", 1, false).await;
    let written = room.persist(vec![writes(made(3, "x"))]).await;
    js("Object.defineProperty(globalThis, 'indexedDB', keptDescriptor)");
    assert!(matches!(loaded, Err(StorageFailure::Refused(_))), "{loaded:?}");
    assert!(matches!(written, Err(StorageFailure::Refused(_))), "{written:?}");
    // It is there again: so it works again.
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    room.close();
}

#[wasm_bindgen_test]
async fn an_open_that_throws_is_refused() {
    js("indexedDB.open = () => { throw new DOMException('no', 'SecurityError') }");
    let loaded = IndexedDb::new(&fresh_name(), false).load(STORE, "_id", 1, false).await;
    let own = js("const own = typeof indexedDB.open; delete indexedDB.open; return own");
    assert_eq!(own.as_string().as_deref(), Some("function"), "what was shadowed is put back");
    assert!(matches!(loaded, Err(StorageFailure::Refused(_))), "{loaded:?}");
}

#[wasm_bindgen_test]
async fn an_open_that_hangs_is_given_up_and_still_serves_those_who_come_after_it_ended() {
    let name = fresh_name();
    // A connection that ignores `versionchange` blocks the deletion, and the deletion blocks the open.
    js_async(&format!(
        "globalThis.blocker = await new Promise(r => {{ const o = indexedDB.open('{name}'); o.onsuccess = () => r(o.result) }});
         indexedDB.deleteDatabase('{name}')"
    ))
    .await;
    let room = IndexedDb::new(&name, false);
    let begun = js_sys::Date::now();
    assert!(is_blocked(&room.load(STORE, "_id", 1, false).await.expect_err("blocked")));
    assert!((2900.0..4500.0).contains(&(js_sys::Date::now() - begun)));
    let begun = js_sys::Date::now();
    let second = room.persist(vec![erasure(&["x"])]).await;
    assert!(is_blocked(&second.expect_err("still blocked")));
    assert!(js_sys::Date::now() - begun < 500.0, "told at once");
    js("blocker.close()");
    wait(300).await;
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    assert_eq!(stored(&name).await, r#"[{"_id":"a"}]"#);
    room.close();
}

#[wasm_bindgen_test]
async fn a_lost_connection_is_opened_again_and_the_batches_keep_their_order() {
    let name = fresh_name();
    // The page's own hand on the connection, as the browser's when it closes one.
    js("globalThis.realOpen = indexedDB.open; globalThis.opened = [];
        indexedDB.open = function (...a) { const r = realOpen.apply(indexedDB, a); r.addEventListener('success', () => opened.push(r.result)); return r }");
    let room = IndexedDb::new(&name, false);
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    js("opened.at(-1).close()");
    let futures: Vec<_> =
        (0..5).map(|n| room.persist(vec![writes(rows(&format!(r#"[{{"_id":"b","n":{n}}}]"#)))])).collect();
    for future in futures {
        future.await.expect("committed after reopening");
    }
    js("opened.at(-1).close()");
    assert_eq!(room.load(STORE, "_id", 1, false).await.expect("loaded after reopening").records.length(), 2);
    js("delete indexedDB.open");
    assert_eq!(stored(&name).await, r#"[{"_id":"a"},{"_id":"b","n":4}]"#);
    room.close();
}

#[wasm_bindgen_test]
async fn a_transaction_aborted_for_quota_says_quota_and_any_other_abort_says_aborted() {
    let name = fresh_name();
    // The connection holds the prototype's `transaction`, so the failure is planted before it opens.
    js("globalThis.realTransaction = IDBDatabase.prototype.transaction; globalThis.plan = [];
        IDBDatabase.prototype.transaction = function (...a) { const t = realTransaction.apply(this, a); plan.shift()?.(t); return t }");
    let room = IndexedDb::new(&name, false);
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    js(
        "plan.push(t => { Object.defineProperty(t, 'error', {value: new DOMException('full', 'QuotaExceededError')}); queueMicrotask(() => t.abort()) })",
    );
    let quota = room.persist(vec![writes(rows(r#"[{"_id":"b"}]"#))]).await;
    js("plan.push(t => queueMicrotask(() => t.abort()))");
    let aborted = room.persist(vec![writes(made(100, "x"))]).await;
    put(&room, rows(r#"[{"_id":"c"}]"#)).await;
    js("IDBDatabase.prototype.transaction = realTransaction");
    assert_eq!(quota.expect_err("quota"), StorageFailure::Quota);
    assert!(matches!(aborted, Err(StorageFailure::Aborted(_))), "{aborted:?}");
    assert_eq!(stored(&name).await, r#"[{"_id":"a"},{"_id":"c"}]"#);
    room.close();
}

#[wasm_bindgen_test]
async fn a_request_error_aborts_the_batch_and_throws_nothing_into_the_page() {
    js("globalThis.thrown = []; addEventListener('error', e => thrown.push(e.message))");
    // `put` turned into `add` of a key that exists: a real request error.
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    js(
        "globalThis.realPut = IDBObjectStore.prototype.put; IDBObjectStore.prototype.put = IDBObjectStore.prototype.add",
    );
    let failed = room.persist(vec![writes(rows(r#"[{"_id":"z"},{"_id":"a"},{"_id":"y"}]"#)), erasure(&["w"])]).await;
    js("IDBObjectStore.prototype.put = realPut");
    wait(50).await;
    assert!(matches!(failed, Err(StorageFailure::Aborted(_))), "{failed:?}");
    assert_eq!(js("return thrown.join()").as_string().as_deref(), Some(""));
    assert_eq!(stored(&name).await, r#"[{"_id":"a"}]"#);
    room.close();
}

#[wasm_bindgen_test]
async fn strict_durability_is_asked_for_on_writes() {
    js("globalThis.realTransaction = IDBDatabase.prototype.transaction; globalThis.asked = [];
        IDBDatabase.prototype.transaction = function (...a) { const t = realTransaction.apply(this, a); asked.push(t.mode + ':' + t.durability); return t }");
    for strict in [false, true] {
        let room = IndexedDb::new(&fresh_name(), strict);
        put(&room, rows(r#"[{"_id":"a"}]"#)).await;
        room.load(STORE, "_id", 1, false).await.expect("loaded");
        room.close();
    }
    js("IDBDatabase.prototype.transaction = realTransaction");
    let asked = js("return asked.join()").as_string().expect("text");
    assert_eq!(asked, "readwrite:default,readonly:default,readwrite:strict,readonly:default");
}

#[wasm_bindgen_test]
async fn closing_finishes_what_is_under_way_and_a_later_use_opens_again() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    let last = room.persist(vec![writes(rows(r#"[{"_id":"b"}]"#))]);
    room.close();
    last.await.expect("committed");
    put(&room, rows(r#"[{"_id":"c"}]"#)).await;
    assert_eq!(stored(&name).await, r#"[{"_id":"a"},{"_id":"b"},{"_id":"c"}]"#);
    room.close();
}

fn counts(lost: Option<Lost>) -> Option<(u32, u32)> {
    lost.map(|lost| (lost.records, lost.unsynced))
}

async fn lost(database: &str) -> Option<(u32, u32)> {
    let room = IndexedDb::new(database, false);
    let lost = room.load(STORE, "_id", 1, false).await.expect("loaded").lost;
    room.close();
    counts(lost)
}

async fn delete(database: &str) {
    js_async(&format!(
        "await new Promise((r, e) => {{ const o = indexedDB.deleteDatabase('{database}'); o.onsuccess = r; o.onblocked = e }})"
    ))
    .await;
}

#[wasm_bindgen_test]
async fn a_note_outside_tells_that_the_database_is_another_one_until_something_is_noted_anew() {
    let name = fresh_name();
    assert_eq!(lost(&name).await, None, "a first run");
    let room = IndexedDb::new(&name, false);
    room.load(STORE, "_id", 1, false).await.expect("loaded");
    put(&room, rows(r#"[{"_id":"a"},{"_id":"b"}]"#)).await;
    assert_eq!(lost(&name).await, None, "killed between the commit and its note");
    room.note(STORE, 2, 1);
    assert_eq!(lost(&name).await, None, "noted");
    room.close();
    delete(&name).await;
    assert_eq!(lost(&name).await, Some((2, 1)), "deleted");
    assert_eq!(lost(&name).await, Some((2, 1)), "nothing was stored since");
    let room = IndexedDb::new(&name, false);
    room.load(STORE, "_id", 1, false).await.expect("loaded");
    put(&room, rows(r#"[{"_id":"c"}]"#)).await;
    room.note(STORE, 1, 0);
    room.close();
    assert_eq!(lost(&name).await, None, "stored anew");
}

#[wasm_bindgen_test]
async fn a_page_whose_connection_is_closed_notes_nothing_of_a_database_that_may_be_gone() {
    let name = fresh_name();
    let (old, new) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    old.load(STORE, "_id", 1, false).await.expect("loaded");
    put(&old, rows(r#"[{"_id":"a"}]"#)).await;
    delete(&name).await;
    new.load(STORE, "_id", 1, false).await.expect("loaded");
    put(&new, rows(r#"[{"_id":"b"}]"#)).await;
    new.note(STORE, 1, 0);
    old.note(STORE, 1, 1);
    new.close();
    assert_eq!(lost(&name).await, None);
}

#[wasm_bindgen_test]
async fn a_database_that_was_emptied_under_an_open_connection_is_not_written_to() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    room.load(STORE, "_id", 1, false).await.expect("loaded");
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    room.note(STORE, 1, 0);
    js_async(&format!(
        "const db = await new Promise(r => {{ const o = indexedDB.open('{name}'); o.onsuccess = () => r(o.result) }});
         const t = db.transaction('deltas', 'readwrite'); t.objectStore('deltas').clear();
         await new Promise(r => t.oncomplete = r); db.close()"
    ))
    .await;
    let failure = room.persist(vec![writes(rows(r#"[{"_id":"b"}]"#))]).await.expect_err("refused");
    assert!(matches!(&failure, StorageFailure::Refused(why) if why.contains("emptied")), "{failure:?}");
    room.close();
    assert_eq!(stored(&name).await, "[]");
    assert_eq!(lost(&name).await, Some((1, 0)));
}

#[wasm_bindgen_test]
async fn what_a_newer_schema_has_written_is_neither_read_nor_written_by_an_older_one() {
    let name = fresh_name();
    let (old, new) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    old.load(STORE, "_id", 1, false).await.expect("loaded");
    new.load(STORE, "_id", 2, false).await.expect("loaded");
    put(&old, rows(r#"[{"_id":"a","v":1}]"#)).await;
    let of = |version, store: &str, json| StoreWrites { store: store.into(), version, ..writes(rows(json)) };
    new.persist(vec![of(2, STORE, r#"[{"_id":"a","v":2}]"#)]).await.expect("committed");
    let both = vec![of(1, "pets", r#"[{"_id":"x"}]"#), of(1, STORE, r#"[{"_id":"a","v":3}]"#)];
    assert_eq!(old.persist(both).await.expect_err("refused"), StorageFailure::NewerVersion);
    assert_eq!(old.load(STORE, "_id", 1, false).await.expect_err("refused"), StorageFailure::NewerVersion);
    assert_eq!(
        new.load("pets", "_id", 1, false).await.expect("loaded").records.length(),
        0,
        "the batch was undone whole"
    );
    old.persist(vec![of(1, "pets", r#"[{"_id":"x"}]"#)]).await.expect("another store has another version");
    let records = new.load(STORE, "_id", 2, false).await.expect("loaded").records;
    assert_eq!(JSON::stringify(&records).expect("JSON"), r#"[{"_id":"a","v":2}]"#);
    old.close();
    new.close();
}

#[wasm_bindgen_test]
async fn records_that_make_no_sense_are_set_apart_out_of_blocks_and_deltas_and_nothing_else_is() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, made(70, "block")).await;
    put(&room, rows(r#"[{"_id":"k3","mark":"delta"},{"_id":"good"}]"#)).await;
    js_async(&format!(
        "const db = await new Promise(r => {{ const o = indexedDB.open('{name}'); o.onsuccess = () => r(o.result) }});
         const t = db.transaction('deltas', 'readwrite'); t.objectStore('deltas').put({{odd: 1}}, ['people', 'odd']);
         await new Promise(r => t.oncomplete = r); db.close()"
    ))
    .await;
    let (keys, whys) = (js("return ['k3', 'k4']").unchecked_into(), js("return ['first', 'second']").unchecked_into());
    room.set_apart(STORE, "_id", &keys, &whys).await.expect("committed");
    put(&room, rows(r#"[{"_id":"k3","mark":"anew"}]"#)).await;
    room.set_apart(STORE, "_id", &js("return ['k3']").unchecked_into(), &js("return ['third']").unchecked_into())
        .await
        .expect("committed");
    let text = stored(&name).await;
    assert_eq!(text.matches(r#""mark":"block""#).count(), 68, "{text}");
    assert!(text.contains(r#""_id":"good""#) && !text.contains(r#""_id":"k3""#) && !text.contains("odd"), "{text}");
    let apart = js_async(&format!(
        "const db = await new Promise(r => {{ const o = indexedDB.open('{name}'); o.onsuccess = () => r(o.result) }});
         const o = db.transaction('quarantine').objectStore('quarantine').getAll();
         await new Promise(r => o.onsuccess = r); db.close();
         return o.result.map(({{key, why, record}}) => [key, why, record.mark ?? record.odd].join(' ')).sort().join()"
    ))
    .await;
    assert_eq!(
        apart.as_string().as_deref(),
        Some(" it has no key 1,k3 first block,k3 first delta,k3 third anew,k4 second block")
    );
    room.close();
}

#[wasm_bindgen_test]
async fn a_database_of_the_first_version_is_upgraded_and_keeps_what_is_in_it() {
    let name = fresh_name();
    js_async(&format!(
        "const db = await new Promise(r => {{ const o = indexedDB.open('{name}', 1);
            o.onupgradeneeded = () => ['blocks', 'deltas', 'meta'].forEach(s => o.result.createObjectStore(s));
            o.onsuccess = () => r(o.result) }});
         const t = db.transaction(['blocks', 'deltas'], 'readwrite');
         t.objectStore('blocks').put([{{_id: 'a'}}, {{_id: 'b'}}], ['people', 0, 0.5]);
         t.objectStore('deltas').put('b', ['people', 'b']); t.objectStore('deltas').put({{_id: 'c'}}, ['people', 'c']);
         await new Promise(r => t.oncomplete = r);
         globalThis.older = db; db.onversionchange = () => db.close()"
    ))
    .await;
    let room = IndexedDb::new(&name, false);
    assert_eq!(room.load(STORE, "_id", 1, false).await.expect("loaded").records.length(), 2);
    put(&room, rows(r#"[{"_id":"d"}]"#)).await;
    room.note(STORE, 3, 0);
    room.close();
    assert_eq!(stored(&name).await, r#"[{"_id":"a"},{"_id":"c"},{"_id":"d"}]"#);
    assert_eq!(lost(&name).await, None);
}

#[wasm_bindgen_test]
async fn whoever_upgrades_or_deletes_the_database_is_told_of_without_being_asked() {
    for (act, newer) in [("indexedDB.open(NAME, 3)", true), ("indexedDB.deleteDatabase(NAME)", false)] {
        let name = fresh_name();
        let room = IndexedDb::new(&name, false);
        put(&room, rows(r#"[{"_id":"a"}]"#)).await;
        let act = act.replace("NAME", &format!("'{name}'"));
        js_async(&format!(
            "await new Promise((r, e) => {{ const o = {act}; o.onsuccess = () => {{ o.result?.close(); r() }}; setTimeout(e, 2000, 'hung') }})"
        ))
        .await;
        let failure = room.ended().await;
        assert_eq!(failure == StorageFailure::NewerVersion, newer, "{failure:?}");
    }
}

fn fenced(tab: u64, seen: Mark, json: &str) -> Vec<StoreWrites> {
    vec![StoreWrites { fence: Some((tab, seen)), ..writes(rows(json)) }]
}

fn noted(tab: u64, number: u32, json: &str) -> Vec<StoreWrites> {
    vec![StoreWrites { notes: Some((tab, number, rows(json))), ..writes(Array::new()) }]
}

async fn sender(room: &Rc<IndexedDb>) -> Mark {
    room.load(STORE, "_id", 1, true).await.expect("loaded").sender
}

/// `[place, tab, number, rows]` of all notes.
async fn notes(room: &Rc<IndexedDb>) -> String {
    let alone = JSON::stringify(&room.notes(STORE, "_id").await.expect("read")).expect("JSON");
    let loaded = room.load(STORE, "_id", 1, true).await.expect("loaded").notes;
    assert_eq!(alone, JSON::stringify(&loaded).expect("JSON"));
    alone.into()
}

const NOBODY: Mark = Mark { tab: 0, count: 0 };

#[wasm_bindgen_test]
async fn only_who_wrote_last_or_has_read_what_was_written_last_writes_records() {
    let name = fresh_name();
    let (one, two) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    for room in [&one, &two] {
        assert_eq!(sender(room).await, NOBODY);
    }
    one.persist(fenced(1, NOBODY, r#"[{"_id":"a","v":1}]"#)).await.expect("nobody has written");
    one.persist(fenced(1, NOBODY, r#"[{"_id":"a","v":2}]"#)).await.expect("it has written last itself");
    let batch = fenced(2, NOBODY, r#"[{"_id":"a","v":3},{"_id":"b"}]"#);
    assert_eq!(two.persist(batch).await.expect_err("refused"), StorageFailure::Outrun);
    let seen = sender(&two).await;
    assert_eq!(seen, Mark { tab: 1, count: 2 });
    assert_eq!(stored(&name).await, r#"[{"_id":"a","v":2}]"#, "nothing of the batch was written");
    // What is issued together is let through together.
    let futures: Vec<_> = (0..3).map(|n| two.persist(fenced(2, seen, &format!(r#"[{{"_id":"c{n}"}}]"#)))).collect();
    for future in futures {
        future.await.expect("it has read what was written last");
    }
    assert_eq!(sender(&two).await, Mark { tab: 2, count: 5 });
    let late = one.persist(fenced(1, Mark { tab: 1, count: 2 }, r#"[{"_id":"a","v":9}]"#)).await;
    assert_eq!(late.expect_err("refused"), StorageFailure::Outrun);
    one.persist(fenced(1, Mark { tab: 2, count: 5 }, r#"[{"_id":"d"}]"#)).await.expect("it has read that");
    assert_eq!(sender(&one).await, Mark { tab: 1, count: 6 }, "counted on, though more was guessed");
    one.close();
    two.close();
}

#[wasm_bindgen_test]
async fn the_fence_of_one_store_stops_a_batch_of_two_and_a_fold_stops_nobody() {
    let name = fresh_name();
    let (one, two) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    sender(&two).await;
    one.persist(fenced(1, NOBODY, r#"[{"_id":"a"}]"#)).await.expect("committed");
    let other = StoreWrites { store: "pets".into(), ..fenced(2, NOBODY, r#"[{"_id":"p"}]"#).remove(0) };
    let batch = vec![other, fenced(2, NOBODY, r#"[{"_id":"b"}]"#).remove(0)];
    assert_eq!(two.persist(batch).await.expect_err("refused"), StorageFailure::Outrun);
    assert_eq!(two.load("pets", "_id", 1, false).await.expect("loaded").records.length(), 0);
    // The other tab folds in between.
    two.persist(noted(2, 1, r#"["a note"]"#)).await.expect("committed");
    for n in 0..3 {
        let batch = StoreWrites { fence: Some((1, NOBODY)), ..writes(made(600, &n.to_string())) };
        one.persist(vec![batch]).await.expect("committed");
    }
    wait(300).await;
    let (before, seen) = (entries(&name).await, sender(&two).await);
    assert_eq!(before.split(',').next(), Some("3"), "folded: {before}");
    one.persist(fenced(1, NOBODY, r#"[{"_id":"k1","mark":"late"}]"#)).await.expect("committed");
    assert_eq!(sender(&two).await, Mark { tab: 1, count: seen.count + 1 });
    assert_eq!(notes(&two).await, r#"[[1,2,1,["a note"]]]"#);
    assert_eq!(stored(&name).await.matches("_id").count(), 601);
    one.close();
    two.close();
}

#[wasm_bindgen_test]
async fn notes_of_all_tabs_stand_in_the_order_of_their_commits_and_no_place_is_used_twice() {
    let name = fresh_name();
    let (one, two) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    assert_eq!(notes(&one).await, "[]");
    assert_eq!(notes(&two).await, "[]");
    // Each guesses the same place.
    for number in 1..3 {
        one.persist(noted(7, number, r#"["of one"]"#)).await.expect("committed");
        two.persist(noted(8, number, r#"["of two"]"#)).await.expect("committed");
    }
    let all = r#"[[1,7,1,["of one"]],[2,8,1,["of two"]],[3,7,2,["of one"]],[4,8,2,["of two"]]]"#;
    assert_eq!(notes(&one).await, all);
    // Together with records, and erased behind a fence.
    let futures: Vec<_> = (3..6).map(|number| two.persist(noted(8, number, "[]"))).collect();
    for future in futures {
        future.await.expect("committed");
    }
    let batch = StoreWrites { forgotten: vec![(7, 2), (8, 2)], ..fenced(7, NOBODY, r#"[{"_id":"a"}]"#).remove(0) };
    one.persist(vec![batch]).await.expect("committed");
    assert_eq!(notes(&one).await, "[[5,8,3,[]],[6,8,4,[]],[7,8,5,[]]]");
    let batch = |seen| StoreWrites { forgotten: vec![(8, 5)], ..fenced(8, seen, "[]").remove(0) };
    assert_eq!(two.persist(vec![batch(NOBODY)]).await.expect_err("refused"), StorageFailure::Outrun);
    two.persist(vec![batch(sender(&two).await)]).await.expect("committed");
    one.persist(noted(7, 3, "[]")).await.expect("committed");
    assert_eq!(notes(&two).await, "[[8,7,3,[]]]", "the places of those that were erased stay empty");
    assert_eq!(stored(&name).await, r#"[{"_id":"a"}]"#, "notes are no records");
    one.close();
    two.close();
}

#[wasm_bindgen_test]
async fn a_batch_is_not_committed_without_the_one_before_it_and_an_answered_one_is_out_of_the_way() {
    let name = fresh_name();
    let (one, two) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    sender(&one).await;
    sender(&two).await;
    two.persist(fenced(2, NOBODY, r#"[{"_id":"a"}]"#)).await.expect("committed");
    let chained = |number, after, mut batch: Vec<StoreWrites>| {
        batch[0].chain = Some((number, after));
        one.persist(batch)
    };
    let note = |number| noted(1, number, r#"["note"]"#);
    let futures = [
        chained(1, None, note(1)),
        // Another tab has written since: that comes to light inside the transaction.
        chained(2, Some(1), fenced(1, NOBODY, r#"[{"_id":"b"}]"#)),
        chained(3, Some(2), note(2)),
        chained(4, Some(3), note(3)),
        chained(5, Some(1), note(4)),
    ];
    let mut done = String::new();
    for future in futures {
        done += if future.await.is_ok() { "+" } else { "-" };
    }
    assert_eq!(done, "+---+");
    (1..6).for_each(|number| one.told(number));
    // Its number may come again.
    chained(2, Some(4), note(5)).await.expect("nothing it builds on is under way");
    let unwritable = js("return [{_id: 'c', call: () => 1}]").unchecked_into();
    let refused = chained(3, None, vec![writes(unwritable)]);
    let next = chained(4, Some(3), note(6));
    assert!(refused.await.is_err(), "it cannot be cloned, which is known at once");
    assert_eq!(next.await.expect_err("refused"), StorageFailure::Outrun);
    let left = r#"[[1,1,1,["note"]],[2,1,4,["note"]],[3,1,5,["note"]]]"#;
    assert_eq!(notes(&two).await, left);
    assert_eq!(stored(&name).await, r#"[{"_id":"a"}]"#);
    one.close();
    two.close();
}

#[wasm_bindgen_test]
async fn a_fence_and_notes_are_handed_over_before_the_call_returns_and_need_no_polling() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    assert_eq!(sender(&room).await, NOBODY);
    drop([room.persist(fenced(1, NOBODY, r#"[{"_id":"a"}]"#)), room.persist(noted(1, 1, r#"["note"]"#))]);
    room.close();
    wait(100).await;
    let again = IndexedDb::new(&name, false);
    assert_eq!(sender(&again).await, Mark { tab: 1, count: 1 });
    assert_eq!(notes(&again).await, r#"[[1,1,1,["note"]]]"#);
    again.close();
}

#[wasm_bindgen_test]
async fn notes_keep_the_rules_of_records_and_what_is_read_again_must_be_the_same_database() {
    let name = fresh_name();
    let (old, new) = (IndexedDb::new(&name, false), IndexedDb::new(&name, false));
    sender(&old).await;
    new.persist(vec![StoreWrites { version: 2, ..writes(rows(r#"[{"_id":"a"}]"#)) }]).await.expect("committed");
    assert_eq!(old.persist(noted(1, 1, "[]")).await.expect_err("refused"), StorageFailure::NewerVersion);
    assert_eq!(new.notes(STORE, "_id").await.expect("read").length(), 0);
    new.load(STORE, "_id", 2, false).await.expect("loaded");
    js_async(&format!(
        "const db = await new Promise(r => {{ const o = indexedDB.open('{name}'); o.onsuccess = () => r(o.result) }});
         const t = db.transaction('deltas', 'readwrite'); t.objectStore('deltas').clear();
         await new Promise(r => t.oncomplete = r); db.close()"
    ))
    .await;
    let failure = new.load(STORE, "_id", 2, true).await.map(drop).expect_err("refused");
    assert!(matches!(&failure, StorageFailure::Refused(why) if why.contains("emptied")), "{failure:?}");
    new.load(STORE, "_id", 2, false).await.expect("whoever begins anew reads what there is");
    old.close();
    new.close();
}

#[wasm_bindgen_test]
async fn what_makes_no_sense_among_what_tabs_share_counts_as_nothing() {
    let name = fresh_name();
    let room = IndexedDb::new(&name, false);
    put(&room, rows(r#"[{"_id":"a"}]"#)).await;
    js_async(&format!(
        "const db = await new Promise(r => {{ const o = indexedDB.open('{name}'); o.onsuccess = () => r(o.result) }});
         const m = db.transaction(['deltas', 'meta'], 'readwrite'); const s = m.objectStore('meta');
         const g = m.objectStore('deltas').get('guard');
         g.onsuccess = () => m.objectStore('deltas').put({{...g.result, senders: new Map([['people', 'odd']])}}, 'guard');
         s.put({{}}, ['people', 'notes']); s.put(17, ['people', 'note', 4, 1, 3]); s.put([], ['people', 'note', 'y']);
         s.put(1, ['people', 'other']); s.put(2, ['people']);
         await new Promise(r => m.oncomplete = r); db.close()"
    ))
    .await;
    assert_eq!(sender(&room).await, NOBODY);
    assert_eq!(notes(&room).await, "[[3,4,1,[17]]]");
    room.persist(fenced(5, NOBODY, r#"[{"_id":"b"}]"#)).await.expect("committed");
    assert_eq!(sender(&room).await, Mark { tab: 5, count: 1 });
    // One without a place is not seen.
    let batch = StoreWrites { forgotten: vec![(4, 1)], ..fenced(5, NOBODY, "[]").remove(0) };
    room.persist(vec![batch]).await.expect("committed");
    assert_eq!(notes(&room).await, "[]");
    room.keep_strays(STORE, &js("return [[17]]").unchecked_into(), &js("return ['no row']").unchecked_into());
    room.persist(noted(5, 1, "[]")).await.expect("committed");
    let apart = js_async(&format!(
        "const db = await new Promise(r => {{ const o = indexedDB.open('{name}'); o.onsuccess = () => r(o.result) }});
         const o = db.transaction('quarantine').objectStore('quarantine').getAll();
         await new Promise(r => o.onsuccess = r); db.close();
         return JSON.stringify(o.result.map(({{store, key, why, record}}) => [store, key, why, record]))"
    ))
    .await;
    assert_eq!(apart.as_string().as_deref(), Some(r#"[["people","note","no row",[17]]]"#));
    room.close();
}

#[wasm_bindgen_test]
async fn the_times_for_10_000_rows_of_8_fields() {
    let make = "return Array.from({length: 10000}, (_, i) => ({_id: `id-${i}`, id: `s${i}`, first: `First ${i}`, last: `Last ${i}`,
        mail: `p${i}@example.org`, age: i % 90, score: i / 7, active: i % 2 == 0, tags: [`a${i}`, 'b', 'c'],
        address: {street: `Street ${i}`, city: 'City', zip: i}}))";
    let now = || js("return performance.now()").as_f64().expect("a number");
    let mut times = Vec::new();
    for _ in 0..5 {
        let name = fresh_name();
        let room = IndexedDb::new(&name, false);
        room.load(STORE, "_id", 1, false).await.expect("loaded");
        let puts: Array = js(make).unchecked_into();
        let a = now();
        let future = room.persist(vec![writes(puts)]);
        let b = now();
        future.await.expect("committed");
        let c = now();
        room.close();
        let again = IndexedDb::new(&name, false);
        let d = now();
        let count = again.load(STORE, "_id", 1, false).await.expect("loaded").records.length();
        let e = now();
        assert_eq!(count, 10_000);
        let one = now();
        put(&again, rows(r#"[{"_id":"id-5","v":1}]"#)).await;
        let f = now();
        times.push(format!(
            "write {:.1} ms (blocked {:.1}), open+load {:.1} ms, one edit {:.1} ms",
            c - a,
            b - a,
            e - d,
            f - one
        ));
        again.close();
    }
    console_log!("{}", times.join("\n"));
}
