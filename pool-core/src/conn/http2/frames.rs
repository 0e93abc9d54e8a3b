//! Finds the heads of frames in a run of bytes that comes in any pieces.

/// The bytes of a frame before its payload, RFC 9113 4.1.
const HEAD: usize = 9;

/// What a client says before its first frame, RFC 9113 3.4.
const PREFACE: usize = 24;

/// What a frame is, as far as it makes a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Settings,
    GoAway,
    Other,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) stream: u32,
    /// The bytes that follow.
    pub(super) payload: usize,
    /// It acknowledges another: what a server says because it was told to.
    pub(super) acknowledges: bool,
}

#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    filled: usize,
    /// What is left of the payload of the last frame.
    payload: usize,
}

impl Frames {
    /// Of a side that begins with the preface.
    pub(super) fn after_preface() -> Self {
        Self { payload: PREFACE, ..Self::default() }
    }

    /// Whether the last head is not whole yet.
    pub(super) fn is_within_head(&self) -> bool {
        self.filled > 0
    }

    /// Goes through the next bytes; gives each head that they complete to `found`.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(Head)) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len());
                self.payload -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(HEAD - self.filled));
            self.head[self.filled..self.filled + part.len()].copy_from_slice(part);
            self.filled += part.len();
            bytes = rest;
            if self.filled == HEAD {
                let head = Head::of(&self.head);
                self.filled = 0;
                self.payload = head.payload;
                found(head);
            }
        }
    }
}

impl Head {
    fn of(&[high, middle, low, kind, flags, a, b, c, d]: &[u8; HEAD]) -> Self {
        Self {
            kind: match kind {
                0 => Kind::Data,
                1 => Kind::Headers,
                4 => Kind::Settings,
                7 => Kind::GoAway,
                _ => Kind::Other,
            },
            // The first bit is reserved.
            stream: u32::from_be_bytes([a & 0x7f, b, c, d]),
            payload: u32::from_be_bytes([0, high, middle, low]) as usize,
            // SETTINGS and PING know this flag.
            acknowledges: matches!(kind, 4 | 6) && flags & 1 == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.resize(HEAD + payload, 0xff);
        frame
    }

    #[test]
    fn heads_are_found_however_the_bytes_are_cut() {
        let bytes =
            [frame(4, 0, 0, 18), frame(1, 5, 3, 0), frame(0, 1, 0x8000_0003, 70_000)].concat();
        for piece in [1, 2, 8, 9, 10, 27, 100_000] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(piece) {
                frames.scan(piece, |head| found.push((head.kind, head.stream, head.payload)));
            }
            let expected =
                [(Kind::Settings, 0, 18), (Kind::Headers, 3, 0), (Kind::Data, 3, 70_000)];
            assert_eq!(found, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn the_preface_of_a_client_is_no_frame() {
        let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(6, 1, 0, 8)].concat();
        let (mut frames, mut found) = (Frames::after_preface(), Vec::new());
        frames.scan(&bytes, |head| found.push(head));
        let ping = Head { kind: Kind::Other, stream: 0, payload: 8, acknowledges: true };
        assert_eq!(found, [ping]);
    }
}
