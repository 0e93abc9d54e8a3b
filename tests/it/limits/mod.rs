//! How many connections there may be, and how requests wait for one.

mod connections;
mod fairness;
mod queue;
