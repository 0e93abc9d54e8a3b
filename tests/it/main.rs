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
mod informational;
mod layers;
mod lifecycle;
mod limits;
mod protocols;
mod quarantine;
mod refusals;
mod retry;
mod reuse;
mod settings;
mod task_budget;
mod tcp;
mod timeouts;
mod tls;
mod upgrades;
