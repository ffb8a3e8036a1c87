//! Calls about the log. Slices pass through a temporary file in the node's home, so that neither side holds them in
//! memory and the loop sees only finished files.

use std::{io, io::SeekFrom};

use axum::{
    Json,
    body::Body,
    extract::{Request as HttpRequest, State},
    http::header,
    response::IntoResponse,
};
use http_body_util::BodyExt;
use samizdat_api::{ApiError, Destination, Imported, LogCheck, LogStats, Request, Response, call::ExportQuery, limits::MAX_IMPORT};
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt},
    time::timeout,
};
use tokio_util::io::ReaderStream;

use super::{
    answer::{Failure, Failures, Params, Reply, ask},
    limits::IMPORT_PAUSE,
    serve::App,
    tmp,
};

/// What the log holds.
#[utoipa::path(get, path = "/log/stats", responses((status = 200, body = LogStats), Failures))]
pub(super) async fn stats(State(app): State<App>) -> Reply<LogStats> {
    ask!(app, Request::LogStats, LogStats).map(Json)
}

/// Checks every envelope again.
#[utoipa::path(post, path = "/log/verify", responses((status = 200, body = LogCheck), Failures))]
pub(super) async fn verify(State(app): State<App>) -> Reply<LogCheck> {
    ask!(app, Request::LogVerify, LogCheck).map(Json)
}

/// The log slice as a file; with `who` or `room` only what the others of that conversation need.
#[utoipa::path(
    get, path = "/log/export", params(ExportQuery),
    responses((status = 200, description = "The log slice", content_type = "application/octet-stream", body = Vec<u8>), Failures)
)]
pub(super) async fn export(State(app): State<App>, Params(query): Params<ExportQuery>) -> Result<impl IntoResponse, Failure> {
    let of = match (query.who, query.room) {
        (Some(_), Some(_)) => return Err(ApiError::usage("ask for a contact or for a room, not for both").into()),
        (who, room) => who.map(Destination::Who).or(room.map(Destination::Room)),
    };
    let slice = tmp::file(&app.home, "")?;
    match app.node.call(Request::LogExport { path: slice.path().to_owned(), of }).await? {
        Response::Done => {}
        _ => return Err(Failure::mixed_up()),
    }
    // Opened by name: the node may have put another file in its place. It is removed here already, and read on.
    let mut file = File::open(slice.path()).await?;
    let length = file.seek(SeekFrom::End(0)).await?;
    file.rewind().await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"samizdat.log\"".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(file))))
}

/// Takes in a log slice, whose envelopes are checked like any other.
#[utoipa::path(
    post, path = "/log/import", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Imported), Failures)
)]
pub(super) async fn import(State(app): State<App>, request: HttpRequest) -> Reply<Imported> {
    let slice = tmp::file(&app.home, "")?;
    let mut file = File::from_std(slice.reopen()?);
    let mut body = request.into_body();
    let mut length = 0_u64;
    while let Some(frame) = timeout(IMPORT_PAUSE, body.frame()).await.map_err(|_| Failure::too_slow())? {
        let frame = frame.map_err(|e| io::Error::new(io::ErrorKind::UnexpectedEof, e))?;
        let Some(chunk) = frame.data_ref() else { continue };
        length = length.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if length > MAX_IMPORT {
            return Err(ApiError::usage("this log slice is too large").into());
        }
        file.write_all(chunk).await?;
    }
    file.flush().await?;
    ask!(app, Request::LogImport { path: slice.path().to_owned() }, Imported).map(Json)
}
