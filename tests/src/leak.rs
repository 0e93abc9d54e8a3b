//! The guard at the end of a test: what was opened is idle or closed, and all of it closes with the pool.

use crate::{Caller, eventually};

/// Checks that the pool has come to rest and that its counts agree with what the probe saw; then drops it
/// and waits until its last stream has closed.
///
/// # Panics
///
/// When a lease does not come back, a count is wrong, or a stream outlives its pool.
pub async fn ends_idle(caller: Caller) {
    let Caller { pool, watch, .. } = caller;
    // All of it at one look: a connection whose server has just gone is taken out of rest to be looked at.
    eventually("the pool comes to rest, and none is lost", || {
        let stats = pool.stats();
        let resting = stats.idle + stats.parked;
        stats.leased == 0
            && stats.opening == 0
            && resting == watch.open()
            && stats.opened == resting as u64 + stats.closed_total()
    })
    .await;
    let stats = pool.stats();
    assert_eq!(stats.opened, watch.opened(), "each stream is counted once: {stats:?}");
    drop(pool);
    watch.until_open(0).await;
}
