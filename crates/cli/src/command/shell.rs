//! `completions` and `man`: what packages ship beside the program.

use std::{fs, io, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{arguments::Arguments, failure::Failure};

#[derive(Args)]
pub(crate) struct Completions {
    /// Which shell.
    shell: Shell,
}

#[derive(Args)]
pub(crate) struct Man {
    /// The folder; made if it does not exist.
    dir: PathBuf,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        // Into memory first: the generator panics when its output is closed.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "samizdat", &mut script);
        io::Write::write_all(&mut io::stdout(), &script).map_err(Failure::from)
    }
}

impl Man {
    pub(crate) fn run(self) -> Result<(), Failure> {
        fs::create_dir_all(&self.dir)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), &self.dir))
            .map_err(|e| Failure::file(&self.dir, &e))
    }
}
