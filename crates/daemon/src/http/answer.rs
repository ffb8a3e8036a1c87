//! How answers and failures become HTTP, and how bodies, queries and path segments become values.

use axum::body::Bytes;
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use samizdat_api::{ApiError, ErrorBody, ErrorKind, limits::MAX_BODY};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use utoipa::IntoResponses;

use super::{limits::BODY_WITHIN, node::CallError};

/// What a handler answers.
pub(super) type Reply<T> = Result<Json<T>, Failure>;

/// Asks the loop, and takes the answer that belongs to the question.
macro_rules! ask {
    ($app:expr, $request:expr, $variant:ident) => {
        match $app.node.call($request).await? {
            samizdat_api::Response::$variant(answer) => Ok(answer),
            _ => Err($crate::http::answer::Failure::mixed_up()),
        }
    };
}
pub(super) use ask;

/// An error with its HTTP status.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    error: ApiError,
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: ApiError) -> Self {
        Self { status, error }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        ApiError::usage(message).into()
    }

    pub(super) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, ApiError::refused(message))
    }

    pub(super) fn too_large() -> Self {
        let message = format!("the body is larger than {} KiB", MAX_BODY / 1024);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ApiError::usage(message))
    }

    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, ApiError::usage("the body came too slowly"))
    }

    /// Whether the node is ending, or too busy to say more.
    pub(super) fn is_end(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// The loop answered another question than it was asked: a bug of ours.
    pub(super) fn mixed_up() -> Self {
        ApiError::internal("the node mixed up its answers; please report this").into()
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let status = match error.kind {
            ErrorKind::Usage => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Refused => StatusCode::CONFLICT,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, error }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(error) => error.into(),
            CallError::Busy | CallError::Gone => Self::new(StatusCode::SERVICE_UNAVAILABLE, ApiError::internal(error.to_string())),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        ApiError::internal(format!("a temporary file in the node's home failed: {error}")).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.error })).into_response()
    }
}

/// A JSON body; an empty one counts as `{}`. The content type is not looked at: the token keeps foreign pages out.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = match timeout(BODY_WITHIN, Bytes::from_request(request, state)).await {
            Err(_) => return Err(Failure::too_slow()),
            Ok(Err(BytesRejection::FailedToBufferBody(e))) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Failure::too_large());
            }
            Ok(Err(e)) => return Err(Failure::usage(e.body_text())),
            Ok(Ok(bytes)) => bytes,
        };
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(json).map(Self).map_err(|e| Failure::usage(format!("the body was not understood: {e}")))
    }
}

/// The query of a URL.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|e| Failure::usage(format!("the query was not understood: {}", e.body_text())))
    }
}

/// The variable segment of a path.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(segment)| Self(segment))
            .map_err(|e| Failure::usage(format!("the path was not understood: {}", e.body_text())))
    }
}

/// The failures that any call may have, for the OpenAPI document.
#[derive(IntoResponses)]
#[allow(dead_code)]
pub(super) enum Failures {
    /// The caller asked wrongly.
    #[response(status = 400)]
    Usage(ErrorBody),
    /// No token, or a wrong one.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// Wrong `Host` or `Origin`.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// What was asked for is not there.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// It cannot be done now.
    #[response(status = 409)]
    Refused(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The node failed.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The node is too busy, or ending.
    #[response(status = 503)]
    Busy(ErrorBody),
}
