//! What stands between a registry's own tools and the registry: which requests anybody may make, which need
//! somebody's leave, and which are answered here.
//!
//! A [`Profile`] is data, one file for each kind of registry. [`Profile::sort`] holds one request against it. Pure:
//! who asks, and whether they may, is [`decide`](crate::decide)'s to say.

mod load;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::SignedDuration;
use serde::Serialize;

pub use target::{Ambiguous, Target};
pub use template::{Captured, Template, TemplateError};
pub use upload::{BodyForm, Checksum, Head, HeadError, LONGEST_OBJECT, NotAChecksum};

use crate::Scope;
use target::Writing;
use template::Fit;

/// How one kind of registry is stood in front of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What people call it.
    pub title: String,
    writing: Writing,
    /// Where its tools put their credential, in the order in which they are looked at.
    pub sources: Vec<Source>,
    rules: Vec<Rule>,
    read: Access,
    write: Access,
    actions: BTreeMap<Action, Scope>,
    /// How a tool that has no credential comes by one.
    pub sign_in: SignIn,
    /// How a tool is sent for fresher evidence.
    pub step_up: Option<StepUpStyle>,
    /// How a refusal is told so that the tool shows it.
    pub refusal: RefusalStyle,
    /// Where a tool takes what its user is to be told from.
    pub notice: Option<NoticePlace>,
    /// Further headers by which the registry behind learns who asks.
    pub identity: IdentityHeaders,
    /// What its token endpoint gives, where the registry has tokens of its own.
    pub docker: Option<Docker>,
}

/// What a request is a case of. The names of a profile's own choice: `publish`, `yank`.
pub type Action = String;

/// Where a tool puts its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The header `Authorization`.
    Authorization {
        /// The scheme, compared without regard to case; none: the credential is all there is.
        scheme: Option<String>,
        /// How the credential stands there.
        form: Form,
        /// The user name that must stand beside it; none: any.
        user: Option<String>,
    },
    /// A header of the tool's own; in small letters.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// The cookie of a browser that is signed in here.
    Session,
}

/// How a credential is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// `user:credential`.
    Pair,
    /// The same in base64, as in Basic (RFC 7617).
    Base64Pair,
}

/// Who may make a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a credential.
    Open,
    /// Whom the policy lets do this.
    Gated(Action),
    /// Anybody; it is answered here, and the registry behind does not see it.
    Ours(Answer),
    /// Nobody, for this reason.
    Refused(String),
}

/// What is answered here of what tools ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// `npm login`: begins a sign-in in the browser.
    NpmLogin,
    /// `npm login` and `npm publish`: whether it is done.
    NpmDone,
    /// `npm whoami`.
    NpmWhoami,
    /// `npm logout`: ends the key in the path.
    NpmLogout,
    /// `gem signin`: a key for a one-time code.
    GemSignIn,
    /// `swift package-registry login`: whether a token is good.
    SwiftLogin,
    /// The page on which people get one-time codes for their tools.
    CodePage,
    /// The page on which people make keys for their tools.
    KeysPage,
}

impl Answer {
    const NAMES: [(&'static str, Self); 8] = [
        ("npm-login", Self::NpmLogin),
        ("npm-done", Self::NpmDone),
        ("npm-whoami", Self::NpmWhoami),
        ("npm-logout", Self::NpmLogout),
        ("gem-sign-in", Self::GemSignIn),
        ("swift-login", Self::SwiftLogin),
        ("code-page", Self::CodePage),
        ("keys-page", Self::KeysPage),
    ];

    /// Its name in a profile.
    pub fn as_str(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, one)| *one == self);
        named.map_or("?", |(name, _)| name)
    }
}

/// How a tool that has no credential comes by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    /// What the tool itself can do.
    pub by: SignInStyle,
    /// How long a key lives that the tool got by it.
    pub key_lifetime: SignedDuration,
}

/// What a tool can do to sign somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInStyle {
    /// Nothing: people make a key on a page and give it to the tool.
    KeysPage,
    /// npm's web login.
    NpmWeb,
    /// A one-time code in the place of a password.
    OneTimeCode,
    /// None: nothing needs it.
    Nothing,
}

/// How a tool is sent for fresher evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepUpStyle {
    /// npm: `WWW-Authenticate: OTP` with two addresses, and the header `npm-otp`.
    NpmOtp,
    /// `gem`: its sentence, a code and the header `OTP`.
    GemOtp,
}

/// How a refusal is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalStyle {
    /// The status for a credential that is not good enough: 401 or 403.
    pub status: u16,
    /// The status for none at all: 401 or 403.
    pub without_credential: u16,
    /// `WWW-Authenticate` of a 401; `{keys}` stands for the address of the page on which people make keys.
    pub challenge: String,
    /// What the body looks like.
    pub body: RefusalBody,
    /// Whether the words stand in the status line too (HTTP/1.1 only).
    pub reason_phrase: bool,
}

/// What the body of a refusal looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalBody {
    /// The words and a line feed.
    Text,
    /// `{"error": "…"}`.
    JsonError,
    /// `{"errors": [{"detail": "…"}]}`.
    JsonErrors,
    /// RFC 9457.
    Problem,
    /// `{"errors": [{"code": "DENIED", "message": "…"}]}` (OCI distribution).
    Docker,
}

/// Where a tool takes what its user is to be told from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticePlace {
    /// A header of an answer; in small letters.
    Header(String),
    /// The list `warnings.other` of a JSON answer, as cargo reads it.
    CargoWarnings,
}

/// Headers of the registry's own by which it learns who asks; in small letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The registry's own name of the account.
    pub user: Option<String>,
    /// A verified e-mail address.
    pub email: Option<String>,
}

/// What a Docker token endpoint gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// What anybody gets.
    pub open: BTreeSet<String>,
    /// What the policy decides about; what stands in neither is given to nobody.
    pub gated: BTreeMap<String, Action>,
    /// How long a token lives; 60 seconds at least (the token specification's own floor).
    pub token_lifetime: SignedDuration,
    /// How long what `docker login` keeps is good.
    pub offline_lifetime: SignedDuration,
}

/// One rule of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// Where it stands: `npm.toml:31:1`.
    place: String,
    /// None: whatever the method.
    methods: Option<BTreeSet<String>>,
    paths: Vec<Template>,
    access: Access,
    /// Where the body names the package.
    body: Option<BodyForm>,
}

/// What a profile says of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sorted<'p> {
    /// Who may make it.
    pub access: &'p Access,
    /// Which part of the profile says so.
    pub by: RuleName<'p>,
    /// What the path names.
    pub names: Captured,
    /// How the body names the package, where the path does not.
    pub body: Option<BodyForm>,
}

impl Sorted<'_> {
    /// The package that it is about, where the path tells.
    pub fn package(&self) -> Option<&str> {
        self.names.get("package").map(String::as_str)
    }

    /// The version of it that it is about, where the path tells.
    pub fn version(&self) -> Option<&str> {
        self.names.get("version").map(String::as_str)
    }
}

/// Which part of a profile decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleName<'p> {
    /// The rule at this place.
    Rule(&'p str),
    /// What holds for reading where no rule says otherwise.
    DefaultRead,
    /// What holds for everything else.
    DefaultWrite,
}

impl fmt::Display for RuleName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(place) => write!(f, "the rule at {place}"),
            Self::DefaultRead => f.write_str("`default.read`"),
            Self::DefaultWrite => f.write_str("`default.write`"),
        }
    }
}

impl Profile {
    /// What holds for a request, by its method and its target as they came. The first rule that fits decides.
    pub fn sort(&self, method: &str, target: &str) -> Result<Sorted<'_>, Ambiguous> {
        if !is_method(method) {
            return Err(Ambiguous::Method);
        }
        let target = Target::parse(target, self.writing)?;
        for rule in &self.rules {
            if let Some(names) = rule.fit(method, &target) {
                return Ok(Sorted {
                    access: &rule.access,
                    by: RuleName::Rule(&rule.place),
                    names,
                    body: rule.body,
                });
            }
        }
        let (access, by) = if is_read(method) {
            (&self.read, RuleName::DefaultRead)
        } else {
            (&self.write, RuleName::DefaultWrite)
        };
        Ok(Sorted {
            access,
            by,
            names: Captured::new(),
            body: None,
        })
    }

    /// What the policy is asked for whoever does this.
    pub fn scope(&self, action: &str) -> Option<&Scope> {
        self.actions.get(action)
    }

    /// All that it asks the policy for, by action.
    pub fn actions(&self) -> &BTreeMap<Action, Scope> {
        &self.actions
    }

    /// Whether its tools wait, as devices do, until somebody has signed in for them.
    pub fn lets_tools_wait(&self) -> bool {
        self.sign_in.by == SignInStyle::NpmWeb || self.step_up == Some(StepUpStyle::NpmOtp)
    }

    /// Whether somebody does this by a request that names its package in the body.
    pub fn is_named_in_body(&self, action: &str) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| {
            rule.body.is_some() && matches!(&rule.access, Access::Gated(one) if one == action)
        })
    }

    /// Whether whoever does this says to which package, in the path or in the body, by whichever request.
    pub fn names_packages(&self, action: &str) -> bool {
        let is_of_it = |access: &Access| matches!(access, Access::Gated(one) if one == action);
        let names_one = |path: &Template| path.names().any(|name| name == "package");
        let by_rule = |rule: &Rule| rule.body.is_some() || rule.paths.iter().all(names_one);
        let mut rules = self.rules.iter().filter(|rule| is_of_it(&rule.access));
        !is_of_it(&self.read) && !is_of_it(&self.write) && rules.all(by_rule)
    }

    /// What it has answered here, each once.
    pub fn answers(&self) -> BTreeSet<Answer> {
        let rules = self.rules.iter().map(|rule| &rule.access);
        rules
            .filter_map(|access| match access {
                Access::Ours(answer) => Some(*answer),
                Access::Open | Access::Gated(_) | Access::Refused(_) => None,
            })
            .collect()
    }
}

impl Rule {
    /// What lets anybody in fits to the letter. What stops somebody also fits what a server behind may take for the same:
    /// many tell no capital letters from small ones, and pass over a slash at the end.
    fn fit(&self, method: &str, target: &Target<'_>) -> Option<Captured> {
        if !self.is_of(method) {
            return None;
        }
        let how = match self.access {
            Access::Open => Fit::ToTheLetter,
            Access::Gated(_) | Access::Ours(_) | Access::Refused(_) => Fit::Roughly,
        };
        let mut paths = self.paths.iter();
        paths.find_map(|path| path.fit(target.segments(), how))
    }

    /// A HEAD is a GET without its body (RFC 9110 9.3.2).
    fn is_of(&self, method: &str) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        let methods = self.methods.as_ref();
        methods.is_none_or(|methods| methods.contains(method))
    }

    /// Whether each request that the other fits, this one does.
    fn covers(&self, other: &Self) -> bool {
        let by_method = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => theirs.is_subset(mine),
        };
        let by_path = |path: &Template| self.paths.iter().any(|mine| mine.covers(path));
        by_method && other.paths.iter().all(by_path)
    }
}

/// RFC 9110 9.2.1: what changes nothing. TRACE is let through nowhere.
fn is_read(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// A method is one word in capital letters. A server behind might take `put` for `PUT`, and we did not; TRACE would
/// show credentials, and CONNECT is a proxy's.
fn is_method(method: &str) -> bool {
    (1..=20).contains(&method.len())
        && method.bytes().all(|byte| byte.is_ascii_uppercase())
        && !matches!(method, "TRACE" | "CONNECT")
}
