//! What is written down, whatever the disk does.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

use crate::log_file::disk::{Disk, Trouble, wait_until};
use crate::log_file::{Rotate, day};

const NOON: &str = "2027-03-08T12:00:00Z";

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// A directory, and the settings of a log in it: daily, and nothing is deleted.
fn place() -> (TempDir, LogFileSettings) {
    let directory = tempfile::tempdir().unwrap();
    let settings = LogFileSettings {
        path: directory.path().join("decisions.jsonl"),
        rotate: Rotate::Daily,
        max_bytes: None,
        keep_days: None,
        keep_files: None,
    };
    (directory, settings)
}

fn open(settings: &LogFileSettings) -> DecisionLog {
    DecisionLog::open(DecisionLogSettings::File(settings.clone())).unwrap()
}

fn refusal(settings: &LogFileSettings) -> String {
    let opened = DecisionLog::open(DecisionLogSettings::File(settings.clone()));
    opened.expect_err("it was opened").to_string()
}

/// A file that is written to without a thread between, each line a batch.
struct Direct(LogFile);

impl Direct {
    fn open(settings: &LogFileSettings) -> Self {
        Self(LogFile::open(settings.clone(), &KIND).unwrap())
    }

    fn write(&mut self, time: &str, text: &str) {
        let line = format!("{text}\n");
        self.0.prepare(day(at(time)), line.len() as u64).unwrap();
        assert_eq!(self.0.write(line.as_bytes()).unwrap(), line.len());
    }
}

/// The files of a directory and what stands in them.
fn files(directory: &TempDir) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[track_caller]
fn check_files(directory: &TempDir, expected: &[(&str, &str)]) {
    let files = files(directory);
    let found: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(found, expected);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

// --- What is written.

#[test]
fn a_decision_is_a_line_of_json_and_closing_leaves_none_behind() {
    let (directory, settings) = place();
    let log = open(&settings);
    log.hand_over(at(NOON), &json!({ "text": "two\nlines" }));
    log.hand_over(at(NOON), &json!({ "n": 2 }));
    log.close().unwrap();
    check_files(
        &directory,
        &[("decisions.jsonl", "{\"text\":\"two\\nlines\"}\n{\"n\":2}\n")],
    );
    assert_eq!(mode(&settings.path), 0o600);
}

#[test]
fn a_log_that_is_dropped_is_closed() {
    let (directory, settings) = place();
    let log = open(&settings);
    log.hand_over(at(NOON), &1);
    drop(log);
    check_files(&directory, &[("decisions.jsonl", "1\n")]);
}

#[test]
fn a_log_that_is_off_takes_everything_and_writes_nothing() {
    let log = DecisionLog::open(DecisionLogSettings::Off).unwrap();
    log.hand_over(at(NOON), &1);
    log.reopen();
    assert_eq!(log.status(), LogStatus::default());
    log.close().unwrap();
}

#[test]
fn of_eight_threads_with_ten_thousand_lines_each_none_is_lost_torn_or_out_of_order() {
    const LINES: u64 = 10_000;
    let (directory, mut settings) = place();
    settings.max_bytes = Some(1 << 20);
    let log = open(&settings);
    thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for n in 0..LINES {
                    let padding = "x".repeat(usize::try_from(n % 97).unwrap());
                    log.hand_over(at(NOON), &json!({ "t": thread, "n": n, "x": padding }));
                }
            });
        }
    });
    log.close().unwrap();
    let files = files(&directory);
    assert!(files.len() > 3, "{:?}", files.keys());
    let mut next = [0; 8];
    for line in files.values().flat_map(|text| text.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let thread = usize::try_from(line["t"].as_u64().unwrap()).unwrap();
        assert_eq!(line["n"], next[thread]);
        next[thread] += 1;
    }
    assert_eq!(next, [LINES; 8]);
}

// --- Rotation.

#[test]
fn each_day_has_its_file_and_the_late_lines_of_a_day_go_with_the_next() {
    let (directory, settings) = place();
    let mut file = Direct::open(&settings);
    file.write("2027-03-08T00:00:00Z", "a");
    file.write("2027-03-08T23:59:59.999Z", "b");
    file.write("2027-03-09T00:00:00Z", "c");
    file.write("2027-03-08T23:59:59.998Z", "late");
    file.write("2027-03-11T12:00:00Z", "d");
    check_files(
        &directory,
        &[
            ("decisions-2027-03-08.jsonl", "a\nb\n"),
            ("decisions-2027-03-09.jsonl", "c\nlate\n"),
            ("decisions.jsonl", "d\n"),
        ],
    );
}

#[test]
fn a_file_that_an_earlier_run_wrote_to_is_given_the_day_of_its_last_line() {
    let (directory, settings) = place();
    Direct::open(&settings).write("2027-03-07T10:00:00Z", "yesterday");
    let written = std::time::SystemTime::from(at("2027-03-07T10:00:00Z"));
    let file = fs::File::options().append(true).open(&settings.path);
    file.unwrap().set_modified(written).unwrap();
    let mut file = Direct::open(&settings);
    file.write("2027-03-08T10:00:00Z", "today");
    check_files(
        &directory,
        &[
            ("decisions-2027-03-07.jsonl", "yesterday\n"),
            ("decisions.jsonl", "today\n"),
        ],
    );
}

#[test]
fn a_file_that_would_get_too_long_is_followed_by_another() {
    let (directory, mut settings) = place();
    settings.max_bytes = Some(10);
    let mut file = Direct::open(&settings);
    for text in [
        "1234",
        "5678",
        "9",
        "more than the ten bytes of a file",
        "x",
    ] {
        file.write(NOON, text);
    }
    file.write("2027-03-09T12:00:00Z", "tomorrow");
    check_files(
        &directory,
        &[
            ("decisions-2027-03-08-0001.jsonl", "1234\n5678\n"),
            ("decisions-2027-03-08-0002.jsonl", "9\n"),
            (
                "decisions-2027-03-08-0003.jsonl",
                "more than the ten bytes of a file\n",
            ),
            ("decisions-2027-03-08.jsonl", "x\n"),
            ("decisions.jsonl", "tomorrow\n"),
        ],
    );
}

#[test]
fn days_share_a_file_that_is_never_rotated() {
    let (directory, mut settings) = place();
    settings.rotate = Rotate::Never;
    let mut file = Direct::open(&settings);
    file.write("2027-03-08T12:00:00Z", "a");
    file.write("2028-03-08T12:00:00Z", "b");
    check_files(&directory, &[("decisions.jsonl", "a\nb\n")]);
}

#[test]
fn files_are_kept_for_their_days_or_in_their_number_whichever_ends_first() {
    let kept = |keep_days, keep_files| {
        let (directory, mut settings) = place();
        settings.keep_days = keep_days;
        settings.keep_files = keep_files;
        fs::write(directory.path().join("decisions-notes.jsonl"), "mine").unwrap();
        let mut file = Direct::open(&settings);
        for day in 1..=9 {
            file.write(&format!("2027-03-0{day}T12:00:00Z"), "x");
        }
        let files = files(&directory);
        assert_eq!(files["decisions-notes.jsonl"], "mine");
        files
            .keys()
            .filter_map(|name| name.strip_prefix("decisions-2027-03-0"))
            .map(|name| name.strip_suffix(".jsonl").unwrap())
            .collect::<String>()
    };
    assert_eq!(kept(None, None), "12345678");
    assert_eq!(kept(Some(3), None), "678");
    assert_eq!(kept(None, Some(2)), "78");
    assert_eq!(kept(Some(3), Some(2)), "78");
    assert_eq!(kept(Some(2), Some(3)), "78");
    assert_eq!(kept(Some(u16::MAX), Some(100)), "12345678");
}

#[test]
fn what_became_too_old_while_nobody_was_there_goes_at_the_first_decision() {
    let (directory, mut settings) = place();
    settings.keep_days = Some(90);
    fs::write(directory.path().join("decisions-2026-01-01.jsonl"), "").unwrap();
    let mut file = Direct::open(&settings);
    file.write(NOON, "x");
    check_files(&directory, &[("decisions.jsonl", "x\n")]);
}

#[test]
fn the_permissions_that_an_operator_gave_outlive_a_rotation() {
    let (_directory, settings) = place();
    let mut file = Direct::open(&settings);
    fs::set_permissions(&settings.path, Permissions::from_mode(0o640)).unwrap();
    drop(file);
    file = Direct::open(&settings);
    file.write("2027-03-08T12:00:00Z", "a");
    file.write("2027-03-09T12:00:00Z", "b");
    assert_eq!(mode(&settings.path), 0o640);
}

#[test]
fn a_file_that_cannot_be_renamed_is_written_to_all_the_same() {
    let (directory, mut settings) = place();
    // Nothing can be given this name, whoever tries.
    let stem = "d".repeat(250);
    settings.path = directory.path().join(&stem);
    let mut file = Direct::open(&settings);
    file.write("2027-03-08T12:00:00Z", "a");
    file.write("2027-03-09T12:00:00Z", "b");
    check_files(&directory, &[(&stem, "a\nb\n")]);
}

// --- Files that others touch.

#[test]
fn a_file_that_was_moved_away_is_let_go_of_when_told_and_made_anew() {
    let (directory, settings) = place();
    let log = open(&settings);
    log.hand_over(at(NOON), &1);
    wait_until(|| log.status().waiting == 0);
    let moved = directory.path().join("moved");
    fs::rename(&settings.path, &moved).unwrap();
    log.reopen();
    wait_until(|| settings.path.exists());
    log.hand_over(at(NOON), &2);
    log.close().unwrap();
    check_files(&directory, &[("decisions.jsonl", "2\n"), ("moved", "1\n")]);
}

#[test]
fn a_file_that_was_deleted_is_noticed_without_being_told() {
    let (directory, settings) = place();
    let mut file = Direct::open(&settings);
    file.write(NOON, "1");
    fs::remove_file(&settings.path).unwrap();
    file.write(NOON, "2");
    check_files(&directory, &[("decisions.jsonl", "2\n")]);
    assert_eq!(mode(&settings.path), 0o600);
}

#[test]
fn to_reopen_a_file_that_is_still_there_changes_nothing() {
    let (directory, settings) = place();
    let log = open(&settings);
    log.hand_over(at(NOON), &1);
    log.reopen();
    log.hand_over(at(NOON), &2);
    log.close().unwrap();
    check_files(&directory, &[("decisions.jsonl", "1\n2\n")]);
}

#[test]
fn a_line_that_a_crash_cut_off_is_ended_so_that_the_next_stands_alone() {
    let (directory, settings) = place();
    for (left, expected) in [
        ("{\"n\":1}\n{\"n\":", "{\"n\":1}\n{\"n\":\n2\n"),
        ("{\"n\":1}\n", "{\"n\":1}\n2\n"),
        ("", "2\n"),
    ] {
        fs::write(&settings.path, left).unwrap();
        fs::set_permissions(&settings.path, Permissions::from_mode(0o600)).unwrap();
        let log = open(&settings);
        log.hand_over(Timestamp::MAX, &2);
        log.close().unwrap();
        let all: String = files(&directory).into_values().collect();
        assert_eq!(all, expected);
        for name in files(&directory).into_keys() {
            fs::remove_file(directory.path().join(name)).unwrap();
        }
    }
}

// --- What is not opened.

#[test]
fn only_a_regular_file_that_nobody_else_can_use_is_opened() {
    let (directory, settings) = place();
    let path = settings.path.as_path();
    let target = directory.path().join("target");
    symlink(&target, path).unwrap();
    assert!(refusal(&settings).contains("decisions.jsonl` is a symbolic link"));
    assert!(!target.exists());
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    assert!(refusal(&settings).contains("decisions.jsonl` is a directory"));
    fs::remove_dir(path).unwrap();
    for open_to in [0o604, 0o620, 0o602, 0o644] {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, Permissions::from_mode(open_to)).unwrap();
        let refusal = refusal(&settings);
        assert!(
            refusal.contains(&format!("(mode {open_to:04o})")),
            "{refusal}"
        );
    }
}

#[test]
fn a_directory_must_be_there_and_not_be_everybodys() {
    let (directory, mut settings) = place();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o1777)).unwrap();
    assert!(refusal(&settings).contains("everybody may write to the directory"));
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    settings.path = directory.path().join("missing/decisions.jsonl");
    assert!(refusal(&settings).contains("missing` does not exist"));
    fs::write(directory.path().join("missing"), "").unwrap();
    assert!(refusal(&settings).contains("missing/decisions.jsonl`: "));
}

#[test]
fn a_file_has_one_writer() {
    let (_directory, settings) = place();
    let first = open(&settings);
    assert!(refusal(&settings).contains("another process writes to"));
    first.close().unwrap();
    drop(first);
    // The thread lets go of the file a moment after its last line.
    wait_until(|| DecisionLog::open(DecisionLogSettings::File(settings.clone())).is_ok());
}

// --- A disk in trouble.

fn log(disk: &Disk, most_waiting: usize) -> DecisionLog {
    DecisionLog::start(disk.clone(), most_waiting, Duration::from_millis(300)).unwrap()
}

#[test]
fn a_disk_that_hangs_stops_nobody_and_all_is_written_in_few_calls_when_it_goes_on() {
    let disk = Disk::with(Trouble::Hangs);
    let log = log(&disk, 1 << 20);
    for n in 0..1000 {
        log.hand_over(at(NOON), &n);
    }
    assert_eq!((log.status().waiting, disk.text().as_str()), (1000, ""));
    disk.set(None);
    log.close().unwrap();
    let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(disk.text().lines().collect::<Vec<_>>(), expected);
    // The line that hung, and what came after it.
    assert!(disk.lock().calls <= 2, "{} calls", disk.lock().calls);
}

#[test]
fn what_there_is_no_room_for_is_counted_and_a_line_says_so_where_it_would_have_stood() {
    let disk = Disk::with(Trouble::Hangs);
    let log = log(&disk, 3 * (2 + size_of::<Line>()));
    let second = |n: i64| at(NOON) + SignedDuration::from_secs(n);
    log.hand_over(second(0), &0);
    // From here on the thread hangs with the first line in its hands.
    wait_until(|| disk.lock().attempts == 1);
    for n in 1..8 {
        log.hand_over(second(n), &n);
    }
    assert_eq!(log.status().dropped, 5);
    disk.set(None);
    wait_until(|| log.status().waiting == 0);
    log.hand_over(second(8), &8);
    log.close().unwrap();
    let note = r#"{"v":1,"dropped":5,"from":"2027-03-08T12:00:03Z","to":"2027-03-08T12:00:07Z"}"#;
    assert_eq!(disk.text(), format!("0\n1\n2\n{note}\n8\n"));
    let read: Dropped = serde_json::from_str(note).unwrap();
    assert_eq!((read.dropped, read.from), (5, second(3)));
}

#[test]
fn a_full_disk_is_tried_again_and_tears_no_line() {
    let disk = Disk::with(Trouble::Full(5));
    let log = log(&disk, 1 << 20);
    log.hand_over(at(NOON), &"first line");
    wait_until(|| log.status().is_failing);
    log.hand_over(at(NOON), &"second line");
    assert_eq!(disk.text(), "\"firs");
    let attempts = disk.attempts();
    wait_until(|| disk.attempts() > attempts);
    disk.set(None);
    wait_until(|| log.status().waiting == 0);
    assert!(!log.status().is_failing);
    assert_eq!(disk.text(), "\"first line\"\n\"second line\"\n");
}

#[test]
fn a_line_that_a_full_disk_took_half_of_stands_whole_in_the_file_that_follows() {
    let disk = Disk::with(Trouble::Full(5));
    let log = log(&disk, 1 << 20);
    log.hand_over(at(NOON), &"first line");
    wait_until(|| log.status().is_failing);
    log.reopen();
    disk.lock().is_moved = true;
    log.reopen();
    wait_until(|| log.status().waiting == 0);
    let files = disk.lock().files.clone();
    assert_eq!(files, [b"\"firs".to_vec(), b"\"first line\"\n".to_vec()]);
}

#[test]
fn a_full_disk_does_not_keep_the_program_from_ending_which_says_what_is_lost() {
    let disk = Disk::with(Trouble::Full(0));
    let log = log(&disk, 2 * (2 + size_of::<Line>()));
    for n in 0..5 {
        log.hand_over(at(NOON), &n);
    }
    let error = log.close().unwrap_err().to_string();
    assert_eq!(error, "5 of the last decisions could not be written down");
}

#[test]
fn nor_does_a_disk_that_hangs() {
    let disk = Disk::with(Trouble::Hangs);
    let log = log(&disk, 1 << 20);
    log.hand_over(at(NOON), &1);
    let error = log.close().unwrap_err().to_string();
    assert_eq!(error, "1 of the last decisions could not be written down");
    disk.set(None);
}

#[test]
fn what_comes_after_the_end_is_counted_as_lost() {
    let disk = Disk::default();
    let log = log(&disk, 1 << 20);
    log.hand_over(at(NOON), &1);
    log.close().unwrap();
    log.hand_over(at(NOON), &2);
    assert_eq!((disk.text().as_str(), log.status().dropped), ("1\n", 1));
    assert!(log.close().is_err());
}
