//! The program `samizdat` as people and scripts meet it.
#![allow(clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod clusters;
mod exit_codes;
mod help;
mod messages;
mod node;
mod output;
#[cfg(unix)]
mod up;
