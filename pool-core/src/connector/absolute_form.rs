//! That a connection ends at a forwarding proxy, to which each request names the whole target.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

/// Requests over the connection go out in absolute form, and with what the proxy asks of its clients.
#[derive(Clone)]
pub(crate) struct AbsoluteForm(Arc<Option<HeaderValue>>);

impl AbsoluteForm {
    pub(crate) fn new(mut authorization: Option<HeaderValue>) -> Self {
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Self(Arc::new(authorization))
    }

    /// The `Proxy-Authorization` of each request.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.0.as_ref().as_ref()
    }
}

impl fmt::Debug for AbsoluteForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbsoluteForm").field("authorized", &self.0.is_some()).finish()
    }
}
