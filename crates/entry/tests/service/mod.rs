//! A dynamic DNS service that holds one host name of one customer, as its customers know it.
#![allow(dead_code)] // Each test uses a part.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// The host name that the service holds.
pub(crate) const HOST: &str = "home.example.org";
/// Its customer.
pub(crate) const USER: &str = "alice";
/// And the password.
pub(crate) const PASSWORD: &str = "right";
/// The two as HTTP has them: base64 of `alice:right`.
const LOGIN: &str = "Basic YWxpY2U6cmlnaHQ=";

/// What a service answers apart from `good` and `nochg`.
type Mood = Option<(u16, &'static str)>;

pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Serves whoever comes, until the process ends.
    pub(crate) fn start(listener: TcpListener) -> Self {
        let addr = listener.local_addr().unwrap();
        let service = Self { addr, mood: Arc::default(), requests: Arc::default() };
        let (mood, requests) = (Arc::clone(&service.mood), Arc::clone(&service.requests));
        thread::spawn(move || {
            let mut holds = String::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let request = read(&stream);
                let (status, text) = mood.lock().unwrap().map_or_else(|| serve(&request, &mut holds), |(s, t)| (s, t.to_owned()));
                requests.lock().unwrap().push(request);
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        service
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn feels(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// What it was asked, each with its head.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> String {
    let mut request = String::new();
    let mut reader = BufReader::new(stream);
    while !request.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut request).unwrap(), 0, "the request ended in its head");
    }
    request
}

/// The rules of the protocol.
fn serve(request: &str, holds: &mut String) -> (u16, String) {
    let head = |name: &str| {
        let mut heads = request.lines().filter_map(|line| line.split_once(": "));
        heads.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let Some(query) = request.strip_prefix("GET /nic/update?") else { return (404, String::new()) };
    if !head("user-agent").is_some_and(|agent| agent.starts_with("samizdat/")) {
        return (200, "badagent".to_owned());
    }
    if head("authorization") != Some(LOGIN) {
        return (200, "badauth".to_owned());
    }
    let query = query.split(' ').next().unwrap();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap_or_default();
    if value("hostname") != HOST {
        return (200, "nohost".to_owned());
    }
    let word = if holds == value("myip") { "nochg" } else { "good" };
    value("myip").clone_into(holds);
    (200, format!("{word} {holds}\n"))
}
