//! Where the program listens, or would: whether it answers there as itself, or whether the place is free.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::Patient;
use super::finding::Finding;

/// How long each part of an answer may take. It comes from this machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What answers at an address of ours.
#[derive(Debug)]
enum Found {
    /// Nothing, and the address can be had.
    Free,
    /// Nothing, and it can't be had.
    Unavailable(ErrorKind),
    /// Something: its status, and a member of its JSON.
    Answers { status: u16, said: Option<String> },
    /// Something that does not speak as we do.
    Strange,
}

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let one = &patient.installation;
    let public = "/.well-known/openid-configuration";
    let found = look(one.listen, public, "issuer").await;
    let mut findings = vec![judge_public(one.listen, &found, one.settings.issuer())];
    if let Some(private) = one.private_listen {
        let found = look(private, "/readyz", "status").await;
        findings.push(judge_private(private, &found));
    }
    findings
}

async fn look(address: SocketAddr, path: &'static str, member: &'static str) -> Found {
    let looked = tokio::task::spawn_blocking(move || match TcpListener::bind(address) {
        Ok(_) => Found::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => ask(reachable(address), path)
            .ok()
            .and_then(|answer| read(&answer, member))
            .unwrap_or(Found::Strange),
        Err(error) => Found::Unavailable(error.kind()),
    });
    looked.await.unwrap_or(Found::Strange)
}

/// Plain HTTP to an address of this machine, which the client for providers would refuse.
fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    Ok(answer)
}

fn read(answer: &str, member: &str) -> Option<Found> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let said = serde_json::from_str::<Value>(body).ok();
    Some(Found::Answers {
        status,
        said: said.and_then(|body| Some(body.get(member)?.as_str()?.to_owned())),
    })
}

/// Where something is asked that listens on every address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn judge_public(address: SocketAddr, found: &Found, issuer: &str) -> Finding {
    let of = format!("listener {address}");
    match found {
        Found::Answers {
            status: 200,
            said: Some(said),
        } if said == issuer => Finding::fine(of, "this installation answers"),
        Found::Answers {
            status: 200,
            said: Some(_),
        } => Finding::failure(
            of,
            "a Countersign with another issuer answers",
            "restart it if `server.issuer` was changed; otherwise another installation has this address",
        ),
        Found::Answers { .. } | Found::Strange => taken(of),
        Found::Free => Finding::warning(
            of,
            "nothing listens, and the address is free",
            "`countersign serve` is not running",
        ),
        Found::Unavailable(kind) => unavailable(of, *kind, "server.listen"),
    }
}

fn judge_private(address: SocketAddr, found: &Found) -> Finding {
    let of = format!("private listener {address}");
    let ready = |status: &str| format!("/readyz: {status}");
    match found {
        Found::Answers {
            status: 200,
            said: Some(said),
        } => Finding::fine(of, ready(said)),
        Found::Answers {
            status: 503,
            said: Some(said),
        } => Finding::failure(
            of,
            ready(said),
            format!("`curl http://{address}/readyz` tells what is missing"),
        ),
        Found::Answers { .. } | Found::Strange => taken(of),
        Found::Free => Finding::warning(
            of,
            "nothing listens, and the address is free",
            "`countersign serve` is not running",
        ),
        Found::Unavailable(kind) => unavailable(of, *kind, "server.private_listen"),
    }
}

fn taken(of: String) -> Finding {
    Finding::failure(
        of,
        "something else than Countersign listens there",
        "stop it, or choose another port",
    )
}

fn unavailable(of: String, kind: ErrorKind, setting: &str) -> Finding {
    let mend = match kind {
        ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: change `{setting}`")
        }
        ErrorKind::PermissionDenied => {
            format!("ports below 1024 need a privilege: change `{setting}`")
        }
        _ => format!("change `{setting}`"),
    };
    Finding::failure(of, format!("nobody can listen there: {kind}"), mend)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Health;
    use super::*;

    fn answers(status: u16, said: Option<&str>) -> Found {
        let said = said.map(str::to_owned);
        Found::Answers { status, said }
    }

    #[test]
    fn what_listens_is_this_installation_or_must_go() {
        let check = |found: &Found, expected: Health| {
            let address = "127.0.0.1:8080".parse().unwrap();
            let finding = judge_public(address, found, "https://login.example");
            assert_eq!(finding.health, expected, "{found:?}");
        };
        check(&answers(200, Some("https://login.example")), Health::Ok);
        check(&answers(200, Some("https://other.example")), Health::Fail);
        check(&answers(404, None), Health::Fail);
        check(&Found::Strange, Health::Fail);
        check(&Found::Free, Health::Warn);
        check(
            &Found::Unavailable(ErrorKind::PermissionDenied),
            Health::Fail,
        );
    }

    #[test]
    fn a_server_that_is_not_ready_is_a_failure() {
        let check = |found: &Found, expected: Health| {
            let finding = judge_private("127.0.0.1:9464".parse().unwrap(), found);
            assert_eq!(finding.health, expected, "{found:?}");
        };
        check(&answers(200, Some("ready")), Health::Ok);
        check(&answers(503, Some("unready")), Health::Fail);
        check(&answers(503, Some("stopping")), Health::Fail);
        check(&answers(200, None), Health::Fail);
        check(&Found::Free, Health::Warn);
    }
}
