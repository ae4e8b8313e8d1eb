//! What `policy.toml` says, checked: all mistakes at once, each at its place.
//!
//! A rule that could never be met, or that would count what proves nothing, is a mistake too:
//! it is told here, before it turns people away or waves them through.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
};

use jiff::SignedDuration;

use super::{ClientRule, Methods, Policy, ProofRule, ProviderKind, Requirement, Tier, TierName};
use crate::{
    Basis, ClientId, Level, ProviderId, Scope, TenantId,
    document::{self, Key, Place, Problems, Table, Value, did_you_mean},
};

impl Policy {
    /// Reads the text of a policy file that is called `file`; any provider and client may be named.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        document::read(file, text, |table| Reader::default().policy(table))
    }

    /// Reads a policy for an installation. Mistakes are then also: a provider or a client that it
    /// does not have, a client of its own that the policy does not name, and a proof that
    /// providers of this kind never send.
    pub fn parse_for(
        file: &str,
        text: &str,
        providers: &BTreeMap<ProviderId, ProviderKind>,
        clients: &BTreeSet<ClientId>,
    ) -> Result<Self, Problems> {
        document::read(file, text, |table| {
            let reader = Reader {
                providers: Some(providers),
                clients: Some(clients),
                ..Reader::default()
            };
            reader.policy(table)
        })
    }
}

/// The one version of the file there is.
const VERSION: i64 = 1;

const NEEDS: [(&str, Level); 3] = [
    ("none", Level::None),
    ("mfa", Level::Mfa),
    ("phishing-resistant", Level::PhishingResistant),
];

const BASES: [(&str, Basis); 3] = [
    ("session", Basis::Session),
    ("enrolment", Basis::Enrolment),
    ("tenant", Basis::Tenant),
];

/// Values of `acr` that prove no second factor, whoever sends them, and why.
const ACR_NEVER: [(&str, &str); 10] = [
    ("", "an empty value says nothing"),
    // https://openid.net/specs/openid-connect-core-1_0.html#IDToken
    (
        "0",
        "Keycloak sends it for a login from a cookie, and OpenID Connect for one below every level",
    ),
    ("urn:okta:loa:1fa:any", "it is Okta's name of one factor"),
    ("urn:okta:loa:1fa:pwd", "it is Okta's name of a password"),
    (
        "urn:okta:loa:2fa:any:ifpossible",
        "Okta sends it without a second factor too, where the person has none enrolled",
    ),
    (
        "goauthentik.io/providers/oauth2/default",
        "authentik sends it with every login",
    ),
    (
        "urn:microsoft:policies:default",
        "Microsoft sends it for a login without a second factor",
    ),
    (
        "urn:countersign:single",
        "it is Countersign's name of one factor",
    ),
    (
        "urn:countersign:mfa-enrolled",
        "it does not say that this login used one",
    ),
    (
        "urn:countersign:mfa-attested",
        "it is a tenant's word, not the provider's on this login",
    ),
];

/// Values of `acr` that prove a second factor of any kind, not one that resists phishing.
const ACR_ANY_KIND: [&str; 4] = [
    "urn:microsoft:policies:mfa",
    "urn:okta:loa:2fa:any",
    "http://schemas.openid.net/pape/policies/2007/06/multi-factor",
    "urn:countersign:mfa",
];

/// Values of `amr` (RFC 8176 2, and two of vendors) that on their own prove no second factor, and why.
const AMR_NEVER: [(&str, &str); 10] = [
    ("", "an empty value says nothing"),
    ("pwd", "a password is one factor"),
    ("password", "a password is one factor"),
    ("kba", "a question about the person is one factor"),
    ("pin", "a PIN is one factor"),
    ("user", "that a person was present is no factor"),
    ("geo", "a location is no second factor"),
    ("rba", "an estimate of risk is no second factor"),
    ("wia", "a Windows login is one factor"),
    (
        "fed",
        "it says that another provider was asked, not what for",
    ),
];

/// Reads the file, and keeps what parts of it say of other parts until all are read.
#[derive(Default)]
struct Reader<'a, 't> {
    providers: Option<&'a BTreeMap<ProviderId, ProviderKind>>,
    clients: Option<&'a BTreeSet<ClientId>>,
    named_clients: BTreeSet<&'t str>,
    amr: Vec<(&'t str, Value<'t>)>,
    scopes: BTreeMap<Scope, (TierName, Place)>,
    tiers: BTreeSet<TierName>,
    requirements: Vec<(Requirement, Value<'t>)>,
    client_tiers: Vec<(&'t str, Value<'t>)>,
}

impl<'t> Reader<'_, 't> {
    fn policy(mut self, file: &mut Table<'t>) -> Option<Policy> {
        let file_is_sound = file.is_sound();
        let version = file.required("version", version);
        let proofs = file.optional_or("proof", BTreeMap::new(), |value| {
            value.entries(|key, value| self.proof(key, value))
        });
        let methods = file.optional_or("methods", Methods::default(), |value| value.table(methods));
        let tiers = file.required("tier", |value| {
            at_least_one(value, value.entries(|key, value| self.tier(key, value))?)
        });
        let clients = file.required("client", |value| {
            let clients = value.entries(|key, value| self.client(key, value));
            if file_is_sound {
                self.check_all_named(value);
            }
            at_least_one(value, clients?)
        });
        if file_is_sound {
            self.check_client_tiers();
            self.check_never(methods.as_ref());
            self.check_requirements(proofs.as_ref(), methods.as_ref());
        }
        version?;
        Some(Policy {
            proofs: proofs?,
            methods: methods?,
            tiers: tiers?,
            clients: clients?,
        })
    }

    fn proof(&mut self, key: &Key<'t>, value: &Value<'t>) -> Option<(ProviderId, ProofRule)> {
        let name = key.parsed(ProviderId::new);
        if let (Some(name), Some(known)) = (&name, self.providers) {
            check_configured(key, name, known.keys(), "provider");
        }
        let kind = name.as_ref().and_then(|name| self.providers?.get(name));
        let rule = value.table(|table| {
            let acr = table.optional_or("acr", BTreeSet::new(), |value| {
                check_sent(kind, Proof::Acr, value);
                acr_proofs(value)
            });
            let amr = table.optional_or("amr", BTreeSet::new(), |value| {
                check_sent(kind, Proof::Amr, value);
                self.amr_proofs(value)
            });
            let flag = table.optional_or("two_factor_authentication", false, |value| {
                check_sent(kind, Proof::Flag, value);
                only_true(value)
            });
            let tenants = table.optional_or("tenant", BTreeMap::new(), |value| {
                check_sent(kind, Proof::Tenant, value);
                at_least_one(value, value.entries(tenant)?)
            });
            if table.is_empty() && table.is_sound() {
                table.report("is empty, so nothing would count; leave it out, or name what counts");
            }
            Some(ProofRule {
                acr: acr?,
                amr: amr?,
                two_factor_authentication: flag?,
                tenants: tenants?,
            })
        });
        Some((name?, rule?))
    }

    fn amr_proofs(&mut self, value: &Value<'t>) -> Option<BTreeSet<String>> {
        let amr = value.set(|item| {
            let text = item.string()?;
            self.amr.push((text, item.clone()));
            check_not_in(&AMR_NEVER, text, item)?;
            Some(text.to_owned())
        });
        not_empty(value, amr?)
    }

    fn tier(&mut self, key: &Key<'t>, value: &Value<'t>) -> Option<(TierName, Tier)> {
        // Known even if the rest of it is wrong: a client that names it is right to.
        self.tiers.insert(key.text().to_owned());
        let name = key.parsed(tier_name);
        let tier = value.table(|table| {
            let scopes = table.required("scopes", |value| self.tier_scopes(key.text(), value));
            let requirement = self.requirement(table);
            Some(Tier {
                scopes: scopes?,
                requirement: requirement?,
            })
        });
        Some((name?, tier?))
    }

    fn tier_scopes(&mut self, tier: &str, value: &Value<'t>) -> Option<BTreeSet<Scope>> {
        let scopes = value.list(|item| {
            let scope = item.parsed(Scope::new)?;
            if scope.as_str() == "openid" {
                // OpenID Connect Core 3.1.2.1: every request has it, so it can't tell actions apart.
                item.report("`openid` belongs to the protocol, not to a tier; leave it out");
                return None;
            }
            if let Some((other, place)) = self.scopes.get(&scope) {
                item.report(format_args!(
                    "`{scope}` is in `tier.{other}` too, at {place}; a scope is in one tier, once"
                ));
                return None;
            }
            let place = (tier.to_owned(), item.place());
            self.scopes.insert(scope.clone(), place);
            Some(scope)
        });
        Some(scopes?.into_iter().collect())
    }

    fn requirement(&mut self, table: &mut Table<'t>) -> Option<Requirement> {
        let needs = table.required("needs", |value| with(value, value.one_of(&NEEDS)));
        let accepts = table.optional("accepts", |value| {
            with(value, value.set(|item| item.one_of(&BASES)))
        });
        let max_age = table.optional("max_age", |value| with(value, value.duration()));
        let max_evidence_age =
            table.optional("max_evidence_age", |value| with(value, value.duration()));

        let (level, place) = needs?;
        let written = (accepts?, max_age?, max_evidence_age?);
        let requirement = match level {
            Level::None => needs_nothing(&written),
            Level::Unknown | Level::Mfa | Level::PhishingResistant => {
                needs_proof(table, level, written)
            }
        }?;
        self.requirements.push((requirement.clone(), place));
        Some(requirement)
    }

    fn client(&mut self, key: &Key<'t>, value: &Value<'t>) -> Option<(ClientId, ClientRule)> {
        let name = key.parsed(ClientId::new);
        if let (Some(name), Some(known)) = (&name, self.clients) {
            check_configured(key, name, known, "client");
        }
        self.named_clients.insert(key.text());
        let tier = value.table(|table| {
            table.required("tier", |value| {
                let tier = value.string()?;
                self.client_tiers.push((tier, value.clone()));
                Some(tier.to_owned())
            })
        });
        Some((name?, ClientRule { tier: tier? }))
    }

    /// A client that the policy does not name could sign nobody in.
    fn check_all_named(&self, clients: &Value<'t>) {
        for configured in self.clients.into_iter().flatten() {
            if !self.named_clients.contains(configured.as_str()) {
                clients.report(format_args!(
                    "`{configured}` is configured and not named here; say what signing in to it needs: \
                     `[client.{configured}]` with its `tier`"
                ));
            }
        }
    }

    fn check_client_tiers(&self) {
        for (tier, value) in &self.client_tiers {
            if !self.tiers.is_empty() && !self.tiers.contains(*tier) {
                let hint = did_you_mean(tier, self.tiers.iter().map(String::as_str));
                let known = quoted(&self.tiers);
                value.report(format_args!(
                    "no tier of this name{hint} (known here: {known})"
                ));
            }
        }
    }

    /// What counts at a provider can't be what never counts.
    fn check_never(&self, methods: Option<&Methods>) {
        for (amr, value) in &self.amr {
            if methods.is_some_and(|methods| methods.never.contains(*amr)) {
                value.report(format_args!("`{amr}` is in `methods.never` too"));
            }
        }
    }

    /// A requirement that no proof can meet turns everybody away.
    fn check_requirements(
        &self,
        proofs: Option<&BTreeMap<ProviderId, ProofRule>>,
        methods: Option<&Methods>,
    ) {
        let (Some(proofs), Some(methods)) = (proofs, methods) else {
            return;
        };
        let rules: Vec<&ProofRule> = proofs.values().collect();
        for (requirement, needs) in &self.requirements {
            let hindrances: Option<Vec<String>> = requirement
                .accepts
                .iter()
                .map(|basis| {
                    let hindrance = hindrance(requirement, *basis, &rules, methods)?;
                    Some(format!("`{basis}`: {hindrance}"))
                })
                .collect();
            if let Some(hindrances) = hindrances.filter(|hindrances| !hindrances.is_empty()) {
                let all = hindrances.join("; ");
                needs.report(format_args!("no proof in this file can meet it ({all})"));
            }
        }
    }
}

/// What can be proof of a second factor, by its key in `[proof.NAME]`.
#[derive(Debug, Clone, Copy)]
enum Proof {
    Acr,
    Amr,
    Flag,
    Tenant,
}

/// A proof that providers of this kind never send would look like a rule and count for nobody.
fn check_sent(kind: Option<&ProviderKind>, proof: Proof, value: &Value<'_>) {
    if let Some(why) = kind.and_then(|kind| never_sent(*kind, proof)) {
        value.report(why);
    }
}

fn never_sent(kind: ProviderKind, proof: Proof) -> Option<&'static str> {
    use ProviderKind::{Entra, GitHub, MicrosoftAccount, Oidc};
    match (proof, kind) {
        (Proof::Acr | Proof::Amr, GitHub) => Some(
            "GitHub sends neither `acr` nor `amr`; its proof is `two_factor_authentication = true`",
        ),
        // https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
        (Proof::Amr, MicrosoftAccount) => {
            Some("Microsoft's v2.0 tokens carry no `amr`; the proof is `acr`")
        }
        (Proof::Amr, Entra) => {
            Some("Microsoft's v2.0 tokens carry no `amr`; the proof is `acr`, or `tenant`")
        }
        (Proof::Flag, MicrosoftAccount | Entra | Oidc) => {
            Some("only providers of the kind `github` have this flag")
        }
        (Proof::Tenant, MicrosoftAccount | GitHub | Oidc) => {
            Some("only providers of the kind `entra` have tenants with authentication contexts")
        }
        (Proof::Acr, MicrosoftAccount | Entra | Oidc)
        | (Proof::Amr, Oidc)
        | (Proof::Flag, GitHub)
        | (Proof::Tenant, Entra) => None,
    }
}

/// Why no proof shows what is required on this basis; nothing where one does.
fn hindrance(
    requirement: &Requirement,
    basis: Basis,
    rules: &[&ProofRule],
    methods: &Methods,
) -> Option<&'static str> {
    let resistant = requirement.level == Level::PhishingResistant;
    let shown = |shows: &dyn Fn(&ProofRule) -> bool| rules.iter().any(|rule| shows(rule));
    match basis {
        Basis::Session if resistant => (!shown(&|rule| shows_resistant(rule, methods))).then_some(
            "no proof's `acr` or `amr` can come with an `acr` of `methods.phishing_resistant`",
        ),
        Basis::Session => (!shown(&|rule| !rule.acr.is_empty() || !rule.amr.is_empty()))
            .then_some("no proof has `acr` or `amr`"),
        Basis::Enrolment if resistant => Some("says nothing of phishing"),
        // GitHub, whose flag it is, never says when it authenticated the person.
        Basis::Enrolment if requirement.max_age.is_some() => {
            Some("comes without the `auth_time` that `max_age` needs")
        }
        Basis::Enrolment => (!shown(&|rule| rule.two_factor_authentication))
            .then_some("no proof has `two_factor_authentication = true`"),
        Basis::Tenant => (!shown(&|rule| attests(rule, requirement.level)))
            .then_some("no proof has a `tenant` whose `acrs` attest it"),
    }
}

/// Whether one login can both prove MFA by this rule and carry a phishing-resistant `acr`.
fn shows_resistant(rule: &ProofRule, methods: &Methods) -> bool {
    let resistant = &methods.phishing_resistant_acr;
    !rule.acr.is_disjoint(resistant) || (!rule.amr.is_empty() && !resistant.is_empty())
}

fn attests(rule: &ProofRule, level: Level) -> bool {
    let mut contexts = rule.tenants.values().flat_map(BTreeMap::values);
    contexts.any(|attested| *attested >= level)
}

fn version(value: &Value<'_>) -> Option<()> {
    let found = value.integer(0..=i64::MAX)?;
    if found != VERSION {
        value.report(format_args!(
            "expected {VERSION}, the only version there is, found {found}"
        ));
    }
    (found == VERSION).then_some(())
}

fn acr_proofs(value: &Value<'_>) -> Option<BTreeSet<String>> {
    let acr = value.set(|item| {
        let text = item.string()?;
        check_not_in(&ACR_NEVER, text, item)?;
        Some(text.to_owned())
    });
    not_empty(value, acr?)
}

/// A tenant's authentication contexts, and what each attests.
fn tenant(key: &Key<'_>, value: &Value<'_>) -> Option<(TenantId, BTreeMap<String, Level>)> {
    let id = key.parsed(TenantId::new);
    if id.as_ref().is_some_and(TenantId::is_consumers) {
        key.report("this is the tenant of personal accounts, which has no authentication contexts");
    }
    let acrs = value.table(|table| {
        table.required("acrs", |value| at_least_one(value, value.entries(context)?))
    });
    Some((id?, acrs?))
}

fn context(key: &Key<'_>, value: &Value<'_>) -> Option<(String, Level)> {
    let name = key.parsed(context_id);
    let level = value.one_of(&NEEDS[1..]);
    Some((name?, level?))
}

/// Entra's ids of authentication contexts: `c1` to `c99`.
/// <https://learn.microsoft.com/graph/api/resources/authenticationcontextclassreference>
fn context_id(text: &str) -> Result<String, String> {
    let is_id = text.strip_prefix('c').is_some_and(|number| {
        matches!(
            number.as_bytes(),
            [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9']
        )
    });
    if is_id {
        Ok(text.to_owned())
    } else {
        Err("expected the id of an authentication context, `c1` to `c99`".to_owned())
    }
}

fn only_true(value: &Value<'_>) -> Option<bool> {
    let flag = value.boolean()?;
    if !flag {
        value.report("`false` is what holds without it; leave it out");
    }
    flag.then_some(true)
}

fn methods(table: &mut Table<'_>) -> Option<Methods> {
    let never = table.optional_or("never", BTreeSet::new(), |value| {
        not_empty(value, value.set(never_method)?)
    });
    let phishing_resistant_acr =
        table.optional_or("phishing_resistant", BTreeSet::new(), |value| {
            value.table(|table| table.required("acr", resistant_acr))
        });
    Some(Methods {
        never: never?,
        phishing_resistant_acr: phishing_resistant_acr?,
    })
}

fn never_method(item: &Value<'_>) -> Option<String> {
    let text = item.string()?;
    // `amr` lists all that a login used (RFC 8176 1), and what never counts spoils the whole login.
    if ["mfa", "pwd", "password"].contains(&text) {
        item.report(format_args!(
            "with `{text}` here, a login that proves a second factor is turned away too"
        ));
        return None;
    }
    Some(text.to_owned())
}

fn resistant_acr(value: &Value<'_>) -> Option<BTreeSet<String>> {
    let acr = value.set(|item| {
        let text = item.string()?;
        check_not_in(&ACR_NEVER, text, item)?;
        if ACR_ANY_KIND.contains(&text) {
            item.report(format_args!(
                "`{text}` proves a second factor of any kind, not one that resists phishing"
            ));
            return None;
        }
        Some(text.to_owned())
    });
    not_empty(value, acr?)
}

/// What a tier says besides `needs`, each with its place.
type Written<'t> = (
    Option<(BTreeSet<Basis>, Value<'t>)>,
    Option<(SignedDuration, Value<'t>)>,
    Option<(SignedDuration, Value<'t>)>,
);

/// Where nothing is needed, what a proof must be like has no meaning: its author meant something else.
fn needs_nothing((accepts, max_age, max_evidence_age): &Written<'_>) -> Option<Requirement> {
    let bases = accepts.iter().map(|(_, value)| value);
    let ages = max_age.iter().chain(max_evidence_age);
    let mut is_bare = true;
    for value in bases.chain(ages.map(|(_, value)| value)) {
        is_bare = false;
        value.report("has no meaning where `needs` is `none`; leave it out");
    }
    is_bare.then_some(Requirement {
        level: Level::None,
        accepts: BTreeSet::new(),
        max_age: None,
        max_evidence_age: None,
    })
}

fn needs_proof(
    table: &Table<'_>,
    level: Level,
    (accepts, max_age, max_evidence_age): Written<'_>,
) -> Option<Requirement> {
    let Some((accepts, place)) = accepts else {
        table.report_missing(
            "accepts",
            "; where `needs` is not `none` it says which of `session`, `enrolment`, `tenant` count",
        );
        return None;
    };
    Some(Requirement {
        level,
        accepts: not_empty(&place, accepts)?,
        max_age: max_age.map(|(age, _)| age),
        max_evidence_age: max_evidence_age.map(|(age, _)| age),
    })
}

fn tier_name(text: &str) -> Result<TierName, String> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(is_letter) {
        Ok(text.to_owned())
    } else {
        Err("expected a name of 1 to 64 lower-case letters, digits and `-`".to_owned())
    }
}

fn check_not_in(never: &[(&str, &str)], text: &str, item: &Value<'_>) -> Option<()> {
    match never.iter().find(|(value, _)| *value == text) {
        Some((_, why)) => {
            item.report(format_args!("`{text}` proves no second factor: {why}"));
            None
        }
        None => Some(()),
    }
}

fn check_configured<'a, T: Ord + Borrow<str> + 'a>(
    key: &Key<'_>,
    name: &T,
    known: impl IntoIterator<Item = &'a T>,
    kind: &str,
) {
    let known: BTreeSet<&str> = known.into_iter().map(Borrow::borrow).collect();
    if !known.contains(name.borrow()) {
        let hint = did_you_mean(name.borrow(), known.iter().copied());
        let known = quoted(&known);
        key.report(format_args!(
            "no {kind} of this name is configured{hint} (configured: {known})"
        ));
    }
}

/// A value together with where it stands, for checks across the file.
fn with<'t, T>(value: &Value<'t>, read: Option<T>) -> Option<(T, Value<'t>)> {
    read.map(|read| (read, value.clone()))
}

fn not_empty<T>(value: &Value<'_>, set: BTreeSet<T>) -> Option<BTreeSet<T>> {
    if set.is_empty() {
        value.report("expected at least one value, found an empty list");
    }
    (!set.is_empty()).then_some(set)
}

fn at_least_one<K, V>(value: &Value<'_>, entries: BTreeMap<K, V>) -> Option<BTreeMap<K, V>> {
    if entries.is_empty() {
        value.report("expected at least one entry, found none");
    }
    (!entries.is_empty()).then_some(entries)
}

fn quoted<T: Borrow<str>>(names: &BTreeSet<T>) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.borrow()))
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests;
