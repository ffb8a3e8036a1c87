//! A little SOCKS5 proxy on a loopback socket, which remembers what was asked of it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy, and what was asked of it: with which login, for which address.
pub struct Proxy {
    pub at: SocketAddr,
    asked: Arc<Mutex<Vec<(String, SocketAddr)>>>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let heard = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, heard.clone()));
            }
        });
        Self { at, asked }
    }

    pub fn asked(&self) -> Vec<(String, SocketAddr)> {
        self.asked.lock().unwrap().clone()
    }
}

/// As Tor does, it takes a login where one is offered.
async fn carry(mut near: TcpStream, heard: Arc<Mutex<Vec<(String, SocketAddr)>>>) -> Option<()> {
    let count = usize::from(read::<2>(&mut near).await?[1]);
    let mut methods = vec![0; count];
    near.read_exact(&mut methods).await.ok()?;
    assert!(methods.contains(&2), "a login is always offered");
    near.write_all(&[5, 2]).await.ok()?;
    let mut login = String::new();
    for part in 0..2 {
        let length = if part == 0 { read::<2>(&mut near).await?[1] } else { read::<1>(&mut near).await?[0] };
        let mut text = vec![0; length.into()];
        near.read_exact(&mut text).await.ok()?;
        login += &format!("{}:", String::from_utf8(text).unwrap());
    }
    near.write_all(&[1, 0]).await.ok()?;
    let [5, 1, 0, 1] = read(&mut near).await? else { panic!("a connection to an IPv4 address was expected") };
    let ip: IpAddr = read::<4>(&mut near).await?.into();
    let to = SocketAddr::new(ip, u16::from_be_bytes(read(&mut near).await?));
    heard.lock().unwrap().push((login, to));
    let mut far = TcpStream::connect(to).await.ok()?;
    near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    copy_bidirectional(&mut near, &mut far).await.ok().map(|_| ())
}

async fn read<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}
