//! Whole logins: the frontend, the person and their browser, as fast as one connection each allows.

use anyhow::Context;
use futures_util::future::try_join_all;
use reqwest::Response;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use url::Url;

use super::process::{DEFAULT_CLIENT, ES256_CLIENT, REDIRECT_URI, REFRESHING_CLIENT, SECRET};
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
            Self::Refresh | Self::Introspection => REFRESHING_CLIENT,
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
    issuer: String,
}

impl Driver {
    #[expect(
        clippy::disallowed_methods,
        reason = "the benchmark's browser is not the product's HTTP client"
    )]
    pub(crate) fn new(issuer: &str) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("an HTTP client");
        Self {
            http,
            issuer: issuer.to_owned(),
        }
    }

    /// Does it so many times, [`AT_ONCE`] people at a time.
    pub(crate) async fn run(&self, kind: Kind, times: u32) -> anyhow::Result<()> {
        let share = async || match kind {
            Kind::Default | Kind::Es256 | Kind::Refused => {
                for _ in 0..times / AT_ONCE {
                    self.login(kind).await?;
                }
                Ok(())
            }
            Kind::Refresh => self.refresh(times / AT_ONCE).await,
            Kind::Introspection => self.introspect(times / AT_ONCE).await,
        };
        try_join_all((0..AT_ONCE).map(|_| share())).await.map(drop)
    }

    /// Signs in once, and refreshes so many times.
    async fn refresh(&self, times: u32) -> anyhow::Result<()> {
        let mut tokens = self.login(Kind::Refresh).await?;
        for _ in 0..times {
            let token = tokens["refresh_token"]
                .as_str()
                .context("no refresh token")?;
            let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
            tokens = self.post(Kind::Refresh, "/token", &form).await?;
        }
        Ok(())
    }

    /// Signs in once, and asks so many times what the access token is good for.
    async fn introspect(&self, times: u32) -> anyhow::Result<()> {
        let tokens = self.login(Kind::Introspection).await?;
        let token = tokens["access_token"].as_str().context("no access token")?;
        for _ in 0..times {
            let form = [("token", token)];
            let told = self.post(Kind::Introspection, "/introspect", &form).await?;
            anyhow::ensure!(told["active"] == true, "not active: {told}");
        }
        Ok(())
    }

    async fn login(&self, kind: Kind) -> anyhow::Result<Value> {
        let start = format!(
            "{}/authorize?response_type=code&client_id={}&redirect_uri={REDIRECT_URI}&scope=openid+packages:manage&state=s&nonce=n",
            self.issuer,
            kind.client(),
        );
        let departure = self.http.get(start).send().await?;
        let cookie = cookie(&departure)?;
        let mut upstream = location(&departure)?;
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
