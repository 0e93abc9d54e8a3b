//! What the head of a request says of how it is to be sent, read in one pass.
//!
//! A look-up in a header map costs a hash, and most heads have none of these fields: one pass over the fields that are
//! there is cheaper than a look-up for each.

use http::header::{
    CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

use super::retry::IDEMPOTENCY_KEYS;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadFacts {
    /// The `content-length`.
    pub(super) length: Option<u64>,
    /// Whether there is a `transfer-encoding`.
    pub(super) transfer_encoding: bool,
    /// Whether the body is sent in chunks: its caller asks for that, or its length is not known before it is read.
    pub(crate) needs_chunks: bool,
    /// Whether there is a `Host` that names a server.
    pub(super) host: bool,
    /// Whether the body waits for a `100`.
    pub(crate) expects_continue: bool,
    /// Whether the connection may become something else.
    pub(crate) upgrade: bool,
    /// Whether the connection becomes a tunnel: what the method says.
    pub(crate) connect: bool,
    /// Whether there is a key by which the server knows a repetition.
    pub(crate) idempotency_key: bool,
    /// What seldom is, one bit for each: the facts are moved about with every request.
    seldom: u8,
}

/// There is a `TE`.
pub(super) const TE_ASKED: u8 = 1;
/// Its URI asks for an encrypted connection.
pub(super) const SECURE: u8 = 1 << 1;
/// It is written as HTTP/1.0.
pub(super) const HTTP_1_0: u8 = 1 << 2;
/// Its body is coded in another way than by chunks.
pub(super) const CODED: u8 = 1 << 3;
/// There is a `Host`, which may be empty.
const HAS_HOST: u8 = 1 << 4;
/// The last coding was `chunked`.
const ENDED: u8 = 1 << 5;
/// It asks for a stream that speaks another protocol, RFC 8441.
pub(super) const EXTENDED: u8 = 1 << 6;

impl HeadFacts {
    /// Whether only HTTP/1 can carry it.
    #[inline]
    pub(crate) fn needs_http1(self) -> bool {
        self.upgrade && !self.connect || self.has(HTTP_1_0)
    }

    /// Whether it asks for a stream that speaks another protocol, RFC 8441.
    #[inline]
    pub(crate) fn is_extended_connect(self) -> bool {
        self.has(EXTENDED)
    }

    /// Whether one of the facts that are seldom is true.
    #[inline]
    pub(super) fn has(self, fact: u8) -> bool {
        self.seldom & fact != 0
    }

    #[inline]
    pub(super) fn set(&mut self, fact: u8, holds: bool) {
        self.seldom = self.seldom & !fact | if holds { fact } else { 0 };
    }

    /// Reads a head, or says in what it contradicts itself.
    #[inline]
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        if headers.is_empty() { Ok(Self::default()) } else { Self::of_fields(headers) }
    }

    // Out of line, because it is long, and heads without fields skip it.
    #[inline(never)]
    fn of_fields(headers: &HeaderMap) -> Result<Self, &'static str> {
        let mut facts = Self::default();
        for (name, value) in headers {
            if *name == HOST {
                facts.host(value)?;
            } else if *name == CONTENT_LENGTH {
                facts.length(value)?;
            } else if *name == TRANSFER_ENCODING {
                facts.coding(value)?;
            } else if *name == EXPECT {
                facts.expects_continue |= value.as_bytes().eq_ignore_ascii_case(b"100-continue");
            } else if *name == UPGRADE {
                facts.upgrade = true;
            } else if *name == TE {
                facts.set(TE_ASKED, true);
            } else if IDEMPOTENCY_KEYS.contains(name) {
                facts.idempotency_key = true;
            }
        }
        Ok(facts)
    }

    /// There is one `Host` at most, RFC 9112 3.2, and it names a server. One without a value stands for a target without
    /// an authority, and every request here has one.
    fn host(&mut self, value: &HeaderValue) -> Result<(), &'static str> {
        if self.has(HAS_HOST) {
            return Err("more than one Host");
        }
        if !value.as_bytes().iter().all(|byte| OF_A_HOST[usize::from(*byte)]) {
            return Err("the Host is no host");
        }
        self.set(HAS_HOST, true);
        self.host = !value.is_empty();
        Ok(())
    }

    /// Several lengths must agree, RFC 9110 8.6.
    fn length(&mut self, value: &HeaderValue) -> Result<(), &'static str> {
        let length = value
            .to_str()
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or("content-length is not a number")?;
        match self.length.replace(length) {
            Some(before) if before != length => {
                Err("several content-lengths contradict each other")
            }
            _ => Ok(()),
        }
    }

    /// `chunked` stands once and last, RFC 9112 6.1. hyper adds it where it is missing, but does not see it elsewhere.
    fn coding(&mut self, value: &HeaderValue) -> Result<(), &'static str> {
        self.transfer_encoding = true;
        let codings = value.to_str().map_err(|_| "transfer-encoding is not text")?;
        for coding in codings.split(',') {
            if self.has(ENDED) {
                return Err("chunked must stand once and last in transfer-encoding");
            }
            let chunked = coding.trim().eq_ignore_ascii_case("chunked");
            self.set(ENDED, chunked);
            self.set(CODED, self.has(CODED) || !chunked);
        }
        Ok(())
    }
}

/// The bytes of a host with its port, RFC 3986 3.2.2.
static OF_A_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~%!$&'()*+,;=:[]";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_moved_about_in_three_words() {
        assert_eq!(size_of::<HeadFacts>(), 3 * size_of::<u64>());
    }
}
