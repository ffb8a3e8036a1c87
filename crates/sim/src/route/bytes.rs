//! How long messages are on the wire, without writing them.

use samizdat_core::NodeRecord;
use samizdat_sync::routing::{Answer, Question};

/// Length of [`samizdat_sync::routing::codec::QuestionIn::encode`].
pub(super) fn question_len(record: Option<&NodeRecord>, question: &Question) -> u64 {
    let asked = match question {
        Question::Find { .. } => 34,
        Question::Store { record } => record_len(record),
    };
    record.map_or(1, record_len).saturating_add(asked).saturating_add(2)
}

/// Length of [`samizdat_sync::routing::codec::AnswerIn::encode`].
pub(super) fn answer_len(answer: &Answer) -> u64 {
    match answer {
        Answer::Nodes { found, closer } => {
            let found = found.as_ref().map_or(1, |record| record_len(record));
            closer.iter().map(|record| record_len(record)).sum::<u64>().saturating_add(found).saturating_add(3)
        }
        Answer::Stored(_) => 3,
    }
}

/// A byte string of less than 256 bytes has a head of 2 bytes, a longer one of 3.
fn record_len(record: &NodeRecord) -> u64 {
    let length = record.bytes().len() as u64;
    length.saturating_add(if length < 256 { 2 } else { 3 })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use samizdat_core::{
        PeerSecret,
        record::{NodeFields, Roles, Via},
    };
    use samizdat_sync::routing::{
        Key,
        codec::{AnswerIn, QuestionIn},
    };

    use super::*;

    #[test]
    fn the_lengths_are_those_of_the_real_encodings() {
        let record = |relays: usize| {
            let via = vec![Via { at: "[2001:db8::9]:8443".parse().unwrap(), certificate: [1; 32] }; relays];
            let fields = NodeFields {
                issued: 1_800_000_000,
                lifetime_s: 7200,
                roles: Roles::default(),
                addrs: Vec::new(),
                relay: None,
                via,
            };
            Arc::new(NodeRecord::sign(&PeerSecret([1; 32]), fields).unwrap())
        };
        let (short, long) = (record(1), record(3));
        let find = Question::Find { target: Key::of(&short.peer()) };
        for (own, question) in
            [(None, find.clone()), (Some(&*long), find), (Some(&*short), Question::Store { record: long.clone() })]
        {
            assert_eq!(question_len(own, &question), QuestionIn::of(own, &question).encode().len() as u64);
        }
        let nodes = Answer::Nodes { found: Some(long.clone()), closer: vec![short.clone(), long, short] };
        for answer in [nodes, Answer::Nodes { found: None, closer: Vec::new() }, Answer::Stored(true)] {
            assert_eq!(answer_len(&answer), AnswerIn::of(&answer).encode().len() as u64);
        }
    }
}
