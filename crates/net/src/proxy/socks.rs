//! The client's part of SOCKS5 (RFC 1928) with user name and password (RFC 1929).

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::Login;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why the proxy carries nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocksError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("this is no SOCKS5 proxy")]
    Protocol,
    #[error("the proxy wants another login")]
    Login,
    #[error("the proxy cannot reach this address (reply {0})")]
    Unreachable(u8),
}

/// Asks the proxy at the other end of `stream` for a connection to `to`. `must_login` does without a proxy that wants no login.
pub(super) async fn ask<S>(stream: &mut S, login: &Login, must_login: bool, to: SocketAddr) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let methods: &[u8] = if must_login { &[VERSION, 1, USER_AND_PASSWORD] } else { &[VERSION, 2, NO_LOGIN, USER_AND_PASSWORD] };
    stream.write_all(methods).await?;
    match read(stream).await? {
        [VERSION, NO_LOGIN] if !must_login => {}
        [VERSION, USER_AND_PASSWORD] => log_in(stream, login).await?,
        [VERSION, _] => return Err(SocksError::Login),
        _ => return Err(SocksError::Protocol),
    }
    stream.write_all(&request(to)).await?;
    let [version, reply, _, kind] = read(stream).await?;
    if version != VERSION {
        return Err(SocksError::Protocol);
    }
    if reply != 0 {
        return Err(SocksError::Unreachable(reply));
    }
    // Where it is bound, which nobody needs.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read::<1, _>(stream).await?[0]),
        _ => return Err(SocksError::Protocol),
    };
    let mut bound = vec![0; length.saturating_add(2)];
    stream.read_exact(&mut bound).await?;
    Ok(())
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, login: &Login) -> Result<(), SocksError> {
    let mut message = Zeroizing::new(vec![LOGIN_VERSION]);
    for part in [&login.user, &login.password] {
        message.push(u8::try_from(part.len()).map_err(|_| SocksError::Login)?);
        message.extend_from_slice(part.as_bytes());
    }
    stream.write_all(&message).await?;
    // Some say another version here.
    let [_, status] = read(stream).await?;
    if status == 0 { Ok(()) } else { Err(SocksError::Login) }
}

fn request(to: SocketAddr) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match to.ip().to_canonical() {
        IpAddr::V4(ip) => {
            request.push(IPV4);
            request.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            request.push(IPV6);
            request.extend_from_slice(&ip.octets());
        }
    }
    request.extend_from_slice(&to.port().to_be_bytes());
    request
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn login() -> Login {
        Login { user: Zeroizing::new("alice".into()), password: Zeroizing::new("secret".into()) }
    }

    /// What comes of it when the proxy says `says`, and what it hears.
    async fn with(says: &[u8], must_login: bool, to: &str) -> (Result<(), SocksError>, Vec<u8>) {
        let (mut here, mut there) = tokio::io::duplex(4096);
        there.write_all(says).await.unwrap();
        // So that whoever waits for more finds the end.
        there.shutdown().await.unwrap();
        let result = ask(&mut here, &login(), must_login, to.parse().unwrap()).await;
        drop(here);
        let mut heard = Vec::new();
        there.read_to_end(&mut heard).await.unwrap();
        (result, heard)
    }

    #[tokio::test]
    async fn a_proxy_without_login_is_told_the_address_and_nothing_else() {
        let (result, heard) = with(&[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0], false, "203.0.113.7:443").await;
        result.unwrap();
        assert_eq!(heard, [5, 2, 0, 2, 5, 1, 0, 1, 203, 0, 113, 7, 0x01, 0xbb]);
    }

    #[tokio::test]
    async fn a_login_is_said_before_the_address() {
        let (result, heard) = with(&[5, 2, 1, 0, 5, 0, 0, 3, 2, b'h', b'i', 0, 0], true, "[2001:db8::7]:443").await;
        result.unwrap();
        let mut expected = vec![5, 1, 2, 1, 5];
        expected.extend_from_slice(b"alice\x06secret");
        expected.extend_from_slice(&[5, 1, 0, 4, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x01, 0xbb]);
        assert_eq!(heard, expected);
    }

    #[tokio::test]
    async fn what_a_proxy_refuses_is_told_and_the_address_only_to_whom_it_concerns() {
        let (result, heard) = with(&[5, 0], true, "203.0.113.7:443").await;
        assert!(matches!(result, Err(SocksError::Login)), "another would read the login as somebody else's");
        assert_eq!(heard.len(), 3);
        let (result, heard) = with(&[5, 2, 1, 1], false, "203.0.113.7:443").await;
        assert!(matches!(result, Err(SocksError::Login)));
        assert!(!heard.windows(4).any(|window| window == [203, 0, 113, 7]));
        assert!(matches!(with(&[5, 0xff], false, "203.0.113.7:443").await.0, Err(SocksError::Login)));
        assert!(matches!(with(b"HTTP/1.1 400", false, "203.0.113.7:443").await.0, Err(SocksError::Protocol)));
        let (result, _) = with(&[5, 0, 5, 4, 0, 1, 0, 0, 0, 0, 0, 0], false, "203.0.113.7:443").await;
        assert!(matches!(result, Err(SocksError::Unreachable(4))));
        assert!(matches!(with(&[5, 0, 5, 0, 0, 1, 0], false, "203.0.113.7:443").await.0, Err(SocksError::Io(_))));
    }

    proptest! {
        /// Whatever the proxy says, it ends.
        #[test]
        fn any_answer_is_read_or_refused(says in proptest::collection::vec(any::<u8>(), 0..300), must_login: bool) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (result, _) = runtime.block_on(with(&says, must_login, "203.0.113.7:443"));
            if result.is_ok() {
                prop_assert_eq!(says[0], VERSION);
            }
        }
    }
}
