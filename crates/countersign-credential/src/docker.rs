//! Docker's credential helper (<https://github.com/docker/docker-credential-helpers>): `get`, `store`, `erase` and `list`, by
//! stdin and stdout. What is wrong stands on stdout, too.

use std::io::{Read, Write};

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::address::Address;
use crate::person::{Browser, Person};
use crate::store::{DockerLogin, Kept, Login, Store};
use crate::{Error, Tool};

/// The very words by which Docker knows that there is nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";
const VERSION: &str = concat!("docker-credential-countersign ", env!("CARGO_PKG_VERSION"));
/// The user name beside a key: it proves nothing.
const USER: &str = "countersign";
/// The longest that Docker gives, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What Docker gives to be kept.
#[derive(Deserialize)]
struct Given {
    #[serde(rename = "ServerURL")]
    server: String,
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: secrecy::SecretString,
}

/// Does what Docker asks.
pub(crate) async fn serve(
    action: Option<&str>,
    input: impl Read,
    mut output: impl Write,
) -> Result<(), Error> {
    if let Some("--version" | "version") = action {
        return Ok(writeln!(output, "{VERSION}")?);
    }
    let store = Store::of_person()?;
    match action {
        Some("list") => Ok(writeln!(output, "{}", list(&store.read()?))?),
        Some("get") => {
            let server = text(input)?;
            let found = found(&store.read()?, &server);
            let found = found.ok_or_else(|| Error::Refused(NOT_FOUND.to_owned()))?;
            let secret = found.secret.expose_secret();
            let told = json!({"ServerURL": server, "Username": found.username, "Secret": secret});
            Ok(writeln!(output, "{told}")?)
        }
        Some("store") => {
            let given: Given = serde_json::from_str(&text(input)?)
                .map_err(|_| Error::Input("no credentials of Docker's".to_owned()))?;
            let login = DockerLogin {
                username: given.username,
                secret: given.secret,
            };
            store.change(|kept| drop(kept.docker.insert(given.server, login)))
        }
        Some("erase") => erase(&store, &text(input)?).await,
        Some(_) | None => Err(Error::Input(
            "expected `get`, `store`, `erase`, `list` or `version`".to_owned(),
        )),
    }
}

fn text(input: impl Read) -> Result<String, Error> {
    let mut text = String::new();
    let read = input.take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| Error::Input(error.to_string()))?;
    Ok(text.trim().to_owned())
}

/// What Docker itself has had kept comes first.
fn found(kept: &Kept, server: &str) -> Option<DockerLogin> {
    let own = kept.docker.get(server).cloned();
    own.or_else(|| {
        let (_, login) = of_ours(kept, server)?;
        Some(DockerLogin {
            username: USER.to_owned(),
            secret: login.key.clone(),
        })
    })
}

/// The registry of ours that Docker names by host and port, as people write it.
fn of_ours<'a>(kept: &'a Kept, server: &str) -> Option<(Address, &'a Login)> {
    let server = server
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let server = server.split('/').next()?;
    let mut logins = kept.logins();
    logins.find(|(_, login)| !server.is_empty() && name(&login.registry) == server)
}

fn name(registry: &Url) -> String {
    let host = registry.host_str().unwrap_or_default();
    let port = registry.port().map(|port| format!(":{port}"));
    format!("{host}{}", port.unwrap_or_default())
}

fn list(kept: &Kept) -> serde_json::Value {
    let ours = kept
        .logins()
        .map(|(_, login)| (name(&login.registry), USER.to_owned()));
    let own = kept.docker.iter();
    let own = own.map(|(server, login)| (server.clone(), login.username.clone()));
    ours.chain(own)
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_iter()
        .collect()
}

/// `docker logout`.
async fn erase(store: &Store, server: &str) -> Result<(), Error> {
    let kept = store.read()?;
    store.change(|kept| drop(kept.docker.remove(server)))?;
    match of_ours(&kept, server) {
        Some((address, _)) => {
            Person::new(address, Tool::Docker, Browser::Leave)?
                .sign_out()
                .await
        }
        None => Ok(()),
    }
}
