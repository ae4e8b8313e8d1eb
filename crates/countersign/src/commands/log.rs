//! Where log lines go: stderr.

use std::io::{self, IsTerminal};

use countersign::config::{Log, LogFormat, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::serve::Collecting;
use super::tell;

/// Starts to log, and to collect traces where that is wanted. Called once.
pub(crate) fn start(log: Log, traces: Option<Collecting>) {
    let (layer, filter) = (fmt::layer().with_writer(io::stderr), filter(log.level));
    let lines = match log.format {
        LogFormat::Text => {
            let layer = layer.with_ansi(io::stderr().is_terminal());
            layer.with_filter(filter).boxed()
        }
        // The span of a request is the only one: a list of it would say the same again.
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_span_list(false);
            layer.with_filter(filter).boxed()
        }
    };
    // Where nothing is collected there is no layer for it: one that is `None` wants to hear of every span, so that those of
    // traces would be made, and named at random, at every request.
    let traces = traces.map(|layer| layer.with_filter(Collecting::filter()).boxed());
    let layers: Vec<_> = traces.into_iter().chain([lines]).collect();
    let started = tracing_subscriber::registry().with(layers).try_init();
    if let Err(error) = started {
        tell(format_args!("no log: {error}"));
    }
}

/// The level is that of our own lines: at `debug` an HTTP library writes down headers, and with
/// them tokens.
fn filter(level: LogLevel) -> Targets {
    let ours = level_filter(level);
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_target("countersign", ours)
}

fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
