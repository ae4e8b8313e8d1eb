//! What a TOML file that a person wrote says; all that is wrong with it, at once, with places.
//!
//! Reads `policy.toml` and `countersign.toml`. A reader asks a [`Table`] for the keys that it
//! knows; keys that nobody asked for are reported as unknown when the table is done, so no
//! setting is ever passed over in silence. It never prints a value of the wrong type, which may
//! be a secret; nor does it read files: it is given their text.
//!
//! ```
//! use countersign_core::document::{self, Value};
//!
//! let read = |text| document::read("a.toml", text, |file| {
//!     // First ask for every key, then use `?`: an earlier `?` would leave known keys unasked for.
//!     let port = file.required("port", |value| value.integer(1..=65535));
//!     let name = file.optional("name", Value::string);
//!     Some((port?, name?.map(str::to_owned)))
//! });
//! assert_eq!(read("port = 80").unwrap(), (80, None));
//! assert_eq!(
//!     read("prt = 80\nname = 1").unwrap_err().to_string(),
//!     "a.toml:1:1: `port` is missing\n\
//!      a.toml:1:1: `prt` is unknown; did you mean `port`? (known here: `port`, `name`)\n\
//!      a.toml:2:8: `name`: expected a string, found a whole number"
//! );
//! ```

mod problem;

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
    ops::{Range, RangeInclusive},
    rc::Rc,
    sync::Arc,
};

use jiff::{SignedDuration, civil::Date};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

pub use problem::{Place, Problem, Problems, did_you_mean};

/// The longest file that is read, in bytes: room for rules of some 100,000 organisations, and a
/// file named by mistake does not fill the memory.
pub const MAX_BYTES: usize = 32 << 20;

/// How many problems are told at once.
const MAX_PROBLEMS: usize = 100;

/// Reads the text of the file that is called `file`: `Ok` only if nothing at all is wrong.
///
/// Where the syntax is broken, what belongs where is a guess: then missing and unknown keys are
/// not told, only broken syntax and wrong values.
pub fn read<T>(
    file: &str,
    text: &str,
    f: impl FnOnce(&mut Table<'_>) -> Option<T>,
) -> Result<T, Problems> {
    read_with_warnings(file, text, f).map(|(value, _)| value)
}

/// Reads it as [`read`] does, and tells besides what is allowed and likely wrong.
pub fn read_with_warnings<T>(
    file: &str,
    text: &str,
    f: impl FnOnce(&mut Table<'_>) -> Option<T>,
) -> Result<(T, Vec<Problem>), Problems> {
    if text.len() > MAX_BYTES {
        return Err(too_long(file, text));
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let document = Document::new(file, text, &errors);
    let value = Table::read(&document, Name::default(), 0, root.get_ref(), f);
    let warnings = document.warnings();
    document.finish(value).map(|value| (value, warnings))
}

/// A table whose keys are asked for one by one.
#[derive(Debug)]
pub struct Table<'t> {
    document: &'t Document<'t>,
    name: Name<'t>,
    offset: usize,
    entries: &'t DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    fn read<T>(
        document: &'t Document<'t>,
        name: Name<'t>,
        offset: usize,
        entries: &'t DeTable<'t>,
        f: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut table = Self {
            document,
            name,
            offset,
            entries,
            known: Vec::new(),
        };
        let value = f(&mut table);
        table.report_unknown_keys();
        value
    }

    /// The value of `key`; `None` where it is missing or wrong, which is reported.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key);
        if value.is_none() {
            self.report_missing(key, "");
        }
        read(&value?)
    }

    /// The value of `key`: `Some(None)` where there is none, `None` where it is wrong.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'t>) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.value(key) {
            Some(value) => read(&value).map(Some),
            None => Some(None),
        }
    }

    /// The value of `key`, or `default` where there is none; `None` where it is wrong.
    pub fn optional_or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'t>) -> Option<T>,
    ) -> Option<T> {
        Some(self.optional(key, read)?.unwrap_or(default))
    }

    /// Reports that `key`, needed here, is missing, and `why` (appended to the message).
    pub fn report_missing(&self, key: &str, why: &str) {
        if self.is_sound() {
            let name = join(&self.name, key);
            self.document
                .report(self.offset, format!("`{name}` is missing{why}"));
        }
    }

    /// Reports a problem of the table as a whole, at its name.
    pub fn report(&self, message: impl Display) {
        self.document
            .report(self.offset, labelled(&self.name, message));
    }

    /// Whether it holds no key at all, known or unknown.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it holds this key.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether the syntax of the whole file is right. If not, tables may have lost their
    /// keys, and a check of one part of the file against another would report what is not so.
    pub fn is_sound(&self) -> bool {
        self.document.broken.is_empty()
    }

    fn value(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.known.push(key);
        let (spanned, item) = self.entries.get_key_value(key)?;
        let name = self.name.child(key);
        Some(Value::new(self.document, name, spanned.span().start, item))
    }

    fn report_unknown_keys(&self) {
        if !self.is_sound() {
            return;
        }
        for key in self.entries.keys() {
            let text: &str = key.get_ref();
            if !self.known.contains(&text) {
                let hint = did_you_mean(text, self.known.iter().copied());
                let name = join(&self.name, text);
                let known = self.list_known();
                let message = format!("`{name}` is unknown{hint} ({known})");
                self.document.report(key.span().start, message);
            }
        }
    }

    fn list_known(&self) -> String {
        let known: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
        if known.is_empty() {
            "nothing is known here".to_owned()
        } else {
            format!("known here: {}", known.join(", "))
        }
    }
}

/// One value, with its name and place. Every reader answers `None` for a wrong value, which it has reported.
#[derive(Debug, Clone)]
pub struct Value<'t> {
    document: &'t Document<'t>,
    name: Name<'t>,
    offset: usize,
    item: &'t Spanned<DeValue<'t>>,
}

impl<'t> Value<'t> {
    fn new(
        document: &'t Document<'t>,
        name: Name<'t>,
        key: usize,
        item: &'t Spanned<DeValue<'t>>,
    ) -> Self {
        let offset = match item.get_ref() {
            // The span of a table is its header or its braces; people look for its name.
            DeValue::Table(_) => key,
            _ => item.span().start,
        };
        Self {
            document,
            name,
            offset,
            item,
        }
    }

    /// Text.
    pub fn string(&self) -> Option<&'t str> {
        match self.item() {
            DeValue::String(text) => self.unbroken(text.as_ref()),
            _ => self.expected("a string"),
        }
    }

    /// Text that `parse` can read; its error is told after the name of the option.
    pub fn parsed<T, E: Display>(&self, parse: impl FnOnce(&'t str) -> Result<T, E>) -> Option<T> {
        parse(self.string()?)
            .map_err(|error| self.report(error))
            .ok()
    }

    /// One of these words.
    pub fn one_of<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let found = self.string()?;
        let word = words.iter().find(|(word, _)| *word == found);
        if word.is_none() {
            let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let hint = did_you_mean(found, words.iter().map(|(word, _)| *word));
            self.report(format_args!(
                "expected one of {}, found `{}`{hint}",
                known.join(", "),
                shorten(found)
            ));
        }
        word.map(|(_, value)| *value)
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        match self.item() {
            DeValue::Boolean(value) => self.unbroken(*value),
            _ => self.expected("`true` or `false`"),
        }
    }

    /// A whole number within `range`.
    pub fn integer<N>(&self, range: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i64> + PartialOrd + Display,
    {
        let DeValue::Integer(integer) = self.item() else {
            return self.expected("a whole number");
        };
        self.unbroken(())?;
        let number = i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|number| N::try_from(number).ok())
            .filter(|number| range.contains(number));
        if number.is_none() {
            self.report(format_args!(
                "expected a whole number from {} to {}, found {}",
                range.start(),
                range.end(),
                shorten(&integer.to_string())
            ));
        }
        number
    }

    /// A part of a whole: a number from 0 to 1, with a fraction or without.
    pub fn share(&self) -> Option<f64> {
        let text = match self.item() {
            DeValue::Integer(integer) => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            _ => return self.expected("a number from 0 to 1"),
        };
        self.unbroken(())?;
        let share = text
            .parse()
            .ok()
            .filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.report(format_args!(
                "expected a number from 0 to 1, found {}",
                shorten(text)
            ));
        }
        share
    }

    /// A length of time, longer than none: a whole number and its unit, as in `"12h"`.
    pub fn duration(&self) -> Option<SignedDuration> {
        let text = self.string()?;
        let duration = duration(text);
        if duration.is_none() {
            self.report(format_args!(
                "expected a length of time such as \"10s\", \"15m\", \"12h\" or \"30d\" \
                 (a whole number from 1 and one unit: ms, s, m, h, d), found `{}`",
                shorten(text)
            ));
        }
        duration
    }

    /// A day, as in `2027-03-08`, of this century or the next.
    pub fn date(&self) -> Option<Date> {
        let DeValue::Datetime(found) = self.item() else {
            return self.expected("a date such as 2027-03-08, without quotes");
        };
        self.unbroken(())?;
        let date = match (found.date, found.time, found.offset) {
            (Some(found), None, None) => date(found.year, found.month, found.day),
            _ => None,
        };
        if date.is_none() {
            self.report(format_args!(
                "expected a date from 2000-01-01 to 2199-12-31 without a time (days begin at \
                 00:00 UTC), found {found}"
            ));
        }
        date
    }

    /// A list; each of its values is read by `read`.
    pub fn list<T>(&self, mut read: impl FnMut(&Value<'t>) -> Option<T>) -> Option<Vec<T>> {
        let DeValue::Array(items) = self.item() else {
            return self.expected("a list");
        };
        if self.is_broken() {
            return None;
        }
        // All are read before any failure counts, so that all problems are told.
        let values: Vec<Option<T>> = items
            .iter()
            .map(|item| {
                let key = item.span().start;
                read(&Value::new(self.document, self.name.clone(), key, item))
            })
            .collect();
        values.into_iter().collect()
    }

    /// A list in which nothing is repeated.
    pub fn set<T: Ord>(
        &self,
        mut read: impl FnMut(&Value<'t>) -> Option<T>,
    ) -> Option<BTreeSet<T>> {
        let mut first: BTreeMap<T, usize> = BTreeMap::new();
        let added = self.list(|value| {
            let item = read(value)?;
            if let Some(offset) = first.get(&item) {
                let place = self.document.place(*offset);
                value.report(format_args!("repeats what stands at {place}"));
                return None;
            }
            first.insert(item, value.offset);
            Some(())
        });
        added.map(|_| first.into_keys().collect())
    }

    /// Whether it is a table at all, where more can be said than "expected a table".
    pub fn is_table(&self) -> bool {
        matches!(self.item(), DeValue::Table(_))
    }

    /// A table of known keys.
    pub fn table<T>(&self, read: impl FnOnce(&mut Table<'t>) -> Option<T>) -> Option<T> {
        let DeValue::Table(entries) = self.item() else {
            return self.expected("a table");
        };
        if self.is_broken() {
            return None;
        }
        Table::read(self.document, self.name.clone(), self.offset, entries, read)
    }

    /// A table whose keys are names that the author chose; read in the order of the file.
    pub fn entries<K: Ord, V>(
        &self,
        mut read: impl FnMut(&Key<'t>, &Value<'t>) -> Option<(K, V)>,
    ) -> Option<BTreeMap<K, V>> {
        let DeValue::Table(entries) = self.item() else {
            return self.expected("a table");
        };
        if self.is_broken() {
            return None;
        }
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let read: Vec<Option<(K, V)>> = entries
            .into_iter()
            .map(|(key, item)| {
                let key = Key::new(self, key);
                let value = Value::new(self.document, key.name.clone(), key.offset, item);
                read(&key, &value)
            })
            .collect();
        read.into_iter().collect()
    }

    /// Reports a problem of this value; the message begins with its name.
    pub fn report(&self, message: impl Display) {
        self.document
            .report(self.offset, labelled(&self.name, message));
    }

    /// Reports a problem of a part of this text, that many bytes in: at that very place, where the
    /// text stands in the file as it is, and at its beginning where it has escapes.
    pub fn report_within(&self, offset: usize, message: impl Display) {
        let start = self.item.span().start;
        let written = &self.document.text[self.item.span()];
        let inner = self.item().as_str().and_then(|text| written.find(text));
        let place = inner.map_or(start, |inner| start + inner + offset);
        self.document.report(place, labelled(&self.name, message));
    }

    /// Tells of something that is allowed and likely wrong; the message begins with its name.
    pub fn warn(&self, message: impl Display) {
        self.document
            .warn(self.offset, labelled(&self.name, message));
    }

    /// Where it stands, for a check once the whole file is read.
    pub fn place(&self) -> Place {
        self.document.place(self.offset)
    }

    /// Whether the syntax of the whole file is right: see [`Table::is_sound`].
    pub fn is_sound(&self) -> bool {
        self.document.broken.is_empty()
    }

    /// Its full name: `tier.manage.needs`.
    pub fn name(&self) -> impl Display {
        &self.name
    }

    fn item(&self) -> &'t DeValue<'t> {
        self.item.get_ref()
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        if !self.is_broken() {
            let found = kind(self.item());
            self.report(format_args!("expected {what}, found {found}"));
        }
        None
    }

    fn unbroken<T>(&self, value: T) -> Option<T> {
        (!self.is_broken()).then_some(value)
    }

    /// Whether a syntax error lies within it, which has been reported.
    fn is_broken(&self) -> bool {
        self.document.is_broken(&self.item.span())
    }
}

/// A name that the author of the file chose.
#[derive(Debug, Clone)]
pub struct Key<'t> {
    document: &'t Document<'t>,
    name: Name<'t>,
    offset: usize,
    text: &'t str,
}

impl<'t> Key<'t> {
    fn new(parent: &Value<'t>, key: &'t Spanned<DeString<'t>>) -> Self {
        Self {
            document: parent.document,
            name: parent.name.child(key.get_ref()),
            offset: key.span().start,
            text: key.get_ref(),
        }
    }

    /// The name itself.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The name, if `parse` can read it; its error is reported.
    pub fn parsed<T, E: Display>(&self, parse: impl FnOnce(&'t str) -> Result<T, E>) -> Option<T> {
        parse(self.text).map_err(|error| self.report(error)).ok()
    }

    /// Whether the syntax of the whole file is right: see [`Table::is_sound`].
    pub fn is_sound(&self) -> bool {
        self.document.broken.is_empty()
    }

    /// Reports a problem of this name.
    pub fn report(&self, message: impl Display) {
        self.document
            .report(self.offset, labelled(&self.name, message));
    }

    /// Tells of something that is allowed and likely wrong, at this name.
    pub fn warn(&self, message: impl Display) {
        self.document
            .warn(self.offset, labelled(&self.name, message));
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.document.place(self.offset)
    }
}

/// The text that is read and what is wrong with it, by byte.
struct Document<'t> {
    file: Arc<str>,
    text: &'t str,
    line_starts: Vec<usize>,
    /// How many characters lie before each block of [`BLOCK`] bytes.
    characters: Vec<usize>,
    broken: BTreeSet<usize>,
    problems: RefCell<Vec<(usize, String)>>,
    warnings: RefCell<Vec<(usize, String)>>,
}

impl<'t> Document<'t> {
    fn new(file: &str, text: &'t str, errors: &[toml::de::Error]) -> Self {
        let line_ends = text.match_indices('\n').map(|(index, _)| index + 1);
        let document = Self {
            file: file.into(),
            text,
            line_starts: std::iter::once(0).chain(line_ends).collect(),
            characters: characters_before_blocks(text),
            broken: errors.iter().map(offset_of).collect(),
            problems: RefCell::default(),
            warnings: RefCell::default(),
        };
        document.report_syntax(errors);
        document
    }

    /// One error to a line: the parser's next ones there are mostly consequences of the first.
    fn report_syntax(&self, errors: &[toml::de::Error]) {
        let mut errors: Vec<_> = errors
            .iter()
            .map(|error| (offset_of(error), error))
            .collect();
        errors.sort_by_key(|(offset, _)| *offset);
        errors.dedup_by_key(|(offset, _)| self.line_of(*offset));
        for (offset, error) in errors {
            self.report(offset, syntax_message(error.message()).to_owned());
        }
    }

    fn report(&self, offset: usize, message: String) {
        self.problems.borrow_mut().push((offset, message));
    }

    fn warn(&self, offset: usize, message: String) {
        self.warnings.borrow_mut().push((offset, message));
    }

    fn warnings(&self) -> Vec<Problem> {
        let mut warnings = self.warnings.take();
        warnings.sort();
        warnings
            .into_iter()
            .map(|(offset, message)| self.place(offset).problem(printable(&message)))
            .collect()
    }

    fn is_broken(&self, span: &Range<usize>) -> bool {
        self.broken.range(span.start..=span.end).next().is_some()
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Problems> {
        let mut problems = self.problems.take();
        problems.sort();
        match value {
            Some(value) if problems.is_empty() => return Ok(value),
            // A reader gave up without saying why: still a refusal.
            None if problems.is_empty() => problems.push((0, "this file can't be read".to_owned())),
            Some(_) | None => {}
        }
        if let Some(more) = problems.len().checked_sub(MAX_PROBLEMS + 1) {
            problems.truncate(MAX_PROBLEMS + 1);
            let last = format!("and {} problems more from here on", more + 1);
            problems[MAX_PROBLEMS].1 = last;
        }
        Err(problems
            .into_iter()
            .map(|(offset, message)| self.place(offset).problem(printable(&message)))
            .collect())
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.line_of(offset);
        let start = match line {
            // Allowed at the start of a file; no editor counts it as a column.
            0 if self.text.starts_with(BYTE_ORDER_MARK) => BYTE_ORDER_MARK.len_utf8(),
            _ => self.line_starts[line],
        };
        let before = self.characters_before(offset.max(start)) - self.characters_before(start);
        Place {
            file: Arc::clone(&self.file),
            line: line + 1,
            column: before + 1,
        }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let block = offset / BLOCK;
        self.characters[block] + count_characters(&self.text.as_bytes()[block * BLOCK..offset])
    }

    /// Counted from 0.
    fn line_of(&self, offset: usize) -> usize {
        let after = self.line_starts.partition_point(|start| *start <= offset);
        after.saturating_sub(1)
    }
}

impl fmt::Debug for Document<'_> {
    /// The file's name only: its text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&self.file).finish()
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// In bytes: a line as long as the file has millions of places, each of which is counted from here.
const BLOCK: usize = 1024;

fn characters_before_blocks(text: &str) -> Vec<usize> {
    let blocks = text.as_bytes().chunks(BLOCK);
    let mut count = 0;
    let ends = blocks.map(|block| {
        count += count_characters(block);
        count
    });
    std::iter::once(0).chain(ends).collect()
}

/// In UTF-8 every byte but those of the form `10xxxxxx` begins a character.
fn count_characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// The parser guesses from its first letter what a word without quotes was to be, and asks for that.
fn syntax_message(message: &str) -> &str {
    let guesses = ["string values must be", "invalid float", "invalid boolean"];
    if guesses.iter().any(|guess| message.starts_with(guess)) {
        "this is no value; text stands in quotes"
    } else {
        message
    }
}

/// A day of this century or the next: beyond them it is a slip of the finger.
fn date(year: u16, month: u8, day: u8) -> Option<Date> {
    let year = i16::try_from(year).ok()?;
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let date = Date::new(year, month, day).ok()?;
    (2000..2200).contains(&date.year()).then_some(date)
}

fn offset_of(error: &toml::de::Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

fn too_long(file: &str, text: &str) -> Problems {
    let start = Place {
        file: file.into(),
        line: 1,
        column: 1,
    };
    let length = text.len();
    let message = format!("expected a file of at most {MAX_BYTES} bytes, found {length}");
    std::iter::once(start.problem(message)).collect()
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A whole number and its unit, as in `12h`; longer than none, at most a century.
pub(crate) fn duration(text: &str) -> Option<SignedDuration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let milliseconds: i64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // A century: beyond it, sums with a timestamp could overflow.
    let longest = 36_525 * 86_400_000;
    let total = count.parse::<i64>().ok()?.checked_mul(milliseconds)?;
    (1..=longest)
        .contains(&total)
        .then(|| SignedDuration::from_millis(total))
}

/// The name of a value: `tier.manage.needs`. Every value has one and few are told, so it is put
/// together only then.
#[derive(Debug, Clone, Default)]
struct Name<'t>(Option<Rc<(Name<'t>, &'t str)>>);

impl<'t> Name<'t> {
    fn child(&self, key: &'t str) -> Self {
        Self(Some(Rc::new((self.clone(), key))))
    }
}

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            Some((parent, key)) => f.write_str(&join(parent, key)),
            None => Ok(()),
        }
    }
}

/// The name of a key, with quotes where TOML needs them.
fn join(parent: &Name<'_>, key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let short = shorten(key);
    let key = if !key.is_empty() && key.bytes().all(is_bare) {
        short.into_owned()
    } else {
        format!("\"{short}\"")
    };
    match parent.0 {
        Some(_) => format!("{parent}.{key}"),
        None => key,
    }
}

fn labelled(name: &Name<'_>, message: impl Display) -> String {
    match name.0 {
        Some(_) => format!("`{name}`: {message}"),
        None => message.to_string(),
    }
}

/// At most 64 characters of a text from the file, for a message.
fn shorten(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// One line that moves no terminal's cursor, whatever the file holds.
fn printable(message: &str) -> String {
    message
        .chars()
        .flat_map(|one| {
            let escaped = one.is_control().then(|| one.escape_default());
            let plain = escaped.is_none().then_some(one);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is wrong with `text`, as a file called `f`.
    fn problems<T: fmt::Debug>(
        text: &str,
        f: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Vec<String> {
        let problems = read("f", text, f).expect_err("a wrong file was read");
        problems.iter().map(ToString::to_string).collect()
    }

    /// A reader that knows one key of each type.
    fn one_of_each(file: &mut Table<'_>) -> Option<()> {
        let word = file.optional("word", |value| value.one_of(&[("yes", 1), ("no", 0)]));
        let count = file.optional("count", |value| value.integer(1..=65_535_u16));
        let flag = file.optional_or("flag", false, Value::boolean);
        let wait = file.optional("wait", Value::duration);
        let part = file.optional("part", Value::share);
        let list = file.optional("list", |value| value.set(Value::string));
        let named = file.optional("named", |value| {
            value.entries(|key, value| {
                let inner = value.table(|table| table.required("text", Value::string));
                Some((key.text(), inner?))
            })
        });
        let _all = (word?, count?, flag?, wait?, part?, list?, named?);
        Some(())
    }

    #[test]
    fn a_right_file_has_no_problem() {
        let text = "\u{feff}word = 'yes'\r\ncount = +65_535\nflag = true\nwait = '10s'\npart = 0.5\n\
                    list = ['a', 'b']\n[named.a]\ntext = ''\n[named.\"b c\"]\ntext = ''\n";
        read("f", text, one_of_each).unwrap();
        read("f", "", one_of_each).unwrap();
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_place() {
        let text = "\u{feff}wrod = 'yes'\r\nword = 'yse'\r\ncount = 65_536\r\nflag = 1\r\n\
                    wait = 5\r\nlist = ['ä', 2, 'ä']\r\n[named.a]\r\n[named.\"b c\"]\r\n\
                    text = 1979-05-27\r\n";
        assert_eq!(
            problems(text, one_of_each),
            [
                "f:1:1: `wrod` is unknown; did you mean `word`? (known here: `word`, `count`, `flag`, `wait`, `part`, `list`, `named`)",
                "f:2:8: `word`: expected one of `yes`, `no`, found `yse`",
                "f:3:9: `count`: expected a whole number from 1 to 65535, found 65536",
                "f:4:8: `flag`: expected `true` or `false`, found a whole number",
                "f:5:8: `wait`: expected a string, found a whole number",
                "f:6:14: `list`: expected a string, found a whole number",
                "f:6:17: `list`: repeats what stands at f:6:9",
                "f:7:8: `named.a.text` is missing",
                "f:9:8: `named.\"b c\".text`: expected a string, found a date",
            ]
        );
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for good in ["0", "1", "0.25", "1e-3"] {
            read("f", &format!("part = {good}"), one_of_each).unwrap();
        }
        for (bad, found) in [("1.5", "1.5"), ("2", "2"), ("-0.1", "-0.1"), ("nan", "nan")] {
            assert_eq!(
                problems(&format!("part = {bad}"), one_of_each),
                [format!(
                    "f:1:8: `part`: expected a number from 0 to 1, found {found}"
                )]
            );
        }
    }

    #[test]
    fn columns_count_characters_and_no_byte_order_mark() {
        let text = "\u{feff}named = { 'ä€😀' = 1, b = 2 }";
        assert_eq!(
            problems(text, one_of_each),
            [
                "f:1:19: `named.\"ä€😀\"`: expected a table, found a whole number",
                "f:1:26: `named.b`: expected a table, found a whole number",
            ]
        );
    }

    #[test]
    fn broken_syntax_does_not_make_right_lines_look_wrong() {
        let cases: [(&str, &[&str]); 6] = [
            (
                "wait = 12h\nflag = 1",
                &[
                    "f:1:8: this is no value; text stands in quotes",
                    "f:2:8: `flag`: expected `true` or `false`, found a whole number",
                ],
            ),
            (
                "flag = truee",
                &["f:1:8: this is no value; text stands in quotes"],
            ),
            (
                "[named.a\ntext = ''",
                &["f:1:9: unclosed table, expected `]`"],
            ),
            ("flag = true\nflag = true", &["f:2:1: duplicate key"]),
            (
                "[named.a]\ntext = 'x'\n[named.a]\n",
                &["f:3:8: duplicate key"],
            ),
            (
                "list = ['a'\nflag = true\n",
                &["f:2:1: missing comma between array elements, expected `,`"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(problems(text, one_of_each), expected, "{text}");
        }
    }

    #[test]
    fn a_length_of_time_has_one_number_and_one_unit() {
        assert_eq!(duration("250ms"), Some(SignedDuration::from_millis(250)));
        assert_eq!(duration("10s"), Some(SignedDuration::from_secs(10)));
        assert_eq!(duration("15m"), Some(SignedDuration::from_mins(15)));
        assert_eq!(duration("12h"), Some(SignedDuration::from_hours(12)));
        assert_eq!(duration("30d"), Some(SignedDuration::from_hours(720)));
        for bad in [
            "",
            "12",
            "h",
            "0s",
            "-1s",
            "+1s",
            "1.5h",
            "12 h",
            "12H",
            "1h30m",
            "٣s",
            "36526d",
            "99999999999999999999s",
            "9223372036854775807d",
        ] {
            assert_eq!(duration(bad), None, "`{bad}` was taken");
        }
    }

    #[test]
    fn a_message_holds_neither_control_characters_nor_a_long_value() {
        let long = "x".repeat(1000);
        let text = format!("word = \"\\u001b[2J\\n{long}\"");
        let told = problems(&text, one_of_each);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains(r"found `\u{1b}[2J\nxxx"), "{}", told[0]);
        assert!(told[0].len() < 200, "{}", told[0]);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_printed() {
        let text = "word = ['hunter2']\nflag = 'hunter2'\ncount = 'hunter2'";
        assert!(!problems(text, one_of_each).join("\n").contains("hunter2"));
    }

    #[test]
    fn of_very_many_problems_the_first_hundred_are_told() {
        let lines: Vec<String> = (0..250).map(|n| format!("key{n} = 1")).collect();
        let told = problems(&lines.join("\n"), one_of_each);
        assert_eq!(told.len(), 101);
        assert_eq!(told[100], "f:101:1: and 150 problems more from here on");
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        assert_eq!(
            problems(&"#".repeat(MAX_BYTES + 1), one_of_each),
            ["f:1:1: expected a file of at most 33554432 bytes, found 33554433"]
        );
    }

    #[test]
    fn a_long_line_with_many_mistakes_is_read_in_time() {
        let items = "'ä',".repeat(200_000);
        let told = problems(&format!("list = [{items}]"), one_of_each);
        assert_eq!(told[0], "f:1:13: `list`: repeats what stands at f:1:9");
        assert_eq!(told[99], "f:1:409: `list`: repeats what stands at f:1:9");
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        for text in [
            "[".repeat(100_000),
            format!("list = {}", "[".repeat(100_000)),
            format!("named = {}", "{a = ".repeat(100_000)),
            format!("[{}a]", "a.".repeat(100_000)),
            format!("{}a = 1", "a.".repeat(100_000)),
        ] {
            assert!(read("f", &text, one_of_each).is_err());
        }
    }

    #[test]
    fn a_reader_that_gives_up_in_silence_is_a_refusal_too() {
        assert_eq!(
            problems("", |_| None::<()>),
            ["f:1:1: this file can't be read"]
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = read("f", &text, one_of_each);
        }

        #[test]
        fn no_arrangement_of_toml_makes_it_panic(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "word", "list", "named", "=", "'", "\"", "[", "]", "{", "}", ",", ".", "\n",
                    "\r", " ", "ä", "\\", "1", "'''", "\u{feff}", "wait = '1h'\n", "[named.x]\n",
                ]),
                0..40,
            ),
        ) {
            if let Err(problems) = read("f", &pieces.concat(), one_of_each) {
                prop_assert!(!problems.is_empty());
            }
        }
    }
}
