//! What a server says of its own idle limit: `Keep-Alive: timeout=5, max=100`.
//!
//! The field is of RFC 2068 19.7.1.1; nginx, Apache and Node.js send it, some only from the second response on, or to
//! take leave. So every response is read, as .NET and undici do, and what was said once holds until something else is said, as
//! in .NET. Both keep a margin, because the server's clock started earlier than ours and its FIN takes time to arrive.

use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderName;

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// As in .NET: longer than a round trip to anywhere. Of a short hint half is left, so that the margin does not take all
/// of it.
const MARGIN: Duration = Duration::from_secs(1);

/// What a response says of the life of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    /// How long the connection may be idle; zero if not at all.
    pub(super) idle: Option<Duration>,
    /// How many more requests it may serve.
    pub(super) uses_left: Option<u64>,
}

impl Hint {
    /// None if the server says nothing, or nothing that can be understood.
    #[inline]
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        // A walk over the few names that are there costs less than a look-up, which hashes the name.
        if headers.keys().any(|name| *name == KEEP_ALIVE) { Self::read(headers) } else { None }
    }

    #[inline(never)]
    fn read(headers: &HeaderMap) -> Option<Self> {
        let mut hint = Self::default();
        let values = headers.get_all(&KEEP_ALIVE).iter().filter_map(|value| value.to_str().ok());
        for value in values {
            for parameter in value.split([',', ';']) {
                let (name, number) = parameter.split_once('=').unwrap_or((parameter, ""));
                let number = number.trim().trim_matches('"');
                if name.trim().eq_ignore_ascii_case("timeout") {
                    let leave_a_margin = |timeout: Duration| timeout - MARGIN.min(timeout / 2);
                    hint.idle = seconds(number).map(leave_a_margin).or(hint.idle);
                } else if name.trim().eq_ignore_ascii_case("max") {
                    hint.uses_left = number.parse().ok().or(hint.uses_left);
                }
            }
        }
        (hint != Self::default()).then_some(hint)
    }

    /// What is known after a response that says this: what it leaves out is as before, and one use less is left.
    #[inline]
    pub(super) fn follow(before: Option<Self>, said: Option<Self>) -> Option<Self> {
        let Some(before) = before else { return said };
        let said = said.unwrap_or_default();
        let left = before.uses_left.map(|uses| uses.saturating_sub(1));
        Some(Self { idle: said.idle.or(before.idle), uses_left: said.uses_left.or(left) })
    }
}

/// Some servers write a fraction, or the unit.
fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix(['s', 'S']).unwrap_or(text);
    if let Ok(whole) = number.parse() {
        return Some(Duration::from_secs(whole));
    }
    Duration::try_from_secs_f64(number.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn hint(values: &[&'static str]) -> Option<Hint> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("keep-alive", HeaderValue::from_static(value));
        }
        Hint::of(&headers)
    }

    #[test]
    fn a_timeout_is_obeyed_with_a_second_to_spare_and_a_limit_of_uses_to_the_letter() {
        let idle = |seconds| Some(Duration::from_secs(seconds));
        let both = Some(Hint { idle: idle(4), uses_left: Some(100) });
        for values in [
            ["timeout=5, max=100"].as_slice(),
            &["max=100,timeout=5"],
            &["Timeout = \"5\"", "MAX=100"],
        ] {
            assert_eq!(hint(values), both, "{values:?}");
        }
        assert_eq!(hint(&["timeout=75"]), Some(Hint { idle: idle(74), uses_left: None }));
        assert_eq!(hint(&["max=0"]), Some(Hint { idle: None, uses_left: Some(0) }));
    }

    #[test]
    fn half_of_a_short_timeout_may_be_used_and_nothing_of_none() {
        let idle = |value| hint(&[value]).and_then(|hint| hint.idle);
        assert_eq!(idle("timeout=2"), Some(Duration::from_secs(1)));
        assert_eq!(idle("timeout=1"), Some(Duration::from_millis(500)));
        assert_eq!(idle("timeout=0"), Some(Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_understood_is_no_hint() {
        for value in [
            "",
            "timeout",
            "timeout=",
            "timeout=soon",
            "timeout=-5",
            "300",
            "x=5",
            "timeout=5m",
            "timeout=5ms",
            "timeout=inf",
            "timeout=NaN",
        ] {
            assert_eq!(hint(&[value]), None, "{value}");
        }
        assert_eq!(hint(&[]), None);
    }

    #[test]
    fn odd_spellings_are_understood_and_spoil_no_other_value() {
        let both = Some(Hint { idle: Some(Duration::from_secs(4)), uses_left: Some(7) });
        for values in [
            ["timeout=5;max=7"].as_slice(),
            &["timeout=5.0s, max=7"],
            &["max=7\u{e9}", "timeout=5,max=7"],
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("keep-alive", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(Hint::of(&headers), both, "{values:?}");
        }
    }

    #[test]
    fn what_was_said_holds_until_something_else_is_said() {
        let said = |idle: Option<u64>, uses_left| {
            Some(Hint { idle: idle.map(Duration::from_secs), uses_left })
        };
        assert_eq!(Hint::follow(None, None), None);
        assert_eq!(Hint::follow(None, said(Some(1), None)), said(Some(1), None));
        assert_eq!(Hint::follow(said(Some(1), Some(2)), None), said(Some(1), Some(1)));
        assert_eq!(
            Hint::follow(said(Some(1), Some(2)), said(Some(3), None)),
            said(Some(3), Some(1))
        );
        assert_eq!(
            Hint::follow(said(Some(1), Some(0)), said(None, Some(9))),
            said(Some(1), Some(9))
        );
    }
}
