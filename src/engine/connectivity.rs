//! Whether an origin can be reached, and who may ask it now.
//!
//! Owns lanes, outages and waits of one origin. Decides nothing about the content of a request. The browser's own idea
//! of being online is only a hint to probe sooner.

use std::collections::BTreeSet;

use super::{
    backoff::Random,
    config::{BACKOFF_CAP, MAX_REQUESTS, OUTAGE_FREE, OUTAGE_SPACING},
    error::Fault,
    id::{ItemId, Seq, StoreId},
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

/// An outage, from the first request that was not answered.
#[derive(Clone, Debug)]
struct Outage {
    since: Millis,
    /// Requests that it has cost.
    requests: u64,
    failures: u32,
    next_probe: Millis,
    probing: bool,
}

/// One scheme, host and port.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) name: String,
    outage: Option<Outage>,
    /// Set while the server wants credentials.
    pub(super) held: Option<Fault>,
    /// Not before this moment, as the server asked (`Retry-After`) or as backoff says.
    wait_until: Option<Millis>,
    /// How often in a row the server asked to wait.
    refusals: u32,
    /// Lanes in use, by requests under way and by those that are being stored first.
    busy: usize,
    pub(super) ready: BTreeSet<(Seq, ItemId)>,
    pub(super) waiting: BTreeSet<(Millis, ItemId)>,
    /// Stores whose collection is to be read.
    pub(super) collections: BTreeSet<StoreId>,
    /// Items that are to be read.
    pub(super) singles: BTreeSet<ItemId>,
}

impl Origin {
    pub(super) const fn new(name: String) -> Self {
        Self {
            name,
            outage: None,
            held: None,
            wait_until: None,
            refusals: 0,
            busy: 0,
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            collections: BTreeSet::new(),
            singles: BTreeSet::new(),
        }
    }

    pub(super) const fn connection(&self) -> Connection {
        if self.held.is_some() {
            Connection::Held
        } else if self.outage.is_some() {
            Connection::Offline
        } else {
            Connection::Online
        }
    }

    /// Whether the next request would be a probe.
    pub(super) const fn is_out(&self) -> bool {
        self.outage.is_some()
    }

    pub(super) fn is_probing(&self) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.probing)
    }

    /// Whether one more request may leave now.
    pub(super) fn admits(&self, now: Millis) -> bool {
        if self.held.is_some() || self.wait_until.is_some_and(|until| now < until) {
            return false;
        }
        match &self.outage {
            Some(outage) => !outage.probing && now >= outage.next_probe,
            None => self.busy < MAX_REQUESTS,
        }
    }

    /// Whether the server asked to wait.
    pub(super) fn is_waiting(&self, now: Millis) -> bool {
        self.wait_until.is_some_and(|until| now < until)
    }

    /// When it is worth asking `admits` again; nothing if an answer has to come first.
    pub(super) fn wake_at(&self) -> Option<Millis> {
        let work = !(self.ready.is_empty() && self.collections.is_empty() && self.singles.is_empty());
        let due = self.waiting.first().map(|(at, _)| *at);
        if self.held.is_some() || (!work && due.is_none()) {
            return None;
        }
        let earliest = if work { Some(Millis(0)) } else { due };
        let gate = match &self.outage {
            Some(outage) if outage.probing => return None,
            Some(outage) => Some(outage.next_probe),
            None if self.busy >= MAX_REQUESTS => return None,
            None => None,
        };
        let moment = [earliest, gate, self.wait_until].into_iter().flatten().max();
        moment.filter(|moment| moment.0 > 0)
    }

    /// Takes a lane. True if the request will be a probe.
    pub(super) const fn reserve(&mut self) -> bool {
        self.busy += 1;
        match &mut self.outage {
            Some(outage) if !outage.probing => {
                outage.probing = true;
                true
            }
            _ => false,
        }
    }

    /// Whether the holder of a lane may still send: nothing has come up since the lane was reserved.
    pub(super) fn still_admits(&self, probe: bool, now: Millis) -> bool {
        self.held.is_none() && self.wait_until.is_none_or(|until| now >= until) && (probe || self.outage.is_none())
    }

    /// A request leaves.
    pub(super) const fn sent(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.requests += 1;
        }
    }

    /// Gives a lane back.
    pub(super) const fn release(&mut self, probe: bool) {
        self.busy = self.busy.saturating_sub(1);
        if let Some(outage) = &mut self.outage
            && probe
        {
            outage.probing = false;
        }
    }

    /// A request was answered by the server. True if that ended an outage.
    pub(super) fn reached(&mut self) -> bool {
        self.outage.take().is_some()
    }

    /// A request was taken: the server no longer asks to wait.
    pub(super) const fn welcomed(&mut self) {
        self.refusals = 0;
    }

    /// A request was not answered. True if that began an outage.
    pub(super) fn missed(&mut self, probe: bool, now: Millis, random: &mut Random) -> bool {
        let begins = self.outage.is_none();
        let outage =
            self.outage.get_or_insert(Outage { since: now, requests: 1, failures: 0, next_probe: now, probing: false });
        if begins || probe {
            outage.failures += 1;
            let spaced = Millis(OUTAGE_SPACING.0 * outage.requests.saturating_sub(OUTAGE_FREE));
            outage.next_probe = now.after(random.backoff(outage.failures, BACKOFF_CAP)).max(outage.since.after(spaced));
        }
        begins
    }

    /// The server asked to wait: as long as it said, or by backoff.
    pub(super) fn refused(&mut self, span: Option<Millis>, now: Millis, random: &mut Random) {
        self.refusals += 1;
        let span = span.unwrap_or_else(|| random.backoff(self.refusals, BACKOFF_CAP));
        self.wait_until = self.wait_until.max(Some(now.after(span)));
    }

    /// Probes at once, if the outage has a request left.
    pub(super) fn hurry(&mut self, now: Millis) {
        if let Some(outage) = &mut self.outage
            && now.since(outage.since).0 >= OUTAGE_SPACING.0 * outage.requests.saturating_sub(OUTAGE_FREE)
        {
            outage.next_probe = now;
        }
    }
}
