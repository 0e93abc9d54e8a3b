//! A stream over a socket that can be made to read from the kernel itself.
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

/// A stream that lends the socket it stands on: every type with a descriptor.
#[cfg(unix)]
pub trait Socket: std::os::fd::AsFd {}

#[cfg(unix)]
impl<S: std::os::fd::AsFd> Socket for S {}

/// A stream that lends the socket it stands on.
#[cfg(windows)]
pub trait Socket: std::os::windows::io::AsSocket {}

#[cfg(windows)]
impl<S: std::os::windows::io::AsSocket> Socket for S {}

/// A stream over a socket that lets the pool ask the kernel: for connectors of your own.
///
/// The chief promise of the pool, that no request goes out over a connection which its server has left, and none takes
/// another's bytes for its answer, rests on a question that only the stream at the bottom can put; see [`KernelCheck`].
/// This wrapper puts it for any stream of bytes over a socket. The socket must not block, as those of tokio do not, and
/// the stream must keep nothing that it has read ahead.
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
///
/// use pool_core::{ConnectOptions, Connected, Connector, Target, async_trait};
/// use pool_tcp::Checked;
/// use tokio::net::TcpStream;
///
/// struct Plain;
///
/// #[async_trait]
/// impl Connector for Plain {
///     type Address = SocketAddr;
///     type Stream = Checked<TcpStream>;
///
///     async fn connect(
///         &self,
///         address: &SocketAddr,
///         _: &ConnectOptions,
///     ) -> std::io::Result<Connected<Self::Stream>> {
///         let (stream, check) = Checked::new(TcpStream::connect(address).await?);
///         Ok(Connected::new(stream).with_kernel_check(check))
///     }
///
///     fn target(&self, address: &SocketAddr) -> Target {
///         Target::http(address.to_string().parse().expect("a valid authority"))
///     }
/// }
/// # drop(pool_core::Pool::new(Plain));
/// ```
#[derive(Debug)]
pub struct Checked<S> {
    stream: S,
    check: KernelCheck,
}

impl<S: Socket> Checked<S> {
    /// Wraps a stream. The check belongs into [`Connected`](pool_core::Connected::with_kernel_check); without it the
    /// kernel is never asked.
    pub fn new(stream: S) -> (Self, KernelCheck) {
        let check = KernelCheck::new();
        (Self { stream, check: check.clone() }, check)
    }

    /// The stream within.
    #[inline]
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    #[inline]
    pub(crate) fn check(&self) -> &KernelCheck {
        &self.check
    }

    /// Asks the kernel; pending when it has nothing, which settles the question.
    fn ask_kernel(&self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]) {
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
        match (&*SockRef::from(&self.stream)).read(&mut bytes[..room]) {
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
impl<S: Socket + AsyncRead + Unpin> AsyncRead for Checked<S> {
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Socket + AsyncWrite + Unpin> AsyncWrite for Checked<S> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
