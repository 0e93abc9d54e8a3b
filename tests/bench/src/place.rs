//! Where the requests of a task go.

use std::net::SocketAddr;

use http::Uri;

use crate::client::Error;
use crate::server::{addresses, ask};
use crate::task::{Payload, Protocol, Task};

pub(crate) struct Place {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) path: String,
    /// What a server that speaks TLS shows.
    #[cfg(feature = "peers")]
    pub(crate) certificate: Option<rustls::pki_types::CertificateDer<'static>>,
}

impl Place {
    /// Has the server listen for what the task speaks.
    pub(crate) fn of(task: &Task, server: SocketAddr) -> Result<Self, Error> {
        let path = match task.payload {
            Payload::Down(length) => format!("/down/{length}"),
            Payload::Small | Payload::Up(_) => "/".to_owned(),
        };
        let addresses = match task.protocol {
            Protocol::Http1 => addresses(server, task.addresses)?,
            Protocol::Http2 => vec![ask(server, "/http2")?.parse()?],
            #[cfg(feature = "peers")]
            Protocol::Http1OverTls | Protocol::Http2OverTls => {
                let (address, certificate) = crate::tls::ask_for_tls(server)?;
                return Ok(Self { addresses: vec![address], path, certificate: Some(certificate) });
            }
        };
        Ok(Self {
            addresses,
            path,
            #[cfg(feature = "peers")]
            certificate: None,
        })
    }

    /// What a client asks for that is told its server by its name.
    pub(crate) fn uris(&self) -> Result<Vec<Uri>, Error> {
        let Self { addresses, path, .. } = self;
        let uri = |address| Ok(format!("{}://{address}{path}", self.scheme()).try_into()?);
        addresses.iter().map(uri).collect()
    }

    #[cfg(feature = "peers")]
    fn scheme(&self) -> &'static str {
        if self.certificate.is_some() { "https" } else { "http" }
    }

    #[cfg(not(feature = "peers"))]
    fn scheme(&self) -> &'static str {
        "http"
    }
}
