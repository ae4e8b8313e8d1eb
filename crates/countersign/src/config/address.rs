//! Which addresses may be written where.

use countersign_providers::http::is_loopback;
use url::{Host, Url};

const NO_ADDRESS: &str = "expected an address such as `https://host.example`";

/// An address that begins with `https://`, or on a loopback host with `http://`; any path.
pub(super) fn web(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| NO_ADDRESS)?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err("plain http is for loopback addresses only; expected `https://…`"),
        _ => return Err(NO_ADDRESS),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected an address without user and password");
    }
    Ok(url)
}

/// A whole site: scheme, host and port.
pub(super) fn site(text: &str) -> Result<Url, &'static str> {
    let url = web(text)?;
    if url.path() == "/" && url.query().is_none() && url.fragment().is_none() {
        Ok(url)
    } else {
        Err("expected scheme, host and port only, without path, query and fragment")
    }
}

/// An issuer of OpenID Connect (Discovery 1.0, 3): a path may follow, no query and no fragment.
pub(super) fn issuer(text: &str) -> Result<Url, &'static str> {
    let url = web(text)?;
    if text.ends_with("/.well-known/openid-configuration") {
        Err("expected the issuer, which is the address before `/.well-known/openid-configuration`")
    } else if url.query().is_some() || url.fragment().is_some() {
        Err("expected an issuer, which has neither query nor fragment")
    } else {
        Ok(url)
    }
}

/// Where people may be sent back to. It is compared to the letter (RFC 9700 4.1.3), so it must
/// stand here as libraries write it.
pub(super) fn redirect_uri(text: &str) -> Result<String, String> {
    let url = web(text)?;
    if url.fragment().is_some() {
        return Err("a redirect URI has no fragment (RFC 6749 3.1.2)".to_owned());
    }
    if text.contains('*') {
        return Err("redirect URIs are compared to the letter; `*` stands for nothing else".into());
    }
    let normal = url.as_str();
    if text == normal || Some(text) == normal.strip_suffix('/') {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is compared to the letter, and is usually written `{normal}`"
        ))
    }
}

/// The audience of access tokens: an absolute URI without fragment (RFC 8707 2).
pub(super) fn audience(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str =
        "expected an absolute URI without fragment, such as `https://registry.example` (RFC 8707)";
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_printable && url.fragment().is_none())
        .then(|| text.to_owned())
        .ok_or(EXPECTED)
}

/// A host name or an address, without scheme and port.
pub(super) fn host(text: &str) -> Result<String, &'static str> {
    let host = Host::parse(text).map(|host| host.to_string());
    host.map_err(|_| "expected a host such as `keycloak.internal` or `10.0.0.7`, without scheme, port and path")
}
