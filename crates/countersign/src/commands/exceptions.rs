//! All exceptions, wherever they are kept: in the policy file, and in the records of the organisations that asked for them.

use countersign_core::{Exception, ExceptionName, Policy};
use countersign_store::{Store, StoreError, organization};
use serde::Serialize;

/// An exception, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Known {
    pub(crate) name: ExceptionName,
    #[serde(flatten)]
    pub(crate) exception: Exception,
    pub(crate) origin: Origin,
}

/// Where an exception is from, and with that who ends it: whoever writes the file, or `countersign orgs refuse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// The policy file.
    PolicyFile,
    /// The organisation asked for it, and an operator granted it.
    AskedFor,
}

impl Origin {
    /// Its name for programs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::PolicyFile => "policy-file",
            Self::AskedFor => "asked-for",
        }
    }
}

/// Those of the policy file.
pub(crate) fn of_file(policy: &Policy) -> Vec<Known> {
    let all = policy.exceptions().iter();
    all.map(|(name, exception)| Known {
        name: name.clone(),
        exception: exception.clone(),
        origin: Origin::PolicyFile,
    })
    .collect()
}

/// Those that organisations asked for and were granted.
pub(crate) async fn asked_for(store: &dyn Store) -> Result<Vec<Known>, StoreError> {
    let granted = organization::granted(store).await?.into_iter();
    let known = granted.map(|(name, exception)| Known {
        name,
        exception,
        origin: Origin::AskedFor,
    });
    Ok(known.collect())
}
