//! TLS: nothing leaves before the server has proved its name, and a failure says what was wrong.

mod alpn;
mod certificates;
mod handshakes;
mod identities;
mod records;
mod tickets;
