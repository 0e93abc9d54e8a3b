//! How connections, runtimes and the pool itself begin, rest and end.

mod lifetimes;
mod operations;
mod parking;
mod runtimes;
mod shutdown;
mod watcher;
