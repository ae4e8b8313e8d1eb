use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    AccountFacts, AccountId, Basis, Claims, ClientId, Decision, Demands, ProviderId, Remedy, Scope,
    decide,
};

const TENANT: &str = "6e93a626-8aca-4dc1-9191-ce291b4b75a1";
const OTHER_TENANT: &str = "0f5cbd3c-6f8b-4a43-8b3c-0a4a4b1f3f10";

const POLICY: &str = r#"version = 1
[proof.entra]
acr = ["urn:mfa"]
[proof.entra.tenant."6e93a626-8aca-4dc1-9191-ce291b4b75a1"]
acrs = { c1 = "mfa", c9 = "phishing-resistant" }
[proof.github]
two_factor_authentication = true
[tier.browse]
scopes = ["packages:read"]
needs = "none"
[tier.publish]
scopes = ["packages:publish"]
needs = "mfa"
accepts = ["session", "tenant", "enrolment"]
[client.gallery]
tier = "browse"
[organization.strict]
stricter.publish.needs = "phishing-resistant"
[organization.filed]
tenants = ["0f5cbd3c-6f8b-4a43-8b3c-0a4a4b1f3f10"]
"#;

fn policy() -> Policy {
    Policy::parse("policy.toml", POLICY).unwrap_or_else(|all| panic!("{all}"))
}

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
}

fn tenant(id: &str) -> Source {
    Source::Tenant(TenantId::new(id).unwrap())
}

fn github(id: u64) -> Source {
    let host = "github.com".to_owned();
    Source::GitHubOrganization { host, id }
}

fn mapping(organization: &str, source: Source) -> Mapping {
    Mapping::new(OrganizationId::new(organization).unwrap(), source)
}

/// A login with MFA that comes from a tenant.
fn from_tenant(id: &str) -> Login {
    let claims = Claims {
        acr: Claim::Value("urn:mfa".to_owned()),
        ..Claims::default()
    };
    Login {
        tenant: Some(TenantId::new(id).unwrap()),
        claims,
        ..Login::new(ProviderId::new("entra").unwrap(), at(0))
    }
}

/// A login of a member of an organisation of GitHub's.
fn from_github(id: u64) -> Login {
    let claims = Claims {
        two_factor_authentication: Claim::Value(true),
        ..Claims::default()
    };
    Login {
        belongs: BTreeSet::from([github(id)]),
        claims,
        ..Login::new(ProviderId::new("github").unwrap(), at(0))
    }
}

fn facts(login: Login, asked: Option<&str>, mappings: Vec<Mapping>) -> Facts {
    let scopes = ["openid", "packages:read", "packages:publish"];
    Facts {
        client: ClientId::new("gallery").unwrap(),
        scopes: scopes.map(|one| Scope::new(one).unwrap()).into(),
        organization: asked.map(|id| OrganizationId::new(id).unwrap()),
        manages: None,
        mappings,
        waivers: Vec::new(),
        demands: Demands::default(),
        login,
        identity_changed: false,
        withdrawn: false,
        account: AccountFacts {
            id: AccountId::new("acct_1").unwrap(),
            made_at: Timestamp::UNIX_EPOCH,
            spread: 0,
            told_due: None,
            first_mfa_at: None,
            email_vouched: false,
            locked: false,
        },
        remedy: Remedy::Nothing,
        session_expires_at: None,
        stated: None,
        key_made_at: None,
    }
}

/// The organisations of the tokens, and through whom; or why there are none.
fn told(facts: &Facts, hour: i64) -> String {
    match decide(&policy(), facts, at(hour)) {
        Decision::Permit(permit) => {
            let of = permit.belongings().iter();
            let of: Vec<String> = of
                .map(|one| format!("{} by {}", one.organization, one.through))
                .collect();
            of.join(", ")
        }
        Decision::StepUp(step_up) => format!("step-up: {}", step_up.reasons[0]),
        Decision::Refuse(refusal) => format!("refuse: {}", refusal.reason()),
    }
}

#[track_caller]
fn check(login: Login, asked: Option<&str>, mappings: Vec<Mapping>, expected: &str) {
    assert_eq!(told(&facts(login, asked, mappings), 1), expected);
}

#[test]
fn a_login_shows_the_organization_that_its_source_is_mapped_to_and_no_other() {
    let contoso = || vec![mapping("contoso", tenant(TENANT))];
    let by_tenant = format!("contoso by tenant:{TENANT}");
    let login = || from_tenant(TENANT);
    check(login(), Some("contoso"), contoso(), &by_tenant);
    check(login(), None, contoso(), &by_tenant);
    check(login(), None, Vec::new(), "");
    for asked in ["fabrikam", "Contoso"] {
        check(
            login(),
            Some(asked),
            contoso(),
            "refuse: organization-not-shown",
        );
    }
    for elsewhere in [from_tenant(OTHER_TENANT), from_github(1)] {
        check(
            elsewhere,
            Some("contoso"),
            contoso(),
            "refuse: organization-not-shown",
        );
    }
    let acme = || vec![mapping("acme", github(1))];
    check(
        from_github(1),
        Some("acme"),
        acme(),
        "acme by github:github.com:1",
    );
    check(
        from_github(2),
        Some("acme"),
        acme(),
        "refuse: organization-not-shown",
    );
    check(from_github(2), None, acme(), "");
}

#[test]
fn the_same_number_at_another_host_is_another_organization() {
    let elsewhere = Source::GitHubOrganization {
        host: "github.acme.example".to_owned(),
        id: 1,
    };
    let mappings = vec![mapping("acme", elsewhere)];
    check(
        from_github(1),
        Some("acme"),
        mappings,
        "refuse: organization-not-shown",
    );
}

#[test]
fn personal_accounts_are_nobodys_people() {
    let consumers = vec![mapping("contoso", tenant(TenantId::CONSUMERS))];
    let login = from_tenant(TenantId::CONSUMERS);
    check(
        login,
        Some("contoso"),
        consumers,
        "refuse: organization-not-shown",
    );
}

#[test]
fn a_tenant_of_the_policy_file_is_a_mapping_too() {
    let login = || from_tenant(OTHER_TENANT);
    let filed = format!("filed by tenant:{OTHER_TENANT}");
    check(login(), Some("filed"), Vec::new(), &filed);
    check(login(), None, Vec::new(), &filed);
    let more = vec![mapping("contoso", tenant(OTHER_TENANT))];
    let both = format!("contoso by tenant:{OTHER_TENANT}, {filed}");
    check(login(), None, more, &both);
}

#[test]
fn guests_count_only_where_they_are_admitted() {
    let guest = |membership| Login {
        membership,
        ..from_tenant(TENANT)
    };
    let admitting = |guests| {
        let mapping = mapping("contoso", tenant(TENANT));
        vec![Mapping { guests, ..mapping }]
    };
    for membership in [
        Claim::Value(Membership::Guest),
        Claim::Malformed,
        Claim::Contradictory,
    ] {
        let refused = admitting(Guests::Refused);
        let login = guest(membership.clone());
        check(
            login.clone(),
            Some("contoso"),
            refused.clone(),
            "refuse: organization-not-shown",
        );
        check(login.clone(), None, refused, "");
        let by_tenant = format!("contoso by tenant:{TENANT}");
        check(
            login,
            Some("contoso"),
            admitting(Guests::Admitted),
            &by_tenant,
        );
    }
}

#[test]
fn membership_goes_stale_and_no_token_outlives_it() {
    let mappings = vec![mapping("contoso", tenant(TENANT))];
    let asked = facts(from_tenant(TENANT), Some("contoso"), mappings.clone());
    assert_eq!(told(&asked, 11), format!("contoso by tenant:{TENANT}"));
    assert_eq!(told(&asked, 12), "refuse: membership-stale");
    let unasked = facts(from_tenant(TENANT), None, mappings);
    assert_eq!(told(&unasked, 12), "");
    for facts in [&asked, &unasked] {
        let Decision::Permit(permit) = decide(&policy(), facts, at(11)) else {
            panic!("refused");
        };
        assert_eq!(permit.not_after(), Some(at(12)));
    }
    let Decision::Permit(without) = decide(&policy(), &unasked, at(12)) else {
        panic!("refused");
    };
    assert_eq!(without.not_after(), None);
}

/// Otherwise whoever leaves the organisation out of the request would get what the organisation forbids.
#[test]
fn an_organization_that_demands_more_is_not_in_tokens_that_show_less() {
    let mappings = vec![
        mapping("contoso", tenant(TENANT)),
        mapping("strict", tenant(TENANT)),
    ];
    let login = from_tenant(TENANT);
    let contoso = format!("contoso by tenant:{TENANT}");
    check(login.clone(), None, mappings.clone(), &contoso);
    let mut reading = facts(login.clone(), None, mappings.clone());
    reading
        .scopes
        .retain(|scope| scope.as_str() != "packages:publish");
    assert_eq!(
        told(&reading, 1),
        format!("{contoso}, strict by tenant:{TENANT}")
    );
    let mut asked = facts(login, Some("strict"), mappings);
    assert_eq!(told(&asked, 1), format!("strict by tenant:{TENANT}"));
    asked.scopes = [Scope::new("packages:publish").unwrap()].into();
    assert_eq!(told(&asked, 1), "refuse: phishing-resistant-absent");
}

#[test]
fn a_tenants_admin_attests_contexts_that_the_policy_file_does_not_name() {
    let attesting = |organization: &str, contexts: &[(&str, Level)]| Mapping {
        contexts: contexts
            .iter()
            .map(|(name, level)| ((*name).to_owned(), *level))
            .collect(),
        ..mapping(organization, tenant(TENANT))
    };
    let shown = |policy: &Policy, context: &str, mappings: &[Mapping]| {
        let acrs = Claim::Value(vec![context.to_owned()]);
        let login = Login {
            claims: Claims {
                acrs,
                ..Claims::default()
            },
            ..from_tenant(TENANT)
        };
        let contexts = contexts_of(&TenantId::new(TENANT).unwrap(), mappings);
        let assurance = policy.assess(&Login { contexts, ..login });
        match assurance.attestations() {
            [only] => {
                assert_eq!(only.basis, Basis::Tenant);
                only.level.to_string()
            }
            _ => assurance.shortfall().to_string(),
        }
    };
    let attested = |attests: &str| {
        let text = format!("{POLICY}[mapping]\nattests = \"{attests}\"\n");
        Policy::parse("policy.toml", &text).unwrap()
    };
    let with_defaults = policy();
    let policy = attested("phishing-resistant");
    let resistant = [("c2", Level::PhishingResistant)];
    let one = [attesting("contoso", &resistant)];
    assert_eq!(shown(&policy, "c2", &one), "phishing-resistant");
    assert_eq!(shown(&policy, "c2", &[]), "tenant-context-unnamed");
    assert_eq!(shown(&policy, "c3", &one), "tenant-context-unnamed");
    // The file's word stands, whatever an admin says; and of two admins the lower.
    let higher = [attesting("contoso", &[("c1", Level::PhishingResistant)])];
    assert_eq!(shown(&policy, "c1", &higher), "mfa");
    let disagreeing = [
        attesting("contoso", &resistant),
        attesting("fabrikam", &[("c2", Level::Mfa)]),
    ];
    assert_eq!(shown(&policy, "c2", &disagreeing), "mfa");
    // Another tenant's admin says nothing of this one.
    let elsewhere = [Mapping {
        source: tenant(OTHER_TENANT),
        ..attesting("contoso", &resistant)
    }];
    assert_eq!(shown(&policy, "c2", &elsewhere), "tenant-context-unnamed");
    for (attests, expected) in [("mfa", "mfa"), ("none", "tenant-context-unnamed")] {
        assert_eq!(shown(&attested(attests), "c2", &one), expected);
    }
    // Nobody's word on themselves counts unless the operator wants it.
    assert_eq!(shown(&with_defaults, "c2", &one), "tenant-context-unnamed");
}

#[test]
fn groups_and_app_roles_are_the_registrys_roles() {
    let roles = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|one| (*one).to_owned()).collect()
    };
    let mapping = Mapping {
        roles: BTreeMap::from([
            ("release".to_owned(), roles(&["publisher"])),
            ("staff".to_owned(), roles(&["reader", "triage"])),
        ]),
        ..mapping("contoso", tenant(TENANT))
    };
    let of = |groups: Claim<BTreeSet<String>>| {
        let login = Login {
            groups,
            ..from_tenant(TENANT)
        };
        let facts = facts(login, None, vec![mapping.clone()]);
        let Decision::Permit(permit) = decide(&policy(), &facts, at(1)) else {
            panic!("refused");
        };
        permit.belongings()[0].roles.clone()
    };
    let in_both = Claim::Value(roles(&["release", "staff", "other"]));
    assert_eq!(of(in_both), roles(&["publisher", "reader", "triage"]));
    assert_eq!(of(Claim::Value(roles(&["Release"]))), roles(&[]));
    for unread in [Claim::Absent, Claim::Malformed, Claim::Contradictory] {
        assert_eq!(of(unread), roles(&[]));
    }
}

#[test]
fn the_clock_of_membership_is_the_policys() {
    let text = format!("{POLICY}[mapping]\nmax_membership_age = \"1h\"\n");
    let short = Policy::parse("policy.toml", &text).unwrap();
    let mappings = vec![mapping("contoso", tenant(TENANT))];
    let facts = facts(from_tenant(TENANT), Some("contoso"), mappings);
    let second = SignedDuration::from_secs(1);
    assert!(matches!(
        decide(&short, &facts, at(1) - second),
        Decision::Permit(_)
    ));
    assert!(matches!(decide(&short, &facts, at(1)), Decision::Refuse(_)));
}

#[test]
fn a_source_has_one_notation() {
    for text in [
        "tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1",
        "github:github.com:1",
        "github:ghes.example:8443:77",
        "issuer:https://login.acme.example/realms/acme",
    ] {
        let source: Source = text.parse().unwrap();
        assert_eq!(source.to_string(), text);
        let json = serde_json::to_string(&source).unwrap();
        assert_eq!(serde_json::from_str::<Source>(&json).unwrap(), source);
    }
    for bad in [
        "",
        "tenant",
        "tenant:",
        "tenant:common",
        "tenant:6E93A626-8aca-4dc1-9191-ce291b4b75a1",
        "Tenant:6e93a626-8aca-4dc1-9191-ce291b4b75a1",
        "github:github.com",
        "github:github.com:",
        "github:github.com:0",
        "github:github.com:01",
        "github:github.com:+1",
        "github:GitHub.com:1",
        "github::1",
        "github:a/b:1",
        "github:github.com:18446744073709551616",
        "issuer:",
        "issuer:login.acme.example",
        "issuer:https://a\u{e9}.example",
        "issuer:https://acme.example/ x",
    ] {
        assert!(bad.parse::<Source>().is_err(), "`{bad}` was read");
    }
}
