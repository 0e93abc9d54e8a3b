//! Names: the addresses behind one are tried as RFC 8305 has it, each socket under the limits; answers are remembered, and
//! connections to what is gone close gently.

mod answers;
mod any;
mod race;
mod scripted;
mod sockets;

use scripted::{Behaviour, Names, address};
