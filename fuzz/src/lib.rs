//! Fuzz targets: the machines in `targets.rs`, the network's shell in `net.rs`, what DNS says in `entry.rs`.

pub mod entry;
pub mod net;
mod targets;

pub use targets::*;
