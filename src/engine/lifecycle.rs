//! The life of an item between this device and the server: settled × in flight × pending.
//!
//! Owns the table by which edits coalesce. Knows nothing of requests, storage or time.

/// What an edit does to the item on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The item is new.
    Create,
    /// Some of its values changed.
    Update,
    /// It is to go away.
    Delete,
}

impl Action {
    /// The name that pages and records use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The action with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete].into_iter().find(|action| action.name() == name)
    }
}

/// What the server was last known to hold of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Made here, and never taken by the server.
    New,
    /// Nobody here knows: the app asked for it by its key, and no row of it has come.
    Awaited,
    /// The server holds it.
    Existent,
}

/// What becomes of the pending edit when another edit comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalesced {
    /// One edit with this action.
    Edit(Action),
    /// Nothing is left to say to the server, and nothing of the item remains.
    Vanished,
    /// The item is removed and takes no edits.
    Refused,
}

/// | pending \ new | create | update | delete |
/// | --- | --- | --- | --- |
/// | nothing | create | update | delete |
/// | create | refused | create | vanished |
/// | update | refused | update | delete |
/// | delete | refused | refused | refused |
///
/// An edit in flight is frozen and is not part of this: what comes after it is a pending edit of its own.
pub const COALESCE: [(Option<Action>, Action, Coalesced); 12] = [
    (None, Action::Create, Coalesced::Edit(Action::Create)),
    (None, Action::Update, Coalesced::Edit(Action::Update)),
    (None, Action::Delete, Coalesced::Edit(Action::Delete)),
    (Some(Action::Create), Action::Create, Coalesced::Refused),
    (Some(Action::Create), Action::Update, Coalesced::Edit(Action::Create)),
    (Some(Action::Create), Action::Delete, Coalesced::Vanished),
    (Some(Action::Update), Action::Create, Coalesced::Refused),
    (Some(Action::Update), Action::Update, Coalesced::Edit(Action::Update)),
    (Some(Action::Update), Action::Delete, Coalesced::Edit(Action::Delete)),
    (Some(Action::Delete), Action::Create, Coalesced::Refused),
    (Some(Action::Delete), Action::Update, Coalesced::Refused),
    (Some(Action::Delete), Action::Delete, Coalesced::Refused),
];

/// Looks up [`COALESCE`].
#[must_use]
pub fn coalesce(pending: Option<Action>, new: Action) -> Coalesced {
    COALESCE
        .iter()
        .find(|(before, action, _)| *before == pending && *action == new)
        .map_or(Coalesced::Refused, |(_, _, result)| *result)
}
