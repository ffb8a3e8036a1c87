//! The program `samizdat` as people and scripts meet it.

mod exit_codes;
mod help;
mod messages;
mod node;
mod output;
#[cfg(unix)]
mod up;
