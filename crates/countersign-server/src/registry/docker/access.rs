//! What of all that was asked for is given: the intersection with what the profile leaves open to anybody, and with
//! what the policy permits whoever asks.
//!
//! Pure. To ask for more than one gets is no error (distribution's `docs/content/spec/auth/token.md`).

use std::collections::BTreeSet;

use countersign_core::Scope;
use countersign_core::registry::{Docker, Profile};
use serde::Serialize;

use super::scope::{Asked, Resource};

/// Everything: each action that the profile knows.
const ALL: &str = "*";

/// What a profile makes of actions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights<'p> {
    profile: &'p Profile,
    docker: &'p Docker,
}

/// One entry of a token's `access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Access {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) actions: Vec<String>,
}

impl<'p> Rights<'p> {
    /// What this profile says, if the registry has tokens of its own.
    pub(crate) fn of(profile: &'p Profile) -> Option<Self> {
        let docker = profile.docker.as_ref()?;
        Some(Self { profile, docker })
    }

    /// What the profile says of tokens.
    pub(crate) fn docker(self) -> &'p Docker {
        self.docker
    }

    /// What the policy is to be asked for, so that everything can be given that is asked for.
    pub(crate) fn wanted_of(self, asked: &Asked) -> BTreeSet<Scope> {
        let wanted = asked
            .iter()
            .map(|(resource, actions)| self.wanted(resource, actions));
        wanted.flatten().collect()
    }

    /// The same for one resource.
    pub(crate) fn wanted(self, resource: &Resource, actions: &BTreeSet<String>) -> BTreeSet<Scope> {
        let words = self.words(resource, actions);
        words.filter_map(|word| self.scope(word)).cloned().collect()
    }

    /// Everything that the policy can be asked for.
    pub(crate) fn scopes(self) -> BTreeSet<Scope> {
        let words = self.docker.gated.keys();
        words.filter_map(|word| self.scope(word)).cloned().collect()
    }

    /// Whether more is asked for of a resource than is open, and nothing more is given to who has these scopes.
    pub(crate) fn withholds(
        self,
        resource: &Resource,
        asked: &BTreeSet<String>,
        held: &BTreeSet<Scope>,
    ) -> bool {
        let wanted = self.wanted(resource, asked);
        let given = self.given(resource, asked, held);
        let mut actions = given.iter().flat_map(|access| &access.actions);
        let is_gated = |action: &String| self.docker.gated.contains_key(action);
        !wanted.is_empty() && !actions.any(is_gated)
    }

    /// The same for anything that is asked for.
    pub(crate) fn is_withheld(self, asked: &Asked, held: &BTreeSet<Scope>) -> bool {
        let mut all = asked.iter();
        all.any(|(resource, actions)| self.withholds(resource, actions, held))
    }

    /// What is given of one resource to who has these scopes; nothing: `None`.
    pub(crate) fn given(
        self,
        resource: &Resource,
        asked: &BTreeSet<String>,
        held: &BTreeSet<Scope>,
    ) -> Option<Access> {
        let may = |word: &str| self.may(word, held);
        let is_given = |word: &&str| match (*word, resource) {
            // A registry takes `*` for every other action.
            (ALL, Resource::Repository(_)) => self.known().all(may),
            (word, Resource::Repository(_) | Resource::Catalog) => may(word),
        };
        let given: BTreeSet<&str> = self.words(resource, asked).filter(is_given).collect();
        (!given.is_empty()).then(|| Access {
            kind: resource.kind(),
            name: resource.name().to_owned(),
            actions: given.into_iter().map(str::to_owned).collect(),
        })
    }

    fn may(self, word: &str, held: &BTreeSet<Scope>) -> bool {
        // `*` is never open: it holds what is gated.
        (word != ALL && self.docker.open.contains(word))
            || self.scope(word).is_some_and(|scope| held.contains(scope))
    }

    /// The actions that are asked for and known: where everything is, each of them.
    fn words<'a>(
        self,
        resource: &'a Resource,
        asked: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = &'p str> + 'a
    where
        'p: 'a,
    {
        let everything = match resource {
            Resource::Repository(_) => asked.contains(ALL),
            Resource::Catalog => false,
        };
        self.known()
            .filter(move |word| everything || asked.contains(*word))
    }

    fn known(self) -> impl Iterator<Item = &'p str> {
        let (open, gated) = (&self.docker.open, self.docker.gated.keys());
        open.iter().chain(gated).map(String::as_str)
    }

    fn scope(self, word: &str) -> Option<&'p Scope> {
        let action = self.docker.gated.get(word)?;
        self.profile.scope(action)
    }
}

/// What is given of everything to who has these scopes.
pub(crate) fn intersection(
    asked: &Asked,
    rights: Rights<'_>,
    held: &BTreeSet<Scope>,
) -> Vec<Access> {
    let all = asked.iter();
    all.filter_map(|(resource, actions)| rights.given(resource, actions, held))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"
version = 1
title = "Images"
[credential]
sources = [{ authorization = "Basic" }]
[actions]
publish = "packages:publish"
delete = "packages:unpublish"
[docker]
open = ["pull"]
[docker.gated]
push = "publish"
delete = "delete"
"*" = "delete"
[default]
read = { refused = "no" }
write = { refused = "no" }
"#;

    /// What somebody with these scopes gets who asks for this; and a `!` where that is a refusal.
    #[track_caller]
    fn check(scopes: &str, held: &[&str], expected: &str) {
        let (profile, _) = Profile::load("images.toml", PROFILE).unwrap();
        let rights = Rights::of(&profile).unwrap();
        let asked = Asked::read([scopes]).unwrap();
        let held = held.iter().map(|one| Scope::new(*one).unwrap()).collect();
        let given = intersection(&asked, rights, &held);
        let given = given
            .iter()
            .map(|one| format!("{}:{}", one.name, one.actions.join(",")));
        let given = given.collect::<Vec<_>>().join(" ");
        let withheld = if rights.is_withheld(&asked, &held) {
            "!"
        } else {
            ""
        };
        assert_eq!(
            format!("{withheld}{given}"),
            expected,
            "{scopes} with {held:?}"
        );
    }

    const PUBLISH: &str = "packages:publish";
    const UNPUBLISH: &str = "packages:unpublish";

    #[test]
    fn anybody_gets_what_is_open_and_nothing_else() {
        check("repository:a:pull", &[], "a:pull");
        check("repository:a:pull,push", &[], "!a:pull");
        check("repository:a:*", &[], "!a:pull");
        check("repository:a:delete", &[], "!");
        check("registry:catalog:*", &[], "!");
        check("repository:a:fly", &[], "");
    }

    #[test]
    fn who_may_more_gets_what_of_it_they_asked_for() {
        check("repository:a:pull,push", &[PUBLISH], "a:pull,push");
        check("repository:a:pull", &[PUBLISH, UNPUBLISH], "a:pull");
        check("repository:a:pull,push", &[UNPUBLISH], "!a:pull");
        check("repository:a:delete", &[UNPUBLISH], "a:delete");
        check("repository:a:push,fly", &[PUBLISH], "a:push");
        check(
            "repository:a:pull repository:b:push",
            &[PUBLISH],
            "a:pull b:push",
        );
        check("registry:catalog:*", &[UNPUBLISH], "catalog:*");
        check("registry:catalog:push", &[PUBLISH], "catalog:push");
    }

    #[test]
    fn everything_is_for_who_may_each_part_of_it() {
        check("repository:a:*", &[PUBLISH], "a:pull,push");
        check("repository:a:*", &[UNPUBLISH], "a:delete,pull");
        check(
            "repository:a:*",
            &[PUBLISH, UNPUBLISH],
            "a:*,delete,pull,push",
        );
    }

    #[test]
    fn a_scope_of_something_else_opens_nothing() {
        check("repository:a:push", &["packages:manage", "push", "*"], "!");
    }
}
