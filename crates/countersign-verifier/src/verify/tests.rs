//! One good token of each kind, and every way to spoil it, one at a time.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;
use crate::testing::{
    AUDIENCE, EDDSA, ES256, FOREIGN, ISSUER, NOW, RS256, Signer, base64url, good, jwks,
};

fn keys() -> KeySet {
    KeySet::from_jwks(jwks(&[&ES256, &RS256, &EDDSA]).to_string().as_bytes()).unwrap()
}

fn verified(token: &str) -> Result<AccessToken, Error> {
    verify(token, &keys(), &Expectations::new(ISSUER, AUDIENCE), NOW)
}

/// The token is refused, and the reason holds these words.
#[track_caller]
fn refused(token: &str, words: &str) {
    let error = verified(token).expect_err("the token was accepted");
    assert!(
        error.to_string().contains(words),
        "refused because {error}, not of {words}"
    );
    assert_eq!(error.status(), 401);
    let challenge = error.challenge().unwrap().to_string();
    // Who has a bound token is told by which scheme it is shown (RFC 9449, section 7.1).
    let scheme = match error {
        Error::SenderConstrained => "DPoP",
        _ => "Bearer",
    };
    let expected = format!(r#"{scheme} error="invalid_token""#);
    assert!(challenge.starts_with(&expected), "{challenge}");
}

fn with(member: &str, value: Value) -> Value {
    let mut payload = good();
    payload[member] = value;
    payload
}

fn without(member: &str) -> Value {
    let mut payload = good();
    payload.as_object_mut().unwrap().remove(member);
    payload
}

#[test]
fn a_good_token_of_each_algorithm_is_accepted_with_its_claims() {
    for signer in [&*ES256, &RS256, &EDDSA] {
        let token = verified(&signer.token(&good())).unwrap();
        assert_eq!(
            serde_json::to_value(token.claims()).unwrap(),
            good(),
            "{}",
            signer.alg()
        );
    }
}

#[test]
fn a_workload_s_token_has_neither_acr_nor_amr_and_is_accepted() {
    let mut payload = without("acr");
    for member in ["amr", "auth_time", "sid", "countersign", "scope"] {
        payload.as_object_mut().unwrap().remove(member);
    }
    assert!(verified(&ES256.token(&payload)).is_ok());
}

#[test]
fn every_required_claim_is_missed() {
    for member in ["iss", "sub", "aud", "client_id", "jti", "iat", "exp"] {
        refused(
            &ES256.token(&without(member)),
            &format!("missing field `{member}`"),
        );
    }
}

#[test]
fn every_claim_of_the_wrong_type_is_refused() {
    let odd: [(&str, &[Value]); 13] = [
        ("iss", &[json!(7), json!({}), json!([ISSUER]), json!(null)]),
        ("sub", &[json!(7), json!(null), json!(["acct_01J"])]),
        (
            "aud",
            &[
                json!(7),
                json!(null),
                json!({}),
                json!([]),
                json!([AUDIENCE, 7]),
            ],
        ),
        ("client_id", &[json!(7), json!(null)]),
        ("jti", &[json!(7), json!(null)]),
        (
            "iat",
            &[json!("1790000000"), json!(1_790_000_000.5), json!(null)],
        ),
        (
            "exp",
            &[
                json!("1790000590"),
                json!(1_790_000_590.0),
                json!(null),
                json!(1e300),
            ],
        ),
        ("nbf", &[json!("1790000000"), json!(null)]),
        (
            "scope",
            &[
                json!(["packages:publish"]),
                json!(null),
                json!(""),
                json!("a  b"),
            ],
        ),
        (
            "acr",
            &[json!(1), json!(null), json!(["urn:countersign:mfa"])],
        ),
        ("amr", &[json!("mfa"), json!(null), json!(["mfa", 3])]),
        ("auth_time", &[json!("1790000000"), json!(null), json!(1.5)]),
        (
            "countersign",
            &[json!("mfa"), json!(null), json!({"provider": "p"})],
        ),
    ];
    for (member, values) in odd {
        for value in values {
            refused(
                &ES256.token(&with(member, value.clone())),
                "claims are not as agreed",
            );
        }
    }
}

#[test]
fn an_empty_identifier_is_refused() {
    for member in ["sub", "client_id", "jti"] {
        refused(
            &ES256.token(&with(member, json!(""))),
            &format!("`{member}` is empty"),
        );
    }
}

#[test]
fn a_claim_that_is_there_twice_is_refused() {
    let payload = good().to_string();
    for member in ["iss", "sub", "aud", "exp", "scope", "acr", "countersign"] {
        let twice = payload.replacen('{', &format!("{{\"{member}\": {},", good()[member]), 1);
        refused(
            &ES256.token_of(&ES256.header().to_string(), &twice),
            "duplicate field",
        );
    }
    let level = payload.replace("\"level\":\"mfa\"", "\"level\":\"none\",\"level\":\"mfa\"");
    refused(
        &ES256.token_of(&ES256.header().to_string(), &level),
        "duplicate field `level`",
    );
}

#[test]
fn another_issuer_is_refused_however_similar() {
    for iss in [
        "https://login.registry.example/",
        "https://LOGIN.registry.example",
        "http://login.registry.example",
        "https://login.registry.example.evil.example",
        "",
    ] {
        refused(
            &ES256.token(&with("iss", json!(iss))),
            "`iss` is not the expected",
        );
    }
}

#[test]
fn an_audience_that_is_not_ours_alone_is_refused() {
    assert!(verified(&ES256.token(&with("aud", json!([AUDIENCE])))).is_ok());
    for aud in [
        json!("https://other.example"),
        json!(["https://other.example"]),
        json!(""),
    ] {
        refused(&ES256.token(&with("aud", aud)), "`aud` is not this service");
    }
    for aud in [
        json!([AUDIENCE, "https://other.example"]),
        json!([AUDIENCE, AUDIENCE]),
    ] {
        refused(
            &ES256.token(&with("aud", aud)),
            "`aud` must name exactly one",
        );
    }
}

#[test]
fn the_issuer_itself_may_accept_any_audience_but_nothing_else() {
    let any = Expectations::for_any_audience(ISSUER);
    let other = with("aud", json!("https://other.example"));
    assert!(verify(&ES256.token(&other), &keys(), &any, NOW).is_ok());

    let stranger = ES256.token(&with("iss", json!("https://evil.example")));
    assert_eq!(
        verify(&stranger, &keys(), &any, NOW),
        Err(Error::WrongIssuer)
    );
    let old = ES256.token(&with("exp", json!(NOW - 40)));
    assert_eq!(verify(&old, &keys(), &any, NOW), Err(Error::Expired));
}

#[test]
fn a_token_ends_at_exp_and_half_a_minute_is_forgiven() {
    assert!(verified(&ES256.token(&with("exp", json!(NOW - 5)))).is_ok());
    refused(&ES256.token(&with("exp", json!(NOW - 30))), "has expired");
    refused(&ES256.token(&with("exp", json!(i64::MIN))), "has expired");

    let strict = Expectations::new(ISSUER, AUDIENCE).with_leeway(0);
    let ends_now = ES256.token(&with("exp", json!(NOW)));
    assert_eq!(
        verify(&ends_now, &keys(), &strict, NOW),
        Err(Error::Expired)
    );
    let ends_next = ES256.token(&with("exp", json!(NOW + 1)));
    assert!(verify(&ends_next, &keys(), &strict, NOW).is_ok());
}

#[test]
fn a_token_from_the_future_is_refused_and_half_a_minute_is_forgiven() {
    for member in ["iat", "nbf"] {
        assert!(verified(&ES256.token(&with(member, json!(NOW + 30)))).is_ok());
        refused(
            &ES256.token(&with(member, json!(NOW + 31))),
            "not valid yet",
        );
        refused(
            &ES256.token(&with(member, json!(i64::MAX))),
            "not valid yet",
        );
    }
    let mut payload = with("iat", json!(NOW + 31));
    payload["nbf"] = json!(NOW - 10);
    refused(&ES256.token(&payload), "not valid yet");

    let mut payload = with("iat", json!(NOW + 20));
    payload["exp"] = json!(NOW + 10);
    refused(&ES256.token(&payload), "`exp` is not after `iat`");
}

#[test]
fn a_token_bound_to_a_key_is_not_a_bearer_token() {
    for cnf in [
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        json!({}),
    ] {
        refused(&ES256.token(&with("cnf", cnf)), "bound to a key");
    }
    for cnf in [json!(null), json!("jkt"), json!({"jkt": 1}), json!([])] {
        refused(&ES256.token(&with("cnf", cnf)), "not as agreed");
    }
}

#[test]
fn an_id_token_and_every_other_type_is_no_access_token() {
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!("at+jwt "),
    ] {
        let header = json!({"typ": typ, "alg": "ES256", "kid": "es"});
        refused(&ES256.token_with(&header, &good()), "it is no access token");
    }
    let header = json!({"alg": "ES256", "kid": "es"});
    refused(&ES256.token_with(&header, &good()), "it is no access token");
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let header = json!({"typ": typ, "alg": "ES256", "kid": "es"});
        assert!(
            verified(&ES256.token_with(&header, &good())).is_ok(),
            "{typ}"
        );
    }
}

#[test]
fn the_token_s_word_on_its_algorithm_is_not_taken() {
    for alg in [
        "none", "None", "HS256", "ES384", "PS256", "RS512", "es256", "",
    ] {
        let header = json!({"typ": "at+jwt", "alg": alg, "kid": "es"});
        refused(&ES256.token_with(&header, &good()), "`alg` is not allowed");
    }
    // On the list, but not what the key is for.
    for (signer, alg) in [(&*ES256, "RS256"), (&RS256, "ES256"), (&EDDSA, "ES256")] {
        let header = json!({"typ": "at+jwt", "alg": alg, "kid": signer.kid});
        refused(
            &signer.token_with(&header, &good()),
            "not the one its key is for",
        );
    }
}

#[test]
fn alg_none_without_a_signature_is_refused() {
    let header = json!({"typ": "at+jwt", "alg": "none", "kid": "es"});
    let unsigned = format!(
        "{}.{}.",
        base64url(header.to_string()),
        base64url(good().to_string())
    );
    refused(&unsigned, "`alg` is not allowed");
    let header = ES256.header();
    let unsigned = format!(
        "{}.{}.",
        base64url(header.to_string()),
        base64url(good().to_string())
    );
    refused(&unsigned, "signature is not the issuer's");
}

#[test]
fn hs256_with_the_public_key_as_the_secret_is_refused() {
    let header = json!({"typ": "at+jwt", "alg": "HS256", "kid": "rs"});
    let signed = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(good().to_string())
    );
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &RS256.rsa_der());
    let forged = format!(
        "{signed}.{}",
        base64url(hmac::sign(&secret, signed.as_bytes()))
    );
    refused(&forged, "`alg` is not allowed");
}

#[test]
fn a_foreign_key_under_our_kid_is_refused() {
    refused(&FOREIGN.token(&good()), "signature is not the issuer's");
}

#[test]
fn a_signature_is_over_this_header_and_this_payload() {
    let token = ES256.token(&good());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    let more = base64url(with("scope", json!("packages:administer")).to_string());
    refused(
        &format!("{header}.{more}.{signature}"),
        "signature is not the issuer's",
    );
    let typ = base64url(json!({"typ": "AT+JWT", "alg": "ES256", "kid": "es"}).to_string());
    refused(
        &format!("{typ}.{payload}.{signature}"),
        "signature is not the issuer's",
    );
}

#[test]
fn a_kid_is_there_known_and_short() {
    let header = |kid: Value| json!({"typ": "at+jwt", "alg": "ES256", "kid": kid});
    let token = |kid: Value| ES256.token_with(&header(kid), &good());
    for kid in [
        "",
        "ES",
        "es ",
        "../../dev/null",
        "es' OR 1=1 --",
        &"k".repeat(256),
    ] {
        refused(&token(json!(kid)), "no key with the token's `kid`");
    }
    refused(&token(json!("k".repeat(257))), "`kid` is too long");
    refused(&token(json!(null)), "no `kid`");
    refused(&token(json!(7)), "header is not the JSON object");
    refused(
        &ES256.token_with(&json!({"typ": "at+jwt", "alg": "ES256"}), &good()),
        "header has no `kid`",
    );
}

#[test]
fn a_header_that_brings_its_own_key_or_rules_is_refused() {
    let values = [
        ("crit", json!(["b64"])),
        ("crit", json!(null)),
        ("jwk", FOREIGN.jwk()),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ];
    for (member, value) in values {
        let mut header = ES256.header();
        header[member] = value;
        refused(
            &ES256.token_with(&header, &good()),
            &format!("header has `{member}`"),
        );
    }
}

#[test]
fn a_header_member_that_is_there_twice_is_refused() {
    let payload = good().to_string();
    let header = r#"{"typ":"at+jwt","alg":"none","alg":"ES256","kid":"es"}"#;
    refused(
        &ES256.token_of(header, &payload),
        "header is not the JSON object",
    );
}

#[test]
fn a_header_or_payload_that_is_no_object_is_refused() {
    let header = ES256.header().to_string();
    for text in [
        "",
        "null",
        "7",
        r#"["at+jwt","ES256","es"]"#,
        "{",
        "{} {}",
        "\u{feff}{}",
    ] {
        refused(
            &ES256.token_of(text, &good().to_string()),
            "header is not the JSON object",
        );
        refused(&ES256.token_of(&header, text), "claims are not as agreed");
    }
}

#[test]
fn a_token_has_three_base64url_segments() {
    let token = ES256.token(&good());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    for text in [
        "",
        ".",
        "a.b",
        signed,
        &format!("{token}."),
        &format!(".{token}"),
        "a.b.c.d.e",
    ] {
        refused(text, "not three segments");
    }
    for signature in [
        format!("{signature}="),
        format!("{signature}\n"),
        "+/+/".to_owned(),
    ] {
        refused(&format!("{signed}.{signature}"), "not base64url");
    }
    refused("..", "header is not the JSON object");
}

#[test]
fn a_token_longer_than_8_kib_is_refused_unread() {
    refused(&"a".repeat(MAX_TOKEN_BYTES + 1), "longer than 8192 bytes");
    let long = ES256.token(&with("padding", json!("x".repeat(MAX_TOKEN_BYTES))));
    refused(&long, "longer than 8192 bytes");
}

#[test]
fn claims_we_do_not_know_are_ignored() {
    let token = verified(&ES256.token(&with("https://later.example/claim", json!({"a": 1}))));
    assert_eq!(
        serde_json::to_value(token.unwrap().claims()).unwrap(),
        good()
    );
}

#[test]
fn keys_not_meant_for_signatures_verify_nothing() {
    let spoilt = |member: &str, value: Value| {
        let mut jwk = ES256.jwk();
        jwk[member] = value;
        KeySet::from_jwks(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap()
    };
    let coordinate = base64url([1; 32]);
    for (member, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("alg", json!("ES384")),
        ("alg", json!("RSA-OAEP")),
        ("crv", json!("P-384")),
        ("kty", json!("oct")),
        ("kid", json!(null)),
        ("x", json!(coordinate)),
        ("x", json!("AQ")),
        ("x", json!("not base64url!")),
        ("y", json!(null)),
    ] {
        assert!(spoilt(member, value).is_empty(), "{member}");
    }
    assert!(!spoilt("key_ops", json!(["verify"])).is_empty());
}

#[test]
fn a_key_that_is_not_understood_does_not_spoil_the_set() {
    let odd = json!({"keys": [
        {"kty": "oct", "kid": "es", "k": "c2VjcmV0"}, {"kty": "AKP"}, "key", null, ES256.jwk(),
    ]});
    let keys = KeySet::from_jwks(odd.to_string().as_bytes()).unwrap();
    let expected = Expectations::new(ISSUER, AUDIENCE);
    assert!(verify(&ES256.token(&good()), &keys, &expected, NOW).is_ok());
}

#[test]
fn a_point_has_two_coordinates_of_32_bytes_and_not_just_64_bytes() {
    let mut jwk = ES256.jwk();
    let octets = |member: &Value| URL_SAFE_NO_PAD.decode(member.as_str().unwrap()).unwrap();
    let point = [octets(&jwk["x"]), octets(&jwk["y"])].concat();
    jwk["x"] = json!(base64url(&point[..33]));
    jwk["y"] = json!(base64url(&point[33..]));
    let set = json!({"keys": [jwk]}).to_string();
    assert!(KeySet::from_jwks(set.as_bytes()).unwrap().is_empty());
}

#[test]
fn a_short_rsa_key_is_left_out() {
    let short = json!({"keys": [
        {"kty": "RSA", "kid": "rs", "n": base64url([0xc5; 128]), "e": "AQAB"},
    ]});
    assert!(
        KeySet::from_jwks(short.to_string().as_bytes())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_is_no_key_set_is_an_error_of_the_issuer_and_not_of_the_caller() {
    for text in ["", "[]", "{}", r#"{"keys": {}}"#, "[[]]", "<html>"] {
        let error = KeySet::from_jwks(text.as_bytes()).unwrap_err();
        assert_eq!((error.status(), error.challenge()), (503, None), "{text}");
    }
}

#[test]
fn the_signer_of_one_algorithm_is_never_tried_with_another() {
    // The RSA key and the P-256 key under one `kid`: the token's `alg` does not choose.
    let mut rsa = RS256.jwk();
    rsa["kid"] = json!("es");
    let set = json!({"keys": [rsa, ES256.jwk()]});
    let keys = KeySet::from_jwks(set.to_string().as_bytes()).unwrap();
    let expected = Expectations::new(ISSUER, AUDIENCE);
    let token = |signer: &Signer| verify(&signer.token(&good()), &keys, &expected, NOW);
    assert_eq!(token(&ES256), Err(Error::WrongAlgorithm));
}
