//! Fuzz targets: the machines in `targets.rs`, clusters in `cluster.rs`, their MLS groups in `group.rs` and their secret votes in `secret.rs`, the network's shell in
//! `net.rs`, what DNS says in `entry.rs`.

pub mod cluster;
pub mod entry;
pub mod group;
pub mod net;
pub mod secret;
mod targets;

pub use targets::*;
