//! One step of comparing two ordered sets range by range.
//!
//! Each frame covers the whole order, so that no state is kept between steps: the sets may change meanwhile.

use crate::codec::{Claim, Range};
use crate::draw::Draw;
use crate::limits::{LIST_MAX, LISTED_PER_FRAME, OPEN_RANGES, RANGES_PER_FRAME, SPLIT_MAX};
use crate::tree::{Bound, Entry, Span, Summary, Tree};

/// A range of the other side beside what we hold in it.
#[derive(Debug)]
pub struct Compared {
    /// Where.
    pub span: Span,
    /// What we hold.
    pub mine: Summary,
    /// What they say.
    pub theirs: Claim,
}

impl Compared {
    /// Entries on both sides, if the sides differ and only fingerprints are known.
    pub fn mismatch(&self) -> Option<(u64, u64)> {
        match self.theirs {
            Claim::Print { count, print } if print != self.mine.print() => Some((self.mine.count, count)),
            _ => None,
        }
    }
}

/// The answer to ranges, and what came out of them.
#[derive(Debug, Default)]
pub struct Answer {
    /// What to say; `None` if nothing is left open.
    pub ranges: Option<Vec<Range>>,
    /// What the other side certainly lacks.
    pub they_lack: Vec<Span>,
    /// What we certainly lack and know by name.
    pub we_lack: Vec<Entry>,
    /// Whether anything was settled or listed, so that coded symbols would repeat it.
    pub settled: bool,
}

/// The first ranges: each is about a quarter of the one before, so that the newest hours are looked at closely. The cuts
/// vary, so that nobody can prepare a set which looks like ours.
pub fn opening(tree: &Tree, draw: &mut Draw) -> Vec<Range> {
    let mut ranges = Vec::new();
    let (mut lower, mut left) = (Bound::START, tree.len());
    while ranges.len().saturating_add(1) < OPEN_RANGES && left > LIST_MAX.saturating_mul(4) {
        left = draw.around(left / 4);
        let upper = cut(tree, tree.len().saturating_sub(left));
        push_print(tree, &mut ranges, &mut lower, upper);
    }
    push_print(tree, &mut ranges, &mut lower, Bound::End);
    ranges
}

/// Looks up what we hold in each range.
pub fn compare(tree: &Tree, ranges: Vec<Range>) -> Vec<Compared> {
    let mut from = Bound::START;
    let mut compared = Vec::with_capacity(ranges.len());
    for range in ranges {
        let span = Span { from, to: range.upper };
        let mine = if range.claim == Claim::Same { Summary::default() } else { tree.summary(&span) };
        compared.push(Compared { span, mine, theirs: range.claim });
        from = range.upper;
    }
    compared
}

/// Settles what can be settled and splits the rest.
pub fn answer(tree: &Tree, compared: Vec<Compared>, draw: &mut Draw) -> Answer {
    let mut answer = Answer::default();
    let mut ranges: Vec<Range> = Vec::new();
    let mut listed = 0_u64;
    for Compared { span, mine, theirs } in compared {
        let mut lower = span.from;
        let full = ranges.len().saturating_add(SPLIT_MAX as usize) >= RANGES_PER_FRAME
            || listed.saturating_add(LIST_MAX) > LISTED_PER_FRAME as u64;
        if full {
            push_print(tree, &mut ranges, &mut lower, Bound::End);
            break;
        }
        let claim = match theirs {
            Claim::Same => Claim::Same,
            Claim::All(entries) => {
                settle(tree, &span, &entries, &mut answer);
                Claim::Same
            }
            Claim::Print { print, .. } if print == mine.print() => Claim::Same,
            Claim::Print { count: 0, .. } => {
                answer.they_lack.push(span);
                Claim::Same
            }
            Claim::Print { .. } if mine.count <= LIST_MAX => {
                listed = listed.saturating_add(mine.count);
                answer.settled = true;
                Claim::All(tree.entries(&span, LIST_MAX as usize))
            }
            // They will list theirs.
            Claim::Print { count, .. } if count <= LIST_MAX => Claim::Print { count: mine.count, print: mine.print() },
            Claim::Print { .. } => {
                split(tree, &mut ranges, span, mine.count, draw);
                continue;
            }
        };
        match ranges.last_mut() {
            Some(last) if last.claim == Claim::Same && claim == Claim::Same => last.upper = span.to,
            _ => ranges.push(Range { upper: span.to, claim }),
        }
    }
    answer.settled |= !answer.they_lack.is_empty() || !answer.we_lack.is_empty();
    answer.ranges = ranges.iter().any(|r| r.claim != Claim::Same).then_some(ranges);
    answer
}

/// The whole set in equal parts.
pub fn whole(tree: &Tree, draw: &mut Draw) -> Vec<Range> {
    let mut ranges = Vec::new();
    split(tree, &mut ranges, Span::ALL, tree.len(), draw);
    ranges
}

fn split(tree: &Tree, ranges: &mut Vec<Range>, span: Span, count: u64, draw: &mut Draw) {
    let parts = (count / 16).clamp(1, SPLIT_MAX);
    let (first, width) = (tree.rank(&span.from), count.checked_div(parts).unwrap_or(0));
    let mut lower = span.from;
    for part in 1..parts {
        let near = width.saturating_mul(part).saturating_sub(width / 4);
        let rank = first.saturating_add(near).saturating_add(draw.below(width / 2));
        push_print(tree, ranges, &mut lower, cut(tree, rank));
    }
    push_print(tree, ranges, &mut lower, span.to);
}

fn push_print(tree: &Tree, ranges: &mut Vec<Range>, lower: &mut Bound, upper: Bound) {
    if *lower < upper {
        let mine = tree.summary(&Span { from: *lower, to: upper });
        ranges.push(Range { upper, claim: Claim::Print { count: mine.count, print: mine.print() } });
        *lower = upper;
    }
}

/// The shortest bound right before the entry of this rank.
fn cut(tree: &Tree, rank: u64) -> Bound {
    let Some(at) = tree.select(rank) else { return Bound::End };
    let before = rank.checked_sub(1).and_then(|rank| tree.select(rank));
    let same = match before {
        Some(before) if before.hour == at.hour => before.id.0.iter().zip(at.id.0).take_while(|(a, b)| **a == *b).count(),
        _ => return Bound::At(Entry { hour: at.hour, ..Entry::MIN }),
    };
    let mut short = Entry { hour: at.hour, ..Entry::MIN };
    short.id.0.iter_mut().zip(at.id.0).take(same.saturating_add(1)).for_each(|(to, from)| *to = from);
    Bound::At(short)
}

/// They listed all they hold in the span.
fn settle(tree: &Tree, span: &Span, listed: &[Entry], answer: &mut Answer) {
    let mut from = span.from;
    for entry in listed {
        push_held(tree, Span { from, to: Bound::At(*entry) }, answer);
        if !tree.contains(entry) {
            answer.we_lack.push(*entry);
        }
        from = entry.next();
    }
    push_held(tree, Span { from, to: span.to }, answer);
}

fn push_held(tree: &Tree, span: Span, answer: &mut Answer) {
    if tree.summary(&span).count > 0 {
        answer.they_lack.push(span);
    }
}
