//! What is written is chained, and whatever is done to it afterwards is found.

use std::fs::{self, OpenOptions};
use std::io::Write;

use countersign_core::AccountId;
use countersign_store::ChainHash;
use jiff::SignedDuration;
use jiff::civil::Date;
use tempfile::TempDir;

use super::*;
use crate::log_file::Full;
use crate::log_file::disk::{Disk, Trouble, wait_until};
use crate::{Rotate, SystemEntropy};

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn noon() -> Timestamp {
    at("2027-03-08T12:00:00Z")
}

/// A directory, and a log in it.
struct Here {
    directory: TempDir,
    settings: LogFileSettings,
    heads: Vec<AuditHead>,
    /// When the files were last written to, as far as they say.
    last: Timestamp,
}

impl Here {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = LogFileSettings {
            path: directory.path().join("audit.jsonl"),
            rotate: Rotate::Daily,
            max_bytes: None,
            keep_days: None,
            keep_files: None,
        };
        Self {
            directory,
            settings,
            heads: Vec::new(),
            last: noon(),
        }
    }

    fn all(&self) -> AuditLogSettings {
        AuditLogSettings::File(self.settings.clone())
    }

    fn open(&self, writer: Writer) -> AuditLog {
        let path = self.all().of(writer).unwrap().path;
        if let Ok(file) = OpenOptions::new().append(true).open(path) {
            file.set_modified(self.last.into()).unwrap();
        }
        let made = (&SystemEntropy as &dyn Entropy, noon());
        AuditLog::open(
            &self.all(),
            writer,
            self.directory.path(),
            &self.heads,
            made,
        )
        .unwrap()
    }

    /// A server that writes so many lines, and ends in good order.
    fn run(&mut self, lines: usize, time: Timestamp) {
        let log = self.open(Writer::Server);
        for _ in 0..lines {
            log.write(Happening::new(Event::SignedIn, By::Nobody), time);
        }
        self.heads.extend(log.close().unwrap());
        self.last = time;
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.settings.path).unwrap()
    }

    fn put(&self, lines: &[&str]) {
        fs::write(&self.settings.path, lines.concat()).unwrap();
    }

    fn verify(&self) -> Vec<String> {
        let own = replicas_at(self.directory.path()).unwrap();
        let mut verifier = Verifier::new(Begin::WithTheFirst, &self.heads, &own);
        for path in self.all().files().unwrap() {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = fs::read(&path).unwrap();
            for (number, line) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
                let file = file.clone();
                let line_at = Place { file, line: number };
                verifier.line(line_at, line);
            }
        }
        let findings = verifier.end().findings.into_iter();
        findings
            .map(|one| {
                let at = one.at.map(|at| format!("{}:{}: ", at.file, at.line));
                format!("{}{}", at.unwrap_or_default(), one.kind)
            })
            .collect()
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(self.verify(), expected);
    }
}

/// Ten lines, all in order.
fn ten() -> Here {
    let mut here = Here::new();
    here.run(10, noon());
    here.check(&[]);
    here
}

fn tampered(change: impl FnOnce(&mut Vec<String>), expected: &[&str]) {
    let here = ten();
    let mut lines: Vec<String> = here
        .text()
        .split_inclusive('\n')
        .map(str::to_owned)
        .collect();
    change(&mut lines);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    here.put(&lines);
    here.check(expected);
}

#[test]
fn a_line_that_was_changed_dropped_moved_or_put_in_is_found() {
    let nobody_to_operator = |line: &mut String| *line = line.replace("nobody", "operator");
    tampered(
        |lines| nobody_to_operator(&mut lines[3]),
        &["audit.jsonl:4: changed"],
    );
    tampered(
        |lines| nobody_to_operator(&mut lines[9]),
        &["audit.jsonl:10: other-than-head"],
    );
    tampered(|lines| drop(lines.remove(3)), &["audit.jsonl:4: missing"]);
    tampered(|lines| drop(lines.remove(0)), &["audit.jsonl:1: missing"]);
    tampered(
        |lines| lines.swap(3, 4),
        &[
            "audit.jsonl:4: missing",
            "audit.jsonl:5: out-of-order",
            "audit.jsonl:6: missing",
        ],
    );
    tampered(
        |lines| lines.insert(5, lines[4].clone()),
        &["audit.jsonl:6: out-of-order"],
    );
    tampered(|lines| lines.truncate(7), &["audit.jsonl:7: cut-off"]);
    tampered(Vec::clear, &["cut-off"]);
    tampered(
        |lines| lines[4] = "not a line\n".into(),
        &["audit.jsonl:5: unreadable", "audit.jsonl:6: missing"],
    );
}

/// Writes these lines anew, as if an operator had done it all, and so many more of the kind.
fn rewritten(here: &Here, more: usize) {
    let mut before = ChainHash::NONE;
    let lines: Vec<AuditLine> = here
        .text()
        .lines()
        .map(|line| AuditLine::read(line.as_bytes()).unwrap())
        .collect();
    let last = lines.last().unwrap().clone();
    let more = (1..).take(more).map(|more| AuditLine {
        n: last.n + more,
        ..last.clone()
    });
    let rewritten: Vec<String> = lines
        .iter()
        .cloned()
        .chain(more)
        .map(|line| {
            let line = AuditLine {
                prev: before,
                actor: "operator".into(),
                ..line
            };
            let line = serde_json::to_string(&line).unwrap();
            before = hash_of(line.as_bytes());
            format!("{line}\n")
        })
        .collect();
    here.put(&rewritten.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn who_rewrites_all_that_follows_is_found_by_the_head() {
    let here = ten();
    rewritten(&here, 0);
    here.check(&["audit.jsonl:10: other-than-head"]);
}

#[test]
fn a_tail_that_was_written_anew_stays_a_break_when_the_heads_of_it_are_gone() {
    // 2000 lines are more than is read at first.
    for more in [0, 1, 2000] {
        let mut here = ten();
        rewritten(&here, more);
        here.run(3, noon());
        assert!(
            here.text().contains("\"reason\":\"other-than-head\""),
            "{more} more: {}",
            here.text()
        );
        here.heads.remove(0);
        let broken = format!("audit.jsonl:{}: changed", 10 + more);
        here.check(&[&broken]);
        here.run(3, noon());
        here.check(&[&broken]);
    }
}

#[test]
fn the_line_of_the_head_is_looked_for_in_the_files_before() {
    let mut here = Here::new();
    here.run(10, noon());
    let first = here.heads.clone();
    here.run(1, at("2027-03-09T12:00:00Z"));
    // The store does not know of the second day, and the first is another by now.
    let [day_before, aside] =
        ["audit-2027-03-08.jsonl", "aside"].map(|name| here.directory.path().join(name));
    fs::rename(&here.settings.path, &aside).unwrap();
    fs::rename(&day_before, &here.settings.path).unwrap();
    rewritten(&here, 0);
    fs::rename(&here.settings.path, &day_before).unwrap();
    fs::rename(&aside, &here.settings.path).unwrap();
    here.heads = first;
    here.run(1, at("2027-03-09T12:00:00Z"));
    assert!(here.text().contains("other-than-head"), "{}", here.text());
}

#[test]
fn a_chain_that_nobody_knows_is_found() {
    let line = r#"{"v":1,"n":1,"time":"2027-03-08T12:00:00Z","replica":"aaaa","event":"account-locked","actor":"operator","prev":"0000000000000000000000000000000000000000000000000000000000000000"}"#;
    tampered(
        |lines| lines.insert(5, format!("{line}\n")),
        &["audit.jsonl:6: unknown-chain"],
    );
}

#[test]
fn a_chain_of_this_machine_must_be_there_and_one_of_another_is_told() {
    let here = ten();
    let [head] = &here.heads[..] else {
        panic!("{:?}", here.heads);
    };
    let end = |own: &[ReplicaId]| Verifier::new(Begin::WithTheFirst, &here.heads, own).end();
    let own = end(std::slice::from_ref(&head.replica));
    assert_eq!(own.findings[0].kind, "cut-off");
    assert_eq!(own.elsewhere, []);
    let others = end(&[]);
    assert_eq!(others.findings, []);
    assert_eq!(others.elsewhere, here.heads);
}

#[test]
fn a_chain_goes_on_over_restarts_and_days() {
    let mut here = Here::new();
    for day in [
        "2027-03-08T12:00:00Z",
        "2027-03-09T12:00:00Z",
        "2027-03-10T12:00:00Z",
    ] {
        here.run(3, at(day));
    }
    assert_eq!(here.all().files().unwrap().len(), 3);
    assert_eq!(here.heads.last().unwrap().n, 9);
    here.check(&[]);
    fs::remove_file(here.directory.path().join("audit-2027-03-09.jsonl")).unwrap();
    here.check(&["audit.jsonl:1: missing"]);
}

#[test]
fn half_a_line_is_kept_and_told_of() {
    let mut here = ten();
    let mut file = OpenOptions::new()
        .append(true)
        .open(&here.settings.path)
        .unwrap();
    file.write_all(b"{\"v\":1,\"n\":11,\"ti").unwrap();
    here.check(&["audit.jsonl:11: unreadable"]);
    here.run(2, noon());
    here.check(&[]);
    assert!(
        here.text().contains("{\"v\":1,\"n\":11,\"ti\n"),
        "what was left is gone"
    );
    assert!(here.text().contains("\"chain-resumed\""));
    // Nor can it be made to say something else.
    let other = here.text().replace("\"n\":11,\"ti\n", "\"n\":11,\"to\n");
    here.put(&[&other]);
    here.check(&["audit.jsonl:11: unreadable"]);
}

#[test]
fn a_tail_that_is_gone_stays_a_gap() {
    let mut here = ten();
    let text = here.text();
    let kept: Vec<&str> = text.split_inclusive('\n').take(6).collect();
    here.put(&kept);
    here.run(1, noon());
    here.check(&["audit.jsonl:7: missing"]);
    assert!(
        here.text().contains("\"lines\":\"7-10\""),
        "{}",
        here.text()
    );
}

#[test]
fn old_files_are_deleted_after_a_line_that_says_so() {
    let mut here = Here::new();
    here.settings.keep_days = Some(2);
    for day in ["2027-03-01", "2027-03-02", "2027-03-08"] {
        here.run(3, at(&format!("{day}T12:00:00Z")));
    }
    assert_eq!(here.all().files().unwrap().len(), 1);
    assert!(here.text().contains("\"lines\":\"1-6\""), "{}", here.text());
    here.check(&[]);
    // Without it they are missing.
    let text = here.text();
    let cut: Vec<&str> = text
        .split_inclusive('\n')
        .filter(|line| !line.contains("lines-deleted"))
        .collect();
    here.put(&cut);
    assert!(here.verify().contains(&"audit.jsonl:1: missing".to_owned()));
}

#[test]
fn commands_have_a_chain_of_their_own_and_wait_for_each_other() {
    let mut here = ten();
    here.settings.rotate = Rotate::Never; // What is written here says by its own time when that was.
    let server = here.open(Writer::Server);
    let command = here.open(Writer::Command);
    let made = (&SystemEntropy as &dyn Entropy, noon());
    let second = AuditLog::open(
        &here.all(),
        Writer::Server,
        here.directory.path(),
        &[],
        made,
    );
    assert!(matches!(
        second,
        Err(AuditLogError::File(LogFileError::InUse(_)))
    ));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| here.open(Writer::Command));
        command.write(Happening::new(Event::AccountLocked, By::Operator), noon());
        thread::sleep(Duration::from_millis(50));
        command.close().unwrap();
        drop(command);
        let next = waiting.join().unwrap();
        next.write(Happening::new(Event::AccountUnlocked, By::Operator), noon());
    });
    server.write(Happening::new(Event::SignedIn, By::Nobody), noon());
    here.heads.extend(server.close().unwrap());
    let files = here.all().files().unwrap();
    let commands = fs::read_to_string(files.last().unwrap()).unwrap();
    assert_eq!(commands.lines().count(), 2, "{commands}");
    here.check(&[]);
}

#[tokio::test]
async fn what_is_managed_is_with_the_system_when_it_is_acknowledged() {
    let here = Here::new();
    let log = here.open(Writer::Server);
    log.check(noon()).unwrap();
    let happening = Happening::new(Event::AccountLocked, By::Operator);
    log.write_through(happening.clone(), noon()).await.unwrap();
    assert!(here.text().contains("account-locked"));
    log.close().unwrap();
    assert_eq!(log.check(noon()), Err(NotAudited));
    assert_eq!(log.write_through(happening, noon()).await, Err(NotAudited));
}

// --- A disk in trouble.

/// What is wrong with the disk, and old files of which three lines are deleted on the day after.
impl Files for Disk {
    fn outdated(&mut self, today: Date) -> io::Result<Option<(Vec<Full>, u64)>> {
        let is_due = today == noon_of_the_day_after().1;
        let trouble = Disk::lock(self).at_thinning.take();
        if let Some(trouble) = trouble.filter(|_| is_due) {
            self.set(Some(trouble));
        }
        Ok(is_due.then(|| (Vec::new(), 3)))
    }
}

fn noon_of_the_day_after() -> (Timestamp, Date) {
    let time = at("2027-03-09T12:00:00Z");
    (time, crate::log_file::day(time))
}

fn on(disk: &Disk, most_waiting: usize) -> AuditLog {
    let chain = line::Chain::new(ReplicaId::new("a").unwrap());
    let resumed = Resumed { chain, first: None };
    let limits = (most_waiting, Duration::from_millis(300));
    AuditLog::start(disk.clone(), resumed, noon(), limits).unwrap()
}

fn signed_in() -> Happening {
    Happening::new(Event::SignedIn, By::Nobody).about(Subject::Client, "gallery")
}

fn events(disk: &Disk) -> Vec<String> {
    let lines: Vec<AuditLine> = disk
        .text()
        .lines()
        .map(|line| AuditLine::read(line.as_bytes()).unwrap())
        .collect();
    assert!((1..).zip(&lines).all(|(n, line)| line.n == n));
    lines.into_iter().map(|line| line.event).collect()
}

#[test]
fn while_the_disk_is_full_nobody_manages_anything_and_afterwards_all_is_there() {
    let disk = Disk::with(Trouble::Full(5));
    let log = on(&disk, 1 << 20);
    log.write(signed_in(), noon());
    wait_until(|| log.status().is_failing);
    assert_eq!(log.check(noon()), Err(NotAudited));
    log.write(signed_in(), noon());
    disk.set(None);
    wait_until(|| log.status().waiting == 0);
    log.check(noon()).unwrap();
    assert_eq!(events(&disk), ["signed-in", "signed-in"]);
}

#[test]
fn while_the_disk_hangs_nobody_manages_anything() {
    let disk = Disk::with(Trouble::Hangs);
    let log = on(&disk, 1 << 20);
    log.write(signed_in(), noon());
    wait_until(|| disk.attempts() == 1);
    // A line may have been under way for a moment.
    log.check(noon() + SignedDuration::from_secs(1)).unwrap();
    let later = noon() + SignedDuration::from_secs(3);
    assert_eq!(log.check(later), Err(NotAudited));
    disk.set(None);
    wait_until(|| log.status().waiting == 0);
    log.check(later).unwrap();
}

#[test]
fn what_there_is_no_room_for_is_counted_and_nobody_manages_anything_meanwhile() {
    let disk = Disk::with(Trouble::Hangs);
    let line = Waiting {
        happening: signed_in(),
        time: noon(),
        written: None,
    };
    let log = on(&disk, 3 * crate::log_file::Line::bytes(&line));
    log.write(signed_in(), noon());
    // What the thread has in its hands counts.
    wait_until(|| disk.attempts() == 1);
    for _ in 1..8 {
        log.write(signed_in(), noon());
    }
    assert_eq!((log.status().waiting, log.status().dropped), (3, 5));
    assert_eq!(log.check(noon()), Err(NotAudited));
    disk.set(None);
    // It is told of without another line that would have to come first.
    wait_until(|| disk.text().contains("lines-lost"));
    wait_until(|| log.status().waiting == 0);
    log.check(noon()).unwrap();
    log.close().unwrap();
    let all = ["signed-in", "signed-in", "signed-in", "lines-lost"];
    assert_eq!(events(&disk), all);
    assert!(disk.text().contains("\"count\":\"5\""), "{}", disk.text());
}

#[test]
fn a_disk_that_fails_while_old_files_are_deleted_and_works_again_is_good() {
    let disk = Disk::default();
    disk.lock().at_thinning = Some(Trouble::Full(0));
    let log = on(&disk, 1 << 20);
    let (time, _) = noon_of_the_day_after();
    log.write(signed_in(), time);
    wait_until(|| log.status().is_failing);
    assert_eq!(log.check(time), Err(NotAudited));
    disk.set(None);
    wait_until(|| !log.status().is_failing);
    log.check(time).unwrap();
    log.close().unwrap();
    assert_eq!(events(&disk), ["signed-in", "lines-deleted"]);
}

#[test]
fn what_a_full_disk_did_not_take_until_the_end_has_no_head() {
    let disk = Disk::with(Trouble::Full(0));
    let log = on(&disk, 1 << 20);
    log.write(signed_in(), noon());
    let closed = log.close();
    assert!(
        matches!(closed, Err(AuditLogError::Unwritten { lines: 1 })),
        "{closed:?}"
    );
    assert_eq!(*log.heads().unwrap().borrow(), None);
}

/// The numbers of the lines that are found, the latest first; page by page.
fn numbers(log: &AuditLog, query: &AuditQuery, limit: usize) -> Vec<Vec<u64>> {
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let found = log.search(query, before, limit).unwrap().unwrap();
        pages.push(found.lines.iter().map(|line| line.n).collect());
        // The way that a page goes: by its address.
        before = found.next.map(|place| place.to_string().parse().unwrap());
        if before.is_none() {
            return pages;
        }
    }
}

#[test]
fn the_latest_lines_come_first_and_every_line_once() {
    let here = Here::new();
    let log = here.open(Writer::Server);
    for second in 0..7 {
        let event = if second == 3 {
            Event::AccountMade
        } else {
            Event::SignedIn
        };
        let account = AccountId::new(format!("acct_{second}")).unwrap();
        let happening = Happening::new(event, By::Nobody).about(Subject::Account, account);
        log.write(happening, noon() + SignedDuration::from_secs(second));
    }
    log.close().unwrap();
    let all = AuditQuery::default();
    assert_eq!(
        numbers(&log, &all, 3),
        [vec![7, 6, 5], vec![4, 3, 2], vec![1]]
    );
    assert_eq!(numbers(&log, &all, 7), [vec![7, 6, 5, 4, 3, 2, 1]]);
    let text = |text: &str| Some(text.to_owned());
    let made = AuditQuery {
        event: text("account-made"),
        ..AuditQuery::default()
    };
    assert_eq!(numbers(&log, &made, 3), [vec![4]]);
    let about = AuditQuery {
        subject: text("acct_5"),
        ..AuditQuery::default()
    };
    assert_eq!(numbers(&log, &about, 3), [vec![6]]);
    let between = AuditQuery {
        since: Some(noon() + SignedDuration::from_secs(2)),
        until: Some(noon() + SignedDuration::from_secs(4)),
        ..AuditQuery::default()
    };
    assert_eq!(numbers(&log, &between, 3), [vec![4, 3]]);
    let nobodys = AuditQuery {
        actor: text("operator"),
        ..AuditQuery::default()
    };
    assert_eq!(numbers(&log, &nobodys, 3), [Vec::<u64>::new()]);
}

#[test]
fn a_search_goes_on_where_it_was_when_the_file_is_full_meanwhile_and_what_is_no_line_is_passed_over()
 {
    let mut here = Here::new();
    here.run(5, noon());
    fs::OpenOptions::new()
        .append(true)
        .open(&here.settings.path)
        .unwrap()
        .write_all(b"{\"v\":1,\"n\":6,")
        .unwrap();
    let log = here.open(Writer::Server);
    let search = |before, limit| log.search(&AuditQuery::default(), before, limit).unwrap();
    let first = search(None, 2).unwrap();
    let last = first.lines.last().unwrap().n;
    let full = here.settings.path.with_file_name("audit-2027-03-08.jsonl");
    fs::rename(&here.settings.path, full).unwrap();
    let more = search(first.next, 100).unwrap();
    assert_eq!(more.lines.first().unwrap().n + 1, last);
    assert_eq!(more.lines.last().unwrap().n, 1);
    assert_eq!(more.next, None);
    // A place of another server's, or of a file that is kept no longer, is none: nothing is taken for all there is.
    for elsewhere in [
        "1.0_-",
        "-_1.5",
        "18446744073709551615.18446744073709551615_-",
    ] {
        assert_eq!(
            search(Some(elsewhere.parse().unwrap()), 1),
            None,
            "{elsewhere}"
        );
    }
    for wrong in ["", "1.2", "1.2_x", "a.2_-", "1_2"] {
        assert_eq!(wrong.parse::<AuditPlace>(), Err(NoPlace), "{wrong}");
    }
}

#[test]
fn what_a_server_and_commands_wrote_is_told_together_however_it_is_cut_into_pages() {
    let mut here = Here::new();
    here.run(2, noon());
    let commands = here.open(Writer::Command);
    for second in [-60, -50, 30] {
        let happening = Happening::new(Event::AccountLocked, By::Operator);
        commands.write(happening, noon() + SignedDuration::from_secs(second));
    }
    commands.close().unwrap();
    here.run(1, noon() + SignedDuration::from_secs(60));
    let log = here.open(Writer::Server);
    for limit in 1..=6 {
        let (mut events, mut before) = (Vec::new(), None);
        loop {
            let found = log
                .search(&AuditQuery::default(), before, limit)
                .unwrap()
                .unwrap();
            events.extend(found.lines.into_iter().map(|line| line.event));
            before = found.next;
            if before.is_none() {
                break;
            }
        }
        let expected = [
            "signed-in",
            "account-locked",
            "signed-in",
            "signed-in",
            "account-locked",
            "account-locked",
        ];
        assert_eq!(events, expected, "{limit} at a time");
    }
}

/// However much of a file is no line, one answer reads so much of it, and the next goes on.
#[test]
fn what_is_no_line_is_read_a_part_at_a_time() {
    let mut here = Here::new();
    here.run(1, noon());
    let noise = vec![b'x'; 40 << 20];
    let mut file = OpenOptions::new()
        .append(true)
        .open(&here.settings.path)
        .unwrap();
    file.write_all(&noise).unwrap();
    file.write_all(b"\n").unwrap();
    let full = here.settings.path.with_file_name("audit-2027-03-08.jsonl");
    fs::rename(&here.settings.path, full).unwrap();
    let log = here.open(Writer::Server);
    let all = AuditQuery {
        event: Some("signed-in".to_owned()),
        ..AuditQuery::default()
    };
    assert_eq!(numbers(&log, &all, 1), [vec![], vec![1]]);
}
