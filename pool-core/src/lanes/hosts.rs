//! The map from addresses to hosts, the only place that knows the type of an address.
//!
//! What must hold: no guard of the map leaves a function of this file, and none is held while a connection closes. A
//! lane goes, and with the last of them a host of which nothing was learnt, in one step, under its shard's lock, when
//! nothing of the host exists and no other thread holds one of its lanes; so no connection can be checked in to a host
//! that has left the map. The map is cleared at the latest when it has grown by a quarter: a crawler that sees a million
//! addresses pays for those of the moment.

#![expect(clippy::disallowed_types, reason = "the map of the hosts lives here")]

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ahash::RandomState;
use dashmap::DashMap;
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::dial::Dialer;
use super::lane::Lane;
use super::watcher::{Rounds, Watched, Watcher, has_timers};
use crate::connector::Connector;
use crate::policy::{Host, PoolState, Runtime};
use crate::report::{Error, ErrorKind, Holdings, Reason, ServerInfo, Stats};
use crate::request::DefaultTarget;
use crate::settings::{ByAddress, Settings};
use crate::sync::Mutex;

/// So many hosts without connections are remembered for what was learnt of them. With the name, and its place in the map,
/// each takes about a kilobyte.
const MOST_REMEMBERED: usize = 4_096;

/// So many lanes may be opened before vacant hosts are looked for, or a quarter of the hosts that there are.
const OPENED: usize = 1_024;

pub(crate) struct Hosts<C: Connector> {
    connector: Arc<C>,
    map: DashMap<C::Address, Entry, RandomState>,
    watchers: Mutex<Vec<Arc<Watcher>>>,
    /// Held while hosts are forgotten or summed up, so that none is in both sums, or in neither.
    counting: Mutex<()>,
    /// Lanes that were opened since vacant hosts were forgotten, and so many may be until they are again.
    opened: AtomicUsize,
    may_open: AtomicUsize,
    pool: Arc<PoolState>,
    by_address: Option<ByAddress<C::Address>>,
}

struct Entry {
    host: Arc<Host>,
    lanes: Vec<Arc<Lane>>,
}

impl Entry {
    #[inline]
    fn lane(&self, runtime: Id, http1_only: bool) -> Option<&Arc<Lane>> {
        self.lanes.iter().find(|lane| {
            lane.runtime().id() == runtime
                && lane.is_http1_only() == http1_only
                && !lane.runtime().is_gone()
        })
    }

    fn add_to(&self, stats: &mut Stats) {
        let sum = |count: fn(&Lane) -> usize| self.lanes.iter().map(|lane| count(lane)).sum();
        let holdings = Holdings {
            idle: sum(Lane::idle),
            parked: sum(Lane::parked),
            waiting: sum(|lane| lane.queue.waiting() + lane.line.len(Instant::now())),
            streams: sum(|lane| lane.in_use.open_streams()),
            backing_off: self.host.fails(),
            quarantined: self.host.is_quarantined(Instant::now()),
        };
        stats.add(self.host.counters(), holdings);
    }

    /// How many requests are under way, or wait.
    fn load(&self) -> usize {
        let of_lane = |lane: &Arc<Lane>| {
            // A shared connection is lent by its streams.
            let own = lane.idle() + lane.in_use.len();
            (lane.queue.waiting() + lane.in_use.open_streams(), own)
        };
        let lanes = self.lanes.iter().map(of_lane);
        let (requests, others) = lanes.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        requests + self.host.counters().open().saturating_sub(others)
    }

    fn is_vacant(&self) -> bool {
        self.host.is_vacant() && self.lanes.iter().all(|lane| Arc::strong_count(lane) == 1)
    }
}

impl<C: Connector> Hosts<C> {
    pub(crate) fn new(
        connector: C,
        settings: Settings,
        by_address: Option<ByAddress<C::Address>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connector: Arc::new(connector),
            map: DashMap::default(),
            watchers: Mutex::default(),
            counting: Mutex::default(),
            opened: AtomicUsize::new(0),
            may_open: AtomicUsize::new(OPENED),
            pool: Arc::new(PoolState::new(settings)),
            by_address,
        })
    }

    /// The lane of `address` in `runtime`, which must be the current one; that whose connections speak HTTP/1 though others
    /// may not, if `http1_only`.
    #[inline]
    pub(super) fn lane(
        self: &Arc<Self>,
        address: &C::Address,
        runtime: &Handle,
        http1_only: bool,
    ) -> Result<Arc<Lane>, Error> {
        let id = runtime.id();
        match self.map.get(address).and_then(|entry| entry.lane(id, http1_only).cloned()) {
            Some(lane) => Ok(lane),
            None => self.open_lane(address, runtime, http1_only),
        }
    }

    #[cold]
    fn open_lane(
        self: &Arc<Self>,
        address: &C::Address,
        runtime: &Handle,
        http1_only: bool,
    ) -> Result<Arc<Lane>, Error> {
        let watcher = self.watcher(runtime).ok_or_else(|| Error::no_timers(&name_of(address)))?;
        // What the caller has given runs before the map is locked.
        let settings = self.settings_of(address)?;
        let target = self.connector.target(address);
        let dialer = Dialer::boxed(&self.connector, address, settings.http2, &target, http1_only);
        let server = ServerInfo::new(name_of(address), target.clone());
        let default_target = DefaultTarget::new(target, settings.https_over_cleartext);
        let entry = self.map.entry(address.clone());
        let mut entry = entry.or_insert_with(|| self.entry(server, Arc::clone(&settings)));
        if !Arc::ptr_eq(entry.host.settings(), &settings) {
            // Another thread was faster, whose answer holds.
            drop(entry);
            return self.open_lane(address, runtime, http1_only);
        }
        if let Some(lane) = entry.lane(runtime.id(), http1_only) {
            return Ok(Arc::clone(lane));
        }
        let is_gone = |lane: &mut Arc<Lane>| lane.runtime().is_gone();
        let gone: Vec<_> = entry.lanes.extract_if(.., is_gone).collect();
        let host = Arc::clone(&entry.host);
        let lane = Lane::new(host, watcher, dialer, default_target, http1_only);
        entry.lanes.push(Arc::clone(&lane));
        drop(entry);
        // Not only once: the watcher that was asked may have gone before it came to it.
        if self.opened.fetch_add(1, Ordering::Relaxed) >= self.may_open.load(Ordering::Relaxed) {
            lane.watcher.request_pass();
        }
        // Their watcher does so as well, but may come too late to find them here.
        for lane in gone {
            lane.retire();
        }
        Ok(lane)
    }

    fn entry(&self, server: Arc<ServerInfo>, settings: Arc<Settings>) -> Entry {
        Entry { host: Host::new(server, Arc::clone(&self.pool), settings), lanes: Vec::new() }
    }

    /// The settings of an address, which stay the same as long as it is known.
    fn settings_of(&self, address: &C::Address) -> Result<Arc<Settings>, Error> {
        let shared = self.pool.settings();
        let Some(by_address) = &self.by_address else { return Ok(Arc::clone(shared)) };
        let known = self.map.get(address).map(|entry| Arc::clone(entry.host.settings()));
        if let Some(known) = known {
            return Ok(known);
        }
        let Some(own) = by_address(address, shared) else { return Ok(Arc::clone(shared)) };
        own.check().map_err(|error| Error::settings(&name_of(address), error.of_address()))?;
        self.pool.note_settings(&own);
        Ok(Arc::new(own))
    }

    /// None if the runtime cannot run one.
    fn watcher(self: &Arc<Self>, runtime: &Handle) -> Option<Arc<Watcher>> {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| !watcher.runtime().is_gone());
        let here = |watcher: &&Arc<Watcher>| watcher.runtime().id() == runtime.id();
        if let Some(watcher) = watchers.iter().find(here) {
            return Some(Arc::clone(watcher));
        }
        if !has_timers() {
            return None;
        }
        let rounds: Weak<Self> = Arc::downgrade(self);
        let watcher = Watcher::start(runtime, rounds);
        watchers.push(Arc::clone(&watcher));
        Some(watcher)
    }

    /// Retires `address` and closes what is idle there; resolves when its last connection has closed and no request
    /// waits for one.
    pub(crate) async fn drain(&self, address: &C::Address) {
        let server = self.server_of(address);
        // Where they make no sense, nothing is open, and every request is refused already.
        let Ok(settings) = self.settings_of(address) else { return };
        let (host, lanes) = {
            let new = || self.entry(server, settings);
            let entry = self.map.entry(address.clone()).or_insert_with(new);
            entry.host.set_retired(true);
            (Arc::clone(&entry.host), entry.lanes.clone())
        };
        lanes.iter().for_each(|lane| lane.retire());
        host.vacated().await;
    }

    /// Retires what `keep` refuses and takes back what it keeps; gives the addresses that this has retired.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&C::Address) -> bool) -> Vec<C::Address> {
        let (mut addresses, mut lanes, mut named) = (Vec::new(), Vec::new(), Vec::new());
        // What the caller has given runs without a lock.
        let known: Vec<_> = self.map.iter().map(|entry| entry.key().clone()).collect();
        for address in known {
            let retired = !keep(&address);
            let Some(entry) = self.map.get(&address) else { continue };
            if !retired && entry.host.fails() {
                named.push(Arc::clone(&entry.host));
            }
            if entry.host.set_retired(retired) && retired {
                lanes.extend(entry.lanes.iter().cloned());
                drop(entry);
                addresses.push(address);
            }
        }
        lanes.iter().for_each(|lane| lane.retire());
        named.iter().for_each(|host| host.end_pause());
        addresses
    }

    /// Closes what is idle, to that address or to all.
    pub(crate) fn close_idle(&self, address: Option<&C::Address>) {
        let lanes = match address {
            None => self.lanes(|_| true),
            Some(address) => self.map.get(address).map_or(Vec::new(), |entry| entry.lanes.clone()),
        };
        for lane in lanes {
            // What comes back meanwhile is used, and is not idle for long.
            for _ in 0..lane.idle() {
                lane.close_oldest(Reason::Unwanted);
            }
        }
    }

    /// Ends the pause of an address; false if it has none.
    pub(crate) fn end_backoff(&self, address: &C::Address) -> bool {
        let host = self.map.get(address).map(|entry| Arc::clone(&entry.host));
        host.filter(|host| host.fails()).map(|host| host.end_pause()).is_some()
    }

    /// The server behind an address that need not be known.
    fn server_of(&self, address: &C::Address) -> Arc<ServerInfo> {
        ServerInfo::new(name_of(address), self.connector.target(address))
    }

    /// A request to `address`, which need not be known, has ended in an error of this kind; gives the server for observers.
    #[cold]
    pub(crate) fn note_failed(
        &self,
        address: Option<&C::Address>,
        kind: ErrorKind,
    ) -> Arc<ServerInfo> {
        let known = address.and_then(|address| self.map.get(address));
        if let Some(server) = known.map(|entry| Arc::clone(entry.host.server())) {
            server.counters().failed(kind);
            return server;
        }
        self.pool.forgotten().failed(kind);
        match address {
            Some(address) if self.pool.settings().observed.is_any() => self.server_of(address),
            _ => ServerInfo::nowhere(),
        }
    }

    pub(crate) fn pool(&self) -> &Arc<PoolState> {
        &self.pool
    }

    /// Every address that is known, with what there is.
    pub(crate) fn snapshot(&self) -> Vec<(C::Address, Stats)> {
        let mut all = Vec::with_capacity(self.map.len());
        for entry in &self.map {
            let mut stats = Stats::default();
            entry.add_to(&mut stats);
            all.push((entry.key().clone(), stats));
        }
        all
    }

    /// Closes all idle connections and fails all waiters; nothing becomes idle afterwards.
    pub(crate) fn close(&self) {
        self.pool.close();
        for lane in self.lanes(|_| true) {
            lane.retire();
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        let _counting = self.counting.lock();
        stats.add(self.pool.forgotten(), Holdings::default());
        for entry in &self.map {
            entry.add_to(&mut stats);
        }
        stats
    }

    pub(crate) fn stats_of(&self, address: &C::Address) -> Option<Stats> {
        let entry = self.map.get(address)?;
        let mut stats = Stats::default();
        entry.add_to(&mut stats);
        Some(stats)
    }

    /// The passes are as frequent as the settings of the addresses want that are left.
    fn note_own_settings(&self) {
        if self.by_address.is_none() {
            return;
        }
        let mut own: Vec<Arc<Settings>> = Vec::new();
        for entry in &self.map {
            let settings = entry.host.settings();
            if !Arc::ptr_eq(settings, self.pool.settings()) {
                own.push(Arc::clone(settings));
            }
        }
        self.pool.note_all_settings(own.iter().map(|own| &**own));
    }

    /// How many requests to an address are under way, or wait; none if the pool knows nothing of it.
    pub(crate) fn load_of(&self, address: &C::Address) -> usize {
        self.map.get(address).map_or(0, |entry| entry.load())
    }

    fn lanes(&self, wanted: impl Fn(&Arc<Lane>) -> bool) -> Vec<Arc<Lane>> {
        let mut lanes = Vec::new();
        for entry in &self.map {
            lanes.extend(entry.lanes.iter().filter(|lane| wanted(lane)).cloned());
        }
        lanes
    }

    fn all_of(&self, runtime: &Runtime) -> Vec<Arc<Lane>> {
        self.lanes(|lane| std::ptr::eq(&**lane.runtime(), runtime))
    }
}

impl<C: Connector> Rounds for Hosts<C> {
    fn lanes_of(&self, runtime: &Runtime) -> Vec<Arc<dyn Watched>> {
        self.all_of(runtime).into_iter().map(|lane| lane as Arc<dyn Watched>).collect()
    }

    /// What was learnt of a server is worth keeping for a while, but not of more than so many servers.
    fn forget_vacant(&self) {
        let (now, mut remembered) = (Instant::now(), 0);
        // Dropped without a lock, and told to the connector so.
        let (mut lanes, mut forgotten) = (Vec::new(), Vec::new());
        let counting = self.counting.lock();
        self.map.retain(|address, entry| {
            if !entry.is_vacant() {
                return true;
            }
            lanes.append(&mut std::mem::take(&mut entry.lanes));
            entry.host.forget_members();
            let learnt = entry.host.has_learnt(now);
            remembered += usize::from(learnt);
            // A server that answers out of step must not be trusted anew because there are many others.
            if learnt && (remembered <= MOST_REMEMBERED || entry.host.is_quarantined(now)) {
                return true;
            }
            // A vacant host no longer counts.
            self.pool.forgotten().absorb(entry.host.counters());
            forgotten.push(address.clone());
            false
        });
        drop(counting);
        self.note_own_settings();
        self.opened.store(0, Ordering::Relaxed);
        self.may_open.store(OPENED.max(self.map.len() / 4), Ordering::Relaxed);
        if !lanes.is_empty() {
            drop(lanes);
            self.pool.lru.remove_gone();
            self.pool.left_behind.remove_gone();
        }
        for address in forgotten {
            self.connector.forget(&address);
        }
    }

    fn between_passes(&self) -> (Duration, Duration) {
        self.pool.between_passes()
    }

    fn rank_idle(&self) {
        for lane in self.lanes(|_| true) {
            lane.rank_idle();
        }
    }

    fn retire_lanes_of(&self, runtime: &Runtime) {
        for lane in self.all_of(runtime) {
            lane.retire();
        }
    }
}

impl<C: Connector> Drop for Hosts<C> {
    /// The connector may outlive the pool.
    fn drop(&mut self) {
        for entry in &self.map {
            self.connector.forget(entry.key());
        }
    }
}

/// An address as errors name it.
pub(super) fn name_of(address: &impl Debug) -> Arc<str> {
    format!("{address:?}").into()
}
