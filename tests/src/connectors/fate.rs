//! What becomes of the connects to each address, as a test says it, and when each of them came.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::pending;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::let_pass;

/// What becomes of a connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// The server takes it in.
    #[default]
    Taken,
    /// The server refuses it.
    Refused,
    /// It hangs, whatever becomes of the connects after it.
    Lost,
    /// The server takes it in after so long.
    TakenAfter(Duration),
    /// It fails with this code of the system, two errors deep.
    Fails(i32),
    /// It panics, once it has passed the gate.
    Panics,
}

/// The fates of all addresses.
#[derive(Debug, Default)]
pub(super) struct Fates(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_address: HashMap<String, Fate>,
    next: Option<Fate>,
    connects: Vec<Instant>,
}

impl Fates {
    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, address: &impl Debug, fate: Fate) {
        self.state(|state| state.by_address.insert(format!("{address:?}"), fate));
    }

    pub(super) fn set_next(&self, fate: Fate) {
        self.state(|state| state.next = Some(fate));
    }

    pub(super) fn connects(&self) -> Vec<Instant> {
        self.state(|state| state.connects.clone())
    }

    /// A connect meets its fate; true if it is to panic.
    pub(super) async fn meet(&self, address: &impl Debug) -> io::Result<bool> {
        let fate = self.state(|state| {
            state.connects.push(Instant::now());
            let of_address = || state.by_address.get(&format!("{address:?}")).copied();
            state.next.take().or_else(of_address).unwrap_or_default()
        });
        match fate {
            Fate::Taken => Ok(false),
            Fate::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Fate::Lost => pending().await,
            Fate::TakenAfter(time) => {
                let_pass(time).await;
                Ok(false)
            }
            Fate::Fails(code) => {
                Err(io::Error::other(io::Error::other(io::Error::from_raw_os_error(code))))
            }
            Fate::Panics => Ok(true),
        }
    }
}
