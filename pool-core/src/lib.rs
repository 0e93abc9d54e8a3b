//! A connection pool.

mod body;
mod builder;
mod connection;
mod connector;
mod error;
mod head;
mod host;
mod hosts;
mod idle;
mod lease;
mod pool;
mod request_body;
mod stats;
mod stream;
mod unfinished;
mod waker;
mod watcher;

pub use async_trait::async_trait;
pub use body::Body;
pub use builder::Builder;
pub use connector::{Connected, Connector, KernelCheck, Target};
pub use error::{BuildError, Error, ErrorKind};
pub use pool::Pool;
pub use stats::{Reason, Stats};
