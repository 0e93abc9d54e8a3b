//! What the pool promises, one file per promise, each held over every backend that it concerns.

mod backoff;
mod body;
mod cancel;
mod concurrency;
mod connection_info;
mod errors;
mod facade;
mod failing_bodies;
mod framing;
mod grpc;
mod http2;
mod idle_limits;
mod informational;
mod lifecycle;
mod limits;
mod protocols;
mod refusals;
mod regressions;
mod retry;
mod reuse;
mod tcp;
mod timeouts;
mod tls;
mod upgrades;
