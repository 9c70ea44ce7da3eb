//! Everything that is to be done or told, as data.

use super::{
    error::Fault,
    id::{CommandId, IdempotencyKey, ItemId, Key, StorageId, StoreId, Token, Validator},
    input::Record,
    lifecycle::Action,
    row::FieldSet,
    sender::{Mark, Note},
    time::Millis,
};

/// What follows from one input.
#[derive(Clone, Debug)]
pub struct Output<R> {
    /// What the shell is to do, in this order. Each command is answered by exactly one input.
    pub commands: Vec<Command<R>>,
    /// What changed, a list for each store.
    pub changes: Vec<Changes>,
    /// The promises that are settled.
    pub settled: Vec<(Token, Result<(), Fault>)>,
    /// The store or item that the input made.
    pub made: Made,
    /// Whether `TurnEnded` is wanted at the end of this turn.
    pub end_turn: bool,
    /// When `Woken` is wanted; nothing if there is nothing to wait for.
    pub wake_at: Option<Millis>,
}

/// What an input made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Made {
    /// Nothing.
    #[default]
    Nothing,
    /// A store.
    Store(StoreId),
    /// An item.
    Item(ItemId),
}

/// What changed in one store. A store that is listed with nothing in its lists has a new status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The store.
    pub store: StoreId,
    /// Items that came.
    pub added: Vec<ItemId>,
    /// Items whose values or state changed.
    pub updated: Vec<ItemId>,
    /// Items that went.
    pub removed: Vec<ItemId>,
}

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Command<R> {
    /// Read everything of a store; answer `Loaded`.
    Load(StoreId),
    /// Write a batch in one transaction; answer `Persisted`.
    Persist(CommandId, StorageId, Vec<Write<R>>),
    /// Send an edit; answer `Answered`.
    Send(CommandId, StoreId, Request<R>),
    /// Read the collection; answer `Fetched`.
    FetchAll(CommandId, StoreId, Reading),
    /// Read one item; answer `FetchedOne`.
    FetchOne(CommandId, StoreId, ItemId, Key),
    /// Ask the app about a conflict; answer `Resolved`.
    Resolve(CommandId, StoreId, ItemId, Conflict<R>),
    /// See whether the store's server can be reached; answer `Probed`.
    Probe(CommandId, StoreId),
    /// Ask for the lock of a store, or take it from the tab that has it; answer `Leads`, whenever that changes.
    Lead(StoreId, bool),
    /// Read the notes of other tabs; answer `NotesRead`.
    ReadNotes(StoreId),
    /// Tell the other tabs.
    Say(StoreId, Say),
}

/// Fields that were edited here and have other values there.
#[derive(Clone, Debug)]
pub struct Conflict<R> {
    /// What the server held of the edited fields when they were edited.
    pub base: R,
    /// The edited fields as they are here; none of an item that is removed here.
    pub local: R,
    /// What the server holds.
    pub remote: R,
    /// The status by which it came to light; 200 for a read.
    pub status: u16,
}

/// One record to write or to erase.
#[derive(Clone, Debug)]
pub enum Write<R> {
    /// Write this record of an item.
    Put(StoreId, ItemId, Record<R>),
    /// Erase the record of an item, which has this key.
    Erase(StoreId, ItemId, Key),
    /// Keep where the next read of the store's collection goes on, or forget it.
    Cursor(StoreId, Option<String>),
    /// Write nothing of the batch unless this `Persist`, which is under way, was committed. If it was not, no answer is waited for.
    After(CommandId),
    /// Write nothing of the batch (`Outrun`) unless the mark of the store is this tab's or the one given; then write this
    /// tab's, and count.
    Fence {
        /// The store.
        store: StoreId,
        /// This tab.
        tab: u64,
        /// The mark that was read.
        seen: Mark,
    },
    /// Keep notes of this tab, behind all others of the store.
    Notes {
        /// The store.
        store: StoreId,
        /// This tab.
        tab: u64,
        /// Their number.
        number: u32,
        /// The notes.
        list: Vec<Note<R>>,
    },
    /// Erase the notes of a tab up to this number.
    Forget {
        /// The store.
        store: StoreId,
        /// Who wrote them.
        tab: u64,
        /// The number of the last of them.
        number: u32,
    },
}

impl<R> Write<R> {
    /// The store whose records, or notes, it is about.
    #[must_use]
    pub const fn store(&self) -> Option<StoreId> {
        match self {
            Self::Put(store, ..)
            | Self::Erase(store, ..)
            | Self::Cursor(store, _)
            | Self::Fence { store, .. }
            | Self::Notes { store, .. }
            | Self::Forget { store, .. } => Some(*store),
            Self::After(_) => None,
        }
    }
}

/// What other tabs are to be told of a store. See [`Word`](super::sender::Word).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// Is there a sender?
    Hello,
    /// There are notes.
    Noted,
    /// Send what can be sent.
    Flush,
    /// That was done.
    Flushed,
    /// The sender is here.
    Here(Mark),
    /// This `Persist` was committed.
    Committed(Mark, CommandId),
}

/// How the collection is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// In the way that the app gave with this promise; nothing for the usual way.
    pub own: Option<Token>,
    /// Whether there is nothing of the collection here yet.
    pub initial: bool,
    /// The page to read, by the token that the one before it gave; nothing for the first.
    pub page: Option<String>,
    /// Where an earlier read said that this one goes on.
    pub cursor: Option<String>,
}

/// An edit to send.
#[derive(Clone, Debug)]
pub struct Request<R> {
    /// What it does.
    pub action: Action,
    /// The item.
    pub item: ItemId,
    /// The server's key of the item; for a create the app's own choice, if it made one.
    pub key: Option<Key>,
    /// The values.
    pub row: R,
    /// The fields to send: all of them, or those that were edited.
    pub fields: FieldSet,
    /// For servers that can tell a repeated request.
    pub idempotency_key: IdempotencyKey,
    /// Which state of the server's row is meant, if that is known.
    pub validator: Option<Validator>,
}
