//! Whole logins: the frontend, the person and their browser, as fast as one connection each allows.

use anyhow::Context;
use futures_util::future::try_join_all;
use reqwest::Response;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use url::Url;

use super::process::{
    DEFAULT_CLIENT, ES256_CLIENT, INTROSPECTED_CLIENT, REDIRECT_URI, REFRESHING_CLIENT, SECRET,
};
use serde_json::Value;

/// What kind of login is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One RS256 verified, one RS256 and one ES256 signed.
    Default,
    /// One RS256 verified, two ES256 signed.
    Es256,
    /// One RS256 verified; the page that offers a step-up.
    Refused,
    /// Two ES256 signed; the session is there.
    Refresh,
    /// One ES256 verified.
    Introspection,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Default,
        Self::Es256,
        Self::Refused,
        Self::Refresh,
        Self::Introspection,
    ];

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Default => "default (RS256 ID token, ES256 access)",
            Self::Es256 => "client on ES256",
            Self::Refused => "weak, not let in",
            Self::Refresh => "a refresh, on ES256",
            Self::Introspection => "an introspection of an access token",
        }
    }

    fn client(self) -> &'static str {
        match self {
            Self::Default | Self::Refused => DEFAULT_CLIENT,
            Self::Es256 => ES256_CLIENT,
            Self::Refresh => REFRESHING_CLIENT,
            Self::Introspection => INTROSPECTED_CLIENT,
        }
    }

    fn account(self) -> &'static str {
        match self {
            Self::Default | Self::Es256 | Self::Refresh | Self::Introspection => "ann-mfa",
            Self::Refused => "bob-password",
        }
    }
}

/// How many people sign in at once: enough that no process waits for the next request to come. A broker
/// that falls asleep between two requests pays for waking up, on a virtual machine more than for the login.
pub(crate) const AT_ONCE: u32 = 8;

/// Drives logins.
pub(crate) struct Driver {
    http: reqwest::Client,
    pub(crate) issuer: String,
}

impl Driver {
    #[expect(
        clippy::disallowed_methods,
        reason = "the benchmark's browser is not the product's HTTP client"
    )]
    pub(crate) fn new(issuer: &str) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // Servers end idle connections after 5 s, and what is sent just then has no answer.
            .pool_idle_timeout(std::time::Duration::from_secs(2))
            .build()
            .expect("an HTTP client");
        Self {
            http,
            issuer: issuer.to_owned(),
        }
    }

    /// [`AT_ONCE`] people who have signed in once, and their tokens.
    pub(crate) async fn people(&self, kind: Kind) -> anyhow::Result<Vec<Value>> {
        try_join_all((0..AT_ONCE).map(|_| self.login(kind))).await
    }

    /// Does it so many times, all these people at once.
    pub(crate) async fn run(
        &self,
        kind: Kind,
        people: &mut [Value],
        times: u32,
    ) -> anyhow::Result<()> {
        let share = async |tokens: &mut Value| -> anyhow::Result<()> {
            for _ in 0..times / AT_ONCE {
                self.step(kind, tokens).await?;
            }
            Ok(())
        };
        try_join_all(people.iter_mut().map(share)).await.map(drop)
    }

    async fn step(&self, kind: Kind, tokens: &mut Value) -> anyhow::Result<()> {
        match kind {
            Kind::Default | Kind::Es256 | Kind::Refused => self.login(kind).await.map(drop),
            Kind::Refresh => self.refresh(tokens).await,
            Kind::Introspection => self.introspect(kind, tokens).await,
        }
    }

    /// Spends a refresh token.
    pub(crate) async fn refresh(&self, tokens: &mut Value) -> anyhow::Result<()> {
        let token = tokens["refresh_token"]
            .as_str()
            .context("no refresh token")?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        *tokens = self.post(Kind::Refresh, "/token", &form).await?;
        Ok(())
    }

    /// Asks about an access token, as the client that it was issued to.
    pub(crate) async fn introspect(&self, kind: Kind, tokens: &Value) -> anyhow::Result<()> {
        let token = tokens["access_token"].as_str().context("no access token")?;
        let form = [("token", token)];
        let told = self.post(kind, "/introspect", &form).await?;
        anyhow::ensure!(told["active"] == true, "not active: {told}");
        Ok(())
    }

    /// Signs in, and redeems the code.
    pub(crate) async fn login(&self, kind: Kind) -> anyhow::Result<Value> {
        let start = format!(
            "{}/authorize?response_type=code&client_id={}&redirect_uri={REDIRECT_URI}&scope=openid+packages:manage&state=s&nonce=n",
            self.issuer,
            kind.client(),
        );
        let departure = self.http.get(start).send().await?;
        let mut upstream = location(&departure)?;
        // `oidc-provider` as it is measured asks nobody: they are back at once.
        if upstream.as_str().starts_with(REDIRECT_URI) {
            return self.redeem(kind, &upstream).await;
        }
        let cookie = cookie(&departure)?;
        upstream
            .query_pairs_mut()
            .append_pair("account", kind.account());
        let answer = self.http.get(upstream).send().await?;
        let back = self
            .http
            .get(location(&answer)?)
            .header(COOKIE, cookie)
            .send()
            .await?;
        if kind == Kind::Refused {
            anyhow::ensure!(
                back.status() == 200,
                "no step-up page but {}",
                back.status()
            );
            back.bytes().await?;
            return Ok(Value::Null);
        }
        self.redeem(kind, &location(&back)?).await
    }

    async fn redeem(&self, kind: Kind, returned: &Url) -> anyhow::Result<Value> {
        let code = returned
            .query_pairs()
            .find(|(name, _)| name == "code")
            .context("no code")?
            .1
            .into_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT_URI),
        ];
        self.post(kind, "/token", &form).await
    }

    /// The key set that tokens are verified with.
    pub(crate) async fn jwks(&self) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}/jwks.json", self.issuer));
        Ok(serde_json::from_slice(
            &request.send().await?.bytes().await?,
        )?)
    }

    /// What an endpoint for clients answers.
    async fn post(&self, kind: Kind, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        let client = [("client_id", kind.client()), ("client_secret", SECRET)];
        let form: Vec<_> = form.iter().chain(&client).collect();
        let request = self.http.post(format!("{}{path}", self.issuer)).form(&form);
        let answer = request.send().await?;
        anyhow::ensure!(answer.status() == 200, "{path}: {}", answer.status());
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}

fn location(response: &Response) -> anyhow::Result<Url> {
    let to = response.headers().get(LOCATION).context("no redirect")?;
    Ok(Url::parse(to.to_str()?)?)
}

fn cookie(response: &Response) -> anyhow::Result<String> {
    let line = response
        .headers()
        .get(SET_COOKIE)
        .context("no cookie")?
        .to_str()?;
    Ok(line.split(';').next().unwrap_or_default().to_owned())
}
