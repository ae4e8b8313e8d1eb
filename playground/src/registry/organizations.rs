//! Tells the broker of the registry's one organisation, as a service of the registry's own.
//!
//! The sample knows no memberships: whoever has signed in to it is an admin of `contoso`, so that anybody who tries it
//! can connect a tenant.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use reqwest::Client;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::trouble::Trouble;
use super::{RegistrySettings, ServiceSettings, http};

/// The organisation, by the registry's name of it.
const CONTOSO: &str = "contoso";
/// The broker takes no more admins of one organisation.
const MOST_ADMINS: usize = 200;

/// The service.
#[derive(Debug)]
pub(super) struct Organizations {
    http: Client,
    token_endpoint: String,
    api: String,
    page: String,
    service: ServiceSettings,
    /// Who has signed in, by `sub`.
    seen: Mutex<BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

impl Organizations {
    pub(super) fn of(http: &Client, settings: &RegistrySettings) -> Option<Self> {
        Some(Self {
            http: http.clone(),
            token_endpoint: format!("{}/token", settings.issuer),
            api: settings.broker_api(),
            page: format!("{}/organizations", settings.issuer),
            service: settings.service.clone()?,
            seen: Mutex::default(),
        })
    }

    /// Where people see the organisations that they administer, at the broker.
    pub(super) fn page(&self) -> &str {
        &self.page
    }

    /// Somebody has signed in: they are an admin from now on, as far as the broker hears of it. A sign-in does not
    /// wait for that to be well.
    pub(super) async fn welcome(&self, sub: &str) {
        let admins: Vec<String> = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() < MOST_ADMINS {
                seen.insert(sub.to_owned());
            }
            seen.iter().map(|sub| format!("account:{sub}")).collect()
        };
        if let Err(trouble) = self.tell(&admins).await {
            tracing::warn!(cause = %trouble, "the broker was not told of an admin");
        }
    }

    async fn tell(&self, admins: &[String]) -> Result<(), Trouble> {
        let token = self.token().await?;
        let url = format!("{}/organizations/{CONTOSO}", self.api);
        let told = json!({ "title": "Contoso", "admins": admins }).to_string();
        let request = self.http.put(url).bearer_auth(token).body(told);
        let answer = request.header("content-type", "application/json").send();
        let answer = answer.await;
        let answer = answer.map_err(|_| Trouble::Broker("its API can't be reached"))?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(Trouble::Broker("its API does not take what it is told"))
        }
    }

    /// A token for the broker's API, for the service itself (RFC 6749 4.4, RFC 8707).
    async fn token(&self) -> Result<String, Trouble> {
        let form = [
            ("grant_type", "client_credentials"),
            ("resource", &self.api),
            ("scope", "organizations:write"),
        ];
        let (id, secret) = (&self.service.client_id, &self.service.client_secret);
        let request = self.http.post(&self.token_endpoint).form(&form);
        let request = request.basic_auth(id, Some(secret.expose_secret()));
        let answer = request.send().await;
        let answer = answer.map_err(|_| Trouble::Broker("it can't be reached"))?;
        let token: Option<Token> = http::json(answer).await;
        let token = token.ok_or(Trouble::Broker("it gives the service no token"))?;
        Ok(token.access_token)
    }
}
