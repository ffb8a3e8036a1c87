//! DNS UPDATE, signed by TSIG. Messages go over a TCP connection of our own: a set of entries is larger than a datagram, and
//! the answer of a server that does not accept a key must be told apart from others.

use core::net::SocketAddr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode, UpdateMessage},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{TXT, tsig::TsigError},
    },
};
use samizdat_core::Now;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Answer, PublishError, Publisher, Swap, Swapped};
use crate::{
    domain::Domain,
    key::TsigKey,
    limits::{ENTRY_TTL_S, UPDATE_TIMEOUT},
    text::Txt,
};

/// A domain on a name server that takes signed updates.
#[derive(Clone, Debug)]
pub struct Rfc2136 {
    server: SocketAddr,
    domain: Domain,
    key: TsigKey,
}

impl Rfc2136 {
    /// `server` must be the primary one of the zone.
    pub fn new(server: SocketAddr, domain: Domain, key: TsigKey) -> Self {
        Self { server, domain, key }
    }

    async fn look_now(&self) -> Result<Vec<Txt>, PublishError> {
        let answer = self.ask(RecordType::TXT).await?;
        let ours = answer.answers.iter().filter(|record| record.name == *self.domain.entries());
        Ok(ours.filter_map(Txt::from_dns).collect())
    }

    async fn swap_now(&self, swap: &Swap, now: Now) -> Result<Swapped, PublishError> {
        let zone = self.zone().await?;
        let signer = self.key.signer().ok_or(PublishError::Key)?;
        let mut update = update(self.domain.entries(), zone, swap);
        let verifier = update.finalize(&signer, now.unix_ms / 1000).map_err(|_| PublishError::Malformed)?;
        let (answer, bytes) = self.exchange(&update).await?;
        match answer.signature.as_ref().and_then(|tsig| tsig.data.error) {
            Some(TsigError::BadSig | TsigError::BadKey) => return Err(PublishError::Key),
            Some(TsigError::BadTime) => return Err(PublishError::Clock),
            _ => {}
        }
        let genuine = verifier.is_some_and(|mut verifier| verifier.verify(&bytes).is_ok());
        match (answer.response_code, genuine) {
            (ResponseCode::NoError, true) => Ok(Swapped::Done),
            (ResponseCode::NXRRSet | ResponseCode::YXRRSet, true) => Ok(Swapped::Raced),
            (ResponseCode::NoError | ResponseCode::NXRRSet | ResponseCode::YXRRSet, false) => Err(PublishError::Forged),
            // Who says no need not prove who it is.
            (code, _) => Err(refusal(code)),
        }
    }

    /// The zone that the entries are in: whoever keeps it says so beside any answer.
    async fn zone(&self) -> Result<Name, PublishError> {
        let answer = self.ask(RecordType::SOA).await?;
        let soa = |record: &&Record| record.record_type() == RecordType::SOA && record.name.zone_of(self.domain.entries());
        answer.answers.iter().chain(&answer.authorities).find(soa).map(|record| record.name.clone()).ok_or(PublishError::NotOurs)
    }

    async fn ask(&self, kind: RecordType) -> Result<Message, PublishError> {
        let mut question = Message::query();
        question.add_query(Query::query(self.domain.entries().clone(), kind));
        let (answer, _) = self.exchange(&question).await?;
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain if answer.authoritative => Ok(answer),
            ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::Refused => Err(PublishError::NotOurs),
            code => Err(refusal(code)),
        }
    }

    async fn exchange(&self, question: &Message) -> Result<(Message, Vec<u8>), PublishError> {
        let bytes = question.to_vec().map_err(|_| PublishError::Malformed)?;
        let length = u16::try_from(bytes.len()).map_err(|_| PublishError::Malformed)?;
        let talk = async {
            let mut stream = TcpStream::connect(self.server).await?;
            stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await?;
            let mut answer = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let bytes = timeout(UPDATE_TIMEOUT, talk)
            .await
            .map_or(Err(PublishError::Unanswered), |talk| talk.map_err(|_| PublishError::Unanswered))?;
        let answer = Message::from_vec(&bytes).map_err(|_| PublishError::Malformed)?;
        let fits = answer.id == question.id && answer.op_code == question.op_code && answer.message_type == MessageType::Response;
        if fits { Ok((answer, bytes)) } else { Err(PublishError::Malformed) }
    }
}

impl Publisher for Rfc2136 {
    fn look(&self) -> Answer<'_, Vec<Txt>> {
        Box::pin(self.look_now())
    }

    fn swap<'a>(&'a self, swap: &'a Swap, now: Now) -> Answer<'a, Swapped> {
        Box::pin(self.swap_now(swap, now))
    }
}

fn refusal(code: ResponseCode) -> PublishError {
    match code {
        ResponseCode::Refused => PublishError::Refused,
        ResponseCode::NotAuth | ResponseCode::NotZone => PublishError::NotOurs,
        code => PublishError::Code(code.into()),
    }
}

/// RFC 2136: everything that was seen must still be there and nothing else, what goes is deleted one by one.
fn update(name: &Name, zone: Name, swap: &Swap) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_zone(Query::query(zone, RecordType::SOA));
    if swap.seen.is_empty() {
        let mut absent = Record::update0(name.clone(), 0, RecordType::TXT);
        absent.dns_class = DNSClass::NONE;
        message.add_pre_requisite(absent);
    }
    message.add_pre_requisites(swap.seen.iter().map(|txt| to_dns(name, txt, 0)));
    for txt in &swap.remove {
        let mut gone = to_dns(name, txt, 0);
        gone.dns_class = DNSClass::NONE;
        message.add_update(gone);
    }
    if let Some(record) = &swap.add {
        message.add_update(to_dns(name, &Txt::of(record), ENTRY_TTL_S));
    }
    message
}

fn to_dns(name: &Name, txt: &Txt, ttl: u32) -> Record {
    Record::from_rdata(name.clone(), ttl, RData::TXT(TXT::from_bytes(txt.strings().collect())))
}
