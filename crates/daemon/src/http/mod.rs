//! The local API over HTTP and WebSocket, and the web UI: `docs/protocol/api.md`.
//!
//! The server holds nothing but connections: every question goes to the node's loop through a [`NodeHandle`], and what
//! the loop says unasked comes back as events. It listens on the loopback interface only.

mod answer;
mod auth;
mod clusters;
mod endpoint;
mod events;
pub mod limits;
mod log;
mod meeting;
mod messages;
mod net;
mod node;
mod people;
mod phrases;
mod qr;
mod routes;
mod serve;
#[cfg(test)]
mod tests;
mod tmp;
mod ui;

pub use auth::Token;
pub use endpoint::{EndpointFile, ui_link};
pub use node::{Call, CallError, NodeHandle};
pub use serve::{Config, serve};
