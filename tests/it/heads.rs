//! The head of a response has a limit in bytes and one of fields, each with an error that names its setting.

use pool_core::ErrorKind;
use pooled_fetch_tests::{
    Backend, Caller, Server, ends_idle, for_each_backend, get, post, start, start_with,
};

for_each_backend! {
    a_hundred_fields_pass_and_one_more_is_an_error_that_names_the_setting,
    as_many_fields_pass_as_are_set_and_no_more,
    a_head_of_too_many_bytes_is_an_error_that_names_another_setting,
    interim_answers_without_end_are_ended_at_the_limit_for_heads,
}

/// A response with so many fields, its length among them.
fn with_fields(fields: usize) -> String {
    let others: String = (1..fields).map(|number| format!("x-{number}: {number}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{others}content-length: 0\r\n\r\n")
}

/// Shows that this many fields pass over a new connection, and one more is an error.
async fn most_fields(caller: &Caller, server: &mut Server, most: usize, content: &'static str) {
    let client = caller.fetch(post("/", content));
    let (mut connection, _, whole) = server.open(client, with_fields(most)).await;
    assert_eq!(whole.head.headers.len(), most);
    let client = tokio::spawn(caller.fetch(post("/", content)));
    connection.read_request().await;
    connection.write(with_fields(most + 1)).await;
    let error = client.await.expect("no panic").expect_err("one too many");
    assert_eq!(error.kind(), ErrorKind::Response);
    let told = format!("the head has more fields than the {most} of max_response_fields");
    assert!(error.to_string().contains(&told), "{error}");
    assert_eq!(error.evidence().attempts(), 1);
    connection.read_to_end().await;
}

async fn a_hundred_fields_pass_and_one_more_is_an_error_that_names_the_setting(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    most_fields(&caller, &mut server, 100, "").await;
    ends_idle(caller).await;
}

async fn as_many_fields_pass_as_are_set_and_no_more(backend: Backend) {
    const LARGE: &str = match std::str::from_utf8(&[b'x'; 10_000]) {
        Ok(text) => text,
        Err(_) => "",
    };
    for most in [1, 10, 100, 101, 1000] {
        let (caller, mut server) =
            start_with(backend, |settings| settings.max_response_fields(most)).await;
        // hyper is opened anew for a large request.
        for content in ["", LARGE] {
            most_fields(&caller, &mut server, most, content).await;
        }
        ends_idle(caller).await;
    }
}

async fn a_head_of_too_many_bytes_is_an_error_that_names_another_setting(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| {
        settings.max_response_head(16 * 1024).max_response_fields(1000)
    })
    .await;
    for head in [
        format!("HTTP/1.1 200 OK\r\nlarge: {}\r\n\r\n", "x".repeat(64 * 1024)),
        format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(64 * 1024)),
    ] {
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.accept().await;
        connection.read_request().await;
        connection.try_write(head).await.ok();
        let error = client.await.expect("no panic").expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Response, "{error}");
        let told = "the head is larger than the 16384 bytes of max_response_head";
        assert!(error.to_string().contains(told), "{error}");
        drop(connection);
    }
    ends_idle(caller).await;
}

async fn interim_answers_without_end_are_ended_at_the_limit_for_heads(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_response_head(16 * 1024)).await;
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.accept().await;
    connection.read_request().await;
    while connection.try_write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.is_ok() {}
    let error = client.await.expect("no panic").expect_err("no final answer");
    assert_eq!(error.kind(), ErrorKind::EndlessInformational);
    let told = "1xx answers without end, beyond the 16384 bytes of max_response_head";
    assert!(error.to_string().contains(told), "{error}");
    // A turn of 128 KiB, and one buffer.
    let read = caller.watch.read();
    assert!(read <= (16 + 128 + 16) * 1024, "{read} bytes");
    ends_idle(caller).await;
}
