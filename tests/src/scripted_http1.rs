//! A server in HTTP/1 that does what the test says, in the order in which it says so.
//!
//! It reads requests by their framing and keeps them as they came; it writes bytes, not responses, so it
//! can answer early, too late, too much, half, or not at all. What must hold: it never does anything that
//! the test did not say.

use std::fmt;
use std::io;
use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Acceptor, Duplex};

/// What the client does meanwhile: in a box, so that a server is compiled once, and not for each client.
type Client<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + 'a>>;

/// Takes connections in.
#[derive(Debug)]
pub struct Server {
    acceptor: Acceptor,
    accepted: usize,
}

impl Server {
    /// A server whose clients come through `acceptor`.
    pub fn new(acceptor: Acceptor) -> Self {
        Self { acceptor, accepted: 0 }
    }

    /// The streams that it lets in, for a server that speaks another protocol.
    pub fn into_acceptor(self) -> Acceptor {
        self.acceptor
    }

    /// The next connection. May be dropped before it came.
    ///
    /// # Panics
    ///
    /// When no client is left that could open one.
    pub async fn accept(&mut self) -> Connection {
        self.next_connection().await.expect("a client that connects")
    }

    /// The next connection, or none when no client is left that could open one.
    pub async fn next_connection(&mut self) -> Option<Connection> {
        let stream = self.acceptor.accept().await?;
        self.accepted += 1;
        Some(Connection { number: self.accepted, stream, unread: BytesMut::new() })
    }

    /// Lets `client` have its way over a new connection: takes it in, reads one request, writes `bytes`.
    ///
    /// # Panics
    ///
    /// When the client fails.
    pub fn open<'a, T, E>(
        &'a mut self,
        client: impl Future<Output = Result<T, E>> + 'a,
        bytes: impl AsRef<[u8]>,
    ) -> impl Future<Output = (Connection, Received, T)> + 'a
    where
        T: 'a,
        E: fmt::Display + 'a,
    {
        self.open_for(Box::pin(client), bytes.as_ref().to_vec())
    }

    async fn open_for<T, E: fmt::Display>(
        &mut self,
        client: Client<'_, T, E>,
        bytes: Vec<u8>,
    ) -> (Connection, Received, T) {
        let server = async {
            let mut connection = self.accept().await;
            let request = connection.read_request().await;
            connection.write(bytes).await;
            Ok((connection, request))
        };
        match tokio::try_join!(client, server) {
            Ok((output, (connection, request))) => (connection, request, output),
            Err(error) => panic!("the client failed: {error}"),
        }
    }

    /// Lets `client` have its way over `connection`: reads one request, writes `bytes`.
    ///
    /// # Panics
    ///
    /// When the client fails, or opens another connection.
    pub fn reuse<'a, T, E>(
        &'a mut self,
        connection: &'a mut Connection,
        client: impl Future<Output = Result<T, E>> + 'a,
        bytes: impl AsRef<[u8]>,
    ) -> impl Future<Output = (Received, T)> + 'a
    where
        T: 'a,
        E: fmt::Display + 'a,
    {
        self.reuse_for(connection, Box::pin(client), bytes.as_ref().to_vec())
    }

    async fn reuse_for<T, E: fmt::Display>(
        &mut self,
        connection: &mut Connection,
        client: Client<'_, T, E>,
        bytes: Vec<u8>,
    ) -> (Received, T) {
        let server = async {
            let request = tokio::select! {
                request = connection.read_request() => request,
                _ = self.accept() => panic!("the client opened another connection"),
            };
            connection.write(bytes).await;
            Ok(request)
        };
        match tokio::try_join!(client, server) {
            Ok((output, request)) => (request, output),
            Err(error) => panic!("the client failed: {error}"),
        }
    }
}

/// One connection, as the server sees it. Dropping it closes it at once.
pub struct Connection {
    number: usize,
    stream: Box<dyn Duplex>,
    unread: BytesMut,
}

impl Connection {
    /// The first connection of a server is number one.
    pub fn number(&self) -> usize {
        self.number
    }

    /// A whole request.
    ///
    /// # Panics
    ///
    /// When the connection ends before the request does.
    pub async fn read_request(&mut self) -> Received {
        self.next_request().await.expect("a request, not the end of the connection")
    }

    /// A whole request, or none when the connection has ended before it.
    ///
    /// # Panics
    ///
    /// When the connection ends within the request.
    pub async fn next_request(&mut self) -> Option<Received> {
        let mut request = self.next_head().await?;
        request.body = self.read_body(&request).await;
        Some(request)
    }

    /// The head of a request; its body stays unread.
    ///
    /// # Panics
    ///
    /// When the connection ends before the head does.
    pub async fn read_head(&mut self) -> Received {
        self.next_head().await.expect("a request, not the end of the connection")
    }

    async fn next_head(&mut self) -> Option<Received> {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head = self.unread.split_to(end + 4);
                return Some(Received::parse(&head[..end]));
            }
            if !self.fill().await {
                assert!(self.unread.is_empty(), "ended within a head: {:?}", self.unread);
                return None;
            }
        }
    }

    /// The body that belongs to a head, by its framing.
    async fn read_body(&mut self, head: &Received) -> Bytes {
        match (head.header("content-length"), head.header("transfer-encoding")) {
            (Some(length), None) => self.read_exactly(length.parse().expect("a number")).await,
            (None, Some(coding)) if coding.ends_with("chunked") => self.read_chunks().await,
            (None, None) => Bytes::new(),
            both => panic!("a body of unclear length: {both:?}"),
        }
    }

    /// This many bytes of a body.
    ///
    /// # Panics
    ///
    /// When the connection ends before them.
    pub async fn read_exactly(&mut self, length: usize) -> Bytes {
        while self.unread.len() < length {
            assert!(self.fill().await, "ended {} bytes into {length}", self.unread.len());
        }
        self.unread.split_to(length).freeze()
    }

    async fn read_chunks(&mut self) -> Bytes {
        let mut body = BytesMut::new();
        loop {
            let size = self.read_line().await;
            let size = usize::from_str_radix(&size, 16).expect("the size of a chunk");
            if size == 0 {
                while !self.read_line().await.is_empty() {}
                return body.freeze();
            }
            body.extend_from_slice(&self.read_exactly(size).await);
            assert_eq!(self.read_line().await, "", "the end of a chunk");
        }
    }

    async fn read_line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line = self.unread.split_to(end);
                self.unread.advance(2);
                return String::from_utf8(line.to_vec()).expect("a line of text");
            }
            assert!(self.fill().await, "ended within a line: {:?}", self.unread);
        }
    }

    /// Reads more; false at the end of the connection.
    async fn fill(&mut self) -> bool {
        self.unread.reserve(64 * 1024);
        match self.stream.read_buf(&mut self.unread).await {
            Ok(bytes) => bytes > 0,
            Err(error) if is_end(&error) => false,
            Err(error) => panic!("reading from a client: {error}"),
        }
    }

    /// Waits for the end of the connection, and returns what still came before it.
    pub async fn read_to_end(&mut self) -> Bytes {
        while self.fill().await {}
        self.unread.split().freeze()
    }

    /// Waits for the end of the connection.
    ///
    /// # Panics
    ///
    /// When anything comes before it.
    pub async fn ends(&mut self) {
        assert_eq!(self.read_to_end().await, "", "nothing before the end of the connection");
    }

    /// Writes raw bytes.
    ///
    /// # Panics
    ///
    /// When the client has gone.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).await.expect("a client that listens");
    }

    /// Writes raw bytes to a client that may have gone.
    ///
    /// # Errors
    ///
    /// When it has.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Says that nothing more will be written; what the client writes can still be read.
    pub async fn finish(&mut self) {
        // A client that has gone needs no farewell.
        self.stream.shutdown().await.ok();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The first line: method, target, version.
    pub line: String,
    /// The fields in their order, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The content, without its framing.
    pub body: Bytes,
}

impl Received {
    fn parse(head: &[u8]) -> Self {
        let head = std::str::from_utf8(head).expect("a head of text");
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| line.split_once(':').expect("a name and a value"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { line, headers, body: Bytes::new() }
    }

    /// The second word of the first line.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).expect("a target in the first line")
    }

    /// The only value of a field.
    ///
    /// # Panics
    ///
    /// When the field came twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} came twice: {self:?}");
        value
    }
}

/// A response with a length, after which the connection can serve another.
pub fn answer(body: impl AsRef<[u8]>) -> Bytes {
    let body = body.as_ref();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// A client that closes its socket without a farewell, or with unread bytes in it, has gone all the same.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
