//! The settings of a pool, each with its default and the reason for it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `pool` | what concerns every pool, and how it is built |
//! | `address` | what one address may have of its own |
//! | `response` | how long a response may take, how large it may be, and what becomes of one that no caller reads |
//! | `http2` | what concerns HTTP/2 connections |

mod address;
mod http2;
mod pool;
mod response;

pub use address::AddressSettings;
pub use pool::Builder;
