//! Microsoft's authorization endpoint: who signs in, how strongly, and what comes back.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::claims::{self, Leg, SignIn};
use super::demand::{Demand, Used};
use super::error::{self, PROVIDER};
use super::realm::{MICROSOFT_ACCOUNTS, Realm};
use super::token::signing_key;
use super::{Account, Answer, Behaviour, Entra, FrontChannelIdTokens, Guest, Honour, SecondFactor};
use crate::clients::Client;
use crate::entropy;
use crate::faults::Document;
use crate::jwt::{self, Signer};
use crate::oauth::{self, Params, ResponseMode, pair, param};
use crate::page::{self, Choice};

/// GET and POST of `/{realm}/oauth2/v2.0/authorize`.
pub(super) async fn authorize(
    request: HttpRequest,
    realm: Path<String>,
    body: String,
    entra: Data<Entra>,
) -> HttpResponse {
    let params = oauth::params(&request, &body);
    entra
        .site
        .control
        .record_authorize(oauth::received(&request, &params));
    let behaviour = entra.site.behaviour();
    let now = entra.site.now();
    let Some(realm) = Realm::of(&realm, &behaviour.entra.tenants) else {
        return error::stays_here(
            StatusCode::BAD_REQUEST,
            "We couldn't sign you in",
            90002,
            "The tenant was not found.",
            now,
        );
    };
    let (client, redirect_uri) = match known_client(&entra, &params) {
        Ok(known) => known,
        Err((code, text)) => {
            return error::stays_here(
                StatusCode::BAD_REQUEST,
                "We couldn't sign you in",
                code,
                text,
                now,
            );
        }
    };
    let attempt = Attempt {
        entra: &entra,
        behaviour: &behaviour,
        realm,
        params: &params,
        client,
        redirect_uri,
        now,
    };
    attempt.refusal().unwrap_or_else(|| attempt.pick())
}

type PageError = (u32, &'static str);

fn known_client<'a>(entra: &Entra, params: &'a Params) -> Result<(Client, &'a str), PageError> {
    let client = param(params, "client_id")
        .and_then(|id| entra.site.client(id))
        .ok_or((700_016, "The application was not found in the directory."))?;
    let redirect_uri = param(params, "redirect_uri")
        .filter(|uri| client.may_redirect_to(uri))
        .ok_or((50011, "The redirect URI specified in the request does not match the redirect URIs configured for the application."))?;
    Ok((client, redirect_uri))
}

/// One request on its way to an answer.
struct Attempt<'a> {
    entra: &'a Entra,
    behaviour: &'a crate::Behaviour,
    realm: Realm,
    params: &'a Params,
    client: Client,
    redirect_uri: &'a str,
    now: i64,
}

impl Attempt<'_> {
    fn entra(&self) -> &Behaviour {
        &self.behaviour.entra
    }

    /// The answer to a request that can't be served.
    fn refusal(&self) -> Option<HttpResponse> {
        let asked = self.asked();
        let front = asked.is_some_and(Asked::has_id_token);
        let challenged = self.params.contains_key("code_challenge");
        let mode = ResponseMode::of(self.params, ResponseMode::Query);
        let (error, code, text) = if asked.is_none() {
            (
                "unsupported_response_type",
                700_051,
                "The response_type is not enabled for the application.",
            )
        } else if front && self.entra().front_channel_id_tokens == FrontChannelIdTokens::Disabled {
            (
                "unsupported_response_type",
                700_054,
                "response_type 'id_token' is not enabled for the application.",
            )
        } else if self.params.contains_key("amr_values") {
            (
                "invalid_request",
                901_002,
                "The 'amr_values' request parameter is not supported.",
            )
        } else if !oauth::scopes(self.params).contains("openid") {
            (
                "invalid_request",
                90014,
                "The scope 'openid' is missing; this stand-in serves sign-ins alone.",
            )
        } else if front && param(self.params, "nonce").is_none() {
            (
                "invalid_request",
                90014,
                "The required field 'nonce' is missing from the request.",
            )
        } else if mode.is_none() || (front && param(self.params, "response_mode") == Some("query"))
        {
            (
                "invalid_request",
                70007,
                "The response_mode is not supported for this response_type.",
            )
        } else if challenged && param(self.params, "code_challenge_method") != Some("S256") {
            (
                "invalid_request",
                501_491,
                "The code_challenge_method is not supported.",
            )
        } else {
            return None;
        };
        Some(self.fails(error, code, text, &[]))
    }

    fn asked(&self) -> Option<Asked> {
        let mut words = oauth::words(self.params, "response_type");
        words.sort();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["code"] => Some(Asked::Code),
            ["id_token"] => Some(Asked::IdToken),
            ["code", "id_token"] => Some(Asked::Both),
            _ => None,
        }
    }

    fn is_silent(&self) -> bool {
        self.has_prompt("none")
    }

    fn has_prompt(&self, prompt: &str) -> bool {
        oauth::words(self.params, "prompt")
            .iter()
            .any(|word| word == prompt)
    }

    fn pick(&self) -> HttpResponse {
        let Some(id) = param(self.params, "account") else {
            if self.is_silent() {
                return self.fails(
                    "login_required",
                    50058,
                    "A silent sign-in request was sent but no user is signed in.",
                    &[],
                );
            }
            return self.chooser();
        };
        match self.account(id) {
            Some(account) => self.admit(account),
            None => page::message(
                StatusCode::BAD_REQUEST,
                PROVIDER,
                "No such account",
                "There is no account of this name here.",
            ),
        }
    }

    fn account(&self, id: &str) -> Option<&Account> {
        self.entra()
            .accounts
            .iter()
            .find(|account| account.id == id)
    }

    /// Where the account signs in, if this realm lets it: at home, or as a guest.
    fn seat(&self, account: &Account) -> Option<(String, Option<Guest>)> {
        let home = || (account.home.clone(), None);
        match &self.realm {
            Realm::Common => Some(home()),
            Realm::Organizations => (account.home != MICROSOFT_ACCOUNTS).then(home),
            Realm::Consumers => (account.home == MICROSOFT_ACCOUNTS).then(home),
            Realm::Tenant(tenant) if tenant.id == account.home => Some(home()),
            Realm::Tenant(tenant) => {
                let guest = account
                    .guest_in
                    .iter()
                    .find(|guest| guest.tenant == tenant.id)?;
                Some((tenant.id.clone(), Some(guest.clone())))
            }
        }
    }

    fn admit(&self, picked: &Account) -> HttpResponse {
        let Some((tid, _)) = self.seat(picked) else {
            return self.stays("This account can't be used here", 50020, "User account from identity provider does not exist in tenant and cannot access the application in that tenant.");
        };
        let demand = Demand::of(self.params, self.entra(), &tid);
        let stand_in = picked
            .switches_to
            .as_deref()
            .filter(|_| demand.is_second_factor());
        let account = stand_in.and_then(|id| self.account(id)).unwrap_or(picked);
        match account.answer {
            Answer::SignsIn => self.prove(account, &demand),
            Answer::Cancels => self.cancelled(),
            Answer::DeclinesConsent if self.is_silent() => self.fails(
                "consent_required",
                65001,
                "The user or administrator has not consented to use the application.",
                &[],
            ),
            Answer::DeclinesConsent => self.fails("access_denied", 65004, "User declined to consent to access the app.", &[]),
            Answer::BlockedByPolicy => self.blocked(),
            Answer::FailsSecondFactor => self.stays("Sorry, we couldn't verify you", 500_121, "Authentication failed during strong authentication request."),
            Answer::TenantUnmanaged => self.fails("invalid_client", 65005, "The application needs access to a service that your unmanaged organization has not subscribed to.", &[]),
            Answer::ServerFails => self.fails("server_error", 90033, "<script>alert(1)</script> A transient error & <b>more</b>.", &[]),
        }
    }

    fn prove(&self, account: &Account, demand: &Demand) -> HttpResponse {
        if demand.is_blocked() {
            return self.blocked();
        }
        let used = match self.factor(account, demand) {
            Ok(used) => used,
            Err(page) => return *page,
        };
        match self.seat(account) {
            Some((tid, guest)) => self.succeeds(account, tid, guest, demand, used),
            None => self.cancelled(),
        }
    }

    /// With what the account signs in under this demand; or the page or error that comes between.
    fn factor(&self, account: &Account, demand: &Demand) -> Result<Used, Box<HttpResponse>> {
        let demanded = demand.is_second_factor();
        let enrolled = self.entra.site.control.is_enrolled(&account.id);
        match account.second_factor {
            SecondFactor::Always => Ok(Used::SecondFactor),
            SecondFactor::WhenDemanded if demanded => Ok(Used::SecondFactor),
            SecondFactor::EnrolsWhenDemanded if enrolled => Ok(Used::SecondFactor),
            SecondFactor::EnrolsWhenDemanded if demanded => self.enrolment(account),
            SecondFactor::Lacking if demanded => Err(Box::new(self.dead_end())),
            SecondFactor::WhenDemanded
            | SecondFactor::EnrolsWhenDemanded
            | SecondFactor::Lacking
            | SecondFactor::IgnoresDemands => Ok(Used::PasswordAlone),
        }
    }

    fn enrolment(&self, account: &Account) -> Result<Used, Box<HttpResponse>> {
        match param(self.params, "enrol") {
            Some("yes") => {
                self.entra.site.control.enrol(&account.id);
                Ok(Used::SecondFactor)
            }
            Some(_) => Err(Box::new(self.cancelled())),
            None if self.is_silent() => Err(Box::new(
                self.interaction_required(50079, "enroll in multi-factor authentication"),
            )),
            None => Err(Box::new(page::choices(
                PROVIDER,
                "Set up multi-factor authentication",
                "More information is required: the application asks for a second factor, and this account has none yet.",
                &[
                    Choice::link(self.params, "enrol", "yes", "Enrol", ""),
                    Choice::link(self.params, "enrol", "no", "Not now", ""),
                ],
            ))),
        }
    }

    /// A demand that the account can't meet: Microsoft never answers it, only the person can give up.
    fn dead_end(&self) -> HttpResponse {
        if self.is_silent() {
            return self.interaction_required(50076, "use multi-factor authentication");
        }
        let comes_from_page = self.params.contains_key(page::FROM_PAGE);
        if !comes_from_page || param(self.params, "give_up").is_some() {
            return self.cancelled();
        }
        page::choices(
            PROVIDER,
            "A second factor is needed",
            "The application asks for multi-factor authentication. This account has none and can't set it up.",
            &[Choice::link(
                self.params,
                "give_up",
                "yes",
                "Cancel",
                "Back to the application",
            )],
        )
    }

    fn interaction_required(&self, code: u32, what: &str) -> HttpResponse {
        let text = format!(
            "Due to a configuration change made by your administrator, or because you moved to a new location, you must {what} to access '{}'.",
            self.client.id
        );
        let challenge =
            json!({"access_token": {"capolids": {"essential": true, "values": [entropy::guid()]}}});
        let more = [
            pair("suberror", "basic_action"),
            pair("claims", challenge.to_string()),
        ];
        self.fails("interaction_required", code, &text, &more)
    }

    fn blocked(&self) -> HttpResponse {
        self.stays("You cannot access this right now", 53003, "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.")
    }

    fn stays(&self, title: &str, code: u32, text: &str) -> HttpResponse {
        error::stays_here(StatusCode::OK, title, code, text, self.now)
    }

    fn cancelled(&self) -> HttpResponse {
        self.send(vec![
            pair("error", "access_denied"),
            pair("error_subcode", "cancel"),
        ])
    }

    fn fails(&self, error: &str, code: u32, text: &str, more: &[(String, String)]) -> HttpResponse {
        let mut parameters = vec![
            pair("error", error),
            pair(
                "error_description",
                error::description(code, text, self.now),
            ),
            pair("error_uri", error::error_uri(code)),
        ];
        parameters.extend_from_slice(more);
        self.send(parameters)
    }

    fn succeeds(
        &self,
        account: &Account,
        tid: String,
        guest: Option<Guest>,
        demand: &Demand,
        used: Used,
    ) -> HttpResponse {
        let max_age = param(self.params, "max_age").and_then(|age| age.parse().ok());
        let max_age: Option<i64> = max_age.filter(|_| self.entra().max_age == Honour::Honoured);
        let sign_in = SignIn {
            client_id: self.client.id.clone(),
            redirect_uri: self.redirect_uri.to_owned(),
            nonce: param(self.params, "nonce").map(str::to_owned),
            challenge: param(self.params, "code_challenge").map(str::to_owned),
            scopes: oauth::scopes(self.params),
            account: account.clone(),
            guest,
            used,
            acr: demand.acr(used),
            acrs: demand.acrs(used, self.entra(), &tid),
            tid,
            auth_time: self.auth_time(max_age),
            max_age,
            session_id: entropy::guid(),
        };
        self.send(self.answer(sign_in))
    }

    /// When the person last signed in: now if the request wants it, otherwise when the session began.
    fn auth_time(&self, max_age: Option<i64>) -> i64 {
        let age = self.entra().session_age;
        if self.has_prompt("login") || max_age.is_some_and(|max_age| age >= max_age) {
            self.now
        } else {
            self.now - age
        }
    }

    fn answer(&self, sign_in: SignIn) -> Vec<(String, String)> {
        let asked = self.asked().unwrap_or(Asked::Code);
        let mut parameters = Vec::new();
        let mut front = asked.has_id_token().then(|| {
            let base_url = &self.entra.site.base_url;
            claims::id_token(&sign_in, Leg::Front, self.entra(), base_url, self.now)
        });
        let signer = Signer {
            key: signing_key(self.behaviour, sign_in.is_personal()),
            client_secret: &self.client.secret,
            base_url: &self.entra.site.base_url,
        };
        if asked.has_code() {
            let ends = self.now + self.behaviour.code_lifetime;
            let code = self.entra.codes.hand_out("", sign_in, self.now, ends);
            if let Some(claims) = &mut front {
                claims.insert("c_hash".to_owned(), json!(jwt::half_hash(&code)));
            }
            parameters.push(pair("code", code));
        }
        if let Some(claims) = front {
            parameters.push(pair(
                "id_token",
                jwt::write(claims, &signer, &self.behaviour.front),
            ));
        }
        parameters
    }

    fn send(&self, mut parameters: Vec<(String, String)>) -> HttpResponse {
        if let Some(state) = param(self.params, "state") {
            parameters.push(pair("state", state));
        }
        let usual = match self.asked() {
            Some(asked) if asked.has_id_token() => ResponseMode::Fragment,
            Some(_) | None => ResponseMode::Query,
        };
        let mode = ResponseMode::of(self.params, usual).unwrap_or(usual);
        oauth::deliver(
            self.redirect_uri,
            mode,
            parameters,
            &self.entra.site.edits(Document::Callback),
        )
    }

    fn chooser(&self) -> HttpResponse {
        let hint = param(self.params, "login_hint");
        let hinted = |account: &&Account| {
            hint.is_some_and(|hint| {
                account.preferred_username.as_deref() == Some(hint)
                    || account.email.as_deref() == Some(hint)
                    || hint == format!("O.{}", account.id)
            })
        };
        let accounts = self.entra().accounts.iter();
        let here = accounts.filter(|account| self.seat(account).is_some());
        let (first, rest): (Vec<_>, Vec<_>) = here.partition(hinted);
        let choices: Vec<Choice> = first
            .into_iter()
            .chain(rest)
            .map(|account| {
                let address = account.preferred_username.as_deref().unwrap_or_default();
                Choice::link(self.params, "account", &account.id, &account.label, address)
            })
            .collect();
        page::choices(
            PROVIDER,
            "Pick an account",
            "Each signs in, or fails to, in the way it says.",
            &choices,
        )
    }
}

/// The response types that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Code,
    IdToken,
    Both,
}

impl Asked {
    fn has_code(self) -> bool {
        match self {
            Asked::Code | Asked::Both => true,
            Asked::IdToken => false,
        }
    }

    fn has_id_token(self) -> bool {
        match self {
            Asked::IdToken | Asked::Both => true,
            Asked::Code => false,
        }
    }
}
