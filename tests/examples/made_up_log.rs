//! Writes a made-up decision log to stdout, to try `countersign policy simulate` and `diff` on:
//! `cargo run -p countersign-tests --example made_up_log -- POLICY FROM DAYS SIGN-INS-A-DAY ACCOUNTS`.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use countersign_core::Policy;
use countersign_server::PolicyHash;
use countersign_tests::MadeUpLog;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, from, days, a_day, accounts] = arguments.as_slice() else {
        anyhow::bail!("expected POLICY FROM DAYS SIGN-INS-A-DAY ACCOUNTS");
    };
    let text = std::fs::read_to_string(file).with_context(|| file.clone())?;
    let policy = Policy::parse(file, &text).map_err(|all| anyhow::anyhow!("{all}"))?;
    let hash = PolicyHash::of(&text).to_string();
    let from: Timestamp = TimeZone::UTC.to_timestamp(from.parse::<Date>()?.at(0, 0, 0, 0))?;
    let until = from + SignedDuration::from_hours(24 * days.parse::<i64>()?);
    let step = SignedDuration::from_hours(24) / a_day.parse::<i32>()?.max(1);
    let log = MadeUpLog::new((&policy, &hash), from, step, accounts.parse()?);
    let mut out = BufWriter::new(io::stdout().lock());
    for record in log.take_while(|record| record.time < until) {
        serde_json::to_writer(&mut out, &record)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
