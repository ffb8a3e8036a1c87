//! The bytes of the question whether somebody can be dialled, and of its answer; docs/protocol/routing.md.

use core::convert::Infallible;
use core::net::IpAddr;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use samizdat_core::record::RelayService;

use super::{Check, Checked};
use crate::codec::FrameError;

/// Type of the question, beside those of the routing.
const CHECK: u8 = 3;
/// Longest question or answer of this kind, bytes.
const LENGTH_MAX: usize = 64;

/// The question as received: it proves nothing, and needs not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckIn(Check);

/// The answer as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedIn(Checked);

type Written = Result<(), minicbor::encode::Error<Infallible>>;

impl CheckIn {
    /// To send.
    pub fn of(check: Check) -> Self {
        Self(check)
    }

    /// What is asked.
    pub fn check(self) -> Check {
        self.0
    }

    /// The one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing to a vector cannot fail.
        let _ = self.write(&mut e);
        e.into_writer()
    }

    /// Reads a question.
    ///
    /// # Errors
    /// If it is not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        canonical(bytes, Self::read, Self::encode)
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Written {
        e.array(3)?.u8(CHECK)?.u16(self.0.port)?;
        match self.0.relay {
            None => e.null()?.ok(),
            Some(relay) => e.array(3)?.u16(relay.port)?.u16(relay.discovery_port)?.bytes(&relay.certificate)?.ok(),
        }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FrameError> {
        head(d)?;
        let port = d.u16()?;
        if d.datatype()? == Type::Null {
            d.null()?;
            return Ok(Self(Check { port, relay: None }));
        }
        if d.array()? != Some(3) {
            return Err(FrameError::Malformed);
        }
        let (relay_port, discovery_port) = (d.u16()?, d.u16()?);
        let certificate = d.bytes()?.try_into().map_err(|_| FrameError::Malformed)?;
        Ok(Self(Check { port, relay: Some(RelayService { port: relay_port, discovery_port, certificate }) }))
    }
}

impl CheckedIn {
    /// To send.
    pub fn of(checked: Checked) -> Self {
        Self(checked)
    }

    /// What is answered.
    pub fn checked(self) -> Checked {
        self.0
    }

    /// The one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        // Writing to a vector cannot fail.
        let _ = self.write(&mut e);
        e.into_writer()
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// If it is not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        canonical(bytes, Self::read, Self::encode)
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Written {
        e.array(4)?.u8(CHECK)?;
        match self.0.ip {
            IpAddr::V4(ip) => e.bytes(&ip.octets())?,
            IpAddr::V6(ip) => e.bytes(&ip.octets())?,
        };
        e.bool(self.0.endpoint)?.bool(self.0.relay)?.ok()
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FrameError> {
        if d.array()? != Some(4) || d.u8()? != CHECK {
            return Err(FrameError::Malformed);
        }
        let ip = d.bytes()?;
        let ip = match (<[u8; 4]>::try_from(ip), <[u8; 16]>::try_from(ip)) {
            (Ok(v4), _) => IpAddr::from(v4),
            (_, Ok(v6)) => IpAddr::from(v6),
            _ => return Err(FrameError::Malformed),
        };
        Ok(Self(Checked { ip, endpoint: d.bool()?, relay: d.bool()? }))
    }
}

fn head(d: &mut Decoder<'_>) -> Result<(), FrameError> {
    if d.array()? == Some(3) && d.u8()? == CHECK { Ok(()) } else { Err(FrameError::Malformed) }
}

fn canonical<T>(
    bytes: &[u8],
    read: impl Fn(&mut Decoder<'_>) -> Result<T, FrameError>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Result<T, FrameError> {
    if bytes.len() > LENGTH_MAX {
        return Err(FrameError::TooLong);
    }
    let message = read(&mut Decoder::new(bytes))?;
    if encode(&message) == bytes { Ok(message) } else { Err(FrameError::NotCanonical) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn questions_and_answers_survive(port: u16, ports in proptest::option::of(any::<(u16, u16, [u8; 32])>()), ip: IpAddr, endpoint: bool, relay: bool) {
            let service = ports.map(|(port, discovery_port, certificate)| RelayService { port, discovery_port, certificate });
            let check = CheckIn::of(Check { port, relay: service });
            prop_assert_eq!(CheckIn::decode(&check.encode()), Ok(check));
            let checked = CheckedIn::of(Checked { ip, endpoint, relay });
            prop_assert_eq!(CheckedIn::decode(&checked.encode()), Ok(checked));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(check) = CheckIn::decode(&bytes) {
                prop_assert_eq!(check.encode(), bytes.clone());
            }
            if let Ok(checked) = CheckedIn::decode(&bytes) {
                prop_assert_eq!(checked.encode(), bytes);
            }
        }
    }
}
