//! What stores keep, field by field: what `countersign privacy report` lists. The end-to-end tests hold it against what the stores
//! of all of them really held.
//!
//! A place is where a backend keeps something: `TABLE.COLUMN` of the embedded store, `KEY.FIELD` of Redis. What is kept as
//! JSON is a document, of which each field has a line; `*` stands for whatever an operator or a registry has chosen to name.

use serde::Serialize;

/// What a field says of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Personal {
    /// Nothing.
    No,
    /// Their name.
    Name,
    /// Their e-mail address, or what a provider takes for it.
    Email,
    /// An id that stands for them: an account's, a session's, the provider's.
    Id,
    /// The network that they came from.
    Network,
    /// What somebody wrote, who may have named a person.
    Words,
    /// What proves something, sealed or as a digest.
    Secret,
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Where it is in its document.
    pub path: &'static str,
    /// What it is.
    pub what: &'static str,
    /// What it says of a person.
    pub personal: Personal,
}

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document {
    /// What it is about.
    pub kind: &'static str,
    /// All fields that it may have.
    pub fields: &'static [Field],
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// It is erased: by the person, the registry or an operator, or since it is not used (`lifetimes.unused_account`).
    Erased,
    /// The registry takes it back, or an operator does.
    TakenBack,
    /// The session ends (`lifetimes.session`).
    SessionEnds,
    /// A day has passed, or it is done before.
    ADay,
    /// Minutes to an hour: what it guards is over then.
    AnHour,
    /// It is replaced.
    Replaced,
}

/// Where a backend keeps something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `TABLE.COLUMN` of the embedded store, `KEY.FIELD` of Redis.
    pub at: &'static str,
    /// What is there.
    pub holds: Holds,
    /// For how long.
    pub until: Until,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A document.
    Document(Document),
    /// A value.
    Value(&'static str, Personal),
}

const fn field(path: &'static str, what: &'static str, personal: Personal) -> Field {
    Field {
        path,
        what,
        personal,
    }
}

const fn document(at: &'static str, holds: Document, until: Until) -> Place {
    Place {
        at,
        holds: Holds::Document(holds),
        until,
    }
}

const fn value(at: &'static str, what: &'static str, personal: Personal, until: Until) -> Place {
    Place {
        at,
        holds: Holds::Value(what, personal),
        until,
    }
}

use Personal::{Email, Id, Name, Network, No, Secret, Words};

const ACCOUNT: Document = Document {
    kind: "account",
    fields: &[
        field("id", "the account's id, the `sub` of tokens", Id),
        field(
            "identity.microsoft.tid",
            "the tenant of the identity that leads here",
            Id,
        ),
        field("identity.microsoft.oid", "its object id there", Id),
        field("identity.git-hub.host", "or the GitHub that knows it", Id),
        field("identity.git-hub.id", "its numeric id there", Id),
        field("identity.oidc.issuer", "or the issuer", Id),
        field("identity.oidc.subject", "its `sub` there", Id),
        field(
            "linked.identity.microsoft.tid",
            "the same of a linked identity",
            Id,
        ),
        field("linked.identity.microsoft.oid", "its object id", Id),
        field(
            "linked.identity.git-hub.host",
            "or the GitHub that knows it",
            Id,
        ),
        field("linked.identity.git-hub.id", "its numeric id", Id),
        field("linked.identity.oidc.issuer", "or the issuer", Id),
        field("linked.identity.oidc.subject", "its `sub`", Id),
        field("linked.at", "when it was linked", No),
        field(
            "profile.name",
            "the name, as the provider told it last",
            Name,
        ),
        field(
            "profile.email.address",
            "the e-mail address, as the provider told it last",
            Email,
        ),
        field(
            "profile.email.verified",
            "whether the provider's word on it counts",
            No,
        ),
        field("created_at", "when the record was made", No),
        field(
            "first_mfa_at",
            "when it was first seen with multi-factor authentication",
            No,
        ),
        field("registered_at", "when the registry made its account", No),
        field("registry_account", "the registry's name of its account", Id),
        field(
            "vouched_email.address",
            "the e-mail address that the registry vouched for",
            Email,
        ),
        field("vouched_email.at", "since when", No),
        field("told_due", "the day that the person was told as theirs", No),
        field(
            "reminded_on",
            "the day on which it was last shown the reminder",
            No,
        ),
        field("seen_on", "the day of the last sign-in, to a week", No),
        field("locked.at", "since when it is locked", No),
        field("locked.reason", "why, in an operator's words", Words),
    ],
};

const REGISTRY_ACCOUNT: Document = Document {
    kind: "registry account",
    fields: &[
        field("name", "the registry's name of its account", Id),
        field("registered_at", "when the registry made it", No),
        field(
            "verified_email",
            "the e-mail address that the registry verified",
            Email,
        ),
        field("account", "the account here of the same person", Id),
        field(
            "organization",
            "the organization that a team's account has become",
            No,
        ),
    ],
};

const SESSION: Document = Document {
    kind: "session",
    fields: &[
        field("id", "the session's name, the `sid` of tokens", Id),
        field("account", "whose it is", Id),
        field("evidence.provider", "the provider that vouches", No),
        field(
            "evidence.identity.microsoft.tid",
            "the tenant of the identity that signed in",
            Id,
        ),
        field("evidence.identity.microsoft.oid", "its object id there", Id),
        field(
            "evidence.identity.git-hub.host",
            "or the GitHub that knows it",
            Id,
        ),
        field("evidence.identity.git-hub.id", "its numeric id there", Id),
        field("evidence.identity.oidc.issuer", "or the issuer", Id),
        field("evidence.identity.oidc.subject", "its `sub` there", Id),
        field(
            "evidence.claims.*",
            "what the provider said of how the person signed in, and the claims that the policy's `when` names (never personal ones)",
            No,
        ),
        field(
            "evidence.*",
            "whose people the person is: tenant, guest or member, groups that an organization names, and the provider's name of its session",
            Id,
        ),
        field("evidence.profile.name", "the name, for tokens", Name),
        field(
            "evidence.profile.email.address",
            "the e-mail address, for tokens",
            Email,
        ),
        field(
            "evidence.profile.email.verified",
            "whether the provider's word on it counts",
            No,
        ),
        field(
            "evidence.profile.login_hint",
            "what leads the person back to the same account at the provider: a user name",
            Email,
        ),
        field("opened_at", "when it was opened", No),
        field("expires_at", "when it ends", No),
        field("earlier", "the sessions that the browser had before", Id),
    ],
};

const CODE: Document = Document {
    kind: "code",
    fields: &[
        field("client", "the client that it is for", No),
        field("redirect_uri", "where it is sent", No),
        field("code_challenge", "the client's PKCE challenge", Secret),
        field("nonce", "the client's `nonce`", No),
        field("scopes", "what was asked for", No),
        field("organization", "for which organization", No),
        field("acr_values", "which level was asked for", No),
        field("resource", "for which service", No),
        field("dpop_jkt", "the thumbprint of the client's key", No),
        field("trace", "where its trace began", No),
        field("expires_at", "when it ends", No),
    ],
};

const GRANT: Document = Document {
    kind: "grant",
    fields: &[
        field("id", "what a client may refresh", Id),
        field("session", "of which session", Id),
        field("client", "which client", No),
        field("scopes", "what was granted", No),
        field("organization", "for which organization", No),
        field("acr_values", "which level was asked for", No),
        field("resource", "for which service", No),
        field("dpop_jkt", "the thumbprint of the client's key", No),
        field("stated.acr", "what tokens say of the sign-in: `acr`", No),
        field("stated.amr", "`amr`", No),
        field("stated.level", "the level", No),
        field("stated.basis", "the basis", No),
        field("expires_at", "when it ends", No),
    ],
};

const KEPT_TOKEN: Document = Document {
    kind: "kept token",
    fields: &[
        field("session", "of which session", Id),
        field(
            "sealed",
            "what the provider is asked again with (`recheck`), sealed",
            Secret,
        ),
        field("asked_at", "when it last vouched", No),
        field("asking_until", "until when it is being asked", No),
    ],
};

const DEVICE_REQUEST: Document = Document {
    kind: "device request",
    fields: &[
        field("code_digest", "a digest of the device's code", Secret),
        field("code.client", "the client", No),
        field(
            "code.code_challenge",
            "a PKCE challenge, where it sent one",
            Secret,
        ),
        field("code.nonce", "a `nonce`, where it sent one", No),
        field("code.scopes", "what it asks for", No),
        field("code.organization", "for which organization", No),
        field("code.acr_values", "which level it asks for", No),
        field("code.resource", "for which service", No),
        field("code.trace", "where its trace began", No),
        field("code.expires_at", "when it ends", No),
        field(
            "address",
            "the network address that it asked from, shown to who answers",
            Network,
        ),
        field("program", "what it calls itself", Words),
        field("asked_at", "when it asked", No),
        field("expires_at", "until when it may be answered", No),
    ],
};

const DEVICE_ANSWER: Document = Document {
    kind: "answer to a device",
    fields: &[field("session", "whose session it gets", Id)],
};

const ORGANIZATION: Document = Document {
    kind: "organization",
    fields: &[
        field("id", "the registry's name of it", No),
        field("title", "what people call it", Words),
        field(
            "admins",
            "who administers it: accounts here, or the registry's names",
            Id,
        ),
        field(
            "connections.mapping.*",
            "whose people are its people, and what they may",
            No,
        ),
        field("connections.standing", "whether that is in force", No),
        field("connections.proof", "what shows it", No),
        field(
            "connections.proof.member.token",
            "what a TXT record must name, while that is not shown",
            No,
        ),
        field(
            "connections.proof.directory-role",
            "the directory role that showed it",
            No,
        ),
        field(
            "connections.proof.operator.reason",
            "or an operator's reason",
            Words,
        ),
        field("connections.made_by", "who made it", Id),
        field("connections.made_at", "when", No),
        field("exceptions.name", "an exception that was asked for", No),
        field("exceptions.waives", "from what", No),
        field("exceptions.reason", "why, in an admin's words", Words),
        field("exceptions.until", "until when", No),
        field("exceptions.asked_by", "who asked", Id),
        field("exceptions.asked_at", "when", No),
        field("exceptions.answer.verdict", "what was answered", No),
        field("exceptions.answer.until", "until when it is granted", No),
        field(
            "exceptions.answer.reason",
            "why, in an operator's words",
            Words,
        ),
        field("exceptions.answer.by", "who answered", Id),
        field("exceptions.answer.at", "when", No),
        field("created_at", "when it was first told of", No),
        field("told_by", "who told of it last", Id),
    ],
};

/// What the embedded store keeps.
pub const EMBEDDED: &[Place] = &[
    document("account.record", ACCOUNT, Until::Erased),
    value("account.id", "the account's id", Id, Until::Erased),
    value(
        "account.version",
        "how often it was written",
        No,
        Until::Erased,
    ),
    value(
        "identity.identity",
        "an identity at a provider",
        Id,
        Until::Erased,
    ),
    value(
        "identity.account",
        "the account that it leads to",
        Id,
        Until::Erased,
    ),
    document("registry_account.record", REGISTRY_ACCOUNT, Until::Erased),
    value(
        "registry_account.name",
        "the registry's name of its account",
        Id,
        Until::Erased,
    ),
    value(
        "registry_account.version",
        "how often it was written",
        No,
        Until::Erased,
    ),
    document("sign_in.session", SESSION, Until::SessionEnds),
    document("sign_in.code", CODE, Until::AnHour),
    value("sign_in.n", "a number", No, Until::SessionEnds),
    value(
        "sign_in.session_id",
        "the session's name",
        Id,
        Until::SessionEnds,
    ),
    value(
        "sign_in.session_expires_at",
        "when it ends",
        No,
        Until::SessionEnds,
    ),
    value(
        "sign_in.code_digest",
        "a digest of the code that hands it over",
        Secret,
        Until::SessionEnds,
    ),
    value(
        "sign_in.code_expires_at",
        "when that ends",
        No,
        Until::SessionEnds,
    ),
    value(
        "sign_in.forget_at",
        "when all of this is forgotten",
        No,
        Until::SessionEnds,
    ),
    value("sign_in.account_id", "whose it is", Id, Until::SessionEnds),
    value(
        "sign_in.provider_session",
        "the provider's name of its session",
        Id,
        Until::SessionEnds,
    ),
    value(
        "sign_in.client_id",
        "the client that it was handed to first",
        No,
        Until::SessionEnds,
    ),
    document("further_code.code", CODE, Until::AnHour),
    value(
        "further_code.session_id",
        "a session that was handed to one more client",
        Id,
        Until::SessionEnds,
    ),
    value(
        "further_code.code_digest",
        "a digest of the code",
        Secret,
        Until::SessionEnds,
    ),
    value(
        "further_code.code_expires_at",
        "when that ends",
        No,
        Until::SessionEnds,
    ),
    value(
        "further_code.client_id",
        "the client",
        No,
        Until::SessionEnds,
    ),
    value(
        "further_code.forget_at",
        "when all of this is forgotten",
        No,
        Until::SessionEnds,
    ),
    document("client_grant.client_grant", GRANT, Until::SessionEnds),
    value(
        "client_grant.grant_id",
        "what a client may refresh",
        Id,
        Until::SessionEnds,
    ),
    value(
        "client_grant.session_id",
        "of which session",
        Id,
        Until::SessionEnds,
    ),
    value(
        "client_grant.generation",
        "which refresh token is good",
        No,
        Until::SessionEnds,
    ),
    value(
        "client_grant.spent",
        "which was spent for it",
        No,
        Until::SessionEnds,
    ),
    value("client_grant.spent_at", "when", No, Until::SessionEnds),
    value(
        "client_grant.rotated_at",
        "when last",
        No,
        Until::SessionEnds,
    ),
    value(
        "client_grant.forget_at",
        "when all of this is forgotten",
        No,
        Until::SessionEnds,
    ),
    value(
        "revoked_token.jti",
        "an access token that was revoked",
        Id,
        Until::AnHour,
    ),
    value(
        "revoked_token.session_id",
        "of which session",
        Id,
        Until::AnHour,
    ),
    value(
        "revoked_token.forget_at",
        "when it is forgotten",
        No,
        Until::AnHour,
    ),
    document("kept_token.token", KEPT_TOKEN, Until::SessionEnds),
    value(
        "kept_token.session_id",
        "of which session",
        Id,
        Until::SessionEnds,
    ),
    value(
        "kept_token.version",
        "how often it was written",
        No,
        Until::SessionEnds,
    ),
    value(
        "kept_token.forget_at",
        "when it is forgotten",
        No,
        Until::SessionEnds,
    ),
    document("device_request.request", DEVICE_REQUEST, Until::AnHour),
    document("device_request.answer", DEVICE_ANSWER, Until::AnHour),
    value(
        "device_request.answer",
        "or that somebody said no",
        No,
        Until::AnHour,
    ),
    value(
        "device_request.id",
        "a digest of the code that a person types",
        Secret,
        Until::AnHour,
    ),
    value(
        "device_request.expires_at",
        "when it is forgotten",
        No,
        Until::AnHour,
    ),
    value(
        "logout_notice.session_id",
        "a session that has ended, to be told",
        Id,
        Until::ADay,
    ),
    value(
        "logout_notice.client_id",
        "to which client",
        No,
        Until::ADay,
    ),
    value("logout_notice.account_id", "whose it was", Id, Until::ADay),
    value(
        "logout_notice.tries",
        "how often it was tried",
        No,
        Until::ADay,
    ),
    value(
        "logout_notice.due_at",
        "when it is tried again",
        No,
        Until::ADay,
    ),
    value(
        "logout_notice.forget_at",
        "when it is given up",
        No,
        Until::ADay,
    ),
    value("ended.n", "a number", No, Until::AnHour),
    value(
        "ended.kind",
        "what has ended: a session, what a client may refresh, a token",
        No,
        Until::AnHour,
    ),
    value("ended.id", "its name", Id, Until::AnHour),
    value("ended.at", "when", No, Until::AnHour),
    value(
        "seen_once.key",
        "a digest of what may come once",
        Secret,
        Until::ADay,
    ),
    value(
        "seen_once.forget_at",
        "when it is forgotten",
        No,
        Until::ADay,
    ),
    value(
        "bucket.key",
        "a digest, by a key of this installation, of whom a limit is for: an address, an identity, a client",
        Id,
        Until::AnHour,
    ),
    value(
        "bucket.paid_at",
        "when it is empty again",
        No,
        Until::AnHour,
    ),
    document("organization.record", ORGANIZATION, Until::TakenBack),
    value(
        "organization.id",
        "the registry's name of it",
        No,
        Until::TakenBack,
    ),
    value(
        "organization.version",
        "how often it was written",
        No,
        Until::TakenBack,
    ),
    value(
        "signpost.post",
        "what leads to an organization: a tenant, or an admin",
        Id,
        Until::TakenBack,
    ),
    value("signpost.organization", "which", No, Until::TakenBack),
    value("stored_key.name", "what a key is for", No, Until::Replaced),
    value(
        "stored_key.created_at",
        "when it was made",
        No,
        Until::Replaced,
    ),
    value(
        "stored_key.material",
        "the key, sealed where `[keys]` says so",
        Secret,
        Until::Replaced,
    ),
    value(
        "audit_head.replica",
        "a chain of audit lines",
        No,
        Until::Replaced,
    ),
    value(
        "audit_head.n",
        "how far it was written",
        No,
        Until::Replaced,
    ),
    value(
        "audit_head.hash",
        "the hash of that line",
        No,
        Until::Replaced,
    ),
    value("audit_head.time", "the time in it", No, Until::Replaced),
];

/// What Redis keeps.
pub const REDIS: &[Place] = &[
    document("account.record", ACCOUNT, Until::Erased),
    value(
        "account.version",
        "how often it was written",
        No,
        Until::Erased,
    ),
    value("accounts", "an index of accounts' ids", Id, Until::Erased),
    value(
        "identity",
        "an identity at a provider, and the account that it leads to",
        Id,
        Until::Erased,
    ),
    document("registry-account.record", REGISTRY_ACCOUNT, Until::Erased),
    value(
        "registry-account.version",
        "how often it was written",
        No,
        Until::Erased,
    ),
    document("session.session", SESSION, Until::SessionEnds),
    value(
        "session.session_until",
        "when it ends unless it is used",
        No,
        Until::SessionEnds,
    ),
    value("session.account", "whose it is", Id, Until::SessionEnds),
    document("session.code", CODE, Until::SessionEnds),
    value("session.until", "when a code ends", No, Until::SessionEnds),
    value(
        "session.client",
        "a client that it was handed to",
        No,
        Until::SessionEnds,
    ),
    value(
        "sessions-of",
        "an account's sessions",
        Id,
        Until::SessionEnds,
    ),
    value(
        "sessions-resting-on",
        "the sessions that rest on a provider's",
        Id,
        Until::SessionEnds,
    ),
    document("grant.grant", GRANT, Until::SessionEnds),
    value("grant.until", "when it ends", No, Until::SessionEnds),
    value(
        "grant.good",
        "which refresh token is good",
        No,
        Until::SessionEnds,
    ),
    value(
        "grant.spent",
        "which was spent for it",
        No,
        Until::SessionEnds,
    ),
    value("grant.spent_at", "when", No, Until::SessionEnds),
    value("grant.rotated_at", "when last", No, Until::SessionEnds),
    value(
        "revoked",
        "an access token that was revoked",
        Id,
        Until::AnHour,
    ),
    document("token.record", KEPT_TOKEN, Until::SessionEnds),
    value(
        "token.version",
        "how often it was written",
        No,
        Until::SessionEnds,
    ),
    document("device.request", DEVICE_REQUEST, Until::AnHour),
    document("device.answer", DEVICE_ANSWER, Until::AnHour),
    value(
        "device.answer",
        "or that somebody said no",
        No,
        Until::AnHour,
    ),
    value("device.until", "when it is forgotten", No, Until::AnHour),
    value(
        "notices",
        "sessions that have ended, to be told to their clients, and how often that was tried",
        Id,
        Until::ADay,
    ),
    value("ended", "what has ended before its time", Id, Until::AnHour),
    value(
        "once",
        "a digest of what may come once",
        Secret,
        Until::ADay,
    ),
    value(
        "bucket",
        "a digest, by a key of this installation, of whom a limit is for: an address, an identity, a client",
        Id,
        Until::AnHour,
    ),
    document("organization.record", ORGANIZATION, Until::TakenBack),
    value(
        "organization.version",
        "how often it was written",
        No,
        Until::TakenBack,
    ),
    value(
        "organizations",
        "an index of organizations",
        No,
        Until::TakenBack,
    ),
    value(
        "signpost",
        "what leads to organizations: a tenant, or an admin",
        Id,
        Until::TakenBack,
    ),
    value(
        "keys",
        "the keys, sealed where `[keys]` says so",
        Secret,
        Until::Replaced,
    ),
    value(
        "audit-heads",
        "how far chains of audit lines were written",
        No,
        Until::Replaced,
    ),
];

impl Place {
    /// Whether what was found `at` some place of a store is what this place holds.
    pub fn covers(&self, at: &str) -> bool {
        match self.holds {
            Holds::Value(..) => at == self.at,
            Holds::Document(document) => {
                let within = at
                    .strip_prefix(self.at)
                    .and_then(|rest| rest.strip_prefix('.'));
                within.is_some_and(|path| document.fields.iter().any(|field| field.covers(path)))
            }
        }
    }
}

impl Field {
    /// Whether it is what was found at this path of its document.
    pub fn covers(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(before) => path.starts_with(before),
            None => path == self.path,
        }
    }
}
