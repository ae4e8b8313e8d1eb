//! The store in Redis: whether every primary answers, how it keeps what it is told, whether we may do all that is needed,
//! and whose clock is wrong.

use countersign_store::{Redis, RedisNode, RedisSettings, RedisWarning, StoreError};
use jiff::{SignedDuration, Timestamp};

use super::Patient;
use super::finding::Finding;

const OF: &str = "store";
/// From this difference on a clock is warned of. An answer takes a part of it.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

pub(super) async fn check(settings: &RedisSettings) -> Vec<Finding> {
    let store = match Redis::new(settings.clone()) {
        Ok(store) => store,
        Err(error) => {
            return vec![Finding::failure(
                OF,
                error.to_string(),
                "see `store.redis` in the configuration; nobody can sign in without the store",
            )];
        }
    };
    let nodes = match store.survey().await {
        Ok(nodes) => nodes,
        Err(error) => return vec![unreached(settings, &error)],
    };
    let now = Patient::now();
    let mut findings = vec![judge_rights(store.missing_rights().await, settings)];
    findings.extend(nodes.iter().flat_map(|node| judge(node, settings, now)));
    findings
}

fn unreached(settings: &RedisSettings, error: &StoreError) -> Finding {
    Finding::failure(
        OF,
        format!("{}: {error}", settings.servers),
        "every primary must run, be reachable from here, serve all slots if it is a cluster, and know our user \
         and, if it asks for one, our certificate (docs/stores.md); nobody can sign in without it",
    )
}

fn judge_rights(missing: Result<Vec<String>, StoreError>, settings: &RedisSettings) -> Finding {
    let mend = "give it the rights that docs/stores.md lists, at every node, on keys that begin with `store.redis.key_prefix`";
    let user = settings.login.user.as_deref().unwrap_or("default");
    match missing {
        Ok(none) if none.is_empty() => {
            Finding::fine(OF, format!("{} can be used by `{user}`", settings.servers))
        }
        Ok(missing) => Finding::failure(
            OF,
            format!("the user `{user}` may not run {}", missing.join(", ")),
            mend,
        ),
        Err(error) => Finding::failure(
            OF,
            format!("what the user `{user}` may do can't be found out: {error}"),
            mend,
        ),
    }
}

/// One finding of the node itself, and of each thing that is wrong with it.
fn judge(node: &RedisNode, settings: &RedisSettings, now: Timestamp) -> Vec<Finding> {
    let of = format!("redis {}", node.address);
    let warnings = node.warnings(settings.replicas);
    let wrong = warnings.into_iter().map(|warning| {
        let RedisWarning {
            found,
            mend,
            is_outage,
        } = warning;
        if is_outage {
            Finding::failure(&of, found, mend)
        } else {
            Finding::warning(&of, found, mend)
        }
    });
    let mut findings: Vec<Finding> = wrong.collect();
    if findings.is_empty() {
        let (version, replicas) = (&node.version, node.replicas);
        let found = format!("version {version}, replicas: {replicas}, forgets nothing by itself");
        findings.push(Finding::fine(&of, found));
    }
    findings.extend(node.clock.map(|clock| judge_clock(&of, clock, now)));
    findings
}

fn judge_clock(of: &str, clock: Timestamp, now: Timestamp) -> Finding {
    let ahead = clock.duration_since(now);
    let of = format!("{of}: clock");
    if ahead.abs() < SKEW {
        return Finding::fine(of, "the same as here");
    }
    let seconds = ahead.as_secs();
    Finding::warning(
        of,
        format!("{seconds} seconds ahead of this machine's"),
        "keep all machines by NTP (`timedatectl`): what expires is judged by the clock of each server that is asked",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Health;
    use super::*;

    #[test]
    fn a_clock_that_is_seconds_off_is_warned_of_in_either_direction() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for (ahead, expected) in [
            (0, Health::Ok),
            (4, Health::Ok),
            (-4, Health::Ok),
            (6, Health::Warn),
            (-3600, Health::Warn),
        ] {
            let clock = now + SignedDuration::from_secs(ahead);
            let found = judge_clock("redis a:1", clock, now);
            assert_eq!(found.health, expected, "{ahead}");
        }
    }
}
