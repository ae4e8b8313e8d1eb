//! Runs one stand-in until it is interrupted: `countersign-dev-idp oidc --listen 127.0.0.2:9000`.
//!
//! The first line of output is its base URL.

use std::io::Write;
use std::process::ExitCode;

use countersign_dev_idp::DevIdp;

const USAGE: &str = "usage: countersign-dev-idp oidc|entra|github [--listen ADDRESS:PORT]";
const ANY_PORT: &str = "127.0.0.1:0";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, listen) = match arguments[..] {
        [kind] => (kind, ANY_PORT),
        [kind, "--listen", listen] => (kind, listen),
        _ => return Err(USAGE.to_owned()),
    };
    let idp = match kind {
        "oidc" => DevIdp::oidc(listen).await,
        "entra" => DevIdp::entra(listen).await,
        "github" => DevIdp::github(listen).await,
        _ => return Err(USAGE.to_owned()),
    }
    .map_err(|error| format!("cannot listen on `{listen}`: {error}"))?;
    println!("{}", idp.base_url());
    std::io::stdout()
        .flush()
        .map_err(|error| error.to_string())?;
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| error.to_string())?;
    idp.stop().await;
    Ok(())
}
