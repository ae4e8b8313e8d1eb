//! Checks and tokens, per second of the servers' CPU, in rounds in which all take turns.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    ParsedPublicKey,
};
use countersign_tests::measure::{cpu_of_all_us, median, this_thread_us};

use super::bare::Bare;
use super::bed::{Bed, WORKERS};
use super::load::Request;

/// How many rounds count, and how many come before, to fill caches and connections.
const ROUNDS: usize = 9;
const WARM_UP_ROUNDS: usize = 2;
/// How many requests are in a turn: enough that the clock's ticks of 10 ms don't matter.
const REQUESTS: u32 = 20_000;
/// How many signatures are measured in a turn, and their message: the size of a token's claims.
const SIGNATURES: u32 = 2_000;
/// What is asked for, with a credential and by anybody.
const PACKAGE: &str = "/@alice%2fhello";
const OPEN: &str = "/-/npm/v1/security/advisories/bulk";
const MESSAGE: [u8; 600] = [b'x'; 600];

/// Who takes turns.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) what: Work,
}

/// What is done in a turn.
pub(crate) enum Work {
    /// This request of a server, which is these processes.
    Requests(Request, Vec<u32>),
    /// So many of it in this thread.
    Here(Box<dyn Fn()>),
}

impl Contestant {
    pub(crate) fn new(name: &'static str, request: &Request, processes: Vec<u32>) -> Self {
        let what = Work::Requests(request.clone(), processes);
        Self { name, what }
    }

    /// What one costs, in microseconds of CPU.
    async fn turn(&self) -> anyhow::Result<f64> {
        match &self.what {
            Work::Requests(request, processes) => {
                let before = cpu_of_all_us(processes)?;
                request.run(REQUESTS).await?;
                Ok((cpu_of_all_us(processes)? - before) / f64::from(REQUESTS))
            }
            Work::Here(work) => {
                let before = this_thread_us();
                (0..SIGNATURES).for_each(|_| work());
                Ok((this_thread_us() - before) / f64::from(SIGNATURES))
            }
        }
    }
}

/// What `/forward-auth` costs, by whatever a tool shows.
pub(crate) async fn checks(bed: &Bed) -> anyhow::Result<()> {
    let ask = |method: &str, target: &str, credential: Option<(&str, &str)>| {
        let nginx = [
            ("X-Original-Method", method),
            ("X-Original-URI", target),
            ("X-Forwarded-For", "198.51.100.7"),
            (
                "User-Agent",
                "npm/11.4.1 node/v22.17.0 linux x64 workspaces/false",
            ),
            ("Accept", "*/*"),
        ];
        let headers: Vec<_> = nginx.into_iter().chain(credential).collect();
        Request::new(&bed.forward_auth, "GET /forward-auth/gated", &headers, "")
    };
    let (key, token) = (
        format!("Bearer {}", bed.key),
        format!("Bearer {}", bed.token),
    );
    let session = ask("GET", PACKAGE, Some(("Cookie", &bed.session)));
    let (key, token) = (
        ("Authorization", key.as_str()),
        ("Authorization", token.as_str()),
    );
    let write = ask("PUT", PACKAGE, Some(("Cookie", &bed.session)));
    let open = ask("POST", OPEN, None);
    let answer = session.once().await?;
    anyhow::ensure!(
        answer
            .header("x-countersign-account")
            .is_some_and(|one| !one.is_empty()),
        "{}",
        answer.head
    );
    let bare = Bare::start(&answer, WORKERS)?;
    let broker = || vec![bed.process()];
    let contestants = [
        Contestant::new("bare actix", &session.at(&bare.url), vec![bare.process()]),
        Contestant::new("session cookie", &session, broker()),
        Contestant::new("API key", &ask("GET", PACKAGE, Some(key)), broker()),
        Contestant::new("Bearer JWT", &ask("GET", PACKAGE, Some(token)), broker()),
        Contestant::new("session cookie, a write", &write, broker()),
        Contestant::new("nobody, where anybody may", &open, broker()),
        es256_verify(),
        es256_sign(),
    ];
    compare("checks at /forward-auth", &contestants).await
}

/// What a registry token of Docker's costs, for whoever asks.
pub(crate) async fn tokens(bed: &Bed) -> anyhow::Result<()> {
    let line =
        "GET /registry/images/token?service=images.example&scope=repository:alice/hello:pull,push";
    let pull =
        "GET /registry/images/token?service=images.example&scope=repository:alice/hello:pull";
    let key = Bed::basic(&bed.key);
    let by_key = Request::new(&bed.issuer, line, &[("Authorization", &key)], "");
    let form = format!(
        "grant_type=refresh_token&service=images.example&client_id=docker&scope=repository:alice/hello:pull,push&refresh_token={}",
        bed.identity_token
    );
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let kept = Request::new(&bed.issuer, "POST /registry/images/token", &kind, &form);
    let bare = Bare::start(&by_key.once().await?, WORKERS)?;
    let broker = || vec![bed.process()];
    let contestants = [
        Contestant::new("bare actix", &by_key.at(&bare.url), vec![bare.process()]),
        Contestant::new("API key", &by_key, broker()),
        Contestant::new("identity token", &kept, broker()),
        Contestant::new(
            "nobody",
            &Request::new(&bed.issuer, pull, &[], ""),
            broker(),
        ),
        es256_sign(),
    ];
    compare("tokens of Docker's", &contestants).await
}

/// Lets them take turns, and prints what each costs beside the first.
pub(crate) async fn compare(title: &str, contestants: &[Contestant]) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..WARM_UP_ROUNDS + ROUNDS {
        let mut round = Vec::new();
        for one in contestants {
            round.push(one.turn().await?);
        }
        rounds.push(round);
    }
    println!(
        "{title}: medians of {ROUNDS} rounds; of the first's per second of CPU, its median and range"
    );
    for (at, one) in contestants.iter().enumerate() {
        let counted = || rounds[WARM_UP_ROUNDS..].iter();
        let cost = median(counted().map(|round| round[at]));
        let shares = || counted().map(|round| 100.0 * round[0] / round[at]);
        println!(
            "  {:<28} {cost:>8.1} µs {:>9.0} /s {:>7.0} % ({:.0} to {:.0})",
            one.name,
            1e6 / cost,
            median(shares()),
            shares().fold(f64::INFINITY, f64::min),
            shares().fold(0.0, f64::max),
        );
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark signs with the machine's own randomness"
)]
fn es256_sign() -> Contestant {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let sign = move || {
        key.sign(&random, &MESSAGE).expect("signed");
    };
    Contestant {
        name: "an ES256 signature made",
        what: Work::Here(Box::new(sign)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark signs with the machine's own randomness"
)]
fn es256_verify() -> Contestant {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let signature = key.sign(&SystemRandom::new(), &MESSAGE).expect("signed");
    let public = key.public_key().as_ref();
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).expect("a key");
    let verify = move || {
        public
            .verify_sig(&MESSAGE, signature.as_ref())
            .expect("verified");
    };
    Contestant {
        name: "an ES256 signature verified",
        what: Work::Here(Box::new(verify)),
    }
}
