//! The heap as dhat counts it. A process counts only if its program was built to: counting takes longer than
//! most of what is counted.

/// What has been allocated so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    pub(crate) allocations: u64,
    pub(crate) bytes: usize,
}

impl Heap {
    /// None where allocations are not counted.
    pub(crate) fn now(counted: bool) -> Option<Self> {
        counted.then(|| {
            let stats = dhat::HeapStats::get();
            Self { allocations: stats.total_blocks, bytes: stats.curr_bytes }
        })
    }
}
