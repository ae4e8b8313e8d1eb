//! The providers: whether each answers as it is configured, quickly, with a clock that agrees; and what must be
//! registered there, which nobody can look up from here.

use countersign::config::{Installation, ProviderSettings};
use countersign_providers::examine::{Asked, MOST_CLOCK_DIFFERENCE, Reply, Step};
use countersign_providers::{Http, ProviderError};
use futures_util::future::join_all;
use jiff::SignedDuration;

use super::super::check::{account_types, may_be_hybrid};
use super::Patient;
use super::finding::Finding;

/// From this difference on something is wrong with a clock, though logins still pass.
const NOTABLE: SignedDuration = SignedDuration::from_secs(5);
/// A callback makes up to four requests while a person waits, and each is cut off after eight seconds.
const SLOW: SignedDuration = SignedDuration::from_secs(2);

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let one = &patient.installation;
    let http = match Http::new(one.private_hosts.clone()) {
        Ok(http) => http,
        Err(error) => {
            return vec![Finding::failure(
                "providers",
                format!("the HTTP client can't be built: {error}"),
                "install the machine's certificates (`ca-certificates`)",
            )];
        }
    };
    let all = one.providers.iter().map(async |settings| {
        let steps = settings
            .clone()
            .build(http.clone())
            .examine(&Patient::now)
            .await;
        let of = format!("provider {}", settings.name());
        let mut findings: Vec<Finding> = steps.iter().map(|step| judge(&of, step)).collect();
        findings.extend(judge_clock(&of, &steps));
        findings.push(Finding::fine(&of, registration(settings, one)));
        findings
    });
    join_all(all).await.into_iter().flatten().collect()
}

fn judge(of: &str, step: &Step) -> Finding {
    let of = format!("{of}: {}", name(step.what));
    match &step.found {
        Ok(reply) if reply.took > SLOW => Finding::warning(
            of,
            format!("{}, after {} ms", said(reply), reply.took.as_millis()),
            "people wait for it at every sign-in: see what is between here and there",
        ),
        Ok(reply) => Finding::fine(
            of,
            format!("{} in {} ms", said(reply), reply.took.as_millis()),
        ),
        Err(error) => Finding::failure(
            of,
            format!("{} ({error})", step.url),
            mend(step.what, error),
        ),
    }
}

fn name(what: Asked) -> &'static str {
    match what {
        Asked::Description => "description",
        Asked::Keys => "key set",
        Asked::SignIn => "sign-in page",
        Asked::Api => "API",
    }
}

fn said(reply: &Reply) -> String {
    match reply.keys {
        Some(1) => "1 key".to_owned(),
        Some(count) => format!("{count} keys"),
        None => "answers".to_owned(),
    }
}

fn mend(what: Asked, error: &ProviderError) -> &'static str {
    match error {
        ProviderError::Unreachable(_) => {
            "see that this machine may open connections there (a firewall, a name server), that the address is written \
             right, and that its certificate is signed by somebody whom this machine trusts (`ca-certificates`)"
        }
        ProviderError::Timeout => "see what is between here and there; logins there fail meanwhile",
        ProviderError::Forbidden(_) => {
            "where that address is meant, list its host under `network.private_hosts`"
        }
        ProviderError::Unavailable | ProviderError::RateLimited { .. } => {
            "it says that it can't answer now: see its status page, and ask again"
        }
        ProviderError::Answer(_)
        | ProviderError::Misconfigured(_)
        | ProviderError::Refused(_)
        | ProviderError::IdToken(_)
        | ProviderError::Cancelled
        | ProviderError::Unmet
        | ProviderError::WrongTenant => match what {
            Asked::Description => {
                "the issuer (or `authority`, `tenant`) must be written as the provider writes it, to the letter"
            }
            Asked::Keys => {
                "without its keys no ID token of it can be verified; see `id_token_signed_response_alg`"
            }
            Asked::SignIn | Asked::Api => "see that the address is that of the provider",
        },
    }
}

/// The first answer that tells the time counts: they are of one provider.
fn judge_clock(of: &str, steps: &[Step]) -> Option<Finding> {
    let ahead = steps
        .iter()
        .find_map(|step| step.found.as_ref().ok()?.ahead)?;
    let of = format!("{of}: clock");
    let seconds = ahead.as_secs();
    let way = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let found = format!("{} s {way} this machine's", seconds.abs());
    let mend = "see whether it is this machine's (`timedatectl`): ID tokens from another time than now are refused from \
                a difference of 60 s on, and services refuse ours from 30 s on";
    Some(if ahead.abs() >= MOST_CLOCK_DIFFERENCE {
        Finding::failure(of, found, mend)
    } else if ahead.abs() >= NOTABLE {
        Finding::warning(of, found, mend)
    } else {
        Finding::fine(of, "agrees with this machine's")
    })
}

/// What must stand in the registration there, ready to copy.
fn registration(settings: &ProviderSettings, one: &Installation) -> String {
    let issuer = one.settings.issuer();
    let mut text = format!(
        "must have registered the redirect URI {issuer}/callback/{}",
        settings.name()
    );
    if may_be_hybrid(one, settings) {
        text.push_str(
            "; and allow ID tokens: Authentication > Implicit grant and hybrid flows > ID tokens (used for implicit and \
             hybrid flows)",
        );
    }
    if let ProviderSettings::Microsoft(microsoft) = settings {
        text.push_str("; supported account types: ");
        text.push_str(account_types(&microsoft.audience));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::finding::Health;
    use super::*;

    fn step(found: Result<Reply, ProviderError>) -> Step {
        Step {
            what: Asked::Description,
            url: "https://id.example/".parse().unwrap(),
            found,
        }
    }

    fn reply(took: i64, ahead: Option<i64>) -> Reply {
        Reply {
            took: SignedDuration::from_millis(took),
            ahead: ahead.map(SignedDuration::from_secs),
            keys: None,
        }
    }

    #[test]
    fn an_answer_is_good_slow_or_none() {
        let check = |found, expected: Health| {
            let step = step(found);
            assert_eq!(judge("p", &step).health, expected, "{step:?}");
        };
        check(Ok(reply(20, None)), Health::Ok);
        check(Ok(reply(2_500, None)), Health::Warn);
        check(Err(ProviderError::Timeout), Health::Fail);
        check(Err(ProviderError::Answer("")), Health::Fail);
    }

    #[test]
    fn a_clock_that_differs_is_told_of_before_logins_fail() {
        let check = |ahead: Option<i64>, expected: Option<Health>| {
            let found = judge_clock(
                "p",
                &[step(Err(ProviderError::Timeout)), step(Ok(reply(1, ahead)))],
            );
            assert_eq!(found.map(|one| one.health), expected, "{ahead:?}");
        };
        check(None, None);
        check(Some(0), Some(Health::Ok));
        check(Some(-4), Some(Health::Ok));
        check(Some(5), Some(Health::Warn));
        check(Some(-59), Some(Health::Warn));
        check(Some(60), Some(Health::Fail));
        check(Some(-3_600), Some(Health::Fail));
    }
}
