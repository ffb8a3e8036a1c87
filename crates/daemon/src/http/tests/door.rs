//! Who gets in, and what is turned away.

use samizdat_api::limits::MAX_BODY;

use super::*;
use crate::http::limits::{HEAD_WITHIN, MAX_HEADERS};

#[tokio::test]
async fn a_call_without_token_is_refused() {
    let server = Server::silent();
    let answer = server.raw("GET /api/v1/status", &[("Host", HOST)], b"").await;
    assert_eq!(answer.error(), (401, "refused".into()));
    assert_eq!(answer.header("www-authenticate"), Some("bearer"));
}

#[tokio::test]
async fn a_call_with_a_wrong_token_is_refused() {
    let server = Server::silent();
    let (_, truncated) = server.token.reveal().split_at(1);
    for wrong in ["Bearer x", "Bearer ", truncated, &format!("Basic {}", server.token.reveal())] {
        let answer = server.raw("GET /api/v1/status", &[("Host", HOST), ("Authorization", wrong)], b"").await;
        assert_eq!(answer.error(), (401, "refused".into()), "{wrong}");
    }
}

#[tokio::test]
async fn two_tokens_are_as_bad_as_none() {
    let server = Server::silent();
    let bearer = format!("Bearer {}", server.token.reveal());
    let headers = [("Host", HOST), ("Authorization", "Bearer x"), ("Authorization", &*bearer)];
    assert_eq!(server.raw("GET /api/v1/status", &headers, b"").await.status, 401);
}

#[tokio::test]
async fn a_rebound_host_name_is_refused_everywhere() {
    let server = Server::silent();
    let bearer = format!("Bearer {}", server.token.reveal());
    for path in ["/", "/api/v1/status", "/api/v1/openapi.json", "/api/v1/events", "/nowhere"] {
        for host in ["evil.example:4444", "127.0.0.1:4445", "127.0.0.1", "localhost", "127.0.0.1:4444.evil.example", ""] {
            let answer = server.raw(&format!("GET {path}"), &[("Host", host), ("Authorization", &bearer)], b"").await;
            assert_eq!(answer.status, 403, "{path} {host}");
        }
    }
    let answer = server.raw("GET /api/v1/status", &[("Authorization", &bearer)], b"").await;
    assert_eq!(answer.status, 403, "no host at all");
    let answer = server.raw("GET http://evil.example/", &[("Host", HOST)], b"").await;
    assert_eq!(answer.status, 403, "absolute form");
}

#[tokio::test]
async fn all_names_of_this_machine_are_good() {
    let server = Server::silent();
    for host in ["127.0.0.1:4444", "[::1]:4444", "localhost:4444"] {
        assert_eq!(server.raw("GET /api/v1/openapi.json", &[("Host", host)], b"").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let server = Server::silent();
    let bearer = format!("Bearer {}", server.token.reveal());
    for origin in ["http://evil.example", "null", "https://127.0.0.1:4444", "http://localhost:4444", "http://127.0.0.1:80"] {
        let headers = [("Host", HOST), ("Authorization", &*bearer), ("Origin", origin)];
        assert_eq!(server.raw("GET /api/v1/status", &headers, b"").await.error(), (403, "refused".into()), "{origin}");
    }
    let headers = [("Host", HOST), ("Origin", "http://127.0.0.1:4444")];
    assert_eq!(server.raw("GET /api/v1/openapi.json", &headers, b"").await.status, 200);
}

#[tokio::test]
async fn there_is_no_cors() {
    let server = Server::silent();
    let headers = [("Host", HOST), ("Origin", "http://127.0.0.1:4444"), ("Access-Control-Request-Method", "POST")];
    let answer = server.raw("OPTIONS /api/v1/messages", &headers, b"").await;
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_huge_body_is_refused() {
    let server = Server::silent();
    let body = format!(r#"{{"room":"lobby","text":"{}"}}"#, "x".repeat(MAX_BODY));
    assert_eq!(server.call("POST /api/v1/messages", &body).await.error(), (413, "usage".into()));
}

#[tokio::test]
async fn a_huge_body_that_does_not_say_so_is_refused() {
    let server = Server::silent();
    let mut stream = server.connect();
    let head = format!(
        "POST /api/v1/messages HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        server.token.reveal()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = "x".repeat(0x8000);
    for _ in 0..=(MAX_BODY / chunk.len()) {
        let _ = stream.write_all(format!("8000\r\n{chunk}\r\n").as_bytes()).await;
    }
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(Answer::parse(&bytes).error(), (413, "usage".into()));
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let server = Server::silent();
    let many: Vec<(String, String)> = (0..=MAX_HEADERS).map(|i| (format!("X-{i}"), "x".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(server.raw("GET /", &many, b"").await.status, 431);
    let long = "x".repeat(64 * 1024);
    assert_eq!(server.raw("GET /", &[("Host", HOST), ("X", &long)], b"").await.status, 431);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_closes_the_connection() {
    let server = Server::silent();
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
    let since = tokio::time::Instant::now();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(since.elapsed() <= HEAD_WITHIN * 2);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_refused() {
    let server = Server::silent();
    let mut stream = server.connect();
    let head = format!(
        "POST /api/v1/rooms HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: 9\r\n\r\n{{",
        server.token.reveal()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(Answer::parse(&bytes).status, 408);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = Server::silent();
    for line in ["GET /", "GET /nowhere", "GET /api/v1/status", "GET /api/v1/openapi.json"] {
        let answer = server.raw(line, &[("Host", HOST)], b"").await;
        let csp = answer.header("content-security-policy").unwrap();
        for rule in ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
            assert!(csp.contains(rule), "{line}: {csp}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.header("cache-control").is_some());
    }
    assert_eq!(server.call("GET /api/v1/nowhere", "").await.header("cache-control"), Some("no-store"));
}
