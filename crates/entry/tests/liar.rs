//! A name server that is none, or somebody in between.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

use std::net::SocketAddr;

use data_encoding::BASE64;
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{Name, RData, Record, rdata::SOA},
};
use samizdat_core::Now;
use samizdat_entry::{Domain, PublishError, Publisher, Rfc2136, Swap, TsigKey};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers each question with whatever `lie` makes of it, and hangs up.
async fn liar(lie: impl Fn(Message) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(&lie(Message::from_vec(&question).unwrap())).await.unwrap();
        }
    });
    addr
}

fn publisher(server: SocketAddr) -> Rfc2136 {
    let key = TsigKey::new("node-key", &BASE64.encode(&[7; 32])).unwrap();
    Rfc2136::new(server, Domain::new("entry.samizdat.test").unwrap(), key)
}

async fn swapped(publisher: &Rfc2136) -> PublishError {
    let swap = Swap { seen: Vec::new(), remove: Vec::new(), add: None };
    publisher.swap(&swap, Now { mono_ms: 0, unix_ms: 1_800_000_000_000 }).await.unwrap_err()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A plausible answer with a zone in it, and without a signature.
fn unsigned(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::new(question.id, MessageType::Response, question.op_code);
    answer.metadata.authoritative = true;
    if question.op_code == OpCode::Update {
        answer.metadata.response_code = code;
    }
    let zone = Name::from_ascii("samizdat.test.").unwrap();
    answer.add_authority(Record::from_rdata(zone.clone(), 60, RData::SOA(SOA::new(zone.clone(), zone, 1, 60, 60, 60, 60))));
    answer
}

#[tokio::test]
async fn mallory_in_between_cannot_say_that_an_update_was_made_or_lost() {
    for code in [ResponseCode::NoError, ResponseCode::NXRRSet, ResponseCode::YXRRSet] {
        let mallory = liar(move |question| framed(&unsigned(&question, code).to_vec().unwrap())).await;
        assert_eq!(swapped(&publisher(mallory)).await, PublishError::Forged, "{code}");
    }
    // She can only be in the way.
    let mallory = liar(|question| framed(&unsigned(&question, ResponseCode::ServFail).to_vec().unwrap())).await;
    assert_eq!(swapped(&publisher(mallory)).await, PublishError::Code(2));
}

#[tokio::test]
async fn an_answer_that_is_none_is_told() {
    let other_id = |question: Message| {
        let mut answer = unsigned(&question, ResponseCode::NoError);
        answer.metadata.id = question.id.wrapping_add(1);
        framed(&answer.to_vec().unwrap())
    };
    let echo = |question: Message| framed(&question.to_vec().unwrap());
    for mallory in [liar(other_id).await, liar(echo).await, liar(|_| framed(b"HTTP/1.1 400 Bad Request")).await] {
        assert_eq!(publisher(mallory).look().await, Err(PublishError::Malformed));
        assert_eq!(swapped(&publisher(mallory)).await, PublishError::Malformed);
    }
    for mallory in [liar(|_| vec![]).await, liar(|_| vec![255, 255, 0]).await] {
        assert_eq!(publisher(mallory).look().await, Err(PublishError::Unanswered));
    }
    let recursive = |question: Message| {
        let mut answer = unsigned(&question, ResponseCode::NoError);
        answer.metadata.authoritative = false;
        framed(&answer.to_vec().unwrap())
    };
    assert_eq!(publisher(liar(recursive).await).look().await, Err(PublishError::NotOurs), "another server decides");
}
