//! gRPC over a pool, with tonic.
//!
//! | file | what it is |
//! | --- | --- |
//! | `channel` | what tonic's clients take as their transport |
//! | `timeout` | the time that a call has, as its head tells it |
//! | `status` | what an error of the pool is in gRPC |

mod channel;
mod status;
mod timeout;

pub use channel::{GrpcBody, GrpcChannel, GrpcFuture};
pub use status::grpc_status;
