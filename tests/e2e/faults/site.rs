//! Where people sign in: a stand-in provider that knows them, and the servers that share an issuer.

use countersign_dev_idp::DevIdp;
use countersign_tests::{BrokerSetup, Installation};
use url::Url;

/// How many people there are: enough that in a cluster each part has records of somebody.
const PEOPLE: usize = 16;

/// A stand-in, and the files of servers that know it.
pub(super) struct Site {
    pub(super) installation: Installation,
    pub(super) provider: DevIdp,
}

impl Site {
    pub(super) async fn new() -> Self {
        let provider = DevIdp::oidc("127.0.0.2:0").await.expect("a stand-in");
        provider.control().set(|behaviour| {
            let accounts = &mut behaviour.oidc.accounts;
            let ann = accounts.iter().find(|one| one.id == "ann-mfa");
            let ann = ann.expect("an account with a second factor").clone();
            accounts.extend((0..PEOPLE).map(|n| {
                let mut one = ann.clone();
                one.id = account(n);
                one.sub = format!("sub-{n}");
                one.email = Some(format!("person-{n}@example.org"));
                one
            }));
        });
        let nobody = "http://127.0.0.2:9";
        let installation = Installation::new([provider.base_url(), nobody, nobody]);
        let grants = "[client.gallery]\ngrant_types = [\"authorization_code\", \"refresh_token\"]";
        installation.replace("countersign.toml", "[client.gallery]", grants);
        // Of thousands of logins nobody reads every step.
        installation.replace("countersign.toml", "level = \"trace\"", "level = \"info\"");
        Self {
            installation,
            provider,
        }
    }

    /// The accounts of the people.
    pub(super) fn accounts() -> impl Iterator<Item = String> {
        (0..PEOPLE).map(account)
    }
}

fn account(n: usize) -> String {
    format!("person-{n}")
}

/// The servers, as a balancer in front of them knows them.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    pub(super) issuer: String,
    /// The base URL of each.
    pub(super) each: Vec<String>,
    /// Whether they are killed at times, so that nobody listens or an answer is cut off.
    pub(super) are_mortal: bool,
}

impl Servers {
    pub(super) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.issuer)).expect("an address")
    }

    /// Where a client sends people.
    pub(super) fn authorize_url(&self) -> Url {
        let mut url = self.url("/authorize");
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "gallery"),
            ("redirect_uri", BrokerSetup::REDIRECT_URI),
            ("scope", "openid packages:manage"),
            ("state", "state-of-the-client"),
            ("provider", "oidc"),
        ]);
        url
    }
}
