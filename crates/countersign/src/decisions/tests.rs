//! What is read of a log, and where it stands.

use std::fs;

use serde::Deserialize;
use tempfile::TempDir;

use super::*;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Decision {
    n: u64,
}

const GAP: &str =
    r#"{"v":1,"dropped":3,"from":"2027-03-08T12:00:00Z","to":"2027-03-08T12:00:09Z"}"#;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn read(path: &Path) -> Vec<Line<Decision>> {
    let results = Decisions::open([path]).unwrap().read();
    results.map(Result::unwrap).collect()
}

/// Each line as `file:line` and what it says.
fn told(lines: Vec<Line<Decision>>) -> Vec<String> {
    let told = lines.into_iter().map(|line| {
        let file = line.place.file.file_name().unwrap().to_str().unwrap();
        let content = match line.content {
            Content::Decision(decision) => decision.n.to_string(),
            Content::Gap(gap) => format!("gap of {}", gap.dropped),
            Content::Torn => "torn".to_owned(),
            Content::Wrong(mistake) => mistake.to_string(),
        };
        format!("{file}:{}: {content}", line.place.line)
    });
    told.collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let directory = directory(&[("d.jsonl", text)]);
    assert_eq!(told(read(&directory.path().join("d.jsonl"))), expected);
}

#[test]
fn each_line_is_told_with_its_number_and_blank_ones_are_passed_over() {
    check(
        "{\"n\":1}\n\n{\"n\":2}\r\n  \n{\"n\":3}",
        &["d.jsonl:1: 1", "d.jsonl:3: 2", "d.jsonl:5: 3"],
    );
    check("", &[]);
}

#[test]
fn what_is_wrong_is_told_at_its_place_and_the_rest_is_read() {
    check(
        "{\"n\":1}\n{\"n\":\"x\"}\n{\"n\":\n{\"m\":1}\n\u{1b}[2J\n{\"n\":2}\n",
        &[
            "d.jsonl:1: 1",
            "d.jsonl:2: 8: invalid type: string \"x\", expected u64",
            "d.jsonl:3: 5: EOF while parsing a value",
            "d.jsonl:4: 7: missing field `n`",
            "d.jsonl:5: 1: expected value",
            "d.jsonl:6: 2",
        ],
    );
}

#[test]
fn a_line_that_is_cut_off_is_no_mistake_at_the_end_of_a_file_only() {
    check("{\"n\":1}\n{\"n\":", &["d.jsonl:1: 1", "d.jsonl:2: torn"]);
    check(
        "{\"n\":1}\nword",
        &["d.jsonl:1: 1", "d.jsonl:2: 1: expected value"],
    );
}

#[test]
fn decisions_that_are_missing_are_told_as_a_gap() {
    check(
        &format!("{{\"n\":1}}\n{GAP}\n{{\"n\":5}}\n"),
        &["d.jsonl:1: 1", "d.jsonl:2: gap of 3", "d.jsonl:3: 5"],
    );
}

#[test]
fn a_message_steers_no_terminal() {
    let lines = read_one("{\"n\":\"\\u001b[2J\"}\n");
    let Content::Wrong(mistake) = lines else {
        panic!("{lines:?}");
    };
    assert!(!mistake.to_string().contains(char::is_control), "{mistake}");
}

fn read_one(text: &str) -> Content<Decision> {
    let directory = directory(&[("d.jsonl", text)]);
    read(&directory.path().join("d.jsonl")).remove(0).content
}

#[test]
fn the_files_of_a_directory_are_read_in_the_order_of_time() {
    let directory = directory(&[
        ("decisions.jsonl", "{\"n\":5}\n"),
        ("decisions-2027-03-09.jsonl", "{\"n\":4}\n"),
        ("decisions-2027-03-08.jsonl", "{\"n\":3}\n{"),
        ("decisions-2027-03-08-0002.jsonl", "{\"n\":2}\n"),
        ("decisions-2027-03-08-0001.jsonl", "{\"n\":1}\n"),
        ("state.db", "no log"),
    ]);
    fs::create_dir(directory.path().join("a.jsonl")).unwrap();
    assert_eq!(
        told(read(directory.path())),
        [
            "decisions-2027-03-08-0001.jsonl:1: 1",
            "decisions-2027-03-08-0002.jsonl:1: 2",
            "decisions-2027-03-08.jsonl:1: 3",
            "decisions-2027-03-08.jsonl:2: torn",
            "decisions-2027-03-09.jsonl:1: 4",
            "decisions.jsonl:1: 5",
        ]
    );
}

#[test]
fn several_files_are_read_in_the_order_in_which_they_are_named() {
    let directory = directory(&[("a.jsonl", "{\"n\":1}\n"), ("b.jsonl", "{\"n\":2}\n")]);
    let paths = ["b.jsonl", "a.jsonl"].map(|name| directory.path().join(name));
    let log = Decisions::open(paths).unwrap();
    assert_eq!(log.bytes(), Some(16));
    let lines = log.read().map(Result::unwrap).collect();
    assert_eq!(told(lines), ["b.jsonl:1: 2", "a.jsonl:1: 1"]);
}

#[test]
fn a_long_log_comes_in_order_with_right_numbers_whatever_core_was_faster() {
    const LINES: u64 = 200_000;
    let lines: Vec<String> = (1..=LINES)
        .map(|n| format!("{{\"n\":{n},\"x\":{}}}\n", 1_u64 << (n % 50)))
        .collect();
    let text = lines.concat();
    let directory = directory(&[("d.jsonl", &text)]);
    let mut results = Decisions::open([directory.path()])
        .unwrap()
        .map(|line: Line<Decision>| (line.place.line, line.content));
    for n in 1..=LINES {
        let (line, content) = results.next().unwrap().unwrap();
        assert_eq!((line, content), (n, Content::Decision(Decision { n })));
    }
    assert!(results.next().is_none());
    assert_eq!(results.bytes_read(), text.len() as u64);
}

#[test]
fn pieces_of_a_log_can_be_added_up_where_they_are_read() {
    let lines: Vec<String> = (1..=100_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let directory = directory(&[("d.jsonl", &lines.concat())]);
    let log = Decisions::open([directory.path()]).unwrap();
    let sums = log.fold(|sum: &mut Vec<u64>, line| match line.content {
        Content::Decision(Decision { n }) => sum.push(n),
        other => panic!("{other:?}"),
    });
    let sums: Vec<Vec<u64>> = sums.map(Result::unwrap).collect();
    assert!(sums.len() > 1, "it is one piece");
    let all: Vec<u64> = (1..=100_000).collect();
    assert_eq!(sums.concat(), all);
}

#[test]
fn what_cannot_be_read_is_said_before_anything_is_read() {
    let directory = directory(&[("d.jsonl", "{\"n\":1}\n")]);
    let there = directory.path().join("d.jsonl");
    let missing = directory.path().join("missing.jsonl");
    let error = Decisions::open([&there, &missing]).unwrap_err().to_string();
    assert!(
        error.starts_with("can't read `") && error.contains("missing.jsonl`"),
        "{error}"
    );
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let error = Decisions::open([&empty]).unwrap_err().to_string();
    assert!(
        error.starts_with("no file `*.jsonl` is in the directory"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_log_does_not_fill_the_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zeros.jsonl");
    let file = File::create(&path).unwrap();
    file.set_len(10 * cut::LONGEST_LINE as u64).unwrap();
    let mut results = Decisions::open([&path]).unwrap().read::<Decision>();
    let error = results.next().unwrap().unwrap_err().to_string();
    assert!(
        error.ends_with("zeros.jsonl:1` is longer than 16 MiB: this is no decision log"),
        "{error}"
    );
    assert!(results.next().is_none());
}

#[test]
fn a_reader_that_stops_early_leaves_nobody_waiting_for_it() {
    let directory = directory(&[("d.jsonl", &"{\"n\":1}\n".repeat(400_000))]);
    let read = Arc::new(());
    let held = Arc::clone(&read);
    let mut results = Decisions::open([directory.path()])
        .unwrap()
        .map(move |_: Line<Decision>| drop(Arc::clone(&held)));
    results.next();
    drop(results);
    for _ in 0..1000 {
        if Arc::strong_count(&read) == 1 {
            return;
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("threads still run");
}

#[test]
fn work_that_fails_is_no_end_of_the_log() {
    let directory = directory(&[("d.jsonl", "{\"n\":1}\n")]);
    let log = Decisions::open([directory.path()]).unwrap();
    let mut results = log.map(|line: Line<Decision>| match line.content {
        Content::Wrong(_) => (),
        other => panic!("on purpose: {other:?}"),
    });
    assert!(matches!(results.next(), Some(Err(ReadError::Unfinished))));
}
