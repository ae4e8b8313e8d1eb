//! What vendors really send: what counts as proof at one of them, what never does, and why.
//!
//! A preset is a file in `config/presets`, embedded here. It speaks the vendor's words: all values
//! are compared to what the token says, and only `methods.never` sees them by their meanings. The
//! tests of this module weigh every recorded login, so a preset that says what is not so does not
//! pass; a file that can't be read is no preset at all, and naming it is a mistake in the policy.
//!
//! The keys of such a file:
//!
//! | key | what it says |
//! |---|---|
//! | `title`, `kind` | the vendor's name; the kind of provider in `countersign.toml` |
//! | `verified_on`, `sources` | when all of this was last compared with what the vendor says, and where |
//! | `notes` | what an operator switches on at the vendor |
//! | `sends_amr` | every value of `amr` that the vendor is known to send; none where they are the operator's |
//! | `ask` | claims that come only when the `claims` parameter of the request asks for them |
//! | `proof.acr`, `proof.amr`, `proof.two_factor_authentication` | what counts, as in `[proof.NAME]` of a policy |
//! | `requires.any_of`, `requires.what` | the keys of which a policy must write one, because the names are the operator's; what to write |
//! | `never.acr`, `never.amr` | values that on their own prove no second factor there, each with the reason |
//! | `rename.amr` | the vendor's own words, each with what it means: an RFC 8176 value where there is one |
//! | `phishing_resistant.acr`, `.amr`, `.why` | values that show a phishing-resistant login, where MFA is proven too |
//! | `email_verified.counts`, `.why` | whether `email_verified: true` means that somebody verified the address |
//! | `clock.auth_time` | whether `auth_time` comes and tells of this very login |
//! | `clock.reauthenticates` | whether `prompt=login` and `max_age` make it authenticate the person again |
//! | `enrolment.page`, `enrolment.hint` | where a person switches MFA on there, if that is one page for all; how, in a sentence |
//! | `recorded` | logins: `claims` as the JSON that was sent, what they `show`, on which `basis`, `with` what an operator wrote besides |
//! | `recorded.may_show` | the most that an operator may take such a login for by `when`, where that is more than it shows |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value as Json};

use super::{ProofRule, ProviderKind};
use crate::document::{self, Problems, Table, Value};
use crate::expression::visible;
use crate::{Basis, Claim, Claims, Level};

/// What is known of one vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// What a policy calls it: `preset = "okta"`.
    pub name: &'static str,
    /// The vendor's own name.
    pub title: String,
    /// The kind of provider it is for.
    pub kind: ProviderKind,
    /// When it was last compared with what the vendor says.
    pub verified_on: Date,
    /// Where the vendor says it: addresses.
    pub sources: Vec<String>,
    /// What an operator switches on at the vendor: sentences.
    pub notes: Vec<String>,
    /// Every value of `amr` that the vendor is known to send; empty where that is not known.
    pub sends_amr: BTreeSet<String>,
    /// Claims that come only when `claims.id_token` of the request asks for them (Core 5.5).
    pub ask: BTreeSet<String>,
    /// Values of `acr`, each of which proves MFA on basis *session*.
    pub acr: BTreeSet<String>,
    /// Values of `amr`, each of which proves MFA on basis *session*.
    pub amr: BTreeSet<String>,
    /// Whether GitHub's flag proves MFA, on basis *enrolment*.
    pub two_factor_authentication: bool,
    /// What a policy must add, because the vendor leaves the names to the operator.
    pub requires: Option<Requires>,
    /// Values of `acr` that never count at this vendor, and why.
    pub never_acr: BTreeMap<String, String>,
    /// Values of `amr` that on their own never count at this vendor, and why.
    pub never_amr: BTreeMap<String, String>,
    /// What values of `amr` mean that are the vendor's own words.
    pub rename_amr: BTreeMap<String, String>,
    /// Values of `acr` that show a phishing-resistant login, where MFA is proven too.
    pub resistant_acr: BTreeSet<String>,
    /// Values of `amr` that do.
    pub resistant_amr: BTreeSet<String>,
    /// Whether its word on an e-mail address counts.
    pub email_verified: EmailVerified,
    /// What it says of time.
    pub clock: Clock,
    /// How a person switches MFA on there.
    pub enrolment: Enrolment,
    /// What it was seen to send.
    pub recorded: Vec<Recorded>,
}

impl Preset {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|preset| preset.name == name)
    }

    /// The names of all presets, in order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::all().iter().map(|preset| preset.name)
    }

    /// All presets, by name.
    pub fn all() -> &'static [Self] {
        static PRESETS: OnceLock<Vec<Preset>> = OnceLock::new();
        PRESETS.get_or_init(|| {
            let read = FILES.iter().map(|(name, text)| parse(name, text));
            // That none is left out here is a test's to say, not a panic's in somebody's registry.
            read.filter_map(Result::ok).collect()
        })
    }

    /// What counts as proof by this preset alone.
    pub fn rule(&self) -> ProofRule {
        ProofRule {
            acr: self.acr.clone(),
            amr: self.amr.clone(),
            two_factor_authentication: self.two_factor_authentication,
            amr_meanings: self.rename_amr.clone(),
            asks: self.ask.clone(),
            resistant_acr: self.resistant_acr.clone(),
            resistant_amr: self.resistant_amr.clone(),
            ..ProofRule::default()
        }
    }
}

/// What a policy must add to a preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requires {
    /// The keys of `[proof.NAME]` of which one is needed: `acr`, `amr`, `when`.
    pub any_of: BTreeSet<&'static str>,
    /// What to write there, after “write”.
    pub what: String,
}

/// Whether `email_verified: true` means that somebody verified the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailVerified {
    /// Whether it does.
    pub counts: bool,
    /// Why, or why not.
    pub why: String,
}

/// What a vendor says of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Whether `auth_time` comes and tells of this very login.
    pub auth_time: bool,
    /// Whether `prompt=login` and `max_age` make it authenticate the person again.
    pub reauthenticates: bool,
}

/// How a person switches MFA on at a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The page, where that is one for everybody.
    pub page: Option<String>,
    /// A sentence for that person. It never asks for a phone number.
    pub hint: String,
}

/// A login as the vendor told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What it was: "a password alone".
    pub name: String,
    /// Where that was seen or written.
    pub source: String,
    /// The members of the ID token, or of the answer that stands for it, that matter here.
    pub claims: Map<String, Json>,
    /// Values of `acr` and of `amr` that an operator wrote besides.
    pub with: (BTreeSet<String>, BTreeSet<String>),
    /// What it amounts to.
    pub shows: Level,
    /// The most that an operator's `when` may take it for.
    pub may_show: Level,
    /// On which basis it is proven, where it is.
    pub basis: Basis,
}

impl Recorded {
    /// The claims that proof rules read.
    pub fn evidence(&self) -> Claims {
        Claims {
            acr: self.claim("acr", |json| json.as_str().map(str::to_owned)),
            amr: self.claim("amr", texts),
            acrs: self.claim("acrs", texts),
            two_factor_authentication: self.claim("two_factor_authentication", Json::as_bool),
            auth_time: self.claim("auth_time", |json| {
                Timestamp::from_second(json.as_i64()?).ok()
            }),
            ..Claims::default()
        }
    }

    /// Whether every operator's logins look so, not only where one named values of an own.
    pub fn is_everybodys(&self) -> bool {
        let (acr, amr) = &self.with;
        acr.is_empty() && amr.is_empty()
    }

    /// What an expression sees of it.
    pub fn visible(&self) -> Map<String, Json> {
        let other = self.claims.clone().into_iter().collect();
        visible(&Claims {
            other,
            ..self.evidence()
        })
    }

    fn claim<T>(&self, name: &str, read: impl FnOnce(&Json) -> Option<T>) -> Claim<T> {
        match self.claims.get(name).map(read) {
            None => Claim::Absent,
            Some(None) => Claim::Malformed,
            Some(Some(value)) => Claim::Value(value),
        }
    }
}

/// A list of texts, or one text, as some send it.
fn texts(json: &Json) -> Option<Vec<String>> {
    let text = |json: &Json| json.as_str().map(str::to_owned);
    match json {
        Json::Array(list) => list.iter().map(text).collect(),
        one => Some(vec![text(one)?]),
    }
}

const FILES: [(&str, &str); 14] = [
    ("adfs", include_str!("../../../../config/presets/adfs.toml")),
    (
        "auth0",
        include_str!("../../../../config/presets/auth0.toml"),
    ),
    (
        "authelia",
        include_str!("../../../../config/presets/authelia.toml"),
    ),
    (
        "authentik",
        include_str!("../../../../config/presets/authentik.toml"),
    ),
    (
        "cognito",
        include_str!("../../../../config/presets/cognito.toml"),
    ),
    (
        "entra",
        include_str!("../../../../config/presets/entra.toml"),
    ),
    (
        "github",
        include_str!("../../../../config/presets/github.toml"),
    ),
    (
        "gitlab",
        include_str!("../../../../config/presets/gitlab.toml"),
    ),
    (
        "google",
        include_str!("../../../../config/presets/google.toml"),
    ),
    (
        "keycloak",
        include_str!("../../../../config/presets/keycloak.toml"),
    ),
    (
        "microsoft-account",
        include_str!("../../../../config/presets/microsoft-account.toml"),
    ),
    ("okta", include_str!("../../../../config/presets/okta.toml")),
    (
        "pingone",
        include_str!("../../../../config/presets/pingone.toml"),
    ),
    (
        "zitadel",
        include_str!("../../../../config/presets/zitadel.toml"),
    ),
];

const KINDS: [(&str, ProviderKind); 4] = [
    ("microsoft-account", ProviderKind::MicrosoftAccount),
    ("entra", ProviderKind::Entra),
    ("github", ProviderKind::GitHub),
    ("oidc", ProviderKind::Oidc),
];

const LEVELS: [(&str, Level); 4] = [
    ("unknown", Level::Unknown),
    ("none", Level::None),
    ("mfa", Level::Mfa),
    ("phishing-resistant", Level::PhishingResistant),
];

const BASES: [(&str, Basis); 3] = [
    ("session", Basis::Session),
    ("enrolment", Basis::Enrolment),
    ("tenant", Basis::Tenant),
];

const PROOF_KEYS: [(&str, &str); 3] = [("acr", "acr"), ("amr", "amr"), ("when", "when")];

/// All that is wrong with a file, at once.
fn parse(name: &'static str, text: &str) -> Result<Preset, Problems> {
    document::read(&format!("{name}.toml"), text, |file| preset(name, file))
}

fn preset(name: &'static str, file: &mut Table<'_>) -> Option<Preset> {
    let title = file.required("title", string);
    let kind = file.required("kind", |value| value.one_of(&KINDS));
    let verified_on = file.required("verified_on", Value::date);
    let sources = file.required("sources", |value| not_empty(value, value.list(address)?));
    let notes = file.optional_or("notes", Vec::new(), |value| value.list(string));
    let sends_amr = file.optional_or("sends_amr", BTreeSet::new(), set);
    let ask = file.optional_or("ask", BTreeSet::new(), set);
    let proof = file.optional_or("proof", Proof::default(), |value| value.table(proof));
    let requires = file.optional("requires", |value| value.table(requires));
    let resistant = file.optional_or("phishing_resistant", Pair::default(), |value| {
        value.table(resistant)
    });
    let never = file.optional_or("never", Default::default(), |value| {
        value.table(|table| never(table, proof.as_ref()?, resistant.as_ref()?))
    });
    let rename_amr = file.optional_or("rename", BTreeMap::new(), |value| {
        value.table(|table| {
            table.required("amr", |value| {
                renamed(value, &proof.as_ref()?.values.amr, &resistant.as_ref()?.amr)
            })
        })
    });
    let email_verified = file.required("email_verified", |value| value.table(email_verified));
    let clock = file.required("clock", |value| value.table(clock));
    let enrolment = file.required("enrolment", |value| value.table(enrolment));
    let recorded = file.required("recorded", |value| {
        not_empty(value, value.list(|value| value.table(recorded))?)
    });
    if proof.as_ref().is_some_and(Proof::is_nothing) && requires == Some(None) {
        file.report_missing("requires", ", and nothing counts without it");
    }
    let (proof, resistant, (never_acr, never_amr)) = (proof?, resistant?, never?);
    Some(Preset {
        name,
        title: title?,
        kind: kind?,
        verified_on: verified_on?,
        sources: sources?,
        notes: notes?,
        sends_amr: sends_amr?,
        ask: ask?,
        acr: proof.values.acr,
        amr: proof.values.amr,
        two_factor_authentication: proof.two_factor_authentication,
        requires: requires?,
        never_acr,
        never_amr,
        rename_amr: rename_amr?,
        resistant_acr: resistant.acr,
        resistant_amr: resistant.amr,
        email_verified: email_verified?,
        clock: clock?,
        enrolment: enrolment?,
        recorded: recorded?,
    })
}

/// Values of `acr` and of `amr`.
#[derive(Debug, Default)]
struct Pair {
    acr: BTreeSet<String>,
    amr: BTreeSet<String>,
}

impl Pair {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let acr = table.optional_or("acr", BTreeSet::new(), set);
        let amr = table.optional_or("amr", BTreeSet::new(), set);
        Some(Self {
            acr: acr?,
            amr: amr?,
        })
    }

    fn is_empty(&self) -> bool {
        self.acr.is_empty() && self.amr.is_empty()
    }
}

#[derive(Debug, Default)]
struct Proof {
    values: Pair,
    two_factor_authentication: bool,
}

impl Proof {
    fn is_nothing(&self) -> bool {
        self.values.is_empty() && !self.two_factor_authentication
    }
}

fn proof(table: &mut Table<'_>) -> Option<Proof> {
    let values = Pair::read(table);
    let flag = table.optional_or("two_factor_authentication", false, Value::boolean);
    Some(Proof {
        values: values?,
        two_factor_authentication: flag?,
    })
}

fn requires(table: &mut Table<'_>) -> Option<Requires> {
    let any_of = table.required("any_of", |value| value.set(|item| item.one_of(&PROOF_KEYS)));
    let what = table.required("what", string);
    Some(Requires {
        any_of: any_of?,
        what: what?,
    })
}

/// That a value shows more than a second factor is a claim that needs a reason.
fn resistant(table: &mut Table<'_>) -> Option<Pair> {
    let values = Pair::read(table);
    let why = table.optional("why", string);
    if why == Some(None) && values.as_ref().is_some_and(|values| !values.is_empty()) {
        table.report_missing("why", "");
    }
    why?;
    values
}

/// The values that never count, by claim, each with the reason.
type Never = (BTreeMap<String, String>, BTreeMap<String, String>);

fn never(table: &mut Table<'_>, proof: &Proof, resistant: &Pair) -> Option<Never> {
    let acr = table.optional_or("acr", BTreeMap::new(), |value| {
        reasons(value, &(&proof.values.acr | &resistant.acr))
    });
    let amr = table.optional_or("amr", BTreeMap::new(), |value| {
        reasons(value, &proof.values.amr)
    });
    Some((acr?, amr?))
}

fn reasons(value: &Value<'_>, counting: &BTreeSet<String>) -> Option<BTreeMap<String, String>> {
    value.entries(|key, value| {
        if counting.contains(key.text()) {
            key.report("counts as proof, so it can't be one that never does");
            return None;
        }
        Some((key.text().to_owned(), string(value)?))
    })
}

/// A word that is renamed proves nothing, before or after: else `methods.never` would see another
/// word than the proof does.
fn renamed(
    value: &Value<'_>,
    proof: &BTreeSet<String>,
    resistant: &BTreeSet<String>,
) -> Option<BTreeMap<String, String>> {
    let counts = |word: &str| proof.contains(word) || resistant.contains(word);
    value.entries(|key, value| {
        let meaning = value.string()?;
        if counts(key.text()) || counts(meaning) || key.text() == meaning {
            value.report("renames from or to a value that counts as proof, or to itself");
            return None;
        }
        Some((key.text().to_owned(), meaning.to_owned()))
    })
}

fn email_verified(table: &mut Table<'_>) -> Option<EmailVerified> {
    let counts = table.required("counts", Value::boolean);
    let why = table.required("why", string);
    Some(EmailVerified {
        counts: counts?,
        why: why?,
    })
}

fn clock(table: &mut Table<'_>) -> Option<Clock> {
    let auth_time = table.required("auth_time", Value::boolean);
    let reauthenticates = table.required("reauthenticates", Value::boolean);
    Some(Clock {
        auth_time: auth_time?,
        reauthenticates: reauthenticates?,
    })
}

fn enrolment(table: &mut Table<'_>) -> Option<Enrolment> {
    let page = table.optional("page", address);
    let hint = table.required("hint", string);
    Some(Enrolment {
        page: page?,
        hint: hint?,
    })
}

fn recorded(table: &mut Table<'_>) -> Option<Recorded> {
    let name = table.required("name", string);
    let source = table.required("source", address);
    let with = table.optional_or("with", Pair::default(), |value| value.table(Pair::read));
    let claims = table.required("claims", |value| value.parsed(serde_json::from_str));
    let shows = table.required("shows", |value| value.one_of(&LEVELS));
    let may_show = table.optional("may_show", |value| may_show(value, shows?));
    let basis = table.optional_or("basis", Basis::Session, |value| value.one_of(&BASES));
    let with = with?;
    Some(Recorded {
        name: name?,
        source: source?,
        claims: claims?,
        with: (with.acr, with.amr),
        shows: shows?,
        may_show: may_show?.or(shows)?,
        basis: basis?,
    })
}

fn may_show(value: &Value<'_>, shows: Level) -> Option<Level> {
    let most = value.one_of(&LEVELS)?;
    if most <= shows {
        value.report("is no more than it shows; leave it out");
    }
    (most > shows).then_some(most)
}

fn set(value: &Value<'_>) -> Option<BTreeSet<String>> {
    value.set(string)
}

fn string(value: &Value<'_>) -> Option<String> {
    value.string().map(str::to_owned)
}

fn address(value: &Value<'_>) -> Option<String> {
    let address = value.string()?;
    if !address.starts_with("https://") {
        value.report("expected an address that begins with `https://`");
        return None;
    }
    Some(address.to_owned())
}

fn not_empty<T>(value: &Value<'_>, list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() {
        value.report("expected at least one, found none");
    }
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests;
