//! The plain TCP backend of [`pool_core`].
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

mod builder;
mod connector;
mod keep_alive;
mod names;
mod runtime;
mod stream;
mod user_timeout;

pub use builder::Builder;
pub use connector::TcpConnector;
#[cfg(feature = "hickory")]
pub use names::HickoryResolver;
pub use names::{Name, NameError, NamesConnector, Resolve, SystemResolver};
pub use stream::TcpStream;
