//! The `load` of the examples beside other tools for the same: do they tell the same of one server?
//!
//! nginx answers with 1 KiB: as fast as it can, where all that share its machine are measured together, the tool included;
//! and so many requests a second, where the server alone decides. The tools take turns, each with as many connections and
//! as much time; what is told are medians of the turns.

use std::path::Path;
use std::process::Command;

use crate::servers::{Result, Running, folder, free_address, median, start_nginx, target};
use crate::sh::{CommandLine, Outcome};

const BUILD: &str = "cargo build --release --package pooled-fetch --features tls --example load";
const CONNECTIONS: &str = "64";

/// Far less than any of them can send.
const LIMIT: &str = "2000";

/// Runs it; true if it came to its end.
pub(crate) fn run(quick: bool) -> bool {
    println!("$ {BUILD}");
    if CommandLine::from(BUILD).run() != Outcome::Passed {
        return false;
    }
    match measure(if quick { (3, "1") } else { (7, "5") }) {
        Ok(table) => {
            println!("\n{table}");
            true
        }
        Err(error) => {
            eprintln!("error: {error} (apt-get install nginx-light wrk)");
            false
        }
    }
}

#[derive(Clone, Copy)]
struct Turn {
    per_second: f64,
    /// In milliseconds.
    p50: f64,
    p99: f64,
}

/// One run of a tool, of so many seconds.
type Tool = fn(&str, &str) -> Result<Turn>;

fn measure((turns, seconds): (usize, &str)) -> Result<String> {
    let folder = folder("load")?;
    let (nginx, paths) = nginx(&folder)?;
    let mut tools: Vec<(_, Tool)> = vec![("`load`", load), ("wrk", wrk)];
    if CommandLine::from("oha --version").succeeds_quietly() {
        tools.push(("oha", oha));
    } else {
        eprintln!("oha is left out (cargo install --locked oha)");
    }
    let mut table =
        "| nginx answers | tool | requests a second | of `load`'s | p50, ms | of `load`'s | p99, ms | of `load`'s |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for (what, path) in paths {
        let url = format!("http://{}{path}", nginx.address);
        let mut all = vec![Vec::new(); tools.len()];
        for turn in 0..turns {
            eprintln!("{what}, turn {} of {turns}", turn + 1);
            for ((_, tool), all) in tools.iter().zip(&mut all) {
                all.push(tool(&url, seconds)?);
            }
        }
        let figures: [fn(&Turn) -> f64; 3] =
            [|turn| turn.per_second, |turn| turn.p50, |turn| turn.p99];
        for ((name, _), turns) in tools.iter().zip(&all) {
            table += &format!("| {what} | {name} |");
            for (of, digits) in figures.into_iter().zip([0, 2, 2]) {
                let figure = median(turns, of);
                table += &format!(" {figure:.digits$} | {:.2} |", figure / median(&all[0], of));
            }
            table.push('\n');
        }
    }
    std::fs::write(folder.with_extension("md"), &table)?;
    Ok(table)
}

/// What it does, and the path where it does it.
type Paths = [(&'static str, &'static str); 2];

fn nginx(folder: &Path) -> Result<(Running, Paths)> {
    let (address, content) = (free_address()?, "x".repeat(1024));
    // Its `return` comes before its limits, so what is limited is a proxy of what is not.
    let server = format!(
        "limit_req_zone $server_port zone=all:1m rate={LIMIT}r/s;
        upstream itself {{ server {address}; keepalive 100; keepalive_requests 1000000000; }}
        server {{
            listen {address} backlog=1024;
            location / {{ return 200 '{content}'; }}
            location /limited {{
                limit_req zone=all burst=1000;
                proxy_pass http://itself/; proxy_http_version 1.1; proxy_set_header Connection '';
            }}
        }}"
    );
    let nginx = start_nginx(folder, "nginx", 1, &server, address)?;
    Ok((nginx, [("as fast as it can", "/"), ("2000 a second", "/limited")]))
}

fn load(url: &str, seconds: &str) -> Result<Turn> {
    let program = target().join("release/examples/load");
    let time = format!("{seconds}s");
    let told = said(Command::new(program).args([url, "--json", "-c", CONNECTIONS, "-d", &time]))?;
    // In one line, without spaces.
    let number = |name: &str| {
        let (_, behind) = told.split_once(&format!("\"{name}\":"))?;
        behind.split([',', '}']).next()?.parse::<f64>().ok()
    };
    let turn = || {
        let [per_second, p50, p99] =
            [number("per_second")?, number("p50")? / 1e3, number("p99")? / 1e3];
        Some(Turn { per_second, p50, p99 })
    };
    turn().ok_or_else(|| told.clone().into())
}

fn wrk(url: &str, seconds: &str) -> Result<Turn> {
    let (connections, time) = (format!("-c{CONNECTIONS}"), format!("-d{seconds}"));
    let told = said(Command::new("wrk").args(["--latency", "-t2", &connections, &time, url]))?;
    turn(&told, ["Requests/sec:", "50%", "99%"], |line| line.split_whitespace().nth(1))
}

fn oha(url: &str, seconds: &str) -> Result<Turn> {
    let time = format!("{seconds}s");
    let told = said(Command::new("oha").args(["--no-tui", "-c", CONNECTIONS, "-z", &time, url]))?;
    turn(&told, ["Requests/sec:", "50.00% in", "99.00% in"], |line| {
        line.rsplit_once(':').map_or(line, |(_, behind)| behind).trim().split(" in ").last()
    })
}

/// The figures that stand in these lines.
fn turn(told: &str, lines: [&str; 3], figure: fn(&str) -> Option<&str>) -> Result<Turn> {
    let found = lines.map(|begin| {
        let line = told.lines().map(str::trim).find(|line| line.starts_with(begin))?;
        figure(line)
    });
    let [Some(per_second), Some(p50), Some(p99)] = found else { return Err(told.into()) };
    let time = |text| milliseconds(text).ok_or_else(|| format!("{text} is no time"));
    Ok(Turn { per_second: per_second.parse()?, p50: time(p50)?, p99: time(p99)? })
}

fn milliseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|at: char| at.is_alphabetic() || at == ' ')?);
    let number: f64 = number.parse().ok()?;
    match unit.trim() {
        "us" | "µs" => Some(number / 1e3),
        "ms" => Some(number),
        "s" | "sec" | "secs" => Some(number * 1e3),
        _ => None,
    }
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && !told.contains("Non-2xx") && !told.contains("Socket errors") {
        return Ok(told);
    }
    Err(format!("{command:?}: {}{told}{}", output.status, String::from_utf8_lossy(&output.stderr))
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_tells_is_understood() {
        let told = "  Latency Distribution\n     50%    1.43ms\n     99%  985.00us\nRequests/sec:  42.50\n";
        let turn =
            turn(told, ["Requests/sec:", "50%", "99%"], |line| line.split_whitespace().nth(1));
        let Turn { per_second, p50, p99 } = turn.expect("all three");
        assert_eq!((per_second, p50, p99), (42.5, 1.43, 0.985));
    }

    #[test]
    fn a_time_wants_its_unit() {
        assert_eq!(milliseconds("0.0015 secs"), Some(1.5));
        assert_eq!(milliseconds("12"), None);
        assert_eq!(milliseconds("12 parsecs"), None);
    }
}
