//! What a connection or a stream becomes when its server agrees to an upgrade or a tunnel.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::open_stream::OpenStream;
use crate::conn::http2::Tunnel;
use crate::sync::Mutex;

/// The stream of bytes behind a `101`, or behind a successful answer to `CONNECT`, over either version of HTTP.
///
/// Over HTTP/1 it is the whole connection, which counts towards no limit any more; over HTTP/2 one stream, which keeps its
/// place among those of its connection. It closes when it drops.
#[derive(Debug)]
pub struct Upgraded(Kind);

#[derive(Debug)]
enum Kind {
    Http1(TokioIo<hyper::upgrade::Upgraded>),
    Http2(Leased),
}

/// A tunnel has a place among the streams of its connection for as long as it lives.
#[derive(Debug)]
struct Leased {
    /// None once it has dropped.
    tunnel: Option<Tunnel>,
    stream: OpenStream,
}

impl Leased {
    fn tunnel(&mut self) -> Pin<&mut Tunnel> {
        let Some(tunnel) = &mut self.tunnel else { unreachable!("only the drop takes it") };
        Pin::new(tunnel)
    }
}

impl Drop for Leased {
    /// What was written goes out, as over a socket that closes.
    fn drop(&mut self) {
        if let Some(tunnel) = self.tunnel.take() {
            self.stream.end_tunnel(tunnel);
        }
    }
}

/// Waits in the extensions of a response, which have to be clones.
#[derive(Clone, Debug)]
pub(super) struct OnTunnel(Arc<Mutex<Option<Leased>>>);

impl OnTunnel {
    pub(super) fn new(tunnel: Tunnel, lease: OpenStream) -> Self {
        Self(Arc::new(Mutex::new(Some(Leased { tunnel: Some(tunnel), stream: lease }))))
    }
}

/// The stream that `response` has opened: one with status `101`, or a successful answer to `CONNECT`.
///
/// Over HTTP/1, `hyper::upgrade::on` does the same.
///
/// # Errors
///
/// When the response opened no stream, or its stream was taken before: [`io::ErrorKind::Unsupported`]. When the
/// connection has ended before it became one: [`io::ErrorKind::ConnectionAborted`].
///
/// # Cancel safety
///
/// The stream goes with the future.
///
/// # Examples
///
/// ```
/// use http::Response;
/// use pool_core::{Body, upgrade};
///
/// async fn tunnel(mut response: Response<Body>) -> std::io::Result<()> {
///     let mut stream = upgrade::on(&mut response).await?;
///     tokio::io::AsyncWriteExt::write_all(&mut stream, b"hello").await
/// }
/// # drop(tunnel);
/// ```
pub fn on<B>(
    response: &mut Response<B>,
) -> impl Future<Output = io::Result<Upgraded>> + Send + use<B> {
    let extensions = response.extensions_mut();
    let tunnel = extensions.remove::<OnTunnel>().and_then(|tunnel| tunnel.0.lock().take());
    let upgrade = extensions.remove::<OnUpgrade>();
    async move {
        match (tunnel, upgrade) {
            (Some(tunnel), _) => Ok(Upgraded(Kind::Http2(tunnel))),
            (None, Some(upgrade)) => match upgrade.await {
                Ok(upgraded) => Ok(Upgraded(Kind::Http1(TokioIo::new(upgraded)))),
                Err(error) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)),
            },
            (None, None) => {
                let why = "the response opened no stream, or it was taken before";
                Err(io::Error::new(io::ErrorKind::Unsupported, why))
            }
        }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Http1(stream) => Pin::new(stream).poll_read(cx, buffer),
            Kind::Http2(stream) => stream.tunnel().poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Http1(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::Http2(stream) => stream.tunnel().poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Http1(stream) => Pin::new(stream).poll_flush(cx),
            Kind::Http2(stream) => stream.tunnel().poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Http1(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Http2(stream) => stream.tunnel().poll_shutdown(cx),
        }
    }
}
