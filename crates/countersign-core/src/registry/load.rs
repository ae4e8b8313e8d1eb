//! What a profile's file says, checked: all mistakes at once, each at its place.
//!
//! The same reader takes what an installation says otherwise (`[registry.NAME.override]`): a table that stands there
//! takes the place of the profile's own, rules come before the profile's own, actions beside them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::target::Writing;
use super::{
    Access, Action, Answer, BodyForm, Docker, Form, IdentityHeaders, NoticePlace, Profile,
    RefusalBody, RefusalStyle, Rule, SignIn, SignInStyle, Source, StepUpStyle, Template, is_method,
};
use crate::Scope;
use crate::document::{self, Key, Problem, Problems, Table, Value};

/// The one version of the file there is.
const VERSION: i64 = 1;
/// The most rules: a profile is read, and every request is held against each of them.
const MOST_RULES: usize = 200;
/// What a refusal says at most, in characters: some tools cut at a line.
const LONGEST_WORDS: usize = 300;
/// The token specification's own floor: clients take a token for good for so long whatever it says.
const SHORTEST_TOKEN: SignedDuration = SignedDuration::from_secs(60);
const LONGEST_TOKEN: SignedDuration = SignedDuration::from_hours(1);
/// A tool's own key is for a working day at most; what lives longer is made on the page, where people say how long.
const LONGEST_KEY: SignedDuration = SignedDuration::from_hours(12);

const FORMS: [(&str, Form); 3] = [
    ("plain", Form::Plain),
    ("pair", Form::Pair),
    ("base64-pair", Form::Base64Pair),
];

const SIGN_INS: [(&str, SignInStyle); 4] = [
    ("keys-page", SignInStyle::KeysPage),
    ("npm-web", SignInStyle::NpmWeb),
    ("one-time-code", SignInStyle::OneTimeCode),
    ("none", SignInStyle::Nothing),
];

const STEP_UPS: [(&str, StepUpStyle); 2] = [
    ("npm-otp", StepUpStyle::NpmOtp),
    ("gem-otp", StepUpStyle::GemOtp),
];

const BODIES: [(&str, RefusalBody); 5] = [
    ("text", RefusalBody::Text),
    ("json-error", RefusalBody::JsonError),
    ("json-errors", RefusalBody::JsonErrors),
    ("problem", RefusalBody::Problem),
    ("docker", RefusalBody::Docker),
];

impl Profile {
    /// Reads the text of a profile that is called `file`; also what is allowed and likely wrong.
    pub fn load(file: &str, text: &str) -> Result<(Self, Vec<Problem>), Problems> {
        document::read_with_warnings(file, text, |table| {
            let version = table.required("version", |value| value.integer(VERSION..=VERSION));
            let profile = Self::read(table, None);
            version?;
            profile
        })
    }

    /// Reads it from a table, over `base` where there is one.
    pub fn read(table: &mut Table<'_>, base: Option<&Self>) -> Option<Self> {
        let title = over(table, "title", base.map(|one| &one.title), title);
        let writing = table.optional("paths", |value| value.table(writing));
        let sources = table.optional("credential", |value| value.table(credential));
        let rules = table.optional("rule", rules);
        let by_default = table.optional("default", |value| value.table(defaults));
        let actions = table.optional("actions", |value| value.entries(action));
        let sign_in = table.optional("sign_in", |value| value.table(sign_in));
        let step_up = table.optional("step_up", |value| value.table(step_up));
        let refusal = table.optional("refusal", |value| value.table(refusal));
        let notice = table.optional("notice", |value| value.table(notice));
        let identity = table.optional("identity", |value| value.table(identity));
        let docker = table.optional("docker", |value| value.table(docker));
        let exchange = table.optional("exchange", not_served_yet);
        let by_default = by_default?;
        if by_default.is_none() && base.is_none() {
            table.report_missing(
                "default",
                ": it says who may read and who may write where no rule does",
            );
        }
        let (read, write) = by_default.or(base.map(Self::defaults))?;
        let (named, mut all) = (actions?.unwrap_or_default(), BTreeMap::new());
        all.extend(base.iter().flat_map(|base| base.actions.clone()));
        all.extend(named);
        let mut rules = rules?.unwrap_or_default();
        let are_reached = all_are_reached(&rules, table);
        rules.extend(base.iter().flat_map(|base| base.rules.clone()));
        exchange?;
        let profile = Self {
            title: title?,
            writing: or_base(writing?, base, |base| base.writing),
            sources: or_base(sources?, base, |base| base.sources.clone()),
            rules,
            read,
            write,
            actions: all,
            sign_in: sign_in?
                .or(base.map(|base| base.sign_in))
                .unwrap_or(NOTHING),
            step_up: step_up?.or(base.and_then(|base| base.step_up)),
            refusal: refusal?
                .or(base.map(|base| base.refusal.clone()))
                .unwrap_or_else(RefusalStyle::plain),
            notice: notice?.or(base.and_then(|base| base.notice.clone())),
            identity: or_base(identity?, base, |base| base.identity.clone()),
            docker: docker?.or(base.and_then(|base| base.docker.clone())),
        };
        (profile.check(table) && are_reached).then_some(profile)
    }

    fn defaults(&self) -> (Access, Access) {
        (self.read.clone(), self.write.clone())
    }

    /// What one part says of another.
    fn check(&self, table: &Table<'_>) -> bool {
        if !table.is_sound() {
            return false;
        }
        let mut is_good = true;
        let mut report = |message: String| {
            table.report(message);
            is_good = false;
        };
        for action in self.needed() {
            if !self.actions.contains_key(action) {
                report(format!(
                    "`actions.{action}` is missing: which scope of the policy lets somebody do it?"
                ));
            }
        }
        let gates = self.needed().next().is_some() && self.docker.is_none();
        if gates && self.sources.is_empty() {
            report(
                "`credential.sources` is missing: where do its tools put their credential?"
                    .to_owned(),
            );
        }
        is_good
    }

    /// The actions that somebody must be let do.
    fn needed(&self) -> impl Iterator<Item = &Action> {
        let rules = self.rules.iter().map(|rule| &rule.access);
        let all = rules.chain([&self.read, &self.write]);
        let gated = all.filter_map(|access| match access {
            Access::Gated(action) => Some(action),
            Access::Open | Access::Ours(_) | Access::Refused(_) => None,
        });
        gated.chain(self.docker.iter().flat_map(|docker| docker.gated.values()))
    }
}

/// Whether each rule of a file is of use. One of the profile's own that an installation's comes before is its choice.
fn all_are_reached(rules: &[Rule], table: &Table<'_>) -> bool {
    let mut are_reached = true;
    for (index, rule) in rules.iter().enumerate() {
        let mut earlier = rules.iter().take(index);
        if let Some(covering) = earlier.find(|one| one.covers(rule)) {
            table.report(format_args!(
                "the rule at {} is never reached: the one at {} fits every such request, and the first one counts",
                rule.place, covering.place
            ));
            are_reached = false;
        }
    }
    are_reached
}

const NOTHING: SignIn = SignIn {
    by: SignInStyle::Nothing,
    key_lifetime: SignedDuration::from_hours(2),
};

impl RefusalStyle {
    fn plain() -> Self {
        Self {
            status: 403,
            without_credential: 401,
            challenge: "Bearer".to_owned(),
            body: RefusalBody::Text,
            reason_phrase: true,
        }
    }
}

fn over<T: Clone>(
    table: &mut Table<'_>,
    key: &'static str,
    base: Option<&T>,
    read: impl FnOnce(&Value<'_>) -> Option<T>,
) -> Option<T> {
    match base {
        Some(base) => table.optional_or(key, base.clone(), read),
        None => table.required(key, read),
    }
}

fn or_base<T: Default>(read: Option<T>, base: Option<&Profile>, of: impl Fn(&Profile) -> T) -> T {
    read.or(base.map(of)).unwrap_or_default()
}

fn title(value: &Value<'_>) -> Option<String> {
    words(value, 64)
}

/// One line that people are shown. ASCII, since it may stand in a header and in a status line.
fn words(value: &Value<'_>, longest: usize) -> Option<String> {
    value.parsed(|text| {
        let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let is_good = is_plain && !text.trim().is_empty() && text.len() <= longest;
        is_good.then(|| text.to_owned()).ok_or_else(|| {
            format!("expected a text of 1 to {longest} characters of ASCII on one line")
        })
    })
}

fn writing(table: &mut Table<'_>) -> Option<Writing> {
    let encoded_slash = table.optional_or("encoded_slash", false, Value::boolean);
    Some(Writing {
        encoded_slash: encoded_slash?,
    })
}

fn credential(table: &mut Table<'_>) -> Option<Vec<Source>> {
    table.required("sources", |value| value.list(|item| item.table(source)))
}

/// `{ authorization = "Basic", user = "__token__" }`, `{ header = "X-API-Key" }`, `{ query = "apiToken" }` or
/// `{ session = true }`.
fn source(table: &mut Table<'_>) -> Option<Source> {
    let scheme = table.optional("authorization", |value| value.parsed(scheme));
    let form = table.optional("form", |value| value.one_of(&FORMS));
    let user = table.optional("user", |value| words(value, 64));
    let header = table.optional("header", |value| value.parsed(header));
    let query = table.optional("query", |value| value.parsed(parameter));
    let session = table.optional("session", only_true);
    let (form, user) = (form?, user?);
    match (scheme?, header?, query?, session?) {
        (Some(scheme), None, None, None) => {
            let is_basic = scheme
                .as_ref()
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"));
            let usual = if is_basic {
                Form::Base64Pair
            } else {
                Form::Plain
            };
            let form = form.unwrap_or(usual);
            if user.is_some() && form == Form::Plain {
                table.report("has a `user`, and a plain credential has none beside it");
                return None;
            }
            Some(Source::Authorization { scheme, form, user })
        }
        (None, found, parameter, session) if form.is_none() && user.is_none() => {
            match (found, parameter, session) {
                (Some(name), None, None) => Some(Source::Header(name)),
                (None, Some(name), None) => Some(Source::Query(name)),
                (None, None, Some(())) => Some(Source::Session),
                _ => one_of_these(table, "`authorization`, `header`, `query`, `session`"),
            }
        }
        _ => one_of_these(
            table,
            "`authorization` (with `form` and `user`), `header`, `query`, `session`",
        ),
    }
}

fn one_of_these<T>(table: &Table<'_>, which: &str) -> Option<T> {
    table.report(format_args!("expected exactly one of {which}"));
    None
}

/// RFC 9110 5.6.2, `token`.
fn is_token(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_good)
}

fn scheme(text: &str) -> Result<Option<String>, &'static str> {
    match text {
        "none" => Ok(None),
        _ if is_token(text) => Ok(Some(text.to_owned())),
        _ => Err(
            "expected a scheme such as `Bearer` or `Basic`, or `none` where the credential is all there is",
        ),
    }
}

fn header(text: &str) -> Result<String, &'static str> {
    const OF_OTHERS: [&str; 8] = [
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "host",
        "set-cookie",
        "te",
        "transfer-encoding",
    ];
    let name = text.to_ascii_lowercase();
    let is_ours = name.starts_with("x-countersign-");
    // Servers by CGI's rules take any other sign for `-`: what a client sends under such a name would be taken for this one.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !(1..=64).contains(&text.len()) || !text.bytes().all(is_plain) {
        return Err("expected the name of a header: letters, digits and `-`");
    }
    if is_ours || OF_OTHERS.contains(&name.as_str()) {
        return Err("expected the name of a header that means nothing else");
    }
    Ok(name)
}

fn parameter(text: &str) -> Result<String, &'static str> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_good) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a parameter: letters, digits, `-` and `_`")
    }
}

fn only_true(value: &Value<'_>) -> Option<()> {
    let flag = value.boolean()?;
    if !flag {
        value.report("`false` is what holds without it; leave it out");
    }
    flag.then_some(())
}

fn rules(value: &Value<'_>) -> Option<Vec<Rule>> {
    let rules = value.list(|item| {
        let place = item.place().to_string();
        item.table(|table| rule(table, place))
    })?;
    if rules.len() > MOST_RULES {
        value.report(format_args!("expected at most {MOST_RULES} rules"));
        return None;
    }
    Some(rules)
}

fn rule(table: &mut Table<'_>, place: String) -> Option<Rule> {
    let methods = table.optional("methods", |value| {
        let methods = value.set(|item| item.parsed(method))?;
        not_empty(value, methods)
    });
    let paths = table.required("paths", |value| {
        let paths = value.list(|item| item.parsed(Template::new))?;
        if paths.is_empty() {
            value.report("expected at least one path, found none");
        }
        (!paths.is_empty()).then_some(paths)
    });
    let access = access(table);
    let body = table.optional("body", |value| value.one_of(&BodyForm::NAMES));
    let (paths, access, body) = (paths?, access?, body?);
    if body.is_some() {
        body_is_looked_at(&paths, &access, table)?;
    }
    Some(Rule {
        place,
        methods: methods?,
        paths,
        access,
        body,
    })
}

/// Whether it is of use to look into a body for the package.
fn body_is_looked_at(paths: &[Template], access: &Access, table: &Table<'_>) -> Option<()> {
    let is_gated = match access {
        Access::Gated(_) => true,
        Access::Open | Access::Ours(_) | Access::Refused(_) => false,
    };
    let is_of_package = |name: &str| matches!(name, "package" | "version");
    if is_gated && !paths.iter().any(|path| path.names().any(is_of_package)) {
        return Some(());
    }
    table.report("has a `body`, which is looked into where the rule is `gated` and no path of it names `{package}` or `{version}`");
    None
}

fn method(text: &str) -> Result<String, &'static str> {
    match text {
        "HEAD" => Err("a rule for `GET` is one for `HEAD` too"),
        _ if is_method(text) => Ok(text.to_owned()),
        _ => Err("expected a method in capital letters, such as `PUT`"),
    }
}

fn not_empty<T>(value: &Value<'_>, set: BTreeSet<T>) -> Option<BTreeSet<T>> {
    if set.is_empty() {
        value.report("expected at least one value, found an empty list");
    }
    (!set.is_empty()).then_some(set)
}

/// Exactly one of `open = true`, `gated = "ACTION"`, `ours = "ANSWER"` and `refused = "WORDS"`.
fn access(table: &mut Table<'_>) -> Option<Access> {
    let open = table.optional("open", only_true);
    let gated = table.optional("gated", |value| value.parsed(action_name));
    let ours = table.optional("ours", |value| value.one_of(&Answer::NAMES));
    let refused = table.optional("refused", |value| words(value, LONGEST_WORDS));
    match (open?, gated?, ours?, refused?) {
        (Some(()), None, None, None) => Some(Access::Open),
        (None, Some(action), None, None) => Some(Access::Gated(action)),
        (None, None, Some(answer), None) => Some(Access::Ours(answer)),
        (None, None, None, Some(words)) => Some(Access::Refused(words)),
        _ => one_of_these(
            table,
            "`open = true`, `gated = \"ACTION\"`, `ours = \"ANSWER\"`, `refused = \"WORDS\"`",
        ),
    }
}

fn defaults(table: &mut Table<'_>) -> Option<(Access, Access)> {
    let read = table.required("read", |value| value.table(access));
    let write = table.required("write", |value| value.table(access));
    Some((read?, write?))
}

fn action(key: &Key<'_>, value: &Value<'_>) -> Option<(Action, Scope)> {
    let name = key.parsed(action_name);
    let scope = value.parsed(Scope::new);
    let scope = scope.filter(|scope| {
        let is_ours = scope.as_str() == "openid" || scope.as_str().starts_with("operator:");
        if is_ours {
            value.report("this scope is for no tool; expected one of the policy's tiers");
        }
        !is_ours
    });
    Some((name?, scope?))
}

fn action_name(text: &str) -> Result<Action, &'static str> {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=40).contains(&text.len()) && text.bytes().all(is_good) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of an action: 1 to 40 small letters, digits and `-`")
    }
}

fn sign_in(table: &mut Table<'_>) -> Option<SignIn> {
    let by = table.required("by", |value| value.one_of(&SIGN_INS));
    let key_lifetime = table.optional_or("key_lifetime", NOTHING.key_lifetime, |value| {
        within(value, SignedDuration::from_mins(5), LONGEST_KEY)
    });
    Some(SignIn {
        by: by?,
        key_lifetime: key_lifetime?,
    })
}

fn within(
    value: &Value<'_>,
    shortest: SignedDuration,
    longest: SignedDuration,
) -> Option<SignedDuration> {
    let found = value.duration()?;
    if found < shortest || found > longest {
        value.report(format_args!("expected {shortest:#} to {longest:#}"));
        return None;
    }
    Some(found)
}

fn step_up(table: &mut Table<'_>) -> Option<StepUpStyle> {
    table.required("by", |value| value.one_of(&STEP_UPS))
}

fn refusal(table: &mut Table<'_>) -> Option<RefusalStyle> {
    let plain = RefusalStyle::plain();
    let enough = table.optional_or("status", plain.status, status);
    let without = table.optional_or("without_credential", plain.without_credential, status);
    let challenge = table.optional_or("challenge", plain.challenge, |value| words(value, 200));
    let body = table.optional_or("body", plain.body, |value| value.one_of(&BODIES));
    let reason_phrase = table.optional_or("reason_phrase", plain.reason_phrase, Value::boolean);
    Some(RefusalStyle {
        status: enough?,
        without_credential: without?,
        challenge: challenge?,
        body: body?,
        reason_phrase: reason_phrase?,
    })
}

/// Proxies that ask us know no other refusal.
fn status(value: &Value<'_>) -> Option<u16> {
    let found = value.integer(400..=499)?;
    if !matches!(found, 401 | 403) {
        value.report(
            "expected 401 or 403: what asks us before it lets a request through takes no other",
        );
        return None;
    }
    Some(found)
}

fn notice(table: &mut Table<'_>) -> Option<NoticePlace> {
    let in_header = table.optional("header", |value| value.parsed(header));
    let in_json = table.optional("json", |value| {
        value.one_of(&[("warnings.other", NoticePlaceInJson)])
    });
    match (in_header?, in_json?) {
        (Some(name), None) => Some(NoticePlace::Header(name)),
        (None, Some(NoticePlaceInJson)) => Some(NoticePlace::CargoWarnings),
        _ => one_of_these(table, "`header` and `json`"),
    }
}

/// The one place within JSON that is known.
#[derive(Clone, Copy)]
struct NoticePlaceInJson;

fn identity(table: &mut Table<'_>) -> Option<IdentityHeaders> {
    let user = table.optional("user_header", |value| value.parsed(header));
    let email = table.optional("email_header", |value| value.parsed(header));
    let (user, email) = (user?, email?);
    if user.is_some() && user == email {
        table.report(format_args!(
            "`user_header` and `email_header` are the same"
        ));
        return None;
    }
    Some(IdentityHeaders { user, email })
}

fn docker(table: &mut Table<'_>) -> Option<Docker> {
    let open = table.optional_or("open", BTreeSet::new(), |value| {
        value.set(|item| item.parsed(docker_action))
    });
    let gated = table.required("gated", |value| {
        value.entries(|key, value| {
            let name = key.parsed(docker_action);
            let action = value.parsed(action_name);
            Some((name?, action?))
        })
    });
    let token = table.optional_or("token_lifetime", SignedDuration::from_mins(5), |value| {
        within(value, SHORTEST_TOKEN, LONGEST_TOKEN)
    });
    let offline = table.optional_or("offline_lifetime", LONGEST_KEY, |value| {
        within(value, SignedDuration::from_mins(5), LONGEST_KEY)
    });
    let (open, gated) = (open?, gated?);
    if let Some(both) = open.iter().find(|action| gated.contains_key(*action)) {
        table.report(format_args!("`{both}` is both open and gated"));
        return None;
    }
    Some(Docker {
        open,
        gated,
        token_lifetime: token?,
        offline_lifetime: offline?,
    })
}

/// Distribution's scope grammar: lower-case letters, or `*`.
fn docker_action(text: &str) -> Result<String, &'static str> {
    let is_word =
        (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase());
    if is_word || text == "*" {
        Ok(text.to_owned())
    } else {
        Err("expected an action of the registry such as `pull` or `push`, or `*`")
    }
}

fn not_served_yet(value: &Value<'_>) -> Option<()> {
    value.report(
        "trusted publishing (tokens for CI identities) is not served yet; leave this table out: until then CI publishes \
         with an API key",
    );
    None
}
