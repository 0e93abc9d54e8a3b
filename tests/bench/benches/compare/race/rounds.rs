//! A client that sends one request after the other and is busy in between, with more than requests.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::clients::{Client, Fetches, Visitor};
use super::server::{Scene, Server, spin};
use crate::Error;

/// The thread of the client does something else for so long.
const BUSY: Duration = Duration::from_micros(600);

/// And longer, up to this, where other programs keep the server from its processor.
const LONGEST: Duration = Duration::from_millis(10);
const GLANCE: Duration = Duration::from_micros(50);

/// What a client spawns to bring a connection back is done after so many turns of other tasks.
const TURNS: usize = 8;

/// With one scene. A machine that does much else makes many rounds no race, because the server comes too late or too early.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that keeps its connection opens no more than a few for so many requests.
const CHECKED: u32 = 50;
const FEW: usize = 5;

/// What became of the requests before which the server had given the connection up, while the client was busy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) races: u32,
    pub(super) failed: u32,
    pub(super) wrong: u32,
}

/// So many races of one client.
pub(super) fn run(client: Client, scene: Scene, races: u32) -> Result<Counts, Error> {
    let server = Server::start(scene)?;
    client.visit(server.address, Races { server, scene, races })
}

/// Whether a client keeps its connections: else it would win every race by never starting.
pub(super) fn check(client: Client) -> Result<(), Error> {
    let server = Server::start(Scene::Keeps)?;
    let opened = client.visit(server.address, Reuse { _server: server })?;
    if opened > FEW {
        return Err(format!("{client} opens {opened} connections for {CHECKED} requests").into());
    }
    Ok(())
}

struct Races {
    server: Server,
    scene: Scene,
    races: u32,
}

impl Races {
    fn be_busy(&mut self, answer: u32) {
        let begun = Instant::now();
        spin(BUSY);
        while !self.server.has_given_up(answer) && begun.elapsed() < LONGEST {
            spin(GLANCE);
        }
    }
}

impl Visitor for Races {
    type Output = Counts;

    fn visit<F: Fetches>(mut self, client: F) -> Result<Counts, Error> {
        on_one_thread(async {
            let (mut counts, begun) = (Counts::default(), Instant::now());
            // The request whose connection awaits the next, if one does.
            let mut before = None;
            for number in 0.. {
                if counts.races == self.races || begun.elapsed() > PATIENCE {
                    break;
                }
                let given_up = before.is_some_and(|before| self.server.has_given_up(before));
                let how = client.fetch(self.scene.is_post(), &format!("/{number}")).await;
                let right = how.as_ref().is_ok_and(|body| **body == *number.to_string().as_bytes());
                if given_up {
                    counts.races += 1;
                    counts.failed += u32::from(how.is_err());
                    counts.wrong += u32::from(how.is_ok() && !right);
                }
                take_turns().await;
                // What happens before the thread is busy is no race: whoever sleeps until something comes sees it.
                before = None;
                if right && !self.server.has_given_up(number) {
                    before = Some(number);
                    self.be_busy(number);
                }
            }
            Ok(counts)
        })
    }
}

struct Reuse {
    _server: Server,
}

impl Visitor for Reuse {
    type Output = usize;

    fn visit<F: Fetches>(self, client: F) -> Result<usize, Error> {
        on_one_thread(async {
            let mut connections = HashSet::new();
            for number in 0..CHECKED {
                connections.insert(client.fetch(false, &format!("/{number}")).await?);
                take_turns().await;
            }
            Ok(connections.len())
        })
    }
}

fn on_one_thread<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    Builder::new_current_thread().enable_all().build()?.block_on(future)
}

async fn take_turns() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}
