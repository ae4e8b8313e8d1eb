//! How far a command has come: a bar on a terminal, a line now and then elsewhere, or nothing.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tell;

/// How many lines there are from the beginning to the end where stderr is no terminal.
const LINES: u64 = 10;
/// What takes no longer than this many steps needs no lines.
const FEW: u64 = 100_000;

const TEMPLATE: &str = "{msg} [{bar:40}] {human_pos}/{human_len}, {eta} left";

/// Whether progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verbosity {
    Told,
    Quiet,
}

/// How far one pass has come.
#[derive(Debug)]
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines {
        what: &'static str,
        done: u64,
        all: u64,
    },
    Quiet,
}

impl Progress {
    /// `what` is done, `all` times.
    pub(super) fn start(what: &'static str, all: u64, verbosity: Verbosity) -> Self {
        match verbosity {
            Verbosity::Quiet => Self::Quiet,
            Verbosity::Told if io::stderr().is_terminal() => Self::Bar(bar(what, all)),
            Verbosity::Told => Self::Lines { what, done: 0, all },
        }
    }

    pub(super) fn advance(&mut self, steps: u64) {
        match self {
            Self::Bar(bar) => bar.inc(steps),
            Self::Lines { what, done, all } => {
                let before = part(*done, *all);
                *done += steps;
                let now = part(*done, *all);
                if now > before && *all > FEW {
                    tell(format_args!("{what}: {now}0 %"));
                }
            }
            Self::Quiet => {}
        }
    }

    /// Clears the bar, before anything else is told.
    pub(super) fn end(self) {
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines { .. } | Self::Quiet => {}
        }
    }
}

/// How many tenths are done.
fn part(done: u64, all: u64) -> u64 {
    done.saturating_mul(LINES) / all.max(1)
}

fn bar(what: &'static str, all: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
    // A template that can't be read would leave the usual bar, which will do.
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style).with_message(what),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_told_in_tenths_and_nothing_has_none() {
        assert_eq!(
            [0, 99, 100, 999, 1000].map(|done| part(done, 1000)),
            [0, 0, 1, 9, 10]
        );
        assert_eq!(part(0, 0), 0);
    }
}
