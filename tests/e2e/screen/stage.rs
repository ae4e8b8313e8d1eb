//! A broker with its stand-ins, a registry's landing page, and a Chromium before them.

use countersign_tests::{BrokerSetup, Landing, Login, Screen, ScreenSettings, World};

/// Everything that a walk needs.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) landing: Landing,
    pub(super) screen: Screen,
}

impl Stage {
    /// The usual stage.
    pub(super) async fn new() -> Self {
        Self::with(&ScreenSettings::default(), |_| {}).await
    }

    /// A stage with a broker that was changed before it started.
    pub(super) async fn with(
        settings: &ScreenSettings,
        change: impl FnOnce(&mut BrokerSetup),
    ) -> Self {
        let landing = Landing::start("127.0.0.3", None);
        let world = World::with(|setup| {
            setup.gallery().redirect_uris = vec![landing.redirect_uri()];
            change(setup);
        });
        Self {
            world: world.await,
            landing,
            screen: Screen::open_with(settings).await,
        }
    }

    /// The address of a request of the client's, without a `provider`.
    pub(super) fn request(&self) -> String {
        self.request_with(&[])
    }

    /// The address of a request with these parameters over the usual ones.
    pub(super) fn request_with(&self, parameters: &[(&str, &str)]) -> String {
        let login = Login::new("", "").with("redirect_uri", &self.landing.redirect_uri());
        let login = parameters
            .iter()
            .fold(login, |login, (name, value)| login.with(name, value));
        self.world.authorize_url(&login).to_string()
    }

    /// Goes to a provider and picks an account there, up to the next page that is not the provider's.
    pub(super) async fn sign_in(&self, provider: &str, account: &str) -> String {
        self.begin(provider).await;
        self.pick(account).await;
        self.outcome().await
    }

    /// Goes to a provider.
    pub(super) async fn begin(&self, provider: &str) {
        let url = self.request_with(&[("provider", provider)]);
        self.screen.goto(&url).await;
        self.screen.arrive_at(&["http://127.0.0.2:"]).await;
    }

    /// Picks an account or an answer at the provider.
    pub(super) async fn pick(&self, choice: &str) {
        self.screen.click(&format!("#choice-{choice}")).await;
    }

    /// Where a sign-in came to, in short: `registry: code`, `registry: access_denied`,
    /// `page: mfa-absent`.
    pub(super) async fn outcome(&self) -> String {
        let places = [self.landing.url(), self.world.broker.issuer.as_str()];
        let url = self.screen.arrive_at(&places).await;
        if url.as_str().starts_with(&self.world.broker.issuer) {
            return format!("page: {}", self.screen.text(".reference code").await);
        }
        let sent = |name: &str| url.query_pairs().find(|(known, _)| known == name);
        match (sent("error"), sent("code")) {
            (Some((_, error)), None) => format!("registry: {error}"),
            (None, Some(_)) => "registry: code".to_owned(),
            (_, _) => format!("registry: ? {url}"),
        }
    }
}
