//! Connectors of the hyper-util family as backends of the pool.
//!
//! | file | what it is |
//! | --- | --- |
//! | `connector` | the one adapter |
//! | `address` | what such a service is called with, and what that means in HTTP |
//! | `stream` | its stream, which can be made to ask the kernel |
//! | `socket` | the socket below its stream, lent for that question |

mod address;
mod connector;
mod socket;
mod stream;

pub use address::{NotAnAddress, ServiceAddress, UriAddress};
pub use connector::ServiceConnector;
pub use socket::{LendSocket, LentSocket};
pub use stream::ServiceStream;
