//! Tickets: a registry's word, good once, that whoever brings it owns an account of the registry's own, from before people
//! signed in here. Signed by a client of the registry's with the key that it is registered with.
//!
//! What a ticket says, and whether it may be believed, is answered here; what a person makes of it, in [`claim`].

mod claim;

use countersign_core::{ClientId, OrganizationId};
use countersign_providers::{PublishedKeys, SignedJwt};
use countersign_store::organization::Told;
use countersign_store::{RegistryAccountName, registration};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client_jwt::{self, AHEAD, LONGEST_ID, NotVerified, instant};
use crate::error::{Failure, Problem};
use crate::settings::ClientAuthentication;
use crate::web::Context;

pub(crate) use claim::{confirm, show};

/// RFC 8725 3.11: nothing else that a client or a provider signs passes for a ticket, nor a ticket for anything else.
const TYPES: [&str; 1] = ["account-ticket+jwt"];
/// How long a ticket may be good: from the registry's page to ours.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_mins(15);

/// All claims of a ticket. Another one is refused, not passed over: where `organization` is misspelt, one person would get
/// what a team had.
const KNOWN: [&str; 10] = [
    "iss",
    "aud",
    "iat",
    "nbf",
    "exp",
    "jti",
    "registry_account",
    "created",
    "organization",
    "organization_title",
];

/// Why an account of the registry's is not somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotClaimed {
    /// The ticket is not good.
    TicketRefused,
    /// It was brought before, or used by another account.
    TicketUsed,
    /// This browser has brought none, or not lately.
    TicketMissing,
    /// The account is somebody's.
    Taken,
    /// The person has another one.
    HasAnother,
    /// It became an organisation.
    Retired,
    /// The organisation that it is to become is another's.
    OrganizationTaken,
}

impl NotClaimed {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TicketRefused => "ticket-refused",
            Self::TicketUsed => "ticket-used",
            Self::TicketMissing => "ticket-missing",
            Self::Taken => "registry-account-taken",
            Self::HasAnother => "registry-account-second",
            Self::Retired => "registry-account-retired",
            Self::OrganizationTaken => "organization-taken",
        }
    }

    /// All, for documentation and its test.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 7] = [
        Self::TicketRefused,
        Self::TicketUsed,
        Self::TicketMissing,
        Self::Taken,
        Self::HasAnother,
        Self::Retired,
        Self::OrganizationTaken,
    ];
}

/// What a registry vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ticket {
    /// The client that signed it.
    client: ClientId,
    /// Its name (`jti`), for good once.
    id: String,
    /// The registry's own name of the account.
    account: RegistryAccountName,
    /// When that was made at the registry, if it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    /// What it becomes, where several people had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team: Option<Team>,
    /// Until when it may be brought.
    expires_at: Timestamp,
}

/// An organisation that a shared account becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Team {
    organization: OrganizationId,
    /// What people call it, where it is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
}

/// The ticket that this is, if a client that may has signed it. The browser is not told why it is none; the log is.
async fn verified(text: &str, context: &Context<'_>) -> Result<Ticket, Failure> {
    let jwt = SignedJwt::parse(text).map_err(|_| refused(None, "it is no JWT", context))?;
    let client = jwt.claimed("iss").and_then(|id| ClientId::new(id).ok());
    let client = client.ok_or_else(|| refused(None, "its `iss` is no client", context))?;
    let keys = keys_of(&client, context);
    let keys = keys.map_err(|why| refused(Some(&client), why, context))?;
    let claims = client_jwt::verified(text, &TYPES, (&client, keys), context).await;
    let claims = claims.map_err(|error| match error {
        NotVerified::NoKeys => Failure::Page(Problem::Unavailable),
        NotVerified::Refused(why) => refused(Some(&client), &why, context),
    })?;
    let issuer = context.broker.settings.issuer();
    let read = Ticket::read(&claims, &client, issuer, context.now);
    read.map_err(|why| refused(Some(&client), why, context))
}

/// The keys of a client whose word counts.
fn keys_of<'a>(
    client: &ClientId,
    context: &Context<'a>,
) -> Result<&'a PublishedKeys, &'static str> {
    let client = context.broker.settings.clients.get(client);
    let client = client.ok_or("its `iss` is no client")?;
    match &client.authentication {
        ClientAuthentication::PrivateKey(_) if !client.may_vouch => {
            Err("`vouches = true` of the client is missing")
        }
        ClientAuthentication::PrivateKey(keys) => Ok(keys),
        ClientAuthentication::Public | ClientAuthentication::Secret(_) => {
            Err("the client has no key (`jwks` or `jwks_uri`)")
        }
    }
}

impl Ticket {
    /// What these verified claims say; what is wrong with them, in words.
    fn read(
        claims: &Map<String, Value>,
        client: &ClientId,
        issuer: &str,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        if claims.keys().any(|name| !KNOWN.contains(&name.as_str())) {
            return Err("it has a claim that no ticket has");
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(client.as_str()) {
            return Err("its `iss` is not the client");
        }
        if !is_for(issuer, claims.get("aud")) {
            return Err("its `aud` is not our issuer, or not only");
        }
        let expires_at = times(claims, now)?;
        let id = text("jti").filter(|id| {
            (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let id = id.ok_or("its `jti` is missing, or no name of 1 to 256 characters of ASCII")?;
        let account = text("registry_account").ok_or("its `registry_account` is missing")?;
        let account = RegistryAccountName::new(account);
        Ok(Self {
            client: client.clone(),
            id: id.to_owned(),
            account: account.map_err(|_| "its `registry_account` is no name of an account")?,
            created: created(claims, now)?,
            team: Team::read(claims)?,
            expires_at,
        })
    }
}

/// Our issuer and nobody else: with a second audience, whoever that is could use it here.
fn is_for(issuer: &str, audience: Option<&Value>) -> bool {
    match audience {
        Some(Value::String(one)) => one == issuer,
        Some(Value::Array(many)) => {
            matches!(many.as_slice(), [Value::String(one)] if one == issuer)
        }
        Some(_) | None => false,
    }
}

/// When it ends, if it holds now and not for too long.
fn times(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, &'static str> {
    let ahead = |then: Timestamp| then.duration_since(now) > AHEAD;
    let issued_at = instant(claims, "iat").ok_or("its `iat` is missing, or is no time")?;
    let begins = claims.contains_key("nbf").then(|| instant(claims, "nbf"));
    let begins = begins.unwrap_or(Some(issued_at));
    if ahead(issued_at) || begins.is_none_or(ahead) {
        return Err("its `iat` or `nbf` lies in the future, or is no time");
    }
    let expires_at = instant(claims, "exp").ok_or("its `exp` is missing, or is no time")?;
    if expires_at <= now {
        return Err("it has expired");
    }
    if expires_at.duration_since(issued_at) > LONGEST_LIFE {
        return Err("its `exp` lies more than fifteen minutes after its `iat`");
    }
    Ok(expires_at)
}

fn created(claims: &Map<String, Value>, now: Timestamp) -> Result<Option<Timestamp>, &'static str> {
    match claims.get("created") {
        None => Ok(None),
        Some(Value::String(text)) => match registration(text, now) {
            Ok(time) => Ok(Some(time)),
            Err(_) => Err("its `created` is no day (`2019-03-04`) or time from 1990 until now"),
        },
        Some(_) => Err("its `created` is no text"),
    }
}

impl Team {
    fn read(claims: &Map<String, Value>) -> Result<Option<Self>, &'static str> {
        let text = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err("its `organization` or `organization_title` is no text"),
        };
        match (text("organization")?, text("organization_title")?) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err("its `organization` is missing beside the title"),
            (Some(id), title) => {
                let told = Told {
                    title,
                    ..Told::default()
                };
                told.check()
                    .map_err(|_| "its `organization_title` is no title")?;
                let organization = OrganizationId::new(id);
                Ok(Some(Self {
                    organization: organization.map_err(|_| "its `organization` is no id of one")?,
                    title: told.title,
                }))
            }
        }
    }
}

/// Never what it says: a ticket is as good as a password until it is used.
fn refused(client: Option<&ClientId>, why: &str, context: &Context<'_>) -> Failure {
    tracing::info!(code = "ticket-refused", request = %context.request_id, client = client.map(tracing::field::display), cause = why, "a ticket is not good");
    Failure::Page(Problem::NotClaimed(NotClaimed::TicketRefused))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://login.example";

    fn read(claims: &Value) -> Result<Ticket, &'static str> {
        let client = ClientId::new("legacy").unwrap();
        let now = Timestamp::from_second(NOW).unwrap();
        Ticket::read(claims.as_object().unwrap(), &client, ISSUER, now)
    }

    fn good() -> Value {
        json!({
            "iss": "legacy", "aud": ISSUER, "jti": "1", "iat": NOW, "exp": NOW + 60,
            "registry_account": "ann",
        })
    }

    /// The good one with one claim changed, or without it.
    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    }

    #[test]
    fn a_ticket_says_whose_account_it_is_about_and_for_how_long_it_holds() {
        let ticket = read(&good()).unwrap();
        assert_eq!(ticket.account.as_str(), "ann");
        assert_eq!(ticket.expires_at.as_second(), NOW + 60);
        assert_eq!((ticket.created, ticket.team), (None, None));
        let ticket = read(&with("created", json!("2019-03-04"))).unwrap();
        let created = ticket.created.map(|created| created.to_string());
        assert_eq!(created.as_deref(), Some("2019-03-04T00:00:00Z"));
        let mut team = with("organization", json!("contoso"));
        team["organization_title"] = json!("Contoso \u{1f98a}");
        let team = read(&team).unwrap().team.unwrap();
        assert_eq!(team.organization.as_str(), "contoso");
        assert_eq!(team.title.as_deref(), Some("Contoso \u{1f98a}"));
    }

    #[test]
    fn a_ticket_may_be_written_in_more_ways_than_one() {
        for (name, value) in [
            ("aud", json!([ISSUER])),
            ("exp", json!(NOW + 900)),
            ("exp", json!(f64::from(1_800_000_060) + 0.5)),
            ("iat", json!(NOW + 30)),
            ("nbf", json!(NOW + 30)),
            ("jti", json!("j".repeat(256))),
            ("created", json!("2019-03-04T05:06:07+02:00")),
            ("registry_account", json!("Zoë @ Ännä")),
            ("organization", json!("contoso")),
        ] {
            let claims = with(name, value);
            assert!(read(&claims).is_ok(), "{claims}: {:?}", read(&claims));
        }
    }

    #[test]
    fn what_is_no_ticket_is_refused_whatever_is_wrong_with_it() {
        for name in ["iss", "aud", "iat", "exp", "jti", "registry_account"] {
            let claims = with(name, Value::Null);
            assert!(read(&claims).is_err(), "without `{name}`");
        }
        // What no claim of a ticket is, whichever it is.
        for name in KNOWN {
            for value in [json!(true), json!([]), json!({}), json!([1]), json!("")] {
                let claims = with(name, value);
                let is_space = name == "organization_title";
                assert!(read(&claims).is_err() || is_space, "{claims}");
            }
        }
        for (name, value) in [
            ("iss", json!("other")),
            ("iss", json!(["legacy"])),
            ("aud", json!("https://login.example/")),
            ("aud", json!("https://LOGIN.example")),
            ("aud", json!("https://evil.example")),
            ("aud", json!([ISSUER, "https://evil.example"])),
            ("aud", json!([ISSUER, ISSUER])),
            ("aud", json!([[ISSUER]])),
            ("exp", json!(NOW)),
            ("exp", json!(NOW - 1)),
            ("exp", json!(NOW + 901)),
            ("exp", json!("1800000060")),
            ("exp", json!(1e300)),
            ("exp", json!(-1)),
            ("iat", json!(NOW + 31)),
            ("iat", json!(NOW - 841)),
            ("iat", json!("1800000000")),
            ("iat", json!(-1e300)),
            ("nbf", json!(NOW + 31)),
            ("nbf", json!("1800000000")),
            ("jti", json!(1)),
            ("jti", json!("j".repeat(257))),
            ("jti", json!("a b")),
            ("jti", json!("a\u{0}")),
            ("jti", json!("ä")),
            ("registry_account", json!(" ann")),
            ("registry_account", json!("a\nb")),
            ("registry_account", json!("a\u{202e}b")),
            ("registry_account", json!("x".repeat(129))),
            ("registry_account", json!(["ann"])),
            ("created", json!("04.03.2019")),
            ("created", json!("20190304")),
            ("created", json!("2019-03-04T05:06:07")),
            ("created", json!("1970-01-01")),
            ("created", json!("2099-01-01")),
            ("created", json!(1_551_657_600)),
            ("organization", json!("a/b")),
            ("organization", json!("..")),
            ("organization", json!({"id": "contoso"})),
            ("organization_title", json!("without an organization")),
            ("organisation", json!("contoso")),
            ("sub", json!("legacy")),
            ("events", json!({})),
            ("nonce", json!("1")),
            ("Registry_account", json!("bob")),
        ] {
            let claims = with(name, value);
            assert!(read(&claims).is_err(), "{claims}");
        }
        for title in [json!("a\nb"), json!("a".repeat(257)), json!(["a"])] {
            let mut claims = with("organization", json!("contoso"));
            claims["organization_title"] = title;
            assert!(read(&claims).is_err(), "{claims}");
        }
        assert!(read(&json!({})).is_err());
    }
}
