//! How a proxy is asked for its target: by hyper-util's handshakes, over a stream that is there already.

use std::error::Error;
use std::future::{Future, Ready, ready};
use std::io;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::address::Credentials;
use super::error::{ProxyError, Step};
use super::stream::{Heard, ProxyStream, Step as Gives};

/// hyper-util writes name, password and target into one buffer, in which so many bytes are left for them; a target that is a number takes
/// up to 15.
const SOCKS5_MOST: usize = 249;
const SOCKS5_NUMBER: usize = 15;

/// A service that gives the stream which is there.
struct Opened<S>(Option<TokioIo<ProxyStream<S>>>);

impl<S> Service<Uri> for Opened<S> {
    type Response = TokioIo<ProxyStream<S>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

/// What the Basic scheme makes of credentials, RFC 7617.
pub(super) fn basic(credentials: &Credentials, step: Step) -> io::Result<HeaderValue> {
    let Credentials { user, password } = credentials;
    if user.contains(':') {
        let why = "a user name with a colon cannot be sent to it";
        return Err(ProxyError::refused(step, io::ErrorKind::InvalidInput, why));
    }
    let coded = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(coded).expect("letters of Base64 are those of a value");
    value.set_sensitive(true);
    Ok(value)
}

/// Asks for a tunnel by HTTP CONNECT.
pub(super) async fn tunnel<S>(
    stream: S,
    target: Uri,
    credentials: Option<&Credentials>,
) -> io::Result<ProxyStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let authorization = credentials.map(|known| basic(known, Step::Tunnel)).transpose()?;
    let heard = Heard::default();
    let stream = ProxyStream::shaking_hands(stream, Gives::Line, heard.clone());
    let mut service = Tunnel::new(target.clone(), Opened(Some(TokioIo::new(stream))));
    if let Some(authorization) = authorization {
        service = service.with_auth(authorization);
    }
    finish(service.call(target), Step::Tunnel, heard).await
}

/// Asks for a tunnel by SOCKS5.
pub(super) async fn socks5<S>(
    stream: S,
    target: Uri,
    credentials: Option<&Credentials>,
) -> io::Result<ProxyStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let heard = Heard::default();
    let stream = ProxyStream::shaking_hands(stream, Gives::Byte, heard.clone());
    let mut service = SocksV5::new(target.clone(), Opened(Some(TokioIo::new(stream))));
    if let Some(Credentials { user, password }) = credentials {
        let host = target.host().map_or(0, str::len).max(SOCKS5_NUMBER);
        if user.len() + password.len() + host > SOCKS5_MOST {
            let why = "its name, the credentials and the target are more than can be sent to it";
            return Err(ProxyError::refused(Step::Socks5, io::ErrorKind::InvalidInput, why));
        }
        service = service.with_auth(user.clone(), password.clone());
    }
    finish(service.call(target), Step::Socks5, heard).await
}

async fn finish<S, E>(
    handshake: impl Future<Output = Result<TokioIo<ProxyStream<S>>, E>>,
    step: Step,
    heard: Heard,
) -> io::Result<ProxyStream<S>>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    match handshake.await {
        Ok(stream) => Ok(stream.into_inner().shaken()),
        Err(error) => Err(ProxyError::of_handshake(step, heard.take(), error.into())),
    }
}
