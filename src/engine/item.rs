//! One item: its values, its keys, and what is still to be said to the server about it.

use super::{
    connectivity::Slot,
    error::{Code, Fault},
    id::{CommandId, IdempotencyKey, ItemId, Key, Seq, StoreId, Validator},
    lifecycle::{Action, Settled},
    row::{FieldSet, Row},
    sender::Own,
    time::{Instant, Millis},
};

/// An edit that has not been taken by the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// What it does.
    pub action: Action,
    /// The fields that it covers; all of them for a create, but for those that wait for another item.
    pub fields: FieldSet,
    /// The place of the first edit that went into it.
    pub first: Seq,
    /// The place of the last edit that went into it.
    pub last: Seq,
    /// Stands for this payload and no other.
    pub key: IdempotencyKey,
}

/// An edit that may have reached the server, and is therefore frozen: one key, one payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt<R> {
    /// The edit.
    pub edit: Edit,
    /// How often it was sent.
    pub attempts: u32,
    /// The values it was frozen with, once the item's own have moved on.
    pub frozen: Option<R>,
    /// The state of the server's row that it was made on, if that is known. Frozen as well: after a lost answer a newer one
    /// would let the same request take effect over what somebody else has written since.
    pub validator: Option<Validator>,
    /// Where it is.
    pub state: AttemptState,
    /// How often its address failed while its origin was reachable.
    pub strikes: u32,
    /// Whether it waits only because its origin was in trouble the last time it was sent.
    pub lost: bool,
    /// Whether its key is another one than client storage has.
    pub rekeyed: bool,
}

impl<R> Attempt<R> {
    /// An edit that is to be sent next.
    #[must_use]
    pub const fn new(edit: Edit) -> Self {
        Self {
            edit,
            attempts: 0,
            frozen: None,
            validator: None,
            state: AttemptState::Ready,
            strikes: 0,
            lost: false,
            rekeyed: false,
        }
    }
}

/// Where an attempt is.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptState {
    /// Being written to client storage as this version of the item; leaves, perhaps as a probe, when that is committed.
    Storing {
        /// The version of the item.
        version: u32,
        /// Whether it will be a probe.
        probe: bool,
    },
    /// May be sent.
    Ready,
    /// On its way, asked for at this instant.
    Sending(CommandId, Instant),
    /// Not before this moment.
    Waiting(Millis),
    /// Contradicted with this, or its answer was lost and the app wants to be asked: what the server holds is read, from this
    /// instant on, and then it is decided.
    Disputed(Fault, Instant),
    /// Refused; kept until somebody decides.
    Parked(Fault),
}

/// What is still to be said to the server about an item. Absent when the item is settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Sync<R> {
    /// What the server holds.
    pub settled: Settled,
    /// The attempt.
    pub in_flight: Option<Attempt<R>>,
    /// What was edited since.
    pub pending: Option<Edit>,
    /// The server's values of the edited fields.
    pub base: Option<R>,
    /// The fields that `base` speaks of.
    pub base_fields: FieldSet,
}

impl<R> Sync<R> {
    /// Nothing to say yet.
    #[must_use]
    pub const fn new(settled: Settled) -> Self {
        Self { settled, in_flight: None, pending: None, base: None, base_fields: FieldSet::NONE }
    }

    /// The fields that were edited here and not yet taken there.
    #[must_use]
    pub fn edited(&self) -> FieldSet {
        let in_flight = self.in_flight.as_ref().map_or(FieldSet::NONE, |attempt| attempt.edit.fields);
        self.pending.as_ref().map_or(in_flight, |edit| edit.fields.with(in_flight))
    }

    /// The fields whose values here are not known to be the server's: those that were edited, and those whose edits a
    /// pending delete has replaced.
    #[must_use]
    pub fn unsettled(&self) -> FieldSet {
        self.edited().with(self.base_fields)
    }

    /// Whether a delete is on its way or waits.
    #[must_use]
    pub fn deletes(&self) -> bool {
        let in_flight = self.in_flight.as_ref().is_some_and(|attempt| attempt.edit.action == Action::Delete);
        in_flight || self.pending.as_ref().is_some_and(|edit| edit.action == Action::Delete)
    }

    /// The last edit that the server has not taken.
    #[must_use]
    pub fn last_seq(&self) -> Option<Seq> {
        let in_flight = self.in_flight.as_ref().map(|attempt| attempt.edit.last);
        self.pending.as_ref().map(|edit| edit.last).or(in_flight)
    }

    /// Why the item is parked, if it is.
    #[must_use]
    pub fn parked(&self) -> Option<&Fault> {
        match self.in_flight.as_ref().map(|attempt| &attempt.state) {
            Some(AttemptState::Parked(fault)) => Some(fault),
            Some(
                AttemptState::Storing { .. }
                | AttemptState::Ready
                | AttemptState::Sending(..)
                | AttemptState::Waiting(_)
                | AttemptState::Disputed(..),
            )
            | None => None,
        }
    }

    /// With what the attempt was contradicted, and since when, if it was.
    #[must_use]
    pub fn disputed(&self) -> Option<(&Fault, Instant)> {
        match self.in_flight.as_ref().map(|attempt| &attempt.state) {
            Some(AttemptState::Disputed(fault, since)) => Some((fault, *since)),
            Some(
                AttemptState::Storing { .. }
                | AttemptState::Ready
                | AttemptState::Sending(..)
                | AttemptState::Waiting(_)
                | AttemptState::Parked(_),
            )
            | None => None,
        }
    }
}

/// One item.
#[derive(Clone, Debug)]
pub(super) struct Item<R> {
    pub(super) store: StoreId,
    pub(super) row: R,
    pub(super) storage_key: Key,
    pub(super) remote_key: Option<Key>,
    pub(super) sync: Option<Box<Sync<R>>>,
    /// Which state of the server's row is known here, if the server tells.
    pub(super) validator: Option<Validator>,
    /// When the answer came that said so.
    pub(super) validated: Instant,
    /// Whether its pending edit has waited so long that somebody else may have changed the row: it is read before that is sent.
    pub(super) stale: bool,
    /// How often that read has failed although the server could be reached.
    pub(super) looks: u8,
    /// The app decides about a conflict.
    pub(super) deciding: Option<CommandId>,
    /// How often its edits were contradicted, since one was taken.
    pub(super) disputes: u8,
    /// When it was last edited here, or an edit of it was last answered.
    pub(super) touched: Instant,
    /// When the newest answer that was merged into it had been asked for.
    pub(super) heard: Instant,
    /// Counts what is to be stored.
    pub(super) version: u32,
    /// The newest version that client storage was given.
    pub(super) issued: u32,
    /// The newest version that client storage has committed.
    pub(super) committed: u32,
    /// Not from the server yet: made to be fetched, kept out of client storage until it is.
    pub(super) awaited: bool,
    /// Set while its edit waits for these items, or, with none, for a store.
    pub(super) waits_for: Option<Vec<ItemId>>,
    /// Where the queue of its origin has it.
    pub(super) slot: Slot,
    /// Whether the page was told that it is there, and not yet that it is gone.
    pub(super) shown: bool,
    /// Whether client storage has a record of it, as far as this tab has heard, or notes of another tab that become one.
    pub(super) kept: bool,
    /// What was done to it in this tab that is in no record yet, where there may be other tabs.
    pub(super) own: Vec<Own>,
    /// What this tab has set in fields that another has set since, while that is not known to be in a record.
    pub(super) overruled: Option<(FieldSet, R)>,
    /// The row of its record, where this tab has read a newer one but does not write records.
    pub(super) ahead: Option<R>,
}

impl<R: Row> Item<R> {
    pub(super) const fn new(store: StoreId, row: R, storage_key: Key) -> Self {
        Self {
            store,
            row,
            storage_key,
            remote_key: None,
            sync: None,
            validator: None,
            validated: Instant(0),
            stale: false,
            looks: 0,
            deciding: None,
            disputes: 0,
            touched: Instant(0),
            heard: Instant(0),
            version: 0,
            issued: 0,
            committed: 0,
            awaited: false,
            waits_for: None,
            slot: Slot::Out,
            shown: false,
            kept: false,
            own: Vec::new(),
            overruled: None,
            ahead: None,
        }
    }

    pub(super) fn in_flight_mut(&mut self) -> Option<&mut Attempt<R>> {
        self.sync.as_mut()?.in_flight.as_mut()
    }

    /// What is to be said to the server, made if there was nothing.
    pub(super) fn sync_mut(&mut self, settled: Settled) -> &mut Sync<R> {
        self.sync.get_or_insert_with(|| Box::new(Sync::new(settled)))
    }

    /// The version that must be committed before its attempt may leave, if one waits for that, and whether it will probe.
    pub(super) fn storing(&self) -> Option<(u32, bool)> {
        match self.sync.as_ref()?.in_flight.as_ref()?.state {
            AttemptState::Storing { version, probe } => Some((version, probe)),
            AttemptState::Ready
            | AttemptState::Sending(..)
            | AttemptState::Waiting(_)
            | AttemptState::Disputed(..)
            | AttemptState::Parked(_) => None,
        }
    }

    /// Whether the attempt that waits for client storage is there.
    pub(super) fn is_written(&self) -> bool {
        self.storing().is_some_and(|(version, _)| version <= self.committed)
    }

    /// What the edit that has not been tried yet does.
    pub(super) fn pending_action(&self) -> Option<Action> {
        self.sync.as_ref()?.pending.as_ref().map(|edit| edit.action)
    }

    /// With what its attempt was contradicted, and since when, if it was.
    pub(super) fn disputed(&self) -> Option<(&Fault, Instant)> {
        self.sync.as_ref()?.disputed()
    }

    /// Why it is parked, if it is.
    pub(super) fn parked(&self) -> Option<&Fault> {
        self.sync.as_ref()?.parked()
    }

    /// What the server is known to hold of it before its first edit.
    pub(super) const fn settled(&self) -> Settled {
        if self.awaited { Settled::Awaited } else { Settled::Existent }
    }

    /// Whether it has edits, and a row was read under its key before: the app has seen it as this item.
    pub(super) fn is_there(&self) -> bool {
        self.remote_key.is_some() && self.sync.as_ref().is_some_and(|sync| sync.settled == Settled::Existent)
    }

    /// What its attempt does.
    pub(super) fn in_flight_action(&self) -> Option<Action> {
        self.sync.as_ref()?.in_flight.as_ref().map(|attempt| attempt.edit.action)
    }

    /// Whether it is removed here, though perhaps not there.
    pub(super) fn is_removed(&self) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.deletes())
    }

    /// Keeps the payload of an attempt apart before the values change.
    pub(super) fn freeze(&mut self, all: FieldSet) {
        if let Some(attempt) = self.sync.as_mut().and_then(|sync| sync.in_flight.as_mut())
            && attempt.frozen.is_none()
            && attempt.edit.action != Action::Delete
        {
            attempt.frozen = Some(self.row.pick(all));
        }
    }

    /// Drops what is to be said when there is nothing left.
    pub(super) fn settle(&mut self) {
        if self.sync.as_ref().is_some_and(|sync| sync.in_flight.is_none() && sync.pending.is_none()) {
            self.sync = None;
        }
    }
}

/// The refusal of an edit to an item that is gone.
pub(super) fn removed() -> Fault {
    Fault::new(Code::Removed, "the item has been removed and takes no edits; create a new one instead")
}
