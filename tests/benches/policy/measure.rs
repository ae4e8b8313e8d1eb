//! How long something takes: CPU time, which does not depend on what else a machine does.

use std::fs;
use std::time::Instant;

use countersign_tests::measure::this_thread_us;

/// The kernel counts CPU time now and then, so that what is measured must take a while.
const LEAST: f64 = 3e5;
/// Of how many rounds the median counts.
const ROUNDS: usize = 5;

/// What `work` takes, in nanoseconds.
pub(crate) fn nanoseconds(mut work: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| one_round(&mut work)).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn one_round(work: &mut impl FnMut()) -> f64 {
    let before = this_thread_us();
    let mut times = 0.0;
    loop {
        work();
        times += 1.0;
        let took = this_thread_us() - before;
        if took > LEAST {
            return took / times * 1e3;
        }
    }
}

/// What a program takes: seconds that pass, and seconds of all its threads' CPU.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn program_seconds<T>(run: impl FnOnce() -> T) -> (f64, f64, T) {
    let (began, before) = (Instant::now(), of_programs());
    let result = run();
    (
        began.elapsed().as_secs_f64(),
        of_programs() - before,
        result,
    )
}

/// CPU time of the programs that this one has started and waited for, in seconds.
fn of_programs() -> f64 {
    // proc_pid_stat(5): fields 16 and 17, in hundredths of a second; the second may hold spaces.
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<f64> = rest
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(|field| field.parse().expect("a number"))
        .collect();
    fields.iter().sum::<f64>() / 100.0
}
