//! What stands behind an address that is a name: the answer of a resolver.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The answer of a resolver that is still to come; see [`Connector::resolve`](crate::Connector::resolve).
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Resolved>> + Send + 'a>>;

/// The socket addresses behind a name, and for how long they are good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// In the order in which they are tried.
    pub addresses: Vec<SocketAddr>,
    /// For how long the answer is good. Afterwards the name is resolved again, and connections to addresses that are not in the new answer
    /// close when their requests have ended. `None` for ever.
    pub good_for: Option<Duration>,
}

impl Resolved {
    /// These addresses, without duplicates, the families in turn as RFC 8305 4 has it: the first address comes first, and
    /// after each the next of the other family.
    pub fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut families: [Vec<SocketAddr>; 2] = Default::default();
        let mut first = None;
        for address in addresses {
            let first = *first.get_or_insert(address.is_ipv6());
            let family = &mut families[usize::from(address.is_ipv6() != first)];
            if !family.contains(&address) {
                family.push(address);
            }
        }
        let [preferred, other] = families;
        let longest = preferred.len().max(other.len());
        let at = |place: usize| [preferred.get(place), other.get(place)];
        let addresses = (0..longest).flat_map(at).flatten().copied().collect();
        Self { addresses, good_for: None }
    }

    /// Says for how long the answer is good.
    #[must_use]
    pub fn with_good_for(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.good_for = time.into();
        self
    }
}

/// Says that a socket address is no longer behind its name. Every connection to it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone(Arc<AtomicBool>);

impl Gone {
    pub(crate) fn since_ever() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn the_families_take_turns_and_what_comes_twice_is_tried_once() {
        let given = ["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"];
        let tried = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"];
        assert_eq!(Resolved::interleaved(addresses(&given)).addresses, addresses(&tried));
        let given = ["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"];
        let tried = ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"];
        assert_eq!(Resolved::interleaved(addresses(&given)).addresses, addresses(&tried));
        assert!(Resolved::interleaved([]).addresses.is_empty());
    }
}
