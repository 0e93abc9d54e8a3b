//! The session tickets of each address, kept apart.
//!
//! rustls keeps tickets by server name, eight of them. Fifty backends behind one name would share those eight, and
//! nearly always be offered a ticket of another, which they cannot read. So each address gets a configuration of
//! its own, the same but for its session store; it goes when the pool forgets the address.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;

use crate::TlsAddress;
use crate::config::with_own_sessions;

/// Configurations by address.
#[derive(Debug)]
pub(crate) struct Tickets<A>(Mutex<HashMap<TlsAddress<A>, Arc<ClientConfig>>>);

impl<A: Clone + Eq + Hash> Tickets<A> {
    /// The configuration for an address, made of `config` where there is none yet.
    pub(crate) fn config(
        &self,
        address: &TlsAddress<A>,
        config: &Arc<ClientConfig>,
    ) -> Arc<ClientConfig> {
        let mut configs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = configs.get(address) {
            return Arc::clone(own);
        }
        let own = Arc::new(with_own_sessions(config));
        configs.insert(address.clone(), Arc::clone(&own));
        own
    }

    pub(crate) fn forget(&self, address: &TlsAddress<A>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }
}

impl<A> Default for Tickets<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
