//! Requests to the byte: what no browser and no HTTP client would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::Page;

/// Sends this request on a connection of its own and reads until the server closes it.
///
/// The request itself must say `connection: close`. Status 0: the server closed without an answer.
pub async fn exchange(base: &str, request: &[u8]) -> Page {
    let url = Url::parse(base).expect("an address");
    let address = url.socket_addrs(|| None).expect("an address")[0];
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // A server that has read enough may answer and close before everything is sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    read(url, &answer)
}

/// A request with these header lines and this body.
pub async fn send(
    method: &str,
    base: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Page {
    let host = base.trim_start_matches("http://");
    let length = body.len().to_string();
    let mut fields = vec![("content-length", length.as_str()), ("connection", "close")];
    let has = |field: &str| headers.iter().any(|(name, _)| *name == field);
    if !has("host") {
        fields.push(("host", host));
    }
    if !body.is_empty() && !has("content-type") {
        fields.push(("content-type", "application/x-www-form-urlencoded"));
    }
    fields.extend_from_slice(headers);
    let lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!("{method} {target} HTTP/1.1\r\n{}\r\n{body}", lines.concat());
    exchange(base, request.as_bytes()).await
}

/// A GET with these header lines.
pub async fn get(base: &str, target: &str, headers: &[(&str, &str)]) -> Page {
    send("GET", base, target, headers, "").await
}

/// UserInfo for this access token.
pub async fn user_info(base: &str, token: &str) -> Page {
    let bearer = format!("Bearer {token}");
    get(base, "/userinfo", &[("authorization", &bearer)]).await
}

fn read(url: Url, answer: &[u8]) -> Page {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let set_cookies = fields.iter().filter(|(name, _)| name == "set-cookie");
    let set_cookies = set_cookies.map(|(_, value)| value.clone()).collect();
    let headers: std::collections::BTreeMap<String, String> = fields.into_iter().collect();
    let location = headers.get("location").and_then(|to| url.join(to).ok());
    Page {
        url,
        status: status.unwrap_or(0),
        location,
        headers,
        set_cookies,
        body: body.to_owned(),
    }
}

/// A host that answers every request with one JSON document, and counts them.
#[derive(Debug)]
pub struct Serving {
    /// Its address.
    pub base: String,
    asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Serves this on loopback.
    pub async fn json(document: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let count = std::sync::Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let length = document.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                     content-length: {length}\r\nconnection: close\r\n\r\n{document}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { base, asked, task }
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}
