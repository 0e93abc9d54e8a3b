//! The public trait of a backend, and what an error of a backend says about its peer.

mod absolute_form;
mod connected;
mod fault;
mod kernel_check;
mod open;
mod options;
mod partitioned;
mod resolve;
mod target;

pub(crate) use absolute_form::AbsoluteForm;
pub use connected::{Connected, Protocol};
pub use fault::Fault;
pub use kernel_check::KernelCheck;
pub use open::Connector;
pub use options::ConnectOptions;
pub use partitioned::{Partitioned, Tagged};
pub(crate) use resolve::Gone;
pub use resolve::{Resolved, Resolving};
pub use target::Target;
