//! The seam between the HTTP server and the node's loop.

use std::time::Duration;

use samizdat_api::{ApiError, Event, Request, Response};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::timeout,
};

use super::limits::{ANSWER_WAIT, LONG_ANSWER_WAIT, MAX_EVENTS, MAX_QUEUE, QUEUE_WAIT};

/// A question on its way to the loop, and where its answer goes.
pub type Call = (Request, oneshot::Sender<Result<Response, ApiError>>);

/// How the server reaches the loop: questions one way, events the other.
#[derive(Clone)]
pub struct NodeHandle {
    /// Questions; the loop answers them in order.
    pub requests: mpsc::Sender<Call>,
    /// What the loop says unasked. Events go nowhere while nobody listens.
    pub events: broadcast::Sender<Event>,
}

impl NodeHandle {
    /// A handle, and what the loop reads its questions from.
    pub fn new() -> (Self, mpsc::Receiver<Call>) {
        let (requests, calls) = mpsc::channel(MAX_QUEUE);
        let (events, _) = broadcast::channel(MAX_EVENTS);
        (Self { requests, events }, calls)
    }

    /// Asks the loop; fails when it does not take or answer the question in time.
    pub async fn call(&self, request: Request) -> Result<Response, CallError> {
        let patience = if request.is_long() { LONG_ANSWER_WAIT } else { ANSWER_WAIT };
        self.call_within(request, QUEUE_WAIT, patience).await
    }

    async fn call_within(&self, request: Request, queue: Duration, answer: Duration) -> Result<Response, CallError> {
        let (sender, receiver) = oneshot::channel();
        match timeout(queue, self.requests.send((request, sender))).await {
            Err(_) => return Err(CallError::Busy),
            Ok(Err(_)) => return Err(CallError::Gone),
            Ok(Ok(())) => {}
        }
        match timeout(answer, receiver).await {
            Err(_) => Err(CallError::Busy),
            Ok(Err(_)) => Err(CallError::Gone),
            Ok(Ok(result)) => result.map_err(CallError::Refused),
        }
    }
}

/// Why the loop gave no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallError {
    /// It answered with an error.
    #[error("{0}")]
    Refused(ApiError),
    /// It has more to do than it can.
    #[error("the node is too busy to answer; try again in a moment")]
    Busy,
    /// It has ended.
    #[error("the node is ending")]
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_takes_no_questions_is_busy() {
        let (node, _calls) = NodeHandle::new();
        for _ in 0..MAX_QUEUE {
            node.requests.try_send((Request::Status, oneshot::channel().0)).unwrap();
        }
        assert_eq!(node.call(Request::Status).await, Err(CallError::Busy));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_never_answers_is_busy() {
        let (node, _calls) = NodeHandle::new();
        assert_eq!(node.call(Request::Status).await, Err(CallError::Busy));
    }

    #[tokio::test]
    async fn a_loop_that_has_ended_is_gone() {
        let (node, calls) = NodeHandle::new();
        drop(calls);
        assert_eq!(node.call(Request::Status).await, Err(CallError::Gone));
    }
}
