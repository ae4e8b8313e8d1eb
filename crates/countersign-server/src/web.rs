//! Routes, what every answer carries, and how requests are read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Ready, ready};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::cookie::{self, Cookie, SameSite};
use actix_web::dev::{Payload, Server, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorInternalServerError, InternalError};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::uri::{Authority, PathAndQuery};
use actix_web::http::{ConnectionType, StatusCode, Uri};
use actix_web::middleware::{self, Next};
use actix_web::{
    App, FromRequest, HttpMessage, HttpRequest, HttpResponse, HttpServer, Route, guard, web,
};
use countersign_core::sign_in::Pushed;
use countersign_core::{
    ClientId, Facts, LineVersion, Occasion, Policy, Record, RegistryName, TracePlace, Verdict,
};
use countersign_providers::Provider;
use jiff::Timestamp;
use serde::Serialize;
use tracing::Instrument;
use url::form_urlencoded;

use crate::arrival::{Arrival, RequestId};
use crate::audit::Happening;
use crate::edge::RandomText;
use crate::error::{self, ApiError, Failure, Problem};
use crate::limits::Address;
use crate::recent::Reads;
use crate::registry::{self, Doors, docker, helper};
use crate::{
    Broker, PolicyInForce, account, api, api_key, device, metadata, operator, organization, own,
    pages, session, sign_in, ticket, token, trace,
};

static DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// The longest request target, in bytes: a `state` of 512 and a `nonce` of 255 fit many times.
const LONGEST_TARGET: usize = 8 * 1024;
/// The longest form, in bytes: a `form_post` holds a code and an ID token of a few KiB each.
const LONGEST_FORM: usize = 64 * 1024;
/// How long a request may take to arrive whole and be answered. A callback asks a provider up to four
/// times, with a time-out of eight seconds each; the person then gets a page that says so.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

/// Whatever is in flight ends by itself before it is cut off.
macro_rules! settled {
    ($server:expr) => {
        $server
            .disable_signals()
            .shutdown_timeout(REQUEST_TIMEOUT.as_secs() + 1)
    };
}

/// Where requests come in.
#[derive(Debug)]
pub struct Listeners {
    /// Where everybody asks.
    pub public: TcpListener,
    /// Where proxies ask whether to let a tool's request through; whoever reaches it is answered.
    pub forward_auth: Option<TcpListener>,
    /// Where tools reach registries that we stand in front of ourselves.
    pub registries: BTreeMap<RegistryName, TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self {
            public,
            forward_auth: None,
            registries: BTreeMap::new(),
        }
    }
}

/// The servers behind the listeners; each ends when it is stopped.
#[must_use = "servers do nothing unless they are run"]
pub struct Serving(Vec<Server>);

/// What stops them.
#[derive(Debug, Clone)]
pub struct ServingHandle(Vec<ServerHandle>);

impl Serving {
    /// What stops them.
    pub fn handle(&self) -> ServingHandle {
        ServingHandle(self.0.iter().map(Server::handle).collect())
    }

    /// Runs them until all have ended, or one fails.
    pub async fn run(self) -> std::io::Result<()> {
        futures_util::future::try_join_all(self.0).await.map(drop)
    }
}

impl ServingHandle {
    /// Stops them all, after the requests in flight if `graceful`. They are told at once; what is returned waits for it.
    pub fn stop(&self, graceful: bool) -> impl Future<Output = ()> + use<> {
        let stops: Vec<_> = self.0.iter().map(|handle| handle.stop(graceful)).collect();
        async {
            futures_util::future::join_all(stops).await;
        }
    }
}

impl From<Server> for Serving {
    fn from(server: Server) -> Self {
        Self(vec![server])
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

impl Broker {
    /// Serves on these listeners until the servers are stopped. `workers` threads for each kind of listener.
    pub fn serve(
        self,
        listeners: impl Into<Listeners>,
        workers: usize,
    ) -> std::io::Result<Serving> {
        let listeners = listeners.into();
        let broker = web::Data::new(self);
        let telling = Arc::downgrade(&broker.clone().into_inner());
        actix_web::rt::spawn(token::watch(telling.clone()));
        actix_web::rt::spawn(session::notices::run(telling, Arc::clone(&broker.ended)));
        let mut servers = vec![serve_everybody(broker.clone(), listeners.public, workers)?];
        if let Some(listener) = listeners.forward_auth {
            servers.push(serve_proxies(broker.clone(), listener, workers)?);
        }
        if !listeners.registries.is_empty() {
            servers.push(serve_tools(broker, listeners.registries, workers)?);
        }
        Ok(Serving(servers))
    }
}

fn serve_everybody(
    broker: web::Data<Broker>,
    listener: TcpListener,
    workers: usize,
) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(broker.clone())
            .app_data(web::PayloadConfig::new(LONGEST_FORM))
            .wrap(middleware::from_fn(admit))
            .configure(routes)
            .default_service(web::to(not_found))
    });
    Ok(settled!(server.listen(listener)?.workers(workers)).run())
}

fn serve_proxies(
    broker: web::Data<Broker>,
    listener: TcpListener,
    workers: usize,
) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(broker.clone())
            .wrap(middleware::from_fn(admit))
            // It reads the path itself: a regular expression would cost a tenth of a check.
            .default_service(web::to(registry::for_anybody_there))
    });
    Ok(settled!(server.listen(listener)?.workers(workers)).run())
}

fn serve_tools(
    broker: web::Data<Broker>,
    listeners: BTreeMap<RegistryName, TcpListener>,
    workers: usize,
) -> std::io::Result<Server> {
    let addresses = listeners
        .iter()
        .map(|(name, listener)| Ok((listener.local_addr()?, name.clone())));
    let doors = web::Data::new(Doors(addresses.collect::<std::io::Result<_>>()?));
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(broker.clone())
            .app_data(doors.clone())
            .wrap(middleware::from_fn(admit_at_leisure))
            .default_service(web::to(registry::at_a_listener))
    });
    for listener in listeners.into_values() {
        server = server.listen(listener)?;
    }
    Ok(settled!(server.workers(workers)).run())
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", read().to(pages::home))
        .route(pages::STYLE_PATH, read().to(pages::style))
        .route(pages::ICON_PATH, read().to(pages::icon))
        .route(OPENID_CONFIGURATION, read().to(metadata::describe))
        .route(OAUTH_METADATA, read().to(metadata::describe))
        .route("/jwks.json", read().to(metadata::key_set))
        .route("/authorize", web::get().to(sign_in::authorize))
        .route("/authorize", web::post().to(sign_in::authorize_by_form))
        .route("/par", web::post().to(sign_in::push))
        .route("/device_authorization", web::post().to(device::authorize))
        .route("/device", read().to(device::show))
        .route("/device/continue", web::get().to(device::go_on))
        .route("/device/deny", web::post().to(device::deny))
        .route("/token", web::post().to(token::token))
        .route("/userinfo", web::get().to(token::user_info))
        .route("/userinfo", web::post().to(token::user_info_by_form))
        .route("/introspect", web::post().to(token::introspect))
        .route("/revoke", web::post().to(token::revoke))
        .route("/revocations", web::post().to(token::revocations))
        .route("/logout", read().to(session::logout))
        .route("/logout", web::post().to(session::logout_by_form))
        .route("/logout/confirm", web::post().to(session::logout_confirmed))
        .route("/sign-in", web::get().to(own::sign_in))
        .route("/account", read().to(account::show))
        .route("/account/export", web::get().to(account::export))
        .route("/account/erase", web::get().to(account::ask_to_erase))
        .route("/account/press", web::post().to(account::press))
        .route("/account/at", web::get().to(account::leave))
        .route("/account/keys", web::get().to(api_key::page::show))
        .route("/account/keys", web::post().to(api_key::page::press))
        .route("/account/keys/revoke", web::get().to(api_key::page::ask))
        .route("/api-keys/leaked", web::post().to(api_key::leaked))
        .route("/account/claim", web::get().to(ticket::show))
        .route("/account/claim", web::post().to(ticket::confirm))
        .route("/organizations", read().to(organization::list))
        .route("/operator", read().to(operator::home))
        .route(
            "/operator/organizations",
            read().to(operator::organizations),
        )
        .route("/operator/accounts", read().to(operator::accounts))
        .route("/operator/audit-log", read().to(operator::audit_log))
        .route("/session", read().to(session::show))
        .route("/session/end", web::post().to(session::end_by_form))
        .service(api::routes())
        .service(web::scope("/registry").configure(registry_routes))
        .service(web::scope("/forward-auth").configure(forward_auth_routes))
        // Last, since each of these costs whatever comes after it a regular expression.
        .route(CALLBACK, web::get().to(sign_in::callback))
        .route(CALLBACK, web::post().to(sign_in::callback_by_form))
        .route(PROVIDER_LOGOUT, web::get().to(session::front_channel))
        .route(PROVIDER_LOGOUT, web::post().to(session::back_channel))
        .route(CONTINUE, web::get().to(sign_in::resume))
        .route(ORGANIZATION, read().to(organization::show))
        .route(DISCONNECT, web::get().to(organization::ask))
        .route(PRESS, web::post().to(organization::press))
        .route(CONNECT_START, web::post().to(organization::start))
        .route(CONNECT_AT, web::get().to(organization::leave))
        .route(CONNECT, web::get().to(organization::preview))
        .route(CONNECT, web::post().to(organization::confirm))
        .route(OPERATOR_ORGANIZATION, read().to(operator::organization))
        .route(
            OPERATOR_ORGANIZATION_PRESS,
            web::post().to(operator::press_organization),
        )
        .route(OPERATOR_ACCOUNT, read().to(operator::account))
        .route(
            OPERATOR_ACCOUNT_PRESS,
            web::post().to(operator::press_account),
        )
        .route(REMINDER, read().to(sign_in::reminder::show))
        .route(AFTER_REMINDER, web::get().to(sign_in::reminder::go_on));
}

fn forward_auth_routes(config: &mut web::ServiceConfig) {
    config
        .route("/{registry}", web::to(registry::for_a_proxy))
        .route("/{registry}/{rest:.*}", web::to(registry::for_a_proxy));
}

/// What is asked of a registry by its name: its tokens first, of which there are most.
fn registry_routes(config: &mut web::ServiceConfig) {
    config
        .route(REGISTRY_TOKEN, oci(web::get()).to(docker::token))
        .route(REGISTRY_TOKEN, oci(web::post()).to(docker::token_by_form))
        .route(REGISTRY_LOGIN, codes(read()).to(registry::show))
        .route(REGISTRY_LOGIN, codes(web::post()).to(registry::make_code))
        .route(REGISTRY_SIGN_IN, codes(web::get()).to(registry::sign_in))
        // What credential helpers ask, of registries of every kind.
        .route(HELPER_SIGN_IN, web::post().to(helper::sign_in))
        .route(HELPER_DONE, web::get().to(helper::done))
        .route(HELPER_TOKEN, web::post().to(helper::token))
        .route(HELPER_SIGN_OUT, web::post().to(helper::sign_out))
        .route("/{registry}/{rest:.*}", web::to(registry::below_a_path));
}

/// What is served for registries that have tokens of their own.
fn oci(route: Route) -> Route {
    route.guard(guard::fn_guard(docker::is_at))
}

/// What is served for registries whose tools take one-time codes.
fn codes(route: Route) -> Route {
    route.guard(guard::fn_guard(registry::has_codes))
}

const HELPER_SIGN_IN: &str = "/{registry}/credential/sign-in";
const HELPER_DONE: &str = "/{registry}/credential/done";
const HELPER_TOKEN: &str = "/{registry}/credential/token";
const HELPER_SIGN_OUT: &str = "/{registry}/credential/sign-out";
const REGISTRY_TOKEN: &str = "/{registry}/token";
const REGISTRY_LOGIN: &str = "/{registry}/login";
const REGISTRY_SIGN_IN: &str = "/{registry}/login/sign-in";
const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
const OAUTH_METADATA: &str = "/.well-known/oauth-authorization-server";
const CALLBACK: &str = "/callback/{provider}";
const PROVIDER_LOGOUT: &str = "/callback/{provider}/logout";
const CONTINUE: &str = "/callback/{provider}/continue";
const ORGANIZATION: &str = "/organizations/{id}";
const DISCONNECT: &str = "/organizations/{id}/disconnect";
const PRESS: &str = "/organizations/{id}/press";
const CONNECT: &str = "/organizations/{id}/connect";
const CONNECT_START: &str = "/organizations/{id}/connect/start";
const CONNECT_AT: &str = "/organizations/{id}/connect/at";
const OPERATOR_ORGANIZATION: &str = "/operator/organizations/{id}";
const OPERATOR_ORGANIZATION_PRESS: &str = "/operator/organizations/{id}/press";
const OPERATOR_ACCOUNT: &str = "/operator/accounts/{id}";
const OPERATOR_ACCOUNT_PRESS: &str = "/operator/accounts/{id}/press";
/// As what checks are counted.
const FORWARD_AUTH: &str = "/forward-auth/{registry}";
const REMINDER: &str = "/callback/{provider}/reminder";
const AFTER_REMINDER: &str = "/callback/{provider}/reminder/continue";

/// GET and HEAD, for what can be read without any effect. A HEAD of a callback would spend its code.
pub(crate) fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn not_found(call: Call) -> HttpResponse {
    call.refuse(Failure::Page(Problem::NotFound))
}

/// What every request passes: it gets a name, and how it ended is written down.
async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    admit_within(Some(REQUEST_TIMEOUT), request, next).await
}

/// The same for uploads, which take as long as they take: whoever reads them sees to it that they go on.
async fn admit_at_leisure(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    admit_within(None, request, next).await
}

async fn admit_within(
    limit: Option<Duration>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let broker = request.app_data::<web::Data<Broker>>().cloned();
    let broker = broker.ok_or_else(|| ErrorInternalServerError("no broker"))?;
    let arrival = Arrival::of(&request, &broker);
    let (span, trace) = (arrival.span(), arrival.trace_span());
    let answering = async move {
        let mut answer = within_limits(limit, request, next).await;
        let (route, head) = match &mut answer {
            Ok(answer) => {
                let route = route_of(answer.request());
                add_headers(answer.response_mut());
                (route, answer.response_mut().head_mut())
            }
            Err(answer) => {
                add_headers(answer);
                (None, answer.head_mut())
            }
        };
        arrival.name_in(&mut head.headers);
        if broker.draining.has_begun() {
            head.set_connection_type(ConnectionType::Close);
        }
        arrival.answered(head.status, route, &broker);
        answer.map_err(|answer| InternalError::from_response("refused", answer).into())
    };
    answering.instrument(trace).instrument(span).await
}

/// The pattern that a path fits.
fn route_of(request: &HttpRequest) -> Option<Cow<'static, str>> {
    if registry::is_check(request.path()) {
        return Some(FORWARD_AUTH.into());
    }
    request.match_pattern().map(Cow::Owned)
}

/// A cap on the target, and a time limit. What no handler sees the end of is answered without a body.
async fn within_limits<B: MessageBody + 'static>(
    limit: Option<Duration>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, HttpResponse> {
    if length_of(request.uri()) > LONGEST_TARGET {
        return Err(HttpResponse::new(StatusCode::URI_TOO_LONG));
    }
    if let Some(too_many) = refusal(&request) {
        return Err(too_many);
    }
    let answering = next.call(request);
    let answered = match limit {
        Some(limit) => tokio::time::timeout(limit, answering).await,
        None => Ok(answering.await),
    };
    match answered {
        Ok(answer) => answer.map_err(|error| error.error_response()),
        Err(_) => Err(HttpResponse::new(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// How long a target is, in bytes.
fn length_of(target: &Uri) -> usize {
    let authority = target.authority().map_or("", Authority::as_str);
    let target = target.path_and_query().map_or("", PathAndQuery::as_str);
    authority.len() + target.len()
}

/// The answer to a request of an address that has asked for too much.
fn refusal(request: &ServiceRequest) -> Option<HttpResponse> {
    let broker = request.app_data::<web::Data<Broker>>()?;
    let admitted = broker.limits.admit(request.request(), broker.clock.now());
    let too_many = admitted.err()?;
    let context = Context::new(request.request(), broker);
    let failure = Failure::Page(Problem::TooMany(too_many));
    Some(error::answer(failure, &context))
}

/// Nothing runs, nothing frames us, nothing is cached, no address is passed on. What a registry answers is its own to say.
fn add_headers<B>(answer: &mut HttpResponse<B>) {
    if answer.extensions().contains::<registry::OfRegistry>() {
        return;
    }
    let headers = answer.headers_mut();
    let always = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
        (
            header::PERMISSIONS_POLICY,
            "camera=(), geolocation=(), microphone=(), payment=()",
        ),
        (header::CACHE_CONTROL, "no-store"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ];
    for (name, value) in always {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// A request, and the broker that answers it: what every handler takes.
#[derive(Debug)]
pub(crate) struct Call {
    request: HttpRequest,
    broker: web::Data<Broker>,
}

impl FromRequest for Call {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let broker = request.app_data::<web::Data<Broker>>().cloned();
        ready(match broker {
            Some(broker) => Ok(Self {
                request: request.clone(),
                broker,
            }),
            None => Err(ErrorInternalServerError("no broker")),
        })
    }
}

impl Call {
    pub(crate) fn context(&self) -> Context<'_> {
        Context::new(&self.request, &self.broker)
    }

    /// Answers with what a handler comes to.
    pub(crate) async fn answer(
        &self,
        handle: impl AsyncFnOnce(&Context<'_>) -> Result<HttpResponse, Failure>,
    ) -> HttpResponse {
        let context = self.context();
        let result = handle(&context).await;
        context.answer(result)
    }

    /// Answers with a failure.
    pub(crate) fn refuse(&self, failure: impl Into<Failure>) -> HttpResponse {
        self.context().answer(Err(failure.into()))
    }
}

/// What a handler knows of the request besides its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Context<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) request: &'a HttpRequest,
    /// Shown to people and logged, so that the two can be brought together.
    pub(crate) request_id: String,
    pub(crate) now: Timestamp,
    /// Taken once: a request is decided by one policy from begin to end.
    pub(crate) in_force: Arc<PolicyInForce>,
    /// Who is asked what is there, of what gates ask for.
    pub(crate) reads: Reads<'a>,
}

impl<'a> Context<'a> {
    fn new(request: &'a HttpRequest, broker: &'a Broker) -> Self {
        let named = request.extensions().get::<RequestId>().cloned();
        let request_id = named.map_or_else(|| broker.entropy.hex::<8>(), |id| id.0);
        let now = broker.clock.now();
        Self {
            broker,
            request,
            request_id,
            now,
            in_force: broker.policy.current(),
            reads: Reads::of(broker.store.as_ref(), now),
        }
    }

    /// The same for a gate, which asks the same again and again: what the store said a moment ago is good enough.
    pub(crate) fn at_a_gate(&self) -> Self {
        let reads = self
            .reads
            .recently(&self.broker.recent, self.broker.clock.as_ref());
        Self {
            reads,
            ..self.clone()
        }
    }

    /// The same for who asks the store itself.
    pub(crate) fn at_the_store(&self) -> Self {
        let reads = Reads::of(self.broker.store.as_ref(), self.now);
        Self {
            reads,
            ..self.clone()
        }
    }

    /// The policy that decides this request.
    pub(crate) fn policy(&self) -> &Policy {
        &self.in_force.policy
    }

    /// The providers that people sign in to this client with: those that are configured, as far as the policy
    /// admits them.
    pub(crate) fn providers_of(&self, client: &ClientId) -> impl Iterator<Item = &'a Provider> {
        let providers = self.broker.providers.values();
        providers.filter(|provider| self.policy().admits(client, provider.name()))
    }

    /// Where the trace began that requests which follow from this one belong to, if traces are collected.
    pub(crate) fn trace(&self) -> Option<TracePlace> {
        trace::place(self.request)
    }

    /// This request belongs to the trace that began there.
    pub(crate) fn continue_trace(&self, at: Option<&TracePlace>) {
        trace::continue_at(self.request, at);
    }

    /// Writes down what was decided, and every fact that it rests on.
    pub(crate) fn log_decision(&self, decided: Decided<impl Serialize>) {
        if let Some(exception) = &decided.verdict.waiver {
            self.broker.metrics.exception_used(exception);
        }
        let record = Record {
            v: LineVersion,
            time: decided.at,
            request_id: self.request_id.clone(),
            occasion: decided.on,
            policy: self.in_force.hash.to_string(),
            verdict: decided.verdict,
            facts: decided.facts,
        };
        self.broker.decision_log.write(&record);
    }

    /// Writes down what somebody did. Never waits: a sign-in does not hang on a disk.
    pub(crate) fn audit(&self, happening: Happening) {
        let happening = self.placed(happening);
        self.broker.audit_log.write(happening, self.now);
    }

    /// Whether what is about to be managed could be written down.
    pub(crate) fn must_be_audited(&self) -> Result<(), ApiError> {
        self.broker
            .audit_log
            .check(self.now)
            .map_err(|_| ApiError::NotAudited)
    }

    /// Writes down what was managed, and answers when it is written.
    pub(crate) async fn audit_through(&self, happening: Happening) -> Result<(), ApiError> {
        let happening = self.placed(happening);
        let written = self
            .broker
            .audit_log
            .write_through(happening, self.now)
            .await;
        written.map_err(|_| ApiError::NotAudited)
    }

    fn placed(&self, happening: Happening) -> Happening {
        let address = self.broker.limits.address(self.request);
        happening.in_request(&self.request_id, address.map(Address::network))
    }

    fn answer(&self, result: Result<HttpResponse, Failure>) -> HttpResponse {
        let answer = result.unwrap_or_else(|failure| error::answer(failure, self));
        self.with_nonce(answer)
    }

    /// RFC 9449 8.2: who sends a proof gets the nonce for the next one.
    pub(crate) fn with_nonce(&self, mut answer: HttpResponse) -> HttpResponse {
        if self.request.headers().contains_key(&DPOP) {
            let nonce = self.broker.nonces.newest(self.now);
            if let Ok(nonce) = HeaderValue::from_str(&nonce) {
                answer.headers_mut().insert(DPOP_NONCE, nonce);
            }
        }
        answer
    }

    /// Tells a browser that has posted a form to come again by GET, which carries every cookie.
    pub(crate) fn again_by_get(&self, path: &str, form: &[u8]) -> HttpResponse {
        match std::str::from_utf8(form) {
            Ok(query) if query.bytes().all(|b| b.is_ascii_graphic()) => {
                see_other(&self.broker.settings.endpoint(&format!("{path}?{query}")))
            }
            Ok(_) | Err(_) => self.answer(Err(Failure::Page(Problem::BadRequest(
                "the form can't be read",
            )))),
        }
    }

    /// The parameters of the query.
    pub(crate) fn query(&self) -> Parameters {
        Parameters::read(self.request.query_string().as_bytes())
    }

    /// The cookies, name and value to the byte as the browser sent them.
    ///
    /// Browsers guard the prefix `__Host-` in names as they stand. A name that gets it by decoding
    /// (`%5F_Host-`) or by trimming (U+2000 in front) may be a neighbouring host's work, so
    /// neither is done here.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.request.headers().get_all("cookie");
        lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| std::str::from_utf8(pair).ok())
            .filter_map(|pair| pair.strip_prefix(' ').unwrap_or(pair).split_once('='))
    }

    /// The value of the one cookie of this name. Of two of one name, one was planted.
    pub(crate) fn only_cookie(&self, name: &str) -> Option<&str> {
        let mut sent = self.cookies().filter(|(found, _)| *found == name);
        match (sent.next(), sent.next()) {
            (Some((_, value)), None) => Some(value),
            (_, _) => None,
        }
    }
}

/// A cookie for this very host that no script reads. Without a lifetime it ends with the browser.
pub(crate) fn cookie(
    name: String,
    value: String,
    lifetime: Option<cookie::time::Duration>,
) -> Cookie<'static> {
    let mut cookie = Cookie::build(name, value)
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish();
    cookie.set_max_age(lifetime);
    cookie
}

/// Adds cookies to an answer.
pub(crate) fn with_cookies(
    mut answer: HttpResponse,
    cookies: impl IntoIterator<Item = Cookie<'static>>,
) -> Result<HttpResponse, Failure> {
    for cookie in cookies {
        answer
            .add_cookie(&cookie)
            .map_err(|_| Failure::Page(Problem::BadRequest("a cookie can't be set")))?;
    }
    Ok(answer)
}

/// A decision, for the decision log.
#[derive(Debug, Clone)]
pub(crate) struct Decided<F = Facts> {
    pub(crate) on: Occasion,
    /// The `now` of the decision.
    pub(crate) at: Timestamp,
    pub(crate) verdict: Verdict,
    /// [`Facts`], or what stands for them in a line.
    pub(crate) facts: F,
}

/// The parameters of a query or a form.
///
/// One that stands twice has no value: which of the two counts is what an attacker would choose.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    values: BTreeMap<String, String>,
    repeated: BTreeSet<String>,
    pushed: Option<Pushed>,
}

impl Parameters {
    /// Reads `application/x-www-form-urlencoded`. Parameters without a value count as not sent
    /// (RFC 6749 3.1).
    pub(crate) fn read(encoded: &[u8]) -> Self {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(encoded).filter(|(_, value)| !value.is_empty())
        {
            let name = name.into_owned();
            let before = parameters.values.insert(name.clone(), value.into_owned());
            if before.is_some() {
                parameters.repeated.insert(name);
            }
        }
        parameters.forget_repeated()
    }

    fn forget_repeated(mut self) -> Self {
        self.values.retain(|name, _| !self.repeated.contains(name));
        self
    }

    /// Whether a parameter stands twice, which none may (RFC 6749 3.1).
    pub(crate) fn is_repeated(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// Whether this parameter stands twice.
    pub(crate) fn has_twice(&self, name: &str) -> bool {
        self.repeated.contains(name)
    }

    /// What they were pushed as, where they did not come by way of the browser.
    pub(crate) fn pushed(&self) -> Option<&Pushed> {
        self.pushed.as_ref()
    }

    /// The same, known to have been pushed.
    pub(crate) fn known_as(self, pushed: Pushed) -> Self {
        Self {
            pushed: Some(pushed),
            ..self
        }
    }

    pub(crate) fn put(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter();
        values.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }
}

/// 303: the next request is a GET, whatever this one was (RFC 9700 4.12).
pub(crate) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::build(StatusCode::SEE_OTHER)
        .insert_header(("location", location))
        .finish()
}

/// A registered redirect URI with an answer added to its query.
pub(crate) fn client_redirect(uri: &str, parameters: &[(&str, &str)], issuer: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters).append_pair("iss", issuer);
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_without_a_value_counts_as_not_sent() {
        let parameters = Parameters::read(b"state=&nonce=n&nonce=");
        assert_eq!(parameters.one("state"), None);
        assert_eq!(parameters.one("nonce"), Some("n"));
        assert!(!parameters.is_repeated());
    }

    #[test]
    fn a_parameter_that_stands_twice_is_noticed_however_it_is_written() {
        for twice in ["state=a&state=a", "state=a&%73tate=b"] {
            assert!(Parameters::read(twice.as_bytes()).is_repeated(), "{twice}");
        }
    }

    #[test]
    fn an_answer_is_added_to_the_query_that_a_redirect_uri_has() {
        let to = |uri| client_redirect(uri, &[("code", "a&b\r\n")], "https://login.example");
        let added = "code=a%26b%0D%0A&iss=https%3A%2F%2Flogin.example";
        assert_eq!(
            to("https://r.example/cb"),
            format!("https://r.example/cb?{added}")
        );
        assert_eq!(
            to("https://r.example/cb?x=1"),
            format!("https://r.example/cb?x=1&{added}")
        );
    }
}
