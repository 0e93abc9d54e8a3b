//! What goes out is right, whatever came in: one head for each connection, in the words of the version that is spoken
//! there.

mod checklist;
mod cleartext;
mod repeated;
mod versions;

use std::pin::pin;

use http::{Request, Version};
use http_body_util::Full;
use pool_core::Error;
use pooled_fetch_tests::{Http2Server, Protocol, Server, Settings, ends_idle, start_protocol};

/// A request as its server has it, over either version.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// `GET /path HTTP/1.1`; over HTTP/2 with the whole URI.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: bytes::Bytes,
}

impl Arrived {
    /// The values of a field, one for each line.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The server that the request names: in `Host`, over HTTP/2 in its URI.
    pub(crate) fn authority(&self) -> &str {
        let uri = self.line.split(' ').nth(1).unwrap_or_default();
        let of_uri = uri.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
        of_uri.unwrap_or_else(|| self.values("host")[0])
    }

    /// `GET /path`.
    pub(crate) fn method_and_path(&self) -> String {
        let mut words = self.line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let of_path =
            |rest: &str| rest.find(['/', '?', '*']).map_or(String::new(), |at| rest[at..].into());
        let path = target.split_once("://").map_or(target.to_owned(), |(_, rest)| of_path(rest));
        format!("{method} {path}")
    }

    pub(crate) fn assert_lacks(&self, names: &[&str]) {
        for name in names {
            assert_eq!(self.values(name), [""; 0], "{name} in {self:?}");
        }
    }
}

pub(crate) type Sent = Request<Full<bytes::Bytes>>;

/// A pool over a protocol, and a server that tells how each request has arrived.
pub(crate) struct Site {
    pub(crate) caller: pooled_fetch_tests::Caller,
    server: Serving,
}

enum Serving {
    Http1(Server),
    Http2(Http2Server),
}

impl Site {
    pub(crate) async fn start(protocol: Protocol) -> Self {
        Self::start_with(protocol, |settings| settings).await
    }

    pub(crate) async fn start_with(
        protocol: Protocol,
        settings: impl FnOnce(Settings) -> Settings + Send,
    ) -> Self {
        let (caller, server) = start_protocol(protocol, settings).await;
        let server = if protocol.version() == Version::HTTP_2 {
            Serving::Http2(Http2Server::start(server.into_acceptor(), 100))
        } else {
            Serving::Http1(server)
        };
        Self { caller, server }
    }

    /// Sends a request, which a server answers that keeps its connections only as long as this.
    pub(crate) async fn send(&mut self, request: Sent) -> Result<Arrived, Error> {
        let client = self.caller.fetch(request);
        let serving = async {
            match &mut self.server {
                Serving::Http1(server) => {
                    let mut connection = server.accept().await;
                    let received = connection.read_request().await;
                    let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                    connection.write(last).await;
                    Arrived { line: received.line, headers: received.headers, body: received.body }
                }
                Serving::Http2(server) => {
                    let mut stream = server.next().await;
                    let body = stream.read().await;
                    let request = &stream.request;
                    let line = format!("{} {} HTTP/2", request.method(), request.uri());
                    let text = |value: &http::HeaderValue| {
                        String::from_utf8_lossy(value.as_bytes()).into_owned()
                    };
                    let headers = request
                        .headers()
                        .iter()
                        .map(|(name, value)| (name.to_string(), text(value)))
                        .collect();
                    stream.answer("");
                    Arrived { line, headers, body }
                }
            }
        };
        let mut client = pin!(client);
        tokio::select! {
            biased;
            ended = client.as_mut() => match ended {
                Err(error) => Err(error),
                Ok(_) => unreachable!("an answer comes after the request"),
            },
            arrived = serving => client.await.map(|_| arrived),
        }
    }

    /// The version that is spoken.
    pub(crate) fn version(&self) -> &'static str {
        match self.server {
            Serving::Http1(_) => "HTTP/1.1",
            Serving::Http2(_) => "HTTP/2",
        }
    }

    pub(crate) async fn end(self) {
        ends_idle(self.caller).await;
    }
}
