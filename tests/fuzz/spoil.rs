//! Makes hostile text out of good text, the same each time.

/// Bits and pieces that parsers stumble over.
const PIECES: [&str; 28] = [
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "=",
    "\n",
    "\0",
    ".",
    ",",
    ":",
    "#",
    "-",
    "é",
    "\u{1F600}",
    "\u{feff}",
    "null",
    "true",
    "99999999999999999999",
    "-0.0",
    "1e999",
    "[[",
    "\"\"\"",
    "\\u0000",
];

/// Goes on making spoiled seeds, without end.
pub(crate) struct Spoiler {
    seeds: Vec<String>,
    state: u64,
}

impl Spoiler {
    pub(crate) fn new(seeds: Vec<String>) -> Self {
        Self {
            seeds,
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// A seed with one to six changes.
    pub(crate) fn next(&mut self) -> String {
        let mut text: Vec<char> = self.seed().chars().collect();
        for _ in 0..=self.below(6) {
            self.change(&mut text);
        }
        text.into_iter().collect()
    }

    fn change(&mut self, text: &mut Vec<char>) {
        let from = self.below(text.len() + 1);
        let to = (from + self.below(12)).min(text.len());
        match self.below(6) {
            0 => drop(text.drain(from..to)),
            1 => {
                let piece = PIECES[self.below(PIECES.len())];
                text.splice(from..from, piece.chars());
            }
            2 => {
                let piece = PIECES[self.below(PIECES.len())];
                text.splice(from..to, piece.chars());
            }
            // A part of the same text once more, at another place.
            3 => {
                let part: Vec<char> = text[from..to].to_vec();
                let times = 1 + self.below(3) * self.below(40);
                let at = self.below(text.len() + 1);
                text.splice(at..at, part.repeat(times));
            }
            // The end of another seed.
            4 => {
                let other: Vec<char> = self.seed().chars().collect();
                let other_from = self.below(other.len() + 1);
                text.truncate(from);
                text.extend(&other[other_from..]);
            }
            _ => text.truncate(from),
        }
    }

    fn seed(&mut self) -> String {
        let index = self.below(self.seeds.len());
        self.seeds[index].clone()
    }

    /// A number below `limit`, which is not nothing. xorshift64: fair enough, and the same each time.
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).expect("31 bits") % limit
    }
}
