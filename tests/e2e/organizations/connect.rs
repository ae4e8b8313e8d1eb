//! An organisation's admin connects its tenant, alone, in the browser.

use countersign_dev_idp::entra::{FABRIKAM, GroupMembershipClaims};
use countersign_tests::{Browser, Login, Outcome, Page, Tokens, World, payload};
use serde_json::{Value, json};
use url::Url;

use super::{CONTOSO, Registry, TOLD_BY_PHONE, api, call, signed_in, tenant, world as bare};

/// The same world, with pages: the policy names them, and Entra says who has which directory role.
pub(super) async fn world() -> World {
    let world = bare().await;
    set_up(&world);
    world
}

pub(super) fn set_up(world: &World) {
    enforce(world, "");
    world.entra.control().set(|behaviour| {
        behaviour.entra.group_membership_claims = GroupMembershipClaims::DirectoryRole;
    });
}

/// The usual policy, with pages and with this.
pub(super) fn enforce(world: &World, more: &str) {
    let usual = &world.broker.policy_text;
    let pages = "[client.countersign]\ntier = \"browse\"\n";
    world.broker.enforce(&format!("{usual}\n{pages}\n{more}"));
}

/// An admin of `contoso`, who signs in with OpenID Connect, in a browser of their own.
pub(super) struct Admin<'a> {
    world: &'a World,
    pub(super) browser: Browser,
    login: Login,
}

impl<'a> Admin<'a> {
    /// Signs in to the page, with what changing something needs.
    pub(super) async fn of(world: &'a World, organization: &str, account: &'static str) -> Self {
        let login = Login::new("oidc", account);
        let registry = Registry::of(world).await;
        let tokens = signed_in(world, &login).await;
        let sub = tokens.access()["sub"]
            .as_str()
            .expect("a subject")
            .to_owned();
        let admins = json!({"title": "Contoso", "admins": [format!("account:{sub}")]});
        registry.tell(organization, &admins.to_string()).await;
        let mut admin = Self {
            world,
            browser: Browser::new(),
            login,
        };
        let page = admin.arrive(organization).await;
        assert!(page.body.contains("Connect with"), "{}", page.body);
        admin
    }

    fn url(&self, path: &str) -> Url {
        self.world.broker.endpoint(path)
    }

    pub(super) async fn get(&mut self, path: &str) -> Page {
        let url = self.url(path);
        self.browser.get(&url).await
    }

    /// Opens the page of an organisation, signing in for what can be done there.
    async fn arrive(&mut self, organization: &str) -> Page {
        let to =
            format!("/sign-in?to=/organizations/{organization}&scope=tenants:write&provider=oidc");
        let page = self.get(&to).await;
        let login = self.login.clone();
        let page = self.walk(page, &login).await;
        self.step_up(page, &login).await
    }

    /// One more visit, where a second factor is asked for.
    async fn step_up(&mut self, page: Page, login: &Login) -> Page {
        match page.primary_link() {
            Some(way) if page.body.contains("Continue to") || page.body.contains("again") => {
                self.world.go(&mut self.browser, way, login).await
            }
            _ => page,
        }
    }

    /// Follows redirects, and what a person does at the provider, up to a page of the broker's.
    pub(super) async fn walk(&mut self, page: Page, login: &Login) -> Page {
        self.world.walk(&mut self.browser, page, login).await
    }

    /// What the registry knows of an organisation.
    async fn registry_told(&self, organization: &str) -> Value {
        let registry = Registry::of(self.world).await;
        let path = format!("/organizations/{organization}");
        registry.call("GET", &path, "").await.1
    }

    /// The page, signed in for what asks for exceptions.
    pub(super) async fn ask_page(&mut self, organization: &str) -> Page {
        let to = format!(
            "/sign-in?to=/organizations/{organization}&scope=exceptions:request&provider=oidc"
        );
        let page = self.get(&to).await;
        let login = self.login.clone();
        let page = self.walk(page, &login).await;
        self.step_up(page, &login).await
    }

    /// Presses the button that begins to connect by this provider; answers with the page that leads there.
    pub(super) async fn begin(&mut self, organization: &str, provider: &str) -> Page {
        self.begin_at(organization, provider, "").await
    }

    async fn begin_at(&mut self, organization: &str, provider: &str, tenant: &str) -> Page {
        let page = self.get(&format!("/organizations/{organization}")).await;
        let title = match provider {
            "entra" => "Connect with Microsoft Entra ID",
            "oidc" => "Connect with Example ID",
            _ => "Connect with GitHub",
        };
        let sealed = field_after(&page.body, title, "form");
        let path = format!("/organizations/{organization}/connect/start");
        let mut form = vec![("form".to_owned(), sealed)];
        if provider == "entra" {
            form.push(("tenant".to_owned(), tenant.to_owned()));
        }
        let url = self.url(&path);
        self.browser.post(&url, &form).await
    }

    /// Presses a button of an organisation's page.
    pub(super) async fn press(&mut self, organization: &str, sealed: &str) -> Page {
        let url = self.url(&format!("/organizations/{organization}/press"));
        let form = [("form".to_owned(), sealed.to_owned())];
        self.browser.post(&url, &form).await
    }

    /// Follows a way to a provider, and signs in there.
    pub(super) async fn go(&mut self, way: Url, login: &Login) -> Page {
        let page = self.world.go(&mut self.browser, way, login).await;
        self.step_up(page, login).await
    }

    /// Shows by this account's sign-in that one speaks for a tenant: the page that follows.
    pub(super) async fn show(&mut self, tenant: &str, account: &'static str) -> Page {
        let page = self.begin_at("contoso", "entra", tenant).await;
        let way = page.primary_link().expect("a way to the provider");
        let login = Login::new("entra", account);
        let page = self.world.go(&mut self.browser, way, &login).await;
        self.step_up(page, &login).await
    }

    /// Says yes to what the page shows.
    pub(super) async fn confirm(
        &mut self,
        page: &Page,
        source: &str,
        more: &[(&str, &str)],
    ) -> Page {
        let (to, mut fields) = page.form().expect("a form");
        fields.retain(|(name, _)| name == "form");
        fields.push(("source".to_owned(), source.to_owned()));
        fields.extend(more.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        self.browser.post(&to, &fields).await
    }
}

/// The hidden field of the form in which another field stands.
pub(super) fn field_after(body: &str, other: &str, name: &str) -> String {
    let place = body
        .find(other)
        .unwrap_or_else(|| panic!("no `{other}` in {body}"));
    let before = &body[..place];
    let field = format!("name=\"{name}\" value=\"");
    let start = before.rfind(&field).expect("a hidden field") + field.len();
    before[start..]
        .split('"')
        .next()
        .unwrap_or_default()
        .to_owned()
}

pub(super) async fn connections(world: &World, organization: &str) -> Value {
    let registry = Registry::of(world).await;
    let (_, told) = registry
        .call("GET", &format!("/organizations/{organization}"), "")
        .await;
    told["connections"].clone()
}

#[actix_web::test]
async fn an_admin_connects_the_tenant_that_they_administer() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    assert!(
        page.body.contains("Nothing has changed yet"),
        "{}",
        page.body
    );
    // Ann's own account is not of the tenant, and she is told before anything takes effect.
    assert!(page.body.contains("would not act for it"), "{}", page.body);
    assert_eq!(connections(&world, "contoso").await, Value::Null);
    let done = admin
        .confirm(
            &page,
            &tenant(CONTOSO),
            &[
                ("guests", "yes"),
                ("mfa", "c7"),
                ("phishing_resistant", "C8"),
            ],
        )
        .await;
    assert_eq!(done.status, 303, "{}", done.body);
    let connections = connections(&world, "contoso").await;
    let made = &connections[0];
    assert_eq!(made["standing"], "in-force");
    assert_eq!(
        made["proof"],
        json!({"directory-role": "62e90394-69f5-4237-9190-012177145e10"})
    );
    assert_eq!(made["mapping"]["guests"], "admitted");
    assert_eq!(
        made["mapping"]["contexts"],
        json!({"c7": "mfa", "c8": "phishing-resistant"})
    );
    // The one who showed it was signed in by nothing of this: the browser is still Ann's.
    let page = admin.get("/organizations").await;
    assert!(
        page.body.contains("Signed in as <strong>Ann"),
        "{}",
        page.body
    );
    // From now on the tenant's people have the organisation.
    let tokens = signed_in(&world, &Login::new("entra", "ann-mfa")).await;
    assert_eq!(
        tokens.access()["countersign"]["organizations"],
        json!(["contoso"])
    );
}

#[actix_web::test]
async fn without_a_tenants_id_the_one_that_is_signed_in_to_is_connected() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show("", "ada-admin").await;
    assert!(page.body.contains(CONTOSO), "{}", page.body);
    assert_eq!(
        admin.confirm(&page, &tenant(CONTOSO), &[]).await.status,
        303
    );
}

#[actix_web::test]
async fn nobody_connects_a_tenant_that_they_do_not_administer() {
    let world = world().await;
    for (named, account, code) in [
        // A member without the role, whom everybody's role helps nothing.
        (CONTOSO, "ann-mfa", "tenant-role-missing"),
        // An admin of another tenant, where none was named.
        ("", "gus-guest", "tenant-role-missing"),
    ] {
        let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
        let page = admin.show(named, account).await;
        assert_eq!(page.reason_code(), Some(code), "{account}: {}", page.body);
        assert_eq!(page.status, 403);
    }
    // Who is an admin at home is a guest here.
    world.entra.control().set(|behaviour| {
        let gus = behaviour.entra.account_mut("gus-guest").expect("Gus");
        gus.directory_roles = vec![countersign_dev_idp::entra::GLOBAL_ADMINISTRATOR.to_owned()];
    });
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "gus-guest").await;
    assert_eq!(page.reason_code(), Some("tenant-guest"), "{}", page.body);
    assert_eq!(connections(&world, "contoso").await, Value::Null);
}

#[actix_web::test]
async fn a_registration_that_tells_no_roles_is_told_what_to_change() {
    let world = world().await;
    world.entra.control().set(|behaviour| {
        behaviour.entra.group_membership_claims = GroupMembershipClaims::None;
    });
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    assert_eq!(
        page.reason_code(),
        Some("tenant-roles-unreadable"),
        "{}",
        page.body
    );
    assert!(page.body.contains("groupMembershipClaims"), "{}", page.body);
}

#[actix_web::test]
async fn an_account_that_need_not_have_mfa_yet_speaks_for_nobody() {
    let world = world().await;
    let calendar = "\n[calendar]\nnew_accounts_from = 2050-01-01\nbefore_due = \"remind\"\n";
    enforce(&world, calendar);
    world.entra.control().set(|behaviour| {
        let fred = behaviour.entra.account_mut("fred-admin").expect("Fred");
        fred.second_factor = countersign_dev_idp::entra::SecondFactor::IgnoresDemands;
    });
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(FABRIKAM, "fred-admin").await;
    assert_eq!(
        page.reason_code(),
        Some("connection-needs-more"),
        "{}",
        page.body
    );
}

/// The other half: whoever has such an account's session changes nothing, whatever they show of their own.
#[actix_web::test]
async fn a_session_that_need_not_have_shown_mfa_yet_changes_no_connection() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    let calendar = "[calendar]\nnew_accounts_from = 2050-01-01\nbefore_due = \"remind\"\n";
    enforce(&world, calendar);
    let bob = Login::new("oidc", "bob-password")
        .with("scope", "openid packages:manage tenants:write")
        .with("resource", &api(&world.broker));
    let outcome = world.sign_in_with_step_up(&mut Browser::new(), &bob).await;
    let tokens = world.redeem(&outcome.code()).await;
    // What the calendar lets anybody do it lets him do, and no more.
    let claims = tokens.access();
    assert_eq!(claims["scope"], "openid packages:manage");
    assert_eq!(claims["acr"], "urn:countersign:single");
    let sub = claims["sub"].as_str().expect("a subject");
    let admins = json!({"admins": [format!("account:{sub}")]});
    registry.tell("bobs", &admins.to_string()).await;
    registry
        .connect("bobs", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    let mut admin = Admin {
        world: &world,
        browser: Browser::new(),
        login: Login::new("oidc", "bob-password"),
    };
    let page = admin.arrive("bobs").await;
    assert!(
        page.body.contains("Sign in to change this"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("connect/start"), "{}", page.body);
    let ask = format!("/organizations/bobs/disconnect?source={}", tenant(CONTOSO));
    let page = admin.get(&ask).await;
    assert!(page.location.is_some_and(|to| to.path() == "/sign-in"));
}

#[actix_web::test]
async fn an_organization_is_managed_by_who_shows_what_it_demands_itself() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    let scopes = "openid tenants:write";
    let tokens = async |account: &'static str| {
        let login = Login::new("oidc", account)
            .with("scope", scopes)
            .with("resource", &api(&world.broker));
        signed_in(&world, &login).await
    };
    let (ann, pia) = (tokens("ann-mfa").await, tokens("pia-passkey").await);
    let named = |tokens: &Tokens| format!("account:{}", tokens.access()["sub"].as_str().unwrap());
    let admins = json!({"admins": [named(&ann), named(&pia)]}).to_string();
    registry.tell("contoso", &admins).await;
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    let strict =
        "[organization.contoso]\nstricter.administer = { needs = \"phishing-resistant\" }\n";
    enforce(&world, strict);
    let path = format!("/organizations/contoso/connections/{}", tenant(CONTOSO));
    let by = async |tokens: &Tokens| {
        let page = call(&world, "DELETE", &path, tokens.text("access_token"), "").await;
        (page.status, super::read(&page)["code"].clone())
    };
    assert_eq!(by(&ann).await, (403, json!("sign-in-not-enough")));
    let mut admin = Admin {
        world: &world,
        browser: Browser::new(),
        login: Login::new("oidc", "ann-mfa"),
    };
    let page = admin.arrive("contoso").await;
    // She sees it, and is led to show more before anything changes.
    assert!(page.body.contains("in force"), "{}", page.body);
    assert!(!page.body.contains("connect/start"), "{}", page.body);
    assert_eq!(by(&pia).await, (204, Value::Null));
}

#[actix_web::test]
async fn a_tenant_that_another_has_by_the_policy_file_is_disputed_too() {
    let world = world().await;
    let mut holder = Admin::of(&world, "fabrikam", "pia-passkey").await;
    let file = format!("[organization.fabrikam]\ntenants = [\"{CONTOSO}\"]\n");
    enforce(&world, &file);
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    let done = admin.confirm(&page, &tenant(CONTOSO), &[]).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let standing = async || connections(&world, "contoso").await[0]["standing"].clone();
    assert_eq!(standing().await, "disputed");
    let page = holder.get("/organizations/fabrikam").await;
    // Whose it would be is told by what nobody chooses for themselves.
    assert!(
        page.body.contains("<code>contoso</code>") && page.body.contains(CONTOSO),
        "{}",
        page.body
    );
    let sealed = field_after(&page.body, "Share it with", "form");
    let url = holder.url("/organizations/fabrikam/press");
    let form = [("form".to_owned(), sealed)];
    assert_eq!(holder.browser.post(&url, &form).await.status, 303);
    assert_eq!(standing().await, "in-force");
}

#[actix_web::test]
async fn what_one_browser_began_another_does_not_finish() {
    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    // The link that leads to the provider is good for the session that it was made for.
    let page = admin.begin_at("contoso", "entra", CONTOSO).await;
    let way = page.primary_link().expect("a way to the provider");
    let mut other = Admin::of(&world, "fabrikam", "pia-passkey").await;
    let page = other.browser.get(&way).await;
    assert_eq!(page.reason_code(), Some("not-found"), "{}", page.body);
    // Not even for another of the same organisation's admins.
    let told = other.registry_told("fabrikam").await;
    let mine = other.registry_told("contoso").await;
    let both = json!({"admins": [told["admins"][0], mine["admins"][0]]});
    let registry = Registry::of(&world).await;
    registry.tell("contoso", &both.to_string()).await;
    let page = other.browser.get(&way).await;
    assert_eq!(page.reason_code(), Some("form-expired"), "{}", page.body);
    let mut nobody = Browser::new();
    let page = nobody.get(&way).await;
    assert!(page.location.is_some_and(|to| to.path() == "/sign-in"));
    // What was shown is good for it too, and for the organisation that it was shown for.
    let shown = admin.show(CONTOSO, "ada-admin").await;
    let page = other.browser.get(&shown.url).await;
    assert_eq!(page.reason_code(), Some("form-expired"), "{}", page.body);
    let (to, fields) = shown.form().expect("a form");
    let elsewhere =
        Url::parse(&to.as_str().replace("/contoso/", "/fabrikam/")).expect("an address");
    let mut fields = fields;
    fields.push(("source".to_owned(), tenant(CONTOSO)));
    let page = other.browser.post(&elsewhere, &fields).await;
    assert_eq!(page.reason_code(), Some("form-expired"), "{}", page.body);
    assert_eq!(connections(&world, "fabrikam").await, Value::Null);
    // Who has signed out since finishes nothing.
    let page = admin.begin_at("contoso", "entra", CONTOSO).await;
    let way = page.primary_link().expect("a way to the provider");
    let left = admin.browser.get(&way).await;
    let sessions = admin.get("/session").await;
    let sealed = field_after(&sessions.body, "Sign out here", "form");
    let (to, fields) = (admin.url("/session/end"), [("form".to_owned(), sealed)]);
    let ended = admin.browser.post(&to, &fields).await;
    assert!(
        ended.body.contains("signed out"),
        "{} {}",
        ended.status,
        ended.body
    );
    let page = admin.walk(left, &Login::new("entra", "ada-admin")).await;
    assert_eq!(page.reason_code(), Some("signed-out"), "{}", page.body);
}

#[actix_web::test]
async fn what_was_shown_is_for_the_admins_own_organization_and_not_for_long() {
    let world = world().await;
    world.broker.clock.stop();
    world.share_clock();
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    // A source that was not shown is none to choose.
    let (to, fields) = page.form().expect("a form");
    let mut other = fields.clone();
    other.retain(|(name, _)| name == "form");
    other.push(("source".to_owned(), tenant(FABRIKAM)));
    let refused = admin.browser.post(&to, &other).await;
    assert_eq!(
        refused.reason_code(),
        Some("invalid-request"),
        "{}",
        refused.body
    );
    // Nor does it hold once the registry has made somebody else the admin.
    let registry = Registry::of(&world).await;
    registry.tell("contoso", "{}").await;
    let refused = admin.confirm(&page, &tenant(CONTOSO), &[]).await;
    assert_eq!(refused.status, 404, "{}", refused.body);
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    world.broker.clock.advance(901);
    let late = admin.confirm(&page, &tenant(CONTOSO), &[]).await;
    assert_eq!(late.reason_code(), Some("form-expired"), "{}", late.body);
    assert_eq!(connections(&world, "contoso").await, Value::Null);
}

#[actix_web::test]
async fn a_tenant_that_another_has_is_disputed_until_its_admin_shares_it() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    let mut holder = Admin::of(&world, "fabrikam", "pia-passkey").await;
    registry
        .connect("fabrikam", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let page = admin.show(CONTOSO, "ada-admin").await;
    assert_eq!(
        admin.confirm(&page, &tenant(CONTOSO), &[]).await.status,
        303
    );
    assert_eq!(
        connections(&world, "contoso").await[0]["standing"],
        "disputed"
    );
    let page = admin.get("/organizations/contoso").await;
    assert!(page.body.contains("disputed"), "{}", page.body);
    let page = holder.get("/organizations/fabrikam").await;
    assert!(
        page.body.contains("Claimed by others") && page.body.contains("Contoso"),
        "{}",
        page.body
    );
    let sealed = field_after(&page.body, "Share it with", "form");
    let url = holder.url("/organizations/fabrikam/press");
    let form = [("form".to_owned(), sealed)];
    // Not by somebody else's hand, nor by that of another admin who did not see it.
    let stolen = admin.browser.post(&url, &form).await;
    assert_eq!(stolen.reason_code(), Some("not-found"), "{}", stolen.body);
    let told = [
        holder.registry_told("fabrikam").await,
        holder.registry_told("contoso").await,
    ];
    let both = json!({"admins": [told[0]["admins"][0], told[1]["admins"][0]]});
    registry.tell("fabrikam", &both.to_string()).await;
    let stolen = admin.browser.post(&url, &form).await;
    assert_eq!(
        stolen.reason_code(),
        Some("form-expired"),
        "{}",
        stolen.body
    );
    assert_eq!(holder.browser.post(&url, &form).await.status, 303);
    assert_eq!(
        connections(&world, "contoso").await[0]["standing"],
        "in-force"
    );
}

#[actix_web::test]
async fn the_last_admin_is_not_shut_out() {
    let world = world().await;
    let registry = Registry::of(&world).await;
    // Carl administers it, and signs in through the tenant.
    let tokens = signed_in(&world, &Login::new("entra", "ann-mfa")).await;
    let sub = tokens.access()["sub"]
        .as_str()
        .expect("a subject")
        .to_owned();
    registry
        .tell(
            "contoso",
            &json!({"admins": [format!("account:{sub}")]}).to_string(),
        )
        .await;
    registry
        .connect("contoso", &tenant(CONTOSO), TOLD_BY_PHONE)
        .await;
    let mut admin = Admin {
        world: &world,
        browser: Browser::new(),
        login: Login::new("entra", "ann-mfa"),
    };
    let to = "/sign-in?to=/organizations/contoso&scope=tenants:write&provider=entra";
    let page = admin.get(to).await;
    let login = admin.login.clone();
    let page = admin.walk(page, &login).await;
    assert!(page.body.contains("in force"), "{}", page.body);
    let ask = format!(
        "/organizations/contoso/disconnect?source={}",
        tenant(CONTOSO)
    );
    let page = admin.get(&ask).await;
    assert!(page.body.contains("None of its admins"), "{}", page.body);
    assert!(page.form().is_none(), "a button: {}", page.body);
    // With another admin who comes from elsewhere that is connected, it can go.
    registry
        .connect("contoso", &tenant(FABRIKAM), TOLD_BY_PHONE)
        .await;
    let fay = signed_in(&world, &Login::new("entra", "fay-fabrikam")).await;
    let fay = fay.access()["sub"].as_str().expect("a subject").to_owned();
    let both = json!({"admins": [format!("account:{sub}"), format!("account:{fay}")]});
    registry.tell("contoso", &both.to_string()).await;
    let page = admin.get(&ask).await;
    let (to, fields) = page.form().expect("a button");
    // Fay is gone before it is pressed.
    registry.disconnect("contoso", &tenant(FABRIKAM)).await;
    let refused = admin.browser.post(&to, &fields).await;
    assert_eq!(
        refused.reason_code(),
        Some("last-admin"),
        "{}",
        refused.body
    );
    // By the API no more than on the page.
    let login = Login::new("entra", "ann-mfa")
        .with("scope", "openid tenants:write")
        .with("resource", &api(&world.broker));
    let token = signed_in(&world, &login).await;
    let path = format!("/organizations/contoso/connections/{}", tenant(CONTOSO));
    let page = call(&world, "DELETE", &path, token.text("access_token"), "").await;
    assert_eq!(
        (page.status, super::read(&page)["code"].as_str()),
        (409, Some("last-admin"))
    );
    registry
        .connect("contoso", &tenant(FABRIKAM), TOLD_BY_PHONE)
        .await;
    assert_eq!(admin.browser.post(&to, &fields).await.status, 303);
    assert_eq!(
        connections(&world, "contoso")
            .await
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[actix_web::test]
async fn the_pages_are_for_who_administers_and_only_where_the_policy_wants_them() {
    let without = bare().await;
    let page = Browser::new()
        .get(&without.broker.endpoint("/sign-in?to=/organizations"))
        .await;
    assert_eq!(page.reason_code(), Some("pages-off"), "{}", page.body);

    let world = world().await;
    let mut admin = Admin::of(&world, "contoso", "ann-mfa").await;
    let registry = Registry::of(&world).await;
    registry.tell("fabrikam", "{}").await;
    for path in [
        "/organizations/fabrikam",
        "/organizations/nothing",
        "/organizations/a%20b",
    ] {
        let page = admin.get(path).await;
        assert_eq!(page.status, 404, "{path}: {}", page.body);
    }
    // Who is not signed in is led to sign in, and back.
    let page = Browser::new()
        .get(&world.broker.endpoint("/organizations/contoso"))
        .await;
    let to = page.location.expect("a way to sign in");
    assert_eq!(to.query(), Some("to=%2Forganizations%2Fcontoso"));
    // A session that shows less sees the page, and is led to show more before anything changes.
    let mut weak = Browser::new();
    let login = Login::new("oidc", "bob-password").with("scope", "openid packages:read");
    let lobby = format!(
        "{}\n[client.countersign]\ntier = \"browse\"\n",
        world.broker.policy_text
    )
    .replace(
        "[client.gallery]\ntier = \"manage\"",
        "[client.gallery]\ntier = \"browse\"",
    );
    world.broker.enforce(&lobby);
    let outcome = world.sign_in(&mut weak, &login).await;
    let Outcome::Code(page) = outcome else {
        panic!("no code but {}", outcome.summary());
    };
    let tokens = world.redeem(&page).await;
    let bob = payload(tokens.text("access_token"))["sub"]
        .as_str()
        .expect("a subject")
        .to_owned();
    registry
        .tell(
            "bobs",
            &json!({"admins": [format!("account:{bob}")]}).to_string(),
        )
        .await;
    let page = weak
        .get(&world.broker.endpoint("/organizations/bobs"))
        .await;
    assert!(
        page.body.contains("Sign in to change this"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("connect/start"), "{}", page.body);
    let ask = world.broker.endpoint(&format!(
        "/organizations/bobs/disconnect?source={}",
        tenant(CONTOSO)
    ));
    let page = weak.get(&ask).await;
    assert!(page.location.is_some_and(|to| to.path() == "/sign-in"));
}
