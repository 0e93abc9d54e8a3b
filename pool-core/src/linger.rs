//! How long an HTTP/2 connection that is over may take to say its last words.
//!
//! A server that has closed its side, and reads no more, would otherwise keep the connection and its place among
//! those that are allowed for as long as it likes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// As long as nginx waits for a client that it has told to go.
const LAST_WORDS: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Linger(Option<Pin<Box<Sleep>>>);

impl Linger {
    /// Ready when the time is over, which then begins anew.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
        let over = sleep.as_mut().poll(cx);
        if over.is_ready() {
            sleep.as_mut().reset(Instant::now() + LAST_WORDS);
        }
        over
    }
}
