//! Items that refer to items: whom an edit waits for, and what is fetched because somebody refers to it.
//!
//! A reference is kept in the row by the keys of the item that it means, and is looked up when it is needed, so that nothing
//! has to be put right when an item comes later, goes, or turns out to be another one. What leaves is bound: from then
//! on its references have the server's keys.

use super::{
    Engine,
    connectivity::Task,
    id::{ItemId, Key, StoreId},
    item::{Edit, Item},
    lifecycle::{Action, Settled},
    row::{FieldSet, Reference, Row},
    sorted::Set,
    store::Phase,
    time::Instant,
};

/// What a reference comes to when its item is to be sent.
enum Fate {
    /// These are the keys of what it means; none for what is gone, so that it means nothing.
    Bound(Option<Key>, Option<Key>),
    /// Not yet: this item has to be taken by the server first, or a store has to be loaded.
    Held(Option<ItemId>),
}

/// A field that cannot be sent yet, and the item that it waits for, if that is known.
type Held = (usize, Option<ItemId>);

// Who waits for whom.
impl<R: Row> Engine<R> {
    fn fate(&self, reference: &Reference) -> Fate {
        let dangling = || Fate::Bound(reference.key.clone(), reference.storage_key.clone());
        let Some(store) = reference.store.map(|store| &self.stores[store]) else {
            return if reference.key.is_some() { dangling() } else { Fate::Held(None) };
        };
        let Some((id, item)) = self.referred(reference).and_then(|id| Some((id, self.items.get(id)?))) else {
            return match (&reference.key, store.phase) {
                (Some(_), _) => dangling(),
                (None, Phase::Open) => Fate::Bound(None, None),
                (None, Phase::Loading | Phase::Closed) => Fate::Held(None),
            };
        };
        match &item.remote_key {
            Some(key) if !item.is_uncreated() => Fate::Bound(Some(key.clone()), Some(item.storage_key.clone())),
            // It is not to be there.
            Some(_) | None if item.is_removed() => Fate::Bound(None, None),
            // It will never have a key there.
            Some(_) | None if store.origin.is_none() => dangling(),
            Some(_) | None => Fate::Held(Some(id)),
        }
    }

    /// The item that a reference means.
    fn referred(&self, reference: &Reference) -> Option<ItemId> {
        let store = &self.stores[reference.store?];
        let by_key = reference.key.as_ref().and_then(|key| store.by_remote.get(key));
        by_key.or_else(|| store.by_storage.get(reference.storage_key.as_ref()?)).copied()
    }

    /// What the pending edit of an item waits for.
    fn held(&self, id: ItemId) -> Vec<Held> {
        let Some(item) = self.items.get(id) else { return Vec::new() };
        let Some(sync) = item.sync.as_ref().filter(|sync| sync.in_flight.is_none()) else { return Vec::new() };
        let covered = sync.pending.as_ref().map_or(FieldSet::NONE, |edit| edit.fields);
        let held = |reference: Reference| match self.fate(&reference) {
            Fate::Held(whom) => Some((reference.field, whom)),
            Fate::Bound(..) => None,
        };
        self.references(item.store, &item.row, covered).into_iter().filter_map(held).collect()
    }

    fn references(&self, store: StoreId, row: &R, among: FieldSet) -> Vec<Reference> {
        let fields = self.stores[store].refers.and(among);
        if fields.is_empty() { Vec::new() } else { row.references(fields) }
    }

    /// Whether what an item has to say may leave, as far as others are concerned; if not, it is noted for whom it waits.
    pub(super) fn may_leave(&mut self, id: ItemId) -> bool {
        let held = self.held(id);
        let waits: Option<Vec<ItemId>> =
            (!held.is_empty()).then(|| held.iter().filter_map(|(_, whom)| *whom).collect());
        let first = if waits.is_some() { self.first_of_cycle(id, &held) } else { None };
        let waits = waits.filter(|_| first != Some(id));
        let may_leave = waits.is_none();
        if let Some(item) = self.items.get_mut(id) {
            item.waits_for = waits;
        }
        if let Some(first) = first.filter(|first| *first != id) {
            self.reslot(first);
        }
        may_leave
    }

    /// If new items wait for nobody but each other: the oldest of them, which goes first, without what it waits for.
    fn first_of_cycle(&self, id: ItemId, held: &[Held]) -> Option<ItemId> {
        let direct = held.iter().any(|(_, whom)| *whom == Some(id));
        if !direct && !self.waiting().any(|(_, waits)| waits.contains(&id)) {
            return None;
        }
        let awaited = self.reach(id);
        let cycle = || awaited.iter().copied().filter(|other| self.reach(*other).contains(&id));
        let only = held.iter().all(|(_, whom)| whom.is_some_and(|whom| cycle().any(|other| other == whom)));
        let first = cycle().min_by_key(|other| self.first_edit(*other))?;
        (only || first != id).then_some(first)
    }

    fn first_edit(&self, id: ItemId) -> Option<super::id::Seq> {
        Some(self.items.get(id)?.sync.as_ref()?.pending.as_ref()?.first)
    }

    /// Those for whom an item waits, at once or in the end.
    fn reach(&self, id: ItemId) -> Set<ItemId> {
        let waits = |id| self.held(id).into_iter().filter_map(|(_, whom)| whom);
        let (mut seen, mut next) = (Set::new(), waits(id).collect::<Vec<_>>());
        while let Some(whom) = next.pop() {
            if !seen.contains(&whom) {
                seen.insert(whom);
                next.extend(waits(whom));
            }
        }
        seen
    }

    /// Items that wait for others, and for whom.
    fn waiting(&self) -> impl Iterator<Item = (ItemId, &Vec<ItemId>)> {
        let unsynced = self.stores.ids().map(|id| &self.stores[id]).filter(|store| !store.refers.is_empty());
        unsynced
            .flat_map(|store| store.unsynced.iter())
            .filter_map(|id| Some((*id, self.items.get(*id)?.waits_for.as_ref()?)))
    }

    /// This item has its key, or is gone, so that those who waited for it go on; without one, a store came or was loaded.
    pub(super) fn release(&mut self, whom: Option<ItemId>) {
        let concerned = |waits: &Vec<ItemId>| whom.is_none_or(|whom| waits.contains(&whom));
        let waiting: Vec<ItemId> = self.waiting().filter(|(_, waits)| concerned(waits)).map(|(id, _)| id).collect();
        for id in waiting {
            self.reslot(id);
            self.tell(id);
        }
    }

    /// All for whom an item waits, as was last noted.
    pub(super) fn awaited_by(&self, id: ItemId) -> Set<ItemId> {
        let waits = |id| self.items.get(id).and_then(|item| item.waits_for.clone()).unwrap_or_default();
        let (mut seen, mut next) = (Set::new(), waits(id));
        while let Some(whom) = next.pop() {
            if !seen.contains(&whom) {
                seen.insert(whom);
                next.extend(waits(whom));
            }
        }
        seen
    }

    /// What of a pending edit cannot leave with it, because it belongs to a cycle.
    pub(super) fn cyclic(&self, id: ItemId) -> FieldSet {
        self.held(id).iter().fold(FieldSet::NONE, |fields, (field, _)| fields.with(FieldSet::one(*field)))
    }

    /// Makes of a create one that leaves without some fields, and of these an update that follows.
    pub(super) fn split(&mut self, id: ItemId, edit: Edit, late: FieldSet) -> Edit {
        if late.is_empty() {
            return edit;
        }
        let (last, key) = (self.next_seq(), self.random.uuid());
        let rest = Edit { action: Action::Update, fields: late, first: last, last, key };
        self.postpone_synced(id, last);
        if let Some(item) = self.items.get_mut(id) {
            let nothing = item.row.pick(FieldSet::NONE);
            if let Some(sync) = &mut item.sync {
                // That is what the server will hold, should the update be given up.
                sync.add_base(late, &nothing);
                sync.pending = Some(rest);
            }
        }
        Edit { fields: edit.fields.without(late), ..edit }
    }

    /// The pending edit leaves: its references are from now on what the server calls them.
    pub(super) fn bind(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let covered =
            item.sync.as_ref().and_then(|sync| sync.pending.as_ref()).map_or(FieldSet::NONE, |edit| edit.fields);
        let (store, row) = (item.store, item.row.clone());
        let mut references = self.references(store, &row, covered);
        let mut is_news = false;
        for reference in &mut references {
            if let Fate::Bound(key, storage_key) = self.fate(reference) {
                is_news |= (&reference.key, &reference.storage_key) != (&key, &storage_key);
                (reference.key, reference.storage_key) = (key, storage_key);
            }
        }
        if is_news {
            self.rebind(id, covered.and(self.stores[store].refers), &references);
        }
    }

    fn rebind(&mut self, id: ItemId, fields: FieldSet, references: &[Reference]) {
        if let Some(item) = self.items.get_mut(id) {
            item.row.bind(fields, references);
        }
        self.touch(id);
        self.tell(id);
    }
}

// What is referred to.
impl<R: Row> Engine<R> {
    /// Looks for what an item from the server, or from client storage, refers to; what is not here is fetched.
    pub(super) fn relate(&mut self, id: ItemId) {
        let Some(item) = self.items.get(id) else { return };
        let (store, row) = (item.store, item.row.clone());
        let mut references = self.references(store, &row, self.stores[store].fields);
        let mut is_news = false;
        for reference in &mut references {
            match reference.store {
                Some(target) if self.has_asked(target) => {
                    let found = self
                        .referred(reference)
                        .or_else(|| self.await_referred(store, target, reference.key.as_ref()?));
                    let found = found.and_then(|other| self.items.get(other)).map(|item| item.storage_key.clone());
                    if found.is_some() && found != reference.storage_key {
                        reference.storage_key = found;
                        is_news = true;
                    }
                }
                target => self.unrelated.insert((target, id)),
            }
        }
        if is_news {
            self.rebind(id, self.stores[store].refers, &references);
        }
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
        let (due, rest): (Vec<_>, Vec<_>) = self.unrelated.iter().partition(|(target, _)| is_due(target));
        self.unrelated = rest.into_iter().collect();
        for (_, id) in due {
            // Those whose store is still to come are put back.
            self.relate(id);
            self.tell(id);
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
    /// Whether the server has still to take its create.
    pub(super) fn is_uncreated(&self) -> bool {
        let creates = |sync: &super::item::Sync<R>| {
            let in_flight = sync.in_flight.as_ref().map(|attempt| attempt.edit.action);
            in_flight.or(sync.pending.as_ref().map(|edit| edit.action)) == Some(Action::Create)
        };
        self.sync.as_ref().is_some_and(|sync| sync.settled == Settled::New && creates(sync))
    }
}
