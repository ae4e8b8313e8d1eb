//! `/account/keys`: a person sees their API keys, makes one and revokes one.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use countersign_core::api_keys::PackagePattern;
use countersign_core::{ApiKeyId, ClientId, OrganizationId, Scope, belongings};
use countersign_store::{ApiKey, MadeBy, StoreError, all_keys_of, mappings_of};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::{Making, NotMade, deliver, make, name_of, revoke};
use crate::error::{Failure, Problem, page_of_store};
use crate::form::{self, Form};
use crate::own::{MAKE_KEYS, OwnPage, Visitor, visitor};
use crate::pages::{
    self, ApiKeyMadePage, ApiKeyRow, ApiKeysPage, FilledKey, RevokeKeyPage, WrongKey,
};
use crate::web::{Call, Context, Parameters, see_other};

const PAGE: OwnPage = OwnPage::ApiKeys;
/// What a row of form fields for scopes is called: each has its own, so that none stands twice.
const SCOPE_FIELD: &str = "scope-";

/// What a button of the page does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Button {
    /// Makes a key.
    Make,
    /// Asks whether to revoke this one.
    Ask(ApiKeyId),
    /// Revokes it.
    Revoke(ApiKeyId),
}

/// GET: the page. Whoever sees it was told what it says of a key's end.
pub(crate) async fn show(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&PAGE, context).await?;
        let shown = page(&visitor, FilledKey::default(), WrongKey::default(), context).await;
        shown.map(|page| pages::ok(&page))
    })
    .await
}

async fn page(
    visitor: &Visitor,
    filled: FilledKey,
    wrong: WrongKey,
    context: &Context<'_>,
) -> Result<ApiKeysPage, Failure> {
    let store_failed = |error: StoreError| page_of_store(&error, context);
    let may_change = visitor.may(MAKE_KEYS);
    let keys = all_keys_of(context.broker.store.as_ref(), &visitor.account).await;
    let mut rows = Vec::new();
    for key in newest_first(keys.map_err(store_failed)?) {
        let revoke = may_change.then(|| way_to_revoke(&key, visitor, context));
        rows.push(ApiKeyRow::new(&key, revoke.transpose()?, context));
        if super::notice(&key, context.policy(), context.now).is_some() {
            let told = deliver(&key.id, "page", context).await;
            told.map_err(store_failed)?;
        }
    }
    let form = may_change.then(|| seal(&Button::Make, visitor, context));
    let organizations = organizations(visitor, context).await;
    let organizations = organizations.map_err(store_failed)?;
    Ok(ApiKeysPage::new(
        (visitor, organizations),
        rows,
        form.transpose()?,
        (filled, wrong),
        context,
    ))
}

fn newest_first(mut keys: Vec<ApiKey>) -> Vec<ApiKey> {
    keys.sort_by_key(|key| std::cmp::Reverse(key.made_at));
    keys
}

/// The organisations that the person's login shows.
async fn organizations(
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<Vec<String>, StoreError> {
    let login = countersign_core::Login::from(&visitor.session.evidence);
    let mappings = mappings_of(context.broker.store.as_ref(), login.sources()).await?;
    let shown = belongings(context.policy(), &login.mapped(&mappings), &mappings);
    let fresh = shown.iter().filter(|one| context.now < one.until);
    Ok(fresh.map(|one| one.organization.to_string()).collect())
}

fn way_to_revoke(
    key: &ApiKey,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<String, Failure> {
    let sealed = seal(&Button::Ask(key.id.clone()), visitor, context)?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair(form::FIELD, &sealed)
        .finish();
    Ok(format!("/account/keys/revoke?{query}"))
}

/// GET: whether to revoke one.
pub(crate) async fn ask(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&PAGE, context).await?;
        visitor.must_be_let(MAKE_KEYS, &PAGE, context)?;
        let Button::Ask(id) = opened(&context.query(), &visitor, context)? else {
            return Err(Failure::Page(Problem::FormExpired));
        };
        let key = theirs(&id, &visitor, context).await?;
        let form = seal(&Button::Revoke(id), &visitor, context)?;
        Ok(pages::ok(&RevokeKeyPage::new(&key, form, context)))
    })
    .await
}

/// POST: a button was pressed.
pub(crate) async fn press(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let visitor = visitor(&PAGE, context).await?;
        let parameters = Parameters::read(&form);
        let button = opened(&parameters, &visitor, context)?;
        visitor.must_be_let(MAKE_KEYS, &PAGE, context)?;
        let able = context.must_be_audited();
        able.map_err(|error| error.for_person(context))?;
        match button {
            Button::Make => make_one(&parameters, &visitor, context).await,
            Button::Revoke(id) => revoke_one(&id, &visitor, context).await,
            Button::Ask(_) => Err(Failure::Page(Problem::FormExpired)),
        }
    })
    .await
}

async fn revoke_one(
    id: &ApiKeyId,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let key = theirs(id, visitor, context).await?;
    let revoked = revoke(&key.id, &visitor.account.id, "by-owner", context).await;
    revoked.map_err(|error| page_of_store(&error, context))?;
    Ok(see_other(&context.broker.settings.endpoint(&PAGE.path())))
}

/// A key of the person's own.
async fn theirs(
    id: &ApiKeyId,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<ApiKey, Failure> {
    let keys = all_keys_of(context.broker.store.as_ref(), &visitor.account).await;
    let keys = keys.map_err(|error| page_of_store(&error, context))?;
    let found = keys.into_iter().find(|key| key.id == *id);
    found.ok_or(Failure::Page(Problem::NotFound))
}

async fn make_one(
    parameters: &Parameters,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let filled = filled(parameters);
    let making = match making(&filled, visitor) {
        Ok(making) => making,
        Err(message) => {
            let wrong = WrongKey::because(message);
            let page = page(visitor, filled, wrong, context).await?;
            return Ok(pages::ok(&page));
        }
    };
    let made = make(making, context).await;
    match made.map_err(|error| page_of_store(&error, context))? {
        Ok(made) => Ok(pages::ok(&ApiKeyMadePage::new(&made, context))),
        Err(why) => {
            let again = matches!(why, NotMade::Login(_)).then(|| PAGE.sign_in(Some(MAKE_KEYS)));
            let wrong = WrongKey {
                message: Some(why.sentence().to_owned()),
                better: again,
            };
            let page = page(visitor, filled, wrong, context).await?;
            Ok(pages::ok(&page))
        }
    }
}

fn filled(parameters: &Parameters) -> FilledKey {
    let text = |name: &str| parameters.one(name).unwrap_or_default().trim().to_owned();
    let names = parameters.iter().map(|(name, _)| name);
    let scopes = names.filter_map(|name| name.strip_prefix(SCOPE_FIELD));
    FilledKey {
        name: text("name"),
        client: text("client"),
        organization: text("organization"),
        scopes: scopes.map(str::to_owned).collect(),
        packages: text("packages"),
        days: text("days"),
    }
}

/// What was typed, as what it means; else what to type instead.
fn making<'a>(filled: &FilledKey, visitor: &'a Visitor) -> Result<Making<'a>, &'static str> {
    let name = name_of(&filled.name).ok_or("Give the key a name of at most 80 characters.")?;
    let client = ClientId::new(&filled.client).map_err(|_| "Choose a registry.")?;
    let named = Some(&filled.organization).filter(|name| !name.is_empty());
    let organization = named.map(OrganizationId::new).transpose();
    let scopes: Result<BTreeSet<Scope>, _> = filled.scopes.iter().map(Scope::new).collect();
    let lines = filled.packages.split_whitespace();
    let packages: Result<BTreeSet<_>, _> = lines.map(PackagePattern::new).collect();
    let days: Option<i64> = filled.days.parse().ok();
    let days = days.filter(|days| (1..=3650).contains(days));
    Ok(Making {
        account: &visitor.account,
        evidence: &visitor.session.evidence,
        name,
        client,
        scopes: scopes.map_err(|_| "Choose what the key is for.")?,
        packages: packages.map_err(|_| {
            "A package is a name, or its beginning and then `*`: one on each line, without spaces."
        })?,
        organization: organization.map_err(|_| "There is no such organization.")?,
        lifetime: Some(SignedDuration::from_hours(
            days.ok_or("Say after how many days the key is to end.")? * 24,
        )),
        made_by: MadeBy::Page,
    })
}

fn seal(button: &Button, visitor: &Visitor, context: &Context<'_>) -> Result<String, Failure> {
    form::seal(Form::ApiKeys, button, visitor.session.id.as_str(), context)
}

fn opened(
    parameters: &Parameters,
    visitor: &Visitor,
    context: &Context<'_>,
) -> Result<Button, Failure> {
    form::open(
        Form::ApiKeys,
        parameters,
        visitor.session.id.as_str(),
        context,
    )
}
