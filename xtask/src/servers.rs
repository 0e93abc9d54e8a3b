//! Servers and proxies that are measured: processes of ours, at ports that the system has chosen.

use std::env;
use std::error::Error;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A process of ours, which ends with this.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // By a signal that nginx hands on to its workers.
        let id = self.child.id().to_string();
        Command::new("kill").args(["-s", "TERM", &id]).status().ok();
        self.child.wait().ok();
    }
}

/// Where Cargo builds.
pub(crate) fn target() -> PathBuf {
    PathBuf::from(env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned()))
}

/// A folder of that name beside what benches tell.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let folder = target().join("bench").join(name);
    fs::create_dir_all(&folder)?;
    // nginx has paths of its own for those that do not begin at the root.
    Ok(fs::canonicalize(folder)?)
}

pub(crate) fn start_nginx(
    folder: &Path,
    name: &str,
    workers: u32,
    server: &str,
    address: SocketAddr,
) -> Result<Running> {
    let folder = folder.join(name);
    fs::create_dir_all(&folder)?;
    let place = folder.display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
        .concat();
    let text = format!(
        "daemon off; worker_processes {workers}; pid {place}/pid;
        events {{ worker_connections 4096; }}
        http {{ access_log off; keepalive_requests 1000000000; {paths} {server} }}"
    );
    let file = write(&folder, "nginx.conf", &text)?;
    started(Command::new("nginx").args(["-e", "stderr", "-c"]).arg(file), address)
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

/// Starts a server, and waits until somebody listens there.
pub(crate) fn started(command: &mut Command, address: SocketAddr) -> Result<Running> {
    let mut running = Running { child: command.spawn()?, address };
    let begun = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        if begun.elapsed() > PATIENCE || running.child.try_wait()?.is_some() {
            return Err(format!("{:?} does not listen", command.get_program()).into());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(running)
}

/// Neither nginx nor HAProxy tells which port the system chose for it.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Of one figure of each turn.
pub(crate) fn median<T>(turns: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<_> = turns.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_what_is_asked_for() {
        let turns = [(3.0, -3.0), (1.0, -1.0), (2.0, -2.0)];
        assert_eq!(median(&turns, |turn| turn.0), 2.0);
        assert_eq!(median(&turns, |turn| turn.1), -2.0);
    }
}
