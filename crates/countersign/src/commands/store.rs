//! The store that the configuration names, opened for what a command does.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use countersign::config::{Installation, StoreSettings};
use countersign_server::{Clock, SystemClock};
use countersign_store::{Embedded, Redis, RedisSettings, Store, StoreError};
use jiff::{SignedDuration, Timestamp};

/// How long to write beside a server before it gets its turn.
const TURN: SignedDuration = SignedDuration::from_millis(250);
/// SQLite asks for its lock again every 100 ms at the latest (`sqliteDefaultBusyCallback`): a
/// pause that is longer is a turn for whoever waits, and a login waits for two seconds.
const PAUSE: Duration = Duration::from_millis(110);

/// Opens the store to serve from it.
pub(super) fn to_serve(installation: &Installation, path: &Path) -> Result<Arc<dyn Store>> {
    let path = path.display();
    match &installation.store {
        StoreSettings::DataDirectory => {
            let store = Embedded::open(&installation.data_dir).map_err(|error| {
                anyhow!(
                    "{error}; it must be a directory that this user can write to and nobody else can use: \
                     `server.data_dir` in `{path}` names it"
                )
            })?;
            Ok(Arc::new(store))
        }
        StoreSettings::Redis(settings) => {
            // What else is kept there is ours alone, too.
            make_private(&installation.data_dir)?;
            let store = reached(settings)
                .with_context(|| format!("`store.redis` in `{path}` says where Redis is"))?;
            Ok(Arc::new(store))
        }
    }
}

/// Opens the store to look something up.
pub(super) fn to_look(installation: &Installation) -> Result<Arc<dyn Store>> {
    Ok(match &installation.store {
        StoreSettings::DataDirectory => Arc::new(Embedded::open_to_look(&installation.data_dir)?),
        StoreSettings::Redis(settings) => Arc::new(Redis::new((**settings).clone())?),
    })
}

/// Opens the store to look something up, if there is one yet.
pub(super) fn to_look_if_there(installation: &Installation) -> Result<Option<Arc<dyn Store>>> {
    let is_there = match installation.store {
        StoreSettings::DataDirectory => Embedded::is_there(&installation.data_dir)?,
        StoreSettings::Redis(_) => true,
    };
    is_there.then(|| to_look(installation)).transpose()
}

/// Opens the store to change something in it, beside a server or without one.
pub(super) fn to_change(installation: &Installation) -> Result<Arc<dyn Store>> {
    Ok(match &installation.store {
        StoreSettings::DataDirectory => Arc::new(Embedded::open_to_change(&installation.data_dir)?),
        StoreSettings::Redis(settings) => Arc::new(Redis::new((**settings).clone())?),
    })
}

/// A store that accounts, or organisations, are brought into.
pub(super) enum Importing {
    /// Files, of which a server that has them open too would like its share.
    Embedded(Box<Embedded>),
    /// Servers, which see to that by themselves.
    Redis(Redis),
}

impl Importing {
    /// Opens the store to bring much into it, beside a server or without one.
    pub(super) fn open(installation: &Installation) -> Result<Self, StoreError> {
        match &installation.store {
            StoreSettings::DataDirectory => {
                let store = Embedded::open_for_import(&installation.data_dir)?;
                Ok(Self::Embedded(Box::new(store)))
            }
            StoreSettings::Redis(settings) => Redis::new((**settings).clone()).map(Self::Redis),
        }
    }

    /// The store.
    pub(super) fn store(&self) -> &dyn Store {
        match self {
            Self::Embedded(store) => store.as_ref(),
            Self::Redis(store) => store,
        }
    }

    /// Whether a server waits for our pauses.
    pub(super) fn must_give_way(&self) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => store.is_served(),
            Self::Redis(_) => Ok(false),
        }
    }
}

/// Since when it is our turn to write.
#[derive(Debug)]
pub(super) struct Turn(Timestamp);

impl Turn {
    pub(super) fn begin() -> Self {
        Self(SystemClock.now())
    }

    /// Pauses now and then, where a server would like to write too.
    pub(super) fn give_way(&mut self, importing: &Importing) -> Result<(), StoreError> {
        if SystemClock.now().duration_since(self.0) < TURN {
            return Ok(());
        }
        if importing.must_give_way()? {
            std::thread::sleep(PAUSE);
        }
        *self = Self::begin();
        Ok(())
    }
}

fn reached(settings: &RedisSettings) -> Result<Redis> {
    let store = Redis::new(settings.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let nodes = runtime.block_on(store.survey()).map_err(|error| {
        anyhow!(
            "{error}; {} must be running and reachable from here",
            settings.servers
        )
    })?;
    for node in &nodes {
        tracing::info!(address = %node.address, version = node.version, "Redis is reached");
        for warning in node.warnings(settings.replicas) {
            tracing::warn!("{warning}");
        }
    }
    Ok(store)
}

pub(super) fn make_private(directory: &Path) -> Result<()> {
    if fs::exists(directory).unwrap_or_default() {
        return Ok(());
    }
    let made = DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(directory);
    made.with_context(|| {
        format!(
            "`{}` can't be made (`server.data_dir`)",
            directory.display()
        )
    })
}
