//! GitHub.com, GitHub Enterprise Server and GHE.com.
//!
//! OAuth, not OpenID Connect: no ID token, no `acr`, no `auth_time`. The one piece of evidence
//! is `two_factor_authentication` of `GET /user`, which says what the account has switched on.

pub(crate) mod evidence;

use std::collections::BTreeMap;

use countersign_core::sign_in::Visit;
use countersign_core::{Claim, Evidence, GitHubMember, ProviderId};
use http::{HeaderMap, Response};
use jiff::{SignedDuration, Timestamp};
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use url::Url;

use crate::error::BAD_CREDENTIALS;
use crate::examine::{Asked, Step, answers};
use crate::http::{Http, Reach};
use crate::recheck::{self, Access, Kept};
use crate::token_endpoint::{ClientAuthentication, Exchange, Renewal, Tokens};
use crate::{
    AccountChoice, Answer, AskedAgain, Credentials, Departure, Fetched, IssParameter, Memberships,
    ProviderError, ProviderToken,
};

/// The REST API version that the answers are read as.
const API_VERSION: &str = "2022-11-28";

/// The scope that shows which organisations a person is in.
/// <https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps>
const READ_ORG: &str = "read:org";
/// How many memberships come at once: as many as GitHub gives.
const PAGE: usize = 100;
/// How many pages of them are read: nobody waits for more.
const MOST_PAGES: usize = 5;

/// What an installation says of a GitHub host.
#[derive(Debug, Clone)]
pub struct GitHubSettings {
    /// Its name in the configuration.
    pub name: ProviderId,
    /// What people call it.
    pub title: String,
    /// Which GitHub.
    pub site: Site,
    /// What we are to it.
    pub credentials: Credentials,
    /// The scopes to ask for; `read:user user:email` shows the flag and the addresses.
    pub scopes: Vec<String>,
    /// How long after a login, or after the last time, it is asked again at a refresh; never, if nothing is said.
    pub recheck: Option<SignedDuration>,
}

/// The addresses of one GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    web: Url,
    api: Url,
    host: String,
    iss: IssParameter,
    enrolment: Url,
    emails: Url,
}

impl Site {
    /// The addresses of the GitHub at `web`: `https://github.com`, `https://SUB.ghe.com`, or a server's own.
    pub fn at(web: &Url) -> Result<Self, url::ParseError> {
        let host = web.host_str().unwrap_or_default().to_ascii_lowercase();
        let api = match host.as_str() {
            "github.com" => Url::parse("https://api.github.com/")?,
            _ if host.ends_with(".ghe.com") => Url::parse(&format!("https://api.{host}/"))?,
            _ => web.join("/api/v3/")?,
        };
        // GitHub.com's RFC 8414 metadata promises `iss`; older servers do not send it.
        let iss = match host.as_str() {
            "github.com" => IssParameter::Promised,
            _ => IssParameter::NotPromised,
        };
        let port = web
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self {
            enrolment: web.join("/settings/security")?,
            emails: web.join("/settings/emails")?,
            web: web.join("/")?,
            api,
            host: format!("{host}{port}"),
            iss,
        })
    }

    /// The host as identities have it, with the port if it is not the usual one.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn login(&self, path: &str) -> Url {
        let mut url = self.web.clone();
        url.set_path(&format!("/login/oauth{path}"));
        url
    }
}

/// One GitHub.
#[derive(Debug)]
pub struct GitHub {
    settings: GitHubSettings,
    http: Http,
    reach: Reach,
}

impl GitHub {
    /// Makes the provider.
    pub fn new(settings: GitHubSettings, http: Http) -> Self {
        let reach = Reach::of(&settings.site.web);
        Self {
            settings,
            http,
            reach,
        }
    }

    pub(crate) fn name(&self) -> &ProviderId {
        &self.settings.name
    }

    pub(crate) fn host(&self) -> &str {
        self.settings.site.host()
    }

    pub(crate) fn title(&self) -> &str {
        &self.settings.title
    }

    pub(crate) fn enrolment_url(&self) -> &Url {
        &self.settings.site.enrolment
    }

    /// Where a person verifies an e-mail address.
    pub fn email_settings_url(&self) -> &Url {
        &self.settings.site.emails
    }

    pub(crate) fn departure(&self, departure: &Departure<'_>) -> Url {
        let verifier = PkceCodeVerifier::new(departure.visit.pkce_verifier.clone());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let mut url = self.settings.site.login("/authorize");
        url.query_pairs_mut()
            .append_pair("client_id", &self.settings.credentials.client_id)
            .append_pair("redirect_uri", departure.redirect_uri.as_str())
            .append_pair("scope", &self.scopes(departure.memberships))
            .append_pair("state", &departure.visit.state)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256");
        if let Some(hint) = departure.login_hint {
            url.query_pairs_mut().append_pair("login", hint);
        }
        if departure.account_choice == AccountChoice::Offered {
            url.query_pairs_mut()
                .append_pair("prompt", "select_account");
        }
        url
    }

    fn scopes(&self, memberships: Memberships) -> String {
        let configured = self.settings.scopes.iter().map(String::as_str);
        let mut scopes: Vec<&str> = configured.collect();
        if memberships == Memberships::Asked && !scopes.contains(&READ_ORG) {
            scopes.push(READ_ORG);
        }
        scopes.join(" ")
    }

    pub(crate) fn recheck(&self) -> Option<SignedDuration> {
        self.settings.recheck
    }

    /// Redeems the code and reads the account. The token is dropped, unless the account is to be read again.
    pub(crate) async fn fetch(
        &self,
        answer: &Answer,
        visit: &Visit,
        redirect_uri: &Url,
        now: Timestamp,
    ) -> Result<Fetched, ProviderError> {
        // Whether `iss` comes with errors too is not known of GitHub; a wrong one is refused either way.
        let promise = match answer.error {
            Some(_) => IssParameter::NotPromised,
            None => self.settings.site.iss,
        };
        let issuer = self.settings.site.login("");
        answer.check_issuer(issuer.as_str(), promise)?;
        let exchange = Exchange {
            token_url: &self.settings.site.login("/access_token"),
            credentials: &self.settings.credentials,
            authentication: ClientAuthentication::Post,
            code: answer.code()?,
            pkce_verifier: &visit.pkce_verifier,
            redirect_uri,
        };
        let tokens = exchange.send(&self.http, self.reach).await?;
        let granted = Granted::of(&tokens);
        let token = tokens.access_token.secret();
        let user = self.read(token, "user").await?;
        let emails = if granted.may_read_emails() {
            Some(self.read(token, "user/emails").await?)
        } else {
            None
        };
        let memberships = if granted.may_read_memberships() {
            Claim::Value(self.memberships(token).await?)
        } else {
            Claim::Absent
        };
        let host = &self.settings.site.host;
        let emails = emails.as_deref();
        let kept = Access::of(&tokens, now).filter(|_| self.settings.recheck.is_some());
        let mut evidence = evidence::evidence(&self.settings.name, host, &user, emails, now)?;
        evidence.affiliation.github_organizations = memberships;
        Ok(Fetched {
            evidence,
            token: kept.map(|access| ProviderToken(Kept::Access(access))),
        })
    }

    /// Reads the account again: who it is, and whether two-factor authentication is on.
    pub(crate) async fn ask_again(&self, token: &ProviderToken, now: Timestamp) -> AskedAgain {
        let Kept::Access(access) = &token.0 else {
            return recheck::of_another_kind();
        };
        let Some(refresh_token) = access.is_to_be_renewed(now) else {
            return AskedAgain::with(self.read_again(access, now).await);
        };
        let renewed = match self.renewed(refresh_token).await {
            Ok(tokens) => Access::of(&tokens, now),
            Err(error) => return AskedAgain::with(Err(error)),
        };
        let Some(access) = renewed else {
            return AskedAgain::with(Err(ProviderError::Answer("a token that can't be kept")));
        };
        let found = self.read_again(&access, now).await;
        let next = Some(ProviderToken(Kept::Access(access)));
        AskedAgain { next, found }
    }

    async fn read_again(&self, access: &Access, now: Timestamp) -> Result<Evidence, ProviderError> {
        let user = self.ask(&access.token, "user").await?;
        // Revoked by the person, by GitHub, or because ten newer ones have been given out.
        if user.status() == http::StatusCode::UNAUTHORIZED {
            return Err(ProviderError::Refused(BAD_CREDENTIALS));
        }
        let user = good(user)?;
        let host = &self.settings.site.host;
        evidence::evidence(&self.settings.name, host, &user, None, now)
    }

    /// GitHub Apps' tokens end after eight hours, as do those of OAuth apps whose owner has chosen so.
    async fn renewed(&self, refresh_token: &str) -> Result<Tokens, ProviderError> {
        let renewal = Renewal {
            token_url: &self.settings.site.login("/access_token"),
            credentials: &self.settings.credentials,
            authentication: ClientAuthentication::Post,
            refresh_token,
            parameters: Vec::new(),
        };
        renewal.send(&self.http, self.reach).await
    }

    pub(crate) async fn examine(&self, now: &dyn Fn() -> Timestamp) -> Vec<Step> {
        let site = &self.settings.site;
        let asked = [
            (Asked::SignIn, site.login("/authorize")),
            (Asked::Api, site.api.clone()),
        ];
        let mut steps = Vec::new();
        for (what, url) in asked {
            let look = self.http.look_within(&url, self.reach, now).await;
            let found = look.and_then(|look| answers(&look));
            steps.push(Step { what, url, found });
        }
        steps
    }

    /// The organisations that the person is an active member of, as far as we may see them.
    async fn memberships(&self, token: &str) -> Result<BTreeMap<u64, GitHubMember>, ProviderError> {
        let mut all = BTreeMap::new();
        for page in 1..=MOST_PAGES {
            let path = format!("user/memberships/orgs?state=active&per_page={PAGE}&page={page}");
            let answer = self.read(token, &path).await?;
            let listed = evidence::memberships(&answer)?;
            let is_last = listed.count < PAGE;
            all.extend(listed.active);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    async fn read(&self, token: &str, path: &str) -> Result<Vec<u8>, ProviderError> {
        good(self.ask(token, path).await?)
    }

    async fn ask(&self, token: &str, path: &str) -> Result<Response<Vec<u8>>, ProviderError> {
        let url = self.settings.site.api.join(path);
        let url = url.map_err(|_| ProviderError::Misconfigured("its API is not an address"))?;
        let request = http::Request::get(url.as_str())
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", API_VERSION)
            .header("authorization", format!("Bearer {token}"))
            .body(Vec::new())
            .map_err(|_| ProviderError::Answer("a token that can't be sent"))?;
        self.http.send(request, self.reach).await
    }
}

fn good(answer: Response<Vec<u8>>) -> Result<Vec<u8>, ProviderError> {
    match fault(&answer) {
        Some(fault) => Err(fault),
        None => Ok(answer.into_body()),
    }
}

/// The scopes that were granted, which may be fewer than were asked for, or more.
struct Granted<'a>(&'a str);

impl<'a> Granted<'a> {
    fn of(tokens: &'a Tokens) -> Self {
        Self(tokens.scope.as_deref().unwrap_or_default())
    }

    fn may_read_emails(&self) -> bool {
        self.has(&["user:email", "user"])
    }

    fn may_read_memberships(&self) -> bool {
        self.has(&[READ_ORG, "write:org", "admin:org"])
    }

    fn has(&self, any_of: &[&str]) -> bool {
        let mut granted = self.0.split([',', ' ']).map(str::trim);
        granted.any(|scope| any_of.contains(&scope))
    }
}

/// What an answer of the REST API other than 2xx means.
fn fault(answer: &Response<Vec<u8>>) -> Option<ProviderError> {
    let headers = answer.headers();
    match answer.status().as_u16() {
        200..=299 => None,
        429 => Some(ProviderError::RateLimited {
            retry_after: retry_after(headers),
        }),
        // GitHub answers 403 both for what is forbidden and for what is too often.
        403 if is_rate_limited(headers) => Some(ProviderError::RateLimited {
            retry_after: retry_after(headers),
        }),
        410 => Some(ProviderError::Misconfigured(
            "it no longer serves this API version",
        )),
        500..=599 => Some(ProviderError::Unavailable),
        _ => Some(ProviderError::Answer(
            "the API refused the token it was given",
        )),
    }
}

fn is_rate_limited(headers: &HeaderMap) -> bool {
    headers.contains_key("retry-after")
        || headers
            .get("x-ratelimit-remaining")
            .is_some_and(|left| left == "0")
}

fn retry_after(headers: &HeaderMap) -> Option<std::time::Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(std::time::Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(web: &str) -> Site {
        Site::at(&Url::parse(web).unwrap()).unwrap()
    }

    #[test]
    fn github_com_is_held_to_its_promise_of_iss_and_other_hosts_made_none() {
        let check = |web: &str, iss: Option<&str>, accepted: bool| {
            let site = site(web);
            let answer = Answer {
                iss: iss.map(str::to_owned),
                ..Answer::default()
            };
            let checked = answer.check_issuer(site.login("").as_str(), site.iss);
            assert_eq!(checked.is_ok(), accepted, "{web}: {iss:?}");
        };
        let right = "https://github.com/login/oauth";
        check("https://github.com", Some(right), true);
        check("https://github.com", None, false);
        check("https://github.com", Some("https://github.com"), false);
        check("https://GitHub.com/", None, false);
        check("https://git.example", None, true);
        check("https://git.example", Some(right), false);
    }

    #[test]
    fn each_kind_of_github_has_its_api_where_it_is() {
        for (web, api) in [
            ("https://github.com", "https://api.github.com/"),
            ("https://sub.ghe.com", "https://api.sub.ghe.com/"),
            ("https://git.example", "https://git.example/api/v3/"),
            (
                "https://ghe.com.evil.example",
                "https://ghe.com.evil.example/api/v3/",
            ),
        ] {
            assert_eq!(site(web).api.as_str(), api);
        }
    }
}
