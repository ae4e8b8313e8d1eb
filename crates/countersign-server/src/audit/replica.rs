//! What this replica is called: made once, and kept beside its data.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use countersign_store::ReplicaId;

use crate::Entropy;
use crate::edge::RandomText;

const FILE: &str = "replica-id";
const OTHERS: u32 = 0o077;

/// The name, made if there is none yet. Of two who make one at once the first is right.
pub(super) fn load_or_make(directory: &Path, entropy: &dyn Entropy) -> io::Result<ReplicaId> {
    if let Some(known) = load(directory)? {
        return Ok(known);
    }
    let made = entropy.hex::<8>();
    let draft = directory.join(format!("{FILE}-{made}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(format!("{made}\n").as_bytes())?;
    file.sync_all()?;
    // A link appears whole or not at all, and never in another's place.
    let linked = fs::hard_link(&draft, directory.join(FILE));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    load(directory)?.ok_or_else(|| io::Error::from(ErrorKind::NotFound))
}

/// The name, if there is one.
pub(super) fn load(directory: &Path) -> io::Result<Option<ReplicaId>> {
    let path = directory.join(FILE);
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Who can put another name there can begin another chain, in which nothing is missing.
    if !metadata.is_file() || metadata.mode() & OTHERS != 0 {
        let what = format!(
            "`{}` must be a file of its owner's alone (`chmod 600`)",
            path.display()
        );
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    let text = fs::read_to_string(&path)?;
    let name = ReplicaId::new(text.trim_end());
    let wrong = |error| {
        io::Error::new(
            ErrorKind::InvalidData,
            format!("`{}`: {error}", path.display()),
        )
    };
    name.map(Some).map_err(wrong)
}
