//! `countersign check`: whether the files are right, and what must be registered elsewhere.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use countersign::config::{Installation, ProviderSettings, StoreSettings};
use countersign_core::sign_in::Flow;
use countersign_providers::microsoft::Audience;
use countersign_server::{
    AuditLogSettings, Client, ClientAuthentication, DecisionLogSettings, GrantType, Profile,
    Proxies, Registry,
};

use super::{load, tell};

pub(crate) fn run(path: &Path) -> ExitCode {
    let Some(installation) = load(path) else {
        return ExitCode::FAILURE;
    };
    for warning in &installation.warnings {
        tell(format_args!("warning: {warning}"));
    }
    let summary = Summary {
        path,
        installation: &installation,
    };
    // A pipe may be closed early (`check | head -1`): what was to be said is said.
    match write!(io::stdout(), "{summary}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tell(format_args!("can't write the summary: {error}"));
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// What was read, in the words of the files.
struct Summary<'a> {
    path: &'a Path,
    installation: &'a Installation,
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.installation;
        writeln!(
            f,
            "ok: {} and {}",
            self.path.display(),
            one.policy_file.path().display()
        )?;
        writeln!(f, "issuer: {}", one.settings.issuer())?;
        writeln!(
            f,
            "listens: http://{} (a proxy in front ends TLS)",
            one.listen
        )?;
        if let Some(private) = one.private_listen {
            writeln!(
                f,
                "for operators: http://{private} (/healthz, /readyz, /metrics)"
            )?;
        }
        if let Some(asked) = one.forward_auth_listen {
            writeln!(f, "for proxies: http://{asked} (/forward-auth/NAME)")?;
        }
        writeln!(f, "addresses: {}", addresses(&one.limits.proxies))?;
        writeln!(f, "data: {}", one.data_dir.display())?;
        if let StoreSettings::Redis(redis) = &one.store {
            writeln!(
                f,
                "accounts, sessions and keys: {}, of {}, waiting for {} replicas",
                redis.servers,
                redis.login.user.as_deref().unwrap_or("the default user"),
                redis.replicas
            )?;
        }
        writeln!(f, "decisions: {}", destination(&one.decision_log))?;
        match &one.audit_log {
            AuditLogSettings::Off => writeln!(f, "audit log: off")?,
            AuditLogSettings::File(file) => writeln!(f, "audit log: {}", file.path.display())?,
        }
        if let Some(traces) = &one.traces {
            let to = traces.endpoint.host_str().unwrap_or_default();
            writeln!(f, "traces: to {to}, a share of {}", traces.sample)?;
        }
        for (id, client) in &one.settings.clients {
            writeln!(f, "\nclient {id}: {}", client.name)?;
            self.client(f, client)?;
            let tier = one.policy.policy.client_tier(id).map_or("", String::as_str);
            writeln!(f, "  signing in needs: tier `{tier}`")?;
        }
        for provider in &one.providers {
            let (kind, name) = (provider.kind().as_str(), provider.name());
            writeln!(f, "\nprovider {name} ({kind}): {}", provider.title())?;
            self.provider(f, provider)?;
        }
        for registry in one.settings.registries.values() {
            let title = &registry.profile.title;
            writeln!(
                f,
                "\nregistry {} ({title}): {}",
                registry.name,
                site(registry)
            )?;
            self.registry(f, registry)?;
        }
        Ok(())
    }
}

impl Summary<'_> {
    fn client(&self, f: &mut fmt::Formatter<'_>, client: &Client) -> fmt::Result {
        for uri in &client.redirect_uris {
            writeln!(f, "  redirect URI: {uri}")?;
        }
        let authentication = match client.authentication {
            ClientAuthentication::Public => "public, with PKCE",
            ClientAuthentication::Secret(_) => "by its secret",
            ClientAuthentication::PrivateKey(_) => "by its private key",
        };
        writeln!(f, "  authenticates: {authentication}")?;
        if client.grants.contains(&GrantType::RefreshToken) {
            writeln!(f, "  gets refresh tokens")?;
        }
        if client.grants.contains(&GrantType::ClientCredentials) {
            writeln!(f, "  gets tokens for itself")?;
        }
        if client.grants.contains(&GrantType::TokenExchange) {
            writeln!(f, "  exchanges tokens that it was given")?;
        }
        if client.profile == Profile::Fapi2 {
            writeln!(f, "  is held to the FAPI 2.0 security profile")?;
        }
        if client.must_bind {
            writeln!(f, "  shows a key for its tokens (DPoP)")?;
        }
        if client.must_push {
            writeln!(f, "  pushes its requests")?;
        }
        if client.may_vouch {
            let what = match client.authentication {
                ClientAuthentication::PrivateKey(_) => "accounts, by tickets",
                ClientAuthentication::Secret(_) | ClientAuthentication::Public => {
                    "e-mail addresses, by API"
                }
            };
            writeln!(f, "  vouches for {what}")?;
        }
        writeln!(f, "  ID tokens: {}", client.id_token_algorithm.as_str())?;
        let resources = &self.installation.settings.resources;
        let algorithm = resources
            .get(&client.resource)
            .map_or("", |one| one.algorithm.as_str());
        writeln!(f, "  access tokens: {algorithm}, for {}", client.resource)
    }

    fn provider(&self, f: &mut fmt::Formatter<'_>, provider: &ProviderSettings) -> fmt::Result {
        let issuer = self.installation.settings.issuer();
        writeln!(
            f,
            "  register the redirect URI: {issuer}/callback/{}",
            provider.name()
        )?;
        if may_be_hybrid(self.installation, provider) {
            writeln!(
                f,
                "  switch on, in the app registration: Authentication > Implicit grant and hybrid \
                 flows > ID tokens (used for implicit and hybrid flows)"
            )?;
        }
        if let ProviderSettings::Microsoft(one) = provider {
            writeln!(
                f,
                "  supported account types: {}",
                account_types(&one.audience)
            )?;
        }
        if let Some(interval) = provider.recheck() {
            writeln!(
                f,
                "  asked again when tokens are refreshed, after {interval:#}"
            )?;
            writeln!(f, "  needs: {}", to_ask_again(provider))?;
        }
        Ok(())
    }

    fn registry(&self, f: &mut fmt::Formatter<'_>, registry: &Registry) -> fmt::Result {
        let issuer = self.installation.settings.issuer();
        writeln!(
            f,
            "  its users are those of the client: {}",
            registry.client
        )?;
        for (action, scope) in registry.profile.actions() {
            let policy = &self.installation.policy.policy;
            let tier = policy.tier_of(scope).map(|tier| format!("tier `{tier}`"));
            let tier = tier.unwrap_or_else(|| "nobody may: no tier has the scope".to_owned());
            writeln!(f, "  to {action} needs: {scope}, {tier}")?;
        }
        if let Some(door) = self.installation.registry_listeners.get(&registry.name) {
            writeln!(f, "  its own door: http://{door}")?;
        }
        if let Some(upstream) = &registry.upstream {
            writeln!(f, "  passes requests on to: {upstream}")?;
        }
        if registry.proxy_secret.is_some() {
            writeln!(
                f,
                "  proxies ask: {issuer}/forward-auth/{}, with the secret",
                registry.name
            )?;
        }
        if registry.docker.is_some() {
            writeln!(
                f,
                "  `auth.token.realm`: {issuer}/registry/{}/token",
                registry.name
            )?;
        }
        Ok(())
    }
}

/// Where tools reach it.
fn site(registry: &Registry) -> &str {
    registry.public_url.as_str().trim_end_matches('/')
}

/// What must be allowed there.
fn to_ask_again(provider: &ProviderSettings) -> &'static str {
    match provider {
        ProviderSettings::GitHub(_) => "nothing more than for signing in",
        ProviderSettings::Microsoft(_) => {
            "the permission `offline_access`, and a tenant's `acrs` as proof"
        }
        ProviderSettings::Oidc(_) => {
            "a refresh token for `offline_access`, and the claims of the proof in the ID token of a refresh"
        }
    }
}

/// Whether an answer may come with an ID token in front: by the setting, else by the proof.
pub(super) fn may_be_hybrid(one: &Installation, provider: &ProviderSettings) -> bool {
    match provider {
        ProviderSettings::Microsoft(microsoft) => match microsoft.flow {
            Some(flow) => flow == Flow::Hybrid,
            None => !one.policy.policy.proof(&microsoft.name).acr.is_empty(),
        },
        ProviderSettings::GitHub(_) | ProviderSettings::Oidc(_) => false,
    }
}

/// Where the addresses of people and clients come from.
fn addresses(proxies: &Proxies) -> String {
    match &proxies.trusted {
        None => "not known where a proxy stands in front (`server.trusted_proxies` is not set): \
                 nothing is limited by address then"
            .to_owned(),
        Some(none) if none.is_empty() => "those of the connections".to_owned(),
        Some(trusted) => {
            let trusted: Vec<String> = trusted.iter().map(ToString::to_string).collect();
            format!("as {} tell", trusted.join(", "))
        }
    }
}

fn destination(log: &DecisionLogSettings) -> String {
    match log {
        DecisionLogSettings::Off => "not written down".to_owned(),
        DecisionLogSettings::Stdout => "to stdout".to_owned(),
        DecisionLogSettings::File(file) => file.path.display().to_string(),
    }
}

/// As the portal calls them.
pub(super) fn account_types(audience: &Audience) -> &'static str {
    match audience {
        Audience::Tenant(_) => "accounts in this organizational directory only",
        Audience::Organizations => "accounts in any organizational directory",
        Audience::Common => {
            "accounts in any organizational directory and personal Microsoft accounts"
        }
        Audience::Consumers => "personal Microsoft accounts only",
    }
}
