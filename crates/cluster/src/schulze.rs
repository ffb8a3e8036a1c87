//! The method of Schulze (2011): who beats whom along the strongest chain of pairs. A winner of all pairs wins.

/// All options, the best first; of equals the lower number. Each ballot has options from the best on; what it leaves out is worse
/// than what it names, and equal among each other.
pub(crate) fn ranking(options: usize, ballots: &[&[u8]]) -> Vec<u8> {
    let strength = strongest_paths(&beaten_by(options, ballots));
    let mut rest: Vec<usize> = (0..options).collect();
    let mut order = Vec::new();
    // The relation has no circles, so somebody is always unbeaten.
    while let Some(best) = rest.iter().copied().find(|one| !rest.iter().any(|other| beats(&strength, *other, *one))) {
        rest.retain(|option| *option != best);
        order.extend(u8::try_from(best));
    }
    order
}

type Matrix = Vec<Vec<usize>>;

fn at(matrix: &Matrix, row: usize, column: usize) -> usize {
    matrix.get(row).and_then(|row| row.get(column)).copied().unwrap_or(0)
}

fn beats(strength: &Matrix, one: usize, other: usize) -> bool {
    at(strength, one, other) > at(strength, other, one)
}

fn matrix(options: usize, entry: impl Fn(usize, usize) -> usize) -> Matrix {
    (0..options).map(|row| (0..options).map(|column| entry(row, column)).collect()).collect()
}

/// How many prefer row to column.
fn beaten_by(options: usize, ballots: &[&[u8]]) -> Matrix {
    let place = |ballot: &[u8], option: usize| ballot.iter().position(|o| usize::from(*o) == option).unwrap_or(usize::MAX);
    matrix(options, |one, other| ballots.iter().filter(|ballot| place(ballot, one) < place(ballot, other)).count())
}

/// Floyd and Warshall, with the weakest link for the length of a path.
fn strongest_paths(preferred: &Matrix) -> Matrix {
    let options = preferred.len();
    let won = |one, other| at(preferred, one, other) > at(preferred, other, one);
    let mut strength = matrix(options, |one, other| if won(one, other) { at(preferred, one, other) } else { 0 });
    for via in 0..options {
        strength = matrix(options, |from, to| {
            let detour = at(&strength, from, via).min(at(&strength, via, to));
            at(&strength, from, to).max(if from == to { 0 } else { detour })
        });
    }
    strength
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use proptest::prelude::*;

    fn order(groups: &[(usize, &str)], options: usize) -> String {
        let ballots: Vec<Vec<u8>> =
            groups.iter().flat_map(|(count, text)| vec![text.bytes().map(|b| b - b'A').collect(); *count]).collect();
        let ballots: Vec<&[u8]> = ballots.iter().map(Vec::as_slice).collect();
        ranking(options, &ballots).into_iter().map(|option| char::from(option + b'A')).collect()
    }

    /// The example of 45 voters and 5 candidates in Schulze's paper.
    #[test]
    fn the_known_example() {
        let groups =
            [(5, "ACBED"), (5, "ADECB"), (8, "BEDAC"), (3, "CABED"), (7, "CAEBD"), (2, "CBADE"), (7, "DCEBA"), (8, "EBADC")];
        assert_eq!(order(&groups, 5), "EACBD");
    }

    #[test]
    fn ties_go_by_the_order_of_the_question() {
        assert_eq!(order(&[], 4), "ABCD");
        assert_eq!(order(&[(1, "AB"), (1, "BA")], 3), "ABC");
        assert_eq!(order(&[(2, "C")], 3), "CAB");
        assert_eq!(order(&[(1, "ABC"), (1, "BCA"), (1, "CAB")], 3), "ABC");
    }

    #[test]
    fn what_a_ballot_leaves_out_and_pairs_that_nobody_wins_count_for_neither() {
        assert_eq!(order(&[(1, "BCA"), (1, "CA"), (1, "B"), (1, "ABC"), (1, "CAB")], 3), "ABC");
        assert_eq!(order(&[(1, "CB"), (1, "A")], 3), "ACB");
    }

    proptest! {
        /// Who wins every pair is first, and every option has one place.
        #[test]
        fn a_winner_of_all_pairs_wins(ballots in prop::collection::vec(Just(vec![0u8, 1, 2, 3]).prop_shuffle(), 0..12)) {
            let ballots: Vec<&[u8]> = ballots.iter().map(Vec::as_slice).collect();
            let ranking = ranking(4, &ballots);
            let mut sorted = ranking.clone();
            sorted.sort();
            prop_assert_eq!(sorted, vec![0, 1, 2, 3]);
            let preferred = beaten_by(4, &ballots);
            let winner = (0..4).find(|one| (0..4).all(|other| *one == other || at(&preferred, *one, other) > at(&preferred, other, *one)));
            if let Some(winner) = winner {
                prop_assert_eq!(usize::from(ranking[0]), winner);
            }
        }
    }
}
