//! What a measured process tells: one line of JSON.

use serde::{Deserialize, Serialize};

/// The figures of one process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// The client's name.
    pub client: String,
    /// How many requests were measured.
    pub requests: u64,
    /// Nanoseconds from the first of them to the last.
    pub wall_ns: u64,
    /// Nanoseconds of processor time, user and system, of the whole process meanwhile.
    pub cpu_ns: u64,
    /// The latency in nanoseconds that half of them kept below, if it was taken.
    pub p50_ns: Option<u64>,
    /// The latency in nanoseconds that 99 of 100 kept below, if it was taken.
    pub p99_ns: Option<u64>,
    /// Allocations meanwhile, if they were counted.
    pub allocations: Option<u64>,
    /// Connections that the process opened from its start to its end.
    pub connections: u64,
    /// Bytes of heap for each connection at rest, if they were counted.
    pub idle_bytes: Option<u64>,
    /// The same when the connections were parked, if the client parks.
    pub parked_bytes: Option<u64>,
}

impl Figures {
    /// Nanoseconds of processor time for each request.
    pub fn cpu(&self) -> f64 {
        self.cpu_ns as f64 / self.requests as f64
    }

    /// Requests for each second.
    pub fn throughput(&self) -> f64 {
        self.requests as f64 / (self.wall_ns as f64 / 1e9)
    }
}
