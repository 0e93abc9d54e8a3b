//! What a host does with room for connections: counts it, takes it from idle ones and from dials that were left behind,
//! and offers it to its members.

use std::ptr::addr_eq;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use super::host::Host;
use super::member::{Member, Turn};
use super::pool_state::raise_below;

impl Host {
    pub(crate) fn add_member(&self, member: Weak<dyn Member>) {
        let mut members = self.members.lock();
        members.retain(|member| member.strong_count() > 0);
        members.push(member);
    }

    /// Its members go, and with this the memory that they had.
    pub(crate) fn forget_members(&self) {
        *self.members.lock() = Vec::new();
    }

    pub(super) fn members(&self) -> Vec<Arc<dyn Member>> {
        self.members.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether a connection is open that may be checked in.
    pub(crate) fn has_connections(&self) -> bool {
        self.counters().are_open()
    }

    fn limit(&self) -> Option<usize> {
        self.settings().max_connections_per_address
    }

    /// Counts one more open connection, unless the address is full.
    pub(super) fn add_open(&self) -> bool {
        raise_below(&self.open, self.limit())
    }

    pub(super) fn remove_open(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room_here() > 0
    }

    fn room_here(&self) -> usize {
        let left = |limit: usize| limit.saturating_sub(self.open.load(Ordering::SeqCst));
        self.limit().map_or(usize::MAX, left)
    }

    /// For how many more connections all limits have room.
    pub(crate) fn room(&self) -> usize {
        self.room_here().min(self.pool.room())
    }

    /// Whether one more idle connection would be one too many.
    pub(crate) fn is_full_of_idle(&self) -> bool {
        self.settings().max_idle_per_address.is_some_and(|limit| self.idle() >= limit)
    }

    /// For how many more connections there is room to a member of which so many are idle, in place of one that is idle in
    /// another member if need be.
    pub(crate) fn room_for_dials(&self, idle: usize) -> usize {
        match self.room_here() {
            0 => usize::from(self.idle() > idle),
            here => here.min(self.pool.room()),
        }
    }

    /// Whether the total limit is reached by connections of other hosts.
    pub(crate) fn is_kept_out_by_others(&self) -> bool {
        let open = self.open.load(Ordering::SeqCst);
        self.room_here() > 0 && !self.pool.has_room() && open < self.pool.open()
    }

    /// How many connections are idle, in all runtimes.
    pub(crate) fn idle(&self) -> usize {
        self.members().iter().map(|member| member.idle()).sum()
    }

    /// Closes an idle connection of this host, in any runtime, because a limit wants its place.
    pub(crate) fn evict(&self) -> bool {
        self.members().iter().any(|member| member.evict_oldest())
    }

    /// Of the dials for which no request waits any more, only the oldest goes on, in whichever runtime it is; none where
    /// what it opens would close at once.
    pub(crate) fn keep_oldest_left_behind(&self) {
        let members = self.members();
        let begun = members.iter().map(|member| member.left_behind_since());
        let oldest = begun.enumerate().filter_map(|(at, since)| Some((since?, at))).min();
        let Some((_, oldest)) = oldest else { return };
        for (at, member) in members.iter().enumerate() {
            let closes = self.is_retired() || self.pool.is_closed();
            let keep = usize::from(at == oldest && !closes);
            member.end_left_behind(keep, usize::MAX);
        }
    }

    /// Ends a dial to this address for which no request waits, because its limit wants the place.
    pub(crate) fn end_one_left_behind(&self) -> bool {
        self.members().iter().any(|member| member.end_left_behind(0, 1))
    }

    /// Whether another member wants the place of a connection that is idle in `member`.
    ///
    /// A member that was told to dial checks for itself when its watcher runs; if its runtime stands still, it costs
    /// the others no connection meanwhile. The caller's fence stands between storing the connection and this check.
    pub(crate) fn is_wanted_beside(&self, member: &dyn Member) -> bool {
        let wants = |other: &Arc<dyn Member>| {
            !addr_eq(Arc::as_ptr(other), member)
                && other.wants_dial()
                && !other.marks().is_dial_requested()
        };
        self.limit().is_some()
            && self.waiting.load(Ordering::SeqCst) > 0
            && self.members().iter().any(wants)
    }

    /// Tells members that were refused a connection, as far as there is room now.
    ///
    /// Where there is none, an idle connection closes, or a dial ends for which no request waits, for a member that has
    /// just joined the limit queue, or has become its first: no connection was stored on its account.
    pub(crate) fn offer_room(&self) {
        // Between counting down, or joining, and the check.
        fence(Ordering::SeqCst);
        self.changes.tell();
        if self.pool.has_room() {
            for member in self.pool.limit_queue.first_of_each_runtime() {
                member.request_dial(Turn::Granted);
            }
        } else {
            self.pool.make_way();
        }
        if self.limit().is_some() && self.waiting.load(Ordering::SeqCst) > 0 {
            // The limit queue tells its own members.
            let wants = |member: &Arc<dyn Member>| {
                member.wants_dial() && !member.marks().is_in_limit_queue()
            };
            let mut wanting = self.members().into_iter().filter(wants).peekable();
            if self.has_room() {
                wanting.for_each(|member| member.request_dial(Turn::Granted));
            } else if wanting.peek().is_some() {
                self.end_one_left_behind();
            }
        }
    }
}
