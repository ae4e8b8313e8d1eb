//! The list of keys, for people and for programs.

use std::fmt::{self, Display};

use countersign_server::{Form, KeyTold};
use jiff::Timestamp;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::json;

/// All keys.
pub(super) struct Listing(pub(super) Vec<KeyTold>);

const HEADS: [&str; 8] = [
    "NAME",
    "ALGORITHM",
    "ID",
    "STATE",
    "MADE",
    "USED FROM",
    "LEAVES",
    "SEALED",
];

impl Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 8]> = std::iter::once(HEADS.map(str::to_owned))
            .chain(self.0.iter().map(row))
            .collect();
        let widths: Vec<usize> = (0..HEADS.len())
            .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
            .collect();
        for (number, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            let end = if number + 1 < rows.len() { "\n" } else { "" };
            write!(f, "{}{end}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn row(key: &KeyTold) -> [String; 8] {
    [
        key.name.clone(),
        key.algorithm.to_owned(),
        key.id.clone(),
        key.state.to_string(),
        second(Some(key.made_at)),
        second(key.used_from),
        second(key.leaves_at),
        match key.form {
            Form::Plain => "no".to_owned(),
            Form::Sealed(under) => under.to_string(),
        },
    ]
}

fn second(time: Option<Timestamp>) -> String {
    time.map_or("-".to_owned(), |time| format!("{time:.0}"))
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for key in &self.0 {
            list.serialize_element(&json!({
                "name": key.name,
                "algorithm": key.algorithm,
                "id": key.id,
                "state": key.state.as_str(),
                "made_at": key.made_at,
                "used_from": key.used_from,
                "leaves_at": key.leaves_at,
                "sealed_under": match key.form {
                    Form::Plain => None,
                    Form::Sealed(under) => Some(under.to_string()),
                },
            }))?;
        }
        list.end()
    }
}
