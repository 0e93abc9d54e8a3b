//! The head of a request: checked before anything is sent, and fitted to each connection that it goes over.
//!
//! hyper writes what it gets, or panics. A head that contradicts itself is refused here, where nothing has been sent;
//! a field that is missing is added. The rules are those of RFC 9110 and RFC 9112; each function names its section.
//!
//! What must hold: the check changes nothing that the caller can see, so a request that goes back is the request that
//! the caller handed in.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};
use http_body::Body as _;

use super::absolute_form::fit_to_proxy;
use super::body::RequestBody;
use super::extended_connect::ExtendedConnect;
use super::framing::{CODED, EXTENDED, HTTP_1_0, HeadFacts, SECURE, TE_ASKED};
use super::hop_by_hop::{
    Http10, is_hop_by_hop, keep_trailers, name_in_connection, remove_hop_by_hop,
};
use super::repeated::{has_repeated, join_cookies, unite_lengths};
use super::trimmed::trim_values;
use crate::connector::{AbsoluteForm, Target};

/// How requests name the server of an address, worked out once for all requests.
#[derive(Debug)]
pub(crate) struct DefaultTarget {
    target: Target,
    /// The `Host` of a request that brings none; none if the authority cannot be one.
    host: Option<HeaderValue>,
    /// Whether requests whose URIs are `https` go there.
    takes_secure: bool,
}

impl DefaultTarget {
    /// With `in_clear`, requests whose URIs are `https` go over connections in the clear too.
    pub(crate) fn new(target: Target, in_clear: bool) -> Self {
        let host = HeaderValue::try_from(target.host()).ok();
        let takes_secure = in_clear || target.scheme == Scheme::HTTPS;
        Self { target, host, takes_secure }
    }
}

/// What was meant for an encrypted connection does not go over one in the clear, RFC 9110 4.2.2.
#[inline]
pub(crate) fn check_secure(
    facts: HeadFacts,
    default_target: &DefaultTarget,
) -> Result<(), &'static str> {
    if facts.has(SECURE) && !default_target.takes_secure {
        return Err(
            "the URI is https, and the connection would be in the clear; a gateway that has \
                    ended TLS allows it by Builder::https_over_cleartext",
        );
    }
    Ok(())
}

/// Reads the head, or says in what it contradicts itself.
pub(crate) fn check_head(request: &mut Request<RequestBody>) -> Result<HeadFacts, &'static str> {
    check_version(request)?;
    let mut facts = HeadFacts::of(request.headers())?;
    facts.connect = *request.method() == Method::CONNECT;
    facts.set(EXTENDED, facts.connect && ExtendedConnect::is_in(request.extensions()));
    if request.version() != Version::HTTP_11 {
        // The next connection does not become what only the one before could.
        facts.upgrade = false;
        if request.version() == Version::HTTP_10 {
            let asked_for = Http10::is_in(request.extensions());
            facts.set(HTTP_1_0, asked_for);
            facts.expects_continue &= asked_for;
        }
    }
    facts.upgrade |= facts.connect;
    facts.set(SECURE, request.uri().scheme().is_some_and(is_secure));
    check_target(request, facts)?;
    check_length(request, facts)?;
    let body = request.body();
    facts.needs_chunks =
        body.exact_len().is_none() || facts.transfer_encoding && !body.is_end_stream();
    Ok(facts)
}

/// Fits a head that was checked to an HTTP/1 connection, which ends at a proxy that forwards requests if a form is given.
pub(crate) fn fit_http1(
    request: &mut Request<RequestBody>,
    facts: HeadFacts,
    default_target: &DefaultTarget,
    form: Option<&AbsoluteForm>,
) -> Result<(), &'static str> {
    if facts.is_extended_connect() {
        return Err("extended CONNECT is of HTTP/2, and its server speaks HTTP/1");
    }
    if request.version() != Version::HTTP_11 && !facts.has(HTTP_1_0) {
        // What a gateway has taken over from HTTP/1.0 or HTTP/2 is written in our own version, RFC 9110 2.5.
        let before = std::mem::replace(request.version_mut(), Version::HTTP_11);
        remove_hop_by_hop(request.headers_mut(), before);
    }
    if facts.has(TE_ASKED) && !facts.has(HTTP_1_0) && keep_trailers(request.headers_mut()) {
        name_in_connection(request.headers_mut(), "te");
    }
    if facts.upgrade && !facts.connect {
        name_in_connection(request.headers_mut(), "upgrade");
    }
    drop_vain_expectation(request, facts);
    if has_repeated(request.headers()) {
        unite_lengths(request.headers_mut());
        join_cookies(request.headers_mut());
    }
    set_framing(request, facts);
    if !facts.host {
        set_host(request, default_target)?;
    }
    if let Some(form) = form {
        return fit_to_proxy(request, facts.connect, &default_target.target.scheme, form);
    }
    if !facts.connect {
        make_origin_form(request.uri_mut());
    }
    Ok(())
}

/// Fits a head that was checked to an HTTP/2 stream, RFC 9113 8.3.1.
pub(crate) fn fit_http2(
    request: &mut Request<RequestBody>,
    facts: HeadFacts,
    default_target: &DefaultTarget,
) -> Result<(), &'static str> {
    let before = std::mem::replace(request.version_mut(), Version::HTTP_2);
    if facts.has(CODED) {
        return Err("HTTP/2 knows no transfer coding");
    }
    if before == Version::HTTP_10 || request.headers().keys().any(is_hop_by_hop) {
        remove_hop_by_hop(request.headers_mut(), before);
        request.headers_mut().remove(TRANSFER_ENCODING);
    }
    if facts.has(TE_ASKED) {
        keep_trailers(request.headers_mut());
    }
    drop_vain_expectation(request, facts);
    trim_values(request.headers_mut());
    if facts.connect && !facts.is_extended_connect() {
        request.headers_mut().remove(HOST);
        return Ok(());
    }
    if let Some(length) = request.body().exact_len()
        && facts.length.is_none()
        && (length > 0 || has_content(request.method()))
    {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if has_repeated(request.headers()) {
        unite_lengths(request.headers_mut());
    }
    let target = &default_target.target;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    // A Host of the caller's own names the server, as it does in HTTP/1.
    let named = match request.headers_mut().remove(HOST).filter(|host| !host.is_empty()) {
        Some(host) => {
            Some(Authority::try_from(host.as_bytes()).map_err(|_| "the Host is no host")?)
        }
        None => parts.authority.take(),
    };
    let authority = named.unwrap_or_else(|| target.authority.clone());
    parts.authority = Some(without_user_in(authority));
    parts.scheme = Some(target.scheme.clone());
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|_| "the URI cannot be written in HTTP/2")?;
    Ok(())
}

/// Whether a server expects to be told of an empty body, RFC 9110 8.6.
fn has_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// WebSockets have a scheme of their own for the same, RFC 6455 3.
fn is_secure(scheme: &Scheme) -> bool {
    *scheme == Scheme::HTTPS || scheme.as_str().eq_ignore_ascii_case("wss")
}

fn without_user_in(authority: Authority) -> Authority {
    match authority.as_str().rsplit_once('@') {
        Some((_, host)) => host.parse().unwrap_or(authority),
        None => authority,
    }
}

/// The four forms of a request target, RFC 9112 3.2.
fn check_target(request: &Request<RequestBody>, facts: HeadFacts) -> Result<(), &'static str> {
    let uri = request.uri();
    let authority_only = uri.authority().is_some() && uri.scheme().is_none();
    if facts.connect {
        if facts.is_extended_connect() {
            // It names the whole target, as any other request does.
        } else if !authority_only {
            return Err("CONNECT needs host:port, and nothing else, as its URI");
        }
        // Bytes after the head already belong to the tunnel, RFC 9110 9.3.6.
        return if request.body().is_end_stream() {
            Ok(())
        } else {
            Err("CONNECT carries no body")
        };
    }
    if authority_only {
        return Err("the URI is a host, not a path: a path begins with a slash");
    }
    let is_asterisk = |target: &PathAndQuery| target.as_str().starts_with('*');
    if uri.path_and_query().is_some_and(is_asterisk) && *request.method() != Method::OPTIONS {
        return Err("only OPTIONS may ask for *");
    }
    Ok(())
}

/// hyper's client panics on the versions that it cannot write.
fn check_version<B>(request: &Request<B>) -> Result<(), &'static str> {
    match request.version() {
        Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2 => Ok(()),
        Version::HTTP_09 => Err("HTTP/0.9 cannot be spoken here"),
        _ => Err("HTTP/3 cannot be spoken here"),
    }
}

/// The framing of the body, RFC 9112 6: one truth about its length, and one way to tell it.
fn check_length(request: &mut Request<RequestBody>, facts: HeadFacts) -> Result<(), &'static str> {
    let HeadFacts { length: stated, transfer_encoding, .. } = facts;
    if stated.is_some() && transfer_encoding {
        return Err("content-length and transfer-encoding contradict each other");
    }
    if transfer_encoding && request.version() != Version::HTTP_11 {
        return Err("only HTTP/1.1 knows transfer-encoding");
    }
    let known = request.body().exact_len();
    if let (Some(stated), Some(known)) = (stated, known)
        && stated != known
    {
        return Err("content-length contradicts the length of the body");
    }
    if request.body().is_end_stream() {
        return Ok(());
    }
    if *request.method() == Method::TRACE {
        return Err("TRACE carries no body");
    }
    if stated == Some(0) && known.is_none() {
        // hyper would not even look at it.
        return Err("content-length: 0 contradicts a body that is still to come");
    }
    if let Some(length) = stated.or(known.filter(|_| !transfer_encoding)) {
        request.body_mut().declare_length(length);
    } else if facts.has(HTTP_1_0) {
        return Err("an HTTP/1.0 request body needs a known length");
    }
    Ok(())
}

/// A request without content has nothing to wait with, RFC 9110 10.1.1.
fn drop_vain_expectation(request: &mut Request<RequestBody>, facts: HeadFacts) {
    if facts.expects_continue && request.body().is_end_stream() {
        request.headers_mut().remove(EXPECT);
    }
}

/// Adds the fields that frame the body where hyper would not.
fn set_framing(request: &mut Request<RequestBody>, facts: HeadFacts) {
    let HeadFacts { length, transfer_encoding, .. } = facts;
    if !request.body().is_end_stream() {
        if length.is_none() && !transfer_encoding && request.body().exact_len().is_none() {
            // Without this field hyper would leave such a body out of a GET or HEAD.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        return;
    }
    if transfer_encoding {
        request.headers_mut().remove(TRANSFER_ENCODING);
    }
    // An empty body where the method lets one expect content is said to be empty, RFC 9110 8.6.
    if has_content(request.method()) && length.is_none() {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// A request without `Host` gets that of its URI, else that of the address, RFC 9112 3.2.
fn set_host<B>(
    request: &mut Request<B>,
    default_target: &DefaultTarget,
) -> Result<(), &'static str> {
    let host = match request.uri().authority() {
        Some(authority) => HeaderValue::try_from(without_user(authority.as_str())).ok(),
        None => default_target.host.clone(),
    };
    let host = host.ok_or("the authority cannot be a Host")?;
    request.headers_mut().insert(HOST, host);
    Ok(())
}

/// A `Host` carries no user information, RFC 9110 4.2.4.
fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// To anything but a proxy a request names only the path, RFC 9112 3.2.1.
fn make_origin_form(uri: &mut Uri) {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return;
    }
    let mut parts = Parts::default();
    let path = std::mem::take(uri).into_parts().path_and_query;
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    // A URI of a path alone is always whole.
    if let Ok(origin) = Uri::from_parts(parts) {
        *uri = origin;
    }
}

#[cfg(test)]
mod tests {
    use http::request::Builder;
    use http_body_util::Full;

    use super::*;

    fn prepared(
        builder: Builder,
        body: &'static str,
    ) -> Result<Request<RequestBody>, &'static str> {
        let mut request = builder.body(RequestBody::new(Full::from(body))).unwrap();
        let facts = check_head(&mut request)?;
        let target = Target::http(Authority::from_static("192.0.2.1:8080"));
        fit_http1(&mut request, facts, &DefaultTarget::new(target, false), None)?;
        Ok(request)
    }

    fn header<'r>(request: &'r Request<RequestBody>, name: &str) -> Option<&'r str> {
        request.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_request_without_a_host_gets_that_of_the_address() {
        let request = prepared(Request::get("/path"), "").unwrap();
        assert_eq!(header(&request, "host"), Some("192.0.2.1:8080"));
    }

    #[test]
    fn an_absolute_uri_becomes_origin_form_and_its_authority_the_host() {
        let request = prepared(Request::get("http://user:word@example.org:81/a?b=c"), "").unwrap();
        assert_eq!(request.uri(), "/a?b=c");
        assert_eq!(header(&request, "host"), Some("example.org:81"));
    }

    #[test]
    fn a_host_of_the_callers_own_is_kept() {
        let request = prepared(Request::get("/").header("host", "example.org"), "").unwrap();
        assert_eq!(header(&request, "host"), Some("example.org"));
    }

    #[test]
    fn an_asterisk_stays_an_asterisk_and_connect_keeps_its_authority() {
        let options = prepared(Request::options("*"), "").unwrap();
        assert_eq!(options.uri(), "*");
        let connect = prepared(Request::connect("example.org:443"), "").unwrap();
        assert_eq!(connect.uri(), "example.org:443");
        assert_eq!(header(&connect, "host"), Some("example.org:443"));
    }

    #[test]
    fn an_empty_body_is_said_to_be_empty_only_where_content_is_expected() {
        for method in [Method::POST, Method::PUT, Method::PATCH] {
            let request = prepared(Request::builder().method(method).uri("/"), "").unwrap();
            assert_eq!(header(&request, "content-length"), Some("0"));
        }
        let request = prepared(Request::get("/"), "").unwrap();
        assert_eq!(header(&request, "content-length"), None);
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_says_why() {
        let refused = |builder, body| prepared(builder, body).unwrap_err();
        let post = || Request::post("/");
        assert_eq!(
            refused(post().header("content-length", "5"), "four"),
            "content-length contradicts the length of the body"
        );
        assert_eq!(
            refused(post().header("content-length", "4").header("content-length", "5"), "four"),
            "several content-lengths contradict each other"
        );
        assert_eq!(
            refused(post().header("content-length", "+4"), "four"),
            "content-length is not a number"
        );
        assert_eq!(
            refused(
                post().header("content-length", "4").header("transfer-encoding", "chunked"),
                "four"
            ),
            "content-length and transfer-encoding contradict each other"
        );
        assert_eq!(
            refused(Request::get("/").header("host", "a").header("host", "b"), ""),
            "more than one Host"
        );
        for builder in [
            Request::connect("/path"),
            Request::connect("/path").header("host", "example.org"),
            Request::connect("http://example.org/"),
        ] {
            let why = "CONNECT needs host:port, and nothing else, as its URI";
            assert_eq!(refused(builder, ""), why);
        }
        assert_eq!(refused(Request::connect("example.org:443"), "body"), "CONNECT carries no body");
        assert_eq!(
            refused(Request::get("index.html"), ""),
            "the URI is a host, not a path: a path begins with a slash"
        );
        assert_eq!(refused(Request::get("*"), ""), "only OPTIONS may ask for *");
        for codings in [["chunked, gzip"].as_slice(), &["chunked, chunked"], &["chunked", "gzip"]] {
            let add =
                |builder: Builder, coding: &&str| builder.header("transfer-encoding", *coding);
            assert_eq!(
                refused(codings.iter().fold(post(), add), "four"),
                "chunked must stand once and last in transfer-encoding"
            );
        }
        for (version, why) in [
            (Version::HTTP_3, "HTTP/3 cannot be spoken here"),
            (Version::HTTP_09, "HTTP/0.9 cannot be spoken here"),
        ] {
            assert_eq!(refused(Request::get("/").version(version), ""), why);
        }
    }

    #[test]
    fn a_request_taken_over_from_http2_is_written_as_http_1_1() {
        let request = prepared(Request::get("/").version(Version::HTTP_2), "").unwrap();
        assert_eq!(request.version(), Version::HTTP_11);
    }
}
