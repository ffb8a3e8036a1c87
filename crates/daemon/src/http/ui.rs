//! The web UI, built into the program.

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::RustEmbed;
use samizdat_api::ApiError;
use tempfile::TempPath;

use super::{
    answer::Failure,
    auth::Token,
    limits::{MAX_UI_LINKS, UI_LINK_LIFETIME},
    tmp,
};

/// What `build.rs` made: the UI, or a page that says how to get it.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/ui"]
struct Files;

/// One file of the UI.
pub(super) async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    if path.starts_with("api/") {
        return Failure::from(ApiError::not_found("there is no such call; they are under /api/v1/")).into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let Some(file) = Files::get(path) else {
        return (StatusCode::NOT_FOUND, "There is no such page.\n").into_response();
    };
    let etag: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    // The names of files in `assets` change with their content.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let headers = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, cache.to_owned())];
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let mime = if mime.type_() == "text" { format!("{mime}; charset=utf-8") } else { mime.to_string() };
    (headers, [(header::CONTENT_TYPE, mime)], file.data).into_response()
}

/// Where the UI would be, when it is switched off.
pub(super) async fn none() -> Response {
    (StatusCode::NOT_FOUND, "This node was started without the web UI.\n").into_response()
}

/// What a person sees who opens a link for the second time.
pub(super) fn expired_link() -> Response {
    let page = "<!doctype html><meta charset=utf-8><title>Samizdat</title><p>This link was used already or is too old. \
                Run <code>samizdat</code> for a new one.";
    (StatusCode::NOT_FOUND, Html(page)).into_response()
}

/// Ways into the UI that work once: a code, and the page in the node's home that leads there. The code is in the page
/// only, which nobody else on this machine can read; the page goes with its code.
#[derive(Default)]
pub(super) struct UiLinks(Mutex<VecDeque<UiLink>>);

struct UiLink {
    code: Token,
    since: Instant,
    _page: TempPath,
}

impl UiLinks {
    /// Writes a new page into `home` and returns its file name; the oldest goes when there are too many.
    pub(super) fn issue(&self, home: &Path, address: SocketAddr) -> io::Result<String> {
        let code = Token::generate()?;
        let mut page = tmp::file(home, ".html")?;
        writeln!(
            page,
            "<!doctype html><meta charset=utf-8><title>Samizdat</title>\
             <meta http-equiv=refresh content=\"0; url=http://{address}/open/{}\">",
            code.reveal()
        )?;
        let page = page.into_temp_path();
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut links = self.fresh();
        if links.len() >= MAX_UI_LINKS {
            links.pop_front();
        }
        links.push_back(UiLink { code, since: Instant::now(), _page: page });
        Ok(name)
    }

    /// Whether the code is good; it is not afterwards.
    pub(super) fn redeem(&self, code: &str) -> bool {
        let mut links = self.fresh();
        let before = links.len();
        links.retain(|link| !link.code.is(code));
        links.len() < before
    }

    /// The node ends: no page stays behind.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Those that are not too old.
    fn fresh(&self) -> MutexGuard<'_, VecDeque<UiLink>> {
        let mut links = self.lock();
        links.retain(|link| link.since.elapsed() < UI_LINK_LIFETIME);
        links
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<UiLink>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
