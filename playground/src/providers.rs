//! The four providers of the playground's broker: all kinds, each at its stand-in.

use std::collections::BTreeMap;

use countersign_core::{ProviderId, ProviderKind};
use countersign_dev_idp::{Client, DevIdp};
use countersign_providers::github::{GitHubSettings, Site};
use countersign_providers::microsoft::{Audience, MicrosoftSettings};
use countersign_providers::oidc::{EmailTrust, OidcSettings, People, SigningAlgorithm};
use countersign_providers::{Credentials, GitHub, Http, Microsoft, Oidc, PrivateHosts, Provider};
use url::Url;

/// Where people set up a second factor: with Microsoft really, since the stand-in has no such page.
const MICROSOFT_ENROLMENT: &str = "https://account.microsoft.com/security";
const ENTRA_ENROLMENT: &str = "https://mysignins.microsoft.com/security-info";

/// The stand-ins that the providers point at.
#[derive(Debug)]
pub(crate) struct StandIns {
    pub(crate) entra: DevIdp,
    pub(crate) github: DevIdp,
    pub(crate) oidc: DevIdp,
}

impl StandIns {
    pub(crate) async fn stop(self) {
        tokio::join!(self.entra.stop(), self.github.stop(), self.oidc.stop());
    }

    /// The broker's providers.
    pub(crate) fn providers(&self) -> anyhow::Result<Vec<Provider>> {
        let http = Http::new(PrivateHosts::default())?;
        let personal = self.microsoft(
            "microsoft",
            "Microsoft",
            Audience::Consumers,
            MICROSOFT_ENROLMENT,
        )?;
        let work = self.microsoft(
            "entra",
            "Microsoft Entra ID",
            Audience::Organizations,
            ENTRA_ENROLMENT,
        )?;
        Ok(vec![
            Provider::Microsoft(Microsoft::new(personal, http.clone())),
            Provider::Microsoft(Microsoft::new(work, http.clone())),
            Provider::GitHub(GitHub::new(self.github()?, http.clone())),
            Provider::Oidc(Oidc::new(self.oidc()?, http)),
        ])
    }

    fn microsoft(
        &self,
        name: &str,
        title: &str,
        audience: Audience,
        enrolment: &str,
    ) -> anyhow::Result<MicrosoftSettings> {
        Ok(MicrosoftSettings {
            name: ProviderId::new(name)?,
            title: title.to_owned(),
            authority: Url::parse(self.entra.base_url())?,
            audience,
            credentials: credentials(),
            flow: None,
            enrolment_url: Url::parse(enrolment)?,
            recheck: None,
        })
    }

    /// The addresses of the GitHub stand-in.
    pub(crate) fn github_site(&self) -> anyhow::Result<Site> {
        Ok(Site::at(&Url::parse(self.github.base_url())?)?)
    }

    fn github(&self) -> anyhow::Result<GitHubSettings> {
        Ok(GitHubSettings {
            name: ProviderId::new("github")?,
            title: "GitHub".to_owned(),
            site: self.github_site()?,
            credentials: credentials(),
            scopes: vec!["read:user".to_owned(), "user:email".to_owned()],
            recheck: None,
        })
    }

    /// The issuer of the OpenID Connect stand-in.
    pub(crate) fn issuer(&self) -> anyhow::Result<Url> {
        Ok(Url::parse(self.oidc.base_url())?)
    }

    fn oidc(&self) -> anyhow::Result<OidcSettings> {
        let issuer = self.issuer()?;
        Ok(OidcSettings {
            name: ProviderId::new("oidc")?,
            title: "OpenID Connect".to_owned(),
            enrolment_url: Some(issuer.clone()),
            issuer,
            credentials: credentials(),
            scopes: vec!["profile".to_owned(), "email".to_owned()],
            algorithm: SigningAlgorithm::Rs256,
            email_trust: EmailTrust::Trusted,
            recheck: None,
            people: People::Anybodys,
            groups_claim: None,
        })
    }
}

/// The kind of each provider, for the check of the policy.
pub(crate) fn kinds() -> anyhow::Result<BTreeMap<ProviderId, ProviderKind>> {
    Ok(BTreeMap::from([
        (
            ProviderId::new("microsoft")?,
            ProviderKind::MicrosoftAccount,
        ),
        (ProviderId::new("entra")?, ProviderKind::Entra),
        (ProviderId::new("github")?, ProviderKind::GitHub),
        (ProviderId::new("oidc")?, ProviderKind::Oidc),
    ]))
}

/// What every stand-in knows us by.
fn credentials() -> Credentials {
    Credentials {
        client_id: Client::DEVELOPMENT_ID.to_owned(),
        secret: Client::DEVELOPMENT_SECRET.into(),
    }
}
