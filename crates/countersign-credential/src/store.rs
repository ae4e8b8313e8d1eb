//! What is kept between two runs: one file, `countersign/credentials.json` where people's configuration is, that nobody else
//! can read.
//!
//! It is written whole and put in the place of the old one, under a lock: a reader sees one or the other, and of two helpers at
//! once neither loses what the other has written.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::Error;
use crate::address::{Address, is_at};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;
const VERSION: u32 = 1;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    version: u32,
    /// By the address of each at Countersign.
    #[serde(default)]
    registries: BTreeMap<String, Login>,
    /// What Docker has given to be kept, by the server as Docker names it.
    #[serde(default)]
    pub(crate) docker: BTreeMap<String, DockerLogin>,
}

/// What a person has for a registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// Where its tools reach it.
    pub(crate) registry: Url,
    #[serde(serialize_with = "exposed")]
    pub(crate) key: SecretString,
    /// What the key is called where people see their keys.
    pub(crate) name: String,
    pub(crate) expires_at: String,
}

/// What Docker has given to be kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerLogin {
    pub(crate) username: String,
    #[serde(serialize_with = "exposed")]
    pub(crate) secret: SecretString,
}

fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Kept {
    fn nothing() -> Self {
        Self {
            version: VERSION,
            registries: BTreeMap::new(),
            docker: BTreeMap::new(),
        }
    }

    pub(crate) fn login(&self, address: &Address) -> Option<&Login> {
        self.registries.get(&address.to_string())
    }

    pub(crate) fn keep(&mut self, address: &Address, login: Login) {
        self.registries.insert(address.to_string(), login);
    }

    pub(crate) fn forget(&mut self, address: &Address) {
        self.registries.remove(&address.to_string());
    }

    /// All logins, with the addresses of their registries at Countersign.
    pub(crate) fn logins(&self) -> impl Iterator<Item = (Address, &Login)> {
        let all = self.registries.iter();
        all.filter_map(|(address, login)| Some((address.parse().ok()?, login)))
    }

    /// The registry that a tool means by this URL.
    pub(crate) fn at(&self, url: &str) -> Option<Address> {
        let mut logins = self.logins();
        let found = logins.find(|(_, login)| is_at(&login.registry, url));
        found.map(|(address, _)| address)
    }
}

/// Where it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// Held until it is dropped, or the process ends.
#[must_use]
pub(crate) struct Lock(#[expect(dead_code, reason = "it is held")] File);

impl Store {
    /// Where this person's configuration is.
    pub(crate) fn of_person() -> Result<Self, Error> {
        let absolute = |name: &str| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        let home = || Some(absolute("HOME")?.join(".config"));
        let configuration = absolute("XDG_CONFIG_HOME").or_else(home);
        let directory = configuration.ok_or(Error::Homeless)?.join("countersign");
        Ok(Self { directory })
    }

    /// What is kept; nothing where nothing was ever kept.
    pub(crate) fn read(&self) -> Result<Kept, Error> {
        let path = self.directory.join("credentials.json");
        let file = match OpenOptions::new().read(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Kept::nothing()),
            Err(error) => return Err(of_file(&path, &error)),
        };
        check(&file, &path)?;
        let mut text = String::new();
        let read = file.take(LONGEST).read_to_string(&mut text);
        read.map_err(|error| of_file(&path, &error))?;
        let kept: Result<Kept, _> = serde_json::from_str(&text);
        // serde's own words could quote a secret.
        let kept = kept.ok().filter(|kept| kept.version == VERSION);
        kept.ok_or_else(|| Error::File {
            path,
            why: "is not as this program writes it: remove it, and sign in again".to_owned(),
        })
    }

    /// Changes what is kept, and writes it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Kept)) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut kept = self.read()?;
        change(&mut kept);
        self.write(&kept)
            .map_err(|error| of_file(&self.directory, &error))
    }

    /// One helper at a time asks a person to sign in: tools start several. Nothing where another does.
    pub(crate) fn lock_sign_in(&self) -> Result<Option<Lock>, Error> {
        let (path, file) = self.open_lock("sign-in.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(of_file(&path, &error)),
        }
    }

    /// Nobody holds this one for longer than a file is written.
    fn lock(&self) -> Result<Lock, Error> {
        let (path, file) = self.open_lock("credentials.lock")?;
        file.lock().map_err(|error| of_file(&path, &error))?;
        Ok(Lock(file))
    }

    fn open_lock(&self, name: &str) -> Result<(PathBuf, File), Error> {
        let path = self.directory.join(name);
        let opened = || {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.directory)?;
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).write(true).mode(0o600);
            file.open(&path)
        };
        let file = opened().map_err(|error| of_file(&path, &error))?;
        Ok((path, file))
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        // 0600, as `tempfile` makes files.
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        serde_json::to_writer_pretty(&mut file, kept)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(self.directory.join("credentials.json"))?;
        fs::File::open(&self.directory)?.sync_all()
    }
}

fn of_file(path: &Path, error: &io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        why: format!("can't be used: {error}"),
    }
}

/// Keys that others could have read, or written, are not used.
fn check(file: &File, path: &Path) -> Result<(), Error> {
    let data = file.metadata().map_err(|error| of_file(path, &error))?;
    let wrong = if data.uid() != rustix::process::geteuid().as_raw() {
        "is somebody else's"
    } else if data.mode() & 0o077 != 0 {
        "can be read by others, and the keys in it with it: `chmod 600` it, and sign in again"
    } else if data.len() > LONGEST {
        "is too long to be what this program has written"
    } else {
        return Ok(());
    };
    Err(Error::File {
        path: path.to_owned(),
        why: wrong.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ADDRESS: &str = "https://login.example.org/registry/crates";

    fn login(key: &str) -> Login {
        Login {
            registry: Url::parse("https://crates.example.org").unwrap(),
            key: key.into(),
            name: "crates.io login".to_owned(),
            expires_at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a/countersign");
        (home, Store { directory })
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_read_again_and_only_by_its_owner() {
        let (_home, store) = store();
        assert_eq!(store.read().unwrap().logins().count(), 0);
        let address: Address = ADDRESS.parse().unwrap();
        store
            .change(|kept| kept.keep(&address, login("csk_1")))
            .unwrap();
        let kept = store.read().unwrap();
        assert_eq!(kept.login(&address).unwrap().key.expose_secret(), "csk_1");
        assert_eq!(
            kept.at("sparse+https://crates.example.org/"),
            Some(address.clone())
        );
        assert_eq!(kept.at("https://other.example.org/"), None);
        assert!(!format!("{kept:?}").contains("csk_1"));
        assert_eq!(mode(&store.directory), 0o700);
        assert_eq!(mode(&store.directory.join("credentials.json")), 0o600);
        store.change(|kept| kept.forget(&address)).unwrap();
        assert_eq!(store.read().unwrap().logins().count(), 0);
    }

    #[test]
    fn what_others_can_read_or_is_no_such_file_is_not_used() {
        let (_home, store) = store();
        store.change(|_| ()).unwrap();
        let path = store.directory.join("credentials.json");
        for (mode, words) in [
            (0o644, "can be read by others"),
            (0o620, "can be read by others"),
            (0o604, "can be read by others"),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = store.read().unwrap_err().to_string();
            assert!(error.contains(words), "{mode:o}: {error}");
            assert!(store.change(|_| ()).is_err(), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in [
            "",
            "{",
            "[]",
            "{\"version\":2}",
            "{\"version\":1,\"more\":\"csk_1\"}",
        ] {
            fs::write(&path, text).unwrap();
            let error = store.read().unwrap_err().to_string();
            assert!(
                error.contains("is not as this program writes it"),
                "{error}"
            );
            assert!(!error.contains("csk_1"));
        }
    }

    #[test]
    fn of_many_at_once_none_loses_what_another_has_written() {
        let (_home, store) = store();
        let address = |number: usize| format!("{ADDRESS}-{number}").parse::<Address>().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (store, address) = (&store, address(number));
                scope.spawn(move || {
                    store
                        .change(|kept| kept.keep(&address, login("csk_1")))
                        .unwrap();
                });
            }
        });
        assert_eq!(store.read().unwrap().logins().count(), 8);
    }
}
