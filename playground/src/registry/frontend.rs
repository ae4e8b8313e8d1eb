//! The frontend: pages for people, with a session in a cookie.

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;

use super::api_client::Refusal;
use super::oidc_client::Wish;
use super::packages::Draft;
use super::pages::{BrowsePage, MePage, PublishPage, Visitor};
use super::sessions::{Attempt, Person};
use super::trouble::Trouble;
use super::web::see_other;
use super::{Registry, api, pages, random_text};

/// Not `__Host-`: that needs https, and this sample speaks plain http on loopback.
const COOKIE: &str = "registry_session";
/// The longest text of the broker's that is shown, in characters.
const LONGEST_TEXT: usize = 100;

/// Whether the person comes back from the broker, and may go on.
#[derive(Debug, Default, Deserialize)]
pub(super) struct BrowseQuery {
    ready: Option<String>,
}

/// What the person gave, or a redirect gave for them, on the publish page.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PublishQuery {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    /// Whether they come back from the broker, and may go on.
    ready: Option<String>,
}

/// What a link to `/sign-in` may ask for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SignInQuery {
    scope: Option<String>,
    acr_values: Option<String>,
    max_age: Option<String>,
    provider: Option<String>,
    tenant: Option<String>,
    login_hint: Option<String>,
}

/// The broker's answer. Hostile until `state` and `iss` have been compared.
#[derive(Debug, Deserialize)]
pub(super) struct CallbackQuery {
    state: Option<String>,
    iss: Option<String>,
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct UnpublishForm {
    name: String,
}

/// GET `/`: all packages.
pub(super) async fn browse(
    request: HttpRequest,
    query: web::Query<BrowseQuery>,
    registry: web::Data<Registry>,
) -> HttpResponse {
    let person = person(&request, &registry);
    let notice = query.ready.as_ref().map(|_| "You may unpublish now.");
    let packages = registry.packages().all();
    pages::respond(
        StatusCode::OK,
        &BrowsePage::new(packages, person.as_ref(), notice),
    )
}

/// GET `/me`: who signed in, and what that login is good for.
pub(super) async fn me(request: HttpRequest, registry: web::Data<Registry>) -> HttpResponse {
    match person(&request, &registry) {
        Some(person) => {
            let organizations = registry.organizations.as_ref();
            let page = organizations.map(|it| it.page().to_owned());
            pages::respond(StatusCode::OK, &MePage::new(&person, page))
        }
        None => see_other("/"),
    }
}

/// GET `/me.json`: the same for programs.
pub(super) async fn me_json(request: HttpRequest, registry: web::Data<Registry>) -> HttpResponse {
    match person(&request, &registry) {
        Some(person) => HttpResponse::Ok().json(json!({
            "name": person.id_token.name,
            "email": person.id_token.email,
            "access_token": person.claims,
        })),
        None => HttpResponse::Unauthorized().json(json!({ "code": "signed-out" })),
    }
}

/// GET `/publish`: the form.
pub(super) async fn publish_form(
    request: HttpRequest,
    query: web::Query<PublishQuery>,
    registry: web::Data<Registry>,
) -> HttpResponse {
    let query = query.into_inner();
    let person = person(&request, &registry);
    let unmet = person
        .as_ref()
        .and_then(|person| person.unmet(api::PUBLISH));
    let notice = match (unmet, query.ready) {
        (Some(unmet), _) => Some(format!(
            "Your login is not good enough for this yet: {unmet}. Publish sends you to sign in again."
        )),
        (None, Some(_)) => Some("You may publish now.".to_owned()),
        (None, None) => None,
    };
    let draft = Draft {
        name: query.name,
        version: query.version,
    };
    let visitor = Visitor::of(person.as_ref());
    pages::respond(
        StatusCode::OK,
        &PublishPage {
            visitor,
            draft,
            notice,
            problem: None,
        },
    )
}

/// POST `/publish`: calls the API with the session's token.
pub(super) async fn publish(
    request: HttpRequest,
    form: web::Form<Draft>,
    registry: web::Data<Registry>,
) -> HttpResponse {
    let draft = form.into_inner();
    if is_from_elsewhere(&request) {
        return pages::forbidden();
    }
    let Some(person) = person(&request, &registry) else {
        let return_to = draft_path(&draft);
        return depart(
            Wish {
                return_to,
                ..Wish::default()
            },
            &request,
            &registry,
        )
        .await;
    };
    // What the broker has left out of the token, the API need not be asked for.
    let published = match person.unmet(api::PUBLISH) {
        Some(unmet) => Err(Refusal::Scope(unmet.scope.clone())),
        None => registry.api.publish(&draft, &person.access_token).await,
    };
    match published {
        Ok(()) => see_other("/"),
        Err(Refusal::Package(message)) => {
            let visitor = Visitor::of(Some(&person));
            let page = PublishPage {
                visitor,
                draft,
                notice: None,
                problem: Some(message),
            };
            pages::respond(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(refusal) => {
            let return_to = draft_path(&draft);
            ask_for_more(
                refusal,
                api::PUBLISH,
                return_to,
                &person,
                &request,
                &registry,
            )
            .await
        }
    }
}

/// POST `/unpublish`: calls the API with the session's token.
pub(super) async fn unpublish(
    request: HttpRequest,
    form: web::Form<UnpublishForm>,
    registry: web::Data<Registry>,
) -> HttpResponse {
    if is_from_elsewhere(&request) {
        return pages::forbidden();
    }
    let Some(person) = person(&request, &registry) else {
        return depart(home(), &request, &registry).await;
    };
    match registry
        .api
        .unpublish(&form.name, &person.access_token)
        .await
    {
        Ok(()) => see_other("/"),
        Err(Refusal::Package(message)) => pages::not_done(&message),
        Err(refusal) => {
            let return_to = "/?ready=yes".to_owned();
            ask_for_more(
                refusal,
                api::UNPUBLISH,
                return_to,
                &person,
                &request,
                &registry,
            )
            .await
        }
    }
}

/// GET `/sign-in`: to the broker.
pub(super) async fn sign_in(
    request: HttpRequest,
    query: web::Query<SignInQuery>,
    registry: web::Data<Registry>,
) -> HttpResponse {
    let query = query.into_inner();
    let wish = Wish {
        scope: query.scope,
        acr_values: query.acr_values,
        max_age: query.max_age,
        provider: query.provider,
        tenant: query.tenant,
        login_hint: query.login_hint,
        return_to: "/me".to_owned(),
        same_person: None,
        needs: None,
    };
    depart(wish, &request, &registry).await
}

/// POST `/sign-out`.
pub(super) async fn sign_out(request: HttpRequest, registry: web::Data<Registry>) -> HttpResponse {
    if is_from_elsewhere(&request) {
        return pages::forbidden();
    }
    if let Some(id) = session_id(&request) {
        registry.sessions().end(&id);
    }
    see_other("/")
}

/// GET `/callback`: back from the broker.
pub(super) async fn callback(
    request: HttpRequest,
    query: web::Query<CallbackQuery>,
    registry: web::Data<Registry>,
) -> HttpResponse {
    match arrive(&request, query.into_inner(), &registry).await {
        Ok(answer) => answer,
        Err(trouble) => pages::trouble(&trouble),
    }
}

async fn arrive(
    request: &HttpRequest,
    query: CallbackQuery,
    registry: &Registry,
) -> Result<HttpResponse, Trouble> {
    let id = session_id(request).ok_or(Trouble::NotOurs)?;
    let state = query.state.as_deref().ok_or(Trouble::NotOurs)?;
    let attempt = registry.sessions().take_attempt(&id, state, registry.now());
    let attempt = attempt.ok_or(Trouble::NotOurs)?;
    let code = code_of(query, registry.broker.issuer())?;
    let person = registry
        .broker
        .redeem(&code, &attempt, &registry.verifier, registry.now())
        .await?;
    check_wish(&attempt, &person)?;
    if let Some(organizations) = &registry.organizations {
        organizations.welcome(&person.claims.sub).await;
    }
    let fresh = random_text();
    registry
        .sessions()
        .sign_in(&id, fresh.clone(), person, registry.now());
    let mut answer = see_other(&attempt.return_to);
    set_cookie(&mut answer, fresh);
    Ok(answer)
}

/// RFC 9207 2.4: `iss` first, for errors too; the broker's metadata promises it.
fn code_of(query: CallbackQuery, issuer: &str) -> Result<String, Trouble> {
    if query.iss.as_deref() != Some(issuer) {
        return Err(Trouble::WrongIssuer);
    }
    match (query.code, query.error) {
        (Some(code), None) => Ok(code),
        (_, Some(error)) => Err(Trouble::Refused {
            error: plain(&error),
            reason: plain(&query.error_description.unwrap_or_default()),
        }),
        (None, None) => Err(Trouble::Broker("neither a code nor an error")),
    }
}

/// What the broker sends here are codes; whatever else there is was not written by it.
fn plain(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || " -_`.,:".contains(*c);
    text.chars().filter(is_plain).take(LONGEST_TEXT).collect()
}

fn check_wish(attempt: &Attempt, person: &Person) -> Result<(), Trouble> {
    let claims = &person.claims;
    if attempt
        .same_person
        .as_ref()
        .is_some_and(|sub| *sub != claims.sub)
    {
        return Err(Trouble::AnotherPerson);
    }
    let is_granted = |scope: &&String| claims.scope.contains(scope);
    match attempt.needs.as_ref().filter(|scope| !is_granted(scope)) {
        None => Ok(()),
        Some(scope) => Err(Trouble::NotGranted {
            missing: person.unmet(scope).map(|unmet| plain(&unmet.to_string())),
        }),
    }
}

/// Sends the person to the broker for what the API says is missing. What they have they keep: the
/// new token takes the old one's place.
async fn ask_for_more(
    refusal: Refusal,
    scope: &str,
    return_to: String,
    person: &Person,
    request: &HttpRequest,
    registry: &Registry,
) -> HttpResponse {
    let (scope, acr_values, max_age) = match refusal {
        Refusal::Scope(missing) => (missing, None, None),
        Refusal::Login {
            acr_values,
            max_age,
        } => (scope.to_owned(), acr_values, max_age),
        Refusal::Token => (scope.to_owned(), None, None),
        Refusal::Package(message) => return pages::not_done(&message),
        Refusal::Unavailable => {
            return pages::trouble(&Trouble::Broker("the API does not answer"));
        }
    };
    let claims = &person.claims;
    let wish = Wish {
        scope: Some(format!("{} {scope}", claims.scope)),
        acr_values,
        max_age,
        provider: claims
            .countersign
            .as_ref()
            .map(|claim| claim.provider.clone()),
        tenant: None,
        login_hint: None,
        return_to,
        same_person: Some(claims.sub.clone()),
        needs: Some(scope),
    };
    depart(wish, request, registry).await
}

async fn depart(wish: Wish, request: &HttpRequest, registry: &Registry) -> HttpResponse {
    let (url, attempt) = match registry.broker.departure(wish).await {
        Ok(departure) => departure,
        Err(trouble) => return pages::trouble(&trouble),
    };
    let known = session_id(request);
    let now = registry.now();
    let id = registry
        .sessions()
        .begin(known.as_deref(), random_text(), attempt, now);
    let mut answer = see_other(url.as_str());
    set_cookie(&mut answer, id);
    answer
}

fn home() -> Wish {
    Wish {
        return_to: "/".to_owned(),
        ..Wish::default()
    }
}

/// The publish page with what was filled in.
fn draft_path(draft: &Draft) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("name", &draft.name)
        .append_pair("version", &draft.version);
    format!("/publish?{}&ready=yes", query.finish())
}

fn person(request: &HttpRequest, registry: &Registry) -> Option<Person> {
    let id = session_id(request)?;
    registry.sessions().person(&id, registry.now())
}

fn session_id(request: &HttpRequest) -> Option<String> {
    request
        .cookie(COOKIE)
        .map(|cookie| cookie.value().to_owned())
}

/// Lax: the broker's redirect back is a top-level GET from another site.
fn set_cookie(answer: &mut HttpResponse, id: String) {
    let cookie = Cookie::build(COOKIE, id)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax);
    if let Err(error) = answer.add_cookie(&cookie.finish()) {
        tracing::error!(cause = %error, "a cookie could not be set");
    }
}

/// A second wall behind `SameSite`. Browsers send this header; programs that don't have no cookies to abuse.
/// <https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header>
fn is_from_elsewhere(request: &HttpRequest) -> bool {
    let site = request.headers().get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "http://127.0.0.1:8470";

    fn answer(
        iss: Option<&str>,
        code: Option<&str>,
        error: Option<&str>,
    ) -> Result<String, Trouble> {
        let query = CallbackQuery {
            state: None,
            iss: iss.map(str::to_owned),
            code: code.map(str::to_owned),
            error: error.map(str::to_owned),
            error_description: Some("mfa-absent<script>".to_owned()),
        };
        code_of(query, ISSUER)
    }

    #[test]
    fn an_answer_counts_only_with_the_right_issuer() {
        assert_eq!(answer(Some(ISSUER), Some("c"), None).unwrap(), "c");
        for iss in [
            None,
            Some("http://127.0.0.1:8470/"),
            Some("http://127.0.0.2:8470"),
        ] {
            assert!(matches!(
                answer(iss, Some("c"), None),
                Err(Trouble::WrongIssuer)
            ));
            assert!(matches!(
                answer(iss, None, Some("access_denied")),
                Err(Trouble::WrongIssuer)
            ));
        }
    }

    #[test]
    fn an_error_wins_over_a_code_and_loses_its_markup() {
        let trouble = answer(Some(ISSUER), Some("c"), Some("access_denied")).unwrap_err();
        assert_eq!(
            trouble.detail().as_deref(),
            Some("access_denied: mfa-absentscript")
        );
    }

    #[test]
    fn a_draft_survives_the_way_through_the_broker() {
        let draft = Draft {
            name: "a&b=c".to_owned(),
            version: "1+1".to_owned(),
        };
        assert_eq!(
            draft_path(&draft),
            "/publish?name=a%26b%3Dc&version=1%2B1&ready=yes"
        );
    }
}
