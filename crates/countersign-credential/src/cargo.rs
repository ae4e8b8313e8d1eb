//! cargo's credential provider
//! (<https://doc.rust-lang.org/cargo/reference/credential-provider-protocol.html>): a line of JSON asks, a line answers.

use std::io::{BufRead, Write};

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::address::Address;
use crate::person::{Browser, Person};
use crate::store::Store;
use crate::wire::Deed;
use crate::{Error, Tool};

/// The one version of the protocol.
const VERSION: u32 = 1;

/// What cargo asks. It may say more than this.
#[derive(Debug, Deserialize)]
struct Request {
    v: u32,
    registry: Registry,
    kind: String,
    operation: Option<String>,
    name: Option<String>,
    vers: Option<String>,
    cksum: Option<String>,
    /// What stands in cargo's configuration behind the program.
    #[serde(default)]
    args: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Registry {
    #[serde(rename = "index-url")]
    index_url: String,
}

/// Why there is none, as cargo takes it.
#[derive(Debug)]
enum Not {
    /// Another provider may know this registry.
    Supported,
    /// Nobody is signed in.
    Found,
    OperationSupported,
    Else(Error),
}

impl From<Error> for Not {
    fn from(error: Error) -> Self {
        Self::Else(error)
    }
}

/// Answers cargo until it asks no more.
pub(crate) async fn serve(input: impl BufRead, mut output: impl Write) -> Result<(), Error> {
    writeln!(output, "{}", json!({"v": [VERSION]}))?;
    output.flush()?;
    for line in input.lines() {
        let line = line.map_err(|error| Error::Input(error.to_string()))?;
        let answer = match answered(&line).await {
            Ok(answer) => json!({"Ok": answer}),
            Err(Not::Supported) => json!({"Err": {"kind": "url-not-supported"}}),
            Err(Not::Found) => json!({"Err": {"kind": "not-found"}}),
            Err(Not::OperationSupported) => json!({"Err": {"kind": "operation-not-supported"}}),
            Err(Not::Else(error)) => {
                json!({"Err": {"kind": "other", "message": error.to_string(), "caused-by": []}})
            }
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

async fn answered(line: &str) -> Result<Value, Not> {
    let request: Request =
        serde_json::from_str(line).map_err(|_| Error::Input("no request of cargo's".to_owned()))?;
    if request.v != VERSION {
        return Err(Not::OperationSupported);
    }
    let (address, browser) = named(&request.args)?;
    let kept = Store::of_person()?.read()?;
    let address = address.or_else(|| kept.at(&request.registry.index_url));
    let address = address.ok_or(Not::Supported)?;
    let person = Person::new(address, Tool::Cargo, browser)?;
    match request.kind.as_str() {
        "get" => credential(&person, &request).await,
        "login" => {
            person.sign_in().await?;
            Ok(json!({"kind": "login"}))
        }
        "logout" => match person.sign_out().await {
            Ok(()) => Ok(json!({"kind": "logout"})),
            Err(Error::NotSignedIn(_)) => Err(Not::Found),
            Err(error) => Err(error.into()),
        },
        _ => Err(Not::OperationSupported),
    }
}

/// What stands in cargo's configuration: `["countersign-credential", "cargo", "https://…", "--no-browser"]`, all of it but
/// the first to be left out.
fn named(arguments: &[String]) -> Result<(Option<Address>, Browser), Error> {
    let (mut address, mut browser) = (None, Browser::Open);
    for argument in arguments {
        match argument.as_str() {
            "cargo" => {}
            "--no-browser" => browser = Browser::Leave,
            text => address = Some(text.parse()?),
        }
    }
    Ok((address, browser))
}

async fn credential(person: &Person, request: &Request) -> Result<Value, Not> {
    let (operation, words) = match request.operation.as_deref() {
        Some("publish") => ("publish", "publish"),
        Some("yank") => ("yank", "yank"),
        Some("unyank") => ("yank", "undo the yank of"),
        Some("owners") => ("owners", "see or change the owners of"),
        // Of what is read nothing is known beforehand, and there is much of it: the key itself.
        Some("read") => {
            let login = person.login_or_sign_in().await?;
            return Ok(got(login.key.expose_secret(), "session"));
        }
        Some(_) | None => return Err(Not::OperationSupported),
    };
    let deed = Deed {
        words,
        operation,
        package: request.name.as_deref(),
        version: request.vers.as_deref(),
        checksum: request.cksum.as_deref(),
    };
    let token = person.token(&deed).await?;
    Ok(got(token.expose_secret(), "never"))
}

fn got(token: &str, cache: &str) -> Value {
    json!({"kind": "get", "token": token, "cache": cache, "operation_independent": false})
}
