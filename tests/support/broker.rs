//! A broker in this process, built from values, on a free port of 127.0.0.1.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use countersign_core::registry::Profile;
use countersign_core::{AccountId, ClientId, Identity, Policy, RegistryName};
use countersign_providers::oidc::People;
use countersign_providers::{Http, NameServers, PrivateHosts, Provider};
use countersign_server::{
    AuditLine, AuditLog, AuditLogSettings, Broker, Client, ClientAuthentication, Clock, GrantType,
    KeyNotices, KeyUpkeep, LimitSettings, Listeners, LogFileSettings, MasterSecrets, Parts,
    PolicyHandle, PolicyInForce, Registry, Resource, Retention, Rotate, SecretDigest,
    ServingHandle, Settings, SigningAlgorithm, SystemEntropy, Vault, Webhook, Writer,
};
use countersign_store::{Account, Embedded, Lock, Store, change_account};
use jiff::SignedDuration;
use tempfile::TempDir;
use url::Url;

use crate::{TestClock, kept};

/// What a test says of its broker.
#[derive(Debug)]
pub struct BrokerSetup {
    /// The text of the policy file.
    pub policy: String,
    /// The clients; the one that [`BrokerSetup::new`] makes is `gallery`, confidential.
    pub clients: BTreeMap<ClientId, Client>,
    /// The registry services.
    pub resources: BTreeMap<String, Resource>,
    /// The registries that it stands in front of.
    pub registries: BTreeMap<RegistryName, Registry>,
    /// Where the registry is told what its people must hear.
    pub webhook: Option<Webhook>,
    /// How much anybody may ask for.
    pub limits: LimitSettings,
    /// How long until providers are asked again; never, unless a test says so.
    pub recheck: Option<SignedDuration>,
    /// What GitHub is asked for at every login.
    pub github_scopes: &'static str,
    /// Whose people the OpenID Connect stand-in has.
    pub people: People,
    /// One more provider, which is never reached: all its people are one organisation's.
    pub another_issuer: Option<&'static str>,
    /// Who is asked for TXT records.
    pub name_servers: NameServers,
    listener: TcpListener,
    registry_listeners: BTreeMap<RegistryName, TcpListener>,
    forward_auth_listener: Option<TcpListener>,
}

impl BrokerSetup {
    /// The secret of the client `gallery`.
    pub const SECRET: &'static str = "gallery-secret-of-the-tests";
    /// Where the client `gallery` takes people back. Nothing listens there.
    pub const REDIRECT_URI: &'static str = "http://127.0.0.3:9/callback";
    /// The audience of the access tokens.
    pub const AUDIENCE: &'static str = "https://registry.example";

    /// A broker with the client `gallery` and the resource [`Self::AUDIENCE`].
    pub fn new(policy: &str) -> Self {
        let gallery = Client::new(
            "Example Gallery",
            vec![Self::REDIRECT_URI.into()],
            ClientAuthentication::Secret(SecretDigest::of(Self::SECRET)),
            Self::AUDIENCE,
        );
        let resource = Resource {
            algorithm: SigningAlgorithm::Es256,
        };
        Self {
            policy: policy.into(),
            clients: BTreeMap::from([(client_id("gallery"), gallery)]),
            resources: BTreeMap::from([(Self::AUDIENCE.to_owned(), resource)]),
            registries: BTreeMap::new(),
            webhook: None,
            limits: LimitSettings::default(),
            recheck: None,
            github_scopes: "read:user user:email",
            people: People::Anybodys,
            another_issuer: None,
            name_servers: NameServers::default(),
            listener: TcpListener::bind("127.0.0.1:0").expect("a free port"),
            registry_listeners: BTreeMap::new(),
            forward_auth_listener: None,
        }
    }

    /// Stands in front of a registry, on a listener of its own; the address at which its tools reach it. The policy needs a
    /// client `tools`, as whose users they are taken.
    pub fn stand_before(&mut self, profile: &str, upstream: Option<&str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let name = RegistryName::new(profile).expect("a name");
        let registry = self.registry(&name, profile, &url, upstream);
        self.registries.insert(name.clone(), registry);
        self.registry_listeners.insert(name, listener);
        url
    }

    /// Is asked for a registry of this name by a proxy, at an address where whoever asks is answered; that address.
    pub fn be_asked_for(&mut self, name: &str, profile: &str, public_url: &str) -> String {
        let name = RegistryName::new(name).expect("a name");
        let registry = self.registry(&name, profile, public_url, None);
        self.registries.insert(name, registry);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        self.forward_auth_listener = Some(listener);
        url
    }

    fn registry(
        &mut self,
        name: &RegistryName,
        profile: &str,
        public_url: &str,
        upstream: Option<&str>,
    ) -> Registry {
        let file = format!(
            "{}/../config/registries/{profile}.toml",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&file).expect("a profile");
        let (profile, _) = Profile::load(&file, &text).unwrap_or_else(|all| panic!("{all}"));
        let mut tools = Client::new(
            "Package tools",
            Vec::new(),
            ClientAuthentication::Public,
            Self::AUDIENCE,
        );
        tools.grants = [GrantType::DeviceCode].into();
        self.clients.insert(client_id("tools"), tools);
        Registry {
            name: name.clone(),
            profile,
            client: client_id("tools"),
            public_url: Url::parse(public_url).expect("an address"),
            proxy_secret: None,
            docker: None,
            upstream: upstream.map(|url| Url::parse(url).expect("an address")),
            upstream_authorization: None,
        }
    }

    /// The client `gallery`, to be changed.
    pub fn gallery(&mut self) -> &mut Client {
        self.clients.get_mut("gallery").expect("the client gallery")
    }

    /// Adds a client.
    #[must_use]
    pub fn with_client(mut self, id: &str, client: Client) -> Self {
        self.clients.insert(client_id(id), client);
        self
    }

    /// The broker's issuer, known before it runs.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("an address"))
    }

    /// Starts the broker with these providers and a store of its own.
    pub fn start(self, providers: impl FnOnce(&Http) -> Vec<Provider>) -> TestBroker {
        let directory = Arc::new(tempfile::tempdir().expect("a directory"));
        let store = Embedded::open(&directory.path().join("data")).expect("a store");
        let shared = Shared {
            settings: self.settings(),
            limits: self.limits.clone(),
            name_servers: self.name_servers.clone(),
            policy_text: self.policy,
            clock: TestClock::default(),
            store: Arc::new(store),
            directory,
        };
        let store = shared.store.clone();
        let listeners = Listeners {
            public: self.listener,
            forward_auth: self.forward_auth_listener,
            registries: self.registry_listeners,
        };
        shared.serve(listeners, store, providers)
    }

    fn settings(&self) -> Settings {
        Settings {
            issuer: Url::parse(&self.issuer()).expect("an issuer"),
            clients: self.clients.clone(),
            resources: self.resources.clone(),
            registries: self.registries.clone(),
            webhook: self.webhook.clone(),
        }
    }
}

/// What the replicas of one broker have in common.
#[derive(Debug, Clone)]
struct Shared {
    settings: Settings,
    limits: LimitSettings,
    name_servers: NameServers,
    policy_text: String,
    clock: TestClock,
    store: Arc<Embedded>,
    directory: Arc<TempDir>,
}

impl Shared {
    fn serve(
        self,
        listeners: Listeners,
        store: Arc<dyn Store>,
        providers: impl FnOnce(&Http) -> Vec<Provider>,
    ) -> TestBroker {
        let http = Http::new(PrivateHosts::default()).expect("an HTTP client");
        let policy = Policy::parse("policy.toml", &self.policy_text).expect("a policy");
        let policy = PolicyInForce::new(policy, &self.policy_text);
        let providers = providers(&http);
        let parts = Parts {
            http: Some(http),
            limits: self.limits.clone(),
            name_servers: self.name_servers.clone(),
            clock: Arc::new(self.clock.clone()),
            ..Parts::new(self.settings.clone(), policy, providers, store)
        };
        let address = listeners.public.local_addr().expect("an address");
        let audit = Audit::open(
            &self
                .directory
                .path()
                .join(format!("audit-{}", address.port())),
        );
        let parts = Parts {
            audit_log: Arc::clone(&audit.log),
            ..parts
        };
        let (sender, receiver) = mpsc::channel();
        // A thread with a runtime of its own, so that a broker runs beside any test.
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let broker = Broker::new(parts).await.expect("a broker");
                let (policy, keys) = (broker.policy_handle(), broker.key_upkeep());
                let retention = broker.retention();
                let notices = broker.key_notices();
                let server = broker.serve(listeners, 1).expect("a server");
                sender
                    .send((server.handle(), policy, keys, retention, notices))
                    .expect("the test waits");
                server.run().await.expect("the server ends");
            });
        });
        let (handle, policy, keys, retention, key_notices) =
            receiver.recv().expect("the broker starts");
        TestBroker {
            issuer: self.settings.issuer().to_owned(),
            address: format!("http://{address}"),
            clock: self.clock.clone(),
            policy_text: self.policy_text.clone(),
            policy,
            keys,
            retention,
            key_notices,
            handle,
            audit,
            shared: self,
        }
    }
}

/// What a broker writes down of what is done.
#[derive(Debug)]
struct Audit {
    log: Arc<AuditLog>,
    file: PathBuf,
}

impl Audit {
    fn open(directory: &Path) -> Self {
        std::fs::create_dir(directory).expect("a directory");
        let file = directory.join("audit.jsonl");
        let settings = AuditLogSettings::File(LogFileSettings {
            path: file.clone(),
            rotate: Rotate::Never,
            max_bytes: None,
            keep_days: None,
            keep_files: None,
        });
        let now = TestClock::default().now();
        let log = AuditLog::open(
            &settings,
            Writer::Server,
            directory,
            &[],
            (&SystemEntropy, now),
        );
        let log = Arc::new(log.expect("an audit log"));
        Self { log, file }
    }
}

/// A running broker; it stops when it is dropped.
#[derive(Debug)]
pub struct TestBroker {
    /// Its issuer, which is its base URL.
    pub issuer: String,
    /// Where it listens: its issuer, unless it is a replica.
    pub address: String,
    /// Its clock.
    pub clock: TestClock,
    policy: PolicyHandle,
    /// The text of the policy that it began with.
    pub policy_text: String,
    /// What keeps its keys up to date, whenever a test says so.
    pub keys: KeyUpkeep,
    /// What forgets who has not signed in for long, whenever a test says so.
    pub retention: Retention,
    /// What tells of API keys that are to end.
    pub key_notices: KeyNotices,
    handle: ServingHandle,
    audit: Audit,
    shared: Shared,
}

impl TestBroker {
    /// The audit lines of these events so far.
    pub fn audit_lines(&self, events: &[&str]) -> Vec<AuditLine> {
        while self.audit.log.status().waiting > 0 {
            std::thread::yield_now();
        }
        let text = std::fs::read_to_string(&self.audit.file).expect("lines");
        let lines = text.lines().map(|line| AuditLine::read(line.as_bytes()));
        lines
            .map(|line| line.expect("an audit line"))
            .filter(|line| events.contains(&line.event.as_str()))
            .collect()
    }

    /// The same, each as its event and its reason.
    pub fn audited(&self, events: &[&str]) -> Vec<String> {
        let lines = self.audit_lines(events).into_iter();
        lines
            .map(|line| match line.reason {
                Some(reason) => format!("{} {reason}", line.event),
                None => line.event,
            })
            .collect()
    }

    /// Puts another policy in force.
    pub fn enforce(&self, text: &str) {
        let policy = Policy::parse("policy.toml", text).unwrap_or_else(|all| panic!("{all}"));
        let next = PolicyInForce::new(policy, text);
        self.policy.replace(next, self.clock.now());
    }

    /// What it remembers, read beside it.
    pub fn look(&self) -> Embedded {
        Embedded::open_to_look(&self.data()).expect("its store")
    }

    /// Where it keeps what it remembers.
    pub fn data(&self) -> PathBuf {
        self.shared.directory.path().join("data")
    }

    /// Locks an account, as `countersign accounts lock` does, and leaves its sessions alone.
    pub async fn lock(&self, account: &AccountId) {
        let store = self.shared.store.as_ref();
        let found = store.account(account).await.expect("its store");
        let lock = Lock {
            at: self.clock.now(),
            reason: "a test".into(),
        };
        let locked = |account: &Account| Account {
            locked: Some(lock.clone()),
            ..account.clone()
        };
        let done = change_account(store, found.expect("an account"), locked).await;
        done.expect("a change");
    }

    /// Its store, as another replica writes to it.
    pub fn store(&self) -> Arc<dyn Store> {
        self.shared.store.clone()
    }

    /// Removes the identity of an account from its record, as far as somebody gets who dies then: it is released
    /// nowhere, and its sessions live. Another leads there still.
    pub async fn unlist(&self, account: &AccountId) {
        let store = self.shared.store.as_ref();
        let found = store.account(account).await.expect("its store");
        let now = self.clock.now();
        let other = Identity::GitHub {
            host: "github.example".into(),
            id: 7,
        };
        let unlisted = |account: &Account| {
            let both = account.with_identity(&other, now);
            both.without_identity(&account.identity).unwrap_or(both)
        };
        let done = change_account(store, found.expect("an account"), unlisted).await;
        done.expect("a change");
    }

    /// The keys in its store, as a command would change them.
    pub fn vault(&self) -> Vault {
        Vault::new(self.shared.store.clone(), MasterSecrets::default())
    }

    /// Another broker on the same store, with the same issuer, clock and policy, on an address of its own.
    #[must_use]
    pub fn replica(&self, providers: impl FnOnce(&Http) -> Vec<Provider>) -> Self {
        self.replica_at(self.shared.store.clone(), providers)
    }

    /// The same, at a store that is made of its own.
    #[must_use]
    pub fn replica_at(
        &self,
        store: Arc<dyn Store>,
        providers: impl FnOnce(&Http) -> Vec<Provider>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        self.shared.clone().serve(listener.into(), store, providers)
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        kept::note_files(&self.data());
        drop(self.handle.stop(false)); // the command is sent when it is made; nobody waits for its end
    }
}

fn client_id(text: &str) -> ClientId {
    ClientId::new(text).expect("a client id")
}
