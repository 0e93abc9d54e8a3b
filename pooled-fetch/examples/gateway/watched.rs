//! The body of an answer on its way to the client, counted and logged when it ends.
//!
//! What must hold: a body that fails upstream fails here, so that hyper closes the client's connection or resets its
//! stream, and nothing that was cut looks whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pooled_fetch::{Body, Error};

use super::tally::UnderWay;

/// An answer's body.
#[derive(Debug)]
pub(crate) struct Watched {
    body: Body,
    ending: Ending,
}

/// What is known of an exchange when its body drops.
#[derive(Debug)]
struct Ending {
    under_way: UnderWay,
    entry: Option<Box<Entry>>,
    bytes: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// By the upstream.
    Cut,
    /// By the client, or because the gateway stops.
    Left,
}

/// A line of the access log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) client: std::net::IpAddr,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) began: Instant,
    pub(crate) upstream: String,
    pub(crate) status: StatusCode,
}

impl Entry {
    pub(crate) fn log(&self, bytes: u64, end: &str) {
        tracing::info!(
            client = %self.client,
            method = %self.method,
            target = self.target,
            version = ?self.version,
            status = self.status.as_u16(),
            bytes,
            took = ?self.began.elapsed(),
            upstream = self.upstream,
            end,
        );
    }
}

impl Watched {
    pub(crate) fn new(body: Body, under_way: UnderWay, entry: Option<Box<Entry>>) -> Self {
        let end = if body.is_end_stream() { End::Whole } else { End::Left };
        Self { body, ending: Ending { under_way, entry, bytes: 0, end } }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.ending.end = End::Whole,
            Some(Ok(frame)) => {
                self.ending.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.body.is_end_stream() {
                    self.ending.end = End::Whole;
                }
            }
            Some(Err(error)) => {
                tracing::warn!("{error}");
                self.ending.end = End::Cut;
                self.ending.under_way.tally().cut();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(entry) = &self.entry {
            entry.log(
                self.bytes,
                match self.end {
                    End::Whole => "whole",
                    End::Cut => "cut",
                    End::Left => "left",
                },
            );
        }
    }
}
