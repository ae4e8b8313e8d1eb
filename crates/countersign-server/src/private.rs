//! The private listener: how the server is, for operators and what watches over it.
//!
//! A listener of its own, and none of its addresses on the public one. It asks nobody who they are,
//! so it belongs on a loopback or a private address. It tells nothing of people and no secret.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::middleware::DefaultHeaders;
use actix_web::{App, HttpResponse, HttpServer, web};
use countersign_core::{AccountId, AttemptId, SessionId};
use countersign_store::{Store, StoreError};
use serde_json::{Value, json};

use crate::draining::Draining;
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::web::read;
use crate::{Broker, Clock, PolicyFailure, PolicyHandle};

/// Ids that nobody is given: they are random.
const NO_ATTEMPT: &str = "00000000000000000000000000000000";
const NO_ACCOUNT: &str = "acct_00000000000000000000000000000000";
/// How many problems of a bad policy file are listed; the log has them all.
const MOST_PROBLEMS: usize = 10;

/// What the private listener tells; clones tell the same.
#[derive(Debug, Clone)]
pub struct Private(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    store: Arc<dyn Store>,
    policy: PolicyHandle,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    draining: Draining,
    probe: Probe,
}

impl Broker {
    /// What a private listener beside this server would tell.
    pub fn private(&self) -> Private {
        Private(Arc::new(Inside {
            store: Arc::clone(&self.store),
            policy: self.policy.clone(),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
            draining: self.draining.clone(),
            probe: Probe::default(),
        }))
    }
}

impl Private {
    /// Serves on this listener until the server is stopped, on a thread of its own: it answers while
    /// every other thread is busy.
    pub fn serve(&self, listener: TcpListener) -> std::io::Result<Server> {
        let private = web::Data::new(self.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(private.clone())
                .wrap(DefaultHeaders::new().add(("cache-control", "no-store")))
                .route("/healthz", read().to(healthz))
                .route("/readyz", read().to(readyz))
                .route("/metrics", read().to(metrics))
        });
        Ok(server.workers(1).disable_signals().listen(listener)?.run())
    }

    /// From now on not ready: the requests in flight are finished, and new ones belong elsewhere. Each answer of
    /// the server closes its connection.
    pub fn stopping(&self) {
        self.0.draining.begin();
    }
}

/// `/healthz`: that the process answers at all. Whoever gets no 200 restarts it.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// `/readyz`: whether people can sign in here.
///
/// A policy file that does not load is no reason to send people elsewhere: the policy in force goes on
/// deciding, and every replica has the same file. It is told, and the status stays 200.
async fn readyz(private: web::Data<Private>) -> HttpResponse {
    let inside = &private.0;
    let store = store_answers(inside).await;
    let is_stopping = inside.draining.has_begun();
    let is_ready = store.is_ok() && !is_stopping;
    let status = match (is_ready, is_stopping) {
        (true, _) => "ready",
        (false, true) => "stopping",
        (false, false) => "unready",
    };
    let code = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(code).json(json!({
        "status": status,
        "store": described(store),
        "policy": policy(&inside.policy),
    }))
}

/// `/metrics`: everything that is counted.
async fn metrics(private: web::Data<Private>) -> HttpResponse {
    match private.0.metrics.text() {
        Ok(text) => HttpResponse::Ok()
            .content_type(Metrics::CONTENT_TYPE)
            .body(text),
        Err(error) => {
            tracing::error!(code = "metrics-unwritable", cause = %error, "the metrics can't be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Reads what is never there, from both kinds of what is remembered: accounts and sessions.
async fn store_answers(inside: &Inside) -> Result<(), StoreError> {
    let unreadable = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let attempt = AttemptId::new(NO_ATTEMPT).map_err(|error| unreadable(&error))?;
    let account = AccountId::new(NO_ACCOUNT).map_err(|error| unreadable(&error))?;
    let (store, now) = (Arc::clone(&inside.store), inside.clock.now());
    let both = async move {
        store.session(&SessionId::of(&attempt), now).await?;
        store.account(&account).await?;
        Ok(())
    };
    inside.probe.ask(both).await
}

fn described(store: Result<(), StoreError>) -> Value {
    match store {
        Ok(()) => json!({ "status": "ok" }),
        Err(error) => json!({ "status": "failed", "cause": error.to_string() }),
    }
}

fn policy(handle: &PolicyHandle) -> Value {
    let status = handle.status();
    let mut described = json!({
        "status": if status.failure.is_some() { "stale" } else { "ok" },
        "hash": status.hash.to_string(),
        "since": status.since,
    });
    if let Some(failure) = status.failure {
        described["last_reload"] = failed(&failure);
    }
    described
}

fn failed(failure: &PolicyFailure) -> Value {
    let first: Vec<&String> = failure.problems.iter().take(MOST_PROBLEMS).collect();
    json!({
        "at": failure.at,
        "problem_count": failure.problems.len(),
        "problems": first,
    })
}
