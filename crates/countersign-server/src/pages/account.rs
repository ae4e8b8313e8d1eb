//! The pages about a person's own account: what is kept of it, and what a registry vouches for besides.

use askama::Template;
use countersign_core::{ClientId, Identity};
use countersign_providers::Provider;
use countersign_store::{Account, RegistryAccountName};

use super::host;
use super::sessions::{self, Moment};
use crate::account::provider_of;
use crate::own::{LINK, OwnPage, Visitor};
use crate::web::Context;

/// What is kept of a person, and which identities lead to their account.
#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct AccountPage {
    host: String,
    id: String,
    name: Option<String>,
    email: Option<String>,
    registry_name: Option<String>,
    made_at: Moment,
    rows: Vec<IdentityRow>,
    ways: Vec<LinkWay>,
    /// Where to sign in before anything can be changed, if that is needed.
    raise: Option<String>,
    /// Whether all of it can be erased.
    may_erase: bool,
    /// Whether the policy names it as an operator's.
    is_operator: bool,
    /// Whether the policy has API keys.
    has_keys: bool,
}

/// What it means to be forgotten, and the button that does it.
#[derive(Template)]
#[template(path = "erase.html")]
pub(crate) struct ErasePage {
    host: String,
    registry_name: Option<String>,
    /// The organisations that nobody else administers, and whether there are more.
    alone: Vec<String>,
    has_more: bool,
    form: String,
}

impl ErasePage {
    /// How many organisations are named.
    pub(crate) const NAMED: usize = 20;

    /// `form` is the sealed button.
    pub(crate) fn new(
        account: &Account,
        mut alone: Vec<String>,
        form: String,
        context: &Context<'_>,
    ) -> Self {
        let has_more = alone.len() > Self::NAMED;
        alone.truncate(Self::NAMED);
        Self {
            has_more,
            host: host(context.broker),
            registry_name: account.registry_account.as_ref().map(ToString::to_string),
            alone,
            form,
        }
    }
}

/// One identity.
pub(crate) struct IdentityRow {
    pub(super) provider: String,
    pub(super) name: String,
    is_here: bool,
    form: Option<String>,
}

impl IdentityRow {
    /// `form` is the sealed button that removes it.
    pub(crate) fn new(
        identity: &Identity,
        is_here: bool,
        form: Option<String>,
        context: &Context<'_>,
    ) -> Self {
        let provider = provider_of(identity, context);
        Self {
            provider: provider.map_or_else(
                || "A provider that is not configured any more".to_owned(),
                |provider| provider.title().to_owned(),
            ),
            name: match identity {
                Identity::Microsoft { tid, oid } => format!("object {oid} of tenant {tid}"),
                Identity::GitHub { host, id } => format!("account {id} at {host}"),
                Identity::Oidc { issuer, subject } => format!("{subject} at {issuer}"),
            },
            is_here,
            form,
        }
    }
}

/// A provider with which another identity can be linked.
pub(crate) struct LinkWay {
    title: String,
    form: String,
}

impl LinkWay {
    /// `form` is the sealed button that begins it.
    pub(crate) fn new(provider: &Provider, form: String) -> Self {
        Self {
            title: provider.title().to_owned(),
            form,
        }
    }
}

impl AccountPage {
    pub(crate) fn new(
        visitor: &Visitor,
        rows: Vec<IdentityRow>,
        ways: Vec<LinkWay>,
        context: &Context<'_>,
    ) -> Self {
        let account = &visitor.account;
        let email = account.profile.email.as_ref();
        Self {
            host: host(context.broker),
            id: account.id.to_string(),
            name: account.profile.name.clone(),
            email: email.map(|email| email.address.clone()),
            registry_name: account.registry_account.as_ref().map(ToString::to_string),
            made_at: Moment(account.created_at),
            rows,
            ways,
            raise: visitor.way_to_may(LINK, &OwnPage::Account, context),
            may_erase: visitor.may(LINK),
            is_operator: context.policy().is_operator(&account.id),
            has_keys: context.policy().api_keys().is_some(),
        }
    }
}

/// What a ticket vouches for, before it is anybody's.
#[derive(Template)]
#[template(path = "claim.html")]
pub(crate) struct ClaimPage {
    host: String,
    registry: String,
    /// The registry's own name of the account.
    account: String,
    /// What it becomes, where it is a team's.
    team: Option<String>,
    person: String,
    provider: String,
    /// The sealed yes.
    form: Option<String>,
    /// Where to sign in before anything can be changed, if that is needed.
    raise: Option<String>,
    /// Where to sign in as somebody else.
    others: String,
}

impl ClaimPage {
    pub(crate) fn new(
        (client, account): (&ClientId, &RegistryAccountName),
        team: Option<String>,
        visitor: &Visitor,
        form: Option<String>,
        context: &Context<'_>,
    ) -> Self {
        let page = OwnPage::Claim;
        Self {
            host: host(context.broker),
            registry: sessions::client_name(client, context),
            account: account.to_string(),
            team,
            person: sessions::person(&visitor.session),
            provider: sessions::provider_title(&visitor.session.evidence.provider, context),
            form,
            raise: visitor.way_to_may(LINK, &page, context),
            others: format!("{}&prompt=select_account", page.sign_in(Some(LINK))),
        }
    }
}
