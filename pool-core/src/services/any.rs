//! Requests that say where they go.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body::Body as HttpBody;

use super::future::ResponseFuture;
use crate::connector::Connector;
use crate::pool::Pool;
use crate::report::Error;
use crate::request::{BoxError, RequestBody};

/// In the extensions of a request: where [`PoolService`] sends it.
///
/// A type of its own, because frameworks put bare socket addresses there, such as that of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct To<A>(pub A);

impl<A> AsRef<A> for To<A> {
    fn as_ref(&self) -> &A {
        &self.0
    }
}

/// Sends each request to the address that it names; from [`Pool::service`].
///
/// It is always ready: before it has seen the request it cannot know which address has to be asked. [`Pool::to`] has
/// back-pressure.
pub struct PoolService<C: Connector> {
    pool: Pool<C>,
    choose: Option<Arc<Choose<C>>>,
}

type Choose<C> = dyn Fn(&Parts) -> Option<<C as Connector>::Address> + Send + Sync;

impl<C: Connector> Pool<C> {
    /// The pool as a service, with the feature `tower`. A request goes to the address in its extension [`To`]; where it has none,
    /// to the one that [`PoolService::by`] chooses.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_service::Service;
    ///
    /// # use pool_core::{Connector, Pool, ResponseFuture, To};
    /// # use http_body_util::Empty;
    /// # fn send<C: Connector>(pool: &Pool<C>, address: C::Address) -> Result<ResponseFuture, http::Error> {
    /// let request = http::Request::get("/").extension(To(address)).body(Empty::new())?;
    /// let response = pool.service().call(request);
    /// # Ok(response) }
    /// ```
    pub fn service(&self) -> PoolService<C> {
        PoolService { pool: self.clone(), choose: None }
    }
}

impl<C: Connector> PoolService<C> {
    /// Has `choose` tell from its head where a request goes that has no [`To`] in its extensions; that one wins, because it is of
    /// this one request.
    ///
    /// A request for which `choose` knows no address either is an [invalid request](crate::ErrorKind::InvalidRequest), and
    /// nothing of it is sent. It comes back with the [error](Error::into_request).
    #[must_use]
    pub fn by(
        mut self,
        choose: impl Fn(&Parts) -> Option<C::Address> + Send + Sync + 'static,
    ) -> Self {
        self.choose = Some(Arc::new(choose));
        self
    }

    pub(super) fn http<B>(&self, request: Request<B>) -> ResponseFuture
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let named = head.extensions.get::<To<C::Address>>().cloned();
        let to = named.or_else(|| self.choose.as_ref()?(&head).map(To));
        let request = Request::from_parts(head, RequestBody::new(body));
        match to {
            Some(to) => ResponseFuture::new(self.pool.clone(), to, request, None),
            None => {
                let why = "neither its extension `To` nor the closure of the service names one";
                let error = Error::invalid_request(&Arc::from("no address"), why);
                ResponseFuture::refused(self.pool.clone(), request, error)
            }
        }
    }
}

impl<C: Connector> Clone for PoolService<C> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), choose: self.choose.clone() }
    }
}

impl<C: Connector> fmt::Debug for PoolService<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolService")
            .field("chooses", &self.choose.is_some())
            .finish_non_exhaustive()
    }
}
