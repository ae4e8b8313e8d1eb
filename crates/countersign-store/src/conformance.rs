//! What every backend of [`Store`] must do, as assertions: [`run`] panics at the first that fails.
//!
//! Each case gets an empty store. Time is made up; the dice are counters.
#![expect(
    clippy::missing_panics_doc,
    reason = "panicking is how a case reports that it failed"
)]

mod api_key;
mod connection_end;
mod doubles;
mod erase;
mod identity;
mod organization;

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::{
    AccountId, Acr, AttemptId, Claims, ClientId, Evidence, GrantId, Identity, Profile, ProviderId,
    RegistryName, Scope, SessionId, Stated, TracePlace,
};
use jiff::{SignedDuration, Timestamp};

#[cfg(test)]
pub(crate) use doubles::Dying;
use doubles::race;

use crate::{
    Account, AuditHead, Bucket, ChainHash, Code, CodeDigest, DeviceAnswer, DeviceRequest,
    DeviceRequestId, EmailAddress, End, EndKind, Ended, Ends, FeedPlace, FurtherCode, Grace, Grant,
    IssuedToken, KeptToken, KeyMaterial, Lock, LogoutNotice, Once, Opening, ProviderSession, Rate,
    RegistryAccount, RegistryAccountName, ReplicaId, Rotated, SESSIONS_AT_ONCE, SealedText, Seen,
    Session, Spent, Store, StoreError, StoredKey, TakenCode, ToolRequest, Version, VouchedEmail,
};

/// How many race wherever only one may win.
const RACERS: u8 = 50;
/// How long the made-up codes, sessions and attempts last, in seconds: each ends at its own time.
const CODE: i64 = 60;
const ATTEMPT: i64 = 3600;
const SESSION: i64 = 7200;

/// Puts a backend through all cases. `make` makes an empty store each time.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Store>) {
    a_code_is_taken_once(make().await).await;
    of_many_takers_one_gets_the_code(make().await).await;
    a_replayed_code_ends_its_session(make().await).await;
    a_replay_ends_its_session_however_late(make().await).await;
    a_wrong_digest_spends_nothing_and_ends_nothing(make().await).await;
    a_code_lasts_until_its_expiry_and_no_longer(make().await).await;
    a_code_of_an_ended_session_is_unknown(make().await).await;
    a_session_lasts_until_its_expiry_or_its_end(make().await).await;
    an_attempt_is_spent_once_and_the_second_writes_nothing(make().await).await;
    of_many_openings_of_one_attempt_one_is_written(make().await).await;
    a_spent_attempt_outlives_its_session(make().await).await;
    a_session_is_handed_to_further_clients(make().await).await;
    a_session_is_kept_in_use_and_never_beyond_its_end(make().await).await;
    a_replay_of_a_further_code_ends_the_session(make().await).await;
    a_session_that_has_ended_is_handed_to_nobody(make().await).await;
    sessions_are_found_by_whose_they_are(make().await).await;
    sessions_are_found_by_what_they_rest_on(make().await).await;
    however_many_sessions_there_are_all_are_found(make().await).await;
    who_ends_sessions_as_they_come_misses_none(make().await).await;
    the_end_of_a_session_is_to_be_told_to_each_of_its_clients(make().await).await;
    of_many_who_take_a_notice_one_gets_it(make().await).await;
    a_notice_is_due_again_until_it_is_settled(make().await).await;
    a_grant_lives_with_its_session_until_it_is_ended(make().await).await;
    each_refresh_token_is_good_once(make().await).await;
    a_refresh_token_of_the_future_ends_the_grant(make().await).await;
    of_many_who_refresh_at_once_one_wins_and_nothing_is_ended(make().await).await;
    an_answer_is_lost_for_a_minute_and_no_longer(make().await).await;
    a_refresh_token_that_comes_again_late_ends_the_grant(make().await).await;
    who_lost_the_answer_may_ask_again_for_a_while(make().await).await;
    a_session_that_is_not_used_ends_and_a_refresh_keeps_it(make().await).await;
    a_token_ends_with_its_session_its_grant_or_by_itself(make().await).await;
    every_end_is_told_once_in_its_order(make().await).await;
    what_is_ended_again_later_leaves_everybody_in_their_place(make().await).await;
    what_ends_by_a_replay_or_a_reuse_is_told(make().await).await;
    what_is_forgiven_or_unknown_is_not_told(make().await).await;
    ends_are_told_page_by_page_and_from_where_one_left(make().await).await;
    who_comes_with_a_place_that_is_not_ours_is_told_everything(make().await).await;
    an_end_is_told_as_long_as_a_token_can_be_good(make().await).await;
    of_many_who_end_at_once_all_are_told(make().await).await;
    what_may_come_once_is_first_once(make().await).await;
    of_many_who_come_at_once_one_is_first(make().await).await;
    what_came_is_remembered_until_its_time_and_no_longer(make().await).await;
    what_a_device_asks_for_is_answered_once(make().await).await;
    of_many_who_answer_a_device_one_is_heard(make().await).await;
    what_a_device_asks_for_ends_with_its_time(make().await).await;
    so_much_fits_into_a_bucket_and_time_pays_it_back(make().await).await;
    of_many_who_spend_at_once_as_many_as_fit_may(make().await).await;
    a_clock_that_is_set_back_shuts_nobody_out_for_long(make().await).await;
    of_many_who_claim_an_identity_one_wins(make().await).await;
    an_identity_is_released_by_whose_it_is(make().await).await;
    identities_of_different_kinds_do_not_meet(make().await).await;
    an_account_is_found_by_id_and_by_identity(make().await).await;
    the_first_record_of_an_account_stays(make().await).await;
    a_record_is_replaced_only_by_who_read_it_last(make().await).await;
    of_many_who_replace_a_record_one_wins(make().await).await;
    accounts_are_listed_page_by_page(make().await).await;
    all_that_is_known_of_an_account_is_kept(make().await).await;
    a_registry_account_is_found_by_its_name_to_the_letter(make().await).await;
    of_many_who_tell_of_a_registry_account_first_one_is_kept(make().await).await;
    a_registry_account_is_replaced_only_by_who_read_it_last(make().await).await;
    of_many_who_replace_a_registry_account_one_wins(make().await).await;
    erase::run(&make).await;
    identity::run(&make).await;
    organization::run(&make).await;
    connection_end::run(&make).await;
    api_key::run(&make).await;
    the_first_key_of_a_name_stays(make().await).await;
    a_key_is_replaced_only_by_who_read_it_last(make().await).await;
    of_many_who_replace_a_key_one_wins(make().await).await;
    a_token_is_kept_for_a_session_and_ends_with_it(make().await).await;
    a_token_is_kept_for_no_session_that_was_opened_before(make().await).await;
    a_token_of_an_attempt_that_came_to_nothing_is_forgotten(make().await).await;
    a_kept_token_is_replaced_only_by_who_read_it_last(make().await).await;
    of_many_who_replace_a_kept_token_one_wins(make().await).await;
    a_head_of_a_chain_stays_what_it_is(make().await).await;
    heads_are_listed_by_chain_and_the_last_are_kept(make().await).await;
    sweeping_forgets_nothing_that_is_needed(make().await).await;
}

/// What the provider of the `n`th session is asked again with.
pub fn kept(n: u8, text: &str) -> KeptToken {
    KeptToken {
        session: session_id(n),
        sealed: SealedText(text.into()),
        asked_at: at(0),
        asking_until: None,
    }
}

async fn kept_for(store: &Arc<dyn Store>, n: u8, second: i64) -> Option<KeptToken> {
    let found = store.kept_token(&session_id(n), at(second)).await.unwrap();
    found.map(|(token, _)| token)
}

async fn with_token(store: &Arc<dyn Store>, n: u8) {
    let token = kept(n, "first");
    store.keep_token(token, at(ATTEMPT), at(0)).await.unwrap();
    store.open_session(opening(n), at(1)).await.unwrap();
}

async fn a_token_is_kept_for_a_session_and_ends_with_it(store: Arc<dyn Store>) {
    let first = kept(1, "of the first leg");
    store.keep_token(first, at(ATTEMPT), at(0)).await.unwrap();
    assert_eq!(kept_for(&store, 1, 1).await, None, "without a session");
    with_token(&store, 1).await;
    with_token(&store, 2).await;
    store.open_session(opening(3), at(1)).await.unwrap();
    assert_eq!(kept_for(&store, 1, 2).await, Some(kept(1, "first")));
    assert_eq!(kept_for(&store, 3, 2).await, None);
    // Longer than its attempt would have lasted, and as long as the session.
    store.sweep(at(SESSION - 1)).await.unwrap();
    assert_eq!(
        kept_for(&store, 2, SESSION - 1).await,
        Some(kept(2, "first"))
    );
    assert_eq!(kept_for(&store, 2, SESSION).await, None);
    store.end_session(&session_id(1), at(3)).await.unwrap();
    assert_eq!(kept_for(&store, 1, 4).await, None);
    let again = store.replace_kept_token(kept(1, "again"), Version(1)).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    assert_eq!(kept_for(&store, 2, 4).await, Some(kept(2, "first")));
}

async fn a_token_is_kept_for_no_session_that_was_opened_before(store: Arc<dyn Store>) {
    with_token(&store, 1).await;
    let keep = || store.keep_token(kept(1, "another"), at(ATTEMPT), at(2));
    assert!(matches!(keep().await, Err(StoreError::AttemptSpent)));
    assert_eq!(kept_for(&store, 1, 3).await, Some(kept(1, "first")));
    store.end_session(&session_id(1), at(3)).await.unwrap();
    assert!(matches!(keep().await, Err(StoreError::AttemptSpent)));
    assert_eq!(kept_for(&store, 1, 4).await, None);
}

async fn a_token_of_an_attempt_that_came_to_nothing_is_forgotten(store: Arc<dyn Store>) {
    let token = kept(1, "first");
    store.keep_token(token, at(ATTEMPT), at(0)).await.unwrap();
    store.end_session(&session_id(1), at(1)).await.unwrap();
    store.open_session(opening(1), at(2)).await.unwrap();
    assert_eq!(kept_for(&store, 1, 3).await, None);
    let token = kept(2, "first");
    store.keep_token(token, at(ATTEMPT), at(0)).await.unwrap();
    store.sweep(at(ATTEMPT)).await.unwrap();
}

async fn a_kept_token_is_replaced_only_by_who_read_it_last(store: Arc<dyn Store>) {
    with_token(&store, 1).await;
    let found = store.kept_token(&session_id(1), at(2)).await.unwrap();
    let (_, version) = found.unwrap();
    let asking = KeptToken {
        asking_until: Some(at(60)),
        asked_at: at(5),
        ..kept(1, "second")
    };
    let replaced = store.replace_kept_token(asking.clone(), version).await;
    assert_ne!(replaced.unwrap(), version);
    let late = store.replace_kept_token(kept(1, "late"), version).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    assert_eq!(kept_for(&store, 1, 3).await, Some(asking));
    let never = kept(2, "never");
    let never = store.replace_kept_token(never, Version(1)).await;
    assert!(matches!(never, Err(StoreError::Conflict)), "{never:?}");
    let beyond = kept(1, "beyond");
    let beyond = store.replace_kept_token(beyond, Version(u64::MAX)).await;
    assert!(matches!(beyond, Err(StoreError::Conflict)), "{beyond:?}");
}

async fn of_many_who_replace_a_kept_token_one_wins(store: Arc<dyn Store>) {
    with_token(&store, 1).await;
    let (_, version) = store
        .kept_token(&session_id(1), at(2))
        .await
        .unwrap()
        .unwrap();
    let replaced = race(&store, move |store, racer| async move {
        let token = kept(1, &racer.to_string());
        store.replace_kept_token(token, version).await.is_ok()
    })
    .await;
    assert_eq!(replaced.iter().filter(|won| **won).count(), 1);
    let winner = replaced.iter().position(|won| *won).unwrap() + 1;
    let expected = kept(1, &winner.to_string());
    assert_eq!(kept_for(&store, 1, 3).await, Some(expected));
}

async fn a_code_is_taken_once(store: Arc<dyn Store>) {
    let opening = opening(1);
    store.open_session(opening.clone(), at(0)).await.unwrap();
    let fresh = TakenCode::Fresh {
        code: Box::new(opening.code),
        session: Box::new(opening.session),
    };
    assert_eq!(take(&store, 1, 1).await, fresh);
    assert_eq!(take(&store, 1, 2).await, TakenCode::Replayed(Ended::Now));
    // Whoever goes on with it ends nothing any more.
    assert_eq!(take(&store, 1, 3).await, TakenCode::Replayed(Ended::Before));
    assert_eq!(take(&store, 2, 1).await, TakenCode::Unknown);
}

async fn of_many_takers_one_gets_the_code(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    let taken = race(&store, |store, _| async move { take(&store, 1, 1).await }).await;
    let fresh = taken.iter().filter(|taken| is_fresh(taken)).count();
    let replayed = taken
        .iter()
        .filter(|taken| matches!(taken, TakenCode::Replayed(_)))
        .count();
    assert_eq!((fresh, replayed), (1, usize::from(RACERS) - 1));
}

async fn a_replayed_code_ends_its_session(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    store.open_session(opening(2), at(0)).await.unwrap();
    assert!(is_fresh(&take(&store, 1, 1).await));
    assert!(lives(&store, 1, 2).await, "taking a code ended its session");
    assert!(is_replayed(&take(&store, 1, 3).await));
    assert!(!lives(&store, 1, 4).await, "the session outlived a replay");
    assert!(lives(&store, 2, 4).await, "another session was ended");
}

async fn a_replay_ends_its_session_however_late(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    assert!(is_fresh(&take(&store, 1, 1).await));
    store.sweep(at(SESSION - 1)).await.unwrap();
    assert!(is_replayed(&take(&store, 1, SESSION - 1).await));
    assert!(!lives(&store, 1, SESSION - 1).await);
}

async fn a_wrong_digest_spends_nothing_and_ends_nothing(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    let guess = CodeDigest {
        session: session_id(1),
        digest: digest(2),
    };
    let taken = store.take_code(&guess, at(1)).await.unwrap();
    assert_eq!(taken, TakenCode::Unknown);
    assert!(
        is_fresh(&take(&store, 1, 1).await),
        "a guess spent the code"
    );
    let taken = store.take_code(&guess, at(2)).await.unwrap();
    assert_eq!(taken, TakenCode::Unknown, "a guess passed for a replay");
    assert!(lives(&store, 1, 2).await, "a guess ended the session");
}

async fn a_code_lasts_until_its_expiry_and_no_longer(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    assert_eq!(take(&store, 1, CODE).await, TakenCode::Unknown);
    assert!(is_fresh(&take(&store, 1, CODE - 1).await));
}

async fn a_code_of_an_ended_session_is_unknown(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    store.end_session(&session_id(1), at(1)).await.unwrap();
    assert_eq!(take(&store, 1, 1).await, TakenCode::Unknown);

    let mut short = opening(2);
    short.session.expires_at = at(CODE / 2);
    store.open_session(short, at(0)).await.unwrap();
    assert_eq!(take(&store, 2, CODE / 2).await, TakenCode::Unknown);
}

async fn a_session_lasts_until_its_expiry_or_its_end(store: Arc<dyn Store>) {
    let opening = opening(1);
    store.open_session(opening.clone(), at(0)).await.unwrap();
    let found = store.session(&session_id(1), at(SESSION - 1)).await;
    assert_eq!(found.unwrap(), Some(opening.session));
    assert!(!lives(&store, 1, SESSION).await);
    assert!(!lives(&store, 2, 0).await);
    store.end_session(&session_id(1), at(1)).await.unwrap();
    assert!(!lives(&store, 1, 1).await);
    store.end_session(&session_id(1), at(1)).await.unwrap();
    store.end_session(&session_id(2), at(1)).await.unwrap();
}

async fn an_attempt_is_spent_once_and_the_second_writes_nothing(store: Arc<dyn Store>) {
    let first = opening(1);
    let mut second = opening(1);
    second.session.account = account_id(2);
    second.code_digest = digest(2);
    store.open_session(first.clone(), at(0)).await.unwrap();
    let refused = store.open_session(second.clone(), at(1)).await;
    assert!(matches!(refused, Err(StoreError::AttemptSpent)));
    let code = CodeDigest {
        session: session_id(1),
        digest: second.code_digest,
    };
    let taken = store.take_code(&code, at(1)).await.unwrap();
    assert_eq!(taken, TakenCode::Unknown, "the second code was kept");
    let session = store.session(&session_id(1), at(1)).await.unwrap();
    assert_eq!(session, Some(first.session), "the session was replaced");
    assert!(is_fresh(&take(&store, 1, 1).await));
}

async fn of_many_openings_of_one_attempt_one_is_written(store: Arc<dyn Store>) {
    let opened = race(&store, |store, racer| async move {
        let mut mine = opening(1);
        mine.session.account = account_id(racer);
        mine.code_digest = digest(racer);
        match store.open_session(mine, at(0)).await {
            Ok(()) => Some(racer),
            Err(StoreError::AttemptSpent) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let winners: Vec<u8> = opened.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?} all opened it");
    let session = store.session(&session_id(1), at(1)).await.unwrap().unwrap();
    assert_eq!(session.account, account_id(winners[0]));
}

async fn a_spent_attempt_outlives_its_session(store: Arc<dyn Store>) {
    let mut short = opening(1);
    short.session.expires_at = at(30);
    store.open_session(short, at(0)).await.unwrap();
    store.end_session(&session_id(1), at(1)).await.unwrap();
    store.sweep(at(ATTEMPT - 1)).await.unwrap();
    let again = store.open_session(opening(1), at(ATTEMPT - 1)).await;
    assert!(matches!(again, Err(StoreError::AttemptSpent)));
}

/// One more code of the first session: the `n`th.
fn further(n: u8, client: &str, second: i64) -> FurtherCode {
    FurtherCode {
        digest: CodeDigest {
            session: session_id(1),
            digest: digest(n),
        },
        code: Code {
            client: client_id(client),
            expires_at: at(second + CODE),
            ..code(n)
        },
        idle_until: at(second + 600),
    }
}

async fn take_further(store: &Arc<dyn Store>, n: u8, second: i64) -> TakenCode {
    let code = CodeDigest {
        session: session_id(1),
        digest: digest(n),
    };
    store.take_code(&code, at(second)).await.unwrap()
}

async fn a_session_is_handed_to_further_clients(store: Arc<dyn Store>) {
    let opening = Opening {
        idle_until: at(600),
        ..opening(1)
    };
    store.open_session(opening.clone(), at(0)).await.unwrap();
    let (second, third) = (further(2, "second", 500), further(3, "third", 500));
    assert!(store.hand_over(second.clone(), at(500)).await.unwrap());
    assert!(store.hand_over(third, at(500)).await.unwrap());
    let fresh = TakenCode::Fresh {
        code: Box::new(second.code),
        session: Box::new(opening.session),
    };
    assert_eq!(take_further(&store, 2, 501).await, fresh);
    let late = take_further(&store, 3, 500 + CODE).await;
    assert_eq!(late, TakenCode::Unknown, "the code had expired");
    assert!(lives(&store, 1, 1099).await, "handing over keeps in use");
    assert!(!lives(&store, 1, 1100).await);
    let last = further(4, "second", SESSION - 10);
    assert!(!store.hand_over(last, at(SESSION - 10)).await.unwrap());
}

async fn a_session_is_kept_in_use_and_never_beyond_its_end(store: Arc<dyn Store>) {
    let opening = Opening {
        idle_until: at(600),
        ..opening(1)
    };
    store.open_session(opening, at(0)).await.unwrap();
    let keep = async |until, second| {
        let id = session_id(1);
        let kept = store.keep_in_use(&id, at(until), at(second)).await;
        kept.unwrap()
    };
    assert!(keep(1100, 599).await);
    assert!(lives(&store, 1, 1099).await);
    assert!(!lives(&store, 1, 1100).await);
    assert!(keep(10 * SESSION, 1099).await);
    assert!(lives(&store, 1, SESSION - 1).await);
    assert!(!lives(&store, 1, SESSION).await);
    assert!(!keep(10 * SESSION, SESSION).await, "it is over");
    assert!(
        !store
            .keep_in_use(&session_id(2), at(9), at(1))
            .await
            .unwrap()
    );
    store.end_session(&session_id(1), at(2)).await.unwrap();
    assert!(!keep(600, 3).await, "it was ended");
    assert!(!lives(&store, 1, 4).await);
}

async fn a_replay_of_a_further_code_ends_the_session(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    store
        .hand_over(further(2, "second", 1), at(1))
        .await
        .unwrap();
    assert!(is_fresh(&take_further(&store, 2, 2).await));
    assert!(lives(&store, 1, 3).await);
    store.sweep(at(SESSION - 1)).await.unwrap();
    let second = 1 + 599;
    assert!(is_replayed(&take_further(&store, 2, second).await));
    assert!(!lives(&store, 1, second).await);
    assert_eq!(
        take(&store, 1, 3).await,
        TakenCode::Unknown,
        "its other code lived on"
    );
}

async fn a_session_that_has_ended_is_handed_to_nobody(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    store.end_session(&session_id(1), at(1)).await.unwrap();
    assert!(
        !store
            .hand_over(further(2, "second", 2), at(2))
            .await
            .unwrap()
    );
    assert_eq!(take_further(&store, 2, 3).await, TakenCode::Unknown);
}

async fn sessions_are_found_by_whose_they_are(store: Arc<dyn Store>) {
    for n in 1..=3 {
        let mut opening = opening(n);
        opening.session.account = account_id(n.min(2));
        opening.idle_until = at(600);
        store.open_session(opening, at(0)).await.unwrap();
    }
    store
        .hand_over(further(9, "another", 10), at(10))
        .await
        .unwrap();
    let listed = async |account, second| {
        let found = store
            .sessions_of(&account_id(account), None, at(second))
            .await;
        let found = found.unwrap().into_iter();
        found
            .map(|one| (one.session.id, one.clients.len(), one.ends_at))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(1, 10).await, [(session_id(1), 2, at(610))]);
    let both = [(session_id(3), 1, at(600)), (session_id(2), 1, at(600))];
    assert_eq!(listed(2, 599).await, both);
    store.end_session(&session_id(3), at(11)).await.unwrap();
    assert_eq!(listed(2, 12).await, both[1..]);
    assert_eq!(listed(2, 600).await, []);
    assert_eq!(listed(3, 1).await, []);
}

async fn sessions_are_found_by_what_they_rest_on(store: Arc<dyn Store>) {
    for n in 1..=3 {
        let mut opening = opening(n);
        opening.session.evidence.provider_session = (n < 3).then(|| "sid 1".to_owned());
        store.open_session(opening, at(0)).await.unwrap();
    }
    let found = async |provider: &str, sid: &str| {
        let of = ProviderSession {
            provider: ProviderId::new(provider).unwrap(),
            sid: sid.into(),
        };
        let found = store.sessions_resting_on(&of, None, at(1)).await.unwrap();
        found.into_iter().map(|one| one.id).collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from([session_id(1), session_id(2)]);
    assert_eq!(found("github", "sid 1").await, both);
    assert!(found("github", "sid").await.is_empty());
    assert!(found("gitlab", "sid 1").await.is_empty());
    store.end_session(&session_id(1), at(1)).await.unwrap();
    let other = BTreeSet::from([session_id(2)]);
    assert_eq!(found("github", "sid 1").await, other);
}

/// More than are listed at once, of one account and one session at the provider; some end in one moment.
async fn with_many_sessions(store: &Arc<dyn Store>) -> Vec<SessionId> {
    let count = u8::try_from(SESSIONS_AT_ONCE * 5 / 2).expect("a few hundred");
    for n in 1..=count {
        let mut opening = opening(n);
        opening.session.account = account_id(1);
        opening.session.evidence.provider_session = Some("sid 1".to_owned());
        opening.session.expires_at = at(SESSION + i64::from(n / 150));
        store.open_session(opening, at(0)).await.unwrap();
    }
    (1..=count).rev().map(session_id).collect()
}

async fn however_many_sessions_there_are_all_are_found(store: Arc<dyn Store>) {
    let mut all = with_many_sessions(&store).await;
    let resting = async |after: Option<&Session>| {
        let of = ProviderSession {
            provider: ProviderId::new("github").unwrap(),
            sid: "sid 1".into(),
        };
        let found = store.sessions_resting_on(&of, after, at(1)).await;
        found.unwrap()
    };
    let of_account = async |after: Option<&Session>| {
        let found = store.sessions_of(&account_id(1), after, at(1)).await;
        let found = found.unwrap().into_iter();
        found.map(|one| one.session).collect::<Vec<_>>()
    };
    // In the middle of the second page and at its beginning are some that have ended.
    for n in [99, 100, 101, 60, 61] {
        store.end_session(&all.remove(n), at(1)).await.unwrap();
    }
    let (mut by_account, mut by_provider) = (Vec::new(), Vec::new());
    loop {
        let page = of_account(by_account.last()).await;
        by_account.extend_from_slice(&page);
        let same = resting(by_provider.last()).await;
        by_provider.extend_from_slice(&same);
        assert_eq!(page, same);
        if page.len() < SESSIONS_AT_ONCE {
            break;
        }
    }
    let found: Vec<SessionId> = by_account.into_iter().map(|one| one.id).collect();
    assert_eq!(found, all);
}

async fn who_ends_sessions_as_they_come_misses_none(store: Arc<dyn Store>) {
    let all = with_many_sessions(&store).await;
    let (mut after, mut ended): (Option<Session>, Vec<SessionId>) = (None, Vec::new());
    loop {
        let page = store
            .sessions_of(&account_id(1), after.as_ref(), at(1))
            .await;
        let page = page.unwrap();
        // All but one, which is still there afterwards.
        for one in page.iter().filter(|one| one.session.id != all[7]) {
            store.end_session(&one.session.id, at(1)).await.unwrap();
            ended.push(one.session.id.clone());
        }
        if page.len() < SESSIONS_AT_ONCE {
            break;
        }
        after = page.last().map(|one| one.session.clone());
    }
    assert_eq!(ended.len(), all.len() - 1);
    let left = store
        .sessions_of(&account_id(1), None, at(2))
        .await
        .unwrap();
    let left: Vec<&SessionId> = left.iter().map(|one| &one.session.id).collect();
    assert_eq!(left, [&all[7]]);
}

async fn the_end_of_a_session_is_to_be_told_to_each_of_its_clients(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    store
        .hand_over(further(2, "second", 1), at(1))
        .await
        .unwrap();
    store
        .hand_over(further(3, "second", 1), at(1))
        .await
        .unwrap();
    assert!(notices(&store, 2).await.is_empty(), "it lives");
    store.end_session(&session_id(1), at(2)).await.unwrap();
    store.end_session(&session_id(1), at(3)).await.unwrap();
    let notice = |client| LogoutNotice {
        session: session_id(1),
        client: client_id(client),
        account: account_id(1),
        tries: 1,
    };
    let mut told = notices(&store, 3).await;
    told.sort_by(|one, two| one.client.cmp(&two.client));
    assert_eq!(told, [notice("registry"), notice("second")]);
}

async fn of_many_who_take_a_notice_one_gets_it(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    store.end_session(&session_id(1), at(1)).await.unwrap();
    let taken = race(
        &store,
        |store, _| async move { notices(&store, 2).await.len() },
    )
    .await;
    assert_eq!(taken.into_iter().sum::<usize>(), 1);
}

async fn a_notice_is_due_again_until_it_is_settled(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    // A replay ends it as well.
    take(&store, 1, 1).await;
    take(&store, 1, 1).await;
    let tries = async |second| {
        let taken = notices(&store, second).await.into_iter();
        taken.map(|notice| notice.tries).collect::<Vec<_>>()
    };
    assert_eq!(tries(1).await, [1]);
    assert_eq!(tries(60).await, [0; 0], "somebody is at it");
    let taken = notices(&store, 61).await;
    assert_eq!(taken[0].tries, 2);
    store.postpone_notice(&taken[0], at(500)).await.unwrap();
    assert_eq!(tries(499).await, [0; 0]);
    store.sweep(at(499)).await.unwrap();
    assert_eq!(tries(500).await, [3]);
    store.settle_notice(&taken[0]).await.unwrap();
    assert_eq!(tries(10_000).await, [0; 0]);
}

/// Takes what is due, for a minute.
async fn notices(store: &Arc<dyn Store>, second: i64) -> Vec<LogoutNotice> {
    let taken = store.take_notices(10, at(second + 60), at(second)).await;
    taken.unwrap()
}

/// Longer than a race takes, and shorter than the session.
const GRACE: Grace = Grace {
    busy: SignedDuration::from_secs(2),
    lost: SignedDuration::from_secs(60),
    idle: SignedDuration::from_secs(600),
};

/// The `n`th grant, of the `n`th session.
pub fn grant(n: u8) -> Grant {
    Grant {
        id: GrantId::new(format!("grant_{n}")).expect("a grant"),
        session: session_id(n),
        client: client_id("registry"),
        scopes: vec![Scope::new("openid").expect("a scope")],
        organization: None,
        acr_values: Vec::new(),
        resource: None,
        dpop_jkt: None,
        stated: Stated {
            acr: Acr::Mfa,
            amr: vec!["mfa".into()],
            level: "mfa".into(),
            basis: Some("session".into()),
        },
        expires_at: at(SESSION),
    }
}

async fn refresh(store: &Arc<dyn Store>, presented: u32, second: i64) -> Rotated {
    let grant = grant(1);
    let rotated = store.rotate(&grant.session, &grant.id, presented, GRACE, at(second));
    rotated.await.unwrap()
}

async fn with_grant(store: &Arc<dyn Store>) -> Grant {
    let opening = Opening {
        idle_until: at(600),
        ..opening(1)
    };
    store.open_session(opening, at(0)).await.unwrap();
    store.open_grant(grant(1)).await.unwrap();
    grant(1)
}

async fn grant_lives(store: &Arc<dyn Store>, second: i64) -> bool {
    let grant = grant(1);
    let found = store.grant(&grant.session, &grant.id, at(second)).await;
    found.unwrap().is_some()
}

async fn a_grant_lives_with_its_session_until_it_is_ended(store: Arc<dyn Store>) {
    let grant = with_grant(&store).await;
    let again = store.open_grant(grant.clone()).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    let (session, id) = (&grant.session, &grant.id);
    let found = store.grant(session, id, at(1)).await.unwrap().unwrap();
    let parts = (&found.grant, &found.session.id, found.good);
    assert_eq!(parts, (&grant, session, 0));
    let elsewhere = store.grant(&session_id(2), id, at(1)).await.unwrap();
    assert!(elsewhere.is_none(), "found under another session");
    let end = async |session| store.end_grant(session, id, at(1)).await.unwrap();
    let another = session_id(2);
    assert_eq!(end(&another).await, Ended::Before);
    assert!(grant_lives(&store, 1).await, "ended from another session");
    assert_eq!(end(session).await, Ended::Now);
    assert_eq!(end(session).await, Ended::Before);
    assert!(!grant_lives(&store, 1).await);
    assert!(
        lives(&store, 1, 1).await,
        "the session ended with its grant"
    );
    assert_eq!(refresh(&store, 0, 1).await, Rotated::Unknown);
}

async fn each_refresh_token_is_good_once(store: Arc<dyn Store>) {
    let grant = with_grant(&store).await;
    for number in 0..3 {
        let second = 100 * i64::from(number + 1);
        assert_eq!(
            refresh(&store, number, second).await,
            Rotated::Next(number + 1)
        );
    }
    store.end_session(&grant.session, at(1)).await.unwrap();
    assert_eq!(refresh(&store, 3, 401).await, Rotated::Unknown);
    assert!(!grant_lives(&store, 401).await);
}

/// As after a power cut that took the last writes.
async fn a_refresh_token_of_the_future_ends_the_grant(store: Arc<dyn Store>) {
    with_grant(&store).await;
    assert_eq!(refresh(&store, 1, 1).await, Rotated::NeverIssued);
    assert_eq!(refresh(&store, 1, 1).await, Rotated::Unknown);
    assert!(
        !grant_lives(&store, 2).await,
        "who has the one before may be a thief"
    );
}

async fn of_many_who_refresh_at_once_one_wins_and_nothing_is_ended(store: Arc<dyn Store>) {
    with_grant(&store).await;
    let rotated = race(
        &store,
        |store, _| async move { refresh(&store, 0, 1).await },
    )
    .await;
    let count = |wanted| rotated.iter().filter(|one| **one == wanted).count();
    let losers = usize::from(RACERS) - 1;
    assert_eq!(
        (count(Rotated::Next(1)), count(Rotated::TooSoon)),
        (1, losers)
    );
    assert_eq!(refresh(&store, 1, 10).await, Rotated::Next(2));
}

async fn a_refresh_token_that_comes_again_late_ends_the_grant(store: Arc<dyn Store>) {
    with_grant(&store).await;
    assert_eq!(refresh(&store, 0, 1).await, Rotated::Next(1));
    assert_eq!(refresh(&store, 0, 61).await, Rotated::Reused);
    assert_eq!(refresh(&store, 1, 62).await, Rotated::Unknown);
    assert!(!grant_lives(&store, 62).await);
}

async fn who_lost_the_answer_may_ask_again_for_a_while(store: Arc<dyn Store>) {
    with_grant(&store).await;
    assert_eq!(refresh(&store, 0, 1).await, Rotated::Next(1));
    assert_eq!(refresh(&store, 0, 2).await, Rotated::TooSoon);
    assert_eq!(refresh(&store, 0, 4).await, Rotated::Next(2));
    assert_eq!(
        refresh(&store, 0, 7).await,
        Rotated::Next(3),
        "lost once more"
    );
    // The answer was not lost after all: there are two who present tokens of this grant.
    assert_eq!(refresh(&store, 1, 8).await, Rotated::Reused);
    assert!(!grant_lives(&store, 8).await);
}

/// Counted from when it came first, or a thief could go on for ever.
async fn an_answer_is_lost_for_a_minute_and_no_longer(store: Arc<dyn Store>) {
    with_grant(&store).await;
    for (number, second) in (1..).zip([1, 20, 40, 60]) {
        assert_eq!(refresh(&store, 0, second).await, Rotated::Next(number));
    }
    assert_eq!(refresh(&store, 0, 62).await, Rotated::Reused);
    assert!(!grant_lives(&store, 62).await);
}

async fn a_session_that_is_not_used_ends_and_a_refresh_keeps_it(store: Arc<dyn Store>) {
    with_grant(&store).await;
    assert!(lives(&store, 1, 599).await);
    assert!(!lives(&store, 1, 600).await, "not used for ten minutes");
    assert_eq!(refresh(&store, 0, 599).await, Rotated::Next(1));
    assert!(lives(&store, 1, 1198).await);
    assert!(!lives(&store, 1, 1199).await);
    for (number, second) in (1..).zip((1000..SESSION).step_by(500)) {
        let rotated = refresh(&store, number, second).await;
        assert_eq!(rotated, Rotated::Next(number + 1));
    }
    assert!(lives(&store, 1, SESSION - 1).await);
    assert!(!lives(&store, 1, SESSION).await, "used beyond its end");
}

async fn a_token_ends_with_its_session_its_grant_or_by_itself(store: Arc<dyn Store>) {
    let grant = with_grant(&store).await;
    let token = |jti: &str, grant: Option<&Grant>| IssuedToken {
        jti: jti.into(),
        session: session_id(1),
        grant: grant.map(|grant| grant.id.clone()),
        expires_at: at(300),
    };
    let is_good = async |token: &IssuedToken, second| {
        let session = store.session_of_token(token, at(second)).await.unwrap();
        session.is_some()
    };
    let (of_grant, bare, other) = (token("a", Some(&grant)), token("b", None), token("c", None));
    for token in [&of_grant, &bare, &other] {
        assert!(is_good(token, 1).await);
        assert!(!is_good(token, 300).await, "it outlived itself");
    }
    let revoke = async |token: &IssuedToken, second| {
        let ended = store.revoke_token(token.clone(), at(second)).await;
        ended.unwrap()
    };
    assert_eq!(revoke(&bare, 1).await, Ended::Now);
    assert_eq!(revoke(&bare, 1).await, Ended::Before);
    assert_eq!(revoke(&token("d", None), 300).await, Ended::Before);
    store.sweep(at(299)).await.unwrap();
    assert!(!is_good(&bare, 299).await);
    assert!(is_good(&other, 2).await);
    store
        .end_grant(&grant.session, &grant.id, at(1))
        .await
        .unwrap();
    assert!(!is_good(&of_grant, 3).await);
    assert_eq!(revoke(&of_grant, 3).await, Ended::Before);
    assert!(is_good(&other, 3).await);
    let end = async || store.end_session(&grant.session, at(1)).await.unwrap();
    assert_eq!(end().await, Ended::Now);
    assert_eq!(end().await, Ended::Before);
    assert!(!is_good(&other, 4).await);
    assert_eq!(revoke(&other, 4).await, Ended::Before);
}

/// What the feed tells from a place on, as words.
async fn told_after(
    store: &Arc<dyn Store>,
    place: Option<FeedPlace>,
    second: i64,
) -> (Vec<String>, Option<FeedPlace>) {
    let told = store.ends_after(place, 100, at(second)).await.unwrap();
    assert!(told.is_all);
    (words(&told), told.place)
}

fn words(told: &Ends) -> Vec<String> {
    let one = |end: &End| format!("{} {}", end.kind.as_str(), end.id);
    told.ends.iter().map(one).collect()
}

async fn told(store: &Arc<dyn Store>, second: i64) -> Vec<String> {
    told_after(store, None, second).await.0
}

fn issued(jti: &str) -> IssuedToken {
    IssuedToken {
        jti: jti.into(),
        session: session_id(1),
        grant: None,
        expires_at: at(600),
    }
}

async fn every_end_is_told_once_in_its_order(store: Arc<dyn Store>) {
    let grant = with_grant(&store).await;
    assert_eq!(told_after(&store, None, 1).await, (vec![], None));
    store.revoke_token(issued("jti-1"), at(1)).await.unwrap();
    for second in [2, 3] {
        let (session, id) = (&grant.session, &grant.id);
        store.end_grant(session, id, at(second)).await.unwrap();
    }
    for second in [4, 5] {
        store.end_session(&session_id(1), at(second)).await.unwrap();
    }
    store
        .tell_end(EndKind::Token, "jti-2", at(6))
        .await
        .unwrap();
    store.revoke_token(issued("jti-1"), at(7)).await.unwrap();
    let session = format!("session {}", session_id(1));
    let expected = ["token jti-1", "grant grant_1", &session, "token jti-2"];
    assert_eq!(told(&store, 8).await, expected);
}

async fn what_is_ended_again_later_leaves_everybody_in_their_place(store: Arc<dyn Store>) {
    let grant = with_grant(&store).await;
    let end_all = async |second| {
        let (session, id) = (&grant.session, &grant.id);
        store.end_grant(session, id, at(second)).await.unwrap();
        store.end_session(session, at(second)).await.unwrap();
        let token = IssuedToken {
            expires_at: at(SESSION),
            ..issued("jti-1")
        };
        store.revoke_token(token, at(second)).await.unwrap();
        store
            .tell_end(EndKind::Token, "jti-2", at(second))
            .await
            .unwrap();
    };
    end_all(1).await;
    let place = told_after(&store, None, 2).await.1;
    for second in [100, 1000] {
        end_all(second).await;
        let told = told_after(&store, place, second).await;
        assert_eq!(told, (vec![], place));
        assert_eq!(told_after(&store, None, second).await.0.len(), 4);
    }
}

async fn what_ends_by_a_replay_or_a_reuse_is_told(store: Arc<dyn Store>) {
    with_grant(&store).await;
    refresh(&store, 0, 1).await;
    refresh(&store, 1, 2).await;
    assert_eq!(refresh(&store, 0, 3).await, Rotated::Reused);
    store.open_session(opening(2), at(0)).await.unwrap();
    take(&store, 2, 1).await;
    assert!(is_replayed(&take(&store, 2, 4).await));
    let session = format!("session {}", session_id(2));
    assert_eq!(told(&store, 5).await, ["grant grant_1", &session]);

    store.open_session(opening(3), at(0)).await.unwrap();
    store.open_grant(grant(3)).await.unwrap();
    let of = (session_id(3), grant(3).id);
    let rotated = store.rotate(&of.0, &of.1, 7, GRACE, at(6)).await.unwrap();
    assert_eq!(rotated, Rotated::NeverIssued, "a token of the future");
    assert_eq!(told(&store, 6).await[2..], ["grant grant_3"]);
}

async fn what_is_forgiven_or_unknown_is_not_told(store: Arc<dyn Store>) {
    let grant = with_grant(&store).await;
    refresh(&store, 0, 1).await;
    assert_eq!(refresh(&store, 0, 2).await, Rotated::TooSoon);
    assert_eq!(refresh(&store, 0, 10).await, Rotated::Next(2));
    store.end_session(&session_id(9), at(11)).await.unwrap();
    store
        .end_grant(&session_id(9), &grant.id, at(11))
        .await
        .unwrap();
    take(&store, 9, 11).await;
    assert_eq!(told(&store, 12).await, [""; 0]);
    assert!(grant_lives(&store, 12).await);
}

async fn ends_are_told_page_by_page_and_from_where_one_left(store: Arc<dyn Store>) {
    for n in 0..7 {
        let id = format!("jti-{n}");
        // Some within one moment.
        let second = i64::from(n / 3);
        store
            .tell_end(EndKind::Token, &id, at(second))
            .await
            .unwrap();
    }
    let (mut place, mut pages) = (None, Vec::new());
    loop {
        let page = store.ends_after(place, 3, at(9)).await.unwrap();
        place = page.place;
        pages.push(words(&page));
        if page.is_all {
            break;
        }
    }
    let of = |these: &[u8]| these.iter().map(|n| format!("token jti-{n}")).collect();
    let expected: [Vec<String>; 3] = [of(&[0, 1, 2]), of(&[3, 4, 5]), of(&[6])];
    assert_eq!(pages, expected);
    assert_eq!(told_after(&store, place, 9).await, (vec![], place));
    // One whose clock goes slow: it is told behind the others all the same.
    store
        .tell_end(EndKind::Session, "late", at(-30))
        .await
        .unwrap();
    assert_eq!(told_after(&store, place, 9).await.0, ["session late"]);
}

async fn who_comes_with_a_place_that_is_not_ours_is_told_everything(store: Arc<dyn Store>) {
    for id in ["a", "b"] {
        store.tell_end(EndKind::Token, id, at(1)).await.unwrap();
    }
    let first = store.ends_after(None, 1, at(2)).await.unwrap();
    let place = first.place.expect("a place").to_string();
    let (number, mark) = place.split_once('.').expect("a number and a mark");
    let number: i64 = number.parse().expect("a number");
    for other in [
        format!("{number}.0000000000000000"),
        format!("{}.{mark}", number + 1_000_000),
        format!("{}.{mark}", number - 1),
        format!("-9223372036854775808.{mark}"),
        format!("9223372036854775807.{mark}"),
    ] {
        let other = Some(other.parse().expect("a place"));
        let all = told_after(&store, other, 2).await.0;
        assert_eq!(all, ["token a", "token b"], "{other:?}");
    }
    let known = Some(place.parse().expect("a place"));
    assert_eq!(told_after(&store, known, 2).await.0, ["token b"]);
}

async fn an_end_is_told_as_long_as_a_token_can_be_good(store: Arc<dyn Store>) {
    const LONGEST: i64 = 65 * 60;
    store.tell_end(EndKind::Token, "a", at(0)).await.unwrap();
    store.tell_end(EndKind::Token, "b", at(60)).await.unwrap();
    let page = store.ends_after(None, 9, at(61)).await.unwrap();
    assert_eq!(page.ends[0].told_until(), at(LONGEST));
    store.sweep(at(LONGEST - 1)).await.unwrap();
    assert_eq!(told(&store, LONGEST - 1).await, ["token a", "token b"]);
    assert_eq!(told(&store, LONGEST).await, ["token b"], "before a sweep");
    store.sweep(at(LONGEST)).await.unwrap();
    assert_eq!(told(&store, LONGEST).await, ["token b"]);
    // Whoever comes back then has missed nothing that matters.
    let late = told_after(&store, page.place, LONGEST + 60).await;
    assert_eq!(late.0, [""; 0]);
    store.sweep(at(LONGEST + 60)).await.unwrap();
    store
        .tell_end(EndKind::Token, "c", at(LONGEST + 61))
        .await
        .unwrap();
    let later = told_after(&store, page.place, LONGEST + 62).await;
    assert_eq!(later.0, ["token c"]);
}

async fn of_many_who_end_at_once_all_are_told(store: Arc<dyn Store>) {
    race(&store, |store, n| async move {
        let id = format!("jti-{n}");
        store.tell_end(EndKind::Token, &id, at(1)).await.unwrap();
        // Whoever has ended something finds it there.
        assert!(told(&store, 2).await.contains(&format!("token {id}")));
    })
    .await;
    let all: BTreeSet<String> = told(&store, 2).await.into_iter().collect();
    assert_eq!(all.len(), usize::from(RACERS));
}

async fn remember(store: &Arc<dyn Store>, n: u8, until: i64, second: i64) -> Seen {
    let key = Once(digest(n));
    let seen = store.remember(&key, at(until), at(second)).await;
    seen.unwrap()
}

async fn what_may_come_once_is_first_once(store: Arc<dyn Store>) {
    let is_known = async |n| store.is_remembered(&Once(digest(n)), at(1)).await.unwrap();
    assert!(!is_known(1).await);
    assert_eq!(remember(&store, 1, 60, 0).await, Seen::First);
    assert_eq!(remember(&store, 1, 60, 1).await, Seen::Before);
    assert_eq!(remember(&store, 2, 60, 1).await, Seen::First);
    assert!(is_known(1).await && is_known(2).await && !is_known(3).await);
}

async fn of_many_who_come_at_once_one_is_first(store: Arc<dyn Store>) {
    let seen = race(&store, |store, _| async move {
        remember(&store, 1, 60, 0).await
    })
    .await;
    let firsts = seen.iter().filter(|seen| **seen == Seen::First).count();
    assert_eq!(firsts, 1);
}

async fn what_came_is_remembered_until_its_time_and_no_longer(store: Arc<dyn Store>) {
    assert_eq!(remember(&store, 1, 60, 0).await, Seen::First);
    store.sweep(at(59)).await.unwrap();
    // Who comes again does not move the end.
    assert_eq!(remember(&store, 1, 600, 59).await, Seen::Before);
    let is_known = async |second| {
        let known = store.is_remembered(&Once(digest(1)), at(second)).await;
        known.unwrap()
    };
    assert!(is_known(59).await && !is_known(60).await);
    assert_eq!(remember(&store, 1, 120, 60).await, Seen::First);
    assert_eq!(remember(&store, 1, 120, 61).await, Seen::Before);
}

/// What the `n`th device asks for at second 0, until second 600.
fn device_request(n: u8) -> DeviceRequest {
    DeviceRequest {
        code_digest: digest(n),
        code: Code {
            redirect_uri: None,
            ..code(n)
        },
        address: Some("192.0.2.7".into()),
        program: None,
        tool: Some(ToolRequest {
            registry: RegistryName::new("crates").unwrap(),
            deed: Some("publish hello 1.0.0".into()),
        }),
        asked_at: at(0),
        expires_at: at(600),
        session_ends_at: Some(at(900)),
    }
}

async fn ask(store: &Arc<dyn Store>, n: u8, second: i64) -> Result<(), StoreError> {
    let id = DeviceRequestId(digest(n));
    let request = DeviceRequest {
        expires_at: at(second + 600),
        ..device_request(n)
    };
    store.open_device_request(&id, request, at(second)).await
}

async fn answered(store: &Arc<dyn Store>, n: u8, answer: DeviceAnswer, second: i64) -> bool {
    let id = DeviceRequestId(digest(n));
    let answered = store.answer_device_request(&id, answer, at(second)).await;
    answered.unwrap()
}

async fn what_a_device_asks_for_is_answered_once(store: Arc<dyn Store>) {
    let found = async |n| {
        let id = DeviceRequestId(digest(n));
        store.device_request(&id, at(1)).await.unwrap()
    };
    assert_eq!(found(1).await, None);
    ask(&store, 1, 0).await.unwrap();
    ask(&store, 2, 0).await.unwrap();
    assert_eq!(found(1).await, Some((device_request(1), None)));
    let again = ask(&store, 1, 1).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    let yes = DeviceAnswer::Session(session_id(7));
    assert!(answered(&store, 1, yes.clone(), 1).await);
    assert!(!answered(&store, 1, DeviceAnswer::Denied, 1).await);
    assert_eq!(found(1).await, Some((device_request(1), Some(yes))));
    assert!(answered(&store, 2, DeviceAnswer::Denied, 1).await);
    assert_eq!(
        found(2).await,
        Some((device_request(2), Some(DeviceAnswer::Denied)))
    );
    assert!(!answered(&store, 3, DeviceAnswer::Denied, 1).await);
}

async fn of_many_who_answer_a_device_one_is_heard(store: Arc<dyn Store>) {
    ask(&store, 1, 0).await.unwrap();
    let heard = race(&store, |store, n| async move {
        answered(&store, 1, DeviceAnswer::Session(session_id(n)), 1).await
    })
    .await;
    assert_eq!(heard.iter().filter(|heard| **heard).count(), 1);
}

async fn what_a_device_asks_for_ends_with_its_time(store: Arc<dyn Store>) {
    let is_there = async |second| {
        let id = DeviceRequestId(digest(1));
        let found = store.device_request(&id, at(second)).await;
        found.unwrap().is_some()
    };
    ask(&store, 1, 0).await.unwrap();
    store.sweep(at(599)).await.unwrap();
    assert!(is_there(599).await && !is_there(600).await);
    assert!(!answered(&store, 1, DeviceAnswer::Denied, 600).await);
    // Its user code is free again, and nothing of the first is left.
    assert!(answered(&store, 1, DeviceAnswer::Denied, 599).await);
    ask(&store, 1, 600).await.unwrap();
    assert!(answered(&store, 1, DeviceAnswer::Denied, 601).await);
}

const RATE: Rate = Rate::new(10, SignedDuration::from_mins(1));

/// How often it could be spent at that second, of twenty times.
async fn spent(store: &Arc<dyn Store>, bucket: u8, second: i64) -> usize {
    let mut within = 0;
    for _ in 0..20 {
        let spent = store.spend(&Bucket([bucket; 16]), RATE, at(second)).await;
        within += usize::from(spent.unwrap() == Spent::Within);
    }
    within
}

async fn so_much_fits_into_a_bucket_and_time_pays_it_back(store: Arc<dyn Store>) {
    assert_eq!(spent(&store, 1, 0).await, 10);
    assert_eq!(spent(&store, 2, 0).await, 10, "another pays for itself");
    let over = store.spend(&Bucket([1; 16]), RATE, at(0)).await.unwrap();
    assert_eq!(over, Spent::Over { until: at(6) });
    store.sweep(at(5)).await.unwrap();
    assert_eq!(spent(&store, 1, 5).await, 0);
    assert_eq!(spent(&store, 1, 6).await, 1);
    assert_eq!(spent(&store, 1, 36).await, 5);
    store.sweep(at(1000)).await.unwrap();
    assert_eq!(spent(&store, 1, 1000).await, 10);
}

async fn of_many_who_spend_at_once_as_many_as_fit_may(store: Arc<dyn Store>) {
    let spent = race(&store, |store, _| async move {
        store.spend(&Bucket([1; 16]), RATE, at(0)).await.unwrap()
    })
    .await;
    let within = spent.iter().filter(|one| **one == Spent::Within).count();
    assert_eq!(within, 10);
}

async fn a_clock_that_is_set_back_shuts_nobody_out_for_long(store: Arc<dyn Store>) {
    assert_eq!(spent(&store, 1, 100_000).await, 10);
    assert_eq!(spent(&store, 1, 0).await, 10);
    assert_eq!(spent(&store, 2, 100).await, 10);
    assert_eq!(spent(&store, 2, 70).await, 0, "another replica's clock");
    assert_eq!(spent(&store, 2, 106).await, 1);
}

async fn of_many_who_claim_an_identity_one_wins(store: Arc<dyn Store>) {
    let claimed = race(&store, |store, racer| async move {
        let account = store.claim_identity(&identity(1), account_id(racer)).await;
        account.unwrap()
    })
    .await;
    let winners: BTreeSet<AccountId> = claimed.into_iter().collect();
    assert_eq!(winners.len(), 1, "{winners:?} all won");
    let later = store.claim_identity(&identity(1), account_id(200)).await;
    assert!(winners.contains(&later.unwrap()));
}

async fn an_identity_is_released_by_whose_it_is(store: Arc<dyn Store>) {
    let (mine, other) = (account_id(1), account_id(2));
    let claim = |who: AccountId| {
        let store = store.clone();
        async move { store.claim_identity(&identity(1), who).await.unwrap() }
    };
    assert_eq!(claim(mine.clone()).await, mine);
    store.release_identity(&identity(1), &other).await.unwrap();
    assert_eq!(claim(other.clone()).await, mine);
    for _ in 0..2 {
        store.release_identity(&identity(1), &mine).await.unwrap();
    }
    assert_eq!(store.account_of(&identity(1)).await.unwrap(), None);
    assert_eq!(claim(other.clone()).await, other);
}

async fn identities_of_different_kinds_do_not_meet(store: Arc<dyn Store>) {
    let tenant = countersign_core::TenantId::new("6e93a626-8aca-4dc1-9191-ce291b4b75a1").unwrap();
    let all = [
        identity(1),
        Identity::Oidc {
            issuer: "https://github.com".into(),
            subject: "1".into(),
        },
        Identity::Oidc {
            issuer: "https://github.com".into(),
            subject: "1 ".into(),
        },
        Identity::Microsoft {
            tid: tenant,
            oid: "1".into(),
        },
    ];
    for (identity, n) in all.iter().zip(1..) {
        let claimed = store.claim_identity(identity, account_id(n)).await.unwrap();
        assert_eq!(claimed, account_id(n), "{identity} leads elsewhere");
    }
}

async fn an_account_is_found_by_id_and_by_identity(store: Arc<dyn Store>) {
    let account = account(1);
    let claimed = store.claim_identity(&identity(1), account_id(1)).await;
    assert_eq!(claimed.unwrap(), account_id(1));
    let early = store.account_of(&identity(1)).await.unwrap();
    assert_eq!(early, None, "a claim alone is no account");
    let put = store.put_account_if_absent(account.clone()).await.unwrap();
    assert_eq!(put.0, account);
    let found = Some(put);
    assert_eq!(store.account(&account_id(1)).await.unwrap(), found);
    assert_eq!(store.account_of(&identity(1)).await.unwrap(), found);
    assert_eq!(store.account(&account_id(2)).await.unwrap(), None);
    assert_eq!(store.account_of(&identity(2)).await.unwrap(), None);
}

async fn the_first_record_of_an_account_stays(store: Arc<dyn Store>) {
    let first = store.put_account_if_absent(account(1)).await.unwrap();
    let mut other = account(1);
    other.profile.name = Some("Somebody Else".into());
    let answer = store.put_account_if_absent(other).await.unwrap();
    assert_eq!(answer, first);
    assert_eq!(store.account(&account_id(1)).await.unwrap(), Some(first));
}

async fn a_record_is_replaced_only_by_who_read_it_last(store: Arc<dyn Store>) {
    let (mut record, first) = store.put_account_if_absent(account(1)).await.unwrap();
    record.first_mfa_at = Some(at(5));
    let second = store.replace_account(record.clone(), first).await.unwrap();
    assert_ne!(second, first);
    for stale in [first, Version(0), Version(u64::MAX)] {
        let refused = store.replace_account(account(1), stale).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{stale:?}");
    }
    let found = store.account(&account_id(1)).await.unwrap();
    assert_eq!(found, Some((record, second)));
    let absent = store.replace_account(account(2), second).await;
    assert!(matches!(absent, Err(StoreError::Conflict)));
    assert_eq!(store.account(&account_id(2)).await.unwrap(), None);
}

async fn of_many_who_replace_a_record_one_wins(store: Arc<dyn Store>) {
    let (_, version) = store.put_account_if_absent(account(1)).await.unwrap();
    let replaced = race(&store, move |store, racer| async move {
        let mut mine = account(1);
        mine.profile.name = Some(format!("Racer {racer}"));
        match store.replace_account(mine.clone(), version).await {
            Ok(version) => Some((mine, version)),
            Err(StoreError::Conflict) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let winners: Vec<(Account, Version)> = replaced.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    let found = store.account(&account_id(1)).await.unwrap();
    assert_eq!(found.as_ref(), winners.first());
}

async fn accounts_are_listed_page_by_page(store: Arc<dyn Store>) {
    // Written in another order than listed.
    for n in (1..=100).rev() {
        store.put_account_if_absent(account(n)).await.unwrap();
    }
    let mut expected: Vec<Account> = (1..=100).map(account).collect();
    expected.sort_by(|one, other| one.id.cmp(&other.id));

    let mut listed: Vec<Account> = Vec::new();
    loop {
        let after = listed.last().map(|account| &account.id);
        let page = store.list_accounts(after, 7).await.unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
        assert!(listed.len() <= expected.len(), "some are listed twice");
    }
    assert_eq!(listed, expected);

    let all = store.list_accounts(None, usize::MAX).await.unwrap();
    assert_eq!(all, expected);
    assert_eq!(store.list_accounts(None, 0).await.unwrap(), []);
    // A cursor is a place, not a record: its account need not be there any more.
    let gone = AccountId::new("acct_0").unwrap();
    let first = store.list_accounts(Some(&gone), 1).await.unwrap();
    assert_eq!(first, expected[..1]);
}

async fn all_that_is_known_of_an_account_is_kept(store: Arc<dyn Store>) {
    let known = Account {
        linked: vec![crate::LinkedIdentity {
            identity: identity(9),
            at: at(3),
        }],
        first_mfa_at: Some(at(1)),
        registered_at: Some(at(-1_000_000_000)),
        registry_account: Some(registry_account(1).name),
        vouched_email: Some(VouchedEmail {
            address: address(1),
            at: at(2),
        }),
        told_due: Some(jiff::civil::date(2027, 4, 1)),
        reminded_on: Some(jiff::civil::date(2027, 3, 9)),
        seen_on: Some(jiff::civil::date(2027, 3, 8)),
        locked: Some(Lock {
            at: at(9),
            reason: "reported as taken over".into(),
        }),
        ..account(1)
    };
    let put = store.put_account_if_absent(known.clone()).await.unwrap();
    assert_eq!(put.0, known);
    assert_eq!(store.account(&account_id(1)).await.unwrap(), Some(put));
    let listed = store.list_accounts(None, 1).await.unwrap();
    assert_eq!(listed, [known]);
}

async fn a_registry_account_is_found_by_its_name_to_the_letter(store: Arc<dyn Store>) {
    let names = [
        "ann",
        "Ann",
        "ann:1",
        "{ann}",
        "Zoë",
        "Zoe\u{308}",
        "ann example",
    ];
    for (name, n) in names.into_iter().zip(1..) {
        let record = RegistryAccount {
            name: RegistryAccountName::new(name).expect("a name"),
            ..registry_account(n)
        };
        assert_eq!(store.registry_account(&record.name).await.unwrap(), None);
        let put = store.put_registry_account_if_absent(record.clone()).await;
        let put = put.unwrap();
        assert_eq!(put.0, record);
        let found = store.registry_account(&record.name).await.unwrap();
        assert_eq!(found, Some(put), "{name}");
    }
}

async fn of_many_who_tell_of_a_registry_account_first_one_is_kept(store: Arc<dyn Store>) {
    let answers = race(&store, |store, racer| async move {
        let mine = RegistryAccount {
            registered_at: at(racer.into()),
            ..registry_account(1)
        };
        let kept = store.put_registry_account_if_absent(mine).await;
        kept.unwrap()
    })
    .await;
    let first = answers[0].clone();
    assert!(answers.iter().all(|answer| *answer == first));
    let found = store.registry_account(&first.0.name).await.unwrap();
    assert_eq!(found, Some(first));
}

async fn a_registry_account_is_replaced_only_by_who_read_it_last(store: Arc<dyn Store>) {
    let put = store.put_registry_account_if_absent(registry_account(1));
    let (mut record, first) = put.await.unwrap();
    record.account = Some(account_id(1));
    let replaced = store.replace_registry_account(record.clone(), first).await;
    let second = replaced.unwrap();
    assert_ne!(second, first);
    for stale in [first, Version(0), Version(u64::MAX)] {
        let refused = store
            .replace_registry_account(registry_account(1), stale)
            .await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{stale:?}");
    }
    let found = store.registry_account(&record.name).await.unwrap();
    assert_eq!(found, Some((record, second)));
    let absent = registry_account(2);
    let refused = store.replace_registry_account(absent.clone(), second).await;
    assert!(matches!(refused, Err(StoreError::Conflict)));
    assert_eq!(store.registry_account(&absent.name).await.unwrap(), None);
}

async fn of_many_who_replace_a_registry_account_one_wins(store: Arc<dyn Store>) {
    let put = store.put_registry_account_if_absent(registry_account(1));
    let (_, version) = put.await.unwrap();
    let replaced = race(&store, move |store, racer| async move {
        let mine = RegistryAccount {
            account: Some(account_id(racer)),
            ..registry_account(1)
        };
        match store.replace_registry_account(mine.clone(), version).await {
            Ok(version) => Some((mine, version)),
            Err(StoreError::Conflict) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let winners: Vec<(RegistryAccount, Version)> = replaced.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    let found = store.registry_account(&winners[0].0.name).await.unwrap();
    assert_eq!(found.as_ref(), winners.first());
}

fn key(name: &str, byte: u8) -> StoredKey {
    StoredKey {
        name: name.into(),
        created_at: at(0) + SignedDuration::from_nanos(123_456_789),
        material: KeyMaterial(vec![byte; 1200]),
    }
}

async fn a_key_is_replaced_only_by_who_read_it_last(store: Arc<dyn Store>) {
    let (first, other) = (key("a", 1), key("b", 1));
    let unknown = store.replace_key(&first, KeyMaterial(vec![2])).await;
    assert!(matches!(unknown, Err(StoreError::Conflict)), "{unknown:?}");
    assert_eq!(store.list_keys().await.unwrap(), [], "a key was made");
    store.put_key_if_absent(first.clone()).await.unwrap();
    store.put_key_if_absent(other.clone()).await.unwrap();
    let longer = KeyMaterial((0..=255).cycle().take(20_000).collect());
    store.replace_key(&first, longer.clone()).await.unwrap();
    let second = StoredKey {
        material: longer,
        ..first.clone()
    };
    let late = store.replace_key(&first, KeyMaterial(vec![3])).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    let listed = store.list_keys().await.unwrap();
    assert_eq!(listed, [second.clone(), other.clone()]);
    store
        .replace_key(&second, first.material.clone())
        .await
        .unwrap();
    assert_eq!(store.put_key_if_absent(second).await.unwrap(), first);
}

async fn of_many_who_replace_a_key_one_wins(store: Arc<dyn Store>) {
    store.put_key_if_absent(key("a", 0)).await.unwrap();
    let replaced = race(&store, |store, racer| async move {
        match store
            .replace_key(&key("a", 0), key("a", racer).material)
            .await
        {
            Ok(()) => Some(racer),
            Err(StoreError::Conflict) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let winners: Vec<u8> = replaced.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.list_keys().await.unwrap(), [key("a", winners[0])]);
}

async fn the_first_key_of_a_name_stays(store: Arc<dyn Store>) {
    assert_eq!(store.list_keys().await.unwrap(), []);
    let answers = race(&store, move |store, racer| async move {
        store.put_key_if_absent(key("b", racer)).await.unwrap()
    })
    .await;
    let first = answers[0].clone();
    assert!(answers.iter().all(|answer| *answer == first));
    store.put_key_if_absent(key("a", 0)).await.unwrap();
    assert_eq!(store.list_keys().await.unwrap(), [key("a", 0), first]);
}

fn head(replica: &str, n: u64) -> AuditHead {
    AuditHead {
        replica: ReplicaId::new(replica).unwrap(),
        n,
        hash: ChainHash([u8::try_from(n % 251).unwrap(); 32]),
        time: at(i64::try_from(n).unwrap()) + SignedDuration::from_nanos(123_456_789),
    }
}

async fn a_head_of_a_chain_stays_what_it_is(store: Arc<dyn Store>) {
    assert_eq!(store.audit_heads().await.unwrap(), []);
    store.put_audit_head(&head("a", 7)).await.unwrap();
    store.put_audit_head(&head("a", 7)).await.unwrap();
    let other = AuditHead {
        hash: ChainHash([9; 32]),
        ..head("a", 7)
    };
    let refused = store.put_audit_head(&other).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    // One that comes late is kept too: it says of earlier lines what the last says of all.
    store.put_audit_head(&head("a", 5)).await.unwrap();
    let heads = store.audit_heads().await.unwrap();
    assert_eq!(heads, [head("a", 5), head("a", 7)]);
}

async fn heads_are_listed_by_chain_and_the_last_are_kept(store: Arc<dyn Store>) {
    let kept = u64::try_from(crate::HEADS_KEPT).unwrap();
    for n in 1..=kept + 2 {
        store.put_audit_head(&head("b", n * 3)).await.unwrap();
    }
    for chain in ["b-c", "a", "b0"] {
        store.put_audit_head(&head(chain, 1)).await.unwrap();
    }
    let heads = store.audit_heads().await.unwrap();
    let of_b = (3..=kept + 2).map(|n| head("b", n * 3));
    let all = [head("a", 1)].into_iter().chain(of_b);
    let all: Vec<AuditHead> = all.chain([head("b-c", 1), head("b0", 1)]).collect();
    assert_eq!(heads, all);
}

async fn sweeping_forgets_nothing_that_is_needed(store: Arc<dyn Store>) {
    store.open_session(opening(1), at(0)).await.unwrap();
    store.open_session(opening(2), at(0)).await.unwrap();
    store
        .claim_identity(&identity(1), account_id(1))
        .await
        .unwrap();
    store.put_account_if_absent(account(1)).await.unwrap();
    assert!(is_fresh(&take(&store, 1, 1).await));
    store.open_grant(grant(1)).await.unwrap();
    store.sweep(at(CODE - 1)).await.unwrap();
    assert!(is_fresh(&take(&store, 2, CODE - 1).await));
    assert!(is_replayed(&take(&store, 2, CODE - 1).await));
    store.sweep(at(SESSION - 1)).await.unwrap();
    assert!(lives(&store, 1, SESSION - 1).await);
    let of_session = store
        .grant(&session_id(1), &grant(1).id, at(SESSION - 1))
        .await;
    assert!(of_session.unwrap().is_some(), "its grant was forgotten");
    store.sweep(at(1_000_000_000)).await.unwrap();
    assert!(store.account_of(&identity(1)).await.unwrap().is_some());
    assert!(!lives(&store, 1, SESSION).await);
}

/// All that ends the `n`th attempt, begun at second 0.
pub fn opening(n: u8) -> Opening {
    Opening {
        attempt: attempt(n),
        attempt_remembered_until: at(ATTEMPT),
        session: session(n),
        idle_until: at(SESSION),
        code_digest: digest(n),
        code: code(n),
    }
}

/// The `n`th account.
pub fn account(n: u8) -> Account {
    let profile = Profile {
        name: Some(format!("Zoë \"Z\" N° {n}")),
        ..Profile::default()
    };
    Account::new(account_id(n), identity(n), profile, at(0))
}

/// The `n`th registry account, of which no owner is known.
pub fn registry_account(n: u8) -> RegistryAccount {
    RegistryAccount {
        name: RegistryAccountName::new(format!("Zoë {n}")).expect("a name"),
        registered_at: at(i64::from(n)) + SignedDuration::from_nanos(123_456_789),
        verified_email: Some(address(n)),
        account: None,
        organization: None,
    }
}

fn address(n: u8) -> EmailAddress {
    EmailAddress::new(format!("zoe+{n}@registry.example")).expect("an address")
}

/// The moment so many seconds after the suite's beginning.
pub fn at(second: i64) -> Timestamp {
    const BEGINNING: i64 = 1_800_000_000;
    Timestamp::from_second(BEGINNING + second).expect("a time of this century")
}

fn session(n: u8) -> Session {
    Session {
        id: session_id(n),
        account: account_id(n),
        evidence: Evidence {
            provider: ProviderId::new("github").expect("a name"),
            identity: identity(n),
            claims: Claims::default(),
            profile: Profile::default(),
            membership: countersign_core::Claim::Absent,
            affiliation: countersign_core::Affiliation::default(),
            provider_session: Some(format!("sid {n}")),
            verified_at: at(0),
        },
        opened_at: at(0),
        expires_at: at(SESSION),
        earlier: Vec::new(),
    }
}

fn code(n: u8) -> Code {
    Code {
        client: client_id("registry"),
        redirect_uri: Some(format!("https://registry.example/callback?n={n}")),
        code_challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into()),
        nonce: Some("n-0S6_WzA2Mj".into()),
        scopes: vec![Scope::new("openid").expect("a scope")],
        acr_values: Vec::new(),
        resource: None,
        dpop_jkt: None,
        trace: Some(
            TracePlace::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                .expect("a place in a trace"),
        ),
        organization: None,
        expires_at: at(CODE),
    }
}

fn client_id(text: &str) -> ClientId {
    ClientId::new(text).expect("a client")
}

fn attempt(n: u8) -> AttemptId {
    AttemptId::new(format!("{n:032x}")).expect("an attempt")
}

fn session_id(n: u8) -> SessionId {
    SessionId::of(&attempt(n))
}

fn account_id(n: u8) -> AccountId {
    AccountId::new(format!("acct_{n}")).expect("an account id")
}

fn identity(n: u8) -> Identity {
    Identity::GitHub {
        host: "github.com".into(),
        id: u64::from(n),
    }
}

fn digest(n: u8) -> [u8; 32] {
    [n; 32]
}

fn is_replayed(taken: &TakenCode) -> bool {
    matches!(taken, TakenCode::Replayed(_))
}

fn is_fresh(taken: &TakenCode) -> bool {
    matches!(taken, TakenCode::Fresh { .. })
}

/// Takes the `n`th code at that second.
async fn take(store: &Arc<dyn Store>, n: u8, second: i64) -> TakenCode {
    let code = CodeDigest {
        session: session_id(n),
        digest: digest(n),
    };
    store.take_code(&code, at(second)).await.unwrap()
}

async fn lives(store: &Arc<dyn Store>, n: u8, second: i64) -> bool {
    let session = store.session(&session_id(n), at(second)).await;
    session.unwrap().is_some()
}
