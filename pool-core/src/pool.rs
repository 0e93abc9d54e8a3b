//! The pool: what users hold, and the way in.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;

use crate::connector::Connector;
use crate::exchange::{self, Body, PendingRequest};
use crate::lanes::{self, Hosts, Unused};
use crate::report::{ConnectionInfo, Error, Reason, Stats};
use crate::request::{BoxError, RequestBody};
use crate::settings::{ByAddress, Settings};

/// HTTP connections, kept by address and lent to requests.
///
/// A pool is a handle: clones share the same connections. When the last one drops, idle connections close at once, and
/// lent ones close when their responses end.
///
/// One pool may be used from several tokio runtimes. A connection is lent only to requests of the runtime that opened
/// it.
pub struct Pool<C: Connector> {
    handle: Arc<Handle<C>>,
}

/// What all clones of a pool share. Watchers keep the map for a moment while they visit it, but never this.
struct Handle<C: Connector>(Arc<Hosts<C>>);

impl<C: Connector> Drop for Handle<C> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<C: Connector> Pool<C> {
    /// A pool with the default settings.
    pub fn new(connector: C) -> Self {
        Self::with_settings(connector, Settings::default(), None)
    }

    pub(crate) fn with_settings(
        connector: C,
        settings: Settings,
        by_address: Option<ByAddress<C::Address>>,
    ) -> Self {
        Self { handle: Arc::new(Handle(Hosts::new(connector, settings, by_address))) }
    }

    pub(crate) fn hosts(&self) -> &Arc<Hosts<C>> {
        &self.handle.0
    }

    /// Sends a request to `address` and waits for the head of its response.
    ///
    /// The request goes over the connection that was checked in last, if one is idle and proves to be alive,
    /// else over a new one. [`reuse`](crate::reuse()) limits it to connections of a kind.
    ///
    /// A request without `Host` gets one; an absolute URI is written in origin form. The connection is checked in
    /// by itself when the response body has ended or was dropped.
    ///
    /// The future borrows the pool and the address, which saves two counts for each request. One that can be spawned is that of
    /// [`pool.to(address).http(request)`](crate::ToAddress::http).
    ///
    /// # What is sent
    ///
    /// A request of HTTP/1.1 goes over HTTP/1 in the words of its caller, with what it lacks to be whole: a `Host`, the
    /// length of its body. A head of HTTP/1.0 or HTTP/2, which a gateway has from another hop, goes out in the version that
    /// is spoken here (RFC 9110 2.5), without what it says of its own connection (RFC 9110 7.6.1); see
    /// [`Http10`](crate::Http10) for HTTP/1.0. Whatever the version, several `cookie` fields go over HTTP/1 as one, lengths
    /// that agree are told once, `TE` goes out as `trailers` or not at all, and `Expect: 100-continue` only with content.
    ///
    /// # What is sent again
    ///
    /// A server may close an idle connection at the moment when a request is on its way. Then the request is
    /// sent again, over another connection:
    ///
    /// | the request failed | is it sent again? |
    /// | --- | --- |
    /// | and cannot be sent again: its body streams and was begun | no |
    /// | because an HTTP/2 server refused it unprocessed, on any connection | yes, whatever its method, five times at most |
    /// | because an HTTP/2 server requires HTTP/1.1, and idempotent | yes, over HTTP/1.1, where the address negotiates |
    /// | on a fresh connection | no: a server that fails would fail again |
    /// | on a reused connection that accepted no byte of it | yes, whatever its method |
    /// | on a reused HTTP/1 connection, with nothing read, and idempotent or with an `Idempotency-Key` | yes, over a fresh one, and that attempt is final |
    /// | likewise over HTTP/2 | yes, within the budget, over one opened after the failure |
    /// | in any other way | no: what the server did is unknown |
    ///
    /// Idempotent are GET, HEAD, OPTIONS, TRACE, PUT and DELETE (RFC 9110 9.2.2). `Full`, `Empty`, strings and
    /// [`ReplayableBody`](crate::ReplayableBody) can be sent again. There are three attempts at most; after two over
    /// reused connections the third is over a fresh one, and final. Where servers refuse the request there are six, as in
    /// Go, with a pause before each but the first repetition, of 50 ms and twice as long each time: a place may come free.
    ///
    /// Over HTTP/1 a repetition uses up a connection that an earlier response had left idle, so responses bound the
    /// repetitions, as in Go and nginx. One HTTP/2 connection may end with many requests on it, so there a budget bounds
    /// them, that of Envoy: for each address a fifth of its requests, saved up to a thousand, and three at once whatever
    /// came before. The requests that were lost together share the connection that is opened after that.
    ///
    /// # Errors
    ///
    /// An [`Error`] that names the step and the address, with [evidence](Error::evidence) of how far the request
    /// had come, and with the request itself if it is [proven unsent](Error::into_request). A request that
    /// contradicts itself is refused before anything is sent, and so is one whose URI is `https` where the connection
    /// would be in the clear; see [`Builder::https_over_cleartext`](crate::Builder::https_over_cleartext).
    ///
    /// A response over HTTP/1 that contradicts itself about its length is an error as well
    /// ([`ErrorKind::Response`](crate::ErrorKind::Response)), its connection closes, and the request is not sent again: one
    /// with `content-length` beside `transfer-encoding`, with several lengths, or with a transfer coding other than one
    /// `chunked` (RFC 9112 6.3), as in Envoy and nginx. `gzip, chunked` is legal, and refused because only the chunks would
    /// be taken off; no request asks for it, because `TE` goes out as `trailers` alone.
    ///
    /// So are a 101 to a request that asks for no upgrade, and any over HTTP/2 (RFC 9113 8.6). Trailers that hold a field
    /// which frames or routes a message, or is of one connection (RFC 9110 6.5.1), fail the body
    /// ([`ErrorKind::ResponseBody`](crate::ErrorKind::ResponseBody)). Fields of the connection in the head of a response over
    /// HTTP/1 do reach the caller: a gateway that passes the response on leaves them out, as the example `gateway` does. So does any
    /// status up to 999, as in Go and curl: some servers use them, and RFC 9110 15 has clients take those beyond 599 for 5xx.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any await. An HTTP/1 connection that had begun to carry the request closes; over
    /// HTTP/2 only the stream is reset.
    // A call would move the future, and the request in it, once more.
    #[inline(always)]
    pub fn http<'a, B>(
        &'a self,
        address: &'a C::Address,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // Here and not in the future, which then need not hold the caller's type as well.
        exchange::send(
            self.hosts(),
            address,
            PendingRequest::new(request.map(RequestBody::new)),
            None,
        )
    }

    /// Sends a request to any one of `addresses`, which serve it alike, and waits for the head of its response.
    ///
    /// It goes over an idle connection to the first of them that has one. Where none is idle it waits at the first address,
    /// and beside it at the next after 250 ms (RFC 8305 5), or at once when a dial there fails, and so on; what is
    /// there first serves it, and what comes too late becomes idle. Those that [fail](crate::Backoff) come last, and those that are retired are
    /// left out. All else is as with [`http`](Self::http); the total time is that of the first address, whose statistics have the request; the other times are those of the one that serves it.
    ///
    /// # Errors
    ///
    /// As [`http`](Self::http). Where no address has a connection it is the error of the one that failed first. No address at
    /// all is an [invalid request](crate::ErrorKind::InvalidRequest).
    ///
    /// # Cancel safety
    ///
    /// As [`http`](Self::http).
    pub async fn http_any<B>(
        &self,
        addresses: &[C::Address],
        request: Request<B>,
    ) -> Result<Response<Body>, Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let pending = PendingRequest::new(request.map(RequestBody::new));
        exchange::send_to_any(self.hosts(), addresses, pending).await
    }

    /// Checks out a connection to `address`, for a caller that wants to know it before the request, or to send the
    /// request over this one or none.
    ///
    /// The connection counts as leased until its request has ended or the checkout is dropped, which checks it in.
    ///
    /// # Errors
    ///
    /// As those of [`http`](Self::http), up to the point where there is a connection.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any await. A connection that is being opened for it serves the next request, or
    /// becomes idle; of several that no request waits for, only the oldest is opened.
    pub async fn lease(&self, address: &C::Address) -> Result<Checkout, Error> {
        Ok(Checkout(Unused::new(self.hosts().lease(address).await?)))
    }

    /// Every address that the pool knows, each with its part of [`stats`](Self::stats), in no order.
    ///
    /// For a page, a balancer, or an export of metrics. It walks the addresses without keeping requests from them; ten
    /// thousand take a few milliseconds (`cargo bench -p pooled-fetch-bench --bench snapshot`).
    pub fn snapshot(&self) -> Vec<(C::Address, Stats)> {
        self.hosts().snapshot()
    }

    /// What the pool has done and what it holds.
    pub fn stats(&self) -> Stats {
        self.hosts().stats()
    }

    /// The part of [`stats`](Self::stats) that concerns one address; none if the pool knows nothing of it.
    pub fn stats_of(&self, address: &C::Address) -> Option<Stats> {
        self.hosts().stats_of(address)
    }
}

impl<C: Connector> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<C: Connector> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// A connection that was checked out and has carried nothing yet; from [`Pool::lease`].
#[derive(Debug)]
pub struct Checkout(Unused);

impl Checkout {
    /// The connection; its use number counts the requests before this one.
    pub fn connection(&self) -> &ConnectionInfo {
        self.0.connection()
    }

    /// Sends a request over this connection, and over no other.
    ///
    /// # Errors
    ///
    /// As [`Pool::http`], but a connection that turns out stale is an error,
    /// [`ErrorKind::Unsent`](crate::ErrorKind::Unsent).
    ///
    /// # Cancel safety
    ///
    /// As [`Pool::http`].
    pub async fn http<B>(self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let pending = PendingRequest::new(request.map(RequestBody::new));
        exchange::send_over(self.0, pending).await
    }

    /// Holds the connection for several requests, one after the other.
    pub fn hold(self) -> Held {
        Held(lanes::Held::new(self.0))
    }

    /// Closes the connection instead of checking it in. A shared HTTP/2 connection ends with its last stream.
    pub fn close(self) {
        self.0.use_now().discard(Reason::Cancelled);
    }
}

/// A connection that is held for several requests, one after the other; from [`Checkout::hold`].
///
/// For what a server binds to a connection, such as NTLM, or a transaction. It counts as leased until this is dropped, which checks it
/// in, at the latest when its last response has ended; a pool that closes, or whose address is retired, waits for that too. An
/// [`Observer`](crate::Observer) is told of each request as of a lease of its own. Over HTTP/2 nothing is held: the connection is shared with other requests, which
/// may go on beside these, and closes as any other.
#[derive(Debug)]
pub struct Held(lanes::Held);

impl Held {
    /// The connection, as it was when it was checked out.
    pub fn connection(&self) -> &ConnectionInfo {
        self.0.connection()
    }

    /// Sends a request over this connection, and over no other. Over HTTP/1 it waits until the response before has been
    /// read to its end, or was dropped.
    ///
    /// # Errors
    ///
    /// As [`Pool::http`], but a connection that has closed is an error, [`ErrorKind::Unsent`](crate::ErrorKind::Unsent); so is one whose
    /// HTTP/2 server allows no further stream now.
    ///
    /// # Cancel safety
    ///
    /// As [`Pool::http`]. What is dropped before it began to be sent leaves the connection as it is.
    pub async fn http<B>(&mut self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let pending = PendingRequest::new(request.map(RequestBody::new));
        exchange::send_over_held(&mut self.0, pending).await
    }

    /// Takes the connection out of the pool: it counts towards no limit any more, and closes when this is dropped.
    ///
    /// For a connection that lives as long as the program, beside a pool whose limit is for others. It waits as
    /// [`http`](Self::http) does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsent`](crate::ErrorKind::Unsent), when the connection has closed, or is shared, as over HTTP/2.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any await.
    pub async fn detach(&mut self) -> Result<(), Error> {
        self.0.detach().await
    }

    /// Closes the connection instead of checking it in, when a response that is still held has ended. A shared one ends
    /// with its last stream.
    pub fn close(self) {
        self.0.close();
    }
}
