//! The stable error codes, and what is said with them.
//!
//! This room owns the list of codes and the sentence of each fault. It throws nothing: a fault is data, and the
//! bindings turn it into a `ConcordiaError`.

use std::fmt;

/// Why something was refused or failed: a stable code and a sentence that names what was wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stable code, for instance `E_QUOTA`.
    pub code: Code,
    /// One sentence for a developer: what was wrong, and what to do.
    pub message: String,
    /// The HTTP status that led to the fault, if one did.
    pub status: Option<u16>,
    /// The body that came with the status, as text, at most 64 KiB of it.
    pub body: Option<String>,
}

impl Fault {
    /// A fault without a server's status.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), status: None, body: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Every error code of the package. The names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// All codes, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that a page sees, for instance `E_QUOTA`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The code with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.name() == name)
            }
        }
    };
}

codes! {
    /// The package was used before `init()` had settled.
    NotInitialised = "E_NOT_INITIALISED",
    /// A schema definition makes no sense.
    Schema = "E_SCHEMA",
    /// The options of a store, transporter or client storage make no sense.
    Options = "E_OPTIONS",
    /// A value does not have the type that the schema gives its property.
    Type = "E_TYPE",
    /// A value cannot be kept or sent: a function, a cycle, a symbol.
    NotCloneable = "E_NOT_CLONEABLE",
    /// Something that is not the primary key was given where a key is needed.
    NotAKey = "E_NOT_A_KEY",
    /// An id that cannot be made safe in a URL path: empty, `.` or `..`.
    UnsafeId = "E_UNSAFE_ID",
    /// The item has been removed and takes no edits.
    Removed = "E_REMOVED",
    /// The store has been closed.
    Closed = "E_CLOSED",
    /// The edit was given up by `discard()`.
    Discarded = "E_DISCARDED",
    /// The endpoint could not be reached.
    Unreachable = "E_UNREACHABLE",
    /// The server gave no complete answer within the timeout.
    Timeout = "E_TIMEOUT",
    /// The server failed (5xx) or asked to wait.
    Server = "E_SERVER",
    /// The server refused the edit; it is kept as parked.
    Rejected = "E_REJECTED",
    /// The server holds something that contradicts the edit; it is kept as parked.
    Conflict = "E_CONFLICT",
    /// The server does not know the item.
    NotFound = "E_NOT_FOUND",
    /// The item was deleted elsewhere while it was edited here; the edit is kept as parked.
    GoneRemotely = "E_GONE_REMOTELY",
    /// A create was taken, but the server did not say under which key; the item is kept as parked.
    Uncertain = "E_UNCERTAIN",
    /// The edit waits for an item that it refers to, which the server has not taken.
    Waiting = "E_WAITING",
    /// Requests to one address fail while the rest of its origin answers: something in between may block it.
    Blocked = "E_BLOCKED",
    /// The server wants credentials; everything is held.
    Unauthorized = "E_UNAUTHORIZED",
    /// The server's answer was not what the schema or the protocol demands.
    BadAnswer = "E_BAD_ANSWER",
    /// The answer's body is larger than the cap.
    TooLarge = "E_TOO_LARGE",
    /// There is no room left in client storage.
    Quota = "E_QUOTA",
    /// Client storage could not be opened, or refused to work.
    Storage = "E_STORAGE",
    /// The database, or a store's rows in it, were written by a newer version of the package or of the app.
    NewerVersion = "E_NEWER_VERSION",
    /// The local database is gone, or was emptied, since it was last used.
    DataLoss = "E_DATA_LOSS",
    /// Stored records made no sense, or could not be brought to the schema's version; they were set apart.
    Quarantined = "E_QUARANTINED",
    /// The schema's validator does not accept the values.
    Validation = "E_VALIDATION",
    /// The storage of the users' state failed, did not answer in time, or gave something that is no state.
    StateStorage = "E_STATE_STORAGE",
    /// There is no usable token: the user has to log in.
    Session = "E_SESSION",
    /// The answer to a login belongs to no login that was begun here for this user.
    AuthState = "E_AUTH_STATE",
    /// The authorisation server refused a login or a request for a token.
    Auth = "E_AUTH",
    /// The package's own code failed and has stopped, so that nothing is damaged. Reload the page.
    Poisoned = "E_POISONED",
}

/// How client storage failed, as a fact; what it means is decided in `store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageFailure {
    /// No room: `QuotaExceededError` on a request, or a transaction that was aborted with it at its commit.
    Quota,
    /// The transaction was aborted for another reason. Nothing of the batch was written.
    Aborted(String),
    /// The database cannot be opened or used: private mode, no IndexedDB, a lost connection that did not come back.
    Refused(String),
    /// The database, or a store's rows in it, have a newer version than this code knows, or another tab asked to upgrade it.
    NewerVersion,
    /// Another tab has written the records since. Nothing of the batch was written.
    Outrun,
}

impl StorageFailure {
    /// The fault that a page is told.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Quota => Fault::new(
                Code::Quota,
                "the browser gives this site no more room; edits are kept in memory and still sent. Free some space, or store less.",
            ),
            Self::Aborted(why) => Fault::new(
                Code::Storage,
                ["client storage did not take the write (", why, "); edits are kept in memory and still sent"].concat(),
            ),
            Self::Refused(why) => Fault::new(
                Code::Storage,
                ["client storage cannot be used (", why, "); edits are kept in memory and still sent"].concat(),
            ),
            Self::Outrun => Fault::new(Code::Storage, "another tab has written the records since; they are read again"),
            Self::NewerVersion => Fault::new(
                Code::NewerVersion,
                "the local database belongs to a newer version of the app, and nothing is written to it; reload the page to get that version",
            ),
        }
    }
}
