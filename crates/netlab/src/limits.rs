//! Every bound of this crate in one place.

use std::time::Duration;

/// Public hosts of one lab.
pub const HOSTS_MAX: usize = 30;
/// Peers of one lab.
pub const PEERS_MAX: usize = 80;
/// Networks from which one host of a lab passes for many.
pub const CROWD_MAX: u8 = 200;
/// Networks from which a flood of strangers comes.
pub const CROWD_NETWORKS: u8 = 100;
/// Strangers of a flood that are there at the same time.
pub const STRANGERS_AT_ONCE: usize = 250;
/// Peers that say nothing, of which a node that is visited keeps no more; as our nodes with those that have not greeted.
pub const SILENT_MAX: usize = 16;
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
/// Words of a conversation that wait to be acknowledged; then nothing more is said.
pub const UNSAID_MAX: usize = 3000;
/// Words that are said after a talker was told to come to an end.
pub const WORDS_AT_END: u64 = 50;
/// Longest time that a live link may be silent when it is re-homed or moves.
pub const GAP_MAX: Duration = Duration::from_secs(5);
/// How many times as long as iroh by itself our node may take to a direct path, by the medians.
pub const RATIO_MAX: f64 = 1.2;
/// Packets that pass between one change and the next of a network that goes down and up.
pub const FLAP_PACKETS: usize = 8;
/// Tasks that a node may have more after its network has gone down and up often: those of one more path, not of each outage.
pub const TASKS_MORE: usize = 8;
/// The same in KiB of memory.
pub const KIB_MORE: u64 = 16 * 1024;
/// Within this a node gives up a link to somebody who has vanished: half a minute of silence, and what a busy machine adds.
pub const GIVEN_UP_MAX: Duration = Duration::from_secs(35);
/// Dials that come to nothing before he is back.
pub const FAILED_DIALS: usize = 2;
/// Within this there is a link again once he is: the dial under way may have to fail first.
pub const BACK_MAX: Duration = Duration::from_secs(15);
/// By how much the memory of a node may grow while strangers flood it, KiB.
pub const FLOOD_KIB_MORE: u64 = 64 * 1024;
