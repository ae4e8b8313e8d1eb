//! An explained decision as text.

use std::fmt::{self, Display};

use countersign_core::{Occasion, Reason, Scope, Verdict};

use super::super::told::{Standings, Told};
use super::{Explained, Logged};

/// What was decided, by which policy, and why.
pub(super) struct Text<'a>(pub(super) &'a Explained);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.0;
        let explanation = &one.explanation.explanation;
        writeln!(f, "{}", in_words(&explanation.verdict))?;
        writeln!(f, "  at {}, by {}", one.time, one.policy.file.display())?;
        if let Some(logged) = &one.logged {
            write!(f, "{}", Then(logged, &one.policy.hash))?;
        }
        write!(f, "{}", Standings(&explanation.scopes))?;
        write!(f, "{}", Told(explanation))
    }
}

/// What the log says, and whether it is still so.
struct Then<'a>(&'a Logged, &'a str);

impl Display for Then<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(logged, hash) = self;
        let occasion = match logged.occasion {
            Occasion::SignIn => "sign-in",
            Occasion::SingleSignOn => "single sign-on",
            Occasion::Token => "token",
            Occasion::Refresh => "refresh",
            Occasion::Exchange => "exchange",
            Occasion::Gate => "gate",
            Occasion::ApiKey => "API key",
        };
        writeln!(f, "  request {}, {occasion}", logged.request_id)?;
        let is_other = logged.policy != *hash;
        match (is_other, logged.differs) {
            (false, false) => writeln!(f, "  decided so by this very policy"),
            (true, false) => writeln!(
                f,
                "  decided so by another version of the policy, {}",
                logged.policy
            ),
            (true, true) => writeln!(
                f,
                "  decided otherwise by another version of the policy, {}:\n    {}",
                logged.policy,
                in_words(&logged.verdict)
            ),
            // A policy decides the same facts the same way: then the program has changed.
            (false, true) => writeln!(
                f,
                "  decided otherwise by this very policy, by another version of Countersign:\n    {}",
                in_words(&logged.verdict)
            ),
        }
    }
}

/// `refuse by tier.publish: mfa-absent`.
fn in_words(verdict: &Verdict) -> String {
    let scopes: Vec<&str> = verdict.granted.iter().map(Scope::as_str).collect();
    let what = match &scopes[..] {
        [] => codes(&verdict.reasons),
        granted => granted.join(" "),
    };
    let unmet = verdict
        .unmet
        .iter()
        .map(|one| format!("without {} ({})", one.scope, codes(&one.reasons)));
    let due = verdict.mfa_due.map(|day| format!("due {day}"));
    let waiver = verdict.waiver.iter().map(|name| format!("waiver {name}"));
    let terms: Vec<String> = [what]
        .into_iter()
        .chain(unmet)
        .chain(due)
        .chain(waiver)
        .collect();
    let (outcome, rule) = (verdict.outcome.as_str(), verdict.rule.as_str());
    format!("{outcome} by {rule}: {}", terms.join(", "))
}

fn codes(reasons: &[Reason]) -> String {
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code()).collect();
    codes.join(", ")
}
