//! No request is lost that could be saved, and none is executed twice that must not be.
//!
//! Every connection is cut at every byte of every kind of request and of its response, and the outcome is
//! compared with the table in the documentation of `Pool::http`, which is written down here once more.

use bytes::Bytes;
use http::Request;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use pool_core::{Error, ErrorKind, Pool, ReplayableBody, Written};
use pooled_fetch_tests::{Cut, CutHttp1, How, Pieces, Whole, bounded, get};
use std::error::Error as StdError;

const RESPONSE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";

const METHODS: [&str; 9] =
    ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "PROPFIND"];

const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    None,
    Whole,
    Replayable,
    Streaming,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    method: &'static str,
    key: bool,
    content: Content,
    reused: bool,
    how: How,
}

type AnyBody = UnsyncBoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

impl Case {
    /// Every kind of request with this content, over a fresh and over a reused connection.
    fn all(content: Content) -> Vec<Self> {
        let methods = METHODS.map(|method| (method, false)).into_iter().chain([("POST", true)]);
        // TRACE carries none.
        let methods = methods.filter(|(method, _)| content == Content::None || *method != "TRACE");
        let both = |(method, key)| {
            [false, true].map(|reused| Self { method, key, content, reused, how: How::Never })
        };
        methods.flat_map(both).collect()
    }

    fn can_be_had_again(self) -> bool {
        self.content != Content::Streaming
    }

    fn is_idempotent(self) -> bool {
        self.key || IDEMPOTENT.contains(&self.method)
    }

    /// Whether the table says that the request is sent again.
    fn is_saved(self) -> bool {
        match self.how {
            How::Never => true,
            // hyper gives such a request back untouched.
            How::WhileIdle => self.reused,
            _ if !self.can_be_had_again() || !self.reused => false,
            How::Write(0) | How::End(0) => true,
            How::Write(_) | How::End(_) | How::Read(0) => self.is_idempotent(),
            How::Read(_) | How::Silent => false,
        }
    }

    async fn send(self, pool: &Pool<CutHttp1>) -> Result<Whole, Error> {
        let mut builder = Request::builder().method(self.method).uri("/case").header("host", "h");
        if self.key {
            builder = builder.header("idempotency-key", "k");
        }
        let response = match self.content {
            Content::None => {
                pool.http(&"wire", builder.body(Full::<Bytes>::default()).expect("a request")).await
            }
            Content::Whole => {
                let body = Full::new(Bytes::from_static(b"content"));
                pool.http(&"wire", builder.body(body).expect("a request")).await
            }
            Content::Replayable => {
                let body = ReplayableBody::new(|| Pieces::new(["con", "tent"]));
                pool.http(&"wire", builder.body(body).expect("a request")).await
            }
            Content::Streaming => {
                let body: AnyBody = Pieces::new(["con", "tent"]).map_err(Into::into).boxed_unsync();
                pool.http(&"wire", builder.body(body).expect("a request")).await
            }
        };
        Whole::read(response?).await
    }

    /// The bytes of the request on the wire.
    async fn length(self) -> usize {
        let wires = CutHttp1::new(RESPONSE, []);
        self.send(&Pool::new(wires.clone())).await.expect("nothing is cut");
        wires.last_length()
    }

    async fn run(self) {
        let cut = Cut { after: usize::from(self.reused), how: self.how };
        let wires = CutHttp1::new(RESPONSE, [cut]);
        let pool = Pool::new(wires.clone());
        if self.reused {
            let first = pool.http(&"wire", get("/first")).await.expect("nothing is cut yet");
            Whole::read(first).await.expect("nothing is cut yet");
        }
        wires.close_idle();
        let result = self.send(&pool).await;
        let executed = wires.executed().into_iter().filter(|line| line.contains("/case")).count();
        assert!(executed <= 1 || self.is_idempotent(), "executed {executed} times: {self:?}");
        match result {
            Ok(whole) => {
                assert!(self.is_saved(), "{self:?}");
                let content = if self.method == "HEAD" { "" } else { "done" };
                assert_eq!(whole.body, content);
                assert_eq!(wires.opened(), 1 + usize::from(self.how != How::Never));
            }
            Err(error) => {
                assert!(!self.is_saved(), "{self:?}: {error}");
                self.check_evidence(error);
                assert_eq!(wires.opened(), 1, "{self:?}");
            }
        }
        let stats = pool.stats();
        assert_eq!(stats.retried, u64::from(self.how != How::Never && self.is_saved()), "{self:?}");
        assert_eq!((stats.leased, stats.opening), (0, 0));
    }

    fn check_evidence(self, error: Error) {
        let evidence = error.evidence();
        let (written, read) = match self.how {
            How::Write(written) | How::End(written) => (Some(written), 0),
            How::Read(read) => (None, read),
            _ => (None, 0),
        };
        assert_eq!(evidence.attempts(), 1, "{self:?}");
        assert_eq!(evidence.is_fresh(), !self.reused, "{self:?}");
        assert_eq!(evidence.bytes_read(), read as u64, "{self:?}");
        let info = evidence.connection().expect("there was one");
        assert_eq!(info.use_number(), 1 + u64::from(self.reused));
        match written {
            Some(0) => assert_eq!(evidence.written(), Written::Nothing),
            Some(bytes) => {
                assert_eq!(evidence.bytes_written(), bytes as u64, "{self:?}");
                assert_ne!(evidence.written(), Written::Nothing);
            }
            None if self.how == How::WhileIdle => assert_eq!(evidence.written(), Written::Nothing),
            None => assert_eq!(evidence.written(), Written::Whole, "{self:?}"),
        }
        let unsent = evidence.written() == Written::Nothing;
        assert_eq!(evidence.is_unsent(), unsent);
        assert_eq!(error.kind() == ErrorKind::Unsent, unsent, "{self:?}: {error}");
        let whole = unsent && (self.can_be_had_again() || self.how == How::WhileIdle);
        match error.into_request() {
            Ok(request) => {
                assert!(whole, "{self:?}");
                assert_eq!(request.method(), self.method);
                assert_eq!(request.uri(), "/case");
            }
            Err(error) => assert!(!whole, "{self:?}: {error}"),
        }
    }
}

async fn cut_while_idle(content: Content) {
    for case in Case::all(content) {
        Case { how: How::WhileIdle, ..case }.run().await;
    }
}

async fn cut_in_the_request(content: Content) {
    for uncut in Case::all(content) {
        uncut.run().await;
        for at in 0..uncut.length().await {
            for how in [How::Write(at), How::End(at)] {
                Case { how, ..uncut }.run().await;
            }
        }
    }
}

async fn cut_in_the_response(content: Content) {
    let head = RESPONSE.len() - "done".len();
    for uncut in Case::all(content) {
        let needed = if uncut.method == "HEAD" { head } else { RESPONSE.len() };
        for at in 0..needed {
            Case { how: How::Read(at), ..uncut }.run().await;
        }
    }
}

macro_rules! for_each_content {
    ($($name:ident: $content:ident),+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn one_whose_idle_connection_was_closed_is_always_saved() {
                bounded(cut_while_idle(Content::$content)).await;
            }

            #[tokio::test]
            async fn one_that_is_cut_at_any_byte_is_saved_or_fails_as_the_table_says() {
                bounded(cut_in_the_request(Content::$content)).await;
            }

            #[tokio::test]
            async fn one_whose_response_is_cut_at_any_byte_is_saved_or_fails_as_the_table_says() {
                bounded(cut_in_the_response(Content::$content)).await;
            }
        }
    )+};
}

for_each_content! {
    requests_without_content: None,
    requests_with_their_content_at_hand: Whole,
    requests_with_replayable_content: Replayable,
    requests_with_streaming_content: Streaming
}
