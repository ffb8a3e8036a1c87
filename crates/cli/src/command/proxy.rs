//! `node proxy`: whether everything goes through a SOCKS5 proxy.

use std::io::{self, BufRead, Read};

use clap::Args;
use samizdat_api::{Proxy, call::NodeEdit, meeting::Secret};

use crate::{arguments::Context, failure::Failure, printable::printable};

/// Longer is no proxy: user and password have 255 bytes each.
const LINE_MAX: u64 = 1024;

#[derive(Args)]
pub(crate) struct Behind {
    /// socks5://[USER:PASSWORD@]IP:PORT, Tor's for instance, from now on and at every later start; `off` ends that. `-` reads it
    /// from standard input, so that no password can be seen among the arguments. Shows how it is when left out.
    #[arg(value_name = "URL|off")]
    proxy: Option<String>,
}

impl Behind {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let said = match self.proxy.as_deref() {
            Some("-") => Some(read()?),
            said => said.map(str::to_owned),
        };
        let status = match said {
            Some(said) => client.edit_node(&NodeEdit { proxy: Some(Secret::new(said)), ..NodeEdit::default() })?,
            None => client.status()?,
        };
        let proxy = status.meeting.proxy;
        context.output.row(&proxy, || line(&proxy))
    }
}

fn read() -> Result<String, Failure> {
    let mut said = String::new();
    io::stdin()
        .lock()
        .take(LINE_MAX)
        .read_line(&mut said)
        .map_err(|error| Failure::usage(format!("standard input is no text: {error}")))?;
    Ok(said.trim().to_owned())
}

fn line(proxy: &Proxy) -> String {
    let at = proxy.at.as_deref().unwrap_or("off");
    format!("proxy  {}\n  {}", printable(at), printable(&proxy.why))
}
