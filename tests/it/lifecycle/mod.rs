//! How connections, runtimes and the pool itself begin, rest and end.

mod by_hand;
mod forgetting;
mod held;
mod keep_alive;
mod lifetimes;
mod observer;
mod operations;
mod parking;
mod parking_time;
mod runtimes;
mod shutdown;
mod unfit_runtimes;
mod watcher;
mod without_runtime;
