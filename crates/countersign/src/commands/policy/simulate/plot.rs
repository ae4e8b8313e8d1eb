//! What becomes of each day's sign-ins, as stacked bars: one SVG file that needs nothing else.
//!
//! A template, not a charting library: this is one picture of rectangles, and `plotters` (whose last
//! release is of 2024) would bring more crates than this has lines, and no dark mode, no tooltips and
//! no words for who can't see it.

use std::collections::BTreeMap;

use askama::Template;
use countersign_core::simulate::{AsOf, Fate, Fates, Report};
use jiff::ToSpan;
use jiff::civil::Date;

use super::table::number;

/// Draws it.
pub(super) fn draw(report: &Report, as_of: AsOf) -> askama::Result<String> {
    Plot::of(report, as_of).render()
}

/// Where the bars stand, in units of the picture.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 940.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 400.0;
/// What stands around the text of an entry of the legend, and how wide a character is in any font.
const SWATCH: f64 = 44.0;
const CHARACTER: f64 = 7.2;
/// A bar of a log of few days is no wall.
const WIDEST_BAR: f64 = 64.0;
/// More days than anybody can tell apart: what comes after is not drawn.
const MOST_DAYS: usize = 1_500;
/// How many days are named below the bars, at most.
const NAMED_DAYS: usize = 8;

#[derive(Template)]
#[template(path = "plot.svg")]
struct Plot {
    subtitle: String,
    description: String,
    bars: Vec<Bar>,
    days: Vec<Mark>,
    counts: Vec<Mark>,
    legend: Vec<Entry>,
}

/// A day's sign-ins of one kind.
struct Bar {
    class: &'static str,
    x: String,
    y: String,
    width: String,
    height: String,
    title: String,
}

/// A name at an axis.
struct Mark {
    at: String,
    text: String,
}

struct Entry {
    class: &'static str,
    x: String,
    text: String,
}

impl Plot {
    fn of(report: &Report, as_of: AsOf) -> Self {
        let days = every_day(report);
        let highest = days.iter().map(|(_, fates)| fates.sum()).max().unwrap_or(0);
        let step = tick(highest);
        let scale = Scale {
            day: (RIGHT - LEFT) / float(days.len().max(1)),
            sign_in: (BOTTOM - TOP) / whole(highest.div_ceil(step).max(1) * step),
        };
        let bars = days.iter().enumerate();
        Self {
            subtitle: subtitle(report, as_of),
            description: description(report),
            bars: bars
                .flat_map(|(index, (day, fates))| scale.bars(index, *day, fates))
                .collect(),
            days: scale.named_days(&days),
            counts: scale.counts(highest, step),
            legend: legend(&report.sign_ins),
        }
    }
}

/// Every day from the first to the last, also those without a sign-in.
fn every_day(report: &Report) -> Vec<(Date, Fates)> {
    let by_day: BTreeMap<Date, Fates> = report
        .by
        .day
        .iter()
        .filter_map(|group| Some((group.name.as_ref()?.parse().ok()?, group.tally.sign_ins)))
        .collect();
    let (Some(first), Some(last)) = (by_day.keys().next(), by_day.keys().next_back()) else {
        return Vec::new();
    };
    let days = first.series(1.day()).take_while(|day| day <= last);
    days.take(MOST_DAYS)
        .map(|day| (day, by_day.get(&day).copied().unwrap_or_default()))
        .collect()
}

/// How many units of the picture a day and a sign-in are.
struct Scale {
    day: f64,
    sign_in: f64,
}

impl Scale {
    /// The bars of one day, one on the other, the best at the bottom.
    fn bars(&self, index: usize, day: Date, fates: &Fates) -> Vec<Bar> {
        let width = (self.day * 0.8).min(WIDEST_BAR);
        let x = self.middle(index) - width / 2.0;
        let mut below = 0;
        let mut bars = Vec::new();
        for (fate, count) in fates.iter().filter(|(_, count)| *count > 0) {
            below += count;
            bars.push(Bar {
                class: fate.as_str(),
                x: format!("{x:.1}"),
                y: format!("{:.1}", self.height(below)),
                width: format!("{width:.1}"),
                height: format!("{:.1}", whole(count) * self.sign_in),
                title: format!("{day}: {} {}", number(count), in_words(fate)),
            });
        }
        bars
    }

    fn named_days(&self, days: &[(Date, Fates)]) -> Vec<Mark> {
        let every = days.len().div_ceil(NAMED_DAYS).max(1);
        let named = days.iter().enumerate().step_by(every);
        named
            .map(|(index, (day, _))| Mark {
                at: format!("{:.1}", self.middle(index)),
                text: day.to_string(),
            })
            .collect()
    }

    fn counts(&self, highest: u64, step: u64) -> Vec<Mark> {
        let steps = 0..=highest.div_ceil(step).max(1);
        steps
            .map(|count| Mark {
                at: format!("{:.1}", self.height(count * step)),
                text: number(count * step),
            })
            .collect()
    }

    fn middle(&self, index: usize) -> f64 {
        LEFT + self.day * (float(index) + 0.5)
    }

    fn height(&self, count: u64) -> f64 {
        BOTTOM - whole(count) * self.sign_in
    }
}

/// A round number that divides the axis into some five parts: 1, 2 or 5 and zeros.
fn tick(highest: u64) -> u64 {
    let magnitudes = (0..19).map(|zeros| 10_u64.pow(zeros));
    let mut ticks = magnitudes.flat_map(|one| [1, 2, 5].map(|by| one.saturating_mul(by)));
    ticks.find(|tick| highest / tick <= 5).unwrap_or(u64::MAX)
}

fn subtitle(report: &Report, as_of: AsOf) -> String {
    let sign_ins = number(report.sign_ins.sum());
    let away = number(report.accounts.newly_turned_away);
    let when = match as_of {
        AsOf::Recorded => String::new(),
        AsOf::Day(day) => format!(", as if they came on {day}"),
        AsOf::Later(days) => format!(", as if they came {days} days later"),
    };
    format!("{sign_ins} recorded sign-ins{when}; {away} accounts newly turned away")
}

/// The picture in words.
fn description(report: &Report) -> String {
    let totals: Vec<String> = report
        .sign_ins
        .iter()
        .map(|(fate, count)| format!("{} {}", number(count), in_words(fate)))
        .collect();
    format!(
        "Stacked bars, one for each day. In all: {}.",
        totals.join(", ")
    )
}

fn legend(totals: &Fates) -> Vec<Entry> {
    let mut x = LEFT;
    let mut entries = Vec::new();
    for (fate, count) in totals.iter() {
        let text = format!("{} ({})", in_words(fate), number(count));
        let width = SWATCH + CHARACTER * float(text.len());
        entries.push(Entry {
            class: fate.as_str(),
            x: format!("{x:.1}"),
            text,
        });
        x += width;
    }
    entries
}

fn in_words(fate: Fate) -> &'static str {
    match fate {
        Fate::LetIn => "let in",
        Fate::Reminded => "let in with a reminder",
        Fate::SteppedUp => "stepped up",
        Fate::TurnedAway => "turned away",
    }
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn whole(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_some_five_parts() {
        for (highest, expected) in [
            (0, 1),
            (5, 1),
            (6, 2),
            (29, 5),
            (30, 10),
            (1_234, 500),
            (60_000, 20_000),
        ] {
            let step = tick(highest);
            assert_eq!(step, expected, "{highest}");
            assert!(highest.div_ceil(step) <= 6, "{highest}");
        }
        assert!(tick(u64::MAX) > 1);
    }
}
