//! What happens next.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Events in the order of time; those of one moment in the order in which they were made.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Due<E>>,
    serial: u64,
}

#[derive(Debug)]
struct Due<E> {
    at: u64,
    serial: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), serial: 0 }
    }

    pub(crate) fn push(&mut self, at: u64, event: E) {
        self.serial = self.serial.wrapping_add(1);
        self.heap.push(Due { at, serial: self.serial, event });
    }

    /// The next event that happens no later than `end`.
    pub(crate) fn pop_until(&mut self, end: u64) -> Option<(u64, E)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        self.heap.pop().map(|due| (due.at, due.event))
    }
}

impl<E> Ord for Due<E> {
    /// The heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Due<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_made() {
        let mut queue = Queue::new();
        [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b'), (9, 'e')].into_iter().for_each(|(at, event)| queue.push(at, event));
        let told: String = std::iter::from_fn(|| queue.pop_until(5)).map(|(_, event)| event).collect();
        assert_eq!(told, "abcd");
        assert_eq!(queue.pop_until(9), Some((9, 'e')));
    }
}
