//! What a broker has to get right at each kind of provider, case by case.
//!
//! A case is a sign-in at a stand-in that was turned in one way, and how it ends. `tests/cases.md`
//! says which test holds which case of the list that these were taken from.

mod entra;
mod flow;
mod github;
mod microsoft_account;
mod oidc;
mod policy;
mod second_opinion;
mod when;

use countersign_dev_idp::{Behaviour, Control, Edit, Received};
use countersign_tests::{Browser, Login, Outcome, Tokens, World};
use serde_json::{Value, json};

/// A world, and the cases that are tried in it one after the other.
struct Cases {
    world: World,
    /// Making a browser is dear, and copying one that has not been used is cheap.
    fresh: Browser,
}

/// The usual behaviour of a stand-in.
fn usual(_: &mut Behaviour) {}

impl Cases {
    async fn new() -> Self {
        let world = World::new().await;
        world.share_clock();
        Self {
            world,
            fresh: Browser::new(),
        }
    }

    /// The stand-in behind a provider of the broker's.
    fn stand_in(&self, provider: &str) -> &Control {
        match provider {
            "github" => self.world.github.control(),
            "oidc" => self.world.oidc.control(),
            _ => self.world.entra.control(),
        }
    }

    /// Lets time pass for the broker and all stand-ins.
    fn later(&self, seconds: i64) {
        self.world.broker.clock.advance(seconds);
    }

    /// Signs in at a stand-in that is turned so, up to the first page for a person.
    async fn sign_in(&self, login: &Login, turn: impl FnOnce(&mut Behaviour)) -> Outcome {
        let control = self.stand_in(login.provider);
        control.clear_log();
        control.set(turn);
        let outcome = self.world.sign_in(&mut self.fresh.clone(), login).await;
        control.reset();
        outcome
    }

    /// The same, and takes the step-up where it is offered.
    async fn sign_in_with_step_up(
        &self,
        login: &Login,
        turn: impl FnOnce(&mut Behaviour),
    ) -> Outcome {
        let control = self.stand_in(login.provider);
        control.clear_log();
        control.set(turn);
        let mut browser = self.fresh.clone();
        let outcome = self.world.sign_in_with_step_up(&mut browser, login).await;
        control.reset();
        outcome
    }

    /// How the first leg ends.
    async fn check(
        &self,
        case: &str,
        login: &Login,
        turn: impl FnOnce(&mut Behaviour),
        expected: &str,
    ) {
        let outcome = self.sign_in(login, turn).await;
        assert_eq!(
            outcome.summary(),
            expected,
            "{case}: {}",
            outcome.page().body
        );
    }

    /// How the sign-in ends once the step-up has been taken.
    async fn check_to_the_end(
        &self,
        case: &str,
        login: &Login,
        turn: impl FnOnce(&mut Behaviour),
        expected: &str,
    ) {
        let outcome = self.sign_in_with_step_up(login, turn).await;
        assert_eq!(
            outcome.summary(),
            expected,
            "{case}: {}",
            outcome.page().body
        );
    }

    /// The tokens of a sign-in that must succeed.
    async fn tokens(&self, login: &Login, turn: impl FnOnce(&mut Behaviour)) -> Tokens {
        let code = self.sign_in(login, turn).await.code();
        let tokens = self.world.redeem(&code).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        tokens
    }

    /// The account that a sign-in must lead to.
    async fn account(&self, login: &Login, turn: impl FnOnce(&mut Behaviour)) -> String {
        let tokens = self.tokens(login, turn).await;
        tokens.id()["sub"].as_str().expect("a subject").to_owned()
    }

    /// What the broker asked of the provider, leg by leg, in a sign-in with its step-up.
    async fn asked(&self, login: &Login, turn: impl FnOnce(&mut Behaviour)) -> Vec<Received> {
        self.sign_in_with_step_up(login, turn).await;
        self.stand_in(login.provider).authorize_requests()
    }

    /// Goes through a table of claims that are broken one at a time in one channel, and says which
    /// ended in another way than the table has it.
    async fn broken_claims(
        &self,
        login: &Login,
        channel: Channel,
        turn: impl Fn(&mut Behaviour),
        table: &[Row],
    ) {
        let mut wrong = Vec::new();
        for (claim, expected) in table {
            for (shape, expected) in SHAPES.iter().zip(expected) {
                let outcome = self
                    .sign_in(login, |behaviour| {
                        turn(behaviour);
                        channel.edit(behaviour, shape.applied_to(claim));
                    })
                    .await
                    .summary();
                if outcome != *expected {
                    wrong.push(format!(
                        "`{claim}` {} in {channel:?}: {outcome}, not {expected}",
                        shape.name()
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{login:?}\n{}", wrong.join("\n"));
    }
}

/// Which of the two ID tokens of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    /// The one that comes through the browser.
    Front,
    /// The one of the token endpoint.
    Back,
}

impl Channel {
    fn edit(self, behaviour: &mut Behaviour, edit: Edit) {
        match self {
            Self::Front => behaviour.front.claims.push(edit),
            Self::Back => behaviour.back.claims.push(edit),
        }
    }
}

/// A claim, and how a sign-in ends with it in each of [`SHAPES`].
type Row = (&'static str, [&'static str; 7]);

/// How a claim is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Absent,
    Number,
    Array,
    Object,
    Null,
    Bool,
    OtherText,
}

/// The columns of a table of broken claims.
const SHAPES: [Shape; 7] = [
    Shape::Absent,
    Shape::Number,
    Shape::Array,
    Shape::Object,
    Shape::Null,
    Shape::Bool,
    Shape::OtherText,
];

impl Shape {
    fn applied_to(self, claim: &str) -> Edit {
        let value = match self {
            Self::Absent => return Edit::remove(claim),
            Self::Number => json!(7),
            Self::Array => json!(["other"]),
            Self::Object => json!({ "other": true }),
            Self::Null => Value::Null,
            Self::Bool => json!(true),
            Self::OtherText => json!("other"),
        };
        Edit::set(claim, value)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Number => "as a number",
            Self::Array => "as an array",
            Self::Object => "as an object",
            Self::Null => "as null",
            Self::Bool => "as a boolean",
            Self::OtherText => "with another text",
        }
    }
}

/// The ends that tables of broken claims know, short enough for a table.
mod end {
    /// The client gets its code.
    pub(super) const OK: &str = "code";
    /// The token is refused.
    pub(super) const NO: &str = "refused: id-token-invalid";
    /// The provider says that there was no second factor.
    pub(super) const ABSENT: &str = "step-up: mfa-absent";
    /// The provider says nothing.
    pub(super) const UNKNOWN: &str = "step-up: mfa-unknown";
    /// The evidence can't be read.
    pub(super) const MALFORMED: &str = "step-up: evidence-malformed";
    /// Two tokens of one login disagree.
    pub(super) const CONTRADICTORY: &str = "step-up: evidence-contradictory";
    /// The tenant's context has no meaning here.
    pub(super) const UNNAMED: &str = "step-up: tenant-context-unnamed";
}

/// Claims that no sign-in rests on here: whatever stands in them, it neither helps nor harms.
fn unread(claims: &[&'static str]) -> Vec<Row> {
    claims.iter().map(|claim| (*claim, [end::OK; 7])).collect()
}

/// Every claim that a provider may send.
const ALL_CLAIMS: [&str; 20] = [
    "iss",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "sub",
    "tid",
    "oid",
    "ver",
    "acr",
    "acrs",
    "amr",
    "auth_time",
    "email",
    "xms_edov",
    "acct",
    "c_hash",
    "at_hash",
];

/// Changes a claim in the tokens of both channels.
fn in_both(edit: Edit) -> impl Fn(&mut Behaviour) {
    move |behaviour| {
        for channel in [Channel::Front, Channel::Back] {
            channel.edit(behaviour, edit.clone());
        }
    }
}

/// Two members of one name, of which some readers take the first and some the last.
fn twice(claim: &str) -> Vec<Edit> {
    vec![Edit::append(claim, "other"), Edit::append(claim, "other")]
}
