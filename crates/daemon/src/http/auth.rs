//! Who may call: the token, and the `Host` and `Origin` checks that stop DNS rebinding.

use std::{io, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use samizdat_api::limits::MAX_BODY;
use subtle::ConstantTimeEq;

use super::{answer::Failure, serve::App};

/// The UI's page may load only what this server serves, and nobody may frame it.
const CSP: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                   connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, CSP),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The secret that a caller of the API must know: 256 random bits in hexadecimal.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// A fresh token from the operating system's randomness.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().into()))
    }

    /// For the endpoint file and the link to the UI.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not tell how much of `other` is right.
    pub(super) fn is(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Around everything: refuses foreign hosts, foreign origins and huge bodies; adds the security headers.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Around all of the API but the calls that say otherwise.
pub(super) async fn need_token(State(app): State<App>, request: Request, next: Next) -> Response {
    let given = single(request.headers(), &header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    match given {
        Some(token) if app.token.is(token.trim()) => next.run(request).await,
        Some(_) => Failure::unauthorized("this is not the token of this node; it lies in api.json in its home"),
        None => Failure::unauthorized("this call needs the token from api.json in the node's home"),
    }
}

fn check(app: &App, request: &Request) -> Result<(), Failure> {
    let host = single(request.headers(), &header::HOST).unwrap_or_default();
    let named_otherwise = request.uri().authority().is_some_and(|authority| authority.as_str() != host);
    if named_otherwise || !["127.0.0.1", "[::1]", "localhost"].iter().any(|name| *host == format!("{name}:{}", app.address.port()))
    {
        return Err(Failure::forbidden("this host name is not ours: use 127.0.0.1 with the node's port"));
    }
    if request.headers().contains_key(header::ORIGIN)
        && single(request.headers(), &header::ORIGIN).and_then(|origin| origin.strip_prefix("http://")) != Some(host)
    {
        return Err(Failure::forbidden("pages of other origins may not call this node"));
    }
    let length = single(request.headers(), &header::CONTENT_LENGTH).and_then(|value| value.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY) && !request.uri().path().ends_with("/log/import") {
        return Err(Failure::too_large());
    }
    Ok(())
}

/// The value of a header that stands there exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

impl Failure {
    fn forbidden(message: &str) -> Self {
        Self::refused(StatusCode::FORBIDDEN, message)
    }

    fn unauthorized(message: &str) -> Response {
        let failure = Self::refused(StatusCode::UNAUTHORIZED, message);
        ([(header::WWW_AUTHENTICATE, "Bearer")], failure).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_unique_and_never_shown() {
        let (a, b) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_eq!(a.reveal().len(), 64);
        assert_ne!(a.reveal(), b.reveal());
        assert!(a.is(a.reveal()) && !a.is(b.reveal()) && !a.is(""));
        assert_eq!(format!("{a:?}"), "Token(..)");
    }
}
