//! What is counted, so that not too much of it happens: one number for each bucket.
//!
//! The number is computed here and written if nobody has written another meanwhile; whoever was slower computes anew.

use jiff::{SignedDuration, Timestamp};

use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{corrupt, unexpected};
use super::script::{Call, Script};
use super::sign_in::{micros, time_to_live};
use crate::{Bucket, Rate, Spent, StoreError};

/// How often a number that others write too is tried. Whoever loses as often as that is one of very many.
const TRIES: usize = 64;

/// Counts one more, if there is room for it.
pub(super) async fn spend(
    link: &Link,
    names: &Names,
    bucket: &Bucket,
    rate: Rate,
    now: Timestamp,
) -> Result<Spent, StoreError> {
    let key = names.bucket(bucket);
    let moment = |micros: i64| {
        let time = Timestamp::from_microsecond(micros);
        time.map_err(|_| corrupt(&key, "its time is none"))
    };
    for _ in 0..TRIES {
        let mut question = redis::pipe();
        question.cmd("GET").arg(&key);
        let mut answers = link.read(&key, question).await?;
        let paid_at: Option<i64> = reply_at(&mut answers, 0)?.number(0);
        let next = match rate.spend(paid_at.unwrap_or_default(), now.as_microsecond()) {
            Ok(next) => next,
            Err(then) => {
                let until = moment(then)?;
                return Ok(Spent::Over { until });
            }
        };
        let call = Call {
            script: Script::Swap,
            keys: vec![key.clone()],
            arguments: vec![
                paid_at.map_or(Vec::new(), |paid_at| paid_at.to_string().into_bytes()),
                micros(moment(next)?),
                time_to_live(moment(next)?, now),
            ],
        };
        match link.write(call).await?.word() {
            "swapped" => return Ok(Spent::Within),
            "conflict" => {}
            _ => return Err(unexpected()),
        }
    }
    // So many at once are too many, whatever the number is by now.
    let until = now.saturating_add(SignedDuration::from_secs(1));
    Ok(Spent::Over {
        until: until.unwrap_or(Timestamp::MAX),
    })
}
