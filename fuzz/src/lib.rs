//! Fuzz targets: the machines in `targets.rs`, the network's shell in `net.rs`.

pub mod net;
mod targets;

pub use targets::*;
