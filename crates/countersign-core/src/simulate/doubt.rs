//! Where a log may hold too little to tell what a candidate would decide.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AsOf, Candidate, Change, Replayed};
use crate::{ProviderId, Reason, Record};

/// Where a log may hold too little to tell what a candidate would decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Doubt {
    /// An expression of the candidate reads a claim that no login there shows. A log keeps only the
    /// claims that its own policy's expressions name, so this one may have been sent and not kept.
    ClaimNotKept {
        /// The provider.
        provider: ProviderId,
        /// The claim.
        claim: String,
        /// How many decisions rest on it.
        decisions: u64,
    },
    /// `auth_time` is missed that was not missed before. Many providers send it only if they are
    /// asked for `max_age`, which they were not.
    AuthTimeNotAskedFor {
        /// How many decisions rest on it.
        decisions: u64,
    },
    /// The very candidate had decided otherwise: another version of the program did, or the line was
    /// changed.
    DecidedOtherwise {
        /// How many decisions.
        decisions: u64,
    },
}

/// What there is to doubt, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    claims: BTreeMap<(ProviderId, String), Seen>,
    auth_time: u64,
    otherwise: u64,
}

/// How often a claim was there, and how often not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    present: u64,
    absent: u64,
}

impl Doubts {
    pub(super) fn add(&mut self, candidate: &Candidate<'_>, record: &Record, replayed: &Replayed) {
        self.look_for_claims(candidate, record);
        let missed = |reasons: &[Reason]| reasons.contains(&Reason::AuthTimeAbsent);
        let before = missed(&record.verdict.reasons);
        self.auth_time += u64::from(missed(&replayed.verdict.reasons) && !before);
        let is_own = candidate.as_of == AsOf::Recorded && record.policy == candidate.hash;
        self.otherwise += u64::from(is_own && replayed.change != Change::Same);
    }

    fn look_for_claims(&mut self, candidate: &Candidate<'_>, record: &Record) {
        let login = &record.facts.login;
        let Some(when) = &candidate.policy.proof(&login.provider).when else {
            return;
        };
        for claim in when.expression.other_claims() {
            let key = (login.provider.clone(), claim.to_owned());
            let seen = self.claims.entry(key).or_default();
            let claims = &login.claims;
            if claims.other.contains_key(claim) || claims.unreadable.contains(claim) {
                seen.present += 1;
            } else {
                seen.absent += 1;
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (key, more) in other.claims {
            let seen = self.claims.entry(key).or_default();
            seen.present += more.present;
            seen.absent += more.absent;
        }
        self.auth_time += other.auth_time;
        self.otherwise += other.otherwise;
    }

    pub(super) fn list(&self) -> Vec<Doubt> {
        let never_seen = self.claims.iter().filter(|(_, seen)| seen.present == 0);
        let claims = never_seen.map(|((provider, claim), seen)| Doubt::ClaimNotKept {
            provider: provider.clone(),
            claim: claim.clone(),
            decisions: seen.absent,
        });
        let decisions = self.auth_time;
        let auth_time = (decisions > 0).then_some(Doubt::AuthTimeNotAskedFor { decisions });
        let decisions = self.otherwise;
        let otherwise = (decisions > 0).then_some(Doubt::DecidedOtherwise { decisions });
        claims.chain(auth_time).chain(otherwise).collect()
    }
}
