//! The paths that a rule of a profile is for: `/api/v1/crates/{package}/{version}/yank`.
//!
//! `{name}` is one segment that is not empty; `{name**}` is one or more, as many as there can be, and stands in a template
//! once at most. Everything else is to the letter.

use std::collections::BTreeMap;

use thiserror::Error;

use super::target::is_unreserved;

/// What a path names, by the names of the template.
pub type Captured = BTreeMap<String, String>;

/// The longest template, in bytes.
const LONGEST: usize = 256;

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// What stands before whatever can be several segments; all, where there is no such thing.
    before: Vec<Part>,
    several: Option<Several>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Several {
    name: String,
    after: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name(String),
}

/// How much like a template a path must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// Its literals and its slash at the end are to the letter.
    ToTheLetter,
    /// Neither capital letters nor a slash at the end matter.
    Roughly,
}

/// What is wrong with a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It does not begin with a slash, or is too long.
    #[error("expected a path of at most 256 characters that begins with `/`")]
    NotAPath,
    /// A segment is neither a literal nor a name.
    #[error(
        "expected segments such as `api` (letters, digits, `-._~@:+`), `{{package}}` (one segment) or `{{package**}}` (one or more)"
    )]
    Segment,
    /// A name stands twice.
    #[error("a name stands twice")]
    Repeated,
    /// `{…**}` stands twice.
    #[error("`{{…**}}` stands twice: where one ends and the next begins, nobody could say")]
    TwoSeveral,
}

impl Template {
    /// Reads a template.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        let path = text.strip_prefix('/').filter(|_| text.len() <= LONGEST);
        let path = path.ok_or(TemplateError::NotAPath)?;
        let mut template = Self {
            before: Vec::new(),
            several: None,
        };
        let count = path.split('/').count();
        for (index, segment) in path.split('/').enumerate() {
            if segment.is_empty() && index + 1 < count {
                return Err(TemplateError::Segment);
            }
            template.push(segment)?;
        }
        if template.has_a_name_twice() {
            return Err(TemplateError::Repeated);
        }
        Ok(template)
    }

    fn push(&mut self, segment: &str) -> Result<(), TemplateError> {
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let Some(name) = name else {
            let is_literal = |byte| is_unreserved(byte) || b"@:+".contains(&byte);
            if !segment.bytes().all(is_literal) || matches!(segment, "." | "..") {
                return Err(TemplateError::Segment);
            }
            self.parts().push(Part::Literal(segment.to_owned()));
            return Ok(());
        };
        let (name, is_several) = match name.strip_suffix("**") {
            Some(name) => (name, true),
            None => (name, false),
        };
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            return Err(TemplateError::Segment);
        }
        let name = name.to_owned();
        if !is_several {
            self.parts().push(Part::Name(name));
        } else if self.several.is_some() {
            return Err(TemplateError::TwoSeveral);
        } else {
            let after = Vec::new();
            self.several = Some(Several { name, after });
        }
        Ok(())
    }

    fn parts(&mut self) -> &mut Vec<Part> {
        match &mut self.several {
            Some(several) => &mut several.after,
            None => &mut self.before,
        }
    }

    fn has_a_name_twice(&self) -> bool {
        let mut names: Vec<&str> = self.names().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        names.len() < all
    }

    /// The names that it gives to parts of a path.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let after = self.several.iter().flat_map(|several| &several.after);
        let single = self.before.iter().chain(after);
        let single = single.filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        });
        single.chain(self.several.iter().map(|several| several.name.as_str()))
    }

    /// What the segments of a path are in it, if they fit.
    pub(super) fn fit(&self, segments: &[String], how: Fit) -> Option<Captured> {
        let mut names = Captured::new();
        let Some(several) = &self.several else {
            let (parts, segments) = trimmed(&self.before, segments, how);
            let fits = segments.len() == parts.len() && fit_parts(parts, segments, how, &mut names);
            return fits.then_some(names);
        };
        let (after, segments) = trimmed(&several.after, segments, how);
        let middle = segments
            .len()
            .checked_sub(self.before.len() + after.len())?;
        let (before, rest) = segments.split_at(self.before.len());
        let (middle, rest) = rest.split_at(middle);
        let is_several = middle.first().is_some_and(|first| !first.is_empty())
            && middle.last().is_some_and(|last| !last.is_empty());
        let fits = is_several
            && fit_parts(&self.before, before, how, &mut names)
            && fit_parts(after, rest, how, &mut names);
        names.insert(several.name.clone(), middle.join("/"));
        fits.then_some(names)
    }

    /// Whether every path that fits the other one fits this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let Some(several) = &self.several else {
            return other.several.is_none() && cover_all(&self.before, &other.before);
        };
        let (head, tail, is_longer): (&[Part], &[Part], bool) = match &other.several {
            Some(theirs) => (&other.before, &theirs.after, true),
            None => (&other.before, &other.before, false),
        };
        if head.len() < self.before.len() || tail.len() < several.after.len() {
            return false;
        }
        let has_middle = is_longer || head.len() > self.before.len() + several.after.len();
        // A name takes no empty segment, and so not the one behind a slash at the end.
        let ends_openly = several.after.is_empty() && !is_longer && ends_with_slash(head);
        let (head, _) = head.split_at(self.before.len());
        let (_, tail) = tail.split_at(tail.len() - several.after.len());
        has_middle
            && !ends_openly
            && cover_all(&self.before, head)
            && cover_all(&several.after, tail)
    }
}

fn ends_with_slash(parts: &[Part]) -> bool {
    matches!(parts.last(), Some(Part::Literal(last)) if last.is_empty())
}

/// Both without the slash at their end, where that does not matter.
fn trimmed<'p, 's>(
    parts: &'p [Part],
    segments: &'s [String],
    how: Fit,
) -> (&'p [Part], &'s [String]) {
    if how == Fit::ToTheLetter {
        return (parts, segments);
    }
    let parts = match parts {
        [before @ .., _] if ends_with_slash(parts) && !before.is_empty() => before,
        all => all,
    };
    let segments = match segments {
        [before @ .., last] if last.is_empty() && !before.is_empty() => before,
        all => all,
    };
    (parts, segments)
}

fn fit_parts(parts: &[Part], segments: &[String], how: Fit, names: &mut Captured) -> bool {
    let fits = |part: &Part, segment: &String| match (part, how) {
        (Part::Literal(text), Fit::Roughly) => text.eq_ignore_ascii_case(segment),
        (Part::Literal(text), Fit::ToTheLetter) => text == segment,
        (Part::Name(_), _) => !segment.is_empty(),
    };
    let pairs = || parts.iter().zip(segments);
    if !pairs().all(|(part, segment)| fits(part, segment)) {
        return false;
    }
    names.extend(pairs().filter_map(|(part, segment)| match part {
        Part::Name(name) => Some((name.clone(), segment.clone())),
        Part::Literal(_) => None,
    }));
    true
}

fn cover_all(mine: &[Part], theirs: &[Part]) -> bool {
    let covers = |(mine, theirs): (&Part, &Part)| match (mine, theirs) {
        (Part::Name(_), Part::Name(_)) => true,
        (Part::Name(_), Part::Literal(text)) => !text.is_empty(),
        (Part::Literal(mine), Part::Literal(theirs)) => mine == theirs,
        (Part::Literal(_), Part::Name(_)) => false,
    };
    mine.len() == theirs.len() && mine.iter().zip(theirs).all(covers)
}
