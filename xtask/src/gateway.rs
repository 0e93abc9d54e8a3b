//! The gateway of the examples beside nginx and HAProxy: the same upstreams, the same load, in turns.
//!
//! Each proxy has two threads and adds the same fields. A turn is one run of wrk; what is told is the median of the
//! turns, in requests a second and in processor time of the proxy for each request, which depends less on what else the
//! machine does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::servers::{
    Result, Running, folder, free_address, median, start_nginx, started, target, write,
};
use crate::sh::{CommandLine, Outcome};

const BUILD: &str = "cargo build --release --package pooled-fetch --features tls --example gateway";
const CONNECTIONS: [u32; 2] = [32, 512];
/// The kernel tells processor time in hundredths of a second, on every Linux that there is.
const TICKS: f64 = 100.0;

/// Runs it; true if it came to its end.
pub(crate) fn run(quick: bool) -> bool {
    println!("$ {BUILD}");
    if CommandLine::from(BUILD).run() != Outcome::Passed {
        return false;
    }
    match measure(if quick { 3 } else { 9 }) {
        Ok(table) => {
            println!("\n{table}");
            true
        }
        Err(error) => {
            eprintln!("error: {error} (apt-get install nginx-light haproxy wrk)");
            false
        }
    }
}

#[derive(Clone, Copy)]
struct Turn {
    per_second: f64,
    microseconds: f64,
}

fn measure(turns: usize) -> Result<String> {
    let folder = folder("gateway")?;
    let upstreams = [upstream(&folder, "one")?, upstream(&folder, "other")?];
    let [one, other] = [upstreams[0].address, upstreams[1].address];
    let proxies = [
        ("nginx", nginx(&folder, one, other)?),
        ("HAProxy", haproxy(&folder, one, other)?),
        ("this gateway", gateway(&target().join("release/examples/gateway"), one, other)?),
    ];
    let mut table = "| connections | proxy | requests a second | CPU for each, µs | of nginx's |\n\
                     | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for connections in CONNECTIONS {
        let mut all: [Vec<Turn>; 3] = Default::default();
        for turn in 0..turns {
            eprintln!("{connections} connections, turn {} of {turns}", turn + 1);
            for ((_, proxy), all) in proxies.iter().zip(&mut all) {
                all.push(load(proxy, connections)?);
            }
        }
        let cost = |turns: &[Turn]| median(turns, |turn| turn.microseconds);
        for ((name, _), turns) in proxies.iter().zip(&all) {
            let per_second = median(turns, |turn| turn.per_second);
            let share = cost(turns) / cost(&all[0]);
            table += &format!(
                "| {connections} | {name} | {per_second:.0} | {:.1} | {share:.2} |\n",
                cost(turns)
            );
        }
    }
    fs::write(folder.with_extension("md"), &table)?;
    Ok(table)
}

/// One run of wrk.
fn load(proxy: &Running, connections: u32) -> Result<Turn> {
    let before = processor_time(proxy.child.id())?;
    let url = format!("http://{}/", proxy.address);
    let connections = format!("-c{connections}");
    let output = Command::new("wrk").args(["-t1", &connections, "-d2", &url]).output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if told.contains("Non-2xx") || told.contains("Socket errors") {
        return Err(told.into());
    }
    let word = |line: &str, at: usize| {
        let line = told.lines().find(|told| told.contains(line))?;
        line.split_whitespace().nth(at)?.parse::<f64>().ok()
    };
    let all = word("requests in", 0).ok_or("wrk did not say how many requests")?;
    let per_second = word("Requests/sec", 1).ok_or("wrk did not say how many a second")?;
    let took = processor_time(proxy.child.id())? - before;
    Ok(Turn { per_second, microseconds: took * 1e6 / all })
}

/// Of a process and its children, in seconds.
fn processor_time(id: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no fields in /proc")?;
    let ticks =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    let mut seconds = ticks.sum::<f64>() / TICKS;
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    for child in children.split_whitespace() {
        seconds += processor_time(child.parse()?)?;
    }
    Ok(seconds)
}

fn upstream(folder: &Path, name: &str) -> Result<Running> {
    let address = free_address()?;
    let server = format!(
        "server {{ listen {address}; location / {{ return 200 '{}'; }} }}",
        "x".repeat(1024)
    );
    start_nginx(folder, name, 1, &server, address)
}

fn nginx(folder: &Path, one: SocketAddr, other: SocketAddr) -> Result<Running> {
    let address = free_address()?;
    let server = format!(
        "upstream both {{ random two least_conn; server {one}; server {other};
            keepalive 600; keepalive_requests 1000000000; }}
        server {{ listen {address}; location / {{
            proxy_pass http://both; proxy_http_version 1.1; proxy_set_header Connection '';
            proxy_set_header Host $host; proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Via '1.1 nginx'; add_header Via '1.1 nginx';
        }} }}"
    );
    start_nginx(folder, "proxy", 2, &server, address)
}

fn haproxy(folder: &Path, one: SocketAddr, other: SocketAddr) -> Result<Running> {
    let address = free_address()?;
    let text = format!(
        "global\n nbthread 2\n maxconn 2000\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n \
         http-reuse always\n option forwardfor\n\
         frontend front\n bind {address}\n http-request set-header X-Forwarded-Proto http\n \
         http-request set-header X-Forwarded-Host %[req.hdr(host)]\n \
         http-request set-header Via \"1.1 haproxy\"\n http-response set-header Via \"1.1 haproxy\"\n \
         default_backend both\n\
         backend both\n balance random(2)\n server one {one}\n server other {other}\n"
    );
    let file = write(folder, "haproxy.cfg", &text)?;
    started(Command::new("haproxy").args(["-q", "-f"]).arg(file), address)
}

fn gateway(program: &Path, one: SocketAddr, other: SocketAddr) -> Result<Running> {
    let to = format!("{one},{other}");
    let mut child = Command::new(program)
        .args(["--listen", "127.0.0.1:0", "--threads", "2", "--to", &to])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    let address = line.trim().rsplit('/').next().unwrap_or_default().parse()?;
    Ok(Running { child, address })
}
