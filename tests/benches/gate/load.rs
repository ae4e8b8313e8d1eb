//! Requests over connections that stay open, as a proxy makes them: each is the same to the byte, and the next is sent when the
//! answer to the one before has come.

use anyhow::Context;
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How many connections there are at once: enough that no server waits for the next request to come.
const CONNECTIONS: u32 = 32;

/// One request, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    address: String,
    text: String,
}

impl Request {
    /// A request of this address (`http://127.0.0.1:1`) with these header lines.
    pub(crate) fn new(base: &str, line: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let address = base.trim_start_matches("http://").to_owned();
        let length = body.len().to_string();
        let length = (!body.is_empty()).then_some(("Content-Length", length.as_str()));
        let lines = headers.iter().copied().chain(length);
        let lines: String = lines
            .map(|(name, value)| [name, ": ", value, "\r\n"].concat())
            .collect();
        let text = format!("{line} HTTP/1.1\r\nHost: {address}\r\n{lines}\r\n{body}");
        Self { address, text }
    }

    /// The same request of another server.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self {
            address: base.trim_start_matches("http://").to_owned(),
            ..self.clone()
        }
    }

    /// Sends it once; the answer, with its head.
    pub(crate) async fn once(&self) -> anyhow::Result<Answer> {
        Connection::open(&self.address).await?.ask(&self.text).await
    }

    /// Sends it so many times. Every answer must be a 200.
    pub(crate) async fn run(&self, times: u32) -> anyhow::Result<()> {
        let share = async |_| -> anyhow::Result<()> {
            let mut connection = Connection::open(&self.address).await?;
            for _ in 0..times / CONNECTIONS {
                let answer = connection.ask(&self.text).await?;
                anyhow::ensure!(answer.status()? == 200, "{}", answer.head);
            }
            Ok(())
        };
        try_join_all((0..CONNECTIONS).map(share)).await.map(drop)
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> anyhow::Result<u16> {
        Ok(self.head.get(9..12).context("no status")?.parse()?)
    }

    /// A header, however its name is written.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers();
        let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(found.1)
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.lines().skip(1);
        lines.filter_map(|line| {
            line.split_once(':')
                .map(|(name, value)| (name, value.trim()))
        })
    }
}

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::with_capacity(16 << 10),
        })
    }

    async fn ask(&mut self, text: &str) -> anyhow::Result<Answer> {
        self.stream.write_all(text.as_bytes()).await?;
        self.read.clear();
        let head = loop {
            if let Some(end) = end_of_head(&self.read) {
                break end;
            }
            self.more().await?;
        };
        let mut answer = Answer {
            head: String::from_utf8(self.read[..head].to_vec())?,
            body: String::new(),
        };
        let length: usize = answer
            .header("content-length")
            .context("no length")?
            .parse()?;
        while self.read.len() < head + length {
            self.more().await?;
        }
        answer.body = String::from_utf8(self.read[head..].to_vec())?;
        Ok(answer)
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.read).await?;
        anyhow::ensure!(read > 0, "the server closed the connection");
        Ok(())
    }
}

fn end_of_head(read: &[u8]) -> Option<usize> {
    read.windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}
