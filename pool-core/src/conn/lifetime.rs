//! For how long, for how many requests, and until when its address is gone, a connection may be used.

use tokio::time::Instant;

use crate::connector::Gone;
use crate::report::Reason;
use crate::settings::{ConnectionSettings, jittered};

#[derive(Clone, Debug)]
pub(super) struct Lifetime {
    retires: Option<Instant>,
    max_uses: Option<u64>,
    gone: Option<Gone>,
}

impl Lifetime {
    /// Of a connection that is open since `now`.
    pub(super) fn new(settings: &ConnectionSettings, gone: Option<Gone>, now: Instant) -> Self {
        let ConnectionSettings { max_lifetime, lifetime_jitter, max_uses, .. } = *settings;
        let retires =
            max_lifetime.and_then(|lifetime| now.checked_add(jittered(lifetime, lifetime_jitter)));
        Self { retires, max_uses, gone }
    }

    /// It is over.
    pub(super) fn end(&mut self) {
        self.max_uses = Some(0);
    }

    /// Why a connection that has carried `uses` requests may carry no further one.
    #[inline]
    pub(super) fn used_up(&self, uses: u64, now: Instant) -> Option<Reason> {
        if self.max_uses.is_some_and(|limit| uses >= limit) {
            Some(Reason::MaxUses)
        } else if self.retires.is_some_and(|retires| retires <= now) {
            Some(Reason::MaxLifetime)
        } else if self.gone.as_ref().is_some_and(Gone::is_set) {
            Some(Reason::AddressGone)
        } else {
            None
        }
    }
}
