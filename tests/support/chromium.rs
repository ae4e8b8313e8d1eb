//! A browser with a screen: headless Chromium, driven through ChromeDriver.
//!
//! Each [`Screen`] has a ChromeDriver, a session and a profile of its own, all gone when it is
//! dropped. Where Chromium or ChromeDriver is missing the test fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::{WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use url::Url;

/// What a headless Chromium needs as root, on a machine without a network.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
/// How long something may take to appear, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often to look whether it has.
const GLANCE: Duration = Duration::from_millis(20);

/// A Chromium, and the tab in front.
#[derive(Debug)]
pub struct Screen {
    client: Client,
    /// Ends Chromium when dropped.
    _driver: Driver,
}

/// What a Chromium is started with.
#[derive(Debug, Clone, Default)]
pub struct ScreenSettings {
    /// Chromium's preferences, by their dotted names.
    pub preferences: Map<String, Value>,
    /// Whether the network log is kept for [`Screen::network_log`].
    pub network_log: NetworkLog,
}

/// Whether the network log is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NetworkLog {
    /// It is not.
    #[default]
    Off,
    /// It is.
    Kept,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Light or dark.
    pub scheme: &'static str,
    /// Width and height in CSS pixels.
    pub size: (u32, u32),
    /// Whether it is a phone's screen.
    pub device: Device,
}

/// What kind of screen it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A desktop's.
    Desktop,
    /// A phone's: the page's own `viewport` counts.
    Phone,
}

/// A tab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab(WindowHandle);

impl Screen {
    /// A fresh Chromium.
    pub async fn open() -> Self {
        Self::open_with(&ScreenSettings::default()).await
    }

    /// A fresh Chromium with these settings.
    pub async fn open_with(settings: &ScreenSettings) -> Self {
        let driver = Driver::start();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(settings.capabilities())
            .connect(&driver.url())
            .await
            .expect("a Chromium session; install the Debian packages chromium and chromium-driver");
        Self {
            client,
            _driver: driver,
        }
    }

    /// Goes to an address and waits until it has loaded.
    pub async fn goto(&self, url: &str) {
        done(self.client.goto(url).await, url);
    }

    /// The address in front.
    pub async fn url(&self) -> Url {
        done(self.client.current_url().await, "the address")
    }

    /// Waits until the address is one of these, with any query or fragment; or begins with an origin, or with what ends as `…/` or `…=`.
    pub async fn arrive_at(&self, beginnings: &[&str]) -> Url {
        let arrived = tokio::time::timeout(PATIENCE, async {
            loop {
                let url = self.url().await;
                if beginnings.iter().any(|one| is_at(&url, one)) {
                    return url;
                }
                tokio::time::sleep(GLANCE).await;
            }
        });
        let Ok(url) = arrived.await else {
            panic!("not at {beginnings:?} but {}", self.describe().await);
        };
        url
    }

    /// The page's title.
    pub async fn title(&self) -> String {
        done(self.client.title().await, "the title")
    }

    /// The text of an element, as a person sees it; waits for the element.
    pub async fn text(&self, css: &str) -> String {
        self.on(css, async |element| element.text().await).await
    }

    /// An attribute of an element, resolved as the browser does (`href` is a whole address).
    pub async fn property(&self, css: &str, name: &str) -> Option<String> {
        self.on(css, async |element| element.prop(name).await).await
    }

    /// How many elements there are.
    pub async fn count(&self, css: &str) -> usize {
        done(self.client.find_all(Locator::Css(css)).await, css).len()
    }

    /// Clicks an element as soon as it is there, and waits for the page that this leads to.
    pub async fn click(&self, css: &str) {
        self.on(css, async |element| element.click().await).await;
    }

    /// Clicks the link with this text.
    pub async fn click_link(&self, text: &str) {
        let found = self.client.wait().at_most(PATIENCE).every(GLANCE);
        match found.for_element(Locator::LinkText(text)).await {
            Ok(link) => done(link.click().await, text),
            Err(error) => panic!("no link `{text}`: {error}: {}", self.describe().await),
        }
    }

    /// Types into a field.
    pub async fn type_into(&self, css: &str, text: &str) {
        self.on(css, async |element| element.send_keys(text).await)
            .await;
    }

    /// Takes out what stands in a field.
    pub async fn clear(&self, css: &str) {
        self.on(css, async |element| element.clear().await).await;
    }

    /// Does something with an element. Where its page leaves meanwhile, nothing was done, and the next page's is taken.
    async fn on<T>(&self, css: &str, act: impl AsyncFn(Element) -> Result<T, CmdError>) -> T {
        let acted = tokio::time::timeout(PATIENCE, async {
            loop {
                match act(self.element(css).await).await {
                    Err(error) if error.is_stale_element_reference() => {}
                    acted => return done(acted, css),
                }
            }
        });
        acted
            .await
            .unwrap_or_else(|_| panic!("`{css}` does not stay"))
    }

    async fn element(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).every(GLANCE);
        match found.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("no `{css}`: {error}: {}", self.describe().await),
        }
    }

    /// Where the browser is and what it shows, for the message of a failed test.
    pub async fn describe(&self) -> String {
        let shown = self.run("return document.body.innerText").await;
        format!("{}\n{}", self.url().await, shown.as_str().unwrap_or("?"))
    }

    /// The back button.
    pub async fn back(&self) {
        done(self.client.back().await, "back");
    }

    /// The forward button.
    pub async fn forward(&self) {
        done(self.client.forward().await, "forward");
    }

    /// The reload button.
    pub async fn reload(&self) {
        done(self.client.refresh().await, "reload");
    }

    /// The tab in front.
    pub async fn tab(&self) -> Tab {
        Tab(done(self.client.window().await, "the tab"))
    }

    /// Opens a tab and brings it to the front.
    pub async fn new_tab(&self) -> Tab {
        let tab = Tab(done(self.client.new_window(true).await, "a tab").handle);
        self.bring(&tab).await;
        tab
    }

    /// Brings a tab to the front.
    pub async fn bring(&self, tab: &Tab) {
        let switched = self.client.switch_to_window(tab.0.clone()).await;
        done(switched, "the other tab");
    }

    /// Runs a function body in the page, past its Content Security Policy.
    pub async fn run(&self, script: &str) -> Value {
        done(self.client.execute(script, Vec::new()).await, script)
    }

    /// Runs a function body that ends by calling its last argument.
    pub async fn run_async(&self, script: &str) -> Value {
        done(self.client.execute_async(script, Vec::new()).await, script)
    }

    /// The names of the cookies that a page at this address can be sent.
    pub async fn cookie_names(&self, url: &str) -> Vec<String> {
        let answer = self.devtools("Network.getCookies", json!({"urls": [url]}));
        let cookies = answer.await["cookies"].take();
        let cookies = cookies.as_array().expect("cookies");
        let name = |cookie: &Value| cookie["name"].as_str().unwrap_or_default().to_owned();
        cookies.iter().map(name).collect()
    }

    /// Takes every cookie away.
    pub async fn forget_cookies(&self) {
        self.devtools("Network.clearBrowserCookies", json!({}))
            .await;
    }

    /// Whether pages may run scripts from now on, in this tab.
    pub async fn stop_scripts(&self) {
        let parameters = json!({"value": true});
        self.devtools("Emulation.setScriptExecutionDisabled", parameters)
            .await;
    }

    /// Looks at pages in this way from now on, in this tab.
    pub async fn look(&self, look: Look) {
        let (width, height) = look.size;
        let metrics = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": look.device == Device::Phone,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let features = json!([{"name": "prefers-color-scheme", "value": look.scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features}))
            .await;
    }

    /// Presses a key, as a person does.
    pub async fn press(&self, key: &str) {
        let (virtual_key, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            _ => panic!("`{key}` is not a key that the tests press"),
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind,
                "key": key,
                "code": key,
                "text": text,
                "windowsVirtualKeyCode": virtual_key,
            });
            self.devtools("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Writes the whole page to `target/screenshots/`, for people to look at.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let shot = json!({"format": "png", "captureBeyondViewport": true});
        let answer = self.devtools("Page.captureScreenshot", shot).await;
        let data = answer["data"].as_str().expect("a picture");
        let picture = base64::engine::general_purpose::STANDARD
            .decode(data)
            .expect("base64");
        let directory = root().join("target/screenshots");
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join(format!("{name}.png"));
        std::fs::write(&file, picture).expect("a file");
        file
    }

    /// What axe finds wrong with the page by WCAG 2.1 A and AA and its best practices: one line each.
    pub async fn violations(&self) -> Vec<String> {
        if self.run("return window.axe === undefined").await == json!(true) {
            self.run(&axe()).await;
        }
        let script = r"
            const done = arguments[arguments.length - 1];
            const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
            const options = {runOnly: {type: 'tag', values: tags}, preload: false};
            axe.run(document, options).then(
                result => done(result.violations.map(
                    one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html).join(' | ')}`)),
                error => done([`axe failed: ${error}`]));";
        serde_json::from_value(self.run_async(script).await).expect("lines")
    }

    /// Plugs in an authenticator that holds passkeys and says yes, its holder verified.
    pub async fn plug_in_authenticator(&self) {
        let authenticator = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserVerified": true,
        });
        self.command("webauthn/authenticator", authenticator).await;
    }

    /// The DevTools events of the network since this was last asked: `method` and `params`.
    pub async fn network_log(&self) -> Vec<Value> {
        let entries = self.command("se/log", json!({"type": "performance"})).await;
        let entries = entries.as_array().expect("a log");
        let event = |entry: &Value| -> Option<Value> {
            let mut entry: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            Some(entry["message"].take())
        };
        entries.iter().filter_map(event).collect()
    }

    /// A command of the DevTools protocol, to the tab in front.
    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let body = json!({"cmd": method, "params": parameters});
        self.command("goog/cdp/execute", body).await
    }

    async fn command(&self, path: &'static str, body: Value) -> Value {
        let command = Post {
            path,
            body: body.to_string(),
        };
        done(self.client.issue_cmd(command).await, path)
    }
}

impl ScreenSettings {
    fn capabilities(&self) -> Map<String, Value> {
        let mut capabilities = json!({
            "goog:chromeOptions": {"args": FLAGS, "prefs": self.preferences},
        });
        if self.network_log == NetworkLog::Kept {
            capabilities["goog:loggingPrefs"] = json!({"performance": "ALL"});
        }
        match capabilities {
            Value::Object(capabilities) => capabilities,
            _ => Map::new(),
        }
    }
}

impl Look {
    /// A desktop in daylight.
    pub const DESKTOP_LIGHT: Self = Self::new("light", (1280, 800), Device::Desktop);
    /// A desktop at night.
    pub const DESKTOP_DARK: Self = Self::new("dark", (1280, 800), Device::Desktop);
    /// A small phone in daylight.
    pub const PHONE_LIGHT: Self = Self::new("light", (360, 740), Device::Phone);
    /// A small phone at night.
    pub const PHONE_DARK: Self = Self::new("dark", (360, 740), Device::Phone);
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::DESKTOP_LIGHT,
        Self::DESKTOP_DARK,
        Self::PHONE_LIGHT,
        Self::PHONE_DARK,
    ];

    const fn new(scheme: &'static str, size: (u32, u32), device: Device) -> Self {
        Self {
            scheme,
            size,
            device,
        }
    }

    /// `desktop-light`, `phone-dark`, …
    pub fn name(self) -> String {
        let device = match self.device {
            Device::Desktop => "desktop",
            Device::Phone => "phone",
        };
        format!("{device}-{}", self.scheme)
    }
}

/// A POST to an endpoint of the session that WebDriver itself does not have.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: String,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.clone()))
    }
}

/// How often ChromeDriver is started before it is given up.
const STARTS: usize = 5;

/// A running ChromeDriver.
#[derive(Debug)]
struct Driver {
    process: Child,
    port: u16,
    /// Kept open, so that ChromeDriver can go on writing.
    _output: BufReader<ChildStdout>,
}

impl Driver {
    /// It takes a port that is free on `::1`, and ends where somebody has the same on 127.0.0.1: then it is started again.
    fn start() -> Self {
        (0..STARTS)
            .find_map(|_| Self::try_to_start())
            .expect("ChromeDriver listens")
    }

    fn try_to_start() -> Option<Self> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver; install the Debian packages chromium and chromium-driver");
        let mut output = BufReader::new(process.stdout.take().expect("its output"));
        let Some(port) = announced_port(&mut output) else {
            process.wait().expect("it has ended");
            return None;
        };
        Some(Self {
            process,
            port,
            _output: output,
        })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Has ChromeDriver end its Chromium and itself; a killed one would leave Chromium behind.
    fn shut_down(&mut self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(
            connection,
            "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.port
        )?;
        connection.read_to_end(&mut Vec::new())?;
        self.process.wait().map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.shut_down().is_err() {
            drop(self.process.kill());
            drop(self.process.wait());
        }
    }
}

/// The port that it says it listens on, unless it ends before.
fn announced_port(output: &mut impl BufRead) -> Option<u16> {
    let mut line = String::new();
    while output.read_line(&mut line).expect("ChromeDriver's output") > 0 {
        let port = line
            .trim()
            .trim_end_matches('.')
            .rsplit_once("successfully on port ");
        if let Some(port) = port.and_then(|(_, port)| port.parse().ok()) {
            return Some(port);
        }
        line.clear();
    }
    None
}

/// Whether this address is that place. A path is meant whole: `/account` is not at `/account/claim`.
fn is_at(url: &Url, place: &str) -> bool {
    let Some(rest) = url.as_str().strip_prefix(place) else {
        return false;
    };
    let is_origin = place.matches('/').count() == 2;
    is_origin || place.ends_with(['=', '/']) || rest.is_empty() || rest.starts_with(['?', '#'])
}

fn done<T>(result: Result<T, CmdError>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// axe-core's source, from the npm peers.
fn axe() -> String {
    let file = root().join("tests/peers/npm/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run `npm ci` there", file.display()))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
