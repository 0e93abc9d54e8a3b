//! A pool as services: their futures are owned, and can be spawned.
//!
//! | file | what it is |
//! | --- | --- |
//! | `to` | requests to one address, with back-pressure |
//! | `future` | the future of such a request |
//! | `any` | requests that say where they go; with the feature `tower` |
//! | `traits` | what tower and tonic know these as; likewise |

#[cfg(feature = "tower")]
mod any;
mod future;
mod to;
#[cfg(feature = "tower")]
mod traits;

#[cfg(feature = "tower")]
pub use any::{PoolService, To};
pub use future::ResponseFuture;
pub use to::ToAddress;
