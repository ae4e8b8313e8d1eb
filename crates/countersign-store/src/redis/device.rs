//! What devices ask for, until somebody has answered.

use jiff::Timestamp;

use super::link::{Link, reply_at};
use super::names::Names;
use super::reply::{corrupt, from_json, to_json, unexpected};
use super::script::{Call, Script};
use super::sign_in::{micros, time_to_live};
use crate::{DeviceAnswer, DeviceRequest, DeviceRequestId, StoreError};

/// Keeps a request, unless one of this id is there that has not expired.
pub(super) async fn open(
    link: &Link,
    names: &Names,
    id: &DeviceRequestId,
    request: &DeviceRequest,
    now: Timestamp,
) -> Result<(), StoreError> {
    let call = Call {
        script: Script::OpenDeviceRequest,
        keys: vec![names.device_request(id)],
        arguments: vec![
            to_json(request)?,
            micros(request.expires_at),
            micros(now),
            time_to_live(request.expires_at, now),
        ],
    };
    match link.write(call).await?.word() {
        "opened" => Ok(()),
        "there" => Err(StoreError::Conflict),
        _ => Err(unexpected()),
    }
}

/// A request that has not expired, with its answer.
pub(super) async fn find(
    link: &Link,
    names: &Names,
    id: &DeviceRequestId,
    now: Timestamp,
) -> Result<Option<(DeviceRequest, Option<DeviceAnswer>)>, StoreError> {
    let key = names.device_request(id);
    let mut question = redis::pipe();
    let fields = ["request", "until", "answer"];
    question.cmd("HMGET").arg(&key).arg(&fields);
    let mut answers = link.read(&key, question).await?;
    let row = reply_at(&mut answers, 0)?;
    let Some(request) = row.piece(0) else {
        return Ok(None);
    };
    let until: i64 = row
        .number(1)
        .ok_or_else(|| corrupt(&key, "its end is none"))?;
    if until <= now.as_microsecond() {
        return Ok(None);
    }
    let answer = row
        .piece(2)
        .map(|answer| from_json(&key, answer))
        .transpose()?;
    Ok(Some((from_json(&key, request)?, answer)))
}

/// Answers a request that has no answer yet.
pub(super) async fn answer(
    link: &Link,
    names: &Names,
    id: &DeviceRequestId,
    answer: &DeviceAnswer,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let call = Call {
        script: Script::AnswerDeviceRequest,
        keys: vec![names.device_request(id)],
        arguments: vec![to_json(answer)?, micros(now)],
    };
    match link.write(call).await?.word() {
        "answered" => Ok(true),
        "not" => Ok(false),
        _ => Err(unexpected()),
    }
}
