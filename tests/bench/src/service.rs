//! What the server does, as cheaply as can be: it answers every request alike, from memory.
//!
//! It also sends and reads large bodies, tells how many connections it has accepted, and listens at further addresses
//! and for other protocols when it is asked to. It ends when its standard input does, which is when the process that
//! started it ends.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use crate::client::Error;
use crate::server::{SERVE, raise_descriptor_limit};
use crate::{service_http1, service_http2};

/// What the system allows by default; with less, connections opened at once are dropped and tried again a
/// second later.
const BACKLOG: u32 = 4096;

/// Serves if this process was started to do so; true if it was.
pub(crate) fn serve_if_asked() -> Result<bool, Error> {
    let asked = std::env::args().nth(1).is_some_and(|argument| argument == SERVE);
    if asked {
        raise_descriptor_limit()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(LocalSet::new().run_until(serve()))?;
    }
    Ok(asked)
}

async fn serve() -> Result<(), Error> {
    let service = Rc::new(Service::default());
    println!("{}", service.listen()?);
    tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await??;
    Ok(())
}

#[derive(Default)]
pub(crate) struct Service {
    accepted: Cell<u64>,
    addresses: Cell<Vec<SocketAddr>>,
}

impl Service {
    fn listen(self: &Rc<Self>) -> Result<SocketAddr, Error> {
        let this = Rc::clone(self);
        let address = self.accept(move |stream| this.clone().converse(stream, false))?;
        let mut addresses = self.addresses.take();
        addresses.push(address);
        self.addresses.set(addresses);
        Ok(address)
    }

    /// At a port that the system chooses.
    fn accept<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        converse: impl Fn(TcpStream) -> F + 'static,
    ) -> Result<SocketAddr, Error> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener: TcpListener = socket.listen(BACKLOG)?;
        let (this, address) = (Rc::clone(self), listener.local_addr()?);
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.accepted.set(this.accepted.get() + 1);
                // Only a delay would follow from an error here.
                let _ = stream.set_nodelay(true);
                spawn_local(converse(stream));
            }
        });
        Ok(address)
    }

    async fn converse(self: Rc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin, http2: bool) {
        if http2 {
            // A client that goes breaks off.
            let _ = service_http2::converse(stream).await;
        } else {
            let _ = service_http1::converse(&self, stream).await;
        }
    }

    /// Tells where it listens for HTTP/2 from here on.
    fn listen_for_http2(self: &Rc<Self>) -> Result<String, Error> {
        let this = Rc::clone(self);
        Ok(self.accept(move |stream| this.clone().converse(stream, true))?.to_string())
    }

    /// Tells where it listens for TLS from here on, and with which certificate. Its client chooses the version of HTTP.
    #[cfg(feature = "peers")]
    fn listen_for_tls(self: &Rc<Self>) -> Result<String, Error> {
        let (acceptor, certificate) = crate::tls::acceptor()?;
        let this = Rc::clone(self);
        let address = self.accept(move |stream| {
            let (this, accepted) = (Rc::clone(&this), acceptor.accept(stream));
            async move {
                if let Ok(stream) = accepted.await {
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(crate::tls::HTTP2);
                    this.converse(stream, http2).await;
                }
            }
        })?;
        Ok(crate::tls::told(address, &certificate))
    }

    /// What those ask who measure.
    pub(crate) fn tell(self: &Rc<Self>, path: &str) -> Option<String> {
        match path {
            "/accepted" => Some(self.accepted.get().to_string()),
            "/http2" => self.listen_for_http2().ok(),
            #[cfg(feature = "peers")]
            "/tls" => self.listen_for_tls().ok(),
            _ => self.tell_addresses(path.strip_prefix("/addresses/")?.parse().ok()?),
        }
    }

    fn tell_addresses(self: &Rc<Self>, count: usize) -> Option<String> {
        let mut addresses = self.addresses.take();
        let missing = count.saturating_sub(addresses.len());
        self.addresses.set(addresses);
        for _ in 0..missing {
            self.listen().ok()?;
        }
        addresses = self.addresses.take();
        let text: Vec<_> = addresses.iter().take(count).map(ToString::to_string).collect();
        self.addresses.set(addresses);
        Some(text.join(" "))
    }
}
