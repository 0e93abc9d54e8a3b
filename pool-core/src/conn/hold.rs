//! What a connection holds until its socket has closed, such as its share of a limit.

use crate::report::{Carried, Reason};

/// Dropped after the socket has closed, so that the room it gives back is real.
pub(crate) trait Hold: Send {
    /// The connection is about to close, for `reason`.
    fn closing(&mut self, reason: Reason);

    /// Its socket has closed; it had carried so much.
    fn closed(&mut self, carried: Carried);
}
