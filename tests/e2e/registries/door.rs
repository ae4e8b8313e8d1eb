//! A registry at our door, and what people come there with: a key that is good, and those that are not.

use countersign_core::calendar::day_of;
use countersign_server::{Clock, Resource, SigningAlgorithm};
use countersign_tests::{BrokerSetup, Login, TestBroker, World, wire};
use jiff::Span;
use serde_json::{Value, json};

use super::let_tools_in;
use crate::linking::tokens;

/// What is asked of whoever publishes.
const DEMANDS: &str = "needs = \"mfa\"\naccepts = [\"session\", \"enrolment\", \"tenant\"]\nmax_evidence_age = \"1h\"\nfresh_at_use = true\n";
/// Whoever signs in makes keys: what those are good for, the other tiers say.
const KEYS: &str = "\n[tier.keys]\nscopes = [\"api-keys:write\"]\nneeds = \"none\"\n";
const DAY: i64 = 24 * 60 * 60;

/// A registry that tools reach through us.
pub(super) struct Door {
    pub(super) world: World,
    /// Where they reach it.
    pub(super) url: String,
}

/// A key that is not let publish, and what the tool's user is to read.
pub(super) struct Refused {
    pub(super) key: String,
    /// Of a tool that says by 401 that it wants a credential.
    pub(super) status: u16,
    pub(super) words: String,
}

impl Door {
    /// In front of a registry of this kind, at this address. For now nothing is asked of whoever publishes:
    /// [`Door::demand`] begins it.
    pub(super) async fn before(profile: &str, upstream: &str) -> Self {
        Self::changed(profile, upstream, |_| {}).await
    }

    /// The same where something else is changed besides.
    pub(super) async fn changed(
        profile: &str,
        upstream: &str,
        change: impl FnOnce(&mut BrokerSetup),
    ) -> Self {
        let mut url = String::new();
        let world = World::with(|setup| {
            let_tools_in(setup);
            setup.policy.push_str(KEYS);
            let gallery = "[client.gallery]\ntier = ";
            setup.policy = without_demands(&setup.policy).replace(
                &format!("{gallery}\"manage\""),
                &format!("{gallery}\"browse\""),
            );
            let api = format!("{}/api/v1", setup.issuer());
            let algorithm = SigningAlgorithm::Es256;
            setup.resources.insert(api.clone(), Resource { algorithm });
            setup.gallery().other_resources.insert(api);
            url = setup.stand_before(profile, Some(upstream));
            change(setup);
        })
        .await;
        world.share_clock();
        Self { world, url }
    }

    /// The policy asks for a second factor from now on, shown within the hour.
    pub(super) fn demand(&self) {
        let policy = &self.world.broker.policy_text;
        let lenient =
            "scopes = [\"packages:publish\", \"packages:unpublish\", \"collaborators:write\"]\n";
        let policy = policy.replace(
            &format!("{lenient}needs = \"none\"\n"),
            &format!("{lenient}{DEMANDS}"),
        );
        assert_ne!(policy, self.world.broker.policy_text);
        self.world.broker.enforce(&policy);
    }

    /// It is announced today that keys end which were made as all of these were.
    pub(super) fn end_keys_in_40_days(&self) {
        end_keys_in_40_days(&self.world.broker);
    }

    /// A key of somebody's who signs in now with a second factor.
    pub(super) async fn good_key(&self) -> String {
        self.key(&ann(), "tools", json!({})).await
    }

    /// A key that is made under this login, for the tools of this client; for a month and all packages, unless it is said
    /// otherwise.
    pub(super) async fn key(&self, login: &Login, client: &str, otherwise: Value) -> String {
        let broker = &self.world.broker;
        let login = login
            .clone()
            .with("scope", "openid api-keys:write")
            .with("resource", &format!("{}/api/v1", broker.issuer));
        let token = tokens(&self.world, &login).await;
        let authorization = format!("Bearer {}", token.text("access_token"));
        let headers = [
            ("content-type", "application/json"),
            ("authorization", authorization.as_str()),
        ];
        let mut asked = json!({
            "name": "a tool", "client": client, "packages": [], "days": 30,
            "scopes": ["packages:publish", "packages:unpublish"],
        });
        let members = asked.as_object_mut().expect("an object");
        members.extend(otherwise.as_object().expect("an object").clone());
        let made = wire::send(
            "POST",
            &broker.issuer,
            "/api/v1/api-keys",
            &headers,
            &asked.to_string(),
        )
        .await;
        assert_eq!(made.status, 201, "{}", made.body);
        let made: Value = serde_json::from_str(&made.body).expect("JSON");
        made["key"].as_str().expect("a key").to_owned()
    }

    /// Keys that are good for nothing, from the day on that the policy asks for a second factor: made without one, long ago,
    /// for a day that is over, and for another registry.
    pub(super) async fn refused(&self) -> Vec<Refused> {
        let without_mfa = self
            .key(&Login::new("github", "bob-password"), "tools", json!({}))
            .await;
        let stale = self.good_key().await;
        let ended = self.key(&ann(), "tools", json!({"days": 1})).await;
        let of_another = self.key(&ann(), "gallery", json!({})).await;
        self.demand();
        self.world.broker.clock.advance(2 * DAY);
        let all = [
            (
                without_mfa,
                403,
                "This sign-in did not use multi-factor authentication. \
                 Sign in with multi-factor authentication and make a new API key at KEYS",
            ),
            (
                stale,
                403,
                "Your sign-in here was verified too long ago for this. Sign in again and make a new API key at KEYS",
            ),
            (
                ended,
                401,
                "This API key has ended. Make an API key at KEYS",
            ),
            (
                of_another,
                401,
                "This API key is for another registry. Make an API key at KEYS",
            ),
        ];
        let all = all.map(|(key, status, words)| Refused {
            key,
            status,
            words: self.words(words),
        });
        all.into()
    }

    /// What the tool's user is to read, with the page of their keys for `KEYS`.
    pub(super) fn words(&self, text: &str) -> String {
        let page = format!("{}/account/keys", self.world.broker.issuer);
        text.replace("KEYS", &page)
    }
}

pub(super) fn ann() -> Login {
    Login::new("oidc", "ann-mfa")
}

fn without_demands(policy: &str) -> String {
    let changed = policy.replace(DEMANDS, "needs = \"none\"\n");
    assert_ne!(changed, policy);
    changed
}

/// What [`Door::end_keys_in_40_days`] does, at any broker whose policy has keys as [`let_tools_in`] has them.
pub(super) fn end_keys_in_40_days(broker: &TestBroker) {
    let today = day_of(broker.clock.now());
    let last = today.saturating_add(Span::new().days(40));
    let sunset = format!("sunset = {{ announced = {today}, without_mfa_context_expire = {last} }}");
    let (head, keys) = broker
        .policy_text
        .split_once("[api_keys]")
        .expect("a table");
    let all = "accepts = [\"session\", \"enrolment\", \"tenant\"]";
    assert!(keys.contains(all), "{keys}");
    let keys = keys.replacen(all, &format!("accepts = [\"tenant\"]\n{sunset}"), 1);
    broker.enforce(&format!("{head}[api_keys]{keys}"));
}
