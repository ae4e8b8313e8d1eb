//! GitHub's REST API as far as a login goes: who the token's owner is.
//!
//! Bodies follow GitHub's OpenAPI description; the tests hold them against it.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use super::{
    Account, EmailRank, GitHub, Grant, OrgMembership, PrivateProfileScope, RateLimit, TwoFactor,
};
use crate::faults::{Document, edited};
use crate::oauth;

/// `GET /user`: `private-user` for a token with the scope, `public-user` for one without.
pub(super) async fn user(request: HttpRequest, github: Data<GitHub>) -> HttpResponse {
    let (grant, account) = match admitted(&github, &request) {
        Ok(admitted) => admitted,
        Err(refusal) => return *refusal,
    };
    let body = if may_see_private_profile(&github, &grant) {
        private_user(&github, &account)
    } else {
        public_user(&github, &account)
    };
    answer(&github, Document::User, &grant, "", Value::Object(body))
}

/// `GET /user/emails`; a token without the scope doesn't learn that there is such a thing.
pub(super) async fn emails(request: HttpRequest, github: Data<GitHub>) -> HttpResponse {
    let (grant, account) = match admitted(&github, &request) {
        Ok(admitted) => admitted,
        Err(refusal) => return *refusal,
    };
    if !grant.scopes.contains("user:email") && !grant.scopes.contains("user") {
        return error(StatusCode::NOT_FOUND, "Not Found");
    }
    let emails = account.emails.iter().map(|email| {
        let primary = email.rank == EmailRank::Primary;
        let visibility = primary.then_some("private");
        json!({ "email": email.address, "primary": primary, "verified": email.verified, "visibility": visibility })
    });
    answer(
        &github,
        Document::Emails,
        &grant,
        "user:email, user",
        emails.collect(),
    )
}

/// `GET /user/memberships/orgs`: with `state`, `per_page` and `page`. An organisation that has not approved the
/// application, or demands single sign-on, is left out without a word.
pub(super) async fn memberships(request: HttpRequest, github: Data<GitHub>) -> HttpResponse {
    let (grant, account) = match admitted(&github, &request) {
        Ok(admitted) => admitted,
        Err(refusal) => return *refusal,
    };
    let may_read = ["read:org", "write:org", "admin:org"];
    if !may_read.iter().any(|scope| grant.scopes.contains(*scope)) {
        return error(
            StatusCode::FORBIDDEN,
            "You need at least read:org scope to list your organizations.",
        );
    }
    let query = oauth::params(&request, "");
    let number = |name: &str, usual: usize| {
        let written = query.get(name).and_then(|text| text.parse().ok());
        written.unwrap_or(usual)
    };
    let (page, size) = (
        number("page", 1).max(1),
        number("per_page", 30).clamp(1, 100),
    );
    let wanted = query.get("state");
    let shown = account
        .memberships
        .iter()
        .filter(|one| one.is_visible && wanted.is_none_or(|state| state == one.state.as_str()));
    let listed = shown.skip((page - 1) * size).take(size);
    let listed = listed.map(|one| membership(&github, &account, one));
    answer(
        &github,
        Document::Memberships,
        &grant,
        "admin:org, read:org, repo, user, write:org",
        listed.collect(),
    )
}

fn membership(github: &GitHub, account: &Account, one: &OrgMembership) -> Value {
    let base = &github.site.base_url;
    let url = format!("{base}/api/v3/orgs/{}", one.login);
    json!({
        "url": format!("{url}/memberships/{}", account.login),
        "state": one.state.as_str(),
        "role": one.role.as_str(),
        "organization_url": url,
        "organization": {
            "login": one.login, "id": one.number, "node_id": format!("O_{}", one.number), "url": url,
            "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events"), "hooks_url": format!("{url}/hooks"),
            "issues_url": format!("{url}/issues"), "members_url": format!("{url}/members{{/member}}"),
            "public_members_url": format!("{url}/public_members{{/member}}"),
            "avatar_url": format!("{base}/avatars/o/{}", one.number), "description": null,
        },
        "user": null,
    })
}

/// `DELETE /applications/{client_id}/token` with the client's credentials: the token is no more.
pub(super) async fn revoke(
    request: HttpRequest,
    body: String,
    client_id: Path<String>,
    github: Data<GitHub>,
) -> HttpResponse {
    let owner = oauth::credentials(&request, &oauth::Params::new()).and_then(|(id, secret)| {
        github
            .site
            .client(&id)
            .filter(|client| client.secret == secret)
    });
    if owner.is_none_or(|client| client.id != *client_id) {
        return error(StatusCode::NOT_FOUND, "Not Found");
    }
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let token = body["access_token"].as_str().unwrap_or_default();
    match github.tokens.take(token, github.site.now()) {
        Ok(_) => HttpResponse::NoContent().finish(),
        Err(_) => error(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed"),
    }
}

/// Whose token it is, or the answer that every endpoint gives to a request it doesn't like.
fn admitted(github: &GitHub, request: &HttpRequest) -> Result<(Grant, Account), Box<HttpResponse>> {
    if let Some(refusal) = refusal(github, request) {
        return Err(Box::new(refusal));
    }
    let owner = bearer(request).and_then(|token| {
        let grant = github.tokens.read(token, github.site.now())?;
        let behaviour = github.site.behaviour();
        let accounts = &behaviour.github.accounts;
        let account = accounts
            .iter()
            .find(|account| account.id == grant.account)?;
        Some((grant, account.clone()))
    });
    owner.ok_or_else(|| Box::new(error(StatusCode::UNAUTHORIZED, "Bad credentials")))
}

/// The answer to a request that is refused whoever sends it.
fn refusal(github: &GitHub, request: &HttpRequest) -> Option<HttpResponse> {
    let behaviour = github.site.behaviour();
    if oauth::header(request, "user-agent").is_none_or(str::is_empty) {
        return Some(HttpResponse::Forbidden().content_type("text/plain").body(
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
        ));
    }
    let version = oauth::header(request, "x-github-api-version");
    let served = &behaviour.github.api_versions;
    if version.is_some_and(|version| !served.iter().any(|known| known == version)) {
        return Some(error(
            StatusCode::GONE,
            "This API version is no longer supported.",
        ));
    }
    behaviour
        .github
        .rate_limit
        .map(|limit| limited(limit, github.site.now()))
}

/// The token, after either of the two words that GitHub takes.
fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = oauth::header(request, "authorization")?.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    known.then_some(token)
}

fn may_see_private_profile(github: &GitHub, grant: &Grant) -> bool {
    match github.site.behaviour().github.private_profile_scope {
        PrivateProfileScope::ReadUser => {
            grant.scopes.contains("read:user") || grant.scopes.contains("user")
        }
        PrivateProfileScope::User => grant.scopes.contains("user"),
    }
}

fn private_user(github: &GitHub, account: &Account) -> Map<String, Value> {
    let mut user = public_user(github, account);
    user.insert("user_view_type".to_owned(), json!("private"));
    for count in [
        "private_gists",
        "total_private_repos",
        "owned_private_repos",
        "disk_usage",
        "collaborators",
    ] {
        user.insert(count.to_owned(), json!(0));
    }
    match account.two_factor {
        TwoFactor::On => user.insert("two_factor_authentication".to_owned(), json!(true)),
        TwoFactor::Off => user.insert("two_factor_authentication".to_owned(), json!(false)),
        TwoFactor::Absent => None,
    };
    user
}

fn public_user(github: &GitHub, account: &Account) -> Map<String, Value> {
    let base = &github.site.base_url;
    let login = &account.login;
    let url = format!("{base}/api/v3/users/{login}");
    let user = json!({
        "login": login,
        "id": account.number,
        "user_view_type": "public",
        "node_id": format!("U_{}", account.number),
        "avatar_url": format!("{base}/avatars/u/{}?v=4", account.number),
        "gravatar_id": "",
        "url": url,
        "html_url": format!("{base}/{login}"),
        "followers_url": format!("{url}/followers"),
        "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"),
        "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"),
        "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"),
        "type": "User",
        "site_admin": false,
        "name": account.name,
        "company": null,
        "blog": "",
        "location": null,
        // The public profile's address is whatever somebody typed there.
        "email": "profile@elsewhere.example",
        "notification_email": null,
        "hireable": null,
        "bio": null,
        "twitter_username": null,
        "public_repos": 3,
        "public_gists": 0,
        "followers": 1,
        "following": 0,
        "created_at": "2019-05-08T10:00:00Z",
        "updated_at": "2026-01-10T10:00:00Z",
    });
    match user {
        Value::Object(user) => user,
        _ => Map::new(),
    }
}

fn answer(
    github: &GitHub,
    document: Document,
    grant: &Grant,
    accepted: &str,
    body: Value,
) -> HttpResponse {
    let scopes: Vec<&str> = grant.scopes.iter().map(String::as_str).collect();
    HttpResponse::Ok()
        .content_type("application/json; charset=utf-8")
        .insert_header(("x-oauth-scopes", scopes.join(", ")))
        .insert_header(("x-accepted-oauth-scopes", accepted))
        .insert_header(("x-github-media-type", "github.v3; format=json"))
        .insert_header(("x-ratelimit-limit", "5000"))
        .insert_header(("x-ratelimit-remaining", "4999"))
        .insert_header(("x-ratelimit-reset", (github.site.now() + 3600).to_string()))
        .body(edited(body, &github.site.edits(document)))
}

fn limited(limit: RateLimit, now: i64) -> HttpResponse {
    match limit {
        RateLimit::Primary { reset_in } => HttpResponse::Forbidden()
            .insert_header(("x-ratelimit-limit", "5000"))
            .insert_header(("x-ratelimit-remaining", "0"))
            .insert_header(("x-ratelimit-reset", (now + reset_in).to_string()))
            .json(basic_error("API rate limit exceeded for user.", StatusCode::FORBIDDEN)),
        RateLimit::Secondary { retry_after } => HttpResponse::TooManyRequests()
            .insert_header(("retry-after", retry_after.to_string()))
            .json(basic_error("You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", StatusCode::TOO_MANY_REQUESTS)),
    }
}

fn error(status: StatusCode, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(basic_error(message, status))
}

fn basic_error(message: &str, status: StatusCode) -> Value {
    json!({ "message": message, "documentation_url": "https://docs.github.com/rest", "status": status.as_str() })
}
