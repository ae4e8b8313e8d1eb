//! What goes through the door is what was sent, to the byte and in either direction; and what is refused leaves nothing behind.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_tests::tools::FileStore;
use countersign_tests::wire;
use futures_util::stream;
use reqwest::{Body, Client, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::door::Door;

const PATH: &str = "/maven2/org/example/hello/1.0.0/hello-1.0.0.jar";

#[expect(
    clippy::disallowed_methods,
    reason = "what a tool has of its own is not what we have"
)]
#[actix_web::test]
async fn a_body_arrives_whole_with_a_length_and_in_chunks_and_is_read_in_parts() {
    let store = FileStore::start();
    let door = Door::before("maven-central", &store.url).await;
    let key = door.good_key().await;
    let url = format!("{}{PATH}", door.url);
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|at| (at % 251) as u8).collect();
    let pieces: Vec<_> = bytes.chunks(65_537).map(<[u8]>::to_vec).collect();
    let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
    let chunked = Body::wrap_stream(stream::iter(pieces));
    let client = Client::new();
    for body in [Body::from(bytes.clone()), chunked] {
        store.put(PATH, "");
        let put = client.put(&url).basic_auth("ann", Some(&key)).body(body);
        let answer = put.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        assert!(store.read(PATH) == bytes, "another file arrived");
    }

    let whole = client.get(&url).send().await.expect("an answer");
    let headers = whole.headers().clone();
    assert_eq!(headers["content-length"], "8000000");
    assert!(
        whole.bytes().await.expect("a body") == bytes,
        "another file is read"
    );
    let part = client.get(&url).header("range", "bytes=10-13");
    let part = part.send().await.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.expect("a body"), bytes[10..14]);
    let tag = headers["etag"].to_str().expect("a tag");
    for (method, if_none_match, status) in [("HEAD", "", 200), ("GET", tag, 304)] {
        let known = [("if-none-match", if_none_match)];
        let answer = wire::send(method, &door.url, PATH, &known, "").await;
        // To the byte: not even the end of a body in chunks.
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, ""),
            "{method}"
        );
    }
}

/// Tools keep what they have read, and a registry has pages: what we say of our own is not for those.
#[actix_web::test]
async fn what_the_registry_answers_has_its_own_headers_and_is_kept_by_nobody_else_where_it_took_a_key()
 {
    let store = FileStore::start();
    store.put(PATH, "hello");
    let door = Door::before("maven-central", &store.url).await;
    let read = wire::get(&door.url, PATH, &[]).await;
    assert_eq!((read.status, read.body.as_str()), (200, "hello"));
    for ours in [
        "cache-control",
        "content-security-policy",
        "x-frame-options",
    ] {
        assert_eq!(read.headers.get(ours), None, "{ours}");
    }
    assert!(read.headers.contains_key("x-request-id"));

    let pair = format!("ann:{}", door.good_key().await);
    let authorization = format!("Basic {}", STANDARD.encode(pair));
    let put = wire::send(
        "PUT",
        &door.url,
        PATH,
        &[("authorization", &authorization)],
        "other",
    )
    .await;
    assert_eq!(put.status, 204, "{}", put.body);
    assert_eq!(put.headers["cache-control"], "private");
    let refused = wire::send("PUT", &door.url, PATH, &[], "other").await;
    assert_eq!(refused.headers["cache-control"], "no-store");
    assert!(refused.headers.contains_key("content-security-policy"));
}

/// RFC 9110 10.1.1.
#[actix_web::test]
async fn a_tool_that_waits_before_it_sends_hears_why_it_is_refused_and_its_connection_ends() {
    let store = FileStore::start();
    let door = Door::before("maven-central", &store.url).await;
    let host = door.url.trim_start_matches("http://");
    let head = format!(
        "PUT {PATH} HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
    );
    let mut stream = TcpStream::connect(host).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.expect("an answer");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.expect("it is sent");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("an answer");
    let words = door.words("Sign in to publish: make an API key at KEYS");
    assert!(
        said.starts_with(&format!("HTTP/1.1 401 {words}\r\n")),
        "{said}"
    );
    assert!(said.ends_with(&format!("\r\n\r\n{words}\n")), "{said}");
    assert!(said.contains("connection: close\r\n"), "{said}");
    assert_eq!(store.files(), Vec::<String>::new());
}

/// A registry that answers every request so, whatever it is; its address.
async fn always(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    actix_web::rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut lines = BufReader::new(&mut stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.is_empty() {
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    url
}

/// Maven shows nothing else.
#[actix_web::test]
async fn why_the_registry_refuses_stands_in_the_status_line_where_a_tool_looks_for_it_there() {
    let exists = "HTTP/1.1 409 1.0.0 exists already\r\n";
    for (status_line, to_owner, to_strangers) in [
        // They could have it say as much as is kept.
        (exists, exists, "HTTP/1.1 409 Conflict\r\n"),
        (
            "HTTP/1.1 200 Fine, thank you\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\n",
        ),
    ] {
        let answer = format!("{status_line}content-length: 0\r\nconnection: close\r\n\r\n");
        let door = Door::before("maven-central", &always(answer).await).await;
        let basic = STANDARD.encode(format!("ann:{}", door.good_key().await));
        for (request, expected) in [
            (
                format!(
                    "PUT /maven2/a/b/1/b-1.jar HTTP/1.1\r\nauthorization: Basic {basic}\r\ncontent-length: 0"
                ),
                to_owner,
            ),
            ("GET /a/b HTTP/1.1".to_owned(), to_strangers),
        ] {
            let host = door.url.trim_start_matches("http://");
            let head = format!("{request}\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            let mut stream = TcpStream::connect(host).await.expect("a connection");
            stream.write_all(head.as_bytes()).await.expect("it is sent");
            let mut told = String::new();
            stream.read_to_string(&mut told).await.expect("an answer");
            assert!(told.starts_with(expected), "{told}");
        }
    }
}
