//! The public trait of a backend, and what an error of a backend says about its peer.

mod absolute_form;
mod fault;
mod open;
mod options;
mod partitioned;
mod resolve;

pub(crate) use absolute_form::AbsoluteForm;
pub use fault::Fault;
pub use open::{Connected, Connector, KernelCheck, Protocol, Target};
pub use options::ConnectOptions;
pub use partitioned::{Partitioned, Tagged};
pub(crate) use resolve::Gone;
pub use resolve::{Resolved, Resolving};
