//! API keys: what a registry's tool that knows nothing of sign-ins comes with.
//!
//! A key is made under a login that the policy finds good enough for all that the key is for (`make`), and is weighed anew
//! at every use by what that login showed (`Held::weigh`). The key itself is shown once and never kept.

mod change;
pub mod import;
mod leaked;
mod making;
pub(crate) mod page;
mod text;
pub(crate) mod upkeep;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::api_keys::{ApiKeyRule, Notice, PackagePattern};
use countersign_core::{
    ApiKeyId, ClientId, Decision, Demands, Facts, Login, Occasion, Permit, Policy, ProviderId,
    Remedy, Scope, Verdict, decide,
};
use countersign_store::{
    Account, Admin, ApiKey, KeyDigest, MadeUnder, Session, StoreError, change_api_key,
};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::organization;
use crate::recent::Reads;
use crate::web::{Context, Decided};

pub use change::revoke_at;
pub(crate) use change::{deliver, revoke};
pub(crate) use leaked::leaked;
pub(crate) use making::{Made, Making, NotMade, is_for_keys, make, name_of};
pub(crate) use text::PREFIX;
pub use text::{KeyText, id_of};

/// A key that somebody came with, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) key: Arc<ApiKey>,
    pub(crate) account: Arc<Account>,
}

/// What a key is to be good for.
#[derive(Debug, Clone)]
pub(crate) struct Use<'a> {
    /// Where it is used: the client that it must be for.
    pub(crate) client: &'a ClientId,
    /// What is to be done.
    pub(crate) scopes: BTreeSet<Scope>,
    /// With which package; where that is not known, only a key that is for all of them will do.
    pub(crate) package: Option<&'a str>,
}

/// Why a key is no good for this, whatever the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoUse {
    /// It has ended or was revoked, or the policy has no API keys (any more).
    Ended,
    /// Who signed in to make it leads to the account no more, or its provider is configured no more.
    Orphaned,
    /// It is for another client.
    OtherClient,
    /// It is not for this.
    Scope,
    /// It is not for this package.
    Package,
}

impl NoUse {
    /// The code in logs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Ended => "api-key-ended",
            Self::Orphaned => "api-key-orphaned",
            Self::OtherClient => "api-key-for-another",
            Self::Scope => "api-key-scope",
            Self::Package => "api-key-package",
        }
    }

    /// What its owner is told.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Ended => "This API key has ended. Make a new one.",
            Self::Orphaned => "Whoever made this API key signs in otherwise now. Make a new one.",
            Self::OtherClient => "This API key is for another registry.",
            Self::Scope => "This API key is not for this.",
            Self::Package => "This API key is not for this package.",
        }
    }
}

/// What the policy says of a use of a key.
#[derive(Debug, Clone)]
pub(crate) struct Weighed {
    pub(crate) decision: Decision,
}

/// Whose key this text is. `None` where it is nobody's: a text that can be none costs no look-up.
///
/// It says nothing of whether the key is good for anything: [`Held::weigh`] does.
pub(crate) async fn find(text: &str, context: &Context<'_>) -> Result<Option<Held>, StoreError> {
    match KeyText::parse(text) {
        Some(text) => of_digest(&text.digest(), context).await,
        None => Ok(None),
    }
}

/// The same of what is kept of a text.
pub(crate) async fn of_digest(
    digest: &KeyDigest,
    context: &Context<'_>,
) -> Result<Option<Held>, StoreError> {
    let held = by_id(&id_of(digest), context).await?;
    Ok(held.filter(|held| held.key.digest == *digest))
}

/// The key of this name, for whoever has shown it before: a name is no secret.
pub(crate) async fn by_id(
    id: &ApiKeyId,
    context: &Context<'_>,
) -> Result<Option<Held>, StoreError> {
    match context.reads.api_key(id).await? {
        Some((key, _)) => Held::of(key, context.reads).await,
        None => Ok(None),
    }
}

/// Whose a key is, if that is known: nobody's where they are being forgotten, and where nobody has claimed the account at
/// the registry that it was imported for.
pub(crate) async fn owner_of(
    key: &ApiKey,
    reads: Reads<'_>,
) -> Result<Option<Account>, StoreError> {
    let found = reads.account_for(&key.owner).await?;
    let is_theirs = |account: &Account| match &key.owner {
        Admin::Account(_) => true,
        Admin::RegistryAccount(name) => account.registry_account.as_ref() == Some(name),
    };
    Ok(found.filter(|account| !account.erasing && is_theirs(account)))
}

impl Held {
    async fn of(key: ApiKey, reads: Reads<'_>) -> Result<Option<Self>, StoreError> {
        let owner = owner_of(&key, reads).await?;
        Ok(owner.map(|account| Self {
            key: Arc::new(key),
            account: Arc::new(account),
        }))
    }

    /// What the policy says now of a use of this key. The decision is written down.
    pub(crate) async fn weigh(
        &self,
        wanted: Use<'_>,
        context: &Context<'_>,
    ) -> Result<Result<Weighed, NoUse>, StoreError> {
        match self.facts(wanted, context).await? {
            Ok(facts) => self.decided(&facts, context).await.map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    /// The same by facts of [`Self::facts_for`] that are at hand.
    pub(crate) async fn weigh_by_facts(
        &self,
        wanted: Use<'_>,
        facts: &(impl Borrow<Facts> + Serialize),
        context: &Context<'_>,
    ) -> Result<Result<Weighed, NoUse>, StoreError> {
        match self.check(&wanted, context) {
            Ok(()) => self.decided(facts, context).await.map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    /// The same by what its owner has shown since: what the key was made under has no say then, but the key's own
    /// limits do.
    pub(crate) async fn weigh_by(
        &self,
        wanted: Use<'_>,
        session: &Session,
        context: &Context<'_>,
    ) -> Result<Result<Weighed, NoUse>, StoreError> {
        let facts = match self.facts(wanted, context).await? {
            Ok(facts) => facts,
            Err(why) => return Ok(Err(why)),
        };
        let mappings = organization::mappings_behind(&session.evidence, context).await?;
        let facts = Facts {
            login: Login::of(&session.evidence, &mappings),
            mappings,
            key_made_at: None,
            session_expires_at: Some(session.expires_at),
            ..facts
        };
        self.decided(&facts, context).await.map(Ok)
    }

    async fn decided(
        &self,
        facts: &(impl Borrow<Facts> + Serialize),
        context: &Context<'_>,
    ) -> Result<Weighed, StoreError> {
        let decision = decide(context.policy(), facts.borrow(), context.now);
        context.log_decision(Decided {
            on: Occasion::ApiKey,
            at: context.now,
            verdict: Verdict::from(&decision),
            facts,
        });
        if let Decision::Permit(_) = decision {
            self.note_use(context).await?;
        }
        Ok(Weighed { decision })
    }

    /// All that the policy decides a use of this key by; nothing where the key itself is not for it.
    pub(crate) async fn facts(
        &self,
        wanted: Use<'_>,
        context: &Context<'_>,
    ) -> Result<Result<Facts, NoUse>, StoreError> {
        if let Err(why) = self.check(&wanted, context) {
            return Ok(Err(why));
        }
        let facts = self.facts_for(wanted.client, wanted.scopes, context).await;
        facts.map(Ok)
    }

    /// Whether the key itself is for this.
    fn check(&self, wanted: &Use<'_>, context: &Context<'_>) -> Result<(), NoUse> {
        self.is_for(wanted.client, &wanted.scopes, context)?;
        if self.covers(wanted.package) {
            Ok(())
        } else {
            Err(NoUse::Package)
        }
    }

    /// All that the policy permits now by this key, for who holds its packages to it themselves; nothing where it is no good.
    /// Nothing is written down: nothing follows from looking.
    pub(crate) async fn permits(
        &self,
        context: &Context<'_>,
    ) -> Result<Option<Permit>, StoreError> {
        let (client, scopes) = (&self.key.client, &self.key.scopes);
        if self.is_for(client, scopes, context).is_err() {
            return Ok(None);
        }
        let facts = self.facts_for(client, scopes.clone(), context).await?;
        Ok(match decide(context.policy(), &facts, context.now) {
            Decision::Permit(permit) => Some(permit),
            Decision::StepUp(_) | Decision::Refuse(_) => None,
        })
    }

    /// All that the policy decides this by, whether the key is for it or not.
    pub(crate) async fn facts_for(
        &self,
        client: &ClientId,
        scopes: BTreeSet<Scope>,
        context: &Context<'_>,
    ) -> Result<Facts, StoreError> {
        let (key, broker) = (&self.key, context.broker);
        let login = self.login();
        let mappings = context.reads.mappings_of(login.sources()).await?;
        let waivers = organization::waivers_of(key.organization.as_ref(), context).await?;
        Ok(Facts {
            client: client.clone(),
            scopes,
            organization: key.organization.clone(),
            manages: None,
            login: login.mapped(&mappings),
            mappings,
            waivers,
            demands: Demands::default(),
            identity_changed: false,
            withdrawn: false,
            account: broker.calendar.facts(&self.account),
            remedy: Remedy::Nothing,
            session_expires_at: None,
            stated: None,
            key_made_at: Some(key.made_at),
        })
    }

    /// The one place where a key's own limits are held to.
    fn is_for(
        &self,
        client: &ClientId,
        scopes: &BTreeSet<Scope>,
        context: &Context<'_>,
    ) -> Result<(), NoUse> {
        let key = &self.key;
        if !is_live(key, context.policy(), context.now) {
            return Err(NoUse::Ended);
        }
        let is_known = |under: &MadeUnder| {
            let providers = &context.broker.providers;
            self.account.lists(&under.identity) && providers.contains_key(&under.login.provider)
        };
        if !key.under.as_ref().is_none_or(is_known) {
            return Err(NoUse::Orphaned);
        }
        if key.client != *client {
            return Err(NoUse::OtherClient);
        }
        if scopes.is_empty() || !scopes.is_subset(&key.scopes) {
            return Err(NoUse::Scope);
        }
        Ok(())
    }

    fn covers(&self, package: Option<&str>) -> bool {
        let packages = &self.key.packages;
        let covers = |package| packages.iter().any(|one| one.covers(package));
        packages.is_empty() || package.is_some_and(covers)
    }

    /// What the login showed that the key was made under. Of one that was imported nothing is known, and nothing shown.
    fn login(&self) -> Login {
        match &self.key.under {
            Some(under) => under.login.clone(),
            None => Login::new(of_no_login(), self.key.made_at),
        }
    }

    /// Writes down that it was used today: at most once a day.
    async fn note_use(&self, context: &Context<'_>) -> Result<(), StoreError> {
        let today = countersign_core::calendar::day_of(context.now);
        if self.key.last_used_on == Some(today) {
            return Ok(());
        }
        let noted = |key: &ApiKey| used_on(key, today);
        let store = context.broker.store.as_ref();
        match change_api_key(store, &self.key.id, noted).await {
            // Many use it at once: one of them has noted it.
            Ok(_) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What stands for the provider where there was no login: no proof counts there, since nothing is shown.
fn of_no_login() -> ProviderId {
    ProviderId::new("imported").unwrap_or_else(|error| unreachable!("{error}"))
}

fn used_on(key: &ApiKey, today: Date) -> Option<ApiKey> {
    (key.last_used_on != Some(today)).then(|| ApiKey {
        last_used_on: Some(today),
        ..key.clone()
    })
}

/// When a key ends, as the policy says today; `None` where that has no keys at all.
pub fn ends_at(key: &ApiKey, policy: &Policy) -> Option<Timestamp> {
    let by_policy = policy.api_keys()?.ends_at(&key.facts());
    Some(key.expires_at.map_or(by_policy, |end| end.min(by_policy)))
}

/// Whether a key is good at this time, as far as time goes.
pub fn is_live(key: &ApiKey, policy: &Policy, now: Timestamp) -> bool {
    let is_ahead = |end: Timestamp| now < end;
    key.revoked_at.is_none() && ends_at(key, policy).is_some_and(is_ahead)
}

/// What the owner of a key is to be told now of its end; nothing where it ends by its age, or would before.
pub fn notice(key: &ApiKey, policy: &Policy, now: Timestamp) -> Option<Notice> {
    let rule: &ApiKeyRule = policy.api_keys()?;
    let is_sooner = |notice: &Notice| key.expires_at.is_none_or(|end| notice.end < end);
    let notice = rule.notice(&key.facts(), now).filter(is_sooner)?;
    is_live(key, policy, now).then_some(notice)
}

/// The same as a sentence, for the tool that the key is used with.
pub(crate) fn notice_in_words(key: &ApiKey, notice: &Notice, page: &str) -> String {
    let day = countersign_core::calendar::day_of(notice.end);
    let why = match key.set_end {
        Some(_) => "the registry ends it",
        None => "it was made without a second factor that this registry takes",
    };
    let name = &key.name;
    format!("Your API key `{name}` ends on {day}: {why}. Make a new one at {page}")
}

/// The packages of a key in words: `all packages`.
pub(crate) fn packages_in_words(packages: &BTreeSet<PackagePattern>) -> String {
    if packages.is_empty() {
        return "all packages".to_owned();
    }
    let names: Vec<&str> = packages.iter().map(PackagePattern::as_str).collect();
    names.join(", ")
}
