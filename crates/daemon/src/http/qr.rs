//! QR codes, drawn here so that the page needs no library and no other server.

use axum::{http::header, response::IntoResponse};
use qrcode::{EcLevel, QrCode, render::svg};
use samizdat_api::limits::MAX_QR_TEXT;
use serde::Deserialize;
use utoipa::IntoParams;

use super::answer::{Failure, Failures, Params};

/// Pixels of a side, at least; it scales without loss.
const SIDE: u32 = 256;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct QrQuery {
    /// What the code says.
    text: String,
}

/// A text as a QR code.
#[utoipa::path(
    get, path = "/qr.svg", params(QrQuery),
    responses((status = 200, description = "The drawing", content_type = "image/svg+xml", body = String), Failures)
)]
pub(super) async fn qr(Params(query): Params<QrQuery>) -> Result<impl IntoResponse, Failure> {
    let too_long = || Failure::usage(format!("`text` must have 1 to {MAX_QR_TEXT} bytes"));
    if query.text.is_empty() || query.text.len() > MAX_QR_TEXT {
        return Err(too_long());
    }
    let code = QrCode::with_error_correction_level(&query.text, EcLevel::L).map_err(|_| too_long())?;
    let drawing = code.render::<svg::Color<'_>>().min_dimensions(SIDE, SIDE).build();
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], drawing))
}
