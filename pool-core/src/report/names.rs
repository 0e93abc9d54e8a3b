//! Names for what is counted, in logs and as labels of metrics.
//!
//! What must hold: a name never changes, and each value has one. The list and the names are one table, which the compiler
//! holds to be whole.

use std::fmt;

use super::error_kind::ErrorKind;
use super::stats::Reason;

macro_rules! names {
    ($of:ident { $($value:ident => $name:literal,)+ }) => {
        impl $of {
            /// All that there are.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// A name for logs and metrics, which stays the same in later versions.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)+
                }
            }
        }

        /// [`as_str`](Self::as_str).
        impl fmt::Display for $of {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

names!(ErrorKind {
    InvalidRequest => "invalid_request",
    Settings => "settings",
    NoRuntime => "no_runtime",
    Closed => "closed",
    Retired => "retired",
    QueueFull => "queue_full",
    CheckoutTimeout => "checkout_timeout",
    Connect => "connect",
    ConnectTimeout => "connect_timeout",
    BackingOff => "backing_off",
    Unsent => "unsent",
    Refused => "refused",
    RequestBody => "request_body",
    Response => "response",
    ResponseTimeout => "response_timeout",
    EndlessInformational => "endless_informational",
    TotalTimeout => "total_timeout",
    BodyTimeout => "body_timeout",
    SlowBody => "slow_body",
    ResponseBody => "response_body",
});

names!(Reason {
    Ended => "ended",
    ClosedByPeer => "closed_by_peer",
    Unsolicited => "unsolicited",
    Quarantined => "quarantined",
    IdleTimeout => "idle_timeout",
    MaxLifetime => "max_lifetime",
    AddressGone => "address_gone",
    MaxUses => "max_uses",
    Evicted => "evicted",
    Detached => "detached",
    Unwanted => "unwanted",
    Surplus => "surplus",
    SiblingFailed => "sibling_failed",
    Failed => "failed",
    TimedOut => "timed_out",
    Flooded => "flooded",
    Cancelled => "cancelled",
    BodyDropped => "body_dropped",
    Unsuitable => "unsuitable",
    Upgraded => "upgraded",
    RuntimeGone => "runtime_gone",
    Retired => "retired",
    PoolClosed => "pool_closed",
});

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Debug;

    use super::*;

    /// `SiblingFailed` is `sibling_failed`.
    fn are_those_of_the_variants<T: Copy + Debug>(all: &[T], name: fn(T) -> &'static str) {
        let plain = |name: &str| name.replace('_', "").to_lowercase();
        for value in all {
            assert_eq!(plain(name(*value)), plain(&format!("{value:?}")));
            assert!(!name(*value).contains(char::is_uppercase), "{value:?}");
        }
        let names: HashSet<_> = all.iter().map(|value| name(*value)).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        are_those_of_the_variants(ErrorKind::ALL, ErrorKind::as_str);
        are_those_of_the_variants(Reason::ALL, Reason::as_str);
    }

    #[test]
    fn a_name_is_what_is_printed() {
        assert_eq!(format!("{:>9}", Reason::Evicted), "  evicted");
        assert_eq!(ErrorKind::QueueFull.to_string(), "queue_full");
    }
}
