//! The pages about a person's API keys.

use askama::Template;
use countersign_core::{ClientId, Scope};
use countersign_store::{ApiKey, MadeBy};
use jiff::civil::Date;

use super::host;
use super::sessions::{Moment, client_name};
use crate::api_key::{self, Made, is_for_keys, notice_in_words, packages_in_words};
use crate::own::{MAKE_KEYS, OwnPage, Visitor};
use crate::web::Context;

/// A person's API keys, and what makes another.
#[derive(Template)]
#[template(path = "api_keys.html")]
pub(crate) struct ApiKeysPage {
    host: String,
    rows: Vec<ApiKeyRow>,
    /// The sealed form that makes one, where the person may.
    form: Option<String>,
    /// Where to sign in before anything can be changed, if that is needed.
    raise: Option<String>,
    filled: FilledKey,
    wrong: Option<String>,
    /// Where to sign in so that what was wrong may be right.
    better: Option<String>,
    clients: Vec<(String, String)>,
    organizations: Vec<String>,
    scopes: Vec<(String, bool)>,
    most_days: i64,
}

/// What somebody typed, so that a form with a mistake comes back as it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct FilledKey {
    pub(crate) name: String,
    pub(crate) client: String,
    pub(crate) organization: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) packages: String,
    pub(crate) days: String,
}

/// What is wrong with what was typed.
#[derive(Debug, Default)]
pub(crate) struct WrongKey {
    pub(crate) message: Option<String>,
    /// Where to sign in again, if that may mend it.
    pub(crate) better: Option<String>,
}

impl WrongKey {
    pub(crate) fn because(message: &str) -> Self {
        Self {
            message: Some(message.to_owned()),
            better: None,
        }
    }
}

/// One key.
pub(crate) struct ApiKeyRow {
    name: String,
    client: String,
    organization: Option<String>,
    scopes: String,
    packages: String,
    made_at: Moment,
    how: String,
    ends_at: Option<Moment>,
    last_used_on: Option<Date>,
    notice: Option<String>,
    is_over: bool,
    over: &'static str,
    revoke: Option<String>,
}

impl ApiKeyRow {
    /// `revoke` is the way to the question whether to.
    pub(crate) fn new(key: &ApiKey, revoke: Option<String>, context: &Context<'_>) -> Self {
        let policy = context.policy();
        let page = context.broker.settings.endpoint(&OwnPage::ApiKeys.path());
        let is_over = !api_key::is_live(key, policy, context.now);
        let scopes: Vec<&str> = key.scopes.iter().map(Scope::as_str).collect();
        let notice = api_key::notice(key, policy, context.now);
        Self {
            name: key.name.clone(),
            client: client_name(&key.client, context),
            organization: key.organization.as_ref().map(ToString::to_string),
            scopes: scopes.join(", "),
            packages: packages_in_words(&key.packages),
            made_at: Moment(key.made_at),
            how: how(key),
            ends_at: api_key::ends_at(key, policy).map(Moment),
            last_used_on: key.last_used_on,
            notice: notice.map(|notice| notice_in_words(key, &notice, &page)),
            is_over,
            over: if key.revoked_at.is_some() {
                "revoked"
            } else {
                "ended"
            },
            revoke: revoke.filter(|_| !is_over),
        }
    }
}

/// How it was made: `on this page, with mfa (session)`.
fn how(key: &ApiKey) -> String {
    let how = match key.made_by {
        MadeBy::Page => "on this page",
        MadeBy::Api => "by the API",
        MadeBy::Tool => "by a tool",
        MadeBy::Imported => "at the registry, before it asked how you sign in",
    };
    match &key.under {
        Some(under) => match under.basis {
            Some(basis) => format!("{how}, with {} ({basis})", under.level),
            None => format!("{how}, without a second factor"),
        },
        None => how.to_owned(),
    }
}

impl ApiKeysPage {
    /// `form` is the sealed form that makes one.
    pub(crate) fn new(
        (visitor, organizations): (&Visitor, Vec<String>),
        rows: Vec<ApiKeyRow>,
        form: Option<String>,
        (mut filled, wrong): (FilledKey, WrongKey),
        context: &Context<'_>,
    ) -> Self {
        let policy = context.policy();
        let most_days = policy
            .api_keys()
            .map_or(1, |rule| rule.max_lifetime.as_hours() / 24);
        if filled.days.is_empty() {
            filled.days = most_days.min(90).to_string();
        }
        let scopes = policy.scopes().filter(|scope| is_for_keys(scope, policy));
        let chosen = |scope: &Scope| filled.scopes.iter().any(|one| one == scope.as_str());
        let mut scopes: Vec<_> = scopes
            .map(|scope| (scope.to_string(), chosen(scope)))
            .collect();
        scopes.sort();
        Self {
            host: host(context.broker),
            rows,
            form: form.filter(|_| policy.api_keys().is_some()),
            raise: visitor.way_to_may(MAKE_KEYS, &OwnPage::ApiKeys, context),
            filled,
            wrong: wrong.message,
            better: wrong.better,
            clients: clients(context),
            organizations,
            scopes,
            most_days,
        }
    }
}

/// The clients that people sign in to, by what they are called.
fn clients(context: &Context<'_>) -> Vec<(String, String)> {
    let clients = context.broker.settings.clients.keys();
    let is_for_people = |client: &&ClientId| context.policy().client_tier(client).is_some();
    clients
        .filter(is_for_people)
        .map(|client| (client.to_string(), client_name(client, context)))
        .collect()
}

/// A key, the one time that it is shown.
#[derive(Template)]
#[template(path = "api_key_made.html")]
pub(crate) struct ApiKeyMadePage {
    host: String,
    name: String,
    client: String,
    key: String,
    ends_at: Moment,
}

impl ApiKeyMadePage {
    pub(crate) fn new(made: &Made, context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            name: made.key.name.clone(),
            client: client_name(&made.key.client, context),
            key: made.text.reveal().to_owned(),
            ends_at: Moment(made.ends_at),
        }
    }
}

/// Whether to revoke a key.
#[derive(Template)]
#[template(path = "api_key_revoke.html")]
pub(crate) struct RevokeKeyPage {
    host: String,
    name: String,
    form: String,
}

impl RevokeKeyPage {
    /// `form` is the sealed yes.
    pub(crate) fn new(key: &ApiKey, form: String, context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            name: key.name.clone(),
            form,
        }
    }
}
