//! Tells a server that keeps a connection busy for nothing from one that serves.
//!
//! A frame that carries nothing of a response costs a little to read, and often an answer; a server may send as many as
//! it likes (CVE-2019-9512, -9515, and their kin). So each draws on a credit, which grows with time and with what is
//! served: a server acknowledges uploads with window updates, and measures the path with pings while it sends.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::{Head, Kind};

/// What a server may send at once, before anything is served: well above what servers greet with, and below the ten
/// thousand frames of a queue that nghttp2 takes for an attack.
const AT_ONCE: u32 = 4096;

const PER_SECOND: u32 = 100;

/// A request: its answer may have 1xx before it and trailers behind.
const FOR_REQUEST: u32 = 16;

/// As much of a request body as servers are known to read at once: a window update for the stream, one for the connection, a
/// ping.
const FOR_SENT_DATA: u32 = 4;
const READ_AT_ONCE: usize = 4096;

/// A DATA frame of a response: a ping.
const FOR_READ_DATA: u32 = 1;

/// SETTINGS or a ping of ours: its acknowledgement. Acknowledgements of nothing are frames for nothing.
const FOR_QUESTION: u32 = 1;

#[derive(Debug)]
pub(super) struct Flood {
    credit: u32,
    refilled: Option<Instant>,
    over: bool,
}

impl Default for Flood {
    fn default() -> Self {
        Self { credit: AT_ONCE, refilled: None, over: false }
    }
}

impl Flood {
    /// A frame was read.
    #[inline]
    pub(super) fn read(&mut self, head: Head) {
        if head.kind == Kind::Data && head.payload > 0 {
            self.grant(FOR_READ_DATA);
        } else {
            match self.credit.checked_sub(1) {
                Some(credit) => self.credit = credit,
                None => self.refill(),
            }
        }
    }

    /// A frame was written.
    #[inline]
    pub(super) fn written(&mut self, head: Head) {
        match head.kind {
            Kind::Headers => self.grant(FOR_REQUEST),
            Kind::Data => {
                let reads = u32::try_from(1 + head.payload / READ_AT_ONCE).unwrap_or(u32::MAX);
                self.grant(FOR_SENT_DATA.saturating_mul(reads));
            }
            Kind::Settings | Kind::Other if !head.acknowledges => self.grant(FOR_QUESTION),
            Kind::Settings | Kind::GoAway | Kind::Other => {}
        }
    }

    /// Whether the server has sent more than it may.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    #[inline]
    fn grant(&mut self, frames: u32) {
        self.credit = self.credit.saturating_add(frames).min(AT_ONCE);
    }

    /// The credit is used up: what has grown since the last time is added, so the clock is not asked for each frame.
    #[cold]
    fn refill(&mut self) {
        let now = Instant::now();
        let passed = self.refilled.map_or(Duration::from_secs(1), |before| now - before);
        self.refilled = Some(now);
        let grown = (passed.as_secs_f64() * f64::from(PER_SECOND)).min(f64::from(AT_ONCE));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded above"
        )]
        let grown = grown as u32;
        match grown.checked_sub(1) {
            Some(credit) => self.credit = credit,
            None => self.over = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn head(kind: Kind, payload: usize) -> Head {
        Head { kind, stream: 1, payload, acknowledges: false }
    }

    fn read_until_over(flood: &mut Flood, kind: Kind) -> u32 {
        for frame in 1..100_000 {
            flood.read(head(kind, 0));
            if flood.is_over() {
                return frame;
            }
        }
        u32::MAX
    }

    #[tokio::test(start_paused = true)]
    async fn frames_for_nothing_are_a_flood_below_ten_thousand() {
        for kind in [Kind::Other, Kind::Headers, Kind::Data] {
            let frames = read_until_over(&mut Flood::default(), kind);
            assert!((AT_ONCE..10_000).contains(&frames), "{kind:?}: {frames}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledgements_are_a_flood_only_where_nothing_was_asked() {
        let acknowledgement = Head { acknowledges: true, ..head(Kind::Other, 8) };
        let mut flood = Flood::default();
        for _ in 0..100_000 {
            flood.written(head(Kind::Other, 8));
            flood.read(acknowledgement);
        }
        assert!(!flood.is_over());
        for _ in 0..10_000 {
            flood.read(acknowledgement);
        }
        assert!(flood.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_every_ten_seconds_is_no_flood() {
        let mut flood = Flood::default();
        for _ in 0..20_000 {
            flood.read(head(Kind::Other, 8));
            advance(Duration::from_secs(10)).await;
        }
        assert!(!flood.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn window_updates_for_an_upload_and_pings_between_data_are_no_flood() {
        let mut flood = Flood::default();
        for _ in 0..1_000 {
            // A frame may be large, and a server may read it in small pieces.
            flood.written(head(Kind::Data, 1 << 20));
            for _ in 0..512 {
                flood.read(head(Kind::Other, 4));
            }
        }
        for _ in 0..100_000 {
            flood.written(head(Kind::Data, 16_384));
            flood.read(head(Kind::Other, 4));
            flood.read(head(Kind::Other, 4));
        }
        for _ in 0..100_000 {
            flood.read(head(Kind::Data, 16_384));
            flood.read(head(Kind::Other, 8));
        }
        assert!(!flood.is_over());
    }
}
