//! A typed, blocking client of the node that runs in a given home.

use std::{
    fs,
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tungstenite::{Message as Frame, WebSocket, protocol::WebSocketConfig};
use ureq::{
    Agent, SendBody,
    http::{Method, Request as HttpRequest, StatusCode},
};

use crate::{
    call::{
        Answer, ApiError, ContactEdit, ContactList, ConversationList, Done, ErrorBody, ExportQuery, FindingList, IdentityList,
        MessageList, MessageQuery, NewContact, NewIdentity, NewMessage, NewMining, NewRoom, NodeEdit, NodeList, ReadMark,
        RequestList, RoomList, UiLink, WaitQuery,
    },
    cluster::{
        Cluster, ClusterEdit, ClusterInvite, ClusterList, ClusterView, DecisionList, Departure, JoinRequest, JoinRequestList,
        Motion, MotionList, NewClaim, NewCluster, NewClusterInvite, NewMembership, NewSplit, NewVote, Proposal, Receipt,
        ReceiptList,
    },
    event::Event,
    limits::{CLIENT_PATIENCE, CONNECT_PATIENCE, DEFAULT_WAIT_S, MAX_ANSWER, MAX_EVENT, SECOND_LOOK},
    meeting::{EntryDomain, EntryDomainList, Meeting, NewEntryDomain, NewOwnEntry},
    shape::{
        Contact, ContactRequest, Conversation, Finding, Identity, Imported, Invite, LogCheck, LogStats, Message, Mining, NetFound,
        NodeRow, Room, Status,
    },
};

/// The file in a node's home that says where its API is. It exists while the node runs; mode 0600.
pub const ENDPOINT_FILE: &str = "api.json";

/// Content of [`ENDPOINT_FILE`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub api: String,
    /// What the API wants to see in `Authorization: Bearer`.
    pub token: String,
    /// Process id of the node.
    pub pid: u32,
}

impl Endpoint {
    /// Reads the endpoint of the node that runs in `home`.
    pub fn read(home: &Path) -> Result<Self, ConnectError> {
        let path = home.join(ENDPOINT_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(ConnectError::NoNode(home.to_owned())),
            Err(e) => return Err(ConnectError::Unreadable(path, e)),
        };
        serde_json::from_str(&text).map_err(|e| ConnectError::Unreadable(path, e.into()))
    }

    /// Whether the process that published this still runs, as far as one can know.
    pub fn is_alive(&self) -> bool {
        let proc = Path::new("/proc");
        !proc.join("self").exists() || proc.join(self.pid.to_string()).exists()
    }
}

/// Why there is no node to talk to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// None runs there, or the one that did was killed.
    #[error("no node is running in {}", .0.display())]
    NoNode(PathBuf),
    /// The endpoint file cannot be used.
    #[error("cannot read {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The node answered with an error.
    #[error("{0}")]
    Api(ApiError),
    /// The connection broke, and the node is still there.
    #[error("the connection to the node broke ({0})")]
    Broken(String),
    /// The node ended, or was killed, before it answered.
    #[error("the node has ended")]
    Ended,
    /// The node did not answer in time.
    #[error("the node did not answer in time")]
    Timeout,
    /// The answer is not what this version of the contract says.
    #[error("the node's answer was not understood ({0}); is it of another version?")]
    Malformed(String),
    /// A file of the caller's could not be read or written.
    #[error("{0}")]
    File(io::Error),
}

type Result<T, E = CallError> = core::result::Result<T, E>;

/// A connection to a running node.
pub struct Client {
    agent: Agent,
    endpoint: Endpoint,
    address: SocketAddr,
}

impl Client {
    /// Finds the node that runs in `home`.
    pub fn connect(home: &Path) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::read(home)?;
        let gone = || ConnectError::NoNode(home.to_owned());
        let address: SocketAddr =
            endpoint.api.strip_prefix("http://").and_then(|authority| authority.parse().ok()).ok_or_else(gone)?;
        // A dead node's port may belong to another program by now, which must not be shown the token.
        if is_gone(&endpoint, &address) {
            return Err(gone());
        }
        // Neither a proxy nor a redirect may carry the token elsewhere.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_PATIENCE))
            .build()
            .new_agent();
        Ok(Self { agent, endpoint, address })
    }

    /// How the node is.
    pub fn status(&self) -> Result<Status> {
        self.get("status")
    }

    /// My identities.
    pub fn identities(&self) -> Result<Vec<Identity>> {
        self.get("identities").map(|list: IdentityList| list.identities)
    }

    /// Makes an identity.
    pub fn new_identity(&self, body: &NewIdentity) -> Result<Identity> {
        self.post("identities", body)
    }

    /// Begins to search for a name.
    pub fn mine(&self, body: &NewMining) -> Result<Mining> {
        self.post("mine", body)
    }

    /// Ends the search for a name.
    pub fn cancel_mine(&self) -> Result<Done> {
        self.json(Method::DELETE, "mine", SendBody::none(), CLIENT_PATIENCE)
    }

    /// Makes an invite link.
    pub fn new_invite(&self) -> Result<Invite> {
        self.post("invites", &Done {})
    }

    /// Whom I know.
    pub fn contacts(&self) -> Result<Vec<Contact>> {
        self.get("contacts").map(|list: ContactList| list.contacts)
    }

    /// Adds somebody.
    pub fn add_contact(&self, body: &NewContact) -> Result<Contact> {
        self.post("contacts", body)
    }

    /// Changes what I say about somebody.
    pub fn edit_contact(&self, who: &str, body: &ContactEdit) -> Result<Contact> {
        let path = format!("contacts/{}", percent(who));
        self.json(Method::PATCH, &path, SendBody::from_json(body).map_err(broken)?, CLIENT_PATIENCE)
    }

    /// Who wants to reach me.
    pub fn requests(&self) -> Result<Vec<ContactRequest>> {
        self.get("requests").map(|list: RequestList| list.requests)
    }

    /// Answers a contact request, given by its id or by who asks.
    pub fn answer_request(&self, id: &str, answer: Answer) -> Result<ContactRequest> {
        let verb = match answer {
            Answer::Accept => "accept",
            Answer::Decline => "decline",
            Answer::Block => "block",
        };
        self.post(&format!("requests/{}/{verb}", percent(id)), &Done {})
    }

    /// My conversations, newest first.
    pub fn conversations(&self) -> Result<Vec<Conversation>> {
        self.get("conversations").map(|list: ConversationList| list.conversations)
    }

    /// Messages, oldest first.
    pub fn messages(&self, query: &MessageQuery) -> Result<Vec<Message>> {
        let limit = query.limit.map(|n| n.to_string());
        let path = with_query(
            "messages",
            &[
                ("who", query.who.as_deref()),
                ("room", query.room.as_deref()),
                ("cluster", query.cluster.as_deref()),
                ("since", query.since.as_deref()),
                ("before", query.before.as_deref()),
                ("limit", limit.as_deref()),
            ],
        );
        self.get(&path).map(|list: MessageList| list.messages)
    }

    /// One message; with `wait` only when it has come that far, never will, or the time is over.
    pub fn message(&self, id: &str, wait: &WaitQuery) -> Result<Message> {
        let timeout = wait.timeout_s.map(|s| s.to_string());
        let path = with_query(
            &format!("messages/{}", percent(id)),
            &[("wait", wait.wait.map(|goal| goal.state().as_str())), ("timeout_s", timeout.as_deref())],
        );
        self.json(Method::GET, &path, SendBody::none(), patience(wait.wait.is_some(), wait.timeout_s))
    }

    /// Writes a message.
    pub fn send(&self, body: &NewMessage) -> Result<Message> {
        let patience = patience(body.wait.is_some(), body.timeout_s);
        self.json(Method::POST, "messages", SendBody::from_json(body).map_err(broken)?, patience)
    }

    /// Takes a message back that is not stamped yet.
    pub fn cancel_message(&self, id: &str) -> Result<Message> {
        self.post(&format!("messages/{}/cancel", percent(id)), &Done {})
    }

    /// Marks a conversation as read, up to a message of it or whole.
    pub fn mark_read(&self, conversation: &str, up_to: Option<&str>) -> Result<Done> {
        self.post("read", &ReadMark { conversation: conversation.to_owned(), up_to: up_to.map(str::to_owned) })
    }

    /// Rooms that I have joined or heard of.
    pub fn rooms(&self) -> Result<Vec<Room>> {
        self.get("rooms").map(|list: RoomList| list.rooms)
    }

    /// Joins a room.
    pub fn join_room(&self, room: &str) -> Result<Room> {
        self.post("rooms", &NewRoom { room: room.to_owned() })
    }

    /// My memberships in clusters.
    pub fn clusters(&self) -> Result<Vec<Cluster>> {
        self.get("clusters").map(|list: ClusterList| list.clusters)
    }

    /// One of them, with members and motions.
    pub fn cluster(&self, which: &str) -> Result<ClusterView> {
        self.get(&of_cluster(which, ""))
    }

    /// Founds a cluster.
    pub fn found_cluster(&self, body: &NewCluster) -> Result<ClusterView> {
        self.post("clusters", body)
    }

    /// Asks to be let into a cluster.
    pub fn join_cluster(&self, body: &NewMembership) -> Result<ClusterView> {
        self.post("join", body)
    }

    /// Tells the members of a cluster who I am.
    ///
    /// # Errors
    /// As of all calls.
    pub fn claim_in_cluster(&self, which: &str, claim: &NewClaim) -> Result<ClusterView> {
        self.post(&of_cluster(which, "/claim"), claim)
    }

    /// Changes how I am in a cluster.
    pub fn edit_cluster(&self, which: &str, body: &ClusterEdit) -> Result<ClusterView> {
        self.json(Method::PATCH, &of_cluster(which, ""), SendBody::from_json(body).map_err(broken)?, CLIENT_PATIENCE)
    }

    /// Leaves a cluster.
    pub fn leave_cluster(&self, which: &str) -> Result<ClusterView> {
        self.post(&of_cluster(which, "/leave"), &Done {})
    }

    /// Founds a cluster like another, and asks members of that one to come along.
    pub fn split_cluster(&self, which: &str, body: &NewSplit) -> Result<Departure> {
        self.post(&of_cluster(which, "/split"), body)
    }

    /// Makes a link to a cluster.
    pub fn invite_to_cluster(&self, which: &str, body: &NewClusterInvite) -> Result<ClusterInvite> {
        self.post(&of_cluster(which, "/invites"), body)
    }

    /// Who asks to be let into a cluster.
    pub fn cluster_requests(&self, which: &str) -> Result<Vec<JoinRequest>> {
        self.get(&of_cluster(which, "/requests")).map(|list: JoinRequestList| list.requests)
    }

    /// Which members of its cluster have a message of mine.
    pub fn receipts(&self, message: &str) -> Result<Vec<Receipt>> {
        self.get(&format!("messages/{}/receipts", percent(message))).map(|list: ReceiptList| list.receipts)
    }

    /// What was decided in a cluster, each step verified.
    pub fn audit_cluster(&self, which: &str) -> Result<DecisionList> {
        self.json(Method::GET, &of_cluster(which, "/audit"), SendBody::none(), None)
    }

    /// Motions of a cluster, the oldest first.
    pub fn motions(&self, which: &str) -> Result<Vec<Motion>> {
        self.get(&of_cluster(which, "/motions")).map(|list: MotionList| list.motions)
    }

    /// One motion, by the beginning of its id.
    pub fn motion(&self, which: &str, motion: &str) -> Result<Motion> {
        self.get(&of_cluster(which, &format!("/motions/{}", percent(motion))))
    }

    /// Opens a motion.
    pub fn open_motion(&self, which: &str, body: &Proposal) -> Result<Motion> {
        self.post(&of_cluster(which, "/motions"), body)
    }

    /// Votes on a motion, given by the beginning of its id.
    pub fn vote(&self, motion: &str, vote: &str) -> Result<Motion> {
        self.post(&format!("motions/{}/vote", percent(motion)), &NewVote { vote: vote.to_owned() })
    }

    /// How the node meets others.
    pub fn meeting(&self) -> Result<Meeting> {
        self.get("node")
    }

    /// Has the node keep an entry in a domain.
    pub fn set_own_entry(&self, body: &NewOwnEntry) -> Result<Meeting> {
        self.post("node/entry", body)
    }

    /// Has it take that away.
    pub fn remove_own_entry(&self) -> Result<Meeting> {
        self.json(Method::DELETE, "node/entry", SendBody::none(), CLIENT_PATIENCE)
    }

    /// Domains in whose DNS the node looks for others.
    pub fn entries(&self) -> Result<Vec<EntryDomain>> {
        self.get("entries").map(|list: EntryDomainList| list.entries)
    }

    /// Adds one.
    pub fn add_entry(&self, domain: &str) -> Result<EntryDomain> {
        self.post("entries", &NewEntryDomain { domain: domain.to_owned() })
    }

    /// Removes one.
    pub fn remove_entry(&self, domain: &str) -> Result<Done> {
        self.json(Method::DELETE, &format!("entries/{}", percent(domain)), SendBody::none(), CLIENT_PATIENCE)
    }

    /// What the log holds.
    pub fn log_stats(&self) -> Result<LogStats> {
        self.get("log/stats")
    }

    /// Checks every envelope of the log again.
    pub fn log_verify(&self) -> Result<LogCheck> {
        self.json(Method::POST, "log/verify", SendBody::none(), None)
    }

    /// Writes the log slice to `out`; returns its size, bytes.
    pub fn log_export(&self, of: &ExportQuery, out: &mut impl io::Write) -> Result<u64> {
        let path = with_query("log/export", &[("who", of.who.as_deref()), ("room", of.room.as_deref())]);
        let body = self.exchange(Method::GET, &path, SendBody::none(), None)?;
        io::copy(&mut body.into_reader(), out).map_err(CallError::File)
    }

    /// Takes in the log slice that `slice` holds.
    pub fn log_import(&self, slice: &mut dyn Read) -> Result<Imported> {
        self.json(Method::POST, "log/import", SendBody::from_reader(slice), None)
    }

    /// Changes what this node does for others, and what it uses of them.
    pub fn edit_node(&self, body: &NodeEdit) -> Result<Status> {
        self.json(Method::PATCH, "node", SendBody::from_json(body).map_err(broken)?, CLIENT_PATIENCE)
    }

    /// The nodes that the routing knows.
    pub fn net_table(&self) -> Result<Vec<NodeRow>> {
        self.get("net/table").map(|list: NodeList| list.nodes)
    }

    /// Looks for a node by its transport key.
    pub fn net_lookup(&self, peer: &str) -> Result<NetFound> {
        self.json(Method::GET, &format!("net/nodes/{}", percent(peer)), SendBody::none(), None)
    }

    /// What works from here, and what would improve it.
    pub fn net_doctor(&self) -> Result<Vec<Finding>> {
        self.get("net/doctor").map(|list: FindingList| list.findings)
    }

    /// The link to the web UI that a person can open as often as they like, for their eyes only.
    pub fn ui_link(&self) -> String {
        format!("{}/#token={}", self.endpoint.api, self.endpoint.token)
    }

    /// Name of a page in the node's home that opens the web UI once, so that neither the token nor a link need appear in
    /// a list of processes.
    pub fn ui_page(&self) -> Result<String> {
        self.post("link", &Done {}).map(|answer: UiLink| answer.page)
    }

    /// Ends the node.
    pub fn shutdown(&self) -> Result<Done> {
        self.post("shutdown", &Done {})
    }

    /// Opens the event stream. What happens after this returns is in it.
    pub fn events(&self) -> Result<Events> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_PATIENCE).map_err(broken)?;
        let config = WebSocketConfig::default().max_message_size(Some(MAX_EVENT)).max_frame_size(Some(MAX_EVENT));
        let url = format!("ws://{}/api/v1/events", self.address);
        let (socket, _) = tungstenite::client::client_with_config(url, stream, Some(config)).map_err(broken)?;
        let mut events = Events { socket };
        let token = serde_json::json!({ "token": self.endpoint.token }).to_string();
        events.socket.send(Frame::text(token)).map_err(broken)?;
        match events.next()? {
            Event::Ready => Ok(events),
            other => Err(CallError::Malformed(format!("{other:?} before `ready`"))),
        }
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(Method::GET, path, SendBody::none(), CLIENT_PATIENCE)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.json(Method::POST, path, SendBody::from_json(body).map_err(broken)?, CLIENT_PATIENCE)
    }

    fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: SendBody<'_>,
        patience: impl Into<Option<Duration>>,
    ) -> Result<T> {
        let answer = self.exchange(method, path, body, patience.into())?;
        let bytes = answer.into_with_config().limit(MAX_ANSWER).read_to_vec().map_err(|e| self.call_error(e))?;
        serde_json::from_slice(&bytes).map_err(|e| CallError::Malformed(e.to_string()))
    }

    fn exchange(&self, method: Method, path: &str, body: SendBody<'_>, patience: Option<Duration>) -> Result<ureq::Body> {
        let request = HttpRequest::builder()
            .method(method)
            .uri(format!("{}/api/v1/{path}", self.endpoint.api))
            .header("Authorization", format!("Bearer {}", self.endpoint.token))
            .header("Content-Type", "application/json")
            .body(body)
            .map_err(broken)?;
        let request = self.agent.configure_request(request).timeout_global(patience).build();
        let response = self.agent.run(request).map_err(|e| self.call_error(e))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let status = response.status();
        let text = response.into_body().into_with_config().limit(MAX_ANSWER).lossy_utf8(true).read_to_string();
        let text = text.map_err(|e| self.call_error(e))?;
        // A node says this when it has too much to do, too.
        if status == StatusCode::SERVICE_UNAVAILABLE && self.has_ended() {
            return Err(CallError::Ended);
        }
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => Err(CallError::Api(body.error)),
            Err(_) => Err(CallError::Malformed(format!("status {status}"))),
        }
    }
}

impl Client {
    fn call_error(&self, error: ureq::Error) -> CallError {
        match error {
            ureq::Error::Timeout(_) => CallError::Timeout,
            _ if self.has_ended() => CallError::Ended,
            other => broken(other),
        }
    }

    /// Whether the node that just failed us is no more. It closes its connections and its port one after the other, so
    /// this looks twice.
    fn has_ended(&self) -> bool {
        is_gone(&self.endpoint, &self.address) || {
            thread::sleep(SECOND_LOOK);
            is_gone(&self.endpoint, &self.address)
        }
    }
}

fn is_gone(endpoint: &Endpoint, address: &SocketAddr) -> bool {
    !endpoint.is_alive() || TcpStream::connect_timeout(address, CONNECT_PATIENCE).is_err()
}

/// The event stream of a node.
pub struct Events {
    socket: WebSocket<TcpStream>,
}

impl Events {
    /// Waits for the next event; events that this version does not know are passed over.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Event> {
        loop {
            match self.socket.read().map_err(broken)? {
                Frame::Text(text) => {
                    if let Ok(event) = serde_json::from_str(&text) {
                        return Ok(event);
                    }
                }
                Frame::Close(_) => return Err(CallError::Broken("the node closed the event stream".into())),
                _ => {}
            }
        }
    }
}

fn patience(waits: bool, timeout_s: Option<u64>) -> Duration {
    let wait = if waits { timeout_s.unwrap_or(DEFAULT_WAIT_S) } else { 0 };
    CLIENT_PATIENCE.saturating_add(Duration::from_secs(wait))
}

fn broken(error: impl core::fmt::Display) -> CallError {
    CallError::Broken(error.to_string())
}

fn with_query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut out = path.to_owned();
    let given = pairs.iter().filter_map(|(key, value)| value.map(|v| (key, v)));
    for (separator, (key, value)) in core::iter::once('?').chain(core::iter::repeat('&')).zip(given) {
        out.push(separator);
        out.push_str(key);
        out.push('=');
        out.push_str(&percent(value));
    }
    out
}

fn of_cluster(which: &str, rest: &str) -> String {
    format!("clusters/{}{rest}", percent(which))
}

/// Writes `text` so that it is one segment of a path or one value of a query (RFC 3986, unreserved characters stay).
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            // A lone dot would be taken for a directory.
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_one_segment() {
        assert_eq!(percent("samizdat:a/b?c"), "samizdat%3Aa%2Fb%3Fc");
        assert_eq!(percent("õ.."), "%C3%B5%2E%2E");
    }

    #[test]
    fn only_given_values_are_in_a_query() {
        assert_eq!(
            with_query("messages", &[("who", None), ("room", Some("a b")), ("limit", Some("3"))]),
            "messages?room=a%20b&limit=3"
        );
        assert_eq!(with_query("messages", &[("who", None)]), "messages");
    }

    #[test]
    fn a_home_without_a_node_is_named() {
        let error = Client::connect(Path::new("/nonexistent/home")).err().unwrap();
        assert_eq!(error.to_string(), "no node is running in /nonexistent/home");
    }
}
