//! Every bound of this crate in one place.

use std::time::Duration;

/// Public hosts of one lab.
pub const HOSTS_MAX: usize = 30;
/// Peers of one lab.
pub const PEERS_MAX: usize = 80;
/// Frames under way in one lab; what comes on top is lost, as in a router whose memory is full.
pub const FRAMES_MAX: usize = 65_536;
/// Largest Ethernet frame that a TAP device hands out: 64 KiB of IP and a header.
pub const FRAME_MAX: usize = 65_536 + 64;
/// Frames read from one device before the others get their turn.
pub const BURST: usize = 64;
/// Different destinations remembered for each station.
pub const DESTINATIONS_MAX: usize = 4096;
/// Lines of one process that wait to be read.
pub const LINES_MAX: usize = 1024;
/// Longest wait for something that a working lab does within milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a namespace's processes get to vanish after they were killed.
pub const REAP: Duration = Duration::from_secs(5);
