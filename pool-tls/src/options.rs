//! What a connector does beside its configuration.

use std::sync::Arc;
use std::time::Duration;

use crate::error::BoxError;
use crate::{TlsAddress, TlsFacts};

pub(crate) struct Options<A> {
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) tickets_by_address: bool,
    pub(crate) check: Option<Check<A>>,
}

/// Lets a server in or not.
pub(crate) type Check<A> =
    Arc<dyn Fn(&TlsAddress<A>, &TlsFacts) -> Result<(), BoxError> + Send + Sync>;

impl<A> Options<A> {
    pub(crate) fn set_check<E: Into<BoxError>>(
        &mut self,
        check: impl Fn(&TlsAddress<A>, &TlsFacts) -> Result<(), E> + Send + Sync + 'static,
    ) {
        self.check =
            Some(Arc::new(move |address, facts| check(address, facts).map_err(Into::into)));
    }
}

impl<A> Default for Options<A> {
    fn default() -> Self {
        Self { handshake_timeout: None, tickets_by_address: true, check: None }
    }
}

impl<A> Clone for Options<A> {
    fn clone(&self) -> Self {
        Self { check: self.check.clone(), ..*self }
    }
}
