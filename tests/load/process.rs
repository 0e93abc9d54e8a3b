//! A run, and what it has said.

use std::env;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

/// The variable with the arguments of a run, one a line.
pub(crate) const ARGUMENTS: &str = "POOLED_FETCH_LOAD";

/// What the harness of tests says before, where it may use more than one thread.
const BEFORE: &str = "\nrunning 1 test\n";

/// A run that has begun. Ends with its drop.
pub(crate) struct Load(Child);

/// One that has ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Load {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments = [&["load"], arguments].concat().join("\n");
        let child = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "the_load_itself", "--ignored", "--nocapture", "--test-threads=2"])
            .env(ARGUMENTS, arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        Self(child.expect("this test once more"))
    }

    /// As Ctrl-C does.
    pub(crate) async fn interrupt(&self) {
        let id = self.0.id().expect("a child that runs").to_string();
        let sent = Command::new("kill").args(["-s", "INT", &id]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "a child of ours");
    }

    pub(crate) async fn end(self) -> Said {
        let output = self.0.wait_with_output().await.expect("a child of ours");
        let out = String::from_utf8(output.stdout).expect("text");
        let out = out.strip_prefix(BEFORE).unwrap_or_else(|| panic!("{out}"));
        let err = String::from_utf8(output.stderr).expect("text");
        Said { code: output.status.code(), out: out.to_owned(), err }
    }
}

/// A run from its begin to its end.
pub(crate) fn load(arguments: &[&str]) -> impl Future<Output = Said> + use<> {
    Load::start(arguments).end()
}

impl Said {
    /// All that it has said, which is to be one object.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}
