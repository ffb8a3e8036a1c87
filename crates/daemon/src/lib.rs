//! The daemon: the loop around the engine, the threads that mint, the local API over HTTP and WebSocket, the embedded web
//! UI. The only crate that owns an async runtime, a clock and the randomness of the system.

mod convert;
pub mod http;
mod labels;
mod mine;
mod mint;
mod node;
mod requests;
mod run;

pub use run::{Options, Ready, StartError, run};
