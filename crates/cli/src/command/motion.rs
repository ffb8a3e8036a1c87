//! `motion` and `vote`: what the members of a cluster decide.

use clap::{Args, Subcommand};
use samizdat_api::cluster::{Motion as Row, MotionKind, MotionState, Proposal, VotePhase};

use super::cluster::{Rules, rules};
use crate::{arguments::Context, failure::Failure, output::time, printable::printable};

/// So much of an id tells motions apart for people, and `vote` takes it.
const SHORT: usize = 8;
/// What the node says that we said in a secret vote.
const SECRET: &str = "secret";

#[derive(Args)]
pub(crate) struct Motion {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Moves something; whoever moves a decision says yes to it, unless it is voted on in secret.
    Open(Open),
    /// Lists the motions of a cluster, the oldest first.
    List {
        /// Its name, its number here, or the beginning of its id.
        cluster: String,
    },
    /// Shows one, and who says what.
    Show {
        /// Its name, its number here, or the beginning of its id.
        cluster: String,
        /// The beginning of the motion's id.
        motion: String,
    },
}

#[derive(Args)]
struct Open {
    /// Its name, its number here, or the beginning of its id.
    cluster: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Args)]
struct Secretly {
    /// Everybody sees who voted, and nobody how. Experimental; needs three who may vote, and some minutes at least.
    #[arg(long)]
    secret: bool,
}

#[derive(Subcommand)]
enum What {
    /// To let somebody in.
    Admit {
        /// The nickname, or the number that `cluster requests` shows.
        who: String,
        #[command(flatten)]
        vote: Secretly,
    },
    /// To put a member out.
    Expel {
        /// The nickname, or the beginning of the id that `cluster show` shows.
        who: String,
        #[command(flatten)]
        vote: Secretly,
    },
    /// To drop members of whom nothing is heard.
    Silent {
        /// Nicknames, or beginnings of ids.
        #[arg(required = true)]
        who: Vec<String>,
        #[command(flatten)]
        vote: Secretly,
    },
    /// To take other rules; what is left out stays.
    Charter {
        /// Another name for the cluster.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        rules: Rules,
        #[command(flatten)]
        vote: Secretly,
    },
    /// To go into another cluster: those who say yes ask to be let in there once it has passed.
    Merge {
        /// A link that a member there made by `cluster invite --merge`.
        link: String,
        /// What that cluster is called.
        name: String,
    },
    /// To let in, all at once, those who came with another cluster.
    TakeIn {
        /// What that cluster calls itself, as `cluster requests` shows.
        from: String,
        #[command(flatten)]
        vote: Secretly,
    },
    /// To ask something. The answer binds nobody.
    Question {
        /// What.
        text: String,
        /// Something that can be answered; twice at least.
        #[arg(long = "option", value_name = "TEXT", required = true)]
        options: Vec<String>,
        /// Voters rank the options, instead of choosing one.
        #[arg(long)]
        preference: bool,
        /// Everybody sees who voted, and nobody how. Experimental; needs three who may vote, and some minutes at least.
        #[arg(long, conflicts_with = "preference")]
        secret: bool,
    },
}

#[derive(Args)]
pub(crate) struct Vote {
    /// The beginning of the motion's id.
    motion: String,
    /// `yes` or `no`; for a question the number of an option, or several, best first: `2,1`.
    #[arg(value_name = "yes|no|N,…")]
    vote: String,
}

impl Motion {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self.command {
            Command::Open(Open { cluster, what }) => {
                let motion = client.open_motion(&cluster, &what.proposal())?;
                context.output.row(&motion, || page(context, &motion))
            }
            Command::List { cluster } => {
                let motions = client.motions(&cluster)?;
                if motions.is_empty() {
                    return context.output.nothing("Nothing was moved yet: `samizdat motion open` moves something.");
                }
                motions.iter().try_for_each(|motion| context.output.row(motion, || line(context, motion)))
            }
            Command::Show { cluster, motion } => {
                let motion = client.motion(&cluster, &motion)?;
                context.output.row(&motion, || page(context, &motion))
            }
        }
    }
}

impl Vote {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let motion = context.client()?.vote(&self.motion, &self.vote)?;
        context.output.row(&motion, || page(context, &motion))
    }
}

impl What {
    fn proposal(self) -> Proposal {
        match self {
            Self::Admit { who, vote } => Proposal::Admit { who, secret: vote.secret },
            Self::Expel { who, vote } => Proposal::Expel { who, secret: vote.secret },
            Self::Silent { who, vote } => Proposal::Silent { who, secret: vote.secret },
            Self::Charter { name, rules, vote } => Proposal::Charter { charter: rules.edit(name), secret: vote.secret },
            Self::Merge { link, name } => Proposal::Merge { link, name },
            Self::TakeIn { from, vote } => Proposal::TakeIn { from, secret: vote.secret },
            Self::Question { text, options, preference, secret } => {
                Proposal::Question { text, options, ranked: preference, secret }
            }
        }
    }
}

/// A motion on one line.
pub(crate) fn line(context: &Context, motion: &Row) -> String {
    let id: String = printable(&motion.motion).chars().take(SHORT).collect();
    let state = match motion.state {
        MotionState::Passed if motion.kind == MotionKind::Merge => "passed, who said yes asks there",
        MotionState::Passed if !motion.done && motion.kind != MotionKind::Question => {
            // Of what passed in secret, nodes say first that it has.
            let confirmed = !motion.secret || motion.confirmed.len() as u64 >= motion.needed;
            if confirmed { "passed, being carried out" } else { "passed, being confirmed" }
        }
        state => state.as_str(),
    };
    let said = match &motion.ours {
        Some(ours) if motion.secret && ours != SECRET => format!("; your vote for {} waits for the key", printable(ours)),
        Some(_) if motion.secret => "; you have voted".into(),
        Some(ours) => format!("; you said {}", printable(ours)),
        None => String::new(),
    };
    let state = match motion.phase {
        Some(phase) if motion.state == MotionState::Open => format!("{state}, secret (experimental): {}", doing(phase)),
        Some(_) => format!("{state}, secret (experimental)"),
        None => state.to_owned(),
    };
    let votes = if motion.kind == MotionKind::Question {
        String::new()
    } else if motion.secret && !is_counted(motion) {
        format!(": {} have voted, needs {} yes of {}", motion.voted.len(), motion.needed, motion.voters)
    } else {
        format!(": {} yes, {} no, needs {} of {}", motion.yes, motion.no, motion.needed, motion.voters)
    };
    format!(
        "{}  {} {}  {state}{votes}{said}",
        context.output.dim(&id),
        motion.kind.as_str(),
        context.output.bold(&printable(&motion.subject))
    )
}

/// What happens in a secret vote.
fn doing(phase: VotePhase) -> &'static str {
    match phase {
        VotePhase::MakingKey => "making the key",
        VotePhase::Voting => "voting",
        VotePhase::Opening => "opening",
        VotePhase::Done => "done",
    }
}

/// Whether there are numbers to show: of a secret vote, when it has been opened.
fn is_counted(motion: &Row) -> bool {
    motion.phase.is_none_or(|phase| phase == VotePhase::Done && motion.why.is_none())
}

/// A motion with everything that is to be seen of it.
fn page(context: &Context, motion: &Row) -> String {
    let mut lines = vec![line(context, motion)];
    lines.push(format!("    moved by {} on {}, until epoch {}", printable(&motion.proposer), time(motion.at), motion.until));
    lines.extend(motion.charter.as_ref().map(|charter| format!("    {}", rules(charter))));
    for (number, option) in (1..).zip(&motion.options) {
        let place = if motion.ranked { format!(", place {}", option.place) } else { String::new() };
        let count = if is_counted(motion) { format!(": named first by {}{place}", option.first) } else { String::new() };
        lines.push(format!("    {number}. {}{count}", printable(&option.option)));
    }
    lines.extend(motion.why.as_ref().map(|why| format!("    {}", printable(why))));
    for (what, who) in [
        ("yes", &motion.yes_by),
        ("no", &motion.no_by),
        ("have voted", &motion.voted),
        ("have confirmed that it passed", &motion.confirmed),
        ("voted, and are not counted", &motion.left_out),
        ("voted twice, which is proven", &motion.cheated),
    ] {
        if !who.is_empty() {
            let who: Vec<String> = who.iter().map(|nick| printable(nick)).collect();
            lines.push(format!("    {what}: {}", who.join(", ")));
        }
    }
    lines.join("\n")
}
