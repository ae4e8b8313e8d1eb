//! `[provider.KIND.NAME]`: whom people sign in with.

use countersign_core::document::{Key, Table, Value};
use countersign_core::sign_in::Flow;
use countersign_core::{ProviderId, ProviderKind, Scope, TenantId};
use countersign_providers::Credentials;
use countersign_providers::github::{GitHubSettings, Site};
use countersign_providers::microsoft::{Audience, MicrosoftSettings};
use countersign_providers::oidc::{EmailTrust, OidcSettings, People, SigningAlgorithm};
use jiff::SignedDuration;
use url::Url;

use super::ProviderSettings;
use super::address;
use super::file::{Reader, at_least_one, text};

/// What stands for a client id in the shipped file.
pub(super) const PLACEHOLDER: &str = "REPLACE-ME";

const MICROSOFT: &str = "https://login.microsoftonline.com";
const MICROSOFT_ACCOUNT_SECURITY: &str = "https://account.microsoft.com/security";
const ENTRA_SECURITY: &str = "https://mysignins.microsoft.com/security-info";
const GITHUB: &str = "https://github.com";

/// Who asks more often than this asks at each refresh, and GitHub and Entra would soon answer no more.
const SHORTEST_RECHECK: SignedDuration = SignedDuration::from_mins(1);

const FLOWS: [(&str, Flow); 2] = [("hybrid", Flow::Hybrid), ("code", Flow::Code)];

const ALGORITHMS: [(&str, SigningAlgorithm); 4] = [
    ("RS256", SigningAlgorithm::Rs256),
    ("PS256", SigningAlgorithm::Ps256),
    ("ES256", SigningAlgorithm::Es256),
    ("EdDSA", SigningAlgorithm::EdDsa),
];

const EMAIL_TRUST: [(&str, EmailTrust); 2] = [
    ("trusted", EmailTrust::Trusted),
    ("ignored", EmailTrust::Ignored),
];

/// Reads one table of a kind; a name that can't be read is `None`, and its problem is told.
type ReadOne<'o> =
    fn(&mut Reader<'o>, Option<ProviderId>, &mut Table<'_>) -> Option<ProviderSettings>;

impl<'o> Reader<'o> {
    pub(super) fn providers(&mut self, value: &Value<'_>) -> Option<Vec<ProviderSettings>> {
        use ProviderKind::{Entra, GitHub, MicrosoftAccount, Oidc};
        let all = value.table(|kinds| {
            let lists = [
                self.kind(
                    kinds,
                    "microsoft-account",
                    (MicrosoftAccount, Self::microsoft_account),
                ),
                self.kind(kinds, "entra", (Entra, Self::entra)),
                self.kind(kinds, "github", (GitHub, Self::github)),
                self.kind(kinds, "oidc", (Oidc, Self::oidc)),
            ];
            let lists: Option<Vec<_>> = lists.into_iter().collect();
            Some(lists?.into_iter().flatten().collect::<Vec<_>>())
        })?;
        at_least_one(value, !all.is_empty())?;
        Some(all)
    }

    fn kind(
        &mut self,
        kinds: &mut Table<'_>,
        key: &'static str,
        (kind, read): (ProviderKind, ReadOne<'o>),
    ) -> Option<Vec<ProviderSettings>> {
        kinds.optional_or(key, Vec::new(), |value| {
            let named = value.entries(|key, value| {
                // `[provider.github]` with settings right in it: their names are taken for providers'.
                if !value.is_table() || key.text() == "client_secret" {
                    let kind = kind.as_str();
                    key.report(format_args!(
                        "expected a table with a name of yours: `[provider.{kind}.NAME]`"
                    ));
                    return None;
                }
                let name = self.provider_name(key, kind);
                let one = value.table(|table| read(self, name.clone(), table));
                Some((name?, one?))
            });
            Some(named?.into_values().collect())
        })
    }

    /// The name is a part of the callback's address, so it is unique across kinds.
    fn provider_name(&mut self, key: &Key<'_>, kind: ProviderKind) -> Option<ProviderId> {
        let name = key.parsed(ProviderId::new)?;
        if let Some((_, place)) = self.providers.get(&name) {
            key.report(format_args!(
                "the provider at {place} has this name too; names are unique across kinds"
            ));
            return None;
        }
        self.providers.insert(name.clone(), (kind, key.place()));
        Some(name)
    }

    fn microsoft_account(
        &mut self,
        name: Option<ProviderId>,
        table: &mut Table<'_>,
    ) -> Option<ProviderSettings> {
        let credentials = self.credentials(table);
        let title = title(table, "Microsoft account");
        // The one form of answer in which the `acr` of a personal account is known to arrive.
        let flow = table.optional_or("flow", Flow::Hybrid, |value| self.personal_flow(value));
        let authority = site(table, "authority", MICROSOFT);
        let enrolment = enrolment_url(table, MICROSOFT_ACCOUNT_SECURITY);
        let recheck = table.optional("recheck", never_again);
        Some(ProviderSettings::Microsoft(MicrosoftSettings {
            name: name?,
            title: title?,
            authority: authority?,
            audience: Audience::Consumers,
            credentials: credentials?,
            flow: Some(flow?),
            enrolment_url: enrolment?,
            recheck: recheck?,
        }))
    }

    fn personal_flow(&mut self, value: &Value<'_>) -> Option<Flow> {
        let flow = value.one_of(&FLOWS)?;
        if flow == Flow::Code {
            let message = "Microsoft is known to send the `acr` of a personal account in the \
                           `hybrid` flow only; with `code` nobody may be able to show a second factor";
            self.warn(value, message);
        }
        Some(flow)
    }

    fn entra(
        &mut self,
        name: Option<ProviderId>,
        table: &mut Table<'_>,
    ) -> Option<ProviderSettings> {
        let audience = table.required("tenant", |value| value.parsed(audience));
        let credentials = self.credentials(table);
        let title = title(table, "Microsoft Entra ID (work or school account)");
        let flow = table.optional("flow", |value| value.one_of(&FLOWS));
        let authority = site(table, "authority", MICROSOFT);
        let enrolment = enrolment_url(table, ENTRA_SECURITY);
        let recheck = table.optional("recheck", |value| self.recheck(name.as_ref(), value));
        Some(ProviderSettings::Microsoft(MicrosoftSettings {
            name: name?,
            title: title?,
            authority: authority?,
            audience: audience?,
            credentials: credentials?,
            flow: flow?,
            enrolment_url: enrolment?,
            recheck: recheck?,
        }))
    }

    fn github(
        &mut self,
        name: Option<ProviderId>,
        table: &mut Table<'_>,
    ) -> Option<ProviderSettings> {
        let site = table.optional("url", |value| {
            let url = value.parsed(address::site)?;
            Some((value.parsed(|_| Site::at(&url))?, url))
        });
        let credentials = self.credentials(table);
        let title = table.optional("title", text);
        let scopes = table.optional_or("scopes", owned(["read:user", "user:email"]), |value| {
            let scopes = scopes(value)?;
            self.warn_of_missing_scopes(&scopes, value);
            Some(scopes)
        });
        let recheck = table.optional("recheck", |value| self.recheck(name.as_ref(), value));
        let (site, url) = match site? {
            Some(site) => site,
            None => default_site()?,
        };
        Some(ProviderSettings::GitHub(GitHubSettings {
            name: name?,
            title: title?.unwrap_or_else(|| github_title(&url)),
            site,
            credentials: credentials?,
            scopes: scopes?,
            recheck: recheck?,
        }))
    }

    fn warn_of_missing_scopes(&mut self, scopes: &[String], value: &Value<'_>) {
        let asks = |scope: &str| scopes.iter().any(|one| one == scope);
        if !asks("user") && !asks("read:user") {
            self.warn(
                value,
                "without `read:user` GitHub does not tell whether two-factor authentication is on",
            );
        }
        if !asks("user") && !asks("user:email") {
            self.warn(
                value,
                "without `user:email` GitHub tells no verified e-mail address",
            );
        }
    }

    fn oidc(
        &mut self,
        name: Option<ProviderId>,
        table: &mut Table<'_>,
    ) -> Option<ProviderSettings> {
        let issuer = table.required("issuer", |value| value.parsed(address::issuer));
        let credentials = self.credentials(table);
        let title = table.optional("title", text);
        let scopes = table.optional_or("scopes", owned(["profile", "email"]), scopes);
        let algorithm = table.optional_or(
            "id_token_signed_response_alg",
            SigningAlgorithm::Rs256,
            |value| value.one_of(&ALGORITHMS),
        );
        let email_trust = table.optional_or("email_verified", EmailTrust::Ignored, |value| {
            value.one_of(&EMAIL_TRUST)
        });
        let enrolment = table.optional("enrolment_url", |value| value.parsed(address::web));
        let recheck = table.optional("recheck", |value| self.recheck(name.as_ref(), value));
        let people = table.optional_or("single_tenant", People::Anybodys, |value| {
            let of_one = value.boolean()?;
            Some(if of_one {
                People::OneOrganizations
            } else {
                People::Anybodys
            })
        });
        let groups_claim = table.optional("groups_claim", text);
        let name = name?;
        Some(ProviderSettings::Oidc(OidcSettings {
            title: title?.unwrap_or_else(|| name.to_string()),
            name,
            issuer: issuer?,
            credentials: credentials?,
            scopes: scopes?,
            algorithm: algorithm?,
            email_trust: email_trust?,
            enrolment_url: enrolment?,
            recheck: recheck?,
            people: people?,
            groups_claim: groups_claim?,
        }))
    }

    /// How long until the provider is asked again. What the policy has to do with it is looked at when both are read.
    fn recheck(&mut self, name: Option<&ProviderId>, value: &Value<'_>) -> Option<SignedDuration> {
        let interval = value.duration()?;
        if interval < SHORTEST_RECHECK {
            value.report("expected at least `1m`: providers limit how often they are asked");
            return None;
        }
        if let Some(name) = name {
            self.rechecks
                .insert(name.clone(), (interval, value.place()));
        }
        Some(interval)
    }

    fn credentials(&mut self, table: &mut Table<'_>) -> Option<Credentials> {
        let client_id = table.required("client_id", |value| {
            let id = value.parsed(client_id)?;
            if id == PLACEHOLDER {
                self.warn(value, "put the client id here that the provider gave you");
            }
            Some(id)
        });
        let secret = table.required("client_secret", |value| self.secret(value));
        Some(Credentials {
            client_id: client_id?,
            secret: secret?,
        })
    }
}

/// The proof of a personal account is its `acr`, which is known to come with the person alone.
fn never_again(value: &Value<'_>) -> Option<SignedDuration> {
    value.report(
        "personal accounts can't be asked about again: Microsoft is known to send their proof (`acr`) \
         only when the person signs in; leave it out",
    );
    None
}

/// Whose accounts: a tenant, any tenant, or any tenant and personal accounts.
fn audience(text: &str) -> Result<Audience, &'static str> {
    match text {
        "organizations" => return Ok(Audience::Organizations),
        "common" => return Ok(Audience::Common),
        "consumers" | TenantId::CONSUMERS => {
            return Err(
                "these are personal accounts; their table is `[provider.microsoft-account.NAME]`",
            );
        }
        _ => {}
    }
    TenantId::new(text).map(Audience::Tenant).map_err(|_| {
        "expected a tenant id (a GUID in lower case), `organizations` (any work or school tenant) \
         or `common` (these and personal accounts)"
    })
}

/// RFC 6749 A.1: printable ASCII.
fn client_id(text: &str) -> Result<String, &'static str> {
    let is_id = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    is_id
        .then(|| text.to_owned())
        .ok_or("expected a client id: printable ASCII without spaces")
}

fn title(table: &mut Table<'_>, default: &str) -> Option<String> {
    table.optional_or("title", default.to_owned(), text)
}

/// A provider's site; `default` is an address of ours.
fn site(table: &mut Table<'_>, key: &'static str, default: &str) -> Option<Url> {
    match table.optional(key, |value| value.parsed(address::site))? {
        Some(url) => Some(url),
        None => Url::parse(default).ok(),
    }
}

fn enrolment_url(table: &mut Table<'_>, default: &str) -> Option<Url> {
    match table.optional("enrolment_url", |value| value.parsed(address::web))? {
        Some(url) => Some(url),
        None => Url::parse(default).ok(),
    }
}

fn default_site() -> Option<(Site, Url)> {
    let url = Url::parse(GITHUB).ok()?;
    Some((Site::at(&url).ok()?, url))
}

fn github_title(url: &Url) -> String {
    match url.host_str() {
        Some("github.com") | None => "GitHub".to_owned(),
        Some(host) => format!("GitHub ({host})"),
    }
}

fn scopes(value: &Value<'_>) -> Option<Vec<String>> {
    let scopes = value.set(|item| {
        let scope = item.parsed(Scope::new)?;
        if scope.as_str() == "openid" {
            item.report("`openid` is always asked for; leave it out");
            return None;
        }
        Some(scope.to_string())
    })?;
    Some(scopes.into_iter().collect())
}

fn owned(texts: [&str; 2]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}
