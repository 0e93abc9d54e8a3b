//! The head of a response over HTTP/1 tells one truth about the length of its body, RFC 9112 6.3.
//!
//! hyper has read the length by then, and hands on all fields that speak of it. Two that contradict each other are read
//! one way here and may be read another way by the next program that gets the head: a gateway would pass on a response that its
//! client ends elsewhere. So they are an error, as in Envoy and nginx.
//!
//! `gzip, chunked` is legal and refused all the same: hyper takes off the chunks alone, and the field that names the rest
//! is of this connection. A server may use it only where a request asks for it by `TE`, which none that leaves here does.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};

/// Looks at the fields that frame a body of which hyper knows this length; lengths that agree become one, RFC 9110 8.6.
///
/// A body without content is framed by its status or by the method of its request, whatever these fields say.
#[inline]
pub(super) fn check_framing(
    headers: &mut HeaderMap,
    length: Option<u64>,
) -> Result<(), &'static str> {
    match length {
        // Perhaps that of another response, as to HEAD.
        Some(0) => {
            if headers.len() != headers.keys_len()
                && let Some(length) = agreed(headers)
            {
                headers.insert(CONTENT_LENGTH, length);
            }
            Ok(())
        }
        Some(length) => {
            // A walk over the few fields before it costs less than a look-up, which hashes the name.
            let mut fields = headers.iter();
            let first = fields.find(|(name, _)| **name == CONTENT_LENGTH);
            let is_plain = first.is_some_and(|(_, value)| is_number(value));
            if !is_plain || headers.len() != headers.keys_len() {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            Ok(())
        }
        None => check_coding(headers),
    }
}

/// The length in which several fields agree.
#[cold]
fn agreed(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut fields = headers.get_all(CONTENT_LENGTH).iter();
    let first = fields.next().filter(|first| is_number(first))?;
    fields.all(|other| other == first).then(|| first.clone())
}

/// hyper understands a list of numbers too.
fn is_number(value: &HeaderValue) -> bool {
    value.as_bytes().iter().all(u8::is_ascii_digit)
}

/// The body comes in chunks, or ends with its connection.
fn check_coding(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if headers.contains_key(CONTENT_LENGTH) {
        return Err("content-length and transfer-encoding in one response contradict each other");
    }
    let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if !is_chunked || codings.next().is_some() {
        return Err("the transfer-encoding of the response is not one chunked alone");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(fields: &[(&'static str, &'static str)], length: Option<u64>) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        check_framing(&mut headers, length).ok().map(|()| headers)
    }

    #[test]
    fn lengths_that_agree_become_one() {
        for lengths in [["4"].as_slice(), &["4", "4"], &["4, 4"], &["4,4", " 4 "], &["04", "4"]] {
            let fields: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
            let headers = checked(&fields, Some(4)).unwrap();
            let told: Vec<_> = headers.get_all("content-length").iter().collect();
            assert_eq!(told, ["4"], "{lengths:?}");
        }
    }

    #[test]
    fn lengths_that_agree_become_one_where_no_content_follows_too() {
        for (length, length_of_body) in [("0", 0), ("7", 0)] {
            let headers = checked(&[("content-length", length); 2], Some(length_of_body)).unwrap();
            assert_eq!(headers.get_all("content-length").iter().collect::<Vec<_>>(), [length]);
        }
    }

    #[test]
    fn other_fields_that_stand_twice_stay() {
        let twice = [("content-length", "4"), ("set-cookie", "a"), ("set-cookie", "b")];
        let headers = checked(&twice, Some(4)).unwrap();
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn a_body_without_content_may_say_what_it_likes() {
        let both = [("content-length", "4, 5"), ("transfer-encoding", "gzip, chunked")];
        assert_eq!(checked(&both, Some(0)).unwrap().len(), 2);
    }
}
