//! What a client of an OCI registry asks for, as text: `repository:alice/hello:pull,push`.
//!
//! The grammar is that of distribution's `docs/content/spec/auth/scope.md`. It is read from the right, since the name of
//! a repository may begin with a host and a port. Types that are not known are passed over: whoever asks for them gets
//! the rest, as the specification wants it; what is no scope at all is refused.

use std::collections::{BTreeMap, BTreeSet};

/// How many resources may be asked for at once: a push that mounts blobs of others asks for a handful.
const MOST: usize = 50;
/// The longest name of a repository, as registries have it.
const LONGEST_NAME: usize = 255;

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    /// A repository, by its name.
    Repository(String),
    /// The list of all repositories.
    Catalog,
}

/// Everything that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked(BTreeMap<Resource, BTreeSet<String>>);

/// A text that is no scope, or too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAScope;

impl Asked {
    /// Reads all scopes of a request: each parameter may hold several, with spaces between them.
    pub(crate) fn read<'a>(
        parameters: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NotAScope> {
        let mut asked = Self::default();
        let scopes = parameters.into_iter().flat_map(|one| one.split(' '));
        for (count, scope) in scopes.filter(|one| !one.is_empty()).enumerate() {
            if count == MOST {
                return Err(NotAScope);
            }
            let (resource, actions) = read(scope)?;
            if let Some(resource) = resource {
                asked
                    .0
                    .entry(resource)
                    .or_default()
                    .extend(actions.map(str::to_owned));
            }
        }
        Ok(asked)
    }

    /// Each resource, and what is to be done with it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Resource, &BTreeSet<String>)> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Resource {
    /// The `type` of a token's `access`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Repository(_) => "repository",
            Self::Catalog => "registry",
        }
    }

    /// The `name` there.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Repository(name) => name,
            Self::Catalog => "catalog",
        }
    }

    /// The package that it is, where it is one: the list of all is no package's, whatever a repository may be called.
    pub(crate) fn package(&self) -> Option<&str> {
        match self {
            Self::Repository(name) => Some(name),
            Self::Catalog => None,
        }
    }
}

/// One scope: the resource, if it is of a type that is known, and the actions.
fn read(scope: &str) -> Result<(Option<Resource>, impl Iterator<Item = &str>), NotAScope> {
    let (rest, actions) = scope.rsplit_once(':').ok_or(NotAScope)?;
    let (kind, name) = rest.split_once(':').ok_or(NotAScope)?;
    if !is_kind(kind) || !is_name(name) || !actions.split(',').all(is_action) {
        return Err(NotAScope);
    }
    // A class, as in `repository(plugin)`, is of times before manifests had a media type.
    let kind = kind.split('(').next().unwrap_or(kind);
    let resource = match (kind, name) {
        ("repository", name) => Some(Resource::Repository(name.to_owned())),
        ("registry", "catalog") => Some(Resource::Catalog),
        _ => None,
    };
    Ok((resource, actions.split(',')))
}

/// `resourcetype`: lower-case letters and digits, and a class in parentheses.
fn is_kind(kind: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_lower);
    match kind.split_once('(') {
        None => is_word(kind),
        Some((word, class)) => is_word(word) && class.strip_suffix(')').is_some_and(is_word),
    }
}

/// `resourcename`: components between slashes, before which a host may stand.
fn is_name(name: &str) -> bool {
    if name.len() > LONGEST_NAME {
        return false;
    }
    match name.split_once('/') {
        None => is_component(name),
        Some((first, rest)) => {
            (is_component(first) || is_host(first)) && rest.split('/').all(is_component)
        }
    }
}

/// Lower-case letters and digits; between them a `.`, one or two `_`, or any number of `-`.
fn is_component(component: &str) -> bool {
    let is_word = |bytes: &[u8]| bytes.first().is_some_and(|byte| is_lower(*byte));
    let bytes = component.as_bytes();
    let (starts, ends) = (
        is_word(bytes),
        bytes.last().is_some_and(|byte| is_lower(*byte)),
    );
    let mut separators =
        component.split(|letter: char| letter.is_ascii() && is_lower(letter as u8));
    starts
        && ends
        && separators
            .all(|one| matches!(one, "" | "." | "_" | "__") || one.bytes().all(|byte| byte == b'-'))
}

/// `hostname`: as DNS has it, and a port.
fn is_host(host: &str) -> bool {
    let (host, port) = host.split_once(':').unwrap_or((host, "0"));
    let is_port = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    let is_label = |label: &str| {
        let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        is_edge(bytes.first())
            && is_edge(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    is_port && host.split('.').all(is_label)
}

/// `action`: lower-case letters, or `*`.
fn is_action(action: &str) -> bool {
    action == "*" || (!action.is_empty() && action.bytes().all(|b| b.is_ascii_lowercase()))
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for, as one line: `repository alice/hello pull push`.
    fn check(scopes: &[&str], expected: &str) {
        let told = match Asked::read(scopes.iter().copied()) {
            Err(NotAScope) => "not a scope".to_owned(),
            Ok(asked) => {
                let lines = asked.iter().map(|(resource, actions)| {
                    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
                    format!(
                        "{} {} {}",
                        resource.kind(),
                        resource.name(),
                        actions.join(" ")
                    )
                });
                lines.collect::<Vec<_>>().join("; ")
            }
        };
        assert_eq!(told, expected, "{scopes:?}");
    }

    #[test]
    fn a_scope_is_read_from_the_right() {
        check(
            &["repository:alice/hello:pull,push"],
            "repository alice/hello pull push",
        );
        check(&["repository:hello:pull"], "repository hello pull");
        check(
            &["repository:r.example:5000/a/b:push"],
            "repository r.example:5000/a/b push",
        );
        check(&["repository:R.example/a:*"], "repository R.example/a *");
        check(&["registry:catalog:*"], "registry catalog *");
    }

    #[test]
    fn scopes_stand_beside_each_other_and_in_parameters_of_their_own() {
        check(
            &[
                "repository:a:pull  repository:b:pull",
                "repository:a:push,pull",
                "",
            ],
            "repository a pull push; repository b pull",
        );
        check(&[], "");
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_the_rest_is_asked_for() {
        check(&["wiki:a:pull", "repository:b:pull"], "repository b pull");
        check(&["registry:secrets:*"], "");
        check(&["repository(plugin):a:pull"], "repository a pull");
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for bent in [
            "repository",
            "repository:a",
            "repository:a:",
            "repository::pull",
            ":a:pull",
            "repository:a:pull,",
            "repository:a:Pull",
            "repository:a:pull,*,**",
            "repository:A:pull",
            "repository:a//b:pull",
            "repository:/a:pull",
            "repository:a/:pull",
            "repository:a/../b:pull",
            "repository:..:pull",
            "repository:a/b%2fc:pull",
            "repository:a/.b:pull",
            "repository:a/b-:pull",
            "repository:a/b___c:pull",
            "repository:a/b..c:pull",
            "repository:a/B.example/c:pull",
            "repository:a/b:5000/c:pull",
            "repository:r.example:/a:pull",
            "repository:r.example:500000/a:pull",
            "repository:-r.example:1/a:pull",
            "repository:a\n:pull",
            "repository:\u{e4}:pull",
            "Repository:a:pull",
            "repository(:a:pull",
            "repository(plugin:a:pull",
            "repository(plugin)):a:pull",
            "repository():a:pull",
        ] {
            check(&[bent], "not a scope");
        }
    }

    #[test]
    fn the_names_that_registries_have_are_names() {
        for name in [
            "a",
            "a0/b",
            "a.b",
            "a_b",
            "a__b",
            "a--b",
            "a---b/c.d",
            "0/1/2",
        ] {
            assert!(is_name(name), "{name}");
        }
        assert!(is_name(&"a".repeat(LONGEST_NAME)));
        assert!(!is_name(&"a".repeat(LONGEST_NAME + 1)));
    }

    #[test]
    fn nobody_asks_for_everything_at_once() {
        let scopes: Vec<String> = (0..=MOST)
            .map(|n| format!("repository:a{n}:pull"))
            .collect();
        let read = |count: usize| Asked::read(scopes[..count].iter().map(String::as_str));
        assert_eq!(read(MOST).unwrap().iter().count(), MOST);
        assert_eq!(read(MOST + 1), Err(NotAScope));
    }
}
