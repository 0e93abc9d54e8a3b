//! Responses over HTTP/1.

use std::array;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use arbitrary::Arbitrary;

use crate::changes::{Change, End, Pace, Reader, few};
use crate::law::{self, Fate, call, executions, holds, mark};
use crate::server::{Burst, Script, Server};

/// The answers that are changed: the files of `corpus/`, in the order of their names.
static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the corpus")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a file that can be read")).collect()
});

/// What a server answers, and what becomes of its connection.
#[derive(Clone, Debug, Arbitrary)]
struct Answer {
    seed: u8,
    #[arbitrary(with = few::<Change, 4>)]
    changes: Vec<Change>,
    pace: Pace,
    end: End,
}

/// Requests, one after the other, and what they are answered.
#[derive(Clone, Debug, Arbitrary)]
struct Conversation {
    answers: [Answer; 4],
    readers: [Reader; 3],
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = CORPUS[usize::from(self.seed) % CORPUS.len()].clone();
        for change in &self.changes {
            change.apply(&mut bytes);
        }
        bytes
    }
}

/// An answer that was given.
struct Given {
    path: String,
    bytes: Vec<u8>,
    end: End,
}

impl Given {
    /// So much of it as one likes to read.
    fn text(&self) -> String {
        self.bytes[..self.bytes.len().min(400)].escape_ascii().to_string()
    }
}

struct Answers {
    planned: array::IntoIter<Answer, 4>,
    given: Vec<Given>,
}

impl Script for Answers {
    fn greeting(&mut self, _: usize) -> Option<Burst> {
        None
    }

    fn answer(&mut self, _: usize, received: &mut Vec<u8>) -> Option<Burst> {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        received.drain(..end);
        let path = head.split(' ').nth(1).expect("a request line").to_owned();
        let answer = self.planned.next();
        let (mut bytes, pace, end) = match answer {
            Some(answer) => (answer.bytes(), answer.pace, answer.end),
            None => (CORPUS[0].clone(), Pace::Whole, End::Open),
        };
        mark(&mut bytes, self.given.len());
        self.given.push(Given { path, bytes: bytes.clone(), end });
        Some(Burst { bytes, pace, end })
    }
}

/// The status and the body that RFC 9112 6.3 makes of the answer to a GET; none if it is cut or contradicts itself.
fn message(given: &Given) -> Option<(u16, Vec<u8>)> {
    let mut rest = &given.bytes[..];
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = head.parse(rest).ok()? else { return None };
        rest = &rest[length..];
        let status = head.code?;
        let values = |name: &str| -> Vec<&[u8]> {
            let fields = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            fields.map(|field| field.value).collect()
        };
        let (codings, lengths) = (values("transfer-encoding"), values("content-length"));
        match status {
            // Nobody asked for it.
            101 => return None,
            100..200 => continue,
            204 | 304 => return Some((status, Vec::new())),
            _ => {}
        }
        if let Some(coding) = codings.first() {
            let one = codings.len() == 1 && lengths.is_empty();
            return (one && coding.eq_ignore_ascii_case(b"chunked"))
                .then(|| chunks(rest))
                .flatten()
                .map(|body| (status, body));
        }
        if lengths.is_empty() {
            return (given.end == End::Closed).then(|| (status, rest.to_vec()));
        }
        let items = lengths.iter().flat_map(|list| list.split(|byte| *byte == b','));
        let mut items = items.map(|item| number(item.trim_ascii()));
        let length = items.next()??;
        if items.any(|item| item != Some(length)) {
            return None;
        }
        return rest.get(..length).map(|body| (status, body.to_vec()));
    }
}

fn number(text: &[u8]) -> Option<usize> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        // Zeros before a size are no part of it, however many; httparse counts them as digits.
        let zeros = rest.iter().take_while(|byte| **byte == b'0').count();
        rest = &rest[zeros.saturating_sub(1)..];
        let size = httparse::parse_chunk_size(rest).ok()?;
        let httparse::Status::Complete((line, size)) = size else { return None };
        rest = &rest[line..];
        let size = usize::try_from(size).ok()?;
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let trailers = httparse::parse_headers(rest, &mut fields).ok()?;
            return trailers.is_complete().then_some(body);
        }
        body.extend(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

#[test]
fn whatever_a_server_sends_over_http1_the_law_holds() {
    executions(|conversation: Conversation| {
        let Conversation { answers, readers } = conversation;
        let planned = answers.into_iter();
        let server = Server::new(Answers { planned, given: Vec::new() });
        let make_pool = || law::pool(&server, |settings| settings.quarantine(false));
        let fates = holds(&server, make_pool, async |pool| {
            let mut fates = Vec::new();
            for (number, reader) in readers.into_iter().enumerate() {
                let path = format!("/{number}");
                fates.push((call(pool, &server, &path, reader).await, path));
            }
            fates
        });
        server.script(|script| {
            for (fate, path) in fates {
                check_fate(&fate, &path, &script.given);
            }
        });
    });
}

fn check_fate(fate: &Fate, path: &str, given: &[Given]) {
    for mark in fate.marks() {
        let answer = given.get(usize::from(mark)).expect("an answer that was given");
        assert_eq!(answer.path, path, "{fate:?} has bytes of another's answer");
    }
    if let Fate::Whole(head, body) = fate {
        let told = Some((head.status.as_u16(), body.clone()));
        let mut answers = given.iter().filter(|given| given.path == path);
        assert!(
            answers.any(|given| message(given) == told),
            "{fate:?} is none of {:?}",
            given.iter().map(Given::text).collect::<Vec<_>>()
        );
    }
}
