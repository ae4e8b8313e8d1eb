//! An upload on its way to the registry: what it says of itself, read before it is judged, and whether it is the one that its
//! sender has leave for, which only its last byte tells.
//!
//! Of an upload that must be a certain one, the last piece is held back until all of it is known. So the registry never has
//! another one whole.

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use actix_web::web::{self, Bytes};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use countersign_core::registry::{BodyForm, Checksum, Head, HeadError};
use futures_util::StreamExt;
use jiff::SignedDuration;
use tokio::time::timeout;

/// How long a client may send nothing of a body that is awaited; and all of its head, which is short.
pub(super) const SILENCE: SignedDuration = SignedDuration::from_secs(60);

/// How much of a body that nobody wants is read, and for how long, so that the client, which sends before it listens, hears
/// why. Whoever sends more is cut off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    bytes: usize,
    time: SignedDuration,
}

impl Patience {
    /// At a registry's own door.
    pub(super) const AT_A_DOOR: Self = Self {
        bytes: 512 * 1024 * 1024,
        time: SignedDuration::from_secs(60),
    };
    /// Where everything else is answered, too: within the time that a request has there.
    pub(super) const BELOW_A_PATH: Self = Self {
        bytes: 32 * 1024 * 1024,
        time: SignedDuration::from_secs(20),
    };
}

/// The body of a request.
pub(super) struct Upload {
    /// What was read of it to judge it, and is to be passed on first.
    read: Option<Bytes>,
    rest: web::Payload,
    /// How many bytes are to come, where its length was said.
    left: Option<u64>,
    /// Whether its sender has kept us waiting: then nothing more of it is waited for.
    is_late: bool,
    head: Option<Head>,
    check: Option<Check>,
    held: Option<Bytes>,
}

/// Why an upload does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Its sender has gone away, or says nothing.
    CutOff,
    /// It is not the one that it must be.
    Another,
}

impl Upload {
    /// The body of a request with these headers.
    pub(super) fn new(rest: web::Payload, headers: &HeaderMap) -> Self {
        let said = headers.get(CONTENT_LENGTH);
        let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
        // RFC 9112 6.3: what says nothing of a body has none.
        let is_chunked = headers.contains_key(TRANSFER_ENCODING);
        let left = (!is_chunked).then_some(said.unwrap_or(0));
        Self {
            read: None,
            rest,
            left,
            is_late: false,
            head: None,
            check: None,
            held: None,
        }
    }

    /// What it says of itself.
    pub(super) async fn head(
        &mut self,
        form: BodyForm,
        headers: &HeaderMap,
    ) -> Result<&Head, HeadError> {
        // What is compressed the registry may read, and we would read something else.
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(HeadError::Unreadable);
        }
        let reading = timeout(SILENCE.unsigned_abs(), first_bytes(form, &mut self.rest));
        let Ok(read) = reading.await else {
            self.is_late = true;
            return Err(HeadError::Unreadable);
        };
        let (head, read) = read?;
        self.read = Some(read);
        Ok(self.head.insert(head))
    }

    /// It goes on to its end only if its archive has this checksum. False where what it says of itself was not read.
    #[must_use]
    pub(super) fn must_be(&mut self, checksum: Checksum) -> bool {
        self.check = self.head.as_ref().map(|head| Check::new(head, checksum));
        self.check.is_some()
    }

    /// The next piece to be passed on; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        while let Some(piece) = self.arrived().await? {
            let Some(check) = &mut self.check else {
                return Ok(Some(piece));
            };
            if !check.add(&piece) {
                return Err(Broken::Another);
            }
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some(before));
            }
        }
        if self.check.take().is_some_and(|check| !check.met()) {
            return Err(Broken::Another);
        }
        Ok(self.held.take())
    }

    /// The next piece that is there. More than its length says there never is: the registry would have it whole before we do.
    async fn arrived(&mut self) -> Result<Option<Bytes>, Broken> {
        let Some(piece) = self.read_next().await? else {
            return Ok(None);
        };
        if let Some(left) = &mut self.left {
            let rest = left.checked_sub(piece.len() as u64);
            *left = rest.ok_or(Broken::Another)?;
        }
        Ok(Some(piece))
    }

    async fn read_next(&mut self) -> Result<Option<Bytes>, Broken> {
        if let Some(read) = self.read.take() {
            return Ok(Some(read));
        }
        loop {
            match timeout(SILENCE.unsigned_abs(), self.rest.next()).await {
                Ok(Some(Ok(piece))) if piece.is_empty() => {}
                Ok(Some(Ok(piece))) => return Ok(Some(piece)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) | Err(_) => return Err(Broken::CutOff),
            }
        }
    }

    /// Reads what has not arrived yet, where nobody wants it, within bounds.
    pub(super) async fn discard(mut self, patience: Patience) {
        if self.is_late {
            return;
        }
        let reading = async {
            let mut read = 0;
            while self.left != Some(0) && read <= patience.bytes {
                let Ok(Some(piece)) = self.arrived().await else {
                    return;
                };
                read += piece.len();
            }
        };
        drop(timeout(patience.time.unsigned_abs(), reading).await);
    }
}

/// Reads as much as it takes.
async fn first_bytes(form: BodyForm, from: &mut web::Payload) -> Result<(Head, Bytes), HeadError> {
    let mut read = Vec::new();
    loop {
        if let Some(head) = Head::read(form, &read)? {
            return Ok((head, read.into()));
        }
        match from.next().await {
            Some(Ok(piece)) => read.extend_from_slice(&piece),
            Some(Err(_)) | None => return Err(HeadError::Unreadable),
        }
    }
}

/// Whether an archive is the one that it must be.
struct Check {
    /// How many bytes come before it yet.
    before: usize,
    /// How many of its own are to come.
    left: u64,
    digest: Digest,
    wanted: Checksum,
}

impl Check {
    fn new(head: &Head, wanted: Checksum) -> Self {
        Self {
            before: head.length,
            left: head.archive,
            digest: Digest::new(&SHA256),
            wanted,
        }
    }

    /// Takes the next bytes; false where there are more than the upload says.
    fn add(&mut self, piece: &[u8]) -> bool {
        let (before, archive) = piece.split_at(self.before.min(piece.len()));
        self.before -= before.len();
        self.digest.update(archive);
        match self.left.checked_sub(archive.len() as u64) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn met(self) -> bool {
        let all_came = self.before == 0 && self.left == 0;
        all_came && self.digest.finish().as_ref() == self.wanted.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    /// Whether an upload is the one that it must be, however it is cut up.
    #[track_caller]
    fn check(archive: u64, body: &str, expected: bool) {
        for size in 1..=body.len().max(1) {
            let head = Head {
                package: "a".to_owned(),
                version: "1.0.0".to_owned(),
                length: 3,
                archive,
            };
            let wanted = Checksum::try_from(HELLO.to_owned()).unwrap();
            let mut check = Check::new(&head, wanted);
            let mut pieces = body.as_bytes().chunks(size);
            let is_met = pieces.all(|piece| check.add(piece)) && check.met();
            assert_eq!(is_met, expected, "{body} in pieces of {size}");
        }
    }

    #[test]
    fn an_archive_is_the_one_to_the_byte_and_nothing_follows_it() {
        check(5, "abchello", true);
        check(5, "abchellp", false);
        check(5, "abchell", false);
        check(4, "abchello", false);
        check(6, "abchello", false);
        check(5, "abchello!", false);
        check(5, "hello", false);
        check(0, "abc", false);
        check(5, "", false);
    }
}
