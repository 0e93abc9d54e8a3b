//! One request over one stream: what h2 is given, and what comes back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::connection::Connection;
use super::tunnel::Tunnel;
use super::upload::{Sending, Upload};
use crate::request::{ExtendedConnect, RequestBody};

/// A body that fits into one frame is handed over whole.
const ONE_FRAME: u64 = 16 * 1024;

/// A stream whose response has not come.
pub(crate) struct AwaitedHead {
    response: ResponseFuture,
    stream: u32,
    upload: Option<Arc<Upload>>,
    /// Of a request for a tunnel.
    tunnel: Option<SendStream<Bytes>>,
}

/// A stream was not opened; with the body of the request.
pub(crate) struct NotOpened {
    pub(crate) error: h2::Error,
    pub(crate) body: RequestBody,
}

impl Connection {
    /// Gives h2 a request. What of its body cannot be sent at once is left to the caller to have sent.
    pub(crate) fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<(AwaitedHead, Option<Sending>), NotOpened> {
        let (head, body) = request.into_parts();
        let is_tunnel = head.method == Method::CONNECT;
        let ends = !is_tunnel && body.is_end_stream();
        let mut head = Request::from_parts(head, ());
        if let Some(protocol) = ExtendedConnect::take(head.extensions_mut()) {
            head.extensions_mut().insert(h2::ext::Protocol::from(protocol.as_str()));
        }
        // A clone has no part in the back-pressure of h2, which is that of the leases here.
        let (response, mut stream) = match self.sender.clone().send_request(head, ends) {
            Ok(opened) => opened,
            Err(error) => return Err(NotOpened { error, body }),
        };
        let id = response.stream_id().as_u32();
        self.note_stream(id);
        let mut awaited = AwaitedHead { response, stream: id, upload: None, tunnel: None };
        if ends {
            return Ok((awaited, None));
        }
        if is_tunnel {
            awaited.tunnel = Some(stream);
            return Ok((awaited, None));
        }
        match body.into_whole(ONE_FRAME) {
            Ok(whole) => {
                // Where the stream takes nothing any more, its response tells why.
                stream.send_data(whole, true).ok();
                Ok((awaited, None))
            }
            Err(body) => {
                let sending = Sending::new(body, stream);
                awaited.upload = Some(Arc::clone(sending.upload()));
                Ok((awaited, Some(sending)))
            }
        }
    }
}

impl AwaitedHead {
    /// The number of its stream.
    pub(crate) fn stream(&self) -> u32 {
        self.stream
    }

    /// How far the body of the request has come, if it was not sent at once.
    pub(crate) fn upload(&self) -> Option<&Arc<Upload>> {
        self.upload.as_ref()
    }

    /// Ready with the next 1xx answer, or with none when the final one can be asked for. h2 would skip such answers if that
    /// was asked for earlier.
    pub(crate) fn poll_interim(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(StatusCode, HeaderMap)>> {
        self.response.poll_informational(cx).map(|answer| {
            // A failure is told by the final answer.
            let (head, ()) = answer?.ok()?.into_parts();
            Some((head.status, head.headers))
        })
    }

    /// Ready with the final answer.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<RecvStream>, h2::Error>> {
        Pin::new(&mut self.response).poll(cx)
    }

    /// The tunnel that a successful answer to CONNECT opens, over the stream of that answer.
    pub(crate) fn into_tunnel(self, incoming: RecvStream) -> Result<Tunnel, RecvStream> {
        match self.tunnel {
            Some(outgoing) => Ok(Tunnel::new(outgoing, incoming)),
            None => Err(incoming),
        }
    }

    /// Whether a successful answer opens a tunnel.
    pub(crate) fn is_for_tunnel(&self) -> bool {
        self.tunnel.is_some()
    }
}
