//! An installation with registries of two kinds, and somebody who has signed in, in every way that a tool can show.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_dev_idp::DevIdp;
use countersign_tests::tools::Recorder;
use countersign_tests::{BrokerSetup, Browser, Installation, Page, wire};
use serde_json::Value;
use url::{Url, form_urlencoded};

/// How many threads each server has.
pub(crate) const WORKERS: usize = 2;
/// How often it is looked whether the broker answers, and for how long.
const GLANCE: Duration = Duration::from_millis(20);
const GLANCES: u32 = 3000;

const POLICY: &str = r#"
[tier.upload]
scopes = ["packages:publish", "packages:unpublish", "packages:download"]
needs = "mfa"
accepts = ["session"]
max_evidence_age = "12h"
[client.tools]
tier = "browse"
[client.countersign]
tier = "browse"
[api_keys]
max_days = 90
accepts = ["session"]
"#;

/// A running broker, and what somebody shows at its registries.
pub(crate) struct Bed {
    broker: Child,
    pub(crate) issuer: String,
    /// Where proxies ask.
    pub(crate) forward_auth: String,
    /// Where tools reach the registry that the broker passes requests on to.
    pub(crate) door: String,
    /// That registry.
    pub(crate) upstream: Recorder,
    /// `Cookie`.
    pub(crate) session: String,
    pub(crate) key: String,
    pub(crate) token: String,
    /// What Docker keeps of a sign-in.
    pub(crate) identity_token: String,
    _installation: Installation,
    _idp: DevIdp,
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.broker.kill());
        drop(self.broker.wait());
    }
}

impl Bed {
    /// Starts it, and signs somebody in.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let idp = DevIdp::oidc("127.0.0.2:0").await?;
        let upstream = Recorder::start();
        let nobody = "http://127.0.0.2:9";
        let installation = Installation::new([idp.base_url(), nobody, nobody]);
        let (forward_auth, door) = (free()?, free()?);
        configure(&installation, &forward_auth, &door, &upstream.url);
        let file = installation.path("countersign.toml").display().to_string();
        let broker = installation
            .command(&["serve", "--config", &file])
            .stderr(Stdio::null())
            .spawn()?;
        let mut bed = Self {
            broker,
            issuer: installation.issuer.clone(),
            forward_auth,
            door,
            upstream,
            session: String::new(),
            key: String::new(),
            token: String::new(),
            identity_token: String::new(),
            _installation: installation,
            _idp: idp,
        };
        bed.wait().await?;
        bed.sign_in().await?;
        Ok(bed)
    }

    pub(crate) fn process(&self) -> u32 {
        self.broker.id()
    }

    /// `Authorization` of who shows this as a password.
    pub(crate) fn basic(secret: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("countersign:{secret}")))
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let address = self.issuer.trim_start_matches("http://");
        for _ in 0..GLANCES {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            let ended = self.broker.try_wait()?;
            anyhow::ensure!(ended.is_none(), "the broker ended: try `countersign check`");
            tokio::time::sleep(GLANCE).await;
        }
        anyhow::bail!("the broker does not answer")
    }

    async fn sign_in(&mut self) -> anyhow::Result<()> {
        let mut browser = Browser::new();
        let to = format!(
            "{}/registry/images/login/sign-in?provider=oidc",
            self.issuer
        );
        let page = walk(&mut browser, &to).await?;
        let jar = &browser.cookies["127.0.0.1"];
        let pairs = jar.iter().map(|(name, value)| format!("{name}={value}"));
        self.session = pairs.collect::<Vec<_>>().join("; ");
        self.identity_token = self.docker_login(&mut browser, &page).await?;
        self.key = self.npm_login().await?;
        self.token = self.token_of_the_gallery().await?;
        Ok(())
    }

    /// What `docker login` keeps that was given a code of this page.
    async fn docker_login(&self, browser: &mut Browser, page: &Page) -> anyhow::Result<String> {
        let button = page.field("form").with_context(|| page.body.clone())?;
        let to = format!("{}/registry/images/login", self.issuer);
        let page = browser
            .post(&Url::parse(&to)?, &[("form".to_owned(), button)])
            .await;
        let code = page.body.split("id=\"code\">").nth(1);
        let code = code
            .and_then(|rest| rest.split('<').next())
            .context("no code")?;
        let form = [
            ("grant_type", "password"),
            ("username", "countersign"),
            ("password", code),
            ("access_type", "offline"),
        ];
        let told = self.post("/registry/images/token", &form).await?;
        text(&told, "refresh_token")
    }

    /// The key that `npm login` ends with.
    async fn npm_login(&self) -> anyhow::Result<String> {
        let mut tool = Browser::new();
        let begun = tool
            .post(&Url::parse(&format!("{}/-/v1/login", self.door))?, &[])
            .await;
        let begun: Value = serde_json::from_str(&begun.body)?;
        let mut browser = Browser::new();
        let page = browser.get(&Url::parse(&text(&begun, "loginUrl")?)?).await;
        let way = format!("{}/device/continue?provider=oidc&", self.issuer);
        let way = page.link_to(&way).with_context(|| page.body.clone())?;
        walk(&mut browser, way.as_str()).await?;
        let done = tool.get(&Url::parse(&text(&begun, "doneUrl")?)?).await;
        text(&serde_json::from_str(&done.body)?, "token")
    }

    /// An access token of a frontend's, for the registry.
    async fn token_of_the_gallery(&self) -> anyhow::Result<String> {
        let asked = [
            ("response_type", "code"),
            ("client_id", "gallery"),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("scope", "openid packages:publish packages:download"),
            ("state", "s"),
            ("nonce", "n"),
            ("provider", "oidc"),
        ];
        let to = format!("{}/authorize?{}", self.issuer, encoded(&asked));
        let page = walk(&mut Browser::new(), &to).await?;
        let code = page.sent_with("code").with_context(|| page.body.clone())?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("client_id", "gallery"),
            ("client_secret", BrokerSetup::SECRET),
        ];
        text(&self.post("/token", &form).await?, "access_token")
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        let page = wire::send("POST", &self.issuer, path, &[], &encoded(form)).await;
        anyhow::ensure!(page.status == 200, "{path}: {} {}", page.status, page.body);
        Ok(serde_json::from_str(&page.body)?)
    }
}

/// Goes where it is led, as somebody with a second factor, to the page or the address elsewhere that it ends with.
async fn walk(browser: &mut Browser, to: &str) -> anyhow::Result<Page> {
    let mut url = Url::parse(to)?;
    for _ in 0..8 {
        if url.host_str() == Some("127.0.0.2") {
            url.query_pairs_mut().append_pair("account", "ann-mfa");
        }
        let page = browser.get(&url).await;
        match page.location.clone() {
            Some(next) if !next.as_str().starts_with(BrokerSetup::REDIRECT_URI) => url = next,
            Some(_) | None => return Ok(page),
        }
    }
    anyhow::bail!("led in circles to {url}")
}

fn text(told: &Value, name: &str) -> anyhow::Result<String> {
    let found = told[name].as_str();
    Ok(found
        .with_context(|| format!("no `{name}`: {told}"))?
        .to_owned())
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs).finish()
}

pub(crate) fn free() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(format!("http://{}", listener.local_addr()?))
}

fn configure(installation: &Installation, forward_auth: &str, door: &str, upstream: &str) {
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    // As it is shipped, but for the addresses and the registries.
    installation.replace("countersign.toml", "level = \"trace\"", "level = \"info\"");
    let server = format!(
        "[server]\nforward_auth_listen = \"{}\"\nworkers = {WORKERS}",
        host(forward_auth)
    );
    installation.replace("countersign.toml", "[server]", &server);
    let mut registries = format!(
        "[client.tools]\nname = \"Tools\"\npublic = true\nresource = \"{}\"\n\
         grant_types = [\"urn:ietf:params:oauth:grant-type:device_code\"]\n",
        BrokerSetup::AUDIENCE
    );
    let _ = write!(
        registries,
        "[registry.npm]\nprofile = \"npm\"\nclient = \"tools\"\npublic_url = \"{door}\"\nlisten = \"{}\"\nupstream = \"{upstream}\"\n\
         [registry.npm.override.actions]\nread = \"packages:download\"\n\
         [registry.gated]\nprofile = \"npm\"\nclient = \"tools\"\npublic_url = \"http://127.0.0.1:9\"\n\
         [registry.gated.override.credential]\nsources = [{{ authorization = \"Bearer\" }}, {{ session = true }}]\n\
         [registry.gated.override.actions]\nread = \"packages:download\"\n\
         [registry.gated.override.default]\nread = {{ gated = \"read\" }}\nwrite = {{ gated = \"manage\" }}\n\
         [registry.images]\nprofile = \"docker\"\nclient = \"tools\"\npublic_url = \"https://images.example\"\n[client.gallery]",
        host(door),
    );
    installation.replace("countersign.toml", "[client.gallery]", &registries);
    let policy = format!("{POLICY}[client.gallery]");
    installation.replace("policy.toml", "[client.gallery]", &policy);
}
