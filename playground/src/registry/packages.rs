//! The packages, in memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most packages there are.
const LIMIT: usize = 1000;
/// The longest name and the longest version, in bytes.
const LONGEST_NAME: usize = 64;
const LONGEST_VERSION: usize = 32;

/// What a publisher sends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) version: String,
}

/// One package.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    /// The `sub` of who published it first; nobody's for the samples.
    pub(super) publisher: Option<String>,
}

/// Why a package is not taken, or not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotDone {
    #[error("a name is 1 to 64 of a-z, 0-9, `-`, `_` and `.`")]
    Name,
    #[error("a version is 1 to 32 of letters, digits, `-`, `+` and `.`")]
    Version,
    #[error("this package belongs to somebody else")]
    NotYours,
    #[error("there is no such package")]
    Unknown,
    #[error("this registry is full")]
    Full,
}

/// All packages, by name.
#[derive(Debug, Default)]
pub(super) struct Packages(BTreeMap<String, Package>);

impl Packages {
    /// A few to look at.
    pub(super) fn with_samples() -> Self {
        let samples = [
            ("left-pad", "1.3.0"),
            ("sundial", "0.4.2"),
            ("tin-opener", "2.0.1"),
        ];
        Self(
            samples
                .map(|(name, version)| (name.to_owned(), sample(name, version)))
                .into(),
        )
    }

    pub(super) fn all(&self) -> Vec<Package> {
        self.0.values().cloned().collect()
    }

    /// Publishes a package, or a new version of one's own.
    pub(super) fn publish(&mut self, draft: Draft, publisher: &str) -> Result<Package, NotDone> {
        check(&draft)?;
        match self.0.get(&draft.name) {
            Some(known) if known.publisher.as_deref() != Some(publisher) => {
                return Err(NotDone::NotYours);
            }
            None if self.0.len() >= LIMIT => return Err(NotDone::Full),
            Some(_) | None => {}
        }
        let package = Package {
            name: draft.name.clone(),
            version: draft.version,
            publisher: Some(publisher.to_owned()),
        };
        self.0.insert(draft.name, package.clone());
        Ok(package)
    }

    /// Removes a package of one's own.
    pub(super) fn unpublish(&mut self, name: &str, publisher: &str) -> Result<(), NotDone> {
        let known = self.0.get(name).ok_or(NotDone::Unknown)?;
        if known.publisher.as_deref() != Some(publisher) {
            return Err(NotDone::NotYours);
        }
        self.0.remove(name);
        Ok(())
    }
}

fn sample(name: &str, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        publisher: None,
    }
}

fn check(draft: &Draft) -> Result<(), NotDone> {
    let is_in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    let is_in_version = |b: u8| b.is_ascii_alphanumeric() || b"-+.".contains(&b);
    let fits = |text: &str, limit: usize, is_good: &dyn Fn(u8) -> bool| {
        (1..=limit).contains(&text.len()) && text.bytes().all(is_good)
    };
    // `.` and `..` would be steps in a path, not names.
    if !fits(&draft.name, LONGEST_NAME, &is_in_name) || draft.name.starts_with('.') {
        return Err(NotDone::Name);
    }
    if !fits(&draft.version, LONGEST_VERSION, &is_in_version) {
        return Err(NotDone::Version);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(name: &str, version: &str) -> Draft {
        Draft {
            name: name.to_owned(),
            version: version.to_owned(),
        }
    }

    #[test]
    fn a_package_belongs_to_who_published_it_first() {
        let mut packages = Packages::default();
        packages
            .publish(draft("kettle", "1.0.0"), "acct_ann")
            .unwrap();
        packages
            .publish(draft("kettle", "1.1.0"), "acct_ann")
            .unwrap();
        let taken = packages.publish(draft("kettle", "6.6.6"), "acct_bob");
        assert_eq!(taken.unwrap_err(), NotDone::NotYours);
        assert_eq!(
            packages.unpublish("kettle", "acct_bob"),
            Err(NotDone::NotYours)
        );
        assert_eq!(packages.all()[0].version, "1.1.0");
        assert_eq!(packages.unpublish("kettle", "acct_ann"), Ok(()));
        assert_eq!(
            packages.unpublish("kettle", "acct_ann"),
            Err(NotDone::Unknown)
        );
    }

    #[test]
    fn nobody_owns_a_sample() {
        let taken = Packages::with_samples().publish(draft("sundial", "9.0.0"), "acct_ann");
        assert_eq!(taken.unwrap_err(), NotDone::NotYours);
    }

    #[test]
    fn a_name_and_a_version_are_plain_text() {
        for bad in [
            "",
            "..",
            ".hidden",
            "a b",
            "a/b",
            "<b>",
            "É",
            "A",
            &"a".repeat(65),
        ] {
            assert_eq!(
                check(&draft(bad, "1.0.0")),
                Err(NotDone::Name),
                "`{bad}` was taken"
            );
        }
        for bad in ["", "1 0", "1/0", "<b>", &"1".repeat(33)] {
            assert_eq!(
                check(&draft("a", bad)),
                Err(NotDone::Version),
                "`{bad}` was taken"
            );
        }
        assert_eq!(check(&draft("tea-pot_2.x", "1.0.0-rc.1+build")), Ok(()));
    }
}
