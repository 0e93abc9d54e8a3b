//! Opens connections to Unix sockets.

use std::io;
use std::time::Duration;

use http::uri::Authority;
use pool_core::{ConnectOptions, Connected, Connector, Fault, Target, async_trait};
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::checked::Checked;
use crate::runtime::{self, NoIo};
use crate::step::Step;
use crate::unix_address::UnixAddress;

/// How long to wait before the first try after a full backlog, and at most between two.
const SOON: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(64);

/// Opens connections to Unix sockets.
///
/// A request that names no host of its own goes out with `Host: localhost`, as curl sends it; a server that serves several
/// names is told by the URI, or the `Host`, of the request. The kernel is asked before a connection is reused, as over
/// TCP.
///
/// A server whose backlog is full refuses nobody over a Unix socket: Linux says that the client may try again. So
/// does this connector, until the connect timeout of the pool has passed.
///
/// # Examples
///
/// ```no_run
/// use pool_core::Pool;
/// use pool_tcp::{UnixAddress, UnixConnector};
///
/// # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let pool = Pool::new(UnixConnector::new());
/// let address = UnixAddress::new("/run/app.sock");
/// let response = pool.http(&address, http::Request::get("/").body(String::new())?).await?;
/// println!("{}", response.status());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct UnixConnector;

impl UnixConnector {
    /// A connector; it has no options.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Connector for UnixConnector {
    type Address = UnixAddress;
    type Stream = Checked<UnixStream>;

    async fn connect(
        &self,
        address: &UnixAddress,
        _: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        runtime::check()?;
        let mut pause = SOON;
        let socket = loop {
            match UnixStream::connect(address.as_given()).await {
                Ok(socket) => break socket,
                // No event tells when there is room.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
                Err(error) => return Err(explained(address, error)),
            }
            pause = (2 * pause).min(LATE);
        };
        let (stream, check) = Checked::new(socket);
        Ok(Connected::new(stream).with_kernel_check(check))
    }

    fn fault(&self, error: &io::Error) -> Fault {
        if NoIo::is_in(error) { Fault::Runtime } else { Fault::of(error) }
    }

    fn target(&self, _: &UnixAddress) -> Target {
        Target::http(Authority::from_static("localhost"))
    }
}

/// Says what the system's word means for a socket.
fn explained(address: &UnixAddress, error: io::Error) -> io::Error {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "there is no socket".to_owned(),
        io::ErrorKind::PermissionDenied => "the socket needs permission to write".to_owned(),
        io::ErrorKind::InvalidInput => format!("no address of {} bytes", address.len()),
        _ => return error,
    };
    Step::failed(what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(address: &UnixAddress) -> String {
        let connected = UnixConnector::new().connect(address, &ConnectOptions::new()).await;
        let error = connected.expect_err("no server");
        let cause = error.get_ref().and_then(|step| step.source()).expect("the word of the system");
        format!("{error}: {cause}")
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_says_so() {
        let told = refused(&"/p".repeat(100).as_str().into()).await;
        assert!(told.starts_with("no address of 200 bytes: path must be shorter"), "{told}");
    }

    #[tokio::test]
    async fn a_path_without_a_socket_says_so() {
        let told = refused(&"/no/such/socket".into()).await;
        assert!(told.starts_with("there is no socket: No such file"), "{told}");
    }
}
