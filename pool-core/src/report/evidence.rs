//! How far a request had come when it failed, so that its caller can decide what to do.

use std::fmt;

use super::info::ConnectionInfo;

/// How far a request had come when it failed. From [`Error::evidence`](crate::Error::evidence).
///
/// A gateway maps it to what it tells its own client, as HAProxy does:
///
/// * A request that is [unprocessed](Self::is_unprocessed) may be answered with `REFUSED_STREAM`, or tried elsewhere.
/// * A request that was lost with a [reused](Self::is_fresh) connection before it was [answered](Self::is_answered) ends
///   in a closed connection. The client may then send it again itself.
/// * Only a request that failed otherwise is a `502`.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub(super) attempts: u32,
    pub(crate) reached_wire: bool,
    pub(crate) refused: bool,
    pub(crate) http1_required: bool,
    pub(crate) last: Option<Attempt>,
}

/// The last attempt that had a connection.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    connection: ConnectionInfo,
    fresh: bool,
    shared: bool,
    written: Written,
    bytes_written: u64,
    bytes_read: u64,
    answered: bool,
}

/// How much of a request the connection had accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Written {
    /// Not a byte: no server can have seen anything of it.
    #[default]
    Nothing,
    /// Some of it. Over HTTP/2, where other requests are written in between, it may be all of it.
    Partly,
    /// All of it, the body included.
    Whole,
}

impl Evidence {
    /// How many connections were tried; zero if there was none.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The connection of the last attempt, if there was one: which of its requests this was, and how long it had been
    /// idle before.
    pub fn connection(&self) -> Option<&ConnectionInfo> {
        self.last.as_ref().map(|last| &last.connection)
    }

    /// Whether the connection of the last attempt came straight from being opened: it had neither served nor been
    /// idle, so that the failure is not that of a connection which the server had given up.
    pub fn is_fresh(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.fresh)
    }

    /// How much of the request the connection of the last attempt had accepted.
    pub fn written(&self) -> Written {
        self.last.as_ref().map_or(Written::Nothing, |last| last.written)
    }

    /// The bytes of the request that the connection of the last attempt had accepted; zero over HTTP/2, where they are
    /// not told apart from those of other requests.
    pub fn bytes_written(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.bytes_written)
    }

    /// The bytes that had been read in answer to the last attempt, 1xx answers included; zero over HTTP/2,
    /// where they are not told apart from those of other requests.
    pub fn bytes_read(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.bytes_read)
    }

    /// Whether the server has sent anything in answer to the last attempt: some bytes of a response, a 1xx answer, or over
    /// HTTP/2 a reset of its stream other than `REFUSED_STREAM`.
    pub fn is_answered(&self) -> bool {
        self.last.as_ref().is_some_and(|last| !last.is_unanswered())
    }

    /// Whether no byte of the request was accepted by any connection: no server can have seen anything of it.
    pub fn is_unsent(&self) -> bool {
        !self.reached_wire
    }

    /// Whether no server has acted upon the request: it is [unsent](Self::is_unsent), or an HTTP/2 server has
    /// said that it did not (`REFUSED_STREAM`, or a stream beyond the last of its `GOAWAY`, RFC 9113 8.7).
    pub fn is_unprocessed(&self) -> bool {
        self.is_unsent() || self.refused
    }
}

impl Attempt {
    /// An attempt over a connection of its own.
    pub(crate) fn new(
        connection: ConnectionInfo,
        fresh: bool,
        written: Written,
        bytes_written: u64,
        bytes_read: u64,
    ) -> Self {
        let answered = bytes_read > 0;
        Self { connection, fresh, shared: false, written, bytes_written, bytes_read, answered }
    }

    /// An attempt over a stream of a shared connection, whose bytes cannot be told apart from those of other streams.
    pub(crate) fn shared(
        connection: ConnectionInfo,
        fresh: bool,
        written: Written,
        answered: bool,
    ) -> Self {
        let (bytes_written, bytes_read) = (0, 0);
        Self { connection, fresh, shared: true, written, bytes_written, bytes_read, answered }
    }

    /// The same attempt, if nothing that was read was its answer.
    pub(crate) fn unanswered(self) -> Self {
        Self { bytes_read: 0, answered: false, ..self }
    }

    /// The same attempt, of which something may go out.
    pub(crate) fn perhaps_written(self) -> Self {
        let written = match self.written {
            Written::Nothing => Written::Partly,
            written => written,
        };
        Self { written, ..self }
    }

    /// The same attempt, to which the server has answered.
    pub(crate) fn answered(self) -> Self {
        Self { answered: true, ..self }
    }

    pub(crate) fn connection(&self) -> &ConnectionInfo {
        &self.connection
    }

    pub(crate) fn reached_wire(&self) -> bool {
        self.written != Written::Nothing
    }

    pub(crate) fn is_written_whole(&self) -> bool {
        self.written == Written::Whole
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether the connection carried other requests too.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    pub(crate) fn is_unanswered(&self) -> bool {
        !self.answered
    }

    pub(super) fn into_evidence(self) -> Evidence {
        let attempts = self.connection.attempt();
        let reached_wire = self.reached_wire();
        Evidence { attempts, reached_wire, last: Some(self), ..Evidence::default() }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = &self.last else {
            return write!(f, "no connection");
        };
        let usage = last.connection.usage;
        write!(f, "request {} of ", usage.use_number)?;
        if last.fresh {
            f.write_str("a fresh connection")?;
        } else {
            write!(f, "a reused connection, idle for {:?}", usage.idle_for)?;
        }
        f.write_str(match last.written {
            Written::Nothing => ", not written",
            Written::Partly => ", partly written",
            Written::Whole => ", written",
        })?;
        f.write_str(if last.is_unanswered() { ", nothing read" } else { ", something read" })?;
        if self.attempts > 1 {
            write!(f, ", attempt {}", self.attempts)?;
        }
        Ok(())
    }
}
