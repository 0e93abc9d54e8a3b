//! The copy of a request by which it can be sent a second time, in memory that stays with the connection.
//!
//! A clone of a head allocates its map anew, and often the shared count of each value. So the head is copied into one
//! buffer, which the next request clears and fills again: in steady state nothing is allocated. The head is put
//! together again only when a request is really repeated.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Extensions, Method, Request, Uri, Version};

use super::body::RequestBody;
use super::erased_body::Again;

#[derive(Default)]
pub(crate) struct SavedRequest {
    /// The URI, then each name and value after their lengths: one buffer, because a connection that serves one request
    /// allocates it for that.
    text: Vec<u8>,
    rest: Option<Rest>,
}

/// Room for the text of a small request, so that the first one over a connection does not find it by halves.
const USUAL: usize = 128;

/// What stands before a field in the text.
struct Lengths {
    name: usize,
    value: usize,
    sensitive: bool,
}

const LENGTH: usize = size_of::<usize>();

impl Lengths {
    const SIZE: usize = 2 * LENGTH + 1;

    fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..LENGTH].copy_from_slice(&self.name.to_ne_bytes());
        bytes[LENGTH..2 * LENGTH].copy_from_slice(&self.value.to_ne_bytes());
        bytes[2 * LENGTH] = self.sensitive.into();
        bytes
    }

    /// The lengths at the start of the text, and what follows them.
    fn split(text: &[u8]) -> Option<(Self, &[u8])> {
        let (name, text) = text.split_first_chunk()?;
        let (value, text) = text.split_first_chunk()?;
        let (sensitive, text) = text.split_first()?;
        let [name, value] = [name, value].map(|bytes| usize::from_ne_bytes(*bytes));
        Some((Self { name, value, sensitive: *sensitive != 0 }, text))
    }
}

struct Rest {
    method: Method,
    version: Version,
    uri: usize,
    fields: usize,
    extensions: Option<Extensions>,
    body: Option<Again>,
}

impl SavedRequest {
    /// Copies the request, its body included if that can be sent twice.
    pub(crate) fn record(&mut self, request: &Request<RequestBody>) {
        self.text.clear();
        if self.text.capacity() == 0 {
            self.text.reserve(USUAL);
        }
        let uri = self.write_uri(request.uri());
        self.write_fields(request.headers());
        let extensions = request.extensions();
        self.rest = Some(Rest {
            method: request.method().clone(),
            version: request.version(),
            uri,
            fields: request.headers().len(),
            extensions: (!extensions.is_empty()).then(|| extensions.clone()),
            body: request.body().again(),
        });
    }

    /// Drops what the copy holds beyond its buffers: the request has its response.
    pub(crate) fn forget(&mut self) {
        self.rest = None;
    }

    /// The request as it was recorded, with the body that came `back` if the copy has none; `None` if there is no body.
    pub(crate) fn take(&mut self, back: Option<RequestBody>) -> Option<Request<RequestBody>> {
        let Rest { method, version, uri, fields, extensions, body: again } = self.rest.take()?;
        let mut request = Request::new(again.map(RequestBody::from).or(back)?);
        *request.method_mut() = method;
        *request.version_mut() = version;
        *request.uri_mut() = Uri::try_from(&self.text[..uri]).ok()?;
        *request.headers_mut() = read_fields(&self.text[uri..], fields)?;
        if let Some(extensions) = extensions {
            *request.extensions_mut() = extensions;
        }
        Some(request)
    }

    fn write_uri(&mut self, uri: &Uri) -> usize {
        match (uri.scheme(), uri.authority(), uri.path_and_query()) {
            (None, None, Some(path)) => self.text.extend_from_slice(path.as_str().as_bytes()),
            // An absolute URI, or a host and port, is rare enough to be put together twice.
            _ => self.text.extend_from_slice(uri.to_string().as_bytes()),
        }
        self.text.len()
    }

    fn write_fields(&mut self, headers: &HeaderMap) {
        for (field, value) in headers {
            let (field, sensitive) = (field.as_str().as_bytes(), value.is_sensitive());
            let lengths = Lengths { name: field.len(), value: value.len(), sensitive };
            self.text.extend_from_slice(&lengths.to_bytes());
            self.text.extend_from_slice(field);
            self.text.extend_from_slice(value.as_bytes());
        }
    }
}

fn read_fields(mut text: &[u8], fields: usize) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields);
    while let Some((Lengths { name, value, sensitive }, rest)) = Lengths::split(text) {
        let (name, rest) = rest.split_at_checked(name)?;
        let (value, rest) = rest.split_at_checked(value)?;
        let name = HeaderName::from_bytes(name).ok()?;
        let mut value = HeaderValue::from_bytes(value).ok()?;
        value.set_sensitive(sensitive);
        headers.append(name, value);
        text = rest;
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use super::*;
    use crate::request::ReplayableBody;

    fn request() -> Request<RequestBody> {
        let mut secret = HeaderValue::from_static("secret");
        secret.set_sensitive(true);
        Request::put("http://example.org:81/path?query")
            .version(Version::HTTP_10)
            .header("x-two", "1")
            .header("authorization", secret)
            .header("x-two", "2")
            .header("x-empty", "")
            .header("x-bytes", HeaderValue::from_bytes(b"\xe4\xf6").unwrap())
            .extension(7_u8)
            .body(RequestBody::new(Full::new(Bytes::from("content"))))
            .unwrap()
    }

    fn replayed(request: &Request<RequestBody>) -> Request<RequestBody> {
        let mut saved = SavedRequest::default();
        saved.record(&Request::new(RequestBody::EMPTY));
        saved.record(request);
        saved.take(None).unwrap()
    }

    #[tokio::test]
    async fn a_request_that_is_sent_again_is_the_same_to_the_letter() {
        let (first, again) = (request(), replayed(&request()));
        assert_eq!(again.method(), first.method());
        assert_eq!(again.uri(), first.uri());
        assert_eq!(again.version(), first.version());
        assert_eq!(again.headers(), first.headers());
        assert!(again.headers()["authorization"].is_sensitive());
        assert_eq!(again.extensions().get::<u8>(), Some(&7));
        let (first, again) = (first.into_body(), again.into_body());
        let content = first.collect().await.unwrap().to_bytes();
        assert_eq!(content, again.collect().await.unwrap().to_bytes());
    }

    #[test]
    fn every_form_of_uri_comes_back_as_it_was() {
        for uri in
            ["/", "/a?b=c", "*", "http://example.org/", "example.org:443", "http://[::1]:80/a"]
        {
            let mut request = request();
            *request.uri_mut() = uri.parse().unwrap();
            assert_eq!(replayed(&request).uri(), request.uri(), "{uri}");
        }
    }

    #[test]
    fn the_same_kind_of_request_needs_no_new_memory() {
        let mut saved = SavedRequest::default();
        saved.record(&request());
        let before = saved.text.capacity();
        saved.forget();
        saved.record(&request());
        assert_eq!(saved.text.capacity(), before);
    }

    #[tokio::test]
    async fn a_body_that_streams_is_sent_again_only_if_it_can_be_made_anew() {
        let once = Full::new(Bytes::from("once")).map_err(|never| match never {});
        let mut saved = SavedRequest::default();
        saved.record(&Request::new(RequestBody::new(once.boxed_unsync())));
        assert!(saved.take(None).is_none());
        let body = ReplayableBody::new(|| Full::new(Bytes::from("anew")));
        saved.record(&Request::new(RequestBody::new(body)));
        let again = saved.take(None).unwrap().into_body();
        assert_eq!(again.collect().await.unwrap().to_bytes(), "anew");
    }
}
