//! Whole logins: the frontend, the person and their browser, as fast as one connection each allows.

use anyhow::Context;
use futures_util::future::try_join_all;
use reqwest::Response;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use url::Url;

use super::process::{DEFAULT_CLIENT, ES256_CLIENT, REDIRECT_URI, SECRET};

/// What kind of login is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One RS256 verified, one RS256 and one ES256 signed.
    Default,
    /// One RS256 verified, two ES256 signed.
    Es256,
    /// One RS256 verified; the page that offers a step-up.
    Refused,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Default, Self::Es256, Self::Refused];

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Default => "default (RS256 ID token, ES256 access)",
            Self::Es256 => "client on ES256",
            Self::Refused => "weak, not let in",
        }
    }

    fn client(self) -> &'static str {
        match self {
            Self::Default | Self::Refused => DEFAULT_CLIENT,
            Self::Es256 => ES256_CLIENT,
        }
    }

    fn account(self) -> &'static str {
        match self {
            Self::Default | Self::Es256 => "ann-mfa",
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

    /// Signs in so many times, [`AT_ONCE`] people at a time.
    pub(crate) async fn run(&self, kind: Kind, times: u32) -> anyhow::Result<()> {
        let share = async || {
            for _ in 0..times / AT_ONCE {
                self.login(kind).await?;
            }
            Ok(())
        };
        try_join_all((0..AT_ONCE).map(|_| share())).await.map(drop)
    }

    async fn login(&self, kind: Kind) -> anyhow::Result<()> {
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
            return Ok(());
        }
        self.redeem(kind, &location(&back)?).await
    }

    async fn redeem(&self, kind: Kind, returned: &Url) -> anyhow::Result<()> {
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
            ("client_id", kind.client()),
            ("client_secret", SECRET),
        ];
        let tokens = self
            .http
            .post(format!("{}/token", self.issuer))
            .form(&form)
            .send()
            .await?;
        anyhow::ensure!(tokens.status() == 200, "no tokens but {}", tokens.status());
        tokens.bytes().await?;
        Ok(())
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
