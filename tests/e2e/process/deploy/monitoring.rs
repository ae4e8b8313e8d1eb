//! Alerts and the dashboard are made of metrics that the program has, and of no others.

use std::collections::BTreeSet;

use crate::process::Site;

const PREFIX: &str = "countersign_";

/// Every metric that is named in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.match_indices(PREFIX)
        .map(|(at, _)| {
            let rest = &text[at..];
            &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())]
        })
        .collect()
}

/// Every series that the program tells, by its name.
fn told(metrics: &str) -> BTreeSet<&str> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| &line[..line.find(['{', ' ']).expect("a name")])
        .collect()
}

/// The labels that a series of this name has.
fn labels<'m>(metrics: &'m str, name: &str) -> BTreeSet<&'m str> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
    lines
        .filter_map(|line| Some(line.strip_prefix('{')?.split_once('}')?.0))
        .flat_map(|labels| labels.split(','))
        .filter_map(|label| Some(label.split_once('=')?.0))
        .collect()
}

#[actix_web::test]
async fn alerts_and_dashboard_name_metrics_that_the_program_has() {
    let site = Site::new().await;
    let here = &site.installation;
    let grants = "[client.gallery]\ngrant_types = [\"authorization_code\", \"refresh_token\"]";
    here.replace("countersign.toml", "[client.gallery]", grants);
    let program = here.start();
    let tokens = site.redeem(&site.code().await).await;
    // One that came twice, long enough apart.
    let first = tokens.text("refresh_token");
    let second = site.refresh(first).await;
    site.refresh(second.text("refresh_token")).await;
    site.refresh(first).await;
    site.sign_in("github", "bob-password", |_, _| {}).await;
    countersign_tests::wire::get(&here.issuer, "/nowhere", &[]).await;
    let metrics = program.metrics().await;
    let told = told(&metrics);
    // Its series begins with the first decision that rests on an exception, which a test beside it counts.
    let later = "countersign_exceptions_used_total";
    for file in [
        "prometheus/alerts.yaml",
        "prometheus/alerts_test.yaml",
        "grafana-dashboard.json",
    ] {
        let text = super::text(file);
        let named = named(&text);
        assert!(named.len() > 4, "{file}: {named:?}");
        for name in named {
            assert!(
                told.contains(name) || name == later,
                "{file}: no metric `{name}` in: {metrics}"
            );
        }
    }
    for (name, label) in [
        ("countersign_requests_total", "route"),
        ("countersign_requests_total", "status"),
        ("countersign_request_duration_seconds_bucket", "route"),
        ("countersign_request_duration_seconds_bucket", "le"),
        ("countersign_sign_ins_total", "outcome"),
        ("countersign_sign_ins_total", "reason"),
        ("countersign_sign_ins_total", "provider"),
        ("countersign_tokens_issued_total", "client"),
        ("countersign_refresh_tokens_reused_total", "client"),
        ("countersign_token_requests_refused_total", "reason"),
        ("countersign_requests_refused_total", "reason"),
        ("countersign_policy_info", "hash"),
        ("countersign_build_info", "version"),
    ] {
        assert!(
            labels(&metrics, name).contains(label),
            "`{name}` has no `{label}`: {metrics}"
        );
    }
    assert!(
        metrics.contains("countersign_requests_total{route=\"other\",status=\"404\"} 1"),
        "{metrics}"
    );
    let documented = std::fs::read_to_string(super::path("../docs/operate.md")).expect("the page");
    for name in &told {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let family = family.unwrap_or(name);
        assert!(
            documented.contains(&format!("`{family}`")),
            "`{family}` is not documented"
        );
    }
}
