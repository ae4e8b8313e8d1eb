//! Making an API key: the one place where a key begins, for pages, the API and tools alike.

use std::collections::BTreeSet;

use countersign_core::api_keys::PackagePattern;
use countersign_core::{
    Attestation, Basis, ClientId, Decision, Demands, Evidence, Facts, Level, Login, Occasion,
    OrganizationId, Permit, Policy, Remedy, Scope, Unmet, Verdict, decide,
};
use countersign_store::{
    Account, Admin, ApiKey, MadeBy, MadeUnder, RegistryAccountName, StoreError, all_keys_of,
    mappings_of,
};
use jiff::{SignedDuration, Timestamp};

use super::{KeyText, id_of, is_live};
use crate::audit::{By, Event, Happening, Subject};
use crate::web::{Context, Decided};
use crate::{organization, own};

/// How many live keys a person may have.
const MOST_KEYS: usize = 200;
/// How many patterns a key may have.
pub(crate) const MOST_PATTERNS: usize = 50;
/// How long the name of a key may be, in characters.
pub(crate) const LONGEST_NAME: usize = 80;

/// A key that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Making<'a> {
    /// Whose it is to be.
    pub(crate) account: &'a Account,
    /// What the login showed that it is made under.
    pub(crate) evidence: &'a Evidence,
    /// What its owner calls it: see [`name_of`].
    pub(crate) name: String,
    /// The client that it is for.
    pub(crate) client: ClientId,
    pub(crate) scopes: BTreeSet<Scope>,
    /// Without any, it is for all packages.
    pub(crate) packages: BTreeSet<PackagePattern>,
    pub(crate) organization: Option<OrganizationId>,
    /// How long it is to live; as long as the policy lets it, where that is not said or is longer.
    pub(crate) lifetime: Option<SignedDuration>,
    pub(crate) made_by: MadeBy,
}

/// A key that was made, and the one time that it can be shown.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) text: KeyText,
    pub(crate) key: ApiKey,
    /// When it ends.
    pub(crate) ends_at: Timestamp,
}

/// Why none is made.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of it for a moment, and no list of them"
)]
pub(crate) enum NotMade {
    /// The policy has no API keys.
    Off,
    /// There is no such client.
    Client,
    /// Nothing that a key can be for was asked for.
    Scopes,
    /// Too many packages.
    Packages,
    /// The person has too many already.
    TooMany,
    /// The login is not good enough for all that the key is to be for.
    Login(Decision),
}

impl NotMade {
    /// What the person is told.
    pub(crate) fn sentence(&self) -> &'static str {
        match self {
            Self::Off => "This registry has no API keys here.",
            Self::Client => "There is no such registry.",
            Self::Scopes => "Choose what the key is for.",
            Self::Packages => "These are too many packages for one key.",
            Self::TooMany => "You have too many API keys. Revoke some that you do not need.",
            Self::Login(decision) => match first_unmet(decision) {
                Some(unmet) => unmet
                    .reasons
                    .first()
                    .map_or("Your sign-in is not good enough for this.", |it| {
                        it.sentence()
                    }),
                None => decision
                    .reasons()
                    .first()
                    .map_or("Your sign-in is not good enough for this.", |it| {
                        it.sentence()
                    }),
            },
        }
    }
}

fn first_unmet(decision: &Decision) -> Option<&Unmet> {
    match decision {
        Decision::Permit(permit) => permit.unmet().first(),
        Decision::StepUp(_) | Decision::Refuse(_) => None,
    }
}

/// Makes a key, if the policy finds the login good enough now for all that it is for.
pub(crate) async fn make(
    making: Making<'_>,
    context: &Context<'_>,
) -> Result<Result<Made, NotMade>, StoreError> {
    if let Some(why) = hindrance(&making, context) {
        return Ok(Err(why));
    }
    let store = context.broker.store.as_ref();
    let known = all_keys_of(store, making.account).await?;
    let live = known
        .iter()
        .filter(|key| is_live(key, context.policy(), context.now));
    if live.count() >= MOST_KEYS {
        return Ok(Err(NotMade::TooMany));
    }
    let (decision, facts) = weigh(&making, context).await?;
    context.log_decision(Decided {
        on: Occasion::ApiKey,
        at: context.now,
        verdict: Verdict::from(&decision),
        facts: facts.clone(),
    });
    let permit = match decision {
        Decision::Permit(permit) if permit.unmet().is_empty() => permit,
        short => return Ok(Err(NotMade::Login(short))),
    };
    let Some(ends_at) = end(&making, &permit, context) else {
        return Ok(Err(NotMade::Off));
    };
    let text = KeyText::make(context.broker.entropy.as_ref());
    let key = key(&making, &text, &facts, ends_at, context);
    let (kept, _) = store.put_api_key_if_absent(key.clone()).await?;
    if kept != key {
        return Err(StoreError::Conflict);
    }
    context.audit(
        Happening::new(Event::ApiKeyMade, By::Account(making.account.id.clone()))
            .about(Subject::ApiKey, &key.id)
            .about(Subject::Client, &key.client),
    );
    Ok(Ok(Made { text, key, ends_at }))
}

/// What keeps it from being made, before the policy is asked.
fn hindrance(making: &Making<'_>, context: &Context<'_>) -> Option<NotMade> {
    let policy = context.policy();
    if policy.api_keys().is_none() {
        return Some(NotMade::Off);
    }
    if !context.broker.settings.clients.contains_key(&making.client) {
        return Some(NotMade::Client);
    }
    let scopes = &making.scopes;
    if scopes.is_empty() || !scopes.iter().all(|scope| is_for_keys(scope, policy)) {
        return Some(NotMade::Scopes);
    }
    (making.packages.len() > MOST_PATTERNS).then_some(NotMade::Packages)
}

/// Whether a key can be for a scope: one of a tier, and neither an operator's nor one of our own pages and API.
pub(crate) fn is_for_keys(scope: &Scope, policy: &Policy) -> bool {
    let is_our_own = scope.is_for_operators() || own::SCOPES.contains(&scope.as_str());
    !is_our_own && policy.tier_of(scope).is_some()
}

/// What the policy says of the login now, for all that the key is to be for.
async fn weigh(
    making: &Making<'_>,
    context: &Context<'_>,
) -> Result<(Decision, Facts), StoreError> {
    let broker = context.broker;
    let login = Login::from(making.evidence);
    let mappings = mappings_of(broker.store.as_ref(), login.sources()).await?;
    let waivers = organization::waivers_of(making.organization.as_ref(), context).await?;
    let facts = Facts {
        client: making.client.clone(),
        scopes: making.scopes.clone(),
        organization: making.organization.clone(),
        manages: None,
        login: login.mapped(&mappings),
        mappings,
        waivers,
        demands: Demands::default(),
        identity_changed: false,
        withdrawn: false,
        account: broker.calendar.facts(making.account),
        remedy: Remedy::Nothing,
        session_expires_at: None,
        stated: None,
        key_made_at: None,
    };
    Ok((decide(context.policy(), &facts, context.now), facts))
}

/// When the key ends: no later than it was asked for, than the policy lets a key live, and than what the login is let off
/// for now.
fn end(making: &Making<'_>, permit: &Permit, context: &Context<'_>) -> Option<Timestamp> {
    let longest = context.policy().api_keys()?.max_lifetime;
    let lifetime = making
        .lifetime
        .map_or(longest, |wanted| wanted.min(longest));
    let by_age = context
        .now
        .saturating_add(lifetime)
        .unwrap_or(Timestamp::MAX);
    Some(permit.lenient_until().map_or(by_age, |end| end.min(by_age)))
}

fn key(
    making: &Making<'_>,
    text: &KeyText,
    facts: &Facts,
    ends_at: Timestamp,
    context: &Context<'_>,
) -> ApiKey {
    let digest = text.digest();
    let (level, basis) = shown(facts, context.policy());
    ApiKey {
        id: id_of(&digest),
        digest,
        owner: Admin::Account(making.account.id.clone()),
        name: making.name.clone(),
        client: making.client.clone(),
        scopes: making.scopes.clone(),
        packages: making.packages.clone(),
        organization: making.organization.clone(),
        made_by: making.made_by,
        made_at: context.now,
        imported_at: None,
        expires_at: Some(ends_at),
        under: Some(MadeUnder {
            identity: making.evidence.identity.clone(),
            // What contexts attest is looked up at every use.
            login: Login::from(making.evidence),
            level,
            basis,
        }),
        first_notice_at: None,
        told_end: None,
        set_end: None,
        last_used_on: None,
        revoked_at: None,
    }
}

/// The level of the login, and whose word it is: one that `[api_keys]` takes, where there is one.
fn shown(facts: &Facts, policy: &Policy) -> (Level, Option<Basis>) {
    let assurance = policy.assess(&facts.login);
    let mut factors = assurance
        .attestations()
        .iter()
        .filter(|one| one.level >= Level::Mfa);
    let accepted = policy.api_keys().map(|rule| &rule.accepts);
    let is_accepted = |one: &&Attestation| accepted.is_some_and(|all| all.contains(&one.basis));
    let found = factors.clone().find(is_accepted).or_else(|| factors.next());
    (assurance.level(), found.map(|one| one.basis))
}

/// What somebody calls a key, if it is a name: one line, without spaces around it.
pub(crate) fn name_of(text: &str) -> Option<String> {
    let name = text.trim();
    let is_name = (1..=LONGEST_NAME).contains(&name.chars().count())
        && RegistryAccountName::new(name).is_ok();
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_that_can_be_read() {
        assert_eq!(name_of(" build server "), Some("build server".to_owned()));
        let long = "n".repeat(81);
        for none in ["", "  ", "two\nlines", "a\u{202e}b", "\0", &long] {
            assert_eq!(name_of(none), None, "{none:?}");
        }
    }
}
