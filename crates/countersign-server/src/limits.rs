//! How much anybody may ask for: by address, by client, by person.
//!
//! What is refused costs less than what would follow. Requests are counted here, in a memory that never grows,
//! so that of several replicas each counts for itself. What must add up over all of them (bad secrets, refused
//! logins) is counted in the store besides, and only where something has gone wrong already.

mod address;
mod network;
mod sieve;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use actix_web::HttpRequest;
use aws_lc_rs::hmac;
use countersign_core::{ClientId, Identity, OrganizationId, RegistryName, UserCode};
use countersign_store::{Bucket, Rate, Spent, Store, StoreError};
use jiff::{SignedDuration, Timestamp};

use crate::metrics::Metrics;
use crate::secret::SecretKey;
use crate::settings::ClientAuthentication;

pub use address::{ForwardedHeader, Proxies};
pub use network::{Network, NotANetwork};

pub(crate) use address::Address;

use sieve::Sieve;

/// The name of the key in the store: addresses and identities are counted there under a keyed digest.
pub(crate) const KEY_NAME: &str = "limits";

/// How many failures each replica writes to the store: beyond, it goes by what it has seen itself.
const FAILURES_WRITTEN: Rate = Rate::new(6000, SignedDuration::from_mins(1));
/// How many devices may wait at each replica, of a client, or of all clients that anybody can pass for: their requests
/// are kept.
const DEVICES_WAITING: Rate = Rate::new(20_000, SignedDuration::from_mins(10));
/// How many codes that are none may come to each replica where addresses are not known: of the 20^8 that there are,
/// 6,000 in the ten minutes that a device waits.
const ALL_WRONG_DEVICE_CODES: Rate = Rate::new(600, SignedDuration::from_mins(1));
/// How often a device may ask whether somebody has signed in (RFC 8628 3.5): every five seconds, and once besides.
const DEVICE_POLLS: Rate = Rate::new(2, SignedDuration::from_secs(10));
/// How often a record of an issuer's host is looked for, for each organisation, at each replica: somebody else's name
/// servers are asked.
const LOOKUPS: Rate = Rate::new(1, SignedDuration::from_secs(10));
/// A flood is told once in a while; the metrics count it.
const TOLD_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// How much anybody may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Whose word on addresses counts.
    pub proxies: Proxies,
    /// Requests of browsers, for each address.
    pub browser_requests: Rate,
    /// Requests of a client, once it has shown who it is; for each address, where it can't.
    pub client_requests: Rate,
    /// Failed authentications, for each client and address.
    pub bad_secrets: Rate,
    /// Logins that end in a refusal, for each person at their provider.
    pub refused_logins: Rate,
    /// Devices that ask for a code, for each address, where their client can't show who it is.
    pub device_requests: Rate,
    /// Codes of devices that are none, for each address of a browser.
    pub wrong_device_codes: Rate,
    /// Credentials of tools that are no good, for each registry and address.
    pub bad_credentials: Rate,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let minute = SignedDuration::from_mins(1);
        Self {
            proxies: Proxies::default(),
            browser_requests: Rate::new(600, minute),
            client_requests: Rate::new(1_000_000, minute),
            bad_secrets: Rate::new(10, minute),
            refused_logins: Rate::new(30, SignedDuration::from_hours(1)),
            device_requests: Rate::new(60, minute),
            wrong_device_codes: Rate::new(10, minute),
            bad_credentials: Rate::new(60, minute),
        }
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    BrowserRequests,
    ClientRequests,
    BadSecrets,
    RefusedLogins,
    DeviceRequests,
    WrongDeviceCodes,
    BadCredentials,
}

impl Limit {
    /// As it stands in the log, in the metrics, and in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BrowserRequests => "browser-requests",
            Self::ClientRequests => "client-requests",
            Self::BadSecrets => "bad-secrets",
            Self::RefusedLogins => "refused-logins",
            Self::DeviceRequests => "device-requests",
            Self::WrongDeviceCodes => "wrong-device-codes",
            Self::BadCredentials => "bad-credentials",
        }
    }

    /// The limit of all requests to a path, before anything of them is read.
    fn of_path(path: &str) -> Option<Self> {
        let is_below = |prefix: &str| path.starts_with(prefix);
        match path {
            "/authorize" | "/device" | "/device/continue" | "/device/deny" | "/session"
            | "/session/end" | "/logout" | "/logout/confirm" | "/sign-in" | "/account"
            | "/organizations" => Some(Self::BrowserRequests),
            _ if ["/callback/", "/account/", "/organizations/"]
                .into_iter()
                .any(is_below) =>
            {
                Some(Self::BrowserRequests)
            }
            _ if is_below("/registry/") && is_of_a_login(path) => Some(Self::BrowserRequests),
            _ => None,
        }
    }
}

/// Pages of a registry's, and not what its tools ask.
fn is_of_a_login(path: &str) -> bool {
    path.ends_with("/login") || path.ends_with("/login/sign-in")
}

/// Too many, for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// In how many seconds to try again.
    pub(crate) retry_after: u32,
}

impl TooMany {
    /// In whole seconds (RFC 9110 10.2.3), and not too early.
    fn until(until: Timestamp, now: Timestamp) -> Self {
        let wait = until.duration_since(now).as_millis().max(0);
        let retry_after = u32::try_from(wait.div_euclid(1000) + 1).unwrap_or(u32::MAX);
        Self { retry_after }
    }
}

/// Counts what is asked for.
#[derive(Debug)]
pub(crate) struct Limits {
    settings: LimitSettings,
    key: hmac::Key,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    browser_requests: Sieve,
    client_requests: Sieve,
    bad_secrets: Sieve,
    written: Sieve,
    device_requests: Sieve,
    /// Of each client that nobody else can pass for; of all others together.
    devices_waiting: Sieve,
    device_polls: Sieve,
    wrong_device_codes: Sieve,
    all_wrong_device_codes: Sieve,
    bad_credentials: Sieve,
    lookups: Sieve,
    told_at: [AtomicI64; 7],
}

impl Limits {
    pub(crate) fn new(
        settings: LimitSettings,
        key: &SecretKey,
        (store, metrics): (Arc<dyn Store>, Arc<Metrics>),
    ) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            store,
            metrics,
            browser_requests: Sieve::new(settings.browser_requests),
            client_requests: Sieve::new(settings.client_requests),
            bad_secrets: Sieve::new(settings.bad_secrets),
            written: Sieve::of_all(FAILURES_WRITTEN),
            device_requests: Sieve::new(settings.device_requests),
            devices_waiting: Sieve::new(DEVICES_WAITING),
            device_polls: Sieve::new(DEVICE_POLLS),
            wrong_device_codes: Sieve::new(settings.wrong_device_codes),
            all_wrong_device_codes: Sieve::of_all(ALL_WRONG_DEVICE_CODES),
            bad_credentials: Sieve::new(settings.bad_credentials),
            lookups: Sieve::new(LOOKUPS),
            told_at: std::array::from_fn(|_| AtomicI64::new(i64::MIN)),
            settings,
        }
    }

    /// Before anything of a request is read: whether its address has asked for too much.
    pub(crate) fn admit(&self, request: &HttpRequest, now: Timestamp) -> Result<(), TooMany> {
        let Some(limit) = Limit::of_path(request.path()) else {
            return Ok(());
        };
        let Some(address) = self.address(request) else {
            return Ok(());
        };
        let taken = self.browser_requests.take(&address, now);
        taken.map_err(|until| self.refuse(limit, until, now))
    }

    /// Before a client's secret is looked at: whether it has been wrong too often from this address.
    ///
    /// By client *and* address: who guesses elsewhere never locks the client out where it is.
    pub(crate) fn may_authenticate(
        &self,
        client: Option<&ClientId>,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        let Some(address) = self.address(request) else {
            return Ok(());
        };
        let free = self.bad_secrets.peek(&(client, address), now);
        free.map_err(|until| self.refuse(Limit::BadSecrets, until, now))
    }

    /// A client could not show who it is.
    pub(crate) async fn failed(
        &self,
        client: Option<&ClientId>,
        request: &HttpRequest,
        now: Timestamp,
    ) {
        let Some(address) = self.address(request) else {
            return;
        };
        let key = (client, address);
        // What is over its limit here, or among too many, costs the store nothing.
        if self.bad_secrets.take(&key, now).is_err() || self.written.take(&(), now).is_err() {
            return;
        }
        let named = format!(
            "bad-secret\n{}\n{address}",
            client.map_or("", ClientId::as_str)
        );
        let spent = self.spend(&named, self.settings.bad_secrets, now).await;
        if let Ok(Spent::Over { until }) = spent {
            self.bad_secrets.fill(&key, until);
        }
    }

    /// A device asks for a code, of which something is kept.
    pub(crate) fn may_wait(
        &self,
        client: &ClientId,
        passed_for: PassedFor,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        let address = self.address(request);
        let of_address = match (passed_for, address) {
            (PassedFor::Anybody, Some(address)) => self.device_requests.take(&address, now),
            (PassedFor::Nobody, _) | (PassedFor::Anybody, None) => Ok(()),
        };
        let counted = match passed_for {
            PassedFor::Nobody => Some(client),
            PassedFor::Anybody => None,
        };
        let taken = of_address.and_then(|()| self.devices_waiting.take(&counted, now));
        taken.map_err(|until| self.refuse(Limit::DeviceRequests, until, now))
    }

    /// An organisation's admin has a record looked for.
    pub(crate) fn may_look_up(
        &self,
        organization: &OrganizationId,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        let taken = self.lookups.take(&organization.as_str(), now);
        taken.map_err(|until| TooMany::until(until, now))
    }

    /// A device asks whether somebody has signed in. Each replica counts for itself.
    pub(crate) fn may_poll(&self, device: &UserCode, now: Timestamp) -> Result<(), Timestamp> {
        self.device_polls.take(&device.as_str(), now)
    }

    /// Before a device's code is looked for: whether too many that were none came from this address (RFC 8628 5.1).
    pub(crate) fn may_guess(&self, request: &HttpRequest, now: Timestamp) -> Result<(), TooMany> {
        // Where addresses are known, no crowd of them keeps out who has not guessed.
        let free = match self.address(request) {
            Some(address) => self.wrong_device_codes.peek(&address, now),
            None => self.all_wrong_device_codes.peek(&(), now),
        };
        free.map_err(|until| self.refuse(Limit::WrongDeviceCodes, until, now))
    }

    /// A code was none of any device's.
    pub(crate) async fn guessed(&self, request: &HttpRequest, now: Timestamp) {
        let Some(address) = self.address(request) else {
            self.all_wrong_device_codes.take(&(), now).ok();
            return;
        };
        if self.wrong_device_codes.take(&address, now).is_err()
            || self.written.take(&(), now).is_err()
        {
            return;
        }
        let named = format!("wrong-device-code\n{address}");
        let rate = self.settings.wrong_device_codes;
        if let Ok(Spent::Over { until }) = self.spend(&named, rate, now).await {
            self.wrong_device_codes.fill(&address, until);
        }
    }

    /// A tool's credential was looked at at this registry, and is no good: whether too many such came from its address.
    ///
    /// Whoever has a good one is never asked this, so nobody's guesses keep out who shares their address. Each replica
    /// counts for itself: there is nothing in these that anybody could guess, only what it costs to look at them.
    pub(crate) fn bad_credential(
        &self,
        registry: &RegistryName,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        let Some(address) = self.address(request) else {
            return Ok(());
        };
        let taken = self.bad_credentials.take(&(registry, address), now);
        taken.map_err(|until| self.refuse(Limit::BadCredentials, until, now))
    }

    /// A client has shown who it is, and asks for something. One that can't show it is counted by address:
    /// anybody could ask in its name.
    pub(crate) fn may_ask(
        &self,
        client: &ClientId,
        passed_for: PassedFor,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        let taken = match (passed_for, self.address(request)) {
            (PassedFor::Nobody, _) => self.client_requests.take(client, now),
            (PassedFor::Anybody, Some(address)) => {
                self.client_requests.take(&(client, address), now)
            }
            (PassedFor::Anybody, None) => Ok(()),
        };
        taken.map_err(|until| self.refuse(Limit::ClientRequests, until, now))
    }

    /// A login ends in a refusal. Only refusals are counted and only they are held up: who has somebody's
    /// password and no second factor must not keep the person out.
    pub(crate) async fn login_refused(
        &self,
        person: &Identity,
        now: Timestamp,
    ) -> Result<(), TooMany> {
        let named = format!("refused-login\n{person}");
        match self.spend(&named, self.settings.refused_logins, now).await {
            Ok(Spent::Over { until }) => Err(self.refuse(Limit::RefusedLogins, until, now)),
            // Where the store does not answer nobody is let in; the refusal says what it has to say.
            Ok(Spent::Within) | Err(_) => Ok(()),
        }
    }

    /// What stands for a person at their provider, or for the name of their account at the registry, in lines of the audit
    /// log, which outlives the person's account: as in the store, what nobody without the key can lead back.
    pub(crate) fn stand_in(&self, person: impl std::fmt::Display) -> String {
        let tag = hmac::sign(&self.key, format!("audited\n{person}").as_bytes());
        let half = tag.as_ref().first_chunk::<16>().copied();
        format!("{:032x}", u128::from_be_bytes(half.unwrap_or_default()))
    }

    /// Where a request is from, if that is known.
    pub(crate) fn address(&self, request: &HttpRequest) -> Option<Address> {
        let peer = request.peer_addr()?;
        self.settings.proxies.client(peer.ip(), request.headers())
    }

    async fn spend(&self, named: &str, rate: Rate, now: Timestamp) -> Result<Spent, StoreError> {
        let tag = hmac::sign(&self.key, named.as_bytes());
        let mut bucket = [0; 16];
        bucket.copy_from_slice(&tag.as_ref()[..16]);
        let spent = self.store.spend(&Bucket(bucket), rate, now).await;
        spent.inspect_err(|error| {
            tracing::warn!(code = "limit-not-counted", cause = %error, "the store does not count");
        })
    }

    fn refuse(&self, limit: Limit, until: Timestamp, now: Timestamp) -> TooMany {
        self.metrics.limited(limit.as_str());
        self.tell(limit, now);
        TooMany::until(until, now)
    }

    fn tell(&self, limit: Limit, now: Timestamp) {
        let told_at = &self.told_at[limit as usize];
        let (now, every) = (now.as_microsecond(), TOLD_EVERY.as_micros());
        let is_due = |last: i64| i128::from(now).abs_diff(i128::from(last)) >= every.unsigned_abs();
        let told = told_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            is_due(last).then_some(now)
        });
        if told.is_ok() {
            tracing::warn!(
                code = "limit-reached",
                limit = limit.as_str(),
                "requests are refused because there are too many; not told again for a minute"
            );
        }
    }
}

/// Who else could pass for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassedFor {
    Nobody,
    Anybody,
}

impl PassedFor {
    /// Who could pass for a client that authenticates like this.
    pub(crate) fn of(authentication: &ClientAuthentication) -> Self {
        if authentication.is_public() {
            Self::Anybody
        } else {
            Self::Nobody
        }
    }
}
