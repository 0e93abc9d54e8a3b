//! Connections through proxies, over any other connector.
//!
//! | file | what it is |
//! | --- | --- |
//! | `address` | a proxy, and a target behind it |
//! | `connector` | opens the way to the proxy, and asks it for the target |
//! | `handshake` | how a proxy is asked |
//! | `stream` | the stream, which gives no byte of the target to the handshake |
//! | `error` | which step has failed, and what the proxy said |
//! | `protocol` | the PROXY protocol, which tells a server whom a connection is for |

mod address;
mod connector;
mod error;
mod handshake;
mod protocol;
mod stream;

pub use address::{Proxy, ProxyAddress};
pub use connector::ProxyConnector;
pub use error::ProxyError;
pub use protocol::{ProxyProtocolAddress, ProxyProtocolConnector, ProxyProtocolVersion};
pub use stream::ProxyStream;
