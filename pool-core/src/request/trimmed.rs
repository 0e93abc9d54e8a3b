//! Over HTTP/2 the value of a field neither begins nor ends with a blank, RFC 9113 8.2.1.
//!
//! HTTP/1 has blanks around its values, which belong to none of them, so a value may have come with some.

use http::header::{HeaderMap, HeaderValue};

pub(super) fn trim_values(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let trimmed = value.as_bytes().trim_ascii();
        if trimmed.len() != value.len()
            && let Ok(mut trimmed) = HeaderValue::from_bytes(trimmed)
        {
            trimmed.set_sensitive(value.is_sensitive());
            *value = trimmed;
        }
    }
}
