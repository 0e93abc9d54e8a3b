//! Fields that stand more than once and are to go out as one.
//!
//! Nearly no head has a name twice, and the map knows whether one has: such a head is asked nothing.

use http::header::{CONTENT_LENGTH, COOKIE, Entry, HeaderMap, HeaderValue};

/// Whether any name stands more than once.
#[inline]
pub(super) fn has_repeated(headers: &HeaderMap) -> bool {
    headers.len() != headers.keys_len()
}

/// Lengths that agree are told once, RFC 9110 8.6.
pub(super) fn unite_lengths(headers: &mut HeaderMap) {
    let Entry::Occupied(mut lengths) = headers.entry(CONTENT_LENGTH) else { return };
    if lengths.iter().nth(1).is_some() {
        let length = lengths.get().clone();
        lengths.insert(length);
    }
}

/// HTTP/2 may split cookies into fields of their own, HTTP/1 may not, RFC 9113 8.2.3.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let Entry::Occupied(mut cookies) = headers.entry(COOKIE) else { return };
    if cookies.iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<_> = cookies.iter().map(HeaderValue::as_bytes).collect();
    // What is legal in each of the values is so in all of them.
    let Ok(mut joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) else { return };
    joined.set_sensitive(cookies.iter().any(HeaderValue::is_sensitive));
    cookies.insert(joined);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_cookies_are_secret_if_one_of_them_is() {
        for secret in [false, true] {
            let mut second = HeaderValue::from_static("b=2");
            second.set_sensitive(secret);
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, HeaderValue::from_static("a=1"));
            headers.append(COOKIE, second);
            join_cookies(&mut headers);
            assert_eq!(
                (&headers[COOKIE], headers.len()),
                (&HeaderValue::from_static("a=1; b=2"), 1)
            );
            assert_eq!(headers[COOKIE].is_sensitive(), secret);
        }
    }
}
