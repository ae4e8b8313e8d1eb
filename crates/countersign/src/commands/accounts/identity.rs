//! Whom a row means: the configured provider's way to name a person, from `provider`, `tenant` and `subject`.

use std::collections::BTreeMap;

use countersign::config::ProviderSettings;
use countersign_core::{Identity, TenantId};
use countersign_providers::microsoft::Audience;
use url::Url;

use super::problem::shown;

const PROVIDER: &str = "provider";
const TENANT: &str = "tenant";
const SUBJECT: &str = "subject";

/// What a row says of who signs in. Empty is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) provider: &'a str,
    pub(super) tenant: &'a str,
    pub(super) subject: &'a str,
}

/// What is wrong with it: the column, and what was expected and found.
pub(super) type Fault = (&'static str, String);

/// The configured providers, by name.
#[derive(Debug)]
pub(super) struct Providers<'a>(BTreeMap<&'a str, &'a ProviderSettings>);

impl<'a> Providers<'a> {
    pub(super) fn of(settings: &'a [ProviderSettings]) -> Self {
        Self(
            settings
                .iter()
                .map(|one| (one.name().as_str(), one))
                .collect(),
        )
    }

    /// The identity; none if the row names none.
    pub(super) fn identity(&self, written: Written<'_>) -> Result<Option<Identity>, Fault> {
        let Written {
            provider,
            tenant,
            subject,
        } = written;
        match (provider, subject) {
            ("", "") if tenant.is_empty() => return Ok(None),
            ("", _) => {
                return Err((
                    PROVIDER,
                    "expected the provider of that person, found nothing".into(),
                ));
            }
            (_, "") => {
                return Err((
                    SUBJECT,
                    "expected the person at that provider, found nothing".into(),
                ));
            }
            (_, _) => {}
        }
        Ok(Some(match self.named(provider)? {
            ProviderSettings::Microsoft(one) => Identity::Microsoft {
                tid: tenant_of(&one.audience, tenant)?,
                oid: guid(subject)
                    .ok_or_else(|| wrong(SUBJECT, "the object id (`oid`, a GUID)", subject))?,
            },
            ProviderSettings::GitHub(one) => {
                no_tenant(tenant)?;
                Identity::GitHub {
                    host: one.site.host().to_owned(),
                    id: numeric_id(subject)?,
                }
            }
            ProviderSettings::Oidc(one) => {
                no_tenant(tenant)?;
                oidc(&one.issuer, subject)?
            }
        }))
    }

    fn named(&self, name: &str) -> Result<&ProviderSettings, Fault> {
        let found = self.0.get(name).copied();
        found.ok_or_else(|| {
            let names: Vec<String> = self.0.keys().map(|name| format!("`{name}`")).collect();
            wrong(
                PROVIDER,
                &format!("a configured provider ({})", names.join(", ")),
                name,
            )
        })
    }
}

/// The tenant of a person, where the provider's accounts are of one or of several.
fn tenant_of(audience: &Audience, written: &str) -> Result<TenantId, Fault> {
    let consumers = || TenantId::new(TenantId::CONSUMERS).ok();
    let only = match audience {
        Audience::Tenant(tenant) => Some(tenant.clone()),
        Audience::Consumers => consumers(),
        Audience::Organizations | Audience::Common => None,
    };
    let expected = match (audience, &only) {
        (Audience::Consumers, _) => "nothing: these are personal accounts".to_owned(),
        (_, Some(tenant)) => format!("`{tenant}` or nothing"),
        (Audience::Organizations, None) => "the id (a GUID) of an organization's tenant".to_owned(),
        (_, None) => "the person's tenant id (a GUID)".to_owned(),
    };
    let fault = || wrong(TENANT, &expected, written);
    if written.is_empty() {
        return only.ok_or_else(fault);
    }
    let tenant = TenantId::new(written.to_ascii_lowercase()).map_err(|_| fault())?;
    let fits = match audience {
        Audience::Tenant(_) | Audience::Consumers => only.as_ref() == Some(&tenant),
        Audience::Organizations => !tenant.is_consumers(),
        Audience::Common => true,
    };
    if fits { Ok(tenant) } else { Err(fault()) }
}

fn no_tenant(written: &str) -> Result<(), Fault> {
    if written.is_empty() {
        Ok(())
    } else {
        let expected = "nothing: a provider of this kind has no tenants";
        Err(wrong(TENANT, expected, written))
    }
}

/// In lower case, as tokens have it in the end.
fn guid(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    TenantId::new(lower).ok().map(|guid| guid.to_string())
}

fn numeric_id(subject: &str) -> Result<u64, Fault> {
    let is_number = subject.bytes().all(|byte| byte.is_ascii_digit()) && !subject.starts_with('0');
    let id = subject.parse().ok().filter(|_| is_number);
    let expected = "the numeric id of the GitHub account (a login name can pass to another)";
    id.ok_or_else(|| wrong(SUBJECT, expected, subject))
}

/// OpenID Connect Core 2: `sub` is at most 255 ASCII characters.
///
/// Whether an issuer without a path ends with a slash only the provider's description says (`Url` writes both the
/// same); it is one identity either way.
fn oidc(issuer: &Url, subject: &str) -> Result<Identity, Fault> {
    let is_subject = subject.len() <= 255
        && subject.is_ascii()
        && !subject.contains(|c: char| c.is_ascii_control());
    if !is_subject {
        let expected = "the `sub` of the person (at most 255 printable ASCII characters)";
        return Err(wrong(SUBJECT, expected, subject));
    }
    Ok(Identity::Oidc {
        issuer: issuer.as_str().to_owned(),
        subject: subject.to_owned(),
    })
}

fn wrong(column: &'static str, expected: &str, found: &str) -> Fault {
    (
        column,
        format!("expected {expected}, found {}", shown(found)),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use countersign_core::ProviderId;
    use countersign_providers::Credentials;
    use countersign_providers::github::{GitHubSettings, Site};
    use countersign_providers::microsoft::MicrosoftSettings;
    use countersign_providers::oidc::{EmailTrust, OidcSettings, People, SigningAlgorithm};

    use super::*;

    const GUID: &str = "690222be-ff1a-4d56-abd1-7e4f7d38e474";
    const TENANT_ID: &str = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn name(text: &str) -> ProviderId {
        ProviderId::new(text).unwrap()
    }

    fn credentials() -> Credentials {
        Credentials {
            client_id: "x".into(),
            secret: "x".into(),
        }
    }

    fn microsoft(called: &str, audience: Audience) -> ProviderSettings {
        ProviderSettings::Microsoft(MicrosoftSettings {
            name: name(called),
            title: called.into(),
            authority: url("https://login.microsoftonline.com"),
            audience,
            credentials: credentials(),
            flow: None,
            enrolment_url: url("https://account.example"),
            recheck: None,
        })
    }

    fn github(called: &str, site: &str) -> ProviderSettings {
        ProviderSettings::GitHub(GitHubSettings {
            name: name(called),
            title: called.into(),
            site: Site::at(&url(site)).unwrap(),
            credentials: credentials(),
            scopes: Vec::new(),
            recheck: None,
        })
    }

    fn openid(called: &str, issuer: &str) -> ProviderSettings {
        ProviderSettings::Oidc(OidcSettings {
            name: name(called),
            title: called.into(),
            issuer: url(issuer),
            credentials: credentials(),
            scopes: Vec::new(),
            algorithm: SigningAlgorithm::Rs256,
            email_trust: EmailTrust::Ignored,
            enrolment_url: None,
            recheck: None,
            people: People::Anybodys,
            groups_claim: None,
        })
    }

    /// One provider of each kind and audience.
    pub(in super::super) fn providers() -> Vec<ProviderSettings> {
        vec![
            microsoft("personal", Audience::Consumers),
            microsoft("work", Audience::Organizations),
            microsoft("both", Audience::Common),
            microsoft(
                "contoso",
                Audience::Tenant(TenantId::new(TENANT_ID).unwrap()),
            ),
            github("github", "https://github.com"),
            github("ghes", "https://git.example:8443"),
            openid("google", "https://accounts.google.com"),
            openid("keycloak", "https://id.example/realms/main"),
        ]
    }

    /// The key under which the account is found (nothing where nobody is known), or the column that is wrong.
    fn identity(provider: &str, tenant: &str, subject: &str) -> Result<String, &'static str> {
        let settings = providers();
        let found = Providers::of(&settings).identity(Written {
            provider,
            tenant,
            subject,
        });
        let text = found.map(|one| one.map(|one| one.to_string()).unwrap_or_default());
        text.map_err(|(column, _)| column)
    }

    #[track_caller]
    fn check(provider: &str, tenant: &str, subject: &str, expected: &str) {
        assert_eq!(identity(provider, tenant, subject).unwrap(), expected);
    }

    #[test]
    fn nothing_written_is_nobody_known() {
        check("", "", "", "");
        assert_eq!(identity("", "", "1"), Err("provider"));
        assert_eq!(identity("", TENANT_ID, ""), Err("provider"));
        assert_eq!(identity("github", "", ""), Err("subject"));
        assert_eq!(identity("gitlab", "", "1"), Err("provider"));
    }

    #[test]
    fn a_microsoft_account_is_an_object_id_in_the_tenant_of_all() {
        let expected = format!("microsoft {} {GUID}", TenantId::CONSUMERS);
        check("personal", "", GUID, &expected);
        check(
            "personal",
            TenantId::CONSUMERS,
            &GUID.to_uppercase(),
            &expected,
        );
        assert_eq!(identity("personal", TENANT_ID, GUID), Err("tenant"));
        assert_eq!(
            identity("personal", "", "live.com#ann@example"),
            Err("subject")
        );
    }

    #[test]
    fn an_entra_identity_is_an_object_id_in_a_tenant() {
        let expected = format!("microsoft {TENANT_ID} {GUID}");
        for provider in ["work", "both", "contoso"] {
            check(provider, TENANT_ID, GUID, &expected);
            check(provider, &TENANT_ID.to_uppercase(), GUID, &expected);
            assert_eq!(identity(provider, TENANT_ID, "17"), Err("subject"));
            assert_eq!(identity(provider, "contoso.com", GUID), Err("tenant"));
        }
        check("contoso", "", GUID, &expected);
        assert_eq!(identity("contoso", GUID, GUID), Err("tenant"));
        assert_eq!(identity("work", "", GUID), Err("tenant"));
        assert_eq!(identity("both", "", GUID), Err("tenant"));
        assert_eq!(identity("work", TenantId::CONSUMERS, GUID), Err("tenant"));
        let personal = format!("microsoft {} {GUID}", TenantId::CONSUMERS);
        check("both", TenantId::CONSUMERS, GUID, &personal);
    }

    #[test]
    fn a_github_identity_is_a_number_at_a_host() {
        check("github", "", "583231", "github github.com 583231");
        check("ghes", "", "7", "github git.example:8443 7");
        for bad in [
            "octocat",
            "0",
            "007",
            "+7",
            "-7",
            "7.0",
            " 7",
            "99999999999999999999999",
        ] {
            assert_eq!(
                identity("github", "", bad),
                Err("subject"),
                "`{bad}` was taken"
            );
        }
        assert_eq!(identity("github", TENANT_ID, "7"), Err("tenant"));
    }

    #[test]
    fn an_openid_identity_is_a_subject_of_the_issuer() {
        check("google", "", "1", "oidc https://accounts.google.com 1");
        check(
            "keycloak",
            "",
            "a b",
            "oidc https://id.example/realms/main a b",
        );
        for bad in ["zoë", "a\nb", &"x".repeat(256)] {
            assert_eq!(
                identity("keycloak", "", bad),
                Err("subject"),
                "`{bad}` was taken"
            );
        }
        assert_eq!(identity("keycloak", TENANT_ID, "1"), Err("tenant"));
    }
}
