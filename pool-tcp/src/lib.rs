//! The plain socket backends of [`pool_core`]: TCP, and Unix sockets where the system has them.
//!
//! With the feature `proxy` also connections through proxies, `ProxyConnector`, and headers of the PROXY protocol,
//! `ProxyProtocolConnector`, both over any other connector.
//!
//! With the feature `hyper-util` also an adapter for any connector of that family, `ServiceConnector`, which with
//! `hyper-rustls` knows the socket below TLS as well.
//!
//! # Examples
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use pool_core::Pool;
//! use pool_tcp::TcpConnector;
//!
//! # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let pool = Pool::new(TcpConnector::new());
//! let address: SocketAddr = "127.0.0.1:8080".parse()?;
//! let response = pool.http(&address, http::Request::get("/").body(String::new())?).await?;
//! println!("{}", response.status());
//! # Ok(()) }
//! ```
//!
//! # Which options has a socket?
//!
//! Those of the [`Builder`], for all addresses of a pool. What makes two connections different peers (the source, the
//! interface, the mark) can belong to the address instead: see [`TcpAddress`].
//!
//! # What does the kernel know of a connection?
//!
//! Its round trip and its retransmits (`TCP_INFO`) are not told: no well-kept crate reads them in safe code. The
//! socket of a [`TcpStream`] or a [`Checked`] is at hand in a connector of your own, by `get_ref`.
//!
//! # On which systems does it work?
//!
//! Linux is the one that all tests run on. For macOS and Windows it is checked at each change that everything compiles, and no
//! more. What only some systems have exists only there and says so: the interface, the mark, fast open and abstract names on
//! Linux and Android, Unix sockets on Unix. Where a system does not know a setting that is there everywhere, its documentation
//! says what becomes of it.

#![cfg_attr(docsrs, feature(doc_cfg))] // docs.rs says which feature or system an item needs

mod address;
mod builder;
mod checked;
mod connect;
mod connector;
mod keep_alive;
mod names;
mod options;
#[cfg(feature = "proxy")]
mod proxy;
mod runtime;
#[cfg(feature = "hyper-util")]
mod service;
mod step;
mod stream;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_address;
mod user_timeout;

pub use address::{Peer, TcpAddress};
pub use builder::Builder;
pub use checked::{Checked, Socket};
pub use connector::TcpConnector;
#[cfg(feature = "hickory")]
pub use names::HickoryResolver;
pub use names::{Name, NameError, NamesConnector, Resolve, SystemResolver};
#[cfg(feature = "proxy")]
pub use proxy::{
    Proxy, ProxyAddress, ProxyConnector, ProxyError, ProxyProtocolAddress, ProxyProtocolConnector,
    ProxyProtocolVersion, ProxyStream,
};
#[cfg(feature = "hyper-util")]
pub use service::{
    LendSocket, LentSocket, NotAnAddress, ServiceAddress, ServiceConnector, ServiceStream,
    UriAddress,
};
pub use stream::TcpStream;
#[cfg(unix)]
pub use unix::UnixConnector;
#[cfg(unix)]
pub use unix_address::UnixAddress;
