//! Whether an origin can be reached, and who may ask it now.
//!
//! Owns lanes, troubles and waits of one origin, and the queue of what is to be asked there. Decides nothing about the
//! content of a request. The browser's own idea of being online is only a hint to probe sooner.

use super::{
    backoff::Random,
    config::{ANY_PROBE, BACKOFF_CAP, BLOCKED_AFTER, MAX_REQUESTS, OUTAGE_FREE, OUTAGE_SPACING},
    error::Fault,
    id::{ItemId, Seq, StoreId},
    sorted::{Map, Set},
    time::Millis,
};

/// Whether requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The last request was answered.
    Online,
    /// The last request was not answered; one request at a time probes.
    Offline,
    /// The server wants credentials.
    Held,
    /// The app paused the store.
    Paused,
}

/// Something to ask an origin for. Reads come first, because they are few and tell the most; then the oldest edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    Collection(StoreId),
    Single(ItemId),
    Edit(Seq, ItemId),
}

/// Where a task is in the queue of its origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Slot {
    /// Not in it.
    #[default]
    Out,
    /// May leave as soon as there is a lane.
    Ready(Task),
    /// Failed for its own sake; not before this moment.
    Waiting(Millis, Task),
    /// Failed because the origin was in trouble: ready when that is over, and meanwhile the probe if there is no other.
    Lost(Millis, Task),
}

/// A span in which the origin was not reached or asked to wait, from the first request that met it. While it lasts,
/// one request at a time probes.
#[derive(Clone, Debug)]
struct Trouble {
    since: Millis,
    /// Requests that it has cost.
    requests: u64,
    failures: u32,
    next_probe: Millis,
    /// Whether somebody answers at all: a server that asks to wait is there.
    answers: bool,
    /// Whether at any time nobody did.
    lost: bool,
    /// Whether a probe has reached it since: the next request is a real one.
    checked: bool,
}

/// How often a read failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Misses {
    /// In a row.
    pub(super) attempts: u32,
    /// While its origin answered others.
    pub(super) strikes: u32,
}

/// One scheme, host and port.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) name: String,
    trouble: Option<Trouble>,
    /// Set while the server wants credentials.
    pub(super) held: Option<Fault>,
    /// Not before this moment, as the server asked (`Retry-After`).
    wait_until: Option<Millis>,
    /// Lanes in use, by requests under way and by those that are being stored first.
    busy: usize,
    /// How many of them are probes: one, or a second one that a trouble which is over has left behind.
    probes: usize,
    ready: Set<Task>,
    waiting: Set<(Millis, Task)>,
    lost: Set<(Millis, Task)>,
    /// The reads that failed and are to be made again.
    misses: Map<Task, Misses>,
    /// The store whose transporter can probe in a way of its own, if there is one.
    pub(super) prober: Option<StoreId>,
}

impl Origin {
    pub(super) const fn new(name: String) -> Self {
        Self {
            name,
            trouble: None,
            held: None,
            wait_until: None,
            busy: 0,
            probes: 0,
            ready: Set::new(),
            waiting: Set::new(),
            lost: Set::new(),
            misses: Map::new(),
            prober: None,
        }
    }

    pub(super) const fn connection(&self) -> Connection {
        match &self.trouble {
            _ if self.held.is_some() => Connection::Held,
            Some(Trouble { answers: false, .. }) => Connection::Offline,
            Some(Trouble { answers: true, .. }) | None => Connection::Online,
        }
    }

    /// Whether nobody answers.
    pub(super) const fn is_offline(&self) -> bool {
        matches!(self.trouble, Some(Trouble { answers: false, .. }))
    }

    pub(super) const fn is_troubled(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether the server asked to wait.
    pub(super) fn is_waiting(&self, now: Millis) -> bool {
        self.wait_until.is_some_and(|until| now < until)
    }

    /// Whether one more request may leave now.
    pub(super) fn admits(&self, now: Millis) -> bool {
        !self.is_shut(now)
            && match self.trouble {
                Some(_) => self.probes == 0,
                None => self.busy < MAX_REQUESTS,
            }
    }

    /// Whether nothing can be asked now, and no answer that is awaited can change that.
    pub(super) fn is_shut(&self, now: Millis) -> bool {
        let gated = self.trouble.as_ref().is_some_and(|trouble| self.probes == 0 && now < trouble.next_probe);
        self.held.is_some() || self.is_waiting(now) || gated
    }

    /// When the origin may be asked again, as far as is known.
    pub(super) fn gate(&self, now: Millis) -> Millis {
        let probe = self.trouble.as_ref().map(|trouble| trouble.next_probe);
        [Some(now), probe, self.wait_until].into_iter().flatten().max().unwrap_or(now)
    }

    /// When it is worth looking again; nothing if an answer has to come first, or there is nothing to ask.
    pub(super) fn wake_at(&self, now: Millis) -> Option<Millis> {
        let lost = self.lost.first().map(|(at, _)| *at);
        let due = self.waiting.first().map(|(at, _)| *at);
        let (work, first) = match &self.trouble {
            Some(_) => (!self.ready.is_empty() || lost.is_some() || self.probes_apart(), due),
            None => (!self.ready.is_empty(), [lost, due].into_iter().flatten().min()),
        };
        let is_full = if self.trouble.is_some() { self.probes > 0 } else { self.busy >= MAX_REQUESTS };
        if self.held.is_some() || is_full {
            return None;
        }
        let gate = self.gate(now);
        if work { Some(gate) } else { first.map(|at| at.max(gate)) }
    }

    /// Whether nothing but a probe should leave.
    pub(super) fn wants_probe(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| !trouble.answers && !trouble.checked)
    }

    fn probes_apart(&self) -> bool {
        self.prober.is_some() && self.wants_probe()
    }

    /// A probe reached the server, whether or not it takes requests.
    pub(super) fn checked(&mut self, now: Millis) {
        if let Some(trouble) = &mut self.trouble {
            trouble.checked = true;
            trouble.next_probe = now.max(trouble.affordable());
        }
    }

    /// Since when the origin was not reached, if it was not at any time of its trouble.
    pub(super) fn outage(&self) -> Option<Millis> {
        self.trouble.as_ref().filter(|trouble| trouble.lost).map(|trouble| trouble.since)
    }

    /// Whether the server is out of reach, and nothing is under way or waits that would find out when it is back.
    pub(super) fn is_idle_outage(&self) -> bool {
        let lost = self.connection() == Connection::Offline;
        lost && self.prober.is_none() && self.busy == 0 && !self.has_work() && self.waiting.is_empty()
    }

    /// Whether anything is to be asked, but for what waits for its own sake.
    pub(super) fn has_work(&self) -> bool {
        !(self.ready.is_empty() && self.lost.is_empty())
    }

    /// Takes a lane. True if the request will be a probe.
    pub(super) const fn reserve(&mut self) -> bool {
        self.busy += 1;
        let probe = self.trouble.is_some();
        if probe {
            self.probes += 1;
        }
        probe
    }

    /// Whether the holder of a lane may still send: nothing has come up since the lane was reserved.
    pub(super) fn still_admits(&self, probe: bool, now: Millis) -> bool {
        self.held.is_none() && !self.is_waiting(now) && (probe || self.trouble.is_none())
    }

    /// A request leaves.
    pub(super) const fn sent(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.requests += 1;
        }
    }

    /// Gives a lane back.
    pub(super) const fn release(&mut self, probe: bool) {
        self.busy = self.busy.saturating_sub(1);
        if probe {
            self.probes = self.probes.saturating_sub(1);
        }
    }

    /// A request was answered by the server.
    pub(super) fn recovered(&mut self) {
        self.trouble = None;
    }

    /// A request, whose lane has been given back, was not answered, or the answer was to wait. Without `answers`: as before.
    pub(super) fn missed(&mut self, probe: bool, answers: Option<bool>, now: Millis, random: &mut Random) {
        let begins = self.trouble.is_none();
        let requests = u64::try_from(self.busy).unwrap_or(u64::MAX).saturating_add(1);
        let fresh =
            Trouble { since: now, requests, failures: 0, next_probe: now, answers: true, lost: false, checked: false };
        let trouble = self.trouble.get_or_insert(fresh);
        trouble.answers = answers.unwrap_or(trouble.answers);
        trouble.lost |= !trouble.answers;
        trouble.checked = false;
        if begins || probe {
            trouble.failures += 1;
            trouble.next_probe = now.after(random.backoff(trouble.failures, BACKOFF_CAP)).max(trouble.affordable());
        }
    }

    /// The server said how long to wait.
    pub(super) fn wait(&mut self, span: Millis, now: Millis) {
        self.wait_until = self.wait_until.max(Some(now.after(span)));
    }

    /// Probes at once, if the trouble has a request left.
    pub(super) fn hurry(&mut self, now: Millis) {
        if let Some(trouble) = &mut self.trouble {
            trouble.next_probe = trouble.next_probe.min(now.max(trouble.affordable()));
        }
    }
}

impl Trouble {
    /// Before this moment one more request would be more than a trouble may cost.
    const fn affordable(&self) -> Millis {
        self.since.after(Millis(OUTAGE_SPACING.0.saturating_mul(self.requests.saturating_sub(OUTAGE_FREE))))
    }
}

// The queue.
impl Origin {
    /// Puts a task where it belongs.
    pub(super) fn put(&mut self, slot: Slot) {
        match slot {
            Slot::Out => {}
            Slot::Ready(task) => {
                self.ready.insert(task);
            }
            Slot::Waiting(until, task) => {
                self.waiting.insert((until, task));
            }
            Slot::Lost(until, task) => {
                self.lost.insert((until, task));
            }
        }
    }

    /// Takes a task away from where it was put.
    pub(super) fn take(&mut self, slot: Slot) {
        match slot {
            Slot::Out => {}
            Slot::Ready(task) => {
                self.ready.remove(&task);
            }
            Slot::Waiting(until, task) => {
                self.waiting.remove(&(until, task));
            }
            Slot::Lost(until, task) => {
                self.lost.remove(&(until, task));
            }
        }
    }

    /// Takes out the task that is next.
    pub(super) fn pop_ready(&mut self) -> Option<Task> {
        self.ready.pop_first()
    }

    /// Takes out the first of those that may leave of which this is true.
    pub(super) fn pop_ready_if(&mut self, is_it: impl Fn(&Task) -> bool) -> Option<Task> {
        let task = self.ready.iter().copied().find(is_it)?;
        self.ready.remove(&task);
        Some(task)
    }

    /// An edit that may leave.
    pub(super) fn ready_edit(&self) -> Option<ItemId> {
        self.ready.iter().find_map(|task| match task {
            Task::Edit(_, id) => Some(*id),
            Task::Collection(_) | Task::Single(_) => None,
        })
    }

    /// Whether anything will do as the next probe of an outage. The collection's address alone may be blocked.
    pub(super) fn probes_by_anything(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.failures % ANY_PROBE == ANY_PROBE - 1)
    }

    /// Takes out a task whose wait is over.
    pub(super) fn pop_due(&mut self, now: Millis) -> Option<Task> {
        let queue = [&mut self.waiting, &mut self.lost]
            .into_iter()
            .find(|queue| queue.first().is_some_and(|(until, _)| *until <= now))?;
        queue.pop_first().map(|(_, task)| task)
    }

    /// Takes out one of those that wait only because the origin was in trouble.
    pub(super) fn pop_lost(&mut self) -> Option<Task> {
        self.lost.pop_first().map(|(_, task)| task)
    }

    /// Wants something read, whether or not it waits.
    pub(super) fn ask(&mut self, read: Task) {
        self.unwait(read);
        self.ready.insert(read);
    }

    /// Wants it read no longer.
    pub(super) fn unask(&mut self, read: Task) {
        self.forgive(read);
        self.ready.remove(&read);
    }

    /// Whether something is to be read.
    pub(super) fn is_asked(&self, read: Task) -> bool {
        self.ready.contains(&read) || self.misses.contains_key(&read)
    }

    /// Whether a read leaves as soon as there is a lane.
    pub(super) fn is_next(&self, read: Task) -> bool {
        self.ready.contains(&read)
    }

    /// Puts a read that failed where it waits, unless it has been asked for anew.
    pub(super) fn postpone(&mut self, read: Task, slot: Slot) {
        if !self.ready.contains(&read) {
            self.unwait(read);
            self.put(slot);
        }
    }

    fn unwait(&mut self, read: Task) {
        if self.misses.contains_key(&read) {
            self.waiting.retain(|(_, task)| *task != read);
            self.lost.retain(|(_, task)| *task != read);
        }
    }

    /// How often a read has failed.
    pub(super) fn misses(&mut self, read: Task) -> &mut Misses {
        self.misses.get_or_insert_with(read, Default::default)
    }

    /// A read will not be made again, or has succeeded.
    pub(super) fn forgive(&mut self, read: Task) {
        self.unwait(read);
        self.misses.remove(&read);
    }
}

/// Whether an address that failed so often, while its origin answered others, is blocked on its own.
pub(super) const fn is_blocked(strikes: u32) -> bool {
    strikes > BLOCKED_AFTER
}
