//! A TCP stream that can be made to read from the kernel itself, and whose user timeout does not hold during an upload.
//!
//! tokio answers a read from what epoll last told it. While a [`KernelCheck`] is open, this stream asks the
//! socket first: what the kernel has is read, an end is an end, and only when the kernel says that nothing
//! is there does the read go on as usual, which also leaves the waker.

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use pool_core::KernelCheck;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::user_timeout::UserTimeout;

/// Enough for a TLS session ticket at a time; on plain HTTP/1 any byte at all ends the connection.
const READ: usize = 512;

/// A TCP connection of a [`TcpConnector`](crate::TcpConnector).
#[derive(Debug)]
pub struct TcpStream {
    socket: tokio::net::TcpStream,
    check: KernelCheck,
    user_timeout: UserTimeout,
}

impl TcpStream {
    /// A stream over a socket for which the user timeout is set already.
    pub(crate) fn new(
        socket: tokio::net::TcpStream,
        check: KernelCheck,
        user_timeout: UserTimeout,
    ) -> Self {
        Self { socket, check, user_timeout }
    }

    /// Lifts the user timeout before an upload is written, or puts it back.
    #[inline]
    fn follow_upload(&mut self) {
        self.user_timeout.follow(self.check.is_uploading(), &self.socket);
    }

    /// Asks the kernel; pending when it has nothing, which settles the question.
    fn ask_kernel(&self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.socket).peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Poll::Ready(Ok(())),
            Ok(_) => self.read(buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.check.settle();
                Poll::Pending
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.ask_kernel(buffer),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Reads what the kernel has, of which the runtime may know nothing yet.
    #[inline(never)] // so that its buffer is not on the stack of every read
    fn read(&self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; READ];
        let room = buffer.remaining().min(READ);
        match (&*SockRef::from(&self.socket)).read(&mut bytes[..room]) {
            Ok(read) => {
                buffer.put_slice(&bytes[..read]);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.ask_kernel(buffer),
            Err(error) => Poll::Ready(Err(error)),
        }
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
        if self.check.is_open()
            && let Poll::Ready(result) = self.ask_kernel(buffer)
        {
            return Poll::Ready(result);
        }
        Pin::new(&mut self.socket).poll_read(cx, buffer)
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
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.follow_upload();
        Pin::new(&mut self.socket).poll_write_vectored(cx, buffers)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use pool_core::{ConnectOptions, Connector};
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
            let socket = SockRef::from(&connected.stream.socket);
            assert!(socket.tcp_nodelay().unwrap(), "{loopback}");
        }
    }

    async fn connected(connector: TcpConnector) -> (TcpListener, TcpStream) {
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
            let (_listener, stream) = connected(connector).await;
            let socket = SockRef::from(&stream.socket);
            assert!(socket.keepalive().unwrap(), "{connector:?}");
            assert_eq!(socket.tcp_keepalive_time().unwrap(), SECOND * time);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), SECOND * interval);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), probes);
        }
        let (_listener, stream) = connected(TcpConnector::builder().keep_alive(None).build()).await;
        assert!(!SockRef::from(&stream.socket).keepalive().unwrap());
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
            let (_listener, mut stream) = connected(connector).await;
            let now =
                |stream: &TcpStream| SockRef::from(&stream.socket).tcp_user_timeout().unwrap();
            assert_eq!(now(&stream), set, "{connector:?}");
            let check = stream.check.clone();
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
