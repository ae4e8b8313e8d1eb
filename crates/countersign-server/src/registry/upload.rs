//! An upload on its way to the registry: what it says of itself, read before it is judged, and whether it is the one that its
//! sender has leave for, which only its last byte tells.
//!
//! Of an upload that must be a certain one, the last piece is held back until all of it is known. So the registry never has
//! another one whole.

use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};
use actix_web::web::{self, Bytes};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use countersign_core::registry::{BodyForm, Checksum, Head, HeadError};
use futures_util::StreamExt;
use jiff::SignedDuration;
use tokio::time::timeout;

/// How long a client may send nothing of a body that is awaited; and all of its head, which is short.
pub(super) const SILENCE: SignedDuration = SignedDuration::from_secs(60);

/// The body of a request.
pub(super) struct Upload {
    /// What was read of it to judge it, and is to be passed on first.
    read: Option<Bytes>,
    rest: web::Payload,
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
    pub(super) fn new(rest: web::Payload) -> Self {
        Self {
            read: None,
            rest,
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
        let (head, read) = reading.await.map_err(|_| HeadError::Unreadable)??;
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

    async fn arrived(&mut self) -> Result<Option<Bytes>, Broken> {
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

    /// What has not arrived yet, where nobody wants it.
    pub(super) fn into_rest(self) -> web::Payload {
        self.rest
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
