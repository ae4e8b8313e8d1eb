//! The file as a whole: its sections, and what one part says of another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_core::document::{Place, Problem, Problems, Table, Value};
use countersign_core::{ClientId, ProviderId, ProviderKind, RegistryName, Scope};
use countersign_providers::{NameServers, PrivateHosts};
use countersign_server::{
    Client, GrantType, KeySettings, LimitSettings, PolicyInForce, Proxies, Registry, Resource,
    Settings, Webhook,
};
use jiff::SignedDuration;
use url::Url;

use super::audit_log::AuditLog;
use super::decision_log::DecisionLog;
use super::{
    Installation, Log, LogFormat, LogLevel, PolicyFile, ProviderSettings, StoreSettings,
    TraceSettings, address, client, limits,
};
use crate::Surroundings;

/// The one version of the file there is.
const VERSION: i64 = 1;

const MOST_WORKERS: usize = 1024;

/// Nothing that watches over us takes longer to notice.
const LONGEST_DRAIN: SignedDuration = SignedDuration::from_mins(5);

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Reads the file, and keeps what the policy and the warnings need to know of it.
pub(super) struct Reader<'o> {
    pub(super) outside: &'o dyn Surroundings,
    directory: &'o Path,
    pub(super) is_sound: bool,
    pub(super) policy: Option<PolicyText>,
    pub(super) providers: BTreeMap<ProviderId, (ProviderKind, Place)>,
    /// How long until providers are asked again, of those that are.
    pub(super) rechecks: BTreeMap<ProviderId, (SignedDuration, Place)>,
    pub(super) clients: BTreeSet<ClientId>,
    pub(super) named_resources: BTreeSet<String>,
    pub(super) resources: BTreeMap<String, Place>,
    /// Where registries of their own address are served.
    pub(super) registry_listeners: BTreeMap<RegistryName, SocketAddr>,
    /// The listeners named so far, by their keys.
    listeners: BTreeMap<SocketAddr, String>,
    /// What registries ask the policy for, by place.
    pub(super) registry_scopes: Vec<(Scope, String, Place)>,
    pub(super) warnings: Vec<Problem>,
}

/// The policy's text, and where it came from.
pub(super) struct PolicyText {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// What the file says.
pub(super) struct Written {
    server: Server,
    network: Network,
    store: StoreSettings,
    log: Log,
    traces: Option<TraceSettings>,
    webhook: Option<Webhook>,
    decision_log: DecisionLog,
    audit_log: AuditLog,
    keys: KeySettings,
    limits: LimitSettings,
    clients: BTreeMap<ClientId, Client>,
    resources: BTreeMap<String, Resource>,
    registries: BTreeMap<RegistryName, Registry>,
    registry_listeners: BTreeMap<RegistryName, SocketAddr>,
    pub(super) providers: Vec<ProviderSettings>,
}

struct Server {
    issuer: Url,
    issuer_place: Place,
    listen: SocketAddr,
    private_listen: Option<SocketAddr>,
    forward_auth_listen: Option<SocketAddr>,
    data_dir: PathBuf,
    workers: Option<usize>,
    proxies: Proxies,
    drain_delay: Duration,
}

impl<'o> Reader<'o> {
    /// Relative paths are relative to `directory`.
    pub(super) fn new(directory: &'o Path, outside: &'o dyn Surroundings) -> Self {
        Self {
            outside,
            directory,
            is_sound: false,
            policy: None,
            providers: BTreeMap::new(),
            rechecks: BTreeMap::new(),
            clients: BTreeSet::new(),
            named_resources: BTreeSet::new(),
            resources: BTreeMap::new(),
            registry_listeners: BTreeMap::new(),
            listeners: BTreeMap::new(),
            registry_scopes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn file(&mut self, file: &mut Table<'_>) -> Option<Written> {
        self.is_sound = file.is_sound();
        let version = file.required("version", version);
        let server = file.required("server", |value| value.table(|table| self.server(table)));
        let network = file.optional_or("network", Network::default(), |value| value.table(network));
        let store = file.optional_or("store", StoreSettings::DataDirectory, |value| {
            value.table(|table| self.store(table))
        });
        let log = file.optional_or("log", Log::DEFAULT, |value| value.table(log));
        let traces = file.optional("traces", |value| value.table(|table| self.traces(table)));
        let webhook = file.optional("webhook", |value| value.table(|table| self.webhook(table)));
        let audit_log = file.optional_or("audit_log", AuditLog::default(), |value| {
            value.table(|table| self.audit_log(table))
        });
        let decision_log = file.optional_or("decision_log", DecisionLog::DEFAULT, |value| {
            value.table(|table| self.decision_log(table))
        });
        let keys = file.optional("keys", |value| {
            value.table(|table| self.key_settings(table))
        });
        let limits = file.optional_or("limits", LimitSettings::default(), |value| {
            value.table(limits::limits)
        });
        let clients = file.required("client", |value| self.clients(value));
        let resources =
            file.optional_or("resource", BTreeMap::new(), |value| self.resources(value));
        // Behind clients, which they name.
        let registries = file.optional_or("registry", BTreeMap::new(), |value| {
            self.registries(value, clients.as_ref())
        });
        let providers = file.required("provider", |value| self.providers(value));
        version?;
        Some(Written {
            server: server?,
            network: network?,
            store: store?,
            log: log?,
            traces: traces?,
            webhook: webhook?,
            decision_log: decision_log?,
            keys: keys?.unwrap_or_default(),
            audit_log: audit_log?,
            limits: limits?,
            clients: clients?,
            resources: resources?,
            registries: registries?,
            registry_listeners: std::mem::take(&mut self.registry_listeners),
            providers: providers?,
        })
    }

    fn server(&mut self, table: &mut Table<'_>) -> Option<Server> {
        let issuer = table.required("issuer", |value| {
            Some((value.parsed(address::site)?, value.place()))
        });
        let listen = table.required("listen", |value| self.listener(value));
        let private_listen = table.optional("private_listen", |value| self.private_listener(value));
        let forward_auth_listen =
            table.optional("forward_auth_listen", |value| self.private_listener(value));
        let data_dir = table.required("data_dir", |value| self.path(value));
        let policy = table.required("policy", |value| self.read_policy(value));
        let workers = table.optional("workers", |value| value.integer(1..=MOST_WORKERS));
        let drain_delay = table.optional_or("drain_delay", Duration::ZERO, drain_delay);
        let proxies = limits::proxies(table);
        let (issuer, issuer_place) = issuer?;
        policy?;
        Some(Server {
            issuer,
            issuer_place,
            listen: listen?,
            private_listen: private_listen?,
            forward_auth_listen: forward_auth_listen?,
            data_dir: data_dir?,
            workers: workers?,
            proxies: proxies?,
            drain_delay: drain_delay?,
        })
    }

    /// An address to listen at, which nothing else in the file does: what asks nobody who they are stands apart from what
    /// everybody reaches.
    pub(super) fn listener(&mut self, value: &Value<'_>) -> Option<SocketAddr> {
        let address = value.parsed(listen)?;
        if let Some(other) = self.listeners.get(&address) {
            value.report(format_args!(
                "is the address of `{other}`; choose another port"
            ));
            return None;
        }
        self.listeners.insert(address, value.name().to_string());
        Some(address)
    }

    /// One for operators and for what stands in front.
    fn private_listener(&mut self, value: &Value<'_>) -> Option<SocketAddr> {
        let private = self.listener(value)?;
        if !is_private(private.ip()) {
            self.warn(
                value,
                "others than this machine and its network may reach it, and it asks nobody who they are; \
                 expected a loopback or a private address",
            );
        }
        Some(private)
    }

    fn read_policy(&mut self, value: &Value<'_>) -> Option<()> {
        let path = self.path(value)?;
        match self.outside.file(&path) {
            Ok(contents) => {
                self.policy = Some(PolicyText {
                    path,
                    text: contents.text,
                });
                Some(())
            }
            Err(error) => {
                value.report(format_args!("can't read `{}`: {error}", path.display()));
                None
            }
        }
    }

    /// A path, relative to the file.
    pub(super) fn path(&self, value: &Value<'_>) -> Option<PathBuf> {
        value.parsed(|text| match text {
            "" => Err("expected a path, found an empty text"),
            _ => Ok(self.directory.join(text)),
        })
    }

    /// Tells of something legal and likely wrong.
    pub(super) fn warn(&mut self, value: &Value<'_>, message: impl std::fmt::Display) {
        let message = format!("`{}`: {message}", value.name());
        self.warnings.push(value.place().problem(message));
    }
}

impl Written {
    pub(super) fn has_refreshing_clients(&self) -> bool {
        let mut clients = self.clients.values();
        clients.any(|client| client.may(GrantType::RefreshToken))
    }

    pub(super) fn install(
        self,
        policy: PolicyInForce,
        policy_file: PolicyFile,
        warnings: Problems,
    ) -> Result<Installation, Problems> {
        let mut resources = self.resources;
        for client in self.clients.values() {
            for audience in client.audiences() {
                resources
                    .entry(audience.clone())
                    .or_insert(client::RESOURCE);
            }
        }
        let settings = Settings {
            issuer: self.server.issuer,
            clients: self.clients,
            resources,
            registries: self.registries,
            webhook: self.webhook,
        };
        // Each rule has been checked at its place; the server's own check has the last word.
        let refusal = |error: &dyn std::fmt::Display| {
            let problem = self.server.issuer_place.problem(error.to_string());
            std::iter::once(problem).collect::<Problems>()
        };
        settings.check().map_err(|error| refusal(&error))?;
        let decision_log = self.decision_log.settings(&self.server.data_dir);
        let audit_log = self.audit_log.settings(&self.server.data_dir);
        Ok(Installation {
            settings,
            policy,
            policy_file,
            providers: self.providers,
            private_hosts: self.network.private_hosts,
            name_servers: self.network.name_servers,
            listen: self.server.listen,
            private_listen: self.server.private_listen,
            forward_auth_listen: self.server.forward_auth_listen,
            registry_listeners: self.registry_listeners,
            data_dir: self.server.data_dir,
            keys: self.keys,
            limits: LimitSettings {
                proxies: self.server.proxies,
                ..self.limits
            },
            store: self.store,
            workers: self.server.workers,
            drain_delay: self.server.drain_delay,
            log: self.log,
            traces: self.traces,
            decision_log,
            audit_log,
            warnings,
        })
    }
}

impl Log {
    const DEFAULT: Self = Self {
        format: LogFormat::Text,
        level: LogLevel::Info,
    };
}

fn version(value: &Value<'_>) -> Option<()> {
    let found = value.integer(0..=i64::MAX)?;
    if found != VERSION {
        value.report(format_args!(
            "expected {VERSION}, the only version there is, found {found}"
        ));
    }
    (found == VERSION).then_some(())
}

fn listen(text: &str) -> Result<SocketAddr, &'static str> {
    const EXPECTED: &str = "expected an address and a port such as `127.0.0.1:8080` or `[::1]:8080`; names are not looked up";
    text.parse().map_err(|_| EXPECTED)
}

fn drain_delay(value: &Value<'_>) -> Option<Duration> {
    let delay = value.duration()?;
    if delay > LONGEST_DRAIN {
        value.report("expected at most `5m`: nothing that balances load takes longer to notice");
        return None;
    }
    Some(delay.unsigned_abs())
}

/// Loopback, or a network that is nobody's on the internet (RFC 1918, RFC 4193, RFC 3927).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// What is asked elsewhere, and by whose word.
#[derive(Debug, Default)]
struct Network {
    private_hosts: PrivateHosts,
    name_servers: NameServers,
}

fn network(table: &mut Table<'_>) -> Option<Network> {
    let hosts = table.optional("private_hosts", |value| {
        value.set(|item| item.parsed(address::host))
    });
    let servers = table.optional("name_servers", |value| {
        value.set(|item| item.parsed(name_server))
    });
    let servers: BTreeSet<SocketAddr> = servers?.unwrap_or_default();
    Some(Network {
        private_hosts: PrivateHosts::new(hosts?.unwrap_or_default()),
        name_servers: NameServers::at(servers.into_iter().collect()),
    })
}

fn name_server(text: &str) -> Result<SocketAddr, &'static str> {
    const EXPECTED: &str = "expected the address of a resolver such as `10.0.0.53` or `127.0.0.1:5353`; names are not looked up";
    const PORT: u16 = 53;
    let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    plain.or_else(|_| text.parse()).map_err(|_| EXPECTED)
}

fn log(table: &mut Table<'_>) -> Option<Log> {
    let format = table.optional_or("format", Log::DEFAULT.format, |value| {
        value.one_of(&FORMATS)
    });
    let level = table.optional_or("level", Log::DEFAULT.level, |value| value.one_of(&LEVELS));
    Some(Log {
        format: format?,
        level: level?,
    })
}

/// What people are shown: one line, not empty.
pub(super) fn text(value: &Value<'_>) -> Option<String> {
    value.parsed(|text| {
        let is_good = (1..=64).contains(&text.chars().count())
            && !text.trim().is_empty()
            && !text.contains(char::is_control);
        is_good
            .then(|| text.to_owned())
            .ok_or("expected a text of 1 to 64 characters on one line")
    })
}

pub(super) fn only_true(value: &Value<'_>) -> Option<()> {
    let flag = value.boolean()?;
    if !flag {
        value.report("`false` is what holds without it; leave it out");
    }
    flag.then_some(())
}

/// Reports an empty list or table where something is needed.
pub(super) fn at_least_one(value: &Value<'_>, has_one: bool) -> Option<()> {
    if !has_one {
        value.report("expected at least one entry, found none");
    }
    has_one.then_some(())
}
