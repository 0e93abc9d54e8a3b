//! One address for every server: in the clear, over TLS, or behind a Unix socket.
//!
//! | file | what it is |
//! | --- | --- |
//! | `address` | the address, which can be made from a URI |
//! | `connector` | opens streams to it |
//! | `stream` | what is opened |

mod address;
mod connector;
mod stream;

pub use address::{Endpoint, EndpointError};
pub use connector::EndpointConnector;
pub use stream::EndpointStream;
