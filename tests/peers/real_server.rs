//! A real server: its processes, its files, and where it listens for which protocol.
//!
//! What must hold: every process ends with the test, by its own id, and the files go with it.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pooled_fetch_tests::Authority;
use tokio::net::TcpStream;

use crate::catalogue::Backing;
use crate::client::Speaks;
use crate::owner;

/// A server takes a moment to start, and more on a busy machine.
const PATIENCE: usize = 1_500;
const TICK: Duration = Duration::from_millis(10);

pub(crate) struct RealServer {
    pub(crate) name: &'static str,
    pub(crate) sites: Vec<Site>,
    /// The first is the one that signals are for.
    processes: Vec<Process>,
    directory: Directory,
}

/// A server over one protocol.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    pub(crate) speaks: Speaks,
    pub(crate) address: SocketAddr,
    pub(crate) offers: Offers,
}

/// What a server can show, or why it cannot.
#[derive(Clone, Copy)]
pub(crate) struct Offers {
    /// What is held unread stalls nothing else in it.
    pub(crate) unread: Result<(), &'static str>,
    /// It keeps a connection after a response.
    pub(crate) keeps_alive: bool,
    /// The path of a response with the trailer `checksum: good`.
    pub(crate) trailers: Result<&'static str, &'static str>,
    pub(crate) informational: Result<Informational, &'static str>,
    pub(crate) uploads: Result<Uploads, &'static str>,
    /// The method and path of what is answered with 413 before the request has ended.
    pub(crate) early: Result<(&'static str, &'static str), &'static str>,
    pub(crate) goaway: Result<GoAway, &'static str>,
}

#[derive(Clone, Copy)]
pub(crate) enum Informational {
    /// The response at this path comes after early hints.
    Hints(&'static str),
    /// A request of this method to this path is told to go on if it asks for that.
    Expected(&'static str, &'static str),
}

#[derive(Clone, Copy)]
pub(crate) enum Uploads {
    /// By PUT, in a file of that name.
    Stored,
    /// By POST to this path.
    Echoed(&'static str),
}

/// What makes it leave its connections.
#[derive(Clone, Copy)]
pub(crate) enum GoAway {
    Signal(&'static str),
    Path(&'static str),
}

impl RealServer {
    pub(crate) fn new(name: &'static str, directory: Directory) -> Self {
        Self { name, sites: Vec::new(), processes: Vec::new(), directory }
    }

    pub(crate) fn serves(&mut self, speaks: Speaks, address: SocketAddr, offers: Offers) {
        self.sites.push(Site { speaks, address, offers });
    }

    /// Starts a process that listens at these addresses, and waits until it does.
    pub(crate) async fn start(
        &mut self,
        program: &str,
        arguments: &[String],
        listens: &[SocketAddr],
    ) -> Result<(), String> {
        let program = find(program).ok_or_else(|| format!("{program} is not installed"))?;
        let process = Process::start(&program, arguments, listens, &self.directory.path).await?;
        self.processes.push(process);
        Ok(())
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.directory.backing.authority
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.directory.path.join("files")
    }

    /// Where a server listens that does so beside its addresses.
    pub(crate) fn unix_socket(&self) -> PathBuf {
        self.directory.path.join("socket")
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory.path
    }

    pub(crate) fn signal(&self, name: &str) {
        self.processes[0].signal(name);
    }

    /// Ends all of it, and starts it again at the same addresses.
    pub(crate) async fn restart(&mut self) -> Result<(), String> {
        for process in &mut self.processes {
            process.end();
            process.child = process.launch();
            process.until_it_listens().await?;
        }
        Ok(())
    }
}

struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    listens: Vec<SocketAddr>,
    directory: PathBuf,
    child: Child,
}

impl Process {
    async fn start(
        program: &Path,
        arguments: &[String],
        listens: &[SocketAddr],
        directory: &Path,
    ) -> Result<Self, String> {
        let child = launch(program, arguments, directory);
        let mut process = Self {
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            listens: listens.to_vec(),
            directory: directory.to_owned(),
            child,
        };
        process.until_it_listens().await.map(|()| process)
    }

    fn launch(&self) -> Child {
        launch(&self.program, &self.arguments, &self.directory)
    }

    async fn until_it_listens(&mut self) -> Result<(), String> {
        let mut ticks = tokio::time::interval(TICK);
        for address in self.listens.clone() {
            let mut listens = false;
            for _ in 0..PATIENCE {
                ticks.tick().await;
                if self.child.try_wait().expect("a child of ours").is_some() {
                    break;
                }
                listens = TcpStream::connect(address).await.is_ok()
                    && owner::listens(self.child.id(), address);
                if listens {
                    break;
                }
            }
            if !listens {
                let said = fs::read_to_string(self.directory.join("output")).unwrap_or_default();
                return Err(format!("{} does not listen: {said}", self.program.display()));
            }
        }
        Ok(())
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "a child of ours");
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Those with several processes take the others along.
            self.signal("TERM");
        }
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn launch(program: &Path, arguments: &[String], directory: &Path) -> Child {
    let output = File::options().create(true).append(true).open(directory.join("output"));
    let output = output.expect("a file for what it says");
    Command::new(program)
        .args(arguments)
        .current_dir(directory.join("files"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .expect("a program that was found")
}

/// Where a program is; Debian keeps servers where a user's shell does not look.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    places.into_iter().map(|place| place.join(program)).find(|file| file.is_file())
}

/// So many addresses where no server listens now.
pub(crate) fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N]
        .map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on the loopback"));
    listeners.map(|listener| listener.local_addr().expect("a bound socket has an address"))
}

/// A directory of one server alone, gone with it: `files` to serve, a certificate, a key, and both in one file.
pub(crate) struct Directory {
    path: PathBuf,
    backing: Backing,
}

impl Directory {
    pub(crate) fn new(backing: Backing) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pooled-fetch-peer-{}-{number}", process::id());
        let path = std::env::temp_dir().join(name);
        // What an earlier process of the same id may have left behind, had it been killed.
        fs::remove_dir_all(&path).ok();
        let files = path.join("files");
        fs::create_dir_all(&files).expect("a directory of our own");
        let (certificate, key) = &*backing.pem;
        for (name, content) in [
            ("certificate.pem", certificate.as_bytes()),
            ("key.pem", key.as_bytes()),
            ("both.pem", [certificate.as_bytes(), key.as_bytes()].concat().as_slice()),
            ("files/hello", b"hello"),
            ("files/large", &backing.large),
        ] {
            fs::write(path.join(name), content).expect("a file of our own");
        }
        for path in [&path, &files] {
            // Servers that root has started serve as another user.
            fs::set_permissions(path, Permissions::from_mode(0o777)).expect("a directory of ours");
        }
        Self { path, backing }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of lines, and says where it is.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let file = self.path.join(name);
        fs::write(&file, format!("{}\n", content.trim_end())).expect("a file of our own");
        file.display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}
