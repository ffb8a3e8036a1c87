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
    rr::{
        Name, RData, Record,
        rdata::{A, SOA},
    },
};
use samizdat_core::Now;
use samizdat_entry::{
    Domain, PublishError, Publisher, Rfc2136, Swap, TsigKey,
    lookup::{LookupError, NameServers, lookup},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
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

/// Somebody who sees no question can guess when one is asked, and about what: not its number, nor the port it comes from.
#[tokio::test]
async fn who_answers_with_another_number_or_about_another_name_names_no_address() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mallory = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let question = Message::from_vec(&bytes[..length]).unwrap();
            let asked = question.queries[0].clone();
            let other = Name::from_ascii("bank.test.").unwrap();
            for (id, name) in [(question.id.wrapping_add(1), asked.name().clone()), (question.id, other)] {
                let mut query = asked.clone();
                query.set_name(name.clone());
                let mut answer = Message::new(id, MessageType::Response, OpCode::Query);
                answer.add_query(query);
                answer.add_answer(Record::from_rdata(name, 60, RData::A(A::new(203, 0, 113, 66))));
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        }
    });
    let now = Now { mono_ms: 0, unix_ms: 1_800_000_000_000 };
    let found = lookup("entry.samizdat.test", &NameServers::Given(vec![mallory]), now).await;
    assert_eq!(found, Err(LookupError::Unanswered));
}
