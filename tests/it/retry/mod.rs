//! A request that meets a connection which its server has given up is sent again if it may be, and never otherwise.

mod attempts;
mod http2;
mod rule;
mod stale;
