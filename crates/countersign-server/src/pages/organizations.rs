//! The pages about organisations: those that a person administers, one of them, and what a change would do.

use askama::Template;
use std::collections::{BTreeMap, BTreeSet};

use countersign_core::calendar::end_of;
use countersign_core::{
    Evidence, Exception, Guests, Level, Mapping, RegistryRole, Source, TierName,
};
use countersign_providers::Provider;
use countersign_store::organization::{AskedException, Verdict};
use countersign_store::{Connection, Organization, Proof, Standing};
use jiff::Timestamp;

use super::day::Day;
use super::host;
use super::operator::query;
use super::sessions::Moment;
use crate::organization::{Effect, Fate, MOST_ROWS, Record, Typed};
use crate::own::Visitor;
use crate::web::Context;

/// The organisations that a person administers, a page at a time.
#[derive(Template)]
#[template(path = "organizations.html")]
pub(crate) struct OrganizationsPage {
    host: String,
    person: String,
    rows: Vec<Row>,
    /// What their names are to begin with, as it was typed.
    begins_with: String,
    /// Whether these are not all of them.
    is_part: bool,
    /// The query of the next page.
    next: Option<String>,
}

/// One of a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) connections: String,
    pub(super) has_dispute: bool,
}

impl Row {
    pub(super) fn of(organization: &Organization) -> Self {
        let mut connections = organization.connections.iter();
        Self {
            id: organization.id.to_string(),
            connections: match organization.in_force().count() {
                0 => "not connected yet".to_owned(),
                1 => "connected".to_owned(),
                more => format!("{more} connections"),
            },
            has_dispute: connections.any(|one| one.standing != Standing::InForce),
            title: title(organization),
        }
    }
}

impl OrganizationsPage {
    /// How many are on a page: what a screen or two hold.
    pub(crate) const ROWS: usize = 20;

    /// `theirs` holds one more than fits, where there is more.
    pub(crate) fn new(
        visitor: &Visitor,
        begins_with: &str,
        mut theirs: Vec<Organization>,
        context: &Context<'_>,
    ) -> Self {
        let next = next_of(&mut theirs, begins_with, Self::ROWS);
        let is_further = context.query().one("after").is_some();
        Self {
            host: host(context.broker),
            person: super::sessions::person(&visitor.session),
            is_part: next.is_some() || !begins_with.is_empty() || is_further,
            begins_with: begins_with.to_owned(),
            rows: theirs.iter().map(Row::of).collect(),
            next,
        }
    }
}

/// Leaves as many as fit; where there are more, the query of the page that follows them.
pub(super) fn next_of(
    found: &mut Vec<Organization>,
    begins_with: &str,
    fits: usize,
) -> Option<String> {
    let has_more = found.len() > fits;
    found.truncate(fits);
    let last = found.last().filter(|_| has_more)?;
    Some(query(&[
        ("begins_with", begins_with),
        ("after", last.id.as_str()),
    ]))
}

/// One organisation.
#[derive(Template)]
#[template(path = "organization.html")]
pub(crate) struct OrganizationPage {
    host: String,
    id: String,
    title: String,
    connections: Vec<ConnectionRow>,
    in_file: Vec<String>,
    stricter: Vec<String>,
    claims: Vec<ClaimRow>,
    ways: Vec<ConnectWay>,
    /// Where to sign in before anything can be changed, if that is needed.
    raise: Option<String>,
    exceptions: ExceptionsPart,
}

/// One connection.
pub(super) struct ConnectionRow {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) standing: &'static str,
    explained: &'static str,
    pub(super) guests: &'static str,
    pub(super) contexts: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) proof: String,
    pub(super) made_at: Moment,
    /// The query that names it.
    query: String,
    /// What ending it is called.
    end: &'static str,
    pub(super) has_guests: bool,
    record: Option<RecordPart>,
}

/// The record that would prove a claim, and the sealed button that looks for it.
pub(crate) struct RecordPart {
    pub(crate) record: Record,
    pub(crate) form: String,
}

/// What another organisation claims.
pub(crate) struct ClaimRow {
    who: String,
    id: String,
    what: String,
    source: String,
    form: String,
}

impl ClaimRow {
    /// `form` is the sealed button that shares it.
    pub(crate) fn new(other: &Organization, source: &Source, form: String) -> Self {
        Self {
            who: title(other),
            id: other.id.to_string(),
            what: name_of(source),
            source: source.to_string(),
            form,
        }
    }
}

/// The exceptions of an organisation, and how more are asked for.
pub(crate) struct ExceptionsPart {
    pub(crate) rows: Vec<ExceptionRow>,
    /// What can be asked for.
    pub(crate) tiers: Vec<TierName>,
    /// The sealed button that asks, for who may.
    pub(crate) form: Option<String>,
    /// Where who may not yet signs in for it.
    pub(crate) raise: Option<String>,
    pub(crate) today: String,
}

impl ExceptionsPart {
    /// Whether there is anything to see or to do.
    fn is_something(&self) -> bool {
        !self.rows.is_empty() || self.form.is_some() || self.raise.is_some()
    }
}

/// One exception, and how it stands.
pub(crate) struct ExceptionRow {
    pub(super) tiers: String,
    pub(super) standing: &'static str,
    pub(super) until: Day,
    pub(super) reason: String,
    /// What an operator said.
    pub(super) answer: Option<String>,
    /// The sealed button that takes it back, while it waits.
    form: Option<String>,
}

impl ExceptionRow {
    /// One that the policy file names.
    pub(crate) fn of_file(exception: &Exception, context: &Context<'_>) -> Self {
        Self {
            tiers: joined(&exception.waives),
            standing: if context.now < exception.ends_at() {
                "in force"
            } else {
                "over"
            },
            until: Day(exception.until),
            reason: exception.reason.clone(),
            answer: Some(format!("Granted by {}.", exception.approved_by)),
            form: None,
        }
    }

    /// One that was asked for; `form` takes it back.
    pub(crate) fn asked(
        asked: &AskedException,
        form: Option<String>,
        context: &Context<'_>,
    ) -> Self {
        let (standing, until) = match asked.answer.as_ref().map(|answer| answer.verdict) {
            None => ("waiting", asked.until),
            Some(Verdict::Refused) => ("refused", asked.until),
            Some(Verdict::Granted { until }) if context.now < end_of(until) => ("in force", until),
            Some(Verdict::Granted { until }) => ("over", until),
        };
        Self {
            tiers: joined(&asked.waives),
            standing,
            until: Day(until),
            reason: asked.reason.clone(),
            answer: asked.answer.as_ref().map(|answer| answer.reason.clone()),
            form,
        }
    }
}

fn joined(tiers: &BTreeSet<TierName>) -> String {
    let tiers: Vec<&str> = tiers.iter().map(String::as_str).collect();
    tiers.join(", ")
}

/// A way to connect something more.
pub(crate) struct ConnectWay {
    title: String,
    /// Whether a tenant is asked for; what is filled in.
    tenant: Option<String>,
    form: String,
    id: String,
}

impl ConnectWay {
    /// `form` is the sealed button that begins it.
    pub(crate) fn new(provider: &Provider, evidence: &Evidence, form: String) -> Self {
        let own = evidence.tenant().filter(|tenant| !tenant.is_consumers());
        let own = own.map(ToString::to_string).unwrap_or_default();
        Self {
            id: provider.name().to_string(),
            title: provider.title().to_owned(),
            tenant: provider.takes_tenants().then_some(own),
            form,
        }
    }
}

impl OrganizationPage {
    pub(crate) fn new(
        (organization, mut records): (&Organization, BTreeMap<Source, RecordPart>),
        claims: Vec<ClaimRow>,
        (ways, raise): (Vec<ConnectWay>, Option<String>),
        exceptions: ExceptionsPart,
        context: &Context<'_>,
    ) -> Self {
        let policy = context.policy().organization(&organization.id);
        let tenants = policy.into_iter().flat_map(|rule| &rule.tenants);
        let stricter = policy.into_iter().flat_map(|rule| rule.stricter.keys());
        Self {
            host: host(context.broker),
            id: organization.id.to_string(),
            title: title(organization),
            connections: organization
                .connections
                .iter()
                .map(|one| ConnectionRow::of(one, records.remove(&one.mapping.source)))
                .collect(),
            in_file: tenants.map(ToString::to_string).collect(),
            stricter: stricter.cloned().collect(),
            claims,
            ways,
            raise,
            exceptions,
        }
    }
}

impl ConnectionRow {
    pub(super) fn of(connection: &Connection, record: Option<RecordPart>) -> Self {
        let mapping = &connection.mapping;
        let (standing, explained) = match connection.standing {
            Standing::InForce => ("in force", "Its people are this organization’s."),
            Standing::Disputed => (
                "disputed",
                "Another organization has said before that these are its people. Nobody acts for yours through it until that one agrees, or the registry’s operators settle it.",
            ),
            Standing::AwaitingApproval => (
                "awaiting approval",
                "Nobody acts for yours through it until the registry’s operators approve it.",
            ),
            Standing::Refused => (
                "refused",
                "The registry’s operators did not approve it. Ask them why; connecting it again asks them again.",
            ),
        };
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("source", &mapping.source.to_string())
            .finish();
        Self {
            record,
            end: match connection.standing {
                Standing::AwaitingApproval => "Take it back",
                Standing::InForce | Standing::Disputed | Standing::Refused => "Disconnect",
            },
            name: name_of(&mapping.source),
            id: mapping.source.to_string(),
            standing,
            explained,
            guests: match mapping.guests {
                Guests::Refused => "members only",
                Guests::Admitted => "members and guests",
            },
            has_guests: matches!(mapping.source, Source::Tenant(_)),
            contexts: mapping
                .contexts
                .iter()
                .map(|(context, level)| format!("{context} attests {}", level_name(*level)))
                .collect(),
            roles: roles_in_words(mapping),
            proof: proof(&connection.proof),
            made_at: Moment(connection.made_at),
            query,
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Mfa => "multi-factor",
        Level::PhishingResistant => "phishing-resistant",
        Level::None | Level::Unknown => "nothing",
    }
}

fn proof(proof: &Proof) -> String {
    match proof {
        Proof::DirectoryRole(_) => "an administrator of the tenant signed in".to_owned(),
        Proof::GitHubOwner => "an owner of the organization signed in".to_owned(),
        Proof::Member { .. } => "one of its people signed in".to_owned(),
        Proof::DnsRecord => "a record of its domain".to_owned(),
        Proof::Operator { reason } => format!("the registry’s word: {reason}"),
    }
}

/// What people call a source.
fn name_of(source: &Source) -> String {
    match source {
        Source::Tenant(_) => "Microsoft Entra tenant".to_owned(),
        Source::GitHubOrganization { host, .. } => format!("Organization at {host}"),
        Source::Issuer(_) => "OpenID Connect provider".to_owned(),
    }
}

pub(super) fn title(organization: &Organization) -> String {
    let title = organization.title.clone();
    title.unwrap_or_else(|| organization.id.to_string())
}

/// An admin, and what a change does to them.
pub(super) struct EffectRow {
    pub(super) who: String,
    pub(super) fate: &'static str,
    pub(super) is_bad: bool,
}

impl EffectRow {
    pub(super) fn of(effect: Effect) -> Self {
        Self {
            who: effect.who,
            is_bad: effect.fate == Fate::ShutOut,
            fate: match effect.fate {
                Fate::Kept => "signs in through it",
                Fate::Possible => "may be a member there",
                Fate::ShutOut => "would not act for it",
                Fate::Unknown => "shows when they sign in",
            },
        }
    }
}

/// What connecting would do, and the terms.
#[derive(Template)]
#[template(path = "connect.html")]
pub(crate) struct ConnectPage {
    host: String,
    id: String,
    title: String,
    /// What is wrong with what was typed.
    problem: Option<String>,
    sources: Vec<(String, String)>,
    until: Moment,
    is_tenant: bool,
    /// Whether an operator approves it first.
    awaits_approval: bool,
    /// Whether the policy takes a tenant's word on its contexts.
    counts_contexts: bool,
    typed: Typed,
    groups: Option<GroupsPart>,
    /// What stays as it is, where the policy lets admins give no roles.
    kept_roles: Vec<String>,
    effects: Vec<EffectRow>,
    form: String,
}

/// What can be connected, by what somebody has shown.
pub(crate) struct Offered<'a> {
    pub(crate) sources: BTreeMap<Source, String>,
    /// What is said of it now, where it is one.
    pub(crate) before: Option<&'a Mapping>,
    /// The form is good until then.
    pub(crate) until: Timestamp,
    /// What was shown, sealed.
    pub(crate) form: String,
    /// What was shown.
    pub(crate) proof: &'a Proof,
}

/// The form as it was filled in, and what is wrong with it.
pub(crate) struct Filled {
    pub(crate) typed: Typed,
    pub(crate) problem: Option<String>,
}

impl Filled {
    /// A form with nothing wrong.
    pub(crate) fn new(typed: Typed) -> Self {
        Self {
            typed,
            problem: None,
        }
    }
}

/// The rows in which groups get roles.
struct GroupsPart {
    /// What can be picked.
    roles: BTreeSet<RegistryRole>,
    /// What a group is called there.
    hint: &'static str,
    has_room: bool,
}

impl GroupsPart {
    fn of(
        source: Option<&Source>,
        before: Option<&Mapping>,
        context: &Context<'_>,
    ) -> Option<Self> {
        let hint = match source? {
            Source::Tenant(_) => {
                "The object id of a group (Entra admin center, Groups), or the value of an app role."
            }
            Source::Issuer(_) => "A group as your provider names it in its tokens.",
            Source::GitHubOrganization { .. } => return None,
        };
        let mut roles = context.policy().mapping().roles.clone();
        if roles.is_empty() {
            return None;
        }
        // What an operator has given can stay.
        let given = before.into_iter().flat_map(|one| one.roles.values());
        roles.extend(given.flatten().cloned());
        Some(Self {
            roles,
            hint,
            has_room: true,
        })
    }
}

impl ConnectPage {
    pub(crate) fn new(
        organization: &Organization,
        offered: Offered<'_>,
        filled: Filled,
        effects: Vec<Effect>,
        context: &Context<'_>,
    ) -> Self {
        let mut sources = offered.sources.keys();
        let only = sources.next().filter(|_| sources.next().is_none());
        let mut groups = GroupsPart::of(only, offered.before, context);
        if let Some(groups) = &mut groups {
            groups.has_room = filled.typed.roles.len() < MOST_ROWS;
        }
        let kept_roles = match groups {
            Some(_) => Vec::new(),
            None => offered.before.map(roles_in_words).unwrap_or_default(),
        };
        Self {
            host: host(context.broker),
            id: organization.id.to_string(),
            title: title(organization),
            problem: filled.problem,
            is_tenant: matches!(only, Some(Source::Tenant(_))),
            awaits_approval: awaits_approval(organization, only, offered.proof),
            counts_contexts: context.policy().mapping().attests > Level::None,
            typed: filled.typed,
            groups,
            kept_roles,
            sources: offered
                .sources
                .iter()
                .map(|(source, name)| (source.to_string(), name.clone()))
                .collect(),
            until: Moment(offered.until),
            effects: effects.into_iter().map(EffectRow::of).collect(),
            form: offered.form,
        }
    }
}

/// Whether what was shown is in force only once an operator approves it, which nobody has yet.
fn awaits_approval(organization: &Organization, source: Option<&Source>, proof: &Proof) -> bool {
    let before = source.and_then(|source| organization.connection(source));
    let is_approved = before.is_some_and(|one| match one.standing {
        Standing::InForce | Standing::Disputed => true,
        Standing::AwaitingApproval | Standing::Refused => false,
    });
    matches!(proof, Proof::Member { .. }) && !is_approved
}

/// What groups are at the registry.
fn roles_in_words(mapping: &Mapping) -> Vec<String> {
    let row = |(group, roles): (&String, &BTreeSet<RegistryRole>)| {
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        format!("{group} is {}", roles.join(", "))
    };
    mapping.roles.iter().map(row).collect()
}

/// What ending a connection would do.
#[derive(Template)]
#[template(path = "disconnect.html")]
pub(crate) struct DisconnectPage {
    host: String,
    id: String,
    title: String,
    source: String,
    name: String,
    effects: Vec<EffectRow>,
    is_last: bool,
    form: String,
}

impl DisconnectPage {
    pub(crate) fn new(
        organization: &Organization,
        connection: &Connection,
        (effects, is_last): (Vec<Effect>, bool),
        form: String,
        context: &Context<'_>,
    ) -> Self {
        Self {
            host: host(context.broker),
            id: organization.id.to_string(),
            title: title(organization),
            source: connection.mapping.source.to_string(),
            name: name_of(&connection.mapping.source),
            effects: effects.into_iter().map(EffectRow::of).collect(),
            is_last,
            form,
        }
    }
}

/// The link to the provider: a form can't lead there.
#[derive(Template)]
#[template(path = "leave.html")]
pub(crate) struct LeavePage {
    host: String,
    provider: String,
    path: String,
    what: &'static str,
}

impl LeavePage {
    /// To add an identity to one's account.
    pub(crate) fn to_link(
        provider: &countersign_core::ProviderId,
        path: String,
        context: &Context<'_>,
    ) -> Self {
        Self {
            what: "Sign in there, with multi-factor authentication, with the account that is to lead to your account here from now on. Whoever can sign in with it can act as you.",
            ..Self::new(provider, path, context)
        }
    }

    pub(crate) fn new(
        provider: &countersign_core::ProviderId,
        path: String,
        context: &Context<'_>,
    ) -> Self {
        let known = context.broker.providers.get(provider);
        Self {
            host: host(context.broker),
            provider: known.map_or_else(|| provider.to_string(), |one| one.title().to_owned()),
            path,
            what: match known {
                Some(Provider::Oidc(_)) => {
                    "Sign in there with an account of your organization. It need not be the one that you signed in with here, and it is not signed in here by this."
                }
                Some(Provider::Microsoft(_) | Provider::GitHub(_)) | None => {
                    "Sign in there with an account that administers what you want to connect. It need not be the one that you signed in with here, and it is not signed in here by this."
                }
            },
        }
    }
}
