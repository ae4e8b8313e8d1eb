//! Exceptions that an organisation's admins ask for, and what operators answer.
//!
//! What is granted lets go of the second factor and of nothing else, for who acts for the organisation, until a day:
//! [`countersign_core::policy::Waiver`].

use std::collections::BTreeSet;

use countersign_core::calendar::day_of;
use countersign_core::{Exception, ExceptionName, OrganizationId, Subject, TierName, Waiver};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Actor, Organization, Signpost, change_organization, organizations_by};
use crate::registry::is_unprintable;
use crate::{Store, StoreError};

/// How many of an organisation's are kept, answered ones among them.
pub const MOST_EXCEPTIONS: usize = 20;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// How far ahead an exception can end, in years.
const LONGEST_YEARS: i32 = 2;

/// An exception that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedException {
    /// What tokens and logs name, once it is granted.
    pub name: ExceptionName,
    /// The tiers whose second factor cannot be shown.
    pub waives: BTreeSet<TierName>,
    /// Why, in an admin's words.
    pub reason: String,
    /// The last day on which it is needed.
    pub until: Date,
    /// Who asked.
    pub asked_by: Actor,
    /// When.
    pub asked_at: Timestamp,
    /// What an operator said; nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// What an operator said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it is granted.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who said it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// Whether an exception is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is, and this is its last day.
    Granted {
        /// Which may be another than was asked for.
        until: Date,
    },
    /// It is not, or no more.
    Refused,
}

/// Why an exception was not asked for, or not answered.
#[derive(Debug, Error)]
pub enum ExceptionError {
    /// There is no such organisation.
    #[error("there is no organization `{0}`")]
    UnknownOrganization(OrganizationId),
    /// It has asked for no such exception, or takes back what is answered.
    #[error("`{0}` has asked for no exception `{1}` that this could be done to")]
    Unknown(OrganizationId, ExceptionName),
    /// It has asked for as many as it can.
    #[error("an organization has at most {MOST_EXCEPTIONS} exceptions that wait or hold")]
    TooMany,
    /// The reason is missing or too long.
    #[error("a reason has 1 to {LONGEST_REASON} printable characters")]
    Reason,
    /// No tier is named.
    #[error("say which tiers it is for")]
    Tiers,
    /// The day is past, or too far away.
    #[error("the last day is today or later, and at most {LONGEST_YEARS} years away")]
    Until,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AskedException {
    /// What lets go of something now or later, if it is granted.
    pub fn waiver(&self, organization: &OrganizationId) -> Option<Waiver> {
        let (name, exception) = self.granted(organization)?;
        Some(Waiver {
            name,
            organization: organization.clone(),
            waives: exception.waives,
            until: exception.until,
        })
    }

    /// It, if it is granted, as the policy file would say it.
    pub(super) fn granted(
        &self,
        organization: &OrganizationId,
    ) -> Option<(ExceptionName, Exception)> {
        let answer = self.answer.as_ref()?;
        match answer.verdict {
            Verdict::Granted { until } => Some((
                self.name.clone(),
                Exception {
                    subject: Subject::Organization(organization.clone()),
                    reason: self.reason.clone(),
                    approved_by: answer.by.to_string(),
                    until,
                    waives: self.waives.clone(),
                },
            )),
            Verdict::Refused => None,
        }
    }

    /// Whether it waits for an answer.
    pub fn is_waiting(&self) -> bool {
        self.answer.is_none()
    }

    fn is_over(&self, organization: &OrganizationId, now: Timestamp) -> bool {
        let holds = |waiver: Waiver| now < waiver.ends_at();
        !self.is_waiting() && !self.waiver(organization).is_some_and(holds)
    }
}

/// All that were granted, as the policy file would say them; those that have ended are among them as long as their
/// organisations keep them.
pub async fn granted(store: &dyn Store) -> Result<Vec<(ExceptionName, Exception)>, StoreError> {
    let organizations = organizations_by(store, &Signpost::Granted).await?;
    let granted = organizations.iter().flat_map(|organization| {
        let asked = organization.exceptions.iter();
        asked.filter_map(|one| one.granted(&organization.id))
    });
    Ok(granted.collect())
}

/// Asks for an exception. Those that are over make room, the oldest first.
pub async fn ask(
    store: &dyn Store,
    id: &OrganizationId,
    asked: &AskedException,
) -> Result<Organization, ExceptionError> {
    check_reason(&asked.reason)?;
    check_until(asked.until, asked.asked_at)?;
    if asked.waives.is_empty() {
        return Err(ExceptionError::Tiers);
    }
    let with = |known: &Organization| {
        let mut changed = known.clone();
        let over = |one: &AskedException| one.is_over(id, asked.asked_at);
        while changed.exceptions.len() >= MOST_EXCEPTIONS {
            let oldest = changed.exceptions.iter().position(over);
            changed
                .exceptions
                .remove(oldest.ok_or(ExceptionError::TooMany)?);
        }
        changed.exceptions.push(asked.clone());
        Ok(changed)
    };
    change(store, id, with, asked.asked_at).await
}

/// Answers one, or gives another answer: what was granted can be ended by refusing it.
pub async fn answer(
    store: &dyn Store,
    id: &OrganizationId,
    name: &ExceptionName,
    answer: &Answer,
) -> Result<Organization, ExceptionError> {
    check_reason(&answer.reason)?;
    if let Verdict::Granted { until } = answer.verdict {
        check_until(until, answer.at)?;
    }
    let answered = |known: &Organization| {
        let mut changed = known.clone();
        let asked = changed.exceptions.iter_mut().find(|one| one.name == *name);
        let asked = asked.ok_or_else(|| ExceptionError::Unknown(id.clone(), name.clone()))?;
        asked.answer = Some(answer.clone());
        Ok(changed)
    };
    change(store, id, answered, answer.at).await
}

/// Takes back what waits for an answer.
pub async fn take_back(
    store: &dyn Store,
    id: &OrganizationId,
    name: &ExceptionName,
    now: Timestamp,
) -> Result<Organization, ExceptionError> {
    let without = |known: &Organization| {
        let mut changed = known.clone();
        changed
            .exceptions
            .retain(|one| one.name != *name || !one.is_waiting());
        if changed.exceptions.len() == known.exceptions.len() {
            return Err(ExceptionError::Unknown(id.clone(), name.clone()));
        }
        Ok(changed)
    };
    change(store, id, without, now).await
}

fn check_reason(reason: &str) -> Result<(), ExceptionError> {
    let is_one = (1..=LONGEST_REASON).contains(&reason.chars().count())
        && !reason.trim().is_empty()
        && !reason.contains(is_unprintable);
    is_one.then_some(()).ok_or(ExceptionError::Reason)
}

fn check_until(until: Date, now: Timestamp) -> Result<(), ExceptionError> {
    let today = day_of(now);
    let last = today.saturating_add(LONGEST_YEARS.years());
    let is_one = (today..=last).contains(&until);
    is_one.then_some(()).ok_or(ExceptionError::Until)
}

async fn change(
    store: &dyn Store,
    id: &OrganizationId,
    change: impl Fn(&Organization) -> Result<Organization, ExceptionError>,
    now: Timestamp,
) -> Result<Organization, ExceptionError> {
    let unknown = || ExceptionError::UnknownOrganization(id.clone());
    let change = |known: Option<&Organization>| change(known.ok_or_else(unknown)?).map(Some);
    let changed = change_organization(store, id, change, now).await?;
    changed.ok_or_else(unknown)
}
