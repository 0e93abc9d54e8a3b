//! What OpenTelemetry's conventions for HTTP call a method and a version.

use http::{Method, Version};

/// A method, or `_OTHER`: what servers do not know would otherwise make a label of every word that a client sends.
pub(super) fn method(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    if KNOWN.contains(method) { method.as_str() } else { "_OTHER" }
}

/// A version as `network.protocol.version` has it.
pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_is_not_registered_makes_no_label_of_its_own() {
        assert_eq!(method(&Method::PATCH), "PATCH");
        let own = Method::from_bytes(b"PROPFIND").expect("a token");
        assert_eq!(method(&own), "_OTHER");
    }
}
