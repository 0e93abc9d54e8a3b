//! The settings of a pool, each with its default and the reason for it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `pool` | what concerns every pool, and how it is built |
//! | `http2` | what concerns HTTP/2 connections |

mod http2;
mod pool;

pub use pool::Builder;
