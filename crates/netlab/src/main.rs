//! `netlab matrix --quick`: a laboratory of network namespaces. As root, on Linux.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod bare;
#[cfg(target_os = "linux")]
mod cli;
#[cfg(target_os = "linux")]
mod node;
#[cfg(target_os = "linux")]
mod talker;
#[cfg(target_os = "linux")]
mod visit;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    cli::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("network namespaces are Linux's");
    ExitCode::FAILURE
}
