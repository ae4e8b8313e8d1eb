//! A login that is described on the command line: an option for each column of a table of cases.

use std::fmt::Write as _;

use clap::Args;
use countersign_core::Policy;
use countersign_core::cases::{Column, SignIn, Words};
use countersign_server::{Clock, SystemClock};

#[derive(Debug, Args)]
#[group(id = "described", multiple = true)]
#[command(next_help_heading = "A login, described")]
pub(super) struct Described {
    /// When, in UTC: 2027-05-08 (its noon), '2027-05-08 23:59'; else now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The account: new, 'made 2019-05-01, due 2027-04-03', 'shown mfa before'
    #[arg(long, value_name = "WORDS")]
    account: Option<String>,
    /// Who vouches
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The login shows: password, mfa, 'mfa by tenant', 'acr=gold amr=pwd,otp'
    #[arg(long, value_name = "WORDS")]
    shows: Option<String>,
    /// The login shows this `acr`
    #[arg(long, value_name = "VALUE", conflicts_with = "shows")]
    acr: Option<String>,
    /// The login shows these values of `amr`
    #[arg(
        long,
        value_name = "VALUE",
        value_delimiter = ',',
        conflicts_with = "shows"
    )]
    amr: Vec<String>,
    /// How long ago the provider authenticated the person: '5m ago'
    #[arg(long, value_name = "AGE")]
    authenticated: Option<String>,
    /// How long ago Countersign verified the login: '13h ago'
    #[arg(long, value_name = "AGE")]
    verified: Option<String>,
    /// The e-mail address: verified, vouched (by the registry), unverified
    #[arg(long, value_name = "WORD")]
    email: Option<String>,
    /// The Entra tenant: its id, 'of contoso', personal, none
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The organization that the person is to act for
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Who asks
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// A scope that it asks for
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    scope: Vec<String>,
    /// The request demands: 'acr_values=phr max_age=5m prompt=login'
    #[arg(long, value_name = "WORDS")]
    demands: Option<String>,
    /// Whether they can still be sent back to the provider: first, second
    #[arg(long, value_name = "VISIT")]
    visit: Option<String>,
}

impl Described {
    /// The login; or what is wrong with its description, each with its option.
    pub(super) fn sign_in(&self, policy: &Policy) -> Result<SignIn, Vec<String>> {
        let now = SystemClock.now().to_string();
        let (claims, scopes) = (self.claims(), self.scope.join(" "));
        let given = [
            (Column::Account, &self.account),
            (Column::Provider, &self.provider),
            (Column::Shows, &self.shows),
            (Column::Authenticated, &self.authenticated),
            (Column::Verified, &self.verified),
            (Column::Email, &self.email),
            (Column::Tenant, &self.tenant),
            (Column::Organization, &self.organization),
            (Column::Client, &self.client),
            (Column::Demands, &self.demands),
            (Column::Visit, &self.visit),
        ];
        let given = given
            .into_iter()
            .filter_map(|(column, text)| Some((column, text.as_deref()?)));
        let made = [
            (Column::On, self.at.as_deref().unwrap_or(&now)),
            (Column::AsksFor, &scopes),
        ];
        let claims = (!claims.is_empty()).then_some((Column::Shows, claims.as_str()));
        let words = Words::new(given.chain(made).chain(claims));
        SignIn::described(policy, &words).map_err(|mistakes| {
            let told =
                |it: countersign_core::cases::Mistake| format!("{}: {it}", option(it.column));
            mistakes.into_iter().map(told).collect()
        })
    }

    /// `--acr` and `--amr` as claims are written in tables.
    fn claims(&self) -> String {
        let mut claims = String::new();
        if let Some(acr) = &self.acr {
            // Quoted, so that an address with odd letters in it stays one value.
            let _ = write!(claims, "acr={}", serde_json::json!(acr));
        }
        if !self.amr.is_empty() {
            let _ = write!(claims, " amr={}", serde_json::json!(self.amr));
        }
        claims
    }
}

/// The option that says what a column says.
fn option(column: Column) -> &'static str {
    match column {
        Column::On => "--at",
        Column::Account => "--account",
        Column::Provider => "--provider",
        Column::Shows => "--shows",
        Column::Authenticated => "--authenticated",
        Column::Verified => "--verified",
        Column::Email => "--email",
        Column::Tenant => "--tenant",
        Column::Organization => "--organization",
        Column::Client => "--client",
        Column::AsksFor => "--scope",
        Column::Demands => "--demands",
        Column::Visit => "--visit",
        Column::Case | Column::Expected => "the description",
    }
}
