//! A server in HTTP/2 that writes the frames that the test says, and no others.
//!
//! h2 as a server keeps the rules; this one breaks them, and says what h2 has no words for: SETTINGS that change, a reset
//! after half a body, a GOAWAY as the first word. Heads are written from the static table alone, so no encoder is needed.

use std::fmt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Acceptor, Duplex};

const PREFACE: usize = 24;

/// Kinds of frames, RFC 9113 6.
#[expect(missing_docs, reason = "their names are those of the standard")]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
}

/// On the last frame of a stream; on SETTINGS and PING, that they acknowledge.
pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `SETTINGS_MAX_CONCURRENT_STREAMS`.
pub const STREAMS: u16 = 3;
/// `SETTINGS_INITIAL_WINDOW_SIZE`.
pub const WINDOW: u16 = 4;
/// `SETTINGS_ENABLE_CONNECT_PROTOCOL`, RFC 8441.
pub const EXTENDED_CONNECT: u16 = 8;

/// `:status: 200`, from the static table.
pub const OK: &[u8] = &[0x88];

/// A frame, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; zero for the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Takes connections in.
#[derive(Debug)]
pub struct RawHttp2(Acceptor);

impl RawHttp2 {
    /// A server whose clients come through `acceptor`.
    pub fn new(acceptor: Acceptor) -> Self {
        Self(acceptor)
    }

    /// The next connection, which has said nothing yet but that it speaks HTTP/2.
    ///
    /// # Panics
    ///
    /// When no client is left that could open one, or one leaves before it has said so.
    pub async fn accept(&mut self) -> RawConnection {
        let mut stream = self.0.accept().await.expect("a client that connects");
        stream.read_exact(&mut [0; PREFACE]).await.expect("a client that speaks HTTP/2");
        RawConnection { stream }
    }

    /// The streams that it lets in, for a server that speaks another protocol.
    pub fn into_acceptor(self) -> Acceptor {
        self.0
    }

    /// The next connection, which is told how many streams it may open.
    ///
    /// # Panics
    ///
    /// As [`accept`](Self::accept).
    pub async fn greet(&mut self, streams: u32) -> RawConnection {
        let mut connection = self.accept().await;
        connection.settings(&[(STREAMS, streams)]).await;
        connection
    }
}

/// One connection.
pub struct RawConnection {
    stream: Box<dyn Duplex>,
}

impl RawConnection {
    /// The next frame; none when the client has closed.
    pub async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, i, j, k, l] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([i, j, k, l]), payload })
    }

    /// The next frame of that kind that is no acknowledgement; those before it are lost.
    ///
    /// # Panics
    ///
    /// When the client has closed.
    pub async fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.read().await.expect("a client that goes on");
            let acknowledges = matches!(kind, kind::SETTINGS | kind::PING) && frame.flags & 1 == 1;
            if frame.kind == kind && !acknowledges {
                return frame;
            }
        }
    }

    /// The stream of the next request.
    ///
    /// # Panics
    ///
    /// When the client has closed.
    pub async fn request(&mut self) -> u32 {
        self.next(kind::HEADERS).await.stream
    }

    /// Writes bytes as they are. A client that has gone is not asked.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.ok();
        self.stream.flush().await.ok();
    }

    /// Writes a frame.
    pub async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await;
    }

    /// Says SETTINGS.
    pub async fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.frame(kind::SETTINGS, 0, 0, &payload).await;
    }

    /// Acknowledges the SETTINGS of the client, which then hold.
    pub async fn acknowledge(&mut self) {
        self.frame(kind::SETTINGS, 1, 0, &[]).await;
    }

    /// Sends a head; `flags` may say that nothing follows.
    pub async fn head(&mut self, stream: u32, flags: u8, fields: &[u8]) {
        self.frame(kind::HEADERS, flags | END_HEADERS, stream, fields).await;
    }

    /// Sends a piece of a body.
    pub async fn data(&mut self, stream: u32, flags: u8, data: &[u8]) {
        self.frame(kind::DATA, flags, stream, data).await;
    }

    /// Answers with that body.
    pub async fn answer(&mut self, stream: u32, body: &[u8]) {
        self.head(stream, 0, OK).await;
        self.data(stream, END_STREAM, body).await;
    }

    /// Resets a stream.
    pub async fn reset(&mut self, stream: u32, reason: h2::Reason) {
        self.frame(kind::RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes()).await;
    }

    /// Says GOAWAY.
    pub async fn goaway(&mut self, last_stream: u32, reason: h2::Reason) {
        let payload = [last_stream.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
        self.frame(kind::GOAWAY, 0, 0, &payload).await;
    }

    /// Says that nothing more follows, and can still be read.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.ok();
    }

    /// Answers a PING.
    pub async fn pong(&mut self, ping: &Frame) {
        self.frame(kind::PING, 1, 0, &ping.payload).await;
    }
}

impl fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawConnection").finish_non_exhaustive()
    }
}

/// The bytes of a frame.
///
/// # Panics
///
/// When the payload is too long for one.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length of 24 bits").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A status other than 200, as a field.
pub fn status(code: &str) -> Vec<u8> {
    literal(8, code)
}

/// A `content-length`.
pub fn content_length(length: &str) -> Vec<u8> {
    literal(28, length)
}

/// A `set-cookie`.
pub fn set_cookie(value: &str) -> Vec<u8> {
    literal(55, value)
}

/// A field whose name is that of the static table, RFC 7541 6.2.2.
fn literal(name: u8, value: &str) -> Vec<u8> {
    let mut field = match name.checked_sub(15) {
        None => vec![name],
        Some(rest) => vec![15, rest],
    };
    let mut length = value.len();
    if length < 127 {
        field.push(u8::try_from(length).unwrap_or(127));
    } else {
        field.push(127);
        length -= 127;
        while length >= 128 {
            field.push(u8::try_from(length % 128).unwrap_or(0) | 128);
            length /= 128;
        }
        field.push(u8::try_from(length).unwrap_or(0));
    }
    field.extend(value.as_bytes());
    field
}

/// A field of any name and value, RFC 7541 6.2.2; neither is checked.
///
/// # Panics
///
/// When one of them has more than 126 bytes.
pub fn field(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let length = |bytes: usize| u8::try_from(bytes).ok().filter(|short| *short < 127);
    let mut field = vec![0, length(name.len()).expect("a short name")];
    field.extend(name.as_bytes());
    field.push(length(value.len()).expect("a short value"));
    field.extend(value);
    field
}
