//! A real nginx: of this test alone, on a port of its own, with a log that tells connections apart.
//!
//! One process in the foreground, so that ending it needs nothing but its own id. What must hold: it ends
//! with the test, and its files with it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

/// Another process may take a free port between our look and nginx's bind.
const ATTEMPTS: usize = 5;

/// nginx's own bind gives up after 2.5 s.
const PATIENCE: usize = 1_000;
const TICK: Duration = Duration::from_millis(10);

/// A running nginx.
///
/// * `GET /hello` answers with a few bytes,
/// * `GET` of any other path with the file of that name in [`files`](Self::files),
/// * `PUT` stores a file there.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    directory: Directory,
}

/// One line of nginx's log: a request that it has served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// nginx's number of the connection.
    pub connection: u64,
    /// The number of the request on that connection, from one.
    pub request: u64,
    /// The first line of the request.
    pub line: String,
}

impl Nginx {
    /// Starts one and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            match Self::attempt().await {
                Ok(nginx) => return nginx,
                Err(error) => why = error,
            }
        }
        panic!("nginx did not start: {why}");
    }

    async fn attempt() -> Result<Self, String> {
        let directory = Directory::new();
        let address = free_address();
        let path = directory.0.join("nginx.conf");
        fs::create_dir(directory.0.join("files")).expect("a directory for the files");
        fs::write(&path, configuration(address, &directory.0)).expect("a file for nginx");
        let errors = File::create(directory.0.join("errors")).expect("a file for nginx");
        let child = Command::new(program())
            .arg("-p")
            .arg(&directory.0)
            .arg("-c")
            .arg(&path)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("nginx starts");
        // From here on its drop ends the child.
        let mut nginx = Self { child, address, directory };
        nginx.until_it_listens().await.map(|()| nginx)
    }

    /// It writes its process id once its sockets listen, so nobody else's socket is mistaken for its own.
    async fn until_it_listens(&mut self) -> Result<(), String> {
        let id = self.child.id().to_string();
        let mut ticks = tokio::time::interval(TICK);
        for _ in 0..PATIENCE {
            ticks.tick().await;
            if self.child.try_wait().expect("a child of ours").is_some() {
                break;
            }
            let written = fs::read_to_string(self.directory.0.join("pid")).unwrap_or_default();
            if written.trim() == id && TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
        }
        Err(fs::read_to_string(self.directory.0.join("errors")).unwrap_or_default())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its files lie.
    pub fn files(&self) -> PathBuf {
        self.directory.0.join("files")
    }

    /// What it has served so far. A request is in it when nginx is done with it, which may be a moment
    /// after its client is.
    pub fn served(&self) -> Vec<Served> {
        let log = fs::read_to_string(self.directory.0.join("access")).expect("a log");
        log.lines().map(parse).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both fail only where it has already ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn parse(line: &str) -> Served {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().expect("three words in each line of the log");
    let number = |word: &str| word.parse().expect("a number");
    Served { connection: number(word()), request: number(word()), line: word().to_owned() }
}

fn configuration(address: SocketAddr, directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "daemon off;
        master_process off;
        pid {directory}/pid;
        events {{ worker_connections 1024; }}
        http {{
            log_format served '$connection $connection_requests $request';
            access_log {directory}/access served;
            client_body_temp_path {directory}/body;
            proxy_temp_path {directory}/proxy;
            fastcgi_temp_path {directory}/fastcgi;
            uwsgi_temp_path {directory}/uwsgi;
            scgi_temp_path {directory}/scgi;
            client_max_body_size 0;
            keepalive_requests 100000;
            server {{
                listen {address};
                root {directory}/files;
                location / {{ dav_methods PUT; }}
                location = /hello {{ return 200 'hello'; }}
            }}
        }}"
    )
}

/// Debian keeps it where a user's shell does not look.
fn program() -> &'static str {
    let runs = |program: &&str| {
        let version = Command::new(program).arg("-v").stderr(Stdio::null()).status();
        !matches!(version, Err(error) if error.kind() == io::ErrorKind::NotFound)
    };
    let known = ["nginx", "/usr/sbin/nginx"].into_iter().find(runs);
    known.expect("nginx is not installed (apt-get install nginx-light)")
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on the loopback");
    listener.local_addr().expect("a bound socket has an address")
}

/// A directory of this test alone, gone with it.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pooled-fetch-{}-{number}", process::id());
        let path = std::env::temp_dir().join(name);
        // What an earlier process of the same id may have left behind, had it been killed.
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).expect("a directory of our own");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
