//! The public address: whether people and registries reach this installation there, as itself.

use countersign_providers::examine::Look;
use countersign_providers::http::is_loopback;
use countersign_providers::{Http, PrivateHosts, ProviderError};
use serde_json::Value;
use url::Url;

use super::Patient;
use super::finding::Finding;

const DESCRIPTION: &str = "/.well-known/openid-configuration";

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let settings = &patient.installation.settings;
    let issuer = settings.issuer.clone();
    // This machine may know the name by a private address; it is our own.
    let http = match Http::new(PrivateHosts::new(issuer.host_str().map(str::to_owned))) {
        Ok(http) => http,
        Err(error) => return vec![not_reached(settings.issuer(), &error)],
    };
    let described = get(&http, &issuer, DESCRIPTION).await;
    let metrics = get(&http, &issuer, "/metrics").await;
    let mut findings = judge(&issuer, settings.issuer(), &described);
    findings.extend(
        metrics
            .ok()
            .and_then(|look| judge_private(settings.issuer(), &look)),
    );
    findings
}

async fn get(http: &Http, issuer: &Url, path: &str) -> Result<Look, ProviderError> {
    let url = issuer.join(path);
    let url = url.map_err(|_| ProviderError::Answer("an address that can't be asked"))?;
    http.look(&url, &Patient::now).await
}

fn judge(issuer: &Url, name: &str, described: &Result<Look, ProviderError>) -> Vec<Finding> {
    let of = format!("issuer {name}");
    let look = match described {
        Ok(look) => look,
        Err(error) => return vec![not_reached(name, error)],
    };
    let body: Option<Value> = serde_json::from_slice(&look.body).ok();
    let said = body.as_ref().and_then(|body| body.get("issuer")?.as_str());
    let answer = match (look.status, said) {
        (200, Some(said)) if said == name => Finding::fine(&of, "answers as itself"),
        (200, Some(_)) => Finding::failure(
            &of,
            "its description names another issuer: every library will refuse it",
            "the proxy leads to another installation, or the server runs with another `server.issuer`",
        ),
        (status, _) => Finding::failure(
            &of,
            format!("{DESCRIPTION} answers with status {status}, and no description"),
            "see that the proxy passes every path on to `server.listen`, and that the server runs",
        ),
    };
    let ours = look.headers.contains_key("x-request-id");
    let hardened = look.headers.contains_key("strict-transport-security")
        && look.headers.contains_key("content-security-policy");
    let headers = match (is_loopback(issuer), ours && !hardened) {
        (true, _) | (false, false) => None,
        (false, true) => Some(Finding::warning(
            &of,
            "the proxy takes away security headers (`Strict-Transport-Security`, `Content-Security-Policy`)",
            "let the proxy pass the answers' headers on as they are",
        )),
    };
    std::iter::once(answer).chain(headers).collect()
}

/// What is for operators must not be for everybody.
fn judge_private(name: &str, look: &Look) -> Option<Finding> {
    let is_ours = look.body.windows(12).any(|part| part == b"countersign_");
    (look.status == 200 && is_ours).then(|| {
        Finding::failure(
            format!("issuer {name}"),
            "/metrics can be read by everybody",
            "let the proxy pass on to `server.listen` alone, never to `server.private_listen`",
        )
    })
}

fn not_reached(name: &str, error: &ProviderError) -> Finding {
    let found = match error {
        ProviderError::Unreachable(cause) if cause.is_empty() => "can't be reached".to_owned(),
        ProviderError::Unreachable(cause) => format!("can't be reached: {cause}"),
        ProviderError::Timeout => "did not answer in time".to_owned(),
        other => other.to_string(),
    };
    Finding::failure(
        format!("issuer {name}"),
        found,
        "people and registries come by this address: see that the name leads to the proxy, that its certificate is \
         good, and that the proxy and the server run; where only this machine can't reach it, ask from another",
    )
}
