//! What a registry's gate costs, beside an HTTP server that decides nothing.
//!
//! `cargo bench -p countersign-tests --bench gate` builds the release programs and starts the broker as a process of its own; beside
//! it a bare actix server with as many workers, which gives the very bytes of the broker's answers; and Debian's Apache with
//! `mod_auth_openidc`. All take turns, so that what else the machine does hits them alike; CPU time (user and system) is that of the
//! servers, from `/proc`. Then an upload of 100 MB, straight and through the gate.
//!
//! It needs what `tests/run packages npm` installs, and `apache2` and `libapache2-mod-auth-openidc` besides. Figures of some parts
//! alone: `cargo bench -p countersign-tests --bench gate -- checks`, `apache`, `upload`. `COUNTERSIGN_BIN` names another build to be
//! measured.

#[path = "gate/apache.rs"]
mod apache;
#[path = "gate/bare.rs"]
mod bare;
#[path = "gate/bed.rs"]
mod bed;
#[path = "gate/compare.rs"]
mod compare;
#[path = "gate/load.rs"]
mod load;
#[path = "gate/upload.rs"]
mod upload;

use countersign_tests::measure::build_release;

/// What can be asked for alone.
const PARTS: [&str; 3] = ["checks", "apache", "upload"];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(settings) = bare::asked_for(&arguments) {
        return bare::serve(settings);
    }
    // `cargo test --benches` and the like call us without `--bench`: there is nothing to test here.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let is_named = |part: &&str| arguments.iter().any(|argument| argument == part);
    let named: Vec<&str> = PARTS.into_iter().filter(is_named).collect();
    let wants = |part: &str| named.is_empty() || named.contains(&part);
    if std::env::var_os("COUNTERSIGN_BIN").is_none() {
        build_release(&["countersign"])?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if wants("checks") || wants("upload") {
            let bed = bed::Bed::start().await?;
            if wants("checks") {
                compare::checks(&bed).await?;
                compare::tokens(&bed).await?;
            }
            if wants("upload") {
                upload::compare(&bed)?;
            }
        }
        if wants("apache") {
            apache::compare().await?;
        }
        Ok(())
    })
}
