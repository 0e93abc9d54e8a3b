//! Observers that come with the crate: what they are told, they tell in the words of others.
//!
//! This layer may import `report` and `request` (only `RequestBody`) and `sync`. It must not know a pool.
//!
//! | file | what it is |
//! | --- | --- |
//! | `lease_watch` | connections which were lent for too long |
//! | `conventions` | what OpenTelemetry calls a method and a version |
//! | `tracing` | requests as spans, connections as events; feature `tracing` |
//! | `metrics` | durations, counts and gauges for the facade `metrics`; feature `metrics` |
//!
//! A program hands them to `builder`.

#[cfg(any(feature = "metrics", feature = "tracing"))]
mod conventions;
mod lease_watch;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "metrics")]
pub use self::metrics::MetricsObserver;
#[cfg(feature = "tracing")]
pub use self::tracing::TracingObserver;
pub use lease_watch::{LeaseWatch, OldLease};
