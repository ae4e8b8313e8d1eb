//! `/registry/{name}/token`: what is asked for is held against what is open, and what the policy permits whoever asks; the
//! token names what is left.
//!
//! Who asks for more than they may is told so where they have shown who they are and can do something about it; else they get
//! what they may, as the specification has it, and the registry refuses the rest.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use countersign_core::{AccountId, Reason};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::access::{Access, intersection};
use super::credential::{Allowed, Asking, asking};
use super::request::{self, Wanted};
use super::{Oci, find};
use crate::edge::RandomText;
use crate::error::{DockerError, Failure};
use crate::limits::PassedFor;
use crate::web::{Call, Context};

/// A token of a registry's (distribution's `docs/content/spec/auth/jwt.md`).
#[derive(Debug, Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// The account; nobody: empty.
    sub: &'a str,
    /// One text: registries before version 3 take no list.
    aud: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    access: &'a [Access],
}

/// GET.
pub(crate) async fn token(call: Call) -> HttpResponse {
    call.answer(async |context| {
        let oci = find(context)?;
        answer(
            request::by_query(&oci.settings.service, context),
            oci,
            context,
        )
        .await
    })
    .await
}

/// POST.
pub(crate) async fn token_by_form(call: Call, form: web::Bytes) -> HttpResponse {
    call.answer(async |context| {
        let oci = find(context)?;
        let wanted = request::by_form(&form, &oci.settings.service, context);
        answer(wanted, oci, context).await
    })
    .await
}

async fn answer(
    wanted: Result<Wanted, Failure>,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let client = &oci.registry.client;
    let limits = &context.broker.limits;
    let may_ask = limits.may_ask(client, PassedFor::Anybody, context.request, context.now);
    may_ask.map_err(DockerError::too_many)?;
    let wanted = wanted?;
    match asking(&wanted, oci, context).await? {
        Asking::Somebody(allowed) => own_token(*allowed, oci, context),
        Asking::Refused(why) if asks_for_more(&wanted, oci) => Err(why),
        // What anybody may, they may, too: as nobody.
        Asking::Nobody | Asking::Refused(_) => open_token(&wanted, oci, context),
    }
}

/// Whether a refusal is news: to sign in (`docker login` names no scope), or to do what is not open.
fn asks_for_more(wanted: &Wanted, oci: Oci<'_>) -> bool {
    wanted.asked.is_empty() || oci.rights.is_withheld(&wanted.asked, &BTreeSet::new())
}

/// A token for nobody, of what is open.
fn open_token(
    wanted: &Wanted,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let access = intersection(&wanted.asked, oci.rights, &BTreeSet::new());
    let exp = ends_at(oci, None, context)?;
    respond(("", &access, exp), None, oci, context)
}

/// A token for somebody, of what is open and what they are permitted.
fn own_token(
    allowed: Allowed,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    if let Some(why) = allowed.withheld {
        return Err(why);
    }
    let exp = ends_at(oci, allowed.not_after, context)?;
    let sub = allowed.account.as_ref().map_or("", AccountId::as_str);
    let kept = allowed.identity_token.as_deref();
    respond((sub, &allowed.given, exp), kept, oci, context)
}

/// No token outlives its permit.
fn ends_at(
    oci: Oci<'_>,
    not_after: Option<Timestamp>,
    context: &Context<'_>,
) -> Result<i64, Failure> {
    let by_profile = context.now + oci.rights.docker().token_lifetime;
    let exp = not_after.map_or(by_profile, |end| end.min(by_profile));
    if exp.as_second() <= context.now.as_second() {
        return Err(oci.refuse(Reason::EvidenceTooOld.sentence(), context));
    }
    Ok(exp.as_second())
}

fn respond(
    (sub, access, exp): (&str, &[Access], i64),
    kept: Option<&str>,
    oci: Oci<'_>,
    context: &Context<'_>,
) -> Result<HttpResponse, Failure> {
    let (broker, settings) = (context.broker, oci.settings);
    let iat = context.now.as_second();
    let claims = Claims {
        iss: broker.settings.issuer(),
        sub,
        aud: &settings.service,
        exp,
        nbf: iat,
        iat,
        jti: broker.entropy.hex::<16>(),
        access,
    };
    let signed = broker
        .keys
        .sign_as(settings.key_header, settings.algorithm, "JWT", &claims);
    let token = signed.map_err(|_| DockerError::unavailable())?;
    let scopes: Vec<String> = access.iter().map(Access::as_scope).collect();
    let mut body = json!({
        "token": token,
        "access_token": token,
        "expires_in": exp - iat,
        "issued_at": context.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "scope": scopes.join(" "),
    });
    if let Some(kept) = kept {
        body["refresh_token"] = kept.into();
    }
    broker.metrics.token_issued(&oci.registry.client);
    Ok(HttpResponse::Ok()
        .insert_header(("pragma", "no-cache"))
        .json(body))
}

impl Access {
    fn as_scope(&self) -> String {
        format!("{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}
