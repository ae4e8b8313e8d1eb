//! The smallest combinations of steps that reach a goal.

/// The most steps that are combined: whoever needs five changes needs another login.
const MOST_STEPS: u32 = 4;

/// The most combinations that are tried: a decision takes microseconds.
const MOST_TRIALS: usize = 2_000;

/// The most answers that are given.
const MOST_ANSWERS: usize = 4;

/// The combinations of steps (by index, each with its cost) that reach the goal, the cheapest first. None
/// contains another: each of its steps is needed.
pub(super) fn smallest(costs: &[u32], reaches: impl Fn(&[usize]) -> bool) -> Vec<Vec<usize>> {
    let most = costs.len().min(16);
    let mut combinations: Vec<u32> = (1..1_u32 << most)
        .filter(|steps| steps.count_ones() <= MOST_STEPS)
        .collect();
    let cost = |steps: u32| -> u32 { indexes(steps).into_iter().map(|one| costs[one]).sum() };
    combinations.sort_by_key(|steps| (cost(*steps), steps.count_ones()));
    let mut answers: Vec<u32> = Vec::new();
    for steps in combinations.into_iter().take(MOST_TRIALS) {
        let is_smallest = answers.iter().all(|answer| steps & answer != *answer);
        if is_smallest && reaches(&indexes(steps)) {
            answers.push(steps);
            if answers.len() == MOST_ANSWERS {
                break;
            }
        }
    }
    answers.into_iter().map(indexes).collect()
}

fn indexes(steps: u32) -> Vec<usize> {
    let bits = (0_usize..32).filter(|bit| steps & (1 << bit) != 0);
    bits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_comes_first_and_none_contains_another() {
        let reaches =
            |steps: &[usize]| steps.contains(&2) || (steps.contains(&0) && steps.contains(&1));
        assert_eq!(smallest(&[1, 1, 3], reaches), [vec![0, 1], vec![2]]);
        assert_eq!(smallest(&[1, 1, 1], reaches), [vec![2], vec![0, 1]]);
        assert!(smallest(&[], reaches).is_empty());
        assert!(smallest(&[1; 16], |_| false).is_empty());
    }
}
