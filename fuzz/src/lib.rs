//! Fuzz targets: the machines in `targets.rs`, clusters in `cluster.rs`, the network's shell in `net.rs`, what DNS says in `entry.rs`.

pub mod cluster;
pub mod entry;
pub mod net;
mod targets;

pub use targets::*;
