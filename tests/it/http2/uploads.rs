//! The body of a request over a stream: what ends it, and what must not.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use http_body_util::Full;
use pool_core::ErrorKind;
use pooled_fetch_tests::raw_http2::{self, END_STREAM, STREAMS, WINDOW, kind, status};
use pooled_fetch_tests::{bounded, ends_idle, eventually, let_pass, post};
use tokio::time::timeout;

use super::signs::SECOND;
use super::*;

super::over_tls_too! {
    a_trailer_that_http2_does_not_know_fails_the_request,
    a_large_upload_to_a_server_that_reads_in_small_pieces_is_no_flood,
    an_upload_that_stalls_after_its_response_gives_its_place_back,
    a_body_that_was_asked_for_is_sent_on_after_an_early_answer,
    bodies_that_time_out_are_not_reset_faster_than_other_streams,
}

/// Ends with a trailer that only HTTP/1 knows.
struct WithConnection(u8);

impl http_body::Body for WithConnection {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 => Some(Ok(Frame::data(Bytes::from_static(b"data")))),
            2 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("connection", HeaderValue::from_static("close"));
                Some(Ok(Frame::trailers(trailers)))
            }
            _ => None,
        })
    }
}

#[tokio::test]
async fn a_trailer_that_http2_does_not_know_fails_the_request() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let request = Request::post("/").body(WithConnection(0)).expect("a request");
        let client = tokio::spawn(caller.fetch(request));
        let mut connection = server.greet(100).await;
        let stream = connection.request().await;
        assert_eq!(connection.next(kind::RST_STREAM).await.stream, stream);
        let error = client.await.expect("no panic").expect_err("it cannot be sent");
        assert_eq!(error.kind(), ErrorKind::RequestBody, "{error}");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_large_upload_to_a_server_that_reads_in_small_pieces_is_no_flood() {
    const FRAME_SIZE: u16 = 5;
    const PIECE: usize = 4096;
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let client = tokio::spawn(caller.fetch(post("/", Bytes::from(vec![0; 32 << 20]))));
        let mut connection = server.accept().await;
        let window = 1 << 20;
        connection.settings(&[(STREAMS, 250), (FRAME_SIZE, window), (WINDOW, window)]).await;
        let more = window - 65_535;
        connection.frame(kind::WINDOW_UPDATE, 0, 0, &more.to_be_bytes()).await;
        let stream = loop {
            let frame = connection.next(kind::DATA).await;
            if frame.flags & END_STREAM == END_STREAM {
                break frame.stream;
            }
            let mut updates = Vec::new();
            for piece in frame.payload.chunks(PIECE) {
                let read = u32::try_from(piece.len()).expect("a small one").to_be_bytes();
                for stream in [0, frame.stream] {
                    updates.extend(raw_http2::frame(kind::WINDOW_UPDATE, 0, stream, &read));
                }
            }
            connection.write(&updates).await;
        };
        connection.answer(stream, b"done").await;
        assert_eq!(client.await.expect("no panic").expect("a response").body, "done");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stalls_after_its_response_gives_its_place_back() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let client = tokio::spawn(caller.fetch(post("/", Bytes::from(vec![0; 1 << 20]))));
        let mut connection = server.greet(100).await;
        let stream = connection.request().await;
        connection.answer(stream, b"whole").await;
        assert_eq!(client.await.expect("no panic").expect("a response").body, "whole");
        let reset = connection.next(kind::RST_STREAM).await;
        assert_eq!(reset.stream, stream);
        eventually("its place is free", || caller.pool.stats().streams == 0).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_asked_for_is_sent_on_after_an_early_answer() {
    bounded(async {
        for expects in [true, false] {
            let (caller, mut server) = start_raw(|settings| settings).await;
            let mut request = Request::post("/");
            if expects {
                request = request.header("expect", "100-continue");
            }
            let body = Full::new(Bytes::from(vec![0; 200_000]));
            let client = tokio::spawn(caller.fetch(request.body(body).expect("a request")));
            let mut connection = server.greet(100).await;
            let stream = connection.request().await;
            if expects {
                connection.head(stream, 0, &status("100")).await;
            }
            let mut received = 0;
            while received < 65_535 {
                received += connection.next(kind::DATA).await.payload.len();
            }
            connection.answer(stream, b"early").await;
            client.await.expect("no panic").expect("a response");
            for stream in [0, stream] {
                let more = (1_u32 << 20).to_be_bytes();
                connection.frame(kind::WINDOW_UPDATE, 0, stream, &more).await;
            }
            while let Ok(Some(frame)) = timeout(SECOND, connection.read()).await {
                assert_ne!(frame.kind, kind::RST_STREAM, "it was cut");
                received += if frame.kind == kind::DATA { frame.payload.len() } else { 0 };
            }
            assert_eq!(received, 200_000);
            ends_idle(caller).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bodies_that_time_out_are_not_reset_faster_than_other_streams() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings.body_timeout(SECOND)).await;
        let clients: Vec<_> = (0..100).map(|_| tokio::spawn(caller.fetch(get("/")))).collect();
        let mut connection = server.greet(100).await;
        for _ in 0..100 {
            let stream = connection.request().await;
            connection.head(stream, 0, raw_http2::OK).await;
        }
        for client in clients {
            let error = client.await.expect("no panic").expect_err("no body");
            assert_eq!(error.kind(), ErrorKind::BodyTimeout);
        }
        let mut resets = 0;
        while let Ok(Some(frame)) = timeout(SECOND / 100, connection.read()).await {
            resets += usize::from(frame.kind == kind::RST_STREAM);
        }
        assert!((1..=17).contains(&resets), "{resets} at once");
        let_pass(SECOND * 10).await;
        ends_idle(caller).await;
    })
    .await;
}
