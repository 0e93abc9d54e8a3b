//! A body is whole with `END_STREAM` alone, whoever holds bodies unread stalls nobody else, and heads have a limit.

use bytes::Bytes;
use h2::Reason as Code;
use http::Request;
use http_body_util::{BodyExt, Full};
use pool_core::ErrorKind;
use pooled_fetch_tests::raw_http2::{END_STREAM, OK, content_length, set_cookie};
use pooled_fetch_tests::{bounded, ends_idle, get, post};

use super::*;

super::over_tls_too! {
    a_body_that_is_cut_by_a_reset_is_never_told_to_be_whole,
    a_body_that_is_cut_with_its_connection_is_never_told_to_be_whole,
    a_reset_after_the_end_of_a_body_takes_nothing_of_it,
    a_body_of_another_length_than_it_announced_is_an_error,
    a_response_without_a_body_by_rule_is_whole_whatever_length_it_tells,
    bodies_that_are_held_unread_stall_no_other,
    many_small_messages_that_are_held_unread_end_no_connection,
    a_connection_carries_no_more_streams_than_have_room_in_its_window,
    a_large_head_passes_up_to_the_limit_and_costs_only_its_own_stream_beyond_it,
    eight_large_cookies_pass_by_default,
}

#[tokio::test]
async fn a_body_that_is_cut_by_a_reset_is_never_told_to_be_whole() {
    bounded(async {
        for length in ["", "10", "5"] {
            for code in [Code::NO_ERROR, Code::CANCEL, Code::INTERNAL_ERROR, Code::REFUSED_STREAM] {
                let (caller, mut server) = start_raw(|settings| settings).await;
                let client = tokio::spawn(caller.fetch(get("/")));
                let mut connection = server.greet(10).await;
                let stream = connection.request().await;
                let announced = if length.is_empty() { Vec::new() } else { content_length(length) };
                connection.head(stream, 0, &[OK, &announced].concat()).await;
                connection.data(stream, 0, b"half ").await;
                connection.reset(stream, code).await;
                let error = client.await.expect("no panic").expect_err("half a body");
                assert_eq!(error.kind(), ErrorKind::ResponseBody, "{length} {code}: {error}");
                ends_idle(caller).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_cut_with_its_connection_is_never_told_to_be_whole() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        connection.head(stream, 0, OK).await;
        connection.data(stream, 0, b"half ").await;
        connection.goaway(stream, Code::NO_ERROR).await;
        drop(connection);
        let error = client.await.expect("no panic").expect_err("half a body");
        assert_eq!(error.kind(), ErrorKind::ResponseBody, "{error}");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_reset_after_the_end_of_a_body_takes_nothing_of_it() {
    bounded(async {
        for code in [Code::NO_ERROR, Code::CANCEL] {
            let (caller, mut server) = start_raw(|settings| settings).await;
            let client = tokio::spawn(caller.fetch(post("/", Bytes::from(vec![0; 1 << 20]))));
            let mut connection = server.greet(10).await;
            let stream = connection.request().await;
            // The server answers before it has read the upload, and wants no more of it.
            connection.answer(stream, b"whole").await;
            connection.reset(stream, code).await;
            assert_eq!(client.await.expect("no panic").expect("a response").body, "whole");
            ends_idle(caller).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_of_another_length_than_it_announced_is_an_error() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let mut connection = None;
        for (body, is_whole) in [("short", false), ("much too long", false), ("ten bytes!", true)] {
            let client = tokio::spawn(caller.fetch(get("/")));
            if connection.is_none() {
                connection = Some(server.greet(10).await);
            }
            let connection = connection.as_mut().expect("it was accepted");
            let stream = connection.request().await;
            connection.head(stream, 0, &[OK, &content_length("10")].concat()).await;
            connection.data(stream, END_STREAM, body.as_bytes()).await;
            let answer = client.await.expect("no panic");
            assert_eq!(answer.is_ok(), is_whole, "{body}: {answer:?}");
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_response_without_a_body_by_rule_is_whole_whatever_length_it_tells() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let mut connection = None;
        let head = || Request::head("/").body(Full::<Bytes>::default()).expect("a request");
        // 204 and 304 are of the static table too.
        let statuses = [(head(), OK), (get("/"), &[0x89][..]), (get("/"), &[0x8b][..])];
        for (request, status) in statuses {
            let client = tokio::spawn(caller.fetch(request));
            if connection.is_none() {
                connection = Some(server.greet(10).await);
            }
            let connection = connection.as_mut().expect("it was accepted");
            let stream = connection.request().await;
            let fields = [status, &content_length("10")].concat();
            connection.head(stream, END_STREAM, &fields).await;
            assert_eq!(client.await.expect("no panic").expect("no body is due").body, "");
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn bodies_that_are_held_unread_stall_no_other() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let mut held = Vec::new();
        let large = Bytes::from(vec![7; 2 << 20]);
        for _ in 0..8 {
            let client = tokio::spawn(caller.send(get("/large")));
            server.next().await.answer(large.clone());
            held.push(client.await.expect("no panic").expect("a head"));
        }
        let (small, stream) = under_way(&caller, &mut server, "/small").await;
        assert_eq!(stream.connection, 1);
        stream.answer("small");
        assert_eq!(small.await.expect("no panic").expect("a response").body, "small");
        for response in held {
            let whole = Whole::read(response).await.expect("all of it");
            assert_eq!(whole.body, large);
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn many_small_messages_that_are_held_unread_end_no_connection() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let client = tokio::spawn(caller.send(get("/stream")));
        let mut stream = server.next().await;
        let mut messages = stream.begin("first");
        let response = client.await.expect("no panic").expect("a head");
        let count = 20_000;
        for _ in 0..count {
            messages.send_data(Bytes::from_static(b"message"), false).expect("a client");
        }
        let (other, answer) = under_way(&caller, &mut server, "/other").await;
        assert_eq!(answer.connection, 1);
        answer.answer("other");
        assert_eq!(other.await.expect("no panic").expect("a response").body, "other");
        messages.send_data(Bytes::new(), true).expect("a client");
        let whole = response.into_body().collect().await.expect("all messages").to_bytes();
        assert_eq!(whole.len(), 5 + 7 * count);
        drop(stream);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_carries_no_more_streams_than_have_room_in_its_window() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| {
            settings.http2_stream_window(1 << 20).http2_connection_window(2 << 20)
        })
        .await;
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(under_way(&caller, &mut server, "/").await);
        }
        let of = |number| held.iter().filter(|(_, stream)| stream.connection == number).count();
        assert_eq!((of(1), of(2), of(3)), (2, 2, 1));
        for (client, stream) in held {
            stream.answer("done");
            client.await.expect("no panic").expect("a response");
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_large_head_passes_up_to_the_limit_and_costs_only_its_own_stream_beyond_it() {
    bounded(async {
        let (caller, mut server) =
            start_raw(|settings| settings.max_response_head(64 * 1024)).await;
        let kept = tokio::spawn(caller.fetch(get("/kept")));
        let mut connection = server.greet(10).await;
        let other = connection.request().await;
        let cookie = set_cookie(&"c".repeat(3_900));
        for (count, passes) in [(8, true), (16, true), (17, false), (25, false)] {
            let client = tokio::spawn(caller.fetch(get("/")));
            let stream = connection.request().await;
            let block = [OK, &cookie.repeat(count)].concat();
            let (first, rest) = block.split_at(block.len().min(16_000));
            let rest: Vec<&[u8]> = rest.chunks(16_000).collect();
            let end_headers = |last: bool| if last { 4 } else { 0 };
            connection.frame(1, END_STREAM | end_headers(rest.is_empty()), stream, first).await;
            for (at, piece) in rest.iter().enumerate() {
                connection.frame(9, end_headers(at + 1 == rest.len()), stream, piece).await;
            }
            match client.await.expect("no panic") {
                Ok(whole) => {
                    assert!(passes, "{count} cookies");
                    assert_eq!(whole.head.headers.get_all("set-cookie").iter().count(), count);
                }
                Err(error) => {
                    assert!(!passes, "{count} cookies: {error}");
                    assert!(error.to_string().contains("max_response_head"), "{error}");
                }
            }
        }
        connection.answer(other, b"kept").await;
        assert_eq!(kept.await.expect("no panic").expect("a response").body, "kept");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn eight_large_cookies_pass_by_default() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        let cookie = set_cookie(&"c".repeat(3_900));
        connection.frame(1, END_STREAM, stream, &[OK, &cookie].concat()).await;
        for last in [false, false, false, false, false, false, true] {
            connection.frame(9, if last { 4 } else { 0 }, stream, &cookie).await;
        }
        let whole = client.await.expect("no panic").expect("a response");
        assert_eq!(whole.head.headers.get_all("set-cookie").iter().count(), 8);
        ends_idle(caller).await;
    })
    .await;
}
