//! A person with a browser, and the client on whose behalf they sign in: what they do, and what they may expect.
//!
//! The contract is that of docs/sessions.md. A code is good once; who presents it again ends the session. Of several who present a
//! refresh token at once one gets tokens. What was refused with 503 may have been done, and is asked for again
//! [`AGAIN`] later, within [`FORGIVEN`] of the first time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use countersign_tests::{BrokerSetup, Browser, Page};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use url::Url;

use super::site::{Servers, Site};
use super::tally::Tally;

/// How long an answer may take: beyond, the request hangs. A step asks the store a few times, each at most for three seconds.
const LIMIT: Duration = Duration::from_secs(10);
/// The pace: so much time lies between two steps of a person.
const PAUSE: Duration = Duration::from_millis(100);
/// When a refresh that was refused is tried again: a token that came a moment ago comes too soon (5 s).
const AGAIN: Duration = Duration::from_secs(6);
/// For how long a refresh token whose answer was lost is good (60 s), less what a request may take.
const FORGIVEN: Duration = Duration::from_secs(50);
/// How many sessions a person goes on to use after they were looked for.
const KEPT: usize = 8;
/// How many of them they refresh at a time.
const AT_ONCE: usize = 4;

/// A person and what their client holds.
#[derive(Debug)]
pub(super) struct Person {
    client: Client,
    held: Vec<Held>,
    ended: Vec<Held>,
}

/// Who asks the servers.
#[derive(Debug)]
struct Client {
    account: String,
    servers: Rc<Servers>,
    browser: Browser,
    /// The only server that the balancer leads this client to; otherwise each request goes to another.
    loyal_to: Option<usize>,
    /// Counts requests: which server is asked, and whether something is tried twice at once, follows from it.
    turn: Cell<usize>,
}

/// Tokens of a session that was acknowledged.
#[derive(Debug)]
struct Held {
    access: String,
    refresh: String,
    /// The refresh tokens before it, the latest last.
    spent: Vec<String>,
    /// Since when there is no clear answer to a refresh, and when it was asked for last.
    asked: Option<(Instant, Instant)>,
}

/// What became of a code.
enum Redeemed {
    /// There are tokens, which must stay good.
    Held(Held),
    /// There were tokens, which a replay has ended.
    Ended(Held),
    /// Nothing can be said of it.
    Unknown,
}

/// What a server made of a request.
#[derive(Debug)]
enum Answer {
    Done(Box<Page>),
    /// Clearly not now: 503 or 429, or nobody there where nobody need be.
    NotNow,
    /// `invalid_grant`.
    Refused,
    Unclear,
}

impl Person {
    /// All that there are, at these servers.
    pub(super) fn all(servers: &Rc<Servers>) -> Vec<Self> {
        let accounts = Site::accounts().enumerate();
        let person = |(n, account)| Self::new(n, account, servers);
        accounts.map(person).collect()
    }

    fn new(number: usize, account: String, servers: &Rc<Servers>) -> Self {
        Self {
            client: Client {
                account,
                servers: Rc::clone(servers),
                browser: Browser::new(),
                loyal_to: number.is_multiple_of(2).then_some(number / 2),
                turn: Cell::new(number / 2),
            },
            held: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Signs in and refreshes, again and again.
    pub(super) async fn go_on(&mut self, is_over: &Cell<bool>, tally: &Tally) {
        while !is_over.get() {
            let batch = self.next_batch();
            let refreshing = batch
                .into_iter()
                .map(|held| self.client.refresh(held, tally));
            let (redeemed, batch) = join(self.client.sign_in(tally), join_all(refreshing)).await;
            self.held.extend(batch.into_iter().flatten());
            match redeemed {
                Redeemed::Held(held) => self.held.push(held),
                Redeemed::Ended(held) => self.ended.push(held),
                Redeemed::Unknown => {}
            }
            sleep(PAUSE).await;
        }
        tally.stream_ended();
    }

    /// Looks for every session at every server, and for what must not be there. What was refused and may yet be had is left alone.
    pub(super) async fn look_for_all(&mut self, tally: &Tally) {
        for held in self.held.iter().filter(|held| held.asked.is_none()) {
            self.client.must_be_good(held, tally).await;
        }
        for held in std::mem::take(&mut self.ended) {
            self.client.must_be_ended(&held, tally).await;
        }
        let is_old = |held: &Held| held.asked.is_none() && held.spent.len() > 1;
        if let Some(place) = self.held.iter().position(is_old) {
            let held = self.held.remove(place);
            self.client.present_what_was_spent(&held, tally).await;
        }
        let surplus = self.held.len().saturating_sub(KEPT);
        self.held.drain(..surplus);
    }

    /// Gets all that was refused on the way.
    pub(super) async fn settle(&mut self, tally: &Tally) {
        let client = &self.client;
        let all = std::mem::take(&mut self.held).into_iter();
        let settling = all.map(|held| client.settle(held, tally));
        self.held = join_all(settling).await.into_iter().flatten().collect();
    }

    /// What is refreshed next: what was not for the longest time. What was refused waits until it is time.
    fn next_batch(&mut self) -> Vec<Held> {
        let is_due = |held: &Held| held.asked.is_none_or(|(_, last)| last.elapsed() >= AGAIN);
        let (mut due, waiting): (Vec<Held>, Vec<Held>) = self.held.drain(..).partition(is_due);
        let later = due.split_off(due.len().min(AT_ONCE));
        self.held = waiting;
        self.held.extend(later);
        due
    }
}

impl Client {
    /// Signs in and redeems the code.
    async fn sign_in(&self, tally: &Tally) -> Redeemed {
        let Some(code) = self.code(tally).await else {
            return Redeemed::Unknown;
        };
        sleep(PAUSE).await;
        let redeemed = self.redeem(&code, tally).await;
        match &redeemed {
            Redeemed::Held(_) | Redeemed::Ended(_) => tally.signed_in(&self.account),
            Redeemed::Unknown => {}
        }
        redeemed
    }

    /// A code, from a browser that nobody knows yet.
    async fn code(&self, tally: &Tally) -> Option<String> {
        let mut browser = self.browser.clone();
        let mut url = self.servers.authorize_url();
        for _ in 0..6 {
            if url.host_str() == Some("127.0.0.2") {
                url.query_pairs_mut().append_pair("account", &self.account);
            }
            browser = self.led(browser);
            let answer = timeout(LIMIT, browser.attempt(&url, None)).await;
            let Answer::Done(page) = self.judged(answer, tally) else {
                return None;
            };
            match page.location.clone() {
                Some(to) if !is_of_client(&to) => url = to,
                Some(_) | None => {
                    let code = page.sent_with("code");
                    if code.is_none() {
                        tally.unclear(described(&page));
                    }
                    return code;
                }
            }
        }
        tally.unclear(format!("{}: led in circles to {url}", self.account));
        None
    }

    async fn redeem(&self, code: &str, tally: &Tally) -> Redeemed {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
        ];
        if self.turn.get().is_multiple_of(4) {
            let both = self.post_twice("/token", &form, tally).await;
            return self.redeemed_twice(both, tally);
        }
        match self.post("/token", &form, tally).await {
            Answer::Done(page) => return Redeemed::Held(Held::of(&page)),
            Answer::Refused => tally.lost(format!("{}: the session of a code", self.account)),
            Answer::NotNow | Answer::Unclear => {
                sleep(PAUSE).await;
                // It may have been spent the first time, and then is a replay.
                if let Answer::Done(page) = self.post("/token", &form, tally).await {
                    return Redeemed::Held(Held::of(&page));
                }
            }
        }
        Redeemed::Unknown
    }

    fn redeemed_twice(&self, both: [Answer; 2], tally: &Tally) -> Redeemed {
        match both {
            [Answer::Done(page), Answer::Refused] | [Answer::Refused, Answer::Done(page)] => {
                Redeemed::Ended(Held::of(&page))
            }
            [Answer::Done(_), Answer::Done(_)] => {
                tally.twice(format!("{}: a code", self.account));
                Redeemed::Unknown
            }
            // Without two clear answers nobody knows whether the session was ended.
            [_, _] => Redeemed::Unknown,
        }
    }

    /// What is held after a refresh, if anything is.
    async fn refresh(&self, mut held: Held, tally: &Tally) -> Option<Held> {
        let token = held.refresh.clone();
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.as_str()),
        ];
        let answers = if held.asked.is_none() && self.turn.get().is_multiple_of(3) {
            Vec::from(self.post_twice("/token", &form, tally).await)
        } else {
            vec![self.post("/token", &form, tally).await]
        };
        if answers.iter().any(|one| matches!(one, Answer::Refused)) {
            // Who asks late for what may have been done has it no more.
            if held
                .asked
                .is_none_or(|(first, _)| first.elapsed() < FORGIVEN)
            {
                let since = held.asked.map(|(first, _)| first.elapsed());
                tally.lost(format!(
                    "{}: a grant; refused before: {since:?}",
                    self.account
                ));
            }
            return None;
        }
        let pages: Vec<&Page> = answers.iter().filter_map(Answer::page).collect();
        match pages.as_slice() {
            [] => held.refused_at(Instant::now()),
            [page, others @ ..] => {
                tally.refreshed();
                held.renew(page);
                if !others.is_empty() {
                    tally.twice(format!("{}: a refresh token", self.account));
                }
            }
        }
        Some(held)
    }

    /// Refreshes until there is a clear answer.
    async fn settle(&self, mut held: Held, tally: &Tally) -> Option<Held> {
        while let Some((_, last)) = held.asked {
            sleep_until(last + AGAIN).await;
            held = self.refresh(held, tally).await?;
        }
        Some(held)
    }

    async fn must_be_good(&self, held: &Held, tally: &Tally) {
        for (token, what) in [(&held.access, "access"), (&held.refresh, "refresh")] {
            let count = self.count_active(token, tally).await;
            if count < self.servers.each.len() {
                let account = &self.account;
                tally.lost(format!("{account}: {what} token, good at {count} servers"));
            }
        }
    }

    async fn must_be_ended(&self, held: &Held, tally: &Tally) {
        if self.count_active(&held.access, tally).await > 0 {
            tally.twice(format!("{}: a session that had been ended", self.account));
        }
    }

    /// A token that was spent before the fault, and whose successor was used, is known for what it is: the grant ends.
    async fn present_what_was_spent(&self, held: &Held, tally: &Tally) {
        let token = &held.spent[held.spent.len() - 2];
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.as_str()),
        ];
        match self.post("/token", &form, tally).await {
            Answer::Refused => self.must_be_ended(held, tally).await,
            Answer::Done(_) => tally.twice(format!("{}: an old refresh token", self.account)),
            Answer::NotNow | Answer::Unclear => {
                tally.unclear(format!("{}: no answer about an old token", self.account));
            }
        }
    }

    /// At how many servers a token is good.
    async fn count_active(&self, token: &str, tally: &Tally) -> usize {
        let mut count = 0;
        for server in &self.servers.each {
            let browser = self.browser.clone();
            let browser = browser.led_to(&self.servers.issuer, server);
            let form = [("token", token)];
            let answer = self.post_by(browser, "/introspect", &form, tally).await;
            match answer.page().map(json_of) {
                Some(told) if told["active"] == json!(true) => count += 1,
                Some(_) => {}
                // Nothing is broken any more, so nobody is to be told to come again.
                None => tally.unclear(format!("{answer:?} to a look at {server}")),
            }
        }
        count
    }

    async fn post(&self, path: &str, form: &[(&str, &str)], tally: &Tally) -> Answer {
        let browser = self.led(self.browser.clone());
        self.post_by(browser, path, form, tally).await
    }

    /// The same at two servers at once.
    async fn post_twice(&self, path: &str, form: &[(&str, &str)], tally: &Tally) -> [Answer; 2] {
        let servers = &self.servers.each;
        let led = [self.turn.get(), self.turn.get() + 1].map(|turn| {
            let browser = self.browser.clone();
            browser.led_to(&self.servers.issuer, &servers[turn % servers.len()])
        });
        self.turn.set(self.turn.get() + 1);
        let both = led.map(|browser| self.post_by(browser, path, form, tally));
        join_all(both).await.try_into().expect("two answers")
    }

    async fn post_by(
        &self,
        mut browser: Browser,
        path: &str,
        form: &[(&str, &str)],
        tally: &Tally,
    ) -> Answer {
        let (url, form) = (self.servers.url(path), with_client(form));
        let answer = timeout(LIMIT, browser.attempt(&url, Some(&form))).await;
        self.judged(answer, tally)
    }

    /// The browser, led to the server whose turn it is.
    fn led(&self, browser: Browser) -> Browser {
        let turn = self.turn.get();
        self.turn.set(turn + 1);
        let servers = &self.servers.each;
        let place = self.loyal_to.unwrap_or(turn);
        browser.led_to(&self.servers.issuer, &servers[place % servers.len()])
    }

    /// What an answer is; counted where it is none that was hoped for.
    fn judged(
        &self,
        answer: Result<reqwest::Result<Page>, tokio::time::error::Elapsed>,
        tally: &Tally,
    ) -> Answer {
        match answer {
            Ok(Ok(page)) => judged(page, tally),
            Ok(Err(_)) if self.servers.are_mortal => Answer::NotNow,
            Ok(Err(error)) => {
                tally.unclear(format!("{error:?}"));
                Answer::Unclear
            }
            Err(_) => {
                tally.unclear(format!("no answer within {LIMIT:?}"));
                Answer::Unclear
            }
        }
    }
}

impl Held {
    fn of(page: &Page) -> Self {
        let told = json_of(page);
        Self {
            access: text(&told, "access_token"),
            refresh: text(&told, "refresh_token"),
            spent: Vec::new(),
            asked: None,
        }
    }

    fn renew(&mut self, page: &Page) {
        let mut next = Self::of(page);
        next.spent = std::mem::take(&mut self.spent);
        next.spent.push(std::mem::take(&mut self.refresh));
        *self = next;
    }

    fn refused_at(&mut self, now: Instant) {
        let (first, _) = self.asked.unwrap_or((now, now));
        self.asked = Some((first, now));
    }
}

impl Answer {
    fn page(&self) -> Option<&Page> {
        match self {
            Self::Done(page) => Some(page),
            Self::NotNow | Self::Refused | Self::Unclear => None,
        }
    }
}

fn judged(page: Page, tally: &Tally) -> Answer {
    let error = json_of(&page)["error"].as_str().map(str::to_owned);
    match (page.status, error.as_deref()) {
        (200..400, _) => Answer::Done(Box::new(page)),
        (400, Some("invalid_grant")) => Answer::Refused,
        // Another request has just used this refresh token.
        (429, Some("temporarily_unavailable")) => Answer::NotNow,
        (503, Some("temporarily_unavailable")) => unavailable(tally),
        (503, None) if page.reason_code() == Some("store-unavailable") => unavailable(tally),
        (_, _) => {
            tally.unclear(described(&page));
            Answer::Unclear
        }
    }
}

fn unavailable(tally: &Tally) -> Answer {
    tally.unavailable();
    Answer::NotNow
}

fn is_of_client(url: &Url) -> bool {
    url.as_str().starts_with(BrokerSetup::REDIRECT_URI)
}

fn described(page: &Page) -> String {
    let beginning: String = page.body.chars().take(300).collect();
    let Page { url, status, .. } = page;
    format!("{status} of {url}, to {:?}: {beginning}", page.location)
}

fn with_client(form: &[(&str, &str)]) -> Vec<(String, String)> {
    let client = [
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let all = form.iter().chain(&client);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn json_of(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or(Value::Null)
}

fn text(told: &Value, name: &str) -> String {
    let found = told[name].as_str();
    found
        .unwrap_or_else(|| panic!("no `{name}` in {told}"))
        .to_owned()
}
