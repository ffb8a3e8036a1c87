//! A laboratory of real network namespaces, in which real processes run behind real NATs. Needs root on Linux, `ip` and `nft`.
//!
//! It knows programs only from outside; that its own program can be a bare node is no exception. What it makes, it removes; what a
//! killed one left behind, the next removes.
#![cfg(target_os = "linux")]

pub mod absence;
mod engine;
pub mod flap;
pub mod flood;
mod forward;
mod lab;
pub mod limits;
pub mod matrix;
mod nat;
mod netns;
pub mod probe;
mod process;
pub mod rehome;
pub mod talk;
pub mod watch;

use std::io::{Write, stderr};

pub use engine::{Engine, Outcome, Program, Ready, RelayContact, Running};
pub use forward::{Link, LinkId};
pub use lab::{Family, Lab, Peer, Plan, Station};
pub use nat::{Kind, Nat};
pub use netns::{Namespace, abandon, obstacle, sweep};
pub use process::Process;

/// For tests: whether a lab can be built here. If not, says loudly that `test` is not run, and why.
pub fn permitted(test: &str) -> bool {
    let Some(obstacle) = obstacle() else { return true };
    // Not eprintln!, which the test runner keeps to itself when a test passes. There is nobody else to tell when this fails.
    let _ = writeln!(stderr(), "\n*** NOT RUN: {test}: {obstacle} ***\n");
    false
}
