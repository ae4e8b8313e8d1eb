//! Fresher evidence for one thing that a tool does: the tool is sent to a page, its user signs in at their own provider, and
//! what they showed there is weighed in the place of what their key was made under.
//!
//! The tool waits as a device does (RFC 8628): the page shows which tool it is, what it is about to do to which package, and a
//! code to compare. What it gets is good for that and nothing else, for a few minutes, together with the very key.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::WWW_AUTHENTICATE;
use countersign_core::registry::{Checksum, StepUpStyle};
use countersign_core::{AccountId, ApiKeyId, Reason, SessionId};
use countersign_store::{Session, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::gate::{Asked, Refused};
use super::tool::{self, Asker, Purpose};
use super::{Registry, code, gem, refusal};
use crate::api_key::Held;
use crate::seal::{self, Place};
use crate::session;
use crate::web::Context;

/// How long it is good: a tool that withdraws a package makes several requests, one after the other.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// The one thing that somebody signs in anew for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deed {
    pub(super) key: ApiKeyId,
    pub(super) action: String,
    pub(super) package: Option<String>,
    /// The very request, where no package is named.
    pub(super) request: Option<String>,
    /// The version and the archive, of who says beforehand what it will be.
    #[serde(default)]
    pub(super) version: Option<String>,
    #[serde(default)]
    pub(super) checksum: Option<Checksum>,
}

impl Deed {
    /// What a request does with a key.
    pub(super) fn of(key: ApiKeyId, action: &str, package: Option<&str>, asked: Asked<'_>) -> Self {
        let request = || format!("{} {}", asked.method, asked.target);
        Self {
            key,
            action: action.to_owned(),
            package: package.map(str::to_owned),
            request: package.is_none().then(request),
            version: None,
            checksum: None,
        }
    }

    /// What a person is asked to let a tool do.
    pub(super) fn in_words(&self) -> String {
        // A query may hold what is nobody's to read.
        let path = |request: &String| request.split('?').next().map(str::to_owned);
        let request = self.request.as_ref().and_then(path);
        let about = self.package.clone().or(request);
        let words = [Some(self.action.clone()), about, self.version.clone()];
        let words: Vec<String> = words.into_iter().flatten().collect();
        words.join(" ")
    }
}

/// What a tool shows once they have.
#[derive(Serialize, Deserialize)]
pub(super) struct Proof {
    /// Nothing where nobody knew yet what it would be: then it is good for what any key of theirs is for.
    pub(super) deed: Option<Deed>,
    account: AccountId,
    /// Nothing where the key by itself was good enough.
    session: Option<SessionId>,
    pub(super) until: Timestamp,
}

impl Proof {
    pub(super) fn new(
        deed: Option<Deed>,
        (account, session): (&AccountId, Option<&SessionId>),
        context: &Context<'_>,
    ) -> Option<Self> {
        Some(Self {
            deed,
            account: account.clone(),
            session: session.cloned(),
            until: context.now.saturating_add(LIFETIME).ok()?,
        })
    }

    pub(super) fn seal(&self, place: Place<'_>, context: &Context<'_>) -> Option<String> {
        let broker = context.broker;
        broker.sealer.seal(self, place, broker.entropy.as_ref())
    }

    /// One that is not over.
    pub(super) fn open(sealed: &str, place: Place<'_>, context: &Context<'_>) -> Option<Self> {
        let proof: Option<Self> = context.broker.sealer.open(sealed, place);
        proof.filter(|proof| context.now < proof.until)
    }

    pub(super) fn is_of(&self, held: &Held) -> bool {
        self.account == held.account.id
    }

    /// The session by which the owner of this key has signed in anew, while it lives.
    pub(super) async fn session(
        &self,
        held: &Held,
        context: &Context<'_>,
    ) -> Result<Option<Session>, StoreError> {
        let Some(session) = &self.session else {
            return Ok(None);
        };
        let Some(session) = context.reads.session(session).await? else {
            return Ok(None);
        };
        let owner = session::owner(&session, context).await?;
        let is_owner = owner.is_ok_and(|(account, _)| account.id == held.account.id);
        Ok(is_owner.then_some(session))
    }
}

/// The header in which a tool shows it.
pub(super) fn header(style: StepUpStyle) -> &'static str {
    match style {
        StepUpStyle::NpmOtp => "npm-otp",
        StepUpStyle::GemOtp => "otp",
    }
}

/// Whether signing in anew may help against all of this.
pub(super) fn may_all_help(reasons: &[Reason]) -> bool {
    reasons.iter().all(|reason| may_help(*reason))
}

fn may_help(reason: Reason) -> bool {
    match reason {
        Reason::MfaAbsent
        | Reason::MfaUnknown
        | Reason::EvidenceMalformed
        | Reason::EvidenceContradictory
        | Reason::TenantContextUnnamed
        | Reason::MethodNeverCounts
        | Reason::PhishingResistantAbsent
        | Reason::BasisNotAccepted
        | Reason::AuthTimeAbsent
        | Reason::AuthTooOld
        | Reason::EvidenceTooOld
        | Reason::ReauthenticationNotShown
        | Reason::AcrNotMet
        | Reason::EmailNotVerified
        | Reason::OrganizationNotShown
        | Reason::MembershipStale
        | Reason::WeighedOtherwise
        | Reason::ProviderWithdrew => true,
        Reason::ProviderNotAdmitted
        | Reason::AccountLocked
        | Reason::NotAnOperator
        | Reason::IdentityChanged
        | Reason::NotInPolicy => false,
    }
}

/// The answer that sends a tool to a page, where its refusal can be mended so and the tool knows how.
pub(super) async fn offer(
    registry: &Registry,
    refused: &Refused,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> Option<HttpResponse> {
    let Refused::NotEnough {
        reasons,
        deed: Some(deed),
    } = refused
    else {
        return None;
    };
    let style = registry.profile.step_up?;
    let has_tried = asked.headers.contains_key(header(style));
    if !may_all_help(reasons) {
        return None;
    }
    match style {
        // Whoever has just signed in anew, and it was not enough, is told why.
        StepUpStyle::NpmOtp if has_tried => None,
        StepUpStyle::NpmOtp => of_npm(registry, refused, deed, context).await,
        StepUpStyle::GemOtp if has_tried => Some(gem::want_code(registry, reasons, context)),
        StepUpStyle::GemOtp => Some(gem::ask_for_code(registry, context)),
    }
}

/// `WWW-Authenticate: OTP`, and where to go and where to ask (npm 9 and later).
async fn of_npm(
    registry: &Registry,
    refused: &Refused,
    deed: &Deed,
    context: &Context<'_>,
) -> Option<HttpResponse> {
    let scope = registry.profile.scope(&deed.action)?;
    let waits = (Asker::Npm, Purpose::StepUp(deed.clone()));
    let waiting = tool::begin(registry, [scope], waits, context).await;
    let Ok(waiting) = waiting else { return None };
    let mut answer = HttpResponse::build(StatusCode::UNAUTHORIZED);
    Some(answer.insert_header((WWW_AUTHENTICATE, "OTP")).json(json!({
        "error": refusal::words(refused, context),
        "authUrl": waiting.page,
        "doneUrl": waiting.done,
    })))
}

/// What a tool shows from now on, once somebody has signed in for this.
pub(super) fn proof(
    registry: &Registry,
    deed: Deed,
    session: &Session,
    context: &Context<'_>,
) -> Option<String> {
    let proof = Proof::new(Some(deed), (&session.account, Some(&session.id)), context)?;
    proof.seal(place(registry), context)
}

/// The session by which the owner of this key has signed in anew for this, if the request shows one.
pub(super) async fn shown(
    registry: &Registry,
    asked: Asked<'_>,
    (held, action, package): (&Held, &str, Option<&str>),
    context: &Context<'_>,
) -> Result<Option<Session>, StoreError> {
    let Some(style) = registry.profile.step_up else {
        return Ok(None);
    };
    let text = asked.headers.get(header(style));
    let Some(text) = text.and_then(|text| text.to_str().ok()) else {
        return Ok(None);
    };
    let Some(proof) = open(registry, (style, text), context).await? else {
        return Ok(None);
    };
    let deed = Deed::of(held.key.id.clone(), action, package, asked);
    let is_of_this = |one: &Deed| *one == deed;
    if !proof.deed.as_ref().is_none_or(is_of_this) || !proof.is_of(held) {
        return Ok(None);
    }
    proof.session(held, context).await
}

async fn open(
    registry: &Registry,
    (style, text): (StepUpStyle, &str),
    context: &Context<'_>,
) -> Result<Option<Proof>, StoreError> {
    match style {
        StepUpStyle::NpmOtp => Ok(Proof::open(text, place(registry), context)),
        StepUpStyle::GemOtp => {
            let session = code::confirms(text, registry, context).await?;
            Ok(session.and_then(|session| {
                Proof::new(None, (&session.account, Some(&session.id)), context)
            }))
        }
    }
}

fn place(registry: &Registry) -> Place<'_> {
    Place {
        name: "step-up",
        party: registry.name.as_str(),
        purpose: seal::Purpose::StepUp,
    }
}
