//! The exchange of a code, or of a refresh token, for tokens at a provider's token endpoint.

use std::borrow::Cow;
use std::fmt;

use oauth2::{
    AccessToken, AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    ErrorResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    TokenResponse, TokenUrl,
    basic::{BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::http::{Http, Reach};
use crate::{ProviderError, http};

/// What we are to a provider.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Our `client_id` there.
    pub client_id: String,
    /// Our secret there.
    pub secret: SecretString,
}

/// One exchange.
pub(crate) struct Exchange<'a> {
    pub(crate) token_url: &'a Url,
    pub(crate) credentials: &'a Credentials,
    pub(crate) authentication: ClientAuthentication,
    pub(crate) code: &'a str,
    pub(crate) pkce_verifier: &'a str,
    pub(crate) redirect_uri: &'a Url,
}

/// One renewal.
pub(crate) struct Renewal<'a> {
    pub(crate) token_url: &'a Url,
    pub(crate) credentials: &'a Credentials,
    pub(crate) authentication: ClientAuthentication,
    pub(crate) refresh_token: &'a str,
    /// What to send besides.
    pub(crate) parameters: Vec<(&'static str, String)>,
}

/// How we show our secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuthentication {
    /// `client_secret_post`.
    Post,
    /// `client_secret_basic`.
    Basic,
}

/// What a token endpoint answers. GitHub joins scopes with commas, so they are read as one text.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: AccessToken,
    token_type: BasicTokenType,
    pub(crate) id_token: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) refresh_token: Option<RefreshToken>,
    /// In how many seconds the access token ends. Some write a text.
    pub(crate) expires_in: Option<Value>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens([redacted])")
    }
}

/// An OAuth error, with Microsoft's `suberror`. Only the codes are read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenError {
    error: String,
    suberror: Option<String>,
}

impl ErrorResponse for TokenError {}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token endpoint answered with an error")
    }
}

impl TokenResponse for Tokens {
    type TokenType = BasicTokenType;
    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }
    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }
    fn expires_in(&self) -> Option<std::time::Duration> {
        None
    }
    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }
    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

type Client<HasTokenUrl> = oauth2::Client<
    TokenError,
    Tokens,
    BasicTokenIntrospectionResponse,
    oauth2::StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    HasTokenUrl,
>;

fn client(
    token_url: &Url,
    credentials: &Credentials,
    authentication: ClientAuthentication,
) -> Client<EndpointSet> {
    Client::<EndpointNotSet>::new(ClientId::new(credentials.client_id.clone()))
        .set_client_secret(ClientSecret::new(
            credentials.secret.expose_secret().to_owned(),
        ))
        .set_auth_type(match authentication {
            ClientAuthentication::Post => AuthType::RequestBody,
            ClientAuthentication::Basic => AuthType::BasicAuth,
        })
        .set_token_uri(TokenUrl::from_url(token_url.clone()))
}

impl Exchange<'_> {
    /// Redeems the code.
    pub(crate) async fn send(&self, http: &Http, reach: Reach) -> Result<Tokens, ProviderError> {
        client(self.token_url, self.credentials, self.authentication)
            .exchange_code(AuthorizationCode::new(self.code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(self.pkce_verifier.to_owned()))
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(self.redirect_uri.clone())))
            .request_async(&|request| send(http, reach, request))
            .await
            .map_err(fault)
    }
}

impl Renewal<'_> {
    /// Redeems the refresh token.
    pub(crate) async fn send(&self, http: &Http, reach: Reach) -> Result<Tokens, ProviderError> {
        let refresh_token = RefreshToken::new(self.refresh_token.to_owned());
        let client = client(self.token_url, self.credentials, self.authentication);
        let mut request = client.exchange_refresh_token(&refresh_token);
        for (name, value) in &self.parameters {
            request = request.add_extra_param(*name, value.as_str());
        }
        request
            .request_async(&|request| send(http, reach, request))
            .await
            .map_err(fault)
    }
}

async fn send(
    http: &Http,
    reach: Reach,
    request: oauth2::HttpRequest,
) -> Result<oauth2::HttpResponse, ProviderError> {
    let response = http.send(request, reach).await?;
    match response.status().as_u16() {
        429 | 500..=599 => Err(http::by_status(response.status().as_u16())),
        _ => Ok(response),
    }
}

fn fault(error: RequestTokenError<ProviderError, TokenError>) -> ProviderError {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(answer) => by_error(&answer),
        // GitHub sends its errors with status 200, so that they look like tokens that can't be read.
        RequestTokenError::Parse(_, body) => serde_json::from_slice::<TokenError>(&body).map_or(
            ProviderError::Answer("the token endpoint's answer can't be read"),
            |answer| by_error(&answer),
        ),
        RequestTokenError::Other(_) => {
            ProviderError::Answer("the token endpoint's answer is not JSON")
        }
    }
}

fn by_error(answer: &TokenError) -> ProviderError {
    ProviderError::from_oauth(&answer.error, answer.suberror.as_deref())
}
