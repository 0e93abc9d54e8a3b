//! The server over HTTP/2.

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Error, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{Method, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;

use crate::server::{BODY, LARGE, LARGEST};
use crate::service_http1::large;

/// Room for more streams than any load has, and for their bodies: no client waits for the server's word.
const STREAMS: u32 = 1024;
const STREAM_WINDOW: u32 = 2 * LARGEST as u32;
const CONNECTION_WINDOW: u32 = 64 * LARGEST as u32;

pub(crate) async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(STREAMS);
    builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    let mut connection = builder.handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        if request.method() == Method::POST {
            spawn_local(read(request.into_body(), respond));
        } else {
            let body = match large(request.uri().path()) {
                None => Bytes::from_static(BODY),
                Some(length) => LARGE.slice(..length),
            };
            answer(respond, body)?;
        }
    }
    Ok(())
}

/// A client that goes meanwhile needs no answer.
async fn read(mut body: RecvStream, respond: SendResponse<Bytes>) {
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
    }
    let _ = answer(respond, Bytes::from_static(BODY));
}

fn answer(mut respond: SendResponse<Bytes>, body: Bytes) -> Result<(), Error> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    respond.send_response(response, false)?.send_data(body, true)
}
