//! The server over HTTP/1. A request comes in one piece, but for a body, as all clients here send it.

use std::io;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::server::LARGE;
use crate::service::Service;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// As every client writes the field by which it asks for the close of its connection.
const CLOSE: &[u8] = b"connection: close";

const LAST_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";

/// A body is read in pieces of this size.
const PIECE: usize = 64 * 1024;

pub(crate) async fn converse(
    service: &Rc<Service>,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let (mut bytes, mut piece) = ([0; 4096], Vec::new());
    loop {
        let length = stream.read(&mut bytes).await?;
        let request = &bytes[..length];
        if length == 0 {
            return Ok(());
        }
        if request.starts_with(b"POST ") {
            let mut missing = missing(request).ok_or(io::ErrorKind::InvalidData)?;
            piece.resize(PIECE, 0);
            while missing > 0 {
                match stream.read(&mut piece).await? {
                    0 => return Ok(()),
                    read => missing = missing.saturating_sub(read),
                }
            }
            stream.write_all(RESPONSE).await?;
            continue;
        }
        if request.windows(CLOSE.len()).any(|field| field.eq_ignore_ascii_case(CLOSE)) {
            stream.write_all(LAST_RESPONSE).await?;
            // TLS has a word of its own for the end.
            return stream.shutdown().await;
        }
        if request.starts_with(b"GET / ") {
            stream.write_all(RESPONSE).await?;
        } else if let Some(length) = path(request).and_then(large) {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&LARGE[..length]).await?;
            // TLS may have kept the end.
            stream.flush().await?;
        } else {
            let told = path(request).and_then(|path| service.tell(path)).unwrap_or_default();
            return stream.write_all(told.as_bytes()).await;
        }
    }
}

fn path(request: &[u8]) -> Option<&str> {
    str::from_utf8(request.split(|byte| *byte == b' ').nth(1)?).ok()
}

/// How many bytes of body a path asks for.
pub(crate) fn large(path: &str) -> Option<usize> {
    path.strip_prefix("/down/")?.parse().ok().filter(|length| *length <= LARGE.len())
}

/// How much of the body of a request has not come with its head.
fn missing(request: &[u8]) -> Option<usize> {
    let end = request.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = str::from_utf8(&request[..end]).ok()?;
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = fields.filter(|field| field.0.eq_ignore_ascii_case("content-length"));
    let length: usize = lengths.next()?.1.parse().ok()?;
    length.checked_sub(request.len() - end)
}
