//! Names: an address of host and port, resolved by the system or by a resolver of the caller's own.
//!
//! | file | what it is |
//! | --- | --- |
//! | `name` | the address, checked and in one spelling |
//! | `resolve` | what answers for names: the trait, and the resolver of the system |
//! | `connector` | opens TCP connections to what a name stands for |
//! | `hickory` | a resolver in Rust, behind the feature `hickory` |

mod connector;
#[cfg(feature = "hickory")]
mod hickory;
mod name;
mod resolve;

pub use connector::NamesConnector;
#[cfg(feature = "hickory")]
pub use hickory::HickoryResolver;
#[cfg(feature = "hyper-util")]
pub(crate) use name::has_unreadable_port;
pub use name::{Name, NameError};
pub use resolve::{Resolve, SystemResolver};
