//! The pages: rendered here, escaped by the templates, without any script.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use countersign_verifier::Claims;
use jiff::Timestamp;
use jiff::civil::Date;

use super::packages::{Draft, Package};
use super::sessions::Person;
use super::trouble::Trouble;

/// Answers with a page.
pub(crate) fn respond(status: StatusCode, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(body) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .body(body),
        Err(error) => {
            tracing::error!(cause = %error, "a page could not be rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Answers with what went wrong on the way through the broker.
pub(super) fn trouble(trouble: &Trouble) -> HttpResponse {
    tracing::info!(code = trouble.code(), cause = %trouble, "sign-in ended");
    let (title, message) = trouble.tell();
    let page = TroublePage {
        visitor: Visitor::Unknown,
        title,
        message,
        code: trouble.code(),
        detail: trouble.detail(),
    };
    respond(trouble.status(), &page)
}

/// Answers that a package was not removed, and why.
pub(super) fn not_done(message: &str) -> HttpResponse {
    problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Not done",
        message,
        "not-done",
    )
}

pub(super) fn not_found() -> HttpResponse {
    let message = "There is nothing at this address.";
    problem(
        StatusCode::NOT_FOUND,
        "Page not found",
        message,
        "not-found",
    )
}

/// Answers a request that can't be read.
pub(super) fn bad_request() -> HttpResponse {
    let message = "This request can't be read. Start again from the list of packages.";
    problem(
        StatusCode::BAD_REQUEST,
        "Not understood",
        message,
        "bad-request",
    )
}

/// Answers a form that another site sent.
pub(super) fn forbidden() -> HttpResponse {
    let message = "This was sent by another site, so it was not done.";
    problem(StatusCode::FORBIDDEN, "Not done", message, "cross-site")
}

fn problem(status: StatusCode, title: &str, message: &str, code: &str) -> HttpResponse {
    let visitor = Visitor::Unknown;
    respond(
        status,
        &TroublePage {
            visitor,
            title,
            message,
            code,
            detail: None,
        },
    )
}

/// Who looks at a page, for its header.
#[derive(Debug)]
pub(super) enum Visitor {
    SignedIn {
        name: String,
        banner: Option<Banner>,
    },
    SignedOut,
    /// Not looked up: a page about trouble offers both ways.
    Unknown,
}

impl Visitor {
    pub(super) fn of(person: Option<&Person>) -> Self {
        person.map_or(Self::SignedOut, |person| Self::SignedIn {
            name: display_name(person),
            banner: Banner::of(&person.claims),
        })
    }

    fn banner(&self) -> Option<&Banner> {
        match self {
            Self::SignedIn { banner, .. } => banner.as_ref(),
            Self::SignedOut | Self::Unknown => None,
        }
    }
}

/// From which day the person needs a second factor: the token says so while it lets them in without.
#[derive(Debug)]
pub(super) struct Banner {
    day: String,
    provider: String,
}

impl Banner {
    fn of(claims: &Claims) -> Option<Self> {
        let claim = claims.countersign.as_ref()?;
        let due: Date = claim.mfa_due.as_ref()?.parse().ok()?;
        Some(Self {
            day: due.strftime("%-d %B %Y").to_string(),
            provider: claim.provider.clone(),
        })
    }
}

/// All packages.
#[derive(Template)]
#[template(path = "browse.html")]
pub(super) struct BrowsePage {
    visitor: Visitor,
    rows: Vec<Row>,
    notice: Option<&'static str>,
}

struct Row {
    package: Package,
    is_yours: bool,
}

impl BrowsePage {
    pub(super) fn new(
        packages: Vec<Package>,
        person: Option<&Person>,
        notice: Option<&'static str>,
    ) -> Self {
        let sub = person.map(|person| person.claims.sub.as_str());
        let row = |package: Package| Row {
            is_yours: sub.is_some() && package.publisher.as_deref() == sub,
            package,
        };
        Self {
            visitor: Visitor::of(person),
            rows: packages.into_iter().map(row).collect(),
            notice,
        }
    }
}

/// The form of a new package.
#[derive(Template)]
#[template(path = "publish.html")]
pub(super) struct PublishPage {
    pub(super) visitor: Visitor,
    pub(super) draft: Draft,
    pub(super) notice: Option<String>,
    pub(super) problem: Option<String>,
}

/// Who signed in.
#[derive(Template)]
#[template(path = "me.html")]
pub(super) struct MePage {
    visitor: Visitor,
    summary: String,
    facts: Vec<Fact>,
    /// Where the person sees the organisations that they administer.
    organizations: Option<String>,
}

/// One line: what it is called, its id in the page, what it says, what that means.
struct Fact {
    label: &'static str,
    id: &'static str,
    value: String,
    meaning: &'static str,
}

impl MePage {
    pub(super) fn new(person: &Person, organizations: Option<String>) -> Self {
        let mut facts = about_person(person);
        facts.extend(about_login(&person.claims));
        facts.extend(about_token(person));
        Self {
            visitor: Visitor::of(Some(person)),
            summary: summary(&person.claims),
            facts,
            organizations,
        }
    }
}

/// Something that went wrong.
#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    visitor: Visitor,
    title: &'a str,
    message: &'a str,
    code: &'a str,
    detail: Option<String>,
}

/// What the login showed, in a sentence.
fn summary(claims: &Claims) -> String {
    let basis = claims
        .countersign
        .as_ref()
        .and_then(|claim| claim.basis.as_deref());
    let says = match (claims.acr.as_deref(), basis) {
        (Some("urn:countersign:single") | None, _) => "This login showed no second factor.",
        (_, Some("enrolment")) => {
            "The account has multi-factor authentication switched on; whether this very login used it is not known."
        }
        (_, Some("tenant")) => {
            "The admin of the person's tenant attests multi-factor authentication."
        }
        (_, _) => "The provider says that this very login used multi-factor authentication.",
    };
    says.to_owned()
}

fn about_person(person: &Person) -> Vec<Fact> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(none);
    vec![
        fact(
            "Name",
            "name",
            text(&person.id_token.name),
            "from the ID token",
        ),
        fact(
            "E-mail",
            "email",
            text(&person.id_token.email),
            "from the ID token",
        ),
        fact(
            "Account",
            "sub",
            person.claims.sub.clone(),
            "Countersign's name of the account: sub",
        ),
    ]
}

fn about_login(claims: &Claims) -> Vec<Fact> {
    let claim = claims.countersign.as_ref();
    let of = |value: Option<&String>| value.cloned().unwrap_or_else(none);
    let provider = of(claim.map(|claim| &claim.provider));
    let tenant = of(claim.and_then(|claim| claim.tenant.as_ref()));
    let level = of(claim.map(|claim| &claim.level));
    let basis = of(claim.and_then(|claim| claim.basis.as_ref()));
    let proof = of(claim.and_then(|claim| claim.proof.as_ref()));
    let amr = if claims.amr.is_empty() {
        none()
    } else {
        claims.amr.join(" ")
    };
    let auth_time = claims.auth_time.map_or_else(|| "not told".to_owned(), time);
    vec![
        fact(
            "Provider",
            "provider",
            provider,
            "where the person signed in",
        ),
        fact("Tenant", "tenant", tenant, "whose account it is there"),
        fact(
            "acr",
            "acr",
            of(claims.acr.as_ref()),
            "what a service compares, where it is stricter than the policy",
        ),
        fact("amr", "amr", amr, "the methods that the provider named"),
        fact("Level", "level", level, "none, mfa or phishing-resistant"),
        fact(
            "Basis",
            "basis",
            basis,
            "whose word it rests on: session, enrolment or tenant",
        ),
        fact("Proof", "proof", proof, "what the provider sent"),
        fact(
            "Authenticated",
            "auth-time",
            auth_time,
            "the provider's auth_time",
        ),
    ]
}

fn about_token(person: &Person) -> Vec<Fact> {
    let claims = &person.claims;
    let unmet: Vec<String> = person.unmet.iter().map(ToString::to_string).collect();
    let wanted = person
        .unmet
        .iter()
        .find_map(|unmet| unmet.acr_values.clone());
    let claim = claims.countersign.as_ref();
    let due = claim.and_then(|claim| claim.mfa_due.clone());
    let waiver = claim.and_then(|claim| claim.waiver.clone());
    let organizations = claim.map(|claim| claim.organizations.join(", "));
    let rare = [
        organizations.filter(|all| !all.is_empty()).map(|all| {
            fact(
                "Organizations",
                "acts-for",
                all,
                "whose people sign in where you did: you act for them here",
            )
        }),
        due.map(|due| {
            fact(
                "Due",
                "mfa-due",
                due,
                "the day from which this account needs a second factor",
            )
        }),
        waiver.map(|name| fact("Exception", "waiver", name, "what waives the second factor")),
        (!unmet.is_empty()).then(|| {
            fact(
                "Left out",
                "unmet",
                unmet.join(", "),
                "what was asked for and is not granted, and why",
            )
        }),
        wanted.map(|acr| {
            fact(
                "Would meet it",
                "wanted",
                acr,
                "any one of these acr values",
            )
        }),
    ];
    let mut facts = vec![
        fact(
            "Scope",
            "scope",
            claims.scope.to_string(),
            "what this login is good for",
        ),
        fact(
            "Expires",
            "expires",
            time(claims.exp),
            "the access token's end",
        ),
    ];
    facts.extend(rare.into_iter().flatten());
    facts
}

fn fact(label: &'static str, id: &'static str, value: String, meaning: &'static str) -> Fact {
    Fact {
        label,
        id,
        value,
        meaning,
    }
}

fn none() -> String {
    "none".to_owned()
}

fn time(unix: i64) -> String {
    Timestamp::from_second(unix).map_or_else(|_| unix.to_string(), |time| time.to_string())
}

fn display_name(person: &Person) -> String {
    let name = person
        .id_token
        .name
        .as_ref()
        .or(person.id_token.email.as_ref());
    name.unwrap_or(&person.claims.sub).clone()
}
