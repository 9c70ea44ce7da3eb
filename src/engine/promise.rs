//! Who waits for what of an item. Every promise is settled exactly once.

use super::{
    Engine,
    error::{Code, Fault},
    id::{ItemId, Seq, Token},
    item::{Item, removed},
    row::Row,
    store::closed,
};

/// One promise that waits for an item.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    token: Token,
    until: Until,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// This version is committed.
    Stored(u32),
    /// The edits up to here are taken by the server.
    Synced(Seq),
    /// The item has its server key.
    Ready,
}

impl<R: Row> Engine<R> {
    pub(super) fn once_stored(&mut self, id: ItemId, token: Token) {
        let Some(item) = self.items.get(id) else {
            return match self.erasing(id).map(|store| self.storage_failure(store).cloned()) {
                Some(None) => self.wait(id, token, Until::Stored(u32::MAX)),
                Some(Some(fault)) => self.out.settled.push((token, Err(fault))),
                None => self.gone(id, token),
            };
        };
        let (store, version, done) = (item.store, item.version, item.committed >= item.version);
        let failure = self.storage_failure(store).cloned();
        match failure {
            _ if self.stores[store].storage.is_none() || done => self.out.settled.push((token, Ok(()))),
            Some(fault) => self.out.settled.push((token, Err(fault))),
            None => self.wait(id, token, Until::Stored(version)),
        }
    }

    pub(super) fn once_synced(&mut self, id: ItemId, token: Token) {
        let Some(item) = self.items.get(id) else { return self.gone(id, token) };
        let parked = item.sync.as_ref().and_then(|sync| sync.parked()).cloned();
        let last = item.sync.as_ref().and_then(|sync| sync.last_seq());
        match (parked, last) {
            _ if self.stores[item.store].origin.is_none() => self.out.settled.push((token, Ok(()))),
            (Some(fault), _) => self.out.settled.push((token, Err(fault))),
            (None, None) => self.out.settled.push((token, Ok(()))),
            (None, Some(last)) => self.wait(id, token, Until::Synced(last)),
        }
    }

    pub(super) fn once_ready(&mut self, id: ItemId, token: Token) {
        match self.items.get(id) {
            None if self.items.is_closed(id) => self.out.settled.push((token, Err(closed()))),
            None => self.out.settled.push((token, Err(removed()))),
            Some(item) if item.remote_key.is_some() => self.out.settled.push((token, Ok(()))),
            Some(item) => match item.parked().cloned() {
                Some(fault) => self.out.settled.push((token, Err(fault))),
                None => self.wait(id, token, Until::Ready),
            },
        }
    }

    /// An item that is gone has nothing left to wait for, unless it went with its store.
    fn gone(&mut self, id: ItemId, token: Token) {
        let result = if self.items.is_closed(id) { Err(closed()) } else { Ok(()) };
        self.out.settled.push((token, result));
    }

    fn wait(&mut self, id: ItemId, token: Token, until: Until) {
        if self.items.get(id).is_some_and(|item| !self.is_open(item.store)) {
            self.out.settled.push((token, Err(closed())));
        } else {
            self.waiters.get_or_insert_with(id, Default::default).push(Waiter { token, until });
        }
    }

    /// Settles those to whom `answer` gives a result.
    fn settle(&mut self, id: ItemId, answer: impl Fn(Until) -> Option<Result<(), Fault>>) {
        let Some(mut waiters) = self.waiters.remove(&id) else { return };
        waiters.retain(|waiter| match answer(waiter.until) {
            Some(result) => {
                self.out.settled.push((waiter.token, result));
                false
            }
            None => true,
        });
        if !waiters.is_empty() {
            self.waiters.insert(id, waiters);
        }
    }

    /// This version is committed.
    pub(super) fn settle_stored(&mut self, id: ItemId, committed: u32) {
        self.settle(id, |until| matches!(until, Until::Stored(version) if version <= committed).then_some(Ok(())));
    }

    /// Client storage failed: nobody waits for it any longer.
    pub(super) fn reject_stored(&mut self, id: ItemId) {
        let Some(store) = self.items.get(id).map(|item| item.store) else { return };
        let Some(fault) = self.storage_failure(store).cloned() else { return };
        self.settle(id, |until| matches!(until, Until::Stored(_)).then(|| Err(fault.clone())));
    }

    /// The edits up to `last` are taken.
    pub(super) fn settle_synced(&mut self, id: ItemId, last: Seq) {
        self.settle(id, |until| matches!(until, Until::Synced(seq) if seq <= last).then_some(Ok(())));
    }

    /// The item has its key.
    pub(super) fn settle_ready(&mut self, id: ItemId) {
        self.settle(id, |until| (until == Until::Ready).then_some(Ok(())));
    }

    /// Its create is parked: it has no key, and gets none until somebody decides.
    pub(super) fn reject_ready(&mut self, id: ItemId, fault: &Fault) {
        if self.items.get(id).is_some_and(|item| item.remote_key.is_none()) {
            self.settle(id, |until| (until == Until::Ready).then(|| Err(fault.clone())));
        }
    }

    /// Its edits, or those after one that still may be, will not be taken as they are.
    pub(super) fn reject_synced_after(&mut self, id: ItemId, last: Option<Seq>, fault: &Fault) {
        let concerns = |until| matches!(until, Until::Synced(seq) if last.is_none_or(|last| seq > last));
        self.settle(id, |until| concerns(until).then(|| Err(fault.clone())));
    }

    /// Who waits for the item's edits waits for `last`, which now ends them.
    pub(super) fn postpone_synced(&mut self, id: ItemId, last: Seq) {
        for waiter in self.waiters.get_mut(&id).into_iter().flatten() {
            if matches!(waiter.until, Until::Synced(_)) {
                waiter.until = Until::Synced(last);
            }
        }
    }

    /// Who waits for the edits of `from` to be stored or taken waits for those of `to`, which now has them.
    pub(super) fn move_waiters(&mut self, from: ItemId, to: ItemId) {
        let Some(version) = self.items.get(to).map(|item| item.version) else { return };
        let Some(waiters) = self.waiters.remove(&from) else { return };
        let moved = waiters.into_iter().map(|waiter| match waiter.until {
            Until::Stored(_) => Waiter { until: Until::Stored(version), ..waiter },
            Until::Synced(_) | Until::Ready => waiter,
        });
        self.waiters.get_or_insert_with(to, Default::default).extend(moved);
        // Both have the one key.
        self.settle_ready(to);
    }

    /// Everybody who waits for the item is told the same.
    pub(super) fn reject_item(&mut self, id: ItemId, fault: &Fault) {
        self.settle(id, |_| Some(Err(fault.clone())));
    }

    /// The item is gone, and with it what was to be said of it: that is settled, but it will never have a key, and it is
    /// stored when its record is erased.
    pub(super) fn conclude_item(&mut self, id: ItemId, item: &Item<R>) {
        if !self.waiters.contains_key(&id) {
            return;
        }
        let keyed = item.remote_key.is_some();
        let erasing = self.erasing(id).is_some_and(|store| self.storage_failure(store).is_none());
        let failure = self.storage_failure(item.store).cloned().filter(|_| !erasing);
        self.settle(id, |until| match until {
            Until::Ready if !keyed => {
                Some(Err(Fault::new(Code::Removed, "the item was removed before the server gave it a key")))
            }
            Until::Stored(_) if erasing => None,
            Until::Stored(_) => Some(failure.clone().map_or(Ok(()), Err)),
            Until::Ready | Until::Synced(_) => Some(Ok(())),
        });
    }
}
