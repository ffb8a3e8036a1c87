//! Calls and their answers, pages of the UI, and the OpenAPI document.

use std::collections::BTreeSet;

use samizdat_api::{ErrorKind, Imported, call::ContactEdit, limits::MAX_QR_TEXT};
use utoipa::OpenApi;

use super::*;
use crate::http::routes::{CALLS, Document};

#[test]
fn the_document_and_the_router_name_the_same_calls() {
    let document = serde_json::to_value(Document::openapi()).unwrap();
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())))
        .collect();
    let routed: BTreeSet<(String, String)> = CALLS.iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
    assert_eq!(documented, routed);
}

#[test]
fn every_schema_that_the_document_refers_to_is_in_it() {
    let document = serde_json::to_string(&Document::openapi()).unwrap();
    let value: Value = serde_json::from_str(&document).unwrap();
    for reference in document.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(value["components"]["schemas"][reference].is_object(), "{reference}");
    }
}

#[tokio::test]
async fn every_call_of_the_table_reaches_the_node_or_answers_itself() {
    let server = Server::new(|_| Err(ApiError::refused("not today")));
    for (method, path) in CALLS {
        let line = format!("{} /api/v1{}", method.to_uppercase(), path.replace(['{', '}'], "x"));
        let body = match *path {
            "/mine" => r#"{"prefix":"a"}"#,
            "/contacts" => r#"{"who":"a"}"#,
            "/messages" => r#"{"who":"a","text":"b"}"#,
            "/read" => r#"{"conversation":"a"}"#,
            "/rooms" => r#"{"room":"a"}"#,
            "/clusters" => r#"{"name":"a","nick":"b"}"#,
            "/join" => r#"{"link":"a","nick":"b"}"#,
            "/clusters/{cluster}/motions" => r#"{"kind":"expel","who":"a"}"#,
            "/motions/{motion}/vote" => r#"{"vote":"yes"}"#,
            "/node/entry" => r#"{"domain":"a.example","secret":"s"}"#,
            "/entries" => r#"{"domain":"a.example"}"#,
            _ => "",
        };
        let expected = match *path {
            "/qr.svg" | "/events" => 400,
            "/openapi.json" | "/link" => 200,
            _ => 409,
        };
        let body = if *method == "post" { body } else { "" };
        assert_eq!(server.call(&line, body).await.status, expected, "{line}");
    }
}

#[tokio::test]
async fn the_document_needs_no_token() {
    let server = Server::silent();
    let answer = server.raw("GET /api/v1/openapi.json", &[("Host", HOST)], b"").await;
    assert_eq!(answer.json()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn an_unknown_call_is_not_found() {
    let server = Server::silent();
    for line in ["GET /api/v1/nowhere", "GET /api/v1/messages/x/y/z", "GET /api/v2/status", "POST /api/x"] {
        assert_eq!(server.call(line, "").await.error(), (404, "not_found".into()), "{line}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_so() {
    assert_eq!(Server::silent().call("DELETE /api/v1/status", "").await.error(), (405, "usage".into()));
}

#[tokio::test]
async fn errors_of_the_node_keep_their_kind() {
    let kinds = [
        (ErrorKind::Usage, 400, "usage"),
        (ErrorKind::NotFound, 404, "not_found"),
        (ErrorKind::Refused, 409, "refused"),
        (ErrorKind::Internal, 500, "internal"),
    ];
    for (kind, status, word) in kinds {
        let server = Server::new(move |_| Err(ApiError::new(kind, "no")));
        assert_eq!(server.call("GET /api/v1/status", "").await.error(), (status, word.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_unavailable() {
    let mut server = Server::silent();
    // A loop that takes questions and never answers them.
    let (node, _calls) = NodeHandle::new();
    let config = Config { token: server.token.clone(), home: server.home.path().to_owned(), ui: true };
    server.app = routes::router(app(HOST.parse().unwrap(), node, config, server.stop.subscribe()).unwrap());
    assert_eq!(server.call("GET /api/v1/status", "").await.error(), (503, "internal".into()));
}

#[tokio::test]
async fn a_body_must_be_what_the_call_says() {
    let server = Server::silent();
    for body in ["", "{", "[]", r#"{"who":1}"#, r#"{"who":"a","petnam":"b"}"#] {
        assert_eq!(server.call("POST /api/v1/contacts", body).await.error(), (400, "usage".into()), "{body}");
    }
    for body in [
        r#"{"text":"x"}"#,
        r#"{"who":"a","room":"b","text":"x"}"#,
        r#"{"who":"a","cluster":"b","text":"x"}"#,
        r#"{"who":"a","text":"x","wait":"read"}"#,
    ] {
        assert_eq!(server.call("POST /api/v1/messages", body).await.status, 400, "{body}");
    }
    assert_eq!(server.call("GET /api/v1/messages?limit=x", "").await.status, 400);
    assert_eq!(server.call("GET /api/v1/messages?who=a&room=b", "").await.status, 400);
}

#[tokio::test]
async fn a_name_in_a_path_is_decoded() {
    let server = Server::new(|_| Err(ApiError::not_found("nobody")));
    server.call("PATCH /api/v1/contacts/samizdat%3Ax%2Fy", r#"{"blocked":true}"#).await;
    let who = "samizdat:x/y".to_owned();
    assert_eq!(server.asked(), [Request::EditContact { who, edit: ContactEdit { blocked: Some(true), ..ContactEdit::default() } }]);
}

#[tokio::test]
async fn a_qr_code_is_a_drawing() {
    let server = Server::silent();
    let answer = server.call("GET /api/v1/qr.svg?text=samizdat%3Aabc", "").await;
    assert_eq!(answer.header("content-type"), Some("image/svg+xml"));
    assert!(answer.body.contains("<svg"));
    let long = format!("GET /api/v1/qr.svg?text={}", "x".repeat(MAX_QR_TEXT + 1));
    assert_eq!(server.call(&long, "").await.error(), (400, "usage".into()));
    assert_eq!(server.raw("GET /api/v1/qr.svg?text=a", &[("Host", HOST)], b"").await.status, 401);
}

#[tokio::test]
async fn a_log_slice_is_exported_and_its_file_goes() {
    let server = Server::new(|request| {
        let Request::LogExport { path, .. } = request else { panic!("{request:?}") };
        std::fs::write(path, "slice").unwrap();
        Ok(Response::Done)
    });
    let answer = server.call("GET /api/v1/log/export", "").await;
    assert_eq!((answer.status, answer.body.as_str(), answer.header("content-length")), (200, "slice", Some("5")));
    assert_eq!(std::fs::read_dir(server.home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_log_slice_larger_than_a_body_is_imported_and_its_file_goes() {
    let server = Server::new(|request| {
        let Request::LogImport { path } = request else { panic!("{request:?}") };
        Ok(Response::Imported(Imported { new: std::fs::metadata(path).unwrap().len(), duplicate: 0, refused: 0 }))
    });
    let slice = "x".repeat(300 * 1024);
    let answer = server.call("POST /api/v1/log/import", &slice).await;
    assert_eq!(answer.json()["new"], slice.len());
    assert_eq!(std::fs::read_dir(server.home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_page_is_served_without_token_and_revalidated() {
    let server = Server::silent();
    let first = server.raw("GET /", &[("Host", HOST)], b"").await;
    assert_eq!((first.status, first.header("cache-control")), (200, Some("no-cache")));
    assert_eq!(first.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(first.body.to_lowercase().contains("<!doctype html>"));
    let etag = first.header("etag").unwrap();
    let again = server.raw("GET /", &[("Host", HOST), ("If-None-Match", etag)], b"").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}

#[tokio::test]
async fn there_is_nothing_beside_the_page() {
    let server = Server::silent();
    for path in ["/nowhere.js", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/assets/"] {
        assert_eq!(server.raw(&format!("GET {path}"), &[("Host", HOST)], b"").await.status, 404, "{path}");
    }
    assert_eq!(server.raw("POST /", &[("Host", HOST)], b"").await.status, 405);
}

#[tokio::test]
async fn a_node_without_ui_has_only_the_api() {
    let server = Server::with_ui(false, |_| Err(ApiError::refused("not today")));
    assert_eq!(server.raw("GET /", &[("Host", HOST)], b"").await.status, 404);
    assert_eq!(server.call("POST /api/v1/link", "").await.error(), (409, "refused".into()));
    assert_eq!(server.call("GET /api/v1/status", "").await.status, 409);
}

#[tokio::test]
async fn the_way_into_the_page_is_a_file_that_only_its_owner_can_read_and_works_once() {
    let server = Server::silent();
    let name = server.call("POST /api/v1/link", "").await.json()["page"].as_str().unwrap().to_owned();
    let file = server.home.path().join(&name);
    let page = std::fs::read_to_string(&file).unwrap();
    let (_, link) = page.split_once("url=http://127.0.0.1:4444").unwrap();
    let (path, _) = link.split_once('"').unwrap();
    // What everybody on this machine can see, the name, says nothing about the way.
    assert!(path.starts_with("/open/") && !path.contains(&name) && !page.contains(server.token.reveal()), "{page}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let opened = server.raw(&format!("GET {path}"), &[("Host", HOST)], b"").await;
    assert_eq!((opened.status, opened.header("location")), (303, Some(&*format!("/#token={}", server.token.reveal()))));
    assert!(!file.exists(), "it goes when it was used");
    let again = server.raw(&format!("GET {path}"), &[("Host", HOST)], b"").await;
    assert_eq!((again.status, again.header("location")), (404, None));
}

#[tokio::test]
async fn a_role_of_a_later_version_cannot_be_switched_and_nothing_else_is() {
    // Whatever reaches the node is refused there, with another status.
    let server = Server::new(|_| Err(ApiError::refused("the node was asked")));
    for body in [r#"{"custodian":true}"#, r#"{"mix":false}"#, r#"{"relay":true,"mix":true}"#] {
        let answer = server.call("PATCH /api/v1/node", body).await;
        assert_eq!(answer.error(), (400, "usage".to_owned()), "{body}");
        assert!(answer.body.contains(samizdat_api::later::NO_SUCH_ROLE), "{}", answer.body);
    }
    assert_eq!(server.call("PATCH /api/v1/node", r#"{"relay":true}"#).await.status, 409);
    let schema = serde_json::to_value(Document::openapi()).unwrap()["components"]["schemas"]["NodeEdit"].to_string();
    assert!(schema.contains("relay") && !schema.contains("custodian") && !schema.contains("mix"), "{schema}");
}
