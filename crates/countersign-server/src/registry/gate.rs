//! Whether a request of a tool's is let through: what it is a case of, and whether whoever sends it may.

use actix_web::http::header::{HeaderMap, UPGRADE};
use countersign_core::Reason;
use countersign_core::registry::{Access, Ambiguous, Answer, Captured, HeadError, Sorted};
use countersign_store::StoreError;

use super::credential::{Shown, shown};
use super::step_up::Deed;
use super::upload::Upload;
use super::weigh::{Contents, Leave, Release, Weighed, Wish, is_anybodys, weigh};
use super::{Registry, guess, identity, proxy};
use crate::limits::TooMany;
use crate::web::Context;

/// A request as its tool sent it, to whatever stands in front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    /// As it came on the wire.
    pub(super) target: &'a str,
    pub(super) headers: &'a HeaderMap,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Judged {
    /// Anybody may.
    Open,
    /// This one may.
    Let {
        leave: Box<Leave>,
        action: String,
        release: Release,
    },
    /// It is answered here.
    Ours(Answer, Captured),
    /// It goes no further.
    Refused(Refused),
}

/// Why a request goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It could be read in two ways.
    Ambiguous(Ambiguous),
    /// The profile says so, in these words.
    ByRule(String),
    /// It needs a credential, and shows none.
    NoCredential { action: String },
    /// What it shows is no good: what is wrong with it, in a sentence.
    BadCredential(&'static str),
    /// It is a token for one deed, and not for this one: what is wrong, in a sentence.
    BadToken(&'static str),
    /// What it shows is no good, and too many like it came from its address.
    TooMany {
        why: &'static str,
        too_many: TooMany,
    },
    /// Which package it is about can't be read from its body.
    Unreadable(HeadError),
    /// What it shows is good, and not good enough.
    NotEnough {
        reasons: Vec<Reason>,
        /// What would be let through if its sender signed in anew; nothing where they hold no key.
        deed: Option<Deed>,
    },
    /// It could not be weighed.
    Unavailable,
}

/// Headers by which some servers take a request for one of another method or another path.
const OVERRIDES: [&str; 5] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Judges a request. `upload` is its body, where it is here; it is looked into where nothing else names the package.
pub(super) async fn judge(
    registry: &Registry,
    asked: Asked<'_>,
    upload: Option<&mut Upload>,
    context: &Context<'_>,
) -> Judged {
    let context = &context.at_a_gate();
    if says_otherwise(registry, asked.headers) {
        return Judged::Refused(Refused::Ambiguous(Ambiguous::Header));
    }
    let sorted = match registry.profile.sort(asked.method, asked.target) {
        Ok(sorted) => sorted,
        Err(ambiguous) => return Judged::Refused(Refused::Ambiguous(ambiguous)),
    };
    let action = match sorted.access {
        Access::Open => return Judged::Open,
        Access::Ours(answer) => return Judged::Ours(*answer, sorted.names),
        Access::Refused(words) => return Judged::Refused(Refused::ByRule(words.clone())),
        Access::Gated(action) => action.clone(),
    };
    let release = match release_of(registry, &sorted, (asked, upload), context).await {
        Ok(Ok(release)) => release,
        Ok(Err(error)) => return Judged::Refused(Refused::Unreadable(error)),
        Err(error) => return unavailable(&error, context),
    };
    match weigh_action(registry, &action, &release, asked, context).await {
        Ok(Weighed::Let(leave)) => Judged::Let {
            leave,
            action,
            release,
        },
        Ok(Weighed::NoCredential) => Judged::Refused(Refused::NoCredential { action }),
        Ok(Weighed::BadCredential(why)) => Judged::Refused(guess::counted(
            registry,
            (why, Refused::BadCredential),
            context,
        )),
        Ok(Weighed::BadToken(why)) => {
            Judged::Refused(guess::counted(registry, (why, Refused::BadToken), context))
        }
        Ok(Weighed::NotEnough { reasons, key }) => Judged::Refused(Refused::NotEnough {
            reasons,
            deed: key.map(|key| Deed::of(key, &action, release.package.as_deref(), asked)),
        }),
        Err(error) => unavailable(&error, context),
    }
}

fn unavailable(error: &StoreError, context: &Context<'_>) -> Judged {
    tracing::error!(code = "store-unavailable", request = %context.request_id, cause = %error, "nobody is let through");
    Judged::Refused(Refused::Unavailable)
}

/// What a request is about. Nothing is read of a body for who shows nothing that is anybody's: it is refused whatever it holds.
async fn release_of(
    registry: &Registry,
    sorted: &Sorted<'_>,
    (asked, upload): (Asked<'_>, Option<&mut Upload>),
    context: &Context<'_>,
) -> Result<Result<Release, HeadError>, StoreError> {
    if let (Some(form), Some(upload)) = (sorted.body, upload)
        && is_anybodys(&shown_by(registry, asked), registry, context).await?
    {
        let head = upload.head(form, asked.headers).await;
        return Ok(head.map(|head| Release {
            package: Some(head.package.clone()),
            version: Some(head.version.clone()),
            contents: Contents::Seen,
        }));
    }
    Ok(Ok(Release {
        package: sorted.package().map(str::to_owned),
        version: sorted.version().map(str::to_owned),
        ..Release::UNKNOWN
    }))
}

/// Whether a header makes something else of the request for a server behind, or says who asks. Many take `_` in the name of
/// one for `-` (CGI, WSGI, Rack), and some every other sign too, which nobody who means well sends.
fn says_otherwise(registry: &Registry, headers: &HeaderMap) -> bool {
    let means_other =
        |name: &str| OVERRIDES.contains(&name) || identity::is_own_header(name, registry);
    let by_name = headers.keys().any(|name| {
        let is_plain = |one: u8| one.is_ascii_alphanumeric() || one == b'-';
        if name.as_str().bytes().all(is_plain) {
            return means_other(name.as_str());
        }
        let plain = name
            .as_str()
            .replace(|one: char| !one.is_ascii_alphanumeric(), "-");
        means_other(&plain)
            || FOLDED.contains(&&*plain)
            || proxy::says_where_from(&plain)
            || plain.starts_with(identity::PREFIX)
    });
    by_name || becomes_another_protocol(headers)
}

/// What has a meaning to a server behind, and to us by its true name alone.
const FOLDED: [&str; 3] = ["content-encoding", "content-length", "transfer-encoding"];

/// Whether what follows may be no HTTP/1.1: then a body has no end, whatever its length says it is. To go on by HTTP/2 some
/// clients offer with every request, and nobody here takes it.
fn becomes_another_protocol(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(UPGRADE);
    offered.into_iter().any(|value| {
        let is_http2 = |one: &str| one.trim().eq_ignore_ascii_case("h2c");
        let known = value.to_str().map(|value| value.split(',').all(is_http2));
        !known.unwrap_or(false)
    })
}

async fn weigh_action(
    registry: &Registry,
    action: &str,
    release: &Release,
    asked: Asked<'_>,
    context: &Context<'_>,
) -> Result<Weighed, StoreError> {
    // A profile is checked for this when it is read.
    let Some(scope) = registry.profile.scope(action) else {
        return Ok(Weighed::because(Reason::NotInPolicy));
    };
    let wish = Wish {
        registry,
        asked,
        action,
        scope,
        release,
    };
    weigh(shown_by(registry, asked), wish, context).await
}

/// What the request shows of who sends it.
pub(super) fn shown_by(registry: &Registry, asked: Asked<'_>) -> Shown {
    let query = asked.target.split_once('?').map(|(_, query)| query);
    shown(&registry.profile.sources, asked.headers, query)
}
