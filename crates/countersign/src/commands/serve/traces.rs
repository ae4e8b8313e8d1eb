//! Traces for a collector of OpenTelemetry: what was noted of requests is sent there every second, from a thread
//! of its own.
//!
//! No request waits for it. Where the collector does not answer, spans are lost; the log tells so, at most
//! once a minute.

mod layer;
mod otlp;

use std::error::Error as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as threads};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use countersign::config::TraceSettings;
use countersign_server::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

pub(in crate::commands) use self::layer::Collecting;
use self::layer::Noted;

/// How long what has ended waits for company.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// How many requests may wait, each with some ten spans of half a kilobyte. What is more is lost.
const MOST_WAITING: usize = 4096;
/// How many spans are sent at once: some 300 kB.
const MOST_AT_ONCE: usize = 512;
/// How long a connection to the collector may take, and an answer of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the program waits for what is left. It is a part of the 60 seconds in `deploy/`.
const LAST_WAIT: Duration = Duration::from_secs(3);
/// How often the log tells of what is lost.
const TELL_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Traces that are collected and not sent yet.
pub(super) struct Traces {
    settings: TraceSettings,
    layer: Collecting,
    waiting: Receiver<Noted>,
}

impl Traces {
    pub(super) fn new(settings: TraceSettings) -> Self {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let layer = Collecting {
            queue,
            sample: settings.sample,
            lost: Arc::default(),
        };
        Self {
            settings,
            layer,
            waiting,
        }
    }

    /// What notes the spans.
    pub(super) fn layer(&self) -> Collecting {
        self.layer.clone()
    }

    /// Sends them from now on.
    pub(super) fn send(self) -> Result<Sending> {
        let mut sender = Sender {
            client: client().context("the HTTP client for traces can't be built")?,
            settings: self.settings,
            dropped: self.layer.lost,
            lost: 0,
            cause: String::new(),
            quiet_until: Timestamp::MIN,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let (ended, end) = threads::channel();
        thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                runtime.block_on(sender.run(self.waiting, stopped));
                let _ = ended.send(()); // nobody waits any more
            })?;
        Ok(Sending { stop, end })
    }
}

/// The thread that sends.
pub(super) struct Sending {
    stop: oneshot::Sender<()>,
    end: threads::Receiver<()>,
}

impl Sending {
    /// Sends what is left, as far as there is time.
    pub(super) fn close(self) {
        let _ = self.stop.send(()); // it has ended, if nobody hears this
        if self.end.recv_timeout(LAST_WAIT).is_err() {
            tracing::warn!(
                code = "traces-lost",
                "the collector did not take the last spans in time"
            );
        }
    }
}

struct Sender {
    client: reqwest::Client,
    settings: TraceSettings,
    /// Requests that found no room in the queue.
    dropped: Arc<AtomicU64>,
    /// How many requests or spans were lost since it was last told, and why.
    lost: u64,
    cause: String,
    quiet_until: Timestamp,
}

impl Sender {
    async fn run(&mut self, mut waiting: Receiver<Noted>, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = interval(SEND_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_open = true;
        while is_open {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut stopped => is_open = false,
            }
            self.send_all(&mut waiting).await;
            self.tell();
        }
    }

    async fn send_all(&mut self, waiting: &mut Receiver<Noted>) {
        loop {
            let mut spans = Vec::new();
            while spans.len() < MOST_AT_ONCE
                && let Ok(request) = waiting.try_recv()
            {
                otlp::add(&mut spans, request);
            }
            if spans.is_empty() {
                return;
            }
            let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
            if let Err(cause) = self.post(&spans).await {
                self.lost = self.lost.saturating_add(count);
                self.cause = cause;
            }
        }
    }

    async fn post(&self, spans: &[Value]) -> Result<(), String> {
        let body = otlp::request(spans).to_string();
        let asking = self
            .client
            .post(self.settings.endpoint.clone())
            .headers(self.settings.headers.clone())
            .header("content-type", "application/json")
            .body(body);
        let answer = asking.send().await.map_err(|error| cause(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answers {status}")),
        }
    }

    fn tell(&mut self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.lost = self.lost.saturating_add(dropped);
            "more ended than it takes".clone_into(&mut self.cause);
        }
        let now = SystemClock.now();
        if self.lost == 0 || now < self.quiet_until {
            return;
        }
        tracing::warn!(
            code = "traces-failing",
            lost = self.lost,
            cause = self.cause,
            "the collector of traces does not take them; nothing else is the worse for it"
        );
        self.lost = 0;
        self.quiet_until = now + TELL_EVERY;
    }
}

/// The error's own text names the address, whose query may hold a key; its source does not.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer in time".to_owned();
    }
    error
        .source()
        .map_or_else(|| "no connection".to_owned(), ToString::to_string)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a collector is in the operator's own network, where the one HTTP client for providers must not go"
)]
fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .build()
}
