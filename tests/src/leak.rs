//! The guard at the end of a test: what was opened is idle or closed, and all of it closes with the pool.

use crate::{Backend, Caller, eventually};

/// Checks that the pool has come to rest and that its counts agree with what the probe saw; then drops it
/// and waits until its last stream has closed.
///
/// # Panics
///
/// When a lease does not come back, a count is wrong, or a stream outlives its pool.
pub async fn ends_at_rest<B: Backend>(caller: Caller<B>) {
    let Caller { pool, watch, .. } = caller;
    eventually("the pool comes to rest", || {
        let stats = pool.stats();
        stats.leased == 0 && stats.opening == 0 && stats.idle + stats.parked == watch.open()
    })
    .await;
    let stats = pool.stats();
    assert_eq!(stats.opened, watch.opened(), "each stream is counted once: {stats:?}");
    let resting = (stats.idle + stats.parked) as u64;
    assert_eq!(stats.opened, resting + stats.closed_total(), "none is lost: {stats:?}");
    drop(pool);
    watch.until_open(0).await;
}
