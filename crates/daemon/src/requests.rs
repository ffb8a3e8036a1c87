//! Answers to what is asked over the API.

use std::collections::BTreeMap;

use samizdat_api::{self as api, ApiError, Request, Response};
use samizdat_chat::{
    Answer, ChatError, ContactEdit, Filter,
    limits::{MESSAGE_LIFETIME, lifetime_of_days},
};
use samizdat_core::limits::LIFETIMES;
use samizdat_engine::FileError;
use samizdat_net::PathKind;
use samizdat_store::{StoreError, vault::Protection};

use crate::{behind::Events, convert, labels, net::show_peer, node::Node};

/// Whether the node shall end after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Yes,
    No,
}

pub(crate) type Answered = Result<Response, ApiError>;

impl Node {
    pub(crate) async fn answer(&mut self, request: Request, events: Events<'_>) -> (Answered, Ended) {
        let ended = if matches!(request, Request::Shutdown) { Ended::Yes } else { Ended::No };
        let answered = match request {
            Request::EditNode(edit) => self.edit_node(edit, events).await.map(Response::Status),
            request => self.respond(request),
        };
        (answered, ended)
    }

    fn respond(&mut self, request: Request) -> Answered {
        let now = self.clock.now();
        match request {
            Request::Status => self.status().map(Response::Status),
            Request::Identities => {
                let identities = self.engine.chat().identities().map_err(convert::error)?;
                Ok(Response::Identities(identities.iter().map(convert::identity).collect()))
            }
            Request::NewIdentity { label } => {
                let identities = self.command(|chat| {
                    chat.new_identity(None, label.as_deref())?;
                    chat.identities()
                })?;
                identities.last().map(|i| Response::Identity(convert::identity(i))).ok_or_else(|| ApiError::internal("no identity"))
            }
            Request::Mine { prefix, label } => self.start_mining(&prefix, label).map(Response::Mining),
            Request::CancelMine => self.cancel_mining().map(|()| Response::Done),
            Request::NewInvite => {
                let link = self.command(samizdat_chat::Chat::invite)?;
                let link = self.with_places(link);
                Ok(Response::Invite(api::Invite { link: link.to_string(), name: link.name.compact() }))
            }
            Request::Contacts => {
                let contacts = self.engine.chat().contacts().map_err(convert::error)?;
                Ok(Response::Contacts(contacts.into_iter().map(|c| convert::contact(&self.engine, c)).collect()))
            }
            Request::AddContact { who, petname } => {
                let contact = self.command(|chat| chat.add_contact(&who, petname.as_deref()))?;
                self.note_places(&who);
                Ok(Response::Contact(convert::contact(&self.engine, contact)))
            }
            Request::EditContact { who, edit } => {
                let contact = self.command(|chat| {
                    let edit = ContactEdit {
                        petname: edit.petname.as_deref(),
                        blocked: edit.blocked,
                        receipts: edit.receipts,
                        session: edit.session.map(convert::session_choice),
                    };
                    chat.edit_contact(&who, &edit)
                })?;
                Ok(Response::Contact(convert::contact(&self.engine, contact)))
            }
            Request::Requests => {
                let requests = self.engine.chat().requests().map_err(convert::error)?;
                Ok(Response::Requests(requests.into_iter().map(convert::request).collect()))
            }
            Request::AnswerRequest { id, answer } => {
                let answer = match answer {
                    api::Answer::Accept => Answer::Accept,
                    api::Answer::Decline => Answer::Decline,
                    api::Answer::Block => Answer::Block,
                };
                let request = self.command(|chat| {
                    chat.answer(&id, answer)?;
                    let contact = match id.parse() {
                        Ok(number) => number,
                        Err(_) => chat.find_contact(&id)?,
                    };
                    chat.request(contact)
                })?;
                Ok(Response::Request(convert::request(request)))
            }
            Request::Conversations => {
                let conversations = self.engine.chat().conversations().map_err(convert::error)?;
                Ok(Response::Conversations(conversations.into_iter().map(|c| convert::conversation(&self.engine, c)).collect()))
            }
            Request::Messages(query) => self.messages(&query),
            Request::Message { id } => {
                let message = self.engine.chat().message(&convert::message_id(&id)?).map_err(convert::error)?;
                Ok(Response::Message(convert::message(message)))
            }
            Request::Send { to, text, days } => {
                let lifetime = lifetime(days)?;
                let message = self.command(|chat| match &to {
                    api::Destination::Who(who) => chat.write(who, &text, lifetime, now),
                    api::Destination::Room(room) => chat.post(room, &text, lifetime, now),
                    api::Destination::Cluster(cluster) => chat.write_in_cluster(cluster, &text, lifetime, now),
                    api::Destination::Member { cluster, member } => chat.write_to_member(cluster, member, &text, lifetime, now),
                    api::Destination::Anonymous { cluster, member } => {
                        chat.write_anonymously(cluster, member.as_deref(), &text, lifetime, now)
                    }
                })?;
                // The command may have let it go further already.
                let message = self.engine.chat().message(&message.id).map_err(convert::error)?;
                Ok(Response::Message(convert::message(message)))
            }
            Request::CancelMessage { id } => {
                let id = convert::message_id(&id)?;
                let message = self.command(|chat| chat.cancel(&id))?;
                Ok(Response::Message(convert::message(message)))
            }
            Request::MarkRead { conversation, up_to } => {
                let number = conversation.parse().map_err(|_| ApiError::not_found("there is no such conversation"))?;
                let up_to = up_to.as_deref().map(convert::message_id).transpose()?;
                self.command(|chat| chat.mark_read(number, up_to.as_ref())).map(|()| Response::Done)
            }
            Request::Rooms => {
                let rooms = self.engine.chat().rooms().map_err(convert::error)?;
                Ok(Response::Rooms(rooms.into_iter().map(|room| convert::room(&self.engine, room)).collect()))
            }
            Request::JoinRoom { room } => {
                let room = self.engine.command(now, |chat, log| chat.join_room(&room, log, now)).map_err(convert::error)?;
                Ok(Response::Room(convert::room(&self.engine, room)))
            }
            Request::Cluster(call) => self.cluster_call(call).map(Response::Cluster),
            Request::LogStats => {
                let stats = self.engine.log().stats().map_err(store)?;
                let [announcement, post, bell, sealed] = stats.by_kind;
                Ok(Response::LogStats(api::LogStats {
                    envelopes: stats.by_kind.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)),
                    bytes: stats.bytes,
                    by_kind: api::KindCounts { announcement, post, bell, sealed },
                    oldest_hour: stats.oldest.map(u64::from),
                    newest_hour: stats.newest.map(u64::from),
                    conflicts: stats.conflicts,
                }))
            }
            Request::NetTable => Ok(Response::NetTable(self.table())),
            Request::NetDoctor => self.doctor().map(Response::NetDoctor),
            Request::Meeting => Ok(Response::Meeting(self.meeting_row())),
            Request::SetOwnEntry(wish) => {
                self.set_own_entry(*wish)?;
                Ok(Response::Meeting(self.meeting_row()))
            }
            Request::RemoveOwnEntry => {
                self.remove_own_entry()?;
                Ok(Response::Meeting(self.meeting_row()))
            }
            Request::Entries => Ok(Response::Entries(self.meeting.entries.rows())),
            Request::AddEntry { domain } => self.add_entry(&domain).map(Response::Entry),
            Request::RemoveEntry { domain } => self.remove_entry(&domain).map(|()| Response::Done),
            Request::LogVerify
            | Request::LogExport { .. }
            | Request::LogImport { .. }
            | Request::NetLookup { .. }
            | Request::EditNode(_) => Err(ApiError::internal("a job was not begun as one")),
            Request::Shutdown => Ok(Response::Done),
        }
    }

    /// Everything that `samizdat status` shows.
    pub(crate) fn status(&self) -> Result<api::Status, ApiError> {
        let engine = &self.engine;
        let chat = engine.chat();
        let identities: Vec<api::Identity> = chat.identities().map_err(convert::error)?.iter().map(convert::identity).collect();
        let conflicts = engine.log().conflicts_kept().map_err(store)?;
        let outbox = chat.outbox().map_err(convert::error)?;
        let drops = engine.drops();
        let paths = self.net.paths();
        let now = self.clock.now();
        let peers = engine.peers().map(|status| {
            let path = paths.iter().find(|path| path.peer == status.peer);
            api::Peer {
                peer: show_peer(&status.peer),
                path: match path.map(|path| path.kind) {
                    Some(PathKind::Lan | PathKind::Loopback) => api::PeerPath::Lan,
                    Some(PathKind::Relayed) => api::PeerPath::Relayed,
                    _ => api::PeerPath::Direct,
                },
                rtt_ms: path.map(|path| u64::from(path.rtt_ms)),
                since: self.clock.unix_of(status.since_ms),
                dialed: status.dialed,
            }
        });
        Ok(api::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            versions: convert::versions(),
            name: identities.first().map(|identity| identity.name.clone()).unwrap_or_default(),
            peers: peers.collect(),
            sessions: self.sessions(),
            identities,
            store: api::StoreStatus {
                envelopes: engine.held() as u64,
                bytes: engine.log().bytes(),
                budget_bytes: engine.log().budget(),
                conflicts,
            },
            outbox: api::Outbox { waiting: outbox.waiting, stamping: outbox.stamping, stamped: outbox.stamped },
            paths: [("cast", labels::CAST)]
                .into_iter()
                .chain(engine.sessions().next().map(|_| ("direct", labels::DIRECT)))
                .map(|(path, sentence)| (path.to_owned(), sentence.to_owned()))
                .collect(),
            reach: if self.is_proxied() {
                api::Reach {
                    verdict: api::ReachVerdict::Unreachable,
                    why: labels::PROXIED.to_owned(),
                    ..convert::reach(engine, now)
                }
            } else {
                convert::reach(engine, now)
            },
            roles: self.role_rows(),
            relays: self.relays_row(),
            vault: match chat.protection() {
                Protection::KeyFile => api::Vault::KeyFile,
                Protection::Passphrase => api::Vault::Passphrase,
            },
            drops: BTreeMap::from(
                [
                    ("malformed", drops.malformed),
                    ("future", drops.future),
                    ("expired", drops.expired),
                    ("stamp", drops.stamp),
                    ("signature", drops.signature),
                    ("duplicate", drops.duplicate),
                    ("conflict", drops.conflict),
                    ("budget", drops.budget),
                    ("disk", drops.disk),
                ]
                .map(|(reason, count)| (reason.to_owned(), count)),
            ),
            join: self.net.join_string(),
            clock: engine.clock_ahead_s(now).map(labels::clock),
            meeting: Box::new(self.meeting_row()),
        })
    }

    fn messages(&mut self, query: &api::call::MessageQuery) -> Answered {
        let conversation = match (&query.who, &query.room, &query.cluster) {
            (Some(who), None, None) => Some(self.conversation_of(who)?),
            (None, Some(room), None) => Some(self.engine.chat().find_room(room).map_err(convert::error)?),
            (None, None, Some(cluster)) => {
                Some(self.engine.read(|chat| chat.find_cluster_conversation(cluster)).map_err(convert::error)?)
            }
            (None, None, None) => None,
            _ => return Err(ApiError::usage("ask for a contact, a room or a cluster, not for several")),
        };
        let since = query.since.as_deref().map(convert::message_id).transpose()?;
        let before = query.before.as_deref().map(convert::message_id).transpose()?;
        let filter = Filter { conversation, since: since.as_ref(), before: before.as_ref(), limit: query.limit };
        let messages = self.engine.chat().messages(&filter).map_err(convert::error)?;
        Ok(Response::Messages(messages.into_iter().map(convert::message).collect()))
    }

    pub(crate) fn command<T>(&mut self, f: impl FnOnce(&mut samizdat_chat::Chat) -> Result<T, ChatError>) -> Result<T, ApiError> {
        let now = self.clock.now();
        self.engine.command(now, |chat, _| f(chat)).map_err(convert::error)
    }
}

fn lifetime(days: Option<u32>) -> Result<u8, ApiError> {
    let Some(days) = days else { return Ok(MESSAGE_LIFETIME) };
    lifetime_of_days(days).ok_or_else(|| {
        let choices: Vec<String> = LIFETIMES.iter().filter(|h| **h >= 24).map(|h| (h / 24).to_string()).collect();
        ApiError::usage(format!("a message lives {} days", choices.join(", ")))
    })
}

pub(crate) fn store(error: StoreError) -> ApiError {
    convert::error(error.into())
}

pub(crate) fn file_error(error: FileError) -> ApiError {
    match error {
        FileError::Store(error) => store(error),
        FileError::Io(_) => ApiError::internal(error.to_string()),
        FileError::NotALog | FileError::Truncated(_) => ApiError::refused(error.to_string()),
    }
}
