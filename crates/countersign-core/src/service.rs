//! What a registry's own service may do as itself, without any person (grant `client_credentials`).
//!
//! No login stands behind it, so nothing of one is asked for and nothing of one is stated: the policy
//! names the scopes, client by client, and that is all.

use std::collections::BTreeSet;

use crate::{ClientId, Policy, Scope};

/// Decides what a client gets for itself: all of these scopes, or all of its own where none are named.
/// The only maker of a [`ServicePermit`].
pub fn decide_for_service(
    policy: &Policy,
    client: &ClientId,
    asked: &BTreeSet<Scope>,
) -> Result<ServicePermit, NotItsOwn> {
    let own = policy.own_scopes(client);
    let scopes = if asked.is_empty() { own } else { asked };
    if scopes.is_empty() || !scopes.is_subset(own) {
        return Err(NotItsOwn);
    }
    Ok(ServicePermit {
        client: client.clone(),
        scopes: scopes.clone(),
    })
}

/// The only value from which a token without a person can be minted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePermit {
    client: ClientId,
    scopes: BTreeSet<Scope>,
}

impl ServicePermit {
    /// The client it was made for.
    pub fn client(&self) -> &ClientId {
        &self.client
    }
    /// The scopes that are granted.
    pub fn scopes(&self) -> &BTreeSet<Scope> {
        &self.scopes
    }
}

/// A scope that is not among the client's `own_scopes`, or there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotItsOwn;

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "version = 1\n[proof.oidc]\namr = [\"mfa\"]\n[tier.browse]\nscopes = [\"read\", \"list\"]\nneeds = \"none\"\n\
        [tier.publish]\nscopes = [\"publish\"]\nneeds = \"mfa\"\naccepts = [\"session\"]\n\
        [client.indexer]\ntier = \"browse\"\nown_scopes = [\"read\", \"list\"]\n\
        [client.gallery]\ntier = \"browse\"\n";

    #[track_caller]
    fn check(client: &str, asked: &[&str], expected: Option<&[&str]>) {
        let policy = Policy::parse("policy.toml", POLICY).unwrap();
        let scopes = |names: &[&str]| -> BTreeSet<Scope> {
            names
                .iter()
                .map(|name| Scope::new(*name).unwrap())
                .collect()
        };
        let client = ClientId::new(client).unwrap();
        let permit = decide_for_service(&policy, &client, &scopes(asked));
        let granted = permit.ok().map(|permit| permit.scopes().clone());
        assert_eq!(granted, expected.map(scopes), "{client} asks for {asked:?}");
    }

    #[test]
    fn a_service_gets_what_the_policy_names_and_nothing_else() {
        check("indexer", &[], Some(&["list", "read"]));
        check("indexer", &["read"], Some(&["read"]));
        check("indexer", &["read", "publish"], None);
        check("indexer", &["publish"], None);
        check("indexer", &["openid"], None);
        check("gallery", &[], None);
        check("gallery", &["read"], None);
        check("nobody", &["read"], None);
    }
}
