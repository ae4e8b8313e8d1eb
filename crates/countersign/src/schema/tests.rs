use std::collections::BTreeSet;
use std::path::Path;

use boon::{Compiler, Schemas};
use countersign_core::{Lifetimes, Policy};
use toml::de::{DeTable, DeValue};

use super::*;

/// The file that is generated: `countersign policy schema > config/schema/policy.schema.json`.
const GENERATED: &str = include_str!("../../../../config/schema/policy.schema.json");

/// Every policy file in the repository.
const FILES: [(&str, &str); 3] = [
    (
        "config/policy.toml",
        include_str!("../../../../config/policy.toml"),
    ),
    (
        "playground/policy.toml",
        include_str!("../../../../playground/policy.toml"),
    ),
    (
        "tests/support/policy.toml",
        include_str!("../../../../tests/support/policy.toml"),
    ),
];

/// A policy with nothing wrong, and a bit of everything that a mistake can be made in.
const GOOD: &str = r#"version = 1
[proof.okta]
acr = ["urn:okta:loa:2fa:any"]
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["session"]
max_evidence_age = "12h"
[client.gallery]
tier = "browse"
"#;

const TENANT_ID: &str = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";

/// What the loader says of a file that it refuses, without the place.
fn refusal(text: &str) -> Vec<String> {
    let problems = Policy::parse("p", text).expect_err(text);
    let bare = |problem: String| {
        problem
            .splitn(4, ':')
            .nth(3)
            .map(|text| text.trim().to_owned())
    };
    problems
        .iter()
        .filter_map(|one| bare(one.to_string()))
        .collect()
}

/// The words in backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn words(list: &Value) -> BTreeSet<String> {
    let words = list.as_array().into_iter().flatten();
    words
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect()
}

/// What the schema knows, at its place in a file: with a name where the operator chooses one.
struct Place {
    path: String,
    schema: Value,
}

impl Place {
    /// Everything below, tables before what is in them.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let root = Self {
            path: String::new(),
            schema: policy(),
        };
        root.collect(&mut all);
        all
    }

    fn collect(self, all: &mut Vec<Self>) {
        let properties = self.schema["properties"].as_object().cloned();
        let chosen = self.schema["additionalProperties"].is_object();
        for (key, schema) in properties.into_iter().flatten() {
            let path = self.below(&key);
            Self { path, schema }.collect(all);
        }
        if chosen {
            let path = self.below(self.name());
            let schema = self.schema["additionalProperties"].clone();
            Self { path, schema }.collect(all);
        } else {
            all.push(self);
        }
    }

    /// A name that the operator may have chosen.
    fn name(&self) -> &'static str {
        let pattern = self.schema["propertyNames"]["pattern"].as_str();
        match pattern.expect("a pattern") {
            TENANT => TENANT_ID,
            SLUG | NAME => "x",
            _ => "c1",
        }
    }

    fn below(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn is_table(&self) -> bool {
        self.schema["properties"].is_object()
    }

    /// A file in which this table holds only this.
    fn file(&self, content: &str) -> String {
        match self.path.as_str() {
            "" => content.to_owned(),
            path => format!("[{path}]\n{content}"),
        }
    }

    /// A file in which this value is this.
    fn set_to(&self, value: &str) -> String {
        format!("{} = {value}", self.path)
    }
}

#[test]
fn the_generated_file_is_the_schema() {
    assert_eq!(
        GENERATED,
        policy_text(),
        "run `countersign policy schema > config/schema/policy.schema.json`"
    );
}

#[test]
fn the_schema_knows_the_keys_that_the_loader_knows() {
    for table in Place::all().iter().filter(|place| place.is_table()) {
        let unknown = format!("`{}` is unknown", table.below("zzz"));
        let said = refusal(&table.file("zzz = 1"));
        let told = said.iter().find(|said| said.starts_with(&unknown));
        let told = told.unwrap_or_else(|| panic!("no {unknown} in {said:#?}"));
        let (_, known) = told.split_once("(known here:").expect("what is known");
        let properties = table.schema["properties"].as_object().expect("keys");
        let keys: BTreeSet<String> = properties.keys().cloned().collect();
        assert_eq!(quoted(known), keys, "[{}]", table.path);
    }
}

#[test]
fn the_schema_requires_what_the_loader_requires() {
    for table in Place::all().iter().filter(|place| place.is_table()) {
        let mut required = words(&table.schema["required"]);
        required.extend(words(&table.schema["oneOf"][0]["required"]));
        // An empty file is not refused where nothing is required of this table.
        let said = refusal(&table.file(""));
        let here = |said: &String| {
            let (name, _) = said.strip_prefix('`')?.split_once("` is missing")?;
            let key = match table.path.as_str() {
                "" => name,
                path => name.strip_prefix(path)?.strip_prefix('.')?,
            };
            Some(key.to_owned())
        };
        let missing: BTreeSet<String> = said.iter().filter_map(here).collect();
        assert_eq!(missing, required, "[{}]", table.path);
    }
}

#[test]
fn where_the_schema_has_no_table_the_loader_takes_none() {
    for value in Place::all().iter().filter(|place| !place.is_table()) {
        let said = refusal(&value.set_to("{ zzz = 1 }"));
        let expected = format!("`{}`: expected ", value.path);
        assert!(
            said.iter().any(|said| said.starts_with(&expected)),
            "no {expected} in {said:#?}"
        );
        assert!(!said.iter().any(|said| said.contains("zzz")), "{said:#?}");
    }
}

#[test]
fn the_schema_has_the_words_that_the_loader_has() {
    let mut compared = 0;
    for value in Place::all() {
        let (expected, written) = match (&value.schema["enum"], &value.schema["items"]["enum"]) {
            (one @ Value::Array(_), _) => (words(one), "'zzz'"),
            (_, of_each @ Value::Array(_)) => (words(of_each), "['zzz']"),
            (_, _) => continue,
        };
        let label = format!("`{}`: ", value.path);
        let said = refusal(&value.set_to(written));
        let told = said.iter().find_map(|said| said.strip_prefix(&label));
        let told = told.unwrap_or_else(|| panic!("nothing of {label} in {said:#?}"));
        let (_, list) = told
            .split_once("expected one of ")
            .or_else(|| told.split_once("(there are: "))
            .unwrap_or_else(|| panic!("no words in {told}"));
        let list = list.split(", found").next().unwrap_or_default();
        assert_eq!(quoted(list), expected, "{}", value.path);
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn everything_is_described_and_its_examples_fit() {
    for place in Place::all() {
        let by_name = place
            .path
            .rsplit_once('.')
            .is_some_and(|(_, last)| last == "c1");
        let described = place.schema["description"].as_str();
        assert!(
            described.is_some_and(|text| text.len() > 5) || by_name || place.is_table(),
            "{} is not described",
            place.path
        );
        let examples = place.schema["examples"].as_array().into_iter().flatten();
        for example in examples.chain(place.schema.get("default")) {
            let fits = Validator::new(&place.schema).check(example);
            assert!(fits.is_ok(), "{}: {example}", place.path);
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_loader() {
    let default = |path: &str| policy().pointer(path).cloned().unwrap_or_default();
    let lifetime = |key: &str| default(&format!("/properties/lifetimes/properties/{key}/default"));
    let written = format!(
        "[lifetimes]\ncode = {}\ntoken = {}\nsession.absolute = {}\n",
        lifetime("code"),
        lifetime("token"),
        lifetime("session/properties/absolute")
    );
    let policy = Policy::parse("p", &format!("{GOOD}{written}")).unwrap();
    assert_eq!(*policy.lifetimes(), Lifetimes::default());
    let ratchet = default("/properties/calendar/properties/ratchet/default");
    assert_eq!(ratchet, json!(false));
}

/// The schema, ready to judge.
struct Validator {
    schemas: Schemas,
    index: boon::SchemaIndex,
}

impl Validator {
    fn new(schema: &Value) -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler
            .add_resource("schema.json", schema.clone())
            .expect("a resource");
        let index = compiler.compile("schema.json", &mut schemas);
        let index = index.unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, index }
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        let checked = self.schemas.validate(value, self.index);
        checked.map_err(|error| format!("{error:#}"))
    }
}

/// A TOML file as an editor hands it to a schema.
fn json_of(text: &str) -> Value {
    let table = DeTable::parse(text).unwrap_or_else(|error| panic!("{error}"));
    json_of_table(table.get_ref())
}

fn json_of_table(table: &DeTable<'_>) -> Value {
    let entries = table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), json_of_value(value.get_ref())));
    Value::Object(entries.collect())
}

fn json_of_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => {
            json!(i64::from_str_radix(number.as_str(), number.radix()).expect("a number"))
        }
        DeValue::Float(number) => json!(number.as_str().parse::<f64>().expect("a number")),
        DeValue::Boolean(flag) => json!(flag),
        DeValue::Datetime(time) => json!(time.to_string()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| json_of_value(item.get_ref()))
            .collect(),
        DeValue::Table(table) => json_of_table(table),
    }
}

/// With every example line of it.
fn with_examples(text: &str) -> String {
    text.lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[test]
fn every_policy_file_of_the_repository_fits_with_its_examples_too() {
    let validator = Validator::new(&policy());
    for (name, text) in FILES {
        for text in [text.to_owned(), with_examples(text)] {
            Policy::parse(name, &text).unwrap_or_else(|problems| panic!("{problems}"));
            let checked = validator.check(&json_of(&text));
            checked.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    let (_, shipped) = FILES[0];
    assert_ne!(with_examples(shipped), shipped);
}

#[test]
fn the_shipped_policy_leads_an_editor_to_its_schema() {
    let (file, shipped) = FILES[0];
    let first = shipped.lines().next().unwrap_or_default();
    let schema = first.strip_prefix("#:schema ").expect("a directive");
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let beside = root.join(file).with_file_name(schema);
    assert_eq!(std::fs::read_to_string(beside).unwrap(), GENERATED);
}

#[test]
fn a_mistake_of_shape_is_refused_by_the_schema_and_by_the_loader() {
    let validator = Validator::new(&policy());
    Policy::parse("p", GOOD).unwrap();
    validator.check(&json_of(GOOD)).unwrap();
    for (part, wrong) in [
        // Unknown keys.
        ("[client.gallery]", "[clients.gallery]"),
        ("needs = \"none\"", "needs = \"none\"\nneed = \"mfa\""),
        ("acr =", "arc ="),
        (
            "tier = \"browse\"",
            "tier = \"browse\"\nstricter.publish.need = \"mfa\"",
        ),
        // Wrong types.
        ("version = 1", "version = \"1\""),
        ("[\"urn:okta:loa:2fa:any\"]", "\"urn:okta:loa:2fa:any\""),
        ("[\"session\"]", "\"session\""),
        ("\"12h\"", "12"),
        ("[\"packages:read\"]", "[1]"),
        ("tier = \"browse\"", "tier = [\"browse\"]"),
        // Wrong words.
        ("version = 1", "version = 2"),
        ("needs = \"mfa\"", "needs = \"MFA\""),
        ("[\"session\"]", "[\"sessions\"]"),
        ("[proof.okta]", "[proof.okta]\npreset = \"octa\""),
        ("\"12h\"", "\"12 hours\""),
        ("\"12h\"", "\"0h\""),
        // Wrong names and values.
        ("[proof.okta]", "[proof.Okta]"),
        ("[\"packages:read\"]", "[\"two words\"]"),
        ("[\"packages:read\"]", "[\"openid\"]"),
        ("[\"session\"]", "[]"),
        ("[\"session\"]", "[\"session\", \"session\"]"),
        // What belongs together.
        ("accepts = [\"session\"]\n", ""),
        ("needs = \"none\"", "needs = \"none\"\nmax_age = \"5m\""),
        ("acr =", "when = 'true'\nacr ="),
        ("needs = \"mfa\"\n", ""),
    ] {
        assert!(GOOD.contains(part), "`{part}` is not in the good policy");
        let text = GOOD.replacen(part, wrong, 1);
        assert!(
            Policy::parse("p", &text).is_err(),
            "the loader takes {wrong}"
        );
        let checked = validator.check(&json_of(&text));
        assert!(checked.is_err(), "the schema takes {wrong}");
    }
}

#[test]
fn a_mistake_in_a_table_that_may_be_left_out_is_refused_by_both_too() {
    let validator = Validator::new(&policy());
    for (good, part, wrong) in [
        (CALENDAR, "before_due = \"remind\"", "before_due = \"warn\""),
        (CALENDAR, "before_due = \"remind\"\n", ""),
        (
            CALENDAR,
            "new_accounts_from = 2027-03-08",
            "new_accounts_from = 2027-03-08T00:00:00Z",
        ),
        (
            CALENDAR,
            "new_accounts_from = 2027-03-08",
            "new_accounts_from = 20270308",
        ),
        (CALENDAR, ", until = 2027-05-08", ""),
        (EXCEPTION, "until = 2027-09-30\n", ""),
        (EXCEPTION, "organization = \"contoso\"\n", ""),
        (EXCEPTION, "reason =", "account = \"acct_1\"\nreason ="),
        (EXCEPTION, "\"no phones\"", "\"  \""),
        (EXCEPTION, "[exception.bank]", "[[exception]]"),
        (API_KEYS, "max_days = 90", "max_days = 0"),
        (API_KEYS, "announced = 2027-06-01, ", ""),
        (LIFETIMES, "absolute", "idle"),
    ] {
        let fits = format!("{GOOD}{good}");
        Policy::parse("p", &fits).unwrap_or_else(|problems| panic!("{problems}"));
        validator.check(&json_of(&fits)).unwrap();
        assert!(good.contains(part), "`{part}` is not in {good}");
        let text = format!("{GOOD}{}", good.replacen(part, wrong, 1));
        assert!(
            Policy::parse("p", &text).is_err(),
            "the loader takes {text}"
        );
        assert!(
            validator.check(&json_of(&text)).is_err(),
            "the schema takes {text}"
        );
    }
}

const CALENDAR: &str = r#"[calendar]
new_accounts_from = 2027-03-08
existing_accounts = { from = 2027-03-08, until = 2027-05-08 }
before_due = "remind"
"#;

const EXCEPTION: &str = r#"[exception.bank]
organization = "contoso"
reason = "no phones"
approved_by = "security@registry.example"
until = 2027-09-30
waives = ["publish"]
"#;

const API_KEYS: &str = r#"[api_keys]
max_days = 90
accepts = ["session"]
sunset = { announced = 2027-06-01, without_mfa_context_expire = 2027-07-15 }
"#;

const LIFETIMES: &str = r#"[lifetimes]
session = { absolute = "12h" }
"#;
