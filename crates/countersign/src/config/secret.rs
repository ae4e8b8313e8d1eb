//! Secrets: named in the configuration, kept elsewhere.
//!
//! They come from a file or from the environment. No message here holds a value.

use std::path::Path;

use countersign_core::document::{Table, Value};
use secrecy::SecretString;

use super::file::Reader;

/// Permissions with which others than the owner can read a file.
const READABLE_BY_OTHERS: u32 = 0o044;

impl Reader<'_> {
    /// `{ file = "…" }` or `{ env = "…" }`.
    pub(super) fn secret(&mut self, value: &Value<'_>) -> Option<SecretString> {
        if !value.is_table() {
            value.report(
                "a secret does not stand in this file: put it into a file of its own and write \
                 `{ file = \"PATH\" }`, or into the environment and write `{ env = \"NAME\" }`",
            );
            return None;
        }
        value.table(|table| self.secret_by_reference(table))
    }

    fn secret_by_reference(&mut self, table: &mut Table<'_>) -> Option<SecretString> {
        let file = table.optional("file", |value| self.secret_of_file(value));
        let variable = table.optional("env", |value| self.secret_of_environment(value));
        match (file?, variable?) {
            (Some(secret), None) | (None, Some(secret)) => Some(secret),
            (None, None) | (Some(_), Some(_)) => {
                table.report("expected one of `file` and `env`");
                None
            }
        }
    }

    fn secret_of_file(&mut self, value: &Value<'_>) -> Option<SecretString> {
        let path = self.path(value)?;
        let contents = match self.outside.file(&path) {
            Ok(contents) => contents,
            Err(error) => {
                value.report(format_args!("can't read `{}`: {error}", path.display()));
                return None;
            }
        };
        self.warn_if_readable(&path, contents.mode, value);
        // Editors and `echo` end a file with a line end, which is no part of the secret.
        let text = contents.text.strip_suffix('\n').unwrap_or(&contents.text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        checked(text, &format!("the file `{}`", path.display()), value)
    }

    fn secret_of_environment(&self, value: &Value<'_>) -> Option<SecretString> {
        let name = value.parsed(variable_name)?;
        let source = format!("the environment variable `{name}`");
        match self
            .outside
            .variable(name)
            .map(std::ffi::OsString::into_string)
        {
            Some(Ok(text)) => checked(&text, &source, value),
            Some(Err(_)) => {
                value.report(format_args!("{source} is not valid UTF-8"));
                None
            }
            None => {
                value.report(format_args!("{source} is not set"));
                None
            }
        }
    }

    /// Warns where others can read what a file holds.
    pub(super) fn warn_if_readable(&mut self, path: &Path, mode: u32, value: &Value<'_>) {
        if mode & READABLE_BY_OTHERS != 0 {
            let path = path.display();
            let message = format!(
                "others than its owner can read `{path}` (mode {mode:04o}); `chmod 600 '{path}'`"
            );
            self.warn(value, message);
        }
    }
}

fn checked(text: &str, source: &str, value: &Value<'_>) -> Option<SecretString> {
    let fault = if text.trim().is_empty() {
        "is empty"
    } else if text.contains(char::is_control) {
        "holds more than one line, or characters that can't be seen; expected the secret alone"
    } else {
        return Some(text.into());
    };
    value.report(format_args!("{source} {fault}"));
    None
}

/// Strict, so that a secret which stands here by mistake is not taken for a name and printed.
fn variable_name(text: &str) -> Result<&str, &'static str> {
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(is_name) {
        Ok(text)
    } else {
        Err("expected the name of an environment variable: capital letters, digits and `_`")
    }
}
