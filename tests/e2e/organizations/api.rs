//! `/api/v1/organizations`, as services and persons call it.

use std::collections::BTreeMap;

use boon::{Compiler, Schemas};
use countersign_tests::{BrokerSetup, Login, Page, Tokens, World, wire};
use serde_json::{Value, json};

use super::{
    CONTOSO, Registry, TOLD_BY_PHONE, api, call, in_days, read, signed_in, tenant, token_of, world,
};

/// The kinds of callers that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// No token.
    Nobody,
    /// A text that is no token.
    Noise,
    /// A service that may all, with a token for another resource.
    ForAnother,
    /// A service that may nothing here.
    Indexer,
    /// A service that may read.
    Reader,
    /// A service that may all.
    Registry,
    /// A person with the scopes, who administers nothing.
    Stranger,
    /// An admin without the scope to connect.
    AdminWithout,
    /// An admin with it.
    Admin,
    /// An admin who has signed out since.
    AdminWhoLeft,
    /// An operator, who administers nothing.
    Operator,
    /// Who was one when the token was issued.
    OperatorNoMore,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Nobody,
        Self::Noise,
        Self::ForAnother,
        Self::Indexer,
        Self::Reader,
        Self::Registry,
        Self::Stranger,
        Self::AdminWithout,
        Self::Admin,
        Self::AdminWhoLeft,
        Self::Operator,
        Self::OperatorNoMore,
    ];
}

/// One endpoint, and what each kind of caller gets, in the order of [`Kind::ALL`].
struct Row {
    operation: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    expected: [u16; 12],
}

const TENANT: &str = "tenant:22222222-2222-4222-8222-222222222222";

/// Every operation of the description, in an order in which each finds what it needs.
const TABLE: [Row; 25] = [
    Row {
        operation: "describe",
        method: "GET",
        path: "/openapi.json",
        body: "",
        expected: [200; 12],
    },
    Row {
        operation: "listOrganizations",
        method: "GET",
        path: "/organizations",
        body: "",
        expected: [401, 401, 401, 403, 200, 200, 200, 403, 200, 401, 200, 401],
    },
    Row {
        operation: "tellOrganizations",
        method: "POST",
        path: "/organizations",
        body: r#"{"organizations": []}"#,
        expected: [401, 401, 401, 403, 403, 200, 403, 403, 403, 401, 403, 403],
    },
    Row {
        operation: "showOrganization",
        method: "GET",
        path: "/organizations/contoso",
        body: "",
        expected: [401, 401, 401, 403, 200, 200, 404, 403, 200, 401, 200, 401],
    },
    Row {
        operation: "tellOrganization",
        method: "PUT",
        path: "/organizations/another",
        body: "{}",
        expected: [401, 401, 401, 403, 403, 200, 403, 403, 403, 401, 403, 403],
    },
    Row {
        operation: "connectOrganization",
        method: "PUT",
        path: "/organizations/contoso/connections/tenant:22222222-2222-4222-8222-222222222222",
        body: TOLD_BY_PHONE,
        expected: [401, 401, 401, 403, 403, 200, 403, 403, 403, 401, 200, 401],
    },
    Row {
        operation: "shareConnection",
        method: "POST",
        path: "/organizations/contoso/connections/tenant:22222222-2222-4222-8222-222222222222/agreement",
        body: r#"{"with": "claimant"}"#,
        expected: [401, 401, 401, 403, 403, 204, 404, 403, 204, 401, 204, 401],
    },
    Row {
        operation: "settleConnection",
        method: "POST",
        path: "/organizations/contoso/connections/tenant:22222222-2222-4222-8222-222222222222/settlement",
        body: r#"{"settlement": "share"}"#,
        expected: [401, 401, 401, 403, 403, 204, 403, 403, 403, 401, 204, 401],
    },
    Row {
        operation: "disconnectOrganization",
        method: "DELETE",
        path: "/organizations/contoso/connections/tenant:22222222-2222-4222-8222-222222222222",
        body: "",
        expected: [401, 401, 401, 403, 403, 204, 404, 403, 204, 401, 204, 401],
    },
    Row {
        operation: "askException",
        method: "POST",
        path: "/organizations/contoso/exceptions",
        body: r#"{"waives": ["publish"], "reason": "no phones", "until": "TOMORROW"}"#,
        expected: [401, 401, 401, 403, 403, 201, 404, 403, 201, 401, 403, 403],
    },
    // One that nobody has asked for: who may answer it is told that it is not there.
    Row {
        operation: "answerException",
        method: "PUT",
        path: "/organizations/contoso/exceptions/asked-0",
        body: r#"{"verdict": "refused", "reason": "no"}"#,
        expected: [401, 401, 401, 403, 403, 404, 403, 403, 403, 401, 404, 401],
    },
    Row {
        operation: "takeBackException",
        method: "DELETE",
        path: "/organizations/contoso/exceptions/asked-0",
        body: "",
        expected: [401, 401, 401, 403, 403, 404, 404, 403, 404, 401, 403, 403],
    },
    Row {
        operation: "forgetOrganization",
        method: "DELETE",
        path: "/organizations/another",
        body: "",
        expected: [401, 401, 401, 403, 403, 204, 403, 403, 403, 401, 403, 403],
    },
    Row {
        operation: "eraseAccount",
        method: "DELETE",
        path: "/accounts/acct_1",
        body: "",
        expected: [401, 401, 401, 403, 403, 404, 403, 403, 403, 401, 404, 401],
    },
    Row {
        operation: "listAccounts",
        method: "GET",
        path: "/accounts",
        body: "",
        expected: [401, 401, 401, 403, 403, 200, 403, 403, 403, 401, 200, 401],
    },
    Row {
        operation: "showAccount",
        method: "GET",
        path: "/accounts/acct_1",
        body: "",
        expected: [401, 401, 401, 403, 403, 404, 403, 403, 403, 401, 404, 401],
    },
    Row {
        operation: "lockAccount",
        method: "PUT",
        path: "/accounts/acct_1/lock",
        body: r#"{"reason": "taken over"}"#,
        expected: [401, 401, 401, 403, 403, 404, 403, 403, 403, 401, 404, 401],
    },
    Row {
        operation: "unlockAccount",
        method: "DELETE",
        path: "/accounts/acct_1/lock",
        body: "",
        expected: [401, 401, 401, 403, 403, 404, 403, 403, 403, 401, 404, 401],
    },
    Row {
        operation: "endAccountSessions",
        method: "DELETE",
        path: "/accounts/acct_1/sessions",
        body: "",
        expected: [401, 401, 401, 403, 403, 404, 403, 403, 403, 401, 404, 401],
    },
    Row {
        operation: "listApiKeys",
        method: "GET",
        path: "/api-keys",
        body: "",
        expected: [401, 401, 401, 403, 403, 200, 403, 403, 403, 401, 200, 401],
    },
    Row {
        operation: "makeApiKey",
        method: "POST",
        path: "/api-keys",
        body: r#"{"name": "n", "client": "gallery", "scopes": ["packages:read"]}"#,
        expected: [401, 401, 401, 403, 403, 403, 403, 403, 403, 401, 403, 403],
    },
    Row {
        operation: "importApiKeys",
        method: "POST",
        path: "/api-keys/imports",
        body: r#"{"api_keys": []}"#,
        expected: [401, 401, 401, 403, 403, 200, 403, 403, 403, 401, 200, 401],
    },
    Row {
        operation: "revokeApiKey",
        method: "DELETE",
        path: "/api-keys/key_0123456789abcdef0123456789abcdef",
        body: "",
        expected: [401, 401, 401, 403, 403, 404, 403, 403, 403, 401, 404, 401],
    },
    Row {
        operation: "searchAuditLog",
        method: "GET",
        path: "/audit-log",
        body: "",
        expected: [401, 401, 401, 403, 403, 200, 403, 403, 403, 401, 200, 401],
    },
    // The rest of the accounts' API has tests of its own (`api`): it takes a client's secret and no token.
    Row {
        operation: "vouchForEmail",
        method: "PUT",
        path: "/accounts/acct_1/verified-email",
        body: r#"{"email": "ann@registry.example"}"#,
        expected: [401; 12],
    },
];

/// A person's token for the API.
async fn person(world: &World, account: &'static str, scopes: &str) -> Tokens {
    let login = Login::new("oidc", account)
        .with("scope", &format!("openid {scopes}"))
        .with("resource", &api(&world.broker));
    signed_in(world, &login).await
}

async fn tokens(world: &World) -> BTreeMap<Kind, String> {
    let own = api(&world.broker);
    let service = |name: &'static str| token_of(world, name, &own);
    let admin = person(
        world,
        "ann-mfa",
        "tenants:write organizations:write exceptions:request",
    )
    .await;
    let stranger = person(
        world,
        "pia-passkey",
        "tenants:write organizations:write organizations:read exceptions:request",
    )
    .await;
    let without = person(world, "ann-mfa", "packages:manage").await;
    let left = person(world, "ann-mfa", "tenants:write").await;
    let form = [
        ("token", left.text("refresh_token")),
        ("client_id", "gallery"),
        ("client_secret", BrokerSetup::SECRET),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let revoked = wire::send("POST", &world.broker.issuer, "/revoke", &headers, &body).await;
    assert_eq!(revoked.status, 200);
    let text = |tokens: &Tokens| tokens.text("access_token").to_owned();
    let named = json!([format!(
        "account:{}",
        admin.access()["sub"].as_str().unwrap()
    )]);
    let (operator, former) = operators(world).await;
    let registry = Registry::of(world).await;
    registry
        .tell("contoso", &json!({"admins": named}).to_string())
        .await;
    for name in ["claimant", "another"] {
        registry.tell(name, "{}").await;
    }
    BTreeMap::from([
        (Kind::Nobody, String::new()),
        (Kind::Noise, "noise".to_owned()),
        (
            Kind::ForAnother,
            token_of(world, "registry", BrokerSetup::AUDIENCE).await,
        ),
        (Kind::Indexer, service("indexer").await),
        (Kind::Reader, service("reader").await),
        (Kind::Registry, service("registry").await),
        (Kind::Stranger, text(&stranger)),
        (Kind::AdminWithout, text(&without)),
        (Kind::Admin, text(&admin)),
        (Kind::AdminWhoLeft, text(&left)),
        (Kind::Operator, text(&operator)),
        (Kind::OperatorNoMore, text(&former)),
    ])
}

/// The tokens of one whom the policy names as an operator, and of one whom it has named.
async fn operators(world: &World) -> (Tokens, Tokens) {
    let scopes = "operator:read operator:write";
    let mut named = Vec::new();
    for account in ["pia-passkey", "una-unverified"] {
        let tokens = person(world, account, "packages:manage").await;
        named.push(tokens.access()["sub"].as_str().expect("a sub").to_owned());
    }
    let policy = |accounts: &[String]| {
        let text = &world.broker.policy_text;
        format!("{text}\n[operators]\naccounts = {accounts:?}\n")
    };
    world.broker.enforce(&policy(&named));
    let operator = person(world, "pia-passkey", scopes).await;
    let former = person(world, "una-unverified", scopes).await;
    world.broker.enforce(&policy(&named[..1]));
    (operator, former)
}

#[actix_web::test]
async fn every_endpoint_answers_every_kind_of_caller_as_the_table_says() {
    let world = world().await;
    let tokens = tokens(&world).await;
    let registry = Registry::of(&world).await;
    let description = Description::of(&world).await;
    for row in &TABLE {
        for (kind, expected) in Kind::ALL.into_iter().zip(row.expected) {
            // Each finds the same: the connection of `contoso`, and what `claimant` claims.
            registry.connect("contoso", TENANT, TOLD_BY_PHONE).await;
            registry.connect("claimant", TENANT, TOLD_BY_PHONE).await;
            let body = row.body.replace("TOMORROW", &in_days(&world, 1));
            let page = call(&world, row.method, row.path, &tokens[&kind], &body).await;
            let why = format!("{} as {kind:?}: {}", row.operation, page.body);
            assert_eq!(page.status, expected, "{why}");
            description.check(row.operation, &page);
            if page.status == 401 && row.operation != "vouchForEmail" {
                let challenge = page.header("www-authenticate").unwrap_or_default();
                assert!(challenge.starts_with("Bearer"), "{why}: {challenge}");
            }
            registry
                .call(
                    "DELETE",
                    &format!("/organizations/claimant/connections/{TENANT}"),
                    "",
                )
                .await;
            registry.tell("another", "{}").await;
        }
    }
    let mut told: Vec<&str> = TABLE.iter().map(|row| row.operation).collect();
    told.push("takeEmailBack"); // as `vouchForEmail`
    told.sort_unstable();
    assert_eq!(
        told,
        description.operations(),
        "a new operation needs its row"
    );
}

/// The description that the broker gives of its API.
struct Description(Value);

impl Description {
    async fn of(world: &World) -> Self {
        let page = call(world, "GET", "/openapi.json", "", "").await;
        assert_eq!(page.header("content-type"), Some("application/json"));
        Self(read(&page))
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        let paths = self.0["paths"].as_object().expect("paths");
        let operations = paths.values().filter_map(Value::as_object).flatten();
        operations
            .map(|(_, one)| one)
            .filter(|one| one["operationId"].is_string())
    }

    fn operations(&self) -> Vec<&str> {
        let ids = self.all().filter_map(|one| one["operationId"].as_str());
        let mut ids: Vec<&str> = ids.collect();
        ids.sort_unstable();
        ids
    }

    /// An answer is one that is described, to the letter.
    fn check(&self, operation: &str, page: &Page) {
        let one = self.all().find(|one| one["operationId"] == operation);
        let response = &one.expect("an operation")["responses"][page.status.to_string()];
        assert!(
            response.is_object(),
            "{operation}: {} is not described",
            page.status
        );
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            return;
        }
        let mut whole = schema.clone();
        whole["components"] = self.0["components"].clone();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler
            .add_resource("answer.json", whole)
            .expect("a resource");
        let index = compiler
            .compile("answer.json", &mut schemas)
            .expect("a schema");
        let told = read(page);
        let checked = schemas.validate(&told, index);
        assert!(
            checked.is_ok(),
            "{operation}: {}\n{:#}",
            page.body,
            checked.unwrap_err()
        );
    }
}

#[actix_web::test]
async fn what_a_registry_tells_is_what_is_there_however_often_it_is_told() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    let body =
        r#"{"title": " Contoso Ltd ", "admins": ["registry-account:ann", "account:acct_7"]}"#;
    let (status, first) = registry.call("PUT", "/organizations/contoso", body).await;
    assert_eq!(status, 201);
    assert_eq!(first["title"], "Contoso Ltd");
    assert_eq!(
        first["admins"],
        json!(["account:acct_7", "registry-account:ann"])
    );
    assert_eq!(first["told_by"], "client:registry");
    let (status, again) = registry.call("PUT", "/organizations/contoso", body).await;
    assert_eq!((status, &again), (200, &first));
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    // All of it each time; what it is connected to stays.
    let (_, less) = registry.call("PUT", "/organizations/contoso", "{}").await;
    assert_eq!((less.get("title"), less.get("admins")), (None, None));
    assert_eq!(less["connections"][0]["standing"], "in-force");
    let (status, _) = registry.call("DELETE", "/organizations/contoso", "").await;
    assert_eq!(status, 204);
    assert_eq!(
        registry
            .call("DELETE", "/organizations/contoso", "")
            .await
            .0,
        204
    );
    // The second found nothing to forget.
    let forgotten = registry.world.broker.audited(&["organization-forgotten"]);
    assert_eq!(forgotten, ["organization-forgotten"]);
    assert_eq!(
        registry.call("GET", "/organizations/contoso", "").await.0,
        404
    );
}

#[actix_web::test]
async fn many_are_told_of_at_once_and_a_wrong_one_holds_up_no_other() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    let mut many: Vec<Value> = (0..998)
        .map(|n| json!({"id": format!("org-{n:03}")}))
        .collect();
    many.push(json!({"id": "no spaces"}));
    many.push(json!({"id": "titled", "title": "two\nlines"}));
    let body = json!({ "organizations": many }).to_string();
    let (status, told) = registry.call("POST", "/organizations", &body).await;
    assert_eq!(status, 200, "{told}");
    let results = told["results"].as_array().expect("results");
    assert_eq!(results.len(), 1000);
    assert_eq!(results[0], json!({"id": "org-000", "result": "created"}));
    for wrong in &results[998..] {
        assert_eq!(
            (&wrong["result"], &wrong["code"]),
            (&json!("refused"), &json!("invalid-request"))
        );
    }
    let (_, again) = registry.call("POST", "/organizations", &body).await;
    assert_eq!(again["results"][997]["result"], "unchanged");
    many.push(json!({"id": "one-more"}));
    let body = json!({ "organizations": many }).to_string();
    assert_eq!(registry.call("POST", "/organizations", &body).await.0, 400);

    // Page by page, and only those that begin so.
    let mut listed = 0;
    let mut after = String::new();
    loop {
        let path = format!("/organizations?limit=300&begins_with=org-{after}");
        let (status, page) = registry.call("GET", &path, "").await;
        assert_eq!(status, 200, "{page}");
        listed += page["organizations"].as_array().expect("a list").len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(listed, 998);
    let (_, some) = registry
        .call("GET", "/organizations?begins_with=org-00", "")
        .await;
    assert_eq!(some["organizations"].as_array().map(Vec::len), Some(10));
    for wrong in ["limit=0", "limit=1001", "limit=x", "after=a%20b"] {
        let (status, told) = registry
            .call("GET", &format!("/organizations?{wrong}"), "")
            .await;
        assert_eq!(
            (status, &told["code"]),
            (400, &json!("invalid-request")),
            "{wrong}"
        );
    }
}

#[actix_web::test]
async fn what_is_wrong_is_refused_and_nothing_is_written() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    let admins: Vec<String> = (0..201).map(|n| format!("account:acct_{n}")).collect();
    let long = json!({"title": "x".repeat(257)}).to_string();
    let crowd = json!({ "admins": admins }).to_string();
    for (id, body) in [
        ("contoso", ""),
        ("contoso", "[]"),
        ("contoso", "null"),
        ("contoso", r#"{"title": 1}"#),
        ("contoso", r#"{"title": "a", "title": "b"}"#),
        ("contoso", r#"{"titel": "a"}"#),
        ("contoso", r#"{"admins": ["ann"]}"#),
        ("contoso", r#"{"admins": ["account:ann"]}"#),
        ("contoso", r#"{"title": "\u0000"}"#),
        ("contoso", &long),
        ("contoso", &crowd),
    ] {
        let (status, told) = registry
            .call("PUT", &format!("/organizations/{id}"), body)
            .await;
        assert_eq!(
            (status, &told["code"]),
            (400, &json!("invalid-request")),
            "{body}: {told}"
        );
    }
    for id in ["a%20b", "%2e%2e", "x".repeat(65).as_str(), "%C3%A9"] {
        let (status, _) = registry
            .call("PUT", &format!("/organizations/{id}"), "{}")
            .await;
        assert_eq!(status, 404, "{id}");
    }
    let consumers = tenant(countersign_core::TenantId::CONSUMERS);
    for (source, terms) in [
        (consumers.as_str(), TOLD_BY_PHONE),
        ("tenant:common", TOLD_BY_PHONE),
        ("contoso.com", TOLD_BY_PHONE),
        ("github:github.com:x", TOLD_BY_PHONE),
        (TENANT, "{}"),
        (TENANT, r#"{"reason": " "}"#),
        (TENANT, r#"{"reason": "x", "contexts": {"c0": "mfa"}}"#),
        (TENANT, r#"{"reason": "x", "contexts": {"c01": "mfa"}}"#),
        (TENANT, r#"{"reason": "x", "contexts": {"c100": "mfa"}}"#),
        (TENANT, r#"{"reason": "x", "contexts": {"c1": "none"}}"#),
        (TENANT, r#"{"reason": "x", "roles": {"": ["owner"]}}"#),
        (TENANT, r#"{"reason": "x", "guests": "some"}"#),
        (
            "github:github.com:1",
            r#"{"reason": "x", "guests": "admitted"}"#,
        ),
        (
            "github:github.com:1",
            r#"{"reason": "x", "contexts": {"c1": "mfa"}}"#,
        ),
    ] {
        let path = format!("/organizations/contoso/connections/{source}");
        let (status, told) = registry.call("PUT", &path, terms).await;
        assert_eq!(
            (status, &told["code"]),
            (400, &json!("invalid-request")),
            "{source} {terms}: {told}"
        );
    }
    let (_, left) = registry.call("GET", "/organizations/contoso", "").await;
    assert_eq!(
        (left.get("title"), left.get("connections")),
        (None, None),
        "{left}"
    );
}

#[actix_web::test]
async fn a_person_connects_nothing_by_their_word_alone() {
    let world = world().await;
    let tokens = tokens(&world).await;
    let path = "/organizations/contoso/connections/tenant:33333333-3333-4333-8333-333333333333";
    let page = call(&world, "PUT", path, &tokens[&Kind::Admin], TOLD_BY_PHONE).await;
    assert_eq!(
        (page.status, &read(&page)["code"]),
        (403, &json!("client-not-allowed"))
    );
    // Nor changes what is not there, nor another's.
    let path = "/organizations/claimant/connections/tenant:33333333-3333-4333-8333-333333333333";
    let page = call(&world, "DELETE", path, &tokens[&Kind::Admin], "").await;
    assert_eq!(
        (page.status, &read(&page)["code"]),
        (404, &json!("unknown-organization"))
    );
}

#[actix_web::test]
async fn a_second_claim_is_a_dispute_until_it_is_settled() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    for name in ["contoso", "fabrikam"] {
        registry.tell(name, "{}").await;
    }
    assert_eq!(
        registry.connect("contoso", TENANT, TOLD_BY_PHONE).await,
        "in-force"
    );
    assert_eq!(
        registry.connect("fabrikam", TENANT, TOLD_BY_PHONE).await,
        "disputed"
    );
    let path = format!("/organizations/fabrikam/connections/{TENANT}/settlement");
    let (status, _) = registry
        .call("POST", &path, r#"{"settlement": "transfer"}"#)
        .await;
    assert_eq!(status, 204);
    let (_, contoso) = registry.call("GET", "/organizations/contoso", "").await;
    assert_eq!(contoso.get("connections"), None);
    let (_, fabrikam) = registry.call("GET", "/organizations/fabrikam", "").await;
    assert_eq!(fabrikam["connections"][0]["standing"], "in-force");
    for wrong in ["{}", r#"{"settlement": "both"}"#] {
        assert_eq!(registry.call("POST", &path, wrong).await.0, 400);
    }
}
