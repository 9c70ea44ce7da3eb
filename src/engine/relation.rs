//! Items that refer to items: whom an edit waits for, and what is fetched because somebody refers to it.
//!
//! A reference is kept in the row by the keys of the item that it means, and is looked up when it is needed, so that nothing
//! has to be put right when an item comes later, goes, or turns out to be another one. What leaves is bound: from then
//! on its references have the server's keys.

use super::{
    Engine,
    connectivity::Task,
    id::{ItemId, Key, Seq, StoreId},
    item::{Edit, Item, Sync},
    lifecycle::{Action, Settled},
    row::{FieldSet, Reference, Row},
    sorted::Set,
    store::Phase,
    time::Instant,
};

/// What a reference comes to when its item is to be sent.
enum Fate {
    /// This item, which the server has.
    There(ItemId),
    /// What is known of it is all there is to say.
    Known,
    /// Nothing any more: what it means is gone.
    Gone,
    /// Not yet: this item has to be taken by the server first, or a store has to be loaded.
    Held(Option<ItemId>),
}

// Who waits for whom.
impl<R: Row> Engine<R> {
    fn fate(&self, reference: &Reference) -> Fate {
        let Some(target) = reference.store else {
            return if reference.key.is_some() { Fate::Known } else { Fate::Held(None) };
        };
        let store = &self.stores[target];
        let found = self.referred(reference).and_then(|id| Some((id, self.items.get(id)?)));
        match found {
            None if reference.key.is_some() => Fate::Known,
            None if store.phase == Phase::Open && !self.is_looking(target) => Fate::Gone,
            None => Fate::Held(None),
            Some((id, item)) if item.remote_key.is_some() && !item.is_uncreated() => Fate::There(id),
            Some((_, item)) if item.is_removed() => Fate::Gone,
            // It will never have a key there.
            Some(_) if store.origin.is_none() => Fate::Known,
            Some((id, _)) => Fate::Held(Some(id)),
        }
    }

    /// The item that a reference means.
    fn referred(&self, reference: &Reference) -> Option<ItemId> {
        let store = &self.stores[reference.store?];
        let by_key = reference.key.as_ref().and_then(|key| store.by_remote.get(key));
        by_key.or_else(|| store.by_storage.get(reference.storage_key.as_ref()?)).copied()
    }

    fn references(&self, item: &Item<R>, among: FieldSet) -> Vec<Reference> {
        let fields = self.stores[item.store].refers.and(among);
        if fields.is_empty() { Vec::new() } else { item.row.references(fields) }
    }

    /// The fields of the pending edit that cannot be sent yet, and for whom they wait.
    fn held(&self, id: ItemId) -> (FieldSet, Vec<Option<ItemId>>) {
        let (mut fields, mut waits) = (FieldSet::NONE, Vec::new());
        if let Some(item) = self.items.get(id)
            && let Some(Sync { in_flight: None, pending: Some(edit), .. }) = item.sync.as_deref()
        {
            for reference in self.references(item, edit.fields) {
                if let Fate::Held(whom) = self.fate(&reference) {
                    fields = fields.with(FieldSet::one(reference.field));
                    waits.push(whom);
                }
            }
        }
        (fields, waits)
    }

    /// What an item has to leave behind if what it has to say is to leave now: nothing, or what belongs to a cycle in which it
    /// goes first. None if it has to wait; then it is noted for whom.
    pub(super) fn may_leave(&mut self, id: ItemId) -> Option<FieldSet> {
        let (late, waits) = self.held(id);
        let first = if waits.is_empty() { None } else { self.first_of_cycle(id, &waits) };
        let leaves = waits.is_empty() || first == Some(id);
        if let Some(item) = self.items.get_mut(id) {
            item.waits_for = (!leaves).then(|| waits.into_iter().flatten().collect());
        }
        if let Some(first) = first.filter(|_| !leaves) {
            self.reslot(first);
        }
        leaves.then_some(late)
    }

    /// If new items wait for nobody but each other: the oldest of them, which goes first, without what it waits for.
    fn first_of_cycle(&self, id: ItemId, waits: &[Option<ItemId>]) -> Option<ItemId> {
        if !waits.contains(&Some(id)) && self.waiting(Some(id)).is_empty() {
            return None;
        }
        let mut cycle = self.reach(id);
        cycle.retain(|other| self.reach(*other).contains(&id));
        let first = cycle.iter().copied().min_by_key(|other| self.first_edit(*other))?;
        let only = waits.iter().all(|whom| whom.is_some_and(|whom| cycle.contains(&whom)));
        (only || first != id).then_some(first)
    }

    fn first_edit(&self, id: ItemId) -> Option<Seq> {
        Some(self.items.get(id)?.sync.as_ref()?.pending.as_ref()?.first)
    }

    /// Those for whom an item waits, at once or in the end.
    pub(super) fn reach(&self, id: ItemId) -> Set<ItemId> {
        let (mut seen, mut next) = (Set::new(), self.held(id).1);
        while let Some(whom) = next.pop() {
            if let Some(whom) = whom
                && !seen.contains(&whom)
            {
                seen.insert(whom);
                next.extend(self.held(whom).1);
            }
        }
        seen
    }

    /// Items that wait for this one, or for anything.
    fn waiting(&self, whom: Option<ItemId>) -> Vec<ItemId> {
        let mut found = Vec::new();
        for store in self.stores.ids().map(|id| &self.stores[id]).filter(|store| !store.refers.is_empty()) {
            for id in store.unsynced.iter() {
                let waits = self.items.get(*id).and_then(|item| item.waits_for.as_ref());
                if waits.is_some_and(|waits| whom.is_none_or(|whom| waits.contains(&whom))) {
                    found.push(*id);
                }
            }
        }
        found
    }

    /// This item has its key, or is gone, so that those who waited for it go on; without one, a store came or was loaded.
    pub(super) fn release(&mut self, whom: Option<ItemId>) {
        for id in self.waiting(whom) {
            self.reslot(id);
            self.tell(id);
        }
    }

    /// Makes of a create one that leaves without some fields, and of these an update that follows.
    pub(super) fn split(&mut self, id: ItemId, edit: Edit, late: FieldSet) -> Edit {
        if late.is_empty() {
            return edit;
        }
        let (last, key) = (self.next_seq(), self.random.uuid());
        let rest = Edit { action: Action::Update, fields: late, first: last, last, key };
        self.postpone_synced(id, last);
        if let Some(item) = self.items.get_mut(id)
            && let Some(sync) = &mut item.sync
        {
            // That is what the server will hold, should the update be given up.
            sync.add_base(late, &item.row.pick(FieldSet::NONE));
            sync.pending = Some(rest);
        }
        self.tell(id);
        Edit { fields: edit.fields.without(late), ..edit }
    }

    /// The pending edit leaves: its references are from now on what the server calls them.
    pub(super) fn bind(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let Some(Sync { pending: Some(edit), .. }) = item.sync.as_deref() else { return };
        let (edited, fields) = (edit.fields, self.stores[item.store].sent_fields(edit));
        let mut references = self.references(item, fields);
        let mut is_news = false;
        for reference in &mut references {
            match self.fate(reference) {
                Fate::There(other) => is_news |= self.know(reference, other),
                // Of what is not edited the server has said whom it means.
                Fate::Gone if !edited.and(FieldSet::one(reference.field)).is_empty() => {
                    (reference.key, reference.storage_key) = (None, None);
                    is_news = true;
                }
                Fate::Gone | Fate::Known | Fate::Held(_) => {}
            }
        }
        self.rebind(id, fields, &references, is_news);
    }

    /// Gives a reference the keys of the item that it means. False if it has them. A key of the app's own counts when the server has
    /// it: if the item is removed before that, nothing is meant any more.
    fn know(&self, reference: &mut Reference, id: ItemId) -> bool {
        let Some(item) = self.items.get(id) else { return false };
        let key = item.remote_key.as_ref().filter(|_| !item.is_uncreated());
        let is_news = reference.key.as_ref() != key || reference.storage_key.as_ref() != Some(&item.storage_key);
        if is_news {
            (reference.key, reference.storage_key) = (key.cloned(), Some(item.storage_key.clone()));
        }
        is_news
    }

    /// The app has set these fields.
    pub(super) fn mean(&mut self, id: ItemId, fields: FieldSet) {
        let Some(item) = self.items.get(id) else { return };
        let mut references = self.references(item, fields);
        let mut is_news = false;
        for reference in &mut references {
            is_news |= self.referred(reference).is_some_and(|other| self.know(reference, other));
        }
        self.rebind(id, fields, &references, is_news);
    }

    fn rebind(&mut self, id: ItemId, fields: FieldSet, references: &[Reference], is_news: bool) {
        let Some(item) = self.items.get_mut(id).filter(|_| is_news) else { return };
        item.row.bind(fields.and(self.stores[item.store].refers), references);
        self.touch(id);
        self.tell(id);
    }
}

// What is referred to.
impl<R: Row> Engine<R> {
    /// Looks for what an item from the server, or from client storage, refers to; what is not here is fetched.
    pub(super) fn relate(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let (store, fields) = (item.store, self.stores[item.store].refers);
        let mut references = self.references(item, fields);
        let mut is_news = false;
        for reference in &mut references {
            match reference.store {
                Some(target) if self.has_asked(target) => {
                    let found = self.referred(reference);
                    let found = found.or_else(|| self.await_referred(store, target, reference.key.as_ref()?));
                    let before = reference.clone();
                    if let Some(other) = found {
                        self.know(reference, other);
                    }
                    // What the server said stays, though the item may have another key by now, or none that it has heard of.
                    reference.key = before.key.clone().or(reference.key.take());
                    is_news |= *reference != before;
                }
                // Of a long list each leads to the same store.
                target if self.unrelated.last() == Some(&(target, id)) => {}
                target => self.unrelated.push((target, id)),
            }
        }
        self.rebind(id, fields, &references, is_news);
    }

    /// Whether all has been done to have the items of a store here.
    pub(super) fn has_asked(&self, id: StoreId) -> bool {
        let store = &self.stores[id];
        match store.phase {
            Phase::Loading => false,
            Phase::Open => store.asked || self.cannot_ask(id).is_some(),
            Phase::Closed => true,
        }
    }

    /// As the app would ask for it: an item that is empty until it is fetched.
    fn await_referred(&mut self, by: StoreId, store: StoreId, key: &Key) -> Option<ItemId> {
        let open = self.stores[store].phase == Phase::Open && key.is_safe();
        let origin = self.stores[store].origin.filter(|_| open)?;
        let mut row = self.blanks.get(usize::from(store.0))?.pick(FieldSet::NONE);
        row.set_remote_key(key);
        let id = self.insert_new(store, row, Some(key.clone()));
        if let Some(item) = self.items.get_mut(id) {
            item.awaited = true;
            item.touched = Instant(0);
        }
        self.changes(store).added.push(id);
        self.origins[origin].ask(Task::Single(id));
        if !self.stores[by].whole {
            self.stores[by].related.push(id);
        }
        Some(id)
    }

    /// Goes on with the items that could not be related before.
    pub(super) fn relate_waiting(&mut self) {
        let came = std::mem::take(&mut self.store_came);
        if came {
            self.release(None);
        }
        let is_due = |target: &Option<StoreId>| target.map_or(came, |target| self.has_asked(target));
        if !self.unrelated.iter().any(|(target, _)| is_due(target)) {
            return;
        }
        for (target, id) in std::mem::take(&mut self.unrelated) {
            if target.map_or(came, |target| self.has_asked(target)) {
                // Those whose store is still to come are put back.
                self.relate(id);
                self.tell(id);
            } else {
                self.unrelated.push((target, id));
            }
        }
    }

    /// Whether something that the rows of a store refer to is still on its way.
    pub(super) fn is_relating(&self, id: StoreId) -> bool {
        let of = |item: &ItemId| self.items.get(*item).is_some_and(|item| item.store == id);
        let comes = |item: &ItemId| self.is_coming(*item);
        let store = &self.stores[id];
        let unrelated = || self.unrelated.iter().any(|(target, item)| target.is_some() && of(item));
        !store.whole && (unrelated() || store.related.iter().any(comes))
    }

    /// Whether an awaited item may still come with the first try to fetch it.
    fn is_coming(&self, id: ItemId) -> bool {
        let Some(item) = self.items.get(id).filter(|item| item.awaited) else { return false };
        let Some(place) = self.stores[item.store].origin else { return false };
        self.cannot_ask(item.store).is_none()
            && (self.origins[place].is_next(Task::Single(id)) || self.is_fetching_one(id))
    }
}

impl<R: Row> Item<R> {
    /// Whether the server has not taken its create.
    pub(super) fn is_uncreated(&self) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.settled == Settled::New)
    }
}
