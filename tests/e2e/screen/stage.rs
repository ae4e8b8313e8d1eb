//! A broker with its stand-ins, a registry's landing page, and a Chromium before them.

use countersign_tests::{BrokerSetup, Landing, Login, Screen, ScreenSettings, Tokens, World};

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

    /// The broker's address, without a slash at the end.
    pub(super) fn broker(&self) -> &str {
        &self.world.broker.issuer
    }

    /// The address of a request of the client's, with these parameters over the usual ones; there
    /// is no `provider` among those.
    pub(super) fn request(&self, parameters: &[(&str, &str)]) -> String {
        let login = Login::new("", "").with("redirect_uri", &self.landing.redirect_uri());
        let login = parameters
            .iter()
            .fold(login, |login, (name, value)| login.with(name, value));
        self.world.authorize_url(&login).to_string()
    }

    /// Goes to a provider and picks an account there; says where that came to.
    pub(super) async fn sign_in(&self, provider: &str, account: &str) -> String {
        self.begin(provider).await;
        self.pick(account).await;
        self.outcome().await
    }

    /// Goes to a provider.
    pub(super) async fn begin(&self, provider: &str) {
        let url = self.request(&[("provider", provider)]);
        self.screen.goto(&url).await;
        self.screen.arrive_at(&["http://127.0.0.2:"]).await;
    }

    /// Chooses a provider on the broker's chooser.
    pub(super) async fn choose(&self, provider: &str) {
        let link = format!("nav a[href$='provider={provider}']");
        self.screen.click(&link).await;
    }

    /// Picks an account or an answer at the provider.
    pub(super) async fn pick(&self, choice: &str) {
        self.screen.click(&format!("#choice-{choice}")).await;
    }

    /// Goes on from the step-up notice to the provider.
    pub(super) async fn step_up(&self) {
        self.screen.click("#step-up").await;
        self.screen.arrive_at(&["http://127.0.0.2:"]).await;
    }

    /// Where a sign-in came to, in short: `registry: code`, `registry: access_denied`,
    /// `step-up: mfa-absent`, `page: mfa-absent`.
    pub(super) async fn outcome(&self) -> String {
        let places = [self.landing.url(), self.broker()];
        let url = self.screen.arrive_at(&places).await;
        if url.as_str().starts_with(self.broker()) {
            return self.shown().await;
        }
        let sent = |name: &str| url.query_pairs().find(|(known, _)| known == name);
        match (sent("error"), sent("code")) {
            (Some((_, error)), None) => format!("registry: {error}"),
            (None, Some(_)) => "registry: code".to_owned(),
            (_, _) => format!("registry: ? {url}"),
        }
    }

    async fn shown(&self) -> String {
        let reason = self.screen.text(".reference code").await;
        match self.screen.count("#step-up").await {
            0 => format!("page: {reason}"),
            _ => format!("step-up: {reason}"),
        }
    }

    /// Redeems the code that the registry's landing page was opened with.
    pub(super) async fn redeem(&self) -> Tokens {
        let url = self.screen.url().await;
        let code = url.query_pairs().find(|(name, _)| name == "code");
        let code = code.expect("a code").1;
        let redirect_uri = self.landing.redirect_uri();
        let parameters = [("code", &*code), ("redirect_uri", &redirect_uri)];
        self.world.redeem_with(&parameters).await
    }
}
