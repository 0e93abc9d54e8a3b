//! A TCP stream whose user timeout does not hold during an upload.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pool_core::KernelCheck;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::checked::Checked;
use crate::user_timeout::UserTimeout;

/// A TCP connection of a [`TcpConnector`](crate::TcpConnector), or of a connector of your own.
#[derive(Debug)]
pub struct TcpStream {
    stream: Checked<tokio::net::TcpStream>,
    user_timeout: UserTimeout,
}

impl TcpStream {
    /// A stream over a socket that was opened elsewhere, and the check to put into
    /// [`Connected`](pool_core::Connected::with_kernel_check).
    ///
    /// The options of the socket stay as they are. `TCP_NODELAY` should be on, see
    /// [`TcpConnector`](crate::TcpConnector); a `TCP_USER_TIMEOUT` that is set already also holds while a server leaves an
    /// upload unread.
    pub fn from_tokio(socket: tokio::net::TcpStream) -> (Self, KernelCheck) {
        Self::new(socket, UserTimeout::new(None))
    }

    /// A stream over a socket for which the user timeout is set already.
    pub(crate) fn new(
        socket: tokio::net::TcpStream,
        user_timeout: UserTimeout,
    ) -> (Self, KernelCheck) {
        let (stream, check) = Checked::new(socket);
        (Self { stream, user_timeout }, check)
    }

    /// The socket, for what it tells of itself.
    pub fn get_ref(&self) -> &tokio::net::TcpStream {
        self.stream.get_ref()
    }

    /// Lifts the user timeout before an upload is written, or puts it back.
    #[inline]
    fn follow_upload(&mut self) {
        self.user_timeout.follow(self.stream.check().is_uploading(), self.stream.get_ref());
    }
}

// Inlined, because each only forwards a call into another crate, several times for every request.
impl AsyncRead for TcpStream {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.user_timeout.is_lifted() {
            self.follow_upload();
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TcpStream {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.follow_upload();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.follow_upload();
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use pool_core::{ConnectOptions, Connector};
    use socket2::SockRef;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::TcpConnector;

    #[tokio::test]
    async fn small_segments_do_not_wait_for_each_other_in_either_family_of_addresses() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(loopback).await.unwrap();
            let address = listener.local_addr().unwrap();
            let connected =
                TcpConnector::new().connect(&address, &ConnectOptions::new()).await.unwrap();
            let socket = SockRef::from(connected.stream.get_ref());
            assert!(socket.tcp_nodelay().unwrap(), "{loopback}");
        }
    }

    async fn connected(connector: &TcpConnector) -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connected = connector.connect(&address, &ConnectOptions::new()).await.unwrap();
        (listener, connected.stream)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn the_kernel_probes_idle_connections_as_it_is_told() {
        let often = TcpConnector::builder()
            .keep_alive(2 * SECOND)
            .keep_alive_interval(3 * SECOND)
            .keep_alive_probes(4);
        let least = TcpConnector::builder()
            .keep_alive(Duration::ZERO)
            .keep_alive_interval(Duration::ZERO)
            .keep_alive_probes(0);
        let most = TcpConnector::builder()
            .keep_alive(Duration::MAX)
            .keep_alive_interval(Duration::MAX)
            .keep_alive_probes(u32::MAX);
        for (connector, time, interval, probes) in [
            (TcpConnector::new(), 15, 15, 3),
            (TcpConnector::builder().build(), 15, 15, 3),
            (often.build(), 2, 3, 4),
            (least.build(), 1, 1, 1),
            (most.build(), 32_767, 32_767, 127),
        ] {
            let (_listener, stream) = connected(&connector).await;
            let socket = SockRef::from(stream.get_ref());
            assert!(socket.keepalive().unwrap(), "{connector:?}");
            assert_eq!(socket.tcp_keepalive_time().unwrap(), SECOND * time);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), SECOND * interval);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), probes);
        }
        let (_listener, stream) =
            connected(&TcpConnector::builder().keep_alive(None).build()).await;
        assert!(!SockRef::from(stream.get_ref()).keepalive().unwrap());
    }

    #[cfg(any(target_os = "android", target_os = "linux"))]
    #[tokio::test]
    async fn the_user_timeout_is_lifted_during_an_upload_and_put_back() {
        let limit = |limit: Option<Duration>| TcpConnector::builder().user_timeout(limit).build();
        for (connector, set) in [
            (TcpConnector::new(), Some(30 * SECOND)),
            (limit(Some(2 * SECOND)), Some(2 * SECOND)),
            (limit(Some(Duration::from_micros(1))), Some(Duration::from_millis(1))),
            (limit(Some(Duration::ZERO)), None),
            (limit(None), None),
        ] {
            let (_listener, mut stream) = connected(&connector).await;
            let now =
                |stream: &TcpStream| SockRef::from(stream.get_ref()).tcp_user_timeout().unwrap();
            assert_eq!(now(&stream), set, "{connector:?}");
            let check = stream.stream.check().clone();
            check.set_uploading(true);
            stream.write_all(b"much").await.unwrap();
            assert_eq!(now(&stream), None, "{connector:?}");
            check.set_uploading(false);
            let read = poll_fn(|cx| {
                let mut buffer = [0; 1];
                let read = Pin::new(&mut stream).poll_read(cx, &mut ReadBuf::new(&mut buffer));
                Poll::Ready(read.is_pending())
            });
            assert!(read.await, "nothing has come");
            assert_eq!(now(&stream), set, "{connector:?}");
        }
    }
}
