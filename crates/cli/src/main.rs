//! `samizdat`: the node and everything that can be asked of it, on the command line.
//!
//! `up` runs the node in this process. Every other command talks to the one that runs, over its local API, and knows
//! nothing of how it works.

mod arguments;
mod command;
mod failure;
mod interrupt;
mod output;
mod printable;

use std::process::ExitCode;

fn main() -> ExitCode {
    match arguments::parse() {
        Ok((arguments, context)) => match command::run(arguments, &context) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(context.output.json),
        },
        Err(exit) => exit,
    }
}
