//! One installation, filled and served, and what is asked of it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use countersign_core::{Identity, Source};
use countersign_store::{Embedded, KeyPrefix, Redis, RedisSettings, Store, mappings_of};
use countersign_tests::measure::{resident_mib, size_mib};
use countersign_tests::redis::RedisServer;
use countersign_tests::{BrokerSetup, Browser, Installation, Program};
use serde_json::Value;
use url::Url;

use super::made_up::{ADMINISTERED, MadeUp, PEOPLE, STAFF, organization, scattered};

/// Besides those of every installation: our own pages, and a service of the registry's.
const POLICY: &str = "[tier.registry]\nscopes = [\"organizations:write\"]\nneeds = \"none\"\n\
    [client.countersign]\ntier = \"browse\"\n\
    [client.registry]\ntier = \"browse\"\nown_scopes = [\"organizations:write\"]\n";
/// Organisations on one page of the list.
const PAGE: usize = 100;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Account,
    Mappings,
    NoMappings,
    Organizations,
    ManyOrganizations,
    Organization,
    OwnAccount,
    BeginsWith,
    After,
}

impl What {
    pub(crate) const ALL: [Self; 9] = [
        Self::Account,
        Self::Mappings,
        Self::NoMappings,
        Self::Organizations,
        Self::ManyOrganizations,
        Self::Organization,
        Self::OwnAccount,
        Self::BeginsWith,
        Self::After,
    ];

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Account => "an account by its identity",
            Self::Mappings => "whose people a login is, of a tenant that an organization has",
            Self::NoMappings => "the same of one that nobody has",
            Self::Organizations => "`/organizations`, of an admin of twenty",
            Self::ManyOrganizations => "the same, of an admin of five hundred",
            Self::Organization => "`/organizations/NAME`",
            Self::OwnAccount => "`/account`",
            Self::BeginsWith => "`/api/v1/organizations?begins_with=…`, ten of them",
            Self::After => "`/api/v1/organizations?after=…`, a hundred of them",
        }
    }
}

/// An installation of some size, on files or on Redis.
pub(crate) struct Place<'a> {
    made_up: MadeUp,
    redis: Option<&'a RedisServer>,
    installation: Installation,
    served: Option<Served>,
}

struct Served {
    program: Program,
    store: Arc<dyn Store>,
    http: reqwest::Client,
    /// Of each person the cookies, and of what they administer the names.
    people: Vec<(String, Vec<String>)>,
    /// Of who works for the registry the cookies.
    staff: String,
    /// Of the registry's service.
    token: String,
}

impl<'a> Place<'a> {
    /// Makes it and brings everything in, and says how long that took.
    pub(crate) fn fill(made_up: MadeUp, redis: Option<&'a RedisServer>) -> anyhow::Result<Self> {
        let place = Self {
            installation: installation(&made_up, redis),
            made_up,
            redis,
            served: None,
        };
        let accounts = place.installation.path("accounts.csv");
        let organizations = place.installation.path("organizations.jsonl");
        place
            .made_up
            .write_accounts(BufWriter::new(File::create(&accounts)?))?;
        place
            .made_up
            .write_organizations(BufWriter::new(File::create(&organizations)?))?;
        let import = ["accounts", "import", &accounts.display().to_string()].map(str::to_owned);
        let apply = ["orgs", "apply", &organizations.display().to_string()].map(str::to_owned);
        for (command, count) in [
            (import, place.made_up.accounts),
            (apply, place.made_up.organizations()),
        ] {
            place.bring_in(&command, count)?;
        }
        Ok(place)
    }

    /// Kills it half way, if it takes long enough to say how far it is, and runs it again.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn bring_in(&self, command: &[String], count: u32) -> anyhow::Result<()> {
        let began = Instant::now();
        let whole = self.run(command, Some(": 50 %"))?;
        let took = began.elapsed().as_secs_f64();
        let (said, how) = if let Some(said) = whole {
            let rate = f64::from(count) / took;
            (said, format!("{took:.1} s, {rate:.0} a second"))
        } else {
            let again = Instant::now();
            let said = self.run(command, None)?.context("killed again")?;
            let more = again.elapsed().as_secs_f64();
            let how = format!("killed half way after {took:.1} s, and then {more:.1} s");
            (said, how)
        };
        println!(
            "{}, {} {}: {how}: {said}",
            self.name(),
            command[0],
            command[1]
        );
        Ok(())
    }

    /// What the command says in the end; `None` if it was killed as it said `until`.
    fn run(&self, command: &[String], until: Option<&str>) -> anyhow::Result<Option<String>> {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        let file = self.installation.path("countersign.toml");
        let file = file.display().to_string();
        words.extend(["--config", &file]);
        let mut command: Command = self.installation.command(&words);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let progress = child.stderr.take().context("its progress")?;
        // Of its two passes the first only checks.
        let mut lines = BufReader::new(progress).lines().map_while(Result::ok);
        let is_there = |line: &String| {
            !line.contains("bytes checked") && until.is_some_and(|until| line.contains(until))
        };
        if lines.find(is_there).is_some() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        let output = child.wait_with_output()?;
        anyhow::ensure!(output.status.success(), "{words:?} failed");
        let said = String::from_utf8(output.stdout)?;
        Ok(Some(said.lines().last().unwrap_or_default().to_owned()))
    }

    /// Serves it, and signs everybody in.
    pub(crate) async fn open(&mut self) -> anyhow::Result<()> {
        let program = self.installation.start();
        let mut people = Vec::new();
        for person in 0..PEOPLE {
            let names = (0..ADMINISTERED).map(|n| self.made_up.organization_of(person, n));
            people.push((self.cookies_of(person).await?, names.collect()));
        }
        self.served = Some(Served {
            program,
            store: self.store()?,
            http: http(),
            people,
            staff: self.cookies_of(STAFF).await?,
            token: self.token().await?,
        });
        Ok(())
    }

    pub(crate) fn name(&self) -> String {
        let store = if self.redis.is_some() {
            "Redis"
        } else {
            "embedded"
        };
        format!("{store}, {}", self.made_up.accounts)
    }

    /// How long the nth of these takes.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    pub(crate) async fn time_ms(&self, what: What, n: u32) -> anyhow::Result<f64> {
        let served = self.served.as_ref().context("it is not served")?;
        let picked = Picked::of(&self.made_up, served, n);
        let began = Instant::now();
        served.ask(what, &picked).await?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }

    pub(crate) fn resident(&self) -> Option<f64> {
        let served = self.served.as_ref()?;
        resident_mib(served.program.process()).ok()
    }

    pub(crate) fn memory(&self) -> Option<f64> {
        self.redis.map(RedisServer::used_memory_mib)
    }

    pub(crate) fn disk(&self) -> Option<f64> {
        let files = self.redis.map(|redis| redis.directory().to_owned());
        size_mib(&files.unwrap_or_else(|| self.installation.path("data"))).ok()
    }

    fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match self.redis {
            Some(redis) => Arc::new(Redis::new(RedisSettings {
                key_prefix: KeyPrefix::default(),
                ..redis.settings()
            })?),
            None => Arc::new(Embedded::open_to_look(&self.installation.path("data"))?),
        })
    }

    /// Signs a person in for our own pages.
    async fn cookies_of(&self, person: u32) -> anyhow::Result<String> {
        let mut browser = Browser::new();
        let mut url = Url::parse(&format!(
            "{}/sign-in?to=/organizations&provider=oidc",
            self.installation.issuer
        ))?;
        for _ in 0..8 {
            if url.host_str() == Some("127.0.0.2") {
                let login = self.made_up.login_of(person);
                url.query_pairs_mut().append_pair("account", &login);
            }
            let page = browser.get(&url).await;
            let Some(next) = page.location else {
                anyhow::ensure!(page.body.contains("team-"), "{}: {}", page.url, page.body);
                let jar = &browser.cookies["127.0.0.1"];
                let pairs = jar.iter().map(|(name, value)| format!("{name}={value}"));
                return Ok(pairs.collect::<Vec<_>>().join("; "));
            };
            url = next;
        }
        anyhow::bail!("led in circles to {url}")
    }

    async fn token(&self) -> anyhow::Result<String> {
        let issuer = &self.installation.issuer;
        let resource = format!("{issuer}/api/v1");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "registry"),
            ("client_secret", BrokerSetup::SECRET),
            ("resource", &resource),
        ];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let url = Url::parse(&format!("{issuer}/token"))?;
        let page = Browser::new().post(&url, &form).await;
        let told: Value = serde_json::from_str(&page.body)?;
        let token = told["access_token"].as_str();
        Ok(token.with_context(|| page.body.clone())?.to_owned())
    }
}

/// Whom and what a question is about.
struct Picked<'a> {
    identity: Identity,
    source: Source,
    source_of_nobody: Source,
    cookies: &'a str,
    /// One of the organisations that whoever has the cookies administers.
    organization: &'a str,
    after: String,
}

impl<'a> Picked<'a> {
    fn of(made_up: &MadeUp, served: &'a Served, n: u32) -> Self {
        let (person, turn) = ((n % PEOPLE) as usize, (n / PEOPLE % ADMINISTERED) as usize);
        let (cookies, names) = &served.people[person];
        // Enough follow for a full page.
        let after = scattered(n) % (made_up.organizations() - 200);
        Self {
            identity: made_up.identity(scattered(n) % made_up.accounts),
            source: made_up.source(scattered(n)),
            source_of_nobody: made_up.source_of_nobody(n),
            cookies,
            organization: &names[turn],
            after: organization(after),
        }
    }
}

impl Served {
    async fn ask(&self, what: What, picked: &Picked<'_>) -> anyhow::Result<()> {
        match what {
            What::Account => {
                let found = self.store.account_of(&picked.identity).await?;
                anyhow::ensure!(found.is_some(), "no account");
                Ok(())
            }
            What::Mappings => self.mappings(&picked.source, 1).await,
            What::NoMappings => self.mappings(&picked.source_of_nobody, 0).await,
            What::Organizations => {
                let named = picked.organization;
                self.page("/organizations", named, picked.cookies).await
            }
            What::ManyOrganizations => self.page("/organizations", "team-", &self.staff).await,
            What::Organization => {
                let path = format!("/organizations/{}", picked.organization);
                self.page(&path, "Organization N°", picked.cookies).await
            }
            What::OwnAccount => {
                self.page("/account", "/account/export", picked.cookies)
                    .await
            }
            What::BeginsWith => {
                // All but the last of six digits.
                let ten = &picked.after[..picked.after.len() - 1];
                self.list(&format!("begins_with={ten}"), 10).await
            }
            What::After => self.list(&format!("after={}", picked.after), PAGE).await,
        }
    }

    async fn mappings(&self, source: &Source, expected: usize) -> anyhow::Result<()> {
        let found = mappings_of(self.store.as_ref(), [source.clone()]).await?;
        anyhow::ensure!(found.len() == expected, "{} mappings", found.len());
        Ok(())
    }

    async fn page(&self, path: &str, expected: &str, cookies: &str) -> anyhow::Result<()> {
        let page = self.get(path, ("cookie", cookies)).await?;
        anyhow::ensure!(page.contains(expected), "{path}: no `{expected}`");
        Ok(())
    }

    async fn list(&self, query: &str, expected: usize) -> anyhow::Result<()> {
        let path = format!("/api/v1/organizations?{query}");
        let authorization = format!("Bearer {}", self.token);
        let told = self.get(&path, ("authorization", &authorization)).await?;
        let told: Value = serde_json::from_str(&told)?;
        let listed = told["organizations"].as_array().map_or(0, Vec::len);
        anyhow::ensure!(listed == expected, "{listed} are listed: {query}");
        Ok(())
    }

    async fn get(&self, path: &str, (name, value): (&str, &str)) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.program.issuer);
        let answer = self.http.get(url).header(name, value).send().await?;
        anyhow::ensure!(answer.status() == 200, "{path}: {}", answer.status());
        Ok(answer.text().await?)
    }
}

fn installation(made_up: &MadeUp, redis: Option<&RedisServer>) -> Installation {
    let nobody = "http://127.0.0.2:9";
    let installation = Installation::new([made_up.issuer(), nobody, nobody]);
    let client = format!(
        "[client.registry]\nname = \"The registry's service\"\nsecret = {{ file = \"gallery.secret\" }}\n\
         grant_types = [\"client_credentials\"]\nresource = \"{}\"\nother_resources = [\"{}/api/v1\"]\n[client.gallery]",
        BrokerSetup::AUDIENCE,
        installation.issuer,
    );
    installation.replace("countersign.toml", "[client.gallery]", &client);
    installation.replace("countersign.toml", "level = \"trace\"", "level = \"info\"");
    installation.replace(
        "policy.toml",
        "[client.gallery]",
        &format!("{POLICY}[client.gallery]"),
    );
    if let Some(redis) = redis {
        installation.keep_in_redis(&format!("address = \"{}\"", redis.address));
    }
    installation
}

#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark's browser is not the product's HTTP client"
)]
fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // The server ends idle connections after 5 s.
        .pool_idle_timeout(Duration::from_secs(2))
        .build()
        .expect("an HTTP client")
}
