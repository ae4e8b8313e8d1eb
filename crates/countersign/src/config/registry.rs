//! `[registry.NAME]`: the registries whose own tools we stand in front of.

use std::collections::BTreeMap;

use countersign_core::document::{Key, Table, Value};
use countersign_core::registry::{Profile, Source};
use countersign_core::{ClientId, RegistryName};
use countersign_server::{
    Client, DockerSettings, GrantType, KeyHeader, Registry, SecretDigest, SigningAlgorithm,
};
use secrecy::ExposeSecret;
use url::Url;

use super::address;
use super::file::Reader;

/// The profiles that come with the program, by name: `config/registries/NAME.toml`.
pub const BUILT_IN: [(&str, &str); 10] = [
    (
        "clojars",
        include_str!("../../../../config/registries/clojars.toml"),
    ),
    (
        "crates-io",
        include_str!("../../../../config/registries/crates-io.toml"),
    ),
    (
        "docker",
        include_str!("../../../../config/registries/docker.toml"),
    ),
    (
        "go-proxy",
        include_str!("../../../../config/registries/go-proxy.toml"),
    ),
    (
        "maven-central",
        include_str!("../../../../config/registries/maven-central.toml"),
    ),
    (
        "npm",
        include_str!("../../../../config/registries/npm.toml"),
    ),
    (
        "nuget",
        include_str!("../../../../config/registries/nuget.toml"),
    ),
    (
        "pypi",
        include_str!("../../../../config/registries/pypi.toml"),
    ),
    (
        "rubygems",
        include_str!("../../../../config/registries/rubygems.toml"),
    ),
    (
        "swift-package-index",
        include_str!("../../../../config/registries/swift-package-index.toml"),
    ),
];

/// The text of a profile that comes with the program.
pub fn built_in(name: &str) -> Option<&'static str> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

impl Reader<'_> {
    pub(super) fn registries(
        &mut self,
        value: &Value<'_>,
        clients: Option<&BTreeMap<ClientId, Client>>,
    ) -> Option<BTreeMap<RegistryName, Registry>> {
        value.entries(|key, value| {
            let (name, registry) = self.registry(key, value)?;
            let client = clients.and_then(|clients| clients.get(&registry.client));
            let waits = registry.profile.lets_tools_wait();
            if client.is_some_and(|client| waits && !client.may(GrantType::DeviceCode)) {
                value.report(format_args!(
                    "its tools wait until somebody has signed in, and `[client.{}]` has no `{}` among its `grant_types`",
                    registry.client,
                    GrantType::DeviceCode.as_str(),
                ));
                return None;
            }
            Some((name, registry))
        })
    }

    fn registry(&mut self, key: &Key<'_>, value: &Value<'_>) -> Option<(RegistryName, Registry)> {
        let name = key.parsed(RegistryName::new);
        let registry = value.table(|table| {
            let base = table.required("profile", |value| self.profile(value));
            let profile = table.optional("override", |value| {
                let base = base.as_ref()?;
                value.table(|over| Profile::read(over, Some(base)))
            });
            let client = table.required("client", |value| self.client_of_registry(value));
            let public_url = table.required("public_url", |value| value.parsed(address::site));
            let proxy_secret = table.optional("proxy_secret", |value| self.secret(value));
            let upstream = table.optional("upstream", |value| value.parsed(upstream_url));
            let authorization = table.optional("upstream_authorization", |value| self.secret(value));
            let docker = table.optional("docker", |value| value.table(docker));
            let listener = table.optional("listen", |value| self.listener(value));
            let (profile, base) = (profile?, base?);
            let (upstream, listener) = (upstream?, listener?);
            if upstream.is_some() && listener.is_none() {
                table.report_missing("listen", ": an `upstream` is for requests that come there");
                return None;
            }
            let takes_queries = |source: &Source| matches!(source, Source::Query(_));
            let used = profile.as_ref().unwrap_or(&base);
            if upstream.is_some() && used.sources.iter().any(takes_queries) {
                table.report(
                    "has an `upstream`, and its profile takes credentials in the query, with which requests are passed on",
                );
                return None;
            }
            self.registry_listeners.extend(name.clone().zip(listener));
            let secret = proxy_secret?;
            let (profile, public_url) = (profile.unwrap_or(base), public_url?);
            let docker = match (&profile.docker, docker?) {
                (Some(_), named) => Some(named.unwrap_or_default().settings(&public_url)),
                (None, None) => None,
                (None, Some(_)) => {
                    table.report(
                        "has a `docker`, and its profile has no tokens of the registry's own",
                    );
                    return None;
                }
            };
            Some(Registry {
                name: name.clone()?,
                profile,
                client: client?,
                public_url,
                docker,
                proxy_secret: secret.map(|secret| SecretDigest::of(secret.expose_secret())),
                upstream,
                upstream_authorization: authorization?,
            })
        });
        let registry = registry?;
        for (action, scope) in registry.profile.actions() {
            let told = format!("{}.{action}", value.name());
            self.registry_scopes
                .push((scope.clone(), told, value.place()));
        }
        Some((name?, registry))
    }

    /// One of ours by its name, or a file.
    fn profile(&mut self, value: &Value<'_>) -> Option<Profile> {
        let named = value.string()?;
        let (file, text) = match built_in(named) {
            Some(text) => (format!("{named}.toml"), text.to_owned()),
            None if is_file(named) => {
                let path = self.path(value)?;
                match self.outside.file(&path) {
                    Ok(contents) => (path.display().to_string(), contents.text),
                    Err(error) => {
                        value.report(format_args!("can't read `{}`: {error}", path.display()));
                        return None;
                    }
                }
            }
            None => {
                let known: Vec<String> = BUILT_IN.map(|(name, _)| format!("`{name}`")).into();
                value.report(format_args!(
                    "expected one of {}, or a file that ends in `.toml`",
                    known.join(", ")
                ));
                return None;
            }
        };
        match Profile::load(&file, &text) {
            Ok((profile, warnings)) => {
                self.warnings.extend(warnings);
                Some(profile)
            }
            Err(problems) => {
                for problem in problems {
                    value.report(problem);
                }
                None
            }
        }
    }

    fn client_of_registry(&self, value: &Value<'_>) -> Option<ClientId> {
        let client = value.parsed(ClientId::new)?;
        if value.is_sound() && !self.clients.contains(&client) {
            value.report(format_args!(
                "there is no `[client.{client}]`: the policy says by it who may use the registry's tools"
            ));
            return None;
        }
        Some(client)
    }
}

/// What is said of a registry's own tokens.
#[derive(Debug, Default)]
struct NamedDocker {
    service: Option<String>,
    key_header: Option<KeyHeader>,
    algorithm: Option<SigningAlgorithm>,
}

impl NamedDocker {
    /// Unless it is said, a registry calls itself as its clients do, and finds keys by certificates: every version does,
    /// and no rotation asks for another file.
    fn settings(self, public_url: &Url) -> DockerSettings {
        let host = public_url.host_str().unwrap_or_default();
        let name = match public_url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        DockerSettings {
            service: self.service.unwrap_or(name),
            key_header: self.key_header.unwrap_or(KeyHeader::X5c),
            algorithm: self.algorithm.unwrap_or(SigningAlgorithm::Es256),
        }
    }
}

fn docker(table: &mut Table<'_>) -> Option<NamedDocker> {
    let service = table.optional("service", |value| value.parsed(service));
    let key_header = table.optional("key_header", |value| value.one_of(&KEY_HEADERS));
    let algorithm = table.optional("algorithm", |value| value.one_of(&ALGORITHMS));
    Some(NamedDocker {
        service: service?,
        key_header: key_header?,
        algorithm: algorithm?,
    })
}

const KEY_HEADERS: [(&str, KeyHeader); 3] = [
    ("x5c", KeyHeader::X5c),
    ("kid", KeyHeader::Kid),
    ("libtrust", KeyHeader::Libtrust),
];

/// Those that every registry knows.
const ALGORITHMS: [(&str, SigningAlgorithm); 2] = [
    ("ES256", SigningAlgorithm::Es256),
    ("RS256", SigningAlgorithm::Rs256),
];

/// What a registry calls itself: the operator's words, which become the `aud`.
fn service(text: &str) -> Result<String, &'static str> {
    let is_good = (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    is_good
        .then(|| text.to_owned())
        .ok_or("expected the registry's own `auth.token.service`: 1 to 255 ASCII characters")
}

fn is_file(name: &str) -> bool {
    std::path::Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "toml")
}

/// The registry itself: a site, by plain http too, since it stands behind us.
fn upstream_url(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str = "expected scheme, host and port such as `http://10.0.0.7:4873`, without path, query and user";
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    let is_site = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_site.then_some(url).ok_or(EXPECTED)
}

#[cfg(test)]
mod tests {
    use countersign_core::registry::Access;

    use super::*;

    /// What each profile says of what its tools send.
    const SENT: [(&str, &str, &str, &str); 64] = [
        ("npm", "GET", "/left-pad", "open"),
        ("npm", "GET", "/@alice%2fhello", "open"),
        ("npm", "GET", "/@alice/hello/-/hello-1.0.0.tgz", "open"),
        ("npm", "POST", "/-/npm/v1/security/advisories/bulk", "open"),
        ("npm", "POST", "/-/npm/v1/security/audits/quick", "open"),
        ("npm", "POST", "/-/v1/login", "npm-login"),
        ("npm", "GET", "/-/v1/done?s=1", "npm-done"),
        ("npm", "GET", "/-/whoami", "npm-whoami"),
        ("npm", "DELETE", "/-/user/token/csk_1", "npm-logout"),
        ("npm", "PUT", "/-/user/org.couchdb.user:ann", "refused"),
        ("npm", "GET", "/-/user/org.couchdb.user:ann", "manage"),
        ("npm", "GET", "/-/npm/v1/tokens", "refused"),
        ("npm", "PUT", "/@alice%2fhello", "publish @alice/hello"),
        (
            "npm",
            "PUT",
            "/@alice%2fhello/-rev/3-1",
            "unpublish @alice/hello",
        ),
        (
            "npm",
            "DELETE",
            "/@alice/hello/-/hello-1.0.0.tgz/-rev/3-1",
            "unpublish @alice/hello",
        ),
        (
            "npm",
            "DELETE",
            "/@alice/hello/-/@alice/hello-1.0.0.tgz/-rev/3-1",
            "unpublish @alice/hello",
        ),
        (
            "npm",
            "DELETE",
            "/@alice%2fhello/-/@alice%2fhello-1.0.0.tgz/-rev/3-1",
            "unpublish @alice/hello",
        ),
        (
            "npm",
            "PUT",
            "/-/package/@alice%2fhello/dist-tags/beta",
            "publish @alice/hello",
        ),
        ("npm", "GET", "/-/package/@alice%2fhello/dist-tags", "open"),
        (
            "npm",
            "GET",
            "/-/package/@alice%2fhello/access",
            "manage @alice/hello",
        ),
        ("npm", "PUT", "/-/org/alice/user", "manage"),
        (
            "npm",
            "POST",
            "/-/npm/v1/oidc/token/exchange/package/@alice%2fhello",
            "refused",
        ),
        ("pypi", "GET", "/simple/hello/", "open"),
        ("pypi", "POST", "/legacy/", "publish"),
        ("pypi", "POST", "/", "publish"),
        ("pypi", "GET", "/_/oidc/audience", "refused"),
        ("crates-io", "GET", "/config.json", "open"),
        ("crates-io", "GET", "/he/ll/hello", "open"),
        (
            "crates-io",
            "GET",
            "/api/v1/crates/hello/1.0.0/download",
            "open",
        ),
        ("crates-io", "GET", "/api/v1/crates/hello/owners", "open"),
        ("crates-io", "PUT", "/api/v1/crates/new", "publish"),
        (
            "crates-io",
            "DELETE",
            "/api/v1/crates/hello/1.0.0/yank",
            "yank hello",
        ),
        (
            "crates-io",
            "PUT",
            "/api/v1/crates/hello/1.0.0/unyank",
            "yank hello",
        ),
        (
            "crates-io",
            "PUT",
            "/api/v1/crates/hello/owners",
            "owners hello",
        ),
        ("crates-io", "GET", "/me", "keys-page"),
        ("crates-io", "GET", "/api/v1/me/updates", "manage"),
        (
            "crates-io",
            "POST",
            "/api/v1/trusted_publishing/tokens",
            "refused",
        ),
        ("nuget", "GET", "/v3/index.json", "open"),
        ("nuget", "PUT", "/api/v2/package", "publish"),
        ("nuget", "PUT", "/api/v2/package/", "publish"),
        (
            "nuget",
            "DELETE",
            "/api/v2/package/Hello/1.0.0",
            "unlist Hello",
        ),
        (
            "nuget",
            "DELETE",
            "/API/V2/Package/Hello/1.0.0",
            "unlist Hello",
        ),
        ("nuget", "POST", "/api/v2/token", "refused"),
        (
            "maven-central",
            "GET",
            "/maven2/com/example/app/maven-metadata.xml",
            "open",
        ),
        (
            "maven-central",
            "PUT",
            "/maven2/com/example/app/1.0/app-1.0.jar",
            "publish com/example/app",
        ),
        (
            "maven-central",
            "PUT",
            "/com/example/app/1.0/app-1.0.jar",
            "publish com/example/app",
        ),
        (
            "maven-central",
            "DELETE",
            "/com/example/app/1.0/app-1.0.jar",
            "unpublish",
        ),
        (
            "maven-central",
            "POST",
            "/api/v1/publisher/upload?name=x",
            "publish",
        ),
        (
            "clojars",
            "PUT",
            "/repo/org/example/app/1.0/app-1.0.pom",
            "publish org/example/app",
        ),
        (
            "clojars",
            "GET",
            "/repo/org/example/app/1.0/app-1.0.pom",
            "open",
        ),
        ("rubygems", "GET", "/specs.4.8.gz", "open"),
        ("rubygems", "POST", "/api/v1/api_key", "gem-sign-in"),
        ("rubygems", "POST", "/api/v1/gems", "publish"),
        ("rubygems", "DELETE", "/api/v1/gems/yank", "yank"),
        (
            "rubygems",
            "POST",
            "/api/v1/gems/hello/owners",
            "owners hello",
        ),
        (
            "rubygems",
            "POST",
            "/api/v1/webauthn_verification",
            "refused",
        ),
        ("rubygems", "PUT", "/api/v1/api_key", "refused"),
        ("rubygems", "GET", "/sign_up", "code-page"),
        (
            "go-proxy",
            "GET",
            "/github.com/!alice/hello/@v/v1.0.0.zip",
            "open",
        ),
        (
            "go-proxy",
            "POST",
            "/github.com/!alice/hello/@v/v1.0.0.zip",
            "refused",
        ),
        ("swift-package-index", "GET", "/packages.json", "open"),
        (
            "swift-package-index",
            "PUT",
            "/alice/hello/1.0.0",
            "refused",
        ),
        ("docker", "GET", "/v2/", "refused"),
        ("docker", "PUT", "/v2/alice/hello/manifests/1", "refused"),
    ];

    #[test]
    fn each_profile_knows_what_its_tools_send() {
        for (name, method, target, expected) in SENT {
            let text = built_in(name).unwrap();
            let (profile, warnings) = Profile::load(name, text).unwrap();
            assert_eq!(warnings.len(), 0, "{name}: {warnings:?}");
            let sorted = profile.sort(method, target).unwrap();
            let access = match sorted.access {
                Access::Open => "open",
                Access::Gated(action) => action,
                Access::Ours(answer) => answer.as_str(),
                Access::Refused(_) => "refused",
            };
            let is_gated = matches!(sorted.access, Access::Gated(_));
            let package = sorted.package().filter(|_| is_gated);
            let package = package.map(|package| format!(" {package}"));
            let found = format!("{access}{}", package.unwrap_or_default());
            assert_eq!(found, expected, "{name}: {method} {target}");
        }
    }
}
