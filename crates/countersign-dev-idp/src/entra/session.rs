//! What comes after a sign-in: UserInfo, and sign-out with its front-channel notices.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use url::Url;

use super::Entra;
use super::error::PROVIDER;
use super::realm;
use crate::clients::Client;
use crate::entropy;
use crate::faults::Document;
use crate::oauth::{self, param};
use crate::page;

/// `/oidc/userinfo`: less than the ID token says.
pub(super) async fn userinfo(request: HttpRequest, entra: Data<Entra>) -> HttpResponse {
    let bearer =
        oauth::header(&request, "authorization").and_then(|text| text.strip_prefix("Bearer "));
    let Some(sign_in) = bearer.and_then(|token| entra.tokens.read(token, entra.site.now())) else {
        return HttpResponse::Unauthorized()
            .insert_header(("www-authenticate", r#"Bearer error="invalid_token""#))
            .finish();
    };
    let body = json!({
        "sub": sign_in.sub(),
        "name": sign_in.account.name,
        "email": sign_in.account.email,
    });
    entra.site.json(Document::UserInfo, body)
}

/// `/{realm}/oauth2/v2.0/logout`: loads each application's front-channel address in a frame.
/// <https://openid.net/specs/openid-connect-frontchannel-1_0.html>
pub(super) async fn logout(request: HttpRequest, entra: Data<Entra>) -> HttpResponse {
    let params = oauth::params(&request, "");
    let behaviour = entra.site.behaviour();
    let sid = param(&params, "sid").map_or_else(entropy::guid, str::to_owned);
    let iss = realm::issuer(&entra.site.base_url, realm::CONTOSO);
    let frames: Vec<String> = behaviour
        .clients
        .iter()
        .filter_map(|client| frame(client, &sid, &iss))
        .collect();
    let next = param(&params, "post_logout_redirect_uri").filter(|uri| {
        behaviour
            .clients
            .iter()
            .any(|client| client.may_redirect_to(uri))
    });
    page::signed_out(PROVIDER, &frames, next)
}

fn frame(client: &Client, sid: &str, iss: &str) -> Option<String> {
    let mut target = Url::parse(client.front_channel_logout_uri.as_deref()?).ok()?;
    target
        .query_pairs_mut()
        .append_pair("sid", sid)
        .append_pair("iss", iss);
    Some(target.into())
}
