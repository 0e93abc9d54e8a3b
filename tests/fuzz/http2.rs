//! Frames over HTTP/2.

use std::array;

use arbitrary::Arbitrary;
use pool_core::Http2;

use crate::changes::{Change, End, Pace, Reader, few};
use crate::frames::{
    DATA, END_STREAM, Fields, HEAD, HEADERS, PADDED, Piece, Which, frame, whole_frame,
};
use crate::law::{self, Fate, call, executions, holds, mark};
use crate::server::{Burst, Script, Server};

const PREFACE: usize = 24;
/// A request that is refused each time goes out no more often.
const MOST_SENT: usize = 6;

/// What a request is answered; most often with a response somewhere in it.
#[derive(Clone, Debug, Arbitrary)]
struct Answer {
    #[arbitrary(with = few::<Piece, 2>)]
    before: Vec<Piece>,
    head: Option<Fields>,
    #[arbitrary(with = few::<Piece, 3>)]
    between: Vec<Piece>,
    data: Option<(u8, bool)>,
    #[arbitrary(with = few::<Piece, 2>)]
    after: Vec<Piece>,
    #[arbitrary(with = few::<Change, 1>)]
    changes: Vec<Change>,
    changed: bool,
    pace: Pace,
    end: End,
    ends: bool,
}

#[derive(Clone, Debug, Arbitrary)]
struct Conversation {
    #[arbitrary(with = few::<Piece, 2>)]
    greeting: Vec<Piece>,
    answers: [Answer; 5],
    readers: [Reader; 5],
}

impl Answer {
    fn bytes(&self, stream: u32) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.before.iter().flat_map(|piece| piece.bytes(stream)).collect();
        let ends = self.data.is_none();
        let head = self.head.unwrap_or(Fields::OkWithMark);
        bytes.extend(Piece::Head(Which::This, head, ends).bytes(stream));
        bytes.extend(self.between.iter().flat_map(|piece| piece.bytes(stream)));
        if let Some((length, ends)) = self.data {
            bytes.extend(Piece::Data(Which::This, length, ends).bytes(stream));
        }
        bytes.extend(self.after.iter().flat_map(|piece| piece.bytes(stream)));
        for change in self.changes.iter().filter(|_| self.changed) {
            change.apply(&mut bytes);
        }
        bytes
    }
}

/// What was sent in answer to a request, on its connection.
struct Sent {
    connection: usize,
    bytes: Vec<u8>,
}

struct Frames {
    greeting: Vec<Piece>,
    planned: array::IntoIter<Answer, 5>,
    sent: Vec<Sent>,
    answered: usize,
    begun: Vec<usize>,
}

impl Script for Frames {
    fn greeting(&mut self, connection: usize) -> Option<Burst> {
        let mut bytes = frame(4, 0, 0, &[]);
        bytes.extend(self.greeting.iter().flat_map(|piece| piece.bytes(1)));
        self.sent.push(Sent { connection, bytes: bytes.clone() });
        Some(Burst { bytes, pace: Pace::Whole, end: End::Open })
    }

    fn answer(&mut self, connection: usize, received: &mut Vec<u8>) -> Option<Burst> {
        if !self.begun.contains(&connection) && received.len() >= PREFACE {
            received.drain(..PREFACE);
            self.begun.push(connection);
        }
        let mut burst: Option<Burst> = None;
        while let Some((kind, _, stream, length)) = whole_frame(received) {
            received.drain(..HEAD + length);
            if kind != HEADERS {
                continue;
            }
            let (mut bytes, pace, end) = match self.planned.next() {
                Some(answer) => {
                    let end = if answer.ends { answer.end } else { End::Open };
                    (answer.bytes(stream), answer.pace, end)
                }
                None => (
                    Piece::Head(Which::This, Fields::Ok, true).bytes(stream),
                    Pace::Whole,
                    End::Open,
                ),
            };
            mark_content(&mut bytes, self.answered);
            self.answered += 1;
            self.sent.push(Sent { connection, bytes: bytes.clone() });
            match &mut burst {
                Some(burst) => burst.bytes.extend(bytes),
                None => burst = Some(Burst { bytes, pace, end }),
            }
        }
        burst
    }
}

/// Marks what a response may show, and leaves the heads of frames as they are.
fn mark_content(mut bytes: &mut [u8], answer: usize) {
    while let Some((kind, _, _, length)) = whole_frame(bytes) {
        let (frame, rest) = bytes.split_at_mut(HEAD + length);
        if matches!(kind, DATA | HEADERS) {
            mark(&mut frame[HEAD..], answer);
        }
        bytes = rest;
    }
}

/// The bodies that ended with `END_STREAM`, of every stream of every connection.
fn bodies(sent: &[Sent]) -> Vec<Vec<u8>> {
    let mut streams: Vec<((usize, u32), Vec<u8>, bool)> = Vec::new();
    let mut connections: Vec<(usize, Vec<u8>)> = Vec::new();
    for Sent { connection, bytes } in sent {
        match connections.iter_mut().find(|(number, _)| number == connection) {
            Some((_, all)) => all.extend(bytes),
            None => connections.push((*connection, bytes.clone())),
        }
    }
    for (connection, bytes) in connections {
        let mut rest = &bytes[..];
        while let Some((kind, flags, stream, length)) = whole_frame(rest) {
            let payload = &rest[HEAD..HEAD + length];
            rest = &rest[HEAD + length..];
            if !matches!(kind, DATA | HEADERS) {
                continue;
            }
            let place = streams.iter().position(|(key, ..)| *key == (connection, stream));
            let place = place.unwrap_or_else(|| {
                streams.push(((connection, stream), Vec::new(), false));
                streams.len() - 1
            });
            let (_, body, ended) = &mut streams[place];
            if *ended {
                continue;
            }
            if kind == DATA {
                body.extend(content(payload, flags & PADDED != 0));
            }
            *ended = flags & END_STREAM != 0;
        }
    }
    streams.into_iter().filter(|(.., ended)| *ended).map(|(_, body, _)| body).collect()
}

fn content(payload: &[u8], padded: bool) -> &[u8] {
    if !padded {
        return payload;
    }
    let Some((padding, rest)) = payload.split_first() else { return &[] };
    &rest[..rest.len().saturating_sub(usize::from(*padding))]
}

#[test]
fn whatever_a_server_sends_over_http2_the_law_holds() {
    executions(|conversation: Conversation| {
        let Conversation { greeting, answers, readers } = conversation;
        let planned = answers.into_iter();
        let sent = Vec::new();
        let server =
            Server::new(Frames { greeting, planned, sent, answered: 0, begun: Vec::new() });
        let make_pool = || law::pool(&server, |settings| settings.http2(Http2::Assumed));
        let fates = holds(&server, make_pool, async |pool| {
            let [a, b, c, d, e] = readers;
            // Three beside one another, and two after them.
            let (a, b, c) = tokio::join!(
                call(pool, &server, "/a", a),
                call(pool, &server, "/b", b),
                call(pool, &server, "/c", c),
            );
            let d = call(pool, &server, "/d", d).await;
            [a, b, c, d, call(pool, &server, "/e", e).await]
        });
        server.script(|script| check_fates(&fates, script));
    });
}

fn check_fates(fates: &[Fate], script: &Frames) {
    let mut bodies = bodies(&script.sent);
    for fate in fates {
        // Each has a stream of its own. What a server writes into the streams of others, it mixes itself.
        if let Fate::Whole(_, body) = fate {
            let place = bodies.iter().position(|of_stream| of_stream == body);
            bodies.swap_remove(place.unwrap_or_else(|| panic!("{fate:?} is none of {bodies:?}")));
        }
    }
    assert!(
        script.answered <= MOST_SENT * fates.len(),
        "requests go out {} times",
        script.answered
    );
}
