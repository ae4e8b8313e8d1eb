//! The file in which an operator keeps organisations: TOML for people, or JSON Lines for programs that write it.
//!
//! All that is wrong is told at once, each as `FILE:LINE:COLUMN`. The file is untrusted text like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use countersign_core::document::{self, Key, Place, Problem, Problems, Table, Value};
use countersign_core::{Guests, Level, OrganizationId, RegistryRole, Source};
use countersign_store::Admin;
use countersign_store::organization::file::{Entry, Sharing, Wanted};
use countersign_store::organization::{Terms, Told};
use serde::Deserialize;

/// How many problems are told.
const MOST_TOLD: usize = 100;
/// The longest file of JSON Lines, in bytes, and the most organisations: all are held in memory at once, some
/// 1 kB each.
pub(super) const LONGEST: usize = 512 << 20;
const MOST: usize = 1_000_000;

/// Everything that the file says, in order.
pub(super) fn read(name: &str, text: &str) -> Result<Vec<Entry>, Problems> {
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = if text.trim_start().starts_with('{') {
        lines(name, text)?
    } else {
        document::read(name, text, organizations)?
    };
    let problems = check(&read);
    if problems.is_empty() {
        Ok(read.into_iter().map(|one| one.entry).collect())
    } else {
        Err(problems.into_iter().take(MOST_TOLD).collect())
    }
}

/// An entry, and where it stands.
#[derive(Debug)]
struct Placed {
    entry: Entry,
    place: Place,
    /// Of each of its connections.
    connections: Vec<Place>,
}

/// What no reader of one entry can see.
fn check(read: &[Placed]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut known: BTreeMap<&OrganizationId, &Place> = BTreeMap::new();
    let mut sources: BTreeMap<&Source, (&Place, Sharing)> = BTreeMap::new();
    for one in read {
        let id = &one.entry.id;
        if let Some(first) = known.insert(id, &one.place) {
            problems.push(
                one.place
                    .problem(format!("`{id}` stands at {first} already")),
            );
        }
        for (source, message) in one.entry.check() {
            problems.push(one.place_of(source).problem(format!("`{id}`: {message}")));
        }
        let mut own = BTreeSet::new();
        for (wanted, place) in one.entry.connections.iter().zip(&one.connections) {
            let source = &wanted.source;
            if !own.insert(source) {
                problems.push(place.problem(format!("`{id}` names `{source}` twice")));
                continue;
            }
            match sources.insert(source, (place, wanted.sharing)) {
                Some((first, other)) if (other, wanted.sharing) != SHARED => {
                    problems.push(place.problem(format!(
                        "`{source}` is connected at {first} already: where both have these people, say \
                         `shared = true` at both"
                    )));
                }
                Some(_) | None => {}
            }
        }
    }
    problems
}

const SHARED: (Sharing, Sharing) = (Sharing::Shared, Sharing::Shared);

impl Placed {
    fn place_of(&self, source: Option<&Source>) -> &Place {
        let connections = self.entry.connections.iter().zip(&self.connections);
        let mut of_source = connections.filter(|(wanted, _)| Some(&wanted.source) == source);
        of_source.next().map_or(&self.place, |(_, place)| place)
    }
}

// ---- TOML ----

fn organizations(file: &mut Table<'_>) -> Option<Vec<Placed>> {
    let version = file.required("version", |value| value.integer(1..=1_u8));
    let all = file.optional("organization", |value| value.entries(organization));
    version?;
    Some(all?.unwrap_or_default().into_values().collect())
}

fn organization(key: &Key<'_>, value: &Value<'_>) -> Option<(OrganizationId, Placed)> {
    let id = key.parsed(OrganizationId::new);
    let read = value.table(|table| {
        let title = table.optional("title", |value| value.string().map(str::to_owned));
        let admins = table.optional("admins", |value| {
            value.set(|one| one.parsed(str::parse::<Admin>))
        });
        let connections = table.optional("connection", |value| value.entries(connection));
        Some((
            title?,
            admins?.unwrap_or_default(),
            connections?.unwrap_or_default(),
        ))
    });
    let (id, (title, admins, connections)) = (id?, read?);
    let (connections, places) = connections.into_values().unzip();
    let entry = Entry {
        id: id.clone(),
        told: Told { title, admins },
        connections,
    };
    let placed = Placed {
        entry,
        place: key.place(),
        connections: places,
    };
    Some((id, placed))
}

fn connection(key: &Key<'_>, value: &Value<'_>) -> Option<(Source, (Wanted, Place))> {
    const LEVELS: [(&str, Level); 2] = [
        ("mfa", Level::Mfa),
        ("phishing-resistant", Level::PhishingResistant),
    ];
    const GUESTS: [(&str, Guests); 2] =
        [("refused", Guests::Refused), ("admitted", Guests::Admitted)];
    let source = key.parsed(str::parse::<Source>);
    let read = value.table(|table| {
        let reason = table.required("reason", |value| value.string().map(str::to_owned));
        let guests = table.optional_or("guests", Guests::Refused, |value| value.one_of(&GUESTS));
        let contexts = table.optional("contexts", |value| {
            value.entries(|key, level| Some((key.text().to_owned(), level.one_of(&LEVELS)?)))
        });
        let roles = table.optional("roles", |value| value.entries(role));
        let shared = table.optional_or("shared", false, Value::boolean);
        let terms = Terms {
            reason: Some(reason?),
            guests: guests?,
            contexts: contexts?.unwrap_or_default(),
            roles: roles?.unwrap_or_default(),
        };
        Some((terms, sharing(shared?)))
    });
    let (source, (terms, sharing)) = (source?, read?);
    let wanted = Wanted {
        source: source.clone(),
        terms,
        sharing,
    };
    Some((source, (wanted, key.place())))
}

fn role(group: &Key<'_>, value: &Value<'_>) -> Option<(String, BTreeSet<RegistryRole>)> {
    let roles = value.set(|one| one.string().map(str::to_owned))?;
    Some((group.text().to_owned(), roles))
}

fn sharing(is_shared: bool) -> Sharing {
    if is_shared {
        Sharing::Shared
    } else {
        Sharing::Alone
    }
}

// ---- JSON Lines ----

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: OrganizationId,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    admins: BTreeSet<Admin>,
    #[serde(default)]
    connections: Vec<LineConnection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineConnection {
    source: Source,
    reason: String,
    #[serde(default)]
    guests: Guests,
    #[serde(default)]
    contexts: BTreeMap<String, Level>,
    #[serde(default)]
    roles: BTreeMap<String, BTreeSet<RegistryRole>>,
    #[serde(default)]
    shared: bool,
}

fn lines(name: &str, text: &str) -> Result<Vec<Placed>, Problems> {
    let file: Arc<str> = name.into();
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    let numbered = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    for (line, number) in numbered {
        let place = |column| Place {
            file: file.clone(),
            line: number,
            column,
        };
        match serde_json::from_str::<Line>(line) {
            Ok(_) if read.len() == MOST => {
                let message = format!("expected at most {MOST} organizations, found more");
                problems.push(place(1).problem(message));
                break;
            }
            Ok(line) => read.push(line.placed(&place(1))),
            Err(error) => problems.push(place(error.column().max(1)).problem(told(&error))),
        }
        if problems.len() == MOST_TOLD {
            break;
        }
    }
    problems.into_iter().collect::<Problems>().none_or(read)
}

/// What serde says, without the place, which it counts within the line, and on one line: it repeats what was found.
fn told(error: &impl Display) -> String {
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(&*message, |(said, _)| said);
    let is_hidden = |c: char| c.is_control();
    message.replace(is_hidden, "\u{fffd}")
}

impl Line {
    fn placed(self, place: &Place) -> Placed {
        let connections: Vec<Wanted> = self.connections.into_iter().map(Wanted::from).collect();
        Placed {
            connections: vec![place.clone(); connections.len()],
            place: place.clone(),
            entry: Entry {
                id: self.id,
                told: Told {
                    title: self.title,
                    admins: self.admins,
                },
                connections,
            },
        }
    }
}

impl From<LineConnection> for Wanted {
    fn from(line: LineConnection) -> Self {
        Self {
            source: line.source,
            terms: Terms {
                guests: line.guests,
                contexts: line.contexts,
                roles: line.roles,
                reason: Some(line.reason),
            },
            sharing: sharing(line.shared),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1";

    fn problems(text: &str) -> Vec<String> {
        match read("orgs.toml", text) {
            Ok(entries) => panic!("taken: {entries:?}"),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        let toml = format!(
            "version = 1\n[organization.contoso]\ntitle = \"Contoso Ltd\"\nadmins = [\"account:acct_1\", \
             \"registry-account:ann\"]\n[organization.contoso.connection.\"{TENANT}\"]\nreason = \"ticket 4711\"\n\
             guests = \"admitted\"\ncontexts = {{ c1 = \"mfa\" }}\nroles = {{ publishers = [\"publisher\"] }}\n"
        );
        let json = format!(
            "{{\"id\": \"contoso\", \"title\": \"Contoso Ltd\", \"admins\": [\"registry-account:ann\", \
             \"account:acct_1\"], \"connections\": [{{\"source\": \"{TENANT}\", \"reason\": \"ticket 4711\", \
             \"guests\": \"admitted\", \"contexts\": {{\"c1\": \"mfa\"}}, \"roles\": {{\"publishers\": \
             [\"publisher\"]}}}}]}}\n\n"
        );
        let read_toml = read("orgs.toml", &toml).unwrap();
        assert_eq!(read_toml.len(), 1);
        assert_eq!(read("orgs.jsonl", &json).unwrap(), read_toml);
        assert_eq!(
            read("orgs.jsonl", &format!("\u{feff}{json}")).unwrap(),
            read_toml
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_place() {
        let text = format!(
            "version = 1\n\
             [organization.contoso]\n\
             titel = \"Contoso\"\n\
             admins = [\"ann\"]\n\
             [organization.\"a b\"]\n\
             [organization.contoso.connection.\"{TENANT}\"]\n\
             contexts = {{ c1 = \"none\" }}\n\
             [organization.contoso.connection.\"tenant:contoso\"]\n\
             reason = \"x\"\n"
        );
        let lines: Vec<usize> = problems(&text)
            .iter()
            .map(|told| told.split(':').nth(1).unwrap().parse().unwrap())
            .collect();
        assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
        assert!(problems("").join("").contains("`version` is missing"));
    }

    #[test]
    fn what_the_api_refuses_is_refused_in_a_file_too() {
        let text = format!(
            "version = 1\n\
             [organization.contoso]\n\
             title = \"a\\nb\"\n\
             [organization.contoso.connection.\"{TENANT}\"]\n\
             reason = \" \"\n\
             contexts = {{ c100 = \"mfa\" }}\n\
             [organization.contoso.connection.\"github:github.com:7\"]\n\
             reason = \"x\"\n\
             guests = \"admitted\"\n"
        );
        assert_eq!(
            problems(&text),
            [
                "orgs.toml:2:15: `contoso`: `title` is one line of at most 256 characters",
                "orgs.toml:4:34: `contoso`: `reason` is missing: why may this organization be connected so? (at most 500 characters)",
                "orgs.toml:4:34: `contoso`: an authentication context is `c1` to `c99`",
                "orgs.toml:7:34: `contoso`: `guests` and `contexts` are of Entra tenants",
            ]
        );
    }

    #[test]
    fn two_have_one_source_only_where_both_say_so() {
        let two = |one: &str, other: &str| {
            format!(
                "{{\"id\": \"a\", \"connections\": [{{\"source\": \"{TENANT}\", \"reason\": \"x\"{one}}}]}}\n\
                 {{\"id\": \"b\", \"connections\": [{{\"source\": \"{TENANT}\", \"reason\": \"x\"{other}}}]}}\n"
            )
        };
        let shared = ", \"shared\": true";
        assert_eq!(read("orgs.jsonl", &two(shared, shared)).unwrap().len(), 2);
        for text in [two("", ""), two(shared, ""), two("", shared)] {
            let told = problems(&text);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with("orgs.toml:2:1:") && told[0].contains("orgs.toml:1:1"));
        }
        let twice = format!(
            "{{\"id\": \"a\", \"connections\": [{{\"source\": \"{TENANT}\", \"reason\": \"x\"}}, \
             {{\"source\": \"{TENANT}\", \"reason\": \"y\"}}]}}\n{{\"id\": \"a\"}}\n"
        );
        let told = problems(&twice);
        assert!(
            told[0].contains("twice") && told[1].contains("already"),
            "{told:?}"
        );
    }

    #[test]
    fn a_broken_line_is_told_with_its_column_and_without_control_characters() {
        let told = problems(
            "{\"id\": \"ok\"}\n{\"id\": \"a\\u001b[31mb\"}\n{\"id\": \"c\", \"x\": 1}\n{\"id\"\n[]\n",
        );
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].starts_with("orgs.toml:2:"), "{told:?}");
        assert!(
            told[1].starts_with("orgs.toml:3:15: unknown field `x`"),
            "{told:?}"
        );
        assert!(
            told.iter().all(|one| !one.contains(char::is_control)),
            "{told:?}"
        );
    }

    #[test]
    fn a_hundred_problems_are_told() {
        let text = "{\"id\": 1}\n".repeat(1000);
        assert_eq!(problems(&text).len(), 100);
        let text = "{\"id\": \"a\"}\n".repeat(1000);
        assert_eq!(problems(&text).len(), 100);
    }
}
