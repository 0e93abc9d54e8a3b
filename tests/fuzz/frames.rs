//! Frames that a server sends, right and wrong ones.

use arbitrary::Arbitrary;

use crate::changes::few;

pub(super) const HEAD: usize = 9;
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const PADDED: u8 = 8;

/// The stream of a frame.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) enum Which {
    /// The one that is answered.
    This,
    /// One that may be open.
    Near(u8),
    Any(u32),
    Connection,
}

/// Fields in HPACK, from the static table or as they are.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) enum Fields {
    Ok,
    OkWithLength(u8),
    OkWithMark,
    NoContent,
    NotModified,
    Informational,
    NoStatus,
    OfARequest,
    Large(u16),
}

#[derive(Clone, Debug, Arbitrary)]
pub(super) enum Piece {
    Head(Which, Fields, bool),
    Data(Which, u8, bool),
    Padded(Which, u8, u8, bool),
    Many(Which, u8, u8),
    Reset(Which, u8),
    Settings(u8, u16),
    Ping(bool),
    Leaves(Which, u8),
    Window(Which, u16),
    Anything(u8, u8, Which, #[arbitrary(with = few::<u8, 24>)] Vec<u8>),
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn literal(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(name.len()).expect("a short name")];
    bytes.extend(name.as_bytes());
    if value.len() < 127 {
        bytes.push(u8::try_from(value.len()).expect("less than 127"));
    } else {
        // RFC 7541 5.1, for a length that takes three more bytes.
        bytes.push(127);
        let rest = value.len() - 127;
        let septet = |shift: usize| u8::try_from(rest >> shift & 127).expect("seven bits");
        bytes.extend([septet(0) | 128, septet(7) | 128, septet(14)]);
    }
    bytes.extend(value);
    bytes
}

impl Which {
    fn stream(self, this: u32) -> u32 {
        match self {
            Self::This => this,
            Self::Near(number) => u32::from(number % 16),
            Self::Any(number) => number,
            Self::Connection => 0,
        }
    }
}

impl Fields {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Ok => vec![0x88],
            Self::OkWithLength(length) => {
                [vec![0x88], literal("content-length", length.to_string().as_bytes())].concat()
            }
            Self::OkWithMark => [vec![0x88], literal("x-mark", &[0xef])].concat(),
            Self::NoContent => vec![0x89],
            Self::NotModified => vec![0x8b],
            Self::Informational => literal(":status", b"103"),
            Self::NoStatus => literal("x-mark", &[0xef]),
            Self::OfARequest => vec![0x82, 0x84],
            Self::Large(length) => {
                [vec![0x88], literal("x-large", &vec![b'x'; usize::from(length % 16_000)])].concat()
            }
        }
    }
}

impl Piece {
    pub(super) fn bytes(&self, this: u32) -> Vec<u8> {
        let end = |ends: bool| if ends { END_STREAM } else { 0 };
        match self {
            Self::Head(which, fields, ends) => {
                frame(HEADERS, 4 | end(*ends), which.stream(this), &fields.bytes())
            }
            Self::Data(which, length, ends) => {
                frame(DATA, end(*ends), which.stream(this), &vec![0xef; usize::from(*length)])
            }
            Self::Padded(which, length, padding, ends) => {
                let mut payload = vec![*padding];
                payload.extend(vec![0xef; usize::from(*length)]);
                payload.extend(vec![0; usize::from(*padding)]);
                frame(DATA, PADDED | end(*ends), which.stream(this), &payload)
            }
            Self::Many(which, kind, times) => {
                let kinds = [frame(DATA, 0, which.stream(this), &[]), frame(6, 0, 0, &[0; 8])];
                kinds[usize::from(*kind) % kinds.len()].repeat(usize::from(*times) * 8)
            }
            Self::Reset(which, code) => {
                frame(3, 0, which.stream(this), &u32::from(code % 16).to_be_bytes())
            }
            Self::Settings(id, value) => {
                let mut payload = u16::from(id % 10).to_be_bytes().to_vec();
                payload.extend(u32::from(*value).to_be_bytes());
                frame(4, 0, 0, &payload)
            }
            Self::Ping(acknowledges) => frame(6, u8::from(*acknowledges), 0, &[7; 8]),
            Self::Leaves(last, code) => {
                let mut payload = last.stream(this).to_be_bytes().to_vec();
                payload.extend(u32::from(code % 16).to_be_bytes());
                frame(7, 0, 0, &payload)
            }
            Self::Window(which, by) => {
                frame(8, 0, which.stream(this), &u32::from(*by).to_be_bytes())
            }
            Self::Anything(kind, flags, which, payload) => {
                frame(kind % 12, *flags, which.stream(this), payload)
            }
        }
    }
}

/// The kind, the flags, the stream and the length of the frame at the beginning.
pub(super) fn whole_frame(bytes: &[u8]) -> Option<(u8, u8, u32, usize)> {
    let [a, b, c, kind, flags, i, j, k, l] = *bytes.first_chunk::<HEAD>()?;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    (bytes.len() >= HEAD + length)
        .then(|| (kind, flags, u32::from_be_bytes([i, j, k, l]) & (u32::MAX >> 1), length))
}
