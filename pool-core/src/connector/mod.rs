//! The public trait of a backend, and what an error of a backend says about its peer.

mod fault;
mod open;
mod options;

pub use fault::Fault;
pub use open::{Connected, Connector, KernelCheck, Protocol, Target};
pub use options::ConnectOptions;
