//! How much of a response body over HTTP/1 is framing: a server may frame a body by far more than it carries, or send a
//! size line that never ends.
//!
//! The rule is Go's: sixteen bytes for each piece and twice its content are allowed, so that a body of single bytes may
//! come in chunks with extensions; what goes beyond adds up, to a limit.
//!
//! What must hold: what hyper holds unread is not taken for framing. It reads a body only when it holds nothing unread: so
//! where it has no frame, all that was read is accounted for, and where it has one, all but the last read.

/// Go allows 16 KiB. As much again is for trailers, which hyper ends by itself at 16 KiB.
const LIMIT: u64 = 32 * 1024;

const FOR_PIECE: u64 = 16;

/// Once as content, twice as what its framing may come to.
const FOR_BYTE: u64 = 3;

#[derive(Debug, Default)]
pub(super) struct Overhead {
    /// What had been read of the stream when it was looked at last.
    read: u64,
    /// What the content since then accounts for.
    allowed: u64,
    excess: u64,
}

impl Overhead {
    /// Of a body that begins when so much has been read of the stream.
    pub(super) fn since(read: u64) -> Self {
        Self { read, ..Self::default() }
    }

    pub(super) fn note_content(&mut self, bytes: usize) {
        self.allowed += FOR_PIECE + FOR_BYTE * bytes as u64;
    }

    /// Whether there is too much of it, when so much of the stream is accounted for at least.
    pub(super) fn is_too_much(&self, read: u64) -> bool {
        (self.excess + read).saturating_sub(self.read + self.allowed) > LIMIT
    }

    /// All that was read is accounted for. What content has allowed is not saved up.
    pub(super) fn settle(&mut self, read: u64) {
        self.excess = (self.excess + read - self.read).saturating_sub(self.allowed);
        (self.read, self.allowed) = (read, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_single_bytes_in_chunks_may_go_on_for_ever() {
        let (mut overhead, mut read) = (Overhead::since(100), 100);
        for _ in 0..1_000_000 {
            read += "1\r\nx\r\n".len() as u64;
            overhead.note_content(1);
            assert!(!overhead.is_too_much(read));
            overhead.settle(read);
        }
    }

    #[test]
    fn framing_beyond_its_content_adds_up_to_the_limit_and_content_is_not_saved_up_for_it() {
        let mut overhead = Overhead::since(0);
        overhead.note_content(1_000_000);
        overhead.settle(1_000_000);
        overhead.settle(1_000_000 + LIMIT / 2);
        assert!(!overhead.is_too_much(1_000_000 + LIMIT));
        assert!(overhead.is_too_much(1_000_001 + LIMIT));
    }

    #[test]
    fn what_is_still_to_be_handed_out_is_no_framing() {
        let mut overhead = Overhead::since(0);
        for piece in 1..100_u64 {
            overhead.note_content(400_000);
            assert!(!overhead.is_too_much((piece - 1) * 400_000));
        }
    }
}
