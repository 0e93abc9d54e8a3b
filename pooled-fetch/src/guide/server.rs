// A server for the programs of the guide, which take it in by `include!`. It is no module of the crate.
//
// `/` is answered with "hello"; a body that is sent comes back; `/slow` is never answered, the body of `/stuck` never ends, and
// `/chat` becomes a stream that sends back what comes.

async fn serve() -> std::io::Result<std::net::SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_over(stream));
        }
    });
    Ok(address)
}

async fn serve_over<S>(stream: S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let io = hyper_util::rt::TokioIo::new(stream);
    let answer = hyper::service::service_fn(answer);
    // Whether the client has left in order is its own affair.
    let server = hyper::server::conn::http1::Builder::new();
    let _ = server.serve_connection(io, answer).with_upgrades().await;
}

type ServerBody = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, std::convert::Infallible>;

async fn answer(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<ServerBody>, hyper::Error> {
    use http_body_util::BodyExt as _;

    let body = match request.uri().path() {
        "/slow" => std::future::pending().await,
        "/chat" => {
            tokio::spawn(async move {
                let stream = hyper::upgrade::on(request).await?;
                let (mut from, mut to) = tokio::io::split(hyper_util::rt::TokioIo::new(stream));
                let _ = tokio::io::copy(&mut from, &mut to).await;
                Ok::<_, hyper::Error>(())
            });
            let switch = http::Response::builder().status(101).header("connection", "upgrade");
            let body = http_body_util::Empty::new().boxed_unsync();
            return Ok(switch.header("upgrade", "chat").body(body).expect("a response"));
        }
        "/stuck" => {
            let first = http_body::Frame::data(bytes::Bytes::from_static(b"and then"));
            let stream = futures_util::StreamExt::chain(
                futures_util::stream::iter([Ok(first)]),
                futures_util::stream::pending(),
            );
            http_body_util::StreamBody::new(stream).boxed_unsync()
        }
        _ => match request.into_body().collect().await?.to_bytes() {
            sent if sent.is_empty() => http_body_util::Full::from("hello").boxed_unsync(),
            sent => http_body_util::Full::from(sent).boxed_unsync(),
        },
    };
    Ok(http::Response::new(body))
}
