//! A connection for callers who want the connection itself.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;

use crate::body::Body;
use crate::connector::Connector;
use crate::error::Error;
use crate::info::ConnectionInfo;
use crate::lent::Held;
use crate::message::Message;
use crate::pool::Pool;
use crate::request_body::{BoxError, RequestBody};
use crate::stats::Reason;

impl<C: Connector> Pool<C> {
    /// Checks out a connection to `address`, for a caller who wants to know it before the request, or to send
    /// the request over this one or none.
    ///
    /// The connection counts as leased until its request has ended or the checkout is dropped, which gives
    /// it back.
    ///
    /// # Errors
    ///
    /// As those of [`http`](Self::http), up to the point where a connection is there.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn lease(&self, address: &C::Address) -> Result<Checkout, Error> {
        let lent = self.checkout(address).await?;
        let connection = lent.info();
        Ok(Checkout { held: Held::new(lent), connection })
    }
}

/// A connection that was checked out and has carried nothing yet; from [`Pool::lease`].
#[derive(Debug)]
pub struct Checkout {
    held: Held,
    connection: ConnectionInfo,
}

impl Checkout {
    /// The connection; its use number counts the requests before this one.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.connection
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
    /// Dropping the future closes the connection.
    pub async fn http<B>(self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut message = Message::new(request.map(RequestBody::new));
        match send(self.held, &mut message).await {
            Ok(response) => Ok(response),
            Err(error) => Err(message.explain(error)),
        }
    }

    /// Closes the connection instead of giving it back.
    pub fn close(self) {
        self.held.release().discard(Reason::Cancelled);
    }
}

async fn send(held: Held, message: &mut Message) -> Result<Response<Body>, Error> {
    let lane = Arc::clone(held.lane());
    let refuse = |why| Error::invalid_request(&lane.host.name, why);
    message.check().map_err(refuse)?;
    if !held.can_carry(message.chunked) {
        return Err(refuse("its server speaks HTTP/1.0, which knows no body of unknown length"));
    }
    let lent = held.release();
    lent.send(message).await.inspect_err(|error| message.note(error))
}
