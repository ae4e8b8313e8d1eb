//! A provider's own description (OpenID Connect Discovery 1.0, RFC 8414): the members that we use.

use serde::Deserialize;
use url::Url;

use crate::IssParameter;
use crate::token_endpoint::ClientAuthentication;

/// What we read of a discovery document.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    /// As a text: Entra's holds a literal `{tenantid}`, and issuers are compared as strings.
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: Url,
    pub(crate) token_endpoint: Url,
    pub(crate) jwks_uri: Url,
    pub(crate) userinfo_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub(crate) claims_parameter_supported: bool,
    /// Microsoft: the cloud that the document describes.
    pub(crate) cloud_instance_name: Option<String>,
}

impl Metadata {
    /// Whether the provider says that it sends `iss` on the callback (RFC 9207 3).
    pub(crate) fn iss_parameter(&self) -> IssParameter {
        if self.authorization_response_iss_parameter_supported {
            IssParameter::Promised
        } else {
            IssParameter::NotPromised
        }
    }

    /// How to show our secret: Discovery 3 says that a provider which names nothing takes Basic.
    pub(crate) fn client_authentication(&self) -> ClientAuthentication {
        let methods = self
            .token_endpoint_auth_methods_supported
            .as_deref()
            .unwrap_or_default();
        let offers = |method: &str| methods.iter().any(|one| one == method);
        if offers("client_secret_post") && !offers("client_secret_basic") {
            ClientAuthentication::Post
        } else {
            ClientAuthentication::Basic
        }
    }
}
