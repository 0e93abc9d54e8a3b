//! A request to a proxy that forwards it names its whole target, RFC 9112 3.2.2.
//!
//! Only the connection knows that it ends at one, so this is done for each attempt. What must hold: what was written for
//! the proxy is in no copy of the request, because the next attempt may go over another connection.

use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{Request, Uri};

use crate::connector::AbsoluteForm;

/// Writes the target of a request that has its `Host`, and what the proxy asks of its clients.
///
/// The URI names the server that the `Host` names, because a proxy goes by the URI alone.
#[cold]
pub(super) fn fit_to_proxy<B>(
    request: &mut Request<B>,
    is_connect: bool,
    scheme: &Scheme,
    form: &AbsoluteForm,
) -> Result<(), &'static str> {
    if let Some(authorization) = form.authorization() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    if is_connect {
        return Ok(());
    }
    let host = request.headers().get(HOST).map_or(&[][..], HeaderValue::as_bytes);
    let authority = Authority::try_from(host).map_err(|_| "the Host is no host")?;
    let path = std::mem::take(request.uri_mut()).into_parts().path_and_query;
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if path.as_str().starts_with('*') {
        // It is the URI without a path, RFC 9112 3.2.4, which an `http::Uri` is always written with.
        return Err("OPTIONS * cannot be asked for through a proxy that forwards requests");
    }
    let mut parts = Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|_| "the URI cannot be written to a proxy")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(uri: &str, host: &str, form: &AbsoluteForm) -> Result<Request<()>, &'static str> {
        let mut request = Request::builder().uri(uri).header(HOST, host).body(()).unwrap();
        let is_connect = !uri.contains(['/', '*']);
        fit_to_proxy(&mut request, is_connect, &Scheme::HTTP, form).map(|()| request)
    }

    #[test]
    fn the_uri_names_the_server_of_the_host_and_the_host_stays() {
        for (uri, host, sent) in [
            ("/a?b=c", "example.org", "http://example.org/a?b=c"),
            ("/", "example.org:8080", "http://example.org:8080/"),
            ("/", "[::1]:81", "http://[::1]:81/"),
            ("http://other.test/a", "example.org", "http://example.org/a"),
            ("http://example.org?b", "example.org", "http://example.org/?b"),
            ("example.org:443", "example.org:443", "example.org:443"),
        ] {
            let request = fitted(uri, host, &AbsoluteForm::new(None)).unwrap();
            assert_eq!(request.uri().to_string(), sent);
            assert_eq!(request.headers()[HOST], host);
            assert_eq!(request.headers().len(), 1);
        }
    }

    #[test]
    fn what_the_proxy_asks_of_its_clients_takes_the_place_of_what_the_request_brings() {
        let form = AbsoluteForm::new(Some(HeaderValue::from_static("Basic c2VjcmV0")));
        let mut request = Request::builder()
            .uri("/")
            .header(HOST, "example.org")
            .header(PROXY_AUTHORIZATION, "for another")
            .body(())
            .unwrap();
        fit_to_proxy(&mut request, false, &Scheme::HTTP, &form).unwrap();
        let sent: Vec<_> = request.headers().get_all(PROXY_AUTHORIZATION).iter().collect();
        assert_eq!(sent, ["Basic c2VjcmV0"]);
        assert!(sent[0].is_sensitive());
        assert!(!format!("{form:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn a_target_that_cannot_be_named_to_a_proxy_is_refused() {
        let form = AbsoluteForm::new(None);
        assert_eq!(
            fitted("*", "example.org", &form).unwrap_err(),
            "OPTIONS * cannot be asked for through a proxy that forwards requests"
        );
        assert_eq!(fitted("/", "a:b:c", &form).unwrap_err(), "the Host is no host");
    }
}
