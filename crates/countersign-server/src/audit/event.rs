//! What an audit line can be about. Codes do not change once they are told; `docs/audit.md` lists them all.

use countersign_store::Standing;
use serde::{Serialize, Serializer};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The server answers from now on.
    ServerStarted,
    /// It does not any more.
    ServerStopped,
    /// The chain goes on after a line that was cut off, or although lines are missing.
    ChainResumed,
    /// Too much waited for the disk; so many lines were never written.
    LinesLost,
    /// Old files are kept no longer.
    LinesDeleted,
    /// Somebody signed in.
    SignedIn,
    /// Somebody showed who they are, and was not let in.
    SignInRefused,
    /// A client was answered from a session.
    SingleSignOn,
    /// A client got no tokens for a session that it has.
    TokenRefused,
    /// A session has been ended.
    SessionEnded,
    /// A grant has been ended: what a client could refresh.
    GrantEnded,
    /// An access token has been revoked.
    TokenRevoked,
    /// An account was made at its first sign-in.
    AccountMade,
    /// A table of accounts was imported.
    AccountsImported,
    /// An account was locked.
    AccountLocked,
    /// An account was unlocked.
    AccountUnlocked,
    /// An account was erased: who had it is forgotten.
    AccountErased,
    /// The registry vouched for an e-mail address.
    EmailVouched,
    /// It took that back.
    EmailNotVouched,
    /// Another identity leads to an account.
    IdentityLinked,
    /// Somebody showed another identity, and it leads to the account no more than before.
    IdentityNotLinked,
    /// One does no more.
    IdentityRemoved,
    /// Somebody made an account of the registry's theirs, by its ticket.
    RegistryAccountClaimed,
    /// Somebody brought a ticket for one that several people had: it became an organisation, of which they are an admin.
    RegistryAccountRetired,
    /// A ticket that was good came to nothing.
    RegistryAccountNotClaimed,
    /// A registry told of an organisation.
    OrganizationTold,
    /// An operator's file of organisations was applied.
    OrganizationsApplied,
    /// The registry has it no more.
    OrganizationForgotten,
    /// An organisation was connected, or what a connection says was changed.
    OrganizationConnected,
    /// Another has what it claims.
    ConnectionDisputed,
    /// It claims what an operator must approve.
    ConnectionAwaitsApproval,
    /// A connection was ended.
    OrganizationDisconnected,
    /// Who has a source lets another have it too.
    ConnectionShared,
    /// A dispute was settled, or an approval given or not.
    ConnectionSettled,
    /// An organisation asked for an exception.
    ExceptionAsked,
    /// It took that back.
    ExceptionTakenBack,
    /// An operator granted one.
    ExceptionGranted,
    /// An operator refused one, or ended one that was granted.
    ExceptionRefused,
    /// Somebody made an API key.
    ApiKeyMade,
    /// An API key was revoked.
    ApiKeyRevoked,
    /// The owner of an API key was told of its end.
    ApiKeyOwnerTold,
    /// An operator has set an end for API keys.
    ApiKeysSunset,
    /// A list of API keys was imported.
    ApiKeysImported,
    /// Somebody signed in for a device.
    DeviceAllowed,
    /// Somebody said no to a device.
    DeviceDenied,
    /// A person was shown a one-time code for a registry's own tool.
    ToolCodeMade,
    /// A registry's own tool was signed in by one.
    ToolSignedIn,
    /// A key waits for its turn.
    KeyMade,
    /// The next key will be used.
    KeyRotated,
    /// Nothing needs a key any more.
    KeyGone,
    /// An operator withdrew a key.
    KeyRetired,
    /// Keys were written anew, sealed or not.
    KeysResealed,
    /// Another policy is in force.
    PolicyReplaced,
    /// A policy file could not be loaded.
    PolicyRefused,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 54] = [
        Self::ServerStarted,
        Self::ServerStopped,
        Self::ChainResumed,
        Self::LinesLost,
        Self::LinesDeleted,
        Self::SignedIn,
        Self::SignInRefused,
        Self::SingleSignOn,
        Self::TokenRefused,
        Self::SessionEnded,
        Self::GrantEnded,
        Self::TokenRevoked,
        Self::AccountMade,
        Self::AccountsImported,
        Self::AccountLocked,
        Self::AccountUnlocked,
        Self::AccountErased,
        Self::EmailVouched,
        Self::EmailNotVouched,
        Self::IdentityLinked,
        Self::IdentityNotLinked,
        Self::IdentityRemoved,
        Self::RegistryAccountClaimed,
        Self::RegistryAccountRetired,
        Self::RegistryAccountNotClaimed,
        Self::OrganizationTold,
        Self::OrganizationsApplied,
        Self::OrganizationForgotten,
        Self::OrganizationConnected,
        Self::ConnectionDisputed,
        Self::ConnectionAwaitsApproval,
        Self::OrganizationDisconnected,
        Self::ConnectionShared,
        Self::ConnectionSettled,
        Self::ExceptionAsked,
        Self::ExceptionTakenBack,
        Self::ExceptionGranted,
        Self::ExceptionRefused,
        Self::ApiKeyMade,
        Self::ApiKeyRevoked,
        Self::ApiKeyOwnerTold,
        Self::ApiKeysSunset,
        Self::ApiKeysImported,
        Self::DeviceAllowed,
        Self::DeviceDenied,
        Self::ToolCodeMade,
        Self::ToolSignedIn,
        Self::KeyMade,
        Self::KeyRotated,
        Self::KeyGone,
        Self::KeyRetired,
        Self::KeysResealed,
        Self::PolicyReplaced,
        Self::PolicyRefused,
    ];

    /// What a claim to a source comes to.
    pub fn of_claim(standing: Standing) -> Self {
        match standing {
            Standing::InForce => Self::OrganizationConnected,
            Standing::Disputed => Self::ConnectionDisputed,
            Standing::AwaitingApproval => Self::ConnectionAwaitsApproval,
            Standing::Refused => Self::ConnectionSettled,
        }
    }

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::ServerStarted => "server-started",
            Self::ServerStopped => "server-stopped",
            Self::ChainResumed => "chain-resumed",
            Self::LinesLost => "lines-lost",
            Self::LinesDeleted => "lines-deleted",
            Self::SignedIn => "signed-in",
            Self::SignInRefused => "sign-in-refused",
            Self::SingleSignOn => "single-sign-on",
            Self::TokenRefused => "token-refused",
            Self::SessionEnded => "session-ended",
            Self::GrantEnded => "grant-ended",
            Self::TokenRevoked => "token-revoked",
            Self::AccountMade => "account-made",
            Self::AccountsImported => "accounts-imported",
            Self::AccountLocked => "account-locked",
            Self::AccountUnlocked => "account-unlocked",
            Self::AccountErased => "account-erased",
            Self::EmailVouched => "email-vouched",
            Self::EmailNotVouched => "email-not-vouched",
            Self::IdentityLinked => "identity-linked",
            Self::IdentityNotLinked => "identity-not-linked",
            Self::IdentityRemoved => "identity-removed",
            Self::RegistryAccountClaimed => "registry-account-claimed",
            Self::RegistryAccountRetired => "registry-account-retired",
            Self::RegistryAccountNotClaimed => "registry-account-not-claimed",
            Self::OrganizationTold => "organization-told",
            Self::OrganizationsApplied => "organizations-applied",
            Self::OrganizationForgotten => "organization-forgotten",
            Self::OrganizationConnected => "organization-connected",
            Self::ConnectionDisputed => "connection-disputed",
            Self::ConnectionAwaitsApproval => "connection-awaits-approval",
            Self::OrganizationDisconnected => "organization-disconnected",
            Self::ConnectionShared => "connection-shared",
            Self::ConnectionSettled => "connection-settled",
            Self::ExceptionAsked => "exception-asked",
            Self::ExceptionTakenBack => "exception-taken-back",
            Self::ExceptionGranted => "exception-granted",
            Self::ExceptionRefused => "exception-refused",
            Self::ApiKeyMade => "api-key-made",
            Self::ApiKeyRevoked => "api-key-revoked",
            Self::ApiKeyOwnerTold => "api-key-owner-told",
            Self::ApiKeysSunset => "api-keys-sunset",
            Self::ApiKeysImported => "api-keys-imported",
            Self::DeviceAllowed => "device-allowed",
            Self::DeviceDenied => "device-denied",
            Self::ToolCodeMade => "tool-code-made",
            Self::ToolSignedIn => "tool-signed-in",
            Self::KeyMade => "key-made",
            Self::KeyRotated => "key-rotated",
            Self::KeyGone => "key-gone",
            Self::KeyRetired => "key-retired",
            Self::KeysResealed => "keys-resealed",
            Self::PolicyReplaced => "policy-replaced",
            Self::PolicyRefused => "policy-refused",
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_the_documentation_and_nothing_else_is() {
        let page = include_str!("../../../../docs/audit.md");
        let (_, table) = page.split_once("## Events").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let mut told: Vec<&str> = rows
            .filter_map(|row| Some(row.split_once('`')?.0))
            .collect();
        let mut codes: Vec<&str> = Event::ALL.iter().map(|event| event.code()).collect();
        told.sort_unstable();
        codes.sort_unstable();
        assert_eq!(told, codes);
        codes.dedup();
        assert_eq!(codes.len(), Event::ALL.len());
    }
}
