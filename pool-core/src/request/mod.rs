//! A request as a value: checked, framed, copied, and judged repeatable.
//!
//! This layer may import `io` (for the progress of a body), `connector` (for the target) and `sync`. It must not know
//! connections, hosts or errors of the pool.
//!
//! | file | what it is |
//! | --- | --- |
//! | `head` | a head that contradicts itself is refused; a head that is sent is fitted to its connection |
//! | `absolute_form` | what a proxy that forwards requests is told: the whole target, and the client's credentials |
//! | `framing` | what a head says of how it is to be sent |
//! | `hop_by_hop` | what a head says of another connection is not passed on; HTTP/1.0 for those who ask for it |
//! | `repeated` | fields that stand more than once and go out as one |
//! | `trimmed` | values without blanks around them, for HTTP/2 |
//! | `body` | the one request body that hyper sees |
//! | `erased_body` | a body of any type behind that one: its length, its gate |
//! | `replayable` | a body that its caller can make anew |
//! | `informational`, `gate` | 1xx answers; the gate of a body that waits for `100` |
//! | `extended_connect` | a stream of HTTP/2 that is to speak another protocol |
//! | `saved` | the copy by which a request is sent again |
//! | `retry` | the rule by which a request is sent again, as a table |
//! | `limits` | how long a response may take and how fast its body must come: what a request carries for itself |
//! | `reuse` | which connections a request may go over: what a request carries for itself |
//!
//! `conn` takes the body, the copy and the facts of a head; `exchange` checks and fits heads, and asks the rule; `lanes`
//! takes the `DefaultTarget` of an address.

mod absolute_form;
mod body;
mod erased_body;
mod extended_connect;
mod framing;
mod gate;
mod head;
mod hop_by_hop;
mod informational;
mod limits;
mod repeated;
mod replayable;
mod retry;
mod reuse;
mod saved;
mod trimmed;

pub use body::RequestBody;
pub(crate) use extended_connect::ExtendedConnect;
pub use extended_connect::extended_connect;
pub(crate) use framing::HeadFacts;
pub(crate) use gate::Gate;
pub(crate) use head::{DefaultTarget, check_head, check_secure, fit_http1, fit_http2};
pub use hop_by_hop::Http10;
pub(crate) use hop_by_hop::is_hop_by_hop;
pub use informational::on_informational;
pub(crate) use informational::{Interim, route_informational};
pub(crate) use limits::Own;
pub use limits::{LeastRate, body_timeout, deadline, least_rate, response_timeout, total_timeout};
pub(crate) use replayable::BoxError;
pub use replayable::ReplayableBody;
pub(crate) use retry::{
    Failure, REFUSED_TRIES, STALE_TRIES, Verdict, is_idempotent, may_repeat, pause_after_refusals,
};
pub(crate) use reuse::Http1Only;
pub use reuse::{Reuse, http1_only, reuse};
pub(crate) use saved::SavedRequest;
