//! What is known of each address: its session tickets, kept apart, and the chain that its server has shown.
//!
//! rustls keeps tickets by server name, eight of them. Fifty backends behind one name would share those eight, and
//! nearly always be offered a ticket of another, which they cannot read. So each address gets a configuration of
//! its own, the same but for its session store; it goes when the pool forgets the address.
//!
//! Each session of rustls holds a chain of its own, two kilobytes or more. What this crate tells of connections shares the
//! last one of the address.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::TlsAddress;
use crate::config::with_own_sessions;
use crate::facts::Certificates;

#[derive(Debug)]
pub(crate) struct KnownServers<A>(Mutex<HashMap<TlsAddress<A>, Arc<Known>>>);

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) config: Arc<ClientConfig>,
    shown: Mutex<Option<Certificates>>,
}

impl<A: Clone + Eq + Hash> KnownServers<A> {
    /// What is known of an address; at first the `config`, with tickets of its own or not.
    pub(crate) fn get(
        &self,
        address: &TlsAddress<A>,
        config: &Arc<ClientConfig>,
        own_tickets: bool,
    ) -> Arc<Known> {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = servers.get(address) {
            return Arc::clone(known);
        }
        let config =
            if own_tickets { Arc::new(with_own_sessions(config)) } else { Arc::clone(config) };
        let known = Arc::new(Known { config, shown: Mutex::default() });
        servers.insert(address.clone(), Arc::clone(&known));
        known
    }

    pub(crate) fn forget(&self, address: &TlsAddress<A>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }
}

impl Known {
    /// A chain that was shown, in the memory of the last one if it is the same.
    pub(crate) fn share(&self, shown: &[CertificateDer<'static>]) -> Certificates {
        let mut last = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if **last == *shown => Arc::clone(last),
            _ => Arc::clone(last.insert(shown.into())),
        }
    }
}

impl<A> Default for KnownServers<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
