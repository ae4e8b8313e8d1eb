//! Where log lines go: stderr.

use countersign::config::{Log, LogFormat, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

/// Starts to log. Called once.
pub(crate) fn start(log: Log) {
    let lines = tracing_subscriber::registry().with(filter(log.level));
    let started = match log.format {
        LogFormat::Text => lines.with(text()).try_init(),
        LogFormat::Json => lines
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    if let Err(error) = started {
        eprintln!("no log: {error}");
    }
}

fn text<S>()
-> fmt::Layer<S, fmt::format::DefaultFields, fmt::format::Format, fn() -> std::io::Stderr>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    use std::io::IsTerminal;
    fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
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
