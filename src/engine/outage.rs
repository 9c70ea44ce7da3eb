//! An outage: how it is found out that a server is back, and what is read when it is.
//!
//! When a probe may leave is decided in `connectivity`; this room says which request it is.

use super::{
    Engine,
    arena::Items,
    config::OUTAGE_MISSED,
    connectivity::{Connection, Task},
    id::{CommandId, StoreId},
    outbox::{Sent, What},
    output::Command,
    row::Row,
    store::Phase,
    time::Millis,
};

// What a probe is.
impl<R: Row> Engine<R> {
    /// What finds out whether a server that was out of reach is back: what is read, or was sent before. For an edit that never
    /// was the collection is read.
    pub(super) fn next_probe(&mut self, place: usize) -> Option<Task> {
        let was_sent = |items: &Items<R>, task: &Task| match task {
            Task::Collection(_) | Task::Single(_) => true,
            Task::Edit(_, id) => items.get(*id).is_some_and(|item| {
                item.sync.as_ref().and_then(|sync| sync.in_flight.as_ref()).is_some_and(|attempt| attempt.attempts > 0)
            }),
        };
        if let Some(task) = self.origins[place].pop_ready_if(|task| was_sent(&self.items, task)) {
            return Some(task);
        }
        if let Some(task) = self.origins[place].pop_lost() {
            self.make_ready(place, task);
            return self.origins[place].pop_ready_if(|ready| was_sent(&self.items, ready));
        }
        let store = self.origins[place].ready_edit().and_then(|id| self.items.get(id)).map(|item| item.store)?;
        if self.is_fetching(store) {
            // That read left before the outage, and may take its time.
            return self.origins[place].pop_ready();
        }
        self.ask_missed(store);
        self.origins[place].pop_ready_if(|task| *task == Task::Collection(store))
    }

    /// A server out of reach is probed though nothing waits: whoever looks at the status is to see it come back.
    pub(super) fn ask_something(&mut self, place: usize) {
        if self.origins[place].is_idle_outage() {
            let ours = |id: &StoreId| self.stores[*id].origin == Some(place) && self.may_ask(*id);
            let store = self.stores.ids().find(ours);
            store.into_iter().for_each(|store| self.ask_missed(store));
        }
    }

    /// Where a store's transporter has a way of its own to see whether the server can be reached, that is tried before anything
    /// else is asked for. True if it is.
    pub(super) fn probe(&mut self, place: usize) -> bool {
        let Some(store) = self.origins[place].prober.filter(|_| self.origins[place].wants_probe()) else {
            return false;
        };
        let command = self.send_read(place, store, What::Probe);
        self.out.commands.push(Command::Probe(command, store));
        true
    }

    /// The store whose transporter can do so.
    pub(super) fn prober(&self, place: usize) -> Option<StoreId> {
        let probes = |id: &StoreId| self.stores[*id].probes && self.stores[*id].origin == Some(place);
        self.stores.ids().find(|id| probes(id) && self.may_ask(*id))
    }
}

// What is heard of the server.
impl<R: Row> Engine<R> {
    /// The browser thinks that the network is back: those that are being probed are probed sooner.
    pub(super) fn hurry(&mut self) {
        let now = self.now;
        self.origins.iter_mut().for_each(|origin| origin.hurry(now));
        self.run();
    }

    /// What waits is sent; and what was missed meanwhile is read, which is a probe where nothing waits.
    pub(super) fn reachable(&mut self, store: StoreId) {
        if let Some(origin) = self.stores[store].origin {
            self.origins[origin].checked(self.now);
        }
        self.ask_missed(store);
        self.hurry();
    }

    /// The transporter knows better than the last request whether the server can be reached.
    pub(super) fn lost(&mut self, store: StoreId) {
        if let Some(place) = self.stores[store].origin {
            let origin = &mut self.origins[place];
            if origin.connection() == Connection::Online {
                origin.missed(false, Some(false), self.now, &mut self.random);
                self.tell_origin(place);
            }
        }
        self.run();
    }

    /// A probe has come to an end.
    pub(super) fn probed(&mut self, command: CommandId, reached: bool) {
        let Some(sent) = self.requests.remove(&command) else { return };
        let origin = &mut self.origins[sent.origin];
        origin.release(sent.probe);
        if reached {
            origin.checked(self.now);
            // A real answer ends the outage, and there is always something that was missed.
            if !origin.has_work() {
                self.ask_missed(sent.store);
            }
        } else if origin.is_troubled() {
            origin.missed(sent.probe, Some(false), self.now, &mut self.random);
        }
        self.run();
    }

    /// What the server told meanwhile did not come here.
    pub(super) fn missed(&mut self, store: StoreId) {
        self.ask_missed(store);
        self.run();
    }

    /// Wants the collection read until that succeeds.
    pub(super) fn ask_missed(&mut self, store: StoreId) {
        self.stores[store].behind = true;
        if self.may_ask(store) {
            self.ask_collection(store);
        }
    }

    /// An outage is over: what others did meanwhile is not known here, and nobody else would ask for it. Where a cursor makes
    /// that cheap it is always read; else if the outage was long enough to be noticed.
    pub(super) fn catch_up(&mut self, answered: &Sent, outage: Option<Millis>) {
        let Some(since) = outage else { return };
        for id in self.stores.ids() {
            let store = &self.stores[id];
            let ours = store.origin == Some(answered.origin) && store.phase == Phase::Open && store.asked;
            let is_answer = answered.store == id && matches!(answered.what, What::Collection(_));
            let worth = store.cursor.is_some() || self.now.since(since) >= OUTAGE_MISSED;
            if ours && worth && !is_answer {
                self.ask_missed(id);
            }
        }
    }
}
