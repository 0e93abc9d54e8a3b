//! A real nginx that reloads under load: its workers close what is idle, finish what they are at, and others take their
//! place.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::{JoinSet, yield_now};
use tokio::time::interval;

use super::clients::{Client, Fetches, Visitor};
use crate::{Error, folder};

const AT_ONCE: usize = 32;

const EACH: Duration = Duration::from_millis(500);
const RELOADS_A_SECOND: u32 = 2;

const HELLO: &[u8] = b"hello";

const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reloads {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) wrong: u64,
}

pub(super) fn run(client: Client, seconds: u32) -> Result<Reloads, Error> {
    let nginx = Nginx::start()?;
    client.visit(nginx.address, Load { nginx, seconds })
}

struct Load {
    nginx: Nginx,
    seconds: u32,
}

impl Visitor for Load {
    type Output = Reloads;

    fn visit<F: Fetches>(self, client: F) -> Result<Reloads, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let (client, over) = (Arc::new(client), Arc::<AtomicBool>::default());
            let worker = |_| send(Arc::clone(&client), Arc::clone(&over));
            let workers: JoinSet<_> = (0..AT_ONCE).map(worker).collect();
            let mut ticks = interval(EACH);
            ticks.tick().await;
            for _ in 0..self.seconds * RELOADS_A_SECOND {
                ticks.tick().await;
                self.nginx.reload()?;
            }
            over.store(true, Ordering::Relaxed);
            let mut sum = Reloads::default();
            for of_worker in workers.join_all().await {
                sum.requests += of_worker.requests;
                sum.failed += of_worker.failed;
                sum.wrong += of_worker.wrong;
            }
            Ok(sum)
        })
    }
}

async fn send<F: Fetches>(client: Arc<F>, over: Arc<AtomicBool>) -> Reloads {
    let mut told = Reloads::default();
    while !over.load(Ordering::Relaxed) {
        told.requests += 1;
        match client.fetch(false, "/").await {
            Ok(body) => told.wrong += u64::from(body != HELLO),
            Err(_) => told.failed += 1,
        }
        // The server needs the processor as well.
        yield_now().await;
    }
    told
}

struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start() -> Result<Self, Error> {
        // It tells nobody which port the system has chosen for it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = folder()?.join("nginx");
        fs::create_dir_all(&folder)?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(&folder, address))?;
        let child = Command::new(program())
            .args(["-e", "/dev/null", "-c"])
            .arg(file)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("nginx: {error} (apt-get install nginx-light)"))?;
        let mut nginx = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > PATIENCE || nginx.child.try_wait()?.is_some() {
                return Err("nginx does not listen".into());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(nginx)
    }

    fn reload(&self) -> Result<(), Error> {
        self.signal("HUP")
    }

    fn signal(&self, name: &str) -> Result<(), Error> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status()?;
        if sent.success() { Ok(()) } else { Err("nginx has ended".into()) }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // By a signal that it hands on to its workers.
        let _ = self.signal("TERM");
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Path, address: SocketAddr) -> String {
    let place = folder.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
        .concat();
    format!(
        "daemon off; pid {place}/pid; worker_processes 1;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; keepalive_requests 100; keepalive_timeout 1s; {paths}
            server {{ listen {address}; location / {{ return 200 'hello'; }} }}
        }}"
    )
}

/// Debian keeps it where a user's shell does not look.
fn program() -> &'static str {
    let known = ["nginx", "/usr/sbin/nginx"];
    let runs =
        |program: &&str| Command::new(program).arg("-v").stderr(Stdio::null()).status().is_ok();
    known.into_iter().find(runs).unwrap_or("nginx")
}
