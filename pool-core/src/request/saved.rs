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
    /// The URI, then each name and value.
    text: Vec<u8>,
    fields: Vec<Field>,
    rest: Option<Rest>,
}

/// Room for the text of a small request, so that the first one over a connection does not find it by halves.
const USUAL: usize = 128;

/// Where the parts of a field end in the text; each begins where the last one ended.
struct Field {
    name: usize,
    value: usize,
    sensitive: bool,
}

struct Rest {
    method: Method,
    version: Version,
    uri: usize,
    extensions: Option<Extensions>,
    body: Option<Again>,
}

impl SavedRequest {
    /// Copies the request, its body included if that can be sent twice.
    pub(crate) fn record(&mut self, request: &Request<RequestBody>) {
        self.text.clear();
        self.fields.clear();
        if self.text.capacity() == 0 {
            self.text.reserve(USUAL);
            self.fields.reserve(request.headers().len());
        }
        let uri = self.write_uri(request.uri());
        self.write_fields(request.headers());
        let extensions = request.extensions();
        self.rest = Some(Rest {
            method: request.method().clone(),
            version: request.version(),
            uri,
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
        let Rest { method, version, uri, extensions, body: again } = self.rest.take()?;
        let mut request = Request::new(again.map(RequestBody::from).or(back)?);
        *request.method_mut() = method;
        *request.version_mut() = version;
        *request.uri_mut() = Uri::try_from(&self.text[..uri]).ok()?;
        *request.headers_mut() = self.read_fields(uri)?;
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
            self.text.extend_from_slice(field.as_str().as_bytes());
            let name = self.text.len();
            self.text.extend_from_slice(value.as_bytes());
            let sensitive = value.is_sensitive();
            self.fields.push(Field { name, value: self.text.len(), sensitive });
        }
    }

    fn read_fields(&self, mut from: usize) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for field in &self.fields {
            let name = HeaderName::from_bytes(&self.text[from..field.name]).ok()?;
            let mut value = HeaderValue::from_bytes(&self.text[field.name..field.value]).ok()?;
            value.set_sensitive(field.sensitive);
            headers.append(name, value);
            from = field.value;
        }
        Some(headers)
    }
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
        let before = (saved.text.capacity(), saved.fields.capacity());
        saved.forget();
        saved.record(&request());
        assert_eq!((saved.text.capacity(), saved.fields.capacity()), before);
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
