use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use countersign_core::ClientId;
use countersign_core::sign_in::Flow;
use countersign_server::{
    AuditLogSettings, ClientAuthentication, DecisionLogSettings, ForwardedHeader, LimitSettings,
    LogFileSettings, Rotate, SigningAlgorithm,
};
use countersign_store::Rate;
use jiff::SignedDuration;

use url::Url;

use countersign_store::RedisSettings;

use super::*;
use crate::{Contents, Machine};

/// The files that are shipped, as they are shipped.
const SHIPPED: &str = include_str!("../../../../config/countersign.toml");
const SHIPPED_POLICY: &str = include_str!("../../../../config/policy.toml");

/// A configuration with nothing wrong: the cases below change one part of it.
const GOOD: &str = r#"version = 1
[server]
issuer = "https://login.registry.example"
listen = "127.0.0.1:8080"
data_dir = "data"
policy = "policy.toml"
[client.gallery]
name = "Gallery"
redirect_uris = ["https://registry.example/callback"]
secret = { file = "gallery" }
resource = "https://registry.example"
[provider.microsoft-account.microsoft]
client_id = "m"
client_secret = { env = "MICROSOFT" }
[provider.entra.work]
tenant = "organizations"
client_id = "e"
client_secret = { file = "/run/entra" }
[provider.github.github]
client_id = "g"
client_secret = { file = "github" }
[provider.oidc.keycloak]
issuer = "https://id.example/realms/main"
client_id = "k"
client_secret = { file = "keycloak" }
"#;

const GOOD_POLICY: &str = r#"version = 1
[proof.microsoft]
acr = ["urn:microsoft:policies:mfa"]
[proof.work]
acr = ["urn:microsoft:policies:mfa"]
[proof.github]
two_factor_authentication = true
[proof.keycloak]
amr = ["mfa"]
[tier.manage]
scopes = ["packages:manage"]
needs = "mfa"
accepts = ["session", "enrolment"]
[client.gallery]
tier = "manage"
"#;

/// Files and variables that stand nowhere but here.
#[derive(Default)]
struct Fake {
    files: BTreeMap<PathBuf, Contents>,
    variables: BTreeMap<String, OsString>,
}

impl Fake {
    fn with_file(mut self, path: &str, text: &str) -> Self {
        let contents = Contents {
            text: text.to_owned(),
            mode: 0o600,
        };
        self.files.insert(path.into(), contents);
        self
    }

    fn with_variable(mut self, name: &str, text: &str) -> Self {
        self.variables.insert(name.to_owned(), text.into());
        self
    }

    fn with_mode(mut self, path: &str, mode: u32) -> Self {
        self.files.get_mut(Path::new(path)).unwrap().mode = mode;
        self
    }

    fn without_file(mut self, path: &str) -> Self {
        self.files.remove(Path::new(path)).unwrap();
        self
    }
}

impl Surroundings for Fake {
    fn file(&self, path: &Path) -> io::Result<Contents> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no such file");
        self.files.get(path).cloned().ok_or_else(missing)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).cloned()
    }

    fn today(&self) -> jiff::civil::Date {
        jiff::civil::date(2027, 3, 1)
    }
}

/// The surroundings in which the good configuration loads, with another text in its place.
fn around(text: &str) -> Fake {
    Fake::default()
        .with_file("/etc/c/c.toml", text)
        .with_file("/etc/c/policy.toml", GOOD_POLICY)
        .with_file("/etc/c/gallery", "gallery secret\n")
        .with_file("/run/entra", "entra secret")
        .with_file("/etc/c/github", "github secret\r\n")
        .with_file("/etc/c/keycloak", "keycloak secret\n")
        .with_variable("MICROSOFT", "microsoft secret")
}

fn load_from(outside: &Fake) -> Result<Installation, String> {
    load(Path::new("/etc/c/c.toml"), outside).map_err(|error| error.to_string())
}

fn good(text: &str) -> Installation {
    load_from(&around(text)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Checks that these surroundings have exactly these problems, each written without `/etc/c/`.
fn check_around(outside: &Fake, expected: &[&str]) {
    let problems = load_from(outside).expect_err("a wrong configuration was read");
    assert_eq!(problems.replace("/etc/c/", ""), expected.join("\n"));
}

/// Checks the good configuration with one part replaced.
fn check_with(part: &str, replacement: &str, expected: &[&str]) {
    check_around(&around(&with(part, replacement)), expected);
}

#[test]
fn a_client_may_have_public_keys_in_place_of_a_secret() {
    const KEY: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let with_keys = |key: &str| {
        let keys = "jwks = { file = \"keys.json\" }";
        around(&with("secret = { file = \"gallery\" }", keys))
            .with_file("/etc/c/keys.json", &format!("{{\"keys\":[{key}]}}"))
    };
    let loaded = load_from(&with_keys(KEY)).unwrap();
    let at = with(
        "secret = { file = \"gallery\" }",
        "jwks_uri = \"https://registry.example/jwks\"",
    );
    for loaded in [loaded, good(&at)] {
        let gallery = &loaded.settings.clients["gallery"];
        assert!(matches!(
            gallery.authentication,
            ClientAuthentication::PrivateKey(_)
        ));
    }
    for (key, fault) in [
        (
            "",
            "holds no key that can be used: expected RSA of 2048 bits or more, EC on P-256, or Ed25519, for signatures",
        ),
        (
            r#"{"kty":"OKP","d":"AAAA"}"#,
            "holds a private key, which is nobody's but the client's; expected public keys only",
        ),
    ] {
        let place = "c.toml:10:17: `client.gallery.jwks.file`: `keys.json`: ";
        check_around(&with_keys(key), &[&format!("{place}{fault}")]);
    }
    check_with(
        "secret = { file = \"gallery\" }",
        "jwks_uri = \"http://registry.example/jwks\"",
        &[
            "c.toml:10:12: `client.gallery.jwks_uri`: plain http is for loopback addresses only; expected `https://…`",
        ],
    );
}

#[test]
fn a_client_that_nobody_can_pass_for_may_vouch() {
    const KEYS: &str = "jwks_uri = \"https://registry.example/jwks\"";
    const SECRET: &str = "secret = { file = \"gallery\" }";
    for shown in [SECRET, KEYS] {
        let loaded = good(&with(SECRET, &format!("{shown}\nvouches = true")));
        assert!(loaded.settings.clients["gallery"].may_vouch, "{shown}");
    }
    check_with(
        SECRET,
        "public = true\nvouches = true",
        &[
            "c.toml:11:11: `client.gallery.vouches`: anybody can pass for a public client; give it a `secret` or a key (`jwks`, `jwks_uri`), or leave this out",
        ],
    );
}

#[test]
fn a_client_of_the_fapi_profile_has_all_that_the_profile_asks_for() {
    const KEY: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let with_lines = |lines: &str| {
        let keys = "jwks = { file = \"keys.json\" }\nprofile = \"fapi2\"";
        around(&with(
            "secret = { file = \"gallery\" }",
            &format!("{keys}{lines}"),
        ))
        .with_file("/etc/c/keys.json", &format!("{{\"keys\":[{KEY}]}}"))
    };
    let loaded = load_from(&with_lines("")).unwrap();
    let gallery = &loaded.settings.clients["gallery"];
    assert!(gallery.must_push && gallery.must_bind);
    assert_eq!(gallery.id_token_algorithm, SigningAlgorithm::Es256);
    check_around(
        &with_lines("\nid_token_signed_response_alg = \"RS256\""),
        &[
            "c.toml:12:32: `client.gallery.id_token_signed_response_alg`: `profile = \"fapi2\"` takes no RS256; expected \"ES256\" or \"EdDSA\"",
        ],
    );
    check_with(
        "secret = { file = \"gallery\" }",
        "secret = { file = \"gallery\" }\nprofile = \"fapi2\"",
        &[
            "c.toml:7:9: `client.gallery`: has `profile = \"fapi2\"`, which needs `jwks` or `jwks_uri` (mutual TLS is not served)",
        ],
    );
}

/// Checks what the good configuration with one part replaced is warned of.
fn check_warnings(part: &str, replacement: &str, expected: &[&str]) {
    let warnings = good(&with(part, replacement)).warnings.to_string();
    assert_eq!(warnings.replace("/etc/c/", ""), expected.join("\n"));
}

fn with(part: &str, replacement: &str) -> String {
    assert!(
        GOOD.contains(part),
        "`{part}` is not in the good configuration"
    );
    GOOD.replacen(part, replacement, 1)
}

fn shipped_around(text: &str) -> Fake {
    Fake::default()
        .with_file("/etc/c/c.toml", text)
        .with_file("/etc/c/policy.toml", SHIPPED_POLICY)
        .with_file("/etc/c/secrets/gallery", "1\n")
        .with_file("/etc/c/secrets/microsoft", "2\n")
        .with_file("/etc/c/secrets/entra", "3\n")
        .with_file("/etc/c/secrets/github", "4\n")
        .with_file(
            "/etc/c/secrets/master",
            "a master secret of 32 characters, or more\n",
        )
        .with_file(
            "/etc/c/secrets/master.old",
            "the one before, of 32 characters, or more",
        )
        .with_file("/etc/c/secrets/redis", "6\n")
        .with_file("/etc/c/secrets/collector", "Bearer 7\n")
        .with_file(
            "/etc/c/secrets/webhook",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        )
        .with_variable("KEYCLOAK_CLIENT_SECRET", "5")
}

fn names(installation: &Installation) -> Vec<&str> {
    installation
        .providers
        .iter()
        .map(|one| one.name().as_str())
        .collect()
}

#[test]
fn the_shipped_files_load_and_say_only_what_is_missing_and_who_cannot_administer() {
    let shipped = load_from(&shipped_around(SHIPPED)).unwrap();
    assert_eq!(names(&shipped), ["microsoft", "entra", "github"]);
    assert_eq!(shipped.settings.issuer(), "https://login.registry.example");
    assert_eq!(shipped.data_dir, Path::new("/var/lib/countersign"));
    let missing = ": put the client id here that the provider gave you";
    let administer = "`tier.administer.needs`: nobody who signs in at `github` can meet it";
    let told = |end: &str| {
        let warnings = shipped.warnings.iter();
        warnings.filter(|one| one.message.ends_with(end)).count()
    };
    assert_eq!(shipped.warnings.iter().count(), 4, "{}", shipped.warnings);
    assert_eq!((told(missing), told(administer)), (3, 1));
}

#[test]
fn the_examples_of_the_shipped_file_load() {
    let all = SHIPPED.replace("#: ", "");
    let shipped = load_from(&shipped_around(&all)).unwrap();
    assert_eq!(
        names(&shipped),
        ["microsoft", "entra", "github", "keycloak"]
    );
    assert_eq!(shipped.workers, Some(2));
    // The policy has no proof of the example's provider, so three tiers are out of reach there.
    assert_eq!(shipped.warnings.iter().count(), 7, "{}", shipped.warnings);
}

#[test]
fn what_the_shipped_file_calls_a_default_is_one() {
    let plain = load_from(&shipped_around(SHIPPED)).unwrap();
    let all = SHIPPED.replace("#: ", "");
    let written = load_from(&shipped_around(&all)).unwrap();
    let differing = "flow: None";
    let StoreSettings::Redis(redis) = &written.store else {
        panic!("{:?}", written.store);
    };
    let usual = RedisSettings {
        login: redis.login.clone(),
        ..RedisSettings::new(redis.servers.clone())
    };
    assert_eq!(format!("{redis:?}"), format!("{usual:?}"));
    for (plain, written) in plain.providers.iter().zip(&written.providers) {
        // To ask again is a choice, too.
        let written = format!("{written:?}")
            .replace("recheck: Some(1h)", "recheck: None")
            .replace("people: OneOrganizations", "people: Anybodys")
            .replace("groups_claim: Some(\"groups\")", "groups_claim: None");
        assert_eq!(
            format!("{plain:?}").replace(differing, "flow: Some(Hybrid)"),
            written
        );
    }
    // To believe a client and to give it refresh tokens are choices, shown as examples.
    let chosen = format!("{:?}", plain.settings)
        .replace("{AuthorizationCode}", "{AuthorizationCode, RefreshToken}")
        .replace("must_push: false", "must_push: true")
        .replace("must_bind: false", "must_bind: true")
        .replace("may_vouch: false", "may_vouch: true");
    let mut written = written.settings;
    // Nor is anybody told of anything, nor any registry stood in front of.
    assert!(written.webhook.take().is_some());
    assert_eq!(std::mem::take(&mut written.registries).len(), 1);
    for client in written.clients.values_mut() {
        client.post_logout_redirect_uris.clear();
        client.backchannel_logout_uri = None;
    }
    assert_eq!(chosen, format!("{written:?}"));
}

#[test]
fn a_client_says_where_people_go_after_a_sign_out_and_where_it_is_told() {
    let with_addresses = |uri: &str, told: &str| {
        let addresses = format!(
            "post_logout_redirect_uris = [\"{uri}\"]\nbackchannel_logout_uri = \"{told}\"\nsecret = {{ file = \"gallery\" }}"
        );
        with("secret = { file = \"gallery\" }", &addresses)
    };
    let text = with_addresses("https://registry.example/", "https://registry.example/told");
    let settings = good(&text).settings;
    let gallery = &settings.clients[&ClientId::new("gallery").unwrap()];
    assert!(gallery.allows_post_logout_redirect("https://registry.example/"));
    let told = gallery.backchannel_logout_uri.as_ref().map(Url::as_str);
    assert_eq!(told, Some("https://registry.example/told"));
    let text = with_addresses("https://registry.example/*", "http://registry.example/told");
    let problems = load_from(&around(&text)).expect_err("wrong addresses were read");
    for told in ["compared to the letter", "plain http is for loopback"] {
        assert!(problems.contains(told), "{problems}");
    }
}

#[test]
fn a_good_configuration_becomes_values() {
    let installation = good(GOOD);
    let gallery = &installation.settings.clients[&ClientId::new("gallery").unwrap()];
    assert_eq!(gallery.id_token_algorithm, SigningAlgorithm::Rs256);
    let resource = &installation.settings.resources["https://registry.example"];
    assert_eq!(resource.algorithm, SigningAlgorithm::Es256);
    assert_eq!(installation.data_dir, Path::new("/etc/c/data"));
    assert_eq!(
        installation.policy_file.path(),
        Path::new("/etc/c/policy.toml")
    );
    assert_eq!(installation.warnings.to_string(), "");
    let titles: Vec<&str> = installation
        .providers
        .iter()
        .map(ProviderSettings::title)
        .collect();
    let entra = "Microsoft Entra ID (work or school account)";
    assert_eq!(titles, ["Microsoft account", entra, "GitHub", "keycloak"]);
    let kinds: Vec<&str> = installation
        .providers
        .iter()
        .map(|one| one.kind().as_str())
        .collect();
    assert_eq!(kinds, ["microsoft-account", "entra", "github", "oidc"]);
}

#[test]
fn a_personal_account_answers_hybrid_unless_told_otherwise_and_entra_by_its_proof() {
    let flows = |text: &str| -> Vec<Option<Flow>> {
        let providers = good(text).providers.into_iter();
        providers
            .filter_map(|one| match one {
                ProviderSettings::Microsoft(one) => Some(one.flow),
                ProviderSettings::GitHub(_) | ProviderSettings::Oidc(_) => None,
            })
            .collect()
    };
    assert_eq!(flows(GOOD), [Some(Flow::Hybrid), None]);
    let set = GOOD
        .replace("client_id = \"m\"", "client_id = \"m\"\nflow = \"code\"")
        .replace("client_id = \"e\"", "client_id = \"e\"\nflow = \"code\"");
    assert_eq!(flows(&set), [Some(Flow::Code), Some(Flow::Code)]);
}

#[test]
fn everything_wrong_in_both_files_is_told_at_once() {
    let text = GOOD
        .replace(
            "https://login.registry.example",
            "http://login.registry.example/x",
        )
        .replace("redirect_uris", "redirect_uri")
        .replace("tenant = \"organizations\"", "tenant = \"contoso.example\"")
        .replace("name = \"Gallery\"", "name = \"\"");
    let outside = around(&text)
        .without_file("/etc/c/gallery")
        .without_file("/run/entra")
        .with_file("/etc/c/github", "")
        .with_file(
            "/etc/c/policy.toml",
            &GOOD_POLICY.replace("\"mfa\"", "\"mfaa\""),
        );
    check_around(
        &outside,
        &[
            "c.toml:3:10: `server.issuer`: plain http is for loopback addresses only; expected `https://…`",
            "c.toml:7:9: `client.gallery.redirect_uris` is missing",
            "c.toml:8:8: `client.gallery.name`: expected a text of 1 to 64 characters on one line",
            "c.toml:9:1: `client.gallery.redirect_uri` is unknown; did you mean `redirect_uris`? (known here: `name`, `redirect_uris`, `secret`, `public`, `jwks`, `jwks_uri`, `id_token_signed_response_alg`, `resource`, `other_resources`, `grant_types`, `require_pushed_authorization_requests`, `dpop_bound_access_tokens`, `profile`, `vouches`, `post_logout_redirect_uris`, `backchannel_logout_uri`)",
            "c.toml:10:19: `client.gallery.secret.file`: can't read `gallery`: no such file",
            "c.toml:16:10: `provider.entra.work.tenant`: expected a tenant id (a GUID in lower case), `organizations` (any work or school tenant) or `common` (these and personal accounts)",
            "c.toml:18:26: `provider.entra.work.client_secret.file`: can't read `/run/entra`: no such file",
            "c.toml:21:26: `provider.github.github.client_secret.file`: the file `github` is empty",
            "policy.toml:12:9: `tier.manage.needs`: expected one of `none`, `mfa`, `phishing-resistant`, found `mfaa`; did you mean `mfa`?",
        ],
    );
}

#[test]
fn a_secret_that_stands_in_the_file_is_refused_and_never_printed() {
    let advice = "a secret does not stand in this file: put it into a file of its own and write `{ file = \"PATH\" }`, or into the environment and write `{ env = \"NAME\" }`";
    check_with(
        "secret = { file = \"gallery\" }",
        "secret = \"hunter2\"",
        &[&format!("c.toml:10:10: `client.gallery.secret`: {advice}")],
    );
    check_with(
        "client_secret = { file = \"github\" }",
        "client_secret = 12345",
        &[&format!(
            "c.toml:21:17: `provider.github.github.client_secret`: {advice}"
        )],
    );
    check_with(
        "env = \"MICROSOFT\"",
        "env = \"hunter2\"",
        &[
            "c.toml:14:25: `provider.microsoft-account.microsoft.client_secret.env`: expected the name of an environment variable: capital letters, digits and `_`",
        ],
    );
    let printed = format!("{:?}", good(GOOD));
    for secret in [
        "gallery secret",
        "entra secret",
        "github secret",
        "microsoft secret",
    ] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn keys_are_replaced_every_ninety_days_unless_it_says_otherwise() {
    let read = |section: &str| {
        let outside = around(&format!("{GOOD}[keys]\n{section}"));
        let master = "a master secret of 32 characters, or more";
        let loaded = load_from(&outside.with_file("/etc/c/master", master));
        let keys = loaded.unwrap_or_else(|told| panic!("{told}")).keys;
        let days = keys.rotate_every.map(|every| every.as_hours() / 24);
        let secrets = keys.secrets;
        (days, secrets.current.is_some(), secrets.previous.is_some())
    };
    let master = "master_secret = { file = \"master\" }";
    assert_eq!(read(""), (Some(90), false, false));
    assert_eq!(read("rotate = \"never\""), (None, false, false));
    assert_eq!(read("rotate_every_days = 2"), (Some(2), false, false));
    assert_eq!(read(master), (Some(90), true, false));
    assert_eq!(read(&format!("previous_{master}")), (Some(90), false, true));
}

#[test]
fn nonsense_about_keys_is_refused() {
    let check = |section: &str, expected: &str| {
        let outside = around(&format!("{GOOD}[keys]\n{section}\n"));
        let line = GOOD.lines().count() + 2;
        let expected = format!("c.toml:{}", expected.replace("LINE", &line.to_string()));
        check_around(&outside.with_file("/etc/c/short", "hunter2"), &[&expected]);
    };
    check(
        "rotate_every_days = 1",
        "LINE:21: `keys.rotate_every_days`: expected a whole number from 2 to 3650, found 1",
    );
    check(
        "rotate = \"always\"",
        "LINE:10: `keys.rotate`: expected one of `never`, found `always`",
    );
    check(
        "master_secret = { file = \"short\" }",
        "LINE:1: `keys.master_secret`: the secret is shorter than 32 characters, and could be guessed by \
         whoever has a copy of the store; `openssl rand -base64 32` makes one",
    );
}

/// The good configuration with these lines in its `[server]`, and these `[limits]`.
fn limited(server: &str, limits: &str) -> String {
    let server = format!("[server]\n{server}");
    format!(
        "{}[limits]\n{limits}\n",
        GOOD.replacen("[server]", &server, 1)
    )
}

#[test]
fn limits_and_proxies_become_values() {
    let plain = good(GOOD).limits;
    assert_eq!(plain, LimitSettings::default());
    assert_eq!(plain.proxies.trusted, None, "nobody is believed");
    let server = "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nforwarded_header = \"forwarded\"";
    let limits = good(&limited(server, "bad_secrets_per_minute = 3")).limits;
    let trusted = limits.proxies.trusted.expect("proxies");
    let trusted: Vec<String> = trusted.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(limits.proxies.header, ForwardedHeader::Forwarded);
    assert_eq!(
        limits.bad_secrets,
        Rate::new(3, SignedDuration::from_mins(1))
    );
    let none = good(&limited("trusted_proxies = []", "")).limits;
    assert_eq!(none.proxies.trusted, Some(Vec::new()));
}

#[test]
fn nonsense_about_limits_and_proxies_is_refused() {
    let check = |server: &str, expected: &str| {
        check_around(&around(&limited(server, "")), &[expected]);
    };
    check(
        "trusted_proxies = [\"0.0.0.0/0\"]",
        "c.toml:3:20: `server.trusted_proxies`: is everybody: then whoever connects could say that they are anybody else",
    );
    check(
        "trusted_proxies = [\"10.0.0.1/8\"]",
        "c.toml:3:20: `server.trusted_proxies`: has bits beyond its prefix; expected `10.0.0.0/8`, or the one address without a prefix",
    );
    check(
        "trusted_proxies = [\"proxy.internal\"]",
        "c.toml:3:20: `server.trusted_proxies`: expected an address or a range such as `10.0.0.0/8` or `2001:db8::/32`",
    );
    check(
        "forwarded_header = \"forwarded\"",
        "c.toml:3:20: `server.forwarded_header`: is believed from trusted proxies only; name them in `trusted_proxies`",
    );
    let line = GOOD.lines().count() + 3;
    let told = format!(
        "c.toml:{line}:31: `limits.browser_requests_per_minute`: expected a whole number from 30 to 10000000, found 1"
    );
    let few = limited("trusted_proxies = []", "browser_requests_per_minute = 1");
    check_around(&around(&few), &[&told]);
}

#[test]
fn a_secret_comes_from_one_place() {
    let expected = &["c.toml:10:1: `client.gallery.secret`: expected one of `file` and `env`"];
    check_with(
        "{ file = \"gallery\" }",
        "{ file = \"gallery\", env = \"MICROSOFT\" }",
        expected,
    );
    check_with("{ file = \"gallery\" }", "{}", expected);
    check_with(
        "secret = { file = \"gallery\" }",
        "secret = { file = \"gallery\" }\npublic = true",
        &[
            "c.toml:7:9: `client.gallery`: has more than one of `secret`, `public`, `jwks` and `jwks_uri`; expected one of them",
        ],
    );
    check_with(
        "secret = { file = \"gallery\" }\n",
        "",
        &[
            "c.toml:7:9: `client.gallery.secret` is missing: `{ file = \"PATH\" }` or `{ env = \"NAME\" }`; or `jwks` or `jwks_uri` of a client that signs with a key; for an app that can't keep a secret write `public = true` instead",
        ],
    );
    check_with(
        "secret = { file = \"gallery\" }",
        "public = false",
        &["c.toml:10:10: `client.gallery.public`: `false` is what holds without it; leave it out"],
    );
}

#[test]
fn a_secret_is_one_line_and_one_line_end_after_it_is_cut_off() {
    use secrecy::ExposeSecret;
    let secrets: Vec<String> = good(GOOD)
        .providers
        .iter()
        .map(|one| match one {
            ProviderSettings::Microsoft(one) => &one.credentials,
            ProviderSettings::GitHub(one) => &one.credentials,
            ProviderSettings::Oidc(one) => &one.credentials,
        })
        .map(|credentials| credentials.secret.expose_secret().to_owned())
        .collect();
    let expected = [
        "microsoft secret",
        "entra secret",
        "github secret",
        "keycloak secret",
    ];
    assert_eq!(secrets, expected);

    let name = "c.toml:25:26: `provider.oidc.keycloak.client_secret.file`: the file `keycloak`";
    for (text, fault) in [
        ("", "is empty"),
        ("\n", "is empty"),
        (" \n", "is empty"),
        (
            "a\n\n",
            "holds more than one line, or characters that can't be seen; expected the secret alone",
        ),
        (
            "a\nb",
            "holds more than one line, or characters that can't be seen; expected the secret alone",
        ),
    ] {
        let outside = around(GOOD).with_file("/etc/c/keycloak", text);
        check_around(&outside, &[&format!("{name} {fault}")]);
    }
}

#[test]
fn an_environment_variable_must_be_set_and_not_empty() {
    let name = "c.toml:14:25: `provider.microsoft-account.microsoft.client_secret.env`: the environment variable `MICROSOFT`";
    let unset = Fake {
        variables: BTreeMap::new(),
        ..around(GOOD)
    };
    check_around(&unset, &[&format!("{name} is not set")]);
    let empty = around(GOOD).with_variable("MICROSOFT", "");
    check_around(&empty, &[&format!("{name} is empty")]);
}

#[test]
fn a_secret_file_that_others_can_read_is_warned_of() {
    for mode in [0o640, 0o604, 0o644] {
        let outside = around(GOOD).with_mode("/etc/c/github", mode);
        let warnings = load_from(&outside).unwrap().warnings.to_string();
        let expected = format!(
            "/etc/c/c.toml:21:26: `provider.github.github.client_secret.file`: others than its owner can read `/etc/c/github` (mode {mode:04o}); `chmod 600 '/etc/c/github'`"
        );
        assert_eq!(warnings, expected);
    }
}

#[test]
fn the_issuer_is_a_site_over_https_or_on_loopback() {
    let name = "c.toml:3:10: `server.issuer`:";
    for (issuer, fault) in [
        (
            "login.example",
            "expected an address such as `https://host.example`",
        ),
        (
            "ftp://login.example",
            "expected an address such as `https://host.example`",
        ),
        (
            "http://login.example",
            "plain http is for loopback addresses only; expected `https://…`",
        ),
        (
            "http://localhost.evil.example",
            "plain http is for loopback addresses only; expected `https://…`",
        ),
        (
            "https://login.example/auth",
            "expected scheme, host and port only, without path, query and fragment",
        ),
        (
            "https://login.example?x",
            "expected scheme, host and port only, without path, query and fragment",
        ),
        (
            "https://me:pw@login.example",
            "expected an address without user and password",
        ),
    ] {
        let text = with("https://login.registry.example", issuer);
        check_around(&around(&text), &[&format!("{name} {fault}")]);
    }
    for issuer in [
        "http://127.0.0.1:8080",
        "http://localhost:1",
        "https://login.example:8443/",
    ] {
        good(&with("https://login.registry.example", issuer));
    }
}

#[test]
fn a_redirect_uri_stands_there_as_it_will_be_sent() {
    let name = "c.toml:9:18: `client.gallery.redirect_uris`:";
    for (uri, fault) in [
        (
            "http://registry.example/callback",
            "plain http is for loopback addresses only; expected `https://…`",
        ),
        (
            "https://registry.example/callback#x",
            "a redirect URI has no fragment (RFC 6749 3.1.2)",
        ),
        (
            "https://*.registry.example/callback",
            "redirect URIs are compared to the letter; `*` stands for nothing else",
        ),
        (
            "HTTPS://registry.example/callback",
            "is compared to the letter, and is usually written `https://registry.example/callback`",
        ),
        (
            "https://registry.example/a/../callback",
            "is compared to the letter, and is usually written `https://registry.example/callback`",
        ),
        (
            "https:registry.example/callback",
            "is compared to the letter, and is usually written `https://registry.example/callback`",
        ),
        (
            "gallery://callback",
            "expected an address such as `https://host.example`",
        ),
    ] {
        let text = with("https://registry.example/callback", uri);
        check_around(&around(&text), &[&format!("{name} {fault}")]);
    }
    check_with(
        "[\"https://registry.example/callback\"]",
        "[]",
        &["c.toml:9:17: `client.gallery.redirect_uris`: expected at least one entry, found none"],
    );
    good(&with(
        "https://registry.example/callback",
        "http://127.0.0.1/callback",
    ));
}

#[test]
fn people_sign_in_to_a_client_by_a_redirect_or_on_a_device() {
    const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
    let uris = "redirect_uris = [\"https://registry.example/callback\"]";
    let granted = |uris_kept: &str, grants: &str| {
        with(uris, &format!("{uris_kept}\ngrant_types = [{grants}]"))
    };
    let both = format!("\"{DEVICE}\", \"authorization_code\", \"refresh_token\"");
    good(&granted(uris, &both));
    let only = format!("\"{DEVICE}\", \"refresh_token\"");
    good(&granted("", &only));
    check_around(
        &around(&granted("", "\"refresh_token\"")),
        &[&format!(
            "c.toml:10:15: `client.gallery.grant_types`: expected `authorization_code` or `{DEVICE}` among them: \
             people sign in by these"
        )],
    );
    check_around(
        &around(&granted(uris, &only)),
        &[
            "c.toml:7:9: `client.gallery`: has `redirect_uris`, and nobody is sent back to it by its `grant_types`",
        ],
    );
    check_around(
        &around(&granted("", &both)),
        &["c.toml:7:9: `client.gallery.redirect_uris` is missing"],
    );
}

#[test]
fn a_provider_has_a_name_of_its_own() {
    check_with(
        "[provider.github.github]",
        "[provider.github.work]",
        &[
            "c.toml:19:18: `provider.github.work`: the provider at c.toml:15:17 has this name too; names are unique across kinds",
            "policy.toml:6:8: `proof.github`: no provider of this name is configured (configured: `keycloak`, `microsoft`, `work`)",
        ],
    );
    check_with(
        "[provider.github.github]\nclient_id",
        "[provider.github]\nclient_id",
        &[
            "c.toml:20:1: `provider.github.client_id`: expected a table with a name of yours: `[provider.github.NAME]`",
            "c.toml:21:1: `provider.github.client_secret`: expected a table with a name of yours: `[provider.github.NAME]`",
            "policy.toml:6:8: `proof.github`: no provider of this name is configured (configured: `keycloak`, `microsoft`, `work`)",
        ],
    );
}

#[test]
fn an_entra_tenant_is_no_personal_one() {
    let expected = &[
        "c.toml:16:10: `provider.entra.work.tenant`: these are personal accounts; their table is `[provider.microsoft-account.NAME]`",
    ];
    check_with(
        "\"organizations\"",
        "\"9188040d-6c67-4c5b-b112-36a304b66dad\"",
        expected,
    );
    check_with("\"organizations\"", "\"consumers\"", expected);
    good(&with("\"organizations\"", "\"common\""));
    good(&with(
        "\"organizations\"",
        "\"6e93a626-8aca-4dc1-9191-ce291b4b75a1\"",
    ));
}

#[test]
fn what_a_provider_is_told_is_checked() {
    check_with(
        "issuer = \"https://id.example/realms/main\"",
        "issuer = \"https://id.example/realms/main/.well-known/openid-configuration\"",
        &[
            "c.toml:23:10: `provider.oidc.keycloak.issuer`: expected the issuer, which is the address before `/.well-known/openid-configuration`",
        ],
    );
    check_with(
        "client_id = \"k\"",
        "client_id = \"\"\nid_token_signed_response_alg = \"HS256\"\nscopes = [\"openid\", \"a b\"]\nemail_verified = true\nenrolment_url = \"http://id.example\"",
        &[
            "c.toml:24:13: `provider.oidc.keycloak.client_id`: expected a client id: printable ASCII without spaces",
            "c.toml:25:32: `provider.oidc.keycloak.id_token_signed_response_alg`: expected one of `RS256`, `PS256`, `ES256`, `EdDSA`, found `HS256`; did you mean `ES256`?",
            "c.toml:26:11: `provider.oidc.keycloak.scopes`: `openid` is always asked for; leave it out",
            "c.toml:26:21: `provider.oidc.keycloak.scopes`: `a b` is not a scope (RFC 6749 3.3: printable ASCII without space, `\"` and `\\`)",
            "c.toml:27:18: `provider.oidc.keycloak.email_verified`: expected a string, found `true` or `false`",
            "c.toml:28:17: `provider.oidc.keycloak.enrolment_url`: plain http is for loopback addresses only; expected `https://…`",
        ],
    );
    check_with(
        "client_id = \"g\"",
        "client_id = \"g\"\nurl = \"https://github.example/login\"",
        &[
            "c.toml:21:7: `provider.github.github.url`: expected scheme, host and port only, without path, query and fragment",
        ],
    );
}

#[test]
fn the_policy_and_the_configuration_name_each_other() {
    let policy = GOOD_POLICY
        .replace("[proof.work]", "[proof.wrok]")
        .replace("[client.gallery]", "[client.gallerie]")
        .replace("amr = [\"mfa\"]", "two_factor_authentication = true");
    check_around(
        &around(GOOD).with_file("/etc/c/policy.toml", &policy),
        &[
            "policy.toml:4:8: `proof.wrok`: no provider of this name is configured; did you mean `work`? (configured: `github`, `keycloak`, `microsoft`, `work`)",
            "policy.toml:9:29: `proof.keycloak.two_factor_authentication`: only providers of the kind `github` have this flag",
            "policy.toml:14:2: `client`: `gallery` is configured and not named here; say what signing in to it needs: `[client.gallery]` with its `tier`",
            "policy.toml:14:9: `client.gallerie`: no client of this name is configured; did you mean `gallery`? (configured: `gallery`)",
        ],
    );
}

/// `GOOD` with these lines of `[store.redis]`.
fn in_redis(lines: &str) -> String {
    GOOD.replace(
        "[client.gallery]",
        &format!("[store.redis]\n{lines}\n[client.gallery]"),
    )
}

fn redis_of(lines: &str) -> RedisSettings {
    let files = around(&in_redis(lines))
        .with_file("/etc/c/redis.password", "secret\n")
        .with_file("/etc/c/ca.pem", "-----BEGIN CERTIFICATE-----\n")
        .with_file("/etc/c/own.key", "-----BEGIN PRIVATE KEY-----\n");
    match load_from(&files).unwrap().store {
        StoreSettings::Redis(redis) => *redis,
        StoreSettings::DataDirectory => panic!("not in Redis"),
    }
}

#[test]
fn a_store_in_redis_is_one_address_sentinels_or_a_cluster() {
    let one = redis_of("address = \"redis.internal:6379\"");
    assert_eq!(
        (one.servers.to_string().as_str(), one.replicas),
        ("Redis at `redis.internal:6379`", 0)
    );
    let sentinels = redis_of("sentinels = [\"s-1:26379\", \"s-2:26379\"]\nprimary = \"accounts\"");
    let expected = "the Redis that Sentinel calls `accounts` (at `s-1:26379`, `s-2:26379`)";
    assert_eq!(
        (sentinels.servers.to_string().as_str(), sentinels.replicas),
        (expected, 1)
    );
    let cluster = redis_of(
        "cluster = [\"[::1]:7000\"]\nreplicas = 2\ntimeout = \"900ms\"\nuser = \"c\"\npassword = { file = \"redis.password\" }\n\
         [store.redis.tls]\nca = \"ca.pem\"\ncertificate = \"ca.pem\"\nkey = \"own.key\"",
    );
    assert_eq!(
        (cluster.servers.to_string().as_str(), cluster.replicas),
        ("the Redis Cluster at `[::1]:7000`", 2)
    );
    assert_eq!(cluster.timeout.as_millis(), 900);
    let printed = format!("{cluster:?}");
    assert!(
        !printed.contains("\"secret") && !printed.contains("BEGIN"),
        "{printed}"
    );
}

#[test]
fn what_is_wrong_about_redis_is_told_at_its_place() {
    let check = |lines: &str, expected: &[&str]| check_around(&around(&in_redis(lines)), expected);
    check(
        "",
        &[
            "c.toml:7:8: `store.redis`: expected one of `address`, `cluster`, and `sentinels` together with `primary`",
        ],
    );
    check(
        "address = \"a:1\"\ncluster = [\"b:1\"]",
        &[
            "c.toml:7:8: `store.redis`: expected one of `address`, `cluster`, and `sentinels` together with `primary`",
        ],
    );
    check(
        "address = \"redis://a\"\ntimeout = \"2h\"\nuser = \"a b\"\nkey_prefix = \"{x}\"\npassword = \"secret\"\nreplicas = 99",
        &[
            "c.toml:8:11: `store.redis.address`: expected a host and a port, such as `redis.internal:6379` or `[::1]:6379`",
            "c.toml:9:11: `store.redis.timeout`: expected a time from \"10ms\" to \"1m\"",
            "c.toml:10:8: `store.redis.user`: expected the name of an ACL user: 1 to 128 characters without white space",
            "c.toml:11:14: `store.redis.key_prefix`: expected 1 to 64 letters, digits and `:`, `.`, `-`, `_`",
            "c.toml:12:12: `store.redis.password`: a secret does not stand in this file: put it into a file of its own and write `{ file = \"PATH\" }`, or into the environment and write `{ env = \"NAME\" }`",
            "c.toml:13:12: `store.redis.replicas`: expected a whole number from 0 to 16, found 99",
        ],
    );
    check(
        "address = \"a:1\"\n[store.redis.tls]\nkey = \"gallery\"",
        &[
            "c.toml:10:7: `store.redis.tls.key`: expected a private key as PEM in `gallery`, found none",
        ],
    );
}

#[test]
fn names_are_not_compared_where_the_syntax_is_broken() {
    check_with(
        "[provider.entra.work]",
        "[provider.entra.work",
        &["c.toml:15:21: unclosed table, expected `]`"],
    );
}

#[test]
fn a_file_that_can_not_be_read_is_named_with_the_reason() {
    check_around(&Fake::default(), &["can't read `c.toml`: no such file"]);
    check_around(
        &around(GOOD).without_file("/etc/c/policy.toml"),
        &["c.toml:6:10: `server.policy`: can't read `policy.toml`: no such file"],
    );
}

#[test]
fn the_rest_of_the_server_is_checked() {
    check_with(
        "listen = \"127.0.0.1:8080\"",
        "listen = \"localhost:8080\"\nworkers = 0",
        &[
            "c.toml:4:10: `server.listen`: expected an address and a port such as `127.0.0.1:8080` or `[::1]:8080`; names are not looked up",
            "c.toml:5:11: `server.workers`: expected a whole number from 1 to 1024, found 0",
        ],
    );
    check_with(
        "[client.gallery]",
        "[network]\nprivate_hosts = [\"https://keycloak.internal\"]\nname_servers = [\"10.0.0.53\", \"dns.internal\"]\n[log]\nformat = \"xml\"\n[client.gallery]",
        &[
            "c.toml:8:18: `network.private_hosts`: expected a host such as `keycloak.internal` or `10.0.0.7`, without scheme, port and path",
            "c.toml:9:30: `network.name_servers`: expected the address of a resolver such as `10.0.0.53` or `127.0.0.1:5353`; names are not looked up",
            "c.toml:11:10: `log.format`: expected one of `text`, `json`, found `xml`",
        ],
    );
    check_with(
        "version = 1",
        "version = 2",
        &["c.toml:1:11: `version`: expected 1, the only version there is, found 2"],
    );
    check_with(
        "data_dir = \"data\"",
        "data_dir = \"\"",
        &["c.toml:5:12: `server.data_dir`: expected a path, found an empty text"],
    );
}

#[test]
fn what_is_likely_wrong_is_warned_of() {
    check_warnings(
        "client_id = \"m\"",
        "client_id = \"m\"\nflow = \"code\"",
        &[
            "c.toml:14:8: `provider.microsoft-account.microsoft.flow`: Microsoft is known to send the `acr` of a personal account in the `hybrid` flow only; with `code` nobody may be able to show a second factor",
        ],
    );
    check_warnings(
        "[provider.github.github]",
        "[provider.github.other]\nclient_id = \"o\"\nclient_secret = { file = \"github\" }\nscopes = []\n[provider.github.github]",
        &[
            "c.toml:19:18: `provider.github.other`: people can't tell it from `github`, which has the same title; give it a `title`",
            "c.toml:19:18: `provider.github.other`: the policy has no `[proof.other]`, so nobody can show a second factor there",
            "c.toml:22:10: `provider.github.other.scopes`: without `read:user` GitHub does not tell whether two-factor authentication is on",
            "c.toml:22:10: `provider.github.other.scopes`: without `user:email` GitHub tells no verified e-mail address",
            "policy.toml:12:9: `tier.manage.needs`: nobody who signs in at `other` can meet it",
        ],
    );
    check_warnings(
        "[client.gallery]",
        "[resource.\"https://registri.example\"]\naccess_token_signed_response_alg = \"RS256\"\n[client.gallery]",
        &[
            "c.toml:7:11: `resource.\"https://registri.example\"`: no client names it; did you mean `https://registry.example`?",
        ],
    );
}

/// The good configuration in which the client refreshes, and this provider is asked again.
fn asked_again(after: &str, interval: &str) -> String {
    let text = with(
        "resource = \"https://registry.example\"\n",
        "resource = \"https://registry.example\"\ngrant_types = [\"authorization_code\", \"refresh_token\"]\n",
    );
    text.replacen(after, &format!("{after}\nrecheck = \"{interval}\""), 1)
}

#[test]
fn providers_are_asked_again_only_where_the_file_says_so() {
    let told = |text: &str| {
        let installation = good(text);
        let all = installation.providers.iter();
        let all: Vec<(String, i64)> = all
            .filter_map(|one| Some((one.name().to_string(), one.recheck()?.as_secs())))
            .collect();
        (
            all,
            installation.warnings.to_string().replace("/etc/c/", ""),
        )
    };
    assert_eq!(told(GOOD), (vec![], String::new()));
    let one =
        |name: &str, seconds, warning: &str| (vec![(name.to_owned(), seconds)], warning.to_owned());
    let text = asked_again("client_id = \"g\"", "1h");
    assert_eq!(told(&text), one("github", 3600, ""));
    let text = asked_again("client_id = \"k\"", "10m");
    assert_eq!(told(&text), one("keycloak", 600, ""));
    for (text, name, seconds, warning) in [
        (
            asked_again("client_id = \"g\"", "12h"),
            "github",
            43_200,
            "c.toml:22:11: `provider.github.github.recheck`: sessions end before (`lifetimes.session.absolute`), so nobody is asked again",
        ),
        (
            asked_again("client_id = \"g\"", "9m"),
            "github",
            540,
            "c.toml:22:11: `provider.github.github.recheck`: tokens live longer (`lifetimes.token`), so it is asked at every refresh",
        ),
        (
            asked_again("client_id = \"e\"", "1h"),
            "work",
            3600,
            "c.toml:19:11: `provider.entra.work.recheck`: Microsoft is known to send `acr` only when the person signs in: who shows a second factor by it loses the session when Entra is asked again; prove it by a tenant's `acrs`",
        ),
        (
            with("client_id = \"g\"", "client_id = \"g\"\nrecheck = \"1h\""),
            "github",
            3600,
            "c.toml:21:11: `provider.github.github.recheck`: no client has `refresh_token` among its `grant_types`, so nobody is asked again",
        ),
    ] {
        assert_eq!(told(&text), one(name, seconds, warning));
    }
    check_with(
        "client_id = \"m\"",
        "client_id = \"m\"\nrecheck = \"1h\"",
        &[
            "c.toml:14:11: `provider.microsoft-account.microsoft.recheck`: personal accounts can't be asked about again: Microsoft is known to send their proof (`acr`) only when the person signs in; leave it out",
        ],
    );
    check_with(
        "client_id = \"g\"",
        "client_id = \"g\"\nrecheck = \"59s\"",
        &[
            "c.toml:21:11: `provider.github.github.recheck`: expected at least `1m`: providers limit how often they are asked",
        ],
    );
    check_with(
        "client_id = \"g\"",
        "client_id = \"g\"\nrecheck = true",
        &[
            "c.toml:21:11: `provider.github.github.recheck`: expected a string, found `true` or `false`",
        ],
    );
}

#[test]
fn files_are_read_from_the_machine_with_their_permissions() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8], mode| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    };
    let path = write("secret", b"s\n", 0o640);
    let contents = Machine.file(&path).unwrap();
    assert_eq!((contents.text.as_str(), contents.mode), ("s\n", 0o640));
    assert_eq!(format!("{contents:?}"), "Contents { mode: 416, .. }");

    let binary = write("c.toml", b"\xff\xfe", 0o600);
    let error = load(&binary, &Machine).unwrap_err().to_string();
    assert!(
        error.contains("c.toml`") && error.contains("UTF-8"),
        "{error}"
    );
    let error = load(directory.path(), &Machine).unwrap_err().to_string();
    assert!(error.contains("directory"), "{error}");
}

#[test]
fn requests_are_taken_for_a_while_after_the_signal_where_it_says_so() {
    const LISTEN: &str = "listen = \"127.0.0.1:8080\"";
    let and = |delay: &str| format!("{LISTEN}\ndrain_delay = \"{delay}\"");
    let delay = |text: &str| good(text).drain_delay.as_millis();
    assert_eq!(delay(GOOD), 0);
    assert_eq!(delay(&with(LISTEN, &and("10s"))), 10_000);
    check_with(
        LISTEN,
        &and("6m"),
        &[
            "c.toml:5:15: `server.drain_delay`: expected at most `5m`: nothing that balances load takes longer to notice",
        ],
    );
}

#[test]
fn the_private_listener_is_off_unless_set_and_belongs_where_few_can_ask() {
    const LISTEN: &str = "listen = \"127.0.0.1:8080\"";
    let and = |address: &str| format!("{LISTEN}\nprivate_listen = \"{address}\"");
    assert_eq!(good(GOOD).private_listen, None);
    for address in [
        "127.0.0.1:9464",
        "[::1]:9464",
        "10.1.2.3:9464",
        "[fd00::7]:9464",
        "[::ffff:192.168.0.1]:9464",
    ] {
        check_warnings(LISTEN, &and(address), &[]);
    }
    for address in ["0.0.0.0:9464", "[::]:9464", "203.0.113.9:9464"] {
        check_warnings(
            LISTEN,
            &and(address),
            &[
                "c.toml:5:18: `server.private_listen`: others than this machine and its network may reach it, and it asks nobody who they are; expected a loopback or a private address",
            ],
        );
    }
    check_with(
        LISTEN,
        &and("127.0.0.1:8080"),
        &[
            "c.toml:5:18: `server.private_listen`: is the address of `server.listen`; choose another port",
        ],
    );
    check_with(
        LISTEN,
        &and("9464"),
        &[
            "c.toml:5:18: `server.private_listen`: expected an address and a port such as `127.0.0.1:8080` or `[::1]:8080`; names are not looked up",
        ],
    );
}

/// The good configuration with this `[decision_log]`.
fn with_decision_log(section: &str) -> String {
    with(
        "[client.gallery]",
        &format!("[decision_log]\n{section}\n[client.gallery]"),
    )
}

fn decision_file(text: &str) -> LogFileSettings {
    match good(text).decision_log {
        DecisionLogSettings::File(file) => file,
        other => panic!("{other:?}"),
    }
}

#[test]
fn decisions_are_written_beside_the_data_a_file_a_day_for_ninety_days_unless_told_otherwise() {
    let default = LogFileSettings {
        path: "/etc/c/data/decisions.jsonl".into(),
        rotate: Rotate::Daily,
        max_bytes: None,
        keep_days: Some(90),
        keep_files: None,
    };
    assert_eq!(decision_file(GOOD), default);
    assert_eq!(decision_file(&with_decision_log("")), default);
    let elsewhere = decision_file(&with_decision_log("file = \"log/d.jsonl\""));
    let path = "/etc/c/log/d.jsonl".into();
    assert_eq!(elsewhere, LogFileSettings { path, ..default });
}

#[test]
fn a_decision_log_is_rotated_and_kept_as_told() {
    let all = decision_file(&with_decision_log(
        "rotate = \"never\"\nmax_bytes = 1048576\nkeep_days = 7\nkeep_files = 20",
    ));
    assert_eq!((all.rotate, all.max_bytes), (Rotate::Never, Some(1 << 20)));
    assert_eq!((all.keep_days, all.keep_files), (Some(7), Some(20)));
    let by_number = decision_file(&with_decision_log("keep_files = 20"));
    assert_eq!(
        (by_number.keep_days, by_number.keep_files),
        (None, Some(20))
    );
    let elsewhere = |to| good(&with_decision_log(to)).decision_log;
    assert_eq!(elsewhere("to = \"stdout\""), DecisionLogSettings::Stdout);
    assert_eq!(elsewhere("to = \"off\""), DecisionLogSettings::Off);
}

#[test]
fn a_decision_log_that_contradicts_itself_is_refused() {
    let check = |section: &str, expected: &[&str]| {
        check_around(&around(&with_decision_log(section)), expected);
    };
    check(
        "to = \"stdout\"\nfile = \"d.jsonl\"",
        &["c.toml:7:2: `decision_log`: has `to` and `file`; expected one of them"],
    );
    check(
        "to = \"stdout\"\nrotate = \"daily\"\nkeep_days = 7",
        &[
            "c.toml:9:10: `decision_log.rotate`: is for a file, and decisions go to stdout; leave it out",
            "c.toml:10:13: `decision_log.keep_days`: is for a file, and decisions go to stdout; leave it out",
        ],
    );
    check(
        "to = \"off\"\nmax_bytes = 1048576",
        &[
            "c.toml:9:13: `decision_log.max_bytes`: is for a file, and decisions are not written down; leave it out",
        ],
    );
    check(
        "rotate = \"never\"\nkeep_files = 3",
        &[
            "c.toml:9:14: `decision_log.keep_files`: nothing is rotated, so nothing is ever deleted; write `rotate = \"daily\"` or `max_bytes`, or leave it out",
        ],
    );
    check(
        "to = \"stout\"\nfile = \"\"\nrotate = \"weekly\"\nmax_bytes = 4096\nkeep_days = 0\nkeep = 90",
        &[
            "c.toml:8:6: `decision_log.to`: expected one of `stdout`, `off`, found `stout`; did you mean `stdout`?",
            "c.toml:9:8: `decision_log.file`: expected a path, found an empty text",
            "c.toml:10:10: `decision_log.rotate`: expected one of `daily`, `never`, found `weekly`",
            "c.toml:11:13: `decision_log.max_bytes`: expected a whole number from 1048576 to 1099511627776, found 4096",
            "c.toml:12:13: `decision_log.keep_days`: expected a whole number from 1 to 36500, found 0",
            "c.toml:13:1: `decision_log.keep` is unknown (known here: `to`, `file`, `rotate`, `max_bytes`, `keep_days`, `keep_files`)",
        ],
    );
}

/// The good configuration with this `[audit_log]`.
fn with_audit_log(section: &str) -> String {
    with(
        "[client.gallery]",
        &format!("[audit_log]\n{section}\n[client.gallery]"),
    )
}

#[test]
fn who_did_what_is_written_down_beside_the_data_for_four_hundred_days_unless_told_otherwise() {
    let audit_log = |text: &str| good(text).audit_log;
    let default = LogFileSettings {
        path: "/etc/c/data/audit.jsonl".into(),
        rotate: Rotate::Daily,
        max_bytes: None,
        keep_days: Some(400),
        keep_files: None,
    };
    let by_default = AuditLogSettings::File(default.clone());
    assert_eq!(audit_log(GOOD), by_default);
    assert_eq!(audit_log(&with_audit_log("")), by_default);
    let told = "file = \"log/a.jsonl\"\nrotate = \"never\"\nmax_bytes = 1048576\nkeep_days = 7";
    let told = audit_log(&with_audit_log(told));
    let expected = LogFileSettings {
        path: "/etc/c/log/a.jsonl".into(),
        rotate: Rotate::Never,
        max_bytes: Some(1 << 20),
        keep_days: Some(7),
        ..default
    };
    assert_eq!(told, AuditLogSettings::File(expected));
    let off = good(&with_audit_log("to = \"off\""));
    assert_eq!(off.audit_log, AuditLogSettings::Off);
    assert_eq!(
        off.warnings.to_string(),
        "/etc/c/c.toml:8:6: `audit_log.to`: nobody will be able to say who changed what, nor to notice that somebody did; expected a file, which is the default"
    );
}

#[test]
fn an_audit_log_that_contradicts_itself_is_refused() {
    let check = |section: &str, expected: &[&str]| {
        check_around(&around(&with_audit_log(section)), expected);
    };
    check(
        "to = \"off\"\nfile = \"a.jsonl\"",
        &["c.toml:7:2: `audit_log`: has `to` and `file`; expected one of them"],
    );
    check(
        "to = \"off\"\nkeep_days = 7",
        &[
            "c.toml:9:13: `audit_log.keep_days`: is for a file, and nothing is written down; leave it out",
        ],
    );
    check(
        "rotate = \"never\"\nkeep_files = 3",
        &[
            "c.toml:9:14: `audit_log.keep_files`: nothing is rotated, so nothing is ever deleted; write `rotate = \"daily\"` or `max_bytes`, or leave it out",
        ],
    );
    check(
        "to = \"stdout\"\nkeep = 90",
        &[
            "c.toml:8:6: `audit_log.to`: expected one of `off`, found `stdout`",
            "c.toml:9:1: `audit_log.keep` is unknown (known here: `to`, `file`, `rotate`, `max_bytes`, `keep_days`, `keep_files`)",
        ],
    );
}

/// `GOOD` with these lines of `[traces]`.
fn with_traces(lines: &str) -> Fake {
    let text = GOOD.replace(
        "[client.gallery]",
        &format!("[traces]\n{lines}\n[client.gallery]"),
    );
    around(&text).with_file("/etc/c/key", "Bearer of-the-collector\n")
}

#[test]
fn traces_go_where_they_are_told_to_and_nowhere_otherwise() {
    assert!(good(GOOD).traces.is_none());
    let traces = |lines: &str| load_from(&with_traces(lines)).unwrap().traces.unwrap();
    let plain = traces("endpoint = \"http://127.0.0.1:4318\"");
    assert_eq!(plain.endpoint.as_str(), "http://127.0.0.1:4318/v1/traces");
    assert!(plain.headers.is_empty() && (plain.sample - 1.0).abs() < f64::EPSILON);
    let all = traces(
        "endpoint = \"https://otel.example/take?x=1\"\nsample = 0.25\nheaders = { Authorization = { file = \"key\" } }",
    );
    assert_eq!(all.endpoint.as_str(), "https://otel.example/take?x=1");
    assert!((all.sample - 0.25).abs() < f64::EPSILON);
    assert_eq!(all.headers["authorization"], "Bearer of-the-collector");
    assert!(!format!("{all:?}").contains("of-the-collector"));
}

#[test]
fn traces_that_can_go_nowhere_or_with_a_secret_in_plain_text_are_told_of() {
    let headers = "headers = { authorization = { file = \"key\" } }";
    let open = with_traces(&format!(
        "endpoint = \"http://otel.internal:4318\"\n{headers}"
    ));
    let warnings = load_from(&open).unwrap().warnings.to_string();
    assert!(warnings.contains("go there in plain text"), "{warnings}");
    check_around(
        &with_traces(
            "endpoint = \"otel:4317\"\nsample = 10\nheaders = { \"a b\" = { file = \"key\" }, x = \"y\" }\nprotocol = \"grpc\"",
        ),
        &[
            "c.toml:8:12: `traces.endpoint`: expected the address of an OTLP/HTTP collector, such as `http://127.0.0.1:4318`",
            "c.toml:9:10: `traces.sample`: expected a number from 0 to 1, found 10",
            "c.toml:10:13: `traces.headers.\"a b\"`: expected the name of a header, such as `authorization`",
            "c.toml:10:43: `traces.headers.x`: a secret does not stand in this file: put it into a file of its own and write `{ file = \"PATH\" }`, or into the environment and write `{ env = \"NAME\" }`",
            "c.toml:11:1: `traces.protocol` is unknown (known here: `endpoint`, `sample`, `headers`)",
        ],
    );
}

/// `GOOD` with these lines of `[webhook]`.
fn with_webhook(lines: &str) -> Fake {
    let text = GOOD.replace(
        "[client.gallery]",
        &format!("[webhook]\n{lines}\n[client.gallery]"),
    );
    around(&text)
        .with_file("/etc/c/hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        .with_file("/etc/c/short", "whsec_c2hvcnQ=")
}

#[test]
fn a_webhook_goes_by_tls_or_stays_on_this_machine_and_is_signed() {
    assert!(good(GOOD).settings.webhook.is_none());
    for url in [
        "https://registry.example/hook",
        "http://127.0.0.1:9000/hook",
    ] {
        let lines = format!("url = \"{url}\"\nsecret = {{ file = \"hook\" }}");
        let webhook = load_from(&with_webhook(&lines)).unwrap().settings.webhook;
        let webhook = webhook.expect("a webhook");
        assert_eq!(webhook.url.as_str(), url);
        assert!(!format!("{webhook:?}").contains("MfKQ"));
    }
    let expected = "expected an `https://` address, or a loopback one, without user and password";
    for url in [
        "http://registry.example/hook",
        "https://u:p@registry.example/",
        "hook",
        "ftp://127.0.0.1/",
    ] {
        check_around(
            &with_webhook(&format!("url = \"{url}\"\nsecret = {{ file = \"hook\" }}")),
            &[&format!("c.toml:8:7: `webhook.url`: {expected}")],
        );
    }
    check_around(
        &with_webhook(
            "url = \"https://registry.example/\"\nsecret = { file = \"short\" }\nevents = 1",
        ),
        &[
            "c.toml:9:1: `webhook.secret`: expected `whsec_` and 24 to 64 random bytes in base64: `echo whsec_$(openssl rand -base64 32)`",
            "c.toml:10:1: `webhook.events` is unknown (known here: `url`, `secret`)",
        ],
    );
}

/// A registry whose tools wait for a sign-in, at the end of the good configuration.
const REGISTRY: &str = r#"[registry.tools]
profile = "npm"
client = "gallery"
public_url = "https://npm.registry.example"
listen = "127.0.0.1:8081"
upstream = "http://127.0.0.1:4873"
"#;
const MAY_WAIT: &str = "grant_types = [\"authorization_code\", \"urn:ietf:params:oauth:grant-type:device_code\"]\nsecret =";

/// The good configuration with a registry, a part of which is replaced.
fn with_registry(part: &str, replacement: &str) -> Fake {
    assert!(REGISTRY.contains(part), "`{part}` is not there");
    let registry = REGISTRY.replacen(part, replacement, 1);
    around(&format!("{}{registry}", with("secret =", MAY_WAIT)))
}

#[test]
fn a_registry_is_stood_in_front_of_as_it_says() {
    let one = load_from(&with_registry("tools", "tools")).unwrap();
    let (name, registry) = one.settings.registries.first_key_value().unwrap();
    assert_eq!(name.as_str(), "tools");
    assert_eq!(registry.client.as_str(), "gallery");
    assert_eq!(
        registry.public_url.as_str(),
        "https://npm.registry.example/"
    );
    assert_eq!(one.registry_listeners[name].to_string(), "127.0.0.1:8081");
}

/// A proxy that asks hands it on.
#[test]
fn a_registry_knows_us_by_an_authorization_wherever_its_requests_come_from() {
    for part in [
        "client",
        "listen = \"127.0.0.1:8081\"\nupstream = \"http://127.0.0.1:4873\"\n",
    ] {
        let known = "upstream_authorization = { file = \"gallery\" }\n";
        let said = format!("{known}{}", if part == "client" { part } else { "" });
        let one = load_from(&with_registry(part, &said)).unwrap();
        let registry = one.settings.registries.values().next().unwrap();
        assert!(registry.upstream_authorization.is_some());
        assert_eq!(registry.upstream.is_some(), part == "client");
    }
}

#[test]
fn a_registry_s_mistakes_are_told_where_they_stand() {
    const QUERY: &str = "[registry.tools.override.credential]\nsources = [{ query = \"token\" }]\n";
    let cases = [
        (
            "listen = \"127.0.0.1:8081\"\n",
            "",
            "c.toml:27:11: `registry.tools.listen` is missing: an `upstream` is for requests that come there",
        ),
        (
            "127.0.0.1:8081",
            "127.0.0.1:8080",
            "c.toml:31:10: `registry.tools.listen`: is the address of `server.listen`; choose another port",
        ),
        (
            "\"gallery\"",
            "\"galery\"",
            "c.toml:29:10: `registry.tools.client`: there is no `[client.galery]`: the policy says by it who may use the registry's tools",
        ),
        (
            "\"npm\"",
            "\"npn\"",
            "c.toml:28:11: `registry.tools.profile`: expected one of `clojars`, `crates-io`, `docker`, `go-proxy`, `maven-central`, `npm`, `nuget`, `pypi`, `rubygems`, `swift-package-index`, or a file that ends in `.toml`",
        ),
        (
            "http://127.0.0.1:4873",
            "http://127.0.0.1:4873/npm",
            "c.toml:32:12: `registry.tools.upstream`: expected scheme, host and port such as `http://10.0.0.7:4873`, without path, query and user",
        ),
        (
            "upstream = \"http://127.0.0.1:4873\"\n",
            &format!("upstream = \"http://127.0.0.1:4873\"\n{QUERY}"),
            "c.toml:27:11: `registry.tools`: has an `upstream`, and its profile takes credentials in the query, with which requests are passed on",
        ),
        (
            "listen = \"127.0.0.1:8081\"\n",
            "listen = \"127.0.0.1:8081\"\ndocker = {}\n",
            "c.toml:27:11: `registry.tools`: has a `docker`, and its profile has no tokens of the registry's own",
        ),
    ];
    for (part, replacement, expected) in cases {
        check_around(&with_registry(part, replacement), &[expected]);
    }
}

#[test]
fn a_registry_s_tools_wait_where_its_client_may_let_them() {
    check_around(
        &around(&format!("{GOOD}{REGISTRY}")),
        &[
            "c.toml:26:11: `registry.tools`: its tools wait until somebody has signed in, and `[client.gallery]` has no `urn:ietf:params:oauth:grant-type:device_code` among its `grant_types`",
        ],
    );
    let text = format!("{GOOD}{}", REGISTRY.replace("npm\"", "pypi\""));
    let problems = load_from(&around(&text)).map_err(|problems| problems.replace("/etc/c/", ""));
    assert_eq!(problems.map(|one| one.settings.registries.len()), Ok(1));
}

#[test]
fn no_two_listeners_have_one_address() {
    let text = with(
        "listen = \"127.0.0.1:8080\"",
        "listen = \"127.0.0.1:8080\"\nprivate_listen = \"127.0.0.1:8082\"\nforward_auth_listen = \"127.0.0.1:8082\"",
    );
    check_around(
        &around(&text),
        &[
            "c.toml:6:23: `server.forward_auth_listen`: is the address of `server.private_listen`; choose another port",
        ],
    );
}
