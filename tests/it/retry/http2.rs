//! The rule by which a request is sent again, over HTTP/2.
//!
//! A connection is cut at every byte of what the client writes, and of what the server writes back. What must then
//! become of the request is computed from the table in the documentation of `Pool::http` and from the frames of a
//! run that was not cut. What the server has seen is asked of the server.

use std::error::Error as StdError;

use bytes::Bytes;
use http::Request;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use pool_core::{Error, ErrorKind, Http2, Pool, Written};
use pooled_fetch_tests::{CutHttp2, How, Pieces, Whole, bounded, get, settle};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    None,
    AtHand,
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

/// Where in the bytes of a run that was not cut a message begins and ends.
#[derive(Clone, Copy, Debug)]
struct Extent {
    begin: usize,
    head: usize,
    end: usize,
}

impl Extent {
    /// Finds the message of the stream `id`.
    fn find(bytes: &[u8], id: u32) -> Self {
        const HEADERS: u8 = 1;
        const END_STREAM: u8 = 1;
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let mut place = if bytes.starts_with(PREFACE) { PREFACE.len() } else { 0 };
        let mut head = None;
        while let Some(&[a, b, c, kind, flags, i, j, k, l]) = bytes[place..].first_chunk() {
            let begin = place;
            place += 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            if u32::from_be_bytes([i, j, k, l]) == id {
                if kind == HEADERS {
                    head = Some((begin, place));
                }
                // The payload of other frames has other flags.
                if kind <= HEADERS && flags & END_STREAM != 0 {
                    let (begin, head) = head.expect("headers come first");
                    return Self { begin, head, end: place };
                }
            }
        }
        panic!("stream {id} has not ended within {} bytes", bytes.len());
    }
}

impl Case {
    /// Every kind of request with this content, over a fresh and over a reused connection.
    fn all(content: Content) -> Vec<Self> {
        let mut all = Vec::new();
        for method in ["GET", "POST"] {
            for (key, reused) in [(false, false), (false, true), (true, false), (true, true)] {
                all.push(Self { method, key, content, reused, how: How::Never });
            }
        }
        all
    }

    fn can_be_had_again(self) -> bool {
        self.content != Content::Streaming
    }

    fn is_idempotent(self) -> bool {
        self.key || self.method == "GET"
    }

    fn stream(self) -> u32 {
        if self.reused { 3 } else { 1 }
    }

    async fn send(self, pool: &Pool<CutHttp2>) -> Result<Whole, Error> {
        let mut builder = Request::builder().method(self.method).uri("/case");
        if self.key {
            builder = builder.header("idempotency-key", "k");
        }
        let response = match self.content {
            Content::None => {
                let body = Full::<Bytes>::default();
                pool.http(&"wire", builder.body(body).expect("a request")).await
            }
            Content::AtHand => {
                let body = Full::new(Bytes::from_static(b"content"));
                pool.http(&"wire", builder.body(body).expect("a request")).await
            }
            Content::Streaming => {
                let body: AnyBody = Pieces::new(["con", "tent"]).map_err(Into::into).boxed_unsync();
                pool.http(&"wire", builder.body(body).expect("a request")).await
            }
        };
        Whole::read(response?).await
    }

    /// A pool whose first connection is as the case wants it, armed.
    async fn prepare(self) -> (Pool<CutHttp2>, CutHttp2) {
        let wires = CutHttp2::new([self.how]);
        let pool = Pool::builder(wires.clone()).http2(Http2::Assumed).build();
        let pool = pool.expect("settings that make sense");
        if self.reused {
            let first = pool.http(&"wire", get("/first")).await.expect("nothing is cut yet");
            Whole::read(first).await.expect("nothing is cut yet");
            // Until what is left to be acknowledged is.
            settle().await;
        }
        wires.arm();
        (pool, wires)
    }

    /// Where the request stands in what is sent, and its response in what is received.
    async fn extents(self) -> (Extent, Extent) {
        let (pool, wires) = self.prepare().await;
        assert_eq!(self.send(&pool).await.expect("nothing is cut").body, "done");
        let (sent, received) = wires.record();
        (Extent::find(&sent, self.stream()), Extent::find(&received, self.stream()))
    }

    /// Cuts the connection, and compares what becomes of the request with what must.
    async fn run(self, request: Extent, response: Extent) {
        let (pool, wires) = self.prepare().await;
        let result = self.send(&pool).await;
        let stats = pool.stats();
        assert_eq!((stats.opening, stats.streams, stats.waiting), (0, 0, 0), "{self:?}");
        drop(pool);
        wires.until_served().await;
        let count = |paths: Vec<String>| paths.iter().filter(|path| *path == "/case").count();
        let (seen, executed) = (count(wires.seen()), count(wires.executed()));
        assert!(executed <= 1 || self.is_idempotent(), "executed {executed} times: {self:?}");

        let sent = wires.record().0.len();
        // What is held up may still go out, though nothing more is read.
        let unsent = sent <= request.begin && !matches!(self.how, How::End(_));
        let again = self.reused && self.can_be_had_again() && (self.is_idempotent() || unsent);
        let (saved, whole) = match self.how {
            How::Never => (false, true),
            How::WhileIdle | How::Write(_) | How::End(_) => (again, again),
            How::Read(at) if at >= response.end => (false, true),
            How::Read(at) if at >= response.head => (false, false),
            How::Read(_) => (again, again),
            How::Silent => unreachable!("no case is silent"),
        };
        // What the first connection has let through decides what the server can have seen over it; a head that is
        // followed by the end at once may be lost on it.
        let over_first = usize::from(sent >= request.head);
        assert!(sent == 0 || self.how != How::WhileIdle, "{self:?}");
        let possible = usize::from(saved)..=over_first + usize::from(saved);
        assert!(possible.contains(&seen), "{seen} times: {self:?}");
        assert_eq!(wires.opened(), 1 + usize::from(saved), "{self:?}");
        assert_eq!(stats.retried, u64::from(saved), "{self:?}");
        match result {
            Ok(response) => {
                assert!(whole, "{self:?}");
                assert_eq!(response.body, "done");
                assert!(executed >= 1);
            }
            Err(error) => {
                assert!(!whole, "{self:?}: {error}");
                self.check_evidence(error, response, (sent, seen));
            }
        }
    }

    fn check_evidence(self, error: Error, response: Extent, (sent, seen): (usize, usize)) {
        let evidence = error.evidence();
        let held_up = matches!(self.how, How::End(_));
        assert!(evidence.is_unsent() || sent > 0 || held_up, "{self:?}: {error}");
        if evidence.attempts() == 0 {
            // The connection did not even begin to speak.
            assert!(!self.reused && seen == 0, "{self:?}: {error}");
            let kinds = [ErrorKind::Connect, ErrorKind::ConnectTimeout];
            assert!(kinds.contains(&error.kind()), "{self:?}: {error}");
            assert!(error.into_request().is_ok());
            return;
        }
        assert_eq!(evidence.attempts(), 1, "{self:?}");
        assert_eq!(evidence.is_fresh(), !self.reused, "{self:?}: {error}");
        assert!(!evidence.is_unprocessed() || seen == 0, "{self:?}: {error}");
        let expected = match self.how {
            How::Read(at) if at >= response.head => ErrorKind::ResponseBody,
            _ if evidence.written() == Written::Nothing => ErrorKind::Unsent,
            _ => ErrorKind::Response,
        };
        assert_eq!(error.kind(), expected, "{self:?}: {error}");
        if let Ok(request) = error.into_request() {
            assert_eq!(seen, 0, "the server has it: {self:?}");
            assert_eq!((request.method().as_str(), request.uri().path()), (self.method, "/case"));
        }
    }
}

async fn cut_while_idle(content: Content) {
    for case in Case::all(content) {
        let (request, response) = case.extents().await;
        case.run(request, response).await;
        if !case.reused {
            continue;
        }
        Case { how: How::WhileIdle, ..case }.run(request, response).await;
    }
}

async fn cut_in_the_request(content: Content) {
    for uncut in Case::all(content) {
        let (request, response) = uncut.extents().await;
        for at in 0..request.end {
            for how in [How::Write(at), How::End(at)] {
                Case { how, ..uncut }.run(request, response).await;
            }
        }
    }
}

async fn cut_in_the_response(content: Content) {
    for uncut in Case::all(content) {
        let (request, response) = uncut.extents().await;
        for at in 0..=response.end {
            Case { how: How::Read(at), ..uncut }.run(request, response).await;
        }
    }
}

macro_rules! for_each_content {
    ($($name:ident: $content:ident),+) => {$(
        mod $name {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn one_whose_idle_connection_was_closed_is_saved_if_it_can_be_sent_again() {
                bounded(cut_while_idle(Content::$content)).await;
            }

            #[tokio::test(start_paused = true)]
            async fn one_that_is_cut_at_any_byte_is_saved_or_fails_as_the_table_says() {
                bounded(cut_in_the_request(Content::$content)).await;
            }

            #[tokio::test(start_paused = true)]
            async fn one_whose_response_is_cut_at_any_byte_is_saved_or_fails_as_the_table_says() {
                bounded(cut_in_the_response(Content::$content)).await;
            }
        }
    )+};
}

for_each_content! {
    requests_without_content: None,
    requests_with_their_content_at_hand: AtHand,
    requests_with_streaming_content: Streaming
}
