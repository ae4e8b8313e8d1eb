//! A relying party in miniature: asks, redeems, reads tokens, checks signatures.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_dev_idp::{Client, DevIdp};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

pub(crate) type Params = BTreeMap<String, String>;

pub(crate) const CALLBACK: &str = "http://127.0.0.1:9/callback";
/// RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// A fixed clock: 2026-01-01.
pub(crate) const NOW: i64 = 1_767_225_600;

/// A relying party of one stand-in.
pub(crate) struct Party {
    pub(crate) idp: DevIdp,
    http: reqwest::Client,
}

impl Party {
    pub(crate) async fn entra() -> Self {
        Self::of(DevIdp::entra("127.0.0.1:0").await.unwrap())
    }

    pub(crate) async fn github() -> Self {
        Self::of(DevIdp::github("127.0.0.1:0").await.unwrap())
    }

    pub(crate) async fn oidc() -> Self {
        Self::of(DevIdp::oidc("127.0.0.1:0").await.unwrap())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the stand-ins' tests have a client of their own"
    )]
    fn of(idp: DevIdp) -> Self {
        idp.control().set_clock(|| NOW);
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { idp, http }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.idp.base_url())
    }

    pub(crate) async fn fetch(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.fetch(path).await.json_value().await
    }

    /// A GET with these headers.
    pub(crate) async fn fetch_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// A POST of this form.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.http
            .post(self.url(path))
            .form(form)
            .send()
            .await
            .unwrap()
    }

    /// A DELETE with the client's credentials.
    pub(crate) async fn delete(&self, path: &str, body: Value) -> Response {
        let request = self.http.delete(self.url(path)).body(body.to_string());
        let request = request.basic_auth(Client::DEVELOPMENT_ID, Some(Client::DEVELOPMENT_SECRET));
        request.send().await.unwrap()
    }

    /// The authorization request with the usual parameters; `more` adds to them or, by an empty value, takes away.
    pub(crate) async fn ask(&self, path: &str, more: &[(&str, &str)]) -> Response {
        let mut params = Params::from(
            [
                ("client_id", Client::DEVELOPMENT_ID),
                ("redirect_uri", CALLBACK),
                ("response_type", "code"),
                ("scope", "openid profile email"),
                ("state", "a state & more"),
                ("nonce", "a nonce"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        for (name, value) in more {
            params.insert((*name).to_owned(), (*value).to_owned());
        }
        params.retain(|_, value| !value.is_empty());
        let url = Url::parse_with_params(&self.url(path), params).unwrap();
        self.http.get(url).send().await.unwrap()
    }

    /// The same, and what arrives at the callback.
    pub(crate) async fn answer(&self, path: &str, more: &[(&str, &str)]) -> Params {
        arrived(self.ask(path, more).await).await
    }

    /// The token request with the usual parameters; `more` as above.
    pub(crate) async fn redeem(&self, path: &str, code: &str, more: &[(&str, &str)]) -> Response {
        let mut form = Params::from(
            [
                ("client_id", Client::DEVELOPMENT_ID),
                ("client_secret", Client::DEVELOPMENT_SECRET),
                ("grant_type", "authorization_code"),
                ("redirect_uri", CALLBACK),
                ("code", code),
                ("code_verifier", VERIFIER),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        for (name, value) in more {
            form.insert((*name).to_owned(), (*value).to_owned());
        }
        form.retain(|_, value| !value.is_empty());
        let request = self.http.post(self.url(path)).form(&form);
        request
            .header("accept", "application/json")
            .send()
            .await
            .unwrap()
    }
}

impl Party {
    /// A token request that accepts anything, as text.
    pub(crate) async fn redeem_as_form(&self, path: &str, code: &str) -> String {
        let form = [
            ("client_id", Client::DEVELOPMENT_ID),
            ("client_secret", Client::DEVELOPMENT_SECRET),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        let answer = self
            .http
            .post(self.url(path))
            .form(&form)
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    }
}

/// Reading of answers.
pub(crate) trait Read {
    async fn json_value(self) -> Value;
}

impl Read for Response {
    async fn json_value(self) -> Value {
        serde_json::from_slice(&self.bytes().await.unwrap()).unwrap()
    }
}

/// The parameters of a redirect (query or fragment) or of the form of a page.
pub(crate) async fn arrived(answer: Response) -> Params {
    if answer.status() == StatusCode::FOUND {
        let target = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        let text = target.query().or(target.fragment()).unwrap_or_default();
        return url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect();
    }
    let page = answer.text().await.unwrap();
    assert!(
        page.contains(r#"<form id="answer""#),
        "neither redirect nor form:\n{page}"
    );
    page.split("<input type=\"hidden\" ")
        .skip(1)
        .map(|input| {
            let mut quoted = input.split('"');
            let name = quoted.nth(1).unwrap().to_owned();
            (name, quoted.nth(1).unwrap().replace("&#38;", "&"))
        })
        .collect()
}

/// Header and claims of a token, unverified.
pub(crate) fn parts(token: &str) -> (Value, Value) {
    let mut parts = token
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut read = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (read(), read())
}

/// The claims as text.
pub(crate) fn payload(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// The key of this set that the token names.
pub(crate) fn named_key(token: &str, keys: &Value) -> Option<Value> {
    let (header, _) = parts(token);
    let keys = keys["keys"].as_array().unwrap();
    keys.iter().find(|key| key["kid"] == header["kid"]).cloned()
}

/// Whether the key made the token's signature, by the key's own type.
pub(crate) fn is_signed_by(token: &str, key: &Value) -> bool {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let member = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    if key["kty"] == "EC" {
        let point = [&[4], member("x").as_slice(), &member("y")].concat();
        return UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(message.as_bytes(), &signature)
            .is_ok();
    }
    let key = RsaPublicKeyComponents {
        n: member("n"),
        e: member("e"),
    };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
        .is_ok()
}

/// The `claims` parameter that asks for an authentication context.
pub(crate) fn context(name: &str) -> String {
    json!({"id_token": {"acrs": {"essential": true, "value": name}}}).to_string()
}
