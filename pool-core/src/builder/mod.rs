//! The settings of a pool, each with its default and the reason for it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `pool` | what concerns every pool, and how it is built |
//! | `response` | how long a response may take, how large it may be, and what becomes of one that no caller reads |
//! | `http2` | what concerns HTTP/2 connections |

mod http2;
mod pool;
mod response;

pub use pool::Builder;
