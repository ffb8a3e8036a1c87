//! Going away together: a part of a cluster founds another by the same rules, and takes along whom it wants. Nobody need consent.

use samizdat_cluster::{Charter, MemberId};
use samizdat_core::Now;

use super::govern::find_member;
use crate::{
    chat::Chat,
    error::ChatError,
    limits::{COME_ALONG_DAYS, MESSAGE_LIFETIME},
    work::Work,
};

/// Whom somebody who goes asks to come along.
#[derive(Debug, Clone, Copy)]
pub enum Company<'a> {
    /// All members but these.
    AllBut(&'a [String]),
    /// These members.
    Only(&'a [String]),
}

/// What came of going away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// Number of the membership in the new cluster.
    pub cluster: i64,
    /// The link to it.
    pub link: String,
    /// Nicknames of those who were asked to come along.
    pub asked: Vec<String>,
}

impl Chat {
    /// Founds a cluster by the rules of one that we are in, and sends members of that one a link to it, each by itself. What they are in
    /// stays as it is. Whoever comes by the link has our vote.
    pub fn split_cluster(
        &mut self,
        which: &str,
        company: Company<'_>,
        name: Option<&str>,
        now: Now,
    ) -> Result<Departure, ChatError> {
        self.dirty = true;
        self.transact(|work| work.split_cluster(which, company, name, now))
    }
}

impl Work<'_> {
    fn split_cluster(&mut self, which: &str, company: Company<'_>, name: Option<&str>, now: Now) -> Result<Departure, ChatError> {
        let row = self.find_cluster(which)?;
        let (_, tip) = row.place()?;
        let state = self.state_row(row.cluster, &tip)?.ok_or(ChatError::Bug("tip of a cluster"))?;
        let named = |who: &[String]| who.iter().map(|who| find_member(&state, who)).collect::<Result<Vec<MemberId>, _>>();
        let (named, with) = match company {
            Company::AllBut(who) => (named(who)?, false),
            Company::Only(who) => (named(who)?, true),
        };
        let others = state.members.iter().filter(|leaf| leaf.member != row.member);
        let asked: Vec<_> = others.filter(|leaf| named.contains(&leaf.member) == with).collect();
        if asked.is_empty() {
            return Err(ChatError::Usage("nobody is left to come along: name other members".into()));
        }
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.next_name(&row.name)?,
        };
        let charter = Charter { name, ..state.context.charter.clone() };
        let cluster = self.found_cluster(&charter, &row.nick, now)?;
        let link = self.invite_to_cluster(&cluster.to_string(), "", COME_ALONG_DAYS, now)?;
        let text = format!(
            "I have founded the cluster \"{}\" and ask you to come along, together with others of \"{}\". To join: samizdat cluster join {link}",
            charter.name, row.name
        );
        for leaf in &asked {
            self.write_to_member(&row, &leaf.member, &text, MESSAGE_LIFETIME, now)?;
        }
        Ok(Departure { cluster, link, asked: asked.iter().map(|leaf| leaf.nick.clone()).collect() })
    }

    /// `nest 2` after `nest`: a name that means one cluster.
    fn next_name(&self, name: &str) -> Result<String, ChatError> {
        let taken: Vec<String> = self.cluster_rows()?.into_iter().map(|row| row.name).collect();
        let base = match name.rsplit_once(' ') {
            Some((base, number)) if number.parse::<u32>().is_ok() => base,
            _ => name,
        };
        let mut names = (2u32..).map(|number| format!("{base} {number}"));
        names.find(|name| !taken.contains(name)).ok_or(ChatError::Bug("a name"))
    }
}
