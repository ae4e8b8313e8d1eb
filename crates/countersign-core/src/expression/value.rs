//! Claims as CEL values. Text is borrowed from the claims, never copied.

use std::collections::HashMap;

use cel::common::{
    types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
    value::Val,
};
use serde_json::{Number, Value};

use super::{MAX_CLAIMS_BYTES, User};

/// How deep values may be nested; real claims have three levels at most.
const MOST_LEVELS: usize = 16;
/// How many values all claims may hold together, names of members included. Entra lists at most 200 groups in a token.
/// <https://learn.microsoft.com/security/zero-trust/develop/configure-tokens-group-claims-app-roles>
const MOST_VALUES: usize = 1024;

/// These claims as a CEL map; nothing where they are more than an expression should go through.
pub(super) fn claims<'v>(
    claims: impl Iterator<Item = (&'v String, &'v Value)>,
) -> Option<CelMap<'v>> {
    let mut room = Room {
        values: MOST_VALUES,
        bytes: MAX_CLAIMS_BYTES,
    };
    map(claims, MOST_LEVELS, &mut room)
}

/// What may still come.
struct Room {
    values: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, text: &str) -> Option<()> {
        self.values = self.values.checked_sub(1)?;
        self.bytes = self.bytes.checked_sub(text.len())?;
        Some(())
    }
}

/// What an expression sees as `user`. What is not known is not there.
pub(super) fn user(user: &User) -> CelMap<'_> {
    let provider: Box<dyn Val + '_> = Box::new(CelString::from(user.provider.as_str()));
    let email_verified: Box<dyn Val> = Box::new(CelBool::from(user.email_verified));
    let mut members = HashMap::from([
        (key("provider"), provider),
        (key("email_verified"), email_verified),
    ]);
    if let Some(tenant) = &user.tenant {
        members.insert(key("tenant"), Box::new(CelString::from(tenant.as_str())));
    }
    if let Some(guest) = user.guest {
        members.insert(key("guest"), Box::new(CelBool::from(guest)));
    }
    CelMap::from(members)
}

fn map<'v>(
    members: impl Iterator<Item = (&'v String, &'v Value)>,
    levels: usize,
    room: &mut Room,
) -> Option<CelMap<'v>> {
    let members = members.map(|(name, value)| {
        room.take(name)?;
        Some((key(name), boxed(value, levels, room)?))
    });
    let members: Option<HashMap<CelMapKey<'v>, Box<dyn Val + 'v>>> = members.collect();
    members.map(CelMap::from)
}

fn boxed<'v>(value: &'v Value, levels: usize, room: &mut Room) -> Option<Box<dyn Val + 'v>> {
    let levels = levels.checked_sub(1)?;
    room.take(value.as_str().unwrap_or_default())?;
    Some(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => self::number(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => {
            let items = items.iter().map(|item| boxed(item, levels, room));
            let items: Option<Vec<Box<dyn Val + 'v>>> = items.collect();
            Box::new(CelList::from(items?))
        }
        Value::Object(members) => Box::new(map(members.iter(), levels, room)?),
    })
}

fn number(number: &Number) -> Box<dyn Val> {
    match (number.as_i64(), number.as_u64()) {
        (Some(number), _) => Box::new(CelInt::from(number)),
        (None, Some(number)) => Box::new(CelUInt::from(number)),
        (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
    }
}

fn key(name: &str) -> CelMapKey<'_> {
    CelMapKey::String(CelString::from(name))
}
