//! The applications registered with a stand-in.

use url::Url;

/// One registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub id: String,
    /// Known to everyone who reads this crate: for development only.
    pub secret: String,
    pub redirect_uris: RedirectUris,
    /// Entra: loaded in a hidden frame at sign-out, with `sid` and `iss`.
    pub front_channel_logout_uri: Option<String>,
}

/// Which redirect URIs are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectUris {
    /// Any path and port of this machine, by address or as `localhost`.
    AnyLoopback,
    /// These, compared as strings.
    Exactly(Vec<String>),
    /// As GitHub does for OAuth apps: the host with its subdomains and port match, and the path lies beneath.
    /// <https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps#redirect-urls>
    Beneath(String),
}

impl Client {
    /// `countersign-dev` with the secret `countersign-dev-secret`, redirecting to this machine.
    pub fn development() -> Self {
        Self {
            id: Self::DEVELOPMENT_ID.to_owned(),
            secret: Self::DEVELOPMENT_SECRET.to_owned(),
            redirect_uris: RedirectUris::AnyLoopback,
            front_channel_logout_uri: None,
        }
    }

    pub const DEVELOPMENT_ID: &str = "countersign-dev";
    pub const DEVELOPMENT_SECRET: &str = "countersign-dev-secret";

    pub(crate) fn may_redirect_to(&self, uri: &str) -> bool {
        match &self.redirect_uris {
            RedirectUris::AnyLoopback => is_loopback(uri),
            RedirectUris::Exactly(known) => known.iter().any(|known| known == uri),
            RedirectUris::Beneath(registered) => is_beneath(registered, uri).unwrap_or(false),
        }
    }
}

fn is_loopback(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|uri| match uri.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    })
}

fn is_beneath(registered: &str, uri: &str) -> Option<bool> {
    let (registered, uri) = (Url::parse(registered).ok()?, Url::parse(uri).ok()?);
    let (parent, host) = (registered.host_str()?, uri.host_str()?);
    let host_fits = host == parent || host.strip_suffix(parent)?.ends_with('.');
    let path = registered.path().trim_end_matches('/');
    let path_fits = uri
        .path()
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    Some(
        host_fits
            && path_fits
            && registered.scheme() == uri.scheme()
            && registered.port_or_known_default() == uri.port_or_known_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beneath_takes_subpaths_and_subdomains_and_nothing_else() {
        let registered = "http://reg.example/oauth";
        let check = |uri, expected| {
            assert_eq!(
                is_beneath(registered, uri).unwrap_or(false),
                expected,
                "{uri}"
            );
        };
        check("http://reg.example/oauth", true);
        check("http://reg.example/oauth/deep", true);
        check("http://evil.reg.example/oauth", true);
        check("http://reg.example/oauthx", false);
        check("http://reg.example/", false);
        check("http://evilreg.example/oauth", false);
        check("http://reg.example:81/oauth", false);
        check("https://reg.example/oauth", false);
    }

    #[test]
    fn loopback_is_not_a_name_that_begins_like_it() {
        assert!(is_loopback("http://127.0.0.7:1234/callback"));
        assert!(is_loopback("http://localhost/callback"));
        assert!(!is_loopback("http://localhost.evil.example/callback"));
        assert!(!is_loopback("http://127.0.0.1.evil.example/callback"));
    }
}
