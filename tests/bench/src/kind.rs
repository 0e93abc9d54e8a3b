//! The clients that can be measured, by name.

use std::fmt;
use std::str::FromStr;

/// A client that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No client at all: what the loop around it costs.
    Loop,
    /// Bytes over a socket, without HTTP.
    BareSocket,
    /// hyper without a pool, the task of each connection spawned: over HTTP/1 one connection for each of those at once,
    /// over HTTP/2 one for all.
    BareHyper,
    /// Our pool without the question to the kernel.
    OursUnprobed,
    /// Our pool as it is by default; over HTTP/2 it asks the kernel after any rest, however short.
    Ours,
    /// hyper-util's legacy client.
    #[cfg(feature = "peers")]
    HyperUtil,
    /// reqwest.
    #[cfg(feature = "peers")]
    Reqwest,
    /// pingora-core's connector.
    #[cfg(feature = "peers")]
    Pingora,
    /// `pooled_fetch` 0.1.11.
    #[cfg(feature = "peers")]
    OldCrate,
}

impl Kind {
    const ALL: &[Self] = &[
        Self::Loop,
        Self::BareSocket,
        Self::BareHyper,
        Self::OursUnprobed,
        Self::Ours,
        #[cfg(feature = "peers")]
        Self::HyperUtil,
        #[cfg(feature = "peers")]
        Self::Reqwest,
        #[cfg(feature = "peers")]
        Self::Pingora,
        #[cfg(feature = "peers")]
        Self::OldCrate,
    ];

    /// As arguments and tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::BareSocket => "socket",
            Self::BareHyper => "hyper",
            Self::OursUnprobed => "ours-unprobed",
            Self::Ours => "ours",
            #[cfg(feature = "peers")]
            Self::HyperUtil => "hyper-util",
            #[cfg(feature = "peers")]
            Self::Reqwest => "reqwest",
            #[cfg(feature = "peers")]
            Self::Pingora => "pingora",
            #[cfg(feature = "peers")]
            Self::OldCrate => "old-crate",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| format!("there is no client `{name}` in this build"))
    }
}
