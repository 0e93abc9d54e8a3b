//! The server of the race, in a process of its own.
//!
//! Beside the connection it says, in a datagram with the number of the answer before, that it has given the connection up: it says so
//! when the kernel has done what it was told, so whoever hears the word could have known.

use std::fmt;
use std::hint::spin_loop;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// The argument that makes this program the server.
const SERVE: &str = "serve-the-race";

/// It gives a connection up so long after its answer.
const GRACE: Duration = Duration::from_micros(100);

/// What a server does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// Nothing: it answers with the number of the connection.
    Keeps,
    /// It closes; requests are GETs.
    ClosesAfterGets,
    /// It closes; requests are POSTs.
    ClosesAfterPosts,
    /// It sends an answer to no request.
    AnswersUnasked,
}

impl Scene {
    pub(super) const RACES: [Self; 3] =
        [Self::ClosesAfterGets, Self::ClosesAfterPosts, Self::AnswersUnasked];

    pub(super) fn is_post(self) -> bool {
        self == Self::ClosesAfterPosts
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keeps => "keeps",
            Self::ClosesAfterGets | Self::ClosesAfterPosts => "closes",
            Self::AnswersUnasked => "answers-unasked",
        })
    }
}

/// A server that runs, and what it says beside its connections.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    words: UdpSocket,
    /// The last that was heard.
    word: Option<u32>,
}

impl Server {
    pub(super) fn start(scene: Scene) -> Result<Self, Error> {
        let words = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        words.set_nonblocking(true)?;
        let arguments = [SERVE.to_owned(), scene.to_string(), words.local_addr()?.to_string()];
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("it was piped")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()?, words, word: None })
    }

    /// Whether it has said by now that the connection of that answer is given up.
    pub(super) fn has_given_up(&mut self, answer: u32) -> bool {
        let mut word = [0; 4];
        while self.words.recv(&mut word).is_ok() {
            self.word = Some(u32::from_be_bytes(word));
        }
        self.word == Some(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It has nothing to tell, and has ended either way.
        let _ = self.child.wait();
    }
}

/// Serves if this process was started to do so; true if it was.
pub(crate) fn serve_if_asked() -> Result<bool, Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [serve, scene, words] = &arguments[..] else { return Ok(false) };
    if serve != SERVE {
        return Ok(false);
    }
    let scene = [Scene::Keeps, Scene::ClosesAfterGets, Scene::AnswersUnasked]
        .into_iter()
        .find(|known| known.to_string() == *scene)
        .ok_or("no such scene")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    let side = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    side.connect(words.parse::<SocketAddr>()?)?;
    let side = Arc::new(side);
    thread::spawn(move || {
        for (number, stream) in (0..).zip(listener.incoming().flatten()) {
            let side = Arc::clone(&side);
            thread::spawn(move || converse(stream, number, scene, &side));
        }
    });
    // Until whoever has started it ends.
    std::io::stdin().read_to_string(&mut String::new())?;
    Ok(true)
}

/// A client that goes is no concern of the others.
fn converse(mut stream: TcpStream, connection: u32, scene: Scene, side: &UdpSocket) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    loop {
        let request = read_request(&mut stream)?;
        let content = if scene == Scene::Keeps { connection } else { request };
        stream.write_all(answer(&content.to_string()).as_bytes()).ok()?;
        match scene {
            Scene::Keeps => continue,
            Scene::ClosesAfterGets | Scene::ClosesAfterPosts => {
                spin(GRACE);
                drop(stream);
                side.send(&request.to_be_bytes()).ok()?;
                return None;
            }
            Scene::AnswersUnasked => {
                spin(GRACE);
                stream.write_all(answer("stray").as_bytes()).ok()?;
                side.send(&request.to_be_bytes()).ok()?;
                // One race for each connection. What comes now has had its answer.
                read_request(&mut stream)?;
                return None;
            }
        }
    }
}

fn answer(content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{content}", content.len())
}

/// The number of the next request, or none if the client has closed.
fn read_request(stream: &mut TcpStream) -> Option<u32> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            if body.len() >= length.map_or(Some(0), |length| length.trim().parse().ok())? {
                let target = head.split(' ').nth(1)?;
                return target.rsplit('/').next()?.parse().ok();
            }
        }
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    }
}

/// Keeps the processor for so long: a sleep would come back later.
pub(super) fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        spin_loop();
    }
}
