//! Tries an expression before it decides about anybody.

use serde_json::{Map, Value, json};

use super::{Expression, ExpressionError, Outcome, User};
use crate::{ProviderId, TenantId};

/// What a claim holds in a trial: something of every type.
fn kinds() -> [(&'static str, Option<Value>); 8] {
    [
        ("is absent", None),
        ("is null", Some(Value::Null)),
        ("is a boolean", Some(Value::Bool(true))),
        ("is a number", Some(json!(1))),
        ("is a fraction", Some(json!(0.5))),
        ("is text", Some(json!("text"))),
        ("is a list", Some(json!(["text"]))),
        ("is a map", Some(json!({"text": "text"}))),
    ]
}

/// A login that is known to prove too little.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weak {
    /// Its claims, as an expression sees them.
    pub claims: Map<String, Value>,
    /// Which login it is, and why it proves too little: after “is true”.
    pub which: String,
}

/// Whether the expression answers nothing but true or false, and `true` only of a login that it knows
/// something of, and nothing weak.
pub(super) fn run(
    expression: &Expression,
    recorded: &[Map<String, Value>],
    weak: &[Weak],
) -> Result<(), ExpressionError> {
    let users = users(expression);
    let nothing = Map::new();
    let recorded = recorded.iter().map(|login| (login, "as recorded"));
    for (login, when) in recorded.chain([(&nothing, "where no claim is there")]) {
        for user in &users {
            check_type(expression, login, user, when)?;
        }
        for name in expression.claims() {
            for (kind, value) in kinds() {
                let login = with(login, name, value);
                let when = format!("where `{name}` {kind}");
                for user in &users {
                    check_type(expression, &login, user, &when)?;
                }
            }
        }
    }
    let named = named_users(expression, &users);
    let users: Vec<User> = users.into_iter().chain(named).collect();
    check_ignorance(expression, &users)?;
    weak.iter()
        .try_for_each(|weak| check_weak(expression, weak, &users))
}

fn check_type(
    expression: &Expression,
    claims: &Map<String, Value>,
    user: &User,
    when: &str,
) -> Result<(), ExpressionError> {
    match expression.outcome(claims, user) {
        Outcome::Answer(_) | Outcome::Undecided => Ok(()),
        Outcome::NotBoolean(kind) => Err(ExpressionError::new(
            0,
            format!(
                "expected an answer of true or false, found {} {when}; compare it, as in `== true`",
                in_words(&kind)
            ),
        )),
    }
}

/// A type of CEL's, as these files call it.
fn in_words(kind: &str) -> &str {
    match kind {
        "null_type" => "null",
        "string" => "text",
        "int" | "uint" => "a whole number",
        "double" => "a fraction",
        "list" => "a list",
        "map" => "a map",
        other => other,
    }
}

/// Says `true` where no claim is there, or every claim is null: that proves nothing.
fn check_ignorance(expression: &Expression, users: &[User]) -> Result<(), ExpressionError> {
    let nothing = (Map::new(), "no claim is there");
    for (claims, how) in [nothing, (nulls(expression), "every claim is null")] {
        if is_true_of_any(expression, &claims, users) {
            return Err(ExpressionError::new(
                0,
                format!("is true of a login of which nothing is known: {how}"),
            ));
        }
    }
    Ok(())
}

/// Says `true` of a login that proves too little, with nothing beside it or nothing that mends it.
fn check_weak(expression: &Expression, weak: &Weak, users: &[User]) -> Result<(), ExpressionError> {
    let mut bare = weak.claims.clone();
    bare.retain(|name, _| expression.claims().contains(name));
    if bare.is_empty() {
        return Ok(()); // It would see nothing, which has been tried.
    }
    let beside = |mut more: Map<String, Value>| {
        more.extend(bare.clone());
        more
    };
    let in_time = Map::from_iter([("auth_time".to_owned(), json!(1_800_000_000))]);
    for (claims, how) in [
        (bare.clone(), ""),
        (beside(nulls(expression)), " (every other claim null)"),
        (beside(in_time), " (beside an `auth_time`)"),
    ] {
        if is_true_of_any(expression, &claims, users) {
            return Err(ExpressionError::new(
                0,
                format!("is true {}{how}", weak.which),
            ));
        }
    }
    Ok(())
}

fn is_true_of_any(expression: &Expression, claims: &Map<String, Value>, users: &[User]) -> bool {
    let is_true = |user| matches!(expression.outcome(claims, user), Outcome::Answer(true));
    users.iter().any(is_true)
}

fn nulls(expression: &Expression) -> Map<String, Value> {
    let null = |name: &String| (name.clone(), Value::Null);
    expression.claims().iter().map(null).collect()
}

fn with(login: &Map<String, Value>, name: &str, value: Option<Value>) -> Map<String, Value> {
    let mut login = login.clone();
    login.remove(name);
    login.extend(value.map(|value| (name.to_owned(), value)));
    login
}

/// Every kind of login that `user` can describe; any one where the expression does not read it.
fn users(expression: &Expression) -> Vec<User> {
    let tenants = [None, TenantId::new(TenantId::CONSUMERS).ok()];
    let provider = ProviderId::new("provider").ok();
    let somebody = provider.into_iter().map(|provider| User {
        provider,
        tenant: None,
        guest: None,
        email_verified: false,
    });
    if !expression.0.reads_user {
        return somebody.collect();
    }
    somebody
        .flat_map(|user| {
            tenants.clone().map(|tenant| User {
                tenant,
                ..user.clone()
            })
        })
        .flat_map(|user| {
            [None, Some(false), Some(true)].map(|guest| User {
                guest,
                ..user.clone()
            })
        })
        .flat_map(|user| {
            [false, true].map(|email_verified| User {
                email_verified,
                ..user.clone()
            })
        })
        .collect()
}

/// Logins of a tenant or at a provider that the expression itself names.
fn named_users(expression: &Expression, users: &[User]) -> Vec<User> {
    if !expression.0.reads_user {
        return Vec::new();
    }
    let named = |text: &String| {
        let tenant = TenantId::new(text.as_str()).ok();
        let provider = ProviderId::new(text.as_str()).ok();
        users.iter().cloned().map(move |user| User {
            tenant: tenant.clone().or(user.tenant),
            provider: provider.clone().unwrap_or(user.provider),
            ..user
        })
    };
    expression.0.literals.iter().flat_map(named).collect()
}
