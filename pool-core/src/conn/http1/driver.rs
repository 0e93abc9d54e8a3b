//! hyper's side of an HTTP/1 connection: how it is opened over a stream, polled, ended, and taken off again.
//!
//! What must hold: a finished hyper connection is dropped in the very poll that finished it. Its sender would
//! wait for ever otherwise, and its socket would stay open.

#![expect(clippy::disallowed_types, reason = "hyper's side of HTTP/1 lives here")]

use std::error::Error as _;
use std::num::NonZeroU16;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::Request;
use hyper::client::conn::{TrySendError, http1};
use hyper::rt::{Read, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::armed_io::ArmedIo;
use super::body_handle::BodyHandle;
use crate::io::{ConnectionWaker, Counted};

/// Takes requests for a connection that the task which holds it drives.
pub(super) type Sender = http1::SendRequest<BodyHandle>;

/// Why there is no response; with the request, if hyper had not begun to write it.
pub(crate) type Unanswered = TrySendError<Request<BodyHandle>>;

/// A stream of any type that speaks no HTTP for now.
pub(super) trait Bare: Send {
    /// Ready when anything comes: an end, an error, or a byte that came unasked.
    fn poll_woken(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Opens HTTP/1 over the stream. No byte goes over it yet.
    fn shake_hands(
        self: Box<Self>,
        waker: &Arc<ConnectionWaker>,
        own_waker: &Waker,
        how: Buffers,
    ) -> hyper::Result<(Sender, Box<dyn Drive>)>;
}

/// hyper's side of a connection, whatever stream it is over.
pub(super) trait Drive: Send {
    /// Polls until nothing more can be done; at the end closes the stream.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Prepares for the stream to become something else after the next response.
    fn allow_upgrade(&mut self);

    /// How it came to its end, if it has.
    fn ending(&self) -> Option<Ending>;

    /// The error that ended it, if no response could report it.
    fn take_error(&mut self) -> Option<hyper::Error>;

    /// Opens HTTP/1 anew over the stream, with other buffers; none if that cannot be done.
    /// The stream closes if bytes of it were left over; otherwise it goes on as before.
    fn open_anew(&mut self, how: Buffers) -> Option<Sender>;

    /// Takes the stream back; none if it is in use, has ended, or bytes of it were left over.
    fn give_up_http(self: Box<Self>) -> Option<Box<dyn Bare>>;
}

/// How hyper came to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As the messages, or the end of the stream, asked for.
    Clean,
    /// It had read more than the messages.
    Surplus,
    /// The stream failed.
    Failed,
}

#[expect(clippy::large_enum_variant, reason = "it lives in the box of its connection")]
enum Driver<S: AsyncRead + AsyncWrite + Unpin> {
    Http(Http<ArmedIo<S>>),
    Upgradeable(Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>),
    Finished(Ending, Option<hyper::Error>),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drive for Driver<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = std::task::ready!(match self {
            Self::Http(connection) => connection.poll_without_shutdown(cx),
            Self::Upgradeable(connection) => connection.as_mut().poll(cx),
            Self::Finished(..) => return Poll::Ready(()),
        });
        *self = match ended {
            Ok(()) => Self::Finished(Ending::Clean, None),
            // Before the first message hyper takes an end for one amid a message.
            Err(error) if error.is_incomplete_message() => {
                Self::Finished(Ending::Clean, Some(error))
            }
            Err(error) if error.is_user() || error.source().is_some() => {
                Self::Finished(Ending::Failed, Some(error))
            }
            Err(error) => Self::Finished(Ending::Surplus, Some(error)),
        };
        Poll::Ready(())
    }

    fn allow_upgrade(&mut self) {
        *self = match std::mem::replace(self, Self::Finished(Ending::Clean, None)) {
            Self::Http(connection) => Self::Upgradeable(Box::pin(connection.with_upgrades())),
            other => other,
        };
    }

    fn ending(&self) -> Option<Ending> {
        match self {
            Self::Finished(ending, _) => Some(*ending),
            _ => None,
        }
    }

    fn take_error(&mut self) -> Option<hyper::Error> {
        match self {
            Self::Finished(_, error) => error.take(),
            _ => None,
        }
    }

    fn open_anew(&mut self, how: Buffers) -> Option<Sender> {
        if !matches!(self, Self::Http(_)) {
            return None;
        }
        let stream =
            std::mem::replace(self, Self::Finished(Ending::Surplus, None)).into_stream()?;
        let (sender, connection) = shake_hands(stream, how).ok()?;
        *self = Self::Http(connection);
        Some(sender)
    }

    fn give_up_http(self: Box<Self>) -> Option<Box<dyn Bare>> {
        let stream = self.into_stream()?;
        Some(Box::new(stream.into_inner()) as Box<dyn Bare>)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn into_stream(self) -> Option<ArmedIo<S>> {
        let Self::Http(connection) = self else { return None };
        let parts = connection.into_parts();
        parts.read_buf.is_empty().then_some(parts.io)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Bare for Counted<S> {
    fn poll_woken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // As long as a status line up to its code, so that a 408 can be told from other bytes.
        let mut bytes = [0; 16];
        Pin::new(self).poll_read(cx, &mut ReadBuf::new(&mut bytes)).map(|_| ())
    }

    fn shake_hands(
        self: Box<Self>,
        waker: &Arc<ConnectionWaker>,
        own_waker: &Waker,
        how: Buffers,
    ) -> hyper::Result<(Sender, Box<dyn Drive>)> {
        drive(*self, waker, own_waker, how)
    }
}

/// Opens HTTP/1 over a stream. No byte goes over it yet.
pub(super) fn drive<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: Counted<S>,
    waker: &Arc<ConnectionWaker>,
    own_waker: &Waker,
    how: Buffers,
) -> hyper::Result<(Sender, Box<dyn Drive>)> {
    let (sender, http) = shake_hands(ArmedIo::new(stream, waker, own_waker), how)?;
    Ok((sender, Box::new(Driver::Http(http))))
}

/// How hyper is to treat the buffers of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffers {
    /// Whether hyper writes the buffers of a request as they lie, many at a time. If not, hyper copies them into one,
    /// which is cheaper for small requests.
    pub(super) gathers: bool,
    /// How large the head of a response may be.
    pub(super) max_head: usize,
    /// How many fields it may have; as many as hyper takes by itself if none is said.
    pub(super) max_fields: Option<NonZeroU16>,
}

/// How large a head hyper takes by itself.
const HYPERS_MAX_HEAD: usize = 408 * 1024;

type Http<S> = http1::Connection<S, BodyHandle>;

fn shake_hands<S>(stream: S, how: Buffers) -> hyper::Result<(Sender, Http<S>)>
where
    S: Read + Write + Unpin,
{
    let mut builder = http1::Builder::new();
    if !how.gathers {
        builder.writev(false);
    }
    if how.max_head != HYPERS_MAX_HEAD {
        builder.max_buf_size(how.max_head);
    }
    if let Some(fields) = how.max_fields {
        builder.max_headers(usize::from(fields.get()));
    }
    let handshake = pin!(builder.handshake(stream));
    match handshake.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        // An HTTP/1 handshake exchanges nothing, so there is nothing that it could wait for.
        Poll::Pending => unreachable!("an HTTP/1 handshake waits for nothing"),
    }
}
