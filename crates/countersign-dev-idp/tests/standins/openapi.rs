//! REST bodies against GitHub's own OpenAPI description (a subset of it, in `tests-data`).
//!
//! The checker knows what those schemas use: types, `nullable`, `required`, `properties`,
//! `additionalProperties: false`, and the formats that a wrong body would break.

use countersign_dev_idp::{Document, Edit};
use serde_json::{Map, Value, json};

use crate::support::{Party, Read};

const DESCRIPTION: &str = include_str!("../../tests-data/github-openapi-subset.json");

/// What is wrong with a body, each as `path: what`.
fn problems(schema: &str, body: &Value) -> Vec<String> {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let schema = &description["components"]["schemas"][schema];
    assert!(schema.is_object(), "no such schema");
    let mut found = Vec::new();
    check(schema, body, "$", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    for word in schema.as_object().unwrap().keys() {
        let known = [
            "type",
            "format",
            "nullable",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "title",
            "description",
            "example",
        ];
        assert!(
            known.contains(&word.as_str()),
            "the checker doesn't know `{word}`"
        );
    }
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let fits = match schema["type"].as_str().unwrap() {
        "object" => value.is_object(),
        "string" => value.as_str().is_some_and(|text| has_format(schema, text)),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("the checker doesn't know the type `{other}`"),
    };
    if !fits {
        found.push(format!("{path}: {value} is no {}", schema["type"]));
    } else if let Value::Object(members) = value {
        check_members(schema, members, path, found);
    }
}

fn check_members(
    schema: &Value,
    members: &Map<String, Value>,
    path: &str,
    found: &mut Vec<String>,
) {
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            found.push(format!("{path}: {name} is missing"));
        }
    }
    for (name, value) in members {
        match schema["properties"].get(name) {
            Some(schema) => check(schema, value, &format!("{path}.{name}"), found),
            None if schema["additionalProperties"] == false => {
                found.push(format!("{path}: `{name}` is not known"));
            }
            None => {}
        }
    }
}

fn has_format(schema: &Value, text: &str) -> bool {
    match schema["format"].as_str() {
        Some("uri") => url::Url::parse(text).is_ok(),
        Some("email") => text.contains('@'),
        Some("date-time") => text.len() == 20 && text.ends_with('Z'),
        _ => true,
    }
}

async fn body(party: &Party, path: &str, account: &str) -> Value {
    let more = [("account", account), ("scope", "read:user user:email")];
    let code = party.answer("/login/oauth/authorize", &more).await["code"].clone();
    let token = party
        .redeem("/login/oauth/access_token", &code, &[])
        .await
        .json_value()
        .await;
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("user-agent", "test")];
    party.fetch_with(path, &headers).await.json_value().await
}

#[tokio::test]
async fn a_user_with_the_scope_is_a_private_user() {
    let party = Party::github().await;
    for account in ["ann-mfa", "bob-password", "zoe-managed"] {
        let user = body(&party, "/api/v3/user", account).await;
        assert_eq!(problems("private-user", &user), [""; 0]);
        assert!(!problems("public-user", &user).is_empty());
    }
}

#[tokio::test]
async fn a_user_without_the_scope_is_a_public_user() {
    let party = Party::github().await;
    let user = body(&party, "/api/v3/user", "nils-narrow").await;
    assert_eq!(problems("public-user", &user), [""; 0]);
    assert!(!problems("private-user", &user).is_empty());
}

#[tokio::test]
async fn a_user_whose_flag_is_absent_breaks_the_description_there_alone() {
    let party = Party::github().await;
    let user = body(&party, "/api/v3/user", "abe-absent").await;
    assert_eq!(
        problems("private-user", &user),
        [r#"$: "two_factor_authentication" is missing"#]
    );
}

#[tokio::test]
async fn emails_and_errors_are_as_described() {
    let party = Party::github().await;
    let emails = body(&party, "/api/v3/user/emails", "ann-mfa").await;
    for email in emails.as_array().unwrap() {
        assert_eq!(problems("email", email), [""; 0]);
    }
    let error = party
        .fetch_with("/api/v3/user", &[("user-agent", "test")])
        .await
        .json_value()
        .await;
    assert_eq!(problems("basic-error", &error), [""; 0]);
}

#[tokio::test]
async fn an_edited_body_is_found_out() {
    let party = Party::github().await;
    party.idp.control().set(|b| {
        let edits = vec![Edit::set("id", "1001"), Edit::remove("login")];
        b.edits.insert(Document::User, edits);
    });
    let user = body(&party, "/api/v3/user", "ann-mfa").await;
    assert_eq!(
        problems("private-user", &user),
        [
            r#"$: "login" is missing"#,
            r#"$.id: "1001" is no "integer""#
        ]
    );
    assert_eq!(user["id"], json!("1001"));
}
