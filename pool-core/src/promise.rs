//! A body that says how long it is, is held to it.
//!
//! hyper would wait for ever for what is missing, and cut what is too much without a word.

use std::error::Error as StdError;
use std::fmt;

use bytes::Bytes;
use http_body::Frame;

use crate::request_body::BoxError;

type NextFrame = Option<Result<Frame<Bytes>, BoxError>>;

/// Counts a frame against what is left of the promise; one that breaks it becomes an error.
pub(crate) fn keep_promise(frame: NextFrame, left: &mut u64) -> NextFrame {
    match &frame {
        Some(Ok(frame)) => {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(bytes) {
                Some(rest) => *left = rest,
                None => return Some(Err(BrokenPromise::TooLong(bytes - *left).into())),
            }
        }
        None if *left > 0 => return Some(Err(BrokenPromise::TooShort(*left).into())),
        _ => {}
    }
    frame
}

#[derive(Debug)]
enum BrokenPromise {
    TooLong(u64),
    TooShort(u64),
}

impl fmt::Display for BrokenPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => {
                write!(f, "the body goes at least {bytes} bytes beyond its content-length")
            }
            Self::TooShort(bytes) => {
                write!(f, "the body ended {bytes} bytes short of its content-length")
            }
        }
    }
}

impl StdError for BrokenPromise {}
