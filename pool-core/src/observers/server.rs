//! A server and a method as OpenTelemetry's conventions for HTTP name them.

use http::Method;

/// Host and port of an address, as far as its text tells them.
pub(super) fn of(address: &str) -> (&str, Option<u16>) {
    let Some((host, port)) = address.rsplit_once(':') else { return (address, None) };
    let Ok(port) = port.parse() else { return (address, None) };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    (bare.unwrap_or(host), Some(port))
}

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
pub(super) fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_where_it_has_one() {
        for (address, server) in [
            ("127.0.0.1:80", ("127.0.0.1", Some(80))),
            ("[::1]:8080", ("::1", Some(8080))),
            ("example.org:443", ("example.org", Some(443))),
            ("/run/server.sock", ("/run/server.sock", None)),
            ("example.org:https", ("example.org:https", None)),
        ] {
            assert_eq!(of(address), server, "{address}");
        }
    }

    #[test]
    fn a_method_that_is_not_registered_makes_no_label_of_its_own() {
        assert_eq!(method(&Method::PATCH), "PATCH");
        let own = Method::from_bytes(b"PROPFIND").expect("a token");
        assert_eq!(method(&own), "_OTHER");
    }
}
