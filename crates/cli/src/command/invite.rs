//! `invite`: a link by which somebody can reach me.

use clap::Args;
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::{arguments::Context, failure::Failure, printable::printable};

#[derive(Args)]
pub(crate) struct Invite {
    /// Show the link as a QR code, too.
    #[arg(long)]
    qr: bool,
}

impl Invite {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let invite = context.client()?.new_invite()?;
        let code = if self.qr && !context.output.json { Some(draw(&invite.link)?) } else { None };
        context.output.row(&invite, || match code {
            Some(code) => format!("{code}\n{}", printable(&invite.link)),
            None => printable(&invite.link),
        })
    }
}

/// Half blocks, light on dark as terminals mostly are; scanners read the inverse as well.
pub(crate) fn draw(link: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L)
        .map_err(|_| Failure::internal("this link is too long for a QR code"))?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}
