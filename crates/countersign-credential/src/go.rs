//! Go's `GOAUTH` command (`go help goauth`): asked for nothing in particular, it prints what is kept; asked about a URL that
//! was refused for want of a sign-in, or of a better one, it has the person sign in anew.

use std::io::{BufRead, Write};

use secrecy::ExposeSecret;

use crate::person::{Browser, Person};
use crate::store::{Login, Store};
use crate::{Error, Tool};

/// What a challenge says of a sign-in that is not enough.
const NOT_ENOUGH: &str = "error=\"insufficient_user_authentication\"";
/// How much is read of an answer's head, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What is kept for registries that Go may show it to.
pub(crate) fn all(mut output: impl Write) -> Result<(), Error> {
    let kept = Store::of_person()?.read()?;
    for (_, login) in kept.logins() {
        show(login, &mut output)?;
    }
    Ok(())
}

/// A new login for the registry of this URL, where that has said 401 and is one of ours.
pub(crate) async fn anew(
    url: &str,
    answer: impl BufRead,
    browser: Browser,
    output: impl Write,
) -> Result<(), Error> {
    let kept = Store::of_person()?.read()?;
    let wants = wants_sign_in(answer)?;
    let Some(address) = kept.at(url).filter(|_| wants) else {
        return Ok(());
    };
    let person = Person::new(address, Tool::Go, browser)?;
    let over = person.login()?;
    let login = person.sign_in_instead_of(over.as_ref()).await?;
    show(&login, output)
}

/// Whether an answer is one that a sign-in may mend: 401, or what says so (RFC 9470 3). Go asks about every 4xx, a module that is
/// not there for one.
fn wants_sign_in(answer: impl BufRead) -> Result<bool, Error> {
    let lines = answer.take(LONGEST).lines();
    let lines = lines.collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|error| Error::Input(error.to_string()))?;
    let status = lines.first().and_then(|line| line.split(' ').nth(1));
    Ok(match status {
        Some("401") => true,
        Some("403") => lines.iter().any(|line| {
            let header = line.split_once(':');
            header.is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("www-authenticate") && value.contains(NOT_ENOUGH)
            })
        }),
        Some(_) | None => false,
    })
}

/// Go sends it over https alone, and to this site and what is below.
fn show(login: &Login, mut output: impl Write) -> Result<(), Error> {
    if login.registry.scheme() == "https" {
        let (site, key) = (&login.registry, login.key.expose_secret());
        write!(output, "{site}\n\nAuthorization: Bearer {key}\n\n")?;
    }
    Ok(())
}
