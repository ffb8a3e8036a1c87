//! `cluster`: groups that decide by votes who is in.

use clap::{Args, Subcommand, ValueEnum};
use samizdat_api::cluster::{
    Charter, CharterEdit, Cluster as Row, ClusterEdit, ClusterLink, ClusterView, DecisionList, Departure, History, JoinRequest,
    Member, MotionState, NewClaim, NewCluster, NewClusterInvite, NewMembership, NewSplit, Quorum, Receipt, Standing,
};

use super::{contact::Switch, invite::draw, message::Say, motion, phrase};
use crate::{
    arguments::Context,
    failure::Failure,
    output::{count, duration, time},
    printable::{printable, printable_lines},
};

const NONE_YET: &str = "No clusters yet: found one with `samizdat cluster found NAME`, or ask to be let into one with \
                        `samizdat cluster join LINK`.";

const CLOSED: &str = "closed, nobody comes in by it: somebody who could read what is asked by it is no member any more, or it made \
                      room for another member's. Make another with `samizdat cluster invite`.";

#[derive(Args)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Founds a cluster with nobody in it but me.
    Found(Found),
    /// Makes a link by which somebody can ask to be let in; the members decide.
    Invite(Invite),
    /// Asks to be let into a cluster, by a link or a passphrase.
    Join(Join),
    /// Lists the clusters that I am in, was in, or asked to be let into.
    List,
    /// Shows members and motions of a cluster.
    Show(Which),
    /// Lists who asks to be let in.
    Requests(Which),
    /// Shows the rules of a cluster.
    Charter(Which),
    /// Writes to a cluster; before I am let in, what I write waits.
    Say(Say),
    /// Lists which members have a message of mine, as far as they said.
    Delivery(Delivery),
    /// Verifies everything that was decided, and lists it; fails where a step does not verify.
    Audit(Which),
    /// Tells the members, and those who come later, which name is behind my nickname; or one member only. It cannot be taken back.
    Claim(Claim),
    /// Founds another cluster by the same rules and asks all members to come along, but those whom I leave behind. What they are in
    /// stays as it is.
    Reboot(Reboot),
    /// The same with those members whom I name.
    Split(Split),
    /// Says whether its members are told what I have read, where its rules let members tell what has arrived; at first nobody is.
    Receipts(Receipts),
    /// Leaves a cluster, at once; the others are told, and need not consent.
    Leave(Which),
}

#[derive(Args)]
struct Which {
    /// Its name, its number here, or the beginning of its id.
    cluster: String,
}

#[derive(Args)]
struct Claim {
    /// Its name, its number here, or the beginning of its id.
    cluster: String,
    /// Tells this member only, by nickname or the beginning of its id.
    #[arg(long, value_name = "MEMBER")]
    to: Option<String>,
}

#[derive(Args)]
struct Reboot {
    /// Its name, its number here, or the beginning of its id.
    cluster: String,
    /// Whom I leave behind: nickname, or the beginning of the id; can be given several times.
    #[arg(long, value_name = "MEMBER")]
    without: Vec<String>,
    /// What the new one is called [default: the old name and a number].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Args)]
struct Split {
    /// Its name, its number here, or the beginning of its id.
    cluster: String,
    /// Who comes along: nickname, or the beginning of the id; can be given several times.
    #[arg(long, value_name = "MEMBER", required = true)]
    with: Vec<String>,
    /// What the new one is called [default: the old name and a number].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Args)]
struct Receipts {
    /// Its name, its number here, or the beginning of its id.
    cluster: String,
    /// Whether they are told.
    receipts: Switch,
}

#[derive(Args)]
struct Delivery {
    /// Id of the message, as `cluster say` and `read --json` show it.
    message: String,
}

#[derive(Args)]
struct Found {
    /// What it is called.
    name: String,
    /// How I call myself in it; drawn by chance when left out.
    #[arg(long, value_name = "N")]
    nick: Option<String>,
    #[command(flatten)]
    rules: Rules,
}

/// Rules that differ from those that are there, or from the usual ones.
#[derive(Args)]
pub(crate) struct Rules {
    /// Members at most, 2 to 500 [usually: 50].
    #[arg(long, value_name = "N")]
    cap: Option<u16>,
    /// How many of those who may vote must say yes [usually: majority].
    #[arg(long)]
    quorum: Option<QuorumChoice>,
    /// How often everybody's keys are replaced: `1d`, `12h` [usually: 1d].
    #[arg(long, value_name = "TIME", value_parser = hours)]
    rollout: Option<u16>,
    /// What newcomers may get of what was written before: `none`, a number of messages, or `all`; the newest 240 kB at most [usually: none].
    #[arg(long, value_name = "none|N|all", value_parser = history)]
    history: Option<History>,
    /// For how many epochs somebody must have been a member to propose that somebody be let in [usually: 0].
    #[arg(long, value_name = "EPOCHS")]
    sponsor_after: Option<u16>,
    /// For how many epochs a motion stays open [usually: 8].
    #[arg(long, value_name = "EPOCHS")]
    motion_life: Option<u8>,
    /// Who was not heard for so many epochs is silent; 0: nobody ever is [usually: 14].
    #[arg(long, value_name = "EPOCHS")]
    silent_after: Option<u16>,
    /// Whether members vote by themselves to drop those who are silent [usually: true].
    #[arg(long, value_name = "true|false")]
    automatic_ballots: Option<bool>,
    /// Whether members tell each other which messages have arrived [usually: true].
    #[arg(long, value_name = "true|false")]
    delivery: Option<bool>,
}

#[derive(Clone, Copy, ValueEnum)]
enum QuorumChoice {
    /// More than half.
    Majority,
    /// More than two thirds.
    TwoThirds,
}

#[derive(Args)]
struct Invite {
    /// Its name, its number here, or the beginning of its id.
    cluster: String,
    /// What the link is for; the members see it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// For how many days it can be used, 1 to 56 [default: 7].
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Make a link by which a whole cluster can come, if its members agree.
    #[arg(long)]
    merge: bool,
    /// Vote in secret on whoever comes by it: nobody sees who was against them. Experimental; needs three members.
    #[arg(long, conflicts_with = "merge")]
    secret: bool,
    /// Show the link as a QR code, too.
    #[arg(long)]
    qr: bool,
    /// Make a passphrase that stands for the link, to be said on the phone.
    #[arg(long)]
    passphrase: bool,
    /// Of how many words, 8 to 12 [default: 8].
    #[arg(long, value_name = "N", requires = "passphrase")]
    words: Option<u8>,
}

#[derive(Args)]
struct Join {
    /// A `samizdat:cluster/` link from a member. I ask again each week; where nobody answers for long, it may have ended: use another.
    #[arg(required_unless_present = "passphrase")]
    link: Option<String>,
    /// Read the passphrase from a member instead, from the terminal or from standard input.
    #[arg(long, conflicts_with = "link")]
    passphrase: bool,
    /// How I want to call myself; drawn by chance when left out.
    #[arg(long, value_name = "N")]
    nick: Option<String>,
    /// What I say to the members.
    #[arg(long, value_name = "TEXT", default_value = "")]
    words: String,
}

impl Rules {
    pub(crate) fn edit(self, name: Option<String>) -> CharterEdit {
        CharterEdit {
            name,
            cap: self.cap,
            quorum: self.quorum.map(|quorum| match quorum {
                QuorumChoice::Majority => Quorum::Majority,
                QuorumChoice::TwoThirds => Quorum::TwoThirds,
            }),
            rollout_hours: self.rollout,
            history: self.history,
            sponsor_epochs: self.sponsor_after,
            motion_epochs: self.motion_life,
            silent_epochs: self.silent_after,
            automatic_ballots: self.automatic_ballots,
            delivery: self.delivery,
        }
    }
}

impl Cluster {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if let Command::Say(say) = self.command {
            return say.run(context);
        }
        let client = context.client()?;
        match self.command {
            Command::Found(Found { name, nick, rules }) => {
                let view = client.found_cluster(&NewCluster { name, nick, charter: rules.edit(None) })?;
                context.output.row(&view.cluster, || format!("founded: {}", line(context, &view.cluster)))
            }
            Command::Invite(Invite { cluster, label, days, merge, secret, qr, passphrase, words }) => {
                let passphrase_words = passphrase.then_some(words.unwrap_or(phrase::WORDS));
                let wish = NewClusterInvite { label, days, merge, secret, passphrase_words };
                let invite = client.invite_to_cluster(&cluster, &wish)?;
                let code = if qr && !context.output.json { Some(draw(&invite.link)?) } else { None };
                context.output.row(&invite, || {
                    // Whoever wants a passphrase hands out that; with a code, the link is what it says.
                    let link = Some(&invite.link).filter(|_| qr || invite.passphrase.is_none());
                    let words = invite.passphrase.as_ref().map(|passphrase| printable(passphrase.reveal()));
                    let lines = code.into_iter().chain(link.map(|link| printable(link))).chain(words);
                    lines.collect::<Vec<_>>().join("\n")
                })
            }
            Command::Join(Join { link, passphrase, nick, words }) => {
                let passphrase = if passphrase { Some(phrase::read()?) } else { None };
                let wish = NewMembership { link: link.unwrap_or_default(), passphrase, nick, words };
                let view = client.join_cluster(&wish)?;
                context.output.row(&view.cluster, || line(context, &view.cluster))
            }
            Command::List => {
                let clusters = client.clusters()?;
                if clusters.is_empty() {
                    return context.output.nothing(NONE_YET);
                }
                clusters.iter().try_for_each(|cluster| context.output.row(cluster, || line(context, cluster)))
            }
            Command::Show(Which { cluster }) => {
                let view = client.cluster(&cluster)?;
                context.output.row(&view, || page(context, &view))
            }
            Command::Requests(Which { cluster }) => {
                let requests = client.cluster_requests(&cluster)?;
                if requests.is_empty() {
                    return context.output.nothing("Nobody asks to be let in: give out a link with `samizdat cluster invite`.");
                }
                requests.iter().try_for_each(|request| context.output.row(request, || request_line(context, request)))
            }
            Command::Charter(Which { cluster }) => {
                let view = client.cluster(&cluster)?;
                let charter = view.charter.ok_or_else(|| Failure::refused("you are not a member: its rules are not known"))?;
                context.output.row(&charter, || rules(&charter))
            }
            Command::Claim(Claim { cluster, to: Some(to) }) => {
                let view = client.claim_in_cluster(&cluster, &NewClaim { to: Some(to.clone()) })?;
                let (nick, to) = (printable(&view.cluster.nick), printable(&to));
                context
                    .output
                    .row(&view.cluster, || format!("{to}, and nobody else, is told who {nick} is, and could show it to others."))
            }
            Command::Claim(Claim { cluster, to: None }) => {
                let view = client.claim_in_cluster(&cluster, &NewClaim::default())?;
                let name = view.members.iter().find(|member| member.own).and_then(|member| member.name.clone());
                let (nick, name) = (printable(&view.cluster.nick), name.unwrap_or_default());
                context.output.row(&view.cluster, || {
                    format!("The members of {} are told that {nick} is {name}.", printable(&view.cluster.name))
                })
            }
            Command::Reboot(Reboot { cluster, without, name }) => {
                let split = NewSplit { without, name, ..NewSplit::default() };
                departed(context, &client.split_cluster(&cluster, &split)?)
            }
            Command::Split(Split { cluster, with, name }) => {
                let split = NewSplit { with, name, ..NewSplit::default() };
                departed(context, &client.split_cluster(&cluster, &split)?)
            }
            Command::Receipts(Receipts { cluster, receipts }) => {
                let receipts = Some(matches!(receipts, Switch::On));
                let view = client.edit_cluster(&cluster, &ClusterEdit { receipts })?;
                context.output.row(&view.cluster, || line(context, &view.cluster))
            }
            Command::Leave(Which { cluster }) => {
                let view = client.leave_cluster(&cluster)?;
                context.output.row(&view.cluster, || line(context, &view.cluster))
            }
            Command::Delivery(Delivery { message }) => {
                let receipts = client.receipts(&message)?;
                if receipts.is_empty() {
                    return context.output.nothing("No member has said yet that it has this message.");
                }
                receipts.iter().try_for_each(|receipt| context.output.row(receipt, || receipt_line(context, receipt)))
            }
            Command::Audit(Which { cluster }) => audit(context, &client.audit_cluster(&cluster)?),
            Command::Say(_) => Ok(()),
        }
    }
}

fn departed(context: &Context, departure: &Departure) -> Result<(), Failure> {
    let asked: Vec<String> = departure.asked.iter().map(|nick| printable(nick)).collect();
    context.output.row(departure, || {
        format!(
            "founded: {}\nasked to come along: {}\n{}",
            line(context, &departure.cluster),
            asked.join(", "),
            printable(&departure.link)
        )
    })
}

fn audit(context: &Context, DecisionList { since, decisions }: &DecisionList) -> Result<(), Failure> {
    let since = since.map_or_else(|| "since the founding".to_owned(), |since| format!("since epoch {since}"));
    if decisions.is_empty() {
        return context.output.nothing(&format!("Nothing has been decided {since}."));
    }
    for decision in decisions {
        let mark = |what: &String| match what {
            what if decision.untrue.contains(what) => format!("{} (REFUSED in a secret vote)", printable(what)),
            what if decision.unknown.contains(what) => format!("{} (voted on in secret, result not known here)", printable(what)),
            what => printable(what),
        };
        let what: Vec<String> = decision.what.iter().map(mark).collect();
        context.output.row(decision, || format!("{}  {}", context.output.dim(&epoch(decision.epoch)), what.join(", ")))?;
    }
    if decisions.iter().any(|decision| !decision.untrue.is_empty()) {
        let why = "more than half of the members signed that something had passed which a secret vote refused, and it was carried out; \
                   `samizdat cluster reboot` founds another cluster without them";
        return Err(Failure::refused(why));
    }
    context.output.nothing(&if decisions.iter().all(|decision| decision.unknown.is_empty()) {
        format!("Every step {since} is as its members voted.")
    } else {
        format!("Every step {since} is as its members voted, or, where the result of a secret vote is not known here, as enough of them signed.")
    })
}

fn line(context: &Context, cluster: &Row) -> String {
    let nick = printable(&cluster.nick);
    let standing = match cluster.standing {
        Standing::Asking => "the members have not decided yet".to_owned(),
        Standing::Member => format!("{}, {nick} among them", count(cluster.size, "member")),
        Standing::Left => format!("left, as {nick}"),
        Standing::Removed => format!("{nick} was removed by the members"),
        Standing::Away => format!("{nick} was away for too long and is being let back in"),
    };
    let asking = match cluster.requests {
        0 => String::new(),
        1 => "; 1 asks to be let in".to_owned(),
        n => format!("; {n} ask to be let in"),
    };
    let number = context.output.dim(&printable(&cluster.cluster));
    format!("{number}  {}  {standing}{asking}", context.output.bold(&printable(&cluster.name)))
}

fn page(context: &Context, view: &ClusterView) -> String {
    let mut lines = vec![line(context, &view.cluster)];
    if let Some(state) = &view.cluster.state {
        lines.push(format!("{}, state {}", epoch(view.cluster.epoch), printable(state)));
    }
    lines.extend(view.charter.as_ref().map(rules));
    if view.receipts {
        lines.push("The members are told what I have read.".to_owned());
    }
    if !view.members.is_empty() {
        lines.push(context.output.bold("Members"));
        lines.extend(view.members.iter().map(|member| member_line(context, member)));
    }
    let open: Vec<String> = view
        .motions
        .iter()
        .filter(|motion| motion.state == MotionState::Open)
        .map(|motion| format!("  {}", motion::line(context, motion)))
        .collect();
    if !open.is_empty() {
        lines.push(context.output.bold("Open motions"));
        lines.extend(open);
    }
    if !view.links.is_empty() {
        lines.push(context.output.bold("My links"));
        lines.extend(view.links.iter().map(|link| link_line(context, link)));
    }
    lines.join("\n")
}

fn link_line(context: &Context, link: &ClusterLink) -> String {
    let label = if link.label.is_empty() { String::new() } else { format!("{}  ", printable(&link.label)) };
    let vote = if link.secret { ", voted on in secret" } else { "" };
    let state = if link.closed { CLOSED.to_owned() } else { format!("until {}{vote}", time(link.until)) };
    format!("  {label}{state}\n    {}", context.output.dim(&printable(&link.link)))
}

fn member_line(context: &Context, member: &Member) -> String {
    let heard = match member.heard {
        _ if member.own => "me".to_owned(),
        Some(at) if member.silent => format!("silent since {}", time(at)),
        None if member.silent => "silent".to_owned(),
        _ if member.here => "here".to_owned(),
        Some(at) => format!("heard last {}", time(at)),
        None => "not heard yet".to_owned(),
    };
    let id: String = printable(&member.member).chars().take(8).collect();
    let name = member.name.as_ref().map_or(String::new(), |name| format!("  is {}", printable(name)));
    let cheats = if member.two_sets {
        "  told two sets of keys for anonymous messages: so as to write twice as much, or from a backup"
    } else {
        ""
    };
    format!("  {}  {}  {heard}{name}{cheats}", printable(&member.nick), context.output.dim(&id))
}

fn receipt_line(context: &Context, receipt: &Receipt) -> String {
    let id: String = printable(&receipt.member).chars().take(8).collect();
    let read = receipt.read.map_or(String::new(), |read| format!(", has read it by {}", time(read)));
    format!("{}  {}  has it since {}{read}", printable(&receipt.nick), context.output.dim(&id), time(receipt.at))
}

fn request_line(context: &Context, request: &JoinRequest) -> String {
    let words = if request.words.is_empty() { String::new() } else { format!("\n    {}", printable_lines(&request.words)) };
    let number = context.output.dim(&printable(&request.request));
    let from = request.from.as_ref().map(|from| format!(", with the cluster {}", printable(from))).unwrap_or_default();
    format!("{number}  {}{from}  {}{words}", context.output.bold(&printable(&request.nick)), time(request.at))
}

/// The rules as one sentence.
pub(crate) fn rules(charter: &Charter) -> String {
    let quorum = match charter.quorum {
        Quorum::Majority => "more than half",
        Quorum::TwoThirds => "more than two thirds",
    };
    let history = match charter.history {
        History::None => "newcomers get nothing of what was written before".to_owned(),
        History::Last(n) => format!("newcomers may get the last {}", count(n.into(), "message")),
        History::All => "newcomers may get all that was written before, the newest 240 kB of it".to_owned(),
    };
    let mut rules = vec![
        format!("at most {}", count(charter.cap.into(), "member")),
        format!("{quorum} of those who may vote must say yes"),
        format!("a motion stays open for {}", count(charter.motion_epochs.into(), "epoch")),
        format!("keys change every {}", duration(f64::from(charter.rollout_hours) * 3600.0)),
        history,
    ];
    if charter.silent_epochs > 0 {
        let dropped = if charter.automatic_ballots { ", and members vote by themselves to drop them" } else { "" };
        rules.push(format!("who is not heard for {} is silent{dropped}", count(charter.silent_epochs.into(), "epoch")));
    }
    if !charter.delivery {
        rules.push("members do not tell what has come to them".to_owned());
    }
    if charter.sponsor_epochs > 0 {
        rules.push(format!("who proposes a newcomer has been a member for {}", count(charter.sponsor_epochs.into(), "epoch")));
    }
    format!("\"{}\": {}", printable(&charter.name), rules.join("; "))
}

fn epoch(epoch: u64) -> String {
    format!("epoch {epoch}")
}

/// `1d`, `12h`; hours.
fn hours(text: &str) -> Result<u16, String> {
    let wrong = || "a time is a number of days or hours: 1d, 12h".to_owned();
    let (number, unit) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24),
        (_, Some(hours)) => (hours, 1),
        _ => return Err(wrong()),
    };
    let number: u16 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

fn history(text: &str) -> Result<History, String> {
    match text {
        "none" => Ok(History::None),
        "all" => Ok(History::All),
        number => number.parse().map(History::Last).map_err(|_| "say none, all, or how many of the last messages: 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_histories_are_read() {
        assert_eq!([hours("1d"), hours("12h")], [Ok(24), Ok(12)]);
        for wrong in ["", "1", "d", "1w", "-1d", "4000d"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            [history("none"), history("100"), history("all")],
            [Ok(History::None), Ok(History::Last(100)), Ok(History::All)]
        );
        assert!(history("some").is_err());
    }
}
