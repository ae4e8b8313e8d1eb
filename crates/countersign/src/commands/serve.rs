//! `countersign serve`: from the files to a server that answers, and back to rest.

mod audit_log;
mod decision_log;
mod exceptions;
mod key_notices;
mod keys;
mod reload;
mod retention;
mod traces;
mod watch;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt;
use anyhow::{Context, Result, anyhow};
use countersign::config::{Installation, ProviderSettings};
use countersign_providers::{Http, PrivateHosts, Provider};
use countersign_server::{
    AuditLog, Broker, Clock, DecisionLog, Listeners, Parts, Private, Serving, ServingHandle,
    SystemClock,
};
use countersign_store::{Store, Traced};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::reload::{Configuration, Reload};
pub(super) use self::traces::Collecting;
use self::traces::Traces;
use super::{load, log, store};

/// How often the store forgets what has expired. Nothing but disk space depends on it.
const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// How long to wait for the last request to let go of the store, in steps of 10 ms.
const CLOSING_STEPS: usize = 100;

pub(crate) fn run(path: &Path) -> ExitCode {
    let Some(installation) = load(path) else {
        return ExitCode::FAILURE;
    };
    let traces = installation.traces.clone().map(Traces::new);
    log::start(installation.log, traces.as_ref().map(Traces::layer));
    for warning in &installation.warnings {
        tracing::warn!("{warning}");
    }
    match serve(installation, path, traces) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(installation: Installation, path: &Path, traces: Option<Traces>) -> Result<()> {
    let bound = Bound::new(&installation, path)?;
    let configuration = Configuration::read(path)?;
    let (store, http, providers) = open(&installation, path)?;
    let closing = Arc::clone(&store);
    let decisions = decision_log::open(&installation, path)?;
    let audit = audit_log::open(&installation, store.as_ref(), path)?;
    let sending = traces.map(Traces::send).transpose()?;
    let logs = (Arc::clone(&decisions), Arc::clone(&audit));
    let opened = (store, (http, providers), logs);
    let serving = serve_from(installation, configuration, opened, bound);
    let ended = rt::System::new().block_on(serving);
    let audited = audit_log::close(&audit, closing.as_ref());
    if ended.is_ok() {
        close(closing);
    }
    // However it ended, what was decided is written down.
    let written = decisions.close();
    if let Some(sending) = sending {
        sending.close();
    }
    ended?;
    written?;
    audited?;
    tracing::info!("stopped");
    Ok(())
}

/// Where people, proxies and tools ask, and where operators do.
struct Bound {
    listeners: Listeners,
    private: Option<TcpListener>,
}

impl Bound {
    fn new(installation: &Installation, path: &Path) -> Result<Self> {
        let bind = |address, setting: &str| {
            TcpListener::bind(address)
                .map_err(|error| no_listener((address, setting), &error, path))
        };
        let private = installation.private_listen;
        let forward_auth = installation.forward_auth_listen;
        let registries = installation.registry_listeners.iter();
        let registries = registries.map(|(name, address)| {
            let listener = bind(*address, &format!("registry.{name}.listen"))?;
            Ok((name.clone(), listener))
        });
        Ok(Self {
            listeners: Listeners {
                public: bind(installation.listen, "server.listen")?,
                forward_auth: forward_auth
                    .map(|address| bind(address, "server.forward_auth_listen"))
                    .transpose()?,
                registries: registries.collect::<Result<_>>()?,
            },
            private: private
                .map(|address| bind(address, "server.private_listen"))
                .transpose()?,
        })
    }
}

/// Opens the store while the machine's trust store is loaded: each takes its time at a start.
fn open(installation: &Installation, path: &Path) -> Result<(Arc<dyn Store>, Http, Vec<Provider>)> {
    let hosts = installation.private_hosts.clone();
    let settings = installation.providers.clone();
    let providers = thread::spawn(|| build(hosts, settings));
    let mut store = store::to_serve(installation, path)?;
    if installation.traces.is_some() {
        store = Arc::new(Traced(store));
    }
    let providers = providers
        .join()
        .map_err(|_| anyhow!("the HTTP client can't be built"))??;
    let (http, providers) = providers;
    Ok((store, http, providers))
}

fn build(hosts: PrivateHosts, settings: Vec<ProviderSettings>) -> Result<(Http, Vec<Provider>)> {
    let http = Http::new(hosts).context(
        "the HTTP client can't be built; are the machine's certificates (`ca-certificates`) installed?",
    )?;
    let build = |one: ProviderSettings| one.build(http.clone());
    let providers = settings.into_iter().map(build).collect();
    Ok((http, providers))
}

/// What a server is built from besides the configuration.
type Opened = (
    Arc<dyn Store>,
    (Http, Vec<Provider>),
    (Arc<DecisionLog>, Arc<AuditLog>),
);

async fn serve_from(
    installation: Installation,
    configuration: Configuration,
    (store, (http, providers), (decision_log, audit_log)): Opened,
    bound: Bound,
) -> Result<()> {
    let signals = Signals::listen().context("can't listen for signals")?;
    let hangup = || signal(SignalKind::hangup()).context("can't listen for signals");
    let reopening = decision_log::reopen(Arc::clone(&decision_log), hangup()?);
    let reopening_audit = audit_log::reopen(Arc::clone(&audit_log), hangup()?);
    let heads = audit_log::tell_heads(&audit_log, Arc::downgrade(&store));
    let reloading = hangup()?;
    let (sweeping, warning) = (Arc::downgrade(&store), Arc::clone(&store));
    let Installation {
        settings,
        policy,
        policy_file,
        keys,
        limits,
        name_servers,
        ..
    } = installation;
    let knows_addresses = limits.proxies.trusted.is_some();
    let issuer = settings.issuer().to_owned();
    let hash = policy.hash;
    let parts = Parts {
        http: Some(http),
        name_servers,
        keys,
        limits,
        decision_log,
        audit_log: Arc::clone(&audit_log),
        ..Parts::new(settings, policy, providers, store)
    };
    let broker = Broker::new(parts).await?;
    let reload = Reload {
        policy: broker.policy_handle(),
        file: policy_file,
        audit_log: Arc::clone(&audit_log),
        configuration,
    };
    let warning = exceptions::warn_daily(broker.policy_handle(), warning);
    let upkeep = keys::keep(broker.key_upkeep());
    let forgetting = retention::keep(broker.retention());
    let telling = key_notices::keep(broker.key_notices());
    let private = Beside::start(broker.private(), bound.private)?;
    let address = bound.listeners.public.local_addr()?;
    tell_of_doors(&bound.listeners)?;
    let workers = installation.workers.unwrap_or_else(cores);
    let server = broker.serve(bound.listeners, workers)?;
    let delay = installation.drain_delay;
    let beside = [
        rt::spawn(sweep(sweeping)),
        rt::spawn(reload.run(reloading)),
        rt::spawn(reopening),
        rt::spawn(reopening_audit),
        rt::spawn(heads),
        rt::spawn(warning),
        rt::spawn(upkeep),
        rt::spawn(forgetting),
        rt::spawn(telling),
    ];
    audit_log::started(&audit_log, hash);
    tracing::info!(%address, issuer, workers, policy = %hash, "ready");
    if !knows_addresses {
        tracing::warn!(
            code = "addresses-unknown",
            "`server.trusted_proxies` is not set: where a proxy stands in front, nothing is limited by address"
        );
    }
    let ended = until_stopped(server, signals, (&private.told, delay)).await;
    beside.iter().for_each(rt::task::JoinHandle::abort);
    private.stop().await;
    ended
}

/// The private listener, which goes on telling until the public one has ended.
struct Beside {
    told: Private,
    server: Option<ServerHandle>,
}

impl Beside {
    fn start(told: Private, listener: Option<TcpListener>) -> Result<Self> {
        let server = listener.map(|listener| listen_privately(&told, listener));
        let server = server.transpose()?;
        Ok(Self { told, server })
    }

    async fn stop(self) {
        if let Some(server) = self.server {
            server.stop(false).await;
        }
    }
}

fn listen_privately(told: &Private, listener: TcpListener) -> Result<ServerHandle> {
    let address = listener.local_addr()?;
    let server = told.serve(listener)?;
    let handle = server.handle();
    rt::spawn(server);
    tracing::info!(%address, "operators are answered");
    Ok(handle)
}

fn tell_of_doors(listeners: &Listeners) -> Result<()> {
    if let Some(listener) = &listeners.forward_auth {
        tracing::info!(address = %listener.local_addr()?, "proxies are answered");
    }
    for (registry, listener) in &listeners.registries {
        tracing::info!(address = %listener.local_addr()?, %registry, "a registry's tools are answered");
    }
    Ok(())
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// Serves until a signal, then until the requests in flight are answered; a second signal cuts them off.
///
/// From the first signal on `/readyz` says so, and only after the delay are no more connections taken: whoever
/// sends requests here needs a moment to see it.
async fn until_stopped(
    server: Serving,
    mut signals: Signals,
    (private, delay): (&Private, Duration),
) -> Result<()> {
    let handle = server.handle();
    let stop = async {
        let name = signals.next().await;
        private.stopping();
        tracing::info!(
            code = "stopping",
            ?delay,
            "{name}: finishing the requests in flight"
        );
        stop_gracefully(&handle, delay, &mut signals).await
    };
    let server = rt::spawn(server.run());
    tokio::select! {
        stopped = stop => return stopped,
        ended = server => ended??,
    }
    Ok(())
}

async fn stop_gracefully(
    handle: &ServingHandle,
    delay: Duration,
    signals: &mut Signals,
) -> Result<()> {
    let stopped = async {
        tokio::time::sleep(delay).await;
        handle.stop(true).await;
    };
    tokio::select! {
        () = stopped => Ok(()),
        name = signals.next() => Err(anyhow!("{name} again: stopped at once")),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn sweep(store: Weak<dyn Store>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.sweep(SystemClock.now()).await {
            tracing::warn!("what has expired could not be forgotten: {error}");
        }
    }
}

/// The worker threads end a moment after the server; the one that lets go of the store last closes it.
fn close(store: Arc<dyn Store>) {
    for _ in 0..CLOSING_STEPS {
        if Arc::strong_count(&store) == 1 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    drop(store);
}

fn no_listener(
    (address, setting): (SocketAddr, &str),
    error: &io::Error,
    path: &Path,
) -> anyhow::Error {
    let path = path.display();
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "stop what listens there, or",
        ErrorKind::AddrNotAvailable => "this machine has no such address:",
        ErrorKind::PermissionDenied => "ports below 1024 need a privilege:",
        _ => "to listen elsewhere",
    };
    anyhow!("can't listen on `{address}`: {error}; {advice} change `{setting}` in `{path}`")
}
