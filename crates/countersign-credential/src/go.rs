//! Go's `GOAUTH` command (`go help goauth`): asked for nothing in particular, it prints what is kept; asked about a URL that
//! was answered by 401, it has the person sign in anew.

use std::io::{BufRead, Write};

use secrecy::ExposeSecret;

use crate::person::{Browser, Person};
use crate::store::{Login, Store};
use crate::{Error, Tool};

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
    mut answer: impl BufRead,
    browser: Browser,
    output: impl Write,
) -> Result<(), Error> {
    let mut status = String::new();
    let read = answer.read_line(&mut status);
    read.map_err(|error| Error::Input(error.to_string()))?;
    let kept = Store::of_person()?.read()?;
    let is_401 = status.split(' ').nth(1) == Some("401");
    let Some(address) = kept.at(url).filter(|_| is_401) else {
        return Ok(());
    };
    let person = Person::new(address, Tool::Go, browser)?;
    let over = person.login()?;
    let login = person.sign_in_instead_of(over.as_ref()).await?;
    show(&login, output)
}

/// Go sends it over https alone, and to this site and what is below.
fn show(login: &Login, mut output: impl Write) -> Result<(), Error> {
    if login.registry.scheme() == "https" {
        let (site, key) = (&login.registry, login.key.expose_secret());
        write!(output, "{site}\n\nAuthorization: Bearer {key}\n\n")?;
    }
    Ok(())
}
