//! What a policy's `when` proves: an expression in CEL over the claims of one verified login.
//!
//! The names are those of Kubernetes' authentication rules: `claims`, as the provider sent
//! them, and `user`, what Countersign itself knows of the login.
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/>
//! <https://github.com/google/cel-spec/blob/master/doc/langdef.md>
//!
//! An expression is written by an operator and fed by a stranger. So it is checked three times before
//! it decides anything: its form by `grammar`, its names by `names`, what it answers by
//! [`Expression::trial`]. What it costs is bounded by its length and depth and by the size of the claims.
//! Whatever goes wrong while it is evaluated is [`Undecided`], and undecided proves nothing.

mod grammar;
mod names;
mod personal;
mod tree;
mod trial;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, IdedExpr,
    common::{types::CelBool, value::CowVal},
    extractors::This,
    objects::Value as CelValue,
};
use regex::Regex;
use serde_json::{Map, Value};
use thiserror::Error;

pub use trial::Weak;

use crate::{Claim, Claims, Login, Membership, ProviderId, TenantId};

/// The longest expression, in bytes.
pub const MAX_BYTES: usize = 1024;
/// The most that the claims which are kept of one login may take, in bytes of JSON, and the most text in those
/// that an expression looks at.
pub const MAX_CLAIMS_BYTES: usize = 16 * 1024;

/// The claims that every [`Claims`] has a member for: they need not be kept for an expression.
const ALWAYS_KEPT: [&str; 5] = [
    "acr",
    "amr",
    "acrs",
    "two_factor_authentication",
    "auth_time",
];

/// A checked expression. Cheap to clone; equal to another of the same text.
#[derive(Clone)]
pub struct Expression(Arc<Checked>);

struct Checked {
    text: String,
    program: IdedExpr,
    claims: BTreeSet<String>,
    reads_user: bool,
    literals: BTreeSet<String>,
    patterns: Patterns,
}

/// The patterns of `matches`, compiled once, by their text.
type Patterns = Arc<BTreeMap<String, Regex>>;

impl Expression {
    /// Reads an expression, or says what is wrong with it and where.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_BYTES {
            return Err(ExpressionError::new(
                MAX_BYTES,
                format!(
                    "expected at most {MAX_BYTES} bytes, found {}; what needs more belongs in the provider",
                    text.len()
                ),
            ));
        }
        let tree = grammar::read(text)?;
        let names = names::check(&tree)?;
        Ok(Self(Arc::new(Checked {
            text: text.to_owned(),
            program: tree.program(),
            claims: names.claims,
            reads_user: names.reads_user,
            literals: names.literals,
            patterns: Arc::new(names.patterns),
        })))
    }

    /// The claims that it names, at least one.
    pub fn claims(&self) -> &BTreeSet<String> {
        &self.0.claims
    }

    /// Those of them that are kept for expressions alone, in [`Claims::other`].
    pub fn other_claims(&self) -> impl Iterator<Item = &str> {
        let names = self.0.claims.iter().map(String::as_str);
        names.filter(|name| !ALWAYS_KEPT.contains(name))
    }

    /// The texts that it compares claims with.
    pub(crate) fn literals(&self) -> &BTreeSet<String> {
        &self.0.literals
    }

    /// What it says of this login: nothing where it names a claim that was sent and could not be kept, which
    /// must not look absent to it.
    pub fn of(&self, login: &Login) -> Result<bool, Undecided> {
        if !self.0.claims.is_disjoint(&login.claims.unreadable) {
            return Err(Undecided);
        }
        self.evaluate(&visible(&login.claims), &User::from(login))
    }

    /// What it says of a login with these claims; [`visible`] gives them.
    pub fn evaluate(&self, claims: &Map<String, Value>, user: &User) -> Result<bool, Undecided> {
        match self.outcome(claims, user) {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::NotBoolean(_) | Outcome::Undecided => Err(Undecided),
        }
    }

    /// Tries it on logins that the provider's recordings show, and on what else can come: each claim that
    /// it names absent or of another type. It must never answer anything but true or false, nor say
    /// `true` of a login of which nothing is known, or of one that is known to prove too little.
    pub fn trial(
        &self,
        recorded: &[Map<String, Value>],
        weak: &[Weak],
    ) -> Result<(), ExpressionError> {
        trial::run(self, recorded, weak)
    }

    fn outcome(&self, claims: &Map<String, Value>, user: &User) -> Outcome {
        let named = self.0.claims.iter();
        let named = named.filter_map(|name| claims.get_key_value(name));
        let Some(claims) = value::claims(named) else {
            return Outcome::Undecided;
        };
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.add_variable_as_val("claims", Box::new(claims));
        context.add_variable_as_val("user", Box::new(value::user(user)));
        if declare_matches(&mut context, &self.0.patterns).is_err() {
            return Outcome::Undecided;
        }
        match CelValue::resolve_val(&self.0.program, &context) {
            Ok(answer) => Outcome::of(&answer),
            Err(_) => Outcome::Undecided,
        }
    }
}

/// CEL's own functions. What an expression may use of them is listed in [`names`].
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// `text.matches('pattern')`, with the patterns that were compiled when the expression was read.
fn declare_matches(
    context: &mut Context<'_, '_>,
    patterns: &Patterns,
) -> Result<(), cel::DeclarationError> {
    if patterns.is_empty() {
        return Ok(());
    }
    let patterns = patterns.clone();
    context.add_function(
        "matches",
        move |This(text): This<Arc<String>>, pattern: Arc<String>| {
            let pattern = patterns.get(pattern.as_str());
            let pattern = pattern.ok_or_else(|| ExecutionError::undeclared_reference("pattern"));
            pattern.map(|pattern| pattern.is_match(&text))
        },
    )
}

/// What evaluating it once came to.
enum Outcome {
    Answer(bool),
    /// Something else than true or false, by the name of its type.
    NotBoolean(String),
    Undecided,
}

impl Outcome {
    fn of(answer: &CowVal<'_, '_>) -> Self {
        match answer.downcast_ref::<CelBool>() {
            Some(answer) => Self::Answer(*answer.inner()),
            None => Self::NotBoolean(answer.get_type().name().to_owned()),
        }
    }
}

/// The map that an expression sees as `claims`: what can be read of the five, and what was kept besides.
pub fn visible(claims: &Claims) -> Map<String, Value> {
    let mut map: Map<String, Value> = claims.other.clone().into_iter().collect();
    let Claims {
        acr,
        amr,
        acrs,
        two_factor_authentication,
        auth_time,
        other: _,
        unreadable: _,
    } = claims;
    let five = [
        acr.value().map(|acr| Value::from(acr.clone())),
        amr.value().map(|amr| Value::from(amr.clone())),
        acrs.value().map(|acrs| Value::from(acrs.clone())),
        two_factor_authentication.value().map(|flag| (*flag).into()),
        auth_time.value().map(|time| time.as_second().into()),
    ];
    for (name, value) in ALWAYS_KEPT.into_iter().zip(five) {
        // What is malformed or contradictory among the five is not there, whatever was kept.
        map.remove(name);
        map.extend(value.map(|value| (name.to_owned(), value)));
    }
    map
}

/// Of what a provider sent, what expressions name and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// What it sent.
    pub other: BTreeMap<String, Value>,
    /// The names of what it sent that could not be kept: contradictory, or all of it where it is too much.
    pub unreadable: BTreeSet<String>,
}

/// Keeps of what a provider sent what expressions name; of too much no value, and every name.
pub fn kept<'a>(names: &BTreeSet<String>, claim: impl Fn(&str) -> Claim<&'a Value>) -> Kept {
    let names = names.iter().map(String::as_str);
    let names = names.filter(|name| !ALWAYS_KEPT.contains(name) && !personal::is_personal(name));
    let (mut kept, mut unreadable) = (Map::new(), BTreeSet::new());
    for name in names {
        match claim(name) {
            Claim::Absent => {}
            Claim::Malformed | Claim::Contradictory => {
                unreadable.insert(name.to_owned());
            }
            Claim::Value(value) => {
                kept.insert(name.to_owned(), value.clone());
            }
        }
    }
    // A part of them could say what the whole does not.
    if !fits(&kept) {
        unreadable.extend(std::mem::take(&mut kept).into_iter().map(|(name, _)| name));
    }
    Kept {
        other: kept.into_iter().collect(),
        unreadable,
    }
}

/// What Countersign itself knows of a login: `user` in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `user.provider`: its name in the configuration.
    pub provider: ProviderId,
    /// `user.tenant`: the Entra tenant; absent at other providers.
    pub tenant: Option<TenantId>,
    /// `user.guest`: whether the person is a guest in that tenant; absent where that is not known.
    pub guest: Option<bool>,
    /// `user.email_verified`: whether the provider is one whose word on the address counts, and it gave it.
    pub email_verified: bool,
}

impl From<&Login> for User {
    fn from(login: &Login) -> Self {
        let membership = login.membership.value();
        Self {
            provider: login.provider.clone(),
            tenant: login.tenant.clone(),
            guest: membership.map(|membership| *membership == Membership::Guest),
            email_verified: login.email_verified,
        }
    }
}

/// An expression could not say: a claim is absent or of another type than it expects, or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the expression can't decide on these claims")]
pub struct Undecided;

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What was expected and what was found.
    pub message: String,
    /// Where, in bytes from the beginning of the expression.
    pub offset: usize,
}

impl ExpressionError {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            offset,
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.text).finish()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Expression {}

/// Whether claims are within [`MAX_CLAIMS_BYTES`]: counted, not written.
fn fits(claims: &Map<String, Value>) -> bool {
    struct Room(usize);
    impl std::io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Room(MAX_CLAIMS_BYTES), claims).is_ok()
}

#[cfg(test)]
mod tests;
