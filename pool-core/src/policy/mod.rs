//! What is counted, allowed and learnt about each address.
//!
//! This layer may import `report`, `settings`, `connector` (what a resolver answers) and `sync`. It must not know connections, requests or HTTP; it knows a
//! lane only as a `Member`. Each rule takes the time as an argument, so that it can be tested without a clock.
//!
//! | file | what it is |
//! | --- | --- |
//! | `host` | what the pool knows about one address, whatever the type of the address |
//! | `room` | what a host does with room for connections: counts, evicts, offers |
//! | `permit` | the right to open one connection, then the count of it |
//! | `pool_state` | what all hosts of a pool share: settings, total counts, the closed flag |
//! | `limit_queue` | members that the total limit keeps waiting |
//! | `lru` | which idle connection of all hosts has been idle longest |
//! | `member` | the part of a host in one runtime, as this layer sees it |
//! | `runtime` | one runtime, and whether its watcher is needed |
//! | `outage`, `attempt` | an address that fails; one dial, and what it shows of its address |
//! | `peers` | the socket addresses behind a name: which is tried next, which are gone |
//! | `changes` | tells those that stand in line of what changes at an address |
//! | `left_behind` | dials for which no request waits any more |
//! | `siblings`, `doubt`, `trial` | what one failed connection tells of the idle ones; what a host does then; how it finds out |
//! | `quarantine` | an address whose server answers out of step |
//! | `idle_limit` | after how long the server closes idle connections, as it has shown |
//! | `retry_budget` | how many requests that had reached an address may be sent again |
//!
//! `lanes` takes hosts, permits, runtimes and attempts, and is a `Member`; `exchange` notes at the host what it has learnt.

mod attempt;
mod changes;
mod doubt;
#[cfg(test)]
mod fake_member;
mod host;
mod idle_limit;
mod left_behind;
mod limit_queue;
mod lru;
mod member;
mod outage;
mod peers;
mod permit;
mod pool_state;
mod quarantine;
mod retry_budget;
mod room;
mod runtime;
mod siblings;
mod trial;

pub(crate) use attempt::Attempt;
pub(crate) use host::Host;
pub(crate) use member::{Marks, Member, Turn};
pub(crate) use outage::HANGS;
pub(crate) use peers::Tried;
pub(crate) use permit::{Permit, Refusal};
pub(crate) use pool_state::PoolState;
pub(crate) use retry_budget::RetryToken;
pub(crate) use runtime::Runtime;
pub(crate) use siblings::Standing;
pub(crate) use trial::Trial;
