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

/// Whether the expression answers nothing but true or false, and `true` only of a login that it knows
/// something of.
pub(super) fn run(
    expression: &Expression,
    recorded: &[Map<String, Value>],
) -> Result<(), ExpressionError> {
    let users = users();
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
    check_ignorance(expression, users)
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
fn check_ignorance(expression: &Expression, users: Vec<User>) -> Result<(), ExpressionError> {
    let null = |name: &String| (name.clone(), Value::Null);
    let nulls: Map<String, Value> = expression.claims().iter().map(null).collect();
    let users = users.into_iter().chain(named_users(expression));
    for user in users {
        for (claims, how) in [
            (&Map::new(), "no claim is there"),
            (&nulls, "every claim is null"),
        ] {
            if let Outcome::Answer(true) = expression.outcome(claims, &user) {
                return Err(ExpressionError::new(
                    0,
                    format!("is true of a login of which nothing is known: {how}"),
                ));
            }
        }
    }
    Ok(())
}

fn with(login: &Map<String, Value>, name: &str, value: Option<Value>) -> Map<String, Value> {
    let mut login = login.clone();
    login.remove(name);
    login.extend(value.map(|value| (name.to_owned(), value)));
    login
}

/// Every kind of login that `user` can describe.
fn users() -> Vec<User> {
    let tenants = [None, TenantId::new(TenantId::CONSUMERS).ok()];
    let provider = ProviderId::new("provider").ok();
    let somebody = provider.into_iter().map(|provider| User {
        provider,
        tenant: None,
        guest: None,
        email_verified: false,
    });
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
fn named_users(expression: &Expression) -> Vec<User> {
    let named = |text: &String| {
        let tenant = TenantId::new(text.as_str()).ok();
        let provider = ProviderId::new(text.as_str()).ok();
        users().into_iter().map(move |user| User {
            tenant: tenant.clone().or(user.tenant),
            provider: provider.clone().unwrap_or(user.provider),
            ..user
        })
    };
    expression.0.literals.iter().flat_map(named).collect()
}
