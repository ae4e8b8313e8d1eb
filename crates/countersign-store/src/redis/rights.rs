//! Whether the user may do all that the store does, found out without writing anything.

use super::link::{Link, reply_at};
use super::names::Names;
use crate::{Once, StoreError};

/// Runs each command of the scripts on a key that is not there, so that it changes nothing: what would write is told
/// to change only what is there, or is given a value that is none. Redis looks at rights before at either.
const PROBE: &str = r#"
local calls = {
    {'EXISTS'}, {'GET'}, {'PTTL'}, {'PEXPIRE', '1'}, {'SET', '', 'XX'},
    {'HGET', 'f'}, {'HMGET', 'f'}, {'HGETALL'}, {'HKEYS'}, {'HDEL', 'f'},
    {'HSET', 'f', 'v', 'f-without-a-value'}, {'HINCRBY', 'f', 'not-a-number'},
    {'ZADD', 'XX', '1', 'm'}, {'ZREM', 'm'}, {'ZSCORE', 'm'}, {'ZRANGEBYLEX', '-', '+'}, {'ZRANGEBYSCORE', '0', '0'},
    {'ZREVRANGE', '0', '0'}, {'ZREVRANGEBYSCORE', '0', '0'}, {'ZREMRANGEBYSCORE', '0', '0'},
}
local denied = {}
for _, call in ipairs(calls) do
    local name = table.remove(call, 1)
    local answer = redis.pcall(name, KEYS[1], unpack(call))
    local said = type(answer) == 'table' and answer.err or ''
    if string.find(said, 'permission') or string.find(said, "can't") then
        table.insert(denied, string.lower(name))
    end
end
return denied
"#;
/// How many keys to try: in a cluster each is at one node, and each node has rights of its own.
const KEYS: u8 = 16;

/// The commands that the user may not run on our keys.
pub(super) async fn missing(link: &Link, names: &Names) -> Result<Vec<String>, StoreError> {
    let mut denied = Vec::new();
    for n in 0..KEYS {
        let key = names.once(&Once([n; 32]));
        let mut question = redis::pipe();
        question.cmd("WAIT").arg(0).arg(0);
        question.cmd("EVAL").arg(PROBE).arg(1).arg(&key);
        let mut answers = link.read(&key, question).await?;
        let told = reply_at(&mut answers, 1)?.0.into_iter().flatten();
        denied.extend(told.map(|name| String::from_utf8_lossy(&name).into_owned()));
    }
    denied.sort();
    denied.dedup();
    Ok(denied)
}
