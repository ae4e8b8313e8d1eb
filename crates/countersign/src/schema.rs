//! The shape of `policy.toml` as a JSON Schema, for editors: completion, hovers, squiggles.
//!
//! It says what may stand where. Whether that makes sense together only the loader says; the tests
//! hold the two to each other, key by key and word by word.

use countersign_core::preset::Preset;
use serde_json::{Value, json};

/// The schema of `policy.toml`, as `config/schema/policy.schema.json` holds it.
pub fn policy_text() -> String {
    format!("{:#}\n", policy())
}

/// The schema of `policy.toml`: JSON Schema, draft 2020-12.
pub fn policy() -> Value {
    let mut schema = described(
        "Who must show what before this registry acts for them. `countersign policy check` tells every mistake in it.",
        table(
            &["version", "tier", "client"],
            [
                ("version", version()),
                ("proof", proofs()),
                ("methods", methods()),
                ("calendar", calendar()),
                ("tier", tiers()),
                ("client", clients()),
                ("organization", organizations()),
                ("mapping", mapping()),
                ("operators", operators()),
                ("lifetimes", lifetimes()),
                ("exception", exceptions()),
                ("api_keys", api_keys()),
            ],
        ),
    );
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Countersign policy");
    schema
}

fn version() -> Value {
    described(
        "The version of the file's format: 1.",
        json!({"type": "integer", "const": 1, "default": 1}),
    )
}

fn proofs() -> Value {
    let proof = table(
        &[],
        [
            ("preset", preset()),
            (
                "acr",
                described(
                    "The values of `acr` that the provider sends for a second factor, and for nothing less. Compared exactly. They stand in the place of the preset's.",
                    some(text(json!(["urn:microsoft:policies:mfa", "gold"]))),
                ),
            ),
            (
                "amr",
                described(
                    "The values of `amr` that the provider sends for a second factor, and for nothing less. Compared exactly. They stand in the place of the preset's.",
                    some(text(json!(["mfa"]))),
                ),
            ),
            ("when", expression()),
            ("level", described("What `when` proves.", level())),
            (
                "two_factor_authentication",
                described(
                    "GitHub's flag: the account has a second factor switched on. It counts where a tier accepts `enrolment`.",
                    json!({"type": "boolean", "const": true}),
                ),
            ),
            ("tenant", tenants()),
        ],
    );
    let mut proof = described(
        "What counts as proof of a second factor at one provider, which is named as in countersign.toml. What is not named does not count.",
        proof,
    );
    proof["minProperties"] = json!(1);
    proof["dependentRequired"] = json!({"when": ["level"], "level": ["when"]});
    described(
        "What counts as proof of a second factor, provider by provider.",
        named(SLUG, proof),
    )
}

fn preset() -> Value {
    let names: Vec<&str> = Preset::names().collect();
    described(
        "What this vendor really sends: what counts, what never does, what its words mean (docs/presets.md).",
        json!({"type": "string", "enum": names}),
    )
}

fn expression() -> Value {
    described(
        "A proof that the other keys can't express, in CEL over `claims` (of the verified ID token, never personal ones) and `user`. One that fails on a login proves nothing. With `level`.",
        json!({
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "examples": ["claims.acr in [\"gold\"] && \"otp\" in claims.amr"],
        }),
    )
}

fn tenants() -> Value {
    let contexts = described(
        "Authentication contexts, `c1` to `c99`, each with what the tenant's admin attests by it.",
        json!({
            "type": "object",
            "propertyNames": {"pattern": "^c[1-9][0-9]?$"},
            "additionalProperties": level(),
            "minProperties": 1,
            "examples": [{"c1": "mfa", "c2": "phishing-resistant"}],
        }),
    );
    let tenant = described(
        "What the admin of this Entra tenant attests.",
        table(&["acrs"], [("acrs", contexts)]),
    );
    described(
        "Entra's authentication contexts, tenant by tenant: a tenant id is a GUID in lower case. They count where a tier accepts `tenant`.",
        named(TENANT, tenant),
    )
}

fn methods() -> Value {
    let resistant = described(
        "What shows a phishing-resistant login, where a second factor is proven too.",
        table(
            &["acr"],
            [(
                "acr",
                described("Values of `acr`.", some(text(json!(["phr", "phrh"])))),
            )],
        ),
    );
    described(
        "What holds of authentication methods at every provider, by their names in RFC 8176 and in OpenID EAP ACR Values.",
        table(
            &[],
            [
                (
                    "never",
                    described(
                        "Methods that turn a login away, even beside another. Only what a provider tells can be seen: Microsoft and GitHub don't.",
                        some(text(json!(["sms", "tel"]))),
                    ),
                ),
                ("phishing_resistant", resistant),
            ],
        ),
    )
}

fn calendar() -> Value {
    let period = table(
        &["from", "until"],
        [
            ("from", described("The first day.", date("2027-03-08"))),
            (
                "until",
                described(
                    "The last day: from its 00:00 UTC on everybody must.",
                    date("2027-05-08"),
                ),
            ),
        ],
    );
    described(
        "From which day accounts must show a second factor. Without this table everybody must now. Days begin at 00:00 UTC.",
        table(
            &["new_accounts_from", "before_due"],
            [
                (
                    "new_accounts_from",
                    described(
                        "Accounts made on this day or later must from the beginning.",
                        date("2027-03-08"),
                    ),
                ),
                (
                    "existing_accounts",
                    described(
                        "Accounts made before: each on a day of its own, spread evenly from the first to the last. Without it they have no day yet.",
                        period,
                    ),
                ),
                (
                    "before_due",
                    described(
                        "What holds for an account before its day. `remind`: it is let in and told the day. `limit`: it is signed in, and every scope of a tier that needs a second factor is left out.",
                        one_of(&["remind", "limit"]),
                    ),
                ),
                (
                    "ratchet",
                    described(
                        "Whether an account that has once shown a second factor is held to it from then on.",
                        json!({"type": "boolean", "default": false}),
                    ),
                ),
            ],
        ),
    )
}

fn tiers() -> Value {
    let mut tier = described(
        "A kind of action: a list of scopes, and what they need.",
        table(
            &["scopes", "needs"],
            [scopes()].into_iter().chain(requirement()),
        ),
    );
    // What a proof must be like has a meaning only where a proof is needed.
    let where_needs = |needs: Value, then: Value| {
        // Tombi takes a schema with `properties` to be closed, unless it says otherwise.
        json!({
            "if": {"properties": {"needs": needs}, "required": ["needs"], "additionalProperties": true},
            "then": then,
        })
    };
    let proof = ["accepts", "max_age", "max_evidence_age"].map(|key| json!({"required": [key]}));
    tier["allOf"] = json!([
        where_needs(json!({"const": "none"}), json!({"not": {"anyOf": proof}})),
        where_needs(level(), json!({"required": ["accepts"]})),
    ]);
    described("What each kind of action needs.", filled(named(SLUG, tier)))
}

fn scopes() -> (&'static str, Value) {
    (
        "scopes",
        described(
            "The scopes of this tier. A scope is in one tier, and one that is in none can't be asked for.",
            some_scopes(),
        ),
    )
}

fn some_providers() -> Value {
    let mut providers = list(json!({"type": "string", "pattern": NAME}));
    providers["examples"] = json!([["entra", "github"]]);
    providers
}

fn some_scopes() -> Value {
    let scope = json!({
        "type": "string",
        "pattern": "^[!#-\\[\\]-~]{1,128}$",
        "not": {"const": "openid"},
    });
    let mut scopes = list(scope);
    scopes["examples"] = json!([["packages:publish", "packages:unpublish"]]);
    scopes
}

/// What a tier needs, of everybody or of some.
fn requirement() -> [(&'static str, Value); 6] {
    [
        (
            "needs",
            described(
                "The least that a login must show.",
                one_of(&["none", "mfa", "phishing-resistant"]),
            ),
        ),
        (
            "accepts",
            described(
                "Whose word counts. `session`: the provider says that this very login used a second factor. `enrolment`: the account has it switched on (GitHub). `tenant`: the admin of an Entra tenant attests it.",
                some(basis()),
            ),
        ),
        (
            "max_age",
            described(
                "How long ago the provider may have authenticated the person. Microsoft personal accounts and GitHub do not tell: with this they are turned away.",
                duration(&["15m", "12h"]),
            ),
        ),
        (
            "max_evidence_age",
            described(
                "How long ago Countersign may have verified the login.",
                duration(&["15m", "12h", "30d"]),
            ),
        ),
        (
            "verified_email",
            described(
                "Whether the account needs a verified e-mail address.",
                json!({"type": "boolean", "default": false}),
            ),
        ),
        (
            "fresh_at_use",
            described(
                "Whether the ages are those at every use of an API key. Otherwise they are those when the key was made.",
                json!({"type": "boolean", "default": false}),
            ),
        ),
    ]
}

fn stricter() -> Value {
    let mut tier = described(
        "What is stricter of this tier; what is not written is as it is for everybody.",
        table(&[], requirement()),
    );
    tier["minProperties"] = json!(1);
    described(
        "What is stricter than the tiers are for everybody, tier by tier.",
        named(SLUG, tier),
    )
}

fn clients() -> Value {
    let client = described(
        "A client, which is named as in countersign.toml.",
        table(
            &["tier"],
            [
                (
                    "tier",
                    described(
                        "The tier that signing in to it needs, whatever scopes it asks for.",
                        tier_name(),
                    ),
                ),
                ("stricter", stricter()),
                (
                    "providers",
                    described(
                        "Whose logins count for it, by their names in countersign.toml; without this line all do.",
                        some_providers(),
                    ),
                ),
                (
                    "own_scopes",
                    described(
                        "What it may do as itself, without any person (grant `client_credentials`).",
                        some_scopes(),
                    ),
                ),
            ],
        ),
    );
    described(
        "What signing in needs, client by client. Every client of countersign.toml must be here.",
        filled(named(NAME, client)),
    )
}

fn organizations() -> Value {
    let organization = described(
        "An organization, by the registry's name of it.",
        table(
            &[],
            [
                (
                    "tenants",
                    described(
                        "The Entra tenants that its people sign in through: ids, in lower case.",
                        some(json!({
                            "type": "string",
                            "pattern": TENANT,
                            "examples": ["6e93a626-8aca-4dc1-9191-ce291b4b75a1"],
                        })),
                    ),
                ),
                ("stricter", stricter()),
            ],
        ),
    );
    described(
        "What holds for who acts for one organization: where the registry asks for it, and the login comes from one of its tenants.",
        named(NAME, organization),
    )
}

fn operators() -> Value {
    let accounts = some(json!({
        "type": "string",
        "pattern": "^acct_[A-Za-z0-9]{1,64}$",
        "examples": ["acct_01JB3XZ4Y6W8V0T2S4R6Q8P0N2"],
    }));
    described(
        "Who runs this installation in the browser: sees all accounts, organizations and the audit log, and changes them.",
        table(
            &["accounts"],
            [(
                "accounts",
                described(
                    "Their accounts: each has `operator:read` and `operator:write` where it meets the tier that lists them.",
                    accounts,
                ),
            )],
        ),
    )
}

fn mapping() -> Value {
    const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";
    let role = json!({
        "type": "string",
        "pattern": TENANT,
        "examples": [GLOBAL_ADMINISTRATOR],
    });
    let mut roles = some(role);
    roles["default"] = json!([GLOBAL_ADMINISTRATOR]);
    described(
        "Who may connect a tenant to an organization, and what that does.",
        table(
            &[],
            [
                (
                    "entra_roles",
                    described(
                        "The directory roles of Entra of which one shows that a person speaks for a tenant, by template id. None that every user has.",
                        roles,
                    ),
                ),
                (
                    "max_membership_age",
                    described(
                        "For so long after a login it is believed whose people the person is: 30d at most.",
                        with_default(duration(&["12h", "1h"]), "12h"),
                    ),
                ),
                (
                    "attests",
                    described(
                        "The highest level that a tenant's admin may attest by an authentication context that no `[proof]` names. It counts wherever the tenant's people sign in: keep `none` where anybody can have an organization.",
                        with_default(
                            json!({"enum": ["none", "mfa", "phishing-resistant"]}),
                            "none",
                        ),
                    ),
                ),
                (
                    "roles",
                    described(
                        "The roles at the registry that an organization's admins may give to groups and app roles of what they connect.",
                        json!({
                            "type": "array",
                            "items": {"type": "string", "pattern": "^[!-~]([ -~]{0,126}[!-~])?$", "examples": ["publisher"]},
                            "uniqueItems": true,
                            "default": [],
                        }),
                    ),
                ),
            ],
        ),
    )
}

fn lifetimes() -> Value {
    let session = described(
        "A session.",
        table(
            &["absolute"],
            [
                (
                    "absolute",
                    described(
                        "When it ends, whatever happens: 30d at most.",
                        with_default(duration(&["12h", "8h"]), "12h"),
                    ),
                ),
                (
                    "idle",
                    described(
                        "When it ends unless a client refreshes its tokens before; not longer than `absolute`.",
                        with_default(duration(&["2h", "30m"]), "2h"),
                    ),
                ),
            ],
        ),
    );
    described(
        "How long things live. No token outlives what it rests on.",
        table(
            &[],
            [
                (
                    "code",
                    described(
                        "A one-time code: 10m at most.",
                        with_default(duration(&["60s"]), "60s"),
                    ),
                ),
                (
                    "token",
                    described(
                        "An ID token and an access token: 1h at most.",
                        with_default(duration(&["10m", "5m"]), "10m"),
                    ),
                ),
                ("session", session),
                (
                    "unused_account",
                    described(
                        "After how long somebody who does not sign in is forgotten: 90d at least. Left out, never.",
                        duration(&["1095d", "730d"]),
                    ),
                ),
            ],
        ),
    )
}

fn exceptions() -> Value {
    let mut exception = described(
        "An exception, for an organization or for an account. Its name stands in every token and in every line of the decision log that rests on it.",
        table(
            &["reason", "approved_by", "until", "waives"],
            [
                (
                    "organization",
                    described(
                        "The organization that it is for: its own logins, while they act for it.",
                        json!({"type": "string", "pattern": NAME, "examples": ["contoso"]}),
                    ),
                ),
                (
                    "account",
                    described(
                        "The one account that it is for: the `sub` of its tokens.",
                        json!({"type": "string", "pattern": "^acct_[A-Za-z0-9]{1,64}$"}),
                    ),
                ),
                (
                    "reason",
                    described(
                        "Why it was given.",
                        words("card-controlled rooms where no phone is allowed"),
                    ),
                ),
                (
                    "approved_by",
                    described("Who gave it.", words("security@registry.example")),
                ),
                (
                    "until",
                    described(
                        "The last day on which it holds, in UTC.",
                        date("2027-09-30"),
                    ),
                ),
                (
                    "waives",
                    described(
                        "The tiers whose second factor it lets go of. Freshness and a verified e-mail address stay needed.",
                        some(tier_name()),
                    ),
                ),
            ],
        ),
    );
    exception["oneOf"] = json!([{"required": ["organization"]}, {"required": ["account"]}]);
    described(
        "What is waived case by case, each under a name of its own: `[exception.NAME]`.",
        named(SLUG, exception),
    )
}

fn api_keys() -> Value {
    let sunset = table(
        &["announced", "without_mfa_context_expire"],
        [
            (
                "announced",
                described("The day of the announcement.", date("2027-06-01")),
            ),
            (
                "without_mfa_context_expire",
                described(
                    "The day on which such keys end, from 00:00 UTC: at least 30 days after the announcement.",
                    date("2027-07-15"),
                ),
            ),
        ],
    );
    described(
        "How long API keys live.",
        table(
            &["max_days", "accepts"],
            [
                (
                    "max_days",
                    described(
                        "How many days a key lives at most.",
                        json!({"type": "integer", "minimum": 1, "maximum": 3650, "examples": [90]}),
                    ),
                ),
                (
                    "accepts",
                    described(
                        "Whose word counts for a key that was made with a second factor.",
                        some(basis()),
                    ),
                ),
                (
                    "sunset",
                    described(
                        "The end of keys that were made without one; none ends before 30 days after its own owner was told.",
                        sunset,
                    ),
                ),
            ],
        ),
    )
}

// ---- the parts that schemas are made of

/// The names of providers, tiers and exceptions.
const SLUG: &str = "^[a-z0-9-]{1,64}$";
/// The names of clients and organisations.
const NAME: &str = "^[A-Za-z0-9_.-]{1,64}$";
/// A tenant's id.
const TENANT: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

fn described(description: &str, mut schema: Value) -> Value {
    schema["description"] = json!(description);
    schema
}

/// A table of known keys, these of them required.
fn table(required: &[&str], properties: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let properties: serde_json::Map<String, Value> = properties
        .into_iter()
        .map(|(key, schema)| (key.to_owned(), schema))
        .collect();
    let mut table =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

/// A table whose keys are names that the operator chose.
fn named(pattern: &str, value: Value) -> Value {
    let mut table = json!({"type": "object", "propertyNames": {"pattern": pattern}});
    table["additionalProperties"] = value;
    table
}

fn filled(mut table: Value) -> Value {
    table["minProperties"] = json!(1);
    table
}

fn list(item: Value) -> Value {
    let mut list = json!({"type": "array", "uniqueItems": true});
    list["items"] = item;
    list
}

fn some(item: Value) -> Value {
    let mut list = list(item);
    list["minItems"] = json!(1);
    list
}

fn text(examples: Value) -> Value {
    let mut text = json!({"type": "string", "minLength": 1});
    text["examples"] = examples;
    text
}

fn words(example: &str) -> Value {
    json!({"type": "string", "pattern": "\\S", "examples": [example]})
}

fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

fn level() -> Value {
    one_of(&["mfa", "phishing-resistant"])
}

fn basis() -> Value {
    one_of(&["session", "enrolment", "tenant"])
}

fn tier_name() -> Value {
    json!({"type": "string", "pattern": SLUG, "examples": ["browse", "manage", "publish"]})
}

/// Editors hand on a TOML date as text.
fn date(example: &str) -> Value {
    json!({
        "type": "string",
        "format": "date",
        "pattern": "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}$",
        "examples": [example],
    })
}

fn duration(examples: &[&str]) -> Value {
    json!({"type": "string", "pattern": "^0*[1-9][0-9]*(ms|s|m|h|d)$", "examples": examples})
}

fn with_default(mut schema: Value, default: &str) -> Value {
    schema["default"] = json!(default);
    schema
}

#[cfg(test)]
mod tests;
