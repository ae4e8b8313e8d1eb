use jiff::SignedDuration;
use proptest::prelude::*;

use super::proof::{ACR_NEVER, AMR_NEVER};
use super::*;
use crate::AccountId;

/// The file that is shipped, as it is shipped.
const SHIPPED: &str = include_str!("../../../../../config/policy.toml");

const TENANT: &str = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";

/// A policy with nothing wrong: the cases below change one part of it.
const GOOD: &str = r#"version = 1
[proof.microsoft]
acr = ["urn:microsoft:policies:mfa"]
[proof.github]
two_factor_authentication = true
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["session", "enrolment"]
[client.gallery]
tier = "browse"
"#;

/// Checks that a file has exactly these problems, written `LINE:COLUMN: message`.
fn check(text: &str, expected: &[&str]) {
    let problems = Policy::parse("policy.toml", text).expect_err("a wrong policy was read");
    let expected: Vec<String> = expected
        .iter()
        .map(|line| format!("policy.toml:{line}"))
        .collect();
    assert_eq!(problems.to_string(), expected.join("\n"), "{text}");
}

#[test]
fn who_may_map_a_tenant_is_no_role_that_everybody_has() {
    let with = |lines: &str| format!("{GOOD}[mapping]\n{lines}");
    let every = [
        (
            "b79fbf4d-3ef9-4689-8143-76b194e85509",
            "every member of a tenant has it",
        ),
        (
            "10dae51f-b6af-4016-8d66-8c2a99b929b3",
            "every guest of a tenant has it",
        ),
        (
            "2af84b1e-32c8-42b7-82bc-daa82404023b",
            "every restricted guest of a tenant has it",
        ),
    ];
    for (role, why) in every {
        let told = format!("16:16: `mapping.entra_roles`: this role shows no admin: {why}");
        check(&with(&format!("entra_roles = [\"{role}\"]")), &[&told]);
    }
    check(
        &with(
            "entra_roles = [\"Global Administrator\"]\nmax_membership_age = \"31d\"\nattests = \"all\"",
        ),
        &[
            "16:16: `mapping.entra_roles`: expected the template id of a directory role (a GUID in lower case)",
            "17:22: `mapping.max_membership_age`: expected at most `30d`: who has left would act for the organization so long",
            "18:11: `mapping.attests`: expected one of `none`, `mfa`, `phishing-resistant`, found `all`",
        ],
    );
    check(
        &with("entra_roles = []"),
        &["16:15: `mapping.entra_roles`: expected at least one value, found an empty list"],
    );
    let long = "x".repeat(129);
    let wrong = "expected the name of a role: at most 128 printable ASCII characters";
    for role in ["", " owner", "a\\nb", "r\u{f4}le", &long] {
        let told = format!("16:10: `mapping.roles`: {wrong}");
        check(&with(&format!("roles = [\"{role}\"]")), &[&told]);
    }
    let named = Policy::parse("policy.toml", &with("roles = [\"owner\", \"reader\"]"));
    let roles = named.unwrap().mapping().roles.clone();
    assert_eq!(roles, ["owner".to_owned(), "reader".to_owned()].into());
    let usual = Policy::parse("policy.toml", GOOD).unwrap();
    assert_eq!(*usual.mapping(), MappingRule::default());
}

#[test]
fn operators_are_accounts_and_what_they_may_needs_a_second_factor() {
    let scopes = "\"packages:publish\", \"operator:read\", \"operator:write\"";
    let listing = GOOD.replace("\"packages:publish\"", scopes);
    let named = format!("{listing}[operators]\naccounts = [\"acct_1\"]\n");
    let read = policy(&named);
    assert!(read.is_operator(&AccountId::new("acct_1").unwrap()));
    assert!(!read.is_operator(&AccountId::new("acct_2").unwrap()));
    let told = |text: &str| {
        let all = warnings(text).into_iter();
        all.filter(|one| one.contains("operator"))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&named), Vec::<String>::new());
    assert_eq!(
        told(&listing),
        [
            "p:9:7: `tier.publish`: lists `operator:read`, which nobody can have: `[operators]` names no account, and no client has it as its own"
        ]
    );
    assert_eq!(
        told(&format!("{GOOD}[operators]\naccounts = [\"acct_1\"]\n")),
        [
            "p:15:2: `operators`: no tier lists `operator:read` or `operator:write`: operators can do nothing"
        ]
    );
    let in_browse = GOOD.replace("\"packages:read\"", "\"operator:read\"");
    check(
        &in_browse,
        &[
            "6:7: `tier.browse`: lists `operator:read`, which opens all accounts and organizations, and needs no second factor: move it to a tier that does",
        ],
    );
    for (lines, told) in [
        ("", "15:2: `operators.accounts` is missing"),
        (
            "accounts = []",
            "16:12: `operators.accounts`: expected at least one value, found an empty list",
        ),
        (
            "accounts = [\"ann@registry.example\"]",
            "16:13: `operators.accounts`: `ann@registry.example` is not an account id",
        ),
    ] {
        let text = format!("{GOOD}[operators]\n{lines}");
        let problems = Policy::parse("policy.toml", &text).unwrap_err().to_string();
        assert!(
            problems.starts_with(&format!("policy.toml:{told}")),
            "{problems}"
        );
    }
}

#[test]
fn what_a_client_has_as_its_own_is_listed_and_told_where_people_need_more() {
    let with = |scopes: &str| {
        let own = format!("tier = \"browse\"\nown_scopes = [{scopes}]");
        GOOD.replace("tier = \"browse\"", &own)
    };
    check(
        &with("\"packages:read\", \"packages:reed\""),
        &["15:32: `client.gallery.own_scopes`: no tier lists this scope"],
    );
    let loaded = Policy::load(
        "policy.toml",
        &with("\"packages:publish\""),
        Installation::default(),
    );
    let warned: Vec<String> = loaded
        .unwrap()
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = "people need a second factor for it (`tier.publish`), and this client gets it without any person";
    assert!(
        warned.iter().any(|one| one.ends_with(expected)),
        "{warned:?}"
    );
}

/// Checks the good policy with one part replaced.
fn check_with(part: &str, replacement: &str, expected: &[&str]) {
    assert!(GOOD.contains(part), "`{part}` is not in the good policy");
    check(&GOOD.replace(part, replacement), expected);
}

fn policy(text: &str) -> Policy {
    Policy::parse("policy.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn providers(providers: &[(&str, ProviderKind)]) -> BTreeMap<ProviderId, ProviderKind> {
    let named = |(name, kind): &(&str, _)| (ProviderId::new(*name).unwrap(), *kind);
    providers.iter().map(named).collect()
}

/// Reads a policy for an installation.
fn for_installation(
    text: &str,
    providers: &BTreeMap<ProviderId, ProviderKind>,
    clients: &BTreeSet<ClientId>,
) -> Result<Policy, Problems> {
    let installation = Installation {
        providers: Some(providers),
        clients: Some(clients),
        today: None,
    };
    Policy::load("policy.toml", text, installation).map(|loaded| loaded.policy)
}

fn clients(names: &[&str]) -> BTreeSet<ClientId> {
    names
        .iter()
        .map(|name| ClientId::new(*name).unwrap())
        .collect()
}

#[test]
fn the_shipped_policy_loads() {
    let providers = providers(&[
        ("microsoft", ProviderKind::MicrosoftAccount),
        ("entra", ProviderKind::Entra),
        ("github", ProviderKind::GitHub),
    ]);
    let policy = for_installation(SHIPPED, &providers, &clients(&["gallery"])).unwrap();

    let tiers: Vec<&str> = policy.tiers.keys().map(String::as_str).collect();
    assert_eq!(tiers, ["administer", "browse", "manage", "publish"]);
    assert_eq!(
        policy.clients[&ClientId::new("gallery").unwrap()].tier,
        "manage"
    );
    let providers: Vec<&str> = policy.providers().map(ProviderId::as_str).collect();
    assert_eq!(providers, ["entra", "github", "microsoft"]);
}

#[test]
fn the_shipped_policy_asks_no_auth_time_of_providers_that_give_none() {
    let policy = policy(SHIPPED);
    for (name, tier) in &policy.tiers {
        assert_eq!(tier.requirement.max_age, None, "tier {name}");
    }
    assert_eq!(
        policy.tiers["publish"].requirement.max_evidence_age,
        Some(SignedDuration::from_hours(12))
    );
}

#[test]
fn what_is_commented_out_in_the_shipped_policy_loads_too() {
    let text: String = SHIPPED
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_ne!(text, SHIPPED);
    let policy = policy(&text);
    assert!(policy.proofs.values().any(|rule| !rule.tenants.is_empty()));
    assert!(!policy.methods.phishing_resistant_acr.is_empty());
}

#[test]
fn every_part_of_a_policy_is_read() {
    let text = format!(
        r#"version = 1
[proof.okta]
acr = ["phr", "urn:okta:loa:2fa:any"]
amr = ["mfa"]
[proof.entra.tenant."{TENANT}"]
acrs = {{ c1 = "mfa", c99 = "phishing-resistant" }}
[proof.github]
two_factor_authentication = true
[methods]
never = ["sms", "tel"]
phishing_resistant = {{ acr = ["phr", "phrh"] }}
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[tier.administer]
scopes = ["tenants:write"]
needs = "phishing-resistant"
accepts = ["session", "tenant"]
max_age = "15m"
max_evidence_age = "30s"
[client."crates.io_web"]
tier = "administer"
"#
    );
    let policy = policy(&text);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();

    let okta = policy.proof(&ProviderId::new("okta").unwrap());
    assert_eq!(okta.acr, words(&["phr", "urn:okta:loa:2fa:any"]));
    assert_eq!(okta.amr, words(&["mfa"]));
    let entra = policy.proof(&ProviderId::new("entra").unwrap());
    let contexts = &entra.tenants[&TenantId::new(TENANT).unwrap()];
    assert_eq!(contexts["c1"], Level::Mfa);
    assert_eq!(contexts["c99"], Level::PhishingResistant);
    let github = policy.proof(&ProviderId::new("github").unwrap());
    assert!(github.two_factor_authentication);
    assert_eq!(policy.methods.never, words(&["sms", "tel"]));
    assert_eq!(
        policy.methods.phishing_resistant_acr,
        words(&["phr", "phrh"])
    );
    assert_eq!(
        policy.tiers["administer"].requirement,
        Requirement {
            level: Level::PhishingResistant,
            accepts: [Basis::Session, Basis::Tenant].into(),
            max_age: Some(SignedDuration::from_mins(15)),
            max_evidence_age: Some(SignedDuration::from_secs(30)),
            verified_email: false,
            fresh_at_use: false,
        }
    );
    assert_eq!(policy.tiers["browse"].requirement.level, Level::None);
    assert_eq!(
        policy.client_tier(&ClientId::new("crates.io_web").unwrap()),
        Some(&"administer".to_owned())
    );
}

#[test]
fn an_empty_file_is_told_what_it_lacks() {
    check(
        "",
        &[
            "1:1: `client` is missing",
            "1:1: `tier` is missing",
            "1:1: `version` is missing",
        ],
    );
}

#[test]
fn a_policy_without_a_tier_or_a_client_is_refused() {
    check(
        "version = 1\n[tier]\n[client]\n",
        &[
            "2:2: `tier`: expected at least one entry, found none",
            "3:2: `client`: expected at least one entry, found none",
        ],
    );
}

#[test]
fn another_version_is_refused() {
    check_with(
        "version = 1",
        "version = 2",
        &["1:11: `version`: expected 1, the only version there is, found 2"],
    );
    check_with(
        "version = 1",
        "version = '1'",
        &["1:11: `version`: expected a whole number, found a string"],
    );
}

#[test]
fn a_key_that_is_not_known_is_refused_in_every_table() {
    check(
        &format!(
            "{GOOD}{}",
            r#"verified_email = true
[calender]
[calendar]
new_accounts_from = 2027-03-08
before_due = "remind"
existing = {}
[[exception]]
[proof.okta]
preset = "okta"
levl = "mfa"
[proof.entra.tenant."6e93a626-8aca-4dc1-9191-ce291b4b75a1"]
acrs = { c1 = "mfa" }
acr = []
[methods]
nevr = ["sms"]
phishing_resistant = { acr = ["phr"], amr = ["hwk"] }
[tier.manage]
scopes = []
need = "mfa"
needs = "none"
"#
        ),
        &[
            "15:1: `client.gallery.verified_email` is unknown (known here: `tier`, `stricter`, `providers`, `own_scopes`)",
            "16:2: `calender` is unknown; did you mean `calendar`? (known here: `version`, `proof`, `methods`, `calendar`, `tier`, `client`, `organization`, `mapping`, `operators`, `exception`, `api_keys`, `lifetimes`)",
            "20:1: `calendar.existing` is unknown (known here: `new_accounts_from`, `existing_accounts`, `before_due`, `ratchet`)",
            "21:1: `exception`: expected a table with a name, `[exception.NAME]`: tokens and the decision log carry it",
            "24:1: `proof.okta.levl` is unknown; did you mean `level`? (known here: `preset`, `acr`, `amr`, `when`, `level`, `two_factor_authentication`, `tenant`)",
            "27:1: `proof.entra.tenant.6e93a626-8aca-4dc1-9191-ce291b4b75a1.acr` is unknown; did you mean `acrs`? (known here: `acrs`)",
            "29:1: `methods.nevr` is unknown; did you mean `never`? (known here: `never`, `phishing_resistant`)",
            "30:39: `methods.phishing_resistant.amr` is unknown; did you mean `acr`? (known here: `acr`)",
            "33:1: `tier.manage.need` is unknown; did you mean `needs`? (known here: `scopes`, `needs`, `accepts`, `max_age`, `max_evidence_age`, `verified_email`, `fresh_at_use`)",
        ],
    );
}

#[test]
fn dates_and_periods_must_make_sense() {
    check(
        &format!(
            "{GOOD}{}",
            r#"[calendar]
new_accounts_from = 2027-03-08
existing_accounts = { from = 2027-03-01, until = 2027-05-08 }
before_due = "warn"
[exception.bank]
organization = "contoso"
account = "acct_1"
reason = " "
approved_by = "security@registry.example"
until = "2027-09-30"
waives = []
[exception.nobody]
reason = "x"
approved_by = "y"
until = 2027-09-30T00:00:00Z
waives = ["pubish"]
[api_keys]
max_days = 0
accepts = ["sessions"]
sunset = { announced = 2027-06-01, without_mfa_context_expire = 2027-06-30 }
[lifetimes]
code = "11m"
session = { idle = "2h" }
"#
        ),
        &[
            "17:1: `calendar.existing_accounts`: existing accounts would have to before new ones: `from` is 2027-03-01, and `new_accounts_from` is 2027-03-08",
            "18:14: `calendar.before_due`: expected one of `remind`, `limit`, found `warn`",
            "19:12: `exception.bank`: has both `organization` and `account`; write one exception for each",
            "22:10: `exception.bank.reason`: expected some words, found none",
            "24:9: `exception.bank.until`: expected a date such as 2027-03-08, without quotes, found a string",
            "25:10: `exception.bank.waives`: expected at least one value, found an empty list",
            "26:12: `exception.nobody.organization` is missing (or `account`): whom is it for?",
            "29:9: `exception.nobody.until`: expected a date from 2000-01-01 to 2199-12-31 without a time (days begin at 00:00 UTC), found 2027-09-30T00:00:00Z",
            "30:11: `exception.nobody.waives`: no tier of this name; did you mean `publish`? (known here: `browse`, `publish`)",
            "32:12: `api_keys.max_days`: expected a whole number from 1 to 3650, found 0",
            "33:12: `api_keys.accepts`: expected one of `session`, `enrolment`, `tenant`, found `sessions`; did you mean `session`?",
            "34:1: `api_keys.sunset`: expected at least 30 days between `announced` and `without_mfa_context_expire`, found 29",
            "36:8: `lifetimes.code`: expected at most 10m",
            "37:1: `lifetimes.session.absolute` is missing",
        ],
    );
}

#[test]
fn whoever_does_not_come_is_forgotten_when_the_policy_says_so_and_not_soon() {
    let with = |age: &str| format!("{GOOD}[lifetimes]\nunused_account = \"{age}\"\n");
    assert_eq!(policy(GOOD).lifetimes().unused_account, None);
    let kept = policy(&with("90d")).lifetimes().unused_account;
    assert_eq!(kept.map(|kept| kept.as_hours()), Some(90 * 24));
    let text = with("89d");
    let place = text.lines().count();
    let problem = format!(
        "{place}:18: `lifetimes.unused_account`: expected at least `90d`: who comes back later begins anew, and is nobody's admin any more"
    );
    check(&text, &[&problem]);
}

#[test]
fn a_session_lives_longer_unused_than_its_tokens_and_no_longer_than_itself() {
    let with = |session: &str| format!("{GOOD}[lifetimes]\ntoken = \"1h\"\nsession = {session}\n");
    let hours = |session: &str| {
        let policy = policy(&with(session));
        let lifetimes = policy.lifetimes();
        (
            lifetimes.session.as_hours(),
            lifetimes.session_idle.as_hours(),
        )
    };
    assert_eq!(hours(r#"{ absolute = "12h" }"#), (12, 2));
    assert_eq!(hours(r#"{ absolute = "1h" }"#), (1, 1));
    assert_eq!(hours(r#"{ absolute = "8h", idle = "8h" }"#), (8, 8));
    for (session, expected) in [
        (
            r#"{ absolute = "8h", idle = "9h" }"#,
            "is longer than `absolute`, at which a session ends anyway",
        ),
        (
            r#"{ absolute = "8h", idle = "1h" }"#,
            "is not longer than `lifetimes.token` and `lifetimes.code`: a client that refreshes when its token ends would come too late",
        ),
    ] {
        let text = with(session);
        let place = text.lines().count();
        let problem = format!("{place}:37: `lifetimes.session.idle`: {expected}");
        check(&text, &[&problem]);
    }
}

#[test]
fn for_some_a_tier_can_only_be_stricter() {
    let text = GOOD.replace(
        r#"accepts = ["session", "enrolment"]"#,
        "accepts = [\"session\", \"enrolment\"]\nmax_evidence_age = \"12h\"\nverified_email = true",
    );
    check(
        &format!(
            "{text}{}",
            r#"[organization.contoso]
tenants = ["9188040d-6c67-4c5b-b112-36a304b66dad"]
stricter.publish = { needs = "none", accepts = ["tenant"], max_evidence_age = "13h", verified_email = false }
stricter.browse = { needs = "mfa" }
stricter.pubish = { needs = "mfa" }
[client.web]
tier = "browse"
stricter.publish = {}
"#
        ),
        &[
            "18:12: `organization.contoso.tenants`: this is the tenant of all personal accounts, which is no organization's",
            "19:30: `organization.contoso.stricter.publish.needs`: is weaker than what the tier needs of everybody; it can only be stricter here (an `[exception.NAME]` waives)",
            "19:48: `organization.contoso.stricter.publish.accepts`: is weaker than what the tier needs of everybody; it can only be stricter here (an `[exception.NAME]` waives)",
            "19:79: `organization.contoso.stricter.publish.max_evidence_age`: is weaker than what the tier needs of everybody; it can only be stricter here (an `[exception.NAME]` waives)",
            "19:103: `organization.contoso.stricter.publish.verified_email`: is weaker than what the tier needs of everybody; it can only be stricter here (an `[exception.NAME]` waives)",
            "20:10: `organization.contoso.stricter.browse.accepts` is missing; where `needs` is not `none` it says which of `session`, `enrolment`, `tenant` count",
            "21:10: `organization.contoso.stricter.pubish`: no tier of this name; did you mean `publish`? (known here: `browse`, `publish`)",
            "24:10: `client.web.stricter.publish`: is empty; leave it out, or say what is stricter",
        ],
    );
}

#[test]
fn what_is_not_written_of_a_stricter_tier_is_as_it_is_for_everybody() {
    let text = format!(
        "{GOOD}[organization.contoso]\nstricter.publish = {{ accepts = [\"session\"], max_evidence_age = \"1h\" }}\n"
    );
    let policy = policy(&text);
    let contoso = &policy.organizations[&OrganizationId::new("contoso").unwrap()];
    let everybody = &policy.tiers["publish"].requirement;
    let stricter = &contoso.stricter["publish"];
    assert_eq!(stricter.level, Level::Mfa);
    assert_eq!(stricter.accepts, BTreeSet::from([Basis::Session]));
    assert_eq!(
        stricter.max_evidence_age,
        Some(SignedDuration::from_hours(1))
    );
    assert!(stricter.is_as_strict_as(everybody) && !everybody.is_as_strict_as(stricter));
}

#[test]
fn a_preset_stands_for_what_its_vendor_sends_and_the_file_has_the_last_word() {
    let text = GOOD.replace(
        "[tier.browse]",
        "[proof.okta]\npreset = \"okta\"\n[proof.second]\npreset = \"okta\"\namr = [\"hwk\"]\n[tier.browse]",
    );
    let policy = policy(&text);
    let rule = |name: &str| policy.proof(&ProviderId::new(name).unwrap());
    assert!(rule("okta").acr.contains("urn:okta:loa:2fa:any"));
    assert!(rule("okta").amr.contains("mfa") && rule("okta").resistant_acr.contains("phr"));
    assert!(rule("second").acr.contains("urn:okta:loa:2fa:any"));
    assert_eq!(rule("second").amr, BTreeSet::from(["hwk".to_owned()]));
}

#[test]
fn a_preset_is_held_to_its_vendor() {
    let with = |lines: &str| {
        GOOD.replace(
            "[tier.browse]",
            &format!("[proof.idp]\n{lines}\n[tier.browse]"),
        )
    };
    check(
        &with(r#"preset = "octa""#),
        &[
            "7:10: `proof.idp.preset`: no preset of this name; did you mean `okta`? (there are: `adfs`, `auth0`, `authelia`, `authentik`, `cognito`, `entra`, `github`, `gitlab`, `google`, `keycloak`, `microsoft-account`, `okta`, `pingone`, `zitadel`)",
        ],
    );
    check(
        &with("preset = \"keycloak\"\nacr = [\"0\", \"1\"]"),
        &[
            "8:8: `proof.idp.acr`: `0` proves no second factor: Keycloak sends it for a login from a cookie, and OpenID Connect for one below every level",
            "8:13: `proof.idp.acr`: `1` proves no second factor: Keycloak sends it for any login where no level is configured, and its guide gives it to a password",
        ],
    );
    let problems = Policy::parse("policy.toml", &with(r#"preset = "keycloak""#)).unwrap_err();
    assert!(
        problems.to_string().starts_with("policy.toml:7:10: `proof.idp.preset`: needs `acr` or `amr` or `when` beside it: write the names of the levels"),
        "{problems}"
    );
}

#[test]
fn an_expression_is_checked_where_it_stands() {
    let with = |lines: &str| {
        GOOD.replace(
            "[tier.browse]",
            &format!("[proof.idp]\n{lines}\n[tier.browse]"),
        )
    };
    let good = policy(&with(
        "when = 'claims.acr == \"gold\" && claims.department == \"x\"'\nlevel = \"mfa\"",
    ));
    let idp = ProviderId::new("idp").unwrap();
    assert_eq!(
        good.claims_read(&idp),
        BTreeSet::from(["department".to_owned()])
    );
    check(
        &with("when = 'claims.acr == \"gold\"'"),
        &[
            "6:8: `proof.idp.level` is missing; it says what `when` proves: `mfa` or `phishing-resistant`",
        ],
    );
    check(
        &with("acr = [\"gold\"]\nlevel = \"mfa\""),
        &["8:9: `proof.idp.level`: has no meaning without `when`; leave it out"],
    );
    for (expression, column) in [
        ("clims.acr == 'x'", 9),
        ("claims.acr == 'x' && claims.email == 'y'", 37),
    ] {
        let problems = Policy::parse(
            "policy.toml",
            &with(&format!("when = \"{expression}\"\nlevel = \"mfa\"")),
        )
        .unwrap_err();
        assert!(
            problems
                .to_string()
                .starts_with(&format!("policy.toml:7:{column}: `proof.idp.when`: ")),
            "{problems}"
        );
    }
}

/// What is wrong with this proof of the provider `idp`; nothing where it loads.
fn proof_problems(lines: &str) -> String {
    let proof = format!("[proof.idp]\n{lines}\n[tier.browse]");
    let text = GOOD.replace("[tier.browse]", &proof);
    match Policy::parse("policy.toml", &text) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn an_expression_counts_no_login_that_the_other_keys_may_not_count() {
    let when = |preset: &str, expression: &str, level: &str| {
        proof_problems(&format!(
            "preset = \"{preset}\"\nwhen = '{expression}'\nlevel = \"{level}\""
        ))
    };
    let starts = |found: String, expected: &str| {
        let place = "policy.toml:8:9: `proof.idp.when`: is true ";
        assert!(found.starts_with(&format!("{place}{expected}")), "{found}");
    };
    starts(
        when("authentik", r#""sc" in claims.amr"#, "mfa"),
        "where `amr` is `sc`, which proves no second factor: ",
    );
    starts(
        when("okta", r#""swk" in claims.amr"#, "mfa"),
        "of a login at Okta that shows no second factor (a push approved on a phone, and nothing else): \
         `{\"amr\":[\"okta_verify\",\"swk\"]}`",
    );
    starts(
        when("okta", r#""mfa" in claims.amr"#, "phishing-resistant"),
        "of a login at Okta that shows no more than `mfa` (",
    );
    let any = r#"claims.acr == "urn:okta:loa:2fa:any""#;
    starts(
        when("okta", any, "phishing-resistant"),
        "where `acr` is `urn:okta:loa:2fa:any`, which proves a second factor of any kind, not one that \
         resists phishing",
    );
    assert_eq!(when("okta", any, "mfa"), "");
    // What was recorded beside values of one operator's own says nothing of another's.
    assert_eq!(when("keycloak", r#"claims.acr == "silver""#, "mfa"), "");
}

/// What the preset's own words recommend must load.
#[test]
fn an_operator_may_take_a_login_for_what_its_recording_may_show() {
    let recipe = r#"when = '"pop" in claims.amr && "pin" in claims.amr'"#;
    for level in ["mfa", "phishing-resistant"] {
        let lines = format!("preset = \"authelia\"\n{recipe}\nlevel = \"{level}\"");
        assert_eq!(proof_problems(&lines), "");
    }
}

#[test]
fn an_expression_names_no_claim_that_its_provider_never_sends() {
    for (kind, claim) in [
        (ProviderKind::Entra, "amr"),
        (ProviderKind::MicrosoftAccount, "amr"),
        (ProviderKind::Oidc, "two_factor_authentication"),
    ] {
        let proof = format!(
            "[proof.idp]\nwhen = 'claims.acr == \"x\" && !has(claims.{claim})'\nlevel = \"mfa\"\n[tier.browse]"
        );
        let text = GOOD.replace("[tier.browse]", &proof);
        let providers = providers(&[
            ("idp", kind),
            ("microsoft", ProviderKind::MicrosoftAccount),
            ("github", ProviderKind::GitHub),
        ]);
        let clients = BTreeSet::from([ClientId::new("gallery").unwrap()]);
        let problems = for_installation(&text, &providers, &clients).unwrap_err();
        let place = "policy.toml:7:8: `proof.idp.when`: ";
        let problems = problems.to_string();
        assert!(problems.starts_with(place), "{kind:?}: {problems}");
    }
}

/// What is warned of in a policy for an installation, as `LINE:COLUMN: message`.
fn warnings(text: &str) -> Vec<String> {
    let providers = providers(&[
        ("microsoft", ProviderKind::MicrosoftAccount),
        ("github", ProviderKind::GitHub),
        ("idp", ProviderKind::Oidc),
    ]);
    let clients = clients(&["gallery"]);
    let installation = Installation {
        providers: Some(&providers),
        clients: Some(&clients),
        today: Some(jiff::civil::date(2027, 9, 20)),
    };
    let loaded =
        Policy::load("p", text, installation).unwrap_or_else(|problems| panic!("{problems}"));
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_allowed_and_likely_wrong_is_warned_of() {
    let text = GOOD
        .replace(
            "[tier.browse]",
            "[proof.idp]\namr = [\"otp\"]\n[methods]\nnever = [\"sms\"]\n[tier.browse]",
        )
        .replace(
            "needs = \"none\"",
            "needs = \"none\"\n[tier.idle]\nscopes = []\nneeds = \"none\"",
        )
        .replace(
            "accepts = [\"session\", \"enrolment\"]",
            "accepts = [\"session\", \"enrolment\"]\nmax_age = \"5m\"",
        );
    let exceptions = r#"[exception.past]
account = "acct_1"
reason = "x"
approved_by = "y"
until = 2027-09-19
waives = ["publish", "browse"]
[exception.ending]
account = "acct_1"
reason = "x"
approved_by = "y"
until = 2027-09-30
waives = ["publish"]
"#;
    assert_eq!(
        warnings(&format!("{text}{exceptions}")),
        [
            "p:7:8: `proof.idp.amr`: `otp` names one method, which may have been the only factor of the login; `mfa` says that there were two",
            "p:9:9: `methods.never`: can't be seen of logins at `github`, `microsoft`, which send no `amr`",
            "p:13:7: `tier.idle`: has no scopes, and no client signs in with it: nobody will ask for it",
            "p:18:9: `tier.publish.needs`: nobody who signs in at `github`, `microsoft` can meet it; `max_age` needs an `auth_time`, which not every provider gives",
            "p:27:9: `exception.past.until`: is past: this exception no longer holds; remove it",
            "p:28:22: `exception.past.waives`: needs no second factor, so that there is nothing to waive",
            "p:33:9: `exception.ending.until`: this exception ends within 14 days: whom it is for will then be held to the tiers again (today is 2027-09-20)",
        ]
    );
    let quiet = GOOD.replace(
        "[tier.browse]",
        "[proof.idp]\namr = [\"mfa\"]\n[tier.browse]",
    );
    assert!(warnings(&quiet).is_empty());
}

#[test]
fn every_mistake_is_told_at_once() {
    check(
        r#"version = 1
[proof.microsoft]
acr = "urn:microsoft:policies:mfa"
[proof.Okta]
amr = ["mfa", 2]
[tier.manage]
scopes = ["packages:manage", "two words"]
needs = "MFA"
accepts = ["session", "enrollment"]
[tier.publish]
needs = "mfa"
max_age = "soon"
[client.gallery]
tier = "mange"
"#,
        &[
            "3:7: `proof.microsoft.acr`: expected a list, found a string",
            "4:8: `proof.Okta`: `Okta` is not a name of 1 to 64 lower-case letters, digits and `-`",
            "5:15: `proof.Okta.amr`: expected a string, found a whole number",
            "7:30: `tier.manage.scopes`: `two words` is not a scope (RFC 6749 3.3: printable ASCII without space, `\"` and `\\`)",
            "8:9: `tier.manage.needs`: expected one of `none`, `mfa`, `phishing-resistant`, found `MFA`",
            "9:23: `tier.manage.accepts`: expected one of `session`, `enrolment`, `tenant`, found `enrollment`; did you mean `enrolment`?",
            "10:7: `tier.publish.scopes` is missing",
            "12:11: `tier.publish.max_age`: expected a length of time such as \"10s\", \"15m\", \"12h\" or \"30d\" (a whole number from 1 and one unit: ms, s, m, h, d), found `soon`",
            "14:8: `client.gallery.tier`: no tier of this name; did you mean `manage`? (known here: `manage`, `publish`)",
        ],
    );
}

#[test]
fn a_scope_is_in_one_tier_once() {
    check_with(
        r#"["packages:publish"]"#,
        r#"["packages:read", "packages:publish", "packages:publish"]"#,
        &[
            "10:11: `tier.publish.scopes`: `packages:read` is in `tier.browse` too, at policy.toml:7:11; a scope is in one tier, once",
            "10:48: `tier.publish.scopes`: `packages:publish` is in `tier.publish` too, at policy.toml:10:28; a scope is in one tier, once",
        ],
    );
}

#[test]
fn openid_is_in_no_tier() {
    check_with(
        r#"["packages:read"]"#,
        r#"["openid", "packages:read"]"#,
        &[
            "7:11: `tier.browse.scopes`: `openid` belongs to the protocol, not to a tier; leave it out",
        ],
    );
}

#[test]
fn a_tier_that_needs_proof_says_which_bases_count() {
    check_with(
        "accepts = [\"session\", \"enrolment\"]\n",
        "",
        &[
            "9:7: `tier.publish.accepts` is missing; where `needs` is not `none` it says which of `session`, `enrolment`, `tenant` count",
        ],
    );
    check_with(
        r#"["session", "enrolment"]"#,
        "[]",
        &["12:11: `tier.publish.accepts`: expected at least one value, found an empty list"],
    );
    check_with(
        r#"["session", "enrolment"]"#,
        r#"["session", "session"]"#,
        &["12:23: `tier.publish.accepts`: repeats what stands at policy.toml:12:12"],
    );
}

#[test]
fn a_tier_that_needs_nothing_says_nothing_of_proof() {
    check_with(
        "needs = \"none\"\n",
        "needs = \"none\"\naccepts = [\"session\"]\nmax_age = \"1h\"\nmax_evidence_age = \"1h\"\n",
        &[
            "9:11: `tier.browse.accepts`: has no meaning where `needs` is `none`; leave it out",
            "10:11: `tier.browse.max_age`: has no meaning where `needs` is `none`; leave it out",
            "11:20: `tier.browse.max_evidence_age`: has no meaning where `needs` is `none`; leave it out",
        ],
    );
}

#[test]
fn a_tier_has_a_plain_name() {
    check_with(
        "[tier.browse]",
        "[tier.\"Browse it\"]",
        &[
            "6:7: `tier.\"Browse it\"`: expected a name of 1 to 64 lower-case letters, digits and `-`",
            "14:8: `client.gallery.tier`: no tier of this name (known here: `Browse it`, `publish`)",
        ],
    );
}

#[test]
fn what_proves_nothing_is_refused_as_proof() {
    let acr = |value: &str| format!("`proof.microsoft.acr`: `{value}` proves no second factor:");
    for (value, why) in ACR_NEVER {
        let expected = format!("3:8: {} {why}", acr(value));
        check_with(
            "[\"urn:microsoft:policies:mfa\"]",
            &format!("[\"{value}\", \"urn:microsoft:policies:mfa\"]"),
            &[&expected],
        );
    }
    for (value, why) in AMR_NEVER {
        let expected =
            format!("4:8: `proof.microsoft.amr`: `{value}` proves no second factor: {why}");
        check_with(
            "[proof.github]",
            &format!("amr = [\"{value}\"]\n[proof.github]"),
            &[&expected],
        );
    }
}

#[test]
fn a_proof_that_counts_nothing_is_refused() {
    check_with(
        "two_factor_authentication = true",
        "",
        &[
            "4:8: `proof.github`: is empty, so nothing would count; leave it out, or name what counts",
        ],
    );
    check_with(
        "two_factor_authentication = true",
        "two_factor_authentication = false",
        &[
            "5:29: `proof.github.two_factor_authentication`: `false` is what holds without it; leave it out",
        ],
    );
    check_with(
        r#"["urn:microsoft:policies:mfa"]"#,
        "[]\ntenant = {}",
        &[
            "3:7: `proof.microsoft.acr`: expected at least one value, found an empty list",
            "4:1: `proof.microsoft.tenant`: expected at least one entry, found none",
        ],
    );
}

#[test]
fn a_tenant_is_named_by_its_id_and_its_contexts_by_theirs() {
    let with_tenant = |text: &str| GOOD.replace("[tier.browse]", &format!("{text}\n[tier.browse]"));
    check(
        &with_tenant(
            r#"[proof.entra.tenant]
"6E93A626-8ACA-4DC1-9191-CE291B4B75A1" = { acrs = { c0 = "mfa", c100 = "mfa", C1 = "mfa", c01 = "mfa" } }
contoso = {}
"9188040d-6c67-4c5b-b112-36a304b66dad" = { acrs = { c1 = "mfa" } }
"6e93a626-8aca-4dc1-9191-ce291b4b75a1" = { acrs = { c1 = "none", c2 = 1 } }
"6e93a626-8aca-4dc1-9191-ce291b4b75a2" = { acrs = {} }"#,
        ),
        &[
            "7:1: `proof.entra.tenant.6E93A626-8ACA-4DC1-9191-CE291B4B75A1`: `6E93A626-8ACA-4DC1-9191-CE291B4B75A1` is not a tenant id (a GUID in lower case)",
            "7:53: `proof.entra.tenant.6E93A626-8ACA-4DC1-9191-CE291B4B75A1.acrs.c0`: expected the id of an authentication context, `c1` to `c99`",
            "7:65: `proof.entra.tenant.6E93A626-8ACA-4DC1-9191-CE291B4B75A1.acrs.c100`: expected the id of an authentication context, `c1` to `c99`",
            "7:79: `proof.entra.tenant.6E93A626-8ACA-4DC1-9191-CE291B4B75A1.acrs.C1`: expected the id of an authentication context, `c1` to `c99`",
            "7:91: `proof.entra.tenant.6E93A626-8ACA-4DC1-9191-CE291B4B75A1.acrs.c01`: expected the id of an authentication context, `c1` to `c99`",
            "8:1: `proof.entra.tenant.contoso.acrs` is missing",
            "8:1: `proof.entra.tenant.contoso`: `contoso` is not a tenant id (a GUID in lower case)",
            "9:1: `proof.entra.tenant.9188040d-6c67-4c5b-b112-36a304b66dad`: this is the tenant of personal accounts, which has no authentication contexts",
            "10:58: `proof.entra.tenant.6e93a626-8aca-4dc1-9191-ce291b4b75a1.acrs.c1`: expected one of `mfa`, `phishing-resistant`, found `none`",
            "10:71: `proof.entra.tenant.6e93a626-8aca-4dc1-9191-ce291b4b75a1.acrs.c2`: expected a string, found a whole number",
            "11:44: `proof.entra.tenant.6e93a626-8aca-4dc1-9191-ce291b4b75a2.acrs`: expected at least one entry, found none",
        ],
    );
}

#[test]
fn methods_do_not_contradict_what_counts() {
    check_with(
        "[proof.github]",
        "amr = [\"mfa\", \"sms\"]\n[methods]\nnever = [\"sms\"]\n[proof.github]",
        &["4:15: `proof.microsoft.amr`: `sms` is in `methods.never` too"],
    );
    check_with(
        "[tier.browse]",
        "[methods]\nnever = [\"mfa\", \"pwd\"]\nphishing_resistant = { acr = [\"0\", \"urn:microsoft:policies:mfa\"] }\n[tier.browse]",
        &[
            "7:10: `methods.never`: with `mfa` here, a login that proves a second factor is turned away too",
            "7:17: `methods.never`: with `pwd` here, a login that proves a second factor is turned away too",
            "8:31: `methods.phishing_resistant.acr`: `0` proves no second factor: Keycloak sends it for a login from a cookie, and OpenID Connect for one below every level",
            "8:36: `methods.phishing_resistant.acr`: `urn:microsoft:policies:mfa` proves a second factor of any kind, not one that resists phishing",
        ],
    );
}

#[test]
fn a_tier_that_no_proof_can_meet_is_refused() {
    let publish = "[\"session\", \"enrolment\"]";
    check_with(
        publish,
        "[\"tenant\"]",
        &[
            "11:9: `tier.publish.needs`: no proof in this file can meet it (`tenant`: no proof has a `tenant` whose `acrs` attest it, and `mapping.attests` lets no admin of a tenant)",
        ],
    );
    check_with(
        publish,
        "[\"enrolment\"]\nmax_age = \"1h\"",
        &[
            "11:9: `tier.publish.needs`: no proof in this file can meet it (`enrolment`: comes without the `auth_time` that `max_age` needs)",
        ],
    );
    check_with(
        "needs = \"mfa\"",
        "needs = \"phishing-resistant\"",
        &[
            "11:9: `tier.publish.needs`: no proof in this file can meet it (`session`: no proof's `acr` or `amr` can come with an `acr` of `methods.phishing_resistant`; `enrolment`: says nothing of phishing)",
        ],
    );
    check(
        "version = 1\n[tier.a]\nscopes = []\nneeds = 'mfa'\naccepts = ['session', 'enrolment']\n[client.a]\ntier = 'a'",
        &[
            "4:9: `tier.a.needs`: no proof in this file can meet it (`session`: no proof has `acr` or `amr`; `enrolment`: no proof has `two_factor_authentication = true`)",
        ],
    );
}

#[test]
fn a_tier_that_one_proof_can_meet_is_taken() {
    let tenant = |level: &str| {
        let proof =
            format!("[proof.entra.tenant.\"{TENANT}\"]\nacrs.c1 = \"{level}\"\n[proof.github]");
        GOOD.replace("[proof.github]", &proof)
            .replace("[\"session\", \"enrolment\"]", "[\"tenant\"]")
    };
    policy(&tenant("mfa"));
    let resistant =
        |text: String| text.replace("needs = \"mfa\"", "needs = \"phishing-resistant\"");
    policy(&resistant(tenant("phishing-resistant")));
    check(
        &resistant(tenant("mfa")),
        &[
            "13:9: `tier.publish.needs`: no proof in this file can meet it (`tenant`: no proof has a `tenant` whose `acrs` attest it, and `mapping.attests` lets no admin of a tenant)",
        ],
    );

    let methods = "[methods]\nphishing_resistant = { acr = [\"phr\"] }\n[tier.browse]";
    let text = resistant(GOOD.replace("[tier.browse]", methods));
    policy(&text.replace("[proof.github]", "amr = [\"mfa\"]\n[proof.github]"));
    policy(&text.replace("[\"urn:", "[\"phr\", \"urn:"));
}

#[test]
fn what_tenants_admins_may_attest_can_meet_a_tier() {
    let attested = |level: &str, attests: &str| {
        let text = GOOD
            .replace("[\"session\", \"enrolment\"]", "[\"tenant\"]")
            .replace("needs = \"mfa\"", &format!("needs = \"{level}\""));
        format!("{text}[mapping]\nattests = \"{attests}\"\n")
    };
    let hindered = "11:9: `tier.publish.needs`: no proof in this file can meet it (`tenant`: ";
    for (level, attests, is_met) in [
        ("mfa", "mfa", true),
        ("mfa", "phishing-resistant", true),
        ("phishing-resistant", "phishing-resistant", true),
        ("phishing-resistant", "mfa", false),
        ("mfa", "none", false),
    ] {
        let read = Policy::parse("policy.toml", &attested(level, attests));
        assert_eq!(read.is_ok(), is_met, "{level} by {attests}");
        if let Err(problems) = read {
            assert!(problems.to_string().contains(hindered), "{problems}");
        }
    }
    // Where the providers are known, one of them must have tenants; it needs no proof of its own.
    let text = attested("mfa", "mfa");
    let known = |more: ProviderKind| {
        let configured = providers(&[
            ("microsoft", ProviderKind::MicrosoftAccount),
            ("github", ProviderKind::GitHub),
            ("work", more),
        ]);
        for_installation(&text, &configured, &clients(&["gallery"]))
    };
    assert!(known(ProviderKind::Entra).is_ok());
    let problems = known(ProviderKind::Oidc).unwrap_err().to_string();
    let told = format!("policy.toml:{hindered}no provider has tenants whose admins attest it)");
    assert_eq!(problems, told);
}

#[test]
fn who_can_be_attested_for_by_a_tenants_admin_is_not_warned_of() {
    let text = GOOD.replace("\"enrolment\"]", "\"enrolment\", \"tenant\"]");
    let configured = providers(&[
        ("microsoft", ProviderKind::MicrosoftAccount),
        ("github", ProviderKind::GitHub),
        ("work", ProviderKind::Entra),
    ]);
    let clients = clients(&["gallery"]);
    let warned_of = |text: &str| {
        let installation = Installation {
            providers: Some(&configured),
            clients: Some(&clients),
            today: None,
        };
        let loaded = Policy::load("p", text, installation).unwrap_or_else(|all| panic!("{all}"));
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        warnings.collect::<Vec<String>>()
    };
    assert_eq!(
        warned_of(&text),
        ["p:11:9: `tier.publish.needs`: nobody who signs in at `work` can meet it"]
    );
    let none: [String; 0] = [];
    assert_eq!(
        warned_of(&format!("{text}[mapping]\nattests = \"mfa\"\n")),
        none
    );
}

#[test]
fn a_mistake_in_a_proof_does_not_make_a_tier_look_wrong() {
    check_with(
        "acr = [\"urn:microsoft:policies:mfa\"]\n[proof.github]\ntwo_factor_authentication = true",
        "acr = 1",
        &["3:7: `proof.microsoft.acr`: expected a list, found a whole number"],
    );
}

#[test]
fn broken_syntax_does_not_make_the_rest_look_wrong() {
    check_with(
        "[tier.publish]",
        "[tier.publish",
        &["9:14: unclosed table, expected `]`"],
    );
    check_with(
        "needs = \"none\"",
        "needs = none",
        &["8:9: this is no value; text stands in quotes"],
    );
    check_with(
        "[proof.github]",
        "[proof.microsoft]",
        &["4:8: duplicate key"],
    );
}

#[test]
fn what_the_policy_names_must_be_configured() {
    let configured = providers(&[
        ("microsoft", ProviderKind::MicrosoftAccount),
        ("git-hub", ProviderKind::GitHub),
    ]);
    let problems = for_installation(GOOD, &configured, &clients(&["web"])).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "policy.toml:4:8: `proof.github`: no provider of this name is configured; did you mean `git-hub`? (configured: `git-hub`, `microsoft`)\n\
         policy.toml:13:2: `client`: `web` is configured and not named here; say what signing in to it needs: `[client.web]` with its `tier`\n\
         policy.toml:13:9: `client.gallery`: no client of this name is configured (configured: `web`)"
    );

    let configured = providers(&[
        ("microsoft", ProviderKind::MicrosoftAccount),
        ("github", ProviderKind::GitHub),
        ("other", ProviderKind::Oidc),
    ]);
    let policy = for_installation(GOOD, &configured, &clients(&["gallery"]));
    assert_eq!(policy, Policy::parse("policy.toml", GOOD));
}

#[test]
fn a_proof_that_a_kind_of_provider_never_sends_is_a_mistake() {
    let text = format!(
        "{GOOD}
[proof.personal]
amr = [\"mfa\"]
tenant.\"{TENANT}\".acrs.c1 = \"mfa\"
[proof.work]
amr = [\"mfa\"]
two_factor_authentication = true
[proof.keycloak]
two_factor_authentication = true
tenant.\"{TENANT}\".acrs.c1 = \"mfa\"
[proof.enterprise]
acr = [\"gold\"]
amr = [\"mfa\"]
"
    );
    let configured = providers(&[
        ("microsoft", ProviderKind::MicrosoftAccount),
        ("personal", ProviderKind::MicrosoftAccount),
        ("work", ProviderKind::Entra),
        ("github", ProviderKind::GitHub),
        ("enterprise", ProviderKind::GitHub),
        ("keycloak", ProviderKind::Oidc),
    ]);
    let problems = for_installation(&text, &configured, &clients(&["gallery"])).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "policy.toml:17:7: `proof.personal.amr`: Microsoft's v2.0 tokens carry no `amr`; the proof is `acr`\n\
         policy.toml:18:1: `proof.personal.tenant`: only providers of the kind `entra` have tenants with authentication contexts\n\
         policy.toml:20:7: `proof.work.amr`: Microsoft's v2.0 tokens carry no `amr`; the proof is `acr`, or `tenant`\n\
         policy.toml:21:29: `proof.work.two_factor_authentication`: only providers of the kind `github` have this flag\n\
         policy.toml:23:29: `proof.keycloak.two_factor_authentication`: only providers of the kind `github` have this flag\n\
         policy.toml:24:1: `proof.keycloak.tenant`: only providers of the kind `entra` have tenants with authentication contexts\n\
         policy.toml:26:7: `proof.enterprise.acr`: GitHub sends neither `acr` nor `amr`; its proof is `two_factor_authentication = true`\n\
         policy.toml:27:7: `proof.enterprise.amr`: GitHub sends neither `acr` nor `amr`; its proof is `two_factor_authentication = true`"
    );
}

#[test]
fn line_ends_of_windows_change_nothing() {
    assert_eq!(policy(&GOOD.replace('\n', "\r\n")), policy(GOOD));
    assert_eq!(policy(&format!("\u{feff}{GOOD}")), policy(GOOD));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = Policy::parse("policy.toml", &text);
    }

    /// Cuts a piece out of the shipped policy and puts another in its place.
    #[test]
    fn no_edit_of_a_policy_makes_it_panic(
        start in 0..SHIPPED.len(),
        length in 0..200_usize,
        piece in "[\\[\\]{}=\"'.,#a-c0-9\n\r \u{e4}]{0,12}",
    ) {
        let before: String = SHIPPED.chars().take(start).collect();
        let after: String = SHIPPED.chars().skip(start + length).collect();
        let text = format!("{before}{piece}{after}");
        if let Err(problems) = Policy::parse("policy.toml", &text) {
            prop_assert!(!problems.is_empty());
            for problem in &problems {
                prop_assert!(problem.place.line <= text.lines().count() + 1, "{problem}");
            }
        }
    }
}

/// Each alone can be met: a client that wants the login itself to show it, and an organisation that wants its tenant's word.
#[test]
fn what_a_client_and_an_organization_make_impossible_together_is_warned_of_with_both_places() {
    let both = |client: &str, organization: &str| {
        format!(
            "{GOOD}stricter.publish.accepts = {client}\n[organization.contoso]\ntenants = [\"{TENANT}\"]\n\
             stricter.publish = {organization}\n"
        )
    };
    let of_pairs = |text: &str| -> Vec<String> {
        let loaded = Policy::load("policy.toml", text, Installation::default()).unwrap();
        let warnings = loaded.warnings.iter().map(ToString::to_string);
        warnings
            .filter(|one| one.contains("nobody can meet it who acts"))
            .collect()
    };
    let text = both("[\"session\"]", "{ accepts = [\"enrolment\"] }");
    assert_eq!(
        of_pairs(&text),
        [
            "policy.toml:15:10: `client.gallery.stricter.publish`: with `organization.contoso.stricter.publish`, at \
             policy.toml:18:10, nobody can meet it who acts for `contoso` (they accept no basis in common)"
        ]
    );
    let resistant = "[methods]\nphishing_resistant.acr = [\"phr\"]\n[proof.okta]\namr = [\"mfa\"]\n[tier.browse]";
    let text = both("[\"enrolment\"]", "{ needs = \"phishing-resistant\" }");
    let warned = of_pairs(&text.replace("[tier.browse]", resistant));
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].contains("(`enrolment`: says nothing of phishing)"),
        "{warned:?}"
    );
    assert_eq!(
        of_pairs(&both("[\"session\"]", "{ accepts = [\"session\"] }")),
        [""; 0]
    );
}

#[test]
fn being_fresh_at_every_use_needs_an_age_and_is_never_let_go_of() {
    let text = GOOD.replace(
        r#"accepts = ["session", "enrolment"]"#,
        "accepts = [\"session\", \"enrolment\"]\nmax_evidence_age = \"12h\"\nfresh_at_use = true",
    );
    let read = policy(&text);
    assert!(read.tiers["publish"].requirement.fresh_at_use);
    let place = text.lines().count() + 2;
    check(
        &format!("{text}[organization.contoso]\nstricter.publish = {{ fresh_at_use = false }}\n"),
        &[&format!(
            "{place}:37: `organization.contoso.stricter.publish.fresh_at_use`: is weaker than what the tier needs of everybody; it can only be stricter here (an `[exception.NAME]` waives)"
        )],
    );
    let place = GOOD.lines().count() + 5;
    check(
        &format!(
            "{GOOD}[tier.manage]\nscopes = [\"packages:manage\"]\nneeds = \"mfa\"\naccepts = [\"session\"]\n\
             fresh_at_use = true\n"
        ),
        &[&format!(
            "{place}:16: `tier.manage.fresh_at_use`: has no meaning without `max_age` or `max_evidence_age`"
        )],
    );
}
