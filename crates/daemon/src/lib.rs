//! The daemon: the loop around the engine, the threads that mint, the local API over HTTP and WebSocket, the embedded web
//! UI. The only crate that owns an async runtime, a clock and the randomness of the system.

mod behind;
mod clusters;
mod contacts;
mod convert;
mod doctor;
mod entries;
mod home;
pub mod http;
mod jobs;
mod keeping;
mod labels;
mod limits;
mod meeting;
mod mine;
mod mint;
mod nearby;
mod net;
mod node;
mod places;
mod presence;
mod requests;
mod roles;
mod rotation;
mod run;

pub use run::{Options, Ready, StartError, change_passphrase, run};

/// What is logged unless somebody asks for more: the libraries below the network name peers and addresses in their
/// warnings, so they are silent. So is MLS, which calls it an error when a message comes a second time.
pub const LOG_FILTER: &str = "warn,openmls=off,iroh=off,iroh_relay=off,noq=off,noq_proto=off,noq_udp=off,netwatch=off";

#[cfg(test)]
mod tests {
    #[test]
    fn no_library_that_names_peers_is_logged_by_default() {
        assert!(samizdat_net::LOG_TARGETS_BELOW.iter().all(|target| super::LOG_FILTER.contains(&format!(",{target}=off"))));
    }
}
