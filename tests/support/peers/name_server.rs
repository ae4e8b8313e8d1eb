//! A name server on loopback: answers about TXT records, by UDP.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// What a name has.
#[derive(Debug, Clone)]
pub enum Named {
    /// TXT records.
    Texts(Vec<String>),
    /// An alias (CNAME) of another name, whose TXT records come with it.
    Alias(String, Vec<String>),
    /// Something about which nobody gets an answer.
    Silence,
}

/// A name server.
#[derive(Debug)]
pub struct NameServer {
    /// Where it is asked.
    pub address: SocketAddr,
    names: Arc<Mutex<BTreeMap<String, Named>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Starts one that knows no name.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        let (names, asked) = (Arc::default(), Arc::default());
        let server = Self {
            address,
            names: Arc::clone(&names),
            asked: Arc::clone(&asked),
        };
        std::thread::spawn(move || serve(&socket, &names, &asked));
        server
    }

    /// What a name has from now on.
    pub fn set(&self, name: &str, named: Named) {
        let mut names = self.names.lock().expect("no panic");
        names.insert(name.to_owned(), named);
    }

    /// The names that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn serve(socket: &UdpSocket, names: &Mutex<BTreeMap<String, Named>>, asked: &Mutex<Vec<String>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let Some((name, question)) = question(&buffer[..length]) else {
            continue;
        };
        asked.lock().expect("no panic").push(name.clone());
        let named = names.lock().expect("no panic").get(&name).cloned();
        if let Some(answer) = answer(&buffer[..2], question, named) {
            socket.send_to(&answer, from).expect("it is sent");
        }
    }
}

/// The name that is asked for, and the whole question (RFC 1035 4.1.2).
fn question(message: &[u8]) -> Option<(String, &[u8])> {
    let question = message.get(12..)?;
    let (mut labels, mut at) = (Vec::new(), 0);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = question.get(at..at + length)?;
        labels.push(String::from_utf8(label.to_vec()).ok()?);
        at += length;
    }
    Some((labels.join(".").to_lowercase(), question.get(..at + 4)?))
}

fn answer(id: &[u8], question: &[u8], named: Option<Named>) -> Option<Vec<u8>> {
    const NO_SUCH_NAME: u8 = 3;
    let (code, records) = match named {
        Some(Named::Silence) => return None,
        None => (NO_SUCH_NAME, Vec::new()),
        // The name of the question, which stands at byte 12.
        Some(Named::Texts(texts)) => (0, texts.iter().map(|one| text(&[0xc0, 12], one)).collect()),
        Some(Named::Alias(target, texts)) => {
            let target = encoded(&target);
            let own = texts.iter().map(|one| text(&target, one));
            let alias = record(&[0xc0, 12], 5, &target);
            (0, std::iter::once(alias).chain(own).collect::<Vec<_>>())
        }
    };
    let count = u8::try_from(records.len()).expect("a few");
    // An answer, from a server that recurses.
    let header = [0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    Some([id, &header, question, &records.concat()].concat())
}

fn text(name: &[u8], text: &str) -> Vec<u8> {
    let strings = text.as_bytes().chunks(40).flat_map(|chunk| {
        let length = u8::try_from(chunk.len()).expect("at most 40");
        [&[length], chunk].concat()
    });
    record(name, 16, &strings.collect::<Vec<u8>>())
}

fn record(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short").to_be_bytes();
    [name, &[0, kind, 0, 1, 0, 0, 0, 0], &length, data].concat()
}

fn encoded(name: &str) -> Vec<u8> {
    let label = |label: &str| {
        let length = u8::try_from(label.len()).expect("short");
        [&[length], label.as_bytes()].concat()
    };
    let mut encoded: Vec<u8> = name.split('.').flat_map(label).collect();
    encoded.push(0);
    encoded
}
