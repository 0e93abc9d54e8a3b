//! Runs measured programs: by themselves, and under tools that count what a clock cannot tell exactly.
//!
//! Callgrind counts the user's instructions of the one process, strace its system calls. Both are read off two
//! runs of different length, so that what a process does at its start and its end cancels out.

use std::fmt;
use std::process::{Command, Output, Stdio};

use crate::client::Error;
use crate::figures::Figures;
use crate::task::Task;

/// The measured program, and the same with every allocation counted.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'a> {
    /// What takes times.
    pub measured: &'a str,
    /// What counts allocations.
    pub counted: &'a str,
}

impl Programs<'_> {
    /// The figures of a process that nothing watches.
    ///
    /// # Errors
    ///
    /// What the process wrote to its standard error.
    pub fn figures(&self, task: &Task) -> Result<Figures, Error> {
        figures(Command::new(self.measured).args(task.arguments()))
    }

    /// The figures of a process that counts its allocations.
    ///
    /// # Errors
    ///
    /// What the process wrote to its standard error.
    pub fn counts(&self, task: &Task) -> Result<Figures, Error> {
        figures(Command::new(self.counted).args(task.arguments()))
    }

    /// The user's instructions for each request.
    ///
    /// # Errors
    ///
    /// When valgrind cannot be run, or what it says has changed.
    pub fn instructions(&self, task: &Task) -> Result<f64, Error> {
        let [instructions] = slope(task, |task| {
            let [instructions, ..] = *self.callgrind(task, &[])? else {
                return Err("callgrind collected nothing".into());
            };
            Ok([instructions])
        })?;
        Ok(instructions)
    }

    /// The user's instructions for each request, and how often the next of them was in no cache.
    ///
    /// The cache is one that callgrind imagines, the same on every machine.
    ///
    /// # Errors
    ///
    /// When valgrind cannot be run, or what it says has changed.
    pub fn instructions_and_misses(&self, task: &Task) -> Result<[f64; 2], Error> {
        let [instructions, misses] = slope(task, |task| {
            // Instructions, data reads and writes, and then what missed the first level of each.
            let [instructions, _, _, misses, ..] = *self.callgrind(task, CACHES)? else {
                return Err("callgrind imagined no cache".into());
            };
            Ok([instructions, misses])
        })?;
        // Where there are next to none, a longer run may have fewer.
        Ok([instructions, misses.max(0.0)])
    }

    fn callgrind(&self, task: &Task, options: &[&str]) -> Result<Vec<u64>, Error> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).args(options);
        let said = output(command.arg(self.measured).args(task.arguments()))?.stderr;
        let text = String::from_utf8_lossy(&said);
        let collected = text.lines().find_map(|line| Some(line.split_once("Collected : ")?.1));
        let numbers = collected.ok_or("callgrind said nothing of what it collected")?;
        Ok(numbers.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }

    /// The system calls for each request, those of all threads.
    ///
    /// # Errors
    ///
    /// When strace cannot be run, or what it says has changed.
    pub fn system_calls(&self, task: &Task) -> Result<f64, Error> {
        let [calls] = slope(task, |task| {
            let mut command = Command::new("strace");
            command.args(["-f", "-c", "-U", "calls,name"]).arg(self.measured);
            let said = output(command.args(task.arguments()))?.stderr;
            let text = String::from_utf8_lossy(&said);
            let total = text.lines().find_map(|line| line.trim().strip_suffix("total"));
            Ok([total.ok_or("strace said nothing of a total")?.trim().parse()?])
        })?;
        Ok(calls)
    }
}

/// As most processors of these years have them: 32 KiB for code, as much for data, and 512 KiB behind both.
const CACHES: &[&str] =
    &["--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=524288,8,64"];

/// What a request costs, read off a run of so many requests and one of three times as many.
fn slope<const N: usize>(
    task: &Task,
    mut costs: impl FnMut(&Task) -> Result<[u64; N], Error>,
) -> Result<[f64; N], Error> {
    let longer = Task { requests: 3 * task.requests, ..task.clone() };
    let (short, long) = (costs(task)?, costs(&longer)?);
    let requests = |task: &Task| task.turns(task.requests) * task.at_once;
    let more = (requests(&longer) - requests(task)) as f64;
    Ok(std::array::from_fn(|index| (long[index] as f64 - short[index] as f64) / more))
}

fn figures(command: &mut Command) -> Result<Figures, Error> {
    Ok(serde_json::from_slice(&output(command)?.stdout)?)
}

fn output(command: &mut Command) -> Result<Output, Error> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?}: {}: {said}", output.status).into())
}

/// A tool that this machine lacks.
#[derive(Debug)]
pub struct Missing(&'static str);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0} is not installed (apt-get install {0})", self.0)
    }
}

impl std::error::Error for Missing {}

/// Finds out whether a tool is there.
///
/// # Errors
///
/// [`Missing`], which says how to get it.
pub fn require(tool: &'static str) -> Result<(), Missing> {
    let mut command = Command::new(tool);
    let status = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(Missing(tool)) }
}
