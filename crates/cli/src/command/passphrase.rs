//! `passphrase`: sets, changes or removes the passphrase of the vault while no node uses it.

use std::{
    env,
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;

use crate::{arguments::Context, command::up, failure::Failure};

const NEXT: &str = "SAMIZDAT_NEW_PASSPHRASE";

#[derive(Args)]
pub(crate) struct Passphrase {
    /// Remove the passphrase: whoever can read the files of this account can then read the vault.
    #[arg(long)]
    remove: bool,
    /// Read the present passphrase from the first line of a file; otherwise from SAMIZDAT_PASSPHRASE or the terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Read the new passphrase from the first line of a file; otherwise from SAMIZDAT_NEW_PASSPHRASE or the terminal.
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    new_passphrase_file: Option<PathBuf>,
}

impl Passphrase {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let next = if self.remove { None } else { Some(self.next()?) };
        let change = |present: Option<&str>| samizdat_daemon::change_passphrase(&context.home, present, next.as_deref());
        let present = up::passphrase(self.passphrase_file.as_deref())?;
        match change(present.as_deref()) {
            Err(error) if error.needs_passphrase() && io::stdin().is_terminal() => change(Some(&up::ask("Present passphrase: ")?)),
            changed => changed,
        }
        .map_err(Failure::from)?;
        let sentence = if self.remove { "The vault has no passphrase any more." } else { "The vault has a new passphrase." };
        context.output.row(&json!({ "vault": if self.remove { "key file" } else { "passphrase" } }), || sentence.to_owned())
    }

    fn next(&self) -> Result<String, Failure> {
        if let Some(file) = &self.new_passphrase_file {
            return Ok(up::passphrase(Some(file))?.unwrap_or_default());
        }
        if let Some(next) = env::var(NEXT).ok().filter(|next| !next.is_empty()) {
            return Ok(next);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(format!("give the new passphrase in {NEXT} or with --new-passphrase-file")));
        }
        let next = up::ask("New passphrase: ")?;
        if next.is_empty() || next != up::ask("The same again: ")? {
            return Err(Failure::refused("the two were not the same; nothing was changed"));
        }
        Ok(next)
    }
}
