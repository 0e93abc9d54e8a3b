//! As many processes at once as there are processors, for what is counted and not timed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::Error;
use crate::progress::Progress;

/// The results in the order of the jobs.
pub(crate) fn all<J: Sync, R: Send>(
    jobs: &[J],
    progress: &Progress,
    count: impl Fn(&J) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let results = Mutex::new(Vec::new());
    let (next, workers) = (AtomicUsize::new(0), thread::available_parallelism()?.get());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { return };
                    let result = count(job);
                    if let Ok(mut results) = results.lock() {
                        results.push((number, result));
                    }
                    progress.step();
                }
            });
        }
    });
    let mut results = results.into_inner().map_err(|_| "a worker panicked")?;
    results.sort_by_key(|result| result.0);
    results.into_iter().map(|result| result.1).collect()
}
