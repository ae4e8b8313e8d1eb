//! What counts as proof, provider by provider, and which methods never do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::weak::weak_logins;
use super::{NEEDS, Reader, at_least_one, check_configured, check_not_in, not_empty, quoted, with};
use crate::document::{Key, Table, Value, did_you_mean};
use crate::expression::Expression;
use crate::policy::preset::{Preset, Recorded};
use crate::policy::{Methods, ProofRule, ProviderKind, When};
use crate::{Level, ProviderId, TenantId};

/// Values of `acr` that prove no second factor, whoever sends them, and why.
pub(super) const ACR_NEVER: [(&str, &str); 10] = [
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
pub(super) const ACR_ANY_KIND: [&str; 4] = [
    "urn:microsoft:policies:mfa",
    "urn:okta:loa:2fa:any",
    "http://schemas.openid.net/pape/policies/2007/06/multi-factor",
    "urn:countersign:mfa",
];

/// Values of `amr` (RFC 8176 2, and two of vendors) that on their own prove no second factor, and why.
pub(super) const AMR_NEVER: [(&str, &str); 10] = [
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

/// Whether a value of `acr` may be written as proof: no vendor is known to send it for less.
pub(crate) fn can_prove_acr(value: &str) -> bool {
    ACR_NEVER.iter().all(|(never, _)| *never != value)
        && Preset::all()
            .iter()
            .all(|preset| !preset.never_acr.contains_key(value))
}

/// Whether a value of `amr` may be written as proof.
pub(crate) fn can_prove_amr(value: &str) -> bool {
    AMR_NEVER.iter().all(|(never, _)| *never != value)
        && Preset::all()
            .iter()
            .all(|preset| !preset.never_amr.contains_key(value))
}

impl<'t> Reader<'_, 't> {
    pub(super) fn proof(
        &mut self,
        key: &Key<'t>,
        value: &Value<'t>,
    ) -> Option<(ProviderId, ProofRule)> {
        let name = key.parsed(ProviderId::new);
        if let (Some(name), Some(known)) = (&name, self.installation.providers) {
            check_configured(key, name, known.keys(), "provider");
        }
        let kind = name
            .as_ref()
            .and_then(|name| self.installation.providers?.get(name));
        let rule = value.table(|table| {
            let preset = table.optional("preset", |value| with(value, preset(kind, value)));
            let vendor = preset.as_ref().and_then(|preset| preset.as_ref());
            let vendor = vendor.map(|(preset, _)| *preset);
            let acr = table.optional("acr", |value| {
                check_sent(kind, Proof::Acr, value);
                acr_proofs(value, vendor)
            });
            let amr = table.optional("amr", |value| {
                check_sent(kind, Proof::Amr, value);
                self.amr_proofs(value, vendor)
            });
            let when = when(table, kind, vendor);
            let flag = table.optional("two_factor_authentication", |value| {
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
            if let Some((preset, value)) = preset.as_ref()?.as_ref() {
                check_required(preset, table, value)?;
            }
            // What the file says stands for what the preset says, key by key.
            let base = vendor.map(Preset::rule).unwrap_or_default();
            Some(ProofRule {
                acr: acr?.unwrap_or(base.acr),
                amr: amr?.unwrap_or(base.amr),
                when: when.ok()?,
                two_factor_authentication: flag?.unwrap_or(base.two_factor_authentication),
                tenants: tenants?,
                ..base
            })
        });
        Some((name?, rule?))
    }

    fn amr_proofs(
        &mut self,
        value: &Value<'t>,
        vendor: Option<&Preset>,
    ) -> Option<BTreeSet<String>> {
        let amr = value.set(|item| {
            let text = item.string()?;
            self.amr.push((text, item.clone()));
            check_not_in(&AMR_NEVER, text, item)?;
            check_vendor(vendor.map(|preset| &preset.never_amr), text, item)?;
            Some(text.to_owned())
        });
        not_empty(value, amr?)
    }

    /// What is true of methods at every provider.
    pub(super) fn methods(&mut self, table: &mut Table<'t>) -> Option<Methods> {
        let never = table.optional_or("never", BTreeSet::new(), |value| {
            self.never = Some(value.clone());
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

    /// What counts at a provider can't be what never counts.
    pub(super) fn check_never(&self, methods: Option<&Methods>) {
        for (amr, value) in &self.amr {
            if methods.is_some_and(|methods| methods.never.contains(*amr)) {
                value.report(format_args!("`{amr}` is in `methods.never` too"));
            }
        }
    }
}

/// What is known of the vendor that `preset` names.
fn preset(kind: Option<&ProviderKind>, value: &Value<'_>) -> Option<&'static Preset> {
    let name = value.string()?;
    let Some(preset) = Preset::named(name) else {
        let hint = did_you_mean(name, Preset::names());
        let known = quoted(&Preset::names().map(str::to_owned).collect());
        value.report(format_args!(
            "no preset of this name{hint} (there are: {known})"
        ));
        return None;
    };
    if let Some(kind) = kind.filter(|kind| **kind != preset.kind) {
        value.report(format_args!(
            "this preset is for providers of the kind `{}`, and this one is of the kind `{}`",
            preset.kind.as_str(),
            kind.as_str()
        ));
        return None;
    }
    Some(preset)
}

/// Where a vendor leaves the names to its operators, a preset alone would count nothing.
fn check_required(preset: &Preset, table: &Table<'_>, value: &Value<'_>) -> Option<()> {
    let Some(requires) = &preset.requires else {
        return Some(());
    };
    if requires.any_of.iter().any(|key| table.has(key)) {
        return Some(());
    }
    let keys: Vec<String> = requires
        .any_of
        .iter()
        .map(|key| format!("`{key}`"))
        .collect();
    value.report(format_args!(
        "needs {} beside it: write {}",
        keys.join(" or "),
        requires.what
    ));
    None
}

fn check_vendor(
    never: Option<&BTreeMap<String, String>>,
    text: &str,
    item: &Value<'_>,
) -> Option<()> {
    match never.and_then(|never| never.get(text)) {
        Some(why) => {
            item.report(format_args!("`{text}` proves no second factor: {why}"));
            None
        }
        None => Some(()),
    }
}

/// A proof that the other keys can't express: `when`, and the `level` that it proves.
fn when(
    table: &mut Table<'_>,
    kind: Option<&ProviderKind>,
    vendor: Option<&Preset>,
) -> Result<Option<When>, Wrong> {
    let expression = table.optional("when", |value| {
        check_sent(kind, Proof::When, value);
        with(value, expression(value, kind))
    });
    let level = table.optional("level", |value| with(value, value.one_of(&NEEDS[1..])));
    match (expression.ok_or(Wrong)?, level.ok_or(Wrong)?) {
        (Some((expression, value)), Some((level, _))) => {
            let tried = expression.trial(&recorded(vendor), &weak_logins(level, vendor));
            tried.map_err(|error| {
                value.report_within(error.offset, &error);
                Wrong
            })?;
            Ok(Some(When { expression, level }))
        }
        (None, None) => Ok(None),
        (Some(_), None) => {
            table.report_missing(
                "level",
                "; it says what `when` proves: `mfa` or `phishing-resistant`",
            );
            Err(Wrong)
        }
        (None, Some((_, value))) => {
            value.report("has no meaning without `when`; leave it out");
            Err(Wrong)
        }
    }
}

/// Something is wrong, and has been reported.
struct Wrong;

/// An expression that names nothing that providers of this kind never send.
fn expression(value: &Value<'_>, kind: Option<&ProviderKind>) -> Option<Expression> {
    let expression = Expression::parse(value.string()?)
        .map_err(|error| value.report_within(error.offset, &error))
        .ok()?;
    for (claim, proof) in [
        ("amr", Proof::Amr),
        ("two_factor_authentication", Proof::Flag),
    ] {
        if expression.claims().contains(claim) {
            check_sent(kind, proof, value);
        }
    }
    Some(expression)
}

/// What the vendor was seen to send.
fn recorded(vendor: Option<&Preset>) -> Vec<Map<String, Json>> {
    let recorded = vendor.into_iter().flat_map(|preset| &preset.recorded);
    recorded.map(Recorded::visible).collect()
}

/// What can be proof of a second factor, by its key in `[proof.NAME]`.
#[derive(Debug, Clone, Copy)]
enum Proof {
    Acr,
    Amr,
    Flag,
    Tenant,
    When,
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
        (Proof::Acr | Proof::Amr | Proof::When, GitHub) => Some(
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
        (Proof::Acr | Proof::When, MicrosoftAccount | Entra | Oidc)
        | (Proof::Amr, Oidc)
        | (Proof::Flag, GitHub)
        | (Proof::Tenant, Entra) => None,
    }
}

fn acr_proofs(value: &Value<'_>, vendor: Option<&Preset>) -> Option<BTreeSet<String>> {
    let acr = value.set(|item| {
        let text = item.string()?;
        check_not_in(&ACR_NEVER, text, item)?;
        check_vendor(vendor.map(|preset| &preset.never_acr), text, item)?;
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
