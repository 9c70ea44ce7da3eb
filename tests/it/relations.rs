//! Items that refer to items of another store, told from the page's side.

use concordia::engine::{
    EditState,
    id::{ItemId, Key, StoreId},
    input::{Cursor, Input, Next, Rows, Source, StoreOptions},
    lifecycle::Action,
    output::{Made, Request},
    row::{FieldSet, Reference, RemoteRow, Row},
};

use crate::{
    page::{Failure, Page, empty, json, options, remote},
    row::MapRow,
};

/// The field that refers to an item of the other store.
pub const OTHER: usize = 2;

pub const PEOPLE: StoreId = StoreId(0);
pub const POSTS: StoreId = StoreId(1);

fn people() -> StoreOptions {
    StoreOptions { refers: FieldSet::one(OTHER), ..options() }
}

fn posts() -> StoreOptions {
    StoreOptions { name: "posts".into(), ..people() }
}

/// A page with both stores, each after its first read.
fn open() -> Page {
    open_as(true)
}

/// `patches`: whether updates say only what was edited.
pub fn open_as(patches: bool) -> Page {
    let mut page = Page::start(StoreOptions { patches, ..people() });
    page.open_store(StoreOptions { patches, ..posts() });
    with(&mut page, PEOPLE).answer_all(&[]);
    with(&mut page, POSTS).answer_all(&[]);
    page
}

/// The page is killed, and another one opens both stores. Nothing is answered yet.
pub fn restart(page: Page) -> Page {
    let mut page = page.restart();
    page.open_store(StoreOptions { patches: page.options.patches, ..posts() });
    page
}

fn with(page: &mut Page, store: StoreId) -> &mut Page {
    page.store = store;
    page
}

/// A reference to an item, by the keys that it has now.
pub fn to(page: &Page, store: StoreId, item: ItemId) -> Reference {
    let key = page.engine.row(item).and_then(MapRow::remote_key);
    Reference { field: OTHER, store: Some(store), key, storage_key: page.engine.storage_key(item).cloned() }
}

pub fn by_key(store: StoreId, key: &str) -> Reference {
    Reference { field: OTHER, store: Some(store), key: Some(Key::new(key, false)), storage_key: None }
}

/// A post whose author is this one.
fn post_of(page: &mut Page, value: i64, author: ItemId) -> ItemId {
    let reference = to(page, PEOPLE, author);
    create(page, POSTS, value, &[reference])
}

fn create(page: &mut Page, store: StoreId, value: i64, references: &[Reference]) -> ItemId {
    let item = make(page, store, value, references);
    page.end_turn();
    item
}

/// Its turn goes on.
pub fn make(page: &mut Page, store: StoreId, value: i64, references: &[Reference]) -> ItemId {
    let row = MapRow::of(&[(0, value)]).with_references(references);
    match page.does(Input::Create { store, row, key: None, source: Source::State }) {
        Made::Item(item) => item,
        other => panic!("{other:?}"),
    }
}

fn refer(page: &mut Page, item: ItemId, references: &[Reference]) {
    set(page, item, references);
    page.end_turn();
}

/// Its turn goes on.
fn set(page: &mut Page, item: ItemId, references: &[Reference]) {
    let row = MapRow::default().with_references(references);
    page.does(Input::Update { item, row, fields: FieldSet::one(OTHER), source: Source::State });
}

fn first(page: &Page, store: StoreId) -> ItemId {
    page.engine.items(store).next().unwrap_or_else(|| panic!("{store:?} is empty"))
}

/// The keys that a request names as its reference; nothing if it does not speak of it.
pub fn named(request: &Request<MapRow>) -> Option<Vec<Option<String>>> {
    let field = FieldSet::one(OTHER);
    let text = |reference: &Reference| reference.key.as_ref().map(|key| key.text().to_owned());
    (!request.fields.and(field).is_empty()).then(|| request.row.references(field).iter().map(text).collect())
}

fn name(key: &str) -> Option<Vec<Option<String>>> {
    Some(vec![Some(key.to_owned())])
}

fn state(page: &Page, item: ItemId) -> Option<EditState> {
    let edits = page.engine.store_of(item).map(|store| page.engine.pending(store)).unwrap_or_default();
    edits.into_iter().filter(|edit| edit.item == item).map(|edit| edit.state).next_back()
}

fn row_with(key: &str, references: &[Reference]) -> RemoteRow<MapRow> {
    let told = remote(key, &[(0, 1)]);
    RemoteRow { row: told.row.with_references(references), ..told }
}

fn answer_rows(page: &mut Page, store: StoreId, rows: Vec<RemoteRow<MapRow>>) {
    with(page, store).answer_read(json(
        200,
        Rows { rows, complete: true, deleted: Vec::new(), problem: None, next: Next::None, cursor: Cursor::Kept },
    ));
}

/// The item that the first item of `store` refers to.
fn referred(page: &Page, store: StoreId) -> Option<ItemId> {
    let post = page.engine.items(store).next()?;
    let reference = page.engine.row(post)?.references(FieldSet::one(OTHER)).into_iter().next()?;
    page.engine.find_by_remote_key(reference.store?, &reference.key?)
}

// Waiting for a key.

#[test]
fn a_new_item_waits_until_the_one_it_refers_to_has_its_key_and_is_then_sent_with_it() {
    let mut page = open();
    let author = create(&mut page, PEOPLE, 1, &[]);
    let post = post_of(&mut page, 2, author);
    let other = create(&mut page, POSTS, 3, &[]);
    assert_eq!(page.writes().iter().map(|write| write.item).collect::<Vec<_>>(), [author, other]);
    assert_eq!(state(&page, post), Some(EditState::Waiting));
    page.accept(other, "30");
    page.accept(author, "7");
    assert_eq!((page.write().item, named(&page.write())), (post, name("7")));
    page.accept(post, "20");
    assert!(page.engine.is_synced(post) && page.network.is_empty());
    assert!(page.disk.values().all(|record| record.sync.is_none()));
}

#[test]
fn an_update_waits_as_a_create_does_and_what_follows_it_too() {
    let mut page = open();
    let post = create(&mut page, POSTS, 1, &[]);
    page.accept(post, "20");
    let author = create(&mut page, PEOPLE, 2, &[]);
    let reference = to(&page, PEOPLE, author);
    refer(&mut page, post, &[reference]);
    page.update(post, &[(0, 5)]);
    assert_eq!(page.write().item, author);
    page.accept(author, "7");
    assert_eq!((page.write().action, page.write().row.get(0)), (Action::Update, Some(5)));
    assert_eq!(named(&page.write()), name("7"));
}

#[test]
fn it_waits_across_a_restart() {
    let mut page = open();
    let author = create(&mut page, PEOPLE, 1, &[]);
    post_of(&mut page, 2, author);
    let mut page = restart(page);
    let (author, post) = (first(&page, PEOPLE), first(&page, POSTS));
    assert_eq!(page.write().item, author);
    page.accept(author, "7");
    assert_eq!((page.write().item, named(&page.write())), (post, name("7")));
}

#[test]
fn it_waits_for_a_store_that_is_opened_later() {
    let mut page = open();
    // Here the store that is opened second holds what is referred to.
    let author = create(&mut page, POSTS, 1, &[]);
    let reference = to(&page, POSTS, author);
    create(&mut page, PEOPLE, 2, &[reference]);
    let mut page = page.restart();
    let post = first(&page, PEOPLE);
    assert_eq!((page.writes().len(), state(&page, post)), (0, Some(EditState::Waiting)));
    page.open_store(posts());
    let author = first(&page, POSTS);
    assert_eq!(page.write().item, author);
    page.accept(author, "7");
    assert_eq!((page.write().item, named(&page.write())), (post, name("7")));
}

#[test]
fn who_refers_to_a_parked_item_waits_and_nobody_else_does() {
    let mut page = open();
    let author = create(&mut page, PEOPLE, 1, &[]);
    let post = post_of(&mut page, 2, author);
    page.answer(author, Failure::Status(422, None).answer());
    assert_eq!((state(&page, author), state(&page, post)), (Some(EditState::Parked), Some(EditState::Waiting)));
    let flushed = with(&mut page, POSTS).flush();
    assert_eq!(page.outcome(flushed), Some(Ok(())), "nothing can be sent");
    let other = create(&mut page, POSTS, 3, &[]);
    assert_eq!(page.write().item, other);
    page.accept(other, "30");
    let mut page = restart(page);
    let (author, post) = (first(&page, PEOPLE), first(&page, POSTS));
    assert!(page.writes().is_empty());
    page.does(Input::Retry(author));
    page.accept(author, "7");
    assert_eq!((page.write().item, named(&page.write())), (post, name("7")));
}

#[test]
fn when_the_item_is_removed_or_given_up_before_it_has_a_key_the_reference_means_nothing() {
    for discards in [false, true] {
        let mut page = open();
        let author = create(&mut page, PEOPLE, 1, &[]);
        let post = post_of(&mut page, 2, author);
        page.answer(author, Failure::Status(422, None).answer());
        if discards {
            page.does(Input::Discard(author));
        } else {
            page.remove(author);
        }
        assert_eq!((page.write().item, named(&page.write())), (post, Some(Vec::new())));
        page.accept(post, "20");
        assert!(page.engine.is_synced(post) && page.network.is_empty());
    }
}

#[test]
fn a_removed_item_that_the_server_knows_is_still_named() {
    let mut page = open();
    let author = create(&mut page, PEOPLE, 1, &[]);
    page.accept(author, "7");
    let post = post_of(&mut page, 2, author);
    page.accept(post, "20");
    page.remove(author);
    page.answer(author, empty(204));
    with(&mut page, POSTS).update(post, &[(0, 3)]);
    assert_eq!(page.engine.row(post).map(|row| row.references(FieldSet::one(OTHER)).len()), Some(1));
    assert_eq!(page.write().item, post);
}

#[test]
fn flush_waits_for_what_follows_from_what_is_being_sent() {
    let mut page = open();
    let author = create(&mut page, PEOPLE, 1, &[]);
    let post = post_of(&mut page, 2, author);
    let flushed = with(&mut page, POSTS).flush();
    assert_eq!(page.outcome(flushed), None);
    page.accept(author, "7");
    assert_eq!(page.outcome(flushed), None);
    page.accept(post, "20");
    assert_eq!(page.outcome(flushed), Some(Ok(())));
}

// Cycles.

/// An author and a post of one turn who refer to each other.
fn cycle(page: &mut Page) -> [ItemId; 2] {
    let author = make(page, PEOPLE, 1, &[]);
    let reference = to(page, PEOPLE, author);
    let post = make(page, POSTS, 2, &[reference]);
    let reference = to(page, POSTS, post);
    set(page, author, &[reference]);
    page.end_turn();
    [author, post]
}

#[test]
fn of_a_cycle_the_oldest_goes_first_without_the_field_and_is_updated_with_it() {
    let mut page = open();
    let [author, post] = cycle(&mut page);
    let synced = page.once_synced(author);
    assert_eq!((page.write().item, page.write().action, named(&page.write())), (author, Action::Create, None));
    page.accept(author, "7");
    assert_eq!((page.write().item, page.write().action, named(&page.write())), (post, Action::Create, name("7")));
    assert_eq!(page.outcome(synced), None, "its reference has still to be sent");
    page.accept(post, "20");
    assert_eq!((page.write().item, page.write().action, named(&page.write())), (author, Action::Update, name("20")));
    page.accept(author, "7");
    assert_eq!(page.outcome(synced), Some(Ok(())));
    assert!(page.network.is_empty() && page.engine.is_synced(author) && page.engine.is_synced(post));
    assert_eq!(page.engine.row(author).map(|row| row.references(FieldSet::one(OTHER)).len()), Some(1));
}

#[test]
fn a_cycle_that_a_crash_interrupts_goes_on_where_it_was() {
    let mut page = open();
    cycle(&mut page);
    let key = page.write().idempotency_key;
    let mut page = restart(page);
    let (author, post) = (first(&page, PEOPLE), first(&page, POSTS));
    assert_eq!(
        (page.write().idempotency_key, named(&page.write())),
        (key, None),
        "the same payload under the same key"
    );
    page.accept(author, "7");
    let mut page = restart(page);
    let (author, post) = (first(&page, PEOPLE), post.max(first(&page, POSTS)));
    assert_eq!(named(&page.write()), name("7"));
    page.accept(post, "20");
    assert_eq!((page.write().item, named(&page.write())), (author, name("20")));
}

#[test]
fn a_new_item_that_refers_to_itself_is_a_cycle_too() {
    let mut page = open();
    let item = make(&mut page, PEOPLE, 1, &[]);
    let reference = to(&page, PEOPLE, item);
    set(&mut page, item, &[reference]);
    page.end_turn();
    assert_eq!((page.write().action, named(&page.write())), (Action::Create, None));
    page.accept(item, "7");
    assert_eq!((page.write().action, named(&page.write())), (Action::Update, name("7")));
}

#[test]
fn who_only_hangs_on_a_cycle_waits_for_it() {
    let mut page = open();
    let [author, post] = cycle(&mut page);
    let references = [to(&page, PEOPLE, author), to(&page, POSTS, post)];
    let reader = create(&mut page, POSTS, 3, &references);
    assert_eq!(page.write().item, author);
    page.accept(author, "7");
    assert_eq!(page.write().item, post);
    page.accept(post, "20");
    assert!(page.writes().iter().any(|write| write.item == reader && named(write).is_some_and(|keys| keys.len() == 2)));
}

// What a server's rows refer to.

#[test]
fn a_reference_that_comes_before_its_row_waits_for_the_collection() {
    let mut page = Page::start(people());
    page.open_store(posts());
    answer_rows(&mut page, POSTS, vec![row_with("20", &[by_key(PEOPLE, "7")])]);
    let loaded = with(&mut page, POSTS).once_loaded();
    assert_eq!(page.outcome(loaded), None);
    with(&mut page, PEOPLE).answer_all(&[("7", &[(0, 5)])]);
    assert_eq!(page.outcome(loaded), Some(Ok(())));
    let author = first(&page, PEOPLE);
    assert_eq!((referred(&page, POSTS), page.network.len()), (Some(author), 0), "nothing is fetched twice");
    let references = page.engine.row(first(&page, POSTS)).map(|row| row.references(FieldSet::one(OTHER)));
    assert_eq!(references, Some(vec![to(&page, PEOPLE, author)]), "and the stored record names the stored author");
}

#[test]
fn what_is_referred_to_and_not_here_is_fetched_and_loading_waits_for_it() {
    let mut page = Page::start(people());
    page.open_store(posts());
    with(&mut page, PEOPLE).answer_all(&[]);
    answer_rows(&mut page, POSTS, vec![row_with("20", &[by_key(PEOPLE, "7")]), row_with("21", &[by_key(PEOPLE, "7")])]);
    let loaded = with(&mut page, POSTS).once_loaded();
    let author = first(&page, PEOPLE);
    assert_eq!(referred(&page, POSTS), Some(author));
    assert_eq!((page.outcome(loaded), page.network.len()), (None, 1), "once for both");
    assert!(!page.engine.is_loaded(POSTS) && page.engine.is_loaded(PEOPLE));
    page.answer_one(json(200, remote("7", &[(0, 5)])));
    assert_eq!((page.outcome(loaded), page.value(author, 0)), (Some(Ok(())), Some(5)));
}

#[test]
fn loading_does_not_wait_for_what_cannot_be_had() {
    for failure in
        [Failure::Unreachable, Failure::Status(500, None), Failure::Status(403, None), Failure::Status(404, None)]
    {
        let mut page = Page::start(people());
        page.open_store(posts());
        with(&mut page, PEOPLE).answer_all(&[]);
        answer_rows(&mut page, POSTS, vec![row_with("20", &[by_key(PEOPLE, "7")])]);
        let loaded = with(&mut page, POSTS).once_loaded();
        assert_eq!(page.outcome(loaded), None);
        page.answer_one(failure.answer());
        assert_eq!(page.outcome(loaded), Some(Ok(())), "{failure:?}");
        // What the server says is kept, though nobody is there.
        let post = first(&page, POSTS);
        with(&mut page, POSTS).update(post, &[(0, 9)]);
        let references = page.engine.row(post).map(|row| row.references(FieldSet::one(OTHER)));
        assert_eq!(
            references.and_then(|references| references[0].key.clone()),
            Some(Key::new("7", false)),
            "{failure:?}"
        );
    }
}

#[test]
fn without_the_server_the_stored_rows_refer_to_the_stored_rows() {
    let mut page = Page::start(people());
    page.open_store(posts());
    with(&mut page, PEOPLE).answer_all(&[("7", &[(0, 5)])]);
    answer_rows(&mut page, POSTS, vec![row_with("20", &[by_key(PEOPLE, "7")])]);
    let mut page = restart(page);
    let loaded = with(&mut page, POSTS).once_loaded();
    for leaving in page.network.clone() {
        page.answer_any(&leaving, &Failure::Unreachable);
    }
    assert_eq!(page.outcome(loaded), Some(Ok(())));
    assert_eq!(referred(&page, POSTS), Some(first(&page, PEOPLE)));
}

#[test]
fn an_item_of_a_cycle_is_taken_when_the_update_that_follows_its_create_is() {
    let mut page = open();
    page.does(Input::Pause(PEOPLE));
    page.does(Input::Pause(POSTS));
    let [person, post] = cycle(&mut page);
    let (first, second) = (page.once_synced(person), page.once_synced(post));
    page.does(Input::Resume(PEOPLE));
    page.does(Input::Resume(POSTS));
    page.accept(person, "a");
    assert_eq!(page.outcome(first), None, "the field that was left out is still to be sent");
    page.accept(post, "b");
    page.accept(person, "a");
    assert_eq!((page.outcome(first), page.outcome(second)), (Some(Ok(())), Some(Ok(()))));
}

#[test]
fn who_refers_to_an_item_under_a_key_of_the_apps_own_waits_until_the_server_has_taken_it() {
    let mut page = open();
    let author = with(&mut page, PEOPLE).create_with(&[(0, 1)], Some("mine"));
    let post = post_of(&mut page, 2, author);
    assert_eq!((page.write().item, state(&page, post)), (author, Some(EditState::Waiting)));
    page.accept(author, "mine");
    assert_eq!((page.write().item, named(&page.write())), (post, name("mine")));
}

#[test]
fn who_refers_to_what_is_removed_before_anybody_knows_its_key_does_not_wait_for_it() {
    let mut page = open();
    let author = with(&mut page, PEOPLE).create(&[(0, 1)]);
    let post = post_of(&mut page, 2, author);
    page.remove(author);
    let request = page.writes().into_iter().find(|request| request.item == post);
    assert_eq!(request.as_ref().and_then(named), Some(Vec::new()));
}

/// Whether it never left or was refused.
#[test]
fn a_key_of_the_apps_own_that_the_server_has_not_taken_is_not_named_when_its_item_is_removed() {
    for is_refused in [false, true] {
        let mut page = open();
        let (row, key) = (MapRow::of(&[(0, 1)]), Some(Key::new("mine", false)));
        let made = page.does(Input::Create { store: PEOPLE, row, key, source: Source::State });
        let Made::Item(author) = made else { panic!("{made:?}") };
        if is_refused {
            page.end_turn();
            page.answer(author, empty(422));
        }
        let reference = to(&page, PEOPLE, author);
        let post = make(&mut page, POSTS, 2, &[reference]);
        page.remove(author);
        let request = page.writes().into_iter().find(|request| request.item == post);
        assert_eq!(request.as_ref().and_then(named), Some(Vec::new()), "refused: {is_refused}");
    }
}

/// Who refers to it lets it be looked for. The collection may have been asked for before it went.
#[test]
fn a_removed_item_that_is_referred_to_is_not_brought_back_by_what_was_asked_before() {
    let mut page = open();
    let author = with(&mut page, PEOPLE).settled_item("7", &[(0, 1)]);
    with(&mut page, PEOPLE).fetch();
    page.remove(author);
    page.answer(author, empty(204));
    with(&mut page, POSTS).fetch();
    answer_rows(&mut page, POSTS, vec![row_with("20", &[by_key(PEOPLE, "7")])]);
    let again = referred(&page, POSTS).expect("it is looked for");
    answer_rows(&mut page, PEOPLE, vec![row_with("7", &[])]);
    assert_eq!(page.value(again, 0), None);
    page.answer_one(empty(404));
    assert_eq!(with(&mut page, PEOPLE).items(), []);
}

/// Where updates are whole rows, what is not edited leaves as the server has said it.
#[test]
fn a_reference_that_was_not_edited_is_not_taken_away_though_its_item_is_removed_here() {
    let mut page = open_as(false);
    let author = with(&mut page, PEOPLE).create_with(&[(0, 1)], Some("mine"));
    with(&mut page, POSTS).fetch();
    answer_rows(&mut page, POSTS, vec![row_with("20", &[by_key(PEOPLE, "mine")])]);
    page.remove(author);
    let post = first(&page, POSTS);
    page.update(post, &[(0, 9)]);
    let request = page.writes().into_iter().find(|request| request.item == post);
    assert_eq!(request.as_ref().and_then(named), name("mine"));
}

#[test]
fn a_row_that_refers_to_what_is_here_is_told_once_when_it_comes() {
    let mut page = open();
    with(&mut page, PEOPLE).settled_item("7", &[(0, 1)]);
    with(&mut page, POSTS).fetch();
    let leaving = page.network.last().expect("the read").command;
    let rows = Rows { rows: vec![row_with("20", &[by_key(PEOPLE, "7")])], ..none() };
    let output = page.engine.handle(page.now, Input::Fetched(leaving, json(200, rows))).expect("it is heard");
    let of_posts = output.changes.iter().find(|changes| changes.store == POSTS).expect("it is told");
    assert_eq!((of_posts.added.len(), of_posts.updated.len()), (1, 0));
}

fn none() -> Rows<MapRow> {
    let (rows, deleted) = (Vec::new(), Vec::new());
    Rows { rows, complete: true, deleted, problem: None, next: Next::None, cursor: Cursor::Kept }
}

#[test]
fn a_row_that_is_read_once_more_is_no_news_though_the_item_it_refers_to_is_on_its_way() {
    let mut page = open();
    with(&mut page, PEOPLE).create_with(&[(0, 1)], Some("mine"));
    for _ in 0..2 {
        with(&mut page, POSTS).fetch();
        answer_rows(&mut page, POSTS, vec![row_with("20", &[by_key(PEOPLE, "mine")])]);
        page.slow_disk = true;
    }
    assert!(page.batches.is_empty(), "{:?}", page.batches);
}

#[test]
fn what_is_known_of_a_reference_is_said_though_nothing_is_here_or_will_have_a_key() {
    let mut page = open();
    let reference = by_key(PEOPLE, "77");
    let post = create(&mut page, POSTS, 2, &[reference]);
    assert_eq!((page.write().item, named(&page.write())), (post, name("77")));

    let mut page = Page::start(StoreOptions { origin: None, ..people() });
    page.open_store(posts());
    with(&mut page, POSTS).answer_all(&[]);
    let author = with(&mut page, PEOPLE).create(&[(0, 1)]);
    let post = post_of(&mut page, 2, author);
    assert_eq!(page.write().item, post, "the store of its author has no server");
}

#[test]
fn what_could_not_be_asked_for_is_not_made_to_be_referred_to() {
    let mut page = Page::start(people());
    page.open_store(posts());
    with(&mut page, PEOPLE).answer_all(&[]);
    answer_rows(&mut page, POSTS, vec![row_with("20", &[by_key(PEOPLE, "..")])]);
    assert!(page.network.is_empty() && with(&mut page, PEOPLE).items().is_empty());
}

#[test]
fn who_refers_to_an_item_that_is_awaited_and_edited_does_not_wait_for_it() {
    let mut page = open();
    let author = with(&mut page, PEOPLE).find_or_fetch("7");
    page.update(author, &[(0, 9)]);
    let post = post_of(&mut page, 2, author);
    assert_eq!((page.write().item, named(&page.write())), (post, name("7")));
}
