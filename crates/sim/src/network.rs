//! Connections, and how long frames are under way.
//!
//! A frame needs the delay of the link and some jitter. It is cut into packets; a packet is lost with the chance `loss` and
//! comes again one round trip later. Frames between two nodes stay in order, so one that waits holds up those behind it.
//! With the chance `breaks`, a lost packet takes the connection with it. A connection that broke, whose other end died or
//! lies beyond a partition swallows frames until both ends give it up.

use std::collections::BTreeMap;

use samizdat_sync::draw::Draw;

use crate::{
    limits::{PACKET_BYTES, RETRIES_MAX},
    scenario::Link,
};

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It arrives then, if the connection is still the same.
    Arrives { at: u64, epoch: u64 },
    /// It never arrives, and nothing after it.
    Breaks { epoch: u64 },
    /// There is no connection that works.
    Nowhere,
}

#[derive(Debug)]
pub(crate) struct Network {
    link: Link,
    draw: Draw,
    /// By their two ends, the lower first.
    connections: BTreeMap<(usize, usize), Connection>,
    epochs: u64,
    /// When the last byte that a node sent has left it.
    uplinks: BTreeMap<usize, u64>,
}

#[derive(Debug)]
struct Connection {
    epoch: u64,
    silent: bool,
    /// When the last frame to the lower and to the higher end arrives.
    last: [u64; 2],
}

impl Network {
    pub(crate) fn new(link: Link, draw: Draw) -> Self {
        Self { link, draw, connections: BTreeMap::new(), epochs: 0, uplinks: BTreeMap::new() }
    }

    /// One way, without a frame.
    pub(crate) fn delay(&mut self) -> u64 {
        self.link.delay_ms.saturating_add(self.draw.below(self.link.jitter_ms.saturating_add(1)))
    }

    /// A new connection; false if one that works is there.
    pub(crate) fn open(&mut self, a: usize, b: usize) -> bool {
        if self.connections.get(&ends(a, b)).is_some_and(|connection| !connection.silent) {
            return false;
        }
        self.epochs = self.epochs.wrapping_add(1);
        self.connections.insert(ends(a, b), Connection { epoch: self.epochs, silent: false, last: [0; 2] });
        true
    }

    /// Ends the connection of this epoch; false if it is gone or another.
    pub(crate) fn close(&mut self, a: usize, b: usize, epoch: u64) -> bool {
        let same = self.is(a, b, epoch);
        if same {
            self.connections.remove(&ends(a, b));
        }
        same
    }

    /// Ends every connection of a node; with whom they were.
    pub(crate) fn end_all(&mut self, node: usize) -> Vec<usize> {
        let (ended, left) = std::mem::take(&mut self.connections).into_iter().partition(|((a, b), _)| *a == node || *b == node);
        self.connections = left;
        let ended: BTreeMap<(usize, usize), Connection> = ended;
        ended.into_keys().map(|(a, b)| if a == node { b } else { a }).collect()
    }

    pub(crate) fn is(&self, a: usize, b: usize, epoch: u64) -> bool {
        self.connections.get(&ends(a, b)).is_some_and(|connection| connection.epoch == epoch)
    }

    /// Both ends of every working connection that `chosen` picks fall silent; their epochs.
    pub(crate) fn silence(&mut self, chosen: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize, u64)> {
        let picked = self.connections.iter_mut().filter(|((a, b), connection)| !connection.silent && chosen(*a, *b));
        picked
            .map(|((a, b), connection)| {
                connection.silent = true;
                (*a, *b, connection.epoch)
            })
            .collect()
    }

    pub(crate) fn frame(&mut self, from: usize, to: usize, bytes: usize, now: u64) -> Passage {
        let Some(connection) = self.connections.get_mut(&ends(from, to)) else { return Passage::Nowhere };
        if connection.silent {
            return Passage::Nowhere;
        }
        let epoch = connection.epoch;
        let mut at = now;
        if let Some(kbit_per_s) = self.link.kbit_per_s {
            let free = self.uplinks.entry(from).or_default();
            let bits = (bytes as u64).saturating_mul(8);
            *free = now.max(*free).saturating_add(bits.checked_div(kbit_per_s).unwrap_or(0));
            at = *free;
        }
        let mut packets = bytes.div_ceil(PACKET_BYTES);
        for retry in 0..=RETRIES_MAX {
            packets = (0..packets).filter(|_| chance(&mut self.draw, self.link.loss)).count();
            if packets == 0 {
                break;
            }
            if retry == RETRIES_MAX || chance(&mut self.draw, self.link.breaks) {
                connection.silent = true;
                return Passage::Breaks { epoch };
            }
            at = at.saturating_add(self.link.delay_ms.saturating_mul(2));
        }
        let jitter = self.draw.below(self.link.jitter_ms.saturating_add(1));
        let [lower, higher] = &mut connection.last;
        let last = if to < from { lower } else { higher };
        at = at.saturating_add(self.link.delay_ms).saturating_add(jitter).max(*last);
        *last = at;
        Passage::Arrives { at, epoch }
    }
}

/// True with this chance between 0 and 1, in steps of a millionth.
pub(crate) fn chance(draw: &mut Draw, chance: f64) -> bool {
    const MILLION: u64 = 1_000_000;
    chance > 0.0 && (draw.below(MILLION) as f64) < chance * (MILLION as f64)
}

fn ends(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    fn network(loss: f64, kbit_per_s: Option<u64>) -> Network {
        let link = Link { delay_ms: 100, jitter_ms: 10, loss, breaks: 0.0, kbit_per_s };
        let mut network = Network::new(link, Draw::new([3; 32]));
        assert!(network.open(4, 1) && !network.open(1, 4));
        network
    }

    fn arrivals(network: &mut Network, bytes: usize) -> Vec<u64> {
        (0..2_000)
            .map(|now| match network.frame(1, 4, bytes, now * 1_000) {
                Passage::Arrives { at, .. } => at - now * 1_000,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn loss_shows_as_round_trips() {
        assert!(arrivals(&mut network(0.0, None), 700).iter().all(|delay| (100..=110).contains(delay)));
        let lossy = arrivals(&mut network(0.1, None), 700);
        let late = lossy.iter().filter(|delay| **delay >= 300).count();
        assert!((150..260).contains(&late), "{late} of 2000 frames were late");
        assert!(lossy.iter().all(|delay| (delay % 200) >= 100 && (delay % 200) <= 110), "whole round trips");
        let large = arrivals(&mut network(0.1, None), 7_000).iter().filter(|delay| **delay >= 300).count();
        assert!(large > 2 * late, "more packets, more of them lost: {large}");
    }

    #[test]
    fn frames_stay_in_order_and_bandwidth_is_shared() {
        let mut network = network(0.3, Some(1_000));
        let mut last = 0;
        for _ in 0..100 {
            let Passage::Arrives { at, .. } = network.frame(4, 1, 1_250, 0) else { panic!() };
            assert!(at >= last);
            last = at;
        }
        assert!(last >= 1_000 + 100, "125 kB at 1 Mbit/s take a second: {last}");
    }

    #[test]
    fn a_silent_connection_swallows_frames_until_it_is_replaced() {
        let mut network = network(0.0, None);
        let cut = network.silence(|a, b| (a, b) == (1, 4));
        assert_eq!(cut.len(), 1);
        assert_eq!(network.frame(1, 4, 10, 0), Passage::Nowhere);
        assert!(network.open(1, 4));
        assert!(!network.close(1, 4, cut[0].2), "that one is gone");
        assert!(matches!(network.frame(1, 4, 10, 0), Passage::Arrives { .. }));
    }
}
