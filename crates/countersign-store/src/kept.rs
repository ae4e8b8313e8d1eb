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

/// A kind of document: a line for each field, with what it says of a person and what it is.
macro_rules! document {
    ($kind:literal; $($path:literal: $personal:ident, $what:literal;)+) => {
        Document {
            kind: $kind,
            fields: &[$(Field { path: $path, what: $what, personal: Personal::$personal }),+],
        }
    };
}

/// Places, each with until when it holds what: a document, or a value with what that says of a person and what it is.
macro_rules! places {
    ($($until:ident $at:literal: $holds:ident $(, $what:literal)?;)+) => {
        &[$(Place { at: $at, until: Until::$until, holds: holds!($holds $(, $what)?) }),+]
    };
}

macro_rules! holds {
    ($document:ident) => {
        Holds::Document($document)
    };
    ($personal:ident, $what:literal) => {
        Holds::Value($what, Personal::$personal)
    };
}

const ACCOUNT: Document = document! {
    "account";
    "id": Id, "the account's id, the `sub` of tokens";
    "identity.microsoft.tid": Id, "the tenant of the identity that leads here";
    "identity.microsoft.oid": Id, "its object id there";
    "identity.git-hub.host": Id, "or the GitHub that knows it";
    "identity.git-hub.id": Id, "its numeric id there";
    "identity.oidc.issuer": Id, "or the issuer";
    "identity.oidc.subject": Id, "its `sub` there";
    "linked.identity.microsoft.tid": Id, "the same of a linked identity";
    "linked.identity.microsoft.oid": Id, "its object id";
    "linked.identity.git-hub.host": Id, "or the GitHub that knows it";
    "linked.identity.git-hub.id": Id, "its numeric id";
    "linked.identity.oidc.issuer": Id, "or the issuer";
    "linked.identity.oidc.subject": Id, "its `sub`";
    "linked.at": No, "when it was linked";
    "profile.name": Name, "the name, as the provider told it last";
    "profile.email.address": Email, "the e-mail address, as the provider told it last";
    "profile.email.verified": No, "whether the provider's word on it counts";
    "created_at": No, "when the record was made";
    "first_mfa_at": No, "when it was first seen with multi-factor authentication";
    "registered_at": No, "when the registry made its account";
    "registry_account": Id, "the registry's name of its account";
    "vouched_email.address": Email, "the e-mail address that the registry vouched for";
    "vouched_email.at": No, "since when";
    "told_due": No, "the day that the person was told as theirs";
    "reminded_on": No, "the day on which it was last shown the reminder";
    "seen_on": No, "the day of the last sign-in, to a week";
    "erasing": No, "that it is being erased, and nobody's";
    "locked.at": No, "since when it is locked";
    "locked.reason": Words, "why, in an operator's words";
};

const REGISTRY_ACCOUNT: Document = document! {
    "registry account";
    "name": Id, "the registry's name of its account";
    "registered_at": No, "when the registry made it";
    "verified_email": Email, "the e-mail address that the registry verified";
    "account": Id, "the account here of the same person";
    "organization": No, "the organization that a team's account has become";
};

const API_KEY: Document = document! {
    "API key";
    "id": Id, "the key's id, made of its digest";
    "digest": Secret, "SHA-256 of the key";
    "owner": Id, "whose it is: an account here, or the registry's name of its account";
    "name": Words, "what its owner calls it";
    "client": No, "the client that it is for";
    "scopes": No, "what it is for";
    "packages": Words, "which packages it is for";
    "organization": No, "for which organization";
    "made_by": No, "how it came to be";
    "made_at": No, "when it was made";
    "imported_at": No, "when it was imported";
    "expires_at": No, "when it ends";
    "under.identity.microsoft.tid": Id, "the tenant of the identity that it was made under";
    "under.identity.microsoft.oid": Id, "its object id there";
    "under.identity.git-hub.host": Id, "or the GitHub that knows it";
    "under.identity.git-hub.id": Id, "its numeric id there";
    "under.identity.oidc.issuer": Id, "or the issuer";
    "under.identity.oidc.subject": Id, "its `sub` there";
    "under.login.provider": No, "the provider that vouched";
    "under.login.tenant": Id, "the tenant that the sign-in belonged to";
    "under.login.claims.*": No, "what the provider said of how the person signed in, as of a session";
    "under.login.membership*": No, "whether the person was a member of the tenant or its guest";
    "under.login.belongs": Id, "whose people the person was: the GitHub organizations that are connected, or the issuer";
    "under.login.groups*": Id, "the groups and roles that an organization names";
    "under.login.email_verified": No, "whether the provider had verified the e-mail address";
    "under.login.verified_at": No, "when the provider's answer was verified";
    "under.level": No, "the level of the sign-in";
    "under.basis": No, "the basis";
    "first_notice_at": No, "when its owner was first told of its end";
    "told_end": No, "the end that they were told";
    "set_end": No, "the end that an operator has set";
    "last_used_on": No, "the day of its last use";
    "revoked_at": No, "since when it is revoked";
};

const SESSION: Document = document! {
    "session";
    "id": Id, "the session's name, the `sid` of tokens";
    "account": Id, "whose it is";
    "evidence.provider": No, "the provider that vouches";
    "evidence.identity.microsoft.tid": Id, "the tenant of the identity that signed in";
    "evidence.identity.microsoft.oid": Id, "its object id there";
    "evidence.identity.git-hub.host": Id, "or the GitHub that knows it";
    "evidence.identity.git-hub.id": Id, "its numeric id there";
    "evidence.identity.oidc.issuer": Id, "or the issuer";
    "evidence.identity.oidc.subject": Id, "its `sub` there";
    "evidence.claims.*": No, "what the provider said of how the person signed in, and the claims that the policy's `when` names (never personal ones)";
    "evidence.membership*": No, "whether the person is a member of the tenant or its guest";
    "evidence.affiliation.*": Id, "whose people the person is: what an organization names of groups, roles and GitHub organizations";
    "evidence.provider_session": Id, "the provider's name of its session";
    "evidence.verified_at": No, "when the provider's answer was verified";
    "evidence.profile.name": Name, "the name, for tokens";
    "evidence.profile.email.address": Email, "the e-mail address, for tokens";
    "evidence.profile.email.verified": No, "whether the provider's word on it counts";
    "evidence.profile.login_hint": Email, "what leads the person back to the same account at the provider: a user name";
    "opened_at": No, "when it was opened";
    "expires_at": No, "when it ends";
    "earlier": Id, "the sessions that the browser had before";
};

const CODE: Document = document! {
    "code";
    "client": No, "the client that it is for";
    "redirect_uri": No, "where it is sent";
    "code_challenge": Secret, "the client's PKCE challenge";
    "nonce": No, "the client's `nonce`";
    "scopes": No, "what was asked for";
    "organization": No, "for which organization";
    "acr_values": No, "which level was asked for";
    "resource": No, "for which service";
    "dpop_jkt": No, "the thumbprint of the client's key";
    "trace": No, "where its trace began";
    "expires_at": No, "when it ends";
};

const GRANT: Document = document! {
    "grant";
    "id": Id, "what a client may refresh";
    "session": Id, "of which session";
    "client": No, "which client";
    "scopes": No, "what was granted";
    "organization": No, "for which organization";
    "acr_values": No, "which level was asked for";
    "resource": No, "for which service";
    "dpop_jkt": No, "the thumbprint of the client's key";
    "stated.acr": No, "what tokens say of the sign-in: `acr`";
    "stated.amr": No, "`amr`";
    "stated.level": No, "the level";
    "stated.basis": No, "the basis";
    "expires_at": No, "when it ends";
};

const KEPT_TOKEN: Document = document! {
    "kept token";
    "session": Id, "of which session";
    "sealed": Secret, "what the provider is asked again with (`recheck`), sealed";
    "asked_at": No, "when it last vouched";
    "asking_until": No, "until when it is being asked";
};

const DEVICE_REQUEST: Document = document! {
    "device request";
    "code_digest": Secret, "a digest of the device's code";
    "code.client": No, "the client";
    "code.code_challenge": Secret, "a PKCE challenge, where it sent one";
    "code.nonce": No, "a `nonce`, where it sent one";
    "code.scopes": No, "what it asks for";
    "code.organization": No, "for which organization";
    "code.acr_values": No, "which level it asks for";
    "code.resource": No, "for which service";
    "code.trace": No, "where its trace began";
    "code.expires_at": No, "when it ends";
    "address": Network, "the network address that it asked from, shown to who answers";
    "program": Words, "what it calls itself";
    "tool.registry": No, "which registry's tool it is, where it is one";
    "tool.deed": Words, "what that is about to do, where it does not wait for an API key";
    "asked_at": No, "when it asked";
    "expires_at": No, "until when it may be answered";
    "session_ends_at": No, "when its session ends at the latest, where that is soon";
};

const DEVICE_ANSWER: Document = document! {
    "answer to a device";
    "session": Id, "whose session it gets";
};

const ORGANIZATION: Document = document! {
    "organization";
    "id": No, "the registry's name of it";
    "title": Words, "what people call it";
    "admins": Id, "who administers it: accounts here, or the registry's names";
    "connections.mapping.*": No, "whose people are its people, and what they may";
    "connections.standing": No, "whether that is in force";
    "connections.proof": No, "what shows it";
    "connections.proof.member.token": No, "what a TXT record must name, while that is not shown";
    "connections.proof.directory-role": No, "the directory role that showed it";
    "connections.proof.operator.reason": Words, "or an operator's reason";
    "connections.made_by": Id, "who made it";
    "connections.made_at": No, "when";
    "exceptions.name": No, "an exception that was asked for";
    "exceptions.waives": No, "from what";
    "exceptions.reason": Words, "why, in an admin's words";
    "exceptions.until": No, "until when";
    "exceptions.asked_by": Id, "who asked";
    "exceptions.asked_at": No, "when";
    "exceptions.answer.verdict": No, "what was answered";
    "exceptions.answer.until": No, "until when it is granted";
    "exceptions.answer.reason": Words, "why, in an operator's words";
    "exceptions.answer.by": Id, "who answered";
    "exceptions.answer.at": No, "when";
    "created_at": No, "when it was first told of";
    "told_by": Id, "who told of it last";
};

/// What the embedded store keeps.
pub const EMBEDDED: &[Place] = places! {
    Erased "account.record": ACCOUNT;
    Erased "account.id": Id, "the account's id";
    Erased "account.version": No, "how often it was written";
    Erased "identity.identity": Id, "an identity at a provider";
    Erased "identity.account": Id, "the account that it leads to";
    Erased "registry_account.record": REGISTRY_ACCOUNT;
    Erased "registry_account.name": Id, "the registry's name of its account";
    Erased "registry_account.version": No, "how often it was written";
    Erased "api_key.record": API_KEY;
    Erased "api_key.id": Id, "an API key's id";
    Erased "api_key.version": No, "how often it was written";
    Erased "api_key.owner": Id, "whose it is";
    SessionEnds "sign_in.session": SESSION;
    AnHour "sign_in.code": CODE;
    SessionEnds "sign_in.n": No, "a number";
    SessionEnds "sign_in.session_id": Id, "the session's name";
    SessionEnds "sign_in.session_expires_at": No, "when it ends";
    SessionEnds "sign_in.code_digest": Secret, "a digest of the code that hands it over";
    SessionEnds "sign_in.code_expires_at": No, "when that ends";
    SessionEnds "sign_in.forget_at": No, "when all of this is forgotten";
    SessionEnds "sign_in.account_id": Id, "whose it is";
    SessionEnds "sign_in.provider_session": Id, "the provider's name of its session";
    SessionEnds "sign_in.client_id": No, "the client that it was handed to first";
    AnHour "further_code.code": CODE;
    SessionEnds "further_code.session_id": Id, "a session that was handed to one more client";
    SessionEnds "further_code.code_digest": Secret, "a digest of the code";
    SessionEnds "further_code.code_expires_at": No, "when that ends";
    SessionEnds "further_code.client_id": No, "the client";
    SessionEnds "further_code.forget_at": No, "when all of this is forgotten";
    SessionEnds "client_grant.client_grant": GRANT;
    SessionEnds "client_grant.grant_id": Id, "what a client may refresh";
    SessionEnds "client_grant.session_id": Id, "of which session";
    SessionEnds "client_grant.generation": No, "which refresh token is good";
    SessionEnds "client_grant.spent": No, "which was spent for it";
    SessionEnds "client_grant.spent_at": No, "when";
    SessionEnds "client_grant.rotated_at": No, "when last";
    SessionEnds "client_grant.forget_at": No, "when all of this is forgotten";
    AnHour "revoked_token.jti": Id, "an access token that was revoked";
    AnHour "revoked_token.session_id": Id, "of which session";
    AnHour "revoked_token.forget_at": No, "when it is forgotten";
    SessionEnds "kept_token.token": KEPT_TOKEN;
    SessionEnds "kept_token.session_id": Id, "of which session";
    SessionEnds "kept_token.version": No, "how often it was written";
    SessionEnds "kept_token.forget_at": No, "when it is forgotten";
    AnHour "device_request.request": DEVICE_REQUEST;
    AnHour "device_request.answer": DEVICE_ANSWER;
    AnHour "device_request.answer": No, "or that somebody said no";
    AnHour "device_request.id": Secret, "a digest of the code that a person types";
    AnHour "device_request.expires_at": No, "when it is forgotten";
    ADay "logout_notice.session_id": Id, "a session that has ended, to be told";
    ADay "logout_notice.client_id": No, "to which client";
    ADay "logout_notice.account_id": Id, "whose it was";
    ADay "logout_notice.tries": No, "how often it was tried";
    ADay "logout_notice.due_at": No, "when it is tried again";
    ADay "logout_notice.forget_at": No, "when it is given up";
    AnHour "ended.n": No, "a number";
    AnHour "ended.kind": No, "what has ended: a session, what a client may refresh, a token, an organization's connection";
    AnHour "ended.id": Id, "its name";
    AnHour "ended.at": No, "when";
    ADay "seen_once.key": Secret, "a digest of what may come once";
    ADay "seen_once.forget_at": No, "when it is forgotten";
    AnHour "bucket.key": Id, "a digest, by a key of this installation, of whom a limit is for: an address, an identity, a client";
    AnHour "bucket.paid_at": No, "when it is empty again";
    TakenBack "organization.record": ORGANIZATION;
    TakenBack "organization.id": No, "the registry's name of it";
    TakenBack "organization.version": No, "how often it was written";
    TakenBack "signpost.post": Id, "what leads to an organization: a tenant, an admin, or how it stands with operators";
    TakenBack "signpost.organization": No, "which";
    Replaced "stored_key.name": No, "what a key is for";
    Replaced "stored_key.created_at": No, "when it was made";
    Replaced "stored_key.material": Secret, "the key, sealed where `[keys]` says so";
    Replaced "audit_head.replica": No, "a chain of audit lines";
    Replaced "audit_head.n": No, "how far it was written";
    Replaced "audit_head.hash": No, "the hash of that line";
    Replaced "audit_head.time": No, "the time in it";
};

/// What Redis keeps.
pub const REDIS: &[Place] = places! {
    Erased "account.record": ACCOUNT;
    Erased "account.version": No, "how often it was written";
    Erased "accounts": Id, "an index of accounts' ids";
    Erased "identity": Id, "an identity at a provider, and the account that it leads to";
    Erased "registry-account.record": REGISTRY_ACCOUNT;
    Erased "registry-account.version": No, "how often it was written";
    Erased "api-key.record": API_KEY;
    Erased "api-key.version": No, "how often it was written";
    Erased "api-keys": Id, "an index of API keys' ids";
    Erased "api-keys-of": Id, "an owner's API keys";
    SessionEnds "session.session": SESSION;
    SessionEnds "session.session_until": No, "when it ends unless it is used";
    SessionEnds "session.account": Id, "whose it is";
    SessionEnds "session.code": CODE;
    SessionEnds "session.until": No, "when a code ends";
    SessionEnds "session.client": No, "a client that it was handed to";
    SessionEnds "sessions-of": Id, "an account's sessions";
    SessionEnds "sessions-resting-on": Id, "the sessions that rest on a provider's";
    SessionEnds "grant.grant": GRANT;
    SessionEnds "grant.until": No, "when it ends";
    SessionEnds "grant.good": No, "which refresh token is good";
    SessionEnds "grant.spent": No, "which was spent for it";
    SessionEnds "grant.spent_at": No, "when";
    SessionEnds "grant.rotated_at": No, "when last";
    AnHour "revoked": Id, "an access token that was revoked";
    SessionEnds "token.record": KEPT_TOKEN;
    SessionEnds "token.version": No, "how often it was written";
    AnHour "device.request": DEVICE_REQUEST;
    AnHour "device.answer": DEVICE_ANSWER;
    AnHour "device.answer": No, "or that somebody said no";
    AnHour "device.until": No, "when it is forgotten";
    ADay "notices": Id, "sessions that have ended, to be told to their clients, and how often that was tried";
    AnHour "ended": Id, "what has ended before its time";
    ADay "once": Secret, "a digest of what may come once";
    AnHour "bucket": Id, "a digest, by a key of this installation, of whom a limit is for: an address, an identity, a client";
    TakenBack "organization.record": ORGANIZATION;
    TakenBack "organization.version": No, "how often it was written";
    TakenBack "organizations": No, "an index of organizations";
    TakenBack "signpost": Id, "what leads to organizations: a tenant, an admin, or how they stand with operators";
    Replaced "keys": Secret, "the keys, sealed where `[keys]` says so";
    Replaced "audit-heads": No, "how far chains of audit lines were written";
};

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
