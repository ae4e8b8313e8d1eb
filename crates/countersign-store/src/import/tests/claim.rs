//! What a registry vouches for to the person who brings its word.

use countersign_core::OrganizationId;

use super::*;
use crate::organization::{Change, JoinError, Joining, MOST_ADMINS, join};
use crate::{Actor, Admin, Organization};

const TEAM: &str = "team";

fn of(name: &RegistryAccountName) -> Vouched<'_> {
    Vouched {
        name,
        registered_at: None,
    }
}

fn organization(id: &str) -> OrganizationId {
    OrganizationId::new(id).unwrap()
}

impl Registry {
    async fn claim(&self, name: &str, account: &AccountId, second: i64) -> Claimed {
        let name = named(name);
        let claimed = claim_registry_account(self.store.as_ref(), of(&name), account, at(second));
        claimed.await.unwrap()
    }

    async fn retire(&self, name: &str, id: &str) -> Claimed {
        let (name, id) = (named(name), organization(id));
        let store = self.store.as_ref();
        let hindered = may_retire_registry_account(store, &name, &id)
            .await
            .unwrap();
        let retired = retire_registry_account(store, of(&name), &id, at(9)).await;
        let retired = retired.unwrap();
        let foretold = hindered.map_or(Claimed::Done, Claimed::Contradicts);
        assert_eq!(retired, foretold, "what was done is not what was foretold");
        retired
    }

    async fn by_id(&self, id: &AccountId) -> Account {
        self.store.account(id).await.unwrap().expect("an account").0
    }
}

#[tokio::test]
async fn an_imported_account_is_claimed_with_its_date_and_address() {
    let registry = registry();
    let imported = vouched(row(ANN), "ann@example");
    registry.import(&imported, 1).await;
    let me = registry.log_in(&github(1), 2).await;
    // What the registry says of the date now changes nothing of what it said before.
    let name = named(ANN);
    let again = Vouched {
        registered_at: Some(at(0)),
        ..of(&name)
    };
    let claimed = claim_registry_account(registry.store.as_ref(), again, &me.id, at(3)).await;
    assert_eq!(claimed.unwrap(), Claimed::Done);
    let account = registry.by_id(&me.id).await;
    assert_eq!(account.made_at(), imported.registered_at);
    assert_eq!(account.registry_account, Some(named(ANN)));
    let email = account.vouched_email.clone().map(|email| email.address);
    assert_eq!(email, imported.verified_email);
    assert_eq!(registry.known(ANN).await.account, Some(me.id.clone()));
    // Claimed again, and imported again, it is as it was.
    assert_eq!(registry.claim(ANN, &me.id, 4).await, Claimed::Done);
    assert_eq!(registry.import(&imported, 5).await, Imported::Unchanged);
    let with_identity = vouched(row_of(ANN, &github(1)), "ann@example");
    assert_eq!(
        registry.import(&with_identity, 6).await,
        Imported::Unchanged
    );
    assert_eq!(registry.by_id(&me.id).await, account);
}

#[tokio::test]
async fn one_that_was_never_imported_is_as_old_as_the_registry_says_or_new() {
    let registry = registry();
    let said = row(ANN).registered_at;
    for (name, login, says, made) in [(ANN, 1_u8, Some(said), said), (BOB, 2, None, at(5))] {
        let me = registry
            .log_in(&github(login.into()), 4 + i64::from(login))
            .await;
        let name = named(name);
        let vouched = Vouched {
            registered_at: says,
            ..of(&name)
        };
        let claimed = claim_registry_account(registry.store.as_ref(), vouched, &me.id, at(5)).await;
        assert_eq!(claimed.unwrap(), Claimed::Done);
        assert_eq!(registry.by_id(&me.id).await.made_at(), made);
        assert_eq!(registry.known(name.as_str()).await.registered_at, made);
    }
}

#[tokio::test]
async fn an_account_that_is_somebodys_is_never_anothers_and_nobody_has_two() {
    let registry = registry();
    let ann = registry.log_in(&github(1), 1).await;
    let bob = registry.log_in(&github(2), 2).await;
    assert_eq!(registry.claim(ANN, &ann.id, 2).await, Claimed::Done);
    let before = (registry.known(ANN).await, registry.by_id(&bob.id).await);
    let refused = registry.claim(ANN, &bob.id, 3).await;
    assert_eq!(refused, Claimed::Contradicts(Contradiction::OtherIdentity));
    assert_eq!(
        (registry.known(ANN).await, registry.by_id(&bob.id).await),
        before
    );
    let refused = registry.claim(BOB, &ann.id, 4).await;
    let has_one = Contradiction::OtherRegistryAccount(named(ANN));
    assert_eq!(refused, Claimed::Contradicts(has_one));
    assert_eq!(
        registry.store.registry_account(&named(BOB)).await.unwrap(),
        None
    );
}

/// Whoever claims it by another identity that leads to the same account is the same.
#[tokio::test]
async fn an_account_that_an_import_has_bound_is_claimed_by_its_owner_alone() {
    let registry = registry();
    registry.import(&row_of(ANN, &github(1)), 1).await;
    let owner = registry.account(&github(1)).await;
    assert_eq!(registry.claim(ANN, &owner.id, 2).await, Claimed::Done);
    let other = registry.log_in(&github(2), 3).await;
    let refused = registry.claim(ANN, &other.id, 4).await;
    assert_eq!(refused, Claimed::Contradicts(Contradiction::OtherIdentity));
}

#[tokio::test]
async fn a_claim_that_was_cut_off_after_any_write_is_completed_by_the_same_and_open_to_nobody_else()
{
    for writes in 0..3 {
        let registry = registry();
        registry.import(&row(ANN), 1).await;
        let ann = registry.log_in(&github(1), 1).await;
        let bob = registry.log_in(&github(2), 2).await;
        let dying = Dying::after_writes(registry.store.clone(), writes);
        let name = named(ANN);
        let ended = claim_registry_account(&dying, of(&name), &ann.id, at(3)).await;
        assert_eq!(ended.is_ok(), writes >= 2, "{ended:?}");
        if writes > 0 {
            let refused = registry.claim(ANN, &bob.id, 4).await;
            assert_eq!(refused, Claimed::Contradicts(Contradiction::OtherIdentity));
        }
        assert_eq!(registry.claim(ANN, &ann.id, 5).await, Claimed::Done);
        let account = registry.by_id(&ann.id).await;
        assert_eq!(account.registry_account, Some(name));
        assert_eq!(registry.known(ANN).await.account, Some(ann.id));
    }
}

#[tokio::test]
async fn of_many_who_claim_one_account_one_has_it() {
    let registry = registry();
    let mut all = tokio::task::JoinSet::new();
    for n in 0..20 {
        let account = registry.log_in(&github(n), i64::try_from(n).unwrap()).await;
        let store = registry.store.clone();
        all.spawn(async move {
            let name = named(ANN);
            let claimed = claim_registry_account(store.as_ref(), of(&name), &account.id, at(2));
            let claimed = claimed.await.unwrap();
            (account.id, claimed)
        });
    }
    let ended = all.join_all().await;
    let mut winners = ended
        .iter()
        .filter(|(_, claimed)| *claimed == Claimed::Done);
    let (winner, _) = winners.next().expect("a winner");
    assert_eq!(winners.next(), None);
    assert_eq!(registry.known(ANN).await.account.as_ref(), Some(winner));
    for (id, _) in &ended {
        let has_it = registry.by_id(id).await.registry_account.is_some();
        assert_eq!(has_it, id == winner);
    }
}

/// Two tickets of one person at one moment: what does not become theirs stays open to whose it is.
#[tokio::test]
async fn of_two_accounts_that_one_claims_at_once_the_other_stays_open() {
    for _ in 0..20 {
        let registry = registry();
        let ann = registry.log_in(&github(1), 1).await;
        let bob = registry.log_in(&github(2), 2).await;
        let claims = [ANN, BOB].map(|name| registry.claim(name, &ann.id, 2));
        let [first, second] = claims;
        let (first, second) = tokio::join!(first, second);
        let (left, refused) = if first == Claimed::Done {
            (BOB, second)
        } else {
            (ANN, first)
        };
        assert_ne!(refused, Claimed::Done, "one account has two");
        assert_eq!(registry.claim(left, &bob.id, 3).await, Claimed::Done);
        assert_eq!(registry.known(left).await.account, Some(bob.id));
    }
}

/// A process that died between the two writes of a claim that then lost leaves a link that says nothing.
#[tokio::test]
async fn a_link_to_an_account_that_has_another_counts_for_nothing() {
    let registry = registry();
    let ann = registry.log_in(&github(1), 1).await;
    let bob = registry.log_in(&github(2), 2).await;
    let dying = Dying::after_writes(registry.store.clone(), 1);
    let name = named(BOB);
    let ended = claim_registry_account(&dying, of(&name), &ann.id, at(2)).await;
    assert!(ended.is_err());
    assert_eq!(registry.claim(ANN, &ann.id, 3).await, Claimed::Done);
    assert_eq!(registry.claim(BOB, &bob.id, 4).await, Claimed::Done);
    assert_eq!(registry.known(BOB).await.account, Some(bob.id));
}

#[tokio::test]
async fn a_teams_account_that_became_an_organization_is_nobodys() {
    let registry = registry();
    registry
        .import(&vouched(row(TEAM), "team@example"), 1)
        .await;
    assert_eq!(registry.retire(TEAM, "contoso").await, Claimed::Done);
    let retired = registry.known(TEAM).await;
    assert_eq!(retired.organization, Some(organization("contoso")));
    assert_eq!(retired.verified_email, Some(address("team@example")));
    // The others of the team come with tickets that say the same.
    assert_eq!(registry.retire(TEAM, "contoso").await, Claimed::Done);
    let gone = || Contradiction::Retired(organization("contoso"));
    let other = registry.retire(TEAM, "fabrikam").await;
    assert_eq!(other, Claimed::Contradicts(gone()));
    let ann = registry.log_in(&github(1), 2).await;
    let refused = registry.claim(TEAM, &ann.id, 3).await;
    assert_eq!(refused, Claimed::Contradicts(gone()));
    let imported = registry.import(&row_of(TEAM, &github(1)), 4).await;
    assert_eq!(imported, Imported::Contradicts(gone()));
    // A table that names nobody says nothing against it.
    assert_eq!(registry.import(&row(TEAM), 5).await, Imported::Unchanged);
    assert_eq!(registry.known(TEAM).await, retired);
    assert_eq!(registry.by_id(&ann.id).await, ann);
}

#[tokio::test]
async fn an_account_that_is_somebodys_becomes_no_organization() {
    let registry = registry();
    let ann = registry.log_in(&github(1), 1).await;
    registry.claim(ANN, &ann.id, 2).await;
    let before = registry.known(ANN).await;
    let refused = registry.retire(ANN, "contoso").await;
    assert_eq!(refused, Claimed::Contradicts(Contradiction::OtherIdentity));
    assert_eq!(registry.known(ANN).await, before);
}

#[tokio::test]
async fn who_joins_an_organization_is_one_of_its_admins_besides_those_it_has() {
    let registry = registry();
    let store = registry.store.as_ref();
    let client = |id: &str| Actor::Client(countersign_core::ClientId::new(id).unwrap());
    let admin = |n: usize| Admin::Account(AccountId::new(format!("acct_{n}")).unwrap());
    let id = organization("contoso");
    let joined = async |n: usize, title, actor: &Actor| {
        let joining = Joining {
            admin: &admin(n),
            title,
        };
        join(store, &id, joining, actor, at(1)).await
    };
    let gallery = client("gallery");
    let kept = async || -> Organization { store.organization(&id).await.unwrap().expect("it").0 };
    assert!(matches!(
        joined(0, Some("a\nb"), &gallery).await,
        Err(JoinError::Unfit(_))
    ));
    assert_eq!(store.organization(&id).await.unwrap(), None);
    let first = joined(0, Some("Contoso"), &gallery).await;
    assert_eq!(first.unwrap(), Change::Created);
    let second = joined(1, Some("Another title"), &gallery).await;
    assert_eq!(second.unwrap(), Change::Changed);
    assert_eq!(joined(1, None, &gallery).await.unwrap(), Change::Unchanged);
    let known = kept().await;
    assert_eq!(known.title.as_deref(), Some("Contoso"));
    assert_eq!(known.admins, [admin(0), admin(1)].into());
    for other in [client("other"), Actor::Operator, Actor::File] {
        let refused = joined(2, None, &other).await;
        assert!(matches!(refused, Err(JoinError::ToldByAnother)), "{other}");
    }
    for n in 2..MOST_ADMINS {
        joined(n, None, &gallery).await.unwrap();
    }
    let refused = joined(MOST_ADMINS, None, &gallery).await;
    assert!(matches!(refused, Err(JoinError::Unfit(_))));
    assert_eq!(kept().await.admins.len(), MOST_ADMINS);
}
