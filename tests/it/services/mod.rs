//! A pool as services: futures that can be spawned, back-pressure, and tower around it.

mod line;
mod routes;
mod tower;

use std::pin::pin;

use ::tower::{Service, ServiceExt};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use pool_core::ToAddress;
use pooled_fetch_tests::{AnyConnector, Caller, Probe, poll_once};

/// A service to the one server there is.
pub(crate) type To = ToAddress<Probe<AnyConnector>>;

pub(crate) fn to(caller: &Caller) -> To {
    caller.pool.to(caller.address.clone())
}

/// Whether it is ready; if not, it stands in line from here on.
pub(crate) fn is_ready(service: &mut To) -> bool {
    poll_once(pin!(service.turn())).is_ready()
}

/// The requests of these tests.
pub(crate) type Get = Request<Full<Bytes>>;

/// Waits until tower finds the service ready.
pub(crate) async fn ready<S: Service<Get>>(service: &mut S) -> Result<&mut S, S::Error> {
    ServiceExt::<Get>::ready(service).await
}
