//! An HTTP server on actix that decides nothing: whatever is asked, it gives the one answer that it was started with, to the byte.
//! It is this very program, in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::load::Answer;

/// What a process is started with that is to be one.
const MARK: &str = "--answer-this";

/// What it answers, and how many threads it has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    workers: usize,
    headers: Vec<(String, String)>,
    body: String,
}

/// A running one; it ends when this is dropped.
pub(crate) struct Bare {
    child: Child,
    pub(crate) url: String,
}

impl Bare {
    /// Starts one that answers what was answered here.
    pub(crate) fn start(answer: &Answer, workers: usize) -> anyhow::Result<Self> {
        // actix writes these itself.
        let is_own = |name: &str| ["date", "content-length"].contains(&name);
        let headers = answer.headers();
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let settings = Settings {
            workers,
            headers: headers.filter(|(name, _)| !is_own(name)).collect(),
            body: answer.body.clone(),
        };
        let mut child = Command::new(std::env::current_exe()?)
            .args([MARK, &serde_json::to_string(&settings)?])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        let stdout = child.stdout.take().context("no output")?;
        BufReader::new(stdout).read_line(&mut url)?;
        let url = url.trim().to_owned();
        Ok(Self { child, url })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What this process is to answer, if it is to be one.
pub(crate) fn asked_for(arguments: &[String]) -> Option<Settings> {
    let at = arguments.iter().position(|argument| argument == MARK)?;
    serde_json::from_str(arguments.get(at + 1)?).ok()
}

/// Serves until it is killed.
pub(crate) fn serve(settings: Settings) -> anyhow::Result<()> {
    let headers = settings.headers.into_iter();
    let headers: Vec<(HeaderName, HeaderValue)> = headers
        .map(|(name, value)| Ok((name.parse()?, value.parse()?)))
        .collect::<anyhow::Result<_>>()?;
    let answer = web::Data::new((headers, web::Bytes::from(settings.body)));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(answer.clone())
            .default_service(web::to(give))
    });
    let server = server.workers(settings.workers).bind("127.0.0.1:0")?;
    println!("http://{}", server.addrs()[0]);
    Ok(actix_web::rt::System::new().block_on(server.run())?)
}

async fn give(answer: web::Data<(Vec<(HeaderName, HeaderValue)>, web::Bytes)>) -> HttpResponse {
    let (headers, body) = answer.get_ref();
    let mut response = HttpResponse::Ok();
    for (name, value) in headers {
        response.insert_header((name.clone(), value.clone()));
    }
    response.body(body.clone())
}
