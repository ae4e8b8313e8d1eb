//! What Redis does in one step: the scripts, each on the keys of one owner.
//!
//! They do what the transactions of the embedded store do. Times come as whole microseconds and are written as they
//! came: Lua's numbers would round what is far away. Whatever answers with a state that another call has
//! written writes it again, so that the `WAIT` which follows covers that state too ([`super`]).

/// A call of a script.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) script: Script,
    /// All in one slot.
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Vec<u8>>,
}

/// The scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    KeepToken,
    OpenSession,
    TakeCode,
    HandOver,
    KeepInUse,
    EndSession,
    TellEnd,
    Add,
    TakeNotices,
    PostponeNotice,
    SettleNotice,
    OpenGrant,
    Rotate,
    EndGrant,
    RevokeToken,
    OpenDeviceRequest,
    AnswerDeviceRequest,
    Remember,
    Swap,
    Claim,
    Release,
    PutRecord,
    ReplaceRecord,
    RemoveRecord,
    SetSignpost,
    Remove,
    PutKey,
    ReplaceKey,
    PutHead,
}

impl Script {
    pub(super) const ALL: [Self; 29] = [
        Self::KeepToken,
        Self::OpenSession,
        Self::TakeCode,
        Self::HandOver,
        Self::KeepInUse,
        Self::EndSession,
        Self::TellEnd,
        Self::Add,
        Self::TakeNotices,
        Self::PostponeNotice,
        Self::SettleNotice,
        Self::OpenGrant,
        Self::Rotate,
        Self::EndGrant,
        Self::RevokeToken,
        Self::OpenDeviceRequest,
        Self::AnswerDeviceRequest,
        Self::Remember,
        Self::Swap,
        Self::Claim,
        Self::Release,
        Self::PutRecord,
        Self::ReplaceRecord,
        Self::RemoveRecord,
        Self::SetSignpost,
        Self::Remove,
        Self::PutKey,
        Self::ReplaceKey,
        Self::PutHead,
    ];

    /// What runs.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::KeepToken => KEEP_TOKEN,
            Self::OpenSession => OPEN_SESSION,
            Self::TakeCode => TAKE_CODE,
            Self::HandOver => HAND_OVER,
            Self::KeepInUse => KEEP_IN_USE,
            Self::EndSession => END_SESSION,
            Self::TellEnd => TELL_END,
            Self::Add => ADD,
            Self::TakeNotices => TAKE_NOTICES,
            Self::PostponeNotice => POSTPONE_NOTICE,
            Self::SettleNotice => SETTLE_NOTICE,
            Self::OpenGrant => OPEN_GRANT,
            Self::Rotate => ROTATE,
            Self::EndGrant => END_GRANT,
            Self::RevokeToken => REVOKE_TOKEN,
            Self::OpenDeviceRequest => OPEN_DEVICE_REQUEST,
            Self::AnswerDeviceRequest => ANSWER_DEVICE_REQUEST,
            Self::Remember => REMEMBER,
            Self::Swap => SWAP,
            Self::Claim => CLAIM,
            Self::Release => RELEASE,
            Self::PutRecord => PUT_RECORD,
            Self::ReplaceRecord => REPLACE_RECORD,
            Self::RemoveRecord => REMOVE_RECORD,
            Self::SetSignpost => SET_SIGNPOST,
            Self::Remove => REMOVE,
            Self::PutKey => PUT_KEY,
            Self::ReplaceKey => REPLACE_KEY,
            Self::PutHead => PUT_HEAD,
        }
    }

    /// Whether a call whose answer was lost may be made again: it then answers as the first would have.
    pub(super) fn again(self) -> Again {
        match self {
            // The first call may have spent what the second would find spent.
            Self::OpenSession
            | Self::TakeCode
            | Self::HandOver
            | Self::TakeNotices
            | Self::OpenGrant
            | Self::Rotate
            | Self::OpenDeviceRequest
            | Self::AnswerDeviceRequest
            | Self::Remember
            | Self::Swap
            | Self::ReplaceRecord
            | Self::RemoveRecord
            | Self::ReplaceKey => Again::Never,
            Self::KeepToken
            | Self::KeepInUse
            | Self::EndSession
            | Self::TellEnd
            | Self::Add
            | Self::PostponeNotice
            | Self::SettleNotice
            | Self::EndGrant
            | Self::RevokeToken
            | Self::Claim
            | Self::Release
            | Self::PutRecord
            | Self::SetSignpost
            | Self::Remove
            | Self::PutKey
            | Self::PutHead => Again::Harmless,
        }
    }
}

/// Whether to make a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Harmless,
    Never,
}

/// KEYS: session, token. ARGV: the token, milliseconds to keep it.
const KEEP_TOKEN: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return {'spent'} end
redis.call('HSET', KEYS[2], 'version', '1', 'record', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return {'kept'}";

/// KEYS: session, token. ARGV: the session, its end, the code's digest, the code, its end, milliseconds to keep all that, the
/// client and the account.
///
/// A code is two fields by its digest, `code:` and `until:`; `client:` and a client's name say whom it was handed to.
const OPEN_SESSION: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return {'spent'} end
redis.call('HSET', KEYS[1], 'session', ARGV[1], 'session_until', ARGV[2], 'account', ARGV[8],
  'code:' .. ARGV[3], ARGV[4], 'until:' .. ARGV[3], ARGV[5], 'client:' .. ARGV[7], '')
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return {'opened'}";

/// KEYS: session. ARGV: the digest, now.
///
/// A wrong digest neither spends the code nor ends the session: knowing the session is not enough for either. What a
/// replay ends, the caller ends.
const TAKE_CODE: &str = "
local row = redis.call('HMGET', KEYS[1], 'code:' .. ARGV[1], 'until:' .. ARGV[1], 'session', 'session_until')
if not row[1] then return {'unknown'} end
if row[1] == '' then return {'replayed'} end
local now = tonumber(ARGV[2])
if now >= tonumber(row[2]) or row[3] == '' or now >= tonumber(row[4]) then return {'unknown'} end
redis.call('HSET', KEYS[1], 'code:' .. ARGV[1], '')
return {'fresh', row[1], row[3]}";

/// KEYS: session. ARGV: the digest, the code, its end, now, until when the session lives on, the session's own end, the
/// client.
const HAND_OVER: &str = "
local session = redis.call('HMGET', KEYS[1], 'session', 'session_until')
if not session[1] or session[1] == '' or tonumber(ARGV[4]) >= tonumber(session[2]) then return {'ended'} end
local alive = ARGV[5]
if tonumber(ARGV[6]) < tonumber(alive) then alive = ARGV[6] end
redis.call('HSET', KEYS[1], 'session_until', alive, 'code:' .. ARGV[1], ARGV[2], 'until:' .. ARGV[1], ARGV[3],
  'client:' .. ARGV[7], '')
return {'handed'}";

/// KEYS: session. ARGV: now, until when the session lives on.
const KEEP_IN_USE: &str = "
local session = redis.call('HMGET', KEYS[1], 'session', 'session_until')
if not session[1] or session[1] == '' or tonumber(ARGV[1]) >= tonumber(session[2]) then return {'ended'} end
redis.call('HSET', KEYS[1], 'session_until', ARGV[2])
return {'kept'}";

/// KEYS: session, token. Answers with the account, and the clients, where it lived; and where it did not, so that a call whose
/// answer was lost can be made again: notices that are there already are not written anew.
const END_SESSION: &str = "
redis.call('HDEL', KEYS[2], 'version', 'record')
if redis.call('EXISTS', KEYS[1]) == 0 then return {'ended'} end
redis.call('HSET', KEYS[1], 'session', '')
local reply = {'ended', redis.call('HGET', KEYS[1], 'account') or ''}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 7) == 'client:' then reply[#reply + 1] = string.sub(field, 8) end
end
return reply";

/// KEYS: what has ended. ARGV: now, the end, milliseconds to keep all that, before when ends are forgotten, and since when
/// one that was told is told already.
///
/// The score is the time, and never less than that of the end before: whoever has followed to one misses none that is told later.
const TELL_END: &str = "
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
local told = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not told or tonumber(told) <= tonumber(ARGV[5]) then
  local at = tonumber(ARGV[1])
  local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
  if last and tonumber(last) >= at then at = tonumber(last) + 1 end
  redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'told'}";

/// KEYS: an index by time. ARGV: the score, the member, milliseconds to keep the index, and what is older than that.
/// A member keeps the score that it has.
const ADD: &str = "
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[4])
redis.call('ZADD', KEYS[1], 'NX', ARGV[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return {'added'}";

/// KEYS: notices by when they are due, and how often each was tried. ARGV: now, when they are due again, how many.
const TAKE_NOTICES: &str = "
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
local reply = {'taken'}
for _, notice in ipairs(due) do
  redis.call('ZADD', KEYS[1], ARGV[2], notice)
  reply[#reply + 1] = notice
  reply[#reply + 1] = tostring(redis.call('HINCRBY', KEYS[2], notice, 1))
end
return reply";

/// KEYS: notices. ARGV: when it is due, the notice.
const POSTPONE_NOTICE: &str = "
redis.call('ZADD', KEYS[1], 'XX', ARGV[1], ARGV[2])
return {'postponed'}";

/// KEYS: notices, tries. ARGV: the notice.
const SETTLE_NOTICE: &str = "
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return {'settled'}";

/// KEYS: session, grant. ARGV: the grant, its end, milliseconds to keep it where there is no session.
const OPEN_GRANT: &str = "
if redis.call('EXISTS', KEYS[2]) == 1 then return {'there'} end
redis.call('HSET', KEYS[2], 'grant', ARGV[1], 'until', ARGV[2], 'good', '0')
local left = redis.call('PTTL', KEYS[1])
if left <= 0 then left = ARGV[3] end
redis.call('PEXPIRE', KEYS[2], left)
return {'opened'}";

/// KEYS: session, grant. ARGV: the number presented, now, `now` less the time that a token counts as just spent,
/// `now` less the time that its answer counts as lost, and until when the session lives on.
const ROTATE: &str = "
local now = tonumber(ARGV[2])
local session = redis.call('HMGET', KEYS[1], 'session', 'session_until')
if not session[1] or session[1] == '' or now >= tonumber(session[2]) then return {'unknown'} end
local row = redis.call('HMGET', KEYS[2], 'grant', 'until', 'good', 'spent', 'spent_at', 'rotated_at')
if not row[1] or row[1] == '' or now >= tonumber(row[2]) then return {'unknown'} end
local presented, good = tonumber(ARGV[1]), tonumber(row[3])
local first = ARGV[2]
if presented > good then
  redis.call('HSET', KEYS[2], 'grant', '')
  return {'never-issued'}
elseif presented < good then
  local is_last = row[4] and tonumber(row[4]) == presented
  if is_last and tonumber(row[6]) > tonumber(ARGV[3]) then return {'too-soon'} end
  if not is_last or tonumber(row[5]) <= tonumber(ARGV[4]) then
    redis.call('HSET', KEYS[2], 'grant', '')
    return {'reused'}
  end
  first = row[5]
end
local next = string.format('%.0f', good + 1)
redis.call('HSET', KEYS[2], 'good', next, 'spent', ARGV[1], 'spent_at', first, 'rotated_at', ARGV[2])
local alive = ARGV[5]
if tonumber(row[2]) < tonumber(alive) then alive = row[2] end
redis.call('HSET', KEYS[1], 'session_until', alive)
return {'next', next}";

/// KEYS: grant.
const END_GRANT: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'grant', '') end
return {'ended'}";

/// KEYS: session, token. Without the session the token is worth nothing already.
const REVOKE_TOKEN: &str = "
local left = redis.call('PTTL', KEYS[1])
if left > 0 then redis.call('SET', KEYS[2], '1', 'PX', left) end
return {'revoked'}";

/// KEYS: a device's request. ARGV: the request, its end, now, milliseconds to keep it.
const OPEN_DEVICE_REQUEST: &str = "
local ends = redis.call('HGET', KEYS[1], 'until')
if ends and tonumber(ends) > tonumber(ARGV[3]) then return {'there'} end
redis.call('HDEL', KEYS[1], 'answer')
redis.call('HSET', KEYS[1], 'request', ARGV[1], 'until', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'opened'}";

/// KEYS: a device's request. ARGV: the answer, now.
const ANSWER_DEVICE_REQUEST: &str = "
local row = redis.call('HMGET', KEYS[1], 'until', 'answer')
if not row[1] or row[2] or tonumber(row[1]) <= tonumber(ARGV[2]) then return {'not'} end
redis.call('HSET', KEYS[1], 'answer', ARGV[1])
return {'answered'}";

/// KEYS: what may come once. ARGV: until when it is remembered, now, milliseconds to keep it.
const REMEMBER: &str = "
local ends = redis.call('GET', KEYS[1])
if ends and tonumber(ends) > tonumber(ARGV[2]) then return {'before'} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return {'first'}";

/// KEYS: a number. ARGV: what it must be, nothing where there is none; what it is to be; milliseconds to keep it.
const SWAP: &str = "
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return {'conflict'} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {'swapped'}";

/// KEYS: identity. ARGV: the account that it is claimed for.
const CLAIM: &str = "
local account = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], account)
return {account}";

/// KEYS: identity. ARGV: the account that it must lead to.
const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], 0) end
return {'released'}";

/// KEYS: record, and the index that it is to stand in, if any. ARGV: the record, its name in the index, its version if it is
/// the first.
const PUT_RECORD: &str = "
local there = redis.call('HMGET', KEYS[1], 'version', 'record')
local version, record = there[1] or ARGV[3], there[2] or ARGV[1]
redis.call('HSET', KEYS[1], 'version', version, 'record', record)
if KEYS[2] then redis.call('ZADD', KEYS[2], 0, ARGV[2]) end
return {version, record}";

/// KEYS: record. ARGV: the record, the version that it must have, the one that it gets.
const REPLACE_RECORD: &str = "
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[2] then return {'conflict'} end
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'record', ARGV[1])
return {'replaced'}";

/// KEYS: record, and the index that it stands in. ARGV: the version that it must have, its name in the index.
const REMOVE_RECORD: &str = "
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return {'conflict'} end
redis.call('HDEL', KEYS[1], 'version', 'record')
if KEYS[2] then redis.call('ZREM', KEYS[2], ARGV[2]) end
return {'removed'}";

/// KEYS: a signpost. ARGV: the organisation that it leads to.
const SET_SIGNPOST: &str = "
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return {'done'}";

/// KEYS: an index, or a signpost. ARGV: what it names, or leads to, no more.
const REMOVE: &str = "
redis.call('ZREM', KEYS[1], ARGV[1])
return {'done'}";

/// KEYS: the heads. ARGV: the head, its beginning up to the number, its beginning up to the replica, how many are kept.
const PUT_HEAD: &str = "
local there = redis.call('ZRANGEBYLEX', KEYS[1], '[' .. ARGV[2], '(' .. ARGV[2] .. '\\255', 'LIMIT', 0, 1)
if there[1] and there[1] ~= ARGV[1] then
    return {'conflict'}
end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
local all = redis.call('ZRANGEBYLEX', KEYS[1], '[' .. ARGV[3], '(' .. ARGV[3] .. '\\255')
for surplus = 1, #all - tonumber(ARGV[4]) do
    redis.call('ZREM', KEYS[1], all[surplus])
end
return {'put'}";

/// KEYS: the hash of all keys. ARGV: the name, the key.
const PUT_KEY: &str = "
local key = redis.call('HGET', KEYS[1], ARGV[1]) or ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], key)
return {key}";

/// KEYS: the hash of all keys. ARGV: the name, the material that it must have, the key as it is to be.
const REPLACE_KEY: &str = "
local key = redis.call('HGET', KEYS[1], ARGV[1])
if not key or cjson.decode(key)['material'] ~= ARGV[2] then return {'conflict'} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return {'replaced'}";
