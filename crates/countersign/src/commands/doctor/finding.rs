//! What a check comes to: one line, and what to do about it.

use std::fmt::{self, Display};

use serde::Serialize;

/// How it is. The greater, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Health {
    Ok,
    Warn,
    Fail,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) health: Health,
    /// Of what.
    of: String,
    found: String,
    /// What to do; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    pub(super) fn fine(of: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            health: Health::Ok,
            of: of.into(),
            found: found.into(),
            mend: None,
        }
    }

    pub(super) fn warning(
        of: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            health: Health::Warn,
            mend: Some(mend.into()),
            ..Self::fine(of, found)
        }
    }

    pub(super) fn failure(
        of: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            health: Health::Fail,
            ..Self::warning(of, found, mend)
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = match self.health {
            Health::Ok => "ok",
            Health::Warn => "warn",
            Health::Fail => "FAIL",
        };
        write!(f, "{health:<5} {}: {}", self.of, self.found)?;
        match &self.mend {
            Some(mend) => write!(f, "\n      → {mend}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_is_and_the_next_what_to_do() {
        let fine = Finding::fine("store", "it answers");
        assert_eq!(fine.to_string(), "ok    store: it answers");
        let bad = Finding::failure("store", "it hangs", "look at the disk");
        assert_eq!(
            bad.to_string(),
            "FAIL  store: it hangs\n      → look at the disk"
        );
        assert!(Health::Fail > Health::Warn && Health::Warn > Health::Ok);
    }
}
