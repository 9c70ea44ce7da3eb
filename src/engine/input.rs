//! Everything that can happen, as one list. What the app asks for is an imperative, what the world answers a participle.

use super::{
    error::{Fault, StorageFailure},
    id::{CommandId, ItemId, Key, StorageId, StoreId, Token, Validator},
    item::Sync,
    outcome::Answer,
    row::{FieldSet, RemoteRow},
    sender::{Mark, Notes, Word},
};

/// Where values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The app: they are an edit.
    State,
    /// The server: they are what it holds.
    Transporter,
}

/// How a store is to be kept.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Names the rows in client storage; unique in the page.
    pub name: String,
    /// The scheme, host and port that its requests go to; nothing for a store without a transporter.
    pub origin: Option<String>,
    /// Its client storage; nothing for a store without one.
    pub storage: Option<StorageId>,
    /// The number of its fields.
    pub fields: usize,
    /// Those of them that refer to items.
    pub refers: FieldSet,
    /// Whether updates send only the edited fields.
    pub patches: bool,
    /// Whether keys for client storage are made as numbers.
    pub numeric_storage_key: bool,
    /// Whether its transporter can say which state of a row a write means, so that it is worth to learn that.
    pub conditional: bool,
    /// What is done about a field that was changed here and there.
    pub policy: Policy,
    /// Whether a create whose answer was lost waits for the app's word.
    pub asks_uncertain: bool,
    /// Whether its transporter can tell in a way of its own that the server can be reached (`Probe`).
    pub probes: bool,
    /// Whether other tabs may have its client storage open, and can be told apart from this one (`Lead`).
    pub shared: bool,
}

/// What is done about a field that was edited here and has another value there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It keeps the edit.
    #[default]
    Local,
    /// It takes the server's value.
    Remote,
    /// The app is asked, each time.
    Ask,
}

/// What the app says to a conflict.
#[derive(Clone, Debug)]
pub enum Resolution<R> {
    /// The edit stands.
    Local,
    /// The server's values stand.
    Remote,
    /// These values stand, for the fields of the set.
    Values(R, FieldSet),
    /// It could not say.
    Failed(Fault),
}

/// One thing that happened. `R` is the row, see [`Row`](super::row::Row).
#[derive(Clone, Debug)]
pub enum Input<R> {
    /// The app made a store; with a row of it without values.
    Open(StoreOptions, R),
    /// The app made an item.
    Create {
        /// In this store.
        store: StoreId,
        /// Its values.
        row: R,
        /// Its key on the server, if the app chose it (or `source` is the server).
        key: Option<Key>,
        /// Where the values come from.
        source: Source,
    },
    /// The app asked for the item with this key, which is not here: an empty one is made and fetched.
    Await {
        /// In this store.
        store: StoreId,
        /// Its empty values.
        row: R,
        /// Its key on the server.
        key: Key,
    },
    /// The app changed values of an item.
    Update {
        /// The item.
        item: ItemId,
        /// The new values.
        row: R,
        /// The fields that `row` speaks of.
        fields: FieldSet,
        /// Where the values come from.
        source: Source,
    },
    /// The app removed an item.
    Remove {
        /// The item.
        item: ItemId,
        /// `Transporter`: it was removed there.
        source: Source,
    },
    /// The app waits until the item's edits so far are committed.
    OnceStored(ItemId, Token),
    /// The app waits until the item's edits so far are taken by the server.
    OnceSynced(ItemId, Token),
    /// The app waits until the item has its server key.
    OnceReady(ItemId, Token),
    /// The app waits until the store is loaded.
    OnceLoaded(StoreId, Token),
    /// The app asks for the collection. `own`: in a way of its own, so that no other read serves it.
    Fetch {
        /// This store's.
        store: StoreId,
        /// Who waits for it; a read in a way of its own is known by it.
        token: Token,
        /// Whether the app said how.
        own: bool,
    },
    /// The app asks for one item anew.
    FetchOne(ItemId),
    /// The app asks to send what can be sent.
    Flush(StoreId, Token),
    /// The app sends a parked edit again.
    Retry(ItemId),
    /// The app gives up the edits of an item.
    Discard(ItemId),
    /// The app stops a store's requests.
    Pause(StoreId),
    /// The app lets them go on.
    Resume(StoreId),
    /// The app closes a store.
    Close(StoreId, Token),
    /// The turn in which the app edited is over.
    TurnEnded,
    /// Client storage was read.
    Loaded {
        /// Of this store.
        store: StoreId,
        /// What was in it.
        records: Result<Vec<Record<R>>, StorageFailure>,
        /// Records that could not be read, if any: how many and why.
        problem: Option<Fault>,
        /// Where the next read of the collection goes on, as it was stored with them.
        cursor: Option<String>,
        /// What was in it when it was last used here, if that is not the database that was read now.
        lost: Option<Lost>,
        /// What other tabs have left.
        others: Others<R>,
    },
    /// This tab has got the lock of a store, so that it sends; or it has not got it, or has lost it.
    Leads(StoreId, bool),
    /// Another tab said something about a store.
    Told(StoreId, Word<R>),
    /// A `ReadNotes` was answered.
    NotesRead(StoreId, Result<Vec<Notes<R>>, StorageFailure>),
    /// A client storage ended by itself, for all its stores.
    StorageEnded(StorageId, StorageFailure),
    /// A batch was committed, or was not.
    Persisted(CommandId, Result<(), StorageFailure>),
    /// A `Send` was answered.
    Answered(CommandId, Answer<RemoteRow<R>>),
    /// A `FetchAll` was answered.
    Fetched(CommandId, Answer<Rows<R>>),
    /// The server told of changes without being asked.
    Heard(StoreId, Rows<R>),
    /// A `Resolve` was answered.
    Resolved(CommandId, Resolution<R>),
    /// A `FetchOne` was answered.
    FetchedOne(CommandId, Answer<RemoteRow<R>>),
    /// The moment that was asked for has come.
    Woken,
    /// The browser thinks that the network is back.
    NetworkHinted,
    /// The transporter of a store knows that its endpoint can be reached again.
    Reachable(StoreId),
    /// There are new credentials for the origin of a store.
    Authorized(StoreId),
    /// The transporter of a store knows that its endpoint cannot be reached.
    Lost(StoreId),
    /// What the server tells without being asked did not come for a while: the collection has to be read again.
    Missed(StoreId),
    /// A `Probe` was answered, or was not.
    Probed(CommandId, bool),
}

/// The rows of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<R> {
    /// Those that make sense.
    pub rows: Vec<RemoteRow<R>>,
    /// Whether it is everything there is, so that what is missing was deleted elsewhere.
    pub complete: bool,
    /// The keys of rows that the server said were deleted.
    pub deleted: Vec<Key>,
    /// The rows that were left out, if any: how many and why.
    pub problem: Option<Fault>,
    /// Where the rest of them is.
    pub next: Next,
    /// Where the next read of the collection goes on.
    pub cursor: Cursor,
}

/// Whether there is a page behind this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// This is the last, or the only one.
    #[default]
    None,
    /// It is found by this token, which only the transporter understands.
    Page(String),
    /// There is one, but it cannot be asked for.
    Refused,
}

/// What an answer says of where the next read of the collection goes on. Only the transporter understands the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cursor {
    /// Nothing: where this one did.
    #[default]
    Kept,
    /// At the beginning.
    Dropped,
    /// Here.
    At(String),
}

/// What client storage holds for one item.
#[derive(Clone, Debug)]
pub struct Record<R> {
    /// Its key there.
    pub storage_key: Key,
    /// Its key on the server, if it has one.
    pub remote_key: Option<Key>,
    /// Its values.
    pub row: R,
    /// What is still to be said to the server.
    pub sync: Option<Box<Sync<R>>>,
    /// Which state of the server's row this is, if the server tells.
    pub validator: Option<Validator>,
    /// Set if it was written under an older version of the schema and has been brought to this one.
    pub migrated: Option<Migrated>,
}

/// What other tabs have left beside the records of a store.
#[derive(Clone, Debug)]
pub struct Others<R> {
    /// Who wrote the records.
    pub mark: Mark,
    /// Edits that are not in the records yet, in their order.
    pub notes: Vec<Notes<R>>,
}

impl<R> Default for Others<R> {
    fn default() -> Self {
        Self { mark: Mark::default(), notes: Vec::new() }
    }
}

/// What bringing a record to another version of the schema has done to the payload of its attempt, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Whether any field of the payload is another one now.
    pub whole: bool,
    /// Whether one of those that were edited is.
    pub edited: bool,
}

/// What client storage held of a store when it was last used, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its records; 0 of a loss of which only the browser has told.
    pub records: u32,
    /// Those of them that had something to say to the server.
    pub unsynced: u32,
}
