//! The ends of organisations' connections, as they are told to who verifies tokens elsewhere.

use std::sync::Arc;

use countersign_core::{Guests, Mapping, OrganizationId, Policy, Source};

use super::doubles::Dying;
use super::{at, told};
use crate::organization::{Settlement, claim, disconnect, forget, settle};
use crate::{
    Actor, Connection, Organization, Proof, Standing, Store, StoreError, change_organization,
};

pub(super) async fn run(make: &impl AsyncFn() -> Arc<dyn Store>) {
    for way in Way::ALL {
        whatever_ends_a_connection_is_told(make().await, way).await;
    }
    what_was_never_in_force_ends_nothing(make().await).await;
    what_takes_nothing_away_is_not_told(make().await).await;
    a_connection_that_ends_twice_is_told_twice(make().await).await;
    who_is_cut_off_has_told_before_it_ends_and_completes_it_again(make).await;
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum Way {
    Disconnected,
    Refused,
    Transferred,
    Forgotten,
    GuestsRefused,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::Disconnected,
        Self::Refused,
        Self::Transferred,
        Self::Forgotten,
        Self::GuestsRefused,
    ];

    /// Ends what `contoso` has; `fabrikam` says that it is theirs.
    async fn go(self, store: &dyn Store) {
        let (contoso, source, now) = (id("contoso"), source(), at(5));
        match self {
            Self::Disconnected => disconnect(store, &contoso, &source, now).await.unwrap(),
            Self::Refused => settled(store, "contoso", Settlement::Refuse).await,
            Self::Transferred => settled(store, "fabrikam", Settlement::Transfer).await,
            Self::Forgotten => assert!(forget(store, &contoso, now).await.unwrap()),
            Self::GuestsRefused => drop(connect(store, "contoso", Guests::Refused).await),
        }
    }
}

fn id(name: &str) -> OrganizationId {
    OrganizationId::new(name).expect("a name")
}

fn source() -> Source {
    "github:github.com:7".parse().expect("a source")
}

fn connection(name: &str, guests: Guests, standing: Standing) -> Connection {
    Connection {
        mapping: Mapping {
            guests,
            ..Mapping::new(id(name), source())
        },
        standing,
        proof: Proof::GitHubOwner,
        made_by: Actor::Operator,
        made_at: at(1),
    }
}

async fn connect(store: &dyn Store, name: &str, guests: Guests) -> Standing {
    let wanted = connection(name, guests, Standing::InForce);
    let claimed = claim(store, &Policy::default(), &id(name), &wanted, at(5)).await;
    claimed.unwrap().standing
}

async fn settled(store: &dyn Store, name: &str, settlement: Settlement) {
    let (policy, source) = (Policy::default(), source());
    let settled = settle(store, &policy, &id(name), &source, settlement, at(5)).await;
    settled.unwrap();
}

async fn change(store: &dyn Store, name: &str, make: impl Fn(Organization) -> Organization) {
    let made = |known: Option<&Organization>| {
        let fresh = || Organization::new(id(name), at(0), Actor::Operator);
        Ok::<_, StoreError>(Some(make(known.cloned().unwrap_or_else(fresh))))
    };
    let changed = change_organization(store, &id(name), made, at(5)).await;
    changed.unwrap();
}

/// `contoso` is connected, guests and all, and `fabrikam` says that it is theirs.
async fn made(store: &Arc<dyn Store>) {
    for (name, standing) in [
        ("contoso", Standing::InForce),
        ("fabrikam", Standing::Disputed),
    ] {
        change(store.as_ref(), name, |known| known).await;
        let made = connect(store.as_ref(), name, Guests::Admitted).await;
        assert_eq!(made, standing);
    }
    assert_eq!(told(store, 5).await, [""; 0], "nothing has ended yet");
}

/// What is told of a connection that ended in this second.
fn end(second: i64, name: &str) -> String {
    format!("organization {}.{name}", at(second + 11).as_second())
}

async fn whatever_ends_a_connection_is_told(store: Arc<dyn Store>, way: Way) {
    made(&store).await;
    way.go(store.as_ref()).await;
    assert_eq!(told(&store, 6).await, [end(5, "contoso")], "{way:?}");
}

async fn what_was_never_in_force_ends_nothing(store: Arc<dyn Store>) {
    made(&store).await;
    for (name, standing) in [
        ("acme", Standing::AwaitingApproval),
        ("initech", Standing::Refused),
    ] {
        let connections = vec![connection(name, Guests::Admitted, standing)];
        change(store.as_ref(), name, |known| Organization {
            connections: connections.clone(),
            ..known
        })
        .await;
    }
    change(store.as_ref(), "unconnected", |known| known).await;
    for name in ["fabrikam", "acme"] {
        let ended = disconnect(store.as_ref(), &id(name), &source(), at(5)).await;
        ended.unwrap();
    }
    for name in ["fabrikam", "initech", "unconnected"] {
        assert!(forget(store.as_ref(), &id(name), at(5)).await.unwrap());
    }
    assert_eq!(told(&store, 6).await, [""; 0]);
}

async fn what_takes_nothing_away_is_not_told(store: Arc<dyn Store>) {
    made(&store).await;
    change(store.as_ref(), "contoso", |known| Organization {
        title: Some("Contoso".to_owned()),
        ..known
    })
    .await;
    settled(store.as_ref(), "fabrikam", Settlement::Share).await;
    connect(store.as_ref(), "contoso", Guests::Admitted).await;
    assert_eq!(told(&store, 6).await, [""; 0]);
}

async fn a_connection_that_ends_twice_is_told_twice(store: Arc<dyn Store>) {
    made(&store).await;
    settled(store.as_ref(), "fabrikam", Settlement::Refuse).await;
    for second in [5, 5, 8] {
        let ended = disconnect(store.as_ref(), &id("contoso"), &source(), at(second)).await;
        ended.unwrap();
        let again = connect(store.as_ref(), "contoso", Guests::Refused).await;
        assert_eq!(again, Standing::InForce);
    }
    // The same second is one end.
    let expected = [end(5, "contoso"), end(8, "contoso")];
    assert_eq!(told(&store, 9).await, expected);
}

async fn who_is_cut_off_has_told_before_it_ends_and_completes_it_again(
    make: &impl AsyncFn() -> Arc<dyn Store>,
) {
    for operations in 0.. {
        let store = make().await;
        made(&store).await;
        let dying = Dying::after(&store, operations);
        let cut_off = disconnect(&dying, &id("contoso"), &source(), at(5)).await;
        let (contoso, _) = store.organization(&id("contoso")).await.unwrap().unwrap();
        let is_told = told(&store, 6).await == [end(5, "contoso")];
        assert!(
            is_told || contoso.in_force().count() == 1,
            "after {operations} it has ended and nobody is told"
        );
        if cut_off.is_ok() {
            assert!(is_told);
            return;
        }
        if contoso.in_force().count() == 1 {
            let ended = disconnect(store.as_ref(), &id("contoso"), &source(), at(7)).await;
            ended.unwrap();
            assert!(told(&store, 8).await.contains(&end(7, "contoso")));
        }
    }
}
