//! A broker with its stand-in providers, and a person who signs in.

use std::sync::Arc;

use countersign_core::{ProviderId, TenantId};
use countersign_dev_idp::{Client as IdpClient, DevIdp};
use countersign_providers::github::{GitHubSettings, Site};
use countersign_providers::microsoft::{Audience, MicrosoftSettings};
use countersign_providers::oidc::{EmailTrust, OidcSettings, People, SigningAlgorithm};
use countersign_providers::{Credentials, GitHub, Http, Microsoft, Oidc, Provider};
use countersign_server::Clock;
use countersign_store::Store;
use jiff::SignedDuration;
use secrecy::SecretString;
use url::Url;

use crate::{BrokerSetup, Browser, Page, TestBroker, Tokens};

/// The policy that tests start from.
const POLICY: &str = include_str!("policy.toml");

/// A broker with all four kinds of provider, each a stand-in of its own.
#[derive(Debug)]
pub struct World {
    /// The broker.
    pub broker: TestBroker,
    /// Entra and Microsoft accounts.
    pub entra: DevIdp,
    /// GitHub.
    pub github: DevIdp,
    /// Plain OpenID Connect.
    pub oidc: DevIdp,
    /// How long until providers are asked again.
    upstream: Upstream,
}

/// How the broker speaks with its providers.
#[derive(Debug, Clone, Copy)]
struct Upstream {
    recheck: Option<SignedDuration>,
    github_scopes: &'static str,
    people: People,
    another_issuer: Option<&'static str>,
}

/// A sign-in to be made.
#[derive(Debug, Clone)]
pub struct Login {
    /// The provider in the broker's configuration.
    pub provider: &'static str,
    /// The account to pick at the stand-in.
    pub account: &'static str,
    /// Parameters of the authorization request, over the usual ones. An empty value leaves one out.
    pub parameters: Vec<(String, String)>,
    /// What to answer where the stand-in offers to enrol.
    pub enrol: &'static str,
}

/// How a sign-in ended for the browser.
#[derive(Debug)]
pub enum Outcome {
    /// The client got a code.
    Code(Page),
    /// The client got an OAuth error.
    ClientError(Page),
    /// The broker offers to go back to the provider.
    StepUp(Page),
    /// The broker lets in, and first tells from which day a second factor is needed.
    Reminder(Page),
    /// The broker shows a page, with this reason code.
    Refused(Page),
    /// The browser is left at the provider.
    AtProvider(Page),
}

impl World {
    /// The usual world.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The usual world with a broker that was changed before it started.
    pub async fn with(change: impl FnOnce(&mut BrokerSetup)) -> Self {
        let entra = DevIdp::entra("127.0.0.2:0")
            .await
            .expect("a stand-in for Entra");
        let github = DevIdp::github("127.0.0.2:0")
            .await
            .expect("a stand-in for GitHub");
        let oidc = DevIdp::oidc("127.0.0.2:0")
            .await
            .expect("a stand-in for OpenID Connect");
        let mut setup = BrokerSetup::new(POLICY);
        change(&mut setup);
        let upstream = Upstream {
            recheck: setup.recheck,
            github_scopes: setup.github_scopes,
            people: setup.people,
            another_issuer: setup.another_issuer,
        };
        let broker = setup.start(|http| providers(http, [&entra, &github, &oidc], upstream));
        Self {
            broker,
            entra,
            github,
            oidc,
            upstream,
        }
    }

    /// Another broker on the same store, on an address of its own.
    pub fn replica(&self) -> TestBroker {
        let stand_ins = [&self.entra, &self.github, &self.oidc];
        self.broker
            .replica(|http| providers(http, stand_ins, self.upstream))
    }

    /// The same at a store that is made of the one that they share.
    pub fn replica_at(&self, store: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> TestBroker {
        let stand_ins = [&self.entra, &self.github, &self.oidc];
        let store = store(self.broker.store());
        self.broker
            .replica_at(store, |http| providers(http, stand_ins, self.upstream))
    }

    /// The same where one provider is configured no more.
    pub fn replica_without(&self, name: &str) -> TestBroker {
        let stand_ins = [&self.entra, &self.github, &self.oidc];
        self.broker.replica(|http| {
            let mut providers = providers(http, stand_ins, self.upstream);
            providers.retain(|provider| provider.name().as_str() != name);
            providers
        })
    }

    /// Lets the stand-ins go by the broker's clock, so that time passes for all at once.
    pub fn share_clock(&self) {
        for stand_in in [&self.entra, &self.github, &self.oidc] {
            let clock = self.broker.clock.clone();
            stand_in
                .control()
                .set_clock(move || clock.now().as_second());
        }
    }

    /// The address of a request of the client `gallery`.
    pub fn authorize_url(&self, login: &Login) -> Url {
        self.broker.authorize_url(login)
    }

    /// Signs in, up to the first thing that a person would have to look at.
    pub async fn sign_in(&self, browser: &mut Browser, login: &Login) -> Outcome {
        let page = browser.get(&self.authorize_url(login)).await;
        self.go_on(browser, page, login).await
    }

    /// Signs in, taking the step-up where it is offered.
    pub async fn sign_in_with_step_up(&self, browser: &mut Browser, login: &Login) -> Outcome {
        match self.sign_in(browser, login).await {
            Outcome::StepUp(page) => self.step_up(browser, &page, login).await,
            other => other,
        }
    }

    /// Takes the step-up that a page offers.
    pub async fn step_up(&self, browser: &mut Browser, page: &Page, login: &Login) -> Outcome {
        let url = page.primary_link().expect("a way back to the provider");
        let page = self.at_provider(browser, url, login).await;
        self.go_on(browser, page, login).await
    }

    /// Follows a page of the broker's or a provider's to where it leads.
    pub async fn go_on(&self, browser: &mut Browser, page: Page, login: &Login) -> Outcome {
        let visit =
            async |browser: &mut Browser, to: Url| self.at_provider(browser, to, login).await;
        self.broker.go_on(browser, page, visit).await
    }

    /// What a person does at a provider, up to the answer that sends them back.
    pub async fn at_provider(&self, browser: &mut Browser, mut url: Url, login: &Login) -> Page {
        url.query_pairs_mut()
            .append_pair("account", login.account)
            .append_pair("enrol", login.enrol);
        browser.get(&url).await
    }

    /// Opens an address, of the broker's or of a provider's, and goes on from there.
    pub async fn go(&self, browser: &mut Browser, to: Url, login: &Login) -> Page {
        let page = self.open(browser, to, login).await;
        self.walk(browser, page, login).await
    }

    async fn open(&self, browser: &mut Browser, to: Url, login: &Login) -> Page {
        if to.as_str().starts_with(&self.broker.issuer) {
            browser.get(&to).await
        } else {
            self.at_provider(browser, to, login).await
        }
    }

    /// Follows redirects, and what a person does at providers, up to a page of the broker's.
    pub async fn walk(&self, browser: &mut Browser, mut page: Page, login: &Login) -> Page {
        for _ in 0..12 {
            page = match page.location.clone() {
                Some(to) => self.open(browser, to, login).await,
                None => match page.form() {
                    Some((to, fields)) if to.path().starts_with("/callback/") => {
                        browser.post(&to, &fields).await
                    }
                    _ => return page,
                },
            };
        }
        panic!("it does not end; last at {}", page.url);
    }

    /// Redeems the code that the client got.
    pub async fn redeem(&self, page: &Page) -> Tokens {
        self.broker.redeem(page).await
    }

    /// Calls the token endpoint as the client `gallery`, with these parameters over the usual ones.
    pub async fn redeem_with(&self, changed: &[(&str, &str)]) -> Tokens {
        self.broker.redeem_with(changed).await
    }
}

impl Login {
    /// A sign-in as `account` at `provider`, with the usual request.
    pub fn new(provider: &'static str, account: &'static str) -> Self {
        Self {
            provider,
            account,
            parameters: Vec::new(),
            enrol: "yes",
        }
    }

    /// With this parameter in the authorization request.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Outcome {
    /// The page that the browser was left with.
    pub fn page(&self) -> &Page {
        match self {
            Self::Code(page)
            | Self::ClientError(page)
            | Self::StepUp(page)
            | Self::Reminder(page)
            | Self::Refused(page)
            | Self::AtProvider(page) => page,
        }
    }

    /// The page that the browser was left with, to keep.
    pub fn into_page(self) -> Page {
        match self {
            Self::Code(page)
            | Self::ClientError(page)
            | Self::StepUp(page)
            | Self::Reminder(page)
            | Self::Refused(page)
            | Self::AtProvider(page) => page,
        }
    }

    /// One word and what it is about: `code`, `step-up: mfa-absent`, `reminder`, `refused: provider-timeout`,
    /// `client: access_denied`, `at-provider`.
    pub fn summary(&self) -> String {
        let reason = |page: &Page| page.reason_code().unwrap_or("?").to_owned();
        match self {
            Self::Code(_) => "code".to_owned(),
            Self::ClientError(page) => {
                format!("client: {}", page.sent_with("error").unwrap_or_default())
            }
            Self::StepUp(page) => format!("step-up: {}", reason(page)),
            Self::Reminder(_) => "reminder".to_owned(),
            Self::Refused(page) => format!("refused: {}", reason(page)),
            Self::AtProvider(_) => "at-provider".to_owned(),
        }
    }

    /// The page with the code; fails where there is none.
    pub fn code(self) -> Page {
        match self {
            Self::Code(page) => page,
            other => panic!("no code but {}: {}", other.summary(), other.page().body),
        }
    }
}

fn providers(
    http: &Http,
    [entra, github, oidc]: [&DevIdp; 3],
    upstream: Upstream,
) -> Vec<Provider> {
    let recheck = upstream.recheck;
    let scopes = upstream.github_scopes.split(' ').map(str::to_owned);
    let contoso = TenantId::new(countersign_dev_idp::entra::CONTOSO).expect("a tenant");
    let another = upstream.another_issuer.map(|issuer| {
        let settings = OidcSettings {
            name: provider_id("another"),
            title: "Another ID".into(),
            issuer: Url::parse(issuer).expect("an issuer"),
            credentials: credentials(),
            scopes: Vec::new(),
            algorithm: SigningAlgorithm::Rs256,
            email_trust: EmailTrust::Ignored,
            enrolment_url: None,
            recheck: None,
            people: People::OneOrganizations,
            groups_claim: None,
        };
        Provider::Oidc(Oidc::new(settings, http.clone()))
    });
    let mut all = vec![
        microsoft((http, entra), "microsoft", Audience::Consumers, None),
        microsoft((http, entra), "entra", Audience::Organizations, recheck),
        microsoft((http, entra), "contoso", Audience::Tenant(contoso), recheck),
        Provider::GitHub(GitHub::new(
            GitHubSettings {
                name: provider_id("github"),
                title: "GitHub".into(),
                site: Site::at(&url(github)).expect("addresses"),
                credentials: credentials(),
                scopes: scopes.collect(),
                recheck,
            },
            http.clone(),
        )),
        Provider::Oidc(Oidc::new(
            OidcSettings {
                name: provider_id("oidc"),
                title: "Example ID".into(),
                issuer: url(oidc),
                credentials: credentials(),
                scopes: vec!["profile".into(), "email".into()],
                algorithm: SigningAlgorithm::Rs256,
                email_trust: EmailTrust::Trusted,
                enrolment_url: None,
                recheck,
                people: upstream.people,
                groups_claim: Some("groups".into()),
            },
            http.clone(),
        )),
    ];
    all.extend(another);
    all
}

fn microsoft(
    (http, idp): (&Http, &DevIdp),
    name: &str,
    audience: Audience,
    recheck: Option<SignedDuration>,
) -> Provider {
    let (title, enrolment_url) = match audience {
        Audience::Consumers => ("Microsoft", "https://account.microsoft.com/security"),
        Audience::Tenant(_) => ("Contoso", "https://mysignins.microsoft.com/security-info"),
        Audience::Organizations | Audience::Common => (
            "Microsoft Entra ID",
            "https://mysignins.microsoft.com/security-info",
        ),
    };
    let settings = MicrosoftSettings {
        name: provider_id(name),
        title: title.into(),
        authority: url(idp),
        audience,
        credentials: credentials(),
        flow: None,
        enrolment_url: Url::parse(enrolment_url).expect("an address"),
        recheck,
    };
    Provider::Microsoft(Microsoft::new(settings, http.clone()))
}

fn credentials() -> Credentials {
    Credentials {
        client_id: IdpClient::DEVELOPMENT_ID.into(),
        secret: SecretString::from(IdpClient::DEVELOPMENT_SECRET),
    }
}

fn provider_id(text: &str) -> ProviderId {
    ProviderId::new(text).expect("a provider id")
}

fn url(idp: &DevIdp) -> Url {
    Url::parse(idp.base_url()).expect("an address")
}
