//! Observers: what they are told of requests and connections, and what is counted without them.

mod carried;
mod counts;
mod followed;
mod recorded;
mod spans;

use std::sync::Arc;

use http::Request;
use parking_lot::Mutex;
use pool_core::{Event, Follower, Observer, RequestBody, RequestEvent, ServerInfo};

/// What observers were told of requests, in order.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// What was told since this was called last.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }

    fn note(&self, line: String) {
        self.0.lock().push(line);
    }
}

impl Observer for Log {
    fn observe(&self, _: &ServerInfo, _: &Event<'_>) {}

    fn follow(&self, _: &ServerInfo, request: &Request<RequestBody>) -> Option<Box<dyn Follower>> {
        self.note(format!("{} {}", request.method(), request.uri()));
        Some(Box::new(Followed(self.clone())))
    }
}

struct Followed(Log);

impl Follower for Followed {
    fn observe(&mut self, event: &RequestEvent<'_>) {
        self.0.note(match event {
            RequestEvent::Retried { error, .. } => format!("retried {}", error.kind()),
            RequestEvent::Answered { status, version, connection, .. } => {
                let number = connection.use_number();
                format!("answered {} {version:?} use {number}", status.as_u16())
            }
            RequestEvent::Ended { received, .. } => format!("ended {received}"),
            RequestEvent::Failed { error, received, .. } => {
                format!("failed {} {received}", error.kind())
            }
            RequestEvent::Dropped { received, .. } => format!("dropped {received}"),
            _ => format!("{event:?}"),
        });
    }
}
