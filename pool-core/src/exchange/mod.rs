//! One request over one lease: the future, both versions of HTTP, and the response body.
//!
//! This layer may import `lanes`, `conn`, `policy`, `report`, `request`, `io` and `connector`. It must not
//! know the map of addresses beyond `Hosts::lane_for`, `Hosts::candidates`, `Hosts::wait` and `Hosts::wait_any`.
//!
//! | file | what it is |
//! | --- | --- |
//! | `request_future` | a request gets a lease, goes over its connection, and is perhaps sent again |
//! | `any_address` | a request that may go to any of several addresses |
//! | `pending` | the request between its attempts |
//! | `http1` | one request over an HTTP/1 connection, up to the head of its response |
//! | `http1_framing` | a response that contradicts itself about its length is none |
//! | `unfitting` | what the libraries let through, and a gateway must not pass on |
//! | `http1_failed` | how that ends without a response |
//! | `response_body` | the response body, and when its connection is checked in |
//! | `body_state` | how far a response body has come |
//! | `arrived` | what hyper holds of a message when it has done with it |
//! | `drain` | a body that was dropped early is read on for a little while |
//! | `http2`, `http2_failed` | one request over one stream, up to the head of its response; how that ends without one |
//! | `open_stream` | a stream whose caller has gone: reset, or read to its end |
//! | `stream_body` | the body of a response over a stream |
//! | `upgrade` | what a connection or a stream becomes after an upgrade or a tunnel |
//! | `bookkeeping` | what is noted: begun, stale, and what a failure tells of other connections |
//! | `timers` | the limits for the head |
//! | `along` | what goes along with an exchange to the end of its response: its bounds, and who follows it |
//! | `bounds` | the total time, and the time and the rate of a body |
//!
//! `pool` takes the future of a request and the body of its response.

mod along;
mod any_address;
mod arrived;
mod body_state;
mod bookkeeping;
mod bounds;
mod drain;
mod http1;
mod http1_failed;
mod http1_framing;
mod http2;
mod http2_failed;
mod open_stream;
mod pending;
mod request_future;
mod response_body;
mod stream_body;
mod timers;
mod unfitting;
pub mod upgrade;

pub(crate) use any_address::send_to_any;
pub(crate) use pending::PendingRequest;
#[cfg(feature = "tower")]
pub(crate) use request_future::fail;
pub(crate) use request_future::{send, send_over, send_over_held};
pub use response_body::Body;
