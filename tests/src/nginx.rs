//! A real nginx: of this test alone, on a port of its own, with a log that tells connections apart.
//!
//! It stays in the foreground, so that ending it needs nothing but its own id: one process, or, where it is to be
//! reloaded, a master that ends its workers. What must hold: it ends with the test, and its files with it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::directory::Directory;

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
    setup: Setup,
}

/// How an nginx is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many requests it serves over one connection.
    pub keepalive_requests: u32,
    /// It can be reloaded.
    pub has_master: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { keepalive_requests: 100_000, has_master: false }
    }
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
        Self::start_as(Setup::default()).await
    }

    /// As [`start`](Self::start), with a setup of its own.
    ///
    /// # Panics
    ///
    /// When it is not installed, or does not start.
    pub async fn start_as(setup: Setup) -> Self {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            match Self::attempt(setup).await {
                Ok(nginx) => return nginx,
                Err(error) => why = error,
            }
        }
        panic!("nginx did not start: {why}");
    }

    async fn attempt(setup: Setup) -> Result<Self, String> {
        let directory = Directory::new();
        let address = free_address();
        let text = configuration(address, directory.path(), setup);
        fs::create_dir(directory.path().join("files")).expect("a directory for the files");
        fs::write(directory.path().join("nginx.conf"), text).expect("a file for nginx");
        // From here on its drop ends the child.
        let mut nginx = Self { child: launch(directory.path()), address, directory, setup };
        nginx.until_it_listens().await.map(|()| nginx)
    }

    /// Has it read its configuration again: its workers finish what they are at, close what is idle, and others
    /// take their place.
    ///
    /// # Panics
    ///
    /// When it has no master.
    pub fn reload(&self) {
        assert!(self.setup.has_master, "only a master reloads");
        self.signal("HUP");
    }

    /// Ends it without regard for what it is at.
    pub fn stop(&mut self) {
        self.end();
    }

    /// [Stops](Self::stop) it, if it runs, and starts it again at the same address.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.end();
        self.child = launch(self.directory.path());
        if let Err(why) = self.until_it_listens().await {
            panic!("nginx did not start again: {why}");
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "a child of ours");
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if self.setup.has_master {
            // It takes its workers along, which would outlive a master that is killed.
            self.signal("TERM");
        } else {
            // Fails only where it has already ended.
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }

    /// It writes its process id once its sockets listen, so no socket of another process is mistaken for its own.
    async fn until_it_listens(&mut self) -> Result<(), String> {
        let id = self.child.id().to_string();
        let mut ticks = tokio::time::interval(TICK);
        for _ in 0..PATIENCE {
            ticks.tick().await;
            if self.child.try_wait().expect("a child of ours").is_some() {
                break;
            }
            let written = fs::read_to_string(self.directory.path().join("pid")).unwrap_or_default();
            if written.trim() == id && TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
        }
        Err(fs::read_to_string(self.directory.path().join("errors")).unwrap_or_default())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its files lie.
    pub fn files(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// What it has served so far. A request is in it when nginx is done with it, which may be a moment
    /// after its client is.
    pub fn served(&self) -> Vec<Served> {
        let log = fs::read_to_string(self.directory.path().join("access")).expect("a log");
        log.lines().map(parse).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.end();
    }
}

fn launch(directory: &Path) -> Child {
    let errors = File::create(directory.join("errors")).expect("a file for nginx");
    Command::new(program())
        .arg("-p")
        .arg(directory)
        .arg("-c")
        .arg(directory.join("nginx.conf"))
        .args(["-e", "stderr"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .expect("nginx starts")
}

fn parse(line: &str) -> Served {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().expect("three words in each line of the log");
    let number = |word: &str| word.parse().expect("a number");
    Served { connection: number(word()), request: number(word()), line: word().to_owned() }
}

fn configuration(address: SocketAddr, directory: &Path, setup: Setup) -> String {
    let directory = directory.display();
    let master = if setup.has_master { "on" } else { "off" };
    let keepalive_requests = setup.keepalive_requests;
    format!(
        "daemon off;
        master_process {master};
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
            keepalive_requests {keepalive_requests};
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
