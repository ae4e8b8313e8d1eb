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
    #[error("this is nothing that npm sends")]
    Unreadable,
    #[error("a tarball can't be read")]
    Tarball,
    #[error("this package belongs to somebody else")]
    NotYours,
    #[error("this version is published already")]
    Taken,
    #[error("this registry is full")]
    Full,
    #[error("there is no such package")]
    Unknown,
    #[error("there is no such version")]
    NoVersion,
    #[error("each package has a `latest`")]
    Latest,
    #[error("the package has changed meanwhile: try again")]
    Stale,
}

/// All packages, by name.
#[derive(Debug, Default)]
pub(super) struct Packages(BTreeMap<String, Package>);

#[derive(Debug)]
struct Package {
    /// Who published it first.
    owner: String,
    /// Counts its changes.
    revision: u32,
    tags: Map<String, Value>,
    versions: Map<String, Value>,
    /// By the name of the file, without a scope: `name-1.0.0.tgz`.
    tarballs: BTreeMap<String, Vec<u8>>,
}

impl Packages {
    /// What npm asks before it installs.
    pub(super) fn document(&self, name: &str) -> Option<Value> {
        let package = self.0.get(name)?;
        Some(json!({
            "_id": name,
            "_rev": package.revision.to_string(),
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
        let versions = draft.versions.into_iter().map(renamed);
        let package = self.0.entry(name.to_owned()).or_insert_with(|| Package {
            owner: owner.to_owned(),
            revision: 0,
            tags: Map::new(),
            versions: Map::new(),
            tarballs: BTreeMap::new(),
        });
        package.tags.extend(draft.tags);
        package.versions.extend(versions);
        package.tarballs.extend(tarballs);
        package.revision += 1;
        Ok(())
    }

    /// What `npm dist-tag ls` shows.
    pub(super) fn tags(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).map(|package| &package.tags)
    }

    /// Lets a tag stand for a version of one's own package.
    pub(super) fn tag(
        &mut self,
        (name, tag): (&str, &str),
        version: &str,
        owner: &str,
    ) -> Result<(), NotDone> {
        let package = self.own(name, owner)?;
        if !package.versions.contains_key(version) {
            return Err(NotDone::NoVersion);
        }
        package.tags.insert(tag.to_owned(), version.into());
        package.revision += 1;
        Ok(())
    }

    /// Takes a tag away.
    pub(super) fn untag(&mut self, (name, tag): (&str, &str), owner: &str) -> Result<(), NotDone> {
        if tag == "latest" {
            return Err(NotDone::Latest);
        }
        let package = self.own(name, owner)?;
        package.tags.remove(tag);
        package.revision += 1;
        Ok(())
    }

    /// Keeps those versions of one's own package that this names, and no other: `npm unpublish` of one version.
    pub(super) fn keep(
        &mut self,
        (name, revision): (&str, &str),
        named: Draft,
        owner: &str,
    ) -> Result<(), NotDone> {
        let package = self.at_revision((name, revision), owner)?;
        package
            .versions
            .retain(|version, _| named.versions.contains_key(version));
        let tags = named.tags.into_iter();
        let lives = |version: &Value| {
            let version = version.as_str();
            version.is_some_and(|version| package.versions.contains_key(version))
        };
        package.tags = tags.filter(|(_, version)| lives(version)).collect();
        package.revision += 1;
        Ok(())
    }

    /// Removes a tarball that no version needs any more.
    pub(super) fn remove_tarball(
        &mut self,
        (name, revision): (&str, &str),
        file: &str,
        owner: &str,
    ) -> Result<(), NotDone> {
        let package = self.at_revision((name, revision), owner)?;
        package.tarballs.remove(file);
        package.revision += 1;
        Ok(())
    }

    /// Removes one's own package.
    pub(super) fn remove(
        &mut self,
        (name, revision): (&str, &str),
        owner: &str,
    ) -> Result<(), NotDone> {
        self.at_revision((name, revision), owner)?;
        self.0.remove(name);
        Ok(())
    }

    fn own(&mut self, name: &str, owner: &str) -> Result<&mut Package, NotDone> {
        match self.0.get_mut(name) {
            Some(package) if package.owner == owner => Ok(package),
            Some(_) => Err(NotDone::NotYours),
            None => Err(NotDone::Unknown),
        }
    }

    fn at_revision(
        &mut self,
        (name, revision): (&str, &str),
        owner: &str,
    ) -> Result<&mut Package, NotDone> {
        let package = self.own(name, owner)?;
        if package.revision.to_string() != revision {
            return Err(NotDone::Stale);
        }
        Ok(package)
    }
}

/// npm calls the file `@scope/name-1.0.0.tgz`; registries give it out as `name-1.0.0.tgz`, so that it is one segment of a path.
fn file_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// A version whose tarball is where registries have it.
fn renamed((version, mut manifest): (String, Value)) -> (String, Value) {
    let tarball = manifest.pointer_mut("/dist/tarball");
    let split = |url: &str| {
        let (package, file) = url.split_once("/-/")?;
        Some(format!("{package}/-/{}", file_name(file)))
    };
    if let Some(url) = tarball
        && let Some(new) = url.as_str().and_then(split)
    {
        *url = new.into();
    }
    (version, manifest)
}

fn tarballs(sent: BTreeMap<String, Attachment>) -> Result<BTreeMap<String, Vec<u8>>, NotDone> {
    let read = |(file, sent): (String, Attachment)| {
        Some((
            file_name(&file).to_owned(),
            STANDARD.decode(sent.data).ok()?,
        ))
    };
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
        let tarball = packages.tarball(name, "hello-1.0.0.tgz");
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

    fn of_ann() -> Packages {
        let mut packages = Packages::default();
        for version in ["1.0.0", "1.1.0"] {
            let draft = draft("@ann/hello", version, "aGVsbG8=");
            packages.publish("@ann/hello", draft, "ann").unwrap();
        }
        packages
    }

    #[test]
    fn a_tag_is_of_a_version_that_there_is_and_its_owners_to_set() {
        let mut packages = of_ann();
        let beta = ("@ann/hello", "beta");
        assert_eq!(packages.tag(beta, "1.0.0", "bob"), Err(NotDone::NotYours));
        assert_eq!(packages.tag(beta, "2.0.0", "ann"), Err(NotDone::NoVersion));
        assert_eq!(
            packages.tag(("x", "beta"), "1.0.0", "ann"),
            Err(NotDone::Unknown)
        );
        packages.tag(beta, "1.0.0", "ann").unwrap();
        assert_eq!(packages.tags("@ann/hello").unwrap()["beta"], "1.0.0");
        assert_eq!(packages.untag(beta, "bob"), Err(NotDone::NotYours));
        assert_eq!(
            packages.untag(("@ann/hello", "latest"), "ann"),
            Err(NotDone::Latest)
        );
        packages.untag(beta, "ann").unwrap();
        assert!(!packages.tags("@ann/hello").unwrap().contains_key("beta"));
    }

    #[test]
    fn only_its_owner_withdraws_what_nobody_has_changed_meanwhile() {
        let mut packages = of_ann();
        let name = "@ann/hello";
        let rest = || draft(name, "1.0.0", "");
        assert_eq!(
            packages.keep((name, "2"), rest(), "bob"),
            Err(NotDone::NotYours)
        );
        assert_eq!(
            packages.keep((name, "1"), rest(), "ann"),
            Err(NotDone::Stale)
        );
        packages.keep((name, "2"), rest(), "ann").unwrap();
        let document = packages.document(name).unwrap();
        assert_eq!(document["versions"].as_object().unwrap().len(), 1);
        assert_eq!(document["dist-tags"], json!({"latest": "1.0.0"}));
        let file = "hello-1.1.0.tgz";
        packages.remove_tarball((name, "3"), file, "ann").unwrap();
        assert_eq!(packages.tarball(name, file), None);
        assert_eq!(packages.remove((name, "4"), "bob"), Err(NotDone::NotYours));
        packages.remove((name, "4"), "ann").unwrap();
        assert_eq!(packages.document(name), None);
    }
}
