//! Servers that say anything at all: whatever bytes come, and in whatever pieces, the law of the pool holds.
//!
//! ```console
//! $ cargo test --release --package pooled-fetch-tests --test fuzz
//! $ ARBTEST_BUDGET_MS=3600000 cargo test --release --package pooled-fetch-tests --test fuzz -- --nocapture
//! ```
//!
//! The second command is the longer run. A failure prints the seed of its smallest input, for `ARBTEST_SEED`. The answers
//! that are changed stand in `corpus/`; what once broke the law is added there.
//!
//! The law: no panic; no poll that reads more than a bound; no more memory than a bound; a response that is told to be
//! whole is the one that RFC 9112 6.3, or RFC 9113 8.1, makes of the bytes; no byte of one answer in another's response;
//! and at the end no connection that is lent, lost or counted wrongly.

mod changes;
mod frames;
mod http1;
mod http2;
mod law;
mod server;

use peak_alloc::PeakAlloc;

/// Counts what is allocated, without unsafe code of ours.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;
