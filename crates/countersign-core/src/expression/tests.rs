use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::policy::weak_logins;
use crate::{Claim, Level};

/// `ok`, or what is wrong and where.
fn reading(text: &str) -> String {
    match Expression::parse(text) {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{}: {error}", error.offset),
    }
}

fn check(text: &str, expected: &str) {
    assert_eq!(reading(text), expected, "`{text}`");
}

fn check_all(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        check(text, expected);
    }
}

fn claims(json: &Value) -> Map<String, Value> {
    json.as_object().unwrap().clone()
}

fn somebody() -> User {
    User {
        provider: ProviderId::new("own-idp").unwrap(),
        tenant: None,
        guest: None,
        email_verified: false,
    }
}

/// `yes`, `no`, or `undecided`.
fn answer_for(text: &str, login: &Value, user: &User) -> &'static str {
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
    match expression.evaluate(&claims(login), user) {
        Ok(true) => "yes",
        Ok(false) => "no",
        Err(Undecided) => "undecided",
    }
}

fn answer(text: &str, login: &Value) -> &'static str {
    answer_for(text, login, &somebody())
}

/// `ok`, or what the trial finds.
fn trial(text: &str) -> String {
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
    let recorded = claims(&json!({"acr": "gold", "amr": ["pwd", "otp"]}));
    match expression.trial(&[recorded], &weak_logins(Level::Mfa, None)) {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_operators_write_is_read_as_cel_reads_it() {
    for text in [
        r#"claims.acr in ["gold"] && "otp" in claims.amr"#,
        r#"claims["https://registry.example/mfa"] == true"#,
        r"claims.acr.matches(r'^urn:example:(mfa|phr)$')",
        "has(claims.mfa) && claims.mfa == true",
        r#"claims.amr.exists(method, method == "otp" || method.startsWith("hw"))"#,
        r#"size(claims.amr.filter(m, m in ["pwd", "otp", "hwk"])) >= 2"#,
        "claims.amr.size() > 1 ? claims.acr == 'gold' : false",
        "user.provider == 'okta' && user.tenant != '' && !user.guest && user.email_verified && claims.x == 1",
        "claims.auth_time + 300 > claims.mfa_time",
        "\n  claims.acr == 'gold'\n  || claims.acr == 'silver'\n",
        "claims.level >= 2.5e0 || -claims.level < -1",
        r#""mfa" in claims && claims["mfa"] == "done""#,
        "claims.nested.deep[0]['key'] == 'é'",
        "int(claims.loa) >= 3",
        "claims.a || claims.b || claims.c || claims.d && claims.e && claims.f || claims.g",
        "claims.a - 1 - -1 * 2 / - 3 % -(4) == -9223372036854775808",
        "claims.a ? (claims.b ? 1 : 2) : claims.c ? 3 : 4",
        "!claims.a.b.exists_one(x, !(x in [[], [1, 'a\\\\\\'\\n', r'\\d']]))",
        "claims.package == claims.r",
    ] {
        let expression =
            Expression::parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
        assert_eq!(
            as_read(&expression.0.program),
            as_cel_reads(text),
            "`{text}`"
        );
    }
}

#[test]
fn what_is_no_expression_is_told_with_its_place() {
    check_all(&[
        ("", "0: expected a value, found the end"),
        ("claims.acr ==", "13: expected a value, found the end"),
        (
            "claims.acr = 'x'",
            "11: expected a value or an operator, found `=`",
        ),
        (
            "claims.acr == 'x",
            "14: expected text that ends on its line, in the quote that it begins with",
        ),
        (
            "claims.acr == \"x\n\"",
            "14: expected text that ends on its line, in the quote that it begins with",
        ),
        (
            "claims.acr == 'x' claims",
            "18: expected an operator or the end, found `claims`",
        ),
        (
            "claims.acr in ['x' 'y']",
            "19: expected `,` or `]`, found `'y'`",
        ),
        ("(claims.acr == 'x'", "18: expected `)`, found the end"),
        (
            "claims.a < claims.b < claims.c",
            "20: expected one comparison at a time, found `<`",
        ),
        ("!!claims.a", "1: expected `!` or `-` only once, found `!`"),
        ("claims.a ? 1", "12: expected `:`, found the end"),
        (
            "claims.",
            "7: expected a name; one that is no word is written `claims[\"…\"]`, found the end",
        ),
        (
            "claims.`a`",
            "7: expected a value or an operator, found ```",
        ),
        (
            "claims.acr == 1x",
            "14: expected a number such as `15` or `0.5`",
        ),
        (
            "claims.acr == 0x1f",
            "14: expected a number such as `15` or `0.5`",
        ),
        (
            "claims.acr == 1.",
            "14: expected a number such as `15` or `0.5`",
        ),
        (
            "claims.acr == '\\q'",
            "15: expected `\\\\`, `\\\"`, `\\'`, `\\n` or `\\t`; a pattern is best written r'…', where `\\` is itself",
        ),
        (
            "claims.acr == '''x'''",
            "16: expected an operator or the end, found `'x'`",
        ),
        (
            "claims.acr == b'x'",
            "15: expected an operator or the end, found `'x'`",
        ),
        (
            "claims.acr == {'a': 1}",
            "14: expected a value or an operator, found `{`",
        ),
        (
            "claims.acr == 'x' // mfa",
            "19: expected a value, found `/`",
        ),
        (
            "claims.?acr == 'x'",
            "7: expected a name; one that is no word is written `claims[\"…\"]`, found `?`",
        ),
        ("for == claims.acr", "0: expected a value, found `for`"),
        (".claims.acr == 1", "0: expected a value, found `.`"),
        (
            "claims.acr == \u{a0}'x'",
            "14: expected a value or an operator, found `\\u{a0}`",
        ),
        (
            "'é' == claims.acr @",
            "19: expected a value or an operator, found `@`",
        ),
        (
            "claims.a == 9223372036854775808",
            "12: expected a number of 64 bits, found `9223372036854775808`",
        ),
        (
            "claims.a == -9223372036854775809",
            "13: expected a number of 64 bits, found `9223372036854775809`",
        ),
        (
            "'é' == claims.a || claims.a == 1e999",
            "32: expected a number of 64 bits, found `1e999`",
        ),
    ]);
}

#[test]
fn a_name_that_is_not_known_is_told_with_its_place() {
    check_all(&[
        (
            "claim.acr == 'x'",
            "0: `claim` is not known; did you mean `claims`? (known are `claims` and `user`; text stands in quotes)",
        ),
        (
            "claims.acr == gold",
            "14: `gold` is not known (known are `claims` and `user`; text stands in quotes)",
        ),
        (
            "'é' == claims.acr || user.tennant == 'x'",
            "27: `user.tennant` is not known; did you mean `tenant`? (known are `user.provider`, `user.tenant`, `user.guest`, `user.email_verified`)",
        ),
        (
            "user['name'] == claims.acr",
            "5: `user.name` is not known (known are `user.provider`, `user.tenant`, `user.guest`, `user.email_verified`)",
        ),
        (
            "user == claims.acr",
            "0: expected one of `user.provider`, `user.tenant`, `user.guest`, `user.email_verified`",
        ),
        (
            "claims.acr.startswith('x')",
            "11: the function `startswith` is not known; did you mean `startsWith`? (known are `has`, `size`, `startsWith`, `endsWith`, `contains`, `matches`, `exists`, `all`, `exists_one`, `filter`, `int`, `double`, `string`, `bool`)",
        ),
        (
            "claims.amr.exists(m, x == 'otp')",
            "21: `x` is not known; did you mean `m`? (known are `claims` and `user`; text stands in quotes)",
        ),
        (
            "claims.amr.exists(m, m == 'a') && m == 'b'",
            "34: `m` is not known (known are `claims` and `user`; text stands in quotes)",
        ),
    ]);
    for name in [
        "now()",
        "timestamp('x')",
        "duration('1s')",
        "type(1)",
        "dyn(1)",
        "uint(1)",
        "bytes('x')",
        "optional.none()",
        "[1].map(x, x)",
        "'a'.lowerAscii()",
    ] {
        let found = reading(&format!("claims.acr == {name}"));
        assert!(found.contains(" is not known"), "{name}: {found}");
    }
}

#[test]
fn a_function_that_is_written_in_another_way_shows_its_form() {
    check_all(&[
        (
            "matches(claims.acr, 'x')",
            "0: `matches` is written `text.matches(r'…')`",
        ),
        (
            "claims.amr.exists(m)",
            "11: `exists` is written `list.exists(item, …)`",
        ),
        ("claims.acr.has()", "11: `has` is written `has(claims.acr)`"),
        (
            "has(claims['acr'])",
            "10: expected a member, as in `has(claims.acr)`; one whose name is no word is written `\"…\" in claims`",
        ),
        (
            "claims.amr.filter(m, m == 'otp') == ['otp']",
            "11: `filter` is written `size(list.filter(item, …))`",
        ),
        ("int(claims.a, 1) == 1", "0: `int` is written `int(value)`"),
    ]);
}

#[test]
fn claims_are_named_one_by_one() {
    let whole = "expected one claim by its name, as in `claims.acr` or `claims[\"acr\"]`, found all of them";
    check("claims == claims", &format!("0: {whole}"));
    check("size(claims) > 3", &format!("5: {whole}"));
    check("claims.exists(c, c == 'acr')", &format!("0: {whole}"));
    check("claims.acr in claims", &format!("14: {whole}"));
    check(
        "claims[claims.which] == 'x'",
        "14: expected a name in quotes, as in `claims[\"…\"]`: which are read must be known beforehand",
    );
    check(
        "user[claims.which] == 'x'",
        "12: expected a name in quotes, as in `user[\"…\"]`: which are read must be known beforehand",
    );
    check(
        "user.email_verified",
        "0: expected at least one claim, as in `claims.acr`: without one it says nothing of the login",
    );
}

#[test]
fn the_claims_that_it_reads_are_collected() {
    let text = r#"claims.acr == "a" && claims["x:mfa"] == true && "y" in claims && has(claims.z.inner) && user.guest"#;
    let expression = Expression::parse(text).unwrap();
    let claims: Vec<&str> = expression.claims().iter().map(String::as_str).collect();
    assert_eq!(claims, ["acr", "x:mfa", "y", "z"]);
    let other: Vec<&str> = expression.other_claims().collect();
    assert_eq!(other, ["x:mfa", "y", "z"]);
}

#[test]
fn what_is_done_for_each_item_stays_small() {
    check_all(&[
        (
            "claims.a.exists(x, claims.b.all(y, y == x))",
            "28: expected no `exists`, `all` or `filter` within another",
        ),
        (
            "claims.a.exists(x, size(claims.b.filter(y, y == x)) > 1)",
            "33: expected no `exists`, `all` or `filter` within another",
        ),
        (
            "claims.a.exists(x, x in claims.b)",
            "31: expected `x`, `user` or what stands here, found a claim: each item would go through it",
        ),
        ("claims.a.exists(x, x + 1 == 2 || x == user.provider)", "ok"),
        (
            "claims.a.exists(claims, claims == 1)",
            "16: expected a new name for each item, such as `item`",
        ),
        (
            "claims.a.exists(user, user == 1)",
            "16: expected a new name for each item, such as `item`",
        ),
        (
            "claims.a.exists(x.y, x == 1)",
            "18: expected a new name for each item, such as `item`",
        ),
        (
            "claims.a.exists(x, x == 1) && claims.b.all(x, x == 2)",
            "ok",
        ),
    ]);
}

#[test]
fn a_pattern_is_known_beforehand_and_small() {
    check_all(&[
        (
            "claims.acr.matches(claims.pattern)",
            "26: expected a pattern in quotes, as in `matches(r'^urn:')`",
        ),
        (
            "claims.acr.matches('a' + 'b')",
            "23: expected a pattern in quotes, as in `matches(r'^urn:')`",
        ),
        (
            "claims.acr.matches('(')",
            "19: expected a regular expression: unclosed group",
        ),
        (
            r"claims.acr.matches(r'(\w)\1')",
            "19: expected a regular expression: backreferences are not supported",
        ),
        (
            r"claims.acr.matches(r'(\w{90}){90}')",
            "19: expected a smaller pattern; repeat less, or name fewer kinds of letters",
        ),
    ]);
}

#[test]
fn personal_data_is_no_proof() {
    for name in [
        "sub",
        "name",
        "given_name",
        "email",
        "phone_number",
        "address",
        "birthdate",
        "picture",
        "preferred_username",
        "nickname",
        "upn",
        "unique_name",
        "oid",
        "ipaddr",
        "Email",
        "UPN",
        "cognito:username",
        "https://registry.example/email",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    ] {
        let expected =
            format!("7: `{name}` is personal data, which is not kept and can't be a proof");
        check(&format!("claims[\"{name}\"] == 'x'"), &expected);
        check(
            &format!("\"{name}\" in claims"),
            &expected.replacen('7', "0", 1),
        );
    }
    check(
        "claims.realm.email == 'x'",
        "13: `email` is personal data, which is not kept and can't be a proof",
    );
    check(
        "claims.email_verified == true",
        "7: expected `user.email_verified`: a provider's own word counts only where it is trusted",
    );
    check("user.email_verified && claims.acr == 'x'", "ok");
    check(
        "claims.tid == 'x' || claims.groups == ['x'] || claims.hd == 'x'",
        "ok",
    );
}

/// Anybody can have a tenant, and define a context there.
#[test]
fn a_tenants_own_word_counts_only_for_a_tenant_that_is_named() {
    for text in [
        "\"c1\" in claims.acrs",
        "claims[\"acrs\"] == [\"c1\"]",
        "has(claims.acrs)",
        "\"acrs\" in claims",
    ] {
        let error = Expression::parse(text).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("is the word of one tenant's admin"),
            "{text}: {message}"
        );
    }
}

#[test]
fn a_claim_proves_what_it_says_and_an_absent_one_nothing() {
    let text = r#"claims.acr in ["gold"] && "otp" in claims.amr"#;
    for (login, expected) in [
        (json!({"acr": "gold", "amr": ["pwd", "otp"]}), "yes"),
        (json!({"acr": "gold", "amr": ["pwd"]}), "no"),
        (json!({"acr": "lead", "amr": ["otp"]}), "no"),
        (json!({"acr": "gold"}), "undecided"),
        (json!({"acr": "gold", "amr": "otp"}), "undecided"),
        (json!({"acr": "gold", "amr": null}), "undecided"),
        (json!({"acr": ["gold"], "amr": ["otp"]}), "no"),
        (json!({}), "undecided"),
    ] {
        assert_eq!(answer(text, &login), expected, "{login}");
    }
}

#[test]
fn every_function_does_what_it_says() {
    let login = json!({
        "acr": "urn:example:mfa", "amr": ["pwd", "otp"], "mfa": true, "loa": "3", "level": 2,
        "ratio": 0.5, "big": 18_446_744_073_709_551_615_u64, "map": {"a": [1, 2]}, "none": null,
    });
    for (text, expected) in [
        ("has(claims.mfa) && !has(claims.other)", "yes"),
        ("'mfa' in claims && !('other' in claims)", "yes"),
        ("size(claims.amr) == 2 && claims.acr.size() == 15", "yes"),
        (
            "claims.acr.startsWith('urn:') && claims.acr.endsWith('mfa')",
            "yes",
        ),
        ("claims.acr.contains('example')", "yes"),
        ("claims.acr.matches(r'^urn:[a-z]+:mfa$')", "yes"),
        ("claims.acr.matches('phr')", "no"),
        ("claims.level.matches('2')", "undecided"),
        ("claims.amr.exists(m, m == 'otp')", "yes"),
        ("claims.amr.all(m, m.size() == 3)", "yes"),
        ("claims.amr.exists_one(m, m == 'otp')", "yes"),
        ("claims.amr.exists(m, m.matches('^o'))", "yes"),
        (
            "size(claims.amr.filter(m, m in ['otp', 'hwk'])) == 1",
            "yes",
        ),
        ("claims.map.exists(key, key == 'a')", "yes"),
        ("int(claims.loa) >= 3", "yes"),
        ("int(claims.acr) >= 3", "undecided"),
        (
            "double(claims.level) == 2.0 && string(claims.level) == '2'",
            "yes",
        ),
        ("bool('true') == claims.mfa", "yes"),
        ("claims.level + 1 == 3 && claims.level % 2 == 0", "yes"),
        ("claims.level / 0 == 1", "undecided"),
        ("claims.level * 9223372036854775807 == 1", "undecided"),
        ("claims.ratio < 1 && claims.big > 1", "yes"),
        ("claims.map.a[1] == 2 && claims.map['a'] == [1, 2]", "yes"),
        ("claims.map.a[5] == 2", "undecided"),
        ("claims.none == null", "yes"),
        ("claims.other == 'x' || claims.mfa", "yes"),
        ("claims.mfa || claims.other == 'x'", "yes"),
        ("claims.mfa ? claims.level == 2 : false", "yes"),
        ("claims.acr", "undecided"),
        ("!claims.acr", "undecided"),
    ] {
        assert_eq!(answer(text, &login), expected, "{text}");
    }
}

#[test]
fn a_login_is_known_by_provider_tenant_guest_and_address() {
    let tenant = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";
    let guest = User {
        tenant: Some(TenantId::new(tenant).unwrap()),
        guest: Some(true),
        email_verified: true,
        ..somebody()
    };
    let is = |text: &str, user: &User| {
        answer_for(
            &format!("{text} && claims.acr == 'x'"),
            &json!({"acr": "x"}),
            user,
        )
    };
    for (text, for_somebody, for_guest) in [
        ("user.provider == 'own-idp'", "yes", "yes"),
        ("user.email_verified", "no", "yes"),
        ("user['guest']", "undecided", "yes"),
        ("has(user.guest) && !user.guest", "no", "no"),
        (
            "user.tenant == '6e93a626-8aca-4dc1-9191-ce291b4b75a1'",
            "undecided",
            "yes",
        ),
    ] {
        assert_eq!(is(text, &somebody()), for_somebody, "{text}");
        assert_eq!(is(text, &guest), for_guest, "{text}");
    }
}

#[test]
fn claims_that_are_too_much_decide_nothing() {
    let with = |other: Value| json!({"acr": "gold", "other": other});
    let other = "has(claims.other) && claims.acr == 'gold'";
    assert_eq!(
        answer(other, &with(json!("x".repeat(MAX_CLAIMS_BYTES - 40)))),
        "yes"
    );
    assert_eq!(
        answer(other, &with(json!("x".repeat(MAX_CLAIMS_BYTES)))),
        "undecided"
    );
    assert_eq!(
        answer(other, &with(json!(vec!["12345678"; 2100]))),
        "undecided"
    );
    assert_eq!(answer(other, &with(json!(vec![1; 1000]))), "yes");
    assert_eq!(answer(other, &with(json!(vec![1; 2000]))), "undecided");
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(answer(other, &with(nested(10))), "yes");
    assert_eq!(answer(other, &with(nested(100))), "undecided");
}

#[test]
fn a_trial_finds_what_answers_neither_true_nor_false() {
    for (text, expected) in [
        ("claims.acr == 'gold'", "ok"),
        ("has(claims.acr) && claims.acr == 'gold'", "ok"),
        (
            "claims.acr",
            "expected an answer of true or false, found text as recorded; compare it, as in `== true`",
        ),
        (
            "claims.mfa",
            "expected an answer of true or false, found null where `mfa` is null; compare it, as in `== true`",
        ),
        (
            "size(claims.amr)",
            "expected an answer of true or false, found a whole number as recorded; compare it, as in `== true`",
        ),
        (
            "has(claims.z) ? claims.z : claims.z == true",
            "expected an answer of true or false, found null where `z` is null; compare it, as in `== true`",
        ),
        ("['otp'] == claims.amr ? user.provider : false", "ok"),
    ] {
        assert_eq!(trial(text), expected, "{text}");
    }
}

#[test]
fn a_trial_finds_what_is_true_of_a_login_of_which_nothing_is_known() {
    let absent = "is true of a login of which nothing is known: no claim is there";
    let null = "is true of a login of which nothing is known: every claim is null";
    for (text, expected) in [
        ("!has(claims.weak)", absent),
        ("true || claims.acr == 'x'", absent),
        ("claims.acr == 'x' || user.email_verified", absent),
        ("claims.acr == 'x' || !user.guest", absent),
        ("claims.acr == 'x' || user.provider == 'okta'", absent),
        (
            "claims.acr == 'x' || user.tenant == '6e93a626-8aca-4dc1-9191-ce291b4b75a1'",
            absent,
        ),
        ("claims.acr != '0'", null),
        ("has(claims.mfa)", null),
        ("!(claims.acr in ['0', '1'])", null),
        ("has(claims.mfa) && claims.mfa != null", "ok"),
    ] {
        assert_eq!(trial(text), expected, "{text}");
    }
}

/// What `acr` and `amr` of a proof may not name, `when` may not count either.
#[test]
fn a_trial_finds_what_is_true_of_a_login_that_is_known_to_prove_nothing() {
    for (text, expected) in [
        (
            "claims.acr == '0'",
            "is true where `acr` is `0`, which proves no second factor: Keycloak sends it for a login from a \
             cookie, and OpenID Connect for one below every level",
        ),
        (
            "claims.acr.size() > 0 && claims.acr != '0'",
            "is true where `acr` is `urn:okta:loa:1fa:any`, which proves no second factor: it is Okta's name of \
             one factor",
        ),
        (
            "'pwd' in claims.amr",
            "is true where `amr` is `pwd`, which proves no second factor: a password is one factor",
        ),
        (
            "claims.amr.size() > 1",
            r#"is true where `amr` is ["pwd","password","kba","pin","user","geo","rba","wia","fed"], of which none is a second factor"#,
        ),
        (
            "claims.acr == '0' && claims.amr == ['pwd']",
            r#"is true where `acr` is `0` and `amr` is ["pwd"], which prove no second factor: Keycloak sends it for a login from a cookie, and OpenID Connect for one below every level"#,
        ),
        (
            "'pwd' in claims.amr && claims.mfa != 'no'",
            "is true where `amr` is `pwd`, which proves no second factor: a password is one factor (every other \
             claim null)",
        ),
        (
            "'pwd' in claims.amr && claims.auth_time > 0",
            "is true where `amr` is `pwd`, which proves no second factor: a password is one factor (beside an \
             `auth_time`)",
        ),
        (
            "'pwd' in claims.amr && user.provider == 'own'",
            "is true where `amr` is `pwd`, which proves no second factor: a password is one factor",
        ),
        ("'pwd' in claims.amr && 'otp' in claims.amr", "ok"),
        ("claims.amr.size() > 1 && !('user' in claims.amr)", "ok"),
        ("claims.acr == '0' && claims.mfa == 'yes'", "ok"),
        ("claims.acr == 'gold' && claims.auth_time > 0", "ok"),
    ] {
        assert_eq!(trial(text), expected, "{text}");
    }
}

/// A claim that was sent and could not be kept is not one that is absent.
#[test]
fn an_expression_that_names_what_could_not_be_kept_decides_nothing() {
    let login = |unreadable: &[&str]| Login {
        claims: Claims {
            acr: Claim::Value("gold".to_owned()),
            unreadable: unreadable.iter().map(|&name| name.to_owned()).collect(),
            ..Claims::default()
        },
        ..Login::new(
            ProviderId::new("own-idp").unwrap(),
            jiff::Timestamp::UNIX_EPOCH,
        )
    };
    let guarded = Expression::parse("claims.acr == 'gold' && !has(claims.weak)").unwrap();
    assert_eq!(guarded.of(&login(&[])), Ok(true));
    assert_eq!(guarded.of(&login(&["else"])), Ok(true));
    assert_eq!(guarded.of(&login(&["weak"])), Err(Undecided));
    let either = Expression::parse("claims.acr == 'gold' || claims.mfa == 'yes'").unwrap();
    assert_eq!(either.of(&login(&["mfa"])), Err(Undecided));
}

#[test]
fn a_hostile_text_is_refused_before_it_can_exhaust_the_stack() {
    let texts = [
        "(".repeat(1000),
        "[".repeat(1000),
        "{".repeat(1000),
        "!".repeat(1000),
        "-".repeat(1000),
        "a.".repeat(500),
        "a?b:".repeat(250),
        "a?".repeat(500),
        "a+".repeat(500),
        "a[".repeat(500),
        "a(".repeat(500),
        "a==".repeat(300),
        "!(".repeat(500),
        "has(".repeat(250),
        "a.all(a,".repeat(120),
        "(".repeat(10_000),
        format!("{}claims.a{}", "(".repeat(400), ")".repeat(400)),
        format!("claims.a{}", ".a".repeat(400)),
        format!("claims.a{}", "[0]".repeat(300)),
        format!("claims.a{} == 1", " - 1".repeat(200)),
        format!("{}1 == claims.a", "true ? 1 : ".repeat(80)),
    ];
    for text in texts {
        let refused = on_a_small_stack(move || Expression::parse(&text).is_err());
        assert!(refused);
    }
}

/// Half of what a thread of tokio's or the standard library's has.
fn on_a_small_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(1024 * 1024);
    thread.spawn(f).unwrap().join().unwrap()
}

#[test]
fn the_deepest_that_is_read_is_evaluated_on_a_small_stack() {
    let brackets = |open: &str, close: &str, times| {
        format!("{}claims.a{} == 1", open.repeat(times), close.repeat(times))
    };
    let mut deepest = 0;
    for times in 1..30 {
        let texts = [
            brackets("(", ")", times),
            brackets("[", "]", times),
            brackets("-(", ")", times),
            brackets("(1 + ", ")", times),
            brackets("[[1][", "]]", times),
            brackets("int(", ")", times),
            brackets("(true ? ", " : 1)", times),
            brackets("(true && ", ")", times),
            brackets("has([", "].a)", times),
            format!("claims.a{} == 1", ".a".repeat(times)),
            format!("claims.a{} == 1", "[0]".repeat(times)),
            format!("claims.a{} == 1", " + 1".repeat(times)),
            format!("{}claims.a == 1", "false ? true : ".repeat(times)),
            format!("claims.a == 1{}", " || claims.b == 2".repeat(times)),
        ];
        for text in texts {
            deepest += usize::from(on_a_small_stack(move || is_read_and_evaluated(&text)));
        }
    }
    assert!(deepest > 100, "{deepest}");
}

fn is_read_and_evaluated(text: &str) -> bool {
    let Ok(expression) = Expression::parse(text) else {
        return false;
    };
    let nested = (0..12).fold(json!(1), |inner, _| json!({"a": inner}));
    let _ = expression.evaluate(&claims(&json!({"a": nested, "b": 1})), &somebody());
    let _ = expression.trial(&[], &weak_logins(Level::Mfa, None));
    true
}

#[test]
fn at_most_a_kibibyte_is_read() {
    let padded = |length: usize| format!("{:length$}", "claims.a == 1");
    check(&padded(MAX_BYTES), "ok");
    check(
        &padded(MAX_BYTES + 1),
        "1024: expected at most 1024 bytes, found 1025; what needs more belongs in the provider",
    );
}

#[test]
fn an_expression_sees_what_can_be_read_of_the_claims() {
    let mut claims = Claims {
        acr: Claim::Value("gold".into()),
        amr: Claim::Value(vec!["otp".into()]),
        acrs: Claim::Contradictory,
        two_factor_authentication: Claim::Value(true),
        auth_time: Claim::Value("2027-03-08T00:00:00Z".parse().unwrap()),
        other: BTreeMap::from([("mfa".to_owned(), json!({"at": 1}))]),
        unreadable: BTreeSet::from(["weak".to_owned()]),
    };
    let seen = json!({"acr": "gold", "amr": ["otp"], "two_factor_authentication": true, "auth_time": 1_804_464_000, "mfa": {"at": 1}});
    assert_eq!(Value::Object(visible(&claims)), seen);
    // What was kept under the name of one of the five does not mend it.
    claims.acr = Claim::Malformed;
    claims.other.insert("acr".to_owned(), json!("gold"));
    assert_eq!(visible(&claims).get("acr"), None);
    assert_eq!(visible(&Claims::default()), Map::new());
}

#[test]
fn of_what_a_provider_sent_only_the_named_is_kept_and_never_what_is_personal() {
    let sent = claims(
        &json!({"mfa": true, "acr": "gold", "email": "a@example.com", "big": "x".repeat(20_000)}),
    );
    let keep = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let kept = kept(&names, |name| match (name, sent.get(name)) {
            ("torn", _) => Claim::Contradictory,
            (_, Some(value)) => Claim::Value(value),
            (_, None) => Claim::Absent,
        });
        let names = kept.other.into_keys().collect::<Vec<String>>();
        (names, kept.unreadable.into_iter().collect::<Vec<String>>())
    };
    let check = |names: &[&str], kept: &[&str], unreadable: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let expected: (Vec<String>, Vec<String>) = (owned(kept), owned(unreadable));
        assert_eq!(keep(names), expected, "{names:?}");
    };
    check(&["mfa", "absent"], &["mfa"], &[]);
    check(&["mfa", "acr", "email"], &["mfa"], &[]); // `acr` has a member of its own.
    check(&["mfa", "torn", "absent"], &["mfa"], &["torn"]);
    // All or nothing, and what is not kept is known to have been there.
    check(
        &["mfa", "big", "torn", "absent"],
        &[],
        &["big", "mfa", "torn"],
    );
}

#[test]
fn expressions_are_equal_by_their_text_and_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let one = Expression::parse("claims.a == 1").unwrap();
    shared(&one);
    assert_eq!(one, one.clone());
    assert_ne!(one, Expression::parse("claims.a  == 1").unwrap());
    assert_eq!(format!("{one:?}"), "Expression(\"claims.a == 1\")");
    assert_eq!(one.to_string(), "claims.a == 1");
}

/// Words that expressions are made of, and some that they are not.
const WORDS: [&str; 64] = [
    "claims",
    "user",
    ".",
    "acr",
    ".acr",
    "claims.acr",
    "claims.amr",
    "user.guest",
    "[",
    "]",
    "(",
    ")",
    "?",
    ":",
    ",",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    " in ",
    "'a'",
    "\"b\"",
    "r'c'",
    "'\\n'",
    "'é'",
    "1",
    "0.5",
    "1e9",
    "true",
    "false",
    "null",
    "has(",
    "size(",
    ".exists(x, ",
    ".all(x, ",
    ".exists_one(x, ",
    ".filter(x, ",
    ".matches('a')",
    ".startsWith(",
    "int(",
    "string(",
    "x",
    " ",
    "\n",
    "{",
    "}",
    "`",
    "\\",
    "'",
    "\"",
    "@",
    "//",
    "b''",
    "in",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..24).prop_map(|words| words.concat())
}

/// Expressions that are mostly right.
fn well_formed() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "claims.acr",
        "claims.amr",
        "claims['x:y']",
        "user.guest",
        "user.tenant",
        "'otp'",
        "1",
        "-1",
        "0.5",
        "true",
        "null",
        "[]",
        "9223372036854775807",
        "'é'",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(5, 40, 3, |inner| {
            let binary = prop::sample::select(vec![
                "==", "!=", "<", ">=", "&&", "||", "in", "+", "-", "*", "/", "%",
            ]);
            let wrap = prop::sample::select(vec![
                ("(", ")"),
                ("!", ""),
                ("-", ""),
                ("size(", ")"),
                ("int(", ")"),
                ("string(", ")"),
                ("double(", ")"),
                ("bool(", ")"),
                ("has((", ").a)"),
                ("[", "]"),
                ("", ".a"),
                ("", "[0]"),
                ("", "['a']"),
                ("", ".matches(r'^o.p$')"),
                ("", ".exists(x, x == 'otp')"),
                ("claims.amr.all(x, x == ", ")"),
                ("size(claims.amr.filter(x, ", ")) > 0"),
                ("claims.amr.exists_one(x, x == ", ")"),
            ]);
            prop_oneof![
                (inner.clone(), binary, inner.clone())
                    .prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
                (wrap, inner.clone())
                    .prop_map(|((before, after), a)| format!("{before}{a}{after}")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("[{a}, {b}]")),
            ]
        })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["otp", "gold", "", "é", "3"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A program without the ids of its parts.
fn as_read(program: &IdedExpr) -> String {
    let ids = Regex::new(r"\bid: [0-9]+").unwrap();
    ids.replace_all(&format!("{program:?}"), "id").into_owned()
}

/// The second opinion: the parser of the `cel` crate, on the stack that it needs.
fn as_cel_reads(text: &str) -> String {
    let text = text.to_owned();
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let read = thread.spawn(move || match cel::parser::Parser::new().parse(&text) {
        Ok(program) => as_read(&program),
        Err(errors) => format!("`{text}`: {errors}"),
    });
    read.unwrap().join().unwrap()
}

/// Reads it, and where it is read does all that can be done with it.
fn exercise(text: &str, login: &Map<String, Value>) -> Result<(), TestCaseError> {
    match Expression::parse(text) {
        Err(error) => {
            prop_assert!(text.is_char_boundary(error.offset), "{error:?}");
            prop_assert!(
                !error.message.is_empty() && !error.message.ends_with('.'),
                "{error:?}"
            );
        }
        Ok(expression) => {
            prop_assert_eq!(
                as_read(&expression.0.program),
                as_cel_reads(text),
                "`{}`",
                text
            );
            let first = expression.evaluate(login, &somebody());
            prop_assert_eq!(first, expression.evaluate(login, &somebody()));
            let weak = weak_logins(Level::Mfa, None);
            let tried = expression.trial(std::slice::from_ref(login), &weak);
            for weak in &weak {
                let answer = expression.evaluate(&weak.claims, &somebody());
                prop_assert!(tried.is_err() || answer != Ok(true), "`{text}` {weak:?}");
            }
            let ignorant = expression.evaluate(&Map::new(), &somebody());
            prop_assert!(tried.is_err() || ignorant != Ok(true), "`{text}`");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,40}", login in json_value()) {
        exercise(&text, &claims(&json!({"acr": login})))?;
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        exercise(&String::from_utf8_lossy(&bytes), &Map::new())?;
    }

    #[test]
    fn no_soup_of_words_makes_the_reader_panic(text in soup(), acr in json_value(), amr in json_value()) {
        exercise(&text, &claims(&json!({"acr": acr, "amr": amr})))?;
    }

    #[test]
    fn whatever_is_read_is_evaluated_the_same_each_time(text in well_formed(), acr in json_value(), amr in json_value()) {
        exercise(&format!("({text}) == claims.acr"), &claims(&json!({"acr": acr, "amr": amr, "x:y": 1})))?;
    }
}
