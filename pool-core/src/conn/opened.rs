//! What is known of a stream that was just opened.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

use super::hold::Hold;
use super::lifetime::Lifetime;
use crate::connector::{AbsoluteForm, Gone, KernelCheck};
use crate::report::{Established, ServerInfo};
use crate::settings::ConnectionSettings;

pub(crate) struct Opened {
    pub(super) established: Established,
    pub(super) kernel_check: Option<KernelCheck>,
    pub(super) absolute_form: Option<AbsoluteForm>,
    pub(super) lifetime: Lifetime,
    pub(super) max_head: usize,
    pub(super) max_fields: Option<NonZeroU16>,
    pub(super) hold: Box<dyn Hold>,
}

impl Opened {
    /// The connection of that `id`, which is open since `now` and holds `hold`.
    pub(crate) fn new(
        id: u64,
        (local_address, peer_address): (Option<SocketAddr>, Option<SocketAddr>),
        (extensions, server): (Extensions, Arc<ServerInfo>),
        (now, connect_time): (Instant, Duration),
        (kernel_check, gone): (Option<KernelCheck>, Option<Gone>),
        settings: &ConnectionSettings,
        hold: Box<dyn Hold>,
    ) -> Self {
        Self {
            established: Established {
                id,
                local_address,
                peer_address,
                connect_time,
                extensions,
                server,
            },
            kernel_check,
            absolute_form: None,
            lifetime: Lifetime::new(settings, gone, now),
            max_head: settings.max_response_head,
            max_fields: settings
                .max_response_fields
                .and_then(|most| NonZeroU16::new(u16::try_from(most).unwrap_or(u16::MAX))),
            hold,
        }
    }

    /// The stream ends at a proxy that forwards requests, if a form is given.
    pub(crate) fn with_absolute_form(mut self, form: Option<AbsoluteForm>) -> Self {
        self.absolute_form = form;
        self
    }
}
