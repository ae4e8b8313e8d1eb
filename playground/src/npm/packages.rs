//! The packages, in memory: a document for each, as npm reads it, and the tarballs that it names.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most packages there are.
const LIMIT: usize = 1000;

/// What `npm publish` sends.
#[derive(Debug, Deserialize)]
pub(super) struct Draft {
    name: String,
    #[serde(rename = "dist-tags", default)]
    tags: Map<String, Value>,
    versions: Map<String, Value>,
    #[serde(rename = "_attachments", default)]
    attachments: BTreeMap<String, Attachment>,
}

#[derive(Debug, Deserialize)]
struct Attachment {
    /// The tarball in base64.
    data: String,
}

/// Why a package is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotDone {
    #[error("the package has another name than the address")]
    Name,
    #[error("a tarball can't be read")]
    Tarball,
    #[error("this package belongs to somebody else")]
    NotYours,
    #[error("this version is published already")]
    Taken,
    #[error("this registry is full")]
    Full,
}

/// All packages, by name.
#[derive(Debug, Default)]
pub(super) struct Packages(BTreeMap<String, Package>);

#[derive(Debug)]
struct Package {
    /// Who published it first.
    owner: String,
    tags: Map<String, Value>,
    versions: Map<String, Value>,
    /// By the name that npm gives the file: `@scope/name-1.0.0.tgz`.
    tarballs: BTreeMap<String, Vec<u8>>,
}

impl Packages {
    /// What npm asks before it installs.
    pub(super) fn document(&self, name: &str) -> Option<Value> {
        let package = self.0.get(name)?;
        Some(json!({
            "_id": name,
            "name": name,
            "dist-tags": package.tags,
            "versions": package.versions,
            "maintainers": [{"name": package.owner}],
        }))
    }

    pub(super) fn tarball(&self, name: &str, file: &str) -> Option<&[u8]> {
        let package = self.0.get(name)?;
        package.tarballs.get(file).map(Vec::as_slice)
    }

    /// Publishes a package, or a new version of one's own.
    pub(super) fn publish(&mut self, name: &str, draft: Draft, owner: &str) -> Result<(), NotDone> {
        if draft.name != name {
            return Err(NotDone::Name);
        }
        match self.0.get(name) {
            Some(known) if known.owner != owner => return Err(NotDone::NotYours),
            Some(known)
                if draft
                    .versions
                    .keys()
                    .any(|v| known.versions.contains_key(v)) =>
            {
                return Err(NotDone::Taken);
            }
            None if self.0.len() >= LIMIT => return Err(NotDone::Full),
            Some(_) | None => {}
        }
        let tarballs = tarballs(draft.attachments)?;
        let package = self.0.entry(name.to_owned()).or_insert_with(|| Package {
            owner: owner.to_owned(),
            tags: Map::new(),
            versions: Map::new(),
            tarballs: BTreeMap::new(),
        });
        package.tags.extend(draft.tags);
        package.versions.extend(draft.versions);
        package.tarballs.extend(tarballs);
        Ok(())
    }
}

fn tarballs(sent: BTreeMap<String, Attachment>) -> Result<BTreeMap<String, Vec<u8>>, NotDone> {
    let read = |(file, sent): (String, Attachment)| Some((file, STANDARD.decode(sent.data).ok()?));
    let read: Option<_> = sent.into_iter().map(read).collect();
    read.ok_or(NotDone::Tarball)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(name: &str, version: &str, data: &str) -> Draft {
        let draft = json!({
            "name": name,
            "dist-tags": {"latest": version},
            "versions": {version: {"name": name, "version": version}},
            "_attachments": {format!("{name}-{version}.tgz"): {"data": data}},
        });
        serde_json::from_value(draft).unwrap()
    }

    #[test]
    fn what_is_published_is_found_again_with_its_tarball() {
        let mut packages = Packages::default();
        let name = "@ann/hello";
        for version in ["1.0.0", "1.1.0"] {
            let draft = draft(name, version, "aGVsbG8=");
            packages.publish(name, draft, "ann").unwrap();
        }
        let document = packages.document(name).unwrap();
        assert_eq!(document["dist-tags"]["latest"], "1.1.0");
        assert_eq!(document["versions"].as_object().unwrap().len(), 2);
        let tarball = packages.tarball(name, "@ann/hello-1.0.0.tgz");
        assert_eq!(tarball, Some(&b"hello"[..]));
    }

    #[test]
    fn nobody_publishes_over_another_or_twice_the_same() {
        let mut packages = Packages::default();
        let mut publish = |name: &str, draft: Draft, owner: &str| {
            let done = packages.publish(name, draft, owner);
            done.map_or_else(|not_done| not_done.to_string(), |()| "done".to_owned())
        };
        let first = || draft("hello", "1.0.0", "");
        assert_eq!(publish("hello", first(), "ann"), "done");
        let next = || draft("hello", "1.1.0", "");
        assert_eq!(
            publish("hello", next(), "bob"),
            NotDone::NotYours.to_string()
        );
        assert_eq!(publish("hello", first(), "ann"), NotDone::Taken.to_string());
        assert_eq!(publish("other", next(), "ann"), NotDone::Name.to_string());
        let torn = draft("hello", "2.0.0", "%");
        assert_eq!(publish("hello", torn, "ann"), NotDone::Tarball.to_string());
        assert_eq!(publish("hello", next(), "ann"), "done");
    }
}
