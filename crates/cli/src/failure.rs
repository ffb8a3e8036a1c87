//! Why a command failed, in one sentence, and its exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use samizdat_api::{ApiError, CallError, ConnectError, ErrorKind};
use serde_json::json;

use crate::printable::printable;

/// What a command that failed says.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

/// The kinds of failure, with their exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Internal = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    NoNode = 5,
    /// Nobody reads our output any more: nothing to say.
    Unread = 0,
}

impl Failure {
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { kind: Kind::Internal, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { kind: Kind::NotFound, message: message.into() }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, message: message.into() }
    }

    /// The node went away while we listened to it.
    pub(crate) fn node_ended() -> Self {
        CallError::Ended.into()
    }

    /// There is no node to talk to; `start` starts one.
    pub(crate) fn no_node(error: &ConnectError, start: &str) -> Self {
        Self { kind: Kind::NoNode, message: format!("{error}; start one with `{start}`") }
    }

    /// Failed to read or write a file of the person's.
    pub(crate) fn file(name: &std::path::Path, error: &io::Error) -> Self {
        let message = format!("{}: {error}", name.display());
        if error.kind() == io::ErrorKind::NotFound { Self::not_found(message) } else { Self::refused(message) }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// Says it on standard error.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        if self.kind != Kind::Unread {
            self.tell(json);
        }
        ExitCode::from(self.kind as u8)
    }

    fn tell(&self, json: bool) {
        let kind = match self.kind {
            Kind::Internal | Kind::Unread => "internal",
            Kind::Usage => "usage",
            Kind::NotFound => "not_found",
            Kind::Refused => "refused",
            Kind::NoNode => "no_node",
        };
        // Where standard error is closed, too, the exit code must do.
        let _ = if json {
            writeln!(io::stderr(), "{}", json!({ "error": { "kind": kind, "message": self.message } }))
        } else {
            writeln!(io::stderr(), "samizdat: {}", printable(&self.message))
        };
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let kind = match error.kind {
            ErrorKind::Usage => Kind::Usage,
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::Refused => Kind::Refused,
            ErrorKind::Internal => Kind::Internal,
        };
        Self { kind, message: error.message }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Api(error) => error.into(),
            CallError::Ended => Self { kind: Kind::NoNode, message: error.to_string() },
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let kind = match error {
            ConnectError::NoNode(_) => Kind::NoNode,
            _ => Kind::Internal,
        };
        Self { kind, message: error.to_string() }
    }
}

/// Standard output failed: quietly when it was closed, as `head` does.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::Unread } else { Kind::Internal };
        Self { kind, message: format!("standard output: {error}") }
    }
}
