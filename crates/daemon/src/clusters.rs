//! Clusters, as they are asked about over the API.

use data_encoding::BASE32_NOPAD;
use samizdat_api::{
    ApiError,
    cluster::{self as api, CharterEdit, ClusterAnswer, ClusterCall, NewCluster},
};
use samizdat_chat as chat;
use samizdat_cluster::{
    Charter,
    charter::{BadCharter, History, Quorum},
    link::OpenDoor,
    motion::Method,
    tally::Outcome,
};

use crate::{convert, node::Node};

/// How long an invite link to a cluster is good where nobody says, days.
const INVITE_DAYS: u32 = 7;

type Answered<T = ClusterAnswer> = Result<T, ApiError>;

fn open_door(text: &str) -> Answered<OpenDoor> {
    let secret = BASE32_NOPAD.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    secret.map(|secret| OpenDoor::restore(&secret)).ok_or_else(|| ApiError::internal("the door of a passphrase"))
}

impl Node {
    pub(crate) fn cluster_call(&mut self, call: ClusterCall) -> Answered {
        let now = self.clock.now();
        match call {
            ClusterCall::List => {
                let clusters = self.read(chat::Chat::clusters)?;
                Ok(ClusterAnswer::Clusters(clusters.iter().map(cluster).collect()))
            }
            ClusterCall::Found(NewCluster { name, nick, charter }) => {
                let charter = amended(Charter::new(&name).map_err(bad_charter)?, &charter)?;
                let nick = self.nick(nick)?;
                let number = self.command(|chat| chat.found_cluster(&charter, &nick, now))?;
                self.view(number)
            }
            ClusterCall::Join(wish) => {
                let nick = self.nick(wish.nick)?;
                let number = self.command(|chat| chat.join_cluster(&wish.link, &nick, &wish.words, now))?;
                self.view(number)
            }
            ClusterCall::Show { which } => {
                let found = self.read(|chat| chat.cluster(&which))?;
                self.view_of(&found)
            }
            ClusterCall::Claim { which, claim } => {
                let number = self.command(|chat| match &claim.to {
                    None => chat.claim_in_cluster(&which, now),
                    Some(to) => {
                        chat.claim_to_member(&which, to, now)?;
                        Ok(chat.cluster(&which)?.number)
                    }
                })?;
                self.view(number)
            }
            ClusterCall::Edit { which, edit } => {
                let number = match edit.receipts {
                    Some(receipts) => self.command(|chat| chat.tell_read_in_cluster(&which, receipts))?,
                    None => self.read(|chat| chat.cluster(&which))?.number,
                };
                self.view(number)
            }
            ClusterCall::Leave { which } => {
                let number = self.command(|chat| chat.leave_cluster(&which, now))?;
                self.view(number)
            }
            ClusterCall::Split { which, split } => {
                let company = match (split.with.as_slice(), split.without.as_slice()) {
                    ([], without) => chat::Company::AllBut(without),
                    (with, []) => chat::Company::Only(with),
                    _ => return Err(ApiError::usage("say who comes along or who does not, not both")),
                };
                let gone = self.command(|chat| chat.split_cluster(&which, company, split.name.as_deref(), now))?;
                let founded = self.read(|chat| chat.cluster_of(gone.cluster))?;
                let (link, asked) = (gone.link, gone.asked);
                Ok(ClusterAnswer::Departure(Box::new(api::Departure { cluster: cluster(&founded), link, asked })))
            }
            ClusterCall::Invite { which, invite, door } => {
                let days = invite.days.unwrap_or(INVITE_DAYS);
                if !(1..=56).contains(&days) {
                    return Err(ApiError::usage("a link to a cluster is good for 1 to 56 days"));
                }
                let (label, merge) = (&invite.label, invite.merge);
                if merge && door.is_some() {
                    return Err(ApiError::usage("a passphrase stands for a link of one person: invite a cluster by a link"));
                }
                let door = door.map(|door| open_door(door.reveal())).transpose()?;
                if merge && invite.secret {
                    return Err(ApiError::usage(
                        "those who come with a cluster are voted on together: open that motion yourself, in secret if you like",
                    ));
                }
                let link = self.command(|chat| match door {
                    door if invite.secret => chat.invite_to_secret_vote(&which, door.as_ref(), label, days, now),
                    Some(door) => chat.invite_by_door(&which, &door, label, days, now).map(|()| door.link.to_string()),
                    None if merge => chat.invite_cluster(&which, label, days, now),
                    None => chat.invite_to_cluster(&which, label, days, now),
                })?;
                Ok(ClusterAnswer::Invite(api::ClusterInvite { link, passphrase: None }))
            }
            ClusterCall::Requests { which } => {
                let requests = self.read(|chat| chat.cluster_requests(&which))?;
                Ok(ClusterAnswer::Requests(requests.into_iter().map(request).collect()))
            }
            ClusterCall::Motions { which } => {
                let motions = self.read(|chat| chat.motions(&which))?;
                Ok(ClusterAnswer::Motions(motions.into_iter().map(motion).collect()))
            }
            ClusterCall::Motion { which, motion: id } => {
                let motions = self.read(|chat| chat.motions(&which))?;
                the_motion(motions, &id).map(|found| ClusterAnswer::Motion(Box::new(motion(found))))
            }
            ClusterCall::Open { which, proposal } => {
                let (cluster, id) = self.open(&which, proposal)?;
                self.motion(cluster, &id)
            }
            ClusterCall::Vote { motion, vote } => {
                let (cluster, id) = self.command(|chat| chat.vote(&motion, &vote, now))?;
                self.motion(cluster, &id)
            }
            ClusterCall::Receipts { message } => {
                let id = convert::message_id(&message)?;
                let receipts = self.read(|chat| chat.receipts(&id))?;
                let receipts = receipts.into_iter().map(|receipt| api::Receipt {
                    member: receipt.member,
                    nick: receipt.nick,
                    at: receipt.at,
                    read: receipt.read,
                });
                Ok(ClusterAnswer::Receipts(receipts.collect()))
            }
            ClusterCall::Audit { which } => {
                let audit = self.read(|chat| chat.audit_cluster(&which))?;
                let decisions = audit.decided.into_iter().map(|step| api::Decision {
                    epoch: step.epoch,
                    what: step.what,
                    unknown: step.unknown,
                    untrue: step.untrue,
                });
                Ok(ClusterAnswer::Decisions(api::DecisionList { since: audit.since, decisions: decisions.collect() }))
            }
        }
    }

    /// The conversation with a contact, or else that of a cluster.
    pub(crate) fn conversation_of(&mut self, who: &str) -> Answered<i64> {
        self.command(|chat| chat.find_conversation(who)).or_else(|unknown| {
            let found = self.read(|chat| chat.find_cluster_conversation(who));
            found.map_err(|error| if error.kind == samizdat_api::ErrorKind::NotFound { unknown } else { error })
        })
    }

    fn open(&mut self, which: &str, proposal: api::Proposal) -> Answered<(i64, samizdat_cluster::MotionId)> {
        let (now, secret) = (self.clock.now(), proposal.is_secret());
        let moved = |chat: &mut chat::Chat, proposal: &chat::Proposal<'_>| {
            if secret { chat.open_secret_motion(which, proposal, now) } else { chat.open_motion(which, proposal, now) }
        };
        match proposal {
            api::Proposal::Admit { who, .. } => self.command(|chat| moved(chat, &chat::Proposal::Admit(&who))),
            api::Proposal::Expel { who, .. } => self.command(|chat| moved(chat, &chat::Proposal::Expel(&who))),
            api::Proposal::Silent { who, .. } => self.command(|chat| moved(chat, &chat::Proposal::Silent(&who))),
            api::Proposal::Charter { charter: edit, .. } => {
                let today = self.read(|chat| chat.cluster(which))?.charter;
                let today = today.ok_or_else(|| ApiError::refused("you are not a member yet: the cluster has not decided"))?;
                let charter = amended(today.clone(), &edit)?;
                if charter == today {
                    return Err(ApiError::usage("these are the rules already: say what is to be different"));
                }
                self.command(|chat| moved(chat, &chat::Proposal::Charter(charter)))
            }
            api::Proposal::Merge { link, name } => {
                self.command(|chat| moved(chat, &chat::Proposal::Merge { link: &link, name: &name }))
            }
            api::Proposal::TakeIn { from, .. } => self.command(|chat| moved(chat, &chat::Proposal::TakeIn(&from))),
            api::Proposal::Question { text, options, ranked, .. } => {
                let method = if ranked { Method::Preference } else { Method::Plurality };
                self.command(|chat| moved(chat, &chat::Proposal::Question { text: &text, options: &options, method }))
            }
        }
    }

    /// A nickname that says nothing, for whoever chose none.
    fn nick(&mut self, chosen: Option<String>) -> Answered<String> {
        if let Some(nick) = chosen {
            return Ok(nick);
        }
        let drawn = self.read(|chat| Ok(chat.random()))?;
        let letters: String = BASE32_NOPAD.encode(&drawn.to_be_bytes()).to_ascii_lowercase().chars().take(4).collect();
        Ok(format!("member-{letters}"))
    }

    fn motion(&mut self, cluster: i64, id: &samizdat_cluster::MotionId) -> Answered {
        let found = self.read(|chat| chat.motion(cluster, id))?;
        Ok(ClusterAnswer::Motion(Box::new(motion(found))))
    }

    fn view(&mut self, number: i64) -> Answered {
        let found = self.read(|chat| chat.cluster_of(number))?;
        self.view_of(&found)
    }

    fn view_of(&mut self, found: &chat::Cluster) -> Answered {
        let motions = self.read(|chat| chat.motions_of(found.number))?;
        Ok(ClusterAnswer::View(Box::new(api::ClusterView {
            cluster: cluster(found),
            charter: found.charter.as_ref().map(charter),
            members: found.members.iter().map(member).collect(),
            motions: motions.into_iter().map(motion).collect(),
            links: found.links.iter().map(link).collect(),
            receipts: found.receipts,
        })))
    }

    fn read<T>(&mut self, f: impl FnOnce(&mut chat::Chat) -> Result<T, chat::ChatError>) -> Answered<T> {
        self.engine.read(f).map_err(convert::error)
    }
}

fn link(door: &chat::ClusterDoor) -> api::ClusterLink {
    api::ClusterLink {
        link: door.link.clone(),
        label: door.label.clone(),
        until: door.until,
        closed: door.closed,
        secret: door.secret,
    }
}

/// One of several motions, by the beginning of its id.
fn the_motion(motions: Vec<chat::MotionRow>, id: &str) -> Answered<chat::MotionRow> {
    let id = id.trim().to_lowercase();
    let mut found = motions.into_iter().filter(|motion| !id.is_empty() && motion.motion.starts_with(&id));
    let first = found.next().ok_or_else(|| ApiError::not_found(format!("there is no motion \"{id}\": see `motion list`")))?;
    match found.next() {
        None => Ok(first),
        Some(_) => Err(ApiError::usage(format!("several motions begin with \"{id}\": give more of it"))),
    }
}

fn bad_charter(why: BadCharter) -> ApiError {
    ApiError::usage(why.to_string())
}

fn amended(mut charter: Charter, edit: &CharterEdit) -> Answered<Charter> {
    if let Some(name) = &edit.name {
        charter.name.clone_from(name);
    }
    let set = |place: &mut u16, new: Option<u16>| *place = new.unwrap_or(*place);
    set(&mut charter.cap, edit.cap);
    set(&mut charter.rollout_hours, edit.rollout_hours);
    set(&mut charter.sponsor_epochs, edit.sponsor_epochs);
    set(&mut charter.silent_epochs, edit.silent_epochs);
    charter.automatic_ballots = edit.automatic_ballots.unwrap_or(charter.automatic_ballots);
    charter.delivery = edit.delivery.unwrap_or(charter.delivery);
    charter.motion_epochs = edit.motion_epochs.unwrap_or(charter.motion_epochs);
    charter.quorum = edit.quorum.map_or(charter.quorum, |quorum| match quorum {
        api::Quorum::Majority => Quorum::Majority,
        api::Quorum::TwoThirds => Quorum::TwoThirds,
    });
    charter.history = edit.history.map_or(charter.history, |history| match history {
        api::History::None => History::None,
        api::History::Last(count) => History::Last(count),
        api::History::All => History::All,
    });
    charter.check().map_err(bad_charter)?;
    Ok(charter)
}

pub(crate) fn cluster(found: &chat::Cluster) -> api::Cluster {
    api::Cluster {
        cluster: found.number.to_string(),
        id: found.id.clone(),
        name: found.name.clone(),
        standing: match found.standing {
            chat::Standing::Asking => api::Standing::Asking,
            chat::Standing::Member => api::Standing::Member,
            chat::Standing::Left => api::Standing::Left,
            chat::Standing::Removed => api::Standing::Removed,
            chat::Standing::Away => api::Standing::Away,
        },
        member: found.member.clone(),
        nick: found.nick.clone(),
        conversation: found.conversation.to_string(),
        epoch: found.epoch,
        state: found.state.clone(),
        size: found.members.len() as u64,
        requests: found.requests as u64,
    }
}

fn charter(charter: &Charter) -> api::Charter {
    api::Charter {
        name: charter.name.clone(),
        cap: charter.cap,
        quorum: match charter.quorum {
            Quorum::Majority => api::Quorum::Majority,
            Quorum::TwoThirds => api::Quorum::TwoThirds,
        },
        rollout_hours: charter.rollout_hours,
        silent_epochs: charter.silent_epochs,
        sponsor_epochs: charter.sponsor_epochs,
        history: match charter.history {
            History::None => api::History::None,
            History::Last(count) => api::History::Last(count),
            History::All => api::History::All,
        },
        motion_epochs: charter.motion_epochs,
        automatic_ballots: charter.automatic_ballots,
        delivery: charter.delivery,
    }
}

fn member(member: &chat::ClusterMember) -> api::Member {
    api::Member {
        member: member.member.clone(),
        nick: member.nick.clone(),
        name: member.name.clone(),
        own: member.own,
        here: member.here,
        heard: Some(member.heard).filter(|at| *at > 0),
        silent: member.silent,
        two_sets: member.two_sets,
    }
}

fn request(request: chat::ClusterRequest) -> api::JoinRequest {
    api::JoinRequest {
        request: request.request.to_string(),
        nick: request.nick,
        words: request.words,
        member: request.member,
        at: request.at,
        from: request.from,
    }
}

fn motion(motion: chat::MotionRow) -> api::Motion {
    let options = motion.ballots.options.into_iter().map(|(option, first, place)| api::MotionOption {
        option,
        first: first as u64,
        place: place as u64,
    });
    let in_secret = motion.secret.as_ref().and_then(|vote| vote.said);
    let (yes, no) = in_secret.unwrap_or((motion.ballots.yes.len(), motion.ballots.no.len()));
    api::Motion {
        motion: motion.motion,
        cluster: motion.cluster.to_string(),
        kind: match motion.kind {
            "admit" => api::MotionKind::Admit,
            "expel" => api::MotionKind::Expel,
            "silent" => api::MotionKind::Silent,
            "charter" => api::MotionKind::Charter,
            "merge" => api::MotionKind::Merge,
            "take_in" => api::MotionKind::TakeIn,
            _ => api::MotionKind::Question,
        },
        subject: motion.subject,
        state: match motion.state {
            Outcome::Open => api::MotionState::Open,
            Outcome::Passed => api::MotionState::Passed,
            Outcome::Failed => api::MotionState::Failed,
            Outcome::Expired => api::MotionState::Expired,
        },
        done: motion.done,
        yes: yes as u64,
        no: no as u64,
        yes_by: motion.ballots.yes,
        no_by: motion.ballots.no,
        needed: motion.needed as u64,
        voters: motion.voters as u64,
        until: motion.until,
        proposer: motion.proposer,
        ours: motion.ours,
        at: motion.at,
        options: options.collect(),
        ranked: motion.ranked,
        charter: motion.charter.as_ref().map(charter),
        cheated: motion.ballots.cheated,
        secret: motion.secret.is_some(),
        phase: motion.secret.as_ref().map(|vote| phase(vote.phase)),
        why: motion.secret.as_ref().and_then(|vote| vote.why).map(str::to_owned),
        left_out: motion.secret.as_ref().map(|vote| vote.left_out.clone()).unwrap_or_default(),
        confirmed: motion.secret.as_ref().map(|vote| vote.confirmed.clone()).unwrap_or_default(),
        voted: motion.secret.map(|vote| vote.voted).unwrap_or_default(),
    }
}

fn phase(phase: chat::Phase) -> api::VotePhase {
    match phase {
        chat::Phase::Key => api::VotePhase::MakingKey,
        chat::Phase::Voting => api::VotePhase::Voting,
        chat::Phase::Opening => api::VotePhase::Opening,
        chat::Phase::Done | chat::Phase::NoKey | chat::Phase::TooFew | chat::Phase::NotOpened => api::VotePhase::Done,
    }
}
