//! The pages of operators: what waits, all organisations, all accounts, the audit log, and what is confirmed.

use askama::Template;
use countersign_core::{AccountId, OrganizationId, TierName};
use countersign_store::organization::AskedException;
use countersign_store::{Connection, Organization, Standing};
use url::form_urlencoded;

use super::account::IdentityRow;
use super::day::Day;
use super::organizations::{ConnectionRow, EffectRow, ExceptionRow, title};
use super::sessions::{self, Moment};
use super::{host, organizations};
use crate::account::{Known, KnownSession, KnownWhole, MustShowMfa};
use crate::audit::{AuditFound, AuditLine, Event};
use crate::operator::ROWS;
use crate::organization::Effect;
use crate::own::{LOOK, OwnPage, Visitor};
use crate::web::{Context, Parameters};

/// That something is missing before anybody is an operator here.
#[derive(Template)]
#[template(path = "operator_gate.html")]
pub(crate) struct OperatorGatePage {
    host: String,
    person: String,
    account: String,
    /// Whether the policy names the account.
    is_named: bool,
    /// Where to sign in better.
    raise: Option<String>,
    request_id: String,
}

impl OperatorGatePage {
    pub(crate) fn new(visitor: &Visitor, page: &OwnPage, context: &Context<'_>) -> Self {
        let is_named = context.policy().is_operator(&visitor.account.id);
        let raise = visitor.way_to_may(LOOK, page, context);
        Self {
            host: host(context.broker),
            person: sessions::person(&visitor.session),
            account: visitor.account.id.to_string(),
            is_named,
            raise: raise.filter(|_| is_named),
            request_id: context.request_id.clone(),
        }
    }

    fn code(&self) -> &'static str {
        if self.is_named {
            "sign-in-not-enough"
        } else {
            "not-an-operator"
        }
    }
}

/// What waits for an operator.
#[derive(Template)]
#[template(path = "operator.html")]
pub(crate) struct OperatorPage {
    host: String,
    here: &'static str,
    person: String,
    begins_with: String,
    /// Whether not all are here.
    is_part: bool,
    rows: Vec<WaitingRow>,
    /// The query of the next page.
    next: Option<String>,
}

struct WaitingRow {
    id: String,
    title: String,
    /// What waits, in words.
    what: Vec<String>,
}

impl OperatorPage {
    /// `asking` holds one more than fits, where there is more.
    pub(crate) fn new(
        visitor: &Visitor,
        begins_with: &str,
        mut asking: Vec<Organization>,
        context: &Context<'_>,
    ) -> Self {
        let next = organizations::next_of(&mut asking, begins_with, ROWS);
        Self {
            host: host(context.broker),
            here: "home",
            person: sessions::person(&visitor.session),
            is_part: next.is_some() || !begins_with.is_empty() || is_further(context),
            begins_with: begins_with.to_owned(),
            rows: asking.iter().map(WaitingRow::of).collect(),
            next,
        }
    }
}

impl WaitingRow {
    fn of(organization: &Organization) -> Self {
        let asked = organization
            .exceptions
            .iter()
            .filter(|one| one.is_waiting());
        let asked = asked.map(|one| {
            let tiers: Vec<&str> = one.waives.iter().map(TierName::as_str).collect();
            format!("asks for an exception in {}", tiers.join(", "))
        });
        let connections = organization.connections.iter();
        let connections = connections.filter_map(|one| match one.standing {
            Standing::Disputed => Some(format!("{} is disputed", one.mapping.source)),
            Standing::AwaitingApproval => Some(format!("{} awaits approval", one.mapping.source)),
            Standing::InForce | Standing::Refused => None,
        });
        Self {
            id: organization.id.to_string(),
            title: title(organization),
            what: asked.chain(connections).collect(),
        }
    }
}

/// Whether it is a page behind another.
fn is_further(context: &Context<'_>) -> bool {
    context.query().one("after").is_some()
}

/// All organisations, or those whose names begin so.
#[derive(Template)]
#[template(path = "operator_organizations.html")]
pub(crate) struct OperatorOrganizationsPage {
    host: String,
    here: &'static str,
    begins_with: String,
    is_further: bool,
    rows: Vec<organizations::Row>,
    /// The query of the next page.
    next: Option<String>,
}

impl OperatorOrganizationsPage {
    /// `found` holds one more than fits, where there is more.
    pub(crate) fn new(
        begins_with: &str,
        mut found: Vec<Organization>,
        context: &Context<'_>,
    ) -> Self {
        let next = organizations::next_of(&mut found, begins_with, ROWS);
        Self {
            host: host(context.broker),
            here: "organizations",
            begins_with: begins_with.to_owned(),
            is_further: is_further(context),
            rows: found.iter().map(organizations::Row::of).collect(),
            next,
        }
    }
}

/// Who disputes a connection, and its sealed buttons, for whoever may press them.
pub(crate) struct ConnectionPart {
    pub(crate) others: Vec<Organization>,
    pub(crate) approve: Option<String>,
    pub(crate) share: Option<String>,
    pub(crate) transfer: Option<String>,
    pub(crate) refuse: Option<String>,
    pub(crate) disconnect: Option<String>,
}

/// A connection, and the buttons that its standing leaves: what they say, and the sealed form.
struct StandingRow {
    connection: ConnectionRow,
    /// Who disputes it: name and title.
    others: Vec<(String, String)>,
    buttons: Vec<(&'static str, String)>,
}

impl StandingRow {
    fn of(connection: &Connection, part: ConnectionPart) -> Self {
        let others = part.others.iter();
        Self {
            connection: ConnectionRow::of(connection, None),
            others: others
                .map(|other| (other.id.to_string(), title(other)))
                .collect(),
            buttons: part.buttons(connection.standing),
        }
    }
}

impl ConnectionPart {
    fn buttons(self, standing: Standing) -> Vec<(&'static str, String)> {
        let all = match standing {
            Standing::InForce => vec![("Disconnect", self.disconnect)],
            Standing::Disputed => vec![
                ("Share it with the others", self.share),
                ("Transfer it to this one", self.transfer),
                ("Refuse this one’s claim", self.refuse),
            ],
            Standing::AwaitingApproval => vec![("Approve", self.approve), ("Refuse", self.refuse)],
            Standing::Refused => vec![("Approve", self.approve), ("Remove", self.disconnect)],
        };
        let given = all.into_iter();
        given
            .filter_map(|(label, form)| Some((label, form?)))
            .collect()
    }
}

/// An exception, and the sealed form that answers it.
struct AskedRow {
    exception: ExceptionRow,
    name: String,
    asked_by: String,
    /// The day that the form begins with.
    until: String,
    is_waiting: bool,
    is_granted: bool,
    form: Option<String>,
}

impl AskedRow {
    fn of(asked: &AskedException, form: Option<String>, context: &Context<'_>) -> Self {
        use countersign_store::organization::Verdict;
        let verdict = asked.answer.as_ref().map(|answer| answer.verdict);
        Self {
            exception: ExceptionRow::asked(asked, None, context),
            name: asked.name.to_string(),
            asked_by: asked.asked_by.to_string(),
            until: asked.until.to_string(),
            is_waiting: asked.is_waiting(),
            is_granted: matches!(verdict, Some(Verdict::Granted { .. })),
            form,
        }
    }
}

/// One organisation, as an operator sees it.
#[derive(Template)]
#[template(path = "operator_organization.html")]
pub(crate) struct OperatorOrganizationPage {
    host: String,
    here: &'static str,
    id: String,
    title: String,
    told_by: String,
    created_at: Moment,
    admins: Vec<String>,
    connections: Vec<StandingRow>,
    in_file: Vec<String>,
    stricter: Vec<String>,
    exceptions: Vec<AskedRow>,
    raise: Option<String>,
    history: String,
}

impl OperatorOrganizationPage {
    /// What is of connections and of exceptions is in their order.
    pub(crate) fn new(
        organization: &Organization,
        (admins, parts, answers): (Vec<Effect>, Vec<ConnectionPart>, Vec<Option<String>>),
        raise: Option<String>,
        context: &Context<'_>,
    ) -> Self {
        let policy = context.policy().organization(&organization.id);
        let connections = organization.connections.iter().zip(parts);
        let exceptions = organization.exceptions.iter().zip(answers).rev();
        Self {
            host: host(context.broker),
            here: "organizations",
            id: organization.id.to_string(),
            title: title(organization),
            told_by: organization.told_by.to_string(),
            created_at: Moment(organization.created_at),
            admins: admins.into_iter().map(|admin| admin.who).collect(),
            connections: connections
                .map(|(one, part)| StandingRow::of(one, part))
                .collect(),
            in_file: policy
                .into_iter()
                .flat_map(|rule| &rule.tenants)
                .map(ToString::to_string)
                .collect(),
            stricter: policy
                .into_iter()
                .flat_map(|rule| rule.stricter.keys())
                .cloned()
                .collect(),
            exceptions: exceptions
                .map(|(asked, form)| AskedRow::of(asked, form, context))
                .collect(),
            raise,
            history: query(&[("subject", organization.id.as_str())]),
        }
    }
}

/// All accounts.
#[derive(Template)]
#[template(path = "operator_accounts.html")]
pub(crate) struct OperatorAccountsPage {
    host: String,
    here: &'static str,
    sought: String,
    is_further: bool,
    rows: Vec<AccountRow>,
    next: Option<String>,
}

struct AccountRow {
    id: String,
    who: String,
    registry_name: Option<String>,
    is_locked: bool,
}

impl OperatorAccountsPage {
    /// More follow after `last`, if there is any.
    pub(crate) fn new(known: Vec<Known>, last: Option<&AccountId>, context: &Context<'_>) -> Self {
        Self {
            rows: known.into_iter().map(AccountRow::of).collect(),
            next: last.map(|last| query(&[("after", last.as_str())])),
            ..Self::none("", context)
        }
    }

    /// Nobody is called so.
    pub(crate) fn none(sought: &str, context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            here: "accounts",
            sought: sought.to_owned(),
            is_further: is_further(context),
            rows: Vec::new(),
            next: None,
        }
    }
}

impl AccountRow {
    fn of(known: Known) -> Self {
        Self {
            who: who(&known),
            id: known.id.to_string(),
            registry_name: known.registry_account.map(|name| name.to_string()),
            is_locked: known.locked.is_some(),
        }
    }
}

/// What people call whoever has an account, as far as is known.
fn who(known: &Known) -> String {
    match (&known.name, &known.email) {
        (Some(name), Some(email)) => format!("{name} ({email})"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => known.id.to_string(),
    }
}

/// The sealed buttons of an account, for whoever may press them.
pub(crate) struct AccountButtons {
    pub(crate) lock: Option<String>,
    pub(crate) unlock: Option<String>,
    pub(crate) end: Option<String>,
    pub(crate) erase: Option<String>,
}

/// One account, as an operator sees it.
#[derive(Template)]
#[template(path = "operator_account.html")]
pub(crate) struct OperatorAccountPage {
    host: String,
    here: &'static str,
    id: String,
    who: String,
    registry_name: Option<String>,
    created_at: Moment,
    registered_at: Option<Moment>,
    first_mfa_at: Option<Moment>,
    seen_on: Option<Day>,
    must_show_mfa: String,
    locked: Option<(Moment, String)>,
    is_own: bool,
    identities: Vec<IdentityRow>,
    administers: Vec<OrganizationId>,
    sessions: Vec<KnownSessionRow>,
    /// How many sessions are not shown.
    more_sessions: usize,
    buttons: AccountButtons,
    raise: Option<String>,
    history: String,
}

struct KnownSessionRow {
    provider: String,
    opened_at: Moment,
    ends_at: Moment,
    clients: String,
}

impl KnownSessionRow {
    fn of(known: &KnownSession, context: &Context<'_>) -> Self {
        let clients = known.clients.iter();
        let clients = clients.map(|client| sessions::client_name(client, context));
        Self {
            provider: sessions::provider_title(&known.provider, context),
            opened_at: Moment(known.opened_at),
            ends_at: Moment(known.ends_at),
            clients: clients.collect::<Vec<_>>().join(", "),
        }
    }
}

impl OperatorAccountPage {
    pub(crate) fn new(
        known: KnownWhole,
        (buttons, raise): (AccountButtons, Option<String>),
        is_own: bool,
        context: &Context<'_>,
    ) -> Self {
        let identities = known.account.identities.iter();
        let identities = identities.map(|one| IdentityRow::new(one, false, None, context));
        let sessions = known.sessions.iter().take(ROWS);
        Self {
            host: host(context.broker),
            here: "accounts",
            who: who(&known.account),
            identities: identities.collect(),
            sessions: sessions
                .map(|one| KnownSessionRow::of(one, context))
                .collect(),
            more_sessions: known.sessions.len().saturating_sub(ROWS),
            must_show_mfa: match known.must_show_mfa {
                MustShowMfa::Now => "now".to_owned(),
                MustShowMfa::From(day) => format!("from {}", Day(day)),
                MustShowMfa::NotSet => "no day yet".to_owned(),
            },
            administers: known.administers,
            history: query(&[("subject", known.account.id.as_str())]),
            id: known.account.id.to_string(),
            registry_name: known.account.registry_account.map(|name| name.to_string()),
            created_at: Moment(known.account.created_at),
            registered_at: known.account.registered_at.map(Moment),
            first_mfa_at: known.account.first_mfa_at.map(Moment),
            seen_on: known.account.seen_on.map(Day),
            locked: known
                .account
                .locked
                .map(|lock| (Moment(lock.at), lock.reason)),
            is_own,
            buttons,
            raise,
        }
    }
}

/// Whether something is really meant.
#[derive(Template)]
#[template(path = "operator_confirm.html")]
pub(crate) struct ConfirmPage {
    host: String,
    question: String,
    about: String,
    what: Vec<String>,
    effects: Vec<EffectRow>,
    /// What the button says.
    verb: String,
    /// The page that it belongs to.
    path: String,
    form: String,
}

impl ConfirmPage {
    /// Something that decides about a connection.
    pub(crate) fn of_connection(
        (verb, what): (&'static str, &'static str),
        organization: &Organization,
        source: &str,
        effects: Vec<Effect>,
        form: String,
        context: &Context<'_>,
    ) -> Self {
        Self {
            host: host(context.broker),
            question: format!("{verb} a connection of {}?", title(organization)),
            about: source.to_owned(),
            what: vec![what.to_owned()],
            effects: effects.into_iter().map(EffectRow::of).collect(),
            verb: verb.to_owned(),
            path: format!("/operator/organizations/{}", organization.id),
            form,
        }
    }

    /// The end of all sessions of an account.
    pub(crate) fn of_ending(known: &KnownWhole, form: String, context: &Context<'_>) -> Self {
        let one = known.sessions.len();
        Self {
            question: format!("End all sessions of {}?", who(&known.account)),
            what: vec![format!(
                "They are signed out everywhere, of {one} session{} here and of what those led to. They can sign in again at once: lock the account to keep them out.",
                if one == 1 { "" } else { "s" }
            )],
            verb: "End all sessions".to_owned(),
            ..Self::of_account(known, form, context)
        }
    }

    /// That somebody is forgotten.
    pub(crate) fn of_erasing(known: &KnownWhole, form: String, context: &Context<'_>) -> Self {
        Self {
            question: format!("Erase {}?", who(&known.account)),
            what: vec![
                "This can’t be undone. Their name, their address and how they sign in are forgotten, every session ends, and their place among the admins of organizations goes.".to_owned(),
                "Who signs in with the same provider begins anew, as a new account, with nothing of this one’s. To keep somebody out, lock the account instead.".to_owned(),
            ],
            verb: "Erase the account".to_owned(),
            ..Self::of_account(known, form, context)
        }
    }

    fn of_account(known: &KnownWhole, form: String, context: &Context<'_>) -> Self {
        Self {
            host: host(context.broker),
            question: String::new(),
            about: known.account.id.to_string(),
            what: Vec::new(),
            effects: Vec::new(),
            verb: String::new(),
            path: format!("/operator/accounts/{}", known.account.id),
            form,
        }
    }
}

/// What comes of a search in the audit log.
pub(crate) enum Shown {
    /// These lines.
    Lines(AuditFound),
    /// What was typed is not understood.
    Problem(&'static str),
    /// Nothing is written down.
    Off,
}

/// The audit log.
#[derive(Template)]
#[template(path = "operator_audit_log.html")]
pub(crate) struct AuditLogPage {
    host: String,
    here: &'static str,
    events: Vec<(&'static str, bool)>,
    typed: TypedSearch,
    problem: Option<&'static str>,
    is_on: bool,
    lines: Vec<LineRow>,
    searched_to: Option<Moment>,
    next: Option<String>,
}

/// What was looked for, as it was typed.
struct TypedSearch {
    actor: String,
    subject: String,
    reason: String,
    request_id: String,
    since: String,
    until: String,
}

struct LineRow {
    time: String,
    /// For machines, to the millisecond.
    exactly: String,
    event: String,
    actor: Named,
    subject: Vec<(String, Named)>,
    reason: Option<String>,
    request_id: Option<String>,
    from: Option<String>,
    replica: String,
    n: u64,
}

/// An id, and the page of what it is of, if there is one.
struct Named {
    text: String,
    href: Option<String>,
}

impl AuditLogPage {
    pub(crate) fn new(parameters: &Parameters, shown: Shown, context: &Context<'_>) -> Self {
        let text = |name| parameters.one(name).map_or("", str::trim).to_owned();
        let event = text("event");
        let typed = TypedSearch {
            actor: text("actor"),
            subject: text("subject"),
            reason: text("reason"),
            request_id: text("request_id"),
            since: text("since"),
            until: text("until"),
        };
        let page = Self {
            host: host(context.broker),
            here: "audit-log",
            events: Event::ALL
                .iter()
                .map(|one| (one.code(), one.code() == event))
                .collect(),
            problem: None,
            is_on: true,
            lines: Vec::new(),
            searched_to: None,
            next: None,
            typed,
        };
        match shown {
            Shown::Off => Self {
                is_on: false,
                ..page
            },
            Shown::Problem(problem) => Self {
                problem: Some(problem),
                ..page
            },
            Shown::Lines(found) => {
                let next = found.next.map(|place| place.to_string());
                let next = next.map(|place| page.typed.query(&event, &place));
                Self {
                    lines: found.lines.into_iter().map(LineRow::of).collect(),
                    searched_to: found.searched_to.map(Moment),
                    next,
                    ..page
                }
            }
        }
    }
}

impl TypedSearch {
    /// The query of what follows a place.
    fn query(&self, event: &str, before: &str) -> String {
        query(&[
            ("event", event),
            ("actor", &self.actor),
            ("subject", &self.subject),
            ("reason", &self.reason),
            ("request_id", &self.request_id),
            ("since", &self.since),
            ("until", &self.until),
            ("before", before),
        ])
    }
}

impl LineRow {
    fn of(line: AuditLine) -> Self {
        let subject = line.subject.into_iter().map(|(kind, id)| {
            let named = Named::of(&kind, id);
            (kind, named)
        });
        let actor = match line.actor.split_once(':') {
            Some((kind @ "account", id)) => Named {
                text: line.actor.clone(),
                ..Named::of(kind, id.to_owned())
            },
            Some(_) | None => Named::of("", line.actor),
        };
        Self {
            exactly: format!("{:.3}", line.time),
            time: line.time.strftime("%-d %B %Y, %H:%M:%S").to_string(),
            event: line.event,
            actor,
            subject: subject.collect(),
            reason: line.reason,
            request_id: line.request_id,
            from: line.from,
            replica: line.replica.to_string(),
            n: line.n,
        }
    }
}

impl Named {
    /// A line may be anybody's who could write to the file: only what is an id leads anywhere.
    fn of(kind: &str, id: String) -> Self {
        let href = match kind {
            "account" => AccountId::new(&id)
                .ok()
                .map(|id| format!("/operator/accounts/{id}")),
            "organization" => OrganizationId::new(&id)
                .ok()
                .map(|id| format!("/operator/organizations/{id}")),
            _ => None,
        };
        Self { text: id, href }
    }
}

/// A query of these parameters, but for those that are empty.
pub(super) fn query(parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(given)
        .finish()
}
