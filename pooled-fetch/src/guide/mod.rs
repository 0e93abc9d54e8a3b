//! The guide: when to use what, and why. Each chapter is a page.
//!
//! The documentation of an item says what it does; this says which to take. Programs here are compiled and run by the tests of
//! the crate. It is documentation alone, without code, and speaks of all features.
//!
//! | to begin | |
//! | --- | --- |
//! | [`first_request`] | one request, many, and a pool of your own |
//! | [`bodies`] | what goes out, what comes back, and how large either may be |
//! | [`addresses`] | names, URIs, Unix sockets, proxies |
//! | [`tls`] | HTTPS, identities, checks of your own |
//!
//! | to run it | |
//! | --- | --- |
//! | [`timeouts`] | each step has a time of its own |
//! | [`limits`] | how many connections, who gets them, and what a full queue says |
//! | [`http2`] | when it is spoken, and what becomes of a silent server |
//! | [`retries`] | what is sent again, what an error proves, what a gateway answers |
//! | [`shutdown`] | addresses come and go, and so do programs |
//! | [`observing`] | counts, events, spans, metrics |
//!
//! | to build upon it | |
//! | --- | --- |
//! | [`upgrades`] | WebSocket, tunnels, protocols of your own |
//! | [`services`] | tower, tonic, axum |
//! | [`connectors`] | other transports |
//! | [`testing`] | your code against a pool, without a network and without sleeping |
//!
//! | to decide | |
//! | --- | --- |
//! | [`moving`] | from hyper-util's client, from reqwest, from the crate that had this name before |
//! | [`comparison`] | this pool and others, with the tests that show it, and what this one lacks |
//! | [`promises`] | what holds, over which version, and the test that holds it |
//! | [`costs`] | instructions, memory and time, beside others |

#![cfg_attr(
    not(all(
        feature = "hickory",
        feature = "metrics",
        feature = "platform-verifier",
        feature = "proxy",
        feature = "tls",
        feature = "tonic",
        feature = "tracing"
    )),
    allow(rustdoc::broken_intra_doc_links, reason = "what is not compiled cannot be linked to")
)]

/// A chapter, whose text is a file beside this one.
macro_rules! chapters {
    ($($name:ident: $file:literal,)*) => {
        $(#[doc = include_str!($file)] pub mod $name {})*
    };
}

chapters! {
    first_request: "first_request.md",
    bodies: "bodies.md",
    addresses: "addresses.md",
    tls: "tls.md",
    timeouts: "timeouts.md",
    limits: "limits.md",
    http2: "http2.md",
    retries: "retries.md",
    shutdown: "shutdown.md",
    observing: "observing.md",
    upgrades: "upgrades.md",
    services: "services.md",
    connectors: "connectors.md",
    testing: "testing.md",
    moving: "moving.md",
    comparison: "comparison.md",
    promises: "promises.md",
    costs: "costs.md",
}
