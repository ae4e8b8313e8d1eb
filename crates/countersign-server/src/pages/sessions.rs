//! The pages about sessions: the list, the question whether to sign out, and that it is done.

use std::fmt;

use askama::Template;
use countersign_core::{ClientId, ProviderId};
use countersign_store::{LiveSession, Session};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::host;
use crate::web::Context;

/// A person's sessions.
#[derive(Template)]
#[template(path = "sessions.html")]
pub(crate) struct SessionsPage {
    host: String,
    person: String,
    rows: Vec<SessionRow>,
    others: String,
    /// The address of the next page.
    next: Option<String>,
}

/// One session, with the button that ends it.
pub(crate) struct SessionRow {
    provider: String,
    opened_at: Moment,
    ends_at: Moment,
    clients: String,
    /// Whether it is the one of this browser.
    pub(crate) is_here: bool,
    form: String,
}

impl SessionsPage {
    /// `others` is the sealed form that ends all other sessions, `next` the address of the next page.
    pub(crate) fn new(
        here: &Session,
        rows: Vec<SessionRow>,
        (others, next): (String, Option<String>),
        context: &Context<'_>,
    ) -> Self {
        Self {
            host: host(context.broker),
            person: person(here),
            rows,
            others,
            next,
        }
    }
}

impl SessionRow {
    /// `form` is the sealed form that ends it.
    pub(crate) fn new(
        live: &LiveSession,
        is_here: bool,
        form: String,
        context: &Context<'_>,
    ) -> Self {
        let names = live
            .clients
            .iter()
            .map(|client| client_name(client, context));
        Self {
            provider: provider_title(&live.session.evidence.provider, context),
            opened_at: Moment(live.session.opened_at),
            ends_at: Moment(live.ends_at),
            clients: names.collect::<Vec<_>>().join(", "),
            is_here,
            form,
        }
    }
}

/// Whether to sign out.
#[derive(Template)]
#[template(path = "sign_out.html")]
pub(crate) struct SignOutPage {
    host: String,
    person: String,
    client: Option<String>,
    form: String,
}

impl SignOutPage {
    /// `form` is the sealed form that says yes.
    pub(crate) fn new(
        here: &Session,
        client: Option<&ClientId>,
        form: String,
        context: &Context<'_>,
    ) -> Self {
        Self {
            host: host(context.broker),
            person: person(here),
            client: client.map(|client| client_name(client, context)),
            form,
        }
    }
}

/// That nobody is signed in, or no longer.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOutPage {
    host: String,
    title: &'static str,
    message: String,
    back: Option<(String, String)>,
}

impl SignedOutPage {
    /// Nobody was signed in.
    pub(crate) fn nobody(context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            title: "You are not signed in",
            message: "No session is open in this browser. Sign in at a registry to begin one; its \
                      sessions on other devices are listed here then."
                .to_owned(),
            back: None,
        }
    }

    /// Who had it is forgotten, and with it every session.
    pub(crate) fn erased(context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            title: "Your account is erased",
            message: "Your name, your address and how you sign in are kept here no more, and every session has been ended. Whoever signs in \
                      with the same provider begins anew. What the registry itself keeps of you it erases itself: ask it to."
                .to_owned(),
            back: None,
        }
    }

    /// This session has been ended.
    pub(crate) fn after(
        session: &Session,
        back: Option<(&ClientId, &str)>,
        context: &Context<'_>,
    ) -> Self {
        let provider = provider_title(&session.evidence.provider, context);
        Self {
            host: host(context.broker),
            title: "You are signed out",
            message: format!(
                "Your session has been ended, here and at every registry that it led you to. You may still \
                 be signed in at {provider}: on a computer that others use, sign out there too."
            ),
            back: back.map(|(client, href)| (client_name(client, context), href.to_owned())),
        }
    }
}

/// Whom the provider says that this is: for their own eyes.
pub(super) fn person(session: &Session) -> String {
    let profile = &session.evidence.profile;
    let address = profile.email.as_ref().map(|email| email.address.clone());
    let named = profile.name.clone();
    match (named, address) {
        (Some(name), Some(address)) => format!("{name} ({address})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => session.account.to_string(),
    }
}

pub(super) fn client_name(client: &ClientId, context: &Context<'_>) -> String {
    if client.as_str() == ClientId::OWN {
        return host(context.broker);
    }
    let known = context.broker.settings.clients.get(client);
    known.map_or_else(|| client.to_string(), |client| client.name.clone())
}

pub(super) fn provider_title(provider: &ProviderId, context: &Context<'_>) -> String {
    let known = context.broker.providers.get(provider);
    known.map_or_else(|| provider.to_string(), |one| one.title().to_owned())
}

/// A moment as people read it: `8 May 2027, 14:05`.
pub(super) struct Moment(pub(super) Timestamp);

impl Moment {
    pub(super) fn for_machines(&self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%MZ").to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.0.to_zoned(TimeZone::UTC);
        write!(f, "{}", utc.strftime("%-d %B %Y, %H:%M"))
    }
}
