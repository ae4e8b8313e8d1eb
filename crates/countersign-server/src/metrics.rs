//! What is counted, for monitoring: a method for each thing that happens.
//!
//! Labels are our own codes and names that the operator chose. Never a tenant, a person, or a text that a
//! client or a provider sent: that would tell who signs in where, and grow without end.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::{ClientId, ExceptionName, ProviderId, Reason};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::{AuditLog, DecisionLog, PolicyHandle};

/// Everything that is counted since the start.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    counters: Counters,
}

/// Upper ends of what the time of an answer is counted in, in seconds: a page, a signature, a provider, the
/// time limit of a request.
const SECONDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 45.0,
];

#[derive(Debug)]
struct Counters {
    requests: Family<Answer, Counter>,
    request_duration: Family<Route, Histogram, fn() -> Histogram>,
    sign_ins: Family<SignIn, Counter>,
    requests_refused: Family<Refusal, Counter>,
    tokens_issued: Family<Issue, Counter>,
    token_requests_refused: Family<Refusal, Counter>,
    exceptions_used: Family<Waiver, Counter>,
    refresh_tokens_reused: Family<Issue, Counter>,
    provider_rechecks: Family<Recheck, Counter>,
    single_sign_ons: Family<Issue, Counter>,
    logout_notices: Family<Notice, Counter>,
    requests_limited: Family<Limited, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: Cow<'static, str>,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignIn {
    outcome: &'static str,
    reason: &'static str,
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limited {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Issue {
    client: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Recheck {
    provider: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Notice {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Waiver {
    exception: String,
}

impl Metrics {
    /// The content type of [`Self::text`].
    pub(crate) const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Counts from zero. What others keep count of themselves is asked of them when somebody looks.
    pub(crate) fn new(
        policy: PolicyHandle,
        decisions: Arc<DecisionLog>,
        audit: Arc<AuditLog>,
    ) -> Self {
        let mut registry = Registry::with_prefix("countersign");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", version);
        let counters = Counters::new();
        counters.register(&mut registry);
        registry.register_collector(Box::new(OfPolicy(policy)));
        registry.register_collector(Box::new(OfDecisions(decisions)));
        registry.register_collector(Box::new(OfAudit(audit)));
        Self { registry, counters }
    }

    /// A request was answered. `route` is the pattern that it fits; what fits none is counted together, since
    /// anybody can make up paths.
    pub(crate) fn request_answered(
        &self,
        route: Option<Cow<'static, str>>,
        status: u16,
        taken: Duration,
    ) {
        let route = route.unwrap_or("other".into());
        let times = Route {
            route: route.clone(),
        };
        let times = self.counters.request_duration.get_or_create(&times);
        times.observe(taken.as_secs_f64());
        let answer = Answer { route, status };
        self.counters.requests.get_or_create(&answer).inc();
    }

    /// A sign-in ended with a code for the client.
    pub(crate) fn sign_in_permitted(&self, provider: &ProviderId) {
        self.count_sign_in("permitted", "permitted", provider);
    }

    /// A person is asked to go back to the provider for what was missing.
    pub(crate) fn sign_in_stepped_up(&self, provider: &ProviderId, missing: &[Reason]) {
        let reason = missing
            .first()
            .map_or("mfa-unknown", |reason| reason.code());
        self.count_sign_in("stepped-up", reason, provider);
    }

    /// The policy turned a login away.
    pub(crate) fn sign_in_refused(&self, provider: &ProviderId, reason: Reason) {
        self.count_sign_in("refused", reason.code(), provider);
    }

    /// A sign-in came to nothing, and not because of the policy.
    pub(crate) fn sign_in_failed(&self, provider: &ProviderId, code: &'static str) {
        self.count_sign_in("failed", code, provider);
    }

    /// A browser asked for what can't be answered.
    pub(crate) fn request_refused(&self, code: &'static str) {
        let reason = Refusal { reason: code };
        self.counters.requests_refused.get_or_create(&reason).inc();
    }

    /// A request was refused because there were too many.
    pub(crate) fn limited(&self, limit: &'static str) {
        let limit = Limited { limit };
        self.counters.requests_limited.get_or_create(&limit).inc();
    }

    /// A client got an access token.
    pub(crate) fn token_issued(&self, client: &ClientId) {
        let client = client.to_string();
        self.counters
            .tokens_issued
            .get_or_create(&Issue { client })
            .inc();
    }

    /// A client got an OAuth error instead of a token.
    pub(crate) fn token_refused(&self, error: &'static str) {
        let reason = Refusal { reason: error };
        self.counters
            .token_requests_refused
            .get_or_create(&reason)
            .inc();
    }

    /// A refresh token of this client's came twice.
    pub(crate) fn refresh_token_reused(&self, client: &ClientId) {
        let client = client.to_string();
        self.counters
            .refresh_tokens_reused
            .get_or_create(&Issue { client })
            .inc();
    }

    /// A provider was asked again about a login. `outcome` is a word of ours.
    pub(crate) fn provider_asked_again(&self, provider: &ProviderId, outcome: &'static str) {
        let provider = provider.to_string();
        self.counters
            .provider_rechecks
            .get_or_create(&Recheck { provider, outcome })
            .inc();
    }

    /// A client got a code from a session that was there already.
    pub(crate) fn single_sign_on(&self, client: &ClientId) {
        let client = client.to_string();
        self.counters
            .single_sign_ons
            .get_or_create(&Issue { client })
            .inc();
    }

    /// A client was told of the end of a session, or could not be.
    pub(crate) fn logout_notice(&self, outcome: &'static str) {
        let notice = Notice { outcome };
        self.counters.logout_notices.get_or_create(&notice).inc();
    }

    /// A decision rests on this exception of the policy.
    pub(crate) fn exception_used(&self, exception: &ExceptionName) {
        let exception = exception.to_string();
        self.counters
            .exceptions_used
            .get_or_create(&Waiver { exception })
            .inc();
    }

    /// All of it, in the OpenMetrics text format.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn count_sign_in(&self, outcome: &'static str, reason: &'static str, provider: &ProviderId) {
        let provider = provider.to_string();
        let labels = SignIn {
            outcome,
            reason,
            provider,
        };
        self.counters.sign_ins.get_or_create(&labels).inc();
    }
}

impl Counters {
    fn new() -> Self {
        Self {
            requests: Family::default(),
            request_duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            sign_ins: Family::default(),
            requests_refused: Family::default(),
            tokens_issued: Family::default(),
            token_requests_refused: Family::default(),
            exceptions_used: Family::default(),
            refresh_tokens_reused: Family::default(),
            provider_rechecks: Family::default(),
            single_sign_ons: Family::default(),
            logout_notices: Family::default(),
            requests_limited: Family::default(),
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests that were answered, by what they fit",
            self.requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "How long an answer took",
            self.request_duration.clone(),
        );
        registry.register(
            "sign_ins",
            "Answers of providers, by what came of them",
            self.sign_ins.clone(),
        );
        registry.register(
            "requests_refused",
            "Requests that were refused before or beside a sign-in, by page, redirect or the API",
            self.requests_refused.clone(),
        );
        registry.register(
            "tokens_issued",
            "Access tokens issued",
            self.tokens_issued.clone(),
        );
        registry.register(
            "token_requests_refused",
            "Requests to /token, /introspect, /revoke and /revocations that were refused, by OAuth error",
            self.token_requests_refused.clone(),
        );
        registry.register(
            "exceptions_used",
            "Decisions that rest on an exception of the policy",
            self.exceptions_used.clone(),
        );
        registry.register(
            "requests_limited",
            "Requests that were refused because there were too many (429), by limit",
            self.requests_limited.clone(),
        );
        registry.register(
            "refresh_tokens_reused",
            "Refresh tokens that came twice, and so ended their grant",
            self.refresh_tokens_reused.clone(),
        );
        registry.register(
            "provider_rechecks",
            "Times that a provider was asked again about a login, by what it said",
            self.provider_rechecks.clone(),
        );
        registry.register(
            "single_sign_ons",
            "Codes from a session that was there already, by client",
            self.single_sign_ons.clone(),
        );
        registry.register(
            "logout_notices",
            "Tries to tell a client of the end of a session, by how they ended",
            self.logout_notices.clone(),
        );
    }
}

/// What is asked of the policy when somebody looks.
#[derive(Debug)]
struct OfPolicy(PolicyHandle);

impl Collector for OfPolicy {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let status = self.0.status();
        let hash = Info::new([("hash", status.hash.to_string())]);
        add(&mut encoder, "policy", "The policy in force", &hash)?;
        add(
            &mut encoder,
            "policy_in_force_since_seconds",
            "When it came into force, as a Unix time",
            &ConstGauge::new(status.since.as_second()),
        )?;
        add(
            &mut encoder,
            "policy_stale",
            "1 if the policy file can't be loaded and an earlier policy stays in force",
            &ConstGauge::new(i64::from(status.failure.is_some())),
        )?;
        let mut reloads = encoder.encode_descriptor(
            "policy_reloads",
            "Policy files that were put in force (good) or could not be (bad)",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [("good", status.replaced), ("bad", status.failed)] {
            let labels = [("result", result)];
            ConstCounter::new(count).encode(reloads.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What is asked of the decision log when somebody looks.
#[derive(Debug)]
struct OfDecisions(Arc<DecisionLog>);

impl Collector for OfDecisions {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let status = self.0.status();
        add(
            &mut encoder,
            "decision_log_dropped",
            "Decisions that could not be written down",
            &ConstCounter::new(status.dropped),
        )?;
        add(
            &mut encoder,
            "decision_log_waiting",
            "Decisions that are not written down yet",
            &ConstGauge::new(i64::try_from(status.waiting).unwrap_or(i64::MAX)),
        )?;
        add(
            &mut encoder,
            "decision_log_failing",
            "1 if the decision log can't be written to",
            &ConstGauge::new(i64::from(status.is_failing)),
        )
    }
}

/// What is asked of the audit log when somebody looks.
#[derive(Debug)]
struct OfAudit(Arc<AuditLog>);

impl Collector for OfAudit {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let status = self.0.status();
        add(
            &mut encoder,
            "audit_log_dropped",
            "Audit lines that could not be written down",
            &ConstCounter::new(status.dropped),
        )?;
        add(
            &mut encoder,
            "audit_log_waiting",
            "Audit lines that are not written down yet",
            &ConstGauge::new(i64::try_from(status.waiting).unwrap_or(i64::MAX)),
        )?;
        add(
            &mut encoder,
            "audit_log_failing",
            "1 if the audit log can't be written to, and nobody can manage anything",
            &ConstGauge::new(i64::from(status.is_failing)),
        )
    }
}

fn add(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}

#[cfg(test)]
mod tests {
    use countersign_core::Policy;
    use jiff::Timestamp;

    use super::*;
    use crate::{PolicyFailure, PolicyInForce};

    fn metrics() -> (Metrics, PolicyHandle) {
        let policy = PolicyInForce::new(Policy::default(), "");
        let policy = PolicyHandle::new(policy, Timestamp::from_second(1_800_000_000).unwrap());
        let logs = (Arc::new(DecisionLog::off()), Arc::new(AuditLog::off()));
        let metrics = Metrics::new(policy.clone(), logs.0, logs.1);
        (metrics, policy)
    }

    /// Checks that these lines are in the text, each exactly once.
    fn check(metrics: &Metrics, expected: &[&str]) {
        let text = metrics.text().unwrap();
        for line in expected {
            let found = text.lines().filter(|one| one == line).count();
            assert_eq!(found, 1, "`{line}` in:\n{text}");
        }
    }

    #[test]
    fn what_happened_is_counted_by_outcome_reason_and_provider() {
        let (metrics, _) = metrics();
        let entra = ProviderId::new("entra").unwrap();
        metrics.sign_in_permitted(&entra);
        metrics.sign_in_permitted(&entra);
        metrics.sign_in_stepped_up(&entra, &[Reason::MfaAbsent, Reason::AuthTooOld]);
        metrics.sign_in_refused(&entra, Reason::MfaUnknown);
        metrics.sign_in_failed(&entra, "provider-timeout");
        metrics.token_issued(&ClientId::new("gallery").unwrap());
        metrics.token_refused("invalid_grant");
        metrics.request_refused("not-found");
        metrics.exception_used(&ExceptionName::new("contoso").unwrap());
        let taken = Duration::from_millis(30);
        metrics.request_answered(Some("/token".into()), 200, taken);
        metrics.request_answered(None, 404, taken);
        let sign_in = |outcome: &str, reason: &str, count: u32| {
            format!(
                "countersign_sign_ins_total{{outcome=\"{outcome}\",reason=\"{reason}\",provider=\"entra\"}} {count}"
            )
        };
        let expected = [
            sign_in("permitted", "permitted", 2),
            sign_in("stepped-up", "mfa-absent", 1),
            sign_in("refused", "mfa-unknown", 1),
            sign_in("failed", "provider-timeout", 1),
            "countersign_tokens_issued_total{client=\"gallery\"} 1".into(),
            "countersign_token_requests_refused_total{reason=\"invalid_grant\"} 1".into(),
            "countersign_requests_refused_total{reason=\"not-found\"} 1".into(),
            "countersign_exceptions_used_total{exception=\"contoso\"} 1".into(),
            "countersign_requests_total{route=\"/token\",status=\"200\"} 1".into(),
            "countersign_requests_total{route=\"other\",status=\"404\"} 1".into(),
            "countersign_request_duration_seconds_bucket{le=\"0.025\",route=\"/token\"} 0".into(),
            "countersign_request_duration_seconds_bucket{le=\"0.05\",route=\"/token\"} 1".into(),
            "countersign_decision_log_dropped_total 0".into(),
            "countersign_audit_log_dropped_total 0".into(),
            "countersign_audit_log_failing 0".into(),
            "# EOF".into(),
        ];
        check(&metrics, &expected.each_ref().map(String::as_str));
    }

    #[test]
    fn the_policy_in_force_is_told_by_its_hash_and_no_earlier_one_is() {
        let (metrics, policy) = metrics();
        let next = PolicyInForce::new(Policy::default(), "next");
        let hash = next.hash.to_string();
        let now = Timestamp::from_second(1_800_000_060).unwrap();
        policy.replace(next, now);
        policy.keep(PolicyFailure {
            at: now,
            problems: Vec::new(),
        });
        check(
            &metrics,
            &[
                &format!("countersign_policy_info{{hash=\"{hash}\"}} 1"),
                "countersign_policy_in_force_since_seconds 1800000060",
                "countersign_policy_stale 1",
                "countersign_policy_reloads_total{result=\"good\"} 1",
                "countersign_policy_reloads_total{result=\"bad\"} 1",
            ],
        );
        let text = metrics.text().unwrap();
        assert_eq!(text.matches("sha256:").count(), 1, "{text}");
    }
}
