//! The commands, one file for each group.

pub(crate) mod cluster;
pub(crate) mod contact;
pub(crate) mod entry;
pub(crate) mod id;
pub(crate) mod invite;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod motion;
pub(crate) mod net;
pub(crate) mod node;
pub(crate) mod passphrase;
pub(crate) mod phrase;
pub(crate) mod proxy;
pub(crate) mod read;
pub(crate) mod room;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod up;

use crate::{
    arguments::{Arguments, Context},
    failure::Failure,
};

/// Runs the command of `arguments`; without one, the node and its UI.
pub(crate) fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    match arguments.command {
        Some(command) => command.run(context),
        None => up::Up::default().run(context, !arguments.no_open),
    }
}
