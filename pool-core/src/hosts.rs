//! The map from addresses to hosts, the only place that knows the type of an address.
//!
//! What must hold: no guard of the map leaves a function of this file, and none is held while a connection
//! closes. A host is forgotten in one step, under its shard's lock, when nothing of it exists and nobody
//! else holds one of its lanes; so nothing can be checked in to a host that has left the map.

#![expect(clippy::disallowed_types, reason = "the map of the hosts lives here")]

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use dashmap::DashMap;
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use crate::head::Naming;
use crate::host::Host;
use crate::lane::{Dial, Lane};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::stats::{Held, Stats};
use crate::watcher::Watcher;

/// A host without connections takes about a kilobyte.
const MOST_REMEMBERED: usize = 4_096;

pub(crate) struct Hosts<A: Eq + Hash> {
    map: DashMap<A, Entry, RandomState>,
    watchers: Mutex<Vec<Arc<Watcher>>>,
    /// Held while hosts are forgotten or summed up, so that none is in both sums, or in neither.
    counting: Mutex<()>,
    shared: Arc<Shared>,
}

struct Entry {
    host: Arc<Host>,
    lanes: Vec<Arc<Lane>>,
}

impl Entry {
    #[inline]
    fn lane(&self, runtime: Id) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| lane.runtime() == runtime && !lane.watcher.is_gone())
    }

    fn add_to(&self, stats: &mut Stats) {
        let sum = |count: fn(&Lane) -> usize| self.lanes.iter().map(|lane| count(lane)).sum();
        let held = Held {
            idle: sum(Lane::idle),
            parked: sum(Lane::parked),
            waiting: sum(|lane| lane.queue().waiting()),
            streams: sum(|lane| lane.in_use.streams()),
            backing_off: self.host.failures.pause(Instant::now()).is_some(),
        };
        stats.add(&self.host.counters, held);
    }

    fn is_vacant(&self) -> bool {
        self.host.is_vacant() && self.lanes.iter().all(|lane| Arc::strong_count(lane) == 1)
    }
}

impl<A: Clone + Eq + Hash + Send + Sync + 'static> Hosts<A> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            map: DashMap::default(),
            watchers: Mutex::default(),
            counting: Mutex::default(),
            shared,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The lane of `address` in `runtime`, which must be the current one.
    pub(crate) fn lane(
        self: &Arc<Self>,
        address: &A,
        runtime: &Handle,
        dialer: impl FnOnce() -> Box<dyn Dial>,
    ) -> Arc<Lane>
    where
        A: Debug,
    {
        let id = runtime.id();
        match self.map.get(address).and_then(|entry| entry.lane(id).cloned()) {
            Some(lane) => lane,
            None => self.open_lane(address, runtime, dialer),
        }
    }

    #[cold]
    fn open_lane(
        self: &Arc<Self>,
        address: &A,
        runtime: &Handle,
        dialer: impl FnOnce() -> Box<dyn Dial>,
    ) -> Arc<Lane>
    where
        A: Debug,
    {
        let id = runtime.id();
        let watcher = self.watcher(runtime);
        // What is the caller's code runs before the map is locked.
        let (dialer, name) = (dialer(), name_of(address));
        let naming = Naming::new(dialer.target());
        let entry = self.map.entry(address.clone());
        let mut entry = entry.or_insert_with(|| self.entry(name));
        if let Some(lane) = entry.lane(id) {
            return Arc::clone(lane);
        }
        let is_gone = |lane: &mut Arc<Lane>| lane.watcher.is_gone();
        let gone: Vec<_> = entry.lanes.extract_if(.., is_gone).collect();
        let lane = Lane::new(Arc::clone(&entry.host), watcher, dialer, naming);
        entry.lanes.push(Arc::clone(&lane));
        drop(entry);
        // Their watcher does so as well, but may come too late to find them here.
        for lane in gone {
            lane.retire();
        }
        lane
    }

    fn entry(&self, name: Arc<str>) -> Entry {
        Entry { host: Host::new(name, Arc::clone(&self.shared)), lanes: Vec::new() }
    }

    /// Remembers that `address` is retired; the lanes are the caller's to empty.
    pub(crate) fn retire(&self, address: &A) -> (Arc<Host>, Vec<Arc<Lane>>)
    where
        A: Debug,
    {
        let name = name_of(address);
        let entry = self.map.entry(address.clone()).or_insert_with(|| self.entry(name));
        entry.host.set_retired(true);
        (Arc::clone(&entry.host), entry.lanes.clone())
    }

    /// Retires what `keep` refuses and takes back what it keeps; gives the newly retired addresses, and
    /// their lanes, which are the caller's to empty.
    pub(crate) fn retire_unless(
        &self,
        mut keep: impl FnMut(&A) -> bool,
    ) -> (Vec<A>, Vec<Arc<Lane>>) {
        let (mut addresses, mut lanes) = (Vec::new(), Vec::new());
        for entry in &self.map {
            let retired = !keep(entry.key());
            if entry.host.set_retired(retired) && retired {
                addresses.push(entry.key().clone());
                lanes.extend(entry.lanes.iter().cloned());
            }
        }
        (addresses, lanes)
    }

    fn watcher(self: &Arc<Self>, runtime: &Handle) -> Arc<Watcher> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| !watcher.is_gone());
        if let Some(watcher) = watchers.iter().find(|watcher| watcher.runtime() == runtime.id()) {
            return Arc::clone(watcher);
        }
        let watcher = Watcher::start(runtime, self);
        watchers.push(Arc::clone(&watcher));
        watcher
    }

    /// Forgets the hosts of which nothing is left. What was learnt of a server is worth keeping for a while, but
    /// not of more than so many.
    pub(crate) fn forget_vacant(&self) {
        let (now, mut remembered) = (Instant::now(), 0);
        // Dropped without a lock, because that tells the connector.
        let mut forgotten = Vec::new();
        let counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        self.map.retain(|_, entry| {
            if !entry.is_vacant() {
                return true;
            }
            let learnt = entry.host.horizon.is_remembered(now);
            remembered += usize::from(learnt);
            if learnt && remembered <= MOST_REMEMBERED {
                return true;
            }
            // Nobody counts for a vacant host any more.
            self.shared.forgotten.absorb(&entry.host.counters);
            forgotten.append(&mut entry.lanes);
            false
        });
        drop(counting);
        if !forgotten.is_empty() {
            drop(forgotten);
            self.shared.ranking.forget_gone();
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        stats.add(&self.shared.forgotten, Held::default());
        for entry in &self.map {
            entry.add_to(&mut stats);
        }
        stats
    }

    pub(crate) fn stats_of(&self, address: &A) -> Option<Stats> {
        let entry = self.map.get(address)?;
        let mut stats = Stats::default();
        entry.add_to(&mut stats);
        Some(stats)
    }
}

impl<A: Eq + Hash> Hosts<A> {
    pub(crate) fn lanes_of(&self, watcher: &Arc<Watcher>) -> Vec<Arc<Lane>> {
        self.lanes(|lane| Arc::ptr_eq(&lane.watcher, watcher))
    }

    /// Empties the lanes of a watcher that has gone.
    pub(crate) fn retire_lanes_of(&self, watcher: &Arc<Watcher>) {
        for lane in self.lanes_of(watcher) {
            lane.retire();
        }
    }

    /// Closes all that is idle and refuses all who wait; nothing comes home afterwards.
    pub(crate) fn close(&self) {
        self.shared.close();
        for lane in self.lanes(|_| true) {
            lane.retire();
        }
    }

    fn lanes(&self, wanted: impl Fn(&Arc<Lane>) -> bool) -> Vec<Arc<Lane>> {
        let mut lanes = Vec::new();
        for entry in &self.map {
            lanes.extend(entry.lanes.iter().filter(|lane| wanted(lane)).cloned());
        }
        lanes
    }
}

/// An address as errors tell it.
fn name_of(address: &impl Debug) -> Arc<str> {
    format!("{address:?}").into()
}
