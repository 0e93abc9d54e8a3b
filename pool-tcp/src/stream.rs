//! A TCP stream that can be made to read from the kernel itself.
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

/// Enough for a TLS session ticket at a time; on plain HTTP/1 any byte at all ends the connection.
const READ: usize = 512;

/// A TCP connection of a [`TcpConnector`](crate::TcpConnector).
#[derive(Debug)]
pub struct TcpStream {
    socket: tokio::net::TcpStream,
    check: KernelCheck,
}

impl TcpStream {
    pub(crate) fn new(socket: tokio::net::TcpStream, check: KernelCheck) -> Self {
        Self { socket, check }
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
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
    use pool_core::Connector;
    use tokio::net::TcpListener;

    use super::*;
    use crate::TcpConnector;

    #[tokio::test]
    async fn small_segments_do_not_wait_for_each_other_in_either_family_of_addresses() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(loopback).await.unwrap();
            let address = listener.local_addr().unwrap();
            let connected = TcpConnector::new().connect(&address).await.unwrap();
            let socket = SockRef::from(&connected.stream.socket);
            assert!(socket.tcp_nodelay().unwrap(), "{loopback}");
        }
    }
}
