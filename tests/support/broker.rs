//! A broker in this process, built from values, on a free port of 127.0.0.1.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, mpsc};

use actix_web::dev::ServerHandle;
use countersign_core::{ClientId, Policy};
use countersign_providers::{Http, PrivateHosts, Provider};
use countersign_server::{
    Broker, Client, ClientAuthentication, Clock, Parts, PolicyHandle, PolicyInForce, Resource,
    SecretDigest, Settings, SigningAlgorithm,
};
use countersign_store::Embedded;
use tempfile::TempDir;
use url::Url;

use crate::TestClock;

/// What a test says of its broker.
#[derive(Debug)]
pub struct BrokerSetup {
    /// The text of the policy file.
    pub policy: String,
    /// The clients; the one that [`BrokerSetup::new`] makes is `gallery`, confidential.
    pub clients: BTreeMap<ClientId, Client>,
    /// The registry services.
    pub resources: BTreeMap<String, Resource>,
    listener: TcpListener,
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
            listener: TcpListener::bind("127.0.0.1:0").expect("a free port"),
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
        let directory = tempfile::tempdir().expect("a directory");
        let clock = TestClock::default();
        let issuer = self.issuer();
        let policy_text = self.policy.clone();
        let data = directory.path().join("data");
        let (handle, policy) = self.run(providers, &data, clock.clone());
        TestBroker {
            issuer,
            clock,
            policy,
            policy_text,
            handle,
            directory,
        }
    }

    fn run(
        self,
        providers: impl FnOnce(&Http) -> Vec<Provider>,
        directory: &Path,
        clock: TestClock,
    ) -> (ServerHandle, PolicyHandle) {
        let http = Http::new(PrivateHosts::default()).expect("an HTTP client");
        let providers = providers(&http);
        let issuer = Url::parse(&self.issuer()).expect("an issuer");
        let policy = Policy::parse("policy.toml", &self.policy).expect("a policy");
        let policy = PolicyInForce::new(policy, &self.policy);
        let settings = Settings {
            issuer,
            clients: self.clients,
            resources: self.resources,
        };
        let directory = directory.to_owned();
        let listener = self.listener;
        let (sender, receiver) = mpsc::channel();
        // A thread with a runtime of its own, so that a broker runs beside any test.
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let store = Arc::new(Embedded::open(&directory).expect("a store"));
                let parts = Parts {
                    http: Some(http),
                    clock: Arc::new(clock),
                    ..Parts::new(settings, policy, providers, store)
                };
                let broker = Broker::new(parts).await.expect("a broker");
                let policy = broker.policy_handle();
                let server = broker.serve(listener, 1).expect("a server");
                sender
                    .send((server.handle(), policy))
                    .expect("the test waits");
                server.await.expect("the server ends");
            });
        });
        receiver.recv().expect("the broker starts")
    }
}

/// A running broker; it stops when it is dropped.
#[derive(Debug)]
pub struct TestBroker {
    /// Its issuer, which is its base URL.
    pub issuer: String,
    /// Its clock.
    pub clock: TestClock,
    policy: PolicyHandle,
    /// The text of the policy that it began with.
    pub policy_text: String,
    handle: ServerHandle,
    directory: TempDir,
}

impl TestBroker {
    /// Puts another policy in force.
    pub fn enforce(&self, text: &str) {
        let policy = Policy::parse("policy.toml", text).unwrap_or_else(|all| panic!("{all}"));
        let next = PolicyInForce::new(policy, text);
        self.policy.replace(next, self.clock.now());
    }

    /// What it remembers, read beside it.
    pub fn look(&self) -> Embedded {
        Embedded::open_to_look(&self.directory.path().join("data")).expect("its store")
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        drop(self.handle.stop(false)); // the command is sent when it is made; nobody waits for its end
    }
}

fn client_id(text: &str) -> ClientId {
    ClientId::new(text).expect("a client id")
}
