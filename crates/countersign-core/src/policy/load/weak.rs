//! Logins of which it is known that they prove too little: no expression of a policy may be true of one.
//!
//! They are made of the very values that `acr` and `amr` of `[proof.NAME]` may not name, and of what the vendor
//! was seen to send, so that `when` can't count what the other keys may not.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::proof::{ACR_ANY_KIND, ACR_NEVER, AMR_NEVER};
use crate::Level;
use crate::expression::Weak;
use crate::policy::preset::{Preset, Recorded};

/// The logins that prove less than `level`, whoever sends them, and those of this vendor's.
pub(crate) fn weak_logins(level: Level, vendor: Option<&Preset>) -> Vec<Weak> {
    let never = |preset: fn(&Preset) -> &BTreeMap<String, String>| {
        let never = vendor.into_iter().flat_map(preset);
        never.map(|(value, why)| (value.as_str(), why.as_str()))
    };
    let acr: Vec<(&str, &str)> = ACR_NEVER
        .into_iter()
        .chain(never(|preset| &preset.never_acr))
        .collect();
    let amr = AMR_NEVER
        .into_iter()
        .chain(never(|preset| &preset.never_amr));
    let acr_alone = acr.iter().map(|(value, why)| {
        let which = format!("where `acr` is `{value}`, which proves no second factor: {why}");
        weak([("acr", json!(value))], which)
    });
    let amr_alone = amr.map(|(value, why)| {
        let which = format!("where `amr` is `{value}`, which proves no second factor: {why}");
        weak([("amr", json!([value]))], which)
    });
    let several = several_amr();
    let amr_together = weak(
        [("amr", several.clone())],
        format!("where `amr` is {several}, of which none is a second factor"),
    );
    let both = acr.iter().flat_map(|(value, why)| {
        [several_amr(), json!(["pwd"])].map(|amr| {
            let which = format!(
                "where `acr` is `{value}` and `amr` is {amr}, which prove no second factor: {why}"
            );
            weak([("acr", json!(value)), ("amr", amr)], which)
        })
    });
    acr_alone
        .chain(amr_alone)
        .chain([amr_together])
        .chain(both)
        .chain(of_any_kind(level))
        .chain(seen(level, vendor))
        .collect()
}

fn weak<const N: usize>(claims: [(&str, Json); N], which: String) -> Weak {
    let claims = claims.map(|(name, value)| (name.to_owned(), value));
    Weak {
        claims: Map::from_iter(claims),
        which,
    }
}

/// All of them together are no second factor either: that there are several proves nothing.
fn several_amr() -> Json {
    let all = AMR_NEVER.iter().map(|(value, _)| *value);
    all.filter(|value| !value.is_empty()).collect()
}

/// A second factor of any kind, where one that resists phishing is to be shown.
fn of_any_kind(level: Level) -> impl Iterator<Item = Weak> {
    let values = ACR_ANY_KIND.iter().filter(move |_| level > Level::Mfa);
    values.map(|value| {
        let which = format!(
            "where `acr` is `{value}`, which proves a second factor of any kind, not one that resists phishing"
        );
        weak([("acr", json!(value))], which)
    })
}

/// Recorded logins that show less, as the vendor sends them to everybody.
fn seen(level: Level, vendor: Option<&Preset>) -> impl Iterator<Item = Weak> {
    let recorded = vendor.into_iter().flat_map(|preset| {
        let recorded = preset.recorded.iter();
        recorded.map(move |recorded| (preset, recorded))
    });
    recorded
        .filter(move |(_, one)| one.is_everybodys() && one.may_show < level)
        .map(|(preset, one)| Weak {
            claims: one.visible(),
            which: recording(preset, one),
        })
}

fn recording(preset: &Preset, recorded: &Recorded) -> String {
    let shows = if recorded.shows < Level::Mfa {
        "no second factor".to_owned()
    } else {
        format!("no more than `{}`", recorded.shows)
    };
    format!(
        "of a login at {} that shows {shows} ({}): `{}`",
        preset.title,
        recorded.name,
        Json::Object(recorded.claims.clone())
    )
}
