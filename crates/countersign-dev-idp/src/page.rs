//! The pages that people see: accounts to pick, questions, messages, the form that carries an answer back.
//!
//! All work without JavaScript; every text is escaped by its template.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use crate::oauth::Params;

/// Marks requests that come from a link on our own page, so that the log has each request once.
pub(crate) const FROM_PAGE: &str = "from_page";

/// A thing to pick.
pub(crate) struct Choice {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) detail: String,
    pub(crate) href: String,
}

impl Choice {
    /// A link to the same request with one more parameter.
    pub(crate) fn link(
        params: &Params,
        name: &str,
        value: &str,
        label: &str,
        detail: &str,
    ) -> Self {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let kept = |known: &&String| *known != name && *known != FROM_PAGE;
        for (known, text) in params.iter().filter(|(known, _)| kept(known)) {
            query.append_pair(known, text);
        }
        query.append_pair(name, value).append_pair(FROM_PAGE, "1");
        Self {
            id: value.to_owned(),
            label: label.to_owned(),
            detail: detail.to_owned(),
            href: format!("?{}", query.finish()),
        }
    }
}

#[derive(Template)]
#[template(path = "choices.html")]
struct ChoicesPage<'a> {
    provider: &'a str,
    title: &'a str,
    note: &'a str,
    choices: &'a [Choice],
}

/// A list of links.
pub(crate) fn choices(provider: &str, title: &str, note: &str, choices: &[Choice]) -> HttpResponse {
    let page = ChoicesPage {
        provider,
        title,
        note,
        choices,
    };
    html(StatusCode::OK, page.render())
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    provider: &'a str,
    title: &'a str,
    text: &'a str,
}

/// Something to read and no way on.
pub(crate) fn message(status: StatusCode, provider: &str, title: &str, text: &str) -> HttpResponse {
    let page = MessagePage {
        provider,
        title,
        text,
    };
    html(status, page.render())
}

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPostPage<'a> {
    provider: &'a str,
    title: &'a str,
    action: &'a str,
    fields: &'a [(String, String)],
}

/// OAuth 2.0 Form Post Response Mode: a form that sends itself, and has a button where scripts don't run.
/// <https://openid.net/specs/oauth-v2-form-post-response-mode-1_0.html>
pub(crate) fn form_post(action: &str, fields: &[(String, String)]) -> HttpResponse {
    let page = FormPostPage {
        provider: "Sign-in",
        title: "Going back to the application",
        action,
        fields,
    };
    html(StatusCode::OK, page.render())
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage<'a> {
    provider: &'a str,
    title: &'a str,
    frames: &'a [String],
    next: Option<&'a str>,
}

/// The end of a session: frames for those who want to hear of it, and where to go next.
pub(crate) fn signed_out(provider: &str, frames: &[String], next: Option<&str>) -> HttpResponse {
    let page = SignedOutPage {
        provider,
        title: "Signed out",
        frames,
        next,
    };
    html(StatusCode::OK, page.render())
}

fn html(status: StatusCode, page: askama::Result<String>) -> HttpResponse {
    match page {
        Ok(page) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header(("cache-control", "no-store"))
            .body(page),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}
