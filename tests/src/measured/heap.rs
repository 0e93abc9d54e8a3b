//! The heap as dhat counts it. A process counts only if its program was built to: counting takes longer than
//! most of what is counted.

/// What has been allocated so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heap {
    pub(super) allocations: u64,
    pub(super) bytes: usize,
}

impl Heap {
    /// None where nobody counts.
    pub(super) fn now(counted: bool) -> Option<Self> {
        counted.then(|| {
            let stats = dhat::HeapStats::get();
            Self { allocations: stats.total_blocks, bytes: stats.curr_bytes }
        })
    }
}
