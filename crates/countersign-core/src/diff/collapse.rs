//! Many cases told in few words: sets of values in place of single ones, and nothing where every
//! value does.

use std::collections::{BTreeMap, BTreeSet};

use super::What;

/// One case: its words by number.
pub(super) type Tuple = [u32; DIMENSIONS];

const DIMENSIONS: usize = What::ALL.len();

type Sets = [BTreeSet<u32>; DIMENSIONS];

/// All cases whose every word is in one of these sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    sets: Sets,
    /// Whether any other value would make a difference.
    matters: [bool; DIMENSIONS],
}

impl Shape {
    pub(super) fn holds(&self, tuple: &Tuple) -> bool {
        let mut words = self.sets.iter().zip(tuple);
        words.all(|(set, word)| set.contains(word))
    }

    /// For each dimension the values, where they matter.
    pub(super) fn told(&self) -> impl Iterator<Item = Option<&BTreeSet<u32>>> {
        let sets = self.sets.iter().zip(self.matters);
        sets.map(|(set, matters)| matters.then_some(set))
    }

    fn words(&self) -> [Option<BTreeSet<u32>>; DIMENSIONS] {
        let mut words = [const { None }; DIMENSIONS];
        for (word, told) in words.iter_mut().zip(self.told()) {
            *word = told.cloned();
        }
        words
    }

    fn of(sets: Sets, all: &[Tuple]) -> Self {
        let mut matters = [false; DIMENSIONS];
        for tuple in all {
            let words = sets.iter().zip(tuple).enumerate();
            let mut outside = words.filter(|(_, (set, word))| !set.contains(word));
            // A case that lies outside by one word only shows that this word matters.
            if let (Some((dimension, _)), None) = (outside.next(), outside.next()) {
                matters[dimension] = true;
            }
        }
        Self { sets, matters }
    }
}

/// These cases as few shapes; `all` are the cases that there are, these among them.
pub(super) fn shapes(these: &[Tuple], all: &[Tuple]) -> Vec<Shape> {
    let mut shapes = boxes(these, all);
    loop {
        let before = shapes.len();
        for dimension in 0..DIMENSIONS {
            shapes = united(shapes, dimension, all);
        }
        if shapes.len() == before {
            return shapes;
        }
    }
}

/// Unites shapes that are told in the same words but for this dimension. What does not matter to
/// either may differ: not every value comes with every other.
fn united(shapes: Vec<Shape>, dimension: usize, all: &[Tuple]) -> Vec<Shape> {
    let mut by_words: BTreeMap<[Option<BTreeSet<u32>>; DIMENSIONS], Vec<Shape>> = BTreeMap::new();
    for shape in shapes {
        let mut words = shape.words();
        let own = words[dimension].take();
        // Where it does not matter, there is nothing to unite.
        words[dimension] = own.is_none().then(BTreeSet::new);
        by_words.entry(words).or_default().push(shape);
    }
    let united = by_words.into_values().filter_map(|alike| {
        let all_sets = alike
            .into_iter()
            .map(|shape| shape.sets)
            .reduce(|mut one, two| {
                for (set, more) in one.iter_mut().zip(two) {
                    set.extend(more);
                }
                one
            });
        all_sets.map(|sets| Shape::of(sets, all))
    });
    united.collect()
}

/// These cases as products of sets.
fn boxes(these: &[Tuple], all: &[Tuple]) -> Vec<Shape> {
    let mut numbered = NumberedSets::default();
    let single = |word| BTreeSet::from([word]);
    let mut shapes: Vec<Tuple> = these
        .iter()
        .map(|tuple| tuple.map(|word| numbered.number(single(word))))
        .collect();
    loop {
        let before = shapes.len();
        for dimension in 0..DIMENSIONS {
            shapes = joined(&mut numbered, shapes, dimension);
        }
        if shapes.len() == before {
            break;
        }
    }
    let sets = |shape: Tuple| shape.map(|number| numbered.set(number));
    shapes
        .into_iter()
        .map(|one| Shape::of(sets(one), all))
        .collect()
}

/// Joins shapes that differ in this dimension only.
fn joined(numbered: &mut NumberedSets, shapes: Vec<Tuple>, dimension: usize) -> Vec<Tuple> {
    let mut by_rest: BTreeMap<Tuple, BTreeSet<u32>> = BTreeMap::new();
    for mut shape in shapes {
        let own = std::mem::take(&mut shape[dimension]);
        by_rest.entry(shape).or_default().extend(numbered.set(own));
    }
    by_rest
        .into_iter()
        .map(|(mut shape, values)| {
            shape[dimension] = numbered.number(values);
            shape
        })
        .collect()
}

/// Sets by number, so that shapes with many of them compare fast.
#[derive(Debug, Default)]
struct NumberedSets {
    sets: Vec<BTreeSet<u32>>,
    numbers: BTreeMap<BTreeSet<u32>, u32>,
}

impl NumberedSets {
    fn number(&mut self, set: BTreeSet<u32>) -> u32 {
        let next = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(set.clone()).or_insert(next);
        if number == next {
            self.sets.push(set);
        }
        number
    }

    fn set(&self, number: u32) -> BTreeSet<u32> {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        self.sets.get(index).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(first: u32, second: u32) -> Tuple {
        let mut tuple = [0; DIMENSIONS];
        (tuple[0], tuple[1]) = (first, second);
        tuple
    }

    /// Each shape as the sets of its first two dimensions, `*` where they do not matter.
    fn told(these: &[(u32, u32)], all: &[(u32, u32)]) -> Vec<String> {
        let tuples = |all: &[(u32, u32)]| {
            all.iter()
                .map(|one| tuple(one.0, one.1))
                .collect::<Vec<_>>()
        };
        let shapes = shapes(&tuples(these), &tuples(all));
        let told = shapes.iter().map(|shape| {
            let mut sets = shape.told().map(|set| match set {
                Some(set) => format!("{set:?}"),
                None => "*".to_owned(),
            });
            let first = sets.next().unwrap();
            format!("{first} {}", sets.next().unwrap())
        });
        told.collect()
    }

    const FOUR: [(u32, u32); 4] = [(1, 1), (1, 2), (2, 1), (2, 2)];

    #[test]
    fn what_makes_no_difference_is_not_told() {
        assert_eq!(told(&FOUR, &FOUR), ["* *"]);
        assert_eq!(told(&[(1, 1), (1, 2)], &FOUR), ["{1} *"]);
        assert_eq!(told(&[(1, 1), (2, 1)], &FOUR), ["* {1}"]);
        assert_eq!(told(&[(1, 1)], &FOUR), ["{1} {1}"]);
        assert_eq!(told(&[(1, 1)], &[(1, 1)]), ["* *"]);
    }

    #[test]
    fn what_can_not_be_told_at_once_is_told_twice() {
        assert_eq!(told(&[(1, 1), (2, 2)], &FOUR), ["{1} {1}", "{2} {2}"]);
    }

    #[test]
    fn what_can_not_be_makes_no_difference() {
        // The second value of the second dimension never comes with the first of the first.
        let all = [(1, 1), (2, 1), (2, 2)];
        assert_eq!(told(&[(1, 1)], &all), ["{1} *"]);
    }

    #[test]
    fn what_does_not_matter_to_either_does_not_keep_them_apart() {
        // Each first value comes with second values of its own.
        let all = [(1, 1), (1, 2), (2, 3), (2, 4)];
        assert_eq!(told(&[(1, 1), (2, 3)], &all), ["* {1, 3}"]);
        assert_eq!(told(&all, &all), ["* *"]);
    }

    #[test]
    fn values_that_do_the_same_are_told_together() {
        let all: Vec<(u32, u32)> = (0..9).map(|n| (n / 3, n % 3)).collect();
        assert_eq!(
            told(&[(0, 0), (0, 1), (1, 0), (1, 1)], &all),
            ["{0, 1} {0, 1}"]
        );
    }
}
