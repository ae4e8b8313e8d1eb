//! Made-up decision logs: people who sign in at random, the same ones for the same seed.

use std::collections::BTreeSet;

use countersign_core::{
    AccountFacts, AccountId, Claim, Claims, ClientId, Demands, Facts, LineVersion, Login, Occasion,
    OrganizationId, Outcome, Policy, ProviderId, Record, Remedy, Scope, TenantId, Verdict, decide,
};
use jiff::{SignedDuration, Timestamp};

/// Sign-ins that a policy has decided, without end: a second leg where one was asked for (most
/// people come back, and most of these with a second factor), and a token where one was let in.
#[derive(Debug)]
pub struct MadeUpLog<'a> {
    policy: &'a Policy,
    hash: &'a str,
    dice: Dice,
    began: Timestamp,
    now: Timestamp,
    step: SignedDuration,
    accounts: u64,
    clients: Vec<ClientId>,
    providers: Vec<ProviderId>,
    scopes: Vec<Scope>,
    organizations: Vec<(OrganizationId, TenantId)>,
    ready: Vec<Record>,
}

impl<'a> MadeUpLog<'a> {
    /// Sign-ins from `from` on, one every `step`, of so many accounts. `hash` is the policy's.
    pub fn new(
        (policy, hash): (&'a Policy, &'a str),
        from: Timestamp,
        step: SignedDuration,
        accounts: u64,
    ) -> Self {
        let tenant = |id: &OrganizationId| policy.organization(id)?.tenants.first().cloned();
        let organizations = policy.organizations();
        Self {
            policy,
            hash,
            dice: Dice(7),
            began: from,
            now: from,
            step,
            accounts,
            clients: policy.clients().cloned().collect(),
            providers: policy.providers().cloned().collect(),
            scopes: policy.scopes().cloned().collect(),
            organizations: organizations
                .filter_map(|id| Some((id.clone(), tenant(id)?)))
                .collect(),
            ready: Vec::new(),
        }
    }

    /// So many lines of the log.
    pub fn lines(self, count: usize) -> String {
        let mut text = String::new();
        for record in self.take(count) {
            text.push_str(&serde_json::to_string(&record).expect("JSON"));
            text.push('\n');
        }
        text
    }

    /// One sign-in, to its end.
    fn sign_in(&mut self) -> Vec<Record> {
        self.now += self.step;
        let facts = self.facts();
        let first = self.record(Occasion::SignIn, facts);
        let mut records = vec![first];
        if records[0].verdict.outcome == Outcome::StepUp && self.dice.is_below(80) {
            let mut facts = records[0].facts.clone();
            facts.remedy = Remedy::Nothing;
            if self.dice.is_below(80) {
                facts.login.claims = self.claims_of(&facts.login.provider, Shown::Mfa);
            }
            self.now += SignedDuration::from_secs(20);
            facts.login.verified_at = self.now;
            records.push(self.record(Occasion::SignIn, facts));
        }
        let last = records
            .last()
            .filter(|last| last.verdict.outcome == Outcome::Permit);
        if let Some(mut facts) = last.map(|last| last.facts.clone()) {
            facts.remedy = Remedy::Nothing;
            facts.session_expires_at = Some(self.now + SignedDuration::from_hours(12));
            self.now += SignedDuration::from_secs(1);
            records.push(self.record(Occasion::Token, facts));
        }
        records
    }

    fn record(&mut self, occasion: Occasion, facts: Facts) -> Record {
        Record {
            v: LineVersion,
            time: self.now,
            request_id: format!("{:016x}", self.dice.roll()),
            occasion,
            policy: self.hash.to_owned(),
            verdict: Verdict::from(&decide(self.policy, &facts, self.now)),
            facts,
        }
    }

    fn facts(&mut self) -> Facts {
        let provider = self.dice.one_of(&self.providers).clone();
        let shown = match self.dice.below(10) {
            0..5 => Shown::Mfa,
            5..8 => Shown::Password,
            _ => Shown::Nothing,
        };
        let flag = self.policy.proof(&provider).two_factor_authentication;
        let acts_for = (!self.organizations.is_empty() && !flag && self.dice.is_below(30))
            .then(|| self.dice.one_of(&self.organizations).clone());
        let (organization, tenant) = acts_for.unzip();
        Facts {
            client: self.dice.one_of(&self.clients).clone(),
            scopes: self.asked(),
            organization,
            manages: None,
            mappings: Vec::new(),
            waivers: Vec::new(),
            demands: Demands::default(),
            login: Login {
                claims: self.claims_of(&provider, shown),
                tenant,
                email_verified: self.dice.is_below(70),
                ..Login::new(provider, self.now)
            },
            identity_changed: false,
            withdrawn: false,
            account: self.account(),
            remedy: if flag {
                Remedy::Nothing
            } else {
                Remedy::StepUp
            },
            session_expires_at: None,
            stated: None,
            key_made_at: None,
        }
    }

    fn asked(&mut self) -> BTreeSet<Scope> {
        let mut asked = BTreeSet::from([Scope::new("openid").expect("a scope")]);
        for scope in &self.scopes {
            if self.dice.is_below(40) {
                asked.insert(scope.clone());
            }
        }
        asked
    }

    /// What a login at this provider says.
    fn claims_of(&mut self, provider: &ProviderId, shown: Shown) -> Claims {
        let rule = self.policy.proof(provider);
        if rule.two_factor_authentication {
            let two_factor_authentication = match shown {
                Shown::Mfa => Claim::Value(true),
                Shown::Password => Claim::Value(false),
                Shown::Nothing => Claim::Absent,
            };
            return Claims {
                two_factor_authentication,
                ..Claims::default()
            };
        }
        let acr = match (shown, rule.acr.first()) {
            (Shown::Mfa, Some(acr)) => Claim::Value(acr.clone()),
            (Shown::Mfa | Shown::Password, _) => Claim::Value("urn:example:password".to_owned()),
            (Shown::Nothing, _) => Claim::Absent,
        };
        Claims {
            acr,
            ..Claims::default()
        }
    }

    /// An account, always with the same facts: up to eight years old when the log begins.
    fn account(&mut self) -> AccountFacts {
        let number = self.dice.below(self.accounts);
        let mut own = Dice(number);
        let spread = own.roll();
        let years = i64::try_from(own.below(8)).expect("a small number");
        let days = i64::try_from(own.below(365)).expect("a small number");
        let age = SignedDuration::from_hours(24 * (365 * years + days));
        AccountFacts {
            id: AccountId::new(format!("acct_{number:026x}")).expect("an account"),
            made_at: self.began - age,
            spread,
            told_due: None,
            first_mfa_at: None,
            email_vouched: false,
            locked: false,
        }
    }
}

impl Iterator for MadeUpLog<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.ready.is_empty() {
            self.ready = self.sign_in();
            self.ready.reverse();
        }
        self.ready.pop()
    }
}

/// What a login shows of a second factor.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Mfa,
    Password,
    Nothing,
}

/// SplitMix64: even, fast, and the same on every machine.
#[derive(Debug, Clone, Copy)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// Whether a hundred-sided die shows less.
    pub fn is_below(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn one_of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        let count = u64::try_from(all.len()).expect("a length");
        &all[usize::try_from(self.below(count)).expect("an index")]
    }
}
