//! A browser without a screen: cookies by host, redirects one at a time.

use std::collections::BTreeMap;

use reqwest::Method;
use url::Url;

/// A browser with a cookie jar of its own.
#[derive(Debug, Clone)]
pub struct Browser {
    client: reqwest::Client,
    /// Cookies by host: ports do not separate them (RFC 6265 8.5).
    pub cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// What it says besides, that no browser would say.
    pub forged: Vec<(&'static str, &'static str)>,
    /// What begins like the first is asked of the second.
    led_to: Option<(String, String)>,
}

/// What an address answered.
#[derive(Debug)]
pub struct Page {
    /// The address.
    pub url: Url,
    /// The HTTP status.
    pub status: u16,
    /// Where it sends the browser.
    pub location: Option<Url>,
    /// The headers, lower case; of several of one name the last.
    pub headers: BTreeMap<String, String>,
    /// Every `Set-Cookie`.
    pub set_cookies: Vec<String>,
    /// The body.
    pub body: String,
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// A fresh browser.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests' browser is not the product's HTTP client"
    )]
    pub fn new() -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(30))
            // The server ends idle connections after 5 s, and what is sent just then has no answer.
            .pool_idle_timeout(std::time::Duration::from_secs(2))
            // TLS is a proxy's, with a certificate that was made for the test.
            .danger_accept_invalid_certs(true)
            .build()
            .expect("an HTTP client");
        Self {
            client,
            cookies: BTreeMap::new(),
            forged: Vec::new(),
            led_to: None,
        }
    }

    /// Asks this replica for whatever is under the issuer's address, as a proxy in front would.
    #[must_use]
    pub fn led_to(mut self, issuer: &str, replica: &str) -> Self {
        self.led_to = Some((issuer.to_owned(), replica.to_owned()));
        self
    }

    /// Asks for an address.
    pub async fn get(&mut self, url: &Url) -> Page {
        self.send(Method::GET, url, None).await
    }

    /// Posts a form.
    pub async fn post(&mut self, url: &Url, form: &[(String, String)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        self.send(Method::POST, url, Some(body)).await
    }

    /// Asks for an address and follows redirects as long as `go_on` says so.
    pub async fn follow(&mut self, url: &Url, go_on: impl Fn(&Url) -> bool) -> Page {
        let mut page = self.get(url).await;
        for _ in 0..20 {
            match page.location.clone() {
                Some(next) if go_on(&next) => page = self.get(&next).await,
                _ => return page,
            }
        }
        panic!("more than 20 redirects, the last to {:?}", page.location);
    }

    async fn send(&mut self, method: Method, url: &Url, body: Option<String>) -> Page {
        self.try_to_send(method, url, body)
            .await
            .expect("an answer")
    }

    /// Asks for an address, or posts a form there; an error where there is no answer.
    pub async fn attempt(
        &mut self,
        url: &Url,
        form: Option<&[(String, String)]>,
    ) -> reqwest::Result<Page> {
        let method = if form.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let body = form.map(|form| {
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.extend_pairs(form).finish()
        });
        self.try_to_send(method, url, body).await
    }

    async fn try_to_send(
        &mut self,
        method: Method,
        url: &Url,
        body: Option<String>,
    ) -> reqwest::Result<Page> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut request = self.client.request(method, self.asked_at(url));
        if let Some(jar) = self.cookies.get(&host).filter(|jar| !jar.is_empty()) {
            let line: Vec<String> = jar
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header("cookie", line.join("; "));
        }
        for (name, value) in &self.forged {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body);
        }
        let response = request.send().await?;
        let page = Page::read(url.clone(), response).await?;
        self.keep(&host, &page.set_cookies);
        Ok(page)
    }

    fn asked_at(&self, url: &Url) -> Url {
        let led = self.led_to.as_ref().and_then(|(from, to)| {
            let rest = url.as_str().strip_prefix(from.as_str())?;
            Url::parse(&format!("{to}{rest}")).ok()
        });
        led.unwrap_or_else(|| url.clone())
    }

    fn keep(&mut self, host: &str, set_cookies: &[String]) {
        let jar = self.cookies.entry(host.to_owned()).or_default();
        for line in set_cookies {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').expect("a cookie");
            let attributes = attributes.to_ascii_lowercase();
            if attributes.contains("max-age=0") || attributes.contains("01 jan 1970") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    async fn read(url: Url, response: reqwest::Response) -> reqwest::Result<Self> {
        let status = response.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let headers: BTreeMap<String, String> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect();
        let set_cookies = response
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(text)
            .collect();
        let location = headers
            .get("location")
            .map(|to| url.join(to).expect("an address"));
        let body = response.text().await?;
        Ok(Self {
            url,
            status,
            location,
            headers,
            set_cookies,
            body,
        })
    }

    /// A parameter of the address that the browser is sent to.
    pub fn sent_with(&self, name: &str) -> Option<String> {
        let location = self.location.as_ref()?;
        location
            .query_pairs()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The reason code that a page of the broker's shows.
    pub fn reason_code(&self) -> Option<&str> {
        between(&self.body, "Reason <code>", "</code>")
    }

    /// The first link of the broker's own primary button.
    pub fn primary_link(&self) -> Option<Url> {
        let href = between(&self.body, "class=\"button primary\" href=\"", "\"")?;
        self.url.join(&unescape(href)).ok()
    }

    /// The first link to an address that begins so.
    pub fn link_to(&self, beginning: &str) -> Option<Url> {
        self.body
            .split("href=\"")
            .skip(1)
            .filter_map(|rest| self.url.join(&unescape(rest.split('"').next()?)).ok())
            .find(|url| url.as_str().starts_with(beginning))
    }

    /// The form of a `form_post` page: where to, and with what.
    pub fn form(&self) -> Option<(Url, Vec<(String, String)>)> {
        let action = between(&self.body, "action=\"", "\"")?;
        let url = self.url.join(&unescape(action)).ok()?;
        Some((url, self.fields().collect()))
    }

    /// The value of an input field.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// Every input field that has a value.
    fn fields(&self) -> impl Iterator<Item = (String, String)> {
        self.body.split("<input ").skip(1).filter_map(|rest| {
            let input = rest.split('>').next()?;
            let name = between(input, "name=\"", "\"")?;
            let value = between(input, "value=\"", "\"")?;
            Some((unescape(name), unescape(value)))
        })
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// Undoes what templates escape in attributes.
fn unescape(text: &str) -> String {
    [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#38;", "&"),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&#60;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}
