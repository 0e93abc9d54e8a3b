//! Dials: which of them may fail a request, when they begin while an address fails, and how long they go on.

mod left_behind;
mod outage;
mod own_faults;
