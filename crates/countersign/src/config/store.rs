//! `[store.redis]`: where accounts, sessions and keys are, if not in the data directory.

use std::ops::RangeInclusive;
use std::time::Duration;

use countersign_core::document::{Table, Value};
use countersign_store::{
    KeyPrefix, RedisAddress, RedisLogin, RedisServers, RedisSettings, RedisTls,
};
use jiff::SignedDuration;
use secrecy::SecretString;

use super::file::{Reader, at_least_one};

/// More replicas than this nobody waits for.
const MOST_REPLICAS: u8 = 16;
/// Shorter ones give up on a Redis that is well, longer ones are not what a person waits for.
const TIME_LIMITS: RangeInclusive<SignedDuration> =
    SignedDuration::from_millis(10)..=SignedDuration::from_mins(1);

/// Where accounts, sessions and keys are.
#[derive(Debug, Clone)]
pub enum StoreSettings {
    /// In the data directory, for one server.
    DataDirectory,
    /// In a Redis or Valkey, for many servers.
    Redis(Box<RedisSettings>),
}

impl Reader<'_> {
    pub(super) fn store(&mut self, table: &mut Table<'_>) -> Option<StoreSettings> {
        let redis = table.optional("redis", |value| value.table(|table| self.redis(table)));
        Some(match redis? {
            Some(settings) => StoreSettings::Redis(Box::new(settings)),
            None => StoreSettings::DataDirectory,
        })
    }

    fn redis(&mut self, table: &mut Table<'_>) -> Option<RedisSettings> {
        let servers = servers(table);
        let login = self.login(table, ("user", "password"));
        let sentinel_login = self.login(table, ("sentinel_user", "sentinel_password"));
        let tls = table.optional("tls", |value| value.table(|table| self.tls(table)));
        let key_prefix = table.optional_or("key_prefix", KeyPrefix::default(), |value| {
            value.parsed(KeyPrefix::new)
        });
        let replicas = table.optional("replicas", |value| value.integer(0..=MOST_REPLICAS));
        let replica_timeout = table.optional("replica_timeout", time_limit);
        let connect_timeout = table.optional("connect_timeout", time_limit);
        let response_timeout = table.optional("response_timeout", time_limit);
        let timeout = table.optional("timeout", time_limit);
        let usual = RedisSettings::new(servers?);
        Some(RedisSettings {
            login: login?,
            sentinel_login: sentinel_login?,
            tls: tls?,
            key_prefix: key_prefix?,
            replicas: replicas?.unwrap_or(usual.replicas),
            replica_timeout: replica_timeout?.unwrap_or(usual.replica_timeout),
            connect_timeout: connect_timeout?.unwrap_or(usual.connect_timeout),
            response_timeout: response_timeout?.unwrap_or(usual.response_timeout),
            timeout: timeout?.unwrap_or(usual.timeout),
            ..usual
        })
    }

    fn login(
        &mut self,
        table: &mut Table<'_>,
        (user, password): (&'static str, &'static str),
    ) -> Option<RedisLogin> {
        let user = table.optional(user, |value| value.parsed(user_name));
        let password = table.optional(password, |value| self.secret(value));
        let login = RedisLogin {
            user: user?,
            password: password?,
        };
        if login.user.is_some() && login.password.is_none() {
            table.report_missing("password", "a user has one");
            return None;
        }
        Some(login)
    }

    fn tls(&mut self, table: &mut Table<'_>) -> Option<RedisTls> {
        let ca = table.optional("ca", |value| self.certificates(value));
        let certificate = table.optional("certificate", |value| self.certificates(value));
        let key = table.optional("key", |value| self.private_key(value));
        let identity = match (certificate?, key?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                table.report("expected `certificate` and `key` together, found one of them");
                return None;
            }
        };
        Some(RedisTls { ca: ca?, identity })
    }

    fn certificates(&self, value: &Value<'_>) -> Option<String> {
        let path = self.path(value)?;
        match self.outside.file(&path) {
            Ok(contents) if contents.text.contains("-----BEGIN CERTIFICATE-----") => {
                Some(contents.text)
            }
            Ok(_) => {
                let path = path.display();
                value.report(format_args!(
                    "expected certificates as PEM in `{path}`, found none"
                ));
                None
            }
            Err(error) => {
                value.report(format_args!("can't read `{}`: {error}", path.display()));
                None
            }
        }
    }

    fn private_key(&mut self, value: &Value<'_>) -> Option<SecretString> {
        let path = self.path(value)?;
        match self.outside.file(&path) {
            Ok(contents) if contents.text.contains("PRIVATE KEY-----") => {
                self.warn_if_readable(&path, contents.mode, value);
                Some(contents.text.into())
            }
            Ok(_) => {
                let path = path.display();
                value.report(format_args!(
                    "expected a private key as PEM in `{path}`, found none"
                ));
                None
            }
            Err(error) => {
                value.report(format_args!("can't read `{}`: {error}", path.display()));
                None
            }
        }
    }
}

/// One of `address`, `sentinels` with `primary`, and `cluster`.
fn servers(table: &mut Table<'_>) -> Option<RedisServers> {
    let address = table.optional("address", |value| value.parsed(str::parse));
    let sentinels = table.optional("sentinels", addresses);
    let primary = table.optional("primary", |value| value.parsed(primary_name));
    let cluster = table.optional("cluster", addresses);
    match (address?, sentinels?, primary?, cluster?) {
        (Some(address), None, None, None) => Some(RedisServers::One(address)),
        (None, Some(sentinels), Some(name), None) => {
            Some(RedisServers::Sentinel { sentinels, name })
        }
        (None, None, None, Some(nodes)) => Some(RedisServers::Cluster(nodes)),
        _ => {
            table.report(
                "expected one of `address`, `cluster`, and `sentinels` together with `primary`",
            );
            None
        }
    }
}

fn addresses(value: &Value<'_>) -> Option<Vec<RedisAddress>> {
    let all = value.set(|item| item.parsed(str::parse))?;
    at_least_one(value, !all.is_empty())?;
    Some(all.into_iter().collect())
}

fn time_limit(value: &Value<'_>) -> Option<Duration> {
    let limit = value.duration()?;
    if !TIME_LIMITS.contains(&limit) {
        value.report("expected a time from \"10ms\" to \"1m\"");
        return None;
    }
    Some(limit.unsigned_abs())
}

/// As `ACL SETUSER` takes them: a word.
fn user_name(text: &str) -> Result<String, &'static str> {
    word(text).ok_or("expected the name of an ACL user: 1 to 128 characters without white space")
}

fn primary_name(text: &str) -> Result<String, &'static str> {
    word(text).ok_or(
        "expected the name that the Sentinels give the primary (`sentinel monitor NAME …`), without white space",
    )
}

fn word(text: &str) -> Option<String> {
    let is_word =
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| text.to_owned())
}
