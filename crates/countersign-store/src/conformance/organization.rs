//! Organisations, and what leads to them.

use std::sync::Arc;

use countersign_core::{AccountId, Mapping, OrganizationId, Policy, Source, TenantId};

use super::doubles::{Meanwhile, When, race};
use super::{RACERS, account_id, at};
use crate::organization::{
    ClaimError, MOST_CONNECTIONS, Settlement, agree, approve, claim, disconnect, prove, settle,
};
use crate::{
    Actor, Admin, Connection, Organization, Proof, Signpost, Standing, Store, StoreError,
    change_organization, mappings_of, organizations_by, organizations_page,
};

pub(super) async fn run(make: &impl AsyncFn() -> Arc<dyn Store>) {
    an_organization_is_found_by_its_id_to_the_letter(make().await).await;
    the_first_record_of_an_organization_stays(make().await).await;
    it_is_replaced_and_removed_only_by_who_read_it_last(make().await).await;
    organizations_are_listed_page_by_page(make().await).await;
    a_signpost_leads_where_it_was_set_until_it_is_removed(make().await).await;
    what_a_signpost_leads_to_is_read_page_by_page(make().await).await;
    an_organization_is_found_by_its_sources_and_admins(make().await).await;
    of_many_who_change_an_organization_all_are_heard(make().await).await;
    of_many_who_make_an_organization_all_are_heard(make().await).await;
    only_what_is_in_force_is_a_mapping(make().await).await;
    a_signpost_alone_is_no_mapping(make().await).await;
    for when in MOMENTS {
        who_removes_a_connection_as_it_is_made_again_leaves_it_found(make, when).await;
    }
    who_makes_a_connection_as_its_signpost_goes_leaves_it_found(make().await).await;
    what_is_claimed_again_is_found_again(make().await).await;
    the_first_claim_stands_and_the_second_is_disputed(make().await).await;
    of_two_who_claim_at_once_at_most_one_has_it(make().await).await;
    a_dispute_is_settled_by_an_operator(make().await).await;
    only_who_has_a_source_can_share_it(make().await).await;
    what_awaits_approval_is_not_in_force_before(make().await).await;
    nobody_agrees_to_what_awaits_approval(make().await).await;
    a_record_proves_the_claim_that_it_was_made_for(make().await).await;
    of_two_that_are_approved_at_once_at_most_one_has_it(make().await).await;
    what_can_not_be_claimed_is_refused(make().await).await;
}

fn id(name: &str) -> OrganizationId {
    OrganizationId::new(name).expect("a name")
}

fn organization(name: &str) -> Organization {
    Organization::new(id(name), at(0), Actor::Operator)
}

fn github(number: u64) -> Source {
    let host = "github.com".to_owned();
    Source::GitHubOrganization { host, id: number }
}

fn connection(name: &str, source: Source, standing: Standing) -> Connection {
    let reason = "told by phone".to_owned();
    Connection {
        mapping: Mapping::new(id(name), source),
        standing,
        proof: Proof::Operator { reason },
        made_by: Actor::Operator,
        made_at: at(1),
    }
}

fn admin(n: u8) -> Admin {
    Admin::Account(account_id(n))
}

async fn an_organization_is_found_by_its_id_to_the_letter(store: Arc<dyn Store>) {
    assert_eq!(store.organization(&id("contoso")).await.unwrap(), None);
    let contoso = Organization {
        title: Some("Contoso \"Ltd\" \u{1f98a}".to_owned()),
        admins: [admin(1)].into(),
        connections: vec![connection("contoso", github(1), Standing::Disputed)],
        ..organization("contoso")
    };
    let put = store.put_organization_if_absent(contoso.clone()).await;
    let put = put.unwrap();
    assert_eq!(put.0, contoso);
    let found = store.organization(&id("contoso")).await.unwrap();
    assert_eq!(found, Some(put));
    assert_eq!(store.organization(&id("Contoso")).await.unwrap(), None);
}

async fn the_first_record_of_an_organization_stays(store: Arc<dyn Store>) {
    let told = race(&store, |store, racer| async move {
        let title = Some(racer.to_string());
        let organization = Organization {
            title,
            ..organization("contoso")
        };
        store
            .put_organization_if_absent(organization)
            .await
            .unwrap()
    })
    .await;
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
}

async fn it_is_replaced_and_removed_only_by_who_read_it_last(store: Arc<dyn Store>) {
    let contoso = organization("contoso");
    let (_, first) = store
        .put_organization_if_absent(contoso.clone())
        .await
        .unwrap();
    let renamed = Organization {
        title: Some("Contoso".to_owned()),
        ..contoso.clone()
    };
    let second = store.replace_organization(renamed.clone(), first).await;
    let second = second.unwrap();
    let late = store.replace_organization(contoso.clone(), first).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    let late = store.remove_organization(&contoso.id, first).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    let found = store.organization(&contoso.id).await.unwrap();
    assert_eq!(found, Some((renamed, second)));

    store
        .remove_organization(&contoso.id, second)
        .await
        .unwrap();
    assert_eq!(store.organization(&contoso.id).await.unwrap(), None);
    assert_eq!(store.list_organizations(None, 9).await.unwrap(), []);
    let again = store.remove_organization(&contoso.id, second).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    // A name that was given up can be taken again; who has read what was there before writes nothing of it into that.
    let anew = Organization {
        created_at: at(1),
        ..contoso.clone()
    };
    let put = store.put_organization_if_absent(anew.clone()).await;
    assert_eq!(put.unwrap().0, anew);
    for stale in [first, second] {
        let late = store.replace_organization(contoso.clone(), stale).await;
        assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
        let late = store.remove_organization(&contoso.id, stale).await;
        assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    }
    let (found, _) = store.organization(&contoso.id).await.unwrap().unwrap();
    assert_eq!(found, anew);
}

async fn organizations_are_listed_page_by_page(store: Arc<dyn Store>) {
    let mut names: Vec<String> = (0..60).map(|n| format!("org-{n:02}")).collect();
    let others = [
        "-0", ".net", "0x", "9", "A", "Zed", "_a", "a", "aa", "aB", "z", "zz",
    ];
    names.extend(others.map(str::to_owned));
    // Written in another order than listed.
    for name in names.iter().rev() {
        let put = store.put_organization_if_absent(organization(name)).await;
        put.unwrap();
    }
    names.sort();
    let mut listed: Vec<String> = Vec::new();
    loop {
        let after = listed.last().map(|name| id(name));
        let page = store.list_organizations(after.as_ref(), 7).await.unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        listed.extend(page.iter().map(|one| one.id.to_string()));
        assert!(listed.len() <= names.len(), "some are listed twice");
    }
    assert_eq!(listed, names);
    assert_eq!(store.list_organizations(None, 0).await.unwrap(), []);
    // A cursor is a place, not a record.
    let after = id("org-300");
    let page = store.list_organizations(Some(&after), 1).await.unwrap();
    assert_eq!(page[0].id, id("org-31"));
}

async fn a_signpost_leads_where_it_was_set_until_it_is_removed(store: Arc<dyn Store>) {
    let post = Signpost::Source(github(1));
    let other = Signpost::Source(github(11));
    for name in ["fabrikam", "contoso", "contoso"] {
        let put = store.put_organization_if_absent(organization(name)).await;
        put.unwrap();
        store.set_signpost(&post, &id(name)).await.unwrap();
    }
    assert_eq!(names_at(&store, &post).await, ["contoso", "fabrikam"]);
    assert_eq!(names_at(&store, &other).await, [""; 0]);
    for _ in 0..2 {
        store.remove_signpost(&post, &id("contoso")).await.unwrap();
    }
    assert_eq!(names_at(&store, &post).await, ["fabrikam"]);
}

async fn names_at(store: &Arc<dyn Store>, post: &Signpost) -> Vec<String> {
    let found = store.organizations_at(post, None, 9).await.unwrap();
    found.iter().map(|one| one.id.to_string()).collect()
}

/// Of what a signpost leads to some are gone, and some say otherwise: neither hides what follows.
async fn what_a_signpost_leads_to_is_read_page_by_page(store: Arc<dyn Store>) {
    let post = Signpost::Admin(admin(1));
    let mut theirs: Vec<String> = Vec::new();
    for n in 0..30 {
        let name = format!("{}{n:02}", ["org-", "Org.", "zz"][n % 3]);
        store.set_signpost(&post, &id(&name)).await.unwrap();
        if n % 5 == 1 {
            continue;
        }
        let is_theirs = n % 5 != 2;
        let kept = Organization {
            admins: is_theirs.then(|| admin(1)).into_iter().collect(),
            ..organization(&name)
        };
        store.put_organization_if_absent(kept).await.unwrap();
        if is_theirs {
            theirs.push(name);
        }
    }
    theirs.sort();
    for limit in [1, 2, 7, 17, 18, 19, 300] {
        let mut listed: Vec<String> = Vec::new();
        loop {
            let after = listed.last().map(|name| id(name));
            let page = organizations_page(store.as_ref(), &post, after.as_ref(), limit);
            let page = page.await.unwrap();
            listed.extend(page.iter().map(|one| one.id.to_string()));
            assert!(page.len() <= limit);
            if page.len() < limit {
                break;
            }
        }
        assert_eq!(listed, theirs, "{limit} at a time");
    }
    let none = organizations_page(store.as_ref(), &post, None, 0).await;
    assert_eq!(none.unwrap(), []);
    let raw = store.organizations_at(&post, Some(&id("org-30")), 3).await;
    let raw: Vec<String> = raw.unwrap().iter().map(|one| one.id.to_string()).collect();
    assert_eq!(raw, ["zz02", "zz05", "zz08"]);
    assert_eq!(names_by(&store, post).await, theirs);
}

/// What [`change_organization`] does, where nothing is refused.
async fn change(
    store: &Arc<dyn Store>,
    name: &str,
    change: impl Fn(Organization) -> Option<Organization>,
) {
    let made = |known: Option<&Organization>| {
        let known = known.cloned().unwrap_or_else(|| organization(name));
        Ok::<_, StoreError>(change(known))
    };
    change_organization(store.as_ref(), &id(name), made, at(1))
        .await
        .unwrap();
}

async fn names_by(store: &Arc<dyn Store>, post: Signpost) -> Vec<String> {
    let found = organizations_by(store.as_ref(), &post).await.unwrap();
    found.iter().map(|one| one.id.to_string()).collect()
}

async fn an_organization_is_found_by_its_sources_and_admins(store: Arc<dyn Store>) {
    let connected = |known| {
        Some(Organization {
            admins: [admin(1), admin(2)].into(),
            connections: vec![connection("contoso", github(1), Standing::InForce)],
            ..known
        })
    };
    change(&store, "contoso", connected).await;
    for post in [
        Signpost::Source(github(1)),
        Signpost::Admin(admin(1)),
        Signpost::Admin(admin(2)),
    ] {
        assert_eq!(names_by(&store, post).await, ["contoso"]);
    }
    change(&store, "contoso", |known| {
        Some(Organization {
            admins: [admin(2)].into(),
            connections: Vec::new(),
            ..known
        })
    })
    .await;
    let nobody: [String; 0] = [];
    assert_eq!(names_by(&store, Signpost::Source(github(1))).await, nobody);
    assert_eq!(names_by(&store, Signpost::Admin(admin(1))).await, nobody);
    assert_eq!(
        names_by(&store, Signpost::Admin(admin(2))).await,
        ["contoso"]
    );
    change(&store, "contoso", |_| None).await;
    // Not even to another of that name.
    let another = store.put_organization_if_absent(organization("contoso"));
    another.await.unwrap();
    let gone = Signpost::Admin(admin(2));
    assert_eq!(names_at(&store, &gone).await, [""; 0]);
}

async fn of_many_who_change_an_organization_all_are_heard(store: Arc<dyn Store>) {
    change(&store, "contoso", Some).await;
    all_become_admins(&store).await;
}

async fn of_many_who_make_an_organization_all_are_heard(store: Arc<dyn Store>) {
    all_become_admins(&store).await;
}

async fn all_become_admins(store: &Arc<dyn Store>) {
    race(store, |store, racer| async move {
        change(&store, "contoso", |mut known| {
            known.admins.insert(admin(racer));
            Some(known)
        })
        .await;
    })
    .await;
    let found = store.organization(&id("contoso")).await.unwrap();
    let (contoso, _) = found.expect("it was made");
    assert_eq!(contoso.admins.len(), usize::from(RACERS));
    for racer in 1..=RACERS {
        assert_eq!(
            names_by(store, Signpost::Admin(admin(racer))).await,
            ["contoso"]
        );
    }
}

async fn only_what_is_in_force_is_a_mapping(store: Arc<dyn Store>) {
    for (name, standing) in [
        ("contoso", Standing::InForce),
        ("fabrikam", Standing::Disputed),
        ("acme", Standing::AwaitingApproval),
    ] {
        change(&store, name, |known| {
            let connections = vec![
                connection(name, github(1), standing),
                connection(name, github(2), Standing::Disputed),
            ];
            Some(Organization {
                connections,
                ..known
            })
        })
        .await;
    }
    let of = |number| mappings_of(store.as_ref(), [github(number)]);
    assert_eq!(
        of(1).await.unwrap(),
        [Mapping::new(id("contoso"), github(1))]
    );
    assert_eq!(of(2).await.unwrap(), []);
    assert_eq!(of(3).await.unwrap(), []);
}

/// A process that dies between the two leaves a signpost that leads to nothing.
async fn a_signpost_alone_is_no_mapping(store: Arc<dyn Store>) {
    let post = Signpost::Source(github(1));
    store.set_signpost(&post, &id("contoso")).await.unwrap();
    let of = || mappings_of(store.as_ref(), [github(1)]);
    assert_eq!(of().await.unwrap(), []);
    change(&store, "contoso", |known| {
        Some(Organization {
            admins: [Admin::Account(AccountId::new("acct_1").unwrap())].into(),
            ..known
        })
    })
    .await;
    assert_eq!(of().await.unwrap(), []);
    let nobody: [String; 0] = [];
    assert_eq!(names_by(&store, post).await, nobody);
}

/// When somebody else comes in between.
const MOMENTS: [When; 4] = [
    When::After("replace_organization"),
    When::Before("remove_signpost"),
    When::After("remove_signpost"),
    When::After("organization"),
];

/// Claims it, unless it is taken away meanwhile.
async fn attempt(store: &Arc<dyn Store>) {
    let wanted = connection("contoso", github(1), Standing::InForce);
    claim(
        store.as_ref(),
        &Policy::default(),
        &id("contoso"),
        &wanted,
        at(2),
    )
    .await
    .ok();
}

/// One writes the record without a source, another with it, whichever step of either comes between which of the other.
async fn who_removes_a_connection_as_it_is_made_again_leaves_it_found(
    make: &impl AsyncFn() -> Arc<dyn Store>,
    when: When,
) {
    for inner in MOMENTS.into_iter().chain([
        When::After("set_signpost"),
        When::Before("set_signpost"),
        When::Before("replace_organization"),
    ]) {
        let store = make().await;
        make_two(&store).await;
        attempt(&store).await;
        let again = {
            let store = store.clone();
            async move { attempt(&store).await }
        };
        let removing: Arc<dyn Store> = Arc::new(Meanwhile::new(&store, when, again));
        let gone = disconnect(removing.as_ref(), &id("contoso"), &github(1), at(2)).await;
        gone.unwrap();
        is_found_as_it_says(&store, &format!("{when:?}")).await;

        let removing = {
            let store = store.clone();
            async move { drop(disconnect(store.as_ref(), &id("contoso"), &github(1), at(2)).await) }
        };
        let making: Arc<dyn Store> = Arc::new(Meanwhile::new(&store, inner, removing));
        attempt(&making).await;
        is_found_as_it_says(&store, &format!("{inner:?}")).await;
    }
}

/// Somebody else has written the record without a source and comes to the signpost when who makes it again has set it and not
/// written the record yet.
async fn who_makes_a_connection_as_its_signpost_goes_leaves_it_found(store: Arc<dyn Store>) {
    make_two(&store).await;
    let going = {
        let store = store.clone();
        async move {
            let post = Signpost::Source(github(1));
            store.remove_signpost(&post, &id("contoso")).await.unwrap();
        }
    };
    let moment = When::Before("replace_organization");
    let making: Arc<dyn Store> = Arc::new(Meanwhile::new(&store, moment, going));
    change(&making, "contoso", |known| {
        let connections = vec![connection("contoso", github(1), Standing::InForce)];
        Some(Organization {
            connections,
            ..known
        })
    })
    .await;
    is_found_as_it_says(&store, "before the record was written").await;
}

/// What the record says is found by its signpost.
async fn is_found_as_it_says(store: &Arc<dyn Store>, when: &str) {
    let says = standing(store, "contoso").await.is_some();
    let found = names_by(store, Signpost::Source(github(1))).await;
    assert_eq!(found.len(), usize::from(says), "{when}");
}

async fn what_is_claimed_again_is_found_again(store: Arc<dyn Store>) {
    make_two(&store).await;
    claims(&store, "contoso").await;
    let post = Signpost::Source(github(1));
    store.remove_signpost(&post, &id("contoso")).await.unwrap();
    assert_eq!(claims(&store, "contoso").await, Standing::InForce);
    assert_eq!(claims(&store, "fabrikam").await, Standing::Disputed);
    assert_eq!(names_by(&store, post).await, ["contoso", "fabrikam"]);
}

/// Claims [`github`] 1, with a proof.
async fn claims(store: &Arc<dyn Store>, name: &str) -> Standing {
    let wanted = connection(name, github(1), Standing::InForce);
    let claimed = claim(
        store.as_ref(),
        &Policy::default(),
        &id(name),
        &wanted,
        at(2),
    )
    .await;
    claimed.expect("an organization").standing
}

async fn standing(store: &Arc<dyn Store>, name: &str) -> Option<Standing> {
    let (found, _) = store.organization(&id(name)).await.unwrap()?;
    found.connection(&github(1)).map(|one| one.standing)
}

async fn both(store: &Arc<dyn Store>) -> [Option<Standing>; 2] {
    [
        standing(store, "contoso").await,
        standing(store, "fabrikam").await,
    ]
}

async fn make_two(store: &Arc<dyn Store>) {
    for name in ["contoso", "fabrikam"] {
        change(store, name, Some).await;
    }
}

async fn the_first_claim_stands_and_the_second_is_disputed(store: Arc<dyn Store>) {
    make_two(&store).await;
    assert_eq!(claims(&store, "contoso").await, Standing::InForce);
    assert_eq!(claims(&store, "fabrikam").await, Standing::Disputed);
    // Who says it again does not get it by that, and who has it does not lose it.
    assert_eq!(claims(&store, "fabrikam").await, Standing::Disputed);
    assert_eq!(claims(&store, "contoso").await, Standing::InForce);
    let of = mappings_of(store.as_ref(), [github(1)]).await.unwrap();
    assert_eq!(of, [Mapping::new(id("contoso"), github(1))]);
    // Who gives it up leaves it to nobody: the other proves it again.
    let given_up = disconnect(store.as_ref(), &id("contoso"), &github(1), at(2)).await;
    given_up.unwrap();
    assert_eq!(both(&store).await, [None, Some(Standing::Disputed)]);
    assert_eq!(claims(&store, "fabrikam").await, Standing::InForce);
}

async fn of_two_who_claim_at_once_at_most_one_has_it(store: Arc<dyn Store>) {
    for n in 0..RACERS {
        change(&store, &format!("org-{n}"), Some).await;
    }
    race(&store, |store, n| async move {
        let name = format!("org-{}", n - 1);
        claims(&store, &name).await
    })
    .await;
    let of = mappings_of(store.as_ref(), [github(1)]).await.unwrap();
    assert!(of.len() <= 1, "{of:?}");
}

async fn a_dispute_is_settled_by_an_operator(store: Arc<dyn Store>) {
    const IN_FORCE: Option<Standing> = Some(Standing::InForce);
    for (settlement, expected) in [
        (Settlement::Share, [IN_FORCE, IN_FORCE]),
        (Settlement::Transfer, [None, IN_FORCE]),
        (Settlement::Refuse, [IN_FORCE, None]),
    ] {
        make_two(&store).await;
        claims(&store, "contoso").await;
        claims(&store, "fabrikam").await;
        let settled = settle(
            store.as_ref(),
            &Policy::default(),
            &id("fabrikam"),
            &github(1),
            settlement,
            at(2),
        )
        .await;
        settled.unwrap();
        assert_eq!(both(&store).await, expected, "{settlement:?}");
        for name in ["contoso", "fabrikam"] {
            change(&store, name, |_| None).await;
        }
    }
}

async fn only_who_has_a_source_can_share_it(store: Arc<dyn Store>) {
    make_two(&store).await;
    change(&store, "acme", Some).await;
    for name in ["contoso", "fabrikam", "acme"] {
        claims(&store, name).await;
    }
    let agree = |holder: &'static str, claimant: &'static str| {
        let store = store.clone();
        async move {
            agree(
                store.as_ref(),
                &Policy::default(),
                &id(holder),
                &id(claimant),
                &github(1),
                at(2),
            )
            .await
        }
    };
    assert!(!agree("acme", "fabrikam").await.unwrap());
    assert!(!agree("fabrikam", "fabrikam").await.unwrap());
    assert_eq!(standing(&store, "fabrikam").await, Some(Standing::Disputed));
    assert!(agree("contoso", "fabrikam").await.unwrap());
    assert_eq!(both(&store).await, [Some(Standing::InForce); 2]);
    assert_eq!(standing(&store, "acme").await, Some(Standing::Disputed));
    // Nobody shares with who did not ask.
    change(&store, "other", Some).await;
    let unasked = agree("contoso", "other").await;
    assert!(
        matches!(unasked, Err(ClaimError::NotConnected(..))),
        "{unasked:?}"
    );
}

fn issuer() -> Source {
    let text = "issuer:https://login.acme.example";
    text.parse().expect("an issuer")
}

/// Claims the issuer as one of its people, whose token this is.
async fn joins(store: &Arc<dyn Store>, name: &str, token: &str) -> Connection {
    let proof = Proof::Member {
        token: token.to_owned(),
    };
    let wanted = Connection {
        proof,
        ..connection(name, issuer(), Standing::AwaitingApproval)
    };
    let policy = Policy::default();
    let claimed = claim(store.as_ref(), &policy, &id(name), &wanted, at(2)).await;
    claimed.unwrap()
}

async fn issuer_is_of(store: &Arc<dyn Store>) -> Vec<OrganizationId> {
    let of = mappings_of(store.as_ref(), [issuer()]).await.unwrap();
    of.into_iter().map(|one| one.organization).collect()
}

async fn approves(store: &Arc<dyn Store>, name: &str) -> Standing {
    let policy = Policy::default();
    let approved = approve(store.as_ref(), &policy, &id(name), &issuer(), at(2)).await;
    approved.unwrap().standing
}

async fn what_awaits_approval_is_not_in_force_before(store: Arc<dyn Store>) {
    make_two(&store).await;
    let claimed = joins(&store, "contoso", "a").await;
    assert_eq!(claimed.standing, Standing::AwaitingApproval);
    assert_eq!(issuer_is_of(&store).await, []);
    assert_eq!(names_by(&store, Signpost::Asks).await, ["contoso"]);
    // Who shows no more than to be one of its people holds up nobody.
    joins(&store, "fabrikam", "b").await;
    assert_eq!(approves(&store, "contoso").await, Standing::InForce);
    assert_eq!(names_by(&store, Signpost::Asks).await, ["fabrikam"]);
    // Claimed again, with other terms, it stays what it was.
    let again = joins(&store, "contoso", "c").await;
    assert_eq!(again.standing, Standing::InForce);
    // A second is a dispute once it is approved.
    assert_eq!(approves(&store, "fabrikam").await, Standing::Disputed);
    assert_eq!(issuer_is_of(&store).await, [id("contoso")]);
    let again = joins(&store, "fabrikam", "d").await;
    assert_eq!(again.standing, Standing::Disputed);
}

async fn nobody_agrees_to_what_awaits_approval(store: Arc<dyn Store>) {
    make_two(&store).await;
    let policy = Policy::default();
    joins(&store, "contoso", "a").await;
    approves(&store, "contoso").await;
    joins(&store, "fabrikam", "b").await;
    let (contoso, fabrikam) = (id("contoso"), id("fabrikam"));
    let agreed = agree(
        store.as_ref(),
        &policy,
        &contoso,
        &fabrikam,
        &issuer(),
        at(2),
    )
    .await;
    assert!(
        matches!(agreed, Err(ClaimError::NotApproved(..))),
        "{agreed:?}"
    );
    for settlement in [Settlement::Share, Settlement::Transfer] {
        let settled = settle(
            store.as_ref(),
            &policy,
            &fabrikam,
            &issuer(),
            settlement,
            at(2),
        )
        .await;
        assert!(
            matches!(settled, Err(ClaimError::NotApproved(..))),
            "{settled:?}"
        );
    }
    assert_eq!(issuer_is_of(&store).await, [contoso]);
    // Refused, it is seen to be; and claimed anew it asks anew, with a token of its own.
    let refused = settle(
        store.as_ref(),
        &policy,
        &fabrikam,
        &issuer(),
        Settlement::Refuse,
        at(2),
    )
    .await;
    refused.unwrap();
    let known = store.organization(&fabrikam).await.unwrap().unwrap().0;
    let standing = known.connection(&issuer()).map(|one| one.standing);
    assert_eq!(standing, Some(Standing::Refused));
    let nobody: [String; 0] = [];
    assert_eq!(names_by(&store, Signpost::Asks).await, nobody);
    let again = joins(&store, "fabrikam", "c").await;
    let token = "c".to_owned();
    assert_eq!(again.standing, Standing::AwaitingApproval);
    assert_eq!(again.proof, Proof::Member { token });
}

async fn a_record_proves_the_claim_that_it_was_made_for(store: Arc<dyn Store>) {
    make_two(&store).await;
    joins(&store, "contoso", "a").await;
    let proves = |name: &'static str, token: &'static str| {
        let store = store.clone();
        async move {
            let policy = Policy::default();
            prove(store.as_ref(), &policy, &id(name), &issuer(), token, at(2)).await
        }
    };
    for (name, token) in [("contoso", "b"), ("fabrikam", "a")] {
        let refused = proves(name, token).await;
        assert!(
            matches!(refused, Err(ClaimError::NotConnected(..))),
            "{refused:?}"
        );
    }
    assert_eq!(issuer_is_of(&store).await, []);
    let proven = proves("contoso", "a").await.unwrap();
    assert_eq!(
        (proven.standing, proven.proof),
        (Standing::InForce, Proof::DnsRecord)
    );
    // Once is enough, and two who prove it are in dispute.
    assert!(proves("contoso", "a").await.is_err());
    joins(&store, "fabrikam", "b").await;
    let second = proves("fabrikam", "b").await.unwrap();
    assert_eq!(second.standing, Standing::Disputed);
    assert_eq!(issuer_is_of(&store).await, [id("contoso")]);
}

async fn of_two_that_are_approved_at_once_at_most_one_has_it(store: Arc<dyn Store>) {
    for n in 0..RACERS {
        let name = format!("org-{n}");
        change(&store, &name, Some).await;
        joins(&store, &name, "a").await;
    }
    race(&store, |store, n| async move {
        approves(&store, &format!("org-{}", n - 1)).await
    })
    .await;
    let of = issuer_is_of(&store).await;
    assert!(of.len() <= 1, "{of:?}");
}

async fn what_can_not_be_claimed_is_refused(store: Arc<dyn Store>) {
    let refused = |name: &'static str, source: Source| {
        let store = store.clone();
        async move {
            let wanted = connection(name, source, Standing::InForce);
            claim(
                store.as_ref(),
                &Policy::default(),
                &id(name),
                &wanted,
                at(2),
            )
            .await
            .unwrap_err()
        }
    };
    let unknown = refused("contoso", github(1)).await;
    assert!(
        matches!(unknown, ClaimError::UnknownOrganization(_)),
        "{unknown:?}"
    );
    make_two(&store).await;
    let consumers = format!("tenant:{}", TenantId::CONSUMERS).parse().unwrap();
    let personal = refused("contoso", consumers).await;
    assert!(
        matches!(personal, ClaimError::PersonalAccounts),
        "{personal:?}"
    );
    for number in 0..u64::try_from(MOST_CONNECTIONS).unwrap() {
        let wanted = connection("contoso", github(100 + number), Standing::InForce);
        claim(
            store.as_ref(),
            &Policy::default(),
            &id("contoso"),
            &wanted,
            at(2),
        )
        .await
        .unwrap();
    }
    let more = refused("contoso", github(1)).await;
    assert!(matches!(more, ClaimError::TooMany), "{more:?}");
    let missing = disconnect(store.as_ref(), &id("contoso"), &github(1), at(2)).await;
    assert!(
        matches!(missing, Err(ClaimError::NotConnected(..))),
        "{missing:?}"
    );
}
